//! The entry of a mark: how far a platform's stores had come at a boundary.

use crate::algebra::transcript::hash32;
use crate::{message, serde_as_bytes};

/// Kind 55, 42 bytes: a mark of the platform's stores, logged at a boundary.
///
/// It tells nothing about rows: marks advance at every hour and at every opening. Who has the mark finds
/// its entry by [`is_of`](Self::is_of), and nobody else learns the platform's id or the tag.
///
/// ```
/// use unjoin_core::entry::StoreMarkEntry;
/// let entry = StoreMarkEntry::new(&[1; 32], 7, &[2; 16]);
/// assert!(entry.is_of(&[1; 32], &[2; 16]) && !entry.is_of(&[1; 32], &[3; 16]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreMarkEntry {
    /// How often the stores' marks had advanced.
    pub number: u64,
    /// H32("store-mark", platform id, le64 number, tag).
    pub commitment: [u8; 32],
}

impl StoreMarkEntry {
    /// For the platform with this id, whose mark has this number and this tag.
    pub fn new(platform: &[u8; 32], number: u64, tag: &[u8; 16]) -> Self {
        let commitment = hash32("store-mark", &[platform, &number.to_le_bytes(), tag]);
        Self { number, commitment }
    }

    /// Whether it is of this platform and of the mark with this tag.
    #[must_use]
    pub fn is_of(&self, platform: &[u8; 32], tag: &[u8; 16]) -> bool {
        Self::new(platform, self.number, tag) == *self
    }
}

message!(StoreMarkEntry = 55, "store mark entry": number as "number", commitment as "commitment");

serde_as_bytes!(StoreMarkEntry);
