//! The pool of virtual numbers: which of them a business may draw next.
//!
//! The pool is cut into G slices, time into epochs. A *hub*, the business side of a binding, draws
//! in each epoch from one slice only: slice `(epoch + shift + HMAC(pool key, hub)) mod G`, in
//! the order of a permutation that is keyed for hub and epoch, by a counter in the hub's own
//! record. So within an epoch it never draws a number twice, and it comes back to a slice after
//! G epochs. Nothing has to be remembered about who had which number, and the quarantine stores
//! nothing about anybody. What a slice consists of changes at the boundary of an epoch only.

mod change;
mod config;
mod permutation;
mod several;

pub use config::{NumberRange, PoolConfig, PoolRange};
pub(crate) use several::Labelled;
pub use several::Pools;

use super::number::{PhoneNumber, VirtualNumber};
use config::{Span, joined, overlap, within};
use permutation::Permutation;
use subtle::{Choice, ConstantTimeGreater};
use unjoin_core::secret::{MacKey, SecretBytes};
use unjoin_core::{Name, Timestamp, describe_errors};

/// A number that was drawn, and the counter to store before it is used.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The number.
    pub number: VirtualNumber,
    /// The hub's next counter.
    pub next: u64,
}

/// The virtual numbers, their slices, and the key that orders them.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, pool_config};
/// use unjoin_core::secret::{SecretBytes, SystemRng};
/// use unjoin_phone::{Pool, VirtualNumber};
/// # let config = pool_config(4, 100, LIFE);
/// let key = SecretBytes::random(&mut SystemRng::new()); // kept with the host's secrets, for the pool's life
/// let pool = Pool::new(config, &key)?;
/// assert!(pool.contains(VirtualNumber::new("+86700000000000000")?));
/// assert!(!pool.contains(VirtualNumber::new("+8613800138000")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool {
    config: PoolConfig,
    slices: Vec<Vec<Phase>>,
    /// Everything listed, sorted, neighbours joined.
    listed: Vec<Span>,
    withdrawn: Vec<Span>,
    placing: MacKey,
    ordering: MacKey,
    tagging: MacKey,
    check: SecretBytes<32>,
}

/// What a slice consists of from one epoch until the next phase.
struct Phase {
    from: u64,
    size: u64,
    /// In order: how many numbers stand before a range, and its first.
    ranges: Vec<(u64, u64)>,
}

impl Pool {
    /// A pool under a key of 32 random bytes. The key is the host's to keep: as long as it is the
    /// same, no hub meets a number too early. With the key one can tell which numbers a hub gets.
    ///
    /// # Errors
    /// [`PoolError::Config`] with the rule that does not hold.
    pub fn new(config: PoolConfig, key: &SecretBytes<32>) -> Result<Self, PoolError> {
        config.check()?;
        let key = MacKey::new(key.expose());
        let derive = |label: &[u8]| SecretBytes::new(key.mac(&[label]));
        let prepared = |label| MacKey::new(derive(label).expose());
        let slices = config.slices.iter().map(|ranges| phases(ranges)).collect();
        let pool = Self {
            slices,
            listed: joined(config.listed()),
            withdrawn: joined(config.withdrawn.iter()),
            placing: prepared(b"unjoin/phone/pool/slice/1"),
            ordering: prepared(b"unjoin/phone/pool/order/1"),
            tagging: prepared(b"unjoin/phone/pool/hub/1"),
            check: derive(b"unjoin/phone/pool/check/1"),
            config,
        };
        pool.check_sizes()?;
        Ok(pool)
    }

    /// Another with every other key: what a store is bound to.
    pub(crate) fn check(&self) -> &[u8; 32] {
        self.check.expose()
    }

    /// What it consists of.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// The epoch in which `now` lies.
    #[doc(hidden)]
    pub fn epoch_of(&self, now: Timestamp) -> u64 {
        now.as_unix_seconds() / self.config.epoch_seconds.max(1)
    }

    /// The slice that `hub` draws from in `epoch`, from 0; `shift` is that of the slot keys.
    pub(crate) fn slice_of(&self, hub: &Name, epoch: u64, shift: u32) -> usize {
        let count = (self.slices.len() as u64).max(1);
        let [a, b, c, d, e, f, g, h, ..] = self.placing.mac(&[hub.as_bytes()]);
        let place = u64::from_le_bytes([a, b, c, d, e, f, g, h]) % count;
        let slice = (u128::from(epoch) + u128::from(shift) + u128::from(place)) % u128::from(count);
        slice as usize
    }

    /// What stands for the hub in the name of its counter's row.
    pub(crate) fn hub_tag(&self, hub: &Name) -> [u8; 32] {
        self.tagging.mac(&[hub.as_bytes()])
    }

    /// The number that `counter` stands for in `hub`'s order of `epoch`, and the counter after
    /// it. Withdrawn numbers are skipped. Two counters of a hub never give the same number in
    /// an epoch, under one shift or several.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`] when the slice is used up. There is no fallback.
    #[doc(hidden)]
    pub fn draw(&self, hub: &Name, epoch: u64, shift: u32, counter: u64) -> Result<Draw, PoolError> {
        self.order(hub, epoch, shift).draw(counter)
    }

