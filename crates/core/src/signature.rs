//! Ed25519 (RFC 8032) as every part of this crate uses it: strict verification only, and, but
//! for the notes of the ledgers, signed bytes that say what they are.
//!
//! Signed is `frame("unjoin/v1") || frame(label) || frame(bytes)`, so that a signature on one
//! kind of message can never stand on another. A signed note signs its bare text; no framed
//! message can be one, because a note's text has no control characters.

use crate::algebra::transcript::push_frame;
use crate::describe_errors;
use crate::secret::SecretBytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::sync::Arc;

/// An Ed25519 key in the host's key management (an HSM, a KMS), which signs and never gives the key away.
///
/// [`PlatformKey`](crate::token::PlatformKey), [`StaffKey`](crate::token::StaffKey) and the keys of notes are made of one
/// by `held_by`. Every signature is verified before it is used, so a fault in a module gets into no receipt and no ledger.
/// Where one fails, what it was for is not done, and is done when it is asked for again.
///
/// It blocks: receipts are signed on the desk's workers, manifests in the issuer's tick, checkpoints where the ledger is
/// published. It gives up after a time of its own, best within a second, and may be called from many threads at once.
///
/// ```
/// use unjoin_core::secret::{SecretBytes, SystemRng};
/// use unjoin_core::token::{PlatformKey, Sign, SignError};
/// use std::sync::Arc;
///
/// /// What a vendor's library offers.
/// trait Module: Send + Sync {
///     fn public_key(&self, key: &str) -> Result<[u8; 32], String>;
///     fn sign_ed25519(&self, key: &str, message: &[u8]) -> Result<[u8; 64], String>;
/// }
///
/// struct InModule<M>(M, &'static str);
///
/// impl<M: Module> Sign for InModule<M> {
///     fn public_key(&self) -> Result<[u8; 32], SignError> {
///         self.0.public_key(self.1).map_err(|_| SignError::Unavailable)
///     }
///
///     fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
///         self.0.sign_ed25519(self.1, message).map_err(|_| SignError::Unavailable)
///     }
/// }
/// # struct Vendor(ed25519_dalek::SigningKey);
/// # impl Module for Vendor {
/// #     fn public_key(&self, _: &str) -> Result<[u8; 32], String> { Ok(self.0.verifying_key().to_bytes()) }
/// #     fn sign_ed25519(&self, _: &str, message: &[u8]) -> Result<[u8; 64], String> {
/// #         Ok(ed25519_dalek::Signer::sign(&self.0, message).to_bytes())
/// #     }
/// # }
/// # let vendor = Vendor(ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
/// let platform_key = PlatformKey::held_by(Arc::new(InModule(vendor, "platform-key/1")))?;
/// // It is in no backup of ours.
/// assert!(platform_key.to_secret_bytes().is_none());
/// # assert_eq!(platform_key.public(), PlatformKey::from_secret_bytes(&SecretBytes::new([7; 32])).public());
/// # Ok::<(), SignError>(())
/// ```
pub trait Sign: Send + Sync {
    /// The public half, 32 bytes: asked once, when the key is taken into use.
    ///
    /// # Errors
    /// [`SignError::Unavailable`].
    fn public_key(&self) -> Result<[u8; 32], SignError>;

    /// The signature of RFC 8032 on the bare message (Ed25519, neither `ph` nor `ctx`): the same for the same message.
    ///
    /// # Errors
    /// [`SignError::Unavailable`] when it cannot be done now.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

describe_errors! {
    /// Why nothing was signed.
    ///
    /// ```
    /// use unjoin_core::{entry::RemovedEntry, secret::SystemRng, token::{ReviewId, SignError, StaffKey}};
    /// let judge = StaffKey::generate(&mut SystemRng::new());
    /// // A removal says on what grounds.
    /// let silent = RemovedEntry::sign(&judge, "shop.example/reviews", ReviewId([1; 32]), [2; 32], "");
    /// assert_eq!(silent, Err(SignError::Limits));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum SignError (Operator, true) {
        /// The host's key management does not answer or refuses: for implementations of [`Sign`].
        Unavailable => "signing.unavailable",
            "the key management that holds the signing key did not sign, and nothing was done: see why, then try \
             again";
        /// What it answered is no signature on the message under its key.
        Wrong => "signing.wrong",
            "the key management answered with a signature that does not hold under its key, and nothing was \
             done: it has a fault, or signs with another key by now";
        /// What it gave as its public key is none, or of small order.
        NotAKey => "signing.not_a_key" (Operator, false),
            "the key management gives a public key that is none of Ed25519's: name the right key";
        /// What was to be signed breaks the limits of its kind.
        Limits => "signing.limits" (Host, false),
            "a number, a text or a list is empty, too long or out of range for what was to be signed: nothing \
             was signed";
    }
}

