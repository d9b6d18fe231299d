//! An opening convinces offline, and with no part exchanged.

use crate::world::{OPENINGS, World, at, court, entry_of, flipped, key, name, officers, present};
use proptest::prelude::*;
use std::sync::LazyLock;
use unjoin::ledger::{NoteKey, PolicyError, WarrantAction, WarrantEntry};
use unjoin::opening::warrant::{WarrantError, WarrantPolicy};
use unjoin::opening::{AccountBinding, Opening, OpeningError, OpeningTrust, TrusteeSecrets};
use unjoin::secret::SystemRng;
use unjoin::token::Trustees;
use unjoin::wire::Message;

fn verify(world: &World, opening: &Opening) -> Result<unjoin::opening::Author, OpeningError> {
    opening.verify(&world.trust(), &mut SystemRng::new())
}

#[test]
fn an_opening_names_the_author_and_the_account() {
    let world = World::new();
    let author = world.author("one");
    let binding = world.binding(&author, "ann");
    let opening = world.open(&author);
    let named = verify(&world, &opening).unwrap();
    assert_eq!((named.wallet_key, named.account), (author.wallet_key(), None));
    let opening = opening.with_binding(binding);
    let read = Opening::from_bytes(&opening.to_bytes()).unwrap();
    assert_eq!(read, opening);
    let named = verify(&world, &read).unwrap();
    assert_eq!((named.wallet_key, named.account), (author.wallet_key(), Some(name("ann"))));
    for shown in [format!("{opening:?}"), format!("{:?}", verify(&world, &read))] {
        assert!(!shown.contains("ann") && !shown.contains("Element"), "{shown}");
    }
}

#[test]
fn an_opening_verifies_after_refreshes_of_the_shares() {
    let mut world = World::new();
    let author = world.author("one");
    world.refresh();
    world.refresh();
    let opening = world.open(&author);
    assert_eq!(opening.committees().len(), 3);
    assert_eq!(verify(&world, &opening).unwrap().wallet_key, author.wallet_key());

    let (review, presented) = (opening.review(), opening.warrant());
    let shares = || world.shares(presented, review, &[1, 2]);
    let with = |committees: &[usize]| {
        let committees = committees.iter().map(|at| world.committees[*at].clone()).collect();
        let logged = world.log_warrant(presented);
        let (warrant, review) = (presented.clone(), review.clone());
        let rng = &mut SystemRng::new();
        Opening::combine(warrant, logged, review, committees, shares(), &world.trust(), rng).map(drop)
    };
    assert_eq!(with(&[0, 1, 2]), Ok(()));
    for chain in [&[][..], &[2], &[1, 2], &[0, 2], &[0, 2, 1], &[0, 1, 1, 2], &[0, 0, 1, 2]] {
        assert_eq!(with(chain), Err(OpeningError::Committee), "{chain:?}");
    }
    // Shares of one epoch do not open under the committee of another.
    let culprits = OpeningError::Culprits(vec![1, 2]);
    assert_eq!(with(&[0, 1]), Err(culprits));
}

/// warrant, its entry, review, committees, shares, binding.
fn parts(opening: &Opening) -> [Vec<u8>; 6] {
    let bytes = opening.to_bytes();
    let mut rest = &bytes[2..];
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at(length);
        rest = left;
        taken.to_vec()
    };
    let length = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    let mut part = || {
        let prefix = take(2);
        let body = take(length(&prefix));
        [prefix, body].concat()
    };
    let (warrant, logged, review) = (part(), part(), part());
    let committees = 2 + opening.committees().iter().map(|one| 2 + one.to_bytes().len()).sum::<usize>();
    let committees = take(committees);
    let released = opening.shares().iter().map(|one| 134 + 2 + one.release.to_bytes().len()).sum::<usize>();
    let shares = take(2 + released);
    [warrant, logged, review, committees, shares, rest.to_vec()]
}

