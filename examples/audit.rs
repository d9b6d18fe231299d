//! An auditor: holds what a platform shows against its ledgers, as anybody can.
//!
//! ```text
//! audit --policy FILE --ledger DIRECTORY [--older CHECKPOINT] [--published FILE]
//! audit --policy FILE --ledger DIRECTORY [--older CHECKPOINT] --embargo SECONDS
//! ```
//!
//! A ledger is a directory in the layout of C2SP tlog-tiles, as `ledger::export` writes it and a
//! web server serves it. The policy says whom to believe, one line each:
//!
//! ```text
//! log <verification key>
//! witness <verification key>
//! quorum <how many> of which faulty <how many>
//! ```
//!
//! What is published is a CSV file with the columns `review_id` and `review_digest`, in
//! hexadecimal, or JSON lines with the same fields; instead of a digest a line may have the
//! `review` itself, the whole kind-12 message in base64url. It is read after the older
//! checkpoint was fetched and before the newer one. Keep every checkpoint: the last audit's
//! newer one is the next one's older.
//!
//! One line is printed for each finding; the exit status is 0 if there is none, 1 if there are
//! some, 2 if the audit could not be made.

#![forbid(unsafe_code)]

use clap::Parser;
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use unjoin::audit::{Finding, History, OpeningFinding, PublishedSet, audit_openings, audit_reviews};
use unjoin::ledger::{DirectoryView, WitnessPolicy};
use unjoin::token::{Review, ReviewId};

/// What is audited.
#[derive(Parser)]
#[command(about = "Holds what a platform shows against its ledgers")]
pub(crate) struct Arguments {
    /// Whom to believe
    #[arg(long)]
    policy: PathBuf,
    /// The ledger's directory
    #[arg(long)]
    ledger: PathBuf,
    /// A checkpoint that was kept from before
    #[arg(long)]
    older: Option<PathBuf>,
    /// What is published: CSV, or JSON lines in a file that ends in .jsonl
    #[arg(long)]
    published: Option<PathBuf>,
    /// The ledger is one of openings: warrants are disclosed within so many seconds
    #[arg(long, conflicts_with = "published")]
    embargo: Option<u64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(findings) => {
            findings.iter().for_each(|finding| println!("{finding}"));
            ExitCode::from(u8::from(!findings.is_empty()))
        }
        Err(error) => {
            eprintln!("the audit could not be made: {error}");
            ExitCode::from(2)
        }
    }
}

/// The findings, a line each.
pub(crate) fn run(arguments: &Arguments) -> Result<Vec<String>, Box<dyn Error>> {
    let policy = read_policy(&fs::read_to_string(&arguments.policy)?)?;
    let older = arguments.older.as_ref().map(fs::read).transpose()?;
    let ledger = DirectoryView::new(&arguments.ledger);
    let history = History::read(&ledger, &policy, older.as_deref())?;
    if let Some(embargo) = arguments.embargo {
        return Ok(audit_openings(&history, embargo).iter().map(of_openings).collect());
    }
    let Some(path) = &arguments.published else {
        // The history itself is in order.
        return Ok(Vec::new());
    };
    Ok(audit_reviews(&history, &read_published(path)?).iter().map(of_reviews).collect())
}

fn of_reviews(finding: &Finding) -> String {
    match finding {
        Finding::Dropped { review_id } => format!("dropped {}", hex(review_id.as_bytes())),
        Finding::Altered { review_id, logged, shown } => {
            format!("altered {} logged {} shown {}", hex(review_id.as_bytes()), hex(logged), hex(shown))
        }
        Finding::Unlogged { review_id } => format!("unlogged {}", hex(review_id.as_bytes())),
        Finding::Entry { index } => format!("entry {index}"),
        other => format!("{other:?}"),
    }
}

fn of_openings(finding: &OpeningFinding) -> String {
    match finding {
        OpeningFinding::Overdue { commitment, index } => format!("overdue {} entry {index}", hex(commitment)),
        OpeningFinding::WithoutWarrant { index, trustee } => {
            format!("without-warrant entry {index} trustee {trustee}")
        }
        other => format!("{other:?}"),
    }
}

fn read_policy(text: &str) -> Result<WitnessPolicy, Box<dyn Error>> {
    let (mut log, mut witnesses, mut quorum) = (None, Vec::new(), None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["log", key] => log = Some(key.parse()?),
            ["witness", key] => witnesses.push(key.parse()?),
            ["quorum", quorum_, "of", "which", "faulty", faulty] => {
                quorum = Some((quorum_.parse()?, faulty.parse()?));
            }
            _ => return Err(format!("not a line of a policy: {line}").into()),
        }
    }
    let (quorum, faulty) = quorum.ok_or("the policy has no quorum")?;
    // An audit is of whatever was published, whenever that was.
    Ok(WitnessPolicy::new(log.ok_or("the policy has no log")?, witnesses, quorum, faulty, u64::MAX)?)
}

fn read_published(path: &Path) -> Result<PublishedSet, Box<dyn Error>> {
    let mut set = PublishedSet::new();
    let mut put = |id: &str, digest: [u8; 32]| -> Result<(), Box<dyn Error>> {
        match set.insert(ReviewId(unhex(id)?), digest) {
            None => Ok(()),
            Some(_) => Err(format!("the review {id} is published twice").into()),
        }
    };
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        for line in fs::read_to_string(path)?.lines().filter(|line| !line.is_empty()) {
            let row: Value = serde_json::from_str(line)?;
            let digest = match (row["review_digest"].as_str(), &row["review"]) {
                (Some(digest), _) => unhex(digest)?,
                (None, review) => Review::digest(&serde_json::from_value(review.clone())?),
            };
            put(row["review_id"].as_str().ok_or("a line without a review_id")?, digest)?;
        }
    } else {
        let mut reader = csv::Reader::from_path(path)?;
        let columns = reader.headers()?.clone();
        let column = |name: &str| columns.iter().position(|found| found == name);
        let (id, digest) = (column("review_id"), column("review_digest"));
        let (Some(id), Some(digest)) = (id, digest) else {
            return Err("the columns review_id and review_digest are needed".into());
        };
        for row in reader.records() {
            let row = row?;
            put(&row[id], unhex(&row[digest])?)?;
        }
    }
    Ok(set)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<[u8; 32], Box<dyn Error>> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(format!("not 64 hexadecimal digits: {text}").into());
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16)?;
    }
    Ok(bytes)
}
