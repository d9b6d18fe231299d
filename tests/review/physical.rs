//! What the store's file tells about the order of arrival.

use crate::world::{Author, World, day, manifest, merchant, open_in, review, scope};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use unjoin::review::Submission;
use unjoin::store::{Bucket, Commit, MemoryStore, Outcome, RowKey, Store, StoreError, Write};
use unjoin::{Environment, ManualClock};
#[cfg(feature = "postgres")]
use unjoin_test_util::hex;
use unjoin_test_util::{Directory, Faulty, Seeded};

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
    // The same bytes for every use: two desks with the same reviews differ in nothing but the order of
    // arrival.
    let environment = Environment::new(clock.clone(), || Box::new(Seeded(5)));
    let desk = open_in(Arc::new(store), environment);
    desk.admit(&manifest(&scope("a", 1), 2, 5)).unwrap();
    // Still held at that boundary.
    desk.admit(&manifest(&scope("a", 2), 4, 5)).unwrap();
    for submission in arrivals {
        desk.submit((*submission).clone()).wait().unwrap();
    }
    clock.set(day(2).saturating_add(1));
    let report = desk.tick().unwrap();
    assert_eq!(report.batches[0].reviews.len(), EACH);
}

/// The order of the reviews' rows in a scan.
fn scanned(path: &Path) -> Vec<Vec<u8>> {
    let store = unjoin_test_util::redb(path).unwrap();
    let rows = store.scan(Bucket::of(merchant("a").as_bytes()), b"rr", None, 1000).unwrap();
    rows.into_iter().map(|row| row.key).collect()
}

/// Where the rows of these reviews first occur in the file, in the order of arrival.
fn places(file: &[u8], arrivals: &[&Submission]) -> Vec<usize> {
    let place = |submission: &&Submission| {
        let key = row_key(submission);
        file.windows(key.len()).position(|window| window == key).unwrap()
    };
    arrivals.iter().map(place).collect()
}

fn row_key(submission: &Submission) -> Vec<u8> {
    let presentation = &submission.presentation;
    [b"rr", &presentation.scope().to_bytes()[..], presentation.review_id().as_bytes()].concat()
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
        let store = unjoin_test_util::redb(&path).unwrap();
        live(Faulty::new(store).rewritten(rewritten), order);
        let scan = scanned(&path);
        assert!(scan.is_sorted() && scan.len() == 2 * EACH);
        fs::read(path).unwrap()
    };
    let (one, two) = (file("one", &forward, true), file("two", &other, true));
    assert!(one == two, "the file is a function of what was said, not of when");
    for (order, rewritten) in [(&forward, &one), (&other, &two)] {
        for cohort in [1, 2] {
            let of_cohort = |s: &&Submission| s.presentation.scope().cohort() == cohort;
            let own: Vec<&Submission> = order.iter().copied().filter(of_cohort).collect();
            // For independent orders of 48 tau has a standard deviation of 0.1.
            let tau = rank_correlation(&places(rewritten, &own));
            assert!(tau.abs() < 0.5, "{tau}");
        }
    }
    // Without the rewrite the file depends on it.
    assert!(file("three", &forward, false) != file("four", &other, false));
}

/// A store that remembers where each row came to lie: a new one at the end, a changed one
/// where it was.
#[derive(Default)]
struct Heap {
    rows: MemoryStore,
    places: Mutex<Vec<RowKey>>,
}

impl Heap {
    fn keys_as_they_lie(&self) -> Vec<RowKey> {
        self.places.lock().unwrap().clone()
    }
}

impl Store for Heap {
    unjoin_test_util::reads_from!(rows);

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        let mut places = self.places.lock().unwrap();
        let outcomes = self.rows.commit(commits)?;
        for (commit, _) in
            commits.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Committed)
        {
            for write in &commit.writes {
                let at = RowKey { bucket: commit.bucket, key: write.key().to_vec() };
                match write {
                    Write::Delete(_) => places.retain(|place| *place != at),
                    Write::Put(..) if places.contains(&at) => {}
                    Write::Put(..) => places.push(at),
                }
            }
        }
        Ok(outcomes)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.places.lock().unwrap().sort();
        Ok(())
    }
}

