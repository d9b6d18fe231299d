//! A page that people can click: `service --demo`. One shop with its customers, a witness, three trustees and an officer
//! around the same service, on loopback, with a clock that stands until it is moved. Nothing is kept.
//!
//! ```text
//! page      files, the demonstration's views, and the service's endpoints under the phones' sessions
//! relay     examples/relay, which forwards to the gateway: on another domain, at another company
//! gateway   the service's own listener for devices
//! internal  the service's own listener for the platform
//! ```

pub(crate) mod court;
mod customer;
mod gang;
mod officer;
mod shop;
mod web;
pub(crate) mod witness;

use crate::bind;
use crate::ceremony::hold;
use crate::device::Pins;
use crate::endpoint::Side;
use crate::program::end_is_asked;
use crate::relay::{self, Relay};
use crate::serve::{routes, serve};
use crate::service::{BLOCKING_THREADS, Service, Settings, Stores};
use axum::Router;
use court::{Court, first_start};
use hyper_util::service::TowerToHyperService;
use officer::Officer;
use serde_json::Value;
use shop::Shop;
use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use unjoin::ledger::WitnessPublicKey;
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::{DAY, Environment, ManualClock, Name, Timestamp};
use web::Addresses;
use witness::Elsewhere;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The fewest customers whose reviews appear together.
const K: u32 = 3;
/// From the end of an order's numbers until its token can be asked for.
const HOLD: u64 = 2 * DAY;
/// Whom requests at the door name.
const HOST: &str = "door.shop.example";
/// When it begins: Monday, 5 January 2026, 10:00.
const BEGINNING: Timestamp = Timestamp::from_unix_seconds(1_767_607_200);
/// Questions a minute that the relay takes from the one network there is.
const PER_MINUTE: u32 = 6_000;

/// All of it, for the page.
struct Demo {
    addresses: Addresses,
    service: Arc<Service<Arc<MemoryStore>>>,
    /// The service's routes for devices, behind the page's sessions.
    devices: TowerToHyperService<Router>,
    /// Orders, reviews, telephony, ledgers.
    stores: [Arc<MemoryStore>; 4],
    /// What an app ships of the platform's keys.
    pins: Value,
    witness: WitnessPublicKey,
    /// Where the device for browsers was built.
    package: PathBuf,
    shop: Mutex<Shop>,
    officer: Mutex<Officer>,
}

/// Serves the page at `listen` until it is told to end.
pub(crate) fn run(listen: SocketAddr) -> Outcome<()> {
    if !listen.ip().is_loopback() {
        return Err("a demonstration is served on loopback alone: its keys are nobody's secrets".into());
    }
    let directory = Directory::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve_until_told(listen, &directory.0));
    runtime.shutdown_timeout(Duration::from_secs(5));
    println!("ended");
    outcome
}

/// For keys that are files, gone at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("unjoin-demo-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// UNJOIN_WEB, or where `bindings/web/build` puts the package.
fn package() -> PathBuf {
    let built = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target =
            target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("bindings/web/target"));
        target.join("unjoin-web")
    };
    std::env::var_os("UNJOIN_WEB").map_or_else(built, PathBuf::from)
}

async fn serve_until_told(listen: SocketAddr, directory: &Path) -> Outcome<()> {
    let end = end_is_asked()?;
    let (stop, stopped) = watch::channel(false);
    let clock = Arc::new(ManualClock::new(BEGINNING));
    let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
    let (kept, name) = (directory.join("secrets"), Name::new("shop.example")?);
    let trustees = hold(2, 3)?;
    let secrets = first_start(&trustees, &directory.join("ceremony"), &kept, &name)?;
    let witness = Elsewhere::serve(&kept, environment.clone()).await?;

    let stores = [(); 4].map(|()| Arc::new(MemoryStore::new()));
    let settings = Settings {
        k: K,
        hold: HOLD,
        order_days: 300,
        witnesses: vec![witness.at.parse()?],
        ..Settings::by_hand(&kept, name, HOST, &clock)
    };
    let [orders, reviews, phones, ledgers] = stores.clone();
    let opened = Stores { orders, reviews, phones, ledgers }.create(&secrets.platform.stores)?;
    let service = Arc::new(Service::open(opened, secrets, settings, environment.clone())?);

    let page = bind("--listen", listen).await?;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    }
    let [gateway, internal, relay] = <[_; 3]>::try_from(others).map_err(|_| "three listeners")?;
    let addresses =
        Addresses { page: page.local_addr()?, gateway: gateway.local_addr()?, relay: relay.local_addr()? };
    let within = internal.local_addr()?;
    let relay_of = relay::Settings {
        gateways: vec![format!("/shop=http://{}/gateway", addresses.gateway).parse()?],
        per_minute: PER_MINUTE,
        in_flight: 256,
        connections: 256,
        pooled: 8,
        address_header: None,
        patience: Duration::from_secs(15),
    };
    let mut tasks = vec![
        tokio::spawn(serve(gateway, Arc::clone(&service), Side::Devices, stopped.clone())),
        tokio::spawn(serve(internal, Arc::clone(&service), Side::Internal, stopped.clone())),
        tokio::spawn(relay::serve(relay, Relay::new(relay_of)?, stopped.clone())),
    ];

    let public = kept.join("public-keys.json");
    let pins: Value = serde_json::from_slice(&fs::read(&public)?)?;
    let court = Court::open(trustees, &pins, &witness.key(), &environment)?;
    let shop = Shop::open(clock, addresses.gateway, within, &Pins::read(&public, K)?).await?;
    let demo = Arc::new(Demo {
        addresses,
        devices: TowerToHyperService::new(routes(&service, Side::Devices)),
        stores,
        pins,
        witness: witness.key(),
        package: package(),
        shop: Mutex::new(shop),
        officer: Mutex::new(Officer::open(court, &service)?),
        service,
    });
    println!("relay on http://{}: of another company, on another domain", addresses.relay);
    println!("gateway on http://{}: of the platform", addresses.gateway);
    println!("page on http://{}/", addresses.page);
    let mut told = stopped.clone();
    let until = async move {
        let _ = told.wait_for(|stopped| *stopped).await;
    };
    tasks.push(tokio::spawn(async move {
        let _ = axum::serve(page, web::routes(demo)).with_graceful_shutdown(until).await;
    }));
    end.await;
    let _ = stop.send(true);
    for task in tasks {
        // Each ends by itself; a page that keeps its connection is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(2), task).await;
    }
    Ok(())
}
