//! Random histories against a plain model: maps and loops, nothing shared with the service but
//! the messages.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const ACCOUNTS: [&str; 6] = ["ann", "ben", "cid", "dot", "~eve", "~fay"];
const MERCHANTS: [&str; 2] = ["m", "mm"];
/// So many orders of each merchant are reported from the start.
const ORDERS: u8 = 14;
const CLASSES: [(u8, u32); 2] = [(ON_TIME, 3), (LATE, 2)];

#[derive(Clone, Debug)]
enum Op {
    Enrol {
        account: usize,
        wallet: u64,
    },
    Report {
        merchant: usize,
        order: u8,
        account: usize,
        class: usize,
        due: i64,
    },
    Offer {
        merchant: usize,
        order: u8,
        account: usize,
    },
    /// Asks for the order, for the `scope`-th scope ever offered, or for its offer.
    Grant {
        merchant: usize,
        order: u8,
        account: usize,
        wallet: u64,
        variant: u64,
        scope: Option<usize>,
    },
    /// What a wallet does: offer and request.
    Buy {
        merchant: usize,
        order: u8,
    },
    NumbersDead {
        merchant: usize,
        order: u8,
        at: i64,
    },
    /// The host ends the numbers of all the merchant's orders.
    AllNumbersDead {
        merchant: usize,
    },
    Tick,
    Pass {
        seconds: u64,
    },
    Rotate,
    Retire,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let (merchant, account, order) = (0..MERCHANTS.len(), 0..ACCOUNTS.len(), 0..ORDERS + 2);
    let (class, merchants) = (0..CLASSES.len(), merchant.clone());
    let days = |from: i64, to: i64| (from * DAY as i64)..(to * DAY as i64);
    let at = (merchant.clone(), order.clone());
    prop_oneof![
        2 => (account.clone(), 1..3u64).prop_map(|(account, wallet)| Op::Enrol { account, wallet }),
        6 => (at.clone(), account.clone(), class, prop_oneof![5 => Just(0), 1 => days(-3, 2)]).prop_map(
            |((merchant, order), account, class, due)| Op::Report { merchant, order, account, class, due }
        ),
        2 => (at.clone(), account.clone())
            .prop_map(|((merchant, order), account)| Op::Offer { merchant, order, account }),
        3 => (at.clone(), account, 1..3u64, 0..3u64, proptest::option::of(0..12usize)).prop_map(
            |((merchant, order), account, wallet, variant, scope)| {
                Op::Grant { merchant, order, account, wallet, variant, scope }
            }
        ),
        12 => at.clone().prop_map(|(merchant, order)| Op::Buy { merchant, order }),
        6 => (at, prop_oneof![3 => Just(0), 1 => days(-5, 20), 1 => days(360, 370)])
            .prop_map(|((merchant, order), at)| Op::NumbersDead { merchant, order, at }),
        3 => merchants.prop_map(|merchant| Op::AllNumbersDead { merchant }),
        4 => Just(Op::Tick),
        6 => (0..9 * DAY).prop_map(|seconds| Op::Pass { seconds }),
        1 => Just(Op::Rotate),
        1 => Just(Op::Retire),
        1 => Just(Op::Restart),
    ]
}

type OrderId = (usize, u8);
/// Merchant, class, cohort, count.
type Starved = (usize, u8, u64, usize);
/// Merchant, handle.
type Overdue = (usize, [u8; 16]);

#[derive(Clone)]
struct Order {
    account: usize,
    class: usize,
    due: Timestamp,
    dead: Option<Timestamp>,
    grant: Option<(Scope, u64, u64)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Open,
    Sealed,
    Closed,
    Dropped,
}

struct Cohort {
    merchant: usize,
    class: usize,
    opened_by: Timestamp,
    state: State,
}

struct Account {
    live: u64,
    from: Timestamp,
}

