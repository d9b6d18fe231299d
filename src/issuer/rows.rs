//! The issuer's rows. All keys begin with `i` and a letter. A merchant's name follows behind its
//! length, since names can be prefixes of each other.
//!
//! | key | bucket of | value | for |
//! |---|---|---|---|
//! | `iw` U | U | account, or nobody | a U belongs to one account, ever |
//! | `ia` account | account | its wallet keys, the last enrolment's day | requests, openings |
//! | `io` merchant, handle | merchant | account tag, class, due time, numbers' end, when eligible, (scope, C) | one grant per order |
//! | `in` due time (be64), merchant, handle | merchant | nothing | orders whose numbers have not ended |
//! | `ic` merchant, class | merchant | the open cohort | offers, grants |
//! | `is` merchant, cohort | merchant | a cohort that takes no more grants and is not sealed | tick |
//! | `ib` merchant, cohort, account tag | merchant | handle, of standing | one order of an account in a cohort; the count |
//! | `ie` merchant, cohort | merchant | the last boundary | its members, and what their orders were granted, are forgotten then |
//! | `ig` merchant, cohort | merchant | how many of the forgotten tokens there were | auditors |
//! | `ir` merchant, class | merchant | counted grants of 60 days, present and past | when cohorts seal |
//! | `im` merchant, cohort | merchant | the signed manifest | desk, wallets, merchant |
//! | `ip` merchant, cohort | merchant | nothing | its manifest has not been handed over |
//! | `iu` merchant, handle | merchant | nothing | orders that are not counted yet: their class may not be frozen |
//! | `id` merchant, class | merchant | how many orders there were | ratings |
//! | `ix` merchant, cohort | merchant | a sealed cohort's class, its last boundary | ratings |
//! | `ij` merchant | merchant | the rating | everybody |
//! | `iq` | fixed | the boundary of the last ratings, the rating of a shop without orders | ratings |
//! | `it` | fixed | the last boundary that was worked off | tick |
//! | `ik` | fixed | when the last ticks were | tick, what is dated |
//! | `iv` | fixed | the last recovery | offers, grants: orders that were due before it |
//!
//! What is deliberately absent: order ids; account names beside orders (there is a tag under the
//! issuer's master key instead, so an erased account is named nowhere); when a token was asked
//! for or granted; when a cohort opened, except for the day.

use super::AccountTag;
use super::rate::RateRow;
use crate::clock::ClockRow;
use crate::rating::{Estimate, Rating};
use crate::recovery::RecoveryRow;
use unjoin_core::algebra::Element;
use unjoin_core::token::{OrderHandle, Scope, SignedManifest, TokenRequest};
use unjoin_core::wire::{DecodeError, Field, Reader, Rule, Writer};
use unjoin_core::{Name, Timestamp, fields};
use unjoin_store::{Bucket, Key, MessageRow, Present, Record, StoreError, record};

/// The most wallet keys that one account may have in its life: the row stays below the store's
/// limit.
pub const MAX_WALLET_KEYS: usize = 4096;

/// Whose wallet key it is.
pub(super) struct OwnerRow {
    /// `None`: it was an erased account's, and will never be anybody's again.
    pub(super) account: Option<Name>,
}

record!(OwnerRow, "wallet key's owner": account);

/// The account's wallet keys: the live one, the last, and those before it.
#[derive(PartialEq)]
pub(super) struct AccountRow {
    pub(super) wallets: Vec<Element>,
    /// 00:00 UTC after the last enrolment.
    pub(super) enrolled_by: Timestamp,
}

record!(AccountRow, "account": enrolled_by, wallets of(1..=MAX_WALLET_KEYS));

impl AccountRow {
    pub(super) fn live(&self) -> Option<&Element> {
        self.wallets.last()
    }
}

/// The pair that an order was granted; the merchant is the row's.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct GrantedPair {
    pub(super) key_id: [u8; 32],
    pub(super) cohort: u64,
    pub(super) commitment: [u8; 32],
}

impl GrantedPair {
    pub(super) fn of(request: &TokenRequest) -> Self {
        let scope = request.scope();
        let commitment = *request.commitment().as_bytes();
        Self { key_id: *scope.key_id(), cohort: scope.cohort(), commitment }
    }
}

/// What an order was granted.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Granted {
    Pair(GrantedPair),
    /// The window of its cohort has ended: which cohort it was is nobody's business any more.
    Over,
}

/// A due order.
pub(super) struct OrderRow {
    pub(super) account: AccountTag,
    pub(super) class: u8,
    pub(super) due_at: Timestamp,
    pub(super) ended: Option<Ended>,
    pub(super) grant: Option<Granted>,
}

