//! The switchboard against its rules.

mod binding;
mod calls;
mod changing;
mod erasure;
mod failures;
mod machine;
mod pools;
mod routing;

use super::*;
use crate::test_util::model::TOTAL_LIFE;
use crate::test_util::{
    self, LIFE, SKEW, SLOT, START, code, courier, name, order, parties, phone, pool_config, request, slots,
};
use crate::{Attestation, Callees, Channel, NumberRange, Pool, PoolConfig, PoolRange, Slot, SlotKeyError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::{ClockGuard, DAY, ManualClock};
use unjoin_store::MemoryStore;
use unjoin_test_util::{copy, dump, written};

/// What routing asks of the keys: how many index names, how many openings, of how many bytes.
#[derive(Default)]
pub(super) struct Work {
    names: AtomicUsize,
    opens: AtomicUsize,
    opened_bytes: AtomicUsize,
    looks: AtomicUsize,
}

impl Work {
    pub(super) fn count_names(&self, names: usize) {
        self.names.fetch_add(names, Ordering::SeqCst);
    }

    pub(super) fn count_open(&self, length: usize) {
        self.opens.fetch_add(1, Ordering::SeqCst);
        self.opened_bytes.fetch_add(length, Ordering::SeqCst);
    }

    /// Of rows that a tick looked at to find out whether they are due.
    pub(super) fn count_looks(&self, rows: usize) {
        self.looks.fetch_add(rows, Ordering::SeqCst);
    }

    fn take_looks(&self) -> usize {
        self.looks.swap(0, Ordering::SeqCst)
    }

    fn take(&self) -> [usize; 3] {
        [&self.names, &self.opens, &self.opened_bytes].map(|count| count.swap(0, Ordering::SeqCst))
    }
}

const SLICES: u64 = 4;

/// Slot keys in memory, as a keeper would serve them.
struct TestKeys(Mutex<KeyState>);

struct KeyState {
    latest: Timestamp,
    generation: u32,
    pool_shift: u32,
    keys: BTreeMap<Slot, Arc<SlotKey>>,
}

impl TestKeys {
    fn new() -> Self {
        let (latest, keys) = (Timestamp::ZERO, BTreeMap::new());
        Self(Mutex::new(KeyState { latest, generation: 1, pool_shift: 0, keys }))
    }

    fn recover(&self) {
        let mut state = self.0.lock().unwrap();
        state.generation += 1;
        state.pool_shift += 1;
        state.keys.clear();
    }

    /// All keys that exist now: what a thief of the key file gets.
    fn stolen(&self) -> Vec<(Slot, Arc<SlotKey>)> {
        self.0.lock().unwrap().keys.iter().map(|(slot, key)| (*slot, Arc::clone(key))).collect()
    }
}

impl SlotKeys for TestKeys {
    fn window(&self, now: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
        let (mut state, config) = (self.0.lock().unwrap(), slots());
        let seconds = now.saturating_since(state.latest);
        if state.latest != Timestamp::ZERO && seconds > LIFE * 100 {
            return Err(SlotKeyError::Clock(ClockGuard::starting(state.latest).check(now).unwrap_err()));
        }
        state.latest = now.max(state.latest);
        let now = state.latest;
        state.keys.retain(|slot, _| now < config.dead_at(*slot));
        let first = config.slot_of(now).number();
        let keys = (first..first + 4).map(|number| {
            let fresh = || Arc::new(SlotKey::random(&mut SystemRng::new()));
            Arc::clone(state.keys.entry(Slot::new(number)).or_insert_with(fresh))
        });
        let keys = keys.collect();
        Ok(Arc::new(SlotKeyWindow::new(now, config, state.generation, state.pool_shift, keys)))
    }
}

/// A pool of 4 slices of `each` numbers, for extended numbers and one recovery.
fn pool(each: u64) -> Arc<Pool> {
    test_util::pool(PoolConfig { spare_recoveries: 1, ..pool_config(SLICES, each, TOTAL_LIFE) })
}

fn config() -> SwitchboardConfig {
    let queue = unjoin_store::queue::QueueConfig { capacity: 256, max_batch: 16, workers: 2 };
    // As many calls as a test likes.
    let (calls_at_once, calls_per_hour) = (usize::MAX, u32::MAX);
    SwitchboardConfig {
        alarm_after: 3,
        queue,
        calls_at_once,
        calls_per_hour,
        ..SwitchboardConfig::new(TOTAL_LIFE)
    }
}

/// A switchboard whose clock stands where it is set.
struct Exchange<S: Store> {
    store: Arc<S>,
    clock: Arc<ManualClock>,
    keys: Arc<TestKeys>,
    pool: Arc<Pool>,
    board: Switchboard<S>,
}

impl Exchange<MemoryStore> {
    fn new() -> Self {
        Self::on(MemoryStore::new())
    }

    fn with_pool(each: u64) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(START)));
        Self::with(store, clock, Arc::new(TestKeys::new()), pool(each))
    }
}

