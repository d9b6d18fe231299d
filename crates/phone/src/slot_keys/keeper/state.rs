//! What the key file says, and how it goes on with time: pure, no file and no clock.

use super::super::{Slot, SlotConfig, SlotKey, SlotKeyError, SlotKeyWindow};
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use std::sync::Arc;
use unjoin_core::secret::SecretBytes;
use unjoin_core::wire::{DecodeError, Reader, Rule, Writer};
use unjoin_core::{ClockGuard, Timestamp};
use zeroize::Zeroizing;

/// For how many seconds ahead the mark is stored, so that not every second is a write. After a
/// restart the time begins at the mark: bindings may end so much early then, never late.
pub(super) const LEASE: u64 = 60;

/// For how many seconds a key that is due may still be there before something is wrong: two rotations come sooner.
pub(crate) const LATE: u64 = 60;

/// The only format.
const FORMAT: u8 = 1;
const HEADER: usize = 1 + 8 + 1 + 4 + 4 + 8 + 8 + 1;
const ENTRY: usize = 8 + 32;

/// What the key file says.
pub(super) struct State {
    pub(super) config: SlotConfig,
    pub(super) generation: u32,
    pub(super) pool_shift: u32,
    /// The high-water mark: no time after it has been served.
    pub(super) mark: Timestamp,
    /// The time of the rotation that wrote it, or before.
    pub(super) floor: Timestamp,
    keys: BTreeMap<Slot, Arc<SlotKey>>,
}

impl State {
    /// A new set of keys at `now`.
    pub(super) fn new(
        config: SlotConfig,
        generation: u32,
        pool_shift: u32,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let empty = Self { config, generation, pool_shift, mark: now, floor: now, keys: BTreeMap::new() };
        empty.at(now, now, ClockGuard::starting(now), rng)
    }

    /// Whether the file may stay as it is when `now` is served.
    pub(super) fn serves(&self, now: Timestamp) -> bool {
        now <= self.mark && self.has_keys(now)
    }

    /// Whether the file should be replaced though nobody waits for it.
    pub(super) fn is_due(&self, now: Timestamp, clock: Timestamp, guard: ClockGuard) -> bool {
        self.mark < clock.saturating_add(LEASE / 2)
            || !self.serves(now)
            || self.keys.keys().any(|slot| self.is_over(*slot, guard.settled()))
    }

    fn has_keys(&self, now: Timestamp) -> bool {
        self.config.reached(now).all(|slot| self.keys.contains_key(&slot))
    }

    /// What the file says from `now` on: the keys of slots that ended a skew before the settled time
    /// are gone. Those that the longest life now reaches are there and none beyond, and the mark is a
    /// lease ahead of the clock. `now` is the time served; were the mark a lease ahead of that, every
    /// restart would move it on.
    pub(super) fn at(
        &self,
        now: Timestamp,
        clock: Timestamp,
        guard: ClockGuard,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let mut keys = BTreeMap::new();
        let last = self.config.reached(now).last();
        for (slot, key) in &self.keys {
            if !self.is_over(*slot, guard.settled()) && Some(*slot) <= last {
                keys.insert(*slot, Arc::clone(key));
            }
        }
        for slot in self.config.reached(now) {
            keys.entry(slot).or_insert_with(|| Arc::new(SlotKey::random(rng)));
        }
        let mark = clock.saturating_add(LEASE).max(self.mark).max(now);
        Self { mark, floor: guard.floor(), keys, ..*self }
    }

    /// The same without its mark: somebody has said that `now` is the time.
    pub(super) fn set_to(&self, now: Timestamp) -> Self {
        Self { mark: now, keys: self.keys.clone(), ..*self }
    }

    /// The same after this many recoveries, before keys are made.
    pub(super) fn without_keys(&self, recoveries: u32) -> Self {
        Self {
            generation: self.generation.saturating_add(recoveries),
            pool_shift: self.pool_shift.saturating_add(recoveries),
            keys: BTreeMap::new(),
            ..*self
        }
    }

