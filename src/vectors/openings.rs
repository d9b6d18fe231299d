//! Decryption shares, openings and same-author rounds, made again and combined.

use super::messages::check_hashing;
use super::*;
use curve25519_dalek::ristretto::RistrettoPoint;
use unjoin_core::algebra::{Escrow, EscrowKey, threshold};
use unjoin_core::entry::{Members, blind_commitment};
use unjoin_core::token::{Presentation, ReviewId};
use unjoin_trustee::same_author::{
    Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonContext, ComparisonShare,
};
use unjoin_trustee::{Committee, DecryptionShare, OpeningError, ShareContext, TrusteeShare, combine};

fn committee(case: &Value) -> Committee {
    let key = EscrowKey::new(element(&case["Y"]));
    assert_eq!(key.id(), &array(&case["escrow_id"]));
    Committee::new(small(&case["t"]), small(&case["epoch"]), key, elements(&case["Y_shares"])).unwrap()
}

/// Makes a share again, byte for byte, and checks it.
fn make_share(share: &Value, committee: &Committee, context: &ShareContext) -> DecryptionShare {
    let proof = &share["proof"];
    check_hashing(proof);
    let (index, epoch) = (small(&share["index"]), small(&share["epoch"]));
    assert_eq!(committee.verification_share(index), Some(&element(&share["Y_i"])));
    assert_eq!(context.review_id, ReviewId(array(&share["review_id"])));
    let own = TrusteeShare::new(index, epoch, secret(&proof["witnesses"]["y"]));
    let made = DecryptionShare::answer(&own, committee, context, &mut fresh(proof)).unwrap();
    assert_eq!(made.to_bytes(), bytes(&share["wire"]));
    assert_eq!(made.element(), &element(&share["D"]));
    made.verify(committee, context, &mut system()).unwrap();
    made
}

fn opening_context(case: &Value) -> ShareContext {
    ShareContext {
        warrant_digest: array(&case["warrant_digest"]),
        review_id: ReviewId(array(&case["review_id"])),
        escrow: Escrow { e1: element(&case["E1"]), e2: element(&case["E2"]) },
    }
}

fn point(share: &DecryptionShare) -> (u16, RistrettoPoint) {
    (share.index(), *share.element().point())
}

#[test]
fn openings() {
    let file = load("openings.json");
    for case in cases(&file, 4) {
        let (committee, context) = (committee(case), opening_context(case));
        let shares: Vec<DecryptionShare> =
            list(&case["shares"]).iter().map(|share| make_share(share, &committee, &context)).collect();
        assert_eq!(shares.len(), committee.verification_shares().len());
        for combined in list(&case["combined"]) {
            let pick = |indices: &Value| -> Vec<DecryptionShare> {
                list(indices).iter().map(|index| shares[small::<usize>(index) - 1].clone()).collect()
            };
            let used = pick(&combined["used"]);
            let indices: Vec<u16> = used.iter().map(DecryptionShare::index).collect();
            for (index, lambda) in indices.iter().zip(list(&combined["lambda"])) {
                assert_eq!(threshold::lagrange(&indices, *index, 0), scalar(lambda));
            }
            let points: Vec<_> = used.iter().map(point).collect();
            let decrypted = threshold::interpolate(&points, 0);
            assert_eq!(Element::from_point(decrypted), Some(element(&combined["yE1"])));
            let given = pick(&combined["indices"]);
            let opened = combine(&committee, &context, &given, &mut system()).unwrap();
            assert_eq!(opened, element(&combined["U"]));
            assert_eq!(opened, element(&case["U"]));
        }
    }
}

#[test]
fn shares_of_two_epochs_open_to_nobody_and_are_refused() {
    let file = load("openings.json");
    let (old, new) = (&file["cases"][0], &file["cases"][2]);
    let mixed: [DecryptionShare; 2] =
        [message(&old["shares"][0]["wire"]), message(&new["shares"][1]["wire"])];
    let decrypted = threshold::interpolate(&mixed.clone().map(|share| point(&share)), 0);
    let nobody = element(&old["E2"]).point() - decrypted;
    assert_eq!(Element::from_point(nobody), Some(element(&file["epochs_mixed"]["U"])));
    for (case, culprit) in [(old, 2), (new, 1)] {
        let refused = combine(&committee(case), &opening_context(case), &mixed, &mut system());
        assert_eq!(refused, Err(OpeningError::Culprits(vec![culprit])));
    }
}

fn compared(reviews: &Value) -> ComparedReviews {
    let review = |review: &Value| {
        let escrow = Escrow { e1: element(&review["E1"]), e2: element(&review["E2"]) };
        let id = ReviewId(array(&review["review_id"]));
        if let Some(wire) = review.get("presentation") {
            let presentation: Presentation = message(wire);
            assert_eq!((presentation.review_id(), presentation.escrow()), (id, &escrow));
        }
        (id, escrow)
    };
    ComparedReviews::new(list(reviews).iter().map(review).collect()).unwrap()
}

