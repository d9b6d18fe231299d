use super::gate::Gate;
use super::*;
use proptest::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};

fn config(capacity: usize, max_batch: usize, workers: usize) -> QueueConfig {
    QueueConfig { capacity, max_batch, workers }
}

type Answer<T> = Result<T, QueueError>;

/// Each job is its own answer.
fn answered(jobs: Vec<u64>) -> Vec<Answer<u64>> {
    jobs.into_iter().map(Ok).collect()
}

/// A queue of one worker that doubles, and stops before each batch: it says how many jobs the
/// batch has and goes on when told.
struct Held {
    queue: GroupQueue<u64, Answer<u64>>,
    taken: Receiver<usize>,
    go_on: SyncSender<()>,
}

fn held(capacity: usize, max_batch: usize) -> Held {
    let (says, taken) = sync_channel(1000);
    let (go_on, told) = sync_channel(1000);
    let told = Mutex::new(told);
    let work = move |jobs: Vec<u64>| {
        says.send(jobs.len()).unwrap();
        told.lock().unwrap().recv().unwrap();
        jobs.into_iter().map(|job| Ok(2 * job)).collect()
    };
    Held { queue: GroupQueue::start(config(capacity, max_batch, 1), work).unwrap(), taken, go_on }
}

#[test]
fn every_admitted_job_is_decided_and_answered_exactly_once() {
    const THREADS: u64 = 8;
    const EACH: u64 = 3000;
    for workers in [1, 2, 5] {
        let decided = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&decided);
        let queue = GroupQueue::start(config(50, 7, workers), move |jobs: Vec<u64>| {
            assert!(!jobs.is_empty() && jobs.len() <= 7);
            record.lock().unwrap().extend_from_slice(&jobs);
            jobs.into_iter().map(|job| Answer::Ok(2 * job)).collect()
        });
        let queue = queue.unwrap();
        let ask = |job| loop {
            match queue.gate.admit(job) {
                Err(QueueError::Full) => thread::yield_now(),
                other => return other.unwrap(),
            }
        };
        thread::scope(|scope| {
            for t in 0..THREADS {
                scope.spawn(move || {
                    let mut handles = VecDeque::new();
                    for job in t * EACH..(t + 1) * EACH {
                        handles.push_back((job, ask(job)));
                        if handles.len() == 5 {
                            let (job, handle) = handles.pop_front().unwrap();
                            assert_eq!(handle.wait(), Ok(2 * job));
                        }
                    }
                    for (job, handle) in handles {
                        assert_eq!(block_on(handle), Ok(2 * job));
                    }
                });
            }
        });
        let decided = decided.lock().unwrap();
        assert_eq!(decided.len() as u64, THREADS * EACH);
        assert_eq!(decided.iter().collect::<HashSet<_>>().len(), decided.len());
    }
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let Held { queue, taken, go_on } = held(3, 100);
    let mut handles = vec![queue.submit(0)];
    assert_eq!(taken.recv(), Ok(1), "a lone job is taken at once");
    handles.extend([1, 2, 3].map(|job| queue.submit(job)));
    assert_eq!(queue.submit(4).wait(), Err(QueueError::Full));
    assert_eq!(block_on(queue.submit(4)), Err(QueueError::Full));
    let refused = queue.submit_all(vec![4, 5]).into_iter().map(Pending::wait);
    assert_eq!(refused.collect::<Vec<_>>(), [Err(QueueError::Full); 2]);
    go_on.send(()).unwrap();
    assert_eq!(taken.recv(), Ok(3), "what waited meanwhile is one batch");
    handles.push(queue.submit(4));
    (0..2).for_each(|_| go_on.send(()).unwrap());
    let answers: Vec<_> = handles.into_iter().map(|handle| handle.wait().unwrap()).collect();
    assert_eq!(answers, [0, 2, 4, 6, 8], "what was taken no longer counts");
}

