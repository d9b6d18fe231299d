//! The switchboard: makes numbers between two parties, puts calls through, and ends both.
//!
//! # One record decides
//!
//! An order's record, in the merchant's partition, says of each leg (merchant and customer,
//! courier and customer) which number it has, by which attempt, until when, in which
//! directions. There is no phone in it. Under the number lies, for each party, an index row
//! that says, sealed, whom this caller reaches; it counts only as long as the order's record
//! and the merchant's generation agree. So releasing, replacing, extending, closing and cutting
//! off are one write each, and hold from then on for every call.
//!
//! # The flow
//!
//! 1. [`bind`](Switchboard::bind): a number is drawn for the business side, index rows are
//!    written, the leg is made live, all by one call to the store. A crash anywhere leaves it
//!    refused; asked again, it is made with another number.
//! 2. [`route`](Switchboard::route): for each call, always the same work, one refusal.
//! 3. [`extend`](Switchboard::extend), [`replace`](Switchboard::replace),
//!    [`open_ticket`](Switchboard::open_ticket), [`release`](Switchboard::release) while the
//!    order lives.
//! 4. [`close_orders`](Switchboard::close_orders): the end. The answer says when nobody can
//!    read any more who had the order's numbers: what a cohort of reviews waits for.
//! 5. [`tick`](Switchboard::tick) clears away. Nothing rests on its having run.
//!
//! **After a restore** from a backup, or a failover that may have lost writes, the keeper
//! replaces all slot keys ([`Keeper::recover`](crate::Keeper::recover)). Every number of
//! before is dead then, whatever the restored records say, and the hosts bind again.

mod bind;
mod binding;
mod calls;
mod changes;
mod claims;
mod config;
mod counters;
mod error;
mod job;
mod legs;
mod routing;
mod rows;
mod running;
mod sweep;

#[cfg(test)]
mod tests;

pub use binding::{Binding, Bound, Directions, Leg, OrderRef, Parties};
pub use calls::{CallEnd, CallEvent, CallEvents, CallId, CallProgress, OrderTag};
pub use config::SwitchboardConfig;
pub use counters::RouteCounts;
pub use error::SwitchboardError;
pub use rows::Side;
pub use sweep::SwitchboardReport;

use self::changes::Extension;
use self::counters::{MissCounters, RouteCounters};
use self::job::{Job, Purpose};
use self::rows::{Channels, Entry, IndexRow, OrderId, OrderRow, Terms};
use self::sweep::Walk;
use super::{PhoneNumber, Pools, Route, RouteRequest, Slot, SlotKey, SlotKeyWindow, SlotKeys, VirtualNumber};
use rand_core::CryptoRng;
use std::sync::{Arc, Mutex};
use unjoin_core::{Environment, Name, Timestamp};
use unjoin_store::identity::Role;
use unjoin_store::observed::Work;
use unjoin_store::queue::{GroupQueue, Pending};
use unjoin_store::{OwnStore, Record, Store};

