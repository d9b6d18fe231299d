//! The shortest whole path: one order, one token, one review.
//!
//! The platform's part is what an embedding writes; the device's part runs in the shopper's
//! app. A review appears only in a cohort, so one order alone publishes nothing.

use std::{error::Error, sync::Arc};
use unjoin::issuer::{EveryoneOfStanding, OrderReport};
use unjoin::opening::insecure_test_dealer;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::RedbStore;
use unjoin::token::{EnrolmentContext, Name, Review};
use unjoin::wallet::{TrustRoots, Wallet};
use unjoin::{Environment, Platform, PlatformConfig, PlatformSecrets, Timestamp};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("unjoin-embed-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let rng = &mut SystemRng::new();
    let (account, merchant) = (Name::new("account-7")?, Name::new("lamps.example")?);

    // The platform: two stores, the trustees' key, its own secrets.
    let (trustees, _) = insecure_test_dealer(3, 5, rng)?;
    let secrets = PlatformSecrets::generate(*trustees.key(), rng);
    let issuer_key = *secrets.keys.newest().issuer_key.public();
    let config = PlatformConfig::new(Name::new("shop.example")?);
    let (orders, reviews) = (dir.join("orders.redb"), dir.join("reviews.redb"));
    let platform = Platform::open(
        RedbStore::create_or_open(orders)?,
        RedbStore::create_or_open(reviews)?,
        config,
        secrets,
        Arc::new(EveryoneOfStanding),
        Environment::system(),
    )?;

    // The device: one seed, and the keys that it pins.
    let wallet = Wallet::generate(rng);
    let issuer = Name::new("shop.example")?;
    let trust = TrustRoots::new(*platform.public_key(), 10).pin(issuer_key, *trustees.key())?;

    // Once per device: bind its wallet key to the account that is logged in.
    let nonce = *SecretBytes::<32>::random(rng).expose();
    let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
    platform.enrol(account.clone(), nonce, wallet.enrol(context, rng)?)?;

    // Once per order, when it is due: offer, request, grant.
    let due_at = Timestamp::from_unix_seconds(1_700_000_000);
    let order = OrderReport {
        order_id: b"A-1001".to_vec(),
        account: account.clone(),
        merchant: merchant.clone(),
        class: 0,
        due_at,
    };
    let handle = platform.order_due(order)?;
    let offer = platform.offer(account.clone(), merchant.clone(), handle)?;
    let (pending, request) = wallet.request(&issuer, &offer, &trust, rng)?;
    let grant = platform.grant(account, merchant.clone(), request)?.wait()??;
    let token = wallet.finish(pending, &grant, rng)?;

    // Once per review; the early door is used here because the cohort is not closed yet.
    let review = Review::new(1, "The lamp came broken.", vec![])?;
    let presentation = wallet.present_early_trusting_host_silence(&token, &review, rng)?;
    let receipt = platform.submit(presentation, review)?.wait()??;
    receipt.verify(platform.public_key())?;
    println!("accepted; the receipt is signed and names no order");

    // Every minute: close cohorts, publish, apply edits, rewrite.
    let report = platform.tick()?;
    println!(
        "{} cohorts closed, {} published reviews",
        report.manifests.len(),
        platform.published(&merchant, None, 10)?.len()
    );
    drop(platform);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
