//! Every engine passes the contract and behaves like a plain map under random use; engines that
//! are broken in one way do not pass.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

#[cfg(feature = "postgres")]
use unjoin_test_util::postgres as server;

use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "postgres")]
use unjoin::store::postgres::PostgresConfig;
use unjoin::store::{
    Bucket, Commit, MAX_KEY, MemoryStore, Outcome, Precondition, Row, RowKey, See, Sought, Store, StoreError,
    Version, Write, contract,
};
use unjoin_test_util::{Directory, Spread};

#[test]
fn memory_passes_the_contract() {
    contract::check(MemoryStore::new);
}

#[test]
fn redb_passes_the_contract() {
    let directory = Directory::new();
    let next = Cell::new(0);
    contract::check(|| {
        next.set(next.get() + 1);
        unjoin_test_util::redb(directory.file(&format!("{}", next.get()))).unwrap()
    });
}

#[test]
fn redb_keeps_everything_when_it_is_reopened() {
    let directory = Directory::new();
    contract::check_reopening(|| unjoin_test_util::redb(directory.file("store")).unwrap());
}

/// READ COMMITTED, SERIALIZABLE, and a transaction for each bucket.
#[cfg(feature = "postgres")]
fn postgres_ways(server: &server::Server) -> [unjoin::store::postgres::PostgresConfig; 3] {
    let mut ways = [(); 3].map(|()| server.config(&server::fresh_schema()));
    ways[1].isolation = unjoin::store::postgres::Isolation::Serializable;
    ways[2].one_bucket_each = true;
    ways
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_passes_the_contract() {
    let server = server::Server::shared();
    for way in postgres_ways(&server) {
        contract::check(|| {
            let config = PostgresConfig { schema: server::fresh_schema(), ..way.clone() };
            unjoin_test_util::postgres::store_of(config).unwrap()
        });
    }
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_keeps_everything_when_it_is_reopened() {
    let server = server::Server::shared();
    for way in postgres_ways(&server) {
        contract::check_reopening(|| unjoin_test_util::postgres::store_of(way.clone()).unwrap());
    }
}

#[test]
fn buckets_spread_over_several_stores_pass_the_contract() {
    for shards in [1, 3, 256] {
        contract::check(|| Spread((0..shards).map(|_| MemoryStore::new()).collect()));
    }
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_passes_the_contract_with_its_buckets_spread_over_servers() {
    let server = server::Server::shared();
    let store = || {
        let config = PostgresConfig { connections: 3, ..server.config(&server::fresh_schema()) };
        unjoin_test_util::postgres::store_of(config).unwrap()
    };
    contract::check(|| Spread((0..3).map(|_| store()).collect()));
}

/// Two clusters of a primary and a standby: half of the buckets, and so of the merchants, know nothing of the other
/// half's failover.
#[cfg(feature = "postgres")]
#[test]
fn of_two_clusters_one_fails_over_while_the_other_serves() {
    use server::{PASSWORD, Server, USER};
    let clusters = [(); 2].map(|()| {
        let primary = Server::start(&["wal_level = replica", "max_wal_senders = 4"]);
        let standby = primary.standby(&["hot_standby = on"]);
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        primary.sql("SELECT pg_reload_conf()");
        while primary.sql("SELECT sync_state FROM pg_stat_replication") != "sync" {}
        (primary, standby)
    });
    let store = |(primary, standby): &(Server, Server)| {
        let host = std::net::Ipv4Addr::LOCALHOST;
        let config = PostgresConfig::new(format!(
            "host={host},{host} port={},{} user={USER} password='{PASSWORD}' dbname=postgres",
            primary.port, standby.port
        ));
        unjoin_test_util::postgres::store_of(config).unwrap()
    };
    let spread = Spread(clusters.iter().map(store).collect());
    let of = |cluster: usize| Bucket::all().find(|bucket| spread.of(*bucket) == cluster).unwrap();
    let put = |cluster: usize, number: u8| {
        let commit = Commit::new(of(cluster)).expect(&[number], None).put(vec![number], vec![]);
        spread.commit(&[commit])
    };
    for cluster in [0, 1] {
        assert_eq!(put(cluster, 0).unwrap(), [Outcome::Committed]);
    }
    let (primary, standby) = &clusters[0];
    primary.kill();
    for number in 1..20 {
        assert!(put(0, number).unwrap_err().is_retryable());
        assert_eq!(put(1, number).unwrap(), [Outcome::Committed]);
    }
    standby.promote();
    assert_eq!(put(0, 1).unwrap(), [Outcome::Committed]);
    // What had been answered is there.
    assert!(matches!(put(0, 0).unwrap()[..], [Outcome::Conflict(_)]));
    let count = |cluster| spread.scan(of(cluster), b"", None, 99).unwrap().len();
    assert_eq!([0, 1].map(count), [2, 20]);
}

// Random use against a plain map.

/// Few keys, so that decisions meet; with the edges of prefix scans among them.
const KEYS: [&[u8]; 8] = [b"", b"a", b"a\0", b"ab", b"b", b"b\xff", b"\xff", b"\xff\xff"];
const VALUES: [&[u8]; 4] = [b"", b"one", b"two", &[7; 600]];

/// A commit: bucket, preconditions (key, expectation), writes (key, value or deletion), and earlier ones of its call
/// that it hangs on.
type Spec = (usize, Vec<(usize, Expect)>, Vec<(usize, Option<usize>)>, Vec<usize>);

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Spec>),
    /// Bucket, prefix, after, limit.
    Scan(usize, usize, Option<usize>, usize),
    Reopen,
    Rewrite,
}

#[derive(Clone, Debug)]
enum Expect {
    Absent,
    /// Whatever the model holds when the call begins: mostly holds.
    Current,
    Value(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS.len();
    let value = 0..VALUES.len();
    let expect = prop_oneof![
        2 => Just(Expect::Absent),
        4 => Just(Expect::Current),
        1 => value.clone().prop_map(Expect::Value),
    ];
    let commit = (
        0usize..2,
        prop::collection::vec((key.clone(), expect), 0..4),
        prop::collection::vec((key.clone(), prop::option::weighted(0.7, value)), 0..5),
        prop::collection::vec(0usize..5, 0..3),
    );
    let step = prop_oneof![
        8 => prop::collection::vec(commit, 0..5).prop_map(Step::Commit),
        6 => (0usize..2, key.clone(), prop::option::of(key), 0usize..10)
            .prop_map(|(bucket, prefix, after, limit)| Step::Scan(bucket, prefix, after, limit)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rewrite),
    ];
    prop::collection::vec(step, 1..40)
}

fn buckets() -> [Bucket; 2] {
    [Bucket::of(b"one"), Bucket::of(b"another")]
}

#[derive(Default)]
struct Model(BTreeMap<(Bucket, Vec<u8>), Vec<u8>>);

impl Model {
    fn row(&self, bucket: Bucket, key: &[u8]) -> Option<&[u8]> {
        self.0.get(&(bucket, key.to_vec())).map(Vec::as_slice)
    }

    fn apply(&mut self, commit: &Commit) -> Outcome {
        for precondition in &commit.preconditions {
            let (key, expected) = match precondition {
                Precondition::Absent(key) => (key, None),
                Precondition::At(key, version) => (key, Some(*version)),
            };
            if self.row(commit.bucket, key).map(Version::of) != expected {
                return Outcome::Conflict(key.clone());
            }
        }
        for write in &commit.writes {
            match write {
                Write::Put(key, value) => self.0.insert((commit.bucket, key.clone()), value.clone()),
                Write::Delete(key) => self.0.remove(&(commit.bucket, key.clone())),
            };
        }
        Outcome::Committed
    }
}

fn agrees_with_a_map<S: Store>(mut store: S, reopen: impl Fn(S) -> S, steps: Vec<Step>) {
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Commit(specs) => {
                let commits = (0..).zip(specs).map(|(place, spec)| to_commit(&model, place, spec));
                let commits: Vec<_> = commits.collect();
                let mut expected: Vec<Outcome> = Vec::new();
                for commit in &commits {
                    let all = commit.after.iter().all(|earlier| expected[*earlier] == Outcome::Committed);
                    expected.push(if all { model.apply(commit) } else { Outcome::NotReached });
                }
                assert_eq!(store.commit(&commits).unwrap(), expected);
            }
            Step::Scan(bucket, prefix, after, limit) => {
                let (bucket, prefix) = (buckets()[bucket], KEYS[prefix]);
                let after = after.map(|after| KEYS[after]);
                let wanted = |at: &Bucket, key: &[u8]| {
                    *at == bucket && key.starts_with(prefix) && after.is_none_or(|after| key > after)
                };
                let rows = model.0.iter().filter(|((at, key), _)| wanted(at, key));
                let rows = rows.map(|((_, key), value)| Row { key: key.clone(), value: value.clone() });
                let expected: Vec<_> = rows.take(limit).collect();
                assert_eq!(store.scan(bucket, prefix, after, limit).unwrap(), expected);
            }
            Step::Reopen => store = reopen(store),
            Step::Rewrite => store.rewrite().unwrap(),
        }
        let keys: Vec<_> = buckets()
            .iter()
            .flat_map(|bucket| KEYS.map(|key| RowKey { bucket: *bucket, key: key.to_vec() }))
            .collect();
        let expected: Vec<_> =
            keys.iter().map(|at| model.row(at.bucket, &at.key).map(<[u8]>::to_vec)).collect();
        assert_eq!(store.read(&keys).unwrap(), expected);
    }
}

