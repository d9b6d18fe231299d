//! The tick: what becomes due at a boundary, and a cohort's publication.
//!
//! The schedule's rows are the only memory of what remains to be done. Each is deleted in
//! the commit that does it, so that a tick may end anywhere: the next one goes on.

use super::reading::{PublishedReview, Rating};
use super::rows::{self, Due, Task};
use super::values::{
    CohortRow, Evidence, Held, ListedRow, ReviewRow, RewrittenRow, Settled, Standing, Stored, TakenBack,
    read_presentation, read_row,
};
use super::{Core, DeskError};
use crate::ledger::{Ledger, PublishedEntry, WithdrawnEntry, outbox};
use crate::secret::below;
use crate::store::decide::{Decision, Step, run};
use crate::store::{Bucket, Commit, RowKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::{Accepted, CohortManifest, KeyPair, ReviewId, Scope};
use crate::wire::Message;
use std::sync::Arc;

/// So many rows are read, or changed in one commit, at a time; a cohort is published whole.
pub(super) const CHUNK: usize = 256;
/// So much of the schedule is taken up at a time.
const DUE_AT_ONCE: usize = 1024;
/// Publications are committed together once they hold so many reviews.
const HELD_AT_ONCE: usize = 4096;

/// What a tick has done.
#[derive(Debug, Default)]
#[must_use = "what failed needs an operator"]
pub struct DeskReport {
    /// The cohorts of which something was published.
    pub batches: Vec<Batch>,
    /// How many edits took effect.
    pub edits: usize,
    /// How many withdrawals of published reviews took effect.
    pub withdrawals: usize,
    /// How many cohorts' escrows were erased.
    pub erased_cohorts: usize,
    /// Of how many cohorts the spent tokens' rows were pruned.
    pub pruned_cohorts: usize,
    /// Whether the store was rewritten.
    pub rewritten: bool,
    /// What could not be done and stays due: a key that is missing from the ring, a row that
    /// does not decode. It does not hold up the rest.
    pub failed: Vec<DeskError>,
}

/// What was published of one cohort at one boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The cohort.
    pub scope: Scope,
    /// At least so many distinct customers of standing could have written each review.
    pub at_least: u32,
    /// The boundary, the date of all of them.
    pub boundary: Timestamp,
    /// The reviews, shuffled.
    pub reviews: Vec<PublishedReview>,
}

