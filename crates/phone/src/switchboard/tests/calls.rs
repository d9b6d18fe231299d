//! Calls that run: when they end, how many there may be, and what a host hears of them.

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};
use unjoin_test_util::Faulty;

const MERCHANT: u64 = 1;
const ANN: u64 = 11;

fn put_through<S: Store>(board: &Switchboard<S>, caller: u64, dialled: VirtualNumber) -> Option<CallId> {
    match board.route(&request(caller, dialled)).unwrap() {
        Route::Connect { call, .. } => Some(call),
        Route::Refuse => None,
    }
}

#[test]
fn a_call_ends_with_what_allowed_it() {
    let exchange = Exchange::new();
    let board = &exchange.board;
    let ending = || board.calls_to_end().unwrap();
    let of = |id: &str| order(&format!("m{id}"), id);
    type Act = (&'static str, fn(&Exchange<MemoryStore>, &OrderRef, VirtualNumber));
    let acts: [Act; 4] = [
        ("released", |exchange, of, _| exchange.board.release(of, Leg::Courier).unwrap()),
        ("closed", |exchange, of, _| assert!(exchange.close(of) > START)),
        ("cut off", |exchange, of, _| exchange.again().board.cut_off(&of.merchant).unwrap()),
        ("replaced", |exchange, of, number| assert!(exchange.replace(of, 6, ANN, number).is_ok())),
    ];
    let other = exchange.courier(&order("other", "1"), 7, 12, LIFE);
    let kept = put_through(board, 7, other.number).unwrap();
    for (what, act) in acts {
        let Bound { number, .. } = exchange.courier(&of(what), 5, ANN, LIFE);
        let calls = [5, ANN].map(|caller| put_through(board, caller, number).unwrap());
        board.call_told(calls[0], CallProgress::Answered);
        assert_eq!(ending(), [], "{what}");
        act(&exchange, &of(what), number);
        let mut named = ending();
        named.sort();
        assert_eq!(
            named,
            {
                let mut calls = calls;
                calls.sort();
                calls
            },
            "{what}"
        );
        // Named again until the gateway has done it.
        board.call_told(calls[0], CallProgress::Ended(CallEnd::Completed));
        assert_eq!(ending(), [calls[1]]);
        board.call_told(calls[1], CallProgress::Ended(CallEnd::Failed));
        assert_eq!(ending(), []);
    }
    // A ticket, closed again; the customer's call needs none.
    let Bound { number, .. } = exchange.merchant(&of("ticket"), MERCHANT, ANN, LIFE);
    let customers = put_through(board, ANN, number).unwrap();
    board.open_ticket(&of("ticket"), START.saturating_add(1000)).unwrap();
    let merchants = put_through(board, MERCHANT, number).unwrap();
    assert_eq!(ending(), []);
    board.close_ticket(&of("ticket")).unwrap();
    assert_eq!(ending(), [merchants]);
    // Whoever says nothing is asked for no longer than the call can last.
    exchange.pass(3600 + 120);
    assert_eq!(ending(), []);
    assert_eq!(CallId::from_hex(&customers.to_string()), Some(customers));
    assert!(
        kept != customers && CallId::from_hex("00").is_none() && CallId::from_hex(&"+".repeat(32)).is_none()
    );
}

/// What runs costs nothing; what ends costs the calls of the part of all orders in which it lies.
#[test]
fn asking_which_calls_end_reads_what_has_ended_and_not_what_runs() {
    let exchange = Exchange::on(Faulty::in_memory());
    let of = |at: u64| order(&format!("m{at}"), "1");
    let part = |at: u64| rows::OrderId::of(&of(at)).part();
    let all = 0..120;
    let calls: Vec<CallId> = all
        .clone()
        .map(|at| {
            let number = exchange.courier(&of(at), 100 + at, 1000 + at, 600).number;
            put_through(&exchange.board, 100 + at, number).unwrap()
        })
        .collect();
    let parts = all.clone().map(part).collect::<std::collections::BTreeSet<_>>().len();
    let ask = || {
        let before = exchange.store.reads().len();
        let mut named = exchange.board.calls_to_end().unwrap();
        named.sort();
        let rows: usize = exchange.store.reads()[before..].iter().map(Vec::len).sum();
        (named, rows - parts)
    };
    // Each once after it began, by the order's and the merchant's record.
    assert_eq!(ask(), (vec![], 2 * calls.len()));
    for _ in 0..3 {
        assert_eq!(ask(), (vec![], 0));
    }
    // Whoever ends it.
    exchange.again().board.release(&of(7), Leg::Courier).unwrap();
    let beside = all.clone().filter(|at| part(*at) == part(7)).count();
    assert!(beside < calls.len() / 4, "{beside} in one part");
    assert_eq!(ask(), (vec![calls[7]], 2 * beside));
    assert_eq!(ask(), (vec![calls[7]], 0), "named again, and not looked at");
    // What ends nothing is not told.
    let later = exchange.now().saturating_add(700);
    exchange.extend(&of(8), Leg::Courier, parties(108, 1008), later).unwrap();
    exchange.board.release(&of(7), Leg::Courier).unwrap();
    exchange.merchant(&order("m8", "2"), 1, ANN, LIFE);
    assert_eq!(ask(), (vec![calls[7]], 0));
    // Other keys allow nothing of what was before.
    exchange.keys.recover();
    assert_eq!(ask().0.len(), calls.len());
}

#[test]
fn a_ticket_that_is_made_shorter_ends_the_call_at_its_new_end() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let Bound { number, .. } = exchange.merchant(&of, MERCHANT, ANN, LIFE);
    exchange.board.open_ticket(&of, START.saturating_add(1000)).unwrap();
    let call = put_through(&exchange.board, MERCHANT, number).unwrap();
    exchange.board.call_told(call, CallProgress::Answered);
    exchange.board.open_ticket(&of, START.saturating_add(500)).unwrap();
    assert_eq!(exchange.board.calls_to_end().unwrap(), []);
    exchange.pass(499);
    assert_eq!(exchange.board.calls_to_end().unwrap(), []);
    exchange.pass(1);
    assert_eq!(exchange.board.calls_to_end().unwrap(), [call]);
}

