//! What a redb store accepts as its file, and what it refuses.

#![cfg(feature = "redb")]

use ::redb::backends::InMemoryBackend;
use ::redb::{Database, ReadableDatabase, TableDefinition};
use std::fs;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::{
    env,
    process::{Command, id},
};
use unjoin::store::{Bucket, Commit, Outcome, RedbStore, RowKey, SCHEMA_VERSION, Store, StoreError};
use unjoin_test_util::{Directory, redb};

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");

#[test]
fn a_store_is_open_once_before_and_after_a_rewrite() {
    let directory = Directory::new();
    let path = directory.file("store");
    let store = redb(&path).unwrap();
    for _ in 0..2 {
        let second = redb(&path).unwrap_err();
        assert!(matches!(second, StoreError::InUse), "{second:?}");
        assert!(second.is_retryable());
        store.rewrite().unwrap();
    }
    drop(store);
    redb(&path).unwrap();
}

#[test]
fn another_layout_is_refused_and_left_alone() {
    let directory = Directory::new();
    let path = directory.file("store");
    drop(redb(&path).unwrap());
    let newer = SCHEMA_VERSION + 1;
    let set = |schema| {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", schema).unwrap();
        transaction.commit().unwrap();
    };
    set(newer);
    for _ in 0..2 {
        let refused = redb(&path).unwrap_err();
        assert!(matches!(refused, StoreError::Schema { found, expected: SCHEMA_VERSION } if found == newer));
    }
    set(SCHEMA_VERSION);
    redb(&path).unwrap();
}

#[test]
fn a_redb_file_of_something_else_is_refused_and_left_alone() {
    const THEIRS: TableDefinition<'_, u64, u64> = TableDefinition::new("theirs");
    let directory = Directory::new();
    let path = directory.file("store");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(THEIRS).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    // A bystander under the name of our fresh file is not ours to remove either.
    fs::write(directory.file("store.rewrite"), b"theirs").unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::Corrupt(_))));
    assert!(matches!(RedbStore::create(&path), Err(StoreError::Corrupt(_))));
    assert!(directory.file("store.rewrite").exists());
    let database = Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    assert_eq!(reading.list_tables().unwrap().count(), 1);
    assert_eq!(reading.open_table(THEIRS).unwrap().get(1).unwrap().unwrap().value(), 2);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let directory = Directory::new();
    let path = directory.file("store");
    let bytes = b"a letter to a friend, which happens to be somewhere".repeat(1000);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::Engine(_))));
    assert!(matches!(RedbStore::create(&path), Err(StoreError::Engine(_))));
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn opening_makes_nothing_of_what_is_missing_or_empty() {
    let directory = Directory::new();
    let path = directory.file("store");
    let words = |opened: Result<RedbStore, StoreError>| opened.map(drop).unwrap_err().to_string();
    for path in [path.clone(), directory.file("missing").join("store")] {
        assert!(words(RedbStore::open(&path)).starts_with("the store's file is missing: mount its volume"));
        assert!(!path.exists());
    }
    fs::write(&path, b"").unwrap();
    assert!(words(RedbStore::open(&path)).starts_with("the store's content is missing"));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    drop(Database::create(&path).unwrap());
    assert!(words(RedbStore::open(&path)).starts_with("the store's set of tables is missing"));
    assert!(words(RedbStore::open_on(InMemoryBackend::new())).starts_with("the store's content is missing"));
    let nowhere = RedbStore::create(directory.file("missing").join("store"));
    assert!(matches!(nowhere, Err(StoreError::Engine(_))));
}

#[test]
fn creating_takes_what_is_empty_and_no_store_with_rows() {
    let directory = Directory::new();
    let path = directory.file("store");
    fs::write(&path, b"").unwrap();
    for _ in 0..2 {
        RedbStore::create(&path).unwrap();
    }
    drop(filled(&path));
    assert!(matches!(RedbStore::create(&path), Err(StoreError::Exists)));
    assert_whole(&RedbStore::open(&path).unwrap(), ROWS - 1);
}

