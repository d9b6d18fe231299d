//! Reading a log: what auditors, trustees and wallets need of it, wherever it lies.

use super::checkpoint::Checkpoint;
use super::evidence::CosignedEntry;
use super::note::Note;
use super::proof::{ConsistencyProof, InclusionProof};
use super::tile::{TILE_WIDTH, TileId, TileProver, decode_bundle, decode_tile};
use super::tree::Hash;
use core::ops::Range;
use unjoin_core::describe_errors;
use unjoin_core::entry::entry_id;

/// A log as its readers see it: a checkpoint, and tiles under it. A [`Log`](super::Log), an
/// exported directory and a client of a web server can all be one.
///
/// Nothing that it answers is believed: a checkpoint is read through a
/// [`WitnessPolicy`](super::WitnessPolicy), and entries and proofs are checked against its root.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// use unjoin_log::{LogView, TileId, ViewError};
/// # use std::collections::HashMap;
///
/// /// A copy that somebody has fetched: files by their paths in C2SP tlog-tiles.
/// struct Fetched(HashMap<String, Vec<u8>>);
///
/// impl LogView for Fetched {
///     fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
///         Ok(self.0.get("checkpoint").cloned())
///     }
///
///     fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
///         Ok(self.0.get(&id.path()).cloned())
///     }
/// }
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
/// # let id = TileId { level: None, index: 0, width: 1 };
/// # let files = [("checkpoint".to_owned(), ledger.log.checkpoint()?.unwrap()), (id.path(), ledger.log.tile(id)?.unwrap())];
/// # let copy = Fetched(files.into());
///
/// assert_eq!(copy.entries(0, 1)?, [b"one".to_vec()]);
/// # Ok::<(), ViewError>(())
/// ```
pub trait LogView {
    /// The last checkpoint that is published, a signed note; `None` before the first.
    ///
    /// # Errors
    /// [`ViewError::Source`].
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError>;

