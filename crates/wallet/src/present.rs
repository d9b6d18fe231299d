//! Presenting a token with a review, under the manifest of its cohort: there is no earlier door.

use super::{ManifestEvidence, Token, TrustRoots, Wallet, WalletError, derive};
use rand_core::CryptoRng;
use unjoin_core::Timestamp;
use unjoin_core::secret::below;
use unjoin_core::token::{
    Digest, Presentation, PresentationWitness, PublicationDates, Receipt, Review, ReviewStanding, ReviewState,
};

/// Seconds before a publication boundary in which no sending time is chosen: room for a slow
/// network and for a clock that is a little wrong.
pub const SENDING_MARGIN: u64 = 600;

/// With less than this left before a boundary, in seconds, a review waits for the next one: a
/// short span would tell when it was written.
const LEAST_SPAN: u64 = 12 * 3_600;

/// A presentation, and when to send it. The device keeps it until it has the receipt, and sends
/// the same bytes at every retry.
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
    review_digest: Digest,
    /// The boundaries of the manifest.
    boundaries: PublicationDates,
}

impl ScheduledPresentation {
    /// Checks the receipt against what was sent: the platform's signature, the review, the
    /// presentation, the author key in it, an era that has not ended, and a boundary of the manifest, at
    /// the latest the next one as of `now`. The answer is where the review stands.
    ///
    /// # Errors
    /// [`WalletError::Receipt`] when it does not fit. Keep both: they are evidence.
    pub fn check_receipt(
        &self,
        receipt: &Receipt,
        trust: &TrustRoots,
        now: Timestamp,
    ) -> Result<ReviewState, WalletError> {
        let (terms, sent) = (receipt.terms(), &self.presentation);
        let latest = self.boundaries.after(now).unwrap_or(self.boundaries.last());
        let fits = terms.review_id == sent.review_id()
            && terms.review_digest == self.review_digest
            && terms.presentation_hash == sent.hash()
            && &terms.author_key == sent.author_key()
            && trust.accepts_era(terms.era)
            && self.boundaries.as_slice().contains(&terms.publish_by)
            && (self.publication..=latest.max(self.publication)).contains(&terms.publish_by);
        if !fits || receipt.verify(trust.platform_key()).is_err() {
            return Err(WalletError::Receipt);
        }
        Ok(ReviewState {
            review_id: terms.review_id,
            last_sequence: 0,
            digest_in_force: terms.review_digest,
            standing: ReviewStanding::Held,
            published_at: terms.publish_by,
        })
    }
}

impl Wallet {
    /// Presents the token with a review once its cohort is closed and large enough.
    ///
    /// `send_at` is uniformly random from `now` (the device's clock) up to [`SENDING_MARGIN`]
    /// seconds before the next publication boundary, or before the last one where less than twelve
    /// hours are left. Draw it once and keep it over restarts. Send then, over a connection that
    /// carries no session of the account.
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
    /// [`WalletError::ManifestOffGrid`], [`WalletError::CohortTooSmall`] and
    /// [`WalletError::WindowOver`] when the evidence does not hold for this token.
    pub fn present(
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
        let manifest = evidence.check(trust, &order.scope, &order.escrow_key)?;
        let boundaries = manifest.publications;
        let (publication, send_at) = sending_time(now, boundaries, rng).ok_or(WalletError::WindowOver)?;
        let presentation = self.presentation(token, review, rng)?;
        let review_digest = review.digest();
        Ok(ScheduledPresentation { presentation, send_at, publication, review_digest, boundaries })
    }

    /// The bare presentation: for tests and benches. It looks at no manifest, and without one no
    /// review is taken.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when the token is another wallet's.
    #[doc(hidden)]
    pub fn presentation(
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
            author_key: secrets.author_key(),
            r: &r,
            wallet_key: &author.wallet_key,
            granted: &token.granted,
        };
        Presentation::prove(&witness, order.scope.clone(), &order.issuer_key, &order.escrow_key, &digest, rng)
            .ok_or(WalletError::Degenerate)
    }
}

/// The boundary to aim at, and a time uniform over `now .. boundary - SENDING_MARGIN`; `None` if
/// nothing is left of the last span.
fn sending_time(
    now: Timestamp,
    boundaries: PublicationDates,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Option<(Timestamp, Timestamp)> {
    let is_far = |boundary: &Timestamp| boundary.saturating_since(now) >= LEAST_SPAN;
    let publication = boundaries.as_slice().iter().copied().find(is_far).unwrap_or(boundaries.last());
    let span = publication.saturating_since(now).saturating_sub(SENDING_MARGIN);
    (span > 0).then(|| (publication, now.saturating_add(below(span, rng))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unjoin_test_util::Seeded;

    proptest! {
        #[test]
        fn a_sending_time_lies_between_now_and_the_margin(
            seed in any::<u64>(), now in 10_000_000u64..1 << 40, first in -100_000i64..1_000_000, window in 1u64..3_000_000,
        ) {
            let rng = &mut Seeded(seed);
            let start = Timestamp::from_unix_seconds(now);
            let first = Timestamp::from_unix_seconds(now.saturating_add_signed(first));
            let last = first.saturating_add(window);
            match sending_time(start, PublicationDates::new(&[first, last]).unwrap(), rng) {
                None => prop_assert!(last.saturating_since(start) <= SENDING_MARGIN),
                Some((boundary, send_at)) => {
                    prop_assert!(start <= send_at && send_at < boundary.saturating_sub(SENDING_MARGIN));
                    // Never a short span before the first: that would tell when it was written.
                    prop_assert!(boundary == last || first.saturating_since(start) >= LEAST_SPAN);
                }
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
            let first = now.saturating_add(span + SENDING_MARGIN);
            let (_, send_at) = sending_time(now, PublicationDates::new(&[first]).unwrap(), rng).unwrap();
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
