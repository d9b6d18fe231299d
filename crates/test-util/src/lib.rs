//! What the tests of several crates share: no part of any published crate.

#![allow(missing_docs, reason = "each test says what it uses it for")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helper fails the test"
)]

mod directory;
pub mod disk;
mod never_rewritten;
#[cfg(feature = "postgres")]
pub mod postgres;

pub use directory::Directory;
pub use never_rewritten::NeverRewritten;
