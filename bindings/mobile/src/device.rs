//! The device: `unjoin_wallet::Device` with the types of phones.

use crate::error::{Outcome, argument};
use crate::trust::Trust;
use crate::{array, lock, seconds, time};
use std::sync::{Arc, Mutex};
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::token::{OrderHandle, Review};
use unjoin_core::wire::Message;
use unjoin_core::{Name, PassphraseCost};
use unjoin_log::CosignedEntry;
use unjoin_wallet::{
    ManifestEvidence, PrivacyWarningKind, Reply, Request, ReviewStage, SealedBackup, Wallet, open_backup,
};

/// What to send.
#[derive(uniffi::Enum)]
pub enum DeviceRequest {
    /// Under the account: a nonce to enrol with.
    Nonce,
    /// Under the account: enrols the wallet. Answered by nothing.
    Enrol {
        /// The nonce that was answered.
        nonce: Vec<u8>,
        /// Made over it.
        enrolment: Vec<u8>,
    },
    /// Under the account: asks what is on offer for an order.
    Offer {
        /// Whose order.
        merchant: String,
        /// Which.
        handle: String,
    },
    /// Under the account: asks for a token.
    Grant {
        /// The message.
        request: Vec<u8>,
    },
    /// All manifests of boundaries from `since` on, as bundles: answered by `handleManifests`.
    Manifests {
        /// Seconds since 1970.
        since: i64,
    },
    /// The bundle of this boundary that holds this merchant, whose name goes nowhere: answered by `handlePublished`. Asked
    /// only once the ledger is required.
    Published {
        /// Seconds since 1970.
        boundary: i64,
        /// For `shardOfMerchant`.
        merchant: String,
    },
    /// For `Door.seal`: answered by `handle` with the `message` of what `SealedQuestion.open` gives.
    Door {
        /// The question.
        message: Vec<u8>,
    },
}

/// Something to send, now or later.
#[derive(uniffi::Record)]
pub struct Action {
    /// Names it in `handle`; 0 for one that is not due.
    pub number: u32,
    /// Not before this time, in seconds since 1970.
    pub at: i64,
    /// Whether the request goes under the account's session. If not, nothing of that may go with it.
    pub carries_account: bool,
    /// What to send now, once; without it, ask `next` again at `at`.
    pub request: Option<DeviceRequest>,
}

/// What a passage of a review may tell.
#[derive(uniffi::Enum)]
#[allow(missing_docs, reason = "each says itself what it is")]
pub enum WarningKind {
    EmailAddress,
    LongNumber,
    WebAddress,
    Attachments,
    RepeatedAttachment,
    Day,
    Date,
    Time,
    Address,
    PersonalName,
    OrderDetail,
    Other,
}

/// Something in a review that may tell who wrote it.
#[derive(uniffi::Record)]
pub struct Warning {
    /// What it may tell.
    pub kind: WarningKind,
    /// Where it begins, in units of UTF-16, which Kotlin's strings and Swift's `utf16` count.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// The passage itself.
    pub passage: String,
}

/// What to show the author before a review is written.
#[derive(uniffi::Record)]
pub struct Draft {
    /// What may tell who wrote it.
    pub warnings: Vec<Warning>,
    /// At least so many other customers can have written it; absent before the cohort is sealed.
    pub crowd: Option<u32>,
    /// When it appears if it is written now, in seconds since 1970.
    pub appears: Option<i64>,
}

/// Where a review stands. An edit or a withdrawal shows once it has taken effect, and in nothing before.
#[derive(uniffi::Enum)]
pub enum Stage {
    /// There is no token yet, and no review.
    Asking,
    /// A review can be written.
    Open,
    /// Written: it waits for its token, or for the cohort to be sealed.
    Waiting,
    /// It appears at the boundary `at`.
    Appears,
    /// It has appeared, at the boundary `at`.
    Appeared,
    /// Its author took it back.
    Withdrawn,
    /// The platform took it out of the listing.
    Removed,
    /// The time to review is over; nothing was sent.
    Over,
    /// The order gets no token.
    Refused,
    /// A newer one than this package knows.
    Unknown,
}

/// What the ledger shows of a review that was promised to appear.
#[derive(uniffi::Enum)]
pub enum Promise {
    /// It stands there as it was promised.
    Kept,
    /// It was not among what the ledger showed of its boundary.
    Missing,
    /// Something else stands there under its id.
    Changed,
}

