//! What one trustee keeps: the long-term key, the share with its committee, and a ceremony
//! under way. In one value and one sealed file, so that one replacement of the file erases the
//! old share and the ceremony's secrets together.

use super::ceremony::{CeremonyError, CeremonyMessage, CeremonyPlan, Outcome, Participant, Round, Step};
use super::share::trustee_index;
use super::{Committee, SignedCommittee, TrusteeShare};
use core::fmt;
use rand_core::CryptoRng;
use unjoin_audit::History;
use unjoin_core::algebra::Generator;
use unjoin_core::passphrase::{HEADER, PADDING, Sealed, TAG};
use unjoin_core::secret::{SecretBytes, SecretScalar};
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{TrusteeKey, TrusteePublicKey, Trustees};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Whole, Writer};
use unjoin_core::{PassphraseCost, PassphraseError};
use unjoin_store::identity::{Role, Roster};
use zeroize::{Zeroize, Zeroizing};

/// A share with what belongs to it.
struct Holding {
    share: TrusteeShare,
    signed: SignedCommittee,
    /// Whom this trustee made the key with: no refresh takes others.
    trustees: Trustees,
}

/// A trustee's secrets for one escrow key.
///
/// Seal them after every change, and before anything that came of the change leaves the
/// machine: [`seal`](Self::seal). Between two changes nothing needs to be sealed or opened again, which is slow on
/// purpose ([`PassphraseCost`]).
///
/// ```
/// use unjoin_trustee::TrusteeSecrets;
/// use unjoin_trustee::ceremony::{CeremonyPlan, Step};
/// use unjoin_core::secret::SystemRng;
/// use unjoin_core::token::Trustees;
/// let rng = &mut SystemRng::new();
/// let mut secrets: Vec<_> = (0..3).map(|_| TrusteeSecrets::generate(rng)).collect();
/// let trustees = Trustees::new(secrets.iter().map(|s| s.public()).collect())?;
/// let plan = CeremonyPlan::key_generation(2, trustees.clone(), rng)?;
/// // Each at their own machine, after comparing `plan.digest()` with the others; 2 was agreed.
/// for trustee in &mut secrets {
///     trustee.join(plan.clone(), 2, rng)?;
/// }
/// let (mut messages, mut finished) = (Vec::new(), Vec::new());
/// while finished.len() < 3 {
///     for trustee in &mut secrets {
///         match trustee.next(&messages, rng) {
///             Ok(Step::Publish(message)) => messages.push(message),
///             Ok(Step::Finished(signed)) => finished.push(signed),
///             Ok(_) => {}
///             Err(refused) => assert_eq!(refused.code(), "ceremony.idle"), // finished before
///         }
///     }
/// }
/// let certificate = finished[0].certificate().unwrap();
/// assert_eq!(&certificate.verify(&trustees)?, finished[2].committee().key());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrusteeSecrets {
    identity: TrusteeKey,
    holding: Option<Holding>,
    ceremony: Option<Participant>,
    /// Of refreshes with which this trustee was content: the ledger may decide for any of them. There is
    /// room for all from the start: a vector that grows leaves copies of shares behind.
    candidates: Vec<Candidate>,
}

/// A share with the committee that it belongs to, once that is in the ledger.
struct Candidate {
    committee: Committee,
    share: TrusteeShare,
}

/// The most refreshes of one committee with which a trustee was content.
const MAX_CANDIDATES: usize = 8;

