//! The store on a real PostgreSQL: what the contract cannot see. Each test starts a private server, or
//! shares one; none is found on this machine but the programs that make it.

#![cfg(all(feature = "wallet", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod engine;
mod heap;
mod refusals;
#[path = "../common/postgres.rs"]
mod server;
