//! The switchboard against its rules.

mod binding;
mod changing;
mod erasure;
mod failures;
mod machine;
mod routing;

use super::*;
use crate::{Attestation, Channel, NumberRange, PoolConfig, PoolRange, Slot, SlotConfig, SlotKeyError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::{ClockGuard, DAY, ManualClock};
use unjoin_store::MemoryStore;
use unjoin_test_util::dump;

/// What routing asks of the keys: how many index names, how many openings, of how many bytes.
#[derive(Default)]
pub(super) struct Work {
    indices: AtomicUsize,
    opens: AtomicUsize,
    opened_bytes: AtomicUsize,
}

impl Work {
    pub(super) fn count_index(&self) {
        self.indices.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn count_open(&self, length: usize) {
        self.opens.fetch_add(1, Ordering::SeqCst);
        self.opened_bytes.fetch_add(length, Ordering::SeqCst);
    }

    fn take(&self) -> [usize; 3] {
        [&self.indices, &self.opens, &self.opened_bytes].map(|count| count.swap(0, Ordering::SeqCst))
    }
}

/// 2018-01-01, 00:00 UTC: the beginning of an epoch and of a slot.
const START: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
/// The longest life: slots of half an hour.
const LIFE: u64 = 5400;
const SLOT: u64 = 1800;
const SKEW: u64 = 30;
const TOTAL_LIFE: u64 = 4 * 3600;
const SLICES: u64 = 4;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn order(merchant: &str, order: &str) -> OrderRef {
    OrderRef { merchant: name(merchant), order: name(order) }
}

/// A phone, by a number of the test's own.
fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::from_integer(8_613_800_000_000 + number).unwrap()
}

fn parties(hub: u64, customer: u64) -> Parties {
    Parties { hub: phone(hub), customer: phone(customer) }
}

fn code<T: std::fmt::Debug>(answer: Result<T, SwitchboardError>) -> &'static str {
    answer.unwrap_err().code()
}

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

    fn config() -> SlotConfig {
        SlotConfig::new(LIFE, 4, SKEW).unwrap()
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
        let (mut state, config) = (self.0.lock().unwrap(), Self::config());
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

/// A pool of 4 slices of `each` numbers behind China's 700, with epochs of a day.
fn pool(each: u64) -> Arc<Pool> {
    let first = 86_700_000_000_000_000;
    let slice = |slice: u64| {
        let first = VirtualNumber::from_integer(first + slice * each).unwrap();
        vec![PoolRange::in_service(NumberRange::new(first, each).unwrap())]
    };
    let config = PoolConfig {
        epoch_seconds: DAY,
        max_life: TOTAL_LIFE,
        quarantine: DAY,
        spare_recoveries: 1,
        largest_hub: each,
        slices: (0..SLICES).map(slice).collect(),
        withdrawn: vec![],
        resting: vec![],
    };
    Arc::new(Pool::new(config, &SecretBytes::new([7; 32])).unwrap())
}

fn config() -> SwitchboardConfig {
    let queue = unjoin_store::queue::QueueConfig { capacity: 256, max_batch: 16, workers: 2 };
    SwitchboardConfig { alarm_after: 3, queue, ..SwitchboardConfig::new(TOTAL_LIFE) }
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
        let board = Switchboard::open(store.clone(), config(), pool.clone(), keys.clone(), environment);
        Self { store, clock, keys, pool, board: board.unwrap() }
    }

    /// Another instance on the same store, with the same keeper's keys.
    fn again(&self) -> Self {
        Self::with(self.store.clone(), self.clock.clone(), self.keys.clone(), self.pool.clone())
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

    fn replace(&self, replacement: Replacement) -> Result<Bound, SwitchboardError> {
        self.board.replace(replacement).wait()
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
            Route::Connect { callee, show, max_duration } => {
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

/// The courier whose phone this is.
fn courier(phone: u64) -> Name {
    name(&format!("courier {phone}"))
}

/// A call that nothing is wrong with.
fn request(caller: u64, dialled: VirtualNumber) -> RouteRequest {
    RouteRequest {
        caller: Some(phone(caller)),
        dialled,
        channel: Channel::Voice,
        attestation: Attestation::Full,
        trusted_trunk: false,
    }
}