impl<S: Store> Core<S> {
    pub(super) fn tick(&self) -> Result<DeskReport, DeskError> {
        let now = self.environment.now();
        let mut report = DeskReport::default();
        let mut due = Vec::new();
        for bucket in Bucket::all() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let found = self.store.scan(bucket, &rows::schedule(), after.as_deref(), CHUNK)?;
                let known = due.len();
                for row in &found {
                    due.push(Due::from_key(&row.key)?);
                }
                due.retain(|due| due.time <= now);
                // The schedule is in the order of its times.
                let complete = found.len() < CHUNK || due.len() < known + found.len();
                if due.len() >= DUE_AT_ONCE {
                    self.do_due(&std::mem::take(&mut due), &mut report)?;
                }
                if complete {
                    break;
                }
                after = found.last().map(|row| row.key.clone());
            }
        }
        self.do_due(&due, &mut report)?;
        report.rewritten = self.rewrite_if_due(now)?;
        Ok(report)
    }

    /// Does what is due. Publications of all merchants share their durable commits; what
    /// changes a published review comes after them.
    fn do_due(&self, due: &[Due], report: &mut DeskReport) -> Result<(), DeskError> {
        let is_publication = |due: &&Due| due.task == Task::Publish;
        self.publish(due.iter().filter(is_publication).collect(), report)?;
        let rest: Vec<&Due> = due.iter().filter(|due| !is_publication(due)).collect();
        let groups = rest.chunk_by(|a, b| may_share_a_commit(a, b)).flat_map(|group| group.chunks(CHUNK));
        for group in groups {
            self.note(self.do_group(group, report), report)?;
        }
        Ok(())
    }

    fn do_group(&self, group: &[&Due], report: &mut DeskReport) -> Result<(), DeskError> {
        let Some(first) = group.first() else { return Ok(()) };
        match first.task {
            Task::Apply(_) => {
                let applied = self.apply(group)?;
                report.edits += applied.edits;
                report.withdrawals += applied.withdrawals;
            }
            Task::Erase => report.erased_cohorts += usize::from(self.erase(first)?),
            Task::Prune => report.pruned_cohorts += usize::from(self.prune(first)?),
            Task::Publish => {}
        }
        Ok(())
    }

    /// A failed store ends the tick; anything else is an operator's and stays due.
    fn note(&self, done: Result<(), DeskError>, report: &mut DeskReport) -> Result<(), DeskError> {
        match done {
            Err(error) if error.ends_the_tick() => return Err(error),
            Err(error) => report.failed.push(error),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Publishes what each cohort holds for its boundary, each in a commit of its own; the
    /// commits share their durable writes.
    ///
    /// First the boundaries are sealed, in commits of their own: from then on nothing is
    /// accepted for them, so that the scans find all of it. A crash in between leaves the
    /// task due and everything held.
    fn publish(&self, due: Vec<&Due>, report: &mut DeskReport) -> Result<(), DeskError> {
        let mut seals: Vec<Seal<'_>> = due.iter().map(|due| Seal { due }).collect();
        let manifests = run(&*self.store, &mut seals);
        let mut publications = Vec::new();
        let mut held = 0;
        for (due, manifest) in due.into_iter().zip(manifests) {
            let gathered = manifest.map_err(DeskError::from).and_then(|manifest| self.gather(due, manifest));
            match gathered {
                Ok(publication) => {
                    held += publication.ids.len();
                    publications.push(publication);
                }
                Err(error) => self.note(Err(error), report)?,
            }
            if held >= HELD_AT_ONCE {
                self.publish_gathered(std::mem::take(&mut publications), report)?;
                held = 0;
            }
        }
        self.publish_gathered(publications, report)
    }

    fn publish_gathered(
        &self,
        mut publications: Vec<Publication<'_, S>>,
        report: &mut DeskReport,
    ) -> Result<(), DeskError> {
        for published in run(&*self.store, &mut publications) {
            match published {
                Ok(batch) => report.batches.extend(batch),
                Err(error) => self.note(Err(error.into()), report)?,
            }
        }
        Ok(())
    }

    /// Finds what a cohort holds for a boundary that is sealed.
    fn gather<'a>(&'a self, due: &'a Due, manifest: CohortManifest) -> Result<Publication<'a, S>, DeskError> {
        let pair = Arc::clone(self.ring().find(due.scope.key_id()).ok_or(DeskError::UnknownKey)?);
        let cohort = CohortRow { manifest, sealed: 0 };
        let mut ids = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let (bucket, prefix) = (rows::bucket(due.scope.merchant()), rows::reviews_of(&due.scope));
            let found = self.store.scan(bucket, &prefix, after.as_deref(), CHUNK)?;
            for row in &found {
                let publish_by = match ReviewRow::from_value(&row.value)? {
                    ReviewRow::Held(held) => held.publish_by,
                    ReviewRow::TakenBack(taken) => taken.publish_by,
                    ReviewRow::Settled(_) => continue,
                };
                if cohort.boundary_of(publish_by) == due.time {
                    ids.push(rows::id_of(&row.key)?);
                }
            }
            after = found.last().map(|row| row.key.clone());
            if found.len() < CHUNK {
                break;
            }
        }
        Ok(Publication { core: self, due, cohort: cohort.manifest, pair, ids })
    }

    /// The mark that makes the next tick rewrite the store. Its value is fresh each time, so
    /// that a rewrite can tell whether something changed while it ran.
    pub(super) fn mark(&self, commit: Commit) -> Commit {
        let mut fresh = vec![0; 16];
        self.rng().fill_bytes(&mut fresh);
        let key = rows::mark(commit.bucket).key;
        commit.put(key, fresh)
    }

    /// Rewrites the store once after every boundary, and again if a late tick changed any
    /// bucket since: so held rows, too, lie in the order of their arrival until the next
    /// boundary at the longest. What remembers that it is to be done changes only after the
    /// rewrite: a crash before that is made good by the next tick.
    fn rewrite_if_due(&self, now: Timestamp) -> Result<bool, DeskError> {
        let boundary = self.grid.at_or_before(now).unwrap_or(Timestamp::ZERO);
        let last = rows::rewritten();
        let keys: Vec<RowKey> = Bucket::all().map(rows::mark).chain([last.clone()]).collect();
        let mut stored = self.store.read(&keys)?;
        let stored_last = stored.pop().flatten();
        let marked = keys.into_iter().zip(stored).filter_map(|(at, mark)| {
            let mark = mark?;
            Some(Commit::new(at.bucket).expect(&at.key, Some(&mark)).delete(at.key))
        });
        let mut commits: Vec<Commit> = marked.collect();
        let rewritten: Option<RewrittenRow> = read_row(stored_last.as_deref())?;
        if rewritten.is_none_or(|row| row.0 < boundary) {
            let commit = Commit::new(last.bucket).expect(&last.key, stored_last.as_deref());
            commits.push(commit.put(last.key, RewrittenRow(boundary).to_value()));
        }
        if commits.is_empty() {
            return Ok(false);
        }
        self.store.rewrite()?;
        // A conflict is a change since the rows were read: it is the next tick's.
        self.store.commit(&commits)?;
        Ok(true)
    }
}

