//! Holds stores, ledgers and keys against one another while nothing serves them, and mends nothing.
//!
//! What is looked at are copies of the files, which are removed at the end: to open a store writes to it, at the least that
//! it is open, and whatever a crash has left. On the copies everything is tried that a start and a recovery do.

use crate::backup::file_of;
use crate::recover::Shop;
use crate::secrets::{Secrets, TrusteesFrom, make_directory};
use crate::service::platform_config;
use crate::witnesses;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unjoin::issuer::EveryoneOfStanding;
use unjoin::ledger::tree::{leaf_hash, root_of};
use unjoin::ledger::{Ledgers, Log, LogError, LogView, PublishedEntry, SignedCheckpoint, Witness};
use unjoin::secret::SystemRng;
use unjoin::store::identity::{self, Role};
use unjoin::store::{RedbStore, Store, Stores};
use unjoin::token::CohortManifest;
use unjoin::wire::Message;
use unjoin::{Name, Platform, QueueConfig};

const ROLES: [Role; 4] = [Role::Orders, Role::Reviews, Role::Telephony, Role::Ledgers];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A sentence a line; those that say what is wrong are counted.
#[derive(Default)]
struct Report {
    wrong: usize,
}

impl Report {
    fn says(&self, sentence: impl Display) {
        println!("{sentence}");
    }

    fn finds(&mut self, sentence: impl Display) {
        println!("WRONG: {sentence}");
        self.wrong += 1;
    }

    fn end(self) -> Outcome<()> {
        match self.wrong {
            0 => {
                println!("Nothing is wrong.");
                Ok(())
            }
            wrong => Err(format!("{wrong} of these sentences say what is wrong; nothing was changed").into()),
        }
    }
}

/// Removed whatever happens.
struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> Outcome<Self> {
        let path = beside.join(format!("check-{}", std::process::id()));
        make_directory(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The stores of `--store redb:DIRECTORY`, a backup's or a service's that has ended.
pub(crate) fn check(stores: &Path, shop: Shop<'_>) -> Outcome<()> {
    let mut report = Report::default();
    let keys = shop.directory.join("keys");
    if !keys.exists() {
        report.finds(format!(
            "{}: the keys are not there, and without them the stores are of no use: put them back",
            keys.display()
        ));
        return report.end();
    }
    let (secrets, pins) = match Secrets::read(shop.directory, &shop.name, &TrusteesFrom::Kept) {
        Ok(read) => read,
        Err(error) => {
            report.finds(error);
            return report.end();
        }
    };
    report.says(format!("{}: all keys are there and whole.", keys.display()));
    let pinned = shop.directory.join("public-keys.json");
    if fs::read_to_string(&pinned).ok().as_ref() != Some(&pins) {
        report.finds(format!(
            "{}: it is not what the keys say, or not there: a start writes it",
            pinned.display()
        ));
    }
    let scratch = Scratch::new(shop.directory)?;
    let mut found = Vec::new();
    for role in ROLES {
        let path = stores.join(file_of(role));
        match copied(&path, &scratch.0.join(file_of(role))).and_then(|store| look(&secrets, role, store)) {
            Ok((store, sentence)) => {
                report.says(format!("{}: {sentence}", path.display()));
                found.push((role, store));
            }
            Err(error) => report.finds(format!("{}: {error}", path.display())),
        }
    }
    if found.len() == ROLES.len() {
        together(found, secrets, shop, &mut report)?;
    }
    report.end()
}

/// A copy of the file, opened: so nothing is repaired in the file itself.
fn copied(from: &Path, to: &Path) -> Outcome<RedbStore> {
    let file = File::open(from).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such file: mount its volume, or put it back".to_owned(),
        _ => error.to_string(),
    })?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            return Err("a service has it open: end that first, or check a backup of it".into());
        }
        locked => locked?,
    }
    fs::copy(from, to)?;
    Ok(RedbStore::open(to)?)
}

/// One store by itself: whose it is, and whether every row of it can be read.
fn look(secrets: &Secrets, role: Role, store: RedbStore) -> Outcome<(Arc<RedbStore>, String)> {
    let store = Arc::new(store);
    Stores::find_lost(&secrets.platform.stores, [(role, Arc::clone(&store))])?;
    let mut rows = 0u64;
    store.snapshot(&mut |_, _, _| {
        rows += 1;
        Ok(())
    })?;
    let identity = identity::of(&*store)?.ok_or("it does not say whose it is")?;
    let what = if identity.is_copy { "a copy of the" } else { "the" };
    Ok((store, format!("{what} {role} store of this platform, in era {}, {rows} rows.", identity.era)))
}

