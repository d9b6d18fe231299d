//! What runs, and what was used of an hour: each in the order in which it is over, so that nothing is looked through and
//! forgetting touches only what is over.
//!
//! Whether a call is allowed any more is asked once after it began, and again when the store tells that something has ended in the
//! part in which its order lies. So what is asked grows with what begins and ends, and not with what runs.
//!
//! A call's name is long and random. The tables therefore know a call by its place, which is small, and whose next owner
//! finds it in the processor's cache.

use super::SwitchboardConfig;
use super::binding::Leg;
use super::calls::{CallId, Claim};
use super::counters::Reason;
use super::rows::Part;
use crate::{Channel, VirtualNumber};
use rand_core::CryptoRng;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use unjoin_core::Timestamp;

/// At most so many calls are remembered. Beyond it calls are refused.
const CALLS: usize = 100_000;
/// At most so many legs' hours are remembered. Beyond it the oldest goes, with what it has used up.
const HOURS: usize = 100_000;
/// A call of which the gateway has said nothing is taken to ring no longer than this, in seconds.
const RINGING: u64 = 120;
const HOUR: u64 = 3600;
/// So many names of calls are drawn at once: the system's generator is a system call away.
const DRAWN: usize = 64;

/// Where a running call stands among the others.
type Place = u32;

/// A call that was put through.
struct Running {
    id: CallId,
    claim: Claim,
    number: VirtualNumber,
    ends_at: Timestamp,
    answered: Option<Timestamp>,
    /// Whether it is one of those that its number carries at once.
    counts: bool,
    /// When it is looked at next: it counts no longer then, or is forgotten.
    due: Timestamp,
}

/// An order's digest, and one of its legs.
type LegId = ([u8; 32], Leg);

/// What a leg has used of its hour.
struct Hour {
    since: Timestamp,
    used: u32,
}

#[derive(Default)]
pub(super) struct Held {
    running: HashMap<CallId, Place>,
    /// The running calls, each in its place.
    places: Vec<Option<Running>>,
    /// The places that nobody has.
    free: Vec<Place>,
    /// Names for calls to come.
    drawn: Vec<CallId>,
    /// Every running call once, by when it is due.
    due: BTreeSet<(Timestamp, Place)>,
    /// Every running call once, by the part in which its order lies.
    parts: BTreeSet<(Part, Place)>,
    /// What told of endings in a part when its calls were last to be judged.
    seen: HashMap<Part, Option<Vec<u8>>>,
    /// The generation of slot keys under which they were.
    generation: u32,
    /// The running calls of which it is not known whether anything allows them.
    to_judge: BTreeSet<Place>,
    /// The running calls that nothing allows.
    to_end: BTreeSet<Place>,
    /// How many calls count on a number: one or more.
    at_once: HashMap<VirtualNumber, usize>,
    hours: HashMap<LegId, Hour>,
    /// The hours, by when they began. One whose leg has a later hour stands for nothing.
    begun: VecDeque<(Timestamp, LegId)>,
    /// How many entries were looked at because of their time, or because of what was told.
    #[cfg(test)]
    touched: usize,
}

impl Held {
    /// A name for a call that begins.
    pub(super) fn name(&mut self, rng: &mut (impl CryptoRng + ?Sized)) -> CallId {
        if self.drawn.is_empty() {
            self.drawn.extend(CallId::several::<DRAWN>(rng));
        }
        self.drawn.pop().unwrap_or_else(|| CallId::random(rng))
    }

    /// Notes a call or message that all else allows, if the limits do.
    pub(super) fn begin(
        &mut self,
        (claim, number, channel): (Claim, VirtualNumber, Channel),
        (now, ends_at): (Timestamp, Timestamp),
        config: &SwitchboardConfig,
        id: CallId,
    ) -> Result<(), Reason> {
        self.forget(now);
        if channel == Channel::Voice {
            let at_once = self.at_once.get(&number).copied().unwrap_or(0);
            if at_once >= config.calls_at_once || self.running.len() >= CALLS {
                return Err(Reason::TooMany);
            }
        }
        self.use_hour((claim.order.order, claim.leg), now, config.calls_per_hour)?;
        if channel == Channel::Voice {
            let due = now.saturating_add(RINGING).min(ends_at);
            let call = Running { id, claim, number, ends_at, answered: None, counts: true, due };
            let place = self.settle(call);
            self.running.insert(id, place);
            self.due.insert((due, place));
            self.parts.insert((claim.part, place));
            // Something may have ended while it was decided.
            self.to_judge.insert(place);
            self.count(number);
        }
        Ok(())
    }

