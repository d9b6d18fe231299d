//! Older copies of a whole platform's stores are put back, and `Platform::recover` is the way back: with changed
//! wallets on the other side, interrupted at every write, and with a ledger that is itself an older copy.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

mod devices;
mod life;
mod world;

use life::{BOTH, Event, Life, PEOPLE, events, lived, roles, settles};
use proptest::prelude::*;
use std::collections::BTreeSet;
#[cfg(feature = "redb")]
use std::sync::Arc;
use unjoin::audit::recoveries;
use unjoin::ledger::{LogView, PublishedEntry, StoreMarkEntry};
use unjoin::phone::{Keeper, LocalKey, SlotConfig, SlotKeys};
use unjoin::secret::SecretBytes;
use unjoin::store::Bucket;
use unjoin::store::identity::Role;
#[cfg(feature = "redb")]
use unjoin::store::{MemoryStore, RedbStore};
use unjoin::token::ReviewId;
use unjoin::wire::Message;
use unjoin::{Clock, RecoveryError};
#[cfg(feature = "redb")]
use unjoin_test_util::disk::{Disk, Fault, Power};
use unjoin_test_util::{Directory, Failure, Faulty, dump};
#[cfg(feature = "redb")]
use unjoin_test_util::{Seeded, copy, fill, redb_on};
use world::{ROLES, Shop, environment, merchant, tick};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A backup of any moment, anything after it, any of its stores put back once or twice, honest and changed
    /// devices; one of them sends nothing any more.
    #[test]
    fn whichever_stores_are_put_back_nothing_is_decided_twice(
        granted in 2..5usize, before in events(12), gap in events(20), after in events(20),
        first in 1..4usize, second in 0..4usize, honest: bool, silent in 0..PEOPLE.len(),
    ) {
        let mut life = Life::new(granted);
        before.iter().for_each(|event| life.happen(*event));
        let older = life.back_up();
        gap.iter().for_each(|event| life.happen(*event));
        let (took_back, id) = (life.people[silent].took_back, life.people[silent].id());
        let mut era = 1;
        for chosen in [first, second].map(roles).iter().filter(|chosen| !chosen.is_empty()) {
            let report = life.put_back(&older, chosen);
            prop_assert!(report.era > era);
            if let Some(reviews) = report.reviews {
                era = reviews.era;
            }
            life.check();
            let platform = life.platform.as_ref().unwrap();
            let others = life.people.iter_mut().enumerate().filter(|(who, _)| honest && *who != silent);
            others.for_each(|(_, person)| person.send_again(platform));
        }
        let (shop, platform) = (&life.shop, life.platform.as_ref().unwrap());
        life.people.iter_mut().for_each(|person| person.report(shop, platform));
        after.iter().filter(|event| event.who() != Some(silent)).for_each(|event| life.happen(*event));
        life.end(era);
        let published = |entry: &Vec<u8>| {
            PublishedEntry::from_bytes(entry).is_ok_and(|entry| Some(entry.review_id) == id)
        };
        let history = life.shop.history(life.platform());
        prop_assert!(!took_back || !history.entries().iter().any(published));
    }
}

type Rows = Vec<(Bucket, Vec<u8>, Vec<u8>)>;

/// All rows of both stores that are no random mark, and the ledger's entries, once what waits is in it.
fn outcome(shop: &Shop) -> (Vec<Rows>, Vec<Vec<u8>>) {
    let platform = shop.open().unwrap();
    tick(&platform);
    let rows = |role| {
        let kept = dump(&shop.store(role).rows).into_iter().filter(|(_, row)| row.key != b"rm");
        kept.map(|(bucket, row)| (bucket, row.key, row.value)).collect()
    };
    let log = platform.ledgers().unwrap().reviews();
    let entries = log.entries(0, log.size().unwrap()).unwrap();
    let entries = entries.into_iter().filter(|entry| entry[1] != StoreMarkEntry::KIND);
    (BOTH.map(rows).into(), entries.collect())
}

