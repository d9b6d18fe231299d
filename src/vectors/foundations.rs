//! What the messages are made of: generators, encodings, hashes, scopes, the wallet's
//! derivation, and the trustees' polynomials.

use super::*;
use curve25519_dalek::ristretto::RistrettoPoint;
use unjoin_core::algebra::transcript::{Transcript, hash_to_group, hash_to_scalar, hash32, push_frame};
use unjoin_core::algebra::{EscrowKey, Generator, threshold};
use unjoin_core::token::{IssuerPublicKey, OrderHandle, OrderHandleKey, ReviewId, binding_commitment};
use unjoin_trustee::Committee;
use unjoin_wallet::derive;

fn encoding(point: RistrettoPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

#[test]
fn generators() {
    let file = load("generators.json");
    assert_eq!(encoding(*Generator::G.point()), array(&file["G"]));
    let ours = [
        ("0", Generator::G0),
        ("u", Generator::Gu),
        ("s", Generator::Gs),
        ("b", Generator::Gb),
        ("m", Generator::Gm),
    ];
    let theirs = list(&file["generators"]);
    assert_eq!(theirs.len(), ours.len());
    for ((name, generator), vector) in ours.into_iter().zip(theirs) {
        assert_eq!(name, text(&vector["name"]));
        let hash = Transcript::new(&["generator"]).item(name.as_bytes()).finish();
        assert_eq!(hash, array(&vector["hash"]));
        assert_eq!(encoding(*generator.point()), array(&vector["point"]));
    }
}

#[test]
fn encodings() {
    let file = load("encodings.json");
    let (elements, scalars) = (&file["elements"], &file["scalars"]);
    for accepted in list(&elements["accepted"]) {
        let bytes = array(accepted);
        let element = Element::from_bytes(&bytes).expect("an element");
        assert_eq!((element.as_bytes(), encoding(*element.point())), (&bytes, bytes));
    }
    for refused in list(&elements["refused"]) {
        assert_eq!(Element::from_bytes(&array(&refused["bytes"])), None, "{}", refused["reason"]);
    }
    for accepted in list(&scalars["accepted"]) {
        assert_eq!(scalar(accepted).to_bytes(), array(accepted));
    }
    for refused in list(&scalars["refused"]) {
        assert_eq!(decode_scalar(array(refused)), None);
    }
    let counts = [elements, scalars].map(|of| (list(&of["accepted"]).len(), list(&of["refused"]).len()));
    assert_eq!(counts, [(15, 32), (4, 6)]);
}

#[test]
fn hashes() {
    let file = load("hash.json");
    for case in cases(&file, 10) {
        let items: Vec<Vec<u8>> = list(&case["items"]).iter().map(bytes).collect();
        let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        let label = text(&case["label"]);
        let whole = items.iter().fold(Transcript::new(&[label]), |hash, item| hash.item(item)).finish();
        assert_eq!(whole, array(&case["H"]));
        assert_eq!(hash32(label, &items), array(&case["H32"]));
        assert_eq!(hash_to_scalar(label, &items), scalar(&case["H2S"]));
        assert_eq!(encoding(hash_to_group(label, &items)), array(&case["H2G"]));
        // A label in parts is the label, and items may come framed.
        if let Some((first, rest)) = label.split_at_checked(2) {
            let mut frames = Vec::new();
            items.iter().for_each(|item| push_frame(&mut frames, item));
            assert_eq!(Transcript::new(&[first, rest]).framed(&frames).finish(), whole);
        }
    }
    for case in list(&file["wide_reduction"]) {
        assert_eq!(Scalar::from_bytes_mod_order_wide(&array(&case["bytes"])), scalar(&case["scalar"]));
    }
    for case in list(&file["one_way_map"]) {
        let point = RistrettoPoint::from_uniform_bytes(&array(&case["bytes"]));
        assert_eq!(encoding(point), array(&case["point"]));
    }
    for case in list(&file["framing"]) {
        let mut frame = Vec::new();
        push_frame(&mut frame, &bytes(&case["bytes"]));
        assert_eq!(frame, bytes(&case["frame"]));
    }
}

#[test]
fn named_hashes() {
    let file = load("hash.json");
    let named = list(&file["named"]);
    for case in named {
        let items = list(&case["items"]);
        let item = |index: usize| &items[index]["value"];
        let expected: [u8; 32] = array(&case["H32"]);
        let label = text(&case["label"]);
        let parts: Vec<Vec<u8>> = items.iter().map(|item| bytes(&item["value"])).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(hash32(label, &parts), expected, "{label}");
        let ours = match label {
            "issuer-key" => *IssuerPublicKey::new(element(item(0))).id(),
            "escrow-key" => *EscrowKey::new(element(item(0))).id(),
            "review-id" => *ReviewId::new(&scope(item(0)), &scalar(item(1))).as_bytes(),
            "binding" => binding_commitment(&name(item(0)), &element(item(1)), &array(item(2))),
            "wallet/a" => {
                let (seed, handle) = (SecretBytes::new(array(item(0))), OrderHandle(array(item(3))));
                // `a` does not hang on the escrow key.
                let key = EscrowKey::new(element(&load("generators.json")["G"]));
                let secrets = derive::order(&seed, &name(item(1)), &scope(item(2)), handle, &key);
                *secrets.a.expose()
            }
            // Commitment and round id are made again in `openings`.
            "binding-key" | "warrant" | "release" | "blind" | "round" => expected,
            other => panic!("an unknown hash: {other}"),
        };
        assert_eq!(ours, expected, "{label}");
    }
    assert_eq!(named.len(), 10);
}

#[test]
fn scopes() {
    let file = load("scopes.json");
    let keys = list(&file["issuer_keys"]);
    for vector in keys {
        let key = issuer_key(&vector["x"], array(&vector["prf_key"]));
        assert_eq!(key.public().element(), &element(&vector["X"]));
        assert_eq!(key.public().id(), &array(&vector["key_id"]));
    }
    let scopes = list(&file["scopes"]);
    for vector in scopes {
        let key = IssuerPublicKey::new(element(&keys[small::<usize>(&vector["issuer_key"])]["X"]));
        let ours = Scope::new(*key.id(), name(&vector["merchant"]), number(&vector["cohort"]));
        assert_eq!((ours.key_id(), ours.cohort()), (key.id(), number(&vector["cohort"])));
        assert_eq!(ours.merchant(), &name(&vector["merchant"]));
        assert_eq!(ours.to_bytes(), bytes(&vector["scope"]));
        let mut case = vector.clone();
        case["key_id"] = keys[small::<usize>(&vector["issuer_key"])]["key_id"].clone();
        assert_eq!(checks::check("scope", &case), Ok(()));
        assert_eq!(encoding(Generator::Gm.mul(&ours.scalar())), array(&vector["m_G_m"]));
    }
    assert_eq!((keys.len(), scopes.len()), (2, 4));
}

#[test]
fn wallets() {
    let file = load("wallets.json");
    let check_author = |vector: &Value| {
        let seed = SecretBytes::new(array(&vector["seed"]));
        let author = derive::author(&seed, &name(&vector["issuer_name"])).unwrap();
        assert_eq!(author.u.expose(), &scalar(&vector["u"]));
        assert_eq!(author.wallet_key, element(&vector["U"]));
    };
    for vector in list(&file["orders"]) {
        let merchant_key = OrderHandleKey::new(SecretBytes::new(array(&vector["merchant_key"])));
        assert_eq!(merchant_key.handle(&bytes(&vector["order_id"])).as_bytes(), &array(&vector["handle"]));
        let (author, mut case) = (&file["wallets"][small::<usize>(&vector["wallet"])], vector.clone());
        assert_eq!(author["seed"], vector["seed"]);
        ["u", "U"].iter().for_each(|field| case[*field] = author[*field].clone());
        assert_eq!(checks::check("wallet", &case), Ok(()));
    }
    for vector in list(&file["separation"]) {
        assert_eq!(checks::check("wallet", vector), Ok(()));
    }
    list(&file["wallets"]).iter().for_each(check_author);
    let counts = ["wallets", "orders", "separation"].map(|of| list(&file[of]).len());
    assert_eq!(counts, [3, 8, 3]);
}

#[test]
fn committees() {
    let file = load("committees.json");
    let committees = list(&file["committees"]);
    assert_eq!(committees.len(), 4);
    for vector in committees {
        let key = EscrowKey::new(element(&vector["Y"]));
        assert_eq!(key.id(), &array(&vector["escrow_id"]));
        let shares = elements(&vector["Y_shares"]);
        let (t, epoch) = (small(&vector["t"]), small(&vector["epoch"]));
        let committee = Committee::new(t, epoch, key, shares.clone()).unwrap();
        assert_eq!(committee.verification_shares().len(), small::<usize>(&vector["n"]));
        for (index, share) in (1u16..).zip(list(&vector["y_shares"])) {
            let expected = match vector.get("coefficients") {
                Some(_) => threshold::evaluate(&polynomial(vector), index),
                None => refreshed(committees, vector, index),
            };
            assert_eq!(scalar(share), expected);
            assert_eq!(
                Element::from_point(Generator::G.mul(&expected)),
                Some(shares[usize::from(index) - 1])
            );
        }
    }
}

fn polynomial(vector: &Value) -> Vec<Scalar> {
    let coefficients: Vec<Scalar> = list(&vector["coefficients"]).iter().map(scalar).collect();
    if let Some(y) = vector.get("y") {
        assert_eq!(coefficients[0], scalar(y));
    }
    coefficients
}

/// The old share of `index` and everybody's contribution, whose constant is zero.
fn refreshed(committees: &[Value], vector: &Value, index: u16) -> Scalar {
    let before = committees.iter().find(|before| before["name"] == vector["refresh_of"]).unwrap();
    let old = scalar(&before["y_shares"][usize::from(index) - 1]);
    list(&vector["contributions"]).iter().fold(old, |sum, contribution| {
        let mut coefficients = polynomial(contribution);
        for (coefficient, commitment) in coefficients.iter().zip(list(&contribution["commitments"])) {
            assert_eq!(encoding(Generator::G.mul(coefficient)), array(commitment));
        }
        coefficients.insert(0, Scalar::ZERO);
        sum + threshold::evaluate(&coefficients, index)
    })
}
