//! The device: `unjoin_wallet::Device` with JavaScript's types.

use crate::error::{Outcome, Thrown};
use crate::object::{array, bytes, object, seconds, set, time};
use crate::trust::Trust;
use js_sys::{Array, Object, Uint8Array};
use unjoin_core::Name;
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::token::{OrderHandle, Review};
use unjoin_core::wire::Message;
use unjoin_log::CosignedEntry;
use unjoin_wallet::{
    ManifestEvidence, PrivacyWarningKind, Reply, Request, ReviewPromise, ReviewStage, Wallet,
};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What to send. Those of the first line go under the account's session; nothing of that may go with the others. */
export type DeviceRequest =
  | { carriesAccount: true; kind: "nonce" }
  | { carriesAccount: true; kind: "enrol"; nonce: Uint8Array; enrolment: Uint8Array }
  | { carriesAccount: true; kind: "offer"; merchant: string; handle: string }
  | { carriesAccount: true; kind: "grant"; request: Uint8Array }
  /** All manifests of boundaries from `since` on, as bundles: answered by `handleManifests`. */
  | { carriesAccount: false; kind: "manifests"; since: number }
  /**
   * The bundle of this boundary that holds this merchant, whose name goes nowhere: answered by `handlePublished`. Asked only
   * once the ledger is required.
   */
  | { carriesAccount: false; kind: "published"; boundary: number; merchant: string }
  /** For `Door.seal`: answered by `handle` with the `message` of what `SealedQuestion.open` gives. */
  | { carriesAccount: false; kind: "door"; message: Uint8Array };

/** Something to send, now or later. */
export interface Action {
  /** Names it in `handle`; 0 for one that is not due. */
  number: number;
  /** Not before this time, in seconds since 1970. */
  at: number;
  /** What to send now, once; without it, ask `next` again at `at`. */
  request?: DeviceRequest;
}

/** Something in a review that may tell who wrote it: `text.slice(start, end)`. */
export interface Warning {
  kind:
    | "email-address" | "long-number" | "web-address" | "attachments" | "repeated-attachment"
    | "day" | "date" | "time" | "address" | "personal-name" | "order-detail" | "other";
  start: number;
  end: number;
}

export interface Draft {
  warnings: Warning[];
  /** At least so many other customers can have written it; absent before the cohort is sealed. */
  crowd?: number;
  /** When it appears if it is written now, in seconds since 1970. */
  appears?: number;
}

/** Where a review stands. An edit or a withdrawal shows once it has taken effect, and in nothing before. */
export interface ReviewStatus {
  handle: string;
  stage: "asking" | "open" | "waiting" | "appears" | "appeared" | "withdrawn" | "removed" | "over" | "refused";
  /** The boundary of "appears" and "appeared". */
  at?: number;
  /** The stage in English words. */
  words: string;
  /** The stage in Chinese words. */
  wordsZh: string;
  stars?: number;
  text?: string;
  /** The review service's promise: evidence, if the review does not appear. */
  receipt?: Uint8Array;
  /** Whether the promise was kept, once the ledger was read for it: to show, `promiseWords` or `promiseWordsZh`. */
  promise?: "kept" | "missing" | "changed";
  promiseWords?: string;
  promiseWordsZh?: string;
}
"#;

/// A shopper's device: a state machine that says what to send and when, and takes the answers.
///
/// 1. `next(now)` says what is due. Seal and store the device, *then* send.
/// 2. `handle`, `handleRefused` or `handleLost` takes what came of each. Seal and store.
/// 3. Call `next` again at the earliest `at`.
///
/// One tab acts at a time: hold a Web Lock from opening the blob to storing it. A page that only runs while
/// somebody looks at it sends reviews only if it is left open.
#[wasm_bindgen]
pub struct Device(unjoin_wallet::Device);

#[wasm_bindgen]
impl Device {
    /// A new device for the account that is logged in. `seed` is 32 bytes of `crypto.getRandomValues`: who has it can
    /// restore the device, and can show which reviews are its own.
    pub fn create(seed: &[u8], issuer: &str, account: &str, trust: &Trust) -> Outcome<Device> {
        let (wallet, issuer, account) = (wallet(seed)?, Name::new(issuer)?, Name::new(account)?);
        Ok(Self(unjoin_wallet::Device::create(wallet, issuer, account, trust.roots.clone())))
    }

