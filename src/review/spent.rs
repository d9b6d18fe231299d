//! The rows of a spent token: what stays of it, which has one size whatever happens, and apart from
//! it the words, the evidence and what waits.

use super::rows::{decode_review, decode_slice};
use unjoin_core::Timestamp;
use unjoin_core::entry::{HeldWithdrawalEntry, PublishedEntry};
use unjoin_core::one_byte;
use unjoin_core::token::{
    AuthorAction, AuthorKey, Digest, PlatformKey, Receipt, ReceiptTerms, Review, ReviewId, Scope, SignError,
};
use unjoin_core::wire::{DecodeError, MAX_MESSAGE, Message, Reader, Rule, Writer};
use unjoin_store::{Record, record};

/// A spent token: all that a submission and an author's action are decided by. It has the same
/// size and is read alike whatever became of the review, so that neither tells an outsider.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SpentRow {
    pub(super) state: State,
    /// The digest that was submitted: what the presentation and the receipt are bound to.
    pub(super) submitted: Digest,
    pub(super) presentation_hash: Digest,
    pub(super) author_key: AuthorKey,
    /// The boundary at which the review is, was or would have been published.
    pub(super) published_at: Timestamp,
    /// The number of the author's last accepted action; 0 before the first.
    pub(super) sequence: u64,
    /// The digest that the author's next action must continue: an accepted edit counts while
    /// it waits. [`NO_DIGEST`] after an accepted withdrawal.
    pub(super) in_force: Digest,
    /// SHA-256 of the last accepted action, enough to recognise its retry; zero before the first.
    pub(super) last_action: Digest,
    /// The boundary of the last accepted action; before the first, `published_at`.
    pub(super) changed_at: Timestamp,
}

/// What became of the review that a token signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Held = 1,
    /// Withdrawn while it was held, and its boundary has not come: to outsiders as held.
    TakenBack = 2,
    Published = 3,
    /// Withdrawn, and everybody may know.
    Withdrawn = 4,
    Removed = 5,
    /// Held in an older copy that was put back: its words are gone until the very same review is sent again.
    Awaited = 6,
    /// Published, as the ledger says, but in words that an older copy that was put back does not have.
    Unlisted = 7,
}

one_byte!(State: Held, TakenBack, Published, Withdrawn, Removed, Awaited, Unlisted);

/// What is in force after a withdrawal.
pub(super) const NO_DIGEST: Digest = [0; 32];

impl SpentRow {
    pub(super) fn held(
        digest: Digest,
        presentation_hash: Digest,
        author_key: AuthorKey,
        published_at: Timestamp,
    ) -> Self {
        Self {
            state: State::Held,
            submitted: digest,
            presentation_hash,
            author_key,
            published_at,
            sequence: 0,
            in_force: digest,
            last_action: [0; 32],
            changed_at: published_at,
        }
    }

    /// The row of a review that was withdrawn while it was held, as the ledger says.
    pub(super) fn taken_back(logged: &HeldWithdrawalEntry) -> Self {
        let digest = logged.action.statement().previous_digest;
        let held = Self::held(digest, logged.presentation_hash, logged.author_key, logged.boundary);
        Self { state: State::Withdrawn, ..held.after(&logged.action, logged.boundary) }
    }

    /// The row after an accepted action, which takes effect at `changed_at`.
    pub(super) fn after(self, action: &AuthorAction, changed_at: Timestamp) -> Self {
        let said = action.statement();
        let (sequence, in_force) = (said.sequence, said.new_digest);
        Self { sequence, in_force, last_action: action.hash(), changed_at, ..self }
    }

    /// What the ledger says of its publication.
    pub(super) fn entry(&self, scope: Scope, review_id: ReviewId) -> PublishedEntry {
        PublishedEntry {
            scope,
            boundary: self.published_at,
            review_id,
            review_digest: self.submitted,
            presentation_hash: self.presentation_hash,
            author_key: self.author_key,
        }
    }

    /// The receipt of the submission: the same whenever it is asked for in one era.
    pub(super) fn receipt(
        &self,
        review_id: ReviewId,
        era: u32,
        platform: &PlatformKey,
    ) -> Result<Receipt, SignError> {
        let terms = ReceiptTerms {
            review_id,
            review_digest: self.submitted,
            presentation_hash: self.presentation_hash,
            author_key: self.author_key,
            publish_by: self.published_at,
            era,
        };
        Receipt::sign(platform, terms)
    }
}

record!(SpentRow, "spent token":
    state, submitted, presentation_hash, author_key, published_at, sequence, in_force, last_action, changed_at);

/// The words of a held review, and the presentation that was verified when it was accepted: gone
/// with its publication or its withdrawal.
pub(super) struct HeldRow {
    pub(super) review: Review,
    /// The message's bytes.
    pub(super) presentation: Vec<u8>,
}

record!(HeldRow, "held review": review whole, presentation of(0..=MAX_MESSAGE));

/// What trustees open: until it is erased.
pub(super) struct EvidenceRow {
    /// The message's bytes.
    pub(super) presentation: Vec<u8>,
}

record!(EvidenceRow, "evidence": presentation of(0..=MAX_MESSAGE));

/// What happens to a review at a boundary to come.
pub(super) struct WaitingRow {
    pub(super) boundary: Timestamp,
    /// The accepted actions that are to be logged then, in the order of their numbers: the last one
    /// takes effect, those before it were overtaken.
    pub(super) actions: Vec<AuthorAction>,
    pub(super) change: WaitingChange,
}

#[derive(Clone)]
pub(super) enum WaitingChange {
    Edit(Review),
    Withdraw,
    /// The words of a published review came back.
    Relist(Review),
    /// The review was removed from the listing; the histogram still counts its stars.
    Uncount(u8),
}

impl Record for WaitingRow {
    const NAME: &'static str = "waiting change";

    fn encode(&self, out: &mut Writer) {
        out.timestamp(self.boundary);
        // At most `MAX_ACTIONS`.
        out.u8(self.actions.len() as u8);
        self.actions.iter().for_each(|action| out.bytes(&action.to_bytes()));
        match &self.change {
            WaitingChange::Edit(review) => {
                out.u8(1);
                out.bytes(&review.to_bytes());
            }
            WaitingChange::Withdraw => out.u8(2),
            WaitingChange::Uncount(stars) => {
                out.u8(3);
                out.u8(*stars);
            }
            WaitingChange::Relist(review) => {
                out.u8(4);
                out.bytes(&review.to_bytes());
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let boundary = from.timestamp("boundary")?;
        let count = from.u8("number of actions")?;
        let actions =
            (0..count).map(|_| AuthorAction::from_bytes(decode_slice(from)?)).collect::<Result<_, _>>()?;
        let change = match from.u8("change")? {
            1 => WaitingChange::Edit(decode_review(from)?),
            2 => WaitingChange::Withdraw,
            3 => match from.u8("stars")? {
                stars @ 1..=5 => WaitingChange::Uncount(stars),
                _ => return Err(from.refuse(Rule::Value)),
            },
            4 => WaitingChange::Relist(decode_review(from)?),
            _ => return Err(from.refuse(Rule::Value)),
        };
        Ok(Self { boundary, actions, change })
    }
}
