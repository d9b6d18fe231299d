//! The key ceremony against frost-ristretto255: the same polynomials give the same group key,
//! the same verification shares and the same signing shares.
//!
//! The ceremony's polynomials are derived from a seed as the manual says (chapter `ceremony`,
//! "Restarts"), here by code of its own, and the commitments are read off the messages' bytes.

#![cfg(test)]

use curve25519_dalek::{RistrettoPoint, Scalar, constants::RISTRETTO_BASEPOINT_TABLE};
use frost_ristretto255::Identifier;
use frost_ristretto255::keys::{
    KeyPackage, PublicKeyPackage, SecretShare, SigningShare, VerifiableSecretSharingCommitment, reconstruct,
};
use rand_core::Rng;
use sha2::{Digest, Sha512};
use std::collections::BTreeMap;
use unjoin::algebra::{Element, Escrow};
use unjoin::opening::ceremony::{CeremonyMessage, CeremonyPlan, Round, Step};
use unjoin::opening::{Committee, DecryptionShare, ShareContext, SignedCommittee, TrusteeSecrets};
use unjoin::secret::SystemRng;
use unjoin::token::{ReviewId, Trustees};
use unjoin::wire::Message;
use unjoin_test_util::Draws;

/// H2S of the protocol.
fn hash_to_scalar(label: &[u8], items: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    for part in [b"unjoin/v1", label].into_iter().chain(items.iter().copied()) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// What the trustees hold and said.
struct Ceremony {
    signed: SignedCommittee,
    /// By trustee: every coefficient of a new key's polynomial, or all but the first.
    committed: Vec<Vec<[u8; 32]>>,
    /// By trustee, constant coefficient first.
    polynomials: Vec<Vec<Scalar>>,
}

/// Runs a ceremony among all of these trustees.
fn run(secrets: &mut [TrusteeSecrets], plan: &CeremonyPlan) -> Ceremony {
    let mut seeds = Vec::new();
    for trustee in secrets.iter_mut() {
        let mut given = Vec::new();
        let mut rng = Draws(|bytes: &mut [u8]| {
            SystemRng::new().fill_bytes(bytes);
            given.extend_from_slice(bytes);
        });
        trustee.join(plan.clone(), plan.threshold(), &mut rng).unwrap();
        assert_eq!(given.len(), 32);
        seeds.push(given);
    }
    let (mut messages, mut signed) = (Vec::<CeremonyMessage>::new(), None);
    while secrets.iter().any(|trustee| trustee.plan().is_some()) {
        for trustee in secrets.iter_mut().filter(|trustee| trustee.plan().is_some()) {
            match trustee.next(&messages, &mut SystemRng::new()).unwrap() {
                Step::Publish(message) => messages.push(message),
                Step::Finished(finished) => signed = Some(finished),
                _ => {}
            }
        }
    }
    let (mut committed, mut polynomials) = (Vec::new(), Vec::new());
    for (index, seed) in (1..).zip(&seeds) {
        let said = |m: &&CeremonyMessage| m.index() == index && m.round() == Round::Commitment;
        let bytes = messages.iter().find(said).unwrap().to_bytes();
        // Version, kind, session, index, round, count.
        let session = &bytes[2..34];
        let count = usize::from(bytes[37]);
        committed.push((0..count).map(|k| bytes[39 + 32 * k..][..32].try_into().unwrap()).collect());
        let coefficient = |k: u16| match plan.is_refresh() && k == 0 {
            true => Scalar::ZERO,
            false => hash_to_scalar(b"ceremony/coefficient", &[seed, session, &k.to_le_bytes()]),
        };
        polynomials.push((0..plan.threshold()).map(coefficient).collect());
    }
    Ceremony { signed: signed.unwrap(), committed, polynomials }
}

fn identifier(index: u16) -> Identifier {
    Identifier::try_from(index).unwrap()
}

fn scalar(share: &SigningShare) -> Scalar {
    Scalar::from_canonical_bytes(share.serialize().try_into().unwrap()).unwrap()
}

fn encoded(scalar: &Scalar) -> [u8; 32] {
    let point: RistrettoPoint = scalar * RISTRETTO_BASEPOINT_TABLE;
    point.compress().to_bytes()
}

/// Our trustee's share, multiplied by an element that we choose: frost's share does the same.
fn assert_same_share(trustee: &TrusteeSecrets, committee: &Committee, share: &Scalar) {
    let k = Scalar::from(0x5eed_u64);
    let element = |bytes: [u8; 32]| Element::from_bytes(&bytes).unwrap();
    let escrow = Escrow { e1: element(encoded(&k)), e2: element(encoded(&Scalar::from(2u64))) };
    let context = ShareContext { warrant_digest: [1; 32], review_id: ReviewId([2; 32]), escrow };
    let own = trustee.share().unwrap();
    let answer = DecryptionShare::answer(own, committee, &context, &mut SystemRng::new()).unwrap();
    assert_eq!(answer.element().as_bytes(), &encoded(&(k * share)));
    assert_eq!(committee.verification_share(own.index()).unwrap().as_bytes(), &encoded(share));
}

fn agree(threshold: u16, trustees: u16) {
    let rng = &mut SystemRng::new();
    let mut secrets: Vec<_> = (0..trustees).map(|_| TrusteeSecrets::generate(rng)).collect();
    let keys = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).unwrap();
    let plan = CeremonyPlan::key_generation(threshold, keys.clone(), rng).unwrap();
    let Ceremony { signed, committed, polynomials } = run(&mut secrets, &plan);
    let committee = signed.committee();
    for (committed, polynomial) in committed.iter().zip(&polynomials) {
        assert_eq!(committed, &polynomial.iter().map(encoded).collect::<Vec<_>>());
    }

    // The group key and the verification shares, from the commitments.
    let commitments: BTreeMap<_, _> = (1..)
        .zip(&committed)
        .map(|(i, c)| (identifier(i), VerifiableSecretSharingCommitment::deserialize(c).unwrap()))
        .collect();
    let public = PublicKeyPackage::from_dkg_commitments(&commitments.iter().map(|(i, c)| (*i, c)).collect());
    let public = public.unwrap();
    assert_eq!(public.verifying_key().serialize().unwrap(), committee.key().element().as_bytes());
    for (index, ours) in (1..).zip(committee.verification_shares()) {
        let theirs = public.verifying_shares()[&identifier(index)].serialize().unwrap();
        assert_eq!(theirs, ours.as_bytes());
    }

    // The signing shares, from the polynomials; each part verifies against its commitment.
    let mut packages = Vec::new();
    let mut shares = Vec::new();
    for (index, trustee) in (1..).zip(&secrets) {
        let mut sum = Scalar::ZERO;
        for (from, polynomial) in (1..).zip(&polynomials) {
            let part = SigningShare::from_coefficients(polynomial, identifier(index));
            let dealt = SecretShare::new(identifier(index), part, commitments[&identifier(from)].clone());
            dealt.verify().unwrap();
            sum += scalar(&part);
        }
        assert_same_share(trustee, committee, &sum);
        let share = SigningShare::deserialize(sum.as_bytes()).unwrap();
        let verifying = public.verifying_shares()[&identifier(index)];
        packages.push(KeyPackage::new(
            identifier(index),
            share,
            verifying,
            *public.verifying_key(),
            threshold,
        ));
        shares.push(sum);
    }

    // Any t of them hold the key.
    for start in 0..=usize::from(trustees - threshold) {
        let quorum = &packages[start..start + usize::from(threshold)];
        let key = reconstruct(quorum).unwrap();
        let scalar = Scalar::from_canonical_bytes(key.serialize().try_into().unwrap()).unwrap();
        assert_eq!(&encoded(&scalar), committee.key().element().as_bytes());
    }

    // A refresh adds frost's evaluation of polynomials without a constant.
    let plan = CeremonyPlan::refresh(committee, keys, (1..=trustees).collect(), rng).unwrap();
    let Ceremony { signed, committed, polynomials } = run(&mut secrets, &plan);
    for (committed, polynomial) in committed.iter().zip(&polynomials) {
        assert_eq!(committed, &polynomial[1..].iter().map(encoded).collect::<Vec<_>>());
    }
    assert_eq!(signed.committee().key(), committee.key());
    for ((index, trustee), before) in (1..).zip(&secrets).zip(&shares) {
        let added =
            polynomials.iter().map(|p| scalar(&SigningShare::from_coefficients(p, identifier(index))));
        assert_same_share(trustee, signed.committee(), &(before + added.sum::<Scalar>()));
    }
}

// frost has no threshold of 1.
#[test]
fn the_same_polynomials_give_frosts_key_and_shares() {
    for trustees in 2..=6 {
        for threshold in 2..=trustees {
            agree(threshold, trustees);
        }
    }
}
