//! A disk that loses its power, or fails, at a chosen operation.

use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// One operation that a disk does not complete.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// It is the first from this number on ...
    pub at: u64,
    /// ... or the first sync.
    pub of_a_sync: bool,
    /// The power goes: of this operation only a part may reach the disk, of later ones nothing.
    /// Otherwise it fails and the disk works on; a sync that fails has written some of what it
    /// was to write and forgets the rest, as operating systems do.
    pub cuts_the_power: bool,
}

/// The supply that several disks hang on: it counts their writes, syncs and changes of length.
#[derive(Clone, Debug, Default)]
pub struct Power(Arc<Mutex<Supply>>);

#[derive(Debug, Default)]
struct Supply {
    operations: u64,
    fault: Option<Fault>,
    has_struck: bool,
}

enum Verdict {
    Works,
    /// The power goes during this operation.
    Goes,
    Fails,
    IsGone,
}

impl Power {
    pub fn with(fault: Fault) -> Self {
        Self(Arc::new(Mutex::new(Supply { fault: Some(fault), ..Supply::default() })))
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    fn judge(&self, is_sync: bool) -> Verdict {
        let mut supply = self.0.lock().unwrap();
        let number = supply.operations;
        supply.operations += 1;
        match supply.fault {
            Some(fault) if supply.has_struck && fault.cuts_the_power => Verdict::IsGone,
            Some(fault) if !supply.has_struck && number >= fault.at && (is_sync || !fault.of_a_sync) => {
                supply.has_struck = true;
                if fault.cuts_the_power { Verdict::Goes } else { Verdict::Fails }
            }
            _ => Verdict::Works,
        }
    }
}

/// A disk in memory.
#[derive(Clone, Debug)]
pub struct Disk {
    power: Power,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// What programs see.
    seen: Vec<u8>,
    /// What a power loss leaves at least. Lengths are journalled: a change of length is kept.
    safe: Vec<u8>,
    /// Since the last sync, in order; a power loss keeps any of them, each in whole sectors.
    unsynced: Vec<(usize, Vec<u8>)>,
}

const SECTOR: usize = 512;

impl State {
    /// Brings the unsynced sectors that `keeps` says to the disk, and forgets the others.
    fn settle(&mut self, mut keeps: impl FnMut() -> bool) {
        for (offset, data) in self.unsynced.drain(..) {
            for (sector, at) in data.chunks(SECTOR).zip((offset..).step_by(SECTOR)) {
                if keeps() {
                    self.safe[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
    }
}

impl Disk {
    pub fn holding(image: Vec<u8>, power: &Power) -> Self {
        let state = State { seen: image.clone(), safe: image, unsynced: Vec::new() };
        Self { power: power.clone(), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What is found when the power is back; `keeps` decides over each unsynced sector.
    pub fn after_power_loss(&self, keeps: impl FnMut() -> bool) -> Vec<u8> {
        let mut state = self.state();
        state.settle(keeps);
        state.safe.clone()
    }
}

fn no_power<T>() -> io::Result<T> {
    Err(io::Error::other("no power"))
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (state, at) = (self.state(), offset as usize);
        let seen = state.seen.get(at..at + out.len());
        out.copy_from_slice(seen.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let Verdict::Works = self.power.judge(false) else { return no_power() };
        let (mut state, len) = (self.state(), len as usize);
        state.seen.resize(len, 0);
        state.safe.resize(len, 0);
        // What was written beyond the new end is gone.
        state.unsynced.retain_mut(|(offset, data)| {
            data.truncate(len.saturating_sub(*offset));
            !data.is_empty()
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.power.judge(true) {
            Verdict::Works => {
                self.state().settle(|| true);
                Ok(())
            }
            Verdict::Fails => {
                let mut sector = 0;
                self.state().settle(|| {
                    sector += 1;
                    sector % 2 == 0
                });
                Err(io::Error::other("a sync failed"))
            }
            Verdict::Goes | Verdict::IsGone => no_power(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (verdict, mut state, at) = (self.power.judge(false), self.state(), offset as usize);
        match verdict {
            Verdict::Works => {
                state.seen[at..at + data.len()].copy_from_slice(data);
                state.unsynced.push((at, data.to_vec()));
                Ok(())
            }
            Verdict::Goes => {
                if at + data.len() <= state.safe.len() {
                    state.unsynced.push((at, data.to_vec()));
                }
                no_power()
            }
            Verdict::Fails => Err(io::Error::other("a write failed")),
            Verdict::IsGone => no_power(),
        }
    }
}
