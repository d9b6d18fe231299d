//! What a service does with a message of each kind, on the context that a vector gives.
//!
//! The negative vectors and the positive ones go through the same functions, so that a
//! refusal means the message and not the harness.

use super::*;
use unjoin_core::algebra::{Escrow, EscrowKey, threshold};
use unjoin_core::entry::WarrantAction;
use unjoin_core::token::{
    Accepted, AuthorAction, AuthorProof, Enrolment, EnrolmentContext, Grant, IssuerPublicKey, Presentation,
    ReviewId, TokenRequest, VerifyError, claim_digest,
};
use unjoin_core::wire::DecodeError;
use unjoin_trustee::ceremony::CeremonyError;
use unjoin_trustee::same_author::{Blind, CheckedRound, Pair, SameAuthorError, without_round};
use unjoin_trustee::{Committee, DecryptionShare, OpeningError, ShareContext, combine};

/// Where a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The message, or an element of its context, does not decode.
    Parse,
    /// It does not verify in its context.
    Verify,
    /// It verifies, and is not what the service expected.
    Unexpected,
}

pub(super) type Outcome = Result<(), Refused>;

impl From<DecodeError> for Refused {
    fn from(_: DecodeError) -> Self {
        Self::Parse
    }
}

macro_rules! refused_by_verifying {
    ($($error:ty),+) => {$(
        impl From<$error> for Refused {
            fn from(_: $error) -> Self {
                Self::Verify
            }
        }
    )+};
}
refused_by_verifying!(VerifyError, CeremonyError, OpeningError, SameAuthorError);

fn read<M: Message>(value: &Value) -> Result<M, Refused> {
    Ok(M::from_bytes(&bytes(value))?)
}

fn read_all<M: Message>(value: &Value) -> Result<Vec<M>, Refused> {
    list(value).iter().map(read).collect()
}

/// A name of the context: it comes from a decoder too, as everything below does.
fn context_name(value: &Value) -> Result<Name, Refused> {
    Name::new(bytes(value)).map_err(|_| Refused::Parse)
}

fn context_scope(value: &Value) -> Result<Scope, Refused> {
    let bytes = bytes(value);
    let mut from = Reader::new(&bytes, "scope");
    let scope = Scope::decode(&mut from)?;
    from.end()?;
    Ok(scope)
}

fn key_element(value: &Value) -> Result<Element, Refused> {
    Element::from_bytes(&array(value)).ok_or(Refused::Parse)
}

fn key_elements(value: &Value) -> Result<Vec<Element>, Refused> {
    list(value).iter().map(key_element).collect()
}

fn escrow(case: &Value, side: &str) -> Result<Escrow, Refused> {
    let part = |name: &str| key_element(&case[format!("{name}{side}")]);
    Ok(Escrow { e1: part("E1")?, e2: part("E2")? })
}

/// `Y`, whose id must be the one that the context names.
fn escrow_key(case: &Value) -> Result<EscrowKey, Refused> {
    let key = EscrowKey::new(key_element(&case["Y"])?);
    expect(key.id() == &array(&case["escrow_id"]), Refused::Verify)?;
    Ok(key)
}

fn expect(holds: bool, otherwise: Refused) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise) }
}

pub(super) fn enrolment(case: &Value) -> Outcome {
    let enrolment: Enrolment = read(&case["wire"])?;
    let (issuer, account) = (context_name(&case["issuer_name"])?, context_name(&case["account"])?);
    let nonce = &array(&case["host_nonce"]);
    enrolment.verify(EnrolmentContext { issuer: &issuer, account: &account, nonce }, &mut system())?;
    Ok(())
}

pub(super) fn request(case: &Value) -> Outcome {
    let request: TokenRequest = read(&case["wire"])?;
    request.verify(&key_element(&case["U"])?, &mut system())?;
    let is_offered = request.handle().as_bytes() == &array(&case["handle"])
        && request.scope().to_bytes() == bytes(&case["scope"]);
    expect(is_offered, Refused::Unexpected)
}

pub(super) fn grant(case: &Value) -> Outcome {
    let grant: Grant = read(&case["wire"])?;
    let key = IssuerPublicKey::new(key_element(&case["X"])?);
    grant.verify(&key, &context_scope(&case["scope"])?, &key_element(&case["C"])?, &mut system())?;
    Ok(())
}

pub(super) fn presentation(case: &Value) -> Outcome {
    let presentation: Presentation = read(&case["wire"])?;
    let (escrow_key, digest) = (escrow_key(case)?, array(&case["review_digest"]));
    match case.get("issuer_x") {
        Some(x) => {
            // No PRF key is needed to verify; x = 0 is no issuing key.
            let mut secrets = [0; 64];
            secrets[..32].copy_from_slice(&array::<32>(x));
            let key = IssuerKey::from_secret_bytes(&SecretBytes::new(secrets)).ok_or(Refused::Parse)?;
            presentation.verify(&key, &escrow_key, &digest, &mut system())?;
        }
        None => {
            let key = IssuerPublicKey::new(key_element(&case["X"])?);
            let accepted: Accepted = read(&case["accepted"])?;
            accepted.verify(&key, &escrow_key, &presentation, &digest, &mut system())?;
        }
    }
    expect(presentation.scope().to_bytes() == bytes(&case["scope"]), Refused::Unexpected)
}

