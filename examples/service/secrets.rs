//! The demonstration's secrets: files of one directory, made at the first start.
//!
//! ```text
//! lock                 held while secrets are made or read
//! start                held by a start until its stores are made or open
//! public-keys.json     what wallets pin
//! keys/                there whole, or not at all: 0700, its files 0600
//!     name, issuer-key, platform-key, issuer-master, pool-key, slot-key-encryption, nonces, stores,
//!     reviews-ledger-key, openings-ledger-key, staff-key
//!     trustees/        certificate.bin, key-1.hex and on; demo-trustees/ for a demonstration's
//! door/                keys of the door, each until its end; door-keys.json, what an app ships of them
//! slot-keys            the keeper's (with .lock and, while it is replaced, .fresh)
//! slot-keys.socket     where other processes on this machine ask the keeper
//! ```
//!
//! **A real platform keeps them elsewhere**: issuing and signing keys in its key management, the
//! key that seals the slot keys in another place than their file, and no trustee's share anywhere
//! near. What is here shows what there is, and that a restart finds the same.

mod door;
mod error;
mod escrow;
mod files;

pub(crate) use door::DoorKeyFiles;
pub(crate) use error::SecretsError;
pub(crate) use escrow::TrusteesFrom;
pub(crate) use files::{lock, make_directory, rename};

use base64ct::{Base64UrlUnpadded, Encoding};
use escrow::Escrow;
use serde_json::json;
use std::error::Error;
use std::path::Path;
use unjoin::ledger::{KeyName, NoteKey};
use unjoin::phone::LocalKey;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Roster;
use unjoin::token::{IssuerKey, KeyRing, PlatformKey, StaffKey};
use unjoin::wire::Message;
use unjoin::{Name, PlatformSecrets};
use zeroize::Zeroizing;

pub(crate) struct Secrets {
    pub(crate) platform: PlatformSecrets,
    pub(crate) pool_key: SecretBytes<32>,
    pub(crate) slot_key_encryption: LocalKey,
    pub(crate) nonces: SecretBytes<32>,
    /// Each signs one ledger's checkpoints; its name is the ledger's origin.
    pub(crate) reviews_ledger: NoteKey,
    pub(crate) openings_ledger: NoteKey,
    /// Signs removals.
    pub(crate) staff: StaffKey,
}

/// Secrets of 32 random bytes each.
const RANDOM: [&str; 8] = [
    "platform-key",
    "issuer-master",
    "pool-key",
    "slot-key-encryption",
    "nonces",
    "reviews-ledger-key",
    "openings-ledger-key",
    "staff-key",
];

impl Secrets {
    /// Opens the directory's secrets, or makes them, and writes beside them what wallets pin
    /// (`public-keys.json`). Of several processes that start at the same time one makes them.
    ///
    /// # Errors
    /// [`SecretsError`], and nothing was made or changed.
    pub(crate) fn create_or_open(
        directory: &Path,
        issuer: &Name,
        trustees: &TrusteesFrom,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        make_directory(directory)?;
        files::refuse_open(directory)?;
        let _alone = files::lock(&directory.join("lock"))?;
        let keys = directory.join("keys");
        if !files::is_there(&keys)? {
            make(directory, &keys, issuer, trustees)?;
        }
        let (secrets, pins) = Self::read(directory, issuer, trustees)?;
        files::replace(&directory.join("public-keys.json"), pins.as_bytes())?;
        Ok(secrets)
    }

