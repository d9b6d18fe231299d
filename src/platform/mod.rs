//! The facade: the order service, the review service and telephony of one platform, side by
//! side.
//!
//! Each has a store of its own, so that a dump of one is not a dump of all. [`Platform`]
//! holds no state of its own; everything it does can be done with [`Issuer`],
//! [`ReviewDesk`] and [`Switchboard`] by themselves, in processes of their own.

use crate::issuer::{
    EnrolmentSubmission, Issuer, IssuerConfig, IssuerError, IssuerReport, NumbersDead, OfferRequest,
    OrderReport, OutrunCohort, StandingPolicy, StarvingCohort,
};
use crate::ledgers::{Ledgers, LedgersReport};
use crate::rating::Rating;
use crate::review::{
    Batch, DeskConfig, DeskError, DeskReport, Histogram, PublishedReview, ReviewDesk, Submission,
};
use rand_core::CryptoRng;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use unjoin_core::algebra::EscrowKey;
use unjoin_core::secret::SecretBytes;
use unjoin_core::token::{
    ActionReceipt, AuthorAction, DoorAnswer, Enrolment, Grant, IssuerKey, KeyRing, Offer, OrderHandle,
    PlatformKey, PlatformPublicKey, Presentation, Receipt, Review, ReviewId, Scope, SignedManifest,
    TokenRequest,
};
use unjoin_core::wire::Message;
use unjoin_core::{Environment, Grid, Name, Timestamp};
use unjoin_log::LogView;
use unjoin_phone::{
    Binding, Bound, OrderRef, Route, RouteRequest, Switchboard, SwitchboardError, SwitchboardReport,
};
use unjoin_store::identity::{Role, Roster};
use unjoin_store::queue::Pending;
use unjoin_store::{OwnStore, Store, Stores};
use unjoin_trustee::ReviewEvidence;

mod error;
mod marks;
#[cfg(feature = "tracing")]
mod observed;
mod recovery;
#[cfg(test)]
mod tests;

pub use error::PlatformError;
pub use recovery::PlatformRecovery;

/// How a platform runs.
///
/// ```
/// use unjoin::{DAY, Grid, Name, PlatformConfig};
/// let mut config = PlatformConfig::new(Name::new("shop.example")?);
/// // Mondays, and four days after the numbers ended: reviews hide better, and wait longer.
/// config.issuer.grid = Grid::Weekly;
/// config.issuer.hold = 4 * DAY;
/// config.desk.opening_window = 365 * DAY;
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PlatformConfig {
    /// The order side, and the grid of both.
    pub issuer: IssuerConfig,
    /// The review side.
    pub desk: DeskConfig,
}

impl PlatformConfig {
    /// The defaults under an issuer's name, which wallets derive their keys from: it never
    /// changes.
    pub fn new(name: Name) -> Self {
        Self { issuer: IssuerConfig::new(name), desk: DeskConfig::default() }
    }
}

