//! The trustees' key ceremony, and the refresh of their shares, over files in a directory.
//!
//! ```console
//! cargo run --release --example ceremony -- --dir DIR --play 5 --threshold 3
//! cargo run --release --example ceremony -- --dir DIR --index 2 --new     # once a trustee
//! cargo run --release --example ceremony -- --dir DIR --plan 3            # once, by anybody
//! cargo run --release --example ceremony -- --dir DIR --index 2           # whatever is next
//! cargo run --release --example ceremony -- --dir DIR --refresh           # a new epoch's plan
//! ```
//!
//! What lies in the directory is public and is copied to everybody; a trustee's own sealed file
//! belongs elsewhere (`--secrets`). Its passphrase is read from `UNJOIN_PASSPHRASE` or asked for.

use clap::Parser;
use std::error::Error;
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use unjoin::PassphraseCost;
use unjoin::opening::{
    CeremonyError, CeremonyPlan, RoundMessage, SealedTrusteeSecrets, SignedCommittee, Step, TrusteeSecrets,
};
use unjoin::secret::SystemRng;
use unjoin::token::{TrusteePublicKey, Trustees};
use unjoin::wire::Message;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(about = "Makes the trustees' escrow key, or refreshes their shares, over files in a directory")]
struct Arguments {
    /// Where the public files lie.
    #[arg(long)]
    dir: PathBuf,
    /// Plays so many trustees in this process: a key, then a refresh.
    #[arg(long, conflicts_with_all = ["index", "plan", "refresh"])]
    play: Option<u16>,
    /// With --play: how many trustees together open a review.
    #[arg(long, default_value_t = 2)]
    threshold: u16,
    /// This trustee's index, from 1: does whatever is next.
    #[arg(long)]
    index: Option<u16>,
    /// With --index: makes the long-term key first.
    #[arg(long, requires = "index")]
    new: bool,
    /// With --index: the trustee's sealed file; trustee-INDEX.sealed in the directory otherwise.
    #[arg(long, requires = "index")]
    secrets: Option<PathBuf>,
    /// Writes the plan of a new key that so many trustees together use.
    #[arg(long, conflicts_with_all = ["index", "refresh"])]
    plan: Option<u16>,
    /// Writes the plan of a refresh of the newest committee, by all trustees.
    #[arg(long, conflicts_with = "index")]
    refresh: bool,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let board = Board { directory: arguments.dir.clone() };
    fs::create_dir_all(&board.directory)?;
    if let Some(trustees) = arguments.play {
        return play(&board, trustees, arguments.threshold);
    }
    if let Some(threshold) = arguments.plan {
        return board.write_plan(&CeremonyPlan::key_generation(
            threshold,
            board.trustees()?,
            &mut SystemRng::new(),
        )?);
    }
    if arguments.refresh {
        return refresh(&board);
    }
    let Some(index) = arguments.index else { return Err("say --play, --index, --plan or --refresh".into()) };
    let path = arguments.secrets.unwrap_or_else(|| board.directory.join(format!("trustee-{index}.sealed")));
    let trustee =
        Trustee { index, path, passphrase: passphrase()?, cost: PassphraseCost::default(), played: false };
    if arguments.new {
        return trustee.create(&board);
    }
    while trustee.turn(&board)? {}
    Ok(())
}

/// Everybody in one process: a key, and a refresh of its shares.
fn play(board: &Board, trustees: u16, threshold: u16) -> Outcome<()> {
    // The least cost: nobody's secrets are at stake.
    let cost = PassphraseCost::new(PassphraseCost::MIN_MEMORY_KIB, 1, 1)?;
    let player = |index: u16| Trustee {
        index,
        path: board.directory.join(format!("trustee-{index}.sealed")),
        passphrase: b"a played trustee's".to_vec(),
        cost,
        played: true,
    };
    let players: Vec<Trustee> = (1..=trustees).map(player).collect();
    for player in &players {
        player.create(board)?;
    }
    board.write_plan(&CeremonyPlan::key_generation(threshold, board.trustees()?, &mut SystemRng::new())?)?;
    let mut epochs = vec![1];
    if threshold > 1 {
        epochs.push(2);
    }
    for epoch in epochs {
        if epoch > 1 {
            refresh(board)?;
        }
        while players
            .iter()
            .try_fold(false, |moved, player| Ok::<_, Box<dyn Error>>(player.turn(board)? | moved))?
        {}
        let signed = board.committee(epoch)?.ok_or("the ceremony did not finish")?;
        println!("epoch {epoch}: all {trustees} trustees signed, {threshold} of them open");
        assert_eq!(signed.signers().count(), usize::from(trustees));
    }
    Ok(())
}

fn refresh(board: &Board) -> Outcome<()> {
    let newest = board.newest_committee()?.ok_or("there is no committee to refresh")?;
    let (committee, trustees) = (newest.committee(), board.trustees()?);
    let members = (1..=trustees.count()).collect();
    board.write_plan(&CeremonyPlan::refresh(committee, trustees, members, &mut SystemRng::new())?)
}

/// One trustee with his sealed file.
struct Trustee {
    index: u16,
    path: PathBuf,
    passphrase: Vec<u8>,
    cost: PassphraseCost,
    /// One of many in this process, whom nobody asks.
    played: bool,
}

impl Trustee {
    fn create(&self, board: &Board) -> Outcome<()> {
        if self.path.exists() {
            return Err(format!("{} is there already", self.path.display()).into());
        }
        let secrets = TrusteeSecrets::generate(&mut SystemRng::new());
        self.keep(&secrets)?;
        let key = hex(secrets.public().as_bytes());
        fs::write(board.directory.join(format!("key-{}.hex", self.index)), &key)?;
        println!("trustee {}: long-term key {key}; give it to the others in person", self.index);
        Ok(())
    }

