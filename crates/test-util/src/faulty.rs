//! A store that fails, or lets something else happen, when it is told to; and a look at all rows.

use std::sync::Mutex;
use unjoin_store::{Bucket, Commit, MemoryStore, Outcome, Row, RowKey, See, Store, StoreError};

/// What a store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Read,
    Scan,
    Commit,
    Rewrite,
}

/// How a call that writes fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Nothing is applied.
    Before,
    /// The first half of the call's commits are applied.
    Halfway,
    /// Everything is applied but the call's last commits, so many.
    Without(usize),
    /// Everything is applied and the answer is lost.
    Lost,
}

impl Failure {
    pub const ALL: [Self; 3] = [Self::Before, Self::Halfway, Self::Lost];

    /// Has each of them happen at the first call that writes, at the second, and so on: `run` tells its store that the
    /// call after so many fails so, and says whether one did. How many calls write: the same for each failure.
    pub fn at_every_write(
        failures: impl IntoIterator<Item = Self>,
        mut run: impl FnMut(usize, Self) -> bool,
    ) -> usize {
        let mut writes =
            failures.into_iter().map(|failure| (0..).take_while(|&after| run(after, failure)).count());
        let first = writes.next().expect("a failure");
        assert!(writes.all(|count| count == first), "another failure, another number of calls that write");
        first
    }
}

struct Event {
    call: Call,
    /// So many such calls, and it comes.
    left: usize,
    happen: Box<dyn FnOnce() + Send>,
}

/// A store that does what `rows` does, until it is told otherwise, and notes what it is asked for.
pub struct Faulty<S = MemoryStore> {
    pub rows: S,
    keeps_order: bool,
    plan: Mutex<Option<(usize, Failure)>>,
    events: Mutex<Vec<Event>>,
    calls: Mutex<Vec<Call>>,
    reads: Mutex<Vec<Vec<RowKey>>>,
    commits: Mutex<Vec<Commit>>,
}

impl Faulty {
    pub fn in_memory() -> Self {
        Self::new(MemoryStore::new())
    }
}

impl<S> Faulty<S> {
    pub fn new(rows: S) -> Self {
        let (plan, events, calls, reads, commits) = Default::default();
        Self { rows, keeps_order: false, plan, events, calls, reads, commits }
    }

    /// Without a rewrite: for what is to be seen, or cannot be done, with it.
    pub fn rewritten(self, rewritten: bool) -> Self {
        Self { keeps_order: !rewritten, ..self }
    }

    /// Fails one call that writes, the one after `after` further ones.
    pub fn fail(&self, after: usize, failure: Failure) {
        *self.plan.lock().unwrap() = Some((after, failure));
    }

    /// Whether the planned failure has come; forgets it otherwise.
    pub fn failed(&self) -> bool {
        self.plan.lock().unwrap().take().is_none()
    }

    /// Does this before one such call, the one after `after` further ones: before a commit is
    /// between what a decision reads and what it writes.
    pub fn before(&self, call: Call, after: usize, happen: impl FnOnce() + Send + 'static) {
        self.events.lock().unwrap().push(Event { call, left: after + 1, happen: Box::new(happen) });
    }

    /// How many calls there were that write.
    pub fn writes(&self) -> usize {
        self.count(Call::Commit) + self.count(Call::Rewrite)
    }

    pub fn count(&self, call: Call) -> usize {
        self.calls.lock().unwrap().iter().filter(|noted| **noted == call).count()
    }

    /// The keys of each call that read.
    pub fn reads(&self) -> Vec<Vec<RowKey>> {
        self.reads.lock().unwrap().clone()
    }

    /// All commits that were asked for, whatever became of them.
    pub fn commits(&self) -> Vec<Commit> {
        self.commits.lock().unwrap().clone()
    }

    fn begin(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
        let is_due = |event: &mut Event| {
            let is_it = event.call == call;
            event.left -= usize::from(is_it);
            is_it && event.left == 0
        };
        let due: Vec<Event> = self.events.lock().unwrap().extract_if(.., is_due).collect();
        due.into_iter().for_each(|event| (event.happen)());
    }

    fn write<T>(&self, part: impl Fn(Option<Failure>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut plan = self.plan.lock().unwrap();
        let failure = match plan.take() {
            Some((0, failure)) => Some(failure),
            later => {
                *plan = later.map(|(after, failure)| (after - 1, failure));
                None
            }
        };
        drop(plan);
        let answer = part(failure)?;
        if failure.is_some() { Err(StoreError::engine("told to fail")) } else { Ok(answer) }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.reads.lock().unwrap().push(keys.to_vec());
        self.begin(Call::Read);
        self.rows.read(keys)
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.begin(Call::Scan);
        self.rows.scan(bucket, prefix, after, limit)
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.commits.lock().unwrap().extend_from_slice(commits);
        self.begin(Call::Commit);
        self.write(|failure| match failure {
            Some(Failure::Before) => Ok(Vec::new()),
            Some(Failure::Halfway) => self.rows.commit(&commits[..commits.len() / 2]),
            Some(Failure::Without(last)) => self.rows.commit(&commits[..commits.len().saturating_sub(last)]),
            Some(Failure::Lost) | None => self.rows.commit(commits),
        })
    }

    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        self.rows.snapshot(see)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.begin(Call::Rewrite);
        self.write(|failure| match failure {
            Some(Failure::Before | Failure::Halfway | Failure::Without(_)) => Ok(()),
            _ if self.keeps_order => Ok(()),
            Some(Failure::Lost) | None => self.rows.rewrite(),
        })
    }
}

/// Every row but the mark, which goes on with each opening.
pub fn dump(store: &(impl Store + ?Sized)) -> Vec<(Bucket, Row)> {
    all(store).into_iter().filter(|(_, row)| row.key != MARK).collect()
}

/// The rows that its service has written.
pub fn written(store: &(impl Store + ?Sized)) -> Vec<(Bucket, Row)> {
    let own = Bucket::of(b"the store itself");
    dump(store).into_iter().filter(|(bucket, row)| *bucket != own || !row.key.starts_with(b"s")).collect()
}

/// The key of the mark, see `unjoin_store::identity`.
const MARK: &[u8] = b"sm";

fn all(store: &(impl Store + ?Sized)) -> Vec<(Bucket, Row)> {
    let rows = |bucket| store.scan(bucket, b"", None, usize::MAX).unwrap().into_iter();
    Bucket::all().flat_map(|bucket| rows(bucket).map(move |row| (bucket, row))).collect()
}

/// Writes every row of `from` into `to`.
pub fn fill<S: Store>(to: S, from: &(impl Store + ?Sized)) -> S {
    let put = |(bucket, row): (Bucket, Row)| Commit::new(bucket).put(row.key, row.value);
    let commits: Vec<Commit> = all(from).into_iter().map(put).collect();
    assert!(commits.chunks(256).all(|commits| to.commit(commits).is_ok()));
    to
}

/// A store in memory with the same rows.
pub fn copy(store: &(impl Store + ?Sized)) -> MemoryStore {
    fill(MemoryStore::new(), store)
}

/// Whether `needle` stands in a row's key or value.
pub fn holds_bytes(store: &(impl Store + ?Sized), needle: &[u8]) -> bool {
    let stands = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    dump(store).iter().any(|(_, row)| stands(&row.key) || stands(&row.value))
}
