//! The attack by the date: whose review would appear at that boundary, and with those stars?
//!
//! An attacker who knows the policy knows the cohort of each order and its boundaries. What he does not see is when
//! the author wrote. So
//!
//! 1. he learns which stars which order earns, and how long after an order is due its review is written, from the
//!    true links of all *other* merchants (`stars`, `law`);
//! 2. he weighs each order of the cohort by P(stars | order) · P(appears at that boundary | order);
//! 3. he lets the reviews of a cohort compete for its orders, since an order has one review at most
//!    ([`posteriors`]), and names the customer with the largest chance.
//!
//! It is the stronger attack where reviews appear soon. Where they wait long, the date tells little.

#![allow(
    clippy::indexing_slicing,
    reason = "every index is made here, from a table that the reader has checked"
)]

mod law;
mod stars;

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use self::{law::Law, stars::StarModel};
use crate::{
    attack::{ROUNDS, posteriors},
    data::Order,
    publication::Cohort,
    random::SplitMix64,
};

const FOLDS: usize = 5;

/// Log-chances of one to five stars of some orders, by their places in the table.
type StarsOf = Vec<(usize, [f32; 5])>;

/// What the attacker learnt of each order of a table: for every merchant from all others.
pub struct Knowledge {
    /// Log-chances of one to five stars.
    log_stars: Vec<[f32; 5]>,
    laws: Vec<Law>,
    fold_of: Vec<usize>,
}

/// What he says of one published review.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    /// The order that it is of: the truth.
    pub order: usize,
    /// The customer with the largest chance is the author.
    pub correct: bool,
    /// That chance.
    pub confidence: f64,
    /// exp of the entropy over the orders.
    pub anonymity_set: f64,
}

/// Calls of `step` in [`Knowledge::learn`].
pub const STEPS: u64 = (FOLDS * stars::MODELS) as u64;

impl Knowledge {
    /// Learns from `known`, orders with their true reviews, what to expect of `attacked`: for each merchant from the
    /// orders of other merchants alone.
    pub fn learn(known: &[Order], attacked: &[Order], seed: u64, step: &(dyn Fn() + Sync)) -> Self {
        let folds = Folds::new(known.iter().chain(attacked));
        let fold = |order: &Order| folds.of(order);
        let fold_of: Vec<usize> = attacked.iter().map(fold).collect();
        let learnt: Vec<(StarsOf, Law)> = (0..FOLDS)
            .map(|own| {
                let training: Vec<&Order> =
                    known.iter().filter(|order| order.stars.is_some() && fold(order) != own).collect();
                let asked: Vec<usize> = (0..attacked.len()).filter(|&order| fold_of[order] == own).collect();
                let models: Vec<StarModel> = (0..stars::MODELS)
                    .into_par_iter()
                    .map(|model| {
                        // Seeds that are near each other must not share models.
                        let seed = SplitMix64::new(seed).next_u64() ^ (own * stars::MODELS + model) as u64;
                        let model = StarModel::train(&training, seed);
                        step();
                        model
                    })
                    .collect();
                let chances =
                    asked.into_par_iter().map(|order| (order, stars::average(&models, &attacked[order])));
                (chances.collect(), Law::learn(&training))
            })
            .collect();
        let mut log_stars = vec![[0.0; 5]; attacked.len()];
        let mut laws = Vec::with_capacity(FOLDS);
        for (chances, law) in learnt {
            chances.into_iter().for_each(|(order, chances)| log_stars[order] = chances);
            laws.push(law);
        }
        Self { log_stars, laws, fold_of }
    }

    /// The chance of one or two stars that he gives to an order.
    pub fn chance_of_bad(&self, order: usize) -> f64 {
        self.log_stars[order][..2].iter().map(|&log| f64::from(log).exp()).sum()
    }

    /// Names the author of every published review.
    pub fn attack(&self, orders: &[Order], cohorts: &[Cohort], seed: u64) -> Vec<Named> {
        let pools: Vec<(usize, &Cohort)> = cohorts.iter().enumerate().collect();
        pools
            .into_par_iter()
            .flat_map_iter(|(number, cohort)| {
                self.attack_cohort(orders, cohort, SplitMix64::new(seed ^ number as u64))
            })
            .collect()
    }

