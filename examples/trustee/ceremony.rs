//! The key ceremony, and the refresh of the shares, over files in a directory.
//!
//! What lies in the directory is public and is copied to everybody; a trustee's own sealed file
//! belongs elsewhere (`--secrets`).

use super::board::Board;
use super::trust::{TrustFile, hex};
use super::words::{At, Outcome};
use super::{Secrets, ask};
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use unjoin::audit::History;
use unjoin::ledger::{DirectoryView, KeyName, Ledger, Log, NoteKey, Witness, WitnessPolicy, WitnessService};
use unjoin::opening::ceremony::{self, CeremonyError, CeremonyPlan, Step};
use unjoin::opening::{SignedCommittee, TrusteeSecrets};
use unjoin::secret::SystemRng;
use unjoin::store::identity::{Role, Roster};
use unjoin::store::{MemoryStore, Stores};
use unjoin::wire::Message;
use unjoin::{Clock, Environment, PassphraseCost, SystemClock};

#[derive(Args)]
pub(crate) struct CeremonyArguments {
    /// Where the public files lie
    #[arg(long)]
    dir: PathBuf,
    /// Plays so many trustees in this process: a key, then a refresh
    #[arg(long, conflicts_with_all = ["index", "plan"])]
    play: Option<u16>,
    /// With --play: how many trustees together open a review
    #[arg(long, default_value_t = 2)]
    threshold: u16,
    /// This trustee's index, from 1: does whatever is next
    #[arg(long)]
    index: Option<u16>,
    /// With --index: makes the long-term key first
    #[arg(long, requires = "index")]
    new: bool,
    /// With --index: leaves a ceremony that has failed, for good; a share of before stays
    #[arg(long, requires = "index", conflicts_with = "new")]
    abandon: bool,
    /// With --index: the trustee's sealed file; trustee-INDEX.sealed in the directory otherwise
    #[arg(long, requires = "index")]
    secrets: Option<PathBuf>,
    /// Writes the plan of a new key that so many trustees together use
    #[arg(long, conflicts_with = "index")]
    plan: Option<u16>,
    /// Writes the committee of a refresh with the signatures that there are, when some stay silent
    #[arg(long, conflicts_with_all = ["index", "plan", "play"])]
    conclude: bool,
}

#[derive(Args)]
pub(crate) struct CommitArguments {
    /// The trustee's sealed file
    #[arg(long)]
    secrets: PathBuf,
    /// A file that holds the passphrase; asked for otherwise, unless UNJOIN_PASSPHRASE has it
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// Whom to believe
    #[arg(long)]
    policy: PathBuf,
    /// The openings ledger, as files
    #[arg(long)]
    ledger: PathBuf,
}

/// `commit`: takes the new share, now that the ledger has the refresh.
pub(crate) fn commit(arguments: CommitArguments, screen: &mut dyn Write) -> Outcome<()> {
    let (policy, _) = TrustFile::read(&arguments.policy)?.trustee_policy()?;
    let view = DirectoryView::new(&arguments.ledger);
    let history = History::read(&view, &policy.openings, None, SystemClock.now())?;
    let kept = Secrets::ask(arguments.secrets, arguments.passphrase_file.as_deref())?;
    let mut secrets = kept.unseal()?;
    secrets.commit(&history)?;
    kept.keep(&secrets)?;
    let epoch = secrets.committee().map_or(0, |signed| signed.committee().epoch());
    Ok(writeln!(screen, "the share is of epoch {epoch} now; {DESTROY}")?)
}

/// `ceremony`: a new key, or a step of whatever ceremony is under way.
pub(crate) fn ceremony(arguments: CeremonyArguments) -> Outcome<()> {
    let board = Board::open(&arguments.dir)?;
    if let Some(trustees) = arguments.play {
        return play(&board, trustees, arguments.threshold);
    }
    if let Some(threshold) = arguments.plan {
        let trustees = board.trustees()?;
        return board.write_plan(&CeremonyPlan::key_generation(threshold, trustees, &mut SystemRng::new())?);
    }
    if arguments.conclude {
        return conclude(&board);
    }
    let Some(index) = arguments.index else {
        return Err("say --play, --index, --plan or --conclude".into());
    };
    let path = arguments.secrets.unwrap_or_else(|| board.sealed(index));
    let trustee = Trustee { index, secrets: Secrets::ask(path, None)?, played: false };
    if arguments.new {
        return trustee.create(&board).map(drop);
    }
    if arguments.abandon {
        return trustee.abandon();
    }
    let mut secrets = trustee.secrets.unseal()?;
    while trustee.turn(&mut secrets, &board)? {}
    Ok(())
}

