//! The tick: what becomes due at a boundary, and a cohort's publication.
//!
//! The schedule's rows are the only memory of what remains to be done. Each is deleted in
//! the commit that does it, so that a tick may end anywhere: the next one goes on.

use super::histogram::Histograms;
use super::reading::PublishedReview;
use super::rows::{self, CHUNK, CohortRow, Due, ListedRow, MarkRow, RewrittenRow, Task};
use super::spent::{SentRow, SpentRow, State, WaitingRow};
use super::{Core, DeskError};
use crate::clock::{self, ClockRow};
use std::collections::BTreeSet;
use unjoin_core::Timestamp;
use unjoin_core::entry::{HeldWithdrawalEntry, Ledger};
use unjoin_core::serialize_as_object;
use unjoin_core::token::{CohortManifest, Review, ReviewId, Scope};
use unjoin_core::wire::Message;
use unjoin_log::outbox;
use unjoin_store::{
    Bucket, Change, Decision, Key, Present, Record, Store, StoreError, decide, decide_all, read,
};

/// The schedule is worked off in parts of about this many rows.
const DUE_AT_ONCE: usize = 1024;
/// Publications are committed together once they hold this many reviews.
const HELD_AT_ONCE: usize = 4096;

/// What a tick has done.
///
/// ```
/// use unjoin::review::DeskReport;
/// let report = DeskReport::default();
/// // What a failed item holds up is itself alone.
/// let reviews: usize = report.batches.iter().map(|batch| batch.reviews.len()).sum();
/// assert_eq!((reviews, report.failed.len()), (0, 0));
/// ```
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
    /// How many cohorts were pruned: the rows of their spent tokens are gone.
    pub pruned_cohorts: usize,
    /// Whether the store was rewritten.
    pub rewritten: bool,
    /// What could not be done and stays due: a key that is missing from the ring, a row that
    /// does not decode. It does not hold up the rest.
    pub failed: Vec<DeskError>,
}

/// What was published of one cohort at one boundary.
///
/// ```
/// # use unjoin::{Name, token::Scope};
/// use unjoin::{Grid, Timestamp, review::Batch};
/// # let scope = Scope::new([2; 32], Name::new("lamps")?, 77);
/// let boundary = Grid::Daily.next_after(Timestamp::from_unix_seconds(1_700_000_000));
/// let batch = Batch { scope, at_least: 20, boundary, reviews: vec![] };
/// // All of them bear the one date.
/// assert!(batch.reviews.iter().all(|review| review.published_at == batch.boundary));
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The cohort.
    pub scope: Scope,
    /// How many distinct customers of standing, at the least, could have written each review.
    pub at_least: u32,
    /// The boundary, the date of all of them.
    pub boundary: Timestamp,
    /// The reviews, shuffled.
    pub reviews: Vec<PublishedReview>,
}

serialize_as_object!(
    Batch | batch | scope = batch.scope,
    at_least = batch.at_least,
    boundary = batch.boundary,
    reviews = batch.reviews
);

