//! The entry of a recovery: a platform goes on from an older copy of a store, and says so.

use super::signed::{SignedEntry, checked_with_a_key_of_the_staffs, signed_message};
use crate::token::{SignError, StaffKey};
use crate::{one_byte, serde_as_bytes};

/// Which store was put back.
///
/// ```
/// # use unjoin_core::{secret::SystemRng, token::StaffKey};
/// use unjoin_core::entry::{RecoveredEntry, RecoveredStore};
/// # let (operator, origin) = (StaffKey::generate(&mut SystemRng::new()), "shop.example/reviews");
/// let entry = RecoveredEntry::sign(&operator, origin, RecoveredStore::Orders, 2, 0, "disk lost")?;
/// assert_eq!(entry.store(), RecoveredStore::Orders);
/// # Ok::<(), unjoin_core::token::SignError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecoveredStore {
    /// The order service's.
    Orders = 1,
    /// The review service's: what was promised in an earlier era, and is not in the ledger, is lost.
    Reviews = 2,
}

one_byte!(RecoveredStore: Orders, Reviews);

/// Kind 54, at most 593 bytes: an older copy of a store was put back, and a new era begins. It is
/// signed by the key of whoever of the platform's staff did it.
///
/// ```
/// use unjoin_core::entry::{RecoveredEntry, RecoveredStore};
/// use unjoin_core::{secret::SystemRng, token::StaffKey};
/// let (operator, origin) = (StaffKey::generate(&mut SystemRng::new()), "shop.example/reviews");
/// let entry = RecoveredEntry::sign(&operator, origin, RecoveredStore::Reviews, 2, 417, "disk lost")?;
/// assert!(entry.verify(origin).is_ok());
/// // Receipts of era 1 are excused, and what was done after mark 417 may be lost.
/// assert_eq!((entry.era(), entry.last_mark()), (2, 417));
/// # Ok::<(), unjoin_core::token::SignError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredEntry {
    store: RecoveredStore,
    era: u32,
    last_mark: u64,
    grounds: String,
    staff_key: [u8; 32],
    signature: [u8; 64],
}

impl RecoveredEntry {
    /// Signs a recovery of `store`, with which `era` begins (2 or more), for the reviews ledger with
    /// this origin. `last_mark` is the number of the last mark that the copy has; 0 if it has none.
    ///
    /// # Errors
    /// [`SignError`]: [`SignError::Limits`] when the era is the first one, or the grounds are empty or longer than
    /// [`RecoveredEntry::MAX_GROUNDS`].
    pub fn sign(
        key: &StaffKey,
        origin: &str,
        store: RecoveredStore,
        era: u32,
        last_mark: u64,
        grounds: &str,
    ) -> Result<Self, SignError> {
        let unsigned = Self {
            store,
            era,
            last_mark,
            grounds: grounds.to_owned(),
            staff_key: *key.public().as_bytes(),
            signature: [0; 64],
        };
        unsigned.signed_with(key.signer(), origin)
    }

    crate::getters! {
        /// Which store was put back.
        pub store -> RecoveredStore;
        /// The era that begins with it.
        pub era -> u32;
        /// The number of the last mark that the copy has: what was done after it may be lost.
        pub last_mark -> u64;
    }
}

signed_message!(RecoveredEntry = 54, "recovered entry", "recovered":
    store as "store",
    era as "era",
    last_mark as "last mark",
    grounds as "grounds" of(1..=Self::MAX_GROUNDS),
    staff_key as "staff key";
    if |entry| entry.era >= 2);
checked_with_a_key_of_the_staffs!(RecoveredEntry);

serde_as_bytes!(RecoveredEntry);
