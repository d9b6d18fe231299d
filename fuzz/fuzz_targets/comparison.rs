//! A round of the same-author test tells exactly which reviews have one author, whoever takes part and whichever
//! t answer; and where members cheat it tells nothing but who they are.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use unjoin::algebra::{Element, Escrow};
use unjoin::ledger::Members;
use unjoin::opening::same_author::{
    AuthorClasses, Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonContext, ComparisonShare,
    SameAuthorError,
};
use unjoin::opening::{Committee, TrusteeShare};
use unjoin::token::ReviewId;
use unjoin::wire::Message;
use unjoin_fuzz::pool::KEYS;
use unjoin_test_util::Seeded;

/// The last author is nobody: a wallet whose secret is zero.
const AUTHORS: usize = 4;
const REVIEWS: usize = 8;
const DIGEST: [u8; 32] = [6; 32];

/// What each committee's trustees see of each review, by each author.
static ESCROWS: LazyLock<Vec<[[Escrow; AUTHORS]; REVIEWS]>> = LazyLock::new(|| {
    let element = |point: RistrettoPoint| Element::from_bytes(&point.compress().to_bytes()).unwrap();
    let of = |(committee, _): &(Committee, Vec<TrusteeShare>)| {
        let key = CompressedRistretto(*committee.key().element().as_bytes()).decompress().unwrap();
        core::array::from_fn(|review| {
            core::array::from_fn(|author| {
                let k = Scalar::from((review * AUTHORS + author) as u64 + 1_000);
                let wallet_key = RistrettoPoint::mul_base(&Scalar::from(((author + 1) % AUTHORS) as u64));
                Escrow { e1: element(RistrettoPoint::mul_base(&k)), e2: element(wallet_key + key * k) }
            })
        })
    };
    KEYS.committees.iter().map(of).collect()
});

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Cheat {
    Warrant,
    Round,
    /// Of other escrows, or of one more review.
    Reviews,
    /// One byte of the message changed, which may make it none at all.
    Byte {
        at: u16,
        by: u8,
    },
}

/// One trustee of a committee.
#[derive(Arbitrary, Debug)]
struct Behaviour {
    is_member: bool,
    blind: Option<Cheat>,
    share: Option<Cheat>,
    answers: u8,
}

// An input that ends early has honest trustees behind its end.
fuzz_target!(|data: &[u8]| {
    let _ = round(&mut Unstructured::new(data));
});

/// The same message with a byte changed, if it still is one.
fn changed<M: Message>(message: &M, at: u16, by: u8) -> Option<M> {
    let mut bytes = message.to_bytes();
    let at = usize::from(at) % bytes.len();
    bytes[at] ^= by.max(1);
    M::from_bytes(&bytes).ok()
}

