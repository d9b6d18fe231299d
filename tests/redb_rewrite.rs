//! After a rewrite the file is a function of the rows, and tells nothing of their arrival.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use unjoin::store::{Bucket, Commit, Outcome, RedbStore, Row, Store, StoreError};
use unjoin_test_util::{Directory, mix, rank_correlation, shuffled};

/// Row `i`'s key: its place in key order has nothing to do with `i`.
fn key(i: u64) -> Vec<u8> {
    [mix(i), i].map(u64::to_be_bytes).concat()
}

fn bucket(i: u64) -> Bucket {
    Bucket::of(&mix(i ^ 0xb0c4).to_be_bytes())
}

/// Sixteen bytes that no other row's value holds.
fn marker(i: u64) -> [u8; 16] {
    ((u128::from(mix(i ^ 0x1111_0000)) << 64) | u128::from(mix(i ^ 0x2222_0000))).to_be_bytes()
}

/// Row `i`'s value: its marker, about `length` bytes long.
fn value(i: u64, length: usize) -> Vec<u8> {
    marker(i).repeat(length / 16 + (mix(i ^ 0x3333) % 20) as usize)
}

fn put(i: u64, length: usize) -> Commit {
    Commit::new(bucket(i)).put(key(i), value(i, length))
}

fn commit(store: &RedbStore, commits: &[Commit]) {
    let outcomes = store.commit(commits).unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Committed));
}

/// Inserts rows in `order`, `at_once` in every call.
fn fill(store: &RedbStore, order: &[u64], length: usize, at_once: usize) {
    for some in order.chunks(at_once) {
        commit(store, &some.iter().map(|i| put(*i, length)).collect::<Vec<_>>());
    }
}

fn open(path: impl AsRef<Path>) -> RedbStore {
    unjoin_test_util::redb(path).unwrap()
}

fn all(store: &RedbStore) -> Vec<Vec<Row>> {
    Bucket::all().map(|bucket| store.scan(bucket, b"", None, usize::MAX).unwrap()).collect()
}

/// The rows whose markers are found in the file, by their first offset.
fn order_in_file(path: &Path, rows: u64) -> Vec<u64> {
    let markers: HashMap<[u8; 16], u64> = (0..rows).map(|i| (marker(i), i)).collect();
    let bytes = fs::read(path).unwrap();
    let mut found = Vec::new();
    for window in bytes.windows(16) {
        if let Some(i) = markers.get(window)
            && !found.contains(i)
        {
            found.push(*i);
        }
    }
    found
}

#[test]
fn two_histories_of_the_same_rows_leave_identical_files() {
    const ROWS: u64 = 1500;
    const LENGTH: usize = 500;
    let directory = Directory::new();
    let paths = ["plain", "eventful"].map(|name| directory.file(name));
    let plain = open(&paths[0]);
    fill(&plain, &shuffled(ROWS, 1), LENGTH, 7);

    // Another order, other calls, drafts, deletions, a reopening and rewrites on the way.
    let mut eventful = open(&paths[1]);
    for (step, some) in (0u64..).zip(shuffled(ROWS, 2).chunks(31)) {
        let drafts: Vec<_> = some.iter().map(|i| bucket(*i)).zip(some.iter().map(|i| key(*i))).collect();
        let draft = |at: &(Bucket, Vec<u8>)| Commit::new(at.0).put(at.1.clone(), b"draft".repeat(99));
        commit(&eventful, &drafts.iter().map(draft).collect::<Vec<_>>());
        commit(&eventful, &some.iter().map(|i| put(i + ROWS, LENGTH)).collect::<Vec<_>>());
        fill(&eventful, some, LENGTH, 13);
        let delete = |i: &u64| Commit::new(bucket(i + ROWS)).delete(key(i + ROWS));
        commit(&eventful, &some.iter().map(delete).collect::<Vec<_>>());
        match step {
            10 => {
                drop(eventful);
                eventful = open(&paths[1]);
            }
            20 | 21 => eventful.rewrite().unwrap(),
            _ => {}
        }
    }
    let rows = all(&plain);
    assert_eq!(rows, all(&eventful));
    assert_eq!(rows.iter().flatten().count() as u64, ROWS);

    let files = || paths.each_ref().map(|path| fs::read(path).unwrap());
    let [one, other] = files();
    assert!(one != other, "before it the files differ");
    for store in [&plain, &eventful] {
        store.rewrite().unwrap();
        assert!(all(store) == rows);
    }
    let [one, other] = files();
    assert!(one == other, "identical while open");
    drop((plain, eventful));
    let [one, other] = files();
    assert!(one == other, "identical when closed");
    drop(paths.each_ref().map(open));
    let [one, other] = files();
    assert!(one == other, "identical when opened and closed again");
    assert!(all(&open(&paths[0])) == rows);
}

#[test]
fn the_order_in_the_file_is_that_of_arrival_before_and_independent_of_it_after() {
    const ROWS: u64 = 500;
    const LENGTH: usize = 5000;
    let directory = Directory::new();
    let [one, other] = [3, 4].map(|seed| {
        let path = directory.file(&format!("{seed}"));
        let arrival = shuffled(ROWS, seed);
        let store = open(&path);
        fill(&store, &arrival, LENGTH, 5);
        let before = order_in_file(&path, ROWS);
        assert!(
            rank_correlation(&arrival, &before) > 0.9,
            "arrival shows: {}",
            rank_correlation(&arrival, &before)
        );

        store.rewrite().unwrap();
        let after = order_in_file(&path, ROWS);
        assert_eq!(after.len() as u64, ROWS);
        (arrival, before, after)
    });
    assert!(rank_correlation(&one.0, &other.0).abs() < 0.2, "the two arrivals have little in common");
    assert_ne!(one.1, other.1);
    // Equal whatever the arrival: what the order in the file correlates with is the keys.
    assert_eq!(one.2, other.2);
    let mut keys: Vec<u64> = (0..ROWS).collect();
    keys.sort_by_key(|i| (bucket(*i), key(*i)));
    assert!(rank_correlation(&keys, &one.2) > 0.95);
}

