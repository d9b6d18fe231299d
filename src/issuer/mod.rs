//! The order side's service: it knows accounts and orders, grants tokens blindly, and seals
//! cohorts. It never sees a review.
//!
//! | file | protocol |
//! |---|---|
//! | `directory` | step 1: which wallet key is whose, and the logged commitment to it |
//! | `orders` | due orders, the end of their numbers, and the scope on offer for each |
//! | `grants` | step 3: one (scope, C) per order, durable before the answer |
//! | `rate` | how fast a merchant's class fills, and what follows from it |
//! | `cohorts` | cohorts are sealed at boundaries, never below k; manifests |
//! | `ratings` | what all customers of a shop think, worked out at boundaries |
//! | `merchants` | a merchant's past, and its end |
//!
//! # When an order has a token
//! Once it is **eligible**: its virtual numbers are dead, their end was reported, and the hold has
//! passed since the report. Then its class is frozen, and no sooner is it offered anything: so
//! no cohort waits for a number of another's order. An account has one order in a cohort;
//! its next one of that class hears [`IssuerError::Later`] until the cohort is sealed.
//!
//! # When a cohort is sealed
//! At the first boundary at which at least k distinct accounts of standing hold a token of it. Two more
//! things must be large enough: its age, and its crowd times its age. How large depends on how fast the
//! merchant's class has filled in the past. Then it takes no further grants and has its manifest. Its
//! age is counted in boundaries that were worked off, from the first that found a grant of standing. No
//! setting seals a cohort below its k. One that is not sealed within 400 days is ended without a
//! manifest. So is that of a shop that closes ([`Issuer::close_merchant`]).
//!
//! A boundary is worked off once, by the first [`Issuer::tick`] that completes after it. In
//! between nothing is sealed, so the moment of a sealing says nothing about the moment
//! of a grant.
//!
//! # Which key
//! Cohorts open under the key ring's newest key, and fill under it while it is not retired. A retired
//! key's open cohort takes no more grants; it is sealed if it has its crowd. **Keep retired keys in the
//! ring**: lost answers are given again under them.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, Issuer, IssuerConfig, NumbersDead, OfferRequest, OrderReport};
//! use unjoin::opening::insecure_test_dealer;
//! use unjoin::secret::{SecretBytes, SystemRng};
//! use unjoin::store::{MemoryStore, Stores, identity::{Role, Roster}};
//! use unjoin::Name;
//! use unjoin::token::{IssuerKey, KeyRing, PlatformKey};
//! use unjoin::{DAY, Environment, Grid, QueueConfig, Timestamp};
//!
//! let rng = &mut SystemRng::new();
//! let (committee, _shares) = insecure_test_dealer(2, 3, rng)?;
//! // A service by itself; a platform's stores have one roster.
//! let roster = Roster::alone(Role::Orders, rng);
//! let stores = Stores::create(&roster, [(Role::Orders, Arc::new(MemoryStore::new()))], rng)?;
//! let issuer = Issuer::open(
//!     stores.own(Role::Orders)?,
//!     IssuerConfig {
//!         name: Name::new("shop.example")?,
//!         grid: Grid::Daily,
//!         classes: vec![ClassPolicy { class: 0, k: 10 }, ClassPolicy { class: 1, k: 10 }],
//!         hold: 2 * DAY,
//!         order_days: 300,
//!         re_enrolment_interval: 30 * DAY,
//!         starving_after: 60 * DAY,
//!         numbers_overdue_after: 14 * DAY,
//!         queue: QueueConfig::default(),
//!     },
//!     KeyRing::new(IssuerKey::generate(rng), *committee.key()),
//!     SecretBytes::random(rng),
//!     Arc::new(PlatformKey::generate(rng)),
//!     Arc::new(EveryoneOfStanding),
//!     Environment::system(),
//! )?;
//!
//! let (account, merchant) = (Name::new("account 7")?, Name::new("lamp shop")?);
//! let delivered = OrderReport {
//!     order_id: b"2026-000017".to_vec(),
//!     account: account.clone(),
//!     merchant: merchant.clone(),
//!     class: 0,
//!     due_at: Timestamp::from_unix_seconds(1_500_000_000),
//! };
//! for handle in issuer.report_orders(&[delivered]) {
//!     let handle = handle?;
//!     // Telephony has ended its numbers: in two days it is eligible.
//!     let at = Timestamp::from_unix_seconds(1_500_000_000);
//!     issuer.numbers_dead(&[NumbersDead { merchant: merchant.clone(), handle, at }]);
//!     let request = OfferRequest { account: account.clone(), merchant: merchant.clone(), handle };
//!     for offer in issuer.offers(&[request]) {
//!         assert!(offer.is_err_and(|error| error.is_retryable()));
//!     }
//! }
//! assert!(issuer.tick()?.manifests.is_empty());
//! # Ok(()) }
//! ```

