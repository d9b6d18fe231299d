//! One order, from being eligible to the last edit of its review.

use super::plan::LOOKS;
use super::{Asked, Task};
use crate::order::OrderContext;
use crate::present::ScheduledPresentation;
use crate::{AuthorRequest, PendingToken, ScheduledAction, Token, TrustRoots, Wallet, WalletError};
use rand_core::CryptoRng;
use unjoin_core::token::{
    ActionKind, ActionReceipt, CohortManifest, Offer, OrderHandle, Receipt, Review, ReviewState, Scope,
    TokenRequest,
};
use unjoin_core::{Grid, Name, Timestamp};

pub(super) struct Order {
    pub(super) merchant: Name,
    pub(super) handle: OrderHandle,
    /// Its cohort was not sealed before this boundary.
    pub(super) since: Timestamp,
    pub(super) task: Task,
    pub(super) right: Right,
    pub(super) manifest: Option<CohortManifest>,
    /// As it is shown: written, or in force.
    pub(super) review: Option<Review>,
    /// There once review and manifest are, until there is a receipt.
    pub(super) sending: Option<Sending>,
    pub(super) receipt: Option<Receipt>,
    /// As the review service has it; what waits included.
    pub(super) state: Option<ReviewState>,
    /// Whether to ask for the state, since what is known may not be all.
    pub(super) asks_state: bool,
    /// What the author wants next. It is signed when it is sent.
    pub(super) wish: Option<Wish>,
    /// Signed, and sent unchanged until it is accepted: no other takes its sequence number.
    pub(super) acting: Option<Acting>,
    /// Accepted. It shows in no state before its boundary.
    pub(super) waiting: Option<Change>,
    /// A review that was taken back before it was sent, and goes on being shown until this boundary.
    pub(super) gone: Option<Timestamp>,
    pub(super) withdrawn: bool,
    pub(super) looked: Looked,
}

/// What was found when the bundle was read that holds, or would hold, the order's review.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    NotYet,
    /// There was nothing to look for: those who wrote nothing read it, too.
    ForNothing,
    Found,
    /// Under the review's id stands something else.
    FoundChanged,
    Missing,
}

/// The right to a review.
#[allow(clippy::large_enum_variant, reason = "almost all of them are held")]
pub(super) enum Right {
    /// To be asked for: `later` since another order of the customer's is in the cohort that gathers, `made_up` at a
    /// time that was drawn again.
    Missing {
        later: bool,
        made_up: bool,
    },
    /// The offer came. The request is made again after a restart.
    Offered {
        offer: Offer,
        asked: Option<(PendingToken, TokenRequest)>,
    },
    Held(Token),
    /// There will be none, since the time to ask is over. The wallet may have had one before it was restored. There the
    /// review is under one of these scopes, the likeliest last; `None` before the merchant's manifests were read.
    Lapsed(Option<Vec<Scope>>),
    /// A review stands there; what its author can do takes no token.
    Authored(OrderContext),
    /// There will be none.
    Refused,
}

pub(super) struct Sending {
    /// For the manifest's first boundary, which a desk whose clock is behind this one may give.
    pub(super) scheduled: ScheduledPresentation,
    /// The boundary that it is sent for next.
    pub(super) aim: Timestamp,
    /// Whether the desk may have it.
    pub(super) sent: bool,
}

pub(super) enum Wish {
    Edit(Review),
    Withdraw,
}

pub(super) struct Acting {
    pub(super) action: ScheduledAction,
    /// `None` for a withdrawal.
    pub(super) review: Option<Review>,
}

pub(super) struct Change {
    pub(super) boundary: Timestamp,
    /// `None` for a withdrawal.
    pub(super) review: Option<Review>,
    /// Evidence, until the ledger shows the action; a state that was asked for comes without.
    pub(super) receipt: Option<ActionReceipt>,
}

impl Wish {
    pub(super) fn kind(&self) -> ActionKind {
        match self {
            Self::Edit(_) => ActionKind::Edit,
            Self::Withdraw => ActionKind::Withdraw,
        }
    }

    pub(super) fn request(&self) -> AuthorRequest<'_> {
        match self {
            Self::Edit(review) => AuthorRequest::Edit(review),
            Self::Withdraw => AuthorRequest::Withdraw,
        }
    }

    pub(super) fn into_review(self) -> Option<Review> {
        match self {
            Self::Edit(review) => Some(review),
            Self::Withdraw => None,
        }
    }

    pub(super) fn of(review: Option<Review>) -> Self {
        review.map_or(Self::Withdraw, Self::Edit)
    }
}

impl Order {
    pub(super) fn new(merchant: Name, handle: OrderHandle, since: Timestamp) -> Self {
        Self {
            merchant,
            handle,
            since,
            task: Task::default(),
            right: Right::Missing { later: false, made_up: false },
            manifest: None,
            review: None,
            sending: None,
            receipt: None,
            state: None,
            asks_state: false,
            wish: None,
            acting: None,
            waiting: None,
            gone: None,
            withdrawn: false,
            looked: Looked::NotYet,
        }
    }

    pub(super) fn token(&self) -> Option<&Token> {
        match &self.right {
            Right::Held(token) => Some(token),
            _ => None,
        }
    }

    /// The scope of the right to a review.
    pub(super) fn scope(&self) -> Option<&Scope> {
        match &self.right {
            Right::Held(token) => Some(token.scope()),
            Right::Authored(context) => Some(&context.scope),
            _ => None,
        }
    }

