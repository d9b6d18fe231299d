//! A disk that fails at a chosen step and loses what was not synced.

use super::super::files::Files;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a failing step does to the disk before it answers with an error.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    Nothing,
    Half,
    All,
}

pub(super) const FAILURES: [Failure; 3] = [Failure::Nothing, Failure::Half, Failure::All];

/// What is left of it after a power loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    /// Whether names that were not synced are there.
    pub(super) names: bool,
    /// How much of a content that was not synced is there, in halves.
    pub(super) halves: usize,
}

pub(super) fn losses() -> impl Iterator<Item = Loss> {
    [false, true].into_iter().flat_map(|names| (0..3).map(move |halves| Loss { names, halves }))
}

#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Clone, Default)]
struct Platter {
    now: Names,
    synced: Names,
    contents: Vec<Content>,
    replaced: Option<usize>,
    counters: Vec<u8>,
    steps: usize,
    fail: Option<(usize, Failure)>,
    full: bool,
}

/// Which content has a name.
#[derive(Clone, Copy, Default)]
struct Names {
    main: Option<usize>,
    fresh: Option<usize>,
}

#[derive(Clone)]
struct Content {
    bytes: Vec<u8>,
    synced: bool,
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    /// The `step`-th step from now fails.
    pub(super) fn fail(&self, step: usize, failure: Failure) {
        let mut platter = self.lock();
        platter.fail = Some((platter.steps + step, failure));
    }

    /// There is room for no further file, or there is again.
    pub(super) fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// No step fails any more; whether one did.
    pub(super) fn heal(&self) -> bool {
        let mut platter = self.lock();
        platter.fail.take().is_some_and(|(step, _)| step < platter.steps)
    }

    /// Another disk, as this one is after a power loss.
    pub(super) fn after(&self, loss: Loss) -> Self {
        let mut platter = self.lock().clone();
        if !loss.names {
            platter.now = platter.synced;
        }
        platter.synced = platter.now;
        for content in platter.contents.iter_mut().filter(|content| !content.synced) {
            content.bytes.truncate(content.bytes.len() * loss.halves / 2);
            content.synced = true;
        }
        (platter.fail, platter.replaced) = (None, None);
        Self(Arc::new(Mutex::new(platter)))
    }

    /// The key file's bytes now.
    pub(super) fn main(&self) -> Vec<u8> {
        let platter = self.lock();
        platter.contents[platter.now.main.unwrap()].bytes.clone()
    }

    /// All bytes that ever were a file, named or not, as they are now.
    pub(super) fn everything(&self) -> Vec<Vec<u8>> {
        self.lock().contents.iter().map(|content| content.bytes.clone()).collect()
    }

    pub(super) fn replace_main(&self, bytes: &[u8]) {
        let mut platter = self.lock();
        let main = platter.now.main.unwrap();
        platter.contents[main].bytes = bytes.to_vec();
    }

    pub(super) fn remove_main(&self) {
        let mut platter = self.lock();
        (platter.now.main, platter.synced.main) = (None, None);
    }

    fn step(&self, act: impl FnOnce(&mut Platter, Failure) -> io::Result<()>) -> io::Result<()> {
        let mut platter = self.lock();
        let failure = platter.fail.filter(|(step, _)| *step == platter.steps).map(|(_, failure)| failure);
        platter.steps += 1;
        match failure {
            None => act(&mut platter, Failure::All),
            Some(Failure::Nothing) => Err(io::Error::other("planted")),
            Some(failure) => act(&mut platter, failure).and(Err(io::Error::other("planted"))),
        }
    }
}

impl Files for Disk {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let platter = self.lock();
        Ok(platter.now.main.map(|main| platter.contents[main].bytes.clone()))
    }

    fn write_fresh(&self, bytes: &[u8]) -> io::Result<()> {
        self.step(|platter, failure| {
            if platter.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let written = if matches!(failure, Failure::Half) { bytes.len() / 2 } else { bytes.len() };
            platter.contents.push(Content { bytes: bytes[..written].to_vec(), synced: false });
            platter.now.fresh = Some(platter.contents.len() - 1);
            Ok(())
        })
    }

    fn sync_fresh(&self) -> io::Result<()> {
        self.step(|platter, _| {
            let fresh = platter.now.fresh.ok_or(io::ErrorKind::NotFound)?;
            platter.contents[fresh].synced = true;
            Ok(())
        })
    }

    fn rename(&self) -> io::Result<()> {
        self.step(|platter, _| {
            let fresh = platter.now.fresh.ok_or(io::ErrorKind::NotFound)?;
            platter.replaced = platter.now.main;
            platter.now = Names { main: Some(fresh), fresh: None };
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.step(|platter, _| {
            platter.synced = platter.now;
            Ok(())
        })
    }

    fn erase_replaced(&self) -> io::Result<()> {
        self.step(|platter, _| {
            if let Some(replaced) = platter.replaced.take() {
                platter.contents[replaced].bytes.fill(0);
            }
            Ok(())
        })
    }

    fn overwrite(&self, bytes: &[u8]) -> io::Result<()> {
        self.step(|platter, _| {
            let main = platter.now.main.ok_or(io::ErrorKind::NotFound)?;
            platter.contents[main].bytes = bytes.to_vec();
            Ok(())
        })
    }

    fn remove_fresh(&self) -> io::Result<()> {
        self.step(|platter, _| {
            if let Some(fresh) = platter.now.fresh.take() {
                platter.contents[fresh].bytes.fill(0);
            }
            Ok(())
        })
    }

    fn read_counters(&self) -> io::Result<Vec<u8>> {
        Ok(self.lock().counters.clone())
    }

    fn write_counters(&self, counters: &[u8]) -> io::Result<()> {
        self.step(|platter, failure| {
            let kept = platter.counters.get(counters.len() / 2..).unwrap_or_default().to_vec();
            platter.counters = match failure {
                Failure::Half => [&counters[..counters.len() / 2], &kept].concat(),
                _ => counters.to_vec(),
            };
            Ok(())
        })
    }
}
