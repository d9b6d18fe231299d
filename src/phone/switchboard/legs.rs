//! What an order's record says about a leg: pure, and the same for every decision.

use super::SwitchboardError;
use super::binding::{Bound, Leg, Parties};
use super::rows::{Entry, LegState, LiveLeg, MerchantRow, OrderId, OrderRow, Side, Terms};
use crate::phone::{Channel, SlotKeyWindow, VirtualNumber};
use crate::time::Timestamp;
use std::cmp::Ordering;

/// Where a leg stands at a moment.
pub(super) enum Standing<'a> {
    /// It was never live.
    Unbound,
    /// It was ended, or its merchant was cut off: for ever.
    Ended,
    /// Its time is over. Nothing of it rings again, but the order may get another number: a
    /// request that comes late asks for an end that has passed too.
    Expired,
    /// The slot keys were replaced: nothing can find it any more, and it may be bound anew.
    Void,
    Live(&'a LiveLeg),
}

impl OrderRow {
    /// Where `leg` stands. A closed order has no legs.
    pub(super) fn standing(
        &self,
        leg: Leg,
        merchant: MerchantRow,
        window: &SlotKeyWindow,
    ) -> Result<Standing<'_>, SwitchboardError> {
        if self.closed {
            return Err(SwitchboardError::OrderClosed);
        }
        let live = match self.leg(leg) {
            LegState::Unbound => return Ok(Standing::Unbound),
            LegState::Ended => return Ok(Standing::Ended),
            LegState::Live(live) => live,
        };
        let terms = &live.terms;
        if terms.merchant_generation != merchant.generation {
            return Ok(Standing::Ended);
        }
        if window.now() >= terms.not_after {
            return Ok(Standing::Expired);
        }
        match terms.key_generation.cmp(&window.generation()) {
            Ordering::Less => Ok(Standing::Void),
            Ordering::Equal => Ok(Standing::Live(live)),
            Ordering::Greater => Err(SwitchboardError::KeysBehind),
        }
    }

    /// The live leg; an error for whoever would change one that is not.
    pub(super) fn live(
        &self,
        leg: Leg,
        merchant: MerchantRow,
        window: &SlotKeyWindow,
    ) -> Result<&LiveLeg, SwitchboardError> {
        match self.standing(leg, merchant, window)? {
            Standing::Live(live) => Ok(live),
            Standing::Unbound => Err(SwitchboardError::UnknownBinding),
            Standing::Ended | Standing::Expired => Err(SwitchboardError::Ended),
            Standing::Void => Err(SwitchboardError::KeysReplaced),
        }
    }
}

/// Whether an end lies ahead, and not too far.
pub(super) fn check_end(not_after: Timestamp, window: &SlotKeyWindow) -> Result<(), SwitchboardError> {
    let max_life = window.config().max_life();
    if not_after <= window.now() {
        return Err(SwitchboardError::EndPassed);
    }
    if not_after > window.now().saturating_add(max_life) {
        return Err(SwitchboardError::EndTooFar { max_life });
    }
    Ok(())
}

impl LiveLeg {
    pub(super) fn bound(&self) -> Bound {
        Bound { number: self.number, not_after: self.terms.not_after }
    }
}

/// The index rows of one attempt: each party's with what it says.
pub(super) fn entries(
    order: OrderId,
    leg: Leg,
    attempt: super::rows::Attempt,
    parties: &Parties,
) -> [Entry; 2] {
    let entry = |callee: &crate::phone::PhoneNumber, caller| Entry {
        callee: callee.clone(),
        order,
        leg,
        caller,
        attempt,
    };
    [entry(&parties.customer, Side::Hub), entry(&parties.hub, Side::Customer)]
}

/// Why a call was refused, or that it was not. Never part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Put through, for so many seconds at most.
    Connected(u64),
    Refused(Reason),
}

/// Each counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Withheld,
    Attestation,
    Unknown,
    Unreadable,
    Ended,
    CutOff,
    KeysReplaced,
    Expired,
    Channel,
    Direction,
}

/// Whether the order's and the merchant's record confirm what an index row says.
pub(super) fn judge(
    entry: &Entry,
    order: &OrderRow,
    merchant: MerchantRow,
    dialled: VirtualNumber,
    channel: Channel,
    window: &SlotKeyWindow,
) -> Result<u64, Reason> {
    let live = match order.leg(entry.leg) {
        LegState::Live(live) if !order.closed => live,
        _ => return Err(Reason::Ended),
    };
    let terms = &live.terms;
    if live.number != dialled || live.attempt != entry.attempt {
        return Err(Reason::Ended);
    }
    if terms.merchant_generation != merchant.generation {
        return Err(Reason::CutOff);
    }
    if terms.key_generation != window.generation() {
        return Err(Reason::KeysReplaced);
    }
    if window.now() >= terms.not_after {
        return Err(Reason::Expired);
    }
    if !terms.channels.has(channel) {
        return Err(Reason::Channel);
    }
    if !open(terms, entry.caller, window.now()) {
        return Err(Reason::Direction);
    }
    Ok(terms.not_after.saturating_since(window.now()))
}

fn open(terms: &Terms, caller: Side, now: Timestamp) -> bool {
    match caller {
        Side::Customer => terms.directions.customer_may_call(),
        Side::Hub => terms.directions.hub_may_call() || now < terms.ticket_until,
    }
}
