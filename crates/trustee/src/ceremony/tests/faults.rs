//! One trustee breaks a rule: he is named, or there is no key.

use super::super::message::Content;
use super::super::rounds::possession;
use super::{Verdict, World, together};
use crate::ceremony::{CeremonyError, CeremonyMessage, Disagreement, Fault, Round, Step, observe};
use crate::sealing::{RecipientSecret, seal_share};
use curve25519_dalek::scalar::Scalar;
use unjoin_core::algebra::proof::prove;
use unjoin_core::algebra::{Element, Generator, threshold};
use unjoin_core::secret::{SecretBytes, SecretScalar, SystemRng};

const BAD: u16 = 2;

/// Everybody but the bad one names him for this.
fn assert_named(verdicts: &[Verdict], fault: Fault) {
    let named = Err(CeremonyError::Culprits(vec![(BAD, fault)]));
    for (index, verdict) in (1..).zip(verdicts) {
        assert!(index == BAD || *verdict == named, "{index}: {verdict:?}");
    }
}

/// The bad one's messages of this round reach everybody changed in the same way.
fn changed(world: World, round: Round, change: impl Fn(&mut Content)) -> World {
    let key = world.key(BAD);
    world.run(|message, _| {
        let mut message = message.clone();
        if message.index() == BAD && message.round() == round {
            change(&mut message.content);
            message = CeremonyMessage::sign(&key, message.context, BAD, message.content);
        }
        vec![message]
    })
}

fn worlds() -> [World; 2] {
    [World::new(3, 4), World::new(3, 4).finish().refresh(vec![1, 2, 3, 4])]
}

#[test]
fn a_bad_proof_of_possession_names_its_maker() {
    for world in worlds() {
        let world = changed(world, Round::Commitment, |content| {
            let Content::Commitment { possession, .. } = content else { panic!() };
            possession.responses[0] += Scalar::ONE;
        });
        assert_named(&world.verdicts, Fault::Possession);
        assert!(matches!(
            observe(
                &world.plan,
                world.secrets[0].committee().map(|s| s.committee()),
                &world.mailboxes[0],
                &mut SystemRng::new()
            ),
            Err(CeremonyError::Culprits(_))
        ));
    }
}

#[test]
fn copied_commitments_name_the_copier() {
    for world in worlds() {
        let key = world.key(BAD);
        let mut copied = None;
        // Trustee 1 speaks first; his commitments and his proof come again as the bad one's.
        let world = world.run(|message, _| {
            match (&message.content, message.index()) {
                (Content::Commitment { .. }, 1) => copied = Some(message.content.clone()),
                (Content::Commitment { .. }, BAD) => {
                    let content = copied.clone().unwrap();
                    return vec![CeremonyMessage::sign(&key, message.context, BAD, content)];
                }
                _ => {}
            }
            vec![message.clone()]
        });
        assert_named(&world.verdicts, Fault::Possession);
    }
}

#[test]
fn a_key_chosen_to_cancel_the_others_names_its_chooser() {
    let world = World::new(2, 3);
    let key = world.key(BAD);
    let mut others = None;
    let world = world.run(|message, _| {
        let mut message = message.clone();
        if let Content::Commitment { coefficients, .. } = &mut message.content {
            match (message.index, others) {
                (1, _) => others = Some(coefficients[0]),
                (BAD, Some(first)) => {
                    coefficients[0] = Element::from_point(coefficients[0].point() - first.point()).unwrap();
                    message = CeremonyMessage::sign(&key, message.context, BAD, message.content);
                }
                _ => {}
            }
        }
        vec![message]
    });
    assert_named(&world.verdicts, Fault::Possession);
}

#[test]
fn a_commitment_of_another_session_names_its_sender() {
    let mut other = World::new(3, 4);
    let rng = &mut SystemRng::new();
    let (plan, secrets) = (other.plan.clone(), other.secrets.iter().map(|s| s.for_another_key()).collect());
    other = other.finish();
    let old = together(&other.mailboxes);
    let replayed = old.iter().find(|m| m.index() == BAD && m.round() == Round::Commitment).unwrap();
    // Resigned for this session: the proof is not of it.
    let again = super::CeremonyPlan::key_generation(3, plan.trustees().clone(), rng).unwrap();
    let content = replayed.content.clone();
    let world = changed(World::of(secrets, again.clone()), Round::Commitment, |into| *into = content.clone());
    assert_named(&world.verdicts, Fault::Possession);
    // Replayed as they stand, old messages count for nothing.
    let secrets = other.secrets.iter().map(|s| s.for_another_key()).collect();
    let world = World::of(secrets, again).run(|message, _| {
        let mut delivered = old.clone();
        if message.index() != BAD {
            delivered.push(message.clone());
        }
        delivered
    });
    assert_eq!(world.verdicts[0], Ok(None));
}

