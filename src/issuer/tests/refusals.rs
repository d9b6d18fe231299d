use super::*;
use unjoin_store::identity::Role;
use unjoin_test_util::own;

/// Runs `call`, which must be refused with `expected` and leave every row as it was.
fn refused<S: Store, T>(shop: &Shop<S>, expected: &str, call: impl FnOnce() -> Result<T, IssuerError>) {
    let before = dump(&*shop.store);
    assert_eq!(code(call()), expected);
    assert_eq!(dump(&*shop.store), before, "{expected} changed a row");
}

#[test]
fn a_refused_enrolment_changes_nothing() {
    let shop = Shop::new();
    let [ann, ben] = people(["ann", "ben"]);
    shop.enrol(&ann).unwrap();
    let enrol = |expected, submission: EnrolmentSubmission| {
        refused(&shop, expected, || shop.issuer.enrol(&[submission]).pop().unwrap());
    };
    enrol("issuer.wallet_key_taken", ann.enrolment_for(&ben.account));
    enrol("issuer.proof_refused", EnrolmentSubmission { nonce: [4; 32], ..ben.enrolment() });
    enrol("issuer.proof_refused", EnrolmentSubmission { account: name("eve"), ..ben.enrolment() });
    enrol("issuer.re_enrolment_too_early", Person::with("ann", 2).enrolment());
}

#[test]
fn a_refused_report_changes_nothing() {
    let shop = Shop::new();
    let [ann, ben] = people(["ann", "ben"]);
    let merchant = name("m");
    shop.report(&ann, &merchant, ON_TIME, "1");
    let order = |order: &str| shop.order(&ann, &merchant, ON_TIME, order);
    let report = |expected, report: OrderReport| {
        refused(&shop, expected, || shop.issuer.report_orders(&[report]).pop().unwrap());
    };
    report("issuer.order_differs", OrderReport { class: LATE, ..order("1") });
    report("issuer.order_differs", OrderReport { account: ben.account.clone(), ..order("1") });
    report("issuer.order_differs", OrderReport { due_at: MONDAY.saturating_sub(1), ..order("1") });
    report("issuer.not_due", OrderReport { due_at: MONDAY.saturating_add(1), ..order("2") });
    let year = MONDAY.saturating_add(366 * DAY);
    report("issuer.not_due", OrderReport { due_at: year, ..order("2") });
    // Seconds were meant, and milliseconds given: no retry mends it, of a known order neither.
    for id in ["1", "2"] {
        report("issuer.time_out_of_range", OrderReport { due_at: year.saturating_add(1), ..order(id) });
    }
    report("issuer.unknown_class", OrderReport { class: 1, ..order("2") });
    report("issuer.order_id_length", order(""));
    report("issuer.order_id_length", order(&"x".repeat(MAX_ORDER_ID + 1)));
    assert!(shop.issuer.report_orders(&[order(&"x".repeat(MAX_ORDER_ID))]).pop().unwrap().is_ok());
}

#[test]
fn a_refused_offer_changes_nothing() {
    let shop = Shop::new();
    let [ann, ben] = people(["ann", "ben"]);
    let merchant = name("m");
    let handle = shop.report(&ann, &merchant, ON_TIME, "1");
    refused(&shop, "issuer.order_of_another_account", || shop.offer(&ben, &merchant, handle));
    refused(&shop, "issuer.unknown_order", || shop.offer(&ann, &name("mm"), handle));
    refused(&shop, "issuer.unknown_order", || shop.offer(&ann, &merchant, OrderHandle([0; 16])));
    let ringing = shop.report_ringing(&ann, &merchant, ON_TIME, "2");
    refused(&shop, "issuer.not_eligible", || shop.offer(&ann, &merchant, ringing));
    // A ring that lags behind another instance's must not set that one's cohort aside, nor be taken anew.
    let mut beside = shop.again();
    let (key, escrow) = new_key();
    beside.use_ring(shop.ring.with(key, escrow).unwrap());
    beside.offer(&ann, &merchant, handle).unwrap();
    refused(&shop, "issuer.unknown_key", || shop.offer(&ann, &merchant, handle));
    let lagging = shop.issuer.set_keys(shop.ring.clone());
    assert!(matches!(lagging, Err(IssuerError::Store(StoreError::Secret { .. }))));
}

