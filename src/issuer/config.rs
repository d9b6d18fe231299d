//! What the host decides about an issuer.

use super::IssuerError;
use unjoin_core::{DAY, Grid, Name};
use unjoin_store::queue::QueueConfig;

/// How an [`Issuer`](super::Issuer) works: fixed while it is open. Everything but the name and
/// the grid may change at a restart; a cohort keeps the k that it was opened with.
///
/// ```
/// use unjoin::{DAY, Grid, Name, issuer::IssuerConfig};
/// let mut config = IssuerConfig::new(Name::new("shop.example")?);
/// assert_eq!((config.grid, config.hold, config.classes[0].k), (Grid::Daily, 2 * DAY, 10));
/// config.hold = DAY; // food is reviewed sooner
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The issuer's name, which every enrolment is bound to.
    pub name: Name,
    /// The boundaries at which cohorts are sealed and reviews are published.
    pub grid: Grid,
    /// The outcome classes in use: 1 to 256, each once.
    pub classes: Vec<ClassPolicy>,
    /// How long after the end of its numbers was reported an order has a token to ask for, in seconds. It
    /// hides how long after its order a review was written: 2 days where reviews take days to be
    /// written, 1 day for food.
    pub hold: u64,
    /// The customers of a cohort times its days at which it is large enough, whatever its past: 100 or
    /// more. 300, or 100 where every shop has ten orders a day or more. A larger number hides better
    /// and costs days, above all those of late orders.
    pub order_days: u32,
    /// How long an account waits before it enrols another wallet, in seconds. One day or more,
    /// counted from the end of the UTC day of the last enrolment.
    pub re_enrolment_interval: u64,
    /// The age in seconds from which a cohort that has not reached its k is reported. It is counted
    /// from the end of the UTC day on which the cohort opened.
    pub starving_after: u64,
    /// How long after an order's due time its numbers may stay alive, in seconds: then they are reported, for
    /// telephony to end them.
    pub numbers_overdue_after: u64,
    /// The bounds of the queue of token requests.
    pub queue: QueueConfig,
}

/// One outcome class: what the merchant could see go right or wrong with an order.
///
/// ```
/// use unjoin::{Name, PlatformConfig, issuer::ClassPolicy};
/// let mut config = PlatformConfig::new(Name::new("shop.example")?);
/// // 0: on time. 1: late, failed or complained about.
/// config.issuer.classes = vec![ClassPolicy { class: 0, k: 15 }, ClassPolicy { class: 1, k: 15 }];
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassPolicy {
    /// Its number, chosen by the host.
    pub class: u8,
    /// How many distinct customers of standing share a cohort at least: 2 or more. Best the same
    /// for all classes: manifests say the least of them.
    pub k: u32,
}

impl IssuerConfig {
    /// The defaults: daily boundaries, a hold of 2 days, and 300 order-days. Class 0 (on time) and class 1 (late,
    /// failed, or complained about), both with k = 10. Re-enrolment after 30 days. Cohorts are reported
    /// as starving after 90 days, numbers as overdue 30 days after the order was due.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            grid: Grid::Daily,
            classes: vec![ClassPolicy { class: 0, k: 10 }, ClassPolicy { class: 1, k: 10 }],
            hold: 2 * DAY,
            order_days: 300,
            re_enrolment_interval: 30 * DAY,
            starving_after: 90 * DAY,
            numbers_overdue_after: 30 * DAY,
            queue: QueueConfig::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), IssuerError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(IssuerError::Config(rule)) };
        rule(!self.classes.is_empty(), "name at least one outcome class")?;
        for (at, policy) in self.classes.iter().enumerate() {
            rule(policy.k >= 2, "every class needs a k of 2 or more: a crowd of one is nobody's shelter")?;
            let twice = self.classes.iter().skip(at + 1).any(|other| other.class == policy.class);
            rule(!twice, "name every class once")?;
        }
        rule(self.order_days >= 100, "order_days needs 100 or more: less was never measured")?;
        rule(self.re_enrolment_interval >= DAY, "re-enrolment needs an interval of one day or more")
    }

    /// What a manifest says of a cohort with this k: no more than the least k of all classes. More
    /// would tell everybody which orders were late.
    pub(super) fn advertised(&self, k: u32) -> u32 {
        self.classes.iter().map(|policy| policy.k).fold(k, u32::min)
    }

    /// The k of a class; `None` if the class is not in use.
    pub(super) fn k(&self, class: u8) -> Option<u32> {
        self.classes.iter().find(|policy| policy.class == class).map(|policy| policy.k)
    }
}

/// The host's judgement whether an account counts towards a cohort's k.
///
/// k customers protect nobody if k - 1 of them are the merchant's own accounts. What it costs
/// to have an account counted is what it costs to isolate the last one. A good answer rests on
/// what is dear to forge. That is a paid and unrefunded history with several merchants, an account of
/// some age, a payment instrument of its own.
///
/// It is asked once for each grant, on the issuer's worker thread, and the answer is stored:
/// answer from memory or fast.
///
/// ```
/// use std::collections::HashSet;
/// use unjoin::{Name, issuer::StandingPolicy};
/// /// Accounts with a paid, unrefunded history, as the host's own job finds them.
/// struct Regulars(HashSet<Name>);
///
/// impl StandingPolicy for Regulars {
///     fn of_standing(&self, account: &Name, _merchant: &Name) -> bool {
///         self.0.contains(account)
///     }
/// }
/// let (known, stranger, shop) = (Name::new("ann")?, Name::new("bob")?, Name::new("lamps.example")?);
/// let policy = Regulars(HashSet::from([known.clone()]));
/// assert!(policy.of_standing(&known, &shop) && !policy.of_standing(&stranger, &shop));
/// # Ok::<(), unjoin::NameError>(())
/// ```
pub trait StandingPolicy: Send + Sync + 'static {
    /// Whether `account`'s grant at `merchant` counts.
    fn of_standing(&self, account: &Name, merchant: &Name) -> bool;
}

/// Counts every account.
///
/// This gives up the defence against bought crowds. A merchant that opens k - 1 accounts and places
/// k - 1 orders knows which review is the stranger's. For simulations, and for platforms whose
/// accounts are dear to get by themselves.
///
/// ```
/// use unjoin::{Name, issuer::{EveryoneOfStanding, StandingPolicy}};
/// let (account, merchant) = (Name::new("opened a minute ago")?, Name::new("lamps")?);
/// assert!(EveryoneOfStanding.of_standing(&account, &merchant));
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EveryoneOfStanding;

impl StandingPolicy for EveryoneOfStanding {
    fn of_standing(&self, _account: &Name, _merchant: &Name) -> bool {
        true
    }
}
