//! A key counts when everybody sees it.

use super::{END, NOW};
use crate::{DoorError, DoorKeys};
use std::sync::Arc;
use unjoin_core::entry::{DoorKeyEntry, Ledger};
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::token::PlatformKey;
use unjoin_core::wire::Message;
use unjoin_core::{Clock, DAY, Environment, Grid, ManualClock, Timestamp, WEEK};
use unjoin_log::{
    CosignedEntry, KeyName, Log, LogView, NoteKey, PolicyError, Witness, WitnessPolicy, WitnessService,
};
use unjoin_store::MemoryStore;
use unjoin_store::identity::Role;
use unjoin_test_util::fresh;

pub(super) const ORIGIN: &str = "shop.example/reviews";

/// A platform's ledger with one witness, whose clock the test sets.
pub(super) struct World {
    pub(super) platform: PlatformKey,
    pub(super) log: Log<MemoryStore>,
    witness: Arc<WitnessService<MemoryStore>>,
    policy: WitnessPolicy,
    clock: Arc<ManualClock>,
}

impl World {
    pub(super) fn new() -> Self {
        let key = NoteKey::from_secret_bytes(KeyName::new(ORIGIN).unwrap(), &SecretBytes::new([2; 32]));
        let clock = Arc::new(ManualClock::new(NOW));
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let (store, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness").unwrap());
        let logs = vec![key.public().clone()];
        let witness = Arc::new(WitnessService::create(store, name, logs, environment).unwrap());
        let witnesses = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), witnesses, 1, 0, DAY).unwrap();
        let store = fresh(Role::Ledgers);
        let log = Log::open(store, Ledger::Reviews, key, Some(policy.clone())).unwrap();
        let platform = PlatformKey::from_secret_bytes(&SecretBytes::new([1; 32]));
        Self { platform, log, witness, policy, clock }
    }

    pub(super) fn keys(&self) -> DoorKeys {
        DoorKeys::new(self.platform.public(), self.policy.clone(), Grid::Weekly)
    }

    pub(super) fn entry(&self, id: u8, weeks: core::ops::Range<u64>) -> DoorKeyEntry {
        let at = |week| NOW.saturating_add(week * WEEK);
        DoorKeyEntry::sign(&self.platform, ORIGIN, id, [id; 32], 2, at(weeks.start)..at(weeks.end)).unwrap()
    }

    /// Appends entries, and publishes a checkpoint over them that the witness has cosigned at this time.
    pub(super) fn publish(&self, entries: &[Vec<u8>], at: Timestamp) {
        self.clock.set(at);
        self.log.append(entries).unwrap();
        let witness: Arc<dyn Witness> = self.witness.clone();
        assert!(self.log.publish(&[witness]).unwrap().published);
    }

    /// The evidence for an entry that is logged now.
    fn logged(&self, entry: &[u8]) -> CosignedEntry {
        self.publish(&[entry.to_vec()], self.clock.now());
        self.log.evidence_of(entry).unwrap().unwrap()
    }
}

#[test]
fn a_device_takes_the_newest_key_of_a_fresh_cosigned_ledger() {
    let world = World::new();
    let mut keys = world.keys();
    assert_eq!(keys.newest(NOW), None);
    keys.pin(world.entry(1, 0..2)).unwrap();
    let next = world.entry(2, 1..3);
    for _ in 0..2 {
        keys.admit(&world.logged(&next.to_bytes()), NOW).unwrap();
    }
    let at = |time| keys.newest(time).map(DoorKeyEntry::key_id);
    assert_eq!([at(NOW), at(NOW.saturating_add(WEEK)), at(END)], [Some(1), Some(2), Some(2)]);
    assert_eq!(at(END.saturating_add(WEEK)), None);
    // Kept, and read again at the next start.
    let mut again = world.keys();
    keys.entries().iter().for_each(|entry| again.pin(entry.clone()).unwrap());
    assert_eq!(again.newest(NOW), keys.newest(NOW));
}

