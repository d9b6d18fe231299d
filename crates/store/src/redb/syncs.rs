//! A store's file, and whether what redb syncs must be on the disk.
//!
//! redb syncs at every step of making, filling and closing a file. A file that no crash can bring back
//! under the store's name need not be whole at any of them: the fresh file of a rewrite before it is renamed, and the
//! old one once the new name is on the disk. Their syncs wait. The fresh file is synced as a whole
//! before it gets the name.

use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The switch of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Syncs {
    wait: Arc<AtomicBool>,
    /// How many went to the disk.
    #[cfg(test)]
    pub(super) done: Arc<std::sync::atomic::AtomicUsize>,
}

impl Syncs {
    /// Of a file that has no name yet.
    pub(super) fn waiting() -> Self {
        let syncs = Self::default();
        syncs.wait();
        syncs
    }

    /// From now on nobody finds the file after a crash.
    pub(super) fn wait(&self) {
        self.wait.store(true, Ordering::Release);
    }

    /// From now on every sync is one. What was written before is the caller's to sync.
    pub(super) fn resume(&self) {
        self.wait.store(false, Ordering::Release);
    }
}

/// A backend with its switch.
#[derive(Debug)]
pub(super) struct Switched<B> {
    pub(super) backend: B,
    pub(super) syncs: Syncs,
}

impl<B: StorageBackend> StorageBackend for Switched<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.syncs.wait.load(Ordering::Acquire) {
            return Ok(());
        }
        #[cfg(test)]
        self.syncs.done.fetch_add(1, Ordering::Relaxed);
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
