//! The power is cut, or the disk fails an operation, at a random moment: both services on disks
//! that keep any part of what was not synced.

use crate::disk::{Disk, Fault, Power};
use crate::life::{Birth, live};
use crate::line::Line;
use crate::never_rewritten::NeverRewritten;
use crate::record::Record;
use crate::scenario::{Scenario, Seeded};
use std::env;
use std::sync::{Arc, Mutex};
use unjoin::store::{RedbStore, StoreError};

/// The number of cuts, if it is not the usual.
const CUTS: &str = "UNJOIN_POWER_CUTS";
const SEED: u64 = 6;

/// A store on a foreign backend has no file to rewrite.
type OnDisk = NeverRewritten<RedbStore>;

fn open(disks: &[Disk; 2]) -> Result<[Arc<OnDisk>; 2], StoreError> {
    let [orders, reviews] = disks.each_ref().map(|disk| RedbStore::with_backend(disk.clone()));
    Ok([orders?, reviews?].map(|store| Arc::new(NeverRewritten(store))))
}

#[test]
fn what_was_acknowledged_survives_every_power_cut_and_failing_disk() {
    let cuts = env::var(CUTS).map_or(40, |cuts| cuts.parse().unwrap());
    let scenario = Scenario::new(SEED);
    let (mut record, draw) = (Record::default(), &mut Seeded::new(SEED ^ 0xdead));
    // A store whose creation did not finish may be refused, and holds nothing: begin after it.
    let disks = [(); 2].map(|()| Disk::holding(Vec::new(), &Power::default()));
    drop(open(&disks).unwrap());
    let mut images = disks.map(|disk| disk.after_power_loss(|| true));
    for _ in 0..cuts {
        let at = draw.below(700);
        let power =
            Power::with(Fault { at, of_a_sync: draw.below(2) == 0, cuts_the_power: draw.below(3) > 0 });
        let disks = images.map(|image| Disk::holding(image, &power));
        let birth = Birth { first_order: record.next_order(), day: record.day() + 1, late: record.late() };
        let said = Mutex::new(Vec::new());
        // The stores may fail while they are opened and repaired already.
        if let Ok(stores) = open(&disks) {
            live(&scenario, &stores, birth, &|line: &Line| said.lock().unwrap().push(line.clone()));
        }
        assert!(power.operations() > at, "a life ended without a fault");
        record.begin_life();
        said.into_inner().unwrap().into_iter().for_each(|line| record.note(line));
        // All, nothing or any part of what was not synced is there when the power is back.
        let mut kept = Seeded::new(at);
        let of_four = draw.below(7);
        images = disks.map(|disk| disk.after_power_loss(|| kept.below(4) < of_four));
        let whole = Power::default();
        let disks = images.map(|image| Disk::holding(image, &whole));
        record.check(&scenario, &open(&disks).unwrap(), draw);
        images = disks.map(|disk| disk.after_power_loss(|| true));
    }
    let whole = Power::default();
    let disks = images.map(|image| Disk::holding(image, &whole));
    record.check_all(&scenario, &open(&disks).unwrap(), draw);
    eprintln!("{cuts} cuts: {}", record.counts());
    assert!(record.unanswered > 0, "the cuts have missed what they were to hit");
}
