//! Crashes at every step, and others who get in between.

use super::*;
use std::thread;
use unjoin_store::{Commit, RowKey};
use unjoin_test_util::{Call, Failure, Faulty, copy};

const ANN: u64 = 11;
const BEN: u64 = 12;

fn flaky() -> Exchange<Faulty> {
    let (store, clock) = (Arc::new(Faulty::in_memory()), Arc::new(ManualClock::new(START)));
    Exchange::with(store, clock, Arc::new(TestKeys::new()), pool(8))
}

/// Whom `caller` reaches over any number of the pool, and over which.
fn all_reached<S: Store>(exchange: &Exchange<S>, caller: u64) -> Vec<(VirtualNumber, PhoneNumber)> {
    let numbers = (0..SLICES * 8).map(|x| VirtualNumber::from_integer(86_700_000_000_000_000 + x).unwrap());
    numbers.filter_map(|x| Some((x, exchange.reaches(caller, x)?))).collect()
}

/// The latest moment at which any index row in the store can be read.
fn readable_until<S: Store>(store: &S) -> Timestamp {
    let ends = dump(store).into_iter().filter(|(_, row)| row.key.starts_with(b"pi"));
    let latest = ends.map(|(_, row)| rows::slot_end_of(&row.key).unwrap()).max();
    latest.map_or(Timestamp::ZERO, |end| end.saturating_add(SKEW))
}

fn of() -> OrderRef {
    order("m", "1")
}

fn binding(hub: u64, customer: u64, life: u64) -> Binding {
    Binding::courier(of(), courier(hub), parties(hub, customer), START.saturating_add(life))
}

/// A call that makes a number fails with every part of it applied: counter, reach, cover, index rows, flip.
fn every_part() -> impl Iterator<Item = Failure> {
    Failure::ALL.into_iter().chain((1..5).map(Failure::Without))
}

#[test]
fn a_crash_at_any_step_of_a_bind_leaves_it_refused_or_whole_and_its_retry_binds() {
    let writes = Failure::at_every_write(every_part(), |after, failure| {
        let exchange = flaky();
        exchange.store.fail(after, failure);
        let first = exchange.bind(binding(5, ANN, 2 * SLOT));
        let failed = exchange.store.failed();
        if failed {
            assert_eq!(code(first), "switchboard.store");
            let reached = all_reached(&exchange, ANN);
            assert_eq!(reached.len(), usize::from(failure == Failure::Lost));
        }
        // What closing would answer now covers the rows of the attempt.
        let rows = Arc::new(copy(&*exchange.store));
        let copy = Exchange::with(rows, exchange.clock.clone(), exchange.keys.clone(), pool(8));
        assert!(copy.close(&of()) >= readable_until(&*copy.store));
        let bound = exchange.again().bind(binding(5, ANN, 2 * SLOT)).unwrap();
        assert_eq!(all_reached(&exchange, ANN), [(bound.number, phone(5))]);
        assert_eq!(all_reached(&exchange, 5), [(bound.number, phone(ANN))]);
        assert_eq!(exchange.bind(binding(5, ANN, 2 * SLOT)).unwrap(), bound);
        failed
    });
    assert_eq!(writes, 1, "one call does it all");
}

#[test]
fn a_crash_at_any_step_of_a_replacement_leaves_the_old_party_or_the_new_one() {
    let writes = Failure::at_every_write(every_part(), |after, failure| {
        let exchange = flaky();
        let old = exchange.bind(binding(5, ANN, SLOT)).unwrap();
        exchange.store.fail(after, failure);
        let first = exchange.replace(&of(), 6, ANN, old.number);
        let failed = exchange.store.failed();
        if failed {
            assert_eq!(code(first), "switchboard.store");
            let flipped = failure == Failure::Lost;
            let reached = all_reached(&exchange, ANN);
            assert_eq!(reached.len(), 1);
            assert_eq!(reached[0].1, phone(if flipped { 6 } else { 5 }));
            assert_eq!(all_reached(&exchange, 6).len(), usize::from(flipped));
        }
        let new = exchange.again().replace(&of(), 6, ANN, old.number).unwrap();
        assert_eq!(all_reached(&exchange, ANN), [(new.number, phone(6))]);
        assert_eq!(all_reached(&exchange, 5), []);
        assert!(exchange.close(&of()) >= readable_until(&*exchange.store));
        failed
    });
    assert_eq!(writes, 1);
}

