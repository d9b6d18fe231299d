//! Service processes on a highly available PostgreSQL that loses its primary, a node, an etcd and its network.
//!
//! Needs root (for network namespaces), Patroni, etcd, HAProxy and PgBouncer: `.ci/run --only Patroni` installs them and
//! runs it. One process goes through PgBouncer and HAProxy, one names the three nodes itself, one has a server alone.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod cluster;
#[path = "../crash/shared/mod.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod crash;
mod figures;
#[path = "../ledger/world.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod ledger_world;
mod service;
mod two;

use crate::cluster::{Cluster, NODES, OWN, address};
use crate::crash::{life, line, record, scenario};
use crate::ledger_world::{checked_entries, entry};
use crate::line::Line;
use crate::record::Record;
use crate::scenario::{Scenario, day};
use crate::service::{CHILD, PACE, Process, SEED, TEST, be_a_child, ledger, stores};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use unjoin::ManualClock;
use unjoin::store::identity::Role;
use unjoin_test_util::postgres::Server;
use unjoin_test_util::{Seeded, own};

/// The number of the process outside, by which runs beside one another are told apart.
const INSIDE: &str = "UNJOIN_PATRONI_INSIDE";
/// How often the figures ask for a primary.
const SHARP: Duration = Duration::from_millis(10);

/// To this cluster's primary, wherever it is.
fn directly(number: usize) -> String {
    let hosts: Vec<String> = (0..NODES).map(address).collect();
    let port = 5432 + number;
    format!("host={} port={port} user=postgres dbname=postgres connect_timeout=2", hosts.join(","))
}

fn through_poolers() -> String {
    format!("host={OWN} port=6432 user=postgres dbname=postgres connect_timeout=2")
}

/// By which way each service process reaches its server. The last has a server of its own, which is killed with the
/// primary's postmaster and started again.
const WAYS: [&str; 3] = ["PgBouncer, HAProxy", "three hosts", "PostgreSQL alone"];

/// What a service process said, and when.
type Said = (usize, Instant, String);

/// A fault, and what was seen of it.
struct Fault {
    name: &'static str,
    /// When it began, when another primary answered, and when the cluster was whole again.
    began: Instant,
    elected: Option<Instant>,
    whole: Instant,
}