/// Every subset of the stores, every write, every way to fail.
#[test]
fn a_recovery_that_is_interrupted_at_any_write_ends_as_one_that_was_not() {
    let (Life { mut shop, platform, .. }, older) = lived();
    drop(platform);
    let newest = shop.disks.copy();
    let mut writes_in_all = 0;
    for chosen in 1..4 {
        let put_back = |shop: &mut Shop| {
            shop.disks = newest.copy();
            shop.put_back(&older, &roles(chosen));
        };
        put_back(&mut shop);
        let report = shop.recover().unwrap();
        let expected_era = 1 + roles(chosen).len() as u32;
        assert_eq!(report.era, expected_era);
        let writes = ROLES.map(|role| shop.store(role).writes());
        let expected = outcome(&shop);
        for (place, writes) in writes.into_iter().enumerate() {
            writes_in_all += writes;
            for after in 0..writes {
                for failure in Failure::ALL {
                    put_back(&mut shop);
                    let cut = shop.disks.stores[place].clone();
                    cut.fail(after, failure);
                    let whose = (chosen, ROLES[place], after, failure);
                    if shop.recover().is_ok() {
                        // A witness's answer was stored for the next time only.
                        assert!(!cut.failed(), "{whose:?}");
                        continue;
                    }
                    assert!(cut.failed(), "{whose:?}");
                    assert_eq!(shop.recover().unwrap().era, expected_era, "{whose:?}");
                    assert!(outcome(&shop) == expected, "{whose:?}");
                }
            }
        }
    }
    assert!(writes_in_all > 30, "{writes_in_all}");
}

/// The same on files, by a power loss at any write of any of them.
#[cfg(feature = "redb")]
#[test]
fn a_power_loss_at_any_write_of_a_recovery_is_made_good_by_the_next() {
    let (Life { mut shop, platform, .. }, older) = lived();
    drop(platform);
    shop.put_back(&older, &BOTH);
    let images = shop.disks.stores.each_ref().map(|store| {
        let disk = Disk::holding(Vec::new(), &Power::default());
        drop(fill(redb_on(disk.clone()).unwrap(), &store.rows));
        disk.after_power_loss(|| true)
    });
    let on = |images: &[Vec<u8>; 4], power: &Power| {
        images.each_ref().map(|image| Disk::holding(image.clone(), power))
    };
    let stores = |disks: &[Disk; 4]| -> Result<[Arc<RedbStore>; 4], RecoveryError> {
        let mut opened = disks.iter().map(|disk| RedbStore::open_on(disk.clone()).map(Arc::new));
        let mut next = || opened.next().unwrap();
        Ok([next()?, next()?, next()?, next()?])
    };
    let recover = |disks: &[Disk; 4], witness: &Arc<MemoryStore>| {
        stores(disks).and_then(|stores| shop.recover_on(stores, witness, &[], None, |_| Ok(())))
    };
    let witness = || Arc::new(copy(&*shop.disks.witness));
    let power = Power::default();
    let disks = on(&images, &power);
    assert_eq!(recover(&disks, &witness()).unwrap().era, 3);
    let (operations, mut cuts) = (power.operations(), 0);
    let draw = &mut Seeded(operations);
    for at in 0..operations {
        let (power, witness) = (Power::with(Fault { at, of_a_sync: false, cuts_the_power: true }), witness());
        let disks = on(&images, &power);
        cuts += u64::from(recover(&disks, &witness).is_err());
        let left = disks.map(|disk| disk.after_power_loss(|| draw.below(2) == 0));
        let disks = on(&left, &Power::default());
        recover(&disks, &witness).unwrap();
        let platform = shop.open_on(stores(&disks).unwrap(), &witness).unwrap();
        // Without the rewrite, which needs a file.
        let logged = platform.ledgers().unwrap().tick(&platform.outboxes());
        assert!(logged.reviews.failed.is_none(), "{at}");
        let history = shop.history(&platform);
        let eras = recoveries(&history, platform.public_key()).into_values().map(|(_, entry)| entry.era());
        assert_eq!(eras.collect::<Vec<_>>(), [2, 3], "{at}");
        let settled: Vec<ReviewId> = history.entries().iter().filter_map(|entry| settles(entry)).collect();
        assert_eq!(BTreeSet::from_iter(&settled).len(), settled.len(), "{at}");
    }
    // The last writes are those of closing.
    assert!(operations > 100 && cuts > operations / 2, "{cuts} of {operations}");
}

#[test]
fn stores_of_which_none_is_lost_stay_as_they_are() {
    let (Life { shop, platform, .. }, _) = lived();
    drop(platform);
    let before = BOTH.map(|role| dump(&shop.store(role).rows));
    let report = shop.recover().unwrap();
    assert_eq!((report.era, report.orders, report.reviews, report.telephony), (1, None, None, false));
    assert!(BOTH.map(|role| dump(&shop.store(role).rows)) == before);
    drop(shop.open().unwrap());
}

