//! What every engine must do, as assertions: for the authors of engines.
//!
//! [`check`] runs all properties, each on an empty store; [`check_reopening`] those of engines
//! that outlive the process. An engine's own test is two calls:
//!
//! ```
//! use unjoin_store::{MemoryStore, contract};
//! contract::check(MemoryStore::new);
//! ```
//!
//! # Panics
//! Both functions panic when the engine breaks a property, or returns an error. The panic's place is
//! in the function that is named after the property. Neither belongs into a service.
//!
//! A suite cannot see two things that an engine still owes. A commit is on the disk when it is
//! answered; and [`Store::rewrite`] leaves no trace of the order of arrival.

#![allow(clippy::expect_used, reason = "it asserts: a failure is its only way to answer")]

use super::{
    Bucket, Commit, MAX_KEY, MAX_VALUE, Outcome, Precondition, Row, RowKey, Sought, Store, StoreError,
    Version,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Checks every property, each on a store of its own; `fresh` returns an empty one each time.
///
/// # Panics
/// When the engine breaks a property.
///
/// ```
/// use unjoin_store::{MemoryStore, contract};
/// contract::check(MemoryStore::new);
/// ```
pub fn check<S: Store>(fresh: impl Fn() -> S) {
    let properties: [fn(&S); 21] = [
        what_was_put_is_read_until_it_is_deleted,
        reads_answer_in_the_order_asked,
        absent_holds_only_where_no_row_is,
        a_version_holds_only_while_the_value_stands,
        a_conflict_names_the_first_failing_key_and_changes_nothing,
        a_conflict_skips_its_own_commit_only,
        commits_of_one_call_see_their_predecessors,
        what_hangs_on_a_refused_commit_is_not_applied,
        a_call_whose_commits_hang_on_later_ones_is_refused_whole,
        of_two_writes_on_one_key_the_later_stands,
        a_repeated_decision_conflicts_and_changes_nothing,
        scans_are_sorted_and_bounded,
        scans_keep_to_their_prefix,
        buckets_do_not_see_each_other,
        what_is_too_long_is_refused_with_its_whole_call,
        the_longest_rows_fit,
        concurrent_increments_are_never_lost,
        a_returned_commit_is_seen_by_every_thread,
        a_scan_of_all_buckets_is_a_scan_of_each,
        a_rewrite_changes_no_row,
        a_snapshot_shows_every_row_as_of_one_moment,
    ];
    for property in properties {
        property(&fresh());
    }
}

/// Checks that everything outlives its store: every call of `open` opens the same store, empty at
/// first, after the one before was dropped.
///
/// # Panics
/// When the engine loses or invents a row.
///
/// ```
/// # use unjoin_test_util::Directory;
/// use unjoin_store::{RedbStore, StoreError, contract};
/// # let directory = Directory::new();
/// # let path = directory.file("store.redb");
/// // Each call opens the one file, and the first makes it.
/// contract::check_reopening(|| match RedbStore::open(&path) {
///     Err(StoreError::Missing(_)) => RedbStore::create(&path).unwrap(),
///     opened => opened.unwrap(),
/// });
/// ```
pub fn check_reopening<S: Store>(open: impl Fn() -> S) {
    let keys: Vec<Vec<u8>> = (0..50u8).map(|i| vec![i; usize::from(i)]).collect();
    let rows = |from: usize| -> Vec<Row> {
        keys.iter().skip(from).map(|key| Row { key: key.clone(), value: key.repeat(9) }).collect()
    };
    let store = open();
    for key in &keys {
        assert_eq!(commit(&store, put(key, &key.repeat(9))), Outcome::Committed);
    }
    drop(store);
    let store = open();
    assert_eq!(all(&store, here()), rows(0), "reopening keeps every row");
    assert_eq!(commit(&store, keys.iter().take(20).fold(Commit::new(here()), |c, k| c.delete(k.clone()))), {
        Outcome::Committed
    });
    drop(store);
    let store = open();
    assert_eq!(all(&store, here()), rows(20), "reopening keeps every deletion");
    store.rewrite().expect("rewrite");
    drop(store);
    let store = open();
    assert_eq!(all(&store, here()), rows(20), "reopening keeps what a rewrite wrote");
    store.rewrite().expect("rewrite");
    assert_eq!(commit(&store, put(b"after", b"the rewrite")), Outcome::Committed);
    drop(store);
    assert_eq!(row(&open(), b"after"), Some(b"the rewrite".to_vec()), "commits go on after a rewrite");
}

/// A put is read back, a second one replaces it, a deletion ends it; deleting nothing is no error.
fn what_was_put_is_read_until_it_is_deleted<S: Store>(store: &S) {
    for key in [&b"key"[..], b"", &[0], &[0xff; 3]] {
        assert_eq!(row(store, key), None);
        for value in [&b"one"[..], b"two", b""] {
            assert_eq!(commit(store, put(key, value)), Outcome::Committed);
            assert_eq!(row(store, key).as_deref(), Some(value));
        }
        for _ in 0..2 {
            assert_eq!(commit(store, Commit::new(here()).delete(key.to_vec())), Outcome::Committed);
            assert_eq!(row(store, key), None);
        }
    }
    assert_eq!(store.commit(&[]).expect("a call without commits"), []);
    assert_eq!(commit(store, Commit::new(here())), Outcome::Committed, "an empty decision holds");
}

/// One answer for each key asked, in order, repetitions and absences included.
fn reads_answer_in_the_order_asked<S: Store>(store: &S) {
    commit(store, put(b"a", b"1").put(b"b".to_vec(), b"2".to_vec()));
    let keys = [&b"b"[..], b"?", b"a", b"b", &[7; MAX_KEY + 1]].map(|key| at(here(), key));
    let found = store.read(&keys).expect("read");
    assert_eq!(found, [Some(b"2".to_vec()), None, Some(b"1".to_vec()), Some(b"2".to_vec()), None]);
    assert_eq!(store.read(&[]).expect("read"), Vec::<Option<Vec<u8>>>::new());
}

/// `Absent` holds before a put and after a deletion, not in between.
fn absent_holds_only_where_no_row_is<S: Store>(store: &S) {
    let insert = put(b"key", b"value").expect(b"key", None);
    assert_eq!(commit(store, insert.clone()), Outcome::Committed);
    assert_eq!(commit(store, insert.clone()), conflict(b"key"));
    commit(store, Commit::new(here()).delete(b"key".to_vec()));
    assert_eq!(commit(store, insert), Outcome::Committed);
}

/// `At` fails on another value and on no row; it holds again once the same value is back.
fn a_version_holds_only_while_the_value_stands<S: Store>(store: &S) {
    let guarded = |read: &[u8]| put(b"other", b"written").expect(b"key", Some(read));
    assert_eq!(commit(store, guarded(b"one")), conflict(b"key"));
    commit(store, put(b"key", b"one"));
    assert_eq!(commit(store, guarded(b"one")), Outcome::Committed);
    commit(store, put(b"key", b"two"));
    assert_eq!(commit(store, guarded(b"one")), conflict(b"key"));
    assert_eq!(commit(store, guarded(b"two")), Outcome::Committed);
    commit(store, put(b"key", b"one"));
    assert_eq!(commit(store, guarded(b"one")), Outcome::Committed);
    commit(store, Commit::new(here()).delete(b"key".to_vec()));
    assert_eq!(commit(store, guarded(b"one")), conflict(b"key"));
    assert_eq!(commit(store, guarded(b"")), conflict(b"key"), "no row is not an empty row");
}

/// The first precondition that fails, in the order given, is the one named; no write applies.
fn a_conflict_names_the_first_failing_key_and_changes_nothing<S: Store>(store: &S) {
    commit(store, put(b"there", b"value"));
    let decision = put(b"new", b"value")
        .delete(b"there".to_vec())
        .expect(b"there", Some(b"value"))
        .expect(b"z", Some(b"missing"))
        .expect(b"a", Some(b"missing"))
        .expect(b"there", None);
    assert_eq!(commit(store, decision), conflict(b"z"));
    assert_eq!(row(store, b"new"), None);
    assert_eq!(row(store, b"there"), Some(b"value".to_vec()));
}

/// Neighbours of a conflict in the same call apply, whatever their bucket.
fn a_conflict_skips_its_own_commit_only<S: Store>(store: &S) {
    let fails = |key: &[u8]| put(key, b"no").expect(b"missing", Some(b"x"));
    let elsewhere = Commit::new(elsewhere()).put(b"3".to_vec(), b"yes".to_vec());
    let call = [fails(b"0"), put(b"1", b"yes"), fails(b"2"), elsewhere, fails(b"4")];
    let no = || conflict(b"missing");
    let outcomes = store.commit(&call).expect("commit");
    assert_eq!(outcomes, [no(), Outcome::Committed, no(), Outcome::Committed, no()]);
    assert_eq!(all(store, here()), [Row { key: b"1".to_vec(), value: b"yes".to_vec() }]);
    assert_eq!(all(store, self::elsewhere()), [Row { key: b"3".to_vec(), value: b"yes".to_vec() }]);
}

/// In one call a commit's preconditions are judged by what the commits before it left.
fn commits_of_one_call_see_their_predecessors<S: Store>(store: &S) {
    let first = put(b"key", b"one").expect(b"key", None);
    let call = [
        first.clone(),
        first.clone(),
        put(b"key", b"two").expect(b"key", Some(b"one")),
        put(b"key", b"three").expect(b"key", Some(b"one")),
        Commit::new(here()).expect(b"key", Some(b"two")).delete(b"key".to_vec()),
        first,
    ];
    let (yes, no) = (Outcome::Committed, conflict(b"key"));
    let expected = [yes.clone(), no.clone(), yes.clone(), no, yes.clone(), yes];
    assert_eq!(store.commit(&call).expect("commit"), expected);
    assert_eq!(row(store, b"key"), Some(b"one".to_vec()));
}

/// A commit that hangs on others applies only if all of them do, whatever buckets they are in. What
/// hangs on it then does not either. What hangs on nothing that was refused applies.
fn what_hangs_on_a_refused_commit_is_not_applied<S: Store>(store: &S) {
    let away = |key: &[u8]| Commit::new(elsewhere()).put(key.to_vec(), b"yes".to_vec());
    let fails = away(b"1").expect(b"missing", Some(b"x"));
    let call = [
        put(b"0", b"yes"),
        fails,
        away(b"2").after(0),
        put(b"3", b"no").after(0).after(1),
        away(b"4").after(3),
        put(b"5", b"yes").after(0).after(2).expect(b"3", None),
        put(b"6", b"no").after(5).after(4),
        // Sees what its predecessor left, and hangs on it.
        put(b"0", b"again").after(5).expect(b"0", Some(b"yes")),
        put(b"8", b"no").after(0).expect(b"0", Some(b"yes")),
        away(b"9").after(8),
    ];
    let yes = Outcome::Committed;
    let expected = [
        yes.clone(),
        conflict(b"missing"),
        yes.clone(),
        Outcome::NotReached,
        Outcome::NotReached,
        yes.clone(),
        Outcome::NotReached,
        yes,
        conflict(b"0"),
        Outcome::NotReached,
    ];
    assert_eq!(store.commit(&call).expect("commit"), expected);
    let rows = |bucket| all(store, bucket).into_iter().map(|row| (row.key, row.value)).collect::<Vec<_>>();
    let row = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    assert_eq!(rows(here()), [row(b"0", b"again"), row(b"5", b"yes")]);
    assert_eq!(rows(elsewhere()), [row(b"2", b"yes")]);
}

/// On itself, a later one or none: nothing of the call applies.
fn a_call_whose_commits_hang_on_later_ones_is_refused_whole<S: Store>(store: &S) {
    for place in [1, 2, 3, usize::MAX] {
        let answer = store.commit(&[put(b"before", b""), put(b"key", b"").after(place), put(b"after", b"")]);
        assert!(matches!(answer, Err(StoreError::Decision(_))), "{answer:?}");
        assert_eq!(all(store, here()), [], "nothing was applied");
    }
}

/// Writes of one commit apply in order.
fn of_two_writes_on_one_key_the_later_stands<S: Store>(store: &S) {
    commit(store, put(b"key", b"one").put(b"key".to_vec(), b"two".to_vec()));
    assert_eq!(row(store, b"key"), Some(b"two".to_vec()));
    commit(store, put(b"key", b"three").delete(b"key".to_vec()));
    assert_eq!(row(store, b"key"), None);
    commit(store, Commit::new(here()).delete(b"key".to_vec()).put(b"key".to_vec(), b"four".to_vec()));
    assert_eq!(row(store, b"key"), Some(b"four".to_vec()));
}

/// A decision that expects the absence of a row it writes takes effect once, however often it is
/// asked: across calls and within one.
fn a_repeated_decision_conflicts_and_changes_nothing<S: Store>(store: &S) {
    commit(store, put(b"count", b"0"));
    let decision = put(b"done", b"").expect(b"done", None).expect(b"count", Some(b"0"));
    let decision = decision.put(b"count".to_vec(), b"1".to_vec());
    assert_eq!(commit(store, decision.clone()), Outcome::Committed);
    let after = all(store, here());
    for _ in 0..3 {
        assert_eq!(commit(store, decision.clone()), conflict(b"done"));
    }
    let outcomes = store.commit(&[decision.clone(), decision]).expect("commit");
    assert_eq!(outcomes, [conflict(b"done"), conflict(b"done")]);
    assert_eq!(all(store, here()), after);
}

/// Rows come in the order of their keys' bytes, after `after`, at most `limit`. So a walk in
/// steps of any size meets every row once.
fn scans_are_sorted_and_bounded<S: Store>(store: &S) {
    let keys: [&[u8]; 8] = [b"", &[0], &[0, 0], b"a", b"a\0", b"ab", b"b", &[0xff]];
    for key in keys.iter().rev() {
        commit(store, put(key, key));
    }
    for limit in 0..=keys.len() + 1 {
        for (from, after) in (1..).zip(keys) {
            let found = scan(store, here(), b"", Some(after), limit);
            let expected: Vec<_> = keys.iter().skip(from).take(limit).map(|key| key.to_vec()).collect();
            assert_eq!(found, expected, "after {after:?}, at most {limit}");
        }
    }
    assert_eq!(scan(store, here(), b"", None, usize::MAX), keys.map(<[u8]>::to_vec));
    let between = scan(store, here(), b"", Some(b"aa"), 2);
    assert_eq!(between, [b"ab".to_vec(), b"b".to_vec()], "`after` need not be a stored key");
    for step in 1..4 {
        let (mut walked, mut last) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let found = scan(store, here(), b"", last.as_deref(), step);
            let Some(end) = found.last() else { break };
            last = Some(end.clone());
            walked.extend(found);
        }
        assert_eq!(walked, keys.map(<[u8]>::to_vec), "in steps of {step}");
    }
}

