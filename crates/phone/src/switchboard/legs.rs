//! What an order's record says about a leg, and what the leg's index rows say: pure, and the
//! same for every decision.

use super::SwitchboardError;
use super::binding::{Bound, Leg, Parties};
use super::calls::Claim;
use super::counters::Reason;
use super::rows::{
    Attempt, Entry, IndexRow, LegState, LiveLeg, MerchantRow, OrderId, OrderRow, Side, Terms, Under,
};
use crate::{Channel, PhoneNumber, Slot, SlotKey, SlotKeyWindow, VirtualNumber};
use rand_core::CryptoRng;
use std::cmp::Ordering;
use unjoin_core::Timestamp;
use unjoin_store::Key;

/// Both index rows of a leg, each with where it lies.
pub(super) type SealedRows = [(Key<IndexRow>, IndexRow); 2];

/// What a leg is at a moment.
pub(super) enum LegStatus<'a> {
    /// It was never live.
    Unbound,
    /// It was ended: for ever.
    Ended,
    /// All of the order's numbers were: for ever.
    Closed,
    /// Its merchant was cut off: it ended, for ever.
    CutOff,
    /// Its time is over. Nothing of it rings again, but the order may get another number: a
    /// request that comes late asks for an end that has passed too.
    Expired,
    /// The slot keys were replaced: nothing can find it any more, and it may be bound anew.
    KeysReplaced,
    /// It was made with slot keys that this process does not have yet.
    KeysBehind,
    Live(&'a LiveLeg),
}

/// An order's and its merchant's record as they were read. What is not there says nothing yet.
pub(super) fn or_default(
    (order, merchant): (Option<OrderRow>, Option<MerchantRow>),
) -> (OrderRow, MerchantRow) {
    (order.unwrap_or_default(), merchant.unwrap_or_default())
}

impl OrderRow {
    /// What `leg` is. A closed order has no legs.
    pub(super) fn status(&self, leg: Leg, merchant: MerchantRow, window: &SlotKeyWindow) -> LegStatus<'_> {
        if self.closed {
            return LegStatus::Closed;
        }
        let live = match self.leg(leg) {
            LegState::Unbound => return LegStatus::Unbound,
            LegState::Ended => return LegStatus::Ended,
            LegState::Over(generation) if *generation != merchant.generation => return LegStatus::CutOff,
            LegState::Over(_) => return LegStatus::Expired,
            LegState::Live(live) => live,
        };
        let terms = &live.terms;
        if terms.merchant_generation != merchant.generation {
            return LegStatus::CutOff;
        }
        if window.now() >= terms.not_after {
            return LegStatus::Expired;
        }
        match terms.key_generation.cmp(&window.generation()) {
            Ordering::Less => LegStatus::KeysReplaced,
            Ordering::Equal => LegStatus::Live(live),
            Ordering::Greater => LegStatus::KeysBehind,
        }
    }
}

