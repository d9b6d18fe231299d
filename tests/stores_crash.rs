//! A power loss at any write of creating, opening and marking stores, and kills at random moments, rewrites included: what was
//! answered is there, and every state opens, or is one in which creation goes on.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use unjoin::store::identity::{Role, Roster};
use unjoin::store::{Bucket, Commit, Outcome, RedbStore, RowKey, Store, StoreError, Stores};
use unjoin_test_util::disk::{Disk, Fault, Power};
use unjoin_test_util::{Directory, Seeded, kill};

const ROLES: [Role; 3] = [Role::Orders, Role::Reviews, Role::Ledgers];

fn roster() -> Roster {
    Roster::generate(&mut Seeded(7))
}

fn row(number: u32) -> RowKey {
    RowKey { bucket: Bucket::of(b"somebody"), key: [b"row".as_slice(), &number.to_be_bytes()].concat() }
}

/// Writes a decision into each of the stores; answered once it is in all.
fn decide(stores: &Stores<RedbStore>, number: u32) -> Result<(), StoreError> {
    ROLES.into_iter().try_for_each(|role| {
        let RowKey { bucket, key } = row(number);
        let commit = Commit::new(bucket).expect(&key, None).put(key, b"decided".to_vec());
        let outcomes = stores.own(role)?.commit(&[commit])?;
        assert_eq!(outcomes, [Outcome::Committed], "decided twice");
        Ok(())
    })
}

/// What a life was answered.
#[derive(Default)]
struct Answered {
    created: bool,
    rows: Vec<u32>,
}

type Three = [Arc<RedbStore>; 3];

fn on(disks: &[Disk; 3], open: impl Fn(Disk) -> Result<RedbStore, StoreError>) -> Result<Three, StoreError> {
    let mut stores = disks.iter().map(|disk| open(disk.clone()).map(Arc::new));
    let mut next = || stores.next().unwrap();
    Ok([next()?, next()?, next()?])
}

fn together(stores: Three) -> impl Iterator<Item = (Role, Arc<RedbStore>)> {
    ROLES.into_iter().zip(stores)
}

fn create(disks: &[Disk; 3]) -> Result<Stores<RedbStore>, StoreError> {
    let made = together(on(disks, unjoin_test_util::redb_on)?);
    Stores::create(&roster(), made, &mut Seeded(3))
}

fn open(disks: &[Disk; 3], seed: u64) -> Result<Stores<RedbStore>, StoreError> {
    Stores::open(&roster(), together(on(disks, RedbStore::open_on)?), &mut Seeded(seed))
}

/// Creates or opens, decides, advances the marks, decides again.
fn live(disks: &[Disk; 3], is_new: bool, first: u32, answered: &mut Answered) -> Result<(), StoreError> {
    let stores = if is_new { create(disks) } else { open(disks, 4) }?;
    answered.created = true;
    for number in first..first + 3 {
        decide(&stores, number)?;
        answered.rows.push(number);
        stores.advance(&mut Seeded(u64::from(number)))?;
        stores.check()?;
    }
    Ok(())
}

fn holding(images: &[Vec<u8>; 3], power: &Power) -> [Disk; 3] {
    images.each_ref().map(|image| Disk::holding(image.clone(), power))
}

/// Cuts the power at every write of a life that begins with these images.
fn cut_at_every_write(images: &[Vec<u8>; 3], before: &[u32]) -> [Vec<u8>; 3] {
    let (is_new, first) = (before.is_empty(), before.len() as u32);
    let whole = Power::default();
    let disks = holding(images, &whole);
    live(&disks, is_new, first, &mut Answered::default()).unwrap();
    let operations = whole.operations();
    assert!(operations > 20, "{operations}");
    let (mut draw, mut cuts) = (Seeded(operations), 0);
    for at in 0..operations {
        let power = Power::with(Fault { at, of_a_sync: false, cuts_the_power: true });
        let disks = holding(images, &power);
        let mut answered = Answered { created: !is_new, rows: before.to_vec() };
        cuts += u64::from(live(&disks, is_new, first, &mut answered).is_err());
        let left = disks.map(|disk| disk.after_power_loss(|| draw.below(2) == 0));
        let disks = holding(&left, &Power::default());
        let stores = match open(&disks, 5) {
            Ok(stores) => stores,
            Err(error) => {
                assert!(!answered.created, "{at}: {error}");
                assert!(matches!(error, StoreError::Nobodys(_)), "{at}: {error}");
                create(&disks).unwrap()
            }
        };
        for number in answered.rows {
            for role in ROLES {
                let found = stores.own(role).unwrap().read(&[row(number)]).unwrap();
                assert!(found[0].is_some(), "{at}: an answered decision is lost");
            }
        }
        stores.check().unwrap();
        drop(stores);
        open(&disks, 6).unwrap().check().unwrap();
    }
    // The last writes are those of closing.
    assert!(cuts > operations / 2, "{cuts} of {operations}");
    disks.map(|disk| disk.after_power_loss(|| true))
}

