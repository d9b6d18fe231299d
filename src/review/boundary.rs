//! What else happens at boundaries: edits, withdrawals and removals that waited, and the
//! erasure of escrows.

use super::histogram::Histograms;
use super::rows::{self, CohortRow, Due, ListedRow, PRUNED, Task};
use super::spent::{SentRow, SpentRow, State, WaitingChange, WaitingRow};
use super::{Core, DeskError};
use std::collections::BTreeSet;
use unjoin_core::entry::{ActionEntry, Ledger};
use unjoin_core::token::Scope;
use unjoin_core::wire::Message;
use unjoin_log::outbox;
use unjoin_store::{Change, Key, Present, Record, Store, StoreError, decide};

/// What was applied.
#[derive(Clone, Copy, Default)]
pub(super) struct Applied {
    pub(super) edits: usize,
    pub(super) withdrawals: usize,
}

/// The keys of what is due with one review.
type Keys = (Key<Present>, Key<SpentRow>, Key<ListedRow>, Key<WaitingRow>);

impl<S: Store> Core<S> {
    /// Applies what waited for one boundary at one merchant, in one commit.
    pub(super) fn apply(&self, due: &[&Due]) -> Result<Applied, DeskError> {
        let Some(first) = due.first() else { return Ok(Applied::default()) };
        let (merchant, boundary) = (first.scope.merchant(), first.time);
        let of_each = |due: &&Due| -> Option<Keys> {
            let Task::Apply(id) = due.task else { return None };
            let scope = &due.scope;
            Some((due.key(), rows::spent(scope, &id), rows::listed(merchant, &id), rows::waiting(scope, &id)))
        };
        let keys: Vec<Keys> = due.iter().filter_map(of_each).collect();
        let scopes: BTreeSet<&Scope> = due.iter().map(|due| &due.scope).collect();
        let (cohort_keys, counted): (Vec<_>, _) =
            (scopes.iter().map(|scope| rows::cohort(scope)).collect(), Histograms::keys(&scopes));
        let reads = (counted.clone(), keys.clone(), cohort_keys);
        decide(&*self.store, reads, |(histograms, rows, cohorts), change| {
            let mut applied = Applied::default();
            let mut histograms = Histograms::new(&counted, histograms);
            let mut changed = false;
            for ((due, keys), rows) in due.iter().zip(&keys).zip(rows) {
                // An absent row of the schedule: another tick has done it.
                let (Some(Present), Some(spent), listed, waiting) = rows else { continue };
                change.delete(&keys.0);
                let Some(waiting) = waiting.filter(|waiting| waiting.boundary == boundary) else { continue };
                change.delete(&keys.3);
                changed = true;
                let listing = Listing { scope: &due.scope, key: &keys.2, spent: &spent, listed };
                let effect =
                    Effect { histograms: &mut histograms, applied: &mut applied, change: &mut *change };
                let is_listed = effect.take(waiting, listing)?;
                if is_listed {
                    if spent.state == State::Unlisted {
                        change.put(&keys.1, &SpentRow { state: State::Published, ..spent });
                    }
                    continue;
                }
                if matches!(spent.state, State::Published | State::Unlisted) {
                    change.put(&keys.1, &SpentRow { state: State::Withdrawn, ..spent });
                }
                let mut cohorts = scopes.iter().zip(&cohorts).filter(|(scope, _)| **scope == &due.scope);
                if let Some((_, Some(CohortRow { sealed: PRUNED, .. }))) = cohorts.next() {
                    // Its cohort was pruned before: this row must go as well, when retries are over.
                    let time = boundary.saturating_add(self.config.retry_window);
                    change.put(&Due { time, task: Task::Prune, scope: due.scope.clone() }.key(), &Present);
                }
            }
            if changed {
                histograms.write(change);
                self.mark(change);
            }
            Ok(applied)
        })
    }

    /// Erases the escrows of a cohort; `false` while something of it is still held, because
    /// its publication failed. A crash leaves the task due and the rest of the rows as they were.
    pub(super) fn erase(&self, due: &Due) -> Result<bool, DeskError> {
        let mut pages = rows::sent_of(&*self.store, &due.scope);
        let mut none_is_held = true;
        while let Some(page) = pages.next()? {
            let keys: Vec<Key<SentRow>> = page.into_iter().map(|found| found.key).collect();
            none_is_held &= decide(&*self.store, keys.clone(), |rows, change| {
                let (held, published): (Vec<_>, Vec<_>) = keys
                    .iter()
                    .zip(rows)
                    .filter_map(|(key, row)| row.map(|row| (key, row)))
                    .partition(|(_, row)| row.held.is_some());
                published.iter().for_each(|(key, _)| change.delete(key));
                Ok::<_, StoreError>(held.is_empty())
            })?;
        }
        Ok(none_is_held && self.end_erasure(due)?)
    }

    /// The mark makes the tick rewrite the store, so that the file lets go of what was erased.
    fn end_erasure(&self, due: &Due) -> Result<bool, DeskError> {
        let due = due.key();
        decide(&*self.store, due.clone(), |scheduled, change| {
            if scheduled.is_some() {
                change.delete(&due);
                self.mark(change);
            }
            Ok(scheduled.is_some())
        })
    }
}

/// What a change finds of its review.
struct Listing<'a> {
    scope: &'a Scope,
    key: &'a Key<ListedRow>,
    spent: &'a SpentRow,
    listed: Option<ListedRow>,
}

/// One change that takes effect, and all that it touches.
struct Effect<'a> {
    histograms: &'a mut Histograms,
    applied: &'a mut Applied,
    change: &'a mut Change,
}

impl Effect<'_> {
    /// The answer is whether the review is in the listing afterwards.
    fn take(
        self,
        WaitingRow { boundary, actions, change: waiting }: WaitingRow,
        Listing { scope, key, spent, listed }: Listing<'_>,
    ) -> Result<bool, StoreError> {
        for action in actions {
            outbox::put(self.change, Ledger::Reviews, ActionEntry { action, boundary }.to_bytes());
        }
        let replacement = match waiting {
            WaitingChange::Uncount(stars) => {
                return self.histograms.uncount(scope, stars).map(|()| false);
            }
            WaitingChange::Withdraw => {
                self.applied.withdrawals += 1;
                None
            }
            WaitingChange::Edit(review) => {
                self.applied.edits += 1;
                Some((review, true))
            }
            // Whoever edited back to the first words has edited.
            WaitingChange::Relist(review) => Some((review, spent.sequence > 0)),
        };
        match (spent.state, &listed) {
            (State::Unlisted, None) => {}
            (State::Published, Some(listed)) => self.histograms.uncount(scope, listed.review.stars())?,
            _ => return Err(StoreError::Corrupt(ListedRow::NAME)),
        }
        let Some((review, edited)) = replacement else {
            self.change.delete(key);
            return Ok(false);
        };
        self.histograms.count(scope, &[review.stars()])?;
        let published_at = spent.published_at;
        self.change.put(key, &ListedRow { scope: scope.clone(), published_at, edited, review });
        Ok(true)
    }
}
