//! Appending a group of entries: one commit, all of it or nothing.
//!
//! The head row is a precondition of every append and changes with it, so of two sequencers
//! one finds it changed and begins again. A log never forks in its store.

use super::rows::{self, Entry, Index, Tile};
use super::tile::TILE_WIDTH;
use super::tree::{Hash, leaf_hash, root_of};
use std::collections::HashMap;
use unjoin_core::entry::{Ledger, entry_id};
use unjoin_store::{Record, Store, StoreError, decide, read};

/// The most entries in one commit.
pub(super) const GROUP: usize = 4096;

/// How often another sequencer may be faster. Each time it got a group in.
const ROUNDS: usize = 256;

/// Appends at most [`GROUP`] entries, those that are new, and returns the index of each.
pub(super) fn append_group<S: Store>(
    store: &S,
    ledger: Ledger,
    entries: &[Vec<u8>],
) -> Result<Vec<u64>, StoreError> {
    let ids: Vec<[u8; 32]> = entries.iter().map(|entry| entry_id(entry)).collect();
    let head = rows::head(ledger);
    let known: Vec<_> = ids.iter().map(|id| rows::index_of(ledger, id)).collect();
    for _ in 0..ROUNDS {
        // Read before the other rows: if the head is still this one at the commit, no entry was
        // appended since, and what those rows did not have is not there. So the head row
        // guards them all.
        let first = read(store, &head)?.unwrap_or_default();
        let partial = partial_tiles(first.size());
        let tiles: Vec<_> = partial.iter().map(|(level, index)| rows::tile(ledger, *level, *index)).collect();
        let appended = decide(store, (head.clone(), tiles, known.clone()), |(now, tiles, known), change| {
            let mut frontier = now.unwrap_or_default();
            if frontier != first {
                return Ok(None);
            }
            let mut edge = Edge::new(first.size());
            for ((level, _), tile) in partial.iter().zip(tiles) {
                edge.load(*level, tile)?;
            }
            let mut fresh: HashMap<&[u8; 32], u64> = HashMap::new();
            let mut indices = Vec::with_capacity(ids.len());
            for ((entry, id), known) in entries.iter().zip(&ids).zip(known) {
                let known = known.map(|Index(index)| index).or(fresh.get(id).copied());
                indices.push(known.unwrap_or_else(|| {
                    let (index, leaf) = (frontier.size(), leaf_hash(entry));
                    frontier.push(leaf);
                    edge.push(leaf);
                    fresh.insert(id, index);
                    change.put(&rows::entry(ledger, index), &Entry(entry.clone()));
                    change.put(&rows::index_of(ledger, id), &Index(index));
                    index
                }));
            }
            if !fresh.is_empty() {
                for (level, index, hashes) in edge.changed() {
                    change.put(&rows::tile(ledger, level, index), &Tile(hashes));
                }
                change.put(&head, &frontier);
                change.guarded_by(&head);
            }
            Ok::<_, StoreError>(Some(indices))
        })?;
        if let Some(indices) = appended {
            return Ok(indices);
        }
    }
    Err(StoreError::Contended)
}

/// The tiles that the next entry may widen: (level, index) of each level's last, if partial.
fn partial_tiles(size: u64) -> Vec<(u8, u64)> {
    let of_level = |level: u8| {
        let width = size >> (8 * u32::from(level));
        (!width.is_multiple_of(TILE_WIDTH)).then_some((level, width / TILE_WIDTH))
    };
    (0..8).filter_map(of_level).collect()
}

/// The last tile of each level, and the tiles that became full on the way.
struct Edge {
    levels: Vec<Level>,
    full: Vec<(u8, u64, Vec<Hash>)>,
}

struct Level {
    index: u64,
    hashes: Vec<Hash>,
    changed: bool,
}

impl Edge {
    fn new(size: u64) -> Self {
        let level = |level: u32| Level {
            index: (size >> (8 * level)) / TILE_WIDTH,
            hashes: Vec::new(),
            changed: false,
        };
        Self { levels: (0..8).map(level).collect(), full: Vec::new() }
    }

    fn load(&mut self, level: u8, tile: Option<Tile>) -> Result<(), StoreError> {
        let (Some(level), Some(Tile(hashes))) = (self.levels.get_mut(usize::from(level)), tile) else {
            return Err(StoreError::Corrupt(Tile::NAME));
        };
        level.hashes = hashes;
        Ok(())
    }

    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for (number, level) in self.levels.iter_mut().enumerate() {
            level.hashes.push(hash);
            level.changed = true;
            if (level.hashes.len() as u64) < TILE_WIDTH {
                break;
            }
            let tile = std::mem::take(&mut level.hashes);
            hash = root_of(&tile);
            self.full.push((number as u8, level.index, tile));
            level.index += 1;
            level.changed = false;
        }
    }

    /// What is to be written.
    fn changed(self) -> impl Iterator<Item = (u8, u64, Vec<Hash>)> {
        let partial = self.levels.into_iter().zip(0u8..).filter(|(level, _)| level.changed);
        self.full.into_iter().chain(partial.map(|(level, number)| (number, level.index, level.hashes)))
    }
}