mod cohorts;
mod config;
mod directory;
mod error;
mod grants;
mod merchants;
mod orders;
mod rate;
mod ratings;
mod recovery;
mod rows;
#[cfg(test)]
mod tests;
mod windows;

pub use cohorts::{IssuerReport, OutrunCohort, StarvingCohort};
pub use config::{ClassPolicy, EveryoneOfStanding, IssuerConfig, StandingPolicy};
pub use directory::{BoundAccount, EnrolmentSubmission};
pub use error::IssuerError;
pub use merchants::PastOrders;
pub use orders::{MAX_ORDER_ID, NumbersDead, OfferRequest, OrderReport};
pub use recovery::IssuerRecovery;
pub use rows::MAX_WALLET_KEYS;

use crate::clock;
use crate::rating::{Rating, StarSums};
use grants::GrantJob;
use std::sync::{Arc, PoisonError, RwLock};
use unjoin_core::algebra::Element;
use unjoin_core::algebra::transcript::hash32;
use unjoin_core::secret::SecretBytes;
use unjoin_core::token::{
    Grant, KeyRing, Offer, OrderHandle, OrderHandleKey, PlatformKey, Scope, SignedManifest, TokenRequest,
};
use unjoin_core::{CLOCK_LIMIT, Environment, Name, Timestamp};
use unjoin_store::identity::Role;
use unjoin_store::observed::Work;
use unjoin_store::queue::{GroupQueue, Pending};
use unjoin_store::{OwnStore, Store, StoreError, decide_all};

/// The order side's service. Every method may be called from any thread, and several instances
/// may share a store; all of them need the same configuration, ring and keys.
///
/// ```
/// # use std::sync::Arc;
/// # use unjoin_trustee::test_util::{fresh, shop::Shop};
/// # use unjoin::issuer::EveryoneOfStanding;
/// # use unjoin::secret::{SecretBytes, SystemRng};
/// # use unjoin::store::identity::Role;
/// # use unjoin::token::KeyRing;
/// use unjoin::{Environment, Name, issuer::{Issuer, IssuerConfig}};
/// # let Shop { issuer_key, escrow_key, platform_key, .. } = Shop::open();
/// # let (store, keys, master) = (fresh(Role::Orders), KeyRing::new(issuer_key, escrow_key), SecretBytes::random(&mut SystemRng::new()));
/// # let (platform_key, standing, environment) = (Arc::new(platform_key), Arc::new(EveryoneOfStanding), Environment::system());
/// let config = IssuerConfig::new(Name::new("shop.example")?);
/// let issuer = Issuer::open(store, config, keys, master, platform_key, standing, environment)?;
/// // Nothing to seal yet.
/// assert!(issuer.tick()?.manifests.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Issuer<S: Store> {
    core: Arc<Core<S>>,
    queue: GroupQueue<GrantJob, Result<Grant, IssuerError>>,
}

/// What the methods and the queue's workers share.
struct Core<S> {
    store: Arc<OwnStore<S>>,
    config: IssuerConfig,
    keys: RwLock<Arc<KeyRing>>,
    master: SecretBytes<32>,
    platform_key: Arc<PlatformKey>,
    standing: Arc<dyn StandingPolicy>,
    environment: Environment,
    /// Orders that were due until then get no token now: they may have had one.
    recovered_until: Option<Timestamp>,
}

impl<S: Store> Issuer<S> {
    /// Opens the service on a store. `master` is kept for the life of the store. Order handles, the
    /// tags of accounts and the blinds of bindings are made from it, and with another every order is
    /// unknown. `platform_key` signs manifests.
    ///
    /// # Errors
    /// [`IssuerError::Config`], [`IssuerError::Threads`]; [`IssuerError::Recovery`] when a recovery of the store
    /// was begun and has not ended; [`IssuerError::Store`] when the store is for something else, or belongs to
    /// other secrets.
    pub fn open(
        store: Arc<OwnStore<S>>,
        config: IssuerConfig,
        keys: KeyRing,
        master: SecretBytes<32>,
        platform_key: Arc<PlatformKey>,
        standing: Arc<dyn StandingPolicy>,
        environment: Environment,
    ) -> Result<Self, IssuerError> {
        config.check()?;
        store.is_for(Role::Orders)?;
        store.bind("order handles", master.expose())?;
        store.bind("platform key", platform_key.public().as_bytes())?;
        store.bind_keys(&keys)?;
        let bounds = config.queue;
        let keys = RwLock::new(Arc::new(keys));
        let (_, recovered_at) = crate::recovery::era(&*store, &rows::recovery_key())?;
        // Another instance's clock may have been ahead when it took its last order.
        let recovered_until = recovered_at.map(|at| at.saturating_add(CLOCK_LIMIT));
        let core = Core { store, config, keys, master, platform_key, standing, environment, recovered_until };
        let core = Arc::new(core);
        let (worker, told) = (Arc::clone(&core), Work::new("grants"));
        let queue = GroupQueue::start(bounds, move |jobs| told.timed(jobs.len(), || worker.grant(&jobs)))
            .map_err(IssuerError::Threads)?;
        Ok(Self { core, queue })
    }

