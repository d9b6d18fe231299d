//! Checks an opening, offline: who was found to have written a review, and by what right.
//!
//! ```text
//! verify_opening --opening FILE --trust FILE
//! ```
//!
//! The opening is the whole kind-45 message. The trust file says whom you believe; get it from
//! the trustees, the ledgers' witnesses and the platform's publications, not from whoever gave
//! you the opening. Lines that begin with `#` are remarks.
//!
//! ```text
//! issuer <64 hexadecimal digits>             a published issuing key, X; as many as there are
//! trustee <64 hexadecimal digits>            the trustees' long-term keys, trustee 1 first
//! requester <name> needs <k> actions open,same-author grounds 1,2,3
//! officer <verification key>                 of the requester above
//! ledger reviews                             the policy of the reviews ledger follows
//! log <verification key>
//! witness <verification key>
//! quorum <how many> of which faulty <how many>
//! ledger openings                            the policy of the openings ledger follows
//! log <verification key>
//! ...
//! ```
//!
//! It prints what was proved; the exit status is 0 if the opening holds, 1 if it does not or could
//! not be read.

#![forbid(unsafe_code)]

use clap::Parser;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use unjoin::Name;
use unjoin::algebra::Element;
use unjoin::ledger::{NotePublicKey, PublishedEntry, WarrantAction, WitnessPolicy, WitnessPublicKey};
use unjoin::opening::{Author, Opening, OpeningTrust, Requester, WarrantPolicy};
use unjoin::secret::SystemRng;
use unjoin::token::{IssuerPublicKey, TrusteePublicKey, Trustees};
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
    let trust = Trust::parse(&fs::read_to_string(&arguments.trust)?)?;
    let opening = Opening::from_bytes(&fs::read(&arguments.opening)?)?;
    let author = opening.verify(&trust.view(), &mut SystemRng::new())?;
    tell(&opening, &trust, &author)
}

fn tell(opening: &Opening, trust: &Trust, author: &Author) -> Outcome<String> {
    let terms = opening.warrant().terms();
    let published = PublishedEntry::from_bytes(opening.review().published.claimed_entry())?;
    let committee = opening.committees().last().ok_or("no committee")?.committee();
    let requester = trust.requesters.requesters().iter().find(|known| known.name == *terms.requester());
    let needed = requester.map_or(0, |requester| requester.needed);
    let trustees: Vec<String> = opening.shares().iter().map(|share| share.index().to_string()).collect();
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
    writeln!(out, "Review:    {}", hex(&published.review_id))?;
    writeln!(
        out,
        "           on {}, published at {}, one of {} in the warrant",
        text(opening.review().presentation.scope().merchant()),
        published.boundary.as_unix_seconds(),
        terms.count()
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

/// Whom the verifier believes.
struct Trust {
    issuers: Vec<IssuerPublicKey>,
    trustees: Trustees,
    requesters: WarrantPolicy,
    reviews: WitnessPolicy,
    openings: WitnessPolicy,
}

/// One ledger's lines.
#[derive(Default)]
struct LedgerLines {
    log: Option<NotePublicKey>,
    witnesses: Vec<WitnessPublicKey>,
    quorum: Option<(usize, usize)>,
}

impl LedgerLines {
    fn policy(self) -> Outcome<WitnessPolicy> {
        let (quorum, faulty) = self.quorum.ok_or("a ledger has no quorum")?;
        let log = self.log.ok_or("a ledger has no log")?;
        // An opening stays true: no checkpoint is too old.
        Ok(WitnessPolicy::new(log, self.witnesses, quorum, faulty, u64::MAX)?)
    }
}

impl Trust {
    fn view(&self) -> OpeningTrust<'_> {
        OpeningTrust {
            issuers: &self.issuers,
            trustees: &self.trustees,
            requesters: &self.requesters,
            reviews: &self.reviews,
            openings: &self.openings,
        }
    }

    fn parse(text: &str) -> Outcome<Self> {
        let (mut issuers, mut trustees, mut requesters) = (Vec::new(), Vec::new(), Vec::<Requester>::new());
        let mut ledgers = [LedgerLines::default(), LedgerLines::default()];
        let mut ledger: Option<usize> = None;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let wrong = || format!("not a line of a trust file: {line}");
            let words: Vec<&str> = line.split(' ').collect();
            match (&words[..], ledger.and_then(|at| ledgers.get_mut(at))) {
                (["issuer", key], _) => {
                    let element = Element::from_bytes(&unhex(key)?).ok_or_else(wrong)?;
                    issuers.push(IssuerPublicKey::new(element));
                }
                (["trustee", key], _) => {
                    trustees.push(TrusteePublicKey::from_bytes(&unhex(key)?).ok_or_else(wrong)?);
                }
                (["requester", name, "needs", needed, "actions", actions, "grounds", grounds], _) => {
                    requesters.push(Requester {
                        name: Name::new(name)?,
                        keys: Vec::new(),
                        needed: needed.parse()?,
                        actions: actions.split(',').map(action).collect::<Result<_, _>>()?,
                        grounds: grounds.split(',').map(str::parse).collect::<Result<_, _>>()?,
                    });
                }
                (["officer", key], _) => {
                    requesters.last_mut().ok_or_else(wrong)?.keys.push(key.parse()?);
                }
                (["ledger", "reviews"], _) => ledger = Some(0),
                (["ledger", "openings"], _) => ledger = Some(1),
                (["log", key], Some(lines)) => lines.log = Some(key.parse()?),
                (["witness", key], Some(lines)) => lines.witnesses.push(key.parse()?),
                (["quorum", quorum, "of", "which", "faulty", faulty], Some(lines)) => {
                    lines.quorum = Some((quorum.parse()?, faulty.parse()?));
                }
                _ => return Err(wrong().into()),
            }
        }
        let [reviews, openings] = ledgers;
        Ok(Self {
            issuers,
            trustees: Trustees::new(trustees)?,
            requesters: WarrantPolicy::new(requesters)?,
            reviews: reviews.policy()?,
            openings: openings.policy()?,
        })
    }
}

fn action(word: &str) -> Result<WarrantAction, String> {
    match word {
        "open" => Ok(WarrantAction::Open),
        "same-author" => Ok(WarrantAction::SameAuthor),
        _ => Err(format!("not an action: {word}")),
    }
}

/// A name as text where it is some, else in hexadecimal digits.
fn text(name: &Name) -> String {
    match std::str::from_utf8(name.as_bytes()) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex(name.as_bytes())),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Outcome<[u8; 32]> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'));
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    let bytes: Option<Vec<u8>> = digits.collect();
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).ok_or("not 64 hexadecimal digits")?)
}