    /// The device of a seed that had one before, when its blob is gone. Tell it all orders that are or were eligible.
    pub fn restore(seed: &[u8], issuer: &str, account: &str, trust: &Trust) -> Outcome<Device> {
        restored(wallet(seed)?, issuer, account, trust)
    }

    /// The same from the `recoveryCode` that its owner wrote down.
    #[wasm_bindgen(js_name = restoreCode)]
    pub fn restore_code(code: &str, issuer: &str, account: &str, trust: &Trust) -> Outcome<Device> {
        restored(Wallet::from_recovery_code(code)?, issuer, account, trust)
    }

    /// Opens what `seal` made, under the same key.
    pub fn open(sealed: &[u8], key: &[u8], trust: &Trust) -> Outcome<Device> {
        let key = SecretBytes::new(array(key, "the key")?);
        Ok(Self(unjoin_wallet::Device::open(sealed, &key, trust.roots.clone())?))
    }

    /// The whole device in one blob under a key of 32 random bytes. Store it in place of the one before.
    pub fn seal(&self, key: &[u8]) -> Outcome<Vec<u8>> {
        let key = SecretBytes::new(array(key, "the key")?);
        Ok(self.0.seal(&key, &mut SystemRng::new()))
    }

    /// The seed as its owner writes it down: 14 groups of 4 letters and digits. Who has it can restore the device.
    #[wasm_bindgen(js_name = recoveryCode)]
    pub fn recovery_code(&self) -> String {
        self.0.recovery_code().to_string()
    }

    /// A request went under the account which this device does not know of: nothing passes the door in the half hour
    /// after it.
    #[wasm_bindgen(js_name = accountUsed)]
    pub fn account_used(&mut self, now: f64) -> Outcome<()> {
        self.0.account_used(time(now)?);
        Ok(())
    }

    /// The order can get a token. Tell it for **every** order, whether there will be a review or not; the handle is
    /// what the service gave for it, 32 hexadecimal digits.
    #[wasm_bindgen(js_name = orderEligible)]
    pub fn order_eligible(&mut self, merchant: &str, handle: &str, now: f64) -> Outcome<()> {
        let (merchant, handle, now) = (Name::new(merchant)?, order(handle)?, time(now)?);
        Ok(self.0.order_eligible(merchant, handle, now, &mut SystemRng::new())?)
    }

    /// Forgets an order and its review.
    pub fn forget(&mut self, handle: &str) -> Outcome<()> {
        Ok(self.0.forget(order(handle)?)?)
    }

    /// What to send now, and when to ask again; what is due first.
    #[wasm_bindgen(unchecked_return_type = "Action[]")]
    pub fn next(&mut self, now: f64) -> Outcome<Array> {
        let actions = self.0.next(time(now)?, &mut SystemRng::new());
        let object_of = |action: &unjoin_wallet::Action| {
            let shown = object([("number", action.number.into()), ("at", seconds(action.at))]);
            if let Some(request) = &action.request {
                set(&shown, "request", request_object(request));
            }
            shown
        };
        Ok(actions.iter().map(object_of).collect())
    }

    /// Takes the answer to the action of this number: the bytes of its message, none for an enrolment.
    pub fn handle(&mut self, number: u32, answer: &[u8], now: f64) -> Outcome<()> {
        self.reply(number, Reply::Answer(answer.to_vec()), now)
    }

    /// Takes the manifests that were asked for: of a bundle, or signed by the platform where no ledger is required.
    #[wasm_bindgen(js_name = handleManifests)]
    pub fn handle_manifests(&mut self, number: u32, manifests: Vec<Uint8Array>, now: f64) -> Outcome<()> {
        let read = |bytes: &Uint8Array| ManifestEvidence::from_bytes(&bytes.to_vec());
        let manifests = manifests.iter().map(read).collect::<Result<_, _>>()?;
        self.reply(number, Reply::Manifests(manifests), now)
    }

