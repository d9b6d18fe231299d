//! The issuer's rows. All keys begin with `i` and a letter; a merchant's name stands in them
//! behind its length, since names can be prefixes of each other.
//!
//! | key | bucket of | value | for |
//! |---|---|---|---|
//! | `iw` U | U | account, or nobody | a U belongs to one account, ever |
//! | `ia` account | account | its wallet keys with their blinds, the last enrolment's day | requests, openings |
//! | `io` merchant, handle | merchant | account tag, class, due time, numbers' end, (scope, C) | one grant per order |
//! | `ic` merchant, class | merchant | the open cohort | offers, grants |
//! | `is` merchant, cohort | merchant | a cohort that takes no more grants and has not closed | tick |
//! | `ib` merchant, cohort, handle | merchant | account tag, of standing | the count; deleted at closing |
//! | `im` merchant, cohort | merchant | the signed manifest | desk, wallets, merchant |
//! | `ip` merchant, cohort | merchant | nothing | its manifest has not been handed over |
//! | `it` | fixed | the last boundary that was worked off | tick |
//!
//! What is deliberately absent: order ids; account names beside orders (a tag under the
//! issuer's master key stands there, so an erased account is named nowhere); when a token was
//! asked for or granted; when a cohort opened but for the day.

use super::AccountTag;
use crate::algebra::Element;
use crate::name::Name;
use crate::store::{Bucket, RowKey, StoreError};
use crate::time::Timestamp;
use crate::token::{OrderHandle, Scope};
use crate::wire::{DecodeError, Reader, Rule, Writer};

/// The most wallet keys that one account may have in its life: the row stays below the store's
/// limit.
pub const MAX_WALLET_KEYS: usize = 4096;

/// The leading byte of every value.
const FORMAT: u8 = 1;

/// A value with its strict encoding.
pub(super) trait StoredRow: Sized {
    const WHAT: &'static str;
    fn encode(&self, out: &mut Writer);
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    fn to_value(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT);
        self.encode(&mut out);
        out.finish()
    }

    fn from_value(value: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let mut from = Reader::new(value, Self::WHAT);
            if from.u8("format")? != FORMAT {
                return Err(from.refuse(Rule::Version));
            }
            let row = Self::decode(&mut from)?;
            from.end()?;
            Ok(row)
        };
        read().map_err(|_: DecodeError| StoreError::Corrupt(Self::WHAT))
    }

    /// The row that was read at `position`, decoded; `None` if there is none.
    fn read(rows: &[Option<Vec<u8>>], position: usize) -> Result<Option<Self>, StoreError> {
        raw(rows, position).map(Self::from_value).transpose()
    }
}

/// The bytes that were read at `position`.
pub(super) fn raw(rows: &[Option<Vec<u8>>], position: usize) -> Option<&[u8]> {
    rows.get(position).and_then(Option::as_deref)
}

/// Whose wallet key it is.
pub(super) struct ClaimRow {
    /// `None`: it was an erased account's, and will never be anybody's again.
    pub(super) account: Option<Name>,
}

/// One of an account's wallets.
pub(super) struct Wallet {
    pub(super) wallet_key: Element,
    /// Opens the binding's commitment.
    pub(super) blind: [u8; 32],
}

/// The account's wallets: the live one, the last, and those before it.
pub(super) struct AccountRow {
    pub(super) wallets: Vec<Wallet>,
    /// 00:00 UTC after the last enrolment.
    pub(super) enrolled_by: Timestamp,
}

impl AccountRow {
    pub(super) fn live(&self) -> Option<&Element> {
        self.wallets.last().map(|wallet| &wallet.wallet_key)
    }
}

/// The pair that an order was granted; the merchant is the row's.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct GrantedPair {
    pub(super) key_id: [u8; 32],
    pub(super) cohort: u64,
    pub(super) commitment: [u8; 32],
}

/// A due order.
#[derive(Clone)]
pub(super) struct OrderRow {
    pub(super) account: AccountTag,
    pub(super) class: u8,
    pub(super) due_at: Timestamp,
    pub(super) numbers_dead_at: Option<Timestamp>,
    pub(super) grant: Option<GrantedPair>,
}

