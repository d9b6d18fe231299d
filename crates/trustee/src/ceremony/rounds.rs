//! The ceremony as everybody sees it: consumed states, each made from the one before and the
//! messages of one round. No secret is needed; members and observers walk the same way.
//!
//! `Joining` -> [`RoundOne`] -> [`RoundTwo`] -> [`Complaints`] -> [`Signing`] -> finished.

use super::message::Content;
use super::{CeremonyError, CeremonyMessage, CeremonyPlan, Disagreement, Fault, Round};
use crate::committee::statement;
use crate::sealing::{RecipientSecret, SEALED_SHARE, is_usable, open_share};
use crate::{Committee, SignedCommittee};
use curve25519_dalek::{ristretto::RistrettoPoint, traits::Identity};
use rand_core::CryptoRng;
use unjoin_core::algebra::proof::{Equation, Statement, verify};
use unjoin_core::algebra::transcript::{Transcript, hash32};
use unjoin_core::algebra::{Element, EscrowKey, Generator, threshold};
use unjoin_core::secret::{SecretBytes, SecretScalar};
use unjoin_core::token::CommitteeStatement;

/// What stops a walk.
pub(super) enum Halt {
    /// These members have not spoken in this round.
    Missing(Round, Vec<u16>),
    /// It goes no further.
    Ended(CeremonyError),
}

impl From<CeremonyError> for Halt {
    fn from(error: CeremonyError) -> Self {
        Self::Ended(error)
    }
}

/// Collects what members did wrong; nobody, or all of them.
#[derive(Default)]
struct Blame(Vec<(u16, Fault)>);

impl Blame {
    fn on(&mut self, index: u16, fault: Fault) {
        self.0.push((index, fault));
    }

    fn settle(mut self) -> Result<(), CeremonyError> {
        self.0.sort_unstable();
        self.0.dedup();
        if self.0.is_empty() { Ok(()) } else { Err(CeremonyError::Culprits(self.0)) }
    }
}

fn settle(points: Vec<Disagreement>) -> Result<(), CeremonyError> {
    if points.is_empty() { Ok(()) } else { Err(CeremonyError::Disagreement(points)) }
}

/// What the whole walk stands on: the plan, the committee that is refreshed, and those of the
/// messages that members of the plan have signed. Others may lie in the same place; they
/// convict nobody, since anybody can put them there.
pub(super) struct Ground<'a> {
    pub(super) plan: &'a CeremonyPlan,
    previous: Option<&'a Committee>,
    messages: Vec<&'a CeremonyMessage>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(
        plan: &'a CeremonyPlan,
        previous: Option<&'a Committee>,
        messages: &'a [CeremonyMessage],
    ) -> Result<Self, CeremonyError> {
        if !plan.follows(previous) {
            return Err(CeremonyError::Plan);
        }
        let counts = |message: &&CeremonyMessage| {
            plan.members().contains(&message.index) && message.is_authentic(plan.trustees())
        };
        Ok(Self { plan, previous, messages: messages.iter().filter(counts).collect() })
    }

    fn members(&self) -> &'a [u16] {
        self.plan.members()
    }

    /// What this member said in this round, if anything; the messages of one member and round
    /// that differ are their fault.
    pub(super) fn said(
        &self,
        round: Round,
        context: &[u8; 32],
        index: u16,
    ) -> Result<Option<&'a CeremonyMessage>, Fault> {
        let is_it = |message: &&&CeremonyMessage| {
            message.index == index && message.round() == round && &message.context == context
        };
        let mut said = self.messages.iter().filter(is_it);
        let first = said.next();
        match first.is_some_and(|first| said.any(|other| other.digest() != first.digest())) {
            true => Err(Fault::Equivocation(round)),
            false => Ok(first.copied()),
        }
    }

    /// What members said in this round so far.
    fn heard(
        &self,
        round: Round,
        context: &[u8; 32],
    ) -> Result<Vec<Option<&'a CeremonyMessage>>, CeremonyError> {
        let mut blame = Blame::default();
        let mut heard = Vec::with_capacity(self.members().len());
        for index in self.members() {
            match self.said(round, context, *index) {
                Ok(message) => heard.push(message),
                Err(fault) => blame.on(*index, fault),
            }
        }
        blame.settle().map(|()| heard)
    }

    /// What every member said in this round.
    fn all(&self, round: Round, context: &[u8; 32]) -> Result<Vec<&'a CeremonyMessage>, Halt> {
        let heard = self.heard(round, context)?;
        let silent = |(index, message): (&u16, &Option<_>)| message.is_none().then_some(*index);
        let missing: Vec<u16> = self.members().iter().zip(&heard).filter_map(silent).collect();
        if missing.is_empty() {
            Ok(heard.into_iter().flatten().collect())
        } else {
            Err(Halt::Missing(round, missing))
        }
    }

    /// What a member heard otherwise than we did.
    fn compare(
        &self,
        reporter: u16,
        round: Round,
        theirs: &[[u8; 32]],
        ours: &[[u8; 32]],
    ) -> impl Iterator<Item = Disagreement> {
        let differs = move |((about, theirs), ours): ((&u16, &[u8; 32]), &[u8; 32])| {
            (theirs != ours).then_some(Disagreement { round, reporter, about: Some(*about) })
        };
        self.members().iter().zip(theirs).zip(ours).filter_map(differs)
    }
}

