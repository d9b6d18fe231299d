//! The messages between the reviewer's device, the issuer and the desk, with their maths.
//! Pure: keys and messages in, messages out; randomness is an argument.
//!
//! The files follow the life of a token:
//!
//! 1. [`Enrolment`]: the device binds its wallet key `U` to an account, once.
//! 2. [`TokenRequest`]: for a due order it asks for a token of the scope on offer, blindly.
//! 3. [`Grant`]: the issuer answers with an algebraic MAC and a proof that it used `X`.
//! 4. [`Presentation`]: the device shows a randomized token with a review's digest, reveals
//!    the serial, and escrows `U` to the trustees, verifiably.
//! 5. [`Accepted`]: the desk proves to trustees and auditors that the hidden MAC was valid.
//! 6. [`AuthorAction`]: the author edits or withdraws the review, signed with the token's own key.
//!
//! Around them stand what both sides show each other: the [`Offer`] for a due order, the
//! [`CohortManifest`] of a sealed cohort, the [`Review`] and the desk's [`Receipt`].

mod accepted;
mod author;
mod door;
mod enrolment;
mod grant;
mod key;
mod key_ring;
mod manifest;
mod offer;
mod presentation;
mod receipt;
mod request;
mod review;
mod scope;
mod signature;
mod trustees;

pub use crate::signature::{Sign, SignError};
pub use accepted::Accepted;
pub use author::{
    ActionKind, AuthorAction, AuthorKey, AuthorStatement, ReviewStanding, ReviewState, StateQuestion,
};
pub use door::{DoorAnswer, DoorMessage, DoorQuestion};
pub use enrolment::{Enrolment, EnrolmentContext};
#[doc(hidden)]
pub use enrolment::{binding_blind, binding_commitment};
pub use grant::{Grant, GrantedTag};
pub use key::{IssuerKey, IssuerPublicKey};
pub use key_ring::{KeyPair, KeyRing, KeyRingError};
pub use manifest::{CohortManifest, PublicationDates, SignedManifest};
pub use offer::Offer;
pub use presentation::{Presentation, PresentationCheck, verify_batch};
pub use receipt::{ActionReceipt, Receipt, ReceiptTerms};
pub use request::TokenRequest;
#[doc(hidden)]
pub use request::verify_requests;
pub use review::{Review, ReviewError};
pub use scope::{Digest, OrderHandle, OrderHandleKey, ReviewId, Scope};
pub use signature::{PlatformKey, PlatformPublicKey, StaffKey, StaffPublicKey};
#[doc(hidden)]
pub use trustees::{CommitteeStatement, threshold_and_trustees};
pub use trustees::{EscrowKeyCertificate, Trustees, TrusteesError};

pub use crate::trustee_key::TrusteeKey;
pub use crate::trustee_key::TrusteePublicKey;

#[doc(hidden)]
pub use presentation::PresentationWitness;
#[doc(hidden)]
pub use request::RequestWitness;

use crate::describe_errors;

/// A proof or a tag does not hold. Says nothing more: which check failed is nobody's
/// business but a debugger's.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_core::token::VerifyError;
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let presentation = shop.accepted().sent.presentation;
/// let other_words = [0; 32];
/// let refused = presentation.verify(&shop.issuer_key, &shop.escrow_key, &other_words, rng);
/// assert_eq!(refused, Err(VerifyError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyError;

describe_errors!(VerifyError (Device, false) {
    _ => "token.verify", "the message does not verify in this context";
});

/// Turns a verdict into a result.
#[doc(hidden)]
pub fn verdict(holds: bool) -> Result<(), VerifyError> {
    if holds { Ok(()) } else { Err(VerifyError) }
}

/// SHA-256.
fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}
