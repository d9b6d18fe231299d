//! The review desk, seen from outside: with the reviewer's device, and stores that fail.

#![cfg(all(feature = "wallet", feature = "redb"))]

#[path = "../common/mod.rs"]
mod common;

mod author;
mod model;
mod physical;
mod publication;
mod removal;
mod stores;
mod submission;
mod world;
