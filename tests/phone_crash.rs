//! A process that binds, replaces, releases and closes is killed at random moments: no
//! acknowledged binding is lost, none that was ended comes back, no number is drawn twice.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs, thread};
use unjoin::phone::{
    Attestation, Binding, Bound, Channel, Hub, Keeper, Leg, LocalKey, NumberRange, OrderRef, Parties,
    PhoneNumber, Pool, PoolConfig, PoolRange, Replacement, Route, RouteRequest, SlotConfig, Switchboard,
    SwitchboardConfig, SwitchboardError, VirtualNumber,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::RedbStore;
use unjoin::{DAY, Environment, ManualClock, Name, Timestamp};
use unjoin_test_util::Directory;

/// The number of kills, if it is not the usual.
const KILLS: &str = "UNJOIN_KILLS";
/// Names a child's directory, which makes it a child; its life's number and first order follow.
const CHILD: &str = "UNJOIN_PHONE_CRASH_CHILD";
const TEST: &str = "what_was_acknowledged_survives_every_kill";
const START: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
const LIFE: u64 = 86_400 / 2;
const HUBS: u64 = 5;
const THREADS: u64 = 3;

/// A number that looks random and is determined by `seed` (the finalizer of SplitMix64).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::new(&format!("+86138{number:08}")).unwrap()
}

fn order_of(number: u64) -> OrderRef {
    OrderRef { merchant: name(&format!("merchant {}", mix(number) % 3)), order: name(&number.to_string()) }
}

/// The courier of an order, before and after it is replaced.
fn hub_of(number: u64, replaced: bool) -> u64 {
    (mix(number ^ 0xc0) + u64::from(replaced)) % HUBS
}

fn customer_of(number: u64) -> u64 {
    1000 + number
}

fn courier(hub: u64) -> Name {
    name(&format!("courier {hub}"))
}

fn parties_of(number: u64, replaced: bool) -> Parties {
    Parties { hub: phone(hub_of(number, replaced)), customer: phone(customer_of(number)) }
}

fn pool() -> Arc<Pool> {
    let slice = |slice: u64| {
        let first = VirtualNumber::new(&format!("+86700{:012}", slice * 100_000)).unwrap();
        vec![PoolRange::in_service(NumberRange::new(first, 100_000).unwrap())]
    };
    let config = PoolConfig {
        epoch_seconds: DAY,
        max_life: LIFE,
        quarantine: DAY,
        spare_recoveries: 0,
        largest_hub: 100_000,
        slices: (0..4).map(slice).collect(),
        withdrawn: vec![],
        resting: vec![],
    };
    Arc::new(Pool::new(config, &SecretBytes::new([7; 32])).unwrap())
}

/// A switchboard on what lies in the directory; the clock stands a little later in each life.
fn open(directory: &Path, life: u64) -> Switchboard<RedbStore> {
    let clock = Arc::new(ManualClock::new(START.saturating_add(life)));
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    let key = LocalKey::new(SecretBytes::new([9; 32]));
    let slots = SlotConfig::new(LIFE, 4, 30).unwrap();
    let keeper = Keeper::create_or_open(directory.join("keys"), key, slots, &environment).unwrap();
    let store = Arc::new(unjoin_test_util::redb(directory.join("rows")).unwrap());
    Switchboard::open(store, SwitchboardConfig::new(LIFE), pool(), Arc::new(keeper), environment).unwrap()
}

/// What happens to an order, in this order; most of it to some only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Bind,
    Replace,
    Release,
    Close,
}

const ACTS: [(Act, &str); 4] =
    [(Act::Bind, "bind"), (Act::Replace, "replace"), (Act::Release, "release"), (Act::Close, "close")];

fn acts_on(number: u64) -> Vec<Act> {
    let kind = mix(number ^ 0xac) % 8;
    ACTS.iter()
        .map(|(act, _)| *act)
        .filter(|act| match act {
            Act::Bind => true,
            Act::Replace => kind >= 4,
            Act::Release => kind == 3 || kind == 7,
            Act::Close => kind == 2 || kind == 6,
        })
        .collect()
}

/// Does it; the number that rings afterwards, or the time from which all are dead.
fn act(
    board: &Switchboard<RedbStore>,
    number: u64,
    act: Act,
    before: &str,
) -> Result<String, SwitchboardError> {
    let of = order_of(number);
    let text = |bound: Bound| bound.number.to_e164();
    match act {
        Act::Bind => {
            let not_after = START.saturating_add(LIFE);
            let (hub, parties) = (courier(hub_of(number, false)), parties_of(number, false));
            board.bind(Binding::courier(of, hub, parties, not_after)).wait().map(text)
        }
        Act::Replace => {
            let hub = Hub::Courier(courier(hub_of(number, true)));
            let replaces = VirtualNumber::new(before).unwrap();
            let parties = parties_of(number, true);
            board.replace(Replacement { order: of, hub, parties, replaces }).wait().map(text)
        }
        Act::Release => board.release(&of, Leg::Courier).map(|()| "-".to_owned()),
        Act::Close => {
            let dead_at = board.close_orders(&[of]).pop().unwrap()?;
            Ok(dead_at.as_unix_seconds().to_string())
        }
    }
}

fn live_until_killed(directory: &Path, life: u64, first: u64) -> ! {
    let board = open(directory, life);
    let next = AtomicU64::new(first);
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        // Nobody listens any more: there is nothing left to live for.
        if writeln!(out, "\n{line}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    };
    thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let mut before = String::new();
                    for of in acts_on(number) {
                        let word = ACTS.iter().find(|(act, _)| *act == of).unwrap().1;
                        say(format!("asking {number} {word}"));
                        before = act(&board, number, of, &before).unwrap();
                        say(format!("done {number} {word} {before}"));
                    }
                }
            });
        }
    });
    unreachable!()
}

