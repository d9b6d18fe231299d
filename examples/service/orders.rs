//! The order side. Devices come here under their accounts' sessions; the platform's own services
//! report orders and their numbers.

use crate::answer::{Answer, json, public_json};
use crate::arrival::Arrived;
use crate::fields::{Fields, Listing, encoded};
use crate::guard::account;
use crate::hex::{hex, unhex};
use crate::problem::Problem;
use crate::service::{Service, Shared};
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::json;
use unjoin::issuer::{NumbersDead, OrderReport, PastOrders};
use unjoin::store::Store;
use unjoin::token::{Enrolment, OrderHandle, TokenRequest};

/// So many manifests, or reviews, are given at once.
pub(crate) const PAGE: usize = 100;

/// No field; answers `nonce`: what the enrolment is made over.
pub(crate) async fn nonce<S: Store>(State(service): Shared<S>, headers: HeaderMap, body: Arrived) -> Answer {
    let account = account(&headers)?;
    Fields::none(body)?;
    let nonce = service.nonces.give(&account, service.environment.now());
    Ok(json(&json!({ "nonce": hex(&nonce) })))
}

/// `nonce`, `enrolment`.
pub(crate) async fn enrol<S: Store>(State(service): Shared<S>, headers: HeaderMap, body: Arrived) -> Answer {
    let account = account(&headers)?;
    let (nonce, enrolment) =
        Fields::read(body, |fields| Ok((fields.array("nonce")?, fields.message::<Enrolment>("enrolment")?)))?;
    if !service.nonces.holds(&account, &nonce, service.environment.now()) {
        return Err(Problem::nonce());
    }
    service.blocking(move |service| Ok(service.platform.enrol(account, nonce, enrolment)?)).await?;
    Ok(json(&json!({})))
}

/// `merchant`, `handle`; answers `offer`.
pub(crate) async fn offer<S: Store>(State(service): Shared<S>, headers: HeaderMap, body: Arrived) -> Answer {
    let account = account(&headers)?;
    let (merchant, handle) = Fields::read(body, |fields| {
        Ok((fields.name("merchant")?, fields.array("handle").map(OrderHandle)?))
    })?;
    let offer =
        service.blocking(move |service| Ok(service.platform.offer(account, merchant, handle)?)).await?;
    Ok(json(&json!({ "offer": encoded(&offer) })))
}

/// `request`; answers `grant`, again the same for the same request.
pub(crate) async fn grant<S: Store>(State(service): Shared<S>, headers: HeaderMap, body: Arrived) -> Answer {
    let account = account(&headers)?;
    let request = Fields::read(body, |fields| fields.message::<TokenRequest>("request"))?;
    let grant = service.platform.grant(account, request).await?;
    Ok(json(&json!({ "grant": encoded(&grant) })))
}

/// Answers `manifests`, in the order of their cohorts.
pub(crate) async fn manifests<S: Store>(
    State(service): Shared<S>,
    Listing { merchant, after }: Listing,
) -> Answer {
    let after = match after {
        Some(cohort) => Some(unhex(&cohort).map(u64::from_be_bytes).ok_or(Problem::field("cohort"))?),
        None => None,
    };
    let found =
        service.blocking(move |service| Ok(service.platform.manifests(&merchant, after, PAGE)?)).await?;
    Ok(public_json(&json!({ "manifests": found.iter().map(encoded).collect::<Vec<_>>() })))
}

/// `merchant`, `class`, `count`: so many customers a merchant that is new here had in 60 days before.
pub(crate) async fn introduce<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let past = Fields::read(body, |fields| {
        let count = u32::try_from(fields.number("count")?).map_err(|_| Problem::field("count"))?;
        let (merchant, class) = (fields.name("merchant")?, class(fields)?);
        Ok(PastOrders { merchant, class, counts: vec![count] })
    })?;
    let told = move |service: &Service<S>| {
        service
            .platform
            .issuer()
            .introduce(&[past])
            .into_iter()
            .collect::<Result<(), _>>()
            .map_err(Problem::from)
    };
    service.blocking(told).await?;
    Ok(json(&json!({})))
}

/// `merchant`, which closed for good; answers `ended`, so many cohorts.
pub(crate) async fn close_merchant<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let merchant = Fields::read(body, |fields| fields.name("merchant"))?;
    let ended =
        service.blocking(move |service| Ok(service.platform.issuer().close_merchant(&merchant)?)).await?;
    Ok(json(&json!({ "ended": ended })))
}

fn class(fields: &mut Fields) -> Result<u8, Problem> {
    u8::try_from(fields.number("class")?).map_err(|_| Problem::field("class"))
}

/// `order_id`, `account`, `merchant`, `class`, `due_at`; answers `handle`, which the device is told.
pub(crate) async fn order_due<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let report = Fields::read(body, |fields| {
        Ok(OrderReport {
            order_id: fields.text("order_id")?.into_bytes(),
            account: fields.name("account")?,
            merchant: fields.name("merchant")?,
            class: class(fields)?,
            due_at: fields.timestamp("due_at")?,
        })
    })?;
    let handle = service.blocking(move |service| Ok(service.platform.order_due(report)?)).await?;
    Ok(json(&json!({ "handle": handle })))
}

/// `merchant`, `handle`, `at`: for an order whose numbers were another telephony's, or that had
/// none. Answers `eligible_at`.
pub(crate) async fn numbers_dead<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let report = Fields::read(body, |fields| {
        Ok(NumbersDead {
            merchant: fields.name("merchant")?,
            handle: OrderHandle(fields.array("handle")?),
            at: fields.timestamp("at")?,
        })
    })?;
    let at = service.blocking(move |service| Ok(service.platform.numbers_dead(report)?)).await?;
    Ok(json(&json!({ "eligible_at": at.as_unix_seconds() })))
}
