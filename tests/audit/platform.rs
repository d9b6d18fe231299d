//! A whole platform with its ledgers: devices that believe the ledger only, receipts, and an
//! insider with access to the review store.

use crate::court::weekly_shop;
use crate::world::{log_key, witness};
use proptest::prelude::*;
use std::sync::Arc;
use unjoin::audit::{
    CountedElsewhere, Finding, History, PublishedSet, ReceiptVerdict, action_verdict, audit_manifests,
    audit_reviews, receipt_verdict,
};
use unjoin::issuer::{EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::ledger::{LedgerConfig, Ledgers, LogView, RemovedEntry, StaffKeyEntry, Witness, WitnessPolicy};
use unjoin::opening::insecure_test_dealer;
use unjoin::secret::SystemRng;
use unjoin::store::identity::Role;
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin::token::{
    ActionReceipt, AuthorAction, CohortManifest, EnrolmentContext, Presentation, Receipt, Review, ReviewId,
    ReviewState, SignedManifest, StaffKey,
};
use unjoin::wire::Message;
use unjoin::{
    Clock, DAY, Environment, Grid, ManualClock, Name, Platform, PlatformSecrets, TickReport, Timestamp, WEEK,
};
use unjoin_test_util::own;
use unjoin_wallet::{
    AuthorRequest, ManifestEvidence, ScheduledPresentation, Token, TrustRoots, Wallet, WalletError,
};

const GRACE: u64 = 3_600;
const ORIGIN: &str = "shop.example/reviews";

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
    staff: StaffKey,
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
        let staff = StaffKey::generate(rng);
        let staff_entry =
            StaffKeyEntry::sign(&secrets.platform_key, ORIGIN, &staff.public(), name("staff 3")).unwrap();
        let (trust, config) = weekly_shop(&secrets);
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let reviews = Shared::default();
        let platform = Platform::open(
            unjoin_test_util::platform_stores(
                &secrets.stores,
                &Arc::default(),
                &Arc::new(Arc::clone(&reviews)),
            )
            .unwrap(),
            config,
            secrets,
            Arc::new(EveryoneOfStanding),
            environment,
        );
        let witness = witness(ORIGIN, &clock);
        let key = log_key(ORIGIN);
        let keys = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), keys, 1, 0, 60).unwrap();
        let ledgers = Ledgers::open(
            own(&Arc::new(Shared::default()), Role::Ledgers),
            LedgerConfig { key, policy: Some(policy.clone()) },
            LedgerConfig { key: log_key("shop.example/openings"), policy: None },
            vec![Arc::new(witness)],
        );
        let platform = platform.unwrap().with_ledgers(ledgers.unwrap());
        platform.desk().admit_staff(&staff_entry, ORIGIN).unwrap();
        // Two customers of a merchant that was busy before are a crowd after two weeks.
        let past = PastOrders { merchant: name("lamps.example"), class: 0, counts: vec![6_000] };
        assert!(platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
        let without_ledger = trust.clone();
        let trust = trust.require_ledger(policy.clone());
        Self {
            platform,
            reviews,
            clock,
            policy,
            trust,
            without_ledger,
            merchant: name("lamps.example"),
            staff,
        }
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
        let dead = NumbersDead { merchant: self.merchant.clone(), handle, at: monday() };
        self.platform.numbers_dead(dead).unwrap();
        let offer = self.platform.offer(account.clone(), self.merchant.clone(), handle).unwrap();
        let (pending, request) =
            wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &self.trust, rng).unwrap();
        let grant = self.platform.grant(account, request).wait().unwrap();
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

    /// The manifest of the one cohort, sealed after two weeks, as a device believes it.
    fn close(&self) -> (SignedManifest, CohortManifest, ManifestEvidence) {
        assert!(self.tick(monday().saturating_add(8 * DAY)).manifests.is_empty());
        let closing = self.tick(monday().saturating_add(15 * DAY));
        let signed = closing.manifests[0].clone();
        let manifest = signed.verify(self.platform.public_key()).unwrap().clone();
        let log = self.platform.ledgers().unwrap().reviews();
        let logged = log.evidence_of(&manifest.to_bytes()).unwrap().unwrap();
        (signed, manifest, ManifestEvidence::Cosigned(logged))
    }

    fn present(
        &self,
        customer: &Customer,
        review: &Review,
        evidence: &ManifestEvidence,
        trust: &TrustRoots,
    ) -> Result<ScheduledPresentation, WalletError> {
        let Customer { wallet, token } = customer;
        wallet.present(token, review, evidence, trust, self.clock.now(), &mut SystemRng::new())
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.platform.ledgers().unwrap().reviews().checkpoint().unwrap().unwrap()
    }

    fn history(&self, older: Option<&[u8]>) -> History {
        let log = self.platform.ledgers().unwrap().reviews();
        History::read(log, &self.policy, older, self.clock.now()).unwrap()
    }

    fn shown(&self) -> PublishedSet {
        let published = self.platform.published(&self.merchant, None, 100).unwrap();
        let shown = |one: &unjoin::review::PublishedReview| (self.merchant.clone(), one.review.digest());
        published.iter().map(|one| (one.review_id, shown(one))).collect()
    }

    fn findings(&self, older: &[u8], shown: &PublishedSet) -> Vec<Finding> {
        audit_reviews(&self.history(Some(older)), shown, self.platform.public_key(), GRACE)
    }

    fn verdict(&self, history: &History, of: &Customer, receipt: &Receipt) -> ReceiptVerdict {
        receipt_verdict(history, receipt, of.token.scope(), self.platform.public_key(), GRACE).unwrap()
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
    let shop = Shop::new();
    let customers = ["ann", "ben"].map(|account| shop.customer(account));
    let review = |text: &str| Review::new(1, text, vec![]).unwrap();
    let (signed, manifest, evidence) = shop.close();

    // The platform's signature alone is not enough for a device that has pinned the ledger.
    let refused = |evidence: ManifestEvidence, trust: &TrustRoots| {
        shop.present(&customers[0], &review("late"), &evidence, trust).unwrap_err()
    };
    let signed = ManifestEvidence::Signed(signed);
    assert_eq!(refused(signed.clone(), &shop.trust), WalletError::ManifestNotLogged);
    assert_eq!(refused(evidence.clone(), &shop.without_ledger), WalletError::LedgerNotPinned);
    assert!(shop.present(&customers[0], &review("late"), &signed, &shop.without_ledger).is_ok());
    let other_manifest = CohortManifest { at_least: 200, ..manifest.clone() };
    let reviews_log = shop.platform.ledgers().unwrap().reviews();
    assert_eq!(reviews_log.evidence_of(&other_manifest.to_bytes()).unwrap(), None);
    let receipts = [("late", 0), ("rude", 1)].map(|(text, number)| {
        let sent = shop.present(&customers[number], &review(text), &evidence, &shop.trust).unwrap();
        assert_eq!(sent.publication, manifest.publications.first());
        let receipt = shop.submit(sent.presentation.clone(), &review(text));
        sent.check_receipt(&receipt, &shop.trust, shop.clock.now()).unwrap();
        receipt
    });

    // An insider drops ben's review while it is held.
    let older = shop.checkpoint();
    shop.delete_rows(b"rr", receipts[1].terms().review_id);
    shop.delete_rows(b"re", receipts[1].terms().review_id);
    let verdicts = || {
        let history = shop.history(Some(&older));
        [0, 1].map(|number| shop.verdict(&history, &customers[number], &receipts[number]))
    };
    assert_eq!(verdicts(), [ReceiptVerdict::NotYetDue; 2]);
    let publication = shop.tick(manifest.publications.first().saturating_add(GRACE));
    assert_eq!(publication.batches[0].reviews.len(), 1);
    assert_eq!(verdicts(), [ReceiptVerdict::Kept, ReceiptVerdict::Unkept]);

    // Nothing that is shown is wrong, until the insider deletes a published one too.
    assert_eq!(shop.shown().len(), 1);
    assert_eq!(shop.findings(&older, &shop.shown()), []);
    assert_eq!(shop.findings(&shop.checkpoint(), &shop.shown()), []);
    let id = receipts[0].terms().review_id;
    shop.delete_rows(b"rl", id);
    let dropped = Finding::Dropped { review_id: id };
    assert_eq!(shop.findings(&shop.checkpoint(), &shop.shown()), std::slice::from_ref(&dropped));
    // And time does not heal it.
    let older = shop.checkpoint();
    let _ = shop.tick(manifest.publications.first().saturating_add(DAY));
    assert_eq!(shop.findings(&older, &shop.shown()), [dropped]);
}