/// What waits for the same boundary at the same merchant shares a commit.
fn may_share_a_commit(a: &Due, b: &Due) -> bool {
    let both_apply = matches!((a.task, b.task), (Task::Apply(_), Task::Apply(_)));
    both_apply && a.time == b.time && a.scope.merchant() == b.scope.merchant()
}

/// Closes a boundary of a cohort to further reviews; the answer is the cohort's manifest.
struct Seal<'a> {
    due: &'a Due,
}

impl Decision for Seal<'_> {
    type Answer = CohortManifest;

    fn keys(&self) -> Vec<RowKey> {
        vec![rows::cohort(&self.due.scope)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let stored = rows.first().and_then(Option::as_deref);
        let cohort = read_row::<CohortRow>(stored)?.ok_or(StoreError::Corrupt(CohortRow::NAME))?;
        let manifest = cohort.manifest.clone();
        let sealed = if self.due.time == manifest.first_publication { 1 } else { 2 };
        if cohort.sealed >= sealed {
            return Ok(Step::Answer(manifest));
        }
        let RowKey { bucket, key } = rows::cohort(&self.due.scope);
        let commit = Commit::new(bucket).expect(&key, stored);
        Ok(Step::Commit(commit.put(key, CohortRow { sealed, ..cohort }.to_value()), manifest))
    }
}

/// Publishes everything that a sealed boundary holds, in one commit.
struct Publication<'a, S> {
    core: &'a Core<S>,
    due: &'a Due,
    cohort: CohortManifest,
    pair: Arc<KeyPair>,
    /// The reviews that are held, or were taken back, for this boundary: in the order of
    /// their ids.
    ids: Vec<ReviewId>,
}

