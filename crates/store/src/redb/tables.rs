//! The tables that a store's rows lie in.
//!
//! ```text
//! table "meta":     "schema"           -> u32, SCHEMA_VERSION
//! table "recent":   bucket (u16 be) key -> 1, value: a row; or 0: no row, whatever "settled" has
//! table "settled":  bucket (u16 be) key -> value
//! table "filter":   u32                 -> a part of the filter over the keys of "settled"
//! ```
//!
//! Commits write to "recent" alone. A rewrite merges both into the "settled" of a fresh file, in key order, and
//! leaves "recent" empty. So a commit meets a small tree, however many rows there are, and a fresh key touches no
//! page of the large one. The [`Filter`] says that it is not there.
//!
//! **What a read takes.** A settled row takes the same whether it was changed since or not: both tables are asked.
//! It takes longer than a row that is absent, or that came since. A service whose refusals must not differ by that
//! never rewrites its store (the switchboard). Then nothing is settled, and all are looked up in one tree. Hence
//! no copy but a rewrite settles anything.

use super::filter::{Filter, hash};
use super::kinds::Kinds;
use super::syncs::Syncs;
use super::{Bucket, Commit, Outcome, RowKey, SCHEMA_VERSION, See, Sought, StoreError, Write, engine};
use crate::{Row, buckets_after};
use redb::{
    AccessGuard, Database, Durability, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError, WriteTransaction,
};
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

type Bytes = &'static [u8];

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";
const RECENT: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("recent");
const SETTLED: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("settled");
const FILTER: TableDefinition<'_, u32, Bytes> = TableDefinition::new("filter");

/// Bytes of the filter that lie in one row.
const PART: usize = 1 << 16;

/// An open file with rows.
pub(super) struct Tables {
    /// Both tables as the last commit left them, once somebody has read since: to open them takes as long as to
    /// look up two rows. Closed before the database.
    latest: RwLock<Option<Arc<Both>>>,
    database: Database,
    /// Over "settled", which no open file changes.
    filter: Filter,
    /// Over both tables.
    kinds: Kinds,
    /// Of the file.
    pub(super) syncs: Syncs,
    /// How often "settled" was asked for a row.
    #[cfg(test)]
    looks: std::sync::atomic::AtomicUsize,
    /// How many buckets were looked into by scans.
    #[cfg(test)]
    visits: std::sync::atomic::AtomicUsize,
    /// How often a transaction began to read.
    #[cfg(test)]
    transactions: std::sync::atomic::AtomicUsize,
}

/// What becomes of the rows in a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Copying {
    /// All of them are settled.
    Rewrite,
    /// They stay in the tables that they are in.
    AsTheyAre,
}

#[cfg(test)]
mod tests;

impl Tables {
    /// A database that has none yet.
    pub(super) fn create(database: Database, syncs: Syncs) -> Result<Self, StoreError> {
        let transaction = database.begin_write().map_err(engine)?;
        transaction.open_table(META).map_err(engine)?.insert(SCHEMA, SCHEMA_VERSION).map_err(engine)?;
        for table in [RECENT, SETTLED] {
            transaction.open_table(table).map_err(engine)?;
        }
        transaction.open_table(FILTER).map_err(engine)?;
        transaction.commit().map_err(engine)?;
        Ok(Self::of(database, Filter::default(), syncs))
    }

    pub(super) fn open(database: Database, syncs: Syncs) -> Result<Self, StoreError> {
        if !has_tables(&database)? {
            return Err(StoreError::Missing("set of tables"));
        }
        let read = database.begin_read().map_err(engine)?;
        let meta = read.open_table(META).map_err(|error| absent(error, "layout number"))?;
        let found = meta.get(SCHEMA).map_err(engine)?.ok_or(StoreError::Corrupt("layout number"))?.value();
        if found != SCHEMA_VERSION {
            return Err(StoreError::Schema { found, expected: SCHEMA_VERSION });
        }
        read.open_table(RECENT).map_err(|error| absent(error, "table of rows"))?;
        let settled = read.open_table(SETTLED).map_err(|error| absent(error, "table of rows"))?;
        let parts = read.open_table(FILTER).map_err(|error| absent(error, "filter"))?;
        let mut bytes = Vec::new();
        for part in parts.iter().map_err(engine)? {
            bytes.extend_from_slice(part.map_err(engine)?.1.value());
        }
        // Denying a serial that is spent would spend it again: a filter of other rows is none.
        let filter = Filter::from_bytes(&bytes, settled.len().map_err(engine)?);
        let filter = filter.ok_or(StoreError::Corrupt("filter"))?;
        let tables = Self::of(database, filter, syncs);
        tables.find_kinds()?;
        Ok(tables)
    }

