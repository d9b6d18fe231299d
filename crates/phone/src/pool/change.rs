//! Changing a pool that is in use: what keeps every number routable while a binding is on it,
//! and every hub from meeting a number too early.

use super::config::{PoolConfig, PoolRange, Span};
use super::{Pool, PoolError};
use subtle::ConstantTimeEq;
use unjoin_core::Timestamp;

impl Pool {
    /// Whether processes that use this pool may go over to `next` at `now`, one after the other.
    /// Ask it when the configuration is changed, before it is rolled out, against what is rolled
    /// out now.
    ///
    /// * What a slice consists of in the present epoch does not change: numbers come and go with a
    ///   coming epoch. (What is out of order at once is `withdrawn`, at any time.)
    /// * A number leaves the configuration only when it has not been drawn for the longest life, so
    ///   that no binding is on it.
    /// * It goes to another slice only when it has not been drawn for the longest life and the
    ///   quarantine.
    /// * With another number of slices, another length of epochs or another key, all numbers in
    ///   slices are new. The earlier ones go on as `resting` from now.
    ///
    /// ```
    /// # use unjoin_phone::{NumberRange, Pool, PoolConfig, PoolRange, VirtualNumber};
    /// # use unjoin_core::Timestamp;
    /// # use unjoin_core::secret::SecretBytes;
    /// # let range = |first: &str| NumberRange::new(VirtualNumber::new(first).unwrap(), 100).unwrap();
    /// # let slice = |first: &str| vec![PoolRange::in_service(range(first))];
    /// # let config = PoolConfig {
    /// #     epoch_seconds: 86_400, max_life: 7_200, quarantine: 86_400, spare_recoveries: 0, largest_hub: 50,
    /// #     slices: vec![slice("+8617000000000"), slice("+8617000001000"), slice("+8617000002000")],
    /// #     withdrawn: vec![], resting: vec![],
    /// # };
    /// # let key = SecretBytes::new([7; 32]);
    /// # let now = Timestamp::from_unix_seconds(20_000 * 86_400);
    /// let pool = Pool::new(config.clone(), &key)?;
    /// // 100 numbers more in the first slice, and the ones it has drained: from tomorrow on.
    /// let mut change = config.clone();
    /// let tomorrow = now.as_unix_seconds() / config.epoch_seconds + 1;
    /// change.slices[0][0].drawn_until = Some(tomorrow);
    /// change.slices[0].push(PoolRange { drawn_from: tomorrow, ..PoolRange::in_service(range("+8617000003000")) });
    /// pool.check_change(&Pool::new(change.clone(), &key)?, now)?;
    /// // Taken out today they would not be routed any more, though calls may still come.
    /// change.slices[0].remove(0);
    /// assert!(pool.check_change(&Pool::new(change, &key)?, now).is_err());
    /// # Ok::<(), unjoin_phone::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// [`PoolError::Change`] with the rule that does not hold.
    pub fn check_change(&self, next: &Pool, now: Timestamp) -> Result<(), PoolError> {
        let change = Change {
            old: self,
            next,
            same_division: self.slices.len() == next.slices.len()
                && self.config.epoch_seconds == next.config.epoch_seconds
                && bool::from(self.check.ct_eq(&next.check)),
            now,
            epoch: self.epoch_of(now),
        };
        let (old, new) = (places(&self.config), places(&next.config));
        let edges = |places: &[(Span, Place)]| -> Vec<u64> {
            places.iter().flat_map(|((start, end), _)| [*start, *end]).collect()
        };
        let mut starts = edges(&old);
        starts.extend(edges(&new));
        starts.sort_unstable();
        starts.dedup();
        // Between two edges all numbers have one place in the old pool, and one in the new.
        starts.into_iter().try_for_each(|start| change.check(place_of(&old, start), place_of(&new, start)))
    }
}

/// Where a number stands.
#[derive(Clone, Copy)]
enum Place {
    Slice(usize, PoolRange),
    /// Since then.
    Resting(Timestamp),
}

