//! The embedded engine: one file, owned by one process, through the `redb` crate.
//!
//! A commit is durable (fsync) before it is answered. redb orders pages by their allocation, so its
//! file tells much about the order in which rows arrived; [`RedbStore::rewrite`] ends that: see
//! [`copy_in_key_order`]. What lies in the file is in [`tables`].

mod copy;
mod filter;
mod kinds;
mod syncs;
mod tables;

use self::syncs::{Switched, Syncs};
use self::tables::{Copying, Tables, has_tables};
use super::identity::refuse_rows;
use super::{Bucket, Commit, Outcome, Row, RowKey, SCHEMA_VERSION, See, Sought, Store, StoreError, Write};
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageBackend};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use unjoin_core::file;
use unjoin_core::file::{owner_only, remove_if_there, sync_directory_of};

/// The most memory that redb's page cache takes, unless the host says otherwise.
const CACHE_BYTES: usize = 128 << 20;

/// A store in one file, owned by one process: the embedded default.
///
/// [`commit`](Store::commit) returns after the file has been synced; one call is one sync, however
/// many commits it carries.
///
/// After an I/O error the next call opens the file again. A file that was not closed in good order,
/// by a crash or such an error, is repaired and then copied like in a rewrite. What the system
/// shows of a file after a sync has failed need not be on the disk, and no later sync brings it
/// there. So opening it takes as long as a rewrite, and as much room.
///
/// [`rewrite`](Store::rewrite) copies every row in key order into a fresh file beside the store's
/// (its name with `.rewrite` appended), syncs it, renames it over the old one and syncs the
/// directory. Reads and commits wait meanwhile (one to three seconds for 10^5 rows of 600 bytes). The
/// disk must have room for both files, the memory for two page caches. A crash at any
/// step leaves a whole store under the store's name, and the next opening removes a left-over
/// fresh file. Blocks that the old file occupied are freed, not overwritten.
///
/// So the file's directory must be the one that a volume is mounted at, or lie below it. A file that is
/// itself a mount point (one file bound into a container) cannot be renamed over, and is refused with
/// [`StoreError::MountPoint`]. To write it again in its own place would leave no whole store after a crash.
///
/// The page cache takes 128 MiB of memory at most, or what [`open_with_cache`](Self::open_with_cache) is told.
/// A switchboard reads rows from all over its file: give it a cache as large as that file (about 1 KiB a live number).
///
/// ```no_run
/// use unjoin_store::{RedbStore, Store};
/// let store = RedbStore::open("/var/lib/reviews/desk.redb")?;
/// store.rewrite()?;
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub struct RedbStore {
    /// `None` after an I/O error, when the file could not be opened again yet.
    tables: RwLock<Option<Tables>>,
    /// Whether the next call must open the file again. Set under the shared lock at least, so that
    /// it always means the database that is in use; cleared under the exclusive lock.
    failed: AtomicBool,
    /// The same for every file of this store: how a large transaction spills from the cache, and so what a
    /// rewrite leaves, must not depend on anything but the rows and what the host set.
    cache_bytes: usize,
    /// Absolute and free of symbolic links; `None` for a foreign backend.
    path: Option<PathBuf>,
}

