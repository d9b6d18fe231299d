//! Warrants, evidence and openings, as everybody who checks them meets them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

mod evidence;
mod openings;
mod platform;
mod policy;
#[allow(dead_code, reason = "its main is the example's")]
#[path = "../../examples/verify_opening.rs"]
mod program;
mod sealed;
mod terms;
mod verify_program;
mod world;
