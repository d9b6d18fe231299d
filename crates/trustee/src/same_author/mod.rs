//! Which of some reviews have one author? Answered by t trustees without unmasking anybody.
//!
//! Each review's escrow `(E1, E2)` encrypts its author's wallet key `U` to the trustees. Every member
//! of a set multiplies all of them by a factor of its own and proves it ([`Blind`]). The members'
//! blinds, weighed and summed, encrypt `z*U` under a `z` that nobody knows. Shares that are bound to
//! this round decrypt those sums and nothing else. Equal results are one author; what they are says
//! nothing, since a `U` cannot be tried against them.
//!
//! A [`Comparison`] drives a round over all reviews of a warrant; each member answers by
//! [`Trustee::blind`](super::service::Trustee::blind) and
//! [`Trustee::compare`](super::service::Trustee::compare). The manual's chapter has the argument.

mod blinding;
mod comparison;
mod error;
mod round;

#[doc(hidden)]
pub use blinding::BlindingFactor;
pub use blinding::{Blind, ComparedReviews};
pub(crate) use comparison::compared;
pub use comparison::{Comparison, ComparisonPanel, ComparisonRound};
pub use error::SameAuthorError;
pub use round::ComparisonShare;
#[doc(hidden)]
pub use round::{CheckedRound, ComparisonContext};
#[cfg(test)]
pub(crate) use {blinding::composite, round::factor};

use super::warrant::PresentedWarrant;
use super::{ReviewEvidence, SealedShare};
use unjoin_core::token::ReviewId;

/// A round of a warrant that compares authors.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
/// # let trustees = world.all_trustees();
/// # let mut comparison = world.comparison(&world.compared(&trustees), &trustees);
/// let request = comparison.next_round()?.request;
/// assert_eq!((request.round, request.reviews.len()), (1, 2));
/// // The evidence of exactly the warrant's reviews.
/// assert!(request.reviews.iter().all(|review| request.presented.terms().names(&review.presentation.review_id())));
/// # Ok::<(), unjoin_trustee::same_author::SameAuthorError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RoundRequest {
    /// The warrant with its blind.
    pub presented: PresentedWarrant,
    /// The evidence of all its reviews, rising by id.
    pub reviews: Vec<ReviewEvidence>,
    /// The round's number, from 1, as its entry in the ledger says.
    pub round: u16,
}

/// What a member of a round answers. Asked again it goes on from where it was.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets, officer_of};
/// # use unjoin_core::wire::Message;
/// use unjoin_trustee::same_author::RoundAnswer;
/// # let world = World::new(1, 1, 2, budgets(9, 9, 9));
/// # let (trustees, ledger) = (world.all_trustees(), &world.openings);
/// # let presented = world.compared(&trustees);
/// # let mut comparison = world.comparison(&presented, &trustees);
/// # let round = comparison.next_round()?;
/// # world.log(&[comparison.entry(&round, &officer_of(&presented))?.to_bytes()]);
/// # let trustee = &trustees[0];
/// // A member is bound to its blind in the ledger, and shows it then.
/// let RoundAnswer::Append(entry) = trustee.blind(&round.request, ledger)? else { panic!("not bound yet") };
/// world.log(&[entry]);
/// assert!(matches!(trustee.blind(&round.request, ledger)?, RoundAnswer::Reveal(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(clippy::large_enum_variant, reason = "one is held at a time")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an entry that is not logged compares nothing"]
pub enum RoundAnswer {
    /// This entry must be in the openings ledger, under a published checkpoint: append it,
    /// and ask again then. Always the same bytes.
    Append(Vec<u8>),
    /// The entry is there; those of these members are not. Ask again when they are.
    Awaiting(Vec<u16>),
    /// The blind, now that all members are bound to theirs.
    Reveal(Blind),
    /// The share, sealed to the warrant's recipient. Asked again it is the same share, sealed
    /// again.
    Released(SealedShare),
}

/// The reviews of a comparison by author. It names nobody.
///
/// ```
/// use unjoin_core::token::ReviewId;
/// use unjoin_trustee::same_author::AuthorClasses;
/// let [a, b, c] = [1, 2, 3].map(|id| ReviewId([id; 32]));
/// let classes = AuthorClasses { authors: vec![vec![a, c], vec![b]], nobody: vec![] };
/// // Two authors: one wrote two of the three. Who they are is not told.
/// assert!(classes.authors.iter().any(|author| author.contains(&a) && author.contains(&c)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorClasses {
    /// The reviews of each author, rising by id; the author of the smallest id first.
    pub authors: Vec<Vec<ReviewId>>,
    /// Reviews of a wallet whose secret is zero, which is no customer's: only a stolen issuing key
    /// mints its tokens.
    pub nobody: Vec<ReviewId>,
}
