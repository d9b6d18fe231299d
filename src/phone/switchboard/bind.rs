//! Making a number, for many jobs at once: each step is one call to the store for all of them.
//!
//! 0. **Look**: the order's, the merchant's and the hub's record. What is live, ended or closed
//!    is answered, and costs no number.
//! 1. **Prepare**, two commits: the hub's counter advances, and the order's record says until
//!    when rows of this order may be readable.
//! 2. **Insert** both index rows under the number, sealed, with the attempt's random name. If
//!    a party has that number already, the next one is drawn.
//! 3. **Flip**: the order's record names number and attempt. From here on calls go through.
//!
//! Whatever ends an attempt before its flip leaves rows that no record names: they refuse, and
//! go with their slot. Attempts never mix, since each has a name of its own: of several at
//! once the first flip wins, and the others find it and compare parties.

use super::binding::{Bound, Leg, Parties};
use super::legs::entries;
use super::rows::{
    Attempt, Entry, HubRow, LiveLeg, OrderId, StoredRow, Terms, hub_key, index_key, number_bucket,
    sealed_part,
};
use super::steps::{Cover, Draw, Flip, Flipped, Insert, Inserted, Job, Plan, Prepare, Prepared, records};
use super::{Core, SwitchboardError};
use crate::name::Name;
use crate::phone::{SlotKeyWindow, VirtualNumber};
use crate::store::decide::run;
use crate::store::{RowKey, Store, StoreError};
use std::collections::BTreeMap;

/// How often a job may be overtaken by others before the caller is told.
const ROUNDS: usize = 16;

type Answer = Result<Bound, SwitchboardError>;

/// A job that is to get a number.
struct Open<'a> {
    /// Its place among the jobs.
    at: usize,
    job: &'a Job,
    terms: Terms,
    attempt: Attempt,
    number: Option<VirtualNumber>,
}

impl<'a> Open<'a> {
    fn flip(&self, window: &'a SlotKeyWindow, max_total_life: u64) -> Option<Flip<'a>> {
        let Self { job, attempt, ref terms, .. } = *self;
        let (terms, dead_at) = (terms.clone(), dead_at(terms, window));
        Some(Flip { job, attempt, number: self.number?, terms, dead_at, window, max_total_life })
    }
}

impl<S: Store> Core<S> {
    /// Decides a batch: one result for each job, in order.
    pub(super) fn make(&self, jobs: &[Job]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = jobs.iter().map(|_| None).collect();
        // What the merchant's generation was when a job first looked: a job that was asked for
        // before a merchant was cut off does not outlive that.
        let mut generations: Vec<Option<u32>> = vec![None; jobs.len()];
        for _ in 0..ROUNDS {
            if answers.iter().all(Option::is_some) {
                break;
            }
            match self.round(jobs, &mut generations, &mut answers) {
                Ok(()) => {}
                Err(SwitchboardError::Store(failure)) => fail_open(&mut answers, failure),
                // Each hears for itself what the keys lack.
                Err(_) => {
                    let refused = || self.window().err().unwrap_or(SwitchboardError::KeysBehind);
                    answers.iter_mut().for_each(|answer| *answer = answer.take().or(Some(Err(refused()))));
                }
            }
        }
        let contended = || Err(StoreError::Contended.into());
        answers.into_iter().map(|answer| answer.unwrap_or_else(contended)).collect()
    }

    fn round(
        &self,
        jobs: &[Job],
        generations: &mut [Option<u32>],
        answers: &mut [Option<Answer>],
    ) -> Result<(), SwitchboardError> {
        let window = self.window()?;
        let mut open = self.look(jobs, generations, answers, &window)?;
        self.prepare(&mut open, answers, &window);
        self.insert(&mut open, answers, &window);
        // A fresh window: the flip is decided by the time and the keys of its own moment.
        let window = self.window()?;
        self.flip(&open, answers, &window);
        Ok(())
    }

