//! Any history of telephony against a plain model: never a misroute, never a stranger, never a
//! number revived, never a number twice for a business within its quarantine. Processes restart
//! in between, with the keeper's own file.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use unjoin::phone::{
    Attestation, Binding, Bound, Channel, Extension, Hub, Keeper, Leg, LocalKey, NumberRange, OrderRef,
    Parties, PhoneNumber, Pool, PoolConfig, PoolRange, Replacement, Route, RouteRequest, SlotConfig,
    SlotKeys, Switchboard, SwitchboardConfig, SwitchboardError, VirtualNumber,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::{CLOCK_LIMIT, Clock, DAY, Environment, ManualClock, Name, QueueConfig, Timestamp};

/// 2018-01-01, 00:00 UTC: the beginning of an epoch and of a slot.
const START: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
/// The longest life: slots of half an hour.
const LIFE: u64 = 5400;
const TOTAL_LIFE: u64 = 4 * 3600;
const SKEW: u64 = 30;
const FIRST_NUMBER: u64 = 86_700_000_000_000_000;
const IN_SLICE: u64 = 60;
/// Orders: the first two are one merchant's, the others another's. Phones are parties of any
/// kind.
const ORDERS: usize = 4;
const PHONES: u64 = 5;
const STRANGER: u64 = 77;

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Who {
    order: u8,
    courier: bool,
    hub: u8,
    customer: u8,
}

impl Who {
    fn order(self) -> usize {
        usize::from(self.order) % ORDERS
    }

    fn leg(self) -> Leg {
        if self.courier { Leg::Courier } else { Leg::Merchant }
    }

