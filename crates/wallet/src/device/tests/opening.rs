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
    let (mut world, rng) = (World::new(seed), &mut Seeded(seed ^ 0x0be7));
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
    let (mut now, mut background) = (START, Some(START));
    while now < day(days) {
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

/// Of all times that lie at most so long after an opening of the app, or a request of the device's own under the account.
fn share_after(times: &[Timestamp], account: &[Timestamp], from: u64, to: u64) -> f64 {
    let after = |time: &&Timestamp| {
        account.iter().any(|at| **time >= *at && (from..to).contains(&time.saturating_since(*at)))
    };
    times.iter().filter(after).count() as f64 / times.len().max(1) as f64
}

#[test]
fn what_passes_the_door_is_sent_at_no_time_that_an_opened_app_explains() {
    let days = 40;
    for habit in [Habit::Clockwork, Habit::Busy] {
        let phones: Vec<Sent> = (0..16).map(|seed| live(habit, seed, days)).collect();
        let mut expected = 0.0;
        let (mut early, mut all) = (0.0, 0.0);
        for phone in &phones {
            for time in &phone.door {
                let near = |at: &Timestamp| *at <= *time && time.saturating_since(*at) < APART;
                assert!(!phone.account.iter().any(near), "{habit:?}: beside the account");
            }
            assert!(
                phone
                    .door
                    .iter()
                    .zip(phone.door.iter().skip(1))
                    .all(|(a, b)| b.saturating_since(*a) >= APART)
            );
            // The half hour after the closed one: a device that waited for its end would send then.
            let (from, to) = (APART, 2 * APART);
            early += share_after(&phone.door, &phone.account, from, to) * phone.door.len() as f64;
            all += phone.door.len() as f64;
            // All minutes at which it could be sent.
            let minutes = (0..days * DAY / MINUTE).map(|minute| START.saturating_add(minute * MINUTE));
            let closed = |time: &Timestamp| share_after(&[*time], &phone.account, 0, APART) > 0.0;
            let minutes: Vec<Timestamp> = minutes.step_by(15).filter(|time| !closed(time)).collect();
            expected += share_after(&minutes, &phone.account, from, to) * phone.door.len() as f64;
        }
        let submitted = phones.iter().filter(|phone| phone.submitted).count();
        println!(
            "{habit:?}: {all} through the door, {early} in the half hour after the closed one, {expected:.1} expected; {submitted} of 16 sent"
        );
        assert!(all > 400.0 && submitted >= 12, "{habit:?}: {all}, {submitted}");
        // Three standard deviations of what is independent.
        assert!(early < expected + 3.0 * expected.sqrt(), "{habit:?}: {early} of {expected}");
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
