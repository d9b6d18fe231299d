//! The rounds of the protocol's test vectors, made again byte for byte.

use super::*;
use crate::{Committee, TrusteeShare};
use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;
use unjoin_core::algebra::{Element, Escrow, EscrowKey, decode_scalar};
use unjoin_core::entry::{Members, blind_commitment};
use unjoin_core::secret::{SecretScalar, SystemRng};
use unjoin_core::wire::Message;

struct Fixed(Vec<u8>);

impl TryRng for Fixed {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("bytes only")
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("bytes only")
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn bytes(value: &Value) -> Vec<u8> {
    let hex = value.as_str().unwrap();
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}
fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}
fn element(value: &Value) -> Element {
    Element::from_bytes(&array(value)).unwrap()
}
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
fn small(value: &Value) -> u16 {
    value.as_u64().unwrap() as u16
}
fn secret(value: &Value) -> SecretScalar {
    SecretScalar::new(decode_scalar(array(value)).unwrap())
}

#[test]
fn rounds_are_made_again_byte_for_byte() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/same_author.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rng = &mut SystemRng::new();
    assert_eq!(list(&file["cases"]).len(), 10);
    for case in list(&file["cases"]) {
        let shares = list(&case["Y_shares"]).iter().map(element).collect();
        let key = EscrowKey::new(element(&case["Y"]));
        let committee = Committee::new(small(&case["t"]), small(&case["epoch"]).into(), key, shares).unwrap();
        let review = |r: &Value| {
            (ReviewId(array(&r["review_id"])), Escrow { e1: element(&r["E1"]), e2: element(&r["E2"]) })
        };
        let reviews = ComparedReviews::new(list(&case["reviews"]).iter().map(review).collect()).unwrap();
        let (digest, round) = (array(&case["warrant_digest"]), small(&case["round"]));
        let mut blinds = Vec::new();
        for (vector, commitment) in list(&case["blinds"]).iter().zip(list(&case["commitments"])) {
            let factor = BlindingFactor::from_scalar(secret(&vector["z_secret"])).unwrap();
            let fresh = &mut Fixed(bytes(&vector["proof"]["fresh"]));
            let made = Blind::new(small(&vector["index"]), round, &factor, &digest, &reviews, fresh).unwrap();
            assert_eq!(made.to_bytes(), bytes(&vector["wire"]));
            assert_eq!(blind_commitment(&digest, &made.to_bytes()), array(commitment));
            blinds.push(made);
        }
        let members = Members::new(list(&case["members"]).iter().map(small)).unwrap();
        let checked = CheckedRound::new(&committee, &digest, round, &reviews, members, &blinds, rng).unwrap();
        assert_eq!(checked.context().round_id, array(&case["round_id"]));
        let mut shares = Vec::new();
        for vector in list(&case["shares"]) {
            let own = TrusteeShare::new(
                small(&vector["index"]),
                committee.epoch(),
                secret(&vector["proof"]["witnesses"]["y"]),
            );
            let fresh = &mut Fixed(bytes(&vector["proof"]["fresh"]));
            let made = ComparisonShare::answer(&own, &committee, checked.context(), fresh).unwrap();
            assert_eq!(made.to_bytes(), bytes(&vector["wire"]));
            shares.push(made);
        }
        let mut classes: Vec<Vec<ReviewId>> = list(&case["classes"])
            .iter()
            .map(|c| list(c).iter().map(|id| ReviewId(array(id))).collect())
            .collect();
        classes.sort_unstable();
        let mut found = checked.classes(&committee, &shares, rng).unwrap().authors;
        found.sort_unstable();
        assert_eq!(found, classes);
    }
}
