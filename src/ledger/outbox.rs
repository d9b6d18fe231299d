//! The outbox: entries in their final bytes, written by the decision that they record, in
//! the same commit, and waiting for the sequencer.
//!
//! A row's key is the entry's id, so the outbox keeps no order of arrival and an entry
//! that is written again by a retry stays one entry.

use super::{Ledger, entry_id};
use crate::store::{Bucket, Change, Commit, Key, Record, Row, Store, StoreError};
use crate::wire::{DecodeError, Reader, Writer};

/// The first byte of every outbox key.
const ROOM: u8 = b'o';

fn prefix(ledger: Ledger) -> [u8; 2] {
    [ROOM, ledger as u8]
}

/// An entry that waits, in its final bytes.
struct Waiting(Vec<u8>);

impl Record for Waiting {
    const NAME: &'static str = "waiting entry";

    fn encode(&self, out: &mut Writer) {
        out.raw(&self.0);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.rest("entry").to_vec()))
    }

    /// The entry begins with a version of its own.
    fn to_value(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_value(value: &[u8]) -> Result<Self, StoreError> {
        Ok(Self(value.to_vec()))
    }
}

/// Adds an entry to the decision that it records.
pub(crate) fn put(change: &mut Change, ledger: Ledger, entry: Vec<u8>) {
    let key = [prefix(ledger).as_slice(), &entry_id(&entry)].concat();
    change.put(&Key::new(change.bucket(), key), &Waiting(entry));
}

/// Adds an entry to the decision that it records.
pub(crate) fn append(commit: Commit, ledger: Ledger, entry: Vec<u8>) -> Commit {
    let mut key = prefix(ledger).to_vec();
    key.extend_from_slice(&entry_id(&entry));
    commit.put(key, entry)
}

/// At most `limit` waiting entries of one bucket, in the order of their ids.
///
/// # Errors
/// The store's.
pub fn waiting_entries<S: Store + ?Sized>(
    store: &S,
    bucket: Bucket,
    ledger: Ledger,
    limit: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows = store.scan(bucket, &prefix(ledger), None, limit)?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

/// The buckets of a store in which entries wait, with at most `limit` of them in all.
pub(super) fn waiting(
    store: &dyn Store,
    ledger: Ledger,
    limit: usize,
) -> impl Iterator<Item = Result<(Bucket, Vec<Row>), StoreError>> {
    let mut left = limit;
    Bucket::all().filter_map(move |bucket| {
        if left == 0 {
            return None;
        }
        match store.scan(bucket, &prefix(ledger), None, left) {
            Ok(found) if found.is_empty() => None,
            Ok(found) => {
                left = left.saturating_sub(found.len());
                Some(Ok((bucket, found)))
            }
            Err(error) => Some(Err(error)),
        }
    })
}
