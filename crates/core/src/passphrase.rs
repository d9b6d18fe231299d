//! Sealing under a passphrase: Argon2id (RFC 9106) makes the key, XChaCha20-Poly1305 seals,
//! and the whole header is associated data.
//!
//! What is sealed is padded by its owner to a multiple of [`PADDING`] bytes, so that its
//! length tells little of what is in it.

use crate::describe_errors;
use crate::secret::SecretBytes;
use crate::wire::{DecodeError, Reader, Rule, VERSION, Writer};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::{XChaCha20Poly1305, XNonce, aead::AeadInOut, aead::KeyInit};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// What a guess of a passphrase costs: Argon2id's parameters. Each sealing and each opening costs as much, a fraction of a
/// second by default. Without optimization it is twenty times that: a host that tests with it sets
/// `[profile.dev.package."*"] opt-level = 3`, or takes [`LEAST`](Self::LEAST) in its tests.
///
/// ```
/// use unjoin_core::PassphraseCost;
/// assert_eq!(PassphraseCost::default(), PassphraseCost::new(64 * 1024, 3, 1)?);
/// assert!(PassphraseCost::new(u32::MAX, 1, 1).is_err());
/// # Ok::<(), unjoin_core::PassphraseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PassphraseCost {
    /// The least memory, in KiB.
    pub const MIN_MEMORY_KIB: u32 = 8 * 1024;
    /// The most memory, in KiB: what a strange file can make its reader take.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// The most passes over the memory.
    pub const MAX_PASSES: u32 = 16;
    /// The most lanes. They run one after the other here.
    pub const MAX_LANES: u32 = 4;
    /// The least of all, 8 MiB, 1 pass and 1 lane: for tests and demonstrations. Under a passphrase that a person chose
    /// it protects little.
    pub const LEAST: Self = Self { memory_kib: Self::MIN_MEMORY_KIB, passes: 1, lanes: 1 };

    /// Memory in KiB, passes and lanes.
    ///
    /// # Errors
    /// [`PassphraseError::Cost`] when one is out of its bounds.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, PassphraseError> {
        let fits = (Self::MIN_MEMORY_KIB..=Self::MAX_MEMORY_KIB).contains(&memory_kib)
            && (1..=Self::MAX_PASSES).contains(&passes)
            && (1..=Self::MAX_LANES).contains(&lanes);
        if fits { Ok(Self { memory_kib, passes, lanes }) } else { Err(PassphraseError::Cost) }
    }

    /// The key for this passphrase.
    #[doc(hidden)]
    pub fn key(&self, passphrase: &[u8], salt: &[u8; SALT]) -> Result<SecretBytes<32>, PassphraseError> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| PassphraseError::Cost)?;
        let mut blocks: Zeroizing<Vec<Block>> = Zeroizing::new(Vec::new());
        blocks.try_reserve_exact(params.block_count()).map_err(|_| PassphraseError::Memory)?;
        blocks.resize(params.block_count(), Block::new());
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase, salt, key.as_mut_slice(), blocks.as_mut_slice())
            .map_err(|_| PassphraseError::Cost)?;
        Ok(SecretBytes::new(*key))
    }
}

