//! The review side's service. It accepts reviews under spent tokens, publishes them in whole
//! cohorts at fixed boundaries, and lets their authors, whom it does not know, change them.
//!
//! The desk never learns accounts, orders or outcome classes. What it is told are the
//! manifests of sealed cohorts ([`ReviewDesk::admit`]); what it keeps has neither arrival
//! times nor an order of arrival.
//!
//! 1. [`submit`](ReviewDesk::submit): a presentation and its review are verified, the token
//!    is spent, and a signed [`Receipt`] promises the publication. Until then the review is
//!    *held*.
//! 2. [`tick`](ReviewDesk::tick), at least once after every boundary of the grid, publishes:
//!    a cohort at the boundaries of its manifest only.
//! 3. [`act`](ReviewDesk::act): the author withdraws or edits. A held review is withdrawn at
//!    once; a published one changes on one of the next three Mondays, at random, whatever the grid.
//! 4. [`remove`](ReviewDesk::remove): the platform's staff takes a review out of the listing, and
//!    the ledger says who did, and why, under their signature.
//! 5. [`evidence`](ReviewDesk::evidence): what trustees need to open a review, until the
//!    opening window ends and the escrows are erased.
//!
//! **What is stored.** A token's serial stays spent, whatever becomes of its review, until it could not
//! be presented any more. Then its row is pruned; the row of its cohort, which stays for ever,
//! refuses it by its window. While a review is listed, its author can change it, whether or not the
//! escrow was erased. Withdrawing a held review deletes its content and its escrow in the same commit.
//! The escrow of a published review outlives its withdrawal and its removal, so that an author cannot
//! escape the trustees by selling the withdrawal. The bytes that a deletion leaves in the engine's file
//! go with the next [`Store::rewrite`], and so does the order in which rows arrived. The tick runs it
//! after every boundary. Write-ahead logs and backups are the operator's part.
//!
//! **Several desks** may work on one store, and clocks may disagree: every decision rests on
//! rows. A boundary is *sealed* in the cohort's row before anything is published at it, and
//! from then on no desk accepts for it.
//!
//! ```
//! use std::sync::Arc;
//! use unjoin::opening::insecure_test_dealer;
//! use unjoin::review::{DeskConfig, ReviewDesk};
//! use unjoin::Name;
//! use unjoin::token::{IssuerKey, KeyRing, PlatformKey};
//! use unjoin::{Environment, Grid, secret::SystemRng};
//! use unjoin::store::{MemoryStore, Stores, identity::{Role, Roster}};
//!
//! let rng = &mut SystemRng::new();
//! let (committee, _) = insecure_test_dealer(2, 3, rng)?;
//! let keys = KeyRing::new(IssuerKey::generate(rng), *committee.key());
//! let platform = Arc::new(PlatformKey::generate(rng));
//! // A service by itself; a platform's stores have one roster.
//! let roster = Roster::alone(Role::Reviews, rng);
//! let stores = Stores::create(&roster, [(Role::Reviews, Arc::new(MemoryStore::new()))], rng)?;
//! let store = stores.own(Role::Reviews)?;
//! let (grid, config) = (Grid::Weekly, DeskConfig::default());
//! let desk = ReviewDesk::open(store, grid, config, keys, platform, Environment::system())?;
//! // desk.submit(submission).wait()? gives a receipt; a timer calls tick.
//! assert!(desk.tick()?.batches.is_empty());
//! assert_eq!(desk.histogram(&Name::new("merchant 17")?)?.mean(), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod author;
mod boundary;
mod config;
mod door;
mod error;
mod histogram;
mod pruning;
mod publication;
mod reading;
mod recovery;
mod removal;
mod rows;
mod spent;
mod submission;

#[cfg(test)]
mod tests;

pub use config::DeskConfig;
pub use error::DeskError;
pub use histogram::Histogram;
pub use publication::{Batch, DeskReport};
pub use reading::{AcceptedReview, PublishedReview};
pub use recovery::DeskRecovery;
pub use submission::Submission;

use self::submission::{Job, Verifier};
use crate::clock;
use crate::rating::StarSums;
use rand_core::CryptoRng;
use std::sync::{Arc, PoisonError, RwLock};
use unjoin_core::entry::{RemovedEntry, StaffKeyEntry};
use unjoin_core::token::{
    ActionReceipt, AuthorAction, DoorAnswer, KeyRing, PlatformKey, Receipt, ReviewId, ReviewState, Scope,
    SignedManifest, StateQuestion,
};
use unjoin_core::{Environment, Grid, Name, Timestamp};
use unjoin_store::identity::Role;
use unjoin_store::observed::Work;
use unjoin_store::queue::{GroupQueue, Pending};
use unjoin_store::{OwnStore, Store, StoreError};

