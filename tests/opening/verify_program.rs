//! The program that anybody can run on an opening.

use crate::program::{Arguments, run};
use crate::world::{World, name, trust};
use clap::Parser as _;
use std::fs;
use unjoin::wire::Message;
use unjoin_test_util::{Directory, hex};

#[test]
fn the_program_says_in_words_what_an_opening_proves() {
    let (directory, mut world) = (Directory::new(), World::new());
    world.refresh();
    let author = world.author("one");
    let binding = world.binding(&author, "ann");
    let opening = world.open(&author).with_binding(binding);
    let (path, whom) = (directory.file("opening"), directory.file("trust"));
    let ask = |opening: &[u8], trust: &str| {
        fs::write(&path, opening).unwrap();
        fs::write(&whom, trust).unwrap();
        let [path, whom] = [&path, &whom].map(|path| path.to_str().unwrap());
        run(&Arguments::parse_from(["verify_opening", "--opening", path, "--trust", whom]))
    };
    let (bytes, whom) = (opening.to_bytes(), trust(&world));
    let told = ask(&bytes, &whom).unwrap();
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

    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(ask(&changed, &whom).is_err());
    assert!(ask(&bytes, &whom.replace("needs 2", "needs 3")).is_err());
    assert!(ask(&bytes, &whom.replace("grounds 3", "grounds 4")).is_err());
    assert!(ask(&bytes, &whom.replace("ledger openings", "ledger mine")).is_err());
    let unpinned: String =
        whom.lines().filter(|line| !line.starts_with("issuer")).map(|l| format!("{l}\n")).collect();
    assert!(ask(&bytes, &unpinned).is_err());
}
