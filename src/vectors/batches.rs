//! Batches with bad members, and the same batches under weights that repeat: those would
//! fool the verifier, so the vectors show that independent weights are needed.

use super::*;
use unjoin_core::algebra::proof::BatchVerifier;
use unjoin_core::algebra::{EscrowKey, Generator};
use unjoin_core::token::{
    Digest, IssuerKey, Presentation, PresentationCheck, TokenRequest, verify_batch, verify_requests,
};

struct Batch {
    key: IssuerKey,
    members: Vec<(Presentation, EscrowKey, Digest)>,
}

impl Batch {
    fn of(case: &Value) -> Self {
        let member = |vector: &Value| {
            let escrow_key = EscrowKey::new(element(&vector["Y"]));
            assert_eq!(escrow_key.id(), &array(&vector["escrow_id"]));
            (message(&vector["wire"]), escrow_key, array(&vector["review_digest"]))
        };
        let key = issuer_key(&case["issuer_x"], [0; 32]);
        assert_eq!(key.public().element(), &element(&case["X"]));
        Self { key, members: list(&case["presentations"]).iter().map(member).collect() }
    }

    fn checks(&self) -> Vec<PresentationCheck<'_>> {
        let check = |(presentation, escrow_key, review_digest)| PresentationCheck {
            presentation,
            key: &self.key,
            escrow_key,
            review_digest,
        };
        self.members.iter().map(|(presentation, key, digest)| check((presentation, key, digest))).collect()
    }

    fn is_accepted_with(&self, weights: fn(usize) -> u8) -> bool {
        verify_batch(&self.checks(), &mut weighted(weights)).is_ok()
    }
}

/// Gives the n-th weight that a batch draws; a presentation draws four.
fn weighted(weights: fn(usize) -> u8) -> Draws<impl FnMut(&mut [u8])> {
    let mut drawn = 0..;
    Draws(move |to: &mut [u8]| {
        assert_eq!(to.len(), 16);
        to.fill(weights(drawn.next().unwrap()));
    })
}

/// One weight for all equations of a proof and its tag.
fn one_a_proof(drawn: usize) -> u8 {
    (drawn / 4) as u8 + 3
}

/// Four weights, the same four for every proof.
fn shared_by_proofs(drawn: usize) -> u8 {
    (drawn % 4) as u8 * 5 + 3
}

/// A weight of its own for everything.
fn independent(drawn: usize) -> u8 {
    (drawn * drawn) as u8 + 3
}

#[test]
fn every_bad_member_of_a_batch_is_named_and_no_other() {
    let file = load("batches.json");
    for case in cases(&file, 15) {
        let batch = Batch::of(case);
        let bad: Vec<usize> = list(&case["bad"]).iter().map(small).collect();
        let expected = if bad.is_empty() { Ok(()) } else { Err(bad.clone()) };
        assert_eq!(verify_batch(&batch.checks(), &mut system()), expected, "{}", case["description"]);
        for (position, (presentation, escrow_key, digest)) in batch.members.iter().enumerate() {
            let alone = presentation.verify(&batch.key, escrow_key, digest, &mut system());
            assert_eq!(alone.is_err(), bad.contains(&position), "{}", case["description"]);
        }
    }
}

/// One weight for everything, where the tags' errors come in with this sign: the rule that
/// the vectors are made against. Our own sum has one of the two signs.
fn accepts_naively(batch: &Batch, sign: Scalar) -> bool {
    let mut rng = weighted(|_| 7);
    let mut sum = BatchVerifier::new(&mut rng, batch.members.len());
    for (presentation, escrow_key, digest) in &batch.members {
        sum.add(&presentation.statement(batch.key.public(), escrow_key, digest), presentation.proof());
        let weight = sign * sum.weight();
        sum.element(weight, presentation.image());
        sum.element(-weight * batch.key.x(), presentation.tag());
    }
    sum.holds()
}

#[test]
fn repeated_weights_would_accept_what_cancels() {
    let file = load("batches.json");
    let (mut within, mut across) = (0, 0);
    for case in list(&file["cases"]) {
        let (batch, what) = (Batch::of(case), text(&case["description"]));
        let bad: Vec<usize> = list(&case["bad"]).iter().map(small).collect();
        assert_eq!(batch.is_accepted_with(independent), bad.is_empty(), "{what}");
        match text(&case["cancels"]) {
            "within" => {
                assert!(!batch.is_accepted_with(shared_by_proofs), "{what}");
                let fooled = [Scalar::ONE, -Scalar::ONE].map(|sign| accepts_naively(&batch, sign));
                assert!(fooled.contains(&true), "{what}");
                assert_eq!(fooled[0], batch.is_accepted_with(|_| 7), "{what}");
                within += 1;
            }
            "across" => {
                assert!(batch.is_accepted_with(shared_by_proofs), "{what}");
                assert!(!batch.is_accepted_with(one_a_proof), "{what}");
                across += 1;
            }
            _ => {
                assert_eq!(batch.is_accepted_with(one_a_proof), bad.is_empty(), "{what}");
                assert_eq!(batch.is_accepted_with(shared_by_proofs), bad.is_empty(), "{what}");
            }
        }
    }
    assert_eq!((within, across), (6, 2));
}

#[test]
fn every_bad_request_of_a_batch_is_named_and_no_other() {
    let file = load("requests.json");
    let cases = list(&file["cases"]);
    let requests: Vec<TokenRequest> = cases.iter().map(|case| message(&case["wire"])).collect();
    let keys: Vec<_> = cases.iter().map(|case| element(&case["U"])).collect();
    let good: Vec<_> = requests.iter().zip(keys.iter().copied()).collect();
    assert_eq!(verify_requests(&good, &mut system()), Ok(()));
    assert_eq!(verify_requests(&[], &mut system()), Ok(()));
    let stranger = Element::from_point(Generator::Gu.mul(&Scalar::from(5u64))).unwrap();
    for bad in [vec![0], vec![7], vec![2, 3, 6]] {
        let mut checks = good.clone();
        bad.iter().for_each(|at: &usize| checks[*at].1 = stranger);
        assert_eq!(verify_requests(&checks, &mut system()), Err(bad));
    }
}
