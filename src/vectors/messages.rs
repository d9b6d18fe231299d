//! Every valid message of kinds 1 to 5, 8 and 23, made again from the vectors' randomness byte
//! for byte, and accepted. Kinds 6, 7 and 15 are in `openings`.

use super::*;
use sha2::{Digest as _, Sha256};
use unjoin_core::algebra::transcript::Transcript;
use unjoin_core::algebra::transcript::push_frame;
use unjoin_core::algebra::{EscrowKey, Generator, mac};
use unjoin_core::signature::Signer;
use unjoin_core::token::{
    Accepted, ActionKind, AuthorAction, AuthorKey, AuthorStatement, Digest, DoorMessage, DoorQuestion,
    Enrolment, EnrolmentContext, Grant, GrantedTag, IssuerPublicKey, OrderHandle, Presentation,
    PresentationWitness, RequestWitness, ReviewId, TokenRequest,
};
use unjoin_wallet::derive;

/// The hashing behind a proof: its nonces, challenge and responses, from the items and
/// witnesses that the vector lists.
pub(super) fn check_hashing(proof: &Value) {
    let statement = text(&proof["statement"]);
    let witnesses = proof["witnesses"].as_object().unwrap();
    let items = || list(&proof["items"]).iter().map(|item| bytes(&item["value"]));
    let commitments = || list(&proof["T"]).iter().map(bytes);
    let add = |hash: Transcript, item: Vec<u8>| hash.item(&item);

    let start = Transcript::new(&["proof/", statement]);
    let challenge = items().chain(commitments()).fold(start, add).finish_scalar();
    assert_eq!(challenge, scalar(&proof["challenge"]));
    assert_eq!(witnesses.len(), proof["z"].as_object().unwrap().len());
    for (witness, secret) in witnesses {
        let response = scalar(&proof["z"][witness]);
        let nonce = scalar(&proof["nonces"][witness]);
        assert_eq!(response, nonce + challenge * scalar(secret));
    }
}

/// Each case with its proof, whose challenge is checked.
fn proved(file: &Value, count: usize) -> impl Iterator<Item = (&Value, &Value)> {
    cases(file, count).iter().map(|case| (case, &case["proof"])).inspect(|(_, proof)| check_hashing(proof))
}

#[test]
fn enrolments() {
    let file = load("enrolments.json");
    for (case, proof) in proved(&file, 3) {
        let (issuer, account, nonce) =
            (name(&case["issuer_name"]), name(&case["account"]), array(&case["host_nonce"]));
        let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
        let u = secret(&proof["witnesses"]["u"]);
        let made = Enrolment::prove(&u, element(&case["U"]), context, &mut fresh(proof));
        assert_eq!(made.to_bytes(), bytes(&case["wire"]));
        assert_eq!(made.wallet_key(), &element(&case["U"]));
        made.verify(context, &mut system()).unwrap();
    }
}

#[test]
fn requests() {
    let (file, wallets) = (load("requests.json"), load("wallets.json"));
    for (case, proof) in proved(&file, 8) {
        let order = &wallets["orders"][small::<usize>(&case["order"])];
        let seed = SecretBytes::new(array(&order["seed"]));
        let issuer = name(&order["issuer_name"]);
        let author = derive::author(&seed, &issuer).unwrap();
        let (scope, handle) = (scope(&case["scope"]), OrderHandle(array(&case["handle"])));
        let escrow_key = EscrowKey::new(element(&order["Y"]));
        let secrets = derive::order(&seed, &issuer, &scope, handle, &escrow_key);
        let made = TokenRequest::prove(&secrets.request(&author), handle, scope, &mut fresh(proof)).unwrap();
        assert_eq!(made.to_bytes(), bytes(&case["wire"]));
        assert_eq!(made.commitment(), &element(&case["C"]));
        made.verify(&element(&case["U"]), &mut system()).unwrap();
    }
}

