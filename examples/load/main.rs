//! Drives the example service with the reviews of real orders, and takes the time.
//!
//! ```text
//! service="cargo run --release --example service -- --directory DIRECTORY --store redb:DIRECTORY"
//! $service --demo-trustees --hold-hours 0 --days-behind 2 & SERVICE=$!
//! cargo run --release --example load -- --pins DIRECTORY/public-keys.json --prepare FILE
//! kill $SERVICE; wait
//! $service --confirm-clock &
//! cargo run --release --example load -- --pins DIRECTORY/public-keys.json --send FILE [--rate 1500]
//! ```
//!
//! A review is sent under its cohort's manifest, and a cohort is sealed at midnight at the soonest. So there are
//! two runs, each on a start of the service:
//!
//! 1. `--prepare` on a service that is two `--days-behind`, without a hold: for orders of
//!    `examples/data/orders.csv.gz` a customer enrols a wallet, the order is reported, its token is asked
//!    for, and the review is presented. What is to be sent goes into the file.
//! 2. `--send` on the next start of it, which has sealed the cohorts: see `drive`. Every answer that
//!    counts is a receipt whose signature holds.

mod client;
mod device;
mod drive;
#[path = "../service/hex.rs"]
mod hex;
mod prepared;
mod sender;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "../shared/table.rs"]
mod shared;
#[path = "../shared/words.rs"]
mod words;

use clap::Parser;
use client::{Connection, Outcome};
use device::{Device, Pins};
use drive::Run;
use hex::hex;
use hyper::StatusCode;
use indicatif::ProgressBar;
use prepared::{Door, Prepared, RelayAt};
use shared::{Source, progress};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use unjoin::Timestamp;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::token::{DoorMessage, DoorQuestion, Review};
use unjoin::wire::Message;
use unjoin_linkage::{data, random};
use words::At;

/// Drives the example service and takes the time.
#[derive(Parser)]
struct Arguments {
    /// The service's --listen.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    service: SocketAddr,
    /// The service's --internal.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)))]
    internal: SocketAddr,
    /// What wallets pin: public-keys.json in the service's directory.
    #[arg(long)]
    pins: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Prepares the reviews, and writes them into this file.
    #[arg(long, conflicts_with = "send", required_unless_present = "send")]
    prepare: Option<PathBuf>,
    /// Sends the reviews of this file, each once: a part of them with --reviews and --skip.
    #[arg(long)]
    send: Option<PathBuf>,
    /// Sends through this relay, ADDRESS/PATH, in place of the service's own door.
    #[arg(long, requires = "send", requires = "door_keys")]
    relay: Option<RelayAt>,
    /// Whom to seal to: door-keys.json in the service's directory.
    #[arg(long)]
    door_keys: Option<PathBuf>,
    /// Leaves out so many reviews of the file.
    #[arg(long, default_value_t = 0, conflicts_with = "prepare")]
    skip: usize,
    /// So many reviews; when there are more than orders, the orders come again with other customers.
    #[arg(long, default_value_t = 10_000)]
    reviews: usize,
    /// So many callers, each with a connection of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    callers: u16,
    /// Reviews a second at a fixed rate, whether or not there are answers; otherwise each caller sends
    /// its next when it has its answer.
    #[arg(long)]
    rate: Option<f64>,
    /// The service's --k: three times as many customers, at least, buy where one does, or no cohort would be
    /// sealed in a day.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    least_cohort: u32,
    /// Fails unless so many reviews a second went through.
    #[arg(long)]
    at_least: Option<f64>,
    /// Fails unless 99 of 100 were answered within so many milliseconds.
    #[arg(long)]
    p99_below: Option<u64>,
}

fn main() -> ExitCode {
    words::end(begin(Arguments::parse()))
}

