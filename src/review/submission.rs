//! The queue's work: cheap checks first, then one batch of proofs, then one durable commit.

use super::rows;
use super::values::{CohortRow, Held, ReviewRow, Standing, Stored, read_row};
use super::{Core, DeskError};
use crate::store::decide::{Decision, Step, run};
use crate::store::{Commit, Store, StoreError};
use crate::time::Timestamp;
use crate::token::{
    Digest, KeyPair, KeyRing, Presentation, PresentationCheck, Receipt, Review, ReviewId, verify_batch,
};
use crate::wire::Message;
use rand_core::CryptoRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A review with the token that it spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Bound to the review's digest.
    pub presentation: Presentation,
    /// The review.
    pub review: Review,
}

/// A submission with what is asked of it again and again.
pub(super) struct Job {
    submission: Submission,
    id: ReviewId,
    digest: Digest,
}

impl Job {
    pub(super) fn new(submission: Submission) -> Self {
        let (id, digest) = (submission.presentation.review_id(), submission.review.digest());
        Self { submission, id, digest }
    }

    fn keys(&self) -> Vec<crate::store::RowKey> {
        let scope = self.submission.presentation.scope();
        vec![rows::review(scope, &self.id), rows::cohort(scope)]
    }
}

impl<S: Store> Core<S> {
    /// Decides a batch: one result for each job, in order.
    pub(super) fn decide_submissions(&self, jobs: Vec<Job>) -> Vec<Result<Receipt, DeskError>> {
        let ring = self.ring();
        let mut results: Vec<Option<Result<Receipt, DeskError>>> = jobs.iter().map(|_| None).collect();
        let mut open = Vec::with_capacity(jobs.len());
        for ((job, result), checked) in jobs.iter().zip(&mut results).zip(self.check_cheaply(&jobs, &ring)) {
            match checked {
                Ok(pair) => open.push((job, result, pair)),
                Err(error) => *result = Some(Err(error)),
            }
        }
        let checks: Vec<PresentationCheck<'_>> = open.iter().map(|(job, _, pair)| check(job, pair)).collect();
        let verdicts = self.verifier.verify(&checks, &mut *self.rng());
        drop(checks);
        let mut decisions = Vec::with_capacity(open.len());
        let mut decided = Vec::with_capacity(open.len());
        for ((job, result, _), holds) in open.into_iter().zip(verdicts) {
            if holds {
                decisions.push(Spend { core: self, ring: &ring, job });
                decided.push(result);
            } else {
                *result = Some(Err(DeskError::Refused));
            }
        }
        for (result, answer) in decided.into_iter().zip(run(&*self.store, &mut decisions)) {
            *result = Some(answer.map_err(DeskError::Store).and_then(|answer| answer));
        }
        results.into_iter().map(|result| result.unwrap_or(Err(DeskError::Refused))).collect()
    }

    /// Everything that costs no group operation: the keys, the spent look-up and the window.
    fn check_cheaply<'r>(&self, jobs: &[Job], ring: &'r KeyRing) -> Vec<Result<&'r Arc<KeyPair>, DeskError>> {
        let keys: Vec<_> = jobs.iter().flat_map(Job::keys).collect();
        let rows = match self.store.read(&keys) {
            Ok(rows) => rows,
            Err(failure) => {
                return jobs.iter().map(|_| Err(DeskError::Store(failure.clone()))).collect();
            }
        };
        let now = self.environment.now();
        let check = |(job, rows): (&Job, &[Option<Vec<u8>>])| {
            let presentation = &job.submission.presentation;
            let pair = ring.find(presentation.scope().key_id()).ok_or(DeskError::UnknownKey)?;
            if presentation.escrow_id() != pair.escrow_key.id() {
                return Err(DeskError::WrongEscrow);
            }
            fate(job, rows, ring, now)??;
            Ok(pair)
        };
        jobs.iter().zip(rows.chunks(2)).map(check).collect()
    }
}

fn check<'a>(job: &'a Job, pair: &'a KeyPair) -> PresentationCheck<'a> {
    PresentationCheck {
        presentation: &job.submission.presentation,
        key: &pair.issuer_key,
        escrow_key: &pair.escrow_key,
        review_digest: &job.digest,
    }
}

/// What the rows say about a submission.
enum Fate {
    /// It is accepted, to be published by the boundary (early: none yet).
    Accepted(Option<Timestamp>),
    /// It was accepted before.
    Known(Option<Timestamp>),
}

