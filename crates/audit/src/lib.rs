//! Auditing: what anybody can find out from a ledger, two of its checkpoints and what the
//! platform shows.
//!
//! ```text
//! older checkpoint      published set is read      newer checkpoint
//! --------|-----------------------|------------------------|------->
//!    entries 0 .. old                 entries old .. new
//! ```
//!
//! A [`History`] is the entries under the newer checkpoint, hashed again, which must pass
//! through the root of the older one. Then
//!
//! * [`audit_reviews`] names every review that is shown otherwise than the ledger ever had it
//!   between the two: altered, dropped, moved, or changed without its author's signature;
//! * [`receipt_verdict`] and [`action_verdict`] say whether what the desk has signed for was logged;
//! * [`removals`] lists who removed what, [`recoveries`] which older copies were put back;
//! * [`audit_manifests`] holds the crowds that were promised against what was counted elsewhere.
//!
//! What was asked of the trustees is audited in `unjoin-trustee`.
//!
//! Everything here is pure and believes nobody but a quorum of witnesses.
//!
//! ```
//! # use unjoin_log::{KeyName, LogView, Log, NoteKey, WitnessPolicy};
//! # use unjoin_core::entry::{Ledger, PublishedEntry};
//! # use unjoin_core::{Clock, DAY, Environment, Name, SystemClock, Timestamp};
//! # use unjoin_core::secret::SystemRng;
//! # use unjoin_store::{MemoryStore, Stores, identity::{Role, Roster}};
//! # use unjoin_core::token::{AuthorKey, CohortManifest, PlatformKey, PublicationDates, ReviewId, Scope};
//! # use unjoin_core::wire::Message;
//! # use unjoin_log::{Witness, WitnessService};
//! # use std::sync::Arc;
//! use unjoin_audit::{Finding, History, PublishedSet, audit_reviews};
//! # let rng = &mut SystemRng::new();
//! # let key = NoteKey::generate(KeyName::new("shop.example/reviews")?, rng);
//! # let (name, logs) = (KeyName::new("witness.example")?, vec![key.public().clone()]);
//! # let witness: Arc<dyn Witness> =
//! #     Arc::new(WitnessService::create(Arc::new(MemoryStore::new()), name, logs, Environment::system())?);
//! # let policy = WitnessPolicy::new(key.public().clone(), vec![witness.public_key().clone()], 1, 0, 60)?;
//! # let roster = Roster::alone(Role::Ledgers, rng);
//! # let stores = Stores::create(&roster, [(Role::Ledgers, Arc::new(MemoryStore::new()))], rng)?;
//! # let log = Log::open(stores.own(Role::Ledgers)?, Ledger::Reviews, key, Some(policy.clone()))?;
//! # let platform = PlatformKey::generate(rng).public();
//! # let at = |day: u64| Timestamp::from_unix_seconds(day * DAY);
//! # let scope = Scope::new([5; 32], Name::new("lamps.example")?, 1);
//! # let manifest = CohortManifest { scope: scope.clone(), escrow_id: [6; 32], at_least: 5,
//! #     publications: PublicationDates::starting(at(2)).unwrap() };
//! # let entry = PublishedEntry { scope, boundary: at(2), review_id: ReviewId([1; 32]), review_digest: [2; 32],
//! #     presentation_hash: [3; 32], author_key: AuthorKey([4; 32]) };
//! # log.append(&[manifest.to_bytes(), entry.to_bytes()])?;
//! # log.publish(std::slice::from_ref(&witness))?;
//! let older = log.checkpoint()?.unwrap();
//! let shown = PublishedSet::default(); // nothing: somebody has deleted the review
//! # log.publish(std::slice::from_ref(&witness))?;
//! let history = History::read(&log, &policy, Some(older.as_slice()), SystemClock.now())?;
//! let found = audit_reviews(&history, &shown, &platform, DAY);
//! assert_eq!(found, [Finding::Dropped { review_id: ReviewId([1; 32]) }]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod manifests;
mod receipt;
mod recoveries;
mod reviews;
mod staff;

pub use manifests::{CountedElsewhere, ManifestFinding, ManifestReport, audit_manifests};
pub use receipt::{ReceiptError, ReceiptVerdict, action_verdict, is_as_promised, receipt_verdict};
pub use recoveries::recoveries;
pub use reviews::{Finding, PublishedSet, audit_reviews};
pub use staff::removals;

use staff::StaffKeys;

use unjoin_core::{Timestamp, describe_errors};
use unjoin_log::tree::{Frontier, leaf_hash};
use unjoin_log::{LogView, PolicyError, Quorum, SignedCheckpoint, ViewError, WitnessPolicy, each_page};

/// All entries of a ledger up to a checkpoint that a quorum has cosigned. They have its root, and go on
/// from an older one.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::Clock;
/// use unjoin_audit::History;
/// # let shop = Shop::open();
/// # let ledger = shop.ledger(&shop.accepted());
/// # let (log, policy, now) = (&ledger.log, &ledger.policy, ledger.clock.now());
/// let history = History::read(log, policy, None, now)?;
/// let (checkpoint, quorum) = history.newer();
/// assert_eq!((history.entries().len() as u64, quorum.witnesses), (checkpoint.size(), 1));
/// // Kept, it is the older one of the next audit.
/// let kept = checkpoint.to_bytes();
/// assert!(History::read(log, policy, Some(&kept), now).is_ok());
/// # Ok::<(), unjoin_audit::AuditError>(())
/// ```
#[derive(Clone, Debug)]
pub struct History {
    entries: Vec<Vec<u8>>,
    older: Option<(SignedCheckpoint, Quorum)>,
    newer: (SignedCheckpoint, Quorum),
}

