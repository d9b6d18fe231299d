//! One refusal, one amount of work, whatever the cause.

use super::*;
use unjoin_store::{Commit, RowKey};
use unjoin_test_util::{Call, Faulty};

const MERCHANT: u64 = 1;
const ANN: u64 = 11;

/// What it is, a request, and the count that it shows up in.
type Cause = (&'static str, RouteRequest, fn(&RouteCounts) -> u64);

/// Every cause of a refusal.
fn causes(exchange: &Exchange<Faulty>) -> Vec<Cause> {
    let bind = |id: &str| exchange.courier(&order("m", id), 5, ANN, 1200).number;
    let [live, released, superseded] = ["live", "released", "superseded"].map(bind);
    let cut_off = exchange.courier(&order("cut off", "1"), 5, ANN, 1200).number;
    let closed = exchange.courier(&order("m", "closed"), 5, ANN, 1200).number;
    let damaged = exchange.courier(&order("m", "damaged"), 5, ANN, 1200).number;
    let one_way = exchange.merchant(&order("m", "one way"), MERCHANT, ANN, 1200).number;
    let of_channel = |id: &str, only| {
        let usual = Binding::courier(order("m", id), courier(5), parties(5, ANN), START.saturating_add(1200));
        exchange.bind(Binding { only: Some(only), ..usual }).unwrap().number
    };
    let voice = of_channel("voice only", Channel::Voice);
    let sms = of_channel("sms only", Channel::Sms);
    let short = exchange.courier(&order("m", "short"), 5, ANN, 10).number;

    exchange.board.release(&order("m", "released"), Leg::Courier).unwrap();
    exchange.replace(&order("m", "superseded"), 6, ANN, superseded).unwrap();
    exchange.board.cut_off(&name("cut off")).unwrap();
    exchange.close(&order("m", "closed"));
    // Other bytes under the index of Ann's row, of the same length.
    for (slot, key) in exchange.keys.stolen() {
        let at = rows::Under::of(damaged).key(slots().end_of(slot), &key.names([&phone(ANN)], damaged)[0]);
        if let [Some(value)] = &mut exchange.store.read(&[at.at().clone()]).unwrap()[..] {
            value[40] ^= 1;
            let write = Commit::new(at.bucket()).put(at.bytes().to_vec(), std::mem::take(value));
            exchange.store.commit(&[write]).unwrap();
        }
    }
    exchange.pass(10);

    let unserved = VirtualNumber::new("+8610000000").unwrap();
    let of = |caller, dialled| request(caller, dialled);
    vec![
        ("unknown number", of(ANN, unserved), |counts| counts.unknown),
        ("a stranger", of(77, live), |counts| counts.unknown),
        ("withheld", RouteRequest { caller: None, ..of(ANN, live) }, |counts| counts.withheld),
        ("level B", RouteRequest { attestation: Attestation::Partial, ..of(ANN, live) }, |c| {
            c.badly_attested
        }),
        ("level C", RouteRequest { attestation: Attestation::Gateway, ..of(ANN, live) }, |c| {
            c.badly_attested
        }),
        (
            "level C on a trusted trunk",
            RouteRequest { attestation: Attestation::Gateway, trusted_trunk: true, ..of(ANN, live) },
            |c| c.badly_attested,
        ),
        ("nobody attests", RouteRequest { attestation: Attestation::None, ..of(ANN, live) }, |c| {
            c.badly_attested
        }),
        ("expired", of(ANN, short), |counts| counts.expired),
        ("released", of(ANN, released), |counts| counts.ended),
        ("replaced", of(ANN, superseded), |counts| counts.ended),
        ("closed", of(ANN, closed), |counts| counts.ended),
        ("cut off", of(ANN, cut_off), |counts| counts.cut_off),
        ("damaged", of(ANN, damaged), |counts| counts.unreadable),
        ("a message to a number for calls", RouteRequest { channel: Channel::Sms, ..of(ANN, voice) }, |c| {
            c.wrong_channel
        }),
        ("a call to a number for messages", of(ANN, sms), |counts| counts.wrong_channel),
        ("the closed direction", of(MERCHANT, one_way), |counts| counts.closed_direction),
    ]
}

#[test]
fn every_refusal_is_the_same_answer_after_the_same_work() {
    let exchange = Exchange::on(Faulty::in_memory());
    let causes = causes(&exchange);
    let measure = |request: &RouteRequest| {
        exchange.board.core.work.take();
        let others = || exchange.store.count(Call::Scan) + exchange.store.writes();
        let (reads_before, others_before) = (exchange.store.reads().len(), others());
        let route = exchange.ask(request);
        assert_eq!(others(), others_before, "routing reads only");
        // For each call how many rows, of how many buckets.
        let shape = |keys: &Vec<RowKey>| (keys.len(), keys.chunk_by(|a, b| a.bucket == b.bucket).count());
        let reads: Vec<_> = exchange.store.reads()[reads_before..].iter().map(shape).collect();
        (route, reads, exchange.board.core.work.take())
    };
    // Four probes in one bucket, one opening, two records in one bucket: when it connects too.
    let live = exchange.courier(&order("m", "live"), 5, ANN, 1200).number;
    let (route, reads, work) = measure(&request(ANN, live));
    assert!(matches!(route, Route::Connect { .. }));
    assert_eq!(reads, [(4, 1), (2, 1)]);
    assert_eq!(work, [4, 1, rows::Entry::SEALED_LENGTH - 1]);
    for (cause, request, count) in causes {
        let before = count(&exchange.board.counts());
        assert_eq!(measure(&request), (Route::Refuse, reads.clone(), work), "{cause}");
        assert_eq!(count(&exchange.board.counts()), before + 1, "{cause}");
    }
}

/// Nor by what is decoded: an order that is not there is as long as one that has a number.
#[test]
fn what_is_decoded_for_a_stranger_is_as_long_as_an_order_and_connects_nobody() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let Bound { number, .. } = exchange.merchant(&of, MERCHANT, ANN, 1200);
    let at = rows::OrderId::of(&of).order_key();
    let row = exchange.store.read(&[at.at().clone()]).unwrap().remove(0).unwrap();
    let no_order = exchange.board.core.no_order.clone();
    assert_eq!(no_order.len(), row.len());
    // Though the index row is there: with its order's record gone it reaches nobody.
    let write = Commit::new(at.bucket()).delete(at.bytes().to_vec());
    exchange.store.commit(&[write]).unwrap();
    assert_eq!(exchange.call(ANN, number), Route::Refuse);
    assert_eq!(exchange.board.counts().ended, 1);
    // Nor with the dummy's in its place.
    exchange.store.commit(&[Commit::new(at.bucket()).put(at.bytes().to_vec(), no_order)]).unwrap();
    assert_eq!(exchange.call(ANN, number), Route::Refuse);
    assert_eq!(exchange.board.counts().ended, 2);
}

