//! A disk that is slower than this machine's, with the same time for every sync.

use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;
use unjoin::store::{Bucket, Commit, Outcome, Row, RowKey, See, Sought, Store, StoreError};

/// A store whose durable commits take so much longer, one after the other.
pub struct SlowSync<S> {
    store: S,
    sync: Duration,
    /// Held during a sync: an engine on one file writes one transaction at a time.
    turn: Mutex<()>,
}

impl<S: Store> SlowSync<S> {
    pub fn new(store: S, sync: Duration) -> Self {
        Self { store, sync, turn: Mutex::new(()) }
    }
}

impl<S: Store> Store for SlowSync<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.store.scan(bucket, prefix, after, limit)
    }

    fn scan_all(&self, sought: Sought<'_>) -> Result<Vec<(Bucket, Row)>, StoreError> {
        self.store.scan_all(sought)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let outcomes = self.store.commit(commits)?;
        // What changes nothing is not synced.
        let is_synced = |(commit, outcome): (&Commit, &Outcome)| {
            *outcome == Outcome::Committed && !commit.writes.is_empty()
        };
        if !self.sync.is_zero() && commits.iter().zip(&outcomes).any(is_synced) {
            sleep(self.sync);
        }
        Ok(outcomes)
    }

    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        self.store.snapshot(see)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.store.rewrite()
    }
}
