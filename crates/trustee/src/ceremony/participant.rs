//! A member's part: its secrets, and what it says in each round.
//!
//! Everything secret of a ceremony is derived from one seed and the session, so that a trustee
//! who starts again after a crash says the same again, and two sessions share nothing. What
//! was said is kept: a member who was shown other messages in between never says a second
//! thing in the same round.

use super::message::Content;
use super::rounds::{Complaints, Ground, Halt, RoundOne, RoundTwo, Signing, join, possession};
use super::{CeremonyError, CeremonyMessage, CeremonyPlan, Disagreement, Round};
use crate::sealing::{RecipientSecret, seal_share};
use crate::{Committee, SignedCommittee, TrusteeShare};
use core::convert::Infallible;
use curve25519_dalek::scalar::Scalar;
use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use unjoin_core::algebra::proof::prove;
use unjoin_core::algebra::transcript::{Transcript, hash_to_scalar, hash32};
use unjoin_core::algebra::{Element, Generator, threshold};
use unjoin_core::secret::{SecretBytes, SecretScalar};
use unjoin_core::token::{CommitteeStatement, TrusteeKey};
use zeroize::{Zeroize, Zeroizing};

/// What a trustee has to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Keep the secrets (seal them and replace the file), then give this to every member.
    Publish(CeremonyMessage),
    /// Wait for these members' messages of this round. How long is the trustees' to agree;
    /// whoever stays silent is left out of the next plan.
    Wait {
        /// The round.
        round: Round,
        /// Who has not spoken.
        missing: Vec<u16>,
    },
    /// The ceremony is finished and the secrets hold the share: keep them, then give the
    /// signed committee to the ledger, and its certificate to the wallets.
    Finished(SignedCommittee),
}

/// A ceremony under way.
pub(crate) struct Participant {
    pub(crate) plan: CeremonyPlan,
    pub(crate) index: u16,
    pub(crate) seed: SecretBytes<32>,
    pub(crate) said: Vec<CeremonyMessage>,
}

/// What [`Participant::next`] comes to.
pub(crate) enum Outcome {
    Publish(CeremonyMessage),
    Wait(Round, Vec<u16>),
    Finished(SignedCommittee, TrusteeShare),
}

