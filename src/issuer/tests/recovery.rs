//! An older copy of the issuer's store is put back beside a ledger that has gone on. A changed wallet asks with
//! another commitment, for another scope, and again for what it was granted.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use unjoin_audit::History;
use unjoin_core::entry::{Ledger, StaffKeyEntry};
use unjoin_core::token::StaffKey;
use unjoin_core::wire::Message;
use unjoin_log::{KeyName, Log, LogView, NoteKey, Witness, WitnessPolicy, WitnessService};
use unjoin_store::identity::Role;
use unjoin_test_util::{Failure, Faulty, copy, fresh};

const ORIGIN: &str = "reviews";

/// The reviews ledger, with one witness, and a key of the staff's in it.
struct Public {
    log: Log<MemoryStore>,
    witness: Arc<dyn Witness>,
    policy: WitnessPolicy,
    staff: StaffKey,
}

impl Public {
    fn new<S: Store>(shop: &Shop<S>) -> Self {
        let rng = &mut SystemRng::new();
        let key = NoteKey::generate(KeyName::new(ORIGIN).unwrap(), rng);
        let (log_key, environment) = (key.public().clone(), environment(&shop.clock));
        let (store, witness) = (Arc::new(MemoryStore::new()), KeyName::new("witness").unwrap());
        let witness = WitnessService::create(store, witness, vec![log_key.clone()], environment).unwrap();
        let keys = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(log_key, keys, 1, 0, 60).unwrap();
        let witness = Arc::new(witness);
        let log = Log::open(fresh(Role::Ledgers), Ledger::Reviews, key, Some(policy.clone())).unwrap();
        let staff = StaffKey::generate(rng);
        let entry = StaffKeyEntry::sign(&shop.platform, ORIGIN, &staff.public(), name("ann")).unwrap();
        log.append(&[entry.to_bytes()]).unwrap();
        Self { log, witness, policy, staff }
    }

    /// Takes in what waits, publishes, and reads it all.
    fn publish(&self, store: &impl Store, now: Timestamp) -> History {
        self.log.sequence(&[store]).unwrap();
        assert!(self.log.publish(&[Arc::clone(&self.witness)]).unwrap().published);
        assert!(self.log.checkpoint().unwrap().is_some());
        History::read(&self.log, &self.policy, None, now).unwrap()
    }
}

fn environment(clock: &Arc<ManualClock>) -> Environment {
    Environment::new(clock.clone(), || Box::new(SystemRng::new()))
}

fn recover<S: Store>(
    store: &S,
    history: &History,
    public: &Public,
    shop: &Shop<impl Store>,
) -> Result<IssuerRecovery, crate::RecoveryError> {
    let recovery =
        crate::Recovery { key: &public.staff, grounds: "the volume was lost", last_mark: 7, after_era: 1 };
    Issuer::recover(store, history, &shop.platform, &recovery, &environment(&shop.clock))
}

/// The copy takes the place of what the shop had, recovered and opened.
fn put_back(
    shop: Shop<MemoryStore>,
    older: MemoryStore,
    public: &Public,
) -> (Shop<MemoryStore>, IssuerRecovery) {
    let history = public.publish(&*shop.store, shop.now());
    let report = recover(&older, &history, public, &shop).unwrap();
    let shop = Shop::with(Arc::new(older), shop.clock, shop.ring, shop.platform);
    public.publish(&*shop.store, shop.now());
    (shop, report)
}

