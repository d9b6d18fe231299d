//! Entries of the reviews ledger. The manifest of a cohort (kind 10) is one too, as it is.
//!
//! What an author did stands here in full, with the signature. Anybody can check with the ledger
//! alone that the author, and nobody else, changed a review. Only that the first author key is the
//! author's is checked elsewhere: by their device, against its receipt.

use super::signed::{
    SignedEntry, checked_with_a_key_of_the_staffs, checked_with_the_platforms_key, signed_message,
};
use crate::name::Name;
use crate::time::Timestamp;
use crate::token::{
    ActionKind, AuthorAction, AuthorKey, Digest, PlatformKey, ReviewId, Scope, SignError, StaffKey,
    StaffPublicKey,
};
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};
use crate::{message, serde_as_bytes};

/// Kind 16, 180 bytes and the merchant's name: a review was published. Its manifest is before
/// it in the ledger, and the boundary is one of the manifest's.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{entry::PublishedEntry, wire::Message};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// // The receipt promised all of it.
/// let (promised, scope) = (accepted.receipt.terms(), accepted.token.scope());
/// let entry = PublishedEntry {
///     scope: scope.clone(),
///     boundary: promised.publish_by,
///     review_id: promised.review_id,
///     review_digest: promised.review_digest,
///     presentation_hash: promised.presentation_hash,
///     author_key: promised.author_key,
/// };
/// assert_eq!(entry.to_bytes().len(), 180 + scope.merchant().as_bytes().len());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedEntry {
    /// The cohort that it was published with.
    pub scope: Scope,
    /// The boundary.
    pub boundary: Timestamp,
    /// The review's id.
    pub review_id: ReviewId,
    /// The review digest.
    pub review_digest: Digest,
    /// SHA-256 of the presentation that it was accepted with.
    pub presentation_hash: Digest,
    /// The author key in that presentation.
    pub author_key: AuthorKey,
}

/// Kind 17, 181 bytes: what the author of a published review asked for, edit or withdrawal.
/// Every accepted action is logged: one that a later one overtook, at that one's boundary.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{entry::ActionEntry, wire::Message};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let action = shop.withdrawal(&accepted);
/// let entry = ActionEntry { action, boundary: accepted.state.published_at };
/// let read = ActionEntry::from_bytes(&entry.to_bytes())?;
/// // Everybody who has the author key of the published entry checks that its author did it.
/// let (review, author) = (accepted.state.review_id, accepted.sent.presentation.author_key());
/// assert!(read.action.verify(author, &review).is_ok());
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionEntry {
    /// The signed action.
    pub action: AuthorAction,
    /// The boundary at which it took effect.
    pub boundary: Timestamp,
}

/// Kind 18, 245 bytes: the author took a review back while it was held. It names no scope: a
/// merchant would learn that one of its k customers has given in.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{entry::HeldWithdrawalEntry, wire::Message};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let action = shop.withdrawal(&accepted);
/// let presentation = &accepted.sent.presentation;
/// let entry = HeldWithdrawalEntry {
///     action,
///     author_key: *presentation.author_key(),
///     presentation_hash: presentation.hash(),
///     boundary: accepted.state.published_at,
/// };
/// assert_eq!(entry.to_bytes().len(), 245);
/// assert!(entry.action.verify(&entry.author_key, &presentation.review_id()).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldWithdrawalEntry {
    /// The signed withdrawal, whose sequence number is 1.
    pub action: AuthorAction,
    /// The author key of the review.
    pub author_key: AuthorKey,
    /// SHA-256 of the presentation that the review was accepted with.
    pub presentation_hash: Digest,
    /// The boundary at which the review would have been published.
    pub boundary: Timestamp,
}

/// Kind 19, at most 644 bytes: the platform removed a review, signed by the key of the person who did it.
///
/// ```
/// use unjoin_core::{entry::RemovedEntry, secret::SystemRng, token::{ReviewId, StaffKey}};
/// let judge = StaffKey::generate(&mut SystemRng::new());
/// let (review, digest) = (ReviewId([1; 32]), [2; 32]);
/// let entry = RemovedEntry::sign(&judge, "shop.example/reviews", review, digest, "court order 17/23")?;
/// assert!(entry.verify("shop.example/reviews").is_ok() && entry.verify("other.example").is_err());
/// assert_eq!((entry.grounds(), entry.claimed_key()), ("court order 17/23", judge.public().as_bytes()));
/// # Ok::<(), unjoin_core::token::SignError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedEntry {
    review_id: ReviewId,
    review_digest: Digest,
    grounds: String,
    staff_key: [u8; 32],
    signature: [u8; 64],
}