    fn parties(self) -> (u64, u64) {
        (u64::from(self.hub) % PHONES, u64::from(self.customer) % PHONES)
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

/// Around the longest life, and beyond it.
fn seconds(drawn: u16) -> u64 {
    u64::from(drawn) % (LIFE + 600)
}

#[derive(Clone, Debug)]
struct Live {
    number: VirtualNumber,
    hub: u64,
    customer: u64,
    not_after: Timestamp,
    extendable_until: Timestamp,
    ticket: Option<Timestamp>,
    kept_closed: bool,
    recoveries: u32,
}

#[derive(Clone, Debug, Default)]
enum LegModel {
    #[default]
    Unbound,
    Ended,
    Live(Live),
}

#[derive(Default)]
struct Order {
    closed: Option<Timestamp>,
    /// When its last number is dead, so far.
    dead_at: Option<Timestamp>,
    legs: [LegModel; 2],
}

enum Standing {
    Unbound,
    /// Its time is over, or the keys of its time are gone: it may be bound anew.
    Over(&'static str),
    Live(Live),
}

#[derive(Default)]
struct Model {
    orders: [Order; ORDERS],
    recoveries: u32,
    /// Every number that a business drew, with the end of the last life it can have had.
    drawn: BTreeMap<(Name, VirtualNumber), Timestamp>,
    numbers: Vec<VirtualNumber>,
}

impl Model {
    fn leg(&mut self, order: usize, leg: Leg) -> &mut LegModel {
        &mut self.orders[order].legs[usize::from(leg == Leg::Courier)]
    }

    fn standing(&mut self, order: usize, leg: Leg, now: Timestamp) -> Result<Standing, &'static str> {
        if self.orders[order].closed.is_some() {
            return Err("switchboard.order_closed");
        }
        let recoveries = self.recoveries;
        match self.leg(order, leg) {
            LegModel::Unbound => Ok(Standing::Unbound),
            LegModel::Ended => Err("switchboard.ended"),
            LegModel::Live(live) if now >= live.not_after => Ok(Standing::Over("switchboard.ended")),
            LegModel::Live(live) if live.recoveries < recoveries => {
                Ok(Standing::Over("switchboard.keys_replaced"))
            }
            LegModel::Live(live) => Ok(Standing::Live(live.clone())),
        }
    }

    fn live(&mut self, order: usize, leg: Leg, now: Timestamp) -> Result<Live, &'static str> {
        match self.standing(order, leg, now)? {
            Standing::Unbound => Err("switchboard.unknown_binding"),
            Standing::Over(error) => Err(error),
            Standing::Live(live) => Ok(live),
        }
    }

    /// Whom a caller reaches: one leg at most may have this number with this party.
    fn reached(&mut self, caller: u64, number: VirtualNumber, now: Timestamp) -> Option<u64> {
        let mut legs = 0;
        let mut reached = None;
        for order in 0..ORDERS {
            for leg in [Leg::Merchant, Leg::Courier] {
                let Ok(Standing::Live(live)) = self.standing(order, leg, now) else { continue };
                if live.number != number || ![live.hub, live.customer].contains(&caller) {
                    continue;
                }
                legs += 1;
                let from_customer = caller == live.customer;
                let ticket = live.ticket.is_some_and(|until| now < until);
                let open = from_customer || leg == Leg::Courier || ticket;
                reached = open.then_some(if from_customer { live.hub } else { live.customer });
            }
        }
        assert!(legs <= 1, "a party has one number in two legs");
        reached
    }

    fn draw(&mut self, hub: Name, number: VirtualNumber, now: Timestamp) {
        let until = now.saturating_add(TOTAL_LIFE);
        if let Some(before) = self.drawn.insert((hub, number), until) {
            assert!(now >= before.saturating_add(DAY), "a number twice within its quarantine");
        }
        if !self.numbers.contains(&number) {
            self.numbers.push(number);
        }
    }

    fn cover(&mut self, order: usize, end: Timestamp) {
        let config = slots();
        let dead_at = config.dead_at(config.slot_of(end));
        let order = &mut self.orders[order];
        order.dead_at = order.dead_at.max(Some(dead_at));
    }
}

fn slots() -> SlotConfig {
    SlotConfig::new(LIFE, 4, SKEW).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn order_ref(order: usize) -> OrderRef {
    let merchant = if order < 2 { "m" } else { "n" };
    OrderRef { merchant: name(merchant), order: name(&order.to_string()) }
}

fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::new(&format!("+{}", 8_613_800_000_000 + number)).unwrap()
}

fn parties(who: Who) -> Parties {
    let (hub, customer) = who.parties();
    Parties { hub: phone(hub), customer: phone(customer) }
}

fn hub(who: Who) -> (Hub, Name) {
    match who.leg() {
        Leg::Merchant => (Hub::Merchant, order_ref(who.order()).merchant),
        Leg::Courier => {
            let courier = name(&format!("courier {}", who.parties().0));
            (Hub::Courier(courier.clone()), courier)
        }
    }
}

fn end_error(end: Timestamp, now: Timestamp) -> Option<&'static str> {
    if end <= now {
        Some("switchboard.end_passed")
    } else if end > now.saturating_add(LIFE) {
        Some("switchboard.end_too_far")
    } else {
        None
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, SwitchboardError>) -> &'static str {
    answer.unwrap_err().code()
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
        let slice = |slice: u64| {
            let first = VirtualNumber::new(&format!("+{}", FIRST_NUMBER + slice * IN_SLICE)).unwrap();
            vec![PoolRange::in_service(NumberRange::new(first, IN_SLICE).unwrap())]
        };
        let config = PoolConfig {
            epoch_seconds: DAY,
            max_life: TOTAL_LIFE,
            quarantine: DAY,
            spare_recoveries: 1,
            largest_hub: IN_SLICE,
            slices: (0..4).map(slice).collect(),
            withdrawn: Vec::new(),
            resting: Vec::new(),
        };
        let mut run = Self {
            directory: Directory::new(),
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(ManualClock::new(START)),
            pool: Arc::new(Pool::new(config, &SecretBytes::new([7; 32])).unwrap()),
            process: None,
            model: Model::default(),
        };
        run.restart();
        run
    }

    /// A new process. Its time may begin up to a lease later than the old one's ended: never
    /// earlier.
    fn restart(&mut self) {
        self.process = None;
        let environment = Environment::new(self.clock.clone(), || Box::new(SystemRng::new()));
        let path = self.directory.0.join("slot-keys");
        let key = LocalKey::new(SecretBytes::new([9; 32]));
        let keeper = Arc::new(Keeper::create_or_open(path, key, slots(), &environment).unwrap());
        let before = self.clock.now();
        let now = keeper.window(before).unwrap().now();
        assert!(now >= before, "time went back");
        self.clock.set(now);
        // As every process does within a minute.
        keeper.rotate(now).unwrap();
        let queue = QueueConfig { capacity: 64, max_batch: 16, workers: 1 };
        let config = SwitchboardConfig { queue, ..SwitchboardConfig::new(TOTAL_LIFE) };
        let (store, pool) = (self.store.clone(), self.pool.clone());
        let switchboard = Switchboard::open(store, config, pool, keeper.clone(), environment).unwrap();
        self.process = Some((keeper, switchboard));
    }

    fn keeper(&self) -> &Keeper {
        &self.process.as_ref().unwrap().0
    }

    fn board(&self) -> &Switchboard<MemoryStore> {
        &self.process.as_ref().unwrap().1
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now();
        match *op {
            Op::Bind { who, life, kept_closed } => self.bind(who, seconds(life), kept_closed),
            Op::Replace { who, stale } => self.replace(who, stale),
            Op::Extend { who, life } => self.extend(who, seconds(life)),
            Op::Release { who } => {
                self.board().release(&order_ref(who.order()), who.leg()).unwrap();
                if self.model.orders[who.order()].closed.is_none() {
                    if self.model.orders[who.order()].dead_at.is_none() {
                        self.model.cover(who.order(), now);
                    }
                    *self.model.leg(who.order(), who.leg()) = LegModel::Ended;
                }
            }
            Op::Ticket { order, life } => self.ticket(usize::from(order) % ORDERS, life.map(seconds)),
            Op::Close { order } => {
                let order = usize::from(order) % ORDERS;
                if self.model.orders[order].dead_at.is_none() {
                    self.model.cover(order, now);
                }
                let dead_at = self.model.orders[order].dead_at.unwrap();
                let expected = *self.model.orders[order].closed.get_or_insert(dead_at);
                let answer = self.board().close_orders(&[order_ref(order)]).pop().unwrap().unwrap();
                assert_eq!(answer, expected);
            }
            Op::CutOff { order } => {
                let first = usize::from(order) % ORDERS / 2 * 2;
                self.board().cut_off(&order_ref(first).merchant).unwrap();
                for order in &mut self.model.orders[first..first + 2] {
                    for leg in &mut order.legs {
                        if matches!(leg, LegModel::Live(_)) {
                            *leg = LegModel::Ended;
                        }
                    }
                }
            }
            // As often as the pool's quarantine is reckoned with.
            Op::Recover if self.model.recoveries > 0 => {}
            Op::Recover => {
                self.keeper().recover(now).unwrap();
                self.model.recoveries = 1;
            }
            Op::Restart => self.restart(),
            Op::Tick => drop(self.board().tick().unwrap()),
            // Up to a day, in steps that no keeper takes for a broken clock.
            Op::Pass { seconds } => {
                let end = now.saturating_add(u64::from(seconds) * 4 / 3);
                while self.now() < end {
                    self.clock.set(self.now().saturating_add(CLOCK_LIMIT).min(end));
                    self.keeper().rotate(self.now()).unwrap();
                }
            }
        }
    }

    fn bind(&mut self, who: Who, life: u64, kept_closed: bool) {
        let now = self.now();
        let (order, leg, (hub_phone, customer)) = (who.order(), who.leg(), who.parties());
        let end = now.saturating_add(life);
        let (_, hub_name) = hub(who);
        let usual = match leg {
            Leg::Merchant => Binding::merchant(order_ref(order), parties(who), end),
            Leg::Courier => Binding::courier(order_ref(order), hub_name.clone(), parties(who), end),
        };
        let binding = Binding { keep_merchant_closed: kept_closed, ..usual };
        let answer = self.board().bind(binding).wait();
        if hub_phone == customer {
            return assert_eq!(code(answer), "switchboard.same_party");
        }
        match self.model.standing(order, leg, now) {
            Err(error) => assert_eq!(code(answer), error),
            Ok(Standing::Live(live)) if (live.hub, live.customer) == (hub_phone, customer) => {
                assert_eq!(answer.unwrap(), Bound { number: live.number, not_after: live.not_after });
            }
            Ok(Standing::Live(_)) => assert_eq!(code(answer), "switchboard.different_parties"),
            Ok(Standing::Unbound | Standing::Over(_)) => {
                if let Some(error) = end_error(end, now) {
                    return assert_eq!(code(answer), error);
                }
                // A slice may be used up: no number, and never a fallback.
                let bound = match answer {
                    Err(SwitchboardError::Pool(_)) => return,
                    answer => answer.unwrap(),
                };
                assert_eq!(bound.not_after, end);
                self.model.draw(hub_name, bound.number, now);
                self.model.cover(order, end);
                *self.model.leg(order, leg) = LegModel::Live(Live {
                    number: bound.number,
                    hub: hub_phone,
                    customer,
                    not_after: end,
                    extendable_until: now.saturating_add(TOTAL_LIFE),
                    ticket: None,
                    kept_closed,
                    recoveries: self.model.recoveries,
                });
            }
        }
    }

    fn replace(&mut self, who: Who, stale: bool) {
        let now = self.now();
        let (order, leg, (hub_phone, customer)) = (who.order(), who.leg(), who.parties());
        let live = self.model.live(order, leg, now);
        let other = VirtualNumber::new("+86700999999999999").unwrap();
        let replaces = live.as_ref().ok().filter(|_| !stale).map_or(other, |live| live.number);
        let (hub, hub_name) = hub(who);
        let replacement = Replacement { order: order_ref(order), hub, parties: parties(who), replaces };
        let answer = self.board().replace(replacement).wait();
        if hub_phone == customer {
            return assert_eq!(code(answer), "switchboard.same_party");
        }
        match live {
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if stale && (live.hub, live.customer) == (hub_phone, customer) => {
                assert_eq!(answer.unwrap(), Bound { number: live.number, not_after: live.not_after });
            }
            Ok(_) if stale => assert_eq!(code(answer), "switchboard.superseded"),
            Ok(live) => {
                let bound = match answer {
                    Err(SwitchboardError::Pool(_)) => return,
                    answer => answer.unwrap(),
                };
                assert_eq!(bound.not_after, live.not_after);
                assert_ne!(bound.number, live.number);
                self.model.draw(hub_name, bound.number, now);
                let extendable_until = now.saturating_add(TOTAL_LIFE);
                let live = Live { number: bound.number, hub: hub_phone, customer, extendable_until, ..live };
                *self.model.leg(order, leg) = LegModel::Live(live);
            }
        }
    }

    fn extend(&mut self, who: Who, life: u64) {
        let now = self.now();
        let (order, leg) = (who.order(), who.leg());
        let not_after = now.saturating_add(life);
        let extension = Extension { order: order_ref(order), leg, parties: parties(who), not_after };
        let answer = self.board().extend(&extension);
        match self.model.live(order, leg, now) {
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if (live.hub, live.customer) != who.parties() => {
                assert_eq!(code(answer), "switchboard.different_parties");
            }
            Ok(live) if not_after <= live.not_after => assert_eq!(answer.unwrap().not_after, live.not_after),
            Ok(live) => match end_error(not_after, now) {
                Some(error) => assert_eq!(code(answer), error),
                None if not_after > live.extendable_until => {
                    assert_eq!(code(answer), "switchboard.total_life")
                }
                None => {
                    assert_eq!(answer.unwrap(), Bound { number: live.number, not_after });
                    self.model.cover(order, not_after);
                    *self.model.leg(order, leg) = LegModel::Live(Live { not_after, ..live });
                }
            },
        }
    }

    fn ticket(&mut self, order: usize, life: Option<u64>) {
        let now = self.now();
        let until = life.map(|life| now.saturating_add(life));
        let answer = match until {
            Some(until) => self.board().open_ticket(&order_ref(order), until),
            None => self.board().close_ticket(&order_ref(order)),
        };
        if let Some(error) = until.and_then(|until| end_error(until, now)) {
            return assert_eq!(code(answer), error);
        }
        match self.model.live(order, Leg::Merchant, now) {
            Err("switchboard.ended" | "switchboard.order_closed") if until.is_none() => answer.unwrap(),
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if live.kept_closed && until.is_some() => {
                assert_eq!(code(answer), "switchboard.kept_closed");
            }
            Ok(live) => {
                answer.unwrap();
                *self.model.leg(order, Leg::Merchant) = LegModel::Live(Live { ticket: until, ..live });
            }
        }
    }

    fn call(&self, caller: u64, dialled: VirtualNumber) -> Route {
        let request = RouteRequest {
            caller: Some(phone(caller)),
            dialled,
            channel: Channel::Voice,
            attestation: Attestation::Full,
            trusted_trunk: false,
        };
        self.board().route(&request).unwrap()
    }

    /// Every phone dials every number that ever was.
    fn check(&mut self) {
        let now = self.now();
        for number in self.model.numbers.clone() {
            for caller in 0..PHONES {
                match (self.call(caller, number), self.model.reached(caller, number, now)) {
                    (Route::Refuse, None) => {}
                    (Route::Connect { callee, show, max_duration }, Some(expected)) => {
                        assert!(callee == phone(expected) && show == number && max_duration >= 1);
                    }
                    (Route::Refuse, Some(_)) => panic!("a party does not reach its other party"),
                    (Route::Connect { .. }, None) => panic!("a call goes through that must not"),
                }
            }
            assert!(self.call(STRANGER, number) == Route::Refuse, "a stranger");
        }
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let mut run = Run::new();
    for op in ops.iter().take(60) {
        run.apply(op);
        run.check();
    }
});
