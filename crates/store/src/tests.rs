//! Typed rows and decisions, over a store that changes rows between a read and the commit.

use super::*;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use unjoin_core::entry::BindingEntry;
use unjoin_core::wire::{DecodeError, Message, Reader, Writer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count(u64);

impl Record for Count {
    const NAME: &'static str = "count";

    fn encode(&self, out: &mut Writer) {
        out.le64(self.0);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(from.le64("count")?))
    }
}

/// What a call meets instead of being served as usual.
enum Trouble {
    /// Another writer's commit comes first.
    Changed(Commit),
    /// Nothing is done.
    Failed,
    /// All is done, and the answer lost.
    Lost,
}

/// A store in memory that counts its calls, and whose commit calls meet what is planned for them. Not
/// `unjoin-test-util`'s: that one is of the `Store` trait of the crate as others link it, which is another
/// than that of this crate under test.
#[derive(Default)]
struct Troubled {
    rows: MemoryStore,
    plan: Mutex<VecDeque<Trouble>>,
    reads: AtomicUsize,
    commits: AtomicUsize,
}

impl Troubled {
    fn new(plan: impl IntoIterator<Item = Trouble>) -> Self {
        Self { plan: Mutex::new(plan.into_iter().collect()), ..Self::default() }
    }

    /// How many read calls and commit calls there were.
    fn calls(&self) -> (usize, usize) {
        (self.reads.load(Ordering::SeqCst), self.commits.load(Ordering::SeqCst))
    }

    fn all(&self) -> Vec<Row> {
        Bucket::all().flat_map(|bucket| self.rows.scan(bucket, b"", None, usize::MAX).unwrap()).collect()
    }

    fn fill(self, key: &Key<Count>, value: Option<u64>) -> Self {
        self.rows.commit(&[changed(key, value)]).unwrap();
        self
    }
}

impl Store for Troubled {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.rows.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        match self.plan.lock().unwrap().pop_front() {
            None => self.rows.scan(bucket, prefix, after, limit),
            Some(_) => Err(StoreError::engine("a planned failure")),
        }
    }

    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        self.rows.snapshot(see)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        match self.plan.lock().unwrap().pop_front() {
            None => {}
            Some(Trouble::Changed(commit)) => drop(self.rows.commit(&[commit])?),
            Some(Trouble::Failed) => return Err(StoreError::engine("a planned failure")),
            Some(Trouble::Lost) => {
                self.rows.commit(commits)?;
                return Err(StoreError::engine("a lost answer"));
            }
        }
        self.rows.commit(commits)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.rows.rewrite()
    }
}

fn bucket() -> Bucket {
    Bucket::of(b"here")
}

fn key(name: &str) -> Key<Count> {
    Key::new(bucket(), name.as_bytes().to_vec())
}

fn elsewhere() -> Key<Count> {
    Key::new(Bucket::of(b"elsewhere"), b"row".to_vec())
}

fn rows(values: &[Option<u64>]) -> Vec<Key<Count>> {
    (0..values.len()).map(|at| key(&format!("row {at}"))).collect()
}

fn filled(values: &[Option<u64>], plan: impl IntoIterator<Item = Trouble>) -> Troubled {
    let keys = rows(values);
    keys.iter().zip(values).fold(Troubled::new(plan), |store, (key, value)| store.fill(key, *value))
}

fn changed(key: &Key<Count>, value: Option<u64>) -> Commit {
    match value {
        Some(value) => Commit::new(key.bucket()).put(key.bytes().to_vec(), Count(value).to_value()),
        None => Commit::new(key.bucket()).delete(key.bytes().to_vec()),
    }
}

/// Adds one, and answers with what there is then.
fn increment<'a>(key: &Key<Count>) -> Decision<'a, u64, StoreError> {
    let own = key.clone();
    Decision::new(key.clone(), move |row, change| {
        let next = row.map_or(0, |Count(count)| count) + 1;
        change.put(&own, &Count(next));
        Ok(next)
    })
}

fn code<A: core::fmt::Debug>(answer: Result<A, StoreError>) -> String {
    answer.unwrap_err().code().to_owned()
}