    /// The directory's secrets, and what wallets pin of them. Nothing is written.
    ///
    /// # Errors
    /// [`SecretsError`].
    pub(crate) fn read(
        directory: &Path,
        issuer: &Name,
        trustees: &TrusteesFrom,
    ) -> Result<(Self, String), Box<dyn Error + Send + Sync>> {
        let keys = directory.join("keys");
        files::refuse_open(&keys)?;
        let escrow = Escrow::kept(&keys, trustees)?;
        let name = keys.join("name");
        if files::read(&name)?.ok_or_else(|| SecretsError::Lost(name.clone()))? != issuer.as_bytes() {
            return Err(SecretsError::OtherName(name).into());
        }
        let issuer_key = IssuerKey::from_secret_bytes(&kept(&keys, "issuer-key")?)
            .ok_or_else(|| SecretsError::Damaged(keys.join("issuer-key")))?;
        let escrow_key = escrow.certificate.verify(&escrow.trustees)?;
        let platform_key = PlatformKey::from_secret_bytes(&kept(&keys, "platform-key")?);
        let ledger = |what: &str| {
            let origin = KeyName::new(format!("{}/{what}", String::from_utf8_lossy(issuer.as_bytes())))?;
            let seed = kept(&keys, &format!("{what}-ledger-key"))?;
            Ok::<_, Box<dyn Error + Send + Sync>>(NoteKey::from_secret_bytes(origin, &seed))
        };
        let (reviews_ledger, openings_ledger) = (ledger("reviews")?, ledger("openings")?);
        let pins = json!({
            "issuer": String::from_utf8_lossy(issuer.as_bytes()),
            "issuer_key": issuer_key.public(),
            "platform_key": platform_key.public(),
            "trustees": escrow.trustees.keys(),
            "certificate": Base64UrlUnpadded::encode_string(&escrow.certificate.to_bytes()),
            // Verification keys as witnesses and trust files take them: origin, hash and key.
            "ledgers": {
                "reviews": reviews_ledger.public().to_string(),
                "openings": openings_ledger.public().to_string(),
            },
        });
        let secrets = Self {
            platform: PlatformSecrets {
                keys: KeyRing::new(issuer_key, escrow_key),
                platform_key,
                issuer_master: kept(&keys, "issuer-master")?,
                stores: roster(&keys)?,
            },
            pool_key: kept(&keys, "pool-key")?,
            slot_key_encryption: LocalKey::new(kept(&keys, "slot-key-encryption")?),
            nonces: kept(&keys, "nonces")?,
            reviews_ledger,
            openings_ledger,
            staff: StaffKey::from_secret_bytes(&kept(&keys, "staff-key")?),
        };
        Ok((secrets, format!("{pins:#}\n")))
    }
}

/// All of them, in a directory that gets its name when it is whole.
fn make(
    directory: &Path,
    keys: &Path,
    issuer: &Name,
    trustees: &TrusteesFrom,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (escrow, place) = Escrow::first(trustees)?;
    let fresh = directory.join("keys.new");
    // A start that was interrupted has left it.
    files::remove(&fresh)?;
    make_directory(&fresh)?;
    let rng = &mut SystemRng::new();
    escrow.write(&fresh.join(place))?;
    files::write(&fresh.join("name"), issuer.as_bytes())?;
    files::write(&fresh.join("issuer-key"), IssuerKey::generate(rng).to_secret_bytes().expose())?;
    // Before any store is made: a store belongs to the platform whose file this is.
    files::write(&fresh.join("stores"), &Roster::generate(rng).to_bytes())?;
    for name in RANDOM {
        files::write(&fresh.join(name), SecretBytes::<32>::random(rng).expose())?;
    }
    files::sync_directory(&fresh)?;
    Ok(files::rename(&fresh, keys)?)
}

/// Which stores are the platform's.
fn roster(keys: &Path) -> Result<Roster, SecretsError> {
    let path = keys.join("stores");
    let bytes = files::read(&path)?.ok_or_else(|| SecretsError::Lost(path.clone()))?;
    Roster::from_bytes(&bytes).ok_or(SecretsError::Damaged(path))
}

/// The secret in this file, which only its owner may read.
fn kept<const N: usize>(keys: &Path, name: &str) -> Result<SecretBytes<N>, SecretsError> {
    let path = keys.join(name);
    let bytes = Zeroizing::new(files::read(&path)?.ok_or_else(|| SecretsError::Lost(path.clone()))?);
    files::refuse_open(&path)?;
    match <[u8; N]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ok(SecretBytes::new(bytes)),
        Err(_) => Err(SecretsError::Damaged(path)),
    }
}
