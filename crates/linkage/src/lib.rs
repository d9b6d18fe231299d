//! What can be guessed about the author of a review by somebody who holds the orders.
//!
//! A table of orders ([`data`]) is played through a policy ([`publication`]). Then it is attacked, by somebody who
//! sees when reviews appear and how many stars they have ([`attack`]), and by somebody who also knows the policy
//! ([`dated`]). [`measures`] says how often they are right. [`gangs`] are attackers who buy orders or press people.
//!
//! The examples `marketplace` and `planner` print and draw what comes out. This crate is not published.

#![forbid(unsafe_code)]

pub mod attack;
mod boost;
pub mod calendar;
pub mod data;
pub mod dated;
pub mod gangs;
pub mod measures;
pub mod pairs;
pub mod publication;
pub mod random;
pub mod table;
