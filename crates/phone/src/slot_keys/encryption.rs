//! The key that the slot key file is sealed under: the host's.

use super::{SlotKeyError, leaving_nothing, open, seal};
use base64ct::{Base64UrlUnpadded, Encoding};
use std::path::Path;
use unjoin_core::secret::{SecretBytes, SystemRng};
use zeroize::Zeroizing;

/// Seals and opens the slot key file: a key that never lies beside it, best in the host's key
/// management, which implements this.
///
/// The plaintext is below 4 KiB. It is sealed about once a minute while calls are served, and
/// opened once at each start.
///
/// ```
/// use unjoin_phone::{KeyEncryptionKey, SlotKeyError};
/// # use unjoin_phone::LocalKey;
/// # use unjoin_core::secret::SecretBytes;
///
/// /// A key in the host's key management, which may be away.
/// struct Remote<K>(K, bool);
///
/// impl<K: KeyEncryptionKey> KeyEncryptionKey for Remote<K> {
///     fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, SlotKeyError> {
///         if self.1 { self.0.seal(plaintext) } else { Err(SlotKeyError::EncryptionUnavailable) }
///     }
///     fn open(&self, sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, SlotKeyError> {
///         if self.1 { self.0.open(sealed) } else { Err(SlotKeyError::EncryptionUnavailable) }
///     }
/// }
///
/// let key = Remote(LocalKey::new(SecretBytes::new([9; 32])), true);
/// assert_eq!(key.open(&key.seal(b"slot keys")?)?.as_slice(), b"slot keys");
/// # Ok::<(), SlotKeyError>(())
/// ```
pub trait KeyEncryptionKey: Send + Sync + 'static {
    /// `plaintext`, sealed and authenticated; a fresh nonce each time.
    ///
    /// # Errors
    /// [`SlotKeyError::EncryptionUnavailable`] when it cannot be done now.
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, SlotKeyError>;

    /// What was sealed.
    ///
    /// # Errors
    /// [`SlotKeyError::EncryptionRefused`] when it was sealed under another key or changed;
    /// [`SlotKeyError::EncryptionUnavailable`] when it cannot be done now.
    fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SlotKeyError>;
}

impl<K: KeyEncryptionKey + ?Sized> KeyEncryptionKey for Box<K> {
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, SlotKeyError> {
        (**self).seal(plaintext)
    }

    fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SlotKeyError> {
        (**self).open(sealed)
    }
}

/// A key-encryption key in this process's memory: 32 bytes from a file, from the environment or
/// from the caller. ChaCha20-Poly1305 with random nonces.
///
/// ```
/// use unjoin_phone::{KeyEncryptionKey, LocalKey};
/// use unjoin_core::secret::SecretBytes;
/// let key = LocalKey::new(SecretBytes::new([7; 32]));
/// let sealed = key.seal(b"slot keys")?;
/// assert_eq!(*key.open(&sealed)?, b"slot keys");
/// assert!(LocalKey::new(SecretBytes::new([8; 32])).open(&sealed).is_err());
/// # Ok::<(), unjoin_phone::SlotKeyError>(())
/// ```
pub struct LocalKey(SecretBytes<32>);

impl LocalKey {
    /// The key of these bytes.
    pub fn new(key: SecretBytes<32>) -> Self {
        Self(key)
    }

    /// From a file of 32 bytes, or of their text in hexadecimal or base64url without padding
    /// (a newline may follow).
    ///
    /// # Errors
    /// [`SlotKeyError::KeyUnreadable`] when the file cannot be read;
    /// [`SlotKeyError::NotAKey`] when it holds something else.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SlotKeyError> {
        let content = std::fs::read(path).map_err(|error| SlotKeyError::KeyUnreadable(error.kind()))?;
        let content = Zeroizing::new(content);
        if let Ok(bytes) = <[u8; 32]>::try_from(content.as_slice()) {
            return Ok(Self(SecretBytes::new(*Zeroizing::new(bytes))));
        }
        let text = std::str::from_utf8(&content).map_err(|_| SlotKeyError::NotAKey)?;
        Self::from_text(text)
    }

    /// From an environment variable: 64 hexadecimal digits, or 43 characters of base64url
    /// without padding.
    ///
    /// The environment of a process can be read by everything that runs as the same user, and is
    /// often printed: prefer a file.
    ///
    /// # Errors
    /// [`SlotKeyError::NotAKey`] when the variable is not there or holds something else.
    pub fn from_environment(variable: &str) -> Result<Self, SlotKeyError> {
        let text = std::env::var(variable).map_err(|_| SlotKeyError::NotAKey)?;
        Self::from_text(&Zeroizing::new(text))
    }

    fn from_text(text: &str) -> Result<Self, SlotKeyError> {
        let text = text.trim_end_matches(['\r', '\n']);
        let mut key = Zeroizing::new([0; 32]);
        let decoded = match text.len() {
            64 => base16(text, &mut key),
            43 => Base64UrlUnpadded::decode(text, key.as_mut_slice()).is_ok_and(|bytes| bytes.len() == 32),
            _ => false,
        };
        if decoded { Ok(Self(SecretBytes::new(*key))) } else { Err(SlotKeyError::NotAKey) }
    }
}

/// Whether `text` was 64 hexadecimal digits. No table is looked up and no digit is branched on.
fn base16(text: &str, key: &mut [u8; 32]) -> bool {
    let mut wrong = 0;
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        let digit = nibble(*high) << 4 | nibble(*low);
        wrong |= digit >> 8;
        *byte = digit as u8;
    }
    wrong == 0
}

/// The value of a hexadecimal digit; bits 8 to 15 are set for anything else.
fn nibble(digit: u8) -> u16 {
    let within = |least: u8, most: u8| {
        let below = u16::from(digit).wrapping_sub(u16::from(least)) >> 8;
        let above = u16::from(most).wrapping_sub(u16::from(digit)) >> 8;
        !(below | above) & 0xff
    };
    let (number, upper, lower) = (within(b'0', b'9'), within(b'A', b'F'), within(b'a', b'f'));
    let value = u16::from(digit.wrapping_sub(b'0')) & number
        | u16::from(digit.wrapping_sub(b'A' - 10)) & upper
        | u16::from(digit.wrapping_sub(b'a' - 10)) & lower;
    value | (!(number | upper | lower) & 0xff) << 8
}

impl KeyEncryptionKey for LocalKey {
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, SlotKeyError> {
        Ok(leaving_nothing(|| seal(&self.0, LABEL, plaintext, &mut SystemRng::new())))
    }

    fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SlotKeyError> {
        leaving_nothing(|| open(&self.0, LABEL, sealed)).ok_or(SlotKeyError::EncryptionRefused)
    }
}

/// So that what the host seals under the same key elsewhere is not taken for slot keys.
const LABEL: &[u8] = b"unjoin/phone/key-file/1";

// Prints no key.
unjoin_core::opaque!(LocalKey);
