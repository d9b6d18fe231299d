//! A store whose reads wait until they may go on.

use std::sync::{Arc, Condvar, Mutex};
use unjoin::store::{Bucket, Commit, MemoryStore, Outcome, Row, RowKey, Store, StoreError};

#[derive(Default)]
pub(super) struct Held {
    rows: MemoryStore,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// Whether it is closed, and how many wait at it.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Held {
    pub(super) fn close(&self) {
        self.gate.state.lock().unwrap().0 = true;
    }

    pub(super) fn open(&self) {
        self.gate.state.lock().unwrap().0 = false;
        self.gate.changed.notify_all();
    }

    /// Returns when somebody waits at the closed gate.
    pub(super) fn until_somebody_waits(&self) {
        let state = self.gate.state.lock().unwrap();
        drop(self.gate.changed.wait_while(state, |(_, waiting)| *waiting == 0).unwrap());
    }
}

impl Store for Held {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut state = self.gate.state.lock().unwrap();
        state.1 += 1;
        self.gate.changed.notify_all();
        let mut state = self.gate.changed.wait_while(state, |(closed, _)| *closed).unwrap();
        state.1 -= 1;
        drop(state);
        self.rows.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.rows.scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.rows.commit(commits)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.rows.rewrite()
    }
}
