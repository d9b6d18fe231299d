//! The manifests of sealed cohorts.

use super::rows::{self, CohortRow, Due, Task};
use super::{Core, DeskConfig, DeskError};
use unjoin_core::Timestamp;
use unjoin_core::token::{CohortManifest, SignedManifest};
use unjoin_core::wire::Message;
use unjoin_store::{Change, Decision, Present, Store, decide_all};

impl<S: Store> Core<S> {
    pub(super) fn admit(&self, manifests: &[SignedManifest]) -> Vec<Result<(), DeskError>> {
        let admissions = manifests.iter().map(|signed| Ok(self.admission(self.check(signed)?)));
        decide_all(&*self.store, admissions.collect())
    }

    fn check<'a>(&self, signed: &'a SignedManifest) -> Result<&'a CohortManifest, DeskError> {
        let manifest = signed.verify(&self.platform.public()).map_err(|_| DeskError::ManifestRefused)?;
        // One that was never on the wire may promise nobody; only what decodes is stored.
        if CohortManifest::from_bytes(&manifest.to_bytes()).is_err() {
            return Err(DeskError::ManifestRefused);
        }
        let on_grid = |time| self.grid.at_or_before(time) == Some(time);
        if !manifest.publications.as_slice().iter().all(|date| on_grid(*date)) {
            return Err(DeskError::OffGrid);
        }
        let ring = self.ring();
        let pair = ring.find(manifest.scope.key_id()).ok_or(DeskError::UnknownKey)?;
        if &manifest.escrow_id != pair.escrow_key.id() {
            return Err(DeskError::WrongEscrow);
        }
        Ok(manifest)
    }

    /// Stores a manifest and schedules all that follows from it.
    fn admission<'a>(&'a self, manifest: &'a CohortManifest) -> Decision<'a, (), DeskError> {
        let key = rows::cohort(&manifest.scope);
        Decision::new(key.clone(), move |cohort: Option<CohortRow>, change: &mut Change| {
            match cohort {
                Some(cohort) if &cohort.manifest == manifest => return Ok(()),
                Some(_) => return Err(DeskError::ManifestConflict),
                None => {}
            }
            put_cohort(&self.config, manifest, change);
            Ok(())
        })
    }
}

/// A cohort's row, and the schedule of all that follows from its manifest.
pub(super) fn put_cohort(config: &DeskConfig, manifest: &CohortManifest, change: &mut Change) {
    change.put(&rows::cohort(&manifest.scope), &CohortRow { manifest: manifest.clone(), sealed: 0 });
    let publications = manifest.publications.as_slice().iter().map(|date| (*date, Task::Publish));
    let ends = [(erased_at(config, manifest), Task::Erase), (pruned_at(config, manifest), Task::Prune)];
    for (time, task) in publications.chain(ends) {
        change.put(&Due { time, task, scope: manifest.scope.clone() }.key(), &Present);
    }
}

/// When a cohort's escrows are erased.
pub(super) fn erased_at(config: &DeskConfig, manifest: &CohortManifest) -> Timestamp {
    manifest.publications.last().saturating_add(config.opening_window)
}

/// When the rows of a cohort's spent tokens go.
pub(super) fn pruned_at(config: &DeskConfig, manifest: &CohortManifest) -> Timestamp {
    erased_at(config, manifest).saturating_add(config.retry_window)
}