impl Participant {
    /// Takes part under this key.
    pub(crate) fn new(
        plan: CeremonyPlan,
        identity: &TrusteeKey,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, CeremonyError> {
        let index = plan.trustees().index_of(&identity.public()).ok_or(CeremonyError::Plan)?;
        if !plan.members().contains(&index) {
            return Err(CeremonyError::Plan);
        }
        Ok(Self { plan, index, seed: SecretBytes::random(rng), said: Vec::new() })
    }

    #[cfg(test)]
    pub(crate) fn recipient(&self) -> RecipientSecret {
        Own::new(&self.plan, self.index, &self.seed).recipient()
    }

    /// The next step, given all messages so far in any order.
    pub(crate) fn next(
        &mut self,
        identity: &TrusteeKey,
        holding: Option<(&Committee, &TrusteeShare)>,
        messages: &[CeremonyMessage],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Outcome, CeremonyError> {
        match self.walk(identity, holding, messages, rng) {
            Ok(outcome) => Ok(outcome),
            Err(Halt::Missing(round, missing)) => Ok(Outcome::Wait(round, missing)),
            Err(Halt::Ended(error)) => Err(error),
        }
    }

    /// Walks as far as the messages go, and speaks where it is this member's turn.
    fn walk(
        &mut self,
        identity: &TrusteeKey,
        holding: Option<(&Committee, &TrusteeShare)>,
        messages: &[CeremonyMessage],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Outcome, Halt> {
        let Self { plan, index, seed, said } = self;
        let own = Own::new(plan, *index, seed);
        let ground = Ground::new(plan, holding.map(|(committee, _)| committee), messages)?;
        let mut speaker = Speaker { identity, index: *index, said };

        let content = || own.join();
        if let Some(message) = speaker.speak(&ground, Round::Join, own.plan_digest, content)? {
            return Ok(Outcome::Publish(message));
        }
        let one = join(ground)?;
        let session = one.session;
        let content = || own.commit(&session);
        if let Some(message) = speaker.speak(&one.ground, Round::Commitment, session, content)? {
            return Ok(Outcome::Publish(message));
        }
        let two = one.advance(rng)?;
        if let Some(message) = speaker.speak(&two.one.ground, Round::Shares, session, || own.share(&two))? {
            return Ok(Outcome::Publish(message));
        }
        let complaints = two.advance()?;
        let (verdict, sum) = own.judge(&complaints);
        let ground = &complaints.two.one.ground;
        if let Some(message) = speaker.speak(ground, Round::Verdict, session, || Some(verdict))? {
            return Ok(Outcome::Publish(message));
        }
        let signing = complaints.advance()?;
        let share = own.new_share(&signing, sum, holding.map(|(_, share)| share))?;
        let content = || Some(sign(&signing, identity));
        let ground = &signing.complaints.two.one.ground;
        if let Some(message) = speaker.speak(ground, Round::Signature, session, content)? {
            return Ok(Outcome::Publish(message));
        }
        Ok(Outcome::Finished(signing.advance()?, share))
    }
}

/// Says one thing in each round.
struct Speaker<'a> {
    identity: &'a TrusteeKey,
    index: u16,
    said: &'a mut Vec<CeremonyMessage>,
}

impl Speaker<'_> {
    /// What is to be published in this round, if it has not been yet.
    fn speak(
        &mut self,
        ground: &Ground<'_>,
        round: Round,
        context: [u8; 32],
        content: impl FnOnce() -> Option<Content>,
    ) -> Result<Option<CeremonyMessage>, CeremonyError> {
        let own = match self.said.iter().find(|message| message.round() == round) {
            Some(said) => said.clone(),
            None => {
                let content = content().ok_or(CeremonyError::Degenerate)?;
                let message = CeremonyMessage::sign(self.identity, context, self.index, content);
                self.said.push(message.clone());
                message
            }
        };
        if own.context != context {
            // We spoke in another session of this plan: somebody has joined it twice.
            let point = Disagreement { round: Round::Join, reporter: self.index, about: None };
            return Err(CeremonyError::Disagreement(vec![point]));
        }
        match ground.said(round, &context, self.index) {
            Ok(None) => Ok(Some(own)),
            Ok(Some(there)) if there.digest() == own.digest() => Ok(None),
            _ => Err(CeremonyError::Impersonated(round)),
        }
    }
}

/// A member's secrets, as functions of its seed.
struct Own<'a> {
    plan: &'a CeremonyPlan,
    index: u16,
    seed: &'a SecretBytes<32>,
    plan_digest: [u8; 32],
}

impl<'a> Own<'a> {
    fn new(plan: &'a CeremonyPlan, index: u16, seed: &'a SecretBytes<32>) -> Self {
        Self { plan, index, seed, plan_digest: plan.digest() }
    }

    fn recipient(&self) -> RecipientSecret {
        let mut input = hash32("ceremony/recipient", &[self.seed.expose(), &self.plan_digest]);
        let secret = RecipientSecret::derive(&SecretBytes::new(input));
        input.zeroize();
        secret
    }

    fn join(&self) -> Option<Content> {
        let nonce = hash32("ceremony/nonce", &[self.seed.expose(), &self.plan_digest]);
        Some(Content::Join { nonce, recipient: self.recipient().public()? })
    }

    /// The t coefficients of this session's polynomial, the constant one first: zero in a
    /// refresh.
    fn polynomial(&self, session: &[u8; 32]) -> Zeroizing<Vec<Scalar>> {
        let mut coefficients = Zeroizing::new(vec![Scalar::ZERO; self.plan.threshold().into()]);
        let refresh = usize::from(self.plan.is_refresh());
        for (power, coefficient) in (0u16..).zip(coefficients.iter_mut()).skip(refresh) {
            let items: [&[u8]; 3] = [self.seed.expose(), session, &power.to_le_bytes()];
            *coefficient = hash_to_scalar("ceremony/coefficient", &items);
        }
        coefficients
    }