/// What a platform keeps secret, apart from its stores, and which stores these are. With others its stores are useless: save
/// them before the first order, sealed by your key management, and give the same at every start.
///
/// | secret | bytes out | bytes in |
/// |---|---|---|
/// | each issuing key | [`IssuerKey::to_secret_bytes`], 64 | [`IssuerKey::from_secret_bytes`] |
/// | the platform key | [`PlatformKey::to_secret_bytes`], 32 | [`PlatformKey::from_secret_bytes`] |
/// | the master key | [`SecretBytes::expose`], 32 | [`SecretBytes::new`] |
///
/// A ledger's key is saved likewise ([`NoteKey::to_secret_bytes`](crate::ledger::NoteKey::to_secret_bytes)).
///
/// **Key management.** What only signs can stay in a hardware module or a KMS, which the host makes known through
/// [`Sign`](crate::token::Sign). These are the platform key, the staff's keys, the keys of ledgers, the keys of a requester's officers
/// (`held_by` of each type). The issuing keys and the master key cannot, since no module computes in their group. Seal
/// their bytes under a [`KeyEncryptionKey`](crate::phone::KeyEncryptionKey) of the key management and open them at every start, as
/// below. They are in the process's memory while it runs, and erased when it drops them. A witness's key never leaves its
/// store, slot keys never leave their keeper's file, which is sealed so already.
///
/// ```
/// use unjoin::PlatformSecrets;
/// use unjoin::phone::{KeyEncryptionKey, LocalKey};
/// use unjoin::secret::{SecretBytes, SystemRng};
/// use unjoin::token::{IssuerKey, KeyRing, PlatformKey};
/// # let (committee, _) = unjoin::opening::insecure_test_dealer(2, 3, &mut SystemRng::new())?;
/// # let escrow_key = *committee.key();
/// let fresh = PlatformSecrets::generate(escrow_key, &mut SystemRng::new());
/// // The host's implementation for its key management; this one is a key in a file.
/// let kms = LocalKey::new(SecretBytes::new([7; 32]));
/// // Once: sealed, to be kept.
/// let issuing = kms.seal(fresh.keys.newest().issuer_key.to_secret_bytes().expose())?;
/// let platform = kms.seal(fresh.platform_key.to_secret_bytes().ok_or("held elsewhere")?.expose())?;
/// let master = kms.seal(fresh.issuer_master.expose())?;
/// // At every start:
/// let issuing = SecretBytes::new(kms.open(&issuing)?.as_slice().try_into()?);
/// let issuer_key = IssuerKey::from_secret_bytes(&issuing).ok_or("no issuing key")?;
/// let secrets = PlatformSecrets {
///     keys: KeyRing::new(issuer_key, escrow_key),
///     platform_key: PlatformKey::from_secret_bytes(&SecretBytes::new(kms.open(&platform)?.as_slice().try_into()?)),
///     issuer_master: SecretBytes::new(kms.open(&master)?.as_slice().try_into()?),
///     stores: fresh.stores.clone(),
/// };
/// assert_eq!(secrets.platform_key.public(), fresh.platform_key.public());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PlatformSecrets {
    /// The issuing keys, each with its escrow key.
    pub keys: KeyRing,
    /// Signs manifests and receipts; wallets pin its public half.
    pub platform_key: PlatformKey,
    /// The issuer's master key, kept for the life of its store. Order handles, the tags of accounts and the
    /// blinds of bindings are made from it.
    pub issuer_master: SecretBytes<32>,
    /// Which stores are the platform's: kept with the secrets before any of them is made. No secret.
    pub stores: Roster,
}

impl PlatformSecrets {
    /// Fresh secrets for a new platform, lost at exit unless they are saved (see above); `escrow_key` comes from the
    /// trustees.
    pub fn generate(escrow_key: EscrowKey, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self {
            keys: KeyRing::new(IssuerKey::generate(rng), escrow_key),
            platform_key: PlatformKey::generate(rng),
            issuer_master: SecretBytes::random(rng),
            stores: Roster::generate(rng),
        }
    }
}

/// The order service and the review service over stores of one engine.
///
/// A runnable embedding, with the reviewer's device on the other side, is
/// `examples/embed.rs`.
///
/// **What blocks.** [`grant`](Self::grant), [`bind`](Self::bind) and [`submit`](Self::submit) return at once with a
/// [`Pending`], a future. Every other call works on the caller's thread, proofs and disk writes included: on an async
/// executor it belongs into `spawn_blocking`.
///
/// **Errors.** A call fails as the service's own call that its documentation names, wrapped: match on [`PlatformError`],
/// or ask it for its [`code`](PlatformError::code), [`audience`](PlatformError::audience) and
/// [`is_retryable`](PlatformError::is_retryable). A `Pending` gives the service's error itself, which `?` wraps.
///
/// ```
/// use unjoin::{Environment, Platform, PlatformConfig, PlatformSecrets};
/// use unjoin::{issuer::EveryoneOfStanding, opening::insecure_test_dealer};
/// use unjoin::store::{MemoryStore, Stores, identity::Role};
/// use unjoin::{Name, secret::SystemRng};
/// use std::sync::Arc;
///
/// let (committee, _shares) = insecure_test_dealer(3, 5, &mut SystemRng::new())?;
/// let secrets = PlatformSecrets::generate(*committee.key(), &mut SystemRng::new());
/// let [orders, reviews] = [(); 2].map(|()| Arc::new(MemoryStore::new()));
/// // Once; from then on, `Stores::open`.
/// let stores = [(Role::Orders, orders), (Role::Reviews, reviews)];
/// let stores = Stores::create(&secrets.stores, stores, &mut SystemRng::new())?;
/// let platform = Platform::open(
///     stores,
///     PlatformConfig::new(Name::new("shop.example")?),
///     secrets,
///     Arc::new(EveryoneOfStanding),
///     Environment::system(),
/// )?;
/// assert!(platform.tick()?.batches.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Platform<S: Store> {
    issuer: Issuer<S>,
    desk: ReviewDesk<S>,
    telephony: Option<Switchboard<S>>,
    public_key: PlatformPublicKey,
    stores: Stores<S>,
    orders: Arc<OwnStore<S>>,
    reviews: Arc<OwnStore<S>>,
    /// The hour in which the stores' marks advanced last.
    marked: AtomicU64,
    grid: Grid,
    environment: Environment,
    ledgers: Option<Ledgers<S>>,
}

