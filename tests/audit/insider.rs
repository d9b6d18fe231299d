//! A bribed insider, and what the audit finds.

use crate::program::{Arguments, run};
use crate::world::{
    Author, BOUNDARY, ORIGIN, World, at, audit_of, keys, log_key, logged, manifest, scope, staff_key,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use unjoin::audit::{AuditError, Finding, History, PublishedSet};
use unjoin::ledger::tile::TileId;
use unjoin::ledger::{
    ActionEntry, Ledger, Log, LogView, PolicyError, PublishedEntry, SignedCheckpoint, ViewError, export, tree,
};
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::token::{Review, ReviewId};
use unjoin::wire::Message;
use unjoin::{Clock, DAY};
use unjoin_test_util::{Directory, fresh, hex};

fn id(number: u64) -> ReviewId {
    Author::new(number).id()
}

fn review(number: u64, edit: u64) -> Review {
    Author::new(number).review(edit)
}

fn published(number: u64) -> Vec<u8> {
    Author::new(number).published().to_bytes()
}

fn edited(number: u64, sequence: u64) -> Vec<u8> {
    logged(Author::new(number).edit(sequence))
}

fn withdrawn(number: u64) -> Vec<u8> {
    logged(Author::new(number).withdraw(1))
}

fn removed(number: u64) -> Vec<u8> {
    Author::new(number).removed(&keys().staff[0], ORIGIN).to_bytes()
}

/// What stands before all the rest.
fn first_entries() -> Vec<Vec<u8>> {
    vec![manifest(scope("lamps.example", 1)).to_bytes(), staff_key(&keys().staff[0], "court")]
}

fn arguments(directory: &Path, published: &Path) -> Arguments {
    arguments_at(60, directory, published)
}

fn arguments_at(seconds: u64, directory: &Path, published: &Path) -> Arguments {
    let platform = hex(keys().platform.public().as_bytes());
    let of_reviews = ["--published", published.to_str().unwrap(), "--platform", &platform];
    audit_of(directory, at(seconds), &of_reviews)
}

#[test]
fn the_audit_finds_a_thousand_deleted_reviews_and_no_other() {
    const REVIEWS: u64 = 5_000;
    let directory = Directory::new();
    let path = directory.file("audit");
    fs::create_dir(&path).unwrap();
    let world = World::new(Ledger::Reviews);
    let mut entries = first_entries();
    entries.extend((0..REVIEWS).map(published));
    entries.extend((0..REVIEWS).filter(|n| n % 10 == 1).map(|n| edited(n, 1)));
    entries.extend((0..REVIEWS).filter(|n| n % 10 == 2).map(withdrawn));
    entries.extend((0..REVIEWS).filter(|n| n % 100 == 3).map(removed));
    fs::write(path.join("older"), world.publish(&entries)).unwrap();
    // Between the checkpoints things go on as they should.
    let late = [published(REVIEWS), edited(5, 1), withdrawn(6), removed(7)];
    world.publish(&late);
    fs::write(path.join("trust"), world.policy_text()).unwrap();
    export(&world.log, &path.join("ledger")).unwrap();

    // What is shown: some of what is late already, some not yet.
    let mut shown: BTreeMap<u64, u64> =
        (0..REVIEWS).filter(|n| n % 10 != 2 && n % 100 != 3).map(|n| (n, 0)).collect();
    shown.iter_mut().filter(|(n, _)| **n % 10 == 1).for_each(|(_, edit)| *edit = 1);
    shown.insert(5, 1);
    shown.remove(&6);
    let csv = |shown: &BTreeMap<u64, u64>| {
        let mut text = "review_id,stars,merchant,review_digest\n".to_owned();
        for (number, edit) in shown {
            text += &format!(
                "{},1,lamps.example,{}\n",
                hex(id(*number).as_bytes()),
                hex(&review(*number, *edit).digest())
            );
        }
        let file = path.join("published.csv");
        fs::write(&file, text).unwrap();
        file
    };
    let told = run(&arguments(&path, &csv(&shown))).unwrap();
    assert_eq!(told.findings, Vec::<String>::new());
    assert_eq!(told.notes[0], "checkpoint of 6056 entries, cosigned at 1700000000");
    assert_eq!(told.notes[1], "removed by court: 51");
    assert_eq!(told.notes.len(), 2 + 51);
    // A checkpoint that is too old is no audit of today.
    let late = run(&arguments_at(3 * DAY, &path, &csv(&shown)));
    assert!(late.is_err_and(|error| error.to_string().contains("not of this time")));

    // A thousand bad ones, gone.
    let deleted: Vec<u64> = shown.keys().copied().filter(|n| n % 4 == 0 || n % 4 == 1).take(1_000).collect();
    assert!(deleted.contains(&5));
    shown.retain(|number, _| !deleted.contains(number));
    let found: BTreeSet<String> =
        run(&arguments(&path, &csv(&shown))).unwrap().findings.into_iter().collect();
    let expected: BTreeSet<String> =
        deleted.iter().map(|number| format!("dropped {}", hex(id(*number).as_bytes()))).collect();
    assert_eq!(expected.len(), 1_000);
    assert_eq!(found, expected);

    // The same as JSON lines with the reviews themselves, one of them in other words, and one
    // that nobody ever published.
    let mut text = String::new();
    for (number, edit) in shown.iter().map(|(n, edit)| (*n, *edit)).chain([(77_777, 0)]) {
        let edit = if number == 11 { 8 } else { edit };
        let row = serde_json::json!({ "review_id": hex(id(number).as_bytes()), "merchant": "lamps.example", "review": review(number, edit) });
        text += &format!("{row}\n");
    }
    let file = path.join("published.jsonl");
    fs::write(&file, text).unwrap();
    let mut expected = expected;
    let (was, is) = (review(11, 1).digest(), review(11, 8).digest());
    expected.insert(format!("altered {} logged {} shown {}", hex(id(11).as_bytes()), hex(&was), hex(&is)));
    expected.insert(format!("unlogged {}", hex(id(77_777).as_bytes())));
    assert_eq!(
        run(&arguments(&path, &file)).unwrap().findings.into_iter().collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn entries_that_contradict_others_are_named() {
    let world = World::new(Ledger::Reviews);
    let twice = PublishedEntry { review_digest: [9; 32], ..Author::new(1).published() }.to_bytes();
    // The same action at another boundary.
    let again = ActionEntry { action: Author::new(1).edit(1), boundary: BOUNDARY.saturating_add(1) };
    let taken_back = Author::new(1).taken_back().to_bytes();
    let older = world.publish(&[first_entries(), vec![published(1), edited(1, 1), vec![1, 200, 0]]].concat());
    world.publish(&[twice, again.to_bytes(), taken_back, vec![], vec![1, 16]]);
    let shown = PublishedSet::from([Author::new(1).shown(1)]);
    let entries = [4, 5, 6, 7, 8, 9].map(|index| Finding::Entry { index });
    assert_eq!(world.findings(&older, &shown), entries);
}

/// A copy of a ledger with another checkpoint, or other tiles.
struct Copy<'a> {
    of: &'a Log<MemoryStore>,
    checkpoint: Vec<u8>,
    spoilt: bool,
}

impl LogView for Copy<'_> {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(Some(self.checkpoint.clone()))
    }

    fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
        let tile = self.of.tile(id)?;
        Ok(tile.map(|mut tile| {
            tile[20] ^= u8::from(self.spoilt);
            tile
        }))
    }
}