impl TrusteeSecrets {
    /// A fresh long-term key, without a share.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::new(TrusteeKey::generate(rng))
    }

    /// Secrets for another escrow key of the same trustee: the long-term key without a share.
    pub fn for_another_key(&self) -> Self {
        let seed = SecretBytes::new(*self.identity.seed().expose());
        Self::new(TrusteeKey::from_secret_bytes(seed))
    }

    fn new(identity: TrusteeKey) -> Self {
        Self { identity, holding: None, ceremony: None, candidates: Vec::with_capacity(MAX_CANDIDATES) }
    }

    /// The trustee's public key: what fellow trustees and wallets pin.
    pub fn public(&self) -> TrusteePublicKey {
        self.identity.public()
    }

    /// Which store is the trustee's: made of its public key, so there is nothing to keep.
    pub fn roster(&self) -> Roster {
        Roster::of_key(Role::Trustee, self.public().as_bytes())
    }

    /// The long-term key.
    pub fn identity(&self) -> &TrusteeKey {
        &self.identity
    }

    /// The share, once a ceremony has finished.
    pub fn share(&self) -> Option<&TrusteeShare> {
        self.holding.as_ref().map(|holding| &holding.share)
    }

    /// The committee that the share belongs to, with its trustees' signatures.
    pub fn committee(&self) -> Option<&SignedCommittee> {
        self.holding.as_ref().map(|holding| &holding.signed)
    }

    /// The trustees with whom the key was made.
    pub fn trustees(&self) -> Option<&Trustees> {
        self.holding.as_ref().map(|holding| &holding.trustees)
    }

    /// What answers warrants: the long-term key, and the share with its committee and trustees.
    pub(super) fn into_parts(self) -> Option<(TrusteeKey, TrusteeShare, Committee, Trustees)> {
        let Holding { share, signed, trustees } = self.holding?;
        Some((self.identity, share, signed.committee().clone(), trustees))
    }

    /// The plan of the ceremony under way.
    pub fn plan(&self) -> Option<&CeremonyPlan> {
        self.ceremony.as_ref().map(|ceremony| &ceremony.plan)
    }

    /// Takes part in a ceremony. Compare the plan's digest with the other trustees first, and
    /// the keys in it with those that they gave you. `threshold` is the t that was agreed among
    /// them. Anybody who wrote the plan might have written another, and with t = 1 each member holds
    /// the whole key.
    ///
    /// # Errors
    /// [`CeremonyError::Busy`] while another ceremony is under way; [`CeremonyError::Plan`]
    /// when the plan has another threshold, when this trustee is no member of it, when it makes a new key and there is a share
    /// already (take [`for_another_key`](Self::for_another_key)), or when it refreshes another
    /// committee, or with other trustees' keys, than this share's; [`CeremonyError::Undecided`] when this
    /// trustee was content with eight refreshes of the committee, and none is in the ledger.
    pub fn join(
        &mut self,
        plan: CeremonyPlan,
        threshold: u16,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), CeremonyError> {
        if plan.threshold() != threshold {
            return Err(CeremonyError::Plan);
        }
        match &self.ceremony {
            Some(ceremony) if ceremony.plan == plan => return Ok(()),
            Some(_) => return Err(CeremonyError::Busy),
            None => {}
        }
        let committee = self.committee().map(SignedCommittee::committee);
        let known = self.trustees().is_none_or(|trustees| trustees == plan.trustees());
        if !known || !plan.follows(committee) {
            return Err(CeremonyError::Plan);
        }
        if self.candidates.len() >= MAX_CANDIDATES {
            return Err(CeremonyError::Undecided);
        }
        self.ceremony = Some(Participant::new(plan, &self.identity, rng)?);
        Ok(())
    }

    /// The next step of the ceremony under way, given all its messages so far: in any order,
    /// repeated, and with others among them.
    ///
    /// Before a published message leaves, the secrets are sealed and the file replaced. A
    /// trustee who forgot what they said might say something else, and convict themselves. A new
    /// key's share is there when its ceremony is finished, and the ceremony's secrets are erased. In a refresh nothing is
    /// replaced before [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`CeremonyError::Idle`] when none is under way. Any other ends the ceremony without a
    /// result and changes nothing else: a share of before stays. Look at the messages, then
    /// [`abandon`](Self::abandon).
    pub fn next(
        &mut self,
        messages: &[CeremonyMessage],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Step, CeremonyError> {
        let ceremony = self.ceremony.as_mut().ok_or(CeremonyError::Idle)?;
        let holding = self.holding.as_ref().map(|holding| (holding.signed.committee(), &holding.share));
        match ceremony.next(&self.identity, holding, messages, rng)? {
            Outcome::Publish(message) => Ok(Step::Publish(message)),
            Outcome::Content(message, committee, share) => {
                let is_kept = |kept: &Candidate| kept.committee == committee;
                if ceremony.plan.is_refresh() && !self.candidates.iter().any(is_kept) {
                    self.candidates.push(Candidate { committee, share });
                }
                Ok(Step::Publish(message))
            }
            Outcome::Wait(round, missing) => Ok(Step::Wait { round, missing }),
            Outcome::Finished(signed, _) if ceremony.plan.is_refresh() => Ok(Step::Finished(signed)),
            Outcome::Finished(signed, share) => {
                let trustees = ceremony.plan.trustees().clone();
                self.holding = Some(Holding { share, signed: signed.clone(), trustees });
                self.ceremony = None;
                Ok(Step::Finished(signed))
            }
        }
    }

    /// Takes the share of the next epoch, once the ledger has its committee: `history` is the
    /// openings ledger under a cosigned checkpoint. The old share and the secrets of every refresh of it are
    /// erased; the file must be replaced, too, and its old copies destroyed.
    ///
    /// The ledger's first committee of an epoch counts, for everybody, no matter who finished or abandoned what. So
    /// whatever messages were lost, never do two honest members end with shares of two epochs.
    ///
    /// # Errors
    /// [`CeremonyError::Unlogged`], [`CeremonyError::LeftOut`]; [`CeremonyError::Idle`] without a share.
    /// Nothing is changed.
    pub fn commit(&mut self, history: &History) -> Result<(), CeremonyError> {
        let holding = self.holding.as_mut().ok_or(CeremonyError::Idle)?;
        let logged =
            SignedCommittee::successor_in(history.entries(), &holding.trustees, holding.signed.committee());
        let signed = logged.ok_or(CeremonyError::Unlogged)?;
        let is_logged = |candidate: &&mut Candidate| &candidate.committee == signed.committee();
        let logged = self.candidates.iter_mut().find(is_logged).ok_or(CeremonyError::LeftOut)?;
        core::mem::swap(&mut holding.share, &mut logged.share);
        holding.signed = signed;
        self.candidates.clear();
        self.ceremony = None;
        Ok(())
    }

    /// Forgets the ceremony under way and erases its secrets; a share of before stays.
    ///
    /// A refresh with which this trustee was content may still be completed by the others. What it
    /// leads to is kept until the ledger has decided. A new key is not abandoned once this trustee has
    /// signed it, since the others may have finished with that. What is missing then is a
    /// message that somebody has; give [`next`](Self::next) all copies together, at any later time.
    ///
    /// # Errors
    /// [`CeremonyError::Signed`] once this trustee has signed a new key.
    pub fn abandon(&mut self) -> Result<(), CeremonyError> {
        let is_signature = |said: &CeremonyMessage| said.round() == Round::Signature;
        let signed_new =
            |ceremony: &Participant| !ceremony.plan.is_refresh() && ceremony.said.iter().any(is_signature);
        if self.ceremony.as_ref().is_some_and(signed_new) {
            return Err(CeremonyError::Signed);
        }
        self.ceremony = None;
        Ok(())
    }

    /// Seals all of it under a passphrase: any bytes, at least one.
    ///
    /// # Errors
    /// [`PassphraseError::Empty`], or [`PassphraseError::Memory`] when there is too little
    /// memory for the cost.
    pub fn seal(
        &self,
        passphrase: &[u8],
        cost: PassphraseCost,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<SealedTrusteeSecrets, PassphraseError> {
        let plain = self.encode();
        Sealed::seal(SealedTrusteeSecrets::KIND, plain, passphrase, cost, rng).map(SealedTrusteeSecrets)
    }

    #[cfg(test)]
    pub(super) fn recipient_of_ceremony(&self) -> super::sealing::RecipientSecret {
        self.ceremony.as_ref().unwrap().recipient()
    }

    /// The sealed part before sealing, padded, in a buffer that does not grow.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_capacity(SealedTrusteeSecrets::MAX_SEALED);
        out.u8(FORMAT);
        out.raw(self.identity.seed().expose());
        out.u8(self.holding.is_some().into());
        if let Some(Holding { share, signed, trustees }) = &self.holding {
            out.le16(share.index());
            out.scalars(core::slice::from_ref(share.secret().expose()));
            Whole::put(signed, &mut out);
            out.le16(trustees.count());
            trustees.keys().iter().for_each(|key| out.raw(key.as_bytes()));
        }
        out.u8(self.ceremony.is_some().into());
        if let Some(Participant { plan, seed, said, .. }) = &self.ceremony {
            Whole::put(plan, &mut out);
            out.raw(seed.expose());
            out.le16(said.len() as u16);
            said.iter().for_each(|message| Whole::put(message, &mut out));
        }
        out.u8(self.candidates.len() as u8);
        for Candidate { committee, share } in &self.candidates {
            committee.encode(&mut out);
            out.scalars(core::slice::from_ref(share.secret().expose()));
        }
        let mut plain = Zeroizing::new(out.finish());
        let padded = plain.len().next_multiple_of(PADDING);
        plain.resize(padded, 0);
        plain
    }

    pub(super) fn decode(plain: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(plain, "trustee secrets");
        if from.u8("format")? != FORMAT {
            return Err(from.refuse(Rule::Version));
        }
        let identity = TrusteeKey::from_secret_bytes(secret(&mut from, "long-term key")?);
        let holding = from.bool("holding")?.then(|| decode_holding(&mut from, &identity)).transpose()?;
        let ceremony = from.bool("ceremony")?.then(|| decode_ceremony(&mut from, &identity)).transpose()?;
        let count = from.u8("candidates")?;
        if usize::from(count) > MAX_CANDIDATES || (count > 0 && holding.is_none()) {
            return Err(from.refuse(Rule::Length));
        }
        let mut candidates = Vec::with_capacity(MAX_CANDIDATES);
        for _ in 0..count {
            candidates.push(decode_candidate(&mut from, holding.as_ref())?);
        }
        if from.rest("padding").iter().any(|byte| *byte != 0) {
            return Err(from.refuse(Rule::Trailing));
        }
        Ok(Self { identity, holding, ceremony, candidates })
    }
}

