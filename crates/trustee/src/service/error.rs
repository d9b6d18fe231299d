//! Why a trustee does not answer. For the trustee's officer: which rule, and what would
//! satisfy it; never a review, an identity or a share.

use crate::EvidenceRefusal;
use crate::same_author::SameAuthorError;
use crate::warrant::{Excess, WarrantError};
use unjoin_core::describe_errors;
use unjoin_log::{PolicyError, ViewError};
use unjoin_store::StoreError;

/// Why a trustee could not be set up, did not follow the ledger, or did not answer.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_core::entry::WarrantAction;
/// use unjoin_trustee::service::TrusteeError;
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (trustee, presented) = (&world.all_trustees()[0], world.sign(world.terms(WarrantAction::Open, &[0])));
/// # world.publish();
/// // Signed by two officers, and in no ledger: nobody would ever hear of it.
/// let error = trustee.answer(&world.request(&presented, 0), &world.openings).unwrap_err();
/// assert!(matches!(error, TrusteeError::NotLogged));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TrusteeError {
    /// The secrets hold no share.
    NoShare,
    /// The budgets' window is zero.
    Window,
    /// The ledger has published no checkpoint.
    Unpublished,
    /// Its checkpoint is not believed.
    Checkpoint(PolicyError),
    /// The ledger could not be read.
    View(ViewError),
    /// It shows fewer entries than this trustee has seen.
    Behind,
    /// A quorum has cosigned a history that does not go on from what this trustee has seen. It has another root
    /// for the same size, or entries that have the new root and not the old one.
    Forked,
    /// It holds releases of this trustee that its own disk knows nothing of.
    RolledBack,
    /// The warrant is refused.
    Warrant(WarrantError),
    /// The warrant does not name the review.
    NotNamed,
    /// The evidence does not show a published review.
    Evidence(EvidenceRefusal),
    /// The warrant's commitment is not in the ledger.
    NotLogged,
    /// The warrant's entry says another requester, action or tags than the warrant.
    EntryDiffers,
    /// A review of a same-author warrant was opened before, and the entry charges a comparison.
    ChargeAsOpening,
    /// A budget has no room; nothing was written.
    Budget(Excess),
    /// The release was logged where a budget had no room: for good.
    Void(Excess),
    /// The part in a same-author round is refused.
    Round(SameAuthorError),
    /// The share does not belong to its committee.
    Share,
    /// The share could not be sealed to the warrant's recipient.
    Seal,
    /// The trustee's store.
    Store(StoreError),
}

describe_errors!(TrusteeError {
    Self::NoShare => "trustee.no_share", Operator, false,
        "the trustee's secrets hold no share: finish the key ceremony first";
    Self::Window => "trustee.window", Operator, false, "a budget needs a window of at least one second";
    Self::Unpublished => "trustee.unpublished", Host, true,
        "the openings ledger has not published a checkpoint yet: ask again when it has";
    Self::Checkpoint(error) => "trustee.checkpoint", Host, true,
        "the openings ledger's checkpoint is not believed: {error}";
    Self::View(error) => "trustee.view", Host, true, "the openings ledger could not be read: {error}";
    Self::Behind => "trustee.behind", Operator, true,
        "the openings ledger shows fewer entries than this trustee has seen: ask again for the whole of it; if that \
         stays, it was cut off, and the kept checkpoint proves it";
    Self::Forked => "trustee.forked", Operator, false,
        "the openings ledger does not go on from what this trustee has seen: keep its checkpoint and entries, they \
         prove it, and tell the other trustees";
    Self::RolledBack => "trustee.rolled_back", Operator, false,
        "the ledger holds releases of this trustee that its store does not know: an old copy of the store was put \
         back, or somebody else signs with its key. Find out which; after the former, resynchronise";
    Self::Warrant(error) => "trustee.warrant", Host, false, "{error}";
    Self::NotNamed => "trustee.not_named", Host, false, "the warrant does not name the review of the evidence";
    Self::Evidence(error) => "trustee.evidence", Host, false, "{error}";
    Self::NotLogged => "trustee.not_logged", Host, true,
        "the warrant's entry is not in the openings ledger under a published checkpoint, or none of its requester's keys \
         signed it: log it, and ask again when it is";
    Self::EntryDiffers => "trustee.entry_differs", Host, false,
        "the warrant's entry in the ledger has another requester, action or list of tags than the warrant: log it anew \
         under a new blind, as it is";
    Self::ChargeAsOpening => "trustee.charge_as_opening", Host, false,
        "a review of the warrant was opened before, so the comparison could name the others' author: log the warrant \
         anew under a new blind, charged as an opening";
    Self::Budget(excess) => "trustee.budget", Host, true, "nothing was logged or released: {excess}";
    Self::Void(excess) => "trustee.void", Host, false,
        "the release was logged when the budget was used up already, so it is void for good ({excess}): log the \
         warrant anew under a new blind";
    Self::Round(error @ (SameAuthorError::NotCharged | SameAuthorError::NotLogged | SameAuthorError::Awaiting(_))) =>
        "trustee.round_early", Host, true, "{error}";
    Self::Round(error) => "trustee.round", Host, false, "{error}";
    Self::Share => "trustee.share", Operator, false,
        "the trustee's share does not belong to its committee: unseal the secrets of this epoch";
    Self::Seal => "trustee.seal", Host, false,
        "the share could not be sealed to the warrant's recipient: log a warrant with a usable recipient key";
    Self::Store(error) => "trustee.store", Operator, true, "{error}";
});

impl From<StoreError> for TrusteeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ViewError> for TrusteeError {
    fn from(error: ViewError) -> Self {
        Self::View(error)
    }
}

impl From<PolicyError> for TrusteeError {
    fn from(error: PolicyError) -> Self {
        Self::Checkpoint(error)
    }
}

impl From<WarrantError> for TrusteeError {
    fn from(error: WarrantError) -> Self {
        Self::Warrant(error)
    }
}

impl From<EvidenceRefusal> for TrusteeError {
    fn from(error: EvidenceRefusal) -> Self {
        Self::Evidence(error)
    }
}

impl From<SameAuthorError> for TrusteeError {
    fn from(error: SameAuthorError) -> Self {
        Self::Round(error)
    }
}
