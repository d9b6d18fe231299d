//! Several pools behind one switchboard: by city, by carrier, short numbers and long ones.

use super::{Pool, PoolError};
use crate::{PhoneNumber, VirtualNumber};
use std::sync::Arc;

/// The pools of a switchboard, each under a label of the host's: *Beijing*, *carrier 2*. A binding names one. When its business
/// has used up its slice there, the pools that were named as fallbacks are tried in their order, and no others.
///
/// Each pool has a key, a size and a division of its own. [`Demand`](crate::Demand) says for each what the bindings of its label
/// need, those that fall back to it included. The quarantine holds in each. A number goes from one pool to another as it goes
/// from slice to slice. It is taken off the list when it was not drawn for the longest life, and added when the quarantine is over too.
///
/// ```
/// use std::sync::Arc;
/// use unjoin_core::{DAY, secret::SecretBytes};
/// use unjoin_phone::{Demand, Pool, PoolConfig, Pools, VirtualNumber};
/// let demand = |orders_per_day| Demand {
///     orders_per_day, peak_share: 0.12, bindings_per_order: 2, largest_hub_per_day: 100, life: 3_600, max_life: 2 * DAY,
///     epoch_seconds: DAY, quarantine: 7 * DAY, spare_recoveries: 1, pairs_per_number: 100, live_per_customer: 2,
/// };
/// let pool = |orders, first, key| {
///     let config = PoolConfig::for_demand(&demand(orders), VirtualNumber::new(first).unwrap())?;
///     Pool::new(config, &SecretBytes::new([key; 32])).map(Arc::new)
/// };
/// let pools = Pools::new("anywhere", pool(20_000, "+86700000000000000", 1)?)
///     .and("Beijing", pool(5_000, "+861069000000", 2)?, &["anywhere"])?;
/// assert_eq!(pools.labels().collect::<Vec<_>>(), ["anywhere", "Beijing"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pools {
    first: Labelled,
    more: Vec<Labelled>,
}

/// A pool, and which come after it.
pub(crate) struct Labelled {
    pub(crate) label: String,
    pub(crate) pool: Arc<Pool>,
    /// Itself, and its fallbacks.
    chain: Vec<usize>,
}

impl Pools {
    /// The pool of bindings that name no other.
    pub fn new(label: &str, pool: Arc<Pool>) -> Self {
        Self { first: Labelled { label: label.to_owned(), pool, chain: vec![0] }, more: Vec::new() }
    }

    /// And one more, whose fallbacks were named before it.
    ///
    /// # Errors
    /// [`PoolError::Config`] when the label, the key or one of the numbers is another pool's, when its epochs are of another length,
    /// or when a fallback is none of those named before.
    pub fn and(mut self, label: &str, pool: Arc<Pool>, fallbacks: &[&str]) -> Result<Self, PoolError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(PoolError::Config(rule)) };
        let others = || self.all().map(|other| &other.pool);
        rule(self.find(label).is_none(), "a label that no other pool has")?;
        rule(others().all(|other| other.check() != pool.check()), "a key that no other pool has")?;
        rule(others().all(|other| !other.shares_numbers(&pool)), "every number in one pool only")?;
        rule(
            others().all(|other| other.config().epoch_seconds == pool.config().epoch_seconds),
            "epochs of the same length in all pools of a switchboard",
        )?;
        let mut chain = vec![self.more.len().saturating_add(1)];
        for fallback in fallbacks {
            let (at, _) = self.find(fallback).ok_or(PoolError::Config("fallbacks that were named before"))?;
            chain.push(at);
        }
        self.more.push(Labelled { label: label.to_owned(), pool, chain });
        Ok(self)
    }

    /// The labels, in the order in which they were named.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.all().map(|labelled| labelled.label.as_str())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Labelled> {
        core::iter::once(&self.first).chain(&self.more)
    }

    pub(crate) fn at(&self, at: usize) -> &Labelled {
        at.checked_sub(1).and_then(|at| self.more.get(at)).unwrap_or(&self.first)
    }

    fn find(&self, label: &str) -> Option<(usize, &Labelled)> {
        self.all().enumerate().find(|(_, labelled)| labelled.label == *label)
    }

    /// The pools to draw from for a label, in their order.
    pub(crate) fn chain(&self, label: Option<&str>) -> Option<Vec<usize>> {
        label
            .map_or(Some((0, &self.first)), |label| self.find(label))
            .map(|(_, labelled)| labelled.chain.clone())
    }

    /// The same for the number that is to be replaced.
    pub(crate) fn chain_of(&self, number: VirtualNumber) -> Vec<usize> {
        self.all().find(|labelled| labelled.pool.contains(number)).unwrap_or(&self.first).chain.clone()
    }

    /// Whether a party's number is in one of them; all are looked at.
    pub(crate) fn contains_party(&self, party: &PhoneNumber) -> bool {
        self.all().fold(false, |found, labelled| labelled.pool.contains_party(party) | found)
    }

    /// The life that every pool's quarantine is reckoned with.
    pub(crate) fn max_life(&self) -> u64 {
        self.all().map(|labelled| labelled.pool.config().max_life).fold(u64::MAX, u64::min)
    }
}

/// One pool for all bindings, under the label `numbers`.
impl From<Arc<Pool>> for Pools {
    fn from(pool: Arc<Pool>) -> Self {
        Self::new("numbers", pool)
    }
}

unjoin_core::opaque!(Pools | all | pools = all.all().count());