#[test]
fn grants() {
    let file = load("grants.json");
    for (case, proof) in proved(&file, 8) {
        let key = issuer_key(&case["issuer_x"], array(&case["prf_key"]));
        let (scope, commitment) = (scope(&case["scope"]), element(&case["C"]));
        let exponent = mac::exponent(key.prf_key(), &scope.to_bytes(), &commitment);
        assert_eq!(exponent, scalar(&case["e"]));
        assert_eq!(exponent, Scalar::from_bytes_mod_order_wide(&array(&case["mac"])));
        let base = mac::base(&scope.scalar(), &commitment);
        assert_eq!(Element::from_point(base), Some(element(&case["B"])));
        let tag = mac::tag(key.x(), &exponent, &base).unwrap();
        assert_eq!(tag, element(&case["A"]));
        assert_eq!(Element::from_point(base - tag.point() * exponent), Some(element(&case["B_minus_eA"])));

        let made = Grant::issue(&key, &scope, &commitment, &mut fresh(proof)).unwrap();
        assert_eq!(made.to_bytes(), bytes(&case["wire"]));
        let public = IssuerPublicKey::new(element(&case["X"]));
        let granted = made.verify(&public, &scope, &commitment, &mut system()).unwrap();
        let image = base - tag.point() * exponent;
        assert_eq!((granted.tag, granted.exponent, granted.image), (tag, exponent, image));
    }
}

#[test]
fn presentations() {
    let (file, grants) = (load("presentations.json"), load("grants.json"));
    let (cases, edge_cases) = (list(&file["cases"]), list(&file["edge_cases"]));
    assert_eq!((cases.len(), edge_cases.len()), (9, 6));
    for case in cases {
        let digest: Digest = Sha256::digest(bytes(&case["review_message"])).into();
        assert_eq!(digest, array(&case["review_digest"]));
        let grant = &grants["cases"][small::<usize>(&case["order"])];
        let tag = granted_tag(case);
        assert_eq!((tag.tag, tag.exponent), (element(&grant["A"]), scalar(&grant["e"])));
        check_presentation(case, &tag);
    }
    for case in edge_cases.iter().chain(list(&load("same_author.json")["more_presentations"])) {
        check_presentation(case, &granted_tag(case));
    }
    assert!(cases.iter().all(|case| author_signer(case).verifier().as_bytes() == &array(&case["P"])));
}

/// The tag that the issuer made for the case's secrets; `e` is `r * e'`.
fn granted_tag(case: &Value) -> GrantedTag {
    let (u, s, b) = (scalar(&case["proof"]["witnesses"]["u"]), scalar(&case["s"]), scalar(&case["b"]));
    let commitment = Generator::Gu.mul(&u) + Generator::Gs.mul(&s) + Generator::Gb.mul(&b);
    let base = mac::base(&scope(&case["scope"]).scalar(), &Element::from_point(commitment).unwrap());
    let exponent = scalar(&case["r"]) * scalar(&case["e'"]);
    let tag = mac::tag(&scalar(&case["issuer_x"]), &exponent, &base).unwrap();
    GrantedTag::new(tag, exponent, &base)
}

fn check_presentation(case: &Value, granted: &GrantedTag) {
    let (proof, scope) = (&case["proof"], scope(&case["scope"]));
    check_hashing(proof);
    let key = issuer_key(&case["issuer_x"], [0; 32]);
    assert_eq!(key.public().element(), &element(&case["X"]));
    let escrow_key = EscrowKey::new(element(&case["Y"]));
    assert_eq!(escrow_key.id(), &array(&case["escrow_id"]));
    let digest = array(&case["review_digest"]);

    let (seed, s) = (SecretBytes::new(array(&case["seed"])), secret(&case["s"]));
    let r_fresh = scripted([bytes(&case["r_fresh"])]);
    let r = derive::randomizer(&seed, &scope, &s, &digest, &mut { r_fresh });
    assert_eq!(r.expose(), &scalar(&case["r"]));
    assert_eq!(r.expose().invert(), scalar(&case["r'"]));
    let u = secret(&proof["witnesses"]["u"]);
    let wallet_key = Element::from_point(Generator::Gu.mul(u.expose())).unwrap();
    let (b, k) = (secret(&case["b"]), secret(&case["k"]));
    let author_key = AuthorKey(array(&case["P"]));
    let request = RequestWitness { u: &u, s: &s, b: &b, wallet_key: &wallet_key };
    let witness = PresentationWitness { request, k: &k, r: &r, granted, author_key };
    let rng = &mut fresh(proof);
    let made = Presentation::prove(&witness, scope.clone(), key.public(), &escrow_key, &digest, rng).unwrap();

    assert_eq!(made.to_bytes(), bytes(&case["wire"]));
    assert_eq!(made.author_key(), &author_key);
    assert_eq!(made.escrow_id(), &array(&case["escrow_id"]));
    assert_eq!((made.tag(), made.image()), (&element(&case["A'"]), &element(&case["Abar"])));
    assert_eq!((made.escrow().e1, made.escrow().e2), (element(&case["E1"]), element(&case["E2"])));
    assert_eq!(made.review_id().as_bytes(), &array(&case["review_id"]));
    assert_eq!(made.hash(), array(&case["presentation_hash"]));
    let left = Generator::G0.point() + Generator::Gm.mul(&scope.scalar()) + Generator::Gs.mul(s.expose());
    assert_eq!(Element::from_point(left), Some(element(&proof["P1"])));
    made.verify(&key, &escrow_key, &digest, &mut system()).unwrap();
}

