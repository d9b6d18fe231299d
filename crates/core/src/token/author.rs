//! Step 6: the author of a review, and nobody else, edits, withdraws or claims it.

use super::{Digest, ReviewId, VerifyError, verdict};
use crate::algebra::proof::{Base, Equation, Proof, Statement, verify};
use crate::algebra::transcript::hash32;
use crate::algebra::{Escrow, EscrowKey, Generator};
use crate::name::Name;
use crate::serde_as_bytes;
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};
use rand_core::CryptoRng;

/// What the author asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorAction {
    /// Takes the review back; nothing follows it.
    Withdraw = 1,
    /// Replaces it by one with another digest.
    Edit = 2,
    /// Proves authorship to an audience; changes nothing.
    Claim = 3,
}

/// What an author proof says, checked against what the desk keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorStatement {
    /// The action.
    pub action: AuthorAction,
    /// The review.
    pub review_id: ReviewId,
    /// The last accepted sequence number plus one; the first is 1. A claim takes the next
    /// number and uses none up.
    pub sequence: u64,
    /// The review digest in force.
    pub previous_digest: Digest,
    /// Edit: the new review's digest. Claim: [`claim_digest`]. Withdraw: zero.
    pub new_digest: Digest,
}

/// The zero digest of a withdrawn review.
const NO_DIGEST: Digest = [0; 32];

/// Kind 5, 235 bytes: an [`AuthorStatement`] with the proof that whoever made it knows the
/// secrets behind the review's escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorProof {
    statement: AuthorStatement,
    proof: Proof<2, 2>,
}

impl AuthorProof {
    /// What it says.
    pub fn statement(&self) -> &AuthorStatement {
        &self.statement
    }

    /// Whether this is a claim made for this audience over its 32-byte challenge.
    /// [`AuthorProof::verify`] does not know what a claim was asked for: check both.
    pub fn is_claim_for(&self, audience: &Name, challenge: &[u8; 32]) -> bool {
        self.statement.action == AuthorAction::Claim
            && self.statement.new_digest == claim_digest(audience, challenge)
    }

    /// Proves authorship with the witnesses of the escrow.
    #[doc(hidden)]
    pub fn prove(
        u: &crate::secret::SecretScalar,
        k: &crate::secret::SecretScalar,
        statement: AuthorStatement,
        escrow: &Escrow,
        escrow_key: &EscrowKey,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let relation = relation(&statement, escrow, escrow_key);
        let proof = crate::algebra::proof::prove(&relation, [u.expose(), k.expose()], rng);
        Self { statement, proof }
    }

    /// Checks the proof for a review's stored escrow, and that it continues that review:
    /// `last_sequence` is the last accepted number (0 before the first), `in_force` the
    /// digest in force, zero after a withdrawal.
    ///
    /// # Errors
    /// [`VerifyError`] when it is about another review, comes out of sequence, follows a
    /// withdrawal, or does not hold.
    pub fn verify(
        &self,
        review_id: &ReviewId,
        last_sequence: u64,
        in_force: &Digest,
        escrow: &Escrow,
        escrow_key: &EscrowKey,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        let said = &self.statement;
        verdict(&said.review_id == review_id)?;
        verdict(last_sequence.checked_add(1) == Some(said.sequence))?;
        verdict(&said.previous_digest == in_force && in_force != &NO_DIGEST)?;
        verdict(digest_fits(said.action, &said.new_digest))?;
        verdict(verify(&relation(said, escrow, escrow_key), &self.proof, rng))
    }
}

/// A withdrawal has the zero digest, everything else another one.
fn digest_fits(action: AuthorAction, digest: &Digest) -> bool {
    (action == AuthorAction::Withdraw) == (digest == &NO_DIGEST)
}

fn relation(said: &AuthorStatement, escrow: &Escrow, escrow_key: &EscrowKey) -> Statement {
    Statement::new("author")
        .item(&[said.action as u8])
        .item(said.review_id.as_bytes())
        .item(&said.sequence.to_le_bytes())
        .item(&said.previous_digest)
        .item(&said.new_digest)
        .item(escrow_key.element().as_bytes())
        .item(escrow.e1.as_bytes())
        .item(escrow.e2.as_bytes())
        .equation(Equation::of(escrow.e1).plus(1, Generator::G))
        .equation(Equation::of(escrow.e2).plus(0, Generator::Gu).plus(1, Base::Key(*escrow_key.element())))
}

/// The new digest of a claim, `H32("claim", audience, challenge)`: ties it to whoever asked
/// and to the 32 bytes that they chose.
pub fn claim_digest(audience: &Name, challenge: &[u8; 32]) -> Digest {
    hash32("claim", &[audience.as_bytes(), challenge])
}

impl Message for AuthorProof {
    const KIND: u8 = 5;
    const NAME: &'static str = "author proof";

    fn encode_body(&self, out: &mut Writer) {
        out.u8(self.statement.action as u8);
        out.raw(self.statement.review_id.as_bytes());
        out.le64(self.statement.sequence);
        out.raw(&self.statement.previous_digest);
        out.raw(&self.statement.new_digest);
        out.elements(&self.proof.commitments);
        out.scalars(&self.proof.responses);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let action = match from.u8("action")? {
            1 => AuthorAction::Withdraw,
            2 => AuthorAction::Edit,
            3 => AuthorAction::Claim,
            _ => return Err(from.refuse(Rule::Value)),
        };
        let statement = AuthorStatement {
            action,
            review_id: ReviewId(from.array("review id")?),
            sequence: from.le64("sequence")?,
            previous_digest: from.array("previous digest")?,
            new_digest: from.array("new digest")?,
        };
        // A digest that does not fit its action can never be accepted: refused at the door.
        if !digest_fits(action, &statement.new_digest) || statement.sequence == 0 {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self {
            statement,
            proof: Proof { commitments: from.elements("T")?, responses: from.scalars("z")? },
        })
    }
}

serde_as_bytes!(AuthorProof);
