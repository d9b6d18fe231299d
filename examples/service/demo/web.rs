//! What the page asks: its files, the demonstration's own views, and the service's endpoints, in front of which this plays
//! what authenticates sessions.

use super::Demo;
use super::gang::Dump;
use super::officer::Officer;
use super::shop::{MERCHANT, Naive, PHONES};
use crate::answer::json as answered;
use crate::guard::ACCOUNT;
use crate::orders::PAGE;
use crate::words::Outcome;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::service::Service as _;
use serde::Deserialize;
use serde_json::json;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::block_in_place;
use unjoin::token::{ReviewId, Scope};
use unjoin::{DAY, Name, Timestamp};

/// The clock is moved by so much at most at a time.
const FARTHEST: u64 = 40 * DAY;
/// Nobody orders or writes more in a demonstration.
const MOST: usize = 500;

type Shared = State<Arc<Demo>>;

/// Why something is not done, in a sentence.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, answered(&json!({ "why": self.1 }))).into_response()
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(StatusCode::BAD_REQUEST, error.into().to_string())
    }
}

type Answer = Result<Response, Refused>;

/// The fields of a request's body.
fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, Refused> {
    Ok(serde_json::from_slice(body)?)
}

macro_rules! files {
    ($($path:literal $file:literal $kind:literal;)+) => {
        const FILES: &[(&str, &str, &str)] = &[$(($path, include_str!(concat!("page/", $file)), $kind),)+];
    };
}

files! {
    "/" "index.html" "text/html; charset=utf-8";
    "/style.css" "style.css" "text/css; charset=utf-8";
    "/icon.svg" "icon.svg" "image/svg+xml";
    "/app.mjs" "app.mjs" "text/javascript; charset=utf-8";
    "/views.mjs" "views.mjs" "text/javascript; charset=utf-8";
    "/phone.mjs" "phone.mjs" "text/javascript; charset=utf-8";
    "/device.mjs" "device.mjs" "text/javascript; charset=utf-8";
    "/ledger.mjs" "ledger.mjs" "text/javascript; charset=utf-8";
    "/store.mjs" "store.mjs" "text/javascript; charset=utf-8";
    "/html.mjs" "html.mjs" "text/javascript; charset=utf-8";
    "/words.mjs" "words.mjs" "text/javascript; charset=utf-8";
}

pub(super) fn routes(demo: Arc<Demo>) -> Router {
    let mut routes = Router::new();
    for (path, text, kind) in FILES {
        routes = routes.route(path, get(move || async move { ([(header::CONTENT_TYPE, *kind)], *text) }));
    }
    routes
        .route("/package/{file}", get(package))
        .route("/demo/state", get(state))
        .route("/demo/clock", post(clock))
        .route("/demo/phones/{phone}/orders", get(orders).post(order))
        .route("/demo/naive", post(naive))
        .route("/demo/portal", get(portal))
        .route("/demo/ring", post(ring))
        .route("/demo/gang", get(gang))
        .route("/demo/officer", get(officer))
        .route("/demo/officer/draw-up", post(draw_up))
        .route("/demo/officer/log", post(log))
        .route("/demo/officer/ask", post(ask))
        .fallback(service)
        .layer(from_fn_with_state(Arc::clone(&demo), guard))
        .with_state(demo)
}