unjoin_core::opaque!(TrusteeSecrets);

fn secret(from: &mut Reader<'_>, field: &'static str) -> Result<SecretBytes<32>, DecodeError> {
    let mut bytes = from.array(field)?;
    let secret = SecretBytes::new(bytes);
    bytes.zeroize();
    Ok(secret)
}

/// A share is taken only with a committee that it belongs to, at the index that the trustee's
/// key has among the trustees.
fn decode_holding(from: &mut Reader<'_>, identity: &TrusteeKey) -> Result<Holding, DecodeError> {
    let index = trustee_index(from)?;
    let secret = SecretScalar::new(from.scalar("share")?);
    let signed: SignedCommittee = Whole::get(from, "committee")?;
    let count = from.le16("trustees")?;
    let mut keys = Vec::new();
    for _ in 0..count.min(Trustees::MAX as u16) {
        let key = TrusteePublicKey::from_bytes(&from.array("trustee key")?);
        keys.push(key.ok_or(from.refuse(Rule::Value))?);
    }
    let trustees = Trustees::new(keys).map_err(|_| from.refuse(Rule::Value))?;
    let committee = signed.committee();
    let own = committee.verification_share(index).map(|own| *own.point());
    if count != committee.trustees()
        || trustees.index_of(&identity.public()) != Some(index)
        || own != Some(Generator::G.mul(secret.expose()))
    {
        return Err(from.refuse(Rule::Value));
    }
    Ok(Holding { share: TrusteeShare::new(index, committee.epoch(), secret), signed, trustees })
}

