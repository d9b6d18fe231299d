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
mod faulty;
#[cfg(feature = "postgres")]
pub mod postgres;
mod random;

pub use directory::Directory;
pub use faulty::{Call, Failure, Faulty, copy, dump, fill, holds_bytes};
pub use random::{Draws, Seeded};

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
