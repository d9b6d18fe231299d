//! A platform in memory with its ledgers and a witness, whose stores are copied and put back.

use std::sync::Arc;
use unjoin::audit::History;
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, PastOrders};
use unjoin::ledger::{
    KeyName, LedgerConfig, Ledgers, NoteKey, StaffKeyEntry, Witness, WitnessPolicy, WitnessService,
};
use unjoin::opening::insecure_test_dealer;
use unjoin::phone::Keeper;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::{Role, Roster};
use unjoin::store::{MemoryStore, Store, StoreError, Stores};
use unjoin::token::{KeyRing, PlatformKey, StaffKey};
use unjoin::{
    Clock, DAY, Environment, ManualClock, Name, Platform, PlatformConfig, PlatformRecovery, PlatformSecrets,
    RecoveryError, Timestamp,
};
use unjoin_test_util::{Faulty, copy};

pub(crate) const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
/// Those that every platform here has; the first three are what a recovery is about.
pub(crate) const ROLES: [Role; 4] = [Role::Orders, Role::Reviews, Role::Ledgers, Role::Telephony];

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn merchant() -> Name {
    name("lamps.example")
}

fn origin(ledger: &str) -> String {
    format!("shop.example/{ledger}")
}

fn log_key(ledger: &str) -> NoteKey {
    let seed = SecretBytes::new([ledger.len() as u8; 32]);
    NoteKey::from_secret_bytes(KeyName::new(origin(ledger)).unwrap(), &seed)
}

/// What is on the disks.
pub(crate) struct Disks {
    pub(crate) stores: [Arc<Faulty>; 4],
    pub(crate) witness: Arc<MemoryStore>,
}

impl Disks {
    pub(crate) fn copy(&self) -> Self {
        Self {
            stores: self.stores.each_ref().map(|store| Arc::new(Faulty::new(copy(&store.rows)))),
            witness: Arc::new(copy(&*self.witness)),
        }
    }
}

