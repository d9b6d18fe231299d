//! The facade from outside: an order goes its whole way, numbers included, through one value.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::sync::Arc;
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::opening::insecure_test_dealer;
use unjoin::phone::{
    Attestation, Binding, Channel, OrderRef, Parties, PhoneNumber, Route, RouteRequest, Switchboard,
    SwitchboardConfig, VirtualNumber,
};
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::store::identity::Role;
use unjoin::token::{DoorMessage, DoorQuestion, EnrolmentContext, IssuerKey, OrderHandle, Review};
use unjoin::wire::Message;
use unjoin::{
    Audience, Clock, DAY, Environment, ManualClock, Name, Platform, PlatformConfig, PlatformSecrets,
    TickReport, Timestamp,
};
use unjoin_phone::test_util::{keeper, pool, pool_config};
use unjoin_test_util::Directory;
use unjoin_test_util::own;
use unjoin_wallet::{AuthorRequest, ManifestEvidence, Token, TrustRoots, Wallet};

const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
const LIFE: u64 = 4 * 3_600;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn open(environment: &Environment) -> Platform<MemoryStore> {
    let rng = &mut SystemRng::new();
    let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let mut config = PlatformConfig::new(name("shop.example"));
    config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
    config.issuer.hold = 0;
    let secrets = PlatformSecrets::generate(*trustees.key(), rng);
    let standing = Arc::new(EveryoneOfStanding);
    let platform = Platform::open(
        unjoin_test_util::fresh_platform_stores(&secrets.stores),
        config,
        secrets,
        standing,
        environment.clone(),
    )
    .unwrap();
    // Two customers of a merchant that was busy before are a crowd on the third day.
    let past = PastOrders { merchant: name("lamps.example"), class: 0, counts: vec![6_000] };
    assert!(platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
    platform
}

fn switchboard(directory: &Directory, environment: &Environment) -> Switchboard<MemoryStore> {
    let (keeper, pool) =
        (keeper(directory.file("keys"), LIFE, environment), pool(pool_config(4, 1_000, LIFE)));
    let (store, config) = (
        Arc::new(MemoryStore::new()),
        SwitchboardConfig {
            calls_at_once: usize::MAX,
            calls_per_hour: u32::MAX,
            ..SwitchboardConfig::new(LIFE)
        },
    );
    Switchboard::open(own(&store, Role::Telephony), config, pool, keeper, environment.clone()).unwrap()
}

fn environment(clock: &Arc<ManualClock>) -> Environment {
    Environment::new(Arc::clone(clock) as Arc<dyn Clock>, || Box::new(SystemRng::new()))
}

/// Time passes, ticked as a host would: slot keys refuse a clock that jumps by more than a number's life.
fn pass(platform: &Platform<MemoryStore>, clock: &ManualClock, until: Timestamp) -> Vec<TickReport> {
    let mut reports = Vec::new();
    while clock.now() < until {
        clock.set(clock.now().saturating_add(LIFE / 2).min(until));
        let report = platform.tick().unwrap();
        assert!(report.telephony.is_some() && report.failed.is_empty());
        assert!(report.numbers_overdue.is_empty());
        reports.push(report);
    }
    reports
}

/// Somebody who has enrolled.
struct Customer {
    account: Name,
    wallet: Wallet,
    phone: PhoneNumber,
}

impl Customer {
    fn enrolled(platform: &Platform<MemoryStore>, account: &str, phone: &str) -> Self {
        let (rng, issuer, account) = (&mut SystemRng::new(), name("shop.example"), name(account));
        let wallet = Wallet::generate(rng);
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[1; 32] };
        platform.enrol(account.clone(), [1; 32], wallet.enrol(context, rng).unwrap()).unwrap();
        Self { account, wallet, phone: PhoneNumber::new(phone).unwrap() }
    }

    fn order(&self, platform: &Platform<MemoryStore>, merchant: &Name) -> OrderRef {
        platform.order_ref(merchant, self.account.as_bytes())
    }

    /// The order was delivered: reported.
    fn delivered(&self, platform: &Platform<MemoryStore>, merchant: &Name) -> OrderHandle {
        let order_id = self.account.as_bytes().to_vec();
        let account = self.account.clone();
        let order = OrderReport { order_id, account, merchant: merchant.clone(), class: 0, due_at: MONDAY };
        platform.order_due(order).unwrap()
    }

    /// The order is eligible: its token is in the wallet.
    fn token(&self, platform: &Platform<MemoryStore>, merchant: &Name, handle: OrderHandle) -> Token {
        let account = self.account.clone();
        let offer = platform.offer(account.clone(), merchant.clone(), handle).unwrap();
        let (trust, rng) = (trust(platform), &mut SystemRng::new());
        let (pending, request) =
            self.wallet.request(&name("shop.example"), merchant, handle, &offer, &trust, rng).unwrap();
        let grant = platform.grant(account, request).wait().unwrap();
        self.wallet.finish(pending, &grant, rng).unwrap()
    }
}