#[test]
fn a_crash_at_any_step_of_an_extension_leaves_the_old_end_or_the_new_one() {
    let later = START.saturating_add(600 + 2 * SLOT);
    let extend = |exchange: &Exchange<_>| exchange.extend(&of(), Leg::Courier, parties(5, ANN), later);
    let writes = Failure::at_every_write(Failure::ALL, |after, failure| {
        let exchange = flaky();
        let bound = exchange.bind(binding(5, ANN, 600)).unwrap();
        exchange.store.fail(after, failure);
        let first = extend(&exchange);
        let failed = exchange.store.failed();
        if failed {
            assert_eq!(code(first), "switchboard.store");
            let ends = exchange.courier(&of(), 5, ANN, 60).not_after;
            assert_eq!(ends, if (after, failure) == (2, Failure::Lost) { later } else { bound.not_after });
        }
        assert_eq!(all_reached(&exchange, ANN), [(bound.number, phone(5))]);
        assert_eq!(extend(&exchange).unwrap(), Bound { not_after: later, ..bound });
        exchange.clock.set(later.saturating_sub(1));
        assert_eq!(all_reached(&exchange, ANN), [(bound.number, phone(5))]);
        assert!(exchange.close(&of()) >= readable_until(&*exchange.store));
        failed
    });
    assert_eq!(writes, 3);
}

#[test]
fn a_retry_with_a_corrected_phone_binds_that_and_the_wrong_one_never_rings() {
    for failure in every_part().filter(|failure| *failure != Failure::Lost) {
        let exchange = flaky();
        exchange.store.fail(0, failure);
        assert_eq!(code(exchange.bind(binding(5, ANN, 600))), "switchboard.store");
        let bound = exchange.bind(binding(5, BEN, 600)).unwrap();
        assert_eq!(all_reached(&exchange, 5), [(bound.number, phone(BEN))]);
        assert_eq!(all_reached(&exchange, ANN), []);
        // The wrong one's retry, delayed.
        assert_eq!(code(exchange.bind(binding(5, ANN, 600))), "switchboard.different_parties");
    }
}

/// Lets `call` happen between what a bind reads and what it writes, and gives its answer.
fn bind_while(
    exchange: &Exchange<Faulty>,
    call: impl FnOnce(&Exchange<Faulty>) + Send + 'static,
) -> Result<Bound, SwitchboardError> {
    let other = exchange.again();
    exchange.store.before(Call::Commit, 0, move || call(&other));
    exchange.bind(binding(5, ANN, 600))
}

#[test]
fn whoever_ends_an_order_or_cuts_a_merchant_off_wins_over_a_bind_under_way() {
    let exchange = flaky();
    let answer = bind_while(&exchange, |other| other.board.release(&of(), Leg::Courier).unwrap());
    assert_eq!(code(answer), "switchboard.ended");
    assert_eq!(all_reached(&exchange, ANN), []);

    let exchange = flaky();
    let answer = bind_while(&exchange, |other| {
        other.close(&of());
    });
    assert_eq!(code(answer), "switchboard.order_closed");
    assert_eq!(all_reached(&exchange, ANN), []);
    assert!(exchange.close(&of()) >= readable_until(&*exchange.store));

    let exchange = flaky();
    let answer = bind_while(&exchange, |other| other.board.cut_off(&name("m")).unwrap());
    assert_eq!(code(answer), "switchboard.cut_off");
    assert_eq!(all_reached(&exchange, ANN), []);

    // The end comes after it was decided: the number is bound, and dead.
    let exchange = flaky();
    bind_while(&exchange, |other| other.clock.set(START.saturating_add(600))).unwrap();
    assert_eq!(all_reached(&exchange, ANN), []);

    // The keys are replaced: it is made again.
    let exchange = flaky();
    let bound = bind_while(&exchange, |other| other.keys.recover()).unwrap();
    assert_eq!(all_reached(&exchange, ANN), [(bound.number, phone(5))]);
    assert_eq!(exchange.bind(binding(5, ANN, 600)).unwrap(), bound);
}

