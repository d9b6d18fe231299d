//! The platform's Ed25519 signatures on manifests and receipts (RFC 8032).

use super::{VerifyError, verdict};
use crate::secret::SecretBytes;
use crate::signature::{Signer, Verifier};
use core::fmt;
use rand_core::CryptoRng;

/// The platform's signing key.
pub struct PlatformKey(Signer);

impl PlatformKey {
    /// A fresh key: 32 bytes from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_bytes(&SecretBytes::random(rng))
    }

    /// The key of this RFC 8032 seed.
    pub fn from_secret_bytes(seed: &SecretBytes<32>) -> Self {
        Self(Signer::from_seed(seed))
    }

    /// The public half.
    pub fn public(&self) -> PlatformPublicKey {
        PlatformPublicKey(self.0.verifier())
    }

    #[doc(hidden)]
    pub fn sign(&self, label: &str, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(label, bytes)
    }
}

impl fmt::Debug for PlatformKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformKey(..)")
    }
}

/// The platform's public key, which wallets pin: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformPublicKey(Verifier);

impl PlatformPublicKey {
    /// The key with this encoding; `None` if it is not one, or of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Verifier::from_bytes(bytes).map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    #[doc(hidden)]
    pub fn verify(&self, label: &str, bytes: &[u8], signature: &[u8; 64]) -> Result<(), VerifyError> {
        verdict(self.0.verify(label, bytes, signature))
    }
}
