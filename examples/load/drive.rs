//! Sends what was prepared, and takes the time.
//!
//! Closed loop: each caller sends its next request when it has the answer to its last. That is how
//! much goes through; its latencies say little, since a slow service is simply asked less.
//!
//! Open loop (`--rate`): the i-th request is due at start + i / rate, whatever became of those before
//! it, and its latency counts **from when it was due**. If all callers are waiting for a slow service
//! the time that a request waits for a caller is its own: nothing is left out.

use crate::client::{Answered, Outcome};
use crate::prepared::Prepared;
use crate::sender::Sender;
use hyper::body::Bytes;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What became of a run.
#[derive(Default)]
pub(crate) struct Run {
    /// From the start to the last answer.
    pub(crate) spent: Duration,
    /// Of the answers that were receipts, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Other answers, and connections that broke.
    pub(crate) errors: BTreeMap<String, usize>,
    /// The receipts.
    pub(crate) receipts: Vec<Bytes>,
}

/// When the request is due, from the start on.
pub(crate) fn due(number: usize, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

/// Sends each request once.
pub(crate) async fn drive(
    address: SocketAddr,
    requests: Arc<Vec<Prepared>>,
    callers: usize,
    rate: Option<f64>,
    bar: &ProgressBar,
) -> Run {
    let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (next, requests, bar) = (Arc::clone(&next), Arc::clone(&requests), bar.clone());
            tokio::spawn(call(address, requests, next, rate, start, bar))
        })
        .collect();
    let mut run = Run::default();
    for caller in callers {
        match caller.await {
            Ok(own) => run.take(own),
            Err(_) => *run.errors.entry("a caller panicked".to_owned()).or_default() += 1,
        }
    }
    run.latencies.sort_unstable();
    run
}

async fn call(
    address: SocketAddr,
    requests: Arc<Vec<Prepared>>,
    next: Arc<AtomicUsize>,
    rate: Option<f64>,
    start: Instant,
    bar: ProgressBar,
) -> Run {
    let (mut run, mut sender) = (Run::default(), Sender::to(address));
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(number) else { return run };
        let since = match rate {
            Some(rate) => {
                let due = start + due(number, rate);
                tokio::time::sleep_until(due.into()).await;
                due
            }
            None => Instant::now(),
        };
        let answered = sender.send(&request.request).await.and_then(|answered| request.open(answered));
        let latency = since.elapsed();
        run.count(answered, latency);
        run.spent = start.elapsed();
        bar.inc(1);
    }
}

impl Run {
    fn count(&mut self, answered: Outcome<Answered>, latency: Duration) {
        let error = match answered.map(|answered| answered.door()) {
            Ok(Ok(Ok(receipt))) => {
                self.latencies.push(latency);
                self.receipts.push(receipt);
                return;
            }
            Ok(Ok(Err(code))) => code,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the connection broke".to_owned(),
        };
        *self.errors.entry(error).or_default() += 1;
    }

    fn take(&mut self, other: Self) {
        self.spent = self.spent.max(other.spent);
        self.latencies.extend(other.latencies);
        self.receipts.extend(other.receipts);
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.spent.as_secs_f64()
    }

    /// The smallest latency that at least this share of the answers kept within; 1 is the largest.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (share * self.latencies.len() as f64).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Connection;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use unjoin::token::DoorAnswer;
    use unjoin::wire::Message;

    fn run(latencies: impl IntoIterator<Item = u64>) -> Run {
        let mut latencies: Vec<_> = latencies.into_iter().map(Duration::from_millis).collect();
        latencies.sort_unstable();
        Run { latencies, spent: Duration::from_secs(2), ..Run::default() }
    }

    #[test]
    fn a_quantile_is_the_latency_that_so_many_kept_within() {
        let hundred = run(1..=100);
        let quantile = |share| hundred.quantile(share).unwrap().as_millis();
        assert_eq!((quantile(0.5), quantile(0.95), quantile(0.99), quantile(1.0)), (50, 95, 99, 100));
        assert_eq!(run([7]).quantile(0.5), Some(Duration::from_millis(7)));
        assert_eq!(run([]).quantile(0.5), None);
        assert_eq!(hundred.per_second(), 50.0);
    }

    #[test]
    fn requests_are_due_at_a_fixed_rate() {
        assert_eq!(due(0, 250.0), Duration::ZERO);
        assert_eq!(due(500, 250.0), Duration::from_secs(2));
    }

    /// A server that answers nothing until all but the last request have come due: with one caller
    /// they waited for it, and their latencies say so.
    #[tokio::test]
    async fn what_waits_behind_a_slow_answer_counts_from_when_it_was_due() {
        const REQUESTS: usize = 20;
        const RATE: f64 = 200.0;
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let started = Instant::now();
            let mut buffer = [0; 4096];
            let answer = DoorAnswer::accepted(vec![7]).to_bytes();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            let answer = [head.as_bytes(), &answer].concat();
            for number in 0..REQUESTS {
                let _ = stream.read(&mut buffer).await.unwrap();
                if number == 0 {
                    tokio::time::sleep_until((started + due(REQUESTS, RATE)).into()).await;
                }
                stream.write_all(&answer).await.unwrap();
            }
        });
        let requests = Arc::new((0..REQUESTS).map(|_| Prepared::direct(b"{}")).collect());
        let run = drive(address, requests, 1, Some(RATE), &ProgressBar::hidden()).await;
        server.await.unwrap();
        assert!(run.errors.is_empty());
        // The one in the middle was due half way through, and so waited for half of the time.
        assert!(run.quantile(0.5).unwrap() >= due(REQUESTS / 2, RATE), "{:?}", run.latencies);
    }

    #[tokio::test]
    async fn a_connection_that_cannot_be_made_is_an_error_and_not_an_answer() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(Connection::to(address).get("/").await.is_err());
        let run = drive(
            address,
            Arc::new((0..3).map(|_| Prepared::direct(b"")).collect()),
            2,
            None,
            &ProgressBar::hidden(),
        )
        .await;
        assert_eq!((run.latencies.len(), run.errors.values().sum::<usize>()), (0, 3));
    }
}
