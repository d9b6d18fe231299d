//! Any order of calls, replies, losses, duplicates, clock steps and restarts.

use super::*;
use crate::device::plan::{APART, PUNCTUAL};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::sync::atomic::{AtomicU64, Ordering};
use unjoin_test_util::shifted;

const ORDERS: u8 = 3;
const CASES: u32 = 160;

#[derive(Clone, Debug)]
enum Op {
    /// Time passes, and nothing else.
    Sleep(u64),
    /// The timer wakes the app at the earliest time that it was told.
    Punctual,
    /// The device's clock is set: so many seconds before or after the true time.
    SetClock(i64),
    /// The owner opens the app, which shows something of the account's.
    Open,
    Eligible(u8),
    Write(u8, u8),
    Edit(u8, u8),
    Withdraw(u8),
    Next,
    /// The platform answers what was sent, this one of it, and its answer arrives.
    Answer(usize),
    /// It is answered, and the answer is lost; whether the app notices.
    Lose(usize, bool),
    /// The answer arrives changed.
    Change(usize, usize),
    /// An answer of before arrives once more.
    Again(usize),
    Restart,
}

/// Each with whether the app ends before it has stored what the call changed.
fn op() -> impl Strategy<Value = (Op, bool)> {
    let (order, index) = (0..ORDERS, any::<usize>());
    let op = prop_oneof![
        2 => (0..3_600u64).prop_map(Op::Sleep),
        1 => (0..DAY).prop_map(Op::Sleep),
        16 => Just(Op::Punctual),
        1 => prop_oneof![
            4 => Just(0i64),
            1 => -400 * DAY as i64..400 * DAY as i64,
            2 => -7_200i64..7_200,
        ].prop_map(Op::SetClock),
        1 => Just(Op::Open),
        3 => order.clone().prop_map(Op::Eligible),
        3 => (order.clone(), 0..4u8).prop_map(|(order, text)| Op::Write(order, text)),
        1 => (order.clone(), 4..8u8).prop_map(|(order, text)| Op::Edit(order, text)),
        1 => order.prop_map(Op::Withdraw),
        4 => Just(Op::Next),
        12 => index.prop_map(Op::Answer),
        2 => (index, any::<bool>()).prop_map(|(at, noticed)| Op::Lose(at, noticed)),
        1 => (index, index).prop_map(|(at, bit)| Op::Change(at, bit)),
        1 => index.prop_map(Op::Again),
        1 => Just(Op::Restart),
    ];
    (op, prop::bool::weighted(0.06))
}

/// The digests that an order's review may have in the end; `None` for no review.
type Wanted = Vec<Option<Digest>>;

struct Model {
    world: World,
    device: Device,
    key: SecretBytes<32>,
    blob: Vec<u8>,
    rng: Seeded,
    truth: Timestamp,
    skew: i64,
    /// What was sent and not yet answered: it stays so over restarts of the app.
    sent: Vec<(u32, Request)>,
    answered: Vec<(u32, Reply)>,
    wanted: BTreeMap<u8, Wanted>,
    steps: u64,
    /// So much was sent through the door.
    passed: u64,
    /// By the device's clock, since it was last set.
    account_at: Option<Timestamp>,
    door_at: Option<Timestamp>,
}

impl Model {
    fn new(seed: u64, with_ledger: bool) -> Self {
        let mut world = if with_ledger { World::with_ledger(seed) } else { World::new(seed) };
        let (device, mut rng) = (world.device(), Seeded(seed ^ 1));
        let key = SecretBytes::random(&mut rng);
        let blob = device.seal(&key, &mut rng);
        let (sent, answered, wanted) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (account_at, door_at) = (None, None);
        let truth = START;
        Self {
            world,
            device,
            key,
            blob,
            rng,
            truth,
            skew: 0,
            sent,
            answered,
            wanted,
            steps: 0,
            passed: 0,
            account_at,
            door_at,
        }
    }

    fn now(&self) -> Timestamp {
        shifted(self.truth, self.skew)
    }

    fn restart(&mut self) {
        self.device = Device::open(&self.blob, &self.key, self.world.trust()).unwrap();
    }

    /// Stored, unless the app ends before; the answer is whether it was.
    fn store(&mut self, ends: bool) -> bool {
        if ends {
            self.restart();
        } else {
            self.blob = self.device.seal(&self.key, &mut self.rng);
        }
        !ends
    }

