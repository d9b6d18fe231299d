//! Any history of everything, against the plain model.

use super::*;
use crate::test_util::model::{Act, Model, ORDERS, PHONES, Who};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    Act(Act),
    Recover,
    Pass(u64),
}

fn leg() -> impl Strategy<Value = Leg> {
    prop_oneof![Just(Leg::Merchant), Just(Leg::Courier)]
}

fn life() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1u64..120, 1u64..LIFE + 1, Just(LIFE), Just(LIFE + 1)]
}

fn who() -> impl Strategy<Value = Who> {
    let who = |(of, leg, hub, customer)| Who { of, leg, hub, customer };
    (0..ORDERS, leg(), 0..PHONES, 0..PHONES).prop_map(who)
}

fn event() -> impl Strategy<Value = Event> {
    let of = || 0..ORDERS;
    let act = prop_oneof![
        8 => (who(), life(), any::<bool>())
            .prop_map(|(who, life, keep_closed)| Act::Bind { who, life, keep_closed }),
        4 => (who(), any::<bool>()).prop_map(|(who, stale)| Act::Replace { who, stale }),
        4 => (who(), life()).prop_map(|(who, life)| Act::Extend { who, life }),
        2 => (of(), leg()).prop_map(|(of, leg)| Act::Release { of, leg }),
        2 => (of(), proptest::option::of(life())).prop_map(|(of, life)| Act::Ticket { of, life }),
        1 => of().prop_map(|of| Act::Close { of }),
        1 => of().prop_map(|of| Act::CutOff { of }),
        1 => Just(Act::Tick),
    ];
    prop_oneof![
        23 => act.prop_map(Event::Act),
        1 => Just(Event::Recover),
        6 => prop_oneof![1u64..120, Just(SLOT), 1u64..LIFE, Just(DAY / 2)].prop_map(Event::Pass),
    ]
}

fn run<S: Store>(store: S, events: &[Event]) {
    let (store, clock) = (Arc::new(store), Arc::new(ManualClock::new(START)));
    let exchange = Exchange::with(store, clock, Arc::new(TestKeys::new()), pool(60));
    let mut model = Model::default();
    for event in events {
        match event {
            Event::Act(act) => model.act(&exchange.board, exchange.now(), *act),
            Event::Recover => model.recover(|| exchange.keys.recover()),
            Event::Pass(seconds) => exchange.pass(*seconds),
        }
        model.check(&exchange.board, exchange.now());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_history_routes_as_the_plain_model_says(events in prop::collection::vec(event(), 1..50)) {
        run(MemoryStore::new(), &events);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_history_routes_as_the_plain_model_says_on_redb(events in prop::collection::vec(event(), 1..50)) {
        let memory = redb::backends::InMemoryBackend::new();
        run(unjoin_store::RedbStore::create_on(memory).unwrap(), &events);
    }
}
