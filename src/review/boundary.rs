//! What else happens at boundaries: edits, withdrawals and removals that waited, and the
//! erasure of escrows.

use super::publication::CHUNK;
use super::reading::Rating;
use super::rows::{self, Due, Task};
use super::values::{Change, LastAction, ListedRow, ReviewRow, Settled, Standing, Stored, Waiting, read_row};
use super::{Core, DeskError};
use crate::ledger::{EditedEntry, Ledger, WithdrawnEntry, outbox};
use crate::store::decide::{Decision, Step, run, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::token::ReviewId;
use crate::wire::Message;

/// What was applied.
#[derive(Clone, Copy, Default)]
pub(super) struct Applied {
    pub(super) edits: usize,
    pub(super) withdrawals: usize,
}

impl<S: Store> Core<S> {
    /// Applies what waited for one boundary at one merchant, in one commit.
    pub(super) fn apply(&self, due: &[&Due]) -> Result<Applied, DeskError> {
        let ids = due.iter().filter_map(|due| match due.task {
            Task::Apply(id) => Some((*due, id)),
            _ => None,
        });
        Ok(run_one(&*self.store, Application { core: self, due: ids.collect() })?)
    }

    /// Erases the escrows of a cohort; `false` while something of it is still held, because
    /// its publication failed. Each row is a decision of its own: a crash leaves the task due
    /// and the rest of the rows as they were.
    pub(super) fn erase(&self, due: &Due) -> Result<bool, DeskError> {
        let (bucket, prefix) = (rows::bucket(due.scope.merchant()), rows::reviews_of(&due.scope));
        let mut after: Option<Vec<u8>> = None;
        let mut all_settled = true;
        loop {
            let found = self.store.scan(bucket, &prefix, after.as_deref(), CHUNK)?;
            let mut erasures = Vec::new();
            for row in &found {
                match ReviewRow::from_value(&row.value)? {
                    ReviewRow::Held(_) => all_settled = false,
                    ReviewRow::Settled(settled) if settled.evidence.is_some() => {
                        erasures.push(Erasure { at: RowKey { bucket, key: row.key.clone() } });
                    }
                    _ => {}
                }
            }
            run(&*self.store, &mut erasures).into_iter().collect::<Result<(), _>>()?;
            after = found.last().map(|row| row.key.clone());
            if found.len() < CHUNK {
                break;
            }
        }
        if !all_settled {
            return Ok(false);
        }
        Ok(run_one(&*self.store, Erased { core: self, due })?)
    }
}

/// Applies what waits with some reviews of a merchant.
struct Application<'a, S> {
    core: &'a Core<S>,
    due: Vec<(&'a Due, ReviewId)>,
}

impl<S: Store> Decision for Application<'_, S> {
    type Answer = Applied;

    fn keys(&self) -> Vec<RowKey> {
        let merchant = self.due.first().map(|(due, _)| due.scope.merchant());
        let of_each = self.due.iter().flat_map(|(due, id)| {
            [due.row_key(), rows::review(&due.scope, id), rows::listed(due.scope.merchant(), id)]
        });
        merchant.map(rows::rating).into_iter().chain(of_each).collect()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let mut applied = Applied::default();
        let (Some((first, _)), Some((stored_rating, rest))) = (self.due.first(), rows.split_first()) else {
            return Ok(Step::Answer(applied));
        };
        let RowKey { bucket, key: rating_key } = rows::rating(first.scope.merchant());
        let mut rating: Rating = read_row(stored_rating.as_deref())?.unwrap_or_default();
        let mut commit = Commit::new(bucket).expect(&rating_key, stored_rating.as_deref());
        let mut changed = false;
        for ((due, id), stored) in self.due.iter().zip(rest.chunks(3)) {
            // An absent row of the schedule: somebody else has done it.
            let [Some(scheduled), Some(stored_review), stored_listed] = stored else { continue };
            let (schedule_key, review_key) = (due.key(), rows::review(&due.scope, id).key);
            commit = commit.expect(&schedule_key, Some(scheduled)).delete(schedule_key);
            commit = commit.expect(&review_key, Some(stored_review));
            let ReviewRow::Settled(mut settled) = ReviewRow::from_value(stored_review)? else {
                return Err(StoreError::Corrupt(ReviewRow::NAME));
            };
            let Some(waiting) = settled.waiting.take_if(|waiting| waiting.boundary == due.time) else {
                continue;
            };
            let listed_key = rows::listed(due.scope.merchant(), id).key;
            commit = commit.expect(&listed_key, stored_listed.as_deref());
            let listed = read_row::<ListedRow>(stored_listed.as_deref())?;
            let change = Effect { id, settled: &mut settled, rating: &mut rating, applied: &mut applied };
            commit = change.take(commit, listed_key, listed, waiting)?;
            commit = commit.put(review_key, ReviewRow::Settled(settled).to_value());
            changed = true;
        }
        if changed {
            commit = self.core.mark(commit.put(rating_key, rating.to_value()));
        }
        Ok(Step::Commit(commit, applied))
    }
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
        commit: Commit,
        listed_key: Vec<u8>,
        listed: Option<ListedRow>,
        Waiting { boundary, change }: Waiting,
    ) -> Result<Commit, StoreError> {
        let review = match change {
            Change::Uncount(stars) => {
                self.rating.uncount(stars)?;
                return Ok(commit);
            }
            Change::Withdraw => None,
            Change::Edit(review) => Some(review),
        };
        let listed = listed.ok_or(StoreError::Corrupt(ListedRow::NAME))?;
        let LastAction { sequence, proof_hash, .. } =
            self.settled.last.ok_or(StoreError::Corrupt(ReviewRow::NAME))?;
        let review_id = *self.id.as_bytes();
        self.rating.uncount(listed.review.stars())?;
        let (commit, entry) = match review {
            None => {
                self.applied.withdrawals += 1;
                self.settled.standing = Standing::Withdrawn;
                let entry = WithdrawnEntry { review_id, sequence, proof_hash, boundary };
                (commit.delete(listed_key), entry.to_bytes())
            }
            Some(review) => {
                self.applied.edits += 1;
                self.rating.count(review.stars())?;
                let review_digest = review.digest();
                self.settled.listed = review_digest;
                let entry = EditedEntry { review_id, sequence, review_digest, proof_hash, boundary };
                let row = ListedRow { edited: true, review, ..listed };
                (commit.put(listed_key, row.to_value()), entry.to_bytes())
            }
        };
        Ok(outbox::append(commit, Ledger::Reviews, entry))
    }
}