/// An order, and where its review stands.
#[derive(uniffi::Record)]
pub struct ReviewStatus {
    /// The order: 32 hexadecimal digits.
    pub handle: String,
    /// Where its review stands.
    pub stage: Stage,
    /// The boundary of "appears" and "appeared", in seconds since 1970.
    pub at: Option<i64>,
    /// The stage in English words.
    pub words: String,
    /// The stage in Chinese words.
    pub words_zh: String,
    /// The stars that are in force.
    pub stars: Option<u8>,
    /// The words that are in force.
    pub text: Option<String>,
    /// The review service's promise: evidence, if the review does not appear.
    pub receipt: Option<Vec<u8>>,
    /// Whether the promise was kept, once the ledger was read for it.
    pub promise: Option<Promise>,
    /// That in English words.
    pub promise_words: Option<String>,
    /// That in Chinese words.
    pub promise_words_zh: Option<String>,
}

/// A shopper's device: a state machine that says what to send and when, and takes the answers.
///
/// 1. `next(now)` says what is due. Seal and store the device, *then* send.
/// 2. `handle`, `handleRefused` or `handleLost` takes what came of each. Seal and store.
/// 3. Call `next` again at the earliest `at`, from a background task.
///
/// One process acts at a time, from opening the blob to storing it.
#[derive(uniffi::Object)]
pub struct Device(Mutex<unjoin_wallet::Device>);

impl Device {
    fn of(device: unjoin_wallet::Device) -> Self {
        Self(Mutex::new(device))
    }

    fn reply(&self, number: u32, reply: Reply, now: i64) -> Outcome<()> {
        let now = time(now)?;
        Ok(lock(&self.0).handle(number, reply, now, &mut SystemRng::new())?)
    }
}

#[uniffi::export]
impl Device {
    /// A new device for the account that is logged in. `seed` is 32 bytes of the machine's generator: who has it can restore
    /// the device, and can show which reviews are its own.
    #[uniffi::constructor]
    pub fn create(seed: Vec<u8>, issuer: String, account: String, trust: Arc<Trust>) -> Outcome<Self> {
        let (wallet, issuer, account) = (wallet(&seed)?, Name::new(&issuer)?, Name::new(&account)?);
        Ok(Self::of(unjoin_wallet::Device::create(wallet, issuer, account, trust.pins().roots)))
    }

    /// The device of a seed that had one before, when its blob is gone. Tell it all orders that are or were eligible.
    #[uniffi::constructor]
    pub fn restore(seed: Vec<u8>, issuer: String, account: String, trust: Arc<Trust>) -> Outcome<Self> {
        let (wallet, issuer, account) = (wallet(&seed)?, Name::new(&issuer)?, Name::new(&account)?);
        Ok(Self::of(unjoin_wallet::Device::restore(wallet, issuer, account, trust.pins().roots)))
    }

    /// The same from what `backUp` made.
    #[uniffi::constructor]
    pub fn restore_backup(
        backup: Vec<u8>,
        passphrase: String,
        issuer: String,
        account: String,
        trust: Arc<Trust>,
    ) -> Outcome<Self> {
        let (issuer, account) = (Name::new(&issuer)?, Name::new(&account)?);
        let (wallet, _) = open_backup(&SealedBackup::from_bytes(&backup)?, passphrase.as_bytes())?;
        Ok(Self::of(unjoin_wallet::Device::restore(wallet, issuer, account, trust.pins().roots)))
    }

    /// The same from the `recoveryCode` that its owner wrote down.
    #[uniffi::constructor]
    pub fn restore_code(code: String, issuer: String, account: String, trust: Arc<Trust>) -> Outcome<Self> {
        let (issuer, account) = (Name::new(&issuer)?, Name::new(&account)?);
        let wallet = Wallet::from_recovery_code(&code)?;
        Ok(Self::of(unjoin_wallet::Device::restore(wallet, issuer, account, trust.pins().roots)))
    }

    /// Opens what `seal` made, under the same key.
    #[uniffi::constructor]
    pub fn open(sealed: Vec<u8>, key: Vec<u8>, trust: Arc<Trust>) -> Outcome<Self> {
        let key = SecretBytes::new(array(&key, "the key")?);
        Ok(Self::of(unjoin_wallet::Device::open(&sealed, &key, trust.pins().roots)?))
    }

    /// The whole device in one blob under a key of 32 random bytes, of the platform's keystore. Store it in place of the one
    /// before.
    pub fn seal(&self, key: Vec<u8>) -> Outcome<Vec<u8>> {
        let key = SecretBytes::new(array(&key, "the key")?);
        Ok(lock(&self.0).seal(&key, &mut SystemRng::new()))
    }

    /// Seed and tokens under a passphrase, for another phone. It takes 64 MiB and a good part of a second: not on the
    /// thread that draws. The app settles the passphrase's form (NFKC), so that another keyboard opens it, too.
    pub fn back_up(&self, passphrase: String) -> Outcome<Vec<u8>> {
        let rng = &mut SystemRng::new();
        Ok(lock(&self.0).back_up(passphrase.as_bytes(), PassphraseCost::default(), rng)?.to_bytes())
    }

