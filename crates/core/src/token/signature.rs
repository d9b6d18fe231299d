//! Ed25519 signatures (RFC 8032) of the platform, on manifests and receipts, and of its staff, on
//! removals.

use super::{VerifyError, verdict};
use crate::secret::SecretBytes;
use crate::signature::{HostKey, Sign, SignError, Verifier};
use rand_core::CryptoRng;
use std::sync::Arc;

macro_rules! key_pair {
    ($(#[$about:meta])* $key:ident, $(#[$about_public:meta])* $public:ident) => {
        $(#[$about])*
        pub struct $key(HostKey);

        impl $key {
            /// A fresh key: 32 bytes from `rng`.
            pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
                Self::from_secret_bytes(&SecretBytes::random(rng))
            }

            /// The key of this RFC 8032 seed.
            pub fn from_secret_bytes(seed: &SecretBytes<32>) -> Self {
                Self(HostKey::from_seed(seed))
            }

            /// The key that the host's key management holds.
            ///
            /// # Errors
            /// [`SignError::Unavailable`], [`SignError::NotAKey`].
            pub fn held_by(key: Arc<dyn Sign>) -> Result<Self, SignError> {
                HostKey::held_by(key).map(Self)
            }

            /// The seed, to be sealed and kept: [`from_secret_bytes`](Self::from_secret_bytes) makes the same
            /// key of it. `None` if the host's key management holds it.
            pub fn to_secret_bytes(&self) -> Option<SecretBytes<32>> {
                self.0.to_seed()
            }

            /// The public half.
            pub fn public(&self) -> $public {
                $public(self.0.verifier())
            }

            pub(crate) fn signer(&self) -> &HostKey {
                &self.0
            }

            #[doc(hidden)]
            pub fn sign(&self, label: &str, bytes: &[u8]) -> Result<[u8; 64], SignError> {
                self.0.sign(label, bytes)
            }
        }

        $crate::opaque!($key);

        $(#[$about_public])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $public(Verifier);

        impl $public {
            /// The key with this encoding; `None` if it is not one, or of small order.
            pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
                Verifier::from_bytes(bytes).map(Self)
            }

            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }

            pub(crate) fn verifier(&self) -> &Verifier {
                &self.0
            }

            #[doc(hidden)]
            pub fn verify(&self, label: &str, bytes: &[u8], signature: &[u8; 64]) -> Result<(), VerifyError> {
                verdict(self.0.verify(label, bytes, signature))
            }
        }

        crate::text_as_hex!($public: 32, |bytes| Self::from_bytes(&bytes););
    };
}

key_pair!(
    /// The platform's signing key.
    ///
    /// ```
    /// use unjoin_core::{secret::SystemRng, token::PlatformKey};
    /// let key = PlatformKey::generate(&mut SystemRng::new());
    /// // The seed is sealed and kept; wallets pin the public half.
    /// let seed = key.to_secret_bytes().ok_or("in a module")?;
    /// assert_eq!(PlatformKey::from_secret_bytes(&seed).public(), key.public());
    /// assert_eq!(format!("{key:?}"), "PlatformKey(..)");
    /// # Ok::<(), &str>(())
    /// ```
    PlatformKey,
    /// The platform's public key, which wallets pin: 32 bytes.
    ///
    /// ```
    /// use unjoin_core::{secret::SystemRng, token::{PlatformKey, PlatformPublicKey}};
    /// let key = PlatformKey::generate(&mut SystemRng::new()).public();
    /// assert_eq!(PlatformPublicKey::from_bytes(key.as_bytes()), Some(key));
    /// // Of small order: no key.
    /// assert!(PlatformPublicKey::from_bytes(&[0; 32]).is_none());
    /// ```
    PlatformPublicKey
);
key_pair!(
    /// The signing key of one of the platform's staff, or of a court, who may remove reviews.
    ///
    /// ```
    /// use unjoin_core::{secret::SystemRng, token::StaffKey};
    /// let key = StaffKey::generate(&mut SystemRng::new());
    /// let seed = key.to_secret_bytes().ok_or("in a module")?;
    /// assert_eq!(StaffKey::from_secret_bytes(&seed).public(), key.public());
    /// # Ok::<(), &str>(())
    /// ```
    StaffKey,
    /// The public half of a [`StaffKey`], which is in the reviews ledger: 32 bytes.
    ///
    /// ```
    /// use unjoin_core::{secret::SystemRng, token::{StaffKey, StaffPublicKey}};
    /// let key = StaffKey::generate(&mut SystemRng::new()).public();
    /// assert_eq!(key.to_string().parse::<StaffPublicKey>(), Ok(key));
    /// ```
    StaffPublicKey
);
