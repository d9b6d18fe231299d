//! Stores that fail at any step, disks that are put back, trustees that start anew.

use super::*;
use crate::test_util::world::{OPENINGS, own, stolen_key};
use crate::warrant::Excess;
use std::collections::{BTreeMap, BTreeSet};
use unjoin_core::Clock;
use unjoin_core::entry::ShareReleasedEntry;
use unjoin_core::wire::Message;
use unjoin_log::LogView;
use unjoin_test_util::{Failure, Faulty, copy, holds_bytes};

/// The releases in the ledger.
fn releases(world: &World) -> Vec<ShareReleasedEntry> {
    let entries = world.openings.entries(0, world.openings.size().unwrap()).unwrap();
    entries.iter().filter_map(|entry| ShareReleasedEntry::from_bytes(entry).ok()).collect()
}

#[test]
fn whichever_commit_fails_a_retry_gives_the_same_share_and_nothing_twice() {
    let mut struck = BTreeSet::new();
    for (number, failure) in (0..10).flat_map(|number| [(number, Failure::Before), (number, Failure::Lost)]) {
        let world = World::new(1, 1, 2, budgets(1, 1, 1));
        let presented = world.warrant(&[0, 1]);
        let store = Arc::new(Faulty::in_memory());
        let own = own(&world.secrets(1), &store);
        let start = || {
            Trustee::open(Arc::clone(&own), world.secrets(1), world.policy.clone(), world.environment())
                .unwrap()
        };
        store.fail(number, failure);
        let mut trustee = start();
        let mut shares = Vec::new();
        for _ in 0..6 {
            match settle(&world, &trustee, &presented, 0) {
                Ok(answer) => shares.push(*share(&world, &presented, answer).element()),
                Err(TrusteeError::Store(_)) => {
                    struck.insert((number, failure));
                    // Killed and started again, every other time.
                    if number % 2 == 0 {
                        trustee = start();
                    }
                }
                Err(error) => panic!("{error}"),
            }
            // The budget of one is for the first review, from the intent on.
            if !shares.is_empty() {
                assert_eq!(code(settle(&world, &trustee, &presented, 1)), "trustee.budget");
            }
        }
        assert!(shares.len() >= 5 && shares.iter().all(|share| *share == shares[0]));
        let logged = releases(&world);
        assert_eq!(logged.len(), 1, "one release, whatever failed");
        assert_eq!(logged[0].sequence(), 1);
    }
    // Following, intending, following and judging, each before and after.
    assert!(struck.len() >= 8, "{struck:?}");
}

#[test]
fn a_store_that_was_put_back_is_refused_until_it_is_resynchronised() {
    let world = World::new(1, 1, 3, budgets(2, 2, 2));
    let presented = world.warrant(&[0, 1, 2]);
    let store = Arc::new(MemoryStore::new());
    let trustee = world.trustee(1, &store);
    trustee.follow(&world.openings).unwrap();
    let old = Arc::new(copy(&store));
    let first = share(&world, &presented, settle(&world, &trustee, &presented, 0).unwrap());

    let back = world.trustee(1, &old);
    for review in [0, 1] {
        assert_eq!(code(settle(&world, &back, &presented, review)), "trustee.rolled_back");
    }
    // It stays refused however often it is started.
    let back = world.trustee(1, &old);
    assert_eq!(back.follow(&world.openings).unwrap_err().code(), "trustee.rolled_back");
    assert_eq!(back.resynchronise(&world.openings).unwrap(), 1);
    assert_eq!(back.resynchronise(&world.openings).unwrap(), 0);
    let again = share(&world, &presented, settle(&world, &back, &presented, 0).unwrap());
    assert_eq!(again.element(), first.element());
    assert!(matches!(settle(&world, &back, &presented, 1), Ok(OpeningAnswer::Released(_))));
    assert_eq!(code(settle(&world, &back, &presented, 2)), "trustee.budget");
    let back = world.trustee(1, &old);
    assert!(matches!(settle(&world, &back, &presented, 1), Ok(OpeningAnswer::Released(_))));
    let sequences: Vec<u64> = releases(&world).iter().map(ShareReleasedEntry::sequence).collect();
    assert_eq!(sequences, [1, 2]);
}

