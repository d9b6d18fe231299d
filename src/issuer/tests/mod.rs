//! The issuer against its rules. A request is made with the proof functions themselves, so that
//! one wallet can ask with any commitment: more than a wallet of this crate ever does.

mod clocks;
mod cohorts;
mod directory;
mod failures;
mod grants;
mod machine;
mod ratings;
mod recovery;
mod refusals;

use super::*;
use curve25519_dalek::scalar::Scalar;
use unjoin_core::secret::{SecretScalar, SystemRng};
use unjoin_core::token::{Enrolment, EnrolmentContext, IssuerKey, PublicationDates, RequestWitness};
use unjoin_core::{DAY, Grid, ManualClock, Timestamp, WEEK};
use unjoin_store::identity::Role;
use unjoin_store::queue::QueueConfig;
use unjoin_store::{Bucket, MemoryStore};
use unjoin_test_util::{dump, fill, own};
use unjoin_trustee::insecure_test_dealer;

/// A Monday, 00:00 UTC.
const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
/// The class with a k of 3, and the one with a k of 2.
const ON_TIME: u8 = 0;
const LATE: u8 = 7;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn config() -> IssuerConfig {
    IssuerConfig {
        name: name("issuer"),
        grid: Grid::Weekly,
        classes: vec![ClassPolicy { class: ON_TIME, k: 3 }, ClassPolicy { class: LATE, k: 2 }],
        hold: 0,
        order_days: 300,
        re_enrolment_interval: 10 * DAY,
        starving_after: 5 * WEEK,
        numbers_overdue_after: 2 * WEEK,
        queue: QueueConfig { capacity: 256, max_batch: 16, workers: 2 },
    }
}

/// Accounts whose name begins with a `~` do not count.
struct NotTheTilde;

impl StandingPolicy for NotTheTilde {
    fn of_standing(&self, account: &Name, _merchant: &Name) -> bool {
        !account.as_bytes().starts_with(b"~")
    }
}

fn new_key() -> (IssuerKey, unjoin_core::algebra::EscrowKey) {
    let rng = &mut SystemRng::new();
    let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
    (IssuerKey::generate(rng), *committee.key())
}

fn new_ring() -> KeyRing {
    let (key, escrow) = new_key();
    KeyRing::new(key, escrow)
}

/// An issuer with a clock that stands where it is set.
struct Shop<S: Store> {
    store: Arc<S>,
    clock: Arc<ManualClock>,
    ring: KeyRing,
    platform: Arc<PlatformKey>,
    issuer: Issuer<S>,
}

impl Shop<MemoryStore> {
    fn new() -> Self {
        Self::on(MemoryStore::new())
    }
}

/// Merchants whose past every shop knows.
const KNOWN: [&str; 2] = ["m", "mm"];

impl<S: Store> Shop<S> {
    fn on(store: S) -> Self {
        let platform = Arc::new(PlatformKey::generate(&mut SystemRng::new()));
        let shop = Self::with(Arc::new(store), Arc::new(ManualClock::new(MONDAY)), new_ring(), platform);
        shop.introduce(KNOWN);
        shop
    }

    fn with(store: Arc<S>, clock: Arc<ManualClock>, ring: KeyRing, platform: Arc<PlatformKey>) -> Self {
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let issuer = Issuer::open(
            own(&store, Role::Orders),
            config(),
            ring.clone(),
            SecretBytes::new([5; 32]),
            platform.clone(),
            Arc::new(NotTheTilde),
            environment,
        );
        Self { store, clock, ring, platform, issuer: issuer.unwrap() }
    }

    /// An issuer on the same store with another configuration.
    fn with_config(&self, config: IssuerConfig) -> Issuer<S> {
        let issuer = Issuer::open(
            own(&self.store, Role::Orders),
            config,
            self.ring.clone(),
            SecretBytes::new([5; 32]),
            self.platform.clone(),
            Arc::new(NotTheTilde),
            Environment::new(self.clock.clone(), || Box::new(SystemRng::new())),
        );
        issuer.unwrap()
    }

    /// Another instance on the same store: after a restart, or beside this one.
    fn again(&self) -> Self {
        Self::with(self.store.clone(), self.clock.clone(), self.ring.clone(), self.platform.clone())
    }

    /// The same rows in a store of another kind.
    fn copied<T: Store>(&self, store: T) -> Shop<T> {
        let store = fill(store, &*self.store);
        let clock = Arc::new(ManualClock::new(self.now()));
        Shop::with(Arc::new(store), clock, self.ring.clone(), self.platform.clone())
    }

    fn now(&self) -> Timestamp {
        unjoin_core::Clock::now(&*self.clock)
    }

    fn pass(&self, seconds: u64) {
        self.clock.set(self.now().saturating_add(seconds));
    }

    fn use_ring(&mut self, ring: KeyRing) {
        self.ring = ring.clone();
        self.issuer.set_keys(ring).unwrap();
    }

    fn enrol(&self, person: &Person) -> Result<(), IssuerError> {
        self.issuer.enrol(&[person.enrolment()]).pop().unwrap()
    }

    /// An order that is eligible at once: its numbers ended when it was due, and the hold is zero here.
    fn report(&self, person: &Person, merchant: &Name, class: u8, order: &str) -> OrderHandle {
        let handle = self.report_ringing(person, merchant, class, order);
        self.numbers_dead(merchant, handle, MONDAY).unwrap();
        handle
    }

