//! A ledger with one witness whose clock the test sets, and what is logged in it.

use crate::program::Arguments;
use clap::Parser as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use unjoin::audit::{Finding, History, PublishedSet, audit_reviews};
use unjoin::ledger::{
    ActionEntry, HeldWithdrawalEntry, KeyName, Ledger, Log, LogView, NoteKey, PublishedEntry, RemovedEntry,
    StaffKeyEntry, Witness, WitnessPolicy, WitnessService, entry_id,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::token::{
    ActionKind, ActionReceipt, AuthorAction, AuthorKey, AuthorStatement, CohortManifest, Digest, PlatformKey,
    PublicationDates, Receipt, ReceiptTerms, Review, ReviewId, Scope, StaffKey,
};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Environment, ManualClock, Name, Timestamp, WEEK};
use unjoin_core::signature::Signer;
use unjoin_test_util::fresh;

/// The boundary at which everything is published: a Monday.
pub(crate) const BOUNDARY: Timestamp = Timestamp::from_unix_seconds(1_700_438_400);
pub(crate) const ORIGIN: &str = "log";

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

pub(crate) fn log_key(name: &str) -> NoteKey {
    NoteKey::from_secret_bytes(KeyName::new(name).unwrap(), &SecretBytes::new([1; 32]))
}

/// The audit of the ledger in this directory since its older checkpoint, by whom its trust file names.
pub(crate) fn audit_of(directory: &Path, at: Timestamp, more: &[&str]) -> Arguments {
    let [trust, ledger, older] = ["trust", "ledger", "older"].map(|name| directory.join(name));
    let [trust, ledger, older] = [&trust, &ledger, &older].map(|path| path.to_str().unwrap());
    let at = at.as_unix_seconds().to_string();
    let common = ["audit", "--trust", trust, "--ledger", ledger, "--older", older, "--at", &at];
    Arguments::parse_from([&common[..], more].concat())
}

pub(crate) struct World {
    pub(crate) log: Log<MemoryStore>,
    pub(crate) witness: Arc<WitnessService<MemoryStore>>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) policy: WitnessPolicy,
}

pub(crate) fn witness(name: &str, clock: &Arc<ManualClock>) -> WitnessService<MemoryStore> {
    let (store, key_name) = (Arc::new(MemoryStore::new()), KeyName::new("witness").unwrap());
    // All worlds have the same one.
    let seed = SecretBytes::new([2; 32]);
    let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
    let logs = vec![log_key(name).public().clone()];
    WitnessService::create_with_key_that_may_have_signed(store, key_name, seed, logs, environment).unwrap()
}

impl World {
    pub(crate) fn new(ledger: Ledger) -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let witness = Arc::new(witness(ORIGIN, &clock));
        let key = log_key(ORIGIN);
        let keys = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), keys, 1, 0, 60).unwrap();
        let log = Log::open(fresh(Role::Ledgers), ledger, key, Some(policy.clone())).unwrap();
        Self { log, witness, clock, policy }
    }

    /// Appends and publishes; the checkpoint.
    pub(crate) fn publish(&self, entries: &[Vec<u8>]) -> Vec<u8> {
        self.log.append(entries).unwrap();
        let witness: Arc<dyn Witness> = self.witness.clone();
        assert!(self.log.publish(&[witness]).unwrap().published);
        self.log.checkpoint().unwrap().unwrap()
    }

    /// The policy as the program reads it.
    pub(crate) fn policy_text(&self) -> String {
        let witness = &self.policy.witnesses()[0];
        format!("ledger reviews\nlog {}\nwitness {witness}\nquorum 1 of which faulty 0\n", self.policy.log())
    }

    pub(crate) fn history(&self, older: Option<&[u8]>) -> History {
        History::read(&self.log, &self.policy, older, self.clock.now()).unwrap()
    }

    /// What is found between the older checkpoint and now.
    pub(crate) fn findings(&self, older: &[u8], shown: &PublishedSet) -> Vec<Finding> {
        audit_reviews(&self.history(Some(older)), shown, &keys().platform.public(), DAY)
    }
}

/// The platform's key, and two of its staff's.
pub(crate) struct Keys {
    pub(crate) platform: PlatformKey,
    pub(crate) staff: [StaffKey; 2],
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| {
        let rng = &mut SystemRng::new();
        Keys { platform: PlatformKey::generate(rng), staff: [(); 2].map(|()| StaffKey::generate(rng)) }
    });
    &KEYS
}

/// The entry of a key of the staff's.
pub(crate) fn staff_key(key: &StaffKey, who: &str) -> Vec<u8> {
    StaffKeyEntry::sign(&keys().platform, ORIGIN, &key.public(), Name::new(who).unwrap()).unwrap().to_bytes()
}

pub(crate) fn scope(merchant: &str, cohort: u64) -> Scope {
    Scope::new([7; 32], Name::new(merchant).unwrap(), cohort)
}

