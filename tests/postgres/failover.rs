//! The primary dies under load, a synchronous standby takes over, and nothing that was answered is lost.

use crate::ledger_world::{checked_entries, entry, log_key};
use crate::line::Line;
use crate::record::Record;
use crate::scenario::{Granted, Scenario, day};
use crate::server::{PASSWORD, Server, USER, fresh_schema};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use unjoin::ledger::{Ledger, Log, LogView};
use unjoin::store::identity::Role;
use unjoin::store::postgres::{PostgresConfig, PostgresStore};
use unjoin::store::{Bucket, Commit, Outcome, Store};
use unjoin::{ManualClock, Platform};
use unjoin_test_util::{Seeded, own};

const ORDERS: u64 = 96;
const CALLERS: usize = 8;
const SEED: u64 = 21;

fn store(servers: [&Server; 2], schema: &str) -> Arc<PostgresStore> {
    let (host, ports) = (Ipv4Addr::LOCALHOST, servers.map(|server| server.port.to_string()).join(","));
    let mut config = PostgresConfig::new(format!(
        "host={host},{host} port={ports} user={USER} password='{PASSWORD}' dbname=postgres \
         target_session_attrs=read-write connect_timeout=10"
    ));
    config.schema = schema.to_owned();
    config.pool_timeout = Duration::from_secs(10);
    Arc::new(unjoin_test_util::postgres::store_of(config).unwrap())
}

/// The same again until it is answered: whatever fails in between must say that this is right.
fn insist<T, E: std::fmt::Display>(
    retryable: impl Fn(&E) -> bool,
    mut ask: impl FnMut() -> Result<T, E>,
) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(retryable(&error), "{error}");
                assert!(Instant::now() < until, "no server came back: {error}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn every_answered_decision_survives_the_primary() {
    let primary = Server::start(&["wal_level = replica", "max_wal_senders = 4"]);
    let standby = primary.standby(&["hot_standby = on"]);
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    primary.sql("SELECT pg_reload_conf()");
    while primary.sql("SELECT sync_state FROM pg_stat_replication") != "sync" {}

    let servers = [&primary, &standby];
    let stores = ["orders", "reviews"].map(|name| store(servers, name));
    let (scenario, clock) = (Scenario::new(SEED), Arc::new(ManualClock::new(day(0))));
    let platform: Platform<Arc<PostgresStore>> = scenario.open(&stores, &clock);
    scenario.begin(&platform).unwrap();
    let mut record = Record::default();
    let mut granted = Vec::new();
    for number in 0..ORDERS {
        record.note(Line::Asking(number));
        let Granted { token, pair } = scenario.obtain(&platform, number).unwrap();
        record.note(Line::Granted(number, pair));
        granted.push(token);
    }
    // The cohorts close.
    clock.set(day(1));
    record.note(Line::Day(1));
    record.note(Line::Ticked(crate::life::tick(&platform).unwrap()));
    let log =
        Log::open(own(&store(servers, "ledgers"), Role::Ledgers), Ledger::Openings, log_key(), None).unwrap();
    log.append(&[entry(0)]).unwrap();
    let before = log.sign().unwrap();

    let (next, record, over) = (AtomicU64::new(0), Mutex::new(record), AtomicBool::new(false));
    let answered = Mutex::new(Vec::<Instant>::new());
    let killed = thread::scope(|threads| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                threads.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= ORDERS {
                            return;
                        }
                        record.lock().unwrap().note(Line::Sending(number, 0));
                        let token = &granted[number as usize];
                        let receipt = insist(unjoin::review::DeskError::is_retryable, || {
                            scenario.send(&platform, number, token, 0).wait()
                        });
                        answered.lock().unwrap().push(Instant::now());
                        record.lock().unwrap().note(Line::Accepted(number, 0, receipt));
                    }
                })
            })
            .collect();
        let sequencer = threads.spawn(|| {
            let mut number = 1;
            while !over.load(Ordering::SeqCst) {
                let entries: Vec<Vec<u8>> = (number..number + 4).map(entry).collect();
                insist(|error: &unjoin::ledger::LogError| error.is_retryable(), || log.append(&entries));
                number += 4;
            }
            number
        });
        while answered.lock().unwrap().len() < ORDERS as usize / 3 {
            thread::yield_now();
        }
        let killed = Instant::now();
        primary.kill();
        standby.promote();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        over.store(true, Ordering::SeqCst);
        let appended = sequencer.join().unwrap();
        // Everything that was answered stands once; the ledger is one chain.
        let entries = checked_entries(&log);
        assert_eq!(entries.len() as u64, appended);
        assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), entries.len());
        let after = log.sign().unwrap();
        log.consistency(before.size(), after.size()).unwrap().verify(before.root(), after.root()).unwrap();
        killed
    });
    let first_after = answered.lock().unwrap().iter().filter(|at| **at > killed).min().copied().unwrap();
    println!("the outage lasted {:.2} s", first_after.duration_since(killed).as_secs_f64());
    assert_eq!(answered.into_inner().unwrap().len() as u64, ORDERS);

    drop(platform);
    let mut record = record.into_inner().unwrap();
    for today in 2..6 {
        record.note(Line::Day(today));
        clock.set(day(today));
        record.note(Line::Ticked(crate::life::tick(&scenario.open(&stores, &clock)).unwrap()));
    }
    record.check_all(&scenario, &stores, &mut Seeded(1));
}

/// A primary that freezes is not waited for once another serves: an answer that is late makes the pool look.
#[test]
fn calls_leave_a_frozen_primary_for_the_one_that_was_promoted() {
    let primary = Server::start(&["wal_level = replica", "max_wal_senders = 4"]);
    let standby = primary.standby(&["hot_standby = on"]);
    let store = store([&primary, &standby], "orders");
    let put = |number: u8| {
        let commit = Commit::new(Bucket::of(b"one")).expect(&[number], None).put(vec![number], vec![]);
        store.commit(&[commit])
    };
    put(0).unwrap();
    let replayed = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()";
    while primary.sql(replayed) == "0" {}
    primary.freeze();
    thread::scope(|threads| {
        // Sent to the primary, and to others that have no connection yet.
        let late: Vec<_> = (1..5).map(|number| threads.spawn(move || put(number))).collect();
        standby.promote();
        for call in late {
            // No statement has come to its own time's end, which is 30 s.
            assert_eq!(call.join().unwrap().unwrap(), [Outcome::Committed]);
        }
    });
    assert_eq!(store.scan(Bucket::of(b"one"), b"", None, 9).unwrap().len(), 5);
}

/// A host that takes connections and says nothing holds nobody up.
#[test]
fn a_silent_host_is_passed_by() {
    let (server, silent) = (Server::shared(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let (host, ports) = (Ipv4Addr::LOCALHOST, [silent.local_addr().unwrap().port(), server.port]);
    let config = PostgresConfig::new(format!(
        "host={host},{host} port={},{} user={USER} password='{PASSWORD}' dbname=postgres",
        ports[0], ports[1]
    ));
    let store = PostgresStore::create(PostgresConfig { schema: fresh_schema(), ..config }).unwrap();
    assert_eq!(store.scan(Bucket::of(b"one"), b"", None, 9).unwrap(), []);
}
