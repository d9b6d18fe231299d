//! After an older copy of the store was put back: what it does not know, the ledger does.
//!
//! Nothing is served meanwhile. Every step finds what it did before, so that a recovery that was
//! interrupted anywhere is run again from the beginning.
//!
//! | the copy has | the ledger has | afterwards |
//! |---|---|---|
//! | nothing | a publication | a *stub*: listed again with the words, which its author's device sends |
//! | nothing | a withdrawal while held | the id, refused for ever |
//! | a held review | nothing | its token, spent with this review; its words are gone |
//! | a held review | a publication, a withdrawal | what the ledger says |
//! | a listed review | later words, a withdrawal, a removal | what the ledger says; later words are missing |
//! | a change that waits | - | nothing: its author's device repeats it |
//! | a withdrawal while held, for a boundary that is sealed | nothing | logged at the next boundary |

use super::admission::{erased_at, pruned_at, put_cohort};
use super::histogram::Histograms;
use super::rows::{self, CHUNK, CohortRow, Due, ListedRow, MarkRow, Task};
use super::spent::{NO_DIGEST, SentRow, SpentRow, State, WaitingChange, WaitingRow};
use super::submission::Job;
use super::{Core, DeskConfig, DeskError, ReviewDesk};
use crate::recovery::{Recovery, RecoveryError, begin, end, is_unfinished};
use std::collections::{BTreeMap, BTreeSet};
use unjoin_audit::{History, kind, removals};
use unjoin_core::entry::{ActionEntry, HeldWithdrawalEntry, PublishedEntry, RecoveredStore, StaffKeyEntry};
use unjoin_core::token::{ActionKind, CohortManifest, PlatformPublicKey, ReviewId, Scope};
use unjoin_core::wire::Message;
use unjoin_core::{Environment, Grid, Timestamp};
use unjoin_store::{
    Bucket, Change, Decision, Found, Key, MessageRow, Present, Record, Store, StoreError, decide, decide_all,
};

/// What a recovery of the desk's store did.
///
/// ```
/// use unjoin::review::DeskRecovery;
/// let done = DeskRecovery { era: 2, held: 3, unlisted: 5, ..Default::default() };
/// // Eight reviews come back when their authors' devices send them again.
/// assert_eq!(done.held + done.unlisted, 8);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeskRecovery {
    /// The era that it began; receipts carry it from now on.
    pub era: u32,
    /// How many held reviews the copy had. Their words are gone; the very same review, sent again, is
    /// published.
    pub held: usize,
    /// How many published reviews the listing lacks, until their authors' devices send the words again.
    pub unlisted: usize,
    /// How many changes waited in the copy, and were dropped.
    pub changes: usize,
    /// How many cohorts the copy did not know.
    pub cohorts: usize,
}

impl<S: Store> ReviewDesk<S> {
    /// Whether a recovery of this store was begun and has not ended.
    pub(crate) fn is_in_recovery(store: &S) -> Result<bool, StoreError> {
        is_unfinished(store, &rows::recovery())
    }

    /// Goes on from an older copy of a desk's store that was put back. Brings it to what the reviews
    /// ledger says, and marks every token that the ledger has as spent. What an author may have taken
    /// back since the copy is dropped. Then the store may be opened, in a new era, and the recovery
    /// stands in its outbox for the ledger.
    ///
    /// `history` is the reviews ledger as the witnesses have it. First let the ledger take in what waits
    /// in the outboxes of all copies, and publish. Then read it, with the witnesses' own last checkpoint
    /// as the older one. `platform` verifies the keys of the staff. Grid and configuration are the
    /// desk's.
    ///
    /// It may be interrupted anywhere: run it again. Until it has ended the store is opened by nobody
    /// ([`RecoveryError::Unfinished`]).
    ///
    /// # Errors
    /// [`RecoveryError::UnknownStaff`], [`RecoveryError::Grounds`], [`RecoveryError::Eras`]: nothing was
    /// done. [`RecoveryError::Store`].
    pub fn recover(
        store: &S,
        grid: Grid,
        config: &DeskConfig,
        history: &History,
        platform: &PlatformPublicKey,
        recovery: &Recovery<'_>,
        environment: &Environment,
    ) -> Result<DeskRecovery, RecoveryError> {
        let (key, now) = (rows::recovery(), environment.now());
        let begun = begin(store, &key, RecoveredStore::Reviews, (history, platform), recovery, now)?;
        let said = Said::by(history, platform, grid);
        let mut work = Work {
            store,
            config,
            said: &said,
            environment,
            report: DeskRecovery { era: begun.era, ..DeskRecovery::default() },
            seen: BTreeSet::new(),
        };
        work.staff()?;
        work.cohorts()?;
        Bucket::all().try_for_each(|bucket| work.rows(bucket))?;
        work.stubs()?;
        work.withdrawn()?;
        let report = work.report;
        end(store, &key, begun.era)?;
        Ok(report)
    }
}

