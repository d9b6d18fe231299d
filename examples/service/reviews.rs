//! What everybody reads of the review side.

use crate::answer::{Answer, public_json};
use crate::guard::{Endpoint, Routes, guarded};
use crate::hex::{hex, unhex};
use crate::orders::PAGE;
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;
use unjoin::Name;
use unjoin::review::PublishedReview;
use unjoin::store::Store;
use unjoin::token::ReviewId;

type Shared<S> = State<Arc<Service<S>>>;

pub(crate) fn routes<S: Store>(service: &Arc<Service<S>>) -> Router<Arc<Service<S>>> {
    let route = |endpoint, routes: Routes<S>| guarded(service, endpoint, routes);
    Router::new()
        .route("/reviews/published/{merchant}", route(Endpoint::Published, get(published::<S>)))
        .route(
            "/reviews/published/{merchant}/after/{id}",
            route(Endpoint::Published, get(published_after::<S>)),
        )
        .route("/reviews/rating/{merchant}", route(Endpoint::Rating, get(rating::<S>)))
}

async fn published<S: Store>(State(service): Shared<S>, Path(merchant): Path<String>) -> Answer {
    published_from(service, &merchant, None).await
}

async fn published_after<S: Store>(
    State(service): Shared<S>,
    Path((merchant, id)): Path<(String, String)>,
) -> Answer {
    let id = unhex(&id).map(ReviewId).ok_or(Problem::field("id"))?;
    published_from(service, &merchant, Some(id)).await
}

/// Answers `reviews`, in the order of their ids, which says nothing.
async fn published_from<S: Store>(
    service: Arc<Service<S>>,
    merchant: &str,
    after: Option<ReviewId>,
) -> Answer {
    let merchant = Name::new(merchant)?;
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
async fn rating<S: Store>(State(service): Shared<S>, Path(merchant): Path<String>) -> Answer {
    let merchant = Name::new(merchant)?;
    let rating = service.blocking(move |service| Ok(service.platform.rating(&merchant)?)).await?;
    Ok(public_json(&json!({ "counts": rating.counts, "mean": rating.mean() })))
}