/// The review side's service. All methods may be called from any thread; they block on the
/// store, [`submit`](Self::submit) apart.
///
/// Dropping it decides what was submitted and then ends its threads.
///
/// ```
/// # use std::sync::Arc;
/// # use unjoin_trustee::test_util::{fresh, shop::Shop};
/// # use unjoin::store::identity::Role;
/// # use unjoin::token::KeyRing;
/// # use unjoin::review::DeskConfig;
/// use unjoin::{Environment, Grid, review::{DeskError, ReviewDesk, Submission}};
/// # let shop = Shop::open();
/// # let held = shop.accepted();
/// # let (presentation, review) = (held.sent.presentation, held.review);
/// # let (store, keys) = (fresh(Role::Reviews), KeyRing::new(shop.issuer_key, shop.escrow_key));
/// # let (platform_key, environment) = (Arc::new(shop.platform_key), Environment::system());
/// let desk = ReviewDesk::open(store, Grid::Weekly, DeskConfig::default(), keys, platform_key, environment)?;
/// // No manifest of the cohort was admitted: nobody knows how many could have written it.
/// let refused = desk.submit(Submission { presentation, review }).wait();
/// assert!(matches!(refused, Err(DeskError::NoManifest)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ReviewDesk<S: Store> {
    core: Arc<Core<S>>,
    queue: GroupQueue<Job, Result<Receipt, DeskError>>,
}

/// What the desk's methods and the queue's workers share.
struct Core<S> {
    store: Arc<OwnStore<S>>,
    grid: Grid,
    config: DeskConfig,
    keys: RwLock<Arc<KeyRing>>,
    platform: Arc<PlatformKey>,
    environment: Environment,
    /// That of the store: 1, and one more with every recovery.
    era: u32,
    verifier: Verifier,
}

impl<S: Store> ReviewDesk<S> {
    /// Opens the desk on a store that is empty or was a desk's before, and starts its workers.
    /// Everything visible changes at the boundaries of `grid`, which must be the issuer's.
    /// `platform` signs receipts, and its public half verifies manifests.
    ///
    /// # Errors
    /// [`DeskError::Threads`] when the operating system refuses a thread; [`DeskError::Recovery`] when
    /// a recovery of the store was begun and has not ended; [`DeskError::Store`] when the store is for
    /// something else, or belongs to other secrets.
    pub fn open(
        store: Arc<OwnStore<S>>,
        grid: Grid,
        config: DeskConfig,
        keys: KeyRing,
        platform: Arc<PlatformKey>,
        environment: Environment,
    ) -> Result<Self, DeskError> {
        store.is_for(Role::Reviews)?;
        store.bind("platform key", platform.public().as_bytes())?;
        store.bind_keys(&keys)?;
        let keys = RwLock::new(Arc::new(keys));
        let verifier = Verifier::default();
        let (era, _) = crate::recovery::era(&*store, &rows::recovery())?;
        let core = Arc::new(Core { store, grid, config, keys, platform, environment, era, verifier });
        let (work, told) = (Arc::clone(&core), Work::new("reviews"));
        let decide = move |jobs: Vec<_>| told.timed(jobs.len(), || work.decide_submissions(jobs));
        let queue = GroupQueue::start(config.queue, decide).map_err(DeskError::Threads)?;
        Ok(Self { core, queue })
    }