impl<S: Store> Platform<S> {
    /// Opens both services, each on its own store: what [`Stores::create`] made once, and
    /// [`Stores::open`] finds from then on.
    ///
    /// # Errors
    /// [`PlatformError`] when a configuration is refused, a store is missing or belongs to other secrets, or
    /// the operating system refuses a thread.
    pub fn open(
        stores: Stores<S>,
        config: PlatformConfig,
        secrets: PlatformSecrets,
        standing: Arc<dyn StandingPolicy>,
        environment: Environment,
    ) -> Result<Self, PlatformError> {
        let platform_key = Arc::new(secrets.platform_key);
        let public_key = platform_key.public();
        let (orders, reviews) = (stores.own(Role::Orders)?, stores.own(Role::Reviews)?);
        let marked = AtomicU64::new(marks::hour_of(environment.now()));
        let PlatformConfig { issuer, desk } = config;
        let grid = issuer.grid;
        let issuer = Issuer::open(
            Arc::clone(&orders),
            issuer,
            secrets.keys.clone(),
            secrets.issuer_master,
            Arc::clone(&platform_key),
            standing,
            environment.clone(),
        )?;
        let desk = ReviewDesk::open(
            Arc::clone(&reviews),
            grid,
            desk,
            secrets.keys,
            platform_key,
            environment.clone(),
        )?;
        let (telephony, ledgers) = (None, None);
        Ok(Self {
            issuer,
            desk,
            telephony,
            public_key,
            stores,
            orders,
            reviews,
            marked,
            grid,
            environment,
            ledgers,
        })
    }

    /// With virtual numbers: a switchboard on a store of its own. A host whose telephony is
    /// another's leaves it out, and reports to [`numbers_dead`](Self::numbers_dead) itself.
    #[must_use]
    pub fn with_telephony(mut self, switchboard: Switchboard<S>) -> Self {
        self.telephony = Some(switchboard);
        self
    }

    /// The telephony service, for its batched calls and for what the facade does not pass on. Name orders there
    /// as [`order_ref`](Self::order_ref) does: a tick ends overdue numbers under that name.
    ///
    /// # Errors
    /// [`PlatformError::NoTelephony`] without one.
    pub fn telephony(&self) -> Result<&Switchboard<S>, PlatformError> {
        self.telephony.as_ref().ok_or(PlatformError::NoTelephony)
    }

    /// Has every tick take the services' entries into the ledgers and publish checkpoints.
    /// Without ledgers the entries wait in the outboxes.
    #[must_use]
    pub fn with_ledgers(mut self, ledgers: Ledgers<S>) -> Self {
        self.ledgers = Some(ledgers);
        self
    }

    /// The ledgers, if the platform has them: what readers, monitors and devices ask.
    pub fn ledgers(&self) -> Option<&Ledgers<S>> {
        self.ledgers.as_ref()
    }

    /// Where entries wait for the ledgers, in the order of [`Ledgers::tick`].
    pub fn outboxes(&self) -> [&dyn Store; 2] {
        [&*self.orders, &*self.reviews]
    }

    unjoin_core::getters! {
        /// The order service, for its batched calls.
        pub issuer -> &Issuer<S>;
        /// The review service, for its batched calls.
        pub desk -> &ReviewDesk<S>;
        /// The key that wallets pin for manifests and receipts.
        pub public_key -> &PlatformPublicKey;
    }

    /// Replaces the issuing keys of both services: rotation.
    ///
    /// # Errors
    /// As [`Issuer::set_keys`] and [`ReviewDesk::set_keys`]; again: no harm.
    pub fn set_keys(&self, keys: KeyRing) -> Result<(), PlatformError> {
        // The desk first: what the issuer grants under a new key, the desk must verify.
        self.desk.set_keys(keys.clone())?;
        Ok(self.issuer.set_keys(keys)?)
    }

