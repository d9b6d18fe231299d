//! What a call locks and writes: the part of a commit that needs no server.

use crate::call::stages;
use crate::{Bucket, Commit, Outcome, Precondition, RowKey, Write};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Keys by bucket; both in order, which is the order of all locks.
pub(super) type Keys<'a> = BTreeMap<Bucket, BTreeSet<&'a [u8]>>;

/// What the rows held when they were locked. Absent rows are not in it.
pub(super) type Found<'a> = HashMap<(Bucket, &'a [u8]), Vec<u8>>;

pub(super) fn keys_of_commits<'a>(commits: impl IntoIterator<Item = &'a Commit>) -> Keys<'a> {
    let mut keys = Keys::new();
    for commit in commits {
        let own = keys.entry(commit.bucket).or_default();
        own.extend(commit.preconditions.iter().map(Precondition::key));
        own.extend(commit.writes.iter().map(Write::key));
    }
    keys
}

pub(super) fn keys_of_rows(rows: &[RowKey]) -> Keys<'_> {
    let mut keys = Keys::new();
    for at in rows {
        keys.entry(at.bucket).or_default().insert(&at.key);
    }
    keys
}

/// One bucket's writes; each list in the keys' order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes<'a> {
    /// Rows that were absent: inserting them is what locks them. Those that stay absent are
    /// inserted too, and deleted.
    pub(super) insert: Vec<(&'a [u8], &'a [u8])>,
    /// Locked rows that get another value.
    pub(super) replace: Vec<(&'a [u8], &'a [u8])>,
    /// Locked or inserted rows that end.
    pub(super) delete: Vec<&'a [u8]>,
}

/// The outcomes of `commits`, applied in order to `found`, and what is to be written for it. Each
/// comes with its place in the call; what it hangs on and is not among them was applied before.
///
/// Every key that an applied commit names is in `found`, and so locked, or is inserted: nobody
/// else can have read or changed it in between, which makes the whole serializable.
pub(super) fn evaluate<'a>(
    commits: impl IntoIterator<Item = (usize, &'a Commit)>,
    found: &'a Found<'a>,
) -> (Vec<Outcome>, BTreeMap<Bucket, Changes<'a>>) {
    let mut state: HashMap<(Bucket, &[u8]), Option<&[u8]>> = HashMap::new();
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
        let own = named.entry(commit.bucket).or_default();
        own.extend(commit.preconditions.iter().map(Precondition::key));
        for write in &commit.writes {
            own.insert(write.key());
            let value = match write {
                Write::Put(_, value) => Some(value.as_slice()),
                Write::Delete(_) => None,
            };
            state.insert((commit.bucket, write.key()), value);
        }
        outcomes.push(Outcome::Committed);
    }
    let mut changes = BTreeMap::<Bucket, Changes<'a>>::new();
    for (bucket, keys) in named {
        let own = changes.entry(bucket).or_default();
        for key in keys {
            let before = found.get(&(bucket, key)).map(Vec::as_slice);
            let after = state.get(&(bucket, key)).copied().unwrap_or(before);
            match (before, after) {
                (None, Some(value)) => own.insert.push((key, value)),
                (None, None) => {
                    own.insert.push((key, b""));
                    own.delete.push(key);
                }
                (Some(before), Some(after)) if before != after => own.replace.push((key, after)),
                (Some(_), Some(_)) => {}
                (Some(_), None) => own.delete.push(key),
            }
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
    fn every_absent_key_of_an_applied_commit_is_inserted() {
        let commits = [
            Commit::new(bucket()).expect(b"only expected", None).put(b"put".to_vec(), b"1".to_vec()),
            Commit::new(bucket()).delete(b"deleted".to_vec()),
            Commit::new(bucket()).expect(b"never", Some(b"x")).put(b"nor this".to_vec(), vec![]),
        ];
        let found = Found::new();
        let (outcomes, changes) = evaluate((0..).zip(&commits), &found);
        assert!(matches!(&outcomes[..], [Outcome::Committed, Outcome::Committed, Outcome::Conflict(_)]));
        let own = &changes[&bucket()];
        let inserted: Vec<&[u8]> = own.insert.iter().map(|(key, _)| *key).collect();
        assert_eq!(inserted, [&b"deleted"[..], b"only expected", b"put"]);
        assert_eq!(own.delete, [&b"deleted"[..], b"only expected"]);
        assert_eq!(own.replace, []);
    }

    #[test]
    fn a_row_that_keeps_its_value_is_not_written() {
        let found = Found::from([((bucket(), &b"key"[..]), b"same".to_vec())]);
        let commits = [
            Commit::new(bucket()).expect(b"key", Some(b"same")).put(b"key".to_vec(), b"other".to_vec()),
            Commit::new(bucket()).put(b"key".to_vec(), b"same".to_vec()),
        ];
        let (_, changes) = evaluate((0..).zip(&commits), &found);
        assert_eq!(changes[&bucket()], Changes::default());
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
        assert_eq!(changes.values().flat_map(|own| &own.insert).count(), 2);
    }
}
