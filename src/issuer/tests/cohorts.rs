use super::*;
use unjoin_core::entry::Ledger;
use unjoin_core::token::CohortManifest;
use unjoin_core::wire::Message;

fn manifests<S: Store>(shop: &Shop<S>) -> Vec<CohortManifest> {
    let read = |signed: &SignedManifest| signed.verify(&shop.platform.public()).unwrap().clone();
    shop.issuer.tick().unwrap().manifests.iter().map(read).collect()
}

fn enrolled<const N: usize>(shop: &Shop<MemoryStore>, names: [&str; N]) -> [Person; N] {
    let people = people(names);
    people.iter().for_each(|person| shop.enrol(person).unwrap());
    people
}

#[test]
fn a_manifest_says_at_least_k_and_boundaries_only() {
    let shop = Shop::new();
    let merchant = name("m");
    let dead_at = MONDAY.saturating_add(5 * DAY + 4711);
    let mut scope = None;
    for (order, person) in enrolled(&shop, ["ann", "ben", "cid", "dot"]).iter().enumerate() {
        let (handle, request) = shop.buy(person, &merchant, ON_TIME, &order.to_string());
        shop.numbers_dead(&merchant, handle, if order == 2 { dead_at } else { MONDAY }).unwrap();
        scope = Some(request.scope().clone());
    }
    let scope = scope.unwrap();
    let boundary = MONDAY.saturating_add(WEEK);
    shop.clock.set(boundary.saturating_sub(1));
    assert!(manifests(&shop).is_empty());
    assert!(shop.issuer.manifest(&scope).unwrap().is_none());
    shop.clock.set(boundary);
    let expected = CohortManifest {
        scope: scope.clone(),
        escrow_id: *shop.ring.newest().escrow_key.id(),
        at_least: 2,
        publications: PublicationDates::starting(boundary.saturating_add(WEEK)).unwrap(),
    };
    assert_eq!(manifests(&shop), std::slice::from_ref(&expected));
    // Reported until it is confirmed; kept for ever.
    assert_eq!(manifests(&shop.again()), std::slice::from_ref(&expected));
    for _ in 0..2 {
        shop.issuer.confirm_admitted(std::slice::from_ref(&scope)).unwrap();
    }
    assert!(manifests(&shop).is_empty());
    let kept = shop.issuer.manifest(&scope).unwrap().unwrap();
    assert_eq!(kept.verify(&shop.platform.public()), Ok(&expected));
    assert_eq!(shop.issuer.manifests_of(&merchant, None, 10).unwrap(), [kept]);
    assert!(shop.issuer.manifests_of(&name("mm"), None, 10).unwrap().is_empty());
    assert_eq!(entries(&*shop.store, Ledger::Reviews), [expected.to_bytes()]);
    let other_key = Scope::new([0; 32], merchant, scope.cohort());
    assert!(shop.issuer.manifest(&other_key).unwrap().is_none());
}

#[test]
fn a_number_that_ends_later_puts_the_publication_off() {
    let shop = Shop::new();
    let merchant = name("m");
    let boundary = MONDAY.saturating_add(WEEK);
    // At a boundary exactly: the publication must come strictly after it.
    let dead_at = boundary.saturating_add(5 * WEEK);
    for (order, person) in enrolled(&shop, ["ann", "ben"]).iter().enumerate() {
        let (handle, _) = shop.buy(person, &merchant, LATE, &order.to_string());
        shop.numbers_dead(&merchant, handle, if order == 0 { dead_at } else { MONDAY }).unwrap();
    }
    shop.clock.set(boundary);
    let [manifest] = manifests(&shop).try_into().unwrap();
    assert_eq!(manifest.publications.first(), dead_at.saturating_add(WEEK));
}

#[test]
fn accounts_count_once_and_only_those_of_standing() {
    let shop = Shop::new();
    let merchant = name("m");
    let [ann, ben, bought] = enrolled(&shop, ["ann", "ben", "~bought"]);
    let later = Person::with("ann", 2);
    let mut order = 0;
    let mut buy = |person: &Person| {
        order += 1;
        let (handle, _) = shop.buy(person, &merchant, ON_TIME, &order.to_string());
        shop.numbers_dead(&merchant, handle, shop.now()).unwrap();
    };
    for person in [&ann, &ann, &ben, &bought, &bought] {
        buy(person);
    }
    shop.pass(2 * WEEK);
    shop.enrol(&later).unwrap();
    buy(&later);
    assert!(manifests(&shop).is_empty(), "two accounts of standing, with three wallets");
    shop.pass(4 * WEEK);
    let starving = shop.issuer.tick().unwrap().starving;
    let [starved] = starving.try_into().unwrap();
    assert_eq!((starved.of_standing, starved.k, starved.class, starved.open), (2, 3, ON_TIME, true));
    assert_eq!(starved.merchant, merchant);
    let [cid] = enrolled(&shop, ["cid"]);
    buy(&cid);
    assert!(manifests(&shop).is_empty(), "the boundary was worked off");
    shop.pass(WEEK);
    assert_eq!(manifests(&shop).len(), 1);
    assert!(shop.issuer.tick().unwrap().starving.is_empty());
}

