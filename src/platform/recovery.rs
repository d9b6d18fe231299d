//! The way back of a whole platform, after older copies of some of its stores were put back.
//!
//! | lost | what is done |
//! |---|---|
//! | the orders' store, the reviews' store | its own recovery, from the reviews ledger |
//! | the switchboard's | every slot key is replaced: no number of before rings again, whatever its rows say |
//! | the ledgers' | nothing, if it has all that its witnesses have seen; otherwise nothing at all is recovered |
//!
//! The ledgers are what the others are recovered from, so they cannot be behind them. What was sent to a ledger
//! is in no outbox any more.

use super::{Platform, PlatformConfig};
use crate::issuer::{Issuer, IssuerRecovery};
use crate::ledgers::Ledgers;
use crate::recovery::{Recovery, RecoveryError};
use crate::review::{DeskRecovery, ReviewDesk};
use unjoin_audit::History;
use unjoin_core::entry::StoreMarkEntry;
use unjoin_core::token::{PlatformKey, StaffKey};
use unjoin_core::wire::Message;
use unjoin_core::{Environment, Timestamp};
use unjoin_log::LogView;
use unjoin_phone::{Keeper, SlotKeys};
use unjoin_store::identity::Role;
use unjoin_store::{Bucket, Key, LostStores, Store, StoreError, decide, record};

/// What a recovery of a platform did.
///
/// ```
/// use unjoin::PlatformRecovery;
/// /// What the operator is told after it.
/// fn to_do(done: &PlatformRecovery) -> Vec<&'static str> {
///     let dead = done.telephony.then_some("bind the live orders again");
///     let lost = done.reviews.filter(|desk| desk.unlisted > 0).map(|_| "reviews are missing until devices send them again");
///     dead.into_iter().chain(lost).collect()
/// }
/// // On stores of which none was lost nothing is done.
/// assert!(to_do(&PlatformRecovery::default()).is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlatformRecovery {
    /// The era that all stores are in now.
    pub era: u32,
    /// Of the order service's store, if that was lost.
    pub orders: Option<IssuerRecovery>,
    /// Of the review service's store, if that was lost.
    pub reviews: Option<DeskRecovery>,
    /// Every number of before is dead, since the switchboard's store was lost: bind the live orders again.
    pub telephony: bool,
}

