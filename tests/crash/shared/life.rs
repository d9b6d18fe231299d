//! One life of the platform: customers ask and review, on several threads and two instances,
//! while days pass and the platform ticks. It ends when it is killed or its stores fail.

use crate::line::Line;
use crate::scenario::{Scenario, day};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use unjoin::issuer::IssuerError;
use unjoin::store::Store;
use unjoin::token::ReviewId;
use unjoin::{ManualClock, Platform, PlatformError};
use unjoin_test_util::Seeded;

const WORKERS: usize = 3;
/// Nothing was taken in: the cohort has not closed yet.
pub(crate) const NO_MANIFEST: &str = "desk.no_manifest";
/// So many new orders make a day.
const ORDERS_A_DAY: usize = 10;

/// What a life begins with.
pub(crate) struct Birth {
    /// The number of the first order.
    pub(crate) first_order: u64,
    /// The day that the life before has reached.
    pub(crate) day: u64,
    /// Orders of earlier lives, to be asked for again and reviewed now.
    pub(crate) late: VecDeque<u64>,
}

/// Lives until the stores fail.
pub(crate) fn live<S: Store>(
    scenario: &Scenario,
    stores: &[Arc<S>; 2],
    birth: Birth,
    say: &(impl Fn(&Line) + Sync),
) {
    let clock = Arc::new(ManualClock::new(day(birth.day)));
    let opened = [scenario.try_open(stores, &clock), scenario.try_open(stores, &clock)];
    let platforms = match opened {
        [Ok(one), Ok(other)] => [one, other],
        [Err(error), _] | [_, Err(error)] => return assert_store_failed(&error),
    };
    if let Err(error) = scenario.begin(&platforms[0]) {
        return assert_store_failed(&error);
    }
    let (next, late) = (AtomicU64::new(birth.first_order), Mutex::new(birth.late));
    let tomorrow = Mutex::new(VecDeque::new());
    let worker =
        Worker { scenario, platforms: &platforms, next: &next, late: &late, tomorrow: &tomorrow, say };
    thread::scope(|threads| {
        let (served, orders) = channel();
        for _ in 0..WORKERS {
            let served = served.clone();
            threads.spawn(move || worker.serve(&served));
        }
        drop(served);
        for today in birth.day.. {
            say(&Line::Day(today));
            clock.set(day(today));
            let ticks = || platforms.each_ref().map(|p| threads.spawn(move || tick(p)));
            for ticked in ticks().map(|tick| tick.join().unwrap()) {
                match ticked {
                    Ok(ids) => say(&Line::Ticked(ids)),
                    Err(error) => return assert_store_failed(&error),
                }
            }
            late.lock().unwrap().append(&mut tomorrow.lock().unwrap());
            // Those that were served beside the tick do not count.
            orders.try_iter().for_each(drop);
            if orders.iter().take(ORDERS_A_DAY).count() < ORDERS_A_DAY {
                return;
            }
        }
    });
}

/// The reviews whose publication the tick tells of.
pub(crate) fn tick<S: Store>(platform: &Platform<S>) -> Result<Vec<ReviewId>, PlatformError> {
    let report = platform.tick()?;
    let reviews = report.batches.into_iter().flat_map(|batch| batch.reviews);
    Ok(reviews.map(|review| review.review_id).collect())
}

/// The only error that a life may meet.
pub(crate) fn assert_store_failed(error: &PlatformError) {
    let codes = [
        "issuer.store",
        "issuer.store_unusable",
        "desk.store",
        "desk.store_unusable",
        "store.engine",
        "store.closed",
    ];
    assert!(codes.contains(&error.code()), "{error}");
}

struct Worker<'a, S: Store, F> {
    scenario: &'a Scenario,
    platforms: &'a [Platform<Arc<S>>; 2],
    next: &'a AtomicU64,
    /// Orders that have a token, to be reviewed.
    late: &'a Mutex<VecDeque<u64>>,
    /// Those whose cohort may have a manifest on another day.
    tomorrow: &'a Mutex<VecDeque<u64>>,
    say: &'a F,
}

impl<S: Store, F> Clone for Worker<'_, S, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Store, F> Copy for Worker<'_, S, F> {}

impl<S: Store, F: Fn(&Line) + Sync> Worker<'_, S, F> {
    /// One order after the other, first those that wait for their review, until the stores fail or nobody counts them any more.
    fn serve(self, served: &Sender<()>) {
        loop {
            let late = self.late.lock().unwrap().pop_front();
            let number = late.unwrap_or_else(|| self.next.fetch_add(1, Ordering::SeqCst));
            if let Err(error) = self.order(number, late.is_some()) {
                return assert_store_failed(&error);
            }
            if late.is_none() && served.send(()).is_err() {
                return;
            }
        }
    }

    fn order(&self, number: u64, late: bool) -> Result<(), PlatformError> {
        let mut draw = Seeded(number ^ (u64::from(late) << 63));
        let platform = |number: u64| &self.platforms[number as usize % 2];
        (self.say)(&Line::Asking(number));
        let granted = match self.scenario.obtain(platform(draw.below(2)), number) {
            // Too late for a review.
            Err(PlatformError::Issuer(IssuerError::WindowOver)) if late => return Ok(()),
            granted => granted?,
        };
        (self.say)(&Line::Granted(number, granted.pair));
        let tomorrow = || self.tomorrow.lock().unwrap().push_back(number);
        if !late {
            // A quarter is left to another life.
            if draw.below(4) > 0 {
                tomorrow();
            }
            return Ok(());
        }
        // Most are reviewed once, some in two wordings at once, some twice
        // in the same.
        let wordings: &[u8] = match draw.below(8) {
            1 | 2 => &[0, 1],
            3 => &[1, 0, 1],
            4 => &[0, 0],
            _ => &[0],
        };
        for wording in wordings {
            (self.say)(&Line::Sending(number, *wording));
        }
        let mut sent = Vec::new();
        for wording in wordings {
            let at = platform(draw.below(2));
            sent.push((*wording, self.scenario.send(at, number, &granted.token, *wording)));
        }
        let mut early = false;
        for (wording, answer) in sent {
            match answer.wait() {
                Ok(receipt) => (self.say)(&Line::Accepted(number, wording, receipt)),
                Err(error) if ["desk.spent", "desk.window_over", NO_MANIFEST].contains(&error.code()) => {
                    (self.say)(&Line::Refused(number, wording, error.code().into()));
                    early |= error.code() == NO_MANIFEST;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if early {
            tomorrow();
        }
        Ok(())
    }
}
