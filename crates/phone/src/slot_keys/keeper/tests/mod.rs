//! The keeper on a real directory, on a disk that fails at every step, and against a plain
//! model under any history.

mod directory;
mod disk;

use super::super::{LocalKey, Slot, SlotKeyError, SlotKeys};
use super::state::LEASE;
use super::*;
use disk::{Disk, FAILURES, losses};
use proptest::prelude::*;
use std::collections::HashMap;
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::{CLOCK_LIMIT, ClockError, DAY, ManualClock};

/// Some slot's boundary in 2027.
const START: u64 = 1_800_000_000;
const MAX_LIFE: u64 = 90 * 60;
const SLOT: u64 = 30 * 60;
const SKEW: u64 = 30;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(START + seconds)
}

fn config() -> SlotConfig {
    SlotConfig::new(MAX_LIFE, 4, SKEW).unwrap()
}

fn key() -> LocalKey {
    LocalKey::new(SecretBytes::new([7; 32]))
}

fn environment(now: Timestamp) -> Environment {
    Environment::new(Arc::new(ManualClock::doubtful(now)), || Box::new(SystemRng::new()))
}

fn open(disk: &Disk, now: Timestamp) -> Result<Keeper, SlotKeyError> {
    Setup::new(disk.clone(), key(), config(), &environment(now)).open()
}

type Keys = Vec<(Slot, [u8; 32])>;

fn keys(window: &SlotKeyWindow) -> Keys {
    window.slots().map(|(slot, key)| (slot, *key.expose())).collect()
}

/// What the file says.
fn content(disk: &Disk) -> State {
    let plain = key().open(disk.main().strip_prefix(MAGIC).unwrap()).unwrap();
    State::from_bytes(&plain, config()).unwrap()
}

fn stored(disk: &Disk) -> Keys {
    content(disk).keys().map(|(slot, key)| (slot, *key.expose())).collect()
}

/// Rotations on time up to `now`, and two that say `now`.
fn pass(keeper: &Keeper, now: Timestamp) {
    while keeper.held().guard.floor() < now {
        let floor = keeper.held().guard.floor();
        keeper.rotate(now.min(floor.saturating_add(CLOCK_LIMIT))).unwrap();
    }
    keeper.rotate(now).unwrap();
}

fn is_ahead<T>(answer: Result<T, SlotKeyError>, by: u64) -> bool {
    matches!(answer, Err(SlotKeyError::Clock(ClockError::Ahead { seconds })) if seconds == by)
}

fn is_behind<T>(answer: Result<T, SlotKeyError>, by: u64) -> bool {
    matches!(answer, Err(SlotKeyError::Clock(ClockError::Behind { seconds })) if seconds == by)
}

#[test]
fn time_never_goes_back() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    assert_eq!(keeper.window(at(100)).unwrap().now(), at(100));
    assert_eq!(keeper.window(at(40)).unwrap().now(), at(100));
    assert_eq!(keeper.window(at(101)).unwrap().now(), at(101));
    drop(keeper);
    // Restarted with a clock that stands earlier: at the mark, which no served time has passed.
    let keeper = open(&disk, at(40)).unwrap();
    let now = keeper.window(at(40)).unwrap().now();
    assert!(at(101) <= now && now <= at(101 + LEASE));
}

#[test]
fn a_restart_loop_does_not_run_ahead_of_the_clock() {
    let disk = Disk::default();
    for _ in 0..50 {
        let keeper = open(&disk, at(0)).unwrap();
        assert!(keeper.window(at(0)).unwrap().now() <= at(LEASE));
        keeper.rotate(at(0)).unwrap();
        keeper.recover(at(0)).unwrap();
    }
    assert_eq!(content(&disk).mark, at(LEASE));
}

#[test]
fn a_leap_is_refused_and_destroys_nothing_until_confirmed() {
    for leap in [CLOCK_LIMIT + 1, MAX_LIFE - 1, 3653 * DAY] {
        let disk = Disk::default();
        let keeper = open(&disk, at(0)).unwrap();
        let (before, live) = (disk.main(), keys(&keeper.window(at(0)).unwrap()));
        let far = at(leap);
        // However often it is said.
        for _ in 0..3 {
            assert!(is_ahead(keeper.window(far), leap));
            assert!(is_ahead(keeper.rotate(far), leap));
            assert!(is_ahead(keeper.recover(far), leap));
        }
        assert_eq!(disk.main(), before);
        let window = keeper.window(at(1)).unwrap();
        assert_eq!((window.now(), keys(&window)), (at(1), live));
        drop(keeper);
        // Nor by a keeper that is opened then: the file says when its last rotation was.
        let keeper = open(&disk, far).unwrap();
        assert!(is_ahead(keeper.window(far), leap));
        assert_eq!(disk.main(), before);
        keeper.confirm_clock(far).unwrap();
        assert_eq!(keeper.window(far).unwrap().now(), far);
        keeper.rotate(far).unwrap();
        assert!(stored(&disk).iter().all(|(slot, _)| config().dead_at(*slot) > far));
    }
}

