//! A platform, its reviewers and a desk whose clock stands where it is put.

use std::sync::{Arc, LazyLock};
use unjoin::Name;
use unjoin::ledger::{RemovedEntry, StaffKeyEntry};
use unjoin::opening::insecure_test_dealer;
use unjoin::review::{DeskConfig, DeskError, DeskReport, PublishedReview, ReviewDesk, Submission};
use unjoin::secret::SystemRng;
use unjoin::store::identity::Role;
use unjoin::store::{MemoryStore, Store};
use unjoin::token::{
    ActionReceipt, AuthorAction, CohortManifest, Grant, IssuerKey, KeyRing, Offer, OrderHandle, PlatformKey,
    PublicationDates, Receipt, Review, ReviewId, ReviewStanding, ReviewState, Scope, SignedManifest,
    StaffKey, StateQuestion,
};
use unjoin::wire::Message;
use unjoin::{DAY, Environment, Grid, ManualClock, QueueConfig, Timestamp};
use unjoin_test_util::{dump, own};
use unjoin_wallet::{AuthorRequest, Token, TrustRoots, Wallet};

pub(crate) const OPENING_WINDOW_DAYS: u64 = 4;
/// Longer than the model's histories.
pub(crate) const RETRY_WINDOW_DAYS: u64 = 1_000;

pub(crate) struct Keys {
    pub(crate) ring: KeyRing,
    pub(crate) platform: Arc<PlatformKey>,
    pub(crate) staff: StaffKey,
}

/// The name of the reviews ledger.
pub(crate) const ORIGIN: &str = "shop.example/reviews";

/// A platform's keys: made once.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
        ring: fresh_ring(),
        platform: Arc::new(PlatformKey::generate(&mut SystemRng::new())),
        staff: StaffKey::generate(&mut SystemRng::new()),
    });
    &KEYS
}

pub(crate) fn fresh_ring() -> KeyRing {
    let rng = &mut SystemRng::new();
    let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
    KeyRing::new(IssuerKey::generate(rng), *committee.key())
}

/// Rotates to a new key and lets the old ones leave the ring; the answer is a ring that has both.
pub(crate) fn rotate_away<S: Store>(desk: &ReviewDesk<S>) -> KeyRing {
    let (new, escrow_key) = (IssuerKey::generate(&mut SystemRng::new()), fresh_ring().newest().escrow_key);
    let alone = IssuerKey::from_secret_bytes(&new.to_secret_bytes()).unwrap();
    let both = keys().ring.with(new, escrow_key).unwrap();
    desk.set_keys(both.clone()).unwrap();
    desk.set_keys(KeyRing::new(alone, escrow_key)).unwrap();
    both
}

pub(crate) fn merchant(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub(crate) fn scope(name: &str, cohort: u64) -> Scope {
    scope_under(&keys().ring, name, cohort)
}

pub(crate) fn scope_under(ring: &KeyRing, name: &str, cohort: u64) -> Scope {
    Scope::new(*ring.newest().issuer_key.public().id(), merchant(name), cohort)
}

pub(crate) fn review(stars: u8, text: &str) -> Review {
    Review::new(stars, text, vec![]).unwrap()
}

/// Somebody who holds a token of a scope.
pub(crate) struct Author {
    wallet: Wallet,
    token: Token,
    id: ReviewId,
}

impl Author {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self::under(&keys().ring, scope)
    }

    pub(crate) fn under(ring: &KeyRing, scope: &Scope) -> Self {
        let rng = &mut SystemRng::new();
        let pair = ring.newest();
        let (wallet, issuer) = (Wallet::generate(rng), merchant("issuer"));
        let offer = Offer {
            handle: OrderHandle([7; 16]),
            scope: scope.clone(),
            issuer_key: *pair.issuer_key.public(),
            escrow_key: pair.escrow_key,
        };
        let trust = TrustRoots::new(keys().platform.public(), 2, unjoin::Grid::Daily)
            .pin(*pair.issuer_key.public(), pair.escrow_key)
            .unwrap();
        let (pending, request) =
            wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &trust, rng).unwrap();
        let grant = Grant::issue(&pair.issuer_key, request.scope(), request.commitment(), rng).unwrap();
        let token = wallet.finish(pending, &grant, rng).unwrap();
        let presentation = wallet.presentation(&token, &review(1, ""), rng).unwrap();
        Self { wallet, token, id: presentation.review_id() }
    }

    pub(crate) fn submission(&self, review: &Review) -> Submission {
        let rng = &mut SystemRng::new();
        let presentation = self.wallet.presentation(&self.token, review, rng).unwrap();
        Submission { presentation, review: review.clone() }
    }

    pub(crate) fn action(&self, state: &ReviewState, request: AuthorRequest<'_>) -> AuthorAction {
        self.wallet.act(&self.token, state, request, day(0), &mut SystemRng::new()).unwrap().action
    }

    pub(crate) fn withdrawal(&self, state: &ReviewState) -> AuthorAction {
        self.action(state, AuthorRequest::Withdraw)
    }

    pub(crate) fn edit(&self, state: &ReviewState, new: &Review) -> AuthorAction {
        self.action(state, AuthorRequest::Edit(new))
    }

    pub(crate) fn question(&self, now: Timestamp) -> StateQuestion {
        self.wallet.ask_state(&self.token, now, &mut SystemRng::new()).unwrap()
    }

    pub(crate) fn scope(&self) -> &Scope {
        self.token.scope()
    }

    pub(crate) fn id(&self) -> ReviewId {
        self.id
    }
}

