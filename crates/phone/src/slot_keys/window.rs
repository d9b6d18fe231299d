//! The keys that one moment needs, in memory.

use super::{Slot, SlotConfig, SlotKey, SlotKeyError, leaving_nothing};
use crate::{PhoneNumber, VirtualNumber};
use core::fmt;
use std::sync::Arc;
use unjoin_core::Timestamp;
use unjoin_core::secret::SecretBytes;
use unjoin_core::wire::{DecodeError, Reader, Rule, Writer};
use zeroize::Zeroizing;

/// The only format of a window on its way to another process.
const FORMAT: u8 = 1;
const HEADER: usize = 1 + 8 + 8 + 8 + 8 + 8 + 1 + 8 + 4 + 4;

/// What a process that routes and binds holds in memory: the present slot and those that
/// follow, each with its key, as of one moment.
///
/// Take a fresh window from [`SlotKeys`](super::SlotKeys) for each call or batch of calls and drop it
/// afterwards. A key is erased from memory only when the last window that shares it is dropped. So a
/// window that is kept keeps the keys of slots that have ended.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, environment, keeper};
/// use unjoin_phone::{SlotKeyWindow, SlotKeys};
/// # let directory = unjoin_test_util::Directory::new();
/// # let keeper = keeper(directory.file("slot-keys"), LIFE, &environment());
/// let window = keeper.window(START)?;
/// // To another process, over a connection that nobody else reads.
/// let there = SlotKeyWindow::import(&window.export())?;
/// assert_eq!((there.now(), there.generation(), there.config()), (START, 1, window.config()));
/// // It serves for a minute at most without asking again.
/// assert!(there.lease_end() <= START.saturating_add(60));
/// # Ok::<(), unjoin_phone::SlotKeyError>(())
/// ```
pub struct SlotKeyWindow {
    now: Timestamp,
    config: SlotConfig,
    generation: u32,
    pool_shift: u32,
    lease_end: Timestamp,
    settled: Timestamp,
    oldest: Timestamp,
    /// The present slot's key and those of the slots after it, in order.
    keys: Vec<Arc<SlotKey>>,
}

impl SlotKeyWindow {
    /// `keys`: of the present slot and of each that follows, as many as the configuration says.
    pub(crate) fn new(
        now: Timestamp,
        config: SlotConfig,
        generation: u32,
        pool_shift: u32,
        keys: Vec<Arc<SlotKey>>,
    ) -> Self {
        let oldest = config.dead_at(config.slot_of(now));
        Self { now, config, generation, pool_shift, lease_end: now, settled: now, oldest, keys }
    }

    /// The same with the last time that the keeper's file lets be served, the time by which
    /// it deletes, and when the oldest key that it has is due to be deleted.
    pub(super) fn leased(self, lease_end: Timestamp, settled: Timestamp, oldest: Timestamp) -> Self {
        Self { lease_end: lease_end.max(self.now), settled, oldest, ..self }
    }

    unjoin_core::getters! {
        /// The time to decide by: the clock's, or the latest that was ever served if the clock
        /// stands earlier.
        pub now -> Timestamp;
        /// The last time that may be served with these keys without asking the keeper again: at most
        /// a minute ahead.
        pub lease_end -> Timestamp;
        /// What was over by then may be cleared away. Two of the keeper's rotations in sequence have said
        /// this time, and it has deleted its keys.
        pub(crate) settled -> Timestamp;
    }

    /// Whether every key that was due by then is gone from the keeper's file.
    pub(crate) fn has_erased(&self, due: Timestamp) -> bool {
        due < self.oldest
    }

    /// For how many seconds a key has been due that is still there: a few, until the keeper's second rotation.
    pub(crate) fn erasure_lag(&self) -> u64 {
        self.now.saturating_since(self.oldest)
    }

    /// The same keys at a later time; at this window's time if `now` is earlier. `None` after the
    /// lease or the slot: ask the keeper. For [`SlotKeys`](super::SlotKeys) in another process, which keeps the
    /// window it got last and nothing older, and adds to that one's time what has passed on a steady clock
    /// since: by a wall clock that is slow the lease would not end.
    pub fn later(&self, now: Timestamp) -> Option<Self> {
        let now = now.max(self.now);
        if now > self.lease_end || self.slot_of(now) != self.slot_of(self.now) {
            return None;
        }
        Some(Self { now, keys: self.keys.clone(), ..*self })
    }

