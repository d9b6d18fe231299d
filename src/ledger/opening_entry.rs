//! Entries of the openings ledger: what is asked of the trustees, and what they did. None
//! names an account, a wallet key, a decrypted share or, until the warrant's blind is
//! disclosed, a review.

use crate::algebra::Element;
use crate::algebra::transcript::hash32;
use crate::error::describe_errors;
use crate::secret::SecretBytes;
use crate::signature::{Signer, Verifier};
use crate::wire::{DecodeError, Message, Reader, Rule, Writer, serde_as_bytes};
use core::fmt;
use rand_core::CryptoRng;

/// The most trustees that a committee has; their indices run from 1.
const MAX_TRUSTEES: u16 = 64;

/// What a warrant asks for, as its entry says; the codes of the share proof's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WarrantAction {
    /// Whether reviews have one author; nobody is named.
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
/// logged. Whoever has the warrant's disclosure finds a review by it, nobody else does.
pub fn release_tag(warrant_digest: &[u8; 32], blind: &[u8; 32], review_id: &[u8; 32]) -> [u8; 32] {
    hash32("release", &[warrant_digest, blind, review_id])
}

/// H32("blind", warrant digest, message): a trustee's commitment to its blind, before any is
/// revealed. `message` is the whole kind-7 message.
pub fn blind_commitment(warrant_digest: &[u8; 32], message: &[u8]) -> [u8; 32] {
    hash32("blind", &[warrant_digest, message])
}

/// Kind 25, 40 to 103 bytes: a warrant was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarrantEntry {
    /// [`warrant_commitment`].
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
        let signature = key.0.sign("share-released", &unsigned.signed_part());
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

    /// [`release_tag`].
    pub fn tag(&self) -> &[u8; 32] {
        &self.tag
    }

    /// Checks the trustee's signature.
    ///
    /// # Errors
    /// [`TrusteeSignatureError`].
    pub fn verify(&self, key: &TrusteePublicKey) -> Result<(), TrusteeSignatureError> {
        verdict(key.0.verify("share-released", &self.signed_part(), &self.signature))
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

/// A set of trustees, not empty: bit i - 1 stands for the trustee with index i.
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
    /// [`blind_commitment`].
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
    /// [`release_tag`].
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
    pub fn tag_of(&self, review_id: &[u8; 32]) -> [u8; 32] {
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

/// Kind 31, 174 to 6,348 bytes: who holds the trustees' key from now on, signed by trustees
/// who held it before; the first one by all of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitteeEntry {
    /// Y.
    pub escrow_key: Element,
    /// The share epoch: 1 at the ceremony, one more at each refresh.
    pub epoch: u32,
    /// t.
    pub threshold: u16,
    /// Y_1 .. Y_n: 1 to 64 of them, at least t.
    pub verification_shares: Vec<Element>,
    /// The hash of the ceremony's or refresh's transcript.
    pub transcript_hash: [u8; 32],
    /// Index and signature of each signer, the indices rising: 1 to 64 of them.
    signatures: Vec<(u16, [u8; 64])>,
}

impl CommitteeEntry {
    /// An entry that nobody has signed yet; `None` unless 1 <= t <= n <= 64 and the epoch is
    /// not 0. Whether the shares belong to the key is the committee's to check.
    pub fn new(
        escrow_key: Element,
        epoch: u32,
        threshold: u16,
        verification_shares: Vec<Element>,
        transcript_hash: [u8; 32],
    ) -> Option<Self> {
        let n = verification_shares.len();
        let fits = epoch > 0 && (1..=n).contains(&usize::from(threshold)) && n <= usize::from(MAX_TRUSTEES);
        let signatures = Vec::new();
        fits.then_some(Self {
            escrow_key,
            epoch,
            threshold,
            verification_shares,
            transcript_hash,
            signatures,
        })
    }

    /// A trustee's signature on this entry.
    pub fn sign(&self, key: &TrusteeKey) -> [u8; 64] {
        key.0.sign("committee", &self.signed_part())
    }

    /// Takes the signature of the trustee with this index (1 to 64), in place of an earlier one;
    /// unchecked. An index that cannot be is ignored.
    pub fn add_signature(&mut self, index: u16, signature: [u8; 64]) {
        if (1..=MAX_TRUSTEES).contains(&index) {
            self.signatures.retain(|(signer, _)| *signer != index);
            self.signatures.push((index, signature));
            self.signatures.sort_unstable_by_key(|(signer, _)| *signer);
        }
    }

    /// The indices of those who signed, rising; unchecked.
    pub fn signers(&self) -> impl Iterator<Item = u16> {
        self.signatures.iter().map(|(index, _)| *index)
    }

    /// Checks that at least `least` of the trustees with these keys, the first of which has
    /// index 1, have signed, and that every signature there is holds.
    ///
    /// # Errors
    /// [`TrusteeSignatureError`].
    pub fn verify(&self, keys: &[TrusteePublicKey], least: u16) -> Result<(), TrusteeSignatureError> {
        let part = self.signed_part();
        let holds = |(index, signature): &(u16, [u8; 64])| {
            let key = usize::from(*index).checked_sub(1).and_then(|at| keys.get(at));
            key.is_some_and(|key| key.0.verify("committee", &part, signature))
        };
        let enough = self.signatures.len() >= usize::from(least.max(1));
        verdict(enough && self.signatures.iter().all(holds))
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(self.escrow_key.as_bytes());
        out.le32(self.epoch);
        out.le16(self.threshold);
        out.le16(self.verification_shares.len() as u16);
        out.elements(&self.verification_shares);
        out.raw(&self.transcript_hash);
        out.finish()
    }
}

impl Message for CommitteeEntry {
    const KIND: u8 = 31;
    const NAME: &'static str = "committee entry";

    fn encode_body(&self, out: &mut Writer) {
        out.raw(&self.signed_part());
        out.le16(self.signatures.len() as u16);
        for (index, signature) in &self.signatures {
            out.le16(*index);
            out.raw(signature);
        }
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (escrow_key, epoch) = (from.element("escrow key")?, from.le32("share epoch")?);
        let (threshold, count) = (from.le16("threshold")?, from.le16("trustees")?);
        if epoch == 0 || threshold == 0 || threshold > count || count > MAX_TRUSTEES {
            return Err(from.refuse(Rule::Value));
        }
        let shares = (0..count).map(|_| from.element("verification share"));
        let verification_shares = shares.collect::<Result<_, _>>()?;
        let transcript_hash = from.array("transcript hash")?;
        let count = from.le16("signatures")?;
        if !(1..=MAX_TRUSTEES).contains(&count) {
            return Err(from.refuse(Rule::Value));
        }
        let mut signatures: Vec<(u16, [u8; 64])> = Vec::with_capacity(count.into());
        for _ in 0..count {
            let index = trustee(from)?;
            if signatures.last().is_some_and(|(last, _)| *last >= index) {
                return Err(from.refuse(Rule::Value));
            }
            signatures.push((index, from.array("signature")?));
        }
        Ok(Self { escrow_key, epoch, threshold, verification_shares, transcript_hash, signatures })
    }
}

serde_as_bytes!(
    WarrantEntry,
    ShareReleasedEntry,
    RoundEntry,
    BlindEntry,
    OpenedEntry,
    DisclosedEntry,
    CommitteeEntry,
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

/// A trustee's Ed25519 key for what it puts into the ledger: not its share of the escrow key.
pub struct TrusteeKey(Signer);

impl TrusteeKey {
    /// A fresh key: 32 bytes from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_bytes(&SecretBytes::random(rng))
    }

    /// The key of this RFC 8032 seed.
    pub fn from_secret_bytes(seed: &SecretBytes<32>) -> Self {
        Self(Signer::from_seed(seed))
    }

    /// The public half.
    pub fn public(&self) -> TrusteePublicKey {
        TrusteePublicKey(self.0.verifier())
    }
}

impl fmt::Debug for TrusteeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrusteeKey(..)")
    }
}

