//! The author's actions: recognised by the signature of the review's author key, never by a name.
//!
//! The signature is checked before anything that depends on the review is told. Anybody who cannot
//! sign hears one refusal after the same read and the same work, whether the review is held,
//! withdrawn, waiting to be, or was never there. Otherwise a gang that rings its suspects would
//! hear from the answers which one has given in.

use super::rows::{self, CohortRow, Due, IfNeeded, Task};
use super::spent::{NO_DIGEST, SpentRow, State, WaitingChange, WaitingRow};
use super::{Core, DeskError};
use unjoin_core::secret::below;
use unjoin_core::token::{
    ActionKind, ActionReceipt, AuthorAction, AuthorKey, Review, ReviewId, ReviewStanding, ReviewState, Scope,
    StateQuestion,
};
use unjoin_core::wire::Message;
use unjoin_core::{Grid, Timestamp};
use unjoin_store::{Change, Key, Present, Record, Store, StoreError, decide, read};

/// The number of coming Mondays from which that of an edit or a withdrawal is drawn. Whatever the grid: on
/// a daily one anybody who presses one suspect a day and watches the listing would know which gave in.
const NEXT_MONDAYS: u64 = 3;
/// The most actions that a review may have. The last of them can only be a withdrawal.
const MAX_ACTIONS: u64 = 16;

impl<S: Store> Core<S> {
    pub(super) fn act(
        &self,
        scope: &Scope,
        action: &AuthorAction,
        edited: &[u8],
    ) -> Result<ActionReceipt, DeskError> {
        let id = action.statement().review_id;
        let proven = self.proven(scope, &id, |key| action.verify(key, &id).is_ok())?;
        let keys = (rows::spent(scope, &id), rows::waiting(scope, &id));
        let now = self.now()?;
        // Of one that was withdrawn there may be no row but the ledger's, and nothing is written.
        let over = Some(proven).filter(|proven| proven.state == State::Withdrawn);
        let reads = (keys.clone(), IfNeeded(rows::cohort(scope)));
        decide(&*self.store, reads, |((spent, waiting), cohort), change| {
            let step = Step { core: self, scope, keys: &keys, action, now };
            let spent = spent.or_else(|| over.clone()).ok_or(DeskError::Refused)?;
            step.judge(spent, waiting, cohort, edited, change)
        })
    }

    pub(super) fn state(&self, scope: &Scope, question: &StateQuestion) -> Result<ReviewState, DeskError> {
        let today = Grid::Daily.at_or_before(self.environment.now());
        let id = question.review_id();
        let is_authors = |key: &AuthorKey| question.verify(key).is_ok() && today == Some(question.date());
        let spent = self.proven(scope, id, is_authors)?;
        let standing = match spent.state {
            State::Removed => ReviewStanding::Removed,
            State::TakenBack | State::Withdrawn => ReviewStanding::Withdrawn,
            State::Published | State::Unlisted if spent.in_force == NO_DIGEST => ReviewStanding::Withdrawn,
            State::Published | State::Unlisted => ReviewStanding::Published,
            State::Held | State::Awaited => ReviewStanding::Held,
        };
        Ok(ReviewState {
            review_id: *id,
            last_sequence: spent.sequence,
            digest_in_force: spent.in_force,
            standing,
            published_at: spent.published_at,
        })
    }

    /// The row of a review whose author has signed: one read and one verification, whatever the
    /// row says and whether there is one.
    fn proven(
        &self,
        scope: &Scope,
        id: &ReviewId,
        holds: impl FnOnce(&AuthorKey) -> bool,
    ) -> Result<SpentRow, DeskError> {
        let logged = self.withdrawn_before(std::slice::from_ref(id))?.pop().flatten();
        let spent = read(&*self.store, &rows::spent(scope, id))?.or(logged);
        self.verifier.count_signature();
        let holds = holds(spent.as_ref().map_or(&AuthorKey::NOBODY, |spent| &spent.author_key));
        spent.filter(|_| holds).ok_or(DeskError::Refused)
    }
}

/// An action whose signature holds.
struct Step<'a, S> {
    core: &'a Core<S>,
    scope: &'a Scope,
    keys: &'a (Key<SpentRow>, Key<WaitingRow>),
    action: &'a AuthorAction,
    now: Timestamp,
}

