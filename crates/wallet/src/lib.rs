//! The reviewer's device: one seed, the tokens of its orders, and what it shows of them.
//!
//! Pure: no clock, no network, no store, no threads; the application brings the time,
//! randomness and the messages. Builds alone, without the platform's services.
//!
//! An app embeds a [`Device`]. It does all of this by itself, at the times that it should be done, and
//! is kept in one sealed blob. What it is made of:
//!
//! | step | call | sent |
//! |---|---|---|
//! | bind the wallet to the account, once | [`Wallet::enrol`] | [`Enrolment`] |
//! | ask for a token for **every** order, at its [`asking_time`] | [`Wallet::request`] | [`TokenRequest`](unjoin_core::token::TokenRequest) |
//! | check the grant | [`Wallet::finish`] | nothing |
//! | present it with a review, once its cohort is sealed | [`Wallet::present`] | [`Presentation`](unjoin_core::token::Presentation) and review, at a random time |
//! | check its receipt | [`ScheduledPresentation::check_receipt`] | nothing |
//! | edit, withdraw | [`Wallet::act`] | [`AuthorAction`](unjoin_core::token::AuthorAction), at a random time |
//! | keep a copy | [`Wallet::seal_backup`] | [`SealedBackup`] |
//!
//! The steps up to the grant run under the account; presenting and what follows must not.
//! What the wallet refuses, it refuses because a key or a scope of one's own is how a
//! platform would mark somebody: see [`TrustRoots`].
//!
//! With the feature `system` the machine's generator is here, too: `unjoin_wallet::SystemRng`.
//!
//! The words of a review can identify its author. [`privacy_warnings`] helps to see some of
//! that; nothing here can prevent it.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use unjoin_core::Name;
//! use unjoin_core::token::{CohortManifest, PublicationDates, EnrolmentContext, Grant, IssuerKey, Offer, OrderHandle, PlatformKey, Review, Scope};
//! use unjoin_wallet::{ManifestEvidence, TrustRoots, Wallet, privacy_warnings};
//! use unjoin_core::{Grid, Timestamp, WEEK};
//! use unjoin_trustee::insecure_test_dealer;
//! use unjoin_core::secret::SystemRng;
//! let rng = &mut SystemRng::new();
//!
//! // The platform's keys, and what of them the application pins.
//! let (committee, _) = insecure_test_dealer(3, 5, rng)?;
//! let (issuer_key, platform_key) = (IssuerKey::generate(rng), PlatformKey::generate(rng));
//! let trust = TrustRoots::new(platform_key.public(), 20, Grid::Weekly).pin(*issuer_key.public(), *committee.key())?;
//!
//! // Once: the device enrols under its account.
//! let (issuer, account, nonce) = (Name::new("orders.example")?, Name::new("account-7")?, [9; 32]);
//! let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
//! let wallet = Wallet::generate(rng);
//! let enrolment = wallet.enrol(context, rng)?;
//! enrolment.verify(context, rng)?; // the host
//!
//! // For every order once it is eligible: offer, request, grant.
//! let offer = Offer {
//!     handle: OrderHandle([1; 16]),
//!     scope: Scope::new(*issuer_key.public().id(), Name::new("merchant-1")?, 0x5eed),
//!     issuer_key: *issuer_key.public(),
//!     escrow_key: *committee.key(),
//! };
//! let asked = (offer.scope.merchant().clone(), offer.handle); // as the application knows the order
//! let (pending, request) = wallet.request(&issuer, &asked.0, asked.1, &offer, &trust, rng)?;
//! request.verify(enrolment.wallet_key(), rng)?; // the issuer
//! let grant = Grant::issue(&issuer_key, request.scope(), request.commitment(), rng)?;
//! let token = wallet.finish(pending, &grant, rng)?;
//!
//! // Later: the cohort is sealed, and the author writes.
//! let sealed_at = Timestamp::from_unix_seconds(4 * 86_400).saturating_add(2_600 * WEEK);
//! let manifest = CohortManifest {
//!     scope: token.scope().clone(),
//!     escrow_id: *committee.key().id(),
//!     at_least: 20,
//!     publications: PublicationDates::starting(sealed_at.saturating_add(WEEK)).ok_or("the end of time")?,
//! };
//! let evidence = ManifestEvidence::Signed(manifest.sign(&platform_key)?);
//! let review = Review::new(1, "The lamp came broken.", vec![])?;
//! assert!(privacy_warnings(&review, &[], &[]).is_empty());
//! let now = sealed_at.saturating_add(3_600);
//! let scheduled = wallet.present(&token, &review, &evidence, &trust, now, rng)?;
//! assert!(now <= scheduled.send_at && scheduled.send_at < scheduled.publication);
//!
//! // At `send_at`, without the account's session: the desk.
//! scheduled.presentation.verify(&issuer_key, committee.key(), &review.digest(), rng)?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod author;
mod backup;
#[doc(hidden)]
pub mod derive;
mod device;
mod error;
mod order;
mod present;
mod privacy;
mod recovery;
#[cfg(test)]
mod tests;
mod times;
mod trust;

