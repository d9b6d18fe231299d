//! The trustees as everybody else knows them: their long-term keys, what they sign about
//! their committee, and the certificate by which a wallet accepts an escrow key.

use super::{VerifyError, verdict};
use crate::algebra::{Element, EscrowKey};
use crate::describe_errors;
use crate::serde_as_bytes;
use crate::trustee_key::{MAX_TRUSTEES, TrusteePublicKey};
use crate::wire::{DecodeError, Message, Reader, Rule, Writer};

/// The n trustees' public keys, trustee 1 first: 1 to 64 different ones. Pinned by wallets
/// and by every trustee.
///
/// ```
/// use unjoin_core::{secret::SystemRng, token::{TrusteeKey, Trustees}};
/// let rng = &mut SystemRng::new();
/// let keys: Vec<_> = (0..5).map(|_| TrusteeKey::generate(rng).public()).collect();
/// let trustees = Trustees::new(keys.clone())?;
/// assert_eq!((trustees.count(), trustees.key(1), trustees.key(6)), (5, keys.first(), None));
/// assert_eq!(trustees.index_of(&keys[4]), Some(5));
/// # Ok::<(), unjoin_core::token::TrusteesError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trustees(Vec<TrusteePublicKey>);

impl Trustees {
    /// The most trustees there can be.
    pub const MAX: usize = MAX_TRUSTEES as usize;

    /// Takes the keys in the order of the trustees' indices.
    ///
    /// # Errors
    /// [`TrusteesError`] when there are none, more than [`Trustees::MAX`], or two alike.
    pub fn new(keys: Vec<TrusteePublicKey>) -> Result<Self, TrusteesError> {
        let alike = |(at, key)| keys.iter().skip(at + 1).any(|other| other == key);
        if keys.is_empty() || keys.len() > Self::MAX || keys.iter().enumerate().any(alike) {
            return Err(TrusteesError);
        }
        Ok(Self(keys))
    }

    /// n.
    pub fn count(&self) -> u16 {
        self.0.len() as u16
    }

    /// The keys, trustee 1 first.
    pub fn keys(&self) -> &[TrusteePublicKey] {
        &self.0
    }

    /// The key of this trustee; `None` unless 1 <= index <= n.
    pub fn key(&self, index: u16) -> Option<&TrusteePublicKey> {
        self.0.get(usize::from(index).checked_sub(1)?)
    }

    /// The index of the trustee with this key.
    pub fn index_of(&self, key: &TrusteePublicKey) -> Option<u16> {
        (1..).zip(&self.0).find(|(_, other)| *other == key).map(|(index, _)| index)
    }
}

/// Not 1 to 64 different keys.
///
/// ```
/// use unjoin_core::{secret::SystemRng, token::{TrusteeKey, Trustees, TrusteesError}};
/// let key = TrusteeKey::generate(&mut SystemRng::new()).public();
/// assert_eq!(Trustees::new(vec![key, key]), Err(TrusteesError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrusteesError;

describe_errors!(TrusteesError (Operator, false) {
    Self => "trustees", "1 to {} trustees, each with a key of its own", Trustees::MAX;
});

/// What trustees sign about their committee, under the label `committee`: le32 epoch, le16 t,
/// le16 n, Y, the committee's digest, the ceremony's transcript hash (104 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct CommitteeStatement {
    pub epoch: u32,
    pub threshold: u16,
    pub trustees: u16,
    pub key: Element,
    pub committee_digest: [u8; 32],
    pub transcript: [u8; 32],
}

impl CommitteeStatement {
    /// What is before the bytes that are signed.
    #[doc(hidden)]
    pub const LABEL: &'static str = "committee";

    #[doc(hidden)]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.le32(self.epoch);
        out.le16(self.threshold);
        out.le16(self.trustees);
        out.elements(&[self.key]);
        out.raw(&self.committee_digest);
        out.raw(&self.transcript);
        out.finish()
    }

    #[doc(hidden)]
    pub fn is_signed_by(&self, key: &TrusteePublicKey, signature: &[u8; 64]) -> bool {
        key.verify(Self::LABEL, &self.signed_bytes(), signature)
    }
}

