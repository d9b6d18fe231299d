//! Where decisions are kept: a small trait that any engine can serve.
//!
//! Rows live in [`Bucket`]s, one of a fixed number. A decision is one [`Commit`]: preconditions and
//! writes within one bucket. Each commit of a call is atomic by itself. It is independent of the others,
//! or hangs on earlier ones: if one of those is refused, so is it.
//! [`Store::commit`] returns when all of them are durable, which is group commit for free. An engine
//! runs no closure, and nothing relies on an absent *range*.
//!
//! **Rows have types.** A [`Key`] says which [`Record`] lies at it. [`decide`] reads rows and commits
//! what follows from them. Every row that was read is a precondition. If one has changed meanwhile, the
//! decision is taken again.
//!
//! **Versions are content.** A row's [`Version`] is a digest of its value. No counter and no time is
//! kept with a row, so nothing tells in which order rows were written. A caller knows the version that
//! its own write will have. Two equal values are the same state to every decision, so an "ABA" change
//! between a read and a commit is harmless.
//!
//! **A commit's effect is its idempotency key.** A commit may have succeeded unseen (a lost answer).
//! Every decision writes a row under a key that the request itself determines: an order, a serial, an
//! account. It reads that row first. Asked again, it finds its own effect and gives the same answer.
//! Stored commit identifiers would be a second record of every arrival; this needs none.
//!
//! **Physical order.** [`Store::rewrite`] writes every row again in key order and deletes what was
//! there before. So after a publication boundary the engine's own files or tables do not tell in which
//! order rows arrived.
//!
//! **Engines.** [`MemoryStore`] is for tests and simulations. `RedbStore` (feature `redb`) is one file
//! owned by one process. `postgres::PostgresStore` (feature `postgres`) is a server that many processes
//! share. An engine of your own implements [`Store`] and passes [`contract`].
//!
//! ```
//! use unjoin_store::{Bucket, Commit, MemoryStore, Outcome, RowKey, Store};
//! let store = MemoryStore::new();
//! let bucket = Bucket::of(b"merchant 17");
//! let take = Commit::new(bucket).expect(b"serial", None).put(b"serial".to_vec(), b"spent".to_vec());
//! assert_eq!(store.commit(&[take.clone()])?, [Outcome::Committed]);
//! // Asked again, it conflicts and changes nothing: the caller finds its own effect.
//! assert_eq!(store.commit(&[take])?, [Outcome::Conflict(b"serial".to_vec())]);
//! let row = RowKey { bucket, key: b"serial".to_vec() };
//! assert_eq!(store.read(&[row])?, [Some(b"spent".to_vec())]);
//! # Ok::<(), unjoin_store::StoreError>(())
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod call;
pub mod contract;
mod debug;
mod decision;
pub mod identity;
mod memory;
#[doc(hidden)]
pub mod observed;
#[cfg(feature = "postgres")]
pub mod postgres;
#[doc(hidden)]
pub mod queue;
mod record;
#[cfg(feature = "redb")]
mod redb;
mod stores;
#[cfg(test)]
mod tests;

pub use self::call::commit_in_parts;
pub use self::decision::{Change, Decision, decide, decide_all};
pub use self::memory::MemoryStore;
pub use self::queue::{Pending, QueueConfig, QueueError};
pub use self::record::{Found, Key, MessageRow, Pages, Present, Reads, Record, read};
#[cfg(feature = "redb")]
pub use self::redb::RedbStore;
pub use self::stores::{LostStores, OwnStore, Step, Stores};

use self::identity::Role;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use unjoin_core::describe_errors;

/// The number of buckets; fixed for the life of a store.
pub const BUCKETS: u16 = 256;
/// The longest key, in bytes.
pub const MAX_KEY: usize = 256;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// The stored layout's number; an engine refuses to open any other.
pub const SCHEMA_VERSION: u32 = 1;

/// A partition: what shares a bucket can change in one commit.
///
/// ```
/// use unjoin_store::{BUCKETS, Bucket};
/// let (one, again) = (Bucket::of(b"merchant 17"), Bucket::of(b"merchant 17"));
/// assert!(one == again && one.number() < BUCKETS);
/// assert_eq!(Bucket::all().count(), usize::from(BUCKETS));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket of everything that belongs to `owner` (a merchant, an account, a key).
    pub fn of(owner: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(owner).into();
        let [low, high, ..] = digest;
        Self(u16::from_le_bytes([low, high]) % BUCKETS)
    }

    /// Every bucket, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..BUCKETS).map(Self)
    }

    /// The bucket of this number, below [`BUCKETS`].
    #[cfg(feature = "redb")]
    fn numbered(number: u16) -> Option<Self> {
        (number < BUCKETS).then_some(Self(number))
    }

    /// Its number, below [`BUCKETS`].
    pub fn number(self) -> u16 {
        self.0
    }
}