#[test]
fn a_refused_request_changes_nothing() {
    let mut shop = Shop::new();
    let [ann, ben, cid, eve] = people(["ann", "ben", "cid", "eve"]);
    let (merchant, other) = (name("m"), name("mm"));
    for person in [&ann, &ben, &cid] {
        shop.enrol(person).unwrap();
    }
    let (granted, request) = shop.buy(&ann, &merchant, ON_TIME, "1");
    let handle = shop.report(&cid, &merchant, ON_TIME, "2");
    let late = shop.report(&ben, &merchant, LATE, "3");
    let elsewhere = shop.report(&ann, &other, ON_TIME, "4");
    let unenrolled = shop.report(&eve, &merchant, ON_TIME, "5");
    let scope = request.scope().clone();
    let late_scope = shop.offer(&ben, &merchant, late).unwrap().scope;
    let other_scope = shop.offer(&ann, &other, elsewhere).unwrap().scope;
    let ask = |expected, person: &Person, request: TokenRequest| {
        refused(&shop, expected, || shop.grant(person, &request));
    };
    ask("issuer.already_granted", &ann, ann.request(granted, &scope, 2));
    ask("issuer.already_granted", &ann, ann.request(granted, &late_scope, 1));
    ask("issuer.order_of_another_account", &ben, ben.request(handle, &scope, 1));
    ask("issuer.unknown_order", &ann, ann.request(OrderHandle([0; 16]), &scope, 1));
    ask("issuer.unknown_order", &cid, cid.request(handle, &other_scope, 1));
    ask("issuer.not_enrolled", &eve, eve.request(unenrolled, &scope, 1));
    ask("issuer.proof_refused", &cid, Person::with("cid", 2).request(handle, &scope, 1));
    let ringing = shop.report_ringing(&cid, &merchant, ON_TIME, "6");
    ask("issuer.not_eligible", &cid, cid.request(ringing, &scope, 1));
    let second = shop.report(&ann, &merchant, ON_TIME, "7");
    ask("issuer.later", &ann, ann.request(second, &scope, 1));
    let never = |key_id| Scope::new(key_id, merchant.clone(), 1);
    ask("issuer.unknown_key", &cid, cid.request(handle, &never([0; 32]), 1));
    ask("issuer.wrong_scope", &cid, cid.request(handle, &never(*scope.key_id()), 1));
    ask("issuer.wrong_scope", &cid, cid.request(handle, &late_scope, 1));
    let (key, escrow) = new_key();
    let retired = shop.ring.with(key, escrow).unwrap().retire(scope.key_id()).unwrap();
    shop.use_ring(retired);
    let ask = |expected, request: TokenRequest| refused(&shop, expected, || shop.grant(&cid, &request));
    ask("issuer.retired_key", cid.request(handle, &scope, 1));
    shop.offer(&cid, &merchant, handle).unwrap();
    ask("issuer.retired_key", cid.request(handle, &scope, 1));
}

#[test]
fn a_refused_end_of_numbers_changes_nothing() {
    let shop = Shop::new();
    let ann = Person::new("ann");
    let merchant = name("m");
    let handle = shop.report_ringing(&ann, &merchant, ON_TIME, "1");
    let year = MONDAY.saturating_add(366 * DAY);
    let dead = |expected, handle, at| {
        refused(&shop, expected, || shop.numbers_dead(&merchant, handle, at));
    };
    dead("issuer.unknown_order", OrderHandle([0; 16]), MONDAY);
    dead("issuer.time_out_of_range", handle, year.saturating_add(1));
    dead("issuer.time_out_of_range", handle, Timestamp::from_unix_seconds(u64::MAX));
    shop.numbers_dead(&merchant, handle, year).unwrap();
    dead("issuer.numbers_dead_differs", handle, year.saturating_sub(1));
    dead("done", handle, year);
}

#[test]
fn a_past_is_stated_once() {
    let shop = Shop::new();
    let state = |merchant: &str, class, counts: &[u32]| {
        let past = PastOrders { merchant: name(merchant), class, counts: counts.to_vec() };
        shop.issuer.introduce(&[past]).pop().unwrap()
    };
    assert_eq!(code(state("new", LATE, &[9, 8])), "done");
    refused(&shop, "done", || state("new", LATE, &[9, 8]));
    refused(&shop, "issuer.merchant_known", || state("new", LATE, &[9]));
    refused(&shop, "issuer.unknown_class", || state("new", 99, &[9]));
    refused(&shop, "issuer.too_many_counts", || state("new", ON_TIME, &[1, 2, 3, 4]));
    // Once something was counted, it is too late for that, too.
    let ann = Person::new("ann");
    shop.enrol(&ann).unwrap();
    shop.buy(&ann, &name("new"), LATE, "1");
    shop.pass(WEEK);
    shop.issuer.tick().unwrap();
    refused(&shop, "issuer.merchant_known", || state("new", LATE, &[9, 8]));
}

#[test]
fn a_configuration_that_breaks_a_rule_is_refused() {
    let bad: [fn(&mut IssuerConfig); 6] = [
        |config| config.classes.clear(),
        |config| config.classes.push(ClassPolicy { class: 9, k: 1 }),
        |config| config.classes.push(ClassPolicy { class: 9, k: 0 }),
        |config| config.classes.push(ClassPolicy { class: LATE, k: 5 }),
        |config| config.order_days = 99,
        |config| config.re_enrolment_interval = DAY - 1,
    ];
    assert!(config().check().is_ok());
    for break_it in bad {
        let mut config = config();
        break_it(&mut config);
        assert_eq!(code(config.check()), "issuer.config");
    }
}

