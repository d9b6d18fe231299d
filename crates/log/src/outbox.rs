//! The outbox: entries in their final bytes, written by the decision that they record, in
//! the same commit, and waiting for the sequencer.
//!
//! A row's key is the entry's id. So the outbox keeps no order of arrival, and an entry that a retry
//! writes again stays one entry.

use super::rows::Entry;
use unjoin_core::entry::{Ledger, entry_id};
use unjoin_store::{Bucket, Change, Found, Key, Pages, Store, StoreError};

/// The first byte of every outbox key.
const ROOM: u8 = b'o';

fn prefix(ledger: Ledger) -> [u8; 2] {
    [ROOM, ledger as u8]
}

/// Adds an entry to the decision that it records.
#[doc(hidden)]
pub fn put(change: &mut Change, ledger: Ledger, entry: Vec<u8>) {
    let key = [prefix(ledger).as_slice(), &entry_id(&entry)].concat();
    change.put(&Key::new(change.bucket(), key), &Entry(entry));
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

/// What waits in a store, at most `limit` entries, in the order of their buckets.
pub(super) fn waiting(
    store: &dyn Store,
    ledger: Ledger,
    limit: usize,
) -> Result<Vec<Found<Entry>>, StoreError> {
    Ok(Pages::of_all(store, prefix(ledger).to_vec(), limit).next()?.unwrap_or_default())
}
