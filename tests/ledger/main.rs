//! The ledgers in their stores: against a plain list, through failures and crashes, with two
//! sequencers at once, with witnesses, and as files.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

mod files;
mod model;
mod sequencers;
mod witnesses;
mod world;
