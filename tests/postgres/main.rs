//! The store on a real PostgreSQL: what the contract cannot see. Each test starts a private server, or
//! shares one; none is found on this machine but the programs that make it.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod chaos;
mod clocks;
#[path = "../crash/shared/mod.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod crash;
mod engine;
mod failover;
mod heap;
#[path = "../ledger/world.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod ledger_world;
mod poolers;
mod processes;
mod refusals;
use crash::{life, line, record, scenario};
use unjoin_test_util::postgres as server;
