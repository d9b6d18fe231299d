//! The reviews ledger with one witness, and what a device finds in it.

use super::rules::{stage, with_tokens};
use super::*;
use std::sync::Arc;
use unjoin_core::entry::{Ledger as Which, PublishedEntry};
use unjoin_core::secret::SystemRng;
use unjoin_core::{Clock, Environment, ManualClock};
use unjoin_log::{CosignedEntry, KeyName, Log, LogView, NoteKey, Witness, WitnessPolicy, WitnessService};
use unjoin_store::MemoryStore;
use unjoin_store::identity::Role;

pub(super) struct Ledger {
    log: Log<MemoryStore>,
    witness: Arc<WitnessService<MemoryStore>>,
    pub(super) policy: WitnessPolicy,
    clock: Arc<ManualClock>,
}

/// What an insider does with a review that was promised.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Insider {
    Honest,
    LeavesOut,
    ChangesWords,
    /// Under an author key of their own.
    ChangesKey,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let name = KeyName::new("shop.example/reviews").unwrap();
        let key = NoteKey::from_secret_bytes(name, &SecretBytes::new([2; 32]));
        let clock = Arc::new(ManualClock::new(START));
        let environment = Environment::new(clock.clone() as Arc<dyn Clock>, || Box::new(SystemRng::new()));
        let (store, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness").unwrap());
        let logs = vec![key.public().clone()];
        let witness = Arc::new(WitnessService::create(store, name, logs, environment).unwrap());
        let witnesses = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), witnesses, 1, 0, DAY).unwrap();
        let store = unjoin_test_util::fresh(Role::Ledgers);
        let log = Log::open(store, Which::Reviews, key, Some(policy.clone())).unwrap();
        Self { log, witness, policy, clock }
    }

    /// Logs them, if they are not there, and gives the evidence for each as of now.
    pub(super) fn evidence(&self, entries: &[Vec<u8>], now: Timestamp) -> Vec<CosignedEntry> {
        self.clock.set(now);
        self.log.append(entries).unwrap();
        let witness: Arc<dyn Witness> = self.witness.clone();
        assert!(self.log.publish(&[witness]).unwrap().published);
        entries.iter().map(|entry| self.log.evidence_of(entry).unwrap().unwrap()).collect()
    }
}

impl World {
    pub(super) fn with_ledger(seed: u64) -> Self {
        Self { ledger: Some(Ledger::new()), ..Self::new(seed) }
    }

    /// The bundle of this boundary, of a single shard: as in every other, there is something that is everybody's.
    pub(super) fn bundle(&self, boundary: Timestamp, now: Timestamp) -> Vec<CosignedEntry> {
        let everybodys = vec![vec![1, 56, 0]];
        let kept = self.reviews.values().filter(|kept| kept.receipt.terms().publish_by == boundary);
        let appeared =
            kept.filter(|kept| boundary <= now && kept.appears && self.insider != Insider::LeavesOut);
        let published = appeared.map(|kept| {
            let terms = kept.receipt.terms();
            let mut entry = PublishedEntry {
                scope: kept.scope.clone(),
                boundary,
                review_id: terms.review_id,
                review_digest: terms.review_digest,
                presentation_hash: terms.presentation_hash,
                author_key: terms.author_key,
            };
            match self.insider {
                Insider::ChangesWords => entry.review_digest = [7; 32],
                Insider::ChangesKey => entry.author_key = AuthorKey([7; 32]),
                _ => {}
            }
            entry.to_bytes()
        });
        let entries: Vec<_> = everybodys.into_iter().chain(published).collect();
        self.ledger.as_ref().unwrap().evidence(&entries, now)
    }
}

fn promise(device: &Device, now: Timestamp) -> Option<ReviewPromise> {
    device.reviews(now)[0].promise
}

/// A device with a review that appears at the fourth day.
fn promised(seed: u64, insider: Insider) -> (World, Device) {
    let (mut world, mut device) = with_tokens(World::with_ledger(seed));
    world.insider = insider;
    calm(&mut world, &mut device, day(2), day(4));
    assert_eq!(stage(&device, 0, day(4)), ReviewStage::Appeared(day(4)));
    (world, device)
}

