//! The platform's Ed25519 signatures on manifests and receipts (RFC 8032).
//!
//! Signed is `frame("unjoin/v1") || frame(label) || frame(bytes)`, so that a signature on one
//! kind of message can never stand on another.

use super::{VerifyError, verdict};
use crate::algebra::transcript::push_frame;
use crate::secret::SecretBytes;
use core::fmt;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;

/// The platform's signing key.
pub struct PlatformKey(SigningKey);

impl PlatformKey {
    /// A fresh key: 32 bytes from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_bytes(&SecretBytes::random(rng))
    }

    /// The key of this RFC 8032 seed.
    pub fn from_secret_bytes(seed: &SecretBytes<32>) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The public half.
    pub fn public(&self) -> PlatformPublicKey {
        PlatformPublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, label: &str, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(&signed_bytes(label, bytes)).to_bytes()
    }
}

impl fmt::Debug for PlatformKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformKey(..)")
    }
}

/// The platform's public key, which wallets pin: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformPublicKey(VerifyingKey);

impl PlatformPublicKey {
    /// The key with this encoding; `None` if it is not one, or of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn verify(&self, label: &str, bytes: &[u8], signature: &[u8; 64]) -> Result<(), VerifyError> {
        let signature = Signature::from_bytes(signature);
        verdict(self.0.verify_strict(&signed_bytes(label, bytes), &signature).is_ok())
    }
}

fn signed_bytes(label: &str, bytes: &[u8]) -> Vec<u8> {
    let mut signed = Vec::with_capacity(bytes.len() + 64);
    push_frame(&mut signed, b"unjoin/v1");
    push_frame(&mut signed, label.as_bytes());
    push_frame(&mut signed, bytes);
    signed
}