/// Kind 35, 102 + 64 n bytes: the signatures of all n trustees on the outcome of their key
/// ceremony. By it, and by nothing else, a wallet that pins the trustees accepts `Y`.
///
/// It outlives every refresh: `Y`, t and n stay.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_core::{token::EscrowKeyCertificate, wire::Message};
/// # let world = World::new(1, 2, 0, budgets(9, 9, 9));
/// # let (pinned, signed) = (&world.trustees, world.secrets(1).committee().unwrap().clone());
/// # let bytes = signed.certificate().unwrap().to_bytes();
/// // A wallet pins the trustees' keys, and takes the escrow key that all of them signed.
/// let certificate = EscrowKeyCertificate::from_bytes(&bytes)?;
/// assert_eq!(certificate.verify(pinned).as_ref(), Ok(signed.committee().key()));
/// assert_eq!((certificate.threshold(), bytes.len()), (1, 102 + 2 * 64));
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscrowKeyCertificate {
    threshold: u16,
    key: EscrowKey,
    committee_digest: [u8; 32],
    transcript: [u8; 32],
    signatures: Vec<[u8; 64]>,
}

impl EscrowKeyCertificate {
    /// The epoch of a key ceremony's committee.
    #[doc(hidden)]
    pub const EPOCH: u32 = 1;

    #[doc(hidden)]
    pub fn new(statement: &CommitteeStatement, signatures: Vec<[u8; 64]>) -> Self {
        Self {
            threshold: statement.threshold,
            key: EscrowKey::new(statement.key),
            committee_digest: statement.committee_digest,
            transcript: statement.transcript,
            signatures,
        }
    }

    /// t: how many trustees together open a review.
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// The key, once every one of these trustees is shown to have signed it.
    ///
    /// # Errors
    /// [`VerifyError`] when a signature is missing, is another's or does not hold.
    pub fn verify(&self, trustees: &Trustees) -> Result<EscrowKey, VerifyError> {
        let statement = CommitteeStatement {
            epoch: Self::EPOCH,
            threshold: self.threshold,
            trustees: self.signatures.len() as u16,
            key: *self.key.element(),
            committee_digest: self.committee_digest,
            transcript: self.transcript,
        };
        let signed = |(key, signature)| statement.is_signed_by(key, signature);
        let all = trustees.keys().len() == self.signatures.len()
            && trustees.keys().iter().zip(&self.signatures).all(signed);
        verdict(all).map(|()| self.key)
    }
}

impl Message for EscrowKeyCertificate {
    const KIND: u8 = 35;
    const NAME: &'static str = "escrow key certificate";

    fn encode_body(&self, out: &mut Writer) {
        out.le16(self.threshold);
        out.le16(self.signatures.len() as u16);
        out.elements(&[*self.key.element()]);
        out.raw(&self.committee_digest);
        out.raw(&self.transcript);
        self.signatures.iter().for_each(|signature| out.raw(signature));
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (threshold, count) = threshold_and_trustees(from)?;
        Ok(Self {
            threshold,
            key: EscrowKey::new(from.element("Y")?),
            committee_digest: from.array("committee digest")?,
            transcript: from.array("transcript hash")?,
            signatures: (0..count).map(|_| from.array("signature")).collect::<Result<_, _>>()?,
        })
    }
}

/// t and n, le16 each: 1 <= t <= n <= 64.
#[doc(hidden)]
pub fn threshold_and_trustees(from: &mut Reader<'_>) -> Result<(u16, u16), DecodeError> {
    let (t, n) = (from.le16("threshold")?, from.le16("trustees")?);
    if t == 0 || t > n || usize::from(n) > Trustees::MAX {
        return Err(from.refuse(Rule::Value));
    }
    Ok((t, n))
}

serde_as_bytes!(EscrowKeyCertificate);
