//! Presenting a token with a review: the recommended door, which waits for the cohort's
//! manifest, and the early one.

use super::{ManifestEvidence, Token, TrustRoots, Wallet, WalletError, derive};
use rand_core::CryptoRng;
use unjoin_core::Timestamp;
use unjoin_core::secret::below;
use unjoin_core::token::{Presentation, PresentationWitness, Review};

/// Seconds before a publication boundary in which no sending time is chosen: room for a slow
/// network and for a clock that is a little wrong.
pub const SENDING_MARGIN: u64 = 600;

/// A presentation, and when to send it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ScheduledPresentation {
    /// What to send, together with the review.
    pub presentation: Presentation,
    /// When to send it: random, so that the time of arrival says nothing about the time of
    /// writing, of delivery or of the device's waking up.
    pub send_at: Timestamp,
    /// The boundary at which the review is published if it arrives before.
    pub publication: Timestamp,
}

impl Wallet {
    /// Presents the token with a review once its cohort is closed and large enough. The
    /// recommended door.
    ///
    /// `send_at` is uniformly random from `now` (the device's clock) up to
    /// [`SENDING_MARGIN`] seconds before the next publication boundary; it is `now` when less
    /// is left. Send it then over a connection that carries no session of the account.
    ///
    /// Presenting again draws a fresh randomizer; the two share the scope, the serial and the
    /// escrow, and the desk takes one review of them.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when the token is another wallet's;
    /// [`WalletError::IssuerKeyNotPinned`] and [`WalletError::EscrowKeyNotPinned`] when its
    /// keys are no longer pinned as a pair; [`WalletError::ManifestSignature`],
    /// [`WalletError::ManifestNotLogged`], [`WalletError::LedgerNotPinned`],
    /// [`WalletError::ManifestScope`], [`WalletError::ManifestEscrow`],
    /// [`WalletError::CohortTooSmall`] and [`WalletError::WindowOver`] when the evidence does
    /// not hold for this token.
    pub fn present_after_manifest(
        &self,
        token: &Token,
        review: &Review,
        evidence: &ManifestEvidence,
        trust: &TrustRoots,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<ScheduledPresentation, WalletError> {
        let order = &token.order;
        trust.check(&order.issuer_key, &order.escrow_key)?;
        let publication = evidence.check(trust, &order.scope, &order.escrow_key, now)?;
        let presentation = self.present(token, review, rng)?;
        Ok(ScheduledPresentation { presentation, send_at: sending_time(now, publication, rng), publication })
    }

    /// Presents the token with a review before its cohort is closed.
    ///
    /// The presentation still shows neither the order nor the wallet, and the desk publishes
    /// it no sooner. But nobody has shown yet that anybody shares the scope, and the desk
    /// sees the review arrive when it is written: what protects the author until the cohort
    /// closes is the host's silence about arrival times and about who was connected, and its
    /// honesty about how many customers a cohort gets.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when the token is another wallet's.
    pub fn present_early_trusting_host_silence(
        &self,
        token: &Token,
        review: &Review,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Presentation, WalletError> {
        self.present(token, review, rng)
    }

    fn present(
        &self,
        token: &Token,
        review: &Review,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Presentation, WalletError> {
        let order = &token.order;
        let (author, secrets) = self.secrets(order)?;
        let digest = review.digest();
        let r = derive::randomizer(&self.seed, &order.scope, &secrets.s, &digest, rng);
        let witness = PresentationWitness {
            u: &author.u,
            s: &secrets.s,
            b: &secrets.b,
            k: &secrets.k,
            r: &r,
            wallet_key: &author.wallet_key,
            granted: &token.granted,
        };
        Presentation::prove(&witness, order.scope.clone(), &order.issuer_key, &order.escrow_key, &digest, rng)
            .ok_or(WalletError::Degenerate)
    }
}

/// Uniform over `now .. publication - SENDING_MARGIN`; `now` if that is empty.
fn sending_time(now: Timestamp, publication: Timestamp, rng: &mut (impl CryptoRng + ?Sized)) -> Timestamp {
    let span = publication.saturating_since(now).saturating_sub(SENDING_MARGIN);
    if span == 0 { now } else { now.saturating_add(below(span, rng)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unjoin_test_util::Seeded;

    proptest! {
        #[test]
        fn a_sending_time_lies_between_now_and_the_margin(
            seed in any::<u64>(), now in 0u64..1 << 40, left in 1u64..10_000_000,
        ) {
            let rng = &mut Seeded(seed);
            let start = Timestamp::from_unix_seconds(now);
            let send_at = sending_time(start, start.saturating_add(left), rng);
            prop_assert!(start <= send_at);
            if left > SENDING_MARGIN {
                prop_assert!(send_at < start.saturating_add(left - SENDING_MARGIN));
            } else {
                prop_assert_eq!(send_at, start);
            }
        }

        #[test]
        fn a_draw_is_below_its_bound(seed in any::<u64>(), bound in 1u64..) {
            prop_assert!(below(bound, &mut Seeded(seed)) < bound);
        }
    }

    /// Chi-square over 16 equal parts: 15 degrees of freedom, 44.3 is the 0.01 % point.
    #[test]
    fn sending_times_are_spread_evenly() {
        let rng = &mut Seeded(16);
        let (draws, parts, span) = (16_000, 16, 600_000);
        let mut counts = vec![0u32; parts];
        for _ in 0..draws {
            let now = Timestamp::from_unix_seconds(1_700_000_000);
            let send_at = sending_time(now, now.saturating_add(span + SENDING_MARGIN), rng);
            counts[(send_at.saturating_since(now) * parts as u64 / span) as usize] += 1;
        }
        let expected = f64::from(draws) / parts as f64;
        let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi_square < 44.3, "{chi_square}: {counts:?}");
    }

    /// A bound of 3/4 of the range: taking the remainder alone would hit the first third twice
    /// as often.
    #[test]
    fn a_large_bound_is_not_biased() {
        let rng = &mut Seeded(17);
        let bound = 3 << 62;
        let low = (0..9_000).filter(|_| below(bound, rng) < bound / 3).count();
        assert!((2_700..3_300).contains(&low), "{low}");
    }
}
