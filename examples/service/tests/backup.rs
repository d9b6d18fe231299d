//! Yesterday's copy is put back, in processes of their own: what is refused, what is kept, and what the ledger proves;
//! kills in the middle of it; and what `check` finds.

use super::process::{Process, buy, has_served};
use super::{Directory, MERCHANT, ask_door, submission};
use crate::client::Connection;
use crate::demo::witness::Elsewhere;
use crate::device::{Device, Order, Pins, is_receipt, report, until_ticked};
use hyper::body::Bytes;
use std::fs;
use std::io::{BufRead, BufReader};
use tokio::runtime::Runtime;
use unjoin::Environment;
use unjoin::ledger::tile::decode_bundle;
use unjoin::ledger::{
    NotePublicKey, PublishedEntry, RecoveredEntry, RecoveredStore, SignedCheckpoint, TileId,
};
use unjoin::wire::Message;
use unjoin_test_util::Seeded;
use unjoin_wallet::Token;

const NAMES: [&str; 4] = ["orders", "reviews", "phones", "ledgers"];
const GROUNDS: [&str; 3] = ["recover", "--grounds", "the volume was lost"];

/// A platform in a directory, and all that its tests do with it.
struct Shop {
    test: &'static str,
    store: String,
    directory: Directory,
    runtime: Runtime,
    witness: Option<String>,
}

impl Shop {
    fn new(test: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let directory = Directory::new();
        let store = format!("redb:{}", directory.0.join("stores").display());
        Self { test, store, directory, runtime, witness: None }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.0.join(name)
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let witness = self.witness.iter().flat_map(|witness| ["--witness", witness]);
        ["--k", "2", "--hold-hours", "0"].into_iter().chain(witness).chain(more.iter().copied()).collect()
    }

    fn start(&self, more: &[&str]) -> Process {
        let more = self.arguments(&[&["--confirm-clock"], more].concat());
        let process = Process::start(self.test, &self.directory.0, &self.store, "log", &more);
        self.runtime.block_on(until_ticked(&mut Connection::to(process.internal))).unwrap();
        process
    }

    /// Runs it to its end: whether that was a good one, and all that was said.
    fn run_on(&self, store: &str, more: &[&str]) -> (bool, String) {
        let more = self.arguments(more);
        let output = Process::command(self.test, &self.directory.0, store, &more).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        // For whoever reads a failure, or writes the manual.
        println!("$ service {more:?}\n{said}");
        (output.status.success(), said)
    }

    fn run(&self, more: &[&str]) -> (bool, String) {
        self.run_on(&self.store, more)
    }

    fn succeeds(&self, more: &[&str]) -> String {
        let (is_well, said) = self.run(more);
        assert!(is_well, "{said}");
        said
    }

    fn fails(&self, more: &[&str]) -> String {
        let (is_well, said) = self.run(more);
        assert!(!is_well, "{said}");
        said
    }

    fn back_up(&self, process: &Process, name: &str) {
        let (internal, to) = (process.internal.to_string(), self.path(name));
        let said = self.succeeds(&["--internal", &internal, "backup", to.to_str().unwrap()]);
        assert!(said.contains(&format!("{}: all stores are copied", to.display())), "{said}");
    }

    fn put_back(&self, backup: &str, names: &[&str]) {
        for name in names {
            let file = format!("{name}.redb");
            fs::copy(self.path(backup).join(&file), self.path("stores").join(file)).unwrap();
        }
    }

    fn pins(&self) -> Pins {
        Pins::read(&self.path("secrets/public-keys.json"), 2).unwrap()
    }

