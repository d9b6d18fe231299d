//! The way back after older copies of stores were put where the stores are looked for.

use crate::backup::file_of;
use crate::secrets::Secrets;
use crate::service::{Stores, keeper, name_of, platform_config};
use crate::witnesses::{self, WitnessAt};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unjoin::ledger::tree::{leaf_hash, root_of};
use unjoin::ledger::{DirectoryView, Ledgers, Log, LogView, SignedCheckpoint, Witness};
use unjoin::secret::SystemRng;
use unjoin::store::identity::Role;
use unjoin::store::{RedbStore, Store, StoreError, Stores as PlatformStores};
use unjoin::{Environment, Name, Platform, QueueConfig};

/// A store, by the name of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StoreName {
    Orders,
    Reviews,
    Phones,
    Ledgers,
}

impl StoreName {
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Orders => Role::Orders,
            Self::Reviews => Role::Reviews,
            Self::Phones => Role::Telephony,
            Self::Ledgers => Role::Ledgers,
        }
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct Recover {
    /// Why: 1 to 480 bytes that stand in the reviews ledger for good, under the staff's key.
    #[arg(long)]
    pub(crate) grounds: String,
    /// A store that was put back, if nothing else tells: a raw copy from within the last hour. May be given more
    /// than once.
    #[arg(long, value_name = "STORE")]
    pub(crate) put_back: Vec<StoreName>,
    /// A store of which nothing is left: it is made anew, empty. May be given more than once.
    #[arg(long, value_name = "STORE")]
    pub(crate) anew: Vec<StoreName>,
    /// What is made anew gets the rows of its copy in this directory, which `backup` made: from files back into
    /// PostgreSQL.
    #[arg(long, value_name = "DIR", requires = "anew")]
    pub(crate) from: Option<PathBuf>,
    /// The ledgers' store is lost, too: a directory with reviews/ and openings/, each as the ledger was exported.
    #[arg(long, value_name = "DIR")]
    pub(crate) export: Option<PathBuf>,
}

pub(crate) struct Shop<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) name: Name,
    pub(crate) k: u32,
    pub(crate) witnesses: &'a [WitnessAt],
    pub(crate) confirm_clock: bool,
    pub(crate) environment: Environment,
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Recovers what is lost, and says in sentences what that was.
pub(crate) fn recover<S: Store>(
    stores: Stores<S>,
    secrets: Secrets,
    how: &Recover,
    shop: Shop<'_>,
) -> Outcome<()> {
    let put_back: Vec<Role> = how.put_back.iter().map(|name| name.role()).collect();
    let (roster, stores) = (&secrets.platform.stores, stores.by_role());
    for (role, store) in stores.iter().filter(|(role, _)| is_new(Some(how), name_of(*role))) {
        match how.from.as_ref().map(|from| from.join(file_of(*role))) {
            Some(copy) => RedbStore::open(&copy)
                .and_then(|rows| rows.fill(&**store))
                .map_err(|error| format!("{}: {error}", copy.display()))?,
            None => {
                drop(PlatformStores::create(roster, [(*role, Arc::clone(store))], &mut SystemRng::new())?)
            }
        }
    }
    let lost = PlatformStores::open_for_recovery(roster, stores, &put_back).map_err(|error| match error {
        StoreError::Foreign(role) => {
            format!(
                "{error}. If it is this platform's and was put back, say so: --put-back {}",
                name_of(role)
            )
        }
        error => error.to_string(),
    })?;
    for (role, mark) in lost.lost() {
        println!("The {role} store is an older copy, of mark {mark}.");
    }
    let ledgers = Ledgers::open_without_asking_witnesses(
        lost.own(Role::Ledgers)?,
        witnesses::ledger(secrets.reviews_ledger, shop.witnesses)?,
        witnesses::ledger(secrets.openings_ledger, shop.witnesses)?,
        shop.witnesses.iter().map(|witness| Arc::new(witness.clone()) as Arc<dyn Witness>).collect(),
    )?;
    if let Some(export) = &how.export {
        append(ledgers.reviews(), &export.join("reviews"))?;
        append(ledgers.openings(), &export.join("openings"))?;
    }
    let is_asked = lost.lost().iter().any(|(role, _)| *role == Role::Telephony);
    let keeper = match keeper(shop.directory, secrets.slot_key_encryption, &shop.environment) {
        Ok(keeper) => Some(keeper),
        Err(error) if is_asked => return Err(error.into()),
        Err(error) => {
            println!("Without the slot keys, which this may not need: {error}.");
            None
        }
    };
    if let Some(keeper) = keeper.iter().find(|_| shop.confirm_clock) {
        keeper.confirm_clock(shop.environment.now())?;
    }
    let report = Platform::recover(
        lost,
        &ledgers,
        &platform_config(shop.name, shop.k, QueueConfig::default()),
        &secrets.platform.platform_key,
        (&secrets.staff, &how.grounds),
        keeper.as_ref(),
        &shop.environment,
    )?;
    if let Some(orders) = report.orders {
        println!(
            "The orders store is recovered, in era {}. Orders that were due until now and have no record of a token get none; \
             {} cohorts that were open take no grants any more; {} were closed by the ledger's manifests.",
            orders.era, orders.set_aside, orders.closed
        );
    }
    if let Some(reviews) = report.reviews {
        println!(
            "The reviews store is recovered, in era {}. {} published reviews wait for their words, {} that were held for being \
             sent again; {} changes that waited are dropped; {} cohorts were unknown.",
            reviews.era, reviews.unlisted, reviews.held, reviews.changes, reviews.cohorts
        );
    }
    if report.telephony {
        println!(
            "Every slot key is replaced: no number of before rings any more. Bind the live orders again."
        );
    }
    match (report.orders, report.reviews, report.telephony) {
        (None, None, false) => println!("There was nothing to recover."),
        _ => println!("Say publicly what was lost: the recovery stands in the ledger after the next tick."),
    }
    println!("All stores are in era {}. Start the service, with --confirm-clock.", report.era);
    Ok(())
}

