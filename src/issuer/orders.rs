//! Due orders: what the host reports of them, when they are eligible, and which scope each is offered.

use super::directory::next_midnight;
use super::rows::{
    CohortRow, Ended, Granted, MemberRow, OrderRow, endless_key, manifest_key, member_key, open_key,
    order_key, set_aside_key, uncounted_key,
};
use super::{AccountTag, Core, Decision, IssuerError};
use unjoin_core::Name;
use unjoin_core::token::{KeyRing, Offer, OrderHandle, OrderHandleKey, Scope};
use unjoin_core::{DAY, Timestamp};
use unjoin_store::{Present, Store, StoreError, read};

/// The most bytes that a host's order id may have.
pub const MAX_ORDER_ID: usize = 256;
/// How far ahead a reported time may lie, in seconds. What lies further is a mistake, most often
/// milliseconds, and no retry mends it.
const AHEAD: u64 = 366 * DAY;

/// An order that is due: delivered, or the end of the promised day has passed.
///
/// ```
/// use unjoin::{Name, Timestamp, issuer::OrderReport};
/// let report = OrderReport {
///     order_id: b"A-4711".to_vec(), // nobody but the host ever sees it
///     account: Name::new("account-7")?,
///     merchant: Name::new("lamps")?,
///     class: 0,
///     due_at: Timestamp::from_unix_seconds(1_700_000_000),
/// };
/// assert_eq!(format!("{report:?}"), "OrderReport(..)");
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone)]
pub struct OrderReport {
    /// The host's order id: 1 to [`MAX_ORDER_ID`] bytes. Not stored.
    pub order_id: Vec<u8>,
    /// Whose order it is.
    pub account: Name,
    /// The merchant.
    pub merchant: Name,
    /// The outcome class. It may be reported again until the order is eligible, if the order failed
    /// after all or the *customer* complained. What the merchant does alone moves no order.
    pub class: u8,
    /// When it became due; not in the future.
    pub due_at: Timestamp,
}

// Prints nothing of the order.
unjoin_core::opaque!(OrderReport);

/// An order whose scope is asked for.
///
/// ```
/// use unjoin::{Name, issuer::OfferRequest, token::OrderHandle};
/// let handle: OrderHandle = "00112233445566778899aabbccddeeff".parse()?;
/// let request = OfferRequest { account: Name::new("account-7")?, merchant: Name::new("lamps")?, handle };
/// assert_eq!(request.handle, handle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OfferRequest {
    /// The account that is logged in.
    pub account: Name,
    /// The merchant.
    pub merchant: Name,
    /// The order.
    pub handle: OrderHandle,
}

/// The end of an order's virtual numbers.
///
/// ```
/// use unjoin::{Name, Timestamp, issuer::NumbersDead, token::OrderHandle};
/// // From midnight on nobody who had the order's numbers reaches its customer.
/// let at = Timestamp::from_unix_seconds(1_700_438_400);
/// let ended = NumbersDead { merchant: Name::new("lamps")?, handle: OrderHandle([1; 16]), at };
/// assert_eq!(ended.at.to_string(), "2023-11-20T00:00:00Z");
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NumbersDead {
    /// The merchant.
    pub merchant: Name,
    /// The order.
    pub handle: OrderHandle,
    /// From when on none of them rings, ever again.
    pub at: Timestamp,
}