    /// Gives a call a place.
    fn settle(&mut self, call: Running) -> Place {
        if let Some(place) = self.free.pop()
            && let Some(there) = self.places.get_mut(place as usize)
        {
            *there = Some(call);
            return place;
        }
        self.places.push(Some(call));
        // There are at most `CALLS`.
        (self.places.len() as Place).saturating_sub(1)
    }

    fn at(&mut self, place: Place) -> Option<&mut Running> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// Takes a call from its place and out of every table but `due`, whose entry the caller has removed or removes.
    fn remove(&mut self, place: Place) -> Option<Running> {
        let call = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        self.running.remove(&call.id);
        self.parts.remove(&(call.claim.part, place));
        self.to_judge.remove(&place);
        self.to_end.remove(&place);
        Some(call)
    }

    fn use_hour(&mut self, leg: LegId, now: Timestamp, most: u32) -> Result<(), Reason> {
        if let Some(hour) = self.hours.get_mut(&leg).filter(|hour| now.saturating_since(hour.since) < HOUR) {
            if hour.used >= most {
                return Err(Reason::TooMany);
            }
            hour.used = hour.used.saturating_add(1);
            return Ok(());
        }
        while self.begun.len() >= HOURS {
            self.forget_hour();
        }
        self.hours.insert(leg, Hour { since: now, used: 1 });
        self.begun.push_back((now, leg));
        Ok(())
    }

