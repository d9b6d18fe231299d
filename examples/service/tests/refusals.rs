//! What is refused is refused by a typed error, and nothing is half done.

use super::{Bounds, Held, MONDAY, World, ask_door, submission};
use crate::client::Connection;
use crate::device::{Device, encoded, is_receipt, question, text};
use crate::hex::{hex, unhex};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::token::{DoorMessage, DoorQuestion, EnrolmentContext};
use unjoin::wire::Message;
use unjoin::{Name, QueueConfig};
use unjoin_test_util::Faulty;

/// The status and the code; every error is a problem document.
async fn refusal(
    connection: &mut Connection,
    path: &str,
    account: Option<&str>,
    body: impl Into<String>,
) -> (u16, String) {
    let answer = connection.post(path, account, body.into()).await.unwrap();
    let object: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(object["detail"].is_string() && object["retryable"].is_boolean(), "{object}");
    (answer.status.as_u16(), object["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_nothing_changes() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let [ann, ben] = world.closed(["ann", "ben"]).await;
    let good = submission(&ann.0, &ann.1, "The lamp came broken.");
    let (mut devices, before) = (world.connect(), world.rows());
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut message = good.clone();
        change(&mut message);
        message
    };
    // The review of one, the presentation of the other.
    let part = |message: &[u8]| match DoorMessage::from_bytes(message).unwrap().into_question() {
        DoorQuestion::Submission { presentation, review } => (presentation, review),
        _ => panic!("no submission"),
    };
    let (presentation, review) = part(&good);
    let (of_ben, _) = part(&submission(&ben.0, &ben.1, "Another."));
    let mixed = DoorQuestion::Submission { presentation: of_ben, review };
    let no_review = DoorQuestion::Submission { presentation, review: vec![7; 20] };
    for (message, code) in [
        (changed(|message| message.push(0)), "service.too_large"),
        (vec![0; 13_000], "service.too_large"),
        (Vec::new(), "desk.malformed"),
        (changed(|message| message.truncate(message.len() - 1)), "desk.malformed"),
        (vec![0; DoorMessage::LENGTH], "desk.malformed"),
        (changed(|message| message[2] = 9), "desk.malformed"),
        (changed(|message| message[3..5].fill(0xff)), "desk.malformed"),
        (changed(|message| message[5] ^= 1), "desk.malformed"),
        (changed(|message| *message.last_mut().unwrap() = 1), "desk.malformed"),
        (question(no_review), "desk.malformed"),
        (question(mixed), "desk.refused"),
    ] {
        assert_eq!(ask_door(&mut devices, message).await.unwrap_err(), code);
        assert_eq!(world.rows(), before);
    }

    assert_eq!(devices.get("/nothing").await.unwrap().code().unwrap(), "service.not_found");
    assert_eq!(
        refusal(&mut devices, "/orders/offer", None, "{}").await,
        (401, "service.no_account".to_owned())
    );
    let body = json!({ "merchant": "lamps.example", "handle": hex(&[7; 16]) }).to_string();
    let unknown = refusal(&mut devices, "/orders/offer", Some("ann"), body).await;
    assert_eq!(unknown, (404, "issuer.unknown_order".to_owned()));
    let long = json!({ "merchant": "m".repeat(65), "handle": hex(&[7; 16]) }).to_string();
    assert_eq!(
        refusal(&mut devices, "/orders/offer", Some("ann"), long.as_str()).await,
        (400, "name".to_owned())
    );
    // Not an object, cut off, of other fields, or with what is no message.
    let request = "AAAA".repeat(30);
    for (path, body, code) in [
        ("/orders/offer", String::new(), "service.json"),
        ("/orders/offer", "[]".to_owned(), "service.json"),
        ("/orders/offer", long[..long.len() - 1].to_owned(), "service.json"),
        ("/orders/offer", "{}".to_owned(), "service.field"),
        ("/orders/offer", json!({ "merchant": 7, "handle": hex(&[7; 16]) }).to_string(), "service.field"),
        ("/orders/grant", json!({ "request": "=" }).to_string(), "service.field"),
        ("/orders/grant", json!({ "request": request }).to_string(), "wire.decode"),
        (
            "/orders/offer",
            json!({ "merchant": "lamps.example", "handle": hex(&[7; 16]), "account": "ann" }).to_string(),
            "service.fields",
        ),
    ] {
        assert_eq!(refusal(&mut devices, path, Some("ann"), body).await, (400, code.to_owned()));
    }
    let large = refusal(&mut devices, "/orders/offer", Some("ann"), " ".repeat(5_000)).await;
    assert_eq!(large, (413, "service.too_large".to_owned()));
    assert_eq!(world.rows(), before);

    let receipt = ask_door(&mut devices, good).await.unwrap();
    assert!(is_receipt(&receipt, &world.pins));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_needs_a_nonce_that_its_account_was_given_within_five_minutes() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let mut devices = world.connect();
    let device = Device::new("ann".to_owned());
    let mut nonces = Vec::new();
    for account in ["ann", "ben"] {
        let answer = devices.post("/orders/nonce", Some(account), "{}").await.unwrap().object().unwrap();
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
    let answer = devices.post("/orders/nonce", Some("ann"), "{}").await.unwrap().object().unwrap();
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
    let world = World::start(Faulty::in_memory, Bounds { queue, ..Default::default() }).await;
    let messages = world
        .closed(["ann", "ben", "cat"])
        .await
        .map(|(device, token)| submission(&device, &token, "The lamp came broken."));
    let first = Held::next_read_of(&world.stores[1]);
    let send = |message: &Vec<u8>| {
        let (mut connection, message) = (world.connect(), message.clone());
        tokio::spawn(async move { ask_door(&mut connection, message).await })
    };
    let held = send(&messages[0]);
    first.until_it_waits();
    let (mut one, mut other) = (send(&messages[1]), send(&messages[2]));
    // Whoever comes second is answered though nothing moves.
    let (refused, waiting, at) = tokio::select! {
        refused = &mut one => (refused.unwrap(), other, 1),
        refused = &mut other => (refused.unwrap(), one, 2),
    };
    assert_eq!(refused.unwrap_err(), "desk.queue");
    // A fault is shown at once.
    assert!(world.metrics().await.contains(r#"endpoint="door",code="desk.queue""#));
    first.let_go();
    for accepted in [held, waiting] {
        assert!(is_receipt(&accepted.await.unwrap().unwrap(), &world.pins));
    }
    // What was refused was not spent: another review takes its token.
    assert!(is_receipt(&send(&messages[at]).await.unwrap().unwrap(), &world.pins));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_told_so_and_can_be_asked_again() {
    // Long enough for what the device asks before, on a slow machine.
    let patience = Duration::from_secs(6);
    let world = World::start(Faulty::in_memory, Bounds { patience, ..Default::default() }).await;
    let [(ann, token), _] = world.closed(["ann", "ben"]).await;
    let (message, mut devices) = (submission(&ann, &token, "The lamp came broken."), world.connect());
    let held = Held::next_read_of(&world.stores[1]);
    assert_eq!(ask_door(&mut devices, message.clone()).await.unwrap_err(), "service.timeout");
    held.let_go();
    assert!(is_receipt(&ask_door(&mut devices, message).await.unwrap(), &world.pins));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_may_be_under_way_are_refused() {
    let world = World::start(Faulty::in_memory, Bounds { in_flight: 1, ..Default::default() }).await;
    let [(ann, token), _] = world.closed(["ann", "ben"]).await;
    let message = submission(&ann, &token, "The lamp came broken.");
    let first = Held::next_read_of(&world.stores[1]);
    let (mut connection, sent) = (world.connect(), message.clone());
    let held = tokio::spawn(async move { ask_door(&mut connection, sent).await });
    first.until_it_waits();
    assert_eq!(ask_door(&mut world.connect(), message).await.unwrap_err(), "service.busy");
    let busy = refusal(&mut world.connect(), "/orders/nonce", Some("ann"), "{}").await;
    assert_eq!(busy, (503, "service.busy".to_owned()));
    first.let_go();
    assert!(is_receipt(&held.await.unwrap().unwrap(), &world.pins));
    world.end().await;
}

/// On a connection that is there already: what is under way is answered, what comes then is not
/// begun, and no new connection is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_answers_what_it_has_begun_and_begins_nothing() {
    let world = World::start(Faulty::in_memory, Bounds::default()).await;
    let [ann, ben] = world.closed(["ann", "ben"]).await;
    let first = submission(&ann.0, &ann.1, "Broken.");
    let [second, other] = ["Broken.", "It shines."].map(|text| submission(&ben.0, &ben.1, text));
    let waits = Held::next_read_of(&world.stores[1]);
    let mut connection = world.connect();
    let held = tokio::spawn(async move { ask_door(&mut connection, first).await });
    waits.until_it_waits();
    world.service.stopping.store(true, Ordering::SeqCst);
    assert_eq!(ask_door(&mut world.connect(), second).await.unwrap_err(), "service.stopping");
    let stopping = refusal(&mut world.connect(), "/orders/nonce", Some("ann"), "{}").await;
    assert_eq!(stopping, (503, "service.stopping".to_owned()));
    waits.let_go();
    assert!(is_receipt(&held.await.unwrap().unwrap(), &world.pins));
    let (public, service) = (world.public, Arc::clone(&world.service));
    world.end().await;
    assert!(Connection::to(public).get("/door").await.is_err());
    // The second was not begun: its token takes another review.
    assert_eq!(service.platform.door(&other).status(), 200);
}