impl<S: Store> Step<'_, S> {
    fn judge(
        &self,
        spent: SpentRow,
        waiting: Option<WaitingRow>,
        cohort: Result<Option<CohortRow>, StoreError>,
        edited: &[u8],
        change: &mut Change,
    ) -> Result<ActionReceipt, DeskError> {
        let said = self.action.statement();
        // What took effect stands in the ledger, where anybody can copy it: it is answered alike, whatever
        // was accepted since and waits. After a withdrawal nothing is.
        let (withdrawn, waits) = (spent.in_force == NO_DIGEST, waiting.is_some());
        if (withdrawn || waits) && spent.last_action == self.action.hash() {
            return self.receipt(spent.changed_at);
        }
        if spent.state == State::Removed {
            return Err(DeskError::NotPublished);
        }
        if withdrawn && (!waits || said.sequence >= spent.sequence) {
            return Err(DeskError::Withdrawn);
        }
        if !said.continues(spent.sequence, &spent.in_force) {
            return Err(DeskError::OutOfSequence);
        }
        let is_edit = said.kind == ActionKind::Edit;
        if said.sequence > MAX_ACTIONS || is_edit && said.sequence == MAX_ACTIONS {
            return Err(DeskError::TooManyActions);
        }
        let replacement = self.replacement(edited)?;
        if !matches!(spent.state, State::Held | State::Awaited) {
            return self.on_published(spent, waiting, replacement, change);
        }
        if is_edit {
            return Err(DeskError::Held);
        }
        // Content and escrow go at once. The ledger's entry is written at the boundary at which the
        // review would have been published: the time of the withdrawal stays unknown.
        let boundary = match spent.state {
            // The boundary that it was held for may be over.
            State::Awaited => {
                let cohort = cohort?.ok_or(StoreError::Corrupt(CohortRow::NAME))?;
                cohort.publication_after(self.now).ok_or(DeskError::WindowOver)?
            }
            _ => spent.published_at,
        };
        let taken_back = SpentRow { state: State::TakenBack, published_at: boundary, ..spent };
        change.put(&self.keys.0, &taken_back.after(self.action, boundary));
        change.delete(&rows::sent(self.scope, &said.review_id));
        self.wait(boundary, vec![], replacement, change);
        self.receipt(boundary)
    }

    /// An edit comes with the review that its digest names, a withdrawal with nothing.
    fn replacement(&self, edited: &[u8]) -> Result<WaitingChange, DeskError> {
        match self.action.statement().kind {
            ActionKind::Withdraw if edited.is_empty() => Ok(WaitingChange::Withdraw),
            ActionKind::Withdraw => Err(DeskError::DigestMismatch),
            ActionKind::Edit => {
                let review = Review::from_bytes(edited).map_err(|_| DeskError::DigestMismatch)?;
                let fits = review.digest() == self.action.statement().new_digest;
                if fits { Ok(WaitingChange::Edit(review)) } else { Err(DeskError::DigestMismatch) }
            }
        }
    }

    fn on_published(
        &self,
        spent: SpentRow,
        waiting: Option<WaitingRow>,
        replacement: WaitingChange,
        change: &mut Change,
    ) -> Result<ActionReceipt, DeskError> {
        let boundary = self.monday(spent.changed_at.max(spent.published_at));
        // What waited is overtaken: logged with this one, but without effect.
        let overtaken = waiting.map_or_else(Vec::new, |replaced| {
            change.delete(&self.due(replaced.boundary));
            replaced.actions
        });
        change.put(&self.due(boundary), &Present);
        change.put(&self.keys.0, &spent.after(self.action, boundary));
        self.wait(boundary, overtaken, replacement, change);
        self.receipt(boundary)
    }

    fn wait(
        &self,
        boundary: Timestamp,
        mut actions: Vec<AuthorAction>,
        replacement: WaitingChange,
        change: &mut Change,
    ) {
        actions.push(self.action.clone());
        change.put(&self.keys.1, &WaitingRow { boundary, actions, change: replacement });
    }

    /// One of the next three Mondays, but none before `before`: the one that a replaced action waited
    /// for, or the boundary of what is changed. Nothing is dated before that, whichever clock dated it.
    fn monday(&self, before: Timestamp) -> Timestamp {
        let mondays = (1..=NEXT_MONDAYS).map(|count| Grid::Weekly.nth_after(self.now, count));
        let open: Vec<Timestamp> = mondays.filter(|monday| *monday >= before).collect();
        // None only if this clock is behind the one that dated the last change.
        let first = Grid::Weekly.next_after(before.saturating_sub(1));
        let Ok(count @ 1..) = u64::try_from(open.len()) else { return first };
        let drawn = usize::try_from(below(count, &mut *self.core.rng())).unwrap_or_default();
        open.get(drawn).copied().unwrap_or(first)
    }

    fn due(&self, time: Timestamp) -> Key<Present> {
        let task = Task::Apply(self.action.statement().review_id);
        Due { time, task, scope: self.scope.clone() }.key()
    }

    fn receipt(&self, boundary: Timestamp) -> Result<ActionReceipt, DeskError> {
        Ok(ActionReceipt::sign(&self.core.platform, self.action, boundary, self.core.era)?)
    }
}