/// What a device pins: the platform's key, and its newest pair of keys.
fn trust(platform: &Platform<MemoryStore>) -> TrustRoots {
    let pair = platform.issuer().keys().newest().clone();
    TrustRoots::new(*platform.public_key(), 2, unjoin::Grid::Daily)
        .pin(*pair.issuer_key.public(), pair.escrow_key)
        .unwrap()
}

/// Two customers with a token each, in a cohort that is sealed.
fn sealed_cohort(
    platform: &Platform<MemoryStore>,
    clock: &ManualClock,
    merchant: &Name,
) -> [(Customer, Token); 2] {
    let members = [("ann", "+8613911112222"), ("ben", "+8613933334444")].map(|(account, phone)| {
        let customer = Customer::enrolled(platform, account, phone);
        let handle = customer.delivered(platform, merchant);
        let dead = NumbersDead { merchant: merchant.clone(), handle, at: MONDAY };
        assert_eq!(platform.numbers_dead(dead).unwrap(), MONDAY);
        let token = customer.token(platform, merchant, handle);
        (customer, token)
    });
    let sealed = (1..=3).map(|day| {
        clock.set(MONDAY.saturating_add(day * DAY));
        platform.tick().unwrap().manifests.len()
    });
    assert_eq!(sealed.collect::<Vec<_>>(), [0, 0, 1]);
    members
}

fn with_telephony() -> (Arc<ManualClock>, Directory, Platform<MemoryStore>, Name) {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let (environment, directory) = (environment(&clock), Directory::new());
    let platform = open(&environment).with_telephony(switchboard(&directory, &environment));
    let merchant = name("lamps.example");
    (clock, directory, platform, merchant)
}

#[test]
fn an_order_goes_from_its_number_to_its_withdrawn_review_through_one_facade() {
    let (clock, _directory, platform, merchant) = with_telephony();
    let customers = [("ann", "+8613911112222"), ("ben", "+8613933334444")]
        .map(|(account, phone)| Customer::enrolled(&platform, account, phone));

    let hub = PhoneNumber::new("+8613800138000").unwrap();
    let mut held = Vec::new();
    for customer in &customers {
        let order = customer.order(&platform, &merchant);
        let parties = Parties { hub: hub.clone(), customer: customer.phone.clone() };
        let not_after = MONDAY.saturating_add(LIFE / 2);
        let binding = Binding::courier(order.clone(), name("courier 5"), parties, not_after);
        let bound = platform.bind(binding).unwrap().wait().unwrap();
        let call = |number: VirtualNumber| {
            let request = RouteRequest {
                caller: Some(customer.phone.clone()),
                dialled: number,
                channel: Channel::Voice,
                attestation: Attestation::Full,
                trusted_trunk: false,
            };
            platform.route(&request).unwrap()
        };
        assert!(matches!(call(bound.number), Route::Connect { callee, .. } if callee == hub));

        // Under another name a tick would not find the order's numbers.
        let own_name = OrderRef { order: customer.account.clone(), ..order.clone() };
        assert_eq!(platform.close_order(&own_name).unwrap_err().code(), "platform.order_name");
        // Delivered: the number ends, and the order is eligible once it is dead.
        let handle = customer.delivered(&platform, &merchant);
        let eligible = platform.close_order(&order).unwrap();
        assert_eq!(platform.close_order(&order).unwrap(), eligible);
        assert!(matches!(call(bound.number), Route::Refuse));
        held.push((handle, eligible));
    }
    let eligible = held.iter().map(|(_, eligible)| *eligible).max().unwrap();
    let mut reports = pass(&platform, &clock, eligible);
    let held: Vec<Token> = customers
        .iter()
        .zip(held)
        .map(|(customer, (handle, _))| customer.token(&platform, &merchant, handle))
        .collect();

    while platform.manifests(&merchant, None, 10).unwrap().is_empty() {
        reports.extend(pass(&platform, &clock, clock.now().saturating_add(LIFE)));
        assert!(clock.now() < MONDAY.saturating_add(5 * DAY));
    }
    let sealed: Vec<_> = reports.into_iter().flat_map(|report| report.manifests).collect();
    let manifests = platform.manifests(&merchant, None, 10).unwrap();
    assert_eq!((&manifests, manifests.len()), (&sealed, 1));
    let manifest = manifests[0].verify(platform.public_key()).unwrap();
    let cohort = manifest.scope.cohort();
    assert!(platform.manifests(&merchant, Some(cohort), 10).unwrap().is_empty());

    // One of them writes; the review appears at its boundary and goes on one of the next three Mondays.
    let (author, token, rng) = (&customers[0].wallet, &held[0], &mut SystemRng::new());
    let review = Review::new(1, "broken", vec![]).unwrap();
    let trust = trust(&platform);
    let evidence = ManifestEvidence::Signed(manifests[0].clone());
    let now = clock.now().saturating_add(60);
    let scheduled = author.present(token, &review, &evidence, &trust, now, rng).unwrap();
    let scope = scheduled.presentation.scope().clone();
    let receipt = platform.submit(scheduled.presentation.clone(), review.clone()).wait().unwrap();
    let stands = scheduled.check_receipt(&receipt, &trust, now).unwrap();
    // The anonymous door leads to the same desk.
    let question = DoorQuestion::submission(scheduled.presentation, &review);
    let answer = platform.door(&DoorMessage::new(question).unwrap().to_bytes());
    assert_eq!((answer.status(), answer.body()), (200, &*receipt.to_bytes()));
    let reports = pass(&platform, &clock, manifest.publications.first());
    assert_eq!(reports.last().unwrap().batches[0].reviews.len(), 1);
    assert_eq!(platform.histogram(&merchant).unwrap().counts, [1, 0, 0, 0, 0]);
    let withdrawal = author.act(token, &stands, AuthorRequest::Withdraw, clock.now(), rng).unwrap();
    let acted = platform.act(&scope, &withdrawal.action, &[]).unwrap();
    withdrawal.check_receipt(&acted, &trust, clock.now()).unwrap();
    assert_eq!((acted.review_id(), acted.sequence()), (&receipt.terms().review_id, 1));
    let _ = pass(&platform, &clock, acted.boundary());
    assert_eq!(platform.histogram(&merchant).unwrap().counts, [0; 5]);
}

