use super::*;
use unjoin_core::entry::{BindingEntry, Ledger};
use unjoin_core::wire::Message;
use unjoin_test_util::{Call, Failure, Faulty};

/// Calls until it is not the store that fails; at most one failure is planned.
fn retried<T>(mut call: impl FnMut() -> Result<T, IssuerError>) -> T {
    match call() {
        Err(IssuerError::Store(_)) => call().unwrap(),
        answer => answer.unwrap(),
    }
}

#[test]
fn a_lost_answer_is_found_again_wherever_the_store_fails() {
    let (ann, merchant) = (Person::new("ann"), name("m"));
    let writes = Failure::at_every_write(Failure::ALL, |after, failure| {
        let shop = Shop::on(Faulty::in_memory());
        shop.store.fail(after, failure);
        retried(|| shop.enrol(&ann));
        let report = shop.order(&ann, &merchant, ON_TIME, "1");
        let handle = retried(|| shop.issuer.report_orders(std::slice::from_ref(&report)).pop().unwrap());
        retried(|| shop.numbers_dead(&merchant, handle, MONDAY));
        let scope = retried(|| shop.offer(&ann, &merchant, handle)).scope;
        let request = ann.request(handle, &scope, 1);
        let grant = retried(|| shop.grant(&ann, &request));
        let failed = shop.store.failed();
        assert!(ann.holds(&shop.ring, &request, &grant));
        assert_eq!(tag(&shop.grant(&ann, &request).unwrap()), tag(&grant));
        assert_eq!(code(shop.grant(&ann, &ann.request(handle, &scope, 2))), "issuer.already_granted");
        assert_eq!(shop.offer(&ann, &merchant, handle).unwrap().scope, scope);
        let BoundAccount { account, blind } = shop.issuer.account_of(&ann.wallet_key).unwrap().unwrap();
        let logged = BindingEntry::new(&account, &ann.wallet_key, &blind);
        assert_eq!(entries(&*shop.store, Ledger::Openings), [logged.to_bytes()]);
        failed
    });
    // Claim, binding, report, numbers, cohort, grant.
    assert_eq!(writes, 6);
}

#[test]
fn a_claim_without_a_binding_is_refused_to_others_until_its_retry() {
    let [ann, ben] = people(["ann", "ben"]);
    let shop = Shop::on(Faulty::in_memory());
    shop.store.fail(1, Failure::Before);
    assert_eq!(code(shop.enrol(&ann)), "issuer.store");
    assert!(shop.issuer.account_of(&ann.wallet_key).unwrap().is_none());
    let stolen = shop.issuer.enrol(&[ann.enrolment_for(&ben.account)]).pop().unwrap();
    assert_eq!(code(stolen), "issuer.wallet_key_taken");
    let handle = shop.report(&ann, &name("m"), ON_TIME, "1");
    let scope = shop.offer(&ann, &name("m"), handle).unwrap().scope;
    assert_eq!(code(shop.grant(&ann, &ann.request(handle, &scope, 1))), "issuer.not_enrolled");
    shop.enrol(&ann).unwrap();
    assert_eq!(shop.issuer.account_of(&ann.wallet_key).unwrap().unwrap().account, ann.account);
}

#[test]
fn an_erasure_is_resumed_wherever_the_store_fails() {
    let (first, second) = (Person::new("ann"), Person::with("ann", 2));
    for failure in Failure::ALL {
        for after in 0..2 {
            let shop = Shop::on(Faulty::in_memory());
            shop.enrol(&first).unwrap();
            shop.pass(20 * DAY);
            shop.enrol(&second).unwrap();
            shop.store.fail(after, failure);
            assert_eq!(code(shop.issuer.erase_account(&first.account)), "issuer.store");
            shop.issuer.erase_account(&first.account).unwrap();
            for wallet in [&first, &second] {
                assert!(shop.issuer.account_of(&wallet.wallet_key).unwrap().is_none());
                assert_eq!(code(shop.enrol(wallet)), "issuer.wallet_key_taken");
            }
        }
    }
}

/// So many that a cohort of them is sealed at its first boundary: crowd × age is three times k.
const CROWD: [&str; 6] = ["ann", "ben", "cid", "dan", "eva", "fay"];

/// A shop one second before a boundary that has much to do: several merchants, cohorts to
/// seal, to age and to drop.
fn before_a_busy_boundary() -> Shop<MemoryStore> {
    let mut shop = Shop::new();
    let customers = people(CROWD);
    customers.iter().for_each(|person| shop.enrol(person).unwrap());
    let retired = *shop.ring.newest().issuer_key.public().id();
    for (number, old_key) in (0..8).map(|number| (number, number < 3)) {
        if number == 3 {
            let (key, escrow) = new_key();
            let rotated = shop.ring.with(key, escrow).unwrap().retire(&retired).unwrap();
            shop.use_ring(rotated);
        }
        let merchant = format!("merchant {number}");
        shop.introduce([&*merchant]);
        let merchant = name(&merchant);
        let buyers = if old_key { [0, 1, 6][number] } else { [6, 2][number / 7] };
        for (order, person) in customers.iter().take(buyers).enumerate() {
            shop.buy(person, &merchant, LATE, &order.to_string());
        }
        let handle = shop.report(&customers[0], &merchant, ON_TIME, "unasked");
        shop.offer(&customers[0], &merchant, handle).unwrap();
    }
    shop.clock.set(MONDAY.saturating_add(WEEK - 1));
    shop
}

