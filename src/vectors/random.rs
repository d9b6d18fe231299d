//! The statements of the protocol with random witnesses, through the wallet and the services'
//! verifiers: what is made verifies, and with anything else of its context it does not.

use super::*;
use proptest::prelude::*;
use unjoin_core::entry::Members;
use unjoin_core::token::{
    Accepted, EnrolmentContext, Grant, IssuerPublicKey, Offer, OrderHandle, PlatformKey, Presentation,
    PresentationCheck, Review, ReviewId, ReviewStanding, ReviewState, verify_batch,
};
use unjoin_trustee::same_author::{
    Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonContext, ComparisonShare,
};
use unjoin_trustee::{DecryptionShare, ShareContext, combine, insecure_test_dealer};
use unjoin_wallet::{AuthorRequest, Token, TrustRoots, Wallet};

/// An issuer with its trustees.
struct World {
    issuer_key: IssuerKey,
    committee: unjoin_trustee::Committee,
    shares: Vec<unjoin_trustee::TrusteeShare>,
    issuer: Name,
    trust: TrustRoots,
}

impl World {
    fn new(threshold: u16, trustees: u16) -> Self {
        let rng = &mut system();
        let issuer_key = IssuerKey::generate(rng);
        let (committee, shares) = insecure_test_dealer(threshold, trustees, rng).unwrap();
        let platform_key = PlatformKey::generate(rng);
        let trust = TrustRoots::new(platform_key.public(), 1, unjoin_core::Grid::Weekly)
            .pin(*issuer_key.public(), *committee.key())
            .unwrap();
        Self { issuer_key, committee, shares, issuer: Name::new("orders.example").unwrap(), trust }
    }

    fn token(&self, wallet: &Wallet, order: [u8; 16], merchant: &Name) -> Token {
        let rng = &mut system();
        let offer = Offer {
            handle: OrderHandle(order),
            scope: Scope::new(*self.issuer_key.public().id(), merchant.clone(), 7),
            issuer_key: *self.issuer_key.public(),
            escrow_key: *self.committee.key(),
        };
        let (pending, request) = wallet
            .request(&self.issuer, offer.scope.merchant(), offer.handle, &offer, &self.trust, rng)
            .unwrap();
        request.verify(&wallet.wallet_key(&self.issuer).unwrap(), rng).unwrap();
        let grant = Grant::issue(&self.issuer_key, request.scope(), request.commitment(), rng).unwrap();
        wallet.finish(pending, &grant, rng).unwrap()
    }

    fn present(&self, wallet: &Wallet, order: [u8; 16], review: &Review) -> Presentation {
        let token = self.token(wallet, order, &Name::new("merchant").unwrap());
        wallet.presentation(&token, review, &mut system()).unwrap()
    }
}

