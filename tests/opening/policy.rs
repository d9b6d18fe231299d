//! Who may ask for what.

use crate::world::{GROUNDS, World, at, court, entry_of, key, name, officers, present};
use proptest::prelude::*;
use std::sync::LazyLock;
use unjoin::ledger::{NoteKey, WarrantAction};
use unjoin::opening::RecipientKey;
use unjoin::opening::warrant::{
    PresentedWarrant, Requester, Warrant, WarrantError, WarrantPolicy, WarrantTerms,
};
use unjoin::secret::SystemRng;
use unjoin::token::ReviewId;
use unjoin::wire::Message;
use unjoin_test_util::hex;

static RECIPIENT: LazyLock<[u8; 32]> =
    LazyLock::new(|| *RecipientKey::generate(&mut SystemRng::new()).public());

fn terms(requester: &str, action: WarrantAction, grounds: u16) -> WarrantTerms {
    let reviews = vec![ReviewId([1; 32]), ReviewId([2; 32])];
    WarrantTerms::new("case", name(requester), action, grounds, at(10)..=at(20), *RECIPIENT, reviews).unwrap()
}

fn signed(terms: WarrantTerms, officers: &[&NoteKey]) -> Warrant {
    let mut warrant = Warrant::draft(terms).unwrap();
    officers.iter().for_each(|officer| warrant.sign(officer).unwrap());
    warrant
}

fn good() -> Warrant {
    present(terms("court.example", WarrantAction::Open, GROUNDS)).warrant().clone()
}

fn policy() -> WarrantPolicy {
    WarrantPolicy::new(vec![court()]).unwrap()
}

#[test]
fn each_rule_has_its_own_refusal() {
    let (policy, [one, two, three]) = (policy(), officers());
    let open = |requester, grounds| terms(requester, WarrantAction::Open, grounds);
    assert_eq!(policy.check(&good(), at(15)), Ok(()));
    let both = [&one, &three];
    assert_eq!(policy.check(&signed(open("court.example", GROUNDS), &both), at(15)), Ok(()));
    let other = signed(open("mayor.example", GROUNDS), &both);
    assert_eq!(policy.check(&other, at(15)), Err(WarrantError::Requester));
    let grounds = signed(open("court.example", GROUNDS + 1), &both);
    assert_eq!(policy.check(&grounds, at(15)), Err(WarrantError::Grounds));
    let mut narrow = court();
    narrow.actions = vec![WarrantAction::SameAuthor];
    let narrow = WarrantPolicy::new(vec![narrow]).unwrap();
    assert_eq!(narrow.check(&good(), at(15)), Err(WarrantError::Action));
    // The first and the last second count.
    assert_eq!(policy.check(&good(), at(10)), Ok(()));
    assert_eq!(policy.check(&good(), at(20)), Ok(()));
    assert_eq!(policy.check(&good(), at(9)), Err(WarrantError::NotYetValid { not_before: at(10) }));
    assert_eq!(policy.check(&good(), at(21)), Err(WarrantError::NoLongerValid { not_after: at(20) }));

    let stranger = key("court.example/officer4", 4);
    // Fewer than k; one key twice; a stranger; the right key under another name.
    let renamed = key("court.example/other", 2);
    for few in [&[&one][..], &[&two, &two], &[&one, &stranger], &[&one, &renamed]] {
        let warrant = signed(open("court.example", GROUNDS), few);
        let refused = policy.check(&warrant, at(15));
        assert_eq!(refused, Err(WarrantError::TooFewSignatures { signed: 1, needed: 2 }));
    }
    // A stranger beside enough officers harms nothing.
    let warrant = signed(open("court.example", GROUNDS), &[&one, &stranger, &two]);
    assert_eq!(policy.check(&warrant, at(15)), Ok(()));
}

#[test]
fn a_line_that_claims_an_officer_and_does_not_verify_refuses() {
    // The third officer's signature is of another warrant: two good ones do not save it.
    let other = signed(terms("court.example", WarrantAction::SameAuthor, GROUNDS), &[&officers()[2]]);
    let bytes = [good().to_bytes(), other.note().lines()[0].to_string().into_bytes(), vec![b'\n']].concat();
    let warrant = Warrant::parse(&bytes).unwrap();
    assert_eq!(policy().check(&warrant, at(15)), Err(WarrantError::Signature));
}

