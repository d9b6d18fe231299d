//! The author's actions: recognised by the escrow, never by a name.

use super::rows::{self, DUE_VALUE, Due, Task};
use super::values::{
    Change, CohortRow, LastAction, NO_DIGEST, PRUNED, ReviewRow, Settled, Standing, Stored, TakenBack,
    Waiting, read_presentation, read_row,
};
use super::{Core, DeskError};
use crate::name::Name;
use crate::secret::below;
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::{AuthorAction, AuthorProof, Digest, Review, ReviewId, Scope};
use crate::wire::Message;
use sha2::{Digest as _, Sha256};

/// So many boundaries an edit or a withdrawal may wait for.
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
        run_one(&*self.store, Action { core: self, scope, proof, proof_hash, edited })?
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
        let rows = self.store.read(&[rows::review(scope, &said.review_id), rows::cohort(scope)])?;
        let row = |at: usize| rows.get(at).and_then(Option::as_deref);
        match read_row::<ReviewRow>(row(0))? {
            None => Err(absent(row(1))?),
            Some(ReviewRow::TakenBack(_)) => Err(DeskError::Withdrawn),
            Some(ReviewRow::Held(held)) => self.is_author(proof, &held.presentation, 0, &held.digest)?,
            Some(ReviewRow::Settled(settled)) if settled.in_force == NO_DIGEST => Err(DeskError::Withdrawn),
            Some(ReviewRow::Settled(settled)) => match &settled.evidence {
                None => Err(DeskError::EscrowErased),
                Some(kept) => {
                    self.is_author(proof, &kept.presentation, settled.sequence(), &settled.in_force)?
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
    ) -> Result<Result<(), DeskError>, StoreError> {
        let presentation = read_presentation(presentation)?;
        let ring = self.ring();
        let Some(pair) = ring.find(presentation.scope().key_id()) else {
            return Ok(Err(DeskError::UnknownKey));
        };
        let (id, escrow) = (presentation.review_id(), presentation.escrow());
        let verdict = proof.verify(&id, last_sequence, in_force, escrow, &pair.escrow_key, &mut *self.rng());
        Ok(verdict.map_err(|_| DeskError::Refused))
    }
}

/// Why a review has no row, given its cohort's.
fn absent(cohort: Option<&[u8]>) -> Result<DeskError, StoreError> {
    let pruned = read_row::<CohortRow>(cohort)?.is_some_and(|cohort| cohort.sealed == PRUNED);
    Ok(if pruned { DeskError::EscrowErased } else { DeskError::UnknownReview })
}

/// An edit or a withdrawal, whose new review was checked against its digest.
struct Action<'a, S> {
    core: &'a Core<S>,
    scope: &'a Scope,
    proof: &'a AuthorProof,
    proof_hash: Digest,
    edited: Option<Review>,
}

impl<S: Store> Decision for Action<'_, S> {
    type Answer = Result<ActionReceipt, DeskError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![rows::review(self.scope, &self.proof.statement().review_id), rows::cohort(self.scope)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let stored = rows.first().and_then(Option::as_deref);
        match read_row::<ReviewRow>(stored)? {
            None => Ok(Step::Answer(Err(absent(rows.get(1).and_then(Option::as_deref))?))),
            Some(ReviewRow::TakenBack(taken)) => {
                Ok(Step::Answer(match taken.proof_hash == self.proof_hash {
                    true => Ok(self.receipt(None)),
                    false => Err(DeskError::Withdrawn),
                }))
            }
            Some(ReviewRow::Held(held)) => {
                if self.proof.statement().action != AuthorAction::Withdraw {
                    return Ok(Step::Answer(Err(DeskError::Held)));
                }
                if let Err(refused) = self.core.is_author(self.proof, &held.presentation, 0, &held.digest)? {
                    return Ok(Step::Answer(Err(refused)));
                }
                // Content and escrow go at once. The ledger's entry is written at the boundary
                // at which the review would have been published: the withdrawal's time is
                // nobody's business.
                let taken = TakenBack { publish_by: held.publish_by, proof_hash: self.proof_hash };
                let commit = self.replace(stored, &ReviewRow::TakenBack(taken));
                Ok(Step::Commit(commit, Ok(self.receipt(None))))
            }
            Some(ReviewRow::Settled(settled)) => self.decide_published(stored, *settled),
        }
    }
}

