//! Cosigning and publishing.

use crate::world::{checked_entries, entry, log_key, name, open};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use unjoin::ledger::{
    AddCheckpoint, DirectoryView, LogView, SignatureLine, Witness, WitnessError, WitnessPolicy,
    WitnessPublicKey, WitnessService, export,
};
use unjoin::secret::SystemRng;
use unjoin::store::identity::Role;
use unjoin::store::{MemoryStore, Store};
use unjoin::{Environment, ManualClock, Timestamp};
use unjoin_test_util::{Directory, Failure, Faulty, fresh};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

struct Crowd {
    clock: Arc<ManualClock>,
    stores: Vec<Arc<Faulty<MemoryStore>>>,
}

impl Crowd {
    fn new(count: usize) -> Self {
        let stores = (0..count).map(|number| {
            let (store, name) = (Arc::new(Faulty::in_memory()), name(&format!("witness.example/{number}")));
            WitnessService::create(Arc::clone(&store), name, vec![], Environment::system()).unwrap();
            store
        });
        Self { clock: Arc::new(ManualClock::new(at(0))), stores: stores.collect() }
    }

    /// Started anew each time: a witness remembers only what its store does.
    fn witnesses(&self) -> Vec<Arc<dyn Witness>> {
        let witness = |store: &Arc<Faulty<MemoryStore>>| {
            let environment = Environment::new(self.clock.clone(), || Box::new(SystemRng::new()));
            let logs = vec![log_key().public().clone()];
            Arc::new(WitnessService::open(Arc::clone(store), logs, environment).unwrap()) as Arc<dyn Witness>
        };
        self.stores.iter().map(witness).collect()
    }

    fn policy(&self, quorum: usize, faulty: usize) -> WitnessPolicy {
        let keys = self.witnesses().iter().map(|witness| witness.public_key().clone()).collect();
        WitnessPolicy::new(log_key().public().clone(), keys, quorum, faulty, 60).unwrap()
    }
}

/// A witness that cannot be reached.
struct Away(WitnessPublicKey);

impl Witness for Away {
    fn public_key(&self) -> &WitnessPublicKey {
        &self.0
    }

    fn add_checkpoint(&self, _: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        Err(WitnessError::State("no route".into()))
    }

    fn last(&self, _: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        Err(WitnessError::State("no route".into()))
    }
}

#[test]
fn a_checkpoint_is_published_once_a_quorum_has_cosigned() {
    let (crowd, store) = (Crowd::new(4), Arc::new(MemoryStore::new()));
    let policy = crowd.policy(3, 1);
    let log = open(&store, Some(policy.clone()));
    log.append(&(0..300).map(entry).collect::<Vec<_>>()).unwrap();
    let services = crowd.witnesses();
    let away = |witness: &Arc<dyn Witness>| Arc::new(Away(witness.public_key().clone())) as Arc<dyn Witness>;
    let away: Vec<_> = services[2..].iter().map(away).collect();

    let few = log.publish(&[&services[..2], &away].concat()).unwrap();
    assert!(!few.published && few.refusals.len() == 2);
    assert_eq!(log.checkpoint().unwrap(), None);

    let enough = log.publish(&[&services[..3], &away[1..]].concat()).unwrap();
    assert!(enough.published);
    let (checkpoint, quorum) = policy.read_fresh(&log.checkpoint().unwrap().unwrap(), at(50)).unwrap();
    assert_eq!((checkpoint.size(), quorum.witnesses, quorum.median_time), (300, 3, at(0)));

    // The fourth comes back: it has seen nothing yet.
    crowd.clock.set(at(500));
    assert!(policy.read_fresh(&log.checkpoint().unwrap().unwrap(), at(500)).is_err());
    log.append(&(300..1_000).map(entry).collect::<Vec<_>>()).unwrap();
    let all_four = log.publish(&crowd.witnesses()).unwrap();
    assert!(all_four.published && all_four.refusals.is_empty());
    let (checkpoint, quorum) = policy.read_fresh(&log.checkpoint().unwrap().unwrap(), at(500)).unwrap();
    assert_eq!((checkpoint.size(), quorum.witnesses), (1_000, 4));

    // Nothing new: the same root, at a later time.
    crowd.clock.set(at(900));
    assert!(log.publish(&crowd.witnesses()).unwrap().published);
    policy.read_fresh(&log.checkpoint().unwrap().unwrap(), at(900)).unwrap();
    checked_entries(&log);
}

