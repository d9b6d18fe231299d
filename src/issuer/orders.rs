//! Due orders: what the host reports of them, and which scope each is offered.

use super::directory::next_midnight;
use super::rows::{CohortRow, Granted, OrderRow, manifest_key, open_key, order_key, sealed_key};
use super::{AccountTag, Core, Decision, IssuerError};
use unjoin_core::Name;
use unjoin_core::token::{KeyRing, Offer, OrderHandle, OrderHandleKey, Scope};
use unjoin_core::{DAY, Timestamp};
use unjoin_store::{Store, StoreError};

/// The most bytes that a host's order id may have.
pub const MAX_ORDER_ID: usize = 256;
/// How far ahead a reported time may lie, in seconds. What lies further is a mistake, most often
/// milliseconds, and no retry mends it.
const AHEAD: u64 = 366 * DAY;

/// An order that is due: delivered, or the end of the promised day has passed.
#[derive(Clone)]
pub struct OrderReport {
    /// The host's order id: 1 to [`MAX_ORDER_ID`] bytes. Not stored.
    pub order_id: Vec<u8>,
    /// Whose order it is.
    pub account: Name,
    /// The merchant.
    pub merchant: Name,
    /// The outcome class, frozen from now on.
    pub class: u8,
    /// When it became due; not in the future.
    pub due_at: Timestamp,
}

/// Prints nothing of the order.
impl core::fmt::Debug for OrderReport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OrderReport(..)")
    }
}

/// An order whose scope is asked for.
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
            let new =
                OrderRow { account, class: *class, due_at: *due_at, numbers_dead_at: None, grant: None };
            let key = order_key(merchant, handle);
            Ok(Decision::new(key.clone(), move |old: Option<OrderRow>, change| {
                if let Some(old) = old {
                    let same = (old.account, old.class, old.due_at) == (new.account, new.class, new.due_at);
                    return if same { Ok(handle) } else { Err(IssuerError::OrderDiffers) };
                }
                if new.due_at > now {
                    return Err(IssuerError::NotDue);
                }
                self.config.k(new.class).ok_or(IssuerError::UnknownClass)?;
                change.put(&key, &new);
                Ok(handle)
            }))
        };
        self.decide(reports.iter().map(decision))
    }

    pub(super) fn numbers_dead(&self, reports: &[NumbersDead]) -> Vec<Result<(), IssuerError>> {
        let latest = self.environment.now().saturating_add(AHEAD);
        let decision = |&NumbersDead { ref merchant, handle, at }: &NumbersDead| {
            if at > latest {
                return Err(IssuerError::TimeOutOfRange);
            }
            let key = order_key(merchant, handle);
            Ok(Decision::new(key.clone(), move |order: Option<OrderRow>, change| {
                let order = order.ok_or(IssuerError::UnknownOrder)?;
                match order.numbers_dead_at {
                    Some(before) if before == at => {}
                    Some(_) => return Err(IssuerError::NumbersDeadDiffers),
                    None => change.put(&key, &OrderRow { numbers_dead_at: Some(at), ..order }),
                }
                Ok(())
            }))
        };
        self.decide(reports.iter().map(decision))
    }

    pub(super) fn offers(&self, requests: &[OfferRequest]) -> Vec<Result<Offer, IssuerError>> {
        let (ring, mut rng) = (self.ring(), self.environment.rng());
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
            Ok(self.offer(asked, account, class, u64::from_le_bytes(number), &ring))
        });
        self.decide(decisions)
    }

    /// The class is frozen with the order, so the cohort's row can be named before the order is
    /// read again. `number` is the cohort's, if one is opened.
    fn offer<'a>(
        &'a self,
        OfferRequest { merchant, handle, .. }: &'a OfferRequest,
        account: AccountTag,
        class: u8,
        number: u64,
        ring: &'a KeyRing,
    ) -> Decision<'a, Offer> {
        let open_at = open_key(merchant, class);
        let in_use = (sealed_key(merchant, number), manifest_key(merchant, number));
        let reads = (order_key(merchant, *handle), open_at.clone(), in_use);
        Decision::new(reads, move |(order, open, in_use), change| {
            let order = owned(order, account)?;
            if order.grant.is_none() {
                self.refuse_before_recovery(order.due_at)?;
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
                        change.put(&sealed_key(merchant, retired.cohort), &retired);
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
        })
    }
}

/// The order, if there is one and it is this account's.
pub(super) fn owned(order: Option<OrderRow>, account: AccountTag) -> Result<OrderRow, IssuerError> {
    let order = order.ok_or(IssuerError::UnknownOrder)?;
    if order.account == account { Ok(order) } else { Err(IssuerError::OrderOfAnotherAccount) }
}
