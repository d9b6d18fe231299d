//! What becomes of a live leg: extended, opened by a ticket, released; and the end of orders
//! and merchants. Each is decided by one write in the merchant's bucket.

use super::binding::{Bound, Leg, OrderRef, Parties};
use super::job::reserve;
use super::legs::{IndexRows, check_end, or_default};
use super::rows::{
    EndingRow, Entry, IndexRow, LegState, LiveLeg, MerchantRow, OrderId, OrderRow, Part, merchant_key,
};
use super::{Core, SwitchboardError};
use crate::SlotKeyWindow;
use crate::slot_keys::LATE;
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Change, Decision, Store, StoreError, decide, decide_all, read};

/// How often an extension may be overtaken by others before the caller is told.
const ROUNDS: usize = 16;

/// A later end for a leg.
pub(super) struct Extension<'a> {
    pub(super) id: OrderId,
    pub(super) leg: Leg,
    pub(super) parties: &'a Parties,
    pub(super) not_after: Timestamp,
}

impl<S: Store> Core<S> {
    /// In the same slot one write; in a later one the order's record is made to cover it and
    /// the index rows are written there first. They say what the present ones say, so that it
    /// does not matter which of them a call finds.
    pub(super) fn extend(&self, asked: &Extension<'_>) -> Result<Bound, SwitchboardError> {
        let id = asked.id;
        for _ in 0..ROUNDS {
            let window = self.window()?;
            let (order, merchant) = or_default(read(&*self.store, &id.records())?);
            let live = order.status(asked.leg, merchant, &window).live()?;
            if !self.is_between(live, id, asked.leg, asked.parties, &window)? {
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
                && !self.copy_rows(asked, live, &window)?
            {
                continue;
            }
            let window = self.window()?;
            let prolong = |rows, change: &mut _| prolong(rows, asked, live, &window, change);
            if let Some(bound) = decide(&*self.store, id.records(), prolong)? {
                return Ok(bound);
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Writes the leg's index rows in the slot of the new end, too. They may be there from an
    /// extension that did not finish. The answer is whether they are there now: a party may have
    /// the number in that slot already, by a process whose clock runs ahead of this one's, and
    /// such a row is left alone.
    fn copy_rows(
        &self,
        asked: &Extension<'_>,
        live: &LiveLeg,
        window: &SlotKeyWindow,
    ) -> Result<bool, SwitchboardError> {
        let id = asked.id;
        let (at, slot) = (id.order_key(), window.slot_of(asked.not_after));
        decide(&*self.store, at.clone(), |order, change| reserve(&at, order, window.dead_at(slot), change))?;
        let key = window.key(slot).ok_or(SwitchboardError::KeysBehind)?;
        let rows = IndexRows::new(id, asked.leg, asked.parties, live.number, live.attempt);
        let (named, copies) = (rows.named(key), rows.seal(slot, key, window, &mut *self.rng()));
        decide(&*self.store, rows.keys(slot, key, window), |found, change| {
            let is_own = |(found, (index, entry)): (&Option<_>, &([u8; 32], &Entry))| {
                found.as_ref().is_none_or(|row: &IndexRow| row.open(key, index).as_ref() == Some(*entry))
            };
            if !found.iter().zip(&named).all(is_own) {
                return Ok(false);
            }
            for ((at, copy), _) in copies.iter().zip(found).filter(|(_, found)| found.is_none()) {
                change.put(at, copy);
            }
            Ok(true)
        })
    }

    /// Ends a leg. One that was never bound ends before it begins, so that a binding that comes
    /// late finds it ended.
    pub(super) fn release(&self, order: &OrderRef, leg: Leg) -> Result<(), SwitchboardError> {
        let (id, otherwise, ending) = (OrderId::of(order), self.dead_without_numbers(), self.ending());
        let at = id.order_key();
        decide(&*self.store, at.clone(), |order, change| {
            let mut order = order.unwrap_or_default();
            if order.closed || *order.leg(leg) == LegState::Ended {
                return Ok(());
            }
            // The record's retention is reckoned from its death.
            order.dead_at = dead_at(&order, &otherwise)?;
            *order.leg_mut(leg) = LegState::Ended;
            change.put(&at, &order);
            change.put(&id.part().key(), &ending);
            Ok(())
        })
    }

    /// When an order that never had a number counts as dead: as if it had one that ends now.
    /// Without the keys' time there is no such moment; orders that had numbers do not need it.
    fn dead_without_numbers(&self) -> Result<Timestamp, SwitchboardError> {
        self.window().map(|window| window.dead_at(window.slot_of(window.now())))
    }

    /// One answer each, in order.
    pub(super) fn set_tickets(
        &self,
        orders: &[&OrderRef],
        until: Option<Timestamp>,
    ) -> Vec<Result<(), SwitchboardError>> {
        let checked = self.window().and_then(|window| {
            until.map_or(Ok(()), |until| check_end(until, &window))?;
            Ok(window)
        });
        let window = match &checked {
            Ok(window) => window,
            Err(error) => return orders.iter().map(|_| Err(error.clone())).collect(),
        };
        let ending = self.ending();
        let set = |order: &&OrderRef| {
            let id = OrderId::of(order);
            Ok(Decision::new(id.records(), move |rows, change| {
                set_ticket(id, rows, (until, ending), window, change)
            }))
        };
        decide_all(&*self.store, orders.iter().map(set).collect())
    }

    /// Ends and freezes orders' numbers. What remains of each is that, and since when they are
    /// dead.
    pub(super) fn close_orders(&self, orders: &[OrderRef]) -> Vec<Result<Timestamp, SwitchboardError>> {
        let (otherwise, ending) = (&self.dead_without_numbers(), self.ending());
        let close = |order: &OrderRef| {
            let id = OrderId::of(order);
            let at = id.order_key();
            Ok(Decision::new(at.clone(), move |order: Option<OrderRow>, change| {
                let order = order.unwrap_or_default();
                if order.closed {
                    return Ok(order.dead_at);
                }
                let dead_at = dead_at(&order, otherwise)?;
                change.put(&at, &OrderRow { closed: true, dead_at, ..OrderRow::default() });
                change.put(&id.part().key(), &ending);
                Ok(dead_at)
            }))
        };
        let closed = decide_all(&*self.store, orders.iter().map(close).collect());
        // They are closed, whatever comes of this; but nobody may rely on a time at which a key is still there.
        let window = self.window();
        let answer = |closed: Result<Timestamp, SwitchboardError>| {
            let (dead_at, window) = (closed?, window.as_ref().map_err(Clone::clone)?);
            let is_due = dead_at <= window.now() && !window.has_erased(dead_at);
            if is_due || window.erasure_lag() >= LATE {
                Err(SwitchboardError::NotErased)
            } else {
                Ok(dead_at)
            }
        };
        closed.into_iter().map(answer).collect()
    }

    /// Ends everything that a merchant has, by one write: what is bound names a generation, and
    /// that is another's now. Asked again it ends what was bound in between as well, which is
    /// what the caller who asks again wants.
    pub(super) fn cut_off(&self, merchant: &Name) -> Result<(), SwitchboardError> {
        let (at, ending) = (merchant_key(merchant), self.ending());
        decide(&*self.store, at.clone(), |row, change| {
            let MerchantRow { generation } = row.unwrap_or_default();
            change.put(&at, &MerchantRow { generation: generation.wrapping_add(1) });
            Part::all_of(merchant).for_each(|part| change.put(&part.key(), &ending));
            Ok(())
        })
    }

    /// What tells those who have calls there that something has ended.
    pub(super) fn ending(&self) -> EndingRow {
        EndingRow::random(&mut *self.rng())
    }
}

/// When the order's last number is dead; `otherwise` if it never had one.
fn dead_at(
    order: &OrderRow,
    otherwise: &Result<Timestamp, SwitchboardError>,
) -> Result<Timestamp, SwitchboardError> {
    if order.dead_at == Timestamp::ZERO { otherwise.clone() } else { Ok(order.dead_at) }
}

/// Raises a leg's end, if it is still the leg that was `seen`; `None` if it is not: look again.
fn prolong(
    rows: (Option<OrderRow>, Option<MerchantRow>),
    asked: &Extension<'_>,
    seen: &LiveLeg,
    window: &SlotKeyWindow,
    change: &mut Change,
) -> Result<Option<Bound>, SwitchboardError> {
    let Extension { id, leg, not_after, .. } = *asked;
    let (mut order, merchant) = or_default(rows);
    let mut live = order.status(leg, merchant, window).live()?.clone();
    // The ticket may have changed meanwhile; what the index rows were made for may not.
    let same = (live.number, live.attempt) == (seen.number, seen.attempt)
        && live.terms.not_after == seen.terms.not_after
        && order.dead_at >= window.dead_at(window.slot_of(not_after));
    if !same {
        return Ok(None);
    }
    check_end(not_after, window)?;
    live.terms.not_after = not_after;
    let bound = live.bound();
    *order.leg_mut(leg) = LegState::Live(live);
    change.put(&id.order_key(), &order);
    Ok(Some(bound))
}

/// Opens the merchant's leg to the merchant until a time, or closes it again.
fn set_ticket(
    id: OrderId,
    rows: (Option<OrderRow>, Option<MerchantRow>),
    (until, ending): (Option<Timestamp>, EndingRow),
    window: &SlotKeyWindow,
    change: &mut Change,
) -> Result<(), SwitchboardError> {
    let (mut order, merchant) = or_default(rows);
    let mut live = match order.status(Leg::Merchant, merchant, window).live() {
        // What does not ring is closed.
        Err(SwitchboardError::Ended | SwitchboardError::OrderClosed) if until.is_none() => return Ok(()),
        live => live?.clone(),
    };
    if live.terms.keep_merchant_closed && until.is_some() {
        return Err(SwitchboardError::KeptClosed);
    }
    let until = until.unwrap_or(Timestamp::ZERO);
    if live.terms.ticket_until != until {
        if until < live.terms.ticket_until {
            change.put(&id.part().key(), &ending);
        }
        live.terms.ticket_until = until;
        order.merchant_leg = LegState::Live(live);
        change.put(&id.order_key(), &order);
    }
    Ok(())
}
