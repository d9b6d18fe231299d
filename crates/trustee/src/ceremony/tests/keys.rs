//! What a ceremony among honest trustees makes.

use super::World;
use crate::ceremony::{CeremonyError, CeremonyPlan, Step, observe};
use crate::{Committee, DecryptionShare, OpeningError, ShareContext, TrusteeShare, combine};
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;
use proptest::sample::subsequence;
use unjoin_core::algebra::{Element, Escrow, Generator, threshold};
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{ReviewId, Trustees};
use unjoin_core::{PassphraseCost, PassphraseError};

/// What these shares interpolate to: the key, if there are enough of one epoch.
fn interpolated(shares: &[&TrusteeShare]) -> Scalar {
    let indices: Vec<u16> = shares.iter().map(|share| share.index()).collect();
    let term =
        |share: &&TrusteeShare| threshold::lagrange(&indices, share.index(), 0) * share.secret().expose();
    shares.iter().map(term).sum()
}

fn opens(shares: &[&TrusteeShare], committee: &Committee) -> bool {
    &Generator::G.mul(&interpolated(shares)) == committee.key().element().point()
}

fn subsets(of: u16, size: u16) -> impl Iterator<Item = Vec<u16>> {
    let sets = (0u32..1 << of).filter(move |set| set.count_ones() == u32::from(size));
    sets.map(move |set| (1..=of).filter(|index| set & 1 << (index - 1) != 0).collect())
}

fn assert_is_t_of_n(world: &World) {
    let (committee, n) = (world.signed().committee(), world.plan.trustees().count());
    let t = committee.threshold();
    for secrets in &world.secrets {
        assert_eq!(secrets.committee().unwrap().committee(), committee);
        let share = secrets.share().unwrap();
        let public = Element::from_point(Generator::G.mul(share.secret().expose())).unwrap();
        assert_eq!(committee.verification_share(share.index()), Some(&public));
    }
    let shares = |set: &[u16]| set.iter().map(|index| world.share(*index)).collect::<Vec<_>>();
    assert!(subsets(n, t).all(|set| opens(&shares(&set), committee)));
    assert!(subsets(n, t - 1).all(|set| !opens(&shares(&set), committee)));
}

#[test]
fn every_t_of_n_trustees_have_the_key_and_no_fewer() {
    for n in 1..=5 {
        for t in 1..=n {
            let world = World::new(t, n).finish();
            assert_is_t_of_n(&world);
            let signed = world.signed();
            assert_eq!((signed.committee().epoch(), signed.committee().threshold()), (1, t));
            signed.verify_first(world.plan.trustees()).unwrap();
            let key = signed.certificate().unwrap().verify(world.plan.trustees()).unwrap();
            assert_eq!(&key, signed.committee().key());
        }
    }
}

#[test]
fn a_refresh_keeps_the_key_and_changes_every_share() {
    for (t, n) in [(2, 2), (2, 3), (3, 5), (5, 5)] {
        let world = World::new(t, n).finish();
        let before = world.signed().committee().clone();
        let old: Vec<TrusteeShare> = (1..=n).map(|i| copy(world.share(i))).collect();
        let world = world.refresh((1..=n).collect()).finish();
        assert_is_t_of_n(&world);
        let after = world.signed().committee();
        assert_eq!((after.key(), after.threshold(), after.epoch()), (before.key(), t, 2));
        world.signed().verify_successor(world.plan.trustees(), &before).unwrap();
        assert!(world.signed().verify_first(world.plan.trustees()).is_err());
        assert!(world.signed().certificate().is_none());
        for share in &old {
            assert_ne!(after.verification_share(share.index()), before.verification_share(share.index()));
            assert_ne!(share.secret().expose(), world.share(share.index()).secret().expose());
        }
        // t shares, one of them of before.
        for set in subsets(n, t) {
            for stale in &set {
                let mixed: Vec<_> = set
                    .iter()
                    .map(|i| if i == stale { &old[usize::from(*i) - 1] } else { world.share(*i) })
                    .collect();
                assert!(!opens(&mixed, after));
            }
        }
        let world = world.refresh((1..=n).collect()).finish();
        assert_eq!(world.signed().committee().epoch(), 3);
        assert_is_t_of_n(&world);
    }
}

