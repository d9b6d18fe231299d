//! Retention: what remains of a cohort after its retry window.
//!
//! The rows of spent tokens go; the cohort's own row stays, some 200 bytes, so that its tokens are
//! refused by their window for ever. Published reviews stay in the listing.

use super::rows::{self, CohortRow, Due, PRUNED};
use super::spent::ReviewRow;
use super::{Core, DeskError};
use unjoin_store::{Change, Key, Record, Store, StoreError, decide};

impl<S: Store> Core<S> {
    /// Prunes the spent tokens of a cohort, page by page; `false` while something of it still has
    /// an escrow or a change before it. A crash leaves the task due, and the next tick goes on
    /// with what is left.
    pub(super) fn prune(&self, due: &Due) -> Result<bool, DeskError> {
        let mut pages = rows::reviews_of(&*self.store, &due.scope);
        let mut all_gone = true;
        while let Some(page) = pages.next()? {
            let keys: Vec<_> = page.into_iter().map(|found| found.key).collect();
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

/// Deletes those rows that are over; the answer is whether all were. Those that are kept are no
/// preconditions: a later tick looks at them again.
fn delete_what_is_over(keys: &[Key<ReviewRow>], rows: &[Option<ReviewRow>], change: &mut Change) -> bool {
    let mut all = true;
    for (key, row) in keys.iter().zip(rows) {
        let Some(row) = row else { continue };
        if is_over(row) {
            change.guarded_by(key);
            change.delete(key);
        } else {
            all = false;
        }
    }
    all
}

/// Whether nothing can follow from a spent token's row any more.
fn is_over(row: &ReviewRow) -> bool {
    match row {
        ReviewRow::Held(_) => false,
        ReviewRow::TakenBack(taken) => taken.publish_by.is_some(),
        ReviewRow::Settled(settled) => settled.evidence.is_none() && settled.waiting.is_none(),
    }
}
