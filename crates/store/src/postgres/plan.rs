//! What a call locks and writes: the part of a commit that needs no server.

use super::statements::{At, Entry};
use crate::call::stages;
use crate::{Bucket, Commit, Outcome, RowKey, Write};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Keys in order, which is the order of all row locks.
pub(super) type Keys<'a> = BTreeSet<At<'a>>;

/// What the rows held when they were locked. Absent rows are not in it.
pub(super) type Found<'a> = HashMap<At<'a>, Vec<u8>>;

pub(super) fn keys_of_commits<'a>(commits: impl IntoIterator<Item = &'a Commit>) -> Keys<'a> {
    let mut keys = Keys::new();
    for commit in commits {
        keys.extend(commit.preconditions.iter().map(|of| (commit.bucket, of.key())));
        keys.extend(commit.writes.iter().map(|write| (commit.bucket, write.key())));
    }
    keys
}

pub(super) fn keys_of_rows(rows: &[RowKey]) -> Keys<'_> {
    rows.iter().map(|at| (at.bucket, at.key.as_slice())).collect()
}

/// What is written, and what must stay; each list in the order of (bucket, key).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes<'a> {
    /// Rows that were absent.
    pub(super) insert: Vec<Entry<'a>>,
    /// Rows that were absent, and must stay so.
    pub(super) absent: Vec<At<'a>>,
    /// Locked rows that get another value.
    pub(super) replace: Vec<Entry<'a>>,
    /// Locked rows that end.
    pub(super) delete: BTreeMap<Bucket, Vec<&'a [u8]>>,
}

impl Changes<'_> {
    /// How many absent rows are to be held.
    pub(super) fn held(&self) -> usize {
        self.insert.len().saturating_add(self.absent.len())
    }

    /// The advisory locks of the absent rows, in the order of their numbers, which is the order of all of them: held
    /// alone for a row that is inserted, together with others for one that stays absent. `store` sets the locks of one
    /// store apart from another's.
    pub(super) fn locks(&self, store: i64) -> Vec<(i64, bool)> {
        let alone = self.insert.iter().map(|(bucket, key, _)| (lock_of_row(store, *bucket, key), true));
        let shared = self.absent.iter().map(|(bucket, key)| (lock_of_row(store, *bucket, key), false));
        let mut locks = BTreeMap::new();
        for (lock, is_alone) in alone.chain(shared) {
            // Two keys of one number: the stricter is enough for both.
            *locks.entry(lock).or_default() |= is_alone;
        }
        locks.into_iter().collect()
    }
}

/// The number of an absent row's lock. Two rows of one number wait for each other for nothing.
fn lock_of_row(store: i64, bucket: Bucket, key: &[u8]) -> i64 {
    lock_number(&[&store.to_be_bytes(), &bucket.number().to_be_bytes(), key])
}

/// The number of the lock of a whole store, by its schema: all of a database share one space of numbers.
pub(super) fn lock_of_store(schema: &str) -> i64 {
    lock_number(&[b"unjoin store ", schema.as_bytes()])
}

fn lock_number(parts: &[&[u8]]) -> i64 {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = digest.finalize().into();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The outcomes of `commits`, applied in order to `found`, and what is to be written for it. Each
/// comes with its place in the call; what it hangs on and is not among them was applied before.
///
/// Every key that an applied commit names is in `found`, and so locked, or is held as an absent one: nobody
/// else can change it in between, which makes the whole serializable.
pub(super) fn evaluate<'a>(
    commits: impl IntoIterator<Item = (usize, &'a Commit)>,
    found: &'a Found<'a>,
) -> (Vec<Outcome>, Changes<'a>) {
    let mut state: HashMap<At<'_>, Option<&[u8]>> = HashMap::new();
    let mut named = Keys::new();
    let mut outcomes = Vec::new();
    let mut refused = BTreeSet::new();
    for (place, commit) in commits {
        if commit.after.iter().any(|earlier| refused.contains(earlier)) {
            refused.insert(place);
            outcomes.push(Outcome::NotReached);
            continue;
        }
        let row = |key: &'a [u8]| match state.get(&(commit.bucket, key)) {
            Some(value) => *value,
            None => found.get(&(commit.bucket, key)).map(Vec::as_slice),
        };
        if let Some(failed) = commit.preconditions.iter().find(|of| !of.holds(row(of.key()))) {
            refused.insert(place);
            outcomes.push(Outcome::Conflict(failed.key().to_vec()));
            continue;
        }
        named.extend(commit.preconditions.iter().map(|of| (commit.bucket, of.key())));
        for write in &commit.writes {
            named.insert((commit.bucket, write.key()));
            let value = match write {
                Write::Put(_, value) => Some(value.as_slice()),
                Write::Delete(_) => None,
            };
            state.insert((commit.bucket, write.key()), value);
        }
        outcomes.push(Outcome::Committed);
    }
    let mut changes = Changes::default();
    for at in named {
        let (bucket, key) = at;
        let before = found.get(&at).map(Vec::as_slice);
        let after = state.get(&at).copied().unwrap_or(before);
        match (before, after) {
            (None, Some(value)) => changes.insert.push((bucket, key, value)),
            (None, None) => changes.absent.push(at),
            (Some(before), Some(after)) if before != after => changes.replace.push((bucket, key, after)),
            (Some(_), Some(_)) => {}
            (Some(_), None) => changes.delete.entry(bucket).or_default().push(key),
        }
    }
    (outcomes, changes)
}

/// Bytes that one transaction may carry, if it carries more than one commit.
const TRANSACTION_BYTES: usize = 16 << 20;

