//! When a refresh takes effect: for all honest members by one entry of the ledger, whatever was lost, said
//! twice, or abandoned before.

use super::super::message::Content;
use super::{World, together};
use crate::ceremony::{CeremonyError, CeremonyMessage, CeremonyPlan, Round, Step, conclude, observe};
use crate::test_util::history_of;
use crate::{Committee, SignedCommittee, TrusteeSecrets};
use unjoin_core::algebra::{Generator, threshold};
use unjoin_core::secret::SystemRng;
use unjoin_core::wire::Message;

fn copy(secrets: &TrusteeSecrets) -> TrusteeSecrets {
    TrusteeSecrets::decode(&secrets.encode()).unwrap()
}

/// Three trustees of whom two open, about to refresh.
fn refreshing() -> (World, Committee) {
    let world = World::new(2, 3).finish();
    let before = world.signed().committee().clone();
    (world.refresh(vec![1, 2, 3]), before)
}

fn epoch(secrets: &TrusteeSecrets) -> u32 {
    let (share, signed) = (secrets.share().unwrap(), secrets.committee().unwrap());
    assert_eq!(share.epoch(), signed.committee().epoch());
    share.epoch()
}

/// Any two of them have the key.
fn assert_open(secrets: &[&TrusteeSecrets]) {
    for (at, one) in secrets.iter().enumerate() {
        for other in &secrets[at + 1..] {
            let shares = [one, other].map(|secrets| secrets.share().unwrap());
            let indices = shares.map(|share| share.index());
            let term = |index: usize| {
                threshold::lagrange(&indices, indices[index], 0) * shares[index].secret().expose()
            };
            let key = one.committee().unwrap().committee().key();
            assert_eq!(&Generator::G.mul(&(term(0) + term(1))), key.element().point());
        }
    }
}

fn concluded(world: &World, before: &Committee, messages: &[CeremonyMessage]) -> Option<SignedCommittee> {
    conclude(&world.plan, before, messages, &mut SystemRng::new()).unwrap()
}

/// The member's keys and shares after they have seen the ledger.
fn committed(secrets: &TrusteeSecrets, ledger: &[Vec<u8>]) -> TrusteeSecrets {
    let mut secrets = copy(secrets);
    secrets.commit(&history_of(ledger)).unwrap();
    secrets
}

#[test]
fn a_refresh_changes_nothing_before_its_committee_is_in_the_ledger() {
    let (world, _) = refreshing();
    let mut world = world.run(|message, _| vec![message.clone()]);
    let Ok(Some(signed)) = world.verdicts[0].clone() else { panic!() };
    for secrets in &mut world.secrets {
        assert_eq!(epoch(secrets), 1);
        assert_eq!(secrets.commit(&history_of(&world.ledger)).err(), Some(CeremonyError::Unlogged));
        assert_eq!(epoch(secrets), 1);
    }
    world.log(&signed);
    for secrets in &world.secrets {
        assert_eq!((epoch(secrets), secrets.plan()), (2, None));
        assert_eq!(secrets.committee(), Some(&signed));
    }
    // The old share and what led to the new one are gone.
    let sealed = world.secrets[0].encode();
    assert_eq!(
        TrusteeSecrets::decode(&sealed).unwrap().commit(&history_of(&world.ledger)).err(),
        Some(CeremonyError::Unlogged)
    );
}

#[test]
fn whatever_last_messages_are_lost_and_whoever_abandons_all_come_to_one_epoch() {
    // Bit by bit: which signature does not reach whom.
    for lost in 0u32..1 << 6 {
        let (world, before) = refreshing();
        let world = world.run(|message, to| {
            let others = (1..=3).filter(|index| *index != message.index()).position(|index| index == to);
            let bit = 2 * u32::from(message.index() - 1) + others.unwrap() as u32;
            let is_lost = message.round() == Round::Signature && lost & 1 << bit != 0;
            if is_lost { vec![] } else { vec![message.clone()] }
        });
        // What the first member heard is enough, if it has one signature besides its own.
        let all = together(&world.mailboxes);
        let heard = concluded(&world, &before, &world.mailboxes[0]);
        assert_eq!(heard.is_some(), lost & 0b010100 != 0b010100, "{lost:06b}");
        let signed = heard.or_else(|| concluded(&world, &before, &all)).unwrap();
        let mut ledger = world.ledger.clone();
        ledger.push(signed.to_bytes());
        for leaving in 0u32..1 << 3 {
            let left = |at: usize| {
                let mut secrets = copy(&world.secrets[at]);
                if leaving & 1 << at != 0 {
                    secrets.abandon().unwrap();
                }
                committed(&secrets, &ledger)
            };
            let all = [0, 1, 2].map(left);
            assert_eq!(all.each_ref().map(epoch), [2; 3]);
            if leaving == 0 || lost == 0 {
                assert_open(&all.each_ref());
            }
        }
    }
}

