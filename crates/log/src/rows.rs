//! The logs' rows: room `l`. All of them are public, or will be; a log's rows lie in one
//! bucket, so that a group of entries is one commit.
//!
//! ```text
//! lh ledger                  -> 1, size (le64), peaks (32 each)          the tree's right edge
//! lt ledger level index(be)  -> 1, 1 to 256 hashes (32 each)             a tile
//! le ledger index(be)        -> the entry                                begins with its version, 1
//! ld ledger entry id         -> 1, index (le64)                          an entry is there once
//! lc ledger                  -> 1, note                                  the last checkpoint signed
//! lp ledger                  -> 1, note                                  the last one published
//! lv SHA-256(origin)         -> 1, note                                  a witness: the last one cosigned
//! lw                         -> 1, seed (32), name                       a witness: its key
//! ```

use super::note::KeyName;
use super::tile::decode_tile;
use super::tree::{Frontier, Hash};
use unjoin_core::entry::{Ledger, entry_id};
use unjoin_core::secret::SecretBytes;
use unjoin_core::wire::{DecodeError, Reader, Rule, Writer};
use unjoin_store::{Bucket, Key, Record, record};

pub(super) fn bucket(ledger: Ledger) -> Bucket {
    Bucket::of(&[b'l', ledger as u8])
}

fn row<R>(ledger: Ledger, kind: u8, rest: &[&[u8]]) -> Key<R> {
    Key::new(bucket(ledger), [&[b'l', kind, ledger as u8], rest.concat().as_slice()].concat())
}

/// No row is the empty tree.
pub(super) fn head(ledger: Ledger) -> Key<Frontier> {
    row(ledger, b'h', &[])
}

pub(super) fn tile(ledger: Ledger, level: u8, index: u64) -> Key<Tile> {
    row(ledger, b't', &[&[level], &index.to_be_bytes()])
}

pub(super) fn entry(ledger: Ledger, index: u64) -> Key<Entry> {
    row(ledger, b'e', &[&index.to_be_bytes()])
}

/// What all entries' keys begin with.
pub(super) fn entries(ledger: Ledger) -> Vec<u8> {
    vec![b'l', b'e', ledger as u8]
}

pub(super) fn index_of(ledger: Ledger, id: &[u8; 32]) -> Key<Index> {
    row(ledger, b'd', &[id])
}

pub(super) fn signed(ledger: Ledger) -> Key<StoredNote> {
    row(ledger, b'c', &[])
}

pub(super) fn published(ledger: Ledger) -> Key<StoredNote> {
    row(ledger, b'p', &[])
}

/// The last checkpoint of an origin that a witness cosigned.
pub(super) fn witnessed(origin: &str) -> Key<StoredNote> {
    let hash = entry_id(origin.as_bytes());
    Key::new(Bucket::of(origin.as_bytes()), [WITNESSED, &hash].concat())
}

/// What the keys of all that a witness cosigned begin with.
pub(super) const WITNESSED: &[u8] = b"lv";

/// A witness's key.
pub(super) fn witness_key() -> Key<WitnessSeed> {
    Key::new(Bucket::of(b"witness"), b"lw".to_vec())
}

/// What a witness's key is made of.
pub(super) struct WitnessSeed {
    pub(super) seed: SecretBytes<32>,
    pub(super) name: KeyName,
}

impl Record for WitnessSeed {
    const NAME: &'static str = "witness key";

    fn encode(&self, out: &mut Writer) {
        out.raw(self.seed.expose());
        out.raw(self.name.as_str().as_bytes());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let seed = SecretBytes::new(from.array("seed")?);
        let name = core::str::from_utf8(from.rest("name")).ok().and_then(|name| KeyName::new(name).ok());
        Ok(Self { seed, name: name.ok_or(from.refuse(Rule::Value))? })
    }
}

impl Record for Frontier {
    const NAME: &'static str = "ledger head";

    fn encode(&self, out: &mut Writer) {
        out.le64(self.size());
        self.peaks().iter().for_each(|peak| out.raw(peak));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let size = from.le64("size")?;
        let peaks = (0..size.count_ones()).map(|_| from.array("peak")).collect::<Result<_, _>>()?;
        Self::from_parts(size, peaks).ok_or(from.refuse(Rule::Value))
    }
}

