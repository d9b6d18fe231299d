//! The switchboard's rows. All keys begin with `p` and a letter, and none holds a name: what
//! stands for a merchant, an order or a hub is a digest of fixed length.
//!
//! | key | bucket of | value | for |
//! |---|---|---|---|
//! | `po` order id | merchant | whether closed, when its last number is dead, its two legs | every decision |
//! | `pm` merchant id | merchant | generation; no row while it is 0 | cutting a merchant off |
//! | `pe` part (1 byte) | merchant | 8 random bytes, others whenever something of an order of this part ends | ending calls |
//! | `ph` hub tag | hub tag | epoch, pool shift, counter | no number twice |
//! | `pf` | X | key generation, how far the view of slots reached in which numbers were made in this bucket | no party has a number twice |
//! | `pi` slot's end (be64), index | X | sealed: callee, merchant, order, leg, side, attempt | routing |
//!
//! The slot's end in an index row's key lets the sweeper delete whole slots. It is a time, so
//! that it means the same whatever the slots' length becomes.
//!
//! What is deliberately absent: any phone number, or a digest of one, outside the rows whose
//! key dies with their slot; names of merchants, orders and couriers; whose number it was, once
//! a leg has ended; calls.

use super::binding::{Directions, Leg, OrderRef};
use crate::{Channel, PhoneNumber, SlotKey, SlotKeyWindow, VirtualNumber};
use rand_core::CryptoRng;
use unjoin_core::algebra::transcript::hash32;
use unjoin_core::wire::{DecodeError, Reader, Rule, Writer};
use unjoin_core::{Name, Timestamp, fields, one_byte, one_of};
use unjoin_store::{Bucket, Key, Record, StoreError, record};
use zeroize::Zeroizing;

/// What the keys of the rows that are cleared away begin with.
pub(super) const ORDERS: &[u8; 2] = b"po";
pub(super) const MERCHANTS: &[u8; 2] = b"pm";
pub(super) const HUBS: &[u8; 2] = b"ph";
pub(super) const INDEX: &[u8; 2] = b"pi";
const REACH: &[u8; 2] = b"pf";
const ENDINGS: &[u8; 2] = b"pe";
/// Into so many parts the orders of a bucket are divided.
const PARTS: u8 = 16;

// --- the order and its legs ---------------------------------------------------------------

/// All that is known of an order. An order without a row has never had a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderRow {
    /// Nothing is bound, extended or replaced any more, ever.
    pub(super) closed: bool,
    /// When the key of the latest slot that any index row of the order may lie in is gone:
    /// raised before such a row is written. Zero: there is none.
    pub(super) dead_at: Timestamp,
    pub(super) merchant_leg: LegState,
    pub(super) courier_leg: LegState,
}

impl Default for OrderRow {
    fn default() -> Self {
        let (merchant_leg, courier_leg) = (LegState::Unbound, LegState::Unbound);
        Self { closed: false, dead_at: Timestamp::ZERO, merchant_leg, courier_leg }
    }
}

impl OrderRow {
    /// What is decoded in the place of an order that is not there: as long as most are, one number and no courier's, and
    /// nothing can be done with it.
    pub(super) fn dummy(number: VirtualNumber) -> Self {
        let terms = Terms {
            not_after: Timestamp::ZERO,
            extendable_until: Timestamp::ZERO,
            directions: Directions::FromCustomer,
            channels: Channels::All,
            keep_merchant_closed: true,
            ticket_until: Timestamp::ZERO,
            key_generation: 0,
            merchant_generation: 0,
        };
        let merchant_leg = LegState::Live(LiveLeg { number, attempt: [0; 8], terms });
        Self { closed: true, merchant_leg, ..Self::default() }
    }

    pub(super) fn leg(&self, leg: Leg) -> &LegState {
        match leg {
            Leg::Merchant => &self.merchant_leg,
            Leg::Courier => &self.courier_leg,
        }
    }

    /// What remains of it when all its numbers are long over: nothing of their terms, and nothing at all when no leg
    /// was ever live. A leg that has ended is remembered, or it could be bound again.
    pub(super) fn shortened(&self) -> Option<Self> {
        let short = |leg: &LegState| match leg {
            LegState::Live(live) => LegState::Over(live.terms.merchant_generation),
            other => other.clone(),
        };
        let row = Self {
            merchant_leg: short(&self.merchant_leg),
            courier_leg: short(&self.courier_leg),
            ..self.clone()
        };
        (row.merchant_leg != LegState::Unbound || row.courier_leg != LegState::Unbound).then_some(row)
    }

