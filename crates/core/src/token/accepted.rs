//! Step 5: the desk's proof that the tag behind an accepted presentation was valid. Only
//! the issuing key can check `A_bar = x * A'`; this lets trustees and auditors rely on it.

use super::{Digest, IssuerKey, IssuerPublicKey, Presentation, VerifyError, verdict};
use crate::algebra::proof::{BatchVerifier, Equation, Proof, Statement, prove};
use crate::algebra::{EscrowKey, Generator};
use crate::{message, serde_as_bytes};
use rand_core::CryptoRng;

/// Kind 8, 98 bytes: the proof of `X = x*G`, `A_bar = x*A'`, bound to the review.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{secret::SystemRng, token::Accepted};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (key, escrow_key) = (&shop.issuer_key, &shop.escrow_key);
/// # let (presentation, digest, rng) = (accepted.sent.presentation, accepted.review.digest(), &mut SystemRng::new());
/// let proof = Accepted::prove(key, &presentation, &digest, rng);
/// // A trustee has the public half alone.
/// assert!(proof.verify(key.public(), escrow_key, &presentation, &digest, rng).is_ok());
/// assert!(proof.verify_alone(key.public(), &presentation, &[0; 32], rng).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    proof: Proof<2, 1>,
}

impl Accepted {
    /// Proves it for a presentation that was verified.
    pub fn prove(
        key: &IssuerKey,
        presentation: &Presentation,
        review_digest: &Digest,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let statement = statement(key.public(), presentation, review_digest);
        Self { proof: prove(&statement, [key.x()], rng) }
    }

    /// Checks it together with the presentation's own proof: everything that the desk
    /// checked, without the issuing secret.
    ///
    /// # Errors
    /// [`VerifyError`] when the key id, the escrow id or one of the proofs does not hold.
    pub fn verify(
        &self,
        key: &IssuerPublicKey,
        escrow_key: &EscrowKey,
        presentation: &Presentation,
        review_digest: &Digest,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        verdict(presentation.names(key, escrow_key))?;
        let mut batch = BatchVerifier::new(rng, 2);
        let presented = presentation.statement(key, escrow_key, review_digest);
        batch.add(&presented, presentation.proof());
        batch.add(&statement(key, presentation, review_digest), &self.proof);
        verdict(batch.holds())
    }

    /// Checks this proof alone, for a presentation that was verified already.
    ///
    /// # Errors
    /// [`VerifyError`] when the scope is another key's or the proof does not hold.
    pub fn verify_alone(
        &self,
        key: &IssuerPublicKey,
        presentation: &Presentation,
        review_digest: &Digest,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        verdict(presentation.scope().is_of(key))?;
        let mut batch = BatchVerifier::new(rng, 1);
        batch.add(&statement(key, presentation, review_digest), &self.proof);
        verdict(batch.holds())
    }
}

fn statement(key: &IssuerPublicKey, presentation: &Presentation, review_digest: &Digest) -> Statement {
    Statement::new("accepted")
        .item(&presentation.scope().to_bytes())
        .item(key.element().as_bytes())
        .item(presentation.tag().as_bytes())
        .item(presentation.image().as_bytes())
        .item(presentation.review_id().as_bytes())
        .item(review_digest)
        .equation(Equation::of(*key.element()).plus(0, Generator::G))
        .equation(Equation::of(*presentation.image()).plus(0, *presentation.tag()))
}

message!(Accepted = 8, "accepted proof": proof as "proof");

serde_as_bytes!(Accepted);
