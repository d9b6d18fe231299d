//! Rules that no vector can show: they refuse what only the crate itself could make, or keys
//! and signatures, of which the vectors have no bad ones.

use super::*;
use curve25519_dalek::ristretto::RistrettoPoint;
use sha2::{Digest, Sha512};
use unjoin_core::algebra::transcript::push_frame;
use unjoin_core::algebra::{Escrow, Generator, mac, threshold};
use unjoin_core::entry::Members;
use unjoin_core::signature::Signer;
use unjoin_core::token::{
    Accepted, ActionKind, AuthorAction, AuthorKey, AuthorStatement, DoorMessage, DoorQuestion, Grant,
    GrantedTag, KeyRing, KeyRingError, PlatformKey, PlatformPublicKey, Presentation, PresentationWitness,
    RequestWitness, ReviewId,
};
use unjoin_trustee::ceremony::CeremonyError;
use unjoin_trustee::same_author::{
    Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonShare, SameAuthorError,
};
use unjoin_trustee::{
    Committee, DecryptionShare, OpeningError, ShareContext, TrusteeShare, combine, insecure_test_dealer,
};

fn point(scalar: u64) -> Element {
    Element::from_point(Generator::G.mul(&Scalar::from(scalar))).unwrap()
}

fn witness(scalar: u64) -> SecretScalar {
    SecretScalar::new(Scalar::from(scalar))
}

#[test]
fn a_secret_that_is_zero_or_not_canonical_is_no_issuing_key() {
    let key = |x: [u8; 32]| {
        let mut secrets = [7; 64];
        secrets[..32].copy_from_slice(&x);
        IssuerKey::from_secret_bytes(&SecretBytes::new(secrets))
    };
    assert!(key([0; 32]).is_none());
    assert!(key([0xff; 32]).is_none());
    assert!(key(Scalar::ONE.to_bytes()).is_some());
    let kept = IssuerKey::generate(&mut system());
    let restored = IssuerKey::from_secret_bytes(&kept.to_secret_bytes()).unwrap();
    assert_eq!(restored.public(), kept.public());
}

#[test]
fn an_exponent_that_cancels_the_key_gives_no_tag() {
    let (x, base) = (Scalar::from(5u64), *point(9).point());
    assert!(mac::tag(&x, &-x, &base).is_none());
    assert!(mac::tag(&x, &Scalar::ZERO, &base).is_some());
    assert!(mac::tag(&x, &Scalar::ONE, &RistrettoPoint::default()).is_none());
}

#[test]
fn a_platform_key_of_small_order_is_refused() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for weak in [neutral, minus_one, [0; 32]] {
        assert!(PlatformPublicKey::from_bytes(&weak).is_none());
    }
    let key = PlatformKey::generate(&mut system()).public();
    assert_eq!(PlatformPublicKey::from_bytes(key.as_bytes()), Some(key));
}

#[test]
fn a_signature_whose_commitment_is_of_small_order_is_refused() {
    let seed = [4; 32];
    let key = PlatformKey::from_secret_bytes(&SecretBytes::new(seed)).public();
    let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
    let mut signed = Vec::new();
    for part in [&b"unjoin/v1"[..], b"receipt", b"bytes"] {
        push_frame(&mut signed, part);
    }
    // R is the neutral element, S = c * a: the bare equation holds.
    let mut forged = [0; 64];
    forged[0] = 1;
    let hash = Sha512::new_with_prefix(&forged[..32]).chain_update(key.as_bytes()).chain_update(&signed);
    let challenge = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    forged[32..].copy_from_slice((challenge * secret.to_scalar()).as_bytes());
    let signature = ed25519_dalek::Signature::from_bytes(&forged);
    assert!(ed25519_dalek::Verifier::verify(&secret.verifying_key(), &signed, &signature).is_ok());
    assert!(key.verify("receipt", b"bytes", &forged).is_err());
}

#[test]
fn a_signature_stands_on_its_own_label_and_bytes_alone() {
    let key = PlatformKey::generate(&mut system());
    let signature = key.sign("manifest", b"bytes").unwrap();
    assert!(key.public().verify("manifest", b"bytes", &signature).is_ok());
    assert!(key.public().verify("receipt", b"bytes", &signature).is_err());
    assert!(key.public().verify("manifest", b"byte", &signature).is_err());
    let other = PlatformKey::generate(&mut system());
    assert!(other.public().verify("manifest", b"bytes", &signature).is_err());
}