/// A witness that hangs until it is let go, and counts how often it was asked.
struct Hanging {
    behind: Arc<dyn Witness>,
    asked: AtomicUsize,
    is_let_go: (Mutex<bool>, Condvar),
}

impl Hanging {
    fn new(behind: &Arc<dyn Witness>) -> Arc<Self> {
        Arc::new(Self {
            behind: Arc::clone(behind),
            asked: AtomicUsize::new(0),
            is_let_go: Default::default(),
        })
    }

    fn let_go(&self) {
        *self.is_let_go.0.lock().unwrap() = true;
        self.is_let_go.1.notify_all();
    }
}

impl Witness for Hanging {
    fn public_key(&self) -> &WitnessPublicKey {
        self.behind.public_key()
    }

    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let held = self.is_let_go.0.lock().unwrap();
        drop(self.is_let_go.1.wait_while(held, |is_let_go| !*is_let_go).unwrap());
        self.behind.add_checkpoint(request)
    }

    fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        self.behind.last(origin)
    }
}

/// Longer than any test runs.
const FOR_EVER: Duration = Duration::from_secs(3_600);

#[test]
fn a_witness_that_hangs_holds_up_no_quorum_and_is_not_asked_again_before_it_answers() {
    let crowd = Crowd::new(4);
    let log = open(&Arc::new(MemoryStore::new()), Some(crowd.policy(3, 1))).waiting(FOR_EVER, Duration::ZERO);
    let mut witnesses = crowd.witnesses();
    let hanging = Hanging::new(&witnesses[0]);
    witnesses[0] = hanging.clone();
    for round in 0..5 {
        log.append(&[entry(round)]).unwrap();
        let report = log.publish(&witnesses).unwrap();
        assert!(report.published, "{round}");
        let [(name, why)] = report.refusals.as_slice() else { panic!("{:?}", report.refusals) };
        assert_eq!((name, why.code()), (hanging.public_key().name(), "witness.silent"));
        assert_eq!(Arc::strong_count(&hanging), 3, "one thread holds it");
    }
    assert!(hanging.asked.load(Ordering::SeqCst) <= 1, "its thread may not have begun yet");
    hanging.let_go();
    // Once it has answered it is asked again, and cosigns with the others or after them.
    let log = log.waiting(FOR_EVER, FOR_EVER);
    while log.publish(&witnesses).unwrap().refusals.iter().any(|(_, why)| why.code() == "witness.silent") {
        std::thread::yield_now();
    }
    let report = log.publish(&witnesses).unwrap();
    assert!(report.published && report.refusals.is_empty(), "{:?}", report.refusals);
    assert!(matches!(report.checkpoint.cosigned_at(hanging.public_key()), Ok(Some(_))));
}

#[test]
fn without_a_quorum_a_log_does_not_wait_for_ever() {
    let crowd = Crowd::new(4);
    let log = open(&Arc::new(MemoryStore::new()), Some(crowd.policy(3, 1)));
    let log = log.waiting(Duration::from_millis(20), FOR_EVER);
    let mut witnesses = crowd.witnesses();
    let hanging = [0, 1].map(|at| Hanging::new(&witnesses[at]));
    witnesses.splice(..2, hanging.iter().map(|witness| witness.clone() as _));
    log.append(&[entry(1)]).unwrap();
    for _ in 0..2 {
        let report = log.publish(&witnesses).unwrap();
        assert!(!report.published);
        let silent = |key: &WitnessPublicKey| {
            report.refusals.iter().any(|(name, why)| name == key.name() && why.code() == "witness.silent")
        };
        assert!(hanging.iter().all(|witness| silent(witness.public_key())));
    }
    assert_eq!(log.checkpoint().unwrap(), None);
    hanging.iter().for_each(|witness| witness.let_go());
    let log = log.waiting(FOR_EVER, FOR_EVER);
    while !log.publish(&witnesses).unwrap().published {
        std::thread::yield_now();
    }
}