impl RedbStore {
    /// Makes a store at `path`, readable by its owner only (on Unix). The directory must exist. What a
    /// creation that was interrupted left is made whole, and a store without rows is taken as it is.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when it holds rows already; otherwise as for [`open`](Self::open).
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::create_with_cache(path, CACHE_BYTES)
    }

    /// As [`create`](Self::create), with a page cache of at most so many bytes of memory.
    ///
    /// ```
    /// # use unjoin_store::RedbStore;
    /// # let path = std::env::temp_dir().join(format!("unjoin cache {}", std::process::id()));
    /// let store = RedbStore::create_with_cache(&path, 16 << 20)?;
    /// # drop(store);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), unjoin_store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_with_cache(path: impl AsRef<Path>, cache_bytes: usize) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let file = owner_only().create(true).truncate(false).open(path).map_err(engine)?;
        let path = fs::canonicalize(path).map_err(engine)?;
        refuse_mount_point(&path)?;
        let is_begun = file.metadata().map_err(engine)?.len() > 0;
        let tables =
            if is_begun { open_file(&path, cache_bytes)? } else { begin_file(&path, file, cache_bytes)? };
        let store = Self::of(tables, Some(path), cache_bytes);
        refuse_rows(&store)?;
        Ok(store)
    }

    /// Opens the store at `path`, and makes nothing: a volume that is not mounted is no new store.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no file, an empty one, or one whose creation did not end;
    /// [`StoreError::MountPoint`] when the file is one: mount its directory instead;
    /// [`StoreError::InUse`] when another process, or this one, has it open;
    /// [`StoreError::Schema`] when another version of the layout wrote it;
    /// [`StoreError::Corrupt`] when it is a redb file of something else;
    /// [`StoreError::Engine`] when the file cannot be opened, read or repaired.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with_cache(path, CACHE_BYTES)
    }

    /// As [`open`](Self::open), with a page cache of at most so many bytes of memory. It is the host's to
    /// choose at each opening, and stands nowhere in the file.
    ///
    /// ```no_run
    /// use unjoin_store::RedbStore;
    /// // A million live numbers.
    /// let telephony = RedbStore::open_with_cache("/var/lib/telephony/numbers.redb", 1 << 30)?;
    /// # Ok::<(), unjoin_store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with_cache(path: impl AsRef<Path>, cache_bytes: usize) -> Result<Self, StoreError> {
        let path = fs::canonicalize(path).map_err(missing)?;
        refuse_mount_point(&path)?;
        Ok(Self::of(open_file(&path, cache_bytes)?, Some(path), cache_bytes))
    }

    /// Makes a store on a backend of the caller's: tests that inject faults, or a block device.
    /// Locking is the backend's part.
    ///
    /// [`rewrite`](Store::rewrite) always fails on it: there is no file to replace. Nor can the
    /// store open it again: after an I/O error everything fails with [`StoreError::Closed`]. Whoever
    /// opens it again makes sure that nothing of what the failed sync was to write, and did not,
    /// is still shown.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_on(backend: impl StorageBackend) -> Result<Self, StoreError> {
        let syncs = Syncs::default();
        let (database, _) = open_backend(backend, &syncs, CACHE_BYTES)?;
        // A backend without any table is one on which creation did not end.
        let is_begun = has_tables(&database)?;
        let make = if is_begun { Tables::open } else { Tables::create };
        let tables = make(database, syncs)?;
        let store = Self::of(tables, None, CACHE_BYTES);
        refuse_rows(&store)?;
        Ok(store)
    }

    /// Opens the store on a backend: see [`create_on`](Self::create_on).
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_on(backend: impl StorageBackend) -> Result<Self, StoreError> {
        if backend.len().map_err(engine)? == 0 {
            return Err(StoreError::Missing("content"));
        }
        let syncs = Syncs::default();
        let (database, _) = open_backend(backend, &syncs, CACHE_BYTES)?;
        Ok(Self::of(Tables::open(database, syncs)?, None, CACHE_BYTES))
    }

    fn of(tables: Tables, path: Option<PathBuf>, cache_bytes: usize) -> Self {
        Self { tables: RwLock::new(Some(tables)), failed: AtomicBool::new(false), cache_bytes, path }
    }

    /// Lets `work` use the file, which is opened again first if the call before had an I/O error.
    fn serve<T>(&self, work: impl FnOnce(&Tables) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.failed.load(Ordering::Acquire) {
            self.open_anew()?;
        }
        let tables = self.shared();
        // Another call may have found since that the file cannot be opened.
        let tables = tables.as_ref().ok_or_else(|| engine(redb::Error::PreviousIo))?;
        work(tables).map_err(|error| match error {
            StoreError::Engine(source) if is_of_the_disk(&*source) => {
                self.failed.store(true, Ordering::Release);
                if self.path.is_some() { StoreError::Engine(source) } else { StoreError::Closed(source) }
            }
            error => error,
        })
    }

    /// The store was there: an empty file, or none, is a lost volume and never a new store.
    fn open_anew(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else {
            return Err(StoreError::closed(redb::Error::PreviousIo));
        };
        let mut tables = self.exclusive();
        if self.failed.load(Ordering::Acquire) {
            // The file's lock is with the old one.
            *tables = None;
            *tables = Some(open_file(path, self.cache_bytes)?);
            self.failed.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// A poisoned lock is taken over: the tables are replaced in one assignment only, and redb
    /// guards its own state.
    fn shared(&self) -> RwLockReadGuard<'_, Option<Tables>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Option<Tables>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// Prints no path and no row.
unjoin_core::opaque!(RedbStore);

impl Store for RedbStore {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.serve(|tables| tables.read(keys))
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let after = after.map(|key| RowKey { bucket, key: key.to_vec() });
        let sought = Sought { prefix, before: None, after: after.as_ref(), limit };
        let found = self.serve(|tables| tables.scan(Some(bucket), sought))?;
        Ok(found.into_iter().map(|(_, row)| row).collect())
    }

    fn scan_all(&self, sought: Sought<'_>) -> Result<Vec<(Bucket, Row)>, StoreError> {
        self.serve(|tables| tables.scan(None, sought))
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        Commit::check_call(commits)?;
        self.serve(|tables| tables.commit(commits))
    }

    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        self.serve(|tables| tables.snapshot(see))
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else {
            return Err(engine(io::Error::other("a store on a foreign backend cannot be rewritten")));
        };
        if self.failed.load(Ordering::Acquire) {
            // The file is copied then, but its order may be an older copy's.
            self.open_anew()?;
        }
        let mut tables = self.exclusive();
        let old = tables.as_ref().ok_or_else(|| engine(redb::Error::PreviousIo))?;
        // From here the old file has no name: the new one is in use, whatever happens. It was
        // never closed, so its lock was held before the name was its.
        let fresh = replace_file(old, path, Copying::Rewrite, self.cache_bytes)?;
        let old = tables.replace(fresh);
        // While the name is not known to be on the disk, a power loss could bring the old file
        // back: nothing is served before the file has been opened anew.
        sync_directory_of(path).map_err(|error| {
            self.failed.store(true, Ordering::Release);
            engine(error)
        })?;
        if let Some(old) = old.filter(|_| cfg!(unix)) {
            old.syncs.wait();
        }
        Ok(())
    }
}

