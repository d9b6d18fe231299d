//! An auditor: holds what a platform shows against its ledgers, as anybody can.
//!
//! ```text
//! audit --policy FILE --ledger DIRECTORY [--older CHECKPOINT] [--at TIME] [--max-age SECONDS]
//!       --platform KEY [--published FILE] [--grace SECONDS]
//!       [--grid daily|weekly [--classes N] [--orders FILE] [--grants FILE]]
//! audit --trustees FILE --ledger DIRECTORY [--older CHECKPOINT] [--at TIME] --embargo SECONDS
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
//! With `--trustees` the ledger is one of openings. The file is the trustees' own policy: who they are, who
//! may ask them, their budgets, and the ledger's witnesses (`trust/mod.rs` and `trust/settings.rs` tell its
//! lines; its `freshness` stands for `--max-age`). Every entry is held against it.
//!
//! `--platform` is the platform's public key, in hexadecimal, as wallets pin it: it signs the keys
//! of the staff, who sign removals.
//!
//! What is published is a CSV file with the columns `review_id`, `merchant` (under whom it is
//! shown) and `review_digest`, the hashes in hexadecimal, or JSON lines with the same fields;
//! instead of a digest a line may have the `review` itself, the whole kind-12 message in base64url.
//! It is read after the older checkpoint was fetched and before the newer one. Keep every
//! checkpoint: the last audit's newer one is the next one's older.
//!
//! With `--grid` the manifests are added up. `--orders` is a CSV file `merchant,orders`, and
//! `--grants` one with `key_id,merchant,cohort,grants`: what was counted elsewhere.
//!
//! First what the ledger says is told: the checkpoint and its time, who removed what, the crowds.
//! Then one line is printed for each finding; the exit status is 0 if there is none, 1 if there
//! are some, 2 if the audit could not be made.

#![forbid(unsafe_code)]

#[path = "trust/settings.rs"]
mod settings;
#[path = "trust/mod.rs"]
mod trust;

use clap::Parser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trust::{hex, text, unhex};
use unjoin::audit::{
    CountedElsewhere, Finding, History, ManifestFinding, OpeningFinding, PublishedSet, audit_manifests,
    audit_openings, audit_reviews, removals,
};
use unjoin::ledger::{DirectoryView, WitnessPolicy};
use unjoin::token::{PlatformPublicKey, Review, ReviewId, Scope};
use unjoin::{Clock, DAY, Grid, Name, SystemClock, Timestamp};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is audited.
#[derive(Parser)]
#[command(about = "Holds what a platform shows against its ledgers")]
pub(crate) struct Arguments {
    /// Whom to believe
    #[arg(long, required_unless_present = "trustees")]
    policy: Option<PathBuf>,
    /// The ledger is one of openings: by what the trustees answer
    #[arg(long, requires = "embargo", conflicts_with_all = ["policy", "platform", "published", "grid"])]
    trustees: Option<PathBuf>,
    /// Within how many seconds warrants are disclosed
    #[arg(long, requires = "trustees")]
    embargo: Option<u64>,
    /// The ledger's directory
    #[arg(long)]
    ledger: PathBuf,
    /// A checkpoint that was kept from before
    #[arg(long)]
    older: Option<PathBuf>,
    /// The time of the audit, in seconds since 1970; now, if it is left out
    #[arg(long)]
    at: Option<u64>,
    /// How old the ledger's checkpoint may be at that time, in seconds
    #[arg(long, default_value_t = 2 * DAY)]
    max_age: u64,
    /// The platform's public key, in hexadecimal
    #[arg(long, required_unless_present = "trustees")]
    platform: Option<String>,
    /// What is published: CSV, or JSON lines in a file that ends in .jsonl
    #[arg(long)]
    published: Option<PathBuf>,
    /// So long after its boundary an entry may be logged, in seconds
    #[arg(long, default_value_t = DAY)]
    grace: u64,
    /// The platform's boundaries: daily or weekly
    #[arg(long, value_parser = read_grid)]
    grid: Option<Grid>,
    /// Into how many classes the platform sorts a merchant's orders
    #[arg(long, default_value_t = 2, requires = "grid")]
    classes: usize,
    /// How many orders each merchant had
    #[arg(long, requires = "grid")]
    orders: Option<PathBuf>,
    /// How many tokens were granted in each cohort
    #[arg(long, requires = "grid")]
    grants: Option<PathBuf>,
}

