//! What the tests of several crates share: no part of any published crate.

#![allow(missing_docs, reason = "each test says what it uses it for")]

mod clock;
mod directory;
pub mod disk;
mod faulty;
pub mod kill;
#[cfg(feature = "postgres")]
pub mod postgres;
mod random;
mod spread;

pub use clock::{Believed, ClockEvent, Leap, shifted};
pub use directory::Directory;
pub use faulty::{Call, Failure, Faulty, copy, dump, fill, holds_bytes, written};
pub use random::{Draws, Seeded, mix, rank_correlation, shuffled};
pub use spread::Spread;

/// For a store that is another one as far as reading goes: its reads and scans are those of `$rows`.
#[macro_export]
macro_rules! reads_from {
    ($rows:tt) => {
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

        fn scan_all(
            &self,
            sought: $crate::Sought<'_>,
        ) -> Result<Vec<($crate::Bucket, $crate::Row)>, $crate::StoreError> {
            self.$rows.scan_all(sought)
        }

        fn snapshot(&self, see: &mut $crate::See<'_>) -> Result<(), $crate::StoreError> {
            self.$rows.snapshot(see)
        }
    };
}

#[doc(hidden)]
pub use unjoin_store::{Bucket, Row, RowKey, See, Sought, StoreError};

use redb::StorageBackend;
use std::path::Path;
use std::sync::Arc;
use unjoin_store::identity::{Role, Roster};
use unjoin_store::{MemoryStore, OwnStore, RedbStore, Store, Stores};

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

/// As [`redb()`], on a backend.
pub fn redb_on(backend: impl StorageBackend + Clone) -> Result<RedbStore, StoreError> {
    match RedbStore::create_on(backend.clone()) {
        Err(StoreError::Exists) => RedbStore::open_on(backend),
        created => created,
    }
}

/// This store as its service opens it: created by the first call, opened by later ones, alone.
pub fn try_own<S: Store>(store: &Arc<S>, role: Role) -> Result<Arc<OwnStore<S>>, StoreError> {
    let roster = Roster::alone(role, &mut Seeded(1));
    let (rng, stores) = (&mut Seeded(2), || [(role, Arc::clone(store))]);
    match Stores::open(&roster, stores(), rng) {
        Err(StoreError::Nobodys(_)) => Stores::create(&roster, stores(), rng)?.own(role),
        opened => opened?.own(role),
    }
}

pub fn own<S: Store>(store: &Arc<S>, role: Role) -> Arc<OwnStore<S>> {
    try_own(store, role).unwrap()
}

/// A fresh store in memory.
pub fn fresh(role: Role) -> Arc<OwnStore<MemoryStore>> {
    own(&Arc::new(MemoryStore::new()), role)
}

/// A platform's stores for orders and reviews: created by the first call, opened by later ones.
pub fn platform_stores<S: Store>(
    roster: &Roster,
    orders: &Arc<S>,
    reviews: &Arc<S>,
) -> Result<Stores<S>, StoreError> {
    let (rng, stores) =
        (&mut Seeded(2), || [(Role::Orders, Arc::clone(orders)), (Role::Reviews, Arc::clone(reviews))]);
    match Stores::open(roster, stores(), rng) {
        Err(StoreError::Nobodys(_)) => Stores::create(roster, stores(), rng),
        opened => opened,
    }
}

/// The stores of a platform in memory.
pub fn fresh_platform_stores(roster: &Roster) -> Stores<MemoryStore> {
    let store = || Arc::new(MemoryStore::new());
    platform_stores(roster, &store(), &store()).unwrap()
}
