//! **unjoin**: anonymous reviews that cannot be joined to the order behind them, even by
//! somebody who holds the merchant's login, the order table and the review table.
//!
//! # The story
//!
//! A shopper's device enrols a wallet key with the order service. For every order that is
//! due it asks, blindly, for a token of the cohort on offer; the order service grants one
//! per order and learns nothing that could recognise it. At a fixed boundary a cohort of at
//! least k customers *who look alike to the merchant* is closed, once every virtual number
//! of every one of its orders is dead. A token is spent once, with a review: it shows that
//! the author belongs to the cohort, not which member it is, and escrows the author to t of
//! n trustees. The review service publishes a cohort's reviews at two boundaries only,
//! shuffled, with the boundary's date.
//!
//! # Roles
//!
//! | role | kept | sent or public |
//! |---|---|---|
//! | reviewer's device | [`wallet::Wallet`], [`wallet::PendingToken`], [`wallet::Token`] | [`token::Enrolment`], [`token::TokenRequest`], [`token::Presentation`], [`token::AuthorProof`] |
//! | order service | [`token::IssuerKey`], [`issuer::Issuer`] | [`token::IssuerPublicKey`], [`token::Offer`], [`token::Grant`], [`token::CohortManifest`] |
//! | review service | [`review::ReviewDesk`] | [`token::Receipt`], [`review::Batch`], [`review::PublishedReview`] |
//! | trustee | [`opening::TrusteeSecrets`], [`opening::TrusteeShare`], [`opening::Trustee`] | [`token::EscrowKeyCertificate`], [`opening::SignedCommittee`], [`opening::SealedShare`] |
//! | requester | [`opening::RecipientKey`] | [`opening::Warrant`], [`opening::Opening`] |
//! | telephony | [`phone::Switchboard`], [`phone::Keeper`], [`phone::PhoneNumber`] | [`phone::VirtualNumber`], [`phone::Route`] |
//! | ledgers | [`ledger::Log`], [`ledger::Ledgers`] | [`ledger::SignedCheckpoint`], [`ledger::InclusionProof`], [`ledger::ConsistencyProof`], the entries |
//!
//! [`Platform`] ties the order service and the review service together; start there.
//! [`manual`] holds the protocol, the wire and stored formats, the threat model with the
//! test behind each claim, and the operating guide.
//!
//! # Out of scope
//!
//! Network metadata at the door, what a review's own words give away, and the honesty of
//! the issuer's count are the host's; the threat model says so in full. The construction has had
//! no external audit.
//!
//! # Features
//!
//! `wallet`: the reviewer's device (no store, no threads). `platform` (default):
//! the services. `redb` (default): the embedded store. `postgres`: a store that many processes share.

#![forbid(unsafe_code)]
// Untrusted input reaches most of this crate and must never panic it.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod algebra;
pub mod audit;
pub mod entry;
#[cfg(feature = "platform")]
mod environment;
pub mod error;
#[cfg(feature = "platform")]
mod file;
#[cfg(feature = "platform")]
pub mod issuer;
pub mod ledger;
pub mod manual;
mod name;
#[cfg(feature = "platform")]
pub mod opening;
#[cfg(any(feature = "platform", feature = "wallet"))]
mod passphrase;
#[cfg(feature = "platform")]
pub mod phone;
#[cfg(feature = "platform")]
mod platform;
#[cfg(feature = "platform")]
mod queue;
#[cfg(feature = "platform")]
pub mod review;
pub mod secret;
mod signature;
#[cfg(feature = "platform")]
pub mod store;
mod time;
pub mod token;
mod trustee_key;
#[cfg(feature = "wallet")]
pub mod wallet;
pub mod wire;

#[cfg(test)]
#[cfg(feature = "platform")]
mod vectors;

#[cfg(feature = "platform")]
pub use environment::Environment;
pub use error::Audience;
pub use name::{Name, NameError};
#[cfg(any(feature = "platform", feature = "wallet"))]
pub use passphrase::{PassphraseCost, PassphraseError};
#[cfg(feature = "platform")]
pub use platform::{Platform, PlatformConfig, PlatformError, PlatformSecrets, TickReport};
#[cfg(feature = "platform")]
pub use queue::{Pending, QueueConfig, QueueError};
#[cfg(feature = "platform")]
pub use time::{Clock, ManualClock, SystemClock};
pub use time::{DAY, Grid, Timestamp, WEEK};
