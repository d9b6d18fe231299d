//! The officer's tool, over files: from the warrant to the author.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

#[allow(dead_code, reason = "its main is the example's")]
#[path = "../../examples/trustee/main.rs"]
mod tool;
#[allow(dead_code, reason = "another test's world")]
#[path = "../opening/world.rs"]
mod world;

use crate::tool::{Arguments, run};
use crate::world::{World, present, trust};
use clap::Parser as _;
use std::fs;
use std::path::Path;
use unjoin::PassphraseCost;
use unjoin::ledger::{LogView, WarrantAction, export};
use unjoin::opening::warrant::PresentedWarrant;
use unjoin::opening::{Committee, ReviewEvidence, SealedShare};
use unjoin::secret::SystemRng;
use unjoin::store::{Bucket, RedbStore, Store};
use unjoin::wire::Message;
use unjoin_test_util::{Directory, hex};

const PASSPHRASE: &str = "three words more";
const BUDGETS: &str = "window 600\ncooling-off 60\nfreshness 18446744073709551615\n\
    budget open all 1 own 1 requester 1\nbudget same-author all 9 own 9 requester 9\n";

struct Desk {
    directory: Directory,
    world: World,
}

impl Desk {
    fn new() -> Self {
        let (directory, world) = (Directory::new(), World::new());
        fs::write(directory.file("policy"), trust(&world) + BUDGETS).unwrap();
        fs::write(directory.file("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
        let cost = PassphraseCost::new(PassphraseCost::MIN_MEMORY_KIB, 1, 1).unwrap();
        for (secrets, index) in world.secrets.iter().zip(1..) {
            let sealed = secrets.seal(PASSPHRASE.as_bytes(), cost, &mut SystemRng::new()).unwrap();
            sealed.replace_file(&directory.file(&format!("{index}.sealed"))).unwrap();
        }
        Self { directory, world }
    }

    fn export(&self) {
        let openings = &self.world.openings;
        assert!(openings.log.publish(&[&self.world.witness]).unwrap().published);
        export(&openings.log, &self.directory.file("ledger")).unwrap();
    }

    fn file(&self, name: &str) -> String {
        self.directory.file(name).to_str().unwrap().to_owned()
    }

    fn write(&self, warrant: &PresentedWarrant, review: &ReviewEvidence) {
        fs::write(self.file("warrant"), warrant.to_bytes()).unwrap();
        fs::write(self.file("review"), review.to_bytes()).unwrap();
    }

    /// What a command of a trustee puts on the screen, or why it refuses.
    fn says(&self, index: u16, command: &str, more: &[&str]) -> Result<String, String> {
        let mut words: Vec<String> = ["trustee", command].map(str::to_owned).into();
        let files =
            ["secrets", "passphrase-file", "store", "policy", "ledger"].map(|what| format!("--{what}"));
        let names = [
            format!("{index}.sealed"),
            "passphrase".into(),
            format!("{index}.redb"),
            "policy".into(),
            "ledger".into(),
        ];
        for (flag, name) in files.into_iter().zip(names) {
            words.extend([flag, self.file(&name)]);
        }
        words.extend(more.iter().map(|word| word.replace("@", &self.file(""))));
        let mut screen = Vec::new();
        let outcome = run(Arguments::parse_from(words).command, &mut screen);
        let shown = String::from_utf8(screen).unwrap();
        outcome.map(|()| shown).map_err(|error| error.to_string())
    }

    fn answers(&self, index: u16, more: &[&str]) -> Result<String, String> {
        let files = ["--warrant", "@warrant", "--review", "@review", "--out", "@out"];
        self.says(index, "answer", &[&files[..], more].concat())
    }

    fn left(&self, start: &str) -> Vec<Vec<u8>> {
        let Ok(all) = fs::read_dir(self.directory.file("out")) else { return Vec::new() };
        let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(start);
        let paths = all.map(|entry| entry.unwrap().path()).filter(|path| named(path));
        paths.map(|path| fs::read(path).unwrap()).collect()
    }
}

fn rows(store: &RedbStore) -> usize {
    Bucket::all().map(|bucket| store.scan(bucket, b"", None, 1000).unwrap().len()).sum()
}

#[test]
fn an_officer_answers_a_warrant_and_nothing_secret_is_shown() {
    let desk = Desk::new();
    let world = &desk.world;
    let author = world.author("one");
    let review = world.publish(&author);
    let presented = world.warrant(WarrantAction::Open, &[&review]);
    desk.write(&presented, &review);
    desk.export();
    let mut shown = String::new();

    // Not logged: said so, and refused.
    let told = desk.says(1, "show-warrant", &["--warrant", "@warrant"]).unwrap();
    assert!(
        told.contains("court.example")
            && told.contains("Az. 41 Js 12/26")
            && told.contains("not as it stands"),
        "{told}"
    );
    assert!(told.contains("1 openings; 1 are left to all, 1 to you, 1 to this requester"), "{told}");
    assert!(desk.answers(1, &["--yes"]).unwrap_err().contains("not in the openings ledger"));
    shown += &told;

    let _ = world.log_warrant(&presented);
    desk.export();
    let told = desk.answers(1, &["--dry-run"]).unwrap();
    assert!(told.contains("Would be:    wait"), "{told}");
    fs::write(desk.file("older"), world.openings.log.checkpoint().unwrap().unwrap()).unwrap();
    world.clock.set(crate::world::at(120));
    desk.export();
    // Nobody has shown the trustees since when the warrant is there.
    let told = desk.answers(1, &["--dry-run"]).unwrap();
    assert!(told.contains("Would be:    wait"), "{told}");
    for index in [1, 2, 3] {
        let _ = desk.says(index, "status", &["--checkpoint", "@older"]).unwrap();
    }

    // A dry run charges nothing and leaves nothing.
    let told = desk.answers(1, &["--dry-run"]).unwrap();
    assert!(told.contains("Would be:    an entry") && told.contains("Nothing was written"), "{told}");
    assert!(desk.left("").is_empty());
    let kept = rows(&RedbStore::create_or_open(desk.file("1.redb")).unwrap());
    assert_eq!(kept, 1 + 1, "what it has followed, and a mark");

    for index in [1, 3] {
        shown += &desk.answers(index, &["--yes"]).unwrap();
    }
    for entry in desk.left("entry-") {
        world.openings.log.append(&[entry]).unwrap();
    }
    let waiting = desk.says(1, "status", &[]).unwrap();
    assert!(waiting.contains("1 entries of yours are not in the ledger yet"), "{waiting}");
    desk.export();
    for index in [1, 3] {
        let told = desk.answers(index, &[]).unwrap();
        assert!(told.contains("your share, sealed"), "{told}");
        shown += &told;
    }
    let open =
        |sealed: Vec<u8>| world.recipient.open(&SealedShare::from_bytes(&sealed).unwrap(), presented.terms());
    let shares: Vec<_> = desk.left("share-").into_iter().map(|sealed| open(sealed).unwrap()).collect();
    assert_eq!(shares.len(), 2);
    let opening = world.combine(&presented, &review, shares).unwrap();
    let found = opening.verify(&world.trust(), &mut SystemRng::new()).unwrap();
    assert_eq!(found.wallet_key, author.wallet_key());

    // The budget of one is used up, and the tool says so.
    let told = desk.says(2, "show-warrant", &["--warrant", "@warrant"]).unwrap();
    assert!(told.contains("0 are left to all, 1 to you"), "{told}");
    let other = world.publish(&world.author("two"));
    let next = present(world.terms(WarrantAction::Open, &[&other]));
    let _ = world.log_warrant(&next);
    desk.export();
    let _ = desk.says(2, "status", &[]).unwrap();
    world.clock.set(crate::world::at(240));
    desk.export();
    desk.write(&next, &other);
    assert!(desk.answers(2, &["--yes"]).unwrap_err().contains("nothing was logged or released"));
    shown += &told;

    // Whoever reads the screen learns no share, no key of an author, and no blind.
    let committee: &Committee = world.committees[0].committee();
    assert!(!shown.contains(&hex(author.wallet_key().as_bytes())));
    assert!(!shown.contains(&hex(presented.blind())) && !shown.contains(PASSPHRASE));
    assert!(!shown.contains(&hex(committee.verification_shares()[0].as_bytes())));
}

#[test]
fn a_store_that_was_put_back_is_told_and_resynchronised() {
    let desk = Desk::new();
    let world = &desk.world;
    let review = world.publish(&world.author("one"));
    let presented = world.warrant(WarrantAction::Open, &[&review]);
    desk.write(&presented, &review);
    let _ = world.log_warrant(&presented);
    desk.export();
    let _ = desk.says(1, "status", &[]).unwrap();
    world.clock.set(crate::world::at(120));
    desk.export();
    let _ = desk.answers(1, &["--yes"]).unwrap();
    world.openings.log.append(&desk.left("entry-")).unwrap();
    desk.export();
    fs::remove_file(desk.file("1.redb")).unwrap();
    assert!(desk.says(1, "status", &[]).unwrap_err().contains("its store does not know"));
    let told = desk.says(1, "resynchronise", &["--yes"]).unwrap();
    assert!(told.starts_with("1 releases"), "{told}");
    // The times that it had seen are lost, too: the cooling-off begins anew.
    world.clock.set(crate::world::at(240));
    desk.export();
    assert!(desk.answers(1, &[]).unwrap().contains("your share, sealed"));
}

#[test]
fn a_policy_of_other_trustees_or_without_a_budget_is_refused() {
    let desk = Desk::new();
    desk.export();
    let right = fs::read_to_string(desk.file("policy")).unwrap();
    let refused = |policy: &str| {
        fs::write(desk.file("policy"), policy).unwrap();
        desk.says(1, "status", &[]).unwrap_err()
    };
    let other = trust(&World::new()) + BUDGETS;
    assert!(refused(&other).contains("other trustees"));
    assert!(refused(&right.replace("window 600\n", "")).contains("no line window"));
    assert!(refused(&(right.clone() + "budget peek all 1 own 1 requester 1\n")).contains("not an action"));
    assert!(refused(&(right.clone() + "something else\n")).contains("not a line of a trust file"));
    fs::write(desk.file("policy"), right).unwrap();
    assert!(desk.says(1, "status", &[]).unwrap().contains("You are trustee 1, with a share of epoch 1"));
}
