//! What opening a review costs: shares, their combination, the same-author test, and budgets
//! over a large ledger.
//!
//! Times of the group's operations are in R, one constant-time multiplication of a point of
//! ristretto255 by a scalar, measured in turn with each of them.

#![allow(clippy::unwrap_used, reason = "a measurement that fails has no figure")]

use clap::Parser;
use cpu_time::ThreadTime;
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};
use unjoin::algebra::{Element, Escrow};
use unjoin::ledger::{BindingEntry, KeyName, Members, ShareReleasedEntry, WarrantAction, WarrantEntry};
use unjoin::opening::same_author::{
    Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonContext, ComparisonShare,
};
use unjoin::opening::warrant::{BudgetPolicy, Claim, Limit, OpeningsRegister, RegisterTrust};
use unjoin::opening::{
    Committee, DecryptionShare, ShareContext, TrusteeShare, combine, insecure_test_dealer,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::token::{ReviewId, TrusteeKey};
use unjoin::wire::Message;
use unjoin::{Name, Timestamp};
use unjoin_benches::arguments::Entries;
use unjoin_trustee::test_util::world::{self, CONSUMERS, COURT, OPENINGS, World};

/// Measures openings.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    ledger: Entries,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let times = arguments.ledger.extent.of(3, 400);
    shares(times)?;
    same_author(arguments.ledger.extent.of(1, 50))?;
    budgets(arguments.ledger.count(4_000), arguments.ledger.extent.of(3, 200))
}

/// The median times of R and of an operation, each measured right after the other.
fn measure(what: &str, times: usize, mut operation: impl FnMut()) {
    let (scalar, point) = (random_scalar(), random_point());
    let (mut of_r, mut of_it) = (Vec::new(), Vec::new());
    for _ in 0..times {
        of_r.push(time(|| {
            black_box(black_box(point) * black_box(scalar));
        }));
        of_it.push(time(&mut operation));
    }
    let (r, it) = (median(of_r), median(of_it));
    println!("{what:<44} {:>9.1} us  {:>8.1} R", it.as_secs_f64() * 1e6, it.as_secs_f64() / r.as_secs_f64());
}

