//! The shopper's device for browsers and node: `Trust` is what a page pins, `Device` a state machine without I/O, `Door`
//! seals what passes the relay. All of them take the time as seconds since 1970, and bytes as `Uint8Array`.
//!
//! Nothing here opens a connection or stores anything, and randomness is the browser's. Whatever bytes come in, what
//! is wrong with them is a thrown `UnjoinError`; an exception of another kind is a bug of this package.
//!
//! What a page was given, JavaScript holds copies of, and these are not erased.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod device;
pub mod door;
pub mod error;
mod object;
pub mod trust;