impl<S: Store> Core<S> {
    pub(super) fn report_orders(&self, reports: &[OrderReport]) -> Vec<Result<OrderHandle, IssuerError>> {
        let now = self.environment.now();
        let latest = now.saturating_add(AHEAD);
        let decision = |report: &OrderReport| {
            let OrderReport { order_id, account, merchant, class, due_at } = report;
            if *due_at > latest {
                return Err(IssuerError::TimeOutOfRange);
            }
            let length = order_id.len();
            if length == 0 || length > MAX_ORDER_ID {
                return Err(IssuerError::OrderIdLength { length });
            }
            let handle = OrderHandleKey::derive(&self.master, merchant).handle(order_id);
            let account = self.tag(account, merchant);
            let new = OrderRow { account, class: *class, due_at: *due_at, ended: None, grant: None };
            let (key, endless) = (order_key(merchant, handle), endless_key(*due_at, merchant, handle));
            Ok(Decision::new(key.clone(), move |old: Option<OrderRow>, change| {
                if let Some(old) = &old {
                    let is_frozen = old.grant.is_some() || old.is_eligible(now);
                    if (old.account, old.due_at) != (new.account, new.due_at)
                        || old.class != new.class && is_frozen
                    {
                        return Err(IssuerError::OrderDiffers);
                    }
                    if old.class == new.class {
                        return Ok(handle);
                    }
                }
                if new.due_at > now {
                    return Err(IssuerError::NotDue);
                }
                self.config.k(new.class).ok_or(IssuerError::UnknownClass)?;
                match old {
                    Some(old) => change.put(&key, &OrderRow { class: new.class, ..old }),
                    None => {
                        change.put(&key, &new);
                        change.put(&endless, &Present);
                    }
                }
                Ok(handle)
            }))
        };
        self.decide(reports.iter().map(decision))
    }

    /// The hold is counted from the report: a time that is dated back shortens nothing.
    pub(super) fn numbers_dead(&self, reports: &[NumbersDead]) -> Vec<Result<Timestamp, IssuerError>> {
        let (latest, now) = (self.environment.now().saturating_add(AHEAD), self.now());
        let decision = |&NumbersDead { ref merchant, handle, at }: &NumbersDead| {
            if at > latest {
                return Err(IssuerError::TimeOutOfRange);
            }
            let (key, merchant) = (order_key(merchant, handle), merchant.clone());
            let eligible_at = at.max(now.clone()?.saturating_add(self.config.hold));
            Ok(Decision::new(key.clone(), move |order: Option<OrderRow>, change| {
                let order = order.ok_or(IssuerError::UnknownOrder)?;
                match order.ended {
                    Some(before) if before.dead_at == at => return Ok(before.eligible_at),
                    Some(_) => return Err(IssuerError::NumbersDeadDiffers),
                    None => {}
                }
                change.delete(&endless_key(order.due_at, &merchant, handle));
                change.put(&uncounted_key(&merchant, handle), &Present);
                let ended = Some(Ended { dead_at: at, eligible_at });
                change.put(&key, &OrderRow { ended, ..order });
                Ok(eligible_at)
            }))
        };
        self.decide(reports.iter().map(decision))
    }

    pub(super) fn offers(&self, requests: &[OfferRequest]) -> Vec<Result<Offer, IssuerError>> {
        let (ring, mut rng, now) = (self.ring(), self.environment.rng(), self.now());
        let class = |asked: &OfferRequest| {
            let account = self.tag(&asked.account, &asked.merchant);
            let key = order_key(&asked.merchant, asked.handle);
            Ok(Decision::new(key, move |order, _| Ok((account, owned(order, account)?.class))))
        };
        let classes = self.decide(requests.iter().map(class));
        let decisions = requests.iter().zip(classes).map(|(asked, known)| {
            let (account, class) = known?;
            let mut number = [0; 8];
            rng.fill_bytes(&mut number);
            let asker = Asker { account, class, now: now.clone()? };
            Ok(self.offer(asked, asker, u64::from_le_bytes(number), &ring))
        });
        let offers = requests.iter().zip(self.decide(decisions));
        offers.map(|(asked, offered)| self.unless_later(asked, offered?)).collect()
    }

    /// The offer, unless the account has another order in that cohort. What counts is what the grant
    /// finds; here the device is told before it makes a proof.
    fn unless_later(&self, asked: &OfferRequest, offer: Offer) -> Result<Offer, IssuerError> {
        let account = self.tag(&asked.account, &asked.merchant);
        let member = read(&*self.store, &member_key(&asked.merchant, offer.scope.cohort(), account))?;
        match member {
            Some(MemberRow { handle, .. }) if handle != asked.handle => Err(IssuerError::Later),
            _ => Ok(offer),
        }
    }

