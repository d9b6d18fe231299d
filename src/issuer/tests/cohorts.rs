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
fn a_cohort_is_sealed_at_a_boundary_with_its_manifest() {
    let shop = Shop::new();
    let merchant = name("m");
    let mut scope = None;
    for (order, person) in enrolled(&shop, ["ann", "ben", "cid", "dot"]).iter().enumerate() {
        let (_, request) = shop.buy(person, &merchant, ON_TIME, &order.to_string());
        scope = Some(request.scope().clone());
    }
    let scope = scope.unwrap();
    let boundary = MONDAY.saturating_add(2 * WEEK);
    shop.until_sealed();
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

/// Devices have at least 20 hours from the tick, however late it comes.
#[test]
fn a_late_tick_puts_the_first_publication_off() {
    for (late, first) in [(0, WEEK), (6 * DAY + 4 * 3_600, WEEK), (6 * DAY + 4 * 3_600 + 1, 2 * WEEK)] {
        let shop = Shop::new();
        for (order, person) in enrolled(&shop, ["ann", "ben"]).iter().enumerate() {
            shop.buy(person, &name("m"), LATE, &order.to_string());
        }
        shop.until_sealed();
        let boundary = shop.now();
        shop.pass(late);
        let [manifest] = manifests(&shop).try_into().unwrap();
        assert_eq!(
            manifest.publications,
            PublicationDates::starting(boundary.saturating_add(first)).unwrap()
        );
    }
}

#[test]
fn only_accounts_of_standing_count() {
    let shop = Shop::new();
    let merchant = name("m");
    let [ann, ben, bought, more] = enrolled(&shop, ["ann", "ben", "~bought", "~more"]);
    for (order, person) in [&ann, &bought, &ben, &more].into_iter().enumerate() {
        shop.buy(person, &merchant, ON_TIME, &order.to_string());
    }
    for _ in 0..5 {
        shop.pass(WEEK);
        assert!(manifests(&shop).is_empty(), "two accounts of standing");
    }
    shop.pass(DAY);
    let starving = shop.issuer.tick().unwrap().starving;
    let [starved] = starving.try_into().unwrap();
    assert_eq!((starved.of_standing, starved.k, starved.class, starved.open), (2, 3, ON_TIME, true));
    assert_eq!(starved.merchant, merchant);
    let [cid] = enrolled(&shop, ["cid"]);
    shop.buy(&cid, &merchant, ON_TIME, "9");
    assert!(manifests(&shop).is_empty(), "the boundary was worked off");
    shop.pass(WEEK);
    assert_eq!(manifests(&shop).len(), 1);
    assert!(shop.issuer.tick().unwrap().starving.is_empty());
}

/// The age is 1 at the first boundary that finds a grant of standing, whatever was there before, and
/// grows at each later one.
#[test]
fn a_cohort_ages_from_its_first_grant_of_standing() {
    let shop = Shop::new();
    let daily = shop.with_config(IssuerConfig { grid: Grid::Daily, ..config() });
    let merchant = name("new");
    let [ann, ben, bought] = enrolled(&shop, ["ann", "ben", "~bought"]);
    shop.buy(&bought, &merchant, LATE, "0");
    let days = |count: usize| {
        for _ in 0..count {
            shop.pass(DAY);
            assert!(daily.tick().unwrap().manifests.is_empty());
        }
    };
    // Without a past: 30 days and 300 order-days.
    days(40);
    shop.buy(&ann, &merchant, LATE, "1");
    shop.buy(&ben, &merchant, LATE, "2");
    days(149);
    shop.pass(DAY);
    assert_eq!(daily.tick().unwrap().manifests.len(), 1);
}

/// A tick adds a day at most, however many boundaries have passed: a clock that leaps makes nothing old.
#[test]
fn boundaries_without_a_tick_make_no_cohort_older() {
    let shop = Shop::new();
    let merchant = name("m");
    let both = enrolled(&shop, ["ann", "ben"]);
    for (order, person) in both.iter().enumerate() {
        shop.buy(person, &merchant, LATE, &order.to_string());
    }
    shop.pass(7 * WEEK);
    assert!(manifests(&shop).is_empty(), "one day old");
    assert!(manifests(&shop).is_empty());
    shop.pass(WEEK);
    assert_eq!(manifests(&shop).len(), 1);
}

#[test]
fn a_busy_merchant_fills_the_next_cohort() {
    let shop = Shop::new();
    let merchant = name("m");
    let [ann, ben, cid] = enrolled(&shop, ["ann", "ben", "cid"]);
    let (_, request) = shop.buy(&ann, &merchant, LATE, "1");
    shop.buy(&ben, &merchant, LATE, "2");
    shop.until_sealed();
    let [manifest] = manifests(&shop).try_into().unwrap();
    assert_eq!(manifest.scope, *request.scope());
    let (_, next) = shop.buy(&cid, &merchant, LATE, "3");
    assert_ne!(next.scope(), request.scope());
}

/// The days after which the cohorts of a new merchant are sealed that sells one order a day.
fn ages_of_cohorts(order_days: u32) -> Vec<u32> {
    let shop = Shop::new();
    let daily = shop.with_config(IssuerConfig { grid: Grid::Daily, order_days, ..config() });
    let merchant = name("new");
    let (mut ages, mut opened) = (Vec::new(), 0);
    for day in 1..=130 {
        let [person] = enrolled(&shop, [&*format!("customer {day}")]);
        shop.buy(&person, &merchant, LATE, &day.to_string());
        shop.pass(DAY);
        for manifest in daily.tick().unwrap().manifests {
            ages.push(day - opened);
            opened = day;
            daily.confirm_admitted(&[manifest.claimed_scope().clone()]).unwrap();
        }
    }
    ages
}

#[test]
fn a_merchant_without_a_past_gets_one_by_being_counted() {
    // One a day. Without a past 30 days; with 60 in 60 days crowd × age reaches 300 at 18 × 18.
    assert_eq!(ages_of_cohorts(300), [30, 30, 18, 18, 18]);
}

#[test]
fn a_host_that_asks_for_fewer_order_days_waits_less() {
    assert_eq!(ages_of_cohorts(100), [30, 30, 10, 10, 10, 10, 10, 10, 10]);
}

/// Bought orders that fill a cohort at once are sealed no sooner than the past allows, and are told of.
#[test]
fn a_cohort_that_fills_too_fast_is_told_of() {
    let shop = Shop::new();
    let past = PastOrders { merchant: name("slow"), class: LATE, counts: vec![6, 9, 12] };
    assert!(shop.issuer.introduce(&[past]).pop().unwrap().is_ok());
    let daily = shop.with_config(IssuerConfig { grid: Grid::Daily, ..config() });
    let merchant = name("slow");
    let [victim] = enrolled(&shop, ["ann"]);
    shop.buy(&victim, &merchant, LATE, "v");
    let tick = |days: u64| {
        let mut outrun = Vec::new();
        for _ in 0..days {
            shop.pass(DAY);
            let report = daily.tick().unwrap();
            assert!(report.manifests.is_empty());
            outrun.extend(report.outrun);
        }
        outrun
    };
    assert!(tick(1).is_empty());
    for order in 0..40 {
        let [person] = enrolled(&shop, [&*format!("bought {order}")]);
        shop.buy(&person, &merchant, LATE, &order.to_string());
    }
    // Thirty days, though there are 41 of them: the victim's is not alone with them at once.
    let outrun = tick(28);
    assert_eq!(outrun.len(), 28, "once a boundary");
    let first = &outrun[0];
    assert_eq!((&first.merchant, first.class, first.of_standing), (&merchant, LATE, 41));
    assert!((first.expected - 0.2).abs() < 1e-9, "two days at a tenth a day");
    shop.pass(DAY);
    let report = daily.tick().unwrap();
    assert_eq!((report.manifests.len(), report.outrun.len()), (1, 1));
}

#[test]
fn a_cohort_that_starves_for_400_days_is_ended_without_a_manifest() {
    let shop = Shop::new();
    let merchant = name("m");
    let [ann, ben] = enrolled(&shop, ["ann", "ben"]);
    let (handle, request) = shop.buy(&ann, &merchant, ON_TIME, "1");
    let mut ended = 0;
    let opened_by = MONDAY.saturating_add(DAY);
    while ended == 0 {
        shop.pass(WEEK);
        let report = shop.issuer.tick().unwrap();
        assert!(report.manifests.is_empty());
        ended = report.ended;
        assert_eq!(ended, usize::from(shop.now() >= opened_by.saturating_add(400 * DAY)));
    }
    assert_eq!(shop.issuer.manifest(request.scope()).unwrap(), None);
    assert_eq!(code(shop.offer(&ann, &merchant, handle)), "issuer.window_over");
    assert_eq!(code(shop.grant(&ann, &request)), "issuer.window_over");
    nothing_tells(&shop, request.scope(), &[&request]);
    // Those that come later gather anew.
    let (_, next) = shop.buy(&ben, &merchant, ON_TIME, "2");
    assert_ne!(next.scope(), request.scope());
}

#[test]
fn the_cohorts_of_a_closed_shop_are_ended() {
    let mut shop = Shop::new();
    let (merchant, longer) = (name("m"), name("mm"));
    let [ann, ben, cid] = enrolled(&shop, ["ann", "ben", "cid"]);
    let (_, aside) = shop.buy(&ann, &merchant, LATE, "1");
    let (key, escrow) = new_key();
    let rotated = shop.ring.with(key, escrow).unwrap().retire(aside.scope().key_id()).unwrap();
    shop.use_ring(rotated);
    let (_, open) = shop.buy(&ben, &merchant, LATE, "2");
    let (_, on_time) = shop.buy(&ben, &merchant, ON_TIME, "3");
    let (handle, elsewhere) = shop.buy(&cid, &longer, LATE, "4");
    assert_eq!(shop.issuer.close_merchant(&merchant).unwrap(), 3);
    assert_eq!(shop.issuer.close_merchant(&merchant).unwrap(), 0);
    shop.pass(WEEK);
    assert!(manifests(&shop).is_empty());
    for request in [&aside, &open, &on_time] {
        nothing_tells(&shop, request.scope(), &[request]);
    }
    assert_eq!(shop.offer(&cid, &longer, handle).unwrap().scope, *elsewhere.scope());
}

/// No row but manifest, class, number of grants and outbox names the cohort, and none a commitment.
fn nothing_tells(shop: &Shop<MemoryStore>, scope: &Scope, requests: &[&TokenRequest]) {
    let names = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    for (_, row) in dump(&*shop.store) {
        if [b"im", b"ig", b"ix"].iter().any(|of| row.key.starts_with(*of)) {
            continue;
        }
        let is_outbox = names(&row.value, &scope.to_bytes());
        let tells = |what: &[u8]| names(&row.key, what) || names(&row.value, what);
        assert!(is_outbox || !tells(&scope.cohort().to_le_bytes()), "which cohort an order was in");
        assert!(requests.iter().all(|request| !tells(request.commitment().as_bytes())));
    }
}

#[test]
fn numbers_that_are_overdue_are_told_of_until_their_end_is_reported() {
    let shop = Shop::new();
    let (ann, merchant) = (Person::new("ann"), name("m"));
    let ringing = shop.report_ringing(&ann, &merchant, LATE, "1");
    shop.report(&ann, &merchant, LATE, "2");
    let overdue = || shop.issuer.tick().unwrap().numbers_overdue;
    shop.pass(2 * WEEK - 1);
    assert!(overdue().is_empty());
    shop.pass(1);
    assert_eq!(overdue(), [(merchant.clone(), ringing)]);
    assert_eq!(overdue(), [(merchant.clone(), ringing)]);
    // No timeout of its own: an order that nobody has ended gets nothing.
    shop.pass(60 * WEEK);
    assert_eq!(code(shop.offer(&ann, &merchant, ringing)), "issuer.not_eligible");
    shop.numbers_dead(&merchant, ringing, shop.now()).unwrap();
    assert!(overdue().is_empty());
    assert!(shop.offer(&ann, &merchant, ringing).is_ok());
}

#[test]
fn a_retired_key_seals_what_is_full_and_starves_what_is_not() {
    let mut shop = Shop::new();
    shop.introduce(["full", "poor"]);
    let (full, poor, empty) = (name("full"), name("poor"), name("empty"));
    let [ann, ben] = enrolled(&shop, ["ann", "ben"]);
    for (person, order) in [(&ann, "1"), (&ben, "2")] {
        shop.buy(person, &full, LATE, order);
    }
    let (_, request) = shop.buy(&ann, &poor, LATE, "1");
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
    shop.until_sealed();
    let report = shop.issuer.tick().unwrap();
    assert_eq!(report.manifests.iter().map(|m| m.claimed_scope().merchant()).collect::<Vec<_>>(), [&full]);
    shop.pass(5 * WEEK);
    let mut starving = shop.issuer.tick().unwrap().starving;
    starving.retain(|cohort| !cohort.open);
    let [starved] = starving.try_into().unwrap();
    assert_eq!((starved.merchant, starved.of_standing), (poor, 1));
    // The one without a grant is gone, nobody can ever hold a token of it.
    let left = dump(&*shop.store).into_iter().filter(|(_, row)| row.key.starts_with(rows::SET_ASIDE));
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
        let (_, request) = shop.buy(person, &merchant, LATE, &order.to_string());
        bought.push((person, request));
    }
    let scope = bought[0].1.scope().clone();
    assert_eq!(shop.issuer.grants(&scope).unwrap(), None);
    shop.until_sealed();
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
    nothing_tells(&shop, &scope, &bought.iter().map(|(_, request)| request).collect::<Vec<_>>());
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
            shop.buy(person, &merchant, LATE, &format!("{cohort} {order}"));
        }
        for _ in 0..2 {
            shop.pass(WEEK);
            shop.issuer.tick().unwrap();
        }
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
