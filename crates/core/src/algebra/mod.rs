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

#[doc(hidden)]
pub mod escrow;
mod group;
#[doc(hidden)]
pub mod mac;
#[doc(hidden)]
pub mod proof;
#[doc(hidden)]
pub mod threshold;
#[doc(hidden)]
pub mod transcript;

pub use escrow::{Escrow, EscrowKey};
pub use group::Element;
#[doc(hidden)]
pub use group::{Generator, decode_scalar};
