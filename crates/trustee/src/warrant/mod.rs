//! Warrants: a text that requesters sign, what trustees are shown with it, who may ask for what and
//! how much, and what the openings ledger says of them.

mod budget;
mod error;
mod policy;
mod register;
mod terms;

#[doc(hidden)]
pub use budget::Claim;
pub use budget::{BudgetPolicy, Excess, Limit};
pub use error::WarrantError;
pub use policy::{Requester, WarrantPolicy};
pub(super) use register::{Known, LoggedRound};
#[doc(hidden)]
pub use register::{LoggedWarrant, OpeningsRegister, RegisterTrust};
pub use terms::WarrantTerms;

use rand_core::CryptoRng;
use unjoin_core::entry::{DisclosedEntry, WarrantAction, WarrantEntry, release_tag, warrant_commitment};
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{Digest, ReviewId, SignError};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};
use unjoin_log::{KeyName, Note, NoteError, NoteKey};

/// A warrant: a signed note (C2SP signed-note) whose text is [`WarrantTerms`]. Its signatures
/// are checked by a [`WarrantPolicy`].
///
/// ```
/// use unjoin_log::{KeyName, NoteKey};
/// use unjoin_core::entry::WarrantAction;
/// use unjoin_trustee::RecipientKey;
/// use unjoin_trustee::warrant::{PresentedWarrant, Requester, Warrant, WarrantPolicy, WarrantTerms};
/// use unjoin_core::{DAY, Name, Timestamp};
/// use unjoin_core::secret::SystemRng;
/// use unjoin_core::token::ReviewId;
/// let rng = &mut SystemRng::new();
/// let officers = [1, 2].map(|number| KeyName::new(format!("court.example/officer{number}")));
/// let officers = officers.map(|name| NoteKey::generate(name.unwrap(), &mut SystemRng::new()));
/// let (court, action) = (Name::new("court.example")?, WarrantAction::Open);
/// let policy = WarrantPolicy::new(vec![Requester {
///     name: court.clone(),
///     keys: officers.iter().map(|officer| officer.public().clone()).collect(),
///     needed: 2,
///     actions: vec![action],
///     grounds: vec![3],
/// }])?;
///
/// // The court: a recipient's key for this case, and one review.
/// let (recipient, now) = (RecipientKey::generate(rng), Timestamp::from_unix_seconds(1_700_000_000));
/// let (valid, reviews) = (now..=now.saturating_add(30 * DAY), vec![ReviewId([7; 32])]);
/// let terms = WarrantTerms::new("Az. 41", court, action, 3, valid, *recipient.public(), reviews)?;
/// let mut warrant = Warrant::draft(terms)?;
/// warrant.sign(&officers[0])?;
/// assert_eq!(policy.check(&warrant, now).unwrap_err().code(), "warrant.too_few_signatures");
/// warrant.sign(&officers[1])?;
/// policy.check(&warrant, now)?;
///
/// // The ledger gets a commitment, trustees the warrant with its blind.
/// let presented = PresentedWarrant::new(warrant, rng);
/// let entry = presented.entry(&KeyName::new("openings.example")?, &officers[0])?;
/// assert_eq!(entry.commitment(), &presented.commitment());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Warrant {
    terms: WarrantTerms,
    note: Note,
}

impl Warrant {
    /// The longest warrant with its signatures, in bytes.
    pub const MAX_LEN: usize = 16_384;

    /// A warrant that nobody has signed yet.
    ///
    /// # Errors
    /// None that terms can cause.
    pub fn draft(terms: WarrantTerms) -> Result<Self, WarrantError> {
        let note = Note::new(terms.text())?;
        Ok(Self { terms, note })
    }

    /// Adds a requester's signature; once for each key.
    ///
    /// # Errors
    /// [`NoteError::TooLong`] when there are too many.
    pub fn sign(&mut self, key: &NoteKey) -> Result<(), NoteError> {
        let mut note = self.note.clone();
        note.sign(key)?;
        if note.to_bytes().len() > Self::MAX_LEN {
            return Err(NoteError::TooLong);
        }
        self.note = note;
        Ok(())
    }

    /// Reads a warrant with its signatures, at least one; none is checked.
    ///
    /// # Errors
    /// [`WarrantError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, WarrantError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(NoteError::TooLong.into());
        }
        let note = Note::parse(bytes)?;
        Ok(Self { terms: WarrantTerms::parse(note.text())?, note })
    }

    /// What it says.
    pub fn terms(&self) -> &WarrantTerms {
        &self.terms
    }

    /// SHA-256 of its text.
    pub fn digest(&self) -> Digest {
        self.terms.digest()
    }

    /// The note.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The whole note's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_bytes()
    }
}

unjoin_core::opaque!(Warrant | warrant | terms = warrant.terms);

