//! What a service does with a message of each kind, on the context that a vector gives.
//!
//! The negative vectors and the positive ones go through the same functions, so that a
//! refusal means the message and not the harness.

use super::values::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use unjoin_core::Name;
use unjoin_core::algebra::{Element, Escrow, EscrowKey, threshold};
use unjoin_core::entry::{Members, blind_commitment};
use unjoin_core::secret::SecretBytes;
use unjoin_core::token::{
    Accepted, ActionKind, AuthorAction, AuthorKey, DoorMessage, DoorQuestion, Enrolment, EnrolmentContext,
    Grant, IssuerKey, IssuerPublicKey, OrderHandle, Presentation, ReviewId, Scope, TokenRequest, VerifyError,
};
use unjoin_core::wire::{DecodeError, Message};
use unjoin_trustee::ceremony::CeremonyError;
use unjoin_trustee::same_author::{
    AuthorClasses, Blind, CheckedRound, ComparedReviews, ComparisonContext, ComparisonShare, SameAuthorError,
};
use unjoin_trustee::{Committee, DecryptionShare, OpeningError, ShareContext, combine};
use unjoin_wallet::derive;

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

/// Every kind, as vectors and lines name it: the fields that each of its kind has, and its check.
type Check = fn(&Value) -> Outcome;

const KINDS: [(&str, &str, Check); 15] = [
    ("enrolment", "wire issuer_name account host_nonce", enrolment),
    ("request", "wire U handle scope", request),
    ("grant", "wire X scope C", grant),
    ("presentation", "wire escrow_id Y review_digest", presentation),
    ("accepted", "wire X presentation review_digest", accepted),
    ("author", "wire P review_id sequence previous_digest", author),
    ("door", "wire variant review", door),
    ("share", "wire warrant_digest action review_id escrow_id epoch E1 E2 Y_shares", share),
    ("blind", "wire warrant_digest round reviews", blind),
    ("comparison_share", "wire warrant_digest round_id escrow_id epoch sums Y_shares", comparison_share),
    ("committee", "t n epoch Y Y_shares escrow_id", committee),
    ("opening", "t n epoch Y Y_shares escrow_id warrant_digest review_id E1 E2 U shares", opening),
    (
        "same_author",
        "t n epoch Y Y_shares escrow_id warrant_digest round members reviews blinds shares classes",
        same_author,
    ),
    ("wallet", "seed issuer_name scope handle Y u U s b k a P", wallet),
    ("scope", "key_id merchant cohort scope m", scope),
];

/// Checks a vector or a line of this kind.
pub(super) fn check(kind: &str, case: &Value) -> Outcome {
    let known = KINDS.iter().find(|(name, ..)| *name == kind);
    let (_, fields, check) = known.unwrap_or_else(|| panic!("no kind {kind:?}"));
    let fields = fields.split_whitespace();
    for field in fields {
        assert!(case.get(field).is_some(), "no field {field}");
    }
    check(case)
}

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

/// A number that messages give fewer bits than a line does.
fn context_number<T: TryFrom<u64>>(value: &Value) -> Result<T, Refused> {
    T::try_from(number(value)).map_err(|_| Refused::Parse)
}

fn context_scope(value: &Value) -> Result<Scope, Refused> {
    Ok(Scope::from_bytes(&bytes(value))?)
}

fn key_element(value: &Value) -> Result<Element, Refused> {
    Element::from_bytes(&array(value)).ok_or(Refused::Parse)
}

fn key_elements(value: &Value) -> Result<Vec<Element>, Refused> {
    list(value).iter().map(key_element).collect()
}