#[test]
fn an_empty_store_takes_over_what_the_ledger_holds_of_its_trustee() {
    let world = World::new(1, 1, 3, budgets(2, 2, 2));
    let presented = world.warrant(&[0, 1, 2]);
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    for review in [0, 1] {
        assert!(matches!(settle(&world, &trustee, &presented, review), Ok(OpeningAnswer::Released(_))));
    }
    let fresh = world.trustee(1, &Arc::new(MemoryStore::new()));
    assert_eq!(fresh.follow(&world.openings).unwrap_err().code(), "trustee.rolled_back");
    assert_eq!(fresh.resynchronise(&world.openings).unwrap(), 2);
    // Its marks are lost: all entries count as of now, and nothing new is released.
    assert_eq!(code(settle(&world, &fresh, &presented, 2)), "trustee.budget");
    for review in [0, 1] {
        assert!(matches!(settle(&world, &fresh, &presented, review), Ok(OpeningAnswer::Released(_))));
    }
    world.pass(8 * unjoin_core::DAY);
    world.publish();
    assert!(matches!(settle(&world, &fresh, &presented, 2), Ok(OpeningAnswer::Released(_))));
    assert_eq!(releases(&world).last().unwrap().sequence(), 3);
}

#[test]
fn a_review_that_is_released_again_after_the_store_was_lost_is_known_to_be_opened() {
    let world = World::new(1, 1, 2, budgets(9, 9, 9));
    let presented = world.warrant(&[0]);
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    assert!(matches!(settle(&world, &trustee, &presented, 0), Ok(OpeningAnswer::Released(_))));
    let fresh = world.trustee(1, &Arc::new(MemoryStore::new()));
    assert_eq!(fresh.resynchronise(&world.openings).unwrap(), 1);
    assert!(matches!(settle(&world, &fresh, &presented, 0), Ok(OpeningAnswer::Released(_))));
    let cheap = world.sign(world.terms(WarrantAction::SameAuthor, &[0, 1]));
    world.log(&[world.entry(&cheap)]);
    for review in [0, 1] {
        assert_eq!(code(settle(&world, &fresh, &cheap, review)), "trustee.charge_as_opening");
    }
}

#[test]
fn what_somebody_else_signs_with_a_trustees_key_stops_that_trustee() {
    let world = World::new(2, 2, 2, budgets(9, 9, 9));
    let presented = world.warrant(&[0, 1]);
    let trustees = world.all_trustees();
    assert!(matches!(settle(&world, &trustees[0], &presented, 0), Ok(OpeningAnswer::Released(_))));
    let tag = presented.tag(&world.id(1));
    let forged =
        ShareReleasedEntry::sign(&stolen_key(1), OPENINGS, 1, 2, presented.commitment(), tag).unwrap();
    world.log(&[forged.to_bytes()]);
    assert_eq!(trustees[0].follow(&world.openings).unwrap_err().code(), "trustee.rolled_back");
    trustees[1].follow(&world.openings).unwrap();
}

/// A trustee who waits for long, and has followed one size.
fn cooling_off() -> (World, Arc<MemoryStore>, Trustee<MemoryStore>) {
    let mut world = World::new(1, 1, 1, budgets(1, 1, 1));
    world.policy.budgets.cooling_off = 1_000;
    let store = Arc::new(MemoryStore::new());
    let trustee = world.trustee(1, &store);
    world.log(&[vec![1]]);
    (world, store, trustee)
}

