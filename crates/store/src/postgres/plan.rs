//! What a call locks and writes: the part of a commit that needs no server.

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

/// The outcomes of `commits`, applied in order to `found`, and what is to be written for it.
///
/// Every key that an applied commit names is in `found`, and so locked, or is inserted: nobody
/// else can have read or changed it in between, which makes the whole serializable.
pub(super) fn evaluate<'a>(
    commits: impl IntoIterator<Item = &'a Commit>,
    found: &'a Found<'a>,
) -> (Vec<Outcome>, BTreeMap<Bucket, Changes<'a>>) {
    let mut state: HashMap<(Bucket, &[u8]), Option<&[u8]>> = HashMap::new();
    let mut named = Keys::new();
    let mut outcomes = Vec::new();
    for commit in commits {
        let row = |key: &'a [u8]| match state.get(&(commit.bucket, key)) {
            Some(value) => *value,
            None => found.get(&(commit.bucket, key)).map(Vec::as_slice),
        };
        if let Some(failed) = commit.preconditions.iter().find(|of| !of.holds(row(of.key()))) {
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

/// Which commits share a transaction, by their places in the call and in its order: one bucket's
/// only, or as many as fit.
pub(super) fn transactions(commits: &[Commit], one_bucket_each: bool) -> Vec<Vec<usize>> {
    let mut done = Vec::new();
    let mut open = BTreeMap::<Option<Bucket>, (usize, Vec<usize>)>::new();
    for (place, commit) in commits.iter().enumerate() {
        let (bytes, group) = open.entry(one_bucket_each.then_some(commit.bucket)).or_default();
        let more = bytes_of(commit);
        if bytes.saturating_add(more) > TRANSACTION_BYTES && !group.is_empty() {
            done.push(std::mem::take(group));
            *bytes = 0;
        }
        *bytes = bytes.saturating_add(more);
        group.push(place);
    }
    done.extend(open.into_values().map(|(_, group)| group).filter(|group| !group.is_empty()));
    done
}

fn bytes_of(commit: &Commit) -> usize {
    let keys = commit.preconditions.iter().map(|of| of.key().len());
    let writes = commit.writes.iter().map(|write| match write {
        Write::Put(key, value) => key.len().saturating_add(value.len()),
        Write::Delete(key) => key.len(),
    });
    keys.chain(writes).fold(0, usize::saturating_add)
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
        let (outcomes, changes) = evaluate(&commits, &found);
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
        let (_, changes) = evaluate(&commits, &found);
        assert_eq!(changes[&bucket()], Changes::default());
    }

    #[test]
    fn transactions_keep_the_order_and_their_bounds() {
        let big = |owner: &[u8]| Commit::new(Bucket::of(owner)).put(vec![], vec![0; 1 << 20]);
        let commits: Vec<Commit> = (0..40u8).map(|i| big(&[i % 2])).collect();
        for one_bucket_each in [false, true] {
            let groups = transactions(&commits, one_bucket_each);
            let mut places: Vec<usize> = groups.concat();
            for group in &groups {
                assert!(group.is_sorted());
                assert!(group.iter().map(|at| bytes_of(&commits[*at])).sum::<usize>() <= TRANSACTION_BYTES);
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
        assert_eq!(transactions(&[], true), Vec::<Vec<usize>>::new());
    }
}