#[test]
fn a_tick_is_resumed_wherever_the_store_fails() {
    let busy = before_a_busy_boundary();
    let boundary = MONDAY.saturating_add(WEEK);
    let tick = |shop: &Shop<Faulty>| {
        let report = shop.issuer.tick()?;
        let starving: Vec<StarvingCohort> = report.starving;
        Ok::<_, IssuerError>((report.manifests, starving))
    };
    let sound = busy.copied(Faulty::in_memory());
    sound.clock.set(boundary);
    let before = sound.store.writes();
    let expected = tick(&sound).unwrap();
    let calls = sound.store.writes() - before;
    assert_eq!(expected.0.len(), 5, "merchant 2, full under the retired key, and merchants 3 to 6");
    assert!(calls >= 3, "sealing, the rewrite and the boundary's mark: {calls}");
    let rows = dump(&*sound.store);
    for failure in Failure::ALL {
        for after in 0..calls {
            let shop = busy.copied(Faulty::in_memory());
            shop.clock.set(boundary);
            shop.store.fail(after, failure);
            assert_eq!(code(tick(&shop)), "issuer.store");
            // Another process takes over.
            let shop = shop.again();
            assert_eq!(tick(&shop).unwrap(), expected, "{failure:?} at commit {after}");
            assert_eq!(dump(&*shop.store), rows);
        }
    }
}

/// More members than one page has, of a cohort whose window ends.
#[test]
fn forgetting_a_cohort_is_resumed_wherever_the_store_fails() {
    const ORDERS: usize = 515;
    let full = Shop::new();
    let merchant = name("m");
    let customers: Vec<Person> = (0..ORDERS).map(|number| Person::new(&number.to_string())).collect();
    let enrolments: Vec<_> = customers.iter().map(Person::enrolment).collect();
    assert!(full.issuer.enrol(&enrolments).into_iter().all(|answer| answer.is_ok()));
    let mut jobs = Vec::new();
    for (order, person) in customers.iter().enumerate() {
        let handle = full.report(person, &merchant, LATE, &order.to_string());
        let scope = full.offer(person, &merchant, handle).unwrap().scope;
        jobs.push(GrantJob { account: person.account.clone(), request: person.request(handle, &scope, 1) });
    }
    assert!(full.issuer.core.grant(&jobs).into_iter().all(|answer| answer.is_ok()));
    full.pass(WEEK);
    let manifest = full.issuer.tick().unwrap().manifests.pop().unwrap();
    assert_eq!(full.issuer.grants(manifest.claimed_scope()).unwrap(), Some(ORDERS as u64));
    full.clock.set(manifest.verify(&full.platform.public()).unwrap().publications.last());
    let sound = full.copied(Faulty::in_memory());
    let before = sound.store.writes();
    assert!(sound.issuer.tick().unwrap().rewritten);
    let calls = sound.store.writes() - before;
    assert_eq!(calls, 5, "two pages, the window's row, the rewrite, the boundary's mark");
    let rows = dump(&*sound.store);
    assert!(!rows.iter().any(|(_, row)| row.key.starts_with(b"ib") || row.key.starts_with(b"ie")));
    assert_eq!(sound.issuer.grants(manifest.claimed_scope()).unwrap(), Some(ORDERS as u64));
    for failure in Failure::ALL {
        for after in 0..calls {
            let shop = full.copied(Faulty::in_memory());
            shop.store.fail(after, failure);
            assert_eq!(code(shop.issuer.tick()), "issuer.store");
            let shop = shop.again();
            // The boundary's mark is the last write: where it is there, all is done.
            assert!(shop.issuer.tick().unwrap().rewritten || after + 1 == calls);
            assert_eq!(dump(&*shop.store), rows, "{failure:?} at commit {after}");
            assert!(!shop.issuer.tick().unwrap().rewritten, "once a boundary");
        }
    }
}

/// A shop with a crowd that is sealed at the next boundary, and one more who asks.
fn before_the_last_grant() -> (Shop<Faulty>, Person, TokenRequest) {
    let shop = Shop::on(Faulty::in_memory());
    let last = Person::new("last");
    shop.enrol(&last).unwrap();
    for (order, person) in people(CROWD).iter().enumerate() {
        shop.enrol(person).unwrap();
        shop.buy(person, &name("m"), LATE, &order.to_string());
    }
    let handle = shop.report(&last, &name("m"), LATE, "last");
    let scope = shop.offer(&last, &name("m"), handle).unwrap().scope;
    let request = last.request(handle, &scope, 1);
    (shop, last, request)
}

