//! A device as an app has one: a state machine without I/O. It says what to send and when, takes the
//! answers, and keeps everything in one sealed blob.
//!
//! The app brings HTTP, a timer, a place for the blob and a key of the platform's keystore:
//!
//! 1. [`Device::next`] says what is due, and when the rest is. Seal and store, *then* send.
//! 2. [`Device::handle`] takes what came back, or that nothing did. Seal and store.
//! 3. The app calls `next` again at the earliest time that it was told, from a background task.
//!
//! Every order is announced once it is eligible ([`Device::order_eligible`]), whether there will be a review or
//! not. Everything after that happens by itself, spread over hours.

mod order;
mod plan;
mod replies;
mod reviews;
mod sealed;
#[cfg(test)]
mod tests;

use crate::{ManifestEvidence, SealedBackup, Token, TrustRoots, Wallet, WalletError};
use order::{Order, Right, Wish};
use rand_core::CryptoRng;
pub use reviews::{Draft, ReviewPromise, ReviewStage, ReviewStatus};
use unjoin_core::token::{Enrolment, OrderHandle, Review, TokenRequest};
use unjoin_core::{Name, PassphraseCost, Timestamp};
use unjoin_log::CosignedEntry;
use zeroize::Zeroizing;

/// A shopper's device: wallet, trust roots, orders, and what is under way.
///
/// Times and randomness are arguments. `now` is the machine's clock: when it is set back, all times are drawn
/// anew. Each request carries the account or passes the anonymous door ([`Request::carries_account`]), and the two
/// are kept half an hour apart. **The app tells [`account_used`](Self::account_used) of its own requests under the
/// account**, best when it comes to the foreground.
///
/// What passes the door is sent within ten minutes of its time, or at another time an hour later or more. It is never
/// sent because the device woke: when an app is opened, somebody knows. So an app needs background tasks. One that
/// only runs while somebody looks at it (a page in a browser) sends reviews only if it is left open.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use unjoin_core::secret::{SecretBytes, SystemRng};
/// use unjoin_core::token::{IssuerKey, OrderHandle, PlatformKey, Review};
/// use unjoin_core::{Grid, Name, Timestamp};
/// use unjoin_wallet::{Device, Reply, Request, TrustRoots, Wallet};
/// let rng = &mut SystemRng::new();
/// # let (committee, _) = unjoin_trustee::insecure_test_dealer(3, 5, rng)?;
/// # let (issuer_key, platform_key) = (IssuerKey::generate(rng), PlatformKey::generate(rng));
/// // What the app ships, and the account that is logged in.
/// let trust = TrustRoots::new(platform_key.public(), 20, Grid::Daily).pin(*issuer_key.public(), *committee.key())?;
/// let (issuer, account) = (Name::new("orders.example")?, Name::new("account-7")?);
/// let mut device = Device::create(Wallet::generate(rng), issuer, account, trust.clone());
///
/// // An order is eligible. Its owner writes, now or much later.
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let handle = OrderHandle([1; 16]);
/// device.order_eligible(Name::new("lamps.example")?, handle, now, rng)?;
/// let review = Review::new(1, "Broken when it came yesterday.", vec![])?;
/// let draft = device.draft_review(handle, &review, &["desk lamp"], now)?;
/// assert_eq!(&review.text()[draft.warnings[0].place.clone()], "yesterday");
/// device.write_review(handle, Review::new(1, "It came broken.", vec![])?, now, rng)?;
///
/// // At first it enrols: the one thing that is due at once.
/// let actions = device.next(now, rng);
/// let due: Vec<_> = actions.iter().filter_map(|action| action.request.as_ref()).collect();
/// assert!(matches!(due[..], [Request::Nonce]));
///
/// // Stored before anything is sent, under the keystore's key; opened after a restart.
/// let key = SecretBytes::random(rng);
/// let blob = device.seal(&key, rng);
/// device.handle(actions[0].number, Reply::Answer(vec![9; 32]), now, rng)?; // the nonce came
/// assert!(matches!(device.next(now, rng)[0].request, Some(Request::Enrol { .. })));
/// let again = Device::open(&blob, &key, trust)?;
/// assert_eq!(again.reviews(now)[0].stage.to_string(), "waits until enough others can write, too");
/// # Ok(())
/// # }
/// ```
pub struct Device {
    wallet: Wallet,
    issuer: Name,
    account: Name,
    trust: TrustRoots,
    /// From a seed that had a device before: orders may have reviews that this one does not know.
    restored: bool,
    enrolment: Enrolling,
    /// Fetching manifests.
    fetch: Task,
    orders: Vec<Order>,
    /// When a request with the account was last sent.
    account_at: Option<Timestamp>,
    /// When something last passed the door.
    door_at: Option<Timestamp>,
    /// The latest time that this device was told.
    latest: Timestamp,
}

