//! What a page pins.

use crate::error::{Outcome, Thrown};
use crate::object::whole;
use unjoin_core::Grid;
use unjoin_core::token::{EscrowKeyCertificate, PlatformPublicKey, TrusteePublicKey, Trustees};
use unjoin_core::wire::Message;
use unjoin_log::{NotePublicKey, WitnessPolicy, WitnessPublicKey};
use unjoin_wallet::TrustRoots;
use wasm_bindgen::prelude::*;

/// What a page pins: the platform's keys, its trustees, its ledger. It is shipped with the page, the same for
/// everybody, and never filled from what a service answers.
#[wasm_bindgen]
pub struct Trust {
    pub(crate) roots: TrustRoots,
    pub(crate) platform_key: PlatformPublicKey,
    pub(crate) ledger: Option<WitnessPolicy>,
}

#[wasm_bindgen]
impl Trust {
    /// The platform's key, 64 hexadecimal digits; the least number of customers that a cohort must have; and the grid of the
    /// platform's boundaries.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(js_name = platformKey)] platform_key: &str,
        #[wasm_bindgen(js_name = leastCohort)] least_cohort: f64,
        #[wasm_bindgen(unchecked_param_type = "\"daily\" | \"weekly\"")] grid: &str,
    ) -> Outcome<Trust> {
        let platform_key = platform_key.parse()?;
        let grid = match grid {
            "daily" => Grid::Daily,
            "weekly" => Grid::Weekly,
            _ => return Err(Thrown::argument("the grid: \"daily\" or \"weekly\"")),
        };
        let roots = TrustRoots::new(platform_key, whole(least_cohort, "the least cohort: a number")?, grid);
        Ok(Self { roots, platform_key, ledger: None })
    }

    /// Pins the trustees' keys, 64 hexadecimal digits each, and how many of them it must take to open a review.
    #[wasm_bindgen(js_name = pinTrustees)]
    pub fn pin_trustees(
        &mut self,
        keys: Vec<String>,
        #[wasm_bindgen(js_name = leastThreshold)] least_threshold: f64,
    ) -> Outcome<()> {
        let keys = keys.iter().map(|key| key.parse::<TrusteePublicKey>()).collect::<Result<_, _>>()?;
        let least = whole(least_threshold, "the least threshold: a number")?;
        self.roots = self.roots.clone().with_trustees(Trustees::new(keys)?, least);
        Ok(())
    }

    /// Pins an issuer key, 64 hexadecimal digits, with the escrow key that all pinned trustees signed.
    #[wasm_bindgen(js_name = pinIssuerKey)]
    pub fn pin_issuer_key(
        &mut self,
        #[wasm_bindgen(js_name = issuerKey)] issuer_key: &str,
        certificate: &[u8],
    ) -> Outcome<()> {
        let certificate = EscrowKeyCertificate::from_bytes(certificate)?;
        self.roots = self.roots.clone().pin_certified(issuer_key.parse()?, &certificate)?;
        Ok(())
    }

    /// Pins the reviews ledger and its witnesses by their verification keys (`name+hash+key`). `quorum` of them, at most
    /// `faulty` of which lie, must have cosigned a checkpoint within `freshness` seconds. Keys of the door are read from it.
    #[wasm_bindgen(js_name = pinLedger)]
    pub fn pin_ledger(
        &mut self,
        log: &str,
        witnesses: Vec<String>,
        quorum: f64,
        faulty: f64,
        freshness: f64,
    ) -> Outcome<()> {
        let log: NotePublicKey = log.parse()?;
        let witnesses =
            witnesses.iter().map(|key| key.parse::<WitnessPublicKey>()).collect::<Result<_, _>>()?;
        let (quorum, faulty) =
            (whole(quorum, "the quorum: a number")?, whole(faulty, "the faulty: a number")?);
        let freshness = whole(freshness, "the freshness: a number")?;
        self.ledger = Some(WitnessPolicy::new(log, witnesses, quorum, faulty, freshness)?);
        Ok(())
    }

    /// From now on a manifest counts only if it stands in the pinned ledger: the platform's signature alone is not enough.
    #[wasm_bindgen(js_name = requireLedger)]
    pub fn require_ledger(&mut self) -> Outcome<()> {
        let ledger = self.ledger.clone().ok_or_else(|| Thrown::argument("a ledger first: pinLedger"))?;
        self.roots = self.roots.clone().require_ledger(ledger);
        Ok(())
    }
}
