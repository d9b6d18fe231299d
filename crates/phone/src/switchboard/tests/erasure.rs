//! What remains of a number that is dead: everything that was ever on the disk, and every key
//! from then on, tell nothing. The same attack with a key of before finds everything.

use super::*;
use crate::{Keeper, LocalKey};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use unjoin_store::RedbStore;
use unjoin_test_util::Directory;

/// The phones that the attacker tries: all that there can be.
const PHONES: u64 = 10_000;
/// Numbers in each slice.
const EACH: u64 = 3;

/// The host's key, which the attacker has too.
fn host_key() -> LocalKey {
    LocalKey::new(SecretBytes::new([9; 32]))
}

fn environment(clock: &Arc<ManualClock>) -> Environment {
    Environment::new(clock.clone(), || Box::new(SystemRng::new()))
}

fn keeper(path: &Path, clock: &Arc<ManualClock>) -> Keeper {
    Keeper::create_or_open(path, host_key(), slots(), &environment(clock)).unwrap()
}

/// What a keeper comes to that was rotated all the time up to now.
fn rotate(keeper: &Keeper, clock: &Arc<ManualClock>) {
    keeper.confirm_clock(clock_of(clock)).unwrap();
    keeper.rotate(clock_of(clock)).unwrap();
}

/// Every name of an index row that stands anywhere in these files, in freed pages too.
fn names(files: &[Vec<u8>]) -> HashSet<[u8; 32]> {
    let mut names = HashSet::new();
    for file in files {
        for (at, room) in file.windows(2).enumerate() {
            if room == b"pi"
                && let Some(name) = file.get(at + 10..).and_then(|rest| rest.first_chunk())
            {
                names.insert(*name);
            }
        }
    }
    names
}

/// Tries every phone with every number under every key that a copy of the key file holds: the
/// pairs whose names are found.
fn attack(
    names: &HashSet<[u8; 32]>,
    key_file: &Path,
    stolen_at: Timestamp,
    directory: &Path,
) -> HashSet<(u64, VirtualNumber)> {
    let copy = directory.join("copy");
    fs::create_dir_all(&copy).unwrap();
    let _ = fs::remove_file(copy.join("keys.lock"));
    fs::copy(key_file, copy.join("keys")).unwrap();
    let keeper = keeper(&copy.join("keys"), &Arc::new(ManualClock::doubtful(stolen_at)));
    let window = keeper.window(stolen_at).unwrap();
    let mut found = HashSet::new();
    for (_, key) in window.slots() {
        for number in 0..PHONES {
            for x in 0..SLICES * EACH {
                let x = VirtualNumber::from_integer(86_700_000_000_000_000 + x).unwrap();
                if names.contains(&key.names([&phone(number)], x)[0]) {
                    found.insert((number, x));
                }
            }
        }
    }
    drop(keeper);
    fs::remove_dir_all(&copy).unwrap();
    found
}

fn board<S: unjoin_store::Store>(
    store: &Arc<S>,
    keeper: &Arc<Keeper>,
    clock: &Arc<ManualClock>,
) -> Switchboard<S> {
    let own = unjoin_test_util::own(store, unjoin_store::identity::Role::Telephony);
    Switchboard::open(own, config(), pool(EACH), keeper.clone(), environment(clock)).unwrap()
}

#[test]
fn a_dead_number_is_found_in_no_copy_with_no_later_key() {
    let directory = Directory::new();
    let file = |name: &str| directory.file(name);
    let clock = Arc::new(ManualClock::doubtful(START));
    let keeper = Arc::new(keeper(&file("keys"), &clock));
    let store = Arc::new(RedbStore::create(file("rows")).unwrap());
    let board = board(&store, &keeper, &clock);
    let mut copies = Vec::new();
    let mut bound = HashSet::new();
    let mut note = |parties: [u64; 2], number| bound.extend(parties.map(|party| (party, number)));
    let step = |copies: &mut Vec<Vec<u8>>| copies.push(fs::read(file("rows")).unwrap());

    let bind = |id: &str, hub: u64, customer: u64, life: u64| {
        let not_after = START.saturating_add(life);
        let binding = Binding::courier(order("m", id), courier(hub), parties(hub, customer), not_after);
        board.bind(binding).wait().unwrap()
    };
    for (id, hub, customer) in [("1", 17, 4711), ("2", 5000, 9999), ("3", 0, 1234)] {
        note([hub, customer], bind(id, hub, customer, 600).number);
        step(&mut copies);
    }
    let replaced = bind("4", 21, 4000, 600);
    note([21, 4000], replaced.number);
    step(&mut copies);
    let new = board.replace(&order("m", "4"), Some(courier(22)), parties(22, 4000), replaced.number);
    note([22, 4000], new.wait().unwrap().number);
    step(&mut copies);
    let later = START.saturating_add(600 + SLOT);
    board.extend(&order("m", "1"), Leg::Courier, &parties(17, 4711), later).unwrap();
    step(&mut copies);
    board.release(&order("m", "2"), Leg::Courier).unwrap();
    step(&mut copies);

    // With the keys of now: every pair that ever was, released and replaced ones included.
    fs::copy(file("keys"), file("keys before")).unwrap();
    let found = attack(&names(&copies), &file("keys before"), clock_of(&clock), &file(""));
    assert_eq!(found, bound);

    let dead_at =
        ["1", "2", "3", "4"].map(|id| board.close_orders(&[order("m", id)]).pop().unwrap().unwrap());
    step(&mut copies);
    let dead_at = dead_at.into_iter().max().unwrap();
    assert_eq!(dead_at, START.saturating_add(2 * SLOT + SKEW));
    // One slot is over and its skew; one is not: what was extended is the only one to be found.
    clock.set(START.saturating_add(SLOT + SKEW));
    rotate(&keeper, &clock);
    fs::copy(file("keys"), file("keys between")).unwrap();
    let found = attack(&names(&copies), &file("keys between"), clock_of(&clock), &file(""));
    assert!(found.iter().all(|(party, _)| [17, 4711].contains(party)) && found.len() == 2);

    // Dead: swept or not, from this very second on.
    let mut key_files = Vec::new();
    for (number, seconds) in [0, 1, SLOT, LIFE].into_iter().enumerate() {
        clock.set(clock_of(&clock).max(dead_at).saturating_add(seconds));
        rotate(&keeper, &clock);
        step(&mut copies);
        board.tick().unwrap();
        step(&mut copies);
        let path = file(&format!("keys {number}"));
        fs::copy(file("keys"), &path).unwrap();
        key_files.push((path, clock_of(&clock)));
    }
    store.rewrite().unwrap();
    step(&mut copies);
    let names = names(&copies);
    assert!(names.len() >= bound.len(), "the copies do hold the rows");
    for (path, stolen_at) in key_files {
        assert_eq!(attack(&names, &path, stolen_at, &file("")), HashSet::new());
    }
}

