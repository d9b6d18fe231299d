//! For whoever runs the service: is it alive, should it be asked, how does it do.

use crate::endpoint::Endpoint;
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use unjoin::store::Store;

pub(crate) fn routes<S: Store>(service: &Arc<Service<S>>) -> Router<Arc<Service<S>>> {
    Router::new()
        .merge(Endpoint::Live.at(service, get(|| async { "live\n" })))
        .merge(Endpoint::Ready.at(service, get(ready::<S>)))
        .merge(Endpoint::Metrics.at(service, get(metrics::<S>)))
        .merge(Endpoint::Description.at(service, get(description)))
}

/// What all endpoints take and answer (OpenAPI 3.1).
pub(crate) const DESCRIPTION: &str = include_str!("../../docs/openapi.json");

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

/// Whether requests should be sent here.
async fn ready<S: Store>(State(service): State<Arc<Service<S>>>) -> Result<Response, Problem> {
    service.has_room()?;
    let asked = service.blocking(|service| service.is_working());
    match tokio::time::timeout(service.patience, asked).await {
        Ok(Ok(())) => Ok("ready\n".into_response()),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::not_ready("the stores do not answer in time")),
    }
}

async fn metrics<S: Store>(State(service): State<Arc<Service<S>>>) -> Result<Response, Problem> {
    let calls = service.platform.telephony()?.counts();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], service.metrics.page(calls, service.load())).into_response())
}