/// Only keys that begin with the prefix, at the edges too: an empty prefix, prefixes of 0xff
/// bytes (which have no successor of their length), and `after` on either side of the prefix.
fn scans_keep_to_their_prefix<S: Store>(store: &S) {
    let keys: [&[u8]; 9] =
        [b"", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xfe\xff", b"\xff", b"\xff\xff\x01"];
    for key in keys {
        commit(store, put(key, b"value"));
    }
    let prefixes: [&[u8]; 9] =
        [b"", b"a", b"a\xff", b"b", b"ba", b"\xff", b"\xff\xff", b"\xff\xff\xff", &[0xff; MAX_KEY]];
    for prefix in prefixes {
        let within = |key: &[u8]| key.starts_with(prefix);
        let expected: Vec<_> = keys.iter().filter(|key| within(key)).map(|key| key.to_vec()).collect();
        assert_eq!(scan(store, here(), prefix, None, 100), expected, "prefix {prefix:?}");
        for after in prefixes.into_iter().chain(keys) {
            let expected: Vec<_> = expected.iter().filter(|key| key.as_slice() > after).cloned().collect();
            let found = scan(store, here(), prefix, Some(after), 100);
            assert_eq!(found, expected, "prefix {prefix:?}, after {after:?}");
        }
    }
}

/// In the order of the buckets, from any row on, up to any key and any number, before and after a rewrite.
fn a_scan_of_all_buckets_is_a_scan_of_each<S: Store>(store: &S) {
    let keys: [&[u8]; 7] = [b"a", b"bb", b"bb\0", b"bb\x03", b"bb\xff\xff", b"c", b"\xff"];
    for (i, bucket) in (0usize..).zip(Bucket::all()).filter(|(i, _)| i % 9 == 0 || *i == 255) {
        let kept = keys.iter().enumerate().filter(|(at, _)| (i + at) % 4 != 1);
        commit(
            store,
            kept.fold(Commit::new(bucket), |filled, (_, key)| filled.put(key.to_vec(), key.to_vec())),
        );
    }
    for round in 0..2 {
        for (prefix, before) in
            [(&b""[..], None), (b"bb", None), (b"bb", Some(&b"bb\x03"[..])), (b"\xff", Some(b"\xff"))]
        {
            let of_each: Vec<(Bucket, Row)> = Bucket::all()
                .flat_map(|bucket| {
                    let rows = store.scan(bucket, prefix, None, usize::MAX).expect("scan").into_iter();
                    rows.filter(|row| before.is_none_or(|before| row.key.as_slice() < before))
                        .map(move |row| (bucket, row))
                })
                .collect();
            let scan = |after: Option<&RowKey>, limit| {
                store.scan_all(Sought { prefix, before, after, limit }).expect("a scan of all buckets")
            };
            assert!(scan(None, usize::MAX) == of_each, "prefix {prefix:?}, round {round}");
            assert!(scan(None, 0).is_empty());
            for (place, (bucket, row)) in of_each.iter().enumerate().step_by(5) {
                let after = RowKey { bucket: *bucket, key: row.key.clone() };
                let rest = of_each.get(place + 1..).expect("what comes after a row");
                for limit in [1, 3, usize::MAX] {
                    let first = rest.get(..limit.min(rest.len())).expect("so many at most");
                    assert!(
                        scan(Some(&after), limit) == first,
                        "prefix {prefix:?}, after {after:?}, {limit}"
                    );
                }
            }
            // After what is no row: in a bucket without any, and before and behind all keys of one that has some.
            for (bucket, key) in [(here(), &b""[..]), (elsewhere(), b"zz"), (here(), &[0xff; MAX_KEY])] {
                let after = RowKey { bucket, key: key.to_vec() };
                let rest =
                    of_each.iter().filter(|(bucket, row)| (*bucket, &row.key) > (after.bucket, &after.key));
                assert!(scan(Some(&after), usize::MAX).iter().eq(rest), "prefix {prefix:?}, after {after:?}");
            }
        }
        store.rewrite().expect("rewrite");
    }
}

/// The same key in two buckets is two rows, for reads, scans, preconditions and deletions.
fn buckets_do_not_see_each_other<S: Store>(store: &S) {
    for bucket in Bucket::all() {
        let value = bucket.number().to_be_bytes().to_vec();
        let insert = Commit::new(bucket).expect(b"key", None).put(b"key".to_vec(), value);
        assert_eq!(commit(store, insert), Outcome::Committed, "absent in this bucket");
    }
    commit(store, Commit::new(elsewhere()).delete(b"key".to_vec()));
    for bucket in Bucket::all() {
        let expected = (bucket != elsewhere()).then(|| bucket.number().to_be_bytes().to_vec());
        assert_eq!(store.read(&[at(bucket, b"key")]).expect("read"), vec![expected.clone()]);
        let rows: Vec<_> = expected.into_iter().map(|value| Row { key: b"key".to_vec(), value }).collect();
        assert_eq!(all(store, bucket), rows);
        assert_eq!(scan(store, bucket, b"key", Some(b"key"), 100), Vec::<Vec<u8>>::new());
    }
}

/// One key or value beyond its limit, in any commit and any place, and nothing of the call applies.
fn what_is_too_long_is_refused_with_its_whole_call<S: Store>(store: &S) {
    let long = vec![b'k'; MAX_KEY + 1];
    let too_long = [
        put(&long, b""),
        put(b"key", &vec![0; MAX_VALUE + 1]),
        Commit::new(here()).delete(long.clone()),
        put(b"key", b"").expect(&long, None),
        Commit { preconditions: vec![Precondition::At(long, Version::of(b""))], ..put(b"key", b"") },
    ];
    for commit in too_long {
        let answer = store.commit(&[put(b"before", b""), commit, put(b"after", b"")]);
        assert!(matches!(answer, Err(StoreError::TooLong)), "{answer:?}");
        assert_eq!(all(store, here()), [], "nothing was applied");
    }
}

/// Keys of [`MAX_KEY`] bytes and values of [`MAX_VALUE`] are stored whole.
fn the_longest_rows_fit<S: Store>(store: &S) {
    let (key, value) = (vec![0xff; MAX_KEY], vec![0xa5; MAX_VALUE]);
    assert_eq!(commit(store, put(&key, &value).expect(&key, None)), Outcome::Committed);
    assert_eq!(row(store, &key).as_ref(), Some(&value));
    assert_eq!(commit(store, put(&key, b"").expect(&key, Some(&value))), Outcome::Committed);
    assert_eq!(row(store, &key), Some(Vec::new()));
}

/// Threads that add one to a row by read, precondition and retry together add up exactly.
fn concurrent_increments_are_never_lost<S: Store>(store: &S) {
    const THREADS: u64 = 4;
    const EACH: u64 = 20;
    let increment = || {
        let read = row(store, b"count");
        let count = read.as_deref().map_or(0, number);
        commit(store, put(b"count", &(count + 1).to_be_bytes()).expect(b"count", read.as_deref()))
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|_| while increment() != Outcome::Committed {}));
        }
    });
    assert_eq!(row(store, b"count").as_deref().map(number), Some(THREADS * EACH));
}

