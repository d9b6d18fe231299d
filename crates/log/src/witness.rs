//! What witnesses are asked, and what they answer (C2SP tlog-witness, tlog-cosignature).

use super::checkpoint::parse_size;
use super::note::{Note, SignatureLine, WitnessPublicKey};
use super::proof::ConsistencyProof;
use super::tree::Hash;
use base64ct::{Base64, Encoding};
use unjoin_core::describe_errors;

/// Cosigns checkpoints when asked: in this process, or behind HTTP.
///
/// [`Log::publish`](super::Log::publish) asks each witness in a thread of its own. It waits at most 30
/// seconds for a quorum, and then at most 2 for the others. Who has not answered by then is
/// [`WitnessError::Silent`], its late answer is dropped, and it is not asked again before it has
/// answered. So one that hangs costs one thread, and holds nothing up. Give a client timeouts all the
/// same, or it is not asked until the process ends.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// # use std::sync::Arc;
/// use unjoin_log::{AddCheckpoint, SignatureLine, Witness, WitnessError, WitnessPublicKey};
///
/// /// Another witness, whose refusals are told.
/// struct Told(Arc<dyn Witness>);
///
/// impl Witness for Told {
///     fn public_key(&self) -> &WitnessPublicKey {
///         self.0.public_key()
///     }
///     fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
///         self.0.add_checkpoint(request).inspect_err(|error| eprintln!("{}: {error}", error.code()))
///     }
///     fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
///         self.0.last(origin)
///     }
/// }
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
/// # ledger.log.append(&[b"two".to_vec()])?;
///
/// let witness = Told(ledger.witness);
/// assert!(ledger.log.publish(&[Arc::new(witness)])?.published);
/// # Ok::<(), unjoin_log::LogError>(())
/// ```
pub trait Witness: Send + Sync + 'static {
    /// Its key, which policies name.
    fn public_key(&self) -> &WitnessPublicKey;

    /// Its cosignature on the checkpoint, after it has checked it against the last one that it
    /// cosigned.
    ///
    /// # Errors
    /// [`WitnessError::Conflict`] when the old size is not the last one that it cosigned: ask
    /// again from that one. The others are final or a passing failure, as they say.
    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError>;

    /// The last checkpoint of this origin that it cosigned, as a note; `None` when it has seen none. Over
    /// HTTP that is `GET <prefix>/<SHA-256 of the origin>/checkpoint`, and 404.
    ///
    /// # Errors
    /// [`WitnessError::State`] when it cannot be asked; [`WitnessError::Corrupt`].
    fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError>;
}

/// What a witness is sent: a checkpoint, and the proof that it goes on from the last one that
/// the witness cosigned. The body of `POST <prefix>/add-checkpoint`.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// # use unjoin_log::{LogView, Note};
/// use unjoin_log::AddCheckpoint;
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
/// # let checkpoint = Note::parse(&ledger.log.checkpoint()?.unwrap())?;
/// // To a witness that has seen nothing yet: no proof is needed.
/// let request = AddCheckpoint { old_size: 0, path: vec![], checkpoint };
/// let body = request.to_bytes();
/// assert!(body.starts_with(b"old 0\n\nshop.example/reviews\n1\n"));
/// assert_eq!(AddCheckpoint::parse(&body)?, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the proof begins at.
    pub old_size: u64,
    /// The consistency proof's hashes, the lowest first: at most 63.
    pub path: Vec<Hash>,
    /// The checkpoint.
    pub checkpoint: Note,
}

impl AddCheckpoint {
    /// The longest request, in bytes.
    pub const MAX_LEN: usize = Note::MAX_LEN + 64 * 46;

