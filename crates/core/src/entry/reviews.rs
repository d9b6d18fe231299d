//! Entries of the reviews ledger. The manifest of a cohort (kind 10) is one too, as it is.

use crate::serde_as_bytes;
use crate::time::Timestamp;
use crate::token::ReviewId;
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};

/// Kind 16, 106 bytes: a review was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedEntry {
    /// The review's id.
    pub review_id: ReviewId,
    /// The review digest.
    pub review_digest: [u8; 32],
    /// SHA-256 of the presentation that it was accepted with.
    pub presentation_hash: [u8; 32],
    /// The boundary.
    pub boundary: Timestamp,
}

/// Kind 17, 114 bytes: the author replaced a published review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditedEntry {
    /// The review's id.
    pub review_id: ReviewId,
    /// The author's sequence number.
    pub sequence: u64,
    /// The new review digest.
    pub review_digest: [u8; 32],
    /// SHA-256 of the author proof.
    pub proof_hash: [u8; 32],
    /// The boundary at which it took effect.
    pub boundary: Timestamp,
}

/// Kind 18, 82 bytes: the author took a review back, while it was held or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawnEntry {
    /// The review's id.
    pub review_id: ReviewId,
    /// The author's sequence number.
    pub sequence: u64,
    /// SHA-256 of the author proof.
    pub proof_hash: [u8; 32],
    /// The boundary at which it took effect; for a held review, the one at which it would
    /// have been published.
    pub boundary: Timestamp,
}

/// Kind 19: the platform removed a review. At most 614 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedEntry {
    /// The review's id.
    pub review_id: ReviewId,
    /// The digest that was in force.
    pub review_digest: [u8; 32],
    /// Who removed it: 1 to 64 bytes, as the host names its staff or the court.
    pub who: Vec<u8>,
    /// On what grounds: 1 to [`RemovedEntry::MAX_GROUNDS`] bytes of UTF-8.
    pub grounds: String,
}

impl RemovedEntry {
    /// The most bytes that `who` may have.
    pub const MAX_WHO: usize = 64;
    /// The most bytes that the grounds may have.
    pub const MAX_GROUNDS: usize = 480;
}

impl Message for PublishedEntry {
    const KIND: u8 = 16;
    const NAME: &'static str = "published entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(self.review_id.as_bytes());
        out.raw(&self.review_digest);
        out.raw(&self.presentation_hash);
        out.timestamp(self.boundary);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            review_id: ReviewId(from.array("review id")?),
            review_digest: from.array("review digest")?,
            presentation_hash: from.array("presentation hash")?,
            boundary: from.timestamp("boundary")?,
        })
    }
}

impl Message for EditedEntry {
    const KIND: u8 = 17;
    const NAME: &'static str = "edited entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(self.review_id.as_bytes());
        out.le64(self.sequence);
        out.raw(&self.review_digest);
        out.raw(&self.proof_hash);
        out.timestamp(self.boundary);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            review_id: ReviewId(from.array("review id")?),
            sequence: from.le64("sequence")?,
            review_digest: from.array("review digest")?,
            proof_hash: from.array("proof hash")?,
            boundary: from.timestamp("boundary")?,
        })
    }
}

impl Message for WithdrawnEntry {
    const KIND: u8 = 18;
    const NAME: &'static str = "withdrawn entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(self.review_id.as_bytes());
        out.le64(self.sequence);
        out.raw(&self.proof_hash);
        out.timestamp(self.boundary);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            review_id: ReviewId(from.array("review id")?),
            sequence: from.le64("sequence")?,
            proof_hash: from.array("proof hash")?,
            boundary: from.timestamp("boundary")?,
        })
    }
}

impl Message for RemovedEntry {
    const KIND: u8 = 19;
    const NAME: &'static str = "removed entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(self.review_id.as_bytes());
        out.raw(&self.review_digest);
        out.bytes(&self.who);
        out.bytes(self.grounds.as_bytes());
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (review_id, review_digest) = (ReviewId(from.array("review id")?), from.array("review digest")?);
        let who = from.bytes("who", 1, Self::MAX_WHO)?.to_vec();
        let grounds = from.bytes("grounds", 1, Self::MAX_GROUNDS)?;
        let grounds = core::str::from_utf8(grounds).map_err(|_| from.refuse(Rule::Value))?.to_owned();
        Ok(Self { review_id, review_digest, who, grounds })
    }
}

serde_as_bytes!(PublishedEntry, EditedEntry, WithdrawnEntry, RemovedEntry);
