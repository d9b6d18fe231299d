//! The one owner of the key file: makes keys in time, deletes them in time, and never lets time
//! go back.
//!
//! Everything it serves is on the disk first. A time is served only up to the stored mark, which
//! runs a minute ahead. So after a crash time goes on where it could have been, and what has
//! expired stays expired, wherever the clock stands.

mod files;
mod state;

pub(crate) use state::LATE;

use super::{KeyEncryptionKey, SlotConfig, SlotKeyError, SlotKeyWindow, SlotKeys};
use core::fmt;
use files::{Directory, Files, replace};
use state::State;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unjoin_core::{ClockGuard, Environment, Timestamp};

/// What the file begins with, in clear; the last byte is the format.
const MAGIC: &[u8] = b"unjoin slot keys\x01";

/// The owner of the slot key file.
///
/// The file lies outside the database and its backups, on a disk that keeps no snapshots, sealed
/// under the host's [`KeyEncryptionKey`]. It is replaced whole (fresh file, sync, rename, sync of
/// the directory), is readable by its owner only, and has one keeper at a time. The lock is on a
/// file beside it (`.lock` appended to its name) that is never removed.
///
/// As a [`SlotKeys`] it answers from memory, and writes the file about once a minute and at the
/// slots' boundaries. Call [`rotate`](Self::rotate) every few seconds from the host's scheduler, by its clock.
/// It alone moves time on and deletes keys, and no call waits for the disk. Questions pass their own
/// clocks, and are refused when those stand more than [`CLOCK_LIMIT`](unjoin_core::CLOCK_LIMIT) from the
/// last rotation.
///
/// ```no_run
/// use unjoin_phone::{Keeper, LocalKey, SlotConfig, SlotKeys};
/// use unjoin_core::Environment;
/// let environment = Environment::system();
/// let key = LocalKey::from_file("/run/secrets/slot-key-encryption")?;
/// let config = SlotConfig::new(90 * 60, 4, 30)?;
/// let keeper = Keeper::create_or_open("/var/lib/phones/slot-keys", key, config, &environment)?;
/// let window = keeper.window(environment.now())?;
/// assert_eq!(window.config(), config);
/// # Ok::<(), unjoin_phone::SlotKeyError>(())
/// ```
pub struct Keeper {
    setup: Setup,
    /// Held while the file is replaced; taken before `held`.
    writing: Mutex<()>,
    held: Mutex<Held>,
}

struct Held {
    /// What is durably in the file.
    state: State,
    /// What the rotations have said of the time.
    guard: ClockGuard,
    is_simulated: bool,
    /// The latest time that was served; at the start, the latest that may have been. At most the
    /// guard's limit after its floor.
    served: Timestamp,
    /// The window that was served last.
    window: Option<Arc<SlotKeyWindow>>,
}

/// The counters of a key file that is lost, for the one that follows it.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, environment, keeper};
/// use unjoin_phone::{Keeper, Predecessor};
/// # let directory = unjoin_test_util::Directory::new();
/// # let path = directory.file("slot-keys");
/// # drop(keeper(&path, LIFE, &environment()));
/// // The counters lie beside the file, for the one that follows it when it is lost.
/// let counters = Keeper::predecessor(&path)?;
/// assert_eq!(counters, Some(Predecessor { generation: 1, pool_shift: 0 }));
/// # Ok::<(), unjoin_phone::SlotKeyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its keys' generation.
    pub generation: u32,
    /// Its pool shift.
    pub pool_shift: u32,
}

impl Keeper {
    /// Opens the key file at `path`, or creates it where there never was one. The directory must
    /// exist. Slots that passed meanwhile are caught up with before this returns.
    ///
    /// When the clock stands more than [`CLOCK_LIMIT`](unjoin_core::CLOCK_LIMIT) from the last rotation,
    /// after downtime too, this succeeds, but nothing is served, changed or deleted until
    /// [`confirm_clock`](Self::confirm_clock).
    ///
    /// # Errors
    /// [`SlotKeyError::InUse`] when another keeper has the file; [`SlotKeyError::Lost`] when
    /// there was a file and is none; [`SlotKeyError::NotAKeyFile`], [`SlotKeyError::Version`] and
    /// [`SlotKeyError::OtherConfig`] when it is not what was expected;
    /// [`SlotKeyError::EncryptionRefused`] when the key-encryption key does not open it;
    /// [`SlotKeyError::File`] when it cannot be read or replaced.
    pub fn create_or_open(
        path: impl AsRef<Path>,
        key: impl KeyEncryptionKey,
        config: SlotConfig,
        environment: &Environment,
    ) -> Result<Self, SlotKeyError> {
        Setup::new(Directory::lock(path.as_ref())?, key, config, environment).open()
    }

