//! A member's part: what it says in each round.
//!
//! What was said is kept: a member who was shown other messages in between never says a second
//! thing in the same round.

use super::message::Content;
use super::rounds::{Ground, Halt, Signing, join};
use super::secrets::MemberSecrets;
use super::{CeremonyError, CeremonyMessage, CeremonyPlan, Disagreement, Round};
#[cfg(test)]
use crate::sealing::RecipientSecret;
use crate::{Committee, SignedCommittee, TrusteeShare};
use rand_core::CryptoRng;
use unjoin_core::secret::SecretBytes;
use unjoin_core::token::{CommitteeStatement, TrusteeKey};

/// What a trustee has to do next.
///
/// ```
/// # use unjoin_core::{secret::SystemRng, token::Trustees};
/// # use unjoin_trustee::{TrusteeSecrets, ceremony::{CeremonyPlan, Round}};
/// use unjoin_trustee::ceremony::Step;
/// # let rng = &mut SystemRng::new();
/// # let [mut secrets, other] = [(); 2].map(|()| TrusteeSecrets::generate(rng));
/// # let trustees = Trustees::new(vec![secrets.public(), other.public()])?;
/// # secrets.join(CeremonyPlan::key_generation(2, trustees, rng)?, 2, rng)?;
/// let Step::Publish(message) = secrets.next(&[], rng)? else { panic!("the first word is its own") };
/// let waits = secrets.next(&[message], rng)?;
/// assert!(matches!(waits, Step::Wait { round: Round::Join, missing } if missing == [2]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Keep the secrets (seal them and replace the file), then give this to every member.
    Publish(CeremonyMessage),
    /// Wait for these members' messages of this round. How long is the trustees' to agree;
    /// a member who stays silent is left out of the next plan.
    Wait {
        /// The round.
        round: Round,
        /// Who has not spoken.
        missing: Vec<u16>,
    },
    /// The ceremony is finished. Of a new key the secrets hold the share: keep them, give the
    /// signed committee to the ledger, and its certificate to the wallets. A refresh takes effect
    /// with [`TrusteeSecrets::commit`](crate::TrusteeSecrets::commit), when its committee is in the ledger.
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
    /// The verdict that all shares are good, and what the others may complete with it.
    Content(CeremonyMessage, Committee, TrusteeShare),
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
        MemberSecrets::new(&self.plan, self.index, &self.seed).recipient()
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
        let own = MemberSecrets::new(plan, *index, seed);
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
        let spoken = speaker.speak(ground, Round::Verdict, session, || Some(verdict))?;
        let share = match sum {
            None => None,
            Some(sum) => {
                let committee = complaints.committee()?;
                let share = own.new_share(&committee, sum, holding.map(|(_, share)| share))?;
                Some((committee, share))
            }
        };
        if let Some(message) = spoken {
            return Ok(match share {
                None => Outcome::Publish(message),
                Some((committee, share)) => Outcome::Content(message, committee, share),
            });
        }
        let signing = complaints.advance()?;
        let (_, share) = share.ok_or(CeremonyError::Degenerate)?;
        let content = || Some(sign(&signing, identity));
        let ground = &signing.complaints.two.one.ground;
        if let Some(message) = speaker.speak(ground, Round::Signature, session, content)? {
            return Ok(Outcome::Publish(message));
        }
        Ok(Outcome::Finished(signing.advance(plan.members().len())?, share))
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

fn sign(signing: &Signing<'_>, identity: &TrusteeKey) -> Content {
    let signature = identity.sign(CommitteeStatement::LABEL, &signing.statement.signed_bytes());
    Content::Signature { statement: signing.statement_digest(), signature: Box::new(signature) }
}
