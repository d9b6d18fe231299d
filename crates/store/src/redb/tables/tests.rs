//! Both tables together are one: whatever is settled, and when.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

use super::*;
use crate::{MemoryStore, Store};
use proptest::prelude::*;
use redb::Builder;
use redb::backends::InMemoryBackend;

fn database() -> Database {
    Builder::new().create_with_backend(InMemoryBackend::new()).unwrap()
}

fn tables() -> Tables {
    Tables::create(database(), Syncs::default()).unwrap()
}

fn copied(old: &Tables, copying: Copying) -> Tables {
    let mut fresh = tables();
    old.copy_into(&mut fresh, copying).unwrap();
    fresh
}

fn all(prefix: &[u8]) -> Sought<'_> {
    Sought { prefix, before: None, after: None, limit: usize::MAX }
}

/// As a process that starts again finds them.
fn opened_again(tables: Tables) -> Tables {
    Tables::open(tables.database, Syncs::default()).unwrap()
}

fn lengths(tables: &Tables) -> (u64, u64) {
    let Both { recent, settled } = tables.both().unwrap();
    (recent.len().unwrap(), settled.len().unwrap())
}

fn bucket() -> Bucket {
    Bucket::of(b"merchant 17")
}

fn put(key: &[u8], value: &[u8]) -> Commit {
    Commit::new(bucket()).put(key.to_vec(), value.to_vec())
}

fn at(key: &[u8]) -> RowKey {
    RowKey { bucket: bucket(), key: key.to_vec() }
}

#[derive(Clone, Debug)]
enum Op {
    /// The row must be there, or must not, or may.
    Put(u8, Vec<u8>, Option<bool>),
    Delete(u8),
    Copy(bool),
    OpenAgain,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let value = || prop::collection::vec(any::<u8>(), 0..9);
    let op = prop_oneof![
        5 => (0u8..12, value(), any::<Option<bool>>()).prop_map(|(key, value, there)| Op::Put(key, value, there)),
        3 => (0u8..12).prop_map(Op::Delete),
        2 => any::<bool>().prop_map(Op::Copy),
        1 => Just(Op::OpenAgain),
    ];
    prop::collection::vec(op, 0..40)
}

proptest! {
    /// Against one map, in any history of commits, rewrites, repairs and openings.
    #[test]
    fn the_tables_together_are_one_map(ops in ops(), after in 0u8..12, limit in 0usize..6) {
        let (mut tables, plain) = (tables(), MemoryStore::new());
        for op in ops {
            match op {
                Op::Put(key, value, there) => {
                    let read = plain.read(&[at(&[key])]).unwrap().remove(0);
                    let mut commit = put(&[key], &value);
                    if let Some(there) = there {
                        commit = commit.expect(&[key], if there { read.as_deref().or(Some(b"another")) } else { None });
                    }
                    let commits = [commit];
                    prop_assert!(tables.commit(&commits).unwrap() == plain.commit(&commits).unwrap());
                }
                Op::Delete(key) => {
                    let commit = Commit::new(bucket()).delete(vec![key]);
                    let commits = [commit];
                    prop_assert!(tables.commit(&commits).unwrap() == plain.commit(&commits).unwrap());
                }
                Op::Copy(true) => {
                    tables = copied(&tables, Copying::Rewrite);
                    let rows = plain.scan(bucket(), b"", None, usize::MAX).unwrap().len() as u64;
                    prop_assert_eq!(lengths(&tables), (0, rows));
                }
                Op::Copy(false) => {
                    let before = lengths(&tables);
                    tables = copied(&tables, Copying::AsTheyAre);
                    prop_assert_eq!(lengths(&tables), before);
                }
                Op::OpenAgain => tables = opened_again(tables),
            }
            let all: Vec<RowKey> = (0..12).map(|key| at(&[key])).collect();
            prop_assert!(tables.read(&all).unwrap() == plain.read(&all).unwrap());
            for (after, limit) in [(None, usize::MAX), (Some(&[after][..]), limit)] {
                let from = after.map(at);
                let found = tables.scan(Some(bucket()), Sought { prefix: b"", before: None, after: from.as_ref(), limit }).unwrap();
                let found: Vec<Row> = found.into_iter().map(|(_, row)| row).collect();
                prop_assert!(found == plain.scan(bucket(), b"", after, limit).unwrap());
            }
            let mut shown = Vec::new();
            tables.snapshot(&mut |_, key, value| { shown.push((key.to_vec(), value.to_vec())); Ok(()) }).unwrap();
            let rows = plain.scan(bucket(), b"", None, usize::MAX).unwrap();
            prop_assert_eq!(shown, rows.into_iter().map(|row| (row.key, row.value)).collect::<Vec<_>>());
        }
    }
}