#[test]
fn a_deleted_or_replaced_row_leaves_no_byte_behind() {
    const ROWS: u64 = 300;
    let directory = Directory::new();
    let path = directory.file("store");
    let store = open(&path);
    fill(&store, &shuffled(ROWS, 5), 600, 10);
    for round in 0..3 {
        let gone: Vec<u64> = (0..ROWS).filter(|i| i % 3 == round).collect();
        let change = |i: &u64| match i % 2 {
            0 => Commit::new(bucket(*i)).delete(key(*i)),
            _ => Commit::new(bucket(*i)).put(key(*i), b"short".to_vec()),
        };
        commit(&store, &gone.iter().map(change).collect::<Vec<_>>());
        assert!(order_in_file(&path, ROWS).iter().any(|i| gone.contains(i)), "that alone erases nothing");
        store.rewrite().unwrap();
        let found = order_in_file(&path, ROWS);
        assert!(!found.iter().any(|i| i % 3 <= round));
        assert_eq!(found.len() as u64, ROWS / 3 * (2 - round));
    }
    // Only what was replaced is there, and every trace of the rest, marks of deletion included, is gone.
    assert_eq!(all(&store).iter().flatten().count() as u64, ROWS / 2);
    let fresh = open(directory.file("fresh"));
    let short = |i: u64| Commit::new(bucket(i)).put(key(i), b"short".to_vec());
    commit(&fresh, &(0..ROWS).filter(|i| i % 2 == 1).map(short).collect::<Vec<_>>());
    fresh.rewrite().unwrap();
    assert!(fs::read(&path).unwrap() == fs::read(directory.file("fresh")).unwrap());
}

fn hundred_rows(seed: u64) -> (Directory, PathBuf, RedbStore) {
    let directory = Directory::new();
    let path = directory.file("store");
    let store = open(&path);
    fill(&store, &shuffled(100, seed), 600, 10);
    (directory, path, store)
}

#[test]
fn commits_go_on_in_the_new_file() {
    let (directory, path, store) = hundred_rows(6);
    for i in 100..110 {
        store.rewrite().unwrap();
        commit(&store, &[put(i, 600)]);
    }
    let rows = all(&store);
    drop(store);
    assert!(!directory.file("store.rewrite").exists());
    assert!(all(&open(&path)) == rows);
    assert_eq!(rows.iter().flatten().count(), 110);
}

#[test]
fn a_failed_rewrite_leaves_the_old_file_in_use() {
    let (directory, path, store) = hundred_rows(7);
    // A directory in the fresh file's place can be neither removed as a file nor created.
    let obstacle = directory.file("store.rewrite");
    fs::create_dir(&obstacle).unwrap();
    assert!(matches!(store.rewrite(), Err(StoreError::Engine(_))));
    commit(&store, &[put(100, 600)]);
    let rows = all(&store);
    assert_eq!(rows.iter().flatten().count(), 101);
    fs::remove_dir(&obstacle).unwrap();
    store.rewrite().unwrap();
    assert!(all(&store) == rows);
    drop(store);
    assert!(all(&open(&path)) == rows);
}

#[test]
fn what_a_crash_left_beside_the_store_is_removed_when_it_is_opened() {
    let directory = Directory::new();
    let path = directory.file("store");
    let left_over = directory.file("store.rewrite");
    let store = open(&path);
    fill(&store, &shuffled(100, 8), 600, 10);
    let rows = all(&store);
    drop(store);
    // A crash while copying leaves part of a file, a crash before the renaming a whole one.
    for bytes in [&b""[..], b"half a page", &fs::read(&path).unwrap()] {
        fs::write(&left_over, bytes).unwrap();
        let store = open(&path);
        assert!(!left_over.exists());
        assert!(all(&store) == rows);
        fs::write(&left_over, bytes).unwrap();
        store.rewrite().unwrap();
        assert!(!left_over.exists());
    }
}

#[test]
fn reads_and_commits_wait_for_a_rewrite_and_miss_nothing() {
    let directory = Directory::new();
    let store = open(directory.file("store"));
    fill(&store, &shuffled(200, 9), 600, 50);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..10).for_each(|_| store.rewrite().unwrap()));
        for thread in 1..3 {
            let store = &store;
            scope.spawn(move || {
                for i in (0..30).map(|i| thread * 1000 + i) {
                    commit(store, &[put(i, 600)]);
                    let found = store.scan(bucket(i), &key(i), None, 1).unwrap();
                    assert_eq!(found, [Row { key: key(i), value: value(i, 600) }]);
                }
            });
        }
    });
    assert_eq!(all(&store).iter().flatten().count(), 260);
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_only_and_a_rewrite_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let path = directory.file("store");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let store = open(&path);
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    store.rewrite().unwrap();
    assert_eq!(mode(), 0o640);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_to_the_store_stays_one() {
    let directory = Directory::new();
    let (path, link) = (directory.file("store"), directory.file("link"));
    drop(open(&path));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = open(&link);
    fill(&store, &[1, 2, 3], 600, 1);
    store.rewrite().unwrap();
    let rows = all(&store);
    drop(store);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(all(&open(&path)) == rows);
}
