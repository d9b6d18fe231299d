//! Live legs that are extended, replaced, opened, released; orders that are closed, merchants
//! that are cut off, and time.

use super::*;

const MERCHANT: u64 = 1;
const ANN: u64 = 11;
const BEN: u64 = 12;

/// An order on whose number a courier and Ann call each other for 600 seconds.
fn courier_and_ann() -> (Exchange<MemoryStore>, OrderRef, Bound) {
    let (exchange, of) = (Exchange::new(), order("m", "1"));
    let bound = exchange.courier(&of, 5, ANN, 600);
    (exchange, of, bound)
}

#[test]
fn a_binding_ends_exactly_at_its_end() {
    let exchange = Exchange::new();
    let Bound { number, not_after } = exchange.courier(&order("m", "1"), 5, ANN, 600);
    exchange.clock.set(not_after.saturating_sub(1));
    assert!(matches!(exchange.call(5, number), Route::Connect { max_duration: 1, .. }));
    exchange.clock.set(not_after);
    assert_eq!(exchange.call(5, number), Route::Refuse);
    assert_eq!(exchange.board.counts().expired, 1);
}

#[test]
fn a_call_across_the_end_is_cut_by_its_longest_duration() {
    let exchange = Exchange::new();
    let Bound { number, .. } = exchange.courier(&order("m", "1"), 5, ANN, 5000);
    assert!(matches!(exchange.call(ANN, number), Route::Connect { max_duration: 3600, .. }));
    exchange.pass(4000);
    assert!(matches!(exchange.call(ANN, number), Route::Connect { max_duration: 1000, .. }));
}

#[test]
fn a_merchants_call_ends_with_the_ticket_that_allowed_it() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let Bound { number, .. } = exchange.merchant(&of, MERCHANT, ANN, 5000);
    exchange.board.open_ticket(&of, START.saturating_add(60)).unwrap();
    exchange.pass(59);
    assert!(matches!(exchange.call(MERCHANT, number), Route::Connect { max_duration: 1, .. }));
    // The customer's calls need no ticket; a ticket beyond the number's end prolongs nothing.
    assert!(matches!(exchange.call(ANN, number), Route::Connect { max_duration: 3600, .. }));
    exchange.pass(1);
    assert_eq!(exchange.call(MERCHANT, number), Route::Refuse);
    exchange.pass(4000);
    exchange.board.open_ticket(&of, START.saturating_add(5400)).unwrap();
    assert!(matches!(exchange.call(MERCHANT, number), Route::Connect { max_duration: 940, .. }));
}

#[test]
fn a_clock_that_steps_back_revives_nothing() {
    let exchange = Exchange::new();
    let Bound { number, not_after } = exchange.courier(&order("m", "1"), 5, ANN, 600);
    exchange.clock.set(not_after);
    assert_eq!(exchange.reaches(ANN, number), None);
    exchange.clock.set(START);
    assert_eq!(exchange.reaches(ANN, number), None);
    assert_eq!(exchange.again().reaches(ANN, number), None);
    let late = Binding::courier(order("m", "2"), courier(5), parties(5, ANN), not_after);
    assert_eq!(code(exchange.bind(late)), "switchboard.end_passed");
}

#[test]
fn a_clock_far_ahead_refuses_service_and_destroys_nothing() {
    let (exchange, of, Bound { number, not_after }) = courier_and_ann();
    let before = dump(&*exchange.store);
    exchange.clock.set(START.saturating_add(1000 * LIFE));
    assert_eq!(code(exchange.board.route(&request(ANN, number))), "switchboard.keys");
    assert_eq!(code(exchange.board.tick()), "switchboard.keys");
    assert_eq!(
        code(exchange.bind(Binding::courier(of.clone(), courier(5), parties(5, ANN), not_after))),
        "switchboard.keys"
    );
    let extended = exchange.extend(&of, Leg::Courier, parties(5, ANN), not_after.saturating_add(60));
    assert_eq!(code(extended), "switchboard.keys");
    assert_eq!(dump(&*exchange.store), before);
    // Ending works without any time; but nobody says then when it is dead.
    exchange.board.release(&of, Leg::Courier).unwrap();
    for of in [&of, &order("m", "2")] {
        let closed = exchange.board.close_orders(std::slice::from_ref(of)).pop().unwrap();
        assert_eq!(code(closed), "switchboard.keys");
    }
    exchange.clock.set(START);
    assert_eq!(exchange.reaches(ANN, number), None);
    let again = exchange.bind(Binding::courier(of.clone(), courier(5), parties(5, ANN), not_after));
    assert_eq!(code(again), "switchboard.order_closed", "it was closed all the same");
    assert!(exchange.close(&of) > START);
}