/// Opens the store at `path`.
fn open_file(path: &Path, cache_bytes: usize) -> Result<Tables, StoreError> {
    let file = owner_only().open(path).map_err(missing)?;
    let opened = file.metadata().map_err(engine)?;
    if opened.len() == 0 {
        return Err(StoreError::Missing("content"));
    }
    let (file, syncs) = (FileBackend::new(file).map_err(database_error)?, Syncs::default());
    let (database, repaired) = open_backend(file, &syncs, cache_bytes)?;
    // Between our opening the file and redb's locking it, its owner may have renamed a
    // fresh file over it and let the old one go: then the lock is on a file without a name.
    if !same_file(&opened, &fs::metadata(path).map_err(engine)?) {
        return Err(StoreError::InUse);
    }
    let mut tables = Tables::open(database, syncs)?;
    remove_if_there(&fresh_path(path)).map_err(engine)?;
    if repaired {
        tables = replace_file(&tables, path, Copying::AsTheyAre, cache_bytes)?;
    }
    sync_directory_of(path).map_err(engine)?;
    Ok(tables)
}

/// A store without rows in the place of `empty`, the empty file at `path`, whose lock keeps others
/// from doing the same. The name goes to a store that is whole and on the disk: an interrupted
/// creation leaves the empty file.
fn begin_file(path: &Path, empty: File, cache_bytes: usize) -> Result<Tables, StoreError> {
    match empty.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
        locked => locked.map_err(|error| engine(io::Error::from(error)))?,
    }
    // Between our opening it and locking it, another may have put a store in its place.
    if !same_file(&empty.metadata().map_err(engine)?, &fs::metadata(path).map_err(engine)?) {
        return Err(StoreError::InUse);
    }
    let fresh_path = fresh_path(path);
    let tables = fresh_tables(path, &fresh_path, cache_bytes)?;
    tables.syncs.resume();
    sync_whole(&fresh_path)?;
    fs::rename(&fresh_path, path).map_err(engine)?;
    sync_directory_of(path).map_err(engine)?;
    drop(empty);
    Ok(tables)
}

