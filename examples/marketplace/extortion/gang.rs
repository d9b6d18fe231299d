//! The gang at the anonymous door: it has an author's shop, review id and words, and even a copy of
//! what their device sent; only the author's key it lacks. Was the held review withdrawn?

use unjoin::{
    Grid, Name, Platform, Timestamp,
    review::Submission,
    secret::{SecretBytes, SystemRng},
    store::Store,
    token::{
        ActionKind, AuthorAction, AuthorStatement, DoorMessage, DoorQuestion, Review, ReviewId, Scope,
        StateQuestion,
    },
    wire::Message,
};
use unjoin_core::signature::Signer;

use super::court::Result;

/// The sequence numbers that it tries.
const SEQUENCES: std::ops::RangeInclusive<u64> = 1..=4;

/// What it asks, again and again in the same words.
pub(crate) struct Gang {
    merchant: Name,
    questions: Vec<Vec<u8>>,
}

impl Gang {
    /// Its questions about a review, asked on the day of `now`.
    pub(crate) fn new(scope: &Scope, sent: &Submission, now: Timestamp) -> Result<Self> {
        let rng = &mut SystemRng::new();
        let midnight = Grid::Daily.at_or_before(now).ok_or("a time before all days")?;
        let (previous_digest, praise) = (sent.review.digest(), Review::new(5, "", Vec::new())?);
        let made_up = ReviewId(*SecretBytes::<32>::random(rng).expose());
        let mut questions = vec![DoorQuestion::submission(sent.presentation.clone(), &sent.review)];
        for review_id in [sent.presentation.review_id(), made_up] {
            for sequence in SEQUENCES {
                let own = Signer::from_seed(&SecretBytes::random(rng));
                let scope = scope.clone();
                for (kind, new_digest, review) in [
                    (ActionKind::Withdraw, [0; 32], Vec::new()),
                    (ActionKind::Edit, praise.digest(), praise.to_bytes()),
                ] {
                    let statement =
                        AuthorStatement { kind, review_id, sequence, previous_digest, new_digest };
                    let action = AuthorAction::sign(&own, statement).ok_or("no action")?;
                    questions.push(DoorQuestion::Action { scope: scope.clone(), action, review });
                }
                let fresh = *SecretBytes::<32>::random(rng).expose();
                let question = StateQuestion::sign(&own, review_id, midnight, fresh);
                questions.push(DoorQuestion::State { scope, question });
            }
        }
        let bytes = |question| Some(DoorMessage::new(question)?.to_bytes());
        let questions: Option<_> = questions.into_iter().map(bytes).collect();
        Ok(Self { merchant: scope.merchant().clone(), questions: questions.ok_or("a question too long")? })
    }

    /// How many questions it has.
    pub(crate) fn questions(&self) -> usize {
        self.questions.len()
    }

    /// All that it sees: the answers' bytes, and what the shop's page shows.
    pub(crate) fn sees<S: Store>(&self, platform: &Platform<S>) -> Result<Vec<Vec<u8>>> {
        let mut seen: Vec<Vec<u8>> =
            self.questions.iter().map(|question| platform.door(question).to_bytes()).collect();
        seen.push(format!("{:?}", platform.rating(&self.merchant)?).into_bytes());
        seen.push(format!("{:?}", platform.histogram(&self.merchant)?).into_bytes());
        for review in platform.published(&self.merchant, None, usize::MAX)? {
            seen.push(review.review_id.as_bytes().to_vec());
        }
        Ok(seen)
    }
}

/// A review that its author withdrew while it was held.
pub(crate) struct TakenBack {
    pub(crate) review_id: ReviewId,
    pub(crate) day: Timestamp,
    /// How many questions the gang asked before and after.
    pub(crate) questions: usize,
}
