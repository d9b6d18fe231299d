//! Public logs that cannot be rewritten unseen. A platform has two, its *ledgers*: what was
//! published, edited, withdrawn and removed; and what was asked of the trustees.
//!
//! The services write entries, in their final bytes, into an outbox, in the commit of the decision that
//! each records. A sequencer appends them to the log's Merkle tree (RFC 6962), which is kept as tiles.
//! It signs a [`Checkpoint`] once they are durable, and has [`Witness`]es cosign it. A reader of a log
//! believes a checkpoint that a quorum of a [`WitnessPolicy`] has cosigned. With it come an
//! [`InclusionProof`] under it and a [`ConsistencyProof`] from the last one. The formats are those of
//! the C2SP specifications signed-note, tlog-checkpoint, tlog-cosignature, tlog-witness and tlog-tiles.
//!
//! All but the stateful services is pure, and is there for the reviewer's device too. What the
//! entries say is told in [`entry`](unjoin_core::entry).

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[cfg(feature = "store")]
mod append;
mod checkpoint;
#[cfg(feature = "store")]
mod cosigning;
mod evidence;
#[cfg(feature = "store")]
mod export;
#[cfg(feature = "store")]
mod log;
mod note;
#[cfg(feature = "store")]
#[doc(hidden)]
pub mod outbox;
mod policy;
mod proof;
#[cfg(feature = "store")]
mod rows;
#[doc(hidden)]
pub mod tile;
#[doc(hidden)]
pub mod tree;
mod view;
mod witness;
#[cfg(feature = "store")]
mod witness_service;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use evidence::{CosignedEntry, Logged};
#[cfg(feature = "store")]
pub use export::{DirectoryView, ExportError, export};
#[cfg(feature = "store")]
pub use log::{Log, LogError, Publication};
pub use note::{KeyName, Note, NoteError, NoteKey, NotePublicKey, SignatureLine, WitnessPublicKey};
#[cfg(feature = "store")]
#[doc(hidden)]
pub use outbox::waiting_entries;
pub use policy::{PolicyError, Quorum, WitnessPolicy};
pub use proof::{ConsistencyProof, InclusionProof, ProofError};
pub use tile::TileId;
pub use tree::Hash;
#[doc(hidden)]
pub use view::each_page;
pub use view::{LogView, ViewError};
pub use witness::{AddCheckpoint, Witness, WitnessError};
#[cfg(feature = "store")]
pub use witness_service::WitnessService;