#[test]
fn an_opening_with_any_part_exchanged_is_refused() {
    let world = World::new();
    let opened = |text: &str| {
        let author = world.author(text);
        let binding = world.binding(&author, text);
        world.open(&author).with_binding(binding)
    };
    let (one, two) = (opened("one"), opened("two"));
    let (first, second) = (parts(&one), parts(&two));
    assert_eq!(first[3], second[3]);
    for mixture in 0..64u8 {
        let of = |part: usize| if mixture >> part & 1 == 0 { &first[part] } else { &second[part] };
        let bytes: Vec<u8> = [vec![1, 45], (0..6).flat_map(of).copied().collect()].concat();
        let mixed = Opening::from_bytes(&bytes).unwrap();
        let pure = mixture & !8 == 0 || mixture | 8 == 63;
        assert_eq!(verify(&world, &mixed).is_ok(), pure, "{mixture:06b}");
    }
}

#[test]
fn an_opening_has_one_to_256_committees_and_one_to_64_shares() {
    let world = World::new();
    let opening = world.open(&world.author("one"));
    let [warrant, logged, review, committees, shares, binding] = parts(&opening);
    let with = |committees: &[u8], shares: &[u8]| {
        let bytes = [&[1, 45][..], &warrant, &logged, &review, committees, shares, &binding].concat();
        Opening::from_bytes(&bytes)
            .map(|read| assert_eq!(read.to_bytes(), bytes))
            .map_err(|error| error.field)
    };
    let times = |part: &[u8], each: usize, count: u16| {
        [&count.to_le_bytes()[..], &part[2..2 + each].repeat(count.into())].concat()
    };
    let one_share = 134 + 2 + opening.shares()[0].release.to_bytes().len();
    let one_committee = committees.len() - 2;
    assert_eq!(with(&committees, &shares), Ok(()));
    assert_eq!(with(&times(&committees, one_committee, 256), &times(&shares, one_share, 64)), Ok(()));
    assert_eq!(with(&times(&committees, one_committee, 257), &shares), Err("committees"));
    assert_eq!(with(&committees, &times(&shares, one_share, 65)), Err("shares"));
    assert_eq!(with(&times(&committees, one_committee, 0), &shares), Err("committees"));
    assert_eq!(with(&committees, &times(&shares, one_share, 0)), Err("shares"));
}

#[test]
fn every_culprit_is_named_and_nothing_is_opened() {
    let world = World::new();
    let (one, two) = (world.publish(&world.author("one")), world.publish(&world.author("two")));
    let presented = world.warrant(WarrantAction::Open, &[&one, &two]);
    let good = world.shares(&presented, &one, &[1, 2, 3]);
    // Right for the other review of the very same warrant.
    let bad = world.shares(&presented, &two, &[1, 3]);
    let named = |shares| match world.combine(&presented, &one, shares) {
        Err(OpeningError::Culprits(indices)) => indices,
        other => panic!("{other:?}"),
    };
    assert_eq!(named(vec![bad[1].clone(), good[1].clone(), bad[0].clone()]), [1, 3]);
    assert_eq!(named(vec![good[0].clone(), good[0].clone(), good[2].clone()]), [1]);
    // A share under another warrant on the same review is a bad one, too.
    let elsewhere = world.shares(&world.warrant(WarrantAction::Open, &[&one]), &one, &[2]);
    assert_eq!(named(vec![good[0].clone(), elsewhere[0].clone()]), [2]);
    let few = world.combine(&presented, &one, good[..1].to_vec());
    assert_eq!(few.err(), Some(OpeningError::TooFew));
    // More than enough: t of them are kept, whichever.
    let opening = world.combine(&presented, &one, good.into_iter().rev().collect()).unwrap();
    assert_eq!(opening.shares().len(), 2);
    assert!(verify(&world, &opening).is_ok());
}

#[test]
fn a_warrant_for_another_review_or_another_end_opens_nothing() {
    let world = World::new();
    let (one, two) = (world.publish(&world.author("one")), world.publish(&world.author("two")));
    let presented = world.warrant(WarrantAction::Open, &[&one]);
    let replayed = world.combine(&presented, &two, world.shares(&presented, &two, &[1, 2]));
    assert_eq!(replayed.err(), Some(OpeningError::OtherReview));
    let compared = world.warrant(WarrantAction::SameAuthor, &[&one, &two]);
    let unmasked = world.combine(&compared, &one, world.shares(&compared, &one, &[1, 2]));
    assert_eq!(unmasked.err(), Some(OpeningError::Action));
}

