//! Rows as old reviews leave them, put into the store directly.

use indicatif::ProgressBar;
use rand_core::Rng;
use std::collections::BTreeMap;
use unjoin::Name;
use unjoin::secret::SystemRng;
use unjoin::store::{Bucket, Commit, Row, Store};

/// Rows that one commit carries: large enough that syncing does not count.
const AT_ONCE: usize = 20_000;

/// What a real held review left: the row of the merchant's bucket whose key ends with its id.
pub(crate) fn real_row(store: &impl Store, merchant: &Name, review_id: &[u8; 32]) -> Row {
    let bucket = Bucket::of(merchant.as_bytes());
    let rows = store.scan(bucket, b"r", None, 10_000).expect("the store reads");
    rows.into_iter().find(|row| row.key.ends_with(review_id)).expect("the desk stored the review by its id")
}

/// What rows are of.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// What stands before the merchant's name where its bucket is told.
    role: &'static [u8],
    /// The bytes of the random id with which a key ends.
    id: usize,
}

pub(crate) const REVIEWS: Kind = Kind { role: b"", id: 32 };
/// Of the issuer, by their handles.
pub(crate) const ORDERS: Kind = Kind { role: b"im", id: 16 };

impl Kind {
    fn bucket(self, merchant: &Name) -> Bucket {
        Bucket::of(&[self.role, merchant.as_bytes()].concat())
    }
}

/// The longest row of a merchant's bucket whose key begins so: of orders, one that has its grant.
pub(crate) fn longest_row(store: &impl Store, kind: Kind, merchant: &Name, prefix: &[u8]) -> Row {
    let bucket = kind.bucket(merchant);
    let rows = store.scan(bucket, prefix, None, usize::MAX).expect("the store reads");
    rows.into_iter().max_by_key(|row| row.value.len()).expect("there is such a row")
}

/// Puts `count` rows of the shape and size of `like` into the store, spread evenly over
/// `merchants` (of names as long as that of `like`), each under a random id at its
/// key's end, in key order: as the rewrite after a boundary leaves them. Values are random past the first
/// bytes, so that nothing below the store could compress them.
pub(crate) fn fill(
    store: &impl Store,
    like: &Row,
    merchants: &[Name],
    kind: Kind,
    count: usize,
    progress: &ProgressBar,
) {
    let mut rng = SystemRng::new();
    let named = |merchant: &Name, key: &[u8]| {
        key.windows(merchant.as_bytes().len()).position(|part| part == merchant.as_bytes())
    };
    let own = merchants.iter().find_map(|merchant| named(merchant, &like.key));
    let at = own.expect("the key names its merchant");
    let of_merchant = |merchant: &Name| {
        let mut key = like.key.clone();
        key[at..at + merchant.as_bytes().len()].copy_from_slice(merchant.as_bytes());
        key
    };
    let mut by_bucket: BTreeMap<Bucket, Vec<Vec<u8>>> = BTreeMap::new();
    for merchant in merchants {
        by_bucket.entry(kind.bucket(merchant)).or_default().push(of_merchant(merchant));
    }
    let mut left = count;
    let mut merchants_left = merchants.len();
    for (bucket, mut keys) in by_bucket {
        keys.sort();
        let here: usize = keys.iter().map(|_| share(&mut left, &mut merchants_left)).sum();
        let mut rows: Vec<Vec<u8>> = (0..here)
            .map(|row| {
                let mut key = keys[row % keys.len()].clone();
                let id = key.len() - kind.id;
                rng.fill_bytes(&mut key[id..]);
                key
            })
            .collect();
        rows.sort();
        for chunk in rows.chunks(AT_ONCE) {
            let commit = chunk.iter().fold(Commit::new(bucket), |commit, key| {
                let mut value = like.value.clone();
                rng.fill_bytes(&mut value[2..]);
                commit.put(key.clone(), value)
            });
            store.commit(&[commit]).expect("the disk has room");
            progress.inc(chunk.len() as u64);
        }
    }
}

fn share(left: &mut usize, parts: &mut usize) -> usize {
    let own = left.div_ceil((*parts).max(1));
    *left -= own;
    *parts -= 1;
    own
}