#[test]
fn an_extension_in_its_slot_is_one_write_and_moves_the_end() {
    let (exchange, of, Bound { number, not_after }) = courier_and_ann();
    let before = dump(&*exchange.store).len();
    let later = not_after.saturating_add(600);
    let extended = exchange.extend(&of, Leg::Courier, parties(5, ANN), later).unwrap();
    assert_eq!(extended, Bound { number, not_after: later });
    assert_eq!(dump(&*exchange.store).len(), before);
    rings_until(&exchange, number, later);
}

fn rings_until<S: Store>(exchange: &Exchange<S>, number: VirtualNumber, end: Timestamp) {
    exchange.clock.set(end.saturating_sub(1));
    assert_eq!(exchange.reaches(ANN, number), Some(phone(5)));
    exchange.clock.set(end);
    assert_eq!(exchange.reaches(ANN, number), None);
}

#[test]
fn an_extension_into_a_later_slot_is_found_there_and_in_between() {
    let (exchange, of, Bound { number, not_after }) = courier_and_ann();
    let later = not_after.saturating_add(2 * SLOT);
    for _ in 0..2 {
        let extended = exchange.extend(&of, Leg::Courier, parties(5, ANN), later).unwrap();
        assert_eq!(extended, Bound { number, not_after: later });
    }
    // An earlier end changes nothing, nor does binding again.
    let earlier = exchange.extend(&of, Leg::Courier, parties(5, ANN), not_after.saturating_sub(1));
    assert_eq!(earlier.unwrap().not_after, later);
    assert_eq!(exchange.courier(&of, 5, ANN, 60).not_after, later);
    while exchange.now() < later {
        assert_eq!(exchange.reaches(ANN, number), Some(phone(5)));
        assert_eq!(exchange.reaches(5, number), Some(phone(ANN)));
        exchange.board.tick().unwrap();
        exchange.pass(60);
    }
    assert_eq!(exchange.reaches(ANN, number), None);
}

#[test]
fn an_extension_needs_the_same_parties_and_keeps_to_the_total_life() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let Bound { number, .. } = exchange.courier(&of, 5, ANN, LIFE);
    let extend = |parties, not_after| exchange.extend(&of, Leg::Courier, parties, not_after);
    let later = exchange.now().saturating_add(LIFE + 1);
    assert_eq!(code(extend(parties(5, BEN), later)), "switchboard.different_parties");
    assert_eq!(code(extend(parties(5, ANN), later)), "switchboard.end_too_far");
    let unknown = exchange.extend(&order("m", "2"), Leg::Courier, parties(5, ANN), later);
    assert_eq!(code(unknown), "switchboard.unknown_binding");
    // On and on, until the total life is used up.
    let last = START.saturating_add(TOTAL_LIFE);
    while exchange.now().saturating_add(LIFE) < last {
        exchange.pass(LIFE - 60);
        let not_after = exchange.now().saturating_add(LIFE).as_unix_seconds().min(last.as_unix_seconds());
        extend(parties(5, ANN), Timestamp::from_unix_seconds(not_after)).unwrap();
    }
    assert_eq!(code(extend(parties(5, ANN), last.saturating_add(1))), "switchboard.total_life");
    rings_until(&exchange, number, last);
}

#[test]
fn an_extension_after_the_end_is_refused() {
    let (exchange, of, Bound { number, not_after }) = courier_and_ann();
    exchange.clock.set(not_after);
    let late = exchange.extend(&of, Leg::Courier, parties(5, ANN), not_after.saturating_add(600));
    assert_eq!(code(late), "switchboard.ended");
    assert_eq!(exchange.reaches(ANN, number), None);
}

