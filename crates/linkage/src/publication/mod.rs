//! What becomes of a table of orders under a policy of publication: which cohorts form, when they are sealed, and
//! when each review appears. No cryptography and no store: the arithmetic of waiting alone.

#![allow(
    clippy::indexing_slicing,
    reason = "every index is made here, from a table that the reader has checked"
)]

mod policy;
mod resample;
mod stream;

use std::collections::BTreeMap;

use rayon::prelude::*;

use self::stream::{Arrival, Sealed};
use crate::{data::Order, random::SplitMix64};
pub use policy::{Classes, Entry, Policy, Sealing};
pub use resample::{Density, Resampled, resample};

/// A cohort with a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// The class whose orders gather here.
    pub class: u8,
    /// Its orders, as indices in the table.
    pub members: Vec<usize>,
    /// The boundaries at which its reviews appear.
    pub boundaries: Vec<i64>,
    /// Its reviews: the order, and which of the boundaries.
    pub published: Vec<(usize, usize)>,
}

/// Plays a policy over a table. `seed` is that of the wallets' draws.
pub fn play(orders: &[Order], policy: &Policy, seed: u64) -> Vec<Cohort> {
    let mut streams: BTreeMap<(&str, u8), Vec<usize>> = BTreeMap::new();
    let mut accounts: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, order) in orders.iter().enumerate() {
        streams.entry((&order.merchant, policy.classes.of(order))).or_default().push(index);
        let next = accounts.len();
        accounts.entry(&order.customer).or_insert(next);
    }
    let streams: Vec<_> = streams.into_iter().enumerate().collect();
    streams
        .into_par_iter()
        .flat_map_iter(|(number, ((_, class), members))| {
            let mut random = SplitMix64::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let arrivals = members
                .iter()
                .map(|&order| Arrival {
                    order,
                    account: accounts[orders[order].customer.as_str()],
                    eligible_at: policy.eligible_at(&orders[order]),
                    numbers_dead_at: policy.numbers_die_at(&orders[order]),
                })
                .collect();
            stream::cohorts(policy, arrivals, &mut random)
                .into_iter()
                .map(move |sealed| publish(orders, policy, class, sealed))
        })
        .collect()
}

/// The boundary at which each review of the cohort appears: the first that its wallet reaches.
fn publish(orders: &[Order], policy: &Policy, class: u8, sealed: Sealed) -> Cohort {
    let first = sealed.at + policy.first_publication;
    let boundaries: Vec<i64> =
        std::iter::once(first).chain(policy.later_publications.iter().map(|later| first + later)).collect();
    let published = sealed
        .members
        .iter()
        .filter_map(|&order| {
            let written_at = orders[order].stars.and(orders[order].reviewed_at)?;
            let boundary = boundaries.iter().position(|&boundary| written_at < boundary)?;
            Some((order, boundary))
        })
        .collect();
    Cohort { class, members: sealed.members, boundaries, published }
}
