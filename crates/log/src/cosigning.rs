//! Asking all witnesses at once, and waiting for no more of them than a quorum and a little longer.

use super::note::WitnessPublicKey;
use super::witness::{Witness, WitnessError};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How long a log waits for its witnesses.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For a quorum, from when they are asked.
    pub(super) quorum: Duration,
    /// For the others, from when the quorum is there.
    pub(super) grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { quorum: Duration::from_secs(30), grace: Duration::from_secs(2) }
    }
}

type Answer<T> = Result<T, WitnessError>;

/// A witness that was asked, and whether the round that asked it has given up waiting.
type Question = (WitnessPublicKey, Arc<AtomicBool>);

/// The questions that were not answered yet. A witness whose round has given up is not asked again,
/// so that of each at most one thread is left behind.
#[derive(Clone, Default)]
pub(super) struct Busy(Arc<Mutex<Vec<Question>>>);

impl Busy {
    fn asked(&self) -> MutexGuard<'_, Vec<Question>> {
        // One push or one removal is all that is ever done under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One round of questions. Who is not waited for goes on in its thread, and its answer is dropped.
pub(super) struct Round<T> {
    busy: Busy,
    has_given_up: Arc<AtomicBool>,
    patience: Patience,
    ends: Instant,
    open: Vec<usize>,
    unasked: VecDeque<(usize, Answer<T>)>,
    sender: Sender<(usize, Answer<T>)>,
    answers: Receiver<(usize, Answer<T>)>,
}

impl<T: Send + 'static> Round<T> {
    pub(super) fn new(busy: &Busy, patience: Patience) -> Self {
        let (sender, answers) = channel();
        let ends = Instant::now() + patience.quorum;
        let (busy, has_given_up) = (busy.clone(), Arc::default());
        let (open, unasked) = (Vec::new(), VecDeque::new());
        Self { busy, has_given_up, patience, ends, open, unasked, sender, answers }
    }

    /// Asks a witness, under this number.
    pub(super) fn ask(
        &mut self,
        number: usize,
        witness: &Arc<dyn Witness>,
        question: impl FnOnce(&dyn Witness) -> Answer<T> + Send + 'static,
    ) {
        let key = witness.public_key();
        {
            let mut asked = self.busy.asked();
            if asked.iter().any(|(busy, given_up)| busy == key && given_up.load(Ordering::SeqCst)) {
                self.unasked.push_back((number, Err(WitnessError::Silent)));
                return;
            }
            asked.push((key.clone(), Arc::clone(&self.has_given_up)));
        }
        self.open.push(number);
        let (busy, round, sender) = (self.busy.clone(), Arc::clone(&self.has_given_up), self.sender.clone());
        let mut asked = Asked { busy, round, key: key.clone(), number, sender, answer: None };
        let witness = Arc::clone(witness);
        // If there is no thread to be had, dropping `asked` tells.
        let _ = std::thread::Builder::new().name("witness".into()).spawn(move || {
            let asked = &mut asked;
            asked.answer = Some(question(&*witness));
        });
    }

    /// From now on only the grace is waited for.
    pub(super) fn quorum_is_there(&mut self) {
        self.ends = self.ends.min(Instant::now() + self.patience.grace);
    }

    /// The next answer; [`WitnessError::Silent`] for those that took too long.
    pub(super) fn next(&mut self) -> Option<(usize, Answer<T>)> {
        if let Some(unasked) = self.unasked.pop_front() {
            return Some(unasked);
        }
        let last = *self.open.last()?;
        let left = self.ends.saturating_duration_since(Instant::now());
        let (number, answer) = self.answers.recv_timeout(left).unwrap_or((last, Err(WitnessError::Silent)));
        self.open.retain(|open| *open != number);
        Some((number, answer))
    }
}

impl<T> Drop for Round<T> {
    fn drop(&mut self) {
        self.has_given_up.store(true, Ordering::SeqCst);
    }
}

/// A question on its way. However it ends, the witness may be asked again, and then there is an answer.
struct Asked<T> {
    busy: Busy,
    round: Arc<AtomicBool>,
    key: WitnessPublicKey,
    number: usize,
    sender: Sender<(usize, Answer<T>)>,
    answer: Option<Answer<T>>,
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.busy.asked().retain(|(key, round)| *key != self.key || !Arc::ptr_eq(round, &self.round));
        let failed = || Err(WitnessError::State("the witness's client failed".into()));
        // Nobody listens any more if it came too late.
        let _ = self.sender.send((self.number, self.answer.take().unwrap_or_else(failed)));
    }
}
