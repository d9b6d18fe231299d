//! What a redb store accepts as its file, and what it refuses.

#![cfg(feature = "redb")]

mod common;

use common::Directory;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::fs;
use unjoin::store::{Bucket, Commit, Outcome, RedbStore, SCHEMA_VERSION, Store, StoreError};

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");

#[test]
fn a_store_is_open_once_before_and_after_a_rewrite() {
    let directory = Directory::new();
    let path = directory.file("store");
    let store = RedbStore::create_or_open(&path).unwrap();
    for _ in 0..2 {
        let second = RedbStore::create_or_open(&path).unwrap_err();
        assert!(matches!(second, StoreError::InUse), "{second:?}");
        assert!(second.is_retryable());
        store.rewrite().unwrap();
    }
    drop(store);
    RedbStore::create_or_open(&path).unwrap();
}

#[test]
fn another_layout_is_refused_and_left_alone() {
    let directory = Directory::new();
    let path = directory.file("store");
    drop(RedbStore::create_or_open(&path).unwrap());
    let newer = SCHEMA_VERSION + 1;
    let set = |schema| {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", schema).unwrap();
        transaction.commit().unwrap();
    };
    set(newer);
    for _ in 0..2 {
        let refused = RedbStore::create_or_open(&path).unwrap_err();
        assert!(matches!(refused, StoreError::Schema { found, expected: SCHEMA_VERSION } if found == newer));
    }
    set(SCHEMA_VERSION);
    RedbStore::create_or_open(&path).unwrap();
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
    assert!(matches!(RedbStore::create_or_open(&path), Err(StoreError::Corrupt(_))));
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
    assert!(matches!(RedbStore::create_or_open(&path), Err(StoreError::Engine(_))));
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn an_empty_file_becomes_a_store_and_a_missing_directory_is_an_error() {
    let directory = Directory::new();
    let path = directory.file("store");
    fs::write(&path, b"").unwrap();
    RedbStore::create_or_open(&path).unwrap();
    let missing = RedbStore::create_or_open(directory.file("missing").join("store"));
    assert!(matches!(missing, Err(StoreError::Engine(_))));
}

#[test]
fn a_foreign_backend_serves_everything_but_a_rewrite() {
    let store = RedbStore::with_backend(InMemoryBackend::new()).unwrap();
    let bucket = Bucket::of(b"merchant");
    let commit = Commit::new(bucket).expect(b"key", None).put(b"key".to_vec(), b"value".to_vec());
    assert_eq!(store.commit(&[commit]).unwrap(), [Outcome::Committed]);
    let refused = store.rewrite().unwrap_err();
    assert!(refused.to_string().contains("foreign backend"), "{refused}");
    assert_eq!(store.scan(bucket, b"", None, 10).unwrap().len(), 1);
}
