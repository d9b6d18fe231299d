//! Shares on their way: HPKE (RFC 9180) in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305. Who sealed a share is shown by the signature on the message around it.
//!
//! Every member has a key of its own for each ceremony, derived from its secret seed and the
//! plan. So a recorded ceremony cannot be opened with any long-term key, and a complaint can
//! reveal the key's secret: nothing but this session's shares was ever sealed to it, and a
//! session with a complaint makes no key.

use crate::algebra::decode_scalar;
use crate::algebra::transcript::push_frame;
use crate::secret::{SecretBytes, SecretScalar};
use curve25519_dalek::montgomery::MontgomeryPoint;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256 as Dhkem;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// Encapsulated key (32), scalar (32), tag (16).
pub(super) const SEALED_SHARE: usize = 80;

/// The secret of the key that a member's shares are sealed to.
pub(in crate::opening) struct RecipientSecret(SecretBytes<32>);

impl RecipientSecret {
    /// DeriveKeyPair of RFC 9180.
    pub(super) fn derive(input: &SecretBytes<32>) -> Self {
        let (secret, _) = Dhkem::derive_keypair(input.expose());
        let mut bytes: [u8; 32] = secret.to_bytes().into();
        let taken = SecretBytes::new(bytes);
        bytes.zeroize();
        Self(taken)
    }

    /// A secret that a complaint revealed.
    pub(super) fn revealed(bytes: &[u8; 32]) -> Self {
        Self(SecretBytes::new(*bytes))
    }

    /// The bytes, for a complaint.
    pub(super) fn reveal(&self) -> [u8; 32] {
        *self.0.expose()
    }

    /// The public key; canonical, so that whoever announced another encoding of it cannot
    /// show its secret.
    pub(super) fn public(&self) -> Option<[u8; 32]> {
        let secret = <Dhkem as Kem>::PrivateKey::from_bytes(self.0.expose()).ok()?;
        Some(Dhkem::sk_to_pk(&secret).to_bytes().into())
    }

    /// Opens a share; `None` if it was not sealed to this key for this session and these two
    /// members, or is no scalar. Everybody who has the secret comes to the same result.
    pub(super) fn open(
        &self,
        session: &[u8; 32],
        from: u16,
        to: u16,
        sealed: &[u8; SEALED_SHARE],
    ) -> Option<SecretScalar> {
        let secret = <Dhkem as Kem>::PrivateKey::from_bytes(self.0.expose()).ok()?;
        let (encapsulated, ciphertext) = sealed.split_at_checked(32)?;
        let encapsulated = <Dhkem as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let (info, aad) = (info(session), members(from, to));
        let plain = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Dhkem>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            &info,
            ciphertext,
            &aad,
        );
        let plain = Zeroizing::new(plain.ok()?);
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).ok()?);
        decode_scalar(*bytes).map(SecretScalar::new)
    }
}

/// Seals a share to a member's key; `None` when the key is unusable.
pub(super) fn seal(
    share: &SecretScalar,
    recipient: &[u8; 32],
    session: &[u8; 32],
    from: u16,
    to: u16,
    rng: &mut impl CryptoRng,
) -> Option<[u8; SEALED_SHARE]> {
    let recipient = <Dhkem as Kem>::PublicKey::from_bytes(recipient).ok()?;
    let (info, aad) = (info(session), members(from, to));
    let (encapsulated, ciphertext) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Dhkem>(
        &OpModeS::Base,
        &recipient,
        &info,
        share.expose().as_bytes(),
        &aad,
        rng,
    )
    .ok()?;
    [encapsulated.to_bytes().as_slice(), &ciphertext].concat().try_into().ok()
}

/// Whether shares can be sealed to this key: not one of the points of small order, with which
/// every shared secret is zero.
pub(super) fn is_usable(recipient: &[u8; 32]) -> bool {
    // Any clamped multiplier clears the cofactor.
    MontgomeryPoint(*recipient).mul_clamped([1; 32]).to_bytes() != [0; 32]
}

fn info(session: &[u8; 32]) -> Vec<u8> {
    let mut info = Vec::with_capacity(96);
    push_frame(&mut info, b"unjoin/v1");
    push_frame(&mut info, b"ceremony-share");
    push_frame(&mut info, session);
    info
}

fn members(from: u16, to: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (from.to_le_bytes(), to.to_le_bytes());
    [a, b, c, d]
}
