//! The requester's side: officers' keys, a warrant, and what the trustees' answers open.
//!
//! ```text
//! warrant.bin            in the case's directory: the warrant with its blind, for the trustees
//! warrant-entry.bin      what the platform logs before any trustee answers
//! recipient.hex          opens the trustees' shares: erase it when the case is closed
//! ```

use super::rounds::{officer_key, word, write};
use super::trust::{TrustFile, hex, unhex};
use super::words::{At, Outcome};
use super::{read, read_warrant};
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use unjoin::ledger::{
    DirectoryView, KeyName, Ledger, LogView, NoteKey, NotePublicKey, ShareReleasedEntry, SignedCheckpoint,
    WarrantAction,
};
use unjoin::opening::warrant::{PresentedWarrant, Warrant, WarrantTerms};
use unjoin::opening::{
    Opening, OpeningTrust, RecipientKey, ReleasedShare, ReviewEvidence, SealedShare, SignedCommittee,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Name, SystemClock};

#[derive(Args)]
pub(crate) struct OfficerArguments {
    /// The key's name, as court.example/officer1
    #[arg(long)]
    name: String,
    /// Where to write the key
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct WarrantArguments {
    /// The directory of the case; made if it is not there
    #[arg(long)]
    case: PathBuf,
    /// The case's reference
    #[arg(long)]
    reference: String,
    /// Who asks, by the name that the policies have
    #[arg(long)]
    requester: String,
    /// The code of the grounds, as the trustees have published them
    #[arg(long)]
    grounds: u16,
    /// For so many days from now
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// The evidence of a review, as the platform gives it out; may be given more than once
    #[arg(long = "review", required = true)]
    reviews: Vec<PathBuf>,
    /// An officer's key; as many as must sign
    #[arg(long = "officer", required = true)]
    officers: Vec<PathBuf>,
    /// Asks which reviews have one author, and not who that is
    #[arg(long)]
    same_author: bool,
    /// Whom to believe
    #[arg(long)]
    policy: PathBuf,
}

#[derive(Args)]
pub(crate) struct OpenArguments {
    /// The directory of the case
    #[arg(long)]
    case: PathBuf,
    /// The evidence of the review
    #[arg(long)]
    review: PathBuf,
    /// A trustee's sealed share; as many as must answer
    #[arg(long = "share", required = true)]
    shares: Vec<PathBuf>,
    /// The committees of all share epochs, the first one first
    #[arg(long = "committee", required = true)]
    committees: Vec<PathBuf>,
    /// Whom to believe
    #[arg(long)]
    policy: PathBuf,
    /// The openings ledger, as files
    #[arg(long)]
    ledger: PathBuf,
    /// Where to write the opening, for `verify_opening`
    #[arg(long)]
    out: PathBuf,
}

/// `officer`.
pub(crate) fn officer(arguments: &OfficerArguments, screen: &mut dyn Write) -> Outcome<()> {
    let OfficerArguments { name, out } = arguments;
    let seed = SecretBytes::random(&mut SystemRng::new());
    let key = NoteKey::from_secret_bytes(KeyName::new(name)?, &seed);
    let text = format!("{name} {}\n", hex(seed.expose()));
    write_secret(out, text.as_bytes())?;
    writeln!(screen, "officer {}", key.public())?;
    Ok(())
}

/// `warrant`.
pub(crate) fn warrant(arguments: &WarrantArguments, screen: &mut dyn Write) -> Outcome<()> {
    let WarrantArguments { case, reviews, officers, policy, .. } = arguments;
    let policy = TrustFile::read(policy)?;
    let reviews = reviews.iter().map(|path| {
        let evidence = ReviewEvidence::from_bytes(&read(path)?).at(path)?;
        Ok(evidence.presentation.review_id())
    });
    let officers = officers.iter().map(|path| officer_key(path)).collect::<Outcome<Vec<_>>>()?;
    let action = if arguments.same_author { WarrantAction::SameAuthor } else { WarrantAction::Open };
    let secret = SecretBytes::<32>::random(&mut SystemRng::new());
    let digits = hex(secret.expose());
    let now = SystemClock.now();
    let terms = WarrantTerms::new(
        &arguments.reference,
        Name::new(&arguments.requester)?,
        action,
        arguments.grounds,
        now..=now.saturating_add(arguments.days.saturating_mul(DAY)),
        *RecipientKey::from_secret_bytes(secret).public(),
        reviews.collect::<Outcome<_>>()?,
    )?;
    let mut warrant = Warrant::draft(terms)?;
    officers.iter().try_for_each(|officer| warrant.sign(officer))?;
    policy.requesters()?.check(&warrant, now)?;
    let presented = PresentedWarrant::new(warrant, &mut SystemRng::new());
    let openings = policy.ledger(Ledger::Openings, u64::MAX)?;
    let first = officers.first().ok_or("no officer signs")?;
    let entry = presented.entry(openings.log().name(), first)?;
    fs::create_dir_all(case).at(case)?;
    write_secret(&case.join("recipient.hex"), digits.as_bytes())?;
    write(&case.join("warrant.bin"), &presented.to_bytes(), screen)?;
    write(&case.join("warrant-entry.bin"), &entry.to_bytes(), screen)?;
    writeln!(screen, "Next:        have the platform log the entry; then the trustees answer")?;
    Ok(())
}

/// `open`.
pub(crate) fn open(arguments: &OpenArguments, screen: &mut dyn Write) -> Outcome<()> {
    let OpenArguments { case, review, shares, committees, policy, ledger, out } = arguments;
    let file = TrustFile::read(policy)?;
    let ledger_of = |ledger| file.ledger(ledger, u64::MAX);
    let (reviews, openings) = (ledger_of(Ledger::Reviews)?, ledger_of(Ledger::Openings)?);
    let presented = read_warrant(&case.join("warrant.bin"))?;
    let recipient =
        RecipientKey::from_secret_bytes(SecretBytes::new(unhex(word(&case.join("recipient.hex"))?.trim())?));
    let evidence = ReviewEvidence::from_bytes(&read(review)?).at(review)?;
    let view = DirectoryView::new(ledger);
    let logged = |entry: &[u8]| {
        let found = view.evidence_of(entry).at(ledger)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
            found.ok_or("an entry is not in the openings ledger yet")?,
        )
    };
    let releases = releases(&view, &presented, &evidence, openings.log()).at(ledger)?;
    let shares = shares.iter().map(|path| {
        let sealed = SealedShare::from_bytes(&read(path)?).at(path)?;
        let share = recipient.open(&sealed, presented.terms()).at(path)?;
        let release = releases.iter().find(|(trustee, _)| *trustee == share.index());
        let (_, release) = release.ok_or("a share's announcement is not in the openings ledger")?;
        Ok(ReleasedShare { share, release: logged(release)? })
    });
    let shares = shares.collect::<Outcome<Vec<_>>>()?;
    let committees = committees.iter().map(|path| SignedCommittee::from_bytes(&read(path)?).at(path));
    let (issuers, trustees, requesters) = (file.issuers()?, file.trustees()?, file.requesters()?);
    let trust = OpeningTrust {
        issuers: &issuers,
        trustees: &trustees,
        requesters: &requesters,
        reviews: &reviews,
        openings: &openings,
    };
    let entry = logged(&read(&case.join("warrant-entry.bin"))?)?;
    let committees = committees.collect::<Outcome<_>>()?;
    let rng = &mut SystemRng::new();
    let opening = Opening::combine(presented, entry, evidence, committees, shares, &trust, rng)?;
    write(out, &opening.to_bytes(), screen)
}

/// What trustees announced for this review under this warrant, each with who did.
fn releases(
    view: &DirectoryView,
    presented: &PresentedWarrant,
    review: &ReviewEvidence,
    log: &NotePublicKey,
) -> Outcome<Vec<(u16, Vec<u8>)>> {
    let tag = presented.tag(&review.presentation.review_id());
    let note = view.checkpoint()?.ok_or("the ledger has no checkpoint yet")?;
    let size = SignedCheckpoint::parse(&note, log)?.size();
    let entries = view.entries(0, size)?;
    let of_case =
        |entry: &Vec<u8>| ShareReleasedEntry::from_bytes(entry).ok().filter(|read| *read.tag() == tag);
    Ok(entries.into_iter().filter_map(|entry| Some((of_case(&entry)?.trustee(), entry))).collect())
}

/// A file that its owner alone may read, and that is not there yet.
fn write_secret(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| file.write_all(bytes)).at(path)
}