/// A trustee's public key, which everybody pins: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrusteePublicKey(Verifier);

impl TrusteePublicKey {
    /// The key with this encoding; `None` if it is not one, or of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Verifier::from_bytes(bytes).map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// A trustee's signature is missing or does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrusteeSignatureError;

describe_errors!(TrusteeSignatureError {
    _ => "ledger.trustee_signature", Operator, false,
        "the entry lacks a trustee's signature that holds: it counts for nothing, tell the trustees";
});

fn verdict(holds: bool) -> Result<(), TrusteeSignatureError> {
    if holds { Ok(()) } else { Err(TrusteeSignatureError) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(seed: u8) -> TrusteeKey {
        TrusteeKey::from_secret_bytes(&SecretBytes::new([seed; 32]))
    }

    fn committee(signers: &[u16]) -> CommitteeEntry {
        let base = curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
        let element = Element::from_bytes(base.as_bytes()).unwrap();
        let mut entry = CommitteeEntry::new(element, 2, 2, vec![element; 3], [7; 32]).unwrap();
        for signer in signers {
            let signature = entry.sign(&key(*signer as u8));
            entry.add_signature(*signer, signature);
        }
        entry
    }

    fn keys() -> Vec<TrusteePublicKey> {
        (1..=3).map(|seed| key(seed).public()).collect()
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
        round_trips(&committee(&[3, 1]));
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
        assert!(CommitteeEntry::from_bytes(&committee(&[]).to_bytes()).is_err());
    }

    #[test]
    fn a_committee_is_signed_by_enough_of_those_before() {
        let verify = |entry: &CommitteeEntry, least| entry.verify(&keys(), least).is_ok();
        assert!(verify(&committee(&[1, 3]), 2) && !verify(&committee(&[1, 3]), 3));
        assert!(!verify(&committee(&[]), 0));
        // A stranger's signature refuses the entry, a trustee's second one counts once.
        assert!(!verify(&committee(&[1, 2, 4]), 2));
        assert_eq!(committee(&[2, 2]).signers().collect::<Vec<_>>(), [2]);
        let mut changed = committee(&[1, 3]);
        changed.epoch = 3;
        assert!(!verify(&changed, 2));
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

        #[test]
        fn every_flipped_bit_of_a_committee_refuses(at: usize, bit in 0u32..8) {
            let mut bytes = committee(&[1, 2, 3]).to_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1u8 << bit;
            let holds = CommitteeEntry::from_bytes(&bytes).map(|entry| entry.verify(&keys(), 2).is_ok());
            prop_assert!(!holds.unwrap_or(false));
        }
    }

    #[test]
    fn a_disclosure_finds_the_warrant_and_its_tags() {
        let disclosed = DisclosedEntry { warrant_digest: [5; 32], blind: [6; 32] };
        assert_eq!(disclosed.commitment(), warrant_commitment(&[5; 32], &[6; 32]));
        assert_eq!(disclosed.tag_of(&[8; 32]), release_tag(&[5; 32], &[6; 32], &[8; 32]));
        assert_ne!(disclosed.tag_of(&[8; 32]), disclosed.tag_of(&[9; 32]));
        assert_ne!(blind_commitment(&[5; 32], b"blind"), blind_commitment(&[5; 32], b"other"));
    }
}
