//! An auditor: holds what a platform shows against its ledgers, as anybody can.
//!
//! ```text
//! audit --trust FILE --ledger DIRECTORY [--older CHECKPOINT] [--at TIME] [--max-age SECONDS]
//!       --platform KEY [--published FILE] [--grace SECONDS]
//!       [--grid daily|weekly [--classes N] [--orders FILE] [--grants FILE]]
//! audit --trust FILE --ledger DIRECTORY [--older CHECKPOINT] [--at TIME] --embargo SECONDS
//! ```
//!
//! A ledger is a directory in the layout of C2SP tlog-tiles, as `ledger::export` writes it and a
//! web server serves it. The trust file says whom to believe: `--help` tells its lines.
//!
//! With `--embargo` the ledger is one of openings. Every entry is held against the trustees' own policy in the trust
//! file, whose `freshness` stands for `--max-age`.
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
//! First what the ledger says is told: the checkpoint and its time, who removed what, the crowds. Then one line is
//! printed for each finding, and then what was checked. The exit status is 0 if nothing was found, 1 if
//! something was, 2 if the audit could not be made: that says nothing of the ledger.

#![forbid(unsafe_code)]

#[allow(dead_code, reason = "other programs need other lines of a trust file")]
#[path = "trust/mod.rs"]
pub(crate) mod trust;
#[allow(dead_code, reason = "its main ends in three ways")]
#[path = "shared/words.rs"]
mod words;

use clap::Parser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use trust::{TrustFile, hex, text, unhex};
use unjoin::audit::{
    AuditError, CountedElsewhere, Finding, History, ManifestFinding, OpeningFinding, PublishedSet,
    audit_manifests, audit_openings, audit_reviews, removals,
};
use unjoin::ledger::{DirectoryView, Ledger, LogView, SignedCheckpoint, WitnessPolicy};
use unjoin::token::{PlatformPublicKey, Review, ReviewId, Scope};
use unjoin::{Clock, DAY, Grid, Name, SystemClock, Timestamp};
use words::{At, Outcome};

