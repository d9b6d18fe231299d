//! MemoryStore and RedbStore against a plain map: preconditions, writes, conflicts, reads and
//! scans answer the same, and the rows are the same in the end.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use redb::backends::InMemoryBackend;
use std::collections::BTreeMap;
use unjoin::store::{
    Bucket, Commit, MAX_KEY, MAX_VALUE, MemoryStore, Outcome, Precondition, RedbStore, Row, RowKey, Store,
    StoreError, Version, Write,
};

/// A key that often meets another, or is another's prefix.
#[derive(Arbitrary, Debug)]
enum Key {
    Short(u8),
    Pair(u8, u8),
    Filled { byte: u8, length: u16 },
    Any(Vec<u8>),
}

impl Key {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Short(byte) => vec![byte % 8; usize::from(byte / 64)],
            Self::Pair(first, second) => vec![first % 4, second % 4],
            // Up to two bytes too long.
            Self::Filled { byte, length } => vec![byte % 4; usize::from(*length) % (MAX_KEY + 3)],
            Self::Any(bytes) => bytes.clone(),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Value {
    Short(u8),
    Any(Vec<u8>),
    Long(u16),
    /// Seldom as long as may be, or one byte longer.
    Limit(u8),
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Short(byte) => vec![byte % 4],
            Self::Any(bytes) => bytes.clone(),
            Self::Long(length) => vec![7; usize::from(*length % 8192)],
            Self::Limit(u8::MAX) => vec![8; MAX_VALUE + 1],
            Self::Limit(0xf0) => vec![8; MAX_VALUE],
            Self::Limit(length) => vec![8; usize::from(*length)],
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Guard {
    Absent(Key),
    /// As the row is now, or absent.
    AsRead(Key),
    At(Key, Value),
}

#[derive(Arbitrary, Debug)]
enum Change {
    Put(Key, Value),
    Delete(Key),
}

#[derive(Arbitrary, Debug)]
struct Decision {
    bucket: u8,
    guards: Vec<Guard>,
    changes: Vec<Change>,
    /// What it hangs on, as steps back from its own place.
    after: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Commit(Vec<Decision>),
    Read(Vec<(u8, Key)>),
    Scan { bucket: u8, prefix: Key, after: Option<Key>, limit: u8 },
    Rewrite,
}

type Rows = BTreeMap<(u16, Vec<u8>), Vec<u8>>;

fn bucket(number: u8) -> Bucket {
    Bucket::all().nth([0, 1, 255][usize::from(number % 3)]).unwrap()
}

fn commit(rows: &Rows, place: usize, decision: &Decision) -> Commit {
    let bucket = bucket(decision.bucket);
    let preconditions = decision.guards.iter().map(|guard| match guard {
        Guard::Absent(key) => Precondition::Absent(key.bytes()),
        Guard::At(key, value) => Precondition::At(key.bytes(), Version::of(&value.bytes())),
        Guard::AsRead(key) => match rows.get(&(bucket.number(), key.bytes())) {
            Some(value) => Precondition::At(key.bytes(), Version::of(value)),
            None => Precondition::Absent(key.bytes()),
        },
    });
    let writes = decision.changes.iter().map(|change| match change {
        Change::Put(key, value) => Write::Put(key.bytes(), value.bytes()),
        Change::Delete(key) => Write::Delete(key.bytes()),
    });
    // Those before the first of the call do not exist.
    let after = decision.after.iter().filter_map(|back| place.checked_sub(1 + usize::from(back % 8)));
    Commit {
        bucket,
        preconditions: preconditions.collect(),
        writes: writes.collect(),
        after: after.collect(),
    }
}

fn too_long(commit: &Commit) -> bool {
    let guards = commit.preconditions.iter().any(|guard| match guard {
        Precondition::Absent(key) | Precondition::At(key, _) => key.len() > MAX_KEY,
    });
    let writes = commit.writes.iter().any(|write| match write {
        Write::Put(key, value) => key.len() > MAX_KEY || value.len() > MAX_VALUE,
        Write::Delete(key) => key.len() > MAX_KEY,
    });
    guards || writes
}

/// What the commits come to; `None` when one is too long and all are refused.
fn apply(rows: &mut Rows, commits: &[Commit]) -> Option<Vec<Outcome>> {
    if commits.iter().any(too_long) {
        return None;
    }
    let mut outcomes = Vec::new();
    let mut outcome = |commit: &Commit, outcomes: &[Outcome]| {
        if commit.after.iter().any(|earlier| outcomes[*earlier] != Outcome::Committed) {
            return Outcome::NotReached;
        }
        let at = |key: &[u8]| (commit.bucket.number(), key.to_vec());
        for guard in &commit.preconditions {
            let (key, holds) = match guard {
                Precondition::Absent(key) => (key, !rows.contains_key(&at(key))),
                Precondition::At(key, version) => {
                    (key, rows.get(&at(key)).is_some_and(|value| Version::of(value) == *version))
                }
            };
            if !holds {
                return Outcome::Conflict(key.clone());
            }
        }
        for write in &commit.writes {
            match write {
                Write::Put(key, value) => rows.insert(at(key), value.clone()),
                Write::Delete(key) => rows.remove(&at(key)),
            };
        }
        Outcome::Committed
    };
    for commit in commits {
        let next = outcome(commit, &outcomes);
        outcomes.push(next);
    }
    Some(outcomes)
}

fn scan(rows: &Rows, bucket: Bucket, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Row> {
    let of = |(at, key): &(u16, Vec<u8>)| {
        *at == bucket.number() && key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after)
    };
    let found = rows.iter().filter(|(address, _)| of(address)).take(limit);
    found.map(|((_, key), value)| Row { key: key.clone(), value: value.clone() }).collect()
}

fn check(stores: &[&dyn Store], rows: &mut Rows, op: &Op) {
    match op {
        Op::Commit(decisions) => {
            let commits: Vec<Commit> =
                (0..8).zip(decisions).map(|(place, decision)| commit(rows, place, decision)).collect();
            let expected = apply(rows, &commits);
            for store in stores {
                match (store.commit(&commits), &expected) {
                    (Ok(outcomes), Some(expected)) => assert_eq!(&outcomes, expected),
                    (Err(StoreError::TooLong), None) => {}
                    (answer, expected) => panic!("{answer:?}, not {expected:?}"),
                }
            }
        }
        Op::Read(keys) => {
            let keys: Vec<RowKey> =
                keys.iter().map(|(at, key)| RowKey { bucket: bucket(*at), key: key.bytes() }).collect();
            let expected: Vec<_> =
                keys.iter().map(|at| rows.get(&(at.bucket.number(), at.key.clone())).cloned()).collect();
            for store in stores {
                assert_eq!(store.read(&keys).unwrap(), expected);
            }
        }
        Op::Scan { bucket: at, prefix, after, limit } => {
            let (at, prefix, after) = (bucket(*at), prefix.bytes(), after.as_ref().map(Key::bytes));
            let limit = if *limit == u8::MAX { usize::MAX } else { usize::from(*limit) };
            let expected = scan(rows, at, &prefix, after.as_deref(), limit);
            for store in stores {
                assert_eq!(store.scan(at, &prefix, after.as_deref(), limit).unwrap(), expected);
            }
        }
        // The last is redb's, which has no file to replace and must say so.
        Op::Rewrite => {
            stores[0].rewrite().unwrap();
            for store in &stores[1..] {
                assert!(store.rewrite().is_err());
            }
        }
    }
}

/// Most histories run on the memory store alone, which is a hundred times faster, one in 16 on
/// redb too.
fn run(on_redb: bool, ops: &[Op]) {
    let memory = MemoryStore::new();
    let redb = on_redb.then(|| RedbStore::create_on(InMemoryBackend::new()).unwrap());
    let mut stores: Vec<&dyn Store> = vec![&memory];
    stores.extend(redb.as_ref().map(|store| store as &dyn Store));
    let mut rows = Rows::new();
    for op in ops {
        check(&stores, &mut rows, op);
    }
    for at in 0..3 {
        let all = Op::Scan { bucket: at, prefix: Key::Any(vec![]), after: None, limit: u8::MAX };
        check(&stores, &mut rows, &all);
    }
}

/// Which histories they are is spread by a hash (FNV-1a): were it a part of the input, the
/// coverage of redb's own code would choose it nearly always.
fn spread(data: &[u8]) -> u32 {
    data.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fuzz_target!(|data: &[u8]| {
    if let Ok(ops) = Vec::<Op>::arbitrary_take_rest(Unstructured::new(data)) {
        run((spread(data) >> 8).is_multiple_of(16), &ops);
    }
});
