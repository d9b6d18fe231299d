//! Answering a warrant for one review.

use super::following::Following;
use super::rows::{self, Intent, State, Verdict};
use super::{Trustee, TrusteeError};
use crate::ledger::{LedgerView, ShareReleasedEntry, WarrantAction};
use crate::opening::budget::{Claim, Excess};
use crate::opening::register::LoggedWarrant;
use crate::opening::{DecryptionShare, PresentedWarrant, ReviewEvidence, SealedShare, VerifiedReview};
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::ReviewId;
use crate::wire::Message;

/// What a trustee is asked for: one review of a warrant. Ask for each review of the warrant.
#[derive(Clone, Debug)]
pub struct OpeningRequest {
    /// The warrant with its blind.
    pub presented: PresentedWarrant,
    /// Which review it is about.
    pub review: ReviewEvidence,
}

/// What a trustee answers. Asked again it goes on from where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an entry that is not logged opens nothing"]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Answer {
    /// This entry must stand in the openings ledger, under a published checkpoint: append it,
    /// and ask again then. Always the same bytes.
    Append(Vec<u8>),
    /// The warrant's cooling-off is not over: ask again then.
    Wait {
        /// When it is, by the ledger's witnesses.
        until: Timestamp,
    },
    /// The share, sealed to the warrant's recipient. Asked again it is the same share, sealed
    /// anew.
    Released(SealedShare),
    /// Charged, under a warrant that compares authors: rounds can be run once all its reviews
    /// are.
    Charged,
}

/// What became of charging one review.
pub(super) enum Charge {
    /// The entry is to be logged.
    Append(Vec<u8>),
    /// The entry is logged and within budget.
    Held,
}

impl<S: Store> Trustee<S> {
    /// Answers for one review of a warrant, once every condition holds. Checked in this order:
    /// the ledger ([`follow`](Self::follow)); the warrant's signatures, scope and times, at the
    /// witnesses' time; that it names the review; the evidence; that the warrant's entry is in
    /// the ledger as it says; its cooling-off; the budgets.
    ///
    /// # Errors
    /// Each condition has its own [`TrusteeError`]; nothing is written then, but that an
    /// entry is void.
    pub fn answer(&self, request: &OpeningRequest, ledger: &dyn LedgerView) -> Result<Answer, TrusteeError> {
        let presented = &request.presented;
        self.check_warrant(presented, ledger)?;
        let review = self.check_review(presented, &request.review)?;
        // Others may have asked meanwhile, and the register gone on: all below is one decision.
        let mut following = self.lock();
        following.check()?;
        if let Some(until) = self.check_logged(&following, presented)? {
            return Ok(Answer::Wait { until });
        }
        let charge = self.charge(&mut following, presented, review.review_id())?;
        drop(following);
        match charge {
            Charge::Append(entry) => Ok(Answer::Append(entry)),
            Charge::Held => self.release(presented, &review),
        }
    }

    /// Follows the ledger; then whether the warrant is to be answered at the ledger's time.
    pub(super) fn check_warrant(
        &self,
        presented: &PresentedWarrant,
        ledger: &dyn LedgerView,
    ) -> Result<(), TrusteeError> {
        let followed = self.follow(ledger)?;
        Ok(self.policy.warrants.check(presented.warrant(), followed.time)?)
    }

    /// Whether the warrant names the review, and the evidence shows it.
    pub(super) fn check_review(
        &self,
        presented: &PresentedWarrant,
        evidence: &ReviewEvidence,
    ) -> Result<VerifiedReview, TrusteeError> {
        if !presented.terms().names(&evidence.presentation.review_id()) {
            return Err(TrusteeError::NotNamed);
        }
        let (_, committee, _) = self.holding()?;
        let rng = &mut *self.environment.rng();
        Ok(evidence.verify(&self.policy.issuers, committee.key(), &self.policy.reviews, rng)?)
    }

