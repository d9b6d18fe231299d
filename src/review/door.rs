//! The anonymous door: one length in, one length out.

use super::{DeskError, ReviewDesk, Submission};
use unjoin_core::token::{DoorAnswer, DoorMessage, DoorQuestion, Review};
use unjoin_core::wire::Message;
use unjoin_store::Store;

pub(super) fn answer<S: Store>(desk: &ReviewDesk<S>, message: &[u8]) -> DoorAnswer {
    ask(desk, message).map_or_else(|error| error.door_answer(), DoorAnswer::accepted)
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
        // Made of the ledger, which the desk does not have: whoever serves the door answers them.
        DoorQuestion::Bundle { .. } => return Err(DeskError::NoBundle),
    })
}

impl DeskError {
    /// What the anonymous door answers: 503 where the same question may be sent again, else 400, and
    /// this error's code.
    pub fn door_answer(&self) -> DoorAnswer {
        DoorAnswer::refused(if self.is_retryable() { 503 } else { 400 }, self.code())
    }
}
