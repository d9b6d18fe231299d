//! Comparing: a round over the files of a case, by those who charged its reviews.
//!
//! ```text
//! warrant.bin, review-*.bin      the warrant with its blind; the evidence of all its reviews
//! round-1.bin                    who takes part in round 1, signed by an officer: log it
//! committed-1-2.bin              trustee 2 is bound to a blind: log it
//! blind-1-2.bin                  the blind, when all are bound
//! compared-1-2.bin               for which blinds trustee 2 gives its share: log it
//! share-1-2.bin                  the share, sealed to the warrant's recipient
//! ```
//!
//! Whoever leads believes a file's name: take each from the trustee whom it names.

use super::show::tell_terms;
use super::trust::{TrustFile, hex, unhex};
use super::words::{At, Outcome};
use super::{Where, read};
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use unjoin::ledger::{KeyName, NoteKey};
use unjoin::opening::same_author::{
    AuthorClasses, Blind, Comparison, ComparisonPanel, RoundAnswer, RoundRequest,
};
use unjoin::opening::warrant::PresentedWarrant;
use unjoin::opening::{Committee, RecipientKey, ReviewEvidence, SealedShare, SignedCommittee};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::token::Trustees;
use unjoin::wire::Message;

#[derive(Args)]
pub(crate) struct RoundArguments {
    #[command(flatten)]
    case: Case,
    /// Trustees who charged all reviews of the warrant, t or more
    #[arg(long, value_delimiter = ',', required = true)]
    members: Vec<u16>,
    /// The trustees' policy
    #[arg(long)]
    policy: PathBuf,
    /// The committees of all share epochs, the first one first
    #[arg(long, required = true)]
    committee: Vec<PathBuf>,
    /// An officer's key of the requester: its name, a space and 64 hexadecimal digits
    #[arg(long)]
    officer: PathBuf,
    /// The secret of the warrant's recipient key: 64 hexadecimal digits
    #[arg(long)]
    recipient: PathBuf,
}

#[derive(Args)]
pub(crate) struct MemberArguments {
    #[command(flatten)]
    case: Case,
    #[command(flatten)]
    at: Where,
}

/// A round and its files.
#[derive(Args)]
struct Case {
    /// The directory of the case
    #[arg(long)]
    case: PathBuf,
    /// The round's number, from 1; another one after a round that was given up
    #[arg(long)]
    round: u16,
}

impl Case {
    fn warrant(&self) -> Outcome<PresentedWarrant> {
        super::read_warrant(&self.case.join("warrant.bin"))
    }

    fn reviews(&self) -> Outcome<Vec<ReviewEvidence>> {
        let mut reviews = Vec::new();
        for entry in fs::read_dir(&self.case).at(&self.case)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("review-")) {
                reviews.push(ReviewEvidence::from_bytes(&read(&path)?).at(&path)?);
            }
        }
        reviews.sort_by_key(|review| review.presentation.review_id());
        Ok(reviews)
    }

    fn path(&self, what: &str, index: u16) -> PathBuf {
        self.case.join(format!("{what}-{}-{index}.bin", self.round))
    }

    /// What is there of the round's files, each with the index of the trustee whom its name has.
    fn of_members<T>(&self, what: &str, parse: impl Fn(&[u8]) -> Outcome<T>) -> Outcome<Vec<(u16, T)>> {
        let there = (1..=Committee::MAX_TRUSTEES as u16).map(|index| (index, self.path(what, index)));
        there
            .filter(|(_, path)| path.exists())
            .map(|(index, path)| Ok((index, parse(&read(&path)?)?)))
            .collect()
    }

    fn blinds(&self) -> Outcome<Vec<(u16, Blind)>> {
        self.of_members("blind", |bytes| Ok(Blind::from_bytes(bytes)?))
    }
}

/// `blind`.
pub(crate) fn blind(MemberArguments { case, at }: &MemberArguments, screen: &mut dyn Write) -> Outcome<()> {
    let request = request(case, screen)?;
    let trustee = at.open()?;
    leave(case, trustee.index(), "committed", trustee.blind(&request, &at.view())?, screen)
}

/// `compare`.
pub(crate) fn compare(MemberArguments { case, at }: &MemberArguments, screen: &mut dyn Write) -> Outcome<()> {
    let request = request(case, screen)?;
    let blinds: Vec<Blind> = case.blinds()?.into_iter().map(|(_, blind)| blind).collect();
    let trustee = at.open()?;
    leave(case, trustee.index(), "compared", trustee.compare(&request, &blinds, &at.view())?, screen)
}

fn request(case: &Case, screen: &mut dyn Write) -> Outcome<RoundRequest> {
    let presented = case.warrant()?;
    tell_terms(&presented, screen)?;
    writeln!(screen, "Round:       {}", case.round)?;
    Ok(RoundRequest { presented, reviews: case.reviews()?, round: case.round })
}

