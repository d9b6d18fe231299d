//! A log as files, in the layout of C2SP tlog-tiles: any web server can serve them, any
//! monitor read them.
//!
//! ```text
//! checkpoint                      the published checkpoint, a signed note
//! tile/<level>/<N>[.p/<W>]        hashes
//! tile/entries/<N>[.p/<W>]        entries
//! ```

use super::checkpoint::Checkpoint;
use super::note::Note;
use super::tile::{TILE_WIDTH, TileId, decode_bundle, encode_bundle, tiles_since};
use super::view::{LogView, ViewError};
use core::ops::Range;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The name of the checkpoint's file.
const CHECKPOINT: &str = "checkpoint";

/// Brings a directory up to the published checkpoint of a log, and returns which entries it
/// shows that it did not show before; nothing happens before there is a checkpoint. Files appear whole or not at all, the checkpoint last, so that what it promises is
/// there; an export that was interrupted is simply begun again, and starts from the checkpoint
/// that the directory has.
///
/// # Errors
/// [`ViewError::Source`] for files that cannot be written, and when the directory shows more
/// than the log has: it is another log's, or this one was rolled back. Otherwise the
/// log's.
pub fn export(log: &dyn LogView, directory: &Path) -> Result<Range<u64>, ViewError> {
    let from = match DirectoryView::new(directory).checkpoint()? {
        Some(note) => size_of(&note)?,
        None => 0,
    };
    let Some(note) = log.checkpoint()? else { return Ok(from..from) };
    let to = size_of(&note)?;
    if to < from {
        return Err(ViewError::Source("the directory shows more entries than the log has".into()));
    }
    for id in tiles_since(from, to) {
        let path = directory.join(id.path());
        // A full tile never changes: one that is there was written by an export that was
        // interrupted later.
        if !(id.is_full() && path.exists()) {
            write_whole(&path, &log.tile(id)?.ok_or(ViewError::Missing)?)?;
        }
    }
    write_whole(&directory.join(CHECKPOINT), &note)?;
    Ok(from..to)
}

fn size_of(note: &[u8]) -> Result<u64, ViewError> {
    let note = Note::parse(note).map_err(|_| ViewError::Malformed)?;
    Ok(Checkpoint::parse_text(note.text()).map_err(|_| ViewError::Malformed)?.size)
}

/// Through a file beside it, synced and renamed.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ViewError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(())
}

/// An exported log, read from its directory.
#[derive(Clone, Debug)]
pub struct DirectoryView {
    directory: PathBuf,
}

impl DirectoryView {
    /// The log in this directory; nothing is read yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

impl LogView for DirectoryView {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
        read(&self.directory.join(CHECKPOINT))
    }

    /// A partial tile of another width is cut from a wider one: the full one, or what an export
    /// of another size has left.
    fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
        let full = TileId { width: TILE_WIDTH as u16, ..id };
        let mut wider = vec![id, full];
        let parts = self.directory.join(format!("{}.p", full.path()));
        let widths = fs::read_dir(parts).into_iter().flatten().flatten();
        let widths = widths.filter_map(|file| file.file_name().to_str()?.parse().ok());
        wider.extend(
            widths
                .filter(|width| *width > id.width)
                .map(|width| TileId { width, ..id })
                .max_by_key(|id| id.width),
        );
        for other in wider {
            if let Some(tile) = read(&self.directory.join(other.path()))? {
                return cut(&tile, id);
            }
        }
        Ok(None)
    }
}

/// The beginning of a tile's or bundle's bytes; `None` if it is narrower than that.
fn cut(tile: &[u8], id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
    let width = usize::from(id.width);
    if id.level.is_some() {
        return Ok(tile.get(..width.saturating_mul(32)).map(<[u8]>::to_vec));
    }
    let entries = decode_bundle(tile).ok_or(ViewError::Malformed)?;
    Ok(entries.get(..width).map(|entries| encode_bundle(entries.iter().map(Vec::as_slice))))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, ViewError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl From<io::Error> for ViewError {
    fn from(error: io::Error) -> Self {
        Self::Source(error.into())
    }
}
