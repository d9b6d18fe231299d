//! A ledger as files.

use crate::world::{entry, log_key, name, open};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use unjoin::ledger::tile::tiles_since;
use unjoin::ledger::{
    DirectoryView, Ledger, Log, LogView, NoteKey, SignedCheckpoint, TileId, ViewError, entry_id, export, tree,
};
use unjoin::secret::SecretBytes;
use unjoin::store::identity::Role;
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin_test_util::{Directory, own};

/// Reads a number of tiles before it fails.
struct Tired<'a>(&'a dyn LogView, std::cell::Cell<usize>);

impl LogView for Tired<'_> {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
        self.0.checkpoint()
    }

    fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
        match self.1.get() {
            0 => Err(ViewError::Source("tired".into())),
            left => {
                self.1.set(left - 1);
                self.0.tile(id)
            }
        }
    }
}

fn check(directory: &Path, entries: &[Vec<u8>]) {
    let view = DirectoryView::new(directory);
    let checkpoint =
        SignedCheckpoint::parse(&view.checkpoint().unwrap().unwrap(), log_key().public()).unwrap();
    let size = checkpoint.size();
    assert_eq!(size, entries.len() as u64);
    assert_eq!(view.entries(0, size).unwrap(), entries);
    let from = size / 3;
    assert_eq!(view.entries(from, size - 1).unwrap(), entries[from as usize..entries.len() - 1]);
    for index in [0, size / 2, size - 1] {
        let entry = &entries[index as usize];
        view.inclusion(index, size).unwrap().verify(entry, checkpoint.root()).unwrap();
        assert_eq!(view.index_of(&entry_id(entry), size).unwrap(), Some(index));
        let leaves: Vec<_> = entries[..index as usize].iter().map(|entry| tree::leaf_hash(entry)).collect();
        view.consistency(index, size).unwrap().verify(&tree::root_of(&leaves), checkpoint.root()).unwrap();
    }
    assert_eq!(view.index_of(&[0; 32], size).unwrap(), None);
    for id in tiles_since(0, size) {
        assert!(directory.join(id.path()).exists(), "{id:?}");
    }
}

#[test]
fn an_export_shows_what_the_ledger_has_and_goes_on_where_it_was() {
    let directory = Directory::new();
    let path = directory.file("ledger");
    let log = open(&Arc::new(MemoryStore::new()), None);
    assert_eq!(export(&log, &path).unwrap(), 0..0);
    let entries: Vec<_> = (0..70_000).map(entry).collect();
    let mut from = 0;
    for to in [1, 255, 256, 300, 66_000, 66_000, 70_000] {
        log.append(&entries[from as usize..to as usize]).unwrap();
        assert!(log.publish(&[]).unwrap().published);
        assert_eq!(export(&log, &path).unwrap(), from..to);
        check(&path, &entries[..to as usize]);
        from = to;
    }
    // What a monitor needs of an old size is there after its partial tiles are gone.
    for id in tiles_since(0, 300).filter(|id| !id.is_full()) {
        fs::remove_file(path.join(id.path())).unwrap();
    }
    let view = DirectoryView::new(&path);
    assert_eq!(view.entries(0, 300).unwrap(), entries[..300]);
    assert_eq!(view.hashes(TileId { level: Some(0), index: 1, width: 44 }).unwrap().len(), 44);
}

#[test]
fn an_interrupted_export_shows_the_old_checkpoint_until_it_is_complete() {
    let directory = Directory::new();
    let path = directory.file("ledger");
    let log = open(&Arc::new(MemoryStore::new()), None);
    let entries: Vec<_> = (0..2_000).map(entry).collect();
    log.append(&entries[..500]).unwrap();
    assert!(log.publish(&[]).unwrap().published);
    export(&log, &path).unwrap();
    log.append(&entries[500..]).unwrap();
    assert!(log.publish(&[]).unwrap().published);
    // Each attempt comes one tile further.
    let mut attempts = 0;
    while let Err(error) = export(&Tired(&log, attempts.into()), &path) {
        assert_eq!(error.code(), "export.log");
        check(&path, &entries[..500]);
        attempts += 1;
    }
    assert!((10..50).contains(&attempts), "{attempts}");
    check(&path, &entries);
}

/// A key that was changed is called that, and not a store that is broken.
#[test]
fn a_ledger_opens_with_the_key_that_signed_it_and_no_other() {
    let store = Arc::new(MemoryStore::new());
    let log = open(&store, None);
    log.append(&[entry(1)]).unwrap();
    assert!(log.publish(&[]).unwrap().published);
    let open_with = |name_: &str, seed: u8| {
        let key = NoteKey::from_secret_bytes(name(name_), &SecretBytes::new([seed; 32]));
        Log::open(own(&store, Role::Ledgers), Ledger::Reviews, key, None).map(|log| log.size().unwrap())
    };
    assert_eq!(open_with("shop.example/reviews", 1).unwrap(), 1);
    for (name, seed) in [("shop.example/reviews", 2), ("shop.example/others", 1)] {
        let error = open_with(name, seed).unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), ("ledger.key", false));
        assert!(error.to_string().contains("key") && !error.to_string().contains("backup"));
    }
    // Not even a checkpoint: that is a broken store.
    let row = store.scan(Bucket::of(&[b'l', 1]), b"lc\x01", None, 1).unwrap().remove(0);
    store.commit(&[Commit::new(Bucket::of(&[b'l', 1])).put(row.key, b"\x01torn".to_vec())]).unwrap();
    assert_eq!(open_with("shop.example/reviews", 1).unwrap_err().code(), "ledger.store");
}