    /// What a mirror of the reviews ledger would have, in `export/`, and its entries.
    fn export(&self, process: &Process) -> Vec<Vec<u8>> {
        let mut entries = Vec::new();
        for ledger in ["reviews", "openings"] {
            let pins: serde_json::Value =
                serde_json::from_slice(&fs::read(self.path("secrets/public-keys.json")).unwrap()).unwrap();
            let key: NotePublicKey = pins["ledgers"][ledger].as_str().unwrap().parse().unwrap();
            let fetch = |path: String| {
                let fetched = async { Connection::to(process.public).get(&path).await.unwrap() };
                let fetched = self.runtime.block_on(fetched);
                assert_eq!(fetched.code(), None, "{path}");
                fetched.body
            };
            let note = fetch(format!("/ledgers/{ledger}/checkpoint"));
            let size = SignedCheckpoint::parse(&note, &key).unwrap().size();
            let tile = TileId { level: None, index: 0, width: size.try_into().unwrap() };
            let bundle = fetch(format!("/ledgers/{ledger}/{}", tile.path()));
            let at = self.path("export").join(ledger);
            fs::create_dir_all(at.join(tile.path()).parent().unwrap()).unwrap();
            fs::write(at.join("checkpoint"), &note).unwrap();
            fs::write(at.join(tile.path()), &bundle).unwrap();
            if ledger == "reviews" {
                entries = decode_bundle(&bundle).unwrap();
            }
        }
        entries
    }

    fn ask(&self, process: &Process, message: Vec<u8>) -> Result<Bytes, String> {
        self.runtime.block_on(ask_door(&mut Connection::to(process.public), message))
    }

    fn listed(&self, process: &Process) -> usize {
        let listed = async {
            let mut devices = Connection::to(process.public);
            devices.get(&format!("/reviews/published/{MERCHANT}")).await.unwrap().object().unwrap()
        };
        self.runtime.block_on(listed)["reviews"].as_array().unwrap().len()
    }

    /// What happens in the shop, up to yesterday's backup and on from it: ann's review was sent before, ben's after, and dan
    /// got a token after it. Both reviews are published.
    fn live(&mut self) -> [(Device, Token); 3] {
        let process = self.start(&["--demo-trustees", "--days-behind", "40"]);
        let pins = self.pins();
        let [ann, ben] = self.runtime.block_on(async {
            for silent in ["eve", "fay", "gus", "hal"] {
                buy(&process, &pins, silent).await;
            }
            [buy(&process, &pins, "ann").await, buy(&process, &pins, "ben").await]
        });
        process.end();
        let secrets = self.path("secrets");
        let witness = Elsewhere::serve(&secrets, Environment::system());
        self.witness = Some(self.runtime.block_on(witness).unwrap().at.clone());
        let process = self.start(&["--days-behind", "25"]);
        assert!(is_receipt(
            &self.ask(&process, submission(&ann.0, &ann.1, "It came broken.")).unwrap(),
            &pins
        ));
        self.back_up(&process, "yesterday");
        assert!(is_receipt(&self.ask(&process, submission(&ben.0, &ben.1, "It shines.")).unwrap(), &pins));
        let dan = self.runtime.block_on(buy(&process, &pins, "dan"));
        process.end();
        let process = self.start(&["--days-behind", "10"]);
        assert_eq!(self.listed(&process), 2);
        process.end();
        [ann, ben, dan]
    }
}

fn recoveries(entries: &[Vec<u8>]) -> Vec<(RecoveredStore, u32)> {
    let found = entries.iter().filter_map(|entry| RecoveredEntry::from_bytes(entry).ok());
    found.map(|entry| (entry.store(), entry.era())).collect()
}

const PUT_BACK: &str = "tests::backup::yesterdays_copy_goes_on_from_what_the_ledger_proves";

