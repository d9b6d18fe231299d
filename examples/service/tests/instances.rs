//! Two processes on one database and one directory decide as one.

use super::postgres::server::Server;
use super::process::{BEHIND, Process, has_served};
use super::{Directory, MERCHANT, ask_door, submission};
use crate::client::Connection;
use crate::device::{
    Device, Order, Pins, encoded, handle_of, introduce, is_receipt, message, report, until_ticked,
    without_numbers,
};
use crate::tests::path::ask;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use unjoin::secret::SystemRng;
use unjoin::token::Grant;
use unjoin::wire::Message;
use unjoin::{Name, Timestamp};
use unjoin_wallet::Token;

const TEST: &str = "tests::instances::two_processes_on_one_database_decide_as_one";
const CUSTOMERS: usize = 6;
/// A grant begins with version, kind, A and e.
const PAIR: usize = 2 + 32 + 32;

/// Where a process is reached.
struct Reached {
    public: Connection,
    internal: Connection,
}

impl Reached {
    fn of(process: &Process) -> Self {
        Self { public: Connection::to(process.public), internal: Connection::to(process.internal) }
    }
}

/// The same request to both at the same time.
async fn both(
    one: &mut Connection,
    other: &mut Connection,
    path: &str,
    account: Option<&str>,
    body: impl Into<Bytes>,
) -> [Result<Bytes, String>; 2] {
    let body = body.into();
    rivals(one, other, path, account, [body.clone(), body]).await
}

/// A request to each at the same time.
async fn rivals(
    one: &mut Connection,
    other: &mut Connection,
    path: &str,
    account: Option<&str>,
    [first, second]: [Bytes; 2],
) -> [Result<Bytes, String>; 2] {
    let (first, second) = tokio::join!(one.post(path, account, first), other.post(path, account, second));
    [first, second].map(|answered| {
        let answered = answered.unwrap();
        if path == "/door" {
            answered.door().unwrap()
        } else {
            answered.code().map_or(Ok(answered.body), Err)
        }
    })
}

#[test]
fn two_processes_on_one_database_decide_as_one() {
    if has_served() {
        return;
    }
    let (server, directory) = (Server::shared(), Directory::new());
    let store = format!("postgres:{} dbname=postgres", server.address());
    let start = |log, more: &[&str]| Process::start(TEST, &directory.0, &store, log, more);
    let first = |log, more: &[&str]| start(log, &[&["--demo-trustees"][..], &BEHIND, more].concat());
    // At the same time, on a directory and a database where nothing is yet.
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| first("other", &["--beside"]));
        (first("one", &[]), other.join().unwrap())
    });
    let pins = Pins::read(&directory.0.join("secrets/public-keys.json"), 2).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let customers = runtime.block_on(granted_as_one(&mut Reached::of(&one), &mut Reached::of(&other), &pins));
    one.end();
    other.end();

    // The cohort is sealed: two others take the reviews.
    let one = start("one-later", &["--confirm-clock"]);
    let other = start("other-later", &["--beside"]);
    let (mut at_one, mut at_other) = (Reached::of(&one), Reached::of(&other));
    runtime.block_on(until_ticked(&mut at_one.internal)).unwrap();
    let kept = runtime.block_on(reviewed_as_one(&mut at_one, &mut at_other, &pins, customers));
    runtime.block_on(numbers_of_one_ring_at_the_other(&mut at_one, &mut at_other));

    // What both have acknowledged, one that comes later knows.
    one.end();
    other.end();
    let last = start("last", &[]);
    runtime.block_on(async {
        let mut devices = Connection::to(last.public);
        for (message, receipt) in kept {
            assert_eq!(ask_door(&mut devices, message).await.unwrap(), receipt);
        }
    });
    last.end();
    for log in ["one", "other", "one-later", "other-later", "last"] {
        let log = std::fs::read_to_string(directory.0.join(log)).unwrap();
        assert!(log.contains("ending") && !log.contains("customer-") && !log.contains(MERCHANT), "{log}");
    }
}