/// A key of the host's: in this process, or in its key management.
#[doc(hidden)]
pub enum HostKey {
    Here(Signer),
    Held(Arc<dyn Sign>, Verifier),
}

impl HostKey {
    /// The key of this RFC 8032 seed.
    pub fn from_seed(seed: &SecretBytes<32>) -> Self {
        Self::Here(Signer::from_seed(seed))
    }

    /// The key in a host's key management.
    pub fn held_by(key: Arc<dyn Sign>) -> Result<Self, SignError> {
        let public = Verifier::from_bytes(&key.public_key()?).ok_or(SignError::NotAKey)?;
        Ok(Self::Held(key, public))
    }

    /// The seed, if it is here.
    pub fn to_seed(&self) -> Option<SecretBytes<32>> {
        match self {
            Self::Here(signer) => Some(signer.to_seed()),
            Self::Held(..) => None,
        }
    }

    pub fn verifier(&self) -> Verifier {
        match self {
            Self::Here(signer) => signer.verifier(),
            Self::Held(_, public) => *public,
        }
    }

    /// Signs the bare bytes: for notes.
    pub fn sign_bare(&self, bytes: &[u8]) -> Result<[u8; 64], SignError> {
        match self {
            Self::Here(signer) => Ok(signer.sign_bare(bytes)),
            Self::Held(key, public) => {
                let signature = key.sign(bytes)?;
                if public.verify_bare(bytes, &signature) { Ok(signature) } else { Err(SignError::Wrong) }
            }
        }
    }

    /// Signs bytes under their label.
    pub fn sign(&self, label: &str, bytes: &[u8]) -> Result<[u8; 64], SignError> {
        self.sign_bare(&labelled(label, bytes))
    }
}

/// A signing key; erased on drop.
#[doc(hidden)]
pub struct Signer(SigningKey);

impl Signer {
    /// The key of this RFC 8032 seed.
    #[doc(hidden)]
    pub fn from_seed(seed: &SecretBytes<32>) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The seed of this key.
    #[doc(hidden)]
    pub fn to_seed(&self) -> SecretBytes<32> {
        SecretBytes::new(self.0.to_bytes())
    }

    #[doc(hidden)]
    pub fn verifier(&self) -> Verifier {
        Verifier(self.0.verifying_key())
    }

    /// Signs the bare bytes: for notes.
    #[doc(hidden)]
    pub fn sign_bare(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    /// Signs bytes under their label.
    #[doc(hidden)]
    pub fn sign(&self, label: &str, bytes: &[u8]) -> [u8; 64] {
        self.sign_bare(&labelled(label, bytes))
    }
}

crate::opaque!(Signer);

/// A verification key: 32 bytes, canonical, not of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Verifier(VerifyingKey);

impl Verifier {
    /// The key with this encoding; `None` if it is not one, or of small order.
    #[doc(hidden)]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak());
        key.filter(|_| is_canonical(bytes)).map(Self)
    }

    #[doc(hidden)]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether the signature on the bare bytes holds: S < l, R canonical and not of small order,
    /// and S*B = R + k*A without cofactor.
    #[doc(hidden)]
    pub fn verify_bare(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        is_canonical(signature.r_bytes()) && self.0.verify_strict(bytes, &signature).is_ok()
    }

    /// Whether the signature on the bytes under this label holds.
    #[doc(hidden)]
    pub fn verify(&self, label: &str, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.verify_bare(&labelled(label, bytes), signature)
    }
}

/// Whether `y < p = 2^255 - 19` in an encoding of a point. (The other encodings that are not
/// canonical have a sign without an `x`: those points are of small order.)
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    !(*low >= 0xed && middle.iter().all(|byte| *byte == 0xff) && high | 0x80 == 0xff)
}

