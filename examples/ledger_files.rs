//! Writes a ledger as files, for implementations that are not ours to check.
//!
//! ```text
//! ledger_files --out DIRECTORY [--entries N]
//!
//! DIRECTORY/ledger/...     the export: checkpoint, tiles, bundles of entries
//! DIRECTORY/older          an earlier checkpoint
//! DIRECTORY/keys           log VKEY; witness VKEY
//! DIRECTORY/proofs         inclusion SIZE ROOT INDEX LEAF-HASH HASH...
//!                          consistency OLD-SIZE OLD-ROOT NEW-SIZE NEW-ROOT HASH...
//! ```
//!
//! Hashes are in hexadecimal. The keys are made for the occasion.

#![forbid(unsafe_code)]

#[path = "shared/words.rs"]
mod words;

use clap::Parser;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use unjoin::ledger::tree::{Hash, leaf_hash, root_of};
use unjoin::ledger::{
    KeyName, Ledger, Log, LogView, NoteKey, PublishedEntry, Witness, WitnessPolicy, WitnessService, export,
};
use unjoin::secret::SystemRng;
use unjoin::store::identity::{Role, Roster};
use unjoin::store::{MemoryStore, Stores};
use unjoin::token::{AuthorKey, ReviewId, Scope};
use unjoin::wire::Message;
use unjoin::{Environment, Name, Timestamp};
use words::{At, Outcome};

#[derive(Parser)]
#[command(about = "Writes a ledger as files, for other implementations to check")]
struct Arguments {
    /// Where to write; made if it is not there
    #[arg(long)]
    out: PathBuf,
    /// How many entries
    #[arg(long, default_value_t = 70_000)]
    entries: u64,
}

fn main() -> ExitCode {
    words::end(run(Arguments::parse()))
}

fn run(Arguments { out, entries }: Arguments) -> Outcome<()> {
    let rng = &mut SystemRng::new();
    let log_key = NoteKey::generate(KeyName::new("shop.example/reviews")?, rng);
    let log_public = log_key.public().clone();
    let (name, logs) = (KeyName::new("witness.example/w1")?, vec![log_public.clone()]);
    let witness = WitnessService::create(Arc::new(MemoryStore::new()), name, logs, Environment::system())?;
    let witness: Arc<dyn Witness> = Arc::new(witness);
    let witness_public = witness.public_key().clone();
    let policy = WitnessPolicy::new(log_public.clone(), vec![witness_public.clone()], 1, 0, 60)?;
    let roster = Roster::alone(Role::Ledgers, &mut SystemRng::new());
    let stores = [(Role::Ledgers, Arc::new(MemoryStore::new()))];
    let stores = Stores::create(&roster, stores, &mut SystemRng::new())?;
    let log = Log::open(stores.own(Role::Ledgers)?, Ledger::Reviews, log_key, Some(policy))?;

    let scope = Scope::new([0; 32], Name::new("lamps.example")?, 0);
    let entry = |number: u64| {
        let mut review_id = [0; 32];
        review_id[..8].copy_from_slice(&number.to_le_bytes());
        PublishedEntry {
            scope: scope.clone(),
            boundary: Timestamp::from_unix_seconds(604_800 * (number / 1000)),
            review_id: ReviewId(review_id),
            review_digest: [1; 32],
            presentation_hash: [2; 32],
            author_key: AuthorKey([3; 32]),
        }
        .to_bytes()
    };
    fs::create_dir_all(&out).at(&out)?;
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes).at(path)
    };
    let publish = |size: u64| -> Outcome<Vec<u8>> {
        log.append(&(log.size()?..size).map(entry).collect::<Vec<_>>())?;
        if !log.publish(std::slice::from_ref(&witness))?.published {
            return Err("the witness refuses".into());
        }
        Ok(log.checkpoint()?.ok_or("nothing is published")?)
    };
    write("older", &publish(entries / 3)?)?;
    publish(entries)?;
    export(&log, &out.join("ledger"))?;
    write("keys", format!("log {log_public}\nwitness {witness_public}\n").as_bytes())?;

    let leaves: Vec<Hash> = (0..entries).map(|number| leaf_hash(&entry(number))).collect();
    let mut lines = String::new();
    let mut sizes: Vec<u64> =
        (1..=40).chain([255, 256, 257, 4_096, 65_536, 65_537, entries / 3, entries]).collect();
    sizes.retain(|size| (1..=entries).contains(size));
    sizes.sort_unstable();
    sizes.dedup();
    let roots: BTreeMap<u64, Hash> =
        sizes.iter().map(|size| (*size, root_of(&leaves[..*size as usize]))).collect();
    for size in &sizes {
        for index in [0, size / 3, size / 2, size - 1] {
            let proof = log.inclusion(index, *size)?;
            lines +=
                &format!("inclusion {size} {} {index} {}", hex(&roots[size]), hex(&leaves[index as usize]));
            proof.path().iter().for_each(|hash| lines += &format!(" {}", hex(hash)));
            lines.push('\n');
        }
        for old in sizes.iter().filter(|old| *old <= size) {
            let proof = log.consistency(*old, *size)?;
            lines += &format!("consistency {old} {} {size} {}", hex(&roots[old]), hex(&roots[size]));
            proof.path().iter().for_each(|hash| lines += &format!(" {}", hex(hash)));
            lines.push('\n');
        }
    }
    write("proofs", lines.as_bytes())?;
    println!("{} entries and {} proofs in {}", entries, lines.lines().count(), out.display());
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
