//! The review desk, seen from outside: with the reviewer's device, and stores that fail.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod author;
mod clocks;
mod model;
mod physical;
mod pruning;
mod publication;
mod recovery;
mod removal;
#[cfg(feature = "postgres")]
use unjoin_test_util::postgres as server;
mod submission;
mod world;
