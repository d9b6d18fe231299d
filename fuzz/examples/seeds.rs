//! Writes a seed of `decode` for each kind that the vectors have none of, the same in every run,
//! and checks that every kind now has one that decodes.
//!
//! ```console
//! cargo run --release --manifest-path fuzz/Cargo.toml --example seeds
//! ```

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use std::path::Path;
use unjoin::PassphraseCost;
use unjoin::ledger::{CosignedEntry, InclusionProof};
use unjoin::opening::TrusteeSecrets;
use unjoin::opening::ceremony::{CeremonyMessage, CeremonyPlan, Step};
use unjoin::token::Trustees;
use unjoin::wire::Message;
use unjoin_fuzz::{for_every_kind, kinds::stretched};
use unjoin_test_util::Seeded;

/// A checkpoint with one line of a signature, as [`CosignedEntry`] carries it. Nobody signed it.
const CHECKPOINT: &str = concat!(
    "reviews.shop.example/log\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
    "\u{2014} reviews.shop.example/log AAAAAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n",
);

fn main() -> std::io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/decode");
    for (name, bytes) in entries().into_iter().chain(ceremony()) {
        std::fs::write(directory.join(name), bytes)?;
    }
    let seeds: Vec<Vec<u8>> = std::fs::read_dir(&directory)?
        .map(|file| Ok(stretched(&std::fs::read(file?.path())?)))
        .collect::<std::io::Result<_>>()?;
    macro_rules! seeded {
        ($kind:ty) => {
            assert!(seeds.iter().any(|seed| <$kind>::from_bytes(seed).is_ok()), "{}", <$kind>::NAME);
        };
    }
    for_every_kind!(seeded);
    Ok(())
}

/// The ledgers' proofs and the entries of openings, byte for byte as the wire's manual has them.
fn entries() -> Vec<(String, Vec<u8>)> {
    let number = |number: u64| number.to_le_bytes().to_vec();
    let index = |index: u16| index.to_le_bytes().to_vec();
    let digests = |count: u8| (1..=count).flat_map(|byte| [byte; 32]).collect::<Vec<u8>>();
    let proof = InclusionProof::from_parts(1, 2, vec![[7; 32]]).expect("a path of one");
    let cosigned = CosignedEntry::new([vec![1, 24], digests(1)].concat(), proof, CHECKPOINT.into());
    let element = RISTRETTO_BASEPOINT_COMPRESSED.to_bytes().to_vec();
    let bodies: [(u8, Vec<Vec<u8>>); 11] = [
        (6, vec![index(1), 1u32.to_le_bytes().to_vec(), element.repeat(3), vec![0; 32]]),
        (7, vec![index(1), index(1), element.repeat(6), vec![0; 32]]),
        (20, vec![number(5), number(13), digests(4)]),
        (21, vec![number(4), number(13), digests(2)]),
        (22, vec![cosigned.expect("a note").to_bytes()[2..].to_vec()]),
        (25, vec![digests(1), index(5), b"court".to_vec(), vec![2], index(3)]),
        (26, vec![index(2), number(1), digests(2), vec![9; 64]]),
        (27, vec![digests(1), index(1), number(0b1011)]),
        (28, vec![digests(1), index(1), index(2), digests(1)]),
        (29, vec![digests(2)]),
        (30, vec![digests(2)]),
    ];
    let message = |(kind, body): &(u8, Vec<Vec<u8>>)| [vec![1, *kind], body.concat()].concat();
    bodies.iter().map(|body| (format!("kind-{:02}-9", body.0), message(body))).collect()
}

/// Plan, messages and results of a ceremony of 2 of 3, and a committee of 64.
fn ceremony() -> Vec<(String, Vec<u8>)> {
    let rng = &mut Seeded(33);
    let mut secrets: Vec<_> = (0..3).map(|_| TrusteeSecrets::generate(rng)).collect();
    let keys = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).expect("three keys");
    let plan = CeremonyPlan::key_generation(2, keys, rng).expect("2 of 3");
    let mut messages: Vec<CeremonyMessage> = Vec::new();
    for trustee in &mut secrets {
        trustee.join(plan.clone(), plan.threshold(), rng).expect("idle");
    }
    let mut finished = 0;
    while finished < secrets.len() {
        finished = 0;
        for trustee in &mut secrets {
            match trustee.next(&messages, rng).expect("everybody is honest") {
                Step::Publish(message) => messages.push(message),
                Step::Finished(_) => finished += 1,
                _ => {}
            }
        }
    }
    let signed = secrets[0].committee().expect("finished").clone();
    let certificate = signed.certificate().expect("of a key's ceremony");
    // The smallest sealed part, its bytes left out: the target puts zeros there.
    let sealed = secrets[0].seal(b"passphrase", PassphraseCost::default(), rng).expect("sealed").to_bytes();
    let mut seeds = vec![
        ("kind-32-0".to_owned(), plan.to_bytes()),
        ("kind-34-0".to_owned(), signed.to_bytes()),
        ("kind-34-1".to_owned(), largest_committee(&signed.to_bytes())),
        ("kind-35-0".to_owned(), certificate.to_bytes()),
        ("kind-36-0".to_owned(), sealed[..74].to_vec()),
    ];
    let rounds = messages.iter().step_by(3).enumerate();
    seeds.extend(rounds.map(|(round, message)| (format!("kind-33-{round}"), message.to_bytes())));
    seeds
}

/// 64 trustees any of whom opens alone: the most that one message makes a reader keep.
fn largest_committee(signed: &[u8]) -> Vec<u8> {
    let (epoch, key) = (&signed[2..6], &signed[10..42]);
    let mut bytes = [&[1, 34], epoch, &[1, 0, 64, 0], key].concat();
    (0..64).for_each(|_| bytes.extend(key));
    bytes.extend([5; 32]);
    bytes.extend([1, 0, 1, 0]);
    bytes.extend([6; 64]);
    bytes
}
