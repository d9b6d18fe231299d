//! What everybody reads of the review side.

use crate::answer::{Answer, public_json};
use crate::endpoint::Endpoint;
use crate::fields::Listing;
use crate::hex::{hex, unhex};
use crate::orders::PAGE;
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;
use unjoin::review::PublishedReview;
use unjoin::store::Store;
use unjoin::token::ReviewId;

type Shared<S> = State<Arc<Service<S>>>;

pub(crate) fn routes<S: Store>(service: &Arc<Service<S>>) -> Router<Arc<Service<S>>> {
    Router::new()
        .merge(Endpoint::Published.at(service, get(published::<S>)))
        .merge(Endpoint::Rating.at(service, get(rating::<S>)))
}

/// Answers `reviews`, in the order of their ids, which says nothing.
async fn published<S: Store>(State(service): Shared<S>, Listing { merchant, after }: Listing) -> Answer {
    let after = match after {
        Some(id) => Some(unhex(&id).map(ReviewId).ok_or(Problem::field("id"))?),
        None => None,
    };
    let found = service
        .blocking(move |service| Ok(service.platform.published(&merchant, after.as_ref(), PAGE)?))
        .await?;
    Ok(public_json(&json!({ "reviews": found.iter().map(listed).collect::<Vec<_>>() })))
}

fn listed(found: &PublishedReview) -> Value {
    let PublishedReview { review_id, scope, review, published_at, edited } = found;
    json!({
        "review_id": hex(review_id.as_bytes()),
        "cohort": hex(&scope.cohort().to_be_bytes()),
        "stars": review.stars(),
        "text": review.text(),
        "attachments": review.attachments().iter().map(|digest| hex(digest)).collect::<Vec<_>>(),
        "published_at": published_at.as_unix_seconds(),
        "edited": edited,
    })
}

/// Answers `counts`, of one star to five, and `mean` (null without reviews).
async fn rating<S: Store>(State(service): Shared<S>, Listing { merchant, .. }: Listing) -> Answer {
    let rating = service.blocking(move |service| Ok(service.platform.rating(&merchant)?)).await?;
    Ok(public_json(&json!({ "counts": rating.counts, "mean": rating.mean() })))
}
