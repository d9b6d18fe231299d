//! When things are really sent, by phones that people open, and that sleep.

use super::*;
use crate::device::plan::APART;
use unjoin_core::secret::SecretBytes as Bytes;
use unjoin_core::secret::below;

const HOUR: u64 = 3_600;
const MINUTE: u64 = 60;

/// How a phone is used: when it is opened, and how it sleeps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    /// In the morning and at night, to the minute almost; its background tasks are run late, often by hours.
    Clockwork,
    /// Many times between eight and midnight; background tasks are run when the screen is on, or within two hours.
    Busy,
    /// Every third evening, switched off between: nothing is ever run in the background but while it is on.
    Seldom,
}

/// What one phone sent: when the account was used, and when the door was passed.
struct Sent {
    account: Vec<Timestamp>,
    door: Vec<Timestamp>,
    submitted: bool,
}

/// The times at which somebody opens the app.
fn openings(habit: Habit, days: u64, rng: &mut Seeded) -> Vec<Timestamp> {
    let mut times = Vec::new();
    for date in 0..days {
        let at = |second: u64| day(date).saturating_add(second);
        match habit {
            Habit::Clockwork => {
                times.push(at(7 * HOUR + below(10 * MINUTE, rng)));
                times.push(at(22 * HOUR + below(10 * MINUTE, rng)));
            }
            Habit::Busy => times.extend((0..8).map(|_| at(8 * HOUR + below(16 * HOUR, rng)))),
            Habit::Seldom if date % 3 == 0 => times.push(at(18 * HOUR + below(4 * HOUR, rng))),
            Habit::Seldom => {}
        }
    }
    times.sort();
    times
}

/// When a background task is run that was asked for `at`; `None` if the phone is off.
fn run_at(habit: Habit, at: Timestamp, now: Timestamp, rng: &mut Seeded) -> Option<Timestamp> {
    let at = at.max(now.saturating_add(1));
    match habit {
        Habit::Seldom => None,
        _ if below(2, rng) == 0 => Some(at.saturating_add(below(3 * MINUTE, rng))),
        Habit::Clockwork => Some(at.saturating_add(below(6 * HOUR, rng))),
        Habit::Busy => Some(at.saturating_add(below(2 * HOUR, rng))),
    }
}

fn live(habit: Habit, seed: u64, days: u64) -> Sent {
    let (mut world, rng) = (World::with_ledger(seed), &mut Seeded(seed ^ 0x0be7));
    let mut device = world.device();
    let key = Bytes::random(rng);
    let mut sent = Sent { account: Vec::new(), door: Vec::new(), submitted: false };
    for number in 0..2 {
        let (merchant, handle) = order(number);
        device.order_eligible(merchant, handle, START, rng).unwrap();
        device.write_review(handle, review(number), START, rng).unwrap();
    }
    let openings = openings(habit, days, rng);
    // The app stays open for five minutes and asks each minute.
    let open_at = |now: Timestamp| {
        openings.iter().copied().rfind(|at| *at <= now).filter(|at| now.saturating_since(*at) < 5 * MINUTE)
    };
    let (mut now, mut background, mut steps) = (START, Some(START), 0u64);
    while now < day(days) {
        steps += 1;
        assert!(steps < 20_000, "{habit:?} at {now}, waking all the time");
        if open_at(now) == Some(now) {
            device.account_used(now);
            sent.account.push(now);
            // While it is open its owner changes their mind, often.
            for number in 0..2 {
                if below(2, rng) == 0 {
                    device.edit_review(order(number).1, review(below(9, rng) as u8), now, rng).unwrap();
                }
            }
        }
        let actions = device.next(now, rng);
        for action in actions.iter().filter(|action| action.request.is_some()) {
            let request = action.request.as_ref().unwrap();
            if request.carries_account() { &mut sent.account } else { &mut sent.door }.push(now);
            let reply = world.answer(request, now);
            device.handle(action.number, reply, now, rng).unwrap();
        }
        let answered = actions.iter().any(|action| action.request.is_some());
        if answered {
            // The process ends, and another begins.
            device = Device::open(&device.seal(&key, rng), &key, world.trust()).unwrap();
        }
        let coming = actions.iter().filter(|action| action.request.is_none()).map(|action| action.at).min();
        if answered || background.is_none_or(|at| at <= now) {
            let at = if answered { Some(now) } else { coming };
            background = at.and_then(|at| run_at(habit, at, now, rng));
        }
        let opened = openings.iter().copied().find(|at| *at > now);
        let minute = open_at(now).map(|_| now.saturating_add(MINUTE));
        let next = [background, opened, minute].into_iter().flatten().min();
        now = next.unwrap_or(day(days)).max(now.saturating_add(1));
    }
    sent.submitted = !world.reviews.is_empty();
    sent
}

/// Seconds since the account was last seen.
fn since_account(time: Timestamp, account: &[Timestamp]) -> u64 {
    let before = account.partition_point(|at| *at <= time);
    before.checked_sub(1).map_or(u64::MAX, |last| time.saturating_since(account[last]))
}

#[test]
fn what_passes_the_door_is_sent_at_no_time_that_an_opened_app_explains() {
    let (phones, days) = (12, 40);
    // The half hour after the closed one: a device that waited for its end would send then.
    let is_early = |since: &u64| (APART..2 * APART).contains(since);
    for habit in [Habit::Clockwork, Habit::Busy] {
        let (mut early, mut all, mut expected, mut submitted) = (0, 0, 0.0, 0);
        for seed in 0..phones {
            let mut phone = live(habit, seed, days);
            phone.account.sort();
            let since: Vec<u64> =
                phone.door.iter().map(|time| since_account(*time, &phone.account)).collect();
            assert!(since.iter().all(|since| *since >= APART), "{habit:?}: beside the account");
            let pairs = phone.door.iter().zip(phone.door.iter().skip(1));
            assert!(pairs.into_iter().all(|(a, b)| b.saturating_since(*a) >= APART), "{habit:?}: in a burst");
            // All minutes at which something could be sent.
            let minutes = (0..days * DAY / MINUTE).map(|minute| START.saturating_add(minute * MINUTE));
            let open: Vec<u64> = minutes
                .map(|time| since_account(time, &phone.account))
                .filter(|since| *since >= APART)
                .collect();
            let share = open.iter().filter(|since| is_early(since)).count() as f64 / open.len() as f64;
            early += since.iter().filter(|since| is_early(since)).count();
            all += since.len();
            expected += share * since.len() as f64;
            submitted += usize::from(phone.submitted);
        }
        println!(
            "{habit:?}: {all} passed, {early} in the half hour after the closed one, {expected:.1} expected"
        );
        assert!(all > 200 && submitted >= 9, "{habit:?}: {all}, {submitted}");
        // Three standard deviations of what is independent.
        assert!((early as f64) < expected + 3.0 * expected.sqrt(), "{habit:?}: {early} of {expected}");
    }
}

/// A phone that is only on while its owner looks sends nothing through the door, rather than tell when that was.
#[test]
fn what_is_only_on_while_it_is_open_sends_nothing_through_the_door() {
    let phone = live(Habit::Seldom, 5, 60);
    assert!(phone.door.is_empty() && !phone.submitted);
    // Its tokens it has: the account is seen anyway.
    assert!(phone.account.len() > 20);
}
