//! What the device pins, and what it takes as proof that a cohort is sealed.

use super::WalletError;
use unjoin_core::Grid;
use unjoin_core::algebra::EscrowKey;
use unjoin_core::token::{
    CohortManifest, EscrowKeyCertificate, IssuerPublicKey, PlatformPublicKey, Scope, SignedManifest, Trustees,
};
use unjoin_core::wire::{DecodeError, Message};
use unjoin_log::{CosignedEntry, WitnessPolicy};

/// What the device pins, shipped with the application. The issuer keys, each with the one escrow key
/// that belongs to it for its whole life. The platform's public key, the least cohort that the wallet
/// accepts, and the grid of the platform's boundaries.
///
/// One key for everybody is what keeps a platform from tagging a wallet by a key of its own:
/// never fill this from an [`Offer`](unjoin_core::token::Offer).
///
/// ```
/// use unjoin_core::{Grid, secret::SystemRng, token::PlatformKey};
/// use unjoin_wallet::TrustRoots;
/// # let platform_key = PlatformKey::generate(&mut SystemRng::new()).public();
/// // `platform_key` is shipped with the app. A cohort of fewer than ten customers is refused.
/// let trust = TrustRoots::new(platform_key, 10, Grid::Daily);
/// assert_eq!(trust.least_cohort(), 10);
/// ```
#[derive(Clone, Debug)]
pub struct TrustRoots {
    platform_key: PlatformPublicKey,
    least_cohort: u32,
    grid: Grid,
    /// Where they are pinned, no escrow key counts without all their signatures, nor one with which
    /// fewer of them than this number open a review.
    trustees: Option<(Trustees, u16)>,
    keys: Vec<(IssuerPublicKey, EscrowKey)>,
    ledger: Option<WitnessPolicy>,
    /// Receipts of earlier eras are refused.
    era: u32,
}

impl TrustRoots {
    /// Pins the platform's key, the least number of customers that a cohort's manifest must vouch
    /// for, and the grid that its dates must lie on. No issuer key is pinned yet.
    pub fn new(platform_key: PlatformPublicKey, least_cohort: u32, grid: Grid) -> Self {
        Self { platform_key, least_cohort, grid, trustees: None, keys: Vec::new(), ledger: None, era: 1 }
    }

    /// Pins the trustees' keys as well, and the least number of them who must be needed to open a
    /// review. An escrow key is then accepted by the trustees' certificate only.
    #[must_use]
    pub fn with_trustees(self, trustees: Trustees, least_threshold: u16) -> Self {
        Self { trustees: Some((trustees, least_threshold)), ..self }
    }

    /// Pins the reviews ledger and its witnesses. From then on the platform's signature on a
    /// manifest is not enough. It must be in the ledger, where everybody sees the same ones,
    /// and a merchant can compare their sum with its orders.
    #[must_use]
    pub fn require_ledger(mut self, policy: WitnessPolicy) -> Self {
        self.ledger = Some(policy);
        self
    }

    /// Refuses receipts of eras before this one. It began with the newest recovery of the reviews' store that
    /// the device has found in the ledger. Earlier receipts would be excused before they were given.
    #[must_use]
    pub fn in_era(self, era: u32) -> Self {
        Self { era, ..self }
    }

    /// Pins an issuer key together with its escrow key.
    ///
    /// # Errors
    /// [`WalletError::ConflictingPin`] when the issuer key is pinned with another escrow key;
    /// [`WalletError::EscrowKeyCertificate`] when the trustees are pinned: it takes their
    /// certificate then.
    pub fn pin(self, issuer_key: IssuerPublicKey, escrow_key: EscrowKey) -> Result<Self, WalletError> {
        if self.trustees.is_some() {
            return Err(WalletError::EscrowKeyCertificate);
        }
        self.pin_pair(issuer_key, escrow_key)
    }

    /// Pins an issuer key together with the escrow key that all n pinned trustees signed.
    ///
    /// # Errors
    /// [`WalletError::EscrowKeyThreshold`] when fewer trustees open a review than is pinned;
    /// [`WalletError::EscrowKeyCertificate`] unless every pinned trustee's signature holds, and
    /// when none are pinned; [`WalletError::ConflictingPin`] as for [`pin`](Self::pin).
    pub fn pin_certified(
        self,
        issuer_key: IssuerPublicKey,
        certificate: &EscrowKeyCertificate,
    ) -> Result<Self, WalletError> {
        let (trustees, least) = self.trustees.as_ref().ok_or(WalletError::EscrowKeyCertificate)?;
        if certificate.threshold() < *least {
            return Err(WalletError::EscrowKeyThreshold);
        }
        let escrow_key = certificate.verify(trustees).map_err(|_| WalletError::EscrowKeyCertificate)?;
        self.pin_pair(issuer_key, escrow_key)
    }

    fn pin_pair(mut self, issuer_key: IssuerPublicKey, escrow_key: EscrowKey) -> Result<Self, WalletError> {
        match self.escrow_key_of(&issuer_key) {
            Some(pinned) if pinned != &escrow_key => return Err(WalletError::ConflictingPin),
            Some(_) => {}
            None => self.keys.push((issuer_key, escrow_key)),
        }
        Ok(self)
    }