    /// Takes all that the bundle holds which was asked for: manifests, keys and others.
    #[wasm_bindgen(js_name = handlePublished)]
    pub fn handle_published(&mut self, number: u32, entries: Vec<Uint8Array>, now: f64) -> Outcome<()> {
        let read = |bytes: &Uint8Array| CosignedEntry::from_bytes(&bytes.to_vec());
        let entries = entries.iter().map(read).collect::<Result<_, _>>()?;
        self.reply(number, Reply::Published(entries), now)
    }

    /// The service refused it, by this code of its problem document.
    #[wasm_bindgen(js_name = handleRefused)]
    pub fn handle_refused(&mut self, number: u32, code: String, now: f64) -> Outcome<()> {
        self.reply(number, Reply::Refused(code), now)
    }

    /// No answer came, or none that can be read.
    #[wasm_bindgen(js_name = handleLost)]
    pub fn handle_lost(&mut self, number: u32, now: f64) -> Outcome<()> {
        self.reply(number, Reply::Lost, now)
    }

    fn reply(&mut self, number: u32, reply: Reply, now: f64) -> Outcome<()> {
        Ok(self.0.handle(number, reply, time(now)?, &mut SystemRng::new())?)
    }

    /// Looks at a review before it is written: what in it may tell who wrote it, how large its crowd is, when it appears.
    /// `known` are words that the shop connects with this order; they are looked for, and kept nowhere.
    #[wasm_bindgen(js_name = draftReview, unchecked_return_type = "Draft")]
    pub fn draft_review(
        &self,
        handle: &str,
        stars: u8,
        text: &str,
        known: Vec<String>,
        now: f64,
    ) -> Outcome<Object> {
        let review = Review::new(stars, text, vec![])?;
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let draft = self.0.draft_review(order(handle)?, &review, &known, time(now)?)?;
        let warning = |warning: &unjoin_wallet::PrivacyWarning| {
            object([
                ("kind", kind(warning.kind).into()),
                ("start", units_before(text, warning.place.start)),
                ("end", units_before(text, warning.place.end)),
            ])
        };
        let warnings: Array = draft.warnings.iter().map(warning).collect();
        let shown = object([("warnings", warnings.into())]);
        if let Some(crowd) = draft.crowd {
            set(&shown, "crowd", crowd);
        }
        if let Some(appears) = draft.appears {
            set(&shown, "appears", seconds(appears));
        }
        Ok(shown)
    }

    /// Writes the order's review; it is sent by itself.
    #[wasm_bindgen(js_name = writeReview)]
    pub fn write_review(&mut self, handle: &str, stars: u8, text: &str, now: f64) -> Outcome<()> {
        let review = Review::new(stars, text, vec![])?;
        Ok(self.0.write_review(order(handle)?, review, time(now)?, &mut SystemRng::new())?)
    }

    /// Edits it. It is sent at a random time, and shows once it has taken effect.
    #[wasm_bindgen(js_name = editReview)]
    pub fn edit_review(&mut self, handle: &str, stars: u8, text: &str, now: f64) -> Outcome<()> {
        let review = Review::new(stars, text, vec![])?;
        Ok(self.0.edit_review(order(handle)?, review, time(now)?, &mut SystemRng::new())?)
    }

    /// Withdraws it, for good. It is sent at a random time, and shows once it has taken effect.
    #[wasm_bindgen(js_name = withdrawReview)]
    pub fn withdraw_review(&mut self, handle: &str, now: f64) -> Outcome<()> {
        Ok(self.0.withdraw_review(order(handle)?, time(now)?, &mut SystemRng::new())?)
    }

    /// All orders, and where their reviews stand.
    #[wasm_bindgen(unchecked_return_type = "ReviewStatus[]")]
    pub fn reviews(&self, now: f64) -> Outcome<Array> {
        let object_of = |status: &unjoin_wallet::ReviewStatus| {
            let (stage, at) = stage(status.stage);
            let shown = object([
                ("handle", status.handle.to_string().into()),
                ("stage", stage.into()),
                ("words", status.stage.to_string().into()),
                ("wordsZh", status.stage.in_chinese().into()),
            ]);
            if let Some(at) = at {
                set(&shown, "at", seconds(at));
            }
            if let Some(review) = &status.review {
                set(&shown, "stars", review.stars());
                set(&shown, "text", review.text());
            }
            if let Some(receipt) = &status.receipt {
                set(&shown, "receipt", bytes(receipt.to_bytes()));
            }
            if let Some(kept) = status.promise {
                set(&shown, "promise", promise(kept));
                set(&shown, "promiseWords", kept.to_string());
                set(&shown, "promiseWordsZh", kept.in_chinese());
            }
            shown
        };
        Ok(self.0.reviews(time(now)?).iter().map(object_of).collect())
    }
}

