//! Admission, gathering and completion, without any thread: small enough to be model-checked,
//! which `tests/loom` does.
//!
//! Two objects, each one lock: the [`Gate`], where admitted jobs wait, and one [`Slot`] per job,
//! where its answer is left. No lock is held while another is taken, nor while foreign code (a
//! job's or a result's drop, a waker) runs.
//!
//! Invariants:
//! * every admitted job is gathered exactly once, in the order of admission, even after `stop`;
//! * every [`Promise`] answers its slot exactly once: `fulfil` consumes it, and dropping it
//!   unfulfilled answers [`QueueError::Lost`], so no path leaves a handle waiting;
//! * whenever jobs wait and a worker sleeps in `gather`, a notification is on its way: `admit`
//!   sends one after adding, and anybody who takes less than everything sends the next.

use super::QueueError;
use super::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A job that waits, and the promise to answer it.
pub(super) struct Entry<J, R> {
    pub(super) job: J,
    pub(super) promise: Promise<R>,
}

/// Where admitted jobs wait for a worker.
pub(super) struct Gate<J, R> {
    waiting: Mutex<Waiting<J, R>>,
    arrived: Condvar,
    capacity: usize,
}

struct Waiting<J, R> {
    entries: VecDeque<Entry<J, R>>,
    stopped: bool,
}

impl<J, R> Gate<J, R> {
    /// Open and empty; at most `capacity` jobs wait at any time.
    pub(super) fn new(capacity: usize) -> Self {
        let waiting = Waiting { entries: VecDeque::new(), stopped: false };
        Self { waiting: Mutex::new(waiting), arrived: Condvar::new(), capacity }
    }

