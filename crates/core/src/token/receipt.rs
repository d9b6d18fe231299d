//! The desk's signed promise to publish.

use super::{Digest, PlatformKey, PlatformPublicKey, ReviewId, VerifyError};
use crate::serde_as_bytes;
use crate::time::Timestamp;
use crate::wire::{DecodeError, Message, Reader, Writer};

/// Kind 13, 138 bytes: the desk has accepted this review and publishes it by a boundary.
///
/// A desk that drops a held review is caught with it. An early receipt has no boundary yet
/// and binds together with the cohort's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    review_id: ReviewId,
    review_digest: Digest,
    publish_by: Timestamp,
    signature: [u8; 64],
}

impl Receipt {
    /// Signs a receipt; `publish_by` is `None` before the manifest. Signing is
    /// deterministic: the same receipt has the same bytes.
    pub fn sign(
        key: &PlatformKey,
        review_id: ReviewId,
        review_digest: Digest,
        publish_by: Option<Timestamp>,
    ) -> Self {
        let publish_by = publish_by.unwrap_or(Timestamp::ZERO);
        let unsigned = Self { review_id, review_digest, publish_by, signature: [0; 64] };
        let signature = key.sign("receipt", &unsigned.signed_part());
        Self { signature, ..unsigned }
    }

    /// The review.
    pub fn review_id(&self) -> ReviewId {
        self.review_id
    }

    /// Its digest.
    pub fn review_digest(&self) -> &Digest {
        &self.review_digest
    }

    /// The boundary by which it is published; `None` in an early receipt.
    pub fn publish_by(&self) -> Option<Timestamp> {
        (self.publish_by != Timestamp::ZERO).then_some(self.publish_by)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not hold.
    pub fn verify(&self, key: &PlatformPublicKey) -> Result<(), VerifyError> {
        key.verify("receipt", &self.signed_part(), &self.signature)
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(self.review_id.as_bytes());
        out.raw(&self.review_digest);
        out.timestamp(self.publish_by);
        out.finish()
    }
}

impl Message for Receipt {
    const KIND: u8 = 13;
    const NAME: &'static str = "receipt";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.signed_part());
        out.raw(&self.signature);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            review_id: ReviewId(from.array("review id")?),
            review_digest: from.array("review digest")?,
            publish_by: from.timestamp("publish by")?,
            signature: from.array("signature")?,
        })
    }
}

serde_as_bytes!(Receipt);
