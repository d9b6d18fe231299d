//! Checks an opening, offline: who was found to have written a review, and by what right.
//!
//! ```text
//! verify_opening --opening FILE --trust FILE
//! ```
//!
//! The opening is the whole kind-45 message. The trust file says whom you believe: its lines are told in
//! `examples/trust/mod.rs`. Get it from the trustees, the ledgers' witnesses and the platform's
//! publications, not from whoever gave you the opening.
//!
//! It prints what was proved; the exit status is 0 if the opening holds, 1 if it does not or could
//! not be read.

#![forbid(unsafe_code)]

#[path = "trust/mod.rs"]
mod trust;

use clap::Parser;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use trust::{Trust, hex, text};
use unjoin::ledger::PublishedEntry;
use unjoin::opening::{Author, Opening, OpeningTrust};
use unjoin::secret::SystemRng;
use unjoin::wire::Message;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is checked.
#[derive(Parser)]
#[command(about = "Checks who was found to have written a review, and by what right")]
pub(crate) struct Arguments {
    /// The opening
    #[arg(long)]
    opening: PathBuf,
    /// Whom to believe
    #[arg(long)]
    trust: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(proved) => {
            print!("{proved}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the opening proves nothing: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was proved, in words.
pub(crate) fn run(arguments: &Arguments) -> Outcome<String> {
    // An opening stays true: no checkpoint is too old.
    let trust = Trust::parse(&fs::read_to_string(&arguments.trust)?, u64::MAX)?;
    let opening = Opening::from_bytes(&fs::read(&arguments.opening)?)?;
    let author = opening.verify(&view(&trust), &mut SystemRng::new())?;
    tell(&opening, &trust, &author)
}

fn tell(opening: &Opening, trust: &Trust, author: &Author) -> Outcome<String> {
    let terms = opening.warrant().terms();
    let published = PublishedEntry::from_bytes(opening.review().published.claimed_entry())?;
    let committee = opening.committees().last().ok_or("no committee")?.committee();
    let requester = trust.requesters.requesters().iter().find(|known| known.name == *terms.requester());
    let needed = requester.map_or(0, |requester| requester.needed);
    let trustees: Vec<String> =
        opening.shares().iter().map(|released| released.share.index().to_string()).collect();
    let mut out = String::new();
    writeln!(out, "The opening holds.")?;
    writeln!(out, "Asked:     by {}, {needed} or more of whose officers signed", text(terms.requester()))?;
    writeln!(out, "           case {}, grounds {}", terms.case(), terms.grounds())?;
    writeln!(
        out,
        "           valid from {} to {}, seconds UTC, and logged in that time",
        terms.not_before().as_unix_seconds(),
        terms.not_after().as_unix_seconds()
    )?;
    writeln!(out, "Review:    {}", hex(published.review_id.as_bytes()))?;
    writeln!(
        out,
        "           on {}, published at {}, one of {} in the warrant",
        text(opening.review().presentation.scope().merchant()),
        published.boundary.as_unix_seconds(),
        terms.reviews().len()
    )?;
    writeln!(
        out,
        "Answered:  by trustees {}; {} of {} must answer, in share epoch {}",
        trustees.join(", "),
        committee.threshold(),
        committee.trustees(),
        committee.epoch()
    )?;
    writeln!(out, "Author:    the wallet key {}", hex(author.wallet_key.as_bytes()))?;
    match &author.account {
        Some(account) => writeln!(out, "           of the account {}, as was logged", text(account))?,
        None => writeln!(out, "           the opening does not show whose account that is")?,
    }
    Ok(out)
}

fn view(trust: &Trust) -> OpeningTrust<'_> {
    OpeningTrust {
        issuers: &trust.issuers,
        trustees: &trust.trustees,
        requesters: &trust.requesters,
        reviews: &trust.reviews,
        openings: &trust.openings,
    }
}
