//! The issuing key: made by the order service, held by the review service too.

use crate::algebra::{Element, Generator};
use crate::secret::{SecretBytes, SecretScalar};
use curve25519_dalek::scalar::Scalar;
use rand_core::CryptoRng;
use zeroize::Zeroize;

/// The public half of an issuing key: `X = x * G` and its id, `H32("issuer-key", X)`.
/// One X for everybody: wallets pin it or find it in the ledger, so that nobody can be
/// tagged by a key of their own.
///
/// ```
/// use unjoin_core::{secret::SystemRng, token::{IssuerKey, IssuerPublicKey}};
/// let key = *IssuerKey::generate(&mut SystemRng::new()).public();
/// // Its text, for a configuration: 64 hexadecimal digits.
/// assert_eq!(key.to_string().parse(), Ok(key));
/// assert_eq!(IssuerPublicKey::new(*key.element()).id(), key.id());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuerPublicKey {
    element: Element,
    id: [u8; 32],
}

crate::shapes::key_with_id!(IssuerPublicKey, "issuer-key");

impl IssuerPublicKey {
    /// The 32 bytes of `X`.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.element.as_bytes()
    }
}

crate::text_as_hex!(IssuerPublicKey: 32, |bytes| Element::from_bytes(&bytes).map(Self::new););

/// An issuing key: the secret scalar x and a separate 32-byte PRF key, with the public half.
///
/// ```
/// use unjoin_core::{secret::SystemRng, token::IssuerKey};
/// let key = IssuerKey::generate(&mut SystemRng::new());
/// // Sealed by the host's key management, and opened at the next start.
/// let secret = key.to_secret_bytes();
/// let again = IssuerKey::from_secret_bytes(&secret).ok_or("no issuing key's bytes")?;
/// assert_eq!(again.public(), key.public());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct IssuerKey {
    x: SecretScalar,
    prf_key: SecretBytes<32>,
    public: IssuerPublicKey,
}

impl IssuerKey {
    /// A fresh key: 96 bytes from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        loop {
            let mut wide = [0; 64];
            rng.fill_bytes(&mut wide);
            let x = SecretScalar::new(Scalar::from_bytes_mod_order_wide(&wide));
            wide.zeroize();
            if let Some(key) = Self::from_parts(x, SecretBytes::random(rng)) {
                return key;
            }
        }
    }

    /// The key with these secrets; `None` if x is zero.
    fn from_parts(x: SecretScalar, prf_key: SecretBytes<32>) -> Option<Self> {
        let public = IssuerPublicKey::new(Element::from_point(Generator::G.mul(x.expose()))?);
        Some(Self { x, prf_key, public })
    }

    /// Restores a key from [`IssuerKey::to_secret_bytes`]; `None` if they are not a key's.
    pub fn from_secret_bytes(bytes: &SecretBytes<64>) -> Option<Self> {
        let (mut x, mut prf_key) = ([0; 32], [0; 32]);
        x.copy_from_slice(bytes.expose().get(..32)?);
        prf_key.copy_from_slice(bytes.expose().get(32..)?);
        let scalar: Option<Scalar> = Scalar::from_canonical_bytes(x).into();
        let key = Self::from_parts(SecretScalar::new(scalar?), SecretBytes::new(prf_key));
        x.zeroize();
        prf_key.zeroize();
        key
    }

    /// The secrets, x then the PRF key: for the host's key management, sealed there.
    pub fn to_secret_bytes(&self) -> SecretBytes<64> {
        let mut bytes = [0; 64];
        let secrets = self.x.expose().as_bytes().iter().chain(self.prf_key.expose());
        bytes.iter_mut().zip(secrets).for_each(|(to, from)| *to = *from);
        let secret = SecretBytes::new(bytes);
        bytes.zeroize();
        secret
    }

    /// The public half.
    pub fn public(&self) -> &IssuerPublicKey {
        &self.public
    }

    #[doc(hidden)]
    pub fn x(&self) -> &Scalar {
        self.x.expose()
    }

    #[doc(hidden)]
    pub fn prf_key(&self) -> &[u8; 32] {
        self.prf_key.expose()
    }
}