#[test]
fn only_two_cosigned_checkpoints_accuse_anybody() {
    let world = World::new(Ledger::Reviews);
    let older = world.publish(&[published(1), published(2)]);
    let read = |ledger: &dyn LogView, older: Option<&[u8]>| {
        History::read(ledger, &world.policy, older, world.clock.now()).map(drop)
    };
    // Another log under the same key and a witness that has forgotten, or helps.
    for entries in [&[3, 4][..], &[3, 4, 5], &[1, 3, 2]] {
        let other = World::new(Ledger::Reviews);
        let newer = other.publish(&entries.iter().map(|number| published(*number)).collect::<Vec<_>>());
        assert!(matches!(read(&other.log, Some(&older)), Err(AuditError::Rewritten)));
        // With entries that are neither's, nothing is said of the log but by two roots for one size.
        let bad = Copy { of: &other.log, checkpoint: newer, spoilt: true };
        let found = read(&bad, Some(&older)).unwrap_err();
        assert_eq!(found.code(), if entries.len() == 2 { "audit.rewritten" } else { "audit.view" });
    }
    let bad = Copy { of: &world.log, checkpoint: older.clone(), spoilt: true };
    assert!(matches!(read(&bad, None), Err(AuditError::View(ViewError::Malformed))));
    assert!(matches!(read(&bad, Some(&older)), Err(AuditError::View(ViewError::Malformed))));
    // A copy that is behind.
    let newer = world.publish(&[published(3)]);
    let behind = Copy { of: &world.log, checkpoint: older.clone(), spoilt: false };
    assert!(matches!(read(&behind, Some(&newer)), Err(AuditError::Stale)));
    assert!(read(&world.log, Some(&older)).is_ok());
}

