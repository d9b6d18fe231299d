//! How fast the cohorts of a merchant and class have filled, and what follows from that: when one may
//! be sealed, and which fills so fast that somebody may be filling it.
//!
//! The past is kept as counts of 60 days, never as lists.

use unjoin_core::{DAY, Timestamp};
use unjoin_store::record;

/// Seconds of one period of counting.
const PERIOD: u64 = 60 * DAY;
/// So many completed periods are kept: the slowest of them says how fast a class is.
pub(super) const PERIODS: usize = 3;
/// The age in days at which any cohort is old enough.
const OLD_ENOUGH: u64 = 30;

/// What was counted of a merchant and class.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RateRow {
    /// The boundary at which the present period began.
    pub(super) since: Timestamp,
    /// The counted grants of the present period.
    pub(super) current: u32,
    /// Those of the last completed periods, the latest first: at most [`PERIODS`].
    pub(super) past: Vec<u32>,
}

impl RateRow {
    /// A class that nothing is known of but what the host says.
    pub(super) fn starting(since: Timestamp, past: Vec<u32>) -> Self {
        Self { since, current: 0, past }
    }

    /// Adds what was counted until a boundary. That of the last boundary of a period is the period's, of
    /// whichever cohort; so a period is complete at the first boundary after it.
    pub(super) fn count(&mut self, counted: u32, boundary: Timestamp) {
        if boundary < self.since {
            // The clock was wrong before: what was counted under it counts nowhere.
            *self = Self { since: boundary, current: 0, past: std::mem::take(&mut self.past) };
        }
        self.pass(boundary.saturating_sub(1));
        self.current = self.current.saturating_add(counted);
    }

    /// Completes the periods that have ended. Of those that nobody looked at nothing was counted.
    fn pass(&mut self, time: Timestamp) {
        let ended = time.saturating_since(self.since) / PERIOD;
        for _ in 0..ended.min(PERIODS as u64 + 1) {
            self.past.insert(0, std::mem::take(&mut self.current));
            self.past.truncate(PERIODS);
        }
        self.since = self.since.saturating_add(ended.saturating_mul(PERIOD));
    }

    /// The counted grants of the slowest period; nothing while none is complete.
    fn slowest(&self) -> Option<u64> {
        self.past.iter().min().map(|counted| u64::from(*counted))
    }

    /// Whether a cohort of `crowd` customers is sealed at the age of `age` days. With `r` counted
    /// grants a day it is at least `k` and `min(30, 5 / r)` days old, and crowd × age is
    /// at least `min(enough, max(3 k, enough / r))`.
    pub(super) fn seals(&self, enough: u32, k: u32, crowd: u32, age: u32) -> bool {
        let [enough, k, crowd, age] = [enough, k, crowd, age].map(u64::from);
        let (counted, days) = (self.slowest().unwrap_or(0), PERIOD / DAY);
        let order_days = crowd.saturating_mul(age);
        let is_old = age >= OLD_ENOUGH || age.saturating_mul(counted) >= 5 * days;
        let is_large = order_days >= enough
            || order_days >= k.saturating_mul(3)
                && order_days.saturating_mul(counted) >= enough.saturating_mul(days);
        crowd >= k && is_old && is_large
    }

    /// How many customers the past would have brought in `age` days, if `crowd` is more than chance
    /// and growth explain: over twice as many and three standard deviations.
    pub(super) fn outrun_by(&self, crowd: u32, age: u32) -> Option<f64> {
        let expected = self.slowest()? as f64 * f64::from(age) / (PERIOD / DAY) as f64;
        (f64::from(crowd) > 2.0 * expected + 3.0 * expected.sqrt() + 3.0).then_some(expected)
    }
}

