//! The review itself, in the canonical bytes that its digest stands for.

use super::{Digest, sha256};
use crate::describe_errors;
use crate::serde_as_bytes;
use crate::wire::{DecodeError, Message, Reader, Rule, Sequence, Writer, get_few, put_few};

/// Kind 12: stars, text and the digests of attachments. At most 4,614 bytes.
///
/// ```
/// use unjoin_core::token::Review;
/// let review = Review::new(1, "The lamp came broken.", vec![])?;
/// assert_eq!(review.digest().len(), 32);
/// # Ok::<(), unjoin_core::token::ReviewError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    stars: u8,
    text: String,
    attachments: Vec<Digest>,
}

impl Review {
    /// The most bytes of UTF-8 that a review's text may have.
    pub const MAX_TEXT: usize = 4_096;
    /// The most attachments.
    pub const MAX_ATTACHMENTS: usize = 16;

    /// A review of 1 to 5 stars; `attachments` are SHA-256 digests of files kept elsewhere.
    ///
    /// # Errors
    /// [`ReviewError`] when a part is out of its limits.
    pub fn new(stars: u8, text: impl Into<String>, attachments: Vec<Digest>) -> Result<Self, ReviewError> {
        let text = text.into();
        if !(1..=5).contains(&stars) {
            return Err(ReviewError::Stars);
        }
        if text.len() > Self::MAX_TEXT {
            return Err(ReviewError::Text);
        }
        if attachments.len() > Self::MAX_ATTACHMENTS {
            return Err(ReviewError::Attachments);
        }
        Ok(Self { stars, text, attachments })
    }

    crate::getters! {
        /// 1 to 5.
        pub stars -> u8;
        /// The text, at most [`Review::MAX_TEXT`] bytes.
        pub text -> &str;
        /// SHA-256 digests of the attachments.
        pub attachments -> &[Digest];
    }

    /// The review digest: SHA-256 of the whole message.
    pub fn digest(&self) -> Digest {
        sha256(&self.to_bytes())
    }
}

impl Message for Review {
    const KIND: u8 = 12;
    const NAME: &'static str = "review";

    fn encode_body(&self, out: &mut Writer) {
        out.u8(self.stars);
        Sequence::put(&self.text, out);
        put_few(&self.attachments, out);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let stars = from.u8("stars")?;
        if !(1..=5).contains(&stars) {
            return Err(from.refuse(Rule::Value));
        }
        let text = Sequence::get(from, "text", 0..=Self::MAX_TEXT)?;
        Ok(Self { stars, text, attachments: get_few(from, "attachments", Self::MAX_ATTACHMENTS)? })
    }
}

serde_as_bytes!(Review);

describe_errors! {
    /// Why something is no review.
    ///
    /// ```
    /// use unjoin_core::token::{Review, ReviewError};
    /// assert_eq!(Review::new(6, "Too good to be true.", vec![]), Err(ReviewError::Stars));
    /// assert_eq!(Review::new(1, "x".repeat(4_097), vec![]), Err(ReviewError::Text));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum ReviewError (Device, false) {
        /// The stars are not 1 to 5.
        Stars => "review.stars", "a review has 1 to 5 stars";
        /// The text is longer than [`Review::MAX_TEXT`] bytes.
        Text => "review.text", "a review's text has at most {} bytes", Review::MAX_TEXT;
        /// There are more than [`Review::MAX_ATTACHMENTS`] attachments.
        Attachments => "review.attachments", "a review has at most {} attachments", Review::MAX_ATTACHMENTS;
    }
}
