//! The gateway's side: what opens questions, once each, and seals answers.

use crate::http::{self, Authority};
use crate::ohttp::{self, Shared};
use crate::{DoorError, GatewayKey, KeyConfig};
use core::ops::Range;
use hpke::aead::ChaCha20Poly1305;
use rand_core::CryptoRng;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use unjoin_core::Timestamp;
use unjoin_core::token::DoorAnswer;
use unjoin_core::wire::Message;

/// The keys of a gateway that have not ended, each with what it has opened.
///
/// ```
/// # use unjoin_core::{Timestamp, WEEK, secret::SystemRng, token::{DoorMessage, DoorQuestion}};
/// # use unjoin_door::{DoorError, GatewayKey, seal};
/// use unjoin_door::Gateway;
/// # let (rng, now) = (&mut SystemRng::new(), Timestamp::from_unix_seconds(1_700_438_400));
/// # let key = GatewayKey::generate(9, rng);
/// # let (config, ended) = (*key.config(), now.saturating_add(WEEK));
/// # let question = DoorMessage::new(DoorQuestion::Bundle { boundary: now, shard: 0, piece: 0 }).unwrap();
/// let mut gateway = Gateway::new("desk.example", 1 << 20)?;
/// gateway.serve(key, now..ended);
/// assert_eq!(gateway.configs(now), [config]);
/// // Each question is opened once, and none when its key has ended.
/// let (sealed, _waiting) = seal(&config, "desk.example", &question, rng)?;
/// assert!(gateway.open(&sealed, now).is_ok());
/// assert_eq!(gateway.open(&sealed, now).unwrap_err(), DoorError::Replayed);
/// gateway.forget_ended(ended);
/// assert_eq!(gateway.open(&sealed, now).unwrap_err(), DoorError::UnknownKey);
/// # Ok::<(), DoorError>(())
/// ```
pub struct Gateway {
    authority: Authority,
    keys: Vec<Served>,
    remembered: usize,
}

struct Served {
    /// In a place of its own: a list that grows or shrinks leaves copies of what moved.
    key: Box<GatewayKey>,
    valid: Range<Timestamp>,
    opened: Mutex<Opened>,
}

/// The encapsulated keys of what was opened, in memory alone: on a disk they would be a list of arrivals.
///
/// When the younger half is full the older one is forgotten. A filter that is full and refuses would let
/// anybody close the door for a key's life. What is forgotten can be played again, and whatever passes the door is
/// answered the same again.
#[derive(Default)]
struct Opened {
    younger: HashSet<[u8; 16]>,
    older: HashSet<[u8; 16]>,
}

impl Opened {
    /// Whether it was not here before. Half of the encapsulated key is enough: nobody meets 128 bits of another's.
    fn takes(&mut self, enc: &[u8; ohttp::ENC], remembered: usize) -> bool {
        let [mark, _]: [[u8; 16]; 2] = halves(enc);
        if self.older.contains(&mark) || !self.younger.insert(mark) {
            return false;
        }
        if self.younger.len() >= remembered.div_ceil(2) {
            self.older = core::mem::take(&mut self.younger);
        }
        true
    }
}

