//! A share on its way to whom the warrant names.

use super::same_author::ComparisonShare;
use super::sealing::{self, RecipientSecret};
use super::share::is_index;
use super::warrant::WarrantTerms;
use super::{DecryptionShare, OpeningError};
use rand_core::CryptoRng;
use unjoin_core::secret::SecretBytes;
use unjoin_core::wire::{Message, Writer};
use unjoin_core::{message, serde_as_bytes};

const LABEL: &str = "warrant-share";
/// A share of an opening, and the longest of a comparison, sealed.
const LEAST: usize = sealing::OVERHEAD + 136;
const MOST: usize = sealing::OVERHEAD + 2154;

/// The secret half of a warrant's recipient key (X25519): it opens the shares.
///
/// ```
/// use unjoin_trustee::RecipientKey;
/// use unjoin_core::secret::{SecretBytes, SystemRng};
/// let key = RecipientKey::generate(&mut SystemRng::new());
/// assert_ne!(key.public(), RecipientKey::from_secret_bytes(SecretBytes::new([7; 32])).public());
/// ```
pub struct RecipientKey {
    secret: RecipientSecret,
    public: [u8; 32],
}

impl RecipientKey {
    /// A fresh key: 32 bytes from `rng`. Give each warrant a key of its own, and erase it when
    /// the case is closed.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_bytes(SecretBytes::random(rng))
    }

    /// The key of these 32 random bytes (DeriveKeyPair of RFC 9180).
    pub fn from_secret_bytes(seed: SecretBytes<32>) -> Self {
        let secret = RecipientSecret::derive(&seed);
        // X25519 takes every 32 bytes for a secret.
        let public = secret.public().unwrap_or_default();
        Self { secret, public }
    }

    /// The public half, for the warrant.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Opens a share of an opening that was sealed under this warrant.
    ///
    /// # Errors
    /// [`OpeningError::Sealed`] when it was sealed to another key or for another warrant, trustee
    /// or subject. What it says still has to be checked: see [`Opening::combine`](super::Opening::combine).
    pub fn open(&self, sealed: &SealedShare, terms: &WarrantTerms) -> Result<DecryptionShare, OpeningError> {
        self.open_message(sealed, terms, DecryptionShare::index)
    }

    /// Opens a share of a comparison that was sealed under this warrant.
    ///
    /// # Errors
    /// As [`open`](Self::open). What it says still has to be checked:
    /// [`Comparison::take_shares`](super::same_author::Comparison::take_shares) does both.
    pub fn open_comparison(
        &self,
        sealed: &SealedShare,
        terms: &WarrantTerms,
    ) -> Result<ComparisonShare, OpeningError> {
        self.open_message(sealed, terms, ComparisonShare::index)
    }

    fn open_message<M: Message>(
        &self,
        sealed: &SealedShare,
        terms: &WarrantTerms,
        index: impl Fn(&M) -> u16,
    ) -> Result<M, OpeningError> {
        let info = sealing::info(LABEL, &terms.digest());
        let plain = self.secret.open(&info, &sealed.header(), &sealed.sealed).ok_or(OpeningError::Sealed)?;
        let share = M::from_bytes(&plain).map_err(|_| OpeningError::Sealed)?;
        if index(&share) == sealed.index { Ok(share) } else { Err(OpeningError::Sealed) }
    }
}

unjoin_core::opaque!(RecipientKey);

/// Kind 44, 254 to 2,272 bytes: a trustee's [`DecryptionShare`] or [`ComparisonShare`], sealed to the
/// warrant's recipient.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_trustee::{RecipientKey, service::OpeningAnswer};
/// # use unjoin_core::secret::SystemRng;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let warrant = world.warrant(&[0]);
/// # let OpeningAnswer::Released(sealed) = world.answer(&world.all_trustees()[0], &warrant, 0) else { panic!() };
/// // Outside it says whose it is, and for which warrant; the warrant's recipient opens it, and nobody else.
/// assert_eq!((sealed.index(), sealed.commitment()), (1, &warrant.commitment()));
/// assert!(world.recipient.open(&sealed, warrant.terms()).is_ok());
/// assert!(RecipientKey::generate(&mut SystemRng::new()).open(&sealed, warrant.terms()).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedShare {
    index: u16,
    commitment: [u8; 32],
    subject: [u8; 32],
    sealed: Vec<u8>,
}

impl SealedShare {
    /// Seals a share of an opening to the warrant's recipient; `commitment` is the warrant's, `subject` the
    /// review's id.
    ///
    /// # Errors
    /// [`OpeningError::Sealed`] when the recipient's key cannot be sealed to.
    pub fn seal(
        share: &DecryptionShare,
        terms: &WarrantTerms,
        commitment: [u8; 32],
        subject: [u8; 32],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, OpeningError> {
        Self::seal_message(share.index(), share, terms, (commitment, subject), rng)
    }

    /// Seals a share of a comparison; `subject` is the round's id.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_comparison(
        share: &ComparisonShare,
        terms: &WarrantTerms,
        commitment: [u8; 32],
        subject: [u8; 32],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, OpeningError> {
        Self::seal_message(share.index(), share, terms, (commitment, subject), rng)
    }

    fn seal_message(
        index: u16,
        share: &impl Message,
        terms: &WarrantTerms,
        (commitment, subject): ([u8; 32], [u8; 32]),
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, OpeningError> {
        let mut made = Self { index, commitment, subject, sealed: Vec::new() };
        let info = sealing::info(LABEL, &terms.digest());
        let plain = zeroize::Zeroizing::new(share.to_bytes());
        let sealed = sealing::seal(terms.recipient(), &info, &made.header(), &plain, &mut &mut *rng);
        made.sealed = sealed.ok_or(OpeningError::Sealed)?;
        Ok(made)
    }

    unjoin_core::getters! {
        /// The trustee's index, from 1.
        pub index -> u16;
        /// The warrant's commitment.
        pub commitment -> &[u8; 32];
        /// The review's id, or in a same-author round the round's.
        pub subject -> &[u8; 32];
    }

    /// What is bound beside the warrant: le16 index, commitment, subject.
    fn header(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.le16(self.index);
        out.raw(&self.commitment);
        out.raw(&self.subject);
        out.finish()
    }
}

message!(SealedShare = 44, "sealed share":
    index as "trustee index", commitment as "commitment", subject as "subject", sealed as "sealed share" of(LEAST..=MOST);
    if |share| is_index(share.index));

serde_as_bytes!(SealedShare);
