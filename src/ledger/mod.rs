//! What the two public ledgers hold. The services write entries, in their final bytes, into
//! an outbox; the tree, checkpoints and the sequencer that drains the outbox are not built
//! yet.

mod entry;
pub(crate) mod outbox;

pub use entry::{BindingEntry, EditedEntry, Ledger, PublishedEntry, RemovedEntry, WithdrawnEntry, entry_id};
pub use outbox::waiting_entries;
