//! The rows of a spent token: what stays of it, which has one size whatever happens, and apart from
//! it what was sent with it and what waits.

use unjoin_core::Timestamp;
use unjoin_core::entry::{HeldWithdrawalEntry, PublishedEntry};
use unjoin_core::token::{
    AuthorAction, AuthorKey, Digest, PlatformKey, Receipt, ReceiptTerms, Review, ReviewId, Scope, SignError,
};
use unjoin_core::wire::{DecodeError, Field, MAX_MESSAGE, Reader, Rule, Sequence, Whole, Writer};
use unjoin_core::{one_byte, one_of};
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

/// What was sent with a token: the presentation that was verified when it was accepted, which trustees
/// open, until it is erased; and, while the review is held, its words. Its publication takes the words out, in
/// the same place.
pub(super) struct SentRow {
    /// The message's bytes.
    pub(super) presentation: Vec<u8>,
    /// `None` once it is published.
    pub(super) held: Option<Review>,
}

impl SentRow {
    /// What trustees open: nothing before the publication.
    pub(super) fn evidence(self) -> Option<Vec<u8>> {
        self.held.is_none().then_some(self.presentation)
    }
}

impl Record for SentRow {
    const NAME: &'static str = "evidence";

    fn encode(&self, out: &mut Writer) {
        out.bool(self.held.is_some());
        out.bytes(&self.presentation);
        self.held.iter().for_each(|review| Whole::put(review, out));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let is_held = from.bool("held")?;
        let presentation = Sequence::get(from, "presentation", 0..=MAX_MESSAGE)?;
        let held = is_held.then(|| Whole::get(from, "review")).transpose()?;
        Ok(Self { presentation, held })
    }
}

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

one_of!(WaitingChange:
    1 => Edit(review as "review" whole),
    2 => Withdraw,
    3 => Uncount(stars as "stars"),
    4 => Relist(review as "review" whole));

impl Record for WaitingRow {
    const NAME: &'static str = "waiting change";

    fn encode(&self, out: &mut Writer) {
        out.timestamp(self.boundary);
        // At most `MAX_ACTIONS`.
        out.u8(self.actions.len() as u8);
        self.actions.iter().for_each(|action| Whole::put(action, out));
        self.change.put(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (boundary, count) = (from.timestamp("boundary")?, from.u8("number of actions")?);
        let actions = (0..count).map(|_| Whole::get(from, "action")).collect::<Result<_, _>>()?;
        let change = Field::get(from, "change")?;
        if matches!(change, WaitingChange::Uncount(stars) if !(1..=5).contains(&stars)) {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self { boundary, actions, change })
    }
}