prop_compose! {
    /// What rows hold, which of them another writer changes meanwhile, and to what.
    fn meddling()(values in prop::collection::vec(prop::option::of(0u64..3), 4..9))(
        at in 0..values.len(), to in prop::option::of(0u64..3), values in Just(values),
    ) -> (Vec<Option<u64>>, usize, Option<u64>) {
        (values, at, to)
    }
}

/// Decides by all that `reads` has; `flat` lists it in order.
fn every_row_is_a_precondition<R: Reads + Clone>(
    (values, at, to): &(Vec<Option<u64>>, usize, Option<u64>),
    reads: R,
    flat: impl Fn(R::Rows) -> Vec<Option<Count>>,
) {
    let store = filled(values, [Trouble::Changed(changed(&rows(values)[*at], *to))]);
    let (rounds, seen) = (Cell::new(0), key("seen"));
    let answer = decide(&store, reads, |found, change| {
        rounds.set(rounds.get() + 1);
        let found = flat(found);
        change.put(&seen, &Count(found.iter().flatten().map(|Count(count)| count).sum()));
        Ok::<_, StoreError>(found)
    });
    let mut fresh = values.clone();
    fresh[*at] = *to;
    let again = usize::from(values[*at] != *to);
    assert_eq!(rounds.get(), 1 + again);
    assert_eq!(answer.unwrap(), fresh.iter().map(|value| value.map(Count)).collect::<Vec<_>>());
    let sum = fresh.iter().flatten().sum();
    assert_eq!(read(&store, &seen).unwrap(), Some(Count(sum)), "what is written rests on fresh rows");
}

