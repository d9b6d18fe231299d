//! Appending a group of entries: one commit, all of it or nothing.
//!
//! The head row is a precondition of every append and changes with it, so of two sequencers
//! one finds it changed and begins again: a ledger never forks in its store.

use super::log::Log;
use super::tile::TILE_WIDTH;
use super::tree::{Frontier, Hash, leaf_hash, root_of};
use super::{entry_id, rows};
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use std::collections::HashMap;

/// The most entries in one commit.
pub(super) const GROUP: usize = 4096;

/// How often another sequencer may be faster. Each time it got a group in.
const ROUNDS: usize = 256;

impl<S: Store> Log<S> {
    /// At most [`GROUP`] entries; where each stands.
    pub(super) fn append_group(&self, entries: &[Vec<u8>]) -> Result<Vec<u64>, StoreError> {
        let ids: Vec<[u8; 32]> = entries.iter().map(|entry| entry_id(entry)).collect();
        for _ in 0..ROUNDS {
            // Read before the rows of `keys`: if the head is still this one at the commit, no
            // entry was appended since, and what those rows did not have is not there.
            let read = self.store.read(&[rows::head(self.ledger)])?.pop().flatten();
            let frontier = rows::read_head(read.as_deref())?;
            let append = Append { log: self, read, frontier, entries, ids: &ids };
            if let Some(indices) = run_one(&*self.store, append)? {
                return Ok(indices);
            }
        }
        Err(StoreError::Contended)
    }
}

struct Append<'a, S: Store> {
    log: &'a Log<S>,
    /// The head row as it was read first, and what it says.
    read: Option<Vec<u8>>,
    frontier: Frontier,
    entries: &'a [Vec<u8>],
    ids: &'a [[u8; 32]],
}

impl<S: Store> Append<'_, S> {
    /// The tiles that the next entry may widen: (level, index) of each level's last, if partial.
    fn edge(&self) -> impl Iterator<Item = (u8, u64)> {
        let size = self.frontier.size();
        let of_level = move |level: u8| {
            let width = size >> (8 * u32::from(level));
            (!width.is_multiple_of(TILE_WIDTH)).then_some((level, width / TILE_WIDTH))
        };
        (0..8).filter_map(of_level)
    }
}

impl<S: Store> Decision for Append<'_, S> {
    /// `None`: the head has moved.
    type Answer = Option<Vec<u64>>;

    fn keys(&self) -> Vec<RowKey> {
        let ledger = self.log.ledger;
        let tiles = self.edge().map(|(level, index)| rows::tile(ledger, level, index));
        let ids = self.ids.iter().map(|id| rows::index_of(ledger, id));
        [rows::head(ledger)].into_iter().chain(tiles).chain(ids).collect()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let ledger = self.log.ledger;
        let Some((head, rest)) = rows.split_first() else { return Err(StoreError::Corrupt("read")) };
        if *head != self.read {
            return Ok(Step::Answer(None));
        }
        let (tiles, known) = rest.split_at_checked(self.edge().count()).ok_or(StoreError::Corrupt("read"))?;
        let mut edge = Edge::new(self.frontier.size());
        for ((level, _), tile) in self.edge().zip(tiles) {
            edge.load(level, rows::read_tile(tile.as_deref())?)?;
        }
        let RowKey { bucket, key: head_key } = rows::head(ledger);
        let mut commit = Commit::new(bucket).expect(&head_key, self.read.as_deref());
        let mut frontier = self.frontier.clone();
        let mut fresh: HashMap<&[u8; 32], u64> = HashMap::new();
        let mut indices = Vec::with_capacity(self.ids.len());
        for ((entry, id), known) in self.entries.iter().zip(self.ids).zip(known) {
            let index = match (known, fresh.get(id)) {
                (Some(known), _) => rows::read_index(known)?,
                (None, Some(index)) => *index,
                (None, None) => {
                    let (index, leaf) = (frontier.size(), leaf_hash(entry));
                    frontier.push(leaf);
                    edge.push(leaf);
                    fresh.insert(id, index);
                    commit = commit
                        .put(rows::entry(ledger, index).key, entry.clone())
                        .put(rows::index_of(ledger, id).key, rows::index_value(index));
                    index
                }
            };
            indices.push(index);
        }
        if fresh.is_empty() {
            return Ok(Step::Answer(Some(indices)));
        }
        for (level, index, hashes) in edge.changed() {
            commit = commit.put(rows::tile(ledger, level, index).key, rows::tile_value(&hashes));
        }
        commit = commit.put(head_key, rows::head_value(&frontier));
        Ok(Step::Commit(commit, Some(indices)))
    }
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

    fn load(&mut self, level: u8, hashes: Vec<Hash>) -> Result<(), StoreError> {
        let level = self.levels.get_mut(usize::from(level)).ok_or(StoreError::Corrupt("ledger tile"))?;
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
