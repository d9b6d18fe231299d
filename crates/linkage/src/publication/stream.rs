//! The cohorts of one merchant and class, one after the other.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
};

use super::policy::{Entry, PERIOD_OF_COUNTS, PERIODS_LOOKED_AT, Policy};
use crate::{calendar::DAY, random::SplitMix64};

/// An order of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival {
    pub eligible_at: i64,
    pub order: usize,
    pub account: usize,
    pub numbers_dead_at: i64,
}

/// A cohort that was sealed, and the boundary at which its manifest is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sealed {
    pub at: i64,
    pub members: Vec<usize>,
}

pub(super) struct Stream<'a> {
    policy: &'a Policy,
    /// By the time at which the wallet asks.
    asking: BinaryHeap<Reverse<(i64, Arrival)>>,
    /// Orders whose account is in the open cohort already.
    later: Vec<Arrival>,
    open: Option<Open>,
    rate: Rate,
    sealed: Vec<Sealed>,
}

struct Open {
    since: i64,
    members: Vec<Arrival>,
    accounts: HashSet<usize>,
    /// Boundaries that found a grant in the cohort.
    boundaries: u32,
}

/// The cohorts that get a manifest.
pub(super) fn cohorts(policy: &Policy, arrivals: Vec<Arrival>, random: &mut SplitMix64) -> Vec<Sealed> {
    let times = || arrivals.iter().map(|arrival| arrival.eligible_at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Vec::new() };
    let days = ((last - first) as f64 / DAY as f64).max(1.0);
    let stated = policy.states_rates.then_some(arrivals.len() as f64 / days);
    let mut stream = Stream {
        policy,
        asking: BinaryHeap::with_capacity(arrivals.len()),
        later: Vec::new(),
        open: None,
        rate: Rate::new(first, stated),
        sealed: Vec::new(),
    };
    arrivals.into_iter().for_each(|arrival| stream.ask(arrival, arrival.eligible_at, random));
    stream.run(random)
}

impl Stream<'_> {
    /// The wallet asks at a time of its own after `from`.
    fn ask(&mut self, arrival: Arrival, from: i64, random: &mut SplitMix64) {
        let drawn = match self.policy.entry {
            Entry::Dead { draw: true, .. } => random.below(DAY as usize) as i64,
            _ => 0,
        };
        self.asking.push(Reverse((from + drawn, arrival)));
    }

    fn run(mut self, random: &mut SplitMix64) -> Vec<Sealed> {
        let mut boundary = i64::MIN;
        loop {
            boundary = match (&self.open, self.asking.peek()) {
                (Some(open), None) if open.accounts.len() < self.policy.k => return self.sealed,
                (Some(_), _) => boundary + self.policy.period,
                (None, Some(&Reverse((next, _)))) => self.policy.boundary_after(next),
                (None, None) => return self.sealed,
            };
            self.join_until(boundary);
            self.work_off(boundary, random);
        }
    }

    fn join_until(&mut self, boundary: i64) {
        while let Some(&Reverse((at, arrival))) = self.asking.peek()
            && at < boundary
        {
            self.asking.pop();
            let open = self.open.get_or_insert_with(|| Open {
                since: at,
                members: Vec::new(),
                accounts: HashSet::new(),
                boundaries: 0,
            });
            let is_new = open.accounts.insert(arrival.account);
            if is_new || !self.policy.once_per_account {
                open.members.push(arrival);
                self.rate.count(at);
            } else {
                self.later.push(arrival);
            }
        }
    }

    fn work_off(&mut self, boundary: i64, random: &mut SplitMix64) {
        let Some(open) = &mut self.open else { return };
        open.boundaries += 1;
        let age = match self.policy.entry {
            Entry::Due { .. } => (boundary - open.since) as f64 / DAY as f64,
            Entry::Dead { .. } => f64::from(open.boundaries),
        };
        let seals = self.policy.seals(open.accounts.len(), age, self.rate.at(boundary));
        let starved = self.policy.open_at_most.is_some_and(|most| boundary - open.since >= most);
        if seals || starved {
            let members = std::mem::take(&mut open.members);
            self.open = None;
            for arrival in std::mem::take(&mut self.later) {
                self.ask(arrival, boundary, random);
            }
            if seals {
                let last_number =
                    members.iter().map(|member| member.numbers_dead_at).max().unwrap_or(boundary);
                let at = if last_number <= boundary {
                    boundary
                } else {
                    self.policy.boundary_after(last_number - 1)
                };
                self.sealed.push(Sealed { at, members: members.iter().map(|member| member.order).collect() });
            }
        }
    }
}

/// Counted grants of a merchant and class in periods of 60 days: counts, no list.
pub(super) struct Rate {
    named_at: i64,
    counts: Vec<u32>,
    /// What the host said when it named the merchant.
    stated: Option<f64>,
}

impl Rate {
    pub(super) fn new(named_at: i64, stated: Option<f64>) -> Self {
        Self { named_at, counts: Vec::new(), stated }
    }

    fn period(&self, at: i64) -> usize {
        ((at - self.named_at).max(0) / PERIOD_OF_COUNTS) as usize
    }

    pub(super) fn count(&mut self, at: i64) {
        let period = self.period(at);
        if self.counts.len() <= period {
            self.counts.resize(period + 1, 0);
        }
        self.counts[period] += 1;
    }

    /// Grants a day: the lowest of the last completed periods; before the first is complete what was stated, if
    /// anything.
    pub(super) fn at(&self, now: i64) -> Option<f64> {
        let completed = self.period(now);
        let counts = (completed.saturating_sub(PERIODS_LOOKED_AT)..completed)
            .map(|period| self.counts.get(period).copied().unwrap_or(0));
        let lowest = counts.min().map(|count| f64::from(count) / (PERIOD_OF_COUNTS / DAY) as f64);
        lowest.or(self.stated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_lowest_of_three_periods() {
        let period = 60 * DAY;
        let mut rate = Rate::new(0, None);
        for (number, count) in [120, 60, 600, 240].into_iter().enumerate() {
            assert_eq!(rate.at(period * number as i64), [None, Some(2.0), Some(1.0), Some(1.0)][number]);
            (0..count).for_each(|grant| rate.count(period * number as i64 + grant));
        }
        assert_eq!(rate.at(4 * period), Some(1.0));
        assert_eq!(rate.at(5 * period), Some(0.0));
        assert_eq!(Rate::new(0, Some(0.3)).at(10), Some(0.3));
    }
}