#[test]
fn an_order_that_outlives_its_number_gets_another_and_a_late_retry_does_not() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let first = Binding::courier(of.clone(), courier(5), parties(5, ANN), START.saturating_add(600));
    let expired = exchange.bind(first.clone()).unwrap();
    exchange.clock.set(expired.not_after);
    assert_eq!(code(exchange.bind(first)), "switchboard.end_passed");
    let bound = exchange.courier(&of, 5, ANN, 600);
    assert_ne!(bound.number, expired.number);
    assert_eq!(exchange.reaches(ANN, bound.number), Some(phone(5)));
    for caller in [5, ANN] {
        assert_eq!(exchange.reaches(caller, expired.number), None);
    }
    // What ended before its time does not.
    exchange.board.release(&of, Leg::Courier).unwrap();
    exchange.pass(600);
    let not_after = exchange.now().saturating_add(600);
    let again = Binding::courier(of, courier(5), parties(5, ANN), not_after);
    assert_eq!(code(exchange.bind(again)), "switchboard.ended");
}

#[test]
fn a_replaced_courier_is_dead_and_the_new_one_bound_by_one_write() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let first = exchange.courier(&of, 5, ANN, 1200);
    let second = exchange.replace(&of, 6, ANN, first.number).unwrap();
    assert_eq!(second.not_after, first.not_after);
    assert_ne!(second.number, first.number);
    for caller in [5, ANN] {
        assert_eq!(exchange.reaches(caller, first.number), None);
    }
    assert_eq!(exchange.reaches(5, second.number), None);
    assert_eq!(exchange.reaches(6, second.number), Some(phone(ANN)));
    assert_eq!(exchange.reaches(ANN, second.number), Some(phone(6)));
    // Asked again the same answer; a third courier; and the second's replacement comes late.
    assert_eq!(exchange.replace(&of, 6, ANN, first.number).unwrap(), second);
    let third = exchange.replace(&of, 7, ANN, second.number).unwrap();
    assert_eq!(code(exchange.replace(&of, 6, ANN, first.number)), "switchboard.superseded");
    assert_eq!(exchange.reaches(ANN, third.number), Some(phone(7)));
    // The first binding's delayed retry brings nobody back either.
    let late = Binding::courier(of.clone(), courier(5), parties(5, ANN), first.not_after);
    assert_eq!(code(exchange.bind(late)), "switchboard.different_parties");
    // The same courier again gets yet another number.
    let again = exchange.replace(&of, 5, ANN, third.number).unwrap();
    assert!(![first.number, second.number, third.number].contains(&again.number));
}

#[test]
fn a_replacement_needs_a_live_leg() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let x = VirtualNumber::from_integer(86_700_000_000_000_000).unwrap();
    assert_eq!(code(exchange.replace(&of, 6, ANN, x)), "switchboard.unknown_binding");
    let Bound { number, .. } = exchange.courier(&of, 5, ANN, 600);
    exchange.pass(600);
    assert_eq!(code(exchange.replace(&of, 6, ANN, number)), "switchboard.ended");
    exchange.close(&of);
    assert_eq!(code(exchange.replace(&of, 6, ANN, number)), "switchboard.order_closed");
}

#[test]
fn a_released_leg_is_dead_at_once_and_a_delayed_retry_of_its_bind_is_refused() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let (merchant, courier_leg) =
        (exchange.merchant(&of, MERCHANT, ANN, 600), exchange.courier(&of, 5, ANN, 600));
    for _ in 0..2 {
        exchange.board.release(&of, Leg::Courier).unwrap();
    }
    assert_eq!(exchange.reaches(5, courier_leg.number), None);
    assert_eq!(exchange.reaches(ANN, merchant.number), Some(phone(MERCHANT)), "the other leg lives on");
    let binding = || Binding::courier(of.clone(), courier(5), parties(5, ANN), courier_leg.not_after);
    assert_eq!(code(exchange.bind(binding())), "switchboard.ended");
    let later = exchange.extend(&of, Leg::Courier, parties(5, ANN), courier_leg.not_after.saturating_add(1));
    assert_eq!(code(later), "switchboard.ended");
    assert_eq!(code(exchange.replace(&of, 6, ANN, courier_leg.number)), "switchboard.ended");
}

#[test]
fn a_release_that_overtakes_its_bind_wins() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    exchange.board.release(&of, Leg::Courier).unwrap();
    exchange.board.tick().unwrap();
    let binding = Binding::courier(of, courier(5), parties(5, ANN), START.saturating_add(60));
    assert_eq!(code(exchange.bind(binding)), "switchboard.ended");
}

