//! What the two ledgers hold: messages of their own kinds that name no account, no order and no
//! time but boundaries. How a log keeps them is not told here.

mod door;
mod mark;
mod openings;
mod recovered;
mod reviews;
mod rounds;
mod signed;

pub use door::DoorKeyEntry;
pub use mark::StoreMarkEntry;
pub use openings::{BindingEntry, DisclosedEntry, ShareReleasedEntry, WarrantAction, WarrantEntry};
#[doc(hidden)]
pub use openings::{release_tag, warrant_commitment};
pub use recovered::{RecoveredEntry, RecoveredStore};
pub use reviews::{ActionEntry, HeldWithdrawalEntry, PublishedEntry, RemovedEntry, StaffKeyEntry};
#[doc(hidden)]
pub use rounds::blind_commitment;
pub use rounds::{BlindEntry, ComparedEntry, Members, RoundEntry};
pub use signed::EntrySignatureError;

use sha2::{Digest, Sha256};

/// Which ledger an entry belongs to.
///
/// ```
/// use unjoin_core::entry::Ledger;
/// // In one store each ledger's rows stand behind its number.
/// assert_eq!((Ledger::Reviews as u8, Ledger::Openings as u8), (1, 2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ledger {
    /// Manifests, published digests, the authors' actions, removals and the keys that sign them, recoveries and marks of the stores,
    /// keys of the anonymous door.
    Reviews = 1,
    /// Bindings, warrants, shares, rounds, openings and committees.
    Openings = 2,
}

/// An entry's id: SHA-256 of its bytes. The outbox and the sequencer deduplicate by it.
#[doc(hidden)]
pub fn entry_id(entry: &[u8]) -> [u8; 32] {
    Sha256::digest(entry).into()
}
