//! The ledgers' rows: room `l`. All of them are public, or will be; a ledger's rows lie in one
//! bucket, so that a group of entries is one commit.
//!
//! ```text
//! lh ledger                  -> 1, size (le64), peaks (32 each)          the tree's right edge
//! lt ledger level index(be)  -> 1, 1 to 256 hashes (32 each)             a tile
//! le ledger index(be)        -> the entry                                begins with its version, 1
//! ld ledger entry id         -> 1, index (le64)                          an entry stands once
//! lc ledger                  -> 1, note                                  the last checkpoint signed
//! lp ledger                  -> 1, note                                  the last one published
//! lv SHA-256(origin)         -> 1, note                                  a witness: the last one cosigned
//! ```

use super::Ledger;
use super::tree::{Frontier, Hash};
use crate::store::{Bucket, RowKey, StoreError};
use crate::wire::{Reader, Writer};

const FORMAT: u8 = 1;

fn bucket(ledger: Ledger) -> Bucket {
    Bucket::of(&[b'l', ledger as u8])
}

fn row(ledger: Ledger, kind: u8, rest: &[&[u8]]) -> RowKey {
    let key = [&[b'l', kind, ledger as u8], rest.concat().as_slice()].concat();
    RowKey { bucket: bucket(ledger), key }
}

pub(super) fn head(ledger: Ledger) -> RowKey {
    row(ledger, b'h', &[])
}

pub(super) fn tile(ledger: Ledger, level: u8, index: u64) -> RowKey {
    row(ledger, b't', &[&[level], &index.to_be_bytes()])
}

pub(super) fn entry(ledger: Ledger, index: u64) -> RowKey {
    row(ledger, b'e', &[&index.to_be_bytes()])
}

/// What all entries' keys begin with.
pub(super) fn entries(ledger: Ledger) -> RowKey {
    row(ledger, b'e', &[])
}

pub(super) fn index_of(ledger: Ledger, id: &[u8; 32]) -> RowKey {
    row(ledger, b'd', &[id])
}

pub(super) fn signed(ledger: Ledger) -> RowKey {
    row(ledger, b'c', &[])
}

pub(super) fn published(ledger: Ledger) -> RowKey {
    row(ledger, b'p', &[])
}

/// The last checkpoint of an origin that a witness cosigned.
pub(super) fn witnessed(origin: &str) -> RowKey {
    let hash = super::entry_id(origin.as_bytes());
    RowKey { bucket: Bucket::of(origin.as_bytes()), key: [b"lv".as_slice(), &hash].concat() }
}

pub(super) fn head_value(frontier: &Frontier) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(FORMAT);
    out.le64(frontier.size());
    frontier.peaks().iter().for_each(|peak| out.raw(peak));
    out.finish()
}

/// No row is the empty tree.
pub(super) fn read_head(value: Option<&[u8]>) -> Result<Frontier, StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("ledger head");
    let Some(value) = value else { return Ok(Frontier::default()) };
    let mut from = Reader::new(value, "ledger head");
    if from.u8("format").map_err(|_| CORRUPT)? != FORMAT {
        return Err(CORRUPT);
    }
    let size = from.le64("size").map_err(|_| CORRUPT)?;
    let peaks: Result<Vec<Hash>, _> = (0..size.count_ones()).map(|_| from.array("peak")).collect();
    let peaks = peaks.and_then(|peaks| from.end().map(|()| peaks)).map_err(|_| CORRUPT)?;
    Frontier::from_parts(size, peaks).ok_or(CORRUPT)
}

/// Hashes, or a note, behind the format byte.
pub(super) fn value(bytes: &[u8]) -> Vec<u8> {
    [&[FORMAT], bytes].concat()
}

pub(super) fn read_value<'a>(value: &'a [u8], what: &'static str) -> Result<&'a [u8], StoreError> {
    value.strip_prefix(&[FORMAT]).ok_or(StoreError::Corrupt(what))
}

pub(super) fn tile_value(hashes: &[Hash]) -> Vec<u8> {
    value(hashes.as_flattened())
}

pub(super) fn read_tile(value: Option<&[u8]>) -> Result<Vec<Hash>, StoreError> {
    const CORRUPT: StoreError = StoreError::Corrupt("ledger tile");
    let hashes = read_value(value.ok_or(CORRUPT)?, "ledger tile")?;
    super::tile::decode_tile(hashes).ok_or(CORRUPT)
}

pub(super) fn index_value(index: u64) -> Vec<u8> {
    value(&index.to_le_bytes())
}

pub(super) fn read_index(stored: &[u8]) -> Result<u64, StoreError> {
    let index = read_value(stored, "ledger index")?.try_into();
    index.map(u64::from_le_bytes).map_err(|_| StoreError::Corrupt("ledger index"))
}