fn escrow(case: &Value) -> Result<Escrow, Refused> {
    Ok(Escrow { e1: key_element(&case["E1"])?, e2: key_element(&case["E2"])? })
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

/// Refuses another value than the context expects, if it expects one.
fn expect_field(case: &Value, field: &str, holds: impl Fn(&Value) -> bool) -> Outcome {
    expect(case.get(field).is_none_or(holds), Refused::Unexpected)
}

fn enrolment(case: &Value) -> Outcome {
    let enrolment: Enrolment = read(&case["wire"])?;
    let (issuer, account) = (context_name(&case["issuer_name"])?, context_name(&case["account"])?);
    let nonce = &array(&case["host_nonce"]);
    enrolment.verify(EnrolmentContext { issuer: &issuer, account: &account, nonce }, &mut system())?;
    Ok(())
}

fn request(case: &Value) -> Outcome {
    let request: TokenRequest = read(&case["wire"])?;
    request.verify(&key_element(&case["U"])?, &mut system())?;
    let is_offered = request.handle().as_bytes() == &array(&case["handle"])
        && request.scope().to_bytes() == bytes(&case["scope"]);
    expect(is_offered, Refused::Unexpected)
}

fn grant(case: &Value) -> Outcome {
    let grant: Grant = read(&case["wire"])?;
    let key = IssuerPublicKey::new(key_element(&case["X"])?);
    grant.verify(&key, &context_scope(&case["scope"])?, &key_element(&case["C"])?, &mut system())?;
    Ok(())
}

fn presentation(case: &Value) -> Outcome {
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
    expect_field(case, "scope", |scope| presentation.scope().to_bytes() == bytes(scope))?;
    expect_field(case, "review_id", |id| presentation.review_id().as_bytes() == &array(id))?;
    expect_field(case, "P", |key| presentation.author_key().as_bytes() == &array(key))
}

fn accepted(case: &Value) -> Outcome {
    let (accepted, presentation): (Accepted, Presentation) =
        (read(&case["wire"])?, read(&case["presentation"])?);
    let key = IssuerPublicKey::new(key_element(&case["X"])?);
    accepted.verify_alone(&key, &presentation, &array(&case["review_digest"]), &mut system())?;
    Ok(())
}

fn author(case: &Value) -> Outcome {
    let signed: AuthorAction = read(&case["wire"])?;
    signed.verify(&AuthorKey(array(&case["P"])), &ReviewId(array(&case["review_id"])))?;
    let said = signed.statement();
    let last = number(&case["sequence"]).checked_sub(1).ok_or(Refused::Verify)?;
    expect(said.continues(last, &array(&case["previous_digest"])), Refused::Verify)?;
    expect_field(case, "action", |action| said.kind as u64 == number(action))?;
    expect_field(case, "new_digest", |digest| said.new_digest == array(digest))
}

fn door(case: &Value) -> Outcome {
    let message: DoorMessage = read(&case["wire"])?;
    let variant = number(&case["variant"]);
    let is = |field: &str, part: &[u8]| bytes(&case[field]) == part;
    let as_said = match message.question() {
        DoorQuestion::Submission { presentation, review } => {
            variant == 1 && is("presentation", &presentation.to_bytes()) && is("review", review)
        }
        DoorQuestion::Action { scope, action, review } if variant == 2 => {
            let said = action.statement();
            // As the review service checks it once the signature holds.
            let fits = said.kind == ActionKind::Withdraw || said.new_digest == *Sha256::digest(review);
            let parts = [is("scope", &scope.to_bytes()), is("author_action", &action.to_bytes())];
            fits && parts == [true; 2] && is("review", review)
        }
        _ => false,
    };
    expect(as_said, Refused::Unexpected)
}

fn share_context(case: &Value) -> Result<ShareContext, Refused> {
    Ok(ShareContext {
        warrant_digest: array(&case["warrant_digest"]),
        review_id: ReviewId(array(&case["review_id"])),
        escrow: escrow(case)?,
    })
}

fn share(case: &Value) -> Outcome {
    let share: DecryptionShare = read(&case["wire"])?;
    let committee = find_committee(case)?;
    // No other warrant opens.
    expect(number(&case["action"]) == 2, Refused::Verify)?;
    share.verify(&committee, &share_context(case)?, &mut system())?;
    expect_field(case, "index", |index| number(index) == u64::from(share.index()))
}

/// The committee of a share's context, which gives neither t nor Y: there is one t for which its
/// verification shares are a sharing, and Y is their value at zero.
fn find_committee(case: &Value) -> Result<Committee, Refused> {
    let (shares, epoch) = (key_elements(&case["Y_shares"])?, context_number(&case["epoch"])?);
    let with_threshold = |t: u16| {
        let points: Vec<_> = (1..=t).zip(&shares).map(|(i, share)| (i, *share.point())).collect();
        let key = EscrowKey::new(Element::from_point(threshold::interpolate(&points, 0))?);
        let named = key.id() == &array(&case["escrow_id"]);
        Committee::new(t, epoch, key, shares.clone()).ok().filter(|_| named)
    };
    let most = shares.len().min(Committee::MAX_TRUSTEES) as u16;
    (1..=most).find_map(with_threshold).ok_or(Refused::Verify)
}

fn wallet(case: &Value) -> Outcome {
    let (seed, issuer) = (SecretBytes::new(array(&case["seed"])), context_name(&case["issuer_name"])?);
    let author = derive::author(&seed, &issuer).ok_or(Refused::Verify)?;
    let scope = context_scope(&case["scope"])?;
    let (handle, key) = (OrderHandle(array(&case["handle"])), EscrowKey::new(key_element(&case["Y"])?));
    let secrets = derive::order(&seed, &issuer, &scope, handle, &key);
    let mut derived = vec![
        ("u", author.u.expose().to_bytes()),
        ("U", *author.wallet_key.as_bytes()),
        ("s", secrets.s.expose().to_bytes()),
        ("b", secrets.b.expose().to_bytes()),
        ("k", secrets.k.expose().to_bytes()),
        ("a", *secrets.a.expose()),
        ("P", secrets.author_key().0),
    ];
    if case.get("r").is_some() {
        let fresh = &mut scripted([bytes(&case["r_fresh"])]);
        let r = derive::randomizer(&seed, &scope, &secrets.s, &array(&case["review_digest"]), fresh);
        derived.push(("r", r.expose().to_bytes()));
    }
    let holds = derived.iter().all(|(field, value)| &array(&case[*field]) == value);
    expect(holds, Refused::Unexpected)
}

fn scope(case: &Value) -> Outcome {
    let said = context_scope(&case["scope"])?;
    let parts = Scope::new(array(&case["key_id"]), context_name(&case["merchant"])?, number(&case["cohort"]));
    expect(said == parts && said.scalar().to_bytes() == array(&case["m"]), Refused::Unexpected)
}

fn compared(case: &Value) -> Result<ComparedReviews, Refused> {
    let review = |review: &Value| Ok((ReviewId(array(&review["review_id"])), escrow(review)?));
    let reviews: Vec<_> = list(&case["reviews"]).iter().map(review).collect::<Result<_, Refused>>()?;
    Ok(ComparedReviews::new(reviews)?)
}

fn blind(case: &Value) -> Outcome {
    let blind: Blind = read(&case["wire"])?;
    let warrant = array(&case["warrant_digest"]);
    blind.verify(context_number(&case["round"])?, &warrant, &compared(case)?, &mut system())?;
    expect(case.get("n").is_none_or(|n| u64::from(blind.index()) <= number(n)), Refused::Verify)?;
    expect_field(case, "index", |index| number(index) == u64::from(blind.index()))
}

fn comparison_share(case: &Value) -> Outcome {
    let share: ComparisonShare = read(&case["wire"])?;
    let committee = find_committee(case)?;
    let given = list(&case["sums"]);
    let id = |sum: &Value| array::<32>(&sum["review_id"]);
    expect(given.is_sorted_by(|one, next| id(one) < id(next)), Refused::Verify)?;
    let sums = given.iter().map(|sum| key_element(&sum["S1"])).collect::<Result<_, _>>()?;
    let context = ComparisonContext {
        warrant_digest: array(&case["warrant_digest"]),
        round_id: array(&case["round_id"]),
        sums,
    };
    share.verify(&committee, &context, &mut system())?;
    expect_field(case, "index", |index| number(index) == u64::from(share.index()))
}

fn committee(case: &Value) -> Outcome {
    members(case).map(|_| ())
}

fn members(case: &Value) -> Result<Committee, Refused> {
    let shares = key_elements(&case["Y_shares"])?;
    // The library takes n from the shares; a logged committee gives both.
    expect(shares.len() == context_number::<usize>(&case["n"])?, Refused::Verify)?;
    let (threshold, epoch) = (context_number(&case["t"])?, context_number(&case["epoch"])?);
    Ok(Committee::new(threshold, epoch, escrow_key(case)?, shares)?)
}

fn opening(case: &Value) -> Outcome {
    let (committee, context) = (members(case)?, share_context(case)?);
    let opened = combine(&committee, &context, &read_all(&case["shares"])?, &mut system())?;
    expect(opened == key_element(&case["U"])?, Refused::Unexpected)
}

fn same_author(case: &Value) -> Outcome {
    let (committee, reviews) = (members(case)?, compared(case)?);
    let (warrant, round) = (array(&case["warrant_digest"]), context_number(&case["round"])?);
    let blinds: Vec<Blind> = read_all(&case["blinds"])?;
    if let Some(own) = case.get("own_blind") {
        expect(blinds.contains(&read(own)?), Refused::Unexpected)?;
    }
    let indices: Vec<u16> = list(&case["members"]).iter().map(context_number).collect::<Result<_, _>>()?;
    let set = Members::new(indices.iter().copied()).ok_or(Refused::Verify)?;
    // A logged set has no repetitions.
    expect(usize::from(set.count()) == indices.len(), Refused::Verify)?;
    if let Some(commitments) = case.get("commitments") {
        let made = |blind: &Blind| (blind.index(), blind_commitment(&warrant, &blind.to_bytes()));
        let made: BTreeMap<u16, [u8; 32]> = blinds.iter().map(made).collect();
        let logged = indices.iter().copied().zip(list(commitments).iter().map(array)).collect();
        expect(made == logged, Refused::Unexpected)?;
    }
    let checked = CheckedRound::new(&committee, &warrant, round, &reviews, set, &blinds, &mut system())?;
    let found = checked.classes(&committee, &read_all(&case["shares"])?, &mut system())?;
    let class = |class: &Value| list(class).iter().map(|id| ReviewId(array(id))).collect();
    let mut expected: Vec<Vec<ReviewId>> = list(&case["classes"]).iter().map(class).collect();
    expected.iter_mut().for_each(|class| class.sort_unstable());
    // The author of the smallest id comes first.
    expected.sort_unstable();
    expect(found == AuthorClasses { authors: expected, nobody: Vec::new() }, Refused::Unexpected)
}