/// A raw copy that is younger than the last mark is told by nobody but whoever put it there.
#[test]
fn a_store_that_no_mark_tells_is_named() {
    let (Life { mut shop, platform, .. }, _) = lived();
    let younger = shop.disks.copy();
    drop(platform);
    shop.put_back(&younger, &[Role::Reviews]);
    let report = shop.recover_with(&[Role::Reviews], None, |_| Ok(())).unwrap();
    assert_eq!((report.era, report.orders, report.reviews.map(|reviews| reviews.era)), (2, None, Some(2)));
    drop(shop.open().unwrap());
}

/// Orders put back, the recovery begun; then the desk's, too: each has an era of its own, in the ledger's order.
#[test]
fn a_store_that_is_lost_within_a_recovery_has_an_era_of_its_own() {
    for (first, then) in [(Role::Reviews, Role::Orders), (Role::Orders, Role::Reviews)] {
        for after in 0..12 {
            let (mut life, older) = lived();
            life.platform = None;
            life.shop.put_back(&older, &[first]);
            let cut = life.shop.store(first).clone();
            cut.fail(after, Failure::Lost);
            let is_ended = life.shop.recover().is_ok();
            assert_ne!(cut.failed(), is_ended);
            life.shop.put_back(&older, &[then]);
            life.shop.recover().unwrap();
            life.platform = Some(life.shop.open().unwrap());
            life.check();
            let entries = life.shop.history(life.platform());
            let found = recoveries(&entries, life.platform().public_key()).len();
            assert_eq!(found, 2, "{first} {after}");
            if is_ended {
                break;
            }
        }
    }
}

/// Every store from one backup: they agree with one another, and the witnesses have seen more than their ledger.
#[test]
fn a_ledger_that_is_behind_its_witnesses_recovers_nothing_until_its_export_is_appended() {
    let (mut life, older) = lived();
    let log = life.platform().ledgers().unwrap().reviews();
    let export = ["reviews", "openings"].map(|name| {
        let ledgers = life.platform().ledgers().unwrap();
        let log = if name == "reviews" { ledgers.reviews() } else { ledgers.openings() };
        log.entries(0, log.size().unwrap()).unwrap()
    });
    let newest = log.size().unwrap();
    let id = life.people[1].id().unwrap();
    life.platform = None;
    life.shop.put_back(&older, &ROLES);
    assert_eq!(life.shop.open().map(drop).unwrap_err(), "ledger.behind");
    let error = life.shop.recover().unwrap_err();
    let words = error.to_string();
    assert_eq!((error.code(), error.is_retryable()), ("recovery.ledger_behind", false), "{words}");
    assert!(words.contains(&format!("have seen {newest} entries")), "{words}");
    assert!(words.contains("append what its export has"), "{words}");
    // A ledger that is newer than the backup's, and not whole, is none either.
    let some = |ledgers: &unjoin::ledger::Ledgers<Faulty>| {
        Ok(ledgers.reviews().append(&export[0][..export[0].len() - 1]).map(drop)?)
    };
    let error = life.shop.recover_with(&[], None, some).unwrap_err();
    assert_eq!(error.code(), "recovery.ledger_behind");
    let all = |ledgers: &unjoin::ledger::Ledgers<Faulty>| {
        ledgers.reviews().append(&export[0])?;
        Ok(ledgers.openings().append(&export[1]).map(drop)?)
    };
    let error = life.shop.recover_with(&[], None, all).unwrap_err();
    assert_eq!(error.code(), "recovery.no_keeper", "the telephony store was put back, too");
    let keeper = Keepers::new(&life.shop);
    let report = life.shop.recover_with(&[], Some(&keeper.keeper), all).unwrap();
    assert!(report.orders.is_some() && report.reviews.is_some() && report.telephony);
    life.platform = Some(life.shop.open().unwrap());
    life.check();
    // What was withdrawn after the backup stays so.
    let listed = life.platform().published(&merchant(), None, 100).unwrap();
    assert!(listed.iter().all(|shown| shown.review_id != id));
    life.happen(Event::Submit { who: 1, words: 0 });
    life.happen(Event::Submit { who: 2, words: 2 });
    life.happen(Event::Ask { who: 3, wallet: 1, earlier: 0 });
    life.end(report.reviews.unwrap().era);
    // The stores go on as one platform: a later loss of one is one store's.
    let later = life.back_up();
    life.pass(30);
    tick(life.platform());
    let report = life.put_back(&later, &[Role::Orders]);
    assert!(report.reviews.is_none());
}

