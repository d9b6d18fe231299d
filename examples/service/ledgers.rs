//! Both ledgers as everybody reads them (C2SP tlog-tiles), and what trustees and requesters have for the
//! openings ledger.

use crate::answer::{Answer, json};
use crate::arrival::Arrived;
use crate::problem::Problem;
use crate::service::{Service, Shared};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde_json::json;
use unjoin::ledger::{
    BlindEntry, ComparedEntry, DisclosedEntry, Ledger, Log, LogView, RoundEntry, ShareReleasedEntry,
    SignedCheckpoint, TileId, WarrantEntry,
};
use unjoin::opening::SignedCommittee;
use unjoin::store::Store;
use unjoin::wire::Message;

/// A checkpoint is as old as the last tick; readers who hurry see the next one soon.
const CHECKPOINT_CACHE: &str = "public, max-age=5";
/// What is under a checkpoint never changes.
const TILE_CACHE: &str = "public, max-age=604800, immutable";

/// What the path names: a ledger, and the rest of it as it came.
pub(crate) struct Place {
    ledger: Ledger,
    rest: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<Vec<String>>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|_| Problem::path())?;
        let (ledger, rest) = path.split_first().ok_or_else(Problem::path)?;
        let ledger = match ledger.as_str() {
            "reviews" => Ledger::Reviews,
            "openings" => Ledger::Openings,
            _ => return Err(Problem::not_shown()),
        };
        Ok(Self { ledger, rest: rest.join("/") })
    }
}

fn log<S: Store>(service: &Service<S>, ledger: Ledger) -> Result<&Log<S>, Problem> {
    let ledgers = service.platform.ledgers().ok_or_else(Problem::lost)?;
    Ok(match ledger {
        Ledger::Openings => ledgers.openings(),
        _ => ledgers.reviews(),
    })
}

/// The published checkpoint, a signed note.
pub(crate) async fn checkpoint<S: Store>(State(service): Shared<S>, place: Place) -> Answer {
    let read = move |service: &Service<S>| Ok(log(service, place.ledger)?.checkpoint()?);
    let note = service.blocking(read).await?.ok_or_else(Problem::not_shown)?;
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, CHECKPOINT_CACHE)];
    Ok((headers, note).into_response())
}

/// A tile of hashes or a bundle of entries. Nothing is shown before a checkpoint that covers it is: until a
/// quorum has seen them, entries are nobody's.
pub(crate) async fn tile<S: Store>(State(service): Shared<S>, place: Place) -> Answer {
    let id = tile_of(&format!("tile/{}", place.rest)).ok_or_else(Problem::not_shown)?;
    let read = move |service: &Service<S>| {
        let log = log(service, place.ledger)?;
        let Some(note) = log.checkpoint()? else { return Ok(None) };
        let size = SignedCheckpoint::parse(&note, log.public_key()).map_err(|_| Problem::lost())?.size();
        let level = u32::from(id.level.unwrap_or(0)) * 8;
        let end = u128::from(id.index) * 256 + u128::from(id.width);
        let is_covered = u128::from(size.checked_shr(level).unwrap_or(0)) >= end;
        Ok(if is_covered { log.tile(id)? } else { None })
    };
    let bytes = service.blocking(read).await?.ok_or_else(Problem::not_shown)?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, TILE_CACHE)];
    Ok((headers, bytes).into_response())
}

/// The tile with this path; every tile has one.
fn tile_of(path: &str) -> Option<TileId> {
    let (level, index) = path.strip_prefix("tile/")?.split_once('/')?;
    let level = if level == "entries" { None } else { Some(level.parse().ok()?) };
    let (index, width) = match index.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok()?),
        None => (index, 256),
    };
    let index = index.split('/').try_fold(0u64, |sum, group| {
        let group: u64 = group.trim_start_matches('x').parse().ok()?;
        sum.checked_mul(1000)?.checked_add(group)
    })?;
    let id = TileId { level, index, width };
    let is_one = (1..=256).contains(&width) && level.is_none_or(|level| level < 64);
    (is_one && id.path() == path).then_some(id)
}

/// An entry for the openings ledger, its bytes: a requester's warrant, what trustees announce, a committee.
/// Answers `index`. Idempotent. It counts once a checkpoint covers it, which the next tick publishes.
pub(crate) async fn append<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let entry = body.0?.to_vec();
    if !is_of_outsiders(&entry) {
        return Err(Problem::entry());
    }
    let append = move |service: &Service<S>| Ok(log(service, Ledger::Openings)?.append(&[entry])?);
    let indices = service.blocking(append).await?;
    Ok(json(&json!({ "index": indices.first() })))
}

/// Whether requesters and trustees write such entries. The platform's own, the bindings of accounts, come from its
/// stores alone: one that somebody else hands in would bind an account to a wallet that it never enrolled.
fn is_of_outsiders(entry: &[u8]) -> bool {
    WarrantEntry::from_bytes(entry).is_ok()
        || ShareReleasedEntry::from_bytes(entry).is_ok()
        || RoundEntry::from_bytes(entry).is_ok()
        || BlindEntry::from_bytes(entry).is_ok()
        || ComparedEntry::from_bytes(entry).is_ok()
        || DisclosedEntry::from_bytes(entry).is_ok()
        || SignedCommittee::from_bytes(entry).is_ok()
}

#[test]
fn every_tile_has_one_path() {
    for (level, index, width) in
        [(None, 0, 256), (Some(0), 1_234_067, 5), (Some(7), 999, 256), (None, 1000, 1)]
    {
        let id = TileId { level, index, width };
        assert_eq!(tile_of(&id.path()), Some(id));
    }
    let foreign = [
        "tile/0/1",
        "tile/0/0001",
        "tile/00/001",
        "tile/0/001.p/256",
        "tile/0/001.p/0",
        "tile/0/001.p/05",
        "tile/64/001",
        "tile/entries/x000/001",
        "tile/entries/001/x000",
        "tile/0/",
        "tile/a/001",
        "tile/0/+01",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ];
    for path in foreign {
        assert_eq!(tile_of(path), None, "{path}");
    }
}
