//! What the author is shown.

use super::order::{Looked, Order, Right};
use super::{Asked, Device};
use crate::{PrivacyWarning, SENDING_MARGIN, WalletError, privacy_warnings};
use core::fmt;
use unjoin_core::Timestamp;
use unjoin_core::token::{OrderHandle, Receipt, Review, ReviewStanding};

/// What to show the author before a review is written for good.
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_core::{Name, secret::SystemRng, token::{OrderHandle, Review}};
/// # use unjoin_wallet::Device;
/// # let (shop, handle) = (Shop::open(), OrderHandle([1; 16]));
/// # let mut device = Device::create(shop.wallet, shop.name, Name::new("account-7")?, shop.trust);
/// # device.order_eligible(Name::new("lamps")?, handle, SEALED, &mut SystemRng::new())?;
/// let review = Review::new(1, "Call me: 0170 1234567.", vec![])?;
/// let draft = device.draft_review(handle, &review, &[], SEALED)?;
/// assert_eq!(draft.warnings.len(), 1);
/// // The cohort is not sealed yet: how large the crowd is, and when it appears, is not known.
/// assert_eq!((draft.crowd, draft.appears), (None, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What may tell who wrote it.
    pub warnings: Vec<PrivacyWarning>,
    /// At least so many other customers, and the author, can have written it; `None` before the cohort is sealed.
    pub crowd: Option<u32>,
    /// When it appears if it is written now; `None` before the cohort is sealed, or when its time is over.
    pub appears: Option<Timestamp>,
}

/// An order, and where its review stands.
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_core::{Name, secret::SystemRng, token::OrderHandle};
/// # use unjoin_wallet::{Device, ReviewStage};
/// # let (shop, rng, handle) = (Shop::open(), &mut SystemRng::new(), OrderHandle([1; 16]));
/// # let mut device = Device::create(shop.wallet, shop.name, Name::new("account-7")?, shop.trust);
/// # device.order_eligible(Name::new("lamps")?, handle, SEALED, rng)?;
/// # let review = Shop::review();
/// device.write_review(handle, review.clone(), SEALED, rng)?;
/// let status = &device.reviews(SEALED)[0];
/// assert_eq!((status.handle, status.stage), (handle, ReviewStage::Waiting));
/// assert_eq!((&status.review, &status.receipt), (&Some(review), &None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewStatus {
    /// The order.
    pub handle: OrderHandle,
    /// Where its review stands.
    pub stage: ReviewStage,
    /// The review in the words that are in force; `None` without one, or when this device does not know them.
    pub review: Option<Review>,
    /// The review service's promise: evidence, if the review does not appear.
    pub receipt: Option<Receipt>,
    /// Whether the promise was kept, once the ledger was read for it.
    pub promise: Option<ReviewPromise>,
}

/// What the ledger shows of a review that was promised to appear: what the device found by itself, in what is the same for
/// everybody.
///
/// `Display` has English words for each.
///
/// ```
/// use unjoin_wallet::ReviewPromise;
/// // What an app shows beside a review whose receipt it has.
/// assert_eq!(ReviewPromise::Kept.to_string(), "published, and in the ledger");
/// assert!(ReviewPromise::Missing.to_string().contains("keep this receipt"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReviewPromise {
    /// It stands there as it was promised.
    Kept,
    /// It was not among what the ledger showed of its boundary. The receipt is evidence: who reads the whole ledger can
    /// tell whether it was broken.
    Missing,
    /// Something else stands there under its id. Ledger and receipt are evidence.
    Changed,
}

impl fmt::Display for ReviewPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "published, and in the ledger",
            Self::Missing => {
                "promised, and not in the ledger: keep this receipt, and show it to one of the platform's auditors"
            }
            Self::Changed => {
                "in the ledger with other words: keep this receipt, and show it to one of the platform's auditors"
            }
        })
    }
}

impl ReviewPromise {
    /// The Chinese words.
    pub fn in_chinese(self) -> &'static str {
        match self {
            Self::Kept => "已发布，并已记入公开账本",
            Self::Missing => "平台承诺发布，但账本中没有：请保留此回执，并出示给该平台的审计方",
            Self::Changed => "账本中的内容与所写不符：请保留此回执，并出示给该平台的审计方",
        }
    }
}

/// Where a review stands. An edit or a withdrawal shows once it has taken effect, and in nothing before.
///
/// `Display` has English words for each.
///
/// ```
/// use unjoin_core::Timestamp;
/// use unjoin_wallet::ReviewStage;
/// let shown = |stage: ReviewStage| match stage {
///     ReviewStage::Appeared(since) => format!("public since {since}"),
///     other => other.to_string(), // English words
/// };
/// let monday = Timestamp::from_unix_seconds(1_700_438_400);
/// assert_eq!(shown(ReviewStage::Appeared(monday)), "public since 2023-11-20T00:00:00Z");
/// assert_eq!(shown(ReviewStage::Waiting), "waits until enough others can write, too");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReviewStage {
    /// There is no token yet, and no review.
    Asking,
    /// A review can be written.
    Open,
    /// Written: it waits for its token, or for the cohort to be sealed.
    Waiting,
    /// It appears at this boundary, with those of others, and nobody but its author can keep it from that.
    Appears(Timestamp),
    /// It has appeared, at this boundary.
    Appeared(Timestamp),
    /// Its author took it back.
    Withdrawn,
    /// The platform took it out of the listing.
    Removed,
    /// The time to review is over; nothing was sent.
    Over,
    /// The order gets no token.
    Refused,
}