    /// Binds a device's wallet key to the account that is logged in, over the 32-byte nonce
    /// that the host gave to this session.
    ///
    /// # Errors
    /// As [`Issuer::enrol`].
    pub fn enrol(&self, account: Name, nonce: [u8; 32], enrolment: Enrolment) -> Result<(), PlatformError> {
        let submission = EnrolmentSubmission { account, nonce, enrolment };
        Ok(first(self.issuer.enrol(&[submission]))??)
    }

    /// Reports an order that is due: delivered, or its promised day is over.
    ///
    /// # Errors
    /// As [`Issuer::report_orders`].
    pub fn order_due(&self, report: OrderReport) -> Result<OrderHandle, PlatformError> {
        Ok(first(self.issuer.report_orders(&[report]))??)
    }

    /// What the device may ask for.
    ///
    /// # Errors
    /// As [`Issuer::offers`].
    pub fn offer(&self, account: Name, merchant: Name, handle: OrderHandle) -> Result<Offer, PlatformError> {
        Ok(first(self.issuer.offers(&[OfferRequest { account, merchant, handle }]))??)
    }

    /// Grants a token, once per order; await the answer or `.wait()` for it. See
    /// [`Issuer::grant`].
    pub fn grant(&self, account: Name, request: TokenRequest) -> Pending<Grant, IssuerError> {
        self.issuer.grant(account, request)
    }

    /// Reports that every virtual number of an order is dead from `report.at` on, for ever. The answer is from
    /// when on the order is eligible for a token: its wallet is woken at a random time of the day after.
    ///
    /// # Errors
    /// As [`Issuer::numbers_dead`].
    pub fn numbers_dead(&self, report: NumbersDead) -> Result<Timestamp, PlatformError> {
        Ok(first(self.issuer.numbers_dead(&[report]))??)
    }

    /// How telephony names an order: by its handle. So it has no order id, and a tick can end the numbers of an
    /// order that nobody closed.
    pub fn order_ref(&self, merchant: &Name, order_id: &[u8]) -> OrderRef {
        OrderRef { merchant: merchant.clone(), order: self.issuer.handle(merchant, order_id).into() }
    }

    /// Makes a virtual number between two parties of an order; await the answer or `.wait()` for
    /// it. See [`Switchboard::bind`].
    ///
    /// # Errors
    /// [`PlatformError::NoTelephony`]; [`PlatformError::OrderName`] when the order is not named as
    /// [`order_ref`](Self::order_ref) does.
    pub fn bind(&self, binding: Binding) -> Result<Pending<Bound, SwitchboardError>, PlatformError> {
        handle_of(&binding.order)?;
        Ok(self.telephony()?.bind(binding))
    }

    /// Decides one call or message to a virtual number.
    ///
    /// # Errors
    /// As [`Switchboard::route`]; [`PlatformError::NoTelephony`]. The gateway refuses then.
    pub fn route(&self, request: &RouteRequest) -> Result<Route, PlatformError> {
        Ok(self.telephony()?.route(request)?)
    }

    /// Ends and freezes the virtual numbers of an order that was reported due, if it had any. Tells the
    /// order service from when on they are dead, which may be in the future. The answer is the time
    /// from which the order is eligible, as for [`numbers_dead`](Self::numbers_dead). Idempotent, with
    /// the same answer; after a crash in between call it again. By default one day after the order's
    /// end; a tick does it 30 days after the order was due.
    ///
    /// # Errors
    /// As [`Switchboard::close_orders`] and [`Issuer::numbers_dead`];
    /// [`PlatformError::NoTelephony`], [`PlatformError::OrderName`].
    pub fn close_order(&self, order: &OrderRef) -> Result<Timestamp, PlatformError> {
        let handle = handle_of(order)?;
        let at = first(self.telephony()?.close_orders(core::slice::from_ref(order)))??;
        self.numbers_dead(NumbersDead { merchant: order.merchant.clone(), handle, at })
    }

