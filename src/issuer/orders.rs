//! Due orders: what the host reports of them, and which scope each is offered.

use super::directory::next_midnight;
use super::rows::{
    CohortRow, OrderRow, StoredRow, manifest_key, merchant_bucket, open_key, order_key, raw, sealed_key,
};
use super::{AccountTag, Desk, IssuerConfig, IssuerError, fail_all};
use crate::environment::Environment;
use crate::name::Name;
use crate::store::decide::{Decision, Step};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::time::{DAY, Timestamp};
use crate::token::{KeyRing, Offer, OrderHandle, OrderHandleKey, Scope};

/// The most bytes that a host's order id may have.
pub const MAX_ORDER_ID: usize = 256;
/// How far ahead the end of an order's numbers may lie, in seconds.
const NUMBERS_DEAD_AHEAD: u64 = 366 * DAY;

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

impl<S: Store> Desk<S> {
    pub(super) fn report_orders(&self, reports: &[OrderReport]) -> Vec<Result<OrderHandle, IssuerError>> {
        let now = self.environment.now();
        let decision = |report: &OrderReport| {
            let length = report.order_id.len();
            if length == 0 || length > MAX_ORDER_ID {
                return Err(IssuerError::OrderIdLength { length });
            }
            let OrderReport { order_id, account, merchant, class, due_at } = report;
            let handle = OrderHandleKey::derive(&self.master, merchant).handle(order_id);
            let account = self.tag(account, merchant);
            let row =
                OrderRow { account, class: *class, due_at: *due_at, numbers_dead_at: None, grant: None };
            Ok(Report { key: order_key(merchant, handle), handle, row, now, config: &self.config })
        };
        self.decide(reports.iter().map(decision).collect())
    }

    pub(super) fn numbers_dead(&self, reports: &[NumbersDead]) -> Vec<Result<(), IssuerError>> {
        let latest = self.environment.now().saturating_add(NUMBERS_DEAD_AHEAD);
        let decision = |report: &NumbersDead| {
            if report.at > latest {
                return Err(IssuerError::TimeOutOfRange);
            }
            Ok(EndNumbers { key: order_key(&report.merchant, report.handle), at: report.at })
        };
        self.decide(reports.iter().map(decision).collect())
    }

    pub(super) fn offers(&self, requests: &[OfferRequest]) -> Vec<Result<Offer, IssuerError>> {
        let keys: Vec<RowKey> =
            requests.iter().map(|asked| order_key(&asked.merchant, asked.handle)).collect();
        let ring = self.ring();
        let rows = match self.store.read(&keys) {
            Ok(rows) => rows,
            Err(failure) => return fail_all(failure, requests.len()),
        };
        let decisions = requests.iter().enumerate().map(|(position, asked)| {
            let account = self.tag(&asked.account, &asked.merchant);
            let order = owned(OrderRow::read(&rows, position)?, account)?;
            Ok(MakeOffer {
                asked,
                account,
                class: order.class,
                now: self.environment.now(),
                ring: &ring,
                config: &self.config,
                environment: &self.environment,
            })
        });
        self.decide(decisions.collect())
    }
}

/// The order, if there is one and it is this account's.
pub(super) fn owned(order: Option<OrderRow>, account: AccountTag) -> Result<OrderRow, IssuerError> {
    let order = order.ok_or(IssuerError::UnknownOrder)?;
    if order.account == account { Ok(order) } else { Err(IssuerError::OrderOfAnotherAccount) }
}

struct Report<'a> {
    key: RowKey,
    handle: OrderHandle,
    row: OrderRow,
    now: Timestamp,
    config: &'a IssuerConfig,
}

impl Decision for Report<'_> {
    type Answer = Result<OrderHandle, IssuerError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let new = &self.row;
        if let Some(old) = OrderRow::read(rows, 0)? {
            let same = (old.account, old.class, old.due_at) == (new.account, new.class, new.due_at);
            return Ok(Step::Answer(if same { Ok(self.handle) } else { Err(IssuerError::OrderDiffers) }));
        }
        if new.due_at > self.now {
            return Ok(Step::Answer(Err(IssuerError::NotDue)));
        }
        if self.config.k(new.class).is_none() {
            return Ok(Step::Answer(Err(IssuerError::UnknownClass)));
        }
        let RowKey { bucket, key } = self.key.clone();
        Ok(Step::Commit(Commit::new(bucket).expect(&key, None).put(key, new.to_value()), Ok(self.handle)))
    }
}

