//! Time as an argument: a [`Timestamp`] in whole seconds UTC, the fixed [`Grid`] of
//! boundaries, and (for services) a [`Clock`].
//!
//! Pure cores take a `Timestamp`; only services own a clock. Nothing here is ever stored
//! beside a review: what is stored there is a boundary, which all reviews of a cohort share.

/// Seconds since 1970-01-01T00:00:00Z (UTC, no leap seconds).
///
/// ```
/// use unjoin_core::Timestamp;
/// let t = Timestamp::from_unix_seconds(1_700_000_000);
/// assert_eq!(t.saturating_add(60).as_unix_seconds(), 1_700_000_060);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest time: 1970-01-01T00:00:00Z.
    pub const ZERO: Self = Self(0);

    /// From seconds since 1970-01-01T00:00:00Z.
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn as_unix_seconds(self) -> u64 {
        self.0
    }

    /// This time plus `seconds`, at most the latest representable time.
    pub const fn saturating_add(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This time less `seconds`, at least [`Timestamp::ZERO`].
    pub const fn saturating_sub(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to this time; 0 when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// `2023-11-14T22:13:20Z` (RFC 3339; years from 10000 on have their five digits or more).
///
/// ```
/// use unjoin_core::Timestamp;
/// assert_eq!(Timestamp::from_unix_seconds(1_700_000_000).to_string(), "2023-11-14T22:13:20Z");
/// ```
impl core::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Years are counted from March, so that the leap day is the last of its year; 400 of them are 146,097 days.
        let (days, second) = (self.0 / DAY + 719_468, self.0 % DAY);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
}

/// A number: seconds since 1970-01-01T00:00:00Z.
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::Deserialize::deserialize(deserializer).map(Self)
    }
}

/// Seconds of one day.
pub const DAY: u64 = 86_400;
/// Seconds of one week.
pub const WEEK: u64 = 7 * DAY;
/// 1970-01-05T00:00:00Z, the first Monday.
const FIRST_MONDAY: u64 = 4 * DAY;

/// The fixed grid of boundaries at which cohorts are sealed, reviews are published and ratings
/// change. They are at 00:00 UTC of every day, or of every Monday.
///
/// ```
/// use unjoin_core::{Grid, Timestamp};
/// let thursday = Timestamp::from_unix_seconds(0);
/// let monday = Timestamp::from_unix_seconds(4 * 86_400);
/// assert_eq!(Grid::Weekly.next_after(thursday), monday);
/// assert_eq!(Grid::Weekly.at_or_before(monday), Some(monday));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Boundaries at 00:00 UTC of every day.
    Daily,
    /// Boundaries at 00:00 UTC of every Monday.
    Weekly,
}

impl Grid {
    /// Seconds between two boundaries.
    pub const fn period(self) -> u64 {
        match self {
            Self::Daily => DAY,
            Self::Weekly => WEEK,
        }
    }

    const fn origin(self) -> u64 {
        match self {
            Self::Daily => 0,
            Self::Weekly => FIRST_MONDAY,
        }
    }

    /// The last boundary at or before `time`; `None` before the grid's first boundary.
    pub const fn at_or_before(self, time: Timestamp) -> Option<Timestamp> {
        match time.0.checked_sub(self.origin()) {
            Some(since) => Some(Timestamp(time.0 - since % self.period())),
            None => None,
        }
    }

    /// The first boundary strictly after `time`.
    pub const fn next_after(self, time: Timestamp) -> Timestamp {
        match self.at_or_before(time) {
            Some(boundary) => boundary.saturating_add(self.period()),
            None => Timestamp(self.origin()),
        }
    }

    /// The `count`-th boundary strictly after `time`; `count` 0 counts as 1.
    pub const fn nth_after(self, time: Timestamp, count: u64) -> Timestamp {
        self.next_after(time).saturating_add(self.period().saturating_mul(count.saturating_sub(1)))
    }
}

#[cfg(feature = "system")]
pub use clock::{Clock, ManualClock, SystemClock};

