//! A trustee's tool: for the compliance officer who holds a share of the escrow key.
//!
//! ```console
//! trustee ceremony --dir DIR --play 5 --threshold 3      # try it: everybody in one process
//! trustee ceremony --dir DIR --index 2 --new             # once: makes the long-term key
//! trustee ceremony --dir DIR --plan 3                    # once, by anybody: 3 of the keys in DIR
//! trustee ceremony --dir DIR --index 2                   # again and again: whatever is next
//! trustee ceremony --dir DIR --index 2 --abandon         # after one that failed, before a new plan
//! trustee refresh --dir DIR                              # later: the plan of new shares
//! trustee ceremony --dir DIR --conclude                  # by anybody: when some stay silent in its last round
//! trustee commit --secrets FILE --policy FILE --ledger DIR   # once the ledger has it: takes the new share
//! trustee create --secrets FILE --store FILE             # once: makes the store, which the rest only open
//!
//! trustee officer --name court.example/officer1 --out FILE   # at the requester's, once: an officer's key
//! trustee warrant --case CASE --reference TEXT --requester NAME --grounds 1 --policy FILE \
//!     --review FILE --officer FILE --officer FILE        # at the requester's: the warrant, and its entry to be logged
//! trustee open --case CASE --review FILE --share FILE --share FILE --committee FILE --policy FILE --ledger DIR \
//!     --out FILE                                         # at the requester's: the opening, for verify_opening
//!
//! trustee show-warrant --warrant FILE  WHERE             # in plain words, with what budget is left
//! trustee answer --warrant FILE --review FILE --out DIR  WHERE [--dry-run]
//! trustee blind --case CASE --round 1  WHERE             # once all reviews of the warrant are charged: commits,
//!                                                        # and again, once that is logged: reveals
//! trustee compare --case CASE --round 1  WHERE           # once all have revealed: an entry, and again: the share
//! trustee round --case CASE --round 1 --members 1,2,4 .. # whoever has the warrant's recipient key: whatever is next
//! trustee status  WHERE
//! trustee resynchronise  WHERE                           # after the store was lost or put back
//!
//! WHERE: --secrets FILE --store FILE --policy FILE --ledger DIR
//! ```
//!
//! The *policy* is a trust file: whom to believe, and the budgets; `--help` tells its lines. The *ledger* is a directory in tlog-tiles layout, as a web server shows
//! it. The *case* is a directory that is copied among the members of a round and whoever leads it (`rounds.rs`
//! tells the files). The *store* is this trustee's own redb file: never put an old copy of it back.
//!
//! A sealed file's passphrase is read from a file, or from `UNJOIN_PASSPHRASE`, or asked for, and normalised (NFKC), so
//! that another keyboard opens it too. Nothing secret is ever printed.

#![forbid(unsafe_code)]

mod answer;
mod board;
mod ceremony;
#[path = "../shared/passphrase.rs"]
pub(crate) mod passphrase;
mod rounds;
mod show;
#[path = "../trust/mod.rs"]
mod trust;
mod warrant;
#[path = "../shared/words.rs"]
mod words;

use clap::{Args, Parser, Subcommand};
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use trust::TrustFile;
use unjoin::ledger::DirectoryView;
use unjoin::opening::service::Trustee;
use unjoin::opening::warrant::PresentedWarrant;
use unjoin::opening::{SealedTrusteeSecrets, TrusteeSecrets};
use unjoin::secret::SystemRng;
use unjoin::store::identity::Role;
use unjoin::store::{OwnStore, RedbStore, Store, StoreError, Stores};
use unjoin::wire::Message;
use unjoin::{Environment, PassphraseCost};
use words::{At, Outcome};