#[test]
fn a_leap_within_the_limit_is_served() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    assert_eq!(keeper.window(at(CLOCK_LIMIT)).unwrap().now(), at(CLOCK_LIMIT));
}

fn after_a_slot() -> (Disk, Keeper) {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    pass(&keeper, at(SLOT));
    (disk, keeper)
}

/// A process that asks by its own clock moves time for all, but by the limit at most, and deletes
/// nothing.
#[test]
fn questions_do_not_move_the_guard() {
    let (disk, keeper) = after_a_slot();
    let before = stored(&disk);
    assert_eq!(config().start_of(before[0].0), at(0));
    for _ in 0..3 {
        assert_eq!(keeper.window(at(SLOT + CLOCK_LIMIT)).unwrap().now(), at(SLOT + CLOCK_LIMIT));
        assert!(is_ahead(keeper.window(at(SLOT + CLOCK_LIMIT + 1)), CLOCK_LIMIT + 1));
    }
    assert_eq!(stored(&disk), before);
    // Time stands until the right clock has come up to it.
    assert_eq!(keeper.window(at(SLOT + 1)).unwrap().now(), at(SLOT + CLOCK_LIMIT));
    pass(&keeper, at(SLOT + 60));
    assert_eq!(stored(&disk)[0].1, before[1].1);
}

#[test]
fn a_deletion_needs_two_rotations_in_sequence() {
    let (disk, keeper) = after_a_slot();
    let before = stored(&disk);
    let over = at(SLOT + SKEW);
    keeper.rotate(over).unwrap();
    assert!(stored(&disk).starts_with(&before));
    // The clock was wrong: that the same time is said once more is not a second time.
    keeper.rotate(at(SLOT + SKEW - 1)).unwrap();
    assert!(stored(&disk).starts_with(&before));
    keeper.rotate(over).unwrap();
    assert!(stored(&disk).starts_with(&before[1..]));
}

#[test]
fn a_confirmed_mistake_has_a_way_back() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let live = keys(&keeper.window(at(0)).unwrap());
    let far = at(3653 * DAY);
    keeper.confirm_clock(far).unwrap();
    keeper.window(far).unwrap();
    assert!(is_behind(keeper.window(at(5)), 3653 * DAY - 5));
    keeper.confirm_clock(at(5)).unwrap();
    let window = keeper.window(at(5)).unwrap();
    assert_eq!((window.now(), keys(&window)), (at(5), live.clone()));
    assert_eq!(stored(&disk), live);
    drop(keeper);
    let keeper = open(&disk, at(6)).unwrap();
    assert_eq!(keys(&keeper.window(at(6)).unwrap()), live);
    // Once a rotation has said it as well the keys are gone for good; time goes on all the same.
    keeper.confirm_clock(far).unwrap();
    keeper.rotate(far).unwrap();
    keeper.confirm_clock(at(7)).unwrap();
    let window = keeper.window(at(7)).unwrap();
    assert_eq!(window.now(), at(7));
    assert!(keys(&window).iter().zip(&live).all(|(now, before)| now.0 == before.0 && now.1 != before.1));
}

#[test]
fn a_clock_that_stands_far_behind_refuses() {
    let disk = Disk::default();
    let keeper = open(&disk, at(CLOCK_LIMIT)).unwrap();
    let last = keeper.window(at(CLOCK_LIMIT)).unwrap();
    assert_eq!(keeper.window(at(0)).unwrap().now(), last.now());
    let before = Timestamp::from_unix_seconds(START - 1);
    assert!(is_behind(keeper.window(before), CLOCK_LIMIT + 1));
    assert!(open(&disk, Timestamp::ZERO).unwrap().window(Timestamp::ZERO).is_err());
}

