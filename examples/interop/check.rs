//! Checks a line as the service that meets such a message does.

use crate::line::{Line, Mistake};
use curve25519_dalek::{RistrettoPoint, Scalar, ristretto::CompressedRistretto};
use unjoin::Name;
use unjoin::algebra::{Element, Escrow, EscrowKey};
use unjoin::ledger::WarrantAction;
use unjoin::opening::same_author::{Blind, CheckedRound, Pair, without_round};
use unjoin::opening::{Committee, DecryptionShare, ShareContext, combine};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::token::{
    Accepted, AuthorAction, AuthorProof, Enrolment, EnrolmentContext, Grant, IssuerKey, IssuerPublicKey,
    Presentation, ReviewId, Scope, TokenRequest, claim_digest,
};
use unjoin::wire::Message;

/// Why a line gets no "ok": the message is refused, or the line is a mistake.
enum Stop {
    Refused,
    Mistake(Mistake),
}

type Verdict = Result<(), Stop>;

impl From<Mistake> for Stop {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(mistake)
    }
}

/// Any of the library's refusals.
fn refused<E>(_: E) -> Stop {
    Stop::Refused
}

fn expect(holds: bool) -> Verdict {
    if holds { Ok(()) } else { Err(Stop::Refused) }
}

/// Whether the line's message is accepted.
pub(crate) fn accepts(line: &Line) -> Result<bool, Mistake> {
    let verdict = match line.kind() {
        "enrolment" => enrolment(line),
        "request" => request(line),
        "grant" => grant(line),
        "presentation" => presentation(line),
        "accepted" => accepted(line),
        "author" => author(line),
        "share" => share(line),
        "blind" => blind(line),
        "opening" => opening(line),
        "same_author" => same_author(line),
        "committee" => committee(line).map(|_| ()),
        "wallet" | "scope" => {
            return Err(Mistake::new("the library shows neither a wallet's scalars nor a scope's"));
        }
        other => return Err(Mistake::new(format!("unknown kind {other:?}"))),
    };
    match verdict {
        Ok(()) => Ok(true),
        Err(Stop::Refused) => Ok(false),
        Err(Stop::Mistake(mistake)) => Err(mistake),
    }
}

fn rng() -> SystemRng {
    SystemRng::new()
}

fn message<M: Message>(line: &Line, field: &str) -> Result<M, Stop> {
    M::from_bytes(&line.bytes(field)?).map_err(refused)
}

fn messages<M: Message>(line: &Line, field: &str) -> Result<Vec<M>, Stop> {
    line.list(field)?.iter().map(|bytes| M::from_bytes(bytes).map_err(refused)).collect()
}

fn name(line: &Line, field: &str) -> Result<Name, Stop> {
    Name::new(line.bytes(field)?).map_err(refused)
}

fn element(line: &Line, field: &str) -> Result<Element, Stop> {
    Element::from_bytes(&line.array(field)?).ok_or(Stop::Refused)
}

fn verification_shares(line: &Line) -> Result<Vec<Element>, Stop> {
    let element = |bytes: &Vec<u8>| Element::from_bytes(bytes.as_slice().try_into().ok()?);
    line.list("Y_shares")?.iter().map(|bytes| element(bytes).ok_or(Stop::Refused)).collect()
}

fn escrow(line: &Line, side: &str) -> Result<Escrow, Stop> {
    Ok(Escrow { e1: element(line, &format!("E1{side}"))?, e2: element(line, &format!("E2{side}"))? })
}

/// A number that the protocol gives fewer bits; one that does not fit is refused.
fn small<T: TryFrom<u64>>(line: &Line, field: &str) -> Result<T, Stop> {
    T::try_from(line.number(field)?).map_err(refused)
}

fn enrolment(line: &Line) -> Verdict {
    let (issuer, account) = (name(line, "issuer_name")?, name(line, "account")?);
    let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &line.array("host_nonce")? };
    message::<Enrolment>(line, "wire")?.verify(context, &mut rng()).map_err(refused)
}

fn request(line: &Line) -> Verdict {
    let (handle, scope) = (line.array::<16>("handle")?, line.bytes("scope")?);
    let wallet_key = element(line, "U")?;
    let request: TokenRequest = message(line, "wire")?;
    request.verify(&wallet_key, &mut rng()).map_err(refused)?;
    expect(request.handle().as_bytes() == &handle && request.scope().to_bytes() == scope)
}