    fn keep(&self, secrets: &TrusteeSecrets) -> Outcome<()> {
        Ok(secrets.seal(&self.passphrase, self.cost, &mut SystemRng::new())?.replace_file(&self.path)?)
    }

    /// Does what is next; whether there was something to do.
    fn turn(&self, board: &Board) -> Outcome<bool> {
        let mut secrets = SealedTrusteeSecrets::from_bytes(&fs::read(&self.path)?)?.open(&self.passphrase)?;
        let who = format!("trustee {}", self.index);
        if secrets.plan().is_none() {
            let next = secrets.committee().map_or(1, |signed| signed.committee().epoch() + 1);
            let Some(plan) = board.plan(next)? else {
                println!("{who}: nothing to do; no plan of epoch {next}");
                return Ok(false);
            };
            println!("{who}: the plan is {}", hex(&plan.digest()));
            if !self.played && ask("do all the others read out the same? type yes: ")? != "yes" {
                return Err("then do not join".into());
            }
            secrets.join(plan, &mut SystemRng::new())?;
        }
        match secrets.next(&board.messages()?, &mut SystemRng::new()) {
            Ok(Step::Publish(message)) => {
                // First the file, then the message.
                self.keep(&secrets)?;
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
                self.keep(&secrets)?;
                println!("{who}: finished; escrow id {}", hex(signed.committee().key().id()));
                println!(
                    "{who}: transcript {}; destroy all older copies of the file",
                    hex(signed.transcript())
                );
                Ok(true)
            }
            Ok(other) => Err(format!("an unknown step: {other:?}").into()),
            Err(CeremonyError::Idle) => Ok(false),
            Err(error) => Err(format!("{who}: {error}").into()),
        }
    }
}

/// The public files.
struct Board {
    directory: PathBuf,
}

impl Board {
    fn files(&self, start: &str) -> Outcome<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.path())).collect::<Outcome<_>>()?;
        let begins =
            |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        paths.retain(|path| begins(path));
        paths.sort();
        Ok(paths)
    }

    /// key-1.hex, key-2.hex, and on.
    fn trustees(&self) -> Outcome<Trustees> {
        let mut keys = Vec::new();
        while let Ok(text) = fs::read_to_string(self.directory.join(format!("key-{}.hex", keys.len() + 1))) {
            let bytes = unhex(text.trim()).and_then(|bytes| TrusteePublicKey::from_bytes(&bytes));
            keys.push(bytes.ok_or_else(|| format!("key-{}.hex holds no key", keys.len() + 1))?);
        }
        Ok(Trustees::new(keys)?)
    }

    fn write_plan(&self, plan: &CeremonyPlan) -> Outcome<()> {
        let path = self.directory.join(format!("plan-{}.bin", plan.epoch()));
        fs::write(&path, plan.to_bytes())?;
        println!("plan {}: {} of {}", hex(&plan.digest()), plan.threshold(), plan.trustees().count());
        Ok(())
    }

    fn plan(&self, epoch: u32) -> Outcome<Option<CeremonyPlan>> {
        let path = self.directory.join(format!("plan-{epoch}.bin"));
        if path.exists() { Ok(Some(CeremonyPlan::from_bytes(&fs::read(path)?)?)) } else { Ok(None) }
    }

    /// Named by what they hold, so that copies of many directories go into one.
    fn write_message(&self, message: &RoundMessage) -> Outcome<()> {
        let name = format!("message-{}-{}.bin", message.index(), hex(&message.digest()));
        Ok(fs::write(self.directory.join(name), message.to_bytes())?)
    }

    fn messages(&self) -> Outcome<Vec<RoundMessage>> {
        let read = |path: PathBuf| match RoundMessage::from_bytes(&fs::read(&path)?) {
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                println!("{}: {error}", path.display());
                Ok(None)
            }
        };
        let messages: Outcome<Vec<Option<RoundMessage>>> =
            self.files("message-")?.into_iter().map(read).collect();
        Ok(messages?.into_iter().flatten().collect())
    }

    fn write_committee(&self, signed: &SignedCommittee) -> Outcome<()> {
        let epoch = signed.committee().epoch();
        fs::write(self.directory.join(format!("committee-{epoch}.bin")), signed.to_bytes())?;
        if let Some(certificate) = signed.certificate() {
            fs::write(self.directory.join("certificate.bin"), certificate.to_bytes())?;
        }
        Ok(())
    }

    fn committee(&self, epoch: u32) -> Outcome<Option<SignedCommittee>> {
        let path = self.directory.join(format!("committee-{epoch}.bin"));
        if path.exists() { Ok(Some(SignedCommittee::from_bytes(&fs::read(path)?)?)) } else { Ok(None) }
    }

    /// Following each epoch's signatures from the first.
    fn newest_committee(&self) -> Outcome<Option<SignedCommittee>> {
        let trustees = self.trustees()?;
        let Some(mut newest) = self.committee(1)? else { return Ok(None) };
        newest.verify_first(&trustees)?;
        while let Some(next) = self.committee(newest.committee().epoch() + 1)? {
            next.verify_successor(&trustees, newest.committee())?;
            newest = next;
        }
        Ok(Some(newest))
    }
}

fn passphrase() -> Outcome<Vec<u8>> {
    if let Ok(given) = std::env::var("UNJOIN_PASSPHRASE") {
        return Ok(given.into_bytes());
    }
    Ok(ask("passphrase (it is shown as you type): ")?.into_bytes())
}

fn ask(question: &str) -> Outcome<String> {
    print!("{question}");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Option<Vec<u8>> = digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
    bytes?.try_into().ok()
}
