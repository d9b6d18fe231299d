//! Whose word a key is: the app's, or that of the ledger which everybody sees.

use crate::{DoorError, KeyConfig};
use unjoin_core::entry::DoorKeyEntry;
use unjoin_core::token::PlatformPublicKey;
use unjoin_core::wire::Message;
use unjoin_core::{Grid, Timestamp};
use unjoin_log::{CosignedEntry, WitnessPolicy};

/// The keys of a door that a device believes.
///
/// An insider who gives each device a key of its own reads in every question whose it is. So a key counts when the
/// app holds it, as everybody's does. It also counts when it stands in the reviews ledger under a checkpoint that
/// a quorum of witnesses has cosigned of late. The platform's signature alone is neither. The ledger may show two
/// keys at once, and a device takes the newest. Nor does it take one from a connection of its account's: which of
/// two it was given would be a mark.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// # use unjoin_core::{WEEK, secret::SystemRng, token::PlatformKey};
/// use unjoin_core::{Grid, entry::DoorKeyEntry, wire::Message};
/// use unjoin_door::{DoorKeys, GatewayKey};
/// # let rng = &mut SystemRng::new();
/// # let (platform, key, now) = (PlatformKey::generate(rng), GatewayKey::generate(9, rng), SEALED);
/// # let (id, public) = key.public();
/// # let entry = DoorKeyEntry::sign(&platform, "shop.example/reviews", id, public, 0, now..now.saturating_add(4 * WEEK))?;
/// # let ledger = SmallLedger::of_reviews(&[entry.to_bytes()], now);
/// # let evidence = unjoin_log::LogView::evidence_of(&ledger.log, &entry.to_bytes())?.unwrap();
/// let mut keys = DoorKeys::new(platform.public(), ledger.policy, Grid::Weekly);
/// assert_eq!(keys.config(now), None);
/// keys.admit(&evidence, now)?;
/// // Now there is a key to seal to, everybody's.
/// assert_eq!(keys.config(now), Some(*key.config()));
/// assert_eq!(keys.newest(now).map(DoorKeyEntry::key_id), Some(9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DoorKeys {
    platform: PlatformPublicKey,
    ledger: WitnessPolicy,
    grid: Grid,
    /// In the order in which they begin.
    entries: Vec<DoorKeyEntry>,
}

impl DoorKeys {
    /// No keys yet; of a platform with this key and this grid, whose reviews ledger is believed under this
    /// policy.
    pub fn new(platform: PlatformPublicKey, ledger: WitnessPolicy, grid: Grid) -> Self {
        Self { platform, ledger, grid, entries: Vec::new() }
    }

    /// Takes a key that the app holds, or that was admitted before and kept.
    ///
    /// # Errors
    /// [`DoorError::KeySignature`], [`DoorError::KeyOffGrid`], [`DoorError::TooManyKeys`].
    pub fn pin(&mut self, entry: DoorKeyEntry) -> Result<(), DoorError> {
        let origin = self.ledger.log().name().as_str();
        entry.verify(&self.platform, origin).map_err(|_| DoorError::KeySignature)?;
        if !entry.is_on(self.grid) {
            return Err(DoorError::KeyOffGrid);
        }
        if self.entries.contains(&entry) {
            return Ok(());
        }
        let mut entries = self.entries.clone();
        let at = entries.partition_point(|held| held.from() <= entry.from());
        entries.insert(at, entry);
        // So many hold at once at the beginning of one of them, if ever.
        let at = |time| entries.iter().filter(|entry| entry.holds_at(time)).count();
        if entries.iter().any(|entry| at(entry.from()) > DoorKeyEntry::MAX_AT_ONCE) {
            return Err(DoorError::TooManyKeys);
        }
        self.entries = entries;
        Ok(())
    }

    /// Takes a key that stands in the ledger, with the evidence for it; those that have ended go.
    ///
    /// # Errors
    /// [`DoorError::NotLogged`], also when the checkpoint is not of this time; [`DoorError::NoKeyEntry`];
    /// [`DoorError::KeyEnded`]; as for [`pin`](Self::pin).
    pub fn admit(&mut self, evidence: &CosignedEntry, now: Timestamp) -> Result<(), DoorError> {
        let logged = evidence.verify_under(&self.ledger)?;
        self.ledger.fresh_quorum(&logged.checkpoint, now)?;
        let entry = DoorKeyEntry::from_bytes(logged.entry).map_err(|_| DoorError::NoKeyEntry)?;
        if entry.until() <= now {
            return Err(DoorError::KeyEnded);
        }
        self.entries.retain(|entry| now < entry.until());
        self.pin(entry)
    }

    /// The newest key that holds now, with how bundles are cut. `None` when all have ended: read the ledger, as
    /// everybody may, without the account's session.
    pub fn newest(&self, now: Timestamp) -> Option<&DoorKeyEntry> {
        self.entries.iter().rfind(|entry| entry.holds_at(now))
    }

    /// As [`newest`](Self::newest), to [`seal`](crate::seal) to.
    pub fn config(&self, now: Timestamp) -> Option<KeyConfig> {
        self.newest(now).map(KeyConfig::from)
    }

    /// All of them, for the device to keep.
    pub fn entries(&self) -> &[DoorKeyEntry] {
        &self.entries
    }
}
