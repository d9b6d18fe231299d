//! What ticks tell, with the feature `tracing`: numbers and codes, and nobody's name.

use super::{PlatformError, TickReport};
use crate::ledgers::LedgersReport;
use std::time::Duration;

pub(super) fn ticked(outcome: &Result<TickReport, PlatformError>, took: Duration) {
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            let code = error.code();
            tracing::error!(target: "unjoin", { "error.type" = code, monotonic_counter.unjoin.tick.errors = 1u64 }, "tick");
            return;
        }
    };
    for error in &report.failed {
        let code = error.code();
        tracing::error!(target: "unjoin", { "error.type" = code, monotonic_counter.unjoin.tick.failed = 1u64 }, "stays due");
    }
    let seconds = took.as_secs_f64();
    let sealed = report.manifests.len() as u64;
    let published: usize = report.batches.iter().map(|batch| batch.reviews.len()).sum();
    let published = published as u64;
    let sequenced = |ledgers: &LedgersReport| ledgers.reviews.sequenced + ledgers.openings.sequenced;
    let sequenced = report.ledgers.as_ref().map_or(0, sequenced);
    let (starving, overdue) = (report.starving.len() as u64, report.numbers_overdue.len() as u64);
    let outrun = report.outrun.len() as u64;
    tracing::info!(
        target: "unjoin",
        {
            histogram.unjoin.tick.duration = seconds,
            monotonic_counter.unjoin.cohorts.sealed = sealed,
            monotonic_counter.unjoin.cohorts.outrun = outrun,
            monotonic_counter.unjoin.reviews.published = published,
            monotonic_counter.unjoin.ledger.entries = sequenced,
            gauge.unjoin.cohorts.starving = starving,
            gauge.unjoin.numbers.overdue = overdue,
        },
        "tick"
    );
}
