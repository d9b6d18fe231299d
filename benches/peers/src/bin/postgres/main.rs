//! Durable throughput on PostgreSQL beside the embedded store's, server and callers on one machine.
//!
//! Counted as by the bench `throughput`: a review when it was decoded from bytes, verified, spent and held, and
//! the server's log was synced; a grant likewise. The server is a private one with its own settings, reached over
//! its socket. The processor time of each request is told for the callers' process, and for the server beside it. Both
//! engines take the same reviews, one after the other, as often as `--rounds` says. With `--growth`: how the figures
//! change as old rows pile up.

#[path = "../throughput/fill.rs"]
mod fill;
mod growth;
#[path = "../throughput/prepare.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod prepare;
use unjoin_test_util::postgres as server;

use clap::Parser;
use prepare::{Encoded, IN_FLIGHT, Orders, Shop, grant};
use server::Server;
use std::error::Error;
use std::sync::Arc;
use unjoin::store::{RedbStore, Store};
use unjoin_benches::arguments::Extent;
use unjoin_benches::drive::{Load, bar, drive, print_load};
use unjoin_benches::machine;

/// Measures durable reviews and grants a second on both stores.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    extent: Extent,
    /// Reviews, and grants, for each store and number of callers.
    #[arg(long, default_value_t = 20_000)]
    count: usize,
    /// Only the reviews, or only the grants.
    #[arg(long, value_parser = ["reviews", "grants"])]
    only: Option<String>,
    /// How many callers there are, for each measurement.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    callers: Vec<usize>,
    /// How often each measurement is made.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Only PostgreSQL: for a profiler.
    #[arg(long)]
    postgres_only: bool,
    /// Instead: 64 callers beside as many old rows as `--spent` says.
    #[arg(long)]
    growth: bool,
    /// Spent serials, and granted orders, that are there already, for each measurement of `--growth`.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 10_000_000])]
    spent: Vec<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::parse();
    if arguments.extent.quick {
        (arguments.count, arguments.spent) = (64, vec![500, 2_000]);
    }
    let server = Server::start(&["shared_buffers = 256MB", "max_wal_size = 4GB"]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let sync = machine::sync_micros(&std::env::temp_dir(), arguments.extent.of(5, 200));
    println!("{threads} hardware threads; write of 4 KiB and fdatasync: {sync:.0} us (median)");
    println!("{}", server.sql("SELECT version()"));
    let wants = |kind: &str| arguments.only.as_deref().is_none_or(|only| only == kind);
    let kinds: Vec<&str> = ["reviews", "grants"].into_iter().filter(|kind| wants(kind)).collect();
    if arguments.growth || arguments.extent.quick {
        for kind in &kinds {
            println!(
                "\ndurable {kind} on PostgreSQL as old rows pile up, {IN_FLIGHT} in flight for each caller"
            );
            growth::measure(&server, kind, &arguments.spent, arguments.count)?;
        }
    }
    // `--quick` shows that everything runs.
    for kind in kinds.into_iter().filter(|_| !arguments.growth) {
        println!("\ndurable {kind}, from bytes to synced log or file, {IN_FLIGHT} in flight for each caller");
        let shop = Shop::new();
        let reviews = match kind {
            "reviews" => presented(&shop, arguments.count),
            _ => Vec::new(),
        };
        for (callers, _) in
            arguments.callers.iter().flat_map(|own| (0..arguments.rounds).map(move |at| (*own, at)))
        {
            let measured = Measured { server: &server, shop: &shop, count: arguments.count, callers };
            if !arguments.postgres_only {
                let path = server.temporary("store.redb");
                measured.on("redb", RedbStore::create(&path)?, &reviews);
                std::fs::remove_file(path)?;
            }
            measured.on("PostgreSQL", server.store(), &reviews);
            server.sql("CHECKPOINT");
        }
    }
    println!("memory of the callers' process: {}", machine::memory());
    Ok(())
}

struct Measured<'a> {
    server: &'a Server,
    shop: &'a Shop,
    count: usize,
    callers: usize,
}

impl Measured<'_> {
    /// These reviews, or as many grants where there are none.
    fn on<S: Store>(&self, engine: &str, store: S, reviews: &[Encoded]) {
        let (store, name) = (Arc::new(store), format!("{engine:>10}, {:>2} callers", self.callers));
        match reviews {
            [] => {
                let issuer = self.shop.issuer(store);
                let progress = bar("asking for tokens", self.count);
                let Orders { accounts, requests } = self.shop.requests(&issuer, self.count, &progress);
                progress.finish_and_clear();
                self.print(&name, || grant(&issuer, &accounts, &requests, self.callers));
            }
            reviews => self.print(&name, || submit(self.shop, store, reviews, self.callers)),
        }
    }

    fn print(&self, name: &str, run: impl FnOnce() -> Load) {
        let before = self.server.processor();
        let load = run();
        let server = (self.server.processor() - before).as_secs_f64() * 1e6 / load.decided as f64;
        print_load(name, &load);
        let callers = load.processor.as_secs_f64() * 1e6 / load.decided as f64;
        println!("{:>24} us of processor each, {server:.0} of them the server's", (callers + server).round());
    }
}

fn presented(shop: &Shop, count: usize) -> Vec<Encoded> {
    let progress = bar("presenting reviews", count);
    let prepared = shop.reviews(count, &progress);
    progress.finish_and_clear();
    prepared
}

/// Submits all of `reviews` to a desk of its own on this store.
fn submit<S: Store>(shop: &Shop, store: Arc<S>, reviews: &[Encoded], callers: usize) -> Load {
    let desk = shop.desk(store);
    drive(
        reviews,
        callers,
        IN_FLIGHT,
        |review| desk.submit(review.decode()),
        |pending| {
            pending.wait().expect("every review is accepted");
        },
    )
}
