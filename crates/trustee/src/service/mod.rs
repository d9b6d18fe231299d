//! A trustee's service: follows the openings ledger, and answers warrants with shares.
//!
//! ```text
//! warrant, evidence --answer--> Append(entry)   the intent is on this trustee's disk
//!        the platform logs the entry, witnesses cosign
//! warrant, evidence --answer--> Released(share) the entry's place in the ledger is within budget
//! ```
//!
//! The budgets are counted in the ledger, up to the trustee's own entry and not beyond. So all honest
//! trustees judge one entry alike, and none can be hurried past a limit. The manual's chapter on
//! openings has the proof of the bound.

mod answer;
mod error;
mod following;
mod round;
mod rows;
mod status;
#[cfg(test)]
mod tests;

pub use answer::{OpeningAnswer, OpeningRequest};
pub use error::TrusteeError;
pub use following::Followed;
pub use status::{Status, Used};

use super::warrant::{BudgetPolicy, RegisterTrust, WarrantPolicy};
use super::{Committee, TrusteeSecrets, TrusteeShare};
use following::Following;
use rows::Rows;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unjoin_core::Environment;
use unjoin_core::token::{IssuerPublicKey, TrusteeKey};
use unjoin_log::WitnessPolicy;
use unjoin_store::identity::Role;
use unjoin_store::{OwnStore, Store};

/// Whom and what a trustee believes, and how much it gives away.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # use unjoin_trustee::warrant::Limit;
/// use unjoin_trustee::service::TrusteePolicy;
/// # let world = World::new(1, 1, 0, budgets(9, 8, 7));
/// # let TrusteePolicy { issuers, warrants, budgets, reviews, openings } = world.policy.clone();
/// let policy = TrusteePolicy { issuers, warrants, budgets, reviews, openings };
/// assert_eq!(policy.budgets.opening, Limit { all: 9, own: 8, requester: 7 });
/// assert_ne!(policy.reviews.log(), policy.openings.log());
/// ```
#[derive(Clone, Debug)]
pub struct TrusteePolicy {
    /// The issuer keys whose reviews it opens.
    pub issuers: Vec<IssuerPublicKey>,
    /// Who may ask for what.
    pub warrants: WarrantPolicy,
    /// How many reviews in which time.
    pub budgets: BudgetPolicy,
    /// The reviews ledger and its witnesses.
    pub reviews: WitnessPolicy,
    /// The openings ledger and its witnesses.
    pub openings: WitnessPolicy,
}

/// One trustee, with a store of its own that nobody restores from a backup unsaid.
///
/// Threads may share it. One process at a time should serve a store; two that do exceed no
/// budget, but may waste some of it.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets, own};
/// # use std::sync::Arc;
/// # use unjoin_store::MemoryStore;
/// use unjoin_trustee::service::{OpeningAnswer, Trustee};
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let (secrets, policy, environment) = (world.secrets(1), world.policy.clone(), world.environment());
/// # let store = own(&secrets, &Arc::new(MemoryStore::new()));
/// # let request = world.request(&world.warrant(&[0]), 0);
/// let trustee = Trustee::open(store, secrets, policy, environment)?;
/// assert_eq!(trustee.index(), 1);
/// // It answers a warrant that is in the ledger, at first with what must be there, too.
/// assert!(matches!(trustee.answer(&request, &world.openings)?, OpeningAnswer::Append(_)));
/// # Ok::<(), unjoin_trustee::service::TrusteeError>(())
/// ```
pub struct Trustee<S: Store> {
    store: Arc<OwnStore<S>>,
    identity: TrusteeKey,
    share: TrusteeShare,
    committee: Committee,
    trust: RegisterTrust,
    policy: TrusteePolicy,
    environment: Environment,
    rows: Rows,
    following: Mutex<Following>,
}

impl<S: Store> Trustee<S> {
    /// Opens the service of a trustee whose key ceremony is finished. It answers with the share
    /// of this epoch only; after a refresh open it again with the new secrets. The store was made for this trustee's
    /// key once ([`TrusteeSecrets::roster`]): one that is missing or another's is not taken for an unused budget.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use unjoin_core::secret::SystemRng;
    /// use unjoin_store::{MemoryStore, Stores, identity::Role};
    /// use unjoin_trustee::TrusteeSecrets;
    /// let rng = &mut SystemRng::new();
    /// let (secrets, store) = (TrusteeSecrets::generate(rng), Arc::new(MemoryStore::new()));
    /// // Once; from then on, `Stores::open`.
    /// let stores = Stores::create(&secrets.roster(), [(Role::Trustee, store)], rng)?;
    /// let own = stores.own(Role::Trustee)?;
    /// # let _ = own;
    /// # Ok::<(), unjoin_store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// [`TrusteeError::NoShare`]; [`TrusteeError::Window`] when the budgets have no window; [`TrusteeError::Store`] when the
    /// store is for something else, or another trustee's.
    pub fn open(
        store: Arc<OwnStore<S>>,
        secrets: TrusteeSecrets,
        policy: TrusteePolicy,
        environment: Environment,
    ) -> Result<Self, TrusteeError> {
        let (identity, share, committee, trustees) = secrets.into_parts().ok_or(TrusteeError::NoShare)?;
        if policy.budgets.window == 0 {
            return Err(TrusteeError::Window);
        }
        store.is_of_key(Role::Trustee, identity.public().as_bytes())?;
        let rows = Rows::new(&identity, policy.openings.log());
        let (requesters, origin) = (policy.warrants.clone(), policy.openings.log().name().clone());
        let trust = RegisterTrust { trustees, requesters, origin };
        let following = Mutex::new(Following::new(trust.clone()));
        Ok(Self { store, identity, share, committee, trust, policy, environment, rows, following })
    }

    /// The trustee's index, from 1.
    pub fn index(&self) -> u16 {
        self.share.index()
    }

    /// The policy.
    pub fn policy(&self) -> &TrusteePolicy {
        &self.policy
    }

    /// The openings ledger's origin, which every signature of this trustee in it names.
    fn origin(&self) -> &str {
        self.trust.origin.as_str()
    }

    /// A poisoned lock is taken over, and what a panic may have left half done is begun again.
    fn lock(&self) -> MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(|poisoned: PoisonError<MutexGuard<'_, Following>>| {
            let mut following = poisoned.into_inner();
            following.begin_anew(self.trust.clone());
            self.following.clear_poison();
            following
        })
    }
}

// Prints nothing of its keys or of what it has seen.
unjoin_core::opaque!(Trustee<S: Store> |trustee| index = trustee.index());