/// Ten that create the same store: one does, and those that come while it works are told so.
#[test]
fn a_store_is_created_by_one_at_a_time() {
    let directory = Directory::new();
    let path = directory.file("store");
    std::thread::scope(|threads| {
        let creating: Vec<_> = (0..10).map(|_| threads.spawn(|| RedbStore::create(&path))).collect();
        let created: Vec<_> = creating.into_iter().map(|thread| thread.join().unwrap()).collect();
        let refused = created.iter().filter(|store| matches!(store, Err(StoreError::InUse))).count();
        assert_eq!((created.iter().flatten().count(), refused), (1, 9), "{created:?}");
    });
    RedbStore::open(&path).unwrap();
}

#[test]
fn a_foreign_backend_serves_everything_but_a_rewrite() {
    let store = RedbStore::create_on(InMemoryBackend::new()).unwrap();
    let bucket = Bucket::of(b"merchant");
    let commit = Commit::new(bucket).expect(b"key", None).put(b"key".to_vec(), b"value".to_vec());
    assert_eq!(store.commit(&[commit]).unwrap(), [Outcome::Committed]);
    let refused = store.rewrite().unwrap_err();
    assert!(refused.to_string().contains("foreign backend"), "{refused}");
    assert_eq!(store.scan(bucket, b"", None, 10).unwrap().len(), 1);
}

const ROWS: u32 = 2000;

fn key(i: u32) -> RowKey {
    RowKey { bucket: Bucket::of(&i.to_le_bytes()), key: i.to_be_bytes().to_vec() }
}

fn value(i: u32) -> Vec<u8> {
    i.to_be_bytes().repeat(150)
}

/// A store with rows on hundreds of pages.
fn filled(path: &Path) -> RedbStore {
    let store = redb(path).unwrap();
    let put = |i| Commit::new(key(i).bucket).put(key(i).key, value(i));
    store.commit(&(0..ROWS).map(put).collect::<Vec<_>>()).unwrap();
    drop(store);
    redb(path).unwrap()
}

/// Every row is there, up to the last.
fn assert_whole(store: &RedbStore, last: u32) {
    let rows = store.read(&(0..=last).map(key).collect::<Vec<_>>()).unwrap();
    assert!((0..).zip(rows).all(|(i, row)| row == Some(value(i))));
}

/// Names a child's store, which makes it a child.
#[cfg(target_os = "linux")]
const CHILD: &str = "UNJOIN_LIMITED_CHILD";

/// A file size limit of the process is a disk that fails: writes and changes of length beyond it
/// do, until it is lifted.
#[cfg(target_os = "linux")]
fn limit(fsize: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--fsize={fsize}:unlimited"));
    command
}