#[derive(Default)]
struct Enrolling {
    done: bool,
    nonce: Option<[u8; 32]>,
    task: Task,
}

/// When something is to be done, how often it failed since it last went well, and what is in flight.
#[derive(Default)]
struct Task {
    at: Option<Timestamp>,
    failed: u8,
    in_flight: Option<InFlight>,
}

struct InFlight {
    number: u32,
    since: Timestamp,
    asked: Asked,
}

/// What was asked, and so what an answer must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nonce,
    Enrolment,
    Offer,
    Grant,
    Manifests,
    Submission,
    Action,
    State,
    Published,
}

impl Task {
    fn succeed(&mut self) {
        *self = Self::default();
    }

    /// The time is drawn when the device next wakes.
    fn fail(&mut self) {
        *self = Self { at: None, failed: self.failed.saturating_add(1), in_flight: None };
    }
}

/// Something to send, now or later.
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_core::{Name, secret::SystemRng};
/// # use unjoin_wallet::Device;
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let mut device = Device::create(shop.wallet, shop.name, Name::new("account-7")?, shop.trust);
/// # device.order_eligible(Name::new("lamps")?, unjoin_core::token::OrderHandle([1; 16]), SEALED, rng)?;
/// let now = SEALED;
/// for action in device.next(now, rng) {
///     match action.request {
///         Some(_) => assert!(action.number > 0 && action.at <= now), // send it once, and give `handle` the reply
///         None => assert!(action.number == 0 && action.at > now),    // wake the app then
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Action {
    /// Names it in [`Device::handle`]; 0 for one that is not due.
    pub number: u32,
    /// Not before this time. It may be drawn anew: ask [`Device::next`] again then.
    pub at: Timestamp,
    /// What to send now, once; `None` for one that is not due. What is coming is not told.
    pub request: Option<Request>,
}

/// What an app sends. How the messages travel is the platform's matter; a [`Reply`] says what came back.
///
/// ```
/// # use unjoin_core::Timestamp;
/// use unjoin_wallet::Request;
/// let boundary = Timestamp::from_unix_seconds(1_700_438_400);
/// // Two connections: one with the session of the account, one without anything that tells whose it is.
/// assert!(Request::Nonce.carries_account());
/// assert!(!Request::Manifests { since: boundary }.carries_account());
/// assert!(!Request::Door(vec![0; 6_144]).carries_account());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "few are held at a time")]
pub enum Request {
    /// Under the account: a nonce to enrol with. Answered by its 32 bytes.
    Nonce,
    /// Under the account: enrols the wallet. Answered by nothing.
    Enrol {
        /// The nonce that was answered.
        nonce: [u8; 32],
        /// Made over it.
        enrolment: Enrolment,
    },
    /// Under the account: asks what is on offer for an order. Answered by an [`Offer`](unjoin_core::token::Offer).
    Offer {
        /// Whose order.
        merchant: Name,
        /// Which.
        handle: OrderHandle,
    },
    /// Under the account: asks for a token. Answered by a [`Grant`](unjoin_core::token::Grant).
    Grant(TokenRequest),
    /// Without the account: all manifests whose cohorts were sealed at the boundary `since` or later, in bundles that are the
    /// same for everybody, never of one merchant alone. Answered by [`Reply::Manifests`].
    Manifests {
        /// Those before are of no use here. For a device that was restored from its seed it is the beginning of time. What
        /// no bundle has any more stands in the ledger's own files.
        since: Timestamp,
    },
    /// Without the account: the bundle of this boundary that holds what was published of this merchant's reviews, the same
    /// for everybody. The merchant's name says which shard it is, and goes nowhere. Asked only where a ledger is pinned,
    /// once for each order, whether there is a review or not. Answered by [`Reply::Published`].
    Published {
        /// Of which boundary.
        boundary: Timestamp,
        /// In whose shard.
        merchant: Name,
    },
    /// Without the account, through the anonymous door: the bytes of a
    /// [`DoorMessage`](unjoin_core::token::DoorMessage). Answered by a [`DoorAnswer`](unjoin_core::token::DoorAnswer).
    Door(Vec<u8>),
}

