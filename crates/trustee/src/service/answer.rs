//! Answering a warrant for one review.

use super::following::Following;
use super::rows::{Intent, State};
use super::{Trustee, TrusteeError};
use crate::warrant::{Claim, Excess, LoggedWarrant, OpeningsRegister, PresentedWarrant};
use crate::{DecryptionShare, ReviewEvidence, SealedShare, VerifiedReview};
use std::sync::MutexGuard;
use unjoin_core::Timestamp;
use unjoin_core::entry::{ShareReleasedEntry, WarrantAction};
use unjoin_core::token::ReviewId;
use unjoin_core::wire::Message;
use unjoin_log::LogView;
use unjoin_store::{Key, Present, Record, Store, StoreError, decide, read};

/// What a trustee is asked for: one review of a warrant. Ask for each review of the warrant.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_trustee::service::{OpeningRequest, TrusteeError};
/// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
/// # let (trustee, warrant) = (&world.all_trustees()[0], world.warrant(&[0]));
/// # let another_review = world.written[1].evidence.clone();
/// let request = OpeningRequest { presented: warrant, review: another_review };
/// assert!(matches!(trustee.answer(&request, &world.openings), Err(TrusteeError::NotNamed)));
/// ```
#[derive(Clone, Debug)]
pub struct OpeningRequest {
    /// The warrant with its blind.
    pub presented: PresentedWarrant,
    /// Which review it is about.
    pub review: ReviewEvidence,
}

/// What a trustee answers. Asked again it goes on from where it was.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_trustee::service::OpeningAnswer;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (trustee, request) = (&world.all_trustees()[0], world.request(&world.warrant(&[0]), 0));
/// // The trustee is charged in the ledger first; then the share leaves it.
/// match trustee.answer(&request, &world.openings)? {
///     OpeningAnswer::Append(entry) => world.log(&[entry]),
///     other => panic!("{other:?}"),
/// }
/// assert!(matches!(trustee.answer(&request, &world.openings)?, OpeningAnswer::Released(_)));
/// # Ok::<(), unjoin_trustee::service::TrusteeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an entry that is not logged opens nothing"]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum OpeningAnswer {
    /// This entry must be in the openings ledger, under a published checkpoint: append it,
    /// and ask again then. Always the same bytes.
    Append(Vec<u8>),
    /// The warrant's cooling-off is not over: ask again then.
    Wait {
        /// When it is, by the ledger's witnesses.
        until: Timestamp,
    },
    /// The share, sealed to the warrant's recipient. Asked again it is the same share, sealed
    /// again.
    Released(SealedShare),
    /// Charged, under a warrant that compares authors: the round can be run once all its reviews
    /// are.
    Charged,
}

impl<S: Store> Trustee<S> {
    /// Answers for one review of a warrant, once every condition holds. Checked in this order: the
    /// ledger ([`follow`](Self::follow)), then the warrant's signatures, scope and times, at the
    /// witnesses' time. Then that it names the review, the evidence, and that the warrant's entry is in
    /// the ledger as it says. Then its cooling-off and the budgets.
    ///
    /// # Errors
    /// Each condition has its own [`TrusteeError`]. On an error nothing is stored, except the
    /// verdict that an entry is void.
    pub fn answer(
        &self,
        request: &OpeningRequest,
        ledger: &dyn LogView,
    ) -> Result<OpeningAnswer, TrusteeError> {
        let presented = &request.presented;
        let mut following = self.follow_for(presented, ledger)?;
        let review = self.check_review(presented, &request.review)?;
        if let Some(answer) = self.charge(&mut following, presented, review.review_id())? {
            return Ok(answer);
        }
        drop(following);
        self.release(presented, &review)
    }