#[test]
fn a_rotation_that_would_do_nothing_or_rebind_a_key_is_refused() {
    let rng = &mut system();
    let (committee, _) = insecure_test_dealer(1, 1, rng).unwrap();
    let (other, _) = insecure_test_dealer(1, 1, rng).unwrap();
    let key = IssuerKey::generate(rng);
    let copy = || IssuerKey::from_secret_bytes(&key.to_secret_bytes()).unwrap();
    let ring = KeyRing::new(copy(), *committee.key());
    let id = *key.public().id();
    assert_eq!(ring.retire(&id).unwrap_err(), KeyRingError::NewestKey);
    assert_eq!(ring.retire(&[0; 32]).unwrap_err(), KeyRingError::UnknownKey);
    let rotated = ring.with(IssuerKey::generate(rng), *committee.key()).unwrap();
    let retired = rotated.retire(&id).unwrap().retire(&id).unwrap();
    assert!(!retired.may_issue(&id) && retired.find(&id).is_some());
    assert!(!retired.may_issue(&[0; 32]));
    // Neither another escrow key for an issuing key, nor a retired one issuing again.
    for (ring, escrow) in [(&ring, &other), (&rotated, &other), (&retired, &committee)] {
        assert_eq!(ring.with(copy(), *escrow.key()).unwrap_err(), KeyRingError::KnownKey);
    }
}

/// A token of `key` for a scope that names another key, presented: all its equations hold.
#[test]
fn a_token_of_one_key_for_the_scope_of_another_is_refused() {
    let rng = &mut system();
    let (committee, _) = insecure_test_dealer(1, 1, rng).unwrap();
    let [key, named] = [(); 2].map(|()| IssuerKey::generate(rng));
    let merchant = Name::new("merchant").unwrap();
    let [u, s, b, k, r] = [3, 5, 7, 11, 13].map(witness);
    let (wallet_key, exponent) =
        (Element::from_point(Generator::Gu.mul(u.expose())).unwrap(), Scalar::from(17u64));
    let present = |scope: &Scope| {
        let request = RequestWitness { u: &u, s: &s, b: &b, wallet_key: &wallet_key };
        let base = mac::base(&scope.scalar(), &request.commitment().unwrap());
        let granted = GrantedTag::new(mac::tag(key.x(), &exponent, &base).unwrap(), exponent, &base);
        let author_key = AuthorKey::NOBODY;
        let witness = PresentationWitness { request, k: &k, r: &r, granted: &granted, author_key };
        let rng = &mut system();
        Presentation::prove(&witness, scope.clone(), key.public(), committee.key(), &[1; 32], rng).unwrap()
    };
    let [own, foreign] = [&key, &named].map(|key| Scope::new(*key.public().id(), merchant.clone(), 7));
    for (scope, holds) in [(&own, true), (&foreign, false)] {
        let presentation = present(scope);
        assert_eq!(presentation.verify(&key, committee.key(), &[1; 32], rng).is_ok(), holds);
        let accepted = Accepted::prove(&key, &presentation, &[1; 32], rng);
        let public = accepted.verify(key.public(), committee.key(), &presentation, &[1; 32], rng);
        assert_eq!(public.is_ok(), holds);
        assert_eq!(accepted.verify_alone(key.public(), &presentation, &[1; 32], rng).is_ok(), holds);
        assert_eq!(Grant::issue(&key, scope, &point(2), rng).is_ok(), holds);
    }
}

