//! Whoever has up to t - 1 trustees, the platform and the coordinator in hand wants a share that
//! decrypts what they chose.

use super::*;
use crate::EvidenceRefusal;
use crate::test_util::world::{CONSUMERS, officers};
use curve25519_dalek::scalar::Scalar;
use unjoin_core::algebra::{Escrow, Generator};
use unjoin_core::entry::{PublishedEntry, WarrantEntry};
use unjoin_core::token::{Accepted, Presentation};
use unjoin_log::LogView;

const MEMBERS: [u16; 3] = [1, 2, 3];

/// Three of four trustees, two reviews, and round 1 of all but the fourth.
fn panel() -> (Panel, RoundRequest) {
    let panel = Panel::new(3, 4, &[0, 1]);
    panel.log_round(1, MEMBERS);
    let request = panel.request(1);
    (panel, request)
}

#[test]
fn a_round_without_ones_own_blind_is_refused() {
    let (panel, request) = panel();
    panel.commit(&request, &MEMBERS);
    let mut blinds = panel.reveal(&request, &MEMBERS);
    assert_eq!(refusal(panel.compare(1, &request, &blinds[1..])), SameAuthorError::Members);
    let twice = [blinds[1].clone(), blinds[1].clone(), blinds[2].clone()];
    assert_eq!(refusal(panel.compare(1, &request, &twice)), SameAuthorError::Members);
    // A good blind, with the trustee's index, by somebody else.
    blinds[0] = panel.corrupt(1, &request).0;
    assert_eq!(refusal(panel.compare(1, &request, &blinds)), SameAuthorError::Uncommitted(vec![1]));
}

#[test]
fn a_commitment_that_somebody_else_logged_for_a_trustee_makes_the_round_useless() {
    let (panel, request) = panel();
    // Before the trustee has a blind of its own, and after.
    for asked_before in [false, true] {
        let round = if asked_before { 2 } else { 1 };
        let request = RoundRequest { round, ..request.clone() };
        log_round(&panel.world, &panel.presented, round, MEMBERS);
        if asked_before {
            appended(panel.ask(1, &request));
        }
        let (blind, entry) = panel.corrupt(1, &request);
        panel.world.log(&[entry]);
        panel.commit(&request, &[2, 3]);
        let blinds = [vec![blind], panel.reveal(&request, &[2, 3])].concat();
        assert_eq!(refusal(panel.ask(1, &request)), SameAuthorError::Foreign);
        assert_eq!(refusal(panel.compare(1, &request, &blinds)), SameAuthorError::Foreign);
    }
}

#[test]
fn a_replayed_blind_of_another_round_is_refused_and_its_member_named() {
    let (panel, request) = panel();
    let (replayed, _) = panel.corrupt(3, &request);
    let second = RoundRequest { round: 2, ..request };
    panel.log_round(2, MEMBERS);
    panel.commit(&second, &[1, 2]);
    panel.world.log(&[entry(&second, 3, &replayed)]);
    let blinds = [panel.reveal(&second, &[1, 2]), vec![replayed]].concat();
    let refused = refusal(panel.compare(1, &second, &blinds));
    assert_eq!(refused, SameAuthorError::Culprits(vec![3]));
}

