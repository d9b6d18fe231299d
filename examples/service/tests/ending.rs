//! A service that is told to end loses nothing that it has acknowledged.
#![cfg(unix)]

use super::process::{BEHIND, Process, buy, has_served};
use super::{Directory, MERCHANT, ask_door, submission};
use crate::client::Connection;
use crate::device::{Pins, is_receipt, until_ticked};
use hyper::body::Bytes;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const TEST: &str = "tests::ending::no_acknowledged_review_is_lost_by_sigterm";
const CALLERS: usize = 4;
const REVIEWS_EACH: usize = 12;

/// One token, two reviews that want it.
struct Prepared {
    first: Bytes,
    second: Bytes,
}

async fn prepare(process: &Process, pins: &Pins, number: usize) -> Prepared {
    let (device, token) = buy(process, pins, &format!("customer-{number}")).await;
    let [first, second] =
        ["It came broken.", "It shines."].map(|text| submission(&device, &token, text).into());
    Prepared { first, second }
}

#[test]
fn no_acknowledged_review_is_lost_by_sigterm() {
    if has_served() {
        return;
    }
    let directory = Directory::new();
    let store = format!("redb:{}", directory.0.join("stores").display());
    let start = |log, more: &[&str]| Process::start(TEST, &directory.0, &store, log, more);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let process = start("before", &[&["--demo-trustees"][..], &BEHIND].concat());
    let pins = Arc::new(Pins::read(&directory.0.join("secrets/public-keys.json"), 2).unwrap());
    let prepared = runtime.block_on(async {
        let mut prepared = Vec::new();
        for number in 0..CALLERS * REVIEWS_EACH {
            prepared.push(prepare(&process, &pins, number).await);
        }
        Arc::new(prepared)
    });
    process.end();
    let process = start("log", &["--confirm-clock"]);
    runtime.block_on(until_ticked(&mut Connection::to(process.internal))).unwrap();

    // Each caller sends its reviews until the service does not take them any more; while the first
    // few are acknowledged it is told to end.
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (prepared, acknowledged) = (Arc::clone(&prepared), Arc::clone(&acknowledged));
            runtime.spawn(call(process.public, prepared, caller, acknowledged))
        })
        .collect();
    while acknowledged.load(Ordering::SeqCst) < CALLERS {
        assert!(!callers.iter().any(|caller| caller.is_finished()), "a caller was refused");
        std::thread::yield_now();
    }
    process.signal();
    let mut kept = Vec::new();
    for caller in callers {
        kept.extend(runtime.block_on(caller).unwrap());
    }
    assert!(process.wait(), "the service did not end in order");
    assert!(kept.iter().any(|kept| *kept), "nothing was acknowledged");

    // Another life on the same stores: what was acknowledged is spent, what was not can be sent.
    let process = start("after", &[]);
    runtime.block_on(async {
        let mut connection = Connection::to(process.public);
        let order = (0..CALLERS).flat_map(|caller| (caller..prepared.len()).step_by(CALLERS));
        for (number, kept) in order.zip(kept) {
            let Prepared { first, second } = &prepared[number];
            if kept {
                let spent = ask_door(&mut connection, second.clone()).await;
                assert_eq!(spent.unwrap_err(), "desk.spent", "an acknowledged review is lost");
            }
            let again = ask_door(&mut connection, first.clone()).await.unwrap();
            assert!(is_receipt(&again, &pins));
        }
    });
    process.end();
    for log in ["before", "log", "after"] {
        let log = fs::read_to_string(directory.0.join(log)).unwrap();
        assert!(log.contains("ending") && !log.contains("customer-") && !log.contains(MERCHANT), "{log}");
    }
}

/// Sends the caller's reviews again and again, until it is told that the service ends; which of them were
/// acknowledged. No connection breaks on the way.
async fn call(
    public: SocketAddr,
    prepared: Arc<Vec<Prepared>>,
    caller: usize,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<bool> {
    let own: Vec<&Prepared> = prepared.iter().skip(caller).step_by(CALLERS).collect();
    let (mut kept, mut connection) = (vec![false; own.len()], Connection::to(public));
    for place in (0..own.len()).cycle() {
        let answer = connection.post("/door", None, own[place].first.clone()).await;
        match answer.expect("a connection broke").door().unwrap() {
            Ok(_) => {
                kept[place] = true;
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Err(code) => {
                assert_eq!(code, "service.stopping");
                break;
            }
        }
    }
    kept
}