/// Puts a copy of `old` in the place of its file. The directory is still to be synced.
fn replace_file(
    old: &Tables,
    path: &Path,
    copying: Copying,
    cache_bytes: usize,
) -> Result<Tables, StoreError> {
    let fresh_path = fresh_path(path);
    let renamed = copy_in_key_order(old, path, &fresh_path, copying, cache_bytes)
        .and_then(|fresh| fs::rename(&fresh_path, path).map(|()| fresh).map_err(not_renamed));
    if renamed.is_err() {
        // The next rewrite or opening removes what this cannot.
        let _ = remove_if_there(&fresh_path);
    }
    renamed
}

/// A fresh, synced, open file at `fresh_path` with every row of `old`.
///
/// After a [`Copying::Rewrite`] its bytes are a function of the rows and the cache's size alone. It is a new file, one
/// transaction that inserts in key order, on one thread. Redb allocates pages without randomness or time
/// and numbers transactions from the file's creation. Otherwise they tell, besides, which rows are recent.
fn copy_in_key_order(
    old: &Tables,
    path: &Path,
    fresh_path: &Path,
    copying: Copying,
    cache_bytes: usize,
) -> Result<Tables, StoreError> {
    let mut fresh = fresh_tables(path, fresh_path, cache_bytes)?;
    old.copy_into(&mut fresh, copying)?;
    fresh.syncs.resume();
    sync_whole(fresh_path)?;
    Ok(fresh)
}

/// A store without rows in a file of its own at `fresh_path`, with the mode of the file at `path`. Its syncs
/// wait.
fn fresh_tables(path: &Path, fresh_path: &Path, cache_bytes: usize) -> Result<Tables, StoreError> {
    remove_if_there(fresh_path).map_err(engine)?;
    let file = owner_only().create_new(true).open(fresh_path).map_err(engine)?;
    let permissions = fs::metadata(path).map_err(engine)?.permissions();
    file.set_permissions(permissions).map_err(engine)?;
    let (file, syncs) = (FileBackend::new(file).map_err(database_error)?, Syncs::waiting());
    let (fresh, _) = open_backend(file, &syncs, cache_bytes)?;
    Tables::create(fresh, syncs)
}

/// Brings all of a file to the disk, with its length, mode and times.
fn sync_whole(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new().write(true).open(path).and_then(|file| file.sync_all()).map_err(engine)
}

/// The database, and whether it had not been closed in good order.
fn open_backend(
    backend: impl StorageBackend,
    syncs: &Syncs,
    cache_bytes: usize,
) -> Result<(Database, bool), StoreError> {
    let repaired = Arc::new(AtomicBool::new(false));
    let repairs = Arc::clone(&repaired);
    let database = Builder::new()
        .set_cache_size(cache_bytes)
        .set_repair_callback(move |_| repairs.store(true, Ordering::Relaxed))
        .create_with_backend(Switched { backend, syncs: syncs.clone() })
        .map_err(database_error)?;
    Ok((database, repaired.load(Ordering::Relaxed)))
}

fn engine(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(_) => StoreError::Corrupt("page"),
        other => StoreError::engine(other),
    }
}

fn missing(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Missing("file"),
        _ => engine(error),
    }
}