#[test]
fn a_replayed_blind_of_another_warrant_is_refused() {
    let (panel, request) = panel();
    panel.commit(&request, &MEMBERS);
    let old = panel.reveal(&request, &MEMBERS);
    // The same text under another blind has the same digest: the old blinds hold.
    let same = PresentedWarrant::with_blind(panel.presented.warrant().clone(), [9; 32]);
    let terms = panel.world.terms(WarrantAction::SameAuthor, &[0, 1]);
    let recipient = *crate::RecipientKey::generate(&mut SystemRng::new()).public();
    let valid = terms.not_before()..=terms.not_after();
    let other = crate::warrant::WarrantTerms::new(
        "another case",
        terms.requester().clone(),
        terms.action(),
        terms.grounds(),
        valid,
        recipient,
        terms.reviews().to_vec(),
    );
    let other = panel.world.sign(other.unwrap());
    for (presented, victims_blind_holds) in [(same, true), (other, false)] {
        panel.world.log(&[panel.world.entry(&presented)]);
        panel.trustees.iter().for_each(|trustee| charge(&panel.world, trustee, &presented));
        log_round(&panel.world, &presented, 1, MEMBERS);
        let again = RoundRequest { presented, ..request.clone() };
        // Everybody else is as before; the victim has a factor of its own, and nobody else's.
        panel.commit(&again, &[1]);
        panel.world.log(&[entry(&again, 2, &old[1]), entry(&again, 3, &old[2])]);
        let blinds = [panel.reveal(&again, &[1]), old[1..].to_vec()].concat();
        let compared = panel.compare(1, &again, &blinds);
        assert_eq!(compared.is_ok(), victims_blind_holds);
        assert_eq!(refusal(panel.ask(2, &again)), SameAuthorError::Foreign);
        assert_eq!(
            refusal(panel.compare(2, &again, &blinds)).code(),
            if victims_blind_holds { "round.foreign" } else { "round.culprits" }
        );
    }
}

#[test]
fn nobody_reveals_before_all_are_bound() {
    let (panel, request) = panel();
    let (third, entry) = panel.corrupt(3, &request);
    let first = appended(panel.ask(1, &request));
    // Asked before it is logged, and again.
    assert_eq!(appended(panel.ask(1, &request)), first);
    panel.world.log(&[first]);
    panel.commit(&request, &[2]);
    for index in [1, 2] {
        assert_eq!(panel.ask(index, &request).unwrap(), RoundAnswer::Awaiting(vec![3]));
    }
    // Not even when it is appended: it must stand under a published checkpoint.
    panel.world.openings.append(&[entry]).unwrap();
    assert_eq!(panel.ask(1, &request).unwrap(), RoundAnswer::Awaiting(vec![3]));
    let early = [panel.corrupt(1, &request).0, panel.corrupt(2, &request).0, third.clone()];
    assert_eq!(refusal(panel.compare(1, &request, &early)), SameAuthorError::Awaiting(vec![3]));
    panel.world.publish();
    let blinds = [panel.reveal(&request, &[1, 2]), vec![third]].concat();
    panel.share(1, &request, &blinds);
}

#[test]
fn a_commitment_that_comes_after_a_reveal_counts_for_nothing() {
    let (panel, request) = panel();
    let (_, first) = panel.corrupt(3, &request);
    panel.world.log(&[first]);
    panel.commit(&request, &[1, 2]);
    let revealed = panel.reveal(&request, &[1, 2]);
    // Chosen in sight of the others.
    let (last, entry) = panel.corrupt(3, &request);
    panel.world.log(&[entry]);
    let blinds = [revealed, vec![last]].concat();
    assert_eq!(refusal(panel.compare(1, &request, &blinds)), SameAuthorError::Uncommitted(vec![3]));
}

#[test]
fn a_commitment_that_comes_before_its_round_counts_for_nothing() {
    let panel = Panel::new(3, 4, &[0, 1]);
    let request = panel.request(1);
    panel.world.log(&[panel.corrupt(3, &request).1]);
    panel.log_round(1, MEMBERS);
    panel.commit(&request, &[1, 2]);
    assert_eq!(panel.ask(1, &request).unwrap(), RoundAnswer::Awaiting(vec![3]));
}

#[test]
fn a_member_that_exchanges_its_blind_is_named() {
    let (panel, request) = panel();
    panel.commit(&request, &MEMBERS);
    let mut blinds = panel.reveal(&request, &MEMBERS);
    blinds[2] = panel.corrupt(3, &request).0;
    assert_eq!(refusal(panel.compare(1, &request, &blinds)), SameAuthorError::Uncommitted(vec![3]));
}

