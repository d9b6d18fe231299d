//! What becomes of a live leg: extended, opened by a ticket, released; and the end of orders
//! and merchants. Each is decided by one write in the merchant's bucket.

use super::binding::{Bound, Extension, Leg, OrderRef};
use super::legs::{check_end, entries};
use super::rows::{
    LegState, LiveLeg, MerchantRow, OrderId, OrderRow, StoredRow, index_key, merchant_key, number_bucket,
    raw, sealed_value,
};
use super::steps::{Cover, Prepare, Prepared, records};
use super::{Core, SwitchboardError};
use crate::name::Name;
use crate::phone::SlotKeyWindow;
use crate::store::decide::{Decision, Step, run, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::time::Timestamp;

/// How often an extension may be overtaken by others before the caller is told.
const ROUNDS: usize = 16;

impl<S: Store> Core<S> {
    /// In the same slot one write; in a later one the order's record is made to cover it and
    /// the index rows are written there first. They say what the present ones say, so that it
    /// does not matter which of them a call finds.
    pub(super) fn extend(&self, asked: &Extension) -> Result<Bound, SwitchboardError> {
        let id = OrderId::of(&asked.order);
        let keys = [id.order_key(), id.merchant_key()];
        for _ in 0..ROUNDS {
            let window = self.window()?;
            let (order, merchant) = records(&self.store.read(&keys)?)?;
            let live = order.live(asked.leg, merchant, &window)?;
            if !self.is_between(live, id, asked.leg, &asked.parties, &window)? {
                return Err(SwitchboardError::DifferentParties);
            }
            if asked.not_after <= live.terms.not_after {
                return Ok(live.bound());
            }
            check_end(asked.not_after, &window)?;
            if asked.not_after > live.terms.extendable_until {
                return Err(SwitchboardError::TotalLife { max_total_life: self.config.max_total_life });
            }
            if window.slot_of(asked.not_after) != window.slot_of(live.terms.not_after)
                && !self.move_on(id, asked, live, &window)?
            {
                continue;
            }
            let window = self.window()?;
            let prolong = Prolong { id, asked, seen: live, window: &window };
            if let Some(answer) = run_one(&*self.store, prolong)? {
                return answer;
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Writes the leg's index rows in the slot of the new end. Whether it could: a party may
    /// have the number there already, by a process whose clock runs ahead of this one's.
    fn move_on(
        &self,
        id: OrderId,
        asked: &Extension,
        live: &LiveLeg,
        window: &SlotKeyWindow,
    ) -> Result<bool, SwitchboardError> {
        let slot = window.slot_of(asked.not_after);
        let cover = Cover { key: id.order_key(), dead_at: window.dead_at(slot) };
        match run_one(&*self.store, Prepare::Cover(cover))? {
            Prepared::Covered(Ok(())) => {}
            Prepared::Covered(Err(error)) | Prepared::Drawn(Err(error)) => return Err(error),
            Prepared::Drawn(Ok(_)) => return Ok(false),
        }
        let key = window.key(slot).ok_or(SwitchboardError::KeysBehind)?;
        let mut rng = self.rng();
        let parties = [&asked.parties.hub, &asked.parties.customer];
        let entries = entries(id, asked.leg, live.attempt, &asked.parties);
        let rows = parties.into_iter().zip(entries).map(|(party, entry)| {
            let index = key.index(party, live.number);
            let sealed = key.seal(&index, &entry.encode(), &mut *rng);
            (index_key(window.end_of(slot), &index), sealed_value(&sealed))
        });
        let [hub, customer] =
            [&asked.parties.hub, &asked.parties.customer].map(|p| key.index(p, live.number));
        let same = |at: usize, value: &[u8]| {
            let index = if at == 0 { &hub } else { &customer };
            let opened = super::rows::sealed_part(value).ok().and_then(|sealed| key.open(index, sealed));
            let found = opened.and_then(|opened| super::rows::Entry::decode(&opened).ok());
            found
                .is_some_and(|found| (found.order, found.leg, found.attempt) == (id, asked.leg, live.attempt))
        };
        let carry = Carry { bucket: number_bucket(live.number), rows: rows.collect(), same: &same };
        Ok(run_one(&*self.store, carry)?)
    }

    pub(super) fn release(&self, order: &OrderRef, leg: Leg) -> Result<(), SwitchboardError> {
        let (otherwise, failure) = self.without_numbers();
        let release = Release { key: OrderId::of(order).order_key(), leg, otherwise };
        run_one(&*self.store, release)?.ok_or_else(|| failure.unwrap_or(SwitchboardError::KeysBehind))
    }

    /// When an order that never had a number counts as dead: as if it had one that ends now. Without
    /// the keys' time there is no such moment; orders that had numbers do not need it.
    fn without_numbers(&self) -> (Option<Timestamp>, Option<SwitchboardError>) {
        match self.window() {
            Ok(window) => (Some(window.dead_at(window.slot_of(window.now()))), None),
            Err(failure) => (None, Some(failure)),
        }
    }

    /// One answer each, in order.
    pub(super) fn set_tickets(
        &self,
        orders: &[&OrderRef],
        until: Option<Timestamp>,
    ) -> Vec<Result<(), SwitchboardError>> {
        let window = match self.window() {
            Ok(window) => window,
            // Each hears for itself what the keys lack.
            Err(_) => {
                let refused = || self.window().err().unwrap_or(SwitchboardError::KeysBehind);
                return orders.iter().map(|_| Err(refused())).collect();
            }
        };
        if let Some(until) = until
            && check_end(until, &window).is_err()
        {
            return orders.iter().map(|_| check_end(until, &window)).collect();
        }
        let ticket = |order: &&OrderRef| Ticket { id: OrderId::of(order), until, window: &window };
        let mut tickets: Vec<Ticket<'_>> = orders.iter().map(ticket).collect();
        run(&*self.store, &mut tickets).into_iter().map(|answer| answer?).collect()
    }

    pub(super) fn close_orders(&self, orders: &[OrderRef]) -> Vec<Result<Timestamp, SwitchboardError>> {
        let (otherwise, _) = self.without_numbers();
        let close = |order: &OrderRef| Close { key: OrderId::of(order).order_key(), otherwise };
        let mut closes: Vec<Close> = orders.iter().map(close).collect();
        let closed = run(&*self.store, &mut closes).into_iter();
        let no_keys = || self.window().err().unwrap_or(SwitchboardError::KeysBehind);
        closed.map(|answer| answer?.ok_or_else(no_keys)).collect()
    }

    pub(super) fn cut_off(&self, merchant: &Name) -> Result<(), SwitchboardError> {
        Ok(run_one(&*self.store, CutOff { key: merchant_key(merchant) })?)
    }
}

/// Raises a leg's end, if it is still the leg that was looked at.
struct Prolong<'a> {
    id: OrderId,
    asked: &'a Extension,
    seen: &'a LiveLeg,
    window: &'a SlotKeyWindow,
}

impl Decision for Prolong<'_> {
    /// `None`: look again.
    type Answer = Option<Result<Bound, SwitchboardError>>;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.id.order_key(), self.id.merchant_key()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let Extension { leg, not_after, .. } = *self.asked;
        let (mut order, merchant) = records(rows)?;
        let mut live = match order.live(leg, merchant, self.window) {
            Ok(live) => live.clone(),
            Err(error) => return Ok(Step::Answer(Some(Err(error)))),
        };
        // The ticket may have changed meanwhile; what the index rows were made for may not.
        let same = (live.number, live.attempt) == (self.seen.number, self.seen.attempt)
            && live.terms.not_after == self.seen.terms.not_after
            && order.dead_at >= self.window.dead_at(self.window.slot_of(not_after));
        if !same {
            return Ok(Step::Answer(None));
        }
        if let Err(error) = check_end(not_after, self.window) {
            return Ok(Step::Answer(Some(Err(error))));
        }
        live.terms.not_after = not_after;
        let bound = live.bound();
        *order.leg_mut(leg) = LegState::Live(live);
        let (at, merchant) = (self.id.order_key(), self.id.merchant_key());
        let commit = Commit::new(at.bucket)
            .expect(&at.key, raw(rows, 0))
            .expect(&merchant.key, raw(rows, 1))
            .put(at.key, order.to_value());
        Ok(Step::Commit(commit, Some(Ok(bound))))
    }
}

/// Writes a leg's index rows in another slot. They may be there from an extension that did not
/// finish; a row of anything else is left alone.
struct Carry<'a> {
    bucket: crate::store::Bucket,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the value at this place is a row of the same leg and attempt.
    same: &'a dyn Fn(usize, &[u8]) -> bool,
}

