//! A plain model of some orders' numbers: never a misroute, never a stranger, never a number
//! revived, never a number twice for a hub within its quarantine.

use super::{LIFE, code, courier, order, parties, phone, request, slots};
use crate::{
    Binding, Bound, Leg, OrderRef, PhoneNumber, Route, Switchboard, SwitchboardError, VirtualNumber,
};
use std::collections::BTreeMap;
use unjoin_core::{DAY, Name, Timestamp};
use unjoin_store::Store;

/// Orders: the first two are one merchant's, the others another's.
pub const ORDERS: usize = 4;
/// Phones are parties of any kind.
pub const PHONES: u64 = 5;
const STRANGER: u64 = 77;
/// The longest that a number can be extended to.
pub const TOTAL_LIFE: u64 = 4 * 3600;

/// A leg of an order, and the phones of its two sides.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    pub of: usize,
    pub leg: Leg,
    pub hub: u64,
    pub customer: u64,
}

/// What the host asks for. Lives are seconds from now.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Bind { who: Who, life: u64, keep_closed: bool },
    Replace { who: Who, stale: bool },
    Extend { who: Who, life: u64 },
    Release { of: usize, leg: Leg },
    Ticket { of: usize, life: Option<u64> },
    Close { of: usize },
    CutOff { of: usize },
    Tick,
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
enum LegStanding {
    Unbound,
    /// Its time is over, or the keys of its time are gone: it may be bound anew.
    Over(&'static str),
    Live(Live),
}

#[derive(Default)]
pub struct Model {
    /// Whether a hub may find its slice used up.
    pub runs_out: bool,
    orders: [Order; ORDERS],
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
        self.dead_at = self.dead_at.max(Some(slots().dead_at(slots().slot_of(slot_of))));
    }

    /// An order that never had a number dies as if it had one that ends now.
    fn cover_at_all(&mut self, now: Timestamp) {
        if self.dead_at.is_none() {
            self.cover(now);
        }
    }
}

impl Who {
    fn order(self) -> OrderRef {
        order_of(self.of)
    }

    fn courier(self) -> Option<Name> {
        (self.leg == Leg::Courier).then(|| courier(self.hub))
    }

    /// Under which name the business side draws.
    fn hub_name(self) -> Name {
        self.courier().unwrap_or_else(|| self.order().merchant)
    }

    fn are_those_of(self, live: &Live) -> bool {
        (live.hub, live.customer) == (self.hub, self.customer)
    }
}