#[cfg(feature = "system")]
mod clock {
    use super::Timestamp;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Where a service takes its time from.
    ///
    /// ```
    /// use unjoin_core::{Clock, SystemClock, Timestamp};
    ///
    /// /// The host's own judgement: the machine's clock is a minute slow.
    /// struct Corrected;
    ///
    /// impl Clock for Corrected {
    ///     fn now(&self) -> Timestamp {
    ///         SystemClock.now().saturating_add(60)
    ///     }
    /// }
    ///
    /// assert!(Corrected.now() > SystemClock.now() && !Corrected.is_simulated());
    /// ```
    pub trait Clock: Send + Sync + 'static {
        /// The present time.
        fn now(&self) -> Timestamp;

        /// Whether this is simulated time: the next day may be a second away. Services take such
        /// a clock at its word; the leaps of any other they hold ([`ClockError`](crate::ClockError)).
        fn is_simulated(&self) -> bool {
            false
        }
    }

    impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
        fn now(&self) -> Timestamp {
            (**self).now()
        }

        fn is_simulated(&self) -> bool {
            (**self).is_simulated()
        }
    }

    /// The machine's clock.
    ///
    /// ```
    /// use unjoin_core::{Clock, SystemClock};
    /// let (before, after) = (SystemClock.now(), SystemClock.now());
    /// // In whole seconds, and no more certain than the machine: services hold its leaps.
    /// assert!(after.saturating_since(before) < 60 && !SystemClock.is_simulated());
    /// ```
    #[derive(Clone, Copy, Debug, Default)]
    pub struct SystemClock;

    impl Clock for SystemClock {
        fn now(&self) -> Timestamp {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Timestamp::from_unix_seconds(since.map_or(0, |d| d.as_secs()))
        }
    }

    /// A clock that stands where it was set: simulations, replays and tests.
    ///
    /// ```
    /// use unjoin_core::{Clock, DAY, ManualClock, Timestamp};
    /// let clock = ManualClock::new(Timestamp::from_unix_seconds(1_700_000_000));
    /// clock.set(clock.now().saturating_add(DAY));
    /// assert_eq!(clock.now().to_string(), "2023-11-15T22:13:20Z");
    /// assert!(clock.is_simulated() && !ManualClock::doubtful(clock.now()).is_simulated());
    /// ```
    #[derive(Debug)]
    pub struct ManualClock {
        now: AtomicU64,
        is_simulated: bool,
    }

    impl ManualClock {
        /// Simulated time, which stands at `now`.
        pub fn new(now: Timestamp) -> Self {
            Self { now: AtomicU64::new(now.as_unix_seconds()), is_simulated: true }
        }

        /// A clock that is no better than a machine's: what services do when it is wrong.
        pub fn doubtful(now: Timestamp) -> Self {
            Self { is_simulated: false, ..Self::new(now) }
        }

        /// Moves the clock to `now`, forward or back.
        pub fn set(&self, now: Timestamp) {
            self.now.store(now.as_unix_seconds(), Ordering::SeqCst);
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_seconds(self.now.load(Ordering::SeqCst))
        }

        fn is_simulated(&self) -> bool {
            self.is_simulated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_time_lies_between_two_neighbouring_boundaries(t in FIRST_MONDAY..1 << 40) {
            for grid in [Grid::Daily, Grid::Weekly] {
                let time = Timestamp(t);
                let (last, next) = (grid.at_or_before(time).unwrap(), grid.next_after(time));
                prop_assert!(last <= time && time < next);
                prop_assert_eq!(next.saturating_since(last), grid.period());
                prop_assert_eq!(grid.nth_after(time, 1), next);
                prop_assert_eq!(grid.nth_after(time, 3), next.saturating_add(2 * grid.period()));
            }
        }
    }

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
        }
        assert!(!Timestamp(u64::MAX).to_string().is_empty());
        assert_eq!(serde_json::to_string(&Timestamp(7)).unwrap(), "7");
        assert_eq!(serde_json::from_str::<Timestamp>("7").unwrap(), Timestamp(7));
        assert!(serde_json::from_str::<Timestamp>("-7").is_err());
    }

    #[test]
    fn weekly_boundaries_are_mondays() {
        // 2018-01-01 was a Monday.
        let monday = Timestamp(1_514_764_800);
        assert_eq!(Grid::Weekly.at_or_before(monday), Some(monday));
        assert_eq!(Grid::Weekly.next_after(monday), Timestamp(monday.0 + WEEK));
        assert_eq!(Grid::Weekly.at_or_before(Timestamp(FIRST_MONDAY - 1)), None);
    }
}