impl Decision for Carry<'_> {
    /// Whether they stand there.
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        self.rows.iter().map(|(key, _)| RowKey { bucket: self.bucket, key: key.clone() }).collect()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        let there = |at: usize| raw(rows, at).is_some();
        let foreign = |at: usize| raw(rows, at).is_some_and(|value| !(self.same)(at, value));
        if foreign(0) || foreign(1) {
            return Ok(Step::Answer(false));
        }
        if there(0) && there(1) {
            return Ok(Step::Answer(true));
        }
        let mut commit = Commit::new(self.bucket);
        for (at, (key, value)) in self.rows.iter().enumerate() {
            commit = commit.expect(key, raw(rows, at)).put(key.clone(), value.clone());
        }
        Ok(Step::Commit(commit, true))
    }
}

/// Ends a leg. One that was never bound ends before it begins, so that a binding that comes
/// late finds it ended.
struct Release {
    key: RowKey,
    leg: Leg,
    /// When the order is dead if it never had a number.
    otherwise: Option<Timestamp>,
}

impl Decision for Release {
    /// `None`: the time is needed and not known.
    type Answer = Option<()>;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Option<()>>, StoreError> {
        let mut order = OrderRow::read(rows, 0)?.unwrap_or_default();
        if order.closed || *order.leg(self.leg) == LegState::Ended {
            return Ok(Step::Answer(Some(())));
        }
        // The record's retention is reckoned from its death.
        let Some(dead_at) = known_dead_at(&order, self.otherwise) else { return Ok(Step::Answer(None)) };
        order.dead_at = dead_at;
        *order.leg_mut(self.leg) = LegState::Ended;
        let RowKey { bucket, key } = self.key.clone();
        let commit = Commit::new(bucket).expect(&key, raw(rows, 0)).put(key, order.to_value());
        Ok(Step::Commit(commit, Some(())))
    }
}

