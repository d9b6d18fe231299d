//! Opening a review's author under due process.
//!
//! In the order of the process: the trustees make their key and refresh its shares ([`ceremony`]), and
//! each keeps [`TrusteeSecrets`]. A requester presents a [`warrant`] with [`ReviewEvidence`], which
//! shows the trustees which review it is about. A trustee's [`service`] answers it with a sealed
//! [`DecryptionShare`], within budgets that are counted in the openings ledger. The shares make an
//! [`Opening`], which convinces everybody else. Which reviews have one author is answered by a round
//! among the trustees, which names nobody ([`same_author`]).
//!
//! [`insecure_test_dealer`] shortens tests; no platform may use it.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod audit;
pub mod ceremony;
mod committee;
mod evidence;
mod opened;
pub mod same_author;
mod sealed_share;
mod sealing;
pub mod service;
mod share;
#[cfg(any(test, feature = "test-util"))]
#[doc(hidden)]
pub mod test_util;
mod trustee_secrets;
pub mod warrant;

pub use committee::{Committee, SignedCommittee, TrusteeShare};
#[doc(hidden)]
pub use evidence::VerifiedReview;
pub use evidence::{EvidenceRefusal, ReviewEvidence};
pub use opened::{AccountBinding, Author, Opening, OpeningError, OpeningTrust, ReleasedShare};
pub use sealed_share::{RecipientKey, SealedShare};
pub use share::DecryptionShare;
#[doc(hidden)]
pub use share::{ShareContext, combine};
#[cfg(any(test, feature = "test-util"))]
#[doc(hidden)]
pub use test_util::insecure_test_dealer;
pub use trustee_secrets::{SealedTrusteeSecrets, TrusteeSecrets};