    /// Has telephony end the numbers that are overdue, and reports them; the answer is those that stay. A
    /// crash in between repeats it.
    fn end_overdue(
        &self,
        overdue: Vec<(Name, OrderHandle)>,
        failed: &mut Vec<PlatformError>,
    ) -> Result<Vec<(Name, OrderHandle)>, PlatformError> {
        let Some(telephony) = &self.telephony else { return Ok(overdue) };
        let of = |(merchant, handle): &(Name, OrderHandle)| OrderRef {
            merchant: merchant.clone(),
            order: (*handle).into(),
        };
        let ended = telephony.close_orders(&overdue.iter().map(of).collect::<Vec<_>>());
        let (mut dead, mut stay) = (Vec::new(), Vec::new());
        for ((merchant, handle), ended) in overdue.into_iter().zip(ended) {
            match ended {
                Ok(at) => dead.push(NumbersDead { merchant, handle, at }),
                Err(error) => {
                    failed.push(error.into());
                    stay.push((merchant, handle));
                }
            }
        }
        for (dead, told) in dead.iter().zip(self.issuer.numbers_dead(&dead)) {
            match told {
                // The host reported the end meanwhile, by its own time.
                Ok(_) | Err(IssuerError::NumbersDeadDiffers) => {}
                Err(error) if error.ends_the_tick() => return Err(error.into()),
                Err(error) => {
                    failed.push(error.into());
                    stay.push((dead.merchant.clone(), dead.handle));
                }
            }
        }
        Ok(stay)
    }