/// What the ledger says, and what is wrong: a line each.
pub(crate) struct Told {
    pub(crate) notes: Vec<String>,
    pub(crate) findings: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(Told { notes, findings }) => {
            notes.iter().chain(&findings).for_each(|line| println!("{line}"));
            ExitCode::from(u8::from(!findings.is_empty()))
        }
        Err(error) => {
            eprintln!("the audit could not be made: {error}");
            ExitCode::from(2)
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome<Told> {
    if let (Some(trustees), Some(embargo)) = (&arguments.trustees, arguments.embargo) {
        let (policy, trustees) = settings::parse(&read(trustees)?)?;
        let (history, mut told) = read_history(arguments, &policy.openings)?;
        let found = audit_openings(&history, &trustees, &policy, embargo);
        told.findings.extend(found.iter().map(of_openings));
        return Ok(told);
    }
    let policy = arguments.policy.as_ref().ok_or("the policy is needed")?;
    let policy = read_policy(&read(policy)?, arguments.max_age)?;
    let (history, mut told) = read_history(arguments, &policy)?;
    let platform = unhex(arguments.platform.as_ref().ok_or("the platform's key is needed")?)?;
    let platform = PlatformPublicKey::from_bytes(&platform).ok_or("the platform's key is not one")?;
    for (who, removed) in removals(&history, &platform) {
        told.notes.push(format!("removed by {}: {}", text(&who), removed.len()));
        for one in removed {
            told.notes.push(format!(
                "removed {} on grounds {:?}",
                hex(one.review_id().as_bytes()),
                one.grounds()
            ));
        }
    }
    if let Some(path) = &arguments.published {
        let found = audit_reviews(&history, &read_published(path)?, &platform, arguments.grace);
        told.findings.extend(found.iter().map(of_reviews));
    }
    if let Some(grid) = arguments.grid {
        let orders = arguments.orders.as_deref().map(read_orders).transpose()?.unwrap_or_default();
        let grants = arguments.grants.as_deref().map(read_grants).transpose()?.unwrap_or_default();
        let counted = CountedElsewhere { grid, classes: arguments.classes, orders, grants };
        let report = audit_manifests(&history, &counted);
        for (merchant, at_least) in &report.at_least {
            told.notes.push(format!("customers of {}: at least {at_least}", text(merchant)));
        }
        told.findings.extend(report.findings.iter().map(of_manifests));
    }
    Ok(told)
}

/// What is in the ledger, with the first line of what is told.
fn read_history(arguments: &Arguments, policy: &WitnessPolicy) -> Outcome<(History, Told)> {
    let older = arguments.older.as_ref().map(|path| fs::read(path).map_err(|error| at(path, &error)));
    let older = older.transpose()?;
    let now = arguments.at.map_or_else(|| SystemClock.now(), Timestamp::from_unix_seconds);
    let history = History::read(&DirectoryView::new(&arguments.ledger), policy, older.as_deref(), now)?;
    let (checkpoint, quorum) = history.newer();
    let (size, time) = (checkpoint.size(), quorum.median_time.as_unix_seconds());
    let notes = vec![format!("checkpoint of {size} entries, cosigned at {time}")];
    Ok((history, Told { notes, findings: vec![] }))
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| at(path, &error).into())
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn of_reviews(finding: &Finding) -> String {
    match finding {
        Finding::Dropped { review_id } => format!("dropped {}", hex(review_id.as_bytes())),
        Finding::Altered { review_id, logged, shown } => {
            format!("altered {} logged {} shown {}", hex(review_id.as_bytes()), hex(logged), hex(shown))
        }
        Finding::Moved { review_id, logged, shown } => {
            format!("moved {} from {} to {}", hex(review_id.as_bytes()), text(logged), text(shown))
        }
        Finding::Unlogged { review_id } => format!("unlogged {}", hex(review_id.as_bytes())),
        Finding::Gap { review_id, sequence } => {
            format!("gap {} at action {sequence}", hex(review_id.as_bytes()))
        }
        Finding::Unsigned { index } => format!("unsigned entry {index}"),
        Finding::WithoutManifest { index } => format!("without-manifest entry {index}"),
        Finding::Late { index } => format!("late entry {index}"),
        Finding::Entry { index } => format!("contradiction entry {index}"),
        other => format!("{other:?}"),
    }
}

fn of_manifests(finding: &ManifestFinding) -> String {
    match finding {
        ManifestFinding::SecondManifest { scope, index } => {
            format!("second-manifest entry {index} of {}", cohort(scope))
        }
        ManifestFinding::OffGrid { index } => format!("off-grid entry {index}"),
        ManifestFinding::TooManyCohorts { merchant, closed_at, cohorts } => {
            format!("too-many-cohorts {cohorts} of {} at {}", text(merchant), closed_at.as_unix_seconds())
        }
        ManifestFinding::MoreCustomersThanOrders { merchant, at_least, orders } => {
            format!("more-customers {at_least} than orders {orders} of {}", text(merchant))
        }
        ManifestFinding::FewerGrantsThanPromised { scope, at_least, grants } => {
            format!("fewer-grants {grants} than promised {at_least} of {}", cohort(scope))
        }
        ManifestFinding::MoreReviewsThanGrants { scope, published, grants } => {
            format!("more-reviews {published} than grants {grants} of {}", cohort(scope))
        }
        other => format!("{other:?}"),
    }
}

fn of_openings(finding: &OpeningFinding) -> String {
    match finding {
        OpeningFinding::Overdue { commitment, index } => format!("overdue {} entry {index}", hex(commitment)),
        OpeningFinding::WithoutWarrant { index, trustee } => {
            format!("without-warrant entry {index} trustee {trustee}")
        }
        OpeningFinding::Void { index, trustee, excess } => {
            format!("void entry {index} trustee {trustee}: {excess}")
        }
        OpeningFinding::Repeated { index, trustee } => format!("repeated entry {index} trustee {trustee}"),
        OpeningFinding::SecondBinding { index } => format!("second-binding entry {index}"),
        OpeningFinding::Unsigned { index } => format!("unsigned entry {index}"),
        other => format!("{other:?}"),
    }
}

fn cohort(scope: &Scope) -> String {
    format!("{} cohort {} key {}", text(scope.merchant()), scope.cohort(), hex(scope.key_id()))
}

fn read_grid(text: &str) -> Result<Grid, String> {
    match text {
        "daily" => Ok(Grid::Daily),
        "weekly" => Ok(Grid::Weekly),
        _ => Err("the grid is daily or weekly".to_owned()),
    }
}

/// The rows of a CSV file, the named columns of each.
fn read_csv<const N: usize>(path: &Path, names: [&str; N]) -> Outcome<Vec<[String; N]>> {
    let mut reader = csv::Reader::from_path(path)?;
    let columns = reader.headers()?.clone();
    let at = |name: &str| columns.iter().position(|column| column == name);
    let places: Vec<usize> = names.iter().filter_map(|name| at(name)).collect();
    if places.len() < N {
        return Err(format!("{} needs the columns {}", path.display(), names.join(", ")).into());
    }
    let row = |row: csv::StringRecord| std::array::from_fn(|number| row[places[number]].to_owned());
    Ok(reader.records().map(|record| record.map(row)).collect::<Result<_, _>>()?)
}

fn read_orders(path: &Path) -> Outcome<BTreeMap<Name, u64>> {
    let rows = read_csv(path, ["merchant", "orders"])?;
    rows.into_iter().map(|[merchant, orders]| Ok((Name::new(merchant)?, orders.parse()?))).collect()
}

fn read_grants(path: &Path) -> Outcome<BTreeMap<Scope, u64>> {
    let rows = read_csv(path, ["key_id", "merchant", "cohort", "grants"])?;
    let row = |[key_id, merchant, cohort, grants]: [String; 4]| {
        Ok((Scope::new(unhex(&key_id)?, Name::new(merchant)?, cohort.parse()?), grants.parse()?))
    };
    rows.into_iter().map(row).collect()
}

fn read_policy(text: &str, max_age: u64) -> Outcome<WitnessPolicy> {
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
    Ok(WitnessPolicy::new(log.ok_or("the policy has no log")?, witnesses, quorum, faulty, max_age)?)
}

fn read_published(path: &Path) -> Outcome<PublishedSet> {
    let mut set = PublishedSet::new();
    let mut put = |id: &str, merchant: &str, digest: [u8; 32]| -> Outcome<()> {
        match set.insert(ReviewId(unhex(id)?), (Name::new(merchant)?, digest)) {
            None => Ok(()),
            Some(_) => Err(format!("the review {id} is published twice").into()),
        }
    };
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        for line in read(path)?.lines().filter(|line| !line.is_empty()) {
            let row: Value = serde_json::from_str(line)?;
            let digest = match (row["review_digest"].as_str(), &row["review"]) {
                (Some(digest), _) => unhex(digest)?,
                (None, review) => Review::digest(&serde_json::from_value(review.clone())?),
            };
            let field = |name: &str| row[name].as_str().ok_or(format!("a line without a {name}"));
            put(field("review_id")?, field("merchant")?, digest)?;
        }
    } else {
        for [id, merchant, digest] in read_csv(path, ["review_id", "merchant", "review_digest"])? {
            put(&id, &merchant, unhex(&digest)?)?;
        }
    }
    Ok(set)
}
