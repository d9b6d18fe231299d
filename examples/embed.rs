//! The shortest whole path: two orders, their tokens, a cohort, a review that everybody sees.
//!
//! The platform's part is what an embedding writes; the device's part runs in the shopper's
//! app. A review appears only in a cohort, so one order alone publishes nothing; and a cohort takes
//! its time to fill, so the clock is moved on here.

#[path = "shared/ceremony.rs"]
mod ceremony;
#[path = "shared/words.rs"]
mod words;

use std::{process::ExitCode, sync::Arc};
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::{RedbStore, Stores, identity::Role};
use unjoin::token::{DoorMessage, DoorQuestion, EnrolmentContext, Receipt, Review};
use unjoin::wire::Message;
use unjoin::{
    Clock, DAY, Environment, Grid, ManualClock, Name, Platform, PlatformConfig, PlatformSecrets, Timestamp,
};
use unjoin_wallet::{ManifestEvidence, TrustRoots, Wallet, asking_time};
use words::{At, Outcome};

/// As many as a cohort needs here. On a platform: ten or more.
const CUSTOMERS: u32 = 2;

fn main() -> ExitCode {
    words::end(run())
}

fn run() -> Outcome<()> {
    let dir = std::env::temp_dir().join(format!("unjoin-embed-{}", std::process::id()));
    std::fs::create_dir_all(&dir).at(&dir)?;
    let outcome = whole_path(&dir);
    std::fs::remove_dir_all(&dir).at(&dir)?;
    outcome
}

fn whole_path(dir: &std::path::Path) -> Outcome<()> {
    let rng = &mut SystemRng::new();
    // On a platform the trustees make their key among themselves, each on a machine of their own.
    let (trustees, certificate) = ceremony::play(3, 5)?;
    let secrets = PlatformSecrets::generate(certificate.verify(&trustees)?, rng);
    let issuer_key = *secrets.keys.newest().issuer_key.public();
    // On a platform: Environment::system().
    let due_at = Timestamp::from_unix_seconds(1_700_000_000);
    let clock = Arc::new(ManualClock::new(due_at));
    let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));

    // Once: two stores, the secrets, and your judgement of who counts towards a cohort's k.
    let store = |name| RedbStore::create(dir.join(name)).at(dir.join(name)).map(Arc::new);
    let stores = [(Role::Orders, store("orders.redb")?), (Role::Reviews, store("reviews.redb")?)];
    let stores = Stores::create(&secrets.stores, stores, &mut SystemRng::new())?;
    let mut config = PlatformConfig::new(Name::new("shop.example")?);
    config.issuer.classes = vec![ClassPolicy { class: 0, k: CUSTOMERS }];
    let platform = Platform::open(stores, config, secrets, Arc::new(EveryoneOfStanding), environment)?;

    // What the app ships: the keys that a device pins, and the least that it is content with.
    let trust = TrustRoots::new(*platform.public_key(), CUSTOMERS, Grid::Daily)
        .with_trustees(trustees, 3)
        .pin_certified(issuer_key, &certificate)?;
    let (issuer, merchant) = (Name::new("shop.example")?, Name::new("lamps.example")?);

    // Once per merchant that you know from before: of a busy one no cohort waits for a month.
    let past = PastOrders { merchant: merchant.clone(), class: 0, counts: vec![6_000] };
    platform.issuer().introduce(&[past]).into_iter().collect::<Result<(), _>>()?;

    let mut orders = Vec::new();
    for number in 1..=CUSTOMERS {
        // The device: one seed.
        let wallet = Wallet::generate(rng);
        let account = Name::new(format!("account-{number}"))?;
        let nonce = *SecretBytes::<32>::random(rng).expose();
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
        let enrolment = wallet.enrol(context, rng)?;

        // Once per device, over the nonce of the session that is logged in; and once per order, when it is due.
        platform.enrol(account.clone(), nonce, enrolment)?;

        let (order_id, class) = (format!("A-{number}").into_bytes(), 0);
        let (account_of, merchant_of) = (account.clone(), merchant.clone());
        let order = OrderReport { order_id, account: account_of, merchant: merchant_of, class, due_at };

        let handle = platform.order_due(order)?;
        orders.push((wallet, account, handle));
    }

    // When an order's virtual numbers have ended, for ever: a day later here. It says when to wake the device.
    let at = due_at.saturating_add(DAY);
    clock.set(at);
    let mut devices = Vec::new();
    for (wallet, account, handle) in orders {
        let eligible = platform.numbers_dead(NumbersDead { merchant: merchant.clone(), handle, at })?;
        devices.push((asking_time(eligible, rng), wallet, account, handle));
    }
    devices.sort_by_key(|(asks_at, ..)| *asks_at);
    let mut tokens = Vec::new();
    for (asks_at, wallet, account, handle) in devices {
        clock.set(asks_at);
        // Once per order, when its device asks: offer a scope, grant the device's request.
        let offer = platform.offer(account.clone(), merchant.clone(), handle)?;
        let (pending, request) = wallet.request(&issuer, &merchant, handle, &offer, &trust, rng)?;
        let grant = platform.grant(account, request).wait()?;
        let token = wallet.finish(pending, &grant, rng)?;
        tokens.push((wallet, token));
    }

    let sealed_at = loop {
        clock.set(Grid::Daily.next_after(clock.now()));
        // Every few minutes: seal cohorts, publish at the boundaries, apply edits.
        let report = platform.tick()?;
        if !report.manifests.is_empty() {
            println!("{} cohort sealed, of at least {CUSTOMERS} customers", report.manifests.len());
            break clock.now();
        }
    };

    // For everybody who asks: what a device needs before it sends a review.
    let manifests = platform.manifests(&merchant, None, 100)?;

    let (wallet, token) = tokens.first().ok_or("nobody bought anything")?;
    let own = manifests.into_iter().find(|manifest| manifest.claimed_scope() == token.scope());
    let evidence = ManifestEvidence::Signed(own.ok_or("the cohort is not sealed")?);
    let review = Review::new(1, "The lamp came broken.", vec![])?;
    let scheduled = wallet.present(token, &review, &evidence, &trust, sealed_at, rng)?;
    let question = DoorQuestion::submission(scheduled.presentation.clone(), &review);
    let message = DoorMessage::new(question).ok_or("it does not fit")?.to_bytes();
    clock.set(scheduled.send_at);

    // Once per question of an author's, from a connection that carries no session.
    let answer = platform.door(&message);

    let receipt = Receipt::from_bytes(answer.body())?;
    scheduled.check_receipt(&receipt, &trust, scheduled.send_at)?;
    println!("a review accepted, with a signed receipt that names no order");
    clock.set(scheduled.publication);
    let _ = platform.tick()?;

    // From the boundary on, for everybody: what was published.
    for shown in platform.published(&merchant, None, 100)? {
        println!("{}: {} of 5 stars, {:?}", shown.published_at, shown.review.stars(), shown.review.text());
    }
    Ok(())
}
