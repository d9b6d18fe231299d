//! The ledgers as everybody reads them, removals, and what trustees are given.

use super::path::ask;
use super::{FORTNIGHT_LATER, MERCHANT, World, ask_door, submission};
use crate::client::Connection;
use serde_json::{Value, json};
use std::sync::Arc;
use unjoin::ledger::tile::decode_bundle;
use unjoin::ledger::tree::{leaf_hash, root_of};
use unjoin::ledger::{
    BindingEntry, DisclosedEntry, Log, LogView, PublishedEntry, RemovedEntry, SignedCheckpoint,
    StaffKeyEntry, TileId,
};
use unjoin::opening::ReviewEvidence;
use unjoin::store::{MemoryStore, Store};
use unjoin::wire::Message;
use unjoin::{DAY, WEEK};

fn log<'a, S: Store>(world: &'a World<S>, ledger: &str) -> &'a Log<Arc<S>> {
    let ledgers = world.service.platform.ledgers().unwrap();
    if ledger == "reviews" { ledgers.reviews() } else { ledgers.openings() }
}

/// What the ledger's published checkpoint says.
async fn checkpoint<S: Store>(devices: &mut Connection, world: &World<S>, ledger: &str) -> SignedCheckpoint {
    let shown = devices.get(&format!("/ledgers/{ledger}/checkpoint")).await.unwrap();
    assert_eq!(shown.code(), None);
    SignedCheckpoint::parse(&shown.body, log(world, ledger).public_key()).unwrap()
}

/// How many entries it shows.
pub(super) async fn size<S: Store>(devices: &mut Connection, world: &World<S>, ledger: &str) -> u64 {
    checkpoint(devices, world, ledger).await.size()
}

/// All entries of the reviews ledger, by tiles alone, held against the checkpoint.
async fn entries<S: Store>(devices: &mut Connection, world: &World<S>) -> Vec<Vec<u8>> {
    let shown = checkpoint(devices, world, "reviews").await;
    let id = TileId { level: None, index: 0, width: shown.size().try_into().unwrap() };
    let bundle = devices.get(&format!("/ledgers/reviews/{}", id.path())).await.unwrap();
    let entries = decode_bundle(&bundle.body).unwrap();
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(root_of(&leaves), *shown.root());
    let hashes = TileId { level: Some(0), ..id };
    let tile = devices.get(&format!("/ledgers/reviews/{}", hashes.path())).await.unwrap();
    assert_eq!(&tile.body[..], leaves.as_flattened());
    entries
}

async fn listed(devices: &mut Connection) -> Vec<Value> {
    let listing = devices.get(&format!("/reviews/published/{MERCHANT}")).await.unwrap().object().unwrap();
    listing["reviews"].as_array().unwrap().clone()
}

