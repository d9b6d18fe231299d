//! Entries of the openings ledger: bindings, what is asked of the trustees, and what they did.
//! None names an account, a wallet key, a decrypted share or, until the warrant's blind is
//! disclosed, a review.
//!
//! Who holds the trustees' key, epoch by epoch, is in the ledger as the ceremony's own
//! message, `SignedCommittee`, whose verification takes the group.

use super::signed::{SignedEntry, checked_with_its_key, signed_message};
use crate::algebra::Element;
use crate::algebra::transcript::hash32;
use crate::name::Name;
use crate::signature::{HostKey, SignError};
use crate::token::{ReviewId, binding_commitment};
use crate::trustee_key::{MAX_TRUSTEES, TrusteeKey};
use crate::{message, one_byte, serde_as_bytes};

/// What a warrant asks for, as its entry says; the codes of the share proof's action.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_core::entry::WarrantAction;
/// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
/// let terms = world.terms(WarrantAction::SameAuthor, &[0, 1]);
/// assert_eq!(terms.action(), WarrantAction::SameAuthor);
/// // The code that the entry holds.
/// assert_eq!(WarrantAction::Open as u8, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WarrantAction {
    /// Whether reviews have one author, who is not named.
    SameAuthor = 1,
    /// Who wrote a review.
    Open = 2,
}

one_byte!(WarrantAction: SameAuthor, Open);

/// H32("warrant", warrant digest, blind): what the ledger holds of a warrant. The digest is
/// SHA-256 of the signed text, the blind 32 random bytes.
pub fn warrant_commitment(warrant_digest: &[u8; 32], blind: &[u8; 32]) -> [u8; 32] {
    hash32("warrant", &[warrant_digest, blind])
}

/// H32("release", warrant digest, blind, review id): the tag under which a share's release is
/// logged. With the warrant's disclosure a review is found by it, and without it is not.
pub fn release_tag(warrant_digest: &[u8; 32], blind: &[u8; 32], review_id: &ReviewId) -> [u8; 32] {
    hash32("release", &[warrant_digest, blind, review_id.as_bytes()])
}

/// Kind 24, 66 bytes: a hiding commitment to the binding of a wallet key to an account.
///
/// Of several with one wallet key the first counts, for openings under warrants logged after it.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{Name, entry::BindingEntry};
/// # let shop = Shop::open();
/// let (account, key) = (Name::new("account-7")?, shop.wallet.wallet_key(&shop.name)?);
/// let (entry, again) = (BindingEntry::new(&account, &key, &[1; 32]), BindingEntry::new(&account, &key, &[2; 32]));
/// // Of one wallet key; and without the blind nobody sees whose.
/// assert_eq!(entry.wallet_key_hash, again.wallet_key_hash);
/// assert_ne!(entry.commitment, again.commitment);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingEntry {
    /// H32("binding-key", U): two entries with the same are of one wallet key. Only who has `U` knows of
    /// which.
    pub wallet_key_hash: [u8; 32],
    /// H32("binding", account, U, blind).
    pub commitment: [u8; 32],
}

impl BindingEntry {
    /// Binds wallet key `U` to the account; `blind` is the 32 bytes that open the commitment.
    pub fn new(account: &Name, wallet_key: &Element, blind: &[u8; 32]) -> Self {
        Self {
            wallet_key_hash: hash32("binding-key", &[wallet_key.as_bytes()]),
            commitment: binding_commitment(account, wallet_key, blind),
        }
    }
}

/// Kind 25, 136 to 2,215 bytes: a warrant was presented.
///
/// One of the requester's officers signs it. So nobody uses up another requester's budget, and no
/// cooling-off runs for a text that nobody has signed yet. A tag that it does not list counts nowhere.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_core::{entry::{WarrantAction, WarrantEntry}, wire::Message};
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let logged = world.entry(&world.warrant(&[0]));
/// // What the ledger tells of a warrant: who asks for what, of how many reviews, and not which.
/// let entry = WarrantEntry::from_bytes(&logged)?;
/// assert_eq!((entry.requester(), entry.action()), (&b"court of trade"[..], WarrantAction::Open));
/// assert!(entry.tags().len() == 1 && !entry.lists(world.id(0).as_bytes()));
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarrantEntry {
    commitment: [u8; 32],
    requester: Vec<u8>,
    action: WarrantAction,
    tags: Vec<[u8; 32]>,
    signature: [u8; 64],
}

impl WarrantEntry {
    /// The most bytes that the requester's name may have.
    pub const MAX_REQUESTER: usize = 64;
    /// The most tags.
    pub const MAX_TAGS: usize = 64;

