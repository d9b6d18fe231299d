//! Budgets: how many reviews may be opened, and how many compared, in any window of time.
//!
//! They are counted by positions in the openings ledger, never by a counter that a trustee
//! keeps: see [`OpeningsRegister::judge`](super::OpeningsRegister::judge).

use unjoin_core::entry::WarrantAction;
use unjoin_core::{Timestamp, describe_errors};

/// How many different reviews may be charged in one window.
///
/// ```
/// use unjoin_trustee::warrant::Limit;
/// // A week's: twenty by all trustees, of which one trustee gives five, and one requester gets ten.
/// let limit = Limit { all: 20, own: 5, requester: 10 };
/// assert!(limit.own <= limit.requester && limit.requester <= limit.all);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// B: by all trustees of the list together. A review that several trustees answer for counts once.
    pub all: u32,
    /// b: by this trustee alone, the second defence where t trustees are corrupt.
    pub own: u32,
    /// For one requester, by all trustees together.
    pub requester: u32,
}

/// A trustee's budgets. All trustees of a key should have the same. They hold for one list of trustees, whatever
/// keys it has made; the releases of another list in the same ledger are not counted.
///
/// ```
/// use unjoin_core::{DAY, entry::WarrantAction};
/// use unjoin_trustee::warrant::{BudgetPolicy, Limit};
/// let budgets = BudgetPolicy {
///     window: 7 * DAY,
///     cooling_off: 2 * DAY,
///     opening: Limit { all: 20, own: 20, requester: 10 },
///     comparison: Limit { all: 200, own: 200, requester: 100 },
/// };
/// assert_eq!(budgets.limit(WarrantAction::SameAuthor).all, 200);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// The length of the sliding window, in seconds; not zero.
    pub window: u64,
    /// How long a warrant must have been in the ledger before it is answered, in seconds.
    pub cooling_off: u64,
    /// Reviews opened.
    pub opening: Limit,
    /// Reviews compared with others, under warrants that name nobody.
    pub comparison: Limit,
}

impl BudgetPolicy {
    /// The limit for reviews that are charged as this action.
    pub fn limit(&self, action: WarrantAction) -> &Limit {
        match action {
            WarrantAction::Open => &self.opening,
            WarrantAction::SameAuthor => &self.comparison,
        }
    }
}

/// One review under one warrant, as a trustee charges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The trustee's index.
    pub trustee: u16,
    /// The warrant's commitment.
    pub commitment: [u8; 32],
    /// The review's tag under that warrant.
    pub tag: [u8; 32],
    /// The median witness time of the last checkpoint that the trustee had seen when it decided:
    /// its entry came later.
    pub since: Timestamp,
}

describe_errors! {
    /// Which budget a release would exceed, or has exceeded.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::world::{World, budgets};
    /// use unjoin_trustee::{service::TrusteeError, warrant::Excess};
    /// # let world = World::new(1, 1, 2, budgets(9, 1, 9));
    /// # let (trustee, warrant) = (&world.all_trustees()[0], world.warrant(&[0, 1]));
    /// # let _ = world.answer(trustee, &warrant, 0);
    /// // One review a week by this trustee, and it was opened.
    /// let refused = trustee.answer(&world.request(&warrant, 1), &world.openings);
    /// assert!(matches!(refused, Err(TrusteeError::Budget(Excess::Own(1)))));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Excess (Operator, true) {
        /// The warrant's entry does not list the review.
        Unlisted => "budget.unlisted" (Host, false),
            "the warrant's entry does not list the review: log the warrant anew under a new blind";
        /// The trustee did not sign the newest committee in the ledger.
        Committee => "budget.committee" (Operator, false),
            "this trustee did not sign the newest committee in the openings ledger: ask those who did, or log \
             the committee that it signed";
        /// B.
        All(limit: u32) => "budget.all",
            "all trustees together have used up a window's limit (reviews: {limit}): wait until earlier ones \
             have left it";
        /// b.
        Own(limit: u32) => "budget.own",
            "this trustee has used up a window's limit (reviews: {limit}): ask other trustees, or wait";
        /// The requester's.
        Requester(limit: u32) => "budget.requester",
            "this requester has used up a window's limit (reviews: {limit}): it waits until earlier ones have \
             left it";
    }
}