/// The model.
#[derive(Default)]
struct Model {
    accounts: BTreeMap<usize, Account>,
    orders: BTreeMap<OrderId, Order>,
    cohorts: BTreeMap<Scope, Cohort>,
    scopes: Vec<Scope>,
    retired: BTreeSet<[u8; 32]>,
    tags: BTreeMap<OrderId, Vec<u8>>,
    closed: BTreeSet<Scope>,
    worked_off: Option<Timestamp>,
}

fn midnight_after(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds((time.as_unix_seconds() / DAY + 1) * DAY)
}

fn shifted(time: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_unix_seconds(time.as_unix_seconds().checked_add_signed(by).unwrap())
}

impl Model {
    fn enrol(&mut self, account: usize, wallet: u64, now: Timestamp) -> &'static str {
        match self.accounts.get(&account) {
            Some(row) if row.live == wallet => return "done",
            Some(row) if now < row.from => return "issuer.re_enrolment_too_early",
            _ => {}
        }
        let from = midnight_after(now).saturating_add(10 * DAY);
        self.accounts.insert(account, Account { live: wallet, from });
        "done"
    }

    fn report(
        &mut self,
        id: OrderId,
        account: usize,
        class: usize,
        due: Timestamp,
        now: Timestamp,
    ) -> &'static str {
        if let Some(order) = self.orders.get(&id) {
            let same = (order.account, order.class, order.due) == (account, class, due);
            return if same { "done" } else { "issuer.order_differs" };
        }
        if due > now {
            return "issuer.not_due";
        }
        self.orders.insert(id, Order { account, class, due, dead: None, grant: None });
        "done"
    }

    fn open(&self, merchant: usize, class: usize) -> Option<&Scope> {
        let open = |cohort: &Cohort| {
            cohort.state == State::Open && (cohort.merchant, cohort.class) == (merchant, class)
        };
        self.cohorts.iter().find(|(_, cohort)| open(cohort)).map(|(scope, _)| scope)
    }

    /// Checks what was offered.
    fn offered(
        &mut self,
        id: OrderId,
        account: usize,
        answer: Result<Offer, IssuerError>,
        newest: [u8; 32],
        now: Timestamp,
    ) {
        let Some(order) = self.orders.get(&id).cloned() else {
            return assert_eq!(code(answer), "issuer.unknown_order");
        };
        if order.account != account {
            return assert_eq!(code(answer), "issuer.order_of_another_account");
        }
        let scope = answer.unwrap().scope;
        if let Some((granted, ..)) = order.grant {
            return assert_eq!(scope, granted);
        }
        match self.open(id.0, order.class).cloned() {
            Some(open) if !self.retired.contains(open.key_id()) => assert_eq!(scope, open),
            other => {
                if let Some(left) = other {
                    self.cohorts.get_mut(&left).unwrap().state = State::Sealed;
                }
                assert_eq!(*scope.key_id(), newest);
                let cohort = Cohort {
                    merchant: id.0,
                    class: order.class,
                    opened_by: midnight_after(now),
                    state: State::Open,
                };
                self.scopes.push(scope.clone());
                assert!(self.cohorts.insert(scope, cohort).is_none(), "a cohort number was used twice");
            }
        }
    }

    fn request(
        &mut self,
        id: OrderId,
        account: usize,
        wallet: u64,
        variant: u64,
        scope: &Scope,
    ) -> &'static str {
        // A handle is one merchant's: at another's there is no such order.
        if scope.merchant() != &name(MERCHANTS[id.0]) {
            return "issuer.unknown_order";
        }
        let Some(order) = self.orders.get(&id) else { return "issuer.unknown_order" };
        if order.account != account {
            return "issuer.order_of_another_account";
        }
        match self.accounts.get(&account) {
            None => return "issuer.not_enrolled",
            Some(row) if row.live != wallet => return "issuer.proof_refused",
            _ => {}
        }
        let pair = (scope.clone(), wallet, variant);
        match &order.grant {
            Some(granted) if *granted == pair => return "done",
            Some(_) => return "issuer.already_granted",
            None => {}
        }
        if self.retired.contains(scope.key_id()) {
            return "issuer.retired_key";
        }
        let cohort = &self.cohorts[scope];
        match cohort.state {
            State::Open if cohort.class == order.class => {}
            State::Open | State::Dropped => return "issuer.wrong_scope",
            State::Sealed | State::Closed => return "issuer.cohort_closed",
        }
        self.orders.get_mut(&id).unwrap().grant = Some(pair);
        "done"
    }

    fn members(&self, scope: &Scope) -> Vec<(OrderId, &Order)> {
        let holds = |order: &Order| order.grant.as_ref().is_some_and(|(granted, ..)| granted == scope);
        self.orders.iter().filter(|(_, order)| holds(order)).map(|(id, order)| (*id, order)).collect()
    }

    fn of_standing(&self, scope: &Scope) -> usize {
        let accounts = self.members(scope).into_iter().map(|(_, order)| order.account);
        accounts.filter(|account| !ACCOUNTS[*account].starts_with('~')).collect::<BTreeSet<_>>().len()
    }

    /// Works off the boundary, and says what a tick must report.
    fn tick(&mut self, now: Timestamp) -> (BTreeSet<Starved>, BTreeSet<Overdue>, Option<Timestamp>) {
        let boundary = Timestamp::from_unix_seconds(
            now.as_unix_seconds() - (now.as_unix_seconds() - MONDAY.as_unix_seconds()) % WEEK,
        );
        let fresh = self.worked_off.is_none_or(|done| done < boundary);
        self.worked_off = Some(boundary);
        let mut changes = Vec::new();
        let (mut starving, mut overdue) = (BTreeSet::new(), BTreeSet::new());
        for (scope, cohort) in &self.cohorts {
            let k = CLASSES[cohort.class].1 as usize;
            let (count, members) = (self.of_standing(scope), self.members(scope));
            let mut state = cohort.state;
            let old = fresh && cohort.opened_by.saturating_add(3 * DAY) <= boundary;
            if state == State::Open && fresh && (old && count >= k || self.retired.contains(scope.key_id())) {
                state = State::Sealed;
            }
            let hungry = cohort.opened_by.saturating_add(5 * WEEK) <= now || state == State::Sealed;
            match state {
                State::Sealed if members.is_empty() && fresh => state = State::Dropped,
                State::Open | State::Sealed if members.is_empty() && state == State::Sealed => {}
                State::Open | State::Sealed if count < k && hungry => {
                    let (class, _) = CLASSES[cohort.class];
                    starving.insert((cohort.merchant, class, scope.cohort(), count));
                }
                State::Sealed => {
                    for (id, order) in &members {
                        if order.dead.is_none() && order.due.saturating_add(2 * WEEK) <= now {
                            overdue.insert((id.0, handle(*id).0));
                        }
                    }
                    if old && members.iter().all(|(_, order)| order.dead.is_some()) {
                        state = State::Closed;
                    }
                }
                _ => {}
            }
            changes.push((scope.clone(), state));
        }
        for (scope, state) in changes {
            self.cohorts.get_mut(&scope).unwrap().state = state;
        }
        (starving, overdue, fresh.then_some(boundary))
    }

    /// Checks what a tick reported, and what must hold whatever the rules say.
    fn ticked(&mut self, report: IssuerReport, platform: &PlatformKey, now: Timestamp) {
        let (starving, overdue, boundary) = self.tick(now);
        let merchant_number = |merchant: &Name| MERCHANTS.iter().position(|m| name(m) == *merchant).unwrap();
        let starved = report.starving.iter();
        let found: BTreeSet<_> = starved
            .map(|s| (merchant_number(&s.merchant), s.class, s.cohort, s.of_standing as usize))
            .collect();
        assert_eq!(found, starving);
        let found: BTreeSet<_> = report
            .numbers_overdue
            .iter()
            .map(|(merchant, handle)| (merchant_number(merchant), handle.0))
            .collect();
        assert_eq!(found, overdue);
        let mut reported = BTreeSet::new();
        for signed in &report.manifests {
            let manifest = signed.verify(&platform.public()).unwrap();
            let cohort = &self.cohorts[&manifest.scope];
            assert_eq!(cohort.state, State::Closed);
            assert_eq!(manifest.at_least, CLASSES[cohort.class].1);
            assert!(self.of_standing(&manifest.scope) >= manifest.at_least as usize, "closed below k");
            if self.closed.insert(manifest.scope.clone()) {
                assert_eq!(Some(manifest.closed_at), boundary, "closed between boundaries");
            }
            for time in [manifest.closed_at, manifest.first_publication, manifest.window_end] {
                assert_eq!((time.as_unix_seconds() - MONDAY.as_unix_seconds()) % WEEK, 0);
            }
            let last =
                self.members(&manifest.scope).iter().map(|(_, order)| order.dead.unwrap()).max().unwrap();
            assert!(last <= manifest.numbers_dead_at, "published while a number may ring");
            assert!(manifest.numbers_dead_at < manifest.first_publication);
            let earliest = manifest.closed_at.max(last);
            assert!(manifest.first_publication.saturating_since(earliest) <= WEEK, "published too late");
            let window = manifest.closed_at.saturating_add(4 * WEEK);
            assert_eq!(manifest.window_end, window.max(manifest.first_publication.saturating_add(WEEK)));
            reported.insert(manifest.scope.clone());
        }
        let closed: BTreeSet<_> =
            self.cohorts.iter().filter(|(_, c)| c.state == State::Closed).map(|(s, _)| s.clone()).collect();
        assert_eq!(reported, closed);
    }
}

