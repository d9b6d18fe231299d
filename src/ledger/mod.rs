//! Two public ledgers that nobody can rewrite unseen: what was published, edited, withdrawn and
//! removed; and what was asked of the trustees.
//!
//! The services write entries, in their final bytes, into an outbox, in the commit of the
//! decision that each records. A sequencer appends them to the ledger's Merkle tree
//! (RFC 6962), which is kept as tiles; signs a [`Checkpoint`] once they are durable; and has
//! [`Witness`]es cosign it. Whoever reads a ledger believes a checkpoint that a quorum of a
//! [`WitnessPolicy`] has cosigned, an [`InclusionProof`] under it, and a [`ConsistencyProof`]
//! from the last one. The formats are those of the C2SP specifications signed-note,
//! tlog-checkpoint, tlog-cosignature, tlog-witness and tlog-tiles.
//!
//! All but the stateful services is pure, and is there for the reviewer's device too.

#[cfg(feature = "platform")]
mod append;
mod checkpoint;
mod entry;
mod evidence;
#[cfg(feature = "platform")]
mod export;
#[cfg(feature = "platform")]
mod ledgers;
#[cfg(feature = "platform")]
mod log;
mod note;
mod opening_entry;
#[cfg(feature = "platform")]
pub(crate) mod outbox;
mod policy;
mod proof;
#[cfg(feature = "platform")]
mod rows;
pub mod tile;
pub mod tree;
mod view;
mod witness;
#[cfg(feature = "platform")]
mod witness_service;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use entry::{BindingEntry, EditedEntry, Ledger, PublishedEntry, RemovedEntry, WithdrawnEntry, entry_id};
pub use evidence::{CosignedEntry, EvidenceError, Logged};
#[cfg(feature = "platform")]
pub use export::{DirectoryView, Exported, export};
#[cfg(feature = "platform")]
pub use ledgers::{LedgerConfig, LedgerReport, Ledgers, LedgersReport};
#[cfg(feature = "platform")]
pub use log::{Log, LogError, Publication};
pub use note::{
    KeyName, Note, NoteError, NoteKey, NotePublicKey, SignatureLine, WitnessKey, WitnessPublicKey,
};
pub use opening_entry::{
    BlindEntry, DisclosedEntry, Members, OpenedEntry, RoundEntry, ShareReleasedEntry, TrusteeSignatureError,
    WarrantAction, WarrantEntry, blind_commitment, release_tag, warrant_commitment,
};
#[cfg(feature = "platform")]
pub use outbox::waiting_entries;
pub use policy::{PolicyError, Quorum, WitnessPolicy};
pub use proof::{ConsistencyProof, InclusionProof, ProofError};
pub use view::{LedgerView, ViewError};
pub use witness::{AddCheckpoint, Cosigner, Witness, WitnessError, WitnessState};
#[cfg(feature = "platform")]
pub use witness_service::WitnessService;
