//! What a boundary costs: reviews that are held, and one tick that publishes all of them.

use crate::prepare::Shop;
use crate::{IN_FLIGHT, SUBMITTERS};
use cpu_time::ProcessTime;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use unjoin::secret::SystemRng;
use unjoin::store::{Commit, MemoryStore, Outcome, Store, StoreError};
use unjoin::{Environment, ManualClock};
use unjoin_benches::drive::{bar, drive};
use unjoin_benches::steps::reference;
use unjoin_test_util::reads_from;

/// Ticks that each figure is the median of.
const TICKS: usize = 5;

/// A store whose rewrite does nothing: what it takes is told beside the spent serials.
struct NotRewritten<S> {
    rows: S,
}

impl<S: Store> Store for NotRewritten<S> {
    reads_from!(rows);

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.rows.commit(commits)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(crate) fn publication(count: usize, directory: &Path) -> Result<(), Box<dyn Error>> {
    println!(
        "\nprocessor time of the tick that publishes {count} reviews of 500 cohorts, for each, rewrite left out"
    );
    let mut in_memory = |_: usize| Ok(MemoryStore::new());
    tell("in memory", count, &mut in_memory)?;
    let mut on_redb =
        |number: usize| Ok(unjoin_test_util::redb(directory.join(format!("publication-{number}.redb")))?);
    tell("on redb", count, &mut on_redb)
}

fn tell<S: Store>(
    name: &str,
    count: usize,
    store: &mut dyn FnMut(usize) -> Result<S, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut costs = Vec::new();
    for number in 0..TICKS {
        costs.push(once(store(number)?, count));
    }
    costs.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (micros, r) = costs[TICKS / 2];
    println!("{name:>12}: {micros:.1} us, {:.2} R (R = {r:.1} us beside it)", micros / r);
    Ok(())
}

/// Microseconds for each review, and R right after.
fn once<S: Store>(store: S, count: usize) -> (f64, f64) {
    let shop = Shop::new();
    let progress = bar("presenting reviews", count);
    let reviews = shop.reviews(count, &progress);
    progress.finish_and_clear();
    let clock = Arc::new(ManualClock::new(shop.publication().saturating_sub(1)));
    let desk = shop.desk_by(
        Arc::new(NotRewritten { rows: store }),
        Environment::new(clock.clone(), || Box::new(SystemRng::new())),
    );
    drive(
        &reviews,
        SUBMITTERS[2],
        IN_FLIGHT,
        |review| desk.submit(review.decode()),
        |pending| {
            pending.wait().expect("every review is accepted");
        },
    );
    clock.set(shop.publication().saturating_add(1));
    let start = ProcessTime::now();
    let report = desk.tick().expect("the store serves");
    let spent = start.elapsed().as_secs_f64() * 1e6;
    let published: usize = report.batches.iter().map(|batch| batch.reviews.len()).sum();
    assert_eq!((published, report.failed.len()), (count, 0));
    const TIMES: u64 = 500;
    let mut run = reference();
    run(TIMES);
    (spent / count as f64, run(TIMES).as_secs_f64() * 1e6 / TIMES as f64)
}