fn to_commit(model: &Model, place: usize, (bucket, expectations, writes, after): Spec) -> Commit {
    let mut commit = Commit::new(buckets()[bucket]);
    commit.after = after.into_iter().filter(|earlier| *earlier < place).collect();
    for (key, expect) in expectations {
        let key = KEYS[key];
        let read = match expect {
            Expect::Absent => None,
            Expect::Current => model.row(commit.bucket, key),
            Expect::Value(value) => Some(VALUES[value]),
        };
        commit = commit.expect(key, read);
    }
    for (key, value) in writes {
        let key = KEYS[key].to_vec();
        commit = match value {
            Some(value) => commit.put(key, VALUES[value].to_vec()),
            None => commit.delete(key),
        };
    }
    commit
}

proptest! {
    #[test]
    fn memory_agrees_with_a_map(steps in steps()) {
        agrees_with_a_map(MemoryStore::new(), |store| store, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn redb_agrees_with_a_map(steps in steps()) {
        let directory = Directory::new();
        let open = || unjoin_test_util::redb(directory.file("store")).unwrap();
        let reopen = |store| {
            drop(store);
            open()
        };
        agrees_with_a_map(open(), reopen, steps);
    }
}

#[cfg(feature = "postgres")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn postgres_agrees_with_a_map(steps in steps(), way in 0usize..3) {
        let server = server::Server::shared();
        let config = postgres_ways(&server)[way].clone();
        let open = || unjoin_test_util::postgres::store_of(config.clone()).unwrap();
        let reopen = |store| {
            drop(store);
            open()
        };
        agrees_with_a_map(open(), reopen, steps);
    }
}

