//! A witness with a store and a clock: in a process of its own, or in a test.

use super::note::{NotePublicKey, SignatureLine, WitnessKey, WitnessPublicKey};
use super::rows::{self, StoredNote};
use super::witness::{AddCheckpoint, Cosigner, Witness, WitnessError, WitnessState};
use core::fmt;
use std::sync::Arc;
use unjoin_core::Environment;
use unjoin_store::{Store, StoreError, decide, read};

/// How often one request may find that another one of its log was faster.
const ROUNDS: usize = 16;

/// Cosigns the checkpoints of some logs, each after its predecessor. It keeps the last one
/// of each in its store, which must never be restored from a backup: see the manual.
pub struct WitnessService<S: Store> {
    cosigner: Cosigner<Stored<S>>,
    environment: Environment,
}

impl<S: Store> WitnessService<S> {
    /// A witness of these logs.
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
        Ok(read(&*self.0, &rows::witnessed(origin))?.map(|StoredNote(note)| note))
    }

    fn replace(&self, origin: &str, last: Option<&[u8]>, next: Vec<u8>) -> Result<bool, WitnessError> {
        let (row, next) = (rows::witnessed(origin), StoredNote(next));
        decide(&*self.0, row.clone(), |stored, change| {
            let unchanged = stored.as_ref().map(|StoredNote(note)| note.as_slice()) == last;
            if unchanged {
                change.put(&row, &next);
            }
            Ok(unchanged)
        })
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
