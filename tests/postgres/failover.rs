//! The primary dies under load, a synchronous standby takes over, and nothing that was answered is lost.

use crate::ledger_world::{checked_entries, entry, log_key};
use crate::line::Line;
use crate::record::Record;
use crate::scenario::{Granted, Scenario, day};
use crate::server::{PASSWORD, Server, USER};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use unjoin::ledger::{Ledger, Log, LogView};
use unjoin::store::postgres::{PostgresConfig, PostgresStore};
use unjoin::{ManualClock, Platform};
use unjoin_test_util::Seeded;

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
    scenario.enrol(&platform).unwrap();
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
    let log = Log::open(store(servers, "ledgers"), Ledger::Openings, log_key(), None).unwrap();
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