    /// The window for another process, keys included: `1 || le64(now) || le64(lease end) ||
    /// le64(settled) || le64(oldest key's due) || le64(longest life) || slots (1) || le64(skew) || le32(generation) || le32(pool shift)`, then 32 bytes
    /// for each slot's key. It goes over a channel that is encrypted and authenticated both
    /// ways, and is never stored.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_capacity(HEADER + self.keys.len() * 32);
        out.u8(FORMAT);
        out.timestamp(self.now);
        out.timestamp(self.lease_end);
        out.timestamp(self.settled);
        out.timestamp(self.oldest);
        out.le64(self.config.max_life());
        out.u8(self.config.slots());
        out.le64(self.config.skew());
        out.le32(self.generation);
        out.le32(self.pool_shift);
        self.keys.iter().for_each(|key| out.raw(key.expose()));
        Zeroizing::new(out.finish())
    }

    /// The window that [`export`](Self::export) wrote; the caller erases the bytes.
    ///
    /// # Errors
    /// [`SlotKeyError::NotAWindow`] when the bytes are something else.
    pub fn import(bytes: &[u8]) -> Result<Self, SlotKeyError> {
        Self::decode(bytes).map_err(|_| SlotKeyError::NotAWindow)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes, "slot key window");
        if from.u8("format")? != FORMAT {
            return Err(from.refuse(Rule::Version));
        }
        let (now, lease_end) = (from.timestamp("now")?, from.timestamp("lease end")?);
        let (settled, oldest) = (from.timestamp("settled")?, from.timestamp("oldest key's due")?);
        let (max_life, slots, skew) = (from.le64("longest life")?, from.u8("slots")?, from.le64("skew")?);
        let config = SlotConfig::new(max_life, slots, skew).map_err(|_| from.refuse(Rule::Value))?;
        let (generation, pool_shift) = (from.le32("generation")?, from.le32("pool shift")?);
        let mut keys = Vec::with_capacity(usize::from(slots));
        for _ in 0..slots {
            let key = Zeroizing::new(from.array("key")?);
            keys.push(Arc::new(SlotKey::new(SecretBytes::new(*key))));
        }
        from.end()?;
        Ok(Self { now, config, generation, pool_shift, lease_end, settled, oldest, keys })
    }

    unjoin_core::getters! {
        /// How time is cut.
        pub config -> SlotConfig;
        /// Which set of slot keys this is, from 1: one more at each
        /// [`recover`](super::Keeper::recover).
        pub generation -> u32;
        /// By how many slices every hub's draws are shifted: one more at each
        /// [`recover`](super::Keeper::recover).
        pub pool_shift -> u32;
    }

    /// The slot in which `time` lies.
    pub(crate) fn slot_of(&self, time: Timestamp) -> Slot {
        self.config.slot_of(time)
    }

    /// The present slot and those that follow, with their keys: always as many as
    /// [`SlotConfig::slots`], in order.
    #[doc(hidden)]
    pub fn slots(&self) -> impl Iterator<Item = (Slot, &SlotKey)> {
        self.config.reached(self.now).zip(self.keys.iter().map(Arc::as_ref))
    }

    /// The name of `party`'s row under `number` in each of the slots, with its slot and key.
    pub(crate) fn names(
        &self,
        party: &PhoneNumber,
        number: VirtualNumber,
    ) -> Vec<(Slot, &SlotKey, [u8; 32])> {
        leaving_nothing(|| self.slots().map(|(slot, key)| (slot, key, key.name(party, number))).collect())
    }

    /// The key of `slot`; `None` if it is over, or further ahead than the longest life.
    pub(crate) fn key(&self, slot: Slot) -> Option<&SlotKey> {
        let ahead = slot.number().checked_sub(self.slot_of(self.now).number())?;
        self.keys.get(usize::try_from(ahead).ok()?).map(Arc::as_ref)
    }

    /// When `slot` is over: the first second that is not in it.
    pub(crate) fn end_of(&self, slot: Slot) -> Timestamp {
        self.config.end_of(slot)
    }

    /// When `slot`'s key is deleted: its end and the skew.
    pub(crate) fn dead_at(&self, slot: Slot) -> Timestamp {
        self.config.dead_at(slot)
    }
}

/// Prints no key.
impl fmt::Debug for SlotKeyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotKeyWindow")
            .field("now", &self.now)
            .field("generation", &self.generation)
            .field("pool_shift", &self.pool_shift)
            .finish_non_exhaustive()
    }
}
