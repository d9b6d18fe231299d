//! The door over Oblivious HTTP, through a relay: one length each way, each question once, each key to its end.

use super::{Bounds, Directory, FORTNIGHT_LATER, HOST, Held, MERCHANT, MONDAY, World, ask_door, submission};
use crate::device::{manifests, question};
use crate::relay::{Relay, Settings, serve};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use unjoin::ledger::{CosignedEntry, DoorKeyEntry};
use unjoin::secret::SystemRng;
use unjoin::store::{MemoryStore, Store};
use unjoin::token::{CohortManifest, DoorAnswer, DoorMessage, DoorQuestion, Receipt};
use unjoin::wire::Message;
use unjoin::{DAY, Name, Timestamp};
use unjoin_door::{ANSWER_LENGTH, BundlePiece, KeyConfig, request_length, seal};
use unjoin_test_util::Faulty;

/// A relay before the service, and who asks it.
pub(super) struct Way {
    relay: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Way {
    pub(super) async fn to<S: Store>(world: &World<S>) -> Self {
        let settings = Settings {
            gateways: vec![format!("/shop=http://{}/gateway", world.public).parse().unwrap()],
            per_minute: 10_000,
            in_flight: 100,
            connections: 100,
            pooled: 10,
            address_header: None,
            patience: Duration::from_secs(60),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let relay = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, Relay::new(settings).unwrap(), stopped));
        Self { relay, _stop: stop }
    }

    /// Posts a sealed question from the n-th address on loopback: the address that the relay saw, the answer's head
    /// without its date, and its body.
    pub(super) async fn post(&self, client: u32, sealed: &[u8]) -> (SocketAddr, String, Vec<u8>) {
        let socket = TcpSocket::new_v4().unwrap();
        let from = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + 10 + client);
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(self.relay).await.unwrap();
        let seen = stream.local_addr().unwrap();
        let head = format!(
            "POST /shop HTTP/1.1\r\nhost: relay.example\r\nuser-agent: phone-{client}\r\ncookie: session={client}\r\n\
             content-type: message/ohttp-req\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            sealed.len()
        );
        stream.write_all(&[head.as_bytes(), sealed].concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let body = answer.split_off(end + 4);
        let head = String::from_utf8(answer).unwrap();
        let head: Vec<&str> = head.lines().filter(|line| !line.to_lowercase().starts_with("date:")).collect();
        (seen, head.join("\n"), body)
    }

    /// What the door says to this message, through relay and gateway.
    async fn ask(&self, key: &KeyConfig, message: &[u8]) -> DoorAnswer {
        let message = DoorMessage::from_bytes(message).unwrap();
        let (sealed, waiting) = seal(key, HOST, &message, &mut SystemRng::new()).unwrap();
        let (_, head, body) = self.post(0, &sealed).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        waiting.open(&body).unwrap()
    }
}

