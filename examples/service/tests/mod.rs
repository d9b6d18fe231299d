//! The service over HTTP on loopback, by a clock that stands where it is set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

#[cfg(unix)]
mod backup;
mod court;
mod door;
mod ending;
mod gateway;
mod http;
#[cfg(all(feature = "postgres", unix))]
mod instances;
mod ledgers;
pub(crate) mod openapi;
mod openings;
mod operators;
mod path;
#[cfg(all(feature = "postgres", unix))]
mod postgres;
#[cfg(unix)]
mod process;
mod refusals;
#[cfg(unix)]
mod secrets;
mod witness;

use crate::client::Connection;
use crate::device::{Device, Order, Pins, manifests, report, without_numbers};
use crate::endpoint::Side;
use crate::secrets::{Secrets, TrusteesFrom};
use crate::serve::serve;
use crate::service::{Service, Settings, Stores};
use crate::witnesses::WitnessAt;
use hyper::body::Bytes;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use std::{env, fs};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use unjoin::issuer::PastOrders;
use unjoin::secret::SystemRng;
use unjoin::store::StoreError;
use unjoin::store::{Bucket, Row, Store};
use unjoin::token::{Review, SignedManifest};
use unjoin::{DAY, Environment, ManualClock, Name, QueueConfig, Timestamp};
use unjoin_test_util::{Call, Faulty};
use unjoin_wallet::Token;

/// 2018-01-01, a Monday.
pub(super) const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);

/// Old enough for a cohort that was opened on that Monday to close.
pub(super) const FORTNIGHT_LATER: Timestamp = MONDAY.saturating_add(15 * DAY);

/// Whom requests at the door name.
pub(super) const HOST: &str = "door.example";

pub(super) const MERCHANT: &str = "lamps.example";