#[test]
fn what_a_call_may_last_and_when_it_ends_agree() {
    let exchange = Exchange::new();
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, 600);
    exchange.pass(10);
    let Route::Connect { max_duration, ends_at, .. } = exchange.call(5, number) else { panic!("refused") };
    assert_eq!((max_duration, ends_at), (590, START.saturating_add(600)));
}

#[test]
fn a_number_carries_few_calls_and_strangers_use_up_nothing() {
    let exchange = Exchange::new();
    let board = exchange.configured(SwitchboardConfig { calls_at_once: 2, calls_per_hour: 6, ..config() });
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, LIFE);
    for _ in 0..50 {
        assert_eq!(put_through(&board, 999, number), None);
    }
    let first = put_through(&board, 5, number).unwrap();
    let second = put_through(&board, ANN, number).unwrap();
    assert_eq!(put_through(&board, 5, number), None);
    assert_eq!(board.counts().too_many, 1);
    // One that is over makes room, and so does one of which nobody said anything for long; one that is answered stays.
    board.call_told(first, CallProgress::Answered);
    board.call_told(second, CallProgress::Ended(CallEnd::Busy));
    assert!(put_through(&board, 5, number).is_some());
    assert_eq!(put_through(&board, 5, number), None);
    exchange.pass(120);
    assert!(put_through(&board, 5, number).is_some());
    assert_eq!(put_through(&board, 5, number), None);
    // Six in an hour, whoever of the two calls; what was refused is not counted; then another hour.
    for _ in 0..2 {
        exchange.pass(120);
        assert!(put_through(&board, ANN, number).is_some());
    }
    exchange.pass(120);
    assert_eq!(put_through(&board, ANN, number), None);
    exchange.pass(3600);
    assert!(put_through(&board, ANN, number).is_some());
}

struct Host(Name, Mutex<Sender<CallEvent>>);

impl CallEvents for Host {
    fn wants(&self, order: &OrderTag) -> bool {
        order.is_of(&self.0)
    }

    fn take(&self, event: CallEvent) {
        self.1.lock().unwrap().send(event).unwrap();
    }
}

#[test]
fn a_host_hears_what_became_of_calls_of_the_merchants_it_names_alone() {
    let exchange = Exchange::new();
    let (sender, events): (_, Receiver<CallEvent>) = channel();
    let board = exchange.configured(config()).with_events(Host(name("m"), Mutex::new(sender))).unwrap();
    let asked = order("m", "1");
    let Bound { number, .. } = exchange.courier(&asked, 5, ANN, LIFE);
    let silent = exchange.courier(&order("other", "1"), 6, ANN, LIFE).number;
    exchange.pass(1000);
    for number in [silent, number] {
        let call = put_through(&board, ANN, number).unwrap();
        board.call_told(call, CallProgress::Ringing);
        board.call_told(call, CallProgress::Answered);
        exchange.pass(61);
        board.call_told(call, CallProgress::Ended(CallEnd::Completed));
        board.call_told(call, CallProgress::Ended(CallEnd::Completed));
    }
    let busy = put_through(&board, 5, number).unwrap();
    board.call_told(busy, CallProgress::Ended(CallEnd::Busy));
    let heard: Vec<CallEvent> = (0..4).map(|_| events.recv().unwrap()).collect();
    let quarter = START.saturating_add(900);
    let event = |caller, progress, seconds| CallEvent {
        order: OrderTag::of(&asked),
        leg: Leg::Courier,
        caller,
        quarter,
        progress,
        seconds,
    };
    assert_eq!(
        heard,
        [
            event(Side::Customer, CallProgress::Ringing, 0),
            event(Side::Customer, CallProgress::Answered, 0),
            event(Side::Customer, CallProgress::Ended(CallEnd::Completed), 120),
            event(Side::Hub, CallProgress::Ended(CallEnd::Busy), 0),
        ]
    );
    assert!(events.try_recv().is_err());
}

struct Stuck(Mutex<Receiver<()>>);

impl CallEvents for Stuck {
    fn wants(&self, _: &OrderTag) -> bool {
        true
    }

    fn take(&self, _: CallEvent) {
        let _ = self.0.lock().unwrap().recv();
    }
}

#[test]
fn a_host_that_does_not_take_its_events_delays_no_call() {
    let exchange = Exchange::new();
    let (go, stuck) = channel();
    let board = exchange.configured(config()).with_events(Stuck(Mutex::new(stuck))).unwrap();
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, LIFE);
    let call = put_through(&board, ANN, number).unwrap();
    for _ in 0..2000 {
        board.call_told(call, CallProgress::Ringing);
    }
    assert!(board.tick().unwrap().dropped_events >= 2000 - 1025);
    drop(go);
}