    fn attack_cohort(&self, orders: &[Order], cohort: &Cohort, mut random: SplitMix64) -> Vec<Named> {
        // Neither the order of the members nor that of the reviews may tell, not even where chances tie.
        let (mut members, mut reviews) = (cohort.members.clone(), cohort.published.clone());
        random.shuffle(&mut members);
        random.shuffle(&mut reviews);
        let edges: Vec<Vec<(usize, f64)>> = reviews
            .iter()
            .map(|&(truth, boundary)| {
                let stars = usize::from(orders[truth].stars.unwrap_or(1)) - 1;
                let from = boundary.checked_sub(1).map(|earlier| cohort.boundaries[earlier]);
                let weigh = |(column, &order): (usize, &usize)| {
                    let law = &self.laws[self.fold_of[order]];
                    let written = law.chance(&orders[order], from, cohort.boundaries[boundary]);
                    (column, f64::from(self.log_stars[order][stars]) + written.ln())
                };
                members.iter().enumerate().map(weigh).collect()
            })
            .collect();
        let chances = posteriors(&edges, members.len(), ROUNDS);
        reviews.iter().zip(chances).map(|(&(truth, _), row)| name(orders, &members, truth, &row)).collect()
    }
}

fn name(orders: &[Order], members: &[usize], truth: usize, chances: &[f64]) -> Named {
    let mut of_customer: HashMap<&str, f64> = HashMap::new();
    for (&order, chance) in members.iter().zip(chances) {
        *of_customer.entry(&orders[order].customer).or_default() += chance;
    }
    // In the members' order, which is a shuffled one.
    let mut best = ("", f64::NEG_INFINITY);
    for &order in members {
        let customer = orders[order].customer.as_str();
        if of_customer[customer] > best.1 {
            best = (customer, of_customer[customer]);
        }
    }
    let entropy: f64 =
        chances.iter().filter(|&&chance| chance > 0.0).map(|chance| -chance * chance.ln()).sum();
    Named {
        order: truth,
        correct: orders[truth].customer == best.0,
        confidence: best.1,
        anonymity_set: entropy.exp(),
    }
}

/// Whom the attacker learns from: for each part of the orders from all other parts.
enum Folds<'a> {
    /// Whole merchants, so that folds hold about equally many orders: the largest first, each to the emptiest fold.
    Merchants(BTreeMap<&'a str, usize>),
    /// Too few merchants: single orders, as of an attacker who knows other reviews of the same shop.
    Orders,
}

const FEWEST_MERCHANTS: usize = 3;

impl<'a> Folds<'a> {
    fn new(orders: impl Iterator<Item = &'a Order>) -> Self {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        orders.for_each(|order| *sizes.entry(&order.merchant).or_default() += 1);
        if sizes.len() < FEWEST_MERCHANTS {
            return Self::Orders;
        }
        let mut merchants: Vec<(&str, usize)> = sizes.into_iter().collect();
        merchants.sort_by_key(|&(name, size)| (std::cmp::Reverse(size), name));
        let mut load = [0; FOLDS];
        let deal = |(name, size): (&'a str, usize)| {
            let emptiest = (0..FOLDS).min_by_key(|&fold| load[fold]).unwrap_or_default();
            load[emptiest] += size;
            (name, emptiest)
        };
        Self::Merchants(merchants.into_iter().map(deal).collect())
    }

    fn of(&self, order: &Order) -> usize {
        match self {
            Self::Merchants(folds) => folds.get(order.merchant.as_str()).copied().unwrap_or_default(),
            Self::Orders => {
                let hash = order
                    .order_id
                    .bytes()
                    .fold(0, |hash: u64, byte| hash.wrapping_mul(257).wrapping_add(u64::from(byte)));
                SplitMix64::new(hash).below(FOLDS)
            }
        }
    }
}
