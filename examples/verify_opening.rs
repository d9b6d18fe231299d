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
use unjoin::ledger::{PublishedEntry, WitnessPolicy};
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
    tell_checks(opening, trust, author, &mut out)?;
    Ok(out)
}

/// What [`Opening::verify`] has checked for that, and what it cannot.
fn tell_checks(opening: &Opening, trust: &Trust, author: &Author, out: &mut String) -> Outcome<()> {
    let ledger = |policy: &WitnessPolicy| {
        let (name, witnesses) = (policy.log().name(), policy.witnesses().len());
        format!("{name}, under a checkpoint that a quorum of {witnesses} witnesses cosigned")
    };
    let (openings, reviews) = (ledger(&trust.openings), ledger(&trust.reviews));
    let refreshes = opening.committees().len().saturating_sub(1);
    writeln!(out, "Checked:   the warrant's commitment is logged in {openings},")?;
    writeln!(out, "           in an entry that one of its officers signed")?;
    writeln!(out, "           the requester may ask for this action on these grounds, by the trust file")?;
    writeln!(out, "           all {} trustees signed the committee of the key;", trust.trustees.count())?;
    writeln!(
        out,
        "           {refreshes} refreshes followed, each signed by enough of the committee before"
    )?;
    writeln!(out, "           the review is logged in {reviews};")?;
    writeln!(
        out,
        "           its token was issued with a key of the trust file, and its escrow is the token's"
    )?;
    writeln!(out, "           each share is of this escrow and made under this warrant;")?;
    writeln!(out, "           each trustee announced the share in that ledger, behind the warrant")?;
    if author.account.is_some() {
        writeln!(
            out,
            "           the account was bound to the wallet key in an entry that stands before the warrant's"
        )?;
    }
    writeln!(
        out,
        "Not shown: that the trustees kept their budget: audit the openings ledger. The commitment is"
    )?;
    writeln!(out, "           {}", hex(&opening.warrant().commitment()))?;
    Ok(())
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
