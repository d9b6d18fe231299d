//! What the relay takes, and what it makes of it.

use crate::limits::Limits;
use crate::upstream::{Answered, Gateway, Upstream};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// The media types of RFC 9458.
const QUESTION: &str = "message/ohttp-req";
const ANSWER: &str = "message/ohttp-res";
/// The longest question, in bytes.
const MOST: usize = 8 * 1024;
/// For a request's head, and for a connection on which nothing comes.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Settings {
    pub(crate) gateways: Vec<Gateway>,
    /// From one network.
    pub(crate) per_minute: u32,
    pub(crate) in_flight: usize,
    /// Connections of clients.
    pub(crate) connections: usize,
    /// Connections to a gateway.
    pub(crate) pooled: usize,
    /// Whose address a question is from, where a proxy stands in front.
    pub(crate) address_header: Option<HeaderName>,
    pub(crate) patience: Duration,
}

pub(crate) struct Relay {
    upstreams: Vec<Upstream>,
    limits: Mutex<Limits>,
    in_flight: Semaphore,
    connections: usize,
    address_header: Option<HeaderName>,
    patience: Duration,
}

impl Relay {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>, String> {
        let paths =
            |gateway: &Gateway| settings.gateways.iter().filter(|other| other.path == gateway.path).count();
        if settings.gateways.iter().any(|gateway| paths(gateway) > 1) {
            return Err("two gateways have one path".into());
        }
        let upstreams = settings.gateways.into_iter().map(|gateway| Upstream::to(gateway, settings.pooled));
        Ok(Arc::new(Self {
            upstreams: upstreams.collect(),
            limits: Mutex::new(Limits::new(settings.per_minute, Instant::now())),
            in_flight: Semaphore::new(settings.in_flight),
            connections: settings.connections,
            address_header: settings.address_header,
            patience: settings.patience,
        }))
    }

    async fn answer(&self, peer: IpAddr, request: Request) -> Result<Answered, StatusCode> {
        let (parts, body) = request.into_parts();
        // Read whatever becomes of it, so that the answer is met by a client that has sent all of its own.
        let body = tokio::time::timeout(self.patience, to_bytes(body, MOST)).await;
        let body = body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
        let path = parts.uri.path();
        let upstream = self.upstreams.iter().find(|upstream| upstream.path() == path);
        let upstream = upstream.ok_or(StatusCode::NOT_FOUND)?;
        if parts.method != Method::POST {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        if parts.headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != QUESTION) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let address = self.address(peer, &parts.headers).ok_or(StatusCode::BAD_REQUEST)?;
        if !self.limits.lock().unwrap_or_else(PoisonError::into_inner).takes(address, Instant::now()) {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        let _place = self.in_flight.try_acquire().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let answered = tokio::time::timeout(self.patience, upstream.post(QUESTION, body)).await;
        answered.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?.map_err(|_| StatusCode::BAD_GATEWAY)
    }

    /// Whose limit a question counts against; `None` when the proxy in front did not say.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let Some(name) = &self.address_header else { return Some(peer) };
        // What stands before the last one was sent by the client, or by nobody knows whom.
        let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    }
}

async fn handle(
    State(relay): State<Arc<Relay>>,
    Extension(peer): Extension<IpAddr>,
    request: Request,
) -> Response {
    if request.method() == Method::OPTIONS {
        return shown(StatusCode::NO_CONTENT, None, Body::empty());
    }
    match relay.answer(peer, request).await {
        // A type of the gateway's own could carry anything; there are two.
        Ok(Answered { status: StatusCode::OK, kind, body })
            if kind.as_ref().is_some_and(|kind| kind == ANSWER) =>
        {
            shown(StatusCode::OK, Some(HeaderValue::from_static(ANSWER)), body.into())
        }
        Ok(Answered { status, kind, body }) if status.is_client_error() || status.is_server_error() => {
            let kind = kind.filter(|kind| kind == "application/problem+json");
            shown(status, kind, body.into())
        }
        Ok(_) => shown(StatusCode::BAD_GATEWAY, None, Body::empty()),
        Err(status) => shown(status, None, Body::empty()),
    }
}

/// One set of headers: a page of any origin may ask, without credentials, and nothing stays in a cache or is told to
/// anybody else.
fn shown(status: StatusCode, kind: Option<HeaderValue>, body: Body) -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = (status, headers, body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// Serves until `stopped`, and then what is under way.
pub(crate) async fn serve(listener: TcpListener, relay: Arc<Relay>, mut stopped: watch::Receiver<bool>) {
    let (places, patience) = (Arc::new(Semaphore::new(relay.connections)), relay.patience);
    let routes = Router::new().fallback(handle).with_state(Arc::clone(&relay));
    let forgetting = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            relay.limits.lock().unwrap_or_else(PoisonError::into_inner).forget(Instant::now());
        }
    });
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    loop {
        // Who finds no place waits in the listener's own queue.
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let (place, accepted) = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = accept => match accepted {
                Some(accepted) => accepted,
                None => break,
            },
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let routes = routes.clone().layer(Extension(peer.ip()));
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A peer that breaks off is no news.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(patience + Duration::from_secs(1), graceful.shutdown()).await;
    forgetting.abort();
}
