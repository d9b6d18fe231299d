//! Making numbers: who gets one, which, and what is refused.

use super::*;

const MERCHANT: u64 = 1;
const ANN: u64 = 11;
const BEN: u64 = 12;
const STRANGER: u64 = 99;

#[test]
fn two_parties_reach_each_other_and_nobody_else_reaches_anybody() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let Bound { number, not_after } = exchange.courier(&of, 5, ANN, 600);
    assert_eq!(not_after, START.saturating_add(600));
    assert_eq!(exchange.reaches(5, number), Some(phone(ANN)));
    assert_eq!(exchange.reaches(ANN, number), Some(phone(5)));
    for caller in [STRANGER, MERCHANT, BEN] {
        assert_eq!(exchange.reaches(caller, number), None);
    }
    let other = VirtualNumber::from_integer(number.as_integer() ^ 1).unwrap();
    assert_eq!(exchange.reaches(ANN, other), None);
}

#[test]
fn a_bind_is_idempotent_on_order_and_leg() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let bound = exchange.merchant(&of, MERCHANT, ANN, 600);
    exchange.pass(60);
    // The same pair again, whatever the end: the same answer, also from another instance.
    assert_eq!(exchange.merchant(&of, MERCHANT, ANN, 900), bound);
    assert_eq!(exchange.again().merchant(&of, MERCHANT, ANN, 900), bound);
    // The other leg is another number.
    let courier = exchange.courier(&of, 5, ANN, 600);
    assert_ne!(courier.number, bound.number);
    assert_eq!(exchange.courier(&of, 5, ANN, 600), courier);
    // Other parties are an error and change nothing.
    let before = dump(&*exchange.store);
    for changed in [parties(2, ANN), parties(MERCHANT, BEN), parties(ANN, MERCHANT)] {
        let again = Binding::merchant(of.clone(), changed, bound.not_after);
        assert_eq!(code(exchange.bind(again)), "switchboard.different_parties");
    }
    assert_eq!(dump(&*exchange.store), before);
}

#[test]
fn an_end_is_mandatory_ahead_and_within_the_longest_life() {
    let exchange = Exchange::new();
    let bind =
        |not_after| exchange.bind(Binding::merchant(order("m", "1"), parties(MERCHANT, ANN), not_after));
    assert_eq!(code(bind(Timestamp::ZERO)), "switchboard.end_passed");
    assert_eq!(code(bind(START)), "switchboard.end_passed");
    assert_eq!(code(bind(START.saturating_add(LIFE + 1))), "switchboard.end_too_far");
    assert_eq!(code(bind(Timestamp::from_unix_seconds(u64::MAX))), "switchboard.end_too_far");
    assert_eq!(written(&*exchange.store), []);
    assert!(bind(START.saturating_add(LIFE)).is_ok());
}

#[test]
fn a_party_bound_to_itself_is_an_error() {
    let exchange = Exchange::new();
    let binding = Binding::courier(order("m", "1"), courier(5), parties(5, 5), START.saturating_add(60));
    assert_eq!(code(exchange.bind(binding)), "switchboard.same_party");
    let bound = exchange.courier(&order("m", "1"), 5, ANN, 60);
    let replaced = exchange.replace(&order("m", "1"), ANN, ANN, bound.number);
    assert_eq!(code(replaced), "switchboard.same_party");
}

#[test]
fn a_party_that_would_cost_the_host_is_barred_and_stays_so() {
    let exchange = Exchange::new();
    for service in ["+8610086", "+864008101117", "+88213000000", "+447012345678"] {
        let service = PhoneNumber::new(service).unwrap();
        for parties in [
            Parties { hub: service.clone(), customer: phone(11) },
            Parties { hub: phone(5), customer: service.clone() },
        ] {
            let end = START.saturating_add(600);
            let barred = exchange.bind(Binding::courier(order("m", "1"), courier(5), parties.clone(), end));
            assert_eq!(code(barred), "switchboard.callee_barred");
        }
    }
    // What was bound before a country was barred rings no more.
    let bound = exchange.courier(&order("m", "2"), 5, 11, 600);
    let strict = exchange.configured(SwitchboardConfig { callees: Callees::none(), ..config() });
    assert_eq!(strict.route(&request(5, bound.number)).unwrap(), Route::Refuse);
    assert_eq!(strict.counts().callee_barred, 1);
    assert_eq!(exchange.reaches(5, bound.number), Some(phone(11)));
}