#[test]
fn an_escrow_crafted_from_anothers_is_no_review() {
    let mut world = World::new(1, 1, 2, budgets(9, 9, 9));
    let key = *world.secrets(1).committee().unwrap().committee().key();
    let rng = &mut SystemRng::new();
    // The difference would encrypt nothing but what the partner's author chose.
    let victim = *world.written[0].evidence.presentation.escrow();
    let own = &world.written[1].evidence.presentation;
    let r = Scalar::from(5u64);
    let crafted = Escrow {
        e1: Element::from_point(victim.e1.point() + Generator::G.mul(&r)).unwrap(),
        e2: Element::from_point(victim.e2.point() + key.element().point() * r).unwrap(),
    };
    let mut bytes = own.to_bytes();
    for (part, with) in [(own.escrow().e1, crafted.e1), (own.escrow().e2, crafted.e2)] {
        let at = bytes.windows(32).position(|window| window == part.as_bytes()).unwrap();
        bytes[at..at + 32].copy_from_slice(with.as_bytes());
    }
    let presentation = Presentation::from_bytes(&bytes).unwrap();
    assert_eq!(*presentation.escrow(), crafted);
    // The platform helps, and publishes it so.
    let review_digest = world.written[1].evidence.review_digest;
    let accepted = Accepted::prove(&world.issuer, &presentation, &review_digest, rng);
    let published = PublishedEntry {
        review_id: presentation.review_id(),
        review_digest,
        presentation_hash: presentation.hash(),
        author_key: *presentation.author_key(),
        scope: presentation.scope().clone(),
        boundary: crate::test_util::world::START,
    };
    world.reviews_log.append(&[published.to_bytes()]).unwrap();
    world.write(&[]);
    let published = world.reviews_log.evidence_of(&published.to_bytes()).unwrap().unwrap();
    world.written[1].evidence = crate::ReviewEvidence { presentation, accepted, review_digest, published };

    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    let presented = warrant(&world, &[0, 1]);
    let is_refused = |error| matches!(error, TrusteeError::Evidence(EvidenceRefusal::Proof(_)));
    assert!(is_refused(trustee.answer(&world.request(&presented, 1), &world.openings).unwrap_err()));
    log_round(&world, &presented, 1, [1]);
    assert!(is_refused(trustee.blind(&request(&world, &presented, 1), &world.openings).unwrap_err()));
}

#[test]
fn a_second_share_for_one_round_with_other_blinds_is_refused() {
    let (panel, request) = panel();
    panel.commit(&request, &MEMBERS);
    let blinds = panel.reveal(&request, &MEMBERS);
    // Nothing leaves before its entry stands under a published checkpoint.
    let entry = appended(panel.compare(1, &request, &blinds));
    assert_eq!(appended(panel.compare(1, &request, &blinds)), entry);
    panel.world.openings.append(std::slice::from_ref(&entry)).unwrap();
    assert_eq!(appended(panel.compare(1, &request, &blinds)), entry);
    panel.world.publish();
    let first = panel.share(1, &request, &blinds);
    let mut others = blinds.clone();
    others[2] = panel.corrupt(3, &request).0;
    assert_eq!(refusal(panel.compare(1, &request, &others)), SameAuthorError::Uncommitted(vec![3]));
    assert_eq!(refusal(panel.ask(1, &request)), SameAuthorError::Used);
    // Where a ledger was forked, so that both sets are committed to, the disk remembers.
    let trustee = panel.trustee(1);
    let key = trustee.rows.round(&panel.presented.commitment(), 1);
    assert_eq!(refusal(trustee.mark_used(&key, &blinds[0], [7; 32])), SameAuthorError::Used);
    // The very same blinds, in any order, give the very same share.
    let turned: Vec<Blind> = blinds.iter().rev().cloned().collect();
    for blinds in [&blinds, &turned] {
        let again = panel.share(1, &request, blinds);
        assert_eq!(panel.elements(&again), panel.elements(&first));
        assert_eq!(again.subject(), first.subject());
    }
}

#[test]
fn a_set_smaller_than_t_or_with_strangers_is_refused() {
    let (panel, request) = panel();
    for (round, members) in [(2, vec![1, 2]), (3, vec![1, 2, 9]), (4, vec![1])] {
        panel.log_round(round, members);
        let request = RoundRequest { round, ..request.clone() };
        assert_eq!(refusal(panel.ask(1, &request)), SameAuthorError::Members);
        assert_eq!(refusal(panel.compare(1, &request, &[])), SameAuthorError::Members);
    }
    let unlogged = RoundRequest { round: 5, ..request };
    assert_eq!(refusal(panel.ask(1, &unlogged)), SameAuthorError::NotLogged);
}

