//! Durable throughput through the services' queues, on the embedded store.
//!
//! A review counts when it was decoded from bytes, verified, spent and held, and the file was
//! synced; a grant when the request was decoded and checked, (scope, C) stored and synced, and
//! the tag and its proof made. Everything that devices do was done beforehand. Submitters run
//! on the same machine, so their decoding is part of the cost. Where other programs compete for
//! the machine, look at the processor time: so many processors divided by it is what they carry.

#[allow(dead_code, reason = "other benches use the rest")]
mod fill;
mod prepare;
mod publication;

use clap::Parser;
use prepare::{Encoded, IN_FLIGHT, Orders, Shop, grant};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use unjoin::store::{RedbStore, Store};
use unjoin_benches::arguments::{Extent, Place};
use unjoin_benches::drive::{Load, bar, drive, print_load};
use unjoin_benches::machine;

const SUBMITTERS: [usize; 3] = [1, 8, 64];

/// Measures durable reviews and grants a second.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    extent: Extent,
    /// Reviews, and grants, for each number of submitters.
    #[arg(long, default_value_t = 20_000)]
    count: usize,
    /// Spent serials that are there already, for each further measurement.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    spent: Vec<usize>,
    #[command(flatten)]
    place: Place,
    /// Only the reviews, only their publication, or only the grants: for a profiler.
    #[arg(long, value_parser = ["reviews", "publication", "grants"])]
    only: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::parse();
    if arguments.extent.quick {
        (arguments.count, arguments.spent) = (64, vec![1_000]);
    }
    arguments.place.run("throughput", |directory| run(&arguments, directory))
}

fn run(arguments: &Arguments, directory: &Path) -> Result<(), Box<dyn Error>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let sync = machine::sync_micros(directory, arguments.extent.of(5, 200));
    println!("{threads} hardware threads; write of 4 KiB and fdatasync: {sync:.0} us (median)");
    let wants = |kind: &str| arguments.only.as_deref().is_none_or(|only| only == kind);
    if wants("reviews") {
        reviews(arguments, directory)?;
    }
    if wants("publication") {
        publication::publication(arguments.count, directory)?;
    }
    if wants("grants") {
        grants(arguments, directory)?;
    }
    println!("memory of the whole process: {}", machine::memory());
    Ok(())
}

fn reviews(arguments: &Arguments, directory: &Path) -> Result<(), Box<dyn Error>> {
    let shop = Shop::new();
    let runs = SUBMITTERS.len() + arguments.spent.len();
    let progress = bar("presenting reviews", runs * arguments.count);
    let mut prepared = shop.reviews(runs * arguments.count, &progress);
    progress.finish_and_clear();
    let mut next = || prepared.split_off(prepared.len() - arguments.count);

    println!(
        "\ndurable accepted reviews, from bytes to synced file, {IN_FLIGHT} in flight for each submitter"
    );
    for submitters in SUBMITTERS {
        let path = directory.join(format!("reviews-{submitters}.redb"));
        let load = submit(&shop, &path, &next(), submitters)?;
        print_load(&format!("{submitters:>3} submitters"), &load);
        fs::remove_file(path)?;
    }
    let path = directory.join("spent.redb");
    let mut there = 0;
    for spent in &arguments.spent {
        grow(&shop, &path, spent.saturating_sub(there))?;
        let bytes = machine::file_bytes(&path);
        machine::reset_memory_peak();
        let load = submit(&shop, &path, &next(), 64)?;
        print_load(&format!(" 64 submitters, {spent} spent before"), &load);
        println!(
            "    file {:.0} MB before; the {} reviews grew it to {:.0} MB; memory: {}",
            bytes as f64 / 1e6,
            load.decided,
            machine::file_bytes(&path) as f64 / 1e6,
            machine::memory(),
        );
        there = spent + load.decided;
    }
    fs::remove_file(path)?;
    Ok(())
}

/// Submits all of `reviews` to a desk on the store at `path`.
fn submit(shop: &Shop, path: &Path, reviews: &[Encoded], submitters: usize) -> Result<Load, Box<dyn Error>> {
    let desk = shop.desk(Arc::new(unjoin_test_util::redb(path)?));
    Ok(drive(
        reviews,
        submitters,
        IN_FLIGHT,
        |review| desk.submit(review.decode()),
        |pending| {
            pending.wait().expect("every review is accepted");
        },
    ))
}

/// Adds rows of reviews that were accepted long ago, rewrites the file as a boundary does, and
/// says what a million of them take.
fn grow(shop: &Shop, path: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(unjoin_test_util::redb(path)?);
    let like = shop.one_real_row(&store);
    let progress = bar("adding spent serials", count);
    let before = machine::file_bytes(path);
    fill::fill(&store, &like, shop.merchants(), fill::REVIEWS, count, &progress);
    progress.finish_and_clear();
    let filled = machine::file_bytes(path);
    let from = std::time::Instant::now();
    store.rewrite()?;
    let million = 1e6 / count.max(1) as f64 / 1e6;
    println!(
        "    {count} rows of {} + {} bytes added in key order: {:.0} MB a million ({:.0} MB after the rewrite, {:.1} s)",
        like.key.len(),
        like.value.len(),
        filled.saturating_sub(before) as f64 * million,
        machine::file_bytes(path).saturating_sub(before) as f64 * million,
        from.elapsed().as_secs_f64(),
    );
    Ok(())
}

fn grants(arguments: &Arguments, directory: &Path) -> Result<(), Box<dyn Error>> {
    let shop = Shop::new();
    println!(
        "\ndurable grants, from bytes to synced file and finished proof, {IN_FLIGHT} in flight for each submitter"
    );
    for submitters in SUBMITTERS {
        let path = directory.join(format!("grants-{submitters}.redb"));
        let issuer = shop.issuer(Arc::new(RedbStore::create(&path)?));
        let progress = bar("asking for tokens", arguments.count);
        let Orders { accounts, requests } = shop.requests(&issuer, arguments.count, &progress);
        progress.finish_and_clear();
        let before = machine::file_bytes(&path);
        let load = grant(&issuer, &accounts, &requests, submitters);
        print_load(&format!("{submitters:>3} submitters"), &load);
        if submitters == 64 {
            println!(
                "    file {:.0} MB with the orders, {:.0} MB with the grants",
                before as f64 / 1e6,
                machine::file_bytes(&path) as f64 / 1e6
            );
        }
        drop(issuer);
        fs::remove_file(path)?;
    }
    Ok(())
}