fn leave(case: &Case, index: u16, entry: &str, answer: RoundAnswer, screen: &mut dyn Write) -> Outcome<()> {
    match answer {
        RoundAnswer::Append(bytes) => {
            write(&case.path(entry, index), &bytes, screen)?;
            writeln!(screen, "Next:        log it, then the same command again")?;
        }
        RoundAnswer::Awaiting(others) => {
            writeln!(screen, "Next:        wait; trustees {others:?} are not bound to their blinds yet")?;
        }
        RoundAnswer::Reveal(blind) => {
            write(&case.path("blind", index), &blind.to_bytes(), screen)?;
            writeln!(screen, "Next:        when all members' blinds are in the case: compare")?;
        }
        RoundAnswer::Released(share) => {
            write(&case.path("share", index), &share.to_bytes(), screen)?;
            writeln!(screen, "Next:        nothing; it is sealed to the recipient of the warrant")?;
        }
    }
    Ok(())
}

/// `round`.
pub(crate) fn round(arguments: &RoundArguments, screen: &mut dyn Write) -> Outcome<()> {
    let RoundArguments { case, members, policy, committee, officer, recipient } = arguments;
    let before = case.round.checked_sub(1).ok_or("rounds are counted from 1")?;
    let (policy, trustees) = TrustFile::read(policy)?.trustee_policy()?;
    let committee = newest(committee, &trustees)?;
    let needed = usize::from(committee.threshold());
    let panel = ComparisonPanel { committee, trustees, origin: policy.openings.log().name().clone() };
    let members = members.iter().copied();
    let mut comparison = Comparison::new(case.warrant()?, case.reviews()?, panel, members)?.after(before);
    let round = comparison.next_round()?;
    let path = case.case.join(format!("round-{}.bin", case.round));
    if !path.exists() {
        write(&path, &comparison.entry(&round, &officer_key(officer)?)?.to_bytes(), screen)?;
        writeln!(screen, "Next:        log it; then each member's blind")?;
        return Ok(());
    }
    let committed = case.of_members("committed", |bytes| Ok(bytes.to_vec()))?;
    let _ = comparison.take_entries(&committed)?;
    let blinds = case.blinds()?;
    let missing = |there: &dyn Fn(u16) -> bool| -> Vec<u16> {
        round.members.indices().filter(|index| !there(*index)).collect()
    };
    let unbound = missing(&|index| committed.iter().any(|(from, _)| *from == index));
    let hidden = missing(&|index| blinds.iter().any(|(from, _)| *from == index));
    for (what, of) in [("commitments", unbound), ("blinds", hidden)] {
        if !of.is_empty() {
            writeln!(screen, "Waits:       for the {what} of {of:?}; without them, another round")?;
            return Ok(());
        }
    }
    let rng = &mut SystemRng::new();
    let _ = comparison.take_blinds(&blinds, rng)?;
    let shares = case.of_members("share", |bytes| Ok(SealedShare::from_bytes(bytes)?))?;
    if shares.len() < needed {
        writeln!(
            screen,
            "Waits:       the blinds are good; {needed} shares are needed, {} are here",
            shares.len()
        )?;
        return Ok(());
    }
    let recipient = RecipientKey::from_secret_bytes(SecretBytes::new(unhex(word(recipient)?.trim())?));
    let classes = comparison.take_shares(&shares, &recipient, rng)?;
    for index in comparison.culprits() {
        writeln!(screen, "Bad:         the share of trustee {index}; it was not needed")?;
    }
    tell(&classes, screen)
}

fn tell(classes: &AuthorClasses, screen: &mut dyn Write) -> Outcome<()> {
    for (number, reviews) in (1..).zip(&classes.authors) {
        writeln!(screen, "Author {number}:    {} of the reviews", reviews.len())?;
        for review in reviews {
            writeln!(screen, "             {}", hex(review.as_bytes()))?;
        }
    }
    for review in &classes.nobody {
        writeln!(screen, "Nobody's:    {}: somebody has the issuing key", hex(review.as_bytes()))?;
    }
    Ok(())
}

/// The last committee, to which a chain of signatures leads from the key ceremony.
fn newest(paths: &[PathBuf], trustees: &Trustees) -> Outcome<Committee> {
    let mut newest: Option<SignedCommittee> = None;
    for path in paths {
        let next = SignedCommittee::from_bytes(&read(path)?).at(path)?;
        match &newest {
            None => next.verify_first(trustees)?,
            Some(before) => next.verify_successor(trustees, before.committee())?,
        }
        newest = Some(next);
    }
    Ok(newest.ok_or("no committee")?.committee().clone())
}

pub(super) fn officer_key(path: &Path) -> Outcome<NoteKey> {
    let text = word(path)?;
    let (name, secret) = text.trim().split_once(' ').ok_or("an officer's key is a name and 64 digits")?;
    Ok(NoteKey::from_secret_bytes(KeyName::new(name)?, &SecretBytes::new(unhex(secret)?)))
}

pub(super) fn word(path: &Path) -> Outcome<String> {
    Ok(String::from_utf8(read(path)?)?)
}

pub(super) fn write(path: &Path, bytes: &[u8], screen: &mut dyn Write) -> Outcome<()> {
    fs::write(path, bytes).at(path)?;
    writeln!(screen, "Written:     {}", path.display())?;
    Ok(())
}