/// Makes a blind again, byte for byte, and checks it.
fn make_blind(vector: &Value, reviews: &ComparedReviews) -> Blind {
    let proof = &vector["proof"];
    check_hashing(proof);
    let (round, warrant) = (small(&vector["round"]), array(&vector["warrant_digest"]));
    let factor = BlindingFactor::from_scalar(secret(&vector["z_secret"])).unwrap();
    let made =
        Blind::new(small(&vector["index"]), round, &factor, &warrant, reviews, &mut fresh(proof)).unwrap();
    assert_eq!(made.to_bytes(), bytes(&vector["wire"]));
    made.verify(round, &warrant, reviews, &mut system()).unwrap();
    made
}

/// Makes a member's share of a round again, byte for byte, and checks it.
fn make_comparison(vector: &Value, committee: &Committee, context: &ComparisonContext) -> ComparisonShare {
    let proof = &vector["proof"];
    check_hashing(proof);
    let (index, epoch) = (small(&vector["index"]), small(&vector["epoch"]));
    assert_eq!(committee.verification_share(index), Some(&element(&vector["Y_i"])));
    let own = TrusteeShare::new(index, epoch, secret(&proof["witnesses"]["y"]));
    let made = ComparisonShare::answer(&own, committee, context, &mut fresh(proof)).unwrap();
    assert_eq!(made.to_bytes(), bytes(&vector["wire"]));
    assert_eq!(made.elements(), elements(&vector["D"]));
    made.verify(committee, context, &mut system()).unwrap();
    made
}

#[test]
fn same_author_rounds() {
    let file = load("same_author.json");
    for case in cases(&file, 10) {
        let (committee, reviews) = (committee(case), compared(&case["reviews"]));
        let (warrant, round) = (array(&case["warrant_digest"]), small(&case["round"]));
        let blinds: Vec<Blind> =
            list(&case["blinds"]).iter().map(|vector| make_blind(vector, &reviews)).collect();
        for (blind, commitment) in blinds.iter().zip(list(&case["commitments"])) {
            assert_eq!(blind_commitment(&warrant, &blind.to_bytes()), array(commitment));
        }
        let members = Members::new(list(&case["members"]).iter().map(small)).unwrap();
        let checked =
            CheckedRound::new(&committee, &warrant, round, &reviews, members, &blinds, &mut system());
        let checked = checked.unwrap();
        let context = checked.context();
        assert_eq!(context.round_id, array(&case["round_id"]));
        let sums = list(&case["sums"]);
        assert_eq!(context.sums, sums.iter().map(|sum| element(&sum["S1"])).collect::<Vec<_>>());

        let shares: Vec<ComparisonShare> =
            list(&case["shares"]).iter().map(|share| make_comparison(share, &committee, context)).collect();
        let used = &shares[..usize::from(committee.threshold())];
        let results = list(&case["W"]);
        assert_eq!(results.len(), sums.len());
        for (at, (sum, result)) in sums.iter().zip(results).enumerate() {
            let points: Vec<_> =
                used.iter().map(|share| (share.index(), *share.elements()[at].point())).collect();
            let decrypted = element(&sum["S2"]).point() - threshold::interpolate(&points, 0);
            assert_eq!(Element::from_point(decrypted), Some(element(result)));
        }
        let found = checked.classes(&committee, &shares, &mut system()).unwrap();
        assert!(found.nobody.is_empty());
        let mut expected: Vec<Vec<ReviewId>> = list(&case["classes"])
            .iter()
            .map(|class| list(class).iter().map(|id| ReviewId(array(id))).collect())
            .collect();
        expected.sort_unstable();
        assert_eq!(found.authors, expected);
    }
}

#[test]
fn rounds_of_as_many_reviews_as_there_may_be() {
    let file = load("same_author.json");
    let [blind, share] = list(&file["edge_cases"]) else { panic!("two") };
    let reviews = compared(&blind["reviews"]);
    assert_eq!(reviews.ids().count(), ComparedReviews::MAX);
    make_blind(blind, &reviews);

    let same = |case: &&Value| case["escrow_id"] == share["escrow_id"] && case["epoch"] == share["epoch"];
    let committee = committee(list(&file["cases"]).iter().find(same).unwrap());
    let context = ComparisonContext {
        warrant_digest: array(&share["warrant_digest"]),
        round_id: array(&share["round_id"]),
        sums: list(&share["sums"]).iter().map(|sum| element(&sum["S1"])).collect(),
    };
    assert_eq!(context.sums.len(), ComparedReviews::MAX);
    make_comparison(share, &committee, &context);
}
