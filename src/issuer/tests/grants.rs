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
    let merchant = name("m");
    shop.enrol(&ann).unwrap();
    for order in 0..6 {
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
            shop.pass(WEEK);
            for instance in instances {
                assert!(instance.issuer.tick().unwrap().manifests.is_empty(), "the numbers still ring");
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
        let is_membership = |key: &[u8]| key.starts_with(b"ib") && key.ends_with(handle.as_bytes());
        assert_eq!(dump(&*shop.store).iter().filter(|(_, row)| is_membership(&row.key)).count(), 1);
    }
}

#[test]
fn a_bad_proof_in_a_batch_refuses_nobody_else() {
    let shop = Shop::new();
    let (ann, eve) = (Person::new("ann"), Person::with("ann", 2));
    let merchant = name("m");
    shop.enrol(&ann).unwrap();
    let jobs: Vec<GrantJob> = (0..9)
        .map(|order| {
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
        shop.numbers_dead(&merchant, handle, MONDAY).unwrap();
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
    shop.pass(WEEK);
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
        let (handle, _) = shop.buy(person, &merchant, ON_TIME, &order.to_string());
        if order > 0 {
            shop.numbers_dead(&merchant, handle, MONDAY).unwrap();
        }
    }
    let ann = &customers[0];
    let handle = shop.report(ann, &merchant, ON_TIME, "late riser");
    let sealed = ann.request(handle, &shop.offer(ann, &merchant, handle).unwrap().scope, 1);
    shop.pass(WEEK);
    assert!(shop.issuer.tick().unwrap().manifests.is_empty(), "a number still rings");
    assert_eq!(code(shop.grant(ann, &sealed)), "issuer.cohort_closed");
    let next = shop.offer(ann, &merchant, handle).unwrap().scope;
    assert_ne!(next, *sealed.scope());
    assert_eq!(code(shop.grant(ann, &ann.request(handle, &next, 1))), "done");
    shop.numbers_dead(&merchant, shop.issuer.handle(&merchant, b"0"), MONDAY).unwrap();
    shop.pass(WEEK);
    assert_eq!(shop.issuer.tick().unwrap().manifests.len(), 1);
    assert_eq!(code(shop.grant(ann, &sealed)), "issuer.already_granted");
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