#[test]
fn missed_slots_are_caught_up_before_anything_is_served() {
    let disk = Disk::default();
    drop(open(&disk, at(0)).unwrap());
    let before = stored(&disk);
    let later = at(MAX_LIFE + SKEW);
    let keeper = open(&disk, later).unwrap();
    keeper.confirm_clock(later).unwrap();
    keeper.rotate(later).unwrap();
    let after = stored(&disk);
    assert_eq!(after.len(), 4);
    assert_eq!(after[0], before[3]);
    assert!(after.iter().all(|(slot, _)| config().dead_at(*slot) > later));
    assert_eq!(keys(&keeper.window(later).unwrap()), after);
}

#[test]
fn a_key_is_served_to_its_slots_end_and_deleted_a_skew_later() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let (slot, first) = keys(&keeper.window(at(0)).unwrap())[0];
    assert_eq!(config().start_of(slot), at(0));
    pass(&keeper, at(SLOT - 1));
    assert!(keeper.window(at(SLOT - 1)).unwrap().key(slot).is_some());
    assert!(keeper.window(at(SLOT)).unwrap().key(slot).is_none());
    assert!(stored(&disk).contains(&(slot, first)));
    assert_eq!(config().dead_at(slot), at(SLOT + SKEW));
    pass(&keeper, at(SLOT + SKEW - 1));
    assert!(stored(&disk).contains(&(slot, first)));
    pass(&keeper, at(SLOT + SKEW));
    assert!(!stored(&disk).iter().any(|(_, key)| *key == first));
}

/// The attack on stored keys alone: an attacker who takes the disk, every block that ever was a key file
/// included, with the key-encryption key.
#[test]
fn no_block_of_the_disk_holds_a_key_whose_slot_is_over() {
    let opened = |disk: &Disk| -> Vec<[u8; 32]> {
        let sealed =
            disk.everything().into_iter().filter_map(|bytes| Some(bytes.strip_prefix(MAGIC)?.to_vec()));
        let plain = sealed.filter_map(|sealed| key().open(&sealed).ok());
        let states = plain.filter_map(|plain| State::from_bytes(&plain, config()).ok());
        states.flat_map(|state| state.keys().map(|(_, key)| *key.expose()).collect::<Vec<_>>()).collect()
    };
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let early = keys(&keeper.window(at(0)).unwrap());
    // Before, the same search finds all of them.
    assert!(early.iter().all(|(_, key)| opened(&disk).contains(key)));
    for step in 0..=(2 * MAX_LIFE / 60) {
        keeper.rotate(at(step * 60)).unwrap();
    }
    let found = opened(&disk);
    assert!(!found.is_empty());
    assert!(early.iter().all(|(_, key)| !found.contains(key)));
}

#[test]
fn a_key_that_is_late_is_overwritten_where_it_stands_when_there_is_no_room() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let early = keys(&keeper.window(at(0)).unwrap())[0];
    let due = SLOT + SKEW;
    pass(&keeper, at(due - 1));
    keeper.rotate(at(due)).unwrap();
    disk.fill(true);
    // Less than a minute late: a file that is whole is worth the wait.
    for now in [due + 1, due + 30, due + 59] {
        assert!(matches!(keeper.rotate(at(now)), Err(SlotKeyError::File(_))));
        assert!(stored(&disk).contains(&early));
    }
    keeper.rotate(at(due + 60)).unwrap();
    assert!(!stored(&disk).contains(&early));
    // The disk has no copy of it anywhere, and the keeper goes on.
    for bytes in disk.everything() {
        let plain = bytes.strip_prefix(MAGIC).and_then(|sealed| key().open(sealed).ok());
        let state = plain.and_then(|plain| State::from_bytes(&plain, config()).ok());
        assert!(state.is_none_or(|state| state.keys().all(|(slot, _)| slot != early.0)));
    }
    assert_eq!(keeper.window(at(due + 62)).unwrap().now(), at(due + 62));
    disk.fill(false);
    keeper.rotate(at(due + 70)).unwrap();
    drop(keeper);
    assert!(open(&disk, at(due + 80)).is_ok());
}

#[test]
fn recovery_replaces_every_key_and_shifts_the_pool() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let before = keeper.window(at(0)).unwrap();
    keeper.recover(at(1)).unwrap();
    let after = keeper.window(at(1)).unwrap();
    assert_eq!((before.generation(), before.pool_shift()), (1, 0));
    assert_eq!((after.generation(), after.pool_shift()), (2, 1));
    assert!(keys(&before).iter().all(|(_, key)| !stored(&disk).iter().any(|(_, stored)| stored == key)));
    drop(keeper);
    let reopened = open(&disk, at(1)).unwrap().window(at(1)).unwrap();
    assert_eq!((reopened.generation(), keys(&reopened)), (2, keys(&after)));
}

