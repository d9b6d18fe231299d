//! Why a trustee takes no part, or no further part, in a same-author round.

use crate::error::describe_errors;
use crate::opening::SameAuthorError;

/// Why a trustee neither commits to a blind, nor reveals it, nor releases a share in a
/// same-author round.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoundError {
    /// The warrant does not compare authors.
    Action,
    /// Not all reviews of the warrant are charged by this trustee.
    NotCharged,
    /// The round's entry is not in the ledger.
    NotLogged,
    /// The round that the ledger fixed has fewer than t members, or one that is no trustee.
    Members,
    /// This trustee is not a member of the round.
    NotMember,
    /// The ledger's commitment for this trustee's blind is not that of the blind in its store.
    Foreign,
    /// The trustee's blind for this round is for another pair.
    OtherPair,
    /// These members have not committed to their blinds.
    Awaiting(Vec<u16>),
    /// The blinds of these members are not those that they committed to.
    Uncommitted(Vec<u16>),
    /// The trustee has released its share of this round.
    Used,
    /// The pair or its blinds are refused.
    Test(SameAuthorError),
}

describe_errors!(RoundError {
    Self::Action => "round.action", Host, false,
        "the warrant opens reviews and compares none: present one for the action same-author";
    Self::NotCharged => "round.not_charged", Host, true,
        "rounds are run when all reviews of the warrant are charged: ask this trustee to answer for each of them first";
    Self::NotLogged => "round.not_logged", Host, true,
        "the round's entry is not in the openings ledger under a published checkpoint: log it, and ask again when it is";
    Self::Members => "round.members", Host, false,
        "the ledger's first entry of the round names fewer than t members, or one that is no trustee: log a new round";
    Self::NotMember => "round.not_member", Host, false,
        "this trustee is no member of the round as the ledger's first entry of it says: ask the members";
    Self::Foreign => "round.foreign", Operator, false,
        "the ledger holds a commitment for this trustee's blind that its store does not know: an old copy of the store \
         was put back, or somebody else logged it. Log a new round";
    Self::OtherPair => "round.other_pair", Host, false,
        "this trustee's part in the round is for another pair of reviews: log a new round for this one";
    Self::Awaiting(members) => "round.awaiting", Host, true,
        "the ledger does not hold the commitments of trustees {members:?} to their blinds: log them first";
    Self::Uncommitted(members) => "round.uncommitted", Operator, false,
        "the blinds of trustees {members:?} are not those that they committed to: report them and log a new round \
         without them";
    Self::Used => "round.used", Host, false,
        "this trustee has released its one share of the round: ask for it with the same blinds, or log a new round";
    Self::Test(error) => "round.test", Host, false, "{error}";
});

impl From<SameAuthorError> for RoundError {
    fn from(error: SameAuthorError) -> Self {
        Self::Test(error)
    }
}
