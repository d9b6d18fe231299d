//! Telephony: numbers for orders, routes for switches. Whoever reaches these endpoints learns real
//! numbers: the platform's services and its switches, nobody else.

use crate::answer::{Answer, json};
use crate::arrival::Arrived;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::service::{Service, Shared};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;
use unjoin::phone::gateway::Question;
use unjoin::phone::{Binding, NumberingPlan, OrderRef, Parties, PhoneNumber, Route};
use unjoin::store::Store;

/// The order as telephony names it: by its handle.
fn order<S: Store>(service: &Service<S>, fields: &mut Fields) -> Result<OrderRef, Problem> {
    let (merchant, order) = (fields.name("merchant")?, fields.text("order")?);
    Ok(service.platform.order_ref(&merchant, order.as_bytes()))
}

fn party(plan: &NumberingPlan, fields: &mut Fields, field: &'static str) -> Result<PhoneNumber, Problem> {
    plan.party(&fields.text(field)?).map_err(|_| Problem::field(field))
}

/// `merchant`, `order`, `leg` (`merchant` or `courier`), `hub` and `customer` (phones), `courier` (a
/// name, on its leg), `not_after`; answers `number` and `not_after`.
pub(crate) async fn bind<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let plan = &service.plan;
    let binding = Fields::read(body, |fields| {
        let order = order(&service, fields)?;
        let parties =
            Parties { hub: party(plan, fields, "hub")?, customer: party(plan, fields, "customer")? };
        let not_after = fields.timestamp("not_after")?;
        match fields.text("leg")?.as_str() {
            "merchant" => Ok(Binding::merchant(order, parties, not_after)),
            "courier" => Ok(Binding::courier(order, fields.name("courier")?, parties, not_after)),
            _ => Err(Problem::field("leg")),
        }
    })?;
    let bound = service.platform.bind(binding)?.await?;
    Ok(json(&json!({
        "number": bound.number.to_e164(),
        "not_after": bound.not_after.as_unix_seconds(),
    })))
}

/// The gateway's question; its answer. What fails is refused like everything else: which records
/// are damaged is nobody's business.
pub(crate) async fn decide<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    // The error would say which field, and to whom.
    let question: Question = serde_json::from_slice(&body.0?).map_err(|_| Problem::json())?;
    let route = match question.request(&service.plan) {
        Some(request) => {
            let asked = service.blocking(move |service| Ok(service.platform.route(&request)?)).await;
            match asked {
                Err(problem) if problem.code == Problem::busy().code => return Err(problem),
                asked => asked.unwrap_or(Route::Refuse),
            }
        }
        None => Route::Refuse,
    };
    let answer = serde_json::to_vec(&question.answer(&route));
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, answer.map_err(|_| Problem::lost())?).into_response())
}

/// `merchant`, `order`: ends and freezes the order's numbers, if it had any. Answers `eligible_at`: from when on
/// its token can be asked for.
pub(crate) async fn close_order<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let order = Fields::read(body, |fields| order(&service, fields))?;
    let at = service.blocking(move |service| Ok(service.platform.close_order(&order)?)).await?;
    Ok(json(&json!({ "eligible_at": at.as_unix_seconds() })))
}
