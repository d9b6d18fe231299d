//! The whole token path on redb stores, interrupted anywhere: after every interruption, what
//! was acknowledged holds, what was not took effect whole or not at all, and nothing happened
//! twice.
//!
//! `kill` kills a process, `power` cuts the power of a simulated disk. Both let a `life` run on
//! the same stores again and again, so that damage would accumulate, and hold a `record` of what
//! was said against what the reopened stores answer.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod kill;
mod power;
mod shared;
mod too_early;

use shared::{life, line, record, scenario};