/// Erases one review's escrow.
struct Erasure {
    at: RowKey,
}

impl Decision for Erasure {
    type Answer = ();

    fn keys(&self) -> Vec<RowKey> {
        vec![self.at.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<()>, StoreError> {
        let stored = rows.first().and_then(Option::as_deref);
        match read_row::<ReviewRow>(stored)? {
            Some(ReviewRow::Settled(settled)) if settled.evidence.is_some() => {
                let RowKey { bucket, key } = self.at.clone();
                let row = ReviewRow::Settled(Box::new(Settled { evidence: None, ..*settled }));
                Ok(Step::Commit(Commit::new(bucket).expect(&key, stored).put(key, row.to_value()), ()))
            }
            _ => Ok(Step::Answer(())),
        }
    }
}

/// Ends a cohort's erasure. The mark makes the tick rewrite the store, so that the file lets
/// go of what was erased.
struct Erased<'a, S> {
    core: &'a Core<S>,
    due: &'a Due,
}

impl<S: Store> Decision for Erased<'_, S> {
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.due.row_key()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        let RowKey { bucket, key } = self.due.row_key();
        match rows.first().and_then(Option::as_deref) {
            None => Ok(Step::Answer(false)),
            scheduled => {
                let commit = Commit::new(bucket).expect(&key, scheduled).delete(key);
                Ok(Step::Commit(self.core.mark(commit), true))
            }
        }
    }
}
