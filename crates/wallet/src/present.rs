//! Presenting a token with a review, under the manifest of its cohort: there is no earlier door.

use super::times::sending_time;
use super::{ManifestEvidence, Token, TrustRoots, Wallet, WalletError, derive};
use rand_core::CryptoRng;
use unjoin_core::Timestamp;
use unjoin_core::token::{
    Digest, Presentation, PresentationWitness, PublicationDates, Receipt, Review, ReviewStanding, ReviewState,
};

/// A presentation, and when to send it. The device keeps it until it has the receipt, and sends
/// the same bytes at every retry.
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_core::{WEEK, secret::SystemRng};
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let (token, review, evidence) = (shop.token(), Shop::review(), shop.evidence());
/// let sent = shop.wallet.present(&token, &review, &evidence, &shop.trust, SEALED, rng)?;
/// assert!(SEALED <= sent.send_at && sent.send_at < sent.publication);
/// // The device was off: the same bytes, for the next boundary.
/// let late = sent.at_another_time(sent.publication, rng)?;
/// assert!(late.presentation == sent.presentation && late.send_at > sent.publication);
/// // After the last boundary it is too late.
/// assert!(sent.at_another_time(SEALED.saturating_add(10 * WEEK), rng).is_err());
/// # Ok::<(), unjoin_wallet::WalletError>(())
/// ```
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
    pub(super) review_digest: Digest,
    /// The boundaries of the manifest.
    pub(super) boundaries: PublicationDates,
}

impl ScheduledPresentation {
    /// The same presentation at a new time, for one that was not sent in time: the device was off. Overdue,
    /// it is never sent at once, which would tell that the device woke.
    ///
    /// # Errors
    /// [`WalletError::WindowOver`] when nothing is left before the last publication.
    pub fn at_another_time(
        &self,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, WalletError> {
        let (publication, send_at) =
            sending_time(now, &self.boundaries, rng).ok_or(WalletError::WindowOver)?;
        Ok(Self { publication, send_at, ..self.clone() })
    }

    /// Checks the receipt against what was sent: the platform's signature, the review, the presentation
    /// and the author key in it. Its era must not have ended. Its boundary must be one of the manifest,
    /// at the latest the next one as of `now`. The answer is the state that the review has by it.
    ///
    /// # Errors
    /// [`WalletError::Receipt`] when it does not fit. Keep both: they are evidence.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::shop::Shop;
    /// use unjoin_core::token::ReviewStanding;
    /// # let shop = Shop::open();
    /// # let accepted = shop.accepted();
    /// # let (sent, receipt) = (accepted.sent, accepted.receipt);
    /// let state = sent.check_receipt(&receipt, &shop.trust, sent.send_at)?;
    /// assert_eq!((state.standing, state.published_at), (ReviewStanding::Held, sent.publication));
    /// // After a recovery the device hears of era 2; a receipt of the first is worth nothing then.
    /// let trust = shop.trust.in_era(2);
    /// assert!(sent.check_receipt(&receipt, &trust, sent.send_at).is_err());
    /// # Ok::<(), unjoin_wallet::WalletError>(())
    /// ```
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
    /// Presents the token with a review once its cohort is sealed and large enough.
    ///
    /// `send_at` is uniformly random over the last 20 hours before the first publication, or the last
    /// five days before a later one. Of these only what is left at `now` (the device's clock) counts,
    /// up to [`SENDING_MARGIN`](crate::SENDING_MARGIN) seconds before the publication. Draw it once and
    /// keep it over restarts. Send then, over a connection that carries no session of the account.
    ///
    /// Presenting again draws a fresh randomizer; the two share the scope, the serial and the escrow,
    /// and the review service takes one review of them.
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
        let (publication, send_at) = sending_time(now, &boundaries, rng).ok_or(WalletError::WindowOver)?;
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
            request: secrets.request(&author),
            k: &secrets.k,
            r: &r,
            granted: &token.granted,
            author_key: secrets.author_key(),
        };
        Presentation::prove(&witness, order.scope.clone(), &order.issuer_key, &order.escrow_key, &digest, rng)
            .ok_or(WalletError::Degenerate)
    }
}
