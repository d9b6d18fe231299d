//! Any history of everything, against a plain model: never a misroute, never a stranger, never
//! a number revived, never a number twice for a hub within its quarantine.

use super::*;
use proptest::prelude::*;

/// Phones are parties of any kind: 0 to 4. Orders: 0 to 3, of two merchants.
#[derive(Clone, Debug)]
enum Act {
    Bind { of: u64, leg: Leg, hub: u64, customer: u64, life: u64, closed: bool },
    Replace { of: u64, leg: Leg, hub: u64, customer: u64, stale: bool },
    Extend { of: u64, leg: Leg, hub: u64, customer: u64, life: u64 },
    Release { of: u64, leg: Leg },
    Ticket { of: u64, life: Option<u64> },
    Close { of: u64 },
    CutOff { of: u64 },
    Recover,
    Tick,
    Pass(u64),
}

fn leg() -> impl Strategy<Value = Leg> {
    prop_oneof![Just(Leg::Merchant), Just(Leg::Courier)]
}

fn life() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1u64..120, 1u64..LIFE + 1, Just(LIFE), Just(LIFE + 1)]
}

fn act() -> impl Strategy<Value = Act> {
    let (of, phone) = (|| 0u64..4, || 0u64..5);
    prop_oneof![
        8 => (of(), leg(), phone(), phone(), life(), any::<bool>())
            .prop_map(|(of, leg, hub, customer, life, closed)| Act::Bind { of, leg, hub, customer, life, closed }),
        4 => (of(), leg(), phone(), phone(), any::<bool>())
            .prop_map(|(of, leg, hub, customer, stale)| Act::Replace { of, leg, hub, customer, stale }),
        4 => (of(), leg(), phone(), phone(), life())
            .prop_map(|(of, leg, hub, customer, life)| Act::Extend { of, leg, hub, customer, life }),
        2 => (of(), leg()).prop_map(|(of, leg)| Act::Release { of, leg }),
        2 => (of(), proptest::option::of(life())).prop_map(|(of, life)| Act::Ticket { of, life }),
        1 => of().prop_map(|of| Act::Close { of }),
        1 => of().prop_map(|of| Act::CutOff { of }),
        1 => Just(Act::Recover),
        1 => Just(Act::Tick),
        6 => prop_oneof![1u64..120, Just(SLOT), 1u64..LIFE, Just(DAY / 2)].prop_map(Act::Pass),
    ]
}

#[derive(Clone, Debug, Default)]
struct Order {
    closed: Option<Timestamp>,
    /// When its last number is dead, so far.
    dead_at: Option<Timestamp>,
    merchant: LegModel,
    courier: LegModel,
}

#[derive(Clone, Debug, Default)]
enum LegModel {
    #[default]
    Unbound,
    Ended,
    Live(Live),
}

#[derive(Clone, Debug)]
struct Live {
    number: VirtualNumber,
    hub: u64,
    customer: u64,
    not_after: Timestamp,
    until: Timestamp,
    ticket: Option<Timestamp>,
    kept_closed: bool,
    recoveries: u64,
}

/// What the model says of a leg.
enum Standing {
    Unbound,
    /// Its time is over: the order may get another number.
    Expired,
    Void,
    Live(Live),
}

#[derive(Default)]
struct Model {
    orders: [Order; 4],
    recoveries: u64,
    /// Every number, by hub, with the end of the last life it can have had.
    drawn: BTreeMap<(Name, VirtualNumber), Timestamp>,
    numbers: Vec<VirtualNumber>,
}

impl Order {
    fn leg(&mut self, leg: Leg) -> &mut LegModel {
        match leg {
            Leg::Merchant => &mut self.merchant,
            Leg::Courier => &mut self.courier,
        }
    }

    fn cover(&mut self, slot_of: Timestamp) {
        let config = TestKeys::config();
        self.dead_at = self.dead_at.max(Some(config.dead_at(config.slot_of(slot_of))));
    }
}