#[test]
fn the_warrant_must_have_been_valid_when_the_ledger_shows_it() {
    let world = World::new();
    let review = world.publish(&world.author("one"));
    let terms = world.terms(WarrantAction::Open, &[&review]);
    let later = unjoin::opening::warrant::WarrantTerms::new(
        terms.case(),
        terms.requester().clone(),
        terms.action(),
        terms.grounds(),
        at(100)..=at(200),
        *terms.recipient(),
        terms.reviews().to_vec(),
    );
    let presented = present(later.unwrap());
    let open = || world.combine(&presented, &review, world.shares(&presented, &review, &[1, 2])).err();
    let early = WarrantError::NotYetValid { not_before: at(100) };
    assert_eq!(open(), Some(OpeningError::Warrant(early)));
    world.clock.set(at(150));
    assert_eq!(open(), None);
    world.clock.set(at(201));
    let late = WarrantError::NoLongerValid { not_after: at(200) };
    assert_eq!(open(), Some(OpeningError::Warrant(late)));
}

#[test]
fn the_entry_must_be_this_warrants_under_this_blind() {
    let world = World::new();
    let review = world.publish(&world.author("one"));
    let presented = world.warrant(WarrantAction::Open, &[&review]);
    let again = present(presented.terms().clone());
    let with = |logged| {
        let (warrant, review, committees) = (presented.clone(), review.clone(), world.committees.clone());
        let shares = world.shares(&presented, &review, &[1, 2]);
        let rng = &mut SystemRng::new();
        Opening::combine(warrant, logged, review, committees, shares, &world.trust(), rng).err()
    };
    assert_eq!(with(world.log_warrant(&again)), Some(OpeningError::OtherEntry));
    // The same charged as less, of fewer reviews, of nobody's officer, and signed for another ledger.
    let (officer, stranger) = (&officers()[0], key("stranger.example", 77));
    let signed = |signer: &NoteKey, origin, action, tags| {
        let requester = presented.terms().requester().as_bytes().to_vec();
        let commitment = presented.commitment();
        let entry = WarrantEntry::sign(signer.signer(), origin, commitment, requester, action, tags);
        world.append(&world.openings, entry.unwrap().to_bytes())
    };
    let (open, tags) = (WarrantAction::Open, presented.tags());
    for logged in [
        signed(officer, OPENINGS, WarrantAction::SameAuthor, tags.clone()),
        signed(officer, OPENINGS, open, vec![[7; 32]]),
        signed(&stranger, OPENINGS, open, tags.clone()),
        signed(officer, "shop.example/other", open, tags),
    ] {
        assert_eq!(with(logged), Some(OpeningError::OtherEntry));
    }
    let logged = world.append(&world.reviews, entry_of(&presented).to_bytes());
    assert!(matches!(with(logged), Some(OpeningError::Log(PolicyError::Note(_)))));
    assert_eq!(with(world.log_warrant(&presented)), None);
}

#[test]
fn who_trusts_others_is_not_convinced() {
    let (world, stranger, rng) = (World::new(), World::new(), &mut SystemRng::new());
    let opening = world.open(&world.author("one"));
    let trust = world.trust();
    assert!(opening.verify(&trust, rng).is_ok());
    let secrets: Vec<_> = (0..3).map(|_| TrusteeSecrets::generate(rng)).collect();
    let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).unwrap();
    let refused = opening.verify(&OpeningTrust { trustees: &trustees, ..trust }, rng);
    assert_eq!(refused, Err(OpeningError::Committee));
    let mut strict = court();
    strict.needed = 3;
    let press = unjoin::opening::warrant::Requester { name: name("press"), ..court() };
    // Nobody's officer announced it, as far as they know; or too few have signed.
    for (requesters, code) in [
        (vec![], "opening.other_entry"),
        (vec![press], "opening.other_entry"),
        (vec![strict], "opening.warrant"),
    ] {
        let requesters = WarrantPolicy::new(requesters).unwrap();
        let refused = opening.verify(&OpeningTrust { requesters: &requesters, ..trust }, rng);
        assert_eq!(refused.unwrap_err().code(), code);
    }
    let refused = opening.verify(&OpeningTrust { issuers: &stranger.issuers, ..trust }, rng);
    assert!(matches!(refused, Err(OpeningError::Review(_))));
    let refused = opening.verify(&OpeningTrust { reviews: trust.openings, ..trust }, rng);
    assert!(matches!(refused, Err(OpeningError::Review(_))));
    let refused = opening.verify(&OpeningTrust { openings: trust.reviews, ..trust }, rng);
    assert!(matches!(refused, Err(OpeningError::Log(_))));
}