/// A share is taken only with a committee that it belongs to, of the epoch after the holding's.
fn decode_candidate(from: &mut Reader<'_>, holding: Option<&Holding>) -> Result<Candidate, DecodeError> {
    let committee = Committee::decode(from)?;
    let secret = SecretScalar::new(from.scalar("share")?);
    let holding = holding.ok_or(from.refuse(Rule::Value))?;
    let (index, before) = (holding.share.index(), holding.signed.committee());
    let own = committee.verification_share(index).map(|own| *own.point());
    if committee.key() != before.key()
        || before.epoch().checked_add(1) != Some(committee.epoch())
        || own != Some(Generator::G.mul(secret.expose()))
    {
        return Err(from.refuse(Rule::Value));
    }
    let share = TrusteeShare::new(index, committee.epoch(), secret);
    Ok(Candidate { committee, share })
}

fn decode_ceremony(from: &mut Reader<'_>, identity: &TrusteeKey) -> Result<Participant, DecodeError> {
    let plan: CeremonyPlan = Whole::get(from, "plan")?;
    let seed = secret(from, "ceremony seed")?;
    let count = from.le16("messages")?;
    let index = plan.trustees().index_of(&identity.public()).ok_or(from.refuse(Rule::Value))?;
    let mut said: Vec<CeremonyMessage> = Vec::new();
    for _ in 0..count {
        let next: CeremonyMessage = Whole::get(from, "message")?;
        if next.index() != index || said.last().is_some_and(|last| last.round() >= next.round()) {
            return Err(from.refuse(Rule::Value));
        }
        said.push(next);
    }
    Ok(Participant { plan, index, seed, said })
}