impl<S: Store> Decision for Publication<'_, S> {
    type Answer = Option<Batch>;

    fn keys(&self) -> Vec<RowKey> {
        let fixed = [self.due.row_key(), rows::rating(self.due.scope.merchant())];
        fixed.into_iter().chain(self.ids.iter().map(|id| rows::review(&self.due.scope, id))).collect()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let [Some(scheduled), stored_rating, reviews @ ..] = rows else {
            // Somebody else has done it.
            return Ok(Step::Answer(None));
        };
        let (scope, boundary) = (&self.due.scope, self.due.time);
        let rating_key = rows::rating(scope.merchant()).key;
        let mut rating: Rating = read_row(stored_rating.as_deref())?.unwrap_or_default();
        let key = self.due.key();
        let mut commit =
            Commit::new(rows::bucket(scope.merchant())).expect(&key, Some(scheduled)).delete(key);
        let mut published = Vec::new();
        for (id, stored) in self.ids.iter().zip(reviews) {
            let key = rows::review(scope, id).key;
            let row = match read_row::<ReviewRow>(stored.as_deref())? {
                Some(ReviewRow::Held(held)) => {
                    rating.count(held.review.stars())?;
                    let listed = ListedRow {
                        scope: scope.clone(),
                        published_at: boundary,
                        edited: false,
                        review: held.review.clone(),
                    };
                    published.push(PublishedReview {
                        review_id: *id,
                        scope: scope.clone(),
                        review: held.review.clone(),
                        published_at: boundary,
                        edited: false,
                    });
                    commit = commit.put(rows::listed(scope.merchant(), id).key, listed.to_value());
                    let (row, entry) = self.settle(id, held)?;
                    commit = outbox::append(commit, Ledger::Reviews, entry.to_bytes());
                    row
                }
                Some(ReviewRow::TakenBack(TakenBack { proof_hash, .. })) => {
                    let review_id = *id.as_bytes();
                    let entry = WithdrawnEntry { review_id, sequence: 1, proof_hash, boundary };
                    commit = outbox::append(commit, Ledger::Reviews, entry.to_bytes());
                    ReviewRow::TakenBack(TakenBack { publish_by: Some(boundary), proof_hash })
                }
                _ => return Err(StoreError::Corrupt(ReviewRow::NAME)),
            };
            commit = commit.expect(&key, stored.as_deref()).put(key, row.to_value());
        }
        if !published.is_empty() {
            commit = commit.expect(&rating_key, stored_rating.as_deref()).put(rating_key, rating.to_value());
        }
        if !self.ids.is_empty() {
            commit = self.core.mark(commit);
        }
        self.shuffle(&mut published);
        let batch =
            Batch { scope: scope.clone(), at_least: self.cohort.at_least, boundary, reviews: published };
        Ok(Step::Commit(commit, Some(batch).filter(|batch| !batch.reviews.is_empty())))
    }
}

impl<S: Store> Publication<'_, S> {
    /// The row of a review that is published now. Nothing in it tells whether it came before
    /// the manifest.
    fn settle(&self, id: &ReviewId, held: Held) -> Result<(ReviewRow, PublishedEntry), StoreError> {
        let presentation = read_presentation(&held.presentation)?;
        let accepted =
            Accepted::prove(&self.pair.issuer_key, &presentation, &held.digest, &mut *self.core.rng());
        let entry = PublishedEntry {
            review_id: *id.as_bytes(),
            review_digest: held.digest,
            presentation_hash: presentation.hash(),
            boundary: self.due.time,
        };
        let settled = Settled {
            standing: Standing::Published,
            submitted: held.digest,
            listed: held.digest,
            in_force: held.digest,
            published_at: self.due.time,
            last: None,
            waiting: None,
            evidence: Some(Evidence { presentation: held.presentation, accepted: accepted.to_bytes() }),
        };
        Ok((ReviewRow::Settled(Box::new(settled)), entry))
    }

    /// Fisher and Yates.
    fn shuffle(&self, reviews: &mut [PublishedReview]) {
        let mut rng = self.core.rng();
        for last in (1..reviews.len()).rev() {
            let other = usize::try_from(below(last as u64 + 1, &mut *rng)).unwrap_or(last);
            reviews.swap(last, other);
        }
    }
}