/// Only this page asks, of this address: another page, or a name that was made to point here, is refused.
async fn guard(State(demo): Shared, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_here = text(header::HOST).and_then(|host| host.parse().ok()) == Some(demo.addresses.page);
    let is_own = text(header::HeaderName::from_static("sec-fetch-site"))
        .is_none_or(|site| matches!(site, "same-origin" | "none"));
    let mut response = if !is_here || !is_own {
        let why = format!("open http://{}/", demo.addresses.page);
        (StatusCode::MISDIRECTED_REQUEST, why).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
         connect-src 'self' http://{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        demo.addresses.relay
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The device for browsers, from where `bindings/web/build` puts it.
async fn package(State(demo): Shared, Path(file): Path<String>) -> Response {
    let kind = match file.as_str() {
        "unjoin_web.js" => "text/javascript; charset=utf-8",
        "unjoin_web_bg.wasm" => "application/wasm",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match block_in_place(|| std::fs::read(demo.package.join(&file))) {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The service's endpoints for devices and readers. `/session/ACCOUNT` before a path is what a session's cookie would be;
/// an account that a caller names in any other way is nobody's.
async fn service(State(demo): Shared, mut request: Request<Body>) -> Response {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    request.headers_mut().remove(ACCOUNT);
    if let Some((account, path)) = path.strip_prefix("/session/").and_then(|path| path.split_once('/')) {
        let known = PHONES.iter().find(|(known, _)| *known == account);
        let (Some((account, _)), Ok(path)) = (known, format!("/{path}").parse::<Uri>()) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        request.headers_mut().insert(ACCOUNT, HeaderValue::from_static(account));
        *request.uri_mut() = path;
    }
    match demo.devices.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// What the page ships, as an app does, and the time.
async fn state(State(demo): Shared) -> Answer {
    let shop = demo.shop.lock().await;
    let phones = PHONES.map(|(account, name)| json!({ "account": account, "name": name }));
    Ok(answered(&json!({
        "now": shop.now().as_unix_seconds(),
        "merchant": MERCHANT,
        "phones": phones,
        "pins": demo.pins,
        "witness": demo.witness.to_string(),
        "host": super::HOST,
        "k": super::K,
        "relay": format!("http://{}/shop", demo.addresses.relay),
        "gateway": format!("http://{}/gateway", demo.addresses.gateway),
    })))
}

#[derive(Deserialize)]
struct Until {
    to: u64,
}

async fn clock(State(demo): Shared, body: Bytes) -> Answer {
    let Until { to } = read(&body)?;
    let mut shop = demo.shop.lock().await;
    let (now, to) = (shop.now(), Timestamp::from_unix_seconds(to));
    if to > now.saturating_add(FARTHEST) {
        return Err("the clock is moved by 40 days at most".into());
    }
    // Two tabs that move it agree on the later time.
    shop.go_to(to.max(now)).await?;
    Ok(answered(&json!({ "now": shop.now().as_unix_seconds() })))
}

/// A phone, by its number from 0.
async fn orders(State(demo): Shared, Path(phone): Path<usize>) -> Answer {
    let (account, _) = *PHONES.get(phone).ok_or("there is no such phone")?;
    let shop = demo.shop.lock().await;
    let manifests = demo.service.platform.manifests(&Name::new(MERCHANT)?, None, PAGE)?.len();
    let own = shop.orders.iter().filter(|order| order.account == account).map(|order| {
        json!({
            "id": order.id,
            "item": order.item,
            "placed": order.placed.as_unix_seconds(),
            "number": order.number,
            "number_ends": order.number_ends.as_unix_seconds(),
            "handle": order.handle,
            "eligible_at": order.eligible_at.map(Timestamp::as_unix_seconds),
            "rang": order.rang,
        })
    });
    Ok(answered(&json!({ "orders": own.collect::<Vec<_>>(), "sealed": manifests })))
}

async fn order(State(demo): Shared, Path(phone): Path<usize>) -> Answer {
    let mut shop = demo.shop.lock().await;
    if shop.orders.len() >= MOST {
        return Err("there are orders enough".into());
    }
    shop.order(phone).await?;
    Ok(answered(&json!({})))
}

#[derive(Deserialize)]
struct Written {
    order: String,
    stars: u64,
    text: String,
}

/// What an app of a naive platform would send under the account's session. Ours sends nothing like it.
async fn naive(State(demo): Shared, body: Bytes) -> Answer {
    let Written { order, stars, text } = read(&body)?;
    let mut shop = demo.shop.lock().await;
    let written = shop.now();
    if shop.naive.len() < MOST && shop.orders.iter().any(|known| known.id == order) {
        shop.naive.push(Naive { order, stars, text, written });
    }
    Ok(answered(&json!({})))
}

async fn portal(State(demo): Shared) -> Answer {
    let shop = demo.shop.lock().await;
    let now = shop.now();
    let orders = shop.orders.iter().map(|order| {
        json!({
            "id": order.id,
            "customer": order.customer,
            "item": order.item,
            "placed": order.placed.as_unix_seconds(),
            "number": order.number,
            "number_ends": order.number_ends.as_unix_seconds(),
            "is_over": now >= order.number_ends || order.eligible_at.is_some(),
        })
    });
    Ok(answered(&json!({ "orders": orders.collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
struct Dialled {
    number: String,
}

async fn ring(State(demo): Shared, body: Bytes) -> Answer {
    let Dialled { number } = read(&body)?;
    Ok(answered(&json!({ "connects": demo.shop.lock().await.ring(&number).await? })))
}

async fn gang(State(demo): Shared) -> Answer {
    let shop = demo.shop.lock().await;
    let joined = block_in_place(|| {
        let listed = demo.service.platform.published(&Name::new(MERCHANT)?, None, PAGE)?;
        let [orders, reviews, phones, _] = &demo.stores;
        Ok::<_, Refused>(Dump::of([orders, reviews, phones])?.joined(&shop.orders, &shop.naive, &listed))
    });
    Ok(answered(&joined?))
}

async fn officer(State(demo): Shared) -> Answer {
    Ok(answered(&demo.officer.lock().await.shown()))
}

/// What the officer's page shows once they have done this.
async fn office(demo: &Demo, act: impl FnOnce(&mut Officer) -> Outcome<()>) -> Answer {
    let mut officer = demo.officer.lock().await;
    block_in_place(|| act(&mut officer))?;
    Ok(answered(&officer.shown()))
}

#[derive(Deserialize)]
struct Which {
    scope: Scope,
    review: ReviewId,
}

async fn draw_up(State(demo): Shared, body: Bytes) -> Answer {
    let Which { scope, review } = read(&body)?;
    office(&demo, |officer| officer.draw_up(&demo.service, &scope, review)).await
}

#[derive(Deserialize)]
struct Case {
    case: usize,
}

async fn log(State(demo): Shared, body: Bytes) -> Answer {
    let Case { case } = read(&body)?;
    office(&demo, |officer| officer.log(&demo.service, case)).await
}

async fn ask(State(demo): Shared, body: Bytes) -> Answer {
    let Case { case } = read(&body)?;
    office(&demo, |officer| officer.ask(&demo.service, case)).await
}

/// Where everything listens.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) page: SocketAddr,
    pub(super) gateway: SocketAddr,
    pub(super) relay: SocketAddr,
}
