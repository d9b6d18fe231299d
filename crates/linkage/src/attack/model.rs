//! What the attacker learns from the true links that he knows: when reviews come, which stars which order earns, and
//! from both how well a review fits an order.

use super::features::{Facts, ORDER_WIDTH, OrderFacts, PAIR_WIDTH, Prior, ReviewFacts, Standing, pair};
use crate::{
    boost::{self, Choices, Forest, Settings},
    random::SplitMix64,
};

/// The orders that may be behind a review, as indices in the order of their due times.
pub(super) type Candidates = Vec<usize>;

pub(super) struct Model {
    delays: Delays,
    stars: StarChances,
    pairs: Forest,
}

const PAIR_SETTINGS: Settings = Settings {
    trees: 80,
    leaves: 24,
    shrinkage: 0.15,
    least_hessian: 8.0,
    group_share: 0.5,
    ..Settings::STARS
};

/// More trees than the links carry would learn single reviews by heart, and be surer than they are right.
const LINKS_PER_TREE: usize = 50;
const FEWEST_TREES: usize = 20;

/// Alternatives per training review: the nearest by the delay alone, and some of all others, so that the model also
/// sees how unlikely the unlikely are.
const NEAREST: usize = 14;
const OTHERS: usize = 4;

/// Candidates kept per attacked review: those whose delay is likeliest.
const KEPT: usize = 64;

impl Model {
    /// `training` names the reviews whose links are known; no other link is looked at. `half_of` cuts them in two.
    pub(super) fn train(
        facts: &Facts,
        candidates: impl Fn(usize) -> Candidates,
        training: &[usize],
        half_of: &[usize],
        seed: u64,
    ) -> Self {
        let mut generator = SplitMix64::new(seed);
        let delays = Delays::learn(facts, training);
        // A pair must not see the star chances of a model that was trained on its own review, or the forest would
        // trust them too much: each half gets those learnt from the other half.
        let halves = [0, 1].map(|half| {
            let learnt_from: Vec<usize> =
                training.iter().copied().filter(|&review| half_of[review] != half).collect();
            StarChances::learn(facts, &learnt_from, generator.next_u64())
        });
        let mut choices = Choices::new(PAIR_WIDTH);
        for &review in training {
            let stars = &halves[half_of[review]];
            let (review, candidates) = (&facts.reviews[review], &candidates(review));
            let sample = sample(facts, &delays, review, candidates, &mut generator);
            let Some(chosen) = sample.iter().position(|&(position, _)| candidates[position] == review.order)
            else {
                continue;
            };
            if sample.len() > 1 {
                let first = choices.offset.len();
                for (position, stands_for) in sample {
                    let offset =
                        push_pair(facts, &delays, stars, review, candidates, position, &mut choices.values);
                    choices.offset.push(offset + stands_for.ln());
                }
                choices.close_group(first + chosen);
            }
        }
        let trees = (training.len() / LINKS_PER_TREE).clamp(FEWEST_TREES, PAIR_SETTINGS.trees);
        let pairs = boost::fit(&choices, Settings { trees, ..PAIR_SETTINGS }, generator.next_u64());
        Self { delays, stars: StarChances::learn(facts, training, generator.next_u64()), pairs }
    }
}

/// The likeliest candidates with their log-likelihoods, up to a constant of the review, each by the model for it.
pub(super) fn weigh<'m>(
    facts: &Facts,
    model_for: impl Fn(usize) -> &'m Model,
    review: &ReviewFacts,
    candidates: &Candidates,
) -> Vec<(usize, f64)> {
    let mut row = Vec::with_capacity(PAIR_WIDTH);
    let density = |order: usize| model_for(order).delays.log_density(review, &facts.orders[order]);
    let weigh = |position: usize| {
        let model = model_for(candidates[position]);
        row.clear();
        let offset = push_pair(facts, &model.delays, &model.stars, review, candidates, position, &mut row);
        (candidates[position], f64::from(offset + model.pairs.score(&row)))
    };
    nearest(density, candidates, KEPT).into_iter().map(weigh).collect()
}

