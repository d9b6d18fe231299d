//! The issuer from outside, with real wallets, on every engine, across restarts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::sync::Arc;
use unjoin::Name;
use unjoin::algebra::EscrowKey;
use unjoin::issuer::{
    ClassPolicy, EnrolmentSubmission, EveryoneOfStanding, Issuer, IssuerConfig, IssuerError, NumbersDead,
    OfferRequest, OrderReport, PastOrders,
};
use unjoin::opening::insecure_test_dealer;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{MemoryStore, Store};
use unjoin::token::{EnrolmentContext, IssuerKey, KeyRing, Offer, OrderHandle, PlatformKey, Review};
use unjoin::{Clock, DAY, Environment, Grid, ManualClock, QueueConfig, Timestamp, WEEK};
use unjoin_test_util::own;
use unjoin_wallet::{ManifestEvidence, TrustRoots, Wallet};

const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
const CUSTOMERS: u8 = 5;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What outlives a restart beside the store.
struct Platform {
    clock: Arc<ManualClock>,
    ring: KeyRing,
    escrow_key: EscrowKey,
    signer: Arc<PlatformKey>,
}

impl Platform {
    fn new() -> Self {
        let rng = &mut SystemRng::new();
        let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
        Self {
            clock: Arc::new(ManualClock::new(MONDAY)),
            ring: KeyRing::new(IssuerKey::generate(rng), *committee.key()),
            escrow_key: *committee.key(),
            signer: Arc::new(PlatformKey::generate(rng)),
        }
    }

    fn open<S: Store>(&self, store: S) -> Issuer<S> {
        let config = IssuerConfig {
            name: name("issuer"),
            grid: Grid::Weekly,
            classes: vec![ClassPolicy { class: 0, k: CUSTOMERS.into() }],
            hold: 0,
            order_days: 300,
            re_enrolment_interval: 30 * DAY,
            starving_after: 8 * WEEK,
            numbers_overdue_after: WEEK,
            queue: QueueConfig::default(),
        };
        Issuer::open(
            own(&Arc::new(store), Role::Orders),
            config,
            self.ring.clone(),
            SecretBytes::new([8; 32]),
            self.signer.clone(),
            Arc::new(EveryoneOfStanding),
            Environment::new(self.clock.clone(), || Box::new(SystemRng::new())),
        )
        .unwrap()
    }

    fn trust(&self) -> TrustRoots {
        let trust = TrustRoots::new(self.signer.public(), CUSTOMERS.into(), unjoin::Grid::Weekly);
        trust.pin(*self.ring.newest().issuer_key.public(), self.escrow_key).unwrap()
    }
}

fn account(customer: u8) -> Name {
    name(&format!("account {customer}"))
}

fn wallet(customer: u8) -> Wallet {
    Wallet::from_seed(SecretBytes::new([customer; 32]))
}

/// Enrols every customer and reports an order of each: the handles.
fn open_for_business<S: Store>(issuer: &Issuer<S>, merchant: &Name) -> Vec<OrderHandle> {
    let rng = &mut SystemRng::new();
    let nonce = [1; 32];
    let enrolments: Vec<EnrolmentSubmission> = (0..CUSTOMERS)
        .map(|customer| {
            let (issuer, account) = (name("issuer"), account(customer));
            let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
            let enrolment = wallet(customer).enrol(context, rng).unwrap();
            EnrolmentSubmission { account, nonce, enrolment }
        })
        .collect();
    assert!(issuer.enrol(&enrolments).iter().all(Result::is_ok));
    let reports: Vec<OrderReport> = (0..CUSTOMERS)
        .map(|customer| OrderReport {
            order_id: vec![customer],
            account: account(customer),
            merchant: merchant.clone(),
            class: 0,
            due_at: MONDAY,
        })
        .collect();
    let handles: Vec<OrderHandle> = issuer.report_orders(&reports).into_iter().map(Result::unwrap).collect();
    assert!((0..).zip(&handles).all(|(customer, handle)| issuer.handle(merchant, &[customer]) == *handle));
    let past = PastOrders { merchant: merchant.clone(), class: 0, counts: vec![6_000] };
    assert!(issuer.introduce(&[past]).iter().all(Result::is_ok));
    let dead: Vec<NumbersDead> = handles
        .iter()
        .map(|handle| NumbersDead { merchant: merchant.clone(), handle: *handle, at: MONDAY })
        .collect();
    assert!(issuer.numbers_dead(&dead).iter().all(|eligible| *eligible.as_ref().unwrap() == MONDAY));
    handles
}