#[test]
fn many_jobs_are_admitted_together_or_not_at_all() {
    let gate = Gate::<u32, Answer<()>>::new(5);
    assert_eq!(gate.admit_all(vec![1, 2, 3]).unwrap().len(), 3);
    assert_eq!(gate.admit_all(vec![4, 5, 6]).unwrap_err(), QueueError::Full);
    assert_eq!(gate.admit_all(vec![7, 8]).unwrap().len(), 2);
    assert_eq!(gate.admit_all(vec![]).unwrap().len(), 0);
    let jobs: Vec<_> = gate.gather(100).unwrap().into_iter().map(|entry| entry.job).collect();
    assert_eq!(jobs, [1, 2, 3, 7, 8]);
    assert_eq!(gate.admit_all(vec![0; 6]).unwrap_err(), QueueError::Full, "more than ever fit");
}

#[test]
fn a_panic_in_the_work_loses_its_batch_only() {
    let queue = GroupQueue::start(config(100, 1, 2), |jobs: Vec<u64>| {
        assert_ne!(jobs, [13], "unlucky");
        answered(jobs)
    });
    let queue = queue.unwrap();
    let handles = queue.submit_all((10..50).collect());
    for (job, handle) in (10..).zip(handles) {
        assert_eq!(handle.wait(), if job == 13 { Err(QueueError::Lost) } else { Ok(job) });
    }
    for _ in 0..5 {
        assert_eq!(queue.submit(13).wait(), Err(QueueError::Lost));
        assert_eq!(queue.submit(14).wait(), Ok(14), "the worker goes on");
    }
}

#[test]
fn results_that_match_no_job_answer_nobody() {
    let queue =
        GroupQueue::start(config(100, 100, 1), |jobs: Vec<usize>| vec![Answer::Ok(0); jobs[0]]).unwrap();
    for count in 0..5 {
        let answer = queue.submit(count).wait();
        assert_eq!(answer, if count == 1 { Ok(0) } else { Err(QueueError::Lost) });
    }
}