#[test]
fn a_closed_order_is_frozen_for_ever_and_always_dead_at_the_same_time() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let (one, two) = (exchange.merchant(&of, MERCHANT, ANN, 600), exchange.courier(&of, 5, ANN, 2 * SLOT));
    // The latest slot counts, though its leg was released, and the skew.
    exchange.board.release(&of, Leg::Courier).unwrap();
    let dead_at = exchange.close(&of);
    assert_eq!(dead_at, START.saturating_add(3 * SLOT + SKEW));
    for (caller, number) in [(ANN, one.number), (5, two.number), (ANN, two.number)] {
        assert_eq!(exchange.reaches(caller, number), None);
    }
    let refused = |exchange: &Exchange<MemoryStore>| {
        let not_after = exchange.now().saturating_add(60);
        let merchant = Binding::merchant(of.clone(), parties(MERCHANT, ANN), not_after);
        let courier_leg = Binding::courier(of.clone(), courier(7), parties(7, ANN), not_after);
        for binding in [merchant, courier_leg] {
            assert_eq!(code(exchange.bind(binding)), "switchboard.order_closed");
        }
        let later = exchange.extend(&of, Leg::Merchant, parties(MERCHANT, ANN), not_after);
        assert_eq!(code(later), "switchboard.order_closed");
        assert_eq!(code(exchange.replace(&of, 6, ANN, two.number)), "switchboard.order_closed");
        assert_eq!(code(exchange.board.open_ticket(&of, not_after)), "switchboard.order_closed");
        exchange.board.close_ticket(&of).unwrap();
        exchange.board.release(&of, Leg::Courier).unwrap();
        assert_eq!(exchange.close(&of), dead_at);
    };
    refused(&exchange);
    // Nor after any time and sweeping.
    for _ in 0..80 {
        exchange.pass(DAY);
        exchange.board.tick().unwrap();
    }
    refused(&exchange);
    assert_eq!(dump(&*exchange.store).iter().filter(|(_, row)| row.key.starts_with(b"po")).count(), 1);
}

#[test]
fn closing_an_order_that_never_had_a_number_freezes_it_too() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let dead_at = exchange.close(&of);
    assert_eq!(dead_at, START.saturating_add(SLOT + SKEW));
    exchange.pass(LIFE);
    assert_eq!(exchange.close(&of), dead_at);
    let binding = Binding::merchant(of, parties(MERCHANT, ANN), exchange.now().saturating_add(60));
    assert_eq!(code(exchange.bind(binding)), "switchboard.order_closed");
}

#[test]
fn a_ticket_opens_the_merchants_direction_until_its_end() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let Bound { number, .. } = exchange.merchant(&of, MERCHANT, ANN, 1200);
    assert_eq!(exchange.reaches(MERCHANT, number), None);
    let until = START.saturating_add(300);
    exchange.board.open_ticket(&of, until).unwrap();
    assert_eq!(exchange.reaches(MERCHANT, number), Some(phone(ANN)));
    exchange.clock.set(until);
    assert_eq!(exchange.reaches(MERCHANT, number), None);
    assert_eq!(exchange.reaches(ANN, number), Some(phone(MERCHANT)));
    exchange.board.open_ticket(&of, until.saturating_add(300)).unwrap();
    assert_eq!(exchange.reaches(MERCHANT, number), Some(phone(ANN)));
    exchange.board.close_ticket(&of).unwrap();
    assert_eq!(exchange.reaches(MERCHANT, number), None);
    // Always with an end, ahead and not too far, and never beyond the number's own.
    assert_eq!(code(exchange.board.open_ticket(&of, until)), "switchboard.end_passed");
    let far = exchange.now().saturating_add(LIFE + 1);
    assert_eq!(code(exchange.board.open_ticket(&of, far)), "switchboard.end_too_far");
    exchange.board.open_ticket(&of, START.saturating_add(LIFE)).unwrap();
    exchange.clock.set(START.saturating_add(1200));
    assert_eq!(exchange.reaches(MERCHANT, number), None);
    assert_eq!(code(exchange.board.open_ticket(&of, START.saturating_add(LIFE))), "switchboard.ended");
    assert_eq!(
        code(exchange.board.open_ticket(&order("m", "2"), START.saturating_add(LIFE))),
        "switchboard.unknown_binding"
    );
}

#[test]
fn a_leg_that_is_kept_closed_to_the_merchant_gets_no_ticket() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let usual = Binding::merchant(of.clone(), parties(MERCHANT, ANN), START.saturating_add(600));
    let Bound { number, .. } = exchange.bind(Binding { keep_merchant_closed: true, ..usual }).unwrap();
    assert_eq!(code(exchange.board.open_ticket(&of, START.saturating_add(60))), "switchboard.kept_closed");
    assert_eq!(exchange.reaches(MERCHANT, number), None);
    assert_eq!(exchange.reaches(ANN, number), Some(phone(MERCHANT)));
}