/// Which commits share a transaction: one bucket's only, or as many as fit. The transactions of a stage
/// may run at the same time, the stages one after the other.
pub(super) fn transactions(
    commits: &[Commit],
    one_bucket_each: bool,
) -> Vec<BTreeMap<Option<Bucket>, Vec<usize>>> {
    stages(commits, |bucket| one_bucket_each.then_some(bucket), TRANSACTION_BYTES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket::of(b"one")
    }

    #[test]
    fn every_absent_key_of_an_applied_commit_is_held() {
        let commits = [
            Commit::new(bucket()).expect(b"only expected", None).put(b"put".to_vec(), b"1".to_vec()),
            Commit::new(bucket()).delete(b"deleted".to_vec()),
            Commit::new(bucket()).expect(b"never", Some(b"x")).put(b"nor this".to_vec(), vec![]),
        ];
        let found = Found::new();
        let (outcomes, changes) = evaluate((0..).zip(&commits), &found);
        assert!(matches!(&outcomes[..], [Outcome::Committed, Outcome::Committed, Outcome::Conflict(_)]));
        assert_eq!(changes.insert, [(bucket(), &b"put"[..], &b"1"[..])]);
        assert_eq!(changes.absent, [(bucket(), &b"deleted"[..]), (bucket(), b"only expected")]);
        assert_eq!((changes.held(), changes.replace.len(), changes.delete.len()), (3, 0, 0));
        let locks = changes.locks(7);
        assert!(locks.is_sorted());
        let alone = locks.iter().filter(|(_, is_alone)| *is_alone).map(|(lock, _)| *lock);
        assert_eq!(alone.collect::<Vec<_>>(), [lock_of_row(7, bucket(), b"put")]);
        assert_eq!(locks.len(), 3);
    }

    /// Two processes that compute them apart must find the same.
    #[test]
    fn a_locks_number_is_fixed_and_another_stores_is_another() {
        assert_eq!(lock_of_store("desk"), 7_428_759_557_754_593_267);
        assert_ne!(lock_of_store("desk"), lock_of_store("issuer"));
        assert_ne!(lock_of_row(1, bucket(), b"key"), lock_of_row(2, bucket(), b"key"));
    }

    #[test]
    fn a_row_that_keeps_its_value_is_not_written() {
        let found = Found::from([((bucket(), &b"key"[..]), b"same".to_vec())]);
        let commits = [
            Commit::new(bucket()).expect(b"key", Some(b"same")).put(b"key".to_vec(), b"other".to_vec()),
            Commit::new(bucket()).put(b"key".to_vec(), b"same".to_vec()),
        ];
        let (_, changes) = evaluate((0..).zip(&commits), &found);
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn transactions_keep_the_order_and_their_bounds() {
        let big = |owner: &[u8]| Commit::new(Bucket::of(owner)).put(vec![], vec![0; 1 << 20]);
        let commits: Vec<Commit> = (0..40u8).map(|i| big(&[i % 2])).collect();
        for one_bucket_each in [false, true] {
            let stages = transactions(&commits, one_bucket_each);
            let groups: Vec<Vec<usize>> = stages.into_iter().flat_map(BTreeMap::into_values).collect();
            let mut places: Vec<usize> = groups.concat();
            for group in &groups {
                assert!(group.is_sorted());
                assert!(group.len() <= TRANSACTION_BYTES >> 20);
                let buckets: BTreeSet<Bucket> = group.iter().map(|at| commits[*at].bucket).collect();
                assert!(!one_bucket_each || buckets.len() == 1);
            }
            for bucket in [Bucket::of(&[0]), Bucket::of(&[1])] {
                let own = places.iter().filter(|at| commits[**at].bucket == bucket);
                assert!(own.is_sorted(), "of one bucket, in order");
            }
            places.sort_unstable();
            assert_eq!(places, (0..40).collect::<Vec<_>>());
        }
        assert_eq!(transactions(&[], true), []);
    }

    /// Of three buckets: a draw and a cover beside each other, then what hangs on both, then what hangs on that.
    #[test]
    fn what_hangs_on_another_buckets_commit_comes_in_a_later_transaction() {
        let [hub, order, number] = [b"hub", b"ord", b"num"].map(|owner| Bucket::of(owner));
        let of = |bucket| Commit::new(bucket).put(vec![], vec![]);
        let commits = [of(hub), of(order), of(number).after(0).after(1), of(order).after(2), of(hub)];
        let stages: Vec<Vec<Vec<usize>>> =
            transactions(&commits, true).into_iter().map(|stage| stage.into_values().collect()).collect();
        let mut first = stages[0].clone();
        first.sort();
        assert_eq!(first, [vec![0, 4], vec![1]]);
        assert_eq!(stages[1..], [vec![vec![2]], vec![vec![3]]]);
        assert_eq!(transactions(&commits, false), [BTreeMap::from([(None, vec![0, 1, 2, 3, 4])])]);
    }

    #[test]
    fn what_hangs_on_a_refused_commit_is_refused_with_it() {
        let refused = Commit::new(bucket()).expect(b"key", Some(b"x"));
        let put = |key: &[u8]| Commit::new(Bucket::of(key)).put(key.to_vec(), vec![]);
        let commits = [put(b"0"), refused, put(b"2").after(0), put(b"3").after(1), put(b"4").after(3)];
        let found = Found::new();
        let (outcomes, changes) = evaluate((0..).zip(&commits), &found);
        let committed: Vec<bool> = outcomes.iter().map(|one| *one == Outcome::Committed).collect();
        assert_eq!(committed, [true, false, true, false, false]);
        assert_eq!(outcomes[3..], [Outcome::NotReached, Outcome::NotReached]);
        assert_eq!(changes.insert.len(), 2);
    }
}