#[test]
fn no_order_gets_a_second_token_after_an_older_copy_was_put_back() {
    let shop = Shop::new();
    let public = Public::new(&shop);
    let merchant = name("m");
    let [ann, ben, cid] = people(["ann", "ben", "cid"]);
    [&ann, &ben, &cid].into_iter().for_each(|person| shop.enrol(person).unwrap());
    let (kept, kept_request) = shop.buy(&ann, &merchant, ON_TIME, "1");
    let kept_tag = tag(&shop.grant(&ann, &kept_request).unwrap());
    let reported = shop.report(&ben, &merchant, ON_TIME, "2");
    let older = copy(&*shop.store);
    // Since the copy: ben's order and one that the copy does not know were granted, another was not.
    let ben_request = ben.request(reported, kept_request.scope(), 1);
    shop.grant(&ben, &ben_request).unwrap();
    let (unknown, unknown_request) = shop.buy(&cid, &merchant, LATE, "3");
    shop.pass(DAY);
    let (shop, report) = put_back(shop, older, &public);
    assert_eq!(report, IssuerRecovery { era: 2, set_aside: 1, closed: 0 });

    // The copy has its record: the same answer, and no other.
    assert_eq!(tag(&shop.grant(&ann, &kept_request).unwrap()), kept_tag);
    assert_eq!(shop.offer(&ann, &merchant, kept).unwrap().scope, *kept_request.scope());
    assert_eq!(code(shop.grant(&ann, &ann.request(kept, kept_request.scope(), 2))), "issuer.already_granted");
    // The host reports what the copy does not know once more, and one that was never granted.
    assert_eq!(shop.report(&cid, &merchant, LATE, "3"), unknown);
    let never = shop.report(&cid, &merchant, ON_TIME, "4");
    for (person, handle, granted) in
        [(&ben, reported, &ben_request), (&cid, unknown, &unknown_request), (&cid, never, &unknown_request)]
    {
        assert_eq!(code(shop.offer(person, &merchant, handle)), "issuer.before_recovery");
        for variant in [1, 2] {
            for scope in [kept_request.scope(), unknown_request.scope(), granted.scope()] {
                let request = person.request(handle, scope, variant);
                assert_eq!(code(shop.grant(person, &request)), "issuer.before_recovery");
            }
        }
    }
    // A later order opens a cohort of its own.
    shop.pass(WEEK);
    let later = OrderReport { due_at: shop.now(), ..shop.order(&ben, &merchant, ON_TIME, "5") };
    let handle = shop.issuer.report_orders(&[later]).pop().unwrap().unwrap();
    shop.numbers_dead(&merchant, handle, shop.now()).unwrap();
    let offer = shop.offer(&ben, &merchant, handle).unwrap();
    assert_ne!(offer.scope, *kept_request.scope());
    assert_eq!(code(shop.grant(&ben, &ben.request(handle, kept_request.scope(), 3))), "issuer.cohort_closed");
    assert!(shop.grant(&ben, &ben.request(handle, &offer.scope, 3)).is_ok());
}

/// The cohort closed since the copy: the ledger's manifest is signed and handed over once more, with the
/// same bytes, and the desk and the devices go on.
#[test]
fn the_ledgers_manifests_close_their_cohorts() {
    let shop = Shop::new();
    let public = Public::new(&shop);
    let merchant = name("m");
    let both = people(["ann", "ben"]);
    let buy = |person: &Person| {
        shop.enrol(person).unwrap();
        shop.buy(person, &merchant, LATE, &String::from_utf8_lossy(person.account.as_bytes()))
    };
    let first = buy(&both[0]);
    let older = copy(&*shop.store);
    buy(&both[1]);
    shop.until_sealed();
    let closed = shop.issuer.tick().unwrap().manifests;
    assert_eq!(closed.len(), 1);
    let (shop, report) = put_back(shop, older, &public);
    assert_eq!((report.set_aside, report.closed), (1, 1));
    let scope = first.1.scope();
    assert_eq!(shop.issuer.manifest(scope).unwrap().as_ref(), closed.first());
    assert_eq!(shop.issuer.tick().unwrap().manifests, closed, "handed over again, and no other");
    assert_eq!(shop.issuer.grants(scope).unwrap(), None, "not known any more");
    assert!(shop.grant(&both[0], &first.1).is_ok());
    // When the window has ended its order says only that it was granted.
    shop.pass(9 * WEEK);
    let _ = shop.issuer.tick().unwrap();
    assert_eq!(code(shop.grant(&both[0], &first.1)), "issuer.window_over");
    assert_eq!(entries(&*shop.store, Ledger::Reviews).len(), 0, "no second manifest");
}