/// The newest key that holds, as an app has it from the service's directory.
pub(super) fn newest<S: Store>(world: &World<S>, now: Timestamp) -> DoorKeyEntry {
    let file = std::fs::read(world.directory.0.join("secrets/door-keys.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(file["host"], HOST);
    let keys = file["keys"].as_array().unwrap().iter().map(|key| {
        DoorKeyEntry::from_bytes(&Base64UrlUnpadded::decode_vec(key.as_str().unwrap()).unwrap()).unwrap()
    });
    let keys: Vec<_> = keys.collect();
    for key in &keys {
        key.verify(&world.pins.platform_key, "shop.example/reviews").unwrap();
    }
    keys.into_iter().rfind(|key| key.holds_at(now)).unwrap()
}

fn bundle(boundary: Timestamp, shard: u16, piece: u16) -> Vec<u8> {
    question(DoorQuestion::Bundle { boundary, shard, piece })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_and_answered_has_one_length_each_way() {
    let bounds = Bounds { patience: Duration::from_secs(6), ..Bounds::default() };
    let world = World::start(Faulty::in_memory, bounds).await;
    let [(ann, token), (ben, other)] = world.closed(["ann", "ben"]).await;
    let (way, key) = (Way::to(&world).await, KeyConfig::from(&newest(&world, FORTNIGHT_LATER)));
    let state = |now| {
        let asked = ann.wallet.ask_state(&token, now, &mut SystemRng::new()).unwrap();
        question(DoorQuestion::State { scope: token.scope().clone(), question: asked })
    };
    let short = submission(&ann, &token, "");
    let of_ben = submission(&ben, &other, &"x".repeat(4_096));
    let asked = [
        (short.clone(), "ok"),
        (short.clone(), "ok"),
        (submission(&ann, &token, "Another."), "desk.spent"),
        (state(FORTNIGHT_LATER), "ok"),
        (state(MONDAY), "desk.refused"),
        (bundle(MONDAY, 0, 0), "desk.no_bundle"),
        (of_ben.clone(), "ok"),
    ];
    let (mut requests, mut heads, mut said) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (message, _) in &asked {
        let message = DoorMessage::from_bytes(message).unwrap();
        let (sealed, waiting) = seal(&key, HOST, &message, &mut SystemRng::new()).unwrap();
        let (_, head, body) = way.post(0, &sealed).await;
        requests.insert(sealed.len());
        heads.insert(head);
        assert_eq!(body.len(), ANSWER_LENGTH);
        let answer = waiting.open(&body).unwrap();
        let is_error = answer.status() != 200;
        said.push(if is_error { String::from_utf8(answer.body().to_vec()).unwrap() } else { "ok".into() });
    }
    assert_eq!(said, asked.map(|(_, said)| said));
    assert_eq!(requests.into_iter().collect::<Vec<_>>(), [request_length(HOST).unwrap()]);
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads.first().unwrap().contains("content-type: message/ohttp-res"), "{heads:?}");

    // The same receipt as at the door itself.
    let receipt = way.ask(&key, &short).await;
    assert_eq!(ask_door(&mut world.connect(), short).await.unwrap(), receipt.body());
    assert!(Receipt::from_bytes(receipt.body()).is_ok());
    // What the desk cannot decide in time is said within an answer, too.
    let held = Held::next_read_of(&world.stores[1]);
    let late = way.ask(&key, &of_ben).await;
    assert_eq!((late.status(), late.body()), (503, &b"service.timeout"[..]));
    held.let_go();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_opened_once_and_a_key_serves_to_its_end() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    let way = Way::to(&world).await;
    let refused = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["code"].clone();
    let key = newest(&world, MONDAY);
    assert_eq!((key.from(), key.until()), (MONDAY, MONDAY.saturating_add(2 * DAY)));
    let message = DoorMessage::from_bytes(&bundle(MONDAY, 0, 0)).unwrap();
    let sealed =
        |key: &DoorKeyEntry| seal(&KeyConfig::from(key), HOST, &message, &mut SystemRng::new()).unwrap().0;

    let once = sealed(&key);
    assert_eq!(way.post(0, &once).await.2.len(), ANSWER_LENGTH);
    for _ in 0..2 {
        let (_, head, body) = way.post(1, &once).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert_eq!(refused(&body), "door.replayed");
    }
    let mut changed = sealed(&key);
    changed[100] ^= 1;
    assert_eq!(refused(&way.post(0, &changed).await.2), "door.sealed");
    assert_eq!(refused(&way.post(0, &changed[1..]).await.2), "door.length");
    changed[0] ^= 0x80;
    assert_eq!(refused(&way.post(0, &changed).await.2), "door.unknown_key");

    // A day later there is another key beside it; two days later it has ended, and its file is gone.
    let file = |key: &DoorKeyEntry| {
        world.directory.0.join("secrets/door").join(key.from().as_unix_seconds().to_string()).exists()
    };
    let mut keys = vec![key];
    for day in 1..4 {
        let now = MONDAY.saturating_add(day * DAY);
        world.go_to(now);
        assert!(world.service.tick().unwrap().failed.is_empty());
        keys.push(newest(&world, now));
        let [ended @ .., before, newest] = &keys[..] else { panic!("two keys at least") };
        assert_eq!(newest.from(), now);
        for key in ended {
            assert_eq!(refused(&way.post(0, &sealed(key)).await.2), "door.unknown_key");
            assert!(!file(key));
        }
        for key in [before, newest] {
            assert_eq!(way.post(0, &sealed(key)).await.2.len(), ANSWER_LENGTH);
            assert!(file(key));
        }
    }
    let publics: BTreeSet<_> = keys.iter().map(|key| *key.public_key()).collect();
    assert_eq!(publics.len(), 4, "each key is drawn for itself");

    // What stands in the ledger: each of them once, a day before it begins.
    let shown = world.connect().get("/door/keys").await.unwrap().object().unwrap();
    let shown: Vec<_> = shown["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            let evidence = Base64UrlUnpadded::decode_vec(key.as_str().unwrap()).unwrap();
            DoorKeyEntry::from_bytes(CosignedEntry::from_bytes(&evidence).unwrap().claimed_entry()).unwrap()
        })
        .collect();
    assert_eq!(shown[..2], keys[2..]);
    world.end().await;
}

/// A second key for a time that has one would be a third at once, which devices refuse.
#[tokio::test(flavor = "multi_thread")]
async fn keys_outlive_a_restart_and_a_lost_one_is_never_made_anew() {
    let store = || Arc::new(MemoryStore::new());
    let stores = [store(), store(), store(), store()];
    let (directory, clock) = (Arc::new(Directory::new()), Arc::new(unjoin::ManualClock::doubtful(MONDAY)));
    let open = || World::open(Arc::clone(&directory), clock.clone(), stores.clone(), Bounds::default());
    let world = open().await;
    let key = newest(&world, MONDAY);
    assert!(world.service.tick().unwrap().failed.is_empty());
    world.end().await;
    let world = open().await;
    assert_eq!(newest(&world, MONDAY), key);
    assert!(world.service.tick().unwrap().failed.is_empty());
    world.end().await;
    std::fs::remove_dir_all(directory.0.join("secrets/door")).unwrap();
    let world = open().await;
    assert!(world.service.gateway.entries().is_empty());
    // The first that was not logged yet begins two days later.
    let later = MONDAY.saturating_add(DAY);
    world.go_to(later);
    assert!(world.service.tick().unwrap().failed.is_empty());
    assert_eq!(world.service.gateway.entries()[0].from(), MONDAY.saturating_add(2 * DAY));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_fetched_in_a_bundle_that_names_no_merchant() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    world.closed(["ann", "ben"]).await;
    let way = Way::to(&world).await;
    // The next tick has the checkpoint that covers it.
    assert!(world.service.tick().unwrap().failed.is_empty());
    let key = newest(&world, FORTNIGHT_LATER);
    let manifest = manifests(&mut world.connect(), MERCHANT).await.unwrap().remove(0);
    let boundary = manifest.verify(&world.pins.platform_key).unwrap().publications.first();
    let shard = BundlePiece::shard_of_merchant(&Name::new(MERCHANT).unwrap(), key.shard_bits());
    let (mut pieces, config) = (Vec::new(), KeyConfig::from(&key));
    loop {
        let answer = way.ask(&config, &bundle(boundary, shard, pieces.len() as u16)).await;
        assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(answer.body()));
        let piece = BundlePiece::from_bytes(answer.body()).unwrap();
        let of = usize::from(piece.of());
        pieces.push(piece);
        if pieces.len() == of {
            break;
        }
    }
    let entries = BundlePiece::join(&pieces).unwrap();
    let of_kind =
        |kind: u8| entries.iter().map(CosignedEntry::claimed_entry).filter(move |entry| entry[1] == kind);
    let manifests: Vec<_> =
        of_kind(CohortManifest::KIND).map(|entry| CohortManifest::from_bytes(entry).unwrap()).collect();
    assert_eq!(manifests.len(), 1);
    assert_eq!(manifests[0].scope.merchant().as_bytes(), MERCHANT.as_bytes());
    // The keys come with it: the present one among them.
    assert!(of_kind(DoorKeyEntry::KIND).any(|entry| entry == key.to_bytes()));
    let none = way.ask(&config, &bundle(boundary.saturating_add(DAY), 0, 0)).await;
    assert_eq!(none.body(), b"desk.no_bundle");
    world.end().await;
}
