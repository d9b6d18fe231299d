//! Clearing away: nothing that is refused or unreadable waits for it.

use super::rows::{HUBS, HubRow, INDEX, IndexRow, LegState, ORDERS, OrderRow, index_after, slot_end_of};
use super::{Core, SwitchboardError};
use crate::{SlotKeyWindow, VirtualNumber};
use std::sync::PoisonError;
use unjoin_core::Timestamp;
use unjoin_store::{Commit, Decision, Key, Pages, Record, RowKey, Store, decide_all};

/// At most this many rows are looked at in one call to the store.
const PAGE: usize = 512;
/// At most this many rows, and a page more, are deleted by one durable write.
const AT_ONCE: usize = 8192;
/// At most this many orders' and hubs' rows, and a page more, are looked at in one tick: a walk
/// through all of them takes as many ticks as that needs.
const WALK: usize = 1 << 16;

/// What a [`tick`](super::Switchboard::tick) did and saw.
///
/// ```
/// # use unjoin_phone::test_util::switchboard;
/// # let directory = unjoin_test_util::Directory::new();
/// # let board = switchboard(directory.file("slot-keys"));
/// let report = board.tick()?;
/// // Alert at a few seconds, and at a minute.
/// assert!(report.clock_lead < 5 && report.erasure_lag < 60);
/// assert!(report.alarms.is_empty());
/// # Ok::<(), unjoin_phone::SwitchboardError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SwitchboardReport {
    /// Number of index rows of slots that are over, deleted.
    pub index_rows: u64,
    /// How many records of orders were shortened after their retention, or went because no number was ever live in
    /// them.
    pub orders: u64,
    /// How many hubs' counters of earlier epochs went.
    pub hubs: u64,
    /// By how many seconds time stands ahead of this instance's clock, because the clock stepped
    /// back or another's is ahead: live numbers end so much early. Alert at a few seconds.
    pub clock_lead: u64,
    /// For how many seconds a slot key has been due that the keeper still has. Alert at a minute: from then on closing answers that
    /// nothing is erased.
    pub erasure_lag: u64,
    /// How many events of calls were dropped by this instance so far, because the host did not take them.
    pub dropped_events: u64,
    /// Numbers that were dialled in vain conspicuously often since the tick before, on this
    /// instance, and how often. Numbers that share a place in the table are counted together; the
    /// one that was dialled last stands for them.
    pub alarms: Vec<(VirtualNumber, u32)>,
}

/// Where the walk through the orders' and hubs' rows is. In memory: after a restart it begins
/// again, which is no harm.
#[derive(Default)]
pub(super) struct Walk {
    /// Whether the orders are done, and the hubs' turn has come.
    in_hubs: bool,
    after: Option<RowKey>,
}

/// Deletes an order's or a hub's row, or puts what remains of it in its place, if that still is due then: the answer is
/// whether it was.
type Prune<'a> = Result<Decision<'a, bool, SwitchboardError>, SwitchboardError>;

/// The rows that are to go.
#[derive(Default)]
struct Due<'a> {
    orders: Vec<Prune<'a>>,
    hubs: Vec<Prune<'a>>,
}

impl<S: Store> Core<S> {
    pub(super) fn tick(&self) -> Result<SwitchboardReport, SwitchboardError> {
        let window = self.window()?;
        let alarms = self.miss_counters.take(self.config.alarm_after);
        let clock_lead = window.now().saturating_since(self.environment.now());
        let mut report = SwitchboardReport { alarms, clock_lead, ..Default::default() };
        report.dropped_events = self.calls.dropped();
        report.erasure_lag = window.erasure_lag();
        report.index_rows = self.sweep_index(&window)?;
        self.walk(&window, &mut report)?;
        Ok(report)
    }

