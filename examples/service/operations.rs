//! For whoever runs the service: is it alive, should it be asked, how does it do.

use crate::problem::Problem;
use crate::service::Service;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use unjoin::store::Store;

/// While the process can answer anything.
pub(crate) async fn live() -> &'static str {
    "live\n"
}

/// What all endpoints take and answer (OpenAPI 3.1).
pub(crate) const DESCRIPTION: &str = include_str!("../../docs/openapi.json");

pub(crate) async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

/// Whether requests should be sent here.
pub(crate) async fn ready<S: Store>(State(service): State<Arc<Service<S>>>) -> Result<Response, Problem> {
    service.has_room()?;
    let asked = service.blocking(|service| service.is_working());
    match tokio::time::timeout(service.patience, asked).await {
        Ok(Ok(())) => Ok("ready\n".into_response()),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::not_ready("the stores do not answer in time")),
    }
}

pub(crate) async fn metrics<S: Store>(State(service): State<Arc<Service<S>>>) -> Result<Response, Problem> {
    let calls = service.platform.telephony()?.counts();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], service.metrics.page(calls, service.load())).into_response())
}
