//! Any history of telephony against the plain model: never a misroute, never a stranger, never a
//! number revived, never a number twice for a business within its quarantine. Processes restart
//! in between, with the keeper's own file.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use unjoin::phone::{Keeper, Leg, Pool, PoolConfig, SlotKeys, Switchboard, SwitchboardConfig};
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::{CLOCK_LIMIT, Clock, Environment, ManualClock, QueueConfig, Timestamp};
use unjoin_phone::test_util::model::{self, Act, Model, ORDERS, PHONES, TOTAL_LIFE};
use unjoin_phone::test_util::{LIFE, START, keeper, pool, pool_config};
use unjoin_test_util::own;

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Who {
    order: u8,
    courier: bool,
    hub: u8,
    customer: u8,
}

impl Who {
    fn model(self) -> model::Who {
        let leg = if self.courier { Leg::Courier } else { Leg::Merchant };
        let [hub, customer] = [self.hub, self.customer].map(|phone| u64::from(phone) % PHONES);
        model::Who { of: order(self.order), leg, hub, customer }
    }
}

#[derive(Arbitrary, Debug)]
enum Op {
    Bind { who: Who, life: u16, kept_closed: bool },
    Replace { who: Who, stale: bool },
    Extend { who: Who, life: u16 },
    Release { who: Who },
    Ticket { order: u8, life: Option<u16> },
    Close { order: u8 },
    CutOff { order: u8 },
    Recover,
    Restart,
    Tick,
    Pass { seconds: u16 },
}

fn order(drawn: u8) -> usize {
    usize::from(drawn) % ORDERS
}

/// Around the longest life, and beyond it.
fn seconds(drawn: u16) -> u64 {
    u64::from(drawn) % (LIFE + 600)
}

/// A directory of this run's own, in memory where the system has such.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static RUN: AtomicU64 = AtomicU64::new(0);
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let own = parent.join(format!("unjoin-fuzz-phone-{}-{run}", std::process::id()));
        fs::create_dir_all(&own).unwrap();
        Self(own)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Run {
    directory: Directory,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    pool: Arc<Pool>,
    /// Dropped and opened anew together.
    process: Option<(Arc<Keeper>, Switchboard<MemoryStore>)>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            directory: Directory::new(),
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(ManualClock::new(START)),
            pool: pool(PoolConfig { spare_recoveries: 1, ..pool_config(4, 60, TOTAL_LIFE) }),
            process: None,
            model: Model::default(),
        };
        run.model.runs_out = true;
        run.restart();
        run
    }

    /// A new process. Its time may begin up to a lease later than the old one's ended: never
    /// earlier.
    fn restart(&mut self) {
        self.process = None;
        let environment = Environment::new(self.clock.clone(), || Box::new(SystemRng::new()));
        let keeper = keeper(self.directory.0.join("slot-keys"), LIFE, &environment);
        let before = self.clock.now();
        let now = keeper.window(before).unwrap().now();
        assert!(now >= before, "time went back");
        self.clock.set(now);
        // As every process does within a minute.
        keeper.rotate(now).unwrap();
        let queue = QueueConfig { capacity: 64, max_batch: 16, workers: 1 };
        let config = SwitchboardConfig {
            queue,
            calls_at_once: usize::MAX,
            calls_per_hour: u32::MAX,
            ..SwitchboardConfig::new(TOTAL_LIFE)
        };
        let (store, pool) = (own(&self.store, Role::Telephony), self.pool.clone());
        let switchboard = Switchboard::open(store, config, pool, keeper.clone(), environment).unwrap();
        self.process = Some((keeper, switchboard));
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now();
        let (keeper, board) = self.process.as_ref().unwrap();
        let act = match *op {
            Op::Bind { who, life, kept_closed } => {
                Act::Bind { who: who.model(), life: seconds(life), keep_closed: kept_closed }
            }
            Op::Replace { who, stale } => Act::Replace { who: who.model(), stale },
            Op::Extend { who, life } => Act::Extend { who: who.model(), life: seconds(life) },
            Op::Release { who } => Act::Release { of: who.model().of, leg: who.model().leg },
            Op::Ticket { order: of, life } => Act::Ticket { of: order(of), life: life.map(seconds) },
            Op::Close { order: of } => Act::Close { of: order(of) },
            Op::CutOff { order: of } => Act::CutOff { of: order(of) },
            Op::Tick => Act::Tick,
            Op::Recover => return self.model.recover(|| keeper.recover(now).unwrap()),
            Op::Restart => return self.restart(),
            // Up to a day, in steps that no keeper takes for a broken clock.
            Op::Pass { seconds } => {
                let end = now.saturating_add(u64::from(seconds) * 4 / 3);
                while self.now() < end {
                    self.clock.set(self.now().saturating_add(CLOCK_LIMIT).min(end));
                    keeper.rotate(self.now()).unwrap();
                }
                return;
            }
        };
        self.model.act(board, now, act);
    }

    fn check(&mut self) {
        let (_, board) = self.process.as_ref().unwrap();
        self.model.check(board, self.clock.now());
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let mut run = Run::new();
    for op in ops.iter().take(60) {
        run.apply(op);
        run.check();
    }
});
