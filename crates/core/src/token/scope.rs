//! What a token is for (its scope), and the identifiers derived from it.

use super::key::IssuerPublicKey;
use crate::algebra::transcript::{hash_to_scalar, hash32, push_frame};
use crate::name::Name;
use crate::secret::{SecretBytes, hmac_sha256};
use crate::wire::{self, DecodeError, Reader, Writer};
use core::fmt;
use curve25519_dalek::scalar::Scalar;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A SHA-256 digest, or another 32-byte digest where a field says so.
///
/// ```
/// use unjoin_core::token::{Digest, Review};
/// let digest: Digest = Review::new(4, "Fine.", vec![])?.digest();
/// assert_ne!(digest, Review::new(5, "Fine.", vec![])?.digest());
/// # Ok::<(), unjoin_core::token::ReviewError>(())
/// ```
pub type Digest = [u8; 32];

/// The public scope of a token: which issuer key, which merchant, which cohort.
///
/// Bytes: `issuer key id (32) || le16(len merchant) || merchant || le64(cohort)`, 43 to 106
/// of them.
///
/// ```
/// # use unjoin_core::{secret::SystemRng, token::IssuerKey};
/// use unjoin_core::{Name, token::Scope};
/// let key = *IssuerKey::generate(&mut SystemRng::new()).public();
/// let scope = Scope::new(*key.id(), Name::new("lamps")?, 0x5eed);
/// assert!(scope.is_of(&key));
/// assert_eq!((scope.merchant().as_str(), scope.cohort()), (Some("lamps"), 0x5eed));
/// assert_eq!(Scope::from_bytes(&scope.to_bytes())?, scope);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    key_id: [u8; 32],
    merchant: Name,
    cohort: u64,
}

/// Its bytes, as base64url without padding in readable formats: like a message's.
impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        wire::serialize(&self.to_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = wire::deserialize(deserializer, Self::MAX_LEN)?;
        Self::from_bytes(&bytes).map_err(D::Error::custom)
    }
}

impl Scope {
    /// The most bytes: a key id, a name behind its length, and the cohort.
    const MAX_LEN: usize = 32 + 2 + Name::MAX_LEN + 8;

    /// The scope of `merchant`'s cohort `cohort` under an issuer key.
    pub fn new(key_id: [u8; 32], merchant: Name, cohort: u64) -> Self {
        Self { key_id, merchant, cohort }
    }

    crate::getters! {
        /// The id of the issuer key.
        pub key_id -> &[u8; 32];
        /// The merchant.
        pub merchant -> &Name;
        /// The cohort: an opaque number, random, unique for its merchant.
        pub cohort -> u64;
    }

    /// Whether the scope is one of this key's.
    pub fn is_of(&self, key: &IssuerPublicKey) -> bool {
        &self.key_id == key.id()
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.finish()
    }

    /// Reads the canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes, "scope");
        let scope = Self::decode(&mut from)?;
        from.end()?;
        Ok(scope)
    }

    /// `m = H2S("scope", scope)`.
    #[doc(hidden)]
    pub fn scalar(&self) -> Scalar {
        hash_to_scalar("scope", &[&self.to_bytes()])
    }

    /// Without an outer length, as in messages.
    #[doc(hidden)]
    pub fn encode(&self, out: &mut Writer) {
        out.raw(&self.key_id);
        self.merchant.encode(out);
        out.le64(self.cohort);
    }

    #[doc(hidden)]
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key_id = from.array("scope key id")?;
        let merchant = Name::decode(from, "scope merchant")?;
        Ok(Self { key_id, merchant, cohort: from.le64("scope cohort")? })
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({:?}, cohort {:016x})", self.merchant, self.cohort)
    }
}

/// A review's public name: `H32("review-id", scope, s)`.
///
/// It is a collision-free function of (scope, serial), so what is stored under it is stored
/// once per token.
///
/// ```
/// use unjoin_core::token::ReviewId;
/// let id = ReviewId([0xab; 32]);
/// assert_eq!(id.to_string(), "ab".repeat(32));
/// assert_eq!("ab".repeat(32).parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReviewId(pub [u8; 32]);

impl ReviewId {
    /// The id of the review that spends the token of `scope` with this serial.
    #[doc(hidden)]
    pub fn new(scope: &Scope, serial: &Scalar) -> Self {
        Self(hash32("review-id", &[&scope.to_bytes(), serial.as_bytes()]))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What a device, a log or a portal sees instead of the host's order id. It is the first 16 bytes
/// of HMAC-SHA-256 of the order id under a key of that merchant.
///
/// ```
/// use unjoin_core::{Name, token::OrderHandle};
/// let handle: OrderHandle = "00112233445566778899aabbccddeeff".parse()?;
/// assert_eq!(handle.as_bytes()[..4], [0x00, 0x11, 0x22, 0x33]);
/// // Telephony knows the order by the same bytes.
/// assert_eq!(Name::from(handle).as_bytes(), handle.as_bytes());
/// # Ok::<(), unjoin_core::wire::HexError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderHandle(pub [u8; 16]);

impl OrderHandle {
    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

crate::text_as_hex!(
    ReviewId: 32, |bytes| Some(Self(bytes));
    OrderHandle: 16, |bytes| Some(Self(bytes));
);

/// One merchant's key for order handles, 32 bytes. Never shared between merchants, so that
/// handles of two merchants cannot be compared.
#[doc(hidden)]
#[derive(Debug)]
pub struct OrderHandleKey(SecretBytes<32>);

impl OrderHandleKey {
    /// The key of these bytes.
    pub fn new(key: SecretBytes<32>) -> Self {
        Self(key)
    }

    /// `merchant`'s key under a master key: HMAC-SHA-256 of
    /// `frame("order-handle") || frame(merchant)`.
    pub fn derive(master: &SecretBytes<32>, merchant: &Name) -> Self {
        let mut message = Vec::new();
        push_frame(&mut message, b"order-handle");
        push_frame(&mut message, merchant.as_bytes());
        Self(SecretBytes::new(hmac_sha256(master.expose(), &[&message])))
    }

    /// The handle of the host's order id (any bytes).
    pub fn handle(&self, order_id: &[u8]) -> OrderHandle {
        let mut handle = [0; 16];
        for (to, from) in handle.iter_mut().zip(hmac_sha256(self.0.expose(), &[order_id])) {
            *to = from;
        }
        OrderHandle(handle)
    }
}
