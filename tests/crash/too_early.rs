//! Stores that acknowledge before anything is durable: what the record must notice.

use redb::StorageBackend;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use unjoin::store::{Commit, MemoryStore, Outcome, Store, StoreError};
use unjoin_test_util::copy;
use unjoin_test_util::disk::Disk;

/// A disk that does only some of the syncs that it answers.
#[derive(Debug)]
pub(crate) struct SyncsSeldom {
    pub(crate) disk: Disk,
    /// Whether it does the sync of this number.
    pub(crate) does: fn(u64) -> bool,
    pub(crate) asked: AtomicU64,
}

impl StorageBackend for SyncsSeldom {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        if (self.does)(number) { self.disk.sync_data() } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }
}

/// So many calls are answered before they are committed.
const BEHIND: usize = 6;

/// A store that answers from memory and commits a few calls later.
pub(crate) struct WritesBehind<S> {
    rows: MemoryStore,
    store: Arc<S>,
    waiting: Mutex<Vec<Commit>>,
    calls: AtomicU64,
}

impl<S: Store> WritesBehind<S> {
    pub(crate) fn new(store: Arc<S>) -> Self {
        Self { rows: copy(&store), store, waiting: Mutex::default(), calls: AtomicU64::new(0) }
    }
}

impl<S: Store> Store for WritesBehind<S> {
    unjoin_test_util::reads_from!(rows);

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let mut waiting = self.waiting.lock().unwrap();
        let outcomes = self.rows.commit(commits)?;
        waiting.extend_from_slice(commits);
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) as usize;
        if calls % BEHIND == BEHIND - 1 {
            self.store.commit(&std::mem::take(&mut *waiting))?;
        }
        Ok(outcomes)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