    /// The boundary whose bundle is to be read: that at which the review was promised to appear, or the first at which it
    /// could have.
    pub(super) fn looks_at(&self) -> Option<Timestamp> {
        if self.looked != Looked::NotYet || self.task.failed > LOOKS {
            return None;
        }
        let first = self.manifest.as_ref().map(|manifest| manifest.publications.first());
        self.receipt.as_ref().map(|receipt| receipt.terms().publish_by).or(first)
    }

    /// Whether the desk may have a review of this order.
    pub(super) fn was_sent(&self) -> bool {
        self.state.is_some() || self.sending.as_ref().is_some_and(|sending| sending.sent)
    }

    /// What is to be asked next; `reads` where there is a ledger to be read.
    pub(super) fn need(&self, enrolled: bool, reads: bool) -> Option<Asked> {
        match &self.right {
            Right::Missing { .. } => enrolled.then_some(Asked::Offer),
            Right::Offered { .. } => Some(Asked::Grant),
            Right::Refused => None,
            Right::Lapsed(scopes) => scopes.as_ref().map(|_| Asked::State),
            Right::Held(_) | Right::Authored(_) if self.asks_state => Some(Asked::State),
            Right::Held(_) | Right::Authored(_)
                if self.state.is_some() && (self.acting.is_some() || self.wish.is_some()) =>
            {
                Some(Asked::Action)
            }
            Right::Held(_) if self.state.is_none() && self.sending.is_some() => Some(Asked::Submission),
            Right::Held(_) | Right::Authored(_) if reads => self.looks_at().map(|_| Asked::Published),
            Right::Held(_) | Right::Authored(_) => None,
        }
    }

    /// What the next action is.
    pub(super) fn action_kind(&self) -> Option<ActionKind> {
        let signed = self.acting.as_ref().map(|acting| acting.action.action.statement().kind);
        signed.or(self.wish.as_ref().map(Wish::kind))
    }

    /// Whether it waits for a manifest: its own cohort's, or any of its merchant.
    pub(super) fn waits_for_manifest(&self) -> bool {
        match &self.right {
            Right::Held(_) => self.manifest.is_none(),
            Right::Missing { later, .. } => *later,
            Right::Lapsed(None) => true,
            _ => false,
        }
    }

    /// Takes the words of a review that was never sent, in the place of those before, and presents it.
    pub(super) fn write(
        &mut self,
        review: Review,
        wallet: &Wallet,
        trust: &TrustRoots,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        (self.review, self.wish, self.gone) = (Some(review), None, None);
        self.present(wallet, trust, rng)
    }

    /// Presents the review, once token and manifest are there. The time of a presentation that it replaces stays.
    pub(super) fn present(
        &mut self,
        wallet: &Wallet,
        trust: &TrustRoots,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        let (Right::Held(token), Some(manifest), Some(review)) = (&self.right, &self.manifest, &self.review)
        else {
            return Ok(());
        };
        if self.was_sent() {
            return Ok(());
        }
        trust.check(token.issuer_key(), token.escrow_key())?;
        let (boundaries, first) = (manifest.publications, manifest.publications.first());
        let aim = self.sending.as_ref().map_or(first, |sending| sending.aim);
        let scheduled = ScheduledPresentation {
            presentation: wallet.presentation(token, review, rng)?,
            send_at: aim,
            publication: first,
            review_digest: review.digest(),
            boundaries,
        };
        if self.sending.is_none() && !self.asks_state {
            self.task = Task::default();
        }
        self.sending = Some(Sending { scheduled, aim, sent: false });
        Ok(())
    }

    /// No review is under the scope that was tried.
    pub(super) fn try_next(&mut self) {
        if let Right::Lapsed(Some(scopes)) = &mut self.right {
            scopes.pop();
            if scopes.is_empty() {
                self.right = Right::Refused;
            }
        }
        self.task.succeed();
    }

    /// Takes the state that was told.
    pub(super) fn adopt(&mut self, state: ReviewState, now: Timestamp) {
        self.asks_state = false;
        self.sending = None;
        let third_monday = Grid::Weekly.nth_after(now, 3);
        if let Some(acting) = self.acting.take() {
            let said = acting.action.action.statement();
            if said.sequence == state.last_sequence && said.new_digest == state.digest_in_force {
                self.settle(now);
                let boundary = if state.published_at > now { state.published_at } else { third_monday };
                self.waiting = Some(Change { boundary, review: acting.review, receipt: None });
            } else if self.wish.is_none() {
                self.wish = Some(Wish::of(acting.review));
            }
        }
        let withdrawn = state.digest_in_force == [0; 32];
        if withdrawn {
            self.wish = None;
        }
        if withdrawn && self.waiting.is_none() && !self.withdrawn {
            let boundary = if state.published_at > now { state.published_at } else { third_monday };
            self.waiting = Some(Change { boundary, review: None, receipt: None });
        }
        let is_own = |review: &Review| review.digest() == state.digest_in_force;
        if !withdrawn && self.waiting.is_none() && !self.review.as_ref().is_some_and(is_own) {
            self.review = None;
        }
        self.state = Some(state);
    }

    /// A change whose boundary is over is shown.
    pub(super) fn settle(&mut self, now: Timestamp) {
        if let Some(change) = self.waiting.take_if(|change| change.boundary <= now) {
            self.withdrawn |= change.review.is_none();
            self.review = change.review;
        }
    }
}
