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
use unjoin_core::describe_errors;

/// The name of the checkpoint's file.
const CHECKPOINT: &str = "checkpoint";
/// Locked by the export that is under way; an empty file, which stays.
const LOCK: &str = ".export.lock";

/// Brings a directory up to the published checkpoint of a log, and returns which entries it shows that
/// it did not show before. Nothing happens before there is a checkpoint.
///
/// Files appear whole or not at all, and the checkpoint when all the others are durable, so that what it
/// promises is there. An export that was interrupted is simply begun again. Two at once wait for each other.
/// Every file that the checkpoint promises is looked at: one that is missing or torn is written again. Files that no
/// checkpoint promises yet, left by whomever, are held against the log.
///
/// # Errors
/// [`ExportError`]; the directory shows what it did.
///
/// ```
/// # use unjoin_test_util::Directory;
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// use unjoin_log::export;
/// # let (ledger, directory) = (SmallLedger::of_reviews(&[b"one".to_vec()], SEALED), Directory::new());
/// # let path = &directory.file("log");
/// assert_eq!(export(&ledger.log, path)?, 0..1);
/// ledger.publish(&[b"two".to_vec(), b"three".to_vec()]);
/// assert_eq!(export(&ledger.log, path)?, 1..3);
/// assert!(path.join("checkpoint").exists());
/// # Ok::<(), unjoin_log::ExportError>(())
/// ```
pub fn export(log: &dyn LogView, directory: &Path) -> Result<Range<u64>, ExportError> {
    export_to(log, directory, &mut Files)
}

fn export_to(log: &dyn LogView, directory: &Path, disk: &mut dyn Disk) -> Result<Range<u64>, ExportError> {
    if log.checkpoint()?.is_none() && !directory.exists() {
        return Ok(0..0);
    }
    fs::create_dir_all(directory).map_err(at(directory))?;
    // Held until this function returns, or the process ends. What is read below is read under it.
    let lock = directory.join(LOCK);
    let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
    let (path, shown) = (directory.join(CHECKPOINT), checkpoint_in(directory)?);
    let Some(bytes) = log.checkpoint()? else {
        // A log that has published nothing, where one was published: it was begun anew.
        return if shown.is_none() { Ok(0..0) } else { Err(ExportError::OtherHistory(directory.into())) };
    };
    let (note, new) = read_checkpoint(&bytes).ok_or(ViewError::Malformed)?;
    let from = match shown {
        None => 0,
        Some((old_note, old)) => {
            let same_log = old.origin == new.origin && old_note.shares_a_key_with(&note, &new.origin);
            if !same_log {
                return Err(ExportError::OtherLog(directory.into()));
            }
            let goes_on =
                || Ok::<_, ViewError>(log.consistency(old.size, new.size)?.verify(&old.root, &new.root));
            if old.size > new.size || goes_on()?.is_err() {
                return Err(ExportError::OtherHistory(directory.into()));
            }
            old.size
        }
    };
    let fresh: BTreeSet<TileId> = tiles_since(from, new.size).collect();
    let mut parents = BTreeSet::new();
    for id in tiles_since(0, new.size) {
        let path = directory.join(id.path());
        let kept = read(&path).map_err(at(&path))?;
        let tile = || log.tile(id)?.ok_or(ViewError::Missing);
        if fresh.contains(&id) {
            let tile = tile()?;
            if kept.as_ref() != Some(&tile) {
                disk.put(&path, &tile).map_err(at(&path))?;
            }
        } else if !kept.is_some_and(|kept| is_whole(&kept, id)) {
            disk.put(&path, &tile()?).map_err(at(&path))?;
        }
        parents
            .extend(path.ancestors().skip(1).take_while(|at| at.starts_with(directory)).map(PathBuf::from));
    }
    // A file's name is durable when its directory is: also a name that an interrupted export has left.
    parents.iter().try_for_each(|parent| disk.sync(parent).map_err(at(parent)))?;
    disk.put(&path, &bytes).map_err(at(&path))?;
    disk.sync(directory).map_err(at(directory))?;
    drop(lock);
    Ok(from..new.size)
}

/// What the directory shows. An empty file is a checkpoint that a file system has lost: nothing was promised.
fn checkpoint_in(directory: &Path) -> Result<Option<(Note, Checkpoint)>, ExportError> {
    let path = directory.join(CHECKPOINT);
    match read(&path).map_err(at(&path))?.filter(|bytes| !bytes.is_empty()) {
        None => Ok(None),
        Some(bytes) => read_checkpoint(&bytes).map(Some).ok_or(ExportError::OtherLog(directory.into())),
    }
}

