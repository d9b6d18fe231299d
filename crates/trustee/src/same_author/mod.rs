//! Do two reviews have one author? Answered by t trustees without unmasking anybody.
//!
//! With escrows `(E1a, E2a)` and `(E1b, E2b)` under one key, the difference encrypts
//! `U_a - U_b`. Every member of a set multiplies it by a factor of its own and proves it
//! ([`Blind`]); the sum of the blinded differences is then decrypted by shares bound to this
//! round. The result is the identity exactly if the authors are equal, and otherwise a
//! random point: nothing else is learnt.
//!
//! A [`Comparison`] drives rounds over all reviews of a warrant; each member answers them by
//! [`Trustee::blind`](super::service::Trustee::blind) and
//! [`Trustee::compare`](super::service::Trustee::compare).

mod blinding;
mod comparison;
mod error;
mod partition;

pub use blinding::Blind;
#[doc(hidden)]
pub use blinding::{BlindingFactor, CheckedRound, Pair, without_round};
pub use comparison::{Comparison, ComparisonError, ComparisonRound};
pub use error::SameAuthorError;
#[doc(hidden)]
pub use partition::Partition;

use super::ReviewEvidence;
use super::warrant::PresentedWarrant;

/// One round of a warrant that compares authors: which two of its reviews.
#[derive(Clone, Debug)]
pub struct RoundRequest {
    /// The warrant with its blind.
    pub presented: PresentedWarrant,
    /// The review with the smaller id.
    pub a: ReviewEvidence,
    /// The other one.
    pub b: ReviewEvidence,
    /// The round's number, from 1, as its entry in the ledger says.
    pub round: u16,
}

/// What a member of a round answers before all blinds are known. Asked again it goes on from
/// where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and not for long")]
#[must_use = "an entry that is not logged compares nothing"]
pub enum RoundAnswer {
    /// This entry must stand in the openings ledger, under a published checkpoint: append it,
    /// and ask again then. Always the same bytes.
    Append(Vec<u8>),
    /// The entry is there; those of these members are not. Ask again when they are.
    Awaiting(Vec<u16>),
    /// The blind, now that all members are bound to theirs.
    Reveal(Blind),
}