#[test]
fn nothing_closes_between_boundaries_or_before_its_age() {
    let shop = Shop::new();
    let merchant = name("m");
    // Opened on a Friday: the minimum age of three days, from the end of that day, passes on
    // the Tuesday after the next boundary.
    shop.pass(4 * DAY + 5);
    for (order, person) in enrolled(&shop, ["ann", "ben"]).iter().enumerate() {
        let (handle, _) = shop.buy(person, &merchant, LATE, &order.to_string());
        shop.numbers_dead(&merchant, handle, MONDAY).unwrap();
    }
    for _ in 0..(10 * 4) {
        shop.pass(DAY / 4);
        let closed = manifests(&shop).len();
        assert_eq!(closed, usize::from(shop.now() >= MONDAY.saturating_add(2 * WEEK)));
    }
}

#[test]
fn a_sealed_cohort_gets_no_grants_and_closes_when_its_last_number_is_dead() {
    let shop = Shop::new();
    let merchant = name("m");
    let [ann, ben, cid] = enrolled(&shop, ["ann", "ben", "cid"]);
    let (first, request) = shop.buy(&ann, &merchant, LATE, "1");
    let (second, _) = shop.buy(&ben, &merchant, LATE, "2");
    shop.numbers_dead(&merchant, first, MONDAY).unwrap();
    shop.pass(WEEK);
    assert!(manifests(&shop).is_empty());
    // A busy merchant goes on: the next cohort, not this one.
    let (third, next) = shop.buy(&cid, &merchant, LATE, "3");
    assert_ne!(next.scope(), request.scope());
    shop.pass(WEEK);
    let report = shop.issuer.tick().unwrap();
    let mut overdue = report.numbers_overdue;
    assert_eq!(overdue.pop(), Some((merchant.clone(), second)), "two weeks after it was due");
    assert!(overdue.is_empty() && report.manifests.is_empty(), "an open cohort's order is not overdue");
    shop.numbers_dead(&merchant, second, shop.now()).unwrap();
    shop.numbers_dead(&merchant, third, shop.now()).unwrap();
    assert!(shop.issuer.tick().unwrap().numbers_overdue.is_empty());
    assert!(manifests(&shop).is_empty(), "not between boundaries");
    shop.pass(WEEK);
    let [manifest] = manifests(&shop).try_into().unwrap();
    assert_eq!(manifest.scope, *request.scope());
    assert_eq!(manifest.publications.first(), MONDAY.saturating_add(4 * WEEK));
}

#[test]
fn a_retired_key_closes_what_is_full_and_starves_what_is_not() {
    let mut shop = Shop::new();
    let (full, poor, empty) = (name("full"), name("poor"), name("empty"));
    let [ann, ben] = enrolled(&shop, ["ann", "ben"]);
    for (person, order) in [(&ann, "1"), (&ben, "2")] {
        let (handle, _) = shop.buy(person, &full, LATE, order);
        shop.numbers_dead(&full, handle, MONDAY).unwrap();
    }
    let (handle, request) = shop.buy(&ann, &poor, LATE, "1");
    shop.numbers_dead(&poor, handle, MONDAY).unwrap();
    let handle = shop.report(&ann, &empty, LATE, "1");
    shop.offer(&ann, &empty, handle).unwrap();
    let (key, escrow) = new_key();
    let rotated = shop.ring.with(key, escrow).unwrap().retire(request.scope().key_id()).unwrap();
    shop.use_ring(rotated);
    // The next cohorts open beside them.
    for merchant in [&full, &poor] {
        let handle = shop.report(&ben, merchant, LATE, "3");
        assert_ne!(shop.offer(&ben, merchant, handle).unwrap().scope.key_id(), request.scope().key_id());
    }
    shop.pass(WEEK);
    let report = shop.issuer.tick().unwrap();
    assert_eq!(report.manifests.iter().map(|m| m.claimed_scope().merchant()).collect::<Vec<_>>(), [&full]);
    let [starved] = report.starving.try_into().unwrap();
    assert_eq!((starved.merchant, starved.of_standing, starved.open), (poor, 1, false));
    // The one without a grant is gone, nobody can ever hold a token of it.
    let left = dump(&*shop.store).into_iter().filter(|(_, row)| row.key.starts_with(rows::SEALED_COHORTS));
    assert_eq!(left.count(), 1);
    assert!(dump(&*shop.store).iter().all(|(_, row)| row.key != rows::open_key(&empty, LATE).bytes()));
}