#[test]
fn a_merchant_that_is_cut_off_has_no_number_left_and_its_couriers_neither() {
    let exchange = Exchange::new();
    let (of, other) = (order("m", "1"), order("n", "1"));
    let numbers = [exchange.merchant(&of, MERCHANT, ANN, 600), exchange.courier(&of, 5, ANN, 600)];
    let others = exchange.merchant(&other, 2, ANN, 600);
    exchange.board.cut_off(&name("m")).unwrap();
    for Bound { number, .. } in numbers {
        for caller in [MERCHANT, 5, ANN] {
            assert_eq!(exchange.reaches(caller, number), None);
        }
    }
    assert_eq!(exchange.reaches(ANN, others.number), Some(phone(2)));
    let again = Binding::merchant(of.clone(), parties(MERCHANT, ANN), numbers[0].not_after);
    assert_eq!(code(exchange.bind(again)), "switchboard.ended");
    let later = exchange.extend(&of, Leg::Courier, parties(5, ANN), numbers[0].not_after.saturating_add(60));
    assert_eq!(code(later), "switchboard.ended");
    assert_eq!(code(exchange.replace(&of, 6, ANN, numbers[1].number)), "switchboard.ended");
    // Other orders are bound under the new generation, until the next time.
    let fresh = exchange.merchant(&order("m", "2"), MERCHANT, ANN, 600);
    assert_eq!(exchange.reaches(ANN, fresh.number), Some(phone(MERCHANT)));
    exchange.board.cut_off(&name("m")).unwrap();
    assert_eq!(exchange.reaches(ANN, fresh.number), None);
}

#[test]
fn after_a_recovery_every_earlier_number_is_dead_and_is_bound_again_under_another() {
    let exchange = Exchange::new();
    let of = order("m", "1");
    let before = exchange.courier(&of, 5, ANN, 600);
    let released = order("m", "2");
    exchange.courier(&released, 5, BEN, 600);
    exchange.board.release(&released, Leg::Courier).unwrap();
    exchange.keys.recover();
    assert_eq!(exchange.reaches(ANN, before.number), None);
    let later = exchange.extend(&of, Leg::Courier, parties(5, ANN), before.not_after.saturating_add(60));
    assert_eq!(code(later), "switchboard.keys_replaced");
    assert_eq!(code(exchange.replace(&of, 6, ANN, before.number)), "switchboard.keys_replaced");
    let after = exchange.courier(&of, 5, ANN, 600);
    assert_ne!(after.number, before.number);
    assert_eq!(exchange.reaches(ANN, after.number), Some(phone(5)));
    assert_eq!(exchange.reaches(ANN, before.number), None);
    // What had ended stays so.
    let again = Binding::courier(released, courier(5), parties(5, BEN), before.not_after);
    assert_eq!(code(exchange.bind(again)), "switchboard.ended");
}

#[test]
fn a_backup_that_is_restored_after_erasure_revives_nothing() {
    let (exchange, of, Bound { number, not_after }) = courier_and_ann();
    let restored = copy(&*exchange.store);
    exchange.board.release(&of, Leg::Courier).unwrap();
    exchange.clock.set(not_after.saturating_add(SLOT + SKEW));
    exchange.board.tick().unwrap();
    exchange.keys.recover();
    let restored = Exchange::with(
        Arc::new(restored),
        exchange.clock.clone(),
        exchange.keys.clone(),
        exchange.pool.clone(),
    );
    for caller in [5, ANN] {
        assert_eq!(restored.reaches(caller, number), None);
    }
    // Not even if the clock is set back to when it was made.
    restored.clock.set(START);
    assert_eq!(restored.reaches(ANN, number), None);
}

