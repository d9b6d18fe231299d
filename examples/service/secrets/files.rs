//! Files that nobody else reads, there whole or not at all.

use super::SecretsError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

type Outcome<T> = Result<T, SecretsError>;

/// An error with the file that it is about.
fn about(path: &Path) -> impl FnOnce(io::Error) -> SecretsError {
    |error| SecretsError::File(path.to_owned(), error)
}

/// A directory of its owner's alone, with those above it that are missing.
pub(crate) fn make_directory(path: &Path) -> Outcome<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(about(path))
}

/// # Errors
/// [`SecretsError::Open`] when others may look.
pub(super) fn refuse_open(path: &Path) -> Outcome<()> {
    let metadata = fs::metadata(path).map_err(about(path))?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(SecretsError::Open(path.to_owned()));
    }
    let _ = metadata;
    Ok(())
}

pub(super) fn is_there(path: &Path) -> Outcome<bool> {
    path.try_exists().map_err(about(path))
}

/// Waits until nobody else has it.
pub(crate) fn lock(path: &Path) -> Outcome<File> {
    let file = owner_only().create(true).truncate(false).open(path).map_err(about(path))?;
    file.lock().map_err(about(path))?;
    Ok(file)
}

/// Its bytes; `None` if it is not there.
pub(super) fn read(path: &Path) -> Outcome<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(about(path)(error)),
    }
}

/// A file that is not there yet, on the disk when this returns.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let written = || {
        let mut file = owner_only().create_new(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(about(path))
}

/// Replaces the file through one beside it, unless it says the same already.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Outcome<()> {
    if read(path)?.is_some_and(|before| before == bytes) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    remove(&fresh)?;
    write(&fresh, bytes)?;
    rename(&fresh, path)
}

/// Writes over a file's bytes, in their place, as far as the file system does that.
pub(super) fn overwrite(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let written = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(about(path))
}

/// Gives what is finished its name.
pub(crate) fn rename(fresh: &Path, path: &Path) -> Outcome<()> {
    fs::rename(fresh, path).map_err(about(path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> Outcome<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(about(path))
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path) -> Outcome<()> {
    Ok(())
}

/// What an interrupted start has left, a file or a directory; nothing if there is none.
pub(super) fn remove(path: &Path) -> Outcome<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(about(path)(error)),
        _ => Ok(()),
    }
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
