//! The author's actions: recognised by the escrow, never by a name.

use super::rows::{self, Due, PRUNED, Task};
use super::spent::{
    Held, LastAction, ListingState, NO_DIGEST, ReviewRow, Settled, TakenBack, Waiting, WaitingChange,
    read_message,
};
use super::{Core, DeskError};
use sha2::{Digest as _, Sha256};
use unjoin_core::secret::below;
use unjoin_core::token::{AuthorAction, AuthorProof, Digest, Presentation, Review, ReviewId, Scope};
use unjoin_core::wire::Message;
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Change, Key, Present, Store, decide, read};

/// The number of coming boundaries from which that of an edit or a withdrawal is drawn.
const NEXT_BOUNDARIES: u64 = 3;

/// The desk's answer to an accepted action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionReceipt {
    /// The review.
    pub review_id: ReviewId,
    /// The sequence number that the action has taken.
    pub sequence: u64,
    /// The boundary at which it takes effect; `None` when it took effect at once, on a held
    /// review.
    pub takes_effect_at: Option<Timestamp>,
}

impl<S: Store> Core<S> {
    pub(super) fn act(
        &self,
        scope: &Scope,
        proof: &AuthorProof,
        edited: Option<Review>,
    ) -> Result<ActionReceipt, DeskError> {
        let said = proof.statement();
        let fits = match (said.action, &edited) {
            (AuthorAction::Claim, _) => return Err(DeskError::ClaimIsNoAction),
            (AuthorAction::Withdraw, edited) => edited.is_none(),
            (AuthorAction::Edit, edited) => {
                edited.as_ref().is_some_and(|review| review.digest() == said.new_digest)
            }
        };
        if !fits {
            return Err(DeskError::DigestMismatch);
        }
        let proof_hash = Sha256::digest(proof.to_bytes()).into();
        let key = rows::review(scope, &said.review_id);
        let action = Action { core: self, scope, key, proof, proof_hash, edited };
        decide(&*self.store, action.key.clone(), |row, change| match row {
            None => Err(self.why_absent(scope)),
            Some(ReviewRow::TakenBack(taken)) if taken.proof_hash == proof_hash => Ok(action.receipt(None)),
            Some(ReviewRow::TakenBack(_)) => Err(DeskError::Withdrawn),
            Some(ReviewRow::Held(held)) => action.on_held(&held, change),
            Some(ReviewRow::Settled(settled)) => action.on_published(*settled, change),
        })
    }

    pub(super) fn verify_claim(
        &self,
        scope: &Scope,
        proof: &AuthorProof,
        audience: &Name,
        challenge: &[u8; 32],
    ) -> Result<(), DeskError> {
        let said = proof.statement();
        if !proof.is_claim_for(audience, challenge) {
            return Err(DeskError::Refused);
        }
        match read(&*self.store, &rows::review(scope, &said.review_id))? {
            None => Err(self.why_absent(scope)),
            Some(ReviewRow::TakenBack(_)) => Err(DeskError::Withdrawn),
            Some(ReviewRow::Held(held)) => self.is_author(proof, &held.presentation, 0, &held.digest),
            Some(ReviewRow::Settled(settled)) if settled.in_force == NO_DIGEST => Err(DeskError::Withdrawn),
            Some(ReviewRow::Settled(settled)) => match &settled.evidence {
                None => Err(DeskError::EscrowErased),
                Some(kept) => {
                    self.is_author(proof, &kept.presentation, settled.sequence(), &settled.in_force)
                }
            },
        }
    }

    /// Whether the proof holds for the escrow in a stored presentation and continues what was
    /// accepted.
    fn is_author(
        &self,
        proof: &AuthorProof,
        presentation: &[u8],
        last_sequence: u64,
        in_force: &Digest,
    ) -> Result<(), DeskError> {
        let presentation: Presentation = read_message(presentation)?;
        let ring = self.ring();
        let pair = ring.find(presentation.scope().key_id()).ok_or(DeskError::UnknownKey)?;
        let (id, escrow) = (presentation.review_id(), presentation.escrow());
        proof
            .verify(&id, last_sequence, in_force, escrow, &pair.escrow_key, &mut *self.rng())
            .map_err(|_| DeskError::Refused)
    }

    /// Why a review of a cohort has no row: a pruned one has none any more, and never again.
    fn why_absent(&self, scope: &Scope) -> DeskError {
        match read(&*self.store, &rows::cohort(scope)) {
            Ok(Some(cohort)) if cohort.sealed == PRUNED => DeskError::EscrowErased,
            Ok(_) => DeskError::UnknownReview,
            Err(failure) => failure.into(),
        }
    }
}