#[derive(Parser)]
#[command(about = "What a trustee does: key ceremony, warrants, answers", after_help = trust::HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes the trustees' escrow key, step by step
    Ceremony(ceremony::CeremonyArguments),
    /// Writes the plan of a refresh: new shares of the same key, the old ones useless
    Refresh {
        /// Where the public files lie
        #[arg(long)]
        dir: PathBuf,
    },
    /// Once, and after the store was lost: makes the trustee's store. An empty one where a ledger has this trustee's
    /// releases answers nobody before it is resynchronised
    Create(StoreArguments),
    /// Takes the new share, once the ledger has the committee of the refresh
    Commit(ceremony::CommitArguments),
    /// At the requester's: makes an officer's key, and prints its line for policies
    Officer(warrant::OfficerArguments),
    /// At the requester's: a warrant for reviews, signed by its officers, and the entry to be logged
    Warrant(warrant::WarrantArguments),
    /// At the requester's: combines the trustees' shares of one review
    Open(warrant::OpenArguments),
    /// Says in plain words what a warrant asks for, whether it holds, and what budget is left
    ShowWarrant {
        /// The warrant, with its blind
        #[arg(long)]
        warrant: PathBuf,
        #[command(flatten)]
        at: Where,
    },
    /// Answers for one review of a warrant: an entry to be logged first, then the sealed share
    Answer(answer::AnswerArguments),
    /// Leads a round that compares the reviews of a warrant: whatever is next, by the files of the case
    Round(rounds::RoundArguments),
    /// Takes part in a round: commits to a blind, and once all have, reveals it
    Blind(rounds::MemberArguments),
    /// Takes part in a round whose blinds are revealed: an entry to be logged first, then the sealed share
    Compare(rounds::MemberArguments),
    /// How far the ledger was followed, and what is left of the budgets
    Status {
        #[command(flatten)]
        at: Where,
    },
    /// Takes over this trustee's releases from the ledger, after its store was lost or put back
    Resynchronise {
        /// Does not ask whether it is certain that nobody else has the key
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        at: Where,
    },
}

/// The trustee's own files.
#[derive(Args)]
pub(crate) struct StoreArguments {
    /// The trustee's sealed file
    #[arg(long)]
    secrets: PathBuf,
    /// A file that holds the passphrase; asked for otherwise, unless UNJOIN_PASSPHRASE has it
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// The trustee's store
    #[arg(long)]
    store: PathBuf,
}

impl StoreArguments {
    fn secrets(&self) -> Outcome<Secrets> {
        Secrets::ask(self.secrets.clone(), self.passphrase_file.as_deref())
    }

    fn create(&self) -> Outcome<()> {
        let roster = self.secrets()?.unseal()?.roster();
        let store = Arc::new(RedbStore::create(&self.store).at(&self.store)?);
        Stores::create(&roster, [(Role::Trustee, store)], &mut SystemRng::new()).at(&self.store).map(drop)
    }

    /// The store, if it was made for this trustee.
    fn store(&self, secrets: &TrusteeSecrets) -> Outcome<Arc<OwnStore<RedbStore>>> {
        own(Arc::new(RedbStore::open(&self.store).at(&self.store)?), secrets).at(&self.store)
    }
}

fn own<S: Store>(
    store: Arc<S>,
    secrets: &TrusteeSecrets,
) -> std::result::Result<Arc<OwnStore<S>>, StoreError> {
    Stores::open(&secrets.roster(), [(Role::Trustee, store)], &mut SystemRng::new())?.own(Role::Trustee)
}

/// The trustee's own files, and what it looks at.
#[derive(Args)]
pub(crate) struct Where {
    #[command(flatten)]
    own: StoreArguments,
    /// Whom to believe, and the budgets
    #[arg(long)]
    policy: PathBuf,
    /// The openings ledger, as files
    #[arg(long)]
    ledger: PathBuf,
    /// An older checkpoint of it, which shows since when an entry has been there; otherwise an
    /// entry counts from when this trustee first saw it
    #[arg(long)]
    checkpoint: Vec<PathBuf>,
}

impl Where {
    fn view(&self) -> DirectoryView {
        DirectoryView::new(&self.ledger)
    }

