//! The keys of the door: a file for each, erased when the key has ended. They belong into no backup: with one of them
//! whoever recorded what passed the relay can read it.

use super::files;
use super::{SecretsError, make_directory};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use unjoin::Timestamp;
use unjoin::ledger::DoorKeyEntry;
use unjoin::secret::SecretBytes;
use unjoin::wire::Message;
use zeroize::Zeroizing;

/// `door/`: a file for each key, named by the second from which it holds: shard bits (1), secret (32). Beside it
/// `door-keys.json`, for an app to ship.
pub(crate) struct DoorKeyFiles {
    directory: PathBuf,
    published: PathBuf,
}

const LENGTH: usize = 33;

impl DoorKeyFiles {
    pub(crate) fn at(directory: &Path) -> Result<Self, SecretsError> {
        let files = Self { directory: directory.join("door"), published: directory.join("door-keys.json") };
        make_directory(&files.directory)?;
        files::refuse_open(&files.directory)?;
        Ok(files)
    }

    /// Waits until no other process is at it.
    pub(crate) fn lock(&self) -> Result<File, SecretsError> {
        files::lock(&self.directory.join("lock"))
    }

    fn path(&self, from: Timestamp) -> PathBuf {
        self.directory.join(from.as_unix_seconds().to_string())
    }

    /// Shard bits and secret of the key that holds from then on; `None` if there is none.
    pub(crate) fn read(&self, from: Timestamp) -> Result<Option<(u8, SecretBytes<32>)>, SecretsError> {
        let path = self.path(from);
        let Some(bytes) = files::read(&path)?.map(Zeroizing::new) else { return Ok(None) };
        files::refuse_open(&path)?;
        let Ok([bits, secret @ ..]) = <[u8; LENGTH]>::try_from(bytes.as_slice()) else {
            return Err(SecretsError::Damaged(path));
        };
        Ok(Some((bits, SecretBytes::new(secret))))
    }

    pub(crate) fn write(
        &self,
        from: Timestamp,
        bits: u8,
        secret: &SecretBytes<32>,
    ) -> Result<(), SecretsError> {
        let (path, mut bytes) = (self.path(from), Zeroizing::new(vec![bits]));
        bytes.reserve_exact(32);
        bytes.extend_from_slice(secret.expose());
        files::replace(&path, &bytes)
    }

    /// Erases the keys that begin at a time of which `has_ended` holds: overwritten first, since a file that is removed
    /// leaves its bytes.
    pub(crate) fn erase(&self, has_ended: impl Fn(Timestamp) -> bool) -> Result<(), SecretsError> {
        for from in self.kept()?.into_iter().filter(|from| has_ended(*from)) {
            files::overwrite(&self.path(from), &[0; LENGTH])?;
            files::remove(&self.path(from))?;
        }
        Ok(())
    }

    /// Whether there is no key.
    pub(crate) fn is_empty(&self) -> Result<bool, SecretsError> {
        Ok(self.kept()?.is_empty())
    }

    fn kept(&self) -> Result<Vec<Timestamp>, SecretsError> {
        let about = |error| SecretsError::File(self.directory.clone(), error);
        let mut kept = Vec::new();
        for found in fs::read_dir(&self.directory).map_err(about)? {
            let name = found.map_err(about)?.file_name();
            kept.extend(name.to_str().and_then(|name| name.parse().ok()).map(Timestamp::from_unix_seconds));
        }
        Ok(kept)
    }

    /// What an app ships.
    pub(crate) fn publish(&self, host: &str, entries: &[DoorKeyEntry]) -> Result<(), SecretsError> {
        let keys: Vec<_> =
            entries.iter().map(|entry| Base64UrlUnpadded::encode_string(&entry.to_bytes())).collect();
        let pins = json!({ "host": host, "keys": keys });
        files::replace(&self.published, format!("{pins:#}\n").as_bytes())
    }
}