/// What is audited.
#[derive(Parser)]
#[command(about = "Holds what a platform shows against its ledgers", after_help = trust::HELP)]
pub(crate) struct Arguments {
    /// Whom to believe
    #[arg(long)]
    trust: PathBuf,
    /// The ledger is one of openings: within how many seconds warrants are disclosed
    #[arg(long, conflicts_with_all = ["platform", "published", "grid"])]
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
    #[arg(long, required_unless_present = "embargo")]
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

/// What the ledger says, what is wrong, and what was looked at: a line each.
pub(crate) struct Told {
    pub(crate) notes: Vec<String>,
    pub(crate) findings: Vec<String>,
    pub(crate) checked: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(Told { notes, findings, checked }) => {
            notes.iter().chain(&findings).for_each(|line| println!("{line}"));
            checked.iter().for_each(|line| println!("checked: {line}"));
            match findings.len() {
                0 => println!("nothing was found"),
                count => println!("{count} findings"),
            }
            ExitCode::from(u8::from(!findings.is_empty()))
        }
        Err(error) => {
            eprintln!("the audit could not be made: {error}");
            ExitCode::from(2)
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Outcome<Told> {
    let trust = TrustFile::read(&arguments.trust)?;
    if let Some(embargo) = arguments.embargo {
        let (policy, trustees) = trust.trustee_policy()?;
        return Ok(match read_history(arguments, &policy.openings)? {
            Err(rewritten) => rewritten,
            Ok((history, mut told)) => {
                let found = audit_openings(&history, &trustees, &policy, embargo);
                told.findings.extend(found.iter().map(of_openings));
                told.checked.push(format!(
                    "each entry against the policy of {}, and disclosures against {embargo} s",
                    arguments.trust.display()
                ));
                told
            }
        });
    }
    let platform = arguments.platform.as_ref().ok_or("--platform is needed")?;
    let platform = unhex(platform).map_err(|error| format!("--platform: {error}"))?;
    let platform = PlatformPublicKey::from_bytes(&platform).ok_or("--platform: not a platform's key")?;
    let policy = trust.ledger(Ledger::Reviews, arguments.max_age)?;
    let (history, mut told) = match read_history(arguments, &policy)? {
        Ok(read) => read,
        Err(rewritten) => return Ok(rewritten),
    };
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
    match &arguments.published {
        Some(path) => {
            let published = read_published(path)?;
            let found = audit_reviews(&history, &published, &platform, arguments.grace);
            told.findings.extend(found.iter().map(of_reviews));
            told.checked.push(format!(
                "{} reviews of {} against the entries",
                published.len(),
                path.display()
            ));
        }
        None => told.checked.push("not what is shown: --published was not given".to_owned()),
    }
    match arguments.grid {
        Some(grid) => {
            let orders = arguments.orders.as_deref().map(read_orders).transpose()?.unwrap_or_default();
            let grants = arguments.grants.as_deref().map(read_grants).transpose()?.unwrap_or_default();
            let counted = CountedElsewhere { grid, classes: arguments.classes, orders, grants };
            let report = audit_manifests(&history, &counted);
            for (merchant, at_least) in &report.at_least {
                told.notes.push(format!("customers of {}: at least {at_least}", text(merchant)));
            }
            told.findings.extend(report.findings.iter().map(of_manifests));
            told.checked.push(format!(
                "the manifests of {} merchants against the orders of {} and the grants of {} cohorts",
                report.at_least.len(),
                counted.orders.len(),
                counted.grants.len()
            ));
        }
        None => told.checked.push("not the crowds: --grid was not given".to_owned()),
    }
    Ok(told)
}

/// What is in the ledger, with the first lines of what is told; `Err` if there are two histories, which is all
/// that is told then.
fn read_history(arguments: &Arguments, policy: &WitnessPolicy) -> Outcome<Result<(History, Told), Told>> {
    let directory = &arguments.ledger;
    if !directory.is_dir() {
        return Err("there is no such directory").at(directory);
    }
    let view = DirectoryView::new(directory);
    let newer = view.checkpoint().at(directory)?;
    let newer = newer
        .ok_or("it has no file `checkpoint`: not the directory of a ledger, or nothing was published yet");
    is_of(policy, &newer.at(directory)?).at(directory.join("checkpoint"))?;
    let older = arguments.older.as_ref().map(|path| {
        let note = fs::read(path).at(path)?;
        is_of(policy, &note).at(path)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(note)
    });
    let older = older.transpose()?;
    let now = arguments.at.map_or_else(|| SystemClock.now(), Timestamp::from_unix_seconds);
    let history = match History::read(&view, policy, older.as_deref(), now) {
        Err(error @ AuditError::Rewritten) => {
            let findings = vec![format!("rewritten: {error}")];
            return Ok(Err(Told {
                notes: vec![],
                findings,
                checked: vec!["the two checkpoints".to_owned()],
            }));
        }
        history => history.at(directory)?,
    };
    let (checkpoint, quorum) = history.newer();
    let (size, time) = (checkpoint.size(), quorum.median_time.as_unix_seconds());
    let notes = vec![format!("checkpoint of {size} entries, cosigned at {time}")];
    let mut checked = vec![format!(
        "{size} entries of {} have the checkpoint's root, which {} of {} witnesses cosigned",
        policy.log().name(),
        quorum.witnesses,
        policy.witnesses().len()
    )];
    checked.push(match &arguments.older {
        Some(path) => format!("they go on from the checkpoint {}", path.display()),
        None => "not that they go on from an older checkpoint: --older was not given".to_owned(),
    });
    Ok(Ok((history, Told { notes, findings: vec![], checked })))
}

/// Whether a checkpoint is one of the ledger that the trust file names: else it is a wrong path, or a wrong key.
fn is_of(policy: &WitnessPolicy, note: &[u8]) -> Result<(), String> {
    let key = policy.log();
    SignedCheckpoint::parse(note, key)
        .map(drop)
        .map_err(|error| format!("{error}; the trust file names {key}"))
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
        ManifestFinding::TooManyCohorts { merchant, first_publication, cohorts } => {
            format!(
                "too-many-cohorts {cohorts} of {} at {}",
                text(merchant),
                first_publication.as_unix_seconds()
            )
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

/// The rows of a CSV file: of each the number of its line and the named columns.
fn read_csv<const N: usize>(path: &Path, names: [&str; N]) -> Outcome<Vec<(u64, [String; N])>> {
    let mut reader = csv::Reader::from_path(path).at(path)?;
    let columns = reader.headers().at(path)?.clone();
    let at = |name: &str| columns.iter().position(|column| column == name);
    let places: Vec<usize> = names.iter().filter_map(|name| at(name)).collect();
    if places.len() < N {
        return Err(format!("it needs the columns {}", names.join(", "))).at(path);
    }
    let row = |row: csv::StringRecord| {
        let line = row.position().map_or(0, csv::Position::line);
        (line, std::array::from_fn(|number| row[places[number]].to_owned()))
    };
    reader.records().map(|record| record.map(row).at(path)).collect()
}

/// Takes each row, and says on which line one is that cannot be taken.
fn each_row<T>(
    path: &Path,
    rows: impl IntoIterator<Item = (u64, T)>,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> Outcome<()> {
    let take = |(line, row)| take(row).map_err(|error| format!("line {line}: {error}"));
    rows.into_iter().try_for_each(take).at(path)
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

fn number<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

fn read_orders(path: &Path) -> Outcome<BTreeMap<Name, u64>> {
    let mut counts = BTreeMap::new();
    each_row(path, read_csv(path, ["merchant", "orders"])?, |[merchant, orders]| {
        counts.insert(name(&merchant)?, number(&orders)?);
        Ok(())
    })?;
    Ok(counts)
}

fn read_grants(path: &Path) -> Outcome<BTreeMap<Scope, u64>> {
    let mut counts = BTreeMap::new();
    let rows = read_csv(path, ["key_id", "merchant", "cohort", "grants"])?;
    each_row(path, rows, |[key_id, merchant, cohort, grants]| {
        counts.insert(Scope::new(unhex(&key_id)?, name(&merchant)?, number(&cohort)?), number(&grants)?);
        Ok(())
    })?;
    Ok(counts)
}

fn read_published(path: &Path) -> Outcome<PublishedSet> {
    let mut set = PublishedSet::new();
    let mut put = |id: &str, merchant: &str, digest: [u8; 32]| match set
        .insert(ReviewId(unhex(id)?), (name(merchant)?, digest))
    {
        None => Ok(()),
        Some(_) => Err(format!("the review {id} is published twice")),
    };
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        let text = fs::read_to_string(path).at(path)?;
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
        each_row(path, lines, |line| {
            let row: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let digest = match (row["review_digest"].as_str(), &row["review"]) {
                (Some(digest), _) => unhex(digest)?,
                (None, review) => {
                    let review: Result<Review, _> = serde_json::from_value(review.clone());
                    review.map_err(|error| format!("no review_digest, and as a review: {error}"))?.digest()
                }
            };
            let field = |name: &str| row[name].as_str().ok_or_else(|| format!("it has no {name}"));
            put(field("review_id")?, field("merchant")?, digest)
        })?;
    } else {
        let rows = read_csv(path, ["review_id", "merchant", "review_digest"])?;
        each_row(path, rows, |[id, merchant, digest]| put(&id, &merchant, unhex(&digest)?))?;
    }
    Ok(set)
}