#[test]
fn a_key_that_is_not_everybodys_is_refused() {
    let world = World::new();
    let mut keys = world.keys();
    let good = world.entry(2, 1..3);
    let evidence = world.logged(&good.to_bytes());
    let mut refused = |evidence: &CosignedEntry, now| keys.admit(evidence, now).unwrap_err();

    // What the platform alone shows: a history that no witness has seen.
    let alone = World { policy: world.policy.clone(), ..World::new() };
    alone.log.append(&[b"another history".to_vec(), good.to_bytes()]).unwrap();
    let unseen = CosignedEntry::new(
        good.to_bytes(),
        alone.log.inclusion(1, 2).unwrap(),
        alone.log.sign().unwrap().to_bytes(),
    );
    assert_eq!(refused(&unseen.unwrap(), NOW), DoorError::NotLogged(PolicyError::NoQuorum));
    // What was cosigned long ago may have been followed by others.
    let late = NOW.saturating_add(2 * DAY);
    assert_eq!(refused(&evidence, late), DoorError::NotLogged(PolicyError::Stale));
    // Another entry than the logged one.
    let mut other = evidence.to_bytes();
    let place = other.windows(116).position(|window| window == good.to_bytes()).unwrap();
    other[place + 3] ^= 1;
    let other = CosignedEntry::from_bytes(&other).unwrap();
    assert!(matches!(refused(&other, NOW), DoorError::NotLogged(PolicyError::Proof(_))));
    assert_eq!(refused(&world.logged(b"no key"), NOW), DoorError::NoKeyEntry);
    let ended = world.entry(3, 0..1).to_bytes();
    let over = NOW.saturating_add(WEEK);
    world.publish(std::slice::from_ref(&ended), over);
    assert_eq!(refused(&world.logged(&ended), over), DoorError::KeyEnded);

    // Logged, and not the platform's, or with a date of its own.
    let stranger = PlatformKey::from_secret_bytes(&SecretBytes::new([9; 32]));
    let sign = |platform, from: Timestamp| {
        DoorKeyEntry::sign(platform, ORIGIN, 2, [2; 32], 0, from..END.saturating_add(4 * WEEK))
            .unwrap()
            .to_bytes()
    };
    assert_eq!(refused(&world.logged(&sign(&stranger, NOW)), over), DoorError::KeySignature);
    let off = sign(&world.platform, NOW.saturating_add(3_600));
    assert_eq!(refused(&world.logged(&off), over), DoorError::KeyOffGrid);
    assert!(keys.entries().is_empty());
}

/// A third key at any time is how one device would be told from all others.
#[test]
fn a_third_key_at_once_is_refused() {
    let world = World::new();
    let mut keys = world.keys();
    for entry in [world.entry(1, 0..2), world.entry(2, 1..3), world.entry(3, 2..4)] {
        keys.admit(&world.logged(&entry.to_bytes()), NOW).unwrap();
    }
    for weeks in [0..1, 1..2, 1..4, 2..3] {
        // The first week has one only.
        let entry = world.entry(9, weeks.clone());
        let outcome = keys.clone().admit(&world.logged(&entry.to_bytes()), NOW);
        assert_eq!(outcome, if weeks == (0..1) { Ok(()) } else { Err(DoorError::TooManyKeys) }, "{weeks:?}");
    }
    assert_eq!(keys.entries().len(), 3);
}

#[test]
fn a_key_entry_is_read_back_and_no_other_bytes_are() {
    let entry = World::new().entry(1, 0..2);
    let bytes = entry.to_bytes();
    assert_eq!((bytes.len(), DoorKeyEntry::from_bytes(&bytes)), (116, Ok(entry)));
    for at in 0..bytes.len() {
        assert!(DoorKeyEntry::from_bytes(&bytes[..at]).is_err());
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let platform = World::new().platform.public();
        let read = DoorKeyEntry::from_bytes(&changed);
        assert!(
            read.is_err() || read.is_ok_and(|entry| entry.verify(&platform, ORIGIN).is_err()),
            "byte {at}"
        );
    }
    assert!(DoorKeyEntry::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}