fn digests(messages: &[&CeremonyMessage]) -> Vec<[u8; 32]> {
    messages.iter().map(|message| message.digest()).collect()
}

/// Waits for everybody to join. On to round one with the session's id.
pub(super) fn join(ground: Ground<'_>) -> Result<RoundOne<'_>, Halt> {
    let plan_digest = ground.plan.digest();
    let joins = ground.all(Round::Join, &plan_digest)?;
    let mut blame = Blame::default();
    let mut recipients = Vec::with_capacity(joins.len());
    for message in &joins {
        let Content::Join { recipient, .. } = &message.content else { continue };
        if !is_usable(recipient) {
            blame.on(message.index, Fault::RecipientKey);
        }
        recipients.push(*recipient);
    }
    blame.settle()?;
    let start = Transcript::new(&["ceremony-session"]).item(&plan_digest);
    let session = digests(&joins).iter().fold(start, |hash, digest| hash.item(digest)).finish32();
    Ok(RoundOne { ground, session, recipients })
}

/// Everybody has joined: the session is fixed, and each member commits to a polynomial.
pub(super) struct RoundOne<'a> {
    pub(super) ground: Ground<'a>,
    /// H32("ceremony-session", the plan's digest, every join's digest).
    pub(super) session: [u8; 32],
    /// The keys to seal shares to, in the members' order.
    pub(super) recipients: Vec<[u8; 32]>,
}

/// "I know the lowest committed coefficient", by this member in this session (Komlo and
/// Goldberg, FROST, figure 1, round 1, step 2).
pub(super) fn possession(session: &[u8; 32], index: u16, coefficients: &[Element]) -> Option<Statement> {
    let own = coefficients.first()?;
    let start = Statement::new("possession").item(session).item(&index.to_le_bytes());
    let bound = coefficients.iter().fold(start, |statement, element| statement.item(element.as_bytes()));
    Some(bound.equation(Equation::of(*own).plus(0, Generator::G)))
}

impl<'a> RoundOne<'a> {
    /// Waits for every commitment and checks it.
    pub(super) fn advance(self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<RoundTwo<'a>, Halt> {
        let commitments = self.ground.all(Round::Commitment, &self.session)?;
        let mut blame = Blame::default();
        let mut polynomials = Vec::with_capacity(commitments.len());
        for message in &commitments {
            let Content::Commitment { coefficients, possession: proof } = &message.content else { continue };
            // A coefficient that is zero has no encoding: the degree is exactly t - 1.
            if coefficients.len() != self.ground.plan.commitments() {
                blame.on(message.index, Fault::Degree);
                continue;
            }
            let statement = possession(&self.session, message.index, coefficients);
            if !statement.is_some_and(|statement| verify(&statement, proof, rng)) {
                blame.on(message.index, Fault::Possession);
            }
            let zero = self.ground.plan.is_refresh().then(RistrettoPoint::identity);
            polynomials.push(zero.into_iter().chain(coefficients.iter().map(|c| *c.point())).collect());
        }
        blame.settle()?;
        Ok(RoundTwo { heard: digests(&commitments), polynomials, one: self })
    }
}

