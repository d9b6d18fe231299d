//! The queue's gate (`src/queue/gate.rs`, the very file) under every interleaving of a few
//! threads, by the model checker loom: every admitted job is answered exactly once, nobody sleeps
//! for ever, no more wait than may, and a stop drains what was admitted. A thread that nobody
//! wakes is a deadlock, which loom reports.
//!
//! What each test catches was tried by planting the fault: without the `notify_one` of `enter`,
//! of `gather` or of `Promise::answer`, with a `notify_one` in `stop`, with `poll` keeping its
//! first waker, with `gather` ending as soon as the gate is stopped, with a capacity that is
//! compared before the lock is taken, or without `Promise`'s `drop`, at least one of them fails.

#![cfg(test)]

#[path = "../../../crates/store/src/queue/gate.rs"]
mod gate;

mod sync {
    pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;
}

/// The queue's errors, as far as the gate gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    Full,
    Stopped,
    Lost,
}

use gate::{Entry, Gate, Pending};
use loom::sync::{Arc, Notify};
use loom::thread;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

type Answer = Result<usize, QueueError>;
type Jobs = Gate<usize, Answer>;

/// Serves as a queue's worker does, until the gate is stopped and empty: how many jobs it had.
fn serve(gate: &Jobs, max: usize) -> usize {
    let mut served = 0;
    while let Some(batch) = gate.gather(max) {
        assert!((1..=max).contains(&batch.len()));
        served += batch.len();
        batch.into_iter().for_each(fulfil);
    }
    served
}

fn fulfil(entry: Entry<usize, Answer>) {
    entry.promise.fulfil(Ok(entry.job + 100));
}

/// A gate for two jobs, and a worker that takes so many at a time.
fn served(max: usize) -> (Arc<Jobs>, thread::JoinHandle<usize>) {
    let gate = Arc::new(Jobs::new(2));
    let worker = thread::spawn({
        let gate = Arc::clone(&gate);
        move || serve(&gate, max)
    });
    (gate, worker)
}

/// All interleavings with at most two preemptions, of what has too many with any number. Where a
/// thread waits or ends the scheduler is free all the same.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(check);
}

#[test]
fn every_admitted_job_is_answered_exactly_once() {
    model(|| {
        let (gate, worker) = served(1);
        let client = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || assert_eq!(gate.admit(1).unwrap().wait(), Ok(101)))
        };
        assert_eq!(gate.admit(2).unwrap().wait(), Ok(102));
        client.join().unwrap();
        gate.stop();
        assert_eq!(worker.join().unwrap(), 2);
    });
}

/// Each worker takes one job and goes: neither may rely on the other to come again.
#[test]
fn two_jobs_wake_two_workers() {
    for together in [true, false] {
        model(move || {
            let gate = Arc::new(Jobs::new(2));
            let workers = [(); 2].map(|()| {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.gather(1).unwrap().into_iter().for_each(fulfil))
            });
            let pending = match together {
                true => gate.admit_all(vec![1, 2]).unwrap(),
                false => [1, 2].map(|job| gate.admit(job).unwrap()).into(),
            };
            for (job, pending) in (1..).zip(pending) {
                assert_eq!(pending.wait(), Ok(job + 100));
            }
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
    }
}

#[test]
fn a_stop_ends_every_worker_and_drains_what_was_admitted() {
    model(|| {
        let gate = Arc::new(Jobs::new(2));
        let workers = [(); 2].map(|()| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || serve(&gate, 2))
        });
        let pending = gate.admit(1).unwrap();
        // A handle that is dropped takes nothing back.
        drop(gate.admit(2).unwrap());
        gate.stop();
        assert_eq!(gate.admit(3).unwrap_err(), QueueError::Stopped);
        assert_eq!(pending.wait(), Ok(101));
        assert_eq!(workers.map(|worker| worker.join().unwrap()).iter().sum::<usize>(), 2);
        assert_eq!(gate.waiting(), 0);
    });
}

#[test]
fn an_admission_that_races_with_a_stop_is_refused_or_answered() {
    loom::model(|| {
        let (gate, worker) = served(2);
        let client = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || match gate.admit(1).unwrap_or_else(Pending::refused).wait() {
                Ok(answer) => {
                    assert_eq!(answer, 101);
                    1
                }
                Err(refused) => {
                    assert_eq!(refused, QueueError::Stopped);
                    0
                }
            })
        };
        gate.stop();
        assert_eq!(worker.join().unwrap(), client.join().unwrap());
    });
}

#[test]
fn no_more_wait_than_may() {
    model(|| {
        let gate = Arc::new(Jobs::new(1));
        let clients = [1, 2].map(|job| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.admit(job).map(drop))
        });
        // The worker takes all that wait.
        let first = gate.gather(2).unwrap();
        assert_eq!(first.len(), 1);
        let admitted = clients.map(|client| client.join().unwrap());
        gate.stop();
        let rest = gate.gather(2).map_or(0, |batch| batch.len());
        assert_eq!(admitted.iter().filter(|admitted| admitted.is_ok()).count(), 1 + rest);
        assert!(admitted.iter().all(|admitted| admitted.is_ok() || *admitted == Err(QueueError::Full)));
    });
}

#[derive(Default)]
struct Alarm {
    rings: AtomicUsize,
    notify: Option<Notify>,
}

impl Wake for Alarm {
    fn wake(self: std::sync::Arc<Self>) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        if let Some(notify) = &self.notify {
            notify.notify();
        }
    }
}

#[test]
fn a_future_that_was_polled_is_woken_through_its_last_waker() {
    for answered in [true, false] {
        loom::model(move || {
            let gate = Arc::new(Jobs::new(1));
            let mut pending = pin!(gate.admit(1).unwrap());
            let worker = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || {
                    let batch = gate.gather(1).unwrap();
                    // Or the batch is dropped, as when the work panics.
                    if answered {
                        batch.into_iter().for_each(fulfil);
                    }
                })
            };
            let first = std::sync::Arc::new(Alarm::default());
            let last = std::sync::Arc::new(Alarm { notify: Some(Notify::new()), ..Alarm::default() });
            let mut poll = |alarm: &std::sync::Arc<Alarm>| {
                pending.as_mut().poll(&mut Context::from_waker(&Waker::from(std::sync::Arc::clone(alarm))))
            };
            let mut answer = poll(&first);
            while answer.is_pending() {
                answer = poll(&last);
                if answer.is_pending() {
                    last.notify.as_ref().unwrap().wait();
                }
            }
            worker.join().unwrap();
            assert_eq!(answer, Poll::Ready(if answered { Ok(101) } else { Err(QueueError::Lost) }));
            let rings = [&first, &last].map(|alarm| alarm.rings.load(Ordering::SeqCst));
            assert!(rings.iter().sum::<usize>() <= 1, "one answer, one waking");
        });
    }
}

#[test]
fn a_waiting_thread_is_woken_when_its_job_is_given_up() {
    loom::model(|| {
        let gate = Jobs::new(1);
        let pending = gate.admit(1).unwrap();
        let end = thread::spawn(move || drop(gate));
        assert_eq!(pending.wait(), Err(QueueError::Lost));
        end.join().unwrap();
    });
}
