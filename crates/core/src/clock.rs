//! How far a service believes a clock: one guard for issuer, desk and slot keeper.

use crate::time::Timestamp;
use crate::{describe_errors, fields};

/// How far a service's time goes on at once, in seconds: 10 minutes.
///
/// Ticks come every minute, so a restart or a takeover stays within it. Devices leave as much before a
/// boundary. And it is less than the shortest slot of the slot keys. Anybody who was stopped for longer
/// looks like somebody whose clock leapt. Only a second opinion tells the two apart, so the clock is
/// held until it is confirmed.
pub const CLOCK_LIMIT: u64 = 600;

describe_errors! {
    /// The clock stands too far from the latest time that was believed. Nothing was done.
    ///
    /// ```
    /// use unjoin_core::{ClockError, error::Audience};
    /// let error = ClockError::Ahead { seconds: 86_400 };
    /// // Somebody looks at another clock first; waiting does not help.
    /// assert_eq!((error.code(), error.audience()), ("clock_ahead", Audience::Operator));
    /// assert!(!error.is_retryable() && ClockError::Behind { seconds: 700 }.is_retryable());
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum ClockError (Operator, false) {
        /// More than [`CLOCK_LIMIT`] after it.
        Ahead {
            /// Seconds from the latest time that was believed to the clock.
            seconds: u64,
        } => "clock_ahead",
            "the clock stands {seconds} s after the latest time believed: look at another clock, and if it is \
             right, confirm it";
        /// More than [`CLOCK_LIMIT`] before it.
        Behind {
            /// Seconds from the clock to the latest time that was believed.
            seconds: u64,
        } => "clock_behind" (Operator, true),
            "the clock stands {seconds} s before the latest time believed: set it right, or confirm it if that \
             time was wrong";
    }
}

/// What is known of the time: the latest that was believed (the floor), and the latest that
/// two ticks in sequence have said, by which alone anything is erased.
///
/// The service keeps it in a row, and replaces it in the tick before it does anything else.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockGuard {
    floor: Timestamp,
    settled: Timestamp,
}

impl ClockGuard {
    /// At the first time that is heard: there is nothing to compare it with.
    pub const fn starting(now: Timestamp) -> Self {
        Self { floor: now, settled: Timestamp::ZERO }
    }

    /// At a simulated time, which nobody doubts.
    pub const fn certain(now: Timestamp) -> Self {
        Self { floor: now, settled: now }
    }

    /// The latest time that was believed.
    pub const fn floor(self) -> Timestamp {
        self.floor
    }

    /// What ended after this is not to be erased yet.
    pub const fn settled(self) -> Timestamp {
        self.settled
    }

    /// Whether `now` is near enough to the floor.
    pub const fn check(self, now: Timestamp) -> Result<(), ClockError> {
        let ahead = now.saturating_since(self.floor);
        let behind = self.floor.saturating_since(now);
        if ahead > CLOCK_LIMIT {
            return Err(ClockError::Ahead { seconds: ahead });
        }
        if behind > CLOCK_LIMIT {
            return Err(ClockError::Behind { seconds: behind });
        }
        Ok(())
    }

    /// After a tick at `now`: a later time is believed, and settles the one before. A time that is a
    /// little earlier changes nothing.
    pub const fn tick(self, now: Timestamp) -> Result<Self, ClockError> {
        match self.check(now) {
            Err(error) => Err(error),
            Ok(()) if now.as_unix_seconds() < self.floor.as_unix_seconds() => Ok(self),
            Ok(()) => Ok(Self { floor: now, settled: self.floor }),
        }
    }

    /// After somebody has said that `now` is right, later or earlier than what was believed. It counts
    /// as the first of the two ticks.
    pub fn confirmed(self, now: Timestamp) -> Self {
        Self { floor: now, settled: self.settled.min(now) }
    }

    /// The time for what is decided between ticks: the clock's, as far as it may be believed.
    pub fn bound(self, now: Timestamp) -> Timestamp {
        now.clamp(self.floor, self.floor.saturating_add(CLOCK_LIMIT))
    }
}

fields!(ClockGuard: floor as "floor", settled as "settled");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY;
    use proptest::prelude::*;

    const START: u64 = 1_800_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(START + seconds)
    }

    #[test]
    fn a_leap_is_held_until_confirmed_and_there_is_a_way_back() {
        let guard = ClockGuard::starting(at(0));
        let far = at(3653 * DAY);
        for hop in [far, at(CLOCK_LIMIT + 1)] {
            let seconds = hop.saturating_since(at(0));
            assert_eq!(guard.tick(hop), Err(ClockError::Ahead { seconds }));
        }
        assert_eq!(guard.bound(far), at(CLOCK_LIMIT));
        let confirmed = guard.confirmed(far);
        assert_eq!((confirmed.floor(), confirmed.bound(at(0))), (far, far));
        assert!(matches!(confirmed.tick(at(1)), Err(ClockError::Behind { .. })));
        let back = confirmed.tick(far).unwrap().confirmed(at(1));
        assert_eq!((back.floor(), back.settled()), (at(1), at(1)));
        assert_eq!(back.tick(at(2)).unwrap().floor(), at(2));
    }

    #[test]
    fn a_time_is_settled_by_the_second_tick_that_is_not_earlier() {
        let guard = ClockGuard::starting(at(0));
        let once = guard.tick(at(CLOCK_LIMIT)).unwrap();
        assert_eq!((once.floor(), once.settled()), (at(CLOCK_LIMIT), at(0)));
        // The clock was wrong: nothing is settled, and time stands.
        assert_eq!(once.tick(at(60)), Ok(once));
        assert_eq!(once.tick(at(CLOCK_LIMIT)).unwrap().settled(), at(CLOCK_LIMIT));
    }

    proptest! {
        /// Whatever the clocks say: the floor goes on by no more than the limit a tick and never
        /// back. Nothing is settled that fewer than two ticks have said.
        #[test]
        fn any_clocks_are_bounded(clocks in proptest::collection::vec(0..3 * CLOCK_LIMIT, 1..40)) {
            let mut guard = ClockGuard::starting(at(CLOCK_LIMIT));
            let mut said: Vec<Timestamp> = vec![at(CLOCK_LIMIT)];
            for now in clocks.into_iter().map(at) {
                prop_assert!(guard.bound(now).saturating_since(guard.floor()) <= CLOCK_LIMIT);
                let Ok(next) = guard.tick(now) else {
                    prop_assert!(guard.check(now).is_err());
                    continue;
                };
                said.push(now);
                prop_assert!(next.floor() >= guard.floor() && next.settled() >= guard.settled());
                prop_assert!(next.floor().saturating_since(guard.floor()) <= CLOCK_LIMIT);
                prop_assert_eq!(said.iter().max().copied(), Some(next.floor()));
                prop_assert!(said.iter().filter(|time| **time >= next.settled()).count() >= 2);
                guard = next;
            }
        }
    }
}