struct EndNumbers {
    key: RowKey,
    at: Timestamp,
}

impl Decision for EndNumbers {
    type Answer = Result<(), IssuerError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let Some(order) = OrderRow::read(rows, 0)? else {
            return Ok(Step::Answer(Err(IssuerError::UnknownOrder)));
        };
        match order.numbers_dead_at {
            Some(at) if at == self.at => Ok(Step::Answer(Ok(()))),
            Some(_) => Ok(Step::Answer(Err(IssuerError::NumbersDeadDiffers))),
            None => {
                let RowKey { bucket, key } = self.key.clone();
                let commit = Commit::new(bucket).expect(&key, raw(rows, 0));
                let order = OrderRow { numbers_dead_at: Some(self.at), ..order };
                Ok(Step::Commit(commit.put(key, order.to_value()), Ok(())))
            }
        }
    }
}

struct MakeOffer<'a> {
    asked: &'a OfferRequest,
    account: AccountTag,
    /// Frozen with the order, so the cohort's row can be named before the order is read again.
    class: u8,
    now: Timestamp,
    ring: &'a KeyRing,
    config: &'a IssuerConfig,
    environment: &'a Environment,
}

impl Decision for MakeOffer<'_> {
    type Answer = Result<Offer, IssuerError>;

    fn keys(&self) -> Vec<RowKey> {
        let OfferRequest { merchant, handle, .. } = self.asked;
        vec![order_key(merchant, *handle), open_key(merchant, self.class)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let order = match owned(OrderRow::read(rows, 0)?, self.account) {
            Ok(order) => order,
            Err(error) => return Ok(Step::Answer(Err(error))),
        };
        if let Some(grant) = order.grant {
            return Ok(Step::Answer(self.offer(&grant.key_id, grant.cohort)));
        }
        let open = CohortRow::read(rows, 1)?;
        if let Some(row) = &open
            && (self.ring.find(&row.key_id).is_none() || self.ring.may_issue(&row.key_id))
        {
            return Ok(Step::Answer(self.offer(&row.key_id, row.cohort)));
        }
        self.open_cohort(open.as_ref(), raw(rows, 1))
    }
}

impl MakeOffer<'_> {
    fn offer(&self, key_id: &[u8; 32], cohort: u64) -> Result<Offer, IssuerError> {
        let pair = self.ring.find(key_id).ok_or(IssuerError::UnknownKey)?;
        Ok(Offer {
            handle: self.asked.handle,
            scope: Scope::new(*key_id, self.asked.merchant.clone(), cohort),
            issuer_key: *pair.issuer_key.public(),
            escrow_key: pair.escrow_key,
        })
    }

    /// Opens a cohort under the newest key; one that a retired key leaves behind is set aside.
    fn open_cohort(
        &self,
        retired: Option<&CohortRow>,
        read: Option<&[u8]>,
    ) -> Result<Step<Result<Offer, IssuerError>>, StoreError> {
        let Some(k) = self.config.k(self.class) else {
            return Ok(Step::Answer(Err(IssuerError::UnknownClass)));
        };
        let merchant = &self.asked.merchant;
        let mut number = [0; 8];
        self.environment.rng().fill_bytes(&mut number);
        let pair = self.ring.newest();
        let row = CohortRow {
            key_id: *pair.issuer_key.public().id(),
            escrow_id: *pair.escrow_key.id(),
            cohort: u64::from_le_bytes(number),
            class: self.class,
            k,
            opened_by: next_midnight(self.now),
        };
        let open = open_key(merchant, self.class).key;
        // A number in use makes a conflict, and the next round draws another.
        let mut commit = Commit::new(merchant_bucket(merchant))
            .expect(&open, read)
            .expect(&sealed_key(merchant, row.cohort).key, None)
            .expect(&manifest_key(merchant, row.cohort).key, None)
            .put(open, row.to_value());
        if let Some(retired) = retired {
            commit = commit.put(sealed_key(merchant, retired.cohort).key, retired.to_value());
        }
        let offer = self.offer(&row.key_id, row.cohort);
        Ok(Step::Commit(commit, offer))
    }
}
