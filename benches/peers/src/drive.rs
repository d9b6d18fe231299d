//! Closed-loop load: so many submitters, each with so many requests in flight.

use cpu_time::ProcessTime;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::VecDeque;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// What a run achieved.
pub struct Load {
    pub decided: usize,
    pub spent: Duration,
    /// Processor time of the whole process, submitters included.
    pub processor: Duration,
    /// From a request's sending to its answer, sorted, in milliseconds.
    waits: Vec<f64>,
}

impl Load {
    pub fn per_second(&self) -> f64 {
        self.decided as f64 / self.spent.as_secs_f64()
    }

    pub fn wait(&self, quantile: f64) -> f64 {
        let at = (self.waits.len() as f64 * quantile) as usize;
        self.waits.get(at.min(self.waits.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

/// Shares `requests` out among `submitters` threads. Each keeps `in_flight` unanswered: when as
/// many are, it waits for its oldest. `send` hands one in; `settle` waits for its answer and
/// fails the run if it is a refusal.
pub fn drive<R: Sync, P>(
    requests: &[R],
    submitters: usize,
    in_flight: usize,
    send: impl Fn(&R) -> P + Sync,
    settle: impl Fn(P) + Sync,
) -> Load {
    let share = requests.len().div_ceil(submitters).max(1);
    let ready = Barrier::new(requests.chunks(share).len() + 1);
    let submit = |own: &[R]| {
        ready.wait();
        let (mut unanswered, mut waits) = (VecDeque::with_capacity(in_flight), Vec::with_capacity(own.len()));
        let mut settle_oldest = |unanswered: &mut VecDeque<(Instant, P)>| {
            if let Some((sent, pending)) = unanswered.pop_front() {
                settle(pending);
                waits.push(sent.elapsed().as_secs_f64() * 1e3);
            }
        };
        for request in own {
            if unanswered.len() >= in_flight {
                settle_oldest(&mut unanswered);
            }
            unanswered.push_back((Instant::now(), send(request)));
        }
        while !unanswered.is_empty() {
            settle_oldest(&mut unanswered);
        }
        waits
    };
    let processor = ProcessTime::now();
    let (mut waits, spent) = thread::scope(|scope| {
        let threads: Vec<_> = requests.chunks(share).map(|own| scope.spawn(|| submit(own))).collect();
        ready.wait();
        let start = Instant::now();
        let waits: Vec<f64> =
            threads.into_iter().flat_map(|thread| thread.join().expect("no request is refused")).collect();
        (waits, start.elapsed())
    });
    let processor = processor.elapsed();
    waits.sort_by(f64::total_cmp);
    Load { decided: waits.len(), spent, processor, waits }
}

/// One line.
pub fn print_load(name: &str, load: &Load) {
    println!(
        "{name}: {:>6.0} /s  ({} in {:.2} s; {:.0} us of processor each, on {:.2} processors; \
         answered after {:.1} ms in the median, {:.1} ms at the 99th percentile)",
        load.per_second(),
        load.decided,
        load.spent.as_secs_f64(),
        load.processor.as_secs_f64() * 1e6 / load.decided as f64,
        load.processor.as_secs_f64() / load.spent.as_secs_f64(),
        load.wait(0.5),
        load.wait(0.99),
    );
}

/// A progress bar for long preparations.
///
/// # Panics
/// Never: its template is fixed.
pub fn bar(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left").expect("a template");
    ProgressBar::new(length as u64).with_style(style).with_message(what)
}