#[test]
fn yesterdays_copy_goes_on_from_what_the_ledger_proves() {
    if has_served() {
        return;
    }
    let mut shop = Shop::new(PUT_BACK);
    let [ann, ben, dan] = shop.live();
    let pins = shop.pins();

    // One store. Nothing serves it, and words say what does.
    shop.put_back("yesterday", &["reviews"]);
    let said = shop.fails(&[]);
    assert!(
        said.contains("the reviews store is a backup's copy") && said.contains("recover --grounds"),
        "{said}"
    );
    let said = shop.fails(&["check"]);
    assert!(said.contains("WRONG: The reviews store is an older copy beside newer ones"), "{said}");
    let unwitnessed = shop.witness.take();
    let said = shop.fails(&GROUNDS);
    assert!(said.contains("these ledgers have no witnesses"), "{said}");
    shop.witness = unwitnessed;
    let said = shop.succeeds(&[&["--confirm-clock"][..], &GROUNDS].concat());
    assert!(
        said.contains("The reviews store is recovered, in era 2. 2 published reviews wait for their words"),
        "{said}"
    );
    assert!(said.contains("All stores are in era 2") && !said.contains("orders store"), "{said}");
    let process = shop.start(&[]);
    // A changed wallet shows another review; the honest one sends its words again.
    assert_eq!(shop.listed(&process), 0);
    for (device, token) in [&ann, &ben] {
        assert_eq!(shop.ask(&process, submission(device, token, "Splendid!")), Err("desk.spent".to_owned()));
    }
    assert!(is_receipt(&shop.ask(&process, submission(&ann.0, &ann.1, "It came broken.")).unwrap(), &pins));
    let entries = shop.export(&process);
    assert_eq!(recoveries(&entries), [(RecoveredStore::Reviews, 2)]);
    process.end();

    // Orders and reviews: what was granted since is granted to nobody again.
    shop.put_back("yesterday", &["orders", "reviews"]);
    let said = shop.succeeds(&GROUNDS);
    assert!(said.contains("The orders store is recovered, in era 3"), "{said}");
    assert!(said.contains("The reviews store is recovered, in era 4"), "{said}");
    let process = shop.start(&[]);
    let refused = shop.runtime.block_on(async {
        let (mut devices, mut internal) = (Connection::to(process.public), Connection::to(process.internal));
        // Another wallet of the same account asks with another commitment.
        let changed = Device::new(dan.0.account.clone());
        changed.enrol(&mut devices, &pins).await.unwrap();
        let order = Order { id: "order-of-dan", merchant: MERCHANT, class: 0, due_at: 1_500_000_000 };
        let handle = report(&mut internal, "dan", &order).await.unwrap();
        changed.token(&mut devices, &pins, MERCHANT, &handle).await.err().unwrap().to_string()
    });
    assert!(refused.contains("issuer.before_recovery"), "{refused}");
    assert_eq!(shop.ask(&process, submission(&ben.0, &ben.1, "Splendid!")), Err("desk.spent".to_owned()));
    shop.export(&process);
    process.end();

    // All of them agree with one another, and the witness has seen more.
    shop.put_back("yesterday", &NAMES);
    let said = shop.fails(&[]);
    assert!(said.contains("is a backup's copy"), "{said}");
    let said = shop.fails(&GROUNDS);
    assert!(
        said.contains("the ledger's own store is an older copy")
            && said.contains("append what its export has"),
        "{said}"
    );
    let export = shop.path("export");
    let said = shop.succeeds(&[&GROUNDS[..], &["--export", export.to_str().unwrap()]].concat());
    assert!(said.contains("are appended") && said.contains("Every slot key is replaced"), "{said}");
    let process = shop.start(&[]);
    let entries = shop.export(&process);
    assert_eq!(
        recoveries(&entries),
        [
            (RecoveredStore::Reviews, 2),
            (RecoveredStore::Orders, 3),
            (RecoveredStore::Reviews, 4),
            (RecoveredStore::Orders, 5),
            (RecoveredStore::Reviews, 6)
        ]
    );
    let published = entries.iter().filter(|entry| PublishedEntry::from_bytes(entry).is_ok()).count();
    assert_eq!(published, 2, "each token once");
    assert_eq!(shop.ask(&process, submission(&ben.0, &ben.1, "Splendid!")), Err("desk.spent".to_owned()));
    process.end();
    let said = shop.succeeds(&["check"]);
    assert!(said.contains("Nothing is wrong."), "{said}");
}

