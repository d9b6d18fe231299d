//! Retention: what remains of a cohort after its retry window.
//!
//! The rows of spent tokens go whose reviews are not in the listing. The cohort's own row stays, some
//! 200 bytes, so that its tokens are refused by their window for ever. While a review is listed its row
//! stays, and its author can act.

use super::rows::{self, CohortRow, Due, PRUNED};
use super::spent::{SentRow, SpentRow, State, WaitingRow};
use super::{Core, DeskError};
use unjoin_store::{Change, Key, Record, Store, StoreError, decide};

/// The keys of a spent token's row, of what was sent with it and what waits.
type Keys = (Key<SpentRow>, Key<SentRow>, Key<WaitingRow>);

impl<S: Store> Core<S> {
    /// Prunes the spent tokens of a cohort, page by page; `false` while something of it still has
    /// an escrow or a change before it. A crash leaves the task due, and the next tick goes on
    /// with what is left.
    pub(super) fn prune(&self, due: &Due) -> Result<bool, DeskError> {
        let mut pages = rows::spent_of(&*self.store, &due.scope);
        let mut all_gone = true;
        while let Some(page) = pages.next()? {
            let mut keys: Vec<Keys> = Vec::new();
            for found in page {
                let id = rows::id_of(&found.key)?;
                keys.push((found.key, rows::sent(&due.scope, &id), rows::waiting(&due.scope, &id)));
            }
            all_gone &= decide(&*self.store, keys.clone(), |rows, change| {
                Ok::<_, StoreError>(delete_what_is_over(&keys, &rows, change))
            })?;
        }
        Ok(all_gone && self.end_pruning(due)?)
    }

    /// The mark makes the tick rewrite the store.
    fn end_pruning(&self, due: &Due) -> Result<bool, DeskError> {
        let (due, cohort_key) = (due.key(), rows::cohort(&due.scope));
        decide(&*self.store, (due.clone(), cohort_key.clone()), |(scheduled, cohort), change| {
            if scheduled.is_none() {
                return Ok(false);
            }
            let cohort = cohort.ok_or(StoreError::Corrupt(CohortRow::NAME))?;
            change.delete(&due);
            change.put(&cohort_key, &CohortRow { sealed: PRUNED, ..cohort });
            self.mark(change);
            Ok(true)
        })
    }
}

/// The rows of [`Keys`].
type Rows = (Option<SpentRow>, Option<SentRow>, Option<WaitingRow>);

/// Deletes those rows that are over; the answer is whether nothing is left to be deleted later. Rows
/// that are kept are no preconditions: a later tick looks at them again. Nor are the other two of
/// one that is deleted: nothing can be added to a review that is over.
fn delete_what_is_over(keys: &[Keys], rows: &[Rows], change: &mut Change) -> bool {
    let mut all = true;
    for ((key, ..), (spent, sent, waiting)) in keys.iter().zip(rows) {
        match spent.as_ref().map(|spent| spent.state) {
            None | Some(State::Published | State::Unlisted) => {}
            Some(State::Withdrawn | State::Removed | State::Awaited)
                if sent.is_none() && waiting.is_none() =>
            {
                change.guarded_by(key);
                change.delete(key);
            }
            Some(_) => all = false,
        }
    }
    all
}
