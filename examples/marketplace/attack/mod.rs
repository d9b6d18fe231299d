//! The join attack: from the orders that a merchant's portal shows and the published reviews, name the customer
//! behind each review.
//!
//! 1. Split the merchants into folds. For each fold, train delay, star and pair models on the true links of all
//!    *other* merchants ([`model`], [`boost`], [`features`]).
//! 2. Weigh every candidate order of every review of the fold.
//! 3. Let the reviews of a pool (a cohort, or on a naive platform a whole merchant) compete for its orders: chances
//!    by belief propagation, the name given by the best one-to-one assignment ([`assignment`]).
//! 4. Score against the truth ([`measure`]), which no earlier step has seen for the attacked merchant.

mod assignment;
mod boost;
mod features;
mod measure;
mod model;

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

pub use measure::{Delay, Group, GroupMeasures, Measures, Rate, measure};

use self::{
    features::Facts,
    model::{Candidates, Model},
};
use crate::{data::Exports, random::SplitMix64};

/// What the attack says about one published review; index as in `Exports::published`.
#[derive(Clone, Debug)]
pub struct Link {
    /// Index of the order that the attacker names first; `None` where no order was placed before the review.
    pub named: Option<usize>,
    /// The customer of that order is the author.
    pub correct: bool,
    /// The attacker's own chance that the author is the customer he names.
    pub confidence: f64,
    /// exp of the entropy over customers: how many equally likely authors the posterior is worth.
    pub anonymity_set: f64,
    /// Customers with an order that may be behind the review.
    pub candidates: usize,
}

const FOLDS: u64 = 5;
const ROUNDS: usize = 40;
/// Chances too small to be worth an edge in the assignment.
const NEGLIGIBLE: f64 = 1e-4;

/// Attacks every published review. `step` is called once per fold trained and once per fold attacked, from any
/// thread; there are [`steps`] of them.
pub fn attack(exports: &Exports, seed: u64, step: &(dyn Fn() + Sync)) -> Vec<Link> {
    let facts = Facts::new(exports);
    let pools = pools(exports);
    let mut candidates: Vec<Candidates> = vec![Vec::new(); facts.reviews.len()];
    for pool in &pools {
        for &review in &pool.reviews {
            let latest = facts.reviews[review].latest_purchase;
            candidates[review] =
                pool.orders.iter().copied().filter(|&order| facts.orders[order].purchased_at <= latest).collect();
            let due = |&order: &usize| facts.orders[order].due_at;
            candidates[review].sort_by(|left, right| due(left).total_cmp(&due(right)).then(left.cmp(right)));
        }
    }
    let fold_of = folds(&facts);
    let mut links: Vec<Option<Link>> = vec![None; facts.reviews.len()];
    let found: Vec<(usize, Link)> = (0..FOLDS)
        .into_par_iter()
        .flat_map_iter(|fold| {
            let training: Vec<usize> =
                (0..facts.reviews.len()).filter(|&review| fold_of[facts.reviews[review].merchant] != fold).collect();
            let model = Model::train(&facts, &candidates, &training, SplitMix64::new(seed ^ fold).next_u64());
            step();
            let attacked: Vec<&Pool> = pools
                .iter()
                .filter(|pool| pool.reviews.first().is_some_and(|&review| fold_of[facts.reviews[review].merchant] == fold))
                .collect();
            let found: Vec<(usize, Link)> =
                attacked.par_iter().flat_map_iter(|pool| attack_pool(&facts, &model, &candidates, pool)).collect();
            step();
            found
        })
        .collect();
    for (review, link) in found {
        links[review] = Some(link);
    }
    links.into_iter().flatten().collect()
}

/// Calls of `step` in one attack.
pub fn steps() -> u64 {
    2 * FOLDS
}

/// Reviews that compete for the same orders.
struct Pool {
    orders: Vec<usize>,
    reviews: Vec<usize>,
}

fn pools(exports: &Exports) -> Vec<Pool> {
    let mut of_merchant: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut of_cohort: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for (index, order) in exports.orders.iter().enumerate() {
        of_merchant.entry(&order.merchant).or_default().push(index);
        if let Some(cohort) = &order.cohort {
            of_cohort.entry((&order.merchant, cohort)).or_default().push(index);
        }
    }
    let mut reviews: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (index, review) in exports.published.iter().enumerate() {
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

fn attack_pool(facts: &Facts, model: &Model<'_>, candidates: &[Candidates], pool: &Pool) -> Vec<(usize, Link)> {
    let column_of: HashMap<usize, usize> = pool.orders.iter().enumerate().map(|(column, &order)| (order, column)).collect();
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
        .map(|row| row.filter(|&(_, chance)| chance > NEGLIGIBLE).map(|(column, chance)| (column, chance.ln())).collect())
        .collect();
    let assigned = assignment::best_matching(&likely, pool.orders.len());

    let mut links = Vec::with_capacity(pool.reviews.len());
    for (((&review, row), chances), assigned) in pool.reviews.iter().zip(&weighed).zip(&chances).zip(assigned) {
        let likeliest = || (0..row.len()).max_by(|&left, &right| chances[left].total_cmp(&chances[right]));
        let assigned = assigned.and_then(|column| row.iter().position(|&(candidate, _)| candidate == column));
        let Some(edge) = assigned.or_else(likeliest) else {
            links.push((review, Link { named: None, correct: false, confidence: 0.0, anonymity_set: 1.0, candidates: 0 }));
            continue;
        };
        let order_at = |edge: usize| pool.orders[row[edge].0];
        let mut of_customer: BTreeMap<usize, f64> = BTreeMap::new();
        for (edge, chance) in chances.iter().enumerate() {
            *of_customer.entry(facts.orders[order_at(edge)].customer).or_default() += chance;
        }
        let named = order_at(edge);
        let customer = facts.orders[named].customer;
        let entropy: f64 = of_customer.values().filter(|&&chance| chance > 0.0).map(|chance| -chance * chance.ln()).sum();
        links.push((
            review,
            Link {
                named: Some(named),
                correct: customer == facts.orders[facts.reviews[review].order].customer,
                confidence: of_customer[&customer],
                anonymity_set: entropy.exp(),
                candidates: of_customer.len(),
            },
        ));
    }
    links
}
