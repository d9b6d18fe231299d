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
use crate::world::{RECIPIENT, World, present, trust};
use clap::Parser as _;
use std::fs;
use std::path::Path;
use unjoin::PassphraseCost;
use unjoin::ledger::{LogView, ShareReleasedEntry, WarrantAction, export};
use unjoin::opening::warrant::PresentedWarrant;
use unjoin::opening::{
    Committee, ReleasedShare, ReviewEvidence, SealedShare, SealedTrusteeSecrets, TrusteeSecrets,
};
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
        let cost = PassphraseCost::LEAST;
        for (secrets, index) in world.secrets.iter().zip(1..) {
            let sealed = secrets.seal(PASSPHRASE.as_bytes(), cost, &mut SystemRng::new()).unwrap();
            sealed.replace_file(&directory.file(&format!("{index}.sealed"))).unwrap();
        }
        let desk = Self { directory, world };
        (1..).zip(&desk.world.secrets).for_each(|(index, _)| desk.create(index).unwrap());
        desk
    }

    fn create(&self, index: u16) -> Result<(), String> {
        let files = [("secrets", format!("{index}.sealed")), ("passphrase-file", "passphrase".into())];
        let files = files.into_iter().chain([("store", format!("{index}.redb"))]);
        let words = files.flat_map(|(flag, name)| [format!("--{flag}"), self.file(&name)]);
        let arguments =
            Arguments::parse_from(["trustee", "create"].map(str::to_owned).into_iter().chain(words));
        run(arguments.command, &mut Vec::new()).map_err(|error| error.to_string())
    }

    fn export(&self) {
        let openings = &self.world.openings;
        assert!(openings.log.publish(std::slice::from_ref(&self.world.witness)).unwrap().published);
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

/// Keyboards write an é as one character or as two, and some a full-width A.
#[test]
fn a_passphrase_opens_from_every_keyboard_and_white_space_is_noticed() {
    use crate::tool::Secrets;
    let directory = Directory::new();
    let ask = |typed: &str| {
        fs::write(directory.file("passphrase"), format!("{typed}\r\n")).unwrap();
        let mut secrets =
            Secrets::ask(directory.file("sealed"), Some(&directory.file("passphrase"))).unwrap();
        secrets.cost = PassphraseCost::LEAST;
        secrets
    };
    let kept = TrusteeSecrets::generate(&mut SystemRng::new());
    ask("caf\u{e9} A").keep(&kept).unwrap();
    for same in ["caf\u{e9} A", "cafe\u{301} A", "cafe\u{301} \u{ff21}"] {
        assert_eq!(ask(same).unseal().unwrap().public(), kept.public(), "{same:?}");
    }
    for other in ["cafe A", "caf\u{e9} A ", "caf\u{e9} a"] {
        assert!(ask(other).unseal().is_err(), "{other:?}");
    }
    let said = |typed: &str| {
        let mut screen = Vec::new();
        let _ = crate::tool::passphrase::settle(typed, &mut screen).unwrap();
        String::from_utf8(screen).unwrap()
    };
    assert_eq!(said("three words more"), "");
    for typed in ["secret ", " secret", "secret\u{a0}"] {
        assert!(said(typed).contains("white space") && !said(typed).contains("secret"), "{typed:?}");
    }
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
    let kept = rows(&unjoin_test_util::redb(desk.file("1.redb")).unwrap());
    assert_eq!(
        kept,
        2 + 1 + 2,
        "whose it is, what it has followed, and marks: of the committee, and of the warrant"
    );

    for index in [1, 3] {
        shown += &desk.answers(index, &["--yes"]).unwrap();
    }
    let announced = desk.left("entry-");
    world.openings.log.append(&announced).unwrap();
    let waiting = desk.says(1, "status", &[]).unwrap();
    assert!(waiting.contains("1 entries of yours are not in the ledger yet"), "{waiting}");
    desk.export();
    for index in [1, 3] {
        let told = desk.answers(index, &[]).unwrap();
        assert!(told.contains("your share, sealed"), "{told}");
        shown += &told;
    }
    let open = |sealed: Vec<u8>| {
        let sealed = SealedShare::from_bytes(&sealed).unwrap();
        let share = world.recipient.open(&sealed, presented.terms()).unwrap();
        let announces =
            |entry: &&Vec<u8>| ShareReleasedEntry::from_bytes(entry).unwrap().trustee() == share.index();
        let entry = announced.iter().find(announces).unwrap();
        ReleasedShare { share, release: world.openings.log.evidence_of(entry).unwrap().unwrap() }
    };
    let shares: Vec<_> = desk.left("share-").into_iter().map(open).collect();
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
    assert!(desk.says(1, "status", &[]).unwrap_err().contains("missing"));
    desk.create(1).unwrap();
    assert!(desk.says(1, "status", &[]).unwrap_err().contains("its store does not know"));
    let told = desk.says(1, "resynchronise", &["--yes"]).unwrap();
    assert!(told.starts_with("1 releases"), "{told}");
    // The times that it had seen are lost, too: the cooling-off begins anew.
    world.clock.set(crate::world::at(240));
    desk.export();
    assert!(desk.answers(1, &[]).unwrap().contains("your share, sealed"));
}

/// Whoever opens a store that is missing, empty or another trustee's would count budgets anew.
#[test]
fn a_store_is_made_by_create_alone_and_opened_by_its_own_trustee() {
    let desk = Desk::new();
    desk.export();
    let commands = [("status", &[][..]), ("resynchronise", &["--yes"][..])];
    let refused = |says: &str| {
        for (command, more) in commands {
            let error = desk.says(1, command, more).unwrap_err();
            assert!(error.starts_with(&desk.file("1.redb")) && error.contains(says), "{error}");
        }
    };
    let _ = desk.says(1, "status", &[]).unwrap();
    let before = desk.create(1).unwrap_err();
    assert!(before.starts_with(&desk.file("1.redb")), "{before}");

    fs::remove_file(desk.file("1.redb")).unwrap();
    refused("missing");
    assert!(!desk.directory.file("1.redb").exists(), "nothing was made");
    fs::write(desk.file("1.redb"), "").unwrap();
    refused("");
    fs::copy(desk.file("2.redb"), desk.file("1.redb")).unwrap();
    refused("another platform");
    fs::remove_file(desk.file("1.redb")).unwrap();
    drop(RedbStore::create(desk.file("1.redb")).unwrap());
    refused("create");
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
    assert!(refused(&right.replace("window 600\n", "")).contains("no line `window`"));
    assert!(refused(&(right.clone() + "budget peek all 1 own 1 requester 1\n")).contains("not an action"));
    assert!(refused(&(right.clone() + "something else\n")).contains("not a line of a trust file"));
    fs::write(desk.file("policy"), right).unwrap();
    assert!(desk.says(1, "status", &[]).unwrap().contains("You are trustee 1, with a share of epoch 1"));
}

/// The files of a comparison: what the requester and the platform put into the case.
fn open_case(desk: &Desk, presented: &PresentedWarrant, reviews: &[ReviewEvidence]) {
    let world = &desk.world;
    fs::create_dir(desk.file("case")).unwrap();
    fs::write(desk.file("case/warrant.bin"), presented.to_bytes()).unwrap();
    for (number, review) in reviews.iter().enumerate() {
        fs::write(desk.file(&format!("case/review-{number}.bin")), review.to_bytes()).unwrap();
    }
    for (number, committee) in world.committees.iter().enumerate() {
        fs::write(desk.file(&format!("committee-{number}")), committee.to_bytes()).unwrap();
    }
    // The world's first officer, and the secret of the recipient.
    let officer = format!("court.example/officer1 {}\n", hex(&[1; 32]));
    fs::write(desk.file("officer"), officer).unwrap();
    fs::write(desk.file("recipient"), hex(&RECIPIENT)).unwrap();
}

/// What whoever leads the round is told.
fn leads(desk: &Desk, round: &str, members: &str) -> Result<String, String> {
    let files = ["case", "policy", "officer", "recipient"].map(|what| [format!("--{what}"), desk.file(what)]);
    let mut words: Vec<String> =
        ["trustee", "round", "--round", round, "--members", members].map(str::to_owned).into();
    words.extend(files.into_iter().flatten());
    for number in 0..desk.world.committees.len() {
        words.extend(["--committee".to_owned(), desk.file(&format!("committee-{number}"))]);
    }
    let mut screen = Vec::new();
    let outcome = run(Arguments::parse_from(words).command, &mut screen);
    outcome.map(|()| String::from_utf8(screen).unwrap()).map_err(|error| error.to_string())
}

/// Logs what the round's files of this name hold.
fn log_files(desk: &Desk, start: &str) {
    let path = desk.file("case");
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(start);
    let paths = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| named(path));
    let entries: Vec<Vec<u8>> = paths.map(|path| fs::read(path).unwrap()).collect();
    assert!(!entries.is_empty(), "{start}");
    desk.world.openings.log.append(&entries).unwrap();
    desk.export();
}