impl Request {
    /// Whether it goes under the account's session; if not, nothing may go with it that tells whose it is.
    pub fn carries_account(&self) -> bool {
        matches!(self, Self::Nonce | Self::Enrol { .. } | Self::Offer { .. } | Self::Grant(_))
    }
}

/// What became of a request.
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_core::{Name, secret::SystemRng};
/// use unjoin_wallet::{Device, Reply};
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let mut device = Device::create(shop.wallet, shop.name, Name::new("account-7")?, shop.trust);
/// # device.order_eligible(Name::new("lamps")?, unjoin_core::token::OrderHandle([1; 16]), SEALED, rng)?;
/// let asked = device.next(SEALED, rng)[0].number;
/// // The connection broke: the device asks again, later.
/// device.handle(asked, Reply::Lost, SEALED, rng)?;
/// let again = &device.next(SEALED, rng)[0];
/// assert!(again.request.is_none() && again.at > SEALED);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// The bytes of the answer's message; none for an enrolment. A refusal at the door is an answer, too.
    Answer(Vec<u8>),
    /// The manifests.
    Manifests(Vec<ManifestEvidence>),
    /// All entries of the bundle, keys of the door and all: one without an entry says nothing.
    Published(Vec<CosignedEntry>),
    /// An error of the service, by its code.
    Refused(String),
    /// No answer, or none that could be read.
    Lost,
}

impl Device {
    /// The most orders of one device.
    pub const MAX_ORDERS: usize = SealedBackup::MAX_TOKENS;

    /// A new device of a new wallet, for this account with this issuer. `trust` is what the app pins; it comes with the
    /// app and is not kept in the blob.
    pub fn create(wallet: Wallet, issuer: Name, account: Name, trust: TrustRoots) -> Self {
        Self {
            wallet,
            issuer,
            account,
            trust,
            restored: false,
            enrolment: Enrolling::default(),
            fetch: Task::default(),
            orders: Vec::new(),
            account_at: None,
            door_at: None,
            latest: Timestamp::ZERO,
        }
    }

    /// A device of a wallet that had one before, when there is no blob: from the seed, or from a backup. Tell it all
    /// orders that are or were eligible: it asks for their tokens again, and where their reviews stand. Where the time to get a
    /// token is over, it tries the cohorts of the merchant's manifests until the review service knows a review of the order. That
    /// one can be withdrawn and edited. What is lost are the words of reviews, and tokens of cohorts whose time is over.
    pub fn restore(wallet: Wallet, issuer: Name, account: Name, trust: TrustRoots) -> Self {
        Self { restored: true, ..Self::create(wallet, issuer, account, trust) }
    }

    /// A request went, or goes now, under the account: the app's own, which this device does not see. Nothing passes
    /// the door in the half hour after it.
    pub fn account_used(&mut self, now: Timestamp) {
        self.notice(now);
        self.account_at = Some(now);
    }

    /// The order is eligible for a token. Tell it for **every** order, when the host wakes the app for it. Tell it again when the
    /// app is woken again, which changes nothing once there is a token.
    ///
    /// # Errors
    /// [`WalletError::TooManyOrders`].
    pub fn order_eligible(
        &mut self,
        merchant: Name,
        handle: OrderHandle,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        self.notice(now);
        let since = self.trust.grid().at_or_before(now).unwrap_or(Timestamp::ZERO);
        if !self.orders.iter().any(|order| order.handle == handle) {
            if self.orders.len() >= Self::MAX_ORDERS {
                return Err(WalletError::TooManyOrders);
            }
            let since = if self.restored { Timestamp::ZERO } else { since };
            self.orders.push(Order { asks_state: self.restored, ..Order::new(merchant, handle, since) });
        }
        let order = find(&mut self.orders, handle)?;
        if let Right::Missing { later: true, .. } = order.right {
            order.right = Right::Missing { later: false, made_up: false };
            order.task.at = None;
        }
        if matches!(order.right, Right::Missing { .. }) && order.task.at.is_none() && order.task.failed == 0 {
            order.task.at = Some(crate::asking_time(now, rng));
        }
        Ok(())
    }

