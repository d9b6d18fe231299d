//! A trustee's process is killed at random moments: it never promises one review two entries or
//! one entry two reviews, never gives two shares for one, and never exceeds its budget.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]
#![allow(dead_code, reason = "the world serves other tests too")]

extern crate unjoin;

use unjoin_trustee::test_util::world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use unjoin::ledger::{DirectoryView, ShareReleasedEntry, export};
use unjoin::opening::service::{OpeningAnswer, OpeningRequest, Trustee, TrusteeError};
use unjoin::opening::warrant::{BudgetPolicy, PresentedWarrant};
use unjoin::opening::{ReviewEvidence, SealedShare, SealedTrusteeSecrets};
use unjoin::secret::SystemRng;
use unjoin::token::IssuerPublicKey;
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Environment, ManualClock, Timestamp, algebra::Element};
use unjoin_test_util::{Directory, Seeded, hex, kill};
use world::{PASSPHRASE, World, policy};

const TEST: &str = "no_kill_makes_a_trustee_release_more_or_anything_twice";
const REVIEWS: usize = 5;
const BUDGET: u32 = 3;
/// Of one warrant.
const LIVES: u64 = 4;

fn budgets() -> BudgetPolicy {
    world::budgets(9, BUDGET, 9)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn read<M: Message>(path: &Path) -> M {
    M::from_bytes(&fs::read(path).unwrap()).unwrap()
}

/// Asks for every review of the warrant, again and again, and says what was answered.
fn live_until_killed(directory: &Path, seconds: u64) -> ! {
    let issuer: [u8; 32] = fs::read(directory.join("issuer")).unwrap().try_into().unwrap();
    let policy = policy(IssuerPublicKey::new(Element::from_bytes(&issuer).unwrap()), budgets());
    let sealed: SealedTrusteeSecrets = read(&directory.join("secrets"));
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(seconds)));
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    let store = Arc::new(unjoin_test_util::redb(directory.join("rows")).unwrap());
    let secrets = sealed.open(PASSPHRASE).unwrap();
    let trustee = Trustee::open(world::own(&secrets, &store), secrets, policy, environment).unwrap();
    let ledger = DirectoryView::new(directory.join("ledger"));
    let presented: PresentedWarrant = read(&directory.join("warrant"));
    let requests: Vec<_> = (0..REVIEWS)
        .map(|review| {
            let review: ReviewEvidence = read(&directory.join(format!("review {review}")));
            OpeningRequest { presented: presented.clone(), review }
        })
        .collect();
    loop {
        for (review, request) in requests.iter().enumerate() {
            let line = match trustee.answer(request, &ledger) {
                Ok(OpeningAnswer::Append(entry)) => format!("append {review} {}", hex(&entry)),
                Ok(OpeningAnswer::Released(share)) => format!("released {review} {}", hex(&share.to_bytes())),
                Ok(other) => panic!("{other:?}"),
                Err(TrusteeError::Budget(_)) => format!("refused {review} -"),
                Err(error) => panic!("{error}"),
            };
            kill::say(&line);
        }
    }
}

/// What was said of the reviews of one warrant.
#[derive(Default)]
struct Said {
    entries: BTreeMap<usize, Vec<u8>>,
    shares: BTreeMap<usize, [u8; 32]>,
}

#[test]
fn no_kill_makes_a_trustee_release_more_or_anything_twice() {
    if let Some(told) = kill::told() {
        let (directory, seconds) = told.split_once('|').unwrap();
        live_until_killed(Path::new(directory), seconds.parse().unwrap());
    }
    let kills = kill::kills(24);
    let parent = Directory::new();
    let directory = parent.file("trustee");
    fs::create_dir(&directory).unwrap();
    let world = World::new(1, 1, REVIEWS, budgets());
    fs::write(directory.join("issuer"), world.issuer.public().element().as_bytes()).unwrap();
    fs::write(directory.join("secrets"), world.sealed[0].to_bytes()).unwrap();
    for (at, written) in world.written.iter().enumerate() {
        fs::write(directory.join(format!("review {at}")), written.evidence.to_bytes()).unwrap();
    }
    let (mut sequences, mut shares) = (BTreeMap::<u64, Vec<u8>>::new(), 0);
    for round in 0..kills.div_ceil(LIVES) {
        // A window later the budget is whole again.
        world.pass(8 * DAY);
        let presented = world.warrant(&(0..REVIEWS).collect::<Vec<_>>());
        fs::write(directory.join("warrant"), presented.to_bytes()).unwrap();
        let mut said = Said::default();
        for life in LIVES * round..LIVES * (round + 1) {
            export(&world.openings, &directory.join("ledger")).unwrap();
            // It dies after so many lines and so long.
            let draw = &mut Seeded(life);
            let (mut lines, delay) = (1 + draw.below(7), Duration::from_micros(draw.below(6000)));
            let moment = |_: &str| {
                lines -= 1;
                (lines == 0).then_some(delay)
            };
            let now = world.clock.now().as_unix_seconds();
            let told = format!("{}|{now}", directory.to_str().unwrap());
            for line in kill::live_until_killed(TEST, told, moment) {
                let words: Vec<&str> = line.split(' ').collect();
                let review: usize = words[1].parse().unwrap();
                match words[0] {
                    "append" => {
                        let entry = bytes(words[2]);
                        let before = said.entries.insert(review, entry.clone());
                        assert!(before.is_none_or(|before| before == entry), "one review, two entries");
                        let sequence = ShareReleasedEntry::from_bytes(&entry).unwrap().sequence();
                        let before = sequences.insert(sequence, entry.clone());
                        assert!(before.is_none_or(|before| before == entry), "one number, two entries");
                    }
                    "released" => {
                        let sealed = SealedShare::from_bytes(&bytes(words[2])).unwrap();
                        let share = world.recipient.open(&sealed, presented.terms()).unwrap();
                        let element = *share.element().as_bytes();
                        let before = said.shares.insert(review, element);
                        assert!(before.is_none_or(|before| before == element), "one review, two shares");
                        assert!(said.entries.contains_key(&review), "a share without an entry");
                    }
                    _ => {}
                }
            }
            let open = said.entries.iter().filter(|(review, _)| !said.shares.contains_key(review));
            let some: Vec<Vec<u8>> = open.map(|(_, entry)| entry.clone()).collect();
            world.log(&some);
        }
        assert!(said.shares.len() <= BUDGET as usize && said.entries.len() <= BUDGET as usize);
        shares += said.shares.len();
    }
    let (heard, highest) = (sequences.len() as u64, sequences.keys().last().copied().unwrap_or(0));
    eprintln!("{kills} kills, {heard} entries, {} intents never heard of, {shares} shares", highest - heard);
    assert!(shares > 0, "the kills have left nothing");
}
