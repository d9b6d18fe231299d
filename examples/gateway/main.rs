//! A switchboard behind HTTP and Kamailio: what stands between a telephone switch and the
//! library.
//!
//! ```text
//! cargo run --release --example gateway -- --directory DIRECTORY --create [--kamailio ADDRESS:PORT --kamailio-secret secret.cfg]
//! ```
//!
//! * `--listen`: HTTP for whatever asks in JSON (`POST /route`), FreeSWITCH's `mod_xml_curl`
//!   (`POST /freeswitch`) and Twilio (`POST /twilio/call`, `POST /twilio/message`), and
//!   `GET /health`. Whoever reaches it learns real numbers: loopback only, unless told
//!   otherwise by `--beyond-loopback`.
//! * `--kamailio`: connects to Kamailio's evapi (see `kamailio.cfg` beside this file), so that
//!   no process of Kamailio waits for an answer.
//! * `--control`: makes and ends numbers over HTTP, for demonstrations and tests. A platform
//!   calls the library where it handles orders, and has no such port.
//!
//! It ends on SIGINT and SIGTERM, after the answers that are under way. It prints no number.

mod control;
mod http;
mod kamailio;
mod link;
#[path = "../shared/pool.rs"]
mod pool;
mod service;
#[path = "../shared/words.rs"]
mod words;

use clap::{Parser, ValueEnum};
use link::LinkSecret;
use service::{Service, Settings};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use unjoin::phone::Channel;
use unjoin::phone::gateway::Audio;
use unjoin::secret::SystemRng;
use unjoin::store::identity::{Role, Roster};
use unjoin::store::{MemoryStore, OwnStore, RedbStore, Store, Stores};
use words::{At, Outcome};