impl<S: Store> Exchange<S> {
    fn on(store: S) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self::with(Arc::new(store), clock, Arc::new(TestKeys::new()), pool(1000))
    }

    fn with(store: Arc<S>, clock: Arc<ManualClock>, keys: Arc<TestKeys>, pool: Arc<Pool>) -> Self {
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let board = Switchboard::open(
            unjoin_test_util::own(&store, unjoin_store::identity::Role::Telephony),
            config(),
            pool.clone(),
            keys.clone(),
            environment,
        );
        Self { store, clock, keys, pool, board: board.unwrap() }
    }

    /// Another instance on the same store, with the same keeper's keys.
    fn again(&self) -> Self {
        Self::with(self.store.clone(), self.clock.clone(), self.keys.clone(), self.pool.clone())
    }

    /// Another instance on the same store, with another configuration.
    fn configured(&self, config: SwitchboardConfig) -> Switchboard<S> {
        let clock = self.clock.clone();
        let environment = Environment::new(clock, || Box::new(SystemRng::new()));
        let store = unjoin_test_util::own(&self.store, unjoin_store::identity::Role::Telephony);
        Switchboard::open(store, config, self.pool.clone(), self.keys.clone(), environment).unwrap()
    }

    fn now(&self) -> Timestamp {
        unjoin_core::Clock::now(&self.clock)
    }

    fn pass(&self, seconds: u64) {
        self.clock.set(self.now().saturating_add(seconds));
    }

    fn bind(&self, binding: Binding) -> Result<Bound, SwitchboardError> {
        self.board.bind(binding).wait()
    }

    /// Another courier and customer.
    fn replace(
        &self,
        of: &OrderRef,
        hub: u64,
        customer: u64,
        replaces: VirtualNumber,
    ) -> Result<Bound, SwitchboardError> {
        self.board.replace(of, Some(courier(hub)), parties(hub, customer), replaces).wait()
    }

    fn extend(
        &self,
        of: &OrderRef,
        leg: Leg,
        parties: Parties,
        not_after: Timestamp,
    ) -> Result<Bound, SwitchboardError> {
        self.board.extend(of, leg, &parties, not_after)
    }

    /// A number between a merchant and a customer, for `life` seconds.
    fn merchant(&self, of: &OrderRef, hub: u64, customer: u64, life: u64) -> Bound {
        let not_after = self.now().saturating_add(life);
        self.bind(Binding::merchant(of.clone(), parties(hub, customer), not_after)).unwrap()
    }

    /// A number between courier `hub` and a customer, for `life` seconds.
    fn courier(&self, of: &OrderRef, hub: u64, customer: u64, life: u64) -> Bound {
        let not_after = self.now().saturating_add(life);
        let binding = Binding::courier(of.clone(), courier(hub), parties(hub, customer), not_after);
        self.bind(binding).unwrap()
    }

    fn ask(&self, request: &RouteRequest) -> Route {
        self.board.route(request).unwrap()
    }

    fn call(&self, caller: u64, dialled: VirtualNumber) -> Route {
        self.ask(&request(caller, dialled))
    }

    /// Whom a call reaches.
    fn reaches(&self, caller: u64, dialled: VirtualNumber) -> Option<PhoneNumber> {
        match self.call(caller, dialled) {
            Route::Connect { callee, show, max_duration, .. } => {
                assert!(show == dialled && max_duration >= 1);
                Some(callee)
            }
            Route::Refuse => None,
        }
    }

    fn close(&self, of: &OrderRef) -> Timestamp {
        self.board.close_orders(std::slice::from_ref(of)).pop().unwrap().unwrap()
    }
}
