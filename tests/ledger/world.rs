//! A ledger, and what is checked of it.

use std::sync::Arc;
use unjoin::ledger::{KeyName, Ledger, Log, LogView, NoteKey, WitnessPolicy, entry_id, tree};
use unjoin::secret::SecretBytes;
use unjoin::store::identity::Role;
use unjoin::store::{Bucket, Commit, Store};
use unjoin_test_util::own;

pub(crate) const LEDGER: Ledger = Ledger::Reviews;

pub(crate) fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

pub(crate) fn log_key() -> NoteKey {
    NoteKey::from_secret_bytes(name("shop.example/reviews"), &SecretBytes::new([1; 32]))
}

pub(crate) fn open<S: Store>(store: &Arc<S>, policy: Option<WitnessPolicy>) -> Log<S> {
    Log::open(own(store, Role::Ledgers), LEDGER, log_key(), policy).unwrap()
}

/// As a service does it, in the commit of its decision.
pub(crate) fn put_into_outbox<S: Store>(store: &S, owner: &[u8], entry: &[u8]) {
    let key = [&[b'o', LEDGER as u8], entry_id(entry).as_slice()].concat();
    store.commit(&[Commit::new(Bucket::of(owner)).put(key, entry.to_vec())]).unwrap();
}

pub(crate) fn waiting<S: Store>(store: &S) -> usize {
    let found = Bucket::all().map(|bucket| store.scan(bucket, &[b'o', LEDGER as u8], None, 1 << 20).unwrap());
    found.map(|rows| rows.len()).sum()
}

pub(crate) fn entry(number: u64) -> Vec<u8> {
    [&[1u8, 16], number.to_le_bytes().as_slice()].concat()
}

/// All entries, after everything that a ledger says of them was checked.
pub(crate) fn checked_entries<S: Store>(log: &Log<S>) -> Vec<Vec<u8>> {
    let size = log.size().unwrap();
    let entries = log.entries(0, size).unwrap();
    assert_eq!(entries.len() as u64, size);
    let leaves: Vec<_> = entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
    let root = tree::root_of(&leaves);
    if size > 0 {
        let signed = log.sign().unwrap();
        assert_eq!((signed.size(), *signed.root()), (size, root));
    }
    for index in [0, size / 3, size.saturating_sub(1)].into_iter().filter(|index| *index < size) {
        let entry = &entries[index as usize];
        log.inclusion(index, size).unwrap().verify(entry, &root).unwrap();
        let old = tree::root_of(&leaves[..index as usize]);
        log.consistency(index, size).unwrap().verify(&old, &root).unwrap();
        assert_eq!(log.index_of(&entry_id(entry), size).unwrap(), Some(index));
    }
    entries
}
