//! What stands before every endpoint: limits of size, number and time, and the count of answers.

use crate::arrival::Arrived;
use crate::door;
use crate::endpoint::Endpoint;
use crate::problem::{Code, Problem};
use crate::service::Service;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use unjoin::Name;
use unjoin::store::Store;

/// Set by whatever authenticates sessions in front of the service, which removes it from what
/// comes from outside. One header with one name, or none.
pub(crate) const ACCOUNT: &str = "unjoin-account";

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
    routes.layer(from_fn_with_state(guard, pass::<S>))
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
    match endpoint {
        Endpoint::Door => door::sealed(response),
        Endpoint::Gateway => {
            service.gateway.step().await;
            response
        }
        _ => response,
    }
}

async fn admit<S: Store>(
    service: &Service<S>,
    endpoint: Endpoint,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if endpoint.is_for_supervisors() {
        return Ok(next.run(request).await);
    }
    if service.stopping.load(Ordering::SeqCst) {
        return Err(Problem::stopping());
    }
    let _place = service.in_flight.try_acquire().map_err(|_| Problem::busy())?;
    if endpoint.is_about_reviews() {
        refuse_sessions(request.headers())?;
    }
    if let Some(Arrived(arrived)) = request.extensions().get() {
        let length = arrived.as_ref().map_err(|fault| Problem::from(*fault))?.len();
        if length > endpoint.body_limit() {
            return Err(Problem::too_large());
        }
    }
    if endpoint.takes_its_time() {
        return Ok(next.run(request).await);
    }
    // The gateway itself answers in time what it has opened: only it can seal that.
    let patience = if endpoint == Endpoint::Gateway { service.patience * 2 } else { service.patience };
    tokio::time::timeout(patience, next.run(request)).await.map_err(|_| Problem::timeout())
}

/// An account beside a review is what nobody must be able to write down: such a request is a
/// mistake in the app or in the proxy, which shows at its first try.
fn refuse_sessions(headers: &HeaderMap) -> Result<(), Problem> {
    let session = [header::COOKIE.as_str(), header::AUTHORIZATION.as_str(), ACCOUNT];
    if session.into_iter().any(|name| headers.contains_key(name)) { Err(Problem::session()) } else { Ok(()) }
}

/// Whose session it is. Of two names one may be the caller's own invention, in front of a proxy that
/// appends; which, nobody can tell.
pub(crate) fn account(headers: &HeaderMap) -> Result<Name, Problem> {
    let mut accounts = headers.get_all(ACCOUNT).iter();
    let account = accounts.next().ok_or_else(Problem::no_account)?;
    if accounts.next().is_some() || account.as_bytes().contains(&b',') {
        return Err(Problem::accounts());
    }
    Name::new(account.as_bytes()).map_err(|_| Problem::no_account())
}