impl Model {
    fn standing(&mut self, of: u64, leg: Leg, now: Timestamp) -> Result<Standing, &'static str> {
        let recoveries = self.recoveries;
        let order = &mut self.orders[of as usize];
        if order.closed.is_some() {
            return Err("switchboard.order_closed");
        }
        match order.leg(leg) {
            LegModel::Unbound => Ok(Standing::Unbound),
            LegModel::Ended => Err("switchboard.ended"),
            LegModel::Live(live) if now >= live.not_after => Ok(Standing::Expired),
            LegModel::Live(live) if live.recoveries < recoveries => Ok(Standing::Void),
            LegModel::Live(live) => Ok(Standing::Live(live.clone())),
        }
    }

    fn live(&mut self, of: u64, leg: Leg, now: Timestamp) -> Result<Live, &'static str> {
        match self.standing(of, leg, now)? {
            Standing::Unbound => Err("switchboard.unknown_binding"),
            Standing::Expired => Err("switchboard.ended"),
            Standing::Void => Err("switchboard.keys_replaced"),
            Standing::Live(live) => Ok(live),
        }
    }

    /// Whom a caller reaches: exactly one live leg may have this number with this party.
    fn reached(&mut self, caller: u64, number: VirtualNumber, now: Timestamp) -> Option<PhoneNumber> {
        let mut reached = None;
        let mut parties_of = 0;
        for of in 0..4 {
            for leg in [Leg::Merchant, Leg::Courier] {
                let Ok(Standing::Live(live)) = self.standing(of, leg, now) else { continue };
                if live.number != number || ![live.hub, live.customer].contains(&caller) {
                    continue;
                }
                parties_of += 1;
                let open = caller == live.customer
                    || leg == Leg::Courier
                    || live.ticket.is_some_and(|ticket| now < ticket);
                let callee = if caller == live.customer { live.hub } else { live.customer };
                reached = open.then(|| phone(callee));
            }
        }
        assert!(parties_of <= 1, "a party has one number in two legs");
        reached
    }

    /// Notes a fresh number; it must not be one that the hub has seen.
    fn draw(&mut self, hub: Name, number: VirtualNumber, now: Timestamp) {
        let until = now.saturating_add(TOTAL_LIFE);
        // One spare recovery is reckoned with; the pool's quarantine is a day after that.
        if let Some(before) = self.drawn.insert((hub, number), until) {
            assert!(now >= before.saturating_add(DAY), "a hub got a number twice within its quarantine");
        }
        if !self.numbers.contains(&number) {
            self.numbers.push(number);
        }
    }
}

fn order_of(of: u64) -> OrderRef {
    order(if of < 2 { "m" } else { "n" }, &of.to_string())
}

fn hub_of(leg: Leg, hub: u64) -> Hub {
    match leg {
        Leg::Merchant => Hub::Merchant,
        Leg::Courier => Hub::Courier(courier(hub)),
    }
}