fn wallet(seed: &[u8]) -> Outcome<Wallet> {
    Ok(Wallet::from_seed(SecretBytes::new(array(seed, "the seed")?)))
}

fn restored(wallet: Wallet, issuer: &str, account: &str, trust: &Trust) -> Outcome<Device> {
    let (issuer, account) = (Name::new(issuer)?, Name::new(account)?);
    Ok(Device(unjoin_wallet::Device::restore(wallet, issuer, account, trust.roots.clone())))
}

fn order(handle: &str) -> Outcome<OrderHandle> {
    handle.parse().map_err(|_| Thrown::argument("the order's handle: 32 hexadecimal digits"))
}

fn request_object(request: &Request) -> Object {
    let shown = object([("carriesAccount", request.carries_account().into())]);
    let kind = match request {
        Request::Nonce => "nonce",
        Request::Enrol { nonce, enrolment } => {
            set(&shown, "nonce", bytes(nonce));
            set(&shown, "enrolment", bytes(enrolment.to_bytes()));
            "enrol"
        }
        Request::Offer { merchant, handle } => {
            set(&shown, "merchant", merchant.as_str().unwrap_or_default());
            set(&shown, "handle", handle.to_string());
            "offer"
        }
        Request::Grant(request) => {
            set(&shown, "request", bytes(request.to_bytes()));
            "grant"
        }
        Request::Manifests { since } => {
            set(&shown, "since", seconds(*since));
            "manifests"
        }
        Request::Published { boundary, merchant } => {
            set(&shown, "boundary", seconds(*boundary));
            set(&shown, "merchant", merchant.as_str().unwrap_or_default());
            "published"
        }
        Request::Door(message) => {
            set(&shown, "message", bytes(message));
            "door"
        }
        _ => "unknown",
    };
    set(&shown, "kind", kind);
    shown
}

fn stage(stage: ReviewStage) -> (&'static str, Option<unjoin_core::Timestamp>) {
    match stage {
        ReviewStage::Asking => ("asking", None),
        ReviewStage::Open => ("open", None),
        ReviewStage::Waiting => ("waiting", None),
        ReviewStage::Appears(at) => ("appears", Some(at)),
        ReviewStage::Appeared(at) => ("appeared", Some(at)),
        ReviewStage::Withdrawn => ("withdrawn", None),
        ReviewStage::Removed => ("removed", None),
        ReviewStage::Over => ("over", None),
        ReviewStage::Refused => ("refused", None),
        _ => ("unknown", None),
    }
}

fn promise(promise: ReviewPromise) -> &'static str {
    match promise {
        ReviewPromise::Kept => "kept",
        ReviewPromise::Missing => "missing",
        ReviewPromise::Changed => "changed",
        _ => "unknown",
    }
}

fn kind(kind: PrivacyWarningKind) -> &'static str {
    match kind {
        PrivacyWarningKind::EmailAddress => "email-address",
        PrivacyWarningKind::LongNumber => "long-number",
        PrivacyWarningKind::WebAddress => "web-address",
        PrivacyWarningKind::Attachments => "attachments",
        PrivacyWarningKind::RepeatedAttachment => "repeated-attachment",
        PrivacyWarningKind::Day => "day",
        PrivacyWarningKind::Date => "date",
        PrivacyWarningKind::Time => "time",
        PrivacyWarningKind::Address => "address",
        PrivacyWarningKind::PersonalName => "personal-name",
        PrivacyWarningKind::OrderDetail => "order-detail",
        _ => "other",
    }
}

/// JavaScript's strings count units of UTF-16, ours bytes.
fn units_before(text: &str, byte: usize) -> JsValue {
    let units = text.get(..byte).unwrap_or(text).encode_utf16().count();
    (units as u32).into()
}