#[test]
#[ignore = "needs root and Patroni: .ci/run --only Patroni"]
fn acknowledged_is_never_lost_and_nothing_is_decided_twice() {
    if let Ok(told) = env::var(CHILD) {
        be_a_child(&told);
    }
    if let Some(what) = cluster::missing() {
        panic!("{what}");
    }
    let Ok(outside) = env::var(INSIDE) else {
        // Namespaces that end, with all that runs in them, when this test does.
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            // The first process there takes leave of the dead, which Patroni would take for living servers.
            .args(["sh", "-c", "\"$0\" \"$@\"; exit $?"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", TEST, "--ignored", "--nocapture", "--test-threads=1"])
            .env(INSIDE, std::process::id().to_string())
            .status();
        assert!(status.unwrap().success(), "within namespaces of its own (this needs root)");
        return;
    };
    let mut cluster = Cluster::start(&outside);
    println!("the cluster is up in {}", cluster.directory().display());
    let single = Arc::new(Server::start(&[]));
    let ways = [through_poolers(), directly(0), format!("{} dbname=postgres", single.address())];
    figures::throughput(&[
        ("PostgreSQL alone", &ways[2]),
        ("Patroni, three hosts", &ways[1]),
        ("Patroni, HAProxy", &ways[0].replace("6432", "5000")),
        ("Patroni, PgBouncer and HAProxy", &ways[0]),
    ]);
    // Made before anybody opens them.
    for way in &ways[1..] {
        let (stores, phones) = (stores(way, true), service::phones(way, true));
        drop(Scenario::new(SEED).open(&stores, &Arc::new(ManualClock::new(day(0)))));
        drop((stores, own(&phones, Role::Telephony), phones, ledger(way, true)));
    }

    let (tell, said) = mpsc::channel::<Said>();
    let mut processes = ways.each_ref().map(|address| Process::start(address));
    let readers: Vec<_> = processes
        .iter_mut()
        .enumerate()
        .map(|(of, process)| {
            let (lines, tell) = (process.lines(), tell.clone());
            thread::spawn(move || lines.for_each(|line| drop(tell.send((of, Instant::now(), line)))))
        })
        .collect();
    drop(tell);
    let all = Arc::new(Mutex::new(Vec::<Said>::new()));
    let kept = Arc::clone(&all);
    let (busy, is_busy) = mpsc::channel();
    let keeper = thread::spawn(move || {
        let mut waiting = WAYS.len();
        for said in said {
            if said.2 == "busy" {
                waiting -= 1;
                if waiting == 0 {
                    busy.send(()).unwrap();
                }
            }
            kept.lock().unwrap().push(said);
        }
    });
    is_busy.recv().unwrap();
    faults(&mut cluster, &single, &all);
    processes.iter_mut().for_each(Process::stop);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    keeper.join().unwrap();
    let all = std::mem::take(&mut *all.lock().unwrap());
    assert_eq!(all.iter().filter(|said| said.2 == "done").count(), WAYS.len(), "a process ended by itself");
    check(&all, |of| of < 2, &ways[1]);
    check(&all, |of| of == 2, &ways[2]);
    drop(processes);
    two::one_fails_over_while_the_other_serves(&mut cluster);
}

fn faults(cluster: &mut Cluster, single: &Arc<Server>, all: &Mutex<Vec<Said>>) {
    println!(
        "| fault | new primary | way | longest gap | after the new primary | p50, p99 of a request every 25 ms | errors |"
    );
    println!("|---|---|---|---|---|---|---|");
    // The first so many, to try the rest of the test.
    let most = env::var("UNJOIN_FAULTS").ok().and_then(|most| most.parse().ok());
    let left = std::cell::Cell::new(most.unwrap_or(usize::MAX));
    let fault = |cluster: &mut Cluster,
                 name,
                 moves: bool,
                 act: &dyn Fn(&mut Cluster, usize),
                 mend: &dyn Fn(&mut Cluster, usize)| {
        if left.replace(left.get().saturating_sub(1)) == 0 {
            return;
        }
        cluster.settle();
        cluster.wait_for(2);
        let before = cluster.leader().unwrap();
        let began = Instant::now();
        act(cluster, before);
        if moves {
            cluster.wait(name, |cluster| {
                thread::sleep(SHARP);
                cluster.leader().is_some_and(|now| now != before)
            });
        }
        let elected = moves.then(Instant::now);
        mend(cluster, before);
        cluster.wait_for(2);
        table(&Fault { name, began, elected, whole: Instant::now() }, &all.lock().unwrap());
    };
    let nothing = |_: &mut Cluster, _| {};
    fault(cluster, "no fault", false, &|_, _| thread::sleep(Duration::from_secs(5)), &nothing);
    let kill = |cluster: &mut Cluster, at| {
        cluster.kill_postmaster(at);
        // Beside it, the one server without a standby: it comes back as soon as it can.
        let single = Arc::clone(single);
        thread::spawn(move || {
            single.kill();
            single.serve();
        });
    };
    fault(cluster, "SIGKILL of the primary's postmaster", true, &kill, &nothing);
    fault(cluster, "loss of the primary's node", true, &|c, at| c.lose(at), &|c, at| c.start_patroni(at));
    fault(cluster, "switchover", true, &|c, at| c.switch_over(at), &nothing);
    fault(
        cluster,
        "loss of one etcd",
        false,
        &|c, at| {
            c.stop_etcd(at);
            // As long as the leader's key lives.
            thread::sleep(Duration::from_secs(20));
        },
        &|c, at| c.start_etcd(at),
    );
    fault(
        cluster,
        "primary parted from the rest, not from clients",
        true,
        &|c, at| c.part(at, true),
        &|c, at| c.part(at, false),
    );
    // Two of three are enough afterwards.
    fault(cluster, "primary cut from everybody", true, &|c, at| c.cut(at, true), &|c, at| c.cut(at, false));
}

/// What clients saw of each fault.
fn table(fault: &Fault, all: &[Said]) {
    let Fault { name, began, elected, whole } = fault;
    for (of, way) in WAYS.iter().enumerate() {
        let own = || all.iter().filter(|said| said.0 == of && (*began..*whole).contains(&said.1));
        let mut took: Vec<u64> =
            own().filter_map(|said| said.2.strip_prefix("took ")?.parse().ok()).collect();
        // Four answers a round. A caller that waits sends nothing: what it would have sent meanwhile waits as well.
        let pace = u64::try_from(PACE.as_micros()).unwrap() / 4;
        took = took
            .into_iter()
            .flat_map(|time| std::iter::successors(Some(time), move |left| left.checked_sub(pace)))
            .collect();
        took.sort_unstable();
        let mut answers: Vec<Instant> =
            own().filter(|said| said.2.starts_with("took ")).map(|said| said.1).collect();
        answers.insert(0, *began);
        let gap = answers.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let after = elected
            .and_then(|elected| Some(answers.iter().find(|at| **at > elected)?.duration_since(elected)));
        let mut errors = BTreeMap::<&str, usize>::new();
        for code in own().filter_map(|said| said.2.strip_prefix("failed ")) {
            *errors.entry(code).or_default() += 1;
        }
        let seconds =
            |time: Option<Duration>| time.map_or("-".into(), |time| format!("{:.1} s", time.as_secs_f64()));
        let share = |of: usize| {
            took.get((took.len() * of / 100).min(took.len().saturating_sub(1))).map_or(0, |at| at / 1000)
        };
        println!(
            "| {name} | {} | {way} | {} | {} | {} ms, {} ms of {} | {errors:?} |",
            seconds(elected.map(|at| at - *began)),
            seconds(Some(gap)),
            seconds(after),
            share(50),
            share(99),
            took.len(),
        );
        assert!(!took.is_empty(), "{name}, {way}: nothing was served afterwards");
    }
}

/// From outside, on the stores alone: all that either process was told stands, once.
fn check(all: &[Said], is_own: impl Fn(usize) -> bool, server: &str) {
    let mut record = Record::default();
    let mut bound = BTreeMap::<String, BTreeSet<String>>::new();
    let mut appended = BTreeSet::new();
    for (_, _, line) in all.iter().filter(|said| is_own(said.0)) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["bound", order, number] => {
                bound.entry(order.into()).or_default().insert(number.to_owned());
            }
            ["appended", number] => {
                appended.insert(number.parse::<u64>().unwrap());
            }
            _ => Line::from_text(line).into_iter().for_each(|line| record.note(line)),
        }
    }
    let stores = stores(server, false);
    let (scenario, clock) = (Scenario::new(SEED), Arc::new(ManualClock::new(day(1))));
    for today in 2..6 {
        record.note(Line::Day(today));
        clock.set(day(today));
        record.note(Line::Ticked(life::tick(&scenario.open(&stores, &clock)).unwrap()));
    }
    record.check_all(&scenario, &stores, &mut Seeded(1));
    println!("{}", record.counts());

    assert!(bound.values().all(|numbers| numbers.len() == 1), "an order has two numbers");
    let entries = checked_entries(&ledger(server, false));
    let there: BTreeSet<&Vec<u8>> = entries.iter().collect();
    assert_eq!(there.len(), entries.len(), "an entry stands twice");
    assert!(appended.iter().all(|number| there.contains(&entry(*number))), "an appended entry is gone");
    println!("{} numbers bound, {} entries appended", bound.len(), entries.len());
}
