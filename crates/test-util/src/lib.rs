//! What the tests of several crates share: no part of any published crate.

#![allow(missing_docs, reason = "each test says what it uses it for")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helper fails the test"
)]

use unjoin_core::Timestamp;

mod directory;
pub mod disk;
mod faulty;
pub mod kill;
#[cfg(feature = "postgres")]
pub mod postgres;
mod random;

pub use directory::Directory;
pub use faulty::{Call, Failure, Faulty, copy, dump, fill, holds_bytes};
pub use random::{Draws, Seeded, mix, rank_correlation, shuffled};

/// What a clock shows at `time` that is wrong by so many seconds.
pub fn shifted(time: Timestamp, seconds: i64) -> Timestamp {
    match seconds < 0 {
        true => time.saturating_sub(seconds.unsigned_abs()),
        false => time.saturating_add(seconds.unsigned_abs()),
    }
}

/// For a store that is another one as far as reading goes: its reads and scans are those of `$rows`.
#[macro_export]
macro_rules! reads_from {
    ($rows:ident) => {
        fn read(&self, keys: &[$crate::RowKey]) -> Result<Vec<Option<Vec<u8>>>, $crate::StoreError> {
            self.$rows.read(keys)
        }

        fn scan(
            &self,
            bucket: $crate::Bucket,
            prefix: &[u8],
            after: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<$crate::Row>, $crate::StoreError> {
            self.$rows.scan(bucket, prefix, after, limit)
        }
    };
}

#[doc(hidden)]
pub use unjoin_store::{Bucket, Row, RowKey, StoreError};

use redb::StorageBackend;
use std::path::Path;
use unjoin_store::RedbStore;

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
