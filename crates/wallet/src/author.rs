//! What the author of a review, and nobody else, can do afterwards.

use super::times::acting_time;
use super::{ReviewRight, TrustRoots, Wallet, WalletError};
use rand_core::CryptoRng;
use unjoin_core::token::{
    ActionKind, ActionReceipt, AuthorAction, AuthorStatement, Digest, Review, ReviewId, ReviewState,
    StateQuestion,
};
use unjoin_core::{Grid, Timestamp};

/// What the author wants.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_core::token::{ActionKind, Review};
/// use unjoin_wallet::AuthorRequest;
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let accepted = shop.accepted();
/// # let (wallet, token, state, now) = (&shop.wallet, &accepted.token, &accepted.state, accepted.sent.send_at);
/// let kinder = Review::new(3, "They sent another lamp.", vec![])?;
/// let edit = wallet.act(token, state, AuthorRequest::Edit(&kinder), now, rng)?;
/// let said = edit.action.statement();
/// assert_eq!((said.kind, said.new_digest), (ActionKind::Edit, kinder.digest()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum AuthorRequest<'a> {
    /// Replace the review by this one. One with the digest in force changes nothing: it voids an
    /// action that still waits.
    Edit(&'a Review),
    /// Take the review back, for good.
    Withdraw,
}

impl AuthorRequest<'_> {
    fn kind_and_digest(&self) -> (ActionKind, Digest) {
        match self {
            Self::Edit(review) => (ActionKind::Edit, review.digest()),
            Self::Withdraw => (ActionKind::Withdraw, [0; 32]),
        }
    }
}

/// A signed action, and when to send it.
///
/// Store it before sending, repeat it unchanged until there is a receipt, and sign no other with
/// its sequence number. Keep both until the ledger shows the action, and show neither: whoever
/// presses an author must not be able to see that they acted.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_core::token::ActionReceipt;
/// use unjoin_wallet::AuthorRequest;
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let accepted = shop.accepted();
/// # let (token, state, now) = (&accepted.token, &accepted.state, accepted.sent.send_at);
/// let scheduled = shop.wallet.act(token, state, AuthorRequest::Withdraw, now, rng)?;
/// // Not at once; and before the boundary, so that the review never appears.
/// assert!(now <= scheduled.send_at && scheduled.send_at < state.published_at);
/// // What the review service answers.
/// let receipt = ActionReceipt::sign(&shop.platform_key, &scheduled.action, state.published_at, 1)?;
/// scheduled.check_receipt(&receipt, &shop.trust, scheduled.send_at)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ScheduledAction {
    /// What to send, with the new review if it is an edit.
    pub action: AuthorAction,
    /// When to send it: a random time within a day. Do not offer a way to send it at once: an author
    /// must not be able to act while being pressed on the phone.
    pub send_at: Timestamp,
    /// The boundary of a review that was still held.
    pub(super) held_until: Option<Timestamp>,
}

impl ScheduledAction {
    /// Checks the receipt of the action: the platform's signature, the action, an era that has not
    /// ended, and a boundary that the review service may choose as of `now`. That is the boundary of a held review,
    /// or one of the next three Mondays.
    ///
    /// # Errors
    /// [`WalletError::Receipt`] when it does not fit. Keep it: it is evidence.
    pub fn check_receipt(
        &self,
        receipt: &ActionReceipt,
        trust: &TrustRoots,
        now: Timestamp,
    ) -> Result<(), WalletError> {
        let boundary = receipt.boundary();
        let monday = Grid::Weekly.at_or_before(boundary) == Some(boundary);
        let soon = boundary <= Grid::Weekly.nth_after(now, 3);
        let fits = receipt.action_hash() == &self.action.hash()
            && (self.held_until == Some(boundary) || monday && soon)
            && trust.accepts_era(receipt.era());
        if fits && receipt.verify(trust.platform_key()).is_ok() { Ok(()) } else { Err(WalletError::Receipt) }
    }
}

impl Wallet {
    /// Signs an edit or a withdrawal of the token's review, from where the review stands.
    ///
    /// `state` is that of its receipt, after the actions that were accepted since; a device that
    /// was restored from its seed asks for it ([`ask_state`](Self::ask_state)). Anybody who sees the
    /// action learns that the author of this review made it, and nothing else. It works as long as
    /// the review is listed.
    ///
    /// `send_at` is uniformly random within a day of `now`. A review that is still held can be
    /// withdrawn only: before its boundary where that is far enough, so that it never appears. An
    /// edit of it is sent within the day after the boundary.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when the token is another wallet's;
    /// [`WalletError::AnotherReview`] when the state is another review's;
    /// [`WalletError::Withdrawn`] when the review was withdrawn;
    /// [`WalletError::SequenceExhausted`] after 2^64 - 1 edits.
    pub fn act(
        &self,
        right: &impl ReviewRight,
        state: &ReviewState,
        request: AuthorRequest<'_>,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<ScheduledAction, WalletError> {
        let (_, secrets) = self.secrets(right.order())?;
        let review_id = ReviewId::new(&right.order().scope, secrets.s.expose());
        if state.review_id != review_id {
            return Err(WalletError::AnotherReview);
        }
        if state.digest_in_force == [0; 32] {
            return Err(WalletError::Withdrawn);
        }
        let sequence = state.last_sequence.checked_add(1).ok_or(WalletError::SequenceExhausted)?;
        let (kind, new_digest) = request.kind_and_digest();
        let previous_digest = state.digest_in_force;
        let statement = AuthorStatement { kind, review_id, sequence, previous_digest, new_digest };
        let action =
            AuthorAction::sign(&secrets.author_signer(), statement).ok_or(WalletError::Degenerate)?;
        let (send_at, in_time) = acting_time(now, state.published_at, kind, rng);
        Ok(ScheduledAction { action, send_at, held_until: in_time.then_some(state.published_at) })
    }

    /// Asks where the token's review stands: for a device that was restored from its seed. The
    /// question is answered on the UTC day of `now` alone. Ask at a random time of that day, and
    /// without the account's session.
    ///
    /// # Errors
    /// [`WalletError::AnotherWallet`] when the token is another wallet's.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::shop::Shop;
    /// # use unjoin_core::secret::SystemRng;
    /// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
    /// # let accepted = shop.accepted();
    /// # let (token, now) = (&accepted.token, accepted.sent.send_at);
    /// let question = shop.wallet.ask_state(token, now, rng)?;
    /// assert_eq!(question.review_id(), &shop.wallet.review_id(token)?);
    /// assert!(question.date() <= now && now.saturating_since(question.date()) < unjoin_core::DAY);
    /// # Ok::<(), unjoin_wallet::WalletError>(())
    /// ```
    pub fn ask_state(
        &self,
        right: &impl ReviewRight,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<StateQuestion, WalletError> {
        let (_, secrets) = self.secrets(right.order())?;
        let review_id = ReviewId::new(&right.order().scope, secrets.s.expose());
        let mut fresh = [0; 32];
        rng.fill_bytes(&mut fresh);
        let date = Grid::Daily.at_or_before(now).unwrap_or(Timestamp::ZERO);
        Ok(StateQuestion::sign(&secrets.author_signer(), review_id, date, fresh))
    }
}
