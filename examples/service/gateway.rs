//! The gateway of Oblivious HTTP (RFC 9458) before the door: what a relay posts here is opened, asked at the door,
//! and answered sealed, so that relay and network see one length each way and nothing else.
//!
//! What fails before a question is open cannot be sealed, and depends on nothing within it. All else, errors
//! included, is an answer of the door's like any other.

use crate::answer::{Answer, json};
use crate::arrival::Arrived;
use crate::door;
use crate::endpoint::Endpoint;
use crate::problem::{Code, Problem};
use crate::secrets::DoorKeyFiles;
use crate::service::{BLOCKING_THREADS, Service};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use unjoin::ledger::{DoorKeyEntry, Log, LogView};
use unjoin::review::DeskError;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::Store;
use unjoin::token::{DoorAnswer, PlatformKey};
use unjoin::wire::Message;
use unjoin::{Grid, Timestamp};
use unjoin_door::{ANSWER_TYPE, BundlePiece, Bundles, Gateway, GatewayKey, Reply};

/// All answers leave at multiples of it, so that none tells by its time what was looked up for it.
const STEP: Duration = Duration::from_millis(250);
/// Of each key so many questions are remembered: about 40 MB when full.
const REMEMBERED: usize = 1 << 20;
/// The bundles of so many boundaries are shown.
const BOUNDARIES: usize = 32;

/// An encapsulated question; answers an encapsulated answer.
pub(crate) async fn ask<S: Store>(State(service): State<Arc<Service<S>>>, body: Arrived) -> Answer {
    let (message, reply) = service.gateway.open_question(&body.0?, service.environment.now())?;
    let since = Instant::now();
    let asked = tokio::time::timeout(service.patience, door::answer(&service, &message)).await;
    let (answer, code, is_fault) = match asked.unwrap_or_else(|_| Err(Problem::timeout())) {
        Ok(message) => (DoorAnswer::accepted(message), "ok", false),
        Err(problem) => {
            let Code { code, .. } = problem.code();
            (door::refused(problem.code()), code, problem.status.is_server_error())
        }
    };
    service.metrics.answered(Endpoint::Door, code, is_fault, since.elapsed());
    let headers = [(header::CONTENT_TYPE, ANSWER_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, reply.seal(&answer, &mut SystemRng::new())).into_response())
}

/// Answers `host` and `keys`: those that hold and the next, each with the evidence that it stands in the ledger. For
/// devices whose keys have all ended; they ask without their account.
pub(crate) async fn keys<S: Store>(State(service): State<Arc<Service<S>>>) -> Answer {
    let read = |service: &Service<S>| {
        let ledgers = service.platform.ledgers().ok_or_else(Problem::lost)?;
        let mut keys = Vec::new();
        for entry in service.gateway.entries() {
            keys.extend(ledgers.reviews().evidence_of(&entry.to_bytes())?);
        }
        Ok(keys)
    };
    let keys = service.blocking(read).await?;
    let keys: Vec<_> = keys.iter().map(|key| Base64UrlUnpadded::encode_string(&key.to_bytes())).collect();
    Ok(json(&json!({ "host": service.gateway.host, "keys": keys })))
}

/// The gateway's keys, and the bundles that devices fetch through it.
pub(crate) struct Gate {
    host: String,
    grid: Grid,
    /// For keys that are made from now on.
    shard_bits: u8,
    /// Signs the keys' entries, for the reviews ledger.
    platform_key: PlatformKey,
    gateway: RwLock<Gateway>,
    entries: RwLock<Vec<DoorKeyEntry>>,
    files: DoorKeyFiles,
    bundles: Mutex<Bundles>,
    /// For who waits for bundles: to make those of a boundary takes a while, and other questions need threads.
    places: Semaphore,
    since: Instant,
}