/// A cohort that has not closed.
#[derive(Clone)]
pub(super) struct CohortRow {
    pub(super) key_id: [u8; 32],
    pub(super) escrow_id: [u8; 32],
    pub(super) cohort: u64,
    pub(super) class: u8,
    /// The class's k when the cohort opened.
    pub(super) k: u32,
    /// 00:00 UTC after its opening.
    pub(super) opened_by: Timestamp,
}

impl CohortRow {
    pub(super) fn scope(&self, merchant: &Name) -> Scope {
        Scope::new(self.key_id, merchant.clone(), self.cohort)
    }
}

/// One granted order of a cohort.
pub(super) struct MemberRow {
    pub(super) account: AccountTag,
    pub(super) of_standing: bool,
}

/// The last boundary that was worked off.
pub(super) struct TickRow {
    pub(super) boundary: Timestamp,
}

impl StoredRow for ClaimRow {
    const WHAT: &'static str = "wallet key claim";

    fn encode(&self, out: &mut Writer) {
        out.u8(self.account.is_some().into());
        if let Some(account) = &self.account {
            account.encode(out);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let account = if from.bool("claimed")? { Some(Name::decode(from, "account")?) } else { None };
        Ok(Self { account })
    }
}

impl StoredRow for AccountRow {
    const WHAT: &'static str = "account";

    fn encode(&self, out: &mut Writer) {
        out.timestamp(self.enrolled_by);
        out.le16(self.wallets.len() as u16);
        for wallet in &self.wallets {
            out.elements(&[wallet.wallet_key]);
            out.raw(&wallet.blind);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let enrolled_by = from.timestamp("enrolled by")?;
        let count = usize::from(from.le16("wallets")?);
        if count == 0 || count > MAX_WALLET_KEYS {
            return Err(from.refuse(Rule::Length));
        }
        let mut wallets = Vec::with_capacity(count);
        for _ in 0..count {
            wallets.push(Wallet { wallet_key: from.element("U")?, blind: from.array("blind")? });
        }
        Ok(Self { wallets, enrolled_by })
    }
}

impl StoredRow for OrderRow {
    const WHAT: &'static str = "order";

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.account.0);
        out.u8(self.class);
        out.timestamp(self.due_at);
        out.u8(self.numbers_dead_at.is_some().into());
        if let Some(at) = self.numbers_dead_at {
            out.timestamp(at);
        }
        out.u8(self.grant.is_some().into());
        if let Some(grant) = &self.grant {
            out.raw(&grant.key_id);
            out.le64(grant.cohort);
            out.raw(&grant.commitment);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let account = AccountTag(from.array("account")?);
        let (class, due_at) = (from.u8("class")?, from.timestamp("due at")?);
        let numbers_dead_at =
            if from.bool("numbers dead")? { Some(from.timestamp("numbers dead at")?) } else { None };
        let grant = if from.bool("granted")? {
            let (key_id, cohort) = (from.array("key id")?, from.le64("cohort")?);
            Some(GrantedPair { key_id, cohort, commitment: from.array("C")? })
        } else {
            None
        };
        Ok(Self { account, class, due_at, numbers_dead_at, grant })
    }
}

impl StoredRow for CohortRow {
    const WHAT: &'static str = "cohort";

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.key_id);
        out.raw(&self.escrow_id);
        out.le64(self.cohort);
        out.u8(self.class);
        out.le32(self.k);
        out.timestamp(self.opened_by);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key_id: from.array("key id")?,
            escrow_id: from.array("escrow id")?,
            cohort: from.le64("cohort")?,
            class: from.u8("class")?,
            k: from.le32("k")?,
            opened_by: from.timestamp("opened by")?,
        })
    }
}

impl StoredRow for MemberRow {
    const WHAT: &'static str = "cohort member";

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.account.0);
        out.u8(self.of_standing.into());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { account: AccountTag(from.array("account")?), of_standing: from.bool("of standing")? })
    }
}

impl StoredRow for TickRow {
    const WHAT: &'static str = "last boundary";