/// The telephony service. All methods may be called from any thread, and several instances may
/// share a store; they need the same pools and the same keeper's keys. They block on the store,
/// [`bind`](Self::bind) and [`replace`](Self::replace) apart.
///
/// Dropping it decides what was submitted and then ends its threads.
///
/// ```no_run
/// use std::sync::Arc;
/// use unjoin_phone::*;
/// use unjoin_core::{DAY, Environment, Name};
/// use unjoin_core::secret::SecretBytes;
/// use unjoin_store::{MemoryStore, Stores, identity::{Role, Roster}};
///
/// let environment = Environment::system();
/// // 90 minutes at most, over four slots; clocks differ by 30 seconds.
/// let slots = SlotConfig::new(90 * 60, 4, 30)?;
/// let key = LocalKey::from_file("/run/secrets/slot-key-encryption")?;
/// let keeper = Arc::new(Keeper::create_or_open("/var/lib/phones/slot-keys", key, slots, &environment)?);
/// // Eight slices of 10,000 numbers each, a slice a day: no business sees a number twice in five days.
/// let numbers = NumberRange::new(VirtualNumber::new("+86700000000000000")?, 80_000)?;
/// let pool = PoolConfig {
///     epoch_seconds: DAY,
///     max_life: 4 * 3600,
///     quarantine: 5 * DAY,
///     spare_recoveries: 1,
///     largest_hub: 8_000,
///     slices: numbers.slices(8),
///     withdrawn: vec![],
///     resting: vec![],
/// };
/// let pool = Arc::new(Pool::new(pool, &SecretBytes::new([7; 32]))?);
/// let config = SwitchboardConfig::new(4 * 3600);
/// # let rng = &mut unjoin_core::secret::SystemRng::new();
/// # let roster = Roster::alone(Role::Telephony, rng);
/// let stores = Stores::create(&roster, [(Role::Telephony, Arc::new(MemoryStore::new()))], rng)?;
/// let store = stores.own(Role::Telephony)?;
/// let board = Switchboard::open(store, config, pool, keeper.clone(), environment.clone())?;
///
/// let order = OrderRef { merchant: Name::new("merchant 17")?, order: Name::new("order 4711")? };
/// let parties = Parties {
///     hub: PhoneNumber::new("+8613800138000")?,
///     customer: PhoneNumber::new("+8613911112222")?,
/// };
/// let not_after = environment.now().saturating_add(3600);
/// let bound = board.bind(Binding::courier(order, Name::new("courier 5")?, parties, not_after)).wait()?;
///
/// let request = RouteRequest {
///     caller: Some(PhoneNumber::new("+8613911112222")?),
///     dialled: bound.number,
///     channel: Channel::Voice,
///     attestation: Attestation::Full,
///     trusted_trunk: false,
/// };
/// assert!(matches!(board.route(&request)?, Route::Connect { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Switchboard<S: Store> {
    core: Arc<Core<S>>,
    queue: GroupQueue<Job, Result<Bound, SwitchboardError>>,
}

/// What the methods and the queue's workers share.
struct Core<S> {
    store: Arc<OwnStore<S>>,
    config: SwitchboardConfig,
    pools: Pools,
    slot_keys: Arc<dyn SlotKeys>,
    environment: Environment,
    miss_counters: MissCounters,
    route_counters: RouteCounters,
    calls: calls::Calls,
    claims: claims::Claims,
    walk: Mutex<Walk>,
    /// In the place of callers who show no number.
    nobody: PhoneNumber,
    /// In the place of records that do not exist.
    no_order: Vec<u8>,
    #[cfg(test)]
    work: tests::Work,
}

/// Under +999, which no country has.
const NOBODY: u64 = 999_999_999_999_999;

impl<S: Store> Switchboard<S> {
    /// Opens the switchboard on a store that is empty or was one's before, and starts its
    /// workers. One pool (`Arc<Pool>`), or several ([`Pools`]).
    ///
    /// # Errors
    /// [`SwitchboardError::Config`], [`SwitchboardError::Threads`]; [`SwitchboardError::Store`] when the
    /// store is for something else, or a pool's label was opened with another key before.
    pub fn open(
        store: Arc<OwnStore<S>>,
        config: SwitchboardConfig,
        pools: impl Into<Pools>,
        slot_keys: Arc<dyn SlotKeys>,
        environment: Environment,
    ) -> Result<Self, SwitchboardError> {
        let pools = pools.into();
        config.check(pools.max_life())?;
        store.is_for(Role::Telephony)?;
        for labelled in pools.all() {
            store.bind_of("pool key", labelled.label.as_bytes(), labelled.pool.check())?;
        }
        let nobody =
            PhoneNumber::from_integer(NOBODY).ok_or(SwitchboardError::Config("a number of nobody"))?;
        let nowhere =
            VirtualNumber::from_integer(NOBODY).ok_or(SwitchboardError::Config("a number of nobody"))?;
        let bounds = config.queue;
        let core = Arc::new(Core {
            store,
            config,
            pools,
            slot_keys,
            environment,
            miss_counters: MissCounters::new(),
            route_counters: RouteCounters::default(),
            calls: calls::Calls::new(),
            claims: claims::Claims::default(),
            walk: Mutex::default(),
            nobody,
            no_order: OrderRow::dummy(nowhere).to_value(),
            #[cfg(test)]
            work: tests::Work::default(),
        });
        let (work, told) = (Arc::clone(&core), Work::new("numbers"));
        let queue = GroupQueue::start(bounds, move |jobs| told.timed(jobs.len(), || work.make(&jobs)))
            .map_err(|error| SwitchboardError::Threads(error.into()))?;
        Ok(Self { core, queue })
    }

