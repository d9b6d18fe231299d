//! The platform's own removals: seen by everybody, with who and why.

use super::rows::{self, Due, ListedRow, Task};
use super::spent::{ListingState, ReviewRow, Settled, Waiting, WaitingChange};
use super::{Core, DeskError};
use unjoin_core::entry::{Ledger, RemovedEntry};
use unjoin_core::token::{ReviewId, Scope};
use unjoin_core::wire::Message;
use unjoin_log::outbox;
use unjoin_store::{Present, Record, Store, StoreError, decide};

impl<S: Store> Core<S> {
    pub(super) fn remove(
        &self,
        scope: &Scope,
        id: &ReviewId,
        who: &str,
        grounds: &str,
    ) -> Result<(), DeskError> {
        let fits = |text: &str, most| (1..=most).contains(&text.len());
        if !fits(who, RemovedEntry::MAX_WHO) || !fits(grounds, RemovedEntry::MAX_GROUNDS) {
            return Err(DeskError::RemovalText);
        }
        let uncounted_at = self.grid.next_after(self.environment.now());
        let keys = (rows::review(scope, id), rows::listed(scope.merchant(), id));
        decide(&*self.store, keys.clone(), |(row, listed), change| {
            let settled = match (row, &listed) {
                (Some(ReviewRow::Held(_)), _) => return Err(DeskError::NotPublished),
                (Some(ReviewRow::TakenBack(_)), _) => return Err(DeskError::Withdrawn),
                (Some(ReviewRow::Settled(settled)), _) => *settled,
                // Pruned: the listing is all that is left.
                (None, Some(listed)) if &listed.scope == scope => {
                    Settled::published(listed.review.digest(), listed.published_at, None)
                }
                _ => return Err(DeskError::UnknownReview),
            };
            match settled.state {
                ListingState::Removed => return Ok(()),
                ListingState::Withdrawn => return Err(DeskError::Withdrawn),
                ListingState::Published => {}
            }
            let listed = listed.ok_or(StoreError::Corrupt(ListedRow::NAME))?;
            let entry = RemovedEntry {
                review_id: *id,
                review_digest: settled.listed,
                who: who.as_bytes().to_vec(),
                grounds: grounds.to_owned(),
            };
            let due = |time| Due { time, task: Task::Apply(*id), scope: scope.clone() }.key();
            if let Some(replaced) = &settled.waiting {
                change.delete(&due(replaced.boundary));
            }
            let waiting =
                Waiting { boundary: uncounted_at, change: WaitingChange::Uncount(listed.review.stars()) };
            let removed = Settled { state: ListingState::Removed, waiting: Some(waiting), ..settled };
            change.put(&keys.0, &ReviewRow::settled(removed));
            change.delete(&keys.1);
            change.put(&due(uncounted_at), &Present);
            outbox::put(change, Ledger::Reviews, entry.to_bytes());
            Ok(())
        })
    }
}
