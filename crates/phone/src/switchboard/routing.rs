//! One call or message: always the same work, one refusal for every reason.
//!
//! 1. One read of S index rows in the bucket of the dialled number: the caller's, under the key
//!    of each slot that a live binding may end in.
//! 2. One opening: of the row that was found, or of a dummy of the same length.
//! 3. One read of two records in one bucket, the order's and the merchant's, or of two that do
//!    not exist.
//!
//! Only then is anything decided. A caller who is refused for what they are (withheld,
//! badly attested) goes the same way under a number that nobody has. The reason goes to a counter.

use super::calls::Claim;
use super::counters::Reason;
use super::legs::judge;
use super::rows::{Entry, IndexRow, MerchantRow, OrderId, OrderRow, Under};
use super::{Core, SwitchboardError};
use crate::{Attestation, PhoneNumber, Route, RouteRequest, SlotKey, SlotKeyWindow, VirtualNumber};
use unjoin_store::{Record, Store, StoreError, read};

/// What a caller's probes came to.
struct Probe<'w> {
    /// The key of the slot that the row lies in, its index, and the row.
    found: Option<(&'w SlotKey, [u8; 32], IndexRow)>,
    /// The key and the index of the first probe, for the dummies.
    first: (&'w SlotKey, [u8; 32]),
    /// The index of the last probe.
    last: [u8; 32],
}

impl<S: Store> Core<S> {
    pub(super) fn route(&self, request: &RouteRequest) -> Result<Route, SwitchboardError> {
        let window = self.window()?;
        let (route, reason) = match self.callee(request, &window)? {
            Ok((claim, callee, left)) => {
                let max_duration = left.min(self.config.longest_call);
                let now = window.now();
                let ends_at = now.saturating_add(max_duration);
                let asked = (claim, request.dialled, request.channel);
                match self.calls.begin(asked, (now, ends_at), &self.config, &mut *self.rng()) {
                    Ok(call) => {
                        (Route::Connect { callee, show: request.dialled, max_duration, ends_at, call }, None)
                    }
                    Err(reason) => (Route::Refuse, Some(reason)),
                }
            }
            Err(reason) => (Route::Refuse, Some(reason)),
        };
        if reason == Some(Reason::Unknown) {
            self.miss_counters.count(request.dialled);
        }
        self.route_counters.count(reason);
        Ok(route)
    }

    /// By what the caller reaches whom, and for how many seconds.
    fn callee(
        &self,
        request: &RouteRequest,
        window: &SlotKeyWindow,
    ) -> Result<Result<(Claim, PhoneNumber, u64), Reason>, SwitchboardError> {
        let (caller, objection) = match &request.caller {
            None => (&self.nobody, Some(Reason::Withheld)),
            Some(_) if !self.trusts(request) => (&self.nobody, Some(Reason::BadlyAttested)),
            Some(number) => (number, None),
        };
        let probe = self.probe(caller, request.dialled, window)?;
        let entry = self.open_one(&probe);
        // Row names that are as good as random, for records that do not exist.
        let dummy = OrderId { merchant: probe.first.1, order: probe.last };
        let order = entry.as_ref().map_or(dummy, |entry| entry.order);
        let part = order.part();
        let records = match read(&*self.store, &order.records_in(part)) {
            // In the place of a record that is not there another is decoded.
            Ok((order, merchant)) => order
                .map_or_else(|| OrderRow::from_value(&self.no_order), Ok)
                .map(|order| (order, merchant.unwrap_or_default())),
            // The store works; that a record is damaged is not for the gateway to know.
            Err(damaged @ StoreError::Corrupt(OrderRow::NAME | MerchantRow::NAME)) => Err(damaged),
            Err(failure) => return Err(failure.into()),
        };
        // Only now, whatever was found.
        Ok(match (objection, entry, records) {
            (Some(reason), ..) => Err(reason),
            (None, None, _) if probe.found.is_none() => Err(Reason::Unknown),
            (None, None, _) | (None, _, Err(_)) => Err(Reason::Unreadable),
            (None, Some(entry), Ok((order, merchant))) => {
                let (claim, channel) = (Claim::of(&entry, part), Some(request.channel));
                let left = judge(&claim, &order, merchant, request.dialled, channel, window);
                let is_allowed = self.config.callees.allow(&entry.callee);
                left.and_then(|left| is_allowed.then_some(left).ok_or(Reason::CalleeBarred))
                    .map(|left| (claim, entry.callee, left))
            }
        })
    }

    /// Whether the caller's number is to be believed.
    fn trusts(&self, request: &RouteRequest) -> bool {
        match request.attestation {
            Attestation::None => request.trusted_trunk,
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
        let probes = self.names(window, caller, dialled);
        let under = Under::of(dialled);
        let at = |(slot, _, index): &_| under.key(window.end_of(*slot), index).into_at();
        let rows = self.store.read(&probes.iter().map(at).collect::<Vec<_>>())?;
        let (Some((_, key, first)), Some((_, _, last))) = (probes.first(), probes.last()) else {
            return Err(SwitchboardError::KeysBehind);
        };
        let (first, last) = ((*key, *first), *last);
        let found =
            probes.into_iter().zip(rows).rev().find_map(|((_, key, index), row)| Some((key, index, row?)));
        let found = match found {
            Some((key, index, row)) => Some((key, index, IndexRow::from_value(&row)?)),
            None => None,
        };
        Ok(Probe { found, first, last })
    }

    /// Opens once: what was found, or a dummy.
    fn open_one(&self, probe: &Probe<'_>) -> Option<Entry> {
        match &probe.found {
            Some((key, index, row)) => self.open(key, index, row),
            None => self.open(probe.first.0, &probe.first.1, &IndexRow::DUMMY),
        }
    }
}