    /// The manifests of a merchant's sealed cohorts, for devices that wait for one: at most
    /// `limit`, after that of the cohort `after` if given.
    ///
    /// # Errors
    /// As [`Issuer::manifests_of`].
    pub fn manifests(
        &self,
        merchant: &Name,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<SignedManifest>, PlatformError> {
        Ok(self.issuer.manifests_of(merchant, after, limit)?)
    }

    /// Accepts a review, once per token; await the receipt or `.wait()` for it. See
    /// [`ReviewDesk::submit`].
    pub fn submit(&self, presentation: Presentation, review: Review) -> Pending<Receipt, DeskError> {
        self.desk.submit(Submission { presentation, review })
    }

    /// An author's edit or withdrawal.
    ///
    /// # Errors
    /// As [`ReviewDesk::act`].
    pub fn act(
        &self,
        scope: &Scope,
        action: &AuthorAction,
        edited: &[u8],
    ) -> Result<ActionReceipt, PlatformError> {
        Ok(self.desk.act(scope, action, edited)?)
    }

    /// Answers one message of the anonymous door. See [`ReviewDesk::door`].
    pub fn door(&self, message: &[u8]) -> DoorAnswer {
        self.desk.door(message)
    }

    /// A merchant's published reviews, by review id.
    ///
    /// # Errors
    /// As [`ReviewDesk::published`].
    pub fn published(
        &self,
        merchant: &Name,
        after: Option<&ReviewId>,
        limit: usize,
    ) -> Result<Vec<PublishedReview>, PlatformError> {
        Ok(self.desk.published(merchant, after, limit)?)
    }

    /// What all customers of a merchant think, as of the last boundary: stars and the share of one or two stars,
    /// each with its 90 % interval. It weighs the published reviews of each outcome class by the merchant's orders
    /// of that class; see [`rating`](crate::rating) and [`Issuer::rate`].
    ///
    /// # Errors
    /// As [`Issuer::rating`].
    pub fn rating(&self, merchant: &Name) -> Result<Rating, PlatformError> {
        Ok(self.issuer.rating(merchant)?)
    }

    /// How many published reviews of a merchant have how many stars, as of the last boundary. Its mean
    /// flatters, since what is missing is the bad: show the [`rating`](Self::rating).
    ///
    /// # Errors
    /// As [`ReviewDesk::histogram`].
    pub fn histogram(&self, merchant: &Name) -> Result<Histogram, PlatformError> {
        Ok(self.desk.histogram(merchant)?)
    }

    /// What trustees need to answer a warrant on a published review, whether it is still shown or
    /// not. `None` when there is none such, its escrow was erased, or its entry is not under a
    /// published checkpoint yet. Ask for it under due process only: it holds the escrow.
    ///
    /// # Errors
    /// As [`ReviewDesk::evidence`]; [`PlatformError::NoLedgers`], [`PlatformError::Ledger`].
    pub fn evidence(
        &self,
        scope: &Scope,
        review_id: &ReviewId,
    ) -> Result<Option<ReviewEvidence>, PlatformError> {
        let ledgers = self.ledgers.as_ref().ok_or(PlatformError::NoLedgers)?;
        let Some(kept) = self.desk.evidence(scope, review_id)? else { return Ok(None) };
        let published = ledgers.reviews().evidence_of(&kept.entry().to_bytes());
        Ok(published.map_err(PlatformError::Ledger)?.map(|published| ReviewEvidence {
            presentation: kept.presentation,
            accepted: kept.accepted,
            review_digest: kept.review_digest,
            published,
        }))
    }

    /// Does what has fallen due: ends overdue numbers, seals cohorts, hands their manifests to the
    /// review service, publishes, applies edits, rates, and erases escrows. Then it rewrites the stores,
    /// sweeps dead numbers, takes entries into the ledgers and publishes their checkpoints. Call it
    /// every minute or so. After a crash at any point the next call goes on; nothing is done twice.
    ///
    /// # Errors
    /// The stores'; what was done stays done. What needs an operator is in
    /// [`TickReport::failed`], and does not hold up the rest.
    pub fn tick(&self) -> Result<TickReport, PlatformError> {
        #[cfg(feature = "tracing")]
        let (_span, since) =
            (tracing::info_span!(target: "unjoin", "unjoin.tick").entered(), std::time::Instant::now());
        let outcome = self.work_off();
        #[cfg(feature = "tracing")]
        observed::ticked(&outcome, since.elapsed());
        outcome
    }

    fn work_off(&self) -> Result<TickReport, PlatformError> {
        self.keep_in_step()?;
        let mut failed = Vec::new();
        // A clock that leapt stops issuer and desk; numbers and ledgers have times of their own. A manifest that
        // nobody signs stops the issuer alone.
        let (issued, boundary) = match self.issuer.begin_tick() {
            Err(error @ (IssuerError::Clock(_) | IssuerError::Sign(_))) => {
                failed.push(error.into());
                (IssuerReport::default(), None)
            }
            begun => begun?,
        };
        let IssuerReport { manifests, starving, outrun, numbers_overdue, failed: unissued, .. } = issued;
        failed.extend(unissued.into_iter().map(PlatformError::from));
        // A rewrite takes long: meanwhile the desk does its part, on a store of its own.
        let (ended, done) = beside(boundary.map(|boundary| move || self.issuer.end_tick(boundary)), || {
            self.work_off_reviews(&manifests, numbers_overdue, &mut failed)
        });
        ended.transpose()?;
        let Reviewed { numbers_overdue, admitted, published } = done?;
        // After what this boundary publishes, so that it is logged at once.
        let logs = self.ledgers.as_ref().map(|ledgers| move || ledgers.tick(&self.outboxes()));
        let (ledgers, done) = beside(logs, || {
            self.issuer.confirm_admitted(&admitted)?;
            if published.is_some() {
                match self.issuer.rate(self.desk.star_sums().map(|sums| sums.map_err(PlatformError::from))) {
                    Err(error) if error.ends_the_tick() => return Err(error),
                    rated => failed.extend(rated.err()),
                }
            }
            Ok(self.telephony.as_ref().map(Switchboard::tick).transpose()?)
        });
        let telephony = done?;
        let published = published.unwrap_or_default();
        failed.extend(published.failed.into_iter().map(PlatformError::from));
        Ok(TickReport {
            manifests,
            starving,
            outrun,
            numbers_overdue,
            batches: published.batches,
            telephony,
            failed,
            ledgers,
        })
    }

    /// Hands over what the order side has sealed, and has the desk tick. A manifest is admitted before it is
    /// confirmed: a crash in between repeats the admission, which is idempotent. One that the desk refuses stays
    /// with the issuer and is tried again.
    fn work_off_reviews(
        &self,
        manifests: &[SignedManifest],
        overdue: Vec<(Name, OrderHandle)>,
        failed: &mut Vec<PlatformError>,
    ) -> Result<Reviewed, PlatformError> {
        let numbers_overdue = self.end_overdue(overdue, failed)?;
        let mut admitted = Vec::with_capacity(manifests.len());
        for (manifest, answer) in manifests.iter().zip(self.desk.admit_all(manifests)) {
            match answer {
                Ok(()) => admitted.push(manifest.claimed_scope().clone()),
                Err(error) if error.ends_the_tick() => return Err(error.into()),
                Err(error) => failed.push(error.into()),
            }
        }
        let published = match self.desk.tick() {
            Err(error @ DeskError::Clock(_)) => {
                failed.push(error.into());
                None
            }
            published => Some(published?),
        };
        Ok(Reviewed { numbers_overdue, admitted, published })
    }

    /// [`Issuer::confirm_clock`] and [`ReviewDesk::confirm_clock`]: call it with the present time when
    /// a tick reports `issuer.clock_ahead` or `desk.clock_ahead` and another clock says that it is right.
    ///
    /// # Errors
    /// The stores'.
    pub fn confirm_clock(&self, now: Timestamp) -> Result<(), PlatformError> {
        self.issuer.confirm_clock(now)?;
        Ok(self.desk.confirm_clock(now)?)
    }
}

unjoin_core::opaque!(Platform<S: Store>);

/// What a tick did beside the end of the order side's.
struct Reviewed {
    numbers_overdue: Vec<(Name, OrderHandle)>,
    admitted: Vec<Scope>,
    /// `None`: the desk's clock stands.
    published: Option<DeskReport>,
}

/// Does both at once, or one after the other where the system gives no thread. Whatever comes of one, the other is done.
fn beside<A: Send, B>(
    one: Option<impl Fn() -> A + Send + Sync>,
    other: impl FnOnce() -> B,
) -> (Option<A>, B) {
    let Some(one) = one else { return (None, other()) };
    std::thread::scope(|scope| {
        let begun = std::thread::Builder::new().name("unjoin-tick".to_owned()).spawn_scoped(scope, &one);
        let other = other();
        let one = match begun {
            Ok(begun) => begun.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked)),
            Err(_) => one(),
        };
        (Some(one), other)
    })
}

