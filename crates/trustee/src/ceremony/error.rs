//! Why a ceremony stops, and who is to blame.

use super::Round;
use unjoin_core::describe_errors;

/// What a trustee did wrong, provably: the plan and the messages are the proof, and
/// [`observe`](super::observe) comes to the same result for everybody.
///
/// ```
/// use unjoin_trustee::ceremony::{CeremonyError, Fault};
/// /// Who is left out of the next plan.
/// fn culprits(error: &CeremonyError) -> Vec<u16> {
///     match error {
///         CeremonyError::Culprits(faults) => faults.iter().map(|(index, _)| *index).collect(),
///         _ => vec![],
///     }
/// }
/// assert_eq!(culprits(&CeremonyError::Culprits(vec![(2, Fault::Share(3))])), [2]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// Signed two different messages of one round.
    Equivocation(Round),
    /// Joined with a key to which nothing can be sealed.
    RecipientKey,
    /// Committed to a polynomial of another degree.
    Degree,
    /// Does not prove that the committed coefficient is their own, in this session.
    Possession,
    /// Left out what the round asks for.
    Incomplete(Round),
    /// Sealed a share to this member that is not on the committed polynomial.
    Share(u16),
    /// Complained although every share to them was good, or without being able to show it.
    FalseComplaint,
    /// Signed the result with a signature that does not hold.
    Signature,
}

/// One trustee heard something else of another than we did: one of the two lies. Put the two
/// trustees' copies of the messages together: two different signed messages convict their
/// sender, and a reporter who can show none has lied.
///
/// ```
/// use unjoin_trustee::ceremony::{CeremonyError, Disagreement, Round};
/// // Trustee 3 heard another commitment of trustee 1 than the others did: one of the two lies.
/// let differs = Disagreement { round: Round::Commitment, reporter: 3, about: Some(1) };
/// let error = CeremonyError::Disagreement(vec![differs]);
/// assert_eq!((error.code(), error.is_retryable()), ("ceremony.disagreement", false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disagreement {
    /// The round of the message that differs.
    pub round: Round,
    /// Who heard something else.
    pub reporter: u16,
    /// Of whom; `None` when the sum of the rounds differs.
    pub about: Option<u16>,
}

describe_errors! {
    /// Why there is no such plan or committee, or a ceremony does not go on. No key comes of that one:
    /// begin again with another plan.
    ///
    /// ```
    /// use unjoin_core::secret::SystemRng;
    /// use unjoin_trustee::{TrusteeSecrets, ceremony::CeremonyError};
    /// let rng = &mut SystemRng::new();
    /// let idle = TrusteeSecrets::generate(rng).next(&[], rng);
    /// assert_eq!(idle.unwrap_err(), CeremonyError::Idle);
    /// ```
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum CeremonyError (Operator, false) {
        /// These members, by their indices, are at fault.
        Culprits(culprits: Vec<(u16, Fault)>) => "ceremony.culprits",
            "the ceremony ends without a key: {culprits:?}; keep the messages as proof, begin anew without them";
        /// Members heard different things.
        Disagreement(points: Vec<Disagreement>) => "ceremony.disagreement",
            "the ceremony ends without a key, members heard different things: {points:?}; put all copies together";
        /// A message of our own is there that we did not write. Somebody else has our key, or an
        /// older copy of our secrets was used.
        Impersonated(round: Round) => "ceremony.impersonated",
            "a {round:?} message of this trustee is there that these secrets did not write: stop, and find out \
             whose it is";
        /// The plan names another committee, or the trustee is not a member of it.
        Plan => "ceremony.plan", "the plan is not for this trustee, or not for the committee that they are in";
        /// No ceremony is under way for this trustee.
        Idle => "ceremony.idle" (Host, false), "no ceremony is under way: join one first";
        /// Another ceremony is under way.
        Busy => "ceremony.busy" (Host, false), "another ceremony is under way: finish or abandon it first";
        /// This trustee has signed a new key: others may have finished with it.
        Signed => "ceremony.signed",
            "this trustee has signed the new key, so others may hold it: collect all copies of the last \
             messages, or make another key with fresh secrets";
        /// The ledger has no committee of the next epoch.
        Unlogged => "ceremony.unlogged" (Operator, true),
            "the openings ledger has no committee of the next epoch: log the signed committee and wait for its \
             checkpoint";
        /// The ledger's committee of the next epoch is of a ceremony in which this trustee did not take part.
        LeftOut => "ceremony.left_out",
            "the ledger's next committee was made without this trustee: the share is of no use any more, make a \
             new key";
        /// Too many ceremonies of one refresh came so far that the ledger may decide for any of them.
        Undecided => "ceremony.undecided",
            "the members of several refreshes were content, and none is in the ledger: log one of them, then \
             commit";
        /// A sum came out as zero: of negligible probability among honest members.
        Degenerate => "ceremony.degenerate",
            "the sum of the polynomials came out degenerate: begin anew with another plan";
        /// A plan's threshold is out of range, or 1 in a refresh.
        Threshold => "plan.threshold", "the threshold is 1 to n, and at least 2 where shares are refreshed";
        /// The members of a refresh are not at least t rising indices of the committee's trustees.
        Members => "plan.members", "a refresh takes at least t of the committee's own n trustees, in rising order";
        /// A committee's t, n or epoch is out of range.
        Size => "committee.size", "a committee needs 1 <= t <= n <= 64 and an epoch from 1";
        /// A committee's verification shares are not a sharing of the key with this threshold.
        Inconsistent => "committee.inconsistent",
            "the verification shares do not belong to this key and threshold: take the logged committee entry";
    }
}
