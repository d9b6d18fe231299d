//! The order service, the review service and telephony of a platform as HTTP endpoints.
//!
//! ```text
//! cargo run --release --example service -- --directory DIRECTORY --store redb:DIRECTORY --demo-trustees
//! cargo run --release --example service --features postgres -- --directory DIRECTORY \
//!     --store "postgres:host=/run/postgresql dbname=unjoin" --trustees CEREMONY
//! ```
//!
//! `service --demo` needs nothing else: it serves a page in which all of this can be clicked.
//!
//! Three commands come behind the options: `backup DIR` copies all stores of a service that runs, `check` holds stores,
//! ledgers and keys of one that does not against one another, and `recover --grounds TEXT` goes on from older copies.
//!
//! * `--listen`: what devices and readers ask. In front of it stands what ends TLS, authenticates
//!   sessions (and says whose they are in the header `unjoin-account`, which it takes from nobody),
//!   limits rates, and keeps no address of whoever posts a review.
//! * `--internal`: what the platform's own services, switches and operators ask: due orders, numbers,
//!   routes, `/health/live`, `/health/ready`, `/metrics`. Loopback only, unless told otherwise.
//!
//! It ends on SIGINT and SIGTERM: it is not ready any more, accepts nothing new, answers what is under
//! way, finishes what its queues hold, and goes. The manual's operating guide tells how to run it;
//! `examples/load` drives it.

mod answer;
mod arrival;
mod backup;
#[path = "../shared/ceremony.rs"]
mod ceremony;
mod check;
// The other side, for the demonstration and the tests.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "the demonstration hands the door's answers to devices unopened")
)]
#[path = "../load/client.rs"]
mod client;
mod connection;
mod demo;
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "the demonstration's customers have a device that says when")
)]
#[path = "../load/device.rs"]
mod device;
mod door;
mod endpoint;
mod fields;
mod gateway;
mod guard;
mod hex;
mod ledgers;
// The relay in front, for the demonstration and the tests.
#[path = "../relay/limits.rs"]
mod limits;
mod metrics;
mod nonces;
mod operations;
mod orders;
#[path = "../shared/pool.rs"]
mod pool;
mod problem;
#[path = "../shared/program.rs"]
mod program;
mod recover;
#[path = "../relay/relay.rs"]
mod relay;
mod reviews;
mod secrets;
mod serve;
mod service;
#[cfg(unix)]
mod slot_keys;
mod support;
mod telephony;
#[cfg(test)]
mod tests;
#[path = "../relay/upstream.rs"]
mod upstream;
#[path = "../shared/url.rs"]
mod url;
mod witnesses;
#[allow(clippy::duplicate_mod, dead_code, reason = "for the device of the load example")]
#[path = "../shared/words.rs"]
mod words;

use clap::{Parser, Subcommand};
use endpoint::Side;
use recover::{Recover, Shop};
use secrets::{Secrets, TrusteesFrom};
use service::{Advance, Service, Settings, Stores, housekeeping};
use std::error::Error;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use unjoin::secret::SystemRng;
use unjoin::store::{RedbStore, Store, StoreError};
use unjoin::{Clock, DAY, Environment, Name, QueueConfig, SystemClock, Timestamp};
use witnesses::WitnessAt;

/// At the end: so long new requests are answered that this instance ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// MiB of a store's page cache, unless it is said.
const CACHE_MIB: u32 = 128;

