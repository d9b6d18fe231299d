//! Why a same-author test gives no answer.

use unjoin_core::describe_errors;

describe_errors! {
    /// Why reviews cannot be compared, a trustee does not take part in a round, or a round has no answer.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::world::{World, budgets};
    /// use unjoin_trustee::same_author::{Comparison, SameAuthorError};
    /// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
    /// # let evidence: Vec<_> = world.written.iter().map(|written| written.evidence.clone()).collect();
    /// // A warrant to open names somebody; it compares nobody.
    /// let to_open = world.warrant(&[0, 1]);
    /// let refused = Comparison::new(to_open, evidence, world.panel(), [1]);
    /// assert_eq!(refused.map(|_| ()), Err(SameAuthorError::Action));
    /// ```
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum SameAuthorError (Host, false) {
        /// The warrant does not compare authors.
        Action => "round.action", "the warrant opens reviews and compares none: present one for the action same-author";
        /// The reviews are not exactly those of the warrant, 2 to 64 in rising order of their ids.
        Reviews => "round.reviews",
            "give the evidence of exactly the reviews that the warrant names, 2 to 64, rising by their ids";
        /// Not all reviews of the warrant are charged by this trustee.
        NotCharged => "round.not_charged" (Host, true),
            "a round is run when all reviews of the warrant are charged: ask this trustee to answer for each of \
             them first";
        /// The round's entry is not in the ledger.
        NotLogged => "round.not_logged" (Host, true),
            "the round's entry is not in the openings ledger under a published checkpoint, or none of the \
             requester's keys signed it: log it, and ask again when it is";
        /// The round belongs to another committee than this trustee's.
        Epoch => "round.epoch",
            "the round belongs to another share epoch than this trustee's: log a new round, of the newest \
             committee";
        /// The members are fewer than t, or not all of the committee, or the blinds are not theirs.
        Members => "round.members",
            "a round needs the blinds of exactly its members, t or more who signed the newest committee: log a \
             new one";
        /// This trustee is not a member of the round.
        NotMember => "round.not_member",
            "this trustee is no member of the round as the ledger's first entry of it says: ask the members";
        /// The ledger's commitment for this trustee's blind is not that of the blind in its store.
        Foreign => "round.foreign" (Operator, false),
            "the ledger holds a commitment for this trustee's blind that its store does not know: an old copy of \
             the store was put back, or somebody else signs with its key. Log a new round";
        /// These members have not committed to their blinds.
        Awaiting(members: Vec<u16>) => "round.awaiting" (Host, true),
            "the ledger does not hold the commitments of trustees {members:?} to their blinds: log them first";
        /// The blinds of these members are not those that they committed to.
        Uncommitted(members: Vec<u16>) => "round.uncommitted" (Operator, false),
            "the blinds of trustees {members:?} are not those that they committed to: report them and log a new \
             round without them";
        /// The trustee has let its share of this round go for other blinds.
        Used => "round.used",
            "this trustee has let its one share of the round go: ask for it with the same blinds, or log a new \
             round";
        /// These members sent something bad, or nothing.
        Culprits(indices: Vec<u16>) => "round.culprits" (Operator, true),
            "trustees {indices:?} sent something bad, or nothing: report them; the next round goes without them";
        /// The blinds cancel: members colluded.
        Cancelled => "round.cancelled" (Operator, true),
            "the blinds cancel each other, which their members agreed on: report it and log a new round";
        /// Fewer than t trustees, or shares of them.
        TooFew => "round.too_few" (Operator, true), "fewer than t trustees or shares: ask more of them";
        /// No round was begun, or its blinds are not there.
        NoRound => "round.none", "begin a round, and take its blinds before its shares";
        /// All 65,535 rounds of the warrant were begun.
        Rounds => "round.rounds", "all rounds of the warrant were begun: log it anew under a new blind";
    }
}
