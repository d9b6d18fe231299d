//! What a binding is made of: each function decides from rows as they were read, and says what is
//! written in the same commit.

use super::SwitchboardError;
use super::binding::{Leg, Parties};
use super::legs::{LegStatus, check_end};
use super::rows::{HubRow, LiveLeg, MerchantRow, OrderId, OrderRow, Terms};
use crate::pool::Labelled;
use crate::{Pool, PoolError, SlotKeyWindow, VirtualNumber};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Change, Key};

/// A number that is to be made.
pub(super) struct Job {
    pub(super) order: OrderId,
    pub(super) leg: Leg,
    /// The name that the number is drawn for.
    pub(super) hub: Name,
    pub(super) parties: Parties,
    pub(super) purpose: Purpose,
    /// The pools to draw from, the later ones when the earlier are used up.
    pub(super) pools: Vec<usize>,
}

pub(super) enum Purpose {
    /// Of the new terms, what the host chose. The total life and the generations are filled in.
    Bind(Terms),
    /// Takes the terms over, for the leg that has this number.
    Replace(VirtualNumber),
}

/// What the order's and the merchant's record make of a job.
pub(super) enum Plan {
    /// A number is to be made, on these terms.
    Make(Terms),
    /// The leg is live: it is the answer if it has the same parties.
    Compare(LiveLeg),
}

impl Job {
    /// Decides from the two records. The same before the first step and at the last.
    pub(super) fn plan(
        &self,
        order: &OrderRow,
        merchant: MerchantRow,
        window: &SlotKeyWindow,
        max_total_life: u64,
    ) -> Result<Plan, SwitchboardError> {
        let renewed = |terms: &Terms| Terms {
            extendable_until: window.now().saturating_add(max_total_life),
            key_generation: window.generation(),
            merchant_generation: merchant.generation,
            ..terms.clone()
        };
        match (&self.purpose, order.status(self.leg, merchant, window)) {
            (Purpose::Bind(terms), LegStatus::Unbound | LegStatus::KeysReplaced | LegStatus::Expired) => {
                check_end(terms.not_after, window)?;
                let renewed = renewed(terms);
                if renewed.not_after > renewed.extendable_until {
                    return Err(SwitchboardError::TotalLife { max_total_life });
                }
                Ok(Plan::Make(renewed))
            }
            (Purpose::Replace(number), LegStatus::Live(live)) if live.number == *number => {
                Ok(Plan::Make(renewed(&live.terms)))
            }
            (_, status) => Ok(Plan::Compare(status.live()?.clone())),
        }
    }

    /// What to say when the leg is live between other parties.
    pub(super) fn mismatch(&self) -> SwitchboardError {
        match self.purpose {
            Purpose::Bind(_) => SwitchboardError::DifferentParties,
            Purpose::Replace(_) => SwitchboardError::Superseded,
        }
    }
}

/// Takes numbers for a hub from where `row` says, one or more, and the row behind them. They are
/// its own once that is written, used or not: the counter only grows. So there is nothing to be
/// found by a retry, which takes others.
pub(super) fn take_numbers(
    hub: &Name,
    row: Option<HubRow>,
    wanted: usize,
    Labelled { label, pool, .. }: &Labelled,
    window: &SlotKeyWindow,
) -> Result<(Vec<VirtualNumber>, HubRow), SwitchboardError> {
    let mut next = begin(row, pool, window)?;
    let order = pool.order(hub, next.epoch, next.shift);
    let mut numbers = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        match order.draw(next.counter) {
            Ok(drawn) => {
                numbers.push(drawn.number);
                next.counter = drawn.next;
            }
            Err(source @ PoolError::Exhausted { .. }) if numbers.is_empty() => {
                return Err(SwitchboardError::PoolExhausted { pool: label.clone(), source });
            }
            Err(error) if numbers.is_empty() => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok((numbers, next))
}

/// Where a hub draws now. Neither epoch nor shift ever goes back: a clock that is behind
/// another's goes on in the other's epoch.
fn begin(row: Option<HubRow>, pool: &Pool, window: &SlotKeyWindow) -> Result<HubRow, SwitchboardError> {
    let now = HubRow { epoch: pool.epoch_of(window.now()), shift: window.pool_shift(), counter: 0 };
    match row {
        None => Ok(now),
        Some(row) if row.shift > now.shift => Err(SwitchboardError::KeysBehind),
        Some(row) if row.shift == now.shift && row.epoch >= now.epoch => Ok(row),
        Some(row) => Ok(HubRow { epoch: now.epoch.max(row.epoch), ..now }),
    }
}

/// Raises the time at which the order's last number is dead, before index rows are written that
/// can be read until then. So what closing answers holds for crashed attempts too.
pub(super) fn reserve(
    at: &Key<OrderRow>,
    order: Option<OrderRow>,
    dead_at: Timestamp,
    change: &mut Change,
) -> Result<(), SwitchboardError> {
    let order = order.unwrap_or_default();
    if order.closed {
        return Err(SwitchboardError::OrderClosed);
    }
    if order.dead_at < dead_at {
        change.put(at, &OrderRow { dead_at, ..order });
    }
    Ok(())
}
