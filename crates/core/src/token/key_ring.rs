//! The issuing keys of a platform: the one that new cohorts use, those that still issue for
//! cohorts that are open, and those that only verify.

use super::IssuerKey;
use crate::algebra::EscrowKey;
use crate::describe_errors;
use std::sync::Arc;

/// An issuing key with the escrow key that belongs to it for its whole life.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::token::KeyRing;
/// # let Shop { issuer_key, escrow_key, .. } = Shop::open();
/// let ring = KeyRing::new(issuer_key, escrow_key);
/// let pair = ring.newest();
/// assert_eq!(pair.escrow_key, escrow_key);
/// assert!(ring.may_issue(pair.issuer_key.public().id()));
/// ```
#[derive(Debug)]
pub struct KeyPair {
    /// The issuing key.
    pub issuer_key: IssuerKey,
    /// The trustees' key: fixed with the issuing key, so that an early presentation verifies
    /// without a manifest.
    pub escrow_key: EscrowKey,
}

/// Issuing keys by id, with their state. Immutable: rotation makes a new ring and hands it
/// to the services.
///
/// ```
/// use unjoin_trustee::insecure_test_dealer;
/// use unjoin_core::secret::SystemRng;
/// use unjoin_core::token::{IssuerKey, KeyRing};
/// let rng = &mut SystemRng::new();
/// let (committee, _) = insecure_test_dealer(3, 5, rng)?;
/// let first = KeyRing::new(IssuerKey::generate(rng), *committee.key());
/// let old = *first.newest().issuer_key.public().id();
/// let rotated = first.with(IssuerKey::generate(rng), *committee.key())?.retire(&old)?;
/// assert!(!rotated.may_issue(&old) && rotated.find(&old).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyRing {
    newest: Arc<KeyPair>,
    older: Vec<Arc<KeyPair>>,
    retired: Vec<[u8; 32]>,
}

impl KeyRing {
    /// A ring of one key.
    pub fn new(issuer_key: IssuerKey, escrow_key: EscrowKey) -> Self {
        let newest = Arc::new(KeyPair { issuer_key, escrow_key });
        Self { newest, older: Vec::new(), retired: Vec::new() }
    }

    /// The ring with a further key, under which cohorts open from now on. The others go on
    /// issuing for cohorts that are open, until they are retired.
    ///
    /// # Errors
    /// [`KeyRingError::KnownKey`]: a key never changes its escrow key, and one that was retired never
    /// issues again.
    pub fn with(&self, issuer_key: IssuerKey, escrow_key: EscrowKey) -> Result<Self, KeyRingError> {
        if self.find(issuer_key.public().id()).is_some() {
            return Err(KeyRingError::KnownKey);
        }
        let mut older = self.older.clone();
        older.push(Arc::clone(&self.newest));
        let newest = Arc::new(KeyPair { issuer_key, escrow_key });
        Ok(Self { newest, older, retired: self.retired.clone() })
    }

    /// The ring in which the key with this id issues nothing new; it verifies as before. Again: no
    /// effect.
    ///
    /// # Errors
    /// [`KeyRingError::NewestKey`], [`KeyRingError::UnknownKey`].
    pub fn retire(&self, key_id: &[u8; 32]) -> Result<Self, KeyRingError> {
        if key_id == self.newest.issuer_key.public().id() {
            return Err(KeyRingError::NewestKey);
        }
        if self.find(key_id).is_none() {
            return Err(KeyRingError::UnknownKey);
        }
        let mut ring = self.clone();
        if !ring.retired.contains(key_id) {
            ring.retired.push(*key_id);
        }
        Ok(ring)
    }

    /// The key that new cohorts open under.
    pub fn newest(&self) -> &Arc<KeyPair> {
        &self.newest
    }

    /// The key with this id, retired or not.
    pub fn find(&self, key_id: &[u8; 32]) -> Option<&Arc<KeyPair>> {
        std::iter::once(&self.newest).chain(&self.older).find(|pair| pair.issuer_key.public().id() == key_id)
    }

    /// Whether the key is known and not retired.
    pub fn may_issue(&self, key_id: &[u8; 32]) -> bool {
        self.find(key_id).is_some() && !self.retired.contains(key_id)
    }
}

describe_errors! {
    /// Why a key ring was not made.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::shop::Shop;
    /// use unjoin_core::token::{KeyRing, KeyRingError};
    /// # let Shop { issuer_key, escrow_key, .. } = Shop::open();
    /// let ring = KeyRing::new(issuer_key, escrow_key);
    /// let newest = *ring.newest().issuer_key.public().id();
    /// assert_eq!(ring.retire(&newest).unwrap_err(), KeyRingError::NewestKey);
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum KeyRingError (Operator, false) {
        /// The ring has the key already, retired or not.
        KnownKey => "key_ring.known_key",
            "the ring has this issuing key already, with its escrow key for life: add a fresh key";
        /// Cohorts open under the newest key: it cannot be retired before it has a successor.
        NewestKey => "key_ring.newest_key",
            "the newest key still issues: add its successor to the ring, then retire it";
        /// The ring has no key with this id.
        UnknownKey => "key_ring.unknown_key",
            "the ring has no issuing key with this id, and nothing was retired: look the id up again";
    }
}