#[test]
fn a_ledger_is_read_that_is_published_cosigned_and_fresh() {
    let world = World::new(Ledger::Reviews);
    let read = |ledger: &dyn LogView, older: Option<&[u8]>, now| {
        History::read(ledger, &world.policy, older, now).map(drop)
    };
    let empty = Log::open(fresh(Role::Ledgers), Ledger::Reviews, log_key("log"), None).unwrap();
    assert!(matches!(read(&empty, None, at(0)), Err(AuditError::Unpublished)));
    let unwitnessed = SignedCheckpoint::sign(0, tree::empty_root(), &log_key("log")).unwrap();
    let older = world.publish(&[published(1)]);
    let found = read(&world.log, Some(&unwitnessed.to_bytes()), at(0));
    assert!(matches!(found, Err(AuditError::Policy(PolicyError::NoQuorum))));
    // A ledger that stopped does not audit clean; the older checkpoint may be of any age.
    assert!(matches!(read(&world.log, None, at(61)), Err(AuditError::Policy(PolicyError::Stale))));
    world.clock.set(at(1_000));
    world.publish(&[]);
    assert!(read(&world.log, Some(&older), at(1_060)).is_ok());
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
        let mut entries = first_entries();
        let before = entries.len();
        for (number, (fate, ..)) in (0u64..).zip(&fates) {
            let all = [vec![published(number)], vec![published(number), edited(number, 1)],
                vec![published(number), edited(number, 1), edited(number, 2)],
                vec![published(number), withdrawn(number)], vec![published(number), removed(number)]];
            entries.extend(all[*fate].clone());
        }
        let cut = before + cut % (entries.len() + 1 - before);
        let older = world.publish(&entries[..cut]);
        world.publish(&entries[cut..]);
        // What each review was, one after the other.
        let mut at_older: BTreeMap<u64, Option<u64>> = BTreeMap::new();
        let mut since: BTreeMap<u64, Vec<Option<u64>>> = BTreeMap::new();
        let mut position = before;
        for (number, (fate, ..)) in (0u64..).zip(&fates) {
            let steps: &[Option<u64>] = [&[Some(0)][..], &[Some(0), Some(1)], &[Some(0), Some(1), Some(2)],
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
                shown.extend([Author::new(number).shown(edit)]);
            }
        }
        let found: BTreeSet<_> = world.findings(&older, &shown).into_iter().map(|finding| match finding {
            Finding::Dropped { review_id } | Finding::Altered { review_id, .. } | Finding::Unlogged { review_id } => review_id,
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(found, expected);
    }
}
