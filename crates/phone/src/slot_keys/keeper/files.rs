//! The key file and the files beside it, one step at a time, so that every step can be made to
//! fail.

use super::super::SlotKeyError;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use unjoin_core::file::{beside, overwrite, owner_only, remove_if_there, resolved, sync_directory_of};

/// The steps from which the file is read and replaced.
pub(super) trait Files: Send + Sync + 'static {
    /// The key file's bytes; `None` if there is none.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;
    /// Writes a fresh file beside it. Nothing is durable yet.
    fn write_fresh(&self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the fresh file's content durable.
    fn sync_fresh(&self) -> io::Result<()>;
    /// Gives the fresh file the key file's name. It is one or the other after a crash.
    fn rename(&self) -> io::Result<()>;
    /// Makes the names durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Overwrites what the key file was before the renaming, as far as the disk lets it.
    fn erase_replaced(&self) -> io::Result<()>;
    /// Writes the key file where it stands, durably: a crash in between leaves neither the old nor the new content.
    fn overwrite(&self, bytes: &[u8]) -> io::Result<()>;
    /// Erases and removes a fresh file that a crash left.
    fn remove_fresh(&self) -> io::Result<()>;
    /// The counters beside the key file, which outlive it: not secret.
    fn read_counters(&self) -> io::Result<Vec<u8>>;
    /// Writes the counters, durably.
    fn write_counters(&self, counters: &[u8]) -> io::Result<()>;
}

/// Replaces the key file whole. When this returns an error, the old or the new content is there
/// after a crash; when it succeeds, the new one.
pub(super) fn replace(files: &dyn Files, bytes: &[u8]) -> io::Result<()> {
    files.write_fresh(bytes)?;
    files.sync_fresh()?;
    files.rename()?;
    files.sync_names()?;
    // The old file has no name any more, so this endangers nothing. The old keys in it are sealed, and
    // a file system that writes elsewhere keeps them all the same: no reason to refuse service.
    let _ = files.erase_replaced();
    Ok(())
}

/// The files of a directory: the key file, `.fresh` and `.lock` beside it.
pub(super) struct Directory {
    path: PathBuf,
    fresh: PathBuf,
    /// Locked as long as this lives. Never renamed or removed, so that the lock means the path.
    lock: Mutex<File>,
    replaced: Mutex<Option<File>>,
}

impl Directory {
    /// Takes the lock of the key file at `path`, whose directory must exist.
    pub(super) fn lock(path: &Path) -> Result<Self, SlotKeyError> {
        let path = resolved(path)?;
        let lock = owner_only().create(true).truncate(false).open(beside(&path, ".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SlotKeyError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let fresh = beside(&path, ".fresh");
        Ok(Self { path, fresh, lock: Mutex::new(lock), replaced: Mutex::new(None) })
    }
}

impl Files for Directory {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write_fresh(&self, bytes: &[u8]) -> io::Result<()> {
        self.remove_fresh()?;
        owner_only().create_new(true).open(&self.fresh)?.write_all(bytes)
    }

    fn sync_fresh(&self) -> io::Result<()> {
        owner_only().open(&self.fresh)?.sync_all()
    }

    fn rename(&self) -> io::Result<()> {
        let replaced = owner_only().open(&self.path).ok();
        *self.replaced.lock().unwrap_or_else(PoisonError::into_inner) = replaced;
        fs::rename(&self.fresh, &self.path)
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_directory_of(&self.path)
    }

    fn erase_replaced(&self) -> io::Result<()> {
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner).take();
        replaced.map_or(Ok(()), |mut file| overwrite(&mut file))
    }

    fn overwrite(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = owner_only().open(&self.path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        self.erase_replaced()
    }

    fn remove_fresh(&self) -> io::Result<()> {
        match owner_only().open(&self.fresh) {
            Ok(mut file) => overwrite(&mut file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        remove_if_there(&self.fresh)
    }

    fn read_counters(&self) -> io::Result<Vec<u8>> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counters = Vec::new();
        lock.seek(SeekFrom::Start(0))?;
        (&*lock).take(MAX_COUNTERS).read_to_end(&mut counters)?;
        Ok(counters)
    }

    fn write_counters(&self, counters: &[u8]) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(counters)?;
        lock.sync_all()?;
        sync_directory_of(&self.path)
    }
}

/// More than any key file has, however its content was sealed; what is longer is cut off and
/// then refused.
const MAX_FILE: u64 = 1 << 16;
/// More than any counters take.
const MAX_COUNTERS: u64 = 256;