    /// How many bindings wait for a worker now.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Makes a number between two parties. The answer comes when it rings, durably.
    ///
    /// Idempotent on (order, leg): while the leg is live between the same parties, the answer
    /// is its present number and end, whatever else the request says. A leg whose time is over
    /// is made anew, with another number: an order may take longer than a number lives. One that
    /// was released, or whose merchant was cut off, never is.
    ///
    /// The answer's errors: [`DifferentParties`](SwitchboardError::DifferentParties),
    /// [`Ended`](SwitchboardError::Ended), [`OrderClosed`](SwitchboardError::OrderClosed),
    /// [`EndPassed`](SwitchboardError::EndPassed), [`EndTooFar`](SwitchboardError::EndTooFar),
    /// [`CutOff`](SwitchboardError::CutOff), [`PoolExhausted`](SwitchboardError::PoolExhausted) when the hub has
    /// used up its slice and those of the fallbacks, and those of keys and store. After a store's error the number may be
    /// live all the same: ask again. At once come [`SameParty`](SwitchboardError::SameParty),
    /// [`PartyInPool`](SwitchboardError::PartyInPool), [`CalleeBarred`](SwitchboardError::CalleeBarred),
    /// [`UnknownPool`](SwitchboardError::UnknownPool),
    /// [`MerchantDirection`](SwitchboardError::MerchantDirection), and
    /// [`Queue`](SwitchboardError::Queue) when the queue is full or stopped.
    pub fn bind(&self, binding: Binding) -> Pending<Bound, SwitchboardError> {
        self.core.binding(binding).map_or_else(Pending::refused, |job| self.queue.submit(job))
    }

    /// Makes the leg's number anew between other parties: the old number ends and the new one
    /// rings by one write: the courier changed, or a phone was wrong. End, directions, channels,
    /// ticket and pool are taken over. The old parties' calls that are going on are the gateway's to end.
    ///
    /// `courier` and `parties` are the leg's from now on; no courier means the merchant's leg.
    /// `replaces` is the number that goes: it names what is replaced, so that a replacement that
    /// comes late never brings a former courier back.
    ///
    /// Idempotent: when the leg is live between these parties, the answer is its number.
    ///
    /// The answer's errors: [`Superseded`](SwitchboardError::Superseded) when the leg has a
    /// third number by now, [`UnknownBinding`](SwitchboardError::UnknownBinding),
    /// [`Ended`](SwitchboardError::Ended), [`OrderClosed`](SwitchboardError::OrderClosed),
    /// [`KeysReplaced`](SwitchboardError::KeysReplaced), [`CutOff`](SwitchboardError::CutOff),
    /// [`PoolExhausted`](SwitchboardError::PoolExhausted), and those of keys and store. The old number rings on
    /// then, if it did. At once come those of [`bind`](Self::bind).
    pub fn replace(
        &self,
        order: &OrderRef,
        courier: Option<Name>,
        parties: Parties,
        replaces: VirtualNumber,
    ) -> Pending<Bound, SwitchboardError> {
        let purpose = (Purpose::Replace(replaces), self.core.pools.chain_of(replaces));
        let job = self.core.job(order, courier, parties, purpose);
        job.map_or_else(Pending::refused, |job| self.queue.submit(job))
    }

    /// Decides one call or message: see [`RouteRequest`]. It calls nothing but the keys and the
    /// store, twice, and changes nothing there; a call that is put through is remembered in memory.
    ///
    /// # Errors
    /// [`SwitchboardError::Keys`] and [`SwitchboardError::Store`]: the gateway refuses then, as
    /// it does for [`Route::Refuse`].
    pub fn route(&self, request: &RouteRequest) -> Result<Route, SwitchboardError> {
        self.core.route(request)
    }

    /// The calls that this instance has put through and that nothing allows any more: their number was released or replaced, their
    /// order closed, their merchant cut off, the ticket that opened them or their longest duration is over. **Ask every second, and end
    /// them**; each is named again until [`call_told`](Self::call_told) says that it has ended. It reads what has begun and ended since
    /// the last time, by whichever process, and one row for each of the 4,096 parts of all orders that has a call.
    ///
    /// # Errors
    /// Those of keys and store. Ask again.
    pub fn calls_to_end(&self) -> Result<Vec<CallId>, SwitchboardError> {
        self.core.calls_to_end()
    }

