//! The committee: who holds the trustees' key now, and how many must answer. And the form of it that
//! the trustees sign, which the openings ledger holds of every epoch.

use super::ceremony::CeremonyError;
use unjoin_core::algebra::transcript::Transcript;
use unjoin_core::algebra::{Element, EscrowKey, threshold};
use unjoin_core::secret::SecretScalar;
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{
    CommitteeStatement, EscrowKeyCertificate, Trustees, VerifyError, threshold_and_trustees, verdict,
};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};

/// One trustee's share `y_i` of the escrow key, in one share epoch.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(2, 3, 0, budgets(9, 9, 9));
/// # let secrets = world.secrets(2);
/// let share = secrets.share().ok_or("the ceremony is not finished")?;
/// assert_eq!((share.index(), share.epoch()), (2, 1));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct TrusteeShare {
    index: u16,
    epoch: u32,
    secret: SecretScalar,
}

impl TrusteeShare {
    #[doc(hidden)]
    pub fn new(index: u16, epoch: u32, secret: SecretScalar) -> Self {
        Self { index, epoch, secret }
    }

    unjoin_core::getters! {
        /// The trustee's index, from 1.
        pub index -> u16;
        /// The share epoch: 1 at the ceremony, one more at each refresh.
        pub epoch -> u32;
        #[doc(hidden)]
        pub secret -> &SecretScalar;
    }
}

/// The public side of a t-of-n sharing of the escrow key: the verification shares
/// `Y_1 .. Y_n` of one epoch. A value of this type is consistent: the shares lie on one
/// polynomial of degree exactly t - 1 with `Y` at zero.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(2, 3, 0, budgets(9, 9, 9));
/// # let committee = world.panel().committee;
/// use unjoin_trustee::Committee;
/// let shares = committee.verification_shares().to_vec();
/// assert_eq!((committee.threshold(), committee.trustees(), shares.len()), (2, 3, 3));
/// // The same shares are of no sharing in which one alone opens.
/// assert!(Committee::new(1, 1, *committee.key(), shares).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    threshold: u16,
    epoch: u32,
    key: EscrowKey,
    verification_shares: Vec<Element>,
}

impl Committee {
    /// The most trustees there can be.
    pub const MAX_TRUSTEES: usize = Trustees::MAX;

    /// Checks and takes a committee; `epoch` counts from 1.
    ///
    /// # Errors
    /// [`CeremonyError::Size`] unless 1 <= t <= n <= 64 and the epoch is not 0;
    /// [`CeremonyError::Inconsistent`] when the shares are not a t-of-n sharing of the key.
    pub fn new(
        threshold: u16,
        epoch: u32,
        key: EscrowKey,
        verification_shares: Vec<Element>,
    ) -> Result<Self, CeremonyError> {
        let (t, n) = (usize::from(threshold), verification_shares.len());
        if t == 0 || t > n || n > Self::MAX_TRUSTEES || epoch == 0 {
            return Err(CeremonyError::Size);
        }
        if !threshold::is_sharing_of(key.element(), t, &verification_shares) {
            return Err(CeremonyError::Inconsistent);
        }
        Ok(Self { threshold, epoch, key, verification_shares })
    }

    unjoin_core::getters! {
        /// t: how many shares open an escrow.
        pub threshold -> u16;
        /// The share epoch.
        pub epoch -> u32;
        /// `Y`.
        pub key -> &EscrowKey;
        /// `Y_1 .. Y_n`.
        pub verification_shares -> &[Element];
    }

    /// n: how many trustees there are.
    pub fn trustees(&self) -> u16 {
        self.verification_shares.len() as u16
    }

    /// H32("committee", le32 epoch, le16 t, Y, Y_1, .. Y_n): what trustees sign of it.
    pub fn digest(&self) -> [u8; 32] {
        let start = Transcript::new(&["committee"])
            .item(&self.epoch.to_le_bytes())
            .item(&self.threshold.to_le_bytes())
            .item(self.key.element().as_bytes());
        self.verification_shares.iter().fold(start, |hash, share| hash.item(share.as_bytes())).finish32()
    }

    /// `Y_index`; `None` unless 1 <= index <= n.
    pub fn verification_share(&self, index: u16) -> Option<&Element> {
        self.verification_shares.get(usize::from(index).checked_sub(1)?)
    }
}

/// Kind 34: a committee, the hash of its ceremony's transcript, and trustees' signatures on
/// both; the entry of an epoch in the openings ledger.
///
/// The first epoch is signed by all n trustees, a later one by at least t of them.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(2, 3, 0, budgets(9, 9, 9));
/// # let signed = world.secrets(1).committee().unwrap().clone();
/// // A reader of the ledger, who has the trustees' long-term keys.
/// assert!(signed.verify_first(&world.trustees).is_ok());
/// assert_eq!(signed.signers().collect::<Vec<_>>(), [1, 2, 3]);
/// // What wallets take of it.
/// let certificate = signed.certificate().ok_or("not the first epoch's")?;
/// assert_eq!(certificate.threshold(), 2);
/// # Ok::<(), &str>(())
/// ```
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

    unjoin_core::getters! {
        /// The committee. Look at it after verifying only.
        pub committee -> &Committee;
        /// The hash of the ceremony's transcript.
        pub transcript -> &[u8; 32];
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

    /// Checks that the committee goes on from the `newest` of its key, or begins one.
    pub(super) fn verify_after(
        &self,
        trustees: &Trustees,
        newest: Option<&Committee>,
    ) -> Result<(), VerifyError> {
        newest.map_or_else(|| self.verify_first(trustees), |newest| self.verify_successor(trustees, newest))
    }

    /// The committee that follows `current` in a ledger with these entries: of each epoch the first counts
    /// that goes on from the one before.
    pub(super) fn successor_in<'a>(
        entries: impl IntoIterator<Item = &'a Vec<u8>>,
        trustees: &Trustees,
        current: &Committee,
    ) -> Option<Self> {
        let mut newest: Option<Self> = None;
        let of_key = |entry: &'a Vec<u8>| {
            Self::from_bytes(entry).ok().filter(|signed| signed.committee.key() == current.key())
        };
        for signed in entries.into_iter().filter_map(of_key) {
            let before = newest.as_ref().map(Self::committee);
            if signed.verify_after(trustees, before).is_ok() {
                if before == Some(current) {
                    return Some(signed);
                }
                newest = Some(signed);
            }
        }
        None
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