/// What the ledger says.
struct Said {
    /// As of then: what was due earlier is over.
    time: Timestamp,
    manifests: BTreeMap<Scope, CohortManifest>,
    /// The latest boundary of each cohort that the ledger has an entry of.
    reached: BTreeMap<Scope, Timestamp>,
    /// The rows of published reviews; `Unlisted` is one that is to be listed.
    published: BTreeMap<ReviewId, (Scope, SpentRow)>,
    /// Withdrawn while held.
    withdrawn: BTreeMap<ReviewId, HeldWithdrawalEntry>,
    /// The staff's keys.
    staff: BTreeSet<[u8; 32]>,
}

impl Said {
    fn by(history: &History, platform: &PlatformPublicKey, grid: Grid) -> Self {
        let mut said = Self {
            time: history.newer().1.median_time,
            manifests: BTreeMap::new(),
            reached: BTreeMap::new(),
            published: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            staff: BTreeSet::new(),
        };
        let origin = &history.newer().0.checkpoint().origin;
        let mut actions: BTreeMap<(ReviewId, u64), Vec<ActionEntry>> = BTreeMap::new();
        for entry in history.entries() {
            match kind(entry) {
                Some(CohortManifest::KIND) => said.manifest(CohortManifest::from_bytes(entry).ok(), grid),
                Some(PublishedEntry::KIND) => said.publication(PublishedEntry::from_bytes(entry).ok()),
                Some(HeldWithdrawalEntry::KIND) => {
                    said.withdrawal(HeldWithdrawalEntry::from_bytes(entry).ok())
                }
                Some(StaffKeyEntry::KIND) => {
                    let entry = StaffKeyEntry::from_bytes(entry).ok();
                    let entry = entry.filter(|entry| entry.verify(platform, origin).is_ok());
                    said.staff.extend(entry.map(|entry| *entry.staff_key()));
                }
                Some(ActionEntry::KIND) => {
                    let Ok(entry) = ActionEntry::from_bytes(entry) else { continue };
                    let statement = entry.action.statement();
                    actions.entry((statement.review_id, statement.sequence)).or_default().push(entry);
                }
                _ => {}
            }
        }
        let removed = removals(history, platform);
        let removed: BTreeSet<&ReviewId> =
            removed.values().flatten().map(|entry| entry.review_id()).collect();
        for (id, (_, row)) in &mut said.published {
            *row = after_all(row.clone(), id, &actions);
            if removed.contains(id) {
                row.state = State::Removed;
            }
        }
        said
    }

    fn manifest(&mut self, manifest: Option<CohortManifest>, grid: Grid) {
        let on_grid = |time| grid.at_or_before(time) == Some(time);
        if let Some(manifest) = manifest
            && manifest.publications.as_slice().iter().all(|date| on_grid(*date))
        {
            self.manifests.entry(manifest.scope.clone()).or_insert(manifest);
        }
    }

    fn publication(&mut self, entry: Option<PublishedEntry>) {
        let Some(entry) = entry else { return };
        let reached = self.reached.entry(entry.scope.clone()).or_insert(entry.boundary);
        *reached = entry.boundary.max(*reached);
        let row =
            SpentRow::held(entry.review_digest, entry.presentation_hash, entry.author_key, entry.boundary);
        let row = SpentRow { state: State::Unlisted, ..row };
        self.published.entry(entry.review_id).or_insert((entry.scope, row));
    }

    fn withdrawal(&mut self, entry: Option<HeldWithdrawalEntry>) {
        let Some(entry) = entry else { return };
        let id = entry.action.statement().review_id;
        if entry.action.verify(&entry.author_key, &id).is_ok() {
            self.withdrawn.entry(id).or_insert(entry);
        }
    }

    /// How many boundaries of a cohort are over.
    fn sealed(&self, manifest: &CohortManifest) -> u8 {
        let reached = self.reached.get(&manifest.scope).copied().unwrap_or(Timestamp::ZERO).max(self.time);
        manifest.publications.as_slice().iter().filter(|end| **end <= reached).count() as u8
    }
}

