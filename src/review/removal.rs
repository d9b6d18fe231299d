//! The platform's own removals: seen by everybody, with who and why.

use super::rows::{self, Due, ListedRow, Task};
use super::spent::{SpentRow, State, WaitingChange, WaitingRow};
use super::{Core, DeskError};
use unjoin_core::entry::{Ledger, RemovedEntry, StaffKeyEntry};
use unjoin_core::token::Scope;
use unjoin_core::wire::Message;
use unjoin_log::outbox;
use unjoin_store::{Present, Record, Store, StoreError, decide, read};

impl<S: Store> Core<S> {
    pub(super) fn admit_staff(&self, entry: &StaffKeyEntry, origin: &str) -> Result<(), DeskError> {
        entry.verify(&self.platform.public(), origin).map_err(|_| DeskError::Refused)?;
        let key = rows::staff(entry.staff_key());
        decide(&*self.store, key.clone(), |known, change| {
            if known.is_none() {
                change.put(&key, &Present);
                outbox::put(change, Ledger::Reviews, entry.to_bytes());
            }
            Ok(())
        })
    }

    pub(super) fn remove(
        &self,
        scope: &Scope,
        removed: &RemovedEntry,
        origin: &str,
    ) -> Result<(), DeskError> {
        // A key that was admitted stays: its row need not be a precondition.
        let known = read(&*self.store, &rows::staff(removed.claimed_key()))?;
        if known.is_none() || removed.verify(origin).is_err() {
            return Err(DeskError::UnknownStaff);
        }
        let id = removed.review_id();
        let uncounted_at = self.grid.next_after(self.now()?);
        let keys = (rows::spent(scope, id), rows::listed(scope.merchant(), id), rows::waiting(scope, id));
        decide(&*self.store, keys.clone(), |(spent, listed, waiting), change| {
            let spent = spent.ok_or(DeskError::UnknownReview)?;
            match spent.state {
                // Alike: it is not the staff's to know whether an author has given in. What is not listed
                // since a recovery can be removed once its words are back.
                State::Held | State::TakenBack | State::Awaited | State::Unlisted => {
                    return Err(DeskError::NotPublished);
                }
                State::Removed => return Ok(()),
                State::Withdrawn => return Err(DeskError::Withdrawn),
                State::Published => {}
            }
            let listed = listed.ok_or(StoreError::Corrupt(ListedRow::NAME))?;
            if &listed.review.digest() != removed.review_digest() {
                return Err(DeskError::DigestMismatch);
            }
            let due = |time| Due { time, task: Task::Apply(*id), scope: scope.clone() }.key();
            if let Some(ended) = waiting {
                change.delete(&due(ended.boundary));
            }
            let uncount = WaitingChange::Uncount(listed.review.stars());
            let waiting = WaitingRow { boundary: uncounted_at, actions: vec![], change: uncount };
            change.put(&keys.0, &SpentRow { state: State::Removed, ..spent });
            change.delete(&keys.1);
            change.put(&keys.2, &waiting);
            change.put(&due(uncounted_at), &Present);
            outbox::put(change, Ledger::Reviews, removed.to_bytes());
            Ok(())
        })
    }
}