    fn next(&mut self, ends: bool) {
        let now = self.now();
        let actions = self.device.next(now, &mut self.rng);
        if !self.store(ends) {
            return;
        }
        for Action { number, at, request } in actions {
            let Some(request) = request else {
                assert_eq!(number, 0);
                continue;
            };
            assert!(at <= now, "sent before its time");
            let apart = |last: Option<Timestamp>| last.is_none_or(|last| now.saturating_since(last) >= APART);
            if request.carries_account() {
                assert!(apart(self.door_at), "the account is seen beside what passed the door");
                self.account_at = Some(now);
            } else {
                assert!(apart(self.account_at) && apart(self.door_at), "the door is passed beside something");
                assert!(now.saturating_since(at) <= PUNCTUAL, "overdue, and sent because the device woke");
                self.door_at = Some(now);
                self.passed += 1;
                self.is_in_time(&request, now);
            }
            self.sent.push((number, request));
        }
        // At most one an order, and one each for enrolling and fetching.
        let mut under_way: Vec<_> = self.device.places();
        under_way.retain(|place| self.device.task(*place).is_some_and(|task| task.in_flight.is_some()));
        assert!(under_way.len() <= usize::from(ORDERS) + 2);
    }

    /// A submission is sent in the last 20 hours before the first publication, or in five days before a later one.
    fn is_in_time(&self, request: &Request, now: Timestamp) {
        let Request::Door(message) = request else { return };
        let message = DoorMessage::from_bytes(message).unwrap();
        let DoorQuestion::Submission { presentation, .. } = message.question() else { return };
        let dates = self.world.dates(presentation.scope());
        let in_span = dates.as_slice().iter().any(|date| {
            let span = if *date == dates.first() { 20 * 3_600 } else { 5 * DAY };
            date.saturating_sub(span) <= now && now < *date
        });
        assert!(in_span, "sent at a time of its own");
    }

    fn arrive(&mut self, number: u32, reply: Reply, ends: bool) {
        let outcome = self.device.handle(number, reply.clone(), self.now(), &mut self.rng);
        if let Err(error) = outcome {
            // Late, or the clock had been set; nothing that the platform is to blame for.
            let allowed =
                matches!(error, WalletError::NotAsked | WalletError::Receipt | WalletError::NotLogged);
            assert!(allowed, "{error:?}");
        }
        self.answered.push((number, reply));
        self.store(ends);
    }

    fn wants(&mut self, number: u8, ends: bool, told: Result<(), WalletError>, wanted: &dyn Fn(&mut Wanted)) {
        if self.store(ends) && told.is_ok() {
            wanted(self.wanted.entry(number).or_default());
        }
    }

    fn run(&mut self, op: Op, ends: bool) {
        self.steps += 1;
        let now = self.now();
        match op {
            Op::Sleep(seconds) => self.truth = self.truth.saturating_add(seconds),
            Op::Punctual => {
                let coming = self.device.coming().into_iter().map(|action| action.at).min();
                let seconds = coming.map_or(0, |at| at.saturating_since(now)).min(3 * DAY);
                self.truth = self.truth.saturating_add(seconds);
                self.next(ends);
            }
            Op::SetClock(skew) => {
                (self.skew, self.account_at, self.door_at) = (skew, None, None);
            }
            Op::Open => {
                self.device.account_used(now);
                if self.store(ends) {
                    self.account_at = Some(now);
                }
                self.next(false);
            }
            Op::Eligible(number) => {
                let (merchant, handle) = order(number);
                self.device.order_eligible(merchant, handle, now, &mut self.rng).unwrap();
                self.store(ends);
            }
            Op::Write(number, text) => {
                let digest = review(text).digest();
                let told = self.device.write_review(order(number).1, review(text), now, &mut self.rng);
                self.wants(number, ends, told, &|wanted| *wanted = vec![Some(digest)]);
            }
            Op::Edit(number, text) => {
                let digest = review(text).digest();
                let told = self.device.edit_review(order(number).1, review(text), now, &mut self.rng);
                // After a withdrawal it comes too late, perhaps.
                self.wants(number, ends, told, &|wanted| {
                    wanted.retain(Option::is_none);
                    wanted.push(Some(digest));
                });
            }
            Op::Withdraw(number) => {
                let told = self.device.withdraw_review(order(number).1, now, &mut self.rng);
                self.wants(number, ends, told, &|wanted| *wanted = vec![None]);
            }
            Op::Next => self.next(ends),
            Op::Answer(at) | Op::Lose(at, _) | Op::Change(at, _) if !self.sent.is_empty() => {
                let (number, request) = self.sent.remove(at % self.sent.len());
                let reply = self.world.answer(&request, self.truth);
                match op {
                    Op::Lose(_, true) => self.arrive(number, Reply::Lost, ends),
                    Op::Lose(..) => {}
                    Op::Change(_, bit) => self.arrive_changed(number, reply, bit),
                    _ => self.arrive(number, reply, ends),
                }
            }
            Op::Again(at) if !self.answered.is_empty() => {
                let (number, reply) = self.answered[at % self.answered.len()].clone();
                self.device.notice(now);
                let before = self.device.encode();
                let outcome = self.device.handle(number, reply, now, &mut self.rng);
                assert_eq!(outcome, Err(WalletError::NotAsked));
                assert!(before == self.device.encode(), "an answer that came twice changed something");
            }
            Op::Restart => self.restart(),
            _ => {}
        }
    }

