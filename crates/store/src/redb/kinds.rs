//! Which buckets may have rows of which kind, in memory: a scan looks into no other.
//!
//! A row's kind is the first two bytes of its key; every service has a letter, and one for each kind. This errs on
//! one side only: a row that is there is never denied. What was deleted may go on being told of, until the file is
//! opened again or rewritten.

use super::tables::BUCKET_BYTES;
use crate::{BUCKETS, Bucket};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// A bit for each bucket.
type Buckets = [u64; BUCKETS as usize / u64::BITS as usize];

const ALL: Buckets = [u64::MAX; BUCKETS as usize / u64::BITS as usize];

#[derive(Default)]
pub(super) struct Kinds(RwLock<HashMap<[u8; 2], Buckets>>);

impl Kinds {
    /// A row lies at this address, or will.
    pub(super) fn add(&self, address: &[u8]) {
        let Some((bucket, key)) = address.split_first_chunk::<BUCKET_BYTES>() else { return };
        // A shorter key begins with no prefix that is asked for here.
        let Some(kind) = key.first_chunk() else { return };
        let (word, bit) = place(u16::from_be_bytes(*bucket));
        let has = |buckets: &Buckets| buckets.get(word).is_some_and(|word| word & bit != 0);
        if self.0.read().unwrap_or_else(PoisonError::into_inner).get(kind).is_some_and(has) {
            return;
        }
        let mut kinds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(word) = kinds.entry(*kind).or_default().get_mut(word) {
            *word |= bit;
        }
    }

    /// The buckets that may have rows whose keys begin with `prefix`.
    pub(super) fn of(&self, prefix: &[u8]) -> impl Fn(Bucket) -> bool + use<> {
        let buckets = match prefix.first_chunk::<2>() {
            Some(kind) => {
                let kinds = self.0.read().unwrap_or_else(PoisonError::into_inner);
                kinds.get(kind).copied().unwrap_or_default()
            }
            None => ALL,
        };
        move |bucket| {
            let (word, bit) = place(bucket.number());
            buckets.get(word).is_none_or(|word| word & bit != 0)
        }
    }
}

/// A bucket's word, and its bit there.
fn place(bucket: u16) -> (usize, u64) {
    (usize::from(bucket) / u64::BITS as usize, 1 << (u32::from(bucket) % u64::BITS))
}
