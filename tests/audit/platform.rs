//! A whole platform with its ledgers: devices that believe the ledger only, receipts, and an
//! insider with access to the review store.

use crate::world::{at, log_key, witness};
use std::sync::Arc;
use unjoin::audit::{
    Finding, History, PublishedSet, ReceiptError, ReceiptVerdict, audit_reviews, receipt_verdict,
};
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead, OrderReport};
use unjoin::ledger::{LedgerConfig, Ledgers, LogView, Witness, WitnessPolicy};
use unjoin::opening::insecure_test_dealer;
use unjoin::secret::SystemRng;
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin::token::{CohortManifest, EnrolmentContext, Presentation, Receipt, Review, ReviewId};
use unjoin::wire::Message;
use unjoin::{
    DAY, Environment, ManualClock, Name, Platform, PlatformConfig, PlatformSecrets, TickReport, Timestamp,
};
use unjoin_wallet::{ManifestEvidence, Token, TrustRoots, Wallet, WalletError};

const GRACE: u64 = 3_600;

type Shared = Arc<MemoryStore>;

struct Shop {
    platform: Platform<Shared>,
    reviews: Shared,
    clock: Arc<ManualClock>,
    policy: WitnessPolicy,
    trust: TrustRoots,
    /// The same pins without the ledger.
    without_ledger: TrustRoots,
    merchant: Name,
}

struct Customer {
    wallet: Wallet,
    token: Token,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn monday() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_438_400)
}

impl Shop {
    fn new() -> Self {
        let rng = &mut SystemRng::new();
        let clock = Arc::new(ManualClock::new(monday()));
        let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
        let secrets = PlatformSecrets::generate(*trustees.key(), rng);
        let pair = secrets.keys.newest();
        let trust = TrustRoots::new(secrets.platform_key.public(), 2, unjoin::Grid::Weekly)
            .pin(*pair.issuer_key.public(), pair.escrow_key)
            .unwrap();
        let mut config = PlatformConfig::new(name("shop.example"));
        config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let reviews = Shared::default();
        let platform = Platform::open(
            Shared::default(),
            Arc::clone(&reviews),
            config,
            secrets,
            Arc::new(EveryoneOfStanding),
            environment,
        );
        let witness = witness("shop.example/reviews", &clock);
        let key = log_key("shop.example/reviews");
        let keys = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), keys, 1, 0, 60).unwrap();
        let ledgers = Ledgers::open(
            Arc::new(Shared::default()),
            LedgerConfig { key, policy: Some(policy.clone()) },
            LedgerConfig { key: log_key("shop.example/openings"), policy: None },
            vec![Arc::new(witness)],
        );
        let platform = platform.unwrap().with_ledgers(ledgers.unwrap());
        let without_ledger = trust.clone();
        let trust = trust.require_ledger(policy.clone());
        Self { platform, reviews, clock, policy, trust, without_ledger, merchant: name("lamps.example") }
    }

    /// Somebody with one order, granted, whose numbers are dead.
    fn customer(&self, account: &str) -> Customer {
        let (rng, issuer, account) = (&mut SystemRng::new(), name("shop.example"), name(account));
        let wallet = Wallet::generate(rng);
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[1; 32] };
        self.platform.enrol(account.clone(), [1; 32], wallet.enrol(context, rng).unwrap()).unwrap();
        let (order_id, merchant) = (account.as_bytes().to_vec(), self.merchant.clone());
        let order = OrderReport { order_id, account: account.clone(), merchant, class: 0, due_at: monday() };
        let handle = self.platform.order_due(order).unwrap();
        let offer = self.platform.offer(account.clone(), self.merchant.clone(), handle).unwrap();
        let (pending, request) =
            wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &self.trust, rng).unwrap();
        let grant = self.platform.grant(account, request).wait().unwrap();
        let dead = NumbersDead { merchant: self.merchant.clone(), handle, at: monday() };
        self.platform.numbers_dead(dead).unwrap();
        let token = wallet.finish(pending, &grant, rng).unwrap();
        Customer { wallet, token }
    }

    fn tick(&self, now: Timestamp) -> TickReport {
        self.clock.set(now);
        let report = self.platform.tick().unwrap();
        assert!(report.failed.is_empty());
        let ledgers = report.ledgers.as_ref().unwrap();
        for ledger in [&ledgers.reviews, &ledgers.openings] {
            assert!(ledger.failed.is_none());
        }
        assert!(ledgers.reviews.publication.as_ref().unwrap().published);
        report
    }

    fn submit(&self, presentation: Presentation, review: &Review) -> Receipt {
        self.platform.submit(presentation, review.clone()).wait().unwrap()
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.platform.ledgers().unwrap().reviews().checkpoint().unwrap().unwrap()
    }

    fn history(&self, older: &[u8]) -> History {
        History::read(self.platform.ledgers().unwrap().reviews(), &self.policy, Some(older)).unwrap()
    }

    fn shown(&self) -> PublishedSet {
        let published = self.platform.published(&self.merchant, None, 100).unwrap();
        published.iter().map(|one| (one.review_id, one.review.digest())).collect()
    }

    /// What somebody with the review store's password can do: every row of this room that has
    /// the id in its key is gone.
    fn delete_rows(&self, room: &[u8; 2], id: ReviewId) {
        let mut gone = 0;
        for bucket in Bucket::all() {
            for row in self.reviews.scan(bucket, room, None, 1_000).unwrap() {
                if row.key.ends_with(id.as_bytes()) {
                    self.reviews.commit(&[Commit::new(bucket).delete(row.key)]).unwrap();
                    gone += 1;
                }
            }
        }
        assert_eq!(gone, 1);
    }
}