/// `key id (32) || le16(length) || merchant || le64(cohort)`.
fn scope(line: &Line, field: &str) -> Result<Scope, Stop> {
    let bytes = line.bytes(field)?;
    let split = || {
        let (key_id, rest) = bytes.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (merchant, cohort) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let cohort = u64::from_le_bytes(cohort.try_into().ok()?);
        Some(Scope::new(*key_id, Name::new(merchant).ok()?, cohort))
    };
    split().ok_or(Stop::Refused)
}

fn grant(line: &Line) -> Verdict {
    let key = IssuerPublicKey::new(element(line, "X")?);
    let (scope, commitment) = (scope(line, "scope")?, element(line, "C")?);
    let grant: Grant = message(line, "wire")?;
    grant.verify(&key, &scope, &commitment, &mut rng()).map(|_| ()).map_err(refused)
}

fn escrow_key(line: &Line) -> Result<EscrowKey, Stop> {
    let id = line.array("escrow_id")?;
    let key = EscrowKey::new(element(line, "Y")?);
    expect(key.id() == &id)?;
    Ok(key)
}

fn presentation(line: &Line) -> Verdict {
    let digest = line.array("review_digest")?;
    let escrow_key = escrow_key(line)?;
    let presentation: Presentation = message(line, "wire")?;
    if line.has("issuer_x") {
        // Verifying needs no PRF key.
        let mut secrets = [0; 64];
        let x: [u8; 32] = line.array("issuer_x")?;
        secrets.iter_mut().zip(x).for_each(|(to, from)| *to = from);
        let key = IssuerKey::from_secret_bytes(&SecretBytes::new(secrets)).ok_or(Stop::Refused)?;
        presentation.verify(&key, &escrow_key, &digest, &mut rng()).map_err(refused)?;
    } else {
        let key = IssuerPublicKey::new(element(line, "X")?);
        let accepted: Accepted = message(line, "accepted")?;
        accepted.verify(&key, &escrow_key, &presentation, &digest, &mut rng()).map_err(refused)?;
    }
    if line.has("scope") {
        expect(presentation.scope().to_bytes() == line.bytes("scope")?)?;
    }
    if line.has("review_id") {
        expect(presentation.review_id().as_bytes() == &line.array("review_id")?)?;
    }
    Ok(())
}

fn accepted(line: &Line) -> Verdict {
    let digest = line.array("review_digest")?;
    let key = IssuerPublicKey::new(element(line, "X")?);
    let presentation: Presentation = message(line, "presentation")?;
    let accepted: Accepted = message(line, "wire")?;
    accepted.verify_alone(&key, &presentation, &digest, &mut rng()).map_err(refused)
}

fn author(line: &Line) -> Verdict {
    let review_id = ReviewId(line.array("review_id")?);
    let (sequence, in_force) = (line.number("sequence")?, line.array("previous_digest")?);
    let (escrow, key) = (escrow(line, "")?, EscrowKey::new(element(line, "Y")?));
    let claim = match (line.has("audience"), line.has("challenge")) {
        (true, true) => Some(claim_digest(&name(line, "audience")?, &line.array("challenge")?)),
        (false, false) => None,
        _ => return Err(Mistake::new("audience and challenge come together").into()),
    };
    let proof: AuthorProof = message(line, "wire")?;
    let last = sequence.checked_sub(1).ok_or(Stop::Refused)?;
    proof.verify(&review_id, last, &in_force, &escrow, &key, &mut rng()).map_err(refused)?;
    let said = proof.statement();
    if line.has("action") {
        expect(line.number("action")? == said.action as u64)?;
    }
    if line.has("new_digest") {
        expect(line.array("new_digest")? == said.new_digest)?;
    }
    match claim {
        Some(digest) => expect(said.action == AuthorAction::Claim && said.new_digest == digest),
        None => Ok(()),
    }
}

fn share_context(line: &Line, action: WarrantAction) -> Result<ShareContext, Stop> {
    let (warrant_digest, subject) = (line.array("warrant_digest")?, line.array("review_id")?);
    Ok(ShareContext { warrant_digest, action, subject, escrow: escrow(line, "")? })
}