fn handle((merchant, order): OrderId) -> OrderHandle {
    OrderHandleKey::derive(&SecretBytes::new([5; 32]), &name(MERCHANTS[merchant])).handle(&[order])
}

/// Asks for a token, and compares the answer with the model's.
fn ask(
    shop: &Shop<MemoryStore>,
    model: &mut Model,
    id: OrderId,
    person: (usize, u64),
    variant: u64,
    scope: &Scope,
) {
    let (account, wallet) = person;
    let person = Person::with(ACCOUNTS[account], wallet);
    let request = person.request(handle(id), scope, variant);
    let before = dump(&*shop.store);
    let answer = shop.issuer.grant(person.account.clone(), request.clone()).wait();
    let expected = model.request(id, account, wallet, variant, scope);
    match answer {
        Ok(grant) => {
            assert_eq!(expected, "done");
            assert!(person.holds(&shop.ring, &request, &grant));
            let first = model.tags.entry(id).or_insert(tag(&grant));
            assert_eq!(*first, tag(&grant), "an order has two tokens");
        }
        Err(error) => {
            assert_eq!(error.code(), expected);
            assert_eq!(dump(&*shop.store), before, "{expected} changed a row");
        }
    }
}

fn step(shop: &mut Shop<MemoryStore>, model: &mut Model, op: Op) {
    let now = shop.now();
    let newest = *shop.ring.newest().issuer_key.public().id();
    match op {
        Op::Enrol { account, wallet } => {
            let answer = shop.enrol(&Person::with(ACCOUNTS[account], wallet));
            assert_eq!(code(answer), model.enrol(account, wallet, now));
        }
        Op::Report { merchant, order, account, class, due } => {
            // An order's due time is one function of its number, but for the odd wrong report.
            let due_at = if due == 0 { MONDAY } else { shifted(now, due) };
            let report = OrderReport {
                order_id: vec![order],
                account: name(ACCOUNTS[account]),
                merchant: name(MERCHANTS[merchant]),
                class: CLASSES[class].0,
                due_at,
            };
            let answer = shop.issuer.report_orders(&[report]).pop().unwrap();
            assert!(answer.as_ref().is_ok_and(|h| *h == handle((merchant, order))) || answer.is_err());
            assert_eq!(code(answer), model.report((merchant, order), account, class, due_at, now));
        }
        Op::Offer { merchant, order, account } => {
            let (id, person) = ((merchant, order), Person::new(ACCOUNTS[account]));
            let answer = shop.offer(&person, &name(MERCHANTS[merchant]), handle(id));
            model.offered(id, account, answer, newest, now);
        }
        Op::Grant { merchant, order, account, wallet, variant, scope } => {
            let id = (merchant, order);
            let granted = || model.orders.get(&id)?.grant.as_ref().map(|(scope, ..)| scope);
            let named = scope.map_or_else(granted, |at| model.scopes.get(at));
            let Some(scope) = named.cloned() else { return };
            ask(shop, model, id, (account, wallet), variant, &scope);
        }
        Op::Buy { merchant, order } => {
            let id = (merchant, order);
            let Some(Order { account, .. }) = model.orders.get(&id).cloned() else { return };
            let Some(wallet) = model.accounts.get(&account).map(|row| row.live) else { return };
            let person = Person::with(ACCOUNTS[account], wallet);
            let offer = shop.offer(&person, &name(MERCHANTS[merchant]), handle(id));
            let scope = offer.as_ref().unwrap().scope.clone();
            model.offered(id, account, offer, newest, now);
            ask(shop, model, id, (account, wallet), 1, &scope);
        }
        Op::NumbersDead { merchant, order, at } => {
            let (id, at) = ((merchant, order), shifted(now, at));
            let answer = shop.numbers_dead(&name(MERCHANTS[merchant]), handle(id), at);
            let expected = match model.orders.get_mut(&id) {
                _ if at > now.saturating_add(366 * DAY) => "issuer.time_out_of_range",
                None => "issuer.unknown_order",
                Some(Order { dead: Some(said), .. }) if *said != at => "issuer.numbers_dead_differs",
                Some(order) => {
                    order.dead = Some(at);
                    "done"
                }
            };
            assert_eq!(code(answer), expected);
        }
        Op::AllNumbersDead { merchant } => {
            let ringing =
                |order: &u8| model.orders.get(&(merchant, *order)).is_some_and(|o| o.dead.is_none());
            for order in (0..ORDERS + 2).filter(ringing).collect::<Vec<_>>() {
                step(shop, model, Op::NumbersDead { merchant, order, at: 0 });
            }
        }
        Op::Tick => {
            let report = shop.issuer.tick().unwrap();
            model.ticked(report, &shop.platform, now);
        }
        Op::Pass { seconds } => shop.pass(seconds),
        Op::Rotate => {
            let (key, escrow) = new_key();
            let ring = shop.ring.with(key, escrow);
            shop.use_ring(ring);
        }
        Op::Retire => {
            let others: Vec<[u8; 32]> =
                model.scopes.iter().map(|scope| *scope.key_id()).filter(|id| *id != newest).collect();
            if let Some(oldest) = others.first() {
                model.retired.insert(*oldest);
                let ring = shop.ring.retire(oldest);
                shop.use_ring(ring);
            }
        }
        Op::Restart => *shop = shop.again(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn every_history_keeps_the_rules(ops in proptest::collection::vec(op(), 1..160)) {
        let (mut shop, mut model) = (Shop::new(), Model::default());
        for account in 0..5 {
            step(&mut shop, &mut model, Op::Enrol { account, wallet: 1 });
        }
        for (merchant, order) in (0..ORDERS).flat_map(|order| [(0, order), (1, order)]) {
            let (account, class) = (usize::from(order) % ACCOUNTS.len(), usize::from(order / 3) % 2);
            step(&mut shop, &mut model, Op::Report { merchant, order, account, class, due: 0 });
        }
        for op in ops {
            step(&mut shop, &mut model, op);
        }
        // Whatever a history left open: two more boundaries.
        for _ in 0..2 {
            step(&mut shop, &mut model, Op::Pass { seconds: WEEK });
            step(&mut shop, &mut model, Op::Tick);
        }
    }
}