    /// When it is to be shortened: so many seconds after all its numbers are dead. `None`: never, as it is.
    pub(super) fn due_at(&self, retention: u64) -> Option<Timestamp> {
        if self.closed || self.shortened().as_ref() == Some(self) {
            return None;
        }
        let ends = [&self.merchant_leg, &self.courier_leg].map(|leg| match leg {
            LegState::Live(live) => live.terms.not_after,
            _ => Timestamp::ZERO,
        });
        ends.into_iter().chain([self.dead_at.saturating_add(retention)]).max()
    }

    pub(super) fn leg_mut(&mut self, leg: Leg) -> &mut LegState {
        match leg {
            Leg::Merchant => &mut self.merchant_leg,
            Leg::Courier => &mut self.courier_leg,
        }
    }
}

/// One leg of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum LegState {
    /// Never live.
    #[default]
    Unbound,
    /// It was ended, and nothing of it is kept.
    Ended,
    /// Its time is long over, and of it the merchant's generation alone is kept: whether the merchant was cut off
    /// since decides whether it may be made anew.
    Over(u32),
    /// Live, as long as clock, merchant and keys say so too.
    Live(LiveLeg),
}

/// What decides whether a call goes through. Index rows count only if they name this attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveLeg {
    pub(super) number: VirtualNumber,
    /// Drawn at random by the attempt that made the leg live.
    pub(super) attempt: Attempt,
    pub(super) terms: Terms,
}

/// What holds for a live leg whatever its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// From then on it does not ring.
    pub(super) not_after: Timestamp,
    /// Extending reaches no further.
    pub(super) extendable_until: Timestamp,
    pub(super) directions: Directions,
    pub(super) channels: Channels,
    /// Whether tickets are refused.
    pub(super) keep_merchant_closed: bool,
    /// Until then the hub may call, whatever the directions. Zero: no ticket.
    pub(super) ticket_until: Timestamp,
    /// Of the slot keys.
    pub(super) key_generation: u32,
    pub(super) merchant_generation: u32,
}

/// What a number serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    All,
    Voice,
    Sms,
}

one_byte!(Channels: All, Voice, Sms);

impl Channels {
    /// The one channel that is named, or all.
    pub(super) fn only(channel: Option<Channel>) -> Self {
        match channel {
            None => Self::All,
            Some(Channel::Voice) => Self::Voice,
            Some(Channel::Sms) => Self::Sms,
        }
    }

    pub(super) fn has(self, channel: Channel) -> bool {
        self == Self::All || self == Self::only(Some(channel))
    }
}

/// Tells one attempt to bind from every other, crashed ones included.
pub(super) type Attempt = [u8; 8];

one_of!(LegState: 0 => Unbound, 1 => Ended, 2 => Live(leg as "leg"), 3 => Over(generation as "merchant generation"));
fields!(LiveLeg: number as "number", attempt as "attempt", terms as "terms");
fields!(Terms:
    not_after as "not after",
    extendable_until as "extendable until",
    directions as "directions",
    channels as "channels",
    keep_merchant_closed as "keep merchant closed",
    ticket_until as "ticket until",
    key_generation as "key generation",
    merchant_generation as "merchant generation",
);

record!(OrderRow, "order's numbers": closed, dead_at, merchant_leg, courier_leg);

/// A merchant that was cut off at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MerchantRow {
    /// Legs of another one are dead.
    pub(super) generation: u32,
}

record!(MerchantRow, "merchant's generation": generation);

/// Tells that something of an order of a [`Part`] has ended: the number was released or replaced, the order closed, a ticket closed
/// or made shorter, the merchant cut off. Written with what ends it, by the same commit, and never read for that: who has calls there
/// sees that the row is another, and looks at their orders. It counts nothing, and says neither what nor when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndingRow([u8; 8]);

impl EndingRow {
    pub(super) fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; 8];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

record!(EndingRow, "ending": 0);

/// How far a hub has drawn from its present slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HubRow {
    pub(super) epoch: u64,
    pub(super) shift: u32,
    /// How many numbers of the slice were drawn.
    pub(super) counter: u64,
}

record!(HubRow, "hub's counter": epoch, shift, counter);

/// How far the view of slots reached in which numbers were made in a bucket: the end of its last slot,
/// under one set of slot keys. A later set knows nothing of the rows of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReachRow {
    generation: u32,
    until: Timestamp,
}

impl ReachRow {
    pub(super) fn of(window: &SlotKeyWindow) -> Self {
        let last = window.slots().last().map_or(window.now(), |(slot, _)| window.end_of(slot));
        Self { generation: window.generation(), until: last }
    }