impl fmt::Display for ReviewStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asking => f.write_str("can be reviewed; the right to it is on its way"),
            Self::Open => f.write_str("can be reviewed"),
            Self::Waiting => f.write_str("waits until enough others can write, too"),
            Self::Appears(at) => write!(f, "appears on {}, together with others", date(*at)),
            Self::Appeared(at) => write!(f, "appeared on {}", date(*at)),
            Self::Withdrawn => f.write_str("withdrawn"),
            Self::Removed => f.write_str("removed by the platform"),
            Self::Over => f.write_str("was not sent: the time to review is over"),
            Self::Refused => f.write_str("cannot be reviewed"),
        }
    }
}

impl ReviewStage {
    /// The Chinese words.
    pub fn in_chinese(self) -> String {
        let words = match self {
            Self::Asking => "可以评价，评价权正在领取",
            Self::Open => "可以评价",
            Self::Waiting => "等待足够多的人也可以评价",
            Self::Appears(at) => return format!("将于 {} 与其他评价一同公布", date(at)),
            Self::Appeared(at) => return format!("已于 {} 公布", date(at)),
            Self::Withdrawn => "已撤回",
            Self::Removed => "已被平台移除",
            Self::Over => "未发送：评价期已过",
            Self::Refused => "无法评价",
        };
        words.to_owned()
    }
}

fn date(time: Timestamp) -> String {
    time.to_string().split('T').next().unwrap_or_default().to_owned()
}

impl Device {
    /// Looks at a review before it is written: what in it may tell who wrote it, how large its crowd is, and when it
    /// appears. `known` are words that the shop connects with this order: the names of its items, its number, the
    /// customer's name and street. They are looked for, and kept nowhere.
    ///
    /// # Errors
    /// [`WalletError::UnknownOrder`].
    pub fn draft_review(
        &self,
        handle: OrderHandle,
        review: &Review,
        known: &[&str],
        now: Timestamp,
    ) -> Result<Draft, WalletError> {
        let order = self.orders.iter().find(|order| order.handle == handle);
        let manifest = order.ok_or(WalletError::UnknownOrder)?.manifest.as_ref();
        Ok(Draft {
            warnings: privacy_warnings(review, &[], known),
            crowd: manifest.map(|manifest| manifest.at_least),
            appears: manifest
                .and_then(|manifest| manifest.publications.after(now.saturating_add(SENDING_MARGIN))),
        })
    }

    /// All orders, in the order in which they were told, and where their reviews stand.
    pub fn reviews(&self, now: Timestamp) -> Vec<ReviewStatus> {
        self.orders.iter().map(|order| order.status(now)).collect()
    }
}

impl Order {
    fn status(&self, now: Timestamp) -> ReviewStatus {
        let stage = self.stage(now);
        let review = match &self.waiting {
            Some(change) if change.boundary <= now => change.review.clone(),
            _ => self.review.clone(),
        };
        let review = review.filter(|_| stage != ReviewStage::Withdrawn);
        let promise = match self.looked {
            Looked::NotYet | Looked::ForNothing => None,
            Looked::Found => Some(ReviewPromise::Kept),
            Looked::FoundChanged => Some(ReviewPromise::Changed),
            Looked::Missing => Some(ReviewPromise::Missing),
        };
        ReviewStatus { handle: self.handle, stage, review, receipt: self.receipt.clone(), promise }
    }

    fn stage(&self, now: Timestamp) -> ReviewStage {
        let taken_back = self.waiting.as_ref().is_some_and(|it| it.review.is_none() && it.boundary <= now);
        if self.withdrawn || taken_back || self.gone.is_some_and(|boundary| boundary <= now) {
            return ReviewStage::Withdrawn;
        }
        if let Some(boundary) = self.gone {
            return ReviewStage::Appears(boundary);
        }
        if let Some(state) = &self.state {
            return match state.standing {
                ReviewStanding::Removed => ReviewStage::Removed,
                _ if state.published_at <= now => ReviewStage::Appeared(state.published_at),
                _ => ReviewStage::Appears(state.published_at),
            };
        }
        let over = self.manifest.as_ref().is_some_and(|manifest| manifest.publications.last() <= now);
        match (&self.right, &self.review, &self.sending) {
            (Right::Refused | Right::Lapsed(_), ..) => ReviewStage::Refused,
            (_, Some(_), Some(sending)) if now < sending.aim => ReviewStage::Appears(sending.aim),
            _ if over => ReviewStage::Over,
            (_, Some(_), _) => ReviewStage::Waiting,
            (Right::Held(_), None, _) if self.need(true, false) == Some(Asked::State) => ReviewStage::Asking,
            (Right::Held(_), None, _) => ReviewStage::Open,
            _ => ReviewStage::Asking,
        }
    }
}
