//! Making a number, for many jobs at once: one durable write of the store for all of them.
//!
//! 1. **Look**: the order's, the merchant's and the hub's record. What is live, ended or closed
//!    is answered, and costs no number. A number is drawn.
//! 2. **Write**, in one call of commits that hang on each other:
//!    - the hub's counter advances;
//!    - the order's record says until when rows of this order may be readable;
//!    - on both hang the index rows under the number, sealed, with the attempt's random name. They
//!      are refused if a party has that number already, and the next one is drawn;
//!    - on these hangs the order's record that names number and attempt. From here on calls go
//!      through.
//!
//! An engine that stops in the middle has applied a part in which nothing stands without what it
//! hangs on: rows that no record names. They refuse, and go with their slot. Attempts never mix,
//! since each has a name of its own: of several at once the first to be active wins, and the others
//! find it and compare parties.
//!
//! **No party has a number twice.** Its rows are looked for in every slot that the window shows. A
//! write that is late, however late, might miss one that was made meanwhile in a slot which came in
//! view only then. So the bucket of a number says how far the views reached in which numbers were
//! made there (its *reach*), and rows go in only while that is the writer's own view. Who finds that
//! another's reaches further goes on from that other's time.

use super::binding::{Bound, Leg, Parties};
use super::claims::{Claim, Claimed};
use super::job::{Job, Plan, Purpose, take_numbers};
use super::legs::IndexRows;
use super::rows::{
    Attempt, HubRow, INDEX, IndexRow, LegState, LiveLeg, MerchantRow, OrderId, OrderRow, ReachRow, Terms,
    Under, hub_key,
};
use super::{Core, SwitchboardError};
use crate::pool::Labelled;
use crate::{SlotKeyWindow, VirtualNumber};
use std::collections::{BTreeMap, BTreeSet};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Bucket, Commit, Key, Outcome, Record, RowKey, Store, StoreError, read};

/// How often a job may be overtaken by others before the caller is told.
const ROUNDS: usize = 64;

/// How often one tries whose keys others are ahead of.
const TRIES_BEHIND: usize = 3;

type Answer = Result<Bound, SwitchboardError>;

/// How far views reached in a bucket.
enum Reach {
    /// As far as one's own, by the end of the call; and the row's value then.
    Own(Vec<u8>),
    /// Further. It came so at this time, or later.
    Ahead(Timestamp),
}

/// A job on its way to its answer.
struct Task<'a> {
    job: &'a Job,
    /// The merchant's generation when the job was first looked at: a job that was asked for
    /// before a merchant was cut off does not outlive that.
    generation: Option<u32>,
    answer: Option<Answer>,
    /// Which of the job's pools it draws from.
    at: usize,
    /// What stands for the hub in that pool.
    tag: [u8; 32],
    /// What the pool that was asked for would need, once it is used up.
    exhausted: Option<SwitchboardError>,
    /// In how many rounds more others may be first.
    left: usize,
    /// What the caller is told then.
    hindrance: SwitchboardError,
}

/// What draws by one counter: the place of a pool, and the hub's tag in it.
type Drawer = (usize, [u8; 32]);

/// The hubs' rows as they were read.
type Counters = BTreeMap<Drawer, Option<Vec<u8>>>;

impl<'a> Task<'a> {
    fn pool(&self) -> usize {
        self.job.pools.get(self.at).copied().unwrap_or_default()
    }

    fn drawer(&self) -> Drawer {
        (self.pool(), self.tag)
    }

    /// What nobody else may decide meanwhile.
    fn claimed(&self) -> [Claimed; 2] {
        [self.job.order.order, self.tag]
    }

    fn fail(&mut self, error: impl Into<SwitchboardError>) {
        self.answer = Some(Err(error.into()));
    }

    /// Begins again, if it may.
    fn overtaken(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.answer = Some(Err(self.hindrance.clone()));
        }
    }
}

/// A task whose leg is to be made, with what was read for it.
struct Planned<'t, 'a> {
    task: &'t mut Task<'a>,
    terms: Terms,
    order: OrderRow,
    /// The values that it was decided by.
    order_value: Option<Vec<u8>>,
    merchant_value: Option<Vec<u8>>,
}

/// What a hub draws in a round.
struct Drawn {
    at: Key<HubRow>,
    read: Option<Vec<u8>>,
    next: HubRow,
    numbers: std::vec::IntoIter<VirtualNumber>,
}

/// A task with its number.
struct Making<'t, 'a> {
    planned: Planned<'t, 'a>,
    number: VirtualNumber,
    under: Under,
}

/// Where a task's commits stand in the call, and what it is answered when they are applied.
struct Placed<'t, 'a> {
    task: &'t mut Task<'a>,
    rows: usize,
    flip: usize,
    bound: Bound,
}

