//! The join attack: from the orders that a merchant's portal shows and the published reviews, name the customer
//! behind each review.
//!
//! 1. Split the merchants into folds. For each fold, train delay, star and pair models on the true links of all
//!    *other* merchants ([`model`], [`boost`], [`features`]).
//! 2. Weigh every candidate order of every review of the fold.
//! 3. Let the reviews of a pool (a cohort, or on a naive platform a whole merchant) compete for its orders, since an
//!    order has one review at most: chances over all matchings, and the best one-to-one assignment
//!    ([`assignment`]). He names the customer with the largest chance, which hits more often than the assignment:
//!    that one is good as a whole, at the cost of single reviews.
//! 4. Score against the truth ([`measure`]), which no earlier step has seen for the attacked merchant.

#![allow(
    clippy::indexing_slicing,
    reason = "every index is made here, from tables that the reader has checked"
)]

mod assignment;
mod boost;
mod features;
mod measure;
mod model;

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

pub(crate) use measure::{Delay, Group, GroupMeasures, Measures, Rate, measure};

use self::{
    features::Facts,
    model::{Candidates, Model},
};
use crate::{data::Exports, random::SplitMix64};

/// What the attack says about one published review; index as in `Exports::published`.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The customer with the largest chance is the author.
    pub correct: bool,
    /// The customer to whom the best one-to-one assignment gives the review is the author.
    pub assigned_correct: bool,
    /// The attacker's own chance that the author is the customer whom he names.
    pub confidence: f64,
    /// exp of the entropy over customers: how many equally likely authors the posterior is worth.
    pub anonymity_set: f64,
}

const FOLDS: u64 = 5;
const ROUNDS: usize = 40;
/// Chances too small to be worth an edge in the assignment.
const NEGLIGIBLE: f64 = 1e-4;

/// Attacks every published review. `step` is called once per fold trained and once per fold attacked, from any
/// thread; there are [`steps`] of them.
pub(crate) fn attack(exports: &Exports, seed: u64, step: &(dyn Fn() + Sync)) -> Vec<Link> {
    let facts = Facts::new(exports);
    // The order in which reviews are given must tell nothing, not even where chances tie.
    let mut shuffled: Vec<usize> = (0..facts.reviews.len()).collect();
    shuffled.sort_by_key(|&review| seeded_hash(&exports.published[review].truth_order_id, seed));
    let pools = pools(exports, &shuffled);
    let mut candidates: Vec<Candidates> = vec![Vec::new(); facts.reviews.len()];
    for pool in &pools {
        for &review in &pool.reviews {
            let latest = facts.reviews[review].latest_purchase;
            candidates[review] = pool
                .orders
                .iter()
                .copied()
                .filter(|&order| facts.orders[order].purchased_at <= latest)
                .collect();
            let due = |&order: &usize| facts.orders[order].due_at;
            candidates[review].sort_by(|left, right| due(left).total_cmp(&due(right)).then(left.cmp(right)));
        }
    }
    let fold_of = folds(&facts);
    let mut found: Vec<(usize, Link)> = (0..FOLDS)
        .into_par_iter()
        .flat_map_iter(|fold| {
            let training: Vec<usize> = shuffled
                .iter()
                .copied()
                .filter(|&review| fold_of[facts.reviews[review].merchant] != fold)
                .collect();
            let model = Model::train(&facts, &candidates, &training, SplitMix64::new(seed ^ fold).next_u64());
            step();
            let attacked: Vec<&Pool> = pools
                .iter()
                .filter(|pool| {
                    pool.reviews
                        .first()
                        .is_some_and(|&review| fold_of[facts.reviews[review].merchant] == fold)
                })
                .collect();
            let found: Vec<(usize, Link)> = attacked
                .par_iter()
                .flat_map_iter(|pool| attack_pool(&facts, &model, &candidates, pool))
                .collect();
            step();
            found
        })
        .collect();
    // Every review is in exactly one pool, and every pool in one fold.
    found.sort_unstable_by_key(|&(review, _)| review);
    found.into_iter().map(|(_, link)| link).collect()
}

