//! Tiles: how a tree is stored and published (C2SP tlog-tiles).
//!
//! A tile of level L holds the roots of up to 256 neighbouring perfect subtrees of 256^L leaves each.
//! The levels in between are hashed again when a proof needs them. Full tiles never change. Beside the
//! hash tiles stand bundles of up to 256 entries.

use super::proof::{ConsistencyProof, InclusionProof};
use super::tree::{self, Hash};
use std::collections::BTreeMap;

/// The hashes in a full tile, and the entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// log2 of [`TILE_WIDTH`].
const TILE_HEIGHT: u32 = 8;
/// The longest entry, in bytes: a bundle has two for its length.
pub const MAX_ENTRY: usize = 65_535;

/// Which tile: of hashes, or a bundle of entries.
///
/// ```
/// use unjoin_log::TileId;
/// // The 300th hash of the lowest level, in a log of 300 entries, and a full bundle of entries.
/// assert_eq!(TileId { level: Some(0), index: 1, width: 44 }.path(), "tile/0/001.p/44");
/// let bundle = TileId { level: None, index: 1_234, width: 256 };
/// assert!(bundle.is_full() && bundle.path() == "tile/entries/x001/234");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// The level of a hash tile, from 0; `None` for a bundle of entries.
    pub level: Option<u8>,
    /// The index within its level.
    pub index: u64,
    /// How many hashes or entries: 1 to 256; 256 is a full one.
    pub width: u16,
}

impl TileId {
    /// Where it is published: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
    pub fn path(&self) -> String {
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let mut path = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            path = format!("x{:03}/{path}", rest % 1000);
            rest /= 1000;
        }
        let part = if self.is_full() { String::new() } else { format!(".p/{}", self.width) };
        format!("tile/{level}/{path}{part}")
    }

    /// Whether it is as wide as it can be: it never changes again.
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }
}

/// How many hashes of a level a tree of this size has; the entries are a level 0 too.
fn width_of_level(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT).unwrap_or(0)
}

fn width_of_tile(level: u8, index: u64, size: u64) -> u16 {
    let beyond = width_of_level(level, size).saturating_sub(index.saturating_mul(TILE_WIDTH));
    beyond.min(TILE_WIDTH) as u16
}

/// The hash tiles and bundles that a tree of `size` has and one of `old_size` has not, or not
/// as wide. The lowest levels first, bundles before hashes.
pub fn tiles_since(old_size: u64, size: u64) -> impl Iterator<Item = TileId> {
    let levels = (0..8u8).take_while(move |level| width_of_level(*level, size) > 0);
    let of_level = move |stored: u8, level: Option<u8>| {
        let (old, new) = (width_of_level(stored, old_size), width_of_level(stored, size));
        let indices = if old < new { old / TILE_WIDTH..new.div_ceil(TILE_WIDTH) } else { 0..0 };
        indices.map(move |index| TileId { level, index, width: width_of_tile(stored, index, size) })
    };
    of_level(0, None).chain(levels.flat_map(move |level| of_level(level, Some(level))))
}

/// A bundle's bytes: each entry behind its length, two bytes, big-endian.
pub fn encode_bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bundle = Vec::new();
    for entry in entries {
        debug_assert!(entry.len() <= MAX_ENTRY);
        bundle.extend_from_slice(&(entry.len() as u16).to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    bundle
}

/// The entries of a bundle; `None` if the bytes end early or there are more than 256.
pub fn decode_bundle(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if entries.len() as u64 == TILE_WIDTH {
            return None;
        }
        entries.push(entry.to_vec());
        bytes = rest;
    }
    bytes.is_empty().then_some(entries)
}

/// The hashes of a tile; `None` unless there are 1 to 256 whole ones.
pub fn decode_tile(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, []) = bytes.as_chunks::<32>() else { return None };
    (1..=TILE_WIDTH as usize).contains(&hashes.len()).then(|| hashes.to_vec())
}