#[test]
fn of_two_binds_at_once_the_first_flip_wins_and_the_other_compares() {
    let exchange = flaky();
    let same = bind_while(&exchange, |other| {
        other.bind(binding(5, ANN, 600)).unwrap();
    });
    assert_eq!(all_reached(&exchange, ANN), [(same.unwrap().number, phone(5))]);

    let exchange = flaky();
    let others = bind_while(&exchange, |other| {
        other.bind(binding(5, BEN, 600)).unwrap();
    });
    assert_eq!(code(others), "switchboard.different_parties");
    assert_eq!(all_reached(&exchange, ANN), []);
    assert_eq!(all_reached(&exchange, BEN).len(), 1);
}

#[test]
fn a_replacement_that_is_overtaken_by_another_leaves_one_of_them() {
    let exchange = flaky();
    let old = exchange.bind(binding(5, ANN, 600)).unwrap();
    let other = exchange.again();
    let meanwhile = move || {
        other.replace(&of(), 7, BEN, old.number).unwrap();
    };
    exchange.store.before(Call::Commit, 0, meanwhile);
    assert_eq!(code(exchange.replace(&of(), 6, ANN, old.number)), "switchboard.superseded");
    for gone in [5, 6, ANN] {
        assert_eq!(all_reached(&exchange, gone), []);
    }
    assert_eq!(all_reached(&exchange, 7).len(), 1);
}

/// Both legs of an order and another order's, in one batch: one durable write, and each number in its place.
#[test]
fn both_legs_of_an_order_are_made_by_one_write() {
    let exchange = flaky();
    let (before, not_after) = (exchange.store.writes(), START.saturating_add(600));
    let first = |exchange: &Exchange<Faulty>| {
        let merchant = Binding::merchant(of(), parties(1, ANN), not_after);
        let other = Binding::courier(order("n", "1"), courier(6), parties(6, BEN), not_after);
        let jobs = [merchant, binding(5, ANN, 600), other].map(|of| exchange.board.core.binding(of).unwrap());
        exchange.board.core.make(&jobs)
    };
    let bound: Vec<Bound> = first(&exchange).into_iter().map(Result::unwrap).collect();
    assert_eq!(exchange.store.writes(), before + 1);
    for (bound, hub, customer) in [(bound[0], 1, ANN), (bound[1], 5, ANN), (bound[2], 6, BEN)] {
        assert_eq!(exchange.reaches(customer, bound.number), Some(phone(hub)));
    }
    // Asked again it finds them, and writes nothing.
    assert_eq!(first(&exchange).into_iter().map(Result::unwrap).collect::<Vec<_>>(), bound);
    assert_eq!(exchange.store.writes(), before + 1);
}

/// A process whose clock is behind sees fewer slots than one that has made numbers already.
struct Behind {
    keys: Arc<TestKeys>,
    held: Arc<SlotKeyWindow>,
}

impl SlotKeys for Behind {
    fn window(&self, now: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
        match self.held.slot_of(now) == self.held.slot_of(self.held.now()) {
            true => Ok(Arc::clone(&self.held)),
            false => self.keys.window(now),
        }
    }
}

#[test]
fn a_process_whose_clock_is_behind_gives_no_party_a_number_twice_and_goes_on() {
    let exchange = Exchange::with_pool(32);
    let held = exchange.keys.window(START).unwrap();
    let keys = Arc::new(Behind { keys: Arc::clone(&exchange.keys), held });
    let clock = Arc::new(ManualClock::new(START));
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    let store = unjoin_test_util::own(&exchange.store, unjoin_store::identity::Role::Telephony);
    let behind = Switchboard::open(store, config(), Arc::clone(&exchange.pool), keys, environment).unwrap();
    exchange.clock.set(START.saturating_add(SLOT));
    let mut numbers = Vec::new();
    // Couriers of both for one customer: they would meet in the slot that one of them does not see.
    for hub in 20..26 {
        let of = order("ahead", &hub.to_string());
        let not_after = START.saturating_add(SLOT + LIFE);
        numbers.push(
            exchange.bind(Binding::courier(of, courier(hub), parties(hub, ANN), not_after)).unwrap().number,
        );
        let of = order("behind", &hub.to_string());
        let not_after = START.saturating_add(LIFE);
        let bound =
            behind.bind(Binding::courier(of, courier(hub + 20), parties(hub + 20, ANN), not_after)).wait();
        numbers.push(bound.unwrap().number);
    }
    let made = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), made);
}

