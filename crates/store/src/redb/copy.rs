//! A backup's copy: another store's rows, as of one moment, in a file that no service opens.

use super::refuse_rows;
use super::{
    CACHE_BYTES, FileBackend, RedbStore, Syncs, Tables, database_error, engine, open_backend, owner_only,
    remove_if_there, sync_directory_of, sync_whole,
};
use crate::identity::{Identity, identity_key};
use crate::{Commit, Outcome, Record, Store, StoreError};
use std::fs;
use std::path::Path;
use unjoin_core::file;

impl RedbStore {
    /// Copies every row of `store`, of whatever engine, as of one moment into a new file at `path`, while
    /// it is served. The copy says of itself that it is one: only a recovery opens it.
    ///
    /// It is written in key order under `path` with `.new` appended, and gets its name when all of it is on
    /// the disk. So after a crash there is a whole copy or none; a left-over `.new` is overwritten.
    ///
    /// ```
    /// # use unjoin_store::{MemoryStore, RedbStore, Store, StoreError, Stores, identity::{self, Role, Roster}};
    /// # let rng = &mut unjoin_core::secret::SystemRng::new();
    /// # let roster = Roster::alone(Role::Orders, rng);
    /// # let store = std::sync::Arc::new(MemoryStore::new());
    /// # let stores = Stores::create(&roster, [(Role::Orders, store.clone())], rng)?;
    /// # let path = std::env::temp_dir().join(format!("unjoin copy {}", std::process::id()));
    /// RedbStore::copy(&*store, &path)?;
    /// let copy = RedbStore::open(&path)?;
    /// assert!(identity::of(&copy)?.is_some_and(|identity| identity.is_copy));
    /// # drop(copy);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), StoreError>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is something at `path`; [`StoreError::Missing`] when the store does
    /// not say whose it is; the engines'.
    pub fn copy<S: Store + ?Sized>(store: &S, path: impl AsRef<Path>) -> Result<(), StoreError> {
        let path = path.as_ref();
        if path.try_exists().map_err(engine)? {
            return Err(StoreError::Exists);
        }
        let fresh_path = file::beside(path, ".new");
        remove_if_there(&fresh_path).map_err(engine)?;
        let file = owner_only().create_new(true).open(&fresh_path).map_err(engine)?;
        let (file, syncs) = (FileBackend::new(file).map_err(database_error)?, Syncs::waiting());
        let (fresh, _) = open_backend(file, &syncs, CACHE_BYTES)?;
        let mut fresh = Tables::create(fresh, syncs)?;
        let copied = |identity: &[u8]| {
            let identity = Identity::from_value(identity)?;
            Ok(Identity { is_copy: true, ..identity }.to_value())
        };
        fresh.fill(|see| store.snapshot(see), identity_key().at(), copied)?;
        drop(fresh);
        sync_whole(&fresh_path)?;
        fs::rename(&fresh_path, path).map_err(engine)?;
        sync_directory_of(path).map_err(engine)
    }

