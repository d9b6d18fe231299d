//! Commits of many at once, and what the server is asked.

use crate::server::{Server, fresh_schema};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use unjoin::store::postgres::{Isolation, PostgresConfig, PostgresStore};
use unjoin::store::{Bucket, Commit, Outcome, Row, RowKey, Store};

fn bucket(number: u64) -> Bucket {
    Bucket::of(&number.to_be_bytes())
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn row(store: &PostgresStore, bucket: Bucket, key: Vec<u8>) -> Option<Vec<u8>> {
    store.read(&[RowKey { bucket, key }]).unwrap().pop().unwrap()
}

fn ways(server: &Server) -> [PostgresConfig; 3] {
    let mut ways = [(); 3].map(|()| server.config(&fresh_schema()));
    ways[1].isolation = Isolation::Serializable;
    ways[2].one_bucket_each = true;
    ways
}

/// As from so many processes: each has a pool of its own.
fn stores(config: &PostgresConfig, count: usize) -> Vec<PostgresStore> {
    (0..count).map(|_| unjoin_test_util::postgres::store_of(config.clone()).unwrap()).collect()
}

#[test]
fn calling_it_inside_an_asynchronous_service_never_panics() {
    let server = Server::shared();
    let use_it = || {
        let store = server.store();
        let put = Commit::new(bucket(1)).put(key(1), b"value".to_vec());
        assert_eq!(store.commit(&[put]).unwrap(), [Outcome::Committed]);
        assert_eq!(row(&store, bucket(1), key(1)), Some(b"value".to_vec()));
        store.rewrite().unwrap();
        drop(store);
    };
    use_it();
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(async { use_it() });
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    many.block_on(async {
        let store = std::sync::Arc::new(server.store());
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let store = std::sync::Arc::clone(&store);
                tokio::spawn(async move {
                    let put = Commit::new(bucket(number)).expect(&key(number), None).put(key(number), vec![]);
                    store.commit(&[put]).unwrap()
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), [Outcome::Committed]);
        }
        // The last handle goes within the runtime.
        drop(store);
    });
}

