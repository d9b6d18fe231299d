//! A witness that other people run, over HTTP.
#![cfg(unix)]

use super::Directory;
use super::process::{Process, has_served};
use crate::demo::witness::Elsewhere;
use std::fs;
use std::sync::Arc;
use unjoin::Environment;
use unjoin::ledger::{KeyName, Witness, WitnessService};
use unjoin::store::MemoryStore;

/// A witness is set up with keys that the first start makes.
#[test]
fn a_first_start_makes_the_keys_for_a_witness_and_serves_once_it_answers() {
    const TEST: &str =
        "tests::witness::a_first_start_makes_the_keys_for_a_witness_and_serves_once_it_answers";
    if has_served() {
        return;
    }
    let directory = Directory::new();
    let (secrets, store) =
        (directory.0.join("secrets"), format!("redb:{}", directory.0.join("stores").display()));
    let (engine, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness.example").unwrap());
    let known = WitnessService::create(engine, name, Vec::new(), Environment::system()).unwrap();
    // Nobody listens there.
    let away = format!("http://[::1]:1={}", known.public_key());
    let first = ["--demo-trustees", "--witness", &away];
    let refused = Process::command(TEST, &directory.0, &store, &first).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("no witness says what it has seen"), "{said}");
    let pins = fs::read(secrets.join("public-keys.json")).unwrap();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let witness = runtime.block_on(Elsewhere::serve(&secrets, Environment::system())).unwrap();
    Process::start(TEST, &directory.0, &store, "log", &["--witness", &witness.at]).end();
    assert_eq!(fs::read(secrets.join("public-keys.json")).unwrap(), pins);
}