pub use author::{AuthorRequest, ScheduledAction};
pub use backup::{SealedBackup, open_backup};
pub use device::{Action, Device, Draft, Reply, Request, ReviewPromise, ReviewStage, ReviewStatus};
pub use error::WalletError;
pub use order::{PendingToken, ReviewRight, Token};
pub use present::ScheduledPresentation;
pub use privacy::{PrivacyWarning, PrivacyWarningKind, privacy_warnings};
pub use times::{SENDING_MARGIN, asking_time, fetching_time, making_up_time};
pub use trust::{ManifestEvidence, TrustRoots};
/// The machine's generator.
#[cfg(feature = "system")]
pub use unjoin_core::secret::SystemRng;

use derive::AuthorSecret;
use rand_core::CryptoRng;
use unjoin_core::Name;
use unjoin_core::algebra::Element;
use unjoin_core::secret::SecretBytes;
use unjoin_core::token::{Enrolment, EnrolmentContext};

/// A wallet: one 32-byte seed, from which everything else is derived.
///
/// Anybody who has the seed can show which reviews are this wallet's, past ones included. Keep
/// it in the device's key store, and elsewhere only in a [`SealedBackup`].
///
/// ```
/// use unjoin_core::{Name, secret::SystemRng};
/// use unjoin_wallet::Wallet;
/// let wallet = Wallet::generate(&mut SystemRng::new());
/// // What the order service knows it by; the seed never leaves it in the clear.
/// let key = wallet.wallet_key(&Name::new("orders.example")?)?;
/// assert_eq!((key.as_bytes().len(), format!("{wallet:?}")), (32, "Wallet(..)".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Wallet {
    seed: SecretBytes<32>,
}

impl Wallet {
    /// A wallet with a fresh seed: 32 bytes from `rng`. It leaves the wallet only in a sealed backup.
    /// An application that keeps the seed itself (in a key store, as words) makes the seed and calls
    /// [`Wallet::from_seed`].
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_seed(SecretBytes::random(rng))
    }

    /// The wallet of this seed: 32 bytes from a cryptographic generator, never a passphrase.
    /// It can ask again for every token that the seed's wallet was granted.
    ///
    /// ```
    /// # use unjoin_core::{Name, secret::{SecretBytes, SystemRng}};
    /// # use unjoin_wallet::Wallet;
    /// let seed = *SecretBytes::<32>::random(&mut SystemRng::new()).expose();
    /// let (wallet, again) = (Wallet::from_seed(SecretBytes::new(seed)), Wallet::from_seed(SecretBytes::new(seed)));
    /// // One seed gives one key with an issuer, and keys with two issuers cannot be linked.
    /// let shop = Name::new("shop.example")?;
    /// assert_eq!(wallet.wallet_key(&shop)?, again.wallet_key(&shop)?);
    /// assert_ne!(wallet.wallet_key(&shop)?, wallet.wallet_key(&Name::new("other.example")?)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_seed(seed: SecretBytes<32>) -> Self {
        Self { seed }
    }

    /// The wallet key `U` for this issuer. The keys for two issuers cannot be linked.
    ///
    /// # Errors
    /// [`WalletError::Degenerate`] in the negligible case that it is the identity.
    pub fn wallet_key(&self, issuer: &Name) -> Result<Element, WalletError> {
        Ok(self.author_secret(issuer)?.wallet_key)
    }

    /// Enrols the wallet with an issuer: shows `U` and proves that its secret is here, over
    /// the account and the host's nonce. The host binds `U` to the account.
    ///
    /// # Errors
    /// [`WalletError::Degenerate`] in the negligible case that `U` is the identity.
    ///
    /// ```
    /// # use unjoin_core::{Name, secret::SystemRng, token::EnrolmentContext};
    /// # use unjoin_wallet::Wallet;
    /// let rng = &mut SystemRng::new();
    /// let (issuer, account) = (Name::new("shop.example")?, Name::new("account-1")?);
    /// // The host gives the nonce, fresh for the session that is logged in.
    /// let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[7; 32] };
    /// let enrolment = Wallet::generate(rng).enrol(context, rng)?;
    /// assert!(enrolment.verify(context, rng).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn enrol(
        &self,
        context: EnrolmentContext<'_>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Enrolment, WalletError> {
        let author = self.author_secret(context.issuer)?;
        Ok(Enrolment::prove(&author.u, author.wallet_key, context, rng))
    }

    fn author_secret(&self, issuer: &Name) -> Result<AuthorSecret, WalletError> {
        derive::author(&self.seed, issuer).ok_or(WalletError::Degenerate)
    }
}

unjoin_core::opaque!(Wallet);
