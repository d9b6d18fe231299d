//! What tests of this crate and of others need in place of a key ceremony, a platform and a court.

#![allow(missing_docs, reason = "each test says what it uses it for")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "for tests")]

mod dealer;
mod ledger;
pub mod shop;
pub mod world;

pub use dealer::insecure_test_dealer;
pub use ledger::SmallLedger;

use std::sync::Arc;
use unjoin_audit::History;
use unjoin_core::entry::Ledger;
use unjoin_core::secret::SystemRng;
use unjoin_log::{Log, NoteKey, WitnessPolicy};
use unjoin_store::identity::{Role, Roster};
use unjoin_store::{MemoryStore, OwnStore, Store, StoreError, Stores};

/// An openings ledger of these entries, under a checkpoint that a witness has cosigned.
pub fn history_of(entries: &[Vec<u8>]) -> History {
    SmallLedger::new(Ledger::Openings, world::OPENINGS, entries, world::START).history()
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
    fresh_log_of(Ledger::Openings, key, policy)
}

/// A fresh log.
pub fn fresh_log_of(ledger: Ledger, key: NoteKey, policy: Option<&WitnessPolicy>) -> Log<MemoryStore> {
    Log::open(fresh(Role::Ledgers), ledger, key, policy.cloned()).unwrap()
}

/// A fresh store in memory.
pub fn fresh(role: Role) -> Arc<OwnStore<MemoryStore>> {
    own(&Arc::new(MemoryStore::new()), role)
}
