//! Entries of the openings ledger: bindings, what is asked of the trustees, and what they did.
//! None names an account, a wallet key, a decrypted share or, until the warrant's blind is
//! disclosed, a review.
//!
//! Who holds the trustees' key, epoch by epoch, is in the ledger as the ceremony's own
//! message, `opening::SignedCommittee`, whose verification takes the group.

use crate::algebra::transcript::hash32;
use crate::describe_errors;
use crate::serde_as_bytes;
use crate::token::ReviewId;
use crate::trustee_key::TrusteeKey;
use crate::trustee_key::{MAX_TRUSTEES, TrusteePublicKey};
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};

const LABEL: &str = "share-released";

/// What a warrant asks for, as its entry says; the codes of the share proof's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WarrantAction {
    /// Whether reviews have one author, who is not named.
    SameAuthor = 1,
    /// Who wrote a review.
    Open = 2,
}

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

/// H32("blind", warrant digest, message): a trustee's commitment to its blind, before any is
/// revealed. `message` is the whole kind-7 message.
pub fn blind_commitment(warrant_digest: &[u8; 32], message: &[u8]) -> [u8; 32] {
    hash32("blind", &[warrant_digest, message])
}

/// Kind 24, 34 bytes: a hiding commitment to the binding of a wallet key to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingEntry {
    /// [`binding_commitment`](crate::token::binding_commitment).
    pub commitment: [u8; 32],
}

/// Kind 25, 40 to 103 bytes: a warrant was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarrantEntry {
    /// H32("warrant", warrant digest, blind).
    pub commitment: [u8; 32],
    /// Who asks: 1 to 64 bytes, as the requesters are named in public.
    pub requester: Vec<u8>,
    /// What is asked for.
    pub action: WarrantAction,
    /// Of how many reviews; not zero.
    pub count: u16,
}

impl WarrantEntry {
    /// The most bytes that the requester's name may have.
    pub const MAX_REQUESTER: usize = 64;
}

impl Message for BindingEntry {
    const KIND: u8 = 24;
    const NAME: &'static str = "binding entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.commitment);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { commitment: from.array("commitment")? })
    }
}

impl Message for WarrantEntry {
    const KIND: u8 = 25;
    const NAME: &'static str = "warrant entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.commitment);
        out.bytes(&self.requester);
        out.u8(self.action as u8);
        out.le16(self.count);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let commitment = from.array("commitment")?;
        let requester = from.bytes("requester", 1, Self::MAX_REQUESTER)?.to_vec();
        let action = match from.u8("action")? {
            1 => WarrantAction::SameAuthor,
            2 => WarrantAction::Open,
            _ => return Err(from.refuse(Rule::Value)),
        };
        Ok(Self { commitment, requester, action, count: positive(from, "count")? })
    }
}

/// Kind 26, 140 bytes: a trustee is about to release one share. Its place in the ledger is
/// what the budgets count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareReleasedEntry {
    trustee: u16,
    sequence: u64,
    commitment: [u8; 32],
    tag: [u8; 32],
    signature: [u8; 64],
}

impl ShareReleasedEntry {
    /// Signs the intent of a trustee (index 1 to 64) to release its `sequence`-th share, counted
    /// from 1, for a warrant and a review. `None` if either number is out of range. Signing is
    /// deterministic: the same intent is the same entry.
    pub fn sign(
        key: &TrusteeKey,
        trustee: u16,
        sequence: u64,
        commitment: [u8; 32],
        tag: [u8; 32],
    ) -> Option<Self> {
        let unsigned = Self { trustee, sequence, commitment, tag, signature: [0; 64] };
        let signature = key.sign(LABEL, &unsigned.signed_part());
        let fits = (1..=MAX_TRUSTEES).contains(&trustee) && sequence > 0;
        fits.then_some(Self { signature, ..unsigned })
    }

    /// The trustee's index, 1 to 64.
    pub fn trustee(&self) -> u16 {
        self.trustee
    }

    /// The number of this release among the trustee's, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The warrant's commitment.
    pub fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// H32("release", warrant digest, blind, review id).
    pub fn tag(&self) -> &[u8; 32] {
        &self.tag
    }