    /// Announces a warrant in the ledger with this origin: `commitment` is H32("warrant", warrant
    /// digest, blind), `requester` 1 to 64 bytes, and `tags` one for each review, in any
    /// order.
    ///
    /// # Errors
    /// [`SignError`]: [`SignError::Limits`] when the name is too short or too long, or there are no tags, too many, or two alike.
    #[doc(hidden)]
    pub fn sign(
        officer: &HostKey,
        origin: &str,
        commitment: [u8; 32],
        requester: Vec<u8>,
        action: WarrantAction,
        mut tags: Vec<[u8; 32]>,
    ) -> Result<Self, SignError> {
        tags.sort_unstable();
        Self { commitment, requester, action, tags, signature: [0; 64] }.signed_with(officer, origin)
    }

    crate::getters! {
        /// H32("warrant", warrant digest, blind).
        pub commitment -> &[u8; 32];
        /// Who asks: 1 to 64 bytes, as the requesters are named in public.
        pub requester -> &[u8];
        /// What is asked for.
        pub action -> WarrantAction;
        /// H32("release", warrant digest, blind, review id) of each review: 1 to 64, rising.
        pub tags -> &[[u8; 32]];
    }

    /// Whether the tag is of one of its reviews.
    pub fn lists(&self, tag: &[u8; 32]) -> bool {
        self.tags.binary_search(tag).is_ok()
    }
}

signed_message!(WarrantEntry = 25, "warrant entry", "warrant-entry":
    commitment as "commitment",
    requester as "requester" of(1..=Self::MAX_REQUESTER),
    action as "action",
    tags as "tags" of(1..=Self::MAX_TAGS);
    if |entry| entry.tags.is_sorted_by(|a, b| a < b));
checked_with_its_key!(WarrantEntry, ShareReleasedEntry);

message!(BindingEntry = 24, "binding entry": wallet_key_hash as "hash of U", commitment as "commitment");

/// Kind 26, 140 bytes: a trustee is about to release one share. Its place in the ledger is
/// what the budgets count.
///
/// ```
/// use unjoin_core::{entry::ShareReleasedEntry, secret::SystemRng, token::TrusteeKey};
/// let key = TrusteeKey::generate(&mut SystemRng::new());
/// let (commitment, tag) = ([1; 32], [2; 32]);
/// // Trustee 3 is about to release its first share.
/// let entry = ShareReleasedEntry::sign(&key, "openings.example", 3, 1, commitment, tag).unwrap();
/// assert_eq!((entry.trustee(), entry.sequence(), entry.tag()), (3, 1, &tag));
/// assert!(ShareReleasedEntry::sign(&key, "openings.example", 65, 1, commitment, tag).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareReleasedEntry {
    trustee: u16,
    sequence: u64,
    commitment: [u8; 32],
    tag: [u8; 32],
    signature: [u8; 64],
}

impl ShareReleasedEntry {
    /// Signs the intent of a trustee (index 1 to 64) to release a share for a warrant and a review, in the
    /// ledger with this origin. It is its `sequence`-th, counted from 1. `None` if either number is out of
    /// range. Signing is deterministic: the same intent is the same entry.
    pub fn sign(
        key: &TrusteeKey,
        origin: &str,
        trustee: u16,
        sequence: u64,
        commitment: [u8; 32],
        tag: [u8; 32],
    ) -> Option<Self> {
        Self { trustee, sequence, commitment, tag, signature: [0; 64] }.signed_by(key.signer(), origin)
    }

    crate::getters! {
        /// The trustee's index, 1 to 64.
        pub trustee -> u16;
        /// The number of this release among the trustee's, from 1.
        pub sequence -> u64;
        /// The warrant's commitment.
        pub commitment -> &[u8; 32];
        /// H32("release", warrant digest, blind, review id).
        pub tag -> &[u8; 32];
    }
}

signed_message!(ShareReleasedEntry = 26, "share-released entry", "share-released":
    trustee as "trustee index", sequence as "sequence", commitment as "commitment", tag as "tag";
    if |entry| (1..=MAX_TRUSTEES).contains(&entry.trustee) && entry.sequence > 0);

/// Kind 30, 66 bytes: a warrant's blind, after its embargo. From now on everybody can find
/// the tags of a review under it, an author those of its own reviews.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_core::{entry::WarrantEntry, wire::Message};
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let warrant = world.warrant(&[0]);
/// # let announced = WarrantEntry::from_bytes(&world.entry(&warrant))?;
/// // After the embargo an author finds that a warrant named the review.
/// let disclosed = warrant.disclosure();
/// assert_eq!(disclosed.commitment(), *announced.commitment());
/// assert!(announced.lists(&disclosed.tag_of(&world.id(0))));
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisclosedEntry {
    /// SHA-256 of the warrant's signed text.
    pub warrant_digest: [u8; 32],
    /// The blind.
    pub blind: [u8; 32],
}

impl DisclosedEntry {
    /// The commitment of the [`WarrantEntry`] that it opens.
    pub fn commitment(&self) -> [u8; 32] {
        warrant_commitment(&self.warrant_digest, &self.blind)
    }

    /// The tag that a review has under this warrant.
    pub fn tag_of(&self, review_id: &ReviewId) -> [u8; 32] {
        release_tag(&self.warrant_digest, &self.blind, review_id)
    }
}