/// `refresh`: the plan of a new epoch of the newest committee's shares, by all trustees. Each
/// then goes on with `ceremony --index`.
pub(crate) fn refresh(board: &Board) -> Outcome<()> {
    let newest = board.newest_committee()?.ok_or("there is no committee to refresh")?;
    let (committee, trustees) = (newest.committee(), board.trustees()?);
    let members = (1..=trustees.count()).collect();
    board.write_plan(&CeremonyPlan::refresh(committee, trustees, members, &mut SystemRng::new())?)
}

fn conclude(board: &Board) -> Outcome<()> {
    let newest = board.newest_committee()?.ok_or("there is no committee that was refreshed")?;
    let epoch = newest.committee().epoch() + 1;
    let plan = board.plan(epoch)?.ok_or("there is no plan of a refresh")?;
    let rng = &mut SystemRng::new();
    let signed = ceremony::conclude(&plan, newest.committee(), &board.messages()?, rng)?;
    let signed = signed.ok_or("too few trustees have signed: wait for more")?;
    board.write_committee(&signed)?;
    let signers: Vec<u16> = signed.signers().collect();
    println!("epoch {epoch}: signed by {signers:?}; once it is logged, nobody else can release anything");
    Ok(())
}

/// An openings ledger in this process, with its only witness.
struct PlayedLedger {
    log: Log<MemoryStore>,
    witness: Arc<dyn Witness>,
    policy: WitnessPolicy,
}

impl PlayedLedger {
    fn new() -> Outcome<Self> {
        let (rng, store) = (&mut SystemRng::new(), || Arc::new(MemoryStore::new()));
        let key = NoteKey::generate(KeyName::new("played/openings")?, rng);
        let (name, logs) = (KeyName::new("played/witness")?, vec![key.public().clone()]);
        let witness: Arc<dyn Witness> =
            Arc::new(WitnessService::create(store(), name, logs, Environment::system())?);
        let witnesses = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), witnesses, 1, 0, u64::MAX)?;
        let stores = Stores::create(&Roster::alone(Role::Ledgers, rng), [(Role::Ledgers, store())], rng)?;
        let log = Log::open(stores.own(Role::Ledgers)?, Ledger::Openings, key, Some(policy.clone()))?;
        Ok(Self { log, witness, policy })
    }

    fn append(&self, signed: &SignedCommittee) -> Outcome<History> {
        self.log.append(&[signed.to_bytes()])?;
        if !self.log.publish(std::slice::from_ref(&self.witness))?.published {
            return Err("the played witness did not cosign".into());
        }
        Ok(History::read(&self.log, &self.policy, None, SystemClock.now())?)
    }
}

/// Everybody in one process: a key, and a refresh of its shares.
fn play(board: &Board, trustees: u16, threshold: u16) -> Outcome<()> {
    // Nobody's secrets are at stake.
    let cost = PassphraseCost::LEAST;
    let player = |index: u16| {
        let secrets = Secrets { path: board.sealed(index), passphrase: b"a played trustee's".to_vec(), cost };
        Trustee { index, secrets, played: true }
    };
    let mut players = Vec::new();
    for player in (1..=trustees).map(player) {
        let secrets = player.create(board)?;
        players.push((player, secrets));
    }
    board.write_plan(&CeremonyPlan::key_generation(threshold, board.trustees()?, &mut SystemRng::new())?)?;
    let ledger = PlayedLedger::new()?;
    let mut epochs = vec![1];
    if threshold > 1 {
        epochs.push(2);
    }
    for epoch in epochs {
        if epoch > 1 {
            refresh(board)?;
        }
        let mut moved = true;
        while moved {
            moved = false;
            for (player, secrets) in &mut players {
                moved |= player.turn(secrets, board)?;
            }
        }
        let signed = board.committee(epoch)?.ok_or("the ceremony did not finish")?;
        println!("epoch {epoch}: all {trustees} trustees signed, {threshold} of them open");
        assert_eq!(signed.signers().count(), usize::from(trustees));
        let history = ledger.append(&signed)?;
        for (_, secrets) in players.iter_mut().filter(|_| epoch > 1) {
            secrets.commit(&history)?;
        }
    }
    players.iter().try_for_each(|(player, secrets)| player.secrets.keep(secrets))
}