fn clock_of(clock: &Arc<ManualClock>) -> Timestamp {
    unjoin_core::Clock::now(clock)
}

type InMemory = (
    Directory,
    Arc<ManualClock>,
    Arc<Keeper>,
    Arc<unjoin_store::MemoryStore>,
    Switchboard<unjoin_store::MemoryStore>,
);

fn in_memory() -> InMemory {
    let (directory, clock) = (Directory::new(), Arc::new(ManualClock::doubtful(START)));
    let keeper = Arc::new(keeper(&directory.file("keys"), &clock));
    let store = Arc::new(unjoin_store::MemoryStore::new());
    let board = board(&store, &keeper, &clock);
    (directory, clock, keeper, store, board)
}

#[test]
fn a_clock_that_leapt_clears_nothing_away_and_the_number_rings_again() {
    let (_directory, clock, keeper, store, board) = in_memory();
    let not_after = START.saturating_add(600);
    let binding = Binding::courier(order("m", "1"), courier(17), parties(17, 4711), not_after);
    let number = board.bind(binding).wait().unwrap().number;
    let rings = || matches!(board.route(&request(4711, number)), Ok(Route::Connect { .. }));
    let before = dump(&*store);
    let far = START.saturating_add(3653 * DAY);
    for confirmed in [false, true] {
        clock.set(far);
        if confirmed {
            keeper.confirm_clock(far).unwrap();
            assert_eq!(board.tick().unwrap().index_rows, 0);
        } else {
            assert!(keeper.rotate(far).is_err() && board.tick().is_err());
        }
        assert!(!rings());
        assert_eq!(dump(&*store), before);
    }
    clock.set(START.saturating_add(5));
    assert!(!rings());
    keeper.confirm_clock(clock_of(&clock)).unwrap();
    assert!(rings());
    clock.set(START.saturating_add(2));
    assert_eq!(board.tick().unwrap().clock_lead, 3);
}

#[test]
fn nothing_is_said_to_be_dead_whose_key_is_still_there() {
    let (_directory, clock, keeper, _, board) = in_memory();
    let [early, late] = ["1", "2"].map(|id| order("m", id));
    for (of, life) in [(&early, 600), (&late, LIFE)] {
        let end = START.saturating_add(life);
        board.bind(Binding::courier(of.clone(), courier(17), parties(17, 4711), end)).wait().unwrap();
    }
    let close = |of: &OrderRef| board.close_orders(std::slice::from_ref(of)).pop().unwrap();
    let dead_at = START.saturating_add(SLOT + SKEW);
    assert_eq!(close(&early).unwrap(), dead_at);
    // It is time, and the keeper has not rotated, but for what the clock may leap.
    let mut last = START;
    while last < dead_at.saturating_sub(unjoin_core::CLOCK_LIMIT) {
        last = last.saturating_add(unjoin_core::CLOCK_LIMIT);
        keeper.rotate(last).unwrap();
    }
    clock.set(dead_at);
    assert_eq!(code(close(&early)), "switchboard.not_erased");
    assert!(close(&late).unwrap() > dead_at, "what lies ahead is still to come");
    clock.set(dead_at.saturating_add(60));
    for of in [&early, &late] {
        assert_eq!(code(close(of)), "switchboard.not_erased", "the keeper does not delete");
    }
    assert_eq!(board.tick().unwrap().erasure_lag, 60);
    rotate(&keeper, &clock);
    assert_eq!(close(&early).unwrap(), dead_at);
    assert!(close(&late).is_ok() && board.tick().unwrap().erasure_lag == 0);
}