#[test]
fn a_release_that_races_with_a_call_holds_from_its_return_on() {
    let exchange = flaky();
    let Bound { number, .. } = exchange.bind(binding(5, ANN, 600)).unwrap();
    // Between the probes and the records.
    let other = exchange.again();
    let release = move || other.board.release(&of(), Leg::Courier).unwrap();
    exchange.store.before(Call::Read, 1, release);
    assert_eq!(exchange.reaches(ANN, number), None);
}

#[test]
fn an_extension_that_races_with_a_release_revives_nothing() {
    for after in 0..3 {
        let exchange = flaky();
        exchange.bind(binding(5, ANN, 600)).unwrap();
        let other = exchange.again();
        let release = move || other.board.release(&of(), Leg::Courier).unwrap();
        exchange.store.before(Call::Commit, after, release);
        let not_after = START.saturating_add(2 * SLOT);
        let extended = exchange.extend(&of(), Leg::Courier, parties(5, ANN), not_after);
        assert_eq!(code(extended), "switchboard.ended");
        assert_eq!(all_reached(&exchange, ANN), []);
    }
}

/// Two couriers draw numbers of few for the same customer, one between what the other reads and what it writes, so many
/// seconds later.
fn binds_twice(numbers: u64, later: u64, life: u64) {
    for hub in 20..60 {
        let (store, clock) = (Arc::new(Faulty::in_memory()), Arc::new(ManualClock::new(START)));
        let exchange = Exchange::with(store, clock, Arc::new(TestKeys::new()), pool(numbers));
        let other = exchange.again();
        let meanwhile = move || {
            let now = START.saturating_add(later);
            other.clock.set(now);
            let (of, not_after) = (order("m", "2"), now.saturating_add(life));
            other.bind(Binding::courier(of, courier(hub), parties(hub, ANN), not_after)).unwrap();
        };
        exchange.store.before(Call::Commit, 0, meanwhile);
        let bound = exchange.bind(binding(5, ANN, life)).unwrap();
        assert_eq!(exchange.reaches(ANN, bound.number), Some(phone(5)));
        assert_eq!(all_reached(&exchange, ANN).len(), 2);
    }
}

#[test]
fn a_party_that_gets_a_number_meanwhile_does_not_get_it_twice() {
    binds_twice(2, 0, 600);
}

#[test]
fn a_bind_that_stalls_across_a_slots_boundary_gives_no_party_a_number_twice() {
    // The slot in which the other's ends is in nobody's view before the boundary.
    binds_twice(4, SLOT, LIFE);
}

#[test]
fn threads_on_one_order_agree_on_its_number() {
    let exchange = Exchange::new();
    let instances = [exchange.again(), exchange.again()];
    let answers: Vec<Result<Bound, SwitchboardError>> = thread::scope(|threads| {
        let bind = |number: u64| {
            let instance = &instances[number as usize % 2];
            threads.spawn(move || instance.bind(binding(5, ANN + number % 3, 600)))
        };
        let binding: Vec<_> = (0..12).map(bind).collect();
        binding.into_iter().map(|answer| answer.join().unwrap()).collect()
    });
    let bound: Vec<Bound> = answers.iter().filter_map(|answer| answer.as_ref().ok().copied()).collect();
    assert_eq!(bound.len(), 4, "all of those with the parties that won");
    assert!(bound.iter().all(|other| *other == bound[0]));
    let others: Vec<_> = answers.into_iter().filter_map(Result::err).map(|error| error.code()).collect();
    assert_eq!(others, ["switchboard.different_parties"; 8]);
}

#[test]
fn a_cut_off_that_races_with_many_binds_leaves_none_of_before() {
    for round in 0..5 {
        let exchange = Exchange::new();
        let not_after = START.saturating_add(600);
        let bind = |number: u64| {
            let of = order("m", &format!("{round} {number}"));
            exchange.board.bind(Binding::courier(of, courier(5), parties(5, 100 + number), not_after))
        };
        let early: Vec<_> = (0..20).map(|number| bind(number).wait().unwrap()).collect();
        let pending: Vec<_> = (20..120).map(bind).collect();
        let instance = exchange.again();
        thread::scope(|threads| {
            threads.spawn(|| instance.board.cut_off(&name("m")).unwrap()).join().unwrap()
        });
        for (number, bound) in (0..).zip(early) {
            assert_eq!(exchange.reaches(100 + number, bound.number), None);
        }
        let mut late = Vec::new();
        for (number, pending) in (20..).zip(pending) {
            match pending.wait() {
                // Made just before the cut, and dead; or looked at after it, and live.
                Ok(bound) => late.push((number, bound.number)),
                Err(error) => assert_eq!(error.code(), "switchboard.cut_off"),
            }
        }
        exchange.board.cut_off(&name("m")).unwrap();
        for (number, x) in late {
            assert_eq!(exchange.reaches(100 + number, x), None);
        }
    }
}