    fn encode(&self, out: &mut Writer) {
        out.timestamp(self.boundary);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { boundary: from.timestamp("boundary")? })
    }
}

/// The rooms whose rows a scan walks.
pub(super) const OPEN_COHORTS: &[u8; 2] = b"ic";
pub(super) const SEALED_COHORTS: &[u8; 2] = b"is";
pub(super) const MANIFESTS: &[u8; 2] = b"im";
pub(super) const WAITING_MANIFESTS: &[u8; 2] = b"ip";
const MEMBERS: &[u8; 2] = b"ib";

/// The bucket of an owner in its role: a merchant and an account of one name do not meet.
fn bucket(role: u8, owner: &[u8]) -> Bucket {
    Bucket::of(&[&[b'i', role], owner].concat())
}

pub(super) fn merchant_bucket(merchant: &Name) -> Bucket {
    bucket(b'm', merchant.as_bytes())
}

pub(super) fn claim_key(wallet_key: &Element) -> RowKey {
    let mut key = b"iw".to_vec();
    key.extend_from_slice(wallet_key.as_bytes());
    RowKey { bucket: bucket(b'w', wallet_key.as_bytes()), key }
}

pub(super) fn account_key(account: &Name) -> RowKey {
    let mut key = b"ia".to_vec();
    key.extend_from_slice(account.as_bytes());
    RowKey { bucket: bucket(b'a', account.as_bytes()), key }
}

pub(super) fn order_key(merchant: &Name, handle: OrderHandle) -> RowKey {
    of_merchant(b"io", merchant, handle.as_bytes())
}

pub(super) fn open_key(merchant: &Name, class: u8) -> RowKey {
    of_merchant(OPEN_COHORTS, merchant, &[class])
}

pub(super) fn sealed_key(merchant: &Name, cohort: u64) -> RowKey {
    of_merchant(SEALED_COHORTS, merchant, &cohort.to_le_bytes())
}

pub(super) fn manifest_key(merchant: &Name, cohort: u64) -> RowKey {
    of_merchant(MANIFESTS, merchant, &cohort.to_le_bytes())
}

pub(super) fn waiting_key(merchant: &Name, cohort: u64) -> RowKey {
    of_merchant(WAITING_MANIFESTS, merchant, &cohort.to_le_bytes())
}

pub(super) fn member_key(merchant: &Name, cohort: u64, handle: OrderHandle) -> RowKey {
    let mut row = of_merchant(MEMBERS, merchant, &cohort.to_le_bytes());
    row.key.extend_from_slice(handle.as_bytes());
    row
}

/// What all members' keys of a cohort begin with.
pub(super) fn members_prefix(merchant: &Name, cohort: u64) -> RowKey {
    of_merchant(MEMBERS, merchant, &cohort.to_le_bytes())
}

/// What all manifests' keys of a merchant begin with.
pub(super) fn manifests_prefix(merchant: &Name) -> RowKey {
    of_merchant(MANIFESTS, merchant, &[])
}

pub(super) fn tick_key() -> RowKey {
    RowKey { bucket: bucket(b't', b""), key: b"it".to_vec() }
}

fn of_merchant(room: &[u8; 2], merchant: &Name, rest: &[u8]) -> RowKey {
    let mut key = Writer::new();
    key.raw(room);
    merchant.encode(&mut key);
    key.raw(rest);
    RowKey { bucket: merchant_bucket(merchant), key: key.finish() }
}

/// The merchant whose name stands in a key that a scan found.
pub(super) fn merchant_of(key: &[u8]) -> Result<Name, StoreError> {
    let read = || {
        let mut from = Reader::new(key, "merchant's key");
        let _room: [u8; 2] = from.array("room")?;
        Name::decode(&mut from, "merchant")
    };
    read().map_err(|_: DecodeError| StoreError::Corrupt("merchant's key"))
}

/// The order that a member's key ends with.
pub(super) fn handle_of(key: &[u8]) -> Result<OrderHandle, StoreError> {
    match key.last_chunk() {
        Some(handle) => Ok(OrderHandle(*handle)),
        None => Err(StoreError::Corrupt("member's key")),
    }
}
