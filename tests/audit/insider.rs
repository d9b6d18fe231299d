//! A bribed insider, and what the audit finds.

use crate::program::{Arguments, run};
use crate::world::{World, at, log_key};
use clap::Parser as _;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use unjoin::Timestamp;
use unjoin::audit::{AuditError, Finding, History, PublishedSet, audit_reviews};
use unjoin::ledger::{
    EditedEntry, Ledger, Log, LogView, PublishedEntry, RemovedEntry, SignedCheckpoint, WithdrawnEntry,
    entry_id, export,
};
use unjoin::store::MemoryStore;
use unjoin::token::{Review, ReviewId};
use unjoin::wire::Message;
use unjoin_test_util::{Directory, hex};

const BOUNDARY: Timestamp = Timestamp::from_unix_seconds(1_700_438_400);

fn id(number: u64) -> ReviewId {
    ReviewId(entry_id(&number.to_le_bytes()))
}

fn review(number: u64, edit: u64) -> Review {
    Review::new(1, format!("review {number}, edition {edit}"), vec![]).unwrap()
}

fn published(number: u64) -> Vec<u8> {
    let (review_id, review_digest) = (id(number), review(number, 0).digest());
    PublishedEntry { review_id, review_digest, presentation_hash: [3; 32], boundary: BOUNDARY }.to_bytes()
}

fn edited(number: u64, sequence: u64) -> Vec<u8> {
    let (review_id, review_digest) = (id(number), review(number, sequence).digest());
    EditedEntry { review_id, sequence, review_digest, proof_hash: [4; 32], boundary: BOUNDARY }.to_bytes()
}

fn withdrawn(number: u64) -> Vec<u8> {
    WithdrawnEntry { review_id: id(number), sequence: 9, proof_hash: [4; 32], boundary: BOUNDARY }.to_bytes()
}

fn removed(number: u64) -> Vec<u8> {
    let (who, grounds) = (b"court".to_vec(), "an order".to_owned());
    RemovedEntry { review_id: id(number), review_digest: review(number, 0).digest(), who, grounds }.to_bytes()
}

fn arguments(directory: &Path, published: &Path) -> Arguments {
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    Arguments::parse_from([
        "audit",
        "--policy",
        &file("policy"),
        "--ledger",
        &file("ledger"),
        "--older",
        &file("older"),
        "--published",
        published.to_str().unwrap(),
    ])
}

