//! The crowds that manifests promise, against what an auditor has counted.

use crate::program::{Arguments, run};
use crate::world::{Author, BOUNDARY, World, at, keys, manifest, scope};
use clap::Parser as _;
use std::collections::BTreeMap;
use std::fs;
use unjoin::audit::{CountedElsewhere, ManifestFinding, ManifestReport, audit_manifests};
use unjoin::ledger::{Ledger, PublishedEntry, export};
use unjoin::token::{CohortManifest, PublicationDates};
use unjoin::wire::Message;
use unjoin::{Grid, Name, WEEK};
use unjoin_test_util::{Directory, hex};

fn lamps() -> Name {
    Name::new("lamps.example").unwrap()
}

fn cohort(number: u64) -> CohortManifest {
    manifest(scope("lamps.example", number))
}

fn counted() -> CountedElsewhere {
    CountedElsewhere { grid: Grid::Weekly, classes: 2, orders: BTreeMap::new(), grants: BTreeMap::new() }
}

fn report(entries: &[Vec<u8>], counted: &CountedElsewhere) -> ManifestReport {
    let world = World::new(Ledger::Reviews);
    world.publish(entries);
    audit_manifests(&world.history(None), counted)
}

#[test]
fn crowds_are_added_up() {
    let later = PublicationDates::starting(BOUNDARY.saturating_add(WEEK)).unwrap();
    let later = CohortManifest { publications: later, ..cohort(3) };
    let chairs = CohortManifest { at_least: 3, ..manifest(scope("chairs.example", 1)) };
    let entries = [
        cohort(1).to_bytes(),
        cohort(2).to_bytes(),
        later.to_bytes(),
        chairs.to_bytes(),
        Author::new(1).published().to_bytes(),
        Author::new(2).published().to_bytes(),
    ];
    let orders = BTreeMap::from([(lamps(), 15), (chairs.scope.merchant().clone(), 3)]);
    let grants = BTreeMap::from([(cohort(1).scope, 5), (cohort(2).scope, 6)]);
    let report = report(&entries, &CountedElsewhere { orders, grants, ..counted() });
    assert_eq!(report.findings, []);
    let first = [
        (lamps(), BOUNDARY, 2),
        (lamps(), BOUNDARY.saturating_add(WEEK), 1),
        (chairs.scope.merchant().clone(), BOUNDARY, 1),
    ];
    assert_eq!(report.first_published, first.map(|(merchant, at, count)| ((merchant, at), count)).into());
    assert_eq!(report.at_least, [(lamps(), 15), (chairs.scope.merchant().clone(), 3)].into());
    assert_eq!(report.published, [(cohort(1).scope, 2)].into());
}

#[test]
fn a_second_manifest_for_one_cohort_is_named() {
    let second = CohortManifest { at_least: 50, ..cohort(1) };
    let report = report(&[cohort(1).to_bytes(), second.to_bytes()], &counted());
    assert_eq!(report.findings, [ManifestFinding::SecondManifest { scope: cohort(1).scope, index: 1 }]);
    // It does not count.
    assert_eq!(report.at_least, [(lamps(), 5)].into());
}

#[test]
fn a_date_off_the_grid_is_named() {
    let own = cohort(1);
    let dates = own.publications.as_slice().to_vec();
    for at in 0..dates.len() {
        let mut dates = dates.clone();
        dates[at] = dates[at].saturating_add(1);
        let publications = PublicationDates::new(&dates).unwrap();
        let report = report(&[CohortManifest { publications, ..own.clone() }.to_bytes()], &counted());
        assert_eq!(report.findings, [ManifestFinding::OffGrid { index: 0 }]);
    }
}