#[test]
fn a_party_that_is_a_pool_number_is_an_error() {
    // A pool of numbers that are as long as real ones.
    let first = VirtualNumber::new("+8617000000000").unwrap();
    let slice = |slice: u64| {
        let first = VirtualNumber::from_integer(first.as_integer() + slice * 10).unwrap();
        vec![PoolRange::in_service(NumberRange::new(first, 10).unwrap())]
    };
    let slices = (0..SLICES).map(slice).collect();
    let config = PoolConfig { slices, largest_hub: 10, ..pool(10).config().clone() };
    let pool = Arc::new(Pool::new(config, &SecretBytes::new([7; 32])).unwrap());
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(START)));
    let exchange = Exchange::with(store, clock, Arc::new(TestKeys::new()), pool);
    let x = PhoneNumber::new("+8617000000039").unwrap();
    for parties in [
        Parties { hub: x.clone(), customer: phone(ANN) },
        Parties { hub: phone(MERCHANT), customer: x.clone() },
    ] {
        let binding = Binding::merchant(order("m", "1"), parties, START.saturating_add(60));
        assert_eq!(code(exchange.bind(binding)), "switchboard.party_in_pool");
    }
    assert_eq!(written(&*exchange.store), []);
    // The number behind the pool's last is anybody's.
    let customer = PhoneNumber::new("+8617000000040").unwrap();
    let parties = Parties { hub: phone(MERCHANT), customer };
    assert!(exchange.bind(Binding::merchant(order("m", "1"), parties, START.saturating_add(60))).is_ok());
}

#[test]
fn one_phone_can_be_customer_here_and_courier_there_under_two_numbers() {
    // Two numbers a slice, so that the two hubs meet the same numbers.
    for hub in 100..110 {
        let exchange = Exchange::with_pool(2);
        let courier = exchange.courier(&order("m", "1"), hub, ANN, 600);
        let customer = exchange.merchant(&order("n", "2"), MERCHANT, hub, 600);
        assert_ne!(courier.number, customer.number);
        assert_eq!(exchange.reaches(hub, courier.number), Some(phone(ANN)));
        assert_eq!(exchange.reaches(hub, customer.number), Some(phone(MERCHANT)));
    }
}

#[test]
fn two_orders_of_one_pair_have_two_numbers() {
    let exchange = Exchange::new();
    let [one, two] = ["1", "2"].map(|id| exchange.courier(&order("m", id), 5, ANN, 600));
    assert_ne!(one.number, two.number);
    exchange.board.release(&order("m", "1"), Leg::Courier).unwrap();
    assert_eq!(exchange.reaches(ANN, one.number), None);
    assert_eq!(exchange.reaches(ANN, two.number), Some(phone(5)));
}

#[test]
fn numbers_of_fifteen_national_digits_are_bound_and_routed() {
    let exchange = Exchange::new();
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, 600);
    let text = number.to_e164();
    assert!(text.starts_with("+86700") && text.len() == 1 + 17);
    assert_eq!(exchange.reaches(ANN, VirtualNumber::new(&text).unwrap()), Some(phone(5)));
}