    /// The request's body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = format!("old {}\n", self.old_size);
        for hash in &self.path {
            body.push_str(&Base64::encode_string(hash));
            body.push('\n');
        }
        format!("{body}\n{}", self.checkpoint).into_bytes()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`WitnessError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, WitnessError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(WitnessError::Malformed);
        }
        let body = core::str::from_utf8(bytes).map_err(|_| WitnessError::Malformed)?;
        let (head, note) = body.split_once("\n\n").ok_or(WitnessError::Malformed)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| parse_size(line.strip_prefix("old ")?));
        let old_size = old_size.ok_or(WitnessError::Malformed)?;
        let path: Option<Vec<Hash>> =
            lines.map(|line| Base64::decode_vec(line).ok()?.try_into().ok()).collect();
        let path = path.filter(|path| path.len() <= ConsistencyProof::MAX_HASHES);
        let checkpoint = Note::parse(note.as_bytes()).map_err(|_| WitnessError::Malformed)?;
        Ok(Self { old_size, path: path.ok_or(WitnessError::Malformed)?, checkpoint })
    }
}

describe_errors! {
    /// Why a witness does not cosign.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
    /// # use unjoin_log::{LogView, Note};
    /// use unjoin_log::{AddCheckpoint, WitnessError};
    /// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
    /// # let checkpoint = Note::parse(&ledger.log.checkpoint()?.unwrap())?;
    /// // It has cosigned one entry, and is shown the checkpoint as if it had seen none.
    /// let error = ledger.witness.add_checkpoint(&AddCheckpoint { old_size: 0, path: vec![], checkpoint }).unwrap_err();
    /// assert!(matches!(error, WitnessError::Conflict { size: 1 }));
    /// assert_eq!((error.status(), error.code()), (409, "witness.conflict"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum WitnessError (Operator, false) {
        /// Not a request, or its old size is beyond the checkpoint's. HTTP 400.
        Malformed => "witness.malformed" (Host, false), "not a request to add a checkpoint";
        /// No log that this witness knows. HTTP 404.
        UnknownLog => "witness.unknown_log", "the witness does not know this log: give it the log's verification key";
        /// Not signed by the log. HTTP 403.
        Unsigned => "witness.unsigned", "the checkpoint is not signed by the log's key that the witness knows";
        /// The witness's last checkpoint has another size: prove consistency from that. HTTP 409.
        Conflict {
            /// The size of the last checkpoint that it cosigned.
            size: u64,
        } => "witness.conflict" (Host, true),
            "the witness's last checkpoint has size {size}: prove consistency from there";
        /// The checkpoint does not go on from the last one: a fork, or a wrong proof. HTTP 422.
        Inconsistent => "witness.inconsistent",
            "the checkpoint does not go on from the witness's last one: the log was rolled back or forked, \
            stop and compare";
        /// Other requests of the same log came in between, again and again. HTTP 503.
        Busy => "witness.busy" (Host, true), "other checkpoints of this log came in between: try again";
        /// It has not answered in time, now or when it was asked before. No witness answers this itself.
        Silent => "witness.silent" (Operator, true),
            "the witness has not answered in time, and is asked again once it has: see to its connection";
        /// Its clock stands at 1970 or before. HTTP 500.
        Clock => "witness.clock" (Operator, true), "the witness's clock stands at 1970: set it";
        /// A witness was to be created where one is, or has been.
        Exists => "witness.exists", "the store has a witness already, and nothing was changed: open it";
        /// There is no witness in the store that was to be opened.
        Missing => "witness.missing",
            "the store has no witness: it is another one, or it was lost. Mount the right volume. If it is lost, \
             so is the witness: create one with a new name and key, and tell those who trust the old one";
        /// The store is another service's, or a copy of a witness's.
        Foreign => "witness.foreign",
            "the store is another service's, or a backup of a witness's: what it does not remember, a witness \
             would sign again";
        /// What the witness remembers does not decode. HTTP 500.
        Corrupt => "witness.corrupt",
            "what the witness stored does not decode, or another key cosigned it: it signs nothing more for this \
             log. Create a witness with a new name and key";
        /// Its memory, or the way to it, failed. HTTP 500.
        State(source: Box<dyn core::error::Error + Send + Sync>) => "witness.state" (Operator, true),
            "the witness's memory failed: {source}";
    }
}

impl WitnessError {
    /// The status that the witness protocol answers with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::UnknownLog => 404,
            Self::Unsigned => 403,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
            Self::Busy | Self::Silent => 503,
            Self::Exists | Self::Missing | Self::Foreign => 500,
            Self::Clock | Self::Corrupt | Self::State(_) => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::SignedCheckpoint;
    use super::super::note::{KeyName, NoteKey};
    use super::*;
    use proptest::prelude::*;
    use unjoin_core::secret::SecretBytes;

    proptest! {
        #[test]
        fn a_request_reads_as_it_was_written(
            old_size in 0u64..1 << 62,
            size in 1u64..1 << 62,
            path in prop::collection::vec(any::<Hash>(), 0..=ConsistencyProof::MAX_HASHES),
            bytes: Vec<u8>,
        ) {
            let key = NoteKey::from_secret_bytes(KeyName::new("log").unwrap(), &SecretBytes::new([1; 32]));
            let checkpoint = SignedCheckpoint::sign(size, [3; 32], &key).unwrap().note().clone();
            let request = AddCheckpoint { old_size, path, checkpoint };
            prop_assert_eq!(AddCheckpoint::parse(&request.to_bytes()).unwrap(), request);
            if let Ok(request) = AddCheckpoint::parse(&bytes) {
                prop_assert_eq!(request.to_bytes(), bytes);
            }
        }
    }
}
