//! The mathematics, pure: no clock, no store, randomness as an argument.
//!
//! | room | holds |
//! |---|---|
//! | `group` | ristretto255 elements and scalars with strict encodings, the generators |
//! | `transcript` | the one framed hash that everything is derived with |
//! | `proof` | one Schnorr proof system for linear relations, one batch verifier |
//! | `mac` | the algebraic MAC that makes a token (Barki et al. 2016; Orrù 2024) |
//! | `escrow` | ElGamal of the author's key to the trustees |
//! | `threshold` | Shamir sharing and interpolation, in the exponent too |

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod escrow;
#[cfg(not(feature = "internals"))]
pub(crate) mod escrow;
mod group;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod mac;
#[cfg(not(feature = "internals"))]
pub(crate) mod mac;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod proof;
#[cfg(not(feature = "internals"))]
pub(crate) mod proof;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod threshold;
#[cfg(not(feature = "internals"))]
pub(crate) mod threshold;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod transcript;
#[cfg(not(feature = "internals"))]
pub(crate) mod transcript;

pub use escrow::{Escrow, EscrowKey};
pub use group::Element;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use group::{Generator, decode_scalar};
#[cfg(not(feature = "internals"))]
pub(crate) use group::{Generator, decode_scalar};
