//! A witness with a store and a clock: in a process of its own, or in a test.

use super::note::{NotePublicKey, SignatureLine, WitnessKey, WitnessPublicKey};
use super::rows;
use super::witness::{AddCheckpoint, Cosigner, Witness, WitnessError, WitnessState};
use crate::environment::Environment;
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use core::fmt;
use std::sync::Arc;

/// How often one request may find that another one of its ledger was faster.
const ROUNDS: usize = 16;

/// Cosigns the checkpoints of some ledgers, each after its predecessor. It keeps the last one
/// of each in its store, which must never be restored from a backup: see the manual.
pub struct WitnessService<S: Store> {
    cosigner: Cosigner<Stored<S>>,
    environment: Environment,
}

impl<S: Store> WitnessService<S> {
    /// A witness of these ledgers.
    pub fn open(store: Arc<S>, key: WitnessKey, logs: Vec<NotePublicKey>, environment: Environment) -> Self {
        Self { cosigner: Cosigner::new(key, logs, Stored(store)), environment }
    }

    /// The last checkpoint of this origin that it cosigned, with its cosignature: what it serves
    /// to monitors.
    ///
    /// # Errors
    /// [`WitnessError::State`], [`WitnessError::Corrupt`].
    pub fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        self.cosigner.last(origin)
    }
}

impl<S: Store> Witness for WitnessService<S> {
    fn public_key(&self) -> &WitnessPublicKey {
        self.cosigner.public_key()
    }

    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        for _ in 0..ROUNDS {
            match self.cosigner.add_checkpoint(request, self.environment.now()) {
                Err(WitnessError::Busy) => {}
                answer => return answer,
            }
        }
        Err(WitnessError::Busy)
    }
}

impl<S: Store> fmt::Debug for WitnessService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WitnessService").field("key", self.public_key()).finish_non_exhaustive()
    }
}

struct Stored<S>(Arc<S>);

impl<S: Store> WitnessState for Stored<S> {
    fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        let row = self.0.read(&[rows::witnessed(origin)])?.pop().flatten();
        row.map(|row| Ok(rows::read_value(&row, "checkpoint")?.to_vec())).transpose()
    }

    fn replace(&self, origin: &str, last: Option<&[u8]>, next: Vec<u8>) -> Result<bool, WitnessError> {
        Ok(run_one(&*self.0, Replace { row: rows::witnessed(origin), last: last.map(rows::value), next })?)
    }
}

struct Replace {
    row: RowKey,
    last: Option<Vec<u8>>,
    next: Vec<u8>,
}

impl Decision for Replace {
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.row.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        let stored = rows.first().and_then(Option::as_deref);
        if stored != self.last.as_deref() {
            return Ok(Step::Answer(false));
        }
        let RowKey { bucket, key } = self.row.clone();
        let commit = Commit::new(bucket).expect(&key, stored).put(key, super::rows::value(&self.next));
        Ok(Step::Commit(commit, true))
    }
}

impl From<StoreError> for WitnessError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Corrupt,
            error => Self::State(error.into()),
        }
    }
}
