//! Every engine passes the contract, and behaves like a plain map under random use.

#![cfg(feature = "redb")]

use unjoin::store::{MemoryStore, RedbStore, contract};

mod common;
use common::Directory;

#[test]
fn memory_passes_the_contract() {
    contract::check(MemoryStore::new);
}

#[test]
fn redb_passes_the_contract() {
    let directory = Directory::new();
    let next = std::cell::Cell::new(0);
    contract::check(|| {
        next.set(next.get() + 1);
        RedbStore::create_or_open(directory.file(&format!("{}.redb", next.get()))).unwrap()
    });
}

#[test]
fn redb_keeps_everything_when_it_is_reopened() {
    let directory = Directory::new();
    contract::check_reopening(|| RedbStore::create_or_open(directory.file("store.redb")).unwrap());
}