/// Everybody has committed: each member says what it heard, and seals its shares.
pub(super) struct RoundTwo<'a> {
    pub(super) one: RoundOne<'a>,
    /// Of every commitment, in the members' order.
    pub(super) heard: Vec<[u8; 32]>,
    /// All t coefficients of each member's polynomial, in the exponent.
    polynomials: Vec<Vec<RistrettoPoint>>,
}

impl<'a> RoundTwo<'a> {
    /// Waits for everybody's shares, and checks that everybody heard the same commitments.
    pub(super) fn advance(self) -> Result<Complaints<'a>, Halt> {
        let ground = &self.one.ground;
        let messages = ground.all(Round::Shares, &self.one.session)?;
        let (mut blame, mut points) = (Blame::default(), Vec::new());
        let mut sealed = Vec::with_capacity(messages.len());
        for message in &messages {
            let Content::Shares { heard, sealed: shares } = &message.content else { continue };
            let others = ground.members().len().saturating_sub(1);
            if heard.len() != ground.members().len() || shares.len() != others {
                blame.on(message.index, Fault::Incomplete(Round::Shares));
            }
            points.extend(ground.compare(message.index, Round::Commitment, heard, &self.heard));
            sealed.push(shares.as_slice());
        }
        blame.settle()?;
        settle(points)?;
        Ok(Complaints { heard: digests(&messages), sealed, two: self })
    }
}

/// Everybody's shares are there: each member looks at its own, and complains or does not.
pub(super) struct Complaints<'a> {
    pub(super) two: RoundTwo<'a>,
    /// Of everybody's shares, in the members' order.
    pub(super) heard: Vec<[u8; 32]>,
    /// By sender, each to the other members in order.
    sealed: Vec<&'a [[u8; SEALED_SHARE]]>,
}

impl<'a> Complaints<'a> {
    /// What `to` finds with the secret of its key: gives `take` each sender with its share, if
    /// that is good. A good share s has s*G = the committed polynomial's value at `to`, in the
    /// exponent. Nothing is collected: a vector that is moved from keeps copies.
    pub(super) fn open(
        &self,
        to: u16,
        secret: &RecipientSecret,
        mut take: impl FnMut(u16, Option<SecretScalar>),
    ) {
        let RoundTwo { one: RoundOne { ground, session, .. }, polynomials, .. } = &self.two;
        let senders = ground.members().iter().zip(&self.sealed).zip(polynomials);
        for ((from, sealed), polynomial) in senders.filter(|((from, _), _)| **from != to) {
            // The sender's shares leave himself out.
            let place = ground.members().iter().filter(|index| *index != from).position(|index| *index == to);
            let sealed = place.and_then(|place| sealed.get(place));
            let share =
                sealed.and_then(|sealed| open_share(secret, session, *from, to, sealed)).filter(|share| {
                    Generator::G.mul(share.expose()) == threshold::evaluate_in_exponent(polynomial, to)
                });
            take(*from, share);
        }
    }