    /// Step 0.
    fn look<'a>(
        &self,
        jobs: &'a [Job],
        generations: &mut [Option<u32>],
        answers: &mut [Option<Answer>],
        window: &SlotKeyWindow,
    ) -> Result<Vec<Open<'a>>, SwitchboardError> {
        let unanswered = jobs.iter().enumerate().zip(&*answers).filter(|(_, answer)| answer.is_none());
        let waiting: Vec<(usize, &Job)> = unanswered.map(|(job, _)| job).collect();
        let keys: Vec<RowKey> = waiting.iter().flat_map(|(_, job)| job.keys()).collect();
        let rows = self.store.read(&keys)?;
        let mut rng = self.rng();
        let (mut open, mut alike) = (Vec::new(), Vec::new());
        for ((at, job), rows) in waiting.into_iter().zip(rows.chunks(2)) {
            let planned = records(rows).map_err(SwitchboardError::from).and_then(|(order, merchant)| {
                let first = generations.get_mut(at).map(|seen| *seen.get_or_insert(merchant.generation));
                if first.is_some_and(|first| first != merchant.generation) {
                    return Err(SwitchboardError::CutOff);
                }
                job.plan(&order, merchant, window, self.config.max_total_life)
            });
            match planned {
                Ok(Plan::Make(terms)) => {
                    let mut attempt = Attempt::default();
                    rng.fill_bytes(&mut attempt);
                    open.push(Open { at, job, terms, attempt, number: None });
                }
                Ok(Plan::Compare(live)) => alike.push((at, job, live)),
                Err(error) => answer(answers, at, Err(error)),
            }
        }
        for (at, job, live) in alike {
            let same = self.is_between(&live, job.order, job.leg, &job.parties, window);
            let found = same.and_then(|same| if same { Ok(live.bound()) } else { Err(job.mismatch()) });
            answer(answers, at, found);
        }
        self.refuse_exhausted(&mut open, answers, window)?;
        Ok(open)
    }

    /// A hub that has nothing left is told before anything is written.
    fn refuse_exhausted(
        &self,
        open: &mut Vec<Open<'_>>,
        answers: &mut [Option<Answer>],
        window: &SlotKeyWindow,
    ) -> Result<(), SwitchboardError> {
        let hubs = by_hub(open);
        let draws: Vec<Draw<'_>> = hubs.keys().map(|hub| self.draw(hub, 1, window)).collect();
        let keys: Vec<RowKey> = draws.iter().map(|draw| hub_key(&draw.tag)).collect();
        let rows = self.store.read(&keys)?;
        let mut refused = Vec::new();
        for ((draw, row), jobs) in draws.iter().zip(&rows).zip(hubs.values()) {
            // What does not decode is that hub's alone, and found again when it draws.
            let Ok(row) = row.as_deref().map(HubRow::from_value).transpose() else { continue };
            if draw.numbers(row).is_err() {
                for at in jobs {
                    // Once for each, since an error is nobody's to share.
                    let error = draw.numbers(row).err().unwrap_or(SwitchboardError::KeysBehind);
                    answer(answers, *at, Err(error));
                    refused.push(*at);
                }
            }
        }
        open.retain(|open| !refused.contains(&open.at));
        Ok(())
    }

    /// Step 1. A job that gets no number is answered.
    fn prepare(&self, open: &mut Vec<Open<'_>>, answers: &mut [Option<Answer>], window: &SlotKeyWindow) {
        let hubs = by_hub(open);
        let mut steps: Vec<Prepare<'_>> =
            hubs.iter().map(|(hub, jobs)| Prepare::Draw(self.draw(hub, jobs.len(), window))).collect();
        let cover = |open: &Open<'_>| {
            Prepare::Cover(Cover { key: open.job.order.order_key(), dead_at: dead_at(&open.terms, window) })
        };
        steps.extend(open.iter().map(cover));
        let mut prepared = run(&*self.store, &mut steps).into_iter();
        let mut drawn = BTreeMap::new();
        for (jobs, step) in hubs.values().zip(prepared.by_ref()) {
            let mut numbers = match step {
                Ok(Prepared::Drawn(Ok(numbers))) => numbers.into_iter(),
                Err(error) => {
                    fail(answers, jobs, error);
                    continue;
                }
                // Those for whom nothing is left wait for the next round, which says so to each.
                Ok(_) => continue,
            };
            for at in jobs {
                if let Some(number) = numbers.next() {
                    drawn.insert(*at, number);
                }
            }
        }
        for (open, step) in open.iter_mut().zip(prepared) {
            match step {
                Ok(Prepared::Covered(Ok(()))) => open.number = drawn.get(&open.at).copied(),
                Ok(Prepared::Covered(Err(error))) => answer(answers, open.at, Err(error)),
                Ok(Prepared::Drawn(_)) => {}
                Err(error) => answer(answers, open.at, Err(error.into())),
            }
        }
        open.retain(|open| open.number.is_some());
    }

    /// Step 2, with further numbers for those whose number a party has already. What remains in
    /// `open` has its rows.
    fn insert(&self, open: &mut Vec<Open<'_>>, answers: &mut [Option<Answer>], window: &SlotKeyWindow) {
        let mut waiting = std::mem::take(open);
        while !waiting.is_empty() {
            let mut rng = self.rng();
            let insert = |open: &Open<'_>| {
                let (number, not_after) = (open.number?, open.terms.not_after);
                Insert::new(open.job, open.attempt, number, not_after, window, &mut *rng)
            };
            let made: Vec<Option<Insert>> = waiting.iter().map(insert).collect();
            let (mut inserts, mut ready) = (Vec::new(), Vec::new());
            for (open, insert) in waiting.into_iter().zip(made) {
                match insert {
                    Some(insert) => {
                        inserts.push(insert);
                        ready.push(open);
                    }
                    None => answer(answers, open.at, Err(SwitchboardError::KeysBehind)),
                }
            }
            let mut held = Vec::new();
            for (done, inserted) in ready.into_iter().zip(run(&*self.store, &mut inserts)) {
                match inserted {
                    Ok(Inserted::Done) => open.push(done),
                    Ok(Inserted::Held) => held.push(done),
                    Err(error) => answer(answers, done.at, Err(error.into())),
                }
            }
            self.redraw(&mut held, answers, window);
            waiting = held;
        }
    }

    fn redraw(&self, held: &mut Vec<Open<'_>>, answers: &mut [Option<Answer>], window: &SlotKeyWindow) {
        let mut steps: Vec<Prepare<'_>> =
            held.iter().map(|open| Prepare::Draw(self.draw(&open.job.hub, 1, window))).collect();
        for (open, step) in held.iter_mut().zip(run(&*self.store, &mut steps)) {
            open.number = None;
            match step {
                Ok(Prepared::Drawn(Ok(numbers))) => open.number = numbers.first().copied(),
                Ok(Prepared::Drawn(Err(error))) => answer(answers, open.at, Err(error)),
                Ok(Prepared::Covered(_)) => {}
                Err(error) => answer(answers, open.at, Err(error.into())),
            }
        }
        drop(steps);
        held.retain(|open| open.number.is_some());
    }

    /// Step 3. Who was overtaken stays unanswered.
    fn flip(&self, open: &[Open<'_>], answers: &mut [Option<Answer>], window: &SlotKeyWindow) {
        let max_total_life = self.config.max_total_life;
        let mut flips: Vec<Flip<'_>> =
            open.iter().filter_map(|open| open.flip(window, max_total_life)).collect();
        let flipped = run(&*self.store, &mut flips);
        for (open, flipped) in open.iter().zip(flipped) {
            match flipped {
                Ok(Flipped::Live(bound)) => answer(answers, open.at, Ok(bound)),
                Ok(Flipped::Overtaken) => {}
                Ok(Flipped::Refused(error)) => answer(answers, open.at, Err(error)),
                Err(error) => answer(answers, open.at, Err(error.into())),
            }
        }
    }

    fn draw<'a>(&'a self, hub: &'a Name, wanted: usize, window: &'a SlotKeyWindow) -> Draw<'a> {
        Draw { pool: &self.pool, window, hub, tag: self.pool.hub_tag(hub), wanted }
    }

    /// Whether a live leg is between these parties: whether both have their index rows, and
    /// each row names the other.
    pub(super) fn is_between(
        &self,
        live: &LiveLeg,
        order: OrderId,
        leg: Leg,
        parties: &Parties,
        window: &SlotKeyWindow,
    ) -> Result<bool, SwitchboardError> {
        let slot = window.slot_of(live.terms.not_after);
        let key = window.key(slot).ok_or(SwitchboardError::KeysBehind)?;
        let indices = [&parties.hub, &parties.customer].map(|party| key.index(party, live.number));
        let bucket = number_bucket(live.number);
        let row_key = |index| RowKey { bucket, key: index_key(window.end_of(slot), index) };
        let rows = self.store.read(&indices.each_ref().map(row_key))?;
        let expected = entries(order, leg, live.attempt, parties);
        for ((row, index), expected) in rows.iter().zip(&indices).zip(&expected) {
            let Some(row) = row else { return Ok(false) };
            let opened = key.open(index, sealed_part(row)?).ok_or(StoreError::Corrupt("index row"))?;
            if Entry::decode(&opened)? != *expected {
                return Ok(false);
            }
        }
        Ok(rows.len() == expected.len())
    }
}

fn dead_at(terms: &Terms, window: &SlotKeyWindow) -> crate::time::Timestamp {
    window.dead_at(window.slot_of(terms.not_after))
}

/// The places of the jobs of each hub.
fn by_hub<'a>(open: &[Open<'a>]) -> BTreeMap<&'a Name, Vec<usize>> {
    let mut hubs: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
    for open in open {
        hubs.entry(&open.job.hub).or_default().push(open.at);
    }
    hubs
}

fn answer(answers: &mut [Option<Answer>], at: usize, given: Answer) {
    if let Some(answer @ None) = answers.get_mut(at) {
        *answer = Some(given);
    }
}

fn fail(answers: &mut [Option<Answer>], jobs: &[usize], failure: StoreError) {
    for at in jobs {
        answer(answers, *at, Err(failure.clone().into()));
    }
}

fn fail_open(answers: &mut [Option<Answer>], failure: StoreError) {
    let open: Vec<usize> =
        answers.iter().enumerate().filter(|(_, a)| a.is_none()).map(|(at, _)| at).collect();
    fail(answers, &open, failure);
}
