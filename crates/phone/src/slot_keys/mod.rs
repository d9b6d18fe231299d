//! The keys that stored bindings are found and opened with: one for each slot of time, gone
//! soon after it.
//!
//! Time is cut into slots. A binding is stored under the key of the slot in which it ends. The
//! row's name is an HMAC of caller and virtual number, its value is sealed. The keys are
//! independent and random, made no more than the longest life ahead and deleted at the slot's
//! end and skew. So old pages, logs and backups of the database hold ciphertext whose keys are
//! gone. A copy of today's keys opens nothing that ends after the slot in which one longest
//! life from today lies.
//!
//! One [`Keeper`] owns the file of keys. A switchboard gets them as a [`SlotKeyWindow`] through
//! [`SlotKeys`], and holds them in memory only.

mod encryption;
mod keeper;
mod window;

pub use encryption::{KeyEncryptionKey, LocalKey};
pub(crate) use keeper::LATE;
pub use keeper::{Keeper, Predecessor};
pub use window::SlotKeyWindow;

use super::number::{PhoneNumber, VirtualNumber};
use rand_core::CryptoRng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::hint::black_box;
use std::sync::Arc;
use unjoin_core::secret::{MacKey, SecretBytes};
use unjoin_core::{ClockError, Timestamp, describe_errors};
use zeroize::Zeroizing;

/// The number of a slot: seconds since 1970-01-01T00:00:00Z divided by the slot's length.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u64);

impl Slot {
    /// The slot of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// How time is cut: fixed for the life of a key file.
///
/// A slot is `longest life / (slots - 1)` seconds long, and at least 15 minutes. At any moment
/// a binding of the longest life ends in the present slot or one of the `slots - 1` after it.
///
/// ```
/// use unjoin_phone::SlotConfig;
/// let config = SlotConfig::new(90 * 60, 4, 30)?;
/// assert_eq!(config.slot_seconds(), 30 * 60);
/// assert!(SlotConfig::new(20 * 60, 4, 30).is_err());
/// # Ok::<(), unjoin_phone::SlotKeyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotConfig {
    max_life: u64,
    slots: u8,
    skew: u64,
}

impl SlotConfig {
    /// The shortest slot, in seconds.
    pub const MIN_SLOT: u64 = 15 * 60;
    /// The most slots: each is one more probe for every call.
    pub const MAX_SLOTS: u8 = 32;
    /// The longest life there can be, in seconds: longer-lived bindings do not belong here.
    pub const MAX_LIFE: u64 = 366 * 86_400;

