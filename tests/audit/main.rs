//! Auditing, with the program that anybody can run and through a whole platform.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

#[allow(dead_code, reason = "another test's world")]
#[path = "../opening/world.rs"]
mod court;
mod forgeries;
mod insider;
mod manifests;
mod openings;
mod platform;
#[allow(dead_code, reason = "its main is the example's")]
#[path = "../../examples/audit.rs"]
mod program;
mod recoveries;
mod words;
mod world;