fn name_of(of: u64, hub: &Hub) -> Name {
    match hub {
        Hub::Merchant => order_of(of).merchant,
        Hub::Courier(courier) => courier.clone(),
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

struct Run<S: Store> {
    exchange: Exchange<S>,
    model: Model,
}

impl<S: Store> Run<S> {
    fn apply(&mut self, act: &Act) {
        let now = self.exchange.now();
        match *act {
            Act::Bind { of, leg, hub, customer, life, closed } => {
                self.bind(of, leg, hub, customer, life, closed)
            }
            Act::Replace { of, leg, hub, customer, stale } => self.replace(of, leg, hub, customer, stale),
            Act::Extend { of, leg, hub, customer, life } => self.extend(of, leg, hub, customer, life),
            Act::Release { of, leg } => {
                self.exchange.board.release(&order_of(of), leg).unwrap();
                let order = &mut self.model.orders[of as usize];
                if order.closed.is_none() {
                    if order.dead_at.is_none() {
                        order.cover(now);
                    }
                    *order.leg(leg) = LegModel::Ended;
                }
            }
            Act::Ticket { of, life } => self.ticket(of, life),
            Act::Close { of } => {
                let order = &mut self.model.orders[of as usize];
                if order.dead_at.is_none() {
                    order.cover(now);
                }
                let expected = *order.closed.get_or_insert(order.dead_at.unwrap());
                assert_eq!(self.exchange.close(&order_of(of)), expected);
            }
            Act::CutOff { of } => {
                self.exchange.board.cut_off(&order_of(of).merchant).unwrap();
                for order in self.model.orders.iter_mut().skip(of as usize / 2 * 2).take(2) {
                    for leg in [Leg::Merchant, Leg::Courier] {
                        if matches!(order.leg(leg), LegModel::Live(_)) {
                            *order.leg(leg) = LegModel::Ended;
                        }
                    }
                }
            }
            Act::Recover => {
                // As often as the pool's quarantine is reckoned with.
                if self.model.recoveries == 0 {
                    self.exchange.keys.recover();
                    self.model.recoveries = 1;
                }
            }
            Act::Tick => drop(self.exchange.board.tick().unwrap()),
            Act::Pass(seconds) => self.exchange.pass(seconds),
        }
    }

    fn bind(&mut self, of: u64, leg: Leg, hub: u64, customer: u64, life: u64, closed: bool) {
        let now = self.exchange.now();
        let (hub_kind, end) = (hub_of(leg, hub), now.saturating_add(life));
        let usual = match &hub_kind {
            Hub::Merchant => Binding::merchant(order_of(of), parties(hub, customer), end),
            Hub::Courier(name) => Binding::courier(order_of(of), name.clone(), parties(hub, customer), end),
        };
        let answer = self.exchange.bind(Binding { keep_merchant_closed: closed, ..usual });
        if hub == customer {
            return assert_eq!(code(answer), "switchboard.same_party");
        }
        match self.model.standing(of, leg, now) {
            Err(error) => assert_eq!(code(answer), error),
            Ok(Standing::Live(live)) if (live.hub, live.customer) == (hub, customer) => {
                assert_eq!(answer.unwrap(), Bound { number: live.number, not_after: live.not_after });
            }
            Ok(Standing::Live(_)) => assert_eq!(code(answer), "switchboard.different_parties"),
            Ok(Standing::Unbound | Standing::Expired | Standing::Void) => {
                if let Some(error) = end_error(end, now) {
                    return assert_eq!(code(answer), error);
                }
                let bound = answer.unwrap();
                assert_eq!(bound.not_after, end);
                self.model.draw(name_of(of, &hub_kind), bound.number, now);
                let live = Live {
                    number: bound.number,
                    hub,
                    customer,
                    not_after: end,
                    until: now.saturating_add(TOTAL_LIFE),
                    ticket: None,
                    kept_closed: closed,
                    recoveries: self.model.recoveries,
                };
                let order = &mut self.model.orders[of as usize];
                order.cover(end);
                *order.leg(leg) = LegModel::Live(live);
            }
        }
    }

    fn replace(&mut self, of: u64, leg: Leg, hub: u64, customer: u64, stale: bool) {
        let now = self.exchange.now();
        let live = self.model.live(of, leg, now);
        let other = VirtualNumber::from_integer(86_700_999_999_999_999).unwrap();
        let replaces = live.as_ref().ok().filter(|_| !stale).map_or(other, |live| live.number);
        let hub_kind = hub_of(leg, hub);
        let parties = parties(hub, customer);
        let answer = self.exchange.replace(Replacement {
            order: order_of(of),
            hub: hub_kind.clone(),
            parties,
            replaces,
        });
        if hub == customer {
            return assert_eq!(code(answer), "switchboard.same_party");
        }
        match live {
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if stale && (live.hub, live.customer) == (hub, customer) => {
                assert_eq!(answer.unwrap(), Bound { number: live.number, not_after: live.not_after });
            }
            Ok(_) if stale => assert_eq!(code(answer), "switchboard.superseded"),
            Ok(live) => {
                let bound = answer.unwrap();
                assert_eq!(bound.not_after, live.not_after);
                assert_ne!(bound.number, live.number);
                self.model.draw(name_of(of, &hub_kind), bound.number, now);
                let until = now.saturating_add(TOTAL_LIFE);
                let live = Live { number: bound.number, hub, customer, until, ..live };
                *self.model.orders[of as usize].leg(leg) = LegModel::Live(live);
            }
        }
    }

    fn extend(&mut self, of: u64, leg: Leg, hub: u64, customer: u64, life: u64) {
        let now = self.exchange.now();
        let not_after = now.saturating_add(life);
        let parties = parties(hub, customer);
        let answer = self.exchange.board.extend(&Extension { order: order_of(of), leg, parties, not_after });
        match self.model.live(of, leg, now) {
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if (live.hub, live.customer) != (hub, customer) => {
                assert_eq!(code(answer), "switchboard.different_parties");
            }
            Ok(live) if not_after <= live.not_after => assert_eq!(answer.unwrap().not_after, live.not_after),
            Ok(_) if end_error(not_after, now).is_some() => {
                assert_eq!(code(answer), end_error(not_after, now).unwrap())
            }
            Ok(live) if not_after > live.until => assert_eq!(code(answer), "switchboard.total_life"),
            Ok(live) => {
                assert_eq!(answer.unwrap(), Bound { number: live.number, not_after });
                let order = &mut self.model.orders[of as usize];
                order.cover(not_after);
                *order.leg(leg) = LegModel::Live(Live { not_after, ..live });
            }
        }
    }

    fn ticket(&mut self, of: u64, life: Option<u64>) {
        let now = self.exchange.now();
        let until = life.map(|life| now.saturating_add(life));
        let answer = match until {
            Some(until) => self.exchange.board.open_ticket(&order_of(of), until),
            None => self.exchange.board.close_ticket(&order_of(of)),
        };
        let live = self.model.live(of, Leg::Merchant, now);
        if let Some(error) = until.and_then(|until| end_error(until, now)) {
            return assert_eq!(code(answer), error);
        }
        match live {
            Err("switchboard.ended" | "switchboard.order_closed") if until.is_none() => answer.unwrap(),
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if live.kept_closed && until.is_some() => {
                assert_eq!(code(answer), "switchboard.kept_closed")
            }
            Ok(live) => {
                answer.unwrap();
                self.model.orders[of as usize].merchant = LegModel::Live(Live { ticket: until, ..live });
            }
        }
    }

    /// Every phone dials every number that ever was.
    fn check(&mut self) {
        let now = self.exchange.now();
        for number in self.model.numbers.clone() {
            for caller in 0..5 {
                assert_eq!(self.exchange.reaches(caller, number), self.model.reached(caller, number, now));
            }
            assert_eq!(self.exchange.reaches(77, number), None, "a stranger");
        }
    }
}

fn run<S: Store>(store: S, acts: &[Act]) {
    let (store, clock) = (Arc::new(store), Arc::new(ManualClock::new(START)));
    let exchange = Exchange::with(store, clock, Arc::new(TestKeys::new()), pool(60));
    let mut run = Run { exchange, model: Model::default() };
    for act in acts {
        run.apply(act);
        run.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_history_routes_as_the_plain_model_says(acts in prop::collection::vec(act(), 1..50)) {
        run(MemoryStore::new(), &acts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_history_routes_as_the_plain_model_says_on_redb(acts in prop::collection::vec(act(), 1..50)) {
        let memory = redb::backends::InMemoryBackend::new();
        run(unjoin_store::RedbStore::create_on(memory).unwrap(), &acts);
    }
}
