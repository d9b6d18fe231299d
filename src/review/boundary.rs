//! What else happens at boundaries: edits, withdrawals and removals that waited, and the
//! erasure of escrows.

use super::reading::Rating;
use super::rows::{self, Due, ListedRow, RatingRow, Task};
use super::spent::{LastAction, ListingState, ReviewRow, Settled, Waiting, WaitingChange};
use super::{Core, DeskError};
use unjoin_core::entry::{EditedEntry, Ledger, WithdrawnEntry};
use unjoin_core::token::ReviewId;
use unjoin_core::wire::Message;
use unjoin_log::outbox;
use unjoin_store::{Change, Decision, Key, Record, Store, StoreError, decide, decide_all};

/// What was applied.
#[derive(Clone, Copy, Default)]
pub(super) struct Applied {
    pub(super) edits: usize,
    pub(super) withdrawals: usize,
}

impl<S: Store> Core<S> {
    /// Applies what waited for one boundary at one merchant, in one commit.
    pub(super) fn apply(&self, due: &[&Due]) -> Result<Applied, DeskError> {
        let Some(first) = due.first() else { return Ok(Applied::default()) };
        let (merchant, boundary) = (first.scope.merchant(), first.time);
        let of_each = |due: &&Due| match due.task {
            Task::Apply(id) => {
                Some((id, (due.key(), rows::review(&due.scope, &id), rows::listed(merchant, &id))))
            }
            _ => None,
        };
        let (ids, keys): (Vec<ReviewId>, Vec<_>) = due.iter().filter_map(of_each).unzip();
        let rating_key = rows::rating(merchant);
        decide(&*self.store, (rating_key.clone(), keys.clone()), |(rating, rows), change| {
            let mut applied = Applied::default();
            let RatingRow(mut rating) = rating.unwrap_or_default();
            let mut changed = false;
            for ((id, (due, review_key, listed_key)), rows) in ids.iter().zip(&keys).zip(rows) {
                // An absent row of the schedule: another tick has done it.
                let (Some(_), Some(review), listed) = rows else { continue };
                change.delete(due);
                let ReviewRow::Settled(mut settled) = review else {
                    return Err(StoreError::Corrupt(ReviewRow::NAME));
                };
                let Some(waiting) = settled.waiting.take_if(|waiting| waiting.boundary == boundary) else {
                    continue;
                };
                let (rating, applied) = (&mut rating, &mut applied);
                let effect = Effect { id, settled: &mut settled, rating, applied };
                effect.take(waiting, listed_key, listed, change)?;
                change.put(review_key, &ReviewRow::Settled(settled));
                changed = true;
            }
            if changed {
                change.put(&rating_key, &RatingRow(rating));
                self.mark(change);
            }
            Ok(applied)
        })
        .map_err(DeskError::from)
    }

    /// Erases the escrows of a cohort; `false` while something of it is still held, because
    /// its publication failed. Each row is a decision of its own: a crash leaves the task due
    /// and the rest of the rows as they were.
    pub(super) fn erase(&self, due: &Due) -> Result<bool, DeskError> {
        let mut pages = rows::reviews_of(&*self.store, &due.scope);
        let mut all_settled = true;
        while let Some(page) = pages.next()? {
            let mut erasures = Vec::new();
            for found in page {
                match found.row()? {
                    ReviewRow::Held(_) => all_settled = false,
                    ReviewRow::Settled(settled) if settled.evidence.is_some() => {
                        erasures.push(Ok(erase_escrow(found.key)));
                    }
                    _ => {}
                }
            }
            decide_all(&*self.store, erasures).into_iter().collect::<Result<(), StoreError>>()?;
        }
        Ok(all_settled && self.end_erasure(due)?)
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

fn erase_escrow(key: Key<ReviewRow>) -> Decision<'static, (), StoreError> {
    Decision::new(key.clone(), move |row, change| {
        match row {
            Some(ReviewRow::Settled(settled)) if settled.evidence.is_some() => {
                change.put(&key, &ReviewRow::settled(Settled { evidence: None, ..*settled }));
            }
            _ => {}
        }
        Ok(())
    })
}

/// One change that takes effect, and all that it touches.
struct Effect<'a> {
    id: &'a ReviewId,
    settled: &'a mut Settled,
    rating: &'a mut Rating,
    applied: &'a mut Applied,
}

impl Effect<'_> {
    fn take(
        self,
        Waiting { boundary, change: waiting }: Waiting,
        listed_key: &Key<ListedRow>,
        listed: Option<ListedRow>,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        let review = match waiting {
            WaitingChange::Uncount(stars) => return self.rating.uncount(stars),
            WaitingChange::Withdraw => None,
            WaitingChange::Edit(review) => Some(review),
        };
        let listed = listed.ok_or(StoreError::Corrupt(ListedRow::NAME))?;
        let LastAction { sequence, proof_hash, .. } =
            self.settled.last.ok_or(StoreError::Corrupt(ReviewRow::NAME))?;
        let review_id = *self.id;
        self.rating.uncount(listed.review.stars())?;
        let entry = match review {
            None => {
                self.applied.withdrawals += 1;
                self.settled.state = ListingState::Withdrawn;
                change.delete(listed_key);
                WithdrawnEntry { review_id, sequence, proof_hash, boundary }.to_bytes()
            }
            Some(review) => {
                self.applied.edits += 1;
                self.rating.count(review.stars())?;
                let review_digest = review.digest();
                self.settled.listed = review_digest;
                change.put(listed_key, &ListedRow { edited: true, review, ..listed });
                EditedEntry { review_id, sequence, review_digest, proof_hash, boundary }.to_bytes()
            }
        };
        outbox::put(change, Ledger::Reviews, entry);
        Ok(())
    }
}
