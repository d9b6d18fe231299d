//! What is sent: a message to the door itself, or sealed for its gateway and posted to a relay.

use crate::client::{Answered, Outcome};
use crate::device::text;
use crate::words::At;
use base64ct::{Base64UrlUnpadded, Encoding};
use hyper::body::Bytes;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use unjoin::ledger::DoorKeyEntry;
use unjoin::secret::SystemRng;
use unjoin::token::DoorMessage;
use unjoin::wire::Message;
use unjoin::{Clock, SystemClock};
use unjoin_door::{KeyConfig, REQUEST_TYPE, Waiting, seal};

/// ADDRESS/PATH, as the command line has it.
#[derive(Clone)]
pub(crate) struct RelayAt {
    pub(crate) address: SocketAddr,
    path: String,
}

impl FromStr for RelayAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, path) = text.split_once('/').ok_or("a relay is ADDRESS/PATH")?;
        let address = address.parse().map_err(|_| "a relay's address is an IP address and a port")?;
        Ok(Self { address, path: format!("/{path}") })
    }
}

/// Whom questions are sealed to.
pub(crate) struct Door {
    host: String,
    key: KeyConfig,
}

impl Door {
    /// The newest key in the file that the service writes; an app looks for it in the ledger.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let file: Value = serde_json::from_slice(&std::fs::read(path).at(path)?).at(path)?;
        let (mut newest, now) = (None, SystemClock.now());
        for key in file["keys"].as_array().ok_or("the file has no keys")? {
            let key = Base64UrlUnpadded::decode_vec(key.as_str().unwrap_or_default());
            let key = DoorKeyEntry::from_bytes(&key.map_err(|_| "no base64url")?)?;
            newest = Some(key).filter(|key| key.holds_at(now)).or(newest);
        }
        let newest = newest.ok_or("no key of the door holds now: start the service")?;
        Ok(Self { host: text(&file, "host")?.to_owned(), key: KeyConfig::from(&newest) })
    }
}

/// A whole request, and what opens its answer.
pub(crate) struct Prepared {
    pub(crate) request: Bytes,
    waiting: Mutex<Option<Waiting>>,
}

impl Prepared {
    pub(crate) fn direct(message: &[u8]) -> Self {
        let request = post("/door", "application/octet-stream", message);
        Self { request, waiting: Mutex::default() }
    }

    pub(crate) fn sealed(message: &[u8], door: &Door, relay: &RelayAt) -> Outcome<Self> {
        let message = DoorMessage::from_bytes(message)?;
        let (sealed, waiting) = seal(&door.key, &door.host, &message, &mut SystemRng::new())?;
        let request = post(&relay.path, REQUEST_TYPE, &sealed);
        Ok(Self { request, waiting: Mutex::new(Some(waiting)) })
    }

    /// The answer as the door itself gives it.
    pub(crate) fn open(&self, answered: Answered) -> Outcome<Answered> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        match waiting.filter(|_| answered.status.is_success()) {
            Some(waiting) => {
                Ok(Answered { body: waiting.open(&answered.body)?.to_bytes().into(), ..answered })
            }
            None => Ok(answered),
        }
    }
}

/// The whole request.
pub(crate) fn post(path: &str, kind: &str, body: &[u8]) -> Bytes {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: service.example\r\ncontent-type: {kind}\r\n");
    let head = format!("{head}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat().into()
}