#[test]
fn a_witness_whose_client_panics_is_reported_and_asked_again() {
    struct Broken(WitnessPublicKey);
    impl Witness for Broken {
        fn public_key(&self) -> &WitnessPublicKey {
            &self.0
        }
        fn add_checkpoint(&self, _: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
            panic!("as it does in this test")
        }
        fn last(&self, _: &str) -> Result<Option<Vec<u8>>, WitnessError> {
            panic!("as it does in this test")
        }
    }
    let crowd = Crowd::new(1);
    let log = open(&Arc::new(MemoryStore::new()), Some(crowd.policy(1, 0)));
    let broken: Arc<dyn Witness> = Arc::new(Broken(crowd.witnesses()[0].public_key().clone()));
    for _ in 0..2 {
        let report = log.publish(std::slice::from_ref(&broken)).unwrap();
        assert_eq!((report.published, report.refusals[0].1.code()), (false, "witness.state"));
    }
    assert!(log.publish(&crowd.witnesses()).unwrap().published);
}

#[test]
fn a_ledger_that_is_rolled_back_or_forked_finds_no_witness() {
    let crowd = Crowd::new(1);
    let policy = crowd.policy(1, 0);
    let honest = Arc::new(MemoryStore::new());
    let log = open(&honest, Some(policy.clone()));
    log.append(&(0..10).map(entry).collect::<Vec<_>>()).unwrap();
    assert!(log.publish(&crowd.witnesses()).unwrap().published);
    for (count, code) in [(5, "witness.conflict"), (10, "witness.inconsistent"), (20, "witness.inconsistent")]
    {
        let other = open(&Arc::new(MemoryStore::new()), Some(policy.clone()));
        other.append(&(100..100 + count).map(entry).collect::<Vec<_>>()).unwrap();
        let refused = other.publish(&crowd.witnesses()).unwrap();
        assert!(!refused.published);
        assert_eq!(refused.refusals[0].1.code(), code, "{count}");
    }
    log.append(&[entry(10)]).unwrap();
    assert!(log.publish(&crowd.witnesses()).unwrap().published);
}

#[test]
fn a_witness_whose_store_fails_has_remembered_or_not_signed() {
    for failure in [Failure::Before, Failure::Lost] {
        let crowd = Crowd::new(1);
        let log = open(&Arc::new(MemoryStore::new()), Some(crowd.policy(1, 0)));
        log.append(&[entry(1)]).unwrap();
        crowd.stores[0].fail(0, failure);
        let failed = log.publish(&crowd.witnesses()).unwrap();
        assert_eq!((failed.published, failed.refusals[0].1.code()), (false, "witness.state"));
        assert!(log.publish(&crowd.witnesses()).unwrap().published);
    }
}

#[test]
fn every_failure_of_the_ledgers_store_while_publishing_is_made_good() {
    for after in 0..4 {
        for failure in Failure::ALL {
            let crowd = Crowd::new(1);
            let store = Arc::new(Faulty::in_memory());
            let policy = crowd.policy(1, 0);
            let log = open(&store, Some(policy.clone()));
            store.fail(after, failure);
            let attempt = || {
                log.append(&[entry(1), entry(2)])?;
                log.publish(&crowd.witnesses())
            };
            let report = attempt().or_else(|_| attempt()).unwrap();
            assert!(report.published);
            policy.read(&log.checkpoint().unwrap().unwrap()).unwrap();
        }
    }
}

#[test]
fn a_cosignature_of_somebody_else_is_not_taken() {
    /// Answers with another's line.
    struct Liar(WitnessPublicKey, WitnessService<MemoryStore>);
    impl Witness for Liar {
        fn public_key(&self) -> &WitnessPublicKey {
            &self.0
        }
        fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
            self.1.add_checkpoint(request)
        }
        fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
            self.1.last(origin)
        }
    }
    let crowd = Crowd::new(1);
    let (store, logs) = (Arc::new(MemoryStore::new()), vec![log_key().public().clone()]);
    let other = WitnessService::create(store, name("other"), logs, Environment::system()).unwrap();
    let liar = Liar(crowd.witnesses()[0].public_key().clone(), other);
    let log = open(&Arc::new(MemoryStore::new()), Some(crowd.policy(1, 0)));
    let report = log.publish(&[Arc::new(liar)]).unwrap();
    assert!(!report.published && report.refusals.len() == 1);
}

