//! A bounded queue that decides many requests with one commit.
//!
//! A durable commit costs a sync of the disk, whether it carries one decision or hundreds. A proof
//! verified in a batch costs less than one verified alone. So each service puts its requests through a
//! [`GroupQueue`]. A few worker threads take whatever is waiting, call the service's work once for all
//! of it, and complete each request's [`Pending`] handle. There are no timers: a lone request is taken
//! at once, and batches grow by themselves while the workers are busy. With two workers one batch is
//! verified while another is synced.
//!
//! The bound is what an overloaded service needs: it refuses ([`QueueError::Full`]) at once
//! instead of answering everyone late. A refusal, too, comes through the [`Pending`] handle, so
//! that a caller has one error to look at.
//!
//! `gate` holds the protocol of admission, gathering and completion; here are the threads.

mod gate;
#[cfg(test)]
mod tests;

/// What the gate stands on; its model checker puts loom's in their place.
mod sync {
    pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
}

pub use self::gate::Pending;

use self::gate::{Entry, Gate};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use unjoin_core::describe_errors;

/// How a service's queue is bounded. A 0 counts as 1.
///
/// ```
/// use unjoin_store::QueueConfig;
/// // A service of few callers: what waits longer is told to ask again.
/// let config = QueueConfig { capacity: 256, ..QueueConfig::default() };
/// assert_eq!((config.max_batch, config.workers), (256, 2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The most requests that may wait; those that a worker has taken no longer count.
    pub capacity: usize,
    /// The most requests that a worker takes at once.
    pub max_batch: usize,
    /// The number of worker threads.
    pub workers: usize,
}

impl Default for QueueConfig {
    /// 4096 may wait, 256 are taken at once, by two workers.
    fn default() -> Self {
        Self { capacity: 4096, max_batch: 256, workers: 2 }
    }
}

describe_errors! {
    /// Why a request was not decided, or not known to be.
    ///
    /// ```
    /// use unjoin_store::QueueError;
    /// // All of them may be asked again, and no decision is made twice.
    /// let errors = [QueueError::Full, QueueError::Stopped, QueueError::Lost];
    /// assert!(errors.iter().all(QueueError::is_retryable));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum QueueError (Operator, true) {
        /// As many requests wait as may; this one was dropped undecided.
        Full => "queue.full", "too many requests are waiting: ask again later";
        /// The service is shutting down; the request was dropped undecided.
        Stopped => "queue.stopped" (Host, true),
            "the service is shutting down: ask another instance, or this one after its restart";
        /// The worker failed while it held the request: it may or may not have been decided.
        Lost => "queue.lost",
            "the worker failed and the request may or may not have been decided: asking again is safe";
    }
}

/// A bounded queue of jobs `J`, each answered once with an `R`, a `Result`, and the threads that
/// serve it.
///
/// Dropping it stops admission, lets the workers answer everything admitted, and joins them.
#[doc(hidden)]
pub struct GroupQueue<J, R> {
    gate: Arc<Gate<J, R>>,
    workers: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static, R: Send + 'static> GroupQueue<J, R> {
    /// Starts the workers. `work` is given at most `max_batch` jobs, in the order of admission,
    /// and returns one result for each, in the same order.
    ///
    /// If it panics, or returns another number of results, no result can be matched to its job with
    /// certainty. That batch is answered with [`QueueError::Lost`] and the worker goes on.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    #[doc(hidden)]
    pub fn start(
        config: QueueConfig,
        work: impl Fn(Vec<J>) -> Vec<R> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let gate = Arc::new(Gate::new(config.capacity.max(1)));
        let work = Arc::new(work);
        let mut queue = Self { gate, workers: Vec::new() };
        for number in 0..config.workers.max(1) {
            let (gate, work) = (Arc::clone(&queue.gate), Arc::clone(&work));
            let serve = move || {
                while let Some(batch) = gate.gather(config.max_batch.max(1)) {
                    // No state of ours is left half-changed by a panic: what the batch's jobs
                    // did is the store's to keep whole.
                    let _ = catch_unwind(AssertUnwindSafe(|| answer(batch, &*work)));
                }
            };
            queue.workers.push(thread::Builder::new().name(format!("unjoin-{number}")).spawn(serve)?);
        }
        Ok(queue)
    }
}

impl<J, T, E: From<QueueError>> GroupQueue<J, Result<T, E>> {
    /// Admits one job. One that is refused ([`QueueError::Full`], [`QueueError::Stopped`]) is
    /// dropped, undecided.
    #[doc(hidden)]
    pub fn submit(&self, job: J) -> Pending<T, E> {
        self.gate.admit(job).unwrap_or_else(|refusal| Pending::refused(refusal.into()))
    }

    /// How many jobs wait for a worker.
    #[doc(hidden)]
    pub fn waiting(&self) -> usize {
        self.gate.waiting()
    }

    /// Admits all of `jobs` or none; one handle for each, in order. More than the queue's
    /// capacity are never admitted. They need not be taken in one batch.
    #[doc(hidden)]
    pub fn submit_all(&self, jobs: Vec<J>) -> Vec<Pending<T, E>> {
        let count = jobs.len();
        self.gate
            .admit_all(jobs)
            .unwrap_or_else(|refusal| (0..count).map(|_| Pending::refused(refusal.into())).collect())
    }
}

/// Decides one batch. Whatever ends it early drops the remaining promises, which answers `Lost`.
fn answer<J, R>(batch: Vec<Entry<J, R>>, work: &impl Fn(Vec<J>) -> Vec<R>) {
    let (jobs, promises): (Vec<J>, Vec<_>) = batch.into_iter().map(|e| (e.job, e.promise)).unzip();
    let results = work(jobs);
    if results.len() == promises.len() {
        for (promise, result) in promises.into_iter().zip(results) {
            promise.fulfil(result);
        }
    }
}

impl<J, R> Drop for GroupQueue<J, R> {
    fn drop(&mut self) {
        self.gate.stop();
        for worker in self.workers.drain(..) {
            // `work` may hold the last reference to the queue's owner: a worker that drops its
            // own queue must not wait for itself. It ends when it has drained the rest.
            if worker.thread().id() != thread::current().id() {
                let _ = worker.join();
            }
        }
    }
}
