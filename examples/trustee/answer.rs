//! Answering: an entry, and once that is logged, a share.

use super::show::{tell_terms, utc};
use super::trust::hex;
use super::words::{At, Outcome};
use super::{Where, ask, own, read, read_warrant};
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unjoin::ledger::{LogView, entry_id};
use unjoin::opening::ReviewEvidence;
use unjoin::opening::service::{OpeningAnswer, OpeningRequest, Trustee};
use unjoin::opening::warrant::PresentedWarrant;
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin::wire::Message;

#[derive(Args)]
pub(crate) struct AnswerArguments {
    /// The warrant, with its blind
    #[arg(long)]
    warrant: PathBuf,
    /// The evidence of the review that it is about
    #[arg(long)]
    review: PathBuf,
    /// Where to write what leaves: an entry for the ledger, or the sealed share
    #[arg(long)]
    out: PathBuf,
    /// Says what would happen; nothing is written, neither here nor in the store
    #[arg(long)]
    dry_run: bool,
    /// Does not ask before the budget is charged
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: Where,
}

/// `answer`.
pub(crate) fn answer(arguments: &AnswerArguments, screen: &mut dyn Write) -> Outcome<()> {
    let AnswerArguments { warrant, review, out, dry_run, yes, at } = arguments;
    let presented = read_warrant(warrant)?;
    let evidence = ReviewEvidence::from_bytes(&read(review)?).at(review)?;
    let named = evidence.presentation.review_id();
    tell_terms(&presented, screen)?;
    writeln!(screen, "Now about:   {}", hex(named.as_bytes()))?;
    let request = OpeningRequest { presented, review: evidence };
    let (kept, view) = (at.own.secrets()?, at.view());
    let secrets = kept.unseal()?;
    let store = at.own.store(&secrets)?;
    // A copy tells all that the store would: whoever dries a run charges nothing.
    let copied = own(Arc::new(copy(&*store)?), &secrets)?;
    let would = at.trustee(copied, secrets)?.answer(&request, &view)?;
    tell(&would, *dry_run, screen)?;
    if *dry_run {
        writeln!(screen, "Nothing was written.")?;
        return Ok(());
    }
    let charges = matches!(would, OpeningAnswer::Append(_));
    if charges && !yes && ask("charge your budget for this review, for good? type yes: ")? != "yes" {
        return Err("nothing was written".into());
    }
    let trustee = at.trustee(store, kept.unseal()?)?;
    fs::create_dir_all(out).at(out)?;
    write(&trustee, &request, &view, out, screen)
}

fn tell(answer: &OpeningAnswer, dry_run: bool, screen: &mut dyn Write) -> Outcome<()> {
    let first = if dry_run { "Would be:    " } else { "Next:        " };
    match answer {
        OpeningAnswer::Append(_) => {
            writeln!(screen, "{first}an entry that says you release a share; log it, then answer again")?
        }
        OpeningAnswer::Wait { until } => {
            writeln!(screen, "{first}wait; the cooling-off is over on {}", utc(*until))?
        }
        OpeningAnswer::Released(_) => {
            writeln!(screen, "{first}your share, sealed to the recipient of the warrant")?
        }
        OpeningAnswer::Charged => {
            writeln!(screen, "{first}nothing; the review is charged, rounds can be run")?
        }
    }
    Ok(())
}

fn write<S: Store>(
    trustee: &Trustee<S>,
    request: &OpeningRequest,
    view: &dyn LogView,
    out: &Path,
    screen: &mut dyn Write,
) -> Outcome<()> {
    let (name, bytes) = match trustee.answer(request, view)? {
        OpeningAnswer::Append(entry) => (format!("entry-{}.bin", hex(&entry_id(&entry))), entry),
        OpeningAnswer::Released(share) => {
            let commitment = PresentedWarrant::commitment(&request.presented);
            let subject = request.review.presentation.review_id();
            let name = [&commitment[..4], &subject.as_bytes()[..4]].map(hex).join("-");
            (format!("share-{}-{name}.bin", trustee.index()), share.to_bytes())
        }
        OpeningAnswer::Wait { .. } | OpeningAnswer::Charged => return Ok(()),
    };
    let path = out.join(name);
    fs::write(&path, bytes).at(&path)?;
    writeln!(screen, "Written:     {}", path.display())?;
    Ok(())
}

/// `resynchronise`.
pub(crate) fn resynchronise(yes: bool, at: &Where, screen: &mut dyn Write) -> Outcome<()> {
    let question = "is it certain that nobody else has this trustee's key? type yes: ";
    if !yes && ask(question)? != "yes" {
        return Err("then have the other trustees refresh without you: nothing was taken over".into());
    }
    let taken = at.open()?.resynchronise(&at.view())?;
    writeln!(screen, "{taken} releases were taken over from the ledger")?;
    Ok(())
}

/// Every row of a store, in memory.
fn copy(store: &impl Store) -> Outcome<MemoryStore> {
    const PAGE: usize = 1024;
    let copy = MemoryStore::new();
    for bucket in Bucket::all() {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(bucket, b"", after.as_deref(), PAGE)?;
            after = page.last().map(|row| row.key.clone());
            let complete = page.len() < PAGE;
            let put = |commit: Commit, row: unjoin::store::Row| commit.put(row.key, row.value);
            copy.commit(&[page.into_iter().fold(Commit::new(bucket), put)])?;
            if complete {
                break;
            }
        }
    }
    Ok(copy)
}