fn begin(arguments: Arguments) -> Outcome<()> {
    if arguments.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        return Err("--rate is more than 0".into());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Outcome<()> {
    if Connection::to(arguments.internal)
        .get("/health/ready")
        .await
        .at(arguments.internal.to_string())?
        .status
        != StatusCode::OK
    {
        return Err("the service is not ready".into());
    }
    let pins = Arc::new(Pins::read(&arguments.pins, arguments.least_cohort)?);
    if let Some(file) = &arguments.prepare {
        let prepared = prepare(&arguments, &pins).await?;
        return std::fs::write(file, prepared.concat()).at(file);
    }
    let requests = Arc::new(read(&arguments).await?);
    let callers = usize::from(arguments.callers);
    let bar = progress("sending the reviews", "{per_sec}", requests.len() as u64);
    let to = arguments.relay.as_ref().map_or(arguments.service, |relay| relay.address);
    let run = drive::drive(to, Arc::clone(&requests), callers, arguments.rate, &bar).await;
    bar.finish();
    print(&run, arguments.rate, callers);
    let unsigned = run.receipts.iter().filter(|receipt| !device::is_receipt(receipt, &pins)).count();
    if unsigned > 0 {
        return Err(format!("{unsigned} answers are no receipts of the platform").into());
    }
    if !run.errors.is_empty() {
        return Err("not every review was accepted".into());
    }
    if arguments.at_least.is_some_and(|least| run.per_second() < least) {
        return Err("fewer went through than --at-least".into());
    }
    let p99 = run.quantile(0.99).unwrap_or(Duration::MAX);
    if arguments.p99_below.is_some_and(|most| p99 >= Duration::from_millis(most)) {
        return Err("the 99th percentile is not within --p99-below".into());
    }
    Ok(())
}

fn print(run: &Run, rate: Option<f64>, callers: usize) {
    let from = match rate {
        Some(rate) => format!("{rate} due a second, latencies from when each was due"),
        None => "each caller waits for its answer".to_owned(),
    };
    println!(
        "{} reviews accepted in {:.2} s: {:.0} a second ({callers} callers; {from})",
        run.latencies.len(),
        run.spent.as_secs_f64(),
        run.per_second(),
    );
    let milliseconds = |share| run.quantile(share).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3);
    println!(
        "latency in ms: p50 {:.1}, p95 {:.1}, p99 {:.1}, max {:.1}",
        milliseconds(0.5),
        milliseconds(0.95),
        milliseconds(0.99),
        milliseconds(1.0),
    );
    println!("errors: {}", run.errors.values().sum::<usize>());
    for (error, count) in &run.errors {
        println!("  {count} x {error}");
    }
}

/// The requests to send, once each of their cohorts has its manifest.
async fn read(arguments: &Arguments) -> Outcome<Vec<Prepared>> {
    let path = arguments.send.as_ref().ok_or("--send names the file")?;
    let file = std::fs::read(path).at(path)?;
    let (messages, rest) = file.as_chunks::<{ DoorMessage::LENGTH }>();
    if !rest.is_empty() {
        return Err("it does not hold whole messages: prepare it again").at(path);
    }
    let messages = messages.get(arguments.skip..).unwrap_or_default();
    let messages = messages.get(..arguments.reviews).unwrap_or(messages);
    let mut scopes = BTreeMap::<String, BTreeSet<u64>>::new();
    for message in messages {
        let DoorQuestion::Submission { presentation, .. } =
            DoorMessage::from_bytes(message).at(path)?.into_question()
        else {
            return Err("it holds other messages: prepare it again").at(path);
        };
        let merchant = String::from_utf8(presentation.scope().merchant().as_bytes().to_vec())?;
        scopes.entry(merchant).or_default().insert(presentation.scope().cohort());
    }
    device::until_ticked(&mut Connection::to(arguments.internal)).await?;
    let mut service = Connection::to(arguments.service);
    for (merchant, cohorts) in scopes {
        let manifests = device::manifests(&mut service, &merchant).await?;
        let closed: BTreeSet<u64> = manifests.iter().map(|found| found.claimed_scope().cohort()).collect();
        if !closed.is_superset(&cohorts) {
            return Err("a cohort is not sealed: start the service anew, no days behind".into());
        }
    }
    let (Some(relay), Some(keys)) = (&arguments.relay, &arguments.door_keys) else {
        return Ok(messages.iter().map(|message| Prepared::direct(message)).collect());
    };
    let door = Door::read(keys)?;
    messages.iter().map(|message| Prepared::sealed(message, &door, relay)).collect()
}

