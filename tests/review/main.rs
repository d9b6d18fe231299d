//! The review desk, seen from outside: with the reviewer's device, and stores that fail.

#![cfg(all(feature = "wallet", feature = "redb"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/never_rewritten.rs"]
mod never_rewritten;

mod author;
mod model;
mod physical;
mod pruning;
mod publication;
mod removal;
#[cfg(feature = "postgres")]
#[path = "../common/postgres.rs"]
mod server;
mod stores;
mod submission;
mod world;
