//! Answers in JSON.

use crate::problem::Problem;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// What an endpoint answers.
pub(crate) type Answer = Result<Response, Problem>;

/// Nothing of a session or a person may stay in a cache.
pub(crate) fn json(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, value.to_string()).into_response()
}

/// What is the same for everybody, and changes at boundaries only.
pub(crate) fn public_json(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=60")];
    (headers, value.to_string()).into_response()
}
