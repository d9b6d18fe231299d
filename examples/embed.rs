//! The shortest whole path: one order, one token, one review.
//!
//! The platform's part is what an embedding writes; the device's part runs in the shopper's
//! app. A review appears only in a cohort, so one order alone publishes nothing.

use std::{error::Error, sync::Arc};
use unjoin::Name;
use unjoin::issuer::{EveryoneOfStanding, NumbersDead, OrderReport};
use unjoin::opening::insecure_test_dealer;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::RedbStore;
use unjoin::token::{EnrolmentContext, Review};
use unjoin::{Environment, Platform, PlatformConfig, PlatformSecrets, Timestamp};
use unjoin_wallet::{TrustRoots, Wallet};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("unjoin-embed-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = whole_path(&dir);
    std::fs::remove_dir_all(dir)?;
    outcome
}

fn whole_path(dir: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let rng = &mut SystemRng::new();
    // A dealer for demonstrations: on a platform the trustees make their key themselves.
    let (trustees, _shares) = insecure_test_dealer(3, 5, rng)?;
    let secrets = PlatformSecrets::generate(*trustees.key(), rng);
    let issuer_key = *secrets.keys.newest().issuer_key.public();

    // Once: two stores, the secrets, and your judgement of who counts towards a cohort's k.
    let platform = Platform::open(
        RedbStore::create_or_open(dir.join("orders.redb"))?,
        RedbStore::create_or_open(dir.join("reviews.redb"))?,
        PlatformConfig::new(Name::new("shop.example")?),
        secrets,
        Arc::new(EveryoneOfStanding),
        Environment::system(),
    )?;

    // The device: one seed, and the keys that it pins.
    let wallet = Wallet::generate(rng);
    let issuer = Name::new("shop.example")?;
    let trust =
        TrustRoots::new(*platform.public_key(), 10, unjoin::Grid::Weekly).pin(issuer_key, *trustees.key())?;
    let (account, merchant) = (Name::new("account-7")?, Name::new("lamps.example")?);
    let nonce = *SecretBytes::<32>::random(rng).expose();
    let enrolment =
        wallet.enrol(EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce }, rng)?;

    // Once per device, over the nonce of the session that is logged in.
    platform.enrol(account.clone(), nonce, enrolment)?;

    let due_at = Timestamp::from_unix_seconds(1_700_000_000);
    let (order_id, class) = (b"A-1001".to_vec(), 0);
    let order = OrderReport { order_id, account: account.clone(), merchant: merchant.clone(), class, due_at };

    // Once per order, when it is due: report it, offer a scope, grant the device's request.
    let handle = platform.order_due(order)?;
    let offer = platform.offer(account.clone(), merchant.clone(), handle)?;
    let (pending, request) =
        wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &trust, rng)?;
    let grant = platform.grant(account, request).wait()?;
    let token = wallet.finish(pending, &grant, rng)?;

    // When the order's virtual numbers have ended, for ever.
    let at = due_at.saturating_add(3 * unjoin::DAY);
    platform.numbers_dead(NumbersDead { merchant: merchant.clone(), handle, at })?;

    // The early door, because the cohort of this one order is not closed yet.
    let review = Review::new(1, "The lamp came broken.", vec![])?;
    let presentation = wallet.presentation(&token, &review, rng)?;

    // Once per review, from a connection that carries no session: a signed receipt.
    let receipt = platform.submit(presentation, review).wait()?;
    receipt.verify(platform.public_key())?;

    // Every few minutes: seal and close cohorts, publish at the boundaries, apply edits.
    let report = platform.tick()?;
    let published = platform.published(&merchant, None, 10)?;
    println!("accepted, with a signed receipt that names no order");
    println!("{} cohorts closed, {} reviews published", report.manifests.len(), published.len());
    Ok(())
}
