//! A ledger's stores, and one that fails when it is told to.

use std::sync::{Arc, Mutex};
use unjoin::ledger::{KeyName, Ledger, Log, LogView, NoteKey, WitnessPolicy, entry_id, tree};
use unjoin::secret::SecretBytes;
use unjoin::store::{Bucket, Commit, Outcome, Row, RowKey, Store, StoreError};

pub(crate) const LEDGER: Ledger = Ledger::Reviews;

/// How a commit call fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    /// Nothing is applied.
    Before,
    /// The first half of the call's commits are applied.
    Halfway,
    /// Everything is applied and the answer is lost.
    Lost,
}

/// A store that fails one commit call, or lets something else happen before one.
pub(crate) struct Failing<S> {
    pub(crate) rows: S,
    plan: Mutex<Option<(usize, Failure)>>,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// The keys of the last call's preconditions.
    pub(crate) expected: Mutex<Vec<Vec<u8>>>,
}

impl<S> Failing<S> {
    pub(crate) fn new(rows: S) -> Self {
        Self { rows, plan: Mutex::new(None), meanwhile: Mutex::new(None), expected: Mutex::default() }
    }

    /// Fails the commit call after `after` further ones, once.
    pub(crate) fn fail(&self, after: usize, failure: Failure) {
        *self.plan.lock().unwrap() = Some((after, failure));
    }

    /// Does this before the next commit.
    pub(crate) fn meanwhile(&self, call: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(call));
    }
}

impl<S: Store> Store for Failing<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.rows.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.rows.scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let expected = commits.iter().flat_map(|commit| &commit.preconditions);
        *self.expected.lock().unwrap() = expected.map(|expected| expected.key().to_vec()).collect();
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(call) = meanwhile {
            call();
        }
        let mut plan = self.plan.lock().unwrap();
        let applied = match plan.take() {
            None => return self.rows.commit(commits),
            Some((0, Failure::Before)) => 0,
            Some((0, Failure::Halfway)) => commits.len() / 2,
            Some((0, Failure::Lost)) => commits.len(),
            Some((after, failure)) => {
                *plan = Some((after - 1, failure));
                return self.rows.commit(commits);
            }
        };
        self.rows.commit(&commits[..applied])?;
        Err(StoreError::engine("a planned failure"))
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.rows.rewrite()
    }
}

pub(crate) fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

pub(crate) fn log_key() -> NoteKey {
    NoteKey::from_secret_bytes(name("shop.example/reviews"), &SecretBytes::new([1; 32]))
}

pub(crate) fn open<S: Store>(store: &Arc<S>, policy: Option<WitnessPolicy>) -> Log<S> {
    Log::open(Arc::clone(store), LEDGER, log_key(), policy).unwrap()
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