/// The end of an order's numbers, as it was reported.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    /// From when on none of them rings.
    pub(super) dead_at: Timestamp,
    /// From when on the order has a token to ask for.
    pub(super) eligible_at: Timestamp,
}

/// A cohort that is not sealed.
#[derive(Clone, PartialEq)]
pub(super) struct CohortRow {
    pub(super) key_id: [u8; 32],
    pub(super) escrow_id: [u8; 32],
    pub(super) cohort: u64,
    pub(super) class: u8,
    /// The class's k when the cohort opened.
    pub(super) k: u32,
    /// 00:00 UTC after its opening.
    pub(super) opened_by: Timestamp,
    /// In days, since the first boundary that found a grant of standing.
    pub(super) age: u32,
    /// The boundary that it was last counted at.
    pub(super) aged_at: Timestamp,
    /// How many customers of standing there were then.
    pub(super) counted: u32,
}

record!(CohortRow, "cohort": key_id, escrow_id, cohort, class, k, opened_by, age, aged_at, counted);

impl CohortRow {
    pub(super) fn scope(&self, merchant: &Name) -> Scope {
        Scope::new(self.key_id, merchant.clone(), self.cohort)
    }
}

/// The one granted order of an account in a cohort.
pub(super) struct MemberRow {
    pub(super) handle: OrderHandle,
    pub(super) of_standing: bool,
}

record!(MemberRow, "cohort member": handle, of_standing);

/// A cohort that is over at a boundary, and whose orders say until then what they were granted.
pub(super) struct WindowRow {
    pub(super) ends: Timestamp,
}

record!(WindowRow, "window's end": ends);

/// How many tokens of a sealed cohort were granted, beside those of the members that are still there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct GrantsRow {
    pub(super) grants: u64,
}

record!(GrantsRow, "number of grants": grants);

/// The last boundary that was worked off.
pub(super) struct TickRow {
    pub(super) boundary: Timestamp,
}

record!(TickRow, "last boundary": boundary);

/// How many orders a shop had of a class.
pub(super) struct OrderCountRow {
    pub(super) orders: u64,
}

record!(OrderCountRow, "number of orders": orders);

/// What a sealed cohort was of, while a review of it is listed.
pub(super) struct ClassRow {
    pub(super) class: u8,
    /// Its last boundary: until then reviews may come.
    pub(super) until: Timestamp,
}

record!(ClassRow, "cohort's class": class, until);

/// A rating in thousandths, which tell less of a shop's orders than all the digits would: of the stars and of the
/// share of bad reviews, each the estimate and the ends of its interval.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RatingRow {
    thousandths: [u16; 6],
}

record!(RatingRow, "rating": thousandths);

impl RatingRow {
    pub(super) fn of(Rating { stars, bad_share }: &Rating) -> Self {
        let parts = [stars, bad_share].map(|of| [of.value, of.low, of.high]);
        let mut thousandths = [0; 6];
        // At most 5000; the conversion saturates.
        let rounded = parts.as_flattened().iter().map(|part| (part * 1_000.0).round() as u16);
        thousandths.iter_mut().zip(rounded).for_each(|(to, from)| *to = from);
        Self { thousandths }
    }

    pub(super) fn rating(self) -> Rating {
        let [value, low, high, bad, least, most] = self.thousandths.map(|part| f64::from(part) / 1_000.0);
        Rating {
            stars: Estimate { value, low, high },
            bad_share: Estimate { value: bad, low: least, high: most },
        }
    }
}

/// The last ratings.
#[derive(Clone, Copy)]
pub(super) struct RatedRow {
    pub(super) boundary: Timestamp,
    /// That of a shop without orders.
    pub(super) rating: RatingRow,
}

record!(RatedRow, "last ratings": boundary, rating);

fields!(Ended: dead_at as "dead at", eligible_at as "eligible at");
fields!(GrantedPair: key_id as "key id", cohort as "cohort", commitment as "C");

impl Record for OrderRow {
    const NAME: &'static str = "order";

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.account.0);
        out.u8(self.class);
        out.timestamp(self.due_at);
        self.ended.put(out);
        match &self.grant {
            None => out.u8(0),
            Some(Granted::Pair(pair)) => {
                out.u8(1);
                pair.put(out);
            }
            Some(Granted::Over) => out.u8(2),
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let account = AccountTag(from.array("account")?);
        let (class, due_at) = (from.u8("class")?, from.timestamp("due at")?);
        let ended = Field::get(from, "ended")?;
        let grant = match from.u8("granted")? {
            0 => None,
            1 => Some(Granted::Pair(Field::get(from, "pair")?)),
            2 => Some(Granted::Over),
            _ => return Err(from.refuse(Rule::Value)),
        };
        Ok(Self { account, class, due_at, ended, grant })
    }
}

