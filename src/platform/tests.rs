//! Facade and services together: what a tick reports.

use super::*;
use crate::issuer::{ClassPolicy, EveryoneOfStanding, PastOrders};
use crate::ledgers::LedgerConfig;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use unjoin_core::secret::SystemRng;
use unjoin_core::token::EnrolmentContext;
use unjoin_core::{DAY, ManualClock, Timestamp};
use unjoin_log::{AddCheckpoint, KeyName, NoteKey, SignatureLine, Witness, WitnessError, WitnessPublicKey};
use unjoin_store::{Commit, MemoryStore, Outcome, StoreError};
use unjoin_test_util::reads_from;
use unjoin_trustee::insecure_test_dealer;
use unjoin_wallet::{TrustRoots, Wallet};

const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn config() -> PlatformConfig {
    let mut config = PlatformConfig::new(name("shop.example"));
    config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
    config.issuer.hold = 0;
    config
}

/// Days pass until two customers of a merchant that was busy before are a crowd.
fn until_sealed(clock: &ManualClock, platform: &Platform<MemoryStore>) {
    for day in 1..=3 {
        clock.set(MONDAY.saturating_add(day * DAY));
        if day < 3 {
            assert!(platform.tick().unwrap().manifests.is_empty());
        }
    }
}

fn open(config: PlatformConfig, clock: Arc<ManualClock>) -> Result<Platform<MemoryStore>, PlatformError> {
    let rng = &mut SystemRng::new();
    let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
    open_with(config, clock, PlatformSecrets::generate(*trustees.key(), rng))
}

fn open_with(
    config: PlatformConfig,
    clock: Arc<ManualClock>,
    secrets: PlatformSecrets,
) -> Result<Platform<MemoryStore>, PlatformError> {
    Platform::open(
        unjoin_test_util::fresh_platform_stores(&secrets.stores),
        config,
        secrets,
        Arc::new(EveryoneOfStanding),
        Environment::new(clock, || Box::new(SystemRng::new())),
    )
}

/// One customer with one granted order, whose numbers are dead.
fn buy<S: Store>(platform: &Platform<S>, account: &str, merchant: &Name) {
    let (rng, issuer, account) = (&mut SystemRng::new(), name("shop.example"), name(account));
    let wallet = Wallet::generate(rng);
    let nonce = [1; 32];
    let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
    platform.enrol(account.clone(), nonce, wallet.enrol(context, rng).unwrap()).unwrap();
    let order_id = account.as_bytes().to_vec();
    let order = OrderReport {
        order_id,
        account: account.clone(),
        merchant: merchant.clone(),
        class: 0,
        due_at: MONDAY,
    };
    let past = PastOrders { merchant: merchant.clone(), class: 0, counts: vec![6_000] };
    assert!(platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
    let handle = platform.order_due(order).unwrap();
    platform.numbers_dead(NumbersDead { merchant: merchant.clone(), handle, at: MONDAY }).unwrap();
    let offer = platform.offer(account.clone(), merchant.clone(), handle).unwrap();
    let trust = TrustRoots::new(*platform.public_key(), 2, unjoin_core::Grid::Weekly)
        .pin(offer.issuer_key, offer.escrow_key)
        .unwrap();
    let (_, request) =
        wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &trust, rng).unwrap();
    platform.grant(account, request).wait().unwrap();
}

#[test]
fn a_manifest_that_the_desk_refuses_is_reported_and_tried_again() {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let mut config = config();
    config.issuer.grid = Grid::Daily;
    let rng = &mut SystemRng::new();
    let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let secrets = PlatformSecrets::generate(*trustees.key(), rng);
    let key = Arc::new(PlatformKey::from_secret_bytes(&secrets.platform_key.to_secret_bytes().unwrap()));
    let mut platform = open_with(config, Arc::clone(&clock), secrets).unwrap();
    let merchant = name("lamps.example");
    buy(&platform, "ann", &merchant);
    buy(&platform, "ben", &merchant);
    until_sealed(&clock, &platform);
    // A desk that was opened by itself, with another grid than the issuer's.
    let other = ReviewDesk::open(
        Arc::clone(&platform.reviews),
        Grid::Weekly,
        DeskConfig::default(),
        (*platform.issuer().keys()).clone(),
        key,
        platform.environment.clone(),
    );
    let right = std::mem::replace(&mut platform.desk, other.unwrap());
    for _ in 0..2 {
        let report = platform.tick().unwrap();
        let codes: Vec<_> = report.failed.iter().map(PlatformError::code).collect();
        assert_eq!((report.manifests.len(), codes), (1, vec!["desk.off_grid"]));
    }
    platform.desk = right;
    seals_once(&platform);
}

