//! The commits that a binding is made of, each atomic by itself.

use super::SwitchboardError;
use super::binding::{Bound, Leg, Parties};
use super::legs::{Standing, check_end, entries};
use super::rows::{
    Attempt, HubRow, LegState, LiveLeg, MerchantRow, OrderId, OrderRow, StoredRow, Terms, hub_key, index_key,
    number_bucket, raw, sealed_value,
};
use crate::name::Name;
use crate::phone::{Pool, SlotKeyWindow, VirtualNumber};
use crate::store::decide::{Decision, Step};
use crate::store::{Commit, RowKey, StoreError};
use crate::time::Timestamp;
use rand_core::CryptoRng;

/// A number that is to be made.
pub(super) struct Job {
    pub(super) order: OrderId,
    pub(super) leg: Leg,
    /// The name that the number is drawn for.
    pub(super) hub: Name,
    pub(super) parties: Parties,
    pub(super) purpose: Purpose,
}

pub(super) enum Purpose {
    /// Of the new terms, what the host chose. The total life and the generations are filled in.
    Bind(Terms),
    /// Takes the terms over, for the leg that has this number.
    Replace(VirtualNumber),
}

/// What the order's and the merchant's record make of a job.
pub(super) enum Plan {
    /// A number is to be made, on these terms.
    Make(Terms),
    /// The leg is live: it is the answer if it has the same parties.
    Compare(LiveLeg),
}

impl Job {
    pub(super) fn keys(&self) -> [RowKey; 2] {
        [self.order.order_key(), self.order.merchant_key()]
    }

    /// Decides from the two records. The same before the first step and at the last.
    pub(super) fn plan(
        &self,
        order: &OrderRow,
        merchant: MerchantRow,
        window: &SlotKeyWindow,
        max_total_life: u64,
    ) -> Result<Plan, SwitchboardError> {
        let renewed = |terms: &Terms| Terms {
            extendable_until: window.now().saturating_add(max_total_life),
            key_generation: window.generation(),
            merchant_generation: merchant.generation,
            ..terms.clone()
        };
        match &self.purpose {
            Purpose::Bind(terms) => match order.standing(self.leg, merchant, window)? {
                Standing::Unbound | Standing::Void | Standing::Expired => {
                    check_end(terms.not_after, window)?;
                    let renewed = renewed(terms);
                    if renewed.not_after > renewed.extendable_until {
                        return Err(SwitchboardError::TotalLife { max_total_life });
                    }
                    Ok(Plan::Make(renewed))
                }
                Standing::Ended => Err(SwitchboardError::Ended),
                Standing::Live(live) => Ok(Plan::Compare(live.clone())),
            },
            Purpose::Replace(number) => match order.live(self.leg, merchant, window)? {
                live if live.number == *number => Ok(Plan::Make(renewed(&live.terms))),
                live => Ok(Plan::Compare(live.clone())),
            },
        }
    }

    /// What to say when the leg is live between other parties.
    pub(super) fn mismatch(&self) -> SwitchboardError {
        match self.purpose {
            Purpose::Bind(_) => SwitchboardError::DifferentParties,
            Purpose::Replace(_) => SwitchboardError::Superseded,
        }
    }
}

/// The order's and the merchant's record as they were read.
pub(super) fn records(rows: &[Option<Vec<u8>>]) -> Result<(OrderRow, MerchantRow), StoreError> {
    let order = OrderRow::read(rows, 0)?.unwrap_or_default();
    Ok((order, MerchantRow::read(rows, 1)?.unwrap_or_default()))
}

/// An answer whose error is the store's, or the switchboard's own.
type Decided<T> = Result<T, SwitchboardError>;

// --- before a number is used ----------------------------------------------------------------

/// The first call: hubs' counters advance, and orders' records cover the slot that is to come.
pub(super) enum Prepare<'a> {
    Draw(Draw<'a>),
    Cover(Cover),
}

pub(super) enum Prepared {
    Drawn(Decided<Vec<VirtualNumber>>),
    Covered(Decided<()>),
}

