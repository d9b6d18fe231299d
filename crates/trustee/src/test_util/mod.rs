//! What tests of this crate and of others need in place of a key ceremony, a platform and a court.

#![allow(missing_docs, reason = "each test says what it uses it for")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helper fails the test"
)]

mod dealer;
pub mod world;

pub use dealer::insecure_test_dealer;

use std::sync::Arc;
use unjoin_audit::History;
use unjoin_core::entry::Ledger;
use unjoin_core::secret::SystemRng;
use unjoin_core::{Environment, ManualClock};
use unjoin_log::{Log, NoteKey, Witness, WitnessPolicy, WitnessService};
use unjoin_store::identity::{Role, Roster};
use unjoin_store::{MemoryStore, OwnStore, Store, StoreError, Stores};

/// An openings ledger of these entries, under a checkpoint that a witness has cosigned.
pub fn history_of(entries: &[Vec<u8>]) -> History {
    let clock = Arc::new(ManualClock::new(world::START));
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    let (key, store) = (world::log_key(world::OPENINGS), || Arc::new(MemoryStore::new()));
    let name = unjoin_log::KeyName::new("witness").unwrap();
    let witness = WitnessService::create(store(), name, vec![key.public().clone()], environment);
    let witness: Arc<dyn Witness> = Arc::new(witness.unwrap());
    let witnesses = vec![witness.public_key().clone()];
    let policy = WitnessPolicy::new(key.public().clone(), witnesses, 1, 0, 1).unwrap();
    let log = fresh_log(key, Some(&policy));
    log.append(entries).unwrap();
    assert!(log.publish(&[witness]).unwrap().published);
    History::read(&log, &policy, None, world::START).unwrap()
}

/// This store as its service opens it: created by the first call, opened by later ones, alone.
pub fn own<S: Store>(store: &Arc<S>, role: Role) -> Arc<OwnStore<S>> {
    let roster = Roster::alone(role, &mut world::Constant(7));
    let (rng, stores) = (&mut SystemRng::new(), || [(role, Arc::clone(store))]);
    let opened = match Stores::open(&roster, stores(), rng) {
        Err(StoreError::Nobodys(_)) => Stores::create(&roster, stores(), rng),
        opened => opened,
    };
    opened.unwrap().own(role).unwrap()
}

/// A fresh log of openings.
pub fn fresh_log(key: NoteKey, policy: Option<&WitnessPolicy>) -> Log<MemoryStore> {
    Log::open(fresh(Role::Ledgers), Ledger::Openings, key, policy.cloned()).unwrap()
}

/// A fresh store in memory.
pub fn fresh(role: Role) -> Arc<OwnStore<MemoryStore>> {
    own(&Arc::new(MemoryStore::new()), role)
}