/// Virtual numbers for telephone switches.
#[derive(Parser)]
struct Arguments {
    /// Where HTTP is served.
    #[arg(long, default_value = "[::1]:8787")]
    listen: SocketAddr,
    /// Serve HTTP beyond the loopback interface: with a proxy in front that knows who asks.
    #[arg(long)]
    beyond_loopback: bool,
    /// Kamailio's evapi.
    #[arg(long)]
    #[arg(long, requires = "kamailio_secret")]
    kamailio: Option<SocketAddr>,
    /// The secret of the link to Kamailio: `secret.cfg`, which Kamailio includes.
    #[arg(long)]
    kamailio_secret: Option<PathBuf>,
    /// Where the demonstration's control is served; loopback only.
    #[arg(long)]
    control: Option<SocketAddr>,
    /// What keeps the bindings.
    #[arg(long, value_enum, default_value = "redb")]
    store: StoreKind,
    /// Make the store first: once. Without it one that is missing is an error, and never a new one.
    #[arg(long)]
    create: bool,
    /// MiB of memory that redb's page cache takes at most. A million live numbers want 1,024.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    cache_mib: u32,
    /// For the slot key file, the demonstration's keys and the database.
    #[arg(long)]
    directory: PathBuf,
    /// The Sofia gateway that FreeSWITCH calls out through.
    #[arg(long, default_value = "carrier")]
    sofia_gateway: String,
    /// On which of Twilio's channels a sender whom nobody attests is taken at their number. Twilio attests no message,
    /// so without `messages` none passes; whoever can forge a sender then writes in a party's name.
    #[arg(long, value_enum, value_delimiter = ',')]
    twilio_trusts: Vec<TwilioChannel>,
    /// The language in which FreeSWITCH and Twilio tell callers that a number cannot be reached: `de`, `en`, `es`, `it`, `pt` or `zh`.
    /// Without one they are refused by a signal alone.
    #[arg(long, value_parser = audio)]
    language: Option<Audio>,
    /// The first of 40,000 virtual numbers.
    #[arg(long, default_value = "+8617000000000")]
    first_number: String,
    /// One more pool, by place or carrier: `LABEL,FIRST NUMBER,COUNT` and the labels of its fallbacks in their order, commas between
    /// them; `numbers` is the label of the first. May be given again.
    #[arg(long, value_parser = service::NamedPool::parse)]
    pool: Vec<service::NamedPool>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TwilioChannel {
    Calls,
    Messages,
}

impl From<&TwilioChannel> for Channel {
    fn from(channel: &TwilioChannel) -> Self {
        match channel {
            TwilioChannel::Calls => Self::Voice,
            TwilioChannel::Messages => Self::Sms,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum StoreKind {
    /// Forgets at the end.
    Memory,
    /// One file.
    Redb,
}

fn audio(language: &str) -> Result<Audio, &'static str> {
    Audio::of(language).ok_or("de, en, es, it, pt or zh")
}

fn main() -> ExitCode {
    words::end(begin(Arguments::parse()))
}

fn begin(arguments: Arguments) -> Outcome<()> {
    if !arguments.beyond_loopback && !arguments.listen.ip().is_loopback() {
        return Err("--listen is beyond loopback: whoever reaches it learns real numbers".into());
    }
    if arguments.control.is_some_and(|address| !address.ip().is_loopback()) {
        return Err("--control is for loopback addresses only".into());
    }
    std::fs::create_dir_all(&arguments.directory).at(&arguments.directory)?;
    match arguments.store {
        StoreKind::Memory => {
            let roster = Roster::alone(Role::Telephony, &mut SystemRng::new());
            let stores = [(Role::Telephony, Arc::new(MemoryStore::new()))];
            let stores = Stores::create(&roster, stores, &mut SystemRng::new())?;
            run(arguments, stores.own(Role::Telephony)?)
        }
        StoreKind::Redb => {
            let roster = roster(&arguments)?;
            let path = arguments.directory.join("phones.redb");
            let cache = (arguments.cache_mib as usize) << 20;
            let stores = if arguments.create {
                let store =
                    [(Role::Telephony, Arc::new(RedbStore::create_with_cache(&path, cache).at(&path)?))];
                Stores::create(&roster, store, &mut SystemRng::new())
            } else {
                let store =
                    [(Role::Telephony, Arc::new(RedbStore::open_with_cache(&path, cache).at(&path)?))];
                Stores::open(&roster, store, &mut SystemRng::new())
            };
            run(arguments, stores.at(&path)?.own(Role::Telephony)?)
        }
    }
}

/// Which store is this gateway's, drawn before it is made. A platform keeps it with its secrets.
fn roster(arguments: &Arguments) -> Outcome<Roster> {
    let path = arguments.directory.join("stores");
    if arguments.create && !path.exists() {
        std::fs::write(&path, Roster::alone(Role::Telephony, &mut SystemRng::new()).to_bytes()).at(&path)?;
    }
    let bytes = std::fs::read(&path).at(&path)?;
    Roster::from_bytes(&bytes).ok_or("it says which store is the gateway's, and is damaged").at(&path)
}

fn run<S: Store>(arguments: Arguments, store: Arc<OwnStore<S>>) -> Outcome<()> {
    let service = Arc::new(Service::open(
        store,
        Settings {
            directory: &arguments.directory,
            sofia_gateway: &arguments.sofia_gateway,
            first_number: &arguments.first_number,
            more_pools: &arguments.pool,
            trusted_twilio: arguments.twilio_trusts.iter().map(Channel::from).collect(),
            audio: arguments.language,
        },
    )?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(service::DECISIONS_AT_ONCE)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(&arguments, &service));
    // What is under way gets its answer; what still hangs is left.
    runtime.shutdown_timeout(Duration::from_secs(3));
    println!("ended: {}", service.summary());
    outcome
}

async fn serve<S: Store>(arguments: &Arguments, service: &Arc<Service<S>>) -> Outcome<()> {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = vec![tokio::spawn(service::housekeeping(Arc::clone(service), stopped.clone()))];

    let listener = TcpListener::bind(arguments.listen).await.at(arguments.listen.to_string())?;
    println!("http on {}", listener.local_addr()?);
    tasks.push(tokio::spawn(http::serve(listener, http::routes(Arc::clone(service)), stopped.clone())));
    if let Some(address) = arguments.control {
        let listener = TcpListener::bind(address).await.at(address.to_string())?;
        println!("demonstration control on {}", listener.local_addr()?);
        tasks.push(tokio::spawn(http::serve(
            listener,
            control::routes(Arc::clone(service)),
            stopped.clone(),
        )));
    }
    if let (Some(address), Some(path)) = (arguments.kamailio, &arguments.kamailio_secret) {
        let secret = LinkSecret::read(path).at(path)?;
        tasks.push(tokio::spawn(kamailio::speak(address, secret, Arc::clone(service), stopped.clone())));
    }

    end_is_asked().await?;
    println!("ending");
    let _ = stop.send(true);
    for task in tasks {
        // Each ends by itself; a panic in one is no reason to leave the others.
        let _ = tokio::time::timeout(Duration::from_secs(5), task).await;
    }
    Ok(())
}

#[cfg(unix)]
async fn end_is_asked() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminated = std::pin::pin!(terminate.recv());
    let mut interrupted = std::pin::pin!(interrupt.recv());
    std::future::poll_fn(|context| {
        use std::future::Future;
        let ended =
            terminated.as_mut().poll(context).is_ready() || interrupted.as_mut().poll(context).is_ready();
        if ended { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    Ok(())
}

#[cfg(not(unix))]
async fn end_is_asked() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