    /// Writes every row of this copy into a store of whatever engine that has none: from a file back into
    /// PostgreSQL. It is a copy there, too, which only a recovery opens. What it says of itself comes last, so that
    /// a store of which this was interrupted is nobody's: empty it, and begin again.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the store has rows; [`StoreError::Missing`] when this does not say whose it
    /// is; the engines'.
    pub fn fill<S: Store + ?Sized>(&self, to: &S) -> Result<(), StoreError> {
        const TOGETHER: usize = 256;
        refuse_rows(to)?;
        let (own, mut identity, mut waiting) = (identity_key(), None, Vec::new());
        let write = |commits: &mut Vec<Commit>| match to
            .commit(commits)?
            .iter()
            .all(|one| *one == Outcome::Committed)
        {
            true => {
                commits.clear();
                Ok(())
            }
            false => Err(StoreError::Contended),
        };
        self.snapshot(&mut |bucket, key, value| {
            if bucket == own.bucket() && key == own.bytes() {
                identity = Some(Identity::from_value(value)?);
                return Ok(());
            }
            waiting.push(Commit::new(bucket).expect(key, None).put(key.to_vec(), value.to_vec()));
            if waiting.len() < TOGETHER { Ok(()) } else { write(&mut waiting) }
        })?;
        write(&mut waiting)?;
        let copied = Identity { is_copy: true, ..identity.ok_or(StoreError::Missing("identity"))? };
        let last = Commit::new(own.bucket()).expect(own.bytes(), None);
        write(&mut vec![last.put(own.bytes().to_vec(), copied.to_value())])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

    use super::*;
    use crate::identity::{self, Role, Roster};
    use crate::{Bucket, MemoryStore, Row, RowKey, See, Stores};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use unjoin_core::secret::SystemRng;
    use unjoin_test_util::Directory;

    const ROLES: [Role; 3] = [Role::Orders, Role::Reviews, Role::Ledgers];

    #[test]
    fn what_was_answered_before_the_copy_began_is_in_it_and_no_service_opens_it() {
        let (directory, rng) = (Directory::new(), &mut SystemRng::new());
        let roster = Roster::generate(rng);
        let path = |set: &str, role: Role| directory.file(&format!("{set} {role}.redb"));
        let store = |role| Arc::new(RedbStore::create(path("own", role)).unwrap());
        let stores = Stores::create(&roster, ROLES.map(|role| (role, store(role))), rng).unwrap();
        let reviews = stores.own(Role::Reviews).unwrap();
        let (bucket, answered, done) = (Bucket::of(b"b"), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1u64..100_000 {
                    let receipt = Commit::new(bucket).put(n.to_be_bytes().to_vec(), vec![7; 600]);
                    reviews.commit(&[receipt]).unwrap();
                    answered.store(n, Ordering::SeqCst);
                    if done.load(Ordering::SeqCst) == 1 {
                        break;
                    }
                }
            });
            for copy in 0..5 {
                let before = answered.load(Ordering::SeqCst);
                stores.copy_to(|role| path(&format!("copy {copy}"), role), &mut SystemRng::new()).unwrap();
                let copy = RedbStore::open(path(&format!("copy {copy}"), Role::Reviews)).unwrap();
                let receipts = copy.scan(bucket, b"\0", None, usize::MAX).unwrap();
                let numbers: Vec<u64> =
                    receipts.iter().map(|row| u64::from_be_bytes(row.key[..].try_into().unwrap())).collect();
                assert!(numbers.len() as u64 >= before);
                assert!(numbers.iter().zip(1..).all(|(number, n)| *number == n), "one after the other");
            }
            done.store(1, Ordering::SeqCst);
        });
        let open = |role| (role, Arc::new(RedbStore::open(path("copy 4", role)).unwrap()));
        let refused = Stores::open(&roster, ROLES.map(open), rng).map(drop);
        assert!(matches!(refused, Err(StoreError::Copy(Role::Orders))), "{refused:?}");
        assert!(matches!(stores.copy_to(|role| path("copy 4", role), rng), Err(StoreError::Exists)));
        // All of them put back: a recovery finds all lost, and opens them.
        let copies = Stores::open_for_recovery(&roster, ROLES.map(open), &[]).unwrap();
        assert_eq!(copies.lost().len(), 3);
        assert_eq!(copies.end().unwrap(), 2);
        drop(Stores::open(&roster, ROLES.map(open), rng).unwrap());
    }

    #[test]
    fn a_copy_goes_back_into_an_empty_store_of_another_engine_and_is_a_copy_there() {
        goes_back_into(Arc::new(MemoryStore::new()));
        #[cfg(feature = "postgres")]
        {
            use crate::postgres::{PostgresConfig, PostgresStore};
            let server = unjoin_test_util::postgres::Server::shared();
            let mut config = PostgresConfig::new(format!("{} dbname=postgres", server.address()));
            config.schema = unjoin_test_util::postgres::fresh_schema();
            goes_back_into(Arc::new(PostgresStore::create(config).unwrap()));
        }
    }

    fn goes_back_into<S: Store>(back: Arc<S>) {
        let (directory, rng) = (Directory::new(), &mut SystemRng::new());
        let (roster, path) = (Roster::generate(rng), directory.file("orders.redb"));
        let store = Arc::new(MemoryStore::new());
        let stores = Stores::create(&roster, [(Role::Orders, Arc::clone(&store))], rng).unwrap();
        let orders = stores.own(Role::Orders).unwrap();
        for n in 0..700u32 {
            let bucket = Bucket::of(&n.to_le_bytes());
            orders.commit(&[Commit::new(bucket).put(n.to_be_bytes().to_vec(), vec![7; 60])]).unwrap();
        }
        RedbStore::copy(&*orders, &path).unwrap();
        let copy = RedbStore::open(&path).unwrap();
        copy.fill(&*back).unwrap();
        let all = |store: &dyn Store| {
            let rows = |bucket| store.scan(bucket, b"", None, usize::MAX).unwrap();
            let rows = Bucket::all().flat_map(rows);
            rows.map(|row| (row.key, row.value)).collect::<Vec<_>>()
        };
        assert!(all(&*back) == all(&copy));
        let refused = Stores::open(&roster, [(Role::Orders, Arc::clone(&back))], rng).map(drop);
        assert!(matches!(refused, Err(StoreError::Copy(Role::Orders))));
        assert!(matches!(copy.fill(&*back), Err(StoreError::Exists)), "it has rows");
        let lost = Stores::open_for_recovery(&roster, [(Role::Orders, Arc::clone(&back))], &[]).unwrap();
        assert_eq!(lost.end().unwrap(), 2);
        drop(Stores::open(&roster, [(Role::Orders, back)], rng).unwrap());
    }

    /// Shows so many rows and fails.
    struct Fails(MemoryStore, usize);

    impl Store for Fails {
        fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
            self.0.read(keys)
        }
        fn scan(
            &self,
            b: Bucket,
            p: &[u8],
            after: Option<&[u8]>,
            most: usize,
        ) -> Result<Vec<Row>, StoreError> {
            self.0.scan(b, p, after, most)
        }
        fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
            let mut left = self.1;
            self.0.snapshot(&mut |bucket, key, value| {
                left = left.checked_sub(1).ok_or_else(|| StoreError::engine("the store failed"))?;
                see(bucket, key, value)
            })
        }
        fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
            self.0.commit(commits)
        }
        fn rewrite(&self) -> Result<(), StoreError> {
            self.0.rewrite()
        }
    }

    #[test]
    fn a_copy_that_fails_at_any_row_has_no_name_and_the_next_one_is_whole() {
        let (directory, rng) = (Directory::new(), &mut SystemRng::new());
        let path = directory.file("orders.redb");
        let store = Arc::new(MemoryStore::new());
        drop(
            Stores::create(&Roster::alone(Role::Orders, rng), [(Role::Orders, Arc::clone(&store))], rng)
                .unwrap(),
        );
        let bare = RedbStore::copy(&MemoryStore::new(), &path);
        assert!(matches!(bare, Err(StoreError::Missing("identity"))));
        for rows in 0.. {
            let fails = Fails(MemoryStore::new(), rows);
            store
                .snapshot(&mut |bucket, key, value| {
                    fails.commit(&[Commit::new(bucket).put(key.to_vec(), value.to_vec())]).map(drop)
                })
                .unwrap();
            assert!(!path.exists());
            if RedbStore::copy(&fails, &path).is_ok() {
                assert_eq!(rows, 2);
                break;
            }
        }
        let copy = RedbStore::open(&path).unwrap();
        assert!(identity::of(&copy).unwrap().unwrap().is_copy);
        assert!(!file::beside(&path, ".new").exists());
    }
}
