//! Opening a review's author under due process: the trustees' key ceremony, their committee,
//! their decryption shares, and the test whether two reviews have one author.
//!
//! Warrants, budgets and the trustee's service are not built yet. [`insecure_test_dealer`]
//! shortens tests; no platform may use it.

mod ceremony;
mod combine;
mod committee;
mod partition;
mod same_author;
mod share;
mod signed_committee;
mod test_dealer;
mod trustee_secrets;

pub use ceremony::{
    CeremonyError, CeremonyPlan, Culprit, Disagreement, Fault, PlanError, Round, RoundMessage, Step, observe,
};
pub use combine::{OpeningError, combine};
pub use committee::{Committee, CommitteeError, TrusteeShare};
pub use partition::Partition;
pub use same_author::{Blind, BlindingFactor, Pair, SameAuthorError, SameAuthorRound, without_round};
pub use share::{DecryptionShare, ShareAction, ShareContext};
pub use signed_committee::SignedCommittee;
pub use test_dealer::insecure_test_dealer;
pub use trustee_secrets::{SealedTrusteeSecrets, TrusteeSecrets};
