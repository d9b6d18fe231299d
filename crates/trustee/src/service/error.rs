//! Why a trustee does not answer. For the trustee's officer: which rule, and what would
//! satisfy it; never a review, an identity or a share.

use crate::EvidenceRefusal;
use crate::same_author::SameAuthorError;
use crate::warrant::{Excess, WarrantError};
use unjoin_core::describe_errors;
use unjoin_log::{PolicyError, ViewError};
use unjoin_store::StoreError;

describe_errors! {
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
    pub enum TrusteeError (Host, false) {
        /// The secrets hold no share.
        NoShare => "trustee.no_share" (Operator, false),
            "the trustee's secrets hold no share: finish the key ceremony first";
        /// The budgets' window is zero.
        Window => "trustee.window" (Operator, false), "a budget needs a window of at least one second";
        /// The ledger has published no checkpoint.
        Unpublished => "trustee.unpublished" (Host, true),
            "the openings ledger has not published a checkpoint yet: ask again when it has";
        /// Its checkpoint is not believed.
        Checkpoint(#[from] error: PolicyError) => "trustee.checkpoint" (Host, true),
            "the openings ledger's checkpoint is not believed: {error}";
        /// The ledger could not be read.
        View(#[from] error: ViewError) => "trustee.view" (Host, true), "the openings ledger could not be read: {error}";
        /// It shows fewer entries than this trustee has seen.
        Behind => "trustee.behind" (Operator, true),
            "the openings ledger shows fewer entries than this trustee has seen: ask again for the whole of it; \
             if that stays, it was cut off, and the kept checkpoint proves it";
        /// A quorum has cosigned a history that does not go on from what this trustee has seen. It has another root
        /// for the same size, or entries that have the new root and not the old one.
        Forked => "trustee.forked" (Operator, false),
            "the openings ledger does not go on from what this trustee has seen: keep its checkpoint and \
             entries, they prove it, and tell the other trustees";
        /// It holds releases of this trustee that its own disk knows nothing of.
        RolledBack => "trustee.rolled_back" (Operator, false),
            "the ledger holds releases of this trustee that its store does not know: an old copy of the store \
             was put back, or somebody else signs with its key. Find out which; after the former, resynchronise";
        /// The warrant is refused.
        Warrant(#[from] error: WarrantError) => "trustee.warrant", "{error}";
        /// The warrant does not name the review.
        NotNamed => "trustee.not_named", "the warrant does not name the review of the evidence";
        /// The evidence does not show a published review.
        Evidence(#[from] error: EvidenceRefusal) => "trustee.evidence", "{error}";
        /// The warrant's commitment is not in the ledger.
        NotLogged => "trustee.not_logged" (Host, true),
            "the warrant's entry is not in the openings ledger under a published checkpoint, or none of its \
             requester's keys signed it: log it, and ask again when it is";
        /// The warrant's entry says another requester, action or tags than the warrant.
        EntryDiffers => "trustee.entry_differs",
            "the warrant's entry in the ledger has another requester, action or list of tags than the warrant: \
             log it anew under a new blind, as it is";
        /// A review of a same-author warrant was opened before, and the entry charges a comparison.
        ChargeAsOpening => "trustee.charge_as_opening",
            "a review of the warrant was opened before, so the comparison could name the others' author: log the \
             warrant anew under a new blind, charged as an opening";
        /// A budget has no room; nothing was written.
        Budget(excess: Excess) => "trustee.budget" (Host, true), "nothing was logged or released: {excess}";
        /// The release was logged where a budget had no room: for good.
        Void(excess: Excess) => "trustee.void",
            "the release was logged when the budget was used up already, so it is void for good ({excess}): log \
             the warrant anew under a new blind";
        /// The part in a same-author round is refused.
        Round(#[from] error: SameAuthorError) => "trustee.round", "{error}";
        but Self::Round(error @ (
            SameAuthorError::NotCharged | SameAuthorError::NotLogged | SameAuthorError::Awaiting(_)
        )) =>

            "trustee.round_early" (Host, true), "{error}";
        /// The share does not belong to its committee.
        Share => "trustee.share" (Operator, false),
            "the trustee's share does not belong to its committee: unseal the secrets of this epoch";
        /// The share could not be sealed to the warrant's recipient.
        Seal => "trustee.seal",
            "the share could not be sealed to the warrant's recipient: log a warrant with a usable recipient key";
        /// The trustee's store.
        Store(#[from] error: StoreError) => "trustee.store" (Operator, true), "{error}";
    }
}