/// Shows an officer all that the plan says, and hears from them what t was agreed: whoever wrote
/// the plan is trusted with nothing.
fn agree(plan: &CeremonyPlan) -> Outcome<u16> {
    println!("any {} of {} trustees together will open reviews", plan.threshold(), plan.trustees().count());
    println!("members of this ceremony: {:?}", plan.members());
    for (index, key) in (1..).zip(plan.trustees().keys()) {
        println!("trustee {index}: {}", hex(key.as_bytes()));
    }
    println!("the plan is {}", hex(&plan.digest()));
    if ask("were these keys given to you, and do all the others read out the same plan? type yes: ")? != "yes"
    {
        return Err("then do not join".into());
    }
    let typed = ask("how many trustees together open a review, as was agreed? ")?;
    Ok(typed.trim().parse().map_err(|_| "type the number that was agreed")?)
}

const LOG_AND_COMMIT: &str = "have committee-N.bin logged; then `commit`, which takes the new share";
const DESTROY: &str = "destroy all older copies of the file";

/// One trustee with their sealed file.
struct Trustee {
    index: u16,
    secrets: Secrets,
    /// One of many in this process: nobody is asked, and the file is sealed once, at the end. Who is interrupted plays
    /// again.
    played: bool,
}

impl Trustee {
    fn create(&self, board: &Board) -> Outcome<TrusteeSecrets> {
        if self.secrets.path.exists() {
            return Err(format!("{} is there already", self.secrets.path.display()).into());
        }
        let secrets = TrusteeSecrets::generate(&mut SystemRng::new());
        self.keep(&secrets)?;
        let key = hex(secrets.public().as_bytes());
        fs::write(board.key(self.index), &key).at(board.key(self.index))?;
        println!("trustee {}: long-term key {key}; give it to the others in person", self.index);
        Ok(secrets)
    }

    fn keep(&self, secrets: &TrusteeSecrets) -> Outcome<()> {
        if self.played { Ok(()) } else { self.secrets.keep(secrets) }
    }

    fn abandon(&self) -> Outcome<()> {
        let mut secrets = self.secrets.unseal()?;
        let Some(plan) = secrets.plan().map(|plan| hex(&plan.digest())) else {
            return Err("no ceremony is under way".into());
        };
        secrets.abandon()?;
        self.secrets.keep(&secrets)?;
        println!("trustee {}: has left; take another plan now, and never plan {plan} again", self.index);
        Ok(())
    }

    /// Does what is next; whether there was something to do.
    fn turn(&self, secrets: &mut TrusteeSecrets, board: &Board) -> Outcome<bool> {
        let who = format!("trustee {}", self.index);
        if secrets.plan().is_none() {
            let next = secrets.committee().map_or(1, |signed| signed.committee().epoch() + 1);
            let Some(plan) = board.plan(next)? else {
                println!("{who}: nothing to do; no plan of epoch {next}");
                return Ok(false);
            };
            let threshold = if self.played { plan.threshold() } else { agree(&plan)? };
            secrets.join(plan, threshold, &mut SystemRng::new())?;
        }
        match secrets.next(&board.messages()?, &mut SystemRng::new()) {
            Ok(Step::Publish(message)) => {
                // First the file, then the message.
                self.keep(secrets)?;
                board.write_message(&message)?;
                println!("{who}: says round {:?}", message.round());
                Ok(true)
            }
            Ok(Step::Wait { round, missing }) => {
                println!("{who}: waits for {round:?} of {missing:?}");
                Ok(false)
            }
            Ok(Step::Finished(signed)) => {
                board.write_committee(&signed)?;
                self.keep(secrets)?;
                let committee = signed.committee();
                println!("{who}: finished; escrow id {}", hex(committee.key().id()));
                println!("{who}: any {} of {} trustees open", committee.threshold(), committee.trustees());
                println!("{who}: transcript {}", hex(signed.transcript()));
                let waits = secrets.plan().is_some();
                println!("{who}: {}", if waits { LOG_AND_COMMIT } else { DESTROY });
                Ok(!waits)
            }
            Ok(other) => Err(format!("an unknown step: {other:?}").into()),
            Err(CeremonyError::Idle) => Ok(false),
            Err(error) => Err(format!("{who}: {error}").into()),
        }
    }
}
