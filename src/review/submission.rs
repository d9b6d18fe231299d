//! The queue's work: cheap checks first, then one batch of proofs, then one durable commit.

use super::rows::{self, CohortRow, IfNeeded};
use super::spent::{SentRow, SpentRow, State};
use super::{Core, DeskError};
use rand_core::CryptoRng;
use std::sync::atomic::{AtomicU32, Ordering};
use unjoin_core::Timestamp;
use unjoin_core::token::{
    Digest, KeyPair, KeyRing, Presentation, PresentationCheck, Receipt, Review, ReviewId, verify_batch,
};
use unjoin_core::wire::Message;
use unjoin_store::{Decision, Key, MessageRow, Store, StoreError, decide_all, read};

/// A review with the token that it spends.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin::secret::SystemRng;
/// use unjoin::review::Submission;
/// # let shop = Shop::open();
/// # let held = shop.accepted();
/// # let (presentation, review) = (held.sent.presentation, held.review);
/// let submission = Submission { presentation, review };
/// // The token is spent with these words.
/// let (digest, rng) = (submission.review.digest(), &mut SystemRng::new());
/// assert!(submission.presentation.verify(&shop.issuer_key, &shop.escrow_key, &digest, rng).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Bound to the review's digest.
    pub presentation: Presentation,
    /// The review.
    pub review: Review,
}

/// A submission with what is asked of it again and again.
pub(super) struct Job {
    pub(super) submission: Submission,
    pub(super) id: ReviewId,
    digest: Digest,
}

impl Job {
    pub(super) fn new(submission: Submission) -> Self {
        let (id, digest) = (submission.presentation.review_id(), submission.review.digest());
        Self { submission, id, digest }
    }

    /// The token's row and the cohort's.
    fn reads(&self) -> (Key<SpentRow>, IfNeeded<CohortRow>) {
        let scope = self.submission.presentation.scope();
        (rows::spent(scope, &self.id), IfNeeded(rows::cohort(scope)))
    }

    /// What the rows say about it. The same for the cheap look-up and for the decision, which
    /// may find other rows.
    ///
    /// A review that was taken back while held is answered as a held one until its boundary.
    fn status(
        &self,
        (spent, cohort): (Option<SpentRow>, Result<Option<CohortRow>, StoreError>),
        now: Timestamp,
    ) -> Result<Status, DeskError> {
        match spent {
            Some(spent) if spent.state == State::Withdrawn => Err(DeskError::Withdrawn),
            // Its words are taken as new ones; whoever else holds the token has another author key.
            Some(spent) if spent.state == State::Awaited && self.is_the_very(&spent) => unspent(cohort, now),
            Some(spent) if spent.state != State::Awaited && spent.submitted == self.digest => {
                Ok(Status::Accepted(spent))
            }
            Some(_) => Err(DeskError::Spent),
            None => unspent(cohort, now),
        }
    }

    fn is_the_very(&self, spent: &SpentRow) -> bool {
        spent.submitted == self.digest && &spent.author_key == self.submission.presentation.author_key()
    }
}

/// A review that is to be held, if its cohort still takes one.
fn unspent(cohort: Result<Option<CohortRow>, StoreError>, now: Timestamp) -> Result<Status, DeskError> {
    let cohort = cohort?.ok_or(DeskError::NoManifest)?;
    cohort.publication_after(now).map(Status::New).ok_or(DeskError::WindowOver)
}

/// What the cheap checks found.
struct Checked<'a> {
    pair: &'a KeyPair,
    /// Its words are missing in the listing, since an older copy was put back.
    is_unlisted: bool,
}

/// Where a submission stands.
enum Status {
    /// Nothing speaks against it; the boundary at which it is published.
    New(Timestamp),
    /// It was accepted before.
    Accepted(SpentRow),
}

impl<S: Store> Core<S> {
    /// Decides a batch: one result for each job, in order.
    pub(super) fn decide_submissions(&self, jobs: Vec<Job>) -> Vec<Result<Receipt, DeskError>> {
        let ring = self.ring();
        let now = self.now();
        let checked = self.check_cheaply(&jobs, &ring, &now);
        let open = jobs.iter().zip(&checked);
        let open = open.filter_map(|(job, checked)| Some(check(job, checked.as_ref().ok()?.pair)));
        let checks: Vec<PresentationCheck<'_>> = open.collect();
        let mut verdicts = self.verifier.verify(&checks, &mut *self.rng()).into_iter();
        let spends = jobs.iter().zip(checked).map(|(job, checked)| {
            let Checked { is_unlisted, .. } = checked?;
            if verdicts.next() != Some(true) {
                return Err(DeskError::Refused);
            }
            if is_unlisted {
                self.relist(job)?;
            }
            Ok(self.spend(job, now.clone()?))
        });
        decide_all(&*self.store, spends.collect())
    }