    /// The seed as its owner writes it down: 14 groups of 4 letters and digits. Who has it can restore the device.
    pub fn recovery_code(&self) -> String {
        lock(&self.0).recovery_code().to_string()
    }

    /// A request went under the account which this device does not know of: nothing passes the door in the half hour
    /// after it.
    pub fn account_used(&self, now: i64) -> Outcome<()> {
        lock(&self.0).account_used(time(now)?);
        Ok(())
    }

    /// The order can get a token. Tell it for **every** order, whether there will be a review or not; the handle is
    /// what the service gave for it, 32 hexadecimal digits.
    pub fn order_eligible(&self, merchant: String, handle: String, now: i64) -> Outcome<()> {
        let (merchant, handle, now) = (Name::new(&merchant)?, order(&handle)?, time(now)?);
        Ok(lock(&self.0).order_eligible(merchant, handle, now, &mut SystemRng::new())?)
    }

    /// Forgets an order and its review.
    pub fn forget(&self, handle: String) -> Outcome<()> {
        Ok(lock(&self.0).forget(order(&handle)?)?)
    }

    /// What to send now, and when to ask again; what is due first.
    pub fn next(&self, now: i64) -> Outcome<Vec<Action>> {
        let actions = lock(&self.0).next(time(now)?, &mut SystemRng::new());
        let shown = |action: unjoin_wallet::Action| Action {
            number: action.number,
            at: seconds(action.at),
            carries_account: action.request.as_ref().is_some_and(Request::carries_account),
            request: action.request.and_then(request),
        };
        Ok(actions.into_iter().map(shown).collect())
    }

    /// Takes the answer to the action of this number: the bytes of its message, none for an enrolment.
    pub fn handle(&self, number: u32, answer: Vec<u8>, now: i64) -> Outcome<()> {
        self.reply(number, Reply::Answer(answer), now)
    }

    /// Takes the manifests that were asked for: of a bundle, or signed by the platform where no ledger is required.
    pub fn handle_manifests(&self, number: u32, manifests: Vec<Vec<u8>>, now: i64) -> Outcome<()> {
        let manifests = manifests.iter().map(|bytes| ManifestEvidence::from_bytes(bytes));
        self.reply(number, Reply::Manifests(manifests.collect::<Result<_, _>>()?), now)
    }

    /// Takes all that the bundle holds which was asked for: manifests, keys and others.
    pub fn handle_published(&self, number: u32, entries: Vec<Vec<u8>>, now: i64) -> Outcome<()> {
        let entries = entries.iter().map(|bytes| CosignedEntry::from_bytes(bytes));
        self.reply(number, Reply::Published(entries.collect::<Result<_, _>>()?), now)
    }

    /// The service refused it, by this code of its problem document.
    pub fn handle_refused(&self, number: u32, code: String, now: i64) -> Outcome<()> {
        self.reply(number, Reply::Refused(code), now)
    }

    /// No answer came, or none that can be read.
    pub fn handle_lost(&self, number: u32, now: i64) -> Outcome<()> {
        self.reply(number, Reply::Lost, now)
    }

    /// Looks at a review before it is written: what in it may tell who wrote it, how large its crowd is, when it appears.
    /// `known` are words that the shop connects with this order; they are looked for, and kept nowhere.
    pub fn draft_review(
        &self,
        handle: String,
        stars: u8,
        text: String,
        known: Vec<String>,
        now: i64,
    ) -> Outcome<Draft> {
        let review = Review::new(stars, &*text, vec![])?;
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let draft = lock(&self.0).draft_review(order(&handle)?, &review, &known, time(now)?)?;
        let shown = |warning: unjoin_wallet::PrivacyWarning| Warning {
            kind: kind(warning.kind),
            start: units_before(&text, warning.place.start),
            end: units_before(&text, warning.place.end),
            passage: text.get(warning.place).unwrap_or_default().to_owned(),
        };
        Ok(Draft {
            warnings: draft.warnings.into_iter().map(shown).collect(),
            crowd: draft.crowd,
            appears: draft.appears.map(seconds),
        })
    }

    /// Writes the order's review; it is sent by itself.
    pub fn write_review(&self, handle: String, stars: u8, text: String, now: i64) -> Outcome<()> {
        let (handle, review, now) = (order(&handle)?, Review::new(stars, text, vec![])?, time(now)?);
        Ok(lock(&self.0).write_review(handle, review, now, &mut SystemRng::new())?)
    }

    /// Edits it. It is sent at a random time, and shows once it has taken effect.
    pub fn edit_review(&self, handle: String, stars: u8, text: String, now: i64) -> Outcome<()> {
        let (handle, review, now) = (order(&handle)?, Review::new(stars, text, vec![])?, time(now)?);
        Ok(lock(&self.0).edit_review(handle, review, now, &mut SystemRng::new())?)
    }