fn labelled(label: &str, bytes: &[u8]) -> Vec<u8> {
    let mut signed = Vec::with_capacity(bytes.len() + 64);
    push_frame(&mut signed, b"unjoin/v1");
    push_frame(&mut signed, label.as_bytes());
    push_frame(&mut signed, bytes);
    signed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_label_and_its_key_prints_nothing() {
        let signer = Signer::from_seed(&SecretBytes::new([7; 32]));
        let signature = signer.sign("receipt", b"bytes");
        let key = signer.verifier();
        assert!(key.verify("receipt", b"bytes", &signature));
        assert!(!key.verify("manifest", b"bytes", &signature));
        assert!(!key.verify("receiptb", b"ytes", &signature));
        assert!(!key.verify_bare(b"bytes", &signature));
        assert_eq!(format!("{signer:?}"), "Signer(..)");
    }

    /// A module that answers with this.
    struct Module([u8; 32], Result<[u8; 64], SignError>);

    impl Sign for Module {
        fn public_key(&self) -> Result<[u8; 32], SignError> {
            Ok(self.0)
        }

        fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
            self.1
        }
    }

    #[test]
    fn a_modules_signature_is_used_once_it_holds() {
        let signer = Signer::from_seed(&SecretBytes::new([7; 32]));
        let public = *signer.verifier().as_bytes();
        let good = signer.sign("receipt", b"bytes");
        let answers = |answer| HostKey::held_by(Arc::new(Module(public, answer))).unwrap();
        let held = answers(Ok(good));
        assert_eq!(held.sign("receipt", b"bytes"), Ok(good));
        // The signature on something else, and every flipped bit.
        assert_eq!(held.sign("manifest", b"bytes"), Err(SignError::Wrong));
        for bit in 0..512 {
            let mut faulty = good;
            faulty[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(answers(Ok(faulty)).sign("receipt", b"bytes"), Err(SignError::Wrong), "{bit}");
        }
        let away = answers(Err(SignError::Unavailable));
        assert_eq!(away.sign("receipt", b"bytes"), Err(SignError::Unavailable));
        assert!(away.to_seed().is_none());
        let mut one = [0; 32];
        one[0] = 1;
        let weak = HostKey::held_by(Arc::new(Module(one, Ok(good))));
        assert_eq!(weak.err(), Some(SignError::NotAKey));
    }

    fn encoded(first: u8, between: u8, last: u8) -> [u8; 32] {
        core::array::from_fn(|at| match at {
            0 => first,
            31 => last,
            _ => between,
        })
    }

    /// y = 3 and y = p + 3 are one point with a large order; only the first encoding is a key.
    #[test]
    fn a_key_has_one_encoding() {
        let (three, three_and_p) = (encoded(3, 0, 0), encoded(0xf0, 0xff, 0x7f));
        assert!(VerifyingKey::from_bytes(&three_and_p).is_ok_and(|key| !key.is_weak()));
        assert!(Verifier::from_bytes(&three).is_some());
        assert!(Verifier::from_bytes(&three_and_p).is_none());
    }

    /// S·B = R + k·A is asked as it stands. Multiplied by the cofactor 8 it would hold for every signature
    /// under a key with a part of small order. So two readers could differ on what an author signed.
    #[test]
    fn a_signature_under_a_key_of_mixed_order_holds_without_the_cofactor_or_not_at_all() {
        use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
        use sha2::{Digest as _, Sha512};
        let hashed = |parts: &[&[u8]]| {
            Scalar::from_hash(parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part)))
        };
        let secret = hashed(&[b"secret"]);
        let mixed = (EdwardsPoint::mul_base(&secret) + EIGHT_TORSION[1]).compress().0;
        let key = Verifier::from_bytes(&mixed).unwrap();
        let mut held = 0;
        for number in 0..64u8 {
            let nonce = hashed(&[b"nonce", &[number]]);
            let commitment = EdwardsPoint::mul_base(&nonce).compress().0;
            let challenge = hashed(&[&commitment, &mixed, &[number]]);
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&commitment);
            signature[32..].copy_from_slice((nonce + challenge * secret).as_bytes());
            let exact = challenge.as_bytes()[0].is_multiple_of(8);
            assert_eq!(key.verify_bare(&[number], &signature), exact, "{number}");
            held += usize::from(exact);
        }
        assert!((1..64).contains(&held), "both cases: {held}");
    }

    #[test]
    fn a_key_of_small_order_is_none() {
        // The neutral element, and a point of order two: y = 1 and y = -1.
        for weak in [encoded(1, 0, 0), encoded(0xec, 0xff, 0x7f)] {
            assert!(Verifier::from_bytes(&weak).is_none());
        }
    }
}
