//! Policies of publication: when an order joins a cohort, when the cohort is sealed, when its reviews appear.

use crate::{calendar::DAY, data::Order};

const HOUR: i64 = 3_600;

/// Which orders gather together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// All of a merchant's orders.
    One,
    /// Late or failed orders apart from the others.
    Late,
    /// The same, and orders of several items apart from orders of one.
    LateAndItems,
}

impl Classes {
    /// The class of an order.
    pub fn of(self, order: &Order) -> u8 {
        match self {
            Self::One => 0,
            Self::Late | Self::LateAndItems if order.late_or_failed() => 1,
            Self::Late => 0,
            Self::LateAndItems => u8::from(order.items > 1) * 2,
        }
    }

    /// All classes, with their names.
    pub fn each(self) -> &'static [(u8, &'static str)] {
        match self {
            Self::One => &[(0, "all orders")],
            Self::Late => &[(0, "on time"), (1, "late or failed")],
            Self::LateAndItems => {
                &[(0, "on time, one item"), (2, "on time, several items"), (1, "late or failed")]
            }
        }
    }

    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "none",
            Self::Late => "late",
            Self::LateAndItems => "late, items",
        }
    }
}

/// When an order joins a cohort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry {
    /// When it is due. The cohort then waits until the numbers of *all* its orders are dead: so long after the end
    /// of each.
    Due {
        /// Seconds.
        numbers_live_on: i64,
    },
    /// When its own numbers are dead and `hold` has passed.
    Dead {
        /// From the order's end to its numbers' death, in seconds.
        embargo: i64,
        /// From that death to the order's joining, in seconds.
        hold: i64,
        /// Whether the wallet asks at a random time within the next 24 hours, or at once.
        draw: bool,
    },
}

/// When a cohort that has its k customers is sealed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sealing {
    /// When it has been open for so long.
    Age(f64),
    /// The protocol's rule: a = min(30, 5/r) days and C = min(c, max(3k, c/r)) order-days, where r is the rate of
    /// the class in its past.
    ByRate {
        /// The most order-days.
        c: f64,
    },
}

/// When reviews appear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The fewest customers of a cohort.
    pub k: usize,
    /// Which orders gather apart.
    pub classes: Classes,
    /// When an order joins a cohort.
    pub entry: Entry,
    /// When a cohort is full.
    pub sealing: Sealing,
    /// Whether an account has at most one order in a cohort.
    pub once_per_account: bool,
    /// A cohort that is open for so long is ended without a manifest.
    pub open_at_most: Option<i64>,
    /// Whether the host states the past rate of each class when it first names the merchant.
    pub states_rates: bool,
    /// From one boundary to the next, in seconds.
    pub period: i64,
    /// From the sealing boundary to the first publication.
    pub first_publication: i64,
    /// From the first publication to the later ones.
    pub later_publications: &'static [i64],
}

/// From due on, numbers are ended at the latest after so long.
pub(super) const FORCED_AFTER: i64 = 30 * DAY;
/// Counts of grants are kept for periods of so long.
pub(super) const PERIOD_OF_COUNTS: i64 = 60 * DAY;
pub(super) const PERIODS_LOOKED_AT: usize = 3;

impl Policy {
    /// The rules of the protocol.
    pub fn protocol(k: usize) -> Self {
        Self {
            k,
            classes: Classes::Late,
            entry: Entry::Dead { embargo: DAY, hold: 2 * DAY, draw: true },
            sealing: Sealing::ByRate { c: 300.0 },
            once_per_account: true,
            open_at_most: Some(400 * DAY),
            states_rates: false,
            period: DAY,
            first_publication: DAY,
            later_publications: &[7 * DAY, 28 * DAY, 56 * DAY],
        }
    }

    /// The protocol's, as a marketplace sets it whose shops have ten fast orders a day or more: the day after an
    /// order's end its token can be granted, and late orders, of which there are few, wait for fewer order-days.
    pub fn fast(k: usize) -> Self {
        Self {
            entry: Entry::Dead { embargo: 6 * HOUR, hold: DAY, draw: true },
            sealing: Sealing::ByRate { c: 100.0 },
            states_rates: true,
            ..Self::protocol(k)
        }
    }

    /// Weekly, an order joins when it is due, and a cohort waits for the last number of any of its orders.
    pub fn weekly(k: usize) -> Self {
        Self {
            k,
            classes: Classes::Late,
            entry: Entry::Due { numbers_live_on: 3 * DAY },
            sealing: Sealing::Age(7.0),
            once_per_account: false,
            open_at_most: None,
            states_rates: false,
            period: 7 * DAY,
            first_publication: 7 * DAY,
            later_publications: &[49 * DAY],
        }
    }

    /// Every midnight a cohort that has its k customers is published: nothing hides the delay of writing.
    pub fn daily_without_hold(k: usize) -> Self {
        Self {
            entry: Entry::Dead { embargo: DAY, hold: 0, draw: false },
            sealing: Sealing::Age(0.0),
            once_per_account: false,
            open_at_most: None,
            ..Self::protocol(k)
        }
    }

    /// When the numbers of the order are dead.
    pub fn numbers_die_at(&self, order: &Order) -> i64 {
        let due = order.due_at();
        let end = order.delivered_at.unwrap_or(due).max(due);
        match self.entry {
            Entry::Due { numbers_live_on } => end + numbers_live_on,
            Entry::Dead { embargo, .. } => (end + embargo).min(due.max(order.purchased_at) + FORCED_AFTER),
        }
    }

    /// When a token of the order may be granted.
    pub fn eligible_at(&self, order: &Order) -> i64 {
        match self.entry {
            Entry::Due { .. } => order.due_at(),
            Entry::Dead { hold, .. } => self.numbers_die_at(order) + hold,
        }
    }

    /// Whether a cohort of so many accounts and so many days is sealed. `rate` is the class's in its past, in grants
    /// a day.
    pub fn seals(&self, accounts: usize, age: f64, rate: Option<f64>) -> bool {
        let (k, n) = (self.k as f64, accounts as f64);
        let (least_age, order_days) = match self.sealing {
            Sealing::Age(days) => (days, 0.0),
            Sealing::ByRate { c } => match rate {
                Some(rate) if rate > 0.0 => ((5.0 / rate).min(30.0), (c / rate).max(3.0 * k).min(c)),
                _ => (30.0, c),
            },
        };
        n >= k && age >= least_age && n * age >= order_days
    }

    /// The first boundary after a moment.
    pub fn boundary_after(&self, moment: i64) -> i64 {
        moment - moment.rem_euclid(self.period) + self.period
    }
}