    /// Replaces the key ring from the next decision on. Retired keys go on verifying while
    /// they are in the ring. A key may leave it once the escrows of the last cohort under it are erased:
    /// until then [`evidence`](Self::evidence) needs it. No ring without the newest key is taken any more.
    ///
    /// # Errors
    /// [`DeskError::Store`], also when the ring lacks the newest key that the store has seen; the old
    /// ring stays.
    pub fn set_keys(&self, keys: KeyRing) -> Result<(), DeskError> {
        self.core.store.bind_keys(&keys)?;
        *self.core.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// How many submissions wait for a worker now. Show it when it is large only: who reads single ones learns
    /// when reviews arrive.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Admits a sealed cohort: from now on its reviews have boundaries. Again with the same
    /// manifest: no effect.
    ///
    /// # Errors
    /// [`DeskError::ManifestRefused`], [`DeskError::OffGrid`], [`DeskError::UnknownKey`],
    /// [`DeskError::WrongEscrow`]; [`DeskError::ManifestConflict`] when the scope has another
    /// manifest; [`DeskError::Store`].
    pub fn admit(&self, manifest: &SignedManifest) -> Result<(), DeskError> {
        self.admit_all(std::slice::from_ref(manifest)).pop().unwrap_or(Err(DeskError::ManifestRefused))
    }

    /// Admits many sealed cohorts with one durable commit; one answer for each, in order.
    ///
    /// # Errors
    /// As [`ReviewDesk::admit`], each for itself.
    pub fn admit_all(&self, manifests: &[SignedManifest]) -> Vec<Result<(), DeskError>> {
        self.core.admit(manifests)
    }

    /// Takes in a review under its cohort's manifest. The answer is a receipt once the review is
    /// durably held. The identical review gets the same receipt again, also after a restart or a lost
    /// answer.
    ///
    /// "Identical" is the same review digest. The first presentation that was accepted is
    /// kept, and named in the receipt; later ones are only verified. Until its boundary a review
    /// that was withdrawn is answered like one that is held.
    ///
    /// The answer's errors: [`DeskError::UnknownKey`], [`DeskError::WrongEscrow`],
    /// [`DeskError::NoManifest`], [`DeskError::WindowOver`],
    /// [`DeskError::Spent`] when the token has signed another review, [`DeskError::Withdrawn`],
    /// [`DeskError::Refused`] when the presentation does not verify, [`DeskError::Store`], and
    /// [`DeskError::Queue`] when the queue is full or stopped.
    pub fn submit(&self, submission: Submission) -> Pending<Receipt, DeskError> {
        self.queue.submit(Job::new(submission))
    }

    /// Takes in many reviews, all or none of them into the queue; one answer for each, in
    /// order. A bad one never fails its neighbours. If the queue has no room for all of them,
    /// every answer is [`DeskError::Queue`].
    pub fn submit_all(&self, submissions: Vec<Submission>) -> Vec<Pending<Receipt, DeskError>> {
        self.queue.submit_all(submissions.into_iter().map(Job::new).collect())
    }

    /// Does everything that has become due: publishes cohorts at their boundaries, applies
    /// edits and withdrawals, counts the listing, erases escrows, and rewrites the store after
    /// every boundary. Call it soon after every boundary; any more often is harmless. It may be
    /// interrupted at any point and called by several processes: nothing happens twice.
    ///
    /// What is published is told in a [`Batch`] at most once. After a failure between a commit and
    /// its answer the listing has the reviews, and no later report tells of them.
    ///
    /// Tick every minute: what is done is what was due at the latest time that two ticks have said.
    ///
    /// # Errors
    /// [`DeskError::Clock`] when the clock stands more than [`CLOCK_LIMIT`](crate::CLOCK_LIMIT) from that
    /// of the last tick, after downtime too: nothing was done, [`confirm_clock`](Self::confirm_clock).
    /// [`DeskError::Store`] when the store failed; call it again. What needs an operator is in
    /// [`DeskReport::failed`], and does not hold up the rest.
    pub fn tick(&self) -> Result<DeskReport, DeskError> {
        self.core.tick()
    }

    /// Takes `now` for the time, though it stands far from the last tick: after downtime, or when the
    /// clock was wrong before. Look at another clock first. This is the first of the two ticks, so the
    /// next one does everything that is due by `now`, erasing and pruning included. With an earlier time the way back from a
    /// wrong one that was believed: nothing is undone, but time goes on from there.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub fn confirm_clock(&self, now: Timestamp) -> Result<(), DeskError> {
        self.core.confirm_clock(now)
    }

    /// The author withdraws or edits a review. The identical action again gets the same receipt, an edit until it
    /// takes effect: from then on the ledger shows it to everybody.
    ///
    /// The action's sequence is the last accepted one plus 1, and its previous digest the last accepted
    /// one. An accepted edit counts while it waits for its boundary. A held review can only be
    /// withdrawn, at once. A published one changes on a random one of the next three Mondays, while it
    /// is listed. A later accepted action replaces one that still waits. It never takes effect before
    /// the boundary of the replaced one. Every accepted action is logged. After an accepted withdrawal
    /// nothing is accepted. A review has at most 16 actions; the last of them can only be a withdrawal.
    ///
    /// `edited` is the bytes of the new [`Review`](unjoin_core::token::Review), whose digest is the
    /// action's new digest; empty for a withdrawal. Each call verifies one signature: bounding the
    /// callers is the host's part.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for everybody but the author, whatever the review's state, after one
    /// read and one verification. The author hears [`DeskError::OutOfSequence`],
    /// [`DeskError::TooManyActions`], [`DeskError::DigestMismatch`], [`DeskError::Held`],
    /// [`DeskError::Withdrawn`], or [`DeskError::NotPublished`] when it was removed.
    /// [`DeskError::Store`].
    pub fn act(
        &self,
        scope: &Scope,
        action: &AuthorAction,
        edited: &[u8],
    ) -> Result<ActionReceipt, DeskError> {
        self.core.act(scope, action, edited)
    }

