//! Virtual numbers: two parties who reach each other for as long as an order lives, and never
//! afterwards.
//!
//! # Roles
//!
//! * The **keeper** ([`Keeper`]) owns the file of slot keys, outside the database. It makes a
//!   key for each slot of time and deletes it soon after the slot.
//! * The **pool** ([`Pool`]) says which virtual numbers there are, and which of them a business may
//!   draw next. So it sees none of them twice in a long time.
//! * The **switchboard** ([`Switchboard`]) makes numbers between two parties of an order, puts
//!   calls through, and ends both.
//! * The [**gateway**](gateway) is how a telephone switch asks for a route and reads the answer.
//!
//! # The flow
//!
//! A binding is stored under the key of the slot in which it ends. Its number is drawn from the
//! pool's slice of the day for the business in question. A call is looked up under the keys of
//! the present slot and those that follow. What ended is refused by the clock, at once, and from
//! the end of its slot and the skew nobody can read it any more.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod country;
pub mod gateway;
mod number;
mod pool;
mod route;
mod sizing;
mod slot_keys;
mod switchboard;
#[cfg(any(test, feature = "test-util"))]
#[doc(hidden)]
pub mod test_util;

pub use country::{Callees, Country, NumberKind};
pub use number::{NumberError, NumberingPlan, PhoneNumber, VirtualNumber};
#[doc(hidden)]
pub use pool::Draw;
pub use pool::{NumberRange, Pool, PoolConfig, PoolError, PoolRange, Pools};
pub use route::{Attestation, Channel, Route, RouteRequest};
pub use sizing::{Demand, PoolSize};
pub use slot_keys::{
    Keeper, KeyEncryptionKey, LocalKey, Predecessor, SlotConfig, SlotKeyError, SlotKeyWindow, SlotKeys,
};
#[doc(hidden)]
pub use slot_keys::{Slot, SlotKey};
pub use switchboard::{
    Binding, Bound, CallEnd, CallEvent, CallEvents, CallId, CallProgress, Directions, Leg, OrderRef,
    OrderTag, Parties, RouteCounts, Side, Switchboard, SwitchboardConfig, SwitchboardError,
    SwitchboardReport,
};