#[test]
fn an_account_is_named_only_with_the_entry_that_enrolled_its_wallet() {
    let world = World::new();
    let (ann, ben) = (world.author("one"), world.author("two"));
    let (binding, of_ben) = (world.binding(&ann, "ann"), world.binding(&ben, "ben"));
    let opening = world.open(&ann);
    let named = |binding| verify(&world, &opening.clone().with_binding(binding)).map(|author| author.account);
    assert_eq!(named(binding.clone()), Ok(Some(name("ann"))));
    let framed = AccountBinding { account: name("ben"), ..binding.clone() };
    assert_eq!(named(framed), Err(OpeningError::Binding));
    let blind = AccountBinding { blind: [8; 32], ..binding.clone() };
    assert_eq!(named(blind), Err(OpeningError::Binding));
    assert_eq!(named(of_ben), Err(OpeningError::Binding));
    // The right commitment in an entry of another kind, or of another ledger.
    let entry = entry_of(opening.warrant());
    let other =
        AccountBinding { entry: world.cosigned(&world.openings, &entry.to_bytes()), ..binding.clone() };
    assert_eq!(named(other), Err(OpeningError::Binding));
    let bytes = binding.entry.claimed_entry().to_vec();
    let other = AccountBinding { entry: world.append(&world.reviews, bytes), ..binding };
    assert!(matches!(named(other), Err(OpeningError::Log(_))));
}

#[test]
fn what_is_bound_after_the_warrant_names_nobody() {
    let world = World::new();
    let author = world.author("one");
    let opening = world.open(&author);
    for account in ["ann", "bob"] {
        let late = opening.clone().with_binding(world.binding(&author, account));
        assert_eq!(verify(&world, &late).err(), Some(OpeningError::BoundLate));
    }
}

#[test]
fn a_share_that_its_trustee_did_not_announce_opens_nothing() {
    let world = World::new();
    let (one, two) = (world.publish(&world.author("one")), world.publish(&world.author("two")));
    let presented = world.warrant(WarrantAction::Open, &[&one, &two]);
    let other = world.warrant(WarrantAction::Open, &[&one]);
    let (first, second) = (one.presentation.review_id(), two.presentation.review_id());
    // Announced before the warrant: so long as nobody could know of it, nobody was asked.
    let early = world.release(&presented, &first, 2, &world.openings);
    let good = world.shares(&presented, &one, &[1, 3]);
    world.log_warrant(&other);
    let with = |release| {
        let mut shares = world.shares(&presented, &one, &[1, 2]);
        shares[1].release = release;
        world.combine(&presented, &one, shares).err()
    };
    let refused = Some(OpeningError::Release { trustee: 2 });
    assert_eq!(with(early), refused);
    assert_eq!(with(good[1].release.clone()), refused, "another trustee's");
    assert_eq!(with(world.release(&presented, &second, 2, &world.openings)), refused, "another review's");
    assert_eq!(with(world.release(&other, &first, 2, &world.openings)), refused, "another warrant's");
    let elsewhere = world.release(&presented, &first, 2, &world.reviews);
    let copied = world.append(&world.openings, elsewhere.claimed_entry().to_vec());
    assert_eq!(with(copied), refused, "signed for another ledger");
    assert!(matches!(with(elsewhere), Some(OpeningError::Log(_))));
    assert_eq!(with(world.log_warrant(&presented)), refused, "an entry of another kind");
    assert_eq!(world.combine(&presented, &one, good).err(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_flipped_bit_refuses(flips in proptest::collection::vec(any::<usize>(), 8)) {
        static WORLD: LazyLock<(World, Vec<u8>)> = LazyLock::new(|| {
            let world = World::new();
            let author = world.author("one");
            let binding = world.binding(&author, "ann");
            let opening = world.open(&author).with_binding(binding);
            (world, opening.to_bytes())
        });
        let (world, bytes) = &*WORLD;
        let holds = |bytes: &[u8]| Opening::from_bytes(bytes).is_ok_and(|read| verify(world, &read).is_ok());
        prop_assert_eq!(flips.into_iter().find(|flip| holds(&flipped(bytes, *flip))), None);
    }
}
