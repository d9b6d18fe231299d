use super::*;
use std::collections::HashSet;
use std::sync::Barrier;

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
                let issuer = if asking % 2 == 0 { &shop } else { &beside };
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
            GrantJob { account: name("ann"), merchant: merchant.clone(), request }
        })
        .collect();
    for (order, answer) in shop.issuer.desk.grant(&jobs).into_iter().enumerate() {
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
    let rotated = shop.ring.with(key, escrow);
    shop.use_ring(rotated.clone());
    check(&shop);
    shop.use_ring(rotated.retire(&old));
    check(&shop);
    shop = shop.again();
    check(&shop);
    // A new order is offered the next cohort, under the next key.
    let handle = shop.report(&customers[0], &merchant, ON_TIME, "2");
    assert_ne!(*shop.offer(&customers[0], &merchant, handle).unwrap().scope.key_id(), old);
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
