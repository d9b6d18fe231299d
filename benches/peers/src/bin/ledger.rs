//! The ledger on the embedded store: durable entries a second by the size of the group, and
//! what proofs cost once it is large.
//!
//! Entries are of a publication's size. Each group is one synced commit, with the look-up that
//! keeps an entry from standing twice.

#![allow(clippy::unwrap_used, reason = "a measurement that fails has no figure")]

use clap::Parser;
use cpu_time::ProcessTime;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use unjoin::ledger::{KeyName, Ledger, Log, LogView, NoteKey, PublishedEntry};
use unjoin::secret::SystemRng;
use unjoin::store::RedbStore;
use unjoin::store::identity::Role;
use unjoin::token::{AuthorKey, ReviewId, Scope};
use unjoin::wire::Message;
use unjoin::{Name, Timestamp};
use unjoin_benches::arguments::{Entries, Place};
use unjoin_test_util::own;

/// Measures a ledger's appends and proofs.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    ledger: Entries,
    #[command(flatten)]
    place: Place,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    arguments.place.run("ledger", |directory| run(&arguments, &directory.join("ledger.redb")))
}

/// The entry with this number: 106 bytes.
fn entry(number: u64) -> Vec<u8> {
    let mut review_id = [7; 32];
    review_id[..8].copy_from_slice(&number.to_le_bytes());
    let boundary = Timestamp::from_unix_seconds(1_700_438_400);
    PublishedEntry {
        scope: Scope::new([3; 32], Name::new("merchant-0001").unwrap(), 0x5eed),
        review_id: ReviewId(review_id),
        review_digest: [1; 32],
        presentation_hash: [2; 32],
        author_key: AuthorKey([4; 32]),
        boundary,
    }
    .to_bytes()
}

fn run(arguments: &Arguments, path: &Path) -> Result<(), Box<dyn Error>> {
    let key = NoteKey::generate(KeyName::new("bench.example/reviews")?, &mut SystemRng::new());
    let log = Log::open(own(&Arc::new(RedbStore::create(path)?), Role::Ledgers), Ledger::Reviews, key, None)?;
    let few: u64 = arguments.ledger.extent.of(3, 200);
    println!("durable appends of entries of {} bytes", entry(0).len());
    append(&log, 1, few)?;
    append(&log, 64, few)?;
    // The last stretch is the one that counts: the ledger is large by then.
    let entries = arguments.ledger.count(3_000);
    let left = |log: &Log<RedbStore>| log.size().map(|size| entries.saturating_sub(size) / 1024);
    append(&log, 1024, left(&log)? / 2)?;
    append(&log, 1024, left(&log)?.max(1))?;

    let size = log.size()?;
    let signed = log.sign()?;
    let proofs: u64 = arguments.ledger.extent.of(10, 2_000);
    let (start, processor) = (Instant::now(), ProcessTime::now());
    let mut hashes = 0;
    for number in 0..proofs {
        hashes = hashes.max(log.inclusion(number * 7_919 % size, size)?.path().len());
    }
    print_each("inclusion proof", proofs, start, processor);
    println!("    at most {hashes} hashes at {size} entries");
    log.inclusion(size / 2, size)?.verify(&entry(size / 2), signed.root())?;

    let (start, processor) = (Instant::now(), ProcessTime::now());
    for number in 0..proofs {
        hashes = hashes.max(log.consistency(number * 7_919 % size, size)?.path().len());
    }
    print_each("consistency proof", proofs, start, processor);
    println!("file: {:.0} MB", fs::metadata(path)?.len() as f64 / 1e6);
    Ok(())
}

fn append(log: &Log<RedbStore>, group: u64, groups: u64) -> Result<(), Box<dyn Error>> {
    let from = log.size()?;
    let mut groups_of: Vec<Vec<Vec<u8>>> = Vec::new();
    for number in 0..groups {
        let first = from + number * group;
        groups_of.push((first..first + group).map(entry).collect());
    }
    let (start, processor) = (Instant::now(), ProcessTime::now());
    for entries in &groups_of {
        log.append(entries)?;
    }
    let (spent, count) = (start.elapsed().as_secs_f64(), (group * groups) as f64);
    println!(
        "groups of {group:>4}: {:>7.0} /s  ({:.1} us of processor each; from {from} entries to {})",
        count / spent,
        processor.elapsed().as_secs_f64() * 1e6 / count,
        log.size()?,
    );
    Ok(())
}

fn print_each(what: &str, times: u64, start: Instant, processor: ProcessTime) {
    let each = |seconds: f64| seconds * 1e6 / times as f64;
    println!(
        "{what}: {:.0} us ({:.0} us of processor)",
        each(start.elapsed().as_secs_f64()),
        each(processor.elapsed().as_secs_f64())
    );
}