#[test]
fn an_action_that_could_never_be_accepted_is_not_signed() {
    let signer = Signer::from_seed(&SecretBytes::new([5; 32]));
    let said = |kind, sequence, new_digest| AuthorStatement {
        kind,
        review_id: ReviewId([1; 32]),
        sequence,
        previous_digest: [2; 32],
        new_digest,
    };
    let signs = |said: AuthorStatement| AuthorAction::sign(&signer, said).is_some();
    assert!(signs(said(ActionKind::Edit, 1, [3; 32])));
    assert!(signs(said(ActionKind::Withdraw, u64::MAX, [0; 32])));
    assert!(!signs(said(ActionKind::Edit, 0, [3; 32])));
    assert!(!signs(said(ActionKind::Edit, 1, [0; 32])));
    assert!(!signs(said(ActionKind::Withdraw, 1, [3; 32])));

    // Nothing follows the last number of all, nor a withdrawal.
    let (last, first) = (said(ActionKind::Edit, u64::MAX, [3; 32]), said(ActionKind::Edit, 1, [3; 32]));
    assert!(last.continues(u64::MAX - 1, &[2; 32]) && !last.continues(u64::MAX, &[2; 32]));
    let wraps = AuthorStatement { sequence: 0, ..last };
    assert!(!wraps.continues(u64::MAX, &[2; 32]));
    let after_withdrawal = AuthorStatement { previous_digest: [0; 32], ..first };
    assert!(first.continues(0, &[2; 32]) && !after_withdrawal.continues(0, &[0; 32]));
}

#[test]
fn a_door_message_that_would_not_decode_is_not_made() {
    let action = |at: usize| message(&load("author_actions.json")["cases"][at]["wire"]);
    let scope = Scope::new([1; 32], Name::new("merchant").unwrap(), 7);
    let made = |at, review: usize| {
        let (scope, review) = (scope.clone(), vec![1; review]);
        DoorMessage::new(DoorQuestion::Action { scope, action: action(at), review }).is_some()
    };
    // The first is an edit, the fourth a withdrawal.
    assert!(made(0, 1) && made(3, 0));
    assert!(!made(0, 0) && !made(3, 1));
    let room = DoorMessage::LENGTH - 9 - scope.to_bytes().len() - 171;
    assert!(made(0, room) && !made(0, room + 1));
}

#[test]
fn a_committee_has_an_epoch_and_a_size() {
    let (committee, _) = insecure_test_dealer(2, 3, &mut system()).unwrap();
    let shares = committee.verification_shares().to_vec();
    let made = |t, epoch| Committee::new(t, epoch, *committee.key(), shares.clone());
    assert_eq!(made(2, 1), Ok(committee.clone()));
    assert_eq!(made(2, 0), Err(CeremonyError::Size));
    assert_eq!(made(0, 1), Err(CeremonyError::Size));
    assert_eq!(made(4, 1), Err(CeremonyError::Size));
    for (t, n) in [(0, 3), (4, 3), (1, 65)] {
        assert!(matches!(insecure_test_dealer(t, n, &mut system()), Err(CeremonyError::Size)));
    }
    assert!(insecure_test_dealer(1, 64, &mut system()).is_ok());
    assert_eq!(committee.verification_share(0), None);
    assert_eq!(committee.verification_share(4), None);
}

fn context(escrow: Escrow) -> ShareContext {
    ShareContext { warrant_digest: [9; 32], review_id: ReviewId([8; 32]), escrow }
}

#[test]
fn a_trustee_answers_with_its_own_share_of_the_epoch_only() {
    let rng = &mut system();
    let (committee, shares) = insecure_test_dealer(2, 3, rng).unwrap();
    let (_, strangers) = insecure_test_dealer(2, 3, rng).unwrap();
    let context = context(Escrow { e1: point(3), e2: point(4) });
    let mut answers =
        |share: &TrusteeShare| DecryptionShare::answer(share, &committee, &context, rng).is_ok();
    let copy =
        |index, epoch| TrusteeShare::new(index, epoch, SecretScalar::new(*shares[0].secret().expose()));
    assert!(answers(&shares[0]) && answers(&copy(1, 1)));
    assert!(!answers(&copy(1, 2)), "another epoch");
    assert!(!answers(&copy(2, 1)), "another trustee's index");
    assert!(!answers(&copy(4, 1)), "no trustee");
    assert!(!answers(&strangers[0]), "another committee");
}

#[test]
fn an_escrow_of_nobody_is_reported() {
    let rng = &mut system();
    let (committee, shares) = insecure_test_dealer(2, 3, rng).unwrap();
    let secret: Scalar = [1, 2]
        .map(|index| {
            threshold::lagrange(&[1, 2], index, 0) * shares[usize::from(index) - 1].secret().expose()
        })
        .iter()
        .sum();
    let nobody = Element::from_point(point(3).point() * secret).unwrap();
    let mut opened = |e2| {
        let context = context(Escrow { e1: point(3), e2 });
        let answers: Vec<_> = shares
            .iter()
            .map(|share| DecryptionShare::answer(share, &committee, &context, rng).unwrap())
            .collect();
        combine(&committee, &context, &answers, rng)
    };
    assert!(opened(point(4)).is_ok());
    assert_eq!(opened(nobody), Err(OpeningError::Nobody));
}