fn seals_once(platform: &Platform<MemoryStore>) {
    assert_eq!(platform.tick().unwrap().manifests.len(), 1);
    let report = platform.tick().unwrap();
    assert!(report.manifests.is_empty() && report.failed.is_empty(), "{:?}", report.failed);
}

#[test]
fn a_ring_without_the_newest_key_is_refused_and_the_old_one_stays() {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let platform = open(config(), Arc::clone(&clock)).unwrap();
    let merchant = name("lamps.example");
    buy(&platform, "ann", &merchant);
    buy(&platform, "ben", &merchant);
    until_sealed(&clock, &platform);
    let ring = platform.issuer().keys();
    let rng = &mut SystemRng::new();
    let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let other = KeyRing::new(IssuerKey::generate(rng), *trustees.key());
    assert!(platform.desk().set_keys(other).is_err(), "a ring without the newest key is no rotation");
    platform.desk().set_keys((*ring).clone()).unwrap();
    seals_once(&platform);
}

#[test]
fn an_order_whose_host_reports_its_end_during_a_tick_stays_for_none() {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let directory = unjoin_test_util::Directory::new();
    let telephony = unjoin_phone::test_util::switchboard(directory.file("keys"));
    let platform = open(config(), clock).unwrap().with_telephony(telephony);
    let (merchant, account) = (name("lamps.example"), name("ann"));
    buy(&platform, "ann", &merchant);
    let order = OrderReport {
        order_id: account.as_bytes().to_vec(),
        account,
        merchant: merchant.clone(),
        class: 0,
        due_at: MONDAY,
    };
    let handle = platform.order_due(order).unwrap();
    // What the tick read as overdue before that report. Telephony's own time is another.
    let mut failed = Vec::new();
    assert_eq!(platform.end_overdue(vec![(merchant, handle)], &mut failed).unwrap(), vec![]);
    assert!(failed.is_empty(), "{failed:?}");
}

/// How much has begun.
type Begun = Arc<(Mutex<usize>, Condvar)>;

fn begin(begun: &Begun) {
    *begun.0.lock().unwrap() += 1;
    begun.1.notify_all();
}

/// Waits until so much has.
fn wait_for(begun: &Begun, least: usize) -> Result<(), StoreError> {
    let (count, changed) = &**begun;
    let count = count.lock().unwrap();
    let wait = changed.wait_timeout_while(count, Duration::from_secs(60), |count| *count < least).unwrap();
    if wait.1.timed_out() { Err(StoreError::engine("alone")) } else { Ok(()) }
}

/// A store whose rewrite ends when a sister's has begun, and which may fail to write.
struct Meets {
    rows: MemoryStore,
    rewriting: Begun,
    fails: Arc<AtomicBool>,
}

impl Store for Meets {
    reads_from!(rows);

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        // The store's own rows, which say how far it has come, are not the desk's.
        let is_desks =
            commits.iter().flat_map(|commit| &commit.writes).any(|write| write.key().starts_with(b"r"));
        match self.fails.load(Ordering::SeqCst) && is_desks {
            true => Err(StoreError::engine("told to fail")),
            false => self.rows.commit(commits),
        }
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        begin(&self.rewriting);
        wait_for(&self.rewriting, 2)
    }
}

type Sisters = (Platform<Meets>, Begun, Arc<AtomicBool>);

/// The flag has the reviews' store fail.
fn sisters(clock: &Arc<ManualClock>) -> Sisters {
    let rng = &mut SystemRng::new();
    let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let secrets = PlatformSecrets::generate(*trustees.key(), rng);
    let (rewriting, fails) = (Begun::default(), Arc::<AtomicBool>::default());
    let store = |role| {
        let fails = if role == Role::Reviews { Arc::clone(&fails) } else { Arc::default() };
        (role, Arc::new(Meets { rows: MemoryStore::new(), rewriting: Arc::clone(&rewriting), fails }))
    };
    let stores = Stores::create(&secrets.stores, [Role::Orders, Role::Reviews].map(store), rng).unwrap();
    let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
    let platform =
        Platform::open(stores, config(), secrets, Arc::new(EveryoneOfStanding), environment).unwrap();
    (platform, rewriting, fails)
}