    /// What a gateway says of a call that this instance has put through. Nothing happens for another.
    pub fn call_told(&self, call: CallId, progress: CallProgress) {
        self.core.calls.told(call, progress, self.core.environment.now());
    }

    /// Tells a host what became of calls, for the merchants that it names: for nobody without it. Once; a second host hears nothing.
    ///
    /// # Errors
    /// [`SwitchboardError::Threads`].
    pub fn with_events(self, events: impl CallEvents) -> Result<Self, SwitchboardError> {
        let set = self.core.calls.set_events(Arc::new(events));
        set.map_err(|error| SwitchboardError::Threads(error.into()))?;
        Ok(self)
    }

    /// Gives a live leg a later end, within the number's total life. Calls extend nothing;
    /// this is the only way. Idempotent; an earlier end than the present one changes nothing.
    ///
    /// The parties are stored nowhere but under keys that die, so they are needed again, and must
    /// be the same.
    ///
    /// # Errors
    /// [`SwitchboardError::UnknownBinding`], [`SwitchboardError::DifferentParties`],
    /// [`SwitchboardError::Ended`] (also when its time is over),
    /// [`SwitchboardError::OrderClosed`], [`SwitchboardError::KeysReplaced`],
    /// [`SwitchboardError::EndTooFar`], [`SwitchboardError::TotalLife`], and those of keys and
    /// store.
    pub fn extend(
        &self,
        order: &OrderRef,
        leg: Leg,
        parties: &Parties,
        not_after: Timestamp,
    ) -> Result<Bound, SwitchboardError> {
        self.core.extend(&Extension { id: OrderId::of(order), leg, parties, not_after })
    }

    /// Ends a leg, at once and for ever. Idempotent. A leg that was never bound ends before it
    /// begins: a binding that was on its way comes too late.
    ///
    /// # Errors
    /// Those of the store; of the keys, for an order that never had a number.
    pub fn release(&self, order: &OrderRef, leg: Leg) -> Result<(), SwitchboardError> {
        self.core.release(order, leg)
    }

    /// Lets the merchant call the customer until `until` (exclusive), in the order's merchant
    /// leg: a complaint is open, say. At most the longest life ahead; it ends with the number
    /// if that is sooner. Again with another time moves the end.
    ///
    /// # Errors
    /// [`SwitchboardError::KeptClosed`], [`SwitchboardError::EndPassed`],
    /// [`SwitchboardError::EndTooFar`], [`SwitchboardError::UnknownBinding`],
    /// [`SwitchboardError::Ended`], [`SwitchboardError::OrderClosed`],
    /// [`SwitchboardError::KeysReplaced`], and those of keys and store.
    pub fn open_ticket(&self, order: &OrderRef, until: Timestamp) -> Result<(), SwitchboardError> {
        self.core.set_tickets(&[order], Some(until)).pop().unwrap_or(Err(SwitchboardError::UnknownBinding))
    }

    /// As [`open_ticket`](Self::open_ticket) for many orders with one durable write: one answer
    /// each, in order.
    pub fn open_tickets(&self, orders: &[&OrderRef], until: Timestamp) -> Vec<Result<(), SwitchboardError>> {
        self.core.set_tickets(orders, Some(until))
    }

    /// Closes the merchant's leg to the merchant again, at once. Idempotent; nothing happens to
    /// a leg that has ended.
    ///
    /// # Errors
    /// [`SwitchboardError::UnknownBinding`], [`SwitchboardError::KeysReplaced`], and those of
    /// keys and store.
    pub fn close_ticket(&self, order: &OrderRef) -> Result<(), SwitchboardError> {
        self.core.set_tickets(&[order], None).pop().unwrap_or(Err(SwitchboardError::UnknownBinding))
    }