async fn refusal(internal: &mut Connection, path: &str, body: &Value) -> String {
    internal.post(path, None, body.to_string()).await.unwrap().code().expect("it is refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_shows_what_is_published_and_removed_and_by_whom() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let (mut devices, mut internal) = (world.connect(), world.connect_internal());
    assert_eq!(
        devices.get("/ledgers/reviews/checkpoint").await.unwrap().code().unwrap(),
        "service.not_shown"
    );
    let [(ann, token), _] = world.closed(["ann", "ben"]).await;
    ask_door(&mut devices, submission(&ann, &token, "It came broken.")).await.unwrap();
    world.go_to(FORTNIGHT_LATER.saturating_add(WEEK + DAY));
    // The second checkpoint covers the keys of the door, too, which the first tick has made.
    for _ in 0..2 {
        let _ = world.service.tick();
    }
    let [review] = listed(&mut devices).await.try_into().unwrap();

    // The staff's key, keys of the door, the manifest, and what was published under it.
    let shown = entries(&mut devices, &world).await;
    let published: Vec<_> = shown.iter().filter_map(|entry| PublishedEntry::from_bytes(entry).ok()).collect();
    assert_eq!(published.len(), 1);
    assert_eq!(review["review_id"], crate::hex::hex(published[0].review_id.as_bytes()));
    assert_eq!(review["digest"], crate::hex::hex(&published[0].review_digest));
    let staff: Vec<_> = shown.iter().filter_map(|entry| StaffKeyEntry::from_bytes(entry).ok()).collect();
    assert_eq!(staff.len(), 1);
    assert_eq!(staff[0].staff_key(), world.service.staff.public().as_bytes());

    // No tile beyond the checkpoint, whatever is durable already, and none under another path.
    let before = shown.len();
    let which = json!({ "scope": review["scope"], "review_id": review["review_id"] });
    let mut removal = which.clone();
    (removal["digest"], removal["grounds"]) = (json!("00".repeat(32)), json!("an insult"));
    assert_eq!(refusal(&mut internal, "/reviews/remove", &removal).await, "desk.digest_mismatch");
    removal["digest"] = review["digest"].clone();
    removal["grounds"] = json!("");
    assert_eq!(refusal(&mut internal, "/reviews/remove", &removal).await, "service.field");
    removal["grounds"] = json!("an insult");
    for _ in 0..2 {
        ask(&mut internal, "/reviews/remove", removal.clone()).await;
    }
    assert_eq!(listed(&mut devices).await, Vec::<Value>::new());
    let ledgers = world.service.platform.ledgers().unwrap();
    ledgers.reviews().sequence(&[&*world.stores[1]]).unwrap();
    assert_eq!(ledgers.reviews().size().unwrap(), before as u64 + 1);
    for path in [
        format!("reviews/tile/entries/000.p/{}", before + 1),
        format!("reviews/tile/0/000.p/{}", before + 1),
        "reviews/tile/entries/000".to_owned(),
        "reviews/tile/0/000.p/0".to_owned(),
        "reviews/tile/0/x000/000.p/1".to_owned(),
        "reviews/tile/1/000.p/1".to_owned(),
        "telephony/checkpoint".to_owned(),
    ] {
        let refused = devices.get(&format!("/ledgers/{path}")).await.unwrap();
        assert_eq!(refused.code().as_deref(), Some("service.not_shown"), "{path}");
    }
    let _ = world.service.tick();
    let shown = entries(&mut devices, &world).await;
    assert_eq!(shown.len(), before + 1);
    let removed = RemovedEntry::from_bytes(&shown[before]).unwrap();
    removed.verify(log(&world, "reviews").public_key().name().as_str()).unwrap();
    assert_eq!((removed.grounds(), removed.claimed_key()), ("an insult", staff[0].staff_key()));

    // Trustees are given it, shown or not; nobody else's id finds anything.
    let evidence = internal.post("/reviews/evidence", None, which.to_string()).await.unwrap();
    let evidence = ReviewEvidence::from_bytes(&evidence.body).unwrap();
    assert_eq!(evidence.published.claimed_entry(), published[0].to_bytes());
    let mut unknown = which;
    unknown["review_id"] = json!("11".repeat(32));
    assert_eq!(refusal(&mut internal, "/reviews/evidence", &unknown).await, "service.no_evidence");
    unknown["digest"] = removal["digest"].clone();
    unknown["grounds"] = json!("an insult");
    assert_eq!(refusal(&mut internal, "/reviews/remove", &unknown).await, "desk.unknown_review");

    // The openings ledger takes an entry once, and shows it with the next checkpoint.
    let path = "/ledgers/openings/append";
    let entry = DisclosedEntry { warrant_digest: [1; 32], blind: [2; 32] }.to_bytes();
    // Behind what was logged as both wallets were enrolled.
    for _ in 0..2 {
        let answer = internal.post(path, None, entry.clone()).await.unwrap().object().unwrap();
        assert_eq!(answer, json!({ "index": 2 }));
    }
    // Nothing that the platform itself logs, be it well formed: a binding, a staff key, a removal, a manifest.
    let openings = log(&world, "openings");
    let [binding] = openings.entries(0, 1).unwrap().try_into().unwrap();
    assert!(BindingEntry::from_bytes(&binding).is_ok());
    let mut refused = shown.clone();
    refused.extend([binding, Vec::new(), b"an announcement".to_vec(), entry[..entry.len() - 1].to_vec()]);
    for refused in refused {
        assert_eq!(internal.post(path, None, refused).await.unwrap().code().unwrap(), "service.entry");
    }
    assert_eq!(openings.size().unwrap(), 3);
    let _ = world.service.tick();
    assert_eq!(size(&mut devices, &world, "openings").await, 3);
    assert_eq!(openings.entries(2, 3).unwrap(), [entry]);
    world.end().await;
}