#[test]
fn a_changed_line_is_not_what_was_signed() {
    let text = good().terms().text();
    let lines: Vec<&str> = text.lines().collect();
    let wider = terms("court.example", WarrantAction::Open, GROUNDS);
    let more = |reviews: Vec<ReviewId>, last: u64, recipient| {
        let (case, court, action) = (wider.case(), name("court.example"), wider.action());
        WarrantTerms::new(case, court, action, GROUNDS, at(10)..=at(last), recipient, reviews).unwrap()
    };
    let reviews = wider.reviews().to_vec();
    let mine = *RecipientKey::generate(&mut SystemRng::new()).public();
    let third = [reviews.clone(), vec![ReviewId([3; 32])]].concat();
    let replaced = vec![reviews[0], ReviewId([3; 32])];
    let changed = [
        more(third, 20, *RECIPIENT),
        more(replaced, 20, *RECIPIENT),
        more(reviews[..1].to_vec(), 20, *RECIPIENT),
        more(reviews.clone(), 21, *RECIPIENT),
        more(reviews, 20, mine),
        terms("court.example", WarrantAction::SameAuthor, GROUNDS),
        terms("court.example", WarrantAction::Open, GROUNDS - 1),
    ];
    let signatures = String::from_utf8(good().to_bytes()).unwrap();
    let signatures = signatures.split_once("\n\n").unwrap().1;
    for terms in changed {
        assert_ne!(terms.text().lines().collect::<Vec<_>>(), lines);
        let warrant = Warrant::parse(format!("{}\n{signatures}", terms.text()).as_bytes()).unwrap();
        assert_eq!(policy().check(&warrant, at(15)), Err(WarrantError::Signature));
    }
}

#[test]
fn a_policy_in_which_one_could_sign_for_two_is_refused() {
    let with = |change: &dyn Fn(&mut Requester)| {
        let mut requester = court();
        change(&mut requester);
        WarrantPolicy::new(vec![requester]).err()
    };
    let one = officers()[0].public().clone();
    let same_bytes = key("court.example/again", 1).public().clone();
    let same_name = key("court.example/officer1", 9).public().clone();
    for alike in [one.clone(), same_bytes, same_name] {
        assert_eq!(with(&|court| court.keys.push(alike.clone())), Some(WarrantError::Keys));
    }
    assert_eq!(with(&|court| court.needed = 0), Some(WarrantError::Quorum));
    assert_eq!(with(&|court| court.needed = 4), Some(WarrantError::Quorum));
    assert_eq!(with(&|court| court.keys.clear()), Some(WarrantError::Quorum));
    assert_eq!(with(&|court| court.actions.clear()), Some(WarrantError::Scope));
    assert_eq!(with(&|court| court.grounds.clear()), Some(WarrantError::Scope));
    assert_eq!(WarrantPolicy::new(vec![court(), court()]).err(), Some(WarrantError::Names));
    // Nor may one officer serve two requesters.
    let other = Requester { name: name("press.example"), keys: vec![one], needed: 1, ..court() };
    assert_eq!(WarrantPolicy::new(vec![court(), other]).err(), Some(WarrantError::Keys));
}

#[test]
fn the_commitment_hides_the_warrant_until_its_disclosure() {
    let (first, second) = (present(good().terms().clone()), present(good().terms().clone()));
    assert_eq!(first.warrant(), second.warrant());
    assert_ne!(first.commitment(), second.commitment());
    let review = first.terms().reviews()[0];
    assert_ne!(first.tag(&review), second.tag(&review));
    let entry = entry_of(&first);
    assert_eq!((entry.commitment(), entry.action()), (&first.commitment(), WarrantAction::Open));
    assert_eq!((entry.requester(), entry.tags()), (&b"court.example"[..], &first.tags()[..]));
    let disclosed = first.disclosure();
    assert_eq!(disclosed.commitment(), first.commitment());
    assert_eq!(disclosed.tag_of(&review), first.tag(&review));
}

#[test]
fn errors_name_no_review_and_no_case() {
    let world = World::new();
    let review = world.publish(&world.author("one"));
    let id = hex(review.presentation.review_id().as_bytes());
    let presented = world.warrant(WarrantAction::Open, &[&review]);
    let refused = policy().check(presented.warrant(), at(5_000)).unwrap_err();
    for shown in [refused.to_string(), format!("{refused:?}")] {
        assert!(!shown.contains(&id) && !shown.contains("Js"), "{shown}");
    }
}

proptest! {
    #[test]
    fn every_flipped_bit_refuses(flip: usize) {
        let presented = PresentedWarrant::with_blind(good(), [5; 32]);
        let mut bytes = presented.to_bytes();
        let bit = flip % (8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = PresentedWarrant::from_bytes(&bytes) {
            let holds = policy().check(read.warrant(), at(15)).is_ok();
            prop_assert!(!holds || read.commitment() != presented.commitment());
        }
    }
}
