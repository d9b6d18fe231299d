//! The program that anybody can run on an opening.

use crate::program::trust::TrustFile;
use crate::program::{Arguments, run};
use crate::world::{World, name, trust};
use clap::Parser as _;
use std::fs;
use unjoin::secret::SystemRng;
use unjoin::token::IssuerKey;
use unjoin::wire::Message;
use unjoin_test_util::{Directory, hex};

#[test]
fn the_program_says_in_words_what_an_opening_proves() {
    let (directory, mut world) = (Directory::new(), World::new());
    world.refresh();
    let author = world.author("one");
    let binding = world.binding(&author, "ann");
    let opening = world.open(&author).with_binding(binding);
    let (path, trust_path) = (directory.file("opening"), directory.file("trust").display().to_string());
    let ask = |opening: &[u8], trust: &str| {
        fs::write(&path, opening).unwrap();
        fs::write(&trust_path, trust).unwrap();
        let path = path.to_str().unwrap();
        run(&Arguments::parse_from(["verify_opening", "--opening", path, "--trust", &trust_path]))
    };
    let (bytes, whom) = (opening.to_bytes(), trust(&world));
    let told = ask(&bytes, &whom).unwrap().unwrap();
    let review = hex(opening.review().presentation.review_id().as_bytes());
    let wallet = hex(author.wallet_key().as_bytes());
    for said in [
        "holds",
        "by court.example, 2 or more",
        "case Az. 41 Js 12/26, grounds 3",
        &review,
        "on lamps.example",
        "trustees 1, 2; 2 of 3 must answer, in share epoch 2",
        &wallet,
        "the account ann",
        "logged in shop.example/openings, under a checkpoint that a quorum of 1 witnesses cosigned",
        "all 3 trustees signed",
        "1 refreshes followed",
        "logged in shop.example/reviews",
        "each trustee announced the share in that ledger, behind the warrant",
        "bound to the wallet key in an entry that stands before the warrant's",
        &hex(&opening.warrant().commitment()),
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert_eq!(opening.warrant().terms().requester(), &name("court.example"));

    // Bad ones: a verdict.
    let other = hex(IssuerKey::generate(&mut SystemRng::new()).public().element().as_bytes());
    let mut changed = bytes.clone();
    let case = changed.windows(5).position(|bytes| bytes == b"41 Js").unwrap();
    changed[case] = b'3';
    let others: Vec<String> = whom
        .lines()
        .map(|line| if line.starts_with("issuer") { format!("issuer {other}") } else { line.to_owned() })
        .collect();
    for (opening, whom) in [
        (&changed, &whom),
        (&bytes, &whom.replace("grounds 3", "grounds 4")),
        (&bytes, &others.join("\n")),
        (&bytes, &whom.replace("needs 2", "needs 3")),
    ] {
        let verdict = ask(opening, whom).unwrap().unwrap_err();
        assert!(verdict.starts_with(&format!("By {trust_path} the opening does not hold")), "{verdict}");
    }

    // The caller's own mistakes: none.
    let path_text = path.display().to_string();
    let line_of = |start: &str| 1 + whom.lines().position(|line| line.starts_with(start)).unwrap();
    let at_line = |start: &str, says: &str| format!("{trust_path}: line {}: {says}", line_of(start));
    let requester = whom.lines().nth(line_of("requester") - 1).unwrap();
    for (opening, whom, says) in [
        (&bytes[..40], whom.clone(), format!("{path_text}: not an opening")),
        (whom.as_bytes(), whom.clone(), format!("{path_text}: not an opening")),
        (&bytes, whom.replace("needs 2", "needs 4"), at_line("requester", "")),
        (&bytes, whom.replace("needs 2", "needs two"), at_line("requester", "two: ")),
        (
            &bytes,
            whom.replace("ledger openings", "ledger mine"),
            at_line("ledger openings", "there is no ledger"),
        ),
        (&bytes, whom.replace("issuer", "isuer"), at_line("issuer", "not a line of a trust file")),
        (&bytes, whom.replace("trustee ", "trustee 00"), at_line("trustee", "not 64 hexadecimal digits")),
        (&bytes, whom.replace("officer", "# officer"), at_line("requester", "")),
        (&bytes, whom.replace(requester, ""), at_line("officer", "an officer of no requester")),
        (&bytes, whom.replace("log ", "# log "), at_line("ledger reviews", "no line `log` follows")),
        (
            &bytes,
            whom.replace("of which faulty 0", "of which faulty 9"),
            at_line("ledger reviews", "of w witnesses"),
        ),
        (
            &bytes,
            format!("quorum 1 of which faulty 0\n{whom}"),
            format!("{trust_path}: line 1: of which ledger?"),
        ),
        (
            &bytes,
            format!("{whom}window 1\nwindow 2\n"),
            format!("{trust_path}: line {}: said before", whom.lines().count() + 2),
        ),
        (&bytes, without(&whom, "issuer"), format!("{trust_path} has no line `issuer`")),
        (&bytes, without(&whom, "trustee"), format!("{trust_path} has no line `trustee`")),
        (&bytes, String::new(), format!("{trust_path} has no line `issuer`")),
    ] {
        let error = ask(opening, &whom).unwrap_err().to_string();
        assert!(error.starts_with(&says), "{says}: {error}");
    }
    // A trustee's own file, with budgets, serves as well.
    let budgets = "window 600\ncooling-off 60\nfreshness 5\nbudget open all 1 own 1 requester 1\n";
    assert!(ask(&bytes, &(whom + budgets)).unwrap().is_ok());
    for (opening, trust) in [("nowhere", trust_path.as_str()), (path_text.as_str(), "nowhere")] {
        let arguments = Arguments::parse_from(["verify_opening", "--opening", opening, "--trust", trust]);
        assert!(run(&arguments).unwrap_err().to_string().starts_with("nowhere: No such file"));
    }
}

fn without(text: &str, start: &str) -> String {
    text.lines().filter(|line| !line.starts_with(start)).map(|line| format!("{line}\n")).collect()
}

/// The lines that `--help` shows are those that are read.
#[test]
fn help_tells_every_line_of_a_trust_file() {
    let (directory, world) = (Directory::new(), World::new());
    let path = directory.file("trust");
    let first = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let told: Vec<&str> =
        crate::program::trust::HELP.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let (to_fill_in, literal): (Vec<&str>, Vec<&str>) = told.iter().partition(|line| line.contains('<'));
    let literal = literal
        .iter()
        .map(|line| line.split("  ").next().unwrap())
        .filter(|line| !line.starts_with("ledger"));
    let real = trust(&world);
    fs::write(&path, format!("{real}{}\n", literal.collect::<Vec<_>>().join("\n"))).unwrap();
    let file = TrustFile::read(&path).unwrap();
    assert_eq!(file.trustee_policy().unwrap().1, world.trustees);
    for line in real.lines().filter(|line| !line.starts_with(['#', 'l'])) {
        assert!(to_fill_in.iter().any(|told| first(told) == first(line)), "{line}");
    }
}