/// One row's address.
///
/// ```
/// use unjoin_store::{Bucket, MemoryStore, RowKey, Store};
/// let key = RowKey { bucket: Bucket::of(b"merchant 17"), key: b"row".to_vec() };
/// assert_eq!(MemoryStore::new().read(&[key])?, [None]);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The partition it lies in.
    pub bucket: Bucket,
    /// At most [`MAX_KEY`] bytes.
    pub key: Vec<u8>,
}

/// A row that a scan found.
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, Row, Store};
/// let (store, bucket) = (MemoryStore::new(), Bucket::of(b"merchant 17"));
/// store.commit(&[Commit::new(bucket).put(b"a1".to_vec(), b"one".to_vec())])?;
/// let rows = store.scan(bucket, b"a", None, 10)?;
/// assert!(rows == [Row { key: b"a1".to_vec(), value: b"one".to_vec() }]);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The key within its bucket.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// What a row held: the first 16 bytes of SHA-256 of its value.
///
/// ```
/// use unjoin_store::{Precondition, Version};
/// let read = Version::of(b"one");
/// let unchanged = Precondition::At(b"row".to_vec(), read);
/// assert!(unchanged.holds(Some(b"one")) && !unchanged.holds(Some(b"two")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version([u8; 16]);

impl Version {
    /// The version of a row that holds `value`.
    pub fn of(value: &[u8]) -> Self {
        let mut version = [0; 16];
        for (kept, byte) in version.iter_mut().zip(Sha256::digest(value)) {
            *kept = byte;
        }
        Self(version)
    }
}

/// What must hold for a commit to be applied.
///
/// ```
/// use unjoin_store::Precondition;
/// let fresh = Precondition::Absent(b"serial".to_vec());
/// assert_eq!(fresh.key(), b"serial");
/// assert!(fresh.holds(None) && !fresh.holds(Some(b"spent")));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Precondition {
    /// No row has this key.
    Absent(Vec<u8>),
    /// The row is there and holds the value of this version.
    At(Vec<u8>, Version),
}

impl Precondition {
    /// The key it is on.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Absent(key) | Self::At(key, _) => key,
        }
    }

    /// Whether it holds, given what the row at its key holds (`None`: no such row).
    pub fn holds(&self, row: Option<&[u8]>) -> bool {
        match (self, row) {
            (Self::Absent(_), None) => true,
            (Self::At(_, version), Some(value)) => *version == Version::of(value),
            _ => false,
        }
    }
}

/// A change of one row.
///
/// ```
/// use unjoin_store::{Bucket, Commit, Write};
/// let commit = Commit::new(Bucket::of(b"merchant 17")).put(b"serial".to_vec(), b"spent".to_vec());
/// assert!(matches!(&commit.writes[..], [Write::Put(key, _)] if key == b"serial"));
/// assert_eq!(Write::Delete(b"serial".to_vec()).key(), b"serial");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Inserts or replaces a row.
    Put(Vec<u8>, Vec<u8>),
    /// Deletes a row; nothing happens if it is not there.
    Delete(Vec<u8>),
}

impl Write {
    /// The key of the row it changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// One decision: all of it or nothing. Its writes apply in order: of two on one key the later
/// counts.
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, Outcome, Store};
/// let (store, serial) = (MemoryStore::new(), b"serial".to_vec());
/// // Applied only if nobody has spent it before.
/// let spend = Commit::new(Bucket::of(b"merchant 17")).expect(&serial, None).put(serial.clone(), b"spent".to_vec());
/// let outcomes = store.commit(&[spend.clone(), spend])?;
/// assert!(outcomes == [Outcome::Committed, Outcome::Conflict(serial)]);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition that all its keys lie in.
    pub bucket: Bucket,
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// What changes.
    pub writes: Vec<Write>,
    /// Earlier commits of the same call, by their places in it from 0: this one is applied only if all
    /// of them are.
    pub after: Vec<usize>,
}