    /// Ends and freezes orders' numbers: nothing is ever bound, extended or replaced in them
    /// again. One answer each: from when on nobody can read who had any of the order's numbers,
    /// crashed attempts included (the end of the latest slot in question, and the clocks'
    /// skew). It may lie ahead, and nothing can put it off. Idempotent, with the same answer
    /// for ever. An order that never had a number is frozen too.
    ///
    /// # Errors
    /// [`SwitchboardError::NotErased`] while slot keys that should be gone are still there, and those of the keys: the orders
    /// are closed then, but for some that never had a number, and nothing may rely on when they are dead. Ask again. Those of
    /// the store.
    pub fn close_orders(&self, orders: &[OrderRef]) -> Vec<Result<Timestamp, SwitchboardError>> {
        self.core.close_orders(orders)
    }

    /// Ends every number of a merchant's orders, couriers' included, by one write: from its
    /// return on none of them rings, and no binding that was under way gets through. Later
    /// bindings of other orders work. Calls that are going on are the gateway's to end.
    ///
    /// # Errors
    /// Those of the store; ask again then. Asked again it ends what was bound in between too.
    pub fn cut_off(&self, merchant: &Name) -> Result<(), SwitchboardError> {
        self.core.cut_off(merchant)
    }

    /// Clears away what is over, and reports. Resumable; call it every minute or so. Several
    /// instances may.
    ///
    /// # Errors
    /// Those of keys and store.
    pub fn tick(&self) -> Result<SwitchboardReport, SwitchboardError> {
        self.core.tick()
    }

    /// How calls and messages were decided by this instance so far.
    pub fn counts(&self) -> RouteCounts {
        self.core.route_counters.counts()
    }
}

impl<S: Store> Core<S> {
    fn binding(&self, binding: Binding) -> Result<Job, SwitchboardError> {
        let Binding { order, courier, parties, not_after, directions, only, keep_merchant_closed, pool } =
            binding;
        if courier.is_none() && directions.hub_may_call() {
            return Err(SwitchboardError::MerchantDirection);
        }
        let terms = Terms {
            not_after,
            directions,
            channels: Channels::only(only),
            keep_merchant_closed,
            // These are filled in when it is decided.
            extendable_until: not_after,
            ticket_until: Timestamp::ZERO,
            key_generation: 0,
            merchant_generation: 0,
        };
        let pools = self.pools.chain(pool.as_deref()).ok_or(SwitchboardError::UnknownPool)?;
        self.job(&order, courier, parties, (Purpose::Bind(terms), pools))
    }

    fn job(
        &self,
        order: &OrderRef,
        courier: Option<Name>,
        parties: Parties,
        (purpose, pools): (Purpose, Vec<usize>),
    ) -> Result<Job, SwitchboardError> {
        if parties.hub == parties.customer {
            return Err(SwitchboardError::SameParty);
        }
        if [&parties.hub, &parties.customer].into_iter().any(|party| self.pools.contains_party(party)) {
            return Err(SwitchboardError::PartyInPool);
        }
        if ![&parties.hub, &parties.customer].into_iter().all(|party| self.config.callees.allow(party)) {
            return Err(SwitchboardError::CalleeBarred);
        }
        let leg = if courier.is_some() { Leg::Courier } else { Leg::Merchant };
        let hub = courier.unwrap_or_else(|| order.merchant.clone());
        Ok(Job { order: OrderId::of(order), leg, hub, parties, purpose, pools })
    }

    /// The keys and the time to decide by.
    fn window(&self) -> Result<Arc<SlotKeyWindow>, SwitchboardError> {
        Ok(self.slot_keys.window(self.environment.now())?)
    }

    fn rng(&self) -> Box<dyn CryptoRng + Send> {
        self.environment.rng()
    }

    /// The names of a call's probes: counted in tests.
    fn names<'w>(
        &self,
        window: &'w SlotKeyWindow,
        party: &PhoneNumber,
        number: VirtualNumber,
    ) -> Vec<(Slot, &'w SlotKey, [u8; 32])> {
        let names = window.names(party, number);
        #[cfg(test)]
        self.work.count_names(names.len());
        names
    }

    /// One opening: counted in tests.
    fn open(&self, key: &SlotKey, index: &[u8; 32], row: &IndexRow) -> Option<Entry> {
        #[cfg(test)]
        self.work.count_open(row.sealed().len());
        row.open(key, index)
    }
}

unjoin_core::opaque!(Switchboard<S: Store>);