/// A published review after the actions that its author signed, as far as they continue one another.
fn after_all(
    mut row: SpentRow,
    id: &ReviewId,
    actions: &BTreeMap<(ReviewId, u64), Vec<ActionEntry>>,
) -> SpentRow {
    loop {
        let next = actions.get(&(*id, row.sequence.saturating_add(1))).into_iter().flatten().find(|entry| {
            entry.action.statement().continues(row.sequence, &row.in_force)
                && entry.action.verify(&row.author_key, id).is_ok()
        });
        let Some(ActionEntry { action, boundary }) = next else { return row };
        row = row.after(action, *boundary);
        if action.statement().kind == ActionKind::Withdraw {
            return SpentRow { state: State::Withdrawn, ..row };
        }
    }
}

struct Work<'a, S> {
    store: &'a S,
    config: &'a DeskConfig,
    said: &'a Said,
    environment: &'a Environment,
    report: DeskRecovery,
    /// The ids that the copy has a row of.
    seen: BTreeSet<ReviewId>,
}

/// The keys of a review that the copy has.
type Keys = (Key<SpentRow>, Key<SentRow>, Key<WaitingRow>, Key<ListedRow>);

impl<S: Store> Work<'_, S> {
    /// Admits the staff's keys that the copy does not know.
    fn staff(&self) -> Result<(), RecoveryError> {
        let puts = self.said.staff.iter().map(|staff_key| {
            let key = rows::staff(staff_key);
            Ok(Decision::new(key.clone(), move |row, change| {
                if row.is_none() {
                    change.put(&key, &Present);
                }
                Ok::<_, RecoveryError>(())
            }))
        });
        decide_all(self.store, puts.collect()).into_iter().collect()
    }

    /// Takes the ledger's manifests and seals every boundary that is over.
    fn cohorts(&mut self) -> Result<(), RecoveryError> {
        let admissions: Vec<_> =
            self.said.manifests.values().map(|manifest| Ok(self.cohort(manifest))).collect();
        for admitted in decide_all(self.store, admissions) {
            self.report.cohorts += usize::from(admitted?);
        }
        Ok(())
    }

    fn cohort<'b>(&'b self, manifest: &'b CohortManifest) -> Decision<'b, bool, RecoveryError> {
        let key = rows::cohort(&manifest.scope);
        Decision::new(key.clone(), move |row: Option<CohortRow>, change| {
            let is_new = row.is_none();
            if is_new {
                put_cohort(self.config, manifest, change);
            }
            let row = row.unwrap_or_else(|| CohortRow { manifest: manifest.clone(), sealed: 0 });
            let sealed = self.said.sealed(&row.manifest);
            if sealed > row.sealed || is_new {
                change
                    .put(&key, &CohortRow { manifest: row.manifest.clone(), sealed: sealed.max(row.sealed) });
            }
            // Nothing of the copy is published at a boundary that is over.
            for &time in row.manifest.publications.as_slice().iter().take(sealed.into()) {
                change.delete(&Due { time, task: Task::Publish, scope: manifest.scope.clone() }.key());
            }
            Ok(is_new)
        })
    }

    /// Brings every review that the copy has to what the ledger says.
    fn rows(&mut self, bucket: Bucket) -> Result<(), RecoveryError> {
        let mut pages = rows::spent_in(self.store, bucket);
        while let Some(page) = pages.next()? {
            let reviews: Vec<(Scope, ReviewId)> = page
                .iter()
                .map(|found: &Found<SpentRow>| rows::review_of(&found.key))
                .collect::<Result<_, _>>()?;
            self.page(&reviews)?;
            self.seen.extend(reviews.into_iter().map(|(_, id)| id));
        }
        Ok(())
    }

    fn page(&mut self, reviews: &[(Scope, ReviewId)]) -> Result<(), RecoveryError> {
        let scopes: BTreeSet<&Scope> = reviews.iter().map(|(scope, _)| scope).collect();
        let counted = Histograms::keys(&scopes);
        let cohorts: Vec<Key<CohortRow>> = scopes.iter().map(|scope| rows::cohort(scope)).collect();
        let keys: Vec<Keys> = reviews.iter().map(|(scope, id)| keys_of(scope, id)).collect();
        let said = self.said;
        let report = decide(self.store, (counted.clone(), cohorts, keys.clone()), |rows, change| {
            let (histograms, cohorts, rows) = rows;
            let mut histograms = Histograms::new(&counted, histograms);
            let mut report = DeskRecovery::default();
            let mut changed = false;
            for (((scope, id), keys), rows) in reviews.iter().zip(&keys).zip(rows) {
                let cohort = scopes.iter().position(|known| *known == scope);
                let cohort = cohort.and_then(|at| cohorts.get(at)).and_then(Option::as_ref);
                let (Some(spent), sent, waiting, listed) = rows else { continue };
                let is_held = sent.is_some_and(|sent| sent.held.is_some());
                let review = Review { scope, id, keys, spent, waiting, listed, is_held };
                changed |= review.settle(said, cohort, &mut histograms, &mut report, change)?;
            }
            histograms.write(change);
            if changed {
                let mut fresh = vec![0; 16];
                self.environment.rng().fill_bytes(&mut fresh);
                change.put(&rows::mark(change.bucket()), &MarkRow(fresh));
            }
            Ok::<_, RecoveryError>(report)
        })?;
        self.report.held += report.held;
        self.report.unlisted += report.unlisted;
        self.report.changes += report.changes;
        Ok(())
    }

    /// Puts a stub for each published review that the copy does not know. One that was withdrawn or
    /// removed so long ago that its row would be pruned is refused by its window.
    fn stubs(&mut self) -> Result<(), RecoveryError> {
        let mut of_scope: BTreeMap<&Scope, Vec<(&ReviewId, &SpentRow)>> = BTreeMap::new();
        for (id, (scope, row)) in self.said.published.iter().filter(|(id, _)| !self.seen.contains(id)) {
            let over = |manifest: &CohortManifest| pruned_at(self.config, manifest) <= self.said.time;
            if row.state == State::Unlisted || !self.said.manifests.get(scope).is_some_and(over) {
                of_scope.entry(scope).or_default().push((id, row));
            }
        }
        for (scope, stubs) in of_scope {
            for stubs in stubs.chunks(CHUNK) {
                let keys: Vec<_> = stubs.iter().map(|(id, _)| rows::spent(scope, id)).collect();
                self.report.unlisted += decide(self.store, keys.clone(), |rows, change| {
                    let mut unlisted = 0;
                    for ((key, (_, stub)), row) in keys.iter().zip(stubs).zip(rows) {
                        if row.is_none() {
                            change.put(key, *stub);
                            unlisted += usize::from(stub.state == State::Unlisted);
                        }
                    }
                    Ok::<_, StoreError>(unlisted)
                })?;
            }
        }
        Ok(())
    }

    /// Keeps the ids of withdrawn reviews that the copy does not know.
    fn withdrawn(&self) -> Result<(), RecoveryError> {
        let unknown = self.said.withdrawn.iter().filter(|(id, _)| !self.seen.contains(id));
        let puts = unknown.map(|(id, entry)| {
            let key = rows::withdrawn(id);
            Ok(Decision::new(key.clone(), move |row, change| {
                if row.is_none() {
                    change.put(&key, &MessageRow(entry.clone()));
                }
                Ok::<_, RecoveryError>(())
            }))
        });
        decide_all(self.store, puts.collect()).into_iter().collect()
    }
}

