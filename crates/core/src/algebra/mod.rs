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

mod group;
/// For our other crates alone, but for what is shown below.
#[path = "."]
mod parts {
    pub mod escrow;
    pub mod mac;
    pub mod proof;
    pub mod threshold;
    pub mod transcript;
}

#[cfg(feature = "internals")]
#[doc(hidden)]
pub use parts::{escrow, mac, proof, threshold, transcript};
#[cfg(not(feature = "internals"))]
pub(crate) use parts::{escrow, mac, proof, threshold, transcript};

pub use escrow::{Escrow, EscrowKey};
pub use group::Element;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use group::{Generator, decode_scalar};
#[cfg(not(feature = "internals"))]
pub(crate) use group::{Generator, decode_scalar};