    /// The bytes of a hash tile or a bundle of entries, cut to the width that is asked for.
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
        let mut note = Note::parse(&note).map_err(|_| ViewError::Malformed)?;
        let size = Checkpoint::parse_text(note.text()).map_err(|_| ViewError::Malformed)?.size;
        let Some(index) = self.index_of(&entry_id(entry), size)? else { return Ok(None) };
        // What strangers added to the checkpoint does not make the evidence too long.
        note.keep_known_types();
        Ok(CosignedEntry::new(entry.to_vec(), self.inclusion(index, size)?, note.to_bytes()))
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

/// A page has at most this many entries.
const PAGE: usize = 8192;
/// No bundle is added to a page that already has this many bytes.
const PAGE_BYTES: usize = 1 << 22;

/// All entries in `range`, in order, page by page. A page is asked for bundle by bundle and has at most
/// 8,192 entries in 20 MiB, whatever the log holds.
#[doc(hidden)]
pub fn each_page<E: From<ViewError>>(
    ledger: &dyn LogView,
    range: Range<u64>,
    mut take: impl FnMut(Vec<Vec<u8>>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut page, mut bytes) = (Vec::new(), 0usize);
    let mut from = range.start;
    while from < range.end {
        let next_bundle = (from / TILE_WIDTH).saturating_add(1).saturating_mul(TILE_WIDTH);
        let to = range.end.min(next_bundle);
        let bundle = ledger.entries(from, to)?;
        // Not one more either: whoever knows the root at the end must not be led past it.
        if bundle.len() as u64 != to - from {
            return Err(ViewError::Missing.into());
        }
        bytes = bytes.saturating_add(bundle.iter().map(Vec::len).sum());
        page.extend(bundle);
        from = to;
        if from == range.end || bytes >= PAGE_BYTES || page.len() > PAGE - TILE_WIDTH as usize {
            take(core::mem::take(&mut page))?;
            bytes = 0;
        }
    }
    Ok(())
}

describe_errors! {
    /// Why a log could not be read.
    ///
    /// ```
    /// # use unjoin_test_util::Directory;
    /// use unjoin_log::{DirectoryView, LogView, ViewError};
    /// # let directory = Directory::new();
    /// // A directory that shows nothing yet has no entry to give.
    /// let empty = DirectoryView::new(directory.file("log"));
    /// assert!(empty.checkpoint()?.is_none());
    /// let error = empty.entries(0, 1).unwrap_err();
    /// assert!(matches!(error, ViewError::Missing) && error.is_retryable());
    /// # Ok::<(), ViewError>(())
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum ViewError (Host, true) {
        /// An entry or a tile that the sizes promise is not there.
        Missing => "ledger.missing", "the log has no such entry, or does not show the tile that its size promises";
        /// A tile or a bundle of this copy of the log does not decode. Or its entries do not have the
        /// root of the copy's own checkpoint. That says nothing about the log itself.
        Malformed => "ledger.malformed" (Operator, false),
            "this copy of the log is bad: a tile does not decode, or the entries do not have the checkpoint's \
             root. Read another copy";
        /// The way to the log failed.
        Source(source: Box<dyn core::error::Error + Send + Sync>) => "ledger.source" (Operator, true),
            "the log could not be read: {source}";
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::SignedCheckpoint;
    use super::super::note::{KeyName, NoteKey, WitnessKey};
    use super::super::policy::WitnessPolicy;
    use super::super::tile::{MAX_ENTRY, encode_bundle};
    use super::super::tree::leaf_hash;
    use super::*;
    use base64ct::{Base64, Encoding};
    use std::cell::Cell;
    use unjoin_core::Timestamp;
    use unjoin_core::secret::SecretBytes;

    /// So many entries, all of one length, each beginning with its index; fewer are shown than there are.
    struct Uniform {
        length: usize,
        shown: u64,
        most_asked: Cell<u64>,
    }

    impl LogView for Uniform {
        fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
            Ok(None)
        }

        fn tile(&self, _: TileId) -> Result<Option<Vec<u8>>, ViewError> {
            Ok(None)
        }

        fn entries(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, ViewError> {
            self.most_asked.set(self.most_asked.get().max(to - from));
            let entry = |index: u64| [&index.to_le_bytes()[..], &vec![0; self.length - 8]].concat();
            Ok((from..to.min(self.shown)).map(entry).collect())
        }
    }

    #[test]
    fn pages_are_bounded_in_entries_and_in_bytes_and_leave_nothing_out() {
        for (length, count) in [(MAX_ENTRY, 600), (8, 20_000)] {
            let view = Uniform { length, shown: 30_000, most_asked: Cell::new(0) };
            let (mut next, mut pages) = (100, 0);
            each_page(&view, 100..100 + count, |page| {
                assert!(page.len() <= 8_192 && page.iter().map(Vec::len).sum::<usize>() <= 20 << 20);
                for entry in page {
                    assert_eq!(entry[..8], u64::to_le_bytes(next));
                    next += 1;
                }
                pages += 1;
                Ok::<_, ViewError>(())
            })
            .unwrap();
            assert_eq!((next, pages, view.most_asked.get()), (100 + count, 3, 256));
        }
    }

    #[test]
    fn a_log_that_shows_fewer_entries_than_were_asked_for_is_missing_some() {
        let view = Uniform { length: 8, shown: 300, most_asked: Cell::new(0) };
        let read = |end| each_page(&view, 0..end, |_| Ok::<_, ViewError>(()));
        assert!(read(300).is_ok());
        assert!(matches!(read(301), Err(ViewError::Missing)));
    }

    /// A checkpoint that strangers have cosigned with long signatures, over one entry.
    struct Decorated(Vec<u8>);

    impl LogView for Decorated {
        fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
            Ok(Some(self.0.clone()))
        }

        fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
            let bundle = encode_bundle([b"entry".as_slice()]);
            Ok(Some(id.level.map_or(bundle, |_| leaf_hash(b"entry").to_vec())))
        }
    }

    #[test]
    fn what_strangers_add_to_a_checkpoint_keeps_no_evidence_from_being_made() {
        let key = |seed: u8| SecretBytes::new([seed; 32]);
        let (log, witness) = (KeyName::new("log").unwrap(), KeyName::new("witness").unwrap());
        let (log, witness) =
            (NoteKey::from_secret_bytes(log, &key(1)), WitnessKey::from_secret_bytes(witness, &key(2)));
        let mut signed = SignedCheckpoint::sign(1, leaf_hash(b"entry"), &log).unwrap();
        let line = signed.cosign(&witness, Timestamp::from_unix_seconds(7));
        signed.add_cosignature(line, witness.public()).unwrap();
        let stranger = format!("\u{2014} stranger {}\n", Base64::encode_string(&[9; 4 + 5_000]));
        let note = String::from_utf8(signed.to_bytes()).unwrap() + &stranger.repeat(14);
        let evidence = Decorated(note.into_bytes()).evidence_of(b"entry").unwrap().unwrap();
        let policy =
            WitnessPolicy::new(log.public().clone(), vec![witness.public().clone()], 1, 0, 0).unwrap();
        assert_eq!(evidence.verify(&policy), Ok(b"entry".as_slice()));
    }
}
