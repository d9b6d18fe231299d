//! Manifests, of `tests/vectors/manifests.py`: a second implementation of their bytes and signatures.

use super::*;
use unjoin_core::Timestamp;
use unjoin_core::token::{CohortManifest, PlatformKey, PublicationDates, SignedManifest};

#[test]
fn manifests_are_made_again_byte_for_byte() {
    let file = load("manifests.json");
    let key = PlatformKey::from_secret_bytes(&SecretBytes::new(array(&file["platform_seed"])));
    assert_eq!(key.public().as_bytes(), &array(&file["platform_key"]));
    for case in list(&file["manifests"]) {
        let dates: Vec<Timestamp> = list(&case["publications"])
            .iter()
            .map(|date| Timestamp::from_unix_seconds(text(date).parse().unwrap()))
            .collect();
        let cohort = text(&case["cohort"]).parse().unwrap();
        let manifest = CohortManifest {
            scope: Scope::new(array(&case["key_id"]), name(&case["merchant"]), cohort),
            escrow_id: array(&case["escrow_id"]),
            at_least: small(&case["at_least"]),
            publications: PublicationDates::new(&dates).unwrap(),
        };
        assert_eq!(manifest.to_bytes(), bytes(&case["wire"]));
        let signed = manifest.clone().sign(&key).unwrap();
        assert_eq!(signed.to_bytes(), bytes(&case["signed_wire"]));
        assert_eq!(message::<CohortManifest>(&case["wire"]), manifest);
        assert_eq!(message::<SignedManifest>(&case["signed_wire"]).verify(&key.public()), Ok(&manifest));
    }
}

#[test]
fn no_other_manifest_is_taken() {
    let file = load("manifests.json");
    let key = PlatformKey::from_secret_bytes(&SecretBytes::new(array(&file["platform_seed"]))).public();
    for case in list(&file["negative"]) {
        let (wire, id) = (bytes(&case["wire"]), text(&case["id"]));
        if case["kind"] == CohortManifest::KIND {
            assert!(CohortManifest::from_bytes(&wire).is_err(), "{id}");
            continue;
        }
        match SignedManifest::from_bytes(&wire) {
            Ok(signed) => assert!(case["stage"] == "verify" && signed.verify(&key).is_err(), "{id}"),
            Err(_) => assert_eq!(case["stage"], "parse", "{id}"),
        }
    }
}
