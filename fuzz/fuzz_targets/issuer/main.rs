//! Any history of the order side, against maps and loops: one pair an order for ever, the
//! directory's rules, and cohorts that close at boundaries only, never below their k, with all
//! their numbers dead.

#![no_main]

#[path = "../../../src/issuer/tests/model.rs"]
mod model;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use model::{ACCOUNTS, CLASSES, Id, MERCHANTS, Model, handle};
use rand_core::Rng;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use unjoin::Name;
use unjoin::issuer::{
    ClassPolicy, EnrolmentSubmission, Issuer, IssuerConfig, IssuerError, IssuerReport, NumbersDead,
    OfferRequest, OrderReport, PastOrders, StandingPolicy,
};
use unjoin::secret::SecretBytes;
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::token::{
    Enrolment, EnrolmentContext, KeyRing, Offer, OrderHandle, OrderHandleKey, PlatformKey, PublicationDates,
    Scope, TokenRequest,
};
use unjoin::wire::Message;
use unjoin::{DAY, Environment, Grid, ManualClock, QueueConfig, Timestamp, WEEK};
use unjoin_fuzz::pool::{KEYS, issuer, name, wallet};
use unjoin_test_util::{Draws, Seeded, copy, own};
use unjoin_wallet::Wallet;

const ORDERS: u8 = 8;
/// Two wallets for each account, and two that anybody may try.
const WALLETS: u8 = 2 * ACCOUNTS.len() as u8 + 2;
/// A Monday, 00:00 UTC.
const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);

#[derive(Arbitrary, Clone, Copy, Debug)]
struct OrderId {
    merchant: bool,
    order: u8,
}

impl OrderId {
    fn id(self) -> Id {
        (self.merchant.into(), self.order % (ORDERS + 2))
    }
}

#[derive(Arbitrary, Debug)]
enum Op {
    Enrol {
        account: u8,
        wallet: u8,
        stolen: bool,
    },
    Erase {
        account: u8,
    },
    Report {
        at: OrderId,
        account: u8,
        class: bool,
        hours: i8,
    },
    Offer {
        at: OrderId,
        account: u8,
    },
    /// Asks with any wallet for a scope that was once on offer, or for its granted one.
    Grant {
        at: OrderId,
        account: u8,
        wallet: u8,
        scope: Option<u8>,
    },
    /// What a wallet does: offer and request.
    Buy {
        at: OrderId,
    },
    BuyAll {
        merchant: bool,
    },
    NumbersDead {
        at: OrderId,
        days: i16,
    },
    AllNumbersDead {
        merchant: bool,
    },
    Tick,
    Hours(u8),
    Weeks(u8),
    Confirm,
    Rotate,
    Retire,
    Restart,
}

struct TildeIsNot;

impl StandingPolicy for TildeIsNot {
    fn of_standing(&self, account: &Name, _: &Name) -> bool {
        !account.as_bytes().starts_with(b"~")
    }
}

static WALLET: LazyLock<Vec<Wallet>> = LazyLock::new(|| (0..WALLETS).map(wallet).collect());

/// The first rows of every history: all accounts but the last enrolled, most orders reported.
static START: LazyLock<(Arc<MemoryStore>, Model)> = LazyLock::new(|| {
    let (mut shop, mut model) = (Shop::new(&MemoryStore::new()), Model::default());
    let past = MERCHANTS.into_iter().flat_map(|merchant| {
        CLASSES.map(|(class, _)| PastOrders { merchant: name(merchant), class, counts: vec![6000; 3] })
    });
    let told = shop.issuer().introduce(&past.collect::<Vec<_>>());
    assert!(told.into_iter().all(|answer| answer.is_ok()));
    for account in 0..5 {
        step(&mut shop, &mut model, &Op::Enrol { account, wallet: 0, stolen: false });
    }
    for order in 0..ORDERS {
        for merchant in [false, true] {
            let (account, at) = (order % 6, OrderId { merchant, order });
            step(&mut shop, &mut model, &Op::Report { at, account, class: order / 6 == 1, hours: 0 });
        }
    }
    (shop.store, model)
});