message!(DisclosedEntry = 30, "disclosed entry": warrant_digest as "warrant digest", blind as "blind");

serde_as_bytes!(BindingEntry, WarrantEntry, ShareReleasedEntry, DisclosedEntry);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;
    use crate::wire::Message;
    use proptest::prelude::*;

    fn key(seed: u8) -> TrusteeKey {
        TrusteeKey::from_secret_bytes(SecretBytes::new([seed; 32]))
    }

    fn round_trips<M: Message + PartialEq + core::fmt::Debug>(message: &M) {
        let bytes = message.to_bytes();
        assert_eq!(&M::from_bytes(&bytes).unwrap(), message);
        assert!(M::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(M::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }

    fn release(trustee: u16, sequence: u64) -> Option<ShareReleasedEntry> {
        ShareReleasedEntry::sign(&key(1), "openings", trustee, sequence, [1; 32], [2; 32])
    }

    fn warrant(requester: &[u8], tags: &[[u8; 32]]) -> Option<WarrantEntry> {
        let (officer, tags) = (HostKey::from_seed(key(1).seed()), tags.to_vec());
        let requester = requester.to_vec();
        WarrantEntry::sign(&officer, "openings", [1; 32], requester, WarrantAction::Open, tags).ok()
    }

    #[test]
    fn entries_read_as_they_were_written() {
        round_trips(&warrant(b"court of trade", &[[2; 32], [1; 32]]).unwrap());
        round_trips(&release(64, 1).unwrap());
        round_trips(&DisclosedEntry { warrant_digest: [5; 32], blind: [6; 32] });
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        assert!(release(0, 1).is_none() && release(65, 1).is_none() && release(1, 0).is_none());
        let changed = |bytes: &[u8], at: usize, value: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = value;
            bytes
        };
        let entry = warrant(b"r", &[[3; 32], [2; 32]]).unwrap();
        assert!(entry.lists(&[2; 32]) && !entry.lists(&[4; 32]));
        // Requester's length, action, count of tags, and tags that are alike or fall.
        for (at, value) in [(34, 0), (37, 0), (37, 3), (38, 0), (38, 65), (38, 1), (40, 3), (40, 4)] {
            let mut bytes = changed(&entry.to_bytes(), at, value);
            if (at, value) == (40, 3) {
                bytes[40..72].fill(3);
            }
            assert!(WarrantEntry::from_bytes(&bytes).is_err(), "{at} {value}");
        }
        let many: Vec<[u8; 32]> = (0..65).map(|at| [at; 32]).collect();
        assert!(warrant(b"r", &many).is_none() && warrant(b"r", &many[..64]).is_some());
        assert!(warrant(b"r", &[]).is_none() && warrant(b"r", &[[1; 32]; 2]).is_none());
        assert!(warrant(b"", &[[1; 32]]).is_none() && warrant(&[7; 65], &[[1; 32]]).is_none());
    }

    proptest! {
        #[test]
        fn every_flipped_bit_of_a_signed_entry_refuses(at in 0usize..140, bit in 0u32..8, of in 0usize..200) {
            let (own, other) = (key(1), key(2));
            let (own, other) = (own.public(), other.public());
            let entry = release(3, 9).unwrap();
            prop_assert!(entry.verify(own.verifier(), "openings").is_ok());
            prop_assert!(entry.verify(other.verifier(), "openings").is_err());
            prop_assert!(entry.verify(own.verifier(), "another ledger").is_err());
            let mut bytes = entry.to_bytes();
            bytes[at] ^= 1u8 << bit;
            let holds = ShareReleasedEntry::from_bytes(&bytes).map(|e| e.verify(own.verifier(), "openings").is_ok());
            prop_assert!(!holds.unwrap_or(false));

            let announced = warrant(b"court", &[[2; 32], [1; 32]]).unwrap();
            prop_assert!(announced.verify(own.verifier(), "openings").is_ok());
            prop_assert!(announced.verify(own.verifier(), "another ledger").is_err());
            let mut bytes = announced.to_bytes();
            let at = of % bytes.len();
            bytes[at] ^= 1u8 << bit;
            let holds = WarrantEntry::from_bytes(&bytes).map(|e| e.verify(own.verifier(), "openings").is_ok());
            prop_assert!(!holds.unwrap_or(false));
        }
    }

    #[test]
    fn a_disclosure_finds_the_warrant_and_its_tags() {
        let disclosed = DisclosedEntry { warrant_digest: [5; 32], blind: [6; 32] };
        assert_eq!(disclosed.commitment(), warrant_commitment(&[5; 32], &[6; 32]));
        assert_eq!(disclosed.tag_of(&ReviewId([8; 32])), release_tag(&[5; 32], &[6; 32], &ReviewId([8; 32])));
        assert_ne!(disclosed.tag_of(&ReviewId([8; 32])), disclosed.tag_of(&ReviewId([9; 32])));
    }
}
