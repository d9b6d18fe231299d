//! What everybody reads of the review side; and what moderation and trustees ask of it.

use crate::answer::{Answer, json, public_json};
use crate::arrival::Arrived;
use crate::fields::{Fields, Listing};
use crate::orders::PAGE;
use crate::problem::Problem;
use crate::service::{Service, Shared};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;
use unjoin::ledger::RemovedEntry;
use unjoin::review::DeskError;
use unjoin::store::Store;
use unjoin::token::{ReviewId, Scope};
use unjoin::wire::Message;

/// `scope`, `review_id` and `digest` as the listing has them, `grounds`: what is listed in these words is taken
/// out of the listing at once, and the ledger says who did, and on what grounds. Idempotent.
pub(crate) async fn remove<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let (scope, id, digest, grounds) = Fields::read(body, |fields| {
        let (scope, id) = review(fields)?;
        Ok((scope, id, fields.array("digest")?, fields.text("grounds")?))
    })?;
    let origin = &service.reviews_origin;
    if !(1..=RemovedEntry::MAX_GROUNDS).contains(&grounds.len()) {
        return Err(Problem::field("grounds"));
    }
    let entry = RemovedEntry::sign(&service.staff, origin, id, digest, &grounds).map_err(DeskError::Sign)?;
    let removed = move |service: &Service<S>| {
        Ok(service.platform.desk().remove(&scope, &entry, &service.reviews_origin)?)
    };
    service.blocking(removed).await?;
    Ok(json(&json!({})))
}

/// `scope`, `review_id`: under due process only, what trustees need to answer a warrant on this review, in the
/// bytes that `examples/trustee` reads. It holds the escrow.
pub(crate) async fn evidence<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let (scope, id) = Fields::read(body, review)?;
    let found = service.blocking(move |service| Ok(service.platform.evidence(&scope, &id)?)).await?;
    let evidence = found.ok_or_else(Problem::no_evidence)?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, evidence.to_bytes()).into_response())
}

/// Which review.
fn review(fields: &mut Fields) -> Result<(Scope, ReviewId), Problem> {
    Ok((fields.scope("scope")?, ReviewId(fields.array("review_id")?)))
}

/// Answers `reviews`, in the order of their ids, which says nothing.
pub(crate) async fn published<S: Store>(
    State(service): Shared<S>,
    Listing { merchant, after }: Listing,
) -> Answer {
    let after: Option<ReviewId> = after.map(|id| id.parse()).transpose().map_err(|_| Problem::field("id"))?;
    let found = service
        .blocking(move |service| Ok(service.platform.published(&merchant, after.as_ref(), PAGE)?))
        .await?;
    Ok(public_json(&json!({ "reviews": found })))
}

/// Answers `counts`, of one star to five, and `mean` (null without reviews).
pub(crate) async fn histogram<S: Store>(
    State(service): Shared<S>,
    Listing { merchant, .. }: Listing,
) -> Answer {
    let histogram = service.blocking(move |service| Ok(service.platform.histogram(&merchant)?)).await?;
    Ok(public_json(&json!(histogram)))
}

/// Answers `stars` and `bad_share`, each as a `value` with the ends of its interval, `low` and `high`.
pub(crate) async fn rating<S: Store>(State(service): Shared<S>, Listing { merchant, .. }: Listing) -> Answer {
    let rating = service.blocking(move |service| Ok(service.platform.rating(&merchant)?)).await?;
    Ok(public_json(&json!(rating)))
}
