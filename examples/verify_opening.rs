//! Checks an opening, offline: who was found to have written a review, and by what right.
//!
//! ```text
//! verify_opening --opening FILE --trust FILE
//! ```
//!
//! The opening is the whole kind-45 message. The trust file says whom you believe: `--help` tells its lines.
//!
//! It prints what was proved; the exit status is 0 if the opening holds, 1 if it does not, and 2 if that could
//! not be found out: a file is not there, or is not what it should be. That is no verdict.

#![forbid(unsafe_code)]

#[allow(dead_code, reason = "other programs need other lines of a trust file")]
#[path = "trust/mod.rs"]
pub(crate) mod trust;
#[allow(dead_code, reason = "its main ends in three ways")]
#[path = "shared/words.rs"]
mod words;

use clap::Parser;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use trust::{TrustFile, hex, text};
use unjoin::ledger::{Ledger, PublishedEntry, WitnessPolicy};
use unjoin::opening::warrant::WarrantPolicy;
use unjoin::opening::{Author, Opening, OpeningTrust};
use unjoin::secret::SystemRng;
use unjoin::token::{IssuerPublicKey, Trustees};
use unjoin::wire::Message;
use words::{At, Outcome};

/// Whom the reader believes.
struct Trust {
    issuers: Vec<IssuerPublicKey>,
    trustees: Trustees,
    requesters: WarrantPolicy,
    reviews: WitnessPolicy,
    openings: WitnessPolicy,
}

/// What is checked.
#[derive(Parser)]
#[command(about = "Checks who was found to have written a review, and by what right", after_help = trust::HELP)]
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
        Ok(Ok(proved)) => {
            print!("{proved}");
            ExitCode::SUCCESS
        }
        Ok(Err(verdict)) => {
            eprintln!("{verdict}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("nothing was checked: {error}");
            ExitCode::from(2)
        }
    }
}

/// What was proved, in words, or why nothing is; an error is no verdict.
pub(crate) fn run(arguments: &Arguments) -> Outcome<Result<String, String>> {
    let trust = read_trust(&TrustFile::read(&arguments.trust)?)?;
    let bytes = fs::read(&arguments.opening).at(&arguments.opening)?;
    let opening = Opening::from_bytes(&bytes)
        .map_err(|error| format!("not an opening ({error}): take the file unchanged from whoever made it"));
    let opening = opening.at(&arguments.opening)?;
    Ok(match opening.verify(&view(&trust), &mut SystemRng::new()) {
        Ok(author) => Ok(tell(&opening, &trust, &author)?),
        Err(error) => Err(format!(
            "By {} the opening does not hold, and proves nothing: {error}",
            arguments.trust.display()
        )),
    })
}

fn read_trust(file: &TrustFile) -> Outcome<Trust> {
    // An opening stays true: no checkpoint is too old.
    let ledger = |ledger| file.ledger(ledger, u64::MAX);
    Ok(Trust {
        issuers: file.issuers()?,
        trustees: file.trustees()?,
        requesters: file.requesters()?,
        reviews: ledger(Ledger::Reviews)?,
        openings: ledger(Ledger::Openings)?,
    })
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