impl<S: Store> Platform<S> {
    /// Goes on after stores of the platform were put back as they were earlier, or made again. Recovers each that is lost
    /// and each whose recovery was interrupted, and brings all to one era. Then
    /// [`Stores::open`](unjoin_store::Stores::open) takes them.
    ///
    /// `lost` comes from [`Stores::open_for_recovery`](unjoin_store::Stores::open_for_recovery) with **all** stores of
    /// the platform, and `ledgers` from [`Ledgers::open_without_asking_witnesses`] on the ledgers' store among them. A
    /// ledger that is lost itself first gets the entries of its export appended, in their order. Then this
    /// asks the witnesses: a ledger that has less than they have seen is refused
    /// ([`RecoveryError::Ledger`]), and nothing is recovered from it. That all stores were put back together
    /// is told by the marks in the ledger.
    ///
    /// `by` is a key of the staff's that is in the reviews ledger, and the grounds, 1 to
    /// [`RecoveredEntry::MAX_GROUNDS`](unjoin_core::entry::RecoveredEntry::MAX_GROUNDS) bytes. They are in the
    /// ledger for good, beside what each recovery excuses. `keeper` is needed when the switchboard's store is lost.
    ///
    /// It may be interrupted anywhere: begin again with `open_for_recovery`, and it ends as it would have. Run on stores
    /// of which none is lost it does nothing.
    ///
    /// # Errors
    /// [`RecoveryError`]. What was begun stays closed to every service until a later run has ended it.
    pub fn recover(
        mut lost: LostStores<S>,
        ledgers: &Ledgers<S>,
        config: &PlatformConfig,
        platform_key: &PlatformKey,
        by: (&StaffKey, &str),
        keeper: Option<&Keeper>,
        environment: &Environment,
    ) -> Result<PlatformRecovery, RecoveryError> {
        let (orders, reviews) = (lost.own(Role::Orders)?, lost.own(Role::Reviews)?);
        let history = read(ledgers, &[&*orders, &*reviews], environment.now())?;
        let marks = history.entries().iter().filter_map(|entry| StoreMarkEntry::from_bytes(entry).ok());
        if let Some(logged) = marks.map(|mark| mark.number).max() {
            lost.have_come_to(logged)?;
        }
        let last = |role| lost.lost().iter().find(|(lost, _)| *lost == role).map(|(_, mark)| *mark);
        let telephony = last(Role::Telephony).is_some();
        let keeper = match keeper {
            None if telephony => return Err(RecoveryError::NoKeeper),
            keeper => keeper.filter(|_| telephony),
        };
        let recovery = |role| {
            let (key, grounds) = by;
            let (last_mark, after_era) = (last(role).unwrap_or(0), lost.newest_era_beside(role)?);
            Ok::<_, StoreError>(Recovery { key, grounds, last_mark, after_era })
        };
        let mut report = PlatformRecovery { telephony, ..PlatformRecovery::default() };
        if last(Role::Orders).is_some() || Issuer::is_in_recovery(&*orders)? {
            let recovery = recovery(Role::Orders)?;
            report.orders = Some(Issuer::recover(&*orders, &history, platform_key, &recovery, environment)?);
        }
        if last(Role::Reviews).is_some() || ReviewDesk::is_in_recovery(&*reviews)? {
            let (recovery, grid, platform) =
                (recovery(Role::Reviews)?, config.issuer.grid, platform_key.public());
            let desk = &config.desk;
            report.reviews = Some(ReviewDesk::recover(
                &*reviews,
                grid,
                desk,
                &history,
                &platform,
                &recovery,
                environment,
            )?);
        }
        if let Some(keeper) = keeper {
            replace_slot_keys(&*lost.own(Role::Telephony)?, lost.mark(), keeper, environment.now())?;
        }
        report.era = lost.end()?;
        Ok(report)
    }
}

/// The reviews ledger with all that waits for it, as a quorum of its witnesses has it. They cosign nothing that does
/// not go on from what they have seen.
fn read<S: Store>(
    ledgers: &Ledgers<S>,
    sources: &[&dyn Store],
    now: Timestamp,
) -> Result<History, RecoveryError> {
    let log = ledgers.reviews();
    let policy = log.policy().ok_or(RecoveryError::Unwitnessed)?;
    ledgers.ask_witnesses()?;
    let shown = log.checkpoint().map_err(unjoin_audit::AuditError::from)?;
    let report = ledgers.tick(sources);
    for ledger in [report.reviews, report.openings] {
        match (ledger.failed, ledger.publication) {
            (Some(error), _) => return Err(error.into()),
            (None, Some(publication)) if publication.published => {}
            _ => return Err(RecoveryError::NoQuorum),
        }
    }
    // One that was shown under another policy says nothing by this one.
    let shown = shown.filter(|note| policy.read(note).is_ok());
    Ok(History::read(log, policy, shown.as_deref(), now)?)
}

/// The generation of slot keys that a recovery of the switchboard's store ends, and the mark that this recovery gives to
/// all stores. Another recovery's row says nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
struct PutBackInto {
    mark: u64,
    generation: u32,
}

record!(PutBackInto, "generation that ends": mark, generation);

/// Once for each recovery, however often that is interrupted: every replacement costs an epoch of the quarantine.
fn replace_slot_keys<S: Store>(
    store: &S,
    mark: u64,
    keeper: &Keeper,
    now: Timestamp,
) -> Result<(), RecoveryError> {
    let present = keeper.window(now)?.generation();
    let key = Key::<PutBackInto>::new(Bucket::of(b"recovery"), b"pr".to_vec());
    let ends = decide(store, key.clone(), |row, change| match row {
        Some(row) if row.mark == mark => Ok::<_, StoreError>(row.generation),
        _ => {
            change.put(&key, &PutBackInto { mark, generation: present });
            Ok(present)
        }
    })?;
    if present == ends {
        keeper.recover(now)?;
    }
    Ok(())
}
