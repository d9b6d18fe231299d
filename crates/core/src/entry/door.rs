//! The entry of a key of the anonymous door: what makes it one and the same for everybody.

use super::signed::{SignedEntry as _, checked_with_the_platforms_key, signed_message};
use crate::serde_as_bytes;
use crate::token::{PlatformKey, SignError};
use crate::{Grid, Timestamp};

/// Kind 56, 116 bytes: what devices encapsulate their questions to (RFC 9458) from one boundary to another, and into
/// how many shards its bundles are cut.
///
/// Whoever gives each device a key of its own knows each device again. So a key counts when everybody sees
/// it: standing in the reviews ledger, under a cosigned checkpoint, at most
/// [`MAX_AT_ONCE`](Self::MAX_AT_ONCE) at a time. The platform's signature keeps others from adding keys,
/// and is no reason to believe one.
///
/// ```
/// # use unjoin_core::{Grid, Timestamp, WEEK};
/// # use unjoin_core::entry::DoorKeyEntry;
/// # use unjoin_core::token::PlatformKey;
/// # use unjoin_core::secret::SecretBytes;
/// # let platform_key = PlatformKey::from_secret_bytes(&SecretBytes::new([7; 32]));
/// let monday = Grid::Weekly.next_after(Timestamp::from_unix_seconds(1_700_000_000));
/// let until = Grid::Weekly.nth_after(monday, 2);
/// let entry = DoorKeyEntry::sign(&platform_key, "shop.example/reviews", 9, [4; 32], 0, monday..until).unwrap();
/// assert!(entry.verify(&platform_key.public(), "shop.example/reviews").is_ok());
/// assert!(entry.is_on(Grid::Weekly) && entry.holds_at(monday.saturating_add(WEEK)) && !entry.holds_at(until));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorKeyEntry {
    key_id: u8,
    public_key: [u8; 32],
    shard_bits: u8,
    from: Timestamp,
    until: Timestamp,
    signature: [u8; 64],
}

impl DoorKeyEntry {
    /// So many keys hold at once, at most: the present one, and the one before or after it.
    pub const MAX_AT_ONCE: usize = 2;
    /// Bundles are cut into 2^16 shards at most.
    pub const MAX_SHARD_BITS: u8 = 16;

    /// Signs the entry of an X25519 key, for the reviews ledger with this origin.
    ///
    /// # Errors
    /// [`SignError::Limits`] if it never holds, or has more shard bits than
    /// [`MAX_SHARD_BITS`](Self::MAX_SHARD_BITS); others from a key that the host's key management holds.
    pub fn sign(
        platform: &PlatformKey,
        origin: &str,
        key_id: u8,
        public_key: [u8; 32],
        shard_bits: u8,
        valid: core::ops::Range<Timestamp>,
    ) -> Result<Self, SignError> {
        let (from, until) = (valid.start, valid.end);
        Self { key_id, public_key, shard_bits, from, until, signature: [0; 64] }
            .signed_with(platform.signer(), origin)
    }

    crate::getters! {
        /// The key's id, which requests name.
        pub key_id -> u8;
        /// The X25519 public key, 32 bytes.
        pub public_key -> &[u8; 32];
        /// Bundles are cut by so many leading bits of a hash.
        pub shard_bits -> u8;
        /// The boundary from which it holds.
        pub from -> Timestamp;
        /// The boundary at which it has ended.
        pub until -> Timestamp;
    }

    /// Whether the key holds at this time.
    #[must_use]
    pub fn holds_at(&self, time: Timestamp) -> bool {
        self.from <= time && time < self.until
    }

    /// Whether it holds between two boundaries of this grid: a date of its own is a mark.
    #[must_use]
    pub fn is_on(&self, grid: Grid) -> bool {
        [self.from, self.until].into_iter().all(|date| grid.at_or_before(date) == Some(date))
    }
}

signed_message!(DoorKeyEntry = 56, "door key entry", "door-key":
    key_id as "key id",
    public_key as "public key",
    shard_bits as "shard bits",
    from as "from",
    until as "until";
    if |entry| entry.from < entry.until && entry.shard_bits <= Self::MAX_SHARD_BITS);
checked_with_the_platforms_key!(DoorKeyEntry);

serde_as_bytes!(DoorKeyEntry);
