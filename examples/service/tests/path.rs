//! The whole path of two customers, and what is left of them in metrics and logs.

use super::{FORTNIGHT_LATER, MERCHANT, MONDAY, World, ask_door, log};
use crate::client::Connection;
use crate::device::{question, submission, text};
use crate::hex::hex;
use crate::metrics::TOGETHER;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use unjoin::phone::PhoneNumber;
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::token::{ActionReceipt, DoorQuestion, Receipt, Review, ReviewStanding, ReviewState};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Timestamp, WEEK};
use unjoin_wallet::{AuthorRequest, ManifestEvidence};

pub(super) const SHOP_PHONE: &str = "+8613800138000";

pub(super) async fn ask(connection: &mut Connection, path: &str, body: Value) -> Value {
    connection.post(path, None, body.to_string()).await.unwrap().object().unwrap()
}

pub(super) async fn histogram(connection: &mut Connection) -> Value {
    connection.get(&format!("/reviews/histogram/{MERCHANT}")).await.unwrap().object().unwrap()
}

/// The stars that all customers would give.
async fn rating(connection: &mut Connection) -> f64 {
    let rating = connection.get(&format!("/reviews/rating/{MERCHANT}")).await.unwrap().object().unwrap();
    let [low, value, high] = ["low", "value", "high"].map(|part| rating["stars"][part].as_f64().unwrap());
    assert!(low < value && value < high, "{rating}");
    assert!(rating["bad_share"]["value"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn two_customers_review_and_leave_no_name_in_metrics_or_logs() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let (mut devices, mut internal) = (world.connect(), world.connect_internal());
    // Everything that names somebody, or something of somebody's.
    let mut names = vec![MERCHANT.to_owned(), SHOP_PHONE[1..].to_owned()];
    let (mut orders, mut eligible) = (Vec::new(), 0);
    for (account, phone) in [("ann-account", "+8613911112222"), ("ben-account", "+8613933334444")] {
        PhoneNumber::new(phone).unwrap();
        let order = format!("order-of-{account}");
        let bound = ask(
            &mut internal,
            "/phones/bind",
            json!({
                "merchant": MERCHANT, "order": order, "leg": "merchant", "hub": SHOP_PHONE,
                "customer": phone, "not_after": MONDAY.as_unix_seconds() + 3600,
            }),
        )
        .await;
        let number = text(&bound, "number").unwrap().to_owned();
        let route = ask(
            &mut internal,
            "/phones/route",
            json!({
                "id": "7", "caller": phone, "dialled": number, "channel": "voice",
                "attestation": "full", "trunk": "untrusted",
            }),
        )
        .await;
        assert_eq!((&route["route"], &route["callee"]), (&json!("connect"), &json!(SHOP_PHONE)));

        let (device, handle) = world.order(account, MERCHANT).await;
        let body = json!({ "merchant": MERCHANT, "order": order });
        let closed = ask(&mut internal, "/phones/close-order", body.clone()).await;
        assert_eq!(ask(&mut internal, "/phones/close-order", body).await, closed);
        eligible = eligible.max(closed["eligible_at"].as_u64().unwrap());
        names.extend([
            account.to_owned(),
            order,
            phone[1..].to_owned(),
            number[1..].to_owned(),
            handle.clone(),
        ]);
        orders.push((device, handle));
    }
    world.go_to(Timestamp::from_unix_seconds(eligible));
    let mut customers = Vec::new();
    for (device, handle) in orders {
        let token = world.token(&device, MERCHANT, &handle).await;
        customers.push((device, token));
    }
    let [ann, ben] = customers.try_into().ok().unwrap();

    // Without a manifest nothing is taken, and nothing is spent.
    let before = world.rows();
    let early = super::submission(&ann.0, &ann.1, "The lamp came broken.");
    assert_eq!(ask_door(&mut devices, early).await.unwrap_err(), "desk.no_manifest");
    assert_eq!(world.rows(), before);

    // The cohort is sealed: both have waited for its manifest.
    let manifest = world.close().await;
    let cohort = hex(&manifest.claimed_scope().cohort().to_be_bytes());
    let next = devices.get(&format!("/manifests/{MERCHANT}/after/{cohort}")).await.unwrap().object().unwrap();
    assert_eq!(next, json!({ "manifests": [] }));
    let evidence = ManifestEvidence::Signed(manifest);
    let (trust, rng) = (&world.pins.trust, &mut SystemRng::new());
    let mut held = Vec::new();
    for ((device, token), (stars, text)) in [(&ann, (1, "The lamp came broken.")), (&ben, (5, "It shines."))]
    {
        let review = Review::new(stars, text, vec![]).unwrap();
        let scheduled =
            device.wallet.present(token, &review, &evidence, trust, FORTNIGHT_LATER, rng).unwrap();
        let message = submission(scheduled.presentation.clone(), &review);
        let receipt = ask_door(&mut devices, message.clone()).await.unwrap();
        assert_eq!(ask_door(&mut devices, message.clone()).await.unwrap(), receipt);
        names.extend([hex(&message), hex(&receipt)]);
        let receipt = Receipt::from_bytes(&receipt).unwrap();
        let state = scheduled.check_receipt(&receipt, trust, FORTNIGHT_LATER).unwrap();
        held.push((state, scheduled.publication));
    }
    let [(state, publication), (_, other)] = held.try_into().ok().unwrap();
    assert_eq!(publication, other);
    assert_eq!(histogram(&mut devices).await["mean"], Value::Null);
    let before = rating(&mut devices).await;

    // Both appear together.
    let now = publication.saturating_add(60);
    world.go_to(now);
    assert_eq!(world.service.tick().unwrap().batches.len(), 1);
    let path = format!("/reviews/published/{MERCHANT}");
    let listing = devices.get(&path).await.unwrap().object().unwrap();
    let reviews = listing["reviews"].as_array().unwrap();
    assert_eq!(reviews.len(), 2);
    assert_eq!(reviews[0]["published_at"], reviews[1]["published_at"]);
    assert_eq!(histogram(&mut devices).await, json!({ "counts": [1, 0, 0, 0, 1], "mean": 3.0 }));
    assert_eq!([before, rating(&mut devices).await], [3.0, 3.0]);
    let first = reviews[0]["review_id"].as_str().unwrap();
    let rest = devices.get(&format!("{path}/after/{first}")).await.unwrap().object().unwrap();
    assert_eq!(rest["reviews"].as_array().unwrap().as_slice(), &reviews[1..]);
    names.extend(
        reviews
            .iter()
            .flat_map(|review| ["review_id", "text"].map(|field| review[field].as_str().unwrap().to_owned())),
    );

    // Ann edits hers.
    let edited = Review::new(4, "They sent another.", vec![]).unwrap();
    let edit = ann.0.wallet.act(&ann.1, &state, AuthorRequest::Edit(&edited), now, rng).unwrap();
    let (scope, review) = (ann.1.scope().clone(), edited.to_bytes());
    let message = question(DoorQuestion::Action { scope, action: edit.action.clone(), review });
    let receipt = ask_door(&mut devices, message.clone()).await.unwrap();
    names.extend([hex(&message), hex(&receipt)]);
    edit.check_receipt(&ActionReceipt::from_bytes(&receipt).unwrap(), trust, now).unwrap();
    // Where it stands, a device that has only its seed hears.
    let (scope, asked) = (ann.1.scope().clone(), ann.0.wallet.ask_state(&ann.1, now, rng).unwrap());
    let message = question(DoorQuestion::State { scope, question: asked });
    let stands = ReviewState::from_bytes(&ask_door(&mut devices, message).await.unwrap()).unwrap();
    assert_eq!((stands.last_sequence, stands.digest_in_force), (1, edited.digest()));
    assert_eq!(stands.standing, ReviewStanding::Published);
    world.go_to(publication.saturating_add(4 * WEEK));
    assert!(world.service.tick().unwrap().failed.is_empty());
    assert_eq!(histogram(&mut devices).await["counts"], json!([0, 0, 0, 1, 1]));
    assert!(rating(&mut devices).await > 3.5);

    let page = world.metrics().await;
    let counts = |line: &str| assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    counts(r#"unjoin_request_seconds_count{endpoint="grant",code="ok"} 2"#);
    counts(r#"unjoin_request_seconds_count{endpoint="bind",code="ok"} 2"#);
    counts(r#"unjoin_calls_total{what="connected"} 2"#);
    counts(r#"unjoin_ticks_total{what="ok"} 5"#);
    // Secrets, and what the run used of them.
    for secret in ["issuer-key", "platform-key", "issuer-master", "pool-key", "slot-key-encryption", "nonces"]
    {
        let bytes = world.secret(secret);
        names.extend([hex(&bytes), Base64UrlUnpadded::encode_string(&bytes), format!("{bytes:?}")]);
    }
    for (device, token) in [&ann, &ben] {
        let scope = token.scope();
        names.push(hex(&scope.cohort().to_be_bytes()));
        names.push(scope.cohort().to_string());
        names.push(hex(device.nonce(&mut devices).await.unwrap().as_slice()));
    }
    // Until the library has told of what it did: in groups.
    while cfg!(feature = "tracing") && !log().contains("histogram.unjoin.batch.duration") {
        world.buy(&format!("somebody-{}", names.len()), MERCHANT).await;
        names.push(format!("somebody-{}", names.len()));
    }
    let log = log();
    assert!(log.contains("tick"), "nothing was logged");
    for told in
        ["unjoin.tick", "monotonic_counter.unjoin.reviews.published=2", "monotonic_counter.unjoin.requests"]
    {
        assert!(!cfg!(feature = "tracing") || log.contains(told), "nobody told {told}");
    }
    for name in &names {
        assert!(!page.contains(name), "the metrics hold {name}");
        assert!(!log.contains(name), "the log holds {name}");
    }
    world.end().await;
}

/// A counter that is read every few seconds is a list of times.
#[tokio::test(flavor = "multi_thread")]
async fn single_answers_about_reviews_are_not_shown() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let (mut devices, line) = (world.connect(), r#"endpoint="door",code="desk.malformed""#);
    for _ in 1..TOGETHER {
        assert_eq!(ask_door(&mut devices, "{").await.unwrap_err(), "desk.malformed");
    }
    assert!(!world.metrics().await.contains(line));
    ask_door(&mut devices, "{").await.unwrap_err();
    let shown = format!("unjoin_request_seconds_count{{{line}}} {TOGETHER}");
    assert!(world.metrics().await.contains(&shown));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_do_its_work_is_alive_and_not_ready() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let mut internal = world.connect_internal();
    assert_eq!(internal.get("/health/ready").await.unwrap().status, 200);
    // A clock that has jumped: the slot keys serve nothing until somebody has looked.
    world.clock.set(MONDAY.saturating_add(DAY));
    assert_eq!(internal.get("/health/ready").await.unwrap().status, 503);
    assert_eq!(internal.get("/health/live").await.unwrap().status, 200);
    world.service.confirm_clock().unwrap();
    assert_eq!(internal.get("/health/ready").await.unwrap().status, 200);
    // One that jumps for a tick: issuer and desk have done nothing in it, which the next one makes good.
    let right = world.clock.now();
    assert!(world.service.tick().is_some());
    assert_eq!(internal.get("/health/ready").await.unwrap().status, 200);
    world.clock.set(right.saturating_add(DAY));
    let _ = world.service.tick();
    world.clock.set(right);
    assert_eq!(internal.get("/health/ready").await.unwrap().status, 503);
    assert!(world.service.tick().is_some());
    assert_eq!(internal.get("/health/ready").await.unwrap().status, 200);
    // What is for the platform's own services is not where devices are served.
    for path in ["/metrics", "/health/ready", "/phones/route", "/orders/due"] {
        assert_eq!(world.connect().get(path).await.unwrap().code().unwrap(), "service.not_found");
    }
    world.end().await;
}
