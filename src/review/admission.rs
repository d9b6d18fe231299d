//! The manifests of closed cohorts.

use super::rows::{self, DUE_VALUE, Due, Task};
use super::values::{CohortRow, Stored, read_row};
use super::{Core, DeskConfig, DeskError};
use crate::store::decide::{Decision, Step, run};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::token::{CohortManifest, SignedManifest};
use crate::wire::Message;

impl<S: Store> Core<S> {
    pub(super) fn admit(&self, manifests: &[SignedManifest]) -> Vec<Result<(), DeskError>> {
        let mut results: Vec<Result<(), DeskError>> = Vec::with_capacity(manifests.len());
        let mut admissions = Vec::new();
        for signed in manifests {
            results.push(self.check(signed).map(|manifest| {
                admissions.push(Admission { manifest, config: &self.config });
            }));
        }
        let mut admitted = run(&*self.store, &mut admissions).into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            if let Some(admitted) = admitted.next() {
                *result = admitted.map_err(DeskError::from).and_then(|admitted| admitted);
            }
        }
        results
    }

    fn check<'a>(&self, signed: &'a SignedManifest) -> Result<&'a CohortManifest, DeskError> {
        let manifest = signed.verify(&self.platform.public()).map_err(|_| DeskError::ManifestRefused)?;
        // One that was never on the wire may be out of order; only what decodes is stored.
        if CohortManifest::from_bytes(&manifest.to_bytes()).is_err() {
            return Err(DeskError::ManifestRefused);
        }
        let on_grid = |time| self.grid.at_or_before(time) == Some(time);
        if !on_grid(manifest.first_publication) || !on_grid(manifest.window_end) {
            return Err(DeskError::OffGrid);
        }
        let ring = self.ring();
        let pair = ring.find(manifest.scope.key_id()).ok_or(DeskError::UnknownKey)?;
        if &manifest.escrow_id != pair.escrow_key.id() {
            return Err(DeskError::WrongEscrow);
        }
        Ok(manifest)
    }
}

/// Stores a manifest and schedules all that follows from it.
struct Admission<'a> {
    manifest: &'a CohortManifest,
    config: &'a DeskConfig,
}

impl Decision for Admission<'_> {
    type Answer = Result<(), DeskError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![rows::cohort(&self.manifest.scope)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let stored = rows.first().and_then(Option::as_deref);
        if let Some(cohort) = read_row::<CohortRow>(stored)? {
            let same = &cohort.manifest == self.manifest;
            return Ok(Step::Answer(if same { Ok(()) } else { Err(DeskError::ManifestConflict) }));
        }
        let manifest = self.manifest.clone();
        let scope = &self.manifest.scope;
        let erased_at = manifest.window_end.saturating_add(self.config.opening_window);
        let pruned_at = erased_at.saturating_add(self.config.retry_window);
        let due = [
            (manifest.first_publication, Task::Publish),
            (manifest.window_end, Task::Publish),
            (erased_at, Task::Erase),
            (pruned_at, Task::Prune),
        ];
        let RowKey { bucket, key } = rows::cohort(scope);
        let mut commit = Commit::new(bucket).expect(&key, None);
        commit = commit.put(key, CohortRow { manifest, sealed: 0 }.to_value());
        for (time, task) in due {
            commit = commit.put(Due { time, task, scope: scope.clone() }.key(), DUE_VALUE.to_vec());
        }
        Ok(Step::Commit(commit, Ok(())))
    }
}