/// When the order's last number is dead.
fn known_dead_at(order: &OrderRow, otherwise: Option<Timestamp>) -> Option<Timestamp> {
    if order.dead_at == Timestamp::ZERO { otherwise } else { Some(order.dead_at) }
}

/// Opens the merchant's leg to the merchant until a time, or closes it again.
struct Ticket<'a> {
    id: OrderId,
    until: Option<Timestamp>,
    window: &'a SlotKeyWindow,
}

impl Decision for Ticket<'_> {
    type Answer = Result<(), SwitchboardError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.id.order_key(), self.id.merchant_key()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let (mut order, merchant) = records(rows)?;
        let live = order.live(Leg::Merchant, merchant, self.window).cloned();
        let mut live = match (live, self.until) {
            (Ok(live), _) => live,
            // What does not ring is closed.
            (Err(SwitchboardError::Ended | SwitchboardError::OrderClosed), None) => {
                return Ok(Step::Answer(Ok(())));
            }
            (Err(error), _) => return Ok(Step::Answer(Err(error))),
        };
        if live.terms.keep_merchant_closed && self.until.is_some() {
            return Ok(Step::Answer(Err(SwitchboardError::KeptClosed)));
        }
        let until = self.until.unwrap_or(Timestamp::ZERO);
        if live.terms.ticket_until == until {
            return Ok(Step::Answer(Ok(())));
        }
        live.terms.ticket_until = until;
        order.merchant_leg = LegState::Live(live);
        let (at, merchant) = (self.id.order_key(), self.id.merchant_key());
        let commit = Commit::new(at.bucket)
            .expect(&at.key, raw(rows, 0))
            .expect(&merchant.key, raw(rows, 1))
            .put(at.key, order.to_value());
        Ok(Step::Commit(commit, Ok(())))
    }
}

/// Ends and freezes an order's numbers. What remains is that, and since when they are dead.
struct Close {
    key: RowKey,
    /// The answer if the order never had a number.
    otherwise: Option<Timestamp>,
}

impl Decision for Close {
    /// `None`: the time is needed and not known.
    type Answer = Option<Timestamp>;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Option<Timestamp>>, StoreError> {
        let order = OrderRow::read(rows, 0)?.unwrap_or_default();
        if order.closed {
            return Ok(Step::Answer(Some(order.dead_at)));
        }
        let Some(dead_at) = known_dead_at(&order, self.otherwise) else { return Ok(Step::Answer(None)) };
        let closed = OrderRow { closed: true, dead_at, ..OrderRow::default() };
        let RowKey { bucket, key } = self.key.clone();
        let commit = Commit::new(bucket).expect(&key, raw(rows, 0)).put(key, closed.to_value());
        Ok(Step::Commit(commit, Some(dead_at)))
    }
}

/// Ends everything that a merchant has, by one write: what is bound names a generation, and
/// that is another's now. Asked again it ends what was bound in between as well, which is what
/// whoever asks again wants.
struct CutOff {
    key: RowKey,
}

impl Decision for CutOff {
    type Answer = ();

    fn keys(&self) -> Vec<RowKey> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<()>, StoreError> {
        let MerchantRow { generation } = MerchantRow::read(rows, 0)?.unwrap_or_default();
        let next = MerchantRow { generation: generation.wrapping_add(1) };
        let RowKey { bucket, key } = self.key.clone();
        Ok(Step::Commit(Commit::new(bucket).expect(&key, raw(rows, 0)).put(key, next.to_value()), ()))
    }
}
