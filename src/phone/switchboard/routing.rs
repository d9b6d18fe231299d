//! One call or message: always the same work, one refusal for every reason.
//!
//! 1. One read of S index rows in the bucket of the dialled number: the caller's, under the key
//!    of each slot that a live binding may end in.
//! 2. One opening: of the row that was found, or of a dummy of the same length.
//! 3. One read of two records in one bucket, the order's and the merchant's, or of two that do
//!    not exist.
//!
//! Only then is anything decided. A caller who is refused for what he is (withheld, badly
//! attested) goes the same way under a number that nobody has. The reason goes to a counter.

use super::Core;
use super::SwitchboardError;
use super::legs::{Reason, Verdict, judge};
use super::rows::{
    Entry, MerchantRow, OrderId, OrderRow, StoredRow, index_key, number_bucket, raw, sealed_part,
};
use crate::phone::{
    Attestation, Caller, PhoneNumber, Route, RouteRequest, SlotKey, SlotKeyWindow, Trunk, VirtualNumber,
};
use crate::store::{RowKey, Store};
use std::sync::atomic::{AtomicU64, Ordering};

/// Opened in the place of a row that is not there.
const DUMMY: [u8; Entry::SEALED_LENGTH - 1] = [0; Entry::SEALED_LENGTH - 1];

/// What a caller's probes came to.
struct Probe<'w> {
    /// The key of the slot that the row lies in, its index, and its value.
    found: Option<(&'w SlotKey, [u8; 32], Vec<u8>)>,
    /// The key and the index of the first probe, for the dummies.
    first: (&'w SlotKey, [u8; 32]),
    /// The index of the last probe.
    last: [u8; 32],
}

impl<S: Store> Core<S> {
    pub(super) fn route(&self, request: &RouteRequest) -> Result<Route, SwitchboardError> {
        let window = self.window()?;
        let verdict = self.verdict(request, &window)?;
        let (route, reason) = match verdict {
            (Some(callee), Verdict::Connected(left)) => {
                let max_duration = left.min(self.config.longest_call);
                (Route::Connect { callee, show: request.dialled, max_duration }, None)
            }
            (_, Verdict::Refused(reason)) => (Route::Refuse, Some(reason)),
            (None, Verdict::Connected(_)) => (Route::Refuse, Some(Reason::Unreadable)),
        };
        if reason == Some(Reason::Unknown) {
            self.misses.count(request.dialled);
        }
        self.tally.count(reason);
        Ok(route)
    }

    fn verdict(
        &self,
        request: &RouteRequest,
        window: &SlotKeyWindow,
    ) -> Result<(Option<PhoneNumber>, Verdict), SwitchboardError> {
        let (caller, objection) = match &request.caller {
            Caller::Withheld => (&self.nobody, Some(Reason::Withheld)),
            Caller::Presented(_) if !self.trusts(request) => (&self.nobody, Some(Reason::Attestation)),
            Caller::Presented(number) => (number, None),
        };
        let probe = self.probe(caller, request.dialled, window)?;
        let is_there = probe.found.is_some();
        let entry = self.open_one(&probe);
        // Row names that are as good as random, for records that do not exist.
        let dummy = OrderId { merchant: probe.first.1, order: probe.last };
        let order = entry.as_ref().map_or(dummy, |entry| entry.order);
        let rows = self.store.read(&[order.order_key(), order.merchant_key()])?;
        let order = OrderRow::from_value(raw(&rows, 0).unwrap_or(&self.no_order));
        let merchant = MerchantRow::read(&rows, 1).map(Option::unwrap_or_default);
        let refused = |reason| Ok((None, Verdict::Refused(reason)));
        if let Some(reason) = objection {
            return refused(reason);
        }
        let entry = match entry {
            Some(entry) => entry,
            None if is_there => return refused(Reason::Unreadable),
            None => return refused(Reason::Unknown),
        };
        let (Ok(order), Ok(merchant)) = (order, merchant) else { return refused(Reason::Unreadable) };
        match judge(&entry, &order, merchant, request.dialled, request.channel, window) {
            Ok(left) => Ok((Some(entry.callee), Verdict::Connected(left))),
            Err(reason) => refused(reason),
        }
    }

    /// Whether the caller's number is to be believed.
    fn trusts(&self, request: &RouteRequest) -> bool {
        match request.attestation {
            Attestation::None => request.trunk == Trunk::Trusted,
            attested => attested >= self.config.least_attestation,
        }
    }

    /// Looks under the key of every slot, whatever is found on the way. A number that was
    /// extended beyond its slot has a row in each, all of which say the same: the last is
    /// taken.
    fn probe<'w>(
        &self,
        caller: &PhoneNumber,
        dialled: VirtualNumber,
        window: &'w SlotKeyWindow,
    ) -> Result<Probe<'w>, SwitchboardError> {
        let bucket = number_bucket(dialled);
        let mut probes = Vec::with_capacity(window.config().slots().into());
        let mut keys = Vec::with_capacity(window.config().slots().into());
        for (slot, key) in window.slots() {
            let index = self.index(key, caller, dialled);
            probes.push((key, index));
            keys.push(RowKey { bucket, key: index_key(window.end_of(slot), &index) });
        }
        let (Some(first), Some(last)) = (probes.first().copied(), probes.last().copied()) else {
            return Err(SwitchboardError::KeysBehind);
        };
        let rows = self.store.read(&keys)?;
        let mut found =
            probes.into_iter().zip(rows).filter_map(|((key, index), row)| Some((key, index, row?)));
        Ok(Probe { found: found.next_back(), first, last: last.1 })
    }

    /// Opens once: what was found, or a dummy.
    fn open_one(&self, probe: &Probe<'_>) -> Option<Entry> {
        let (first_key, first_index) = probe.first;
        let (key, index, sealed) = match &probe.found {
            Some((key, index, value)) => (*key, index, sealed_part(value).unwrap_or(&DUMMY)),
            None => (first_key, &first_index, DUMMY.as_slice()),
        };
        let opened = self.open(key, index, sealed)?;
        Entry::decode(&opened).ok()
    }
}