struct Change<'a> {
    old: &'a Pool,
    next: &'a Pool,
    same_division: bool,
    now: Timestamp,
    /// Of the old pool.
    epoch: u64,
}

impl Change<'_> {
    fn check(&self, old: Option<Place>, new: Option<Place>) -> Result<(), PoolError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(PoolError::Change(rule)) };
        match (old, new) {
            (None, None | Some(Place::Resting(_))) => Ok(()),
            (None, Some(Place::Slice(_, range))) => rule(
                !self.same_division || range.drawn_from > self.epoch,
                "new numbers are drawn from a coming epoch on",
            ),
            (Some(place), None) => rule(
                self.drained(place).is_none_or(|drained| drained.saturating_add(self.max_life()) <= self.now),
                "a number is taken off the list when it has been drawn no more for the longest life",
            ),
            (Some(place), Some(Place::Resting(since))) => rule(
                self.may_leave(place) && self.drained(place).is_none_or(|drained| drained <= since),
                "numbers that go on as resting rest from the time at which drawing them ends",
            ),
            (Some(Place::Slice(from, old)), Some(Place::Slice(to, new)))
                if self.same_division && from == to =>
            {
                rule(
                    old.is_drawn_in(self.epoch) == new.is_drawn_in(self.epoch),
                    "what a slice consists of changes with a coming epoch",
                )
            }
            (Some(place), Some(Place::Slice(_, new))) => {
                let in_time = self.may_leave(place) && (!self.same_division || new.drawn_from > self.epoch);
                let rest = self.max_life().saturating_add(self.old.config.quarantine);
                let start = self.next.start_of(new.drawn_from).max(self.now);
                rule(
                    in_time
                        && self.drained(place).is_none_or(|drained| drained.saturating_add(rest) <= start),
                    "a number changes its slice when it has been drawn no more for the longest life and the quarantine",
                )
            }
        }
    }

    /// Whether a number can leave its slice without changing what the slice consists of now.
    fn may_leave(&self, place: Place) -> bool {
        match place {
            Place::Slice(_, range) => !self.same_division || !range.is_drawn_in(self.epoch),
            Place::Resting(_) => true,
        }
    }

    /// From when on the old pool does not draw a number; `None` if it never did. What is in
    /// service may be drawn until all processes have gone over: call that now.
    fn drained(&self, place: Place) -> Option<Timestamp> {
        match place {
            Place::Resting(since) => Some(since),
            Place::Slice(_, range) if range.drawn_from > self.epoch => None,
            Place::Slice(_, range) => Some(match range.drawn_until {
                Some(until) if until <= self.epoch => self.old.start_of(until),
                _ => self.now,
            }),
        }
    }

    fn max_life(&self) -> u64 {
        self.old.config.max_life
    }
}

impl Pool {
    pub(crate) fn start_of(&self, epoch: u64) -> Timestamp {
        Timestamp::from_unix_seconds(epoch.saturating_mul(self.config.epoch_seconds))
    }
}

/// Sorted by their numbers; none overlap.
fn places(config: &PoolConfig) -> Vec<(Span, Place)> {
    let span = |numbers: &super::NumberRange| (numbers.start(), numbers.end());
    let mut places: Vec<(Span, Place)> = Vec::new();
    for (slice, ranges) in config.slices.iter().enumerate() {
        places.extend(ranges.iter().map(|range| (span(&range.numbers), Place::Slice(slice, *range))));
    }
    places.extend(config.resting.iter().map(|(numbers, since)| (span(numbers), Place::Resting(*since))));
    places.sort_unstable_by_key(|(span, _)| *span);
    places
}

fn place_of(places: &[(Span, Place)], number: u64) -> Option<Place> {
    let behind = places.partition_point(|((start, _), _)| *start <= number);
    let ((_, end), place) = places.get(behind.checked_sub(1)?)?;
    (number < *end).then_some(*place)
}