/// A child that does not outlive the test.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets one life begin, kills it after so many lines and so long: what it said.
fn kill_one(directory: &Path, life: u64, first: u64) -> Vec<String> {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{}|{life}|{first}", directory.to_str().unwrap()))
        .stdout(Stdio::piped())
        .spawn();
    let mut victim = Victim(child.unwrap());
    let said = BufReader::new(victim.0.stdout.take().unwrap());
    let (wanted, delay) = (1 + mix(life ^ 0x11) % 80, Duration::from_micros(mix(life ^ 0x22) % 5000));
    let mut lines = Vec::new();
    thread::scope(|threads| {
        let mut waiting = Some(victim);
        // What a killed process wrote before stays in the pipe: it was acknowledged.
        for line in said.lines().map(Result::unwrap) {
            if !line.starts_with("asking ") && !line.starts_with("done ") {
                continue;
            }
            lines.push(line);
            if lines.len() as u64 >= wanted
                && let Some(mut victim) = waiting.take()
            {
                // Reading goes on meanwhile. The delay waits for nothing: it is what is random.
                threads.spawn(move || {
                    thread::sleep(delay);
                    assert!(victim.0.try_wait().unwrap().is_none(), "a child ended by itself");
                });
            }
        }
        assert!(waiting.is_none(), "a child ended by itself: its fault stands above");
    });
    lines
}

/// What was said of an order.
#[derive(Default)]
struct Known {
    asked: BTreeSet<Act>,
    done: BTreeMap<Act, String>,
}

impl Known {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let act = ACTS.iter().find(|(_, word)| *word == words[2]).unwrap().0;
        match words[0] {
            "asking" => drop(self.asked.insert(act)),
            _ => drop(self.done.insert(act, words[3].to_owned())),
        }
    }
}

fn reaches(board: &Switchboard<RedbStore>, caller: u64, dialled: &str) -> Option<PhoneNumber> {
    let request = RouteRequest {
        caller: Some(phone(caller)),
        dialled: VirtualNumber::new(dialled).unwrap(),
        channel: Channel::Voice,
        attestation: Attestation::Full,
        trusted_trunk: false,
    };
    match board.route(&request).unwrap() {
        Route::Connect { callee, .. } => Some(callee),
        Route::Refuse => None,
    }
}

/// Holds the reopened stores against what was said of an order, asks for what was not answered,
/// and tells the numbers that its couriers had.
fn check(
    board: &Switchboard<RedbStore>,
    number: u64,
    known: &mut Known,
    unseen: &mut usize,
) -> Vec<(u64, String)> {
    let mut before = String::new();
    for of in acts_on(number) {
        if !known.asked.contains(&of) {
            break;
        }
        let answer = act(board, number, of, &before);
        let ended = known.asked.iter().any(|other| *other > of && *other >= Act::Release);
        let replaced = known.asked.contains(&Act::Replace) && of == Act::Bind;
        match (known.done.get(&of), answer) {
            // Asked again it is the same, unless something ended or replaced it since.
            (Some(done), Ok(again)) => assert_eq!(*done, again),
            (Some(_), Err(error)) => {
                let code = error.code();
                let expected =
                    ["switchboard.ended", "switchboard.order_closed", "switchboard.different_parties"];
                assert!((ended || replaced) && expected.contains(&code), "{code}");
            }
            (None, Ok(now)) => {
                *unseen += 1;
                known.done.insert(of, now);
            }
            (None, Err(error)) => panic!("an order cannot go on: {error}"),
        }
        before = known.done[&of].clone();
    }
    let done = |act| known.done.get(&act);
    let (bound, replaced) = (done(Act::Bind), done(Act::Replace));
    let over = done(Act::Release).is_some() || done(Act::Close).is_some();
    let mut had = Vec::new();
    for (x, is_second) in [(bound, false), (replaced, true)] {
        let Some(x) = x else { continue };
        let hub = hub_of(number, is_second);
        let live = !over && (is_second || replaced.is_none());
        assert_eq!(reaches(board, customer_of(number), x), live.then(|| phone(hub)));
        assert_eq!(reaches(board, hub, x), live.then(|| phone(customer_of(number))));
        had.push((hub, x.clone()));
    }
    had
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    if let Ok(told) = env::var(CHILD) {
        let mut words = told.split('|');
        let directory = PathBuf::from(words.next().unwrap());
        let mut number = || words.next().unwrap().parse().unwrap();
        live_until_killed(&directory, number(), number());
    }
    let kills: u64 = env::var(KILLS).map_or(25, |kills| kills.parse().unwrap());
    let parent = Directory::new();
    let directory = parent.file("phones");
    fs::create_dir(&directory).unwrap();
    let (mut orders, mut unseen) = (BTreeMap::<u64, Known>::new(), 0);
    drop(open(&directory, 0));
    for kill in 0..kills {
        let first = orders.last_key_value().map_or(0, |(number, _)| number + 1);
        for line in kill_one(&directory, kill, first) {
            let number = line.split(' ').nth(1).unwrap().parse().unwrap();
            orders.entry(number).or_default().note(&line);
        }
        let board = open(&directory, kill);
        let mut drawn = BTreeSet::new();
        for (number, known) in &mut orders {
            for had in check(&board, *number, known, &mut unseen) {
                assert!(drawn.insert(had), "a number was drawn twice");
            }
        }
    }
    eprintln!("{kills} kills, {} orders, {unseen} unanswered requests asked again", orders.len());
    assert!(unseen > 0, "the kills have missed what they were to hit");
}