    fn report_ringing(&self, person: &Person, merchant: &Name, class: u8, order: &str) -> OrderHandle {
        let report = self.order(person, merchant, class, order);
        self.issuer.report_orders(&[report]).pop().unwrap().unwrap()
    }

    /// Merchants with so good a past that a cohort seals as soon as crowd × age is three times its k.
    fn introduce<const N: usize>(&self, merchants: [&str; N]) {
        let past = merchants.map(name).into_iter().flat_map(|merchant| {
            [ON_TIME, LATE].map(|class| PastOrders {
                merchant: merchant.clone(),
                class,
                counts: vec![6000; 3],
            })
        });
        let answers = self.issuer.introduce(&past.collect::<Vec<_>>());
        assert!(answers.into_iter().all(|answer| answer.is_ok()));
    }

    /// Two boundaries: at the second a cohort of that past that has its k is sealed.
    fn until_sealed(&self) {
        self.pass(WEEK);
        assert!(self.issuer.tick().unwrap().manifests.is_empty(), "sealed at its first boundary");
        self.pass(WEEK);
    }

    fn order(&self, person: &Person, merchant: &Name, class: u8, order: &str) -> OrderReport {
        OrderReport {
            order_id: order.into(),
            account: person.account.clone(),
            merchant: merchant.clone(),
            class,
            due_at: MONDAY,
        }
    }

    fn offer(&self, person: &Person, merchant: &Name, handle: OrderHandle) -> Result<Offer, IssuerError> {
        let (account, merchant) = (person.account.clone(), merchant.clone());
        self.issuer.offers(&[OfferRequest { account, merchant, handle }]).pop().unwrap()
    }

    fn grant(&self, person: &Person, request: &TokenRequest) -> Result<Grant, IssuerError> {
        self.issuer.grant(person.account.clone(), request.clone()).wait()
    }

    /// From when on the order is eligible.
    fn numbers_dead(
        &self,
        merchant: &Name,
        handle: OrderHandle,
        at: Timestamp,
    ) -> Result<Timestamp, IssuerError> {
        self.issuer.numbers_dead(&[NumbersDead { merchant: merchant.clone(), handle, at }]).pop().unwrap()
    }

    /// An order from its report to its grant.
    fn buy(&self, person: &Person, merchant: &Name, class: u8, order: &str) -> (OrderHandle, TokenRequest) {
        let handle = self.report(person, merchant, class, order);
        let request = person.request(handle, &self.offer(person, merchant, handle).unwrap().scope, 1);
        let grant = self.grant(person, &request).unwrap();
        assert!(person.holds(&self.ring, &request, &grant));
        (handle, request)
    }
}

/// A customer with a wallet.
struct Person {
    account: Name,
    u: SecretScalar,
    wallet_key: Element,
}

impl Person {
    fn new(account: &str) -> Self {
        Self::with(account, 1)
    }

    /// The account's wallet of this number.
    fn with(account: &str, wallet: u64) -> Self {
        let u = scalar(account, wallet);
        let wallet_key = Element::from_point(unjoin_core::algebra::Generator::Gu.mul(u.expose())).unwrap();
        Self { account: name(account), u, wallet_key }
    }

    fn enrolment(&self) -> EnrolmentSubmission {
        self.enrolment_for(&self.account)
    }

    fn enrolment_for(&self, account: &Name) -> EnrolmentSubmission {
        let (issuer, nonce) = (name("issuer"), [3; 32]);
        let context = EnrolmentContext { issuer: &issuer, account, nonce: &nonce };
        let enrolment = Enrolment::prove(&self.u, self.wallet_key, context, &mut SystemRng::new());
        EnrolmentSubmission { account: account.clone(), nonce, enrolment }
    }

    /// A request whose commitment is a function of the person and of `variant`.
    fn request(&self, handle: OrderHandle, scope: &Scope, variant: u64) -> TokenRequest {
        let (s, b) = (scalar("serial", variant), scalar("blinding", variant));
        let witness = RequestWitness { u: &self.u, s: &s, b: &b, wallet_key: &self.wallet_key };
        TokenRequest::prove(&witness, handle, scope.clone(), &mut SystemRng::new()).unwrap()
    }

    fn holds(&self, ring: &KeyRing, request: &TokenRequest, grant: &Grant) -> bool {
        let key = ring.find(request.scope().key_id()).unwrap();
        let (key, rng) = (key.issuer_key.public(), &mut SystemRng::new());
        grant.verify(key, request.scope(), request.commitment(), rng).is_ok()
    }
}

fn people<const N: usize>(names: [&str; N]) -> [Person; N] {
    names.map(Person::new)
}

fn scalar(label: &str, number: u64) -> SecretScalar {
    let scalar = unjoin_core::algebra::transcript::hash_to_scalar(label, &[&number.to_le_bytes()]);
    assert_ne!(scalar, Scalar::ZERO);
    SecretScalar::new(scalar)
}

/// `(A, e)`, without the proof, which is fresh every time.
fn tag(grant: &Grant) -> Vec<u8> {
    use unjoin_core::wire::Message;
    grant.to_bytes().into_iter().skip(2).take(64).collect()
}

fn code<T>(result: Result<T, IssuerError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "done")
}

/// Every entry of a ledger's outbox.
fn entries(store: &(impl Store + ?Sized), ledger: unjoin_core::entry::Ledger) -> Vec<Vec<u8>> {
    let waiting = |bucket| unjoin_log::waiting_entries(store, bucket, ledger, usize::MAX).unwrap();
    Bucket::all().flat_map(waiting).collect()
}
