//! Files that hold secrets or decisions: readable by their owner, replaced whole, named durably.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file beside `path` whose name has `suffix` appended.
#[doc(hidden)]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Reading and writing; a file that this creates is its owner's only.
#[doc(hidden)]
pub fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[doc(hidden)]
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in `path`'s directory durable.
#[cfg(unix)]
#[doc(hidden)]
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Elsewhere directories cannot be opened; the file system orders a rename itself.
#[cfg(not(unix))]
#[doc(hidden)]
pub fn sync_directory_of(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Replaces the file at `path` whole. When this returns an error, the old or the new content is
/// there after a crash; when it succeeds, the new one. The old content is overwritten, as far as
/// the disk lets it.
#[doc(hidden)]
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = resolved(path)?;
    let fresh = beside(&path, ".new");
    // What a crash left may hold secrets, too.
    if let Ok(mut left) = owner_only().open(&fresh) {
        overwrite(&mut left)?;
    }
    remove_if_there(&fresh)?;
    let mut file = owner_only().create_new(true).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let replaced = owner_only().open(&path);
    fs::rename(&fresh, &path)?;
    sync_directory_of(&path)?;
    // The old file has no name any more, so this endangers nothing. What it held is sealed, and a
    // file system that writes elsewhere keeps it all the same: no reason to fail.
    let _ = replaced.and_then(|mut replaced| overwrite(&mut replaced));
    Ok(())
}

/// Overwrites what a file holds, and makes that durable.
#[doc(hidden)]
pub fn overwrite(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(length), file)?;
    file.sync_all()
}

/// Absolute and free of symbolic links, whether the file is there or not.
#[doc(hidden)]
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    if let Ok(path) = fs::canonicalize(path) {
        return Ok(path);
    }
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(fs::canonicalize(directory.unwrap_or(Path::new(".")))?.join(name))
}
