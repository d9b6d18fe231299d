//! A service that is told to end loses nothing that it has acknowledged.
#![cfg(unix)]

use super::process::{Process, has_served};
use super::{Directory, early};
use crate::client::Connection;
use crate::device::{Device, Order, Pins, is_receipt, report};
use hyper::StatusCode;
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
    let (mut service, mut internal) = (Connection::to(process.public), Connection::to(process.internal));
    let device = Device::new(format!("customer-{number}"));
    device.enrol(&mut service, pins).await.unwrap();
    let order =
        Order { id: &format!("order-{number}"), merchant: "lamps.example", class: 0, due_at: 1_500_000_000 };
    let handle = report(&mut internal, &device.account, &order).await.unwrap();
    let token = device.token(&mut service, pins, order.merchant, &handle).await.unwrap();
    let [first, second] = ["It came broken.", "It shines."].map(|text| early(&device, &token, text).into());
    Prepared { first, second }
}

#[test]
fn no_acknowledged_review_is_lost_by_sigterm() {
    if has_served() {
        return;
    }
    let directory = Directory::new();
    let store = format!("redb:{}", directory.0.join("stores").display());
    let start = || Process::start(TEST, &directory.0, &store, "log", &["--demo-trustees"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let process = start();
    let pins = Arc::new(Pins::read(&directory.0.join("secrets/public-keys.json"), 2).unwrap());
    let prepared = runtime.block_on(async {
        let mut prepared = Vec::new();
        for number in 0..CALLERS * REVIEWS_EACH {
            prepared.push(prepare(&process, &pins, number).await);
        }
        Arc::new(prepared)
    });

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
    let process = start();
    runtime.block_on(async {
        let mut connection = Connection::to(process.public);
        let order = (0..CALLERS).flat_map(|caller| (caller..prepared.len()).step_by(CALLERS));
        for (number, kept) in order.zip(kept) {
            let Prepared { first, second } = &prepared[number];
            if kept {
                let spent = connection.post("/reviews", None, second.clone()).await.unwrap();
                assert_eq!(spent.code().as_deref(), Some("desk.spent"), "an acknowledged review is lost");
            }
            let again = connection.post("/reviews", None, first.clone()).await.unwrap();
            assert!(is_receipt(&again.body, &pins), "{:?}", again.code());
        }
    });
    process.end();
    let log = fs::read_to_string(directory.0.join("log")).unwrap();
    assert!(log.contains("ending") && !log.contains("customer-") && !log.contains("lamps.example"));
}

/// Sends the caller's reviews again and again; which of them were acknowledged.
async fn call(
    public: SocketAddr,
    prepared: Arc<Vec<Prepared>>,
    caller: usize,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<bool> {
    let own: Vec<&Prepared> = prepared.iter().skip(caller).step_by(CALLERS).collect();
    let (mut kept, mut connection) = (vec![false; own.len()], Connection::to(public));
    for place in (0..own.len()).cycle() {
        match connection.post("/reviews", None, own[place].first.clone()).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                kept[place] = true;
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => {
                assert_eq!(answer.code().as_deref(), Some("service.stopping"));
                break;
            }
            Err(_) => break,
        }
    }
    kept
}
