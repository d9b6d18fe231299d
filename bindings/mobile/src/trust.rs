//! What an app pins.

use crate::error::{Outcome, argument};
use crate::lock;
use std::sync::Mutex;
use unjoin_core::token::{EscrowKeyCertificate, PlatformPublicKey, TrusteePublicKey, Trustees};
use unjoin_core::wire::Message;
use unjoin_log::{NotePublicKey, WitnessPolicy, WitnessPublicKey};
use unjoin_wallet::TrustRoots;

/// The grid of a platform's boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Grid {
    /// Every midnight, UTC.
    Daily,
    /// Midnight before every Monday, UTC.
    Weekly,
}

/// What an app pins: the platform's keys, its trustees, its ledger. It is shipped with the app, the same for everybody,
/// and never filled from what a service answers.
#[derive(uniffi::Object)]
pub struct Trust(Mutex<Pins>);

#[derive(Clone)]
pub(crate) struct Pins {
    pub(crate) roots: TrustRoots,
    pub(crate) platform_key: PlatformPublicKey,
    pub(crate) ledger: Option<WitnessPolicy>,
}

impl Trust {
    pub(crate) fn pins(&self) -> Pins {
        lock(&self.0).clone()
    }

    fn change(&self, change: impl FnOnce(TrustRoots) -> Outcome<TrustRoots>) -> Outcome<()> {
        let mut pins = lock(&self.0);
        pins.roots = change(pins.roots.clone())?;
        Ok(())
    }
}

#[uniffi::export]
impl Trust {
    /// The platform's key, 64 hexadecimal digits; the least number of customers that a cohort must have; and the grid of
    /// the platform's boundaries.
    #[uniffi::constructor]
    pub fn new(platform_key: String, least_cohort: u32, grid: Grid) -> Outcome<Self> {
        let platform_key = platform_key.parse()?;
        let grid = match grid {
            Grid::Daily => unjoin_core::Grid::Daily,
            Grid::Weekly => unjoin_core::Grid::Weekly,
        };
        let roots = TrustRoots::new(platform_key, least_cohort, grid);
        Ok(Self(Mutex::new(Pins { roots, platform_key, ledger: None })))
    }

    /// Pins the trustees' keys, 64 hexadecimal digits each, and how many of them it must take to open a review.
    pub fn pin_trustees(&self, keys: Vec<String>, least_threshold: u16) -> Outcome<()> {
        let keys = keys.iter().map(|key| key.parse::<TrusteePublicKey>()).collect::<Result<_, _>>()?;
        let trustees = Trustees::new(keys)?;
        self.change(|roots| Ok(roots.with_trustees(trustees, least_threshold)))
    }

    /// Pins an issuer key, 64 hexadecimal digits, with the escrow key that all pinned trustees signed.
    pub fn pin_issuer_key(&self, issuer_key: String, certificate: Vec<u8>) -> Outcome<()> {
        let (issuer_key, certificate) =
            (issuer_key.parse()?, EscrowKeyCertificate::from_bytes(&certificate)?);
        self.change(|roots| Ok(roots.pin_certified(issuer_key, &certificate)?))
    }

    /// Pins the reviews ledger and its witnesses by their verification keys (`name+hash+key`). `quorum` of them, at most
    /// `faulty` of which lie, must have cosigned a checkpoint within `freshness` seconds. Keys of the door are read from it.
    pub fn pin_ledger(
        &self,
        log: String,
        witnesses: Vec<String>,
        quorum: u32,
        faulty: u32,
        freshness: u64,
    ) -> Outcome<()> {
        let log: NotePublicKey = log.parse()?;
        let witnesses =
            witnesses.iter().map(|key| key.parse::<WitnessPublicKey>()).collect::<Result<_, _>>()?;
        let policy = WitnessPolicy::new(log, witnesses, quorum as usize, faulty as usize, freshness)?;
        lock(&self.0).ledger = Some(policy);
        Ok(())
    }

    /// From now on a manifest counts only if it stands in the pinned ledger: the platform's signature alone is not enough.
    /// And the device looks by itself whether its reviews stand there.
    pub fn require_ledger(&self) -> Outcome<()> {
        let ledger = lock(&self.0).ledger.clone().ok_or_else(|| argument("a ledger first: pinLedger"))?;
        self.change(|roots| Ok(roots.require_ledger(ledger)))
    }
}