fn time(mut operation: impl FnMut()) -> Duration {
    let start = ThreadTime::now();
    operation();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn random_scalar() -> Scalar {
    Scalar::from_bytes_mod_order(*SecretBytes::<32>::random(&mut SystemRng::new()).expose())
}

fn random_point() -> RistrettoPoint {
    RistrettoPoint::mul_base(&random_scalar())
}

fn element(point: RistrettoPoint) -> Element {
    Element::from_bytes(&point.compress().to_bytes()).unwrap()
}

/// An author's escrow, and the author.
fn escrow(committee: &Committee, author: &RistrettoPoint) -> Escrow {
    let (k, key) = (random_scalar(), committee.key().element().as_bytes());
    let key = curve25519_dalek::ristretto::CompressedRistretto(*key).decompress().unwrap();
    Escrow { e1: element(RistrettoPoint::mul_base(&k)), e2: element(author + key * k) }
}

fn shares(times: usize) -> Result<(), Box<dyn Error>> {
    let rng = &mut SystemRng::new();
    for (t, n) in [(3, 5), (7, 10)] {
        let (committee, members) = insecure_test_dealer(t, n, rng)?;
        let author = random_point();
        let escrow = escrow(&committee, &author);
        let context = ShareContext { warrant_digest: [1; 32], review_id: ReviewId([2; 32]), escrow };
        let answer = |member: &TrusteeShare| {
            DecryptionShare::answer(member, &committee, &context, &mut SystemRng::new()).unwrap()
        };
        if t == 3 {
            measure("share", times, || {
                black_box(answer(&members[0]));
            });
            let share = answer(&members[0]);
            measure("verify a share", times, || {
                share.verify(&committee, &context, &mut SystemRng::new()).unwrap();
            });
        }
        let shares: Vec<_> = members.iter().take(t.into()).map(answer).collect();
        measure(&format!("verify and combine {t} of {n}"), times, || {
            let opened = combine(&committee, &context, &shares, &mut SystemRng::new());
            assert_eq!(opened, Ok(element(author)));
        });
    }
    Ok(())
}

const DIGEST: [u8; 32] = [1; 32];

/// One round over all reviews of a warrant, by three members of five: what each of them does, and what the
/// recipient does with their shares. All reviews are by different authors but every fifth, which is by the first.
fn same_author(times: usize) -> Result<(), Box<dyn Error>> {
    let (committee, members) = insecure_test_dealer(3, 5, &mut SystemRng::new())?;
    for count in [2u8, 10, 64] {
        let authors: Vec<_> = (0..count).map(|_| random_point()).collect();
        let author_of = |at: u8| if at % 5 == 4 { 0 } else { at };
        let of = |at: u8| (ReviewId([at; 32]), escrow(&committee, &authors[usize::from(author_of(at))]));
        let reviews = ComparedReviews::new((0..count).map(of).collect())?;
        let blind = |member: &TrusteeShare| {
            let rng = &mut SystemRng::new();
            let factor = BlindingFactor::derive(member, &DIGEST, 1, &reviews, rng);
            Blind::new(member.index(), 1, &factor, &DIGEST, &reviews, rng).unwrap()
        };
        let blinds: Vec<Blind> = members.iter().take(3).map(blind).collect();
        let answer = |member: &TrusteeShare, context: &ComparisonContext| {
            ComparisonShare::answer(member, &committee, context, &mut SystemRng::new()).unwrap()
        };
        let check = || {
            let members = Members::new([1, 2, 3]).unwrap();
            let rng = &mut SystemRng::new();
            CheckedRound::new(&committee, &DIGEST, 1, &reviews, members, &blinds, rng).unwrap()
        };
        let round = check();
        let shares: Vec<_> = members.iter().take(3).map(|member| answer(member, round.context())).collect();
        let step = |what: &str| format!("same author, {count} reviews: {what}");
        measure(&step("a member's blind"), times, || {
            black_box(blind(&members[0]));
        });
        measure(&step("check three blinds"), times, || {
            black_box(check());
        });
        measure(&step("a member's share"), times, || {
            black_box(answer(&members[0], round.context()));
        });
        measure(&step("all of a member's work"), times, || {
            black_box(blind(&members[0]));
            black_box(answer(&members[0], check().context()));
        });
        measure(&step("all of the recipient's work"), times, || {
            let classes = check().classes(&committee, &shares, &mut SystemRng::new()).unwrap();
            let different = (0..count).filter(|at| author_of(*at) == *at).count();
            assert_eq!((classes.authors.len(), classes.nobody.len()), (different, 0));
        });
    }
    Ok(())
}

/// A ledger of releases by ten trustees: a tenth of the entries are bindings and warrants.
fn budgets(entries: u64, times: u64) -> Result<(), Box<dyn Error>> {
    // The trustees' ceremony, and two requesters with their officers.
    let world = World::new(7, 10, 0, world::budgets(1, 1, 1));
    let keys: Vec<TrusteeKey> = (1..=10).map(world::stolen_key).collect();
    let officers = [COURT, CONSUMERS].map(|requester| {
        let [officer, _] = world::officers(requester);
        (requester, officer)
    });
    let trust = RegisterTrust {
        trustees: world.trustees.clone(),
        requesters: world.policy.warrants.clone(),
        origin: KeyName::new(OPENINGS)?,
    };
    let committee = world.secrets(1).committee().unwrap().to_bytes();
    let wallet_key = element(random_point());
    println!("signing {entries} entries");
    let id = |number: u64| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    };
    let binding = |number: u64| {
        let account = Name::new(format!("account-{number}")).unwrap();
        BindingEntry::new(&account, &wallet_key, &id(number)).to_bytes()
    };
    // A warrant for each hundred entries: nine reviews, each released by ten trustees.
    let entry = |number: u64| match number % 100 {
        0 => {
            let (of, (requester, officer)) = (number / 100, &officers[(number / 100 % 2) as usize]);
            let (requester, tags) =
                (requester.as_bytes().to_vec(), (0..9).map(|at| id(of * 9 + at)).collect());
            let (signer, action) = (officer.signer(), WarrantAction::Open);
            WarrantEntry::sign(signer, OPENINGS, id(of), requester, action, tags).unwrap().to_bytes()
        }
        at @ 1..=90 => {
            let (trustee, tag) = ((at % 10 + 1) as u16, id(number / 100 * 9 + (at - 1) / 10));
            let (key, commitment) = (&keys[usize::from(trustee) - 1], id(number / 100));
            let entry = ShareReleasedEntry::sign(key, OPENINGS, trustee, number, commitment, tag);
            entry.unwrap().to_bytes()
        }
        _ => binding(number),
    };
    let ledger: Vec<Vec<u8>> = (0..entries).map(entry).collect();
    for (what, only_bindings) in [("releases, nine entries of ten", false), ("bindings alone", true)] {
        let mut register = OpeningsRegister::new(trust.clone());
        register.extend(std::slice::from_ref(&committee));
        let bindings: Vec<Vec<u8>>;
        let read = if only_bindings {
            bindings = (0..entries).map(binding).collect();
            &bindings
        } else {
            &ledger
        };
        let start = Instant::now();
        for page in read.chunks(8_192) {
            register.extend(page);
            let time = Timestamp::from_unix_seconds(1_700_000_000 + register.size());
            register.mark(register.size(), time);
        }
        let spent = start.elapsed().as_secs_f64();
        let processors = std::thread::available_parallelism()?;
        println!("rebuild from {entries} entries ({what}): {spent:.1} s on {processors} processors");
        if !only_bindings {
            verdicts(&register, entries, times, id);
        }
    }
    Ok(())
}

/// With limits that are far away, the worst case: everything in the window is counted.
fn verdicts(register: &OpeningsRegister, entries: u64, times: u64, id: impl Fn(u64) -> [u8; 32]) {
    let limit = |all| Limit { all, own: all, requester: all };
    for all in [100, 1_000, 10_000] {
        for (state, window) in
            [("exhausted", 2 * entries), ("half used", (entries / 100).min(u64::from(all) * 100 / 18))]
        {
            let budgets =
                BudgetPolicy { window, cooling_off: 0, opening: limit(all), comparison: limit(all) };
            let since = Timestamp::from_unix_seconds(1_700_000_000 + register.size());
            let last = entries / 100 - 1;
            let mut slowest = Duration::ZERO;
            let start = Instant::now();
            for number in 0..times {
                let claim = Claim {
                    trustee: 1 + (number % 10) as u16,
                    commitment: id(last),
                    tag: id(last * 9),
                    since,
                };
                let each = Instant::now();
                let _ = black_box(register.forecast(&budgets, &claim, &[]));
                slowest = slowest.max(each.elapsed());
            }
            let each = start.elapsed().as_secs_f64() * 1e3 / times as f64;
            println!(
                "budget of {all:>6}, {state}: {each:.3} ms, at most {:.3} ms",
                slowest.as_secs_f64() * 1e3
            );
        }
    }
}
