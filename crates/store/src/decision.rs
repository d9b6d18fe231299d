//! The one commit path. A decision reads rows, and writes what follows from them, in one commit
//! whose preconditions are exactly the rows that were read.
//!
//! ```
//! use unjoin_store::{Bucket, Key, MemoryStore, Present, StoreError, decide};
//! let store = MemoryStore::new();
//! let spent: Key<Present> = Key::new(Bucket::of(b"merchant 17"), b"serial".to_vec());
//! let spend = || {
//!     decide(&store, spent.clone(), |row, change| match row {
//!         Some(Present) => Ok::<_, StoreError>("spent before"),
//!         None => {
//!             change.put(&spent, &Present);
//!             Ok("spent now")
//!         }
//!     })
//! };
//! assert_eq!(spend()?, "spent now");
//! assert_eq!(spend()?, "spent before");
//! # Ok::<(), StoreError>(())
//! ```

use super::observed::Work;
use super::{Bucket, Commit, Key, Outcome, Reads, Record, RowKey, Store, StoreError, Write};

/// How often one decision may find that a row changed under it before the caller is told.
/// Each round decides at least one of the decisions that contend for a row.
const ROUNDS: usize = 256;

/// What a decision writes. All of its rows lie in the bucket of the rows that it read.
///
/// ```
/// use unjoin_store::{Bucket, Key, MemoryStore, StoreError, decide, read};
/// # use unjoin_core::wire::{DecodeError, Reader, Writer};
/// # struct Orders(u64);
/// # impl unjoin_store::Record for Orders {
/// #     const NAME: &'static str = "orders";
/// #     fn encode(&self, out: &mut Writer) { out.le64(self.0) }
/// #     fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> { from.le64("orders").map(Self) }
/// # }
/// let (store, key) = (MemoryStore::new(), Key::<Orders>::new(Bucket::of(b"merchant 17"), b"n".to_vec()));
/// decide(&store, key.clone(), |orders, change| {
///     change.put(&key, &Orders(orders.map_or(0, |Orders(n)| n) + 1));
///     assert_eq!((change.writes(), change.bucket()), (1, key.bucket()));
///     Ok::<_, StoreError>(())
/// })?;
/// assert!(matches!(read(&store, &key)?, Some(Orders(1))));
/// # Ok::<(), StoreError>(())
/// ```
pub struct Change {
    bucket: Bucket,
    writes: Vec<Write>,
    guards: Option<Vec<RowKey>>,
    is_misplaced: bool,
}

impl Change {
    /// Inserts or replaces a row.
    pub fn put<R: Record>(&mut self, key: &Key<R>, row: &R) {
        self.write(key, Write::Put(key.bytes().to_vec(), row.to_value()));
    }

    /// Deletes a row; nothing happens if it is not there.
    pub fn delete<R>(&mut self, key: &Key<R>) {
        self.write(key, Write::Delete(key.bytes().to_vec()));
    }

    /// The opt-out: of the rows that were read, only those named here are preconditions. For
    /// decisions in which one row changes whenever any of the others does.
    pub fn guarded_by<R>(&mut self, key: &Key<R>) {
        self.guards.get_or_insert_default().push(key.at().clone());
    }

    /// The bucket of the rows that were read, in which all that is written lies.
    pub fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// How many rows are written so far.
    pub fn writes(&self) -> usize {
        self.writes.len()
    }

    fn write<R>(&mut self, key: &Key<R>, write: Write) {
        self.is_misplaced |= key.bucket() != self.bucket;
        self.writes.push(write);
    }

    /// Which of the rows that were read are preconditions: all of them, or the guards.
    fn preconditions(&self, keys: &[RowKey]) -> Result<Vec<bool>, StoreError> {
        let Some(guards) = &self.guards else { return Ok(vec![true; keys.len()]) };
        let mut guards: Vec<(&RowKey, bool)> = guards.iter().map(|guard| (guard, false)).collect();
        guards.sort_unstable();
        guards.dedup();
        let is_guard = |key: &RowKey| {
            let found = guards.binary_search_by(|(guard, _)| (*guard).cmp(key)).ok();
            found.and_then(|at| guards.get_mut(at)).map(|(_, was_read)| *was_read = true).is_some()
        };
        let are: Vec<bool> = keys.iter().map(is_guard).collect();
        match guards.iter().all(|(_, was_read)| *was_read) {
            true => Ok(are),
            false => Err(StoreError::Decision("a guard that was not read")),
        }
    }

