//! Where the desk keeps what: the keys of its rows, and its schedule. Their values are in `values`.
//!
//! Every key begins with the room `r` and a letter; everything of a merchant lies in the
//! merchant's bucket. `scope` and `merchant` stand in their canonical bytes, which no other's
//! begin with.
//!
//! ```text
//! r c scope                         a cohort: its manifest, and which boundaries are sealed
//! r d time (be64) task scope [id]   what is due at a boundary
//! r l merchant id                   a published review
//! r m                               this bucket changed since the store was last rewritten
//! r p                               (one bucket) the boundary after which it was rewritten
//! r r scope id                      a token that is spent, and its review's state
//! r s merchant                      a merchant's rating
//! ```
//!
//! No row holds a time but boundaries, and no order of arrival. The row of a review that
//! came before its cohort's manifest has, once published, the same bytes as one that came
//! after.

use super::values::FORMAT;
use crate::name::Name;
use crate::store::{Bucket, RowKey, StoreError};
use crate::time::Timestamp;
use crate::token::{ReviewId, Scope};
use crate::wire::{DecodeError, Reader, Rule, Writer};

const ROOM: u8 = b'r';

// --- keys -------------------------------------------------------------------------------

/// Where everything of a merchant lies.
pub(super) fn bucket(merchant: &Name) -> Bucket {
    Bucket::of(merchant.as_bytes())
}

fn key(letter: u8, rest: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(ROOM);
    out.u8(letter);
    rest(&mut out);
    out.finish()
}

fn of_scope(letter: u8, scope: &Scope, id: Option<&ReviewId>) -> Vec<u8> {
    key(letter, |out| {
        scope.encode(out);
        id.into_iter().for_each(|id| out.raw(id.as_bytes()));
    })
}

fn of_merchant(letter: u8, merchant: &Name, id: Option<&ReviewId>) -> Vec<u8> {
    key(letter, |out| {
        merchant.encode(out);
        id.into_iter().for_each(|id| out.raw(id.as_bytes()));
    })
}

/// A cohort's row.
pub(super) fn cohort(scope: &Scope) -> RowKey {
    RowKey { bucket: bucket(scope.merchant()), key: of_scope(b'c', scope, None) }
}

/// A review's row.
pub(super) fn review(scope: &Scope, id: &ReviewId) -> RowKey {
    RowKey { bucket: bucket(scope.merchant()), key: of_scope(b'r', scope, Some(id)) }
}

/// What the keys of all reviews of a cohort begin with.
pub(super) fn reviews_of(scope: &Scope) -> Vec<u8> {
    of_scope(b'r', scope, None)
}

/// A published review's row.
pub(super) fn listed(merchant: &Name, id: &ReviewId) -> RowKey {
    RowKey { bucket: bucket(merchant), key: of_merchant(b'l', merchant, Some(id)) }
}

/// What the keys of all published reviews of a merchant begin with.
pub(super) fn listing_of(merchant: &Name) -> Vec<u8> {
    of_merchant(b'l', merchant, None)
}

/// A merchant's rating.
pub(super) fn rating(merchant: &Name) -> RowKey {
    RowKey { bucket: bucket(merchant), key: of_merchant(b's', merchant, None) }
}

/// The mark that a bucket changed since the store was last rewritten.
pub(super) fn mark(bucket: Bucket) -> RowKey {
    RowKey { bucket, key: key(b'm', |_| ()) }
}

/// The boundary after which the store was last rewritten: one row of the whole store.
pub(super) fn rewritten() -> RowKey {
    RowKey { bucket: Bucket::of(b""), key: key(b'p', |_| ()) }
}

/// The review id that a key of a review or a listing ends with.
pub(super) fn id_of(key: &[u8]) -> Result<ReviewId, StoreError> {
    key.last_chunk().copied().map(ReviewId).ok_or(StoreError::Corrupt("review key"))
}

// --- what is due ------------------------------------------------------------------------

/// What is to be done at a boundary. In the order in which one boundary does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Publish what a cohort holds for this boundary.
    Publish,
    /// Apply what waits with a review.
    Apply(ReviewId),
    /// Erase a cohort's escrows.
    Erase,
    /// Prune a cohort's spent tokens.
    Prune,
}

/// A row of the schedule; all of it is in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) time: Timestamp,
    pub(super) task: Task,
    pub(super) scope: Scope,
}

/// The value of every row of the schedule.
pub(super) const DUE_VALUE: &[u8] = &[FORMAT];

/// What the keys of the schedule begin with.
pub(super) fn schedule() -> Vec<u8> {
    key(b'd', |_| ())
}

impl Due {
    pub(super) fn key(&self) -> Vec<u8> {
        key(b'd', |out| {
            out.raw(&self.time.as_unix_seconds().to_be_bytes());
            out.u8(match self.task {
                Task::Publish => 1,
                Task::Apply(_) => 2,
                Task::Erase => 3,
                Task::Prune => 4,
            });
            self.scope.encode(out);
            if let Task::Apply(id) = self.task {
                out.raw(id.as_bytes());
            }
        })
    }

    pub(super) fn row_key(&self) -> RowKey {
        RowKey { bucket: bucket(self.scope.merchant()), key: self.key() }
    }

    pub(super) fn from_key(key: &[u8]) -> Result<Self, StoreError> {
        let mut from = Reader::new(key, "schedule key");
        let decoded = (|| {
            let _room: [u8; 2] = from.array("room")?;
            let time = Timestamp::from_unix_seconds(u64::from_be_bytes(from.array("time")?));
            let task = from.u8("task")?;
            let scope = Scope::decode(&mut from)?;
            let task = match task {
                1 => Task::Publish,
                2 => Task::Apply(ReviewId(from.array("review id")?)),
                3 => Task::Erase,
                4 => Task::Prune,
                _ => return Err(from.refuse(Rule::Value)),
            };
            from.end()?;
            Ok::<_, DecodeError>(Self { time, task, scope })
        })();
        decoded.map_err(|_| StoreError::Corrupt("schedule key"))
    }
}
