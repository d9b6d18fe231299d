//! **unjoin**: anonymous reviews that cannot be joined to the order behind them.

#![forbid(unsafe_code)]

pub mod error;
#[cfg(feature = "platform")]
#[cfg_attr(not(test), allow(dead_code, reason = "the services that own a queue are yet to come"))]
mod queue;
pub mod secret;
#[cfg(feature = "platform")]
pub mod store;
mod time;

pub use error::Audience;
#[cfg(feature = "platform")]
pub use queue::{Pending, QueueConfig, QueueError};
#[cfg(feature = "platform")]
pub use time::{Clock, ManualClock, SystemClock};
pub use time::{DAY, Grid, Timestamp, WEEK};