    /// Withdraws it, for good. It is sent at a random time, and shows once it has taken effect.
    pub fn withdraw_review(&self, handle: String, now: i64) -> Outcome<()> {
        Ok(lock(&self.0).withdraw_review(order(&handle)?, time(now)?, &mut SystemRng::new())?)
    }

    /// All orders, and where their reviews stand.
    pub fn reviews(&self, now: i64) -> Outcome<Vec<ReviewStatus>> {
        let now = time(now)?;
        Ok(lock(&self.0).reviews(now).into_iter().map(status).collect())
    }
}

fn wallet(seed: &[u8]) -> Outcome<Wallet> {
    Ok(Wallet::from_seed(SecretBytes::new(array(seed, "the seed")?)))
}

fn order(handle: &str) -> Outcome<OrderHandle> {
    handle.parse().map_err(|_| argument("the order's handle: 32 hexadecimal digits"))
}

fn text(name: &Name) -> String {
    name.as_str().unwrap_or_default().to_owned()
}

fn request(request: Request) -> Option<DeviceRequest> {
    Some(match request {
        Request::Nonce => DeviceRequest::Nonce,
        Request::Enrol { nonce, enrolment } => {
            DeviceRequest::Enrol { nonce: nonce.to_vec(), enrolment: enrolment.to_bytes() }
        }
        Request::Offer { merchant, handle } => {
            DeviceRequest::Offer { merchant: text(&merchant), handle: handle.to_string() }
        }
        Request::Grant(request) => DeviceRequest::Grant { request: request.to_bytes() },
        Request::Manifests { since } => DeviceRequest::Manifests { since: seconds(since) },
        Request::Published { boundary, merchant } => {
            DeviceRequest::Published { boundary: seconds(boundary), merchant: text(&merchant) }
        }
        Request::Door(message) => DeviceRequest::Door { message },
        // A newer one than this package can name: not sent, it counts as lost.
        _ => return None,
    })
}

fn status(status: unjoin_wallet::ReviewStatus) -> ReviewStatus {
    let (stage, at) = match status.stage {
        ReviewStage::Asking => (Stage::Asking, None),
        ReviewStage::Open => (Stage::Open, None),
        ReviewStage::Waiting => (Stage::Waiting, None),
        ReviewStage::Appears(at) => (Stage::Appears, Some(at)),
        ReviewStage::Appeared(at) => (Stage::Appeared, Some(at)),
        ReviewStage::Withdrawn => (Stage::Withdrawn, None),
        ReviewStage::Removed => (Stage::Removed, None),
        ReviewStage::Over => (Stage::Over, None),
        ReviewStage::Refused => (Stage::Refused, None),
        _ => (Stage::Unknown, None),
    };
    let promise = status.promise.and_then(|promise| match promise {
        unjoin_wallet::ReviewPromise::Kept => Some(Promise::Kept),
        unjoin_wallet::ReviewPromise::Missing => Some(Promise::Missing),
        unjoin_wallet::ReviewPromise::Changed => Some(Promise::Changed),
        _ => None,
    });
    ReviewStatus {
        handle: status.handle.to_string(),
        stage,
        at: at.map(seconds),
        words: status.stage.to_string(),
        words_zh: status.stage.in_chinese(),
        stars: status.review.as_ref().map(Review::stars),
        text: status.review.as_ref().map(|review| review.text().to_owned()),
        receipt: status.receipt.as_ref().map(Message::to_bytes),
        promise,
        promise_words: status.promise.map(|promise| promise.to_string()),
        promise_words_zh: status.promise.map(|promise| promise.in_chinese().to_owned()),
    }
}

fn kind(kind: PrivacyWarningKind) -> WarningKind {
    match kind {
        PrivacyWarningKind::EmailAddress => WarningKind::EmailAddress,
        PrivacyWarningKind::LongNumber => WarningKind::LongNumber,
        PrivacyWarningKind::WebAddress => WarningKind::WebAddress,
        PrivacyWarningKind::Attachments => WarningKind::Attachments,
        PrivacyWarningKind::RepeatedAttachment => WarningKind::RepeatedAttachment,
        PrivacyWarningKind::Day => WarningKind::Day,
        PrivacyWarningKind::Date => WarningKind::Date,
        PrivacyWarningKind::Time => WarningKind::Time,
        PrivacyWarningKind::Address => WarningKind::Address,
        PrivacyWarningKind::PersonalName => WarningKind::PersonalName,
        PrivacyWarningKind::OrderDetail => WarningKind::OrderDetail,
        _ => WarningKind::Other,
    }
}

fn units_before(text: &str, byte: usize) -> u32 {
    text.get(..byte).unwrap_or(text).encode_utf16().count() as u32
}