    /// Whether the warrant's entry is in the ledger, as the warrant says; until when its
    /// cooling-off lasts, if that is not over.
    pub(super) fn check_logged(
        &self,
        following: &Following,
        presented: &PresentedWarrant,
    ) -> Result<Option<Timestamp>, TrusteeError> {
        let terms = presented.terms();
        let logged = following.register.warrant(&presented.commitment()).ok_or(TrusteeError::NotLogged)?;
        let entry = logged.entry();
        let same = entry.requester == terms.requester().as_bytes() && entry.count == terms.count();
        // A comparison may be charged as an opening; an opening may not be charged as less.
        if !same || (entry.action != terms.action() && entry.action != WarrantAction::Open) {
            return Err(TrusteeError::EntryDiffers);
        }
        let at = following.register.time_of(logged.index()).unwrap_or(following.time);
        let until = at.saturating_add(self.policy.budgets.cooling_off);
        Ok(Some(until).filter(|until| following.time < *until))
    }

    /// Charges one review of a warrant whose entry was checked: an intent on the disk, an entry
    /// in the ledger, and a verdict on that. Idempotent at each step.
    pub(super) fn charge(
        &self,
        following: &mut Following,
        presented: &PresentedWarrant,
        review: &ReviewId,
    ) -> Result<Charge, TrusteeError> {
        let (commitment, tag) = (presented.commitment(), presented.tag(review));
        let logged = following.register.warrant(&commitment).ok_or(TrusteeError::NotLogged)?;
        let row = self.store.read(&[self.rows.intent(&tag)])?.pop().flatten();
        let intent = match row.as_deref().map(Intent::read).transpose()? {
            Some(intent) => intent,
            None => {
                self.check_new(following, logged, presented, tag)?;
                // What is compared with an opened review may be opened by it, and is charged so.
                let opens = logged.entry().action == WarrantAction::Open;
                let opened = opens.then(|| self.rows.opened(self.secrets.identity(), review));
                let since = following.time;
                let intend = Intend { trustee: self, tag, commitment, since, opened };
                let intent = run_one(&*self.store, intend)?;
                following.pending.insert(tag, intent.claim(self.index(), tag));
                intent
            }
        };
        let index = following.register.release(&commitment, &tag, self.index());
        let verdict = match (intent.verdict, index) {
            (Verdict::Open, Some(index)) => {
                let claim = intent.claim(self.index(), tag);
                following.register.judge(&self.policy.budgets, &claim, index)
            }
            // The warrant's count was reached before its entry was there: that stays so.
            (Verdict::Open, None) if logged.is_full_without(&tag) => Err(Excess::Warrant),
            (Verdict::Open, None) => return Ok(Charge::Append(self.entry(&intent, tag)?)),
            (Verdict::Held, _) => return Ok(Charge::Held),
            (Verdict::Void(excess), _) => return Err(TrusteeError::Void(excess)),
        };
        let verdict = verdict.map_or_else(Verdict::Void, |()| Verdict::Held);
        // The verdict is kept before anything leaves.
        let verdict = run_one(&*self.store, Judge { trustee: self, tag, verdict })?;
        following.pending.remove(&tag);
        match verdict {
            Verdict::Void(excess) => Err(TrusteeError::Void(excess)),
            _ => Ok(Charge::Held),
        }
    }

    /// What is checked before a new intent, and never again: whether there is room for it, so
    /// that no void entry is logged.
    fn check_new(
        &self,
        following: &Following,
        logged: &LoggedWarrant,
        presented: &PresentedWarrant,
        tag: [u8; 32],
    ) -> Result<(), TrusteeError> {
        self.check_unopened(following, logged, presented)?;
        let commitment = presented.commitment();
        let claim = Claim { trustee: self.index(), commitment, tag, since: following.time };
        let pending: Vec<Claim> = following.pending.values().copied().collect();
        let room = following.register.forecast(&self.policy.budgets, &claim, &pending);
        room.map_err(TrusteeError::Budget)
    }