    /// Creates the key file that follows one that is lost, damaged, or sealed under a key that is
    /// gone. As after [`recover`](Self::recover), no earlier binding can be routed, and every
    /// hub draws from its next slice. Move what is left of the old file away first, for good.
    ///
    /// # Errors
    /// [`SlotKeyError::Exists`] when there is a key file, else as for
    /// [`create_or_open`](Self::create_or_open).
    pub fn create_following(
        path: impl AsRef<Path>,
        key: impl KeyEncryptionKey,
        config: SlotConfig,
        environment: &Environment,
        predecessor: Predecessor,
    ) -> Result<Self, SlotKeyError> {
        Setup::new(Directory::lock(path.as_ref())?, key, config, environment).follow(predecessor)
    }

    /// The counters that lie beside the key file, readable when the file itself is gone or cannot
    /// be opened; `None` when there are none. The file must not be in use.
    ///
    /// # Errors
    /// [`SlotKeyError::InUse`] when a keeper has the file; [`SlotKeyError::File`] when the
    /// counters cannot be read.
    pub fn predecessor(path: impl AsRef<Path>) -> Result<Option<Predecessor>, SlotKeyError> {
        Ok(Predecessor::from_text(&Directory::lock(path.as_ref())?.read_counters()?))
    }

    /// Deletes the keys that are due, and makes those that the longest life now reaches. Moves the stored mark ahead
    /// when half of its minute is over. A key is deleted when two rotations in sequence have said that its slot and
    /// the skew are over. So one that a wrong clock has said alone destroys nothing. One that has been due for a
    /// minute is overwritten in the file itself when no fresh file can be written.
    ///
    /// # Errors
    /// [`SlotKeyError::Clock`] when the clock stands more than
    /// [`CLOCK_LIMIT`](unjoin_core::CLOCK_LIMIT) from the last rotation;
    /// [`SlotKeyError::EncryptionUnavailable`] and [`SlotKeyError::File`] when the file cannot be replaced.
    /// Nothing has changed then.
    pub fn rotate(&self, now: Timestamp) -> Result<(), SlotKeyError> {
        let _writing = self.writing();
        let (clock, guard) = (now, self.held().rotated(now)?);
        let now = self.held().served.max(now);
        if self.held().state.is_due(now, clock, guard) {
            self.advance(now, clock, guard)?;
        }
        let mut held = self.held();
        held.guard = guard;
        held.forget(now);
        Ok(())
    }

    /// Replaces the file by what it says from `now` on; the caller is the one who writes.
    fn advance(&self, now: Timestamp, clock: Timestamp, guard: ClockGuard) -> Result<(), SlotKeyError> {
        let next = self.held().state.at(now, clock, guard, &mut *self.setup.environment.rng());
        match self.store(&next) {
            // No room for a fresh file, say. A key that was promised to be gone outweighs that a crash in the middle of
            // this loses them all.
            Err(SlotKeyError::File(_)) if self.held().state.is_late(guard.settled(), clock) => {
                self.setup.files.overwrite(&self.sealed(&next)?)?;
            }
            stored => stored?,
        }
        self.held().take(next, now, guard);
        Ok(())
    }

    /// Replaces every slot key, after the database was restored from a backup or failed over to
    /// a copy that may lack the latest writes. No binding made before can be routed, and the
    /// hosts bind again. The generation and the pool shift rise by one, so that counters that
    /// went back with the database draw no number twice.
    ///
    /// # Errors
    /// As for [`rotate`](Self::rotate). Call it again then; until it succeeds, or the keeper is
    /// opened again, the old keys are served.
    pub fn recover(&self, now: Timestamp) -> Result<(), SlotKeyError> {
        let _writing = self.writing();
        let (clock, guard) = (now, self.held().rotated(now)?);
        let now = self.held().served.max(now);
        let next =
            self.held().state.without_keys(1).at(now, clock, guard, &mut *self.setup.environment.rng());
        // The counters first: they must never be behind the file.
        self.setup.files.write_counters(Predecessor::of(&next).to_text().as_bytes())?;
        self.store(&next)?;
        self.held().take(next, now, guard);
        Ok(())
    }