#[test]
fn new_keys_are_those_of_both_services() {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let platform = open(&environment(&clock));
    let (rng, merchant) = (&mut SystemRng::new(), name("lamps.example"));
    let before = platform.issuer().keys();
    let after = before.with(IssuerKey::generate(rng), before.newest().escrow_key).unwrap();
    platform.set_keys(after.clone()).unwrap();
    let newest = *after.newest().issuer_key.public();
    let [(customer, token), _] = sealed_cohort(&platform, &clock, &merchant);
    // The desk verifies what the issuer granted under the new key.
    let review = Review::new(5, "bright", vec![]).unwrap();
    let presentation = customer.wallet.presentation(&token, &review, rng).unwrap();
    assert_eq!(presentation.scope().key_id(), newest.id());
    platform.submit(presentation, review).wait().unwrap();
}

#[test]
fn what_a_platform_was_opened_without_says_so_and_whose_matter_it_is() {
    let clock = Arc::new(ManualClock::new(MONDAY));
    let platform = open(&environment(&clock));
    let merchant = name("lamps.example");
    let [(customer, token), _] = sealed_cohort(&platform, &clock, &merchant);
    let review = Review::new(5, "bright", vec![]).unwrap();
    let presentation = customer.wallet.presentation(&token, &review, &mut SystemRng::new()).unwrap();
    let no_number = platform.close_order(&customer.order(&platform, &merchant)).unwrap_err();
    let receipt = platform.submit(presentation.clone(), review).wait().unwrap();
    let no_ledger = platform.evidence(presentation.scope(), &receipt.terms().review_id).unwrap_err();
    for (error, code) in [(no_number, "platform.no_telephony"), (no_ledger, "platform.no_ledgers")] {
        assert_eq!((error.code(), error.audience(), error.is_retryable()), (code, Audience::Host, false));
        assert!(error.to_string().contains("open it with"), "{error}");
    }
}

/// Nobody closed the order: 30 days after it was due the tick has telephony end its numbers, and then it is
/// eligible like any other.
#[test]
fn a_tick_ends_the_numbers_of_an_order_that_nobody_closed() {
    let (clock, _directory, platform, merchant) = with_telephony();
    let customer = Customer::enrolled(&platform, "ann", "+8613911112222");
    let handle = customer.delivered(&platform, &merchant);
    let order = customer.order(&platform, &merchant);
    let offer = || platform.offer(customer.account.clone(), merchant.clone(), handle);
    let _ = pass(&platform, &clock, MONDAY.saturating_add(30 * DAY - 60));
    assert_eq!(offer().unwrap_err().code(), "issuer.not_eligible");
    let parties =
        Parties { hub: PhoneNumber::new("+8613800138000").unwrap(), customer: customer.phone.clone() };
    let binding = Binding::merchant(order.clone(), parties, clock.now().saturating_add(LIFE / 2));
    platform.bind(binding.clone()).unwrap().wait().unwrap();
    // Two ticks: the second finds nothing that is overdue.
    clock.set(MONDAY.saturating_add(30 * DAY));
    for _ in 0..2 {
        let report = platform.tick().unwrap();
        assert!(report.numbers_overdue.is_empty() && report.failed.is_empty());
    }
    assert!(platform.bind(binding).unwrap().wait().is_err(), "frozen");
    let eligible = platform.close_order(&order).unwrap();
    assert!(eligible > clock.now());
    assert_eq!(offer().unwrap_err().code(), "issuer.not_eligible");
    let _ = pass(&platform, &clock, eligible);
    assert!(offer().is_ok());
}