#[test]
fn another_degree_names_its_chooser() {
    for longer in [false, true] {
        for world in worlds() {
            let world = changed(world, Round::Commitment, |content| {
                let Content::Commitment { coefficients, .. } = content else { panic!() };
                let top = coefficients.pop();
                coefficients.extend(top.into_iter().cycle().take(if longer { 2 } else { 0 }));
            });
            assert_named(&world.verdicts, Fault::Degree);
        }
    }
}

#[test]
fn an_unusable_recipient_key_names_its_sender() {
    // 0, 1, p - 1 and a point of order eight.
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let mut one = [0; 32];
    one[0] = 1;
    let eight = curve25519_dalek::constants::EIGHT_TORSION[1].to_montgomery().to_bytes();
    for bytes in [[0; 32], one, minus_one, eight] {
        let world = changed(World::new(2, 3), Round::Join, |content| {
            let Content::Join { recipient, .. } = content else { panic!() };
            *recipient = bytes;
        });
        assert_named(&world.verdicts, Fault::RecipientKey);
    }
}

#[test]
fn a_recipient_key_in_another_encoding_convicts_no_honest_sender() {
    let rng = &mut SystemRng::new();
    let mut world = World::new(2, 2);
    let (key, plan_digest) = (world.key(BAD), world.plan.digest());
    let mut messages = Vec::new();
    let mut honest = |messages: &mut Vec<CeremonyMessage>| {
        let Ok(Step::Publish(message)) = world.secrets[0].next(messages, rng) else { panic!("silent") };
        messages.push(message.clone());
        message
    };
    // X25519 masks the high bit: it is the same key, and what is sealed to it does not open.
    let secret = RecipientSecret::derive(&SecretBytes::new([7; 32]));
    let mut recipient = secret.public().unwrap();
    recipient[31] ^= 0x80;
    messages.push(CeremonyMessage::sign(&key, plan_digest, BAD, Content::Join { nonce: [1; 32], recipient }));
    let joined = honest(&mut messages);
    let Content::Join { recipient: theirs, .. } = &joined.content else { panic!() };
    let commitment = honest(&mut messages);
    let session = commitment.context;
    let polynomial = [Scalar::from(5u64), Scalar::from(6u64)];
    let coefficients: Vec<Element> =
        polynomial.iter().map(|c| Element::from_point(Generator::G.mul(c)).unwrap()).collect();
    let statement = possession(&session, BAD, &coefficients).unwrap();
    let possession = prove(&statement, [&polynomial[0]], &mut SystemRng::new());
    let content = Content::Commitment { coefficients, possession: Box::new(possession) };
    messages.push(CeremonyMessage::sign(&key, session, BAD, content));
    let heard = vec![commitment.digest(), messages.last().unwrap().digest()];
    let shares = honest(&mut messages);
    let share = SecretScalar::new(threshold::evaluate(&polynomial, 1));
    let sealed = seal_share(&share, theirs, &session, BAD, 1, &mut SystemRng::new()).unwrap();
    let content = Content::Shares { heard, sealed: vec![sealed] };
    messages.push(CeremonyMessage::sign(&key, session, BAD, content));
    let heard = vec![shares.digest(), messages.last().unwrap().digest()];
    honest(&mut messages);
    let content = Content::Verdict { heard, complaint: Some(secret.reveal()) };
    messages.push(CeremonyMessage::sign(&key, session, BAD, content));
    let named = CeremonyError::Culprits(vec![(BAD, Fault::FalseComplaint)]);
    assert_eq!(world.secrets[0].next(&messages, &mut SystemRng::new()).err(), Some(named));
}

#[test]
fn a_bad_share_to_one_names_its_sender() {
    for victim in [1, 3, 4] {
        for world in worlds() {
            let place = if victim < BAD { victim - 1 } else { victim - 2 };
            let world = changed(world, Round::Shares, |content| {
                let Content::Shares { sealed, .. } = content else { panic!() };
                sealed[usize::from(place)][40] ^= 1;
            });
            assert_named(&world.verdicts, Fault::Share(victim));
            assert!(world.secrets.iter().all(|s| s.share().is_none_or(|share| share.epoch() == 1)));
        }
    }
}