fn code<T>(answer: Result<T, IssuerError>) -> &'static str {
    answer.map_or_else(|error| error.code(), |_| "done")
}

fn config() -> IssuerConfig {
    IssuerConfig {
        name: issuer(),
        grid: Grid::Weekly,
        classes: CLASSES.map(|(class, k)| ClassPolicy { class, k }).to_vec(),
        hold: 0,
        order_days: 300,
        re_enrolment_interval: 10 * DAY,
        starving_after: 5 * WEEK,
        numbers_overdue_after: 2 * WEEK,
        queue: QueueConfig { capacity: 8, max_batch: 8, workers: 1 },
    }
}

struct Shop {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    now: Timestamp,
    ring: KeyRing,
    keys: usize,
    numbers: Arc<AtomicU64>,
    issuer: Option<Issuer<MemoryStore>>,
}

impl Shop {
    fn new(rows: &MemoryStore) -> Self {
        let store = Arc::new(copy(rows));
        let clock = Arc::new(ManualClock::new(MONDAY));
        let (ring, numbers) = (KEYS.ring_of(1), Arc::new(AtomicU64::new(0)));
        let mut shop = Self { store, clock, now: MONDAY, ring, keys: 1, numbers, issuer: None };
        shop.restart();
        shop
    }

    fn restart(&mut self) {
        self.issuer = None;
        let (numbers, seed) = (Arc::clone(&self.numbers), AtomicU64::new(self.now.as_unix_seconds()));
        let environment = Environment::new(self.clock.clone(), move || {
            let seed = seed.fetch_add(1, Ordering::Relaxed);
            let (mut random, numbers) = (Seeded(seed), Arc::clone(&numbers));
            // Cohort numbers count from 0, so that histories share requests, whose proofs are kept.
            Box::new(Draws(move |bytes: &mut [u8]| match <&mut [u8; 8]>::try_from(&mut *bytes) {
                Ok(number) => *number = numbers.fetch_add(1, Ordering::Relaxed).to_le_bytes(),
                Err(_) => random.fill_bytes(bytes),
            }))
        });
        let opened = Issuer::open(
            own(&self.store, Role::Orders),
            config(),
            self.ring.clone(),
            SecretBytes::new([5; 32]),
            Arc::clone(&KEYS.platform),
            Arc::new(TildeIsNot),
            environment,
        );
        self.issuer = Some(opened.unwrap());
    }

    fn issuer(&self) -> &Issuer<MemoryStore> {
        self.issuer.as_ref().unwrap()
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(seconds);
        self.clock.set(self.now);
    }

    fn use_ring(&mut self, ring: KeyRing) {
        self.ring = ring.clone();
        self.issuer().set_keys(ring).unwrap();
    }

    fn pair_of(&self, scope: &Scope) -> usize {
        KEYS.pairs.iter().position(|pair| pair.issuer_key.public().id() == scope.key_id()).unwrap()
    }
}

type Requests = HashMap<(u8, Scope, OrderHandle), TokenRequest>;

/// Requests and enrolments are functions of what they are about: proved once in a run.
fn request(pair: usize, wallet: u8, scope: &Scope, handle: OrderHandle) -> TokenRequest {
    static MADE: LazyLock<Mutex<Requests>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make = || {
        let offer = KEYS.offer(pair, scope, handle);
        let wallet = &WALLET[usize::from(wallet)];
        wallet
            .request(&issuer(), offer.scope.merchant(), offer.handle, &offer, &KEYS.trust(), &mut Seeded(3))
            .unwrap()
            .1
    };
    made.entry((wallet, scope.clone(), handle)).or_insert_with(make).clone()
}

fn enrolment(wallet: u8, account: usize) -> Enrolment {
    static MADE: LazyLock<Mutex<HashMap<(u8, usize), Enrolment>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make = || {
        let (issuer, account) = (issuer(), name(ACCOUNTS[account]));
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[3; 32] };
        WALLET[usize::from(wallet)].enrol(context, &mut Seeded(3)).unwrap()
    };
    made.entry((wallet, account)).or_insert_with(make).clone()
}

