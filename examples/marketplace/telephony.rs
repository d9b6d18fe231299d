//! The virtual numbers of the orders, and the gang that rings them.
//!
//! Every order gets a number between merchant and customer when it is placed, and a ticket opens
//! it to the merchant at once: the worst case, since an honest merchant needs a ticket only now
//! and then. A number lives a day, and an order that goes on gets another, so that its numbers are dead soon
//! after it was closed and before it is eligible for a token. The gang has the
//! merchant's login, so it has exported every number that the portal ever showed, and rings from
//! the merchant's own phone.

use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    fmt,
    path::PathBuf,
    sync::Arc,
};

use sha2::{Digest, Sha256};
use unjoin::{
    DAY, Environment, Timestamp,
    phone::{
        Attestation, Binding, Channel, Keeper, LocalKey, NumberRange, OrderRef, Parties, PhoneNumber, Pool,
        PoolConfig, Route, RouteRequest, SlotConfig, Switchboard, SwitchboardConfig, SwitchboardError,
        VirtualNumber,
    },
    secret::{SecretBytes, SystemRng},
    store::Store,
};

use crate::data::Order;

/// How long a number lives, in seconds.
const LIFE: u64 = DAY;
/// How many slots of keys: each eight hours long here.
const SLOTS: u8 = 4;
/// How far apart the machines' clocks may be, in seconds.
const SKEW: u64 = 30;
/// A business draws from another slice of the pool each week, and comes back to one after two
/// years.
const EPOCH: u64 = 7 * DAY;
const SLICES: u64 = 104;
/// How long after its end a merchant must not meet a number again: (104 - 1 - 1) weeks less the
/// life, with one recovery of the keys to spare. It outlasts the longest wait for a cohort to
/// fill: a number that comes back sooner rings again, if at somebody else's.
const QUARANTINE: u64 = 700 * DAY;
/// The pool's first number, under Brazil's toll-free prefix.
const FIRST_NUMBER: &str = "+558000000000";
/// An order's numbers are closed so long after its delivery, in seconds.
const NUMBERS_LIVE_ON: i64 = DAY as i64;
/// How many bindings wait for their answers at once.
const IN_FLIGHT: usize = 1024;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Opens the switchboard on its store, with a keeper whose file lies at `key_file`.
pub(crate) fn open<S: Store>(
    orders: &[Order],
    store: Arc<unjoin::store::OwnStore<S>>,
    key_file: PathBuf,
    environment: Environment,
) -> Result<Switchboard<S>> {
    let rng = &mut SystemRng::new();
    let slots = SlotConfig::new(LIFE, SLOTS, SKEW)?;
    let keeper =
        Keeper::create_or_open(key_file, LocalKey::new(SecretBytes::random(rng)), slots, &environment)?;
    let largest_hub = largest_hub(orders);
    let pool = PoolConfig {
        epoch_seconds: EPOCH,
        max_life: LIFE,
        quarantine: QUARANTINE,
        spare_recoveries: 1,
        largest_hub,
        slices: NumberRange::new(VirtualNumber::new(FIRST_NUMBER)?, SLICES * largest_hub)?.slices(SLICES),
        withdrawn: Vec::new(),
        resting: Vec::new(),
    };
    let pool = Arc::new(Pool::new(pool, &SecretBytes::random(rng))?);
    // The scenes ask whether a number rings far more often than people call.
    let config = SwitchboardConfig {
        calls_at_once: usize::MAX,
        calls_per_hour: u32::MAX,
        ..SwitchboardConfig::new(LIFE)
    };
    Ok(Switchboard::open(store, config, pool, Arc::new(keeper), environment)?)
}

/// The most numbers that one merchant draws in one epoch, and room for those that are skipped
/// since a customer has them already from another merchant.
fn largest_hub(orders: &[Order]) -> u64 {
    let mut drawn: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for order in orders {
        let closing = day_of(numbers_die_at(order));
        for day in (day_of(order.purchased_at)..=closing).step_by((LIFE / DAY) as usize) {
            *drawn.entry((&order.merchant, day * DAY / EPOCH)).or_default() += 1;
        }
    }
    drawn.values().copied().max().unwrap_or_default() + 64
}