#[test]
fn a_lost_file_is_never_made_anew_in_silence() {
    let disk = Disk::default();
    open(&disk, at(0)).unwrap().recover(at(0)).unwrap();
    disk.remove_main();
    assert!(matches!(open(&disk, at(0)), Err(SlotKeyError::Lost)));
    let predecessor = Predecessor::from_text(&disk.read_counters().unwrap()).unwrap();
    assert_eq!(predecessor, Predecessor { generation: 2, pool_shift: 1 });
    let follow = || Setup::new(disk.clone(), key(), config(), &environment(at(5))).follow(predecessor);
    let window = follow().unwrap().window(at(5)).unwrap();
    assert_eq!((window.generation(), window.pool_shift()), (3, 2));
    assert!(matches!(follow(), Err(SlotKeyError::Exists)));
}

#[test]
fn an_older_copy_of_the_file_does_not_bring_its_keys_back() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let old = keys(&keeper.window(at(0)).unwrap());
    let copy = disk.main();
    keeper.recover(at(1)).unwrap();
    keeper.recover(at(2)).unwrap();
    drop(keeper);
    disk.replace_main(&copy);
    let window = open(&disk, at(3)).unwrap().window(at(3)).unwrap();
    assert_eq!((window.generation(), window.pool_shift()), (3, 2));
    let now = keys(&window);
    assert!(old.iter().all(|(_, key)| !now.iter().any(|(_, other)| other == key)));
    assert_eq!(stored(&disk), now);
    // Nor when the clock has to be confirmed first.
    disk.replace_main(&copy);
    let far = at(2 * MAX_LIFE);
    let keeper = open(&disk, far).unwrap();
    assert!(keeper.window(far).is_err());
    keeper.confirm_clock(far).unwrap();
    assert_eq!(keeper.window(far).unwrap().generation(), 3);
}

/// Every call that writes, with a failure at each of its steps, and then a power loss.
#[test]
fn a_failure_at_any_step_leaves_a_whole_file_and_loses_no_key_that_was_served() {
    type Call = fn(&Keeper, Timestamp) -> Result<(), SlotKeyError>;
    let calls: [(&str, Call); 4] = [
        ("window", |keeper, now| keeper.window(now).map(drop)),
        ("rotate", |keeper, now| keeper.rotate(now)),
        ("recover", |keeper, now| keeper.recover(now)),
        ("confirm", |keeper, now| keeper.confirm_clock(now)),
    ];
    let mut failed = 0;
    for (name, call) in calls {
        for (step, failure) in (0..6).flat_map(|step| FAILURES.map(|failure| (step, failure))) {
            let disk = Disk::default();
            let keeper = open(&disk, at(0)).unwrap();
            pass(&keeper, at(SLOT - 1));
            let served = keeper.window(at(SLOT - 1)).unwrap();
            let later = at(SLOT + SKEW);
            disk.fail(step, failure);
            let answer = call(&keeper, later);
            if !disk.heal() {
                continue;
            }
            failed += 1;
            let alive: Keys = keys(&served).into_iter().skip(1).collect();
            for loss in losses() {
                let disk = disk.after(loss);
                let keeper = open(&disk, later)
                    .unwrap_or_else(|error| panic!("{name} {step} {failure:?} {loss:?}: {error}"));
                keeper.rotate(later).unwrap();
                let window = keeper.window(later).unwrap();
                assert!(window.now() >= served.now());
                match window.generation() {
                    1 => assert_eq!(keys(&window)[..3], alive),
                    generation => assert_eq!((name, generation, window.pool_shift()), ("recover", 2, 1)),
                }
                if answer.is_ok() && name == "recover" {
                    assert_eq!(window.generation(), 2);
                }
                assert!(stored(&disk).iter().all(|(slot, _)| config().dead_at(*slot) > window.now()));
                let counters = Predecessor::from_text(&disk.read_counters().unwrap()).unwrap();
                assert_eq!(
                    (counters.generation, counters.pool_shift),
                    (window.generation(), window.pool_shift())
                );
            }
            // Without a power loss the keeper goes on, and the call succeeds when it is made again.
            if answer.is_err() {
                assert!(keeper.window(at(SLOT - 1)).is_ok(), "{name} {step} {failure:?}");
            }
            call(&keeper, later).unwrap();
            assert_eq!(keys(&keeper.window(later).unwrap()).len(), 4);
        }
    }
    assert!(failed > 40, "{failed} failures were planted");
}