/// How calls and messages were decided since the switchboard was opened, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteCounts {
    /// Put through.
    pub connected: u64,
    /// The caller showed no number.
    pub withheld: u64,
    /// The caller's number was not attested well enough.
    pub badly_attested: u64,
    /// This caller reaches nobody over this number: strangers, and numbers that serve nobody.
    pub unknown: u64,
    /// A row was there that does not open or decode: foreign writers, or a damaged store.
    pub unreadable: u64,
    /// The number was released, replaced or closed, or never finished.
    pub ended: u64,
    /// The merchant was cut off.
    pub cut_off: u64,
    /// The number was made before the slot keys were replaced.
    pub keys_replaced: u64,
    /// The number's time was over.
    pub expired: u64,
    /// A call over a number for messages, or the other way round.
    pub wrong_channel: u64,
    /// This party may not call the other.
    pub closed_direction: u64,
}

/// The counts, counting.
#[derive(Default)]
pub(super) struct Tally {
    connected: AtomicU64,
    refused: [AtomicU64; 10],
}

impl Tally {
    fn count(&self, reason: Option<Reason>) {
        let counter = reason.map_or(Some(&self.connected), |reason| self.refused.get(reason as usize));
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self) -> RouteCounts {
        let of = |reason: Reason| self.refused.get(reason as usize).map_or(0, |c| c.load(Ordering::Relaxed));
        RouteCounts {
            connected: self.connected.load(Ordering::Relaxed),
            withheld: of(Reason::Withheld),
            badly_attested: of(Reason::Attestation),
            unknown: of(Reason::Unknown),
            unreadable: of(Reason::Unreadable),
            ended: of(Reason::Ended),
            cut_off: of(Reason::CutOff),
            keys_replaced: of(Reason::KeysReplaced),
            expired: of(Reason::Expired),
            wrong_channel: of(Reason::Channel),
            closed_direction: of(Reason::Direction),
        }
    }
}
