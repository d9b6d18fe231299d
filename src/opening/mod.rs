//! Opening a review's author under due process: the trustees' key ceremony, their committee,
//! their decryption shares, and the test whether two reviews have one author; what is asked of
//! them ([`Warrant`]), what shows them which review it is about ([`ReviewEvidence`]), and what
//! convinces everybody else ([`Opening`]); and a trustee's service ([`Trustee`]), which answers
//! within budgets that are counted in the openings ledger, and takes part in rounds of the
//! same-author test, which a [`Comparison`] drives over many reviews.
//!
//! [`insecure_test_dealer`] shortens tests; no platform may use it.

mod budget;
mod ceremony;
mod combine;
mod committee;
mod comparison;
mod evidence;
mod opened;
mod partition;
mod register;
mod same_author;
mod sealed_share;
mod sealing;
mod share;
mod signed_committee;
mod test_dealer;
mod trustee;
mod trustee_secrets;
mod warrant;
mod warrant_policy;
mod warrant_terms;

pub use budget::{BudgetPolicy, Claim, Excess, Limit};
pub use ceremony::{
    CeremonyError, CeremonyPlan, Culprit, Disagreement, Fault, PlanError, Round, RoundMessage, Step, observe,
};
pub use combine::{OpeningError, combine};
pub use committee::{Committee, CommitteeError, TrusteeShare};
pub use comparison::{Comparison, ComparisonError, ComparisonRound};
pub use evidence::{EvidenceRefusal, ReviewEvidence, VerifiedReview};
pub use opened::{AccountBinding, Author, Opening, OpeningRefusal, OpeningTrust};
pub use partition::Partition;
pub use register::{LoggedWarrant, OpeningsRegister};
pub use same_author::{Blind, BlindingFactor, Pair, SameAuthorError, SameAuthorRound, without_round};
pub use sealed_share::{RecipientKey, SealedShare, SealedShareError};
pub use share::{DecryptionShare, ShareAction, ShareContext};
pub use signed_committee::SignedCommittee;
pub use test_dealer::insecure_test_dealer;
pub use trustee::{
    Answer, Followed, OpeningRequest, RoundAnswer, RoundError, RoundRequest, Status, Trustee, TrusteeError,
    TrusteePolicy, Used,
};
pub use trustee_secrets::{SealedTrusteeSecrets, TrusteeSecrets};
pub use warrant::{PresentedWarrant, Warrant};
pub use warrant_policy::{Requester, WarrantError, WarrantPolicy, WarrantPolicyError};
pub use warrant_terms::{TermsError, WarrantTerms};
