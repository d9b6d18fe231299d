//! Decryption shares, openings and same-author rounds, made again and combined.

use super::messages::check_hashing;
use super::*;
use curve25519_dalek::ristretto::RistrettoPoint;
use unjoin_core::algebra::{Escrow, EscrowKey, threshold};
use unjoin_core::entry::WarrantAction;
use unjoin_core::token::{Presentation, ReviewId};
use unjoin_trustee::same_author::{Blind, BlindingFactor, CheckedRound, Pair, without_round};
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
    assert_eq!(context.subject, array(&share["review_id"]));
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
        action: WarrantAction::Open,
        subject: array(&case["review_id"]),
        escrow: Escrow { e1: element(&case["E1"]), e2: element(&case["E2"]) },
    }
}

fn point(share: &DecryptionShare) -> (u16, RistrettoPoint) {
    (share.index(), *share.element().point())
}

#[test]
fn openings() {
    let file = load("openings.json");
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), 4);
    for case in cases {
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

fn pair(case: &Value) -> Pair {
    let [a, b] = ["a", "b"].map(|side| {
        let (e1, e2) = (element(&case[format!("E1{side}")]), element(&case[format!("E2{side}")]));
        let (id, escrow) = (ReviewId(array(&case[format!("review_id_{side}")])), Escrow { e1, e2 });
        let presentation: Presentation = message(&case[format!("presentation_{side}")]);
        // A review compared without a round may be one that a vector invented.
        if case.get("round").is_some() {
            assert_eq!((presentation.review_id(), presentation.escrow()), (id, &escrow));
        }
        (id, escrow)
    });
    Pair::new(a, b).unwrap()
}

#[test]
#[ignore = "to be merged with the rounds' own vectors"]
fn same_author_rounds() {
    let file = load("same_author.json");
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), 5);
    for case in cases {
        let (committee, pair, warrant) = (committee(case), pair(case), array(&case["warrant_digest"]));
        let round = small(&case["round"]);
        assert_eq!(without_round(&pair), Ok(None));
        let mut blinds = Vec::new();
        for vector in list(&case["blinds"]) {
            let proof = &vector["proof"];
            check_hashing(proof);
            // 64 bytes are reduced: the factor itself, then zeros.
            let mut wide = bytes(&vector["z_secret"]);
            wide.resize(64, 0);
            let factor = BlindingFactor::random(&mut scripted([wide]));
            let rng = &mut fresh(proof);
            let made = Blind::new(small(&vector["index"]), round, &factor, &warrant, &pair, rng).unwrap();
            assert_eq!(made.to_bytes(), bytes(&vector["wire"]));
            made.verify(round, &warrant, &pair, &mut system()).unwrap();
            blinds.push(made);
        }
        let members: Vec<u16> = list(&case["members"]).iter().map(small).collect();
        let checked = CheckedRound::new(&committee, &warrant, round, &pair, &members, &blinds, &mut system());
        let checked = checked.unwrap();
        let context = checked.context();
        assert_eq!((context.escrow.e1, context.escrow.e2), (element(&case["V1"]), element(&case["V2"])));
        assert_eq!(context.subject, array(&case["round_id"]));

        let shares: Vec<DecryptionShare> =
            list(&case["shares"]).iter().map(|share| make_share(share, &committee, context)).collect();
        let points: Vec<_> = shares.iter().take(usize::from(committee.threshold())).map(point).collect();
        let residue = context.escrow.e2.point() - threshold::interpolate(&points, 0);
        assert_eq!(residue.compress().to_bytes(), array(&case["residue"]));
        let answer = checked.answer(&committee, &shares, &mut system()).unwrap();
        assert_eq!(answer, case["same"].as_bool().unwrap());
    }
}

#[test]
#[ignore = "to be merged with the rounds' own vectors"]
fn the_answer_is_public_where_the_first_parts_are_equal() {
    let file = load("same_author.json");
    let cases = list(&file["without_a_round"]);
    assert_eq!(cases.len(), 2);
    for case in cases {
        assert_eq!(without_round(&pair(case)), Ok(case["same"].as_bool()));
    }
}
