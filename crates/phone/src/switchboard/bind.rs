//! Making a number, for many jobs at once: each step is one call to the store for all of them.
//!
//! 0. **Look**: the order's, the merchant's and the hub's record. What is live, ended or closed
//!    is answered, and costs no number.
//! 1. **Prepare**, two commits: the hub's counter advances, and the order's record says until
//!    when rows of this order may be readable.
//! 2. **Insert** both index rows under the number, sealed, with the attempt's random name. If
//!    a party has that number already, the next one is drawn.
//! 3. **Activate**: the order's record names number and attempt. From here on calls go through.
//!
//! Whatever ends an attempt before it is active leaves rows that no record names: they refuse,
//! and go with their slot. Attempts never mix, since each has a name of its own: of several at
//! once the first to be active wins, and the others find it and compare parties.

use super::binding::{Bound, Leg, Parties};
use super::job::{Job, Making, Plan, reserve, take_numbers};
use super::legs::{IndexRows, or_default};
use super::rows::{Attempt, IndexRow, LiveLeg, OrderId, Terms, hub_key};
use super::{Core, SwitchboardError};
use crate::{SlotKeyWindow, VirtualNumber};
use rand_core::CryptoRng;
use unjoin_core::Name;
use unjoin_store::{Decision, Record, Store, StoreError, decide_all, read};

/// How often a job may be overtaken by others before the caller is told.
const ROUNDS: usize = 16;

type Answer = Result<Bound, SwitchboardError>;

/// A job on its way to its answer.
struct Task<'a> {
    job: &'a Job,
    /// The merchant's generation when the job was first looked at: a job that was asked for
    /// before a merchant was cut off does not outlive that.
    generation: Option<u32>,
    answer: Option<Answer>,
    /// Which of the job's pools it draws from.
    at: usize,
    /// What the pool that was asked for would need, once it is used up.
    exhausted: Option<SwitchboardError>,
}

/// A hub in one of its pools: what draws by one counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Drawer<'a> {
    pool: usize,
    hub: &'a Name,
}

impl<'a> Task<'a> {
    fn drawer(&self) -> Drawer<'a> {
        Drawer { pool: self.job.pools.get(self.at).copied().unwrap_or_default(), hub: &self.job.hub }
    }

    /// Goes on with the next pool if this one is used up; otherwise the error is the answer, and names the pool that was
    /// asked for.
    fn fall_back(&mut self, error: SwitchboardError) {
        if !matches!(error, SwitchboardError::PoolExhausted { .. }) {
            self.answer = Some(Err(error));
            return;
        }
        let error = self.exhausted.get_or_insert(error).clone();
        self.at = self.at.saturating_add(1);
        if self.at >= self.job.pools.len() {
            self.answer = Some(Err(error));
        }
    }
}

/// The tasks that go on to the next step, each with what it has so far. A step answers the rest,
/// but for those who were overtaken: they begin again.
type Open<'t, 'a, T> = Vec<(&'t mut Task<'a>, T)>;

impl<S: Store> Core<S> {
    /// Decides a batch: one result for each job, in order.
    pub(super) fn make(&self, jobs: &[Job]) -> Vec<Answer> {
        let task = |job| Task { job, generation: None, answer: None, at: 0, exhausted: None };
        let mut tasks: Vec<Task<'_>> = jobs.iter().map(task).collect();
        for _ in 0..ROUNDS {
            let open: Vec<&mut Task<'_>> = tasks.iter_mut().filter(|task| task.answer.is_none()).collect();
            if open.is_empty() {
                break;
            }
            if let Err(error) = self.round(open) {
                for task in &mut tasks {
                    task.answer.get_or_insert_with(|| Err(error.clone()));
                }
            }
        }
        tasks.into_iter().map(|task| task.answer.unwrap_or(Err(StoreError::Contended.into()))).collect()
    }

    fn round(&self, open: Vec<&mut Task<'_>>) -> Result<(), SwitchboardError> {
        let window = self.window()?;
        let open = self.look(open, &window);
        let open = self.refuse_exhausted(open, &window);
        let open = self.prepare(open, &window);
        let open = self.insert(open, &window);
        // A fresh window: it is decided by the time and the keys of its own moment.
        let fresh = self.window()?;
        // A party's rows were looked for in the slots of the old one. If a boundary has passed meanwhile, however long
        // the store took, another may have given this number to a party in the slot that has come in view: begin again.
        if fresh.slot_of(fresh.now()) == window.slot_of(window.now()) {
            self.activate(open, &fresh);
        }
        Ok(())
    }