#[test]
fn a_number_written_with_any_prefix_is_the_same_party() {
    use crate::NumberingPlan;
    let plan = NumberingPlan::new("86", "00", "0").unwrap().unprefixed_national();
    let exchange = Exchange::new();
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, 600);
    let national = 13_800_000_000 + ANN;
    for written in
        [format!("+86{national}"), format!("0086{national}"), format!("0{national}"), format!("{national}")]
    {
        let caller = Some(plan.party(&written).unwrap());
        let asked = RouteRequest { caller, ..request(0, number) };
        assert!(matches!(exchange.ask(&asked), Route::Connect { callee, .. } if callee == phone(5)));
    }
}

#[test]
fn a_used_up_slice_is_an_error_that_names_the_size_and_never_a_fallback() {
    let exchange = Exchange::with_pool(3);
    for id in ["1", "2", "3"] {
        exchange.merchant(&order("m", id), MERCHANT, ANN, 600);
    }
    let before = dump(&*exchange.store);
    let not_after = START.saturating_add(600);
    let fourth = || Binding::merchant(order("m", "4"), parties(MERCHANT, ANN), not_after);
    let error = exchange.bind(fourth()).unwrap_err();
    assert_eq!(error.code(), "switchboard.pool_exhausted");
    assert!(error.to_string().contains("16 numbers"), "{error}");
    assert_eq!(dump(&*exchange.store), before);
    // Another merchant is served; and tomorrow this one too.
    exchange.merchant(&order("n", "1"), 2, BEN, 600);
    exchange.clock.set(START.saturating_add(DAY));
    let not_after = exchange.now().saturating_add(600);
    assert!(exchange.bind(Binding { not_after, ..fourth() }).is_ok());
}