#[test]
fn a_rounds_members_cannot_be_exchanged() {
    let (panel, request) = panel();
    panel.commit(&request, &[1, 2]);
    panel.log_round(1, [1, 2, 4]);
    assert_eq!(refusal(panel.ask(4, &request)), SameAuthorError::NotMember);
    panel.world.log(&[panel.corrupt(4, &request).1]);
    assert_eq!(panel.ask(1, &request).unwrap(), RoundAnswer::Awaiting(vec![3]));
}

#[test]
fn a_round_is_of_all_reviews_of_its_warrant() {
    let panel = Panel::new(2, 2, &[0, 1, 2]);
    panel.log_round(1, [1, 2]);
    let request = panel.request(1);
    for reviews in [[0, 1, 1], [1, 0, 2]] {
        let reviews = reviews.map(|at: usize| request.reviews[at].clone()).to_vec();
        let other = RoundRequest { reviews, ..request.clone() };
        assert_eq!(refusal(panel.ask(1, &other)), SameAuthorError::Reviews);
    }
    let fewer = RoundRequest { reviews: request.reviews[1..].to_vec(), ..request.clone() };
    assert_eq!(refusal(panel.ask(1, &fewer)), SameAuthorError::Reviews);
    // A member who blinds another list, under the same warrant, is named.
    panel.commit(&request, &[1]);
    let rng = &mut SystemRng::new();
    let (digest, all) = (panel.digest(), reviews(&request));
    let of =
        |review: &crate::ReviewEvidence| (review.presentation.review_id(), *review.presentation.escrow());
    let two = ComparedReviews::new(request.reviews[1..].iter().map(of).collect()).unwrap();
    let secrets = panel.world.secrets(2);
    let factor = BlindingFactor::derive(secrets.share().unwrap(), &digest, 1, &all, rng);
    let bad = Blind::new(2, 1, &factor, &digest, &two, rng).unwrap();
    panel.world.log(&[entry(&request, 2, &bad)]);
    let blinds = [panel.reveal(&request, &[1]), vec![bad]].concat();
    assert_eq!(refusal(panel.compare(1, &request, &blinds)), SameAuthorError::Culprits(vec![2]));
}

#[test]
fn a_round_that_no_officer_signed_is_none_and_stalls_nothing() {
    let (panel, request) = panel();
    let second = RoundRequest { round: 2, ..request };
    let (commitment, members) = (panel.presented.commitment(), Members::new([4]).unwrap());
    let [junk, _] = officers(CONSUMERS);
    let junk = RoundEntry::sign(junk.signer(), OPENINGS, commitment, 2, members).unwrap();
    panel.world.log(&[junk.to_bytes()]);
    assert_eq!(refusal(panel.ask(1, &second)), SameAuthorError::NotLogged);
    panel.log_round(2, MEMBERS);
    appended(panel.ask(1, &second));
}

#[test]
fn an_entry_for_another_warrant_or_list_starts_no_round() {
    let world = World::new(1, 1, 2, budgets(9, 9, 9));
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    let presented = world.sign(world.terms(WarrantAction::SameAuthor, &[0, 1]));
    log_round(&world, &presented, 1, [1]);
    let request = request(&world, &presented, 1);
    let ask = || trustee.blind(&request, &world.openings).unwrap_err().code();
    assert_eq!(ask(), "trustee.not_logged");
    let (officer, requester) = (officer_of(&presented), presented.terms().requester().as_bytes().to_vec());
    let (commitment, tags) = (presented.commitment(), vec![[1; 32]]);
    let action = WarrantAction::SameAuthor;
    let entry = WarrantEntry::sign(officer.signer(), OPENINGS, commitment, requester, action, tags).unwrap();
    world.log(&[entry.to_bytes()]);
    assert_eq!(ask(), "trustee.entry_differs");
}
