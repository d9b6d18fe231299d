//! What the store's file tells about the order of arrival.

use crate::common::Directory;
use crate::stores::NeverRewritten;
use crate::world::{Author, World, day, manifest, merchant, open_in, review, scope};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use unjoin::review::Submission;
use unjoin::store::{Bucket, RedbStore, Store};
use unjoin::{Environment, ManualClock};

/// The same bytes for every use: with it, and with the same reviews, two desks differ in
/// nothing but the order of arrival.
struct Constant(u64);

impl TryRng for Constant {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ (self.0 >> 29))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Constant {}

const EACH: usize = 48;

/// What arrives: reviews of a cohort that is published at day 2, and of one that is not
/// closed yet.
fn arrivals() -> Vec<Submission> {
    let of = |cohort: u64| {
        (0..EACH).map(move |number| {
            let text =
                format!("cohort {cohort}, number {number}: {}", "the food was cold. ".repeat(number % 7));
            Author::new(&scope("a", cohort)).submission(&review(1 + number as u8 % 5, &text))
        })
    };
    of(1).chain(of(2)).collect()
}

/// One desk's days 1 and 2, with a commit for each arrival.
fn live<S: Store>(store: S, arrivals: &[&Submission]) {
    let clock = Arc::new(ManualClock::new(day(1).saturating_add(1)));
    let environment = Environment::new(clock.clone(), || Box::new(Constant(5)));
    let desk = open_in(Arc::new(store), environment);
    desk.admit(&manifest(&scope("a", 1), 2, 5)).unwrap();
    for submission in arrivals {
        desk.submit((*submission).clone()).unwrap().wait().unwrap().unwrap();
    }
    clock.set(day(2).saturating_add(1));
    let report = desk.tick().unwrap();
    assert_eq!(report.batches[0].reviews.len(), EACH);
}

/// The order of the reviews' rows in a scan.
fn scanned(path: &Path) -> Vec<Vec<u8>> {
    let store = RedbStore::create_or_open(path).unwrap();
    let rows = store.scan(Bucket::of(merchant("a").as_bytes()), b"rr", None, 1000).unwrap();
    rows.into_iter().map(|row| row.key).collect()
}

/// How strongly something about the file goes with the order of arrival: the largest rank
/// correlation of the first place, the last place and the number of places at which the bytes
/// of a review's row occur.
fn tells(file: &[u8], arrivals: &[&Submission]) -> f64 {
    let mut first = Vec::new();
    let mut last = Vec::new();
    let mut copies = Vec::new();
    for submission in arrivals {
        let id = submission.presentation.review_id();
        let (needle, key_end) = (id.as_bytes(), submission.presentation.scope().to_bytes());
        let found: Vec<usize> = file
            .windows(32)
            .enumerate()
            .filter(|(at, window)| {
                window[0] == needle[0] && window == needle && file[..*at].ends_with(&key_end)
            })
            .map(|(at, _)| at)
            .collect();
        first.push(*found.first().unwrap());
        last.push(*found.last().unwrap());
        copies.push(found.len());
    }
    [first, last, copies].into_iter().map(|values| rank_correlation(&values).abs()).fold(0.0, f64::max)
}

/// Kendall's tau of a sequence with its positions; ties count as nothing.
fn rank_correlation(values: &[usize]) -> f64 {
    let mut sum = 0i64;
    for (at, value) in values.iter().enumerate() {
        for earlier in &values[..at] {
            sum += value.cmp(earlier) as i64;
        }
    }
    let pairs = values.len() * (values.len() - 1) / 2;
    sum as f64 / pairs as f64
}

#[test]
fn after_a_boundary_neither_a_scan_nor_the_file_tells_the_order_of_arrival() {
    let directory = Directory::new();
    let arrivals = arrivals();
    let forward: Vec<&Submission> = arrivals.iter().collect();
    // Held and published ones mixed, in another order.
    let other: Vec<&Submission> =
        (0..arrivals.len()).map(|at| &arrivals[(at * 37 + 5) % arrivals.len()]).collect();
    let file = |name: &str, order: &[&Submission], rewritten: bool| {
        let path = directory.file(name);
        let store = RedbStore::create_or_open(&path).unwrap();
        if rewritten {
            live(store, order)
        } else {
            live(NeverRewritten(store), order)
        }
        let scan = scanned(&path);
        assert!(scan.is_sorted() && scan.len() == 2 * EACH);
        fs::read(path).unwrap()
    };
    let (one, two) = (file("one", &forward, true), file("two", &other, true));
    assert!(one == two, "the file is a function of what was said, not of when");
    let halves = |order: &[&Submission], file: &[u8]| {
        let of = |cohort| order.iter().copied().filter(move |s| s.presentation.scope().cohort() == cohort);
        [1, 2].map(|cohort| tells(file, &of(cohort).collect::<Vec<_>>()))
    };
    // For independent orders of 48 tau has a standard deviation of 0.1.
    for (order, rewritten) in [(&forward, &one), (&other, &two)] {
        assert!(halves(order, rewritten).iter().all(|tau| *tau < 0.45), "{:?}", halves(order, rewritten));
    }
    // Without the rewrite it does tell.
    let untouched = file("three", &forward, false);
    assert!(untouched != file("four", &other, false));
    assert!(halves(&forward, &untouched)[1] > 0.6, "{:?}", halves(&forward, &untouched));
}

#[test]
fn a_world_on_disk_is_the_same_after_a_restart() {
    let directory = Directory::new();
    let path = directory.file("desk.redb");
    let scope = scope("a", 1);
    let author = Author::new(&scope);
    let submission = author.submission(&review(2, "meh"));
    let receipt = {
        let world = World::on(RedbStore::create_or_open(&path).unwrap());
        world.desk.admit(&manifest(&scope, 1, 3)).unwrap();
        world.submit(submission.clone()).unwrap()
    };
    let world = World::on(RedbStore::create_or_open(&path).unwrap());
    assert_eq!(world.submit(submission).unwrap(), receipt);
    assert!(world.tick_at(1).rewritten);
    assert_eq!(world.listing("a").len(), 1);
    assert_eq!(world.counts("a"), [0, 1, 0, 0, 0]);
}