#[test]
fn many_at_once_get_what_is_left_and_the_others_are_told() {
    let exchange = Exchange::with_pool(20);
    let not_after = START.saturating_add(600);
    let bind = |id: u64| {
        let of = order("m", &id.to_string());
        exchange.board.bind(Binding::merchant(of, parties(MERCHANT, 100 + id), not_after))
    };
    let pending: Vec<_> = (0..50).map(bind).collect();
    let answers: Vec<_> = pending.into_iter().map(Pending::wait).collect();
    let mut numbers: Vec<_> =
        answers.iter().filter_map(|answer| Some(answer.as_ref().ok()?.number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 20);
    let refused: Vec<_> = answers.into_iter().filter_map(Result::err).map(|error| error.code()).collect();
    assert_eq!(refused, ["switchboard.pool_exhausted"; 30]);
}

#[test]
fn a_hub_meets_no_number_again_across_an_epoch_boundary_nor_within_its_quarantine() {
    let exchange = Exchange::with_pool(40);
    let mut seen: BTreeMap<VirtualNumber, u64> = BTreeMap::new();
    for day in 0..3 * SLICES {
        // Two orders just before the boundary, two just after it.
        for (id, second) in [(0, DAY - 2), (1, DAY - 1), (2, DAY), (3, DAY + 1)] {
            exchange.clock.set(START.saturating_add(day * DAY + second));
            let of = order("m", &format!("{day} {id}"));
            let Bound { number, .. } = exchange.merchant(&of, MERCHANT, ANN, 600);
            let epoch = exchange.pool.epoch_of(exchange.now());
            if let Some(before) = seen.insert(number, epoch) {
                assert!(epoch >= before + SLICES, "not before the other slices' epochs");
            }
        }
    }
    assert!(seen.len() < 4 * 3 * SLICES as usize, "some number came back in its time");
}

#[test]
fn a_stale_number_dialled_by_its_old_merchant_reaches_nobody_while_it_serves_others() {
    // One number a slice: merchants of one slice share it.
    let exchange = Exchange::with_pool(1);
    let old = exchange.merchant(&order("old", "1"), MERCHANT, ANN, 600);
    let mut others = 0;
    for hub in 0..40 {
        let (merchant, customer) = (200 + hub, 300 + hub);
        let of = order(&format!("merchant {hub}"), "1");
        let Bound { number, .. } = exchange.courier(&of, merchant, customer, 1200);
        others += usize::from(number == old.number);
    }
    assert!(others > 1, "it serves several pairs at once");
    exchange.pass(600);
    assert_eq!(exchange.reaches(MERCHANT, old.number), None);
    // The customer's own stale dial: no pair of hers is left on it.
    assert_eq!(exchange.reaches(ANN, old.number), None);
}

#[test]
fn a_merchant_is_bound_from_customer_to_merchant_only() {
    let exchange = Exchange::new();
    let binding = Binding::merchant(order("m", "1"), parties(MERCHANT, ANN), START.saturating_add(60));
    for directions in [Directions::Both, Directions::FromHub] {
        let open = Binding { directions, ..binding.clone() };
        assert_eq!(code(exchange.bind(open)), "switchboard.merchant_direction");
    }
    let Bound { number, .. } = exchange.bind(binding).unwrap();
    assert_eq!(exchange.reaches(ANN, number), Some(phone(MERCHANT)));
    assert_eq!(exchange.reaches(MERCHANT, number), None);
}

#[test]
fn a_binding_takes_at_most_500_bytes() {
    let exchange = Exchange::new();
    let bytes =
        || dump(&*exchange.store).iter().map(|(_, row)| row.key.len() + row.value.len()).sum::<usize>();
    let long = "x".repeat(Name::MAX_LEN);
    let of = OrderRef { merchant: name(&long), order: name(&long) };
    exchange.merchant(&order(&long, "before"), MERCHANT, BEN, 600);
    let before = bytes();
    exchange.merchant(&of, MERCHANT, ANN, 600);
    assert!(bytes() - before <= 420, "{}", bytes() - before);
    // The order's second leg, its hub's counter aside.
    exchange.courier(&order(&long, "before"), 5, BEN, 600);
    let before = bytes();
    exchange.courier(&of, 5, ANN, 600);
    assert!(bytes() - before <= 420);
}

#[test]
fn a_total_life_shorter_than_the_longest_life_bounds_the_first_end_too() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(START)));
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    let config = SwitchboardConfig { max_total_life: 600, ..config() };
    let board = Switchboard::open(
        unjoin_test_util::own(&store, unjoin_store::identity::Role::Telephony),
        config,
        pool(10),
        Arc::new(TestKeys::new()),
        environment,
    )
    .unwrap();
    let bind = |life| {
        let binding = Binding::merchant(order("m", "1"), parties(MERCHANT, ANN), START.saturating_add(life));
        board.bind(binding).wait()
    };
    assert_eq!(code(bind(601)), "switchboard.total_life");
    assert!(bind(600).is_ok());
}

#[test]
fn a_pool_that_shrinks_draws_no_more_from_what_is_drained_and_what_rings_there_rings_on() {
    let epoch = START.as_unix_seconds() / DAY;
    let first = 86_700_000_000_000_000;
    let range = |first: u64| NumberRange::new(VirtualNumber::from_integer(first).unwrap(), 5).unwrap();
    let slice = |slice: u64| {
        let drained =
            PoolRange { drawn_until: Some(epoch + 1), ..PoolRange::in_service(range(first + slice * 10)) };
        vec![drained, PoolRange::in_service(range(first + slice * 10 + 5))]
    };
    let slices = (0..SLICES).map(slice).collect();
    let config = PoolConfig { slices, largest_hub: 5, ..pool(10).config().clone() };
    let pool = Arc::new(Pool::new(config, &SecretBytes::new([7; 32])).unwrap());
    let clock = Arc::new(ManualClock::new(START.saturating_add(DAY - 60)));
    let exchange = Exchange::with(Arc::new(MemoryStore::new()), clock, Arc::new(TestKeys::new()), pool);
    let is_drained = |bound: &Bound| (bound.number.as_integer() - first) % 10 < 5;
    let bind = |id: u64| exchange.merchant(&order("m", &id.to_string()), MERCHANT, 100 + id, 600);
    let before: Vec<Bound> = (0..10).map(bind).collect();
    assert_eq!(before.iter().filter(|bound| is_drained(bound)).count(), 5);
    exchange.pass(120);
    let after: Vec<Bound> = (10..15).map(bind).collect();
    assert!(!after.iter().any(is_drained));
    for (id, bound) in (0..).zip(before.iter().chain(&after)) {
        assert_eq!(exchange.reaches(100 + id, bound.number), Some(phone(MERCHANT)));
    }
    let not_after = exchange.now().saturating_add(60);
    let further = Binding::merchant(order("m", "15"), parties(MERCHANT, ANN), not_after);
    assert_eq!(code(exchange.bind(further)), "switchboard.pool_exhausted");
}