    /// The longest life of a binding in seconds, and how many slots it reaches over. `skew` is by
    /// how many seconds the clocks of those who hold keys may differ.
    ///
    /// # Errors
    /// [`SlotKeyError::Config`] unless there are 2 to [`SlotConfig::MAX_SLOTS`] slots, the longest
    /// life is a multiple of `slots - 1` that gives slots of [`SlotConfig::MIN_SLOT`] seconds or
    /// more, and the skew is no longer than a slot.
    pub fn new(max_life: u64, slots: u8, skew: u64) -> Result<Self, SlotKeyError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(SlotKeyError::Config(rule)) };
        rule((2..=Self::MAX_SLOTS).contains(&slots), "2 to 32 slots")?;
        rule(max_life <= Self::MAX_LIFE, "a longest life of 366 days at most")?;
        let following = u64::from(slots).saturating_sub(1);
        rule(max_life.is_multiple_of(following), "a longest life that is a multiple of the slots less one")?;
        let config = Self { max_life, slots, skew };
        rule(
            config.slot_seconds() >= Self::MIN_SLOT,
            "slots of 15 minutes or more: fewer slots, or a longer longest life",
        )?;
        rule(skew <= config.slot_seconds(), "a skew no longer than a slot")?;
        Ok(config)
    }

    unjoin_core::getters! {
        /// The longest life of a binding, in seconds.
        pub max_life -> u64;
        /// S: how many slots are probed for a call.
        pub slots -> u8;
        /// By how many seconds the clocks of those who hold keys may differ.
        pub skew -> u64;
    }

    /// The length of a slot, in seconds.
    pub fn slot_seconds(&self) -> u64 {
        self.max_life.checked_div(u64::from(self.slots).saturating_sub(1)).unwrap_or(self.max_life).max(1)
    }

    /// The slot in which `time` lies.
    #[doc(hidden)]
    pub fn slot_of(&self, time: Timestamp) -> Slot {
        Slot(time.as_unix_seconds() / self.slot_seconds())
    }

    /// When `slot` begins.
    pub(crate) fn start_of(&self, slot: Slot) -> Timestamp {
        Timestamp::from_unix_seconds(slot.0.saturating_mul(self.slot_seconds()))
    }

    /// When `slot` is over: the first second that is not in it.
    pub(crate) fn end_of(&self, slot: Slot) -> Timestamp {
        self.start_of(slot).saturating_add(self.slot_seconds())
    }

    /// When `slot`'s key is deleted: its end and the skew.
    #[doc(hidden)]
    pub fn dead_at(&self, slot: Slot) -> Timestamp {
        self.end_of(slot).saturating_add(self.skew)
    }

    /// The slots in which a binding made at `now` can end: the present one and those after it.
    fn reached(&self, now: Timestamp) -> impl Iterator<Item = Slot> {
        (self.slot_of(now).0..).take(usize::from(self.slots)).map(Slot)
    }
}

/// The key of one slot: 32 random bytes, and the two keys derived from them, ready for use.
///
/// Not `Clone` and not serializable; erased when the last window that shares it is dropped, with what
/// was made ready.
#[doc(hidden)]
#[derive(Debug)]
pub struct SlotKey {
    random: SecretBytes<32>,
    indexing: MacKey,
    sealing: MacKey,
}

impl SlotKey {
    pub(crate) fn new(random: SecretBytes<32>) -> Self {
        leaving_nothing(|| {
            let key = MacKey::new(random.expose());
            let derive = |label: &[u8]| MacKey::new(SecretBytes::new(key.mac(&[label])).expose());
            let (indexing, sealing) =
                (derive(b"unjoin/phone/slot/index/1"), derive(b"unjoin/phone/slot/seal/1"));
            Self { random, indexing, sealing }
        })
    }

    pub(crate) fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::new(SecretBytes::random(rng))
    }

    /// The bytes that the keeper's file holds.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.random.expose()
    }

    /// The names of the parties' rows under `number`.
    pub(crate) fn names<const N: usize>(
        &self,
        parties: [&PhoneNumber; N],
        number: VirtualNumber,
    ) -> [[u8; 32]; N] {
        leaving_nothing(|| parties.map(|party| self.name(party, number)))
    }

    /// The name of the row through which `party` reaches somebody over `number`:
    /// `HMAC-SHA-256(indexing key, le64(party's digits) || le64(number's digits))`.
    ///
    /// A row's name tells nothing without the slot's key. With it a range of phone numbers can
    /// be tried, since there are so few of them. That is why the key is deleted.
    fn name(&self, party: &PhoneNumber, number: VirtualNumber) -> [u8; 32] {
        let party = Zeroizing::new(party.as_integer().to_le_bytes());
        self.indexing.mac(&[party.as_slice(), &number.as_integer().to_le_bytes()])
    }

    /// `nonce (12) || ciphertext || tag (16)` of `plaintext`, bound to the row's name.
    ///
    /// ChaCha20-Poly1305 under `HMAC-SHA-256(sealing key, index)`. A key for each row, so that
    /// the random nonces of 12 bytes need only differ among the values that one row ever has.
    pub(crate) fn seal(
        &self,
        index: &[u8; 32],
        plaintext: &[u8],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Vec<u8> {
        leaving_nothing(|| {
            let key = SecretBytes::new(self.sealing.mac(&[index]));
            seal(&key, index, plaintext, rng)
        })
    }

    /// What [`SlotKey::seal`] sealed under this key for this row; `None` for anything else,
    /// after the same work if it has the same length.
    pub(crate) fn open(&self, index: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        leaving_nothing(|| {
            let key = SecretBytes::new(self.sealing.mac(&[index]));
            open(&key, index, sealed)
        })
    }
}