    /// The platform's pinned key.
    pub fn platform_key(&self) -> &PlatformPublicKey {
        &self.platform_key
    }

    /// Whether a receipt of this era may be given now.
    pub(crate) fn accepts_era(&self, era: u32) -> bool {
        era >= self.era
    }

    unjoin_core::getters! {
        /// The grid that the platform's dates lie on.
        pub grid -> Grid;
        /// The least cohort that the wallet accepts, in customers.
        pub least_cohort -> u32;
    }

    /// The escrow key that is pinned with this issuer key.
    pub fn escrow_key_of(&self, issuer_key: &IssuerPublicKey) -> Option<&EscrowKey> {
        self.keys.iter().find(|(pinned, _)| pinned == issuer_key).map(|(_, escrow_key)| escrow_key)
    }

    /// The pinned ledger.
    pub(crate) fn ledger(&self) -> Option<&WitnessPolicy> {
        self.ledger.as_ref()
    }

    /// The pinned pair whose issuer key this scope is of.
    pub(crate) fn pair_of(&self, scope: &Scope) -> Option<&(IssuerPublicKey, EscrowKey)> {
        self.keys.iter().find(|(issuer_key, _)| scope.is_of(issuer_key))
    }

    /// Refuses a pair of keys that is not pinned as a pair.
    pub(super) fn check(
        &self,
        issuer_key: &IssuerPublicKey,
        escrow_key: &EscrowKey,
    ) -> Result<(), WalletError> {
        let pinned = self.escrow_key_of(issuer_key).ok_or(WalletError::IssuerKeyNotPinned)?;
        if pinned == escrow_key { Ok(()) } else { Err(WalletError::EscrowKeyNotPinned) }
    }
}

/// What shows the device that a token's cohort is sealed and how large it is at least.
///
/// The platform can sign a manifest for one device alone. One that is in the ledger under
/// a cosigned checkpoint is the same for everybody, and the platform alone cannot make it: see
/// [`TrustRoots::require_ledger`].
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_wallet::ManifestEvidence;
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let (token, review) = (shop.token(), Shop::review());
/// # let small = unjoin_core::token::CohortManifest { at_least: 3, ..shop.manifest() };
/// # let [large, small] = [shop.manifest(), small].map(|manifest| manifest.sign(&shop.platform_key).unwrap());
/// let present = |manifest, rng: &mut SystemRng| {
///     let evidence = ManifestEvidence::Signed(manifest);
///     shop.wallet.present(&token, &review, &evidence, &shop.trust, SEALED, rng).map(|_| ())
/// };
/// assert!(present(large, rng).is_ok());
/// // The app pins cohorts of twenty: among three nobody is hidden.
/// assert_eq!(present(small, rng).unwrap_err().code(), "wallet.cohort_too_small");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ManifestEvidence {
    /// The manifest with the signature of the platform's key.
    Signed(SignedManifest),
    /// The manifest as an entry of the reviews ledger, with its proof and the cosigned
    /// checkpoint: what [`LogView::evidence_of`](unjoin_log::LogView::evidence_of)
    /// makes of the manifest's bytes.
    Cosigned(CosignedEntry),
}

impl ManifestEvidence {
    /// Either form, from its bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when they are of neither.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        match SignedManifest::from_bytes(bytes) {
            Ok(manifest) => Ok(Self::Signed(manifest)),
            Err(_) => CosignedEntry::from_bytes(bytes).map(Self::Cosigned),
        }
    }

    /// The manifest, once it is shown to be the platform's, of this scope and escrow key, large enough,
    /// and with dates of the pinned grid.
    pub(super) fn check(
        &self,
        trust: &TrustRoots,
        scope: &Scope,
        escrow_key: &EscrowKey,
    ) -> Result<CohortManifest, WalletError> {
        let manifest = match (self, &trust.ledger) {
            (Self::Signed(_), Some(_)) => return Err(WalletError::ManifestNotLogged),
            (Self::Signed(signed), None) => {
                let verified = signed.verify(&trust.platform_key);
                verified.map_err(|_| WalletError::ManifestSignature)?.clone()
            }
            (Self::Cosigned(_), None) => return Err(WalletError::LedgerNotPinned),
            (Self::Cosigned(evidence), Some(policy)) => {
                let entry = evidence.verify(policy).map_err(|_| WalletError::ManifestNotLogged)?;
                CohortManifest::from_bytes(entry).map_err(|_| WalletError::ManifestNotLogged)?
            }
        };
        if &manifest.scope != scope {
            return Err(WalletError::ManifestScope);
        }
        if &manifest.escrow_id != escrow_key.id() {
            return Err(WalletError::ManifestEscrow);
        }
        let dates = manifest.publications.as_slice();
        if dates.iter().any(|date| trust.grid.at_or_before(*date) != Some(*date)) {
            return Err(WalletError::ManifestOffGrid);
        }
        if manifest.at_least < trust.least_cohort {
            return Err(WalletError::CohortTooSmall);
        }
        Ok(manifest)
    }
}