/// Makes proofs for a tree of one size out of its tiles. `fetch` reads a hash tile, at least
/// as wide as asked for; each is read once. What it reads is not checked here: a proof out
/// of wrong tiles does not hold.
pub struct TileProver<F> {
    size: u64,
    fetch: F,
    seen: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<E, F: FnMut(TileId) -> Result<Vec<Hash>, E>> TileProver<F> {
    /// For the tree of this size.
    pub fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch, seen: BTreeMap::new() }
    }

    /// The tree's root.
    ///
    /// # Errors
    /// What `fetch` says.
    pub fn root(&mut self) -> Result<Hash, E> {
        tree::range_root(0..self.size, |level, index| self.node(level, index))
    }

    /// The proof for the entry at `index`; `None` unless the tree has it.
    ///
    /// # Errors
    /// What `fetch` says.
    pub fn inclusion(&mut self, index: u64) -> Result<Option<InclusionProof>, E> {
        InclusionProof::make(index, self.size, |level, index| self.node(level, index))
    }

    /// The proof that the tree of `old_size` is this one's beginning; `None` if it is larger.
    ///
    /// # Errors
    /// What `fetch` says.
    pub fn consistency(&mut self, old_size: u64) -> Result<Option<ConsistencyProof>, E> {
        ConsistencyProof::make(old_size, self.size, |level, index| self.node(level, index))
    }

    /// The root of a perfect subtree: hashed from the tile that holds its 1 to 128 parts. A
    /// tile that is too narrow gives a hash of fewer, with which no proof holds.
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, E> {
        let (tile_level, height) = ((level / TILE_HEIGHT) as u8, level % TILE_HEIGHT);
        let first = index << height;
        let tile_index = first / TILE_WIDTH;
        let hashes = match self.seen.entry((tile_level, tile_index)) {
            std::collections::btree_map::Entry::Occupied(seen) => seen.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let width = width_of_tile(tile_level, tile_index, self.size);
                vacant.insert((self.fetch)(TileId { level: Some(tile_level), index: tile_index, width })?)
            }
        };
        let parts = hashes.iter().skip((first % TILE_WIDTH) as usize).take(1 << height);
        Ok(tree::root_of(&parts.copied().collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    fn id(level: Option<u8>, index: u64, width: u16) -> TileId {
        TileId { level, index, width }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(id(Some(0), 1_234_067, 256).path(), "tile/0/x001/x234/067");
        assert_eq!(id(Some(1), 0, 17).path(), "tile/1/000.p/17");
        assert_eq!(id(None, 273, 112).path(), "tile/entries/273.p/112");
    }

    #[test]
    fn a_tree_has_the_tiles_of_the_specifications_example() {
        let tiles: Vec<_> = tiles_since(0, 70_000).filter(|tile| tile.level.is_some()).collect();
        let of = |level: u8, full: bool| {
            tiles.iter().filter(|tile| tile.level == Some(level) && tile.is_full() == full).count()
        };
        assert_eq!([of(0, true), of(0, false), of(1, true), of(1, false), of(2, false)], [273, 1, 1, 1, 1]);
        assert!(tiles.contains(&id(Some(0), 273, 112)));
        assert!(tiles.contains(&id(Some(1), 1, 17)));
        assert!(tiles.contains(&id(Some(2), 0, 1)));
        let exact: Vec<_> = tiles_since(0, 256).collect();
        assert_eq!(exact, [id(None, 0, 256), id(Some(0), 0, 256), id(Some(1), 0, 1)]);
        assert_eq!(tiles_since(256, 256).count(), 0);
        let next: Vec<_> = tiles_since(256, 257).collect();
        assert_eq!(next, [id(None, 1, 1), id(Some(0), 1, 1)]);
    }

    #[test]
    fn tiles_prove_what_the_leaves_prove() {
        let leaves: Vec<Hash> = (0..70_000u64).map(|leaf| tree::leaf_hash(&leaf.to_le_bytes())).collect();
        let of_level = |level: u8| {
            let width = 1usize << (8 * u32::from(level));
            leaves.chunks_exact(width).map(tree::root_of).collect::<Vec<_>>()
        };
        let levels = [leaves.clone(), of_level(1), of_level(2)];
        for size in [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 70_000] {
            let fetch = |tile: TileId| {
                let from = tile.index as usize * 256;
                let hashes = &levels[usize::from(tile.level.unwrap())][from..from + usize::from(tile.width)];
                Ok::<_, Infallible>(hashes.to_vec())
            };
            let mut prover = TileProver::new(size, fetch);
            let root = tree::root_of(&leaves[..size as usize]);
            assert_eq!(prover.root().unwrap(), root);
            for index in [0, size / 3, size / 2, size - 1] {
                let proof = prover.inclusion(index).unwrap().unwrap();
                proof.verify(&index.to_le_bytes(), &root).unwrap();
                let proof = prover.consistency(index).unwrap().unwrap();
                proof.verify(&tree::root_of(&leaves[..index as usize]), &root).unwrap();
            }
            assert!(prover.inclusion(size).unwrap().is_none());
        }
    }

    #[test]
    fn bundles_and_tiles_are_read_strictly() {
        let entries = vec![vec![1; 3], vec![], vec![2; 300]];
        let bundle = encode_bundle(entries.iter().map(Vec::as_slice));
        assert_eq!(decode_bundle(&bundle), Some(entries));
        assert_eq!(decode_bundle(&bundle[..bundle.len() - 1]), None);
        assert_eq!(decode_bundle(&[0]), None);
        assert_eq!(decode_bundle(&[0; 2 * 257]), None);
        assert_eq!(decode_tile(&[0; 31]), None);
        assert_eq!(decode_tile(&[]), None);
        assert_eq!(decode_tile(&[0; 64]).map(|hashes| hashes.len()), Some(2));
        assert_eq!(decode_tile(&[0; 257 * 32]), None);
    }
}