    /// Checks the trustee's signature.
    ///
    /// # Errors
    /// [`TrusteeSignatureError`].
    pub fn verify(&self, key: &TrusteePublicKey) -> Result<(), TrusteeSignatureError> {
        let holds = key.verify(LABEL, &self.signed_part(), &self.signature);
        if holds { Ok(()) } else { Err(TrusteeSignatureError) }
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.le16(self.trustee);
        out.le64(self.sequence);
        out.raw(&self.commitment);
        out.raw(&self.tag);
        out.finish()
    }
}

impl Message for ShareReleasedEntry {
    const KIND: u8 = 26;
    const NAME: &'static str = "share-released entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.signed_part());
        out.raw(&self.signature);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let trustee = trustee(from)?;
        let sequence = from.le64("sequence")?;
        if sequence == 0 {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self {
            trustee,
            sequence,
            commitment: from.array("commitment")?,
            tag: from.array("tag")?,
            signature: from.array("signature")?,
        })
    }
}

/// Kind 27, 44 bytes: who takes part in a round of the same-author test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundEntry {
    /// The warrant's commitment.
    pub commitment: [u8; 32],
    /// The round's number, from 1.
    pub round: u16,
    /// The members.
    pub members: Members,
}

/// A set of trustees, not empty: bit i - 1 is the trustee with index i.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members(u64);

impl Members {
    /// The set of these indices; `None` if one is not within 1 to 64, or there is none.
    pub fn new(indices: impl IntoIterator<Item = u16>) -> Option<Self> {
        let bit = |index: u16| (1..=MAX_TRUSTEES).contains(&index).then(|| 1u64 << (index - 1));
        let bits = indices.into_iter().try_fold(0, |bits, index| Some(bits | bit(index)?))?;
        (bits != 0).then_some(Self(bits))
    }

    /// The indices, rising.
    pub fn indices(self) -> impl Iterator<Item = u16> {
        (1..=MAX_TRUSTEES).filter(move |index| self.contains(*index))
    }

    /// Whether the trustee is one of them.
    pub fn contains(self, index: u16) -> bool {
        (1..=MAX_TRUSTEES).contains(&index) && self.0 >> (index - 1) & 1 == 1
    }

    /// How many.
    pub fn count(self) -> u16 {
        self.0.count_ones() as u16
    }
}

impl Message for RoundEntry {
    const KIND: u8 = 27;
    const NAME: &'static str = "round entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.commitment);
        out.le16(self.round);
        out.le64(self.members.0);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (commitment, round) = (from.array("commitment")?, positive(from, "round")?);
        let members = Members(from.le64("members")?);
        if members.0 == 0 {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self { commitment, round, members })
    }
}

/// Kind 28, 70 bytes: a member commits to its blind for a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindEntry {
    /// The warrant's commitment.
    pub commitment: [u8; 32],
    /// The round's number, from 1.
    pub round: u16,
    /// The trustee's index, 1 to 64.
    pub trustee: u16,
    /// H32("blind", warrant digest, kind-7 message).
    pub blind: [u8; 32],
}

impl Message for BlindEntry {
    const KIND: u8 = 28;
    const NAME: &'static str = "blind entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.commitment);
        out.le16(self.round);
        out.le16(self.trustee);
        out.raw(&self.blind);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            commitment: from.array("commitment")?,
            round: positive(from, "round")?,
            trustee: trustee(from)?,
            blind: from.array("blind commitment")?,
        })
    }
}

/// Kind 29, 66 bytes: enough shares for one review of a warrant were combined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedEntry {
    /// The warrant's commitment.
    pub commitment: [u8; 32],
    /// H32("release", warrant digest, blind, review id).
    pub tag: [u8; 32],
}

impl Message for OpenedEntry {
    const KIND: u8 = 29;
    const NAME: &'static str = "opened entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.commitment);
        out.raw(&self.tag);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { commitment: from.array("commitment")?, tag: from.array("tag")? })
    }
}

/// Kind 30, 66 bytes: a warrant's blind, after its embargo. From now on everybody can find
/// the tags of a review under it, an author those of its own reviews.
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

impl Message for DisclosedEntry {
    const KIND: u8 = 30;
    const NAME: &'static str = "disclosed entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.warrant_digest);
        out.raw(&self.blind);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { warrant_digest: from.array("warrant digest")?, blind: from.array("blind")? })
    }
}

serde_as_bytes!(
    BindingEntry,
    WarrantEntry,
    ShareReleasedEntry,
    RoundEntry,
    BlindEntry,
    OpenedEntry,
    DisclosedEntry
);