    fn of(database: Database, filter: Filter, syncs: Syncs) -> Self {
        Self {
            latest: RwLock::default(),
            database,
            filter,
            kinds: Kinds::default(),
            syncs,
            #[cfg(test)]
            looks: Default::default(),
            #[cfg(test)]
            visits: Default::default(),
            #[cfg(test)]
            transactions: Default::default(),
        }
    }

    pub(super) fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let both = self.latest()?;
        let (mut settled, mut buffers) = (Settled::of(self, Some(&both)), Buffers::default());
        let read = |at: &RowKey| {
            let at = buffers.address(at.bucket, &at.key);
            let new = both.recent.get(at).map_err(engine)?;
            // Also where the recent one counts: what a read takes must not tell whether a row was changed.
            let old = settled.get(at)?;
            match new {
                Some(row) => Ok(row_of(row.value())?.map(<[u8]>::to_vec)),
                None => Ok(old.map(|row| row.value().to_vec())),
            }
        };
        keys.iter().map(read).collect()
    }

    /// Of one bucket or of all; as of one moment.
    pub(super) fn scan(
        &self,
        only: Option<Bucket>,
        sought: Sought<'_>,
    ) -> Result<Vec<(Bucket, Row)>, StoreError> {
        let Sought { prefix, before, after, limit } = sought;
        let may_have = self.kinds.of(prefix);
        let (both, mut found) = (self.latest()?, Vec::new());
        for (bucket, after) in buckets_after(after) {
            if only.is_some_and(|only| only != bucket) || !may_have(bucket) {
                continue;
            }
            if found.len() >= limit {
                break;
            }
            #[cfg(test)]
            self.visits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let (prefix, before) = (address(bucket, prefix), before.map(|before| address(bucket, before)));
            let after = after.map(|key| address(bucket, key));
            let start = match &after {
                Some(after) if *after >= prefix => Bound::Excluded(after.as_slice()),
                _ => Bound::Included(prefix.as_slice()),
            };
            both.rows_from(start, |at, value| {
                if !at.starts_with(&prefix) || before.as_ref().is_some_and(|before| at >= before.as_slice()) {
                    return Ok(false);
                }
                let key = at.get(BUCKET_BYTES..).ok_or(StoreError::Corrupt("key"))?;
                found.push((bucket, Row { key: key.to_vec(), value: value.to_vec() }));
                Ok(found.len() < limit)
            })?;
        }
        Ok(found)
    }

    pub(super) fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        self.both()?.rows_from(Bound::Unbounded, |at, value| {
            let (bucket, key) = split(at)?;
            see(bucket, key, value).map(|()| true)
        })
    }

    pub(super) fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let mut transaction = self.database.begin_write().map_err(engine)?;
        transaction.set_durability(Durability::Immediate).map_err(engine)?;
        let recent = transaction.open_table(RECENT).map_err(engine)?;
        let mut rows = Changing { recent, settled: Settled::of(self, None), buffers: Buffers::default() };
        let mut outcomes = Vec::with_capacity(commits.len());
        for commit in commits {
            let is_reached = commit.is_reached(&outcomes);
            outcomes.push(if is_reached { rows.apply(commit)? } else { Outcome::NotReached });
        }
        drop(rows);
        // Write transactions run one after the other, each durable before the next begins: what
        // a conflict saw is on the disk already, and a call that changed nothing needs no sync.
        let changes = |(commit, outcome): (&Commit, &Outcome)| {
            *outcome == Outcome::Committed && !commit.writes.is_empty()
        };
        let ended = match commits.iter().zip(&outcomes).any(changes) {
            true => transaction.commit().map_err(engine),
            false => transaction.abort().map_err(engine),
        };
        // Whoever reads from now on sees what this call saw, also of a commit whose own call has not come to this line.
        // An earlier view would besides keep the pages that were replaced.
        *self.view() = None;
        ended?;
        Ok(outcomes)
    }

    /// Writes every row into the tables of a new database, in key order and in one transaction.
    pub(super) fn copy_into(&self, fresh: &mut Self, copying: Copying) -> Result<(), StoreError> {
        let transaction = fresh.database.begin_write().map_err(engine)?;
        let (both, kinds, mut hashes) = (self.both()?, Kinds::default(), Vec::new());
        append(&transaction, SETTLED, &kinds, |put| {
            let settle = |at: &[u8], value: &[u8]| {
                hashes.push(hash(at));
                put(at, value).map(|()| true)
            };
            match copying {
                Copying::Rewrite => both.rows_from(Bound::Unbounded, settle),
                Copying::AsTheyAre => each(&both.settled, settle),
            }
        })?;
        if copying == Copying::AsTheyAre {
            append(&transaction, RECENT, &kinds, |put| {
                each(&both.recent, |at, entry| put(at, entry).map(|()| true))
            })?;
        }
        let filter = Filter::of(&hashes);
        let mut parts = transaction.open_table(FILTER).map_err(engine)?;
        for (number, part) in (0u32..).zip(filter.to_bytes().chunks(PART)) {
            parts.insert(number, part).map_err(engine)?;
        }
        drop(parts);
        transaction.commit().map_err(engine)?;
        (fresh.filter, fresh.kinds) = (filter, kinds);
        Ok(())
    }

    /// Writes what `rows` shows into the tables of this new database, in one transaction, and settles nothing.
    /// `change` makes another value of the row at `own`, which must be there.
    pub(super) fn fill(
        &mut self,
        rows: impl FnOnce(&mut See<'_>) -> Result<(), StoreError>,
        own: &RowKey,
        change: impl FnOnce(&[u8]) -> Result<Vec<u8>, StoreError>,
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(engine)?;
        let mut recent = transaction.open_table(RECENT).map_err(engine)?;
        rows(&mut |bucket, key, value| {
            let at = address(bucket, key);
            self.kinds.add(&at);
            insert(&mut recent, &at, value)
        })?;
        let at = address(own.bucket, &own.key);
        let found = recent.get(at.as_slice()).map_err(engine)?.map(|row| row.value().to_vec());
        let found = found.as_deref().map(row_of).transpose()?.flatten();
        let changed = change(found.ok_or(StoreError::Missing("identity"))?)?;
        insert(&mut recent, &at, &changed)?;
        drop(recent);
        transaction.commit().map_err(engine)
    }

    /// From one kind's first row to the next's: not every row is looked at.
    fn find_kinds(&self) -> Result<(), StoreError> {
        let Both { recent, settled } = self.both()?;
        for table in [recent, settled] {
            let mut from = Bound::Unbounded;
            loop {
                let start = from.as_ref().map(Vec::as_slice);
                let mut rows = table.range::<&[u8]>((start, Bound::Unbounded)).map_err(engine)?;
                let Some((at, _)) = next(&mut rows)? else { break };
                let at = at.value();
                self.kinds.add(at);
                // Behind all that begins like this one.
                from = match at.first_chunk().map(|kind| u32::from_be_bytes(*kind).checked_add(1)) {
                    Some(Some(next)) => Bound::Included(next.to_be_bytes().to_vec()),
                    Some(None) => break,
                    None => Bound::Excluded(at.to_vec()),
                };
            }
        }
        Ok(())
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        #[cfg(test)]
        self.transactions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.database.begin_read().map_err(engine)
    }

    /// As the last commit left it.
    fn latest(&self) -> Result<Arc<Both>, StoreError> {
        if let Some(both) = &*self.latest.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(both));
        }
        let mut latest = self.view();
        // Begun under the lock: a commit that is durable meanwhile takes it away again.
        let both = match latest.take() {
            Some(both) => both,
            None => Arc::new(self.both()?),
        };
        Ok(Arc::clone(latest.insert(both)))
    }

    /// A poisoned lock is taken over: what it guards is replaced in single assignments.
    fn view(&self) -> RwLockWriteGuard<'_, Option<Arc<Both>>> {
        self.latest.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// As of one moment.
    fn both(&self) -> Result<Both, StoreError> {
        let transaction = self.begin_read()?;
        Ok(Both { recent: open(&transaction, RECENT)?, settled: open(&transaction, SETTLED)? })
    }
}