/// Midnight of a day; day 0 is a Monday.
pub(crate) fn day(number: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_577_664_000 + 7 * DAY + number * DAY)
}

pub(crate) fn manifest(scope: &Scope, first: u64, end: u64) -> SignedManifest {
    let manifest = CohortManifest {
        scope: scope.clone(),
        escrow_id: *keys().ring.newest().escrow_key.id(),
        at_least: 2,
        publications: PublicationDates::new(&[day(first), day(end)]).unwrap(),
    };
    manifest.sign(&keys().platform).unwrap()
}

pub(crate) struct World<S: Store> {
    pub(crate) store: Arc<S>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) desk: ReviewDesk<S>,
}

pub(crate) fn open<S: Store>(store: Arc<S>, clock: Arc<ManualClock>) -> ReviewDesk<S> {
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    open_in(store, environment)
}

pub(crate) fn open_in<S: Store>(store: Arc<S>, environment: Environment) -> ReviewDesk<S> {
    let config = DeskConfig {
        opening_window: OPENING_WINDOW_DAYS * DAY,
        retry_window: RETRY_WINDOW_DAYS * DAY,
        queue: QueueConfig::default(),
    };
    let Keys { ring, platform, .. } = keys();
    ReviewDesk::open(
        own(&store, Role::Reviews),
        Grid::Daily,
        config,
        ring.clone(),
        Arc::clone(platform),
        environment,
    )
    .unwrap()
}

impl World<MemoryStore> {
    pub(crate) fn in_memory() -> Self {
        Self::on(MemoryStore::new())
    }

    /// With a cohort of these two boundaries.
    pub(crate) fn with_cohort(first: u64, last: u64) -> (Self, Scope) {
        let (world, scope) = (Self::in_memory(), scope("a", 1));
        world.desk.admit(&manifest(&scope, first, last)).unwrap();
        (world, scope)
    }
}

impl<S: Store> World<S> {
    /// A desk at one second past the midnight of day 0.
    pub(crate) fn on(store: S) -> Self {
        Self::by(store, ManualClock::new(day(0).saturating_add(1)))
    }

    pub(crate) fn by(store: S, clock: ManualClock) -> Self {
        let (store, clock) = (Arc::new(store), Arc::new(clock));
        let desk = open(Arc::clone(&store), Arc::clone(&clock));
        let Keys { platform, staff, .. } = keys();
        desk.admit_staff(
            &StaffKeyEntry::sign(platform, ORIGIN, &staff.public(), merchant("staff 3")).unwrap(),
            ORIGIN,
        )
        .unwrap();
        Self { desk, store, clock }
    }

    pub(crate) fn restart(&mut self) {
        self.desk = open(Arc::clone(&self.store), Arc::clone(&self.clock));
    }

    /// Puts the clock to one second past the midnight of a day.
    pub(crate) fn go_to(&self, number: u64) {
        self.clock.set(day(number).saturating_add(1));
    }

    pub(crate) fn submit(&self, submission: Submission) -> Result<Receipt, DeskError> {
        self.desk.submit(submission).wait()
    }

    /// An author's action, with the new review if it is an edit.
    pub(crate) fn act(
        &self,
        author: &Author,
        action: &AuthorAction,
        new: Option<&Review>,
    ) -> Result<ActionReceipt, DeskError> {
        self.desk.act(author.scope(), action, &new.map(Review::to_bytes).unwrap_or_default())
    }

    /// A removal of what is listed, signed by the staff.
    pub(crate) fn remove(&self, scope: &Scope, id: &ReviewId, grounds: &str) -> Result<(), DeskError> {
        let listing = self.desk.published(scope.merchant(), None, 1000)?;
        let shown = listing.iter().find(|shown| shown.review_id == *id);
        let digest = shown.map_or([0; 32], |shown| shown.review.digest());
        let removed = RemovedEntry::sign(&keys().staff, ORIGIN, *id, digest, grounds).unwrap();
        self.desk.remove(scope, &removed, ORIGIN)
    }

    /// Ticks one second past the midnight of a day.
    pub(crate) fn tick_at(&self, number: u64) -> DeskReport {
        self.go_to(number);
        let report = self.desk.tick().unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        report
    }

    pub(crate) fn listing(&self, name: &str) -> Vec<PublishedReview> {
        self.desk.published(&merchant(name), None, 1000).unwrap()
    }

    pub(crate) fn counts(&self, name: &str) -> [u64; 5] {
        self.desk.histogram(&merchant(name)).unwrap().counts
    }

    /// Runs what must be refused with this code, and checks that nothing has changed.
    pub(crate) fn refuses<T: std::fmt::Debug>(
        &self,
        code: &str,
        what: impl FnOnce() -> Result<T, DeskError>,
    ) {
        let before = dump(&*self.store);
        assert_eq!(what().unwrap_err().code(), code);
        assert_eq!(dump(&*self.store), before, "{code} changed the store");
    }
}

/// Where a review stands of which this is the receipt.
pub(crate) fn submitted(receipt: &Receipt) -> ReviewState {
    let terms = receipt.terms();
    ReviewState {
        review_id: terms.review_id,
        last_sequence: 0,
        digest_in_force: terms.review_digest,
        standing: ReviewStanding::Held,
        published_at: terms.publish_by,
    }
}

/// Submits a review of one star: its author, and where it stands.
pub(crate) fn submit_one<S: Store>(world: &World<S>, scope: &Scope, text: &str) -> (Author, ReviewState) {
    let (author, review) = (Author::new(scope), review(1, text));
    let receipt = world.submit(author.submission(&review)).unwrap();
    (author, submitted(&receipt))
}