fn review(id: u8, e1: u64, e2: u64) -> (ReviewId, Escrow) {
    (ReviewId([id; 32]), Escrow { e1: point(e1), e2: point(e2) })
}

#[test]
fn two_to_64_reviews_are_compared_in_rising_order() {
    let made = |ids: &[u8]| ComparedReviews::new(ids.iter().map(|id| review(*id, 3, 4)).collect());
    let many: Vec<u8> = (1..=65).collect();
    assert!(made(&[1, 2]).is_ok() && made(&many[..64]).is_ok());
    for refused in [&[][..], &[1], &[2, 1], &[1, 1], &[1, 3, 2], &many] {
        assert_eq!(made(refused), Err(SameAuthorError::Reviews));
    }
}

#[test]
fn a_round_has_a_number_and_members_of_the_committee() {
    let rng = &mut system();
    let (committee, shares) = insecure_test_dealer(2, 3, rng).unwrap();
    let reviews = ComparedReviews::new(vec![review(1, 3, 4), review(2, 5, 7)]).unwrap();
    let mut round = |number: u16, members: &[u16], blinding: &[u16]| {
        let factor = BlindingFactor::derive(&shares[0], &[9; 32], number, &reviews, rng);
        let mut blind = |index: &u16| Blind::new(*index, number, &factor, &[9; 32], &reviews, rng).unwrap();
        let blinds: Vec<Blind> = blinding.iter().map(&mut blind).collect();
        let members = Members::new(members.iter().copied()).unwrap();
        CheckedRound::new(&committee, &[9; 32], number, &reviews, members, &blinds, rng).map(|_| ())
    };
    assert_eq!(round(1, &[1, 3], &[1, 3]), Ok(()));
    assert_eq!(round(1, &[1, 3], &[3, 1]), Ok(()), "they may come in any order");
    assert_eq!(round(0, &[1, 3], &[1, 3]), Err(SameAuthorError::Members));
    assert_eq!(round(1, &[1, 4], &[1, 4]), Err(SameAuthorError::Members));
    assert_eq!(round(1, &[2], &[2]), Err(SameAuthorError::Members));
    for blinding in [&[1][..], &[1, 2], &[1, 1], &[1, 3, 3], &[1, 2, 3], &[0, 1]] {
        assert_eq!(round(1, &[1, 3], blinding), Err(SameAuthorError::Members));
    }
    assert_eq!(Members::new([0, 1]), None);
    assert_eq!(Members::new([1, 65]), None);
    assert_eq!(Members::new([]), None);
    assert!(BlindingFactor::from_scalar(SecretScalar::new(Scalar::ZERO)).is_none());
}

/// Where escrows share a part their blinds do too, which says no more than the escrows themselves.
#[test]
fn reviews_with_equal_parts_are_compared_as_any_others() {
    let rng = &mut system();
    let (committee, shares) = insecure_test_dealer(2, 3, rng).unwrap();
    let compared = [review(1, 3, 4), review(2, 3, 4), review(3, 3, 7), review(4, 5, 4)];
    let reviews = ComparedReviews::new(compared.into()).unwrap();
    let mut blind = |share: &TrusteeShare| {
        let factor = BlindingFactor::derive(share, &[9; 32], 1, &reviews, rng);
        Blind::new(share.index(), 1, &factor, &[9; 32], &reviews, rng).unwrap()
    };
    let blinds = [blind(&shares[0]), blind(&shares[2])];
    let members = Members::new([1, 3]).unwrap();
    let round = CheckedRound::new(&committee, &[9; 32], 1, &reviews, members, &blinds, rng).unwrap();
    let answer = |at: usize| ComparisonShare::answer(&shares[at], &committee, round.context(), &mut system());
    let found = round.classes(&committee, &[answer(0).unwrap(), answer(2).unwrap()], rng).unwrap();
    let [one, two, three, four] = [1, 2, 3, 4].map(|id| ReviewId([id; 32]));
    assert_eq!(found.authors, [vec![one, two], vec![three], vec![four]]);
    assert_eq!(found.nobody, []);
}
