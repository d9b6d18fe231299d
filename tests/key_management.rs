//! A platform whose keys a host's key management holds: one that is away, that is wrong, that is slow.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::ledger::{KeyName, LedgerConfig, Ledgers, LogView, NoteKey};
use unjoin::opening::insecure_test_dealer;
use unjoin::review::Submission;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::{MemoryStore, identity::Role};
use unjoin::token::{EnrolmentContext, PlatformKey, PublicationDates, Review, Sign, SignError};
use unjoin::{
    DAY, Environment, Grid, ManualClock, Name, Platform, PlatformConfig, PlatformSecrets, Timestamp,
};
use unjoin_core::signature::Signer;
use unjoin_test_util::{fresh, fresh_platform_stores};
use unjoin_wallet::{AuthorRequest, Token, TrustRoots, Wallet};

const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);

fn after(days: u64, hours: u64) -> Timestamp {
    MONDAY.saturating_add(days * DAY + hours * 3_600)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What the module does when it is asked.
enum Mood {
    Signs,
    IsAway,
    SignsSomethingElse,
    /// Says that it was asked, and signs when it is told to.
    Waits(Sender<()>, Receiver<()>),
}

struct Module {
    signer: Signer,
    mood: Mutex<Mood>,
}

impl Module {
    fn new(seed: u8) -> Arc<Self> {
        let signer = Signer::from_seed(&SecretBytes::new([seed; 32]));
        Arc::new(Self { signer, mood: Mutex::new(Mood::Signs) })
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

impl Sign for Module {
    fn public_key(&self) -> Result<[u8; 32], SignError> {
        Ok(*self.signer.verifier().as_bytes())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let mut mood = self.mood.lock().unwrap();
        match &*mood {
            Mood::Signs => {}
            Mood::IsAway => return Err(SignError::Unavailable),
            Mood::SignsSomethingElse => return Ok(self.signer.sign_bare(b"something else")),
            Mood::Waits(asked, go) => {
                asked.send(()).unwrap();
                go.recv().unwrap();
                *mood = Mood::Signs;
            }
        }
        Ok(self.signer.sign_bare(message))
    }
}

const FAULTS: [fn() -> Mood; 2] = [|| Mood::IsAway, || Mood::SignsSomethingElse];

struct Shop {
    module: Arc<Module>,
    ledgers: Arc<Module>,
    clock: Arc<ManualClock>,
    platform: Platform<MemoryStore>,
}

impl Shop {
    fn new() -> Self {
        let rng = &mut SystemRng::new();
        let (module, ledgers) = (Module::new(1), Module::new(2));
        let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
        let secrets = PlatformSecrets {
            platform_key: PlatformKey::held_by(module.clone()).unwrap(),
            ..PlatformSecrets::generate(*committee.key(), rng)
        };
        let mut config = PlatformConfig::new(name("shop.example"));
        config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
        config.issuer.hold = 0;
        let clock = Arc::new(ManualClock::new(MONDAY));
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let stores = fresh_platform_stores(&secrets.stores);
        let platform =
            Platform::open(stores, config, secrets, Arc::new(EveryoneOfStanding), environment).unwrap();
        // Two customers of a merchant that was busy before are a crowd on the third day.
        let past = PastOrders { merchant: Self::merchant(), class: 0, counts: vec![6_000] };
        assert!(platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
        let ledger = |of| {
            let name = KeyName::new(format!("shop.example/{of}")).unwrap();
            LedgerConfig { key: NoteKey::held_by(name, ledgers.clone()).unwrap(), policy: None }
        };
        let own = fresh(Role::Ledgers);
        let logs = Ledgers::open(own, ledger("reviews"), ledger("openings"), vec![]).unwrap();
        Self { platform: platform.with_ledgers(logs), module, ledgers, clock }
    }

    fn merchant() -> Name {
        name("lamps.example")
    }

    /// A customer with a granted order, which had no numbers.
    fn customer(&self, account: &str) -> Customer {
        let (rng, issuer, account) = (&mut SystemRng::new(), name("shop.example"), name(account));
        let wallet = Wallet::generate(rng);
        let nonce = [1; 32];
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
        self.platform.enrol(account.clone(), nonce, wallet.enrol(context, rng).unwrap()).unwrap();
        let order = OrderReport {
            order_id: account.as_bytes().to_vec(),
            account: account.clone(),
            merchant: Self::merchant(),
            class: 0,
            due_at: MONDAY,
        };
        let handle = self.platform.order_due(order).unwrap();
        self.platform.numbers_dead(NumbersDead { merchant: Self::merchant(), handle, at: MONDAY }).unwrap();
        let offer = self.platform.offer(account.clone(), Self::merchant(), handle).unwrap();
        let trust = TrustRoots::new(*self.platform.public_key(), 2, Grid::Daily)
            .pin(offer.issuer_key, offer.escrow_key)
            .unwrap();
        let (pending, request) =
            wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &trust, rng).unwrap();
        let grant = self.platform.grant(account, request).wait().unwrap();
        let token = wallet.finish(pending, &grant, rng).unwrap();
        Customer { wallet, token }
    }

    /// Two customers whose cohort the next tick seals.
    fn with_a_crowd() -> (Self, Customer) {
        let shop = Self::new();
        let ann = shop.customer("ann");
        shop.customer("ben");
        for day in 1..3 {
            shop.clock.set(after(day, 0));
            assert_eq!(shop.codes_of_a_tick(), (0, vec![]));
        }
        shop.clock.set(after(3, 0));
        (shop, ann)
    }

    /// When the reviews of the cohort that a tick seals appear.
    fn seals(&self) -> PublicationDates {
        let report = self.platform.tick().unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        report.manifests.first().unwrap().verify(self.platform.public_key()).unwrap().publications
    }

    fn codes_of_a_tick(&self) -> (usize, Vec<&'static str>) {
        let report = self.platform.tick().unwrap();
        (report.manifests.len(), report.failed.iter().map(|error| error.code()).collect())
    }
}

struct Customer {
    wallet: Wallet,
    token: Token,
}

impl Customer {
    fn writes(&self, text: &str) -> Submission {
        let review = Review::new(4, text, vec![]).unwrap();
        let presentation = self.wallet.presentation(&self.token, &review, &mut SystemRng::new()).unwrap();
        Submission { presentation, review }
    }
}

#[test]
fn a_boundary_waits_for_the_signature_of_its_manifests() {
    for fault in FAULTS {
        let (shop, _ann) = Shop::with_a_crowd();
        shop.module.becomes(fault());
        assert_eq!(shop.codes_of_a_tick(), (0, vec!["issuer.signing"]));
        shop.clock.set(after(4, 0));
        assert_eq!(shop.codes_of_a_tick(), (0, vec!["issuer.signing"]));
        shop.module.becomes(Mood::Signs);
        // Devices have as long as if the module had never been away.
        let (undisturbed, _ben) = Shop::with_a_crowd();
        let starting = |day| PublicationDates::starting(after(day, 0)).unwrap();
        assert_eq!([undisturbed.seals(), shop.seals()], [starting(4), starting(5)]);
    }
}

#[test]
fn without_its_receipt_nothing_is_accepted() {
    for fault in FAULTS {
        let (shop, ann) = Shop::with_a_crowd();
        assert_eq!(shop.codes_of_a_tick(), (1, vec![]));
        let submit = |submission| {
            let answer = shop.platform.desk().submit(submission).wait();
            answer.map_err(|error| (error.code(), error.is_retryable()))
        };
        let failed = ("desk.signing", true);
        shop.module.becomes(fault());
        let unsigned = ann.writes("not signed");
        assert_eq!(submit(unsigned), Err(failed));
        shop.module.becomes(Mood::Signs);
        // The token was not spent: it signs other words.
        let words = ann.writes("signed");
        let receipt = submit(words.clone()).unwrap();
        // What was accepted is accepted, and gets its receipt again when that can be signed.
        shop.module.becomes(fault());
        assert_eq!(submit(words.clone()), Err(failed));
        let ask = |hour: u64| {
            shop.clock.set(after(3, hour));
            let question =
                ann.wallet.ask_state(&ann.token, unjoin::Clock::now(&*shop.clock), &mut SystemRng::new());
            shop.platform.desk().state(ann.token.scope(), &question.unwrap()).unwrap()
        };
        let state = ask(2);
        let now = unjoin::Clock::now(&*shop.clock);
        let step = ann.wallet.act(&ann.token, &state, AuthorRequest::Withdraw, now, &mut SystemRng::new());
        let action = step.unwrap().action;
        let withdraw = || shop.platform.desk().act(ann.token.scope(), &action, &[]);
        assert_eq!(withdraw().unwrap_err().code(), "desk.signing");
        assert_eq!(ask(3), state, "nothing was withdrawn");
        shop.module.becomes(Mood::Signs);
        assert_eq!(submit(words), Ok(receipt));
        assert_eq!(withdraw().unwrap().sequence(), 1);
        assert_ne!(ask(4), state);
    }
}

#[test]
fn a_ledger_shows_its_last_checkpoint_until_the_next_is_signed() {
    for fault in FAULTS {
        let (shop, _ann) = Shop::with_a_crowd();
        let shown = || shop.platform.ledgers().unwrap().reviews().checkpoint().unwrap();
        assert_eq!(shop.codes_of_a_tick(), (1, vec![]));
        let (before, codes) = (shown(), |shop: &Shop| {
            let failed = shop.platform.tick().unwrap().ledgers.unwrap().reviews.failed;
            failed.map(|error| (error.code(), error.is_retryable()))
        });
        shop.customer("eve");
        shop.customer("kim");
        shop.clock.set(after(4, 0));
        shop.ledgers.becomes(fault());
        assert_eq!((codes(&shop), shown()), (Some(("ledger.signing", true)), before.clone()));
        shop.ledgers.becomes(Mood::Signs);
        assert_eq!(codes(&shop), None);
        assert_ne!(shown(), before);
    }
}

#[test]
fn a_slow_module_holds_up_what_it_signs_and_nothing_else() {
    let (shop, ann) = Shop::with_a_crowd();
    assert_eq!(shop.codes_of_a_tick(), (1, vec![]));
    let ((asked, was_asked), (go, may_go)) = (channel(), channel());
    shop.module.becomes(Mood::Waits(asked, may_go));
    let words = ann.writes("slowly");
    let receipt = shop.platform.desk().submit(words.clone());
    was_asked.recv().unwrap();
    // Orders are reported, granted and read meanwhile, and ratings shown.
    shop.customer("eve");
    assert_eq!(shop.platform.histogram(&Shop::merchant()).unwrap().counts, [0; 5]);
    go.send(()).unwrap();
    let receipt = receipt.wait().unwrap();
    receipt.verify(shop.platform.public_key()).unwrap();
    assert_eq!(shop.platform.desk().submit(words).wait().unwrap(), receipt);
}
