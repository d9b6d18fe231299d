//! Clearing away: nothing that is refused or unreadable waits for it.

use super::rows::{HUBS, HubRow, INDEX, IndexRow, ORDERS, OrderRow, index_after, slot_end_of};
use super::{Core, SwitchboardError};
use crate::{SlotKeyWindow, VirtualNumber};
use std::sync::PoisonError;
use unjoin_core::Timestamp;
use unjoin_store::{Commit, Decision, Key, Pages, Record, RowKey, Store, decide_all};

/// At most this many rows are looked at in one call to the store.
const PAGE: usize = 512;
/// At most this many rows, and a page more, are deleted by one durable write.
const AT_ONCE: usize = 8192;
/// At most this many orders' and hubs' rows, and two pages more, are looked at in one tick: a round
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

/// Where the rounds through the orders' and hubs' rows are. In memory: after a restart they begin
/// again, which is no harm.
#[derive(Default)]
pub(super) struct Walk {
    orders: Round,
    hubs: Round,
}

/// A round through all rows of one kind, and when the next one has something to find. A row that is changed meanwhile,
/// or made, falls due later than what the round knows of, never sooner.
#[derive(Default)]
struct Round {
    /// When the one that goes on began.
    began: Option<Timestamp>,
    /// The last row that it looked at.
    after: Option<RowKey>,
    /// When the first of the rows falls due that it has seen, or that were made since it began. `None`: nothing is known.
    first_due: Option<Timestamp>,
    /// When the last whole round began: what it knows holds for no earlier time, to which a clock may go back.
    known_since: Option<Timestamp>,
}

impl Round {
    /// Whether it goes on, or a new one begins at `now`. `unseen_due`: when the first row falls due that is made from now on.
    fn goes_on(&mut self, now: Timestamp, unseen_due: Timestamp) -> bool {
        let is_quiet =
            self.first_due.is_some_and(|due| now < due) && self.known_since.is_some_and(|since| now >= since);
        if self.began.is_none() && !is_quiet {
            *self = Self { began: Some(now), first_due: Some(unseen_due), ..Self::default() };
        }
        self.began.is_some()
    }

    fn ends(&mut self) {
        (self.known_since, self.after) = (self.began.take(), None);
    }
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
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let walked = self.walk_on(&mut walk, window.settled(), report);
        if walked.is_err() {
            // What was to go, and may still be there, is looked for again.
            *walk = Walk::default();
        }
        walked
    }

    fn walk_on(
        &self,
        walk: &mut Walk,
        now: Timestamp,
        report: &mut SwitchboardReport,
    ) -> Result<(), SwitchboardError> {
        let retention = self.config.retention;
        let order_due = |order: &OrderRow| order.due_at(retention);
        // A new epoch begins at 0 whatever the last one came to; all pools have epochs of one length.
        let pool = &self.pools.at(0).pool;
        let over = |epoch: u64| pool.start_of(epoch.saturating_add(2));
        let hub_due = |hub: &HubRow| Some(over(hub.epoch));
        let mut due = Due::default();
        let mut left = WALK;
        if walk.orders.goes_on(now, now.saturating_add(retention)) {
            let seeking = Seeking { now, due_at: &order_due, remains: &OrderRow::shortened };
            while left > 0 && walk.orders.began.is_some() {
                left =
                    left.saturating_sub(self.look_at(ORDERS, &mut walk.orders, seeking, &mut due.orders)?);
                self.prune_if_many(&mut due, report)?;
            }
        }
        if left > 0 && walk.hubs.goes_on(now, over(pool.epoch_of(now))) {
            let seeking = Seeking { now, due_at: &hub_due, remains: &|_| None };
            while left > 0 && walk.hubs.began.is_some() {
                left = left.saturating_sub(self.look_at(HUBS, &mut walk.hubs, seeking, &mut due.hubs)?);
                self.prune_if_many(&mut due, report)?;
            }
        }
        self.prune(due, report)
    }

    fn prune_if_many(
        &self,
        due: &mut Due<'_>,
        report: &mut SwitchboardReport,
    ) -> Result<(), SwitchboardError> {
        match due.orders.len().saturating_add(due.hubs.len()) >= AT_ONCE {
            true => self.prune(std::mem::take(due), report),
            false => Ok(()),
        }
    }

    /// Looks at one page of rows, and ends the round with the last: how many there were, or 1 if there was none.
    fn look_at<'a, R: Record + 'a>(
        &self,
        prefix: &[u8; 2],
        round: &mut Round,
        seeking: Seeking<'a, R>,
        due: &mut Vec<Prune<'a>>,
    ) -> Result<usize, SwitchboardError> {
        let mut pages = Pages::of_all(&*self.store, prefix.to_vec(), PAGE).after(round.after.clone());
        let page = pages.next()?.unwrap_or_default();
        #[cfg(test)]
        self.work.count_looks(page.len());
        for found in &page {
            match (seeking.due_at)(&found.row()?) {
                Some(at) if at <= seeking.now => due.push(Ok(prune(found.key.clone(), seeking))),
                Some(at) => round.first_due = round.first_due.map(|first| first.min(at)),
                None => {}
            }
        }
        round.after = page.last().map(|last| last.key.at().clone());
        if page.len() < PAGE {
            round.ends();
        }
        Ok(page.len().max(1))
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

/// What a round looks for.
struct Seeking<'a, R> {
    now: Timestamp,
    /// When a row falls due; `None`: never, as it is.
    due_at: &'a dyn Fn(&R) -> Option<Timestamp>,
    /// What remains of one that is.
    remains: &'a dyn Fn(&R) -> Option<R>,
}

impl<R> Clone for Seeking<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Seeking<'_, R> {}

fn prune<'a, R: Record + 'a>(at: Key<R>, seeking: Seeking<'a, R>) -> Decision<'a, bool, SwitchboardError> {
    let is_due = move |row: &R| (seeking.due_at)(row).is_some_and(|at| at <= seeking.now);
    Decision::new(at.clone(), move |row: Option<R>, change| {
        let Some(row) = row.filter(is_due) else { return Ok(false) };
        match (seeking.remains)(&row) {
            Some(rest) => change.put(&at, &rest),
            None => change.delete(&at),
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn a_round_begins_when_something_may_be_due_and_when_the_clock_went_back() {
        let mut round = Round::default();
        let begins = |round: &mut Round, after: u64, unseen: u64| {
            let goes_on = round.goes_on(START.saturating_add(after), START.saturating_add(unseen));
            if goes_on {
                round.ends();
            }
            goes_on
        };
        assert!(begins(&mut round, 100, 130));
        for after in [100, 129] {
            assert!(!begins(&mut round, after, after + 30));
        }
        assert!(begins(&mut round, 130, 160));
        // What is made under the earlier time falls due before 160.
        assert!(begins(&mut round, 40, 70));
        assert!(!begins(&mut round, 69, 99) && begins(&mut round, 70, 100));
        // One that takes several ticks goes on, and knows of what was made since it began.
        let mut round = Round::default();
        assert!(round.goes_on(START, START.saturating_add(30)));
        assert!(round.goes_on(START.saturating_add(9), START.saturating_add(39)));
        round.ends();
        assert!(!begins(&mut round, 29, 59) && begins(&mut round, 30, 60));
    }
}