/// An author who gave in changed a settled row. Nobody may tell by the time that a read takes.
#[test]
fn a_settled_row_is_read_alike_whether_it_was_changed_since_or_not() {
    let tables = tables();
    for key in [b"same", b"edit", b"gone"] {
        tables.commit(&[put(key, b"words")]).unwrap();
    }
    let tables = copied(&tables, Copying::Rewrite);
    tables.commit(&[put(b"edit", b"other"), Commit::new(bucket()).delete(b"gone".to_vec())]).unwrap();
    tables.commit(&[put(b"new", b"words")]).unwrap();
    let looks = |key: &[u8]| {
        let before = tables.looks.load(std::sync::atomic::Ordering::Relaxed);
        tables.read(&[at(key)]).unwrap();
        tables.looks.load(std::sync::atomic::Ordering::Relaxed) - before
    };
    assert_eq!([&b"same"[..], b"edit", b"gone"].map(looks), [1, 1, 1]);
}

/// Then a refusal costs the same whether its rows are there or not.
#[test]
fn without_a_rewrite_nothing_is_settled_and_nothing_but_one_table_is_read() {
    let tables = tables();
    for number in 0..100u8 {
        tables.commit(&[put(&[number], b"row")]).unwrap();
    }
    let tables = opened_again(copied(&tables, Copying::AsTheyAre));
    assert_eq!(lengths(&tables), (100, 0));
    let keys: Vec<RowKey> = (0..200).map(|number| at(&[number])).collect();
    assert_eq!(tables.read(&keys).unwrap().iter().flatten().count(), 100);
    assert_eq!(tables.looks.into_inner(), 0);
}

/// A fresh serial touches no page of the large table, however large.
#[test]
fn hardly_a_fresh_row_asks_the_settled_ones() {
    let tables = tables();
    let key = |number: u32| number.to_be_bytes();
    let commits: Vec<Commit> = (0..5_000).map(|number| put(&key(number), b"row")).collect();
    tables.commit(&commits).unwrap();
    let tables = copied(&tables, Copying::Rewrite);
    for number in 5_000..6_000 {
        let fresh = put(&key(number), b"row").expect(&key(number), None);
        assert!(tables.read(&[at(&key(number))]).unwrap() == [None]);
        assert!(tables.commit(&[fresh]).unwrap() == [Outcome::Committed]);
    }
    let looks = tables.looks.load(std::sync::atomic::Ordering::Relaxed);
    assert!(looks < 40, "{looks} of 2,000");
    assert_eq!(lengths(&tables), (1_000, 5_000));
}

/// A tick looks for what is due in all buckets, at several places.
#[test]
fn what_is_read_between_two_commits_is_read_in_one_transaction() {
    let tables = tables();
    let put = |bucket| Commit::new(bucket).put(b"due".to_vec(), b"row".to_vec());
    tables.commit(&Bucket::all().map(put).collect::<Vec<_>>()).unwrap();
    let tables = copied(&tables, Copying::Rewrite);
    let begun = || tables.transactions.load(std::sync::atomic::Ordering::Relaxed);
    let before = begun();
    assert_eq!(tables.scan(None, all(b"d")).unwrap().len(), 256);
    assert_eq!(begun(), before + 1);
    let keys: Vec<RowKey> = Bucket::all().map(|bucket| RowKey { bucket, key: b"due".to_vec() }).collect();
    // Nor does a read that follows begin another, as long as nothing is committed.
    for _ in 0..3 {
        assert!(tables.read(&keys).unwrap().iter().all(Option::is_some));
        assert_eq!(begun(), before + 1);
    }
    // A commit is seen from then on, and so is the next.
    for (n, value) in [b"one", b"two"].into_iter().enumerate() {
        tables.commit(&[Commit::new(keys[7].bucket).put(b"due".to_vec(), value.to_vec())]).unwrap();
        assert_eq!(begun(), before + 1 + n);
        assert!(tables.read(&keys[7..8]).unwrap() == [Some(value.to_vec())]);
        assert!(tables.read(&keys[7..8]).unwrap() == [Some(value.to_vec())]);
        assert_eq!(begun(), before + 2 + n);
    }
}

/// Else it would lose to the same commit as often as it tries.
#[test]
fn whoever_has_lost_to_a_commit_sees_it_even_before_it_has_returned() {
    let tables = tables();
    let before = tables.latest().unwrap();
    tables.commit(&[put(b"a", b"winner")]).unwrap();
    *tables.view() = Some(before);
    assert_eq!(tables.read(&[at(b"a")]).unwrap(), [None]);
    let loser = put(b"a", b"loser").expect(b"a", None);
    assert_eq!(tables.commit(&[loser]).unwrap(), [Outcome::Conflict(b"a".to_vec())]);
    assert_eq!(tables.read(&[at(b"a")]).unwrap(), [Some(b"winner".to_vec())]);
}