/// The secrets, as they were saved, the clock, and the disks.
pub(crate) struct Shop {
    roster: Roster,
    pub(crate) ring: KeyRing,
    platform_key: SecretBytes<32>,
    staff: SecretBytes<32>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) disks: Disks,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let rng = &mut SystemRng::new();
        let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
        let secrets = PlatformSecrets::generate(*committee.key(), rng);
        let stores = [(); 4].map(|()| Arc::new(Faulty::in_memory()));
        let clock = Arc::new(ManualClock::new(MONDAY));
        let witness = Arc::new(MemoryStore::new());
        let environment = environment(&clock);
        WitnessService::create(Arc::clone(&witness), KeyName::new("witness").unwrap(), vec![], environment)
            .unwrap();
        let shop = Self {
            roster: secrets.stores,
            ring: secrets.keys,
            platform_key: secrets.platform_key.to_secret_bytes().unwrap(),
            staff: SecretBytes::random(rng),
            clock,
            disks: Disks { stores, witness },
        };
        Stores::create(&shop.roster, shop.all(), rng).unwrap();
        let platform = shop.open().unwrap();
        // Two customers of a merchant that was busy before are a crowd on the third day.
        let past = PastOrders { merchant: merchant(), class: 0, counts: vec![6_000] };
        assert!(platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
        let key = shop.platform_key();
        let entry = StaffKeyEntry::sign(&key, &origin("reviews"), &shop.staff().public(), name("ann"));
        platform.desk().admit_staff(&entry.unwrap(), &origin("reviews")).unwrap();
        tick(&platform);
        shop
    }

    pub(crate) fn platform_key(&self) -> PlatformKey {
        PlatformKey::from_secret_bytes(&self.platform_key)
    }

    fn staff(&self) -> StaffKey {
        StaffKey::from_secret_bytes(&self.staff)
    }

    fn all(&self) -> impl Iterator<Item = (Role, Arc<Faulty>)> + '_ {
        ROLES.into_iter().zip(self.disks.stores.iter().cloned())
    }

    pub(crate) fn store(&self, role: Role) -> &Arc<Faulty> {
        &self.disks.stores[ROLES.iter().position(|known| *known == role).unwrap()]
    }

    fn witness(&self) -> Arc<dyn Witness> {
        self.witness_on(&self.disks.witness)
    }

    fn witness_on(&self, store: &Arc<MemoryStore>) -> Arc<dyn Witness> {
        let logs = ["reviews", "openings"].map(|ledger| log_key(ledger).public().clone()).to_vec();
        let witness = WitnessService::open(Arc::clone(store), logs, environment(&self.clock));
        Arc::new(witness.unwrap())
    }

    pub(crate) fn policy(&self, ledger: &str) -> WitnessPolicy {
        let keys = vec![self.witness().public_key().clone()];
        WitnessPolicy::new(log_key(ledger).public().clone(), keys, 1, 0, 3600).unwrap()
    }

    fn ledger(&self, ledger: &str, with_policy: bool) -> LedgerConfig {
        let policy = with_policy.then(|| self.policy(ledger));
        LedgerConfig { key: log_key(ledger), policy }
    }

    pub(crate) fn config(&self) -> PlatformConfig {
        let mut config = PlatformConfig::new(name("shop.example"));
        config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
        config.issuer.hold = 0;
        config.issuer.re_enrolment_interval = DAY;
        config
    }

    /// As its service starts.
    pub(crate) fn open(&self) -> Result<Platform<Faulty>, String> {
        self.open_on(self.disks.stores.clone(), &self.disks.witness)
    }

    pub(crate) fn open_on<S: Store>(
        &self,
        stores: [Arc<S>; 4],
        witness: &Arc<MemoryStore>,
    ) -> Result<Platform<S>, String> {
        let stores = Stores::open(&self.roster, ROLES.into_iter().zip(stores), &mut SystemRng::new())
            .map_err(|error| error.code().to_owned())?;
        let (reviews, openings) = (self.ledger("reviews", true), self.ledger("openings", true));
        let own = stores.own(Role::Ledgers).map_err(|error| error.code().to_owned())?;
        let ledgers = Ledgers::open(own, reviews, openings, vec![self.witness_on(witness)])
            .map_err(|error| error.code().to_owned())?;
        let secrets = PlatformSecrets {
            keys: self.ring.clone(),
            platform_key: self.platform_key(),
            issuer_master: SecretBytes::new([7; 32]),
            stores: self.roster.clone(),
        };
        let (standing, environment) = (Arc::new(EveryoneOfStanding), environment(&self.clock));
        let platform = Platform::open(stores, self.config(), secrets, standing, environment)
            .map_err(|error| error.code().to_owned())?;
        Ok(platform.with_ledgers(ledgers))
    }

    pub(crate) fn recover(&self) -> Result<PlatformRecovery, RecoveryError> {
        self.recover_with(&[], None, |_| Ok(()))
    }

    /// `mend` gets the ledgers first.
    pub(crate) fn recover_with(
        &self,
        put_back: &[Role],
        keeper: Option<&Keeper>,
        mend: impl FnOnce(&Ledgers<Faulty>) -> Result<(), RecoveryError>,
    ) -> Result<PlatformRecovery, RecoveryError> {
        self.recover_on(self.disks.stores.clone(), &self.disks.witness, put_back, keeper, mend)
    }

    pub(crate) fn recover_on<S: Store>(
        &self,
        stores: [Arc<S>; 4],
        witness: &Arc<MemoryStore>,
        put_back: &[Role],
        keeper: Option<&Keeper>,
        mend: impl FnOnce(&Ledgers<S>) -> Result<(), RecoveryError>,
    ) -> Result<PlatformRecovery, RecoveryError> {
        let lost = Stores::open_for_recovery(&self.roster, ROLES.into_iter().zip(stores), put_back)?;
        let (reviews, openings) = (self.ledger("reviews", true), self.ledger("openings", true));
        let (own, witness) = (lost.own(Role::Ledgers)?, self.witness_on(witness));
        let ledgers = Ledgers::open_without_asking_witnesses(own, reviews, openings, vec![witness])?;
        mend(&ledgers)?;
        let (key, staff) = (self.platform_key(), self.staff());
        let by = (&staff, "the volume was lost");
        Platform::recover(lost, &ledgers, &self.config(), &key, by, keeper, &environment(&self.clock))
    }

    /// The ledgers without anybody who could prove them.
    pub(crate) fn recover_unwitnessed(&self) -> Result<PlatformRecovery, RecoveryError> {
        let lost = Stores::open_for_recovery(&self.roster, self.all(), &[])?;
        let (reviews, openings) = (self.ledger("reviews", false), self.ledger("openings", false));
        let own = lost.own(Role::Ledgers)?;
        let ledgers = Ledgers::open_without_asking_witnesses(own, reviews, openings, vec![])?;
        let (key, staff) = (self.platform_key(), self.staff());
        let by = (&staff, "the volume was lost");
        Platform::recover(lost, &ledgers, &self.config(), &key, by, None, &environment(&self.clock))
    }

    /// What lies there now is lost.
    pub(crate) fn put_back(&mut self, older: &Disks, roles: &[Role]) {
        for (at, role) in ROLES.iter().enumerate() {
            if roles.contains(role) {
                self.disks.stores[at] = Arc::new(Faulty::new(copy(&older.stores[at].rows)));
            }
        }
    }

    /// A store of this role that was just made.
    pub(crate) fn make_anew(&mut self, role: Role) -> Result<(), StoreError> {
        let fresh = Arc::new(Faulty::in_memory());
        Stores::create(&self.roster, [(role, Arc::clone(&fresh))], &mut SystemRng::new())?;
        self.disks.stores[ROLES.iter().position(|known| *known == role).unwrap()] = fresh;
        Ok(())
    }

    pub(crate) fn history<S: Store>(&self, platform: &Platform<S>) -> History {
        let log = platform.ledgers().unwrap().reviews();
        History::read(log, &self.policy("reviews"), None, self.clock.now()).unwrap()
    }
}

pub(crate) fn environment(clock: &Arc<ManualClock>) -> Environment {
    Environment::new(clock.clone(), || Box::new(SystemRng::new()))
}

pub(crate) fn tick(platform: &Platform<Faulty>) {
    let report = platform.tick().unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let reviews = report.ledgers.unwrap().reviews;
    assert!(reviews.failed.is_none() && reviews.publication.unwrap().published);
}