    /// Where a review stands, for a device that was restored from its seed.
    ///
    /// # Errors
    /// [`DeskError::Refused`] for everybody but the author, and on another UTC day than the
    /// question's; [`DeskError::Store`].
    pub fn state(&self, scope: &Scope, question: &StateQuestion) -> Result<ReviewState, DeskError> {
        self.core.state(scope, question)
    }

    /// Answers one message of the anonymous door, a [`DoorMessage`](unjoin_core::token::DoorMessage):
    /// always [`DoorAnswer::LENGTH`] bytes, errors included. The body is a [`Receipt`], an
    /// [`ActionReceipt`] or a [`ReviewState`]; with another status than 200 the error's code. It
    /// blocks until the answer is durable.
    pub fn door(&self, message: &[u8]) -> DoorAnswer {
        door::answer(self, message)
    }

    /// Admits a key of the platform's staff, or of a court, to sign removals. The platform's key has
    /// signed `entry` for the reviews ledger with this `origin`, and the entry goes there. Idempotent.
    ///
    /// # Errors
    /// [`DeskError::Refused`], [`DeskError::Store`].
    pub fn admit_staff(&self, entry: &StaffKeyEntry, origin: &str) -> Result<(), DeskError> {
        self.core.admit_staff(entry, origin)
    }

    /// Takes a published review out of the listing at once. The signed entry says who did, and on what
    /// grounds. It goes to the reviews ledger with this `origin` in the same commit. The histogram
    /// changes at the next boundary. What waited with the review is dropped. Idempotent: the first call's
    /// grounds stand.
    ///
    /// # Errors
    /// [`DeskError::UnknownStaff`], [`DeskError::UnknownReview`], [`DeskError::NotPublished`]
    /// while it is held, [`DeskError::Withdrawn`], [`DeskError::DigestMismatch`] when other words
    /// are listed by now, [`DeskError::Store`].
    pub fn remove(&self, scope: &Scope, removed: &RemovedEntry, origin: &str) -> Result<(), DeskError> {
        self.core.remove(scope, removed, origin)
    }

    /// At most `limit` published reviews of a merchant, in the order of their ids, after
    /// `after` (exclusive).
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub fn published(
        &self,
        merchant: &Name,
        after: Option<&ReviewId>,
        limit: usize,
    ) -> Result<Vec<PublishedReview>, DeskError> {
        self.core.published(merchant, after, limit)
    }

    /// How many published reviews of a merchant have how many stars. It changes at boundaries only, and
    /// flatters.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub fn histogram(&self, merchant: &Name) -> Result<Histogram, DeskError> {
        self.core.histogram(merchant)
    }

    /// The sums of what is published, of each cohort that has something in the listing: what
    /// [`Issuer::rate`](crate::issuer::Issuer::rate) weighs. They change at boundaries only, and say nothing
    /// that the listing does not show.
    ///
    /// # Errors
    /// [`DeskError::Store`], in place of what could not be read.
    pub fn star_sums(&self) -> impl Iterator<Item = Result<(Scope, StarSums), DeskError>> + '_ {
        self.core.star_sums()
    }

    /// What trustees need to open a review that was published; `None` when there is none such
    /// or its escrow was erased. Withdrawn and removed reviews have it too.
    ///
    /// The proof in it is made now, with the issuing key, and differs from call to call; nothing stored
    /// tells that it was asked for. Less than a millisecond of one processor.
    ///
    /// # Errors
    /// [`DeskError::UnknownKey`] when the ring lacks the key: without it the review cannot be opened.
    /// [`DeskError::Store`], also when the stored presentation does not verify.
    pub fn evidence(&self, scope: &Scope, review_id: &ReviewId) -> Result<Option<AcceptedReview>, DeskError> {
        self.core.evidence(scope, review_id)
    }
}

impl<S> Core<S> {
    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn rng(&self) -> Box<dyn CryptoRng + Send> {
        self.environment.rng()
    }
}

impl<S: Store> Core<S> {
    /// The time for what is decided between ticks.
    fn now(&self) -> Result<Timestamp, StoreError> {
        clock::time(&*self.store, &rows::clock(), &self.environment)
    }
}

unjoin_core::opaque!(ReviewDesk<S: Store>);
