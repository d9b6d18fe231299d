//! The anonymous door: `unjoin_door` for phones.

use crate::error::{Outcome, UnjoinError, argument, used};
use crate::trust::Trust;
use crate::{lock, time};
use std::sync::{Arc, Mutex};
use unjoin_core::Name;
use unjoin_core::entry::DoorKeyEntry;
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{CohortManifest, DoorMessage, DoorQuestion};
use unjoin_core::wire::Message;
use unjoin_door::{BundlePiece, DoorKeys, Waiting, seal};
use unjoin_log::CosignedEntry;

/// What the door answered, opened.
#[derive(uniffi::Record)]
pub struct DoorAnswer {
    /// 200, or another for an error: then `body` is its code in UTF-8.
    pub status: u16,
    /// A receipt, a state, a piece of a bundle.
    pub body: Vec<u8>,
    /// All of it, for `Device.handle`.
    pub message: Vec<u8>,
}

/// What a bundle holds. Nothing of it is believed before it is checked: by `Device`, by `Door.admit`.
#[derive(uniffi::Record)]
pub struct Bundle {
    /// For `Device.handleManifests`.
    pub manifests: Vec<Vec<u8>>,
    /// Keys of the door, for `Door.admit`.
    pub keys: Vec<Vec<u8>>,
    /// What was published, edited, withdrawn.
    pub others: Vec<Vec<u8>>,
}

/// Seals what passes the door, to the newest key that counts: one that the app ships, or that stands in the ledger.
#[derive(uniffi::Object)]
pub struct Door {
    keys: Mutex<DoorKeys>,
    host: String,
}

#[uniffi::export]
impl Door {
    /// The door of this host, as `door-keys.json` names it. The reviews ledger must be pinned.
    #[uniffi::constructor]
    pub fn new(trust: Arc<Trust>, host: String) -> Outcome<Self> {
        let pins = trust.pins();
        let ledger = pins.ledger.ok_or_else(|| argument("a ledger first: Trust.pinLedger"))?;
        unjoin_door::request_length(&host)?;
        let keys = DoorKeys::new(pins.platform_key, ledger, pins.roots.grid());
        Ok(Self { keys: Mutex::new(keys), host })
    }

    /// Takes a key that the app ships, or one of `entries` that was kept: never one that came over an account's connection.
    pub fn pin(&self, entry: Vec<u8>) -> Outcome<()> {
        Ok(lock(&self.keys).pin(DoorKeyEntry::from_bytes(&entry)?)?)
    }

    /// Takes a key out of a bundle, with the ledger's evidence for it.
    pub fn admit(&self, evidence: Vec<u8>, now: i64) -> Outcome<()> {
        Ok(lock(&self.keys).admit(&CosignedEntry::from_bytes(&evidence)?, time(now)?)?)
    }

    /// All keys, to keep and to `pin` again.
    pub fn entries(&self) -> Vec<Vec<u8>> {
        lock(&self.keys).entries().iter().map(DoorKeyEntry::to_bytes).collect()
    }

    /// Into how many shards bundles are cut: two to this power.
    pub fn shard_bits(&self, now: i64) -> Outcome<u8> {
        let now = time(now)?;
        Ok(lock(&self.keys).newest(now).ok_or_else(no_key)?.shard_bits())
    }

    /// Seals a question: what `Device.next` gives for the door, or `bundleQuestion`. Post `body` to the relay with the type
    /// `message/ohttp-req` over a connection of its own, without cookies and cache. A retry is sealed anew.
    pub fn seal(&self, question: Vec<u8>, now: i64) -> Outcome<SealedQuestion> {
        let question = DoorMessage::from_bytes(&question)?;
        let key = lock(&self.keys).config(time(now)?).ok_or_else(no_key)?;
        let (body, waiting) = seal(&key, &self.host, &question, &mut SystemRng::new())?;
        Ok(SealedQuestion { body, waiting: Mutex::new(Some(waiting)) })
    }
}

fn no_key() -> UnjoinError {
    argument("a key of the door that holds now: read the ledger, or update the app")
}

/// A sealed question, which waits for its answer.
#[derive(uniffi::Object)]
pub struct SealedQuestion {
    body: Vec<u8>,
    waiting: Mutex<Option<Waiting>>,
}

#[uniffi::export]
impl SealedQuestion {
    /// What to post.
    pub fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    /// Opens the relay's answer, once.
    pub fn open(&self, answer: Vec<u8>) -> Outcome<DoorAnswer> {
        let waiting = lock(&self.waiting).take().ok_or_else(used)?;
        let answer = waiting.open(&answer)?;
        let (status, body) = (answer.status(), answer.body().to_vec());
        Ok(DoorAnswer { status, body, message: answer.to_bytes() })
    }
}

/// The question for a piece of a bundle: what the ledger holds of a boundary about all merchants of a shard. Ask for one
/// piece of each boundary at a random time; the first says of how many it is.
#[uniffi::export]
pub fn bundle_question(boundary: i64, shard: u16, piece: u16) -> Outcome<Vec<u8>> {
    let question = DoorQuestion::Bundle { boundary: time(boundary)?, shard, piece };
    Ok(DoorMessage::new(question).ok_or_else(|| argument("a shorter question"))?.to_bytes())
}

/// Which shard holds a merchant's manifests and reviews.
#[uniffi::export]
pub fn shard_of_merchant(merchant: String, bits: u8) -> Outcome<u16> {
    Ok(BundlePiece::shard_of_merchant(&Name::new(&merchant)?, bits))
}

/// Of how many pieces the bundle is that this one, an answer's body, belongs to.
#[uniffi::export]
pub fn pieces_of_bundle(piece: Vec<u8>) -> Outcome<u16> {
    Ok(BundlePiece::from_bytes(&piece)?.of())
}

/// Joins all pieces of a bundle.
#[uniffi::export]
pub fn join_bundle(pieces: Vec<Vec<u8>>) -> Outcome<Bundle> {
    let pieces = pieces.iter().map(|piece| BundlePiece::from_bytes(piece)).collect::<Result<Vec<_>, _>>()?;
    let mut bundle = Bundle { manifests: Vec::new(), keys: Vec::new(), others: Vec::new() };
    for entry in BundlePiece::join(&pieces)? {
        let claimed = entry.claimed_entry();
        let part = if CohortManifest::from_bytes(claimed).is_ok() {
            &mut bundle.manifests
        } else if DoorKeyEntry::from_bytes(claimed).is_ok() {
            &mut bundle.keys
        } else {
            &mut bundle.others
        };
        part.push(entry.to_bytes());
    }
    Ok(bundle)
}