#[test]
fn a_failure_while_the_file_is_made_leaves_none_or_a_whole_one() {
    for (step, failure) in (0..7).flat_map(|step| FAILURES.map(|failure| (step, failure))) {
        let disk = Disk::default();
        disk.fail(step, failure);
        let created = open(&disk, at(0)).is_ok();
        disk.heal();
        for loss in losses() {
            let disk = disk.after(loss);
            let window = open(&disk, at(0)).unwrap().window(at(0)).unwrap();
            assert_eq!((window.generation(), window.pool_shift()), (1, 0));
        }
        assert!(open(&disk, at(0)).is_ok(), "{created}");
    }
}

/// A key management that may be away.
struct Away(LocalKey, Arc<std::sync::atomic::AtomicBool>);

impl KeyEncryptionKey for Away {
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, SlotKeyError> {
        match self.1.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(SlotKeyError::EncryptionUnavailable),
            false => self.0.seal(plaintext),
        }
    }

    fn open(&self, sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, SlotKeyError> {
        self.0.open(sealed)
    }
}

#[test]
fn without_the_key_management_the_lease_is_served_and_nothing_more() {
    let (disk, away) = (Disk::default(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let encryption = Away(key(), away.clone());
    let keeper = Setup::new(disk.clone(), encryption, config(), &environment(at(0))).open().unwrap();
    away.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(keeper.window(at(LEASE)).is_ok());
    let refused = keeper.window(at(LEASE + 1)).unwrap_err();
    assert!(matches!(refused, SlotKeyError::EncryptionUnavailable));
    assert!(refused.is_retryable());
    away.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(keeper.window(at(LEASE + 1)).unwrap().now(), at(LEASE + 1));
}

#[test]
fn another_process_uses_a_window_for_its_lease_and_slot_only() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let window = keeper.window(at(10)).unwrap();
    let bytes = window.export();
    let there = SlotKeyWindow::import(&bytes).unwrap();
    assert_eq!((keys(&there), there.now(), there.config()), (keys(&window), at(10), config()));
    assert_eq!((there.generation(), there.pool_shift(), there.lease_end()), (1, 0, at(LEASE)));
    assert_eq!(there.later(at(3)).unwrap().now(), at(10));
    assert_eq!(keys(&there.later(at(LEASE)).unwrap()), keys(&window));
    assert!(there.later(at(LEASE + 1)).is_none());
    // Across a slot's boundary the keys are others.
    pass(&keeper, at(SLOT - 60));
    let last = keeper.window(at(SLOT - 5)).unwrap();
    assert!(last.later(at(SLOT - 1)).is_some() && last.later(at(SLOT)).is_none());
    for cut in 0..bytes.len() {
        assert!(matches!(SlotKeyWindow::import(&bytes[..cut]), Err(SlotKeyError::NotAWindow)));
    }
    assert!(SlotKeyWindow::import(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert!(SlotKeyWindow::import(&[&[2], &bytes[1..]].concat()).is_err());
}

#[test]
fn many_threads_are_served_one_set_of_keys_and_time_that_goes_on() {
    let disk = Disk::default();
    let keeper = open(&disk, at(0)).unwrap();
    let (seen, step_done) = (Mutex::new(HashMap::new()), std::sync::Barrier::new(4));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (keeper, seen, step_done) = (&keeper, &seen, &step_done);
            scope.spawn(move || {
                let mut last = Timestamp::ZERO;
                for step in 0..140u64 {
                    let window = keeper.window(at(step * 37 + thread * 11)).unwrap();
                    assert!(window.now() >= last);
                    last = window.now();
                    for (slot, key) in keys(&window) {
                        assert_eq!(*seen.lock().unwrap().entry(slot).or_insert(key), key);
                    }
                    if step % 7 == thread {
                        keeper.rotate(at(step * 37)).unwrap();
                    }
                    step_done.wait();
                }
            });
        }
    });
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Window,
    Rotate,
    Recover,
    Restart,
    /// A step of the next writing call fails, and the power is lost.
    Crash {
        step: usize,
        failure: usize,
        loss: usize,
    },
    Wait(u64),
    StepBack(u64),
    Confirm,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => Just(Act::Window),
        3 => Just(Act::Rotate),
        1 => Just(Act::Recover),
        2 => Just(Act::Restart),
        2 => (0usize..6, 0usize..3, 0usize..6).prop_map(|(step, failure, loss)| Act::Crash { step, failure, loss }),
        6 => (0u64..CLOCK_LIMIT).prop_map(Act::Wait),
        1 => (0u64..2 * SLOT).prop_map(Act::Wait),
        2 => (0u64..SLOT).prop_map(Act::StepBack),
        1 => Just(Act::Confirm),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The model: which key each slot of a generation has, the latest time served, and the times
    /// that rotations and confirmations have said.
    #[test]
    fn any_history_keeps_the_rules(acts in acts()) {
        let mut disk = Disk::default();
        let mut clock = MAX_LIFE;
        let mut keeper = open(&disk, at(clock)).unwrap();
        let (mut latest, mut generation) = (Timestamp::ZERO, 1);
        let mut known: HashMap<(u32, Slot), [u8; 32]> = HashMap::new();
        let mut said = vec![at(clock)];
        for act in acts {
            let before = content(&disk);
            let confirms = matches!(act, Act::Confirm);
            if !matches!(act, Act::Window | Act::Confirm) && keeper.held().guard.check(at(clock)).is_ok() {
                said.push(at(clock));
            }
            match act {
                Act::Window => match keeper.window(at(clock)) {
                    Ok(window) => {
                        let now = window.now();
                        prop_assert!(now >= latest && now >= at(clock));
                        latest = now;
                        prop_assert!(window.generation() >= generation);
                        prop_assert_eq!(window.generation(), window.pool_shift() + 1);
                        generation = window.generation();
                        let slots: Vec<_> = config().reached(now).collect();
                        prop_assert_eq!(window.slots().map(|(slot, _)| slot).collect::<Vec<_>>(), slots);
                        for (slot, key) in keys(&window) {
                            prop_assert_eq!(*known.entry((generation, slot)).or_insert(key), key);
                        }
                        for (slot, key) in stored(&disk) {
                            prop_assert!(config().dead_at(slot) > keeper.held().guard.settled());
                            prop_assert!(config().start_of(slot) <= now.saturating_add(MAX_LIFE));
                            // No key of another slot, and none of an earlier generation.
                            prop_assert!(known.iter().all(|(at, other)| *other != key || *at == (generation, slot)));
                        }
                        prop_assert!(content(&disk).mark >= now);
                    }
                    Err(SlotKeyError::Clock(ClockError::Ahead { seconds } | ClockError::Behind { seconds })) => {
                        prop_assert!(seconds > CLOCK_LIMIT);
                    }
                    Err(error) => prop_assert!(false, "{error}"),
                },
                Act::Rotate => drop(keeper.rotate(at(clock))),
                Act::Recover => drop(keeper.recover(at(clock))),
                Act::Restart => {
                    drop(keeper);
                    keeper = open(&disk, at(clock)).unwrap();
                }
                Act::Crash { step, failure, loss } => {
                    disk.fail(step, FAILURES[failure]);
                    clock += LEASE;
                    let _ = keeper.rotate(at(clock));
                    said.extend([at(clock); 2]);
                    drop(keeper);
                    disk = disk.after(losses().nth(loss).unwrap());
                    keeper = open(&disk, at(clock)).unwrap();
                }
                Act::Wait(seconds) => clock += seconds,
                Act::StepBack(seconds) => clock = clock.saturating_sub(seconds),
                Act::Confirm => {
                    keeper.confirm_clock(at(clock)).unwrap();
                    prop_assert_eq!(keeper.window(at(clock)).unwrap().now(), at(clock));
                    latest = at(clock);
                    said.retain(|time| *time < at(clock));
                    said.push(at(clock));
                    let kept = stored(&disk);
                    // A slot that was over, and its key deleted, has another one if time is set back into it.
                    known.retain(|(_, slot), key| kept.contains(&(*slot, *key)));
                }
            }
            // What went was over by two times that were said, or lies beyond a time that was set back.
            let after = content(&disk);
            for (slot, key) in before.keys().filter(|_| before.generation == after.generation) {
                let is_over = said.iter().filter(|time| **time >= config().dead_at(slot)).count() >= 2;
                let is_beyond = confirms && config().start_of(slot) > at(clock + MAX_LIFE);
                let is_kept = after.keys().any(|(other, kept)| other == slot && kept.expose() == key.expose());
                prop_assert!(is_kept || is_over || is_beyond);
            }
        }
    }
}