/// When an order's numbers are closed: some days after its delivery, or after it was due if it
/// never came.
pub(crate) fn numbers_die_at(order: &Order) -> i64 {
    order.delivered_at.unwrap_or_else(|| order.due_at()).max(order.due_at()) + NUMBERS_LIVE_ON
}

fn day_of(moment: i64) -> u64 {
    u64::try_from(moment).unwrap_or_default() / DAY
}

/// What the gang's calls came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Numbers that were made, the second and later ones of long orders included.
    pub(crate) numbers: usize,
    /// Bad reviews that were published, and how many numbers the portal had shown of the orders
    /// of their cohorts.
    pub(crate) bad_published: usize,
    pub(crate) exported: usize,
    /// How many of these put the gang through when the reviews appeared.
    pub(crate) ringing: usize,
    /// Authors of bad reviews who could be reached then by another order of theirs with the
    /// same merchant.
    pub(crate) by_newer_order: usize,
    /// Bad reviews, and how many of their authors' numbers put the merchant through on the day
    /// they were written: what a platform without embargo gives away.
    pub(crate) bad_written: usize,
    pub(crate) ringing_at_once: usize,
}

/// What happened, in words.
impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { numbers, bad_published, exported, ringing, by_newer_order, bad_written, ringing_at_once } =
            self;
        let share = 100.0 * *ringing_at_once as f64 / (*bad_written).max(1) as f64;
        write!(
            f,
            "The gang's calls, from the merchant's phone, with a ticket open on every order ({numbers} numbers made):\n\
             {bad_published} bad reviews were published; of the {exported} numbers that the portal had shown for their \
             cohorts' orders, {ringing} still rang.\n\
             {by_newer_order} of their authors could be reached by a newer order of theirs with the same merchant \
             (no ticket, no call: here every order has one).\n\
             With open merchant legs and no embargo {ringing_at_once} of {bad_written} authors of bad reviews \
             ({share:.0} %) would have been reached on the day they wrote."
        )
    }
}

/// The orders' numbers as the portal shows them.
#[derive(Default)]
pub(crate) struct Numbers<'a> {
    orders: &'a [Order],
    refs: Vec<OrderRef>,
    /// Every number that the portal ever showed for an order.
    exported: Vec<Vec<VirtualNumber>>,
    /// The orders whose present number ends on a day.
    ending: BTreeMap<u64, Vec<usize>>,
    closed: HashSet<usize>,
    pub(crate) calls: Calls,
}

impl<'a> Numbers<'a> {
    /// `refs`: how the platform names the orders.
    pub(crate) fn new(orders: &'a [Order], refs: Vec<OrderRef>) -> Self {
        let exported = vec![Vec::new(); orders.len()];
        Self {
            orders,
            refs,
            exported,
            ending: BTreeMap::new(),
            closed: HashSet::new(),
            calls: Calls::default(),
        }
    }

    /// Which orders get a number on `day`: those that were placed then, and those whose number ended.
    pub(crate) fn wanting(&mut self, placed: &[usize], day: u64) -> Vec<usize> {
        let mut wanting = placed.to_vec();
        let ended = self.ending.remove(&day).unwrap_or_default();
        wanting.extend(ended.into_iter().filter(|order| !self.closed.contains(order)));
        wanting
    }

    /// Gives a number to each of these orders, and opens them all to the merchant.
    pub(crate) fn bind<S: Store>(
        &mut self,
        switchboard: &Switchboard<S>,
        wanting: &[usize],
        now: Timestamp,
    ) -> Result<()> {
        let not_after = now.saturating_add(LIFE);
        for wanting in wanting.chunks(IN_FLIGHT) {
            let mut pending = Vec::with_capacity(wanting.len());
            let mut opened = Vec::with_capacity(wanting.len());
            for &order in wanting {
                let (of, parties) = (self.order_ref(order), self.parties(order)?);
                pending.push((order, switchboard.bind(Binding::merchant(of, parties, not_after))));
            }
            for (order, bound) in pending {
                let bound = match bound.wait() {
                    // The platform has ended the numbers of an order that is long overdue.
                    Err(SwitchboardError::OrderClosed) => {
                        self.closed.insert(order);
                        continue;
                    }
                    bound => bound?,
                };
                opened.push(self.order_ref(order));
                self.exported[order].push(bound.number);
                self.calls.numbers += 1;
                let ends = bound.not_after.as_unix_seconds() / DAY;
                self.ending.entry(ends).or_default().push(order);
            }
            let opened: Vec<&OrderRef> = opened.iter().collect();
            for answer in switchboard.open_tickets(&opened, not_after) {
                answer?;
            }
        }
        Ok(())
    }

