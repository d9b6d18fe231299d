//! What tests of this crate and of others need in place of a key ceremony, a platform and a court.

#![allow(missing_docs, reason = "each test says what it uses it for")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helper fails the test"
)]

mod dealer;
pub mod world;

pub use dealer::insecure_test_dealer;