fn share(line: &Line) -> Verdict {
    let action = match line.number("action")? {
        1 => WarrantAction::SameAuthor,
        2 => WarrantAction::Open,
        _ => return Err(Stop::Refused),
    };
    if !line.has("Y_shares") && line.has("Y_i") {
        return Err(Mistake::new("the library checks shares of a whole committee: give Y_shares").into());
    }
    let (context, id) = (share_context(line, action)?, line.array("escrow_id")?);
    let committee = find_committee(small(line, "epoch")?, id, verification_shares(line)?)?;
    let share: DecryptionShare = message(line, "wire")?;
    share.verify(&committee, &context, &mut rng()).map_err(refused)?;
    if line.has("index") {
        expect(line.number("index")? == u64::from(share.index()))?;
    }
    Ok(())
}

/// The committee with these verification shares: t and Y follow from them, since there is one
/// t for which they are a sharing, and Y is their value at zero.
fn find_committee(epoch: u32, escrow_id: [u8; 32], shares: Vec<Element>) -> Result<Committee, Stop> {
    expect(shares.len() <= Committee::MAX_TRUSTEES)?;
    let candidates = (1u16..).take(shares.len()).filter_map(|t| {
        let key = EscrowKey::new(value_at_zero(shares.get(..usize::from(t))?)?);
        Committee::new(t, epoch, key, shares.clone()).ok()
    });
    candidates.into_iter().find(|committee| committee.key().id() == &escrow_id).ok_or(Stop::Refused)
}

fn value_at_zero(shares: &[Element]) -> Option<Element> {
    let mut sum = RistrettoPoint::default();
    for (own, share) in (1u64..).zip(shares) {
        let others = (1..=shares.len() as u64).filter(|other| *other != own).map(Scalar::from);
        let coefficient: Scalar = others.map(|other| other * (other - Scalar::from(own)).invert()).product();
        sum += CompressedRistretto(*share.as_bytes()).decompress()? * coefficient;
    }
    Element::from_bytes(&sum.compress().to_bytes())
}

fn pair(line: &Line) -> Result<Pair, Stop> {
    let (a, b) = (ReviewId(line.array("review_id_a")?), ReviewId(line.array("review_id_b")?));
    Pair::new((a, escrow(line, "a")?), (b, escrow(line, "b")?)).map_err(refused)
}

fn blind(line: &Line) -> Verdict {
    let (warrant, round, pair) = (line.array("warrant_digest")?, small(line, "round")?, pair(line)?);
    let blind: Blind = message(line, "wire")?;
    blind.verify(round, &warrant, &pair, &mut rng()).map_err(refused)?;
    if line.has("n") {
        expect(u64::from(blind.index()) <= line.number("n")?)?;
    }
    if line.has("index") {
        expect(u64::from(blind.index()) == line.number("index")?)?;
    }
    Ok(())
}

fn committee(line: &Line) -> Result<Committee, Stop> {
    let (t, n, epoch) = (small(line, "t")?, small::<usize>(line, "n")?, small(line, "epoch")?);
    let (key, shares) = (escrow_key(line)?, verification_shares(line)?);
    expect(shares.len() == n)?;
    Committee::new(t, epoch, key, shares).map_err(refused)
}

fn opening(line: &Line) -> Verdict {
    let (committee, context) = (committee(line)?, share_context(line, WarrantAction::Open)?);
    let author = element(line, "U")?;
    let shares: Vec<DecryptionShare> = messages(line, "shares")?;
    expect(combine(&committee, &context, &shares, &mut rng()).map_err(refused)? == author)
}

fn same_author(line: &Line) -> Verdict {
    let same = line.truth("same")?;
    let (committee, pair, warrant) = (committee(line)?, pair(line)?, line.array("warrant_digest")?);
    if let Some(answer) = without_round(&pair).map_err(refused)? {
        return expect(answer == same && !line.has("blinds"));
    }
    let (round, blinds) = (small(line, "round")?, messages::<Blind>(line, "blinds")?);
    if line.has("own_blind") {
        expect(blinds.contains(&message(line, "own_blind")?))?;
    }
    let members = line.numbers("members")?.into_iter().map(|index| u16::try_from(index).map_err(refused));
    let members: Vec<u16> = members.collect::<Result<_, _>>()?;
    let round = CheckedRound::new(&committee, &warrant, round, &pair, &members, &blinds, &mut rng());
    let shares: Vec<DecryptionShare> = messages(line, "shares")?;
    let answer = round.map_err(refused)?.answer(&committee, &shares, &mut rng()).map_err(refused)?;
    expect(answer == same)
}
