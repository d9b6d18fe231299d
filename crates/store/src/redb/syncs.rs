//! A store's file, and whether what redb syncs must be on the disk.
//!
//! redb syncs at every step of making, filling and closing a file. A file that no crash can bring back
//! under the store's name need not be whole at any of them: the fresh file of a rewrite before it is renamed, and the
//! old one once the new name is on the disk. Their syncs wait. The fresh file is synced as a whole
//! before it gets the name.
//!
//! redb writes page by page, in no order. So a fresh file is an [`Image`] in memory first, as long as it is small, and
//! is written at once.

use redb::{BackendError, StorageBackend};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most bytes of a fresh file that lie in memory.
pub(super) const IMAGE_BYTES: usize = 32 << 20;

/// The switch of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Syncs {
    wait: Arc<AtomicBool>,
    /// All of a fresh file, until it is written.
    image: Arc<Mutex<Option<Image>>>,
    /// How many went to the disk.
    #[cfg(test)]
    pub(super) done: Arc<std::sync::atomic::AtomicUsize>,
}

impl Syncs {
    /// Of an empty file that has no name yet.
    pub(super) fn waiting() -> Self {
        let syncs = Self { image: Arc::new(Mutex::new(Some(Image::default()))), ..Self::default() };
        syncs.wait();
        syncs
    }

    /// From now on nobody finds the file after a crash.
    pub(super) fn wait(&self) {
        self.wait.store(true, Ordering::Release);
    }

    /// Brings all of the fresh file at `path` to the disk, with its length, mode and times. From then on every sync is one.
    pub(super) fn resume(&self, path: &Path) -> io::Result<()> {
        let mut image = self.image();
        let mut file = OpenOptions::new().write(true).open(path)?;
        if let Some(image) = &*image {
            file.write_all(&image.bytes)?;
            file.set_len(image.len)?;
        }
        file.sync_all()?;
        *image = None;
        self.wait.store(false, Ordering::Release);
        Ok(())
    }

    /// Taken over when poisoned: what a panic left half done is of a file that gets no name.
    fn image(&self) -> MutexGuard<'_, Option<Image>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file would hold.
#[derive(Debug, Default)]
struct Image {
    /// Up to the last byte that was written.
    bytes: Vec<u8>,
    /// Behind those bytes are zeros.
    len: u64,
}

impl Image {
    fn spill(image: &mut Option<Self>, backend: &impl StorageBackend) -> io::Result<()> {
        if let Some(Self { bytes, len }) = image {
            backend.set_len(*len)?;
            backend.write(0, bytes)?;
        }
        *image = None;
        Ok(())
    }

    fn set_len(&mut self, len: u64) {
        self.len = len;
        self.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    }

    /// Whether that was within its length.
    fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        let Some(start) = start_of(offset, out.len(), self.len) else { return false };
        let there = self.bytes.get(start..).unwrap_or_default();
        let (from, zeros) = out.split_at_mut(there.len().min(out.len()));
        from.copy_from_slice(there.get(..from.len()).unwrap_or_default());
        zeros.fill(0);
        true
    }

    /// Whether there was room.
    fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        let start = start_of(offset, data.len(), IMAGE_BYTES as u64);
        let Some((start, end)) = start.map(|start| (start, start.saturating_add(data.len()))) else {
            return false;
        };
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(data);
        }
        self.len = self.len.max(end as u64);
        true
    }
}

/// Where so many bytes from `offset` on begin, if they end by `end`.
fn start_of(offset: u64, bytes: usize, end: u64) -> Option<usize> {
    let ends = offset.checked_add(bytes as u64).is_some_and(|last| last <= end);
    ends.then(|| usize::try_from(offset).ok()).flatten()
}

/// A backend with its switch.
#[derive(Debug)]
pub(super) struct Switched<B> {
    pub(super) backend: B,
    pub(super) syncs: Syncs,
}

impl<B: StorageBackend> Switched<B> {
    fn waits(&self) -> bool {
        self.syncs.wait.load(Ordering::Acquire)
    }

    /// What the image of a fresh file answers; `None` for a file that has none.
    fn with_image<T>(&self, of: impl FnOnce(&mut Option<Image>) -> Option<T>) -> Option<T> {
        self.waits().then(|| of(&mut self.syncs.image())).flatten()
    }
}