    /// The window at `now`; `None` if a key is missing.
    pub(super) fn window(&self, now: Timestamp, guard: ClockGuard) -> Option<SlotKeyWindow> {
        let keys = self.config.reached(now).map(|slot| self.keys.get(&slot).cloned());
        let keys = keys.collect::<Option<Vec<_>>>()?;
        let window = SlotKeyWindow::new(now, self.config, self.generation, self.pool_shift, keys);
        Some(window.leased(self.mark, guard.settled(), self.oldest()?))
    }

    /// When the oldest key that is there is due to be deleted.
    fn oldest(&self) -> Option<Timestamp> {
        self.keys.first_key_value().map(|(slot, _)| self.config.dead_at(*slot))
    }

    /// Whether a key is there that is over by the settled time, and was due [`LATE`] before `now`.
    pub(super) fn is_late(&self, settled: Timestamp, now: Timestamp) -> bool {
        self.oldest().is_some_and(|due| due <= settled && now.saturating_since(due) >= LATE)
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = (Slot, &SlotKey)> {
        self.keys.iter().map(|(slot, key)| (*slot, key.as_ref()))
    }

    fn is_over(&self, slot: Slot, now: Timestamp) -> bool {
        self.config.dead_at(slot) <= now
    }

    /// The file's content before sealing:
    /// `1 || le64(longest life) || slots (1) || le32(generation) || le32(pool shift) ||
    /// le64(mark) || le64(floor) || count (1)`, then for each key in order `le64(slot) || key (32)`.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::with_capacity(HEADER + self.keys.len() * ENTRY);
        out.u8(FORMAT);
        out.le64(self.config.max_life());
        out.u8(self.config.slots());
        out.le32(self.generation);
        out.le32(self.pool_shift);
        out.timestamp(self.mark);
        out.timestamp(self.floor);
        out.u8(self.keys.len() as u8);
        for (slot, key) in &self.keys {
            out.le64(slot.number());
            out.raw(key.expose());
        }
        Zeroizing::new(out.finish())
    }

    /// Decodes what [`State::to_bytes`] wrote, for slots like those of `config`; the skew is the
    /// caller's to change.
    pub(super) fn from_bytes(bytes: &[u8], config: SlotConfig) -> Result<Self, SlotKeyError> {
        match bytes.first() {
            Some(format) if *format > FORMAT => return Err(SlotKeyError::Version),
            _ => {}
        }
        let (max_life, slots, state) = Self::decode(bytes, config).map_err(|_| SlotKeyError::NotAKeyFile)?;
        if (max_life, slots) != (config.max_life(), config.slots()) {
            return Err(SlotKeyError::OtherConfig);
        }
        Ok(state)
    }

    fn decode(bytes: &[u8], config: SlotConfig) -> Result<(u64, u8, Self), DecodeError> {
        let mut from = Reader::new(bytes, "slot key file");
        if from.u8("format")? != FORMAT {
            return Err(from.refuse(Rule::Version));
        }
        let (max_life, slots) = (from.le64("longest life")?, from.u8("slots")?);
        let (generation, pool_shift) = (from.le32("generation")?, from.le32("pool shift")?);
        let (mark, floor) = (from.timestamp("mark")?, from.timestamp("floor")?);
        let mut keys = BTreeMap::new();
        for _ in 0..from.u8("count")? {
            let slot = Slot::new(from.le64("slot")?);
            if keys.last_key_value().is_some_and(|(last, _)| *last >= slot) {
                return Err(from.refuse(Rule::Value));
            }
            let key = Zeroizing::new(from.array("key")?);
            keys.insert(slot, Arc::new(SlotKey::new(SecretBytes::new(*key))));
        }
        from.end()?;
        Ok((max_life, slots, Self { config, generation, pool_shift, mark, floor, keys }))
    }
}
