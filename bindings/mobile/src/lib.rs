//! The shopper's device for phones: `Trust` is what an app pins, `Device` a state machine without I/O, `Door` seals what
//! passes the relay. UniFFI makes Kotlin, Swift and Python of it, with the words and shapes of `bindings/web`. All of
//! them take the time as seconds since 1970.
//!
//! Nothing here opens a connection or stores anything, and randomness is the machine's. Whatever bytes come in, what is
//! wrong with them is an [`UnjoinError`](error::UnjoinError); an exception of another kind is a bug of this package.
//!
//! What an app was given, its language holds copies of, and these are not erased.
//!
//! UniFFI's macros write functions with a C interface, which `forbid(unsafe_code)` does not let pass. So it cannot stand
//! here; no line of this package's own is unsafe, and the crates below forbid it.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::needless_pass_by_value, reason = "what comes from another language is owned")]

pub mod device;
pub mod door;
pub mod error;
pub mod trust;

uniffi::setup_scaffolding!("unjoin");

use error::{Outcome, argument};
use std::sync::{Mutex, MutexGuard, PoisonError};
use unjoin_core::Timestamp;

/// One call at a time. A panic in one of them would be a bug; what it left is whole: the device is read anew from its
/// blob.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
fn time(seconds: i64) -> Outcome<Timestamp> {
    let seconds = u64::try_from(seconds).map_err(|_| argument("a time in seconds since 1970"))?;
    Ok(Timestamp::from_unix_seconds(seconds))
}

/// Every time that we name is one of these: others are none of our dates.
fn seconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_unix_seconds()).unwrap_or(i64::MAX)
}

fn array<const N: usize>(bytes: &[u8], what: &str) -> Outcome<[u8; N]> {
    bytes.try_into().map_err(|_| argument(&format!("{what}: {N} bytes")))
}