/// All that the tests of this process have logged.
static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(|| Log)
        .init();
    Mutex::default()
});

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Of this test alone, removed at the end.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("unjoin-service-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a service under test is bounded, and who witnesses its ledgers.
pub(super) struct Bounds {
    pub(super) queue: QueueConfig,
    pub(super) in_flight: usize,
    pub(super) connections: usize,
    pub(super) patience: Duration,
    pub(super) witnesses: Vec<WitnessAt>,
}

impl Default for Bounds {
    fn default() -> Self {
        let patience = Duration::from_secs(60);
        let (queue, witnesses) = (QueueConfig::default(), Vec::new());
        Self { queue, in_flight: 1024, connections: 1000, patience, witnesses }
    }
}

/// A service that serves, and what the other side knows of it.
pub(super) struct World<S: Store> {
    pub(super) service: Arc<Service<Arc<S>>>,
    pub(super) stores: [Arc<S>; 4],
    pub(super) clock: Arc<ManualClock>,
    pub(super) public: SocketAddr,
    pub(super) internal: SocketAddr,
    pub(super) pins: Pins,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    directory: Arc<Directory>,
}

impl<S: Store> World<S> {
    pub(super) async fn start(store: impl Fn() -> S, bounds: Bounds) -> Self {
        let clock = Arc::new(ManualClock::doubtful(MONDAY));
        Self::open(Arc::new(Directory::new()), clock, [store(), store(), store(), store()], bounds).await
    }

    /// A service with the secrets of this directory, or a demonstration's if it has none.
    pub(super) async fn open(
        directory: Arc<Directory>,
        clock: Arc<ManualClock>,
        stores: [S; 4],
        bounds: Bounds,
    ) -> Self {
        LazyLock::force(&LOG);
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let stores = stores.map(Arc::new);
        let [orders, reviews, phones, ledgers] = stores.clone();
        let name = Name::new("shop.example").unwrap();
        let kept = directory.0.join("secrets");
        let is_made = kept.join("keys").exists();
        let trustees = if is_made { TrusteesFrom::Kept } else { TrusteesFrom::Demonstration };
        let secrets = Secrets::create_or_open(&kept, &name, &trustees).unwrap();
        let settings = Settings {
            witnesses: bounds.witnesses,
            queue: bounds.queue,
            in_flight: bounds.in_flight,
            connections: bounds.connections,
            patience: bounds.patience,
            ..Settings::by_hand(&kept, name, HOST, &clock)
        };
        let roster = &secrets.platform.stores;
        let open = || Stores {
            orders: orders.clone(),
            reviews: reviews.clone(),
            phones: phones.clone(),
            ledgers: ledgers.clone(),
        };
        let stores_of = match open().open(roster) {
            Err(StoreError::Nobodys(_)) => open().create(roster),
            opened => opened,
        };
        let service = Service::open(stores_of.unwrap(), secrets, settings, environment).unwrap();
        let service = Arc::new(service);
        // It was busy before: two customers are a crowd on the third day, and more sooner.
        let past = PastOrders { merchant: Name::new(MERCHANT).unwrap(), class: 0, counts: vec![6_000] };
        let _ = service.platform.issuer().introduce(&[past]);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let mut addresses = Vec::new();
        for side in [Side::Devices, Side::Internal] {
            let listener = TcpListener::bind("[::1]:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tasks.push(tokio::spawn(serve(listener, Arc::clone(&service), side, stopped.clone())));
        }
        let pins = Pins::read(&kept.join("public-keys.json"), 2).unwrap();
        let (public, internal) = (addresses[0], addresses[1]);
        Self { service, stores, clock, public, internal, pins, stop, tasks, directory }
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::to(self.public)
    }

    pub(super) fn connect_internal(&self) -> Connection {
        Connection::to(self.internal)
    }

    /// A customer with an order of this merchant's that is due: its handle.
    pub(super) async fn order(&self, account: &str, merchant: &str) -> (Device, String) {
        let device = Device::new(account.to_owned());
        device.enrol(&mut self.connect(), &self.pins).await.unwrap();
        let id = format!("order-of-{account}");
        let order = Order { id: &id, merchant, class: 0, due_at: MONDAY.as_unix_seconds() };
        let handle = report(&mut self.connect_internal(), account, &order).await.unwrap();
        (device, handle)
    }

    /// The token of an order that is eligible.
    pub(super) async fn token(&self, device: &Device, merchant: &str, handle: &str) -> Token {
        device.token(&mut self.connect(), &self.pins, merchant, handle).await.unwrap()
    }

    /// A customer with a token for an order of this merchant's, which had no numbers.
    pub(super) async fn buy(&self, account: &str, merchant: &str) -> (Device, Token) {
        let (device, handle) = self.order(account, merchant).await;
        without_numbers(&mut self.connect_internal(), merchant, &handle, MONDAY).await.unwrap();
        let token = self.token(&device, merchant, &handle).await;
        (device, token)
    }

    /// Customers, two at least, with tokens of one cohort, which is sealed.
    pub(super) async fn closed<const N: usize>(&self, accounts: [&str; N]) -> [(Device, Token); N] {
        let mut customers = Vec::new();
        for account in accounts {
            customers.push(self.buy(account, MERCHANT).await);
        }
        self.close().await;
        customers.try_into().ok().unwrap()
    }

    /// A fortnight later the cohort is sealed, or a day before if it is larger: its manifest, as devices find it.
    pub(super) async fn close(&self) -> SignedManifest {
        let mut sealed = 0;
        for before in [2, 1, 0] {
            if sealed == 0 {
                self.go_to(FORTNIGHT_LATER.saturating_sub(before * DAY));
                sealed = self.service.tick().unwrap().manifests.len();
            }
        }
        assert_eq!(sealed, 1);
        let found = manifests(&mut self.connect(), MERCHANT).await.unwrap();
        let [manifest] = found.try_into().unwrap();
        manifest
    }

    pub(super) fn go_to(&self, time: Timestamp) {
        self.clock.set(time);
        self.service.confirm_clock().unwrap();
    }

    /// The bytes of a secret in the service's directory.
    pub(super) fn secret(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.0.join("secrets/keys").join(name)).unwrap()
    }

    /// Every row of all stores but their marks, which go on whenever they are opened.
    pub(super) fn rows(&self) -> Vec<Row> {
        let all = |store: &Arc<S>| {
            Bucket::all()
                .flat_map(|bucket| store.scan(bucket, &[], None, 10_000).unwrap())
                .filter(|row| row.key != b"sm")
                .collect::<Vec<_>>()
        };
        self.stores.iter().flat_map(all).collect()
    }

    pub(super) async fn metrics(&self) -> String {
        let page = self.connect_internal().get("/metrics").await.unwrap();
        assert_eq!(page.code(), None);
        String::from_utf8(page.body.to_vec()).unwrap()
    }

    pub(super) async fn end(self) {
        let _ = self.stop().await;
    }

    /// Ends it, and gives back what another may be opened on once this is dropped.
    async fn stop(self) -> Arc<Service<Arc<S>>> {
        self.stop.send(true).unwrap();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.service
    }

    /// Ends it wholly: nothing of it holds a file or a store any more.
    #[cfg(all(feature = "postgres", unix))]
    pub(super) async fn end_wholly(self) {
        let service = self.stop().await;
        // The last of its connections' tasks are on their way out.
        while Arc::strong_count(&service) > 1 {
            tokio::task::yield_now().await;
        }
    }
}

/// The message that submits a review.
pub(super) fn submission(device: &Device, token: &Token, text: &str) -> Vec<u8> {
    let review = Review::new(1, text, vec![]).unwrap();
    let presentation = device.wallet.presentation(token, &review, &mut SystemRng::new()).unwrap();
    crate::device::submission(presentation, &review)
}

/// What the door answers: a message, or the code of an error.
pub(super) async fn ask_door(
    connection: &mut Connection,
    message: impl Into<Bytes>,
) -> Result<Bytes, String> {
    connection.post("/door", None, message).await.unwrap().door().unwrap()
}

/// A store whose next read waits.
pub(super) struct Held {
    reached: Receiver<()>,
    go_on: Sender<()>,
}

impl Held {
    pub(super) fn next_read_of(store: &Faulty) -> Self {
        let ((reaches, reached), (go_on, may_go_on)) = (channel(), channel());
        store.before(Call::Read, 0, move || {
            reaches.send(()).unwrap();
            // Also when the test has given up.
            let _ = may_go_on.recv();
        });
        Self { reached, go_on }
    }

    /// Returns when the read waits.
    pub(super) fn until_it_waits(&self) {
        self.reached.recv().unwrap();
    }

    pub(super) fn let_go(self) {
        self.go_on.send(()).unwrap();
    }
}

/// What the tests of this process have logged so far.
pub(super) fn log() -> String {
    String::from_utf8(LOG.lock().unwrap().clone()).unwrap()
}