#[test]
fn a_policy_of_another_ledger_is_refused() {
    let crowd = Crowd::new(1);
    let keys = crowd.policy(1, 0).witnesses().to_vec();
    let other = unjoin::ledger::NoteKey::generate(name("other"), &mut SystemRng::new());
    let policy = WitnessPolicy::new(other.public().clone(), keys, 1, 0, 60).unwrap();
    let opened = unjoin::ledger::Log::open(
        fresh(Role::Ledgers),
        unjoin::ledger::Ledger::Reviews,
        log_key(),
        Some(policy),
    );
    assert_eq!(opened.unwrap_err().code(), "ledger.policy");
}

#[test]
fn many_at_once_ask_one_witness_and_it_goes_forward_only() {
    let crowd = Crowd::new(1);
    let store: Arc<MemoryStore> = Arc::new(MemoryStore::new());
    let log = open(&store, Some(crowd.policy(1, 0)));
    let witnesses = crowd.witnesses();
    let sizes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            let (log, witnesses, sizes) = (&log, &witnesses, &sizes);
            scope.spawn(move || {
                for round in 0..20 {
                    log.append(&[entry(worker * 100 + round)]).unwrap();
                    let report = log.publish(witnesses).unwrap();
                    sizes.lock().unwrap().push(report.checkpoint.size());
                }
            });
        }
    });
    assert_eq!(sizes.lock().unwrap().len(), 80);
    assert!(log.publish(&witnesses).unwrap().published);
    assert_eq!(checked_entries(&log).len(), 80);
    let _: &dyn Store = &*store;
}

#[test]
fn a_destroyed_ledger_is_made_again_from_its_export_and_from_nothing_older() {
    let (crowd, directory) = (Crowd::new(4), Directory::new());
    let policy = crowd.policy(3, 1);
    let lost = open(&Arc::new(MemoryStore::new()), Some(policy.clone()));
    let paths = ["older", "last"].map(|path| directory.file(path));
    for (path, entries) in paths.iter().zip([0..5_000, 5_000..5_300]) {
        lost.append(&entries.map(entry).collect::<Vec<_>>()).unwrap();
        assert!(lost.publish(&crowd.witnesses()).unwrap().published);
        export(&lost, path).unwrap();
    }
    let root = *lost.sign().unwrap().root();
    drop(lost);

    let again = |path: &Path| {
        let (view, made) =
            (DirectoryView::new(path), open(&Arc::new(MemoryStore::new()), Some(policy.clone())));
        let (checkpoint, _) = policy.read(&view.checkpoint().unwrap().unwrap()).unwrap();
        made.append(&view.entries(0, checkpoint.size()).unwrap()).unwrap();
        assert_eq!(made.sign().unwrap().root(), checkpoint.root(), "the same entries have the same root");
        made
    };
    let older = again(&paths[0]);
    let refused = older.publish(&crowd.witnesses()).unwrap();
    assert!(!refused.published);
    assert!(refused.refusals.iter().all(|(_, why)| why.code() == "witness.conflict"));

    let made = again(&paths[1]);
    let published = made.publish(&crowd.witnesses()).unwrap();
    assert!(published.published && published.refusals.is_empty());
    assert_eq!(*published.checkpoint.root(), root);
    // It goes on from there, and the export with it.
    made.append(&[entry(5_300)]).unwrap();
    assert!(made.publish(&crowd.witnesses()).unwrap().published);
    assert_eq!(export(&made, &paths[1]).unwrap().end, 5_301);
    checked_entries(&made);
}

/// What a witness says of the last checkpoint that it has seen.
type Last = Box<dyn Fn(&str) -> Result<Option<Vec<u8>>, WitnessError> + Send + Sync>;

/// A witness that says this, whatever it remembers.
struct Says(Arc<dyn Witness>, Last);

impl Witness for Says {
    fn public_key(&self) -> &WitnessPublicKey {
        self.0.public_key()
    }

    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        self.0.add_checkpoint(request)
    }

    fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        self.1(origin)
    }
}

