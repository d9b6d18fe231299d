//! Demonstration control: what a platform's order service calls in the library, over HTTP.
//!
//! `POST` with a JSON object; the answer is one, or 400 with the error's code.

use crate::http::bounded;
use crate::service::Service;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use unjoin::phone::{Binding, Leg, OrderRef, Parties};
use unjoin::store::Store;
use unjoin::{Name, Timestamp};

type Answer = Result<Value, String>;

pub(crate) fn routes<S: Store>(service: Arc<Service<S>>) -> Router {
    Router::new()
        .route("/bind", command::<S>(bind))
        .route("/ticket", command::<S>(ticket))
        .route("/release", command::<S>(release))
        .route("/close", command::<S>(close))
        .route("/kill", command::<S>(kill))
        .route("/delay", command::<S>(delay))
        .layer(DefaultBodyLimit::max(1024))
        .layer(from_fn(bounded))
        .with_state(service)
}

fn command<S: Store>(run: fn(&Service<S>, &Value) -> Answer) -> MethodRouter<Arc<Service<S>>> {
    post(move |State(service): State<Arc<Service<S>>>, body: Bytes| async move {
        let outcome = spawn_blocking(move || {
            let value = serde_json::from_slice(&body).map_err(|_| "not JSON".to_owned())?;
            run(&service, &value)
        });
        match outcome.await {
            Ok(Ok(answer)) => (StatusCode::OK, answer.to_string()),
            Ok(Err(code)) => (StatusCode::BAD_REQUEST, json!({"error": code}).to_string()),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        }
    })
}

/// `merchant`, `order`, `leg` (`merchant` or `courier`), `hub` and `customer` (phones),
/// `courier` (a name, on its leg), `seconds`: how long it lives; `pool`, the
/// label of one that is not the first. Answers `number`.
fn bind<S: Store>(service: &Service<S>, of: &Value) -> Answer {
    let phone = |field| service.plan.party(text(of, field)?).map_err(|error| error.code().to_owned());
    let parties = Parties { hub: phone("hub")?, customer: phone("customer")? };
    let end = later(service, of)?;
    let pool = of.get("pool").map(|_| text(of, "pool").map(str::to_owned)).transpose()?;
    let binding = match leg(of)? {
        Leg::Merchant => Binding::merchant(order(of)?, parties, end),
        Leg::Courier => Binding::courier(order(of)?, name(of, "courier")?, parties, end),
    };
    let binding = Binding { pool, ..binding };
    let bound = service.switchboard.bind(binding).wait().map_err(|error| error.code().to_owned())?;
    Ok(json!({"number": bound.number.to_e164()}))
}

/// `merchant`, `order`, `seconds`: the merchant may call for so long.
fn ticket<S: Store>(service: &Service<S>, of: &Value) -> Answer {
    let end = later(service, of)?;
    service.switchboard.open_ticket(&order(of)?, end).map_err(|error| error.code().to_owned())?;
    Ok(json!({}))
}

/// `merchant`, `order`, `leg`.
fn release<S: Store>(service: &Service<S>, of: &Value) -> Answer {
    service.switchboard.release(&order(of)?, leg(of)?).map_err(|error| error.code().to_owned())?;
    Ok(json!({}))
}

/// `merchant`, `order`: all its numbers end.
fn close<S: Store>(service: &Service<S>, of: &Value) -> Answer {
    let closed = service.switchboard.close_orders(&[order(of)?]).pop();
    closed.transpose().map_err(|error| error.code().to_owned())?;
    Ok(json!({}))
}

/// `merchant`: none of its numbers rings any more.
fn kill<S: Store>(service: &Service<S>, of: &Value) -> Answer {
    service.switchboard.cut_off(&name(of, "merchant")?).map_err(|error| error.code().to_owned())?;
    Ok(json!({}))
}

/// `number`, `milliseconds`: answers about it come so much later. For tests of a slow gateway.
fn delay<S: Store>(service: &Service<S>, of: &Value) -> Answer {
    let number = service.plan.virtual_number(text(of, "number")?).map_err(|error| error.code().to_owned())?;
    service.delay(number, Duration::from_millis(whole(of, "milliseconds")?));
    Ok(json!({}))
}

fn text<'a>(of: &'a Value, field: &str) -> Result<&'a str, String> {
    of.get(field).and_then(Value::as_str).ok_or_else(|| format!("{field} is a text"))
}

fn whole(of: &Value, field: &str) -> Result<u64, String> {
    of.get(field).and_then(Value::as_u64).ok_or_else(|| format!("{field} is a whole number"))
}

fn name(of: &Value, field: &str) -> Result<Name, String> {
    Name::new(text(of, field)?).map_err(|error| error.to_string())
}

fn order(of: &Value) -> Result<OrderRef, String> {
    Ok(OrderRef { merchant: name(of, "merchant")?, order: name(of, "order")? })
}

fn leg(of: &Value) -> Result<Leg, String> {
    match text(of, "leg")? {
        "merchant" => Ok(Leg::Merchant),
        "courier" => Ok(Leg::Courier),
        _ => Err("leg is merchant or courier".to_owned()),
    }
}

fn later<S: Store>(service: &Service<S>, of: &Value) -> Result<Timestamp, String> {
    let now = service.environment.now().as_unix_seconds();
    Ok(Timestamp::from_unix_seconds(now.saturating_add(whole(of, "seconds")?)))
}