    /// Takes another key ring into use, for rotation. Cohorts open under its newest key from
    /// now on, and no ring without it is taken any more.
    ///
    /// # Errors
    /// [`IssuerError::Store`], also when the ring lacks the newest key that the store has seen; the old
    /// ring stays.
    pub fn set_keys(&self, keys: KeyRing) -> Result<(), IssuerError> {
        self.core.store.bind_keys(&keys)?;
        *self.core.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// The key ring in use.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.core.ring()
    }

    /// Step 1: binds each wallet key to the account that is logged in; one result each.
    /// Idempotent. The host tells the account, and that it gave it this nonce within the last minutes.
    /// It need not remember which nonces were used. Taken again, an enrolment makes a key the account's
    /// that is the account's already, and another key takes a day at least.
    ///
    /// A key that was claimed but not bound, by a crash in between, is refused until the same enrolment
    /// is asked again. Of two first enrolments of one account at once, the loser's key stays claimed by
    /// that account.
    ///
    /// # Errors
    /// [`IssuerError::ProofRefused`], [`IssuerError::WalletKeyTaken`],
    /// [`IssuerError::ReEnrolmentTooEarly`], [`IssuerError::TooManyWalletKeys`], or the store's.
    pub fn enrol(&self, submissions: &[EnrolmentSubmission]) -> Vec<Result<(), IssuerError>> {
        self.core.enrol(submissions)
    }

    /// Whose wallet key it is or was, for openings; `None` if nobody's.
    ///
    /// # Errors
    /// The store's.
    pub fn account_of(&self, wallet_key: &Element) -> Result<Option<BoundAccount>, IssuerError> {
        self.core.account_of(wallet_key)
    }

    /// The wallet keys of an account, the live one last; none for one that is unknown or was erased. For
    /// somebody who asks what is kept of them.
    ///
    /// # Errors
    /// The store's.
    pub fn wallet_keys(&self, account: &Name) -> Result<Vec<Element>, IssuerError> {
        self.core.wallet_keys(account)
    }

    /// Forgets an account: its wallet keys belong to nobody from then on, and never will again.
    /// Idempotent. For after the opening window: an opening of its reviews ends at the key.
    ///
    /// # Errors
    /// The store's; ask again then.
    pub fn erase_account(&self, account: &Name) -> Result<(), IssuerError> {
        self.core.erase_account(account)
    }

    /// Takes what is known of merchants that are new here; one result each. Idempotent, but only until
    /// something was counted: a past is stated once.
    ///
    /// # Errors
    /// [`IssuerError::MerchantKnown`], [`IssuerError::UnknownClass`], [`IssuerError::TooManyCounts`], or the store's.
    pub fn introduce(&self, past: &[PastOrders]) -> Vec<Result<(), IssuerError>> {
        self.core.introduce(past)
    }

    /// Ends the cohorts of a merchant that closed for good, without a manifest; the answer is how many.
    /// What their orders were granted is forgotten at the next boundary. Idempotent.
    ///
    /// # Errors
    /// The store's; ask again then.
    pub fn close_merchant(&self, merchant: &Name) -> Result<usize, IssuerError> {
        self.core.close_merchant(merchant)
    }

    /// Takes due orders; one result each, the order's handle. Idempotent; until an order is eligible it
    /// may be reported again with another class.
    ///
    /// # Errors
    /// [`IssuerError::NotDue`], [`IssuerError::TimeOutOfRange`] (over a year ahead),
    /// [`IssuerError::OrderDiffers`], [`IssuerError::UnknownClass`], [`IssuerError::OrderIdLength`], or the
    /// store's.
    pub fn report_orders(&self, reports: &[OrderReport]) -> Vec<Result<OrderHandle, IssuerError>> {
        self.core.report_orders(reports)
    }