#[test]
fn after_its_window_a_cohort_leaves_its_manifest_and_its_number_of_grants() {
    let shop = Shop::new();
    let merchant = name("m");
    let people = enrolled(&shop, ["ann", "ben", "cid", "~eve"]);
    let mut bought = Vec::new();
    for (order, person) in people.iter().enumerate() {
        let (handle, request) = shop.buy(person, &merchant, LATE, &order.to_string());
        shop.numbers_dead(&merchant, handle, MONDAY).unwrap();
        bought.push((person, request));
    }
    let scope = bought[0].1.scope().clone();
    assert_eq!(shop.issuer.grants(&scope).unwrap(), None);
    shop.pass(WEEK);
    let manifest = manifests(&shop).pop().unwrap();
    assert_eq!(manifest.scope, scope);
    shop.issuer.confirm_admitted(std::slice::from_ref(&scope)).unwrap();
    let rows = || dump(&*shop.store);
    let rows_of =
        |namespace: &str| rows().iter().filter(|(_, row)| row.key.starts_with(namespace.as_bytes())).count();
    assert_eq!(["ic", "is", "ip"].map(rows_of), [0; 3]);
    assert_eq!(["io", "im"].map(rows_of), [4, 1]);
    // A lost answer is given again until the window ends.
    shop.clock.set(manifest.publications.last().saturating_sub(1));
    shop.issuer.tick().unwrap();
    assert_eq!(shop.issuer.grants(&scope).unwrap(), Some(4));
    for (person, request) in &bought {
        assert_eq!(code(shop.grant(person, request)), "done");
        assert_eq!(shop.offer(person, &merchant, request.handle()).unwrap().scope, scope);
    }
    shop.clock.set(manifest.publications.last());
    shop.issuer.tick().unwrap();
    assert_eq!(["ic", "is", "ip", "ib", "ie"].map(rows_of), [0; 5]);
    let names = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    for (_, row) in rows().iter().filter(|(_, row)| ![b"im", b"ig"].iter().any(|of| row.key.starts_with(*of)))
    {
        let is_outbox = names(&row.value, &scope.to_bytes());
        let tells = |what: &[u8]| names(&row.key, what) || names(&row.value, what);
        assert!(is_outbox || !tells(&scope.cohort().to_le_bytes()), "which cohort an order was in");
        assert!(bought.iter().all(|(_, request)| !tells(request.commitment().as_bytes())));
    }
    for (person, request) in &bought {
        assert_eq!(code(shop.grant(person, request)), "issuer.window_over");
        assert_eq!(code(shop.offer(person, &merchant, request.handle())), "issuer.window_over");
    }
    assert_eq!(shop.issuer.grants(&scope).unwrap(), Some(4));
    assert_eq!(shop.issuer.grants(&Scope::new([0; 32], merchant, scope.cohort())).unwrap(), None);
}

#[test]
fn a_merchants_manifests_come_in_pages_each_once() {
    let shop = Shop::new();
    let merchant = name("m");
    let people = enrolled(&shop, ["ann", "ben"]);
    for cohort in 0..3 {
        for (order, person) in people.iter().enumerate() {
            let (handle, _) = shop.buy(person, &merchant, LATE, &format!("{cohort} {order}"));
            shop.numbers_dead(&merchant, handle, MONDAY).unwrap();
        }
        shop.pass(WEEK);
        shop.issuer.tick().unwrap();
    }
    let all = shop.issuer.manifests_of(&merchant, None, usize::MAX).unwrap();
    assert_eq!(all.len(), 3);
    for limit in 1..4 {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = shop.issuer.manifests_of(&merchant, after, limit).unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.claimed_scope().cohort());
            pages.extend(page);
        }
        assert_eq!(pages, all);
    }
}

#[test]
fn a_number_that_died_before_the_grant_counts() {
    let shop = Shop::new();
    let merchant = name("m");
    for (order, person) in enrolled(&shop, ["ann", "ben"]).iter().enumerate() {
        let handle = shop.report(person, &merchant, LATE, &order.to_string());
        shop.numbers_dead(&merchant, handle, MONDAY).unwrap();
        shop.buy(person, &merchant, LATE, &order.to_string());
    }
    shop.pass(WEEK);
    assert_eq!(manifests(&shop).len(), 1);
}