/// Two sizes that were followed; then checkpoints of two smaller ones, one of them cosigned later than those.
#[test]
fn marks_say_the_same_after_a_restart_whatever_order_they_came_in() {
    let (world, store, trustee) = cooling_off();
    let skipped = world.openings.checkpoint().unwrap().unwrap();
    world.pass(50);
    let presented = world.warrant(&[0]);
    let until = |trustee: &Trustee<MemoryStore>, presented: &PresentedWarrant| match trustee
        .answer(&world.request(presented, 0), &world.openings)
    {
        Ok(OpeningAnswer::Wait { until }) => until,
        other => panic!("{other:?}"),
    };
    let first = until(&trustee, &presented);
    world.pass(20);
    world.log(&[vec![2]]);
    assert_eq!(until(&trustee, &presented), first);
    let entries = world.openings.entries(0, 1).unwrap();
    let late = forked(&world, &entries).checkpoint().unwrap().unwrap();
    for note in [&late, &skipped, &late] {
        trustee.mark_checkpoint(note).unwrap();
        assert_eq!(until(&trustee, &presented), first);
        assert_eq!(until(&world.trustee(1, &store), &presented), first);
    }
    // A ledger whose witnesses' clocks go back is noted as it counts, too.
    let before = world.clock.now();
    world.log(&[vec![3]]);
    world.clock.set(before.saturating_sub(30));
    let presented = world.warrant(&[0]);
    assert_eq!(until(&trustee, &presented), until(&world.trustee(1, &store), &presented));
}

/// Three checkpoints that come late. The larger was cosigned before the smaller, and counts from the smaller's
/// time on: also when an earlier time of the smaller comes last.
#[test]
fn late_marks_whose_times_go_back_say_the_same_after_a_restart() {
    let (world, store, trustee) = cooling_off();
    let presented = world.warrant(&[0]);
    let begin = world.clock.now();
    world.pass(200);
    world.publish();
    let present = world.clock.now();
    let until = |trustee: &Trustee<MemoryStore>| match trustee
        .answer(&world.request(&presented, 0), &world.openings)
    {
        Ok(OpeningAnswer::Wait { until }) => until.as_unix_seconds() - begin.as_unix_seconds(),
        other => panic!("{other:?}"),
    };
    let (first, size) = (until(&trustee), world.openings.size().unwrap());
    for (size, cosigned, then) in [(size - 1, 100, first), (size, 50, 1_100), (size - 1, 40, 1_100)] {
        world.clock.set(begin.saturating_add(cosigned));
        let note = forked(&world, &world.openings.entries(0, size).unwrap()).checkpoint().unwrap().unwrap();
        world.clock.set(present);
        trustee.mark_checkpoint(&note).unwrap();
        assert_eq!(until(&trustee), then);
        assert_eq!(until(&world.trustee(1, &store)), then);
    }
}

#[test]
fn whatever_number_is_signed_with_a_stolen_key_its_trustee_has_numbers_left() {
    for number in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, (1 << 63) - 2] {
        let world = World::new(1, 1, 3, budgets(9, 9, 9));
        let presented = world.warrant(&[0, 1, 2]);
        let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
        let (key, tag) = (stolen_key(1), presented.tag(&world.id(2)));
        let forged = ShareReleasedEntry::sign(&key, OPENINGS, 1, number, presented.commitment(), tag);
        world.log(&[forged.unwrap().to_bytes()]);
        assert_eq!(trustee.resynchronise(&world.openings).unwrap(), 1);
        for review in [0, 1] {
            let answer = settle(&world, &trustee, &presented, review);
            assert!(matches!(answer, Ok(OpeningAnswer::Released(_))), "{number}: {answer:?}");
        }
        let numbers: Vec<u64> = releases(&world).iter().map(ShareReleasedEntry::sequence).collect();
        assert_eq!(numbers.len(), 3);
        assert!(numbers[1] != number && numbers[2] == numbers[1] + 1, "{numbers:?}");
    }
}