#[test]
fn devices_believe_the_ledger_and_the_audit_finds_what_an_insider_does() {
    let (shop, rng) = (Shop::new(), &mut SystemRng::new());
    let customers = ["ann", "ben", "cem"].map(|account| shop.customer(account));
    let [ann, ben, cem] = &customers;
    let review = |text: &str| Review::new(1, text, vec![]).unwrap();

    // The early door: a receipt without a boundary.
    let early_review = review("broken");
    let early = ann.wallet.presentation(&ann.token, &early_review, rng).unwrap();
    let early_receipt = shop.submit(early.clone(), &early_review);
    assert_eq!(early_receipt.publish_by(), None);

    let closing = shop.tick(monday().saturating_add(15 * DAY));
    let signed = closing.manifests[0].clone();
    let manifest: CohortManifest = signed.verify(shop.platform.public_key()).unwrap().clone();
    // Closed, handed to the desk and logged; the bindings went into the other ledger.
    let ledgers = closing.ledgers.unwrap();
    assert_eq!((ledgers.reviews.sequenced, ledgers.openings.sequenced), (1, 3));

    // The platform's signature alone is not enough for a device that has pinned the ledger.
    let now = monday().saturating_add(15 * DAY + 60);
    let present = |customer: &Customer, text: &str, evidence: &ManifestEvidence, trust: &TrustRoots| {
        customer.wallet.present(&customer.token, &review(text), evidence, trust, now, &mut SystemRng::new())
    };
    let refused = present(ben, "late", &ManifestEvidence::Signed(signed.clone()), &shop.trust);
    assert_eq!(refused.unwrap_err(), WalletError::ManifestNotLogged);
    let logged =
        shop.platform.ledgers().unwrap().reviews().evidence_of(&manifest.to_bytes()).unwrap().unwrap();
    let evidence = ManifestEvidence::Cosigned(logged);
    let refused = present(ben, "late", &evidence, &shop.without_ledger);
    assert_eq!(refused.unwrap_err(), WalletError::LedgerNotPinned);
    assert!(present(ben, "late", &ManifestEvidence::Signed(signed), &shop.without_ledger).is_ok());
    let other_manifest = CohortManifest { at_least: 200, ..manifest.clone() };
    let reviews_log = shop.platform.ledgers().unwrap().reviews();
    assert_eq!(reviews_log.evidence_of(&other_manifest.to_bytes()).unwrap(), None);
    let receipts = [(ben, "late"), (cem, "rude")].map(|(customer, text)| {
        let scheduled = present(customer, text, &evidence, &shop.trust).unwrap();
        assert_eq!(scheduled.publication, manifest.first_publication);
        shop.submit(scheduled.presentation, &review(text))
    });

    // An insider drops cem's review while it is held.
    let older = shop.checkpoint();
    shop.delete_rows(b"rr", receipts[1].review_id());
    let early_binding = Some((&manifest, &early));
    let verdict = |history: &History, receipt: &Receipt| {
        receipt_verdict(history, receipt, shop.platform.public_key(), early_binding, GRACE)
    };
    let history = shop.history(&older);
    assert_eq!(verdict(&history, &receipts[0]), Ok(ReceiptVerdict::NotYetDue));
    assert_eq!(verdict(&history, &early_receipt), Ok(ReceiptVerdict::NotYetDue));

    let publication = shop.tick(manifest.first_publication.saturating_add(GRACE));
    assert_eq!(publication.batches[0].reviews.len(), 2);
    let history = shop.history(&older);
    assert_eq!(verdict(&history, &early_receipt), Ok(ReceiptVerdict::Kept));
    assert_eq!(verdict(&history, &receipts[0]), Ok(ReceiptVerdict::Kept));
    assert_eq!(verdict(&history, &receipts[1]), Ok(ReceiptVerdict::Unkept));
    // What binds an early receipt is its own presentation and a manifest that is logged.
    let unbound = receipt_verdict(&history, &early_receipt, shop.platform.public_key(), None, GRACE);
    assert_eq!(unbound, Err(ReceiptError::Unbound));
    let binding = Some((&other_manifest, &early));
    let unbound = receipt_verdict(&history, &early_receipt, shop.platform.public_key(), binding, GRACE);
    assert_eq!(unbound, Err(ReceiptError::Unbound));
    let stranger = unjoin::token::PlatformKey::generate(rng).public();
    let forged = receipt_verdict(&history, &receipts[0], &stranger, None, GRACE);
    assert_eq!(forged, Err(ReceiptError::Signature));

    // Nothing that is shown is wrong, until the insider deletes a published one too.
    assert_eq!(shop.shown().len(), 2);
    assert_eq!(audit_reviews(&history, &shop.shown()), []);
    let history = shop.history(&shop.checkpoint());
    assert_eq!(audit_reviews(&history, &shop.shown()), []);
    shop.delete_rows(b"rl", receipts[0].review_id());
    let dropped = Finding::Dropped { review_id: receipts[0].review_id() };
    assert_eq!(audit_reviews(&history, &shop.shown()), std::slice::from_ref(&dropped));
    // And time does not heal it.
    let older = shop.checkpoint();
    let _ = shop.tick(manifest.first_publication.saturating_add(DAY));
    assert_eq!(audit_reviews(&shop.history(&older), &shop.shown()), [dropped]);
    assert!(at(0) < now);
}
