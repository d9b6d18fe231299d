//! The one commit path: every service reads, decides and commits through [`run`].

use super::{Commit, Outcome, RowKey, Store, StoreError};

/// How often one decision may find that a row changed under it before the caller is told.
/// Each round decides at least one of the decisions that contend for a row.
const ROUNDS: usize = 256;

/// One decision: which rows it looks at, and what follows from them.
pub(crate) trait Decision {
    /// What the caller is told.
    type Answer;

    /// The rows to read, the same in every round.
    fn keys(&self) -> Vec<RowKey>;

    /// What follows from the rows, given in the order of [`Decision::keys`]. Called again
    /// with fresh rows when the commit found one of them changed: it must not keep anything
    /// of an earlier round.
    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError>;
}

/// What a decision comes to.
pub(crate) enum Step<A> {
    /// Nothing changes.
    Answer(A),
    /// The answer holds once this is durable. Its preconditions name every row that the
    /// answer rests on.
    Commit(Commit, A),
}

/// Takes all `decisions` with one read and one commit a round: those that share a round share
/// its durable write. A failed store fails those that were still open; the answers of the
/// others stand.
pub(crate) fn run<S: Store + ?Sized, D: Decision>(
    store: &S,
    decisions: &mut [D],
) -> Vec<Result<D::Answer, StoreError>> {
    let mut answers: Vec<Option<Result<D::Answer, StoreError>>> = decisions.iter().map(|_| None).collect();
    for _ in 0..ROUNDS {
        let open: Vec<usize> =
            answers.iter().enumerate().filter(|(_, answer)| answer.is_none()).map(|(at, _)| at).collect();
        if open.is_empty() {
            break;
        }
        if let Err(failure) = round(store, decisions, &mut answers, &open) {
            for at in open {
                if let Some(answer @ None) = answers.get_mut(at) {
                    *answer = Some(Err(failure.clone()));
                }
            }
            break;
        }
    }
    answers.into_iter().map(|answer| answer.unwrap_or(Err(StoreError::Contended))).collect()
}

fn round<S: Store + ?Sized, D: Decision>(
    store: &S,
    decisions: &mut [D],
    answers: &mut [Option<Result<D::Answer, StoreError>>],
    open: &[usize],
) -> Result<(), StoreError> {
    let mut keys = Vec::new();
    let mut spans = Vec::with_capacity(open.len());
    for at in open {
        let own = decisions.get(*at).map(Decision::keys).unwrap_or_default();
        spans.push(own.len());
        keys.extend(own);
    }
    let rows = store.read(&keys)?;
    let mut rest = rows.as_slice();
    let mut commits = Vec::new();
    let mut pending = Vec::new();
    for (at, span) in open.iter().zip(spans) {
        let Some((own, tail)) = rest.split_at_checked(span) else {
            return Err(StoreError::Corrupt("read"));
        };
        rest = tail;
        let (Some(decision), Some(answer)) = (decisions.get_mut(*at), answers.get_mut(*at)) else { continue };
        match decision.decide(own) {
            Ok(Step::Answer(value)) => *answer = Some(Ok(value)),
            Ok(Step::Commit(commit, value)) => {
                commits.push(commit);
                pending.push((*at, value));
            }
            Err(error) => *answer = Some(Err(error)),
        }
    }
    if commits.is_empty() {
        return Ok(());
    }
    for (outcome, (at, value)) in store.commit(&commits)?.into_iter().zip(pending) {
        if let (Outcome::Committed, Some(answer)) = (outcome, answers.get_mut(at)) {
            *answer = Some(Ok(value));
        }
    }
    Ok(())
}

/// Takes one decision.
pub(crate) fn run_one<S: Store + ?Sized, D: Decision>(
    store: &S,
    decision: D,
) -> Result<D::Answer, StoreError> {
    run(store, &mut [decision]).pop().unwrap_or(Err(StoreError::Contended))
}