#[test]
fn a_device_finds_by_itself_whether_its_review_stands_in_the_ledger_as_it_was_promised() {
    for (insider, found) in [
        (Insider::Honest, ReviewPromise::Kept),
        (Insider::LeavesOut, ReviewPromise::Missing),
        (Insider::ChangesWords, ReviewPromise::Changed),
        (Insider::ChangesKey, ReviewPromise::Changed),
    ] {
        let (mut world, mut device) = promised(21, insider);
        // Nothing is said before the ledger can have it.
        assert_eq!(promise(&device, day(4)), None);
        calm(&mut world, &mut device, day(4), day(6));
        assert_eq!(promise(&device, day(6)), Some(found));
        // It stays so over restarts, and beside it the receipt, which is the evidence.
        let (key, rng) = (SecretBytes::random(&mut world.rng), &mut Seeded(3));
        let again = Device::open(&device.seal(&key, rng), &key, world.trust()).unwrap();
        assert_eq!(promise(&again, day(6)), Some(found));
        assert!(again.reviews(day(6))[0].receipt.is_some());
        let words = [found.to_string(), found.in_chinese().to_owned()];
        assert!(words.iter().all(|words| !words.is_empty()));
    }
}

#[test]
fn who_wrote_nothing_reads_the_ledger_as_often_as_who_did() {
    let (mut world, mut device) = with_tokens(World::with_ledger(22));
    let (mut now, mut reads) = (day(2), BTreeMap::<Name, u32>::new());
    while now < day(12) {
        let rng = &mut Seeded(now.as_unix_seconds());
        let actions = device.next(now, rng);
        for action in actions.iter().filter(|action| action.request.is_some()) {
            let request = action.request.as_ref().unwrap();
            if let Request::Published { boundary, merchant } = request {
                assert!(!request.carries_account() && *boundary == day(4));
                assert!(now.saturating_since(*boundary) >= 2 * 3_600);
                *reads.entry(merchant.clone()).or_default() += 1;
            }
            let reply = world.answer(request, now);
            device.handle(action.number, reply, now, rng).unwrap();
        }
        let coming = actions.iter().filter(|action| action.request.is_none()).map(|action| action.at).min();
        now = coming.unwrap_or(day(12)).max(now.saturating_add(1));
    }
    // The first order has a review, the second none.
    assert_eq!(reads, [(order(0).0, 1), (order(1).0, 1)].into());
    assert_eq!(device.reviews(day(12)).iter().filter(|status| status.promise.is_some()).count(), 1);
}

#[test]
fn a_bundle_from_before_the_boundary_or_of_another_ledger_says_nothing() {
    let (world, mut device) = promised(23, Insider::LeavesOut);
    let (mut now, rng) = (day(4), &mut Seeded(5));
    let number = loop {
        let actions = device.next(now, rng);
        let asks = |action: &&Action| matches!(action.request, Some(Request::Published { .. }));
        if let Some(action) = actions.iter().find(asks) {
            break action.number;
        }
        for action in actions.iter().filter(|action| action.request.is_some()) {
            device.handle(action.number, Reply::Lost, now, rng).unwrap();
        }
        now = actions
            .iter()
            .filter(|a| a.request.is_none())
            .map(|a| a.at)
            .min()
            .unwrap()
            .max(now.saturating_add(1));
    };
    let early = World::with_ledger(23).bundle(day(4), day(4));
    let mut another = Ledger::new();
    another.policy = world.ledger.as_ref().unwrap().policy.clone();
    let foreign = another.evidence(&[vec![1, 56, 0]], now);
    let (key, blob_rng) = (SecretBytes::random(rng), &mut Seeded(6));
    let blob = device.seal(&key, blob_rng);
    for entries in [Vec::new(), early, foreign] {
        let refused = device.handle(number, Reply::Published(entries), now, rng);
        assert!(matches!(refused, Err(WalletError::NotLogged | WalletError::NotAsked)));
        assert_eq!(promise(&device, now), None);
    }
    // Nor does an app that has no ledger pinned any more.
    let world_without = World::new(23);
    let mut without = Device::open(&blob, &key, world_without.trust()).unwrap();
    let later = now.saturating_add(3 * DAY);
    assert!(
        without
            .next(later, rng)
            .iter()
            .all(|action| !matches!(action.request, Some(Request::Published { .. })))
    );
}

#[test]
fn a_review_that_was_withdrawn_while_it_was_held_is_missed_by_nobody() {
    let (mut world, mut device) = with_tokens(World::with_ledger(24));
    let rng = &mut Seeded(25);
    let before = day(4).saturating_sub(3_600);
    calm(&mut world, &mut device, day(2), before);
    device.withdraw_review(order(0).1, before, rng).unwrap();
    calm(&mut world, &mut device, before, day(8));
    let taken_back = world.reviews.values().all(|kept| !kept.appears);
    let withdrawn = stage(&device, 0, day(40)) == ReviewStage::Withdrawn;
    assert!(withdrawn);
    // In time, or after it appeared: then it stands there.
    let expected = if taken_back { None } else { Some(ReviewPromise::Kept) };
    assert_eq!(promise(&device, day(8)), expected);
}
