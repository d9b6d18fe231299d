//! The platform's own removals: seen by everybody, with who and why.

use super::rows::{self, DUE_VALUE, Due, Task};
use super::values::{Change, ListedRow, ReviewRow, Settled, Standing, Stored, Waiting, read_row};
use super::{Core, DeskError};
use crate::ledger::{Ledger, RemovedEntry, outbox};
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::{ReviewId, Scope};
use crate::wire::Message;

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
        run_one(&*self.store, Removal { scope, id, who, grounds, uncounted_at })?
    }
}

struct Removal<'a> {
    scope: &'a Scope,
    id: &'a ReviewId,
    who: &'a str,
    grounds: &'a str,
    uncounted_at: Timestamp,
}

impl Decision for Removal<'_> {
    type Answer = Result<(), DeskError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![rows::review(self.scope, self.id), rows::listed(self.scope.merchant(), self.id)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let row = |at: usize| rows.get(at).and_then(Option::as_deref);
        let listed = read_row::<ListedRow>(row(1))?;
        let settled = match (read_row::<ReviewRow>(row(0))?, &listed) {
            (Some(row), _) => row,
            // Pruned: the listing is all that is left.
            (None, Some(listed)) if &listed.scope == self.scope => {
                ReviewRow::Settled(Box::new(as_listed(listed)))
            }
            _ => return Ok(Step::Answer(Err(DeskError::UnknownReview))),
        };
        let settled = match settled {
            ReviewRow::Held(_) => return Ok(Step::Answer(Err(DeskError::NotPublished))),
            ReviewRow::TakenBack(_) => return Ok(Step::Answer(Err(DeskError::Withdrawn))),
            ReviewRow::Settled(settled) => settled,
        };
        match settled.standing {
            Standing::Removed => return Ok(Step::Answer(Ok(()))),
            Standing::Withdrawn => return Ok(Step::Answer(Err(DeskError::Withdrawn))),
            Standing::Published => {}
        }
        let listed = listed.ok_or(StoreError::Corrupt(ListedRow::NAME))?;
        let review = rows::review(self.scope, self.id);
        let listing = rows::listed(self.scope.merchant(), self.id);
        let due = |time| Due { time, task: Task::Apply(*self.id), scope: self.scope.clone() };
        let entry = RemovedEntry {
            review_id: *self.id.as_bytes(),
            review_digest: settled.listed,
            who: self.who.as_bytes().to_vec(),
            grounds: self.grounds.to_owned(),
        };
        let mut commit = Commit::new(review.bucket)
            .expect(&review.key, row(0))
            .expect(&listing.key, row(1))
            .delete(listing.key);
        if let Some(waiting) = &settled.waiting {
            commit = commit.delete(due(waiting.boundary).key());
        }
        let change = Change::Uncount(listed.review.stars());
        let removed = Settled {
            standing: Standing::Removed,
            waiting: Some(Waiting { boundary: self.uncounted_at, change }),
            ..*settled
        };
        commit = commit
            .put(review.key, ReviewRow::Settled(Box::new(removed)).to_value())
            .put(due(self.uncounted_at).key(), DUE_VALUE.to_vec());
        Ok(Step::Commit(outbox::append(commit, Ledger::Reviews, entry.to_bytes()), Ok(())))
    }
}

/// The row of a published review that was pruned, as far as the listing tells it.
fn as_listed(listed: &ListedRow) -> Settled {
    let digest = listed.review.digest();
    Settled {
        standing: Standing::Published,
        submitted: digest,
        listed: digest,
        in_force: digest,
        published_at: listed.published_at,
        last: None,
        waiting: None,
        evidence: None,
    }
}