    /// The commit, if anything is written. What one decision got wrong refuses that one alone.
    fn into_commit(self, keys: &[RowKey], read: &[Option<Vec<u8>>]) -> Result<Option<Commit>, StoreError> {
        if self.is_misplaced || keys.iter().any(|key| key.bucket != self.bucket) {
            return Err(StoreError::Decision("rows of two buckets"));
        }
        let is_precondition = self.preconditions(keys)?;
        if self.writes.is_empty() {
            return Ok(None);
        }
        if keys.is_empty() {
            return Err(StoreError::Decision("rows to write and none that was read"));
        }
        let mut commit = Commit::new(self.bucket);
        for ((key, value), _) in keys.iter().zip(read).zip(is_precondition).filter(|(_, is)| *is) {
            commit = commit.expect(&key.key, value.as_deref());
        }
        commit.writes = self.writes;
        commit.check_lengths()?;
        Ok(Some(commit))
    }
}

// Prints no row.
unjoin_core::opaque!(Change | change | writes = change.writes.len());

type Decide<'a, A, E> = dyn FnMut(&[Option<Vec<u8>>], &mut Change) -> Result<A, E> + 'a;

/// A decision that is to be taken: the rows it reads, and what follows from them.
///
/// ```
/// use unjoin_store::{Bucket, Decision, Key, MemoryStore, Present, StoreError, decide_all};
/// let (store, key) = (MemoryStore::new(), Key::<Present>::new(Bucket::of(b"merchant 17"), b"serial".to_vec()));
/// let spend = Decision::new(key.clone(), |spent, change| {
///     change.put(&key, &Present);
///     Ok::<_, StoreError>(spent.is_none())
/// });
/// let answers = decide_all(&store, vec![Ok(spend)]);
/// assert!(matches!(answers[..], [Ok(true)]));
/// ```
pub struct Decision<'a, A, E> {
    keys: Vec<RowKey>,
    decide: Box<Decide<'a, A, E>>,
}

impl<'a, A, E: From<StoreError>> Decision<'a, A, E> {
    /// `decide` is given what the rows hold. What it writes is committed only if all of them are still
    /// as they were read. Otherwise it is called again with fresh rows, so it must keep nothing of an
    /// earlier call. Its answer holds once the change is durable; if it writes nothing, at once. An
    /// error writes nothing.
    pub fn new<R: Reads + 'a>(
        reads: R,
        mut decide: impl FnMut(R::Rows, &mut Change) -> Result<A, E> + 'a,
    ) -> Self {
        let mut keys = Vec::new();
        reads.append_to(&mut keys);
        let decide = move |values: &[Option<Vec<u8>>], change: &mut Change| {
            decide(reads.decode(&mut values.iter())?, change)
        };
        Self { keys, decide: Box::new(decide) }
    }
}

/// Takes all decisions with one read and one commit a round: those that share a round share its
/// durable write. What was refused before stays refused. A failed store fails those that were
/// still open; the answers of the others stand.
///
/// Of the decisions that write one row, each round takes one: at most 256 of them fit into a call,
/// and those beyond are [`StoreError::Contended`].
///
/// ```
/// use unjoin_store::{Bucket, Decision, Key, MemoryStore, Present, StoreError, decide_all};
/// let store = MemoryStore::new();
/// let spend = |serial: &[u8]| {
///     let key = Key::<Present>::new(Bucket::of(b"merchant 17"), serial.to_vec());
///     Ok(Decision::new(key.clone(), move |spent, change| {
///         change.put(&key, &Present);
///         Ok::<_, StoreError>(spent.is_none())
///     }))
/// };
/// // The second of one serial finds what the first did; both others share the first one's durable write.
/// let answers: Result<Vec<bool>, _> = decide_all(&store, vec![spend(b"1"), spend(b"1"), spend(b"2")]).into_iter().collect();
/// assert_eq!(answers?, [true, false, true]);
/// # Ok::<(), StoreError>(())
/// ```
pub fn decide_all<S: Store + ?Sized, A, E: From<StoreError>>(
    store: &S,
    decisions: Vec<Result<Decision<'_, A, E>, E>>,
) -> Vec<Result<A, E>> {
    let mut slots: Vec<Slot<'_, A, E>> = decisions
        .into_iter()
        .map(|decision| match decision {
            Ok(decision) => Slot::Open(decision),
            Err(error) => Slot::Taken(Err(error)),
        })
        .collect();
    for _ in 0..ROUNDS {
        if slots.iter().all(|slot| matches!(slot, Slot::Taken(_))) {
            break;
        }
        if let Err(failure) = round(store, &mut slots) {
            return slots.into_iter().map(|slot| slot.or(&failure)).collect();
        }
    }
    slots.into_iter().map(|slot| slot.or(&StoreError::Contended)).collect()
}