#[test]
fn dropping_the_queue_answers_everything_admitted() {
    let Held { queue, taken, go_on } = held(100, 10);
    let mut handles = vec![queue.submit(0)];
    assert_eq!(taken.recv(), Ok(1));
    handles.extend(queue.submit_all((1..96).collect()));
    let dropping = thread::spawn(move || drop(queue));
    (0..11).for_each(|_| go_on.send(()).unwrap());
    for (job, handle) in (0..).zip(handles) {
        assert_eq!(handle.wait(), Ok(2 * job));
    }
    dropping.join().unwrap();
    assert_eq!(taken.try_iter().collect::<Vec<_>>(), [10, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
}

#[test]
fn a_stopped_gate_admits_nothing_and_gives_out_what_it_has() {
    let gate = Gate::<u32, Answer<u32>>::new(10);
    let handles = gate.admit_all(vec![1, 2, 3]).unwrap();
    gate.stop();
    assert_eq!(gate.admit(4).unwrap_err(), QueueError::Stopped);
    assert_eq!(gate.admit_all(vec![4, 5]).unwrap_err(), QueueError::Stopped);
    while let Some(batch) = gate.gather(2) {
        assert!(batch.len() <= 2);
        batch.into_iter().for_each(|entry| entry.promise.fulfil(Ok(entry.job)));
    }
    let answers: Vec<_> = handles.into_iter().map(|handle| handle.wait().unwrap()).collect();
    assert_eq!(answers, [1, 2, 3]);
}

#[test]
fn a_gate_that_is_dropped_answers_what_still_waits() {
    let gate = Gate::<(), Answer<()>>::new(10);
    let handle = gate.admit(()).unwrap();
    drop(gate);
    assert_eq!(handle.wait(), Err(QueueError::Lost));
}

#[test]
fn two_workers_hold_a_batch_each() {
    let both = Arc::new(Barrier::new(2));
    let meet = Arc::clone(&both);
    let queue = GroupQueue::start(config(10, 1, 2), move |jobs: Vec<u64>| {
        meet.wait();
        answered(jobs)
    });
    let queue = queue.unwrap();
    // One worker takes the first job and waits for the other: it must have been woken too.
    for _ in 0..300 {
        let handles = queue.submit_all(vec![1, 2]);
        let answers: Vec<_> = handles.into_iter().map(|handle| handle.wait().unwrap()).collect();
        assert_eq!(answers, [1, 2]);
    }
}

#[test]
fn a_dropped_handle_does_not_take_its_job_back() {
    let Held { queue, taken, go_on } = held(100, 100);
    let first = queue.submit(1);
    assert_eq!(taken.recv(), Ok(1));
    drop(queue.submit(2));
    let last = queue.submit(3);
    (0..2).for_each(|_| go_on.send(()).unwrap());
    assert_eq!(taken.recv(), Ok(2));
    assert_eq!((first.wait(), last.wait()), (Ok(2), Ok(6)));
}

#[test]
fn a_queue_may_be_dropped_by_its_own_worker() {
    type Owned = GroupQueue<u64, Answer<u64>>;
    let owner: Arc<Mutex<Option<Owned>>> = Arc::default();
    let end = Arc::clone(&owner);
    let queue = Owned::start(config(10, 10, 1), move |jobs| {
        drop(end.lock().unwrap().take());
        answered(jobs)
    });
    let mut slot = owner.lock().unwrap();
    let handle = slot.insert(queue.unwrap()).submit(5);
    drop(slot);
    assert_eq!(handle.wait(), Ok(5));
}

#[test]
fn a_future_wakes_its_last_waker_and_only_that() {
    let gate = Gate::<u32, Answer<u32>>::new(10);
    let mut handle = pin!(gate.admit(7).unwrap());
    let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
    for count in [&first, &first, &last] {
        let waker = Waker::from(Arc::clone(count));
        assert!(handle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 1, "a replaced waker is let go");
    gate.gather(10).unwrap().into_iter().for_each(|entry| entry.promise.fulfil(Ok(entry.job + 1)));
    assert_eq!((first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst)), (0, 1));
    let answer = handle.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(answer, Poll::Ready(Ok(8)));
}

#[test]
fn a_waker_that_panics_hurts_no_neighbour() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("an executor's fault");
        }
    }
    let Held { queue, taken, go_on } = held(10, 10);
    let first = queue.submit(0);
    assert_eq!(taken.recv(), Ok(1));
    let mut handles = queue.submit_all(vec![1, 2]);
    let waker = Waker::from(Arc::new(Panics));
    assert!(pin!(&mut handles[0]).poll(&mut Context::from_waker(&waker)).is_pending());
    (0..2).for_each(|_| go_on.send(()).unwrap());
    assert_eq!(first.wait(), Ok(0));
    let answers: Vec<_> = handles.into_iter().map(|handle| handle.wait().unwrap()).collect();
    assert_eq!(answers, [2, 4]);
}

proptest! {
    /// Any sequence of admissions and gatherings, against a plain deque.
    #[test]
    fn a_gate_is_a_bounded_queue_in_the_order_of_admission(
        capacity in 1usize..12,
        steps in prop::collection::vec((any::<bool>(), 0usize..8), 0..60),
    ) {
        let gate = Gate::<u32, Answer<()>>::new(capacity);
        let (mut model, mut next) = (VecDeque::new(), 0);
        for (admits, count) in steps {
            if admits {
                let jobs: Vec<_> = (next..).take(count).collect();
                next += count as u32;
                let admitted = gate.admit_all(jobs.clone());
                prop_assert_eq!(admitted.is_ok(), model.len() + count <= capacity);
                if admitted.is_ok() {
                    model.extend(jobs);
                }
            } else if !model.is_empty() {
                let max = count + 1;
                let batch: Vec<_> = gate.gather(max).unwrap().into_iter().map(|entry| entry.job).collect();
                let expected: Vec<_> = model.drain(..model.len().min(max)).collect();
                prop_assert_eq!(batch, expected);
            }
        }
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The smallest executor: polls, and parks until woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