fn review(text: &str) -> Review {
    Review::new(1, text, vec![]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn an_enrolment_holds_in_its_own_context_only(
        [issuer, account] in any::<[[u8; 8]; 2]>(), nonce in any::<[u8; 32]>(),
    ) {
        let rng = &mut system();
        let (issuer, account) = (Name::new(issuer).unwrap(), Name::new(account).unwrap());
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
        let enrolment = Wallet::generate(rng).enrol(context, rng).unwrap();
        prop_assert!(enrolment.verify(context, rng).is_ok());
        let (other, other_nonce) = (Name::new("another").unwrap(), [!nonce[0]; 32]);
        for wrong in [
            EnrolmentContext { issuer: &other, ..context },
            EnrolmentContext { account: &other, ..context },
            EnrolmentContext { nonce: &other_nonce, ..context },
        ] {
            prop_assert!(enrolment.verify(wrong, rng).is_err());
        }
    }

    #[test]
    fn a_token_goes_its_way_and_nothing_of_it_fits_elsewhere(order in any::<[u8; 16]>(), text in ".{0,40}") {
        let (world, rng) = (World::new(2, 3), &mut system());
        let other = World::new(2, 3);
        let wallet = Wallet::generate(rng);
        let (written, edited) = (review(&text), review("edited"));
        let token = world.token(&wallet, order, &Name::new("merchant").unwrap());
        let presentation = wallet.presentation(&token, &written, rng).unwrap();
        let (key, escrow_key, digest) = (&world.issuer_key, world.committee.key(), written.digest());
        prop_assert_eq!(presentation.review_id(), wallet.review_id(&token).unwrap());
        prop_assert!(presentation.verify(key, escrow_key, &digest, rng).is_ok());
        prop_assert!(presentation.verify(&other.issuer_key, escrow_key, &digest, rng).is_err());
        prop_assert!(presentation.verify(key, other.committee.key(), &digest, rng).is_err());
        prop_assert!(presentation.verify(key, escrow_key, &edited.digest(), rng).is_err());

        let accepted = Accepted::prove(key, &presentation, &digest, rng);
        let public: &IssuerPublicKey = key.public();
        prop_assert!(accepted.verify(public, escrow_key, &presentation, &digest, rng).is_ok());
        prop_assert!(accepted.verify(other.issuer_key.public(), escrow_key, &presentation, &digest, rng).is_err());
        prop_assert!(accepted.verify_alone(public, &presentation, &edited.digest(), rng).is_err());
        let again = wallet.presentation(&token, &written, rng).unwrap();
        prop_assert_ne!(&again, &presentation);
        prop_assert_eq!((again.review_id(), again.escrow()), (presentation.review_id(), presentation.escrow()));
        prop_assert!(accepted.verify_alone(public, &again, &digest, rng).is_err());

        let id = presentation.review_id();
        let published_at = unjoin_core::Timestamp::from_unix_seconds(1_700_000_000);
        let standing = ReviewStanding::Published;
        let state =
            ReviewState { review_id: id, last_sequence: 0, digest_in_force: digest, standing, published_at };
        let edit = wallet.act(&token, &state, AuthorRequest::Edit(&edited), published_at, rng).unwrap().action;
        prop_assert!(edit.verify(presentation.author_key(), &id).is_ok());
        prop_assert_eq!(again.author_key(), presentation.author_key());
        let said = edit.statement();
        prop_assert!(said.continues(0, &digest));
        prop_assert!(!said.continues(1, &digest) && !said.continues(0, &edited.digest()));
        let another = world.present(&wallet, order.map(|byte| !byte), &written);
        prop_assert!(edit.verify(another.author_key(), &id).is_err());
        prop_assert!(edit.verify(presentation.author_key(), &another.review_id()).is_err());
    }

    #[test]
    fn a_batch_names_the_members_that_are_bad_alone(bad in prop::collection::vec(any::<bool>(), 1..7)) {
        let (worlds, rng) = ([World::new(1, 1), World::new(2, 2)], &mut system());
        let (written, other) = (review("written"), review("other").digest());
        let digest = written.digest();
        let members: Vec<_> = (0u8..).zip(&bad).map(|(position, is_bad)| {
            let world = &worlds[usize::from(position) % 2];
            let presentation = world.present(&Wallet::generate(rng), [position; 16], &written);
            (world, presentation, if *is_bad { &other } else { &digest })
        }).collect();
        let checks: Vec<_> = members.iter().map(|(world, presentation, review_digest)| PresentationCheck {
            presentation, key: &world.issuer_key, escrow_key: world.committee.key(), review_digest,
        }).collect();
        let expected: Vec<usize> = (0..bad.len()).filter(|position| bad[*position]).collect();
        let verdict = verify_batch(&checks, rng);
        prop_assert_eq!(verdict, if expected.is_empty() { Ok(()) } else { Err(expected) });
    }

    #[test]
    fn any_t_trustees_open_to_the_author_and_compare_authors(
        (t, n) in (1u16..5).prop_flat_map(|n| (1..=n, Just(n))), same in any::<bool>(), first in 0usize..4,
    ) {
        let (world, rng) = (World::new(t, n), &mut system());
        let authors = [Wallet::generate(rng), Wallet::generate(rng)];
        let written = review("written");
        let one = world.present(&authors[0], [1; 16], &written);
        let two = world.present(&authors[usize::from(!same)], [2; 16], &written);
        let mut trustees: Vec<_> = world.shares.iter().collect();
        trustees.rotate_left(first % usize::from(n));
        trustees.truncate(usize::from(t));

        let context = ShareContext {
            warrant_digest: [9; 32],
            review_id: one.review_id(),
            escrow: *one.escrow(),
        };
        let shares: Vec<DecryptionShare> = trustees.iter().map(|share| {
            DecryptionShare::answer(share, &world.committee, &context, rng).unwrap()
        }).collect();
        let opened = combine(&world.committee, &context, &shares, rng).unwrap();
        prop_assert_eq!(opened, authors[0].wallet_key(&world.issuer).unwrap());
        prop_assert!(combine(&world.committee, &context, &shares[1..], rng).is_err());
        for other in [
            ShareContext { warrant_digest: [8; 32], ..context },
            ShareContext { review_id: ReviewId([8; 32]), ..context },
            ShareContext { escrow: *two.escrow(), ..context },
        ] {
            prop_assert!(shares[0].verify(&world.committee, &other, rng).is_err());
        }

        let three = world.present(&authors[1], [3; 16], &written);
        let mut reviews = [&one, &two, &three].map(|review| (review.review_id(), *review.escrow()));
        reviews.sort_by_key(|(id, _)| *id);
        let reviews = ComparedReviews::new(reviews.into()).unwrap();
        let blinds: Vec<Blind> = trustees.iter().map(|share| {
            let factor = BlindingFactor::derive(share, &[9; 32], 1, &reviews, rng);
            Blind::new(share.index(), 1, &factor, &[9; 32], &reviews, rng).unwrap()
        }).collect();
        prop_assert!(blinds[0].verify(2, &[9; 32], &reviews, rng).is_err());
        prop_assert!(blinds[0].verify(1, &[8; 32], &reviews, rng).is_err());
        let members = Members::new(trustees.iter().map(|share| share.index())).unwrap();
        let round = CheckedRound::new(&world.committee, &[9; 32], 1, &reviews, members, &blinds, rng).unwrap();
        let shares: Vec<ComparisonShare> = trustees.iter().map(|share| {
            ComparisonShare::answer(share, &world.committee, round.context(), rng).unwrap()
        }).collect();
        for other in [
            ComparisonContext { warrant_digest: [8; 32], ..round.context().clone() },
            ComparisonContext { round_id: [8; 32], ..round.context().clone() },
            ComparisonContext { sums: vec![one.escrow().e1; 3], ..round.context().clone() },
        ] {
            prop_assert!(shares[0].verify(&world.committee, &other, rng).is_err());
        }
        prop_assert!(round.classes(&world.committee, &shares[1..], rng).is_err());
        let (second, alone) = if same { (one.review_id(), three.review_id()) } else { (three.review_id(), one.review_id()) };
        let mut expected = vec![vec![two.review_id(), second], vec![alone]];
        expected.iter_mut().for_each(|class| class.sort_unstable());
        expected.sort_unstable();
        let found = round.classes(&world.committee, &shares, rng).unwrap();
        prop_assert_eq!((found.authors, found.nobody), (expected, vec![]));
    }
}