    /// The handle of a merchant's order, whether it was reported or not.
    pub fn handle(&self, merchant: &Name, order_id: &[u8]) -> OrderHandle {
        OrderHandleKey::derive(&self.core.master, merchant).handle(order_id)
    }

    /// The scope on offer for each order; one result each. A granted order is offered its granted scope
    /// until that cohort's last boundary. Any other eligible order is offered the open cohort of its
    /// merchant and class, which is opened if there is none.
    ///
    /// # Errors
    /// [`IssuerError::NotEligible`], [`IssuerError::Later`], [`IssuerError::WindowOver`], [`IssuerError::BeforeRecovery`], [`IssuerError::UnknownOrder`],
    /// [`IssuerError::OrderOfAnotherAccount`], [`IssuerError::UnknownClass`], [`IssuerError::UnknownKey`], or the store's.
    pub fn offers(&self, requests: &[OfferRequest]) -> Vec<Result<Offer, IssuerError>> {
        self.core.offers(requests)
    }

    /// Step 3: asks for a token, for the account that is logged in, at the merchant of the request's
    /// scope. The answer comes when (scope, C) is durable. Asked again, it has the same `(A, e)` until
    /// the cohort's last boundary, whichever wallet the account has by then.
    ///
    /// The answer's errors: [`IssuerError::UnknownOrder`],
    /// [`IssuerError::OrderOfAnotherAccount`], [`IssuerError::NotEnrolled`],
    /// [`IssuerError::ProofRefused`], [`IssuerError::AlreadyGranted`], [`IssuerError::WindowOver`],
    /// [`IssuerError::BeforeRecovery`], [`IssuerError::NotEligible`], [`IssuerError::Later`],
    /// [`IssuerError::WrongScope`], [`IssuerError::UnknownKey`], [`IssuerError::RetiredKey`],
    /// [`IssuerError::CohortClosed`], and the store's. When the key was retired or the cohort is
    /// sealed, the device takes the order's next offer. [`IssuerError::Queue`] when the queue is
    /// full or the service stops.
    pub fn grant(&self, account: Name, request: TokenRequest) -> Pending<Grant, IssuerError> {
        self.queue.submit(GrantJob { account, request })
    }

    /// How many token requests wait for a worker now.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Takes the times at which orders' numbers ended, or will end, for ever. One result each: from when on
    /// the order is eligible, and its wallet to be woken at a random time within a day. Idempotent. A time
    /// ahead is the end of a slot that nothing can prolong. Orders that had no numbers are reported at the
    /// moment at which those of others are.
    ///
    /// # Errors
    /// [`IssuerError::UnknownOrder`], [`IssuerError::NumbersDeadDiffers`],
    /// [`IssuerError::TimeOutOfRange`] (over a year ahead), or the store's.
    pub fn numbers_dead(&self, reports: &[NumbersDead]) -> Vec<Result<Timestamp, IssuerError>> {
        self.core.numbers_dead(reports)
    }

    /// Works off the last boundary, if that was not done yet, and reports. Resumable: after a
    /// crash or an error call it again. Tick every minute: what is done is what was due at the latest
    /// time that two ticks have said.
    ///
    /// # Errors
    /// [`IssuerError::Clock`] when the clock stands more than [`CLOCK_LIMIT`] from
    /// that of the last tick, after downtime too: nothing was done,
    /// [`confirm_clock`](Self::confirm_clock). Otherwise the store's. What needs an operator is in
    /// [`IssuerReport::failed`], and does not hold up the rest.
    pub fn tick(&self) -> Result<IssuerReport, IssuerError> {
        let (mut report, boundary) = self.begin_tick()?;
        if let Some(boundary) = boundary {
            self.end_tick(boundary)?;
            report.rewritten = true;
        }
        Ok(report)
    }

    /// As [`tick`](Self::tick), but for the rewrite, which [`end_tick`](Self::end_tick) does if a boundary is told.
    pub(crate) fn begin_tick(&self) -> Result<(IssuerReport, Option<Timestamp>), IssuerError> {
        self.core.begin_tick()
    }

    pub(crate) fn end_tick(&self, boundary: Timestamp) -> Result<(), IssuerError> {
        self.core.end_tick(boundary)
    }

    /// Takes `now` for the time, though it stands far from the last tick: after downtime, or when the
    /// clock was wrong before. Look at another clock first: this is the first of the two ticks, so the
    /// next one works off the last boundary before `now`. With an earlier time the way back from a wrong one that was believed. Cohorts that
    /// were sealed stay so under their dates, the others are sealed at the boundaries from `now` on.
    ///
    /// # Errors
    /// The store's.
    pub fn confirm_clock(&self, now: Timestamp) -> Result<(), IssuerError> {
        self.core.confirm_clock(now)
    }

