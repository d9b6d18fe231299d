//! How requests arrive, and what every answer has in common.
//!
//! A body is read to its end before anything is decided, whatever will become of the request: so a
//! slow sender holds a connection and nothing else, and the next request on that connection is
//! found where it begins. Where that cannot be, the answer says that the connection is closed.

use crate::problem::{Code, Problem};
use crate::service::Service;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use unjoin::store::Store;

/// No endpoint takes a longer body.
pub(crate) const MOST: usize = 8 * 1024;
/// So much of a longer one is read and thrown away, for the sake of the connection.
const DRAINED: usize = 64 * 1024;

/// Why there is no body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    TooLarge,
    BrokenOff,
    Slow,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::too_large(),
            Fault::BrokenOff => Self::body(),
            Fault::Slow => Self::slow(),
        }
    }
}

/// A request's body, as it came.
#[derive(Clone)]
pub(crate) struct Arrived(pub(crate) Result<Bytes, Fault>);

impl<S: Sync> FromRequestParts<S> for Arrived {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.remove().unwrap_or(Self(Err(Fault::BrokenOff))))
    }
}

pub(crate) async fn arrive<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let read = tokio::time::timeout(service.patience, read(body)).await;
    let (arrived, is_whole) = read.unwrap_or((Err(Fault::Slow), false));
    #[cfg(test)]
    let seen = (parts.method.clone(), parts.uri.path().to_owned(), arrived.as_ref().ok().cloned());
    parts.extensions.insert(Arrived(arrived));
    let mut response = next.run(Request::from_parts(parts, Body::empty())).await;
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && response.extensions().get::<Code>().is_none()
    {
        // An error of the libraries below, in the form of all others.
        response = Problem::other(status).into_response();
    }
    if !is_whole || service.leaving.load(Ordering::SeqCst) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    #[cfg(test)]
    let response = crate::tests::openapi::observe(&seen.0, &seen.1, seen.2, response).await;
    response
}

/// The body, and whether it was read to its end.
async fn read(mut body: Body) -> (Result<Bytes, Fault>, bool) {
    let mut kept = Vec::new();
    let mut length = 0;
    if body.size_hint().lower() > (MOST + DRAINED) as u64 {
        return (Err(Fault::TooLarge), false);
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (Err(Fault::BrokenOff), false) };
        // Trailers say nothing.
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > MOST + DRAINED {
            return (Err(Fault::TooLarge), false);
        }
        if length <= MOST {
            kept.extend_from_slice(&data);
        }
    }
    (if length <= MOST { Ok(kept.into()) } else { Err(Fault::TooLarge) }, true)
}
