//! Buckets spread over two clusters, of which one loses its primary.

use crate::cluster::{CLUSTERS, Cluster};
use crate::line::Line;
use crate::record::Record;
use crate::scenario::{Scenario, day};
use crate::service::{SEED, store};
use crate::{SHARP, directly};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use unjoin::ManualClock;
use unjoin::store::postgres::PostgresStore;
use unjoin::store::{Bucket, Commit, Outcome, Store};
use unjoin_test_util::{Seeded, Spread};

type Halves = Spread<Arc<PostgresStore>>;

/// What was answered by one half, and when, and what failed.
#[derive(Default)]
struct Seen {
    written: Vec<(u64, Instant)>,
    failed: BTreeMap<&'static str, usize>,
}

pub(crate) fn one_fails_over_while_the_other_serves(cluster: &mut Cluster) {
    cluster.start_cluster(1);
    cluster.wait_for(2);
    let halves = |name: &str| {
        let stores = (0..CLUSTERS).map(|number| store(&directly(number), &format!("halves_{name}"), true));
        Arc::new(Spread(stores.collect()))
    };
    let (rows, stores) = (halves("rows"), ["orders", "reviews"].map(halves));
    let (scenario, clock) = (Scenario::new(SEED), Arc::new(ManualClock::new(day(0))));
    let platform = scenario.open(&stores, &clock);
    scenario.begin(&platform).unwrap();

    let (stop, next, record) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Record::default()));
    let customers = || {
        while !stop.load(Ordering::SeqCst) {
            let number = next.fetch_add(1, Ordering::SeqCst);
            record.lock().unwrap().note(Line::Asking(number));
            let granted = loop {
                match scenario.obtain(&platform, number) {
                    Ok(granted) => break granted,
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
            };
            record.lock().unwrap().note(Line::Granted(number, granted.pair));
        }
    };
    let seen = [(); CLUSTERS].map(|()| Mutex::new(Seen::default()));
    let (mut began, mut elected) = (Instant::now(), Instant::now());
    thread::scope(|threads| {
        (0..2).for_each(|_| drop(threads.spawn(customers)));
        for (half, seen) in seen.iter().enumerate() {
            let (rows, stop) = (&rows, &stop);
            threads.spawn(move || write(rows, half, seen, stop));
        }
        let reach = |count: usize| {
            cluster.wait("answers of both halves", |_| {
                seen.iter().all(|seen| seen.lock().unwrap().written.len() >= count)
            });
        };
        reach(20);
        let before = cluster.leader().unwrap();
        began = Instant::now();
        cluster.kill_postmaster(before);
        cluster.wait("another primary of the first cluster", |cluster| {
            thread::sleep(SHARP);
            cluster.leader().is_some_and(|now| now != before)
        });
        elected = Instant::now();
        let first = seen[0].lock().unwrap().written.len();
        reach(first + 20);
        stop.store(true, Ordering::SeqCst);
    });

    println!(
        "| buckets in | new primary after | answers until then | longest gap | errors |\n|---|---|---|---|---|"
    );
    for (half, seen) in seen.iter().enumerate() {
        let seen = seen.lock().unwrap();
        let at: Vec<Instant> = seen.written.iter().map(|(_, at)| *at).collect();
        let gap = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        let until = at.iter().filter(|at| (began..elected).contains(at)).count();
        let name = ["the cluster that fails over", "the other cluster"][half];
        println!(
            "| {name} | {:.1} s | {until} | {:.2} s | {:?} |",
            (elected - began).as_secs_f64(),
            gap.as_secs_f64(),
            seen.failed
        );
        let there = rows.scan(bucket(&rows, half), b"", None, usize::MAX).unwrap();
        let numbers = |row: &unjoin::store::Row| u64::from_be_bytes(row.key[..].try_into().unwrap());
        let there: Vec<u64> = there.iter().map(numbers).collect();
        assert!(seen.written.iter().all(|(number, _)| there.contains(number)), "{name}: a row is gone");
        if half == 1 {
            assert!(seen.failed.is_empty() && until > 0, "{name} has noticed");
        }
    }
    let mut record = record.into_inner().unwrap();
    drop(platform);
    record.check_all(&scenario, &stores, &mut Seeded(1));
    println!("two clusters: {}", record.counts());
}

fn bucket(rows: &Halves, half: usize) -> Bucket {
    Bucket::all().find(|bucket| rows.of(*bucket) == half).unwrap()
}

/// One row after the other, each until it is answered.
fn write(rows: &Halves, half: usize, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let bucket = bucket(rows, half);
    for number in 0u64.. {
        let key = number.to_be_bytes();
        let commit = || Commit::new(bucket).expect(&key, None).put(key.to_vec(), vec![]);
        loop {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let outcome = rows.commit(&[commit()]);
            let mut seen = seen.lock().unwrap();
            match outcome {
                // In conflict with itself, if an answer was lost.
                Ok(outcomes) => {
                    assert!(matches!(outcomes[..], [Outcome::Committed | Outcome::Conflict(_)]));
                    seen.written.push((number, Instant::now()));
                    break;
                }
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    *seen.failed.entry(error.code()).or_default() += 1;
                }
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}