fn together(
    found: Vec<(Role, Arc<RedbStore>)>,
    secrets: Secrets,
    shop: Shop<'_>,
    report: &mut Report,
) -> Outcome<()> {
    let roster = secrets.platform.stores.clone();
    let is_copy = |store: &RedbStore| identity::of(store).is_ok_and(|own| own.is_some_and(|own| own.is_copy));
    let is_backup = found.iter().all(|(_, store)| is_copy(store));
    match Stores::find_lost(&roster, found.clone()) {
        Ok(lost) if lost.is_empty() => report.says("The stores are in step with one another."),
        Ok(lost) if is_backup => {
            let marks: BTreeSet<String> = lost.iter().map(|(_, mark)| mark.to_string()).collect();
            let marks = marks.into_iter().collect::<Vec<_>>().join(" and ");
            report.says(format!(
                "They are a backup's, of mark {marks}: `recover` opens them, and nothing else."
            ));
        }
        Ok(lost) => {
            for (role, mark) in lost {
                report.finds(format!(
                    "The {role} store is an older copy beside newer ones: its last mark is {mark}."
                ));
            }
        }
        Err(error) => {
            report.finds(error);
            return Ok(());
        }
    }
    // On the copies of the files: they may be anything from here on.
    let lost = Stores::open_for_recovery(&roster, found.clone(), &[])?;
    let ledgers = Ledgers::open_without_asking_witnesses(
        lost.own(Role::Ledgers)?,
        witnesses::ledger(secrets.reviews_ledger, shop.witnesses)?,
        witnesses::ledger(secrets.openings_ledger, shop.witnesses)?,
        shop.witnesses.iter().map(|witness| Arc::new(witness.clone()) as Arc<dyn Witness>).collect(),
    );
    let ledgers = match ledgers {
        Ok(ledgers) => ledgers,
        Err(error) => {
            report.finds(error);
            return Ok(());
        }
    };
    for (name, log) in [("reviews", ledgers.reviews()), ("openings", ledgers.openings())] {
        match hashed(log) {
            Ok(sentence) => report.says(format!("The {name} ledger: {sentence}")),
            Err(error) => report.finds(format!("The {name} ledger: {error}")),
        }
    }
    match ledgers.ask_witnesses() {
        _ if shop.witnesses.is_empty() => {
            report.says("No --witness is named: whether these ledgers are the newest nobody says.");
        }
        Ok(()) => report.says("The witnesses have seen no more of the ledgers than is here."),
        Err(LogError::Behind { size, witnessed }) if is_backup => report.says(format!(
            "The platform has gone on since: the witnesses have seen {witnessed} entries of a ledger that has {size} here."
        )),
        Err(error) => report.finds(error),
    }
    lost.end()?;
    let opened = Stores::open(&roster, found, &mut SystemRng::new()).map_err(Into::into).and_then(|stores| {
        let config = platform_config(shop.name, shop.k, QueueConfig::default());
        Platform::open(stores, config, secrets.platform, Arc::new(EveryoneOfStanding), shop.environment)
    });
    match opened {
        Ok(platform) => {
            report.says("The stores belong to these keys.");
            match shown(&platform, &ledgers) {
                Ok(sentence) => report.says(sentence),
                Err(error) => report.finds(error),
            }
        }
        Err(error) => report.finds(error),
    }
    Ok(())
}

/// Its entries, hashed again.
fn hashed<S: Store>(log: &Log<S>) -> Outcome<String> {
    let size = log.size()?;
    let leaves: Vec<_> = log.entries(0, size)?.iter().map(|entry| leaf_hash(entry)).collect();
    if leaves.len() as u64 != size {
        return Err(format!("{} entries are there, and {size} should be", leaves.len()).into());
    }
    let Some(note) = log.checkpoint()? else {
        return Ok(format!("{size} entries, and no checkpoint is published yet."));
    };
    let checkpoint = SignedCheckpoint::parse(&note, log.public_key())?;
    let under = usize::try_from(checkpoint.size()).ok().and_then(|under| leaves.get(..under));
    if under.map(root_of) != Some(*checkpoint.root()) {
        return Err("the entries are not those under its own checkpoint".into());
    }
    Ok(format!("{size} entries, {} of them under its checkpoint, as their hashes say.", checkpoint.size()))
}

/// What is shown, against the ledger and what is on its way there.
fn shown<S: Store>(platform: &Platform<S>, ledgers: &Ledgers<S>) -> Outcome<String> {
    const PAGE: usize = 256;
    let log = ledgers.reviews();
    log.sequence(&platform.outboxes())?;
    let entries = log.entries(0, log.size()?)?;
    let logged = entries.iter().filter_map(|entry| PublishedEntry::from_bytes(entry).ok());
    let logged: BTreeSet<_> = logged.map(|entry| entry.review_id).collect();
    let manifests = entries.iter().filter_map(|entry| CohortManifest::from_bytes(entry).ok());
    let merchants: BTreeSet<Name> = manifests.map(|manifest| manifest.scope.merchant().clone()).collect();
    let (mut all, mut unlogged) = (0, 0);
    for merchant in merchants {
        let mut after = None;
        loop {
            let page = platform.published(&merchant, after.as_ref(), PAGE)?;
            all += page.len();
            unlogged += page.iter().filter(|shown| !logged.contains(&shown.review_id)).count();
            after = page.last().map(|shown| shown.review_id);
            if page.len() < PAGE {
                break;
            }
        }
    }
    match unlogged {
        0 => Ok(format!("All {all} reviews that are shown stand in the reviews ledger.")),
        some => {
            Err(format!("{some} of {all} reviews that are shown do not stand in the reviews ledger").into())
        }
    }
}
