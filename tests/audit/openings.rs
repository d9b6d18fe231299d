//! Overdue disclosures, and releases for no warrant.

use crate::program::{Arguments, run};
use crate::world::{World, at};
use clap::Parser as _;
use std::fs;
use unjoin::audit::{OpeningFinding, audit_openings};
use unjoin::ledger::{DisclosedEntry, Ledger, ShareReleasedEntry, WarrantAction, WarrantEntry, export};
use unjoin::secret::SystemRng;
use unjoin::token::TrusteeKey;
use unjoin::wire::Message;
use unjoin_test_util::Directory;

const EMBARGO: u64 = 1_000;

fn disclosed(number: u8) -> DisclosedEntry {
    DisclosedEntry { warrant_digest: [number; 32], blind: [100; 32] }
}

fn warrant(number: u8) -> Vec<u8> {
    let (commitment, requester) = (disclosed(number).commitment(), b"court".to_vec());
    WarrantEntry { commitment, requester, action: WarrantAction::Open, count: 1 }.to_bytes()
}

#[test]
fn a_disclosure_is_overdue_when_the_embargo_has_passed_between_two_checkpoints() {
    let directory = Directory::new();
    let path = directory.file("audit");
    fs::create_dir(&path).unwrap();
    let world = World::new(Ledger::Openings);
    let older = world.publish(&[warrant(1), warrant(2)]);
    world.clock.set(at(EMBARGO - 1));
    world.publish(&[warrant(3), disclosed(1).to_bytes()]);
    let history = world.history(Some(&older));
    assert_eq!(audit_openings(&history, EMBARGO), []);

    world.clock.set(at(EMBARGO));
    world.publish(&[]);
    let history = world.history(Some(&older));
    let overdue = OpeningFinding::Overdue { commitment: disclosed(2).commitment(), index: 1 };
    assert_eq!(audit_openings(&history, EMBARGO), [overdue]);

    fs::write(path.join("older"), &older).unwrap();
    fs::write(path.join("policy"), world.policy_text()).unwrap();
    export(&world.log, &path.join("ledger")).unwrap();
    let file = |name: &str| path.join(name).to_str().unwrap().to_owned();
    let findings = run(&Arguments::parse_from([
        "audit",
        "--policy",
        &file("policy"),
        "--ledger",
        &file("ledger"),
        "--older",
        &file("older"),
        "--embargo",
        "1000",
        "--at",
        &at(EMBARGO).as_unix_seconds().to_string(),
    ]));
    assert!(findings.unwrap().findings[0].starts_with("overdue "));

    world.publish(&[disclosed(2).to_bytes()]);
    let history = world.history(Some(&older));
    assert_eq!(audit_openings(&history, EMBARGO), []);
}

#[test]
fn a_release_for_no_warrant_is_named() {
    let world = World::new(Ledger::Openings);
    let key = TrusteeKey::generate(&mut SystemRng::new());
    let release = |sequence, warrant: u8| {
        let commitment = disclosed(warrant).commitment();
        ShareReleasedEntry::sign(&key, 3, sequence, commitment, [9; 32]).unwrap().to_bytes()
    };
    world.publish(&[warrant(1), release(1, 1), release(2, 2), warrant(2)]);
    let history = world.history(None);
    assert_eq!(audit_openings(&history, EMBARGO), [OpeningFinding::WithoutWarrant { index: 2, trustee: 3 }]);
}
