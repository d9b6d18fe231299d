//! What the author of a review, and nobody else, can do afterwards.

use super::{Token, Wallet, WalletError};
use rand_core::CryptoRng;
use unjoin_core::Name;
use unjoin_core::algebra::Escrow;
use unjoin_core::token::{
    AuthorAction, AuthorProof, AuthorStatement, Digest, Review, ReviewId, claim_digest,
};

/// Where a review stands: the last accepted sequence number and the digest in force. An
/// author proof must continue exactly there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReviewState {
    /// The number of the last accepted edit or withdrawal; 0 before the first.
    pub last_sequence: u64,
    /// The digest in force; zero after a withdrawal.
    pub digest_in_force: Digest,
}

impl ReviewState {
    /// As submitted: nothing was edited yet.
    pub fn submitted(review: &Review) -> Self {
        Self { last_sequence: 0, digest_in_force: review.digest() }
    }

    /// After the desk accepted this proof. A claim changes nothing.
    #[must_use]
    pub fn after(self, accepted: &AuthorProof) -> Self {
        let said = accepted.statement();
        match said.action {
            AuthorAction::Claim => self,
            AuthorAction::Edit | AuthorAction::Withdraw => {
                Self { last_sequence: said.sequence, digest_in_force: said.new_digest }
            }
        }
    }
}

/// What the author wants.
#[derive(Clone, Copy, Debug)]
pub enum AuthorRequest<'a> {
    /// Replace the review by this one.
    Edit(&'a Review),
    /// Take the review back, for good.
    Withdraw,
    /// Prove authorship to somebody who chose a challenge.
    Claim {
        /// Who asked: shown to the author before he agrees.
        audience: &'a Name,
        /// The 32 bytes that they chose and accept once.
        challenge: &'a [u8; 32],
    },
}

impl AuthorRequest<'_> {
    fn action_and_digest(&self) -> (AuthorAction, Digest) {
        match self {
            Self::Edit(review) => (AuthorAction::Edit, review.digest()),
            Self::Withdraw => (AuthorAction::Withdraw, [0; 32]),
            Self::Claim { audience, challenge } => (AuthorAction::Claim, claim_digest(audience, challenge)),
        }
    }
}

impl Wallet {
    /// Proves that the author of the token's review asks for this, from where the review
    /// stands.
    ///
    /// Whoever sees the proof learns that the author of this review made it, and nothing
    /// else. A claim tells its audience more than the protocol can hide: that whoever
    /// answers them wrote the review.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when the token is another wallet's;
    /// [`WalletError::Withdrawn`] when the review was withdrawn;
    /// [`WalletError::SequenceExhausted`] after 2^64 - 1 edits.
    pub fn author(
        &self,
        token: &Token,
        state: ReviewState,
        request: AuthorRequest<'_>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<AuthorProof, WalletError> {
        if state.digest_in_force == [0; 32] {
            return Err(WalletError::Withdrawn);
        }
        let sequence = state.last_sequence.checked_add(1).ok_or(WalletError::SequenceExhausted)?;
        let order = &token.order;
        let (author, secrets) = self.secrets(order)?;
        let escrow = Escrow::seal(&order.escrow_key, author.wallet_key.point(), secrets.k.expose())
            .ok_or(WalletError::Degenerate)?;
        let (action, new_digest) = request.action_and_digest();
        let statement = AuthorStatement {
            action,
            review_id: ReviewId::new(&order.scope, secrets.s.expose()),
            sequence,
            previous_digest: state.digest_in_force,
            new_digest,
        };
        Ok(AuthorProof::prove(&author.u, &secrets.k, statement, &escrow, &order.escrow_key, rng))
    }
}