/// In each round every caller tries to be the first at the same keys, each call in an order of its own.
#[test]
fn of_many_that_find_a_key_absent_one_commits() {
    const CALLERS: usize = 6;
    const ROUNDS: u64 = 25;
    const KEYS: u64 = 7;
    let server = Server::start(&[]);
    for way in ways(&server) {
        let stores = stores(&way, CALLERS);
        let (barrier, won) = (Barrier::new(CALLERS), AtomicU64::new(0));
        thread::scope(|threads| {
            for (caller, store) in (0u64..).zip(&stores) {
                let (barrier, won) = (&barrier, &won);
                threads.spawn(move || {
                    for round in 0..ROUNDS {
                        let take = |number: u64| {
                            let number = round * KEYS + (number * (caller + 1) + caller) % KEYS;
                            let at = key(number);
                            Commit::new(bucket(number % 3)).expect(&at, None).put(at, key(caller))
                        };
                        let commits: Vec<Commit> = (0..KEYS).map(take).collect();
                        barrier.wait();
                        let outcomes = store.commit(&commits).unwrap();
                        for (commit, outcome) in commits.iter().zip(outcomes) {
                            let own = row(store, commit.bucket, commit.writes[0].key().to_vec()).unwrap();
                            assert_eq!(outcome == Outcome::Committed, own == key(caller));
                            won.fetch_add(u64::from(outcome == Outcome::Committed), Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), ROUNDS * KEYS, "{way:?}");
    }
    assert_eq!(
        server.sql("SELECT sum(deadlocks) FROM pg_stat_database"),
        "0",
        "locks are taken in one order"
    );
}

/// A decision may rest on the absence of a row that it does not write.
#[test]
fn two_decisions_that_rest_on_each_others_absence_never_both_commit() {
    const ROUNDS: u64 = 60;
    let server = Server::shared();
    for way in ways(&server) {
        let stores = stores(&way, 2);
        let barrier = Barrier::new(2);
        let committed = thread::scope(|threads| {
            let side = |mine: u64, store| {
                let barrier = &barrier;
                threads.spawn(move || {
                    let decide = |round: u64| {
                        let (own, other) = (key(2 * round + mine), key(2 * round + 1 - mine));
                        barrier.wait();
                        let commit = match round % 3 {
                            0 => Commit::new(bucket(0)).expect(&other, None).put(own, vec![]),
                            // An unconditional deletion is a claim on the key as well.
                            1 => Commit::new(bucket(0)).expect(&other, None).delete(other).put(own, vec![]),
                            _ => Commit::new(bucket(0)).put(own, vec![]).expect(&other, None),
                        };
                        PostgresStore::commit(store, &[commit]).unwrap().pop() == Some(Outcome::Committed)
                    };
                    (0..ROUNDS).map(decide).collect::<Vec<bool>>()
                })
            };
            let sides = [side(0, &stores[0]), side(1, &stores[1])];
            sides.map(|side| side.join().unwrap())
        });
        let [one, other] = committed;
        assert!(one.iter().zip(&other).all(|(one, other)| one ^ other), "exactly one of the two");
    }
}

/// Transfers between accounts, some of which come into being and end, while rows are written anew:
/// the sum stays, whoever looks.
#[test]
fn decisions_are_serializable_while_rows_are_rewritten() {
    const ACCOUNTS: u64 = 6;
    const SUM: u64 = 600;
    let server = Server::shared();
    for way in ways(&server) {
        let stores = stores(&way, 4);
        let balance = |found: &Option<Vec<u8>>| {
            found.as_ref().map_or(0, |value| u64::from_be_bytes(value.as_slice().try_into().unwrap()))
        };
        let all = Commit::new(bucket(0)).put(key(0), SUM.to_be_bytes().to_vec());
        stores[0].commit(&[all]).unwrap();
        thread::scope(|threads| {
            for (seed, store) in (1u64..).zip(&stores[..3]) {
                threads.spawn(move || {
                    let mut draw = seed;
                    let mut below = |bound: u64| {
                        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
                        (draw >> 33) % bound
                    };
                    for _ in 0..60 {
                        let (from, to) = (key(below(ACCOUNTS)), key(below(ACCOUNTS)));
                        let keys = [&from, &to].map(|key| RowKey { bucket: bucket(0), key: key.clone() });
                        let rows = store.read(&keys).unwrap();
                        let amount = below(balance(&rows[0]) + 1);
                        if from == to || amount == 0 {
                            continue;
                        }
                        let rest = balance(&rows[0]) - amount;
                        let mut commit = Commit::new(bucket(0))
                            .expect(&from, rows[0].as_deref())
                            .expect(&to, rows[1].as_deref())
                            .put(to, (balance(&rows[1]) + amount).to_be_bytes().to_vec());
                        // An account without money is no account.
                        commit = match rest {
                            0 => commit.delete(from),
                            rest => commit.put(from, rest.to_be_bytes().to_vec()),
                        };
                        store.commit(&[commit]).unwrap();
                    }
                });
            }
            threads.spawn(|| {
                for _ in 0..5 {
                    stores[3].rewrite().unwrap();
                    let rows = stores[3].scan(bucket(0), b"", None, 100).unwrap();
                    let sum: u64 = rows.into_iter().map(|Row { value, .. }| balance(&Some(value))).sum();
                    assert_eq!(sum, SUM, "one statement sees one state");
                }
            });
        });
    }
}

#[test]
fn an_answered_commit_survives_the_death_of_the_server() {
    let server = Server::start(&[]);
    let config = server.config("desk");
    let store = unjoin_test_util::postgres::store_of(config).unwrap();
    for round in 0..3u64 {
        let put = |number| {
            let at = key(100 * round + number);
            Commit::new(bucket(number)).expect(&at, None).put(at.clone(), at)
        };
        let commits: Vec<Commit> = (0..50).map(put).collect();
        assert_eq!(store.commit(&commits).unwrap(), vec![Outcome::Committed; 50]);
        server.kill();
        let failed = store.commit(&[put(1)]).unwrap_err();
        assert!(failed.is_retryable(), "{failed}");
        server.serve();
        // The same store finds the server again by itself.
        for commit in &commits {
            let at = commit.writes[0].key().to_vec();
            assert_eq!(row(&store, commit.bucket, at.clone()), Some(at));
        }
    }
}

/// What is in the server's log between two marks: the statements on rows, with their parameters.
fn statements(server: &Server) -> Vec<(String, BTreeMap<usize, String>)> {
    let log = fs::read_to_string(server.log()).unwrap();
    let mut found = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((_, statement)) = line.split_once("/* unjoin ") else { continue };
        let (name, text) = statement.split_once(" */ ").unwrap();
        // What begins and ends a transaction has no second word.
        if !name.contains(": ") {
            continue;
        }
        let mut parameters = BTreeMap::new();
        if let Some((_, told)) = lines.peek().and_then(|next| next.split_once("parameters: ")) {
            for parameter in told.split(", $") {
                let (number, value) = parameter.trim_start_matches('$').split_once(" = ").unwrap();
                parameters.insert(number.parse().unwrap(), value.trim_matches('\'').to_owned());
            }
        }
        found.push((format!("{name}: {text}"), parameters));
    }
    found
}

/// A call of many buckets is served by as many statements as one of one bucket.
#[test]
fn every_statement_names_its_decision_and_serves_all_buckets_in_order() {
    let server = Server::start(&["log_statement = 'all'", "log_parameter_max_length = -1"]);
    let store = unjoin_test_util::postgres::store_of(server.config("desk")).unwrap();
    let numbers = || 0..40u64;
    let insert =
        |number| Commit::new(bucket(number)).expect(&key(number), None).put(key(number), b"a".to_vec());
    let replace =
        |number| Commit::new(bucket(number)).expect(&key(number), Some(b"a")).put(key(number), b"b".to_vec());
    let delete = |number| Commit::new(bucket(number)).delete(key(number));
    let rest = |number| Commit::new(bucket(number)).expect(&key(number), None).put(key(100 + number), vec![]);
    for commits in [
        numbers().map(insert).collect::<Vec<_>>(),
        numbers().map(replace).collect(),
        numbers().map(delete).collect(),
        numbers().map(rest).collect(),
    ] {
        assert!(store.commit(&commits).unwrap().iter().all(|outcome| *outcome == Outcome::Committed));
        let keys: Vec<RowKey> = numbers().map(|n| RowKey { bucket: bucket(n), key: key(n) }).collect();
        store.read(&keys).unwrap();
        store.scan(bucket(7), b"", None, 10).unwrap();
    }
    let buckets: std::collections::BTreeSet<u16> = numbers().map(|number| bucket(number).number()).collect();
    let manual = include_str!("../../src/manual/postgres.md");
    let mut counts = BTreeMap::<String, usize>::new();
    for (text, parameters) in statements(&server) {
        let name = text.rsplit_once(": ").map_or(&*text, |(name, _)| name).to_owned();
        assert!(manual.contains(&format!("`{name}`")), "the manual does not tell of {name}");
        let numbers = parameters[&1].trim_matches(['{', '}']).split(',').map(str::parse);
        let numbers: Vec<i64> = numbers.collect::<Result<_, _>>().unwrap();
        assert!(numbers.is_sorted(), "{name}: {numbers:?}");
        if name != "commit: hold what is absent" {
            let named = numbers.iter().map(|number| u16::try_from(*number).unwrap());
            assert!(named.clone().all(|number| buckets.contains(&number)), "{name}");
            let is_of_one = text.contains("bucket = $1");
            let distinct = named.collect::<std::collections::BTreeSet<u16>>().len();
            assert_eq!(distinct, if is_of_one { 1 } else { buckets.len() }, "{name}");
        }
        *counts.entry(name).or_default() += 1;
    }
    let counted: Vec<(&str, usize)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(
        counted,
        [
            ("commit: count what has come", 1),
            ("commit: delete what is locked", buckets.len()),
            ("commit: hold what is absent", 2),
            ("commit: insert what was absent", 2),
            ("commit: lock in key order", 4),
            ("commit: replace what is locked", 1),
            ("read: rows by key", 4),
            ("scan: rows of a range", 4),
        ]
    );
}

/// Two callers name the same rows, present and absent ones, in opposite orders: whoever comes second waits, and no
/// server has to end a circle.
#[test]
fn calls_that_name_rows_in_opposite_orders_never_wait_in_a_circle() {
    const ROUNDS: u64 = 40;
    const KEYS: u64 = 24;
    let server = Server::start(&["deadlock_timeout = 10ms"]);
    for way in ways(&server) {
        let stores = stores(&way, 3);
        let barrier = Barrier::new(stores.len());
        thread::scope(|threads| {
            for (caller, store) in (0u64..).zip(&stores) {
                let barrier = &barrier;
                threads.spawn(move || {
                    for round in 0..ROUNDS {
                        let one = |number: u64| {
                            let at = key(number);
                            let commit = Commit::new(bucket(number % 5));
                            match (number + round + caller) % 3 {
                                0 => commit.delete(at),
                                1 => commit.put(at, round.to_be_bytes().to_vec()),
                                _ => commit.expect(&at, None).put(key(KEYS + number), vec![]),
                            }
                        };
                        let mut commits: Vec<Commit> = (0..KEYS).map(one).collect();
                        if caller == 1 {
                            commits.reverse();
                        }
                        barrier.wait();
                        store.commit(&commits).unwrap();
                    }
                });
            }
        });
    }
    assert_eq!(server.sql("SELECT sum(deadlocks) FROM pg_stat_database"), "0");
}

fn log(server: &Server) -> String {
    fs::read_to_string(server.log()).unwrap()
}

const OUT_OF_LOCKS: &str = "out of shared memory";

/// The server has places for some hundred locks, of all sessions together. One call names ten thousand absent rows.
#[test]
fn a_call_of_more_absent_rows_than_the_server_has_locks_for_is_decided_once() {
    const ROWS: u64 = 5000;
    let server = Server::start(&["max_connections = 30", "max_locks_per_transaction = 10"]);
    let stores = stores(&server.config("desk"), 2);
    let barrier = Barrier::new(2);
    let calls = thread::scope(|threads| {
        let call = |caller: u64| {
            let (store, barrier) = (&stores[caller as usize], &barrier);
            threads.spawn(move || {
                let take = |number: u64| {
                    let (own, other) = (key(2 * number + caller), key(2 * number + 1 - caller));
                    Commit::new(bucket(number)).expect(&other, None).put(own, vec![])
                };
                let commits: Vec<Commit> = (0..ROWS).map(take).collect();
                barrier.wait();
                store.commit(&commits).unwrap()
            })
        };
        [call(0), call(1)].map(|call| call.join().unwrap())
    });
    let committed = |outcome: &Outcome| *outcome == Outcome::Committed;
    assert!(calls[0].iter().zip(&calls[1]).all(|(one, other)| committed(one) ^ committed(other)));
    assert!(!log(&server).contains(OUT_OF_LOCKS), "it does not try for what others need");
}

/// Somebody else on the server has taken nearly all places for locks.
#[test]
fn a_call_that_finds_no_place_for_its_locks_holds_the_store_instead() {
    let server = Server::start(&["max_connections = 30"]);
    let stores = stores(&server.config("desk"), 2);
    // Connected, with all that they need for it.
    stores.iter().for_each(|store| assert_eq!(row(store, bucket(1), key(1)), None));
    let own = (0..100u64).map(|at| Commit::new(bucket(at)).expect(&key(at), None).put(key(at), vec![]));
    let own: Vec<Commit> = own.collect();
    let taken = server.hold(
        "DO $$ BEGIN FOR one IN 1..1000000 LOOP PERFORM pg_advisory_lock(one); END LOOP; \
         EXCEPTION WHEN out_of_memory THEN NULL; END $$; \
         SELECT FROM (SELECT pg_advisory_unlock(one) FROM generate_series(1, 40) AS one) AS freed",
    );
    let before = log(&server).matches(OUT_OF_LOCKS).count();
    let outcomes = thread::scope(|threads| {
        let calls = [0, 1].map(|caller: usize| {
            let (store, own) = (&stores[caller], &own);
            threads.spawn(move || store.commit(own).unwrap())
        });
        calls.map(|call| call.join().unwrap())
    });
    assert!(log(&server).matches(OUT_OF_LOCKS).count() > before, "the server had no place");
    drop(taken);
    for (one, other) in outcomes[0].iter().zip(&outcomes[1]) {
        assert!((*one == Outcome::Committed) ^ (*other == Outcome::Committed));
    }
}

/// Many processes begin at the same moment on an empty database.
#[test]
fn many_may_make_the_tables_at_once() {
    let server = Server::shared();
    let schema = fresh_schema();
    thread::scope(|threads| {
        let open = || threads.spawn(|| unjoin_test_util::postgres::store_of(server.config(&schema)).unwrap());
        for opened in [(); 8].map(|()| open()) {
            let store = opened.join().unwrap();
            assert_eq!(row(&store, bucket(1), key(1)), None);
        }
    });
    assert_eq!(server.sql(&format!("SELECT value FROM {schema}.meta")), "1");
}

/// Rows that an index gave and a statement looked at, since the server began. Counted when its session has ended.
fn looked_at(server: &Server, store: PostgresStore) -> u64 {
    drop(store);
    while server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'unjoin'").trim() != "0"
    {
        thread::yield_now();
    }
    let counted = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'rows'";
    server.sql(counted).trim().parse().unwrap()
}

#[test]
fn no_call_reads_more_of_its_bucket_than_it_names() {
    const ROWS: u64 = 3000;
    const NAMED: u64 = 40;
    let server = Server::start(&[]);
    let open = || unjoin_test_util::postgres::store_of(server.config("desk")).unwrap();
    let store = open();
    let fill: Vec<Commit> = (0..ROWS).map(|at| Commit::new(bucket(1)).put(key(at), vec![0; 200])).collect();
    store.commit(&fill).unwrap();
    let before = looked_at(&server, store);
    let store = open();
    let named = || (0..NAMED).map(|at| at * ROWS / NAMED);
    let replace = |at| Commit::new(bucket(1)).expect(&key(at), Some(&[0; 200])).put(key(at), vec![1; 200]);
    let commits: Vec<Commit> = named().map(replace).collect();
    assert!(store.commit(&commits).unwrap().iter().all(|outcome| *outcome == Outcome::Committed));
    let keys: Vec<RowKey> = named().map(|at| RowKey { bucket: bucket(1), key: key(at) }).collect();
    assert!(store.read(&keys).unwrap().iter().all(Option::is_some));
    assert_eq!(store.scan(bucket(1), b"", None, 10).unwrap().len(), 10);
    let during = looked_at(&server, store) - before;
    // Locked, replaced and read: each row some times over, and what the scan saw.
    assert!((NAMED..10 * NAMED).contains(&during), "{during} rows were looked at for {NAMED}");
}