#[test]
fn a_power_loss_at_any_write_of_creating_opening_and_marking_loses_nothing() {
    // What the engine's own creation leaves, `redb_crash` tells.
    let empty = [(); 3].map(|()| {
        let disk = Disk::holding(Vec::new(), &Power::default());
        drop(RedbStore::create_on(disk.clone()).unwrap());
        disk.after_power_loss(|| true)
    });
    let made = cut_at_every_write(&empty, &[]);
    cut_at_every_write(&made, &[0, 1, 2]);
}

/// The test below, by its full name.
const TEST: &str = "stores_killed_at_any_moment_open_or_are_created_on";

fn in_directory(directory: &Path) -> Stores<RedbStore> {
    let files = ROLES.map(|role| directory.join(format!("{role:?}")));
    let rng = &mut Seeded(u64::from(std::process::id()));
    let open = |rng: &mut Seeded| {
        let mut found = Vec::new();
        for (role, file) in ROLES.iter().zip(&files) {
            found.push((*role, Arc::new(RedbStore::open(file)?)));
        }
        Stores::open(&roster(), found, rng)
    };
    match open(rng) {
        // With a row in any of them it would be `Exists`.
        Err(StoreError::Missing(_) | StoreError::Nobodys(_)) => {
            let made = ROLES.iter().zip(&files);
            let made = made.map(|(role, file)| (*role, Arc::new(unjoin_test_util::redb(file).unwrap())));
            Stores::create(&roster(), made.collect::<Vec<_>>(), rng).unwrap()
        }
        opened => opened.unwrap(),
    }
}

/// Opens again and again, each time with decisions and marks, and says what was answered.
fn live_as_told(told: &str) -> ! {
    let (directory, first) = told.split_once('|').unwrap();
    let mut number: u32 = first.parse().unwrap();
    loop {
        kill::say("opens");
        let stores = in_directory(Path::new(directory));
        kill::say("opened");
        for _ in 0..3 {
            decide(&stores, number).unwrap();
            kill::say(&number.to_string());
            number += 1;
            stores.advance(&mut Seeded(u64::from(number))).unwrap();
        }
    }
}

#[test]
fn stores_killed_at_any_moment_open_or_are_created_on() {
    if let Some(told) = kill::told() {
        live_as_told(&told);
    }
    let (draw, mut next, mut answered) = (&mut Seeded(11), 0u32, BTreeSet::new());
    // Some are killed while they are created.
    for kills in [1; 6].into_iter().chain([kill::kills(20)]) {
        let (directory, mut rows) = (Directory::new(), BTreeSet::new());
        for _ in 0..kills {
            let mut lines = if kills == 1 { 0 } else { draw.below(6) };
            let delay = Duration::from_micros(draw.below(40_000));
            let told = format!("{}|{next}", directory.file("").to_str().unwrap());
            let said = kill::live_until_killed(TEST, told, |_| {
                let now = lines == 0;
                lines = lines.saturating_sub(1);
                now.then_some(delay)
            });
            let said: Vec<u32> = said.iter().filter_map(|line| line.parse().ok()).collect();
            // What was under way may be in some of the stores.
            next = said.last().map_or(next, |last| last + 1) + 1;
            rows.extend(said);
        }
        let stores = in_directory(&directory.file(""));
        stores.check().unwrap();
        for role in ROLES {
            let own = stores.own(role).unwrap();
            assert!(rows.iter().all(|number| own.read(&[row(*number)]).unwrap()[0].is_some()), "{role}");
        }
        answered.append(&mut rows);
    }
    assert!(answered.len() > 20, "{}", answered.len());
}

