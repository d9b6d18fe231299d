//! The one path for all that devices ask without their account: one length in, one length out, one
//! status and one set of headers, errors included.
//!
//! What is asked, and what became of it, nobody learns from what passes on the network or in a log of
//! a proxy's.

use crate::answer::Answer;
use crate::arrival::Arrived;
use crate::problem::{Code, Problem};
use crate::service::Service;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use unjoin::review::DeskError;
use unjoin::store::Store;
use unjoin::token::{DoorAnswer, DoorMessage, DoorQuestion, Review};
use unjoin::wire::Message;

/// A [`DoorMessage`]; answers a [`DoorAnswer`], again the same for the same submission or action.
pub(crate) async fn door<S: Store>(
    State(service): State<Arc<Service<S>>>,
    method: Method,
    body: Arrived,
) -> Answer {
    if method != Method::POST {
        return Err(Problem::method());
    }
    Ok(written(&DoorAnswer::accepted(answer(&service, &body.0?).await?)))
}

/// What the door has to say to this message.
pub(crate) async fn answer<S: Store>(service: &Arc<Service<S>>, message: &[u8]) -> Result<Vec<u8>, Problem> {
    let message = DoorMessage::from_bytes(message).map_err(DeskError::Malformed)?;
    Ok(match message.into_question() {
        DoorQuestion::Submission { presentation, review } => {
            let review = Review::from_bytes(&review).map_err(DeskError::Malformed)?;
            service.platform.submit(presentation, review).await?.to_bytes()
        }
        DoorQuestion::Action { scope, action, review } => {
            let act = move |service: &Service<S>| Ok(service.platform.act(&scope, &action, &review)?);
            service.blocking(act).await?.to_bytes()
        }
        DoorQuestion::State { scope, question } => {
            let ask = move |service: &Service<S>| Ok(service.platform.desk().state(&scope, &question)?);
            service.blocking(ask).await?.to_bytes()
        }
        DoorQuestion::Bundle { boundary, shard, piece } => {
            let asked = (boundary, shard, piece);
            service.blocking(move |service| service.bundle(asked)).await?.to_bytes()
        }
    })
}

/// How the door says an error: 503 where the same question may be sent again, as
/// [`DeskError::door_answer`] has it.
pub(crate) fn refused(Code { code, retryable }: Code) -> DoorAnswer {
    DoorAnswer::refused(if retryable { 503 } else { 400 }, code)
}

/// What leaves: an error becomes an answer like any other.
pub(crate) fn sealed(response: Response) -> Response {
    if response.status() == StatusCode::OK {
        return response;
    }
    let other = Code { code: "service.other", retryable: false };
    written(&refused(response.extensions().get().copied().unwrap_or(other)))
}

fn written(answer: &DoorAnswer) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, answer.to_bytes()).into_response()
}