fn positive(from: &mut Reader<'_>, field: &'static str) -> Result<u16, DecodeError> {
    match from.le16(field)? {
        0 => Err(from.refuse(Rule::Value)),
        value => Ok(value),
    }
}

fn trustee(from: &mut Reader<'_>) -> Result<u16, DecodeError> {
    match from.le16("trustee index")? {
        index @ 1..=MAX_TRUSTEES => Ok(index),
        _ => Err(from.refuse(Rule::Value)),
    }
}

/// A trustee's signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrusteeSignatureError;

describe_errors!(TrusteeSignatureError {
    _ => "ledger.trustee_signature", Operator, false,
        "the trustee's signature on the entry does not hold: it counts for nothing, tell the trustees";
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;
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

    #[test]
    fn entries_read_as_they_were_written() {
        let commitment = [1; 32];
        let requester = b"court of trade".to_vec();
        round_trips(&WarrantEntry { commitment, requester, action: WarrantAction::Open, count: 2 });
        round_trips(&ShareReleasedEntry::sign(&key(1), 64, 1, commitment, [2; 32]).unwrap());
        round_trips(&RoundEntry { commitment, round: 1, members: Members::new([3, 1, 64]).unwrap() });
        round_trips(&BlindEntry { commitment, round: 1, trustee: 3, blind: [4; 32] });
        round_trips(&OpenedEntry { commitment, tag: [2; 32] });
        round_trips(&DisclosedEntry { warrant_digest: [5; 32], blind: [6; 32] });
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        assert!(ShareReleasedEntry::sign(&key(1), 0, 1, [0; 32], [0; 32]).is_none());
        assert!(ShareReleasedEntry::sign(&key(1), 65, 1, [0; 32], [0; 32]).is_none());
        assert!(ShareReleasedEntry::sign(&key(1), 1, 0, [0; 32], [0; 32]).is_none());
        assert!(Members::new([]).is_none() && Members::new([0]).is_none() && Members::new([65]).is_none());
        let members = Members::new([64, 2, 2]).unwrap();
        assert_eq!((members.indices().collect::<Vec<_>>(), members.count()), (vec![2, 64], 2));
        assert!(!members.contains(0) && !members.contains(65));
        let refused = |bytes: &[u8], at: usize, value: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = value;
            bytes
        };
        let warrant = WarrantEntry {
            commitment: [1; 32],
            requester: vec![b'r'],
            action: WarrantAction::Open,
            count: 1,
        };
        for (at, value) in [(34, 0), (37, 0), (37, 3), (38, 0)] {
            assert!(WarrantEntry::from_bytes(&refused(&warrant.to_bytes(), at, value)).is_err(), "{at}");
        }
        let round = RoundEntry { commitment: [1; 32], round: 1, members: Members::new([1]).unwrap() };
        for at in [34, 36] {
            assert!(RoundEntry::from_bytes(&refused(&round.to_bytes(), at, 0)).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_flipped_bit_of_a_release_refuses(at in 0usize..140, bit in 0u32..8) {
            let entry = ShareReleasedEntry::sign(&key(1), 3, 9, [1; 32], [2; 32]).unwrap();
            prop_assert!(entry.verify(&key(1).public()).is_ok());
            prop_assert!(entry.verify(&key(2).public()).is_err());
            let mut bytes = entry.to_bytes();
            bytes[at] ^= 1u8 << bit;
            let holds = ShareReleasedEntry::from_bytes(&bytes).map(|entry| entry.verify(&key(1).public()).is_ok());
            prop_assert!(!holds.unwrap_or(false));
        }
    }

    #[test]
    fn a_disclosure_finds_the_warrant_and_its_tags() {
        let disclosed = DisclosedEntry { warrant_digest: [5; 32], blind: [6; 32] };
        assert_eq!(disclosed.commitment(), warrant_commitment(&[5; 32], &[6; 32]));
        assert_eq!(disclosed.tag_of(&ReviewId([8; 32])), release_tag(&[5; 32], &[6; 32], &ReviewId([8; 32])));
        assert_ne!(disclosed.tag_of(&ReviewId([8; 32])), disclosed.tag_of(&ReviewId([9; 32])));
        assert_ne!(blind_commitment(&[5; 32], b"blind"), blind_commitment(&[5; 32], b"other"));
    }
}
