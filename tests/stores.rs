//! A platform over redb files whose volumes are lost, exchanged, strange or put back: nothing is served
//! then, and the words say which store it is.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::ledger::{
    KeyName, LedgerConfig, Ledgers, LogView, NoteKey, StoreMarkEntry, Witness, WitnessPolicy, WitnessService,
    entry_id,
};
use unjoin::opening::insecure_test_dealer;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::{Role, Roster};
use unjoin::store::{MemoryStore, RedbStore, StoreError, Stores};
use unjoin::token::{EnrolmentContext, IssuerKey, KeyRing, OrderHandle, PlatformKey, Presentation, Review};
use unjoin::wire::Message;
use unjoin::{DAY, Environment, ManualClock, Name, Platform, PlatformConfig, PlatformSecrets, Timestamp};
use unjoin_test_util::Directory;
use unjoin_wallet::{PendingToken, TrustRoots, Wallet};

const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
const ROLES: [Role; 3] = [Role::Orders, Role::Reviews, Role::Ledgers];

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What a host says when a store does not open: its code, and the words.
type Refused = (&'static str, String);

fn store_says(error: StoreError) -> Refused {
    (error.code(), error.to_string())
}

/// A platform's files, its secrets as they were saved, and a witness elsewhere.
struct Shop {
    directory: Directory,
    roster: Roster,
    ring: KeyRing,
    platform_key: SecretBytes<32>,
    master: [u8; 32],
    clock: Arc<ManualClock>,
    witness: Arc<dyn Witness>,
}

impl Shop {
    /// Made, and not opened yet.
    fn new() -> Self {
        let rng = &mut SystemRng::new();
        let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
        let secrets = PlatformSecrets::generate(*committee.key(), rng);
        let clock = Arc::new(ManualClock::new(MONDAY));
        let logs = ["reviews", "openings"].map(|ledger| log_key(ledger).public().clone()).to_vec();
        let witness = WitnessService::create(
            Arc::new(MemoryStore::new()),
            KeyName::new("witness").unwrap(),
            logs,
            environment(&clock),
        );
        let shop = Self {
            directory: Directory::new(),
            roster: secrets.stores,
            ring: secrets.keys,
            platform_key: secrets.platform_key.to_secret_bytes().unwrap(),
            master: *secrets.issuer_master.expose(),
            clock,
            witness: Arc::new(witness.unwrap()),
        };
        shop.create().unwrap();
        shop
    }

    fn create(&self) -> Result<(), StoreError> {
        let rng = &mut SystemRng::new();
        let made = ROLES.map(|role| (role, Arc::new(RedbStore::create(self.file(role)).unwrap())));
        Stores::create(&self.roster, made, rng).map(drop)
    }

    fn file(&self, role: Role) -> PathBuf {
        self.directory.file(match role {
            Role::Orders => "orders",
            Role::Reviews => "reviews",
            _ => "ledgers",
        })
    }

    fn open(&self) -> Result<Platform<RedbStore>, Refused> {
        self.open_with(
            self.ring.clone(),
            &self.platform_key,
            self.master,
            std::slice::from_ref(&self.witness),
        )
    }

    fn open_with(
        &self,
        keys: KeyRing,
        platform_key: &SecretBytes<32>,
        master: [u8; 32],
        witnesses: &[Arc<dyn Witness>],
    ) -> Result<Platform<RedbStore>, Refused> {
        let mut files = Vec::new();
        for role in ROLES {
            files.push((role, Arc::new(RedbStore::open(self.file(role)).map_err(store_says)?)));
        }
        let stores = Stores::open(&self.roster, files, &mut SystemRng::new()).map_err(store_says)?;
        let ledger = |ledger| {
            let (key, witness) = (log_key(ledger), self.witness.public_key().clone());
            let policy = WitnessPolicy::new(key.public().clone(), vec![witness], 1, 0, 60).unwrap();
            LedgerConfig { key, policy: Some(policy) }
        };
        let own = stores.own(Role::Ledgers).map_err(store_says)?;
        let ledgers = Ledgers::open(own, ledger("reviews"), ledger("openings"), witnesses.to_vec())
            .map_err(|error| (error.code(), error.to_string()))?;
        let secrets = PlatformSecrets {
            keys,
            platform_key: PlatformKey::from_secret_bytes(platform_key),
            issuer_master: SecretBytes::new(master),
            stores: self.roster.clone(),
        };
        let mut config = PlatformConfig::new(name("shop.example"));
        config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
        config.issuer.re_enrolment_interval = DAY;
        (config.issuer.grid, config.issuer.hold) = (unjoin::Grid::Weekly, 0);
        let standing = Arc::new(EveryoneOfStanding);
        let platform = Platform::open(stores, config, secrets, standing, environment(&self.clock));
        let platform = platform.map_err(|error| (error.code(), error.to_string()))?;
        Ok(platform.with_ledgers(ledgers))
    }

    /// Why it does not open.
    fn refused(&self) -> Refused {
        self.open().map(drop).unwrap_err()
    }

    /// All of its files, while nobody has them open.
    fn copy(&self, into: &str) -> [PathBuf; 3] {
        ROLES.map(|role| {
            let to = self.directory.file(&format!("{into}-{role}"));
            fs::copy(self.file(role), &to).unwrap();
            to
        })
    }

    fn put_back(&self, copies: &[PathBuf; 3], roles: &[Role]) {
        for (role, copy) in ROLES.iter().zip(copies).filter(|(role, _)| roles.contains(role)) {
            fs::copy(copy, self.file(*role)).unwrap();
        }
    }
}

fn environment(clock: &Arc<ManualClock>) -> Environment {
    Environment::new(clock.clone(), || Box::new(SystemRng::new()))
}

fn log_key(ledger: &str) -> NoteKey {
    let seed = SecretBytes::new([ledger.len() as u8; 32]);
    NoteKey::from_secret_bytes(KeyName::new(format!("shop.example/{ledger}")).unwrap(), &seed)
}

/// Somebody with an order that is due.
struct Customer {
    account: Name,
    wallet: Wallet,
    handle: OrderHandle,
}

impl Customer {
    fn new(platform: &Platform<RedbStore>, account: &str) -> Self {
        let account = name(account);
        let wallet = enrolled(platform, &account);
        let order = OrderReport {
            order_id: account.as_bytes().to_vec(),
            account: account.clone(),
            merchant: merchant(),
            class: 0,
            due_at: MONDAY,
        };
        let handle = platform.order_due(order).unwrap();
        let dead = NumbersDead { merchant: merchant(), handle, at: MONDAY };
        platform.numbers_dead(dead).unwrap();
        Self { account, wallet, handle }
    }

    /// Asks for a token: what a device, or a changed one, does once more after a restore.
    fn asks(
        &self,
        shop: &Shop,
        platform: &Platform<RedbStore>,
    ) -> Result<(PendingToken, unjoin::token::Grant), &'static str> {
        let rng = &mut SystemRng::new();
        let offer = platform.offer(self.account.clone(), merchant(), self.handle);
        let offer = offer.map_err(|error| error.code())?;
        let pair = shop.ring.newest();
        let trust = TrustRoots::new(*platform.public_key(), 2, unjoin::Grid::Weekly)
            .pin(*pair.issuer_key.public(), pair.escrow_key)
            .unwrap();
        let (pending, request) = self
            .wallet
            .request(&name("shop.example"), &merchant(), self.handle, &offer, &trust, rng)
            .unwrap();
        let grant = platform.grant(self.account.clone(), request).wait().map_err(|error| error.code())?;
        Ok((pending, grant))
    }
}