/// What a tick did, and what it found that the host should see to.
///
/// ```
/// # use std::sync::Arc;
/// # use unjoin::{Environment, Name, Platform, PlatformConfig, PlatformSecrets};
/// # use unjoin::{issuer::EveryoneOfStanding, secret::SystemRng};
/// # use unjoin::store::{MemoryStore, Stores, identity::Role};
/// # let rng = &mut SystemRng::new();
/// # let secrets = PlatformSecrets::generate(*unjoin::opening::insecure_test_dealer(3, 5, rng)?.0.key(), rng);
/// # let stores = [Role::Orders, Role::Reviews].map(|role| (role, Arc::new(MemoryStore::new())));
/// # let (stores, config) = (Stores::create(&secrets.stores, stores, rng)?, PlatformConfig::new(Name::new("shop.example")?));
/// # let platform = Platform::open(stores, config, secrets, Arc::new(EveryoneOfStanding), Environment::system())?;
/// let report = platform.tick()?;
/// for error in &report.failed {
///     eprintln!("{}: {error}", error.code()); // tried again at the next tick
/// }
/// assert!(report.batches.is_empty() && report.telephony.is_none() && report.ledgers.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "what failed needs an operator"]
pub struct TickReport {
    /// Cohorts that were sealed: fetch these for devices that wait.
    pub manifests: Vec<SignedManifest>,
    /// Cohorts that stay too small.
    pub starving: Vec<StarvingCohort>,
    /// Cohorts that had far more customers, at the boundary that was worked off, than their merchant's past
    /// explains: somebody may be buying orders.
    pub outrun: Vec<OutrunCohort>,
    /// Orders whose numbers should be dead by now and were not reported so. With telephony, those that it
    /// could not end; without it, end them: they get no token before.
    pub numbers_overdue: Vec<(Name, OrderHandle)>,
    /// What was published.
    pub batches: Vec<Batch>,
    /// What telephony cleared away and noticed; `None` without telephony.
    pub telephony: Option<SwitchboardReport>,
    /// What issuer and review service could not do and try again: everything, while their clock is far
    /// from that of the last tick ([`Platform::confirm_clock`]). Or a manifest that is refused, a key
    /// that is missing from a ring, a row that does not decode.
    pub failed: Vec<PlatformError>,
    /// What became of the ledgers; `None` if the platform has none. A ledger that fails, or finds
    /// no quorum, holds up nothing else.
    pub ledgers: Option<LedgersReport>,
}

/// The handle that names an order at the switchboard.
fn handle_of(order: &OrderRef) -> Result<OrderHandle, PlatformError> {
    let handle = order.order.as_bytes().try_into().map_err(|_| PlatformError::OrderName)?;
    Ok(OrderHandle(handle))
}

/// The answer to a call about one item.
fn first<T>(answers: Vec<T>) -> Result<T, PlatformError> {
    answers.into_iter().next().ok_or(PlatformError::NoAnswer)
}
