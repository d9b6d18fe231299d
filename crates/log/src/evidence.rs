//! An entry with all that shows that it is in a log.

use super::checkpoint::SignedCheckpoint;
use super::note::Note;
use super::policy::{PolicyError, Quorum, WitnessPolicy};
use super::proof::{InclusionProof, ProofError};
use unjoin_core::{message, serde_as_bytes};

/// Kind 22: an entry, the proof of its place, and the cosigned checkpoint that the proof is
/// under. At most 51,158 bytes.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// use unjoin_core::wire::Message;
/// use unjoin_log::{CosignedEntry, LogView};
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec(), b"two".to_vec()], SEALED);
/// let evidence = ledger.log.evidence_of(b"two")?.ok_or("not in the log")?;
/// // It travels by itself: whoever pins the witnesses needs no connection to the log.
/// let evidence = CosignedEntry::from_bytes(&evidence.to_bytes())?;
/// assert_eq!(evidence.verify(&ledger.policy)?, b"two");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignedEntry {
    proof: InclusionProof,
    entry: Vec<u8>,
    checkpoint: Vec<u8>,
}

impl CosignedEntry {
    /// The longest entry in one, in bytes.
    pub const MAX_ENTRY: usize = 16_384;
    /// The longest checkpoint, with its cosignatures, in bytes.
    pub const MAX_CHECKPOINT: usize = 32_768;

    /// From its parts; `None` if the entry or the checkpoint is empty or longer than here.
    pub fn new(entry: Vec<u8>, proof: InclusionProof, checkpoint: Vec<u8>) -> Option<Self> {
        let fits = (1..=Self::MAX_ENTRY).contains(&entry.len())
            && (1..=Self::MAX_CHECKPOINT).contains(&checkpoint.len());
        fits.then_some(Self { proof, entry, checkpoint })
    }

    /// The entry, unchecked.
    pub fn claimed_entry(&self) -> &[u8] {
        &self.entry
    }

    /// The entry, once it is shown to be in a log that a quorum of the policy's witnesses has
    /// seen at any time: an entry stays.
    ///
    /// # Errors
    /// [`PolicyError::Note`], [`PolicyError::NoQuorum`], [`PolicyError::Proof`].
    pub fn verify(&self, policy: &WitnessPolicy) -> Result<&[u8], PolicyError> {
        Ok(self.verify_under(policy)?.entry)
    }

    /// As [`verify`](Self::verify), with its index and the quorum that has seen it.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_under(&self, policy: &WitnessPolicy) -> Result<Logged<'_>, PolicyError> {
        let (checkpoint, quorum) = policy.read(&self.checkpoint)?;
        if self.proof.size() != checkpoint.size() {
            return Err(PolicyError::Proof(ProofError));
        }
        self.proof.verify(&self.entry, checkpoint.root())?;
        Ok(Logged { entry: &self.entry, index: self.proof.index(), checkpoint, quorum })
    }
}

/// An entry that is in a log.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// use unjoin_log::{LogView, Logged};
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec(), b"two".to_vec()], SEALED);
/// # let evidence = ledger.log.evidence_of(b"two")?.unwrap();
/// let Logged { entry, index, checkpoint, quorum } = evidence.verify_under(&ledger.policy)?;
/// assert_eq!((entry, index, checkpoint.size()), (&b"two"[..], 1, 2));
/// assert_eq!((quorum.witnesses, quorum.median_time), (1, SEALED));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged<'a> {
    /// Its bytes.
    pub entry: &'a [u8],
    /// Its index.
    pub index: u64,
    /// The checkpoint that covers it.
    pub checkpoint: SignedCheckpoint,
    /// The quorum that cosigned that.
    pub quorum: Quorum,
}

message!(CosignedEntry = 22, "cosigned entry":
    proof as "proof", entry as "entry" of(1..=Self::MAX_ENTRY), checkpoint as "checkpoint" of(1..=Self::MAX_CHECKPOINT);
    if |logged| Note::parse(&logged.checkpoint).is_ok());

serde_as_bytes!(CosignedEntry);
