//! A ledger in small: a log with one witness.

use super::{fresh_log_of, world};
use std::sync::Arc;
use unjoin_audit::History;
use unjoin_core::entry::Ledger;
use unjoin_core::secret::SystemRng;
use unjoin_core::{Clock, Environment, ManualClock, Timestamp};
use unjoin_log::{KeyName, Log, Witness, WitnessPolicy, WitnessService};
use unjoin_store::MemoryStore;

const REVIEWS: &str = "shop.example/reviews";

pub struct SmallLedger {
    pub log: Log<MemoryStore>,
    pub policy: WitnessPolicy,
    pub witness: Arc<dyn Witness>,
    /// The witness's.
    pub clock: Arc<ManualClock>,
}

impl SmallLedger {
    /// A reviews ledger of these entries, published at this time.
    pub fn of_reviews(entries: &[Vec<u8>], now: Timestamp) -> Self {
        Self::new(Ledger::Reviews, REVIEWS, entries, now)
    }

    pub fn new(ledger: Ledger, origin: &str, entries: &[Vec<u8>], now: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let (key, name) = (world::log_key(origin), KeyName::new("witness").unwrap());
        let logs = vec![key.public().clone()];
        let witness = WitnessService::create(Arc::new(MemoryStore::new()), name, logs, environment);
        let witness: Arc<dyn Witness> = Arc::new(witness.unwrap());
        let witnesses = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), witnesses, 1, 0, world::FRESHNESS).unwrap();
        let log = fresh_log_of(ledger, key, Some(&policy));
        let this = Self { log, policy, witness, clock };
        this.publish(entries);
        this
    }

    /// Appends these entries, and has the witness cosign.
    pub fn publish(&self, entries: &[Vec<u8>]) {
        self.log.append(entries).unwrap();
        assert!(self.log.publish(std::slice::from_ref(&self.witness)).unwrap().published);
    }

    /// All of it, as of the witness's time.
    pub fn history(&self) -> History {
        History::read(&self.log, &self.policy, None, self.clock.now()).unwrap()
    }
}
