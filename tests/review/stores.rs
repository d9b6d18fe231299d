//! Stores that fail when they are told to, and a look at everything that one holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use unjoin::store::{Bucket, Commit, MemoryStore, Outcome, Row, RowKey, Store, StoreError, Write};

/// Every row.
pub(crate) fn dump<S: Store>(store: &S) -> Vec<(Bucket, Row)> {
    let rows =
        |bucket| store.scan(bucket, b"", None, usize::MAX).unwrap().into_iter().map(move |row| (bucket, row));
    Bucket::all().flat_map(rows).collect()
}

/// A store with the same rows.
pub(crate) fn copy<S: Store>(store: &S) -> MemoryStore {
    let copy = MemoryStore::new();
    for (bucket, row) in dump(store) {
        copy.commit(&[Commit::new(bucket).put(row.key, row.value)]).unwrap();
    }
    copy
}

pub(crate) fn holds_bytes<S: Store>(store: &S, needle: &[u8]) -> bool {
    dump(store).iter().any(|(_, row)| row.value.windows(needle.len()).any(|window| window == needle))
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    /// Nothing is applied.
    Before,
    /// Everything is applied, but nobody hears of it.
    After,
}

/// Fails one of the calls to come that write, and counts them.
pub(crate) struct Failing<S> {
    pub(crate) inner: S,
    plan: Mutex<Option<(usize, Failure)>>,
    pub(crate) writes: AtomicUsize,
    pub(crate) rewrites: AtomicUsize,
}

impl<S> Failing<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, plan: Mutex::default(), writes: AtomicUsize::new(0), rewrites: AtomicUsize::new(0) }
    }

    /// Lets `count` more writes pass and fails the one after them.
    pub(crate) fn fail_after(&self, count: usize, failure: Failure) {
        *self.plan.lock().unwrap() = Some((count, failure));
    }

    /// Whether the planned failure has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.plan.lock().unwrap().is_none()
    }

    fn write<T>(&self, apply: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let mut plan = self.plan.lock().unwrap();
        let now = match plan.take() {
            Some((0, failure)) => Some(failure),
            Some((count, failure)) => {
                *plan = Some((count - 1, failure));
                None
            }
            None => None,
        };
        drop(plan);
        let error = || StoreError::engine("told to fail");
        match now {
            Some(Failure::Before) => Err(error()),
            Some(Failure::After) => apply().and(Err(error())),
            None => apply(),
        }
    }
}

impl<S: Store> Store for Failing<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.write(|| self.inner.commit(commits))
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.rewrites.fetch_add(1, Ordering::SeqCst);
        self.write(|| self.inner.rewrite())
    }
}

type Event = Box<dyn FnOnce() + Send>;

/// A store where something else happens between a reading and the commit that follows it, or
/// during a rewrite.
pub(crate) struct Between<S> {
    pub(crate) inner: Arc<S>,
    /// Runs before the next commit, once.
    pub(crate) event: Mutex<Option<Event>>,
    /// Runs during the next rewrite, once.
    pub(crate) rewriting: Mutex<Option<Event>>,
}

impl<S> Between<S> {
    pub(crate) fn new(inner: Arc<S>) -> Self {
        Self { inner, event: Mutex::default(), rewriting: Mutex::default() }
    }
}

impl<S: Store> Store for Between<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let event = self.event.lock().unwrap().take();
        event.into_iter().for_each(|happen| happen());
        self.inner.commit(commits)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        let event = self.rewriting.lock().unwrap().take();
        event.into_iter().for_each(|happen| happen());
        self.inner.rewrite()
    }
}

/// A store that remembers where each row came to lie: a new one at the end, a changed one
/// where it was.
#[derive(Default)]
pub(crate) struct Heap {
    rows: MemoryStore,
    places: Mutex<Vec<RowKey>>,
}

impl Heap {
    pub(crate) fn keys_as_they_lie(&self) -> Vec<RowKey> {
        self.places.lock().unwrap().clone()
    }
}

impl Store for Heap {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
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
        let mut places = self.places.lock().unwrap();
        let outcomes = self.rows.commit(commits)?;
        for (commit, _) in
            commits.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Committed)
        {
            for write in &commit.writes {
                let at = RowKey { bucket: commit.bucket, key: write.key().to_vec() };
                match write {
                    Write::Delete(_) => places.retain(|place| *place != at),
                    Write::Put(..) if places.contains(&at) => {}
                    Write::Put(..) => places.push(at),
                }
            }
        }
        Ok(outcomes)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.places.lock().unwrap().sort();
        Ok(())
    }
}