/// A view that is kept for reads would else keep the pages that commits replace, and the file would grow.
#[test]
fn no_view_is_kept_over_a_commit() {
    let tables = tables();
    for number in 0..3u8 {
        tables.commit(&[put(&[number], b"row")]).unwrap();
        assert!(tables.latest.read().unwrap().is_none());
        assert!(tables.read(&[at(&[number])]).unwrap()[0].is_some());
        assert!(tables.latest.read().unwrap().is_some());
    }
}

/// However the rows came there, and whatever was there before.
#[test]
fn a_scan_of_all_buckets_looks_only_where_rows_of_its_kind_may_be() {
    let at = |n: usize| Bucket::all().nth(n).unwrap();
    let looks = |tables: &Tables, prefix: &[u8]| {
        let before = tables.visits.load(std::sync::atomic::Ordering::Relaxed);
        let rows = tables.scan(None, all(prefix)).unwrap().len();
        (rows, tables.visits.load(std::sync::atomic::Ordering::Relaxed) - before)
    };
    let mut tables = tables();
    assert_eq!(looks(&tables, b"ab"), (0, 0));
    let other = Bucket::all()
        .map(|bucket| Commit::new(bucket).put(b"ac".to_vec(), b"row".to_vec()).put(vec![b'a'], vec![]));
    tables.commit(&other.collect::<Vec<_>>()).unwrap();
    let put = |n| {
        Commit::new(at(n)).put(b"ab first".to_vec(), b"row".to_vec()).put(b"ab".to_vec(), b"row".to_vec())
    };
    tables.commit(&[put(0), put(64), put(255)]).unwrap();
    let next: [fn(Tables) -> Tables; 4] = [
        opened_again,
        |tables| copied(&tables, Copying::AsTheyAre),
        |tables| copied(&tables, Copying::Rewrite),
        opened_again,
    ];
    for step in next {
        assert_eq!(looks(&tables, b"ab"), (6, 3));
        assert_eq!(looks(&tables, b"ab f"), (3, 3));
        assert_eq!((looks(&tables, b"ac"), looks(&tables, b"ad")), ((256, 256), (0, 0)));
        // A shorter prefix is of more than one kind.
        assert_eq!(looks(&tables, b"a"), (518, 256));
        tables = step(tables);
    }
    // One that comes is found at once; one that has gone is looked for until the next rewrite.
    let gone = Commit::new(at(64)).delete(b"ab".to_vec()).delete(b"ab first".to_vec());
    tables.commit(&[put(7), gone]).unwrap();
    assert_eq!(looks(&tables, b"ab"), (6, 4));
    assert_eq!(looks(&copied(&tables, Copying::Rewrite), b"ab"), (6, 3));
}

/// Half-empty ones would double what each rewrite writes.
#[test]
fn a_rewrite_fills_its_pages() {
    let tables = tables();
    let commits: Vec<Commit> = (0u32..20_000)
        .map(|number| {
            let of = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
            Commit::new(Bucket::of(&of)).put(of.repeat(16), of.repeat(32))
        })
        .collect();
    tables.commit(&commits).unwrap();
    let settled = copied(&tables, Copying::Rewrite).both().unwrap().settled.stats().unwrap();
    // A row has 66 and 128 bytes: 20 of them fit into a page of 4,096.
    assert!(settled.leaf_pages() <= 1_020, "{} pages", settled.leaf_pages());
}

/// It would deny what is there: a serial could be spent again.
#[test]
fn a_file_whose_filter_is_of_other_rows_is_refused() {
    let spoil = |change: &dyn Fn(&WriteTransaction)| {
        let tables = tables();
        tables.commit(&[put(b"one", b"row"), put(b"two", b"row")]).unwrap();
        let database = copied(&tables, Copying::Rewrite).database;
        let transaction = database.begin_write().unwrap();
        change(&transaction);
        transaction.commit().unwrap();
        Tables::open(database, Syncs::default()).map(drop)
    };
    assert!(spoil(&|_| ()).is_ok());
    let refused = [
        spoil(&|write| drop(write.open_table(FILTER).unwrap().pop_first().unwrap())),
        spoil(&|write| drop(write.open_table(FILTER).unwrap().insert(1, &[0; 8][..]).unwrap())),
        spoil(&|write| assert!(write.delete_table(FILTER).unwrap())),
    ];
    assert!(
        refused.iter().all(|refused| matches!(refused, Err(StoreError::Corrupt("filter")))),
        "{refused:?}"
    );
}
