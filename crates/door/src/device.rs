//! The device's side: a question that is sealed, and the answer to it.

use crate::http::{self, Authority};
use crate::ohttp::{self, Shared};
use crate::{DoorError, KeyConfig};
use hpke::aead::ChaCha20Poly1305;
use rand_core::CryptoRng;
use unjoin_core::token::{DoorAnswer, DoorMessage};
use unjoin_core::wire::Message;

/// The media type of what [`seal`] makes, and a gateway takes.
pub const REQUEST_TYPE: &str = "message/ohttp-req";
/// The media type of what a gateway answers.
pub const ANSWER_TYPE: &str = "message/ohttp-res";
/// The length of every answer, in bytes, whatever was asked and whatever became of it.
pub const ANSWER_LENGTH: usize = http::ANSWER_LENGTH + ohttp::ANSWER_OVERHEAD;

/// The length of every question that is sealed for this host, in bytes.
///
/// # Errors
/// [`DoorError::Authority`].
///
/// ```
/// # use unjoin_core::{Timestamp, secret::SystemRng, token::{DoorMessage, DoorQuestion}};
/// # use unjoin_door::GatewayKey;
/// use unjoin_door::{request_length, seal};
/// # let (rng, boundary) = (&mut SystemRng::new(), Timestamp::from_unix_seconds(1_700_438_400));
/// # let key = GatewayKey::generate(9, rng);
/// # let question = DoorMessage::new(DoorQuestion::Bundle { boundary, shard: 0, piece: 0 }).unwrap();
/// // What a relay may refuse by, without reading.
/// let (sealed, _) = seal(key.config(), "desk.example", &question, rng)?;
/// assert_eq!(sealed.len(), request_length("desk.example")?);
/// # Ok::<(), unjoin_door::DoorError>(())
/// ```
pub fn request_length(authority: &str) -> Result<usize, DoorError> {
    Ok(Authority::new(authority)?.request_length() + ohttp::QUESTION_OVERHEAD)
}

/// Seals a question for the door of this host. The answer is the body of a `POST` to a relay, with the type
/// [`REQUEST_TYPE`], and what the device keeps meanwhile.
///
/// `authority` is the host's name, without a scheme, and stands in the app as the keys do. Two calls share
/// nothing, so a retry is sealed anew and sent over a connection of its own: what is sent twice unchanged is
/// refused.
///
/// # Errors
/// [`DoorError::Authority`]; [`DoorError::Config`] when nothing can be sealed to this key.
///
/// ```
/// # use unjoin_core::{Timestamp, secret::SystemRng, token::{DoorMessage, DoorQuestion}};
/// # use unjoin_door::GatewayKey;
/// use unjoin_door::seal;
/// # let (rng, boundary) = (&mut SystemRng::new(), Timestamp::from_unix_seconds(1_700_438_400));
/// # let key = GatewayKey::generate(9, rng);
/// # let config = key.config();
/// let question = DoorMessage::new(DoorQuestion::Bundle { boundary, shard: 0, piece: 0 }).ok_or("too long")?;
/// let (sealed, _waiting) = seal(config, "desk.example", &question, rng)?;
/// // A retry shares nothing with it.
/// let (again, _waiting) = seal(config, "desk.example", &question, rng)?;
/// assert_ne!(sealed, again);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn seal(
    key: &KeyConfig,
    authority: &str,
    question: &DoorMessage,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<(Vec<u8>, Waiting), DoorError> {
    let request = Authority::new(authority)?.request(&question.to_bytes());
    let (sealed, shared) = ohttp::seal::<ChaCha20Poly1305>(key.id, &key.public, &request, rng)?;
    Ok((sealed, Waiting(shared)))
}

/// What a device keeps for the answer to one question; erased on drop.
///
/// ```
/// # use unjoin_core::{Timestamp, secret::SystemRng, token::{DoorAnswer, DoorMessage, DoorQuestion}};
/// # use unjoin_door::{Gateway, GatewayKey, seal};
/// # let (rng, now) = (&mut SystemRng::new(), Timestamp::from_unix_seconds(1_700_438_400));
/// # let (key, mut gateway) = (GatewayKey::generate(9, rng), Gateway::new("desk.example", 1 << 20)?);
/// # let config = *key.config();
/// # gateway.serve(key, now..now.saturating_add(unjoin_core::WEEK));
/// # let question = DoorMessage::new(DoorQuestion::Bundle { boundary: now, shard: 0, piece: 0 }).unwrap();
/// let (sealed, waiting) = seal(&config, "desk.example", &question, rng)?;
/// # let (_, reply) = gateway.open(&sealed, now)?;
/// # let answer = reply.seal(&DoorAnswer::refused(503, "desk.no_bundle"), rng);
/// // Of the answer the relay sees the length alone.
/// let answer = waiting.open(&answer)?;
/// assert_eq!((answer.status(), answer.body()), (503, &b"desk.no_bundle"[..]));
/// # Ok::<(), unjoin_door::DoorError>(())
/// ```
pub struct Waiting(pub(crate) Shared);

impl Waiting {
    /// Opens the answer. An error of the desk's is an answer like any other: see
    /// [`DoorAnswer::status`].
    ///
    /// # Errors
    /// [`DoorError::Length`], [`DoorError::Sealed`], [`DoorError::Answer`].
    pub fn open(self, sealed: &[u8]) -> Result<DoorAnswer, DoorError> {
        if sealed.len() != ANSWER_LENGTH {
            return Err(DoorError::Length);
        }
        let answer = self.0.open::<ChaCha20Poly1305>(sealed)?;
        let content = http::answer_content(&answer).ok_or(DoorError::Answer)?;
        DoorAnswer::from_bytes(content).map_err(|_| DoorError::Answer)
    }
}

unjoin_core::opaque!(Waiting);