/// Once a commit has returned, a read that begins later, on any thread, sees it or a later one.
fn a_returned_commit_is_seen_by_every_thread<S: Store>(store: &S) {
    const LAST: u64 = 50;
    let returned = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let before = returned.load(Ordering::SeqCst);
                    let read = row(store, b"count").as_deref().map_or(0, number);
                    let scanned = all(store, here()).first().map_or(0, |row| number(&row.value));
                    assert!(read >= before, "a read missed a commit that had returned");
                    assert!(scanned >= read, "a scan missed what a read before it saw");
                    if before == LAST {
                        break;
                    }
                }
            });
        }
        for count in 1..=LAST {
            commit(store, put(b"count", &count.to_be_bytes()));
            returned.store(count, Ordering::SeqCst);
        }
    });
}

/// All rows of all buckets are the same before and after, and versions read before still hold.
fn a_rewrite_changes_no_row<S: Store>(store: &S) {
    store.rewrite().expect("rewriting an empty store");
    for (i, bucket) in (0u32..).zip(Bucket::all()) {
        let bytes = |salt: u32| salt.wrapping_mul(0x9e37_79b9).wrapping_add(i).to_be_bytes().to_vec();
        let filled = (0..5).fold(Commit::new(bucket), |c, salt| c.put(bytes(salt), bytes(salt).repeat(40)));
        commit(store, filled.delete(bytes(3)));
    }
    let rows = || Bucket::all().map(|bucket| all(store, bucket)).collect::<Vec<_>>();
    let before = rows();
    for _ in 0..2 {
        store.rewrite().expect("rewrite");
        assert_eq!(rows(), before);
    }
    let first = before.first().and_then(|rows| rows.first()).expect("the first bucket has rows");
    let bucket = Bucket::all().next().expect("there are buckets");
    let update = Commit::new(bucket).expect(&first.key, Some(&first.value)).delete(first.key.clone());
    assert_eq!(commit(store, update), Outcome::Committed);
}