#[test]
fn a_full_queue_refuses_at_once() {
    /// Answers once it is told.
    struct Slow(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);
    impl StandingPolicy for Slow {
        fn of_standing(&self, _account: &Name, _merchant: &Name) -> bool {
            self.0.lock().unwrap().recv().is_ok()
        }
    }
    let shop = Shop::new();
    let (go_on, told) = std::sync::mpsc::channel();
    let queue = QueueConfig { capacity: 1, max_batch: 1, workers: 1 };
    let slow = Issuer::open(
        own(&shop.store, Role::Orders),
        IssuerConfig { queue, ..config() },
        shop.ring.clone(),
        SecretBytes::new([5; 32]),
        shop.platform.clone(),
        Arc::new(Slow(told.into())),
        Environment::new(shop.clock.clone(), || Box::new(SystemRng::new())),
    )
    .unwrap();
    let (ann, merchant) = (Person::new("ann"), name("m"));
    shop.enrol(&ann).unwrap();
    let handle = shop.report(&ann, &merchant, ON_TIME, "1");
    let request = ann.request(handle, &shop.offer(&ann, &merchant, handle).unwrap().scope, 1);
    let ask = || slow.grant(ann.account.clone(), request.clone());
    // At most one is being worked on and one waits.
    let asked: Vec<_> = (0..8).map(|_| ask()).collect();
    (0..8).for_each(|_| go_on.send(()).unwrap());
    let (granted, refused): (Vec<_>, Vec<_>) = asked.into_iter().map(Pending::wait).partition(Result::is_ok);
    assert!((1..=2).contains(&granted.len()));
    assert!(refused.into_iter().all(|refused| code(refused) == "issuer.queue"));
}

#[test]
fn an_account_has_so_many_wallets_and_no_more() {
    let shop = Shop::new();
    let ann = Person::new("ann");
    // One below the most, none of them this person's, enrolled long ago.
    let generator = *unjoin_core::algebra::Generator::Gu.point();
    let mut key = generator * Scalar::from(1_000_000u64);
    let mut wallets = Vec::new();
    while wallets.len() < MAX_WALLET_KEYS - 1 {
        key += generator;
        let wallet_key = Element::from_point(key).unwrap();
        wallets.push(wallet_key);
    }
    let enrolled_by = MONDAY.saturating_sub(20 * DAY);
    let key = super::super::rows::account_key(&ann.account);
    let row = super::super::rows::AccountRow { wallets, enrolled_by };
    unjoin_store::decide(&*shop.store, key.clone(), |_, change| {
        change.put(&key, &row);
        Ok::<_, IssuerError>(())
    })
    .unwrap();

    shop.enrol(&ann).unwrap();
    shop.pass(20 * DAY);
    let one_more = Person::with("ann", 2).enrolment();
    refused(&shop, "issuer.too_many_wallet_keys", || shop.issuer.enrol(&[one_more]).pop().unwrap());
    assert_eq!(code(shop.enrol(&ann)), "done", "a wallet that it has");
}

#[test]
fn a_row_of_another_format_or_with_a_doubtful_flag_is_refused() {
    use super::super::rows::MemberRow;
    use unjoin_store::{Record, StoreError};
    let mut value = MemberRow { handle: OrderHandle([7; 16]), of_standing: true }.to_value();
    assert!(MemberRow::from_value(&value).is_ok());
    for flag in 2..=255 {
        *value.last_mut().unwrap() = flag;
        assert!(matches!(MemberRow::from_value(&value), Err(StoreError::Corrupt(_))));
    }
    *value.last_mut().unwrap() = 0;
    assert!(MemberRow::from_value(&value).is_ok());
    *value.first_mut().unwrap() = 2;
    assert!(matches!(MemberRow::from_value(&value), Err(StoreError::Corrupt(_))));
}

#[test]
fn an_order_of_a_class_that_is_no_longer_in_use_gets_no_offer() {
    let shop = Shop::new();
    let (ann, merchant) = (Person::new("ann"), name("m"));
    let handle = shop.report(&ann, &merchant, LATE, "1");
    let mut narrower = config();
    narrower.classes.retain(|policy| policy.class != LATE);
    let (store, ring, platform) = (shop.store.clone(), shop.ring.clone(), shop.platform.clone());
    let environment = Environment::new(shop.clock.clone(), || Box::new(SystemRng::new()));
    let master = SecretBytes::new([5; 32]);
    let issuer = Issuer::open(
        own(&store, Role::Orders),
        narrower,
        ring,
        master,
        platform,
        Arc::new(NotTheTilde),
        environment,
    );
    let before = dump(&*shop.store);
    let asked = OfferRequest { account: ann.account, merchant, handle };
    assert_eq!(code(issuer.unwrap().offers(&[asked]).pop().unwrap()), "issuer.unknown_class");
    assert!(dump(&*shop.store) == before);
}