impl<S: Store> Core<S> {
    pub(super) fn tick(&self) -> Result<DeskReport, DeskError> {
        let now = clock::tick::<_, DeskError>(&*self.store, &rows::clock(), &self.environment)?;
        let mut report = DeskReport::default();
        let mut due = Vec::new();
        let mut pages = rows::due_by(&*self.store, now);
        while let Some(page) = pages.next()? {
            for found in &page {
                match Due::from_key(found.key.bytes()) {
                    Ok(found) => due.push(found),
                    Err(error) => report.fail(error.into())?,
                }
            }
            if due.len() >= DUE_AT_ONCE {
                self.do_due(&std::mem::take(&mut due), &mut report)?;
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
            let Err(error) = self.do_group(group, report) else { continue };
            if error.ends_the_tick() || group.len() == 1 {
                report.fail(error)?;
                continue;
            }
            // A row of one cohort, perhaps, which the others do not wait for.
            for due in group {
                if let Err(error) = self.do_group(&[*due], report) {
                    report.fail(error)?;
                }
            }
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

    /// Publishes what each cohort holds for its boundary, each in a commit of its own; the
    /// commits share their durable writes.
    ///
    /// First the boundaries are sealed, in commits of their own. From then on nothing is
    /// accepted for them, so that the scans find all of it. A crash in between leaves the
    /// task due and everything held.
    fn publish(&self, due: Vec<&Due>, report: &mut DeskReport) -> Result<(), DeskError> {
        let seals = decide_all(&*self.store, due.iter().map(|due| Ok(seal(due))).collect());
        let mut publications = Vec::new();
        let mut held = 0;
        for (due, manifest) in due.into_iter().zip(seals) {
            match manifest.and_then(|manifest| self.gather(due, manifest.at_least)) {
                Ok(publication) => {
                    held += publication.reviews();
                    publications.push(publication);
                }
                Err(error) => report.fail(error)?,
            }
            if held >= HELD_AT_ONCE {
                self.publish_gathered(std::mem::take(&mut publications), report)?;
                held = 0;
            }
        }
        self.publish_gathered(publications, report)
    }

    /// A cohort of which an author took something back since it was gathered is gathered again. That ends: each
    /// time there is one less to take back.
    fn publish_gathered<'a>(
        &'a self,
        mut publications: Vec<Publication<'a, S>>,
        report: &mut DeskReport,
    ) -> Result<(), DeskError> {
        while !publications.is_empty() {
            let cohorts: Vec<(&'a Due, u32)> =
                publications.iter().map(|each| (each.due, each.at_least)).collect();
            let decisions = publications.drain(..).map(|publication| Ok(publication.into_decision()));
            let published = decide_all(&*self.store, decisions.collect());
            for ((due, at_least), published) in cohorts.into_iter().zip(published) {
                match published {
                    Ok(Published::Done(batch)) => report.batches.extend(batch),
                    Ok(Published::Others) => match self.gather(due, at_least) {
                        Ok(publication) => publications.push(publication),
                        Err(error) => report.fail(error)?,
                    },
                    Err(error) => report.fail(error)?,
                }
            }
        }
        Ok(())
    }

    /// Finds what a cohort holds for a boundary that is sealed. Under a key that the ring lacks nothing is
    /// published: it could not be opened.
    fn gather<'a>(&'a self, due: &'a Due, at_least: u32) -> Result<Publication<'a, S>, DeskError> {
        self.ring().find(due.scope.key_id()).ok_or(DeskError::UnknownKey)?;
        let (mut held, mut taken_back) = (Vec::new(), Vec::new());
        let mut pages = rows::spent_of(&*self.store, &due.scope);
        while let Some(page) = pages.next()? {
            for found in page {
                let spent = found.row()?;
                if spent.published_at != due.time {
                    continue;
                }
                match spent.state {
                    State::Held => held.push((rows::id_of(&found.key)?, found.key)),
                    State::TakenBack => taken_back.push(found.key),
                    _ => {}
                }
            }
        }
        Ok(Publication { core: self, due, at_least, held, taken_back })
    }

    /// Marks the bucket as changed, so that the tick rewrites the store.
    pub(super) fn mark(&self, change: &mut Change) {
        let mut fresh = vec![0; 16];
        self.rng().fill_bytes(&mut fresh);
        change.put(&rows::mark(change.bucket()), &MarkRow(fresh));
    }

    pub(super) fn confirm_clock(&self, now: Timestamp) -> Result<(), DeskError> {
        let key = rows::clock();
        decide(&*self.store, key.clone(), |row, change| {
            change.put(&key, &ClockRow::confirmed(row, now));
            Ok(())
        })
    }

    /// Rewrites the store once after every boundary, and again if a late tick changed any
    /// bucket since. So held rows, too, lie in the order of their arrival until the next
    /// boundary at the longest. What remembers that it is to be done changes only after the
    /// rewrite: a crash before that is made good by the next tick.
    fn rewrite_if_due(&self, now: Timestamp) -> Result<bool, DeskError> {
        let boundary = self.grid.at_or_before(now).unwrap_or(Timestamp::ZERO);
        let (last, marks) = (rows::rewritten(), Bucket::all().map(rows::mark).collect::<Vec<_>>());
        let (rewritten, marked) = read(&*self.store, &(last.clone(), marks.clone()))?;
        let mut done = Vec::new();
        // What changed since the rows were read is the next tick's.
        for (key, mark) in marks.into_iter().zip(marked).filter(|(_, mark)| mark.is_some()) {
            done.push(Ok(Decision::new(key.clone(), move |row, change| {
                if row == mark {
                    change.delete(&key);
                }
                Ok::<_, StoreError>(())
            })));
        }
        if rewritten.is_none_or(|row| row.0 < boundary) {
            done.push(Ok(Decision::new(last.clone(), move |row, change| {
                if row == rewritten {
                    change.put(&last, &RewrittenRow(boundary));
                }
                Ok(())
            })));
        }
        if done.is_empty() {
            return Ok(false);
        }
        self.store.rewrite()?;
        decide_all(&*self.store, done).into_iter().collect::<Result<(), _>>()?;
        Ok(true)
    }
}

impl DeskReport {
    /// A failed store ends the tick; anything else is an operator's and stays due.
    fn fail(&mut self, error: DeskError) -> Result<(), DeskError> {
        if error.ends_the_tick() {
            return Err(error);
        }
        self.failed.push(error);
        Ok(())
    }
}

/// What waits for the same boundary at the same merchant shares a commit.
fn may_share_a_commit(a: &Due, b: &Due) -> bool {
    let both_apply = matches!((a.task, b.task), (Task::Apply(_), Task::Apply(_)));
    both_apply && a.time == b.time && a.scope.merchant() == b.scope.merchant()
}

/// Closes a boundary of a cohort to further reviews; the answer is the cohort's manifest.
fn seal(due: &Due) -> Decision<'_, CohortManifest, DeskError> {
    let key = rows::cohort(&due.scope);
    Decision::new(key.clone(), move |cohort: Option<CohortRow>, change| {
        let cohort = cohort.ok_or(StoreError::Corrupt(CohortRow::NAME))?;
        let manifest = cohort.manifest.clone();
        let dates = manifest.publications.as_slice();
        let sealed = dates.iter().filter(|date| **date <= due.time).count() as u8;
        if cohort.sealed < sealed {
            change.put(&key, &CohortRow { sealed, ..cohort });
        }
        Ok(manifest)
    })
}

/// What became of a cohort's publication.
enum Published {
    /// What was published, unless it is nothing.
    Done(Option<Batch>),
    /// Nothing: other reviews are held by now than were gathered.
    Others,
}

/// Publishes everything that a sealed boundary holds, in one commit.
struct Publication<'a, S> {
    core: &'a Core<S>,
    due: &'a Due,
    at_least: u32,
    /// The reviews that are held for this boundary, in the order of their ids, and where their tokens' rows are.
    held: Vec<(ReviewId, Key<SpentRow>)>,
    /// The tokens' rows of those that were taken back while they were.
    taken_back: Vec<Key<SpentRow>>,
}

impl<'a, S: Store> Publication<'a, S> {
    fn reviews(&self) -> usize {
        self.held.len().saturating_add(self.taken_back.len())
    }

