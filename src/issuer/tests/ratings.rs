use super::*;
use crate::rating::{ClassRecord, Market, Rating, StarSums};
use unjoin_store::read;
use unjoin_test_util::{Failure, Faulty};

/// The shop's orders of each class, as they are counted.
fn counts<S: Store>(shop: &Shop<S>, merchant: &Name) -> Vec<(u8, u64)> {
    let counted = shop.issuer.core.order_counts().unwrap();
    counted.get(merchant).into_iter().flatten().map(|record| (record.class, record.orders)).collect()
}

fn rate<S: Store>(shop: &Shop<S>, published: &[(Scope, StarSums)]) -> bool {
    let published = published.iter().cloned().map(Ok::<_, IssuerError>);
    shop.issuer.rate(published).unwrap()
}

fn rounded(rating: Rating) -> Rating {
    rows::RatingRow::of(&rating).rating()
}

fn record(class: u8, orders: u64, stars: &[u8]) -> ClassRecord {
    ClassRecord { class, orders, published: stars.iter().copied().collect() }
}

#[test]
fn an_order_counts_once_from_the_boundary_on_at_which_its_class_is_frozen() {
    let shop = Shop::new();
    let (merchant, ann) = (name("m"), Person::new("ann"));
    shop.report(&ann, &merchant, ON_TIME, "1");
    let ringing = shop.report_ringing(&ann, &merchant, ON_TIME, "2");
    let dead_later = shop.report_ringing(&ann, &merchant, ON_TIME, "3");
    shop.numbers_dead(&merchant, dead_later, MONDAY.saturating_add(WEEK + 1)).unwrap();
    // The customer complains before the class is frozen.
    let report = shop.order(&ann, &merchant, LATE, "3");
    assert!(shop.issuer.report_orders(&[report]).pop().unwrap().is_ok());
    shop.report(&ann, &name("mm"), LATE, "4");
    assert!(counts(&shop, &merchant).is_empty());
    for _ in 0..2 {
        shop.pass(WEEK);
        for _ in 0..2 {
            let _ = shop.again().issuer.tick().unwrap();
        }
        assert_eq!(counts(&shop, &name("mm")), [(LATE, 1)]);
        if shop.now() == MONDAY.saturating_add(WEEK) {
            assert_eq!(counts(&shop, &merchant), [(ON_TIME, 1)]);
        }
    }
    assert_eq!(counts(&shop, &merchant), [(ON_TIME, 1), (LATE, 1)]);
    // Told again, it is still the same order.
    shop.numbers_dead(&merchant, dead_later, MONDAY.saturating_add(WEEK + 1)).unwrap();
    shop.numbers_dead(&merchant, ringing, shop.now()).unwrap();
    shop.pass(WEEK);
    let _ = shop.issuer.tick().unwrap();
    assert_eq!(counts(&shop, &merchant), [(ON_TIME, 2), (LATE, 1)]);
}

/// Two customers of a late cohort that is sealed, and one on time; one of another merchant.
fn with_a_sealed_cohort<S: Store>(shop: &Shop<S>) -> Scope {
    let people = people(["ann", "ben", "cid"]);
    people.iter().for_each(|person| shop.enrol(person).unwrap());
    let (_, request) = shop.buy(&people[0], &name("m"), LATE, "1");
    shop.buy(&people[1], &name("m"), LATE, "2");
    shop.report(&people[2], &name("m"), ON_TIME, "3");
    shop.report(&people[2], &name("mm"), ON_TIME, "4");
    request.scope().clone()
}

#[test]
fn ratings_change_at_boundaries_and_weigh_what_is_published_by_the_class_of_its_cohort() {
    let shop = Shop::new();
    assert!(!rate(&shop, &[]), "no boundary was worked off");
    let ignorance = rounded(Market::default().rating(&[]));
    assert_eq!(shop.issuer.rating(&name("m")).unwrap(), ignorance);
    let scope = with_a_sealed_cohort(&shop);
    shop.until_sealed();
    assert_eq!(shop.issuer.tick().unwrap().manifests.len(), 1);
    let published: StarSums = [1, 2].into_iter().collect();
    // Of a cohort that nobody knows, as after a recovery: it tells nothing.
    let unknown = Scope::new(*scope.key_id(), name("m"), scope.cohort() ^ 1);
    let (told, foreign) = ((scope.clone(), published), (unknown, published));
    assert!(rate(&shop, &[told.clone(), foreign]));
    let shops = [vec![record(ON_TIME, 1, &[]), record(LATE, 2, &[1, 2])], vec![record(ON_TIME, 1, &[])]];
    let market = Market::new(shops.iter().map(Vec::as_slice));
    let expected = [market.rating(&shops[0]), market.rating(&shops[1]), market.rating(&[])].map(rounded);
    let shown = || ["m", "mm", "nobody"].map(|shop_name| shop.issuer.rating(&name(shop_name)).unwrap());
    assert_eq!(shown(), expected);
    assert!(expected[0].stars.value < 3.0 && expected[0].bad_share.value > 0.5, "{expected:?}");
    // Until the next boundary nothing changes, whatever is reported and whoever asks.
    shop.report(&Person::new("dot"), &name("mm"), LATE, "5");
    shop.pass(WEEK - 1);
    let _ = shop.issuer.tick().unwrap();
    let unread = std::iter::once_with(|| -> Result<(Scope, StarSums), IssuerError> { panic!("was read") });
    assert!(!shop.again().issuer.rate(unread).unwrap());
    assert_eq!(shown(), expected);
    shop.pass(1);
    let _ = shop.issuer.tick().unwrap();
    assert!(rate(&shop, std::slice::from_ref(&told)));
    assert_ne!(shown()[1], expected[1]);

    // Which class the cohort was of is kept while a review of it is listed, and forgotten afterwards.
    let class = || read(&*shop.store, &rows::class_key(&name("m"), scope.cohort())).unwrap();
    for _ in 0..12 {
        shop.pass(WEEK);
        let _ = shop.issuer.tick().unwrap();
        assert!(rate(&shop, std::slice::from_ref(&told)));
        assert!(class().is_some());
    }
    shop.pass(WEEK);
    let _ = shop.issuer.tick().unwrap();
    assert!(rate(&shop, &[]) && class().is_none());
}

