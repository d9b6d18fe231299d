use super::{
    BUCKETS, Bucket, Commit, Outcome, Row, RowKey, See, Sought, Store, StoreError, Write, buckets_after,
};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// A bucket's rows: found by a hash of their keys, which is one step however many there are, and in order for scans.
#[derive(Default)]
struct Rows {
    values: HashMap<Key, Vec<u8>>,
    order: BTreeSet<Key>,
}

impl Rows {
    fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.values.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        match self.values.get_mut(key) {
            Some(there) => *there = value.to_vec(),
            None => {
                self.values.insert(Key::new(key), value.to_vec());
                self.order.insert(Key::new(key));
            }
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if self.values.remove(key).is_some() {
            self.order.remove(key);
        }
    }

    /// In the order of their keys, from `start` on.
    fn range(&self, start: Bound<&[u8]>) -> impl Iterator<Item = (&[u8], &Vec<u8>)> {
        let keys = self.order.range::<[u8], _>((start, Bound::Unbounded)).map(Key::as_bytes);
        keys.filter_map(|key| Some((key, self.values.get(key)?)))
    }
}

/// A key, where the map compares it: following a pointer for each comparison would cost more
/// than the comparison.
#[derive(Clone)]
enum Key {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Vec<u8>),
}

/// The longest key that is kept in place, in bytes.
const SHORT: usize = 46;

impl Key {
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(key);
                Self::Short { length, bytes }
            }
            _ => Self::Long(key.to_vec()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Self::Long(bytes) => bytes,
        }
    }
}

/// As its bytes, which looking up by them demands.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

/// As its bytes, for the same reason.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// A store in this process's memory: tests, simulations and first steps. Nothing outlives it.
/// To find a row takes longer than to find that there is none: a service that outsiders ask has another engine.
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, Store};
/// let (store, bucket) = (MemoryStore::new(), Bucket::of(b"merchant 17"));
/// store.commit(&[Commit::new(bucket).put(b"row".to_vec(), b"one".to_vec())])?;
/// assert_eq!(store.scan(bucket, b"", None, 10)?.len(), 1);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub struct MemoryStore {
    /// By the buckets' numbers.
    buckets: RwLock<Vec<Rows>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { buckets: RwLock::new((0..BUCKETS).map(|_| Rows::default()).collect()) }
    }

    /// A poisoned lock is taken over: no code that holds it can panic halfway through a commit,
    /// short of running out of memory, which aborts.
    fn buckets(&self) -> RwLockReadGuard<'_, Vec<Rows>> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

// Prints no row: they hold what no log may.
unjoin_core::opaque!(MemoryStore);

impl Store for MemoryStore {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let buckets = self.buckets();
        let row = |at: &RowKey| buckets.get(usize::from(at.bucket.number()))?.get(&at.key).cloned();
        Ok(keys.iter().map(row).collect())
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let buckets = self.buckets();
        let rows = buckets.get(usize::from(bucket.number())).into_iter();
        Ok(rows.flat_map(|rows| begin_with(rows, prefix, after)).take(limit).collect())
    }

    fn scan_all(&self, sought: Sought<'_>) -> Result<Vec<(Bucket, Row)>, StoreError> {
        let (Sought { prefix, before, after, limit }, buckets) = (sought, self.buckets());
        let found = buckets_after(after).flat_map(|(bucket, after)| {
            let rows = buckets.get(usize::from(bucket.number())).into_iter();
            rows.flat_map(move |rows| begin_with(rows, prefix, after))
                .take_while(move |row| before.is_none_or(|before| row.key.as_slice() < before))
                .map(move |row| (bucket, row))
        });
        Ok(found.take(limit).collect())
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        Commit::check_call(commits)?;
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let mut outcomes = Vec::with_capacity(commits.len());
        for commit in commits {
            let rows = buckets.get_mut(usize::from(commit.bucket.number()));
            let rows = rows.ok_or(StoreError::Corrupt("bucket"))?;
            let is_reached = commit.is_reached(&outcomes);
            outcomes.push(if is_reached { apply(rows, commit) } else { Outcome::NotReached });
        }
        Ok(outcomes)
    }

    /// Others wait meanwhile.
    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        let buckets = self.buckets();
        let mut all = Bucket::all().zip(&*buckets);
        all.try_for_each(|(bucket, rows)| {
            rows.range(Bound::Unbounded).try_for_each(|(key, value)| see(bucket, key, value))
        })
    }

    /// Nothing to do: there is no file, and the map has no order but the keys'.
    fn rewrite(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Those whose keys begin with `prefix`, after the key `after`.
fn begin_with<'a>(
    rows: &'a Rows,
    prefix: &'a [u8],
    after: Option<&'a [u8]>,
) -> impl Iterator<Item = Row> + 'a {
    let start = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    rows.range(start)
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(|(key, value)| Row { key: key.to_vec(), value: value.clone() })
}

fn apply(rows: &mut Rows, commit: &Commit) -> Outcome {
    for precondition in &commit.preconditions {
        if !precondition.holds(rows.get(precondition.key()).map(Vec::as_slice)) {
            return Outcome::Conflict(precondition.key().to_vec());
        }
    }
    for write in &commit.writes {
        match write {
            Write::Put(key, value) => rows.put(key, value),
            Write::Delete(key) => rows.delete(key),
        }
    }
    Outcome::Committed
}