    /// Ends the numbers of `orders`: from when on each is dead, in order.
    pub(crate) fn close<S: Store>(
        &mut self,
        switchboard: &Switchboard<S>,
        orders: &[usize],
    ) -> Result<Vec<Timestamp>> {
        let refs = orders.iter().map(|&order| self.order_ref(order)).collect::<Vec<_>>();
        self.closed.extend(orders);
        Ok(switchboard.close_orders(&refs).into_iter().collect::<std::result::Result<_, _>>()?)
    }

    /// What a platform without embargo gives away: the merchant rings the authors of the bad
    /// reviews among `written` on the day they are written.
    pub(crate) fn ring_authors<S: Store>(
        &mut self,
        switchboard: &Switchboard<S>,
        written: &[usize],
    ) -> Result<()> {
        let bad: Vec<usize> = written.iter().copied().filter(|&order| self.is_bad(order)).collect();
        for order in bad {
            self.calls.bad_written += 1;
            self.calls.ringing_at_once += usize::from(self.rings(switchboard, order)? > 0);
        }
        Ok(())
    }

    /// The gang rings when a batch appears: every number of every order of the cohort, and the
    /// authors by their other orders with the merchant.
    pub(crate) fn ring_cohort<S: Store>(
        &mut self,
        switchboard: &Switchboard<S>,
        authors: &[usize],
        cohort: &[usize],
    ) -> Result<()> {
        let bad: Vec<usize> = authors.iter().copied().filter(|&order| self.is_bad(order)).collect();
        if bad.is_empty() {
            return Ok(());
        }
        self.calls.bad_published += bad.len();
        for &order in cohort {
            self.calls.exported += self.exported[order].len();
            self.calls.ringing += self.rings(switchboard, order)?;
        }
        for author in bad {
            let by = &self.orders[author];
            let same = |order: &Order| order.customer == by.customer && order.merchant == by.merchant;
            let others = (0..self.orders.len()).filter(|&other| other != author && same(&self.orders[other]));
            let mut reached = false;
            for other in others {
                reached |= self.rings(switchboard, other)? > 0;
            }
            self.calls.by_newer_order += usize::from(reached);
        }
        Ok(())
    }

    fn is_bad(&self, order: usize) -> bool {
        self.orders[order].stars.is_some_and(|stars| stars <= 2)
    }

    /// How many of an order's numbers put a call from the merchant's phone through.
    fn rings<S: Store>(&self, switchboard: &Switchboard<S>, order: usize) -> Result<usize> {
        let parties = self.parties(order)?;
        let mut ringing = 0;
        for &dialled in &self.exported[order] {
            let request = RouteRequest {
                caller: Some(parties.hub.clone()),
                dialled,
                channel: Channel::Voice,
                attestation: Attestation::Full,
                trusted_trunk: false,
            };
            ringing += usize::from(matches!(switchboard.route(&request)?, Route::Connect { .. }));
        }
        Ok(ringing)
    }

    fn order_ref(&self, order: usize) -> OrderRef {
        self.refs[order].clone()
    }

    /// Phones are made up, one for each merchant and customer; the set holds none.
    fn parties(&self, order: usize) -> Result<Parties> {
        let order = &self.orders[order];
        Ok(Parties { hub: phone(1, &order.merchant)?, customer: phone(2, &order.customer)? })
    }
}

fn phone(area: u8, owner: &str) -> Result<PhoneNumber> {
    let digest: [u8; 32] = Sha256::digest(owner).into();
    let number = digest.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) % 10_000_000_000;
    Ok(PhoneNumber::new(&format!("+55{area}{number:010}"))?)
}