#[test]
fn more_cohorts_at_once_than_classes_are_named() {
    let entries: Vec<_> = (1..=5).map(|number| cohort(number).to_bytes()).collect();
    let found = report(&entries, &counted()).findings;
    let (merchant, first_publication) = (lamps(), BOUNDARY);
    assert_eq!(found, [ManifestFinding::TooManyCohorts { merchant, first_publication, cohorts: 5 }]);
    assert_eq!(report(&entries, &CountedElsewhere { classes: 3, ..counted() }).findings, []);
    // Each issuing key has cohorts of its own.
    let other = unjoin::token::Scope::new([9; 32], lamps(), 6);
    let entries = [&entries[..4], &[manifest(other).to_bytes()]].concat();
    assert_eq!(report(&entries, &counted()).findings, []);
}

#[test]
fn more_customers_than_orders_are_named() {
    let entries = [cohort(1).to_bytes(), cohort(2).to_bytes()];
    let counted = CountedElsewhere { orders: [(lamps(), 9)].into(), ..counted() };
    let (merchant, at_least, orders) = (lamps(), 10, 9);
    let too_many = ManifestFinding::MoreCustomersThanOrders { merchant, at_least, orders };
    assert_eq!(report(&entries, &counted).findings, [too_many]);
}

#[test]
fn minted_tokens_are_named() {
    let mut entries = vec![cohort(1).to_bytes()];
    entries.extend((0..7).map(|number| Author::new(number).published().to_bytes()));
    // Held against the cohort that they were published in.
    let elsewhere = PublishedEntry { scope: scope("lamps.example", 2), ..Author::new(8).published() };
    entries.push(elsewhere.to_bytes());
    let scope = cohort(1).scope;
    let with = |grants| CountedElsewhere { grants: [(scope.clone(), grants)].into(), ..counted() };
    assert_eq!(report(&entries, &with(7)).findings, []);
    let minted = ManifestFinding::MoreReviewsThanGrants { scope: scope.clone(), published: 7, grants: 6 };
    assert_eq!(report(&entries, &with(6)).findings, std::slice::from_ref(&minted));
    // And promised without being granted.
    let minted = ManifestFinding::MoreReviewsThanGrants { scope: scope.clone(), published: 7, grants: 4 };
    let promised = ManifestFinding::FewerGrantsThanPromised { scope: scope.clone(), at_least: 5, grants: 4 };
    assert_eq!(report(&entries, &with(4)).findings, [promised, minted]);
}

#[test]
fn the_program_reads_what_was_counted_elsewhere() {
    let directory = Directory::new();
    let path = directory.file("audit");
    fs::create_dir(&path).unwrap();
    let world = World::new(Ledger::Reviews);
    world.publish(&[cohort(1).to_bytes(), Author::new(1).published().to_bytes()]);
    export(&world.log, &path.join("ledger")).unwrap();
    let file = |name: &str| path.join(name).to_str().unwrap().to_owned();
    fs::write(path.join("trust"), world.policy_text()).unwrap();
    fs::write(path.join("orders"), "orders,merchant\n4,lamps.example\n").unwrap();
    let grants = format!("key_id,merchant,cohort,grants\n{},lamps.example,1,0\n", hex(&[7; 32]));
    fs::write(path.join("grants"), grants).unwrap();
    let told = run(&Arguments::parse_from([
        "audit",
        "--trust",
        &file("trust"),
        "--ledger",
        &file("ledger"),
        "--at",
        &at(5).as_unix_seconds().to_string(),
        "--platform",
        &hex(keys().platform.public().as_bytes()),
        "--grid",
        "weekly",
        "--orders",
        &file("orders"),
        "--grants",
        &file("grants"),
    ]))
    .unwrap();
    assert_eq!(told.notes[1..], ["customers of lamps.example: at least 5"]);
    let key = hex(&[7; 32]);
    assert_eq!(
        told.findings,
        [
            "more-customers 5 than orders 4 of lamps.example".to_owned(),
            format!("fewer-grants 0 than promised 5 of lamps.example cohort 1 key {key}"),
            format!("more-reviews 1 than grants 0 of lamps.example cohort 1 key {key}"),
        ]
    );
}