impl<'a> LegStatus<'a> {
    /// The live leg; an error for the caller who would change one that is not.
    pub(super) fn live(self) -> Result<&'a LiveLeg, SwitchboardError> {
        match self {
            Self::Live(live) => Ok(live),
            Self::Unbound => Err(SwitchboardError::UnknownBinding),
            Self::Ended | Self::CutOff | Self::Expired => Err(SwitchboardError::Ended),
            Self::Closed => Err(SwitchboardError::OrderClosed),
            Self::KeysReplaced => Err(SwitchboardError::KeysReplaced),
            Self::KeysBehind => Err(SwitchboardError::KeysBehind),
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

/// Whether the order's and the merchant's record confirm what an index row says, and for how
/// many seconds from now. Without a channel: of a call that runs.
pub(super) fn judge(
    entry: &Claim,
    order: &OrderRow,
    merchant: MerchantRow,
    dialled: VirtualNumber,
    channel: Option<Channel>,
    window: &SlotKeyWindow,
) -> Result<u64, Reason> {
    // Of another attempt than the row's nothing is said, whatever became of it.
    match order.leg(entry.leg) {
        LegState::Live(live) if live.number == dialled && live.attempt == entry.attempt => {}
        _ => return Err(Reason::Ended),
    }
    let terms = match order.status(entry.leg, merchant, window) {
        LegStatus::Live(live) => &live.terms,
        LegStatus::Unbound | LegStatus::Ended | LegStatus::Closed => return Err(Reason::Ended),
        LegStatus::CutOff => return Err(Reason::CutOff),
        LegStatus::Expired => return Err(Reason::Expired),
        LegStatus::KeysReplaced | LegStatus::KeysBehind => return Err(Reason::KeysReplaced),
    };
    if channel.is_some_and(|channel| !terms.channels.has(channel)) {
        return Err(Reason::WrongChannel);
    }
    let until = open_until(entry.caller, terms).filter(|until| window.now() < *until);
    Ok(until.ok_or(Reason::ClosedDirection)?.saturating_since(window.now()))
}

/// Until when this side may call the other: the number's end, or the ticket's that opens the
/// direction if that is sooner. `None` if the direction is closed.
fn open_until(caller: Side, terms: &Terms) -> Option<Timestamp> {
    match caller {
        Side::Customer => terms.directions.customer_may_call().then_some(terms.not_after),
        Side::Hub if terms.directions.hub_may_call() => Some(terms.not_after),
        Side::Hub => Some(terms.ticket_until.min(terms.not_after)),
    }
}

/// The two index rows of an attempt: they say the same in whatever slot they lie.
pub(super) struct IndexRows<'a> {
    number: VirtualNumber,
    /// Each party, and what its row says.
    rows: [(&'a PhoneNumber, Entry); 2],
}

impl<'a> IndexRows<'a> {
    pub(super) fn new(
        order: OrderId,
        leg: Leg,
        parties: &'a Parties,
        number: VirtualNumber,
        attempt: Attempt,
    ) -> Self {
        let Parties { hub, customer } = parties;
        let entry =
            |callee: &PhoneNumber, caller| Entry { callee: callee.clone(), order, leg, caller, attempt };
        let rows = [(hub, entry(customer, Side::Hub)), (customer, entry(hub, Side::Customer))];
        Self { number, rows }
    }

    /// Their names under a slot's key, each with what the row says.
    pub(super) fn named(&self, key: &SlotKey) -> [([u8; 32], &Entry); 2] {
        let [(hub, of_hub), (customer, of_customer)] = &self.rows;
        let [name_of_hub, name_of_customer] = key.names([hub, customer], self.number);
        [(name_of_hub, of_hub), (name_of_customer, of_customer)]
    }

    /// Where they lie in `slot`.
    pub(super) fn keys(&self, slot: Slot, key: &SlotKey, window: &SlotKeyWindow) -> Vec<Key<IndexRow>> {
        let under = Under::of(self.number);
        self.named(key).map(|(index, _)| under.key(window.end_of(slot), &index)).into()
    }

    /// Where they would lie in every slot of the window, and they themselves in `slot`; `None` if the window does not
    /// show that one.
    pub(super) fn insertion(
        &self,
        slot: Slot,
        window: &SlotKeyWindow,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<(Vec<Key<IndexRow>>, SealedRows)> {
        let under = Under::of(self.number);
        let (mut everywhere, mut sealed) = (Vec::new(), None);
        for (each, key) in window.slots() {
            let named =
                self.named(key).map(|(index, entry)| (under.key(window.end_of(each), &index), index, entry));
            everywhere.extend(named.iter().map(|(at, ..)| at.clone()));
            if each == slot {
                sealed = Some(named.map(|(at, index, entry)| (at, IndexRow::seal(entry, key, &index, rng))));
            }
        }
        Some((everywhere, sealed?))
    }

    /// They themselves in `slot`.
    pub(super) fn seal(
        &self,
        slot: Slot,
        key: &SlotKey,
        window: &SlotKeyWindow,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> [(Key<IndexRow>, IndexRow); 2] {
        let under = Under::of(self.number);
        self.named(key).map(|(index, entry)| {
            let row = IndexRow::seal(entry, key, &index, rng);
            (under.key(window.end_of(slot), &index), row)
        })
    }
}
