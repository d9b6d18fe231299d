//! What the library tells of its own work, with the feature `tracing`: numbers, and nobody's name.
//!
//! An event is a time, and the times at which reviews arrive are what the gang would join with the orders.
//! So work is told in groups: what was done is held back until `TOGETHER` requests are, and is told at once.
//! Field names are those that `tracing-opentelemetry` makes metrics of.

#[cfg(feature = "tracing")]
use std::sync::{Mutex, PoisonError};
#[cfg(feature = "tracing")]
use std::time::{Duration, Instant};

/// So many requests, or more, are told of at once.
#[cfg(feature = "tracing")]
const TOGETHER: usize = 64;

/// Work of one kind.
#[doc(hidden)]
pub struct Work {
    #[cfg(feature = "tracing")]
    name: &'static str,
    /// How many requests each batch had, and how long it took.
    #[cfg(feature = "tracing")]
    held: Mutex<Vec<(usize, Duration)>>,
}

#[cfg(feature = "tracing")]
impl Work {
    /// Under this name; the names are the library's own few.
    pub const fn new(name: &'static str) -> Self {
        Self { name, held: Mutex::new(Vec::new()) }
    }

    /// Does a batch of this many requests.
    pub fn timed<T>(&self, requests: usize, work: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = work();
        let took = since.elapsed();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((requests, took));
        let together = held.iter().map(|(requests, _)| requests).sum::<usize>() >= TOGETHER;
        let told = if together { std::mem::take(&mut *held) } else { Vec::new() };
        drop(held);
        for (requests, took) in told {
            tracing::debug!(
                target: "unjoin",
                work = self.name,
                monotonic_counter.unjoin.requests = requests as u64,
                histogram.unjoin.batch.size = requests as u64,
                histogram.unjoin.batch.duration = took.as_secs_f64(),
                "worked"
            );
        }
        done
    }
}

#[cfg(not(feature = "tracing"))]
impl Work {
    /// Under this name.
    pub const fn new(_: &'static str) -> Self {
        Self {}
    }

    /// Does a batch of this many requests.
    pub fn timed<T>(&self, _: usize, work: impl FnOnce() -> T) -> T {
        work()
    }
}