/// Tells the writer beside to end, also where an assertion fails.
struct Ends<'a>(&'a AtomicU64);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::SeqCst);
    }
}

/// Every row, in order, and of rows that are written one after the other never the later alone.
///
/// # Panics
/// When the engine breaks it.
fn a_snapshot_shows_every_row_as_of_one_moment<S: Store>(store: &S) {
    const ROWS: u64 = 300;
    let numbered = |n: u64| n.to_be_bytes().to_vec();
    for bucket in [here(), elsewhere()] {
        let fill = |n| Commit::new(bucket).put([b"m", numbered(n).as_slice()].concat(), numbered(n));
        store.commit(&(0..ROWS).map(fill).collect::<Vec<_>>()).expect("a commit");
    }
    let snapshot = || {
        let mut shown = Vec::new();
        let mut see = |bucket: Bucket, key: &[u8], value: &[u8]| {
            shown.push((RowKey { bucket, key: key.to_vec() }, value.to_vec()));
            Ok(())
        };
        store.snapshot(&mut see).expect("a snapshot");
        shown
    };
    let stored =
        |bucket| all(store, bucket).into_iter().map(move |row| (RowKey { bucket, key: row.key }, row.value));
    assert!(snapshot() == Bucket::all().flat_map(stored).collect::<Vec<_>>());
    // The one that is written first stands last, and the other way round.
    let (written, done) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1.. {
                for key in [b"z", b"a", b"y"] {
                    store.commit(&[Commit::new(here()).put(key.to_vec(), numbered(n))]).expect("a commit");
                }
                written.store(n, Ordering::SeqCst);
                if done.load(Ordering::SeqCst) == 1 {
                    break;
                }
            }
        });
        let _ends = Ends(&done);
        for _ in 0..20 {
            let before = written.load(Ordering::SeqCst);
            let shown = snapshot();
            let value = |key: &[u8]| {
                shown
                    .iter()
                    .find(|(at, _)| *at == self::at(here(), key))
                    .map_or(0, |(_, value)| number(value))
            };
            let [first, second, third] = [b"z", b"a", b"y"].map(|key| value(key));
            assert!(third >= before, "a row that was answered is missing");
            assert!(first >= second && second >= third && first <= third.saturating_add(1));
        }
    });
    let mut shown = 0;
    let mut see = |_: Bucket, _: &[u8], _: &[u8]| {
        shown += 1;
        if shown == 2 { Err(StoreError::Contended) } else { Ok(()) }
    };
    assert!(matches!(store.snapshot(&mut see), Err(StoreError::Contended)));
    assert_eq!(shown, 2, "it ends where it is told to");
}

