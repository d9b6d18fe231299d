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

pub(crate) mod escrow;
mod group;
pub(crate) mod mac;
pub(crate) mod proof;
#[cfg(feature = "platform")]
pub(crate) mod threshold;
pub(crate) mod transcript;

pub use escrow::{Escrow, EscrowKey};
pub use group::Element;
pub(crate) use group::{Generator, decode_scalar};
