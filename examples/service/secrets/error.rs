//! Why there are no secrets to start with. Each message names the file and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use unjoin::token::TrusteesError;

/// Nothing was made or changed.
#[derive(Debug)]
pub(crate) enum SecretsError {
    /// There is no trustees' key yet, and none was named.
    NoTrustees,
    /// A demonstration was asked for, and the directory has the key of real trustees.
    Real(PathBuf),
    /// Trustees were named, and the directory has a demonstration's key.
    Demonstration(PathBuf),
    /// The directory has the key of other trustees, or another key.
    OtherTrustees(PathBuf),
    /// The directory's platform has another name.
    OtherName(PathBuf),
    /// A file of the ceremony is not there.
    NotInCeremony(PathBuf),
    /// What should be the certificate is none.
    NoCertificate(PathBuf),
    /// What should be a trustee's public key is none.
    NoTrusteeKey(PathBuf),
    /// The keys cannot be those of trustees.
    NoTrusteesAtAll(PathBuf, TrusteesError),
    /// The trustees whose keys lie there have not all signed the certificate.
    Foreign(PathBuf),
    /// A secret that was there is not there any more.
    Lost(PathBuf),
    /// A secret has another length, or is none.
    Damaged(PathBuf),
    /// Others than the owner may read or change it.
    Open(PathBuf),
    /// The operating system says no.
    File(PathBuf, io::Error),
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, fault) = match self {
            Self::NoTrustees => return f.write_str(
                "the first start needs --trustees with the directory of the trustees' ceremony, or --demo-trustees to try it out",
            ),
            Self::NoTrusteesAtAll(path, error) => return write!(f, "the keys in {}: {error}", path.display()),
            Self::File(path, error) => return write!(f, "{}: {error}", path.display()),
            Self::Open(path) => return write!(
                f,
                "{} is open to others than its owner: find out who could read it, then chmod go= {0}",
                path.display()
            ),
            Self::Real(path) => (path, "has the key of real trustees: leave --demo-trustees out, or take another --directory"),
            Self::Demonstration(path) => (path, "has a demonstration's key, which nobody can open with, and a key stays: take another --directory, with stores of its own"),
            Self::OtherTrustees(path) => (path, "is not the certificate that this directory's issuing key belongs to: leave --trustees out, or take another --directory"),
            Self::OtherName(path) => (path, "has another name than --name, and wallets derive their keys from it: give the old one"),
            Self::NotInCeremony(path) => (path, "is missing: --trustees takes the directory of a ceremony that is finished, with certificate.bin and the keys of all trustees"),
            Self::NoCertificate(path) => (path, "is no certificate of an escrow key, or not whole: copy it again from a trustee who has finished"),
            Self::NoTrusteeKey(path) => (path, "is no trustee's public key of 64 hexadecimal digits, or not whole: copy it again from this trustee"),
            Self::Foreign(path) => (path, "is not signed by all the trustees whose keys lie beside it: copy certificate and keys of one ceremony, and compare the keys with the trustees in person"),
            Self::Lost(path) => (path, "is gone: put back what was there; a new one would not fit what is stored"),
            Self::Damaged(path) => (path, "is not whole: put back what was there; a new one would not fit what is stored"),
        };
        write!(f, "{} {fault}", path.display())
    }
}

impl std::error::Error for SecretsError {}
