//! A disk that is slower than this machine's, with the same time for every sync.

use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;
use unjoin::store::{Commit, Outcome, Store, StoreError};

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
    unjoin_test_util::reads_from!(store);

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

    fn rewrite(&self) -> Result<(), StoreError> {
        self.store.rewrite()
    }
}