#[test]
fn sweeping_deletes_what_is_over_and_changes_no_answer() {
    let exchange = Exchange::new();
    let live = exchange.courier(&order("m", "live"), 5, ANN, LIFE);
    for id in 0..20 {
        let of = order("m", &format!("{id}"));
        exchange.courier(&of, 100 + id, 200 + id, 60 + id * 30);
        if id % 3 == 0 {
            exchange.board.release(&of, Leg::Courier).unwrap();
        }
    }
    assert_eq!(exchange.board.tick().unwrap(), SwitchboardReport::default());
    exchange.pass(SLOT + SKEW - 1);
    assert_eq!(exchange.board.tick().unwrap().index_rows, 0, "a slower clock may still need them");
    exchange.pass(1);
    assert_eq!(exchange.board.tick().unwrap().index_rows, 40);
    assert_eq!(exchange.reaches(ANN, live.number), Some(phone(5)));
    exchange.pass(LIFE + SLOT);
    assert_eq!(exchange.board.tick().unwrap().index_rows, 2);
    let rest =
        |room: &[u8]| dump(&*exchange.store).iter().filter(|(_, row)| row.key.starts_with(room)).count();
    assert_eq!((rest(b"pi"), rest(b"po"), rest(b"ph")), (0, 21, 21));
    // Records outlive retries by far, and are shortened then; counters go with their epoch.
    exchange.pass(2 * DAY);
    assert_eq!(
        exchange.board.tick().unwrap(),
        SwitchboardReport { hubs: 21, ..SwitchboardReport::default() }
    );
    for _ in 0..27 {
        exchange.pass(DAY);
        assert_eq!(exchange.board.tick().unwrap(), SwitchboardReport::default());
    }
    exchange.pass(DAY);
    assert_eq!(
        exchange.board.tick().unwrap(),
        SwitchboardReport { orders: 14, ..SwitchboardReport::default() },
        "7 were released, and are short already"
    );
    assert_eq!(exchange.board.tick().unwrap(), SwitchboardReport::default());
    // How far views reached stays, one row a bucket at most; and what tells of endings, one a part.
    let (of_all, rows): (Vec<_>, Vec<_>) =
        written(&*exchange.store).into_iter().partition(|(_, row)| matches!(&row.key[..2], b"pf" | b"pe"));
    assert!(of_all.iter().all(|(_, row)| row.key.len() + row.value.len() <= 16));
    assert!(rows.len() == 21 && rows.iter().all(|(_, row)| row.key.len() + row.value.len() <= 54));
}

#[test]
fn a_tick_looks_at_rows_when_the_first_may_be_due_and_leaves_none_that_is() {
    let exchange = Exchange::new();
    let tick = || {
        let report = exchange.board.tick().unwrap();
        (report.orders + report.hubs, exchange.board.core.work.take_looks())
    };
    let (mut gone, mut looks) = (BTreeMap::new(), Vec::new());
    for day in 0..90u64 {
        // One business each, on some days: also while nothing of the earlier ones is due.
        if matches!(day, 0 | 3 | 20 | 21) {
            exchange.courier(&order("m", &format!("{day}")), 100 + day, ANN, 600);
        }
        let (due, looked) = tick();
        if due > 0 {
            gone.insert(day, due);
        }
        if looked > 0 {
            looks.push(day);
        }
        // Nothing was missed: one that has looked at nothing yet finds as much.
        let report = exchange.again().board.tick().unwrap();
        assert_eq!(report.orders + report.hubs, 0, "day {day}");
        exchange.pass(DAY);
    }
    assert_eq!(gone.values().sum::<u64>(), 8, "{gone:?}");
    assert!(looks.len() <= 20 && gone.keys().all(|day| looks.contains(day)), "{looks:?}");
}

#[test]
fn what_was_ended_stays_so_however_long_ago_it_was() {
    let exchange = Exchange::new();
    let [released, before, cut, over] =
        ["released", "before", "cut", "over"].map(|id| order(if id == "cut" { "c" } else { "m" }, id));
    for of in [&released, &cut, &over] {
        exchange.courier(of, 5, ANN, 600);
    }
    exchange.board.release(&released, Leg::Courier).unwrap();
    exchange.board.release(&before, Leg::Courier).unwrap();
    exchange.board.cut_off(&name("c")).unwrap();
    for _ in 0..70 {
        exchange.pass(DAY);
        exchange.board.tick().unwrap();
    }
    let late = |of: &OrderRef| {
        let end = exchange.now().saturating_add(600);
        exchange.bind(Binding::courier(of.clone(), courier(5), parties(5, ANN), end))
    };
    for of in [&released, &before, &cut] {
        assert_eq!(code(late(of)), "switchboard.ended", "{of:?}");
    }
    // Its time was over, and nobody ended it: an order may outlive its number.
    late(&over).unwrap();
}
