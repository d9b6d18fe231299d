//! The way back after an older copy of a store was put back: what both services share.
//!
//! A recovery begins with a row that holds its signed entry. It ends with that entry in the outbox
//! and the row's mark gone, in one commit. While the mark is there no service opens the store. Every step in
//! between does nothing the second time, so a recovery that was interrupted is begun again.

use unjoin_audit::{AuditError, History, recoveries};
use unjoin_core::entry::{Ledger, RecoveredEntry, RecoveredStore, StaffKeyEntry};
use unjoin_core::token::{PlatformPublicKey, SignError, StaffKey};
use unjoin_core::wire::{DecodeError, MAX_MESSAGE, Message, Reader, Writer};
use unjoin_core::{Timestamp, describe_errors};
use unjoin_log::{LogError, outbox};
use unjoin_phone::SlotKeyError;
use unjoin_store::{Key, Record, Store, StoreError, decide, identity, read};

/// Who puts an older copy of a store back, and why: it is in the ledger under their signature.
///
/// ```
/// use unjoin::{Recovery, secret::SystemRng, token::StaffKey};
/// let key = StaffKey::generate(&mut SystemRng::new());
/// let recovery = Recovery { key: &key, grounds: "the volume was lost on 3 March", last_mark: 4_711, after_era: 1 };
/// # let _ = recovery;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Recovery<'a> {
    /// A key of the staff's that is in the reviews ledger.
    pub key: &'a StaffKey,
    /// 1 to [`RecoveredEntry::MAX_GROUNDS`] bytes, public.
    pub grounds: &'a str,
    /// The number of the last mark that the copy has; 0 if it has none.
    pub last_mark: u64,
    /// The newest era that another store of the platform is in, recovered just now or not
    /// ([`LostStores::newest_era_beside`](unjoin_store::LostStores::newest_era_beside)); 1 if there is none. No two
    /// recoveries may begin one era: of the second nobody would know what it excuses.
    pub after_era: u32,
}

/// What a store keeps of its last recovery. Without the row there was none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RecoveryRow {
    /// The era that it began.
    pub(crate) era: u32,
    /// When it was begun the last time; nothing was served from then to its end.
    pub(crate) at: Timestamp,
    /// What will be logged of it, until it has ended.
    unfinished: Option<RecoveredEntry>,
}

impl Record for RecoveryRow {
    const NAME: &'static str = "recovery";

    fn encode(&self, out: &mut Writer) {
        out.le32(self.era);
        out.timestamp(self.at);
        out.u8(self.unfinished.is_some().into());
        self.unfinished.iter().for_each(|entry| out.bytes(&entry.to_bytes()));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (era, at) = (from.le32("era")?, from.timestamp("recovered at")?);
        let unfinished = if from.bool("unfinished")? {
            Some(RecoveredEntry::from_bytes(from.bytes("recovered entry", 0, MAX_MESSAGE)?)?)
        } else {
            None
        };
        Ok(Self { era, at, unfinished })
    }
}

/// The era that a store is in, and when its last recovery was; refused while one has not ended.
pub(crate) fn era<S: Store>(
    store: &S,
    key: &Key<RecoveryRow>,
) -> Result<(u32, Option<Timestamp>), RecoveryError> {
    let era = identity::of(store)?.map_or(1, |identity| identity.era);
    match read(store, key)? {
        Some(row) if row.unfinished.is_some() => Err(RecoveryError::Unfinished),
        Some(row) => Ok((era.max(row.era), Some(row.at))),
        None => Ok((era, None)),
    }
}

/// Whether a recovery of this store was begun and has not ended.
pub(crate) fn is_unfinished<S: Store>(store: &S, key: &Key<RecoveryRow>) -> Result<bool, StoreError> {
    Ok(read(store, key)?.is_some_and(|row| row.unfinished.is_some()))
}

/// Begins a recovery, or goes on with one that was interrupted, which keeps its entry.
pub(crate) fn begin<S: Store>(
    store: &S,
    key: &Key<RecoveryRow>,
    what: RecoveredStore,
    (history, platform): (&History, &PlatformPublicKey),
    recovery: &Recovery<'_>,
    now: Timestamp,
) -> Result<RecoveryRow, RecoveryError> {
    let origin = &history.newer().0.checkpoint().origin;
    let staff_key = *recovery.key.public().as_bytes();
    let is_known = history.entries().iter().filter_map(|entry| StaffKeyEntry::from_bytes(entry).ok());
    if !is_known.into_iter().any(|e| e.staff_key() == &staff_key && e.verify(platform, origin).is_ok()) {
        return Err(RecoveryError::UnknownStaff);
    }
    let logged = recoveries(history, platform).into_values().map(|(_, entry)| entry.era()).max();
    let latest = logged.unwrap_or(1).max(recovery.after_era);
    let now = now.max(history.newer().1.median_time);
    let own = identity::of(store)?.map_or(1, |identity| identity.era);
    decide(store, key.clone(), |row: Option<RecoveryRow>, change| {
        let (era, at) = row.as_ref().map_or((1, now), |row| (row.era, row.at.max(now)));
        let row = match row {
            // Unless another store was recovered meanwhile: then its entry comes too late.
            Some(row) if row.unfinished.as_ref().is_some_and(|entry| entry.era() > latest) => {
                RecoveryRow { at, ..row }
            }
            _ => {
                let era = era.max(own).max(latest).checked_add(1).ok_or(RecoveryError::Eras)?;
                let Recovery { key, grounds, last_mark, .. } = *recovery;
                let entry = RecoveredEntry::sign(key, origin, what, era, last_mark, grounds)?;
                RecoveryRow { era, at, unfinished: Some(entry) }
            }
        };
        change.put(key, &row);
        Ok(row)
    })
}