/// Decides from the review's row and the cohort's. The same for the cheap look-up and for the
/// decision, which may find other rows.
fn fate(
    job: &Job,
    rows: &[Option<Vec<u8>>],
    ring: &KeyRing,
    now: Timestamp,
) -> Result<Result<Fate, DeskError>, StoreError> {
    let row = |at: usize| rows.get(at).and_then(Option::as_deref);
    let known = |digest: &Digest, publish_by| {
        if digest == &job.digest { Ok(Fate::Known(publish_by)) } else { Err(DeskError::Spent) }
    };
    match read_row::<ReviewRow>(row(0))? {
        Some(ReviewRow::Held(held)) => return Ok(known(&held.digest, held.publish_by)),
        Some(ReviewRow::TakenBack(_)) => return Ok(Err(DeskError::Withdrawn)),
        Some(ReviewRow::Settled(settled)) if settled.standing == Standing::Withdrawn => {
            return Ok(Err(DeskError::Withdrawn));
        }
        Some(ReviewRow::Settled(settled)) => {
            return Ok(known(&settled.submitted, Some(settled.published_at)));
        }
        None => {}
    }
    Ok(match read_row::<CohortRow>(row(1))? {
        Some(cohort) => match cohort.publication_after(now) {
            Some(boundary) => Ok(Fate::Accepted(Some(boundary))),
            None => Err(DeskError::WindowOver),
        },
        None if ring.may_issue(job.submission.presentation.scope().key_id()) => Ok(Fate::Accepted(None)),
        None => Err(DeskError::RetiredKey),
    })
}

/// Spends a token whose presentation was verified.
struct Spend<'a, S> {
    core: &'a Core<S>,
    ring: &'a KeyRing,
    job: &'a Job,
}

impl<S: Store> Decision for Spend<'_, S> {
    type Answer = Result<Receipt, DeskError>;

    fn keys(&self) -> Vec<crate::store::RowKey> {
        self.job.keys()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let Job { submission, id, digest } = self.job;
        let receipt = |publish_by| Receipt::sign(&self.core.platform, *id, *digest, publish_by);
        match fate(self.job, rows, self.ring, self.core.environment.now())? {
            Err(refused) => Ok(Step::Answer(Err(refused))),
            Ok(Fate::Known(publish_by)) => Ok(Step::Answer(Ok(receipt(publish_by)))),
            Ok(Fate::Accepted(publish_by)) => {
                let held = Held {
                    digest: *digest,
                    publish_by,
                    review: submission.review.clone(),
                    presentation: submission.presentation.to_bytes(),
                };
                let scope = submission.presentation.scope();
                let at = rows::review(scope, id);
                let cohort = rows.get(1).and_then(Option::as_deref);
                // The cohort's row is part of what the answer rests on: a boundary that is
                // sealed, or a manifest that comes, between the read and the commit.
                let commit = Commit::new(at.bucket)
                    .expect(&at.key, None)
                    .expect(&rows::cohort(scope).key, cohort)
                    .put(at.key, ReviewRow::Held(held).to_value());
                Ok(Step::Commit(commit, Ok(receipt(publish_by))))
            }
        }
    }
}

/// Verifies batches of presentations, and remembers whether bad ones have been coming.
///
/// A batch that fails has cost its own check and one of each member. Whoever sends one bad
/// presentation with every batch would double the work for ever; so after a failure members
/// are checked singly at once, until [`CLEAN_BATCHES`] in a row held nothing bad.
#[derive(Default)]
pub(super) struct Verifier {
    /// How many clean batches are missing until batches are trusted again.
    singly: AtomicU32,
    /// How many multi-scalar multiplications were run.
    #[cfg(test)]
    pub(super) group_checks: std::sync::atomic::AtomicUsize,
}

/// So many batches without a bad member end the single checking.
pub(super) const CLEAN_BATCHES: u32 = 16;

impl Verifier {
    /// Whether each of `checks` holds.
    fn verify(&self, checks: &[PresentationCheck<'_>], rng: &mut (impl CryptoRng + ?Sized)) -> Vec<bool> {
        if checks.is_empty() {
            return Vec::new();
        }
        let singly = self.singly.load(Ordering::Relaxed);
        if singly == 0 && checks.len() > 1 {
            self.count(1);
            return match verify_batch(checks, rng) {
                Ok(()) => vec![true; checks.len()],
                Err(bad) => {
                    self.count(checks.len());
                    self.singly.store(CLEAN_BATCHES, Ordering::Relaxed);
                    let mut verdicts = vec![true; checks.len()];
                    for at in bad {
                        if let Some(verdict) = verdicts.get_mut(at) {
                            *verdict = false;
                        }
                    }
                    verdicts
                }
            };
        }
        self.count(checks.len());
        let verdicts: Vec<bool> = checks.iter().map(|check| verify_single(check, rng)).collect();
        if !verdicts.iter().all(|holds| *holds) {
            self.singly.store(CLEAN_BATCHES, Ordering::Relaxed);
        } else if singly > 0 {
            // Two workers may count one batch: then one more is checked singly.
            let _ = self.singly.compare_exchange(singly, singly - 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        verdicts
    }

    fn count(&self, checks: usize) {
        #[cfg(test)]
        self.group_checks.fetch_add(checks, Ordering::SeqCst);
        #[cfg(not(test))]
        let _ = checks;
    }
}

fn verify_single(check: &PresentationCheck<'_>, rng: &mut (impl CryptoRng + ?Sized)) -> bool {
    check.presentation.verify(check.key, check.escrow_key, check.review_digest, rng).is_ok()
}