fn copy(share: &TrusteeShare) -> TrusteeShare {
    let secret = unjoin_core::secret::SecretScalar::new(*share.secret().expose());
    TrusteeShare::new(share.index(), share.epoch(), secret)
}

#[test]
fn shares_of_two_epochs_open_nothing_together() {
    let rng = &mut SystemRng::new();
    let world = World::new(2, 3).finish();
    let (first, stale) = (world.signed().committee().clone(), copy(world.share(1)));
    let author = Generator::Gu.mul(&Scalar::from(77u64));
    let escrow = Escrow::seal(first.key(), &author, &Scalar::from(5u64)).unwrap();
    let context = ShareContext { warrant_digest: [1; 32], review_id: ReviewId([2; 32]), escrow };
    let old = DecryptionShare::answer(&stale, &first, &context, rng).unwrap();
    let world = world.refresh(vec![1, 2, 3]).finish();
    let second = world.signed().committee();
    let new = |index| DecryptionShare::answer(world.share(index), second, &context, rng).unwrap();
    let fresh: Vec<DecryptionShare> = [2, 3].map(new).into();
    let opened = combine(second, &context, &fresh, rng).unwrap();
    assert_eq!(opened.point(), &author);
    for committee in [&first, second] {
        let mixed = [old.clone(), fresh[0].clone()];
        assert!(matches!(combine(committee, &context, &mixed, rng), Err(OpeningError::Culprits(_))));
    }
    assert!(DecryptionShare::answer(&stale, second, &context, rng).is_err());
}

#[test]
fn a_refresh_leaves_out_who_is_gone() {
    let world = World::new(2, 4).finish();
    let before = world.signed().committee().clone();
    let world = world.refresh(vec![1, 3, 4]).finish();
    let after = world.signed().committee();
    world.signed().verify_successor(world.plan.trustees(), &before).unwrap();
    assert_eq!(world.signed().signers().collect::<Vec<_>>(), [1, 3, 4]);
    assert!(opens(&[world.share(1), world.share(4)], after));
    // His share is of no use any more.
    assert_eq!(world.share(2).epoch(), 1);
    assert!(!opens(&[world.share(2), world.share(4)], after));
}

#[test]
fn a_refresh_is_of_the_own_committee_with_the_own_trustees_only() {
    let rng = &mut SystemRng::new();
    let mut world = World::new(2, 3).finish();
    let mut other = World::new(2, 3).finish();
    let committee = world.signed().committee().clone();
    let refresh = |trustees: &Trustees, members: &[u16], rng: &mut SystemRng| {
        CeremonyPlan::refresh(&committee, trustees.clone(), members.to_vec(), rng)
    };
    let ours = world.plan.trustees().clone();
    let mut keys = ours.keys().to_vec();
    keys[2] = other.plan.trustees().keys()[0];
    let swapped = refresh(&Trustees::new(keys).unwrap(), &[1, 2, 3], rng).unwrap();
    assert_eq!(world.secrets[0].join(swapped, 2, rng), Err(CeremonyError::Plan));
    let plan = refresh(&ours, &[1, 2, 3], rng).unwrap();
    assert_eq!(other.secrets[0].join(plan.clone(), plan.threshold(), rng), Err(CeremonyError::Plan));
    assert_eq!(observe(&plan, None, &[], rng).err(), Some(CeremonyError::Plan));
    assert_eq!(observe(&plan, Some(other.signed().committee()), &[], rng).err(), Some(CeremonyError::Plan));
    // Nobody makes a new key over a share that is needed.
    let anew = CeremonyPlan::key_generation(2, ours.clone(), rng).unwrap();
    assert_eq!(world.secrets[0].join(anew.clone(), anew.threshold(), rng), Err(CeremonyError::Plan));
    let mut another = world.secrets[0].for_another_key();
    another.join(anew.clone(), anew.threshold(), rng).unwrap();
    another.join(anew, 2, rng).unwrap();
    assert_eq!(another.join(plan.clone(), plan.threshold(), rng), Err(CeremonyError::Busy));
    // Who is left out does not join.
    let fewer = refresh(&ours, &[1, 2], rng).unwrap();
    assert_eq!(world.secrets[2].join(fewer, 2, rng), Err(CeremonyError::Plan));
    for members in [&[1][..], &[2, 1], &[1, 1, 2], &[1, 4], &[0, 1]] {
        assert_eq!(refresh(&ours, members, rng), Err(CeremonyError::Members));
    }
    let whole = World::new(1, 2).finish();
    let refused =
        CeremonyPlan::refresh(whole.signed().committee(), whole.plan.trustees().clone(), vec![1, 2], rng);
    assert_eq!(refused, Err(CeremonyError::Threshold));
    for threshold in [0, 4] {
        assert_eq!(CeremonyPlan::key_generation(threshold, ours.clone(), rng), Err(CeremonyError::Threshold));
    }
}

