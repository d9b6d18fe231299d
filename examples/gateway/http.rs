//! HTTP for switches that ask with it.

use crate::service::Service;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use unjoin::phone::gateway::{FreeSwitch, Question, twilio};
use unjoin::phone::{Channel, Route};
use unjoin::store::Store;

/// For a request's head, and from there to the answer, a slow sender included. Shorter than any switch's
/// own patience.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves until `stopped`, and then what is under way. A connection that sends no request's head in time is closed.
pub(crate) async fn serve(listener: TcpListener, routes: Router, mut stopped: watch::Receiver<bool>) {
    let routes = TowerToHyperService::new(routes);
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), routes.clone()));
        tokio::spawn(async move {
            // A peer that breaks off is no news.
            let _ = connection.await;
        });
    }
    graceful.shutdown().await;
}

pub(crate) fn routes<S: Store>(service: Arc<Service<S>>) -> Router {
    Router::new()
        .route("/route", post(json::<S>).layer(DefaultBodyLimit::max(Question::MAX_BYTES)))
        .route("/freeswitch", post(freeswitch::<S>).layer(DefaultBodyLimit::max(FreeSwitch::MAX_BYTES)))
        .route("/twilio/call", post(twilio_call::<S>).layer(DefaultBodyLimit::max(twilio::MAX_BYTES)))
        .route("/twilio/message", post(twilio_message::<S>).layer(DefaultBodyLimit::max(twilio::MAX_BYTES)))
        .route("/health", get(health::<S>))
        .layer(from_fn(bounded))
        .with_state(service)
}

/// No request lasts longer than [`PATIENCE`].
pub(crate) async fn bounded(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(PATIENCE, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

type Shared<S> = State<Arc<Service<S>>>;

async fn json<S: Store>(State(service): Shared<S>, body: Bytes) -> Response {
    // The error would say which field, and to whom: the status is enough for a machine.
    let Ok(question) = serde_json::from_slice::<Question>(&body) else { return unreadable() };
    let Some(route) = service.decide(&question).await else { return unavailable() };
    match serde_json::to_vec(&question.answer(&route)) {
        Ok(answer) => document("application/json", answer),
        Err(_) => unavailable(),
    }
}

async fn freeswitch<S: Store>(State(service): Shared<S>, body: Bytes) -> Response {
    let Ok(question) = service.freeswitch.question(&body) else { return unreadable() };
    let Some(route) = service.decide(&question).await else { return unavailable() };
    document("text/xml", service.freeswitch.document(&question, &route).as_bytes().to_vec())
}

async fn twilio_call<S: Store>(State(service): Shared<S>, body: Bytes) -> Response {
    let audio = service.audio;
    answer_twilio(&service, &body, Channel::Voice, |_, route| twilio::call(route, audio)).await
}

async fn twilio_message<S: Store>(State(service): Shared<S>, body: Bytes) -> Response {
    let Ok(text) = twilio::text(&body) else { return unreadable() };
    let passed = Arc::clone(&service);
    answer_twilio(&service, &body, Channel::Sms, |id, route| match route {
        // One that Twilio brings again was passed on before.
        Route::Connect { .. } if !passed.messages.is_first(id) => twilio::message(&Route::Refuse, ""),
        route => twilio::message(route, &text),
    })
    .await
}

async fn answer_twilio<S: Store, D: AsRef<str>>(
    service: &Arc<Service<S>>,
    body: &[u8],
    channel: Channel,
    answer: impl FnOnce(&str, &Route) -> D,
) -> Response {
    let trusted = service.trusted_twilio.contains(&channel);
    let Ok(question) = twilio::question(body, channel, trusted) else { return unreadable() };
    let Some(route) = service.decide(&question).await else { return unavailable() };
    document("text/xml", answer(question.id(), &route).as_ref().as_bytes().to_vec())
}

async fn health<S: Store>(State(service): Shared<S>) -> StatusCode {
    if service.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn document(kind: &'static str, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn unreadable() -> Response {
    StatusCode::BAD_REQUEST.into_response()
}

fn unavailable() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
