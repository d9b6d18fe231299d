//! **unjoin**: anonymous reviews that cannot be joined to the order behind them.

#![forbid(unsafe_code)]

pub mod algebra;
#[cfg(feature = "platform")]
mod environment;
pub mod error;
#[cfg(feature = "platform")]
pub mod ledger;
#[cfg(feature = "platform")]
pub mod opening;
pub mod secret;
#[cfg(feature = "platform")]
pub mod store;
mod time;
pub mod token;
#[cfg(feature = "wallet")]
pub mod wallet;
pub mod wire;

#[cfg(test)]
#[cfg(feature = "platform")]
mod vectors;

#[cfg(feature = "platform")]
pub use environment::Environment;
pub use error::Audience;
#[cfg(feature = "platform")]
pub use time::{Clock, ManualClock, SystemClock};
pub use time::{DAY, Grid, Timestamp, WEEK};