record!(RateRow, "rate": since, current, past few(PERIODS));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unjoin_store::Record as _;

    fn day(number: u64) -> Timestamp {
        Timestamp::from_unix_seconds(number * DAY)
    }

    fn rate(past: &[u32]) -> RateRow {
        RateRow::starting(day(0), past.to_vec())
    }

    #[test]
    fn without_a_past_a_cohort_waits_for_thirty_days_and_three_hundred_order_days() {
        assert!(!rate(&[]).seals(300, 10, 10, 29));
        assert!(rate(&[]).seals(300, 10, 10, 30));
        assert!(!rate(&[]).seals(300, 10, 1000, 29) && rate(&[]).seals(300, 10, 1000, 30));
        assert!(!rate(&[]).seals(300, 2, 2, 149) && rate(&[]).seals(300, 2, 2, 150));
        assert!(!rate(&[]).seals(300, 10, 9, 400), "below k");
        // A period in which nothing was counted is no better.
        assert!(!rate(&[0]).seals(300, 10, 10, 29) && rate(&[0]).seals(300, 10, 10, 30));
    }

    #[test]
    fn the_slowest_period_sets_age_and_order_days() {
        // One a day: 5 days, 300 order-days.
        assert!(!rate(&[60]).seals(300, 10, 100, 4) && rate(&[60]).seals(300, 10, 60, 5));
        assert!(!rate(&[60]).seals(300, 10, 17, 17) && rate(&[60]).seals(300, 10, 18, 17));
        assert!(!rate(&[6000, 60, 6000]).seals(300, 10, 100, 4));
        // Ten a day: one day, 30 order-days. A hundred: still 3 k.
        assert!(!rate(&[600]).seals(300, 10, 29, 1) && rate(&[600]).seals(300, 10, 30, 1));
        assert!(!rate(&[6000]).seals(300, 10, 29, 1) && rate(&[6000]).seals(300, 10, 30, 1));
        // With a hundred order-days one a day needs a third of that.
        assert!(!rate(&[60]).seals(100, 10, 19, 5) && rate(&[60]).seals(100, 10, 20, 5));
        // No k makes more than 300 of it.
        assert!(rate(&[6000]).seals(300, 200, 300, 1) && !rate(&[6000]).seals(300, 200, 299, 1));
    }

    #[test]
    fn a_flood_is_noticed_and_ordinary_days_are_not() {
        // A tenth a day, at 30 days: 3 are expected.
        let slow = rate(&[6]);
        assert_eq!(slow.outrun_by(14, 30), None);
        assert_eq!(slow.outrun_by(43, 30), Some(3.0));
        assert_eq!(rate(&[60]).outrun_by(40, 17), None);
        assert_eq!(rate(&[]).outrun_by(1000, 1), None, "nothing to compare with");
    }

    proptest! {
        /// Against the formulas as they are written.
        #[test]
        fn sealing_follows_the_rule(
            past in prop::collection::vec(0u32..3000, 0..=PERIODS), k in 2u32..200, crowd in 0u32..400, age in 0u32..40,
            enough in 100u32..400,
        ) {
            let r = past.iter().min().map_or(0.0, |counted| f64::from(*counted) / 60.0);
            let (a, c) = (30f64.min(5.0 / r), f64::from(enough).min((3.0 * f64::from(k)).max(f64::from(enough) / r)));
            let (n, days) = (f64::from(crowd), f64::from(age));
            let expected = crowd >= k && days >= a - 1e-9 && n * days >= c - 1e-9;
            prop_assert_eq!(rate(&past).seals(enough, k, crowd, age), expected);
        }

        /// Whatever the ticks, a period has what was counted in it, and bought orders raise
        /// nothing before their period is over.
        #[test]
        fn periods_have_what_was_counted_in_them(counts in prop::collection::vec(0u32..50, 1..400)) {
            let mut row = RateRow::starting(day(0), vec![]);
            for (at, counted) in counts.iter().enumerate() {
                row.count(*counted, day(at as u64 + 1));
                let complete: Vec<u32> =
                    counts[..at].chunks_exact(60).map(|period| period.iter().sum()).collect();
                let last: Vec<u32> = complete.iter().rev().take(PERIODS).copied().collect();
                prop_assert_eq!(&row.past, &last);
                prop_assert!(RateRow::from_value(&row.to_value()).is_ok_and(|read| read == row));
            }
        }
    }

    #[test]
    fn periods_that_nobody_looked_at_are_empty() {
        let mut row = RateRow::starting(day(0), vec![9, 9, 9]);
        row.count(50, day(1));
        row.count(7, day(200));
        assert_eq!((row.since, row.current, row.past), (day(180), 7, vec![0, 0, 50]));
        // A clock that was ahead.
        let mut row = RateRow::starting(day(1000), vec![9]);
        row.current = 40;
        row.count(7, day(10));
        assert_eq!((row.since, row.current, row.past), (day(10), 7, vec![9]));
    }
}