#[test]
fn a_cohort_that_seals_while_a_grant_is_decided_does_not_take_it() {
    let (shop, last, request) = before_the_last_grant();
    let beside = shop.again();
    shop.store.before(Call::Commit, 0, move || {
        beside.pass(WEEK);
        assert_eq!(beside.issuer.tick().unwrap().manifests.len(), 1);
    });
    assert_eq!(code(shop.grant(&last, &request)), "issuer.cohort_closed");
    let next = shop.offer(&last, &name("m"), request.handle()).unwrap().scope;
    assert_ne!(next, *request.scope());
    assert_eq!(code(shop.grant(&last, &last.request(request.handle(), &next, 1))), "done");
}

#[test]
fn a_grant_while_a_cohort_is_sealed_is_in_it() {
    let (shop, last, request) = before_the_last_grant();
    shop.pass(WEEK);
    let (beside, asked) = (shop.again(), request.clone());
    shop.store.before(Call::Commit, 0, move || assert_eq!(code(beside.grant(&last, &asked)), "done"));
    assert_eq!(shop.issuer.tick().unwrap().manifests.len(), 1);
    assert_eq!(shop.issuer.grants(request.scope()).unwrap(), Some(CROWD.len() as u64 + 1));
}

#[test]
fn another_grant_in_between_wins() {
    let (shop, last, request) = before_the_last_grant();
    let beside = shop.again();
    let other = last.request(request.handle(), request.scope(), 2);
    let twin = Person::new("last");
    let first = other.clone();
    shop.store.before(Call::Commit, 0, move || assert_eq!(code(beside.grant(&twin, &first)), "done"));
    assert_eq!(code(shop.grant(&last, &request)), "issuer.already_granted");
    assert_eq!(code(shop.grant(&last, &other)), "done");
}

#[test]
fn a_class_that_is_reported_in_between_is_not_lost() {
    let shop = Shop::on(Faulty::in_memory());
    let (ann, merchant) = (Person::new("ann"), name("m"));
    let handle = shop.report_ringing(&ann, &merchant, ON_TIME, "1");
    let (beside, late) = (shop.again(), shop.order(&ann, &merchant, LATE, "1"));
    shop.store.before(Call::Commit, 0, move || {
        assert!(beside.issuer.report_orders(&[late]).pop().unwrap().is_ok());
    });
    shop.numbers_dead(&merchant, handle, MONDAY).unwrap();
    let same = shop.report(&Person::new("ben"), &merchant, LATE, "2");
    let scope = shop.offer(&Person::new("ben"), &merchant, same).unwrap().scope;
    assert_eq!(shop.offer(&ann, &merchant, handle).unwrap().scope, scope);
}

#[test]
fn another_wallet_enrolled_in_between_keeps_the_account() {
    let shop = Shop::on(Faulty::in_memory());
    let (first, second) = (Person::new("ann"), Person::with("ann", 2));
    let (beside, faster) = (shop.again(), second.enrolment());
    shop.store
        .before(Call::Commit, 0, move || assert!(beside.issuer.enrol(&[faster]).pop().unwrap().is_ok()));
    assert_eq!(code(shop.enrol(&first)), "issuer.re_enrolment_too_early");
    assert!(shop.issuer.account_of(&first.wallet_key).unwrap().is_none());
    assert!(shop.issuer.account_of(&second.wallet_key).unwrap().is_some());
}

#[test]
fn another_account_that_claims_the_wallet_in_between_keeps_it() {
    let shop = Shop::on(Faulty::in_memory());
    let [ann, ben] = people(["ann", "ben"]);
    let (beside, faster) = (shop.again(), ann.enrolment_for(&ben.account));
    shop.store
        .before(Call::Commit, 0, move || assert!(beside.issuer.enrol(&[faster]).pop().unwrap().is_ok()));
    assert_eq!(code(shop.enrol(&ann)), "issuer.wallet_key_taken");
    assert_eq!(shop.issuer.account_of(&ann.wallet_key).unwrap().unwrap().account, ben.account);
}

#[test]
fn two_instances_seal_a_cohort_once() {
    let (shop, _, request) = before_the_last_grant();
    shop.pass(WEEK);
    let (beside, scope) = (shop.again(), request.scope().clone());
    shop.store.before(Call::Commit, 0, move || {
        assert_eq!(beside.issuer.tick().unwrap().manifests.len(), 1);
        beside.issuer.confirm_admitted(std::slice::from_ref(&scope)).unwrap();
    });
    assert!(shop.issuer.tick().unwrap().manifests.is_empty());
    assert!(shop.issuer.tick().unwrap().manifests.is_empty(), "a confirmed manifest came back");
    assert_eq!(entries(&*shop.store, Ledger::Reviews).len(), 1);
}