fields!(RatingRow: thousandths as "rating");

/// The namespaces whose rows a scan walks.
pub(super) const OPEN_COHORTS: &[u8; 2] = b"ic";
pub(super) const SET_ASIDE: &[u8; 2] = b"is";
pub(super) const WAITING_MANIFESTS: &[u8; 2] = b"ip";
pub(super) const WINDOWS: &[u8; 2] = b"ie";
pub(super) const ENDLESS: &[u8; 2] = b"in";
pub(super) const UNCOUNTED: &[u8; 2] = b"iu";
pub(super) const ORDER_COUNTS: &[u8; 2] = b"id";
pub(super) const CLASSES: &[u8; 2] = b"ix";
const MANIFESTS: &[u8; 2] = b"im";
const MEMBERS: &[u8; 2] = b"ib";

/// The bucket of an owner in its role: a merchant and an account of one name do not meet.
fn bucket(role: u8, owner: &[u8]) -> Bucket {
    Bucket::of(&[&[b'i', role], owner].concat())
}

pub(super) fn owner_key(wallet_key: &Element) -> Key<OwnerRow> {
    let wallet_key = wallet_key.as_bytes();
    Key::new(bucket(b'w', wallet_key), [b"iw".as_slice(), wallet_key].concat())
}

pub(super) fn account_key(account: &Name) -> Key<AccountRow> {
    Key::new(bucket(b'a', account.as_bytes()), [b"ia", account.as_bytes()].concat())
}

pub(super) fn order_key(merchant: &Name, handle: OrderHandle) -> Key<OrderRow> {
    of_merchant(b"io", merchant, &[handle.as_bytes()])
}

pub(super) fn open_key(merchant: &Name, class: u8) -> Key<CohortRow> {
    of_merchant(OPEN_COHORTS, merchant, &[&[class]])
}

pub(super) fn set_aside_key(merchant: &Name, cohort: u64) -> Key<CohortRow> {
    of_merchant(SET_ASIDE, merchant, &[&cohort.to_le_bytes()])
}

/// What the keys of all cohorts of a merchant begin with that are not sealed.
pub(super) fn cohorts_prefixes(merchant: &Name) -> [Key<CohortRow>; 2] {
    [OPEN_COHORTS, SET_ASIDE].map(|namespace| of_merchant(namespace, merchant, &[]))
}

pub(super) fn rate_key(merchant: &Name, class: u8) -> Key<RateRow> {
    of_merchant(b"ir", merchant, &[&[class]])
}

/// An order whose numbers have not ended, in the order of the due times.
pub(super) fn endless_key(due_at: Timestamp, merchant: &Name, handle: OrderHandle) -> Key<Present> {
    let mut key = Writer::new();
    key.raw(ENDLESS);
    key.raw(&due_at.as_unix_seconds().to_be_bytes());
    merchant.encode(&mut key);
    key.raw(handle.as_bytes());
    Key::new(bucket(b'm', merchant.as_bytes()), key.finish())
}

/// What comes after the keys of all such orders that were due by then.
pub(super) fn endless_after(due_by: Timestamp) -> Vec<u8> {
    [ENDLESS.as_slice(), &due_by.saturating_add(1).as_unix_seconds().to_be_bytes()].concat()
}

/// The merchant and order of such a key.
pub(super) fn endless_of(key: &Key<Present>) -> Result<(Name, OrderHandle), StoreError> {
    let mut from = Reader::new(key.bytes(), "key of an order whose numbers have not ended");
    let decoded = (|| {
        let _namespace: [u8; 2] = from.array("namespace")?;
        let _due_at: [u8; 8] = from.array("due at")?;
        let (merchant, handle) = (Name::decode(&mut from, "merchant")?, from.array("handle")?);
        from.end()?;
        Ok::<_, DecodeError>((merchant, OrderHandle(handle)))
    })();
    decoded.map_err(|_| StoreError::Corrupt("key of an order whose numbers have not ended"))
}

/// An order that is not counted yet.
pub(super) fn uncounted_key(merchant: &Name, handle: OrderHandle) -> Key<Present> {
    of_merchant(UNCOUNTED, merchant, &[handle.as_bytes()])
}

/// The merchant and order of such a key.
pub(super) fn uncounted_of(key: &Key<Present>) -> Result<(Name, OrderHandle), StoreError> {
    let handle =
        key.bytes().last_chunk().ok_or(StoreError::Corrupt("key of an order that is not counted"))?;
    Ok((merchant_of(key)?, OrderHandle(*handle)))
}