/// The account's binding is gone with the store; the same wallet makes it again, byte for byte.
#[test]
fn a_wallet_that_enrols_again_makes_the_entry_that_the_ledger_has() {
    let shop = Shop::new();
    let public = Public::new(&shop);
    let ann = Person::new("ann");
    let older = copy(&*shop.store);
    shop.enrol(&ann).unwrap();
    let (logged, blind) = (
        entries(&*shop.store, Ledger::Openings),
        shop.issuer.account_of(&ann.wallet_key).unwrap().unwrap().blind,
    );
    let (shop, _) = put_back(shop, older, &public);
    assert!(shop.issuer.account_of(&ann.wallet_key).unwrap().is_none());
    shop.enrol(&ann).unwrap();
    assert_eq!(entries(&*shop.store, Ledger::Openings), logged);
    let bound = shop.issuer.account_of(&ann.wallet_key).unwrap().unwrap();
    assert_eq!((bound.account, bound.blind), (ann.account.clone(), blind), "its earlier reviews open");
}

#[test]
fn a_recovery_that_is_interrupted_at_any_write_ends_as_one_that_was_not() {
    let shop = Shop::new();
    let public = Public::new(&shop);
    let merchants = [name("m"), name("mm")];
    let both = people(["ann", "ben"]);
    for person in &both {
        shop.enrol(person).unwrap();
        for merchant in &merchants {
            shop.buy(person, merchant, LATE, &String::from_utf8_lossy(person.account.as_bytes()));
        }
    }
    shop.buy(&both[0], &merchants[0], ON_TIME, "open");
    let older = copy(&*shop.store);
    shop.until_sealed();
    assert_eq!(shop.issuer.tick().unwrap().manifests.len(), 2);
    let history = public.publish(&*shop.store, shop.now());
    let whole = Faulty::new(copy(&older));
    let report = recover(&whole, &history, &public, &shop).unwrap();
    assert_eq!(report, IssuerRecovery { era: 2, set_aside: 3, closed: 2 });
    let (expected, writes) = (dump(&whole.rows), whole.writes());
    assert!(writes >= 4, "{writes}");
    for after in 0..writes {
        for failure in Failure::ALL {
            let store = Arc::new(Faulty::new(copy(&older)));
            store.fail(after, failure);
            assert!(recover(&*store, &history, &public, &shop).unwrap_err().is_retryable() && store.failed());
            let is_ended = after == writes - 1 && failure == Failure::Lost;
            let is_begun = after > 0 || failure == Failure::Lost;
            match crate::recovery::era(&*store, &rows::recovery_key()) {
                Err(error) => assert_eq!(error.code(), "recovery.unfinished"),
                Ok(_) => assert!(!is_begun || is_ended, "{after} {failure:?}"),
            }
            if !is_ended {
                recover(&*store, &history, &public, &shop).unwrap();
            }
            assert_eq!(dump(&store.rows), expected, "{after} {failure:?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Report { order: u8 },
    Ask { order: u8, variant: u64, scope: usize },
    Dead { order: u8 },
    Tick,
    Pass { days: u64 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let order = || 0..6u8;
    let event = prop_oneof![
        3 => order().prop_map(|order| Event::Report { order }),
        6 => (order(), 1..4u64, 0..4usize).prop_map(|(order, variant, scope)| Event::Ask { order, variant, scope }),
        2 => order().prop_map(|order| Event::Dead { order }),
        2 => Just(Event::Tick),
        2 => (1..9u64).prop_map(|days| Event::Pass { days }),
    ];
    prop::collection::vec(event, 0..40)
}

/// What devices and the ledger have seen: the model.
type TokenOf = (Vec<u8>, [u8; 32]);

#[derive(Default)]
struct Seen {
    due: BTreeMap<u8, Timestamp>,
    scopes: Vec<Scope>,
    /// The tokens of each order: scope and commitment.
    tokens: BTreeMap<u8, BTreeSet<TokenOf>>,
}

/// Order 0 and 3 are ann's, 1 and 4 ben's, 2 and 5 cid's.
fn happen(shop: &Shop<MemoryStore>, seen: &mut Seen, everybody: &[Person; 3], event: Event) {
    let (merchant, whose) = (name("m"), |order: u8| &everybody[usize::from(order % 3)]);
    let handle = |order: u8| shop.issuer.handle(&merchant, &[order]);
    match event {
        Event::Report { order } => {
            // What a host says of an order is frozen, and outlives the issuer's store.
            let due_at = *seen.due.entry(order).or_insert(shop.now());
            let order_id = vec![order];
            let report = OrderReport { order_id, due_at, ..shop.order(whose(order), &merchant, LATE, "") };
            shop.issuer.report_orders(&[report]).pop().unwrap().unwrap();
        }
        Event::Ask { order, variant, scope } => {
            let person = whose(order);
            if let Ok(offer) = shop.offer(person, &merchant, handle(order))
                && !seen.scopes.contains(&offer.scope)
            {
                seen.scopes.push(offer.scope);
            }
            // The newest offer, or any that was ever heard of.
            let Some(scope) = seen.scopes.iter().rev().nth(scope).cloned() else { return };
            let request = person.request(handle(order), &scope, variant);
            if shop.grant(person, &request).is_ok() {
                let token = (format!("{scope:?}").into_bytes(), *request.commitment().as_bytes());
                seen.tokens.entry(order).or_default().insert(token);
            }
        }
        Event::Dead { order } => {
            if let Some(due) = seen.due.get(&order) {
                let _ = shop.numbers_dead(&merchant, handle(order), *due);
            }
        }
        Event::Tick => assert!(shop.issuer.tick().unwrap().failed.is_empty()),
        Event::Pass { days } => shop.pass(days * DAY),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// A copy of any moment, anything after it, put back once or twice: whatever devices ask for, an order has
    /// one token in its life, and a cohort one manifest.
    #[test]
    fn whatever_is_put_back_no_order_has_two_tokens(
        before in events(), gap in events(), after in events(), twice: bool,
    ) {
        let (shop, mut seen) = (Shop::new(), Seen::default());
        let public = Public::new(&shop);
        let everybody = people(["ann", "ben", "cid"]);
        everybody.iter().for_each(|person| shop.enrol(person).unwrap());
        before.iter().for_each(|event| happen(&shop, &mut seen, &everybody, *event));
        let copies = [copy(&*shop.store), copy(&*shop.store)];
        gap.iter().for_each(|event| happen(&shop, &mut seen, &everybody, *event));
        let [first, second] = copies;
        let (mut shop, _) = put_back(shop, first, &public);
        if twice {
            after.iter().for_each(|event| happen(&shop, &mut seen, &everybody, *event));
            shop = put_back(shop, second, &public).0;
        }
        // The host reports everything once more.
        (0..6).for_each(|order| happen(&shop, &mut seen, &everybody, Event::Report { order }));
        gap.iter().chain(&after).for_each(|event| happen(&shop, &mut seen, &everybody, *event));
        for (order, tokens) in &seen.tokens {
            prop_assert!(tokens.len() <= 1, "order {order} has {} tokens", tokens.len());
        }
        let history = public.publish(&*shop.store, shop.now());
        let counted = unjoin_audit::CountedElsewhere {
            grid: Grid::Weekly, classes: 16, orders: BTreeMap::new(), grants: BTreeMap::new(),
        };
        let found = unjoin_audit::audit_manifests(&history, &counted).findings;
        prop_assert!(found.is_empty(), "{found:?}");
    }
}