/// Both tables, as one transaction sees them.
struct Both {
    recent: ReadOnlyTable<Bytes, Bytes>,
    settled: ReadOnlyTable<Bytes, Bytes>,
}

impl Both {
    /// Shows every row from `start` on, in the order of addresses, while `see` answers that it wants more.
    fn rows_from(
        &self,
        start: Bound<&[u8]>,
        mut see: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let range = (start, Bound::Unbounded);
        let mut recent = self.recent.range::<&[u8]>(range).map_err(engine)?;
        let mut settled = self.settled.range::<&[u8]>(range).map_err(engine)?;
        let (mut new, mut old) = (next(&mut recent)?, next(&mut settled)?);
        loop {
            let order = match (&new, &old) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((new, _)), Some((old, _))) => new.value().cmp(old.value()),
            };
            // Of two rows at one address the recent one counts.
            let shown = match if order == Ordering::Greater { &old } else { &new } {
                Some((at, row)) if order == Ordering::Greater => Some((at.value(), row.value())),
                Some((at, row)) => row_of(row.value())?.map(|row| (at.value(), row)),
                None => None,
            };
            if let Some((at, value)) = shown
                && !see(at, value)?
            {
                return Ok(());
            }
            if order != Ordering::Greater {
                new = next(&mut recent)?;
            }
            if order != Ordering::Less {
                old = next(&mut settled)?;
            }
        }
    }
}

