//! The store on a real PostgreSQL: what the contract cannot see. Each test starts a private server, or
//! shares one; none is found on this machine but the programs that make it.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod chaos;
mod clocks;
mod engine;
mod failover;
mod heap;
#[path = "../ledger/world.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod ledger_world;
#[path = "../crash/life.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod life;
#[path = "../crash/line.rs"]
mod line;
mod poolers;
mod processes;
#[path = "../crash/record.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod record;
mod refusals;
#[path = "../crash/scenario.rs"]
mod scenario;
use unjoin_test_util::postgres as server;