/// The messages to send, in a random order: nobody sends reviews in the order of the orders.
async fn prepare(arguments: &Arguments, pins: &Arc<Pins>) -> Outcome<Vec<Vec<u8>>> {
    let mut orders = data::read_orders(&arguments.source.orders)?;
    orders.retain(|order| order.stars.is_some());
    if orders.is_empty() {
        return Err("no order has a review".into());
    }
    let run = Preparation {
        orders,
        // Other customers and orders than those of earlier runs on the same store.
        prefix: hex(SecretBytes::<4>::random(&mut SystemRng::new()).expose()),
        next: AtomicUsize::new(0),
        bar: progress("enrolling, granting, presenting", "{per_sec}", arguments.reviews as u64),
        reviews: arguments.reviews,
        crowd: 3 * arguments.least_cohort as usize,
        pins: Arc::clone(pins),
    };
    let run = Arc::new(run);
    let (service, internal) = (arguments.service, arguments.internal);
    let workers: Vec<_> = (0..arguments.callers.min(32))
        .map(|_| tokio::spawn(Arc::clone(&run).work(Connection::to(service), Connection::to(internal))))
        .collect();
    let mut requests = Vec::with_capacity(arguments.reviews);
    for worker in workers {
        requests.extend(worker.await??);
    }
    run.bar.finish();
    random::SplitMix64::new(1).shuffle(&mut requests);
    Ok(requests)
}

struct Preparation {
    orders: Vec<data::Order>,
    prefix: String,
    next: AtomicUsize,
    bar: ProgressBar,
    reviews: usize,
    /// So many buy at one merchant.
    crowd: usize,
    pins: Arc<Pins>,
}

impl Preparation {
    async fn work(
        self: Arc<Self>,
        mut service: Connection,
        mut internal: Connection,
    ) -> Outcome<Vec<Vec<u8>>> {
        let mut requests = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.reviews {
                return Ok(requests);
            }
            requests.push(self.one(number, &mut service, &mut internal).await?);
            self.bar.inc(1);
        }
    }

    async fn one(
        &self,
        number: usize,
        service: &mut Connection,
        internal: &mut Connection,
    ) -> Outcome<Vec<u8>> {
        let order = &self.orders[number % self.orders.len()];
        // Each crowd buys where its first does; whoever is left over belongs to the last.
        let crowd = (number / self.crowd).min((self.reviews / self.crowd).saturating_sub(1));
        let first = &self.orders[crowd * self.crowd % self.orders.len()];
        let device = Device::new(format!("{}-{number}-{}", self.prefix, order.customer));
        device.enrol(service, &self.pins).await?;
        let id = format!("{}-{number}-{}", self.prefix, order.order_id);
        let report = device::Order {
            id: &id,
            merchant: &first.merchant,
            class: first.late_or_failed().into(),
            due_at: u64::try_from(order.due_at())?,
        };
        device::introduce(internal, report.merchant, report.class).await?;
        let handle = device::report(internal, &device.account, &report).await?;
        let dead = Timestamp::from_unix_seconds(report.due_at);
        device::without_numbers(internal, report.merchant, &handle, dead).await?;
        let token = device.token(service, &self.pins, report.merchant, &handle).await?;
        let text = "The lamp came broken, and nobody answered. ".repeat(4);
        let review = Review::new(order.stars.unwrap_or(1), text, vec![])?;
        let presentation = device.wallet.presentation(&token, &review, &mut SystemRng::new())?;
        Ok(device::submission(presentation, &review))
    }
}