impl Default for PassphraseCost {
    /// 64 MiB, 3 passes, 1 lane: RFC 9106's second recommendation, in one lane.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

#[doc(hidden)]
pub const SALT: usize = 16;
#[doc(hidden)]
pub const NONCE: usize = 24;
/// Poly1305's tag.
#[doc(hidden)]
pub const TAG: usize = 16;
/// The sealed part is so padded, before its tag.
#[doc(hidden)]
pub const PADDING: usize = 16_384;
/// Version, kind, cost, salt, nonce and length.
#[doc(hidden)]
pub const HEADER: usize = 2 + 3 * 4 + SALT + NONCE + 4;

/// The body of a message that is sealed under a passphrase: `le32(memory in KiB) ||
/// le32(passes) || le32(lanes) || salt (16) || nonce (24) || le32(length) || sealed part`.
/// Seals `plain` with XChaCha20-Poly1305. False for what no message is long enough for: more than 256 GiB.
#[doc(hidden)]
#[must_use]
pub fn seal_in_place(key: &SecretBytes<32>, nonce: &[u8; NONCE], header: &[u8], plain: &mut Vec<u8>) -> bool {
    XChaCha20Poly1305::new(key.expose().into()).encrypt_in_place(&XNonce::from(*nonce), header, plain).is_ok()
}

/// Opens what [`seal_in_place`] sealed. False for another key, nonce or header, and for bytes that were changed: then
/// the buffer is to be dropped.
#[doc(hidden)]
#[must_use]
pub fn open_in_place(
    key: &SecretBytes<32>,
    nonce: &[u8; NONCE],
    header: &[u8],
    sealed: &mut Vec<u8>,
) -> bool {
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt_in_place(&XNonce::from(*nonce), header, sealed)
        .is_ok()
}

#[derive(Clone, PartialEq, Eq)]
#[doc(hidden)]
pub struct Sealed {
    pub cost: PassphraseCost,
    pub salt: [u8; SALT],
    pub nonce: [u8; NONCE],
    pub sealed: Vec<u8>,
}

impl Sealed {
    /// Seals `plain`, which is padded and whose buffer has room for the tag, in place, as a
    /// message of this kind.
    #[doc(hidden)]
    pub fn seal(
        kind: u8,
        mut plain: Zeroizing<Vec<u8>>,
        passphrase: &[u8],
        cost: PassphraseCost,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, PassphraseError> {
        debug_assert!(plain.len().is_multiple_of(PADDING) && plain.capacity() >= plain.len() + TAG);
        if passphrase.is_empty() {
            return Err(PassphraseError::Empty);
        }
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let key = cost.key(passphrase, &salt)?;
        let mut sealed = Self { cost, salt, nonce, sealed: Vec::new() };
        let header = sealed.header(kind, plain.len() + TAG);
        if !seal_in_place(&key, &nonce, &header, &mut plain) {
            return Err(PassphraseError::Size);
        }
        sealed.sealed = core::mem::take(&mut *plain);
        Ok(sealed)
    }

    /// Opens it as a message of this kind.
    #[doc(hidden)]
    pub fn open(&self, kind: u8, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        self.open_with(kind, &self.cost.key(passphrase, &self.salt)?)
    }

    #[doc(hidden)]
    pub fn open_with(&self, kind: u8, key: &SecretBytes<32>) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        let mut plain = Zeroizing::new(self.sealed.clone());
        let opened = open_in_place(key, &self.nonce, &self.header(kind, self.sealed.len()), &mut plain);
        if opened { Ok(plain) } else { Err(PassphraseError::Open) }
    }

    /// Everything before the sealed part, which is `length` bytes long.
    fn header(&self, kind: u8, length: usize) -> Vec<u8> {
        let mut out = Writer::with_capacity(HEADER);
        out.u8(VERSION);
        out.u8(kind);
        self.encode_header(length, &mut out);
        out.finish()
    }

    fn encode_header(&self, length: usize, out: &mut Writer) {
        out.le32(self.cost.memory_kib);
        out.le32(self.cost.passes);
        out.le32(self.cost.lanes);
        out.raw(&self.salt);
        out.raw(&self.nonce);
        out.le32(length as u32);
    }

    #[doc(hidden)]
    pub fn encode(&self, out: &mut Writer) {
        self.encode_header(self.sealed.len(), out);
        out.raw(&self.sealed);
    }

    /// Reads a body whose sealed part has at most `most` bytes.
    #[doc(hidden)]
    pub fn decode(from: &mut Reader<'_>, most: usize) -> Result<Self, DecodeError> {
        let cost = PassphraseCost::new(from.le32("memory")?, from.le32("passes")?, from.le32("lanes")?)
            .map_err(|_| from.refuse(Rule::Value))?;
        let (salt, nonce) = (from.array("salt")?, from.array("nonce")?);
        let sealed = from.long_bytes("sealed part", PADDING + TAG, most)?;
        if sealed.len() % PADDING != TAG {
            return Err(from.refuse(Rule::Length));
        }
        Ok(Self { cost, salt, nonce, sealed: sealed.to_vec() })
    }
}

describe_errors! {
    /// Why something is not sealed, or does not open.
    ///
    /// ```
    /// use unjoin_core::{PassphraseCost, PassphraseError};
    /// // A file that would take all memory of whoever opens it.
    /// assert_eq!(PassphraseCost::new(u32::MAX, 1, 1), Err(PassphraseError::Cost));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum PassphraseError (Host, false) {
        /// The cost is out of its bounds.
        Cost => "passphrase.cost",
            "sealing costs {} to {} KiB, 1 to {} passes and 1 to {} lanes",
            PassphraseCost::MIN_MEMORY_KIB, PassphraseCost::MAX_MEMORY_KIB, PassphraseCost::MAX_PASSES,
            PassphraseCost::MAX_LANES;
        /// The passphrase is empty.
        Empty => "passphrase.empty" (Operator, false), "sealing needs a passphrase: choose one";
        /// There is too little memory for the cost.
        Memory => "passphrase.memory" (Operator, true),
            "too little memory for this cost: free some, or choose a lower cost when sealing";
        /// There is too much to seal.
        Size => "passphrase.size", "this is too much for one sealed file";
        /// It does not open: a wrong passphrase, or bytes that were changed.
        Open => "passphrase.open" (Operator, false), "it does not open: check the passphrase, or use another copy";
    }
}
