//! A ledger with one witness whose clock the test sets.

use std::sync::Arc;
use unjoin::ledger::{
    KeyName, Ledger, Log, LogView, NoteKey, Witness, WitnessKey, WitnessPolicy, WitnessService,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::{Environment, ManualClock, Timestamp};

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

pub(crate) fn log_key(name: &str) -> NoteKey {
    NoteKey::from_secret_bytes(KeyName::new(name).unwrap(), &SecretBytes::new([1; 32]))
}

pub(crate) struct World {
    pub(crate) log: Log<MemoryStore>,
    pub(crate) witness: Arc<WitnessService<MemoryStore>>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) policy: WitnessPolicy,
}

pub(crate) fn witness(name: &str, clock: &Arc<ManualClock>) -> WitnessService<MemoryStore> {
    let key = WitnessKey::from_secret_bytes(KeyName::new("witness").unwrap(), &SecretBytes::new([2; 32]));
    let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
    WitnessService::open(Arc::new(MemoryStore::new()), key, vec![log_key(name).public().clone()], environment)
}

impl World {
    pub(crate) fn new(ledger: Ledger) -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let witness = Arc::new(witness("log", &clock));
        let key = log_key("log");
        let keys = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), keys, 1, 0, 60).unwrap();
        let log = Log::open(Arc::new(MemoryStore::new()), ledger, key, Some(policy.clone())).unwrap();
        Self { log, witness, clock, policy }
    }

    /// Appends and publishes; the checkpoint.
    pub(crate) fn publish(&self, entries: &[Vec<u8>]) -> Vec<u8> {
        self.log.append(entries).unwrap();
        assert!(self.log.publish(&[&*self.witness]).unwrap().published);
        self.log.checkpoint().unwrap().unwrap()
    }

    /// The policy as the program reads it.
    pub(crate) fn policy_text(&self) -> String {
        let witness = &self.policy.witnesses()[0];
        format!("log {}\nwitness {witness}\nquorum 1 of which faulty 0\n", self.policy.log())
    }
}
