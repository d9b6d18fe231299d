//! A process that binds, replaces, releases and closes is killed at random moments: no
//! acknowledged binding is lost, none that was ended comes back, no number is drawn twice.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};
use unjoin::phone::{
    Binding, Bound, Leg, OrderRef, Parties, PhoneNumber, Route, Switchboard, SwitchboardConfig,
    SwitchboardError, VirtualNumber,
};
use unjoin::secret::SystemRng;
use unjoin::store::RedbStore;
use unjoin::store::identity::Role;
use unjoin::{Environment, ManualClock};
use unjoin_phone::test_util::{
    LIFE, START, courier, keeper, order, parties, phone, pool, pool_config, request,
};
use unjoin_test_util::own;
use unjoin_test_util::{Directory, kill, mix};

const TEST: &str = "what_was_acknowledged_survives_every_kill";
const HUBS: u64 = 5;
const THREADS: u64 = 3;

fn order_of(number: u64) -> OrderRef {
    order(&format!("merchant {}", mix(number) % 3), &number.to_string())
}

/// The courier of an order, before and after it is replaced.
fn hub_of(number: u64, replaced: bool) -> u64 {
    (mix(number ^ 0xc0) + u64::from(replaced)) % HUBS
}

fn customer_of(number: u64) -> u64 {
    1000 + number
}

fn parties_of(number: u64, replaced: bool) -> Parties {
    parties(hub_of(number, replaced), customer_of(number))
}

/// A switchboard on what lies in the directory; the clock stands a little later in each life.
fn open(directory: &Path, life: u64) -> Switchboard<RedbStore> {
    let clock = Arc::new(ManualClock::new(START.saturating_add(life)));
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    let keeper = keeper(directory.join("keys"), LIFE, &environment);
    let store = Arc::new(unjoin_test_util::redb(directory.join("rows")).unwrap());
    let pool = pool(pool_config(4, 100_000, LIFE));
    Switchboard::open(
        own(&store, Role::Telephony),
        SwitchboardConfig {
            calls_at_once: usize::MAX,
            calls_per_hour: u32::MAX,
            ..SwitchboardConfig::new(LIFE)
        },
        pool,
        keeper,
        environment,
    )
    .unwrap()
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
            let (hub, parties) = (courier(hub_of(number, true)), parties_of(number, true));
            board.replace(&of, Some(hub), parties, VirtualNumber::new(before).unwrap()).wait().map(text)
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
    thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let mut before = String::new();
                    for of in acts_on(number) {
                        let word = ACTS.iter().find(|(act, _)| *act == of).unwrap().1;
                        kill::say(&format!("asking {number} {word}"));
                        before = act(&board, number, of, &before).unwrap();
                        kill::say(&format!("done {number} {word} {before}"));
                    }
                }
            });
        }
    });
    unreachable!()
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
    match board.route(&request(caller, VirtualNumber::new(dialled).unwrap())).unwrap() {
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
    if let Some(told) = kill::told() {
        let mut words = told.split('|');
        let directory = PathBuf::from(words.next().unwrap());
        let mut number = || words.next().unwrap().parse().unwrap();
        live_until_killed(&directory, number(), number());
    }
    let kills = kill::kills(25);
    let parent = Directory::new();
    let directory = parent.file("phones");
    fs::create_dir(&directory).unwrap();
    let (mut orders, mut unseen) = (BTreeMap::<u64, Known>::new(), 0);
    drop(open(&directory, 0));
    for life in 0..kills {
        let first = orders.last_key_value().map_or(0, |(number, _)| number + 1);
        // It dies after so many lines and so long.
        let (mut lines, delay) = (1 + mix(life ^ 0x11) % 80, Duration::from_micros(mix(life ^ 0x22) % 5000));
        let moment = |_: &str| {
            lines -= 1;
            (lines == 0).then_some(delay)
        };
        let told = format!("{}|{life}|{first}", directory.to_str().unwrap());
        for line in kill::live_until_killed(TEST, told, moment) {
            let number = line.split(' ').nth(1).unwrap().parse().unwrap();
            orders.entry(number).or_default().note(&line);
        }
        let board = open(&directory, life);
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