    /// Everything that costs no group operation: the keys, the spent look-up and the window.
    fn check_cheaply<'r>(
        &self,
        jobs: &[Job],
        ring: &'r KeyRing,
        now: &Result<Timestamp, StoreError>,
    ) -> Vec<Result<Checked<'r>, DeskError>> {
        let withdrawn = self.withdrawn_before(&jobs.iter().map(|job| job.id).collect::<Vec<_>>());
        let looks = jobs.iter().enumerate().map(|(at, job)| {
            let presentation = &job.submission.presentation;
            let pair = ring.find(presentation.scope().key_id()).ok_or(DeskError::UnknownKey)?;
            if presentation.escrow_id() != pair.escrow_key.id() {
                return Err(DeskError::WrongEscrow);
            }
            let now = now.clone()?;
            if withdrawn.clone()?.get(at).is_some_and(Option::is_some) {
                return Err(DeskError::Withdrawn);
            }
            Ok(Decision::new(job.reads(), move |rows, _| {
                let is_unlisted = rows.0.as_ref().is_some_and(|spent| spent.state == State::Unlisted);
                job.status(rows, now).map(|_| Checked { pair, is_unlisted })
            }))
        });
        decide_all(&*self.store, looks.collect())
    }

    /// Of these reviews, which an older copy that was put back does not know, what the ledger says: they
    /// were withdrawn. No service writes such a row, only a recovery before it.
    pub(super) fn withdrawn_before(&self, ids: &[ReviewId]) -> Result<Vec<Option<SpentRow>>, StoreError> {
        if self.era == 1 {
            return Ok(vec![None; ids.len()]);
        }
        let rows = read(&*self.store, &ids.iter().map(rows::withdrawn).collect::<Vec<_>>())?;
        Ok(rows.into_iter().map(|row| row.map(|MessageRow(logged)| SpentRow::taken_back(&logged))).collect())
    }

    /// Spends a token whose presentation was verified.
    ///
    /// The cohort's row is part of what the answer rests on: a boundary that is sealed, or a
    /// manifest that comes, between the read and the commit.
    fn spend<'a>(&'a self, job: &'a Job, now: Timestamp) -> Decision<'a, Receipt, DeskError> {
        let reads = job.reads();
        let key = reads.0.clone();
        Decision::new(reads, move |rows, change| {
            let spent = match job.status(rows, now)? {
                Status::Accepted(spent) => spent,
                Status::New(publish_at) => {
                    let Submission { presentation, review } = &job.submission;
                    let sent = SentRow { presentation: presentation.to_bytes(), held: Some(review.clone()) };
                    let (hash, author_key) = (presentation.hash(), *presentation.author_key());
                    let spent = SpentRow::held(job.digest, hash, author_key, publish_at);
                    change.put(&rows::sent(presentation.scope(), &job.id), &sent);
                    change.put(&key, &spent);
                    spent
                }
            };
            Ok(spent.receipt(job.id, self.era, &self.platform)?)
        })
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

/// Verifies batches of presentations, and remembers whether bad ones have been coming.
///
/// A batch that fails has cost its own check and one of each member. An attacker who puts one bad
/// presentation into every batch would double the work for ever. So after a failure members are checked
/// singly at once, until [`CLEAN_BATCHES`] in a row held nothing bad.
#[derive(Default)]
pub(super) struct Verifier {
    /// How many clean batches are missing until batches are trusted again.
    singly: AtomicU32,
    /// How many multi-scalar multiplications were run.
    #[cfg(test)]
    pub(super) group_checks: std::sync::atomic::AtomicUsize,
    /// How many signatures of authors were verified.
    #[cfg(test)]
    pub(super) signature_checks: std::sync::atomic::AtomicUsize,
}

/// The number of batches in a row without a bad member that ends the single checking.
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

    pub(super) fn count_signature(&self) {
        #[cfg(test)]
        self.signature_checks.fetch_add(1, Ordering::SeqCst);
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
