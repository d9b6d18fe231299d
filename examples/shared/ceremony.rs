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
    let rng = &mut SystemRng::new();
    let mut secrets: Vec<_> = (0..count).map(|_| TrusteeSecrets::generate(rng)).collect();
    let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect())?;
    let plan = CeremonyPlan::key_generation(threshold, trustees.clone(), rng)?;
    for trustee in &mut secrets {
        trustee.join(plan.clone(), threshold, rng)?;
    }
    let mut messages = Vec::new();
    loop {
        for trustee in &mut secrets {
            match trustee.next(&messages, rng)? {
                Step::Publish(message) => messages.push(message),
                Step::Finished(signed) => {
                    let certificate = SignedCommittee::certificate(&signed);
                    return Ok((trustees, certificate.ok_or("the committee is not signed by all")?));
                }
                _ => {}
            }
        }
    }
}