/// The order service, the review service and telephony over HTTP.
#[derive(Parser)]
struct Arguments {
    /// A page at --listen, on loopback, with a shop, its customers' phones, a gang and an officer, by a clock that is
    /// moved by hand. Needs nothing and keeps nothing.
    #[arg(long, conflicts_with_all = ["store", "directory", "internal", "witnesses"])]
    demo: bool,
    /// Without one it serves.
    #[command(subcommand)]
    command: Option<Command>,
    /// Where devices and readers are served.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    listen: SocketAddr,
    /// Where the platform's own services, switches and operators are served.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)))]
    internal: SocketAddr,
    /// Serve --internal beyond the loopback interface: whoever reaches it learns real numbers.
    #[arg(long)]
    beyond_loopback: bool,
    /// redb:DIRECTORY, or postgres:CONNECTION STRING. What is on a command line is seen by everybody
    /// on the machine: a string with a password goes into the variable UNJOIN_STORE.
    #[arg(long)]
    store: Option<String>,
    /// MiB of memory that redb's page cache of the numbers (phones.redb) takes at most. A million live numbers want 1,024; the
    /// other stores want no more than their 128.
    #[arg(long, default_value_t = CACHE_MIB, value_parser = clap::value_parser!(u32).range(1..))]
    cache_mib: u32,
    /// For the DEMONSTRATION'S SECRETS, made at the first start, and the public keys that wallets pin.
    /// A real platform keeps issuing and signing keys in its key management, and the key of the slot
    /// keys apart from them: never beside a database.
    #[arg(long, required_unless_present = "demo")]
    directory: Option<PathBuf>,
    /// First start: the directory of the trustees' ceremony (certificate.bin, key-1.hex and on), as
    /// examples/trustee makes it.
    #[arg(long, conflicts_with = "demo_trustees")]
    trustees: Option<PathBuf>,
    /// First start: five trustees in this process, whose shares are thrown away. Nobody will ever open
    /// a review.
    #[arg(long)]
    demo_trustees: bool,
    /// After a first start that was interrupted: makes the stores that are not there yet. A store that
    /// holds rows is refused.
    #[arg(long)]
    create: bool,
    /// Another process on this machine serves from the same --directory and PostgreSQL: its slot keys
    /// are asked for, since one process has them.
    #[arg(long)]
    beside: bool,
    /// The platform's name, which wallets derive their keys from: it never changes.
    #[arg(long, default_value = "shop.example")]
    name: String,
    /// The name in requests at the door, which apps ship beside its keys. The platform's, unless it is said.
    #[arg(long)]
    door_host: Option<String>,
    /// Bundles of manifests are cut by so many bits of a hash: as many as leave 1,000 merchants in each, and none
    /// below 2,000 merchants. Keys of the door that are made from now on say so.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=16))]
    shard_bits: u8,
    /// The fewest customers whose reviews appear together.
    #[arg(long, default_value_t = 10)]
    k: u32,
    /// Hours from the end of an order's numbers until its token can be asked for: they hide how long after
    /// its order a review was written.
    #[arg(long, default_value_t = 48)]
    hold_hours: u64,
    /// The customers of a cohort times its days at which it is large enough: 100 or more, and 100 is enough
    /// where every shop has ten orders a day or more.
    #[arg(long, default_value_t = 300)]
    order_days: u32,
    /// A witness of both ledgers, URL=KEY, as examples/witness serves it; may be given more than once.
    /// Checkpoints are published once most have cosigned them. Without any nothing keeps the platform
    /// from showing two histories, and no trustee can answer.
    #[arg(long = "witness", value_name = "URL=KEY")]
    witnesses: Vec<WitnessAt>,
    /// So many requests may wait in each service's queue; more are told to come later.
    #[arg(long, default_value_t = 4096)]
    queue: usize,
    /// So many requests may be under way.
    #[arg(long, default_value_t = 8192)]
    in_flight: usize,
    /// So many connections each listener keeps.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// The most seconds that a request may take to come, to be decided, and its answer to be taken: each.
    #[arg(long, default_value_t = 10)]
    patience: u64,
    /// Seconds between the ticks.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    tick: u64,
    /// At the end: seconds for which it serves on while it says that it is not ready, and closes each
    /// connection after its next answer, until a balancer has noticed.
    #[arg(long, default_value_t = 5)]
    drain: u64,
    /// FOR DEMONSTRATIONS: the clock is so many days behind. What a start two days behind has granted
    /// is sealed by the next start, and its reviews can be sent at once.
    #[arg(long, default_value_t = 0)]
    days_behind: u64,
    /// FOR DEMONSTRATIONS: POST /clock/advance moves the clock on, so that a review appears while one
    /// watches. The manual's operating guide has the walk.
    #[arg(long)]
    demo_clock: bool,
    /// After an outage of more than ten minutes: the machine's clock is right. Look at another
    /// first: what has ended by it is erased.
    #[arg(long)]
    confirm_clock: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Copies all stores of the service at --internal into a new directory on its machine, while it serves.
    Backup { directory: PathBuf },
    /// Holds stores, ledgers and keys against one another while nothing serves them. Mends nothing.
    Check,
    /// Goes on from older copies that lie where the stores are looked for.
    Recover(Recover),
}