#[test]
fn whoever_is_killed_at_any_message_comes_to_the_epoch_of_the_others() {
    for victim in 0..3 {
        for died_at in 0..5 {
            for kept in [false, true] {
                let (mut world, _) = refreshing();
                let (mut messages, mut said, rng) = (Vec::new(), 0, &mut SystemRng::new());
                let mut finished = [false; 3];
                while finished != [true; 3] {
                    for (at, finished) in finished.iter_mut().enumerate() {
                        let before = copy(&world.secrets[at]);
                        match world.secrets[at].next(&messages, rng).unwrap() {
                            // The file was replaced or was not; the message did not leave.
                            Step::Publish(_) if at == victim && said == died_at => {
                                let sealed = if kept { &world.secrets[at] } else { &before };
                                world.secrets[at] = copy(sealed);
                                said += 1;
                            }
                            Step::Publish(message) => {
                                messages.push(message);
                                said += u32::from(at == victim);
                            }
                            Step::Finished(_) => *finished = true,
                            Step::Wait { missing, .. } => assert!(!missing.is_empty()),
                        }
                    }
                }
                let previous = world.signed().committee().clone();
                let signed = observe(&world.plan, Some(&previous), &messages, rng).unwrap().unwrap();
                world.log(&signed);
                assert_open(&world.secrets.iter().collect::<Vec<_>>());
            }
        }
    }
}

/// The third member is content before the first and complains before the second, who finds them at fault
/// and leaves. The third then logs what the first has signed.
#[test]
fn a_member_who_says_two_verdicts_does_not_part_the_others() {
    let (world, before) = refreshing();
    let key = world.key(3);
    let mut world = world.run(|message, to| match &message.content {
        Content::Verdict { heard, .. } if message.index() == 3 && to == 2 => {
            let content = Content::Verdict { heard: heard.clone(), complaint: Some([9; 32]) };
            vec![CeremonyMessage::sign(&key, message.context, 3, content)]
        }
        _ => vec![message.clone()],
    });
    assert!(matches!(world.verdicts[1], Err(CeremonyError::Culprits(_))), "{:?}", world.verdicts[1]);
    world.secrets[1].abandon().unwrap();
    // The first and the second go on without the third; the third is faster.
    let (trustees, rng) = (world.plan.trustees().clone(), &mut SystemRng::new());
    let next = CeremonyPlan::refresh(&before, trustees, vec![1, 2], rng).unwrap();
    world.secrets[0].abandon().unwrap();
    for secrets in &mut world.secrets[..2] {
        secrets.join(next.clone(), 2, rng).unwrap();
    }
    let mut messages = Vec::new();
    for _ in 0..6 {
        for secrets in &mut world.secrets[..2] {
            if let Step::Publish(message) = secrets.next(&messages, rng).unwrap() {
                messages.push(message);
            }
        }
    }
    let theirs = observe(&next, Some(&before), &messages, rng).unwrap().unwrap();
    let signed = concluded(&world, &before, &world.mailboxes[0]).unwrap();
    assert_eq!(signed.signers().collect::<Vec<_>>(), [1, 3]);
    // Whichever is logged first counts for both, and the other for nobody.
    for (first, second) in [(&signed, &theirs), (&theirs, &signed)] {
        let ledger = [&world.ledger[..], &[first.to_bytes(), second.to_bytes()]].concat();
        let both = [0, 1].map(|at| committed(&world.secrets[at], &ledger));
        for secrets in &both {
            assert_eq!(secrets.committee(), Some(first));
        }
        assert_open(&both.each_ref());
    }
}

#[test]
fn who_was_left_out_is_told_and_who_wavers_too_long_must_wait() {
    let mut world = World::new(2, 3).finish().refresh(vec![1, 2]).finish();
    let history = history_of(&world.ledger);
    assert_eq!(world.secrets[2].commit(&history).err(), Some(CeremonyError::LeftOut));
    assert_eq!(epoch(&world.secrets[2]), 1);
    let mut fresh = TrusteeSecrets::generate(&mut SystemRng::new());
    assert_eq!(fresh.commit(&history).err(), Some(CeremonyError::Idle));

    let rng = &mut SystemRng::new();
    // Eight times all are content, and nobody logs it.
    let mut world = World::new(2, 3).finish();
    for _ in 0..8 {
        world = world.refresh(vec![1, 2, 3]).run(|message, _| vec![message.clone()]);
        for secrets in &mut world.secrets {
            secrets.abandon().unwrap();
        }
    }
    let (committee, trustees) = (world.signed().committee().clone(), world.plan.trustees().clone());
    let plan = CeremonyPlan::refresh(&committee, trustees, vec![1, 2, 3], rng).unwrap();
    assert_eq!(world.secrets[0].join(plan.clone(), 2, rng), Err(CeremonyError::Undecided));
    let Ok(Some(last)) = world.verdicts[1].clone() else { panic!() };
    world.log(&last);
    assert_open(&world.secrets.iter().collect::<Vec<_>>());
}

/// A new key has nothing before it to lose. Who has signed it does not leave, and finishes whenever the
/// last message comes.
#[test]
fn who_has_signed_a_new_key_cannot_abandon_and_finishes_later() {
    let mut world = World::new(2, 3).run(|message, to| {
        let is_last = message.round() == Round::Signature && message.index() == 3;
        if is_last && to != 1 { vec![] } else { vec![message.clone()] }
    });
    assert_eq!(world.secrets[1].abandon(), Err(CeremonyError::Signed));
    assert!(world.secrets[1].share().is_none());
    let all = together(&world.mailboxes);
    let finished = world.secrets[1].next(&all, &mut SystemRng::new());
    assert!(matches!(finished, Ok(Step::Finished(_))));
    assert_open(&[&world.secrets[0], &world.secrets[1]]);
    // Before anything is signed a ceremony can be abandoned.
    let mut world = World::new(2, 3);
    world.secrets[0].abandon().unwrap();
    assert_eq!(world.secrets[0].plan(), None);
}
