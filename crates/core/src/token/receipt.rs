//! The review service's signed promises: to publish a review, and to log an action.

use super::{
    AuthorAction, AuthorKey, Digest, PlatformKey, PlatformPublicKey, ReviewId, SignError, VerifyError,
};
use crate::time::Timestamp;
use crate::wire::Message;
use crate::{fields, message, serde_as_bytes};

/// What a [`Receipt`] promises.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// let (sent, promised) = (&accepted.sent.presentation, accepted.receipt.terms());
/// assert_eq!(promised.review_id, sent.review_id());
/// assert_eq!(promised.presentation_hash, sent.hash());
/// assert_eq!((promised.publish_by, promised.era), (accepted.sent.publication, 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptTerms {
    /// The review.
    pub review_id: ReviewId,
    /// Its digest.
    pub review_digest: Digest,
    /// SHA-256 of the presentation that it was first accepted with.
    pub presentation_hash: Digest,
    /// The author key in that presentation.
    pub author_key: AuthorKey,
    /// The boundary by which it is published.
    pub publish_by: Timestamp,
    /// The era of the store that accepted it: 1, and one more with every recovery.
    pub era: u32,
}

fields!(ReceiptTerms:
    review_id as "review id",
    review_digest as "review digest",
    presentation_hash as "presentation hash",
    author_key as "author key",
    publish_by as "publish by",
    era as "era",
);

/// Kind 13, 206 bytes: the review service has accepted this review and publishes it by a boundary.
///
/// One that drops a held review, or logs another author key with it, is caught with it.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{token::Receipt, wire::Message};
/// # let shop = Shop::open();
/// # let (pinned, bytes) = (shop.platform_key.public(), shop.accepted().receipt.to_bytes());
/// let receipt = Receipt::from_bytes(&bytes)?;
/// assert!(receipt.verify(&pinned).is_ok());
/// // For another review it does not hold.
/// let other = Receipt::from_bytes(&[&bytes[..2], &[0; 32], &bytes[34..]].concat())?;
/// assert!(other.verify(&pinned).is_err());
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    terms: ReceiptTerms,
    signature: [u8; 64],
}

impl Receipt {
    const LABEL: &'static str = "receipt";

    /// Signs a receipt. Signing is deterministic: the same terms have the same bytes.
    ///
    /// # Errors
    /// [`SignError`], from a key that the host's key management holds.
    pub fn sign(key: &PlatformKey, terms: ReceiptTerms) -> Result<Self, SignError> {
        let mut receipt = Self { terms, signature: [0; 64] };
        receipt.signature = key.sign(Self::LABEL, &signed_part(&receipt))?;
        Ok(receipt)
    }

    /// What it promises.
    pub fn terms(&self) -> &ReceiptTerms {
        &self.terms
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not hold.
    pub fn verify(&self, key: &PlatformPublicKey) -> Result<(), VerifyError> {
        key.verify(Self::LABEL, &signed_part(self), &self.signature)
    }
}

message!(Receipt = 13, "receipt": terms as "terms", signature as "signature");

/// Kind 50, 150 bytes: the review service has accepted an action and logs it by a boundary.
///
/// One that says "done" and drops a withdrawal is caught with it. It stays inside the device
/// until that boundary, so that nobody can ask to see it.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::token::ActionReceipt;
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let action = shop.withdrawal(&accepted);
/// // The withdrawal of a held review is logged when the review would have been published.
/// let boundary = accepted.state.published_at;
/// let receipt = ActionReceipt::sign(&shop.platform_key, &action, boundary, 1)?;
/// assert!(receipt.verify(&shop.platform_key.public()).is_ok());
/// assert_eq!((receipt.action_hash(), receipt.sequence()), (&action.hash(), 1));
/// assert_eq!((receipt.review_id(), receipt.boundary(), receipt.era()), (&accepted.state.review_id, boundary, 1));
/// # Ok::<(), unjoin_core::token::SignError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionReceipt {
    review_id: ReviewId,
    sequence: u64,
    action_hash: Digest,
    boundary: Timestamp,
    era: u32,
    signature: [u8; 64],
}

impl ActionReceipt {
    const LABEL: &'static str = "action-receipt";

    /// Signs the receipt of an action, whose entry is in the ledger by `boundary`. `era` is that
    /// of the store that accepted it, as in [`ReceiptTerms`].
    ///
    /// # Errors
    /// [`SignError`], from a key that the host's key management holds.
    pub fn sign(
        key: &PlatformKey,
        action: &AuthorAction,
        boundary: Timestamp,
        era: u32,
    ) -> Result<Self, SignError> {
        let said = action.statement();
        let mut receipt = Self {
            review_id: said.review_id,
            sequence: said.sequence,
            action_hash: action.hash(),
            boundary,
            era,
            signature: [0; 64],
        };
        receipt.signature = key.sign(Self::LABEL, &signed_part(&receipt))?;
        Ok(receipt)
    }

    crate::getters! {
        /// The review.
        pub review_id -> &ReviewId;
        /// The sequence number that the action has taken.
        pub sequence -> u64;
        /// SHA-256 of the action's message.
        pub action_hash -> &Digest;
        /// The boundary at which it takes effect and is logged. A withdrawal of a held review takes
        /// effect at once, and is logged at the boundary at which the review would have been published.
        pub boundary -> Timestamp;
        /// The era of the store that accepted it.
        pub era -> u32;
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not hold.
    pub fn verify(&self, key: &PlatformPublicKey) -> Result<(), VerifyError> {
        key.verify(Self::LABEL, &signed_part(self), &self.signature)
    }
}

message!(ActionReceipt = 50, "action receipt":
    review_id as "review id",
    sequence as "sequence",
    action_hash as "action hash",
    boundary as "boundary",
    era as "era",
    signature as "signature",
);

serde_as_bytes!(Receipt, ActionReceipt);

/// What is signed of a receipt: its fields, without version and kind, which the label stands for.
fn signed_part(receipt: &impl Message) -> Vec<u8> {
    receipt.before_signature().split_off(2)
}