const TAG_LEN: usize = 16;

/// Runs `work`, then overwrites the stack below: ciphers and hashes leave copies of their keys
/// there, ring's as well as RustCrypto's. Those would outlive a slot in a thread that rests.
///
/// Neither of the two calls may be inlined, so that the second stands where the first stood.
fn leaving_nothing<T>(work: impl FnOnce() -> T) -> T {
    let done = beneath(work);
    overwrite_the_stack();
    done
}

#[inline(never)]
fn beneath<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// A cipher and what it calls reach about 3 KiB deep, and 6 KiB where nothing is optimized.
#[inline(never)]
fn overwrite_the_stack() {
    black_box(&mut [0u64; 1024]);
}

/// The cipher under `key`, for one call: ring erases no key, so none of its types is kept.
fn cipher(key: &SecretBytes<32>) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key.expose()).ok().map(LessSafeKey::new)
}

/// ChaCha20-Poly1305 (RFC 8439): `nonce (12) || ciphertext || tag (16)`.
///
/// The plaintext stands in a buffer of its final size, and is overwritten in place.
pub(super) fn seal(
    key: &SecretBytes<32>,
    associated: &[u8],
    plaintext: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let mut sealed = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let tag = cipher(key).zip(sealed.get_mut(NONCE_LEN..)).and_then(|(cipher, text)| {
        let nonce = Nonce::assume_unique_for_key(nonce);
        cipher.seal_in_place_separate_tag(nonce, Aad::from(associated), text).ok()
    });
    match tag {
        Some(tag) => sealed.extend_from_slice(tag.as_ref()),
        // Texts of 256 GiB are refused. Never leave a plaintext behind.
        None => sealed = Vec::new(),
    }
    sealed
}