#[test]
fn sixteen_trustees_make_a_key() {
    let world = World::new(6, 16).finish();
    let quorum: Vec<_> = (9..15).map(|index| world.share(index)).collect();
    assert!(opens(&quorum, world.signed().committee()));
    assert!(!opens(&quorum[1..], world.signed().committee()));
}

#[test]
fn secrets_that_are_sealed_at_every_step_say_the_same() {
    let rng = &mut SystemRng::new();
    let mut world = World::new(2, 3);
    let mut messages = Vec::new();
    let mut finished = 0;
    while finished < 3 {
        for secrets in &mut world.secrets {
            let sealed = secrets.seal(b"horse", PassphraseCost::LEAST, rng).unwrap();
            assert_eq!(sealed.open(b"house").err(), Some(PassphraseError::Open));
            *secrets = sealed.open(b"horse").unwrap();
            match secrets.next(&messages, rng) {
                Ok(Step::Publish(message)) => {
                    // The answer was lost: asked again, the same comes.
                    let mut again =
                        secrets.seal(b"horse", PassphraseCost::LEAST, rng).unwrap().open(b"horse").unwrap();
                    let Ok(Step::Publish(same)) = again.next(&messages, rng) else { panic!("silent") };
                    assert!(same == message);
                    messages.push(message);
                }
                Ok(Step::Finished(signed)) => {
                    finished += 1;
                    assert_eq!(secrets.committee(), Some(&signed));
                }
                Ok(Step::Wait { missing, .. }) => assert!(!missing.is_empty()),
                Err(error) => assert_eq!(error, CeremonyError::Idle),
            }
        }
    }
    let sealed = world.secrets[1].seal(b"horse", PassphraseCost::LEAST, rng).unwrap();
    let opened = sealed.open(b"horse").unwrap();
    let share = opened.share().unwrap();
    assert_eq!(share.secret().expose(), world.share(2).secret().expose());
    assert!(opens(&[share, world.share(3)], opened.committee().unwrap().committee()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_t_of_up_to_twelve_trustees_have_the_key(
        (n, t) in (1..=12u16).prop_flat_map(|n| (Just(n), 1..=n)),
        order in subsequence((1..=12u16).collect::<Vec<_>>(), 12).prop_shuffle(),
    ) {
        let world = World::new(t, n).finish();
        let picked: Vec<_> = order.into_iter().filter(|index| *index <= n).take(t.into()).collect();
        let shares: Vec<_> = picked.iter().map(|index| world.share(*index)).collect();
        prop_assert!(opens(&shares, world.signed().committee()));
        prop_assert!(!opens(&shares[1..], world.signed().committee()));
        let seen = observe(&world.plan, None, &world.mailboxes[0], &mut SystemRng::new()).unwrap();
        prop_assert_eq!(seen.as_ref(), Some(world.signed()));
    }
}

#[test]
fn nobody_joins_a_plan_with_another_threshold_than_was_agreed() {
    let rng = &mut SystemRng::new();
    let mut secrets: Vec<_> = (0..3).map(|_| crate::TrusteeSecrets::generate(rng)).collect();
    let keys = Trustees::new(secrets.iter().map(crate::TrusteeSecrets::public).collect()).unwrap();
    let whole_key_for_each = CeremonyPlan::key_generation(1, keys, rng).unwrap();
    assert_eq!(secrets[0].join(whole_key_for_each, 2, rng), Err(CeremonyError::Plan));
}