impl Gate {
    pub(crate) fn open(
        directory: &Path,
        host: String,
        grid: Grid,
        shard_bits: u8,
        platform_key: PlatformKey,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self {
            gateway: RwLock::new(Gateway::new(&host, REMEMBERED)?),
            entries: RwLock::default(),
            files: DoorKeyFiles::at(directory)?,
            bundles: Mutex::new(Bundles::new(BOUNDARIES)),
            places: Semaphore::new(BLOCKING_THREADS / 2),
            since: Instant::now(),
            host,
            grid,
            shard_bits,
            platform_key,
        })
    }

    fn open_question(&self, sealed: &[u8], now: Timestamp) -> Result<(Vec<u8>, Reply), Problem> {
        Ok(self.gateway.read().unwrap_or_else(PoisonError::into_inner).open(sealed, now)?)
    }

    /// Of the keys that hold, and the next.
    pub(crate) fn entries(&self) -> Vec<DoorKeyEntry> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How bundles are cut now.
    fn shard_bits(&self, now: Timestamp) -> u8 {
        let entries = self.entries();
        entries.iter().rfind(|entry| entry.holds_at(now)).map_or(self.shard_bits, DoorKeyEntry::shard_bits)
    }

    /// Makes the present key and the next where they are missing, logs them, and serves what has not ended. Each key holds
    /// for two periods, so two hold at any time; a period before it begins it stands in the ledger, and every device
    /// has met it.
    ///
    /// A key that is logged and lost is never made anew: another one for its time would be a third, which devices
    /// refuse. The door opens again with the next that nobody has logged. And while it is not certain what time it is,
    /// keys that are there are served, and none is made or erased.
    pub(crate) fn rotate<S: Store>(
        &self,
        ledger: &Log<S>,
        now: Timestamp,
        is_certain: bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (grid, period) = (self.grid, self.grid.period());
        let Some(present) = grid.at_or_before(now) else { return Ok(()) };
        let origin = ledger.public_key().name().as_str();
        let _alone = self.files.lock()?;
        let makes = is_certain || self.files.is_empty()?;
        let (mut entries, mut keys) = (Vec::new(), Vec::new());
        for from in [present.saturating_sub(period), present, present.saturating_add(period)] {
            let kept = match self.files.read(from)? {
                None if from >= present && makes => self.make(ledger, from)?,
                kept => kept,
            };
            let Some((bits, secret)) = kept else { continue };
            let (valid, number) = (from..grid.nth_after(from, 2), from.as_unix_seconds() / period);
            let key = GatewayKey::from_secret_bytes((number % 256) as u8, secret);
            let (id, public) = key.public();
            let entry = DoorKeyEntry::sign(&self.platform_key, origin, id, public, bits, valid.clone());
            entries.push(entry?);
            keys.push((key, valid));
        }
        ledger.append(&entries.iter().map(Message::to_bytes).collect::<Vec<_>>())?;
        let mut gateway = self.gateway.write().unwrap_or_else(PoisonError::into_inner);
        keys.into_iter().for_each(|(key, valid)| gateway.serve(key, valid));
        gateway.forget_ended(now);
        drop(gateway);
        self.files.publish(&self.host, &entries)?;
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        if is_certain {
            self.files.erase(|from| grid.nth_after(from, 2) <= now)?;
        }
        Ok(())
    }

    /// The key from then on, and how bundles are cut; nothing if the ledger has one that is lost.
    fn make<S: Store>(
        &self,
        ledger: &Log<S>,
        from: Timestamp,
    ) -> Result<Option<(u8, SecretBytes<32>)>, Box<dyn Error + Send + Sync>> {
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        bundles.read(ledger)?;
        if bundles.keys().any(|entry| entry.from() == from) {
            tracing::error!("a key of the door is lost: devices wait for the next");
            return Ok(None);
        }
        let secret = SecretBytes::random(&mut SystemRng::new());
        self.files.write(from, self.shard_bits, &secret)?;
        Ok(Some((self.shard_bits, secret)))
    }

    /// A piece of a bundle.
    pub(crate) fn bundle(
        &self,
        ledger: &dyn LogView,
        now: Timestamp,
        (boundary, shard, piece): (Timestamp, u16, u16),
    ) -> Result<BundlePiece, Problem> {
        let _place = self.places.try_acquire().map_err(|_| Problem::busy())?;
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        let found = bundles.piece(ledger, self.shard_bits(now), boundary, shard, piece)?;
        Ok(found.ok_or(DeskError::NoBundle)?)
    }

    /// Returns at the next multiple of [`STEP`] since the start.
    pub(crate) async fn step(&self) {
        tokio::time::sleep(until_step(self.since.elapsed())).await;
    }
}

fn until_step(elapsed: Duration) -> Duration {
    let beyond = elapsed.as_nanos() % STEP.as_nanos();
    STEP - Duration::from_nanos(beyond as u64)
}

#[test]
fn every_answer_waits_for_a_multiple_of_the_step() {
    for (elapsed, wait) in [(0, 250), (1, 249), (249, 1), (250, 250), (10_130, 120)] {
        assert_eq!(until_step(Duration::from_millis(elapsed)), Duration::from_millis(wait));
    }
}
