//! What is counted: answers by endpoint and code, with their latency, and what ticks found.
//!
//! No label names anybody. And one thing more: a counter that is read every few seconds is a list
//! of times, and the times at which reviews arrive are what the gang would join with the orders.
//! So the answers of endpoints about reviews are held back until there are [`TOGETHER`] of them;
//! faults of the service's own are shown at once.

use crate::endpoint::Endpoint;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use unjoin::ledger::{LedgersReport, LogError, WitnessError};
use unjoin::phone::RouteCounts;
use unjoin::{DAY, TickReport, Timestamp};

/// So many answers about reviews, or more, are shown at once.
pub(crate) const TOGETHER: usize = 64;
/// So many are held back at most.
const MOST_HELD: usize = 4096;

const HOUR: u64 = 3600;

/// Upper bounds, in seconds.
const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    endpoint: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Found {
    what: &'static str,
}

type Latencies = Family<Answered, Histogram, fn() -> Histogram>;

pub(crate) struct Metrics {
    registry: Registry,
    latencies: Latencies,
    ticks: Family<Found, Counter>,
    found: Family<Found, Gauge>,
    last_tick: Gauge,
    checkpoints: Family<Found, Gauge>,
    /// When each ledger last published a checkpoint, as this process has seen it.
    published: Mutex<BTreeMap<&'static str, Timestamp>>,
    routes: Family<Found, Counter>,
    load: Family<Found, Gauge>,
    held: Mutex<Vec<(Answered, f64)>>,
}

fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, about: &str, metric: M) -> M {
    registry.register(name, about, metric.clone());
    metric
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = &mut Registry::with_prefix("unjoin");
        let latencies = Latencies::new_with_constructor(|| Histogram::new(BOUNDS));
        let about = "Answers by endpoint and code, those about reviews in groups";
        let latencies = registered(registry, "request_seconds", about, latencies);
        let ticks = registered(registry, "ticks", "Periodic work by its outcome", Family::default());
        let about = "What the last tick found for an operator to see to";
        let found = registered(registry, "tick_found", about, Family::default());
        let about = "When a tick last succeeded, in seconds since 1970";
        let last_tick = registered(registry, "last_tick_seconds", about, Gauge::default());
        let about = "How old a ledger's published checkpoint is: 0 up to ten minutes, 1 up to an hour, 2 up to a day, 3";
        let checkpoints = registered(registry, "checkpoint_age_step", about, Family::default());
        let about = "Calls and messages since the start, by what was decided";
        let routes = registered(registry, "calls", about, Family::default());
        let load = registered(registry, "load", "What is open, under way or waiting now", Family::default());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which program this is", build);
        let (published, held) = (Mutex::default(), Mutex::default());
        let registry = std::mem::take(registry);
        Self { registry, latencies, ticks, found, last_tick, checkpoints, published, routes, load, held }
    }

    /// Counts one answer; `code` is `ok` or an error's.
    pub(crate) fn answered(&self, endpoint: Endpoint, code: &'static str, fault: bool, latency: Duration) {
        let (answered, seconds) = (Answered { endpoint: endpoint.label(), code }, latency.as_secs_f64());
        if fault || !endpoint.is_about_reviews() {
            self.show(&answered, seconds);
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((answered, seconds));
        if held.len() >= MOST_HELD {
            self.release(&mut held);
        }
    }

    fn show(&self, answered: &Answered, seconds: f64) {
        self.latencies.get_or_create(answered).observe(seconds);
    }

    fn release(&self, held: &mut Vec<(Answered, f64)>) {
        held.drain(..).for_each(|(answered, seconds)| self.show(&answered, seconds));
    }

    pub(crate) fn ticked(&self, now: Timestamp, report: &TickReport) {
        self.ticks.get_or_create(&Found { what: "ok" }).inc();
        self.last_tick.set(now.as_unix_seconds() as i64);
        let alarms = report.telephony.as_ref().map_or(0, |telephony| telephony.alarms.len());
        for (what, count) in [
            ("failed", report.failed.len()),
            ("starving", report.starving.len()),
            ("outrun", report.outrun.len()),
            ("numbers_overdue", report.numbers_overdue.len()),
            ("dialled_in_vain", alarms),
        ] {
            self.found.get_or_create(&Found { what }).set(count as i64);
        }
        report.ledgers.iter().for_each(|report| self.ledgers(now, report));
    }

    /// Nothing here counts entries or gives a time: what moves with each entry is a list of the times at which
    /// authors acted. Whether ledgers and witnesses work is nobody's secret.
    fn ledgers(&self, now: Timestamp, report: &LedgersReport) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut failed, mut refused, mut forked) = (0, 0, 0);
        for (what, report) in [("reviews", &report.reviews), ("openings", &report.openings)] {
            failed += i64::from(report.failed.is_some());
            forked += i64::from(matches!(report.failed, Some(LogError::Forked)));
            for (_, error) in report.publication.iter().flat_map(|publication| &publication.refusals) {
                refused += 1;
                forked +=
                    i64::from(matches!(error, WitnessError::Inconsistent | WitnessError::Conflict { .. }));
            }
            let is_published = report.publication.as_ref().is_some_and(|publication| publication.published);
            let since = published.entry(what).or_insert(now);
            if is_published {
                *since = now;
            }
            let age = now.saturating_since(*since);
            let step = [600, HOUR, DAY].into_iter().filter(|bound| age > *bound).count();
            self.checkpoints.get_or_create(&Found { what }).set(step as i64);
        }
        for (what, count) in [("ledgers_failed", failed), ("witnesses_refused", refused), ("forked", forked)]
        {
            self.found.get_or_create(&Found { what }).set(count);
        }
    }

    pub(crate) fn tick_failed(&self) {
        self.ticks.get_or_create(&Found { what: "failed" }).inc();
    }

    /// All of it in Prometheus' text format; `load` is what is open, under way or waiting now.
    pub(crate) fn page(
        &self,
        calls: RouteCounts,
        load: impl IntoIterator<Item = (&'static str, usize)>,
    ) -> String {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, count) in load {
            self.load.get_or_create(&Found { what }).set(count as i64);
        }
        for (what, count) in [
            ("connected", calls.connected),
            ("withheld", calls.withheld),
            ("badly_attested", calls.badly_attested),
            ("unknown", calls.unknown),
            ("unreadable", calls.unreadable),
            ("ended", calls.ended),
            ("cut_off", calls.cut_off),
            ("keys_replaced", calls.keys_replaced),
            ("expired", calls.expired),
            ("wrong_channel", calls.wrong_channel),
            ("closed_direction", calls.closed_direction),
            ("callee_barred", calls.callee_barred),
            ("too_many", calls.too_many),
        ] {
            // Two pages at once do not count a call twice: the lock is held.
            let shown = self.routes.get_or_create(&Found { what });
            shown.inc_by(count.saturating_sub(shown.get()));
        }
        if held.len() >= TOGETHER {
            self.release(&mut held);
        }
        drop(held);
        let mut page = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
}