#[test]
fn a_log_that_is_behind_one_witness_still_waits_for_the_others() {
    let crowd = Crowd::new(2);
    let (policy, store) = (crowd.policy(2, 0), Arc::new(MemoryStore::new()));
    let older = Arc::new(unjoin_test_util::copy(&*store));
    let log = open(&store, Some(policy.clone()));
    log.append(&[entry(0)]).unwrap();
    let _ = log.publish(&crowd.witnesses()).unwrap();
    let [first, second] = <[Arc<dyn Witness>; 2]>::try_from(crowd.witnesses()).ok().unwrap();
    let put_back = open(&older, Some(policy)).waiting(FOR_EVER, Duration::ZERO);
    // Asked again and again, a witness that was left behind would be passed over.
    for _ in 0..5 {
        // It answers long after the other.
        let (honest, answered) = (Arc::clone(&second), Arc::new(AtomicBool::new(false)));
        let has = Arc::clone(&answered);
        let slow = Says(
            Arc::clone(&second),
            Box::new(move |origin| {
                (0..10_000).for_each(|_| std::thread::yield_now());
                has.store(true, Ordering::SeqCst);
                honest.last(origin)
            }),
        );
        let asked = [Arc::clone(&first), Arc::new(slow)];
        assert_eq!(put_back.compare(&asked).unwrap_err().code(), "ledger.behind");
        assert!(answered.load(Ordering::SeqCst), "it was not waited for");
    }
}

#[test]
fn a_log_asks_what_its_witnesses_have_seen_before_it_is_served() {
    let crowd = Crowd::new(2);
    let (policy, store) = (crowd.policy(2, 0), Arc::new(MemoryStore::new()));
    let log = open(&store, Some(policy.clone()));
    log.compare(&crowd.witnesses()).unwrap();
    log.append(&(0..10).map(entry).collect::<Vec<_>>()).unwrap();
    let _ = log.publish(&crowd.witnesses()).unwrap();
    let (older, shown) = (Arc::new(unjoin_test_util::copy(&*store)), log.checkpoint().unwrap());
    log.append(&(10..400).map(entry).collect::<Vec<_>>()).unwrap();
    let _ = log.publish(&crowd.witnesses()).unwrap();
    // Durable, and not signed yet when the process ended.
    log.append(&[entry(400)]).unwrap();
    log.compare(&crowd.witnesses()).unwrap();

    let put_back = open(&older, Some(policy.clone()));
    let refused = put_back.compare(&crowd.witnesses()).unwrap_err();
    assert_eq!(refused.code(), "ledger.behind");
    assert!(
        refused.to_string().contains("the witnesses have seen a larger ledger than this one (400 entries")
    );
    // One honest witness is enough, whatever the others show.
    let [first, second] = <[Arc<dyn Witness>; 2]>::try_from(crowd.witnesses()).ok().unwrap();
    let away = |witness: &Arc<dyn Witness>| Arc::new(Away(witness.public_key().clone())) as Arc<dyn Witness>;
    let shows = |what: &Option<Vec<u8>>| {
        let what = what.clone();
        Arc::new(Says(Arc::clone(&first), Box::new(move |_| Ok(what.clone())))) as Arc<dyn Witness>
    };
    for other in [shows(&shown), shows(&None), shows(&Some(b"no note".to_vec())), away(&first)] {
        let refused = put_back.compare(&[other, Arc::clone(&second)]).unwrap_err();
        assert_eq!(refused.code(), "ledger.behind");
    }
    // What is lower than the witness's own cosignature in the store, or is no note, is no answer.
    let lies = [shows(&None), shows(&Some(b"no note".to_vec())), away(&first)];
    for alone in lies.iter().chain([&shows(&shown)]) {
        assert_eq!(log.compare(std::slice::from_ref(alone)).unwrap_err().code(), "ledger.unwitnessed");
    }
    assert_eq!(log.compare(&[]).unwrap_err().code(), "ledger.unwitnessed");
    // Another history of the same length, and a longer one.
    for count in [400, 500] {
        let other = open(&Arc::new(MemoryStore::new()), Some(policy.clone()));
        other.append(&(1_000..1_000 + count).map(entry).collect::<Vec<_>>()).unwrap();
        assert_eq!(other.compare(&crowd.witnesses()).unwrap_err().code(), "ledger.forked");
    }
    // Without a policy nobody asked for witnesses.
    open(&Arc::new(MemoryStore::new()), None).compare(&[]).unwrap();
}
