//! For whoever runs the service: is it alive, should it be asked, how does it do.

use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use unjoin::store::Store;

pub(crate) fn routes<S: Store>() -> Router<Arc<Service<S>>> {
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready::<S>))
        .route("/metrics", get(metrics::<S>))
}

async fn ready<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    let asked = tokio::time::timeout(service.patience, service.blocking(|service| Ok(service.is_ready())));
    match asked.await {
        Ok(Ok(true)) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

async fn metrics<S: Store>(State(service): State<Arc<Service<S>>>) -> Result<Response, Problem> {
    let calls = service.platform.telephony()?.counts();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], service.metrics.page(calls)).into_response())
}