/// A wallet of this account.
fn enrolled(platform: &Platform<RedbStore>, account: &Name) -> Wallet {
    let (rng, issuer) = (&mut SystemRng::new(), name("shop.example"));
    let wallet = Wallet::generate(rng);
    let context = EnrolmentContext { issuer: &issuer, account, nonce: &[1; 32] };
    platform.enrol(account.clone(), [1; 32], wallet.enrol(context, rng).unwrap()).unwrap();
    wallet
}

fn merchant() -> Name {
    name("lamps.example")
}

/// Somebody whose token was granted and is spent: what an older copy has forgotten. They have a second wallet,
/// which asks for the same order, and a second review under the same token.
fn history(shop: &Shop) -> (Customer, Presentation) {
    let platform = shop.open().unwrap();
    // Two customers of a merchant that was busy before are a crowd after two weeks.
    let past = PastOrders { merchant: merchant(), class: 0, counts: vec![6_000] };
    assert!(platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
    let [(customer, (pending, grant)), _] = ["ann", "ben"].map(|account| {
        let customer = Customer::new(&platform, account);
        let granted = customer.asks(shop, &platform).unwrap();
        (customer, granted)
    });
    let sealed = [8, 15].map(|day| {
        shop.clock.set(MONDAY.saturating_add(day * DAY));
        platform.tick().unwrap().manifests.len()
    });
    assert_eq!(sealed, [0, 1]);
    let rng = &mut SystemRng::new();
    let token = customer.wallet.finish(pending, &grant, rng).unwrap();
    let first = customer.wallet.presentation(&token, &review("first"), rng).unwrap();
    let second = customer.wallet.presentation(&token, &review("second"), rng).unwrap();
    platform.submit(first, review("first")).wait().unwrap();
    let spent = platform.submit(second.clone(), review("second")).wait().unwrap_err();
    assert_eq!(spent.code(), "desk.spent");
    // Another wallet of the account asks with another commitment.
    let wallet = enrolled(&platform, &customer.account);
    (Customer { wallet, ..customer }, second)
}

fn review(text: &str) -> Review {
    Review::new(1, text, vec![]).unwrap()
}

/// That what was decided is decided: no second token for the order, no second receipt for the token.
fn assert_decided(shop: &Shop, (customer, second): &(Customer, Presentation)) {
    let platform = shop.open().unwrap();
    let again = platform.submit(second.clone(), review("second")).wait().unwrap_err();
    assert_eq!(again.code(), "desk.spent");
    assert_eq!(customer.asks(shop, &platform).map(drop).unwrap_err(), "issuer.already_granted");
}

#[test]
fn a_lost_volume_is_no_new_shop() {
    let shop = Shop::new();
    let decided = history(&shop);
    let kept = shop.copy("kept");
    for role in ROLES {
        fs::remove_file(shop.file(role)).unwrap();
        assert_eq!(shop.refused().0, "store.missing");
        assert!(!shop.file(role).exists(), "opening makes nothing");
        fs::write(shop.file(role), b"").unwrap();
        assert_eq!(shop.refused().0, "store.missing");
        assert_eq!(fs::metadata(shop.file(role)).unwrap().len(), 0);
        // A store that is fresh, as an orchestrator or an impatient person makes it.
        drop(RedbStore::create(shop.file(role)).unwrap());
        let (code, words) = shop.refused();
        assert_eq!(code, "store.nobodys");
        assert!(words.contains(&format!("the {role} store")), "{words}");
        shop.put_back(&kept, &[role]);
        assert_decided(&shop, &decided);
        // Marks have gone on: it is copied anew.
        shop.copy("kept");
    }
    for role in ROLES {
        fs::remove_file(shop.file(role)).unwrap();
    }
    assert_eq!(shop.refused().0, "store.missing", "the whole directory is gone");
    // Made anew by hand, with the same secrets: the witness remembers that there was a platform.
    shop.create().unwrap();
    assert_eq!(shop.refused().0, "ledger.behind");
    shop.put_back(&kept, &ROLES);
    assert_decided(&shop, &decided);
}

#[test]
fn exchanged_and_foreign_stores_are_named() {
    let (shop, other) = (Shop::new(), Shop::new());
    let decided = history(&shop);
    drop(other.open().unwrap());
    let (kept, theirs) = (shop.copy("kept"), other.copy("theirs"));
    fs::copy(&kept[0], shop.file(Role::Reviews)).unwrap();
    fs::copy(&kept[1], shop.file(Role::Orders)).unwrap();
    let (code, words) = shop.refused();
    assert_eq!(code, "store.swapped");
    assert!(words.contains("the reviews store lies where the orders store is looked for"), "{words}");
    shop.put_back(&kept, &ROLES);
    for (role, theirs) in ROLES.iter().zip(&theirs) {
        fs::copy(theirs, shop.file(*role)).unwrap();
        let (code, words) = shop.refused();
        assert_eq!(code, "store.foreign");
        assert!(words.contains(&format!("the {role} store is another platform's")), "{words}");
        shop.put_back(&kept, &[*role]);
    }
    assert_decided(&shop, &decided);
}

#[test]
fn a_platform_opens_with_its_own_secrets_only() {
    let shop = Shop::new();
    let decided = history(&shop);
    let (rng, witnesses) = (&mut SystemRng::new(), [shop.witness.clone()]);
    let (ring, key) = (&shop.ring, &shop.platform_key);
    let other_ring = KeyRing::new(IssuerKey::generate(rng), ring.newest().escrow_key);
    let other_key = PlatformKey::generate(rng).to_secret_bytes().unwrap();
    for (refused, secret) in [
        (shop.open_with(ring.clone(), key, [9; 32], &witnesses), "order handles"),
        (shop.open_with(ring.clone(), &other_key, shop.master, &witnesses), "platform key"),
        (shop.open_with(other_ring, key, shop.master, &witnesses), "issuing keys"),
    ] {
        let (code, words) = refused.map(drop).unwrap_err();
        assert!(code.contains("secret") || words.contains("secret"), "{code}");
        assert!(words.contains(&format!("the orders store belongs to another secret ({secret})")), "{words}");
    }
    assert_decided(&shop, &decided);
}

#[test]
fn an_older_copy_beside_newer_sisters_is_named() {
    let shop = Shop::new();
    drop(shop.open().unwrap());
    let older = shop.copy("older");
    let decided = history(&shop);
    let kept = shop.copy("kept");
    for role in ROLES {
        shop.put_back(&older, &[role]);
        let (code, words) = shop.refused();
        assert_eq!(code, "store.older");
        assert!(words.contains(&format!("the {role} store is older than its sisters")), "{words}");
        shop.put_back(&kept, &[role]);
    }
    // Two of three: the third tells.
    shop.put_back(&older, &[Role::Orders, Role::Reviews]);
    assert_eq!(shop.refused().0, "store.older");
    shop.put_back(&kept, &ROLES);
    assert_decided(&shop, &decided);
}

#[test]
fn all_stores_put_back_together_are_told_by_the_witnesses() {
    let shop = Shop::new();
    let _ = shop.open().unwrap().tick().unwrap();
    let older = shop.copy("older");
    let decided = history(&shop);
    let kept = shop.copy("kept");
    // At the next boundary nothing is published, and a mark is logged all the same.
    shop.clock.set(MONDAY.saturating_add(16 * DAY));
    assert_eq!(shop.open().unwrap().tick().unwrap().ledgers.unwrap().reviews.sequenced, 0);
    shop.clock.set(MONDAY.saturating_add(21 * DAY));
    assert!(shop.open().unwrap().tick().unwrap().ledgers.unwrap().reviews.sequenced >= 1);
    let newest = shop.copy("newest");
    for copies in [&older, &kept] {
        shop.put_back(copies, &ROLES);
        let (code, words) = shop.refused();
        assert_eq!(code, "ledger.behind");
        assert!(words.contains("the witnesses have seen a larger ledger than this one"), "{words}");
    }
    // Nobody to ask is no answer.
    let unwitnessed = shop.open_with(shop.ring.clone(), &shop.platform_key, shop.master, &[]);
    assert_eq!(unwitnessed.map(drop).unwrap_err().0, "ledger.unwitnessed");
    shop.put_back(&newest, &ROLES);
    assert_decided(&shop, &decided);
}

#[test]
fn a_mark_is_logged_once_a_boundary_and_says_nothing_to_others() {
    let shop = Shop::new();
    let mut marks = Vec::new();
    for week in 0..3 {
        shop.clock.set(MONDAY.saturating_add(week * 7 * DAY));
        for _ in 0..3 {
            let platform = shop.open().unwrap();
            for _ in 0..3 {
                let _ = platform.tick().unwrap();
            }
        }
        let platform = shop.open().unwrap();
        let log = platform.ledgers().unwrap().reviews();
        let entries = log.entries(0, log.size().unwrap()).unwrap();
        marks = entries.iter().map(|entry| StoreMarkEntry::from_bytes(entry).unwrap()).collect();
        assert_eq!(marks.len() as u64, week + 1);
    }
    assert!(marks.is_sorted_by(|one, next| one.number < next.number));
    let (platform, strange) = (shop.roster.platform(), [0; 32]);
    assert!(marks.iter().all(|mark| !mark.is_of(&strange, &[0; 16]) && !mark.is_of(platform, &[0; 16])));
    assert_ne!(entry_id(&marks[0].to_bytes()), entry_id(&marks[1].to_bytes()));
}