fn keys_of(scope: &Scope, id: &ReviewId) -> Keys {
    (
        rows::spent(scope, id),
        rows::sent(scope, id),
        rows::waiting(scope, id),
        rows::listed(scope.merchant(), id),
    )
}

/// A review that the copy has.
struct Review<'a> {
    scope: &'a Scope,
    id: &'a ReviewId,
    keys: &'a Keys,
    spent: SpentRow,
    is_held: bool,
    waiting: Option<WaitingRow>,
    listed: Option<ListedRow>,
}

impl Review<'_> {
    /// The answer is whether anything changed.
    fn settle(
        mut self,
        said: &Said,
        cohort: Option<&CohortRow>,
        histograms: &mut Histograms,
        report: &mut DeskRecovery,
        change: &mut Change,
    ) -> Result<bool, StoreError> {
        let before = (self.spent.clone(), self.waiting.is_some());
        if self.is_held {
            report.held += 1;
            change.delete(&self.keys.1);
        }
        if self.spent.state == State::Held {
            self.spent.state = State::Awaited;
        }
        self.drop_what_waits(report, change);
        let logged = said.published.get(self.id).filter(|(scope, _)| scope == self.scope);
        if let Some((_, logged)) = logged {
            self.take(logged, histograms, report, change)?;
        } else if let State::Awaited | State::TakenBack = self.spent.state {
            if let Some(logged) = said.withdrawn.get(self.id) {
                self.end_waiting(change);
                self.spent = SpentRow::taken_back(logged);
            } else if self.spent.state == State::TakenBack {
                self.log_later(cohort, change);
            }
        }
        if self.spent != before.0 {
            change.put(&self.keys.0, &self.spent);
        }
        Ok(self.is_held || self.spent != before.0 || self.waiting.is_some() != before.1)
    }

    /// An edit or a withdrawal of a published review: the next one may have overtaken it. The review
    /// stands where it stood before; the ledger tells of the actions before that.
    fn drop_what_waits(&mut self, report: &mut DeskRecovery, change: &mut Change) {
        let Some(waiting) = &self.waiting else { return };
        if let State::TakenBack | State::Removed = self.spent.state {
            return;
        }
        if let Some(first) = waiting.actions.first().map(|action| *action.statement()) {
            report.changes += 1;
            self.spent.sequence = first.sequence.saturating_sub(1);
            self.spent.in_force = first.previous_digest;
            self.spent.last_action = NO_DIGEST;
            self.spent.changed_at = self.spent.published_at;
        }
        self.end_waiting(change);
    }

    fn end_waiting(&mut self, change: &mut Change) {
        if let Some(waiting) = self.waiting.take() {
            change.delete(&self.keys.2);
            let (time, task) = (waiting.boundary, Task::Apply(*self.id));
            change.delete(&Due { time, task, scope: self.scope.clone() }.key());
        }
    }

    /// The ledger has the publication.
    fn take(
        &mut self,
        logged: &SpentRow,
        histograms: &mut Histograms,
        report: &mut DeskRecovery,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        match self.spent.state {
            // The copy is of before it; of a withdrawal that the ledger does not have, too.
            State::Held | State::Awaited | State::TakenBack => self.end_waiting(change),
            State::Withdrawn | State::Removed => return Ok(()),
            State::Published | State::Unlisted => {
                let is_over = logged.state != State::Unlisted;
                if !is_over && logged.sequence < self.spent.sequence {
                    return Ok(());
                }
                let is_in_force = |listed: &ListedRow| listed.review.digest() == logged.in_force;
                if !is_over && self.listed.as_ref().is_some_and(is_in_force) {
                    self.spent = SpentRow { state: State::Published, ..logged.clone() };
                    return Ok(());
                }
            }
        }
        if let Some(listed) = self.listed.take() {
            histograms.uncount(self.scope, listed.review.stars())?;
            change.delete(&self.keys.3);
        }
        report.unlisted += usize::from(logged.state == State::Unlisted);
        self.spent = logged.clone();
        Ok(())
    }

    /// A withdrawal while held whose boundary is over, and which the ledger does not have.
    fn log_later(&mut self, cohort: Option<&CohortRow>, change: &mut Change) {
        let next = cohort.and_then(|cohort| cohort.not_sealed().first().copied());
        if next.is_some_and(|next| next <= self.spent.published_at) {
            return;
        }
        match (next, self.waiting.take()) {
            (Some(boundary), Some(waiting)) => {
                (self.spent.published_at, self.spent.changed_at) = (boundary, boundary);
                let waiting = WaitingRow { boundary, ..waiting };
                change.put(&self.keys.2, &waiting);
                self.waiting = Some(waiting);
            }
            // Nothing is published of this cohort any more, and nothing will be logged: no retry gets a
            // receipt that says so.
            _ => {
                change.delete(&self.keys.2);
                self.spent.state = State::Withdrawn;
                self.spent.last_action = NO_DIGEST;
            }
        }
    }
}