/// An edit or a withdrawal, whose new review was checked against its digest.
struct Action<'a, S> {
    core: &'a Core<S>,
    scope: &'a Scope,
    key: Key<ReviewRow>,
    proof: &'a AuthorProof,
    proof_hash: Digest,
    edited: Option<Review>,
}

impl<S: Store> Action<'_, S> {
    fn on_held(&self, held: &Held, change: &mut Change) -> Result<ActionReceipt, DeskError> {
        if self.proof.statement().action != AuthorAction::Withdraw {
            return Err(DeskError::Held);
        }
        self.core.is_author(self.proof, &held.presentation, 0, &held.digest)?;
        // Content and escrow go at once. The ledger's entry is written at the boundary at which
        // the review would have been published: the time of the withdrawal stays unknown.
        let taken = TakenBack { publish_by: held.publish_by, proof_hash: self.proof_hash };
        change.put(&self.key, &ReviewRow::TakenBack(taken));
        Ok(self.receipt(None))
    }

    fn on_published(&self, settled: Settled, change: &mut Change) -> Result<ActionReceipt, DeskError> {
        let (statement, said) = (self.proof.statement(), self.said());
        // The last accepted action again: the same bytes, or the same statement in a new proof.
        let again = settled.last.filter(|last| last.said == said);
        if let Some(last) = again.filter(|last| last.proof_hash == self.proof_hash) {
            return Ok(self.receipt(Some(last.boundary)));
        }
        match settled.state {
            _ if again.is_some() => {}
            ListingState::Removed => return Err(DeskError::NotPublished),
            _ if settled.in_force == NO_DIGEST => return Err(DeskError::Withdrawn),
            _ => {}
        }
        let kept = settled.evidence.as_ref().ok_or(DeskError::EscrowErased)?;
        let (last_sequence, in_force) = match again {
            Some(last) => (last.sequence.saturating_sub(1), statement.previous_digest),
            None => (settled.sequence(), settled.in_force),
        };
        self.core.is_author(self.proof, &kept.presentation, last_sequence, &in_force)?;
        if let Some(last) = again {
            return Ok(self.receipt(Some(last.boundary)));
        }
        let before =
            settled.last.map_or(settled.published_at, |last| last.boundary.max(settled.published_at));
        let boundary = self.boundary(before);
        if let Some(replaced) = &settled.waiting {
            change.delete(&self.due(replaced.boundary));
        }
        change.put(&self.due(boundary), &Present);
        let waiting = match &self.edited {
            Some(review) => WaitingChange::Edit(review.clone()),
            None => WaitingChange::Withdraw,
        };
        let acted = Settled {
            in_force: statement.new_digest,
            last: Some(LastAction {
                sequence: statement.sequence,
                proof_hash: self.proof_hash,
                said,
                boundary,
            }),
            waiting: Some(Waiting { boundary, change: waiting }),
            ..settled
        };
        change.put(&self.key, &ReviewRow::settled(acted));
        Ok(self.receipt(Some(boundary)))
    }

    /// One of the next three boundaries, but none before `before`: the one that a replaced action waited
    /// for, or that of what is changed. Nothing is dated before that, whichever clock dated it.
    fn boundary(&self, before: Timestamp) -> Timestamp {
        let (grid, now) = (self.core.grid, self.core.environment.now());
        let mut open: Vec<Timestamp> =
            (1..=NEXT_BOUNDARIES).map(|count| grid.nth_after(now, count)).collect();
        open.retain(|boundary| *boundary >= before);
        // Empty only if this clock is behind the one that dated the last change.
        let Ok(count @ 1..) = u64::try_from(open.len()) else { return before };
        let drawn = usize::try_from(below(count, &mut *self.core.rng())).unwrap_or_default();
        open.get(drawn).copied().unwrap_or(before)
    }

    fn due(&self, time: Timestamp) -> Key<Present> {
        let task = Task::Apply(self.proof.statement().review_id);
        Due { time, task, scope: self.scope.clone() }.key()
    }

    fn receipt(&self, takes_effect_at: Option<Timestamp>) -> ActionReceipt {
        let said = self.proof.statement();
        ActionReceipt { review_id: said.review_id, sequence: said.sequence, takes_effect_at }
    }

    /// SHA-256 of what the proof says of this review.
    fn said(&self) -> Digest {
        let said = self.proof.statement();
        let hash = Sha256::new_with_prefix([said.action as u8]).chain_update(said.sequence.to_le_bytes());
        hash.chain_update(said.previous_digest).chain_update(said.new_digest).finalize().into()
    }
}