/// The hashes of a tile.
pub(super) struct Tile(pub(super) Vec<Hash>);

impl Record for Tile {
    const NAME: &'static str = "ledger tile";

    fn encode(&self, out: &mut Writer) {
        out.raw(self.0.as_flattened());
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_tile(from.rest("hashes")).map(Self).ok_or(from.refuse(Rule::Value))
    }
}

/// Where an entry is.
pub(super) struct Index(pub(super) u64);

record!(Index, "ledger index": 0);

/// A checkpoint's note; whose it is, is checked by those who read it.
pub(super) struct StoredNote(pub(super) Vec<u8>);

record!(StoredNote, "checkpoint": 0 rest);

/// An entry in its final bytes, in the log or in an outbox. It begins with a version of its own.
pub(super) struct Entry(pub(super) Vec<u8>);

record!(Entry, "ledger entry": bare);

#[cfg(test)]
mod tests {
    use super::*;
    use unjoin_store::StoreError;

    #[test]
    fn rows_have_the_keys_and_bytes_that_the_manual_shows() {
        let mut frontier = Frontier::default();
        [[3; 32], [4; 32], [5; 32]].into_iter().for_each(|leaf| frontier.push(leaf));
        let peaks = frontier.peaks().as_flattened();
        let index = 0x0102_u64.to_be_bytes();
        assert_eq!(head(Ledger::Reviews).bytes(), b"lh\x01");
        assert_eq!(tile(Ledger::Openings, 7, 0x0102).bytes(), [b"lt\x02\x07".as_slice(), &index].concat());
        assert_eq!(entry(Ledger::Reviews, 0x0102).bytes(), [b"le\x01".as_slice(), &index].concat());
        assert_eq!(index_of(Ledger::Reviews, &[9; 32]).bytes(), [b"ld\x01".as_slice(), &[9; 32]].concat());
        assert_eq!(
            (signed(Ledger::Reviews).bytes(), published(Ledger::Reviews).bytes()),
            (b"lc\x01".as_slice(), b"lp\x01".as_slice())
        );
        assert_eq!(witnessed("log").bytes(), [b"lv".as_slice(), &entry_id(b"log")].concat());
        assert_eq!(witness_key().bytes(), b"lw");
        let seed = WitnessSeed { seed: SecretBytes::new([8; 32]), name: KeyName::new("w").unwrap() };
        assert_eq!(seed.to_value(), [[1].as_slice(), &[8; 32], b"w"].concat());
        assert_eq!(frontier.to_value(), [[1, 3, 0, 0, 0, 0, 0, 0, 0].as_slice(), peaks].concat());
        assert_eq!(Tile(vec![[6; 32]; 2]).to_value(), [[1].as_slice(), &[6; 64]].concat());
        assert_eq!(Index(0x0102).to_value(), [1, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(StoredNote(b"note".to_vec()).to_value(), b"\x01note");
        assert_eq!(Entry(b"\x01\x10".to_vec()).to_value(), b"\x01\x10");
        assert_eq!(Frontier::from_value(&frontier.to_value()).unwrap(), frontier);
    }

    #[test]
    fn a_row_that_no_log_writes_is_corrupt() {
        let refused =
            |error: Option<StoreError>, name| matches!(error, Some(StoreError::Corrupt(at)) if at == name);
        for head in [[&[1, 3], [0; 7 + 32].as_slice()].concat(), [&[1], [0xff; 8].as_slice()].concat()] {
            assert!(refused(Frontier::from_value(&head).err(), "ledger head"));
        }
        for tile in [vec![1], vec![1; 32], vec![1; 1 + 257 * 32], vec![2; 33]] {
            assert!(refused(Tile::from_value(&tile).err(), "ledger tile"));
        }
        assert!(refused(Index::from_value(&[1; 8]).err(), "ledger index"));
        assert!(refused(StoredNote::from_value(&[]).err(), "checkpoint"));
        for seed in [vec![1; 32], vec![1; 33], [[1; 33].as_slice(), b"a b"].concat()] {
            assert!(refused(WitnessSeed::from_value(&seed).err(), "witness key"));
        }
    }
}
