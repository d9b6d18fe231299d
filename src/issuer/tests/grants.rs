use super::*;
use std::collections::HashSet;
use std::sync::Barrier;
use unjoin_core::wire::Message;

#[test]
fn an_order_never_gets_two_grants() {
    const ASKING: u64 = 12;
    let shop = Shop::new();
    let beside = shop.again();
    let ann = Person::new("ann");
    shop.enrol(&ann).unwrap();
    for order in 0..6 {
        let merchant = name(&format!("merchant {order}"));
        let handle = shop.report(&ann, &merchant, ON_TIME, &order.to_string());
        let scope = shop.offer(&ann, &merchant, handle).unwrap().scope;
        let barrier = Barrier::new(ASKING as usize);
        let answers: Vec<(u64, Result<Grant, IssuerError>)> = std::thread::scope(|threads| {
            let ask = |asking: u64| {
                let issuer = if asking.is_multiple_of(2) { &shop } else { &beside };
                // Three commitments, each asked for four times.
                let request = ann.request(handle, &scope, asking / 4);
                barrier.wait();
                (asking / 4, issuer.grant(&ann, &request))
            };
            let threads: Vec<_> = (0..ASKING).map(|asking| threads.spawn(move || ask(asking))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let granted: HashSet<(u64, Vec<u8>)> = answers
            .iter()
            .filter_map(|(variant, answer)| Some((*variant, tag(answer.as_ref().ok()?))))
            .collect();
        assert_eq!(granted.len(), 1, "one pair, one answer");
        assert_eq!(answers.iter().filter(|(_, answer)| answer.is_ok()).count(), 4);
        let refused = answers.into_iter().filter(|(_, answer)| answer.is_err());
        assert!(refused.into_iter().all(|(_, answer)| code(answer) == "issuer.already_granted"));
    }
}

/// Both wallets of an account, while it goes over from one to the other, and somebody else ask
/// for one order: for the scope on offer, whichever it is by then, for another class's and for
/// one that nobody offered. Meanwhile a boundary comes and seals the cohort.
#[test]
fn an_order_gets_one_grant_from_any_wallet_for_any_scope_while_its_cohort_is_sealed() {
    const REFUSALS: [&str; 5] = [
        "issuer.already_granted",
        "issuer.cohort_closed",
        "issuer.wrong_scope",
        "issuer.proof_refused",
        "issuer.order_of_another_account",
    ];
    for round in 0..8 {
        let shop = Shop::new();
        let (merchant, ann) = (name("m"), Person::new("ann"));
        let second = Person::with("ann", 2);
        let others = people(["ben", "cid", "dan"]);
        shop.enrol(&ann).unwrap();
        shop.pass(11 * DAY);
        for (person, order) in others.iter().zip(["1", "2", "3"]) {
            shop.enrol(person).unwrap();
            shop.buy(person, &merchant, ON_TIME, order);
        }
        let handle = shop.report(&ann, &merchant, ON_TIME, "4");
        let late = shop.report(&others[0], &merchant, LATE, "5");
        let late = shop.offer(&others[0], &merchant, late).unwrap().scope;
        let on_offer = || shop.offer(&ann, &merchant, handle).unwrap().scope;
        let never = Scope::new(*late.key_id(), merchant.clone(), late.cohort() ^ 1);
        let instances = [&shop, &shop.again()];

        let barrier = Barrier::new(8);
        let ask = |asking: usize| {
            let person = [&ann, &second, &others[0]][asking % 3];
            barrier.wait();
            let mut answers = Vec::new();
            for attempt in 0..6 {
                let scope = match (asking + attempt) % 4 {
                    0 => late.clone(),
                    1 => never.clone(),
                    _ => on_offer(),
                };
                let request = person.request(handle, &scope, (round + asking as u64) % 2);
                let answer = instances[attempt % 2].grant(person, &request);
                answers.push((*request.commitment(), scope, answer));
            }
            answers
        };
        let mut answers = std::thread::scope(|threads| {
            let ask = &ask;
            let askers: Vec<_> = (0..6).map(|asking| threads.spawn(move || ask(asking))).collect();
            threads.spawn(|| {
                barrier.wait();
                shop.enrol(&second).unwrap();
            });
            barrier.wait();
            for _ in 0..2 {
                shop.pass(WEEK);
                instances
                    .iter()
                    .for_each(|instance| assert!(instance.issuer.tick().unwrap().failed.is_empty()));
            }
            askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect::<Vec<_>>()
        });
        let last = second.request(handle, &on_offer(), 9);
        answers.push((*last.commitment(), last.scope().clone(), shop.grant(&second, &last)));
        let (granted, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|(.., answer)| answer.is_ok());
        assert!(refused.into_iter().all(|(.., answer)| REFUSALS.contains(&code(answer))));
        let [(commitment, scope, answer), rest @ ..] = granted.as_slice() else { panic!("no grant") };
        for (other, of, again) in rest {
            assert_eq!((other, of), (commitment, scope), "two pairs for one order");
            assert_eq!(tag(again.as_ref().unwrap()), tag(answer.as_ref().unwrap()));
        }
        assert_eq!(on_offer(), *scope);
        let is_membership = |row: &unjoin_store::Row| {
            row.key.starts_with(b"ib") && row.value.windows(16).any(|part| part == handle.as_bytes())
        };
        assert_eq!(dump(&*shop.store).iter().filter(|(_, row)| is_membership(row)).count(), 1);
    }
}

#[test]
fn a_bad_proof_in_a_batch_refuses_nobody_else() {
    let shop = Shop::new();
    let (ann, eve) = (Person::new("ann"), Person::with("ann", 2));
    shop.enrol(&ann).unwrap();
    let jobs: Vec<GrantJob> = (0..9)
        .map(|order| {
            let merchant = name(&format!("merchant {order}"));
            let handle = shop.report(&ann, &merchant, ON_TIME, &order.to_string());
            let scope = shop.offer(&ann, &merchant, handle).unwrap().scope;
            let person = if order % 4 == 1 { &eve } else { &ann };
            let request = person.request(handle, &scope, order);
            GrantJob { account: name("ann"), request }
        })
        .collect();
    for (order, answer) in shop.issuer.core.grant(&jobs).into_iter().enumerate() {
        assert_eq!(code(answer), if order % 4 == 1 { "issuer.proof_refused" } else { "done" });
    }
}

#[test]
fn the_answer_is_the_same_after_restart_close_and_rotation() {
    let mut shop = Shop::new();
    let merchant = name("m");
    let customers = people(["ann", "ben", "cid"]);
    let mut bought = Vec::new();
    for person in &customers {
        shop.enrol(person).unwrap();
        let (handle, request) = shop.buy(person, &merchant, ON_TIME, "1".repeat(bought.len() + 1).as_str());
        assert_eq!(handle, request.handle());
        bought.push((person, tag(&shop.grant(person, &request).unwrap()), request));
    }
    let check = |shop: &Shop<MemoryStore>| {
        for (person, before, request) in &bought {
            assert_eq!(shop.offer(person, &merchant, request.handle()).unwrap().scope, *request.scope());
            assert_eq!(tag(&shop.grant(person, request).unwrap()), *before);
            let other = person.request(request.handle(), request.scope(), 99);
            assert_eq!(code(shop.grant(person, &other)), "issuer.already_granted");
        }
    };
    check(&shop);
    shop = shop.again();
    check(&shop);
    shop.until_sealed();
    assert_eq!(shop.issuer.tick().unwrap().manifests.len(), 1);
    check(&shop);
    let (key, escrow) = new_key();
    let old = *bought[0].2.scope().key_id();
    let rotated = shop.ring.with(key, escrow).unwrap();
    shop.use_ring(rotated.clone());
    check(&shop);
    shop.use_ring(rotated.retire(&old).unwrap());
    check(&shop);
    shop = shop.again();
    check(&shop);
    // A new order is offered the next cohort, under the next key.
    let handle = shop.report(&customers[0], &merchant, ON_TIME, "2");
    assert_ne!(*shop.offer(&customers[0], &merchant, handle).unwrap().scope.key_id(), old);
}

#[test]
fn the_request_that_was_granted_is_answered_whichever_wallet_the_account_has_since() {
    let shop = Shop::new();
    let merchant = name("m");
    let wallets = [1, 2, 3].map(|wallet| Person::with("ann", wallet));
    let [first, second, third] = &wallets;
    shop.enrol(first).unwrap();
    let (handle, granted) = shop.buy(first, &merchant, ON_TIME, "1");
    let before = tag(&shop.grant(first, &granted).unwrap());
    let other_order = shop.report(first, &merchant, ON_TIME, "2");
    for live in [second, third] {
        shop.pass(11 * DAY);
        shop.enrol(live).unwrap();
        assert_eq!(tag(&shop.grant(live, &granted).unwrap()), before);
        // Nothing new is granted to an earlier wallet, and nothing without a proof.
        let scope = granted.scope();
        assert_eq!(code(shop.grant(live, &first.request(handle, scope, 7))), "issuer.proof_refused");
        assert_eq!(code(shop.grant(live, &first.request(other_order, scope, 1))), "issuer.proof_refused");
        assert_eq!(code(shop.grant(live, &live.request(handle, scope, 1))), "issuer.already_granted");
        let mut forged = granted.to_bytes();
        *forged.last_mut().unwrap() ^= 1;
        let forged = TokenRequest::from_bytes(&forged).unwrap();
        assert_eq!(code(shop.grant(live, &forged)), "issuer.proof_refused");
    }
    let ben = Person::new("ben");
    shop.enrol(&ben).unwrap();
    assert_eq!(code(shop.grant(&ben, &granted)), "issuer.order_of_another_account");
}

#[test]
fn a_request_for_a_cohort_that_has_closed_takes_the_next_offer() {
    let shop = Shop::new();
    let merchant = name("m");
    let customers = people(["ann", "ben", "cid"]);
    for (order, person) in customers.iter().enumerate() {
        shop.enrol(person).unwrap();
        shop.buy(person, &merchant, ON_TIME, &order.to_string());
    }
    let dan = &Person::new("dan");
    shop.enrol(dan).unwrap();
    let handle = shop.report(dan, &merchant, ON_TIME, "late riser");
    let sealed = dan.request(handle, &shop.offer(dan, &merchant, handle).unwrap().scope, 1);
    shop.until_sealed();
    assert_eq!(shop.issuer.tick().unwrap().manifests.len(), 1);
    assert_eq!(code(shop.grant(dan, &sealed)), "issuer.cohort_closed");
    let next = shop.offer(dan, &merchant, handle).unwrap().scope;
    assert_ne!(next, *sealed.scope());
    assert_eq!(code(shop.grant(dan, &dan.request(handle, &next, 1))), "done");
    assert_eq!(code(shop.grant(dan, &sealed)), "issuer.already_granted");
}

#[test]
fn offers_of_a_batch_share_one_new_cohort() {
    let shop = Shop::new();
    let ann = Person::new("ann");
    let (merchant, longer) = (name("m"), name("mm"));
    let orders = [(&merchant, ON_TIME), (&merchant, LATE), (&longer, ON_TIME)];
    let requests: Vec<OfferRequest> = (0..9)
        .map(|order: usize| {
            let (merchant, class) = orders[order % 3];
            let handle = shop.report(&ann, merchant, class, &order.to_string());
            OfferRequest { account: ann.account.clone(), merchant: merchant.clone(), handle }
        })
        .collect();
    let scopes: Vec<Scope> =
        shop.issuer.offers(&requests).into_iter().map(|offer| offer.unwrap().scope).collect();
    assert_eq!(scopes.iter().collect::<HashSet<_>>().len(), 3);
    assert!(scopes.iter().enumerate().all(|(order, scope)| *scope == scopes[order % 3]));
    for offer in shop.again().issuer.offers(&requests) {
        assert!(scopes.contains(&offer.unwrap().scope));
    }
}

/// An account's second order of a class would tell its style: the two would be one customer's in one crowd.
#[test]
fn an_account_has_one_order_in_a_cohort_and_the_next_one_later() {
    let shop = Shop::new();
    let merchant = name("m");
    let customers = people(["ann", "ben", "cid"]);
    customers.iter().for_each(|person| shop.enrol(person).unwrap());
    let [ann, ..] = &customers;
    let (_, first) = shop.buy(ann, &merchant, ON_TIME, "1");
    let second = shop.report(ann, &merchant, ON_TIME, "2");
    let rows = dump(&*shop.store);
    assert_eq!(code(shop.offer(ann, &merchant, second)), "issuer.later");
    // The offer is advice; the grant is what counts, whatever a wallet asks for and how often.
    let asked = ann.request(second, first.scope(), 1);
    assert_eq!(code(shop.grant(ann, &asked)), "issuer.later");
    assert_eq!(dump(&*shop.store), rows);
    // Other classes and merchants have crowds of their own.
    shop.buy(ann, &merchant, LATE, "3");
    shop.buy(ann, &name("mm"), ON_TIME, "4");
    for person in &customers[1..] {
        shop.buy(person, &merchant, ON_TIME, &String::from_utf8_lossy(person.account.as_bytes()));
    }
    shop.until_sealed();
    assert_eq!(shop.issuer.tick().unwrap().manifests.len(), 1);
    let next = shop.offer(ann, &merchant, second).unwrap().scope;
    assert_ne!(&next, first.scope());
    assert_eq!(code(shop.grant(ann, &ann.request(second, &next, 1))), "done");
}

/// Two orders of one account in one batch, and on two instances at once.
#[test]
fn of_two_orders_of_an_account_at_once_one_gets_a_token() {
    let shop = Shop::new();
    let (ann, merchant) = (Person::new("ann"), name("m"));
    shop.enrol(&ann).unwrap();
    let orders = ["1", "2", "3", "4"].map(|order| shop.report(&ann, &merchant, ON_TIME, order));
    let scope = shop.offer(&ann, &merchant, orders[0]).unwrap().scope;
    let job = |handle| GrantJob { account: ann.account.clone(), request: ann.request(handle, &scope, 1) };
    let (first, second) =
        (orders[..2].iter().map(|order| job(*order)), orders[2..].iter().map(|order| job(*order)));
    let (first, second): (Vec<_>, Vec<_>) = (first.collect(), second.collect());
    let beside = shop.again();
    let mut answers = std::thread::scope(|threads| {
        let other = threads.spawn(|| beside.issuer.core.grant(&second));
        let mut answers = shop.issuer.core.grant(&first);
        answers.extend(other.join().unwrap());
        answers
    });
    let codes: Vec<_> = answers.drain(..).map(code).collect();
    assert_eq!(codes.iter().filter(|code| **code == "done").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "issuer.later").count(), 3, "{codes:?}");
}

/// Dead numbers first: nothing is offered or granted before an order's numbers are dead and the hold
/// has passed since their end was reported.
#[test]
fn an_order_has_nothing_to_ask_for_before_its_numbers_are_dead_and_the_hold_has_passed() {
    const HOLD: u64 = 2 * DAY;
    let shop = Shop::new();
    let issuer = shop.with_config(IssuerConfig { hold: HOLD, ..config() });
    let (ann, ben, merchant) = (Person::new("ann"), Person::new("ben"), name("m"));
    shop.enrol(&ann).unwrap();
    shop.enrol(&ben).unwrap();
    let (_, open) = shop.buy(&ben, &merchant, ON_TIME, "another's");
    for (order, dead_in, expected) in [("1", 0, HOLD), ("2", 3 * DAY, 3 * DAY), ("3", DAY, HOLD)] {
        let merchant = name(order);
        let handle = shop.report_ringing(&ann, &merchant, ON_TIME, "1");
        let (start, reported) = (shop.now(), 5 * DAY);
        let ask = || {
            issuer
                .offers(&[OfferRequest { account: ann.account.clone(), merchant: merchant.clone(), handle }])
                .pop()
                .unwrap()
        };
        assert_eq!(code(ask()), "issuer.not_eligible");
        shop.pass(reported);
        assert_eq!(code(ask()), "issuer.not_eligible", "no date alone makes it so");
        let at = shop.now().saturating_add(dead_in);
        let report = || {
            issuer
                .numbers_dead(&[NumbersDead { merchant: merchant.clone(), handle, at }])
                .pop()
                .unwrap()
                .unwrap()
        };
        let eligible = start.saturating_add(reported + expected);
        assert_eq!(report(), eligible);
        for time in [shop.now(), eligible.saturating_sub(1)] {
            shop.clock.set(time);
            assert_eq!(code(ask()), "issuer.not_eligible");
            let request = ann.request(handle, &Scope::new(*open.scope().key_id(), merchant.clone(), 1), 1);
            assert_eq!(code(issuer.grant(ann.account.clone(), request).wait()), "issuer.not_eligible");
            assert_eq!(report(), eligible, "a second report moves nothing");
        }
        shop.clock.set(eligible);
        let scope = ask().unwrap().scope;
        assert!(issuer.grant(ann.account.clone(), ann.request(handle, &scope, 1)).wait().is_ok());
    }
}

#[test]
fn a_class_can_be_reported_anew_until_the_order_is_eligible_and_never_after() {
    let shop = Shop::new();
    let (ann, merchant) = (Person::new("ann"), name("m"));
    let report = |class| shop.issuer.report_orders(&[shop.order(&ann, &merchant, class, "1")]).pop().unwrap();
    let handle = report(ON_TIME).unwrap();
    assert_eq!(report(LATE).unwrap(), handle);
    assert_eq!(code(report(99)), "issuer.unknown_class");
    let eligible = shop.now().saturating_add(DAY);
    shop.numbers_dead(&merchant, handle, eligible).unwrap();
    assert_eq!(report(ON_TIME).unwrap(), handle);
    assert_eq!(report(LATE).unwrap(), handle);
    shop.clock.set(eligible);
    assert_eq!(code(report(ON_TIME)), "issuer.order_differs");
    assert_eq!(report(LATE).unwrap(), handle, "the same again");
    shop.enrol(&ann).unwrap();
    let late = shop.offer(&ann, &merchant, handle).unwrap().scope;
    let ben = Person::new("ben");
    let other = shop.report(&ben, &merchant, LATE, "2");
    assert_eq!(shop.offer(&ben, &merchant, other).unwrap().scope, late);
}
