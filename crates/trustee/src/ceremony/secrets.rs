//! A member's secrets in a ceremony. All of them are derived from one seed and the session, so that
//! a trustee who starts again after a crash says the same again, and two sessions share nothing.

use super::message::Content;
use super::rounds::{Complaints, RoundOne, RoundTwo, possession};
use super::{CeremonyError, CeremonyPlan};
use crate::sealing::{RecipientSecret, seal_share};
use crate::{Committee, TrusteeShare};
use curve25519_dalek::scalar::Scalar;
use unjoin_core::algebra::proof::prove;
use unjoin_core::algebra::transcript::{Transcript, hash_to_scalar, hash32};
use unjoin_core::algebra::{Element, Generator, threshold};
use unjoin_core::secret::{SecretBytes, SecretScalar};
use zeroize::{Zeroize, Zeroizing};

/// A member's secrets, as functions of its seed.
pub(super) struct MemberSecrets<'a> {
    plan: &'a CeremonyPlan,
    index: u16,
    seed: &'a SecretBytes<32>,
    pub(super) plan_digest: [u8; 32],
}

impl<'a> MemberSecrets<'a> {
    pub(super) fn new(plan: &'a CeremonyPlan, index: u16, seed: &'a SecretBytes<32>) -> Self {
        Self { plan, index, seed, plan_digest: plan.digest() }
    }

    pub(super) fn recipient(&self) -> RecipientSecret {
        let mut input = hash32("ceremony/recipient", &[self.seed.expose(), &self.plan_digest]);
        let secret = RecipientSecret::derive(&SecretBytes::new(input));
        input.zeroize();
        secret
    }

    pub(super) fn join(&self) -> Option<Content> {
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
    pub(super) fn commit(&self, session: &[u8; 32]) -> Option<Content> {
        let polynomial = self.polynomial(session);
        let committed = polynomial.get(usize::from(self.plan.is_refresh())..)?;
        let element = |secret: &Scalar| Element::from_point(Generator::G.mul(secret));
        let coefficients: Vec<Element> = committed.iter().map(element).collect::<Option<_>>()?;
        let statement = possession(session, self.index, &coefficients)?;
        let rng = &mut SeededRng::new(self.seed, session, "possession", 0);
        let possession = Box::new(prove(&statement, [committed.first()?], rng));
        Some(Content::Commitment { coefficients, possession })
    }

    /// Round two.
    pub(super) fn share(&self, two: &RoundTwo<'_>) -> Option<Content> {
        let RoundOne { session, recipients, .. } = &two.one;
        let polynomial = self.polynomial(session);
        let members = self.plan.members().iter().zip(recipients);
        let others = members.filter(|(to, _)| **to != self.index);
        let seal = |(to, recipient): (&u16, &[u8; 32])| {
            let share = SecretScalar::new(threshold::evaluate(&polynomial, *to));
            let rng = &mut SeededRng::new(self.seed, session, "seal", *to);
            seal_share(&share, recipient, session, self.index, *to, rng)
        };
        Some(Content::Shares { heard: two.heard.clone(), sealed: others.map(seal).collect::<Option<_>>()? })
    }

    /// Round three: the verdict, and the sum of all shares to this member, its own included,
    /// where all are good.
    pub(super) fn judge(&self, complaints: &Complaints<'_>) -> (Content, Option<SecretScalar>) {
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
    pub(super) fn new_share(
        &self,
        committee: &Committee,
        sum: SecretScalar,
        before: Option<&TrusteeShare>,
    ) -> Result<TrusteeShare, CeremonyError> {
        let secret = match before {
            Some(before) => SecretScalar::new(before.secret().expose() + sum.expose()),
            None => sum,
        };
        let expected = committee.verification_share(self.index);
        let fits = expected.is_some_and(|point| point.point() == &Generator::G.mul(secret.expose()));
        let share = TrusteeShare::new(self.index, committee.epoch(), secret);
        if fits { Ok(share) } else { Err(CeremonyError::Degenerate) }
    }
}

/// A generator whose output is a function of the seed, the session, a purpose and a member:
/// H("ceremony/stream", seed, session, purpose, le16 member, le64 block).
struct SeededRng {
    start: Transcript,
    block: u64,
}

impl SeededRng {
    fn new(seed: &SecretBytes<32>, session: &[u8; 32], purpose: &str, member: u16) -> Self {
        let start = Transcript::new(&["ceremony/stream"])
            .item(seed.expose())
            .item(session)
            .item(purpose.as_bytes())
            .item(&member.to_le_bytes());
        Self { start, block: 0 }
    }
}

unjoin_core::filling_generator!(
    SeededRng | seeded,
    bytes | {
        for chunk in bytes.chunks_mut(64) {
            let mut block = seeded.start.clone().item(&seeded.block.to_le_bytes()).finish();
            seeded.block = seeded.block.wrapping_add(1);
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
            block.zeroize();
        }
    }
);