/// A shop that has lived on; `None` in a process that served for the test of this name.
fn lived(test: &'static str) -> Option<Shop> {
    if has_served() {
        return None;
    }
    let mut shop = Shop::new(test);
    shop.live();
    Some(shop)
}

const KILLED: &str = "tests::backup::a_backup_and_a_recovery_that_were_killed_are_done_again";

#[test]
fn a_backup_and_a_recovery_that_were_killed_are_done_again() {
    let Some(shop) = lived(KILLED) else { return };
    let (draw, to) = (&mut Seeded(5), shop.path("today"));
    let part = shop.path("today.part");
    // Once something of it is there, and the service that makes it is killed.
    for file in ["orders.redb.new", "orders.redb", "reviews.redb", "phones.redb", "ledgers.redb.new"] {
        let process = shop.start(&[]);
        let internal = process.internal.to_string();
        let arguments = shop.arguments(&["--internal", &internal, "backup", to.to_str().unwrap()]);
        let mut asking =
            Process::command(shop.test, &shop.directory.0, &shop.store, &arguments).spawn().unwrap();
        while !part.join(file).exists() && !to.exists() {
            std::thread::yield_now();
        }
        process.kill();
        asking.wait().unwrap();
        // It was too fast.
        if to.exists() {
            fs::remove_dir_all(&to).unwrap();
        }
    }
    let process = shop.start(&[]);
    shop.back_up(&process, "today");
    let again = shop.fails(&["--internal", &process.internal.to_string(), "backup", to.to_str().unwrap()]);
    assert!(again.contains("there is something already") && again.contains(to.to_str().unwrap()), "{again}");
    process.end();
    assert!(!part.exists(), "what was left is gone");
    let (is_well, said) = shop.run_on(&format!("redb:{}", to.display()), &["check"]);
    assert!(is_well && said.contains("They are a backup's"), "{said}");

    let arguments = [&["--confirm-clock"][..], &GROUNDS].concat();
    let mut cut = 0;
    for most in [1, 10, 20, 30, 40, 60, 80, 100] {
        shop.put_back("yesterday", &["orders", "reviews"]);
        let all = shop.arguments(&arguments);
        let mut child = Process::command(shop.test, &shop.directory.0, &shop.store, &all).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("The reviews store is an older copy")));
        // Nothing is waited for: the moment is what is random.
        std::thread::sleep(std::time::Duration::from_millis(draw.below(most)));
        child.kill().unwrap();
        cut += usize::from(!child.wait().unwrap().success());
        shop.succeeds(&arguments);
        let process = shop.start(&[]);
        process.end();
    }
    assert!(cut > 0, "none was killed in the middle");
    let process = shop.start(&[]);
    let entries = shop.export(&process);
    process.end();
    let eras: Vec<u32> = recoveries(&entries).into_iter().map(|(_, era)| era).collect();
    assert!(eras.is_sorted_by(|one, next| one < next) && eras.len() == 16, "{eras:?}");
    assert!(shop.succeeds(&["check"]).contains("Nothing is wrong."));
}

const CHECKED: &str = "tests::backup::check_finds_what_does_not_belong_together_and_changes_nothing";