#[test]
fn a_damaged_row_stops_its_own_decisions_and_no_neighbours() {
    let exchange = Exchange::new();
    let damage = |at: &RowKey| {
        let at = at.clone();
        exchange.store.commit(&[Commit::new(at.bucket).put(at.key, b"\x01damaged".to_vec())]).unwrap();
    };
    damage(rows::hub_key(&exchange.pool.hub_tag(&courier(5))).at());
    damage(OrderId::of(&order("m", "2")).order_key().at());
    let bind = |id: &str, hub: u64| {
        let not_after = START.saturating_add(600);
        let binding = Binding::courier(order("m", id), courier(hub), parties(hub, ANN), not_after);
        exchange.board.bind(binding)
    };
    // All at once, so that they share batches.
    let pending = [bind("1", 5), bind("2", 6), bind("3", 7), bind("4", 5), bind("5", 8)];
    let answers = pending.map(|pending| pending.wait().map_err(|error| error.code()));
    for damaged in [0, 1, 3] {
        let expected = ["switchboard.store_corrupt", "switchboard.store"];
        assert!(expected.contains(&answers[damaged].unwrap_err()));
    }
    for (at, hub) in [(2, 7), (4, 8)] {
        assert_eq!(exchange.reaches(ANN, answers[at].unwrap().number), Some(phone(hub)));
    }
    assert_eq!(code(exchange.board.release(&order("m", "2"), Leg::Courier)), "switchboard.store_corrupt");
}

/// Two orders of one courier, the second asked for while the first one's number is being written. What is told to
/// both, and how many writes it took.
fn one_behind_the_other(
    drawn_before: u64,
    failure: Option<Failure>,
) -> ([Result<Bound, SwitchboardError>; 2], usize) {
    let exchange = Arc::new(flaky());
    let binding = |id: u64| {
        let end = START.saturating_add(600);
        Binding::courier(order("m", &id.to_string()), courier(5), parties(5, 100 + id), end)
    };
    for id in 0..drawn_before {
        exchange.bind(binding(10 + id)).unwrap();
    }
    let (tell, told) = std::sync::mpsc::channel();
    let (behind, second) = (Arc::clone(&exchange), binding(2));
    exchange.store.before(Call::Commit, 0, move || {
        let reads = behind.store.reads().len();
        tell.send(behind.board.bind(second)).unwrap();
        // It reads what it decides by, though what it goes on from is not written.
        let began = std::time::Instant::now();
        while behind.store.reads().len() == reads && began.elapsed().as_secs() < 20 {
            thread::yield_now();
        }
        assert!(behind.store.reads().len() > reads, "it waited for the first");
    });
    if let Some(failure) = failure {
        exchange.store.fail(0, failure);
    }
    let before = exchange.store.count(Call::Commit);
    let first = exchange.bind(binding(1));
    let second = told.recv().unwrap().wait();
    ([first, second], exchange.store.count(Call::Commit) - before)
}

#[test]
fn a_hub_s_next_number_is_made_ready_while_the_one_before_is_written() {
    let ([first, second], writes) = one_behind_the_other(0, None);
    assert_ne!(first.unwrap().number, second.unwrap().number);
    assert_eq!(writes, 2, "what it went on from came true");
}

#[test]
fn whoever_goes_on_from_what_is_never_written_begins_again() {
    for drawn_before in [0, 7] {
        let ([first, second], writes) = one_behind_the_other(drawn_before, Some(Failure::Before));
        assert_eq!(code(first), "switchboard.store");
        // Though the first would have taken the last one.
        assert!(second.is_ok(), "{drawn_before}: {second:?}");
        assert!(writes > 1);
    }
}

#[test]
fn the_last_number_of_a_slice_is_the_first_one_s() {
    let ([first, second], writes) = one_behind_the_other(7, None);
    assert!(first.is_ok());
    assert_eq!(code(second), "switchboard.pool_exhausted");
    assert_eq!(writes, 1);
}