/// Appends what an export has more, once its entries were found to be those under its checkpoint, and to go on from those
/// that are there.
fn append<S: Store>(log: &Log<S>, export: &Path) -> Outcome<()> {
    const PAGE: u64 = 1024;
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", export.display());
    let view = DirectoryView::new(export);
    let note = view.checkpoint().map_err(|error| at(&error))?.ok_or_else(|| at(&"there is no checkpoint"))?;
    let checkpoint = SignedCheckpoint::parse(&note, log.public_key()).map_err(|error| at(&error))?;
    let (before, size) = (log.size()?, checkpoint.size());
    let pages =
        |from: u64, to: u64| (from..to).step_by(PAGE as usize).map(move |from| (from, (from + PAGE).min(to)));
    let mut leaves = Vec::new();
    for (from, to) in pages(0, size) {
        let entries = view.entries(from, to).map_err(|error| at(&error))?;
        leaves.extend(entries.iter().map(|entry| leaf_hash(entry)));
        let here = log.entries(from, to.min(before).max(from))?;
        if entries.iter().zip(&here).any(|(entry, here)| entry != here) {
            return Err(at(&"the ledgers' store has other entries than this export, in these places").into());
        }
    }
    if root_of(&leaves) != *checkpoint.root() {
        return Err(at(&"the entries are not those under its checkpoint: take another copy").into());
    }
    for (from, to) in pages(before, size) {
        log.append(&view.entries(from, to).map_err(|error| at(&error))?)?;
    }
    println!(
        "{}: {} of {size} entries were not there, and are appended.",
        export.display(),
        log.size()? - before
    );
    Ok(())
}

/// What a store that is an older copy, or in a recovery, is told of.
pub(crate) const WAY_BACK: &str = "`service .. recover --grounds TEXT` goes on from an older copy: the manual's chapter on backups says what that costs";

/// The stores that are made anew, by their names.
pub(crate) fn is_new(how: Option<&Recover>, name: &str) -> bool {
    how.is_some_and(|how| how.anew.iter().any(|anew| name_of(anew.role()) == name))
}