fn halves(enc: &[u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    halves.iter_mut().flatten().zip(enc).for_each(|(to, from)| *to = *from);
    halves
}

impl Gateway {
    /// A gateway for this host, without keys. Of each key it remembers at least the last half of `remembered` questions
    /// that it opened, at about 40 bytes each.
    ///
    /// # Errors
    /// [`DoorError::Authority`].
    pub fn new(authority: &str, remembered: usize) -> Result<Self, DoorError> {
        Ok(Self { authority: Authority::new(authority)?, keys: Vec::new(), remembered })
    }

    /// Serves this key until the end of `valid`. A key that is served already goes on as it is; another with
    /// its id takes its place.
    pub fn serve(&mut self, key: GatewayKey, valid: Range<Timestamp>) {
        if self.keys.iter().any(|served| served.key.config == key.config) {
            return;
        }
        self.keys.retain(|served| served.key.config.id != key.config.id);
        self.keys.push(Served { key: Box::new(key), valid, opened: Mutex::default() });
    }

    /// Erases the keys that have ended.
    pub fn forget_ended(&mut self, now: Timestamp) {
        self.keys.retain(|served| now < served.valid.end);
    }

    /// The configurations that hold now, the newest first.
    pub fn configs(&self, now: Timestamp) -> Vec<KeyConfig> {
        let mut held: Vec<_> = self.keys.iter().filter(|served| served.valid.contains(&now)).collect();
        held.sort_by_key(|served| core::cmp::Reverse(served.valid.start));
        held.into_iter().map(|served| served.key.config).collect()
    }

    /// The length of every request.
    pub fn request_length(&self) -> usize {
        self.authority.request_length() + ohttp::QUESTION_OVERHEAD
    }

    /// Opens a question: the bytes of a [`DoorMessage`](unjoin_core::token::DoorMessage), undecoded, and what
    /// seals the answer to it. What was sealed, and is not the door's one request, comes out as no bytes: the door
    /// refuses it within an answer like any other.
    ///
    /// A key that is to hold soon opens already, since a device's clock may be ahead.
    ///
    /// # Errors
    /// [`DoorError::Length`], [`DoorError::UnknownKey`] (also of a key that has ended), [`DoorError::Sealed`],
    /// [`DoorError::Replayed`]: nothing was opened, so no answer can be sealed.
    pub fn open(&self, sealed: &[u8], now: Timestamp) -> Result<(Vec<u8>, Reply), DoorError> {
        if sealed.len() != self.request_length() {
            return Err(DoorError::Length);
        }
        let named = ohttp::key_id(sealed);
        let served = self.keys.iter().find(|served| Some(served.key.config.id) == named);
        let served = served.filter(|served| now < served.valid.end).ok_or(DoorError::UnknownKey)?;
        let key = &served.key;
        let (request, shared) = ohttp::open::<ChaCha20Poly1305>(key.config.id, &key.secret, sealed)?;
        let mut opened = served.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if !opened.takes(shared.enc(), self.remembered) {
            return Err(DoorError::Replayed);
        }
        let content = self.authority.content(&request).unwrap_or_default().to_vec();
        Ok((content, Reply(shared)))
    }
}

unjoin_core::opaque!(Gateway);

/// What seals the answer to one question; erased on drop.
///
/// ```
/// # use unjoin_core::{Timestamp, WEEK, secret::SystemRng, token::{DoorAnswer, DoorMessage, DoorQuestion}};
/// # use unjoin_door::{Gateway, GatewayKey, seal};
/// # let (rng, now) = (&mut SystemRng::new(), Timestamp::from_unix_seconds(1_700_438_400));
/// # let (key, mut gateway) = (GatewayKey::generate(9, rng), Gateway::new("desk.example", 1 << 20)?);
/// # let question = DoorMessage::new(DoorQuestion::Bundle { boundary: now, shard: 0, piece: 0 }).unwrap();
/// # let (sealed, _waiting) = seal(key.config(), "desk.example", &question, rng)?;
/// # gateway.serve(key, now..now.saturating_add(WEEK));
/// let (message, reply) = gateway.open(&sealed, now)?;
/// assert_eq!(message.len(), DoorMessage::LENGTH);
/// let answer = reply.seal(&DoorAnswer::refused(409, "desk.spent"), rng);
/// assert_eq!(answer.len(), unjoin_door::ANSWER_LENGTH);
/// # Ok::<(), unjoin_door::DoorError>(())
/// ```
pub struct Reply(Shared);

impl Reply {
    /// Seals the answer, under a nonce of 32 bytes from `rng`: [`ANSWER_LENGTH`](crate::ANSWER_LENGTH) bytes of
    /// the type [`ANSWER_TYPE`](crate::ANSWER_TYPE).
    pub fn seal(self, answer: &DoorAnswer, rng: &mut (impl CryptoRng + ?Sized)) -> Vec<u8> {
        let mut nonce = [0; ohttp::NONCE];
        rng.fill_bytes(&mut nonce);
        // Lengths are fixed; nothing else can fail.
        self.0.seal::<ChaCha20Poly1305>(&nonce, &http::answer(&answer.to_bytes())).unwrap_or_default()
    }
}

unjoin_core::opaque!(Reply);
