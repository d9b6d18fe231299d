//! A batch holds exactly when every member holds alone, and names exactly those that do not:
//! whatever the mix of keys, of good and bad presentations, of duplicates, and of bad ones whose
//! errors cancel each other.

#![no_main]

use arbitrary::Arbitrary;
use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use unjoin::token::{Digest, KeyPair, Presentation, PresentationCheck, verify_batch};
use unjoin::wire::Message;
use unjoin_fuzz::pool::{AUTHORS, KEYS, review};
use unjoin_test_util::Seeded;

struct Member {
    presentation: Presentation,
    /// The issuing key and the escrow key it is checked under.
    key: &'static KeyPair,
    escrow: &'static KeyPair,
    digest: Digest,
    /// What it is found to be alone.
    holds: bool,
}

/// What is done to a presentation: the field, counted from the end in steps of 32 bytes (z_k is
/// the first, then z_b, z_u, z_e', z_r', T3, T2, T1, the author key, s, E2, E1, A_bar, A'), plus or minus one.
const FIELDS: usize = 14;
/// Opaque bytes, which are checked by nothing but the proof.
const AUTHOR_KEY: usize = 8;

fn tampered(bytes: &[u8], field: usize, minus: bool) -> Option<Presentation> {
    let mut bytes = bytes.to_vec();
    let from = bytes.len() - 32 * (field + 1);
    let old: [u8; 32] = bytes[from..from + 32].try_into().unwrap();
    let new = if field == AUTHOR_KEY {
        old.map(|byte| if minus { byte.wrapping_sub(1) } else { byte.wrapping_add(1) })
    } else if field < 5 || field == 9 {
        let old = Option::<Scalar>::from(Scalar::from_canonical_bytes(old))?;
        if minus { old - Scalar::ONE } else { old + Scalar::ONE }.to_bytes()
    } else {
        let one = RistrettoPoint::mul_base(&Scalar::ONE);
        let old = CompressedRistretto(old).decompress()?;
        if minus { old - one } else { old + one }.compress().to_bytes()
    };
    bytes[from..from + 32].copy_from_slice(&new);
    Presentation::from_bytes(&bytes).ok()
}

/// Every author's presentations, good ones first; each checked alone, once.
static POOL: LazyLock<(Vec<Member>, Vec<Member>)> = LazyLock::new(|| {
    let member = |presentation: Presentation, key: &'static KeyPair, escrow: &'static KeyPair, digest| {
        let random = &mut Seeded(1);
        let holds = presentation.verify(&key.issuer_key, &escrow.escrow_key, &digest, random).is_ok();
        Member { presentation, key, escrow, digest, holds }
    };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for author in AUTHORS.iter() {
        let (keys, words, others) = (author.keys(), review(0).digest(), review(1).digest());
        let stranger: &'static KeyPair = &KEYS.pairs[(author.pair + 1) % KEYS.pairs.len()];
        let presentation = author.present(&review(0), 1);
        good.push(member(presentation.clone(), keys, keys, words));
        good.push(member(author.present(&review(0), 2), keys, keys, words));
        good.push(member(author.present(&review(1), 3), keys, keys, others));
        let bytes = presentation.to_bytes();
        for (field, minus) in (0..FIELDS).flat_map(|field| [(field, false), (field, true)]) {
            bad.extend(tampered(&bytes, field, minus).map(|changed| member(changed, keys, keys, words)));
        }
        bad.push(member(presentation.clone(), keys, keys, others));
        bad.push(member(presentation.clone(), stranger, keys, words));
        bad.push(member(presentation, keys, stranger, words));
    }
    assert!(good.iter().all(|member| member.holds) && !bad.iter().any(|member| member.holds));
    (good, bad)
});

#[derive(Arbitrary, Debug)]
enum Pick {
    Good(u8),
    Bad(u8),
    /// Two or more of one author's, whose errors have opposite signs.
    Cancelling {
        author: u8,
        field: u8,
    },
    /// A member once more.
    Again(u8),
}

/// The largest batch: what a batch of 256 does differently is only its size.
const MOST: usize = 6;

fuzz_target!(|input: (u64, Vec<Pick>)| {
    let (seed, picks) = input;
    let (good, bad) = &*POOL;
    let each = bad.len() / AUTHORS.len();
    let mut members: Vec<&Member> = Vec::new();
    for pick in &picks {
        match pick {
            Pick::Good(at) => members.push(&good[usize::from(*at) % good.len()]),
            Pick::Bad(at) => members.push(&bad[usize::from(*at) % bad.len()]),
            Pick::Cancelling { author, field } => {
                let first =
                    usize::from(*author) % AUTHORS.len() * each + usize::from(*field) % (each / 2) * 2;
                members.extend([&bad[first], &bad[first + 1]]);
            }
            Pick::Again(at) => {
                members.extend(members.get(usize::from(*at) % members.len().max(1)).copied());
            }
        }
    }
    members.truncate(MOST);
    let checks: Vec<PresentationCheck<'_>> = members
        .iter()
        .map(|member| PresentationCheck {
            presentation: &member.presentation,
            key: &member.key.issuer_key,
            escrow_key: &member.escrow.escrow_key,
            review_digest: &member.digest,
        })
        .collect();
    let culprits: Vec<usize> =
        members.iter().enumerate().filter(|(_, member)| !member.holds).map(|(at, _)| at).collect();
    let expected = if culprits.is_empty() { Ok(()) } else { Err(culprits) };
    assert_eq!(verify_batch(&checks, &mut Seeded(seed)), expected);
});