// The contract can fail.

#[derive(Clone, Copy, Debug)]
enum Fault {
    IgnoresPreconditions,
    WritesInSpiteOfAConflict,
    NamesTheLastKey,
    StopsAtAConflict,
    JudgesByTheStateBeforeTheCall,
    TakesVersionsForPresence,
    ScansFromAfterInclusively,
    ScansBeyondThePrefix,
    ScansOneTooMany,
    ScansAllBeyondTheEnd,
    ScansAllFromEachBucketsBeginning,
    MixesBuckets,
    AppliesWhatPrecedesTheTooLong,
    TruncatesLongKeys,
    ReadsOneCommitLate,
    DropsARowWhenItRewrites,
    DropsEmptyValues,
    ReadsInKeyOrder,
    ShowsPagesOfSeveralMoments,
    IgnoresWhatACommitHangsOn,
    LooksOneCommitBackOnly,
}

const FAULTS: [Fault; 21] = [
    Fault::IgnoresPreconditions,
    Fault::WritesInSpiteOfAConflict,
    Fault::NamesTheLastKey,
    Fault::StopsAtAConflict,
    Fault::JudgesByTheStateBeforeTheCall,
    Fault::TakesVersionsForPresence,
    Fault::ScansFromAfterInclusively,
    Fault::ScansBeyondThePrefix,
    Fault::ScansOneTooMany,
    Fault::ScansAllBeyondTheEnd,
    Fault::ScansAllFromEachBucketsBeginning,
    Fault::MixesBuckets,
    Fault::AppliesWhatPrecedesTheTooLong,
    Fault::TruncatesLongKeys,
    Fault::ReadsOneCommitLate,
    Fault::DropsARowWhenItRewrites,
    Fault::DropsEmptyValues,
    Fault::ReadsInKeyOrder,
    Fault::ShowsPagesOfSeveralMoments,
    Fault::IgnoresWhatACommitHangsOn,
    Fault::LooksOneCommitBackOnly,
];