#[test]
fn a_void_entry_stays_void_and_stays_counted() {
    let world = World::new(1, 3, 3, budgets(1, 9, 9));
    let presented = world.warrant(&[0, 1, 2]);
    let store = Arc::new(MemoryStore::new());
    let trustees = [world.trustee(1, &Arc::new(MemoryStore::new())), world.trustee(2, &store)];
    // Two decide before either entry is logged.
    let entries =
        [0, 1].map(|at| match trustees[at].answer(&world.request(&presented, at), &world.openings) {
            Ok(OpeningAnswer::Append(entry)) => entry,
            other => panic!("{other:?}"),
        });
    for entry in entries {
        world.log(&[entry]);
    }
    assert!(matches!(settle(&world, &trustees[0], &presented, 0), Ok(OpeningAnswer::Released(_))));
    let void = |trustee: &Trustee<MemoryStore>| {
        let refused = settle(&world, trustee, &presented, 1).unwrap_err();
        assert!(matches!(refused, TrusteeError::Void(Excess::All(1))), "{refused}");
    };
    void(&trustees[1]);
    void(&world.trustee(2, &store));
    let third = world.trustee(3, &Arc::new(MemoryStore::new()));
    assert_eq!(code(settle(&world, &third, &presented, 2)), "trustee.budget");
    world.pass(8 * unjoin_core::DAY);
    world.publish();
    void(&trustees[1]);
    // Another trustee's entry for the review is judged by its own place.
    assert!(matches!(settle(&world, &trustees[0], &presented, 1), Ok(OpeningAnswer::Released(_))));
}

#[test]
fn a_corrupt_trustee_can_use_a_window_up_and_is_seen_to() {
    let world = World::new(2, 3, 3, budgets(2, 2, 9));
    let (waste, wanted) = (world.warrant(&[0, 1]), world.warrant(&[2]));
    let forge = |tag, sequence| {
        let (key, commitment) = (stolen_key(3), waste.commitment());
        ShareReleasedEntry::sign(&key, OPENINGS, 3, sequence, commitment, tag).unwrap().to_bytes()
    };
    // What the warrant does not list counts for nothing, and keeps nobody's release out.
    world.log(&[forge([1; 32], 1), forge([2; 32], 2), forge([3; 32], 3)]);
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    assert!(trustee.status(None, &world.openings).unwrap().openings.all == 0);
    world.log(&[forge(waste.tags()[0], 4), forge(waste.tags()[1], 5)]);
    assert_eq!(code(settle(&world, &trustee, &wanted, 2)), "trustee.budget");
    world.pass(8 * unjoin_core::DAY);
    world.publish();
    assert!(matches!(settle(&world, &trustee, &wanted, 2), Ok(OpeningAnswer::Released(_))));
    assert!(matches!(settle(&world, &trustee, &waste, 0), Ok(OpeningAnswer::Released(_))));
    let mut by_trustee = BTreeMap::new();
    releases(&world).iter().for_each(|entry| *by_trustee.entry(entry.trustee()).or_insert(0) += 1);
    assert_eq!(by_trustee, [(1, 2), (3, 5)].into());
}

#[test]
fn trustees_charge_their_own_stores() {
    let world = World::new(1, 2, 1, budgets(1, 1, 1));
    let presented = world.warrant(&[0]);
    for trustee in &world.all_trustees() {
        assert!(matches!(settle(&world, trustee, &presented, 0), Ok(OpeningAnswer::Released(_))));
    }
    let sequences: Vec<_> = releases(&world).iter().map(|e| (e.trustee(), e.sequence())).collect();
    assert_eq!(sequences, [(1, 1), (2, 1)]);
}

#[test]
fn the_rows_of_a_trustee_name_no_review_and_no_requester() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    let presented = world.warrant(&[0]);
    let store = Arc::new(MemoryStore::new());
    assert!(matches!(
        settle(&world, &world.trustee(1, &store), &presented, 0),
        Ok(OpeningAnswer::Released(_))
    ));
    let (id, digest, blind) = (world.id(0), presented.warrant().digest(), *presented.blind());
    let hidden: [&[u8]; 4] = [id.as_bytes(), &digest, &blind, crate::test_util::world::COURT.as_bytes()];
    assert!(!hidden.iter().any(|secret| holds_bytes(&store, secret)));
}
