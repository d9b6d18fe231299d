//! Reading a log: what auditors, trustees and wallets need of it, wherever it lies.

use super::checkpoint::Checkpoint;
use super::evidence::CosignedEntry;
use super::note::Note;
use super::proof::{ConsistencyProof, InclusionProof};
use super::tile::{TILE_WIDTH, TileId, TileProver, decode_bundle, decode_tile};
use super::tree::Hash;
use unjoin_core::describe_errors;
use unjoin_core::entry::entry_id;

/// A log as its readers see it: a checkpoint, and tiles under it. A [`Log`](super::Log), an
/// exported directory and a client of a web server can all be one.
///
/// Nothing that it answers is believed: a checkpoint is read through a
/// [`WitnessPolicy`](super::WitnessPolicy), and entries and proofs are checked against its root.
pub trait LogView {
    /// The last checkpoint that is published, a signed note; `None` before the first.
    ///
    /// # Errors
    /// [`ViewError::Source`].
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError>;

    /// The bytes of a hash tile or a bundle of entries, cut to the width that is asked for;
    /// `None` if there is none of that width.
    ///
    /// # Errors
    /// [`ViewError::Source`].
    fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError>;

    /// The entries `from .. to`, those of them that the log has.
    ///
    /// # Errors
    /// [`ViewError`], also when a bundle is missing.
    fn entries(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, ViewError> {
        let mut entries = Vec::new();
        for index in from / TILE_WIDTH..to.div_ceil(TILE_WIDTH) {
            let first = index.saturating_mul(TILE_WIDTH);
            let width = to.saturating_sub(first).min(TILE_WIDTH) as u16;
            let bundle = self.tile(TileId { level: None, index, width })?.ok_or(ViewError::Missing)?;
            let bundle = decode_bundle(&bundle).ok_or(ViewError::Malformed)?;
            let wanted = bundle.into_iter().zip(first..).filter(|(_, at)| (from..to).contains(at));
            entries.extend(wanted.map(|(entry, _)| entry));
        }
        Ok(entries)
    }

    /// The index of the entry with this id, SHA-256 of its bytes, among the first `size`; `None`
    /// if it is not there. This one reads them all: a view that has an index uses that.
    ///
    /// # Errors
    /// [`ViewError`].
    fn index_of(&self, id: &[u8; 32], size: u64) -> Result<Option<u64>, ViewError> {
        let mut from = 0;
        while from < size {
            let to = size.min(from.saturating_add(TILE_WIDTH));
            let entries = self.entries(from, to)?;
            if let Some((_, at)) = entries.iter().zip(from..).find(|(entry, _)| &entry_id(entry) == id) {
                return Ok(Some(at));
            }
            from = to;
        }
        Ok(None)
    }

    /// The proof that the entry at `index` is in the tree of this size.
    ///
    /// # Errors
    /// [`ViewError::Missing`] when the tree has no such entry, or a tile is not there.
    fn inclusion(&self, index: u64, size: u64) -> Result<InclusionProof, ViewError> {
        TileProver::new(size, |id| self.hashes(id)).inclusion(index)?.ok_or(ViewError::Missing)
    }

    /// The proof that the tree of the old size is the beginning of the one of the new size.
    ///
    /// # Errors
    /// [`ViewError::Missing`] when the old one is larger, or a tile is not there.
    fn consistency(&self, old_size: u64, new_size: u64) -> Result<ConsistencyProof, ViewError> {
        TileProver::new(new_size, |id| self.hashes(id)).consistency(old_size)?.ok_or(ViewError::Missing)
    }

    /// An entry with the proof that it is under the published checkpoint; `None` if it is not yet.
    ///
    /// # Errors
    /// [`ViewError`].
    fn evidence_of(&self, entry: &[u8]) -> Result<Option<CosignedEntry>, ViewError> {
        let Some(note) = self.checkpoint()? else { return Ok(None) };
        let parsed = Note::parse(&note).and_then(|note| Checkpoint::parse_text(note.text()));
        let size = parsed.map_err(|_| ViewError::Malformed)?.size;
        let Some(index) = self.index_of(&entry_id(entry), size)? else { return Ok(None) };
        Ok(CosignedEntry::new(entry.to_vec(), self.inclusion(index, size)?, note))
    }

    /// The hashes of a tile.
    ///
    /// # Errors
    /// [`ViewError`].
    fn hashes(&self, id: TileId) -> Result<Vec<Hash>, ViewError> {
        let tile = self.tile(id)?.ok_or(ViewError::Missing)?;
        decode_tile(&tile).filter(|hashes| hashes.len() >= usize::from(id.width)).ok_or(ViewError::Malformed)
    }
}

/// Why a log could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ViewError {
    /// An entry or a tile that the sizes promise is not there.
    Missing,
    /// A tile or a bundle of this copy of the log does not decode, or its entries do not have the
    /// root of the copy's own checkpoint. That says nothing about the log itself.
    Malformed,
    /// The way to the log failed.
    Source(Box<dyn core::error::Error + Send + Sync>),
}

describe_errors!(ViewError {
    Self::Missing => "ledger.missing", Host, true,
        "the log has no such entry, or does not show the tile that its size promises";
    Self::Malformed => "ledger.malformed", Operator, false,
        "this copy of the log is bad: a tile does not decode, or the entries do not have the checkpoint's root. \
         Read another copy";
    Self::Source(source) => "ledger.source", Operator, true, "the log could not be read: {source}";
});
