//! A power loss at any write: whatever was answered is there, and no decision is there by half.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use proptest::prelude::*;
use unjoin::store::{Bucket, Commit, Outcome, RowKey, Store, StoreError};
use unjoin_test_util::disk::{Disk, Fault, Power};

const CALLS: u32 = 25;
const COMMITS: u32 = 4;

fn bucket() -> Bucket {
    Bucket::of(b"merchant")
}

/// The two rows that one decision writes.
fn keys(call: u32, number: u32) -> [Vec<u8>; 2] {
    let place = call.wrapping_mul(0x9e37_79b9) ^ number;
    [b"a", b"b"].map(|half| [half.as_slice(), &place.to_be_bytes()].concat())
}

fn decision(call: u32, number: u32) -> Commit {
    let [one, other] = keys(call, number);
    let commit = Commit::new(bucket()).expect(&one, None);
    commit.put(one, b"one half".repeat(60)).put(other, b"the other half".repeat(30))
}

/// Commits call after call until one fails; how many were answered.
fn run(disk: &Disk) -> u32 {
    let Ok(store) = unjoin_test_util::redb_on(disk.clone()) else { return 0 };
    for call in 0..CALLS {
        let commits: Vec<_> = (0..COMMITS).map(|number| decision(call, number)).collect();
        match store.commit(&commits) {
            Ok(outcomes) => assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Committed)),
            Err(_) => return call,
        }
    }
    CALLS
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_answered_decision_survives_a_power_loss_and_none_is_there_by_half(
        when in 0.0..1.0f64,
        of_a_sync: bool,
        cuts_the_power: bool,
        choices in prop::collection::vec(any::<bool>(), 1..97),
    ) {
        let whole = Power::default();
        prop_assert_eq!(run(&Disk::holding(Vec::new(), &whole)), CALLS);

        // The power is lost during an operation, or after the disk has failed one.
        let at = (whole.operations() as f64 * when) as u64;
        let disk = Disk::holding(Vec::new(), &Power::with(Fault { at, of_a_sync, cuts_the_power }));
        let answered = run(&disk);
        let mut choices = choices.iter().cycle();
        let image = disk.after_power_loss(|| *choices.next().unwrap());
        let store = match unjoin_test_util::redb_on(Disk::holding(image, &Power::default())) {
            Ok(store) => store,
            // The creation did not finish: there is nothing to lose yet.
            Err(_) if answered == 0 => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{answered} calls were answered: {error}"))),
        };
        for call in 0..CALLS {
            for number in 0..COMMITS {
                let rows = keys(call, number).map(|key| RowKey { bucket: bucket(), key });
                let found = store.read(&rows).unwrap();
                prop_assert_eq!(found[0].is_some(), found[1].is_some(), "half of a decision");
                prop_assert!(found[0].is_some() || call >= answered, "an answered decision is lost");
                prop_assert!(found[0].is_none() || call <= answered, "a decision nobody asked for");
                // Asked again, a decision takes effect or finds its own effect.
                let again = store.commit(&[decision(call, number)]).unwrap();
                prop_assert_eq!(again == [Outcome::Committed], found[0].is_none());
            }
        }
    }
}

/// The store's first failing sync, at or after an operation.
fn failing_sync(at: u64) -> Disk {
    Disk::holding(Vec::new(), &Power::with(Fault { at, of_a_sync: true, cuts_the_power: false }))
}

#[test]
fn after_a_failed_sync_a_foreign_backend_must_be_opened_anew() {
    let disk = failing_sync(200);
    let store = unjoin_test_util::redb_on(disk).unwrap();
    let failed = (0..CALLS).find_map(|call| store.commit(&[decision(call, 0)]).err()).unwrap();
    let rows = keys(0, 0).map(|key| RowKey { bucket: bucket(), key });
    let later = store.commit(&[decision(CALLS, 0)]).unwrap_err();
    for error in [failed, later, store.read(&rows).unwrap_err()] {
        assert!(matches!(error, StoreError::Closed(_)) && !error.is_retryable(), "{error}");
    }
}

/// Why a file that was not closed in order is copied: going on with what the system shows after a
/// failed sync loses answered decisions at the next power loss.
#[test]
fn a_disk_that_failed_a_sync_shows_what_it_does_not_hold() {
    let lost = (0..400).step_by(10).filter(|at| {
        let disk = failing_sync(*at);
        let first = run(&disk);
        let Ok(store) = unjoin_test_util::redb_on(disk.clone()) else { return false };
        let calls = first + 1..first + 4;
        let answered = |call: &u32| {
            let outcome = store.commit(&[decision(*call, 0)]);
            outcome.is_ok_and(|outcome| outcome == [Outcome::Committed])
        };
        let answered: Vec<u32> = calls.filter(answered).collect();
        let image = disk.after_power_loss(|| false);
        let Ok(store) = unjoin_test_util::redb_on(Disk::holding(image, &Power::default())) else {
            return true;
        };
        let there = |call: &u32| {
            let rows = store.read(&keys(*call, 0).map(|key| RowKey { bucket: bucket(), key }));
            rows.is_ok_and(|rows| rows.iter().all(Option::is_some))
        };
        !answered.iter().all(there)
    });
    assert!(lost.count() > 0, "the disk forgets nothing: the other tests prove less than they say");
}