    /// Step 0.
    fn look<'t, 'a>(&self, open: Vec<&'t mut Task<'a>>, window: &SlotKeyWindow) -> Open<'t, 'a, Terms> {
        let look = |task: &&mut Task<'a>| {
            let (job, first) = (task.job, task.generation);
            Ok(Decision::new(job.order.records(), move |rows, _| {
                let (order, merchant) = or_default(rows);
                if first.is_some_and(|first| first != merchant.generation) {
                    return Err(SwitchboardError::CutOff);
                }
                job.plan(&order, merchant, window, self.config.max_total_life)
            }))
        };
        let plans = decide_all(&*self.store, open.iter().map(look).collect());
        let mut planned = Vec::new();
        for (task, plan) in open.into_iter().zip(plans) {
            match plan {
                Ok(Plan::Make(terms)) => {
                    task.generation.get_or_insert(terms.merchant_generation);
                    planned.push((task, terms));
                }
                Ok(Plan::Compare(live)) => {
                    let job = task.job;
                    let same = self.is_between(&live, job.order, job.leg, &job.parties, window);
                    task.answer =
                        Some(same.and_then(|same| same.then(|| live.bound()).ok_or(job.mismatch())));
                }
                Err(error) => task.answer = Some(Err(error)),
            }
        }
        planned
    }

    /// A hub that has nothing left, in no pool, is told before anything is written.
    fn refuse_exhausted<'t, 'a>(
        &self,
        mut open: Open<'t, 'a, Terms>,
        window: &SlotKeyWindow,
    ) -> Open<'t, 'a, Terms> {
        loop {
            let hubs = by_hub(&mut open);
            let look = hubs.iter().map(|(Drawer { pool, hub }, _)| {
                let labelled = self.pools.at(*pool);
                let take = move |row, _: &mut _| Ok(take_numbers(hub, row, 1, labelled, window)?.0);
                Ok(Decision::new(hub_key(&labelled.pool.hub_tag(hub)), take))
            });
            let left = decide_all(&*self.store, look.collect());
            let mut are_left = true;
            for ((task, _), left) in open.iter_mut().zip(shared_out(&hubs, left)) {
                if let Err(error) = left {
                    task.fall_back(error);
                    are_left = false;
                }
            }
            open.retain(|(task, _)| task.answer.is_none());
            if are_left || open.is_empty() {
                return open;
            }
        }
    }

    /// Step 1.
    fn prepare<'t, 'a>(
        &self,
        mut open: Open<'t, 'a, Terms>,
        window: &SlotKeyWindow,
    ) -> Open<'t, 'a, Making<'a>> {
        let hubs = by_hub(&mut open);
        let draws = hubs.iter().map(|(drawer, wanted)| Ok(self.draw(*drawer, *wanted, window)));
        let reservations = open.iter().map(|(task, terms)| {
            let (at, dead_at) = (task.job.order.order_key(), window.dead_at(window.slot_of(terms.not_after)));
            Ok(Decision::new(at.clone(), move |order, change| {
                reserve(&at, order, dead_at, change).map(|()| Vec::new())
            }))
        });
        let mut prepared = decide_all(&*self.store, draws.chain(reservations).collect()).into_iter();
        let drawn = prepared.by_ref().take(hubs.len()).map(|drawn| match drawn {
            Ok(_) | Err(SwitchboardError::Store(_)) => drawn,
            // A hub that has nothing left by now is looked at again in the next round.
            Err(_) => Ok(Vec::new()),
        });
        let drawn = shared_out(&hubs, drawn.collect());
        let mut rng = self.rng();
        let mut makings = Vec::new();
        for (((task, terms), drawn), reserved) in open.into_iter().zip(drawn).zip(prepared) {
            match reserved.and(drawn) {
                Ok(Some(number)) => {
                    let mut attempt = Attempt::default();
                    rng.fill_bytes(&mut attempt);
                    let making = Making { job: task.job, terms, attempt, number };
                    makings.push((task, making));
                }
                Ok(None) => {}
                Err(error) => task.answer = Some(Err(error)),
            }
        }
        makings
    }

    /// Step 2, with further numbers for those whose number a party has already.
    fn insert<'t, 'a>(
        &self,
        mut waiting: Open<'t, 'a, Making<'a>>,
        window: &SlotKeyWindow,
    ) -> Open<'t, 'a, Making<'a>> {
        let mut inserted = Vec::new();
        while !waiting.is_empty() {
            let mut rng = self.rng();
            let inserts = waiting.iter().map(|(_, making)| insert_rows(making, window, &mut *rng)).collect();
            let mut taken = Vec::new();
            for ((task, making), done) in waiting.into_iter().zip(decide_all(&*self.store, inserts)) {
                match done {
                    Ok(true) => inserted.push((task, making)),
                    Ok(false) => taken.push((task, making)),
                    Err(error) => task.answer = Some(Err(error)),
                }
            }
            waiting = self.redraw(taken, window);
        }
        inserted
    }

    fn redraw<'t, 'a>(
        &self,
        taken: Open<'t, 'a, Making<'a>>,
        window: &SlotKeyWindow,
    ) -> Open<'t, 'a, Making<'a>> {
        let draws = taken.iter().map(|(task, _)| Ok(self.draw(task.drawer(), 1, window))).collect();
        let mut again = Vec::new();
        for ((task, mut making), drawn) in taken.into_iter().zip(decide_all(&*self.store, draws)) {
            match drawn {
                Ok(numbers) => {
                    making.number = numbers.first().copied().unwrap_or(making.number);
                    again.push((task, making));
                }
                // With another pool it begins again.
                Err(error) => task.fall_back(error),
            }
        }
        again
    }

    /// Step 3. A task that was overtaken stays unanswered.
    fn activate(&self, open: Open<'_, '_, Making<'_>>, window: &SlotKeyWindow) {
        let activate = open.iter().map(|(task, making)| {
            Ok(Decision::new(task.job.order.records(), |rows, change| {
                making.activate(or_default(rows), window, self.config.max_total_life, change)
            }))
        });
        let activated = decide_all(&*self.store, activate.collect());
        for ((task, _), activated) in open.into_iter().zip(activated) {
            task.answer = activated.transpose();
        }
    }

    /// Takes `wanted` numbers for a hub, or fewer if there are no more, but one at least.
    fn draw<'d>(
        &'d self,
        Drawer { pool, hub }: Drawer<'d>,
        wanted: usize,
        window: &'d SlotKeyWindow,
    ) -> Decision<'d, Vec<VirtualNumber>, SwitchboardError> {
        let labelled = self.pools.at(pool);
        let at = hub_key(&labelled.pool.hub_tag(hub));
        Decision::new(at.clone(), move |row, change| {
            let (numbers, next) = take_numbers(hub, row, wanted, labelled, window)?;
            change.put(&at, &next);
            Ok(numbers)
        })
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
        let rows = IndexRows::new(order, leg, parties, live.number, live.attempt);
        let found = read(&*self.store, &rows.keys(slot, key, window))?;
        for (row, (index, expected)) in found.iter().zip(rows.named(key)) {
            let Some(row) = row else { return Ok(false) };
            let entry = row.open(key, &index).ok_or(StoreError::Corrupt(IndexRow::NAME))?;
            if entry != *expected {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Inserts both index rows of an attempt, if neither party has this number yet: neither of
/// them, in any slot of the window. Otherwise the answer is `false`: another is to be drawn.
fn insert_rows<'d>(
    making: &Making<'_>,
    window: &SlotKeyWindow,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Decision<'d, bool, SwitchboardError>, SwitchboardError> {
    let rows = making.rows();
    let everywhere: Vec<_> = window.slots().map(|(slot, key)| rows.keys(slot, key, window)).collect();
    let slot = window.slot_of(making.terms.not_after);
    let key = window.key(slot).ok_or(SwitchboardError::KeysBehind)?;
    let rows = rows.seal(slot, key, window, rng);
    Ok(Decision::new(everywhere, move |found, change| {
        let is_free = found.iter().flatten().all(Option::is_none);
        if is_free {
            rows.iter().for_each(|(at, row)| change.put(at, row));
        }
        Ok(is_free)
    }))
}

/// Sorts the tasks by pool and hub: each of them, and how many tasks it has.
fn by_hub<'a, T>(open: &mut Open<'_, 'a, T>) -> Vec<(Drawer<'a>, usize)> {
    open.sort_by_key(|(task, _)| task.drawer());
    let mut hubs: Vec<(Drawer<'_>, usize)> = Vec::new();
    for (task, _) in open {
        match hubs.last_mut() {
            Some((drawer, tasks)) if *drawer == task.drawer() => *tasks += 1,
            _ => hubs.push((task.drawer(), 1)),
        }
    }
    hubs
}

/// What each hub drew, given to its tasks in order; `None` for those for whom nothing is left.
fn shared_out(
    hubs: &[(Drawer<'_>, usize)],
    drawn: Vec<Result<Vec<VirtualNumber>, SwitchboardError>>,
) -> Vec<Result<Option<VirtualNumber>, SwitchboardError>> {
    let of_hub = |((_, tasks), drawn): (&(Drawer<'_>, usize), Result<Vec<VirtualNumber>, _>)| {
        (0..*tasks)
            .map(move |at| drawn.as_ref().map(|numbers| numbers.get(at).copied()).map_err(Clone::clone))
    };
    hubs.iter().zip(drawn).flat_map(of_hub).collect()
}