/// A cohort without a review keeps its class until nothing can come any more.
#[test]
fn a_class_is_kept_until_the_last_boundary_is_over() {
    let shop = Shop::new();
    let scope = with_a_sealed_cohort(&shop);
    shop.until_sealed();
    let report = shop.issuer.tick().unwrap();
    let last = report.manifests[0].verify(&shop.platform.public()).unwrap().publications.last();
    while shop.now() < last {
        shop.pass(WEEK);
        let _ = shop.issuer.tick().unwrap();
        assert!(rate(&shop, &[]));
        let class = read(&*shop.store, &rows::class_key(&name("m"), scope.cohort())).unwrap();
        assert!(class.is_some());
    }
}

#[test]
fn wherever_the_store_fails_orders_count_once_and_every_shop_is_rated() {
    let writes = Failure::at_every_write(Failure::ALL, |after, failure| {
        let shop = Shop::on(Faulty::in_memory());
        let scope = with_a_sealed_cohort(&shop);
        shop.pass(WEEK);
        let _ = shop.issuer.tick().unwrap();
        shop.report(&Person::new("dot"), &name("m"), ON_TIME, "5");
        shop.pass(WEEK);
        shop.store.fail(after, failure);
        let told = [(scope, [5, 1].into_iter().collect::<StarSums>())];
        let published = || told.iter().cloned().map(Ok::<_, IssuerError>);
        let done = || shop.issuer.tick().and_then(|_| shop.issuer.rate(published()));
        if done().is_err() {
            assert!(shop.store.failed());
            done().unwrap();
        }
        assert!(!rate(&shop, &told), "rated at that boundary");
        assert_eq!(counts(&shop, &name("m")), [(ON_TIME, 2), (LATE, 2)]);
        let shops = [vec![record(ON_TIME, 2, &[]), record(LATE, 2, &[5, 1])], vec![record(ON_TIME, 1, &[])]];
        let market = Market::new(shops.iter().map(Vec::as_slice));
        for (shop_name, records) in ["m", "mm"].into_iter().zip(&shops) {
            let shown = shop.issuer.rating(&name(shop_name)).unwrap();
            assert_eq!(shown, rounded(market.rating(records)), "{failure:?} after {after}");
        }
        shop.store.failed()
    });
    assert_eq!(writes, 6);
}

/// The calls that write of each of twelve ticks, a week apart: a cohort of each shop is sealed, and its window ends.
fn writes_of_ticks(shops: usize) -> Vec<usize> {
    let shop = Shop::on(Faulty::in_memory());
    let people = people(["ann", "ben"]);
    people.iter().for_each(|person| shop.enrol(person).unwrap());
    let merchants: Vec<Name> = (0..shops).map(|number| name(&format!("shop-{number}"))).collect();
    for merchant in &merchants {
        shop.introduce([core::str::from_utf8(merchant.as_bytes()).unwrap()]);
        people
            .iter()
            .zip(["1", "2"])
            .for_each(|(person, order)| drop(shop.buy(person, merchant, LATE, order)));
    }
    let tick = |_| {
        shop.pass(WEEK);
        let before = shop.store.writes();
        let manifests = shop.issuer.tick().unwrap().manifests;
        let scopes: Vec<Scope> = manifests.iter().map(|manifest| manifest.claimed_scope().clone()).collect();
        shop.issuer.confirm_admitted(&scopes).unwrap();
        shop.store.writes() - before
    };
    let writes = (0..12).map(tick).collect();
    assert!(merchants.iter().all(|merchant| counts(&shop, merchant) == [(LATE, 2)]));
    let rows_of = |namespace: &[u8; 2]| {
        Bucket::all().map(|bucket| shop.store.scan(bucket, namespace, None, 99).unwrap().len()).sum::<usize>()
    };
    assert_eq!((rows_of(rows::CLASSES), rows_of(rows::WINDOWS)), (shops, 0), "sealed, and over");
    writes
}

#[test]
fn ticks_write_as_often_for_many_shops_as_for_one() {
    let of_one = writes_of_ticks(1);
    assert_eq!(writes_of_ticks(20), of_one);
    // The rewrite and the boundary's row, and what there is to do.
    assert!(of_one.iter().all(|writes| (2..=6).contains(writes)), "{of_one:?}");
}
