//! Encapsulation (RFC 9458, section 4): a question sealed by HPKE (RFC 9180) in base mode, and an answer
//! sealed under what only the two sides of that question share.
//!
//! Generic over the AEAD, since the RFC's own example has another one than the door.

use crate::DoorError;
use chacha20poly1305::aead::{Aead as _, Key, KeyInit, KeySizeUser, Nonce};
use hkdf::Hkdf;
use hpke::aead::Aead;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256 as Dhkem;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use rand_core::CryptoRng;
use sha2::Sha256;
use unjoin_core::secret::SecretBytes;
use zeroize::Zeroizing;

/// Key id, KEM, KDF and AEAD.
pub(crate) const HEADER: usize = 7;
/// An encapsulated key.
pub(crate) const ENC: usize = 32;
pub(crate) const TAG: usize = 16;
/// max(Nn, Nk) of ChaCha20-Poly1305: the length of an answer's nonce, and of what it is sealed under.
pub(crate) const NONCE: usize = 32;
/// What sealing adds to a question, and to an answer.
pub(crate) const QUESTION_OVERHEAD: usize = HEADER + ENC + TAG;
pub(crate) const ANSWER_OVERHEAD: usize = NONCE + TAG;

/// DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256.
pub(crate) const KEM_ID: [u8; 2] = [0, 0x20];
pub(crate) const KDF_ID: [u8; 2] = [0, 1];

pub(crate) fn header<A: Aead>(key_id: u8) -> [u8; HEADER] {
    let ([a, b], [c, d], [e, f]) = (KEM_ID, KDF_ID, A::AEAD_ID.to_be_bytes());
    [key_id, a, b, c, d, e, f]
}

fn info(header: &[u8; HEADER]) -> Vec<u8> {
    [b"message/bhttp request\0".as_slice(), header].concat()
}

const EXPORT: &[u8] = b"message/bhttp response";

/// What both sides of a question share, for its answer.
pub(crate) struct Shared {
    enc: [u8; ENC],
    secret: SecretBytes<NONCE>,
}

/// The length of an answer's nonce under this AEAD: max(Nn, Nk).
fn nonce_length<A: Aead>() -> usize {
    A::AeadImpl::key_size().max(12)
}

/// Seals a question to the key; every call draws a key of its own.
pub(crate) fn seal<A: Aead>(
    key_id: u8,
    public: &[u8; 32],
    question: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<(Vec<u8>, Shared), DoorError> {
    let public = <Dhkem as Kem>::PublicKey::from_bytes(public).map_err(|_| DoorError::Config)?;
    let header = header::<A>(key_id);
    let (enc, mut context) = setup_sender_with_rng::<A, HkdfSha256, Dhkem>(
        &OpModeS::Base,
        &public,
        &info(&header),
        &mut &mut *rng,
    )
    .map_err(|_| DoorError::Config)?;
    let sealed = context.seal(question, b"").map_err(|_| DoorError::Config)?;
    let mut secret = Zeroizing::new([0; NONCE]);
    let exported = secret.get_mut(..nonce_length::<A>()).ok_or(DoorError::Config)?;
    context.export(EXPORT, exported).map_err(|_| DoorError::Config)?;
    let enc: [u8; ENC] = enc.to_bytes().into();
    Ok(([&header[..], &enc, &sealed].concat(), Shared { enc, secret: SecretBytes::new(*secret) }))
}

/// The key that a question names, unchecked.
pub(crate) fn key_id(sealed: &[u8]) -> Option<u8> {
    sealed.first().copied()
}

/// Opens a question with the key.
pub(crate) fn open<A: Aead>(
    key_id: u8,
    secret: &SecretBytes<32>,
    sealed: &[u8],
) -> Result<(Vec<u8>, Shared), DoorError> {
    let (named, rest) = sealed.split_first_chunk::<HEADER>().ok_or(DoorError::Length)?;
    if *named != header::<A>(key_id) {
        return Err(DoorError::UnknownKey);
    }
    let (enc, sealed) = rest.split_first_chunk::<ENC>().ok_or(DoorError::Length)?;
    let encapsulated = <Dhkem as Kem>::EncappedKey::from_bytes(enc).map_err(|_| DoorError::Sealed)?;
    let private = <Dhkem as Kem>::PrivateKey::from_bytes(secret.expose()).map_err(|_| DoorError::Config)?;
    let mut context =
        setup_receiver::<A, HkdfSha256, Dhkem>(&OpModeR::Base, &private, &encapsulated, &info(named))
            .map_err(|_| DoorError::Sealed)?;
    let question = context.open(sealed, b"").map_err(|_| DoorError::Sealed)?;
    let mut secret = Zeroizing::new([0; NONCE]);
    let exported = secret.get_mut(..nonce_length::<A>()).ok_or(DoorError::Config)?;
    context.export(EXPORT, exported).map_err(|_| DoorError::Sealed)?;
    Ok((question, Shared { enc: *enc, secret: SecretBytes::new(*secret) }))
}

impl Shared {
    /// The question's encapsulated key, which no other question has.
    pub(crate) fn enc(&self) -> &[u8; ENC] {
        &self.enc
    }

    /// The key and the nonce of an answer; a question has one answer, so each is used once.
    fn key<A: Aead>(&self, nonce: &[u8]) -> Option<(A::AeadImpl, Nonce<A::AeadImpl>)> {
        let secret = self.secret.expose().get(..nonce_length::<A>())?;
        let prk = Hkdf::<Sha256>::new(Some(&[&self.enc, nonce].concat()), secret);
        let mut key = Zeroizing::new(vec![0; A::AeadImpl::key_size()]);
        prk.expand(b"key", &mut key).ok()?;
        let mut of_answer = Nonce::<A::AeadImpl>::default();
        prk.expand(b"nonce", &mut of_answer).ok()?;
        Some((A::AeadImpl::new(&Key::<A::AeadImpl>::try_from(&key[..]).ok()?), of_answer))
    }

    /// Seals an answer under a nonce that was drawn for it.
    pub(crate) fn seal<A: Aead>(&self, nonce: &[u8], answer: &[u8]) -> Option<Vec<u8>>
    where
        A::AeadImpl: chacha20poly1305::aead::Aead,
    {
        let (aead, of_answer) = self.key::<A>(nonce)?;
        Some([nonce, &aead.encrypt(&of_answer, answer).ok()?].concat())
    }

    /// Opens the answer.
    pub(crate) fn open<A: Aead>(&self, sealed: &[u8]) -> Result<Vec<u8>, DoorError>
    where
        A::AeadImpl: chacha20poly1305::aead::Aead,
    {
        let (nonce, sealed) = sealed.split_at_checked(nonce_length::<A>()).ok_or(DoorError::Length)?;
        let (aead, of_answer) = self.key::<A>(nonce).ok_or(DoorError::Sealed)?;
        aead.decrypt(&of_answer, sealed).map_err(|_| DoorError::Sealed)
    }
}
