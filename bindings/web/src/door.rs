//! The anonymous door over Oblivious HTTP, the device's side.

use crate::error::{Outcome, Thrown};
use crate::object::{bytes, object, time, whole};
use crate::trust::Trust;
use js_sys::{Object, Uint8Array};
use unjoin_core::Name;
use unjoin_core::entry::DoorKeyEntry;
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{CohortManifest, DoorMessage, DoorQuestion};
use unjoin_core::wire::Message;
use unjoin_door::{BundlePiece, DoorKeys, Waiting, seal};
use unjoin_log::CosignedEntry;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What the door answered, opened. */
export interface DoorAnswer {
  /** 200, or another for an error: then `body` is its code in UTF-8. */
  status: number;
  /** A receipt, a state, a piece of a bundle. */
  body: Uint8Array;
  /** All of it, for `Device.handle`. */
  message: Uint8Array;
}

/** What a bundle holds. Nothing of it is believed before it is checked: by `Device.handleManifests`, by `Door.admit`. */
export interface Bundle {
  manifests: Uint8Array[];
  /** Keys of the door. */
  keys: Uint8Array[];
  /** What was published, edited, withdrawn. */
  others: Uint8Array[];
}
"#;

/// Seals what passes the door, to the newest key that counts: one that the page ships, or that stands in the ledger.
#[wasm_bindgen]
pub struct Door {
    keys: DoorKeys,
    host: String,
}

#[wasm_bindgen]
impl Door {
    /// The door of this host, as `door-keys.json` names it. The reviews ledger must be pinned.
    #[wasm_bindgen(constructor)]
    pub fn new(trust: &Trust, host: String) -> Outcome<Door> {
        let ledger =
            trust.ledger.clone().ok_or_else(|| Thrown::argument("a ledger first: Trust.pinLedger"))?;
        unjoin_door::request_length(&host)?;
        Ok(Self { keys: DoorKeys::new(trust.platform_key, ledger, trust.roots.grid()), host })
    }

    /// Takes a key that the page ships, or one of `entries` that was kept: never one that came over an account's
    /// connection.
    pub fn pin(&mut self, entry: &[u8]) -> Outcome<()> {
        Ok(self.keys.pin(DoorKeyEntry::from_bytes(entry)?)?)
    }

    /// Takes a key out of a bundle, with the ledger's evidence for it.
    pub fn admit(&mut self, evidence: &[u8], now: f64) -> Outcome<()> {
        Ok(self.keys.admit(&CosignedEntry::from_bytes(evidence)?, time(now)?)?)
    }

    /// All keys, to keep and to `pin` again.
    pub fn entries(&self) -> Vec<Uint8Array> {
        self.keys.entries().iter().map(|entry| Uint8Array::from(&entry.to_bytes()[..])).collect()
    }

    /// Into how many shards bundles are cut: two to this power.
    #[wasm_bindgen(js_name = shardBits)]
    pub fn shard_bits(&self, now: f64) -> Outcome<u8> {
        let newest = self.keys.newest(time(now)?).ok_or_else(no_key)?;
        Ok(newest.shard_bits())
    }

    /// Seals a question: what `Device.next` gives for the door, or `bundleQuestion`. Post `body` to the relay with the type
    /// `message/ohttp-req` over a connection of its own, without credentials, referrer and cache. A retry is sealed anew.
    pub fn seal(&self, question: &[u8], now: f64) -> Outcome<SealedQuestion> {
        let question = DoorMessage::from_bytes(question)?;
        let key = self.keys.config(time(now)?).ok_or_else(no_key)?;
        let (body, waiting) = seal(&key, &self.host, &question, &mut SystemRng::new())?;
        Ok(SealedQuestion { body, waiting: Some(waiting) })
    }
}

fn no_key() -> Thrown {
    Thrown::argument("a key of the door that holds now: read the ledger, or update the page")
}

/// A sealed question, which waits for its answer.
#[wasm_bindgen]
pub struct SealedQuestion {
    body: Vec<u8>,
    waiting: Option<Waiting>,
}

#[wasm_bindgen]
impl SealedQuestion {
    /// What to post.
    #[wasm_bindgen(getter)]
    pub fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    /// Opens the relay's answer, once.
    #[wasm_bindgen(unchecked_return_type = "DoorAnswer")]
    pub fn open(&mut self, answer: &[u8]) -> Outcome<Object> {
        let answer = self.waiting.take().ok_or_else(Thrown::used)?.open(answer)?;
        Ok(object([
            ("status", answer.status().into()),
            ("body", bytes(answer.body())),
            ("message", bytes(answer.to_bytes())),
        ]))
    }
}

/// The question for a piece of a bundle: what the ledger holds of a boundary about all merchants of a shard. Ask for one
/// piece of each boundary at a random time; the first says of how many it is.
#[wasm_bindgen(js_name = bundleQuestion)]
pub fn bundle_question(boundary: f64, shard: f64, piece: f64) -> Outcome<Vec<u8>> {
    let question = DoorQuestion::Bundle {
        boundary: time(boundary)?,
        shard: whole(shard, "the shard: a number below 65,536")?,
        piece: whole(piece, "the piece: a number below 65,536")?,
    };
    let message = DoorMessage::new(question).ok_or_else(|| Thrown::argument("a shorter question"))?;
    Ok(message.to_bytes())
}

/// Which shard holds a merchant's manifests and reviews.
#[wasm_bindgen(js_name = shardOfMerchant)]
pub fn shard_of_merchant(merchant: &str, bits: f64) -> Outcome<u16> {
    Ok(BundlePiece::shard_of_merchant(&Name::new(merchant)?, whole(bits, "the bits: 0 to 16")?))
}

/// Of how many pieces the bundle is that this one, an answer's body, belongs to.
#[wasm_bindgen(js_name = piecesOfBundle)]
pub fn pieces_of_bundle(piece: &[u8]) -> Outcome<u16> {
    Ok(BundlePiece::from_bytes(piece)?.of())
}

/// Joins all pieces of a bundle.
#[wasm_bindgen(js_name = joinBundle, unchecked_return_type = "Bundle")]
pub fn join_bundle(pieces: Vec<Uint8Array>) -> Outcome<Object> {
    let read = |piece: &Uint8Array| BundlePiece::from_bytes(&piece.to_vec());
    let pieces = pieces.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let [manifests, keys, others] = [0; 3].map(|_| js_sys::Array::new());
    for entry in BundlePiece::join(&pieces)? {
        let bytes = bytes(entry.to_bytes());
        let claimed = entry.claimed_entry();
        if CohortManifest::from_bytes(claimed).is_ok() {
            manifests.push(&bytes);
        } else if DoorKeyEntry::from_bytes(claimed).is_ok() {
            keys.push(&bytes);
        } else {
            others.push(&bytes);
        }
    }
    Ok(object([("manifests", manifests.into()), ("keys", keys.into()), ("others", others.into())]))
}
