//! A trustee's long-term key: what its committees, its words in a ceremony and its entries in
//! the openings ledger are signed with. Not its share of the escrow key.

use crate::secret::SecretBytes;
use crate::signature::{Signer, Verifier};
use rand_core::CryptoRng;

/// The most trustees there can be; their indices run from 1.
pub(crate) const MAX_TRUSTEES: u16 = 64;

/// A trustee's public key, which wallets and fellow trustees pin: 32 bytes.
///
/// ```
/// use unjoin_core::{secret::SystemRng, token::{TrusteeKey, TrusteePublicKey}};
/// let key = TrusteeKey::generate(&mut SystemRng::new()).public();
/// assert_eq!(TrusteePublicKey::from_bytes(key.as_bytes()), Some(key));
/// assert_eq!(key.to_string().parse(), Ok(key));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrusteePublicKey(Verifier);

impl TrusteePublicKey {
    /// The key with this encoding; `None` if it is not one, or of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Verifier::from_bytes(bytes).map(Self)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// What verifies entries of a ledger.
    #[doc(hidden)]
    pub fn verifier(&self) -> &Verifier {
        &self.0
    }

    #[doc(hidden)]
    pub fn verify(&self, label: &str, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify(label, bytes, signature)
    }
}

crate::text_as_hex!(TrusteePublicKey: 32, |bytes| Self::from_bytes(&bytes););

/// A trustee's long-term signing key (Ed25519).
///
/// ```
/// use unjoin_core::{secret::SecretBytes, token::TrusteeKey};
/// let key = TrusteeKey::from_secret_bytes(SecretBytes::new([7; 32]));
/// assert_eq!(format!("{key:?}"), "TrusteeKey(..)");
/// assert_eq!(key.public(), TrusteeKey::from_secret_bytes(SecretBytes::new([7; 32])).public());
/// ```
pub struct TrusteeKey {
    signer: Signer,
    seed: SecretBytes<32>,
}

impl TrusteeKey {
    /// A fresh key: 32 bytes from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_bytes(SecretBytes::random(rng))
    }

    /// The key of this RFC 8032 seed.
    pub fn from_secret_bytes(seed: SecretBytes<32>) -> Self {
        Self { signer: Signer::from_seed(&seed), seed }
    }

    /// The public half.
    pub fn public(&self) -> TrusteePublicKey {
        TrusteePublicKey(self.signer.verifier())
    }

    crate::getters! {
        /// The seed: for sealing only.
        #[doc(hidden)]
        pub seed -> &SecretBytes<32>;
        /// What signs entries of a ledger.
        #[doc(hidden)]
        pub signer -> &Signer;
    }

    #[doc(hidden)]
    pub fn sign(&self, label: &str, bytes: &[u8]) -> [u8; 64] {
        self.signer.sign(label, bytes)
    }
}

crate::opaque!(TrusteeKey);
