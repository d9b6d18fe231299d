//! Why a same-author test gives no answer.

use unjoin_core::describe_errors;

/// Why two reviews cannot be compared, or a trustee neither commits to a blind, nor reveals it, nor
/// releases a share in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameAuthorError {
    /// The warrant does not compare authors.
    Action,
    /// Not all reviews of the warrant are charged by this trustee.
    NotCharged,
    /// The round's entry is not in the ledger.
    NotLogged,
    /// The round that the ledger fixed has fewer than t members, or one that is no trustee.
    LoggedMembers,
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
    /// The two reviews are one, or are not in the order of their ids.
    Pair,
    /// Only `E2a = E2b`.
    OnlySecondEqual,
    /// `E1a = E1b`: the answer is public, no round is run.
    NoRound,
    /// The member set has fewer than t distinct members, or the blinds are not theirs.
    Members,
    /// These members' blinds do not verify.
    Culprits(Vec<u16>),
    /// The blinds cancel: members colluded.
    SumIsIdentity,
}

describe_errors!(SameAuthorError {
    Self::Action => "round.action", Host, false,
        "the warrant opens reviews and compares none: present one for the action same-author";
    Self::NotCharged => "round.not_charged", Host, true,
        "rounds are run when all reviews of the warrant are charged: ask this trustee to answer for each of them first";
    Self::NotLogged => "round.not_logged", Host, true,
        "the round's entry is not in the openings ledger under a published checkpoint: log it, and ask again when it is";
    Self::LoggedMembers => "round.members", Host, false,
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
    Self::Pair => "same_author.pair", Host, false, "compare two different reviews, the smaller id first";
    Self::OnlySecondEqual => "same_author.only_e2", Operator, false,
        "only the second parts of the escrows are equal: no answer is given; report it";
    Self::NoRound => "same_author.no_round", Host, false,
        "the first parts of the escrows are equal: the answer is public, run no round";
    Self::Members => "same_author.members", Operator, false,
        "a round needs the blinds of exactly its t or more distinct members";
    Self::Culprits(indices) => "same_author.culprits", Operator, false,
        "the blinds of trustees {indices:?} do not verify: report them and start a new round without them";
    Self::SumIsIdentity => "same_author.cancelled", Operator, false,
        "the blinds cancel each other: report it and start a new round";
});
