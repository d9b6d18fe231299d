//! Retention: what remains of a cohort when nobody can ask about it any more.
//!
//! The rows of spent tokens go; the cohort's own row stays, some 200 bytes, so that its tokens are
//! refused by their window for ever. Published reviews stay in the listing.

use super::publication::CHUNK;
use super::rows::{self, Due};
use super::values::{CohortRow, PRUNED, ReviewRow, Stored, read_row};
use super::{Core, DeskError};
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};

impl<S: Store> Core<S> {
    /// Prunes the spent tokens of a cohort, so many in a commit; `false` while something of it
    /// still has an escrow or a change before it. A crash leaves the task due, and the next
    /// tick goes on with what is left.
    pub(super) fn prune(&self, due: &Due) -> Result<bool, DeskError> {
        let (bucket, prefix) = (rows::bucket(due.scope.merchant()), rows::reviews_of(&due.scope));
        let mut after: Option<Vec<u8>> = None;
        let mut all_gone = true;
        loop {
            let found = self.store.scan(bucket, &prefix, after.as_deref(), CHUNK)?;
            after = found.last().map(|row| row.key.clone());
            let complete = found.len() < CHUNK;
            let keys: Vec<RowKey> = found.into_iter().map(|row| RowKey { bucket, key: row.key }).collect();
            if !keys.is_empty() {
                all_gone &= run_one(&*self.store, Pruning { keys })?;
            }
            if complete {
                break;
            }
        }
        Ok(all_gone && run_one(&*self.store, Pruned { core: self, due })?)
    }
}

/// Whether nothing can follow from a spent token's row any more.
fn is_over(row: &ReviewRow) -> bool {
    match row {
        ReviewRow::Held(_) => false,
        ReviewRow::TakenBack(taken) => taken.publish_by.is_some(),
        ReviewRow::Settled(settled) => settled.evidence.is_none() && settled.waiting.is_none(),
    }
}

/// Deletes those of some rows of one cohort that are over; the answer is whether all were.
struct Pruning {
    keys: Vec<RowKey>,
}

impl Decision for Pruning {
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        self.keys.clone()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        let Some(RowKey { bucket, .. }) = self.keys.first() else { return Ok(Step::Answer(true)) };
        let mut commit = Commit::new(*bucket);
        let mut all = true;
        for (RowKey { key, .. }, stored) in self.keys.iter().zip(rows) {
            let Some(stored) = stored else { continue };
            if is_over(&ReviewRow::from_value(stored)?) {
                commit = commit.expect(key, Some(stored)).delete(key.clone());
            } else {
                all = false;
            }
        }
        Ok(if commit.writes.is_empty() { Step::Answer(all) } else { Step::Commit(commit, all) })
    }
}

/// Ends a cohort's pruning; the mark makes the tick rewrite the store.
struct Pruned<'a, S> {
    core: &'a Core<S>,
    due: &'a Due,
}

impl<S: Store> Decision for Pruned<'_, S> {
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.due.row_key(), rows::cohort(&self.due.scope)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        let row = |at: usize| rows.get(at).and_then(Option::as_deref);
        let Some(scheduled) = row(0) else { return Ok(Step::Answer(false)) };
        let cohort: CohortRow = read_row(row(1))?.ok_or(StoreError::Corrupt(CohortRow::NAME))?;
        let (due_key, RowKey { bucket, key }) = (self.due.key(), rows::cohort(&self.due.scope));
        let commit = Commit::new(bucket)
            .expect(&due_key, Some(scheduled))
            .expect(&key, row(1))
            .delete(due_key)
            .put(key, CohortRow { sealed: PRUNED, ..cohort }.to_value());
        Ok(Step::Commit(self.core.mark(commit), true))
    }
}