pub(super) fn accepted(case: &Value) -> Outcome {
    let (accepted, presentation): (Accepted, Presentation) =
        (read(&case["wire"])?, read(&case["presentation"])?);
    let key = IssuerPublicKey::new(key_element(&case["X"])?);
    accepted.verify_alone(&key, &presentation, &array(&case["review_digest"]), &mut system())?;
    Ok(())
}

pub(super) fn author(case: &Value) -> Outcome {
    let proof: AuthorProof = read(&case["wire"])?;
    let key = EscrowKey::new(key_element(&case["Y"])?);
    let (escrow, in_force) = (escrow(case, "")?, array(&case["previous_digest"]));
    let last = number(&case["sequence"]).checked_sub(1).expect("sequences count from 1");
    let review_id = ReviewId(array(&case["review_id"]));
    proof.verify(&review_id, last, &in_force, &escrow, &key, &mut system())?;
    let said = proof.statement();
    match case.get("audience") {
        Some(audience) => {
            let digest = claim_digest(&context_name(audience)?, &array(&case["challenge"]));
            let is_claim = said.action == AuthorAction::Claim && said.new_digest == digest;
            expect(is_claim, Refused::Unexpected)
        }
        None => Ok(()),
    }
}

fn action(value: &Value) -> Result<WarrantAction, Refused> {
    match number(value) {
        1 => Ok(WarrantAction::SameAuthor),
        2 => Ok(WarrantAction::Open),
        // The type has no other: such a warrant does not decode.
        _ => Err(Refused::Parse),
    }
}

/// A share's context gives the verification shares without t and Y: taken from the
/// ceremony with that escrow id, and from what the verification shares interpolate to.
pub(super) fn share(case: &Value) -> Outcome {
    let share: DecryptionShare = read(&case["wire"])?;
    let shares = key_elements(&case["Y_shares"])?;
    let context = ShareContext {
        warrant_digest: array(&case["warrant_digest"]),
        action: action(&case["action"])?,
        subject: array(&case["review_id"]),
        escrow: escrow(case, "")?,
    };
    let file = load("committees.json");
    let known = list(&file["committees"]).iter().find(|known| known["escrow_id"] == case["escrow_id"]);
    let interpolated = |t: usize| {
        let points: Vec<_> = (1..).zip(&shares[..t]).map(|(i, share)| (i, *share.point())).collect();
        Element::from_point(threshold::interpolate(&points, 0)).unwrap()
    };
    let t = if shares.len() == 3 { 2 } else { 3 };
    let mut outcome = Err(Refused::Verify);
    for y in [known.map(|known| element(&known["Y"])), Some(interpolated(t))].into_iter().flatten() {
        let committee = Committee::new(t as u16, small(&case["epoch"]), EscrowKey::new(y), shares.clone());
        if let Ok(committee) = committee
            && share.verify(&committee, &context, &mut system()).is_ok()
        {
            let is_named = committee.key().id() == &array(&case["escrow_id"]);
            outcome = expect(is_named, Refused::Unexpected);
        }
    }
    outcome
}

fn pair(case: &Value) -> Result<Pair, Refused> {
    let [a, b] = ["a", "b"].map(|side| ReviewId(array(&case[format!("review_id_{side}")])));
    Ok(Pair::new((a, escrow(case, "a")?), (b, escrow(case, "b")?))?)
}

pub(super) fn blind(case: &Value) -> Outcome {
    let blind: Blind = read(&case["wire"])?;
    let warrant = array(&case["warrant_digest"]);
    blind.verify(small(&case["round"]), &warrant, &pair(case)?, &mut system())?;
    Ok(())
}

pub(super) fn committee(case: &Value) -> Outcome {
    members(case).map(|_| ())
}

fn members(case: &Value) -> Result<Committee, Refused> {
    let shares = key_elements(&case["Y_shares"])?;
    // The library takes n from the shares; a logged committee gives both.
    expect(shares.len() == small::<usize>(&case["n"]), Refused::Verify)?;
    Ok(Committee::new(small(&case["t"]), small(&case["epoch"]), escrow_key(case)?, shares)?)
}

pub(super) fn opening(case: &Value) -> Outcome {
    let context = ShareContext {
        warrant_digest: array(&case["warrant_digest"]),
        action: WarrantAction::Open,
        subject: array(&case["review_id"]),
        escrow: escrow(case, "")?,
    };
    let opened = combine(&members(case)?, &context, &read_all(&case["shares"])?, &mut system())?;
    expect(opened == element(&case["U"]), Refused::Unexpected)
}

pub(super) fn same_author(case: &Value) -> Outcome {
    let (committee, pair) = (members(case)?, pair(case)?);
    let same = case["same"].as_bool().unwrap();
    let Some(blinds) = case.get("blinds") else {
        return match without_round(&pair)? {
            Some(answer) => expect(answer == same, Refused::Unexpected),
            None => Err(Refused::Verify),
        };
    };
    let (warrant, round) = (array(&case["warrant_digest"]), small(&case["round"]));
    let blinds: Vec<Blind> = read_all(blinds)?;
    if let Some(own) = case.get("own_blind") {
        expect(blinds.contains(&read(own)?), Refused::Unexpected)?;
    }
    let members: Vec<u16> = list(&case["members"]).iter().map(small).collect();
    let checked = CheckedRound::new(&committee, &warrant, round, &pair, &members, &blinds, &mut system())?;
    let answer = checked.answer(&committee, &read_all(&case["shares"])?, &mut system())?;
    expect(answer == same, Refused::Unexpected)
}