/// The `(A, e)` that a request's one answer has, once the wallet has checked one proof of it.
fn check_grant(pair: usize, wallet: u8, request: &TokenRequest, grant: &unjoin::token::Grant) -> [u8; 64] {
    static SEEN: LazyLock<Mutex<HashMap<Vec<u8>, [u8; 64]>>> = LazyLock::new(Mutex::default);
    let tag: [u8; 64] = grant.to_bytes()[2..66].try_into().unwrap();
    let mut seen = SEEN.lock().unwrap();
    let first = seen.entry(request.to_bytes()).or_insert_with(|| {
        let (key, random) = (KEYS.pairs[pair].issuer_key.public(), &mut Seeded(wallet.into()));
        grant.verify(key, request.scope(), request.commitment(), random).unwrap();
        tag
    });
    assert_eq!(*first, tag);
    tag
}

fn ask(shop: &Shop, model: &mut Model, id: Id, account: usize, wallet: u8, scope: &Scope) {
    let pair = shop.pair_of(scope);
    let request = request(pair, wallet, scope, handle(id));
    let asked = shop.issuer().grant(name(ACCOUNTS[account]), request.clone());
    let expected = model.grant(id, (account, wallet), 0, scope, shop.now);
    match asked.wait() {
        Ok(grant) => {
            assert_eq!(expected, "done");
            let tag = check_grant(pair, wallet, &request, &grant);
            model.granted(id, tag.to_vec());
        }
        Err(error) => assert_eq!(error.code(), expected),
    }
}

fn buy(shop: &Shop, model: &mut Model, id: Id) {
    let Some(account) = model.orders.get(&id).map(|order| order.account) else { return };
    let Some((wallet, _)) = model.accounts.get(&account).copied() else { return };
    let Some(scope) = offer(shop, model, id, account) else { return };
    ask(shop, model, id, account, wallet, &scope);
}

fn offer(shop: &Shop, model: &mut Model, id: Id, account: usize) -> Option<Scope> {
    let (account_name, merchant) = (name(ACCOUNTS[account]), name(MERCHANTS[id.0]));
    let asked = OfferRequest { account: account_name, merchant, handle: handle(id) };
    let answer = shop.issuer().offers(&[asked]).pop().unwrap();
    let scope = answer.as_ref().ok().map(|offer| offer.scope.clone());
    model.offered(id, account, answer, *shop.ring.newest().issuer_key.public().id(), shop.now);
    scope
}

fn numbers_dead(shop: &Shop, model: &mut Model, id: Id, at: Timestamp) {
    let report = NumbersDead { merchant: name(MERCHANTS[id.0]), handle: handle(id), at };
    let answer = shop.issuer().numbers_dead(&[report]).pop().unwrap();
    assert_eq!(code(answer), model.numbers_dead(id, at, shop.now));
}

fn shifted(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(time.as_unix_seconds().strict_add_signed(seconds))
}