/// A cohort that publishes at [`BOUNDARY`] and four weeks later.
pub(crate) fn manifest(scope: Scope) -> CohortManifest {
    CohortManifest {
        scope,
        escrow_id: [8; 32],
        at_least: 5,
        publications: PublicationDates::new(&[BOUNDARY, BOUNDARY.saturating_add(4 * WEEK)]).unwrap(),
    }
}

/// The author of one review, and what the desk logs of it.
pub(crate) struct Author {
    pub(crate) number: u64,
    pub(crate) scope: Scope,
    signer: Signer,
}

impl Author {
    pub(crate) fn new(number: u64) -> Self {
        let signer = Signer::from_seed(&SecretBytes::new(entry_id(&number.to_le_bytes())));
        Self { number, scope: scope("lamps.example", 1), signer }
    }

    pub(crate) fn id(&self) -> ReviewId {
        ReviewId(entry_id(&self.number.to_be_bytes()))
    }

    pub(crate) fn key(&self) -> AuthorKey {
        AuthorKey(*self.signer.verifier().as_bytes())
    }

    /// The review after so many edits.
    pub(crate) fn review(&self, edit: u64) -> Review {
        Review::new(1, format!("review {}, edition {edit}", self.number), vec![]).unwrap()
    }

    pub(crate) fn digest(&self, edit: u64) -> Digest {
        self.review(edit).digest()
    }

    pub(crate) fn receipt(&self) -> Receipt {
        let terms = ReceiptTerms {
            review_id: self.id(),
            review_digest: self.digest(0),
            presentation_hash: [3; 32],
            author_key: self.key(),
            publish_by: BOUNDARY,
            era: 1,
        };
        Receipt::sign(&keys().platform, terms).unwrap()
    }

    pub(crate) fn published(&self) -> PublishedEntry {
        PublishedEntry {
            scope: self.scope.clone(),
            boundary: BOUNDARY,
            review_id: self.id(),
            review_digest: self.digest(0),
            presentation_hash: [3; 32],
            author_key: self.key(),
        }
    }

    /// The edit with this number, after as many edits before it.
    pub(crate) fn edit(&self, sequence: u64) -> AuthorAction {
        self.sign(&self.signer, ActionKind::Edit, sequence, self.digest(sequence))
    }

    /// An edit from one edition to another, whatever its number.
    pub(crate) fn edit_from(&self, sequence: u64, from: u64, to: u64) -> AuthorAction {
        let (previous_digest, new_digest) = (self.digest(from), self.digest(to));
        let (kind, review_id) = (ActionKind::Edit, self.id());
        let statement = AuthorStatement { kind, review_id, sequence, previous_digest, new_digest };
        AuthorAction::sign(&self.signer, statement).unwrap()
    }

    pub(crate) fn withdraw(&self, sequence: u64) -> AuthorAction {
        self.sign(&self.signer, ActionKind::Withdraw, sequence, [0; 32])
    }

    /// What somebody else signs in their name.
    pub(crate) fn forged(&self, by: &Author, kind: ActionKind) -> AuthorAction {
        let new_digest = if kind == ActionKind::Withdraw { [0; 32] } else { [77; 32] };
        self.sign(&by.signer, kind, 1, new_digest)
    }

    fn sign(&self, signer: &Signer, kind: ActionKind, sequence: u64, new_digest: Digest) -> AuthorAction {
        let (review_id, previous_digest) = (self.id(), self.digest(sequence - 1));
        let statement = AuthorStatement { kind, review_id, sequence, previous_digest, new_digest };
        AuthorAction::sign(signer, statement).unwrap()
    }

    /// A withdrawal of the review while it was held.
    pub(crate) fn taken_back(&self) -> HeldWithdrawalEntry {
        let (action, author_key) = (self.withdraw(1), self.key());
        HeldWithdrawalEntry { action, author_key, presentation_hash: [3; 32], boundary: BOUNDARY }
    }

    pub(crate) fn removed(&self, by: &StaffKey, origin: &str) -> RemovedEntry {
        RemovedEntry::sign(by, origin, self.id(), self.digest(0), "an order of the court").unwrap()
    }

    /// How it is shown after so many edits.
    pub(crate) fn shown(&self, edit: u64) -> (ReviewId, (Name, Digest)) {
        (self.id(), (self.scope.merchant().clone(), self.digest(edit)))
    }
}

/// The entry of an action that takes effect at [`BOUNDARY`].
pub(crate) fn logged(action: AuthorAction) -> Vec<u8> {
    ActionEntry { action, boundary: BOUNDARY }.to_bytes()
}

pub(crate) fn action_receipt(action: &AuthorAction) -> ActionReceipt {
    ActionReceipt::sign(&keys().platform, action, BOUNDARY, 1).unwrap()
}
