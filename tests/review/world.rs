//! A platform, its reviewers and a desk whose clock stands where it is put.

use std::sync::{Arc, LazyLock};
use unjoin::Name;
use unjoin::opening::insecure_test_dealer;
use unjoin::review::{DeskConfig, DeskError, DeskReport, PublishedReview, ReviewDesk, Submission};
use unjoin::secret::SystemRng;
use unjoin::store::{MemoryStore, Store};
use unjoin::token::{
    AuthorProof, CohortManifest, Grant, IssuerKey, KeyRing, Offer, OrderHandle, PlatformKey, Receipt, Review,
    ReviewId, Scope, SignedManifest,
};
use unjoin::{DAY, Environment, Grid, ManualClock, QueueConfig, Timestamp};
use unjoin_test_util::dump;
use unjoin_wallet::{AuthorRequest, ReviewState, Token, TrustRoots, Wallet};

pub(crate) const OPENING_WINDOW_DAYS: u64 = 4;
/// Longer than the model's histories.
pub(crate) const RETRY_WINDOW_DAYS: u64 = 1_000;

pub(crate) struct Keys {
    pub(crate) ring: KeyRing,
    pub(crate) platform: Arc<PlatformKey>,
}

/// A platform's keys: made once.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
        ring: fresh_ring(),
        platform: Arc::new(PlatformKey::generate(&mut SystemRng::new())),
    });
    &KEYS
}

pub(crate) fn fresh_ring() -> KeyRing {
    let rng = &mut SystemRng::new();
    let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
    KeyRing::new(IssuerKey::generate(rng), *committee.key())
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
        let (pending, request) = wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &trust, rng).unwrap();
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

    pub(crate) fn proof(&self, state: ReviewState, request: AuthorRequest<'_>) -> AuthorProof {
        self.wallet.author(&self.token, state, request, &mut SystemRng::new()).unwrap()
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
        closed_at: day(first - 1),
        numbers_dead_at: day(first - 1),
        first_publication: day(first),
        window_end: day(end),
    };
    manifest.sign(&keys().platform)
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
    let Keys { ring, platform } = keys();
    ReviewDesk::open(store, Grid::Daily, config, ring.clone(), Arc::clone(platform), environment).unwrap()
}

impl World<MemoryStore> {
    pub(crate) fn in_memory() -> Self {
        Self::on(MemoryStore::new())
    }
}

impl<S: Store> World<S> {
    /// A desk at one second past the midnight of day 0.
    pub(crate) fn on(store: S) -> Self {
        let (store, clock) = (Arc::new(store), Arc::new(ManualClock::new(day(0).saturating_add(1))));
        Self { desk: open(Arc::clone(&store), Arc::clone(&clock)), store, clock }
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
        self.desk.rating(&merchant(name)).unwrap().counts
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

/// Submits a review of one star: its author, and where it stands.
pub(crate) fn submit_one<S: Store>(world: &World<S>, scope: &Scope, text: &str) -> (Author, ReviewState) {
    let (author, review) = (Author::new(scope), review(1, text));
    world.submit(author.submission(&review)).unwrap();
    (author, ReviewState::submitted(&review))
}