impl<B: StorageBackend> StorageBackend for Switched<B> {
    fn len(&self) -> io::Result<u64> {
        let len = self.with_image(|image| image.as_ref().map(|image| image.len));
        len.map_or_else(|| self.backend.len(), Ok)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.with_image(|image| image.as_ref().map(|image| image.read(offset, out))) {
            Some(true) => Ok(()),
            Some(false) => Err(io::ErrorKind::UnexpectedEof.into()),
            None => self.backend.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let set = self.with_image(|image| image.as_mut().map(|image| image.set_len(len)));
        set.map_or_else(|| self.backend.set_len(len), Ok)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.waits() {
            return Ok(());
        }
        #[cfg(test)]
        self.syncs.done.fetch_add(1, Ordering::Relaxed);
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = self.with_image(|image| {
            if image.as_mut()?.write(offset, data) {
                return Some(Ok(()));
            }
            // Too large for an image: from here on it is a file like any other.
            Image::spill(image, &self.backend).err().map(Err)
        });
        written.unwrap_or_else(|| self.backend.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

    use super::*;
    use proptest::prelude::*;
    use redb::backends::{FileBackend, InMemoryBackend};
    use std::fs::{self, File};
    use unjoin_test_util::Directory;

    #[derive(Clone, Debug)]
    enum Op {
        Write(u64, Vec<u8>),
        Read(u64, usize),
        SetLen(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        // About the end of what an image holds, and near the beginning.
        let offset = || prop_oneof![0u64..200, (IMAGE_BYTES as u64 - 40)..(IMAGE_BYTES as u64 + 40)];
        let op = prop_oneof![
            6 => (offset(), prop::collection::vec(1u8.., 0..60)).prop_map(|(at, data)| Op::Write(at, data)),
            4 => (offset(), 0usize..60).prop_map(|(at, bytes)| Op::Read(at, bytes)),
            2 => offset().prop_map(Op::SetLen),
        ];
        prop::collection::vec(op, 0..12)
    }

    fn fresh(path: &Path) -> Switched<FileBackend> {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        Switched { backend: FileBackend::new(file).unwrap(), syncs: Syncs::waiting() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_image_is_as_the_file_would_be(ops in ops()) {
            let (directory, plain) = (Directory::new(), InMemoryBackend::new());
            let path = directory.file("fresh");
            let file = fresh(&path);
            for op in ops {
                match op {
                    // redb writes within the length.
                    Op::Write(at, data) if at + data.len() as u64 <= plain.len().unwrap() => {
                        plain.write(at, &data).unwrap();
                        file.write(at, &data).unwrap();
                    }
                    Op::Write(..) => {}
                    Op::Read(at, bytes) => {
                        let [mut ours, mut theirs] = [vec![9; bytes], vec![9; bytes]];
                        let is_within = at + bytes as u64 <= plain.len().unwrap();
                        prop_assert_eq!(file.read(at, &mut ours).is_ok(), is_within);
                        if is_within {
                            plain.read(at, &mut theirs).unwrap();
                            prop_assert_eq!(ours, theirs);
                        }
                    }
                    Op::SetLen(len) => {
                        plain.set_len(len).unwrap();
                        file.set_len(len).unwrap();
                    }
                }
                prop_assert_eq!(file.len().unwrap(), plain.len().unwrap());
            }
            file.syncs.resume(&path).unwrap();
            let mut all = vec![0; usize::try_from(plain.len().unwrap()).unwrap()];
            plain.read(0, &mut all).unwrap();
            prop_assert!(fs::read(&path).unwrap() == all);
            // Now it is a file like any other.
            file.set_len(3).unwrap();
            file.write(0, b"now").unwrap();
            prop_assert_eq!(fs::read(&path).unwrap(), b"now");
        }
    }

    #[test]
    fn a_small_fresh_file_is_written_at_once_and_a_large_one_as_it_comes() {
        let directory = Directory::new();
        let path = directory.file("fresh");
        let (file, on_the_disk) = (fresh(&path), || fs::metadata(&path).unwrap().len());
        file.set_len(2 * IMAGE_BYTES as u64).unwrap();
        file.write(0, b"first").unwrap();
        file.write(IMAGE_BYTES as u64 - 4, b"last").unwrap();
        assert_eq!(on_the_disk(), 0);
        file.write(IMAGE_BYTES as u64 - 4, b"beyond").unwrap();
        assert_eq!(on_the_disk(), 2 * IMAGE_BYTES as u64);
        let read = |at: u64, mut bytes: Vec<u8>| file.backend.read(at, &mut bytes).map(|()| bytes).unwrap();
        assert_eq!(
            (read(0, vec![0; 6]), read(IMAGE_BYTES as u64 - 4, vec![0; 7])),
            (b"first\0".to_vec(), b"beyond\0".to_vec())
        );
        file.syncs.resume(&path).unwrap();
        assert_eq!(read(0, vec![0; 6]), b"first\0");
    }
}