fn read_checkpoint(bytes: &[u8]) -> Option<(Note, Checkpoint)> {
    let note = Note::parse(bytes).ok()?;
    let checkpoint = Checkpoint::parse_text(note.text()).ok()?;
    Some((note, checkpoint))
}

fn is_whole(bytes: &[u8], id: TileId) -> bool {
    let width = usize::from(id.width);
    match id.level {
        Some(_) => bytes.len() == width.saturating_mul(32),
        None => decode_bundle(bytes).is_some_and(|entries| entries.len() == width),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |error| ExportError::Files(path, error)
}

/// Where an export writes.
trait Disk {
    /// A whole file: its bytes are durable, its name is once its directories are synced.
    fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable which files a directory names.
    fn sync(&mut self, directory: &Path) -> io::Result<()>;
}

struct Files;

impl Disk for Files {
    /// Through a file beside it, synced and renamed. One export at a time writes here, so its name may be fixed.
    fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    }

    #[cfg(unix)]
    fn sync(&mut self, directory: &Path) -> io::Result<()> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        File::open(directory)?.sync_all()
    }

    /// Other systems open no directory as a file; there it is up to the file system.
    #[cfg(not(unix))]
    fn sync(&mut self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

describe_errors! {
    /// Why a log was not exported.
    ///
    /// ```
    /// # use unjoin_test_util::Directory;
    /// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
    /// use unjoin_log::{ExportError, export};
    /// # let [one, other] = [b"one", b"two"].map(|entry| SmallLedger::of_reviews(&[entry.to_vec()], SEALED));
    /// # let directory = Directory::new();
    /// # let path = &directory.file("log");
    /// export(&one.log, path)?;
    /// // A log of the same name and key that was begun anew: nothing is written over.
    /// assert!(matches!(export(&other.log, path), Err(ExportError::OtherHistory(_))));
    /// # Ok::<(), ExportError>(())
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum ExportError (Operator, false) {
        /// The directory shows a log of another name or key, or its file `checkpoint` is something else.
        OtherLog(directory: PathBuf) => "export.other_log",
            "{} shows another log, of another name or key: nothing was written. Give the directory of this log, \
             or an empty one", directory.display();
        /// The directory shows entries that this log has not, or others in their places: one of the two was rolled
        /// back or begun again.
        OtherHistory(directory: PathBuf) => "export.other_history",
            "{} shows entries of this log that the log itself does not have: nothing was written. Its store was \
             rolled back or begun anew, or the directory is another ledger's: stop and compare", directory.display();
        /// This file or directory cannot be read or written.
        Files(path: PathBuf, error: io::Error) => "export.files" (Operator, true),
            "{} cannot be read or written: {error}", path.display();
        /// The log cannot be read.
        Log(#[from] error: ViewError) => "export.log" (Operator, true), "{error}";
    }
}

/// An exported log, read from its directory.
///
/// ```
/// # use unjoin_test_util::Directory;
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// use unjoin_log::{DirectoryView, LogView, export};
/// # let (ledger, directory) = (SmallLedger::of_reviews(&[b"one".to_vec()], SEALED), Directory::new());
/// # let path = &directory.file("log");
/// export(&ledger.log, path)?;
/// // What a web server shows of it is enough for every reader.
/// let copy = DirectoryView::new(path);
/// assert_eq!(copy.checkpoint()?, ledger.log.checkpoint()?);
/// assert_eq!(copy.entries(0, 1)?, [b"one".to_vec()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
        Ok(read(&self.directory.join(CHECKPOINT))?)
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

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
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
    use std::collections::BTreeMap;
    use unjoin_core::entry::Ledger;
    use unjoin_core::secret::SecretBytes;
    use unjoin_store::MemoryStore;
    use unjoin_test_util::Directory;

    /// A ledger of so many entries.
    fn ledger(size: u16) -> Log<MemoryStore> {
        ledger_of("log", 1, 0, size)
    }

    fn ledger_of(name: &str, seed: u8, history: u8, size: u16) -> Log<MemoryStore> {
        let log = empty(name, seed);
        grow(&log, history, size);
        log
    }

    fn empty(name: &str, seed: u8) -> Log<MemoryStore> {
        let key = NoteKey::from_secret_bytes(KeyName::new(name).unwrap(), &SecretBytes::new([seed; 32]));
        let store = unjoin_test_util::fresh(unjoin_store::identity::Role::Ledgers);
        Log::open(store, Ledger::Openings, key, None).unwrap()
    }

    fn grow(log: &Log<MemoryStore>, history: u8, size: u16) {
        let entry = |at: u16| [&[history], &at.to_be_bytes()[..], &vec![7; usize::from(at % 40)]].concat();
        log.append(&(0..size).map(entry).collect::<Vec<_>>()).unwrap();
        assert!(log.publish(&[]).unwrap().published);
    }

    /// How many entries the directory shows, all of them and every tile under the checkpoint's root.
    fn checked(directory: &Path) -> u64 {
        let view = DirectoryView::new(directory);
        let (_, checkpoint) = read_checkpoint(&view.checkpoint().unwrap().unwrap()).unwrap();
        let entries = view.entries(0, checkpoint.size).unwrap();
        let leaves: Vec<_> = entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
        assert_eq!(tree::root_of(&leaves), checkpoint.root);
        for index in (0..checkpoint.size).step_by(50) {
            let proof = view.inclusion(index, checkpoint.size).unwrap();
            proof.verify(&entries[index as usize], &checkpoint.root).unwrap();
        }
        checkpoint.size
    }

    /// Notes what is done, in order, beside doing it.
    #[derive(Default)]
    struct Noting(Vec<Op>);

    enum Op {
        Put(PathBuf, Vec<u8>),
        Sync(PathBuf),
    }

    impl Disk for Noting {
        fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.0.push(Op::Put(path.into(), bytes.into()));
            Files.put(path, bytes)
        }

        fn sync(&mut self, directory: &Path) -> io::Result<()> {
            self.0.push(Op::Sync(directory.into()));
            Files.sync(directory)
        }
    }

    /// What is sure to be there after a power cut: files whose names, and whose directories' names, were
    /// synced after they came. The checkpoint's name is kept in any case: it is what may promise too much.
    fn survivors<'a>(directory: &Path, done: &'a [Op]) -> BTreeMap<&'a Path, &'a [u8]> {
        let mut named = BTreeMap::<&Path, usize>::new();
        let mut files = BTreeMap::new();
        for (time, op) in done.iter().enumerate() {
            let Op::Put(path, bytes) = op else { continue };
            files.insert(path.as_path(), (time, bytes.as_slice()));
            for above in path.ancestors().skip(1).take_while(|above| *above != directory) {
                named.entry(above).or_insert(time);
            }
        }
        let synced = |name: &Path, since: usize| {
            let parent = name.parent().unwrap();
            done[since..].iter().any(|op| matches!(op, Op::Sync(at) if at == parent))
        };
        let is_sure = |path: &Path, time: usize| {
            let mut above = path.ancestors().skip(1).take_while(|above| *above != directory);
            synced(path, time) && above.all(|above| synced(above, named[above]))
        };
        let kept = |(path, (time, bytes)): (&'a Path, (usize, &'a [u8]))| {
            (path.file_name().unwrap() == CHECKPOINT || is_sure(path, time)).then_some((path, bytes))
        };
        files.into_iter().filter_map(kept).collect()
    }

    #[test]
    fn after_a_power_cut_at_any_moment_the_checkpoint_promises_what_is_there() {
        let scratch = Directory::new();
        let path = scratch.file("ledger");
        let small = ledger(300);
        let mut first = Noting::default();
        export_to(&small, &path, &mut first).unwrap();
        let log = ledger(900);
        let mut second = Noting::default();
        assert_eq!(export_to(&log, &path, &mut second).unwrap(), 300..900);
        let (whole, ops) = (first.0.len(), first.0.into_iter().chain(second.0).collect::<Vec<_>>());
        assert!(ops.len() > whole + 15);
        for cut in 0..=ops.len() {
            fs::remove_dir_all(&path).unwrap();
            for (file, bytes) in survivors(&path, &ops[..cut]) {
                Files.put(file, bytes).unwrap();
            }
            if path.join(CHECKPOINT).exists() {
                assert_eq!(
                    checked(&path),
                    if cut + 1 < ops.len() { 300 } else { 900 },
                    "{cut} of {}",
                    ops.len()
                );
            } else {
                assert!(cut < whole);
            }
            export(&log, &path).unwrap();
            assert_eq!(checked(&path), 900);
        }
    }

    #[test]
    fn a_directory_that_does_not_become_durable_shows_no_new_checkpoint() {
        struct Full;
        impl Disk for Full {
            fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
                Files.put(path, bytes)
            }
            fn sync(&mut self, _: &Path) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let directory = Directory::new();
        let path = directory.file("ledger");
        export(&ledger(300), &path).unwrap();
        let error = export_to(&ledger(600), &path, &mut Full).unwrap_err();
        assert_eq!((error.code(), error.to_string().contains("ledger")), ("export.files", true));
        assert_eq!(checked(&path), 300);
    }

    #[test]
    fn a_file_that_is_missing_torn_or_empty_is_written_again() {
        let directory = Directory::new();
        let path = directory.file("ledger");
        let log = ledger(700);
        export(&log, &path).unwrap();
        for to in [700, 1_000] {
            for id in tiles_since(0, 700).filter(|id| to == 700 || id.is_full()) {
                let file = path.join(id.path());
                let whole = fs::read(&file).unwrap();
                for torn in [None, Some(&whole[..0]), Some(&whole[..32]), Some(&whole[..whole.len() - 1])] {
                    match torn {
                        None => fs::remove_file(&file).unwrap(),
                        Some(bytes) => fs::write(&file, bytes).unwrap(),
                    }
                    grow(&log, 0, to);
                    export(&log, &path).unwrap();
                    assert_eq!(fs::read(&file).unwrap(), whole, "{id:?} at {to}");
                }
            }
            assert_eq!(checked(&path), to.into());
        }
        // An empty checkpoint promises nothing.
        fs::write(path.join(CHECKPOINT), b"").unwrap();
        assert_eq!(export(&log, &path).unwrap(), 0..1_000);
        assert_eq!(checked(&path), 1_000);
    }

    #[test]
    fn a_directory_of_another_name_key_or_history_is_refused_and_left_alone() {
        let directory = Directory::new();
        let refused = |shown: &Log<MemoryStore>, log: &Log<MemoryStore>, code: &str| {
            let path = directory.file(&format!("{code}-{}", shown.size().unwrap()));
            let _ = fs::remove_dir_all(&path);
            export(shown, &path).unwrap();
            let before = fs::read(path.join(CHECKPOINT)).unwrap();
            let error = export(log, &path).unwrap_err();
            assert_eq!(error.code(), code);
            assert!(error.to_string().starts_with(&path.display().to_string()));
            assert_eq!(fs::read(path.join(CHECKPOINT)).unwrap(), before);
            assert_eq!(checked(&path), shown.size().unwrap());
        };
        let log = ledger(700);
        refused(&ledger_of("other", 1, 0, 300), &log, "export.other_log");
        refused(&ledger_of("log", 2, 0, 300), &log, "export.other_log");
        refused(&ledger_of("log", 1, 9, 300), &log, "export.other_history");
        refused(&ledger_of("log", 1, 9, 700), &log, "export.other_history");
        refused(&ledger(701), &log, "export.other_history");
        // Begun anew, and nothing published yet.
        let anew = empty("log", 1);
        refused(&ledger(20), &anew, "export.other_history");
        // Somebody else's file of that name.
        let path = directory.file("weights");
        fs::create_dir(&path).unwrap();
        fs::write(path.join(CHECKPOINT), b"epoch 3").unwrap();
        assert_eq!(export(&log, &path).unwrap_err().code(), "export.other_log");
        assert_eq!(fs::read(path.join(CHECKPOINT)).unwrap(), b"epoch 3");
    }

    /// Tiles behind the checkpoint are nobody's word: those of another history do not stay.
    #[test]
    fn what_no_checkpoint_promises_is_not_believed() {
        for promised in [0, 300] {
            let directory = Directory::new();
            let path = directory.file("ledger");
            if promised > 0 {
                export(&ledger(promised), &path).unwrap();
            }
            let other = ledger_of("log", 1, 9, 700);
            for id in tiles_since(promised.into(), 700) {
                Files.put(&path.join(id.path()), &other.tile(id).unwrap().unwrap()).unwrap();
            }
            assert_eq!(export(&ledger(700), &path).unwrap(), promised.into()..700);
            assert_eq!(checked(&path), 700);
        }
    }

    #[test]
    fn of_exports_at_once_all_have_a_right_result() {
        let directory = Directory::new();
        let log = ledger(2_000);
        for round in 0..10 {
            let path = directory.file(&format!("ledger{round}"));
            let mut shown: Vec<_> = std::thread::scope(|scope| {
                let all = [(); 3].map(|()| scope.spawn(|| export(&log, &path).unwrap()));
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            shown.sort_by_key(|range| range.start);
            assert_eq!(shown, [0..2_000, 2_000..2_000, 2_000..2_000]);
            assert_eq!(checked(&path), 2_000);
            let left = fs::read_dir(&path).unwrap().map(|file| file.unwrap().file_name());
            let mut left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
            left.sort();
            assert_eq!(left, [LOCK, CHECKPOINT, "tile"]);
        }
    }
}