    /// From when on a view under the same keys reaches so far.
    pub(super) fn since(self, window: &SlotKeyWindow) -> Timestamp {
        let config = window.config();
        self.until.saturating_sub(u64::from(config.slots()).saturating_mul(config.slot_seconds()))
    }
}

record!(ReachRow, "reach of numbers": generation, until);

// --- the index ------------------------------------------------------------------------------

/// Which of a leg's two parties.
///
/// ```
/// use unjoin_phone::{Directions, Side};
/// /// Whether this side may call.
/// fn may_call(directions: Directions, side: Side) -> bool {
///     match directions {
///         Directions::Both => true,
///         Directions::FromCustomer => side == Side::Customer,
///         Directions::FromHub => side == Side::Hub,
///     }
/// }
/// assert!(may_call(Directions::FromCustomer, Side::Customer) && !may_call(Directions::FromCustomer, Side::Hub));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The merchant or the courier.
    Hub,
    /// The customer.
    Customer,
}

/// What an index row says, sealed: whom this caller reaches over this number, if the order's
/// record agrees. All have one length, so a row does not tell its parties by it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) callee: PhoneNumber,
    pub(super) order: OrderId,
    pub(super) leg: Leg,
    /// The caller's.
    pub(super) caller: Side,
    pub(super) attempt: Attempt,
}

impl Entry {
    /// callee 8, merchant 32, order 32, leg and side 1, attempt 8.
    const LENGTH: usize = 81;
    /// With the format byte, the nonce and the tag.
    pub(super) const SEALED_LENGTH: usize = 1 + 12 + Self::LENGTH + 16;

    const COURIER: u8 = 1;
    const CUSTOMER: u8 = 2;

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(Self::LENGTH));
        out.extend_from_slice(&*Zeroizing::new(self.callee.as_integer().to_le_bytes()));
        out.extend_from_slice(&self.order.merchant);
        out.extend_from_slice(&self.order.order);
        let leg = if self.leg == Leg::Courier { Self::COURIER } else { 0 };
        let side = if self.caller == Side::Customer { Self::CUSTOMER } else { 0 };
        out.push(leg | side);
        out.extend_from_slice(&self.attempt);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes, IndexRow::NAME);
        let callee = from.le64("callee")?;
        let callee = PhoneNumber::from_integer(callee).ok_or(from.refuse(Rule::Value))?;
        let order = OrderId { merchant: from.array("merchant")?, order: from.array("order")? };
        let flags = from.u8("leg")?;
        if flags > Self::COURIER | Self::CUSTOMER {
            return Err(from.refuse(Rule::Value));
        }
        let leg = if flags & Self::COURIER == 0 { Leg::Merchant } else { Leg::Courier };
        let caller = if flags & Self::CUSTOMER == 0 { Side::Hub } else { Side::Customer };
        let attempt = from.array("attempt")?;
        from.end()?;
        Ok(Self { callee, order, leg, caller, attempt })
    }
}

/// An [`Entry`] as it was sealed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct IndexRow([u8; Entry::SEALED_LENGTH - 1]);

impl IndexRow {
    /// As long as every other, and opened by no key.
    pub(super) const DUMMY: Self = Self([0; Entry::SEALED_LENGTH - 1]);

    pub(super) fn seal(
        entry: &Entry,
        key: &SlotKey,
        index: &[u8; 32],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        key.seal(index, &entry.encode(), rng).try_into().map_or(Self::DUMMY, Self)
    }

    #[cfg(test)]
    pub(super) fn sealed(&self) -> &[u8] {
        &self.0
    }

    /// What it says; `None` if it was not sealed under this key for this name.
    pub(super) fn open(&self, key: &SlotKey, index: &[u8; 32]) -> Option<Entry> {
        Entry::decode(&key.open(index, &self.0)?).ok()
    }
}

impl Record for IndexRow {
    const NAME: &'static str = "index row";

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.0);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.array("sealed entry")?))
    }

    /// Whatever has another form is a dummy: a call that finds it is refused after the same
    /// work as any other, and does not fail.
    fn from_value(value: &[u8]) -> Result<Self, StoreError> {
        let sealed = value.strip_prefix(&[1]).and_then(|sealed| sealed.try_into().ok());
        Ok(sealed.map_or(Self::DUMMY, Self))
    }
}

// --- keys -----------------------------------------------------------------------------------

/// The digests that stand for an order and its merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OrderId {
    /// H32("phone-merchant", merchant).
    pub(super) merchant: [u8; 32],
    /// H32("phone-order", merchant, order).
    pub(super) order: [u8; 32],
}