#[test]
fn a_tick_rewrites_both_stores_side_by_side() {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let (platform, rewriting, _) = sisters(&clock);
    assert!(platform.tick().unwrap().failed.is_empty());
    assert_eq!(*rewriting.0.lock().unwrap(), 2);
    // The boundary is worked off.
    assert!(platform.tick().unwrap().failed.is_empty());
    assert_eq!(*rewriting.0.lock().unwrap(), 2);
}

#[test]
fn a_review_store_that_fails_holds_up_no_end_of_the_order_sides_tick() {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let (platform, rewriting, fails) = sisters(&clock);
    let merchant = name("lamps.example");
    // Manifests are to be handed over, which the desk's store does not take.
    let buyers = ["ann", "ben"];
    *rewriting.0.lock().unwrap() = 2;
    buyers.iter().for_each(|buyer| buy(&platform, buyer, &merchant));
    for day in 1..=2 {
        clock.set(MONDAY.saturating_add(day * DAY));
        assert!(platform.tick().unwrap().manifests.is_empty());
    }
    let before = *rewriting.0.lock().unwrap();
    fails.store(true, Ordering::SeqCst);
    clock.set(MONDAY.saturating_add(3 * DAY));
    assert!(matches!(platform.tick(), Err(PlatformError::Desk(_))));
    assert_eq!(*rewriting.0.lock().unwrap(), before + 1);
    // What was sealed is still to be handed over, and is once the store is back.
    fails.store(false, Ordering::SeqCst);
    assert_eq!(platform.tick().unwrap().manifests.len(), 1);
    assert!(platform.tick().unwrap().manifests.is_empty());
}

/// A store in which the ratings, when they are done, wait for a witness to be asked.
struct RatesLast {
    rows: MemoryStore,
    asked: Begun,
}

impl Store for RatesLast {
    reads_from!(rows);

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let mut writes = commits.iter().flat_map(|commit| &commit.writes);
        if writes.any(|write| write.key().starts_with(b"iq")) {
            wait_for(&self.asked, 1)?;
        }
        self.rows.commit(commits)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.rows.rewrite()
    }
}

/// Says that it was asked, and does not cosign.
struct Asked(WitnessPublicKey, Begun);

impl Witness for Asked {
    fn public_key(&self) -> &WitnessPublicKey {
        &self.0
    }

    fn add_checkpoint(&self, _: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        begin(&self.1);
        Err(WitnessError::Silent)
    }

    fn last(&self, _: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        Ok(None)
    }
}

#[test]
fn ledgers_go_on_beside_the_ratings() {
    let rng = &mut SystemRng::new();
    let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let secrets = PlatformSecrets::generate(*trustees.key(), rng);
    let asked = Begun::default();
    let store = |role| (role, Arc::new(RatesLast { rows: MemoryStore::new(), asked: Arc::clone(&asked) }));
    let roles = [Role::Orders, Role::Reviews, Role::Ledgers];
    let stores = Stores::create(&secrets.stores, roles.map(store), rng).unwrap();
    let config_of = |name| LedgerConfig {
        key: NoteKey::generate(KeyName::new(name).unwrap(), &mut SystemRng::new()),
        policy: None,
    };
    let (reviews, openings) = (config_of("shop.example/reviews"), config_of("shop.example/openings"));
    let key = secrets.platform_key.public();
    let key = WitnessPublicKey::from_bytes(KeyName::new("witness").unwrap(), key.as_bytes());
    let witness: Arc<dyn Witness> = Arc::new(Asked(key.unwrap(), Arc::clone(&asked)));
    let own = stores.own(Role::Ledgers).unwrap();
    let ledgers = Ledgers::open_without_asking_witnesses(own, reviews, openings, vec![witness]).unwrap();
    let environment = Environment::new(Arc::new(ManualClock::new(MONDAY)), || Box::new(SystemRng::new()));
    let platform =
        Platform::open(stores, config(), secrets, Arc::new(EveryoneOfStanding), environment).unwrap();
    let report = platform.with_ledgers(ledgers).tick().unwrap();
    assert!(report.failed.is_empty() && report.ledgers.unwrap().reviews.failed.is_none());
}