/// The memory store with one fault.
struct Faulty {
    fault: Fault,
    store: MemoryStore,
    late: Mutex<Vec<Commit>>,
    /// Calls of `commit` so far.
    calls: AtomicU64,
}

impl Faulty {
    /// Lets others commit three times, if there is anybody who does.
    fn wait_for_others(&self) {
        let until = self.calls.load(Ordering::SeqCst) + 3;
        for _ in 0..10_000 {
            if self.calls.load(Ordering::SeqCst) >= until {
                break;
            }
            std::thread::yield_now();
        }
    }

    /// One commit after those with these outcomes.
    fn one(&self, commit: &Commit, before: &[Outcome]) -> Result<Outcome, StoreError> {
        let is_reached = match self.fault {
            Fault::IgnoresWhatACommitHangsOn => true,
            // What hangs on one that was not reached is judged as if that had been applied.
            Fault::LooksOneCommitBackOnly => {
                commit.after.iter().all(|earlier| !matches!(before[*earlier], Outcome::Conflict(_)))
            }
            _ => commit.is_reached(before),
        };
        if !is_reached {
            return Ok(Outcome::NotReached);
        }
        let commit = &Commit { after: Vec::new(), ..commit.clone() };
        let commit = match self.fault {
            Fault::MixesBuckets => &Commit { bucket: Bucket::of(b"all"), ..commit.clone() },
            _ => commit,
        };
        let row = |key: &[u8]| {
            let at = RowKey { bucket: commit.bucket, key: key.to_vec() };
            self.store.read(&[at]).unwrap().remove(0)
        };
        let force = || {
            let forced = Commit { preconditions: Vec::new(), ..commit.clone() };
            self.store.commit(&[forced]).map(|_| ())
        };
        let outcome = self.store.commit(std::slice::from_ref(commit))?.remove(0);
        match (self.fault, &outcome) {
            (Fault::IgnoresPreconditions, Outcome::Conflict(_)) => {
                force()?;
                return Ok(Outcome::Committed);
            }
            (Fault::WritesInSpiteOfAConflict, Outcome::Conflict(_)) => force()?,
            (Fault::NamesTheLastKey, Outcome::Conflict(_)) => {
                let failing = commit.preconditions.iter().rev().find(|p| !p.holds(row(p.key()).as_deref()));
                return Ok(Outcome::Conflict(failing.unwrap().key().to_vec()));
            }
            (Fault::TakesVersionsForPresence, Outcome::Conflict(_)) => {
                let holds = |p: &Precondition| row(p.key()).is_some() == matches!(p, Precondition::At(..));
                if commit.preconditions.iter().all(holds) {
                    force()?;
                    return Ok(Outcome::Committed);
                }
            }
            (Fault::DropsEmptyValues, Outcome::Committed) => {
                let empty = commit.writes.iter().filter(|w| matches!(w, Write::Put(_, v) if v.is_empty()));
                let gone = empty.fold(Commit::new(commit.bucket), |gone, w| gone.delete(w.key().to_vec()));
                self.store.commit(&[gone])?;
            }
            _ => {}
        }
        Ok(outcome)
    }
}

impl Store for Faulty {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut keys = keys.to_vec();
        match self.fault {
            Fault::MixesBuckets => keys.iter_mut().for_each(|at| at.bucket = Bucket::of(b"all")),
            Fault::ReadsInKeyOrder => keys.sort(),
            _ => {}
        }
        self.store.read(&keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        match self.fault {
            Fault::ScansFromAfterInclusively => {
                let mut rows = self.store.scan(bucket, prefix, None, usize::MAX)?;
                rows.retain(|row| after.is_none_or(|after| row.key.as_slice() >= after));
                rows.truncate(limit);
                Ok(rows)
            }
            Fault::ScansBeyondThePrefix => {
                let mut rows = self.store.scan(bucket, b"", after, usize::MAX)?;
                rows.retain(|row| row.key.as_slice() >= prefix);
                rows.truncate(limit);
                Ok(rows)
            }
            Fault::ScansOneTooMany => self.store.scan(bucket, prefix, after, limit.saturating_add(1)),
            Fault::MixesBuckets => self.store.scan(Bucket::of(b"all"), prefix, after, limit),
            _ => self.store.scan(bucket, prefix, after, limit),
        }
    }