impl OrderId {
    pub(super) fn of(order: &OrderRef) -> Self {
        let (merchant, order) = (order.merchant.as_bytes(), order.order.as_bytes());
        Self {
            merchant: hash32("phone-merchant", &[merchant]),
            order: hash32("phone-order", &[merchant, order]),
        }
    }

    pub(super) fn is_of(&self, merchant: &Name) -> bool {
        self.merchant == hash32("phone-merchant", &[merchant.as_bytes()])
    }

    pub(super) fn order_key(&self) -> Key<OrderRow> {
        self.records().0
    }

    /// Where it is told that something of the order has ended.
    pub(super) fn part(&self) -> Part {
        let [first, ..] = self.order;
        Part { bucket: bucket(b'm', &self.merchant), number: first % PARTS }
    }

    /// The two records that say what becomes of the order's numbers.
    pub(super) fn records(&self) -> (Key<OrderRow>, Key<MerchantRow>) {
        self.records_in(self.part())
    }

    /// The same, for who knows the order's part: a bucket is a digest.
    pub(super) fn records_in(&self, Part { bucket, .. }: Part) -> (Key<OrderRow>, Key<MerchantRow>) {
        let (order, merchant) = (key(ORDERS, &[&self.order]), key(MERCHANTS, &[&self.merchant]));
        (Key::new(bucket, order), Key::new(bucket, merchant))
    }
}

pub(super) fn merchant_key(merchant: &Name) -> Key<MerchantRow> {
    let merchant = hash32("phone-merchant", &[merchant.as_bytes()]);
    Key::new(bucket(b'm', &merchant), key(MERCHANTS, &[&merchant]))
}

/// One of the 4,096 parts of all orders; a merchant's lie in 16, of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Part {
    bucket: Bucket,
    number: u8,
}

impl Part {
    /// Those of a merchant's orders.
    pub(super) fn all_of(merchant: &Name) -> impl Iterator<Item = Self> {
        let bucket = merchant_key(merchant).bucket();
        (0..PARTS).map(move |number| Self { bucket, number })
    }

    pub(super) fn key(self) -> Key<EndingRow> {
        Key::new(self.bucket, key(ENDINGS, &[&[self.number]]))
    }
}

pub(super) fn hub_key(tag: &[u8; 32]) -> Key<HubRow> {
    Key::new(bucket(b'h', tag), key(HUBS, &[tag]))
}

/// Where the rows under a virtual number lie.
#[derive(Clone, Copy)]
pub(super) struct Under(Bucket);

impl Under {
    pub(super) fn of(number: VirtualNumber) -> Self {
        Self(bucket(b'x', &number.as_integer().to_be_bytes()))
    }

    pub(super) fn bucket(self) -> Bucket {
        self.0
    }

    /// How far views reached here.
    pub(super) fn reach_key(self) -> Key<ReachRow> {
        Key::new(self.0, REACH.to_vec())
    }

    /// The row of a caller whose name in this slot `index` is.
    pub(super) fn key(self, slot_end: Timestamp, index: &[u8; 32]) -> Key<IndexRow> {
        Key::new(self.0, key(INDEX, &[&slot_end.as_unix_seconds().to_be_bytes(), index]))
    }
}

/// What comes after the keys of all index rows whose slots had ended by then.
pub(super) fn index_after(ended_by: Timestamp) -> Vec<u8> {
    key(INDEX, &[&ended_by.saturating_add(1).as_unix_seconds().to_be_bytes()])
}

/// The end of the slot that stands in an index row's key.
pub(super) fn slot_end_of(key: &[u8]) -> Result<Timestamp, StoreError> {
    let end = key.get(INDEX.len()..).and_then(|rest| rest.first_chunk());
    let end = end.filter(|_| key.len() == INDEX_KEY_LENGTH).ok_or(StoreError::Corrupt("index row's key"))?;
    Ok(Timestamp::from_unix_seconds(u64::from_be_bytes(*end)))
}

const INDEX_KEY_LENGTH: usize = 2 + 8 + 32;

/// The bucket of an owner in its role: a merchant and a number do not meet by construction.
fn bucket(role: u8, owner: &[u8]) -> Bucket {
    let mut bytes = [0; 34];
    let prefix = [b'p', role];
    bytes.iter_mut().zip(prefix.iter().chain(owner)).for_each(|(to, from)| *to = *from);
    Bucket::of(bytes.get(..owner.len().saturating_add(2)).unwrap_or(&bytes))
}

fn key(prefix: &[u8; 2], parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(INDEX_KEY_LENGTH);
    key.extend_from_slice(prefix);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}