fn here() -> Bucket {
    Bucket::of(b"here")
}

fn elsewhere() -> Bucket {
    Bucket::of(b"elsewhere")
}

fn at(bucket: Bucket, key: &[u8]) -> RowKey {
    RowKey { bucket, key: key.to_vec() }
}

fn put(key: &[u8], value: &[u8]) -> Commit {
    Commit::new(here()).put(key.to_vec(), value.to_vec())
}

fn conflict(key: &[u8]) -> Outcome {
    Outcome::Conflict(key.to_vec())
}

fn commit<S: Store>(store: &S, commit: Commit) -> Outcome {
    let outcomes = store.commit(&[commit]).expect("commit");
    let [outcome] = <[Outcome; 1]>::try_from(outcomes).expect("one outcome for one commit");
    outcome
}

fn row<S: Store>(store: &S, key: &[u8]) -> Option<Vec<u8>> {
    let rows = store.read(&[at(here(), key)]).expect("read");
    let [row] = <[Option<Vec<u8>>; 1]>::try_from(rows).expect("one answer for one key");
    row
}

fn scan<S: Store>(
    store: &S,
    bucket: Bucket,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Vec<Vec<u8>> {
    let rows = store.scan(bucket, prefix, after, limit).expect("scan");
    rows.into_iter().map(|row| row.key).collect()
}

fn all<S: Store>(store: &S, bucket: Bucket) -> Vec<Row> {
    store.scan(bucket, b"", None, usize::MAX).expect("scan")
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().expect("eight bytes"))
}
