//! What the tests of several crates share: no part of any published crate.

#![allow(missing_docs, reason = "each test says what it uses it for")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helper fails the test"
)]

mod directory;
pub mod disk;
mod faulty;
#[cfg(feature = "postgres")]
pub mod postgres;
mod random;

pub use directory::Directory;
pub use faulty::{Call, Failure, Faulty, copy, dump, fill, holds_bytes};
pub use random::{Draws, Seeded};

use redb::StorageBackend;
use std::path::Path;
use unjoin_store::{RedbStore, StoreError};

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A store at `path`: made by the first call, opened by later ones.
pub fn redb(path: impl AsRef<Path>) -> Result<RedbStore, StoreError> {
    match RedbStore::create(&path) {
        Err(StoreError::Exists) => RedbStore::open(path),
        created => created,
    }
}

/// As [`redb`], on a backend.
pub fn redb_on(backend: impl StorageBackend + Clone) -> Result<RedbStore, StoreError> {
    match RedbStore::create_on(backend.clone()) {
        Err(StoreError::Exists) => RedbStore::open_on(backend),
        created => created,
    }
}
