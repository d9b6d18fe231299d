//! Key configurations (RFC 9458, section 3), of the one suite that the door has.

use crate::{DoorError, ohttp};
use hpke::aead::{Aead, ChaCha20Poly1305};
use hpke::kem::X25519HkdfSha256 as Dhkem;
use hpke::{Deserializable, Kem, Serializable};
use rand_core::CryptoRng;
use unjoin_core::entry::DoorKeyEntry;
use unjoin_core::secret::SecretBytes;

/// A public key of a gateway: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
///
/// On its own it is nobody's word. A device takes one that is in its app, or that stands in the ledger: see
/// [`DoorKeys`](crate::DoorKeys).
///
/// ```
/// use unjoin_core::secret::SystemRng;
/// use unjoin_door::{GatewayKey, KeyConfig};
/// let config = *GatewayKey::generate(9, &mut SystemRng::new()).config();
/// // As other Oblivious HTTP takes it: RFC 9458, section 3.
/// let list = KeyConfig::to_list(&[config]);
/// assert_eq!(KeyConfig::from_list(&list)?, [config]);
/// # Ok::<(), unjoin_door::DoorError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    pub(crate) id: u8,
    pub(crate) public: [u8; 32],
}

impl KeyConfig {
    /// The media type of [`to_list`](Self::to_list).
    pub const MEDIA_TYPE: &'static str = "application/ohttp-keys";

    /// The configurations as gateways publish them, each behind its length.
    pub fn to_list(configs: &[Self]) -> Vec<u8> {
        let mut list = Vec::new();
        for Self { id, public } in configs {
            // Key id, KEM, key, the length of one pair of algorithms, and the pair.
            let config = [
                &[*id],
                &ohttp::KEM_ID[..],
                public,
                &[0, 4],
                &ohttp::KDF_ID,
                &ChaCha20Poly1305::AEAD_ID.to_be_bytes(),
            ]
            .concat();
            list.extend_from_slice(&(config.len() as u16).to_be_bytes());
            list.extend_from_slice(&config);
        }
        list
    }

    /// Those of a published list that have the one suite, in order. What other KEMs or algorithms a gateway
    /// offers is passed over, as the RFC asks.
    ///
    /// # Errors
    /// [`DoorError::Config`] when it is no such list.
    pub fn from_list(list: &[u8]) -> Result<Vec<Self>, DoorError> {
        let (mut configs, mut rest) = (Vec::new(), list);
        while !rest.is_empty() {
            let config = prefixed(&mut rest)?;
            let (id, config) = config.split_first().ok_or(DoorError::Config)?;
            let (kem, config) = config.split_first_chunk::<2>().ok_or(DoorError::Config)?;
            if *kem != ohttp::KEM_ID {
                continue;
            }
            let (public, mut config) = config.split_first_chunk::<32>().ok_or(DoorError::Config)?;
            let pairs = prefixed(&mut config)?;
            if pairs.is_empty() || pairs.len() % 4 != 0 || !config.is_empty() {
                return Err(DoorError::Config);
            }
            let aead = ChaCha20Poly1305::AEAD_ID.to_be_bytes();
            let is_ours = |pair: &[u8]| pair == [ohttp::KDF_ID, aead].concat();
            if pairs.chunks(4).any(is_ours) {
                configs.push(Self { id: *id, public: *public });
            }
        }
        Ok(configs)
    }
}

/// What the entry says; whether it counts is another question.
impl From<&DoorKeyEntry> for KeyConfig {
    fn from(entry: &DoorKeyEntry) -> Self {
        Self { id: entry.key_id(), public: *entry.public_key() }
    }
}

/// Takes bytes behind their length, two bytes in network order.
fn prefixed<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], DoorError> {
    let (length, rest) = from.split_first_chunk::<2>().ok_or(DoorError::Config)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (taken, rest) = rest.split_at_checked(length).ok_or(DoorError::Config)?;
    *from = rest;
    Ok(taken)
}

/// A gateway's secret key; erased on drop. Whoever keeps one past its end can open what was recorded on the
/// way to it.
///
/// ```
/// use unjoin_core::secret::SystemRng;
/// use unjoin_door::GatewayKey;
/// let key = GatewayKey::generate(9, &mut SystemRng::new());
/// let again = GatewayKey::from_secret_bytes(9, key.to_secret_bytes());
/// assert_eq!(again.config(), key.config());
/// assert_eq!((key.public().0, format!("{key:?}")), (9, "GatewayKey(..)".into()));
/// ```
pub struct GatewayKey {
    pub(crate) config: KeyConfig,
    pub(crate) secret: SecretBytes<32>,
}

impl GatewayKey {
    /// A key of its own, from 32 bytes of `rng`.
    pub fn generate(id: u8, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_bytes(id, SecretBytes::random(rng))
    }

    /// The key with this X25519 secret.
    pub fn from_secret_bytes(id: u8, secret: SecretBytes<32>) -> Self {
        // Every 32 bytes are a secret.
        let public = <Dhkem as Kem>::PrivateKey::from_bytes(secret.expose());
        let public = public.map_or([0; 32], |private| Dhkem::sk_to_pk(&private).to_bytes().into());
        Self { config: KeyConfig { id, public }, secret }
    }

    /// The secret, to be kept where nobody else reads it.
    pub fn to_secret_bytes(&self) -> SecretBytes<32> {
        SecretBytes::new(*self.secret.expose())
    }

    /// Its public side.
    pub fn config(&self) -> &KeyConfig {
        &self.config
    }

    /// The key's id and its X25519 public key, as its entry in the ledger has them.
    pub fn public(&self) -> (u8, [u8; 32]) {
        (self.config.id, self.config.public)
    }
}

unjoin_core::opaque!(GatewayKey);