#[test]
fn the_audit_finds_a_thousand_deleted_reviews_and_no_other() {
    const REVIEWS: u64 = 5_000;
    let directory = Directory::new();
    let path = directory.file("audit");
    fs::create_dir(&path).unwrap();
    let world = World::new(Ledger::Reviews);
    let mut entries: Vec<_> = (0..REVIEWS).map(published).collect();
    entries.extend((0..REVIEWS).filter(|n| n % 10 == 1).map(|n| edited(n, 1)));
    entries.extend((0..REVIEWS).filter(|n| n % 10 == 2).map(withdrawn));
    entries.extend((0..REVIEWS).filter(|n| n % 100 == 3).map(removed));
    fs::write(path.join("older"), world.publish(&entries)).unwrap();
    // Between the checkpoints things go on as they should.
    let late = [published(REVIEWS), edited(5, 1), withdrawn(6), removed(7)];
    world.publish(&late);
    fs::write(path.join("policy"), world.policy_text()).unwrap();
    export(&world.log, &path.join("ledger")).unwrap();

    // What is shown: some of what is late already, some not yet.
    let mut shown: BTreeMap<u64, u64> =
        (0..REVIEWS).filter(|n| n % 10 != 2 && n % 100 != 3).map(|n| (n, 0)).collect();
    shown.iter_mut().filter(|(n, _)| **n % 10 == 1).for_each(|(_, edit)| *edit = 1);
    shown.insert(5, 1);
    shown.remove(&6);
    let csv = |shown: &BTreeMap<u64, u64>| {
        let mut text = "review_id,stars,review_digest\n".to_owned();
        for (number, edit) in shown {
            text += &format!("{},1,{}\n", hex(id(*number).as_bytes()), hex(&review(*number, *edit).digest()));
        }
        let file = path.join("published.csv");
        fs::write(&file, text).unwrap();
        file
    };
    assert_eq!(run(&arguments(&path, &csv(&shown))).unwrap(), Vec::<String>::new());

    // A thousand bad ones, gone.
    let deleted: Vec<u64> = shown.keys().copied().filter(|n| n % 4 == 0 || n % 4 == 1).take(1_000).collect();
    assert!(deleted.contains(&5));
    shown.retain(|number, _| !deleted.contains(number));
    let found: BTreeSet<String> = run(&arguments(&path, &csv(&shown))).unwrap().into_iter().collect();
    let expected: BTreeSet<String> =
        deleted.iter().map(|number| format!("dropped {}", hex(id(*number).as_bytes()))).collect();
    assert_eq!(expected.len(), 1_000);
    assert_eq!(found, expected);

    // The same as JSON lines with the reviews themselves, one of them in other words, and one
    // that nobody ever published.
    let mut text = String::new();
    for (number, edit) in shown.iter().map(|(n, edit)| (*n, *edit)).chain([(77_777, 0)]) {
        let edit = if number == 11 { 8 } else { edit };
        let row =
            serde_json::json!({ "review_id": hex(id(number).as_bytes()), "review": review(number, edit) });
        text += &format!("{row}\n");
    }
    let file = path.join("published.jsonl");
    fs::write(&file, text).unwrap();
    let mut expected = expected;
    let (was, is) = (review(11, 1).digest(), review(11, 8).digest());
    expected.insert(format!("altered {} logged {} shown {}", hex(id(11).as_bytes()), hex(&was), hex(&is)));
    expected.insert(format!("unlogged {}", hex(id(77_777).as_bytes())));
    assert_eq!(run(&arguments(&path, &file)).unwrap().into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn entries_that_contradict_others_are_named() {
    let world = World::new(Ledger::Reviews);
    let twice = PublishedEntry::from_bytes(&published(1)).unwrap();
    let twice = PublishedEntry { review_digest: [9; 32], ..twice }.to_bytes();
    let again = EditedEntry::from_bytes(&edited(1, 1)).unwrap();
    let again = EditedEntry { review_digest: [9; 32], ..again }.to_bytes();
    let older = world.publish(&[published(1), edited(1, 1), vec![1, 200, 0]]);
    world.publish(&[twice, again, vec![], vec![1, 16]]);
    let history = History::read(&world.log, &world.policy, Some(&older)).unwrap();
    let shown = PublishedSet::from([(id(1), review(1, 1).digest())]);
    let entries = [2, 3, 4, 5, 6].map(|index| Finding::Entry { index });
    assert_eq!(audit_reviews(&history, &shown), entries);
}

#[test]
fn a_history_that_was_changed_has_not_the_older_checkpoints_root() {
    let world = World::new(Ledger::Reviews);
    let older = world.publish(&[published(1), published(2)]);
    // Another log under the same key and a witness that has forgotten, or helps.
    let other = World::new(Ledger::Reviews);
    other.publish(&[published(1), published(3), published(4)]);
    let read = History::read(&other.log, &other.policy, Some(&older));
    assert!(matches!(read, Err(AuditError::Rewritten)));
    let shorter = World::new(Ledger::Reviews);
    shorter.publish(&[published(1)]);
    assert!(matches!(History::read(&shorter.log, &shorter.policy, Some(&older)), Err(AuditError::Rewritten)));
    // Entries that are not those of the checkpoint.
    struct Liar<'a>(&'a Log<MemoryStore>);
    impl LogView for Liar<'_> {
        fn checkpoint(&self) -> Result<Option<Vec<u8>>, unjoin::ledger::ViewError> {
            self.0.checkpoint()
        }
        fn tile(
            &self,
            id: unjoin::ledger::tile::TileId,
        ) -> Result<Option<Vec<u8>>, unjoin::ledger::ViewError> {
            let tile = self.0.tile(id)?;
            Ok(tile.map(|mut tile| {
                tile[20] ^= 1;
                tile
            }))
        }
    }
    assert!(matches!(History::read(&Liar(&world.log), &world.policy, None), Err(AuditError::Rewritten)));
    // Unsigned, or nothing yet.
    let empty = Log::open(Arc::new(MemoryStore::new()), Ledger::Reviews, log_key("log"), None).unwrap();
    assert!(matches!(History::read(&empty, &world.policy, None), Err(AuditError::Unpublished)));
    let unwitnessed = SignedCheckpoint::sign(0, unjoin::ledger::tree::empty_root(), &log_key("log")).unwrap();
    let read = History::read(&world.log, &world.policy, Some(&unwitnessed.to_bytes()));
    assert!(matches!(read, Err(AuditError::Policy(_))));
    world.clock.set(at(9));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to a review, in whatever order it is logged: what was shown at any time
    /// between the checkpoints is never named, and what never was always is.
    #[test]
    fn the_audit_names_exactly_what_was_never_so(
        fates in prop::collection::vec((0usize..5, any::<bool>(), any::<u8>()), 1..30),
        cut in 0usize..100,
    ) {
        let world = World::new(Ledger::Reviews);
        let mut entries = Vec::new();
        for (number, (fate, ..)) in (0u64..).zip(&fates) {
            let all = [vec![published(number)], vec![published(number), edited(number, 1)],
                vec![published(number), edited(number, 1), edited(number, 3)],
                vec![published(number), withdrawn(number)], vec![published(number), removed(number)]];
            entries.extend(all[*fate].clone());
        }
        let cut = cut % (entries.len() + 1);
        let older = world.publish(&entries[..cut]);
        world.publish(&entries[cut..]);
        let history = History::read(&world.log, &world.policy, Some(&older)).unwrap();
        // What each review was, one after the other.
        let mut at_older: BTreeMap<u64, Option<u64>> = BTreeMap::new();
        let mut since: BTreeMap<u64, Vec<Option<u64>>> = BTreeMap::new();
        let mut position = 0;
        for (number, (fate, ..)) in (0u64..).zip(&fates) {
            let steps: &[Option<u64>] = [&[Some(0)][..], &[Some(0), Some(1)], &[Some(0), Some(1), Some(3)],
                &[Some(0), None], &[Some(0), None]][*fate];
            at_older.insert(number, None);
            for step in steps {
                if position < cut {
                    at_older.insert(number, *step);
                } else {
                    since.entry(number).or_default().push(*step);
                }
                position += 1;
            }
        }
        let mut shown = PublishedSet::new();
        let mut expected = BTreeSet::new();
        for (number, (_, honest, pick)) in (0u64..).zip(&fates) {
            let mut allowed = vec![at_older[&number]];
            allowed.extend(since.get(&number).into_iter().flatten());
            let state = if *honest { allowed[usize::from(*pick) % allowed.len()] } else { [None, Some(0), Some(7)][usize::from(*pick) % 3] };
            if !allowed.contains(&state) {
                expected.insert(id(number));
            }
            if let Some(edit) = state {
                shown.insert(id(number), review(number, edit).digest());
            }
        }
        let found: BTreeSet<_> = audit_reviews(&history, &shown).into_iter().map(|finding| match finding {
            Finding::Dropped { review_id } | Finding::Altered { review_id, .. } | Finding::Unlogged { review_id } => review_id,
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(found, expected);
    }
}