impl Commit {
    /// An empty decision in `bucket`.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, preconditions: Vec::new(), writes: Vec::new(), after: Vec::new() }
    }

    /// Applies only if the row is as it was read: `None` for absent.
    #[must_use]
    pub fn expect(mut self, key: &[u8], read: Option<&[u8]>) -> Self {
        self.preconditions.push(match read {
            None => Precondition::Absent(key.to_vec()),
            Some(value) => Precondition::At(key.to_vec(), Version::of(value)),
        });
        self
    }

    /// Inserts or replaces a row.
    #[must_use]
    pub fn put(mut self, key: Vec<u8>, value: Vec<u8>) -> Self {
        self.writes.push(Write::Put(key, value));
        self
    }

    /// Deletes a row.
    #[must_use]
    pub fn delete(mut self, key: Vec<u8>) -> Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Hangs on the commit at the place `earlier` of the same call: see [`Commit::after`](#structfield.after).
    #[must_use]
    pub fn after(mut self, earlier: usize) -> Self {
        self.after.push(earlier);
        self
    }

    /// Whether every key and value keeps to [`MAX_KEY`] and [`MAX_VALUE`].
    ///
    /// # Errors
    /// [`StoreError::TooLong`].
    pub fn check_lengths(&self) -> Result<(), StoreError> {
        let keys = self.preconditions.iter().map(Precondition::key).chain(self.writes.iter().map(Write::key));
        let values = self.writes.iter().filter_map(|write| match write {
            Write::Put(_, value) => Some(value),
            Write::Delete(_) => None,
        });
        if keys.into_iter().any(|key| key.len() > MAX_KEY) || values.into_iter().any(|v| v.len() > MAX_VALUE)
        {
            return Err(StoreError::TooLong);
        }
        Ok(())
    }
}

/// What became of one commit.
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, Outcome, Store};
/// let unread = Commit::new(Bucket::of(b"merchant 17")).expect(b"order", Some(b"open"));
/// let outcomes = MemoryStore::new().commit(&[unread])?;
/// assert!(matches!(&outcomes[..], [Outcome::Conflict(key)] if key == b"order"));
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Applied and durable.
    Committed,
    /// Not applied: the first precondition, in order, that did not hold is on this key.
    Conflict(Vec<u8>),
    /// Not applied, nor judged: a commit that it hangs on was not applied.
    NotReached,
}

/// What a [snapshot](Store::snapshot) shows a row to: its bucket, key and value.
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, Store};
/// let store = MemoryStore::new();
/// store.commit(&[Commit::new(Bucket::of(b"merchant 17")).put(b"row".to_vec(), b"one".to_vec())])?;
/// let mut bytes = 0;
/// store.snapshot(&mut |_bucket, key, value| {
///     bytes += key.len() + value.len();
///     Ok(())
/// })?;
/// assert_eq!(bytes, 6);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub type See<'a> = dyn FnMut(Bucket, &[u8], &[u8]) -> Result<(), StoreError> + Send + 'a;