#[test]
fn check_finds_what_does_not_belong_together_and_changes_nothing() {
    let Some(shop) = lived(CHECKED) else { return };
    let file = |name: &str| shop.path("stores").join(format!("{name}.redb"));
    let finds = |words: &str| {
        let before: Vec<_> = NAMES.map(|name| fs::read(file(name)).ok()).into();
        let said = shop.fails(&["check"]);
        assert!(
            said.contains(&format!("WRONG: {words}")) && said.contains("nothing was changed"),
            "{words}: {said}"
        );
        assert!(NAMES.map(|name| fs::read(file(name)).ok()).to_vec() == before, "check writes to no store");
        assert!(
            fs::read_dir(shop.path("secrets"))
                .unwrap()
                .all(|entry| { !entry.unwrap().file_name().to_string_lossy().starts_with("check-") })
        );
    };
    let said = shop.succeeds(&["check"]);
    for sentence in [
        "all keys are there and whole",
        "the orders store of this platform, in era 1",
        "The stores are in step with one another.",
        "as their hashes say",
        "The witnesses have seen no more of the ledgers than is here.",
        "The stores belong to these keys.",
        "All 2 reviews that are shown stand in the reviews ledger.",
        "Nothing is wrong.",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    // Two stores, each in the other's place.
    let aside = shop.path("aside");
    fs::rename(file("orders"), &aside).unwrap();
    fs::rename(file("reviews"), file("orders")).unwrap();
    fs::rename(&aside, file("reviews")).unwrap();
    finds(&format!(
        "{}: the reviews store lies where the orders store is looked for",
        file("orders").display()
    ));
    fs::rename(file("orders"), &aside).unwrap();
    fs::rename(file("reviews"), file("orders")).unwrap();
    fs::rename(&aside, file("reviews")).unwrap();
    // No store, and no key.
    fs::rename(file("ledgers"), &aside).unwrap();
    finds(&format!("{}: there is no such file", file("ledgers").display()));
    fs::rename(&aside, file("ledgers")).unwrap();
    let key = shop.path("secrets/keys/issuer-key");
    fs::rename(&key, &aside).unwrap();
    finds(&format!("{} is gone", key.display()));
    // Another's key.
    fs::write(&key, [5; 64]).unwrap();
    fs::set_permissions(&key, fs::metadata(&aside).unwrap().permissions()).unwrap();
    let _ = shop.fails(&["check"]);
    fs::rename(&aside, &key).unwrap();
    let master = shop.path("secrets/keys/issuer-master");
    let kept = fs::read(&master).unwrap();
    fs::write(&master, [5; 32]).unwrap();
    finds("the orders store belongs to another secret (order handles)");
    fs::write(&master, kept).unwrap();
    // A ledger that is shorter than what its witness has seen.
    shop.put_back("yesterday", &["ledgers"]);
    finds("the witnesses have seen a larger ledger than this one");
    // A service has them open.
    let mut whole = Shop::new(CHECKED);
    let process = whole.start(&["--demo-trustees"]);
    let said = whole.fails(&["check"]);
    assert!(said.contains("orders.redb: a service has it open: end that first"), "{said}");
    process.end();
    whole.witness = None;
    assert!(whole.succeeds(&["check"]).contains("No --witness is named"));
}

#[cfg(feature = "postgres")]
const SCHEMA: &str = "tests::backup::a_copy_goes_back_into_a_schema_that_was_lost";

#[cfg(feature = "postgres")]
#[test]
fn a_copy_goes_back_into_a_schema_that_was_lost() {
    if has_served() {
        return;
    }
    let server = super::postgres::server::Server::shared();
    server.sql("CREATE DATABASE restored");
    let mut shop = Shop::new(SCHEMA);
    shop.store = format!("postgres:{} dbname=restored", server.address());
    let [ann, ben, _] = shop.live();
    let said = shop.fails(&["check"]);
    assert!(said.contains("make a backup, which is files"), "{said}");
    let database = format!("{} dbname=restored", server.address());
    let drop = ["-X", "-q", "-d", &database, "-c", "DROP SCHEMA unjoin_reviews CASCADE"];
    assert!(std::process::Command::new("psql").args(drop).output().unwrap().status.success());
    let said = shop.fails(&[]);
    assert!(said.contains("schema unjoin_reviews: the store's") && said.contains("is missing"), "{said}");
    let yesterday = shop.path("yesterday");
    let again = ["--anew", "reviews", "--from", yesterday.to_str().unwrap()];
    let said = shop.succeeds(&[&["--confirm-clock"][..], &GROUNDS, &again].concat());
    assert!(said.contains("The reviews store is recovered, in era 2. 2 published reviews"), "{said}");
    let process = shop.start(&[]);
    for (device, token) in [&ann, &ben] {
        assert_eq!(shop.ask(&process, submission(device, token, "Splendid!")), Err("desk.spent".to_owned()));
    }
    process.end();
}