    /// One bit is wrong. It is refused with an error, or was of no consequence; states, which are not signed, are left alone.
    fn arrive_changed(&mut self, number: u32, reply: Reply, bit: usize) {
        let changed = match reply {
            Reply::Answer(mut bytes) if !bytes.is_empty() => {
                let is_state = bytes.get(6..8) == Some(&[1, 52]);
                let at = bit / 8 % bytes.len();
                bytes[at] ^= if is_state { 0 } else { 1 << (bit % 8) };
                Reply::Answer(bytes)
            }
            other => other,
        };
        let _ = self.device.handle(number, changed, self.now(), &mut self.rng);
        self.store(false);
    }

    /// In the end everything has its way.
    fn settle(&mut self) -> u64 {
        self.skew = 0;
        let until = self.truth.saturating_add(200 * DAY);
        self.steps += calm(&mut self.world, &mut self.device, self.truth, until);
        for (number, wanted) in &self.wanted {
            let handle = order(*number).1;
            let id = review_id(&self.device, *number).expect("an order without a token");
            let kept = self.world.reviews.get(&id.0).map(|kept| kept.state.digest_in_force);
            let kept = kept.filter(|digest| digest != &[0; 32]);
            let status = self.device.reviews(until);
            let status = status.iter().find(|status| status.handle == handle).unwrap();
            let is_over = status.stage == ReviewStage::Over;
            assert!(
                wanted.contains(&kept) || kept.is_none() && is_over,
                "lost: {:?} of {number}",
                status.stage
            );
            // What was promised was looked for, and found.
            let is_there = self.world.reviews.get(&id.0).is_some_and(|kept| kept.appears);
            let was_read = self.world.ledger.is_some() && status.receipt.is_some() && is_there;
            assert_eq!(status.promise, was_read.then_some(ReviewPromise::Kept));
            if kept.is_some() {
                assert_eq!(status.review.as_ref().map(Review::digest), kept);
            }
        }
        // One token an order, one review a token.
        assert!(self.world.reviews.len() <= self.world.granted.len());
        for told in &self.device.orders {
            assert!(self.world.granted.contains_key(told.handle.as_bytes()));
        }
        self.steps
    }
}

#[test]
fn whatever_happens_each_order_has_one_token_and_one_review_at_an_allowed_time() {
    let config = ProptestConfig {
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::with_cases(CASES)
    };
    let [steps, sent, kept] = [const { AtomicU64::new(0) }; 3];
    let outcome = TestRunner::new(config).run(
        &(any::<u64>(), any::<bool>(), any::<bool>(), prop::collection::vec(op(), 20..200)),
        |(seed, begun, with_ledger, ops)| {
            let mut model = Model::new(seed, with_ledger);
            for number in 0..ORDERS {
                model.run(Op::Eligible(number), false);
            }
            if begun {
                // From where all have tokens, and two a review.
                model.run(Op::Write(0, 0), false);
                model.run(Op::Write(1, 1), false);
                calm(&mut model.world, &mut model.device, START, day(2));
                model.truth = day(2);
                model.store(false);
            }
            for (op, ends) in ops {
                model.run(op, ends);
            }
            sent.fetch_add(model.passed, Ordering::Relaxed);
            steps.fetch_add(model.settle(), Ordering::Relaxed);
            kept.fetch_add(model.world.reviews.len() as u64, Ordering::Relaxed);
            Ok(())
        },
    );
    outcome.unwrap();
    let [steps, sent, kept] = [steps, sent, kept].map(AtomicU64::into_inner);
    println!("{CASES} cases, {steps} steps; {sent} passed the door amid it all, {kept} reviews in the end");
    // It is about something.
    assert!(sent > u64::from(CASES) / 4 && kept > u64::from(CASES));
}