/// Ends it: the store says that it is in the new era and no copy. The entry is on its way into the ledger, and
/// the store may be opened.
pub(crate) fn end<S: Store>(store: &S, key: &Key<RecoveryRow>, era: u32) -> Result<(), RecoveryError> {
    // A store that nothing tells whose it is has its recovery's row alone.
    while let Some(identity) = identity::of(store)?.filter(|identity| identity.era < era) {
        identity::raise_era(store, identity.era)?;
    }
    decide(store, key.clone(), |row: Option<RecoveryRow>, change| {
        if let Some(row) = row
            && let Some(entry) = &row.unfinished
        {
            outbox::put(change, Ledger::Reviews, entry.to_bytes());
            change.put(key, &RecoveryRow { unfinished: None, ..row });
        }
        Ok(())
    })
}

describe_errors! {
    /// Why a store was not recovered, or not opened.
    ///
    /// ```
    /// use unjoin::{Audience, RecoveryError};
    /// // A service finds a store whose recovery was begun, and does not open.
    /// let error = RecoveryError::Unfinished;
    /// assert_eq!((error.code(), error.audience()), ("recovery.unfinished", Audience::Operator));
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum RecoveryError (Operator, false) {
        /// A recovery was begun and not ended.
        Unfinished => "recovery.unfinished",
            "the recovery of this store was interrupted: run it again, it goes on where it stopped";
        /// The key is in no entry of the ledger that the platform's key signed.
        UnknownStaff => "recovery.unknown_staff",
            "the key is none of the staff's in the reviews ledger: have the platform's key admit it, and log \
             that first";
        /// The grounds are empty or too long.
        Grounds => "recovery.grounds", "say why, in 1 to {} bytes", RecoveredEntry::MAX_GROUNDS;
        /// No era is left.
        Eras => "recovery.eras", "the ledger holds the last era there is: begin another ledger under another name";
        /// A key that the host's key management holds did not sign.
        Sign(source: SignError) => "recovery.signing" (Operator, true), "{source}";
        /// The platform's ledgers have no witnesses.
        Unwitnessed => "recovery.unwitnessed",
            "these ledgers have no witnesses, so nobody proves that they are whole: open them with some, which \
             will take for the whole ledger what the store has now, if you are certain that the ledgers' store \
             itself was not put back";
        /// Too few witnesses have cosigned what the ledger has now.
        NoQuorum => "recovery.no_quorum" (Operator, true),
            "too few witnesses have cosigned what the ledger has now: reach them, and run it again";
        /// A ledger is not whole, or could not be opened.
        Ledger(#[from] source: LogError) => "recovery.ledger_unusable", "{source}";
        but Self::Ledger(LogError::Behind { size, witnessed }) => "recovery.ledger_behind",
            "the ledger's own store is an older copy: the witnesses have seen {witnessed} entries and it has \
             {size}, and what it lacks is in no outbox any more. Put the newest ledgers' store in its place, or \
             append what its export has, in its order. If no export has as many, this ledger is over: begin \
             another under a new name, and say in both why";
        but Self::Ledger(source @ (LogError::Unwitnessed | LogError::Store(_))) => "recovery.ledger" (Operator, true),
            "{source}";
        /// The reviews ledger could not be read.
        Audit(#[from] source: AuditError) => "recovery.audit", "{source}";
        /// The switchboard's store was put back, and its slot keys are not at hand.
        NoKeeper => "recovery.no_keeper",
            "the telephony store was put back, and numbers that have ended would ring again: recover where the \
             keeper of the slot keys is, which replaces them all";
        /// The slot keys could not be replaced.
        SlotKeys(#[from] source: SlotKeyError) => "recovery.slot_keys" (Operator, true), "{source}";
        /// The store did not answer.
        Store(#[from] source: StoreError) => "recovery.store_unusable", "{source}";
        but Self::Store(source @ (StoreError::Engine(_) | StoreError::Contended | StoreError::InUse)) => "recovery.store" (Operator, true),
            "{source}";
    }
}

/// An era is never the first one here, so what breaks a limit is the grounds.
impl From<SignError> for RecoveryError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Limits => Self::Grounds,
            error => Self::Sign(error),
        }
    }
}
