//! Why something is no warrant or no policy, or trustees do not answer it.

use unjoin_core::{Timestamp, describe_errors};
use unjoin_log::NoteError;

describe_errors! {
    /// Why something is no warrant, some requesters are no policy, or a policy refuses a warrant.
    ///
    /// ```
    /// use unjoin_trustee::warrant::{WarrantError, WarrantPolicy};
    /// # use unjoin_trustee::test_util::world::{World, budgets};
    /// # let world = World::new(1, 1, 0, budgets(9, 9, 9));
    /// # let court = world.policy.warrants.requesters()[0].clone();
    /// // Twice the same requester.
    /// let refused = WarrantPolicy::new(vec![court.clone(), court]);
    /// assert_eq!(refused.map(|_| ()), Err(WarrantError::Names));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum WarrantError (Host, false) {
        /// Not a signed note, or one that is too long.
        Note(#[from] error: NoteError) => "warrant.note", "{error}";
        /// The line with this name is missing or not in its one form.
        Line(name: &'static str) => "warrant.line",
            "the warrant's line {name} is missing or not in its one form: take the text unchanged, or write it \
             anew";
        /// The case's reference.
        Case => "warrant.case",
            "a case's reference has 1 to {} bytes that show as themselves, no space before or behind",
            super::WarrantTerms::MAX_CASE;
        /// The last second is before the first.
        Validity => "warrant.validity", "a warrant ends no earlier than it begins";
        /// The recipient's key cannot be sealed to.
        Recipient => "warrant.recipient",
            "the recipient is not a usable X25519 public key: take a recipient key's public half";
        /// Too few or too many reviews, one twice, or in the text out of order.
        Reviews => "warrant.reviews",
            "a warrant names 1 to {} different reviews in rising order, at least two to compare authors",
            super::WarrantTerms::MAX_REVIEWS;
        /// The requester is none that is configured.
        Requester => "warrant.requester",
            "the warrant's requester is not one of those whom the trustees have agreed to answer";
        /// A line claims to be of one of the requester's keys and does not verify.
        Signature => "warrant.signature",
            "a signature that claims one of the requester's keys does not verify: have the warrant signed anew";
        /// Too few of the requester's keys have signed.
        TooFewSignatures {
            /// How many have.
            signed: usize,
            /// How many must.
            needed: usize,
        } => "warrant.too_few_signatures",
            "{signed} of the requester's keys have signed, and {needed} must: have more officers sign";
        /// The requester may not ask for this.
        Action => "warrant.action", "the requester may not ask for this action: ask for one that the trustees allow it";
        /// Not on these grounds.
        Grounds => "warrant.grounds",
            "the requester may not ask on these grounds: state a code that the trustees allow it";
        /// It begins later.
        NotYetValid {
            /// When it begins.
            not_before: Timestamp,
        } => "warrant.not_yet_valid" (Host, true),
            "the warrant is valid from {} on, in seconds UTC of the ledger's time: ask again then",
            not_before.as_unix_seconds();
        /// It has ended.
        NoLongerValid {
            /// When it ended.
            not_after: Timestamp,
        } => "warrant.no_longer_valid",
            "the warrant was valid until {}, in seconds UTC of the ledger's time: a new one is needed",
            not_after.as_unix_seconds();
        /// A requester without keys, with too many, or of whom none or more than all must sign.
        Quorum => "warrant_policy.quorum" (Operator, false),
            "a requester has 1 to {} keys, of which at least one and at most all must sign", super::Requester::MAX_KEYS;
        /// A requester without an action or without grounds.
        Scope => "warrant_policy.scope" (Operator, false), "a requester needs at least one action and one grounds code";
        /// Two requesters with one name.
        Names => "warrant_policy.names" (Operator, false), "every requester needs a name of its own";
        /// Two keys with the same bytes or the same name.
        Keys => "warrant_policy.keys" (Operator, false),
            "every officer needs a key and a key's name of their own, or one could sign for two";
    }
}
