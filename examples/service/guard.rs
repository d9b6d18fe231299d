//! What stands before every endpoint: limits of size, number and time, and the count of answers.

use crate::door;
use crate::problem::{Code, Problem};
use crate::service::Service;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use unjoin::Name;
use unjoin::phone::gateway::Question;
use unjoin::store::Store;
use unjoin::token::DoorMessage;

/// Set by whatever authenticates sessions in front of the service, which removes it from what
/// comes from outside.
pub(crate) const ACCOUNT: &str = "unjoin-account";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Nonce,
    Enrol,
    Offer,
    Grant,
    Manifests,
    Door,
    Published,
    Rating,
    OrderDue,
    NumbersDead,
    Bind,
    Route,
    CloseOrder,
}

impl Endpoint {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Nonce => "nonce",
            Self::Enrol => "enrol",
            Self::Offer => "offer",
            Self::Grant => "grant",
            Self::Manifests => "manifests",
            Self::Door => "door",
            Self::Published => "published",
            Self::Rating => "rating",
            Self::OrderDue => "order_due",
            Self::NumbersDead => "numbers_dead",
            Self::Bind => "bind",
            Self::Route => "route",
            Self::CloseOrder => "close_order",
        }
    }

    /// What authors do, or prepare: no session comes with it, and nobody learns when it came.
    pub(crate) fn is_about_reviews(self) -> bool {
        matches!(self, Self::Door | Self::Manifests)
    }

    /// The most bytes of a body.
    fn body_limit(self) -> usize {
        match self {
            Self::Door => DoorMessage::LENGTH,
            Self::Route => Question::MAX_BYTES,
            _ => 4 * 1024,
        }
    }
}

struct Guard<S: Store> {
    service: Arc<Service<S>>,
    endpoint: Endpoint,
}

impl<S: Store> Clone for Guard<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), endpoint: self.endpoint }
    }
}

pub(crate) type Routes<S> = MethodRouter<Arc<Service<S>>>;

/// The endpoint behind its limits.
pub(crate) fn guarded<S: Store>(
    service: &Arc<Service<S>>,
    endpoint: Endpoint,
    routes: Routes<S>,
) -> Routes<S> {
    behind(service, endpoint, routes.fallback(|| async { Problem::method() }))
}

/// The same for what answers every method itself: of a method that has no handler HTTP's libraries tell which others
/// have one, in a header that no answer of the door's has.
pub(crate) fn behind<S: Store>(
    service: &Arc<Service<S>>,
    endpoint: Endpoint,
    routes: Routes<S>,
) -> Routes<S> {
    let guard = Guard { service: Arc::clone(service), endpoint };
    routes.layer(DefaultBodyLimit::max(endpoint.body_limit())).layer(from_fn_with_state(guard, pass::<S>))
}

async fn pass<S: Store>(State(guard): State<Guard<S>>, request: Request, next: Next) -> Response {
    let Guard { service, endpoint } = guard;
    let since = Instant::now();
    let response = admit(&service, endpoint, request, next).await.unwrap_or_else(Problem::into_response);
    let status = response.status();
    let code = match response.extensions().get::<Code>() {
        Some(Code { code, .. }) => code,
        None if status == StatusCode::OK => "ok",
        None => "service.other",
    };
    service.metrics.answered(endpoint, code, status.is_server_error(), since.elapsed());
    if endpoint == Endpoint::Door { door::sealed(response) } else { response }
}

async fn admit<S: Store>(
    service: &Service<S>,
    endpoint: Endpoint,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if service.stopping.load(Ordering::SeqCst) {
        return Err(Problem::stopping());
    }
    let _place = service.in_flight.try_acquire().map_err(|_| Problem::busy())?;
    if endpoint.is_about_reviews() {
        refuse_sessions(request.headers())?;
    }
    // It bounds slow senders too: the body is read within.
    tokio::time::timeout(service.patience, next.run(request)).await.map_err(|_| Problem::timeout())
}

/// An account beside a review is what nobody must be able to write down: such a request is a
/// mistake in the app or in the proxy, which shows at its first try.
fn refuse_sessions(headers: &HeaderMap) -> Result<(), Problem> {
    let session = [header::COOKIE.as_str(), header::AUTHORIZATION.as_str(), ACCOUNT];
    if session.into_iter().any(|name| headers.contains_key(name)) { Err(Problem::session()) } else { Ok(()) }
}

/// Whose session it is.
pub(crate) fn account(headers: &HeaderMap) -> Result<Name, Problem> {
    let account = headers.get(ACCOUNT).ok_or_else(Problem::no_account)?;
    Name::new(account.as_bytes()).map_err(|_| Problem::no_account())
}