/// Kind 42, at most 16,420 bytes: a warrant with the blind of its commitment, as trustees are
/// shown it. `Debug` prints neither the blind nor the reviews.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_core::{entry::WarrantAction, secret::SystemRng};
/// use unjoin_trustee::warrant::PresentedWarrant;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let warrant = world.sign(world.terms(WarrantAction::Open, &[0])).warrant().clone();
/// let presented = PresentedWarrant::new(warrant.clone(), &mut SystemRng::new());
/// // Without the blind nobody finds the review by its tag; with it everybody does.
/// assert_eq!(presented.tags(), [presented.tag(&world.id(0))]);
/// let again = PresentedWarrant::with_blind(warrant, *presented.blind());
/// assert_eq!(again.commitment(), presented.commitment());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedWarrant {
    warrant: Warrant,
    blind: [u8; 32],
}

impl PresentedWarrant {
    /// A signed warrant with a fresh blind.
    pub fn new(warrant: Warrant, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut blind = [0; 32];
        rng.fill_bytes(&mut blind);
        Self { warrant, blind }
    }

    /// A signed warrant with the blind that its commitment was made with.
    pub fn with_blind(warrant: Warrant, blind: [u8; 32]) -> Self {
        Self { warrant, blind }
    }

    /// The warrant.
    pub fn warrant(&self) -> &Warrant {
        &self.warrant
    }

    /// What the warrant says.
    pub fn terms(&self) -> &WarrantTerms {
        self.warrant.terms()
    }

    /// The blind: hidden until it is disclosed, after the embargo.
    pub fn blind(&self) -> &[u8; 32] {
        &self.blind
    }

    /// What the openings ledger holds of the warrant.
    pub fn commitment(&self) -> [u8; 32] {
        warrant_commitment(&self.warrant.digest(), &self.blind)
    }

    /// The tag under which a share for this review is logged.
    pub fn tag(&self, review: &ReviewId) -> [u8; 32] {
        release_tag(&self.warrant.digest(), &self.blind, review)
    }

    /// The tags of all its reviews, rising.
    pub fn tags(&self) -> Vec<[u8; 32]> {
        let mut tags: Vec<_> = self.terms().reviews().iter().map(|review| self.tag(review)).collect();
        tags.sort_unstable();
        tags
    }

    /// The entry that announces the warrant in the openings ledger with this origin, signed by one of its
    /// requester's officers.
    ///
    /// # Errors
    /// [`SignError`], from a key that the requester's key management holds.
    pub fn entry(&self, origin: &KeyName, officer: &NoteKey) -> Result<WarrantEntry, SignError> {
        self.entry_charged_as(self.terms().action(), origin, officer)
    }

    /// The same for a comparison that is charged as openings, because one of its reviews was opened
    /// before.
    ///
    /// # Errors
    /// As [`entry`](Self::entry).
    pub fn entry_as_opening(&self, origin: &KeyName, officer: &NoteKey) -> Result<WarrantEntry, SignError> {
        self.entry_charged_as(WarrantAction::Open, origin, officer)
    }

    /// Terms have a name, and 1 to 64 different reviews: they break no limit of an entry.
    fn entry_charged_as(
        &self,
        action: WarrantAction,
        origin: &KeyName,
        officer: &NoteKey,
    ) -> Result<WarrantEntry, SignError> {
        let (origin, requester) = (origin.as_str(), self.terms().requester().as_bytes().to_vec());
        WarrantEntry::sign(officer.signer(), origin, self.commitment(), requester, action, self.tags())
    }

    /// Whether an entry announces this warrant, and is charged as it says or as an opening.
    pub(crate) fn is_announced_by(&self, entry: &WarrantEntry) -> bool {
        entry.commitment() == &self.commitment()
            && entry.requester() == self.terms().requester().as_bytes()
            && entry.tags() == self.tags()
            // A comparison may be charged as an opening; an opening may not be charged as less.
            && (entry.action() == self.terms().action() || entry.action() == WarrantAction::Open)
    }

    /// The entry that discloses it.
    pub fn disclosure(&self) -> DisclosedEntry {
        DisclosedEntry { warrant_digest: self.warrant.digest(), blind: self.blind }
    }
}

unjoin_core::opaque!(PresentedWarrant | presented | warrant = presented.warrant);

impl Message for PresentedWarrant {
    const KIND: u8 = 42;
    const NAME: &'static str = "presented warrant";

    fn encode_body(&self, out: &mut Writer) {
        out.bytes(&self.warrant.to_bytes());
        out.raw(&self.blind);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let note = from.bytes("warrant", 1, Warrant::MAX_LEN)?;
        let warrant = Warrant::parse(note).map_err(|_| from.refuse(Rule::Value))?;
        Ok(Self { warrant, blind: from.array("blind")? })
    }
}

serde_as_bytes!(PresentedWarrant);