impl Decision for Prepare<'_> {
    type Answer = Prepared;

    fn keys(&self) -> Vec<RowKey> {
        match self {
            Self::Draw(draw) => vec![hub_key(&draw.tag)],
            Self::Cover(cover) => vec![cover.key.clone()],
        }
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Prepared>, StoreError> {
        match self {
            Self::Draw(draw) => draw.decide(rows),
            Self::Cover(cover) => cover.decide(rows),
        }
    }
}

/// Takes numbers for a hub, which are its own from then on, used or not: the counter only
/// grows. So there is nothing to be found by a retry, which takes others.
pub(super) struct Draw<'a> {
    pub(super) pool: &'a Pool,
    pub(super) window: &'a SlotKeyWindow,
    pub(super) hub: &'a Name,
    pub(super) tag: [u8; 32],
    pub(super) wanted: usize,
}

impl Draw<'_> {
    /// The numbers from `row` on, one or more, and the row behind them.
    pub(super) fn numbers(&self, row: Option<HubRow>) -> Decided<(Vec<VirtualNumber>, HubRow)> {
        let mut next = self.start(row)?;
        let mut numbers = Vec::with_capacity(self.wanted);
        for _ in 0..self.wanted {
            match self.pool.draw(self.hub, next.epoch, next.shift, next.counter) {
                Ok(drawn) => {
                    numbers.push(drawn.number);
                    next.counter = drawn.next;
                }
                Err(error) if numbers.is_empty() => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok((numbers, next))
    }

    /// Where the hub stands now. Neither epoch nor shift ever goes back: a clock that is behind
    /// another's goes on in the other's epoch.
    fn start(&self, row: Option<HubRow>) -> Decided<HubRow> {
        let now = HubRow {
            epoch: self.pool.epoch_of(self.window.now()),
            shift: self.window.pool_shift(),
            counter: 0,
        };
        match row {
            None => Ok(now),
            Some(row) if row.shift > now.shift => Err(SwitchboardError::KeysBehind),
            Some(row) if row.shift == now.shift && row.epoch >= now.epoch => Ok(row),
            Some(row) => Ok(HubRow { epoch: now.epoch.max(row.epoch), ..now }),
        }
    }

    fn decide(&self, rows: &[Option<Vec<u8>>]) -> Result<Step<Prepared>, StoreError> {
        match self.numbers(HubRow::read(rows, 0)?) {
            Err(error) => Ok(Step::Answer(Prepared::Drawn(Err(error)))),
            Ok((numbers, next)) => {
                let RowKey { bucket, key } = hub_key(&self.tag);
                let commit = Commit::new(bucket).expect(&key, raw(rows, 0)).put(key, next.to_value());
                Ok(Step::Commit(commit, Prepared::Drawn(Ok(numbers))))
            }
        }
    }
}

/// Notes in the order's record until when index rows of it may be readable, before there are
/// any: what closing answers must hold for crashed attempts too.
pub(super) struct Cover {
    pub(super) key: RowKey,
    pub(super) dead_at: Timestamp,
}

impl Cover {
    fn decide(&self, rows: &[Option<Vec<u8>>]) -> Result<Step<Prepared>, StoreError> {
        let order = OrderRow::read(rows, 0)?.unwrap_or_default();
        if order.closed {
            return Ok(Step::Answer(Prepared::Covered(Err(SwitchboardError::OrderClosed))));
        }
        if order.dead_at >= self.dead_at {
            return Ok(Step::Answer(Prepared::Covered(Ok(()))));
        }
        let RowKey { bucket, key } = self.key.clone();
        let commit = Commit::new(bucket).expect(&key, raw(rows, 0));
        let order = OrderRow { dead_at: self.dead_at, ..order };
        Ok(Step::Commit(commit.put(key, order.to_value()), Prepared::Covered(Ok(()))))
    }
}

// --- the index rows ---------------------------------------------------------------------------

/// Inserts both index rows of an attempt, if neither party has this number yet: neither of
/// them, in any slot of the window.
pub(super) struct Insert {
    number: VirtualNumber,
    /// Where either party could have the number.
    keys: Vec<Vec<u8>>,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Insert {
    /// `None` if the window has no key for the slot in which `not_after` lies.
    pub(super) fn new(
        job: &Job,
        attempt: Attempt,
        number: VirtualNumber,
        not_after: Timestamp,
        window: &SlotKeyWindow,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<Self> {
        let parties = [&job.parties.hub, &job.parties.customer];
        let mut keys = Vec::with_capacity(2 * usize::from(window.config().slots()));
        for (slot, key) in window.slots() {
            keys.extend(parties.map(|party| index_key(window.end_of(slot), &key.index(party, number))));
        }
        let slot = window.slot_of(not_after);
        let key = window.key(slot)?;
        let mut rows = Vec::with_capacity(2);
        for (party, entry) in parties.into_iter().zip(entries(job.order, job.leg, attempt, &job.parties)) {
            let index = key.index(party, number);
            let sealed = key.seal(&index, &entry.encode(), rng);
            rows.push((index_key(window.end_of(slot), &index), sealed_value(&sealed)));
        }
        Some(Self { number, keys, rows })
    }
}

/// What became of an insertion.
pub(super) enum Inserted {
    Done,
    /// A party has the number already: another is to be drawn.
    Held,
}

impl Decision for Insert {
    type Answer = Inserted;

    fn keys(&self) -> Vec<RowKey> {
        let bucket = number_bucket(self.number);
        self.keys.iter().map(|key| RowKey { bucket, key: key.clone() }).collect()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Inserted>, StoreError> {
        if rows.iter().any(Option::is_some) {
            return Ok(Step::Answer(Inserted::Held));
        }
        let commit = Commit::new(number_bucket(self.number));
        let commit = self.keys.iter().fold(commit, |commit, key| commit.expect(key, None));
        let put = |commit: Commit, (key, value): &(Vec<u8>, Vec<u8>)| commit.put(key.clone(), value.clone());
        Ok(Step::Commit(self.rows.iter().fold(commit, put), Inserted::Done))
    }
}

// --- the one write that counts ------------------------------------------------------------------

/// Makes the leg live with the attempt's number, which its index rows name already.
pub(super) struct Flip<'a> {
    pub(super) job: &'a Job,
    pub(super) attempt: Attempt,
    pub(super) number: VirtualNumber,
    /// The terms that the index rows were made for.
    pub(super) terms: Terms,
    pub(super) dead_at: Timestamp,
    pub(super) window: &'a SlotKeyWindow,
    pub(super) max_total_life: u64,
}

pub(super) enum Flipped {
    Live(Bound),
    /// Something changed meanwhile: look again.
    Overtaken,
    Refused(SwitchboardError),
}

impl Decision for Flip<'_> {
    type Answer = Flipped;

    fn keys(&self) -> Vec<RowKey> {
        self.job.keys().into()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Flipped>, StoreError> {
        let (mut order, merchant) = records(rows)?;
        if merchant.generation != self.terms.merchant_generation {
            return Ok(Step::Answer(Flipped::Refused(SwitchboardError::CutOff)));
        }
        let terms = match self.job.plan(&order, merchant, self.window, self.max_total_life) {
            Ok(Plan::Make(terms)) => terms,
            Ok(Plan::Compare(_)) => return Ok(Step::Answer(Flipped::Overtaken)),
            Err(error) => return Ok(Step::Answer(Flipped::Refused(error))),
        };
        // The rows lie in the slot of one end and under the keys of one generation.
        let made_for = &self.terms;
        let same_rows = terms.not_after == made_for.not_after
            && terms.key_generation == made_for.key_generation
            && order.dead_at >= self.dead_at;
        if !same_rows {
            return Ok(Step::Answer(Flipped::Overtaken));
        }
        let live = LiveLeg { number: self.number, attempt: self.attempt, terms };
        let bound = live.bound();
        *order.leg_mut(self.job.leg) = LegState::Live(live);
        let [at, merchant] = self.job.keys();
        let commit = Commit::new(at.bucket)
            .expect(&at.key, raw(rows, 0))
            .expect(&merchant.key, raw(rows, 1))
            .put(at.key, order.to_value());
        Ok(Step::Commit(commit, Flipped::Live(bound)))
    }
}