/// An engine.
///
/// All methods may block on I/O and may be called from any thread. What is promised here is
/// checked by [`contract`].
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, RowKey, Store};
///
/// /// Any engine will do: services know no other interface.
/// fn is_there(store: &impl Store, key: &RowKey) -> bool {
///     store.read(std::slice::from_ref(key)).is_ok_and(|rows| rows[0].is_some())
/// }
///
/// let (store, bucket) = (MemoryStore::new(), Bucket::of(b"merchant 17"));
/// store.commit(&[Commit::new(bucket).put(b"row".to_vec(), b"one".to_vec())])?;
/// assert!(is_there(&store, &RowKey { bucket, key: b"row".to_vec() }));
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub trait Store: Send + Sync + 'static {
    /// The rows at `keys`, in order. Linearizable row by row: a commit that has returned is
    /// seen. Rows of different keys need not come from one instant. A key that is too long to
    /// be stored is absent.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine or its disk failed.
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// At most `limit` rows of `bucket` whose keys begin with `prefix`, in key order, after
    /// `after` if given (exclusive). `after` need not be a stored key nor begin with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine or its disk failed.
    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// What a tick looks for, in one call: rows of all buckets, in the order of (bucket, key).
    ///
    /// An engine that does not say how scans each bucket.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine or its disk failed.
    fn scan_all(&self, sought: Sought<'_>) -> Result<Vec<(Bucket, Row)>, StoreError> {
        let Sought { prefix, before, after, limit } = sought;
        let mut found = Vec::new();
        for (bucket, after) in buckets_after(after) {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            let rows = self.scan(bucket, prefix, after, left)?.into_iter();
            let rows = rows.take_while(|row| before.is_none_or(|before| row.key.as_slice() < before));
            found.extend(rows.map(|row| (bucket, row)));
        }
        Ok(found)
    }

    /// Applies `commits` in order, each atomic by itself, and returns when all are durable: one
    /// outcome for each, in order. Each sees what its predecessors in the call left; a conflict
    /// skips that commit, and those that hang on it.
    ///
    /// # Errors
    /// Those of [`Commit::check_call`]; nothing was applied then. After any other error any of the
    /// commits may have been applied, each as a whole, and none without those that it hangs on. Ask
    /// again: the decision finds what it did.
    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError>;

    /// Shows every row to `see`, in the order of (bucket, key), all of them as of one moment after the
    /// call began. What had been answered before is among them. Others read and write meanwhile; a
    /// rewrite waits, or is waited for.
    ///
    /// # Errors
    /// What `see` fails with; [`StoreError::Engine`]. Some rows may have been shown then.
    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError>;

    /// Writes every row again in key order and deletes the old file or table. Then what is on the disk
    /// is a function of the rows alone. No row changes; other calls may wait meanwhile. Afterwards an
    /// engine may answer sooner where no row is: a service whose refusals must not differ by that calls it never.
    ///
    /// # Errors
    /// [`StoreError::Engine`]; every row is still there, but their order may still show.
    fn rewrite(&self) -> Result<(), StoreError>;
}

/// What [`Store::scan_all`] looks for.
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, Sought, Store};
/// let store = MemoryStore::new();
/// let day = |merchant: &[u8], key: &[u8]| Commit::new(Bucket::of(merchant)).put(key.to_vec(), vec![1]);
/// store.commit(&[day(b"17", b"due 2026-11-30"), day(b"18", b"due 2026-12-01"), day(b"17", b"kept")])?;
///
/// let sought = Sought { prefix: b"due ", before: Some(b"due 2026-12-01"), after: None, limit: 100 };
/// let due = store.scan_all(sought)?;
/// assert_eq!(due.len(), 1);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// What the keys begin with.
    pub prefix: &'a [u8],
    /// The first key, in each bucket, that is sought no more.
    pub before: Option<&'a [u8]>,
    /// The last row that is not sought any more. It need not be stored, nor begin with `prefix`.
    pub after: Option<&'a RowKey>,
    /// The most rows that are returned.
    pub limit: usize,
}

/// The buckets that rows after a given one lie in, each with the key after which its own begin.
fn buckets_after(after: Option<&RowKey>) -> impl Iterator<Item = (Bucket, Option<&[u8]>)> {
    let from = after.map_or(0, |after| after.bucket.0);
    (from..BUCKETS).map(Bucket).map(move |bucket| {
        (bucket, after.filter(|after| after.bucket == bucket).map(|after| after.key.as_slice()))
    })
}

