//! The anonymous door: one length in, one length out.

use super::{DeskError, ReviewDesk, Submission};
use unjoin_core::token::{DoorAnswer, DoorMessage, DoorQuestion, Review};
use unjoin_core::wire::Message;
use unjoin_store::Store;

/// What the door says when an answer does not fit, which none does.
const UNAVAILABLE: u16 = 503;

pub(super) fn answer<S: Store>(desk: &ReviewDesk<S>, message: &[u8]) -> DoorAnswer {
    let (status, body) = match ask(desk, message) {
        Ok(body) => (200, body),
        Err(error) if error.is_retryable() => (UNAVAILABLE, error.code().into()),
        Err(error) => (400, error.code().into()),
    };
    DoorAnswer::new(status, body).unwrap_or_else(|| DoorAnswer::empty(UNAVAILABLE))
}

fn ask<S: Store>(desk: &ReviewDesk<S>, message: &[u8]) -> Result<Vec<u8>, DeskError> {
    let message = DoorMessage::from_bytes(message).map_err(DeskError::Malformed)?;
    Ok(match message.into_question() {
        DoorQuestion::Submission { presentation, review } => {
            let review = Review::from_bytes(&review).map_err(DeskError::Malformed)?;
            desk.submit(Submission { presentation, review }).wait()?.to_bytes()
        }
        DoorQuestion::Action { scope, action, review } => desk.act(&scope, &action, &review)?.to_bytes(),
        DoorQuestion::State { scope, question } => desk.state(&scope, &question)?.to_bytes(),
    })
}
