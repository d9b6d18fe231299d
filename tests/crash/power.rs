//! The power is cut, or the disk fails an operation, at a random moment: both services on disks
//! that keep any part of what was not synced.

use crate::life::{Birth, live};
use crate::line::Line;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::too_early::{SyncsSeldom, WritesBehind};
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use unjoin::store::{RedbStore, Store, StoreError};
use unjoin_test_util::disk::{Disk, Fault, Power};
use unjoin_test_util::{Faulty, Seeded};

/// The number of cuts, if it is not the usual.
const CUTS: &str = "UNJOIN_POWER_CUTS";
const SEED: u64 = 6;

/// A store on a foreign backend has no file to rewrite.
type OnDisk = Faulty<RedbStore>;

/// Stores that [`Lives::begin`] has created. A try to create them again would close what it has opened, and a fault
/// that strikes then reaches nobody: the life would meet none.
fn open(disks: &[Disk; 2]) -> Result<[Arc<OnDisk>; 2], StoreError> {
    let [orders, reviews] = disks.each_ref().map(|disk| RedbStore::open_on(disk.clone()));
    Ok([orders?, reviews?].map(|store| Arc::new(Faulty::new(store).rewritten(false))))
}

/// Lives that go on from one power cut to the next.
struct Lives {
    scenario: Scenario,
    record: Record,
    draw: Seeded,
    images: [Vec<u8>; 2],
}

impl Lives {
    fn begin(seed: u64) -> Self {
        // A store whose creation did not finish may be refused, and holds nothing: begin after it.
        let disks = [(); 2].map(|()| Disk::holding(Vec::new(), &Power::default()));
        disks.iter().for_each(|disk| drop(RedbStore::create_on(disk.clone()).unwrap()));
        let images = disks.map(|disk| disk.after_power_loss(|| true));
        let (scenario, draw) = (Scenario::new(seed), Seeded(seed ^ 0xdead));
        Self { scenario, record: Record::default(), draw, images }
    }

    /// Lives on stores that `open` makes of the disks until the fault strikes. Of what was not
    /// synced then, so many of four sectors are there when the power is back.
    fn live_until<S: Store>(
        &mut self,
        fault: Fault,
        of_four: u64,
        open: impl Fn(&[Disk; 2]) -> Result<[Arc<S>; 2], StoreError>,
    ) {
        let power = Power::with(fault);
        let disks = std::mem::take(&mut self.images).map(|image| Disk::holding(image, &power));
        let record = &mut self.record;
        let birth = Birth { first_order: record.next_order(), day: record.day() + 1, late: record.late() };
        let said = Mutex::new(Vec::new());
        // The stores may fail while they are opened and repaired already.
        if let Ok(stores) = open(&disks) {
            live(&self.scenario, &stores, birth, &|line: &Line| said.lock().unwrap().push(line.clone()));
        }
        assert!(power.operations() > fault.at, "a life ended without a fault");
        record.begin_life();
        said.into_inner().unwrap().into_iter().for_each(|line| record.note(line));
        let mut kept = Seeded(fault.at);
        self.images = disks.map(|disk| disk.after_power_loss(|| kept.below(4) < of_four));
    }

    /// Holds the stores against all that was said; a few of the earlier orders, or all.
    fn check(&mut self, all: bool) {
        let whole = Power::default();
        let disks = std::mem::take(&mut self.images).map(|image| Disk::holding(image, &whole));
        let stores = open(&disks).unwrap();
        if all {
            self.record.check_all(&self.scenario, &stores, &mut self.draw);
        } else {
            self.record.check(&self.scenario, &stores, &mut self.draw);
        }
        drop(stores);
        self.images = disks.map(|disk| disk.after_power_loss(|| true));
    }
}

#[test]
fn what_was_acknowledged_survives_every_power_cut_and_failing_disk() {
    let cuts = env::var(CUTS).map_or(40, |cuts| cuts.parse().unwrap());
    let mut lives = Lives::begin(SEED);
    for _ in 0..cuts {
        let draw = &mut lives.draw;
        let at = draw.below(700);
        let fault = Fault { at, of_a_sync: draw.below(2) == 0, cuts_the_power: draw.below(3) > 0 };
        // All, nothing or any part of what was not synced is there when the power is back.
        let of_four = draw.below(7);
        lives.live_until(fault, of_four, open);
        lives.check(false);
    }
    lives.check(true);
    let record = &lives.record;
    eprintln!("{cuts} cuts: {}", record.counts());
    assert!(record.unanswered > 0, "the cuts have missed what they were to hit");
}

/// What is said when something that was acknowledged is gone; or all of it, with a store that
/// does not open any more.
const LOSSES: [&str; 8] = [
    "Io(Kind(UnexpectedEof))",
    "Corrupt(\"page\")",
    "Older(Orders)",
    "Older(Reviews)",
    "an order has two pairs",
    "two reviews were accepted",
    "a published review is gone",
    "a review is lost or too many",
];

/// How a check ended: `None` if nothing was missed.
fn verdict(lives: &mut Lives) -> Option<String> {
    let verdict = catch_unwind(AssertUnwindSafe(|| lives.check(true)));
    let fault = verdict.err()?;
    let text = fault.downcast_ref::<String>().cloned();
    Some(text.or_else(|| fault.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap())
}

/// Whether one of sixty lives on such stores, each cut in the middle, leaves something
/// acknowledged and lost, and the record says so.
fn is_noticed<S: Store>(of_four: u64, open: impl Fn(&[Disk; 2]) -> Result<[Arc<S>; 2], StoreError>) -> bool {
    (0..60).any(|seed| {
        let mut lives = Lives::begin(seed);
        let fault = Fault { at: 300 + 7 * seed, of_a_sync: false, cuts_the_power: true };
        lives.live_until(fault, of_four, &open);
        let verdict = verdict(&mut lives);
        verdict.is_some_and(|text| {
            eprintln!("{text}");
            LOSSES.iter().any(|loss| text.contains(loss))
        })
    })
}

#[test]
fn a_store_that_answers_too_early_is_noticed() {
    // The disk answers all syncs but the first, or three of four, without doing anything.
    let syncs: [fn(u64) -> bool; 2] = [|number| number < 20, |number| number % 4 == 3];
    for does in syncs {
        let open = |disks: &[Disk; 2]| {
            let [orders, reviews] = disks.each_ref().map(|disk| {
                let seldom = || SyncsSeldom { disk: disk.clone(), does, asked: AtomicU64::new(0) };
                RedbStore::open_on(seldom())
            });
            Ok([orders?, reviews?].map(|store| Arc::new(Faulty::new(store).rewritten(false))))
        };
        assert!(is_noticed(0, open), "a disk that answers too early lost nothing");
    }
    // The store answers from memory and commits later, to a disk that keeps everything.
    let open = |disks: &[Disk; 2]| {
        let [orders, reviews] = open(disks)?;
        Ok([orders, reviews].map(|store| Arc::new(WritesBehind::new(store))))
    };
    assert!(is_noticed(4, open), "a store that answers too early lost nothing");
    // The same lives on stores as they should be, cut at the same moments.
    assert!((0..60).all(|seed| {
        let mut lives = Lives::begin(seed);
        let fault = Fault { at: 300 + 7 * seed, of_a_sync: false, cuts_the_power: true };
        lives.live_until(fault, 0, self::open);
        verdict(&mut lives).is_none()
    }));
}
