//! A platform's ratings, over both engines: what all customers think, weighed by the orders of each class, beside the
//! histogram of what is published.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::sync::Arc;
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::opening::insecure_test_dealer;
use unjoin::rating::{ClassRecord, Market, Rating};
use unjoin::secret::SystemRng;
use unjoin::store::{MemoryStore, RedbStore, Store};
use unjoin::token::{EnrolmentContext, Review};
use unjoin::{
    Clock, DAY, Environment, ManualClock, Name, Platform, PlatformConfig, PlatformError, PlatformSecrets,
    Timestamp,
};
use unjoin_test_util::{Directory, dump, platform_stores};
use unjoin_wallet::{AuthorRequest, ManifestEvidence, Token, TrustRoots, Wallet};

const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
const ON_TIME: u8 = 0;
const LATE: u8 = 1;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A platform on two stores, and its clock.
struct World<S: Store> {
    stores: [Arc<S>; 2],
    secrets: PlatformSecrets,
    clock: Arc<ManualClock>,
}

/// Somebody with a token, or without one.
struct Customer {
    wallet: Wallet,
    token: Option<Token>,
}

impl<S: Store> World<S> {
    fn new(stores: [S; 2]) -> Self {
        let rng = &mut SystemRng::new();
        let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
        let secrets = PlatformSecrets::generate(*trustees.key(), rng);
        Self { stores: stores.map(Arc::new), secrets, clock: Arc::new(ManualClock::new(MONDAY)) }
    }

    /// Also after a restart.
    fn open(&self) -> Platform<S> {
        let mut config = PlatformConfig::new(name("shop.example"));
        config.issuer.classes = [ON_TIME, LATE].map(|class| ClassPolicy { class, k: 2 }).into();
        config.issuer.hold = 0;
        let environment =
            Environment::new(Arc::clone(&self.clock) as Arc<dyn Clock>, || Box::new(SystemRng::new()));
        let stores = platform_stores(&self.secrets.stores, &self.stores[0], &self.stores[1]).unwrap();
        let PlatformSecrets { keys, platform_key, issuer_master, stores: roster } = &self.secrets;
        let secrets = PlatformSecrets {
            keys: keys.clone(),
            platform_key: unjoin::token::PlatformKey::from_secret_bytes(
                &platform_key.to_secret_bytes().unwrap(),
            ),
            issuer_master: unjoin::secret::SecretBytes::new(*issuer_master.expose()),
            stores: roster.clone(),
        };
        Platform::open(stores, config, secrets, Arc::new(EveryoneOfStanding), environment).unwrap()
    }

    fn trust(&self) -> TrustRoots {
        let pair = self.secrets.keys.newest();
        TrustRoots::new(self.secrets.platform_key.public(), 2, unjoin::Grid::Daily)
            .pin(*pair.issuer_key.public(), pair.escrow_key)
            .unwrap()
    }

    /// An order that is eligible at once; its token, if it is asked for.
    fn buy(&self, platform: &Platform<S>, merchant: &str, class: u8, account: &str, asks: bool) -> Customer {
        let (rng, issuer) = (&mut SystemRng::new(), name("shop.example"));
        let (merchant, account, wallet) = (name(merchant), name(account), Wallet::generate(rng));
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[1; 32] };
        platform.enrol(account.clone(), [1; 32], wallet.enrol(context, rng).unwrap()).unwrap();
        let (order_id, due_at) = (account.as_bytes().to_vec(), MONDAY);
        let order =
            OrderReport { order_id, account: account.clone(), merchant: merchant.clone(), class, due_at };
        let handle = platform.order_due(order).unwrap();
        platform.numbers_dead(NumbersDead { merchant: merchant.clone(), handle, at: MONDAY }).unwrap();
        let token = asks.then(|| {
            let offer = platform.offer(account.clone(), merchant.clone(), handle).unwrap();
            let (pending, request) =
                wallet.request(&issuer, &merchant, handle, &offer, &self.trust(), rng).unwrap();
            let grant = platform.grant(account, request).wait().unwrap();
            wallet.finish(pending, &grant, rng).unwrap()
        });
        Customer { wallet, token }
    }

    fn go_to(&self, platform: &Platform<S>, time: Timestamp) {
        self.clock.set(time);
        let report = platform.tick().unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
    }

    /// At the next midnight.
    fn next_day(&self, platform: &Platform<S>) {
        let today = self.clock.now().as_unix_seconds() / DAY;
        self.go_to(platform, Timestamp::from_unix_seconds((today + 1) * DAY));
    }
}

fn record(class: u8, orders: u64, stars: &[u8]) -> ClassRecord {
    ClassRecord { class, orders, published: stars.iter().copied().collect() }
}

/// In thousandths, as ratings are shown.
fn rounded(Rating { stars, bad_share }: Rating) -> Vec<u64> {
    let parts = [stars, bad_share].map(|of| [of.value, of.low, of.high]);
    parts.as_flattened().iter().map(|part| (part * 1_000.0).round() as u64).collect()
}

/// What lamps, ovens and an unknown shop show, of the orders and reviews of the first two.
fn expect<S: Store>(platform: &Platform<S>, lamps: &[ClassRecord], ovens: &[ClassRecord]) {
    let market = Market::new([lamps, ovens]);
    for (merchant, records) in [("lamps", lamps), ("ovens", ovens), ("nobody", &[])] {
        let shown = rounded(platform.rating(&name(merchant)).unwrap());
        assert_eq!(shown, rounded(market.rating(records)), "{merchant}");
    }
}