fn order_of(of: usize) -> OrderRef {
    order(if of < 2 { "m" } else { "n" }, &of.to_string())
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

impl Model {
    fn standing(&mut self, of: usize, leg: Leg, now: Timestamp) -> Result<LegStanding, &'static str> {
        let recoveries = self.recoveries;
        let order = &mut self.orders[of];
        if order.closed.is_some() {
            return Err("switchboard.order_closed");
        }
        match order.leg(leg) {
            LegModel::Unbound => Ok(LegStanding::Unbound),
            LegModel::Ended => Err("switchboard.ended"),
            LegModel::Live(live) if now >= live.not_after => Ok(LegStanding::Over("switchboard.ended")),
            LegModel::Live(live) if live.recoveries < recoveries => {
                Ok(LegStanding::Over("switchboard.keys_replaced"))
            }
            LegModel::Live(live) => Ok(LegStanding::Live(live.clone())),
        }
    }

    fn live(&mut self, of: usize, leg: Leg, now: Timestamp) -> Result<Live, &'static str> {
        match self.standing(of, leg, now)? {
            LegStanding::Unbound => Err("switchboard.unknown_binding"),
            LegStanding::Over(error) => Err(error),
            LegStanding::Live(live) => Ok(live),
        }
    }

    fn set(&mut self, of: usize, leg: Leg, live: Live) {
        *self.orders[of].leg(leg) = LegModel::Live(live);
    }

    /// Whom a caller reaches: at most one live leg may have this number with this party.
    fn reached(&mut self, caller: u64, number: VirtualNumber, now: Timestamp) -> Option<PhoneNumber> {
        let mut reached = None;
        let mut legs = 0;
        for of in 0..ORDERS {
            for leg in [Leg::Merchant, Leg::Courier] {
                let Ok(LegStanding::Live(live)) = self.standing(of, leg, now) else { continue };
                if live.number != number || ![live.hub, live.customer].contains(&caller) {
                    continue;
                }
                legs += 1;
                let from_customer = caller == live.customer;
                let ticket = live.ticket.is_some_and(|until| now < until);
                let open = from_customer || leg == Leg::Courier || ticket;
                reached = open.then(|| phone(if from_customer { live.hub } else { live.customer }));
            }
        }
        assert!(legs <= 1, "a party has one number in two legs");
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

    /// Replaces the slot keys by `recover`, as often as the pool's quarantine is reckoned with.
    pub fn recover(&mut self, recover: impl FnOnce()) {
        if self.recoveries == 0 {
            recover();
            self.recoveries = 1;
        }
    }

    /// Does it, and looks whether the answer is the model's.
    pub fn act<S: Store>(&mut self, board: &Switchboard<S>, now: Timestamp, act: Act) {
        match act {
            Act::Bind { who, life, keep_closed } => self.bind(board, now, who, life, keep_closed),
            Act::Replace { who, stale } => self.replace(board, now, who, stale),
            Act::Extend { who, life } => self.extend(board, now, who, life),
            Act::Release { of, leg } => {
                board.release(&order_of(of), leg).unwrap();
                let order = &mut self.orders[of];
                if order.closed.is_none() {
                    order.cover_at_all(now);
                    *order.leg(leg) = LegModel::Ended;
                }
            }
            Act::Ticket { of, life } => self.ticket(board, now, of, life),
            Act::Close { of } => {
                let order = &mut self.orders[of];
                order.cover_at_all(now);
                let expected = *order.closed.get_or_insert(order.dead_at.unwrap());
                let answer = board.close_orders(&[order_of(of)]).pop().unwrap();
                assert_eq!(answer.unwrap(), expected);
            }
            Act::CutOff { of } => {
                board.cut_off(&order_of(of).merchant).unwrap();
                for order in &mut self.orders[of / 2 * 2..][..2] {
                    for leg in [&mut order.merchant, &mut order.courier] {
                        if matches!(leg, LegModel::Live(_)) {
                            *leg = LegModel::Ended;
                        }
                    }
                }
            }
            Act::Tick => drop(board.tick().unwrap()),
        }
    }

    fn bind<S: Store>(
        &mut self,
        board: &Switchboard<S>,
        now: Timestamp,
        who: Who,
        life: u64,
        kept_closed: bool,
    ) {
        let (end, parties) = (now.saturating_add(life), parties(who.hub, who.customer));
        let usual = match who.courier() {
            None => Binding::merchant(who.order(), parties, end),
            Some(courier) => Binding::courier(who.order(), courier, parties, end),
        };
        let answer = board.bind(Binding { keep_merchant_closed: kept_closed, ..usual }).wait();
        if who.hub == who.customer {
            return assert_eq!(code(answer), "switchboard.same_party");
        }
        match self.standing(who.of, who.leg, now) {
            Err(error) => assert_eq!(code(answer), error),
            Ok(LegStanding::Live(live)) if who.are_those_of(&live) => {
                assert_eq!(answer.unwrap(), Bound { number: live.number, not_after: live.not_after });
            }
            Ok(LegStanding::Live(_)) => assert_eq!(code(answer), "switchboard.different_parties"),
            Ok(LegStanding::Unbound | LegStanding::Over(_)) => {
                if let Some(error) = end_error(end, now) {
                    return assert_eq!(code(answer), error);
                }
                let Some(Bound { number, not_after }) = self.fresh(answer) else { return };
                assert_eq!(not_after, end);
                self.draw(who.hub_name(), number, now);
                self.orders[who.of].cover(end);
                let (hub, customer, until) = (who.hub, who.customer, now.saturating_add(TOTAL_LIFE));
                let (ticket, recoveries) = (None, self.recoveries);
                let live = Live { number, hub, customer, not_after, until, ticket, kept_closed, recoveries };
                self.set(who.of, who.leg, live);
            }
        }
    }

    /// A number that was to be drawn; `None` when the slice is used up: no number then, and never a
    /// fallback.
    fn fresh(&self, answer: Result<Bound, SwitchboardError>) -> Option<Bound> {
        match answer {
            Err(SwitchboardError::Pool(_)) if self.runs_out => None,
            answer => Some(answer.unwrap()),
        }
    }

    fn replace<S: Store>(&mut self, board: &Switchboard<S>, now: Timestamp, who: Who, stale: bool) {
        let live = self.live(who.of, who.leg, now);
        let other = VirtualNumber::new("+86700999999999999").unwrap();
        let replaces = live.as_ref().ok().filter(|_| !stale).map_or(other, |live| live.number);
        let parties = parties(who.hub, who.customer);
        let answer = board.replace(&who.order(), who.courier(), parties, replaces).wait();
        if who.hub == who.customer {
            return assert_eq!(code(answer), "switchboard.same_party");
        }
        match live {
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if stale && who.are_those_of(&live) => {
                assert_eq!(answer.unwrap(), Bound { number: live.number, not_after: live.not_after });
            }
            Ok(_) if stale => assert_eq!(code(answer), "switchboard.superseded"),
            Ok(live) => {
                let Some(Bound { number, not_after }) = self.fresh(answer) else { return };
                assert_eq!(not_after, live.not_after);
                assert_ne!(number, live.number);
                self.draw(who.hub_name(), number, now);
                let until = now.saturating_add(TOTAL_LIFE);
                let live = Live { number, hub: who.hub, customer: who.customer, until, ..live };
                self.set(who.of, who.leg, live);
            }
        }
    }

    fn extend<S: Store>(&mut self, board: &Switchboard<S>, now: Timestamp, who: Who, life: u64) {
        let not_after = now.saturating_add(life);
        let answer = board.extend(&who.order(), who.leg, &parties(who.hub, who.customer), not_after);
        match self.live(who.of, who.leg, now) {
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if !who.are_those_of(&live) => {
                assert_eq!(code(answer), "switchboard.different_parties");
            }
            Ok(live) if not_after <= live.not_after => assert_eq!(answer.unwrap().not_after, live.not_after),
            Ok(live) => match end_error(not_after, now) {
                Some(error) => assert_eq!(code(answer), error),
                None if not_after > live.until => assert_eq!(code(answer), "switchboard.total_life"),
                None => {
                    assert_eq!(answer.unwrap(), Bound { number: live.number, not_after });
                    self.orders[who.of].cover(not_after);
                    self.set(who.of, who.leg, Live { not_after, ..live });
                }
            },
        }
    }

    fn ticket<S: Store>(&mut self, board: &Switchboard<S>, now: Timestamp, of: usize, life: Option<u64>) {
        let until = life.map(|life| now.saturating_add(life));
        let answer = match until {
            Some(until) => board.open_ticket(&order_of(of), until),
            None => board.close_ticket(&order_of(of)),
        };
        if let Some(error) = until.and_then(|until| end_error(until, now)) {
            return assert_eq!(code(answer), error);
        }
        match self.live(of, Leg::Merchant, now) {
            Err("switchboard.ended" | "switchboard.order_closed") if until.is_none() => answer.unwrap(),
            Err(error) => assert_eq!(code(answer), error),
            Ok(live) if live.kept_closed && until.is_some() => {
                assert_eq!(code(answer), "switchboard.kept_closed");
            }
            Ok(live) => {
                answer.unwrap();
                self.set(of, Leg::Merchant, Live { ticket: until, ..live });
            }
        }
    }

    /// Every phone dials every number that ever was.
    pub fn check<S: Store>(&mut self, board: &Switchboard<S>, now: Timestamp) {
        let reaches = |caller, number| match board.route(&request(caller, number)).unwrap() {
            Route::Connect { callee, show, max_duration, .. } => {
                assert!(show == number && max_duration >= 1);
                Some(callee)
            }
            Route::Refuse => None,
        };
        for number in self.numbers.clone() {
            for caller in 0..PHONES {
                assert_eq!(reaches(caller, number), self.reached(caller, number, now));
            }
            assert_eq!(reaches(STRANGER, number), None, "a stranger");
        }
    }
}