/// The same in an engine that keeps rows where they first came to lie, as a table's heap
/// does: without the rewrite it tells everything.
#[test]
fn after_a_boundary_a_heap_does_not_tell_the_order_of_arrival() {
    let arrivals = arrivals();
    let shuffled: Vec<&Submission> = (0..2 * EACH).map(|at| &arrivals[(at * 37 + 5) % (2 * EACH)]).collect();
    let tells = |heap: &Heap| {
        let lie = heap.keys_as_they_lie();
        let place =
            |submission: &&Submission| lie.iter().position(|at| at.key == row_key(submission)).unwrap();
        rank_correlation(&shuffled.iter().map(place).collect::<Vec<_>>())
    };
    let heap = Arc::new(Heap::default());
    live(Arc::clone(&heap), &shuffled);
    assert!(tells(&heap).abs() < 0.4 && heap.keys_as_they_lie().is_sorted());
    let untouched = Arc::new(Heap::default());
    live(Faulty::new(Arc::clone(&untouched)).rewritten(false), &shuffled);
    assert_eq!(tells(&untouched), 1.0);
}

/// PostgreSQL keeps rows where they came to lie, with the number of the transaction that wrote them.
#[cfg(feature = "postgres")]
#[test]
fn after_a_boundary_a_table_does_not_tell_the_order_of_arrival() {
    let server = crate::server::Server::shared();
    let arrivals = arrivals();
    let shuffled: Vec<&Submission> = (0..2 * EACH).map(|at| &arrivals[(at * 37 + 5) % (2 * EACH)]).collect();
    let tells = |rewritten: bool| {
        let schema = crate::server::fresh_schema();
        let store = Arc::new(unjoin_test_util::postgres::store_of(server.config(&schema)).unwrap());
        live(Faulty::new(store).rewritten(rewritten), &shuffled);
        ["ctid", "xmin::text::int8"].map(|column| {
            let sql = format!("SELECT encode(key, 'hex') FROM {schema}.rows ORDER BY {column}, key");
            let lie: Vec<String> = server.sql(&sql).lines().map(str::to_owned).collect();
            let place = |submission: &&Submission| {
                lie.iter().position(|key| *key == hex(&row_key(submission))).unwrap()
            };
            let of_cohort = |cohort| {
                let own = shuffled.iter().filter(move |s| s.presentation.scope().cohort() == cohort);
                rank_correlation(&own.map(place).collect::<Vec<_>>())
            };
            [of_cohort(1), of_cohort(2)]
        })
    };
    // For independent orders of 48 tau has a standard deviation of 0.1.
    let rewritten = tells(true);
    assert!(rewritten.as_flattened().iter().all(|tau| tau.abs() < 0.5), "{rewritten:?}");
    // What was published is written again by the boundary itself; what is held still tells all.
    let [_, [_, held]] = tells(false);
    assert_eq!(held, 1.0);
}

#[test]
fn a_world_on_disk_is_the_same_after_a_restart() {
    let directory = Directory::new();
    let path = directory.file("desk.redb");
    let scope = scope("a", 1);
    let author = Author::new(&scope);
    let submission = author.submission(&review(2, "meh"));
    let receipt = {
        let world = World::on(unjoin_test_util::redb(&path).unwrap());
        world.desk.admit(&manifest(&scope, 1, 3)).unwrap();
        world.submit(submission.clone()).unwrap()
    };
    let world = World::on(unjoin_test_util::redb(&path).unwrap());
    assert_eq!(world.submit(submission).unwrap(), receipt);
    assert!(world.tick_at(1).rewritten);
    assert_eq!(world.listing("a").len(), 1);
    assert_eq!(world.counts("a"), [0, 1, 0, 0, 0]);
}
