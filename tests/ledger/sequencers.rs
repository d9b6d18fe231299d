//! Two sequencers, and the order in which entries come out.

use crate::world::{LEDGER, checked_entries, entry, log_key, open, put_into_outbox};
use std::collections::BTreeSet;
use std::sync::Arc;
use unjoin::ledger::{Ledger, Log, LogView, entry_id};
use unjoin::store::identity::Role;
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin_test_util::{Call, Faulty, own};

#[test]
fn two_sequencers_never_fork() {
    let store = Arc::new(MemoryStore::new());
    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            let log = open(&store, None);
            scope.spawn(move || {
                for round in 0..60 {
                    // Each range is appended by two of them.
                    let from = (worker / 2) * 10_000 + round * 7;
                    let entries: Vec<_> = (from..from + 9).map(entry).collect();
                    let indices = log.append(&entries).unwrap();
                    assert_eq!(indices.iter().collect::<BTreeSet<_>>().len(), 9);
                    drop(log.sign().unwrap());
                }
            });
        }
    });
    let entries = checked_entries(&open(&store, None));
    assert_eq!(entries.len(), 2 * (59 * 7 + 9));
    assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), entries.len());
}

#[test]
fn what_another_sequencer_appends_between_reading_and_writing_is_kept() {
    let store = Arc::new(Faulty::in_memory());
    let log = open(&store, None);
    log.append(&[entry(0)]).unwrap();
    let other = open(&store, None);
    store.before(Call::Commit, 0, move || {
        assert_eq!(other.append(&[entry(2), entry(1)]).unwrap(), [1, 2]);
    });
    assert_eq!(log.append(&[entry(1), entry(3)]).unwrap(), [2, 3]);
    assert_eq!(checked_entries(&log), [entry(0), entry(2), entry(1), entry(3)]);
}

#[test]
fn the_head_row_alone_guards_an_append() {
    let store = Arc::new(Faulty::in_memory());
    let log = open(&store, None);
    for from in [0, 300] {
        log.append(&(from..from + 400).map(entry).collect::<Vec<_>>()).unwrap();
        let commits = store.commits();
        let guarded = &commits.last().unwrap().preconditions;
        let guarded: Vec<&[u8]> = guarded.iter().map(|expected| expected.key()).collect();
        assert_eq!(guarded, [[b"lh".as_slice(), &[LEDGER as u8]].concat()]);
    }
}

#[test]
fn the_order_within_a_group_does_not_tell_arrival() {
    let histories: [Vec<u64>; 2] = [(0..200).collect(), (0..200).rev().collect()];
    let ledgers = histories.map(|history| {
        let [orders, reviews] = [MemoryStore::new(), MemoryStore::new()];
        for number in history {
            let store = if number % 3 == 0 { &orders } else { &reviews };
            put_into_outbox(store, &[number as u8], &entry(number));
        }
        let log = open(&Arc::new(MemoryStore::new()), None);
        assert_eq!(log.sequence(&[&orders, &reviews]).unwrap(), 200);
        checked_entries(&log)
    });
    let by_id = |is_order: bool| {
        let mut entries: Vec<_> = (0..200).filter(|n| (n % 3 == 0) == is_order).map(entry).collect();
        entries.sort_by_key(|entry| entry_id(entry));
        entries
    };
    let expected = [by_id(true), by_id(false)].concat();
    assert_eq!(ledgers, [expected.clone(), expected]);
}

/// A manifest waits in the orders' store before the first review of its cohort waits in the
/// reviews' store; in the ledger it stands before it, too.
#[test]
fn what_was_written_to_an_earlier_store_first_stands_first() {
    for when in 0..3 * Bucket::all().count() {
        let [orders, reviews] = [(); 2].map(|()| Arc::new(Faulty::in_memory()));
        // As ids go, half of the pairs are the wrong way round.
        let pairs: Vec<_> = (0..20u64).map(|n| (entry(n), entry(100 + n))).collect();
        let write = {
            let (orders, reviews, pairs) = (Arc::clone(&orders), Arc::clone(&reviews), pairs.clone());
            move || {
                for (first, then) in &pairs {
                    put_into_outbox(&orders.rows, first, first);
                    put_into_outbox(&reviews.rows, then, then);
                }
            }
        };
        // At any time while the sequencer reads: both come between two of its scans.
        if when % 2 == 0 { &orders } else { &reviews }.before(Call::Scan, when / 2, write);
        let log = open(&Arc::new(MemoryStore::new()), None);
        let sources: [&dyn Store; 2] = [&*orders, &*reviews];
        let moved: u64 = (0..4).map(|_| log.sequence(&sources).unwrap()).sum();
        assert_eq!(moved, 40);
        let entries = checked_entries(&log);
        let at = |wanted: &Vec<u8>| entries.iter().position(|entry| entry == wanted).unwrap();
        assert!(pairs.iter().all(|(first, then)| at(first) < at(then)));
    }
}

#[test]
fn the_two_ledgers_share_a_store_and_nothing_else() {
    let store = Arc::new(MemoryStore::new());
    let openings = Log::open(own(&store, Role::Ledgers), Ledger::Openings, log_key(), None).unwrap();
    let reviews = open(&store, None);
    assert_eq!(openings.append(&[entry(1)]).unwrap(), [0]);
    assert_eq!(reviews.append(&[entry(2), entry(1)]).unwrap(), [0, 1]);
    assert_eq!(openings.entries(0, 9).unwrap(), [entry(1)]);
    put_into_outbox(&*store, b"m", &entry(7));
    assert_eq!(openings.sequence(&[&*store]).unwrap(), 0);
    assert_eq!(reviews.sequence(&[&*store]).unwrap(), 1);
}

#[test]
fn a_store_that_lost_what_was_signed_signs_nothing() {
    let store = Arc::new(MemoryStore::new());
    let log = open(&store, None);
    log.append(&[entry(1), entry(2)]).unwrap();
    let signed = log.sign().unwrap();
    assert_eq!(log.sign().unwrap(), signed);
    // The rows of the tree, but not what was signed, as of another time.
    let other = Arc::new(MemoryStore::new());
    open(&other, None).append(&[entry(3), entry(4), entry(5)]).unwrap();
    let rolled_back = Arc::new(MemoryStore::new());
    open(&rolled_back, None).append(&[entry(1)]).unwrap();
    for tree in [other, rolled_back] {
        let bucket = Bucket::of(&[b'l', LEDGER as u8]);
        let row = &store.scan(bucket, b"lc", None, 1).unwrap()[0];
        tree.commit(&[Commit::new(bucket).put(row.key.clone(), row.value.clone())]).unwrap();
        assert_eq!(open(&tree, None).sign().unwrap_err().code(), "ledger.forked");
    }
}