/// The only format of the sealed part.
const FORMAT: u8 = 1;

/// Kind 36: a trustee's secrets, sealed under a passphrase (Argon2id, XChaCha20-Poly1305). A
/// weak passphrase can be guessed by anybody who holds this.
///
/// ```
/// use unjoin_core::{PassphraseCost, secret::SystemRng, wire::Message};
/// use unjoin_trustee::{SealedTrusteeSecrets, TrusteeSecrets};
/// let (secrets, rng) = (TrusteeSecrets::generate(&mut SystemRng::new()), &mut SystemRng::new());
/// // In service: `PassphraseCost::default()`, which makes each guess far dearer.
/// let bytes = secrets.seal(b"correct horse", PassphraseCost::LEAST, rng)?.to_bytes();
/// let sealed = SealedTrusteeSecrets::from_bytes(&bytes)?;
/// assert_eq!(sealed.open(b"correct horse")?.public(), secrets.public());
/// assert!(sealed.open(b"wrong horse").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SealedTrusteeSecrets(Sealed);

impl SealedTrusteeSecrets {
    /// The longest sealed part, in bytes: 64 trustees, with a ceremony about to finish, and
    /// candidates.
    const MAX_SEALED: usize = 3 * PADDING + TAG;

    /// Opens it. Takes the memory that its cost says, at most
    /// [`PassphraseCost::MAX_MEMORY_KIB`].
    ///
    /// # Errors
    /// [`PassphraseError::Open`] when the passphrase is wrong or anything was changed: which
    /// of them is not told; [`PassphraseError::Memory`] when there is too little memory.
    pub fn open(&self, passphrase: &[u8]) -> Result<TrusteeSecrets, PassphraseError> {
        let plain = self.0.open(Self::KIND, passphrase)?;
        TrusteeSecrets::decode(&plain).map_err(|_| PassphraseError::Open)
    }

    /// Replaces the file at `path` whole or not at all: written beside it, synced, renamed; then
    /// the old one is overwritten.
    ///
    /// The old file's blocks may stay on the disk all the same, until they are used again. Keep the
    /// file on an encrypted disk, or on a stick that is destroyed after the refresh.
    ///
    /// # Errors
    /// What the file system says; the old or the new content is there then.
    pub fn replace_file(&self, path: &std::path::Path) -> std::io::Result<()> {
        unjoin_core::file::replace(path, &self.to_bytes())
    }
}

impl fmt::Debug for SealedTrusteeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedTrusteeSecrets({} bytes, {:?})", HEADER + self.0.sealed.len(), self.0.cost)
    }
}

impl Message for SealedTrusteeSecrets {
    const KIND: u8 = 36;
    const NAME: &'static str = "sealed trustee secrets";
    const MAX_LEN: usize = HEADER + Self::MAX_SEALED;

    fn encode_body(&self, out: &mut Writer) {
        self.0.encode(out);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Sealed::decode(from, Self::MAX_SEALED).map(Self)
    }
}

serde_as_bytes!(SealedTrusteeSecrets);