    fn scan_all(&self, sought: Sought<'_>) -> Result<Vec<(Bucket, Row)>, StoreError> {
        let beginning = sought.after.map(|after| RowKey { bucket: after.bucket, key: Vec::new() });
        match self.fault {
            Fault::ScansAllBeyondTheEnd => self.store.scan_all(Sought { before: None, ..sought }),
            Fault::ScansAllFromEachBucketsBeginning => {
                self.store.scan_all(Sought { after: beginning.as_ref(), ..sought })
            }
            _ => self.store.scan_all(sought),
        }
    }

    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        if !matches!(self.fault, Fault::ShowsPagesOfSeveralMoments) {
            return self.store.snapshot(see);
        }
        for bucket in Bucket::all() {
            let mut after: Option<Vec<u8>> = None;
            while let Some(row) = self.store.scan(bucket, b"", after.as_deref(), 1)?.pop() {
                see(bucket, &row.key, &row.value)?;
                if after.replace(row.key).is_none() {
                    self.wait_for_others();
                }
            }
        }
        Ok(())
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            // Commit by commit, below.
            Fault::AppliesWhatPrecedesTheTooLong => {}
            Fault::TruncatesLongKeys => {
                let mut commits = commits.to_vec();
                for write in commits.iter_mut().flat_map(|commit| &mut commit.writes) {
                    let (Write::Put(key, _) | Write::Delete(key)) = write;
                    key.truncate(MAX_KEY);
                }
                return self.store.commit(&commits);
            }
            _ => Commit::check_call(commits)?,
        }
        match self.fault {
            Fault::JudgesByTheStateBeforeTheCall => {
                let mut outcomes = Vec::new();
                for commit in commits {
                    outcomes.push(self.one(&Commit { writes: Vec::new(), ..commit.clone() }, &outcomes)?);
                }
                for (commit, _) in commits.iter().zip(&outcomes).filter(|(_, o)| **o == Outcome::Committed) {
                    let commit = Commit { preconditions: Vec::new(), after: Vec::new(), ..commit.clone() };
                    self.store.commit(&[commit])?;
                }
                Ok(outcomes)
            }
            Fault::StopsAtAConflict => {
                let mut outcomes = Vec::new();
                for commit in commits {
                    match outcomes.last() {
                        Some(conflict @ Outcome::Conflict(_)) => outcomes.push(conflict.clone()),
                        _ => outcomes.push(self.one(commit, &outcomes)?),
                    }
                }
                Ok(outcomes)
            }
            Fault::ReadsOneCommitLate => {
                let mut late = self.late.lock().unwrap();
                let before = std::mem::replace(&mut *late, commits.to_vec());
                self.store.commit(&before)?;
                Ok(vec![Outcome::Committed; commits.len()])
            }
            _ => {
                let mut outcomes = Vec::new();
                for commit in commits {
                    outcomes.push(self.one(commit, &outcomes)?);
                }
                Ok(outcomes)
            }
        }
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        if matches!(self.fault, Fault::DropsARowWhenItRewrites) {
            let found = Bucket::all().find_map(|bucket| {
                let row = self.store.scan(bucket, b"", None, 1).unwrap().pop()?;
                Some(Commit::new(bucket).delete(row.key))
            });
            self.store.commit(found.as_slice())?;
        }
        Ok(())
    }
}

#[test]
fn no_engine_with_a_fault_passes_the_contract() {
    for fault in FAULTS {
        let faulty =
            || Faulty { fault, store: MemoryStore::new(), late: Mutex::default(), calls: AtomicU64::new(0) };
        assert!(catch_unwind(|| contract::check(faulty)).is_err(), "{fault:?} passed");
    }
}

#[test]
fn an_engine_that_forgets_fails_the_contract_of_reopening() {
    assert!(catch_unwind(|| contract::check_reopening(MemoryStore::new)).is_err());
}
