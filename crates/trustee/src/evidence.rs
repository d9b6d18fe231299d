//! What shows a trustee, and anybody later, which published review a share is about.

use super::ShareContext;
use super::warrant::WarrantTerms;
use rand_core::CryptoRng;
use unjoin_core::algebra::{Escrow, EscrowKey};
use unjoin_core::entry::PublishedEntry;
use unjoin_core::token::{Accepted, Digest, IssuerPublicKey, Presentation, ReviewId, VerifyError};
use unjoin_core::wire::Message;
use unjoin_core::{describe_errors, message, serde_as_bytes};
use unjoin_log::{CosignedEntry, PolicyError, WitnessPolicy};

/// Kind 43, 691 to 51,872 bytes. It has a review's presentation, the desk's proof that its tag was
/// valid, and its published entry in the reviews ledger, which commits to both.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_core::{secret::SystemRng, wire::Message};
/// use unjoin_trustee::ReviewEvidence;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (bytes, trust, committee) = (world.written[0].evidence.to_bytes(), world.trust(), world.panel().committee);
/// // A trustee, who has no secret of the review service.
/// let evidence = ReviewEvidence::from_bytes(&bytes)?;
/// let shown = evidence.verify(trust.issuers, committee.key(), trust.reviews, &mut SystemRng::new())?;
/// assert_eq!(shown.review_id(), &evidence.presentation.review_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewEvidence {
    /// The presentation that the review was accepted with.
    pub presentation: Presentation,
    /// The desk's proof.
    pub accepted: Accepted,
    /// The digest of the review as it was first submitted.
    pub review_digest: Digest,
    /// The published entry, under a cosigned checkpoint of the reviews ledger.
    pub published: CosignedEntry,
}

impl ReviewEvidence {
    /// Checks everything that the desk checked, without its secret, and that the review was
    /// published so: nobody can pass an escrow off as another review's.
    ///
    /// # Errors
    /// [`EvidenceRefusal`] names the first rule that it breaks.
    pub fn verify(
        &self,
        issuers: &[IssuerPublicKey],
        escrow_key: &EscrowKey,
        reviews_ledger: &WitnessPolicy,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<VerifiedReview, EvidenceRefusal> {
        let entry = self.published.verify(reviews_ledger)?;
        let published = PublishedEntry::from_bytes(entry).map_err(|_| EvidenceRefusal::OtherEntry)?;
        let review_id = self.presentation.review_id();
        // All that the entry says of the review, its author key included: only the boundary is the
        // entry's alone.
        let said = PublishedEntry {
            scope: self.presentation.scope().clone(),
            boundary: published.boundary,
            review_id,
            review_digest: self.review_digest,
            presentation_hash: self.presentation.hash(),
            author_key: *self.presentation.author_key(),
        };
        if published != said {
            return Err(EvidenceRefusal::OtherEntry);
        }
        let issuer = issuers.iter().find(|issuer| self.presentation.scope().is_of(issuer));
        let issuer = issuer.ok_or(EvidenceRefusal::Issuer)?;
        if self.presentation.escrow_id() != escrow_key.id() {
            return Err(EvidenceRefusal::EscrowKey);
        }
        self.accepted.verify(issuer, escrow_key, &self.presentation, &self.review_digest, rng)?;
        Ok(VerifiedReview { review_id, escrow: *self.presentation.escrow() })
    }
}

/// A published review with its author's escrow; [`ReviewEvidence::verify`] alone makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedReview {
    review_id: ReviewId,
    escrow: Escrow,
}

impl VerifiedReview {
    unjoin_core::getters! {
        /// The review's id.
        pub review_id -> &ReviewId;
        /// The escrow of its author.
        pub escrow -> &Escrow;
    }

    /// What a share that opens this review under a warrant is bound to.
    pub fn share_context(&self, terms: &WarrantTerms) -> ShareContext {
        ShareContext { warrant_digest: terms.digest(), review_id: self.review_id, escrow: self.escrow }
    }
}

message!(ReviewEvidence = 43, "review evidence":
    presentation as "presentation",
    accepted as "accepted proof",
    review_digest as "review digest",
    published as "published",
);

serde_as_bytes!(ReviewEvidence);

describe_errors! {
    /// Why evidence shows nothing of a review.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::world::{World, budgets};
    /// # use unjoin_core::secret::SystemRng;
    /// use unjoin_trustee::EvidenceRefusal;
    /// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
    /// # let (trust, committee) = (world.trust(), world.panel().committee);
    /// let no_issuer = [];
    /// let refused = world.written[0].evidence.verify(&no_issuer, committee.key(), trust.reviews, &mut SystemRng::new());
    /// assert_eq!(refused.err(), Some(EvidenceRefusal::Issuer));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum EvidenceRefusal (Host, false) {
        /// The entry is not shown to be in the reviews ledger.
        Ledger(#[from] error: PolicyError) => "review_evidence.ledger", "{error}";
        /// The entry is not the publication of a review with this presentation and digest.
        OtherEntry => "review_evidence.other_entry",
            "the ledger's entry does not publish a review with this presentation and digest: take the desk's own";
        /// The token was issued under a key that is not configured.
        Issuer => "review_evidence.issuer" (Operator, false),
            "the review's token is of an issuing key that is not configured here: add the published key";
        /// The author is escrowed to another key than the trustees'.
        EscrowKey => "review_evidence.escrow_key" (Operator, false),
            "the review's author is escrowed to another trustees' key: ask the trustees who hold that one";
        /// A proof does not hold.
        Proof(#[from] error: VerifyError) => "review_evidence.proof", "{error}";
    }
}