pub(super) fn order_count_key(merchant: &Name, class: u8) -> Key<OrderCountRow> {
    of_merchant(ORDER_COUNTS, merchant, &[&[class]])
}

/// The class that its key ends with.
pub(super) fn class_of(key: &Key<OrderCountRow>) -> Result<u8, StoreError> {
    key.bytes().last().copied().ok_or(StoreError::Corrupt("class's key"))
}

pub(super) fn class_key(merchant: &Name, cohort: u64) -> Key<ClassRow> {
    of_merchant(CLASSES, merchant, &[&cohort.to_le_bytes()])
}

pub(super) fn rating_key(merchant: &Name) -> Key<RatingRow> {
    of_merchant(b"ij", merchant, &[])
}

pub(super) fn manifest_key(merchant: &Name, cohort: u64) -> Key<MessageRow<SignedManifest>> {
    of_merchant(MANIFESTS, merchant, &[&cohort.to_le_bytes()])
}

pub(super) fn waiting_key(merchant: &Name, cohort: u64) -> Key<Present> {
    of_merchant(WAITING_MANIFESTS, merchant, &[&cohort.to_le_bytes()])
}

pub(super) fn window_key(merchant: &Name, cohort: u64) -> Key<WindowRow> {
    of_merchant(WINDOWS, merchant, &[&cohort.to_le_bytes()])
}

pub(super) fn grants_key(merchant: &Name, cohort: u64) -> Key<GrantsRow> {
    of_merchant(b"ig", merchant, &[&cohort.to_le_bytes()])
}

pub(super) fn member_key(merchant: &Name, cohort: u64, account: AccountTag) -> Key<MemberRow> {
    of_merchant(MEMBERS, merchant, &[&cohort.to_le_bytes(), &account.0])
}

/// What all members' keys of a cohort begin with.
pub(super) fn members_prefix(merchant: &Name, cohort: u64) -> Key<MemberRow> {
    of_merchant(MEMBERS, merchant, &[&cohort.to_le_bytes()])
}

/// What all manifests' keys of a merchant begin with.
pub(super) fn manifests_prefix(merchant: &Name) -> Key<MessageRow<SignedManifest>> {
    of_merchant(MANIFESTS, merchant, &[])
}

pub(super) fn tick_key() -> Key<TickRow> {
    Key::new(bucket(b't', b""), b"it".to_vec())
}

/// In the bucket of [`tick_key`].
pub(super) fn rated_key() -> Key<RatedRow> {
    Key::new(bucket(b't', b""), b"iq".to_vec())
}

/// In the bucket of [`tick_key`].
pub(super) fn clock_key() -> Key<ClockRow> {
    Key::new(bucket(b't', b""), b"ik".to_vec())
}

/// In the bucket of [`tick_key`].
pub(super) fn recovery_key() -> Key<RecoveryRow> {
    Key::new(bucket(b't', b""), b"iv".to_vec())
}

fn of_merchant<R>(namespace: &[u8; 2], merchant: &Name, rest: &[&[u8]]) -> Key<R> {
    let mut key = Writer::new();
    key.raw(namespace);
    merchant.encode(&mut key);
    rest.iter().for_each(|part| key.raw(part));
    Key::new(bucket(b'm', merchant.as_bytes()), key.finish())
}

/// The merchant whose name is in a key that a scan found.
pub(super) fn merchant_of<R>(key: &Key<R>) -> Result<Name, StoreError> {
    let mut from = Reader::new(key.bytes(), "merchant's key");
    let namespace: Result<[u8; 2], DecodeError> = from.array("namespace");
    let merchant = namespace.and_then(|_| Name::decode(&mut from, "merchant"));
    merchant.map_err(|_| StoreError::Corrupt("merchant's key"))
}

/// The cohort that its key ends with.
pub(super) fn cohort_of<R>(key: &Key<R>) -> Result<u64, StoreError> {
    match key.bytes().last_chunk() {
        Some(cohort) => Ok(u64::from_le_bytes(*cohort)),
        None => Err(StoreError::Corrupt("cohort's key")),
    }
}

/// The manifest that a waiting row is for: their keys differ in the namespace alone.
pub(super) fn manifest_of(waiting: &Key<Present>) -> Result<Key<MessageRow<SignedManifest>>, StoreError> {
    match waiting.bytes().strip_prefix(WAITING_MANIFESTS) {
        Some(rest) => Ok(Key::new(waiting.bucket(), [MANIFESTS, rest].concat())),
        None => Err(StoreError::Corrupt("waiting manifest")),
    }
}