/// Takes one decision: see [`Decision::new`].
///
/// # Errors
/// The decision's own, or the store's.
///
/// ```
/// use unjoin_store::{Bucket, Key, MemoryStore, Present, StoreError, decide, read};
/// let store = MemoryStore::new();
/// let [order, grant] = ["order", "grant"].map(|row| Key::<Present>::new(Bucket::of(b"merchant 17"), row.into()));
/// // Two rows are read, and one is written if both are as they were.
/// let refused = decide(&store, (order, grant.clone()), |(order, _granted), change| {
///     order.ok_or(StoreError::Missing("order"))?;
///     change.put(&grant, &Present);
///     Ok(())
/// });
/// assert!(matches!(refused, Err(StoreError::Missing(_))));
/// assert!(read(&store, &grant)?.is_none());
/// # Ok::<(), StoreError>(())
/// ```
pub fn decide<S: Store + ?Sized, R: Reads, A, E: From<StoreError>>(
    store: &S,
    reads: R,
    decide: impl FnMut(R::Rows, &mut Change) -> Result<A, E>,
) -> Result<A, E> {
    let answers = decide_all(store, vec![Ok(Decision::new(reads, decide))]);
    answers.into_iter().next().unwrap_or_else(|| Err(StoreError::Contended.into()))
}

enum Slot<'a, A, E> {
    Open(Decision<'a, A, E>),
    Taken(Result<A, E>),
}

impl<A, E: From<StoreError>> Slot<'_, A, E> {
    fn or(self, failure: &StoreError) -> Result<A, E> {
        match self {
            Self::Open(_) => Err(failure.clone().into()),
            Self::Taken(answer) => answer,
        }
    }
}

fn round<S: Store + ?Sized, A, E: From<StoreError>>(
    store: &S,
    slots: &mut [Slot<'_, A, E>],
) -> Result<(), StoreError> {
    // Keys are many, and go to the store as they are: only who must decide again gets its own back.
    let (mut keys, mut counts) = (Vec::new(), Vec::new());
    for slot in slots.iter_mut() {
        if let Slot::Open(decision) = slot {
            counts.push(decision.keys.len());
            keys.append(&mut decision.keys);
        }
    }
    let rows = store.read(&keys)?;
    let (mut rest, mut rest_of_keys) = (rows.as_slice(), keys.as_slice());
    let (mut commits, mut pending) = (Vec::new(), Vec::new());
    let open = slots.iter_mut().filter(|slot| matches!(slot, Slot::Open(_)));
    for (slot, count) in open.zip(counts) {
        let Slot::Open(decision) = slot else { continue };
        let (Some((own, tail)), Some((keys, tail_of_keys))) =
            (rest.split_at_checked(count), rest_of_keys.split_at_checked(count))
        else {
            return Err(StoreError::Corrupt("read"));
        };
        (rest, rest_of_keys) = (tail, tail_of_keys);
        // What reads nothing has no bucket, and may write nothing.
        let bucket = keys.first().map_or_else(|| Bucket::of(b""), |first| first.bucket);
        let mut change = Change { bucket, writes: Vec::new(), guards: None, is_misplaced: false };
        let decided = (decision.decide)(own, &mut change)
            .and_then(|answer| Ok((change.into_commit(keys, own)?, answer)));
        match decided {
            Ok((None, answer)) => *slot = Slot::Taken(Ok(answer)),
            Ok((Some(commit), answer)) => {
                commits.push(commit);
                pending.push((slot, keys, answer));
            }
            Err(error) => *slot = Slot::Taken(Err(error)),
        }
    }
    if commits.is_empty() {
        return Ok(());
    }
    static COMMITS: Work = Work::new("commits");
    let outcomes = COMMITS.timed(commits.len(), || store.commit(&commits))?;
    for (outcome, (slot, keys, answer)) in outcomes.into_iter().zip(pending) {
        match slot {
            Slot::Open(decision) if outcome != Outcome::Committed => decision.keys = keys.to_vec(),
            _ => *slot = Slot::Taken(Ok(answer)),
        }
    }
    Ok(())
}