/// Whether redb serves nothing after this error until the file is opened again.
fn is_of_the_disk(source: &(dyn std::error::Error + 'static)) -> bool {
    use redb::Error::{DatabaseClosed, Io, LockPoisoned, PreviousIo};
    matches!(source.downcast_ref(), Some(Io(_) | PreviousIo | DatabaseClosed | LockPoisoned(_)))
}

fn database_error(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse,
        other => engine(other),
    }
}

/// Both lie in one directory. What separates them is a mount that came after the opening, or on a
/// system that does not list its mounts.
fn not_renamed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => StoreError::MountPoint,
        _ => engine(error),
    }
}

/// Told at opening already, before anything relies on a rewrite.
#[cfg(target_os = "linux")]
fn refuse_mount_point(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::ffi::OsStrExt;
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    match mount_points(&mounts).any(|at| at == path.as_os_str().as_bytes()) {
        true => Err(StoreError::MountPoint),
        false => Ok(()),
    }
}

/// Elsewhere the first renaming tells.
#[cfg(not(target_os = "linux"))]
fn refuse_mount_point(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// The fifth field of each line, in which blanks and the like stand as a backslash and three octal digits.
#[cfg(target_os = "linux")]
fn mount_points(listed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    listed.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut rest = line.split(|byte| *byte == b' ').nth(4)?;
        let mut path = Vec::with_capacity(rest.len());
        while let [first, after @ ..] = rest {
            let octal = after
                .get(..3)
                .filter(|_| *first == b'\\')
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
            path.push(byte.unwrap_or(*first));
            rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
        }
        Some(path)
    })
}

fn fresh_path(path: &Path) -> PathBuf {
    file::beside(path, ".rewrite")
}

#[cfg(unix)]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere files have no portable identity; two processes must not be started on one store.
#[cfg(not(unix))]
fn same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

    use super::*;
    use unjoin_test_util::Directory;

    #[test]
    fn a_rewrite_syncs_no_file_that_a_crash_cannot_bring_back_and_every_commit_does() {
        let directory = Directory::new();
        let store = RedbStore::create(directory.file("rows.redb")).unwrap();
        let syncs = || store.shared().as_ref().unwrap().syncs.clone();
        let done = |syncs: &Syncs| syncs.done.load(Ordering::Relaxed);
        let put = |n: u8| Commit::new(Bucket::of(b"merchant 17")).put(vec![n], vec![n; 9]);
        store.commit(&[put(0)]).unwrap();
        for round in 1..5 {
            let old = syncs();
            let before = done(&old);
            store.rewrite().unwrap();
            let fresh = syncs();
            // It was made, filled and closed: all of them syncs without the switch.
            assert_eq!((done(&old), done(&fresh)), (before, 0));
            // One that makes room in the file syncs that as well.
            for (n, most) in [(round, 2), (round + 100, 4)] {
                let before = done(&fresh);
                store.commit(&[put(n)]).unwrap();
                assert!((before + 1..=most).contains(&done(&fresh)));
            }
        }
        let rows = store.scan(Bucket::of(b"merchant 17"), b"", None, 99).unwrap();
        assert_eq!(rows.len(), 9);
    }

    #[test]
    fn mount_points_are_read_as_they_are_listed() {
        let listed = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
                       37 36 0:5 /x /srv/a\\040store\\134\\011.redb rw - ext4 y z\n38 1\n\n";
        let found: Vec<Vec<u8>> = mount_points(listed).collect();
        assert_eq!(found, [&b"/mnt2"[..], b"/srv/a store\\\t.redb"]);
    }

    #[test]
    fn a_renaming_over_a_mount_point_is_no_failure_of_the_disk() {
        for kind in [io::ErrorKind::ResourceBusy, io::ErrorKind::CrossesDevices] {
            assert!(matches!(not_renamed(kind.into()), StoreError::MountPoint));
        }
        assert!(matches!(not_renamed(io::ErrorKind::StorageFull.into()), StoreError::Engine(_)));
    }
}