fn round(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let at = input.choose_index(KEYS.committees.len())?;
    let (committee, shares) = &KEYS.committees[at];
    let mut authors: Vec<usize> = Vec::new();
    for _ in 0..input.int_in_range(1..=REVIEWS)? {
        authors.push(input.choose_index(AUTHORS)?);
    }
    let id = |review: usize| ReviewId([review as u8 + 1; 32]);
    let reviews = |change: usize| -> Vec<_> {
        let escrow = |(review, author): (usize, &usize)| ESCROWS[at][review][(author + change) % AUTHORS];
        authors.iter().enumerate().map(|each| (id(each.0), escrow(each))).collect()
    };
    let compared = ComparedReviews::new(reviews(0));
    if authors.len() < ComparedReviews::MIN {
        assert_eq!(compared, Err(SameAuthorError::Reviews));
        return Ok(());
    }
    let compared = compared.unwrap();
    let others = ComparedReviews::new(reviews(1)).unwrap();
    let number = input.int_in_range(1..=3u16)?;
    let behaviours: Vec<Behaviour> = shares.iter().map(|_| input.arbitrary()).collect::<Result<_, _>>()?;
    let rng = &mut Seeded(input.arbitrary()?);

    let chosen: Vec<(&TrusteeShare, &Behaviour)> =
        shares.iter().zip(&behaviours).filter(|(_, behaviour)| behaviour.is_member).collect();
    let Some(members) = Members::new(chosen.iter().map(|(share, _)| share.index())) else { return Ok(()) };
    let mut culprits = Vec::new();
    let mut blinds = Vec::new();
    for (share, behaviour) in &chosen {
        let (digest, round, of) = match behaviour.blind {
            Some(Cheat::Warrant) => ([7; 32], number, &compared),
            Some(Cheat::Round) => (DIGEST, number + 1, &compared),
            Some(Cheat::Reviews) => (DIGEST, number, &others),
            Some(Cheat::Byte { .. }) | None => (DIGEST, number, &compared),
        };
        let factor = BlindingFactor::derive(share, &digest, round, of, rng);
        let honest = Blind::new(share.index(), round, &factor, &digest, of, rng).unwrap();
        let blind = match behaviour.blind {
            Some(Cheat::Byte { at, by }) => {
                // Another's index is somebody else's blind.
                changed(&honest, at, by).filter(|blind| blind.index() == share.index())
            }
            _ => Some(honest.clone()),
        };
        let blind = blind.unwrap_or(honest.clone());
        if behaviour.blind.is_some_and(|cheat| !matches!(cheat, Cheat::Byte { .. }) || blind != honest) {
            culprits.push(share.index());
        }
        blinds.push(blind);
    }
    // In which order they come does not matter.
    let by = input.choose_index(blinds.len())?;
    blinds.rotate_left(by);
    let checked = CheckedRound::new(committee, &DIGEST, number, &compared, members, &blinds, rng);
    let checked = match checked {
        Err(error) => {
            let expected = if members.count() < committee.threshold() {
                SameAuthorError::Members
            } else {
                SameAuthorError::Culprits(culprits)
            };
            assert_eq!(error, expected);
            return Ok(());
        }
        Ok(checked) => checked,
    };
    assert!(culprits.is_empty() && members.count() >= committee.threshold());
    if blinds.len() > 1 {
        let missing = CheckedRound::new(committee, &DIGEST, number, &compared, members, &blinds[1..], rng);
        assert_eq!(missing.unwrap_err(), SameAuthorError::Members);
    }

    let mut answers = Vec::new();
    let mut culprits = BTreeSet::new();
    for (share, behaviour) in shares.iter().zip(&behaviours) {
        let context = checked.context();
        let bound = match behaviour.share {
            Some(Cheat::Warrant) => ComparisonContext { warrant_digest: [7; 32], ..context.clone() },
            Some(Cheat::Round) => ComparisonContext { round_id: [7; 32], ..context.clone() },
            Some(Cheat::Reviews) => {
                let sums = context.sums.iter().copied().chain([*committee.key().element()]).collect();
                ComparisonContext { sums, ..context.clone() }
            }
            Some(Cheat::Byte { .. }) | None => context.clone(),
        };
        let honest = ComparisonShare::answer(share, committee, &bound, rng).unwrap();
        let answer = match behaviour.share {
            Some(Cheat::Byte { at, by }) => {
                changed(&honest, at, by).filter(|answer| answer.index() == share.index())
            }
            _ => Some(honest.clone()),
        };
        let answer = answer.unwrap_or(honest.clone());
        let is_bad =
            behaviour.share.is_some_and(|cheat| !matches!(cheat, Cheat::Byte { .. }) || answer != honest);
        let times = behaviour.answers % 3;
        if times > 0 && (is_bad || times > 1 || !behaviour.is_member) {
            culprits.insert(share.index());
        }
        answers.extend(core::iter::repeat_n(answer, times.into()));
    }
    if !answers.is_empty() {
        let by = input.choose_index(answers.len())?;
        answers.rotate_left(by);
    }
    let expected = if !culprits.is_empty() {
        Err(SameAuthorError::Culprits(culprits.into_iter().collect()))
    } else if answers.len() < usize::from(committee.threshold()) {
        Err(SameAuthorError::TooFew)
    } else {
        Ok(classes(&authors, id))
    };
    assert_eq!(checked.classes(committee, &answers, rng), expected);
    Ok(())
}

/// Who wrote what, told apart by the authors' numbers.
fn classes(authors: &[usize], id: impl Fn(usize) -> ReviewId) -> AuthorClasses {
    let of = |author: usize| -> Vec<ReviewId> {
        authors.iter().enumerate().filter(|(_, of)| **of == author).map(|(review, _)| id(review)).collect()
    };
    let mut found: Vec<Vec<ReviewId>> = (0..AUTHORS - 1).map(of).filter(|class| !class.is_empty()).collect();
    found.sort();
    AuthorClasses { authors: found, nobody: of(AUTHORS - 1) }
}