#[test]
fn officers_compare_in_one_round_and_a_member_who_cheats_is_named() {
    let desk = Desk::new();
    let world = &desk.world;
    let (ann, ben) = (world.author("one"), world.author("two"));
    let again = world.author_again(&ann, "three");
    let reviews = [&ann, &ben, &again].map(|author| world.publish(author));
    let presented = world.warrant(WarrantAction::SameAuthor, &[&reviews[0], &reviews[1], &reviews[2]]);
    open_case(&desk, &presented, &reviews);
    let _ = world.log_warrant(&presented);
    desk.export();
    let member = |index: u16, command: &str, round: &str| {
        desk.says(index, command, &["--case", "@case", "--round", round])
    };
    let members = [1, 2, 3];
    for index in members {
        let _ = desk.says(index, "status", &[]).unwrap();
    }
    world.clock.set(crate::world::at(120));
    desk.export();
    // Everybody charges each review: an entry, and once it is logged, the verdict on it.
    for step in ["an entry that says", "the review is charged"] {
        for (index, review) in
            members.iter().flat_map(|index| reviews.iter().map(move |review| (*index, review)))
        {
            desk.write(&presented, review);
            let told = desk.answers(index, &["--yes"]).unwrap();
            assert!(told.contains(step), "{step}: {told}");
        }
        world.openings.log.append(&desk.left("entry-")).unwrap();
        desk.export();
    }
    assert_eq!(desk.left("entry-").len(), members.len() * reviews.len());
    let told = desk.says(1, "show-warrant", &["--warrant", "@case/warrant.bin"]).unwrap();
    assert!(told.contains("3 comparisons; 6 are left to all, 6 to you"), "{told}");
    assert!(member(1, "blind", "1").unwrap_err().contains("the round's entry is not in the openings ledger"));

    let told = leads(&desk, "1", "1,2,3").unwrap();
    assert!(told.contains("round-1.bin") && told.contains("log it"), "{told}");
    log_files(&desk, "round-1");
    for index in members {
        let told = member(index, "blind", "1").unwrap();
        assert!(told.contains("which of these reviews have one author; nobody is named"), "{told}");
        assert!(told.contains("log it, then the same command again"), "{told}");
    }
    assert!(leads(&desk, "1", "1,2,3").unwrap().contains("the blinds of [1, 2, 3]"));
    log_files(&desk, "committed-1");
    for index in members {
        assert!(member(index, "blind", "1").unwrap().contains("compare"));
    }
    // What the third one reveals is another blind than the one that binds it.
    fs::copy(desk.file("case/blind-1-1.bin"), desk.file("case/blind-1-3.bin")).unwrap();
    assert!(leads(&desk, "1", "1,2,3").unwrap_err().contains("trustees [3]"));
    assert!(member(1, "compare", "1").is_err());

    // The next round goes without it.
    let _ = leads(&desk, "2", "1,2").unwrap();
    log_files(&desk, "round-2");
    let _ = member(1, "blind", "2").unwrap();
    assert!(leads(&desk, "2", "1,2").unwrap().contains("the commitments of [2]"));
    let _ = member(2, "blind", "2").unwrap();
    log_files(&desk, "committed-2");
    for index in [1, 2] {
        let _ = member(index, "blind", "2").unwrap();
    }
    for index in [1, 2] {
        assert!(member(index, "compare", "2").unwrap().contains("log it"));
    }
    log_files(&desk, "compared-2");
    assert!(leads(&desk, "2", "1,2").unwrap().contains("2 shares are needed, 0 are here"));
    for index in [1, 2] {
        assert!(member(index, "compare", "2").unwrap().contains("sealed to the recipient"));
    }
    let told = leads(&desk, "2", "1,2").unwrap();
    let classes: Vec<&str> = told.split("Author ").skip(1).collect();
    let ids = |of: &[usize]| -> Vec<String> {
        of.iter().map(|review| hex(reviews[*review].presentation.review_id().as_bytes())).collect()
    };
    let [same, other] = [ids(&[0, 2]), ids(&[1])];
    assert_eq!(classes.len(), 2, "{told}");
    let pair = classes.iter().find(|class| class.contains("2 of the reviews")).unwrap();
    let alone = classes.iter().find(|class| class.contains("1 of the reviews")).unwrap();
    assert!(same.iter().all(|id| pair.contains(id)) && alone.contains(&other[0]), "{told}");
    assert!(!told.contains(&hex(ann.wallet_key().as_bytes())));
}