    /// Follows the ledger, and keeps the lock; then whether the warrant is to be answered at the
    /// ledger's time.
    pub(super) fn follow_for(
        &self,
        presented: &PresentedWarrant,
        ledger: &dyn LogView,
    ) -> Result<MutexGuard<'_, Following>, TrusteeError> {
        let following = self.follow_locked(ledger)?;
        self.policy.warrants.check(presented.warrant(), following.time)?;
        Ok(following)
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
        let rng = &mut *self.environment.rng();
        Ok(evidence.verify(&self.policy.issuers, self.committee.key(), &self.policy.reviews, rng)?)
    }

    /// The warrant's entry, if it is in the ledger as the warrant says, and until when its
    /// cooling-off lasts, if that is not over.
    pub(super) fn check_logged<'a>(
        &self,
        following: &'a Following,
        presented: &PresentedWarrant,
    ) -> Result<(&'a LoggedWarrant, Option<Timestamp>), TrusteeError> {
        let logged = following.register.warrant(&presented.commitment()).ok_or(TrusteeError::NotLogged)?;
        if !presented.is_announced_by(logged.entry()) {
            return Err(TrusteeError::EntryDiffers);
        }
        let at = following.register.logged_by(logged.index()).unwrap_or(following.time);
        let until = at.saturating_add(self.policy.budgets.cooling_off);
        Ok((logged, Some(until).filter(|until| following.time < *until)))
    }

    /// Charges one review of a warrant: an intent on the disk, an entry in the ledger, and a
    /// verdict on that. Idempotent at each step. What is to be done next; `None` once it is charged.
    fn charge(
        &self,
        following: &mut Following,
        presented: &PresentedWarrant,
        review: &ReviewId,
    ) -> Result<Option<OpeningAnswer>, TrusteeError> {
        let (logged, cooling_off) = self.check_logged(following, presented)?;
        if let Some(until) = cooling_off {
            return Ok(Some(OpeningAnswer::Wait { until }));
        }
        let register = &following.register;
        let (commitment, tag) = (presented.commitment(), presented.tag(review));
        let key = self.rows.intent(&tag);
        // What is compared with an opened review may be opened by it, and is charged so.
        let opens = logged.entry().action() == WarrantAction::Open;
        let opened = opens.then(|| self.rows.opened(&self.identity, review));
        let stored = read(&*self.store, &key)?;
        let intent = match stored {
            Some(intent) => intent,
            // Checked before a new intent, and never again: whether there is room for it, so that
            // no void entry is logged.
            None => {
                self.check_unopened(register, logged, presented)?;
                let claim = Claim { trustee: self.index(), commitment, tag, since: following.time };
                let others: Vec<Claim> = following.pending.values().copied().collect();
                let room = register.forecast(&self.policy.budgets, &claim, &others);
                room.map_err(TrusteeError::Budget)?;
                self.intend(&claim, opened.as_ref())?
            }
        };
        let claim = intent.claim(self.index(), tag);
        let verdict = match (intent.verdict, logged.release(&tag, self.index())) {
            (Some(verdict), _) => return verdict.map(|()| None).map_err(TrusteeError::Void),
            (None, Some(index)) => register.judge(&self.policy.budgets, &claim, index),
            // Its entry stands where the trustee had not signed the newest committee, or would now.
            (None, None) if logged.is_void(&tag, self.index()) || !register.is_active(self.index()) => {
                Err(Excess::Committee)
            }
            (None, None) => {
                following.pending.insert(tag, claim);
                return Ok(Some(OpeningAnswer::Append(self.entry(&intent, tag)?)));
            }
        };
        // The verdict is kept before anything leaves; an earlier one stands. The review's row comes with it
        // again, since an intent that was taken over from the ledger came without.
        let verdict = decide(&*self.store, key.clone(), |intent, change| {
            let intent = intent.ok_or(StoreError::Corrupt(Intent::NAME))?;
            if let Some(earlier) = intent.verdict {
                return Ok(earlier);
            }
            change.put(&key, &Intent { verdict: Some(verdict), ..intent });
            opened.iter().for_each(|review| change.put(review, &Present));
            Ok::<_, StoreError>(verdict)
        })?;
        following.pending.remove(&tag);
        verdict.map(|()| None).map_err(TrusteeError::Void)
    }

    /// Writes an intent under the next sequence number, unless there is one for the tag; with the
    /// row of the review, if it is to be opened.
    fn intend(&self, claim: &Claim, opened: Option<&Key<Present>>) -> Result<Intent, StoreError> {
        let keys = (self.rows.state(), self.rows.intent(&claim.tag));
        decide(&*self.store, keys.clone(), |(state, intent), change| {
            if let Some(intent) = intent {
                return Ok(intent);
            }
            let seen = state.unwrap_or_default();
            let sequence = seen.next_sequence;
            let next_sequence = sequence.checked_add(1).ok_or(StoreError::Corrupt(State::NAME))?;
            let (commitment, since) = (claim.commitment, claim.since);
            let intent = Intent { sequence, commitment, since, verdict: None };
            change.put(&keys.0, &State { next_sequence, ..seen });
            change.put(&keys.1, &intent);
            opened.iter().for_each(|review| change.put(review, &Present));
            Ok(intent)
        })
    }

    /// Whether a warrant is charged as an opening, or none of its reviews was opened before.
    pub(super) fn check_unopened(
        &self,
        register: &OpeningsRegister,
        logged: &LoggedWarrant,
        presented: &PresentedWarrant,
    ) -> Result<(), TrusteeError> {
        if logged.entry().action() == WarrantAction::Open {
            return Ok(());
        }
        let reviews = presented.terms().reviews();
        let rows: Vec<_> = reviews.iter().map(|review| self.rows.opened(&self.identity, review)).collect();
        let opened_here = read(&*self.store, &rows)?;
        let is_known = |review: &ReviewId| register.is_known_opened(review);
        if opened_here.iter().any(Option::is_some) || reviews.iter().any(is_known) {
            return Err(TrusteeError::ChargeAsOpening);
        }
        Ok(())
    }

    /// The entry of an intent: signing is deterministic, so it is always the same.
    fn entry(&self, intent: &Intent, tag: [u8; 32]) -> Result<Vec<u8>, TrusteeError> {
        let Intent { sequence, commitment, .. } = *intent;
        let (key, origin, index) = (&self.identity, self.origin(), self.index());
        let entry = ShareReleasedEntry::sign(key, origin, index, sequence, commitment, tag);
        Ok(entry.ok_or(StoreError::Corrupt(Intent::NAME))?.to_bytes())
    }

    /// The answer for a review that is charged.
    fn release(
        &self,
        presented: &PresentedWarrant,
        review: &VerifiedReview,
    ) -> Result<OpeningAnswer, TrusteeError> {
        let terms = presented.terms();
        if terms.action() == WarrantAction::SameAuthor {
            return Ok(OpeningAnswer::Charged);
        }
        let rng = &mut *self.environment.rng();
        let context = review.share_context(terms);
        let share = DecryptionShare::answer(&self.share, &self.committee, &context, rng);
        let share = share.map_err(|_| TrusteeError::Share)?;
        let subject = *review.review_id().as_bytes();
        let sealed = SealedShare::seal(&share, terms, presented.commitment(), subject, rng);
        sealed.map(OpeningAnswer::Released).map_err(|_| TrusteeError::Seal)
    }
}
