//! Shares on their way, those of a ceremony to its members and those of a warrant to its recipient.
//! HPKE (RFC 9180) in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305. Who sealed a share is shown by what stands around it, never by this.

use curve25519_dalek::montgomery::MontgomeryPoint;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256 as Dhkem;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use unjoin_core::algebra::decode_scalar;
use unjoin_core::algebra::transcript::push_frame;
use unjoin_core::secret::{SecretBytes, SecretScalar};
use zeroize::{Zeroize, Zeroizing};

/// What sealing adds: an encapsulated key (32 bytes) before, a tag (16) behind.
pub(super) const OVERHEAD: usize = 48;

/// The X25519 secret that something is sealed to.
pub(crate) struct RecipientSecret(SecretBytes<32>);

impl RecipientSecret {
    /// DeriveKeyPair of RFC 9180.
    pub(super) fn derive(input: &SecretBytes<32>) -> Self {
        let (secret, _) = Dhkem::derive_keypair(input.expose());
        let mut bytes: [u8; 32] = secret.to_bytes().into();
        let taken = SecretBytes::new(bytes);
        bytes.zeroize();
        Self(taken)
    }

    /// The secret of these bytes.
    pub(super) fn new(bytes: SecretBytes<32>) -> Self {
        Self(bytes)
    }

    /// The bytes, for a complaint.
    pub(super) fn reveal(&self) -> [u8; 32] {
        *self.0.expose()
    }

    /// The public key; canonical, so that a member who announced another encoding of it cannot
    /// show its secret.
    pub(super) fn public(&self) -> Option<[u8; 32]> {
        let secret = <Dhkem as Kem>::PrivateKey::from_bytes(self.0.expose()).ok()?;
        Some(Dhkem::sk_to_pk(&secret).to_bytes().into())
    }

    /// Opens what was sealed to this key with the same info and additional data; `None` if it
    /// was not. Everybody who has the secret comes to the same result.
    pub(super) fn open(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let secret = <Dhkem as Kem>::PrivateKey::from_bytes(self.0.expose()).ok()?;
        let (encapsulated, ciphertext) = sealed.split_at_checked(32)?;
        let encapsulated = <Dhkem as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let plain = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Dhkem>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            info,
            ciphertext,
            aad,
        );
        plain.ok().map(Zeroizing::new)
    }
}

/// Seals to a public key: encapsulated key, ciphertext, tag. `None` when the key is unusable.
pub(super) fn seal(
    recipient: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Option<Vec<u8>> {
    let recipient = <Dhkem as Kem>::PublicKey::from_bytes(recipient).ok()?;
    let (encapsulated, ciphertext) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Dhkem>(
        &OpModeS::Base,
        &recipient,
        info,
        plain,
        aad,
        rng,
    )
    .ok()?;
    Some([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

/// Whether anything can be sealed to this key: not one of the points of small order, with
/// which every shared secret is zero.
pub(super) fn is_usable(recipient: &[u8; 32]) -> bool {
    // Any clamped multiplier clears the cofactor.
    MontgomeryPoint(*recipient).mul_clamped([1; 32]).to_bytes() != [0; 32]
}

/// Whether these bytes are the one encoding of their coordinate, below 2^255 - 19. What is
/// sealed to another encoding opens for nobody: HPKE binds the bytes of the key.
pub(super) fn is_canonical(recipient: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = recipient;
    let beyond = *highest == 0x7f && *lowest >= 0xed && middle.iter().all(|byte| *byte == 0xff);
    *highest < 0x80 && !beyond
}

/// frame("unjoin/v1") || frame(label) || frame(context): what is sealed for one use opens in
/// no other.
pub(super) fn info(label: &str, context: &[u8; 32]) -> Vec<u8> {
    let mut info = Vec::with_capacity(96);
    push_frame(&mut info, b"unjoin/v1");
    push_frame(&mut info, label.as_bytes());
    push_frame(&mut info, context);
    info
}

/// A share of a ceremony, sealed.
///
/// Every member has a key of its own for each ceremony, derived from its secret seed and the
/// plan. So a recorded ceremony cannot be opened with any long-term key, and a complaint can
/// reveal the key's secret. Nothing but this session's shares was ever sealed to it, and a
/// session with a complaint makes no key.
pub(super) const SEALED_SHARE: usize = OVERHEAD + 32;

const CEREMONY: &str = "ceremony-share";

/// Opens a share of a ceremony. `None` if it was not sealed to this key for this session and these two
/// members, or is no scalar. Everybody who has the secret comes to the same result.
pub(super) fn open_share(
    secret: &RecipientSecret,
    session: &[u8; 32],
    from: u16,
    to: u16,
    sealed: &[u8; SEALED_SHARE],
) -> Option<SecretScalar> {
    let plain = secret.open(&info(CEREMONY, session), &members(from, to), sealed)?;
    let bytes = Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).ok()?);
    decode_scalar(*bytes).map(SecretScalar::new)
}

/// Seals a share of a ceremony to a member's key; `None` when the key is unusable.
pub(super) fn seal_share(
    share: &SecretScalar,
    recipient: &[u8; 32],
    session: &[u8; 32],
    from: u16,
    to: u16,
    rng: &mut impl CryptoRng,
) -> Option<[u8; SEALED_SHARE]> {
    let info = info(CEREMONY, session);
    let sealed = seal(recipient, &info, &members(from, to), share.expose().as_bytes(), rng)?;
    sealed.try_into().ok()
}

fn members(from: u16, to: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (from.to_le_bytes(), to.to_le_bytes());
    [a, b, c, d]
}