/// Appends the features of a pair; returns the score from which the forest starts.
fn push_pair(
    facts: &Facts,
    delays: &Delays,
    stars: &StarChances,
    review: &ReviewFacts,
    candidates: &Candidates,
    position: usize,
    values: &mut Vec<f32>,
) -> f32 {
    let order = &facts.orders[candidates[position]];
    let prior = Prior {
        delay: delays.log_density(review, order),
        stars: stars.log_chance(candidates[position], review.stars),
        category: stars.category_mean[order.category],
    };
    let standing =
        Standing { candidates: candidates.len(), rank: (position as f32 + 0.5) / candidates.len() as f32 };
    pair(review, order, prior, standing, values);
    prior.delay + prior.stars
}

/// Positions of the candidates whose delays are likeliest, in their original order.
fn nearest(density: impl Fn(usize) -> f32, candidates: &Candidates, kept: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..candidates.len()).collect();
    if candidates.len() > kept {
        let density: Vec<f32> = candidates.iter().map(|&order| density(order)).collect();
        positions.select_nth_unstable_by(kept, |&left, &right| {
            density[right].total_cmp(&density[left]).then(left.cmp(&right))
        });
        positions.truncate(kept);
        positions.sort_unstable();
    }
    positions
}

/// Positions of training alternatives, each with the number of candidates for which it stands (McFadden's correction
/// for sampled alternatives).
fn sample(
    facts: &Facts,
    delays: &Delays,
    review: &ReviewFacts,
    candidates: &Candidates,
    generator: &mut SplitMix64,
) -> Vec<(usize, f32)> {
    let density = |order: usize| delays.log_density(review, &facts.orders[order]);
    let mut sample: Vec<(usize, f32)> =
        nearest(density, candidates, NEAREST).into_iter().map(|position| (position, 1.0)).collect();
    let mut rest: Vec<usize> = (0..candidates.len())
        .filter(|position| sample.binary_search_by_key(position, |&(near, _)| near).is_err())
        .collect();
    let drawn = rest.len().min(OTHERS);
    for place in 0..drawn {
        let other = place + generator.below(rest.len() - place);
        rest.swap(place, other);
    }
    // The true order must be among the alternatives; where it was not drawn it takes the place of one that was.
    if let Some(place) = rest.iter().position(|&position| candidates[position] == review.order)
        && place >= drawn
    {
        rest.swap(place, drawn - 1);
    }
    let stands_for = rest.len() as f32 / drawn.max(1) as f32;
    sample.extend(rest.into_iter().take(drawn).map(|position| (position, stands_for)));
    sample
}

/// How long after the anchor reviews appear, for orders delivered in time, delivered late and never delivered.
struct Delays {
    edges: Vec<f32>,
    log_density: [Vec<f32>; 3],
}

/// Reviews' worth of belief in the smooth curve below against the counts.
const SMOOTHING: f64 = 10.0;

impl Delays {
    fn learn(facts: &Facts, training: &[usize]) -> Self {
        let days = |from: i32, to: i32, step: usize| (from..to).step_by(step).map(|day| day as f32 * 24.0);
        let edges: Vec<f32> = days(-798, -28, 7)
            .chain(days(-28, 0, 1))
            .chain((0..14 * 6).map(|quarter| quarter as f32 * 4.0))
            .chain(days(14, 63, 1))
            .chain(days(63, 798, 7))
            .collect();
        let width =
            |bucket: usize| match (bucket.checked_sub(1).and_then(|low| edges.get(low)), edges.get(bucket)) {
                (Some(low), Some(high)) => f64::from(high - low),
                _ => 168.0,
            };
        let curve: Vec<f64> = (0..=edges.len())
            .map(|bucket| {
                let middle = f64::from(edges[bucket.min(edges.len() - 1)]) - width(bucket) / 2.0;
                width(bucket) / (1.0 + (middle - 72.0).abs() / 48.0).powi(2)
            })
            .collect();
        let curve_sum: f64 = curve.iter().sum();
        let mut counts =
            [0, 1, 2].map(|_| curve.iter().map(|part| SMOOTHING * part / curve_sum).collect::<Vec<f64>>());
        for &review in training {
            let review = &facts.reviews[review];
            let order = &facts.orders[review.order];
            counts[class(order)][bucket(&edges, review, order)] += 1.0;
        }
        let log_density = counts.map(|counts| {
            let total: f64 = counts.iter().sum();
            counts
                .iter()
                .enumerate()
                .map(|(bucket, count)| (count / total / width(bucket)).ln() as f32)
                .collect()
        });
        Self { edges, log_density }
    }