    /// Takes `now` for the time, though it stands far from the last rotation: after downtime, or
    /// when the clock was wrong before. Look at another clock first. It counts as the first of the two
    /// rotations that a key's deletion needs.
    ///
    /// With an earlier time the way back from a wrong one that was confirmed. What was deleted stays
    /// so, and numbers bound into those slots must be bound again; every other live number rings
    /// again.
    ///
    /// # Errors
    /// [`SlotKeyError::EncryptionUnavailable`] and [`SlotKeyError::File`] when the file cannot be
    /// replaced. Nothing has changed then.
    pub fn confirm_clock(&self, now: Timestamp) -> Result<(), SlotKeyError> {
        let _writing = self.writing();
        let guard = self.held().guard.confirmed(now);
        let next = self.held().state.set_to(now).at(now, now, guard, &mut *self.setup.environment.rng());
        self.store(&next)?;
        let mut held = self.held();
        held.served = now;
        held.take(next, now, guard);
        Ok(())
    }

    fn store(&self, state: &State) -> Result<(), SlotKeyError> {
        Ok(replace(&*self.setup.files, &self.sealed(state)?)?)
    }

    /// The file's bytes.
    fn sealed(&self, state: &State) -> Result<Vec<u8>, SlotKeyError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.setup.encryption.seal(&state.to_bytes())?);
        Ok(bytes)
    }

    /// A poisoned lock is taken over: what it guards is replaced in single assignments.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a keeper is opened with.
struct Setup {
    files: Box<dyn Files>,
    encryption: Box<dyn KeyEncryptionKey>,
    config: SlotConfig,
    environment: Environment,
}

impl Setup {
    fn new(
        files: impl Files + 'static,
        key: impl KeyEncryptionKey,
        config: SlotConfig,
        environment: &Environment,
    ) -> Self {
        let (files, encryption) = (Box::new(files), Box::new(key));
        Self { files, encryption, config, environment: environment.clone() }
    }

    fn open(self) -> Result<Keeper, SlotKeyError> {
        self.files.remove_fresh()?;
        let text = self.files.read_counters()?;
        let Some(bytes) = self.files.read()? else {
            if !text.is_empty() {
                return Err(SlotKeyError::Lost);
            }
            return self.create(1, 0);
        };
        let sealed = bytes.strip_prefix(MAGIC).ok_or_else(|| refuse_header(&bytes))?;
        let mut state = State::from_bytes(&self.encryption.open(sealed)?, self.config)?;
        // Counters that are ahead tell of a recovery that a crash interrupted, or of a file that an
        // older copy has replaced: in both cases these keys must not be used. The writing of counters
        // that are behind, or half written, was interrupted itself.
        let counters = Predecessor::from_text(&text);
        let missed = counters.map_or(0, |counters| counters.generation.saturating_sub(state.generation));
        if missed > 0 {
            state = state.without_keys(missed);
        }
        if counters != Some(Predecessor::of(&state)) {
            self.files.write_counters(Predecessor::of(&state).to_text().as_bytes())?;
        }
        let keeper = self.holding(state);
        match keeper.rotate(keeper.setup.environment.now()) {
            Ok(()) | Err(SlotKeyError::Clock(_)) => Ok(keeper),
            Err(error) => Err(error),
        }
    }

    fn follow(self, predecessor: Predecessor) -> Result<Keeper, SlotKeyError> {
        if self.files.read()?.is_some() {
            return Err(SlotKeyError::Exists);
        }
        self.files.remove_fresh()?;
        let generation = predecessor.generation.saturating_add(1);
        let pool_shift = predecessor.pool_shift.saturating_add(1);
        self.create(generation, pool_shift)
    }

