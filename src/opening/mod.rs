//! Opening a review's author under due process: the trustees' committee, their decryption
//! shares, and the test whether two reviews have one author.
//!
//! What is here is the pure mathematics and its messages. The key ceremony, warrants,
//! budgets and the trustee's service are not built yet: until the ceremony exists, a
//! committee comes from [`insecure_test_dealer`], which no platform may use.

mod combine;
mod committee;
mod same_author;
mod share;
mod test_dealer;

pub use combine::{OpeningError, combine};
pub use committee::{Committee, CommitteeError, TrusteeShare};
pub use same_author::{Blind, BlindingFactor, Pair, SameAuthorError, SameAuthorRound, without_round};
pub use share::{DecryptionShare, ShareAction, ShareContext};
pub use test_dealer::insecure_test_dealer;