#[test]
fn a_share_off_the_polynomial_names_its_sender() {
    for world in worlds() {
        let key = world.key(BAD);
        let (mut recipient, mut forged) = (None, None);
        let world = world.run(|message, _| match &message.content {
            Content::Join { recipient: of, .. } if message.index == 3 => {
                recipient = Some(*of);
                vec![message.clone()]
            }
            Content::Shares { heard, sealed } if message.index == BAD => {
                let forge = || {
                    let (share, session) = (SecretScalar::new(Scalar::from(3u64)), message.context);
                    let mut sealed = sealed.clone();
                    let recipient = recipient.unwrap();
                    sealed[1] =
                        seal_share(&share, &recipient, &session, BAD, 3, &mut SystemRng::new()).unwrap();
                    let content = Content::Shares { heard: heard.clone(), sealed };
                    CeremonyMessage::sign(&key, session, BAD, content)
                };
                vec![forged.get_or_insert_with(forge).clone()]
            }
            _ => vec![message.clone()],
        });
        assert_named(&world.verdicts, Fault::Share(3));
    }
}

#[test]
fn too_few_shares_name_their_sender() {
    for world in worlds() {
        let world = changed(world, Round::Shares, |content| {
            let Content::Shares { sealed, .. } = content else { panic!() };
            sealed.pop();
        });
        assert_named(&world.verdicts, Fault::Incomplete(Round::Shares));
    }
    let world = changed(World::new(3, 4), Round::Verdict, |content| {
        let Content::Verdict { heard, .. } = content else { panic!() };
        heard.pop();
    });
    assert_named(&world.verdicts, Fault::Incomplete(Round::Verdict));
}

#[test]
fn a_false_complaint_names_the_complainer() {
    for world in worlds() {
        // With his true secret, which shows that all shares to him are good ...
        let truth = world.secrets[usize::from(BAD) - 1].recipient_of_ceremony().reveal();
        let world = changed(world, Round::Verdict, |content| {
            let Content::Verdict { complaint, .. } = content else { panic!() };
            *complaint = Some(truth);
        });
        assert_named(&world.verdicts, Fault::FalseComplaint);
    }
    for world in worlds() {
        // ... and with another one, with which nothing opens.
        let world = changed(world, Round::Verdict, |content| {
            let Content::Verdict { complaint, .. } = content else { panic!() };
            *complaint = Some([9; 32]);
        });
        assert_named(&world.verdicts, Fault::FalseComplaint);
    }
}

#[test]
fn a_bad_signature_on_the_result_names_its_maker() {
    for world in worlds() {
        let world = changed(world, Round::Signature, |content| {
            let Content::Signature { signature, .. } = content else { panic!() };
            signature[3] ^= 1;
        });
        assert_named(&world.verdicts, Fault::Signature);
    }
    let world = changed(World::new(2, 3), Round::Signature, |content| {
        let Content::Signature { statement, .. } = content else { panic!() };
        statement[3] ^= 1;
    });
    let point = Disagreement { round: Round::Signature, reporter: BAD, about: None };
    assert_eq!(world.verdicts[0], Err(CeremonyError::Disagreement(vec![point])));
}

/// Two versions of one message, each to half of the others.
fn equivocate(round: Round) -> World {
    let world = World::new(2, 4);
    let key = world.key(BAD);
    world.run(|message, to| {
        let mut message = message.clone();
        if message.index() == BAD && message.round() == round && to == 4 {
            match &mut message.content {
                Content::Join { nonce, .. } => nonce[0] ^= 1,
                Content::Commitment { coefficients, .. } => coefficients.truncate(1),
                Content::Shares { sealed, .. } => sealed[0][50] ^= 1,
                Content::Verdict { heard, .. } => heard[1][0] ^= 1,
                Content::Signature { signature, .. } => signature[0] ^= 1,
            }
            message = CeremonyMessage::sign(&key, message.context, BAD, message.content);
        }
        vec![message]
    })
}

