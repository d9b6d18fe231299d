//! After an older copy of the store was put back: which orders were granted a token since is not known any more.
//!
//! Granting again would be unsafe even under the same scope, since a changed wallet asks with another
//! commitment and has two tokens. So an order that may have been granted gets nothing, and no crowd
//! that may have been counted is offered again. What the ledger says is sealed is sealed.

use super::cohorts::PAGE;
use super::rows::{
    ClassRow, CohortRow, OPEN_COHORTS, WindowRow, class_key, manifest_key, merchant_of, recovery_key,
    set_aside_key, waiting_key, window_key,
};
use super::{Issuer, IssuerError};
use crate::recovery::{Recovery, RecoveryError, begin, end, is_unfinished};
use std::collections::BTreeMap;
use unjoin_audit::{History, kind};
use unjoin_core::Environment;
use unjoin_core::entry::RecoveredStore;
use unjoin_core::token::{CohortManifest, PlatformKey, Scope};
use unjoin_core::wire::Message;
use unjoin_store::{Bucket, Decision, Found, MessageRow, Pages, Present, Store, StoreError, decide_all};

/// What a recovery of the issuer's store did.
///
/// ```
/// use unjoin::{PlatformRecovery, issuer::IssuerRecovery};
/// let done = PlatformRecovery { orders: Some(IssuerRecovery { era: 2, set_aside: 3, closed: 1 }), ..Default::default() };
/// // Three crowds take no grants any more.
/// assert_eq!(done.orders.map(|orders| orders.set_aside), Some(3));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IssuerRecovery {
    /// The era that it began.
    pub era: u32,
    /// How many cohorts were open in the copy. They take no grants any more, and are sealed or starve as they are.
    pub set_aside: usize,
    /// How many cohorts the ledger has a manifest of that the copy had not sealed, or did not know.
    pub closed: usize,
}

impl<S: Store> Issuer<S> {
    /// Whether a recovery of this store was begun and has not ended.
    pub(crate) fn is_in_recovery(store: &S) -> Result<bool, StoreError> {
        is_unfinished(store, &recovery_key())
    }

    /// Goes on from an older copy of an issuer's store that was put back. Orders that were due until
    /// now and have no record of a grant get no token, no matter who asks ([`IssuerError::BeforeRecovery`]).
    /// No cohort that was open in the copy is offered again. The ledger's manifests close their
    /// cohorts. Then the store may be opened, in a new era, and the recovery is in its outbox for
    /// the ledger. Devices whose enrolment is lost enrol again: the same wallet makes the same entry.
    ///
    /// `history` is the reviews ledger as the witnesses have it. First let the ledger take in what waits
    /// in the outboxes of all copies, and publish. Then read it, with the witnesses' own last checkpoint
    /// as the older one. `platform_key` signs the manifests, which come out as they were.
    ///
    /// It may be interrupted anywhere: run it again. Until it has ended the store is opened by nobody
    /// ([`RecoveryError::Unfinished`]).
    ///
    /// # Errors
    /// [`RecoveryError::UnknownStaff`], [`RecoveryError::Grounds`], [`RecoveryError::Eras`]: nothing was
    /// done. [`RecoveryError::Sign`], [`RecoveryError::Store`].
    pub fn recover(
        store: &S,
        history: &History,
        platform_key: &PlatformKey,
        recovery: &Recovery<'_>,
        environment: &Environment,
    ) -> Result<IssuerRecovery, RecoveryError> {
        let (key, now, platform) = (recovery_key(), environment.now(), platform_key.public());
        let begun = begin(store, &key, RecoveredStore::Orders, (history, &platform), recovery, now)?;
        let mut report = IssuerRecovery { era: begun.era, ..IssuerRecovery::default() };
        for bucket in Bucket::all() {
            report.set_aside += set_aside(store, bucket)?;
        }
        report.closed = close(store, history, platform_key)?;
        end(store, &key, begun.era)?;
        Ok(report)
    }
}

/// No cohort that was open is offered again: it may have been full since.
fn set_aside<S: Store>(store: &S, bucket: Bucket) -> Result<usize, RecoveryError> {
    let mut pages = Pages::<_, CohortRow>::new(store, bucket, OPEN_COHORTS.to_vec(), PAGE);
    let mut moved = 0;
    while let Some(page) = pages.next()? {
        let moves = page.into_iter().map(|Found { key: open, .. }| {
            let merchant = merchant_of(&open)?;
            Ok(Decision::new(open.clone(), move |row: Option<CohortRow>, change| {
                let Some(cohort) = row else { return Ok::<_, RecoveryError>(0) };
                change.delete(&open);
                change.put(&set_aside_key(&merchant, cohort.cohort), &cohort);
                Ok(1)
            }))
        });
        for done in decide_all(store, moves.collect::<Vec<Result<_, RecoveryError>>>()) {
            moved += done?;
        }
    }
    Ok(moved)
}

/// Closes the cohorts whose manifests the ledger has: the first of each counts. How many tokens were granted
/// is not known.
fn close<S: Store>(store: &S, history: &History, platform_key: &PlatformKey) -> Result<usize, RecoveryError> {
    let mut manifests: BTreeMap<Scope, CohortManifest> = BTreeMap::new();
    for entry in history.entries().iter().filter(|entry| kind(entry) == Some(CohortManifest::KIND)) {
        if let Ok(manifest) = CohortManifest::from_bytes(entry) {
            manifests.entry(manifest.scope.clone()).or_insert(manifest);
        }
    }
    let mut closed = 0;
    let manifests: Vec<CohortManifest> = manifests.into_values().collect();
    for manifests in manifests.chunks(PAGE) {
        let decisions = manifests.iter().map(|manifest| {
            let (merchant, cohort) = (manifest.scope.merchant(), manifest.scope.cohort());
            let (manifest_at, left) = (manifest_key(merchant, cohort), set_aside_key(merchant, cohort));
            Ok(Decision::new((manifest_at.clone(), left.clone()), move |(known, waits), change| {
                if known.is_some() {
                    return Ok::<_, RecoveryError>(0);
                }
                let until = manifest.publications.last();
                if let Some(CohortRow { class, .. }) = waits {
                    change.delete(&left);
                    change.put(&class_key(merchant, cohort), &ClassRow { class, until });
                }
                change.put(&manifest_at, &MessageRow(manifest.clone().sign(platform_key)?));
                change.put(&window_key(merchant, cohort), &WindowRow { ends: until });
                // The desk may not have it either; it takes one a second time for nothing.
                change.put(&waiting_key(merchant, cohort), &Present);
                Ok(1)
            }))
        });
        for done in decide_all(store, decisions.collect()) {
            closed += done?;
        }
    }
    Ok(closed)
}

impl From<RecoveryError> for IssuerError {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Store(error) => Self::Store(error),
            error => Self::Recovery(error),
        }
    }
}