    /// Forgets an order and its review, which can not be edited or withdrawn from here any more. Where something is under
    /// way for it, it is given up. A withdrawal that waits is given up, too.
    ///
    /// # Errors
    /// [`WalletError::UnknownOrder`].
    pub fn forget(&mut self, handle: OrderHandle) -> Result<(), WalletError> {
        let at = self.orders.iter().position(|order| order.handle == handle);
        self.orders.remove(at.ok_or(WalletError::UnknownOrder)?);
        Ok(())
    }

    /// Writes the order's review, or writes it anew. It is sent by itself, under its cohort's manifest; once it may have been
    /// sent, another is an edit.
    ///
    /// # Errors
    /// [`WalletError::UnknownOrder`]; [`WalletError::Attachments`]; [`WalletError::Sent`] when the review may have been
    /// sent: [`edit_review`](Self::edit_review) changes it.
    pub fn write_review(
        &mut self,
        handle: OrderHandle,
        review: Review,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        self.notice(now);
        let (wallet, trust) = (&self.wallet, &self.trust);
        let order = find(&mut self.orders, handle)?;
        if !review.attachments().is_empty() {
            return Err(WalletError::Attachments);
        }
        if order.was_sent() {
            return Err(WalletError::Sent);
        }
        order.write(review, wallet, trust, rng)
    }

    /// Edits the order's review. It is sent at a random time within a day, or once the review has appeared. It shows
    /// in no state before it has taken effect. One that waits already, and was not sent, is replaced.
    ///
    /// # Errors
    /// [`WalletError::UnknownOrder`]; [`WalletError::NoReview`]; [`WalletError::Attachments`].
    pub fn edit_review(
        &mut self,
        handle: OrderHandle,
        review: Review,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        if !review.attachments().is_empty() {
            return Err(WalletError::Attachments);
        }
        self.wish(handle, Wish::Edit(review), now, rng)
    }

    /// Withdraws the order's review, for good. It is sent at a random time within a day, and shows in no state before it
    /// has taken effect. Whoever presses the author can not see that they gave in, or that they did not.
    ///
    /// # Errors
    /// [`WalletError::UnknownOrder`]; [`WalletError::NoReview`].
    pub fn withdraw_review(
        &mut self,
        handle: OrderHandle,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        self.wish(handle, Wish::Withdraw, now, rng)
    }

    fn wish(
        &mut self,
        handle: OrderHandle,
        wish: Wish,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        self.notice(now);
        let (wallet, trust) = (&self.wallet, &self.trust);
        let order = find(&mut self.orders, handle)?;
        if order.review.is_none() && order.state.is_none() {
            return Err(WalletError::NoReview);
        }
        match wish {
            // What was never sent needs no edit.
            Wish::Edit(review) if !order.was_sent() => return order.write(review, wallet, trust, rng),
            wish => order.wish = Some(wish),
        }
        // The time is drawn once the one before is settled.
        if order.state.is_some() && order.acting.is_none() && order.task.in_flight.is_none() {
            order.task = Task::default();
        }
        Ok(())
    }

    /// The wallet's seed as a person writes it down: [`Wallet::from_recovery_code`](crate::Wallet::from_recovery_code) gives the wallet for
    /// [`restore`](Self::restore).
    pub fn recovery_code(&self) -> Zeroizing<String> {
        self.wallet.recovery_code()
    }

    /// A backup of the wallet and its tokens under a passphrase, for another machine: [`open_backup`](crate::open_backup)
    /// gives the wallet for [`restore`](Self::restore).
    ///
    /// # Errors
    /// As [`Wallet::seal_backup`].
    pub fn back_up(
        &self,
        passphrase: &[u8],
        cost: PassphraseCost,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<SealedBackup, WalletError> {
        let tokens: Vec<&Token> = self.orders.iter().filter_map(Order::token).collect();
        self.wallet.seal_tokens(&tokens, passphrase, cost, rng)
    }
}

fn find(orders: &mut [Order], handle: OrderHandle) -> Result<&mut Order, WalletError> {
    orders.iter_mut().find(|order| order.handle == handle).ok_or(WalletError::UnknownOrder)
}

unjoin_core::opaque!(Device);
