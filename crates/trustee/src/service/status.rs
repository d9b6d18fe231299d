//! What an officer asks before they answer: how far the ledger was followed, and what is left.

use super::{Followed, Trustee, TrusteeError};
use crate::warrant::{Limit, PresentedWarrant};
use unjoin_core::Name;
use unjoin_core::entry::WarrantAction;
use unjoin_log::LogView;
use unjoin_store::Store;

/// Where a trustee stands.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (trustee, request) = (&world.all_trustees()[0], world.request(&world.warrant(&[0]), 0));
/// # let _ = trustee.answer(&request, &world.openings)?;
/// let status = trustee.status(None, &world.openings)?;
/// // One release was decided, and its entry is not in the ledger yet.
/// assert_eq!((status.epoch, status.pending, status.openings.all), (1, 1, 0));
/// # Ok::<(), unjoin_trustee::service::TrusteeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The openings ledger, as far as it was followed.
    pub followed: Followed,
    /// The share epoch in which this trustee answers.
    pub epoch: u32,
    /// Reviews opened.
    pub openings: Used,
    /// Reviews compared.
    pub comparisons: Used,
    /// This trustee's releases that it has decided on and the ledger does not hold yet.
    pub pending: usize,
}

/// What is charged to a budget in the window that ends now, as the ledger tells it.
///
/// ```
/// # use unjoin_trustee::test_util::world::{COURT, World, budgets};
/// # use unjoin_core::Name;
/// # let world = World::new(1, 1, 1, budgets(9, 8, 7));
/// # let trustee = &world.all_trustees()[0];
/// # let _ = world.answer(trustee, &world.warrant(&[0]), 0);
/// # let court = Name::new(COURT).unwrap();
/// let used = trustee.status(Some(&court), &world.openings)?.openings;
/// assert_eq!((used.all, used.own, used.requester), (1, 1, 1));
/// // What the court may still have in this window, if nobody is faster.
/// assert_eq!(used.limit.requester - used.requester, 6);
/// # Ok::<(), unjoin_trustee::service::TrusteeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// By all trustees together.
    pub all: u32,
    /// By this trustee.
    pub own: u32,
    /// For the requester who was asked about; 0 if none was.
    pub requester: u32,
    /// The limits.
    pub limit: Limit,
}

impl<S: Store> Trustee<S> {
    /// Follows the ledger, and tells what of the budgets is used up; with a requester, what
    /// of theirs. What is left is not promised: other trustees may be faster.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn status(&self, requester: Option<&Name>, ledger: &dyn LogView) -> Result<Status, TrusteeError> {
        let following = self.follow_locked(ledger)?;
        let followed = following.followed();
        let budgets = &self.policy.budgets;
        let used = |action| {
            let (index, name) = (self.index(), requester.map(Name::as_bytes));
            let (all, own, requester) =
                following.register.used(budgets.window, action, index, name, followed.time);
            Used { all, own, requester, limit: *budgets.limit(action) }
        };
        Ok(Status {
            followed,
            epoch: self.share.epoch(),
            openings: used(WarrantAction::Open),
            comparisons: used(WarrantAction::SameAuthor),
            pending: following.pending.len(),
        })
    }

    /// Follows the ledger, and tells where it holds a warrant's entry, as
    /// [`answer`](Self::answer) counts it, and as what its reviews are charged.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn logged(
        &self,
        presented: &PresentedWarrant,
        ledger: &dyn LogView,
    ) -> Result<Option<(u64, WarrantAction)>, TrusteeError> {
        let following = self.follow_locked(ledger)?;
        let logged = following.register.warrant(&presented.commitment());
        let logged = logged.filter(|logged| presented.is_announced_by(logged.entry()));
        Ok(logged.map(|logged| (logged.index(), logged.entry().action())))
    }
}
