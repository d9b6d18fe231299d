//! How n trustees make the escrow key, any t of whom open, and how they refresh its shares.
//! No dealer, and nobody ever holds the key.
//!
//! Distributed key generation after Pedersen (EUROCRYPT 1991), with the proofs of possession of
//! Komlo and Goldberg (FROST, SAC 2020, figure 1). It runs over any channel that carries bytes: a
//! directory, a mailbox, sticks. Every message goes to every member.
//!
//! | round | a member says | the others check |
//! |---|---|---|
//! | join | a nonce and a fresh key to seal shares to | the signature, the plan |
//! | commitment | `C_0 .. C_t-1`, commitments to a random polynomial f, and a proof that it knows f(0) | degree, proof, session |
//! | shares | which commitments it heard, and f(j) sealed to each member j | that all heard the same; j: that f(j) is on the polynomial |
//! | verdict | which shares it heard; that its own are good, or a complaint | the complaint, by opening what was sealed |
//! | signature | its signature on the committee and the transcript | that all signed the same |
//!
//! A refresh is the same with f(0) = 0, left out of the commitments. The new shares are added to the
//! old ones, so the key stays, and shares of two epochs do not fit together. It takes effect when its
//! committee is in the openings ledger, for all members at once
//! ([`TrusteeSecrets::commit`](super::TrusteeSecrets::commit)).

mod error;
mod message;
mod participant;
mod plan;
mod rounds;
mod secrets;
#[cfg(test)]
mod tests;

pub use error::{CeremonyError, Disagreement, Fault};
pub use message::{CeremonyMessage, Round};
pub use participant::Step;
pub(super) use participant::{Outcome, Participant};
pub use plan::CeremonyPlan;

use super::{Committee, SignedCommittee};
use rand_core::CryptoRng;
use rounds::{Ground, Halt, join};

/// What anybody makes of a ceremony's messages, without a secret. It is the signed committee once it
/// is finished, `None` while messages are missing, and otherwise who is to blame. `previous`
/// is the committee that a refresh starts from.
///
/// This is the proof against a culprit: everybody who has the plan and the messages comes
/// to the same result.
///
/// # Errors
/// [`CeremonyError::Culprits`], [`CeremonyError::Disagreement`], [`CeremonyError::Plan`] when
/// `previous` is not what the plan refreshes, [`CeremonyError::Degenerate`].
///
/// ```
/// # use unjoin_trustee::test_util::world::seen_ceremony;
/// use unjoin_core::secret::SystemRng;
/// use unjoin_trustee::ceremony::observe;
/// # let (plan, messages, signed) = seen_ceremony(2, 3);
/// // Anybody who has the plan and the messages comes to what the members came to.
/// assert_eq!(observe(&plan, None, &messages, &mut SystemRng::new())?, Some(signed));
/// let but_one = &messages[..messages.len() - 1];
/// assert_eq!(observe(&plan, None, but_one, &mut SystemRng::new())?, None);
/// # Ok::<(), unjoin_trustee::ceremony::CeremonyError>(())
/// ```
pub fn observe(
    plan: &CeremonyPlan,
    previous: Option<&Committee>,
    messages: &[CeremonyMessage],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Option<SignedCommittee>, CeremonyError> {
    signed_by(plan.members().len(), plan, previous, messages, rng)
}

/// The committee of a refresh with the signatures that there are, at least t: for when a
/// member is silent in the last round. Who has not signed it can release nothing once it is logged:
/// wait for everybody as long as you can. `None` while there are fewer than t, and always for a new
/// key, which all members sign.
///
/// # Errors
/// As [`observe`].
///
/// ```
/// # use unjoin_trustee::test_util::world::seen_refresh;
/// use unjoin_core::secret::SystemRng;
/// use unjoin_trustee::ceremony::{conclude, observe};
/// # let (plan, previous, messages) = seen_refresh(2, 3);
/// // The last member's signature is missing: two of three are enough for a refresh.
/// let but_one = &messages[..messages.len() - 1];
/// assert_eq!(observe(&plan, Some(&previous), but_one, &mut SystemRng::new())?, None);
/// let signed = conclude(&plan, &previous, but_one, &mut SystemRng::new())?.ok_or("too few")?;
/// assert_eq!((signed.signers().count(), signed.committee().epoch()), (2, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn conclude(
    plan: &CeremonyPlan,
    previous: &Committee,
    messages: &[CeremonyMessage],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Option<SignedCommittee>, CeremonyError> {
    signed_by(plan.threshold().into(), plan, Some(previous), messages, rng)
}

fn signed_by(
    enough: usize,
    plan: &CeremonyPlan,
    previous: Option<&Committee>,
    messages: &[CeremonyMessage],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Option<SignedCommittee>, CeremonyError> {
    let mut walk =
        || join(Ground::new(plan, previous, messages)?)?.advance(rng)?.advance()?.advance()?.advance(enough);
    match walk() {
        Ok(signed) => Ok(Some(signed)),
        Err(Halt::Missing(..)) => Ok(None),
        Err(Halt::Ended(error)) => Err(error),
    }
}