#[test]
fn accepted() {
    let (file, presentations) = (load("accepted.json"), load("presentations.json"));
    for case in cases(&file, 9) {
        check_hashing(&case["proof"]);
        let presented = &presentations["cases"][small::<usize>(&case["presentation_index"])];
        assert_eq!(presented["wire"], case["presentation"]);
        let key = issuer_key(&case["issuer_x"], [0; 32]);
        let presentation: Presentation = message(&case["presentation"]);
        assert_eq!(presentation.review_id().as_bytes(), &array(&case["review_id"]));
        let digest = array(&case["review_digest"]);
        let made = Accepted::prove(&key, &presentation, &digest, &mut fresh(&case["proof"]));
        assert_eq!(made.to_bytes(), bytes(&case["wire"]));
        let (public, escrow_key) =
            (IssuerPublicKey::new(element(&case["X"])), EscrowKey::new(element(&presented["Y"])));
        made.verify(&public, &escrow_key, &presentation, &digest, &mut system()).unwrap();
        made.verify_alone(&public, &presentation, &digest, &mut system()).unwrap();
    }
}

fn author_signer(case: &Value) -> Signer {
    Signer::from_seed(&SecretBytes::new(array(&case["a"])))
}

#[test]
fn author_actions() {
    let (file, wallets) = (load("author_actions.json"), load("wallets.json"));
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), 6);
    assert_eq!(number(&cases[4]["sequence"]), u64::MAX);
    for case in cases {
        let order = &wallets["orders"][small::<usize>(&case["order"])];
        assert_eq!((&order["a"], &order["P"]), (&case["a"], &case["P"]));
        let statement = AuthorStatement {
            kind: if number(&case["action"]) == 1 { ActionKind::Withdraw } else { ActionKind::Edit },
            review_id: ReviewId(array(&case["review_id"])),
            sequence: number(&case["sequence"]),
            previous_digest: array(&case["previous_digest"]),
            new_digest: array(&case["new_digest"]),
        };
        let made = AuthorAction::sign(&author_signer(case), statement).unwrap();
        let wire = made.to_bytes();
        assert_eq!(wire, bytes(&case["wire"]));
        let (unsigned, signature) = wire.split_at(wire.len() - 64);
        assert_eq!(signature, bytes(&case["signature"]));
        let mut signed = Vec::new();
        [b"unjoin/v1", &b"author"[..], unsigned].iter().for_each(|part| push_frame(&mut signed, part));
        assert_eq!(signed, bytes(&case["signed"]));
        made.verify(&AuthorKey(array(&case["P"])), &statement.review_id).unwrap();
        assert!(statement.continues(statement.sequence - 1, &statement.previous_digest));
    }
}

#[test]
fn door_messages() {
    let file = load("door.json");
    let cases = list(&file["cases"]);
    assert_eq!(small::<usize>(&file["size"]), DoorMessage::LENGTH);
    assert_eq!(cases.len(), 8);
    for case in cases {
        let review = bytes(&case["review"]);
        let question = match number(&case["variant"]) {
            1 => DoorQuestion::Submission { presentation: message(&case["presentation"]), review },
            _ => {
                let (scope, action) = (scope(&case["scope"]), message(&case["author_action"]));
                DoorQuestion::Action { scope, action, review }
            }
        };
        let made = DoorMessage::new(question).unwrap().to_bytes();
        assert_eq!((made.len(), &made), (DoorMessage::LENGTH, &bytes(&case["wire"])));
        let used = small(&case["used"]);
        assert!(made[used - 1] != 0 || case["review"] == "00" || case["review"] == "");
        assert!(made[used..].iter().all(|byte| *byte == 0));
    }
}