fn main() -> ExitCode {
    program::run("service", || start(Arguments::parse()))
}

/// Does what is asked for; of the stores that `--store` names this is the one place that knows the engines.
fn start(arguments: Arguments) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(kept) = arguments.directory.as_deref() else { return demo::run(arguments.listen) };
    if let Some(Command::Backup { directory }) = &arguments.command {
        return backup::ask(arguments.internal, directory);
    }
    if !arguments.beyond_loopback && !arguments.internal.ip().is_loopback() {
        return Err("--internal is beyond loopback: whoever reaches it learns real numbers".into());
    }
    let store = match &arguments.store {
        Some(store) => store.clone(),
        None => std::env::var("UNJOIN_STORE").map_err(|_| "say --store, or set UNJOIN_STORE")?,
    };
    let name = Name::new(&arguments.name)?;
    let recovers = match &arguments.command {
        Some(Command::Recover(how)) => Some(how),
        Some(Command::Check) => {
            let Some(("redb", stores)) = store.split_once(':') else {
                return Err("check reads files: make a backup, which is files, and check that".into());
            };
            return check::check(Path::new(stores), arguments.shop(kept, name));
        }
        _ => None,
    };
    let keys = kept.join("keys");
    if recovers.is_some() && !keys.exists() {
        return Err(format!(
            "{}: the keys are not there, and without them the stores are of no use: put them back",
            keys.display()
        )
        .into());
    }
    let trustees = match &arguments.trustees {
        Some(directory) => TrusteesFrom::Files(directory.clone()),
        None if arguments.demo_trustees => TrusteesFrom::Demonstration,
        None => TrusteesFrom::Kept,
    };
    // Of several that start at the same time one makes the stores, and the others find them.
    secrets::make_directory(kept)?;
    let alone = secrets::lock(&kept.join("start"))?;
    // A platform whose secrets are there has its stores: one that is not found is lost, and not new.
    let creates = arguments.create || !keys.exists();
    let secrets = Secrets::create_or_open(kept, &name, &trustees)?;
    let is_made = |name: &str| creates || recover::is_new(recovers, name);
    match store.split_once(':') {
        Some(("redb", directory)) => {
            let directory = PathBuf::from(directory);
            secrets::make_directory(&directory)?;
            let open = |name: &str| {
                let path = directory.join(format!("{name}.redb"));
                let mib = if name == "phones" { arguments.cache_mib } else { CACHE_MIB };
                let cache = (mib as usize) << 20;
                let opened = if is_made(name) {
                    RedbStore::create_with_cache(&path, cache)
                } else {
                    RedbStore::open_with_cache(&path, cache)
                };
                opened.map_err(|error| format!("{}: {error}", path.display()))
            };
            run(&arguments, kept, name, secrets, creates, Stores::each(open)?, alone)
        }
        #[cfg(feature = "postgres")]
        Some(("postgres", connection)) => {
            use unjoin::store::postgres::{PostgresConfig, PostgresStore};
            // A schema each; issuer and desk best have two databases and two roles.
            let open = |name: &str| {
                let mut config = PostgresConfig::new(connection);
                config.schema = format!("unjoin_{name}");
                let opened =
                    if is_made(name) { PostgresStore::create(config) } else { PostgresStore::open(config) };
                opened.map_err(|error| format!("schema unjoin_{name}: {error}"))
            };
            run(&arguments, kept, name, secrets, creates, Stores::each(open)?, alone)
        }
        #[cfg(not(feature = "postgres"))]
        Some(("postgres", _)) => {
            Err("this program was built without PostgreSQL: build it with --features postgres".into())
        }
        _ => Err("--store is redb:DIRECTORY or postgres:CONNECTION STRING".into()),
    }
}

impl Arguments {
    fn clock(&self) -> Arc<Moved> {
        Arc::new(Moved { behind: self.days_behind.saturating_mul(DAY), ahead: AtomicU64::new(0) })
    }