impl<S: Store> Core<S> {
    /// Takes the words of a published review that the listing lacks; they show at the next boundary. The
    /// very presentation that the ledger names brings its evidence back.
    pub(super) fn relist(&self, job: &Job) -> Result<(), DeskError> {
        let (presentation, id) = (&job.submission.presentation, &job.id);
        let scope = presentation.scope();
        let keys = (rows::spent(scope, id), rows::waiting(scope, id), rows::sent(scope, id));
        let boundary = self.grid.next_after(self.now()?);
        let cohort = decide(&*self.store, rows::cohort(scope), |row: Option<CohortRow>, _| {
            row.ok_or(StoreError::Corrupt(CohortRow::NAME))
        })?;
        let erasure =
            Due { time: erased_at(&self.config, &cohort.manifest), task: Task::Erase, scope: scope.clone() };
        decide(&*self.store, (keys.clone(), erasure.key()), |((spent, waiting, sent), erasure), change| {
            let Some(spent) = spent.filter(|spent| spent.state == State::Unlisted) else { return Ok(()) };
            if sent.is_none() && erasure.is_some() && presentation.hash() == spent.presentation_hash {
                change.put(&keys.2, &SentRow { presentation: presentation.to_bytes(), held: None });
            }
            if waiting.is_none() && spent.in_force == spent.submitted {
                let relisted = WaitingChange::Relist(job.submission.review.clone());
                change.put(&keys.1, &WaitingRow { boundary, actions: vec![], change: relisted });
                let due = Due { time: boundary, task: Task::Apply(*id), scope: scope.clone() };
                change.put(&due.key(), &Present);
            }
            Ok(())
        })
    }
}
