//! What is refused is refused by a typed error, and nothing is half done.

use super::held::Held;
use super::{Bounds, MONDAY, World, early};
use crate::client::Connection;
use crate::device::{Device, encoded, is_receipt, message, text};
use crate::guard::ACCOUNT;
use crate::hex::{hex, unhex};
use hyper::StatusCode;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::token::EnrolmentContext;
use unjoin::{Name, QueueConfig};

/// The status and the code; every error is an object of three fields.
async fn refusal(
    connection: &mut Connection,
    path: &str,
    account: Option<&str>,
    body: impl Into<String>,
) -> (u16, String) {
    let answer = connection.post(path, account, body.into()).await.unwrap();
    let object: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(object["message"].is_string() && object["retryable"].is_boolean(), "{object}");
    (answer.status.as_u16(), object["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_nothing_changes() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let good = world.early("ann", "The lamp came broken.").await;
    let (mut devices, before) = (world.connect(), world.rows());
    let fields: Value = serde_json::from_str(&good).unwrap();
    let with = |field: &str, value: Value| {
        let mut fields = fields.clone();
        fields[field] = value;
        fields.to_string()
    };
    let presentation = fields["presentation"].as_str().unwrap();
    for (body, status, code) in [
        (" ".repeat(13_000), 413, "service.too_large"),
        (String::new(), 400, "service.json"),
        ("[]".to_owned(), 400, "service.json"),
        (good[..good.len() - 1].to_owned(), 400, "service.json"),
        ("{}".to_owned(), 400, "service.field"),
        (with("presentation", json!(7)), 400, "service.field"),
        (with("presentation", json!("=")), 400, "service.field"),
        (with("account", json!("ann")), 400, "service.fields"),
        (with("presentation", json!(&presentation[..100])), 400, "wire.decode"),
        (with("review", json!(presentation)), 400, "wire.decode"),
    ] {
        let found = refusal(&mut devices, "/reviews", None, body).await;
        assert_eq!(found, (status, code.to_owned()));
    }
    // A proof that is about another review.
    let (ben, token) = world.buy("ben", "lamps.example").await;
    let before_ben = world.rows();
    let other: Value = serde_json::from_str(&early(&ben, &token, "Another.")).unwrap();
    let mixed = with("review", other["review"].clone());
    assert_eq!(refusal(&mut devices, "/reviews", None, mixed).await, (409, "desk.refused".to_owned()));
    assert_eq!(world.rows(), before_ben);
    assert_ne!(before_ben, before);

    assert_eq!(devices.get("/reviews").await.unwrap().code().unwrap(), "service.method");
    assert_eq!(devices.get("/nothing").await.unwrap().code().unwrap(), "service.not_found");
    assert_eq!(
        refusal(&mut devices, "/orders/offer", None, "{}").await,
        (401, "service.no_account".to_owned())
    );
    let body = json!({ "merchant": "lamps.example", "handle": hex(&[7; 16]) }).to_string();
    let unknown = refusal(&mut devices, "/orders/offer", Some("ann"), body).await;
    assert_eq!(unknown, (404, "issuer.unknown_order".to_owned()));
    let long = json!({ "merchant": "m".repeat(65), "handle": hex(&[7; 16]) }).to_string();
    assert_eq!(refusal(&mut devices, "/orders/offer", Some("ann"), long).await, (400, "name".to_owned()));
    assert_eq!(world.rows(), before_ben);

    let receipt = devices.post("/reviews", None, good).await.unwrap();
    assert!(is_receipt(&receipt.body, &world.pins));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_comes_with_a_session_is_refused() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let good = world.early("ann", "The lamp came broken.").await;
    let before = world.rows();
    let session = (400, "service.session".to_owned());
    assert_eq!(refusal(&mut world.connect(), "/reviews", Some("ann"), good.as_str()).await, session);
    let public = world.public;
    for header in ["Cookie: session=7", "Authorization: Bearer 7", &format!("{ACCOUNT}: ann")] {
        let mut stream = TcpStream::connect(public).unwrap();
        let length = good.len();
        let head =
            format!("POST /reviews HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
        write!(stream, "{head}{header}\r\n\r\n{good}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("service.session"), "{answer}");
    }
    assert_eq!(world.rows(), before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_needs_a_nonce_that_its_account_was_given_within_five_minutes() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let mut devices = world.connect();
    let device = Device::new("ann".to_owned());
    let mut nonces = Vec::new();
    for account in ["ann", "ben"] {
        let answer = devices.post("/orders/nonce", Some(account), "").await.unwrap().object().unwrap();
        nonces.push(unhex::<32>(text(&answer, "nonce").unwrap()).unwrap());
    }
    let [own, other] = nonces.try_into().ok().unwrap();
    let (issuer, account) = (Name::new("shop.example").unwrap(), Name::new("ann").unwrap());
    let enrol = |nonce: [u8; 32], proved: [u8; 32]| {
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &proved };
        let enrolment = device.wallet.enrol(context, &mut SystemRng::new()).unwrap();
        json!({ "nonce": hex(&nonce), "enrolment": encoded(&enrolment) }).to_string()
    };
    let before = world.rows();
    let refused = (403, "service.nonce".to_owned());
    // Another account's, one that nobody was given.
    assert_eq!(refusal(&mut devices, "/orders/enrol", Some("ann"), enrol(other, other)).await, refused);
    assert_eq!(refusal(&mut devices, "/orders/enrol", Some("ann"), enrol([7; 32], [7; 32])).await, refused);
    assert_eq!(world.rows(), before);
    let good = enrol(own, own);
    assert_eq!(devices.post("/orders/enrol", Some("ann"), good.clone()).await.unwrap().code(), None);
    let enrolled = world.rows();
    assert_ne!(enrolled, before);
    // The answer was lost: asked again it is the same, and nothing changes.
    assert_eq!(devices.post("/orders/enrol", Some("ann"), good.clone()).await.unwrap().code(), None);
    assert_eq!(world.rows(), enrolled);
    world.clock.set(MONDAY.saturating_add(300));
    assert_eq!(refusal(&mut devices, "/orders/enrol", Some("ann"), good).await, refused);
    // The right nonce, and a proof over another.
    let answer = devices.post("/orders/nonce", Some("ann"), "").await.unwrap().object().unwrap();
    let own = unhex::<32>(text(&answer, "nonce").unwrap()).unwrap();
    let mixed = refusal(&mut devices, "/orders/enrol", Some("ann"), enrol(own, [7; 32])).await;
    assert_eq!(mixed, (409, "issuer.proof_refused".to_owned()));
    assert_eq!(world.rows(), enrolled);
    world.end().await;
}

/// One worker holds one review; one waits; a third finds the queue full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_loses_nothing() {
    let queue = QueueConfig { capacity: 1, max_batch: 1, workers: 1 };
    let world = World::start(Held::default, Bounds { queue, ..Default::default() }).await;
    let mut bodies = Vec::new();
    for account in ["ann", "ben", "cat"] {
        bodies.push(world.early(account, "The lamp came broken.").await);
    }
    let reviews = &world.stores[1];
    reviews.close();
    let send = |body: &String| {
        let (mut connection, body) = (world.connect(), body.clone());
        tokio::spawn(async move { connection.post("/reviews", None, body).await.unwrap() })
    };
    let held = send(&bodies[0]);
    reviews.until_somebody_waits();
    let (mut one, mut other) = (send(&bodies[1]), send(&bodies[2]));
    // Whoever comes second is answered though nothing moves.
    let (refused, waiting, at) = tokio::select! {
        refused = &mut one => (refused.unwrap(), other, 1),
        refused = &mut other => (refused.unwrap(), one, 2),
    };
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.code().unwrap(), "desk.queue");
    // A fault is shown at once.
    assert!(world.metrics().await.contains(r#"endpoint="submit",code="desk.queue""#));
    reviews.open();
    for accepted in [held, waiting] {
        assert!(is_receipt(&accepted.await.unwrap().body, &world.pins));
    }
    // What was refused was not spent: another review takes its token.
    assert!(is_receipt(&send(&bodies[at]).await.unwrap().body, &world.pins));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_told_so_and_can_be_asked_again() {
    // Long enough for what the device asks before, on a slow machine.
    let patience = Duration::from_secs(6);
    let world = World::start(Held::default, Bounds { patience, ..Default::default() }).await;
    let body = world.early("ann", "The lamp came broken.").await;
    let (reviews, mut devices) = (&world.stores[1], world.connect());
    reviews.close();
    let late = refusal(&mut devices, "/reviews", None, body.as_str()).await;
    assert_eq!(late, (503, "service.timeout".to_owned()));
    reviews.open();
    let receipt = devices.post("/reviews", None, body).await.unwrap();
    assert!(is_receipt(&receipt.body, &world.pins), "{:?}", receipt.code());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_may_be_under_way_are_refused() {
    let world = World::start(Held::default, Bounds { in_flight: 1, ..Default::default() }).await;
    let body = world.early("ann", "The lamp came broken.").await;
    let reviews = &world.stores[1];
    reviews.close();
    let mut connection = world.connect();
    let sent = body.clone();
    let held = tokio::spawn(async move { connection.post("/reviews", None, sent).await.unwrap() });
    reviews.until_somebody_waits();
    let busy = refusal(&mut world.connect(), "/reviews", None, body).await;
    assert_eq!(busy, (503, "service.busy".to_owned()));
    reviews.open();
    assert!(is_receipt(&held.await.unwrap().body, &world.pins));
    world.end().await;
}

/// On a connection that is there already: what is under way is answered, what comes then is not
/// begun, and no new connection is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_answers_what_it_has_begun_and_begins_nothing() {
    let world = World::start(Held::default, Bounds::default()).await;
    let first = world.early("ann", "Broken.").await;
    let (ben, token) = world.buy("ben", "lamps.example").await;
    let (second, other) = (early(&ben, &token, "Broken."), early(&ben, &token, "It shines."));
    let reviews = &world.stores[1];
    reviews.close();
    let mut connection = world.connect();
    let held = tokio::spawn(async move { connection.post("/reviews", None, first).await.unwrap() });
    reviews.until_somebody_waits();
    world.service.stopping.store(true, Ordering::SeqCst);
    let refused = refusal(&mut world.connect(), "/reviews", None, second).await;
    assert_eq!(refused, (503, "service.stopping".to_owned()));
    reviews.open();
    assert!(is_receipt(&held.await.unwrap().body, &world.pins));
    let (public, service) = (world.public, Arc::clone(&world.service));
    world.end().await;
    assert!(Connection::to(public).get("/reviews").await.is_err());
    // The second was not begun: its token takes another review.
    let other: Value = serde_json::from_str(&other).unwrap();
    let (presentation, review) =
        (message(&other, "presentation").unwrap(), message(&other, "review").unwrap());
    assert!(service.platform.submit(presentation, review).await.is_ok());
}