#[test]
fn a_refresh_is_taken_up_from_the_sealed_file_once_the_ledger_has_it() {
    let mut desk = Desk::new();
    let sealed = |desk: &Desk| fs::read(desk.file("2.sealed")).unwrap();
    let before = sealed(&desk);
    let ask = |desk: &Desk| {
        let at = ["secrets", "passphrase-file", "policy", "ledger"];
        let files =
            [desk.file("2.sealed"), desk.file("passphrase"), desk.file("policy"), desk.file("ledger")];
        let named = at.iter().zip(files).flat_map(|(name, file)| [format!("--{name}"), file]);
        let arguments = ["trustee".to_owned(), "commit".to_owned()].into_iter().chain(named);
        let mut screen = Vec::new();
        run(Arguments::parse_from(arguments).command, &mut screen).map_err(|error| error.to_string())?;
        Ok::<_, String>(String::from_utf8(screen).unwrap())
    };
    desk.export();
    assert!(ask(&desk).unwrap_err().contains("no committee of the next epoch"));
    assert_eq!(sealed(&desk), before, "nothing was replaced");

    // The second trustee's file is of the ceremony; the world's own has committed already.
    let signed = desk.world.refresh_but(|secrets| {
        let cost = PassphraseCost::LEAST;
        let kept = secrets[1].seal(PASSPHRASE.as_bytes(), cost, &mut SystemRng::new()).unwrap();
        kept.replace_file(&desk.directory.file("2.sealed")).unwrap();
    });
    assert_eq!(signed.committee().epoch(), 2);
    desk.export();
    assert!(ask(&desk).unwrap().contains("the share is of epoch 2 now"));
    let kept = SealedTrusteeSecrets::from_bytes(&sealed(&desk)).unwrap().open(PASSPHRASE.as_bytes()).unwrap();
    assert_eq!(kept.committee(), Some(&signed));
    assert!(ask(&desk).is_err(), "once");
}