/// Calls of `step` in one attack.
pub(crate) fn steps() -> u64 {
    2 * FOLDS
}

/// FNV-1a of the text, mixed with the seed.
fn seeded_hash(text: &str, seed: u64) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    SplitMix64::new(seed ^ text.bytes().fold(0xcbf2_9ce4_8422_2325, fold)).next_u64()
}

/// Reviews that compete for the same orders.
struct Pool {
    orders: Vec<usize>,
    reviews: Vec<usize>,
}

fn pools(exports: &Exports, shuffled: &[usize]) -> Vec<Pool> {
    let mut of_merchant: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut of_cohort: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for (index, order) in exports.orders.iter().enumerate() {
        of_merchant.entry(&order.merchant).or_default().push(index);
        if let Some(cohort) = &order.cohort {
            of_cohort.entry((&order.merchant, cohort)).or_default().push(index);
        }
    }
    let mut reviews: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for &index in shuffled {
        let review = &exports.published[index];
        reviews.entry((&review.merchant, review.cohort.as_deref())).or_default().push(index);
    }
    reviews
        .into_iter()
        .map(|((merchant, cohort), reviews)| {
            let orders = match cohort {
                Some(cohort) => of_cohort.get(&(merchant, cohort)),
                None => of_merchant.get(merchant),
            };
            Pool { orders: orders.cloned().unwrap_or_default(), reviews }
        })
        .collect()
}

/// Merchants dealt out so that folds hold about equally many reviews: the largest first, each to the emptiest fold.
fn folds(facts: &Facts) -> Vec<u64> {
    let mut sizes = vec![0usize; facts.merchants];
    for review in &facts.reviews {
        sizes[review.merchant] += 1;
    }
    let mut merchants: Vec<usize> = (0..facts.merchants).collect();
    merchants.sort_by_key(|&merchant| (std::cmp::Reverse(sizes[merchant]), merchant));
    let mut load: Vec<(usize, u64)> = (0..FOLDS).map(|fold| (0, fold)).collect();
    let mut fold_of = vec![0; facts.merchants];
    for merchant in merchants {
        if let Some(emptiest) = load.iter_mut().min() {
            emptiest.0 += sizes[merchant];
            fold_of[merchant] = emptiest.1;
        }
    }
    fold_of
}

