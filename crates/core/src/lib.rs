//! What every party of [unjoin](https://docs.rs/unjoin) shares: the mathematics, all messages and
//! ledger entries with their bytes, names, times, secrets and errors.
//!
//! Pure: keys and messages in, messages out; time and randomness are arguments. There is no
//! service here, no store and no thread. Parties link the crate that is theirs (`unjoin` for a
//! platform, `unjoin-wallet` for a shopper's device, `unjoin-trustee`, `unjoin-audit`, `unjoin-log`);
//! all of them show these types.
//!
//! | room | holds |
//! |---|---|
//! | [`token`] | the messages between device, issuer and review service, with their maths |
//! | [`entry`] | the entries of the reviews ledger and the openings ledger |
//! | [`algebra`] | ristretto255 with strict encodings; the proofs stand on it |
//! | [`wire`] | the bytes of every message, and how they are refused |
//! | [`secret`] | secrets that are erased, never printed, and compared in constant time |
//!
//! # Features
//!
//! `system`: the machine's clock and generator, for services; it links ring, and so C.
//! `generator`: the generator alone, in pure Rust, for devices. `passphrase`: sealing under a
//! passphrase (Argon2id). `internals`: for the other crates of unjoin alone; what it shows
//! changes without notice.

#![forbid(unsafe_code)]
// What is there for our other crates alone is used by none without them.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub, unused_imports))]
// Untrusted input reaches most of this crate and must never panic it.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod algebra;
mod clock;
pub mod entry;
#[cfg(feature = "system")]
mod environment;
pub mod error;
#[cfg(all(feature = "system", feature = "internals"))]
#[doc(hidden)]
pub mod file;
#[cfg(all(feature = "system", not(feature = "internals")))]
mod file;
mod name;
#[cfg(all(feature = "passphrase", feature = "internals"))]
#[doc(hidden)]
pub mod passphrase;
#[cfg(all(feature = "passphrase", not(feature = "internals")))]
mod passphrase;
pub mod secret;
mod shapes;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod signature;
#[cfg(not(feature = "internals"))]
mod signature;
mod time;
pub mod token;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod trustee_key;
#[cfg(not(feature = "internals"))]
mod trustee_key;
pub mod wire;

#[doc(hidden)]
pub use clock::ClockGuard;
pub use clock::{CLOCK_LIMIT, ClockError};
#[cfg(feature = "system")]
pub use environment::Environment;
pub use name::{Name, NameError};
#[cfg(feature = "passphrase")]
pub use passphrase::{PassphraseCost, PassphraseError};
#[cfg(feature = "system")]
pub use time::{Clock, ManualClock, SystemClock};
pub use time::{DAY, Grid, Timestamp, WEEK};