#[test]
fn a_withheld_caller_is_refused_even_if_nobodys_number_were_bound() {
    let exchange = Exchange::new();
    let nobody = PhoneNumber::from_integer(NOBODY).unwrap();
    let parties = Parties { hub: nobody, customer: phone(ANN) };
    let binding = Binding::courier(order("m", "1"), courier(5), parties, START.saturating_add(60));
    let board = exchange.configured(SwitchboardConfig { callees: Callees::any(), ..config() });
    let Bound { number, .. } = board.bind(binding).wait().unwrap();
    let asked = RouteRequest { caller: None, ..request(0, number) };
    assert_eq!(board.route(&asked).unwrap(), Route::Refuse);
}

#[test]
fn a_caller_whom_nobody_attests_is_taken_at_his_number_on_a_trusted_trunk_only() {
    let exchange = Exchange::new();
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, 600);
    let asked = |trusted_trunk| RouteRequest {
        attestation: Attestation::None,
        trusted_trunk,
        ..request(ANN, number)
    };
    assert_eq!(exchange.ask(&asked(false)), Route::Refuse);
    assert!(matches!(exchange.ask(&asked(true)), Route::Connect { .. }));
    let forged = RouteRequest { caller: Some(phone(77)), ..asked(true) };
    assert_eq!(exchange.ask(&forged), Route::Refuse);
}

#[test]
fn a_message_on_a_number_for_calls_is_refused() {
    let exchange = Exchange::new();
    let usual = Binding::courier(order("m", "1"), courier(5), parties(5, ANN), START.saturating_add(60));
    let Bound { number, .. } = exchange.bind(Binding { only: Some(Channel::Voice), ..usual }).unwrap();
    let asked = |channel| RouteRequest { channel, ..request(ANN, number) };
    assert_eq!(exchange.ask(&asked(Channel::Sms)), Route::Refuse);
    assert!(matches!(exchange.ask(&asked(Channel::Voice)), Route::Connect { .. }));
}

#[test]
fn misses_raise_an_alarm_in_bounded_memory_and_never_block() {
    let exchange = Exchange::new();
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, 600);
    for _ in 0..2 {
        exchange.call(77, number);
    }
    assert_eq!(exchange.board.tick().unwrap().alarms, [], "two are no alarm, and are forgotten");
    for _ in 0..3 {
        exchange.call(77, number);
    }
    assert!(exchange.reaches(ANN, number).is_some());
    assert_eq!(exchange.board.tick().unwrap().alarms, [(number, 3)]);
    assert_eq!(exchange.board.tick().unwrap().alarms, []);
    // A scan over the whole pool and beyond stays in the table.
    for x in 0..20_000 {
        exchange.call(77, VirtualNumber::from_integer(86_700_000_000_000_000 + x).unwrap());
    }
    let alarms = exchange.board.tick().unwrap().alarms;
    assert!(alarms.len() > 1000 && alarms.len() <= 4096);
    assert!(exchange.reaches(ANN, number).is_some());
}

#[test]
fn no_answer_or_error_prints_a_number() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let Bound { number, .. } = exchange.courier(&of, 5, ANN, 600);
    let route = exchange.call(ANN, number);
    let request = request(ANN, number);
    let binding = Binding::courier(of, courier(5), parties(6, ANN), START.saturating_add(60));
    let error = exchange.bind(binding.clone()).unwrap_err();
    let printed = format!("{route:?} {request:?} {binding:?} {error:?} {error} {:?}", exchange.board);
    for secret in [phone(5), phone(6), phone(ANN)] {
        assert!(!printed.contains(&secret.as_integer().to_string()));
    }
    assert!(!printed.contains(&number.as_integer().to_string()));
}
