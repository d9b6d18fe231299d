//! A ledger is a list without duplicates that only grows, whatever fails.

use crate::world::{checked_entries, entry, open, put_into_outbox, waiting};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use unjoin::ledger::LogError;
use unjoin::store::{MemoryStore, Store};
use unjoin_test_util::{Directory, Failure, Faulty};

#[derive(Clone, Debug)]
enum Step {
    /// From this number on, and how many.
    Append(u64, u64),
    /// One, into the outbox of this store, in the bucket of this owner.
    Outbox(usize, u8, u64),
    Sequence,
    Sign,
}

/// The store whose commit fails, and after how many others.
#[derive(Clone, Debug)]
struct Planned {
    store: usize,
    after: usize,
    how: Failure,
}

type Steps = Vec<(Step, Option<Planned>)>;

fn steps() -> impl Strategy<Value = Steps> {
    let step = prop_oneof![
        (0u64..900, 1u64..300).prop_map(|(from, count)| Step::Append(from, count)),
        (0u64..900, 1u64..6).prop_map(|(from, count)| Step::Append(from, count)),
        (0usize..3, 0u8..4, 0u64..900).prop_map(|(store, owner, entry)| Step::Outbox(store, owner, entry)),
        (0usize..3, 0u8..4, 0u64..900).prop_map(|(store, owner, entry)| Step::Outbox(store, owner, entry)),
        Just(Step::Sequence),
        Just(Step::Sign),
    ];
    let failure = prop::sample::select(&Failure::ALL[..]);
    let planned =
        (0usize..3, 0usize..2, failure).prop_map(|(store, after, how)| Planned { store, after, how });
    prop::collection::vec((step, prop::option::weighted(0.4, planned)), 1..25)
}

/// The third store is the ledger's own.
fn run<S: Store>(stores: [S; 3], steps: Steps) {
    let stores = stores.map(|store| Arc::new(Faulty::new(store)));
    let sources: Vec<&dyn Store> = stores.iter().map(|store| &**store as &dyn Store).collect();
    let (mut list, mut wanted) = (Vec::new(), BTreeSet::new());
    let mut roots = BTreeMap::new();
    for (step, failure) in steps {
        // A sequencer remembers nothing.
        let log = open(&stores[2], None);
        if let Some(failure) = failure.filter(|_| !matches!(step, Step::Outbox(..))) {
            stores[failure.store].fail(failure.after, failure.how);
        }
        let attempt = || -> Result<(), LogError> {
            match &step {
                Step::Append(from, count) => {
                    let entries: Vec<_> = (*from..from + count).map(entry).collect();
                    let indices = log.append(&entries)?;
                    assert_eq!(indices.len(), entries.len());
                }
                Step::Outbox(store, owner, number) => {
                    put_into_outbox(&*stores[*store], &[*owner], &entry(*number))
                }
                Step::Sequence => drop(log.sequence(&sources)?),
                Step::Sign => drop(log.sign()?),
            }
            Ok(())
        };
        match &step {
            Step::Append(from, count) => wanted.extend((*from..from + count).map(entry)),
            Step::Outbox(_, _, number) => drop(wanted.insert(entry(*number))),
            Step::Sequence | Step::Sign => {}
        }
        if attempt().is_err() {
            attempt().unwrap();
        }
        // A plan that was not reached is forgotten.
        stores.iter().for_each(|store| _ = store.failed());
        let entries = checked_entries(&log);
        assert!(entries.starts_with(&list), "the ledger only grows");
        assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), entries.len(), "an entry stands once");
        assert!(entries.iter().all(|entry| wanted.contains(entry)));
        let signed = log.sign().unwrap();
        let root = *roots.entry(signed.size()).or_insert(*signed.root());
        assert_eq!(root, *signed.root(), "one root for a size");
        list = entries;
    }
    let log = open(&stores[2], None);
    log.sequence(&sources).unwrap();
    assert_eq!(checked_entries(&log).into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(stores.iter().map(|store| waiting(&**store)).sum::<usize>(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_in_memory_is_a_list_without_duplicates(steps in steps()) {
        run([MemoryStore::new(), MemoryStore::new(), MemoryStore::new()], steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_in_a_file_is_a_list_without_duplicates(steps in steps()) {
        let directory = Directory::new();
        let store = |name| unjoin_test_util::redb(directory.file(name)).unwrap();
        run([store("orders"), store("reviews"), store("ledger")], steps);
    }
}

#[test]
fn groups_of_any_size_leave_the_same_ledger() {
    let entries: Vec<_> = (0..70_000).map(entry).collect();
    let ledger = |groups: &[usize]| {
        let store = Arc::new(MemoryStore::new());
        let log = open(&store, None);
        let (mut from, mut groups) = (0, groups.iter().cycle());
        while from < entries.len() {
            let to = entries.len().min(from + groups.next().unwrap());
            let indices = log.append(&entries[from..to]).unwrap();
            assert!(indices.into_iter().eq(from as u64..to as u64));
            from = to;
        }
        assert_eq!(checked_entries(&log), entries);
        *log.sign().unwrap().root()
    };
    assert_eq!(ledger(&[70_000]), ledger(&[1, 255, 256, 257, 4_096, 9_000]));
}

#[test]
fn an_entry_that_is_too_long_is_refused_before_anything_is_appended() {
    let store = Arc::new(MemoryStore::new());
    let log = open(&store, None);
    let refused = log.append(&[entry(1), vec![0; 65_536]]).unwrap_err();
    assert_eq!((refused.code(), log.size().unwrap()), ("ledger.entry_too_long", 0));
    assert_eq!(log.append(&[vec![0; 65_535]]).unwrap(), [0]);
}