#[cfg(target_os = "linux")]
#[test]
fn after_an_io_error_the_store_opens_its_file_anew_and_no_other() {
    if let Ok(path) = env::var(CHILD) {
        return live_with_a_limit(Path::new(&path));
    }
    let directory = Directory::new();
    let name = "after_an_io_error_the_store_opens_its_file_anew_and_no_other";
    // The signal of a write beyond the limit is ignored, so that the write fails.
    let child = limit("4000000")
        .args(["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, directory.file("store"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{:?}", child.stderr);
}

#[cfg(target_os = "linux")]
fn live_with_a_limit(path: &Path) {
    let store = filled(path);
    let put = |i| Commit::new(key(i).bucket).expect(&key(i).key, None).put(key(i).key, value(i));
    let mut next = ROWS;
    let failed = loop {
        match store.commit(&[put(next)]) {
            Ok(outcomes) => assert_eq!(outcomes, [Outcome::Committed]),
            Err(error) => break error,
        }
        next += 1;
    };
    assert!(matches!(failed, StoreError::Engine(_)) && failed.is_retryable(), "{failed}");
    // A volume that is gone shows an empty directory, or an empty file: a store that began anew
    // there would take every spent token again.
    let away = path.with_extension("away");
    fs::rename(path, &away).unwrap();
    for _ in 0..2 {
        assert!(store.read(&[key(1)]).is_err() && store.commit(&[put(next)]).is_err());
        assert!(store.scan(key(1).bucket, b"", None, 1).is_err() && store.rewrite().is_err());
        assert!(!path.exists());
    }
    fs::write(path, b"").unwrap();
    for _ in 0..2 {
        assert!(store.read(&[key(1)]).is_err());
    }
    fs::rename(&away, path).unwrap();
    // There is room again. The decision that failed takes effect, or did.
    assert!(limit("unlimited").arg(format!("--pid={}", id())).status().unwrap().success());
    assert!(store.commit(&[put(next)]).is_ok());
    for _ in 0..2 {
        assert_whole(&store, next);
        store.rewrite().unwrap();
    }
    drop(store);
    assert_whole(&redb(path).unwrap(), next);
}

/// What the system shows of a file after a failed sync, and what is on the disk, may differ; only
/// a copy is known to be both.
#[cfg(unix)]
#[test]
fn a_file_that_was_not_closed_in_order_is_copied_when_it_is_opened() {
    use std::os::unix::fs::MetadataExt;
    let directory = Directory::new();
    let (path, crashed) = (directory.file("store"), directory.file("crashed"));
    let file = |path: &Path| fs::metadata(path).unwrap().ino();
    let store = filled(&path);
    let commit = Commit::new(key(ROWS).bucket).put(key(ROWS).key, value(ROWS));
    assert_eq!(store.commit(&[commit]).unwrap(), [Outcome::Committed]);
    fs::copy(&path, &crashed).unwrap();
    let before = file(&crashed);
    let copied = redb(&crashed).unwrap();
    assert_ne!(file(&crashed), before);
    assert_whole(&copied, ROWS);
    drop(copied);
    // Nor is it every time.
    let before = file(&crashed);
    assert_whole(&redb(&crashed).unwrap(), ROWS);
    assert_eq!(file(&crashed), before);
    assert_whole(&store, ROWS);
}

/// A file bound over the store's, as a container's volume for one file is. Needs the right to mount.
#[cfg(target_os = "linux")]
struct Bound<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl<'a> Bound<'a> {
    fn over(path: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").arg("--bind").args([path, path]).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Bound<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_a_mount_point_is_refused_at_once_and_says_what_to_mount() {
    let directory = Directory::new();
    let path = directory.file("a store");
    let commit = || Commit::new(Bucket::of(b"one")).expect(b"key", None).put(b"key".to_vec(), vec![7]);
    let store = RedbStore::create(&path).unwrap();
    let Some(bound) = Bound::over(&path) else {
        eprintln!("this process may not mount: a bound file was not tried");
        return;
    };
    // Mounted while it is open: commits go on, a rewrite says what is wrong and changes nothing.
    assert_eq!(store.commit(&[commit()]).unwrap(), [Outcome::Committed]);
    for _ in 0..2 {
        assert!(matches!(store.rewrite(), Err(StoreError::MountPoint)));
        assert!(matches!(store.commit(&[commit()]).unwrap()[..], [Outcome::Conflict(_)]));
    }
    drop(store);
    for opened in [RedbStore::open(&path), RedbStore::create(&path)] {
        let error = opened.unwrap_err();
        assert!(matches!(error, StoreError::MountPoint) && !error.is_retryable(), "{error}");
        assert!(error.to_string().contains("mount the directory"), "{error}");
    }
    drop(bound);
    let store = RedbStore::open(&path).unwrap();
    store.rewrite().unwrap();
    assert!(matches!(store.commit(&[commit()]).unwrap()[..], [Outcome::Conflict(_)]));
    // A volume that is mounted at the directory is as it should be.
    drop(store);
    if let Some(_bound) = Bound::over(path.parent().unwrap()) {
        RedbStore::open(&path).unwrap().rewrite().unwrap();
    }
}