impl<S: Store> Core<S> {
    /// Decides a batch: one result for each job, in order.
    pub(super) fn make(&self, jobs: &[Job]) -> Vec<Answer> {
        let mut tasks: Vec<Task<'_>> = jobs.iter().map(|job| self.task(job)).collect();
        let mut not_before = Timestamp::ZERO;
        loop {
            let open: Vec<&mut Task<'_>> = tasks.iter_mut().filter(|task| task.answer.is_none()).collect();
            if open.is_empty() {
                break;
            }
            if let Err(error) = self.round(open, &mut not_before) {
                for task in &mut tasks {
                    task.answer.get_or_insert_with(|| Err(error.clone()));
                }
            }
        }
        tasks.into_iter().map(|task| task.answer.unwrap_or(Err(StoreError::Contended.into()))).collect()
    }

    fn task<'a>(&self, job: &'a Job) -> Task<'a> {
        let hindrance = StoreError::Contended.into();
        let (generation, answer, exhausted) = (None, None, None);
        let mut task =
            Task { job, generation, answer, at: 0, tag: [0; 32], exhausted, left: ROUNDS, hindrance };
        task.tag = self.tag(&task);
        task
    }

    fn tag(&self, task: &Task<'_>) -> [u8; 32] {
        self.pools.at(task.pool()).pool.hub_tag(&task.job.hub)
    }

    /// `not_before`: what another's reach says of the time.
    fn round(&self, open: Vec<&mut Task<'_>>, not_before: &mut Timestamp) -> Result<(), SwitchboardError> {
        let claimed: Vec<_> = open.iter().map(|task| task.claimed()).collect();
        let (mut claim, free) = self.claims.claim(&claimed);
        let open = open.into_iter().zip(free).filter_map(|(task, is_free)| is_free.then_some(task)).collect();
        let window = self.slot_keys.window(self.environment.now().max(*not_before))?;
        let (planned, hubs) = self.look(open, &window)?;
        let (making, drawn) = self.draw(planned, hubs, &claim, &window);
        claim.pass_on(drawn.iter().map(|((_, tag), drawn)| (*tag, drawn.next.to_value())));
        let composed = self.compose(making, drawn, &window, not_before);
        claim.wait_for_expected();
        let (commits, placed) = composed?;
        if commits.is_empty() {
            return Ok(());
        }
        let outcomes = self.store.commit(&commits)?;
        drop(claim);
        // Numbers that were made under keys which are gone by now are dead: they are made again.
        let is_current = self.window()?.generation() == window.generation();
        for Placed { task, rows, flip, bound } in placed {
            match (outcomes.get(flip), outcomes.get(rows)) {
                (Some(Outcome::Committed), _) if is_current => task.answer = Some(Ok(bound)),
                // A party has that number. The hub has gone on, so this ends: with another number, or with none left.
                (_, Some(Outcome::Conflict(key))) if key.starts_with(INDEX) => {}
                _ => task.overtaken(),
            }
        }
        Ok(())
    }

    /// Reads what is decided by. What is left is to be made, with the hubs' rows.
    fn look<'t, 'a>(
        &self,
        open: Vec<&'t mut Task<'a>>,
        window: &SlotKeyWindow,
    ) -> Result<(Vec<Planned<'t, 'a>>, Counters), SwitchboardError> {
        let mut keys: Vec<RowKey> = Vec::with_capacity(open.len().saturating_mul(3));
        for task in &open {
            let (order, merchant) = task.job.order.records();
            keys.extend([order.at().clone(), merchant.at().clone()]);
        }
        let drawers: BTreeSet<Drawer> = open.iter().map(|task| task.drawer()).collect();
        keys.extend(drawers.iter().map(|(_, tag)| hub_key(tag).at().clone()));
        let mut values = self.store.read(&keys)?.into_iter();
        let (mut planned, mut legs) = (Vec::new(), BTreeSet::new());
        for task in open {
            let (order, merchant) = (values.next().flatten(), values.next().flatten());
            // Of two for one leg the second looks again when the first is made.
            if legs.insert((task.job.order.order, task.job.leg == Leg::Courier)) {
                planned.extend(self.plan(task, order, merchant, window));
            }
        }
        Ok((planned, drawers.into_iter().zip(values).collect()))
    }

    /// A task whose leg is to be made; the others are answered.
    fn plan<'t, 'a>(
        &self,
        task: &'t mut Task<'a>,
        order_value: Option<Vec<u8>>,
        merchant_value: Option<Vec<u8>>,
        window: &SlotKeyWindow,
    ) -> Option<Planned<'t, 'a>> {
        let job = task.job;
        let order = or_default::<OrderRow>(order_value.as_deref());
        let merchant = or_default::<MerchantRow>(merchant_value.as_deref());
        let planned = order
            .and_then(|order| Ok((order, merchant?)))
            .map_err(SwitchboardError::from)
            .and_then(|(order, merchant)| {
                if task.generation.is_some_and(|first| first != merchant.generation) {
                    return Err(SwitchboardError::CutOff);
                }
                let plan = job.plan(&order, merchant, window, self.config.max_total_life)?;
                Ok((order, plan))
            });
        match planned {
            Ok((order, Plan::Make(terms))) => {
                task.generation.get_or_insert(terms.merchant_generation);
                return Some(Planned { task, terms, order, order_value, merchant_value });
            }
            Ok((_, Plan::Compare(live))) => {
                let same = self.is_between(&live, job.order, job.leg, &job.parties, window);
                task.answer = Some(same.and_then(|same| same.then(|| live.bound()).ok_or(job.mismatch())));
            }
            Err(error) => task.fail(error),
        }
        None
    }

    /// Takes a number for each, or as many as its hub has left. A hub that has none left in this pool is told, or
    /// goes on with the next pool, before anything is written.
    fn draw<'t, 'a>(
        &self,
        planned: Vec<Planned<'t, 'a>>,
        mut hubs: BTreeMap<Drawer, Option<Vec<u8>>>,
        claim: &Claim<'_>,
        window: &SlotKeyWindow,
    ) -> (Vec<Making<'t, 'a>>, BTreeMap<Drawer, Drawn>) {
        let mut of_drawer: BTreeMap<Drawer, Vec<Planned<'t, 'a>>> = BTreeMap::new();
        for planned in planned {
            of_drawer.entry(planned.task.drawer()).or_default().push(planned);
        }
        let (mut making, mut all) = (Vec::new(), BTreeMap::new());
        for (drawer, planned) in of_drawer {
            let (labelled, wanted) = (self.pools.at(drawer.0), planned.len());
            let Some(first) = planned.first() else { continue };
            let drawn =
                hubs.remove(&drawer).ok_or(StoreError::Corrupt("read")).map_err(SwitchboardError::from);
            let expected = claim.expected(&drawer.1);
            let drawn = drawn.map(|read| expected.map(<[u8]>::to_vec).or(read));
            let hub = &first.task.job.hub;
            let mut drawn = match drawn.and_then(|read| take(hub, &drawer, read, wanted, labelled, window)) {
                Ok(drawn) => drawn,
                // What is only expected is no reason to refuse: they look again when it is known.
                Err(_) if expected.is_some() => {
                    planned.into_iter().for_each(|each| each.task.overtaken());
                    continue;
                }
                Err(error) => {
                    planned.into_iter().for_each(|each| self.fall_back(each.task, &error));
                    continue;
                }
            };
            // Those who get none look again in the next round.
            for planned in planned {
                match drawn.numbers.next() {
                    Some(number) => making.push(Making { planned, number, under: Under::of(number) }),
                    None => planned.task.overtaken(),
                }
            }
            all.insert(drawer, drawn);
        }
        (making, all)
    }

    /// Goes on with the next pool if this one is used up; otherwise the error is the answer, and names the pool that was
    /// asked for.
    fn fall_back(&self, task: &mut Task<'_>, error: &SwitchboardError) {
        if !matches!(error, SwitchboardError::PoolExhausted { .. }) {
            task.fail(error.clone());
            return;
        }
        let error = task.exhausted.get_or_insert_with(|| error.clone()).clone();
        task.at = task.at.saturating_add(1);
        match task.at < task.job.pools.len() {
            true => task.tag = self.tag(task),
            false => task.fail(error),
        }
    }

    /// The call that makes them all.
    fn compose<'t, 'a>(
        &self,
        making: Vec<Making<'t, 'a>>,
        drawn: BTreeMap<Drawer, Drawn>,
        window: &SlotKeyWindow,
        not_before: &mut Timestamp,
    ) -> Result<(Vec<Commit>, Vec<Placed<'t, 'a>>), SwitchboardError> {
        let mut commits = Vec::new();
        let mut counters: BTreeMap<Drawer, usize> = BTreeMap::new();
        for (drawer, Drawn { at, read, next, .. }) in drawn {
            counters.insert(drawer, commits.len());
            commits.push(put(Commit::new(at.bucket()).expect(at.bytes(), read.as_deref()), &at, &next));
        }
        let reaches = self.reaches(&making, window, &mut commits)?;
        let mut orders: BTreeMap<[u8; 32], (OrderRow, Option<Vec<u8>>)> = BTreeMap::new();
        let (mut rng, mut placed, ending) = (self.rng(), Vec::new(), self.ending());
        for Making { planned, number, under } in making {
            let Planned { task, terms, order, order_value, merchant_value } = planned;
            let reach = match reaches.get(&under.bucket()) {
                Some(Ok(Reach::Own(value))) => value,
                Some(Ok(Reach::Ahead(since))) => {
                    // With that time it is one's own, or one's keys are older than another's. Each try costs a number.
                    *not_before = (*since).max(*not_before);
                    task.hindrance = SwitchboardError::KeysBehind;
                    task.left = task.left.min(TRIES_BEHIND);
                    task.overtaken();
                    continue;
                }
                Some(Err(error)) => {
                    task.fail(error.clone());
                    continue;
                }
                None => continue,
            };
            let (job, mut attempt) = (task.job, Attempt::default());
            rng.fill_bytes(&mut attempt);
            let rows = IndexRows::new(job.order, job.leg, &job.parties, number, attempt);
            let slot = window.slot_of(terms.not_after);
            let Some((everywhere, sealed)) = rows.insertion(slot, window, &mut *rng) else {
                task.fail(SwitchboardError::KeysBehind);
                continue;
            };
            // An order's other leg may be made in the same call: it stands on what this one leaves.
            let (order, value) = orders.entry(job.order.order).or_insert((order, order_value));
            let (order_at, merchant_at) = job.order.records();
            let mut inserted = Commit::new(under.bucket());
            inserted.after.extend(counters.get(&task.drawer()));
            if order.dead_at < window.dead_at(slot) {
                let covering = Commit::new(order_at.bucket()).expect(order_at.bytes(), value.as_deref());
                order.dead_at = window.dead_at(slot);
                inserted.after.push(commits.len());
                commits.push(put(covering, &order_at, order));
                *value = Some(order.to_value());
            }
            for at in everywhere {
                inserted = inserted.expect(at.bytes(), None);
            }
            inserted = inserted.expect(under.reach_key().bytes(), Some(reach));
            for (at, row) in &sealed {
                inserted = put(inserted, at, row);
            }
            commits.push(inserted);
            let live = LiveLeg { number, attempt, terms };
            let bound = live.bound();
            *order.leg_mut(job.leg) = LegState::Live(live);
            let mut flip = Commit::new(order_at.bucket())
                .expect(order_at.bytes(), value.as_deref())
                .expect(merchant_at.bytes(), merchant_value.as_deref())
                .after(commits.len().saturating_sub(1));
            if matches!(job.purpose, Purpose::Replace(_)) {
                flip = put(flip, &job.order.part().key(), &ending);
            }
            *value = Some(order.to_value());
            commits.push(put(flip, &order_at, order));
            let flip = commits.len().saturating_sub(1);
            placed.push(Placed { task, rows: flip.saturating_sub(1), flip, bound });
        }
        Ok((commits, placed))
    }

    /// For each bucket of a number the reach, by which rows go in there: this window's, written in the same call where it
    /// is not there yet.
    fn reaches(
        &self,
        making: &[Making<'_, '_>],
        window: &SlotKeyWindow,
        commits: &mut Vec<Commit>,
    ) -> Result<BTreeMap<Bucket, Result<Reach, StoreError>>, SwitchboardError> {
        let places: BTreeMap<Bucket, Under> =
            making.iter().map(|making| (making.under.bucket(), making.under)).collect();
        let keys: Vec<Key<ReachRow>> = places.values().map(|under| under.reach_key()).collect();
        let values = self.store.read(&keys.iter().map(|at| at.at().clone()).collect::<Vec<_>>())?;
        let own = ReachRow::of(window);
        let mut reaches = BTreeMap::new();
        for (at, value) in keys.iter().zip(values) {
            let found = value.as_deref().map(ReachRow::from_value).transpose();
            if matches!(&found, Ok(found) if found.is_none_or(|found| found < own)) {
                commits.push(put(Commit::new(at.bucket()).expect(at.bytes(), value.as_deref()), at, &own));
            }
            let reach = found.map(|found| match found.filter(|found| *found > own) {
                Some(ahead) => Reach::Ahead(ahead.since(window)),
                None => Reach::Own(own.to_value()),
            });
            reaches.insert(at.bucket(), reach);
        }
        Ok(reaches)
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

/// Takes numbers for a hub from where its row stands.
fn take(
    hub: &Name,
    (_, tag): &Drawer,
    read: Option<Vec<u8>>,
    wanted: usize,
    labelled: &Labelled,
    window: &SlotKeyWindow,
) -> Result<Drawn, SwitchboardError> {
    let row = read.as_deref().map(HubRow::from_value).transpose()?;
    let (numbers, next) = take_numbers(hub, row, wanted, labelled, window)?;
    Ok(Drawn { at: hub_key(tag), read, next, numbers: numbers.into_iter() })
}

fn put<R: Record>(commit: Commit, at: &Key<R>, row: &R) -> Commit {
    commit.put(at.bytes().to_vec(), row.to_value())
}

/// What a value says; what is not there says nothing yet.
fn or_default<R: Record + Default>(value: Option<&[u8]>) -> Result<R, StoreError> {
    value.map_or_else(|| Ok(R::default()), R::from_value)
}