    /// Judges the complaints as soon as one is there; otherwise waits for every verdict, and
    /// computes the committee.
    ///
    /// A complaint is the secret of the complainer's key of this ceremony, with which
    /// everybody opens every share that was sealed to it. Opening is a function of public
    /// bytes from there on. It cannot make an honest sender's share look bad, and a complainer
    /// without cause has only shown its own shares of a key that will never be.
    pub(super) fn advance(self) -> Result<Signing<'a>, Halt> {
        let RoundOne { ground, session, recipients } = &self.two.one;
        let heard_so_far = ground.heard(Round::Verdict, session)?;
        let (mut blame, mut points) = (Blame::default(), Vec::new());
        for (message, recipient) in heard_so_far.iter().zip(recipients) {
            let Some(CeremonyMessage { index, content: Content::Verdict { heard, complaint }, .. }) = message
            else {
                continue;
            };
            if heard.len() != ground.members().len() {
                blame.on(*index, Fault::Incomplete(Round::Verdict));
                continue;
            }
            // Who was sent something else than we were does not complain without cause.
            let before = points.len();
            points.extend(ground.compare(*index, Round::Shares, heard, &self.heard));
            let (Some(revealed), true) = (complaint, points.len() == before) else { continue };
            let secret = RecipientSecret::new(SecretBytes::new(*revealed));
            let mut bad = Vec::new();
            self.open(*index, &secret, |from, share| {
                if share.is_none() {
                    bad.push(from);
                }
            });
            if secret.public().as_ref() != Some(recipient) || bad.is_empty() {
                blame.on(*index, Fault::FalseComplaint);
            } else {
                bad.into_iter().for_each(|from| blame.on(from, Fault::Share(*index)));
            }
        }
        blame.settle()?;
        settle(points)?;
        let verdicts = digests(&ground.all(Round::Verdict, session)?);
        let committee = self.committee()?;
        let start = Transcript::new(&["ceremony-transcript"]).item(session);
        let rounds = self.two.heard.iter().chain(&self.heard).chain(&verdicts);
        let transcript = rounds.fold(start, |hash, digest| hash.item(digest)).finish32();
        Ok(Signing { statement: statement(&committee, transcript), committee, complaints: self })
    }

    /// The committee of the sum of all polynomials; in a refresh, added to the one before.
    pub(super) fn committee(&self) -> Result<Committee, CeremonyError> {
        let RoundTwo { one: RoundOne { ground, .. }, polynomials, .. } = &self.two;
        let mut sum = vec![RistrettoPoint::identity(); ground.plan.threshold().into()];
        for polynomial in polynomials {
            sum.iter_mut().zip(polynomial).for_each(|(sum, coefficient)| *sum += coefficient);
        }
        let element = |point| Element::from_point(point).ok_or(CeremonyError::Degenerate);
        let before = |index| ground.previous.and_then(|committee| committee.verification_share(index));
        let share = |index| {
            let added = threshold::evaluate_in_exponent(&sum, index);
            element(before(index).map_or(added, |before| before.point() + added))
        };
        let shares: Result<Vec<_>, _> = (1..=ground.plan.trustees().count()).map(share).collect();
        let key = match ground.previous {
            Some(committee) => *committee.key(),
            None => EscrowKey::new(element(sum.first().copied().unwrap_or_default())?),
        };
        let (threshold, epoch) = (ground.plan.threshold(), ground.plan.epoch());
        Committee::new(threshold, epoch, key, shares?).map_err(|_| CeremonyError::Degenerate)
    }
}

/// Everybody is content: each member signs the result.
pub(super) struct Signing<'a> {
    pub(super) complaints: Complaints<'a>,
    pub(super) committee: Committee,
    pub(super) statement: CommitteeStatement,
}

impl Signing<'_> {
    /// Names what is signed.
    pub(super) fn statement_digest(&self) -> [u8; 32] {
        hash32("ceremony-statement", &[&self.statement.signed_bytes()])
    }

    /// Waits for every signature, or for so many: the ceremony is finished.
    pub(super) fn advance(self, enough: usize) -> Result<SignedCommittee, Halt> {
        let RoundOne { ground, session, .. } = &self.complaints.two.one;
        let (mut blame, mut points, mut signatures) = (Blame::default(), Vec::new(), Vec::new());
        // One that differs shows that the rounds did, whoever is still missing.
        for message in ground.heard(Round::Signature, session)?.into_iter().flatten() {
            let Content::Signature { statement, signature } = &message.content else { continue };
            let key = ground.plan.trustees().key(message.index);
            if statement != &self.statement_digest() {
                points.push(Disagreement { round: Round::Signature, reporter: message.index, about: None });
            } else if !key.is_some_and(|key| self.statement.is_signed_by(key, signature)) {
                blame.on(message.index, Fault::Signature);
            }
            signatures.push((message.index, **signature));
        }
        blame.settle()?;
        settle(points)?;
        if signatures.len() < enough {
            ground.all(Round::Signature, session)?;
        }
        Ok(SignedCommittee::new(self.committee, self.statement.transcript, signatures))
    }
}