/// What happens to a review in half a week.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Edit,
    /// An edit to the digest in force.
    Null,
    Withdraw,
    Remove,
}

/// A customer, what they have in hand, and what they were promised.
struct Reviewer {
    customer: Customer,
    state: ReviewState,
    review: Review,
    receipt: Receipt,
    actions: Vec<(AuthorAction, ActionReceipt)>,
}

impl Reviewer {
    /// Tries it; what the desk refuses in this state changes nothing.
    fn try_to(&mut self, deed: Deed, shop: &Shop) {
        let Customer { wallet, token } = &self.customer;
        let id = self.state.review_id;
        let edited = Review::new(2, format!("edition {}", self.state.last_sequence + 1), vec![]).unwrap();
        let (request, new) = match deed {
            Deed::Edit => (AuthorRequest::Edit(&edited), Some(&edited)),
            Deed::Null => (AuthorRequest::Edit(&self.review), Some(&self.review)),
            Deed::Withdraw => (AuthorRequest::Withdraw, None),
            Deed::Remove => {
                let Some((_, digest)) = shop.shown().remove(&id) else { return };
                let removed = RemovedEntry::sign(&shop.staff, ORIGIN, id, digest, "an order").unwrap();
                return shop.platform.desk().remove(token.scope(), &removed, ORIGIN).unwrap();
            }
        };
        let rng = &mut SystemRng::new();
        let Ok(scheduled) = wallet.act(token, &self.state, request, shop.clock.now(), rng) else { return };
        let bytes = new.map(Review::to_bytes).unwrap_or_default();
        let Ok(receipt) = shop.platform.desk().act(token.scope(), &scheduled.action, &bytes) else { return };
        if let Some(new) = new {
            self.review = new.clone();
        }
        self.state = self.state.clone().after(&scheduled.action);
        self.actions.push((scheduled.action, receipt));
    }
}