    /// `entries` is taken by value and outlives the lock's guard: what is refused is dropped
    /// outside it.
    fn enter(&self, count: usize, entries: impl Iterator<Item = Entry<J, R>>) -> Result<(), QueueError> {
        let mut waiting = lock(&self.waiting);
        if waiting.stopped {
            return Err(QueueError::Stopped);
        }
        if self.capacity.saturating_sub(waiting.entries.len()) < count {
            return Err(QueueError::Full);
        }
        waiting.entries.extend(entries);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits until there is a job, and takes all that wait, up to `max`; `None` once the gate is
    /// stopped and empty.
    pub(super) fn gather(&self, max: usize) -> Option<Vec<Entry<J, R>>> {
        let mut waiting = lock(&self.waiting);
        while waiting.entries.is_empty() {
            if waiting.stopped {
                return None;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let count = waiting.entries.len().min(max);
        let batch = waiting.entries.drain(..count).collect();
        let more = !waiting.entries.is_empty();
        drop(waiting);
        if more {
            self.arrived.notify_one();
        }
        Some(batch)
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.waiting).entries.len()
    }

    /// Admits nothing from now on; what was admitted is still gathered.
    pub(super) fn stop(&self) {
        lock(&self.waiting).stopped = true;
        self.arrived.notify_all();
    }
}

impl<J, T, E> Gate<J, Result<T, E>> {
    /// Admits one job.
    pub(super) fn admit(&self, job: J) -> Result<Pending<T, E>, QueueError> {
        let (entry, pending) = promise(job);
        self.enter(1, std::iter::once(entry))?;
        Ok(pending)
    }

    /// Admits all of `jobs` or none.
    pub(super) fn admit_all(&self, jobs: Vec<J>) -> Result<Vec<Pending<T, E>>, QueueError> {
        let (entries, pending): (Vec<_>, Vec<_>) = jobs.into_iter().map(promise).unzip();
        self.enter(entries.len(), entries.into_iter())?;
        Ok(pending)
    }
}

/// The answer to a request: a [`Future`] of no particular executor, or [`wait`](Self::wait) for
/// it on this thread. A request that the queue refused is answered already, with the refusal.
///
/// Dropping it does not take the request back: it is decided all the same.
///
/// # Panics
/// Polling it again after it has answered panics, as futures do.
///
/// ```
/// # use unjoin_store::{QueueConfig, QueueError, queue::GroupQueue};
/// use unjoin_store::Pending;
/// # let double = |jobs: Vec<u32>| jobs.into_iter().map(|job| Ok(2 * job)).collect();
/// # let queue: GroupQueue<u32, Result<u32, QueueError>> = GroupQueue::start(QueueConfig::default(), double)?;
/// let [one, other]: [Pending<u32, QueueError>; 2] = [queue.submit(20), queue.submit(21)];
/// // Both are under way; each is waited for.
/// assert_eq!((one.wait()?, other.wait()?), (40, 42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the request is decided all the same, but its answer is lost"]
pub struct Pending<T, E> {
    slot: Arc<Slot<Result<T, E>>>,
}

impl<T, E> Pending<T, E> {
    /// The answer to what is refused before it comes to a queue.
    #[doc(hidden)]
    pub fn refused(error: E) -> Self {
        Self { slot: Slot::new(Answer::Given(Ok(Err(error)))) }
    }
}

impl<T, E: From<QueueError>> Pending<T, E> {
    /// Waits for the answer. It blocks the thread: in asynchronous code await the handle instead.
    ///
    /// # Errors
    /// The service's. Among them are [`QueueError::Full`] and [`QueueError::Stopped`], by which
    /// the request was not admitted, and [`QueueError::Lost`] when the worker failed: it may or
    /// may not have been decided.
    pub fn wait(self) -> Result<T, E> {
        let mut answer = lock(&self.slot.answer);
        loop {
            if let Some(result) = answer.take() {
                return result.map_err(E::from).flatten();
            }
            answer = self.slot.answered.wait(answer).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T, E: From<QueueError>> Future for Pending<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A waker is foreign code: cloned before the lock is taken, and the one it replaces (only
        // the last counts) dropped after it is given back.
        let waker = context.waker().clone();
        let mut answer = lock(&self.slot.answer);
        if let Some(result) = answer.take() {
            return Poll::Ready(result.map_err(E::from).flatten());
        }
        let replaced = mem::replace(&mut *answer, Answer::Awaited(Some(waker)));
        drop(answer);
        drop(replaced);
        Poll::Pending
    }
}

/// Prints nothing of the answer.
impl<T, E> std::fmt::Debug for Pending<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// Where one job's answer is left.
struct Slot<R> {
    answer: Mutex<Answer<R>>,
    answered: Condvar,
}

impl<R> Slot<R> {
    fn new(answer: Answer<R>) -> Arc<Self> {
        Arc::new(Self { answer: Mutex::new(answer), answered: Condvar::new() })
    }
}

enum Answer<R> {
    Awaited(Option<Waker>),
    Given(Result<R, QueueError>),
    Taken,
}

impl<R> Answer<R> {
    /// The answer if it has been given.
    fn take(&mut self) -> Option<Result<R, QueueError>> {
        match mem::replace(self, Self::Taken) {
            Self::Given(result) => Some(result),
            Self::Taken => panic!("the handle was polled again after it had answered"),
            awaited => {
                *self = awaited;
                None
            }
        }
    }
}

/// The duty to answer one job.
pub(super) struct Promise<R> {
    /// `None` once answered.
    slot: Option<Arc<Slot<R>>>,
}

fn promise<J, T, E>(job: J) -> (Entry<J, Result<T, E>>, Pending<T, E>) {
    let slot = Slot::new(Answer::Awaited(None));
    let promise = Promise { slot: Some(Arc::clone(&slot)) };
    (Entry { job, promise }, Pending { slot })
}

impl<R> Promise<R> {
    /// Answers the job.
    pub(super) fn fulfil(mut self, result: R) {
        self.answer(Ok(result));
    }

    fn answer(&mut self, result: Result<R, QueueError>) {
        let Some(slot) = self.slot.take() else { return };
        let before = mem::replace(&mut *lock(&slot.answer), Answer::Given(result));
        slot.answered.notify_one();
        if let Answer::Awaited(Some(waker)) = before {
            // An executor's waker that panics must not keep this batch's neighbours waiting, nor
            // abort the process when this is a drop during a panic.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

impl<R> Drop for Promise<R> {
    fn drop(&mut self) {
        self.answer(Err(QueueError::Lost));
    }
}

/// A poisoned lock is taken over: no change under it can be interrupted halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