/// What [`seal`] made; `None` if the key, the associated data or any byte is another.
pub(super) fn open(key: &SecretBytes<32>, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = cipher(key)?.open_in_place(nonce, Aad::from(associated), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

/// Where a switchboard gets its keys: the [`Keeper`] in its own process, or the host's way to
/// the process that has it.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, environment, keeper};
/// use std::sync::Arc;
/// use unjoin_core::Timestamp;
/// use unjoin_phone::{SlotKeyError, SlotKeyWindow, SlotKeys};
///
/// /// The way to the process that has the keeper, here a function.
/// struct Asked<F>(F);
///
/// impl<F: Fn(Timestamp) -> Option<Vec<u8>> + Send + Sync + 'static> SlotKeys for Asked<F> {
///     fn window(&self, now: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
///         let bytes = (self.0)(now).ok_or(SlotKeyError::Unreachable)?;
///         SlotKeyWindow::import(&bytes).map(Arc::new)
///     }
/// }
/// # let directory = unjoin_test_util::Directory::new();
/// # let keeper = keeper(directory.file("slot-keys"), LIFE, &environment());
///
/// let asked = Asked(move |now| keeper.window(now).ok().map(|window| window.export().to_vec()));
/// assert_eq!(asked.window(START)?.now(), START);
/// # Ok::<(), SlotKeyError>(())
/// ```
pub trait SlotKeys: Send + Sync + 'static {
    /// The window at `now`, which is what the caller's clock says. The window's own
    /// [`now`](SlotKeyWindow::now) is what to decide by.
    ///
    /// # Errors
    /// [`SlotKeyError`]; without a window nothing can be bound or routed.
    fn window(&self, now: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError>;
}

impl<K: SlotKeys + ?Sized> SlotKeys for Arc<K> {
    fn window(&self, now: Timestamp) -> Result<Arc<SlotKeyWindow>, SlotKeyError> {
        (**self).window(now)
    }
}

describe_errors! {
    /// Why there are no slot keys. Nothing has changed then, and no key was destroyed.
    ///
    /// ```
    /// use unjoin_phone::{SlotConfig, SlotKeyError};
    /// // Slots of twelve minutes.
    /// let error = SlotConfig::new(36 * 60, 4, 30).unwrap_err();
    /// assert!(matches!(error, SlotKeyError::Config(_)));
    /// assert_eq!(error.code(), "slot_keys.config");
    /// ```
    #[derive(Clone, Debug)]
    #[non_exhaustive]
    pub enum SlotKeyError (Operator, false) {
        /// A rule of [`SlotConfig`] that does not hold.
        Config(rule: &'static str) => "slot_keys.config" (Host, false), "slots need {rule}";
        /// The clock stands too far from the time of the keeper's last rotation.
        Clock(#[from] source: ClockError) => "slot_keys.clock_ahead", "{source}";
        but Self::Clock(source @ ClockError::Behind { .. }) => "slot_keys.clock_behind" (Operator, true), "{source}";
        /// Another keeper has the file.
        InUse => "slot_keys.in_use" (Operator, true),
            "another keeper has the slot key file: one process owns it, the others ask that one";
        /// There was a key file, and now there is none.
        Lost => "slot_keys.lost",
            "the slot key file is gone: never restore it from a copy, make a new one that follows it";
        /// There is a key file already.
        Exists => "slot_keys.exists",
            "there is a slot key file already: open it, or move it away for good before making one that follows it";
        /// The file is not a slot key file, or not whole.
        NotAKeyFile => "slot_keys.not_a_key_file",
            "the file is no slot key file, or not whole: check the path; if it is damaged, make a new one that \
             follows it";
        /// A later version of this crate wrote the file.
        Version => "slot_keys.version", "a later version wrote the slot key file: run that version";
        /// The file was made for slots of another length or number.
        OtherConfig => "slot_keys.other_config",
            "the slot key file was made for other slots: open it with the longest life and the number of slots \
             that it was made for";
        /// The host's key management does not answer: for implementations of [`KeyEncryptionKey`]
        /// by the host.
        EncryptionUnavailable => "slot_keys.key_encryption_unavailable" (Operator, true),
            "the key management does not answer: slot keys cannot be read or replaced until it does";
        /// The file was sealed under another key-encryption key, or changed.
        EncryptionRefused => "slot_keys.key_encryption",
            "the key-encryption key does not open the slot key file: give the key it was sealed under; if that \
             is gone or the file was changed, make a new file that follows it";
        /// The file of the key-encryption key could not be read.
        KeyUnreadable(kind: std::io::ErrorKind) => "slot_keys.key_unreadable" (Operator, true),
            "the file of the key-encryption key cannot be read ({kind})";
        /// What should be a key-encryption key is not there, or is none.
        NotAKey => "slot_keys.not_a_key",
            "a key-encryption key is 32 bytes, 64 hexadecimal digits, or 43 characters of base64url";
        /// The file could not be read or replaced.
        File(source: Arc<std::io::Error>) => "slot_keys.file" (Operator, true),
            "the slot key file could not be read or replaced ({})", source.kind();
        /// What came from the process that has the keys is no window.
        NotAWindow => "slot_keys.not_a_window",
            "what the process with the slot keys sent is no window: run the same version in both";
        /// The process that has the keys did not answer: for implementations of [`SlotKeys`] by
        /// the host.
        Unreachable => "slot_keys.unreachable" (Operator, true), "the process that has the slot keys did not answer";
    }
}

impl From<std::io::Error> for SlotKeyError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.into())
    }
}

#[cfg(test)]
mod tests;