/// A row that lies in the file for long, so that a rewrite takes long enough to be hit.
fn old_row(number: u32) -> Commit {
    let RowKey { bucket, key } = row(1 << 31 | number);
    Commit::new(bucket).put(key, vec![7; 600])
}

/// How long a row lasts, in rows that come after it.
const LAST: u32 = 7;

/// Each row is written once, a later one deletes it, and rewrites come in between.
fn live_with_rewrites(told: &str) -> ! {
    let (path, first) = told.split_once('|').unwrap();
    let (store, mut number): (_, u32) = (unjoin_test_util::redb(path).unwrap(), first.parse().unwrap());
    if number == 0 {
        store.commit(&(0..2_000).map(old_row).collect::<Vec<_>>()).unwrap();
    }
    loop {
        for _ in 0..5 {
            let RowKey { bucket, key } = row(number);
            let commit = Commit::new(bucket).expect(&key, None).put(key, b"spent".to_vec());
            let gone = row(number.wrapping_sub(LAST)).key;
            assert_eq!(store.commit(&[commit.delete(gone)]).unwrap(), [Outcome::Committed]);
            kill::say(&number.to_string());
            number += 1;
        }
        kill::say("rewrites");
        store.rewrite().unwrap();
        kill::say("rewritten");
    }
}

#[test]
fn a_store_killed_at_any_moment_of_a_rewrite_has_what_was_answered_and_nothing_that_was_deleted() {
    const TEST: &str =
        "a_store_killed_at_any_moment_of_a_rewrite_has_what_was_answered_and_nothing_that_was_deleted";
    if let Some(told) = kill::told() {
        live_with_rewrites(&told);
    }
    let (directory, draw) = (Directory::new(), &mut Seeded(12));
    let (path, mut next, mut answered, mut in_rewrites) = (directory.file("rows"), 0u32, BTreeSet::new(), 0);
    let kills = kill::kills(12);
    for _ in 0..kills {
        let (mut rewrites, delay) = (draw.below(3), Duration::from_micros(draw.below(60_000)));
        let told = format!("{}|{next}", path.to_str().unwrap());
        let said = kill::live_until_killed(TEST, told, |line| {
            let now = line == "rewrites" && rewrites == 0;
            rewrites = rewrites.saturating_sub(u64::from(line == "rewrites"));
            now.then_some(delay)
        });
        in_rewrites += u32::from(said.last().is_some_and(|line| line == "rewrites"));
        answered.extend(said.iter().filter_map(|line| line.parse::<u32>().ok()));
        let last = *answered.last().unwrap();
        let store = RedbStore::open(&path).unwrap();
        assert!(!directory.file("rows.rewrite").exists());
        let mut shown = BTreeSet::new();
        store
            .snapshot(&mut |_, key, _| {
                shown.insert(key.to_vec());
                Ok(())
            })
            .unwrap();
        for number in &answered {
            let RowKey { bucket, key } = row(*number);
            let is_there = store.read(&[row(*number)]).unwrap()[0].is_some();
            assert_eq!(shown.contains(&key), is_there);
            // The next one may have taken effect unanswered, and deleted the oldest.
            if number + LAST != last + 1 {
                assert_eq!(is_there, number + LAST > last, "{number} of {last}");
            }
            if is_there {
                let again = Commit::new(bucket).expect(&key, None).put(key.clone(), b"again".to_vec());
                assert_eq!(store.commit(&[again]).unwrap(), [Outcome::Conflict(key)], "spent twice");
            }
        }
        let mut old = (0..2_000).map(|number| row(1 << 31 | number).key);
        assert!(old.all(|key| shown.contains(&key)));
        // What was under way may be there.
        next = last + 1;
        if store.read(&[row(next)]).unwrap()[0].is_some() {
            answered.insert(next);
            next += 1;
        }
    }
    assert!(u64::from(in_rewrites) > kills / 4, "{in_rewrites} of {kills}");
}