    /// Notes that the manifests of these scopes were handed to the desk: they are reported no
    /// more. Idempotent.
    ///
    /// # Errors
    /// The store's.
    pub fn confirm_admitted(&self, scopes: &[Scope]) -> Result<(), IssuerError> {
        self.core.confirm_admitted(scopes)
    }

    /// Rates every shop as of the boundary that the last tick worked off, by [`rating`](crate::rating). Weighs
    /// `published`, what [`ReviewDesk::star_sums`](crate::review::ReviewDesk::star_sums) gives after the desk's
    /// tick, by the orders of each class. An order counts from the boundary on at which it is eligible. The
    /// answer is whether there was a boundary to rate at; otherwise `published` is not looked at.
    ///
    /// The order side weighs because it knows which class a cohort is of; nothing of that goes to the desk. The
    /// reviews of a cohort whose class a recovery lost are left out.
    ///
    /// It reads a row for each class of each shop and one for each cohort with a review in the listing. Resumable:
    /// after a crash or an error call it again.
    ///
    /// # Errors
    /// The store's, and those of `published`.
    pub fn rate<E: From<IssuerError>>(
        &self,
        published: impl IntoIterator<Item = Result<(Scope, StarSums), E>>,
    ) -> Result<bool, E> {
        self.core.rate(published)
    }

    /// What all customers of a shop think, as of the last boundary that was rated. Its stars and its share of one or two
    /// stars, in thousandths, each with a 90 % interval. That of a shop without orders is the market's.
    ///
    /// # Errors
    /// The store's.
    pub fn rating(&self, merchant: &Name) -> Result<Rating, IssuerError> {
        self.core.rating(merchant)
    }

    /// The manifest of a cohort; `None` while it is not sealed.
    ///
    /// # Errors
    /// The store's.
    pub fn manifest(&self, scope: &Scope) -> Result<Option<SignedManifest>, IssuerError> {
        self.core.manifest(scope)
    }

    /// How many tokens of a cohort were granted; `None` while it is not sealed. For an auditor who looks
    /// into the order service, and nobody else. More published reviews than grants are minted tokens,
    /// of somebody who has the issuing key
    /// ([`CountedElsewhere::grants`](unjoin_audit::CountedElsewhere::grants)).
    ///
    /// # Errors
    /// The store's.
    pub fn grants(&self, scope: &Scope) -> Result<Option<u64>, IssuerError> {
        self.core.grants(scope)
    }

    /// At most `limit` manifests of a merchant, after that of the cohort `after` if given
    /// (exclusive). Anybody who holds the merchant's orders can check their sum. They are in the
    /// order of their cohort numbers' bytes, the lowest first; the numbers are random, and tell
    /// no order of closing.
    ///
    /// # Errors
    /// The store's.
    pub fn manifests_of(
        &self,
        merchant: &Name,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<SignedManifest>, IssuerError> {
        self.core.manifests_of(merchant, after, limit)
    }
}

unjoin_core::opaque!(Issuer<S: Store>);

type Decision<'a, A> = unjoin_store::Decision<'a, A, IssuerError>;

/// What stands for an account beside a merchant's orders: comparable there and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct AccountTag([u8; 16]);

impl<S: Store> Core<S> {
    /// The time for what is dated between ticks.
    fn now(&self) -> Result<Timestamp, StoreError> {
        clock::time(&*self.store, &rows::clock_key(), &self.environment)
    }

    /// Refuses an order without a grant that may have had one, of which an older copy that was put back knows
    /// nothing.
    fn refuse_before_recovery(&self, due_at: Timestamp) -> Result<(), IssuerError> {
        match self.recovered_until {
            Some(until) if due_at <= until => Err(IssuerError::BeforeRecovery),
            _ => Ok(()),
        }
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first 16 bytes of H32("account-tag", master, merchant, account).
    fn tag(&self, account: &Name, merchant: &Name) -> AccountTag {
        let wide = hash32("account-tag", &[self.master.expose(), merchant.as_bytes(), account.as_bytes()]);
        let mut tag = [0; 16];
        tag.iter_mut().zip(wide).for_each(|(to, from)| *to = from);
        AccountTag(tag)
    }

    /// Takes the decisions together; what was refused before stays refused.
    fn decide<'a, A>(
        &self,
        decisions: impl Iterator<Item = Result<Decision<'a, A>, IssuerError>>,
    ) -> Vec<Result<A, IssuerError>> {
        decide_all(&*self.store, decisions.collect())
    }
}
