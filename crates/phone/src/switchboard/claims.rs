//! What one worker of this instance has under way, so that another does not decide the same beside
//! it: both would read the same rows, and one of them would have worked in vain. Other instances
//! are kept apart by the store alone.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// What stands for an order or a hub: digests that do not meet.
pub(super) type Claimed = [u8; 32];

#[derive(Default)]
pub(super) struct Claims {
    under_way: Mutex<BTreeSet<Claimed>>,
    released: Condvar,
}

/// What is released when it is dropped.
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    own: BTreeSet<Claimed>,
}

impl Claims {
    /// Claims what each of `wanted` needs, for as many of them as nobody else's claim stands against:
    /// whether it is one of them, for each. Waits until it can be one at least. Whoever waits holds
    /// nothing, so none wait in a circle.
    pub(super) fn claim(&self, wanted: &[[Claimed; 2]]) -> (Claim<'_>, Vec<bool>) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let is_free = |each: &[Claimed; 2]| each.iter().all(|one| !under_way.contains(one));
            let free: Vec<bool> = wanted.iter().map(is_free).collect();
            if wanted.is_empty() || free.contains(&true) {
                let own = wanted.iter().zip(&free).filter(|(_, free)| **free).flat_map(|(each, _)| *each);
                let own: BTreeSet<Claimed> = own.collect();
                under_way.extend(&own);
                return (Claim { claims: self, own }, free);
            }
            under_way = self.released.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut under_way = self.claims.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|one| !self.own.contains(one));
        drop(under_way);
        self.claims.released.notify_all();
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
        assert!(claims.under_way.lock().unwrap().is_empty());
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