#[test]
fn a_configuration_that_breaks_a_rule_is_refused() {
    let opens = |config: SwitchboardConfig| {
        let (store, keys) = (Arc::new(MemoryStore::new()), Arc::new(TestKeys::new()));
        Switchboard::open(
            unjoin_test_util::own(&store, unjoin_store::identity::Role::Telephony),
            config,
            pool(10),
            keys,
            Environment::system(),
        )
        .map(drop)
    };
    opens(config()).unwrap();
    for broken in [
        SwitchboardConfig { max_total_life: 0, ..config() },
        SwitchboardConfig { max_total_life: TOTAL_LIFE + 1, ..config() },
        SwitchboardConfig { longest_call: 0, ..config() },
        SwitchboardConfig { least_attestation: Attestation::None, ..config() },
        SwitchboardConfig { alarm_after: 0, ..config() },
    ] {
        assert_eq!(code(opens(broken)), "switchboard.config");
    }
}

#[test]
fn stored_rows_decode_strictly() {
    use super::super::rows::{EndingRow, HubRow, MerchantRow, ReachRow, slot_end_of};
    fn strict<T: Record + PartialEq + std::fmt::Debug>(value: &[u8]) {
        let row = T::from_value(value).unwrap();
        assert_eq!(row.to_value(), value);
        assert!(T::from_value(&[value, &[0]].concat()).is_err());
        for length in 0..value.len() {
            assert!(T::from_value(&value[..length]).is_err());
        }
        assert!(T::from_value(&[&[2], &value[1..]].concat()).is_err(), "another format");
    }
    let exchange = Exchange::new();
    let of = order("m", "1");
    exchange.merchant(&of, MERCHANT, ANN, 600);
    exchange.courier(&of, 5, ANN, 600);
    exchange.board.cut_off(&name("m")).unwrap();
    for (_, row) in written(&*exchange.store) {
        match &row.key[..2] {
            b"po" => {
                strict::<OrderRow>(&row.value);
                // A leg that is of no known state, direction or channel; a number that is none.
                for (at, byte) in [(1, 2), (10, 3), (11 + 32, 3), (11 + 33, 3), (11 + 34, 2), (18, 0xff)] {
                    let mut value = row.value.clone();
                    value[at] = byte;
                    assert!(OrderRow::from_value(&value).is_err(), "{at}");
                }
            }
            b"pm" => strict::<MerchantRow>(&row.value),
            b"ph" => strict::<HubRow>(&row.value),
            b"pe" => strict::<EndingRow>(&row.value),
            b"pf" => strict::<ReachRow>(&row.value),
            _ => {
                assert_eq!(row.value.len(), Entry::SEALED_LENGTH);
                assert!(slot_end_of(&row.key).is_ok() && slot_end_of(&row.key[1..]).is_err());
                assert!(IndexRow::from_value(&row.value).unwrap().to_value() == row.value);
                // What has another form is as long as a row, and opens for nobody.
                for other in [&row.value[1..], &[&[2], &row.value[1..]].concat(), b""] {
                    assert!(IndexRow::from_value(other).unwrap() == IndexRow::DUMMY);
                }
            }
        }
    }
}