/// Customers with the tokens that both have granted.
async fn granted_as_one(one: &mut Reached, other: &mut Reached, pins: &Pins) -> Vec<(Device, Token)> {
    const DUE: u64 = 1_500_000_000;
    introduce(&mut one.internal, MERCHANT, 0).await.unwrap();
    let mut customers = Vec::new();
    for number in 0..CUSTOMERS {
        let device = Device::new(format!("customer-{number}"));
        let account = Some(device.account.as_str());
        // Each takes the other's nonces.
        let nonce = device.nonce(&mut one.public).await.unwrap();
        device.enrol_over(nonce, &mut other.public, pins).await.unwrap();

        let id = format!("order-{number}");
        let order = Order { id: &id, merchant: MERCHANT, class: 0, due_at: DUE };
        let (handle, again) = tokio::join!(
            report(&mut one.internal, &device.account, &order),
            report(&mut other.internal, &device.account, &order),
        );
        let handle = handle.unwrap();
        assert_eq!(handle, again.unwrap());
        let dead = Timestamp::from_unix_seconds(DUE);
        without_numbers(&mut other.internal, MERCHANT, &handle, dead).await.unwrap();

        let body = json!({ "merchant": MERCHANT, "handle": handle }).to_string();
        let [offer, second] = both(&mut one.public, &mut other.public, "/orders/offer", account, body).await;
        assert_eq!(offer, second);
        let offer = message(&serde_json::from_slice(&offer.unwrap()).unwrap(), "offer").unwrap();
        let (rng, merchant) = (&mut SystemRng::new(), Name::new(MERCHANT).unwrap());
        let handle = handle_of(&handle).unwrap();
        let (pending, request) =
            device.wallet.request(&pins.issuer, &merchant, handle, &offer, &pins.trust, rng).unwrap();
        let body = json!({ "request": encoded(&request) }).to_string();
        let [grant, second] = both(&mut one.public, &mut other.public, "/orders/grant", account, body).await;
        // The pair is the order's; the proof that it is right is made anew for each answer.
        let [grant, second] = [grant, second].map(|grant| {
            let grant: Value = serde_json::from_slice(&grant.unwrap()).unwrap();
            message::<Grant>(&grant, "grant").unwrap()
        });
        let pair = |grant: &Grant| grant.to_bytes()[..PAIR].to_vec();
        assert_eq!(pair(&grant), pair(&second), "one order has one grant");
        let token = device.wallet.finish(pending, &grant, rng).unwrap();
        customers.push((device, token));
    }
    customers
}

/// Reviews that were accepted, with their receipts.
async fn reviewed_as_one(
    one: &mut Reached,
    other: &mut Reached,
    pins: &Pins,
    customers: Vec<(Device, Token)>,
) -> Vec<(Bytes, Bytes)> {
    let mut kept = Vec::new();
    for (number, (device, token)) in customers.iter().enumerate() {
        let [review, rival] =
            ["It came broken.", "It shines."].map(|text| Bytes::from(submission(device, token, text)));
        let accepted = if number % 2 == 0 {
            // One review at both.
            let [receipt, second] =
                both(&mut one.public, &mut other.public, "/door", None, review.clone()).await;
            assert_eq!(receipt, second, "one review has one receipt");
            (review, receipt.unwrap())
        } else {
            // Two reviews for one token: one is accepted, wherever it came.
            let asked = [review.clone(), rival.clone()];
            let answers = rivals(&mut one.public, &mut other.public, "/door", None, asked).await;
            let spent = Err("desk.spent".to_owned());
            match answers {
                [Ok(receipt), second] if second == spent => (review, receipt),
                [first, Ok(receipt)] if first == spent => (rival, receipt),
                answers => panic!("not one of two was accepted: {answers:?}"),
            }
        };
        assert!(is_receipt(&accepted.1, pins));
        kept.push(accepted);
    }
    kept
}

async fn numbers_of_one_ring_at_the_other(one: &mut Reached, other: &mut Reached) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for number in 0..2 {
        let (here, there) = if number == 0 { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
        let (shop, customer) = ("+8613800138000", format!("+861391111222{number}"));
        let bind = json!({
            "merchant": MERCHANT, "order": format!("order-of-customer-{number}"), "leg": "merchant",
            "hub": shop, "customer": customer, "not_after": now + 3600,
        });
        let bound = ask(&mut here.internal, "/phones/bind", bind.clone()).await;
        assert_eq!(ask(&mut there.internal, "/phones/bind", bind).await, bound);
        let call = json!({
            "id": "7", "caller": customer, "dialled": bound["number"], "channel": "voice",
            "attestation": "full", "trunk": "untrusted",
        });
        let route: Value = ask(&mut there.internal, "/phones/route", call).await;
        assert_eq!((&route["route"], &route["callee"]), (&json!("connect"), &json!(shop)));
    }
    for process in [one, other] {
        assert_eq!(process.internal.get("/health/ready").await.unwrap().status, 200);
    }
}