    /// `number` is the cohort's, if one is opened.
    fn offer<'a>(
        &'a self,
        OfferRequest { merchant, handle, .. }: &'a OfferRequest,
        Asker { account, class, now }: Asker,
        number: u64,
        ring: &'a KeyRing,
    ) -> Decision<'a, Offer> {
        let open_at = open_key(merchant, class);
        let in_use = (set_aside_key(merchant, number), manifest_key(merchant, number));
        let reads = (order_key(merchant, *handle), open_at.clone(), in_use);
        Decision::new(reads, move |(order, open, in_use), change| {
            let order = owned(order, account)?;
            if order.grant.is_none() {
                self.refuse_before_recovery(order.due_at)?;
                order.may_be_granted(class, now)?;
            }
            let (key_id, cohort) = match (order.grant, open) {
                (Some(Granted::Over), _) => return Err(IssuerError::WindowOver),
                (Some(Granted::Pair(pair)), _) => (pair.key_id, pair.cohort),
                (None, Some(row)) if ring.find(&row.key_id).is_none() || ring.may_issue(&row.key_id) => {
                    (row.key_id, row.cohort)
                }
                (None, retired) => {
                    let row = self.new_cohort(class, number, ring)?;
                    // A number in use is as good as never drawn; the next call draws another.
                    if !matches!(in_use, (None, None)) {
                        return Err(StoreError::Contended.into());
                    }
                    change.put(&open_at, &row);
                    // One that a retired key leaves behind is set aside.
                    if let Some(retired) = retired {
                        change.put(&set_aside_key(merchant, retired.cohort), &retired);
                    }
                    (row.key_id, row.cohort)
                }
            };
            let pair = ring.find(&key_id).ok_or(IssuerError::UnknownKey)?;
            Ok(Offer {
                handle: *handle,
                scope: Scope::new(key_id, merchant.clone(), cohort),
                issuer_key: *pair.issuer_key.public(),
                escrow_key: pair.escrow_key,
            })
        })
    }

    /// A cohort under the newest key.
    fn new_cohort(&self, class: u8, cohort: u64, ring: &KeyRing) -> Result<CohortRow, IssuerError> {
        let pair = ring.newest();
        Ok(CohortRow {
            key_id: *pair.issuer_key.public().id(),
            escrow_id: *pair.escrow_key.id(),
            cohort,
            class,
            k: self.config.k(class).ok_or(IssuerError::UnknownClass)?,
            opened_by: next_midnight(self.now()?),
            age: 0,
            aged_at: Timestamp::ZERO,
            counted: 0,
        })
    }
}

/// Who asks, and what is known of the order.
#[derive(Clone, Copy)]
struct Asker {
    account: AccountTag,
    class: u8,
    now: Timestamp,
}

impl OrderRow {
    /// Whether its numbers are dead and were ended long enough ago. From then on its class is frozen.
    pub(super) fn is_eligible(&self, now: Timestamp) -> bool {
        self.ended.is_some_and(|ended| ended.eligible_at <= now)
    }

    /// Refuses an order that is not eligible. `class` is what was read of it before: it cannot have
    /// changed if it was frozen then.
    pub(super) fn may_be_granted(&self, class: u8, now: Timestamp) -> Result<(), IssuerError> {
        if !self.is_eligible(now) {
            return Err(IssuerError::NotEligible);
        }
        if self.class == class { Ok(()) } else { Err(StoreError::Contended.into()) }
    }
}

/// The order, if there is one and it is this account's.
pub(super) fn owned(order: Option<OrderRow>, account: AccountTag) -> Result<OrderRow, IssuerError> {
    let order = order.ok_or(IssuerError::UnknownOrder)?;
    if order.account == account { Ok(order) } else { Err(IssuerError::OrderOfAnotherAccount) }
}