proptest! {
    #[test]
    fn every_row_of_a_tuple_that_was_read_is_a_precondition(case in meddling()) {
        let keys = rows(&case.0);
        let reads = (keys[0].clone(), keys[1].clone(), keys[2].clone(), keys[3..].to_vec());
        every_row_is_a_precondition(&case, reads, |(a, b, c, rest)| [vec![a, b, c], rest].concat());
    }

    #[test]
    fn every_row_of_a_vector_that_was_read_is_a_precondition(case in meddling()) {
        let keys = rows(&case.0);
        let (whole, odd) = keys.as_chunks::<2>();
        let pairs: Vec<_> = whole.iter().map(|[a, b]| (a.clone(), b.clone())).collect();
        every_row_is_a_precondition(&case, (pairs, odd.to_vec()), |(pairs, odd)| {
            pairs.into_iter().flat_map(|(a, b)| [a, b]).chain(odd).collect()
        });
    }

    #[test]
    fn a_guard_is_the_only_precondition(case in meddling(), guards in 0u8..8) {
        let (values, at, to) = &case;
        let keys = rows(values);
        let guards: Vec<_> = (0..3).filter(|guard| guards >> guard & 1 == 1).collect();
        let store = filled(values, [Trouble::Changed(changed(&keys[*at], *to))]);
        let rounds = Cell::new(0);
        let answer = decide(&store, keys.clone(), |_, change| {
            rounds.set(rounds.get() + 1);
            guards.iter().for_each(|guard| change.guarded_by(&keys[*guard]));
            change.put(&key("written"), &Count(1));
            Ok::<_, StoreError>(())
        });
        let is_guard = guards.is_empty() || guards.contains(at);
        prop_assert_eq!(rounds.get(), 1 + usize::from(is_guard && values[*at] != *to));
        prop_assert!(answer.is_ok());
    }

    #[test]
    fn decisions_of_one_call_are_those_of_one_after_another(
        picks in prop::collection::vec(0usize..4, 0..40), other in 0usize..4,
    ) {
        let values = [None, Some(0), Some(7), None];
        let keys = rows(&values);
        let store = filled(&values, [Trouble::Changed(changed(&keys[other], Some(100)))]);
        let answers = decide_all(&store, picks.iter().map(|at| Ok(increment(&keys[*at]))).collect());
        for (at, key) in keys.iter().enumerate() {
            let mut own: Vec<_> = picks.iter().zip(&answers).filter(|(pick, _)| **pick == at).collect();
            let meddled = at == other && !picks.is_empty();
            let before = if meddled { 100 } else { values[at].unwrap_or(0) };
            own.sort_by_key(|(_, answer)| *answer.as_ref().unwrap());
            let expected = own.iter().zip(before + 1..);
            prop_assert!(expected.clone().all(|((_, answer), count)| answer.as_ref().unwrap() == &count));
            let last = if own.is_empty() && !meddled { values[at] } else { Some(before + own.len() as u64) };
            prop_assert_eq!(read(&store, key).unwrap(), last.map(Count));
        }
    }

    #[test]
    fn what_was_refused_before_stays_refused_and_in_place(refused: Vec<bool>) {
        let store = Troubled::default();
        let decisions = refused.iter().enumerate().map(|(at, refused)| match refused {
            true => Err(StoreError::Decision("refused before")),
            false => Ok(increment(&key(&format!("row {at}")))),
        });
        let answers = decide_all(&store, decisions.collect());
        prop_assert_eq!(answers.len(), refused.len());
        for (answer, refused) in answers.into_iter().zip(&refused) {
            match refused {
                true => prop_assert!(matches!(answer, Err(StoreError::Decision("refused before")))),
                false => prop_assert_eq!(answer.unwrap(), 1),
            }
        }
        let any = usize::from(refused.iter().any(|refused| !refused));
        prop_assert_eq!(store.calls(), (any, any), "one read and one commit for all, none for nothing");
    }

    #[test]
    fn pages_have_every_row_once_whatever_their_size(
        mut names: Vec<u8>, page in 0usize..12, after: Option<u8>, failing in 0usize..4,
    ) {
        let (store, after) = (Troubled::default(), after.map(|after| vec![b'p', after]));
        let here = |name: &[u8]| Key::<Count>::new(bucket(), name.to_vec());
        for name in &names {
            store.rows.commit(&[changed(&here(&[b'p', *name]), Some((*name).into()))]).unwrap();
        }
        // Neighbours, which no page has.
        for other in [here(b"o"), here(b"q"), Key::new(Bucket::of(b"elsewhere"), b"px".to_vec())] {
            store.rows.commit(&[changed(&other, Some(999))]).unwrap();
        }
        let from = after.clone().map(|key| RowKey { bucket: bucket(), key });
        let mut pages = Pages::<_, Count>::new(&store, bucket(), b"p".to_vec(), page).after(from);
        let (mut found, mut failures) = (Vec::new(), 0);
        loop {
            if failures < failing {
                store.plan.lock().unwrap().push_back(Trouble::Failed);
            }
            match pages.next() {
                Err(error) => {
                    failures += 1;
                    prop_assert_eq!(error.code(), "store.engine");
                }
                Ok(None) => break,
                Ok(Some(rows)) => {
                    prop_assert!((1..=page.max(1)).contains(&rows.len()));
                    for row in rows {
                        prop_assert_eq!(read(&store, &row.key).unwrap(), Some(row.row().unwrap()));
                        found.push(row.row().unwrap().0);
                    }
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        names.retain(|name| after.as_ref().is_none_or(|after| *name > after[1]));
        prop_assert_eq!(found, names.into_iter().map(u64::from).collect::<Vec<_>>());
        prop_assert!(pages.next().unwrap().is_none(), "after the last there is none");
    }

    #[test]
    fn a_value_of_another_format_cut_short_or_longer_is_corrupt_by_its_name(
        count: u64, format in 0u8..=255, cut in 0usize..9,
    ) {
        let value = Count(count).to_value();
        prop_assert_eq!(&value, &[[1].as_slice(), &count.to_le_bytes()].concat());
        prop_assert_eq!(Count::from_value(&value).unwrap(), Count(count));
        let other = [[format].as_slice(), &value[1..]].concat();
        for bad in [&value[..cut], &[value.as_slice(), &[0]].concat(), &other] {
            match Count::from_value(bad) {
                Ok(read) => prop_assert!(format == 1 && bad == other && read == Count(count)),
                Err(error) => prop_assert!(matches!(error, StoreError::Corrupt("count"))),
            }
        }
    }
}

#[test]
fn only_the_decision_that_lost_its_row_is_taken_again() {
    let (mine, other) = (key("mine"), key("other"));
    let store = Troubled::new([Trouble::Changed(changed(&other, Some(50)))]);
    let answers = decide_all(&store, vec![Ok(increment(&mine)), Ok(increment(&other))]);
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 51]);
    assert_eq!(store.calls(), (2, 2));
}

#[test]
fn an_error_writes_nothing() {
    let store = Troubled::default();
    let refused = decide(&store, key("row"), |_, change| {
        change.put(&key("row"), &Count(1));
        change.delete(&key("other"));
        Err::<(), _>(StoreError::Decision("refused"))
    });
    assert!(matches!(refused, Err(StoreError::Decision("refused"))));
    assert_eq!((store.calls(), store.all().len()), ((1, 0), 0));
}

#[test]
fn no_write_is_an_answer_without_a_commit() {
    let store = Troubled::new([Trouble::Failed]).fill(&key("row"), Some(4));
    let answer = decide(&store, key("row"), |row, change| {
        assert_eq!((change.writes(), change.bucket()), (0, bucket()));
        Ok::<_, StoreError>(row)
    });
    assert_eq!((answer.unwrap(), store.calls()), (Some(Count(4)), (1, 0)));
    // Also of what reads nothing, as an empty vector of rows does.
    let none: Vec<Key<Count>> = Vec::new();
    assert_eq!(decide(&store, none, |rows, _| Ok::<_, StoreError>(rows.len())).unwrap(), 0);
}

#[test]
fn a_put_replaces_and_a_delete_removes() {
    let store = Troubled::default().fill(&key("a"), Some(1)).fill(&key("b"), Some(2));
    let done = decide(&store, (key("a"), key("b")), |(a, b), change| {
        assert_eq!((a, b), (Some(Count(1)), Some(Count(2))));
        change.delete(&key("a"));
        change.put(&key("b"), &Count(3));
        change.put(&key("b"), &Count(4));
        assert_eq!(change.writes(), 3);
        Ok::<_, StoreError>(())
    });
    done.unwrap();
    assert_eq!(read(&store, &vec![key("a"), key("b")]).unwrap(), [None, Some(Count(4))]);
}

#[test]
fn rows_of_two_buckets_and_rows_that_rest_on_none_are_refused() {
    let store = Troubled::default();
    let reads_both = decide(&store, (key("row"), elsewhere()), |_, _| Ok::<_, StoreError>(()));
    assert_eq!(code(reads_both), "store.decision");
    let writes_elsewhere = decide(&store, key("row"), |_, change| {
        change.put(&elsewhere(), &Count(1));
        Ok::<_, StoreError>(())
    });
    assert_eq!(code(writes_elsewhere), "store.decision");
    let deletes_elsewhere = decide(&store, key("row"), |_, change| {
        change.delete(&elsewhere());
        Ok::<_, StoreError>(())
    });
    assert_eq!(code(deletes_elsewhere), "store.decision");
    let reads_nothing = decide(&store, Vec::<Key<Count>>::new(), |_, change| {
        change.put(&Key::new(change.bucket(), b"row".to_vec()), &Count(1));
        Ok::<_, StoreError>(())
    });
    assert_eq!(code(reads_nothing), "store.decision");
    assert_eq!((store.calls().1, store.all().len()), (0, 0));
}

#[test]
fn a_guard_that_was_not_read_is_refused() {
    let store = Troubled::default();
    // One of the same key in another bucket was not read either.
    let twin = Key::<Count>::new(elsewhere().bucket(), b"row".to_vec());
    for guard in [key("other"), twin] {
        for writes in [true, false] {
            let refused = decide(&store, key("row"), |_, change| {
                change.guarded_by(&key("row"));
                change.guarded_by(&guard);
                if writes {
                    change.put(&key("row"), &Count(1));
                }
                Ok::<_, StoreError>(())
            });
            assert_eq!(code(refused), "store.decision");
        }
    }
    assert_eq!(store.all().len(), 0);
}

#[test]
fn a_row_that_is_too_long_refuses_its_own_decision_only() {
    let store = Troubled::default();
    let long = Decision::new(key("row"), |_, change: &mut Change| {
        change.put(&key(&"k".repeat(MAX_KEY + 1)), &Count(1));
        Ok(0)
    });
    let mut answers = decide_all(&store, vec![Ok(increment(&key("a"))), Ok(long), Ok(increment(&key("b")))]);
    assert_eq!(code(answers.remove(1)), "store.too_long");
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_row_that_does_not_decode_refuses_its_own_decision_only() {
    let store = Troubled::default();
    store.rows.commit(&[Commit::new(bucket()).put(b"bad".to_vec(), vec![2; 9])]).unwrap();
    let mut answers = decide_all(&store, vec![Ok(increment(&key("bad"))), Ok(increment(&key("good")))]);
    assert_eq!(answers.pop().unwrap().unwrap(), 1);
    assert!(matches!(answers.pop().unwrap(), Err(StoreError::Corrupt("count"))));
    assert!(matches!(read(&store, &key("bad")), Err(StoreError::Corrupt("count"))));
}

#[test]
fn a_failed_store_fails_what_was_open_and_keeps_the_other_answers() {
    for lost in [false, true] {
        let store = Troubled::new([if lost { Trouble::Lost } else { Trouble::Failed }]);
        let answered = Decision::new(key("row"), |_, _: &mut Change| Ok(77));
        let refused = Decision::new(key("row"), |_, _: &mut Change| Err(StoreError::InUse));
        let before = Err(StoreError::TooLong);
        let decisions = vec![Ok(increment(&key("row"))), Ok(answered), Ok(refused), before];
        let codes = decide_all(&store, decisions).into_iter().map(|answer| match answer {
            Ok(answer) => answer.to_string(),
            Err(error) => error.code().to_owned(),
        });
        assert_eq!(
            codes.collect::<Vec<_>>(),
            ["store.engine", "77", "store.in_use", "store.too_long"],
            "lost: {lost}"
        );
        assert_eq!(read(&store, &key("row")).unwrap(), lost.then_some(Count(1)));
    }
}

#[test]
fn a_decision_whose_row_always_changes_is_contended_after_256_rounds() {
    let row = key("row");
    for (changes, contended) in [(255, false), (256, true)] {
        let store = Troubled::new((0..changes).map(|round| Trouble::Changed(changed(&row, Some(round)))));
        let rounds = RefCell::new(0);
        let answer = decide(&store, row.clone(), |_, change| {
            *rounds.borrow_mut() += 1;
            change.put(&row, &Count(1_000));
            Ok::<_, StoreError>(())
        });
        assert_eq!(*rounds.borrow(), 256);
        match contended {
            true => assert_eq!(code(answer), "store.contended"),
            false => answer.unwrap(),
        }
    }
}

#[test]
fn of_the_decisions_that_write_one_row_256_fit_into_a_call() {
    let store = Troubled::default();
    let mut answers = decide_all(&store, (0..257).map(|_| Ok(increment(&key("row")))).collect());
    assert_eq!(code(answers.pop().unwrap()), "store.contended");
    assert!(answers.into_iter().map(Result::unwrap).eq(1..=256));
}

#[test]
fn a_marker_holds_one_byte_and_a_message_its_own() {
    assert_eq!(Present.to_value(), [1]);
    assert!(Present::from_value(&[1]).is_ok());
    for bad in [&[][..], &[0], &[1, 1]] {
        assert!(matches!(Present::from_value(bad), Err(StoreError::Corrupt("marker"))));
    }
    let entry = BindingEntry { wallet_key_hash: [2; 32], commitment: [3; 32] };
    let row = MessageRow(entry.clone());
    assert_eq!(row.to_value(), entry.to_bytes());
    assert_eq!(MessageRow::<BindingEntry>::from_value(&entry.to_bytes()).unwrap().0, entry);
    for bad in [&entry.to_bytes()[1..], &[entry.to_bytes(), vec![0]].concat(), &[]] {
        let refused = MessageRow::<BindingEntry>::from_value(bad);
        assert!(matches!(refused.map(|row| row.0), Err(StoreError::Corrupt("binding entry"))));
    }
}

#[test]
fn what_is_printed_holds_no_key_and_no_value() {
    let printed = format!("{:?}", key("account"));
    assert!(!printed.contains("account") && !printed.contains("97"), "{printed}");
    let mut said = String::new();
    let seen = decide(&Troubled::default(), key("account"), |_, change| {
        change.put(&key("account"), &Count(0x6163));
        said = format!("{change:?}");
        Ok::<_, StoreError>(())
    });
    seen.unwrap();
    assert!(said.contains('1') && !said.contains("account") && !said.contains("97"), "{said}");
}