    fn create(self, generation: u32, pool_shift: u32) -> Result<Keeper, SlotKeyError> {
        let now = self.environment.now();
        let state = State::new(self.config, generation, pool_shift, now, &mut *self.environment.rng());
        let keeper = self.holding(state);
        let mut held = keeper.held();
        held.served = now;
        keeper.store(&held.state)?;
        keeper.setup.files.write_counters(Predecessor::of(&held.state).to_text().as_bytes())?;
        drop(held);
        Ok(keeper)
    }

    fn holding(self, state: State) -> Keeper {
        let held = Mutex::new(Held {
            guard: ClockGuard::starting(state.floor),
            is_simulated: self.environment.is_simulated(),
            served: state.mark,
            state,
            window: None,
        });
        Keeper { setup: self, writing: Mutex::new(()), held }
    }
}

impl SlotKeys for Keeper {
    fn window(&self, now: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
        if let Some(window) = self.held().serve(now)? {
            return Ok(window);
        }
        // Others may be served meanwhile, at times that the file serves already; whatever it served
        // before it is replaced it serves afterwards.
        let _writing = self.writing();
        let (clock, guard) = (now, self.held().asked(now)?);
        let now = self.held().time(now)?;
        if !self.held().state.serves(now) {
            self.advance(now, clock, guard)?;
        }
        self.held().serve(now)?.ok_or(SlotKeyError::NotAKeyFile)
    }
}

impl Held {
    /// The guard after a rotation at `now`.
    fn rotated(&self, now: Timestamp) -> Result<ClockGuard, SlotKeyError> {
        match self.is_simulated {
            true => Ok(ClockGuard::certain(now.max(self.guard.floor()))),
            false => Ok(self.guard.tick(now)?),
        }
    }

    /// The guard that a question at `now` is answered by. Questions come from other processes, with
    /// their clocks: they move neither the guard nor, therefore, anything far.
    fn asked(&self, now: Timestamp) -> Result<ClockGuard, SlotKeyError> {
        if self.is_simulated {
            return self.rotated(now);
        }
        self.guard.check(now)?;
        Ok(self.guard)
    }

    /// The time at which a question is answered.
    fn time(&self, now: Timestamp) -> Result<Timestamp, SlotKeyError> {
        self.asked(now)?;
        Ok(now.max(self.served))
    }

    /// The window at `now`; `None` when the file must be replaced first.
    fn serve(&mut self, now: Timestamp) -> Result<Option<Arc<SlotKeyWindow>>, SlotKeyError> {
        let (guard, now) = (self.asked(now)?, self.time(now)?);
        if self.window.as_ref().is_some_and(|window| window.now() == now) {
            return Ok(self.window.clone());
        }
        if !self.state.serves(now) {
            return Ok(None);
        }
        (self.served, self.guard) = (now, guard);
        self.window = self.state.window(now, self.guard).map(Arc::new);
        Ok(self.window.clone())
    }

    /// Takes over what is in the file.
    fn take(&mut self, state: State, now: Timestamp, guard: ClockGuard) {
        self.served = self.served.max(now);
        (self.state, self.guard, self.window) = (state, guard, None);
    }

    /// Drops the window that was served last if the slot it began with is over at `now`.
    fn forget(&mut self, now: Timestamp) {
        self.window = self.window.take().filter(|window| now < window.end_of(window.slot_of(window.now())));
    }
}

impl Predecessor {
    fn of(state: &State) -> Self {
        Self { generation: state.generation, pool_shift: state.pool_shift }
    }

    /// Always of the same length, so that it is overwritten in place.
    fn to_text(self) -> String {
        format!("slot keys: generation {:010}, pool shift {:010}\n", self.generation, self.pool_shift)
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (generation, pool_shift) =
            text.strip_prefix("slot keys: generation ")?.strip_suffix('\n')?.split_once(", pool shift ")?;
        Some(Self { generation: generation.parse().ok()?, pool_shift: pool_shift.parse().ok()? })
    }
}

/// A file that does not begin as this version's do.
fn refuse_header(bytes: &[u8]) -> SlotKeyError {
    match (MAGIC.split_last(), bytes.get(..MAGIC.len()).and_then(|header| header.split_last())) {
        (Some((own, name)), Some((format, header))) if header == name && format > own => {
            SlotKeyError::Version
        }
        _ => SlotKeyError::NotAKeyFile,
    }
}

/// Prints no key and no path.
impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("config", &self.setup.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
