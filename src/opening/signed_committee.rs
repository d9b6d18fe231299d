//! A committee with its trustees' signatures: what the openings ledger holds of every epoch.

use super::Committee;
use crate::algebra::EscrowKey;
use crate::token::{
    CommitteeStatement, EscrowKeyCertificate, Trustees, VerifyError, threshold_and_trustees, verdict,
};
use crate::wire::{DecodeError, Message, Reader, Rule, Writer, serde_as_bytes};

/// Kind 34: a committee, the hash of its ceremony's transcript, and trustees' signatures on
/// both; the entry of an epoch in the openings ledger.
///
/// The first epoch is signed by all n trustees, a later one by at least t of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCommittee {
    committee: Committee,
    transcript: [u8; 32],
    /// Rising indices.
    signatures: Vec<(u16, [u8; 64])>,
}

impl SignedCommittee {
    pub(super) fn new(committee: Committee, transcript: [u8; 32], signatures: Vec<(u16, [u8; 64])>) -> Self {
        Self { committee, transcript, signatures }
    }

    /// The committee. Look at it after verifying only.
    pub fn committee(&self) -> &Committee {
        &self.committee
    }

    /// The hash of the ceremony's transcript.
    pub fn transcript(&self) -> &[u8; 32] {
        &self.transcript
    }

    /// The indices of those who signed, rising.
    pub fn signers(&self) -> impl Iterator<Item = u16> + '_ {
        self.signatures.iter().map(|(index, _)| *index)
    }

    /// Checks the committee of a key ceremony: epoch 1, signed by all of these trustees.
    ///
    /// # Errors
    /// [`VerifyError`] when it is of another epoch or size, or a signature is missing or does
    /// not hold.
    pub fn verify_first(&self, trustees: &Trustees) -> Result<(), VerifyError> {
        let first = self.committee.epoch() == EscrowKeyCertificate::EPOCH;
        verdict(first && self.signatures.len() == trustees.keys().len() && self.is_signed_by(trustees))
    }

    /// Checks the committee of a refresh: the same key, t and n as `previous`, the epoch after
    /// it, signed by at least t of these trustees.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not follow `previous`, or too few signatures hold.
    pub fn verify_successor(&self, trustees: &Trustees, previous: &Committee) -> Result<(), VerifyError> {
        let new = &self.committee;
        let follows = previous.epoch().checked_add(1) == Some(new.epoch())
            && (new.key(), new.threshold()) == (previous.key(), previous.threshold())
            && new.trustees() == previous.trustees();
        let enough = self.signatures.len() >= usize::from(new.threshold());
        verdict(follows && enough && self.is_signed_by(trustees))
    }

    /// The certificate for wallets; `None` unless it is a key ceremony's with n signatures.
    pub fn certificate(&self) -> Option<EscrowKeyCertificate> {
        let whole = self.committee.epoch() == EscrowKeyCertificate::EPOCH
            && self.signatures.len() == usize::from(self.committee.trustees());
        let signatures = || self.signatures.iter().map(|(_, signature)| *signature).collect();
        whole.then(|| EscrowKeyCertificate::new(&statement(&self.committee, self.transcript), signatures()))
    }

    /// Whether every signature holds, for as many trustees as the committee has.
    fn is_signed_by(&self, trustees: &Trustees) -> bool {
        let statement = statement(&self.committee, self.transcript);
        let holds = |(index, signature): &(u16, [u8; 64])| {
            trustees.key(*index).is_some_and(|key| statement.is_signed_by(key, signature))
        };
        self.committee.trustees() == trustees.count() && self.signatures.iter().all(holds)
    }
}

/// What trustees sign of a committee.
pub(super) fn statement(committee: &Committee, transcript: [u8; 32]) -> CommitteeStatement {
    CommitteeStatement {
        epoch: committee.epoch(),
        threshold: committee.threshold(),
        trustees: committee.trustees(),
        key: *committee.key().element(),
        committee_digest: committee.digest(),
        transcript,
    }
}

impl Committee {
    pub(super) fn encode(&self, out: &mut Writer) {
        out.le32(self.epoch());
        out.le16(self.threshold());
        out.le16(self.trustees());
        out.elements(&[*self.key().element()]);
        out.elements(self.verification_shares());
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = from.le32("share epoch")?;
        let (threshold, count) = threshold_and_trustees(from)?;
        let key = EscrowKey::new(from.element("Y")?);
        let shares = from.element_list("Y_i", count)?;
        Committee::new(threshold, epoch, key, shares).map_err(|_| from.refuse(Rule::Value))
    }
}

impl Message for SignedCommittee {
    const KIND: u8 = 34;
    const NAME: &'static str = "signed committee";

    fn encode_body(&self, out: &mut Writer) {
        self.committee.encode(out);
        out.raw(&self.transcript);
        out.le16(self.signatures.len() as u16);
        for (index, signature) in &self.signatures {
            out.le16(*index);
            out.raw(signature);
        }
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let committee = Committee::decode(from)?;
        let transcript = from.array("transcript hash")?;
        let count = from.le16("signatures")?;
        if count < committee.threshold() || count > committee.trustees() {
            return Err(from.refuse(Rule::Length));
        }
        let mut signatures: Vec<(u16, [u8; 64])> = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let index = from.le16("signer")?;
            let after = signatures.last().map_or(1, |(last, _)| last.saturating_add(1));
            if index < after || index > committee.trustees() {
                return Err(from.refuse(Rule::Value));
            }
            signatures.push((index, from.array("signature")?));
        }
        Ok(Self { committee, transcript, signatures })
    }
}

serde_as_bytes!(SignedCommittee);
