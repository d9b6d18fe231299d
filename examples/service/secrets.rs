//! The demonstration's secrets: files of one directory, made at the first start.
//!
//! **A real platform keeps them elsewhere**: issuing and signing keys in its key management, the
//! key that seals the slot keys in another place than their file, and no trustee's share anywhere
//! near. What is here shows what there is, and that a restart finds the same.

use crate::hex::{hex, unhex};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use unjoin::opening::{CeremonyPlan, SignedCommittee, Step, TrusteeSecrets};
use unjoin::phone::LocalKey;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::token::{EscrowKeyCertificate, IssuerKey, KeyRing, PlatformKey, TrusteePublicKey, Trustees};
use unjoin::wire::Message;
use unjoin::{Name, PlatformSecrets};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where the escrow key comes from at the first start. It stays for the issuing key's whole life.
pub(crate) enum TrusteesFrom {
    /// From an earlier start.
    Kept,
    /// A ceremony's directory: `certificate.bin`, `key-1.hex` and on.
    Files(PathBuf),
    /// A ceremony within this process, whose shares are thrown away: nobody will ever open.
    Demonstration,
}

pub(crate) struct Secrets {
    pub(crate) platform: PlatformSecrets,
    pub(crate) pool_key: SecretBytes<32>,
    pub(crate) slot_key_encryption: LocalKey,
}

impl Secrets {
    /// Opens the directory's secrets, or makes them, and writes beside them what wallets pin
    /// (`public-keys.json`).
    pub(crate) fn create_or_open(directory: &Path, issuer: &Name, trustees: &TrusteesFrom) -> Outcome<Self> {
        make_directory(directory)?;
        let escrow = Escrow::create_or_open(directory, trustees)?;
        let kept = |name: &str| kept(&directory.join(name), || SecretBytes::random(&mut SystemRng::new()));
        let fresh = || IssuerKey::generate(&mut SystemRng::new()).to_secret_bytes();
        let issuer_key = IssuerKey::from_secret_bytes(&self::kept(&directory.join("issuer-key"), fresh)?)
            .ok_or("the file issuer-key holds no issuing key")?;
        let platform_key = PlatformKey::from_secret_bytes(&kept("platform-key")?);

        let pins = json!({
            "issuer": String::from_utf8_lossy(issuer.as_bytes()),
            "issuer_key": hex(issuer_key.public().element().as_bytes()),
            "platform_key": hex(platform_key.public().as_bytes()),
            "trustees": escrow.trustees.keys().iter().map(|key| hex(key.as_bytes())).collect::<Vec<_>>(),
            "certificate": Base64UrlUnpadded::encode_string(&escrow.certificate.to_bytes()),
        });
        fs::write(directory.join("public-keys.json"), format!("{pins:#}\n"))?;

        let escrow_key = escrow.certificate.verify(&escrow.trustees)?;
        Ok(Self {
            platform: PlatformSecrets {
                keys: KeyRing::new(issuer_key, escrow_key),
                platform_key,
                order_handles: kept("order-handles")?,
            },
            pool_key: kept("pool-key")?,
            slot_key_encryption: LocalKey::new(kept("slot-key-encryption")?),
        })
    }
}

/// The trustees' certificate, and whose signatures it must bear.
struct Escrow {
    certificate: EscrowKeyCertificate,
    trustees: Trustees,
}

impl Escrow {
    fn create_or_open(directory: &Path, from: &TrusteesFrom) -> Outcome<Self> {
        let kept = directory.join("trustees");
        let is_kept = kept.join("certificate.bin").exists();
        let escrow = match from {
            TrusteesFrom::Demonstration | TrusteesFrom::Kept if is_kept => return Self::read(&kept),
            TrusteesFrom::Kept => {
                return Err("the first start needs --trustees, or --demo-trustees to try it out".into());
            }
            TrusteesFrom::Files(path) => Self::read(path)?,
            TrusteesFrom::Demonstration => Self::demonstration()?,
        };
        if !is_kept {
            escrow.write(&kept)?;
        } else if Self::read(&kept)?.certificate != escrow.certificate {
            return Err(
                "the issuing key belongs to another certificate: a new one needs a new issuing key".into()
            );
        }
        Ok(escrow)
    }

    fn read(directory: &Path) -> Outcome<Self> {
        let certificate = EscrowKeyCertificate::from_bytes(&fs::read(directory.join("certificate.bin"))?)?;
        let mut keys = Vec::new();
        while let Ok(text) = fs::read_to_string(directory.join(format!("key-{}.hex", keys.len() + 1))) {
            let key = unhex(text.trim()).and_then(|bytes| TrusteePublicKey::from_bytes(&bytes));
            keys.push(key.ok_or_else(|| format!("key-{}.hex holds no key", keys.len() + 1))?);
        }
        let trustees = Trustees::new(keys)?;
        certificate.verify(&trustees).map_err(|_| "not all of these trustees have signed the certificate")?;
        Ok(Self { certificate, trustees })
    }

    fn write(&self, directory: &Path) -> Outcome<()> {
        make_directory(directory)?;
        for (index, key) in (1..).zip(self.trustees.keys()) {
            write_whole(&directory.join(format!("key-{index}.hex")), hex(key.as_bytes()).as_bytes())?;
        }
        Ok(write_whole(&directory.join("certificate.bin"), &self.certificate.to_bytes())?)
    }

    /// The real ceremony, three of five, all in this process.
    fn demonstration() -> Outcome<Self> {
        let rng = &mut SystemRng::new();
        let mut secrets: Vec<_> = (0..5).map(|_| TrusteeSecrets::generate(rng)).collect();
        let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect())?;
        let plan = CeremonyPlan::key_generation(3, trustees.clone(), rng)?;
        for trustee in &mut secrets {
            trustee.join(plan.clone(), rng)?;
        }
        let mut messages = Vec::new();
        loop {
            for trustee in &mut secrets {
                match trustee.next(&messages, rng)? {
                    Step::Publish(message) => messages.push(message),
                    Step::Finished(signed) => {
                        let certificate = SignedCommittee::certificate(&signed)
                            .ok_or("the committee is not signed by all")?;
                        return Ok(Self { certificate, trustees });
                    }
                    _ => {}
                }
            }
        }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The secret in this file, made if there is none.
fn kept<const N: usize>(path: &Path, make: impl FnOnce() -> SecretBytes<N>) -> Outcome<SecretBytes<N>> {
    if !path.exists() {
        write_whole(path, make().expose())?;
    }
    let bytes = fs::read(path)?;
    let bytes = bytes.try_into().map_err(|_| format!("{} has not {N} bytes", path.display()))?;
    Ok(SecretBytes::new(bytes))
}

/// The file is there whole, or not at all, and nobody else reads it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, path)
}