    /// Whether a warrant is charged as an opening, or none of its reviews was opened before.
    pub(super) fn check_unopened(
        &self,
        following: &Following,
        logged: &LoggedWarrant,
        presented: &PresentedWarrant,
    ) -> Result<(), TrusteeError> {
        if logged.entry().action == WarrantAction::Open {
            return Ok(());
        }
        let reviews = presented.terms().reviews();
        let row = |review| self.rows.opened(self.secrets.identity(), review);
        let opened_here = self.store.read(&reviews.iter().map(row).collect::<Vec<_>>())?;
        let is_known = |review: &ReviewId| following.register.is_known_opened(review.as_bytes());
        if opened_here.iter().any(Option::is_some) || reviews.iter().any(is_known) {
            return Err(TrusteeError::ChargeAsOpening);
        }
        Ok(())
    }

    /// The entry of an intent: signing is deterministic, so it is always the same.
    fn entry(&self, intent: &Intent, tag: [u8; 32]) -> Result<Vec<u8>, TrusteeError> {
        let key = self.secrets.identity();
        let entry = ShareReleasedEntry::sign(key, self.index(), intent.sequence, intent.commitment, tag);
        Ok(entry.ok_or(StoreError::Corrupt("trustee intent"))?.to_bytes())
    }

    /// The answer for a review that is charged.
    fn release(&self, presented: &PresentedWarrant, review: &VerifiedReview) -> Result<Answer, TrusteeError> {
        let terms = presented.terms();
        if terms.action() == WarrantAction::SameAuthor {
            return Ok(Answer::Charged);
        }
        let (share, committee, _) = self.holding()?;
        let rng = &mut *self.environment.rng();
        let context = review.share_context(terms);
        let share =
            DecryptionShare::answer(share, committee, &context, rng).map_err(|_| TrusteeError::Share)?;
        let subject = *review.review_id().as_bytes();
        Ok(Answer::Released(SealedShare::seal(&share, terms, presented.commitment(), subject, rng)?))
    }
}

/// Writes an intent under the next sequence number, unless there is one for the tag.
struct Intend<'a, S: Store> {
    trustee: &'a Trustee<S>,
    tag: [u8; 32],
    commitment: [u8; 32],
    since: Timestamp,
    /// The row of the review, if it is to be opened.
    opened: Option<RowKey>,
}

impl<S: Store> Decision for Intend<'_, S> {
    type Answer = Intent;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.trustee.rows.state(), self.trustee.rows.intent(&self.tag)]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<Intent>, StoreError> {
        let [state, intent] = stored else { return Err(StoreError::Corrupt("read")) };
        if let Some(intent) = intent {
            return Ok(Step::Answer(Intent::read(intent)?));
        }
        let seen = State::read(state.as_deref())?;
        let next_sequence = seen.next_sequence.checked_add(1).ok_or(StoreError::Corrupt("trustee state"))?;
        let (row, at) = (self.trustee.rows.state(), self.trustee.rows.intent(&self.tag));
        let intent = Intent {
            sequence: seen.next_sequence,
            commitment: self.commitment,
            since: self.since,
            verdict: Verdict::Open,
        };
        let mut commit = Commit::new(row.bucket)
            .expect(&row.key, state.as_deref())
            .expect(&at.key, None)
            .put(row.key, State { next_sequence, ..seen }.value())
            .put(at.key, intent.value());
        if let Some(opened) = &self.opened {
            commit = commit.put(opened.key.clone(), rows::present());
        }
        Ok(Step::Commit(commit, intent))
    }
}

/// Keeps the verdict on an intent, unless there is one.
struct Judge<'a, S: Store> {
    trustee: &'a Trustee<S>,
    tag: [u8; 32],
    verdict: Verdict,
}

impl<S: Store> Decision for Judge<'_, S> {
    type Answer = Verdict;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.trustee.rows.intent(&self.tag)]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<Verdict>, StoreError> {
        let [Some(stored)] = stored else { return Err(StoreError::Corrupt("trustee intent")) };
        let intent = Intent::read(stored)?;
        if intent.verdict != Verdict::Open {
            return Ok(Step::Answer(intent.verdict));
        }
        let RowKey { bucket, key } = self.trustee.rows.intent(&self.tag);
        let judged = Intent { verdict: self.verdict, ..intent };
        let commit = Commit::new(bucket).expect(&key, Some(stored)).put(key, judged.value());
        Ok(Step::Commit(commit, self.verdict))
    }
}