/// Kind 53, at most 164 bytes: a key of the platform's staff, or of a court, that may sign
/// removals. Signed by the platform's key; the first entry of a key counts.
///
/// ```
/// use unjoin_core::{Name, entry::StaffKeyEntry, secret::SystemRng, token::{PlatformKey, StaffKey}};
/// let rng = &mut SystemRng::new();
/// let (platform, judge) = (PlatformKey::generate(rng), StaffKey::generate(rng));
/// let who = Name::new("court of trade")?;
/// let entry = StaffKeyEntry::sign(&platform, "shop.example/reviews", &judge.public(), who.clone())?;
/// assert!(entry.verify(&platform.public(), "shop.example/reviews").is_ok());
/// assert_eq!((entry.who(), entry.staff_key()), (&who, judge.public().as_bytes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffKeyEntry {
    staff_key: [u8; 32],
    who: Name,
    signature: [u8; 64],
}

impl RemovedEntry {
    /// Signs a removal: of the review whose digest in the listing is `review_digest`, on these
    /// `grounds` (1 to [`RemovedEntry::MAX_GROUNDS`] bytes), for the reviews ledger with this
    /// origin.
    ///
    /// # Errors
    /// [`SignError`]: [`SignError::Limits`] when the grounds are empty or longer.
    pub fn sign(
        key: &StaffKey,
        origin: &str,
        review_id: ReviewId,
        review_digest: Digest,
        grounds: &str,
    ) -> Result<Self, SignError> {
        let unsigned = Self {
            review_id,
            review_digest,
            grounds: grounds.to_owned(),
            staff_key: *key.public().as_bytes(),
            signature: [0; 64],
        };
        unsigned.signed_with(key.signer(), origin)
    }

    crate::getters! {
        /// The review.
        pub review_id -> &ReviewId;
        /// The digest that was in the listing.
        pub review_digest -> &Digest;
    }
}

impl StaffKeyEntry {
    /// Signs the entry of a key, for the reviews ledger with this origin. `who` is how the host
    /// names its holder; it is public.
    ///
    /// # Errors
    /// [`SignError`], from a key that the host's key management holds.
    pub fn sign(
        platform: &PlatformKey,
        origin: &str,
        key: &StaffPublicKey,
        who: Name,
    ) -> Result<Self, SignError> {
        let unsigned = Self { staff_key: *key.as_bytes(), who, signature: [0; 64] };
        unsigned.signed_with(platform.signer(), origin)
    }

    crate::getters! {
        /// The key, 32 bytes.
        pub staff_key -> &[u8; 32];
        /// Who holds it.
        pub who -> &Name;
    }
}

signed_message!(RemovedEntry = 19, "removed entry", "removal":
    review_id as "review id",
    review_digest as "review digest",
    grounds as "grounds" of(1..=Self::MAX_GROUNDS),
    staff_key as "staff key");
checked_with_a_key_of_the_staffs!(RemovedEntry);

signed_message!(StaffKeyEntry = 53, "staff key entry", "staff-key": staff_key as "staff key", who as "who");
checked_with_the_platforms_key!(StaffKeyEntry);

message!(PublishedEntry = 16, "published entry":
    scope as "scope",
    boundary as "boundary",
    review_id as "review id",
    review_digest as "review digest",
    presentation_hash as "presentation hash",
    author_key as "author key",
);

impl Message for ActionEntry {
    const KIND: u8 = 17;
    const NAME: &'static str = "action entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.action.to_bytes());
        out.timestamp(self.boundary);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { action: decode_action(from)?, boundary: from.timestamp("boundary")? })
    }
}

impl Message for HeldWithdrawalEntry {
    const KIND: u8 = 18;
    const NAME: &'static str = "held withdrawal entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.action.to_bytes());
        out.raw(self.author_key.as_bytes());
        out.raw(&self.presentation_hash);
        out.timestamp(self.boundary);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let action = decode_action(from)?;
        let said = action.statement();
        if said.kind != ActionKind::Withdraw || said.sequence != 1 {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self {
            action,
            author_key: AuthorKey(from.array("author key")?),
            presentation_hash: from.array("presentation hash")?,
            boundary: from.timestamp("boundary")?,
        })
    }
}

/// A whole kind 5, version and kind included.
fn decode_action(from: &mut Reader<'_>) -> Result<AuthorAction, DecodeError> {
    AuthorAction::from_bytes(&from.array::<171>("action")?)
}

serde_as_bytes!(PublishedEntry, ActionEntry, HeldWithdrawalEntry, RemovedEntry, StaffKeyEntry);