/// The ledgers' store is lost, and made again from its export.
#[test]
fn ledgers_that_are_made_again_from_their_export_are_taken_up() {
    let (mut life, _) = lived();
    let ledgers = life.platform().ledgers().unwrap();
    let entries = |log: &dyn LogView, size| log.entries(0, size).unwrap();
    let (reviews, openings) = (ledgers.reviews(), ledgers.openings());
    let export = [entries(reviews, reviews.size().unwrap()), entries(openings, openings.size().unwrap())];
    life.platform = None;
    life.shop.make_anew(Role::Ledgers).unwrap();
    assert_eq!(life.shop.recover().unwrap_err().code(), "recovery.ledger_behind");
    let report = life.shop.recover_with(&[], None, |ledgers| {
        ledgers.reviews().append(&export[0])?;
        Ok(ledgers.openings().append(&export[1]).map(drop)?)
    });
    let report = report.unwrap();
    assert_eq!((report.orders, report.reviews), (None, None), "the others were whole");
    life.platform = Some(life.shop.open().unwrap());
    life.check();
}

/// A platform that lived on, and then found an older copy of one of its stores.
fn put_back(role: Role) -> Life {
    let (mut life, older) = lived();
    life.platform = None;
    life.shop.put_back(&older, &[role]);
    life
}

#[test]
fn a_ledger_without_witnesses_proves_nothing() {
    let life = put_back(Role::Reviews);
    let error = life.shop.recover_unwitnessed().unwrap_err();
    assert!(matches!(error, RecoveryError::Unwitnessed));
    assert_eq!(life.shop.open().map(drop).unwrap_err(), "store.copy", "and it stays closed");
}

struct Keepers {
    keeper: Keeper,
    _directory: Directory,
}

impl Keepers {
    fn new(shop: &Shop) -> Self {
        let directory = Directory::new();
        let slots = SlotConfig::new(5400, 4, 30).unwrap();
        let key = LocalKey::new(SecretBytes::new([3; 32]));
        let path = directory.file("slot-keys");
        let keeper = Keeper::create_or_open(path, key, slots, &environment(&shop.clock)).unwrap();
        Self { keeper, _directory: directory }
    }

    fn generation(&self, shop: &Shop) -> u32 {
        self.keeper.window(shop.clock.now()).unwrap().generation()
    }
}

/// Wherever the recovery is interrupted, the slot keys are replaced once: each time costs an epoch of quarantine.
#[test]
fn a_switchboard_that_was_put_back_gets_new_slot_keys_once() {
    let mut life = put_back(Role::Telephony);
    let error = life.shop.recover().unwrap_err();
    assert_eq!(error.code(), "recovery.no_keeper");
    assert!(error.to_string().contains("would ring again"), "{error}");
    let flagged = life.shop.disks.copy();
    for after in 0..4 {
        life.shop.disks = flagged.copy();
        let keepers = Keepers::new(&life.shop);
        let generation = keepers.generation(&life.shop);
        let store = life.shop.store(Role::Telephony);
        store.fail(after, Failure::Lost);
        let first = life.shop.recover_with(&[], Some(&keepers.keeper), |_| Ok(()));
        let is_whole = first.is_ok();
        let second =
            first.or_else(|_| life.shop.recover_with(&[], Some(&keepers.keeper), |_| Ok(()))).unwrap();
        assert_eq!((second.telephony || after == 2, second.era), (true, 2), "{after}");
        assert_eq!(keepers.generation(&life.shop), generation + 1, "{after}");
        drop(life.shop.open().unwrap());
        if is_whole {
            assert_eq!(after, 3);
            break;
        }
    }
    // Another recovery, of a later copy, replaces them again.
    let keepers = Keepers::new(&life.shop);
    let generation = keepers.generation(&life.shop);
    life.platform = Some(life.shop.open().unwrap());
    let later = life.back_up();
    life.platform = None;
    life.shop.put_back(&later, &[Role::Telephony]);
    assert!(life.shop.recover_with(&[], Some(&keepers.keeper), |_| Ok(())).unwrap().telephony);
    assert_eq!(keepers.generation(&life.shop), generation + 1);
}
