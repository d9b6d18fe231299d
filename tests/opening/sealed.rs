//! A share reaches whom the warrant names, and nobody else.

use crate::world::{World, present};
use unjoin::ledger::WarrantAction;
use unjoin::opening::warrant::WarrantTerms;
use unjoin::opening::{OpeningError, RecipientKey, SealedShare};
use unjoin::secret::SystemRng;
use unjoin::wire::Message;

#[test]
fn a_sealed_share_opens_for_its_recipient_warrant_trustee_and_subject_alone() {
    let (world, rng) = (World::new(), &mut SystemRng::new());
    let (one, two) = (world.publish(&world.author("one")), world.publish(&world.author("two")));
    let presented = world.warrant(WarrantAction::Open, &[&one]);
    let (terms, share) = (presented.terms(), &world.shares(&presented, &one, &[2])[0].share);
    let subject = *one.presentation.review_id().as_bytes();
    let sealed = SealedShare::seal(share, terms, presented.commitment(), subject, rng).unwrap();
    assert_eq!(world.recipient.open(&sealed, terms).as_ref(), Ok(share));
    assert_eq!((sealed.index(), sealed.subject()), (2, &subject));
    assert_eq!(sealed.commitment(), &presented.commitment());
    assert_eq!(sealed.to_bytes().len(), 254);

    let other = RecipientKey::generate(rng);
    assert_eq!(other.open(&sealed, terms), Err(OpeningError::Sealed));
    // Another warrant, though of the same recipient.
    let wider = world.terms(WarrantAction::Open, &[&one, &two]);
    assert_eq!(world.recipient.open(&sealed, &wider), Err(OpeningError::Sealed));
    // Every byte is bound: index, commitment, subject, key, share.
    let bytes = sealed.to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let opened = SealedShare::from_bytes(&changed).map(|sealed| world.recipient.open(&sealed, terms));
        assert!(!matches!(opened, Ok(Ok(_))), "byte {at}");
    }
    // Nothing of the share is in what is sent.
    let shown = share.element().as_bytes();
    assert!(!bytes.windows(32).any(|window| window == shown));
}

#[test]
fn two_warrants_have_two_recipients() {
    let (world, rng) = (World::new(), &mut SystemRng::new());
    let review = world.publish(&world.author("one"));
    let terms = world.terms(WarrantAction::Open, &[&review]);
    let thief = RecipientKey::generate(rng);
    let (court, valid) = (terms.requester().clone(), terms.not_before()..=terms.not_after());
    let (action, reviews) = (terms.action(), terms.reviews().to_vec());
    let redirected =
        WarrantTerms::new(terms.case(), court, action, terms.grounds(), valid, *thief.public(), reviews);
    let (presented, redirected) = (present(terms.clone()), redirected.unwrap());
    let share = &world.shares(&presented, &review, &[1])[0].share;
    let subject = *review.presentation.review_id().as_bytes();
    let sealed = SealedShare::seal(share, &terms, presented.commitment(), subject, rng).unwrap();
    assert_eq!(thief.open(&sealed, &redirected), Err(OpeningError::Sealed));
    assert_eq!(thief.open(&sealed, &terms), Err(OpeningError::Sealed));
    assert_eq!(format!("{thief:?}"), "RecipientKey(..)");
}