fn attack_pool(
    facts: &Facts,
    model: &Model<'_>,
    candidates: &[Candidates],
    pool: &Pool,
) -> Vec<(usize, Link)> {
    let column_of: HashMap<usize, usize> =
        pool.orders.iter().enumerate().map(|(column, &order)| (order, column)).collect();
    let weighed: Vec<Vec<(usize, f64)>> = pool
        .reviews
        .iter()
        .map(|&review| model.weigh(&facts.reviews[review], &candidates[review]))
        .map(|row| row.into_iter().map(|(order, weight)| (column_of[&order], weight)).collect())
        .collect();
    let chances = assignment::posteriors(&weighed, pool.orders.len(), ROUNDS);
    let likely: assignment::Edges = weighed
        .iter()
        .zip(&chances)
        .map(|(row, chances)| row.iter().zip(chances).map(|(&(column, _), &chance)| (column, chance)))
        .map(|row| {
            row.filter(|&(_, chance)| chance > NEGLIGIBLE)
                .map(|(column, chance)| (column, chance.ln()))
                .collect()
        })
        .collect();
    let assigned = assignment::best_matching(&likely, pool.orders.len());

    let mut links = Vec::with_capacity(pool.reviews.len());
    for (((&review, row), chances), assigned) in pool.reviews.iter().zip(&weighed).zip(&chances).zip(assigned)
    {
        let customer_of = |column: usize| facts.orders[pool.orders[column]].customer;
        let author = facts.orders[facts.reviews[review].order].customer;
        let mut of_customer: BTreeMap<usize, f64> = BTreeMap::new();
        for (&(column, _), chance) in row.iter().zip(chances) {
            *of_customer.entry(customer_of(column)).or_default() += chance;
        }
        let named =
            of_customer.iter().max_by(|left, right| left.1.total_cmp(right.1).then(right.0.cmp(left.0)));
        let entropy: f64 =
            of_customer.values().filter(|&&chance| chance > 0.0).map(|chance| -chance * chance.ln()).sum();
        let link = Link {
            correct: named.is_some_and(|(&customer, _)| customer == author),
            assigned_correct: assigned.is_some_and(|column| customer_of(column) == author),
            confidence: named.map_or(0.0, |(_, &chance)| chance),
            anonymity_set: entropy.exp(),
        };
        links.push((review, link));
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calendar::DAY,
        data::{PortalOrder, PublishedReview},
    };

    /// Ten merchants with thirty orders each, one a day, reviewed some days after delivery.
    fn naive_platform() -> Exports {
        let mut generator = SplitMix64::new(5);
        let mut exports = Exports::default();
        for merchant in 0..10 {
            for day in 0..30 {
                let purchased_at = (17_000 + day) * DAY + generator.below(80_000) as i64;
                let delivered_at = purchased_at + (3 + generator.below(9) as i64) * DAY;
                let order = PortalOrder {
                    order_id: format!("{merchant}-{day}"),
                    merchant: merchant.to_string(),
                    cohort: None,
                    customer: format!("customer {merchant}-{day}"),
                    purchased_at,
                    delivered_at: Some(delivered_at),
                    estimated_at: (17_009 + day) * DAY,
                    status: "delivered".to_owned(),
                    category: "books".to_owned(),
                    price: 20.0,
                    freight: 5.0,
                    items: 1,
                };
                exports.published.push(PublishedReview {
                    merchant: order.merchant.clone(),
                    cohort: None,
                    published_at: delivered_at + DAY + generator.below(DAY as usize) as i64,
                    stars: if order.late_or_failed() { 1 } else { 5 },
                    truth_order_id: order.order_id.clone(),
                });
                exports.orders.push(order);
            }
        }
        exports
    }

    #[test]
    fn a_platform_that_shows_times_and_stars_gives_its_authors_away() {
        let links = attack(&naive_platform(), 1, &|| {});
        assert!(links.iter().filter(|link| link.correct).count() > links.len() / 3);
    }

    #[test]
    fn the_truth_of_an_attacked_merchant_changes_nothing_but_its_score() {
        let mut exports = naive_platform();
        let before = attack(&exports, 1, &|| {});
        // Merchant 4 gets false links, all to orders that were purchased in time.
        let own: Vec<usize> = (0..300).filter(|&index| exports.published[index].merchant == "4").collect();
        for pair in own.chunks(2) {
            let first = exports.orders[pair[0]].order_id.clone();
            exports.published[pair[1]].truth_order_id = first;
        }
        let after = attack(&exports, 1, &|| {});
        for &review in &own {
            // Sums run in the order of the hashed names, so the last bits may differ.
            assert!((before[review].confidence - after[review].confidence).abs() < 1e-9);
            assert!((before[review].anonymity_set - after[review].anonymity_set).abs() < 1e-9);
        }
        let hits = |links: &[Link]| own.iter().filter(|&&review| links[review].correct).count();
        assert!(hits(&after) < hits(&before));
    }

    #[test]
    fn the_same_seed_gives_the_same_links_in_whatever_order_reviews_come() {
        let mut exports = naive_platform();
        let links = attack(&exports, 9, &|| {});
        exports.published.reverse();
        let mut reversed = attack(&exports, 9, &|| {});
        reversed.reverse();
        for (link, same) in links.iter().zip(&reversed) {
            assert_eq!(format!("{link:?}"), format!("{same:?}"));
        }
    }
}
