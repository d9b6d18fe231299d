//! The manifest of a sealed cohort: what the issuer tells the desk, the wallets and the
//! reviews ledger. It names no account and no order.

use super::{PlatformKey, PlatformPublicKey, Scope, SignError, VerifyError};
use crate::time::{Timestamp, WEEK};
use crate::wire::{DecodeError, Field, Message, Reader, Rule, Writer};
use crate::{message, serde_as_bytes};

/// The boundaries at which a cohort's reviews are published: one to four of them, rising.
///
/// ```
/// use unjoin_core::token::PublicationDates;
/// use unjoin_core::{DAY, Timestamp};
/// let monday = Timestamp::from_unix_seconds(4 * DAY);
/// let dates = PublicationDates::starting(monday).ok_or("the clock is at the end of time")?;
/// assert_eq!(dates.as_slice().len(), 4);
/// assert_eq!(dates.after(monday), Some(monday.saturating_add(7 * DAY)));
/// assert_eq!(dates.after(dates.last()), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicationDates {
    /// Zeros behind the last.
    dates: [Timestamp; Self::MAX],
    count: usize,
}

impl PublicationDates {
    /// The most that a manifest names.
    pub const MAX: usize = 4;

    /// These dates; `None` unless they are one to [`MAX`](Self::MAX), each later than the one before.
    pub fn new(dates: &[Timestamp]) -> Option<Self> {
        let rising = dates.iter().zip(dates.iter().skip(1)).all(|(a, b)| a < b);
        let mut own = Self { dates: [Timestamp::ZERO; Self::MAX], count: dates.len() };
        own.dates.get_mut(..dates.len())?.copy_from_slice(dates);
        (rising && !dates.is_empty()).then_some(own)
    }

    /// This date, and 7, 28 and 56 days after it; `None` at the end of time.
    pub fn starting(first: Timestamp) -> Option<Self> {
        Self::new(&[0, 1, 4, 8].map(|weeks| first.saturating_add(weeks * WEEK)))
    }

    /// All of them, the first first.
    pub fn as_slice(&self) -> &[Timestamp] {
        self.dates.get(..self.count).unwrap_or_default()
    }

    /// The first.
    pub fn first(&self) -> Timestamp {
        let [first, ..] = self.dates;
        first
    }

    /// The last; from then on nothing is accepted for the cohort.
    pub fn last(&self) -> Timestamp {
        self.as_slice().last().copied().unwrap_or(Timestamp::ZERO)
    }

    /// The first that is later than `now`; `None` once all are over.
    pub fn after(&self, now: Timestamp) -> Option<Timestamp> {
        self.as_slice().iter().copied().find(|date| now < *date)
    }
}

/// Kind 10, 81 bytes, the merchant's name and 8 bytes for each boundary: a sealed cohort.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{Grid, Timestamp, token::{CohortManifest, PublicationDates}};
/// # let shop = Shop::open();
/// # let (scope, escrow_key) = (shop.offer().scope, shop.escrow_key);
/// let monday = Grid::Weekly.next_after(Timestamp::from_unix_seconds(1_700_000_000));
/// let manifest = CohortManifest {
///     scope,
///     escrow_id: *escrow_key.id(),
///     at_least: 20,
///     publications: PublicationDates::starting(monday).unwrap(),
/// };
/// let signed = manifest.clone().sign(&shop.platform_key)?;
/// assert_eq!(signed.verify(&shop.platform_key.public()), Ok(&manifest));
/// # Ok::<(), unjoin_core::token::SignError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortManifest {
    /// The cohort's scope; its key id names X.
    pub scope: Scope,
    /// The escrow id that belongs to X.
    pub escrow_id: [u8; 32],
    /// At least this many distinct customers of standing hold a token of the scope.
    pub at_least: u32,
    /// The boundaries at which its reviews are published.
    pub publications: PublicationDates,
}

impl CohortManifest {
    /// Signs it with the platform's key.
    ///
    /// # Errors
    /// [`SignError`], from a key that the host's key management holds.
    pub fn sign(self, key: &PlatformKey) -> Result<SignedManifest, SignError> {
        let signature = key.sign("manifest", &self.to_bytes())?;
        Ok(SignedManifest { manifest: self, signature })
    }
}

/// Their number (one byte), then each.
impl Field for PublicationDates {
    fn put(&self, out: &mut Writer) {
        let dates = self.as_slice();
        // At most four.
        out.u8(dates.len() as u8);
        dates.iter().for_each(|date| out.timestamp(*date));
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        let count = from.u8(field)?;
        if usize::from(count) > Self::MAX {
            return Err(from.refuse(Rule::Value));
        }
        let dates = (0..count).map(|_| from.timestamp(field)).collect::<Result<Vec<_>, _>>()?;
        Self::new(&dates).ok_or_else(|| from.refuse(Rule::Value))
    }
}

message!(CohortManifest = 10, "cohort manifest":
    scope as "scope", escrow_id as "escrow id", at_least as "at least", publications as "publications";
    if |manifest| manifest.at_least > 0);

serde_as_bytes!(CohortManifest);

/// Kind 11, 64 bytes more than the manifest: with the platform's signature.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::{secret::SystemRng, token::PlatformKey};
/// # let shop = Shop::open();
/// # let (signed, pinned) = (shop.manifest().sign(&shop.platform_key)?, shop.platform_key.public());
/// # let mine = shop.token();
/// // The device picks its cohort's, and believes it once the signature holds.
/// assert_eq!(signed.claimed_scope(), mine.scope());
/// assert_eq!(signed.verify(&pinned).map(|manifest| manifest.at_least), Ok(20));
/// assert!(signed.verify(&PlatformKey::generate(&mut SystemRng::new()).public()).is_err());
/// # Ok::<(), unjoin_core::token::SignError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: CohortManifest,
    signature: [u8; 64],
}

impl SignedManifest {
    /// The manifest, once its signature holds.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not.
    pub fn verify(&self, key: &PlatformPublicKey) -> Result<&CohortManifest, VerifyError> {
        key.verify("manifest", &self.manifest.to_bytes(), &self.signature)?;
        Ok(&self.manifest)
    }

    /// The scope that it claims to close, unverified: to choose which manifest to look at.
    pub fn claimed_scope(&self) -> &Scope {
        &self.manifest.scope
    }
}

message!(SignedManifest = 11, "signed manifest": manifest as "manifest", signature as "signature");

serde_as_bytes!(SignedManifest);
