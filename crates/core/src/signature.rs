//! Ed25519 (RFC 8032) as every part of this crate uses it: strict verification only, and, but
//! for the notes of the ledgers, signed bytes that say what they are.
//!
//! Signed is `frame("unjoin/v1") || frame(label) || frame(bytes)`, so that a signature on one
//! kind of message can never stand on another. A signed note signs its bare text; no framed
//! message can be one, because a note's text has no control characters.

use crate::algebra::transcript::push_frame;
use crate::secret::SecretBytes;
use core::fmt;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

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

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

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

    /// y = 3 and y = p + 3 are one point with a large order; only the first encoding is a key.
    #[test]
    fn a_key_has_one_encoding() {
        let mut three = [0; 32];
        three[0] = 3;
        let mut three_and_p = [0xff; 32];
        (three_and_p[0], three_and_p[31]) = (0xf0, 0x7f);
        assert!(VerifyingKey::from_bytes(&three_and_p).is_ok_and(|key| !key.is_weak()));
        assert!(Verifier::from_bytes(&three).is_some());
        assert!(Verifier::from_bytes(&three_and_p).is_none());
    }

    /// S·B = R + k·A is asked as it stands. Multiplied by the cofactor 8 it would hold for every signature
    /// under a key with a part of small order, so two readers could differ on what an author signed.
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
        let mut one = [0; 32];
        one[0] = 1;
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        for weak in [one, minus_one] {
            assert!(Verifier::from_bytes(&weak).is_none());
        }
    }
}