    /// For what is done while nothing is served.
    fn shop<'a>(&'a self, directory: &'a Path, name: Name) -> Shop<'a> {
        Shop {
            directory,
            name,
            k: self.k,
            witnesses: &self.witnesses,
            confirm_clock: self.confirm_clock,
            environment: environment(self.clock()),
        }
    }
}

fn environment(clock: Arc<Moved>) -> Environment {
    Environment::new(clock, || Box::new(SystemRng::new()))
}

fn run<S: Store>(
    arguments: &Arguments,
    directory: &Path,
    name: Name,
    secrets: Secrets,
    creates: bool,
    stores: Stores<S>,
    alone: File,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    if let Some(Command::Recover(how)) = &arguments.command {
        return recover::recover(stores, secrets, how, arguments.shop(directory, name));
    }
    let clock = arguments.clock();
    let moved = Arc::clone(&clock);
    let advance = move |seconds| {
        moved.ahead.fetch_add(seconds, Ordering::SeqCst);
    };
    let settings = Settings {
        directory,
        beside: arguments.beside,
        door_host: arguments.door_host.clone().unwrap_or_else(|| arguments.name.clone()),
        shard_bits: arguments.shard_bits,
        name,
        k: arguments.k,
        hold: arguments.hold_hours.saturating_mul(3_600),
        order_days: arguments.order_days,
        witnesses: arguments.witnesses.clone(),
        queue: QueueConfig { capacity: arguments.queue, ..QueueConfig::default() },
        in_flight: arguments.in_flight,
        connections: arguments.connections,
        patience: Duration::from_secs(arguments.patience),
        advance: arguments.demo_clock.then(|| Box::new(advance) as Advance),
    };
    let environment = environment(clock);
    let roster = &secrets.platform.stores;
    let stores = if creates { stores.create(roster) } else { stores.open(roster) };
    let stores = stores.map_err(|error| match error {
        StoreError::Copy(_) | StoreError::Older(_) | StoreError::Foreign(_) => {
            format!("{error}. {}", recover::WAY_BACK)
        }
        error => error.to_string(),
    })?;
    drop(alone);
    let service = Arc::new(Service::open(stores, secrets, settings, environment)?);
    if arguments.confirm_clock {
        service.confirm_clock()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(service::BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve_until_told(arguments, &service));
    // Calls that nobody waits for any more, on the threads that may wait.
    runtime.shutdown_timeout(Duration::from_secs(5));
    // The services decide what their queues still hold, and join their threads.
    drop(service);
    println!("ended");
    outcome
}

/// The machine's clock, so many seconds behind, and moved on by so many.
struct Moved {
    behind: u64,
    ahead: AtomicU64,
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now().saturating_sub(self.behind);
        now.saturating_add(self.ahead.load(Ordering::SeqCst))
    }
}

async fn serve_until_told<S: Store>(
    arguments: &Arguments,
    service: &Arc<Service<S>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Before anybody can know the addresses, and send a signal to whom they belong to.
    let end = program::end_is_asked()?;
    let (stop, stopped) = watch::channel(false);
    let public = bind("--listen", arguments.listen).await?;
    let internal = bind("--internal", arguments.internal).await?;
    println!("devices on {}", public.local_addr()?);
    println!("internal on {}", internal.local_addr()?);
    let listen =
        |listener, side| tokio::spawn(serve::serve(listener, Arc::clone(service), side, stopped.clone()));
    let period = Duration::from_secs(arguments.tick);
    let tasks = [
        listen(public, Side::Devices),
        listen(internal, Side::Internal),
        tokio::spawn(housekeeping(Arc::clone(service), period, stopped.clone())),
    ];
    tracing::info!("serving");

    end.await;
    tracing::info!("ending");
    service.leaving.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(arguments.drain)).await;
    service.stopping.store(true, Ordering::SeqCst);
    // Whoever has a connection still is told so, and leaves it.
    tokio::time::sleep(FAREWELL).await;
    let _ = stop.send(true);
    for task in tasks {
        // Each ends by itself; a panic in one is no reason to leave the others.
        let _ = task.await;
    }
    Ok(())
}

async fn bind(option: &str, address: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| format!("cannot listen on {address} ({error}): give {option} another address"))
}