fn the_rating_weighs_by_class_and_changes_at_boundaries<S: Store>(world: &World<S>) {
    let platform = world.open();
    let past = ["lamps", "ovens"].into_iter().flat_map(|merchant| {
        [ON_TIME, LATE].map(|class| PastOrders { merchant: name(merchant), class, counts: vec![6_000] })
    });
    let introduced = platform.issuer().introduce(&past.collect::<Vec<_>>());
    assert!(introduced.into_iter().all(|answer| answer.is_ok()));
    let buy = |merchant, class, account| world.buy(&platform, merchant, class, account, true);
    // The only late customer of the lamp shop is never shown.
    let authors = [
        (buy("lamps", ON_TIME, "ann"), 5),
        (buy("lamps", ON_TIME, "ben"), 5),
        (buy("ovens", ON_TIME, "dan"), 5),
        (buy("ovens", ON_TIME, "eve"), 4),
        (buy("ovens", LATE, "fay"), 1),
        (buy("ovens", LATE, "gus"), 2),
    ];
    world.buy(&platform, "lamps", LATE, "cid", true);
    let ignorance = rounded(Market::default().rating(&[]));
    let lamps = || rounded(platform.rating(&name("lamps")).unwrap());
    assert_eq!(lamps(), ignorance, "no boundary was worked off");
    let mut orders = [record(ON_TIME, 2, &[]), record(LATE, 1, &[])];
    let ovens = |on_time: &[u8], late: &[u8]| [record(ON_TIME, 2, on_time), record(LATE, 2, late)];
    for day in 0..=2 {
        world.go_to(&platform, MONDAY.saturating_add(day * DAY));
        expect(&platform, &orders, &ovens(&[], &[]));
    }

    // Another late order, at noon: nobody sees it before midnight.
    world.go_to(&platform, world.clock.now().saturating_add(DAY / 2));
    world.buy(&platform, "lamps", LATE, "hal", false);
    let _ = platform.tick().unwrap();
    expect(&platform, &orders, &ovens(&[], &[]));
    let (mut first, mut held) = (Timestamp::ZERO, None);
    for (customer, stars) in &authors {
        let token = customer.token.as_ref().unwrap();
        let manifests = platform.manifests(token.scope().merchant(), None, 10).unwrap();
        let manifest = manifests.into_iter().find(|found| found.claimed_scope() == token.scope()).unwrap();
        first = manifest.verify(platform.public_key()).unwrap().publications.first();
        let (review, evidence) =
            (Review::new(*stars, "text", vec![]).unwrap(), ManifestEvidence::Signed(manifest));
        let (now, rng, trust) = (world.clock.now(), &mut SystemRng::new(), world.trust());
        let scheduled = customer.wallet.present(token, &review, &evidence, &trust, now, rng).unwrap();
        let receipt = platform.submit(scheduled.presentation.clone(), review).wait().unwrap();
        let state = scheduled.check_receipt(&receipt, &trust, now).unwrap();
        held.get_or_insert((customer, token, state));
    }
    expect(&platform, &orders, &ovens(&[], &[]));

    // The boundary at which all of them appear.
    world.go_to(&platform, first);
    orders = [record(ON_TIME, 2, &[5, 5]), record(LATE, 2, &[])];
    expect(&platform, &orders, &ovens(&[5, 4], &[1, 2]));
    let histogram = platform.histogram(&name("lamps")).unwrap();
    assert_eq!((histogram.counts, histogram.mean()), ([0, 0, 0, 0, 2], Some(5.0)));
    let rating = platform.rating(&name("lamps")).unwrap();
    assert!(rating.stars.value < 4.0 && rating.stars.high < 5.0, "its late customers count: {rating:?}");

    // A withdrawal takes effect on a Monday, for both.
    let (customer, token, state) = held.unwrap();
    let (now, rng) = (world.clock.now(), &mut SystemRng::new());
    let withdrawal = customer.wallet.act(token, &state, AuthorRequest::Withdraw, now, rng).unwrap();
    let acted = platform.act(token.scope(), &withdrawal.action, &[]).unwrap();
    while world.clock.now() < acted.boundary() {
        expect(&platform, &orders, &ovens(&[5, 4], &[1, 2]));
        world.next_day(&platform);
    }
    orders = [record(ON_TIME, 2, &[5]), record(LATE, 2, &[])];
    expect(&platform, &orders, &ovens(&[5, 4], &[1, 2]));
    assert_eq!(platform.histogram(&name("lamps")).unwrap().counts, [0, 0, 0, 0, 1]);

    // Nothing of it goes into the reviews' store.
    world.buy(&platform, "lamps", LATE, "ida", false);
    world.clock.set(world.clock.now().saturating_add(DAY));
    for _ in 0..2 {
        let _ = platform.desk().tick().unwrap();
    }
    let reviews = dump(&*world.stores[1]);
    let _ = platform.issuer().tick().unwrap();
    let sums = platform.desk().star_sums().map(|sums| sums.map_err(PlatformError::from));
    assert!(platform.issuer().rate(sums).unwrap());
    orders[1].orders = 3;
    expect(&platform, &orders, &ovens(&[5, 4], &[1, 2]));
    assert!(dump(&*world.stores[1]) == reviews);
    drop(platform);
    expect(&world.open(), &orders, &ovens(&[5, 4], &[1, 2]));
}

#[test]
fn in_memory() {
    the_rating_weighs_by_class_and_changes_at_boundaries(&World::new([
        MemoryStore::new(),
        MemoryStore::new(),
    ]));
}

#[test]
fn on_redb() {
    let directory = Directory::new();
    let store = |name| RedbStore::create(directory.file(name)).unwrap();
    the_rating_weighs_by_class_and_changes_at_boundaries(&World::new([store("orders"), store("reviews")]));
}