impl History {
    /// Reads and checks a ledger up to its published checkpoint. That must be as fresh at `now` as
    /// the policy asks for: a ledger that has stopped proves nothing of today. `older` is a
    /// checkpoint that the auditor has kept, with its cosignatures, of whatever age.
    ///
    /// # Errors
    /// [`AuditError::Rewritten`] when two cosigned checkpoints do not go together: nothing else
    /// accuses anybody. [`AuditError::Stale`] when this copy of the ledger ends before `older`;
    /// [`AuditError::View`] when the copy cannot be read, or is bad: its entries do not have the
    /// root of its own checkpoint. [`AuditError::Policy`], [`AuditError::Unpublished`].
    pub fn read(
        ledger: &dyn LogView,
        policy: &WitnessPolicy,
        older: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Self, AuditError> {
        let older = older.map(|note| policy.read(note)).transpose()?;
        let newer = policy.read_fresh(&ledger.checkpoint()?.ok_or(AuditError::Unpublished)?, now)?;
        let (old_size, size) = (older.as_ref().map_or(0, |(older, _)| older.size()), newer.0.size());
        if old_size > size {
            return Err(AuditError::Stale);
        }
        if older.as_ref().is_some_and(|(older, _)| old_size == size && older.root() != newer.0.root()) {
            // Two roots for one size: no entry is needed to show it.
            return Err(AuditError::Rewritten);
        }
        let (mut entries, mut frontier) = (Vec::new(), Frontier::default());
        let mut goes_on = true;
        // Up to the older checkpoint's size, then on: it must not be stepped over.
        for end in [old_size, size] {
            each_page(ledger, frontier.size()..end, |page| {
                page.iter().for_each(|entry| frontier.push(leaf_hash(entry)));
                entries.extend(page);
                Ok::<_, ViewError>(())
            })?;
            if let Some((older, _)) = older.as_ref().filter(|_| end == old_size) {
                goes_on = frontier.root() == *older.root();
            }
        }
        // Only entries that do have the newer root say anything about the ledger.
        if frontier.root() != *newer.0.root() {
            return Err(ViewError::Malformed.into());
        }
        if goes_on { Ok(Self { entries, older, newer }) } else { Err(AuditError::Rewritten) }
    }

    unjoin_core::getters! {
        /// The entries, in order.
        pub entries -> &[Vec<u8>];
        /// The newer checkpoint, and what its quorum says.
        pub newer -> &(SignedCheckpoint, Quorum);
    }

    /// The entries under the older checkpoint; all of them if there was none.
    #[doc(hidden)]
    pub fn under_older(&self) -> &[Vec<u8>] {
        self.split().0
    }

    /// Those under the older checkpoint, and those after it.
    fn split(&self) -> (&[Vec<u8>], &[Vec<u8>]) {
        let size = self.older.as_ref().unwrap_or(&self.newer).0.size();
        let at = usize::try_from(size).unwrap_or(usize::MAX);
        self.entries.split_at_checked(at).unwrap_or((&self.entries, &[]))
    }

    /// The entries that count for what was due at a boundary: those under the older checkpoint, if
    /// that was cosigned later than the boundary and the grace. One that came after is late.
    fn in_time(&self, boundary: Timestamp, grace: u64) -> &[Vec<u8>] {
        if self.older_time() > boundary.saturating_add(grace) { self.split().0 } else { &self.entries }
    }

    /// When the older checkpoint was cosigned; the newer, if there is none.
    #[doc(hidden)]
    pub fn older_time(&self) -> Timestamp {
        self.older.as_ref().unwrap_or(&self.newer).1.median_time
    }
}

describe_errors! {
    /// Why a ledger could not be audited, or need not be: it is no ledger any more.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::shop::Shop;
    /// # use unjoin_core::{Clock, DAY};
    /// use unjoin_audit::{AuditError, History};
    /// # let shop = Shop::open();
    /// # let ledger = shop.ledger(&shop.accepted());
    /// # let (log, policy, tomorrow) = (&ledger.log, &ledger.policy, ledger.clock.now().saturating_add(DAY));
    /// // The ledger has stopped: whatever its copy says is not of today.
    /// let error = History::read(log, policy, None, tomorrow).unwrap_err();
    /// assert!(matches!(error, AuditError::Policy(unjoin_log::PolicyError::Stale)));
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum AuditError (Operator, false) {
        /// The checkpoints have two roots for one size, or the entries have the newer one's root and not
        /// the older one's: history was changed.
        Rewritten => "audit.rewritten",
            "the ledger's newer checkpoint does not go on from the older one: its history was changed. Keep the \
            checkpoints and the entries, they prove it";
        /// This copy of the ledger ends before the older checkpoint.
        Stale => "audit.stale" (Host, true),
            "this copy of the ledger ends before the checkpoint that was kept: read a newer copy";
        /// No checkpoint is published yet.
        Unpublished => "audit.unpublished" (Host, true), "the ledger has not published a checkpoint yet";
        /// A checkpoint is not believed.
        Policy(#[from] error: PolicyError) => "audit.policy", "{error}";
        /// The ledger could not be read.
        View(#[from] error: ViewError) => "audit.view" (Operator, true), "{error}";
    }
}

/// The kind of an entry; `None` if it is too short for a message.
#[doc(hidden)]
pub fn kind(entry: &[u8]) -> Option<u8> {
    entry.get(1).copied()
}
