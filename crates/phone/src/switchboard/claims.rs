//! What one worker of this instance has under way, so that another does not decide the same beside
//! it: both would read the same rows, and one of them would have worked in vain. Other instances
//! are kept apart by the store alone.
//!
//! What stands for a hub is passed on before its row is written. Whoever claims it next goes on from what
//! that row will be, and has its own numbers ready when the disk has written the others. That is a guess,
//! and the store judges it: if the row becomes something else, so does what rests on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What stands for an order or a hub: digests that do not meet.
pub(super) type Claimed = [u8; 32];

#[derive(Default)]
pub(super) struct Claims {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    under_way: BTreeSet<Claimed>,
    /// What was passed on: by which claim, and the value that its row will have.
    passed_on: BTreeMap<Claimed, (u64, Vec<u8>)>,
    /// The claims that are not released.
    open: BTreeSet<u64>,
    next: u64,
}

/// What is released when it is dropped.
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    number: u64,
    own: BTreeSet<Claimed>,
    /// What earlier claims passed on.
    expected: BTreeMap<Claimed, (u64, Vec<u8>)>,
}

impl Claims {
    /// Claims what each of `wanted` needs, for as many of them as nobody else's claim stands against:
    /// whether it is one of them, for each. Waits until it can be one at least. Whoever waits holds
    /// nothing, so none wait in a circle.
    pub(super) fn claim(&self, wanted: &[[Claimed; 2]]) -> (Claim<'_>, Vec<bool>) {
        let mut state = self.lock();
        loop {
            let is_free = |each: &[Claimed; 2]| each.iter().all(|one| !state.under_way.contains(one));
            let free: Vec<bool> = wanted.iter().map(is_free).collect();
            if wanted.is_empty() || free.contains(&true) {
                let own = wanted.iter().zip(&free).filter(|(_, free)| **free).flat_map(|(each, _)| *each);
                let own: BTreeSet<Claimed> = own.collect();
                state.under_way.extend(&own);
                let passed_on = |one: &Claimed| Some((*one, state.passed_on.get(one)?.clone()));
                let expected = own.iter().filter_map(passed_on).collect();
                let number = state.next;
                state.next = number.wrapping_add(1);
                state.open.insert(number);
                return (Claim { claims: self, number, own, expected }, free);
            }
            state = self.wait(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// What the row of this will be, by an earlier claim that is not known to be released.
    pub(super) fn expected(&self, of: &Claimed) -> Option<&[u8]> {
        self.expected.get(of).map(|(_, value)| value.as_slice())
    }

    /// Lets others claim these from now on, and go on from the values that this claim is about to write.
    pub(super) fn pass_on(&mut self, rows: impl IntoIterator<Item = (Claimed, Vec<u8>)>) {
        let mut state = self.claims.lock();
        for (one, value) in rows {
            if self.own.remove(&one) {
                state.under_way.remove(&one);
                state.passed_on.insert(one, (self.number, value));
            }
        }
        drop(state);
        self.claims.changed.notify_all();
    }

    /// Waits until the claims are released whose rows this one expects. They are earlier ones, so none wait in
    /// a circle.
    pub(super) fn wait_for_expected(&self) {
        let mut state = self.claims.lock();
        while self.expected.values().any(|(claim, _)| state.open.contains(claim)) {
            state = self.claims.wait(state);
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.claims.lock();
        state.under_way.retain(|one| !self.own.contains(one));
        // What another has passed on since is that one's.
        state.passed_on.retain(|_, (claim, _)| *claim != self.number);
        state.open.remove(&self.number);
        drop(state);
        self.claims.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn nobody_decides_beside_another_what_that_one_has_under_way() {
        let claims = Claims::default();
        let [a, b, c, d] = [1, 2, 3, 4].map(|byte| [byte; 32]);
        let (first, free) = claims.claim(&[[a, b], [a, c]]);
        assert_eq!(free, [true, true], "two of one claim may share");
        let (second, free) = claims.claim(&[[b, d], [d, d]]);
        assert_eq!(free, [false, true]);
        drop(first);
        let (_, free) = claims.claim(&[[a, b], [d, c]]);
        assert_eq!(free, [true, false]);
        drop(second);
        let state = claims.lock();
        assert!(state.under_way.is_empty() && state.open.is_empty());
    }

    #[test]
    fn what_is_passed_on_is_expected_by_the_next_who_then_waits_until_it_is_released() {
        let claims = Claims::default();
        let [order, next_order, hub] = [1, 2, 3].map(|byte| [byte; 32]);
        let (mut first, _) = claims.claim(&[[order, hub]]);
        assert_eq!(first.expected(&hub), None);
        first.pass_on([(hub, b"one".to_vec()), (next_order, b"not its own".to_vec())]);
        // The order is not passed on.
        let (mut second, free) = claims.claim(&[[order, hub], [next_order, hub]]);
        assert_eq!(free, [false, true]);
        assert_eq!((second.expected(&hub), second.expected(&next_order)), (Some(&b"one"[..]), None));
        second.pass_on([(hub, b"two".to_vec())]);
        let released = AtomicUsize::new(0);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                second.wait_for_expected();
                assert_eq!(released.load(Ordering::SeqCst), 1);
                drop(second);
            });
            released.fetch_add(1, Ordering::SeqCst);
            drop(first);
        });
        let (third, _) = claims.claim(&[[order, hub]]);
        assert_eq!(third.expected(&hub), None, "the row itself says it by now");
        third.wait_for_expected();
        drop(third);
        let state = claims.lock();
        assert!(state.under_way.is_empty() && state.passed_on.is_empty() && state.open.is_empty());
    }

    #[test]
    fn whoever_can_do_nothing_waits_for_what_is_under_way() {
        let (claims, inside) = (Claims::default(), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..200 {
                        let (claim, free) = claims.claim(&[[[1; 32], [2; 32]]]);
                        assert_eq!(free, [true]);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(claim);
                    }
                });
            }
        });
    }
}