#[test]
fn whoever_says_two_things_is_named_when_the_copies_come_together() {
    for round in [Round::Join, Round::Commitment, Round::Shares, Round::Verdict, Round::Signature] {
        let world = equivocate(round);
        assert!(!matches!(world.verdicts[3], Ok(Some(_))), "{round:?}");
        if round < Round::Signature {
            // Nobody finishes: the signatures of all are needed, and trustee 4 does not sign.
            assert!(world.verdicts.iter().all(|v| !matches!(v, Ok(Some(_)))), "{:?}", world.verdicts);
        }
        let all = together(&world.mailboxes);
        let named = vec![(BAD, Fault::Equivocation(round))];
        let seen = observe(&world.plan, None, &all, &mut SystemRng::new());
        assert_eq!(seen.err(), Some(CeremonyError::Culprits(named)), "{round:?}");
    }
}

#[test]
fn members_who_heard_different_shares_make_no_key() {
    let world = World::new(2, 4);
    let key = world.key(BAD);
    let world = world.run(|message, to| {
        let mut message = message.clone();
        if message.index() == BAD && message.round() == Round::Shares && to == 4 {
            let Content::Shares { sealed, .. } = &mut message.content else { panic!() };
            // Bad for trustee 3 only, and shown to trustee 4 only.
            sealed[1][50] ^= 1;
            message = CeremonyMessage::sign(&key, message.context, BAD, message.content);
        }
        vec![message]
    });
    for index in [0, 2] {
        let points = vec![Disagreement { round: Round::Shares, reporter: 4, about: Some(BAD) }];
        assert_eq!(world.verdicts[index], Err(CeremonyError::Disagreement(points)));
    }
}

#[test]
fn who_is_silent_is_named_and_there_is_no_key() {
    for round in [Round::Join, Round::Commitment, Round::Shares, Round::Verdict, Round::Signature] {
        let mut world =
            World::new(2, 3).run(|message, _| match message.index() == BAD && message.round() >= round {
                true => vec![],
                false => vec![message.clone()],
            });
        for at in [0, 2] {
            let step = world.secrets[at].next(&world.mailboxes[at], &mut SystemRng::new()).unwrap();
            let Step::Wait { round: waiting, missing } = step else { panic!("{round:?}: {step:?}") };
            assert_eq!((waiting, missing), (round, vec![BAD]));
            assert!(world.secrets[at].share().is_none());
        }
    }
}

#[test]
fn nobody_says_a_second_thing_whatever_he_is_shown() {
    let rng = &mut SystemRng::new();
    let world = World::new(2, 3);
    let key = world.key(BAD);
    let world = world.run(|message, _| match message.round() > Round::Shares {
        true => vec![],
        false => vec![message.clone()],
    });
    let mut first = world.secrets.into_iter().next().unwrap();
    let mailbox = &world.mailboxes[0];
    // Trustee 2's shares are swapped for others after trustee 1 has judged them.
    let swapped: Vec<CeremonyMessage> = mailbox
        .iter()
        .map(|message| match &message.content {
            Content::Shares { heard, sealed } if message.index == BAD => {
                let mut sealed = sealed.clone();
                sealed[0][50] ^= 1;
                let content = Content::Shares { heard: heard.clone(), sealed };
                CeremonyMessage::sign(&key, message.context, BAD, content)
            }
            _ => message.clone(),
        })
        .collect();
    let points = vec![Disagreement { round: Round::Shares, reporter: 1, about: Some(BAD) }];
    assert_eq!(first.next(&swapped, rng).err(), Some(CeremonyError::Disagreement(points)));
    // His own words come back changed.
    let forged: Vec<CeremonyMessage> = mailbox
        .iter()
        .map(|message| match &message.content {
            Content::Verdict { heard, .. } if message.index == 1 => {
                let content = Content::Verdict { heard: heard.clone(), complaint: Some([1; 32]) };
                CeremonyMessage::sign(first.identity(), message.context, 1, content)
            }
            _ => message.clone(),
        })
        .collect();
    assert_eq!(first.next(&forged, rng).err(), Some(CeremonyError::Impersonated(Round::Verdict)));
}

#[test]
fn what_others_sign_in_a_members_name_counts_for_nothing() {
    let stranger = unjoin_core::token::TrusteeKey::generate(&mut SystemRng::new());
    let world = World::new(2, 3).run(|message, _| {
        let forged = CeremonyMessage::sign(&stranger, message.context, BAD, message.content.clone());
        vec![forged.clone(), message.clone(), forged]
    });
    assert!(world.verdicts.iter().all(|verdict| matches!(verdict, Ok(Some(_)))));
}