describe_errors! {
    /// Why an engine did not answer.
    ///
    /// ```
    /// use unjoin_store::{Bucket, Commit, MAX_KEY, MemoryStore, Store, StoreError};
    /// let too_long = Commit::new(Bucket::of(b"merchant 17")).put(vec![0; MAX_KEY + 1], vec![]);
    /// let error = MemoryStore::new().commit(&[too_long]).unwrap_err();
    /// assert!(matches!(error, StoreError::TooLong) && !error.is_retryable());
    /// ```
    #[derive(Clone, Debug)]
    #[non_exhaustive]
    pub enum StoreError (Operator, false) {
        /// The engine or its disk failed. The next call begins afresh, and may succeed.
        Engine(source: Arc<dyn std::error::Error + Send + Sync>) => "store.engine" (Operator, true),
            "the store failed ({source}); nothing was decided that a retry would not find";
        /// The store was written by another version of the layout.
        Schema {
            /// What the store says.
            found: u32,
            /// What this build reads and writes.
            expected: u32,
        } => "store.schema",
            "the store has layout {found}, this build needs {expected}: migrate it or use the matching build";
        /// The engine or its disk failed, and this store serves nothing any more.
        Closed(source: Arc<dyn std::error::Error + Send + Sync>) => "store.closed",
            "the store failed ({source}) and serves nothing until it is opened again: restart the service";
        /// There is no store where one was to be opened; what of it is not there.
        Missing(what: &'static str) => "store.missing" (Operator, true),
            "the store's {what} is missing: mount its volume, or correct where it is looked for; only a platform \
             that is new creates a store";
        /// A store was to be made where one is, and holds rows.
        Exists => "store.exists",
            "a store was to be created where one is that holds rows, and nothing was changed: open it";
        /// This store is empty, or holds what no service of ours wrote.
        Nobodys(role: Role) => "store.nobodys",
            "what lies where the {role} store is looked for was never created as one: look for its volume, and \
             for an empty server; nothing was changed";
        /// One store is in the place of another.
        Swapped {
            /// What was to be opened.
            expected: Role,
            /// What is there.
            found: Role,
        } => "store.swapped",
            "the {found} store lies where the {expected} store is looked for: exchange them; nothing was changed";
        /// This store is another platform's, or has another past than its sisters.
        Foreign(role: Role) => "store.foreign",
            "the {role} store is another platform's, or has another past than its sisters: put the right one \
             there, or recover; nothing was changed";
        /// This store is a backup's copy.
        Copy(role: Role) => "store.copy",
            "the {role} store is a backup's copy: only a recovery opens it; nothing was changed";
        /// This store is an older state of itself, put back beside newer sisters.
        Older(role: Role) => "store.older",
            "the {role} store is older than its sisters: put the newest one there, or recover; nothing was served";
        /// This store was made with another secret, or another ring of keys.
        Secret {
            /// The store.
            role: Role,
            /// The secret's name.
            secret: &'static str,
        } => "store.secret",
            "the {role} store belongs to another secret ({secret}): give it the one that it was created with; of \
             issuing keys, a ring that has the newest";
        /// This store is not served before it has the mark of the lead store.
        Unmarked(role: Role) => "store.unmarked" (Operator, true),
            "the {role} store is not served before its mark is the lead store's: open all stores of the platform \
             together, or send the mark";
        /// This store was exchanged, or put back, while it was served.
        Replaced(role: Role) => "store.replaced",
            "the {role} store was exchanged or put back while it was served, and nothing is served any more: \
             find out by whom, then recover";
        /// The store's file is itself a mount point: no other can be put in its place.
        MountPoint => "store.mount_point",
            "the store's file is itself a mount point, and cannot be replaced when its rows are written anew: \
             mount the directory that the file lies in, not the file";
        /// Another process has the store open.
        InUse => "store.in_use" (Operator, true),
            "another process has the store open: one process at a time owns its file";
        /// A key or a value is longer than the named limit.
        TooLong => "store.too_long" (Host, false), "a key may have {MAX_KEY} bytes and a value {MAX_VALUE}";
        /// A row does not decode: the store was changed by something else.
        Corrupt(what: &'static str) => "store.corrupt",
            "a stored {what} does not decode: restore from a backup and look for foreign writers";
        /// Other writers changed the same rows again and again.
        Contended => "store.contended" (Host, true), "too many writers changed the same rows: try again";
        /// A decision is not one: what it names does not lie together. A bug of the caller.
        Decision(what: &'static str) => "store.decision" (Host, false), "a decision names {what}: this is a bug";
    }
}

impl StoreError {
    /// [`StoreError::Engine`].
    pub fn engine(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Engine(source.into().into())
    }

    /// [`StoreError::Closed`].
    pub fn closed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Closed(source.into().into())
    }

    /// Whether a service's tick ends here, since the store as a whole does not serve now. Any other
    /// error is of single rows: an operator's, and no reason to hold up the rest.
    pub fn ends_the_tick(&self) -> bool {
        self.is_retryable() || matches!(self, Self::Closed(_) | Self::Replaced(_))
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        (**self).read(keys)
    }
    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        (**self).scan(bucket, prefix, after, limit)
    }
    fn scan_all(&self, sought: Sought<'_>) -> Result<Vec<(Bucket, Row)>, StoreError> {
        (**self).scan_all(sought)
    }
    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        (**self).commit(commits)
    }
    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        (**self).snapshot(see)
    }
    fn rewrite(&self) -> Result<(), StoreError> {
        (**self).rewrite()
    }
}
