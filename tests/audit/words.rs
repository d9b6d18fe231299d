//! What the program says: findings, what was checked, and mistakes that say nothing of the ledger.

use crate::program::{Arguments, Told, run};
use crate::world::{Author, World, at, keys, log_key};
use clap::Parser as _;
use std::fs;
use unjoin::ledger::{Ledger, Log, export};
use unjoin::store::identity::Role;
use unjoin::wire::Message;
use unjoin_test_util::{Directory, fresh, hex};

fn published(number: u64) -> Vec<u8> {
    Author::new(number).published().to_bytes()
}

struct Desk(Directory);

impl Desk {
    fn file(&self, name: &str) -> String {
        self.0.file(name).display().to_string()
    }

    fn audit(&self, ledger: &str, more: &[&str]) -> Result<Told, String> {
        let (trust, ledger) = (self.file("trust"), self.file(ledger));
        let platform = hex(keys().platform.public().as_bytes());
        let now = at(0).as_unix_seconds().to_string();
        let arguments =
            ["audit", "--trust", &trust, "--ledger", &ledger, "--platform", &platform, "--at", &now];
        let arguments = Arguments::parse_from([&arguments[..], more].concat());
        run(&arguments).map_err(|error| error.to_string())
    }
}

#[test]
fn mistakes_of_the_caller_are_told_with_path_and_line_and_are_no_finding() {
    let desk = Desk(Directory::new());
    let world = World::new(Ledger::Reviews);
    world.publish(&[published(1)]);
    let other = Log::open(fresh(Role::Ledgers), Ledger::Openings, log_key("another.example"), None).unwrap();
    assert!(other.publish(&[]).unwrap().published);
    export(&world.log, &desk.0.file("ledger")).unwrap();
    export(&other, &desk.0.file("other")).unwrap();
    fs::write(desk.file("trust"), world.policy_text()).unwrap();
    fs::create_dir(desk.file("empty")).unwrap();
    let digest = "00".repeat(32);
    let published = format!("review_id,merchant,review_digest\n{digest},a,{digest}\n");
    for (name, text) in [
        ("twice.csv", format!("{published}{digest},b,{digest}\n")),
        ("short.csv", format!("{published}{digest},b\n")),
        ("bad.csv", format!("{published}xyz,b,{digest}\n")),
        ("columns.csv", "review_id,merchant\n".to_owned()),
        ("bad.jsonl", "\n{\"review_id\":\"00\",\"merchant\":\"a\"}\n".to_owned()),
        ("orders.csv", "merchant,orders\na,4\nb,many\n".to_owned()),
        ("grants.csv", "key_id,merchant,cohort,grants\n00,a,1,1\n".to_owned()),
    ] {
        fs::write(desk.file(name), text).unwrap();
    }
    let of = |name: &str| desk.file(name);
    for (ledger, more, says) in [
        ("nowhere", vec![], format!("{}: there is no such directory", of("nowhere"))),
        ("empty", vec![], format!("{}: it has no file `checkpoint`", of("empty"))),
        ("other", vec![], format!("{}/checkpoint: a checkpoint of another log", of("other"))),
        ("ledger", vec!["--older", "nowhere"], "nowhere: No such file".to_owned()),
        ("ledger", vec!["--published", "nowhere"], "nowhere: ".to_owned()),
    ] {
        let error = desk.audit(ledger, &more).err().unwrap();
        assert!(error.starts_with(&says), "{says}: {error}");
    }
    let twice = format!("line 3: the review {digest} is published twice");
    for (flags, file, says) in [
        (&["--older"][..], "other/checkpoint", "a checkpoint of another log"),
        (&["--older"], "bad.csv", "not a signed note"),
        (&["--published"], "twice.csv", &twice),
        (&["--published"], "short.csv", "CSV error: record 2 (line: 3"),
        (&["--published"], "bad.csv", "line 3: not 64 hexadecimal digits"),
        (&["--published"], "columns.csv", "it needs the columns"),
        (&["--published"], "bad.jsonl", "line 2: no review_digest"),
        (&["--grid", "weekly", "--orders"], "orders.csv", "line 3: many: "),
        (&["--grid", "weekly", "--grants"], "grants.csv", "line 2: not 64"),
    ] {
        let file = of(file);
        let error = desk.audit("ledger", &[flags, &[&file]].concat()).err().unwrap();
        assert!(error.starts_with(&format!("{file}: {says}")), "{says}: {error}");
    }
    // The trust file is the caller's, too.
    let text = world.policy_text();
    for (text, says) in [
        (text.replace("quorum 1", "quorum one"), "line 4: one: "),
        (text.replace("ledger reviews", "ledger openings"), " has no line `ledger reviews`"),
    ] {
        fs::write(desk.file("trust"), text).unwrap();
        let error = desk.audit("ledger", &[]).err().unwrap();
        assert!(error.starts_with(&desk.file("trust")) && error.contains(says), "{says}: {error}");
    }
}

#[test]
fn a_clean_audit_says_what_it_read_and_what_it_did_not() {
    let desk = Desk(Directory::new());
    let world = World::new(Ledger::Reviews);
    fs::write(desk.file("trust"), world.policy_text()).unwrap();
    fs::write(desk.file("older"), world.publish(&[published(1)])).unwrap();
    world.publish(&[published(2)]);
    export(&world.log, &desk.0.file("ledger")).unwrap();
    let told = desk.audit("ledger", &[]).unwrap();
    assert_eq!(
        told.checked,
        [
            "2 entries of log have the checkpoint's root, which 1 of 1 witnesses cosigned",
            "not that they go on from an older checkpoint: --older was not given",
            "not what is shown: --published was not given",
            "not the crowds: --grid was not given",
        ]
    );
    assert_eq!(told.findings, [""; 0]);
    let (older, shown) = (desk.file("older"), desk.file("shown.csv"));
    fs::write(&shown, "review_id,merchant,review_digest\n").unwrap();
    let told = desk.audit("ledger", &["--older", &older, "--published", &shown, "--grid", "weekly"]).unwrap();
    assert_eq!(
        told.checked[1..3],
        [
            format!("they go on from the checkpoint {older}"),
            format!("0 reviews of {shown} against the entries"),
        ]
    );
    assert!(told.checked[3].starts_with("the manifests of 0 merchants"));
}

/// Two cosigned checkpoints that do not go together are what an audit is for: a finding, not a failure.
#[test]
fn a_rewritten_ledger_is_a_finding() {
    let desk = Desk(Directory::new());
    let (one, two) = (World::new(Ledger::Reviews), World::new(Ledger::Reviews));
    fs::write(desk.file("trust"), one.policy_text()).unwrap();
    fs::write(desk.file("older"), one.publish(&[published(1)])).unwrap();
    two.publish(&[published(2)]);
    export(&two.log, &desk.0.file("ledger")).unwrap();
    let told = desk.audit("ledger", &["--older", &desk.file("older")]).unwrap();
    assert!(matches!(&told.findings[..], [line] if line.starts_with("rewritten: ")), "{:?}", told.findings);
}