pub(super) fn has_tables(database: &Database) -> Result<bool, StoreError> {
    Ok(database.begin_read().map_err(engine)?.list_tables().map_err(engine)?.next().is_some())
}

fn open(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, Bytes, Bytes>,
) -> Result<ReadOnlyTable<Bytes, Bytes>, StoreError> {
    transaction.open_table(table).map_err(engine)
}

/// Shows the entries of one table while `see` wants more.
fn each(
    table: &ReadOnlyTable<Bytes, Bytes>,
    mut see: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut entries = table.range::<&[u8]>(..).map_err(engine)?;
    while let Some((at, value)) = next(&mut entries)? {
        if !see(at.value(), value.value())? {
            break;
        }
    }
    Ok(())
}

/// Takes one entry.
type PutOne<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Fills a table that is empty with entries in the order of their keys. They are put behind one another into full
/// pages; to look up the place of each leaves every page half empty, and takes several times as long.
fn append(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, Bytes, Bytes>,
    kinds: &Kinds,
    entries: impl FnOnce(&mut PutOne<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(table).map_err(engine)?;
    let mut end = table.upper_bound_mut(Bound::<&[u8]>::Unbounded).map_err(engine)?;
    let mut last: Option<[u8; 4]> = None;
    entries(&mut |at, value| {
        // Those of one bucket and kind follow each other.
        let kind = at.first_chunk().copied();
        if kind != last {
            kinds.add(at);
            last = kind;
        }
        end.insert_before(at, value).map_err(engine)
    })?;
    end.close().map_err(engine)
}

fn absent(error: TableError, what: &'static str) -> StoreError {
    match error {
        TableError::TableDoesNotExist(_) => StoreError::Corrupt(what),
        error => engine(error),
    }
}

type Found<'a> = (AccessGuard<'a, Bytes>, AccessGuard<'a, Bytes>);

fn next<'a>(rows: &mut Range<'a, Bytes, Bytes>) -> Result<Option<Found<'a>>, StoreError> {
    rows.next().transpose().map_err(engine)
}

/// What "settled" holds, opened when the filter cannot say.
struct Settled<'a> {
    tables: &'a Tables,
    /// Of any moment: no commit writes there.
    both: Option<Arc<Both>>,
}

impl<'a> Settled<'a> {
    fn of(tables: &'a Tables, both: Option<&Arc<Both>>) -> Self {
        Self { tables, both: both.cloned() }
    }

