//! The trustees' ceremony, all of it in one process: for demonstrations, whose shares are thrown away.

use std::error::Error;
use unjoin::opening::ceremony::{CeremonyPlan, Step};
use unjoin::opening::{SignedCommittee, TrusteeSecrets};
use unjoin::secret::SystemRng;
use unjoin::token::{EscrowKeyCertificate, Trustees};

/// The key of `threshold` of `count` trustees, certified by all of them.
pub(crate) fn play(
    threshold: u16,
    count: u16,
) -> Result<(Trustees, EscrowKeyCertificate), Box<dyn Error + Send + Sync>> {
    let secrets = hold(threshold, count)?;
    let one = secrets.first().ok_or("there are no trustees")?;
    let trustees = one.trustees().ok_or("the ceremony did not finish")?.clone();
    let certificate = one.committee().and_then(SignedCommittee::certificate);
    Ok((trustees, certificate.ok_or("the committee is not signed by all")?))
}

/// All trustees with their shares, for a test that opens.
pub(crate) fn hold(threshold: u16, count: u16) -> Result<Vec<TrusteeSecrets>, Box<dyn Error + Send + Sync>> {
    let rng = &mut SystemRng::new();
    let mut secrets: Vec<_> = (0..count).map(|_| TrusteeSecrets::generate(rng)).collect();
    let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect())?;
    let plan = CeremonyPlan::key_generation(threshold, trustees, rng)?;
    for trustee in &mut secrets {
        trustee.join(plan.clone(), threshold, rng)?;
    }
    let mut messages = Vec::new();
    while secrets.iter().any(|trustee| trustee.plan().is_some()) {
        for trustee in secrets.iter_mut().filter(|trustee| trustee.plan().is_some()) {
            if let Step::Publish(message) = trustee.next(&messages, rng)? {
                messages.push(message);
            }
        }
    }
    Ok(secrets)
}