    /// The switch has ended those whose time is up; a gateway that did not say so is not waited for.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while let Some((due, place)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.touch();
            self.due.remove(&(due, place));
            let Some(call) = self.at(place) else { continue };
            let (number, counted) = (call.number, std::mem::replace(&mut call.counts, false));
            // From its end on the gateway is told to end it, for so long.
            let is_over = now >= call.ends_at;
            call.due = if is_over { call.ends_at.saturating_add(RINGING) } else { call.ends_at };
            let due = call.due;
            if now < due {
                self.due.insert((due, place));
                if is_over {
                    self.to_end.insert(place);
                }
            } else {
                self.remove(place);
            }
            if counted {
                self.uncount(number);
            }
        }
        while self.begun.front().is_some_and(|(since, _)| now.saturating_since(*since) >= HOUR) {
            self.forget_hour();
        }
    }

    fn forget_hour(&mut self) {
        self.touch();
        let Some((since, leg)) = self.begun.pop_front() else { return };
        if self.hours.get(&leg).is_some_and(|hour| hour.since == since) {
            self.hours.remove(&leg);
        }
    }

    /// A call and its place; `None` if it is not known.
    fn find(&mut self, id: CallId) -> Option<(Place, &mut Running)> {
        let place = *self.running.get(&id)?;
        self.at(place).map(|call| (place, call))
    }

    /// Whose a call is; `None` if it is not known.
    pub(super) fn of(&self, id: CallId) -> Option<Claim> {
        let place = *self.running.get(&id)?;
        self.places.get(place as usize)?.as_ref().map(|call| call.claim)
    }

    /// It counts until it ends from now on.
    pub(super) fn answered(&mut self, id: CallId, now: Timestamp) {
        let Some((place, call)) = self.find(id) else { return };
        if call.answered.is_some() {
            return;
        }
        call.answered = Some(now);
        if now < call.ends_at {
            let (was_due, due, number) = (call.due, call.ends_at, call.number);
            let counted = std::mem::replace(&mut call.counts, true);
            call.due = due;
            self.due.remove(&(was_due, place));
            self.due.insert((due, place));
            if !counted {
                self.count(number);
            }
        }
    }

    /// When it was picked up, if it was. Nothing of it is kept.
    pub(super) fn ended(&mut self, id: CallId) -> Option<Timestamp> {
        let place = *self.running.get(&id)?;
        let call = self.remove(place)?;
        self.due.remove(&(call.due, place));
        if call.counts {
            self.uncount(call.number);
        }
        call.answered
    }

    /// The parts in which the orders of what runs lie.
    pub(super) fn parts(&self) -> Vec<Part> {
        let (mut parts, mut after) = (Vec::new(), Bound::Unbounded);
        while let Some((part, _)) = self.parts.range((after, Bound::Unbounded)).next() {
            parts.push(*part);
            after = Bound::Excluded((*part, Place::MAX));
        }
        parts
    }

    /// What tells of endings now, and under which keys: the calls where it is not as it was are to be judged.
    pub(super) fn told(&mut self, endings: Vec<(Part, Option<Vec<u8>>)>, generation: u32) {
        if self.generation != generation {
            self.generation = generation;
            self.seen.clear();
        }
        for (part, ending) in endings {
            if self.seen.get(&part) != Some(&ending) {
                self.seen.insert(part, ending);
                let calls = self.parts.range((part, Place::MIN)..=(part, Place::MAX));
                self.to_judge.extend(calls.map(|(_, place)| *place));
            }
        }
    }

    /// The calls of which it is to be found out whether anything allows them.
    pub(super) fn unjudged(&mut self) -> Vec<(CallId, Claim, VirtualNumber)> {
        let calls = self.to_judge.iter().filter_map(|place| self.places.get(*place as usize)?.as_ref());
        let calls: Vec<_> = calls.map(|call| (call.id, call.claim, call.number)).collect();
        calls.iter().for_each(|_| self.touch());
        calls
    }

    /// Until when a call is allowed: it ends then, if not sooner. `None`: nothing allows it.
    pub(super) fn judged(&mut self, id: CallId, until: Option<Timestamp>) {
        let Some(place) = self.running.get(&id).copied() else { return };
        self.to_judge.remove(&place);
        let Some(until) = until else {
            self.to_end.insert(place);
            return;
        };
        let Some(call) = self.at(place).filter(|call| until < call.ends_at) else { return };
        let (was_due, due) = (call.due, call.due.min(until));
        (call.ends_at, call.due) = (until, due);
        self.due.remove(&(was_due, place));
        self.due.insert((due, place));
    }

    /// The calls that nothing allows any more.
    pub(super) fn to_end(&self) -> Vec<CallId> {
        let calls = self.to_end.iter().filter_map(|place| self.places.get(*place as usize)?.as_ref());
        calls.map(|call| call.id).collect()
    }

    fn count(&mut self, number: VirtualNumber) {
        let at_once = self.at_once.entry(number).or_default();
        *at_once = at_once.saturating_add(1);
    }

    fn uncount(&mut self, number: VirtualNumber) {
        let Some(at_once) = self.at_once.get_mut(&number) else { return };
        *at_once = at_once.saturating_sub(1);
        if *at_once == 0 {
            self.at_once.remove(&number);
        }
    }

    /// Counted in tests.
    fn touch(&mut self) {
        #[cfg(test)]
        {
            self.touched = self.touched.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{OrderId, Side};
    use super::*;
    use std::mem::size_of;

    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn config() -> SwitchboardConfig {
        SwitchboardConfig::new(3600)
    }

    fn id(of: u64) -> CallId {
        CallId::from_hex(&format!("{of:032x}")).unwrap()
    }

    /// A call of a leg and a number of its own, `after` seconds from the start, for `longest` seconds.
    fn begin(held: &mut Held, of: u64, after: u64, longest: u64) -> Result<(), Reason> {
        let mut order = [0; 32];
        order[..8].copy_from_slice(&of.to_le_bytes());
        let order = OrderId { merchant: [0; 32], order };
        let claim =
            Claim { order, part: order.part(), leg: Leg::Courier, caller: Side::Hub, attempt: [7; 8] };
        let number = VirtualNumber::new(&format!("+8617{of:09}")).unwrap();
        let now = START.saturating_add(after);
        let ends_at = now.saturating_add(longest);
        held.begin((claim, number, Channel::Voice), (now, ends_at), &config(), id(of))
    }

    fn touched(held: &mut Held) -> usize {
        std::mem::take(&mut held.touched)
    }

    #[test]
    fn with_all_places_taken_a_call_looks_at_nothing_but_what_is_over() {
        let mut held = Held::default();
        let all = CALLS as u64;
        for of in 0..all {
            // Each ends a second after the one before, but for those of the same second.
            assert_eq!(begin(&mut held, of, 0, 1000 + of / 1000), Ok(()));
        }
        assert_eq!(touched(&mut held), 0);
        for of in all..all + 1000 {
            assert_eq!(begin(&mut held, of, 1, 1000), Err(Reason::TooMany));
        }
        assert_eq!(touched(&mut held), 0);
        // They ring no longer, and are looked at once for it; then nothing is.
        assert_eq!(begin(&mut held, all, RINGING, 1000), Err(Reason::TooMany));
        assert_eq!(touched(&mut held), CALLS);
        // And once when their time is up.
        assert_eq!(begin(&mut held, all, 1000 + RINGING - 1, 1000), Err(Reason::TooMany));
        assert_eq!((touched(&mut held), held.to_end.len()), (CALLS, CALLS));
        assert_eq!(begin(&mut held, all, 1000 + RINGING - 1, 1000), Err(Reason::TooMany));
        assert_eq!(touched(&mut held), 0);
        // The first thousand are over.
        assert_eq!(begin(&mut held, all, 1000 + RINGING, 1000), Ok(()));
        // And the oldest hour with them, for the new one.
        assert_eq!((touched(&mut held), held.running.len()), (1000 + 1, CALLS - 1000 + 1));
        // One that the gateway says is over makes room for one, without a look at any other.
        for of in all + 1..all + 1000 {
            assert_eq!(begin(&mut held, of, 1000 + RINGING, 1000), Ok(()));
        }
        touched(&mut held);
        assert_eq!(held.ended(id(all)), None);
        assert_eq!(begin(&mut held, all, 1000 + RINGING, 1000), Ok(()));
        assert_eq!((touched(&mut held), held.running.len(), held.due.len()), (0, CALLS, CALLS));
    }

    #[test]
    fn with_all_hours_taken_the_oldest_goes_and_no_other_is_looked_at() {
        let mut held = Held::default();
        let all = HOURS as u64;
        for of in 0..all {
            assert_eq!(begin(&mut held, of, of / 1000, 1000), Ok(()));
            assert_eq!(held.ended(id(of)), None);
        }
        for of in all..all + 10 {
            assert_eq!(begin(&mut held, of, 200, 1000), Ok(()));
            assert_eq!(held.ended(id(of)), None);
            assert_eq!((touched(&mut held), held.hours.len(), held.begun.len()), (1, HOURS, HOURS));
        }
        // What is over goes when it is over: the other 990 of the first second, and no more.
        assert_eq!(begin(&mut held, 0, HOUR, 1000), Ok(()));
        assert_eq!((touched(&mut held), held.hours.len()), (990, HOURS - 990 + 1));
    }

    #[test]
    fn an_hour_of_a_clock_that_was_a_little_ahead_ends_in_its_own_time() {
        let mut held = Held::default();
        assert_eq!(begin(&mut held, 1, 5, 60), Ok(()));
        assert_eq!(begin(&mut held, 2, 0, 60), Ok(()));
        for _ in 1..config().calls_per_hour {
            let _ = held.ended(id(2));
            assert_eq!(begin(&mut held, 2, 1, 60), Ok(()));
        }
        let _ = held.ended(id(2));
        assert_eq!(begin(&mut held, 2, HOUR - 1, 60), Err(Reason::TooMany));
        // The first hour is not over yet, and this one is.
        assert_eq!(begin(&mut held, 2, HOUR, 60), Ok(()));
        // What stood for the former one takes nothing away.
        assert_eq!(begin(&mut held, 3, HOUR + 5, 60), Ok(()));
        assert_eq!((held.hours.len(), held.begun.len()), (2, 2));
    }

    #[test]
    fn what_counts_on_a_number_is_what_runs_there() {
        let mut held = Held::default();
        let on = |held: &Held| held.at_once.values().sum::<usize>();
        for of in 0..4 {
            assert_eq!(begin(&mut held, of, 0, 600), Ok(()));
        }
        held.answered(id(0), START.saturating_add(5));
        held.forget(START.saturating_add(RINGING));
        assert_eq!(on(&held), 1);
        // Picked up late: it counts again, until it ends.
        held.answered(id(1), START.saturating_add(RINGING + 1));
        assert_eq!(on(&held), 2);
        held.forget(START.saturating_add(599));
        assert_eq!(on(&held), 2);
        held.forget(START.saturating_add(600));
        assert_eq!((on(&held), held.running.len()), (0, 4));
        // Picked up too late: nothing counts, and it is forgotten all the same.
        held.answered(id(2), START.saturating_add(601));
        assert_eq!(held.ended(id(0)), Some(START.saturating_add(5)));
        held.forget(START.saturating_add(600 + RINGING));
        assert_eq!((on(&held), held.running.len(), held.due.len()), (0, 0, 0));
        assert_eq!((held.parts.len(), held.to_judge.len(), held.to_end.len()), (0, 0, 0));
    }

    /// What told of endings in every part that has calls: as it was, but in those of these calls.
    fn told(held: &Held, of: &[u64]) -> Vec<(Part, Option<Vec<u8>>)> {
        let ended: Vec<Part> = of.iter().map(|of| held.of(id(*of)).unwrap().order.part()).collect();
        held.parts().into_iter().map(|part| (part, ended.contains(&part).then(|| vec![1; 8]))).collect()
    }

    #[test]
    fn a_call_is_judged_once_and_then_when_something_ends_where_its_order_lies() {
        let mut held = Held::default();
        let all = 16_000;
        (0..all).for_each(|of| begin(&mut held, of, 0, 3000).unwrap());
        // All lie in one bucket here, so in sixteen parts.
        assert_eq!(held.parts().len(), 16);
        let judge = |held: &mut Held, told, generation, until| {
            held.told(told, generation);
            let calls = held.unjudged();
            calls.iter().for_each(|(id, ..)| held.judged(*id, until));
            (calls.len(), touched(held))
        };
        let long = Some(START.saturating_add(3000));
        let quiet = told(&held, &[]);
        assert_eq!(judge(&mut held, quiet.clone(), 1, long), (16_000, 16_000));
        for _ in 0..3 {
            assert_eq!(judge(&mut held, quiet.clone(), 1, long), (0, 0));
        }
        // One order ended: those of its part are looked at, once.
        let ending = told(&held, &[7]);
        assert_eq!(judge(&mut held, ending.clone(), 1, None), (1000, 1000));
        assert_eq!(judge(&mut held, ending.clone(), 1, None), (0, 0));
        assert_eq!(held.to_end().len(), 1000);
        assert_eq!(held.ended(id(7)), None);
        assert_eq!(held.to_end().len(), 999);
        // Other keys: all are.
        assert_eq!(judge(&mut held, ending, 2, long), (15_999, 15_999));
        // What may last shorter than it was told ends then.
        let other = told(&held, &[8]);
        held.to_end.clear();
        assert_eq!(judge(&mut held, other, 2, Some(START.saturating_add(500))), (1999, 1999));
        held.forget(START.saturating_add(499));
        assert_eq!(held.to_end().len(), 0);
        held.forget(START.saturating_add(500));
        assert_eq!(held.to_end().len(), 1999);
    }

    /// What a table of so many may take: places are a power of two, an eighth of them empty; nodes of a tree are half full.
    #[test]
    fn the_memory_is_bounded_as_the_manual_says() {
        let map = |most: usize, each: usize| (most * 8 / 7).next_power_of_two() * (each + 1);
        let tree = |most: usize, each: usize| most * each * 2;
        let queue = |most: usize, each: usize| most.next_power_of_two() * each;
        let all = map(CALLS, size_of::<(CallId, Place)>())
            + queue(CALLS, size_of::<Option<Running>>())
            + queue(CALLS, size_of::<Place>())
            + tree(CALLS, size_of::<(Timestamp, Place)>())
            + tree(CALLS, size_of::<(Part, Place)>())
            + 2 * tree(CALLS, size_of::<Place>())
            + map(4096, size_of::<(Part, Option<Vec<u8>>)>() + 32)
            + map(CALLS, size_of::<(VirtualNumber, usize)>())
            + map(HOURS, size_of::<(LegId, Hour)>())
            + queue(HOURS, size_of::<(Timestamp, LegId)>());
        assert!(all <= 43 << 20, "{all} bytes");
    }
}