impl<S: Store> Action<'_, S> {
    fn decide_published(
        &self,
        stored: Option<&[u8]>,
        settled: Settled,
    ) -> Result<Step<<Self as Decision>::Answer>, StoreError> {
        let (said, said_digest) = (self.proof.statement(), self.said());
        let answer = |answer| Ok(Step::Answer(answer));
        // The last accepted action again: the same bytes, or the same statement proved anew.
        let again = settled.last.filter(|last| last.said == said_digest);
        if let Some(last) = again.filter(|last| last.proof_hash == self.proof_hash) {
            return answer(Ok(self.receipt(Some(last.boundary))));
        }
        match settled.standing {
            _ if again.is_some() => {}
            Standing::Removed => return answer(Err(DeskError::NotPublished)),
            _ if settled.in_force == NO_DIGEST => return answer(Err(DeskError::Withdrawn)),
            _ => {}
        }
        let Some(kept) = &settled.evidence else { return answer(Err(DeskError::EscrowErased)) };
        let (last_sequence, in_force) = match again {
            Some(last) => (last.sequence.saturating_sub(1), said.previous_digest),
            None => (settled.sequence(), settled.in_force),
        };
        if let Err(refused) = self.core.is_author(self.proof, &kept.presentation, last_sequence, &in_force)? {
            return answer(Err(refused));
        }
        if let Some(last) = again {
            return answer(Ok(self.receipt(Some(last.boundary))));
        }
        let before =
            settled.last.map_or(settled.published_at, |last| last.boundary.max(settled.published_at));
        let boundary = self.boundary(before);
        let change = match &self.edited {
            Some(review) => Change::Edit(review.clone()),
            None => Change::Withdraw,
        };
        let last =
            LastAction { sequence: said.sequence, proof_hash: self.proof_hash, said: said_digest, boundary };
        let replaced = settled.waiting.as_ref().map(|waiting| self.due(waiting.boundary).key());
        let acted = Settled {
            in_force: said.new_digest,
            last: Some(last),
            waiting: Some(Waiting { boundary, change }),
            ..settled
        };
        let mut commit = self.replace(stored, &ReviewRow::Settled(Box::new(acted)));
        if let Some(key) = replaced {
            commit = commit.delete(key);
        }
        commit = commit.put(self.due(boundary).key(), DUE_VALUE.to_vec());
        Ok(Step::Commit(commit, Ok(self.receipt(Some(boundary)))))
    }

    /// One of the next three boundaries, but none before `before`: the one that a replaced action waited
    /// for, or that of what is changed. Nothing is dated before that, whichever clock dated it.
    fn boundary(&self, before: Timestamp) -> Timestamp {
        let (grid, now) = (self.core.grid, self.core.environment.now());
        let mut open: Vec<Timestamp> =
            (1..=NEXT_BOUNDARIES).map(|count| grid.nth_after(now, count)).collect();
        open.retain(|boundary| *boundary >= before);
        // Empty only for a clock that stands behind the one that dated the last change.
        let Ok(count @ 1..) = u64::try_from(open.len()) else { return before };
        let drawn = usize::try_from(below(count, &mut *self.core.rng())).unwrap_or_default();
        open.get(drawn).copied().unwrap_or(before)
    }

    fn due(&self, time: Timestamp) -> Due {
        Due { time, task: Task::Apply(self.proof.statement().review_id), scope: self.scope.clone() }
    }

    fn replace(&self, stored: Option<&[u8]>, row: &ReviewRow) -> Commit {
        let RowKey { bucket, key } = rows::review(self.scope, &self.proof.statement().review_id);
        Commit::new(bucket).expect(&key, stored).put(key, row.to_value())
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
