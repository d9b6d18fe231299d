//! The trustees' certificate, and whose signatures it must bear.

use super::SecretsError;
use super::files::{is_there, make_directory, read, sync_directory, write};
use crate::hex::{hex, unhex};
use std::error::Error;
use std::path::{Path, PathBuf};
use unjoin::token::{EscrowKeyCertificate, TrusteePublicKey, Trustees};
use unjoin::wire::Message;

/// Where the escrow key comes from at the first start. It stays for the issuing key's whole life.
pub(crate) enum TrusteesFrom {
    /// From an earlier start.
    Kept,
    /// A ceremony's directory, as `examples/trustee` makes it: `certificate.bin`, `key-1.hex` and on.
    /// The sealed files and the rest of it are the trustees' affair, and are not looked at.
    Files(PathBuf),
    /// A ceremony within this process, whose shares are thrown away: nobody will ever open.
    Demonstration,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Escrow {
    pub(super) certificate: EscrowKeyCertificate,
    pub(super) trustees: Trustees,
}

/// Under these names secrets keep whose key they are made for.
const REAL: &str = "trustees";
const DEMONSTRATION: &str = "demo-trustees";

impl Escrow {
    /// For the first start: what it is, and the name under which it is kept.
    pub(super) fn first(from: &TrusteesFrom) -> Result<(Self, &'static str), Box<dyn Error + Send + Sync>> {
        match from {
            TrusteesFrom::Kept => Err(SecretsError::NoTrustees.into()),
            TrusteesFrom::Files(path) => Ok((Self::read(path)?, REAL)),
            TrusteesFrom::Demonstration => Ok((Self::demonstration()?, DEMONSTRATION)),
        }
    }

    /// What an earlier start has kept, if it is what `from` says.
    pub(super) fn kept(secrets: &Path, from: &TrusteesFrom) -> Result<Self, SecretsError> {
        let (real, demonstration) = (secrets.join(REAL), secrets.join(DEMONSTRATION));
        let is_real = is_there(&real)?;
        let place = if is_real { real } else { demonstration };
        match from {
            TrusteesFrom::Files(_) if !is_real => return Err(SecretsError::Demonstration(place)),
            TrusteesFrom::Demonstration if is_real => return Err(SecretsError::Real(place)),
            _ => {}
        }
        let kept = Self::read(&place).map_err(|error| match error {
            SecretsError::NotInCeremony(path) => SecretsError::Lost(path),
            SecretsError::NoCertificate(path)
            | SecretsError::NoTrusteeKey(path)
            | SecretsError::NoTrusteesAtAll(path, _)
            | SecretsError::Foreign(path) => SecretsError::Damaged(path),
            error => error,
        })?;
        match from {
            TrusteesFrom::Files(path) if Self::read(path)? != kept => {
                Err(SecretsError::OtherTrustees(path.join("certificate.bin")))
            }
            _ => Ok(kept),
        }
    }

    /// From a ceremony's directory: the certificate, and the keys of all who have signed it.
    fn read(directory: &Path) -> Result<Self, SecretsError> {
        let needed = |path: &Path| read(path)?.ok_or_else(|| SecretsError::NotInCeremony(path.to_owned()));
        let path = directory.join("certificate.bin");
        let certificate = EscrowKeyCertificate::from_bytes(&needed(&path)?)
            .map_err(|_| SecretsError::NoCertificate(path.clone()))?;
        let keys = (1..=signatures(&certificate)).map(|index| {
            let path = directory.join(key_file(index));
            let text = String::from_utf8(needed(&path)?).unwrap_or_default();
            let key = unhex(text.trim()).and_then(|bytes| TrusteePublicKey::from_bytes(&bytes));
            key.ok_or(SecretsError::NoTrusteeKey(path))
        });
        let trustees = Trustees::new(keys.collect::<Result<_, _>>()?)
            .map_err(|error| SecretsError::NoTrusteesAtAll(directory.to_owned(), error))?;
        let more = is_there(&directory.join(key_file(signatures(&certificate) + 1)))?;
        if more || certificate.verify(&trustees).is_err() {
            return Err(SecretsError::Foreign(path));
        }
        Ok(Self { certificate, trustees })
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), SecretsError> {
        make_directory(directory)?;
        for (index, key) in (1..).zip(self.trustees.keys()) {
            write(&directory.join(key_file(index)), hex(key.as_bytes()).as_bytes())?;
        }
        write(&directory.join("certificate.bin"), &self.certificate.to_bytes())?;
        sync_directory(directory)
    }

    /// The real ceremony, three of five, all in this process.
    fn demonstration() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (trustees, certificate) = crate::ceremony::play(3, 5)?;
        Ok(Self { certificate, trustees })
    }
}

fn key_file(index: usize) -> String {
    format!("key-{index}.hex")
}

/// How many have signed: a certificate has 102 bytes and 64 for each.
fn signatures(certificate: &EscrowKeyCertificate) -> usize {
    certificate.to_bytes().len().saturating_sub(102) / 64
}