fn deed() -> impl Strategy<Value = Option<Deed>> {
    prop_oneof![
        3 => Just(None),
        3 => Just(Some(Deed::Edit)),
        2 => Just(Some(Deed::Null)),
        1 => Just(Some(Deed::Withdraw)),
        1 => Just(Some(Deed::Remove)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever authors and staff do, an honest platform's ledger has no findings, and it keeps
    /// what it has signed for.
    #[test]
    fn an_honest_platform_has_no_findings(
        deeds in prop::collection::vec(prop::collection::vec(deed(), 8), 2..5),
    ) {
        let shop = Shop::new();
        let customers: Vec<_> = (0..deeds.len()).map(|n| shop.customer(&format!("customer {n}"))).collect();
        let (_, manifest, evidence) = shop.close();
        let mut reviewers: Vec<_> = customers.into_iter().map(|customer| {
            let review = Review::new(1, "edition 0", vec![]).unwrap();
            let sent = shop.present(&customer, &review, &evidence, &shop.trust).unwrap();
            let receipt = shop.submit(sent.presentation.clone(), &review);
            let state = sent.check_receipt(&receipt, &shop.trust, shop.clock.now()).unwrap();
            Reviewer { customer, state, review, receipt, actions: vec![] }
        }).collect();
        let platform = shop.platform.public_key();
        // The first deeds are done to held reviews.
        let mut time = manifest.publications.first().saturating_sub(WEEK / 2).saturating_add(60);
        for step in 0..deeds[0].len() + 8 {
            let older = shop.checkpoint();
            for (reviewer, deeds) in reviewers.iter_mut().zip(&deeds) {
                if let Some(deed) = deeds.get(step).copied().flatten() {
                    reviewer.try_to(deed, &shop);
                }
            }
            let before = shop.shown();
            let _ = shop.tick(time);
            for shown in [&before, &shop.shown()] {
                prop_assert_eq!(shop.findings(&older, shown), []);
            }
            let history = shop.history(Some(&older));
            for reviewer in &reviewers {
                let kept = shop.verdict(&history, &reviewer.customer, &reviewer.receipt);
                prop_assert_ne!(kept, ReceiptVerdict::Unkept);
                if let Some((action, receipt)) = reviewer.actions.last() {
                    let kept = action_verdict(&history, receipt, action, platform, GRACE);
                    prop_assert_ne!(kept, Ok(ReceiptVerdict::Unkept));
                }
            }
            time = time.saturating_add(WEEK / 2);
        }
        // All boundaries are past by now: of overtaken actions, too.
        let history = shop.history(None);
        for reviewer in &reviewers {
            let kept = shop.verdict(&history, &reviewer.customer, &reviewer.receipt);
            prop_assert_eq!(kept, ReceiptVerdict::Kept);
            for (action, receipt) in &reviewer.actions {
                let kept = action_verdict(&history, receipt, action, platform, GRACE);
                prop_assert_eq!(kept, Ok(ReceiptVerdict::Kept));
            }
        }
        let counted = CountedElsewhere {
            grid: Grid::Weekly,
            classes: 1,
            orders: [(shop.merchant.clone(), deeds.len() as u64)].into(),
            grants: [(manifest.scope.clone(), deeds.len() as u64)].into(),
        };
        prop_assert_eq!(audit_manifests(&history, &counted).findings, []);
    }
}