    fn log_density(&self, review: &ReviewFacts, order: &OrderFacts) -> f32 {
        self.log_density[class(order)][bucket(&self.edges, review, order)]
    }
}

fn class(order: &OrderFacts) -> usize {
    match (order.delivered_at, order.late_or_failed) {
        (None, _) => 2,
        (Some(_), late) => usize::from(late),
    }
}

fn bucket(edges: &[f32], review: &ReviewFacts, order: &OrderFacts) -> usize {
    let hours = ((review.seen_at - order.anchor) / 3_600.0) as f32;
    edges.partition_point(|&edge| edge <= hours)
}

/// The chance of one to five stars for every order, whoever reviews it.
struct StarChances {
    log_chance: Vec<[f32; 5]>,
    /// Mean stars per category, drawn towards the mean of all where there are few.
    category_mean: Vec<f32>,
}

const STAR_WIDTH: usize = ORDER_WIDTH + 2;

impl StarChances {
    fn learn(facts: &Facts, training: &[usize], seed: u64) -> Self {
        let mut sums = vec![(0.0f32, 0.0f32); facts.categories];
        let mut frequency = [1.0f32; 5];
        for &review in training {
            let review = &facts.reviews[review];
            let (count, sum) = &mut sums[facts.orders[review.order].category];
            *count += 1.0;
            *sum += f32::from(review.stars);
            frequency[usize::from(review.stars) - 1] += 1.0;
        }
        let mean = sums.iter().map(|&(_, sum)| sum).sum::<f32>() / (training.len().max(1)) as f32;
        let category_mean: Vec<f32> =
            sums.iter().map(|&(count, sum)| (sum + 20.0 * mean) / (count + 20.0)).collect();

        // The five stars of an order are five alternatives, one of which was chosen.
        let push = |order: &OrderFacts, stars: usize, row: &mut Vec<f32>| {
            row.extend(order.values);
            row.extend([category_mean[order.category], stars as f32]);
        };
        let mut choices = Choices::new(STAR_WIDTH);
        for &review in training {
            let review = &facts.reviews[review];
            let first = choices.offset.len();
            for (stars, count) in frequency.iter().enumerate() {
                push(&facts.orders[review.order], stars, &mut choices.values);
                choices.offset.push(count.ln());
            }
            choices.close_group(first + usize::from(review.stars) - 1);
        }
        let forest = boost::fit(&choices, Settings::STARS, seed);
        let mut row = Vec::with_capacity(STAR_WIDTH);
        let log_chance = facts
            .orders
            .iter()
            .map(|order| {
                let mut scores = [0.0f32; 5];
                for (stars, (score, count)) in scores.iter_mut().zip(frequency).enumerate() {
                    row.clear();
                    push(order, stars, &mut row);
                    *score = count.ln() + forest.score(&row);
                }
                let sum: f32 = scores.iter().map(|score| score.exp()).sum();
                scores.map(|score| score - sum.ln())
            })
            .collect();
        Self { log_chance, category_mean }
    }

    fn log_chance(&self, order: usize, stars: u8) -> f32 {
        self.log_chance[order][usize::from(stars) - 1]
    }
}
