//! **unjoin**: anonymous reviews whose author a merchant can only guess: one customer in k. The token
//! behind a review cannot be traced to its order, even with all tables and keys of the platform.
//!
//! ```
//! use std::sync::Arc;
//! use unjoin::{Environment, Name, Platform, PlatformConfig, PlatformSecrets};
//! use unjoin::{issuer::EveryoneOfStanding, secret::SystemRng};
//! use unjoin::store::{MemoryStore, Stores, identity::Role};
//! # let rng = &mut SystemRng::new();
//! # let trustees = unjoin::opening::insecure_test_dealer(3, 5, rng)?.0;
//! // `trustees` is the committee whose key ceremony is finished.
//! let secrets = PlatformSecrets::generate(*trustees.key(), rng);
//! // Once; from then on `Stores::open`, which tells a lost or exchanged store from the right one.
//! let stores = [Role::Orders, Role::Reviews].map(|role| (role, Arc::new(MemoryStore::new())));
//! let platform = Platform::open(
//!     Stores::create(&secrets.stores, stores, rng)?,
//!     PlatformConfig::new(Name::new("shop.example")?),
//!     secrets,
//!     Arc::new(EveryoneOfStanding),
//!     Environment::system(),
//! )?;
//! // A timer calls it: cohorts are sealed, and reviews appear, at fixed boundaries.
//! assert!(platform.tick()?.manifests.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The story
//!
//! A shopper's device enrols a wallet key with the order service. For every order whose virtual numbers
//! have ended it asks, blindly, for a token of the cohort on offer. The order service grants one per
//! order, and learns nothing that could recognise it. At a fixed boundary a cohort of at least k
//! customers *who look alike to the merchant* is sealed. A token is spent once, with a review. It shows
//! that the author belongs to the cohort, not which member it is, and escrows the author to t of n
//! trustees. The review service publishes a cohort's reviews at its manifest's boundaries only,
//! shuffled, with the boundary's date. Its author, and nobody else, edits or withdraws it, by a
//! signature under a key of that token's own. Everybody who reads the ledger can check it.
//!
//! # Who knows what
//!
//! | party | knows | never knows | starts at |
//! |---|---|---|---|
//! | the shopper's device | its orders, its reviews | other shoppers' | the crate `unjoin-wallet` |
//! | order service | accounts and orders | reviews | [`issuer::Issuer`] |
//! | review service | reviews, their cohorts | accounts, orders | [`review::ReviewDesk`] |
//! | telephony | numbers, while they live | reviews | [`phone::Switchboard`] |
//! | a trustee | what a warrant names | the escrow key as a whole | [`opening::service::Trustee`] |
//! | a court, a requester | whom an opening names | anybody else | [`opening::Opening`] |
//! | witness, auditor | the public ledgers | everything else | [`ledger::Log`], [`audit::History`] |
//!
//! # Crates
//!
//! Each party links its own crate and what stands below it; this one is the platform's.
//!
//! ```text
//!                      unjoin (issuer, review service, platform)
//!                     /      |          |           \
//!     unjoin-trustee /       |          |            unjoin-phone
//!          |     \           |          |             |
//!          |      unjoin-audit  <----  unjoin-wallet  |
//!          |        |                   |             |
//!          |      unjoin-log            |             |
//!          |        |                   |             |
//!      unjoin-store |                   |        unjoin-store
//!           \       |                   |         /
//!            `---------- unjoin-core ------------'
//! ```
//!
//! Beside them stands `unjoin-door` on the log: the anonymous door over Oblivious HTTP, for apps and gateways.
//!
//! [`Platform`] ties the order service and the review service together; start there. [`manual`] begins with the
//! [idea](manual::idea). It holds the protocol, the wire and stored formats, the threat model with the test behind
//! each claim, and the operating guide.
//!
//! # Out of scope
//!
//! The host is responsible for network metadata where no relay stands before the door. It also answers for what a review's
//! own words give away, and for an honest count. The threat model says so in full. The construction has had no external
//! audit.
//!
//! # Features
//!
//! `redb` (default): the embedded store. `postgres`: a store that many processes share. `tracing`: events of
//! target `unjoin` tell in numbers what queues, commits and ticks do, in groups, with nobody's name.

#![forbid(unsafe_code)]
// Untrusted input reaches most of this crate and must never panic it.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod clock;
pub mod issuer;
mod ledgers;
pub mod manual;
mod platform;
pub mod rating;
mod recovery;
pub mod review;
#[cfg(test)]
mod vectors;

/// Auditing: what anybody can find out from a ledger, two of its checkpoints and what the
/// platform shows.
pub mod audit {
    pub use unjoin_audit::*;
    pub use unjoin_trustee::audit::*;
}
/// The two public ledgers: their entries, and the logs that hold them.
pub mod ledger {
    pub use crate::ledgers::{LedgerConfig, LedgerReport, Ledgers, LedgersReport};
    pub use unjoin_core::entry::*;
    pub use unjoin_log::*;
}
#[doc(no_inline)]
pub use unjoin_core::error::Audience;
#[doc(no_inline)]
pub use unjoin_core::{
    CLOCK_LIMIT, Clock, ClockError, DAY, Environment, Grid, ManualClock, Name, NameError, PassphraseCost,
    PassphraseError, SystemClock, Timestamp, WEEK, algebra, error, secret, token, wire,
};
#[doc(no_inline)]
pub use unjoin_phone as phone;
#[doc(no_inline)]
pub use unjoin_store::{self as store, Pending, QueueConfig, QueueError};
#[doc(no_inline)]
pub use unjoin_trustee as opening;

pub use platform::{Platform, PlatformConfig, PlatformError, PlatformRecovery, PlatformSecrets, TickReport};
pub use recovery::{Recovery, RecoveryError};
