//! What support and operators ask of the order side: a person's data, how an order's cohort stands, which
//! cohorts starve; and, for demonstrations, a clock that is moved.
//!
//! Nobody here learns whether an order was reviewed: that is what cannot be joined.

use crate::answer::{Answer, json};
use crate::arrival::Arrived;
use crate::fields::Fields;
use crate::hex::hex;
use crate::problem::Problem;
use crate::service::{Service, Shared};
use axum::extract::State;
use serde_json::json;
use std::sync::PoisonError;
use unjoin::DAY;
use unjoin::issuer::StarvingCohort;
use unjoin::store::Store;

/// `account`: its wallet keys are nobody's from then on, for ever. Idempotent.
pub(crate) async fn erase<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let account = Fields::read(body, |fields| fields.name("account"))?;
    service.blocking(move |service| Ok(service.platform.issuer().erase_account(&account)?)).await?;
    Ok(json(&json!({})))
}

/// `account`; answers `wallet_keys`: all that is kept under the account itself.
pub(crate) async fn export<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let account = Fields::read(body, |fields| fields.name("account"))?;
    let keys = service.blocking(move |service| Ok(service.platform.issuer().wallet_keys(&account)?)).await?;
    let keys: Vec<String> = keys.iter().map(|key| hex(key.as_bytes())).collect();
    Ok(json(&json!({ "wallet_keys": keys })))
}

/// `account`, `merchant`, `order_id`; answers `closed`, and `first_publication` and `window_end` once its cohort
/// has closed: what can be said to somebody who asks why a review is not shown.
pub(crate) async fn standing<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let (account, merchant, order_id) = Fields::read(body, |fields| {
        Ok((fields.name("account")?, fields.name("merchant")?, fields.text("order_id")?))
    })?;
    let asked = move |service: &Service<S>| {
        let issuer = service.platform.issuer();
        let handle = issuer.handle(&merchant, order_id.as_bytes());
        let offer = service.platform.offer(account, merchant, handle)?;
        Ok(issuer.manifest(&offer.scope)?)
    };
    let manifest = service.blocking(asked).await?;
    let dates = match &manifest {
        Some(signed) => Some(signed.verify(service.platform.public_key()).map_err(|_| Problem::lost())?),
        None => None,
    };
    Ok(json(&json!({
        "closed": dates.is_some(),
        "first_publication": dates.map(|manifest| manifest.publications.first().as_unix_seconds()),
        "window_end": dates.map(|manifest| manifest.publications.last().as_unix_seconds()),
    })))
}

/// Answers `cohorts`, as the last tick found them: what has not reached its k.
pub(crate) async fn starving<S: Store>(State(service): Shared<S>) -> Answer {
    let found = service.starving.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let listed = |found: &StarvingCohort| {
        json!({
            "merchant": String::from_utf8_lossy(found.merchant.as_bytes()),
            "class": found.class,
            "cohort": hex(&found.cohort.to_be_bytes()),
            "of_standing": found.of_standing,
            "k": found.k,
            "open": found.open,
        })
    };
    Ok(json(&json!({ "cohorts": found.iter().map(listed).collect::<Vec<_>>() })))
}

/// `seconds`: for demonstrations, the clock goes on by so many, and what falls due is done. Answers `now`.
pub(crate) async fn advance<S: Store>(State(service): Shared<S>, body: Arrived) -> Answer {
    let seconds = Fields::read(body, |fields| fields.number("seconds"))?;
    if seconds > 366 * DAY {
        return Err(Problem::field("seconds"));
    }
    let moved = move |service: &Service<S>| {
        let advance = service.advance.as_ref().ok_or_else(Problem::no_demo_clock)?;
        advance(seconds);
        service.confirm_clock().map_err(|_| Problem::lost())?;
        // What one tick has said, the second does.
        service.tick();
        service.tick();
        Ok(service.environment.now())
    };
    let now = service.blocking(moved).await?;
    Ok(json(&json!({ "now": now.as_unix_seconds() })))
}
