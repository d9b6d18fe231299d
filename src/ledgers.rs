//! Both ledgers of a platform, and what moves their outboxes' entries on.

use std::sync::Arc;
use unjoin_core::entry::Ledger;
use unjoin_log::{Log, LogError, NoteKey, Publication, Witness, WitnessPolicy};
use unjoin_store::{OwnStore, Store};

/// How one ledger runs.
///
/// ```
/// # use unjoin::secret::SystemRng;
/// use unjoin::ledger::{KeyName, LedgerConfig, NoteKey};
/// let key = NoteKey::generate(KeyName::new("shop.example/reviews")?, &mut SystemRng::new());
/// // For first steps: with no witnesses nothing keeps the platform from showing two histories.
/// let config = LedgerConfig { key, policy: None };
/// assert_eq!(config.key.public().name().as_str(), "shop.example/reviews");
/// # Ok::<(), unjoin::ledger::NoteError>(())
/// ```
#[derive(Debug)]
pub struct LedgerConfig {
    /// Signs its checkpoints; its name is the ledger's origin.
    pub key: NoteKey,
    /// When a checkpoint is published: once a quorum has cosigned it, or, without a policy, as
    /// soon as it is signed. Only for first steps.
    pub policy: Option<WitnessPolicy>,
}

/// The reviews ledger and the openings ledger, in a store of their own: everything in it is
/// public, or will be.
///
/// ```
/// # use unjoin_trustee::test_util::fresh;
/// # use unjoin::{secret::SystemRng, store::identity::Role};
/// # use unjoin::ledger::{KeyName, LedgerConfig, LogView, NoteKey};
/// use unjoin::ledger::Ledgers;
/// # let config = |name| LedgerConfig { key: NoteKey::generate(KeyName::new(name).unwrap(), &mut SystemRng::new()), policy: None };
/// # let (store, reviews, openings) = (fresh(Role::Ledgers), config("shop.example/reviews"), config("shop.example/openings"));
/// # let witnesses = vec![];
/// let ledgers = Ledgers::open_without_asking_witnesses(store, reviews, openings, witnesses)?;
/// let report = ledgers.tick(&[]);
/// assert!(report.reviews.failed.is_none() && report.openings.failed.is_none());
/// assert_eq!((ledgers.reviews().size()?, ledgers.openings().size()?), (0, 0));
/// # Ok::<(), unjoin::ledger::LogError>(())
/// ```
pub struct Ledgers<S: Store> {
    reviews: Log<S>,
    openings: Log<S>,
    witnesses: Vec<Arc<dyn Witness>>,
}

impl<S: Store> Ledgers<S> {
    /// Opens both ledgers; the witnesses cosign both. They are asked for what they have seen of each first, so open
    /// the ledgers before anything is served. That all stores of a platform were put back together, nobody
    /// else can tell.
    ///
    /// # Errors
    /// [`LogError::Policy`] when a policy is another ledger's, or both ledgers have one name. As for
    /// [`Log::compare`].
    pub fn open(
        store: Arc<OwnStore<S>>,
        reviews: LedgerConfig,
        openings: LedgerConfig,
        witnesses: Vec<Arc<dyn Witness>>,
    ) -> Result<Self, LogError> {
        let ledgers = Self::open_without_asking_witnesses(store, reviews, openings, witnesses)?;
        ledgers.ask_witnesses().map(|()| ledgers)
    }

    /// As [`open`](Self::open) does it, of ledgers that were opened without.
    ///
    /// # Errors
    /// As for [`Log::compare`].
    pub fn ask_witnesses(&self) -> Result<(), LogError> {
        self.reviews.compare(&self.witnesses)?;
        self.openings.compare(&self.witnesses)
    }

    /// As [`open`](Self::open), when no witness can be reached. **If all stores were put back together, spent
    /// tokens are taken again**. It is only for an operator who is certain that they were not, and for a recovery
    /// ([`Platform::recover`](crate::Platform::recover)), which asks the witnesses itself.
    ///
    /// # Errors
    /// As for [`open`](Self::open), but for what the witnesses say.
    pub fn open_without_asking_witnesses(
        store: Arc<OwnStore<S>>,
        reviews: LedgerConfig,
        openings: LedgerConfig,
        witnesses: Vec<Arc<dyn Witness>>,
    ) -> Result<Self, LogError> {
        if reviews.key.public().name() == openings.key.public().name() {
            return Err(LogError::Policy);
        }
        let open = |store, ledger, config: LedgerConfig| Log::open(store, ledger, config.key, config.policy);
        Ok(Self {
            reviews: open(Arc::clone(&store), Ledger::Reviews, reviews)?,
            openings: open(store, Ledger::Openings, openings)?,
            witnesses,
        })
    }

    unjoin_core::getters! {
        /// Manifests, published digests, edits, withdrawals and removals.
        pub reviews -> &Log<S>;
        /// Bindings, and what was asked of the trustees.
        pub openings -> &Log<S>;
    }

    /// Takes what waits in the outboxes of these stores into the ledgers, and publishes a
    /// checkpoint of each. The orders' store comes first: a manifest is before what is
    /// published under it. What fails with one ledger holds up neither the other nor the
    /// caller; call it again.
    pub fn tick(&self, sources: &[&dyn Store]) -> LedgersReport {
        let tick = |log: &Log<S>| {
            let mut report = LedgerReport { sequenced: 0, publication: None, failed: None };
            let done = log.sequence(sources).and_then(|sequenced| {
                report.sequenced = sequenced;
                log.publish(&self.witnesses)
            });
            match done {
                Ok(publication) => report.publication = Some(publication),
                Err(error) => report.failed = Some(error),
            }
            report
        };
        LedgersReport { reviews: tick(&self.reviews), openings: tick(&self.openings) }
    }
}

unjoin_core::opaque!(Ledgers<S: Store>);

/// What became of both ledgers.
///
/// ```
/// use unjoin::ledger::{LedgerReport, LedgersReport};
/// /// Whether an operator must look at once: a witness refuses, or nothing goes on.
/// fn is_alarm(report: &LedgersReport) -> bool {
///     let bad = |one: &LedgerReport| {
///         one.failed.is_some() || one.publication.as_ref().is_some_and(|shown| !shown.refusals.is_empty())
///     };
///     bad(&report.reviews) || bad(&report.openings)
/// }
/// # let quiet = || LedgerReport { sequenced: 0, publication: None, failed: None };
/// assert!(!is_alarm(&LedgersReport { reviews: quiet(), openings: quiet() }));
/// ```
#[derive(Debug)]
#[must_use = "what failed, and what witnesses refuse, needs an operator"]
pub struct LedgersReport {
    /// The reviews ledger.
    pub reviews: LedgerReport,
    /// The openings ledger.
    pub openings: LedgerReport,
}

/// What became of one ledger.
///
/// ```
/// use unjoin::ledger::{LedgerReport, LogError};
/// let report = LedgerReport { sequenced: 0, publication: None, failed: Some(LogError::Unwitnessed) };
/// // Tried again at the next tick, once a witness can be reached.
/// assert!(report.failed.is_some_and(|error| error.is_retryable()));
/// ```
#[derive(Debug)]
pub struct LedgerReport {
    /// How many entries were taken out of outboxes.
    pub sequenced: u64,
    /// The checkpoint that was signed; look at whether it is published and what was refused.
    pub publication: Option<Publication>,
    /// What could not be done and is tried again at the next tick.
    pub failed: Option<LogError>,
}