    /// `hub`'s order of `epoch`, from which any number of draws are made.
    pub(crate) fn order(&self, hub: &Name, epoch: u64, shift: u32) -> Order<'_> {
        let phase = self.phase(self.slice_of(hub, epoch, shift), epoch);
        let size = phase.map_or(0, |phase| phase.size);
        let key = SecretBytes::new(self.ordering.mac(&[&epoch.to_le_bytes(), hub.as_bytes()]));
        Order { pool: self, phase, permutation: Permutation::new(&key, size), size }
    }

    /// Whether a virtual number is the pool's, in service or not.
    pub fn contains(&self, number: VirtualNumber) -> bool {
        within(&self.listed, number.as_integer())
    }

    /// Whether a number of this pool is listed in the other too.
    fn shares_numbers(&self, other: &Pool) -> bool {
        other.listed.iter().any(|span| overlap(&self.listed, *span) > 0)
    }

    /// Whether a party's number is one of the pool's, in constant time for one pool.
    pub fn contains_party(&self, party: &PhoneNumber) -> bool {
        let party = party.as_integer();
        let outside = |(start, end): &Span| start.ct_gt(&party) | !end.ct_gt(&party);
        let found = self.listed.iter().fold(Choice::from(0), |found, span| found | !outside(span));
        found.into()
    }

    fn phase(&self, slice: usize, epoch: u64) -> Option<&Phase> {
        self.slices.get(slice)?.iter().rev().find(|phase| phase.from <= epoch)
    }

    /// Every slice must hold the largest hub's epoch, whatever is withdrawn.
    fn check_sizes(&self) -> Result<(), PoolError> {
        for phase in self.slices.iter().flatten() {
            let withdrawn = phase.ranges.iter().zip(phase.ends()).map(|((before, first), end)| {
                overlap(&self.withdrawn, (*first, first.saturating_add(end.saturating_sub(*before))))
            });
            let left = phase.size.saturating_sub(withdrawn.fold(0, u64::saturating_add));
            if phase.size > 0 && left < self.config.largest_hub {
                return Err(PoolError::Config(
                    "slices that hold the largest hub's numbers of an epoch at any time, without those withdrawn",
                ));
            }
        }
        Ok(())
    }
}

/// A hub's order of an epoch.
pub(crate) struct Order<'a> {
    pool: &'a Pool,
    phase: Option<&'a Phase>,
    permutation: Permutation,
    size: u64,
}

impl Order<'_> {
    /// See [`Pool::draw`].
    pub(crate) fn draw(&self, counter: u64) -> Result<Draw, PoolError> {
        for at in counter..self.size {
            let number = self.phase.and_then(|phase| phase.number(self.permutation.apply(at)));
            if let Some(number) = number.filter(|number| !within(&self.pool.withdrawn, number.as_integer())) {
                return Ok(Draw { number, next: at.saturating_add(1) });
            }
        }
        let slices = self.pool.slices.len() as u64;
        let needed = self.size.max(counter).saturating_add(1).saturating_mul(slices);
        Err(PoolError::Exhausted { slice: self.size, needed })
    }
}

impl Phase {
    fn number(&self, at: u64) -> Option<VirtualNumber> {
        let range = self.ranges.partition_point(|(before, _)| *before <= at).checked_sub(1)?;
        let (before, first) = self.ranges.get(range)?;
        VirtualNumber::from_integer(first.checked_add(at.checked_sub(*before)?)?)
    }

    /// How many numbers stand up to the end of each range.
    fn ends(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().skip(1).map(|(before, _)| *before).chain([self.size])
    }
}

// Nothing of the numbers or the key.
unjoin_core::opaque!(Pool | pool | slices = pool.slices.len());

/// The phases of a slice: one for each epoch at which a range enters or leaves.
fn phases(ranges: &[PoolRange]) -> Vec<Phase> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable_by_key(|range| range.numbers.first());
    let changes = ranges.iter().flat_map(|range| [Some(range.drawn_from), range.drawn_until]);
    let mut changes: Vec<u64> = changes.flatten().collect();
    changes.sort_unstable();
    changes.dedup();
    let phase = |from: u64| {
        let mut phase = Phase { from, size: 0, ranges: Vec::new() };
        for range in ranges.iter().filter(|range| range.is_drawn_in(from)) {
            phase.ranges.push((phase.size, range.numbers.start()));
            phase.size = phase.size.saturating_add(range.numbers.count());
        }
        phase
    };
    changes.into_iter().map(phase).collect()
}

describe_errors! {
    /// Why there is no number.
    ///
    /// ```
    /// # use unjoin_phone::test_util::{LIFE, pool_config};
    /// use unjoin_core::secret::SecretBytes;
    /// use unjoin_phone::{Pool, PoolConfig, PoolError};
    /// # let config = pool_config(4, 100, LIFE);
    /// let one_slice = PoolConfig { slices: vec![config.slices[0].clone()], ..config };
    /// let error = Pool::new(one_slice, &SecretBytes::new([7; 32])).err().ok_or("a pool")?;
    /// assert!(matches!(error, PoolError::Config(_)));
    /// # Ok::<(), &str>(())
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum PoolError (Host, false) {
        /// A rule of [`PoolConfig`] that does not hold.
        Config(rule: &'static str) => "pool.config", "a pool needs {rule}";
        /// A change to a pool in use that a rule forbids.
        Change(rule: &'static str) => "pool.change", "a pool in use changes only so: {rule}";
        /// A hub has used up its slice in this epoch.
        Exhausted {
            /// How many numbers the slice has.
            slice: u64,
            /// How many the pool would need, at least.
            needed: u64,
        } => "pool.exhausted" (Operator, true),
            "a business has used all {slice} numbers of its slice in this epoch: the pool needs at least \
             {needed} numbers in slices of equal size";
    }
}

#[cfg(test)]
mod tests;
