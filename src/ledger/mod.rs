//! Public logs that cannot be rewritten unseen. A platform has two, its *ledgers*: what was
//! published, edited, withdrawn and removed; and what was asked of the trustees.
//!
//! The services write entries, in their final bytes, into an outbox, in the commit of the
//! decision that each records. A sequencer appends them to the log's Merkle tree
//! (RFC 6962), which is kept as tiles; signs a [`Checkpoint`] once they are durable; and has
//! [`Witness`]es cosign it. A reader of a log believes a checkpoint that a quorum of a
//! [`WitnessPolicy`] has cosigned, an [`InclusionProof`] under it, and a [`ConsistencyProof`]
//! from the last one. The formats are those of the C2SP specifications signed-note,
//! tlog-checkpoint, tlog-cosignature, tlog-witness and tlog-tiles.
//!
//! All but the stateful services is pure, and is there for the reviewer's device too. What the
//! entries say is told in [`entry`](crate::entry).

#[cfg(feature = "platform")]
mod append;
mod checkpoint;
mod evidence;
#[cfg(feature = "platform")]
mod export;
#[cfg(feature = "platform")]
mod ledgers;
#[cfg(feature = "platform")]
mod log;
mod note;
#[cfg(feature = "platform")]
pub(crate) mod outbox;
mod policy;
mod proof;
#[cfg(feature = "platform")]
mod rows;
#[doc(hidden)]
pub mod tile;
#[doc(hidden)]
pub mod tree;
mod view;
mod witness;
#[cfg(feature = "platform")]
mod witness_service;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use evidence::{CosignedEntry, Logged};
#[cfg(feature = "platform")]
pub use export::{DirectoryView, export};
#[cfg(feature = "platform")]
pub use ledgers::{LedgerConfig, LedgerReport, Ledgers, LedgersReport};
#[cfg(feature = "platform")]
pub use log::{Log, LogError, Publication};
pub use note::{
    KeyName, Note, NoteError, NoteKey, NotePublicKey, SignatureLine, WitnessKey, WitnessPublicKey,
};
#[cfg(feature = "platform")]
#[doc(hidden)]
pub use outbox::waiting_entries;
pub use policy::{PolicyError, Quorum, WitnessPolicy};
pub use proof::{ConsistencyProof, InclusionProof, ProofError};
pub use tile::TileId;
pub use tree::Hash;
#[doc(hidden)]
pub use view::LogView as LedgerView;
pub use view::{LogView, ViewError};
pub use witness::{AddCheckpoint, Cosigner, Witness, WitnessError, WitnessState};
#[cfg(feature = "platform")]
pub use witness_service::WitnessService;

#[doc(no_inline)]
pub use crate::entry::{
    BindingEntry, BlindEntry, DisclosedEntry, EditedEntry, Ledger, Members, OpenedEntry, PublishedEntry,
    RemovedEntry, RoundEntry, ShareReleasedEntry, TrusteeSignatureError, WarrantAction, WarrantEntry,
    WithdrawnEntry,
};
#[doc(hidden)]
pub use crate::entry::{blind_commitment, entry_id, release_tag, warrant_commitment};
