//! The join attack: from the orders that a merchant's portal shows and the published reviews, name the customer
//! behind each review.
//!
//! 1. Split the merchants into folds. For each fold, train delay, star and pair models on the true links of all
//!    *other* merchants (`model`, `boost`, `features`). Where there are too few merchants for that, split the
//!    reviews (`split`).
//! 2. Weigh every candidate order of every review of the fold.
//! 3. Let the reviews of a pool (a cohort, or on a naive platform a whole merchant) compete for its orders, since an
//!    order has one review at most: chances over all matchings, and the best one-to-one assignment
//!    (`assignment`). He names the customer with the largest chance, which hits more often than the assignment:
//!    that one is good as a whole, at the cost of single reviews.
//! 4. Score against the truth (`measure`), which the model that weighed a review has never seen.

#![allow(
    clippy::indexing_slicing,
    reason = "every index is made here, from tables that the reader has checked"
)]

mod assignment;
mod features;
mod measure;
mod model;
mod split;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

pub use assignment::{ROUNDS, posteriors};
pub use measure::{Found, Group, GroupMeasures, Measures, Rate, measure};

pub use split::{Known, Learnt, TooFew};

use self::{
    features::Facts,
    model::{Candidates, Model},
    split::Split,
};
use crate::{data::Exports, random::SplitMix64};

/// What the attack says about one published review; index as in `Exports::published`.
#[derive(Clone, Debug)]
pub struct Link {
    /// The customer with the largest chance is the author.
    pub correct: bool,
    /// The customer to whom the best one-to-one assignment gives the review is the author.
    pub assigned_correct: bool,
    /// The attacker's own chance that the author is the customer whom he names.
    pub confidence: f64,
    /// exp of the entropy over customers: how many equally likely authors the posterior is worth.
    pub anonymity_set: f64,
}

/// The links, index as in `Exports::published`, and what the attacker learnt them from.
pub struct Attack {
    /// One for each published review, in their order.
    pub links: Vec<Link>,
    /// What the models were trained on.
    pub learnt: Learnt,
}

/// Chances too small to be worth an edge in the assignment.
const NEGLIGIBLE: f64 = 1e-4;

/// The steps of one attack.
pub const STEPS: u64 = split::MOST_MODELS as u64 + 1;

/// Attacks every published review. `step` is called from any thread with the number of steps just done, of [`STEPS`].
pub fn attack(exports: &Exports, seed: u64, step: &(dyn Fn(u64) + Sync)) -> Result<Attack, TooFew> {
    TooFew::check(exports)?;
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
    let order_hash = |order: usize| seeded_hash(&exports.orders[order].order_id, !seed) as usize;
    let split = Split::new(&facts, &shuffled, order_hash);
    let models: Vec<Model> = (0..split.models())
        .into_par_iter()
        .map(|number| {
            let known = |review: usize| split.may_train(number, review, facts.reviews[review].order);
            let training: Vec<usize> = shuffled.iter().copied().filter(|&review| known(review)).collect();
            let alternatives = |review: usize| -> Candidates {
                candidates[review].iter().copied().filter(|&order| split.may_see(number, order)).collect()
            };
            let seed = SplitMix64::new(seed ^ number as u64).next_u64();
            let model = Model::train(&facts, alternatives, &training, &split.half_of, seed);
            step((split::MOST_MODELS / split.models()) as u64);
            model
        })
        .collect();
    let mut found: Vec<(usize, Link)> = pools
        .par_iter()
        .flat_map_iter(|pool| {
            let weigh = |review: usize| {
                let model_for = |order: usize| &models[split.model_for(review, order)];
                model::weigh(&facts, model_for, &facts.reviews[review], &candidates[review])
            };
            attack_pool(&facts, weigh, pool)
        })
        .collect();
    step(1);
    // Every review is in exactly one pool.
    found.sort_unstable_by_key(|&(review, _)| review);
    Ok(Attack { links: found.into_iter().map(|(_, link)| link).collect(), learnt: split.learnt })
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

fn attack_pool(facts: &Facts, weigh: impl Fn(usize) -> Vec<(usize, f64)>, pool: &Pool) -> Vec<(usize, Link)> {
    let column_of: HashMap<usize, usize> =
        pool.orders.iter().enumerate().map(|(column, &order)| (order, column)).collect();
    let weighed: Vec<Vec<(usize, f64)>> = pool
        .reviews
        .iter()
        .map(|&review| weigh(review))
        .map(|row| row.into_iter().map(|(order, weight)| (column_of[&order], weight)).collect())
        .collect();
    let chances = posteriors(&weighed, pool.orders.len(), ROUNDS);
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