    /// Each review's rows are read once. What was sent and what waits changes with the token's row alone, so that
    /// one is the precondition.
    fn into_decision(self) -> Decision<'a, Published, DeskError> {
        let (due, scope) = (self.due.key(), &self.due.scope);
        let counted = Histograms::keys(&BTreeSet::from([scope]));
        let held = self.held.iter().map(|(_, spent)| (spent.clone(), rows::sent_with(spent))).collect();
        let taken_back = self.taken_back.iter().map(|spent| (spent.clone(), rows::waiting_with(spent)));
        let keys: (Vec<_>, Vec<_>) = (held, taken_back.collect());
        let reads = (due.clone(), counted.clone(), keys.0.clone(), keys.1.clone());
        Decision::new(reads, move |(scheduled, histograms, held, taken_back), change| {
            let Some(Present) = scheduled else {
                // Another tick has done it.
                return Ok(Published::Done(None));
            };
            let corrupt = || DeskError::from(StoreError::Corrupt(SpentRow::NAME));
            let is_taken_back = |(spent, _): &(Option<SpentRow>, _)| {
                spent.as_ref().is_some_and(|spent| spent.state == State::TakenBack)
            };
            if held.iter().any(is_taken_back) {
                return Ok(Published::Others);
            }
            change.guarded_by(&due);
            counted.iter().for_each(|key| change.guarded_by(key));
            change.delete(&due);
            let mut histograms = Histograms::new(&counted, histograms);
            let mut published = Vec::with_capacity(held.len());
            for (((id, _), (spent_at, sent_at)), rows) in self.held.iter().zip(&keys.0).zip(held) {
                let (Some(spent), Some(SentRow { presentation, held: Some(review) })) = rows else {
                    return Err(corrupt());
                };
                if spent.state != State::Held {
                    return Err(corrupt());
                }
                published.push(self.list(*id, &spent, review, change));
                change.guarded_by(spent_at);
                change.put(spent_at, &SpentRow { state: State::Published, ..spent });
                change.put(sent_at, &SentRow { presentation, held: None });
            }
            for ((spent_at, waiting_at), rows) in keys.1.iter().zip(taken_back) {
                let (Some(spent), Some(waiting)) = rows else {
                    return Err(corrupt());
                };
                if spent.state != State::TakenBack {
                    return Err(corrupt());
                }
                self.log_taken_back(&spent, waiting, change);
                change.guarded_by(spent_at);
                change.put(spent_at, &SpentRow { state: State::Withdrawn, ..spent });
                change.delete(waiting_at);
            }
            let stars: Vec<u8> = published.iter().map(|shown| shown.review.stars()).collect();
            histograms.count(scope, &stars)?;
            histograms.write(change);
            if self.reviews() > 0 {
                self.core.mark(change);
            }
            let batch = Batch {
                scope: self.due.scope.clone(),
                at_least: self.at_least,
                boundary: self.due.time,
                reviews: self.shuffled(published),
            };
            Ok(Published::Done(Some(batch).filter(|batch| !batch.reviews.is_empty())))
        })
    }

