use super::{Bucket, Commit, Outcome, Row, RowKey, Store, StoreError, Write};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A row's bucket and key.
type Address = (u16, Vec<u8>);

/// A store in this process's memory: tests, simulations and first steps. Nothing outlives it.
#[derive(Default)]
pub struct MemoryStore {
    rows: Mutex<BTreeMap<Address, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A poisoned lock is taken over: no code that holds it can panic halfway through a commit,
    /// short of running out of memory, which aborts.
    fn rows(&self) -> MutexGuard<'_, BTreeMap<Address, Vec<u8>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints no row: they hold what no log may.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let rows = self.rows();
        Ok(keys.iter().map(|at| rows.get(&(at.bucket.number(), at.key.clone())).cloned()).collect())
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let number = bucket.number();
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded((number, after.to_vec())),
            _ => Bound::Included((number, prefix.to_vec())),
        };
        let rows = self.rows();
        let found = rows
            .range((start, Bound::Unbounded))
            .take_while(|((bucket, key), _)| *bucket == number && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| Row { key: key.clone(), value: value.clone() });
        Ok(found.collect())
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        commits.iter().try_for_each(Commit::check_lengths)?;
        let mut rows = self.rows();
        Ok(commits.iter().map(|commit| apply(&mut rows, commit)).collect())
    }

    /// Nothing to do: there is no file, and the map has no order but the keys'.
    fn rewrite(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn apply(rows: &mut BTreeMap<Address, Vec<u8>>, commit: &Commit) -> Outcome {
    let address = |key: &[u8]| (commit.bucket.number(), key.to_vec());
    for precondition in &commit.preconditions {
        let row = rows.get(&address(precondition.key()));
        if !precondition.holds(row.map(Vec::as_slice)) {
            return Outcome::Conflict(precondition.key().to_vec());
        }
    }
    for write in &commit.writes {
        match write {
            Write::Put(key, value) => rows.insert(address(key), value.clone()),
            Write::Delete(key) => rows.remove(&address(key)),
        };
    }
    Outcome::Committed
}