    /// The service over the trustee's store.
    fn open(&self) -> Outcome<Trustee<RedbStore>> {
        let secrets = self.own.secrets()?.unseal()?;
        let store = self.own.store(&secrets)?;
        self.trustee(store, secrets)
    }

    /// The service, over the trustee's store or a copy of it.
    fn trustee<S: Store>(&self, store: Arc<OwnStore<S>>, secrets: TrusteeSecrets) -> Outcome<Trustee<S>> {
        let (policy, trustees) = TrustFile::read(&self.policy)?.trustee_policy()?;
        if secrets.trustees().is_some_and(|with| *with != trustees) {
            return Err("the policy names other trustees than those who made this key".into());
        }
        let trustee = Trustee::open(store, secrets, policy, Environment::system())?;
        if !self.checkpoint.is_empty() {
            let _ = trustee.follow(&self.view()).at(&self.ledger)?;
        }
        for checkpoint in &self.checkpoint {
            trustee.mark_checkpoint(&read(checkpoint)?).at(checkpoint)?;
        }
        Ok(trustee)
    }
}

fn main() -> ExitCode {
    words::end(run(Arguments::parse().command, &mut std::io::stdout()))
}

pub(crate) fn run(command: Command, screen: &mut dyn Write) -> Outcome<()> {
    match command {
        Command::Ceremony(arguments) => ceremony::ceremony(arguments),
        Command::Refresh { dir } => ceremony::refresh(&board::Board::open(&dir)?),
        Command::Create(own) => own.create(),
        Command::Commit(arguments) => ceremony::commit(arguments, screen),
        Command::Officer(arguments) => warrant::officer(&arguments, screen),
        Command::Warrant(arguments) => warrant::warrant(&arguments, screen),
        Command::Open(arguments) => warrant::open(&arguments, screen),
        Command::ShowWarrant { warrant, at } => show::warrant(&read_warrant(&warrant)?, &at, screen),
        Command::Answer(arguments) => answer::answer(&arguments, screen),
        Command::Round(arguments) => rounds::round(&arguments, screen),
        Command::Blind(arguments) => rounds::blind(&arguments, screen),
        Command::Compare(arguments) => rounds::compare(&arguments, screen),
        Command::Status { at } => show::status(&at, screen),
        Command::Resynchronise { yes, at } => answer::resynchronise(yes, &at, screen),
    }
}

/// A trustee's sealed file with what opens it.
pub(crate) struct Secrets {
    path: PathBuf,
    passphrase: Vec<u8>,
    pub(crate) cost: PassphraseCost,
}

impl Secrets {
    pub(crate) fn ask(path: PathBuf, file: Option<&Path>) -> Outcome<Self> {
        let passphrase = match (file, std::env::var("UNJOIN_PASSPHRASE")) {
            (Some(file), _) => {
                String::from_utf8(read(file)?).at(file)?.trim_end_matches(['\r', '\n']).to_owned()
            }
            (None, Ok(given)) => given,
            (None, Err(_)) => ask("passphrase (it is shown as you type): ")?,
        };
        let passphrase = passphrase::settle(&passphrase, &mut std::io::stderr())?;
        Ok(Self { path, passphrase, cost: PassphraseCost::default() })
    }

    pub(crate) fn unseal(&self) -> Outcome<TrusteeSecrets> {
        let sealed = read(&self.path)?;
        SealedTrusteeSecrets::from_bytes(&sealed).at(&self.path)?.open(&self.passphrase).at(&self.path)
    }

    pub(crate) fn keep(&self, secrets: &TrusteeSecrets) -> Outcome<()> {
        secrets
            .seal(&self.passphrase, self.cost, &mut SystemRng::new())?
            .replace_file(&self.path)
            .at(&self.path)
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).at(path)
}

fn read_warrant(path: &Path) -> Outcome<PresentedWarrant> {
    PresentedWarrant::from_bytes(&read(path)?).at(path)
}

fn ask(question: &str) -> Outcome<String> {
    print!("{question}");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