    fn get(&mut self, at: &[u8]) -> Result<Option<AccessGuard<'static, Bytes>>, StoreError> {
        if !self.tables.filter.may_hold(at) {
            return Ok(None);
        }
        #[cfg(test)]
        self.tables.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let both = match self.both.take() {
            Some(both) => both,
            None => self.tables.latest()?,
        };
        self.both.insert(both).settled.get(at).map_err(engine)
    }
}

/// A transaction that writes.
struct Changing<'t, 'a> {
    recent: Table<'t, Bytes, Bytes>,
    settled: Settled<'a>,
    buffers: Buffers,
}

/// An address and an entry of "recent", each in the memory of the one before.
#[derive(Default)]
struct Buffers {
    at: Vec<u8>,
    entry: Vec<u8>,
}

impl Buffers {
    fn address(&mut self, bucket: Bucket, key: &[u8]) -> &[u8] {
        self.at.clear();
        extend_by_address(&mut self.at, bucket, key);
        &self.at
    }

    fn entry(&mut self, value: &[u8]) -> (&[u8], &[u8]) {
        self.entry.clear();
        self.entry.push(ROW);
        self.entry.extend_from_slice(value);
        (&self.at, &self.entry)
    }
}

impl Changing<'_, '_> {
    /// Checks all preconditions before the first write, so a conflict leaves nothing to undo.
    fn apply(&mut self, commit: &Commit) -> Result<Outcome, StoreError> {
        for precondition in &commit.preconditions {
            let at = self.buffers.address(commit.bucket, precondition.key());
            let holds = match self.recent.get(at).map_err(engine)? {
                Some(row) => precondition.holds(row_of(row.value())?),
                None => precondition.holds(self.settled.get(at)?.as_ref().map(|row| row.value())),
            };
            if !holds {
                return Ok(Outcome::Conflict(precondition.key().to_vec()));
            }
        }
        for write in &commit.writes {
            let at = self.buffers.address(commit.bucket, write.key());
            match write {
                Write::Put(_, value) => {
                    // Before anybody can see the row.
                    self.settled.tables.kinds.add(at);
                    let (at, entry) = self.buffers.entry(value);
                    self.recent.insert(at, entry).map_err(engine)?;
                }
                // Only a row that may be settled leaves a mark.
                Write::Delete(_) if self.settled.tables.filter.may_hold(at) => {
                    self.recent.insert(at, GONE).map_err(engine)?;
                }
                Write::Delete(_) => drop(self.recent.remove(at).map_err(engine)?),
            }
        }
        Ok(Outcome::Committed)
    }
}

/// In "recent": there is no such row.
const GONE: &[u8] = &[0];
/// In "recent", before a row's value.
const ROW: u8 = 1;

fn insert(recent: &mut Table<'_, Bytes, Bytes>, at: &[u8], value: &[u8]) -> Result<(), StoreError> {
    recent.insert(at, [[ROW].as_slice(), value].concat().as_slice()).map(drop).map_err(engine)
}

/// What an entry of "recent" says.
fn row_of(entry: &[u8]) -> Result<Option<&[u8]>, StoreError> {
    match entry.split_first() {
        Some((&ROW, value)) => Ok(Some(value)),
        _ if entry == GONE => Ok(None),
        _ => Err(StoreError::Corrupt("row")),
    }
}

pub(super) const BUCKET_BYTES: usize = 2;

/// Big-endian, so that a table's order is that of (bucket, key).
fn address(bucket: Bucket, key: &[u8]) -> Vec<u8> {
    let mut address = Vec::with_capacity(BUCKET_BYTES.saturating_add(key.len()));
    extend_by_address(&mut address, bucket, key);
    address
}

fn extend_by_address(bytes: &mut Vec<u8>, bucket: Bucket, key: &[u8]) {
    bytes.extend_from_slice(&bucket.number().to_be_bytes());
    bytes.extend_from_slice(key);
}

/// What [`address`] has put together.
fn split(address: &[u8]) -> Result<(Bucket, &[u8]), StoreError> {
    let (number, key) = address.split_first_chunk().ok_or(StoreError::Corrupt("key"))?;
    let bucket = Bucket::numbered(u16::from_be_bytes(*number)).ok_or(StoreError::Corrupt("bucket"))?;
    Ok((bucket, key))
}
