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
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The name of the checkpoint's file.
const CHECKPOINT: &str = "checkpoint";

/// Brings a directory up to the published checkpoint of a log, and returns which entries it
/// shows that it did not show before; nothing happens before there is a checkpoint. Files appear whole
/// or not at all, and the checkpoint when all the others are durable, so that what it promises is there;
/// an export that was interrupted is simply begun again, and starts from the checkpoint that the
/// directory has. Tiles below that are not looked at: where one was lost, delete the checkpoint and
/// export again, and what is missing is written.
///
/// # Errors
/// [`ViewError::Source`] for files that cannot be written, and when the directory shows more
/// than the log has: it is another log's, or this one was rolled back. Otherwise the
/// log's.
pub fn export(log: &dyn LogView, directory: &Path) -> Result<Range<u64>, ViewError> {
    export_with(log, directory, &mut sync_directory)
}

fn export_with(
    log: &dyn LogView,
    directory: &Path,
    sync: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> Result<Range<u64>, ViewError> {
    let from = match DirectoryView::new(directory).checkpoint()? {
        Some(note) => size_of(&note)?,
        None => 0,
    };
    let Some(note) = log.checkpoint()? else { return Ok(from..from) };
    let to = size_of(&note)?;
    if to < from {
        return Err(ViewError::Source("the directory shows more entries than the log has".into()));
    }
    let mut parents = BTreeSet::new();
    for id in tiles_since(from, to) {
        let path = directory.join(id.path());
        parents
            .extend(path.ancestors().skip(1).take_while(|at| at.starts_with(directory)).map(PathBuf::from));
        // A full tile never changes: one that is there was written by an export that was
        // interrupted later.
        if !(id.is_full() && path.exists()) {
            write_whole(&path, &log.tile(id)?.ok_or(ViewError::Missing)?)?;
        }
    }
    // A file's name is durable when its directory is: also a name that an interrupted export has left.
    parents.iter().try_for_each(|parent| sync(parent))?;
    write_whole(&directory.join(CHECKPOINT), &note)?;
    sync(directory)?;
    Ok(from..to)
}

fn size_of(note: &[u8]) -> Result<u64, ViewError> {
    let note = Note::parse(note).map_err(|_| ViewError::Malformed)?;
    Ok(Checkpoint::parse_text(note.text()).map_err(|_| ViewError::Malformed)?.size)
}

/// Makes durable which files a directory names.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

/// Other systems open no directory as a file; there it is up to the file system.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Through a file beside it, synced and renamed. That the name is durable is left to the caller.
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

#[cfg(test)]
mod tests {
    use super::super::note::{KeyName, NoteKey};
    use super::super::{Log, tree};
    use super::*;
    use std::sync::Arc;
    use unjoin_core::entry::Ledger;
    use unjoin_core::secret::SecretBytes;
    use unjoin_store::MemoryStore;
    use unjoin_test_util::Directory;

    fn ledger(size: u16) -> Log<MemoryStore> {
        let key = NoteKey::from_secret_bytes(KeyName::new("log").unwrap(), &SecretBytes::new([1; 32]));
        let log = Log::open(Arc::new(MemoryStore::new()), Ledger::Openings, key, None).unwrap();
        log.append(&(0..size).map(|at| at.to_be_bytes().to_vec()).collect::<Vec<_>>()).unwrap();
        assert!(log.publish(&[]).unwrap().published);
        log
    }

    #[test]
    fn every_name_that_a_checkpoint_promises_is_durable_before_it() {
        let directory = Directory::new();
        let path = directory.file("ledger");
        let log = ledger(600);
        let to = export(&ledger(300), &path).unwrap().end;
        // An interrupted export has left the names of all that is new, and synced none.
        for id in tiles_since(to, 600) {
            write_whole(&path.join(id.path()), &log.tile(id).unwrap().unwrap()).unwrap();
        }
        let shown = || size_of(&fs::read(path.join(CHECKPOINT)).unwrap()).unwrap();
        let mut synced = Vec::new();
        let sync = &mut |at: &Path| {
            synced.push((at.to_owned(), shown()));
            sync_directory(at)
        };
        assert_eq!(export_with(&log, &path, sync).unwrap(), 300..600);
        for id in tiles_since(300, 600) {
            let mut at = path.join(id.path());
            while at != path {
                assert!(at.exists() && at.pop());
                assert!(synced.contains(&(at.clone(), 300)), "{id:?}: {at:?}");
            }
        }
        assert_eq!(synced.last(), Some(&(path.clone(), 600)));
    }

    #[test]
    fn a_directory_that_does_not_become_durable_shows_no_new_checkpoint() {
        let directory = Directory::new();
        let path = directory.file("ledger");
        export(&ledger(300), &path).unwrap();
        let fails = &mut |_: &Path| Err(io::ErrorKind::StorageFull.into());
        assert!(export_with(&ledger(600), &path, fails).is_err());
        assert_eq!(size_of(&fs::read(path.join(CHECKPOINT)).unwrap()).unwrap(), 300);
    }

    #[test]
    fn a_lost_tile_is_written_again_when_the_checkpoint_is_deleted() {
        let directory = Directory::new();
        let path = directory.file("ledger");
        let log = ledger(600);
        export(&log, &path).unwrap();
        let full = TileId { level: None, index: 0, width: TILE_WIDTH as u16 };
        fs::remove_file(path.join(full.path())).unwrap();
        fs::remove_file(path.join(CHECKPOINT)).unwrap();
        assert_eq!(export(&log, &path).unwrap(), 0..600);
        let entries = DirectoryView::new(&path).entries(0, 600).unwrap();
        let leaves: Vec<_> = entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
        assert_eq!(tree::root_of(&leaves), *log.sign().unwrap().root());
    }
}