    /// Deletes the index rows whose keys are gone. They lie in the order of their slots. Nothing is read to decide
    /// it: when a row is over stands in its name.
    fn sweep_index(&self, window: &SlotKeyWindow) -> Result<u64, SwitchboardError> {
        let ended_by = window.settled().as_unix_seconds().checked_sub(window.config().skew());
        let Some(ended_by) = ended_by.map(Timestamp::from_unix_seconds) else { return Ok(0) };
        let mut pages = Pages::<_, IndexRow>::of_all(&*self.store, INDEX.to_vec(), PAGE);
        pages = pages.before(index_after(ended_by));
        let (mut deleted, mut waiting, mut commits) = (0u64, 0, Vec::new());
        while let Some(page) = pages.next()? {
            for rows in page.chunk_by(|a, b| a.key.bucket() == b.key.bucket()) {
                let Some(first) = rows.first() else { continue };
                let mut gone = Commit::new(first.key.bucket());
                for row in rows {
                    slot_end_of(row.key.bytes())?;
                    gone = gone.delete(row.key.bytes().to_vec());
                }
                commits.push(gone);
            }
            waiting += page.len();
            if waiting >= AT_ONCE {
                self.store.commit(&std::mem::take(&mut commits))?;
                deleted = deleted.saturating_add(std::mem::take(&mut waiting) as u64);
            }
        }
        if !commits.is_empty() {
            self.store.commit(&commits)?;
        }
        Ok(deleted.saturating_add(waiting as u64))
    }

    /// Goes on through the orders and then the hubs, for [`WALK`] rows or once around.
    fn walk(&self, window: &SlotKeyWindow, report: &mut SwitchboardReport) -> Result<(), SwitchboardError> {
        let now = window.settled();
        let lives = move |leg: &LegState| matches!(leg, LegState::Live(live) if now < live.terms.not_after);
        let is_order_due = |order: &OrderRow| {
            let kept_until = order.dead_at.saturating_add(self.config.retention);
            let is_over = !lives(&order.merchant_leg) && !lives(&order.courier_leg) && now >= kept_until;
            !order.closed && is_over && order.shortened().as_ref() != Some(order)
        };
        // A new epoch begins at 0 whatever the last one came to; all pools have epochs of one length.
        let is_hub_due = |hub: &HubRow| hub.epoch.saturating_add(1) < self.pools.at(0).pool.epoch_of(now);
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        // What lies before the place where this begins comes last.
        let (mut seen, mut turns) = (0, if walk.after.is_none() { 2 } else { 3 });
        let mut due = Due::default();
        while seen < WALK && turns > 0 {
            let rows = if walk.in_hubs {
                self.look_at(HUBS, &mut walk.after, &is_hub_due, &|_| None, &mut due.hubs)?
            } else {
                let remains = &OrderRow::shortened;
                self.look_at(ORDERS, &mut walk.after, &is_order_due, remains, &mut due.orders)?
            };
            if due.orders.len() + due.hubs.len() >= AT_ONCE {
                self.prune(std::mem::take(&mut due), report)?;
            }
            seen += rows;
            if rows < PAGE {
                turns -= 1;
                *walk = Walk { in_hubs: !walk.in_hubs, after: None };
            }
        }
        self.prune(due, report)
    }

    /// Looks at one page of rows behind `after`, which goes on: how many there were.
    fn look_at<'a, R: Record + 'a>(
        &self,
        prefix: &[u8; 2],
        after: &mut Option<RowKey>,
        is_due: &'a impl Fn(&R) -> bool,
        remains: &'a impl Fn(&R) -> Option<R>,
        due: &mut Vec<Prune<'a>>,
    ) -> Result<usize, SwitchboardError> {
        let mut pages = Pages::of_all(&*self.store, prefix.to_vec(), PAGE).after(after.clone());
        let page = pages.next()?.unwrap_or_default();
        for found in &page {
            if is_due(&found.row()?) {
                due.push(Ok(prune(found.key.clone(), is_due, remains)));
            }
        }
        if let Some(last) = page.last() {
            *after = Some(last.key.at().clone());
        }
        Ok(page.len())
    }

    fn prune(&self, due: Due<'_>, report: &mut SwitchboardReport) -> Result<(), SwitchboardError> {
        for (prunes, count) in [(due.orders, &mut report.orders), (due.hubs, &mut report.hubs)] {
            for pruned in decide_all(&*self.store, prunes) {
                *count = count.saturating_add(u64::from(pruned?));
            }
        }
        Ok(())
    }
}

fn prune<'a, R: Record + 'a>(
    at: Key<R>,
    is_due: &'a impl Fn(&R) -> bool,
    remains: &'a impl Fn(&R) -> Option<R>,
) -> Decision<'a, bool, SwitchboardError> {
    Decision::new(at.clone(), move |row: Option<R>, change| {
        let Some(row) = row.filter(is_due) else { return Ok(false) };
        match remains(&row) {
            Some(rest) => change.put(&at, &rest),
            None => change.delete(&at),
        }
        Ok(true)
    })
}