fn step(shop: &mut Shop, model: &mut Model, op: &Op) {
    let person = |account: u8| usize::from(account) % ACCOUNTS.len();
    match *op {
        Op::Enrol { account, wallet, stolen } => {
            let account = person(account);
            let wallet = if stolen { wallet % WALLETS } else { 2 * account as u8 + wallet % 2 };
            let submission = EnrolmentSubmission {
                account: name(ACCOUNTS[account]),
                nonce: [3; 32],
                enrolment: enrolment(wallet, account),
            };
            // Over another nonce the same proof is nothing.
            let stale = EnrolmentSubmission { nonce: [4; 32], ..submission.clone() };
            assert_eq!(code(shop.issuer().enrol(&[stale]).pop().unwrap()), "issuer.proof_refused");
            let answer = shop.issuer().enrol(&[submission]).pop().unwrap();
            assert_eq!(code(answer), model.enrol(account, wallet, shop.now));
            let key = WALLET[usize::from(wallet)].wallet_key(&issuer()).unwrap();
            let owner = shop.issuer().account_of(&key).unwrap().map(|bound| bound.account);
            let expected = model.owners.get(&wallet).copied().flatten();
            assert_eq!(owner, expected.map(|account| name(ACCOUNTS[account])));
        }
        Op::Erase { account } => {
            let account = person(account);
            shop.issuer().erase_account(&name(ACCOUNTS[account])).unwrap();
            model.erase(account);
        }
        Op::Report { at, account, class, hours } => {
            let (id, account, class) = (at.id(), person(account), usize::from(class));
            let due = if hours % 4 == 0 { MONDAY } else { shifted(shop.now, i64::from(hours) * 3600) };
            let report = OrderReport {
                order_id: vec![id.1],
                account: name(ACCOUNTS[account]),
                merchant: name(MERCHANTS[id.0]),
                class: CLASSES[class].0,
                due_at: due,
            };
            let answer = shop.issuer().report_orders(&[report]).pop().unwrap();
            assert!(answer.as_ref().map_or(true, |found| *found == handle(id)));
            assert_eq!(code(answer), model.report(id, account, class, due, shop.now));
        }
        Op::Offer { at, account } => drop(offer(shop, model, at.id(), person(account))),
        Op::Grant { at, account, wallet, scope } => {
            let id = at.id();
            let granted = || model.orders.get(&id)?.grant.as_ref().map(|(scope, ..)| scope);
            let count = model.scopes.len().max(1);
            let named = scope.map_or_else(granted, |at| model.scopes.get(usize::from(at) % count));
            let Some(scope) = named.cloned() else { return };
            ask(shop, model, id, person(account), wallet % WALLETS, &scope);
        }
        Op::Buy { at } => buy(shop, model, at.id()),
        Op::BuyAll { merchant } => (0..ORDERS).for_each(|order| buy(shop, model, (merchant.into(), order))),
        Op::NumbersDead { at, days } => {
            let at_time = shifted(shop.now, i64::from(days % 400) * DAY as i64);
            numbers_dead(shop, model, at.id(), at_time);
        }
        Op::AllNumbersDead { merchant } => {
            for id in model.ringing(merchant.into()) {
                numbers_dead(shop, model, id, shop.now);
            }
        }
        Op::Tick => {
            let report = shop.issuer().tick().unwrap();
            model.ticked(&report, &KEYS.platform, shop.now);
        }
        Op::Hours(hours) => shop.pass(u64::from(hours) * 3600),
        Op::Weeks(weeks) => shop.pass(u64::from(weeks % 4) * WEEK),
        Op::Confirm => {
            let scopes: Vec<Scope> = model.sealed.iter().cloned().collect();
            shop.issuer().confirm_admitted(&scopes).unwrap();
            model.confirmed.extend(scopes);
        }
        Op::Rotate => {
            if shop.keys < KEYS.pairs.len() {
                shop.keys += 1;
                let mut ring = KEYS.ring_of(shop.keys);
                for retired in &model.retired {
                    ring = ring.retire(retired).unwrap();
                }
                shop.use_ring(ring);
            }
        }
        Op::Retire => {
            let newest = *shop.ring.newest().issuer_key.public().id();
            let ids = KEYS.pairs.iter().map(|pair| *pair.issuer_key.public().id());
            if let Some(oldest) = ids.take_while(|id| *id != newest).find(|id| !model.retired.contains(id)) {
                model.retired.insert(oldest);
                let ring = shop.ring.retire(&oldest).unwrap();
                shop.use_ring(ring);
            }
        }
        Op::Restart => shop.restart(),
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let (rows, model) = &*START;
    let (mut shop, mut model) = (Shop::new(rows), model.clone());
    for op in ops.iter().take(64) {
        step(&mut shop, &mut model, op);
    }
    // Whatever the history left open: one more boundary.
    shop.pass(WEEK);
    step(&mut shop, &mut model, &Op::Tick);
});