    /// No group operation: the token's row says what the entry commits to. The presentation stays as
    /// it came, and is proved when evidence is asked for.
    fn list(&self, id: ReviewId, spent: &SpentRow, review: Review, change: &mut Change) -> PublishedReview {
        let (scope, published_at) = (&self.due.scope, self.due.time);
        let listed = ListedRow { scope: scope.clone(), published_at, edited: false, review };
        change.put(&rows::listed(scope.merchant(), &id), &listed);
        outbox::put(change, Ledger::Reviews, spent.entry(scope.clone(), id).to_bytes());
        listed.into_published(id)
    }

    fn log_taken_back(&self, spent: &SpentRow, waiting: WaitingRow, change: &mut Change) {
        for action in waiting.actions {
            let entry = HeldWithdrawalEntry {
                action,
                author_key: spent.author_key,
                presentation_hash: spent.presentation_hash,
                boundary: self.due.time,
            };
            outbox::put(change, Ledger::Reviews, entry.to_bytes());
        }
    }

    /// By random keys, all of one draw: two of 128 bits that are the same are not met with.
    fn shuffled(&self, reviews: Vec<PublishedReview>) -> Vec<PublishedReview> {
        let mut keys = vec![0; reviews.len().saturating_mul(16)];
        self.core.rng().fill_bytes(&mut keys);
        let (keys, _) = keys.as_chunks::<16>();
        let mut keyed: Vec<([u8; 16], PublishedReview)> = keys.iter().copied().zip(reviews).collect();
        keyed.sort_unstable_by_key(|(key, _)| *key);
        keyed.into_iter().map(|(_, review)| review).collect()
    }
}
