//! The anonymous door over Oblivious HTTP (RFC 9458): a relay sees addresses and nothing else, the gateway
//! questions and no address.
//!
//! Pure, as the wallet is: no clock, no network, no generator; the application brings times, randomness and
//! HTTP. It builds for browsers and phones.
//!
//! | who | what |
//! |---|---|
//! | device | [`DoorKeys`]: which key counts; [`seal`]: a question, its answer by [`Waiting::open`] |
//! | relay | bodies of one length, which it cannot read: `examples/relay` |
//! | gateway | [`Gateway`]: opens each question once, seals every answer by [`Reply::seal`] |
//!
//! What passes is a [`DoorMessage`](unjoin_core::token::DoorMessage) of 6,144 bytes one way, and a
//! [`DoorAnswer`](unjoin_core::token::DoorAnswer) of 8,192 the other, errors included. There is one method, one path, one set of
//! headers (binary HTTP, RFC 9292), one length for all that can be asked. Offers and grants carry an account and never
//! come here. What many devices need, manifests and what was published, they fetch as bundles
//! ([`BundlePiece`]) that name no merchant.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use unjoin_core::secret::SystemRng;
//! use unjoin_core::token::{DoorAnswer, DoorMessage, DoorQuestion};
//! use unjoin_core::{Grid, Timestamp};
//! use unjoin_door::{Gateway, GatewayKey, seal};
//! let rng = &mut SystemRng::new();
//!
//! // The gateway; its key's entry stands in the ledger before devices use it.
//! let now = Timestamp::from_unix_seconds(1_700_000_000);
//! let boundary = Grid::Weekly.next_after(now);
//! let mut gateway = Gateway::new("desk.example", 1 << 20)?;
//! let key = GatewayKey::generate(1, rng);
//! let config = *key.config();
//! gateway.serve(key, now..boundary);
//!
//! // The device: any question, sealed.
//! let question = DoorQuestion::Bundle { boundary, shard: 0, piece: 0 };
//! let question = DoorMessage::new(question).ok_or("too long")?;
//! let (request, waiting) = seal(&config, "desk.example", &question, rng)?;
//!
//! // The gateway: opened once, answered.
//! let (message, reply) = gateway.open(&request, now)?;
//! assert_eq!(message.len(), DoorMessage::LENGTH);
//! assert!(gateway.open(&request, now).is_err());
//! let answer = reply.seal(&DoorAnswer::refused(503, "desk.no_bundle"), rng);
//!
//! // The device again.
//! assert_eq!(waiting.open(&answer)?.body(), b"desk.no_bundle");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bundle;
mod config;
mod device;
mod error;
mod gateway;
mod http;
mod keys;
mod ohttp;
#[cfg(test)]
mod tests;

pub use bundle::{BundlePiece, Bundles};
pub use config::{GatewayKey, KeyConfig};
pub use device::{ANSWER_LENGTH, ANSWER_TYPE, REQUEST_TYPE, Waiting, request_length, seal};
pub use error::DoorError;
pub use gateway::{Gateway, Reply};
pub use keys::DoorKeys;