    /// Round one.
    fn commit(&self, session: &[u8; 32]) -> Option<Content> {
        let polynomial = self.polynomial(session);
        let committed = polynomial.get(usize::from(self.plan.is_refresh())..)?;
        let element = |secret: &Scalar| Element::from_point(Generator::G.mul(secret));
        let coefficients: Vec<Element> = committed.iter().map(element).collect::<Option<_>>()?;
        let statement = possession(session, self.index, &coefficients)?;
        let stream = &mut Stream::new(self.seed, session, "possession", 0);
        let possession = Box::new(prove(&statement, [committed.first()?], stream));
        Some(Content::Commitment { coefficients, possession })
    }

    /// Round two.
    fn share(&self, two: &RoundTwo<'_>) -> Option<Content> {
        let RoundOne { session, recipients, .. } = &two.one;
        let polynomial = self.polynomial(session);
        let members = self.plan.members().iter().zip(recipients);
        let others = members.filter(|(to, _)| **to != self.index);
        let seal = |(to, recipient): (&u16, &[u8; 32])| {
            let share = SecretScalar::new(threshold::evaluate(&polynomial, *to));
            let stream = &mut Stream::new(self.seed, session, "seal", *to);
            seal_share(&share, recipient, session, self.index, *to, stream)
        };
        Some(Content::Shares { heard: two.heard.clone(), sealed: others.map(seal).collect::<Option<_>>()? })
    }

    /// Round three: the verdict, and the sum of all shares to this member, its own included,
    /// where all are good.
    fn judge(&self, complaints: &Complaints<'_>) -> (Content, Option<SecretScalar>) {
        let recipient = self.recipient();
        let polynomial = self.polynomial(&complaints.two.one.session);
        let mut sum = Zeroizing::new(threshold::evaluate(&polynomial, self.index));
        let mut good = true;
        complaints.open(self.index, &recipient, |_, share| match share {
            Some(share) => *sum += share.expose(),
            None => good = false,
        });
        let complaint = (!good).then(|| recipient.reveal());
        let content = Content::Verdict { heard: complaints.heard.clone(), complaint };
        (content, good.then(|| SecretScalar::new(*sum)))
    }

    /// The share of the new epoch, checked against the committee.
    fn new_share(
        &self,
        signing: &Signing<'_>,
        sum: Option<SecretScalar>,
        before: Option<&TrusteeShare>,
    ) -> Result<TrusteeShare, CeremonyError> {
        let sum = sum.ok_or(CeremonyError::Degenerate)?;
        let secret = match before {
            Some(before) => SecretScalar::new(before.secret().expose() + sum.expose()),
            None => sum,
        };
        let expected = signing.committee.verification_share(self.index);
        let fits = expected.is_some_and(|point| point.point() == &Generator::G.mul(secret.expose()));
        let share = TrusteeShare::new(self.index, signing.committee.epoch(), secret);
        if fits { Ok(share) } else { Err(CeremonyError::Degenerate) }
    }
}

fn sign(signing: &Signing<'_>, identity: &TrusteeKey) -> Content {
    let signature = identity.sign(CommitteeStatement::LABEL, &signing.statement.signed_bytes());
    Content::Signature { statement: signing.statement_digest(), signature: Box::new(signature) }
}

/// A generator whose output is a function of the seed, the session, a purpose and a member:
/// H("ceremony/stream", seed, session, purpose, le16 member, le64 block).
struct Stream {
    start: Transcript,
    block: u64,
}

impl Stream {
    fn new(seed: &SecretBytes<32>, session: &[u8; 32], purpose: &str, member: u16) -> Self {
        let start = Transcript::new(&["ceremony/stream"])
            .item(seed.expose())
            .item(session)
            .item(purpose.as_bytes())
            .item(&member.to_le_bytes());
        Self { start, block: 0 }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(64) {
            let mut block = self.start.clone().item(&self.block.to_le_bytes()).finish();
            self.block = self.block.wrapping_add(1);
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            block.zeroize();
        }
        Ok(())
    }
}

impl TryCryptoRng for Stream {}
