//! No secret slips out through formatting, a trait that it should not have, or an error.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

mod errors;
mod formatting;
mod known;
mod printing;
mod traits;