fn offer<S: Store>(
    issuer: &Issuer<S>,
    merchant: &Name,
    customer: u8,
    handle: OrderHandle,
) -> Result<Offer, IssuerError> {
    let request = OfferRequest { account: account(customer), merchant: merchant.clone(), handle };
    issuer.offers(&[request]).pop().unwrap()
}

/// `open` opens the same store every time, empty at first.
fn tokens_are_granted_once_and_their_cohort_is_sealed<S: Store>(open: impl Fn() -> S) {
    let (platform, merchant, rng) = (Platform::new(), name("merchant"), &mut SystemRng::new());
    let trust = platform.trust();
    let issuer = platform.open(open());
    let handles = open_for_business(&issuer, &merchant);
    // Every wallet asks; every other answer is lost.
    for (customer, handle) in (0..).zip(&handles) {
        let offer = offer(&issuer, &merchant, customer, *handle).unwrap();
        let (pending, request) =
            wallet(customer).request(&name("issuer"), &merchant, *handle, &offer, &trust, rng).unwrap();
        let grant = issuer.grant(account(customer), request).wait().unwrap();
        if customer % 2 == 0 {
            wallet(customer).finish(pending, &grant, rng).unwrap();
        }
    }
    drop(issuer);
    let issuer = platform.open(open());
    assert!(issuer.tick().unwrap().manifests.is_empty());
    platform.clock.set(MONDAY.saturating_add(WEEK));
    let [manifest] = issuer.tick().unwrap().manifests.try_into().unwrap();
    drop(issuer);
    let issuer = platform.open(open());
    assert_eq!(issuer.tick().unwrap().manifests, std::slice::from_ref(&manifest), "not yet with the desk");
    issuer.confirm_admitted(std::slice::from_ref(manifest.claimed_scope())).unwrap();
    assert!(issuer.tick().unwrap().manifests.is_empty());
    assert_eq!(issuer.manifests_of(&merchant, None, 10).unwrap(), [manifest]);
    // Restored from their seeds, all wallets ask again, and their tokens are good.
    let review = Review::new(1, "The lamp came broken.", vec![]).unwrap();
    for (customer, handle) in (0..).zip(&handles) {
        let offer = offer(&issuer, &merchant, customer, *handle).unwrap();
        let evidence = ManifestEvidence::Signed(issuer.manifest(&offer.scope).unwrap().unwrap());
        let (pending, request) =
            wallet(customer).request(&name("issuer"), &merchant, *handle, &offer, &trust, rng).unwrap();
        let grant = issuer.grant(account(customer), request).wait().unwrap();
        let token = wallet(customer).finish(pending, &grant, rng).unwrap();
        let now = platform.clock.now();
        let presented =
            wallet(customer).present(&token, &review, &evidence, &trust, now, rng).unwrap().presentation;
        let key = &platform.ring.newest().issuer_key;
        presented.verify(key, &platform.escrow_key, &review.digest(), rng).unwrap();
    }
}

#[test]
fn tokens_are_granted_once_and_their_cohort_is_sealed_in_memory() {
    let store = Arc::new(MemoryStore::new());
    tokens_are_granted_once_and_their_cohort_is_sealed(|| store.clone());
}

#[cfg(feature = "redb")]
#[test]
fn tokens_are_granted_once_and_their_cohort_is_sealed_on_disk() {
    let directory = unjoin_test_util::Directory::new();
    let path = directory.file("issuer.redb");
    tokens_are_granted_once_and_their_cohort_is_sealed(|| unjoin_test_util::redb(&path).unwrap());
}
