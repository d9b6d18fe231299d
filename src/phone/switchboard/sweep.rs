//! Clearing away: nothing that is refused or unreadable waits for it.

use super::misses::MissAlarm;
use super::rows::{HUBS, HubRow, INDEX, LegState, ORDERS, OrderRow, StoredRow, raw, slot_end_of};
use super::{Core, SwitchboardError};
use crate::phone::SlotKeyWindow;
use crate::store::decide::{Decision, Step, run};
use crate::store::{Bucket, Commit, Row, RowKey, Store, StoreError};
use std::sync::PoisonError;

/// So many rows are looked at in one call to the store.
const PAGE: usize = 512;
/// So many rows, and at most a page more, are deleted by one durable write.
const AT_ONCE: usize = 8192;
/// So many orders' and hubs' rows are looked at in one tick: a walk through all of them takes
/// as many ticks as that needs.
const WALK: usize = 1 << 16;

/// What a [`tick`](super::Switchboard::tick) did and saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SwitchboardReport {
    /// How many index rows of slots that are over were deleted.
    pub index_rows: u64,
    /// How many records of orders went after their retention.
    pub orders: u64,
    /// How many hubs' counters of earlier epochs went.
    pub hubs: u64,
    /// Numbers that were dialled in vain conspicuously often since the tick before, on this
    /// instance.
    pub alarms: Vec<MissAlarm>,
}

/// Where the walk through the orders' and hubs' rows stands. In memory: after a restart it
/// begins anew, which is no harm.
#[derive(Default)]
pub(super) struct Walk {
    bucket: u16,
    room: usize,
    after: Option<Vec<u8>>,
}

impl<S: Store> Core<S> {
    pub(super) fn tick(&self) -> Result<SwitchboardReport, SwitchboardError> {
        let window = self.window()?;
        let mut report =
            SwitchboardReport { alarms: self.misses.take(self.config.alarm_after), ..Default::default() };
        report.index_rows = self.sweep_index(&window)?;
        self.walk(&window, &mut report)?;
        Ok(report)
    }

    /// Deletes each bucket's index rows up to the first whose key may still be there. They lie
    /// in the order of their slots.
    fn sweep_index(&self, window: &SlotKeyWindow) -> Result<u64, SwitchboardError> {
        let (mut deleted, mut waiting, mut commits) = (0u64, 0, Vec::new());
        for bucket in Bucket::all() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let rows = self.store.scan(bucket, INDEX, after.as_deref(), PAGE)?;
                let is_over = |row: &Row| {
                    let end = slot_end_of(&row.key)?;
                    Ok::<_, StoreError>(window.now() >= end.saturating_add(window.config().skew()))
                };
                let mut commit = Commit::new(bucket);
                for row in &rows {
                    if !is_over(row)? {
                        break;
                    }
                    commit = commit.delete(row.key.clone());
                }
                let count = commit.writes.len();
                if count > 0 {
                    waiting += count;
                    commits.push(commit);
                }
                if waiting >= AT_ONCE {
                    self.store.commit(&std::mem::take(&mut commits))?;
                    deleted = deleted.saturating_add(std::mem::take(&mut waiting) as u64);
                }
                if count < PAGE {
                    break;
                }
                after = rows.last().map(|row| row.key.clone());
            }
        }
        if !commits.is_empty() {
            self.store.commit(&commits)?;
        }
        Ok(deleted.saturating_add(waiting as u64))
    }

    /// Goes on through the orders and hubs of all buckets, for [`WALK`] rows or once around.
    fn walk(&self, window: &SlotKeyWindow, report: &mut SwitchboardReport) -> Result<(), SwitchboardError> {
        let rooms = [ORDERS, HUBS];
        let buckets: Vec<Bucket> = Bucket::all().collect();
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut seen, mut turned) = (0, 0);
        let mut prunes: Vec<Prune<'_, S>> = Vec::new();
        while seen < WALK && turned <= buckets.len() * rooms.len() {
            let (Some(bucket), Some(room)) = (buckets.get(usize::from(walk.bucket)), rooms.get(walk.room))
            else {
                *walk = Walk::default();
                continue;
            };
            let rows = self.store.scan(*bucket, *room, walk.after.as_deref(), PAGE)?;
            for row in &rows {
                let prune =
                    Prune { at: RowKey { bucket: *bucket, key: row.key.clone() }, core: self, window };
                if prune.is_due(&row.value)? {
                    prunes.push(prune);
                }
            }
            if prunes.len() >= AT_ONCE {
                self.prune(std::mem::take(&mut prunes), report)?;
            }
            seen += rows.len();
            if rows.len() == PAGE {
                walk.after = rows.last().map(|row| row.key.clone());
                continue;
            }
            walk.after = None;
            turned += 1;
            walk.room += 1;
            if walk.room == rooms.len() {
                *walk = Walk { bucket: walk.bucket + 1, ..Walk::default() };
            }
        }
        self.prune(prunes, report)
    }

    fn prune(
        &self,
        mut prunes: Vec<Prune<'_, S>>,
        report: &mut SwitchboardReport,
    ) -> Result<(), SwitchboardError> {
        let pruned = run(&*self.store, &mut prunes);
        for (prune, pruned) in prunes.iter().zip(pruned) {
            let is_order = prune.at.key.starts_with(ORDERS);
            let count = if is_order { &mut report.orders } else { &mut report.hubs };
            *count = count.saturating_add(u64::from(pruned?));
        }
        Ok(())
    }
}

/// Deletes an order's or a hub's row if it still is of no use when it is deleted.
struct Prune<'a, S> {
    at: RowKey,
    core: &'a Core<S>,
    window: &'a SlotKeyWindow,
}

impl<S> Prune<'_, S> {
    fn is_due(&self, value: &[u8]) -> Result<bool, StoreError> {
        let now = self.window.now();
        if self.at.key.starts_with(HUBS) {
            // A new epoch begins at 0 whatever the last one came to.
            let hub = HubRow::from_value(value)?;
            return Ok(hub.epoch.saturating_add(1) < self.core.pool.epoch_of(now));
        }
        let order = OrderRow::from_value(value)?;
        let lives = |leg: &LegState| matches!(leg, LegState::Live(live) if now < live.terms.not_after);
        let kept_until = order.dead_at.saturating_add(self.core.config.retention);
        Ok(!order.closed && !lives(&order.merchant_leg) && !lives(&order.courier_leg) && now >= kept_until)
    }
}

impl<S> Decision for Prune<'_, S> {
    /// Whether it was deleted.
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.at.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        match raw(rows, 0) {
            Some(value) if self.is_due(value)? => {
                let RowKey { bucket, key } = self.at.clone();
                Ok(Step::Commit(Commit::new(bucket).expect(&key, Some(value)).delete(key), true))
            }
            _ => Ok(Step::Answer(false)),
        }
    }
}
