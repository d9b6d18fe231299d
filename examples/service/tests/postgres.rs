//! The whole path on a PostgreSQL server, through restarts of the service on the same database and
//! secrets.

use super::path::{SHOP_PHONE, ask, histogram};
use super::{Bounds, Directory, FORTNIGHT_LATER, MERCHANT, MONDAY, World, ask_door};
use crate::device::{Device, Order, report, submission};
use serde_json::{Value, json};
use std::sync::Arc;
use unjoin::secret::SystemRng;
use unjoin::store::postgres::PostgresStore;
use unjoin::token::{Receipt, Review};
use unjoin::wire::Message;
use unjoin::{ManualClock, Timestamp};
use unjoin_wallet::ManifestEvidence;

use server::{Server, fresh_schema};
pub(super) use unjoin_test_util::postgres as server;

/// One platform's database, secrets and clock, on which services come and go.
struct Place {
    server: Arc<Server>,
    schemas: [String; 4],
    directory: Arc<Directory>,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        Self {
            server: Server::shared(),
            schemas: [(); 4].map(|()| fresh_schema()),
            directory: Arc::new(Directory::new()),
            clock: Arc::new(ManualClock::doubtful(MONDAY)),
        }
    }

    async fn open(&self) -> World<PostgresStore> {
        let stores = self
            .schemas
            .each_ref()
            .map(|schema| unjoin_test_util::postgres::store_of(self.server.config(schema)).unwrap());
        World::open(Arc::clone(&self.directory), Arc::clone(&self.clock), stores, Bounds::default()).await
    }
}

fn question(caller: &str, dialled: &Value) -> Value {
    json!({
        "id": "7", "caller": caller, "dialled": dialled, "channel": "voice",
        "attestation": "full", "trunk": "untrusted",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_postgresql_finds_everything_again_after_a_restart() {
    const PHONE: &str = "+8613911112222";
    let place = Place::new();
    let world = place.open().await;
    let pins = std::fs::read(place.directory.0.join("secrets/public-keys.json")).unwrap();
    let (mut devices, mut internal) = (world.connect(), world.connect_internal());

    // A number for the first order; both orders are delivered.
    let bind = json!({
        "merchant": MERCHANT, "order": "order-of-ann", "leg": "merchant", "hub": SHOP_PHONE,
        "customer": PHONE, "not_after": MONDAY.as_unix_seconds() + 3600,
    });
    let bound = ask(&mut internal, "/phones/bind", bind.clone()).await;
    let routed = ask(&mut internal, "/phones/route", question(PHONE, &bound["number"])).await;
    assert_eq!((&routed["route"], &routed["callee"]), (&json!("connect"), &json!(SHOP_PHONE)));
    let (ann, ann_handle) = world.order("ann", MERCHANT).await;
    let (ben, ben_handle) = world.order("ben", MERCHANT).await;
    // A nonce outlives the process that gave it.
    let cat = Device::new("cat".to_owned());
    let nonce = cat.nonce(&mut devices).await.unwrap();
    world.end_wholly().await;

    let world = place.open().await;
    assert_eq!(std::fs::read(place.directory.0.join("secrets/public-keys.json")).unwrap(), pins);
    let (mut devices, mut internal) = (world.connect(), world.connect_internal());
    cat.enrol_over(nonce, &mut devices, &world.pins).await.unwrap();
    // The same call, the same number, the same answers to all that is asked again.
    let again = ask(&mut internal, "/phones/route", question(PHONE, &bound["number"])).await;
    for field in ["route", "callee", "show"] {
        assert_eq!(again[field], routed[field]);
    }
    assert_eq!(ask(&mut internal, "/phones/bind", bind).await, bound);
    let mut closed = Vec::new();
    for (device, handle) in [(&ann, &ann_handle), (&ben, &ben_handle)] {
        let id = format!("order-of-{}", device.account);
        let order = Order { id: &id, merchant: MERCHANT, class: 0, due_at: MONDAY.as_unix_seconds() };
        assert_eq!(&report(&mut internal, &device.account, &order).await.unwrap(), handle);
        let body = json!({ "merchant": MERCHANT, "order": id });
        closed.push((body.clone(), ask(&mut internal, "/phones/close-order", body).await));
    }
    let eligible = closed.iter().map(|(_, answer)| answer["eligible_at"].as_u64().unwrap()).max();
    world.go_to(Timestamp::from_unix_seconds(eligible.unwrap()));
    let ann_token = world.token(&ann, MERCHANT, &ann_handle).await;
    let ben_token = world.token(&ben, MERCHANT, &ben_handle).await;
    // The cohort is sealed, and the first review comes for its manifest.
    let evidence = ManifestEvidence::Signed(world.close().await);
    let (trust, rng) = (&world.pins.trust, &mut SystemRng::new());
    let mut present = |device: &Device, token, stars, text| {
        let review = Review::new(stars, text, vec![]).unwrap();
        let scheduled =
            device.wallet.present(token, &review, &evidence, trust, FORTNIGHT_LATER, rng).unwrap();
        (submission(scheduled.presentation.clone(), &review), scheduled)
    };
    let (broken, scheduled) = present(&ann, &ann_token, 1, "The lamp came broken.");
    let receipt = ask_door(&mut devices, broken.clone()).await.unwrap();
    let told = Receipt::from_bytes(&receipt).unwrap();
    scheduled.check_receipt(&told, trust, FORTNIGHT_LATER).unwrap();
    let (another, _) = present(&ann, &ann_token, 1, "Another.");
    let (shines, scheduled) = present(&ben, &ben_token, 5, "It shines.");
    world.end_wholly().await;

    // What was acknowledged is known to the next; the second review comes, and both are published.
    let world = place.open().await;
    let (mut devices, trust) = (world.connect(), &world.pins.trust);
    assert_eq!(ask_door(&mut devices, broken).await.unwrap(), receipt);
    let spent = ask_door(&mut devices, another).await.unwrap_err();
    assert_eq!(spent, "desk.spent", "the same order has the same token");
    let late = ask_door(&mut devices, shines).await.unwrap();
    scheduled.check_receipt(&Receipt::from_bytes(&late).unwrap(), trust, FORTNIGHT_LATER).unwrap();
    world.go_to(scheduled.publication.saturating_add(60));
    assert_eq!(world.service.tick().unwrap().batches.len(), 1);
    let listing = devices.get(&format!("/reviews/published/{MERCHANT}")).await.unwrap();
    assert_eq!(listing.object().unwrap()["reviews"].as_array().unwrap().len(), 2);
    let rated = histogram(&mut devices).await;
    assert_eq!(rated, json!({ "counts": [1, 0, 0, 0, 1], "mean": 3.0 }));
    let rows = world.rows();
    world.end_wholly().await;

    let world = place.open().await;
    let (mut devices, mut internal) = (world.connect(), world.connect_internal());
    assert_eq!(world.rows(), rows);
    assert_eq!(devices.get(&format!("/reviews/published/{MERCHANT}")).await.unwrap().body, listing.body);
    assert_eq!(histogram(&mut devices).await, rated);
    for (body, answer) in closed {
        assert_eq!(ask(&mut internal, "/phones/close-order", body).await, answer);
    }
    assert_eq!(internal.get("/health/ready").await.unwrap().status, 200);
    assert!(world.service.tick().unwrap().batches.is_empty(), "nothing is published twice");
    world.end_wholly().await;
}
