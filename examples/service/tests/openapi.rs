//! The description of the endpoints (`docs/openapi.json`) says what they do, and all of it.
//!
//! Every request and every answer of every test of the service goes through [`observe`], which looks both up
//! in the description: path, method, status, the code of a problem, and the fields of what was taken and
//! answered, none missing and none more.

use super::path::{SHOP_PHONE, ask};
use super::{MERCHANT, MONDAY, World, ask_door, submission};
use crate::device::{introduce, text};
use crate::endpoint::{Endpoint, Side};
use crate::hex::hex;
use crate::problem::status_of;
use axum::body::{Body, to_bytes};
use axum::http::Method;
use axum::response::Response;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};
use unjoin::issuer::IssuerError;
use unjoin::ledger::{DisclosedEntry, LogError, ViewError};
use unjoin::phone::SwitchboardError;
use unjoin::review::DeskError;
use unjoin::secret::SystemRng;
use unjoin::store::MemoryStore;
use unjoin::token::{DoorAnswer, DoorMessage, DoorQuestion};
use unjoin::wire::{DecodeError, Message};
use unjoin::{Clock, DAY, NameError, PlatformError, Timestamp, WEEK};
use unjoin_door::{DoorError, KeyConfig, seal};

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(crate::operations::DESCRIPTION).unwrap());

/// The operations that were answered with 200.
static ANSWERED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn entries(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// Every operation, with its path and its method.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    entries(&DESCRIPTION["paths"]).iter().flat_map(|(path, item)| {
        let methods = entries(item).iter().filter(|(name, _)| *name != "servers");
        methods.map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// What a `$ref` names.
fn resolved(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(name) => DESCRIPTION.pointer(name.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// Whether `value` is as `schema` says, so far as the description uses it.
fn fits(schema: &Value, value: &Value) -> bool {
    if let Some(either) = schema["oneOf"].as_array() {
        return either.iter().filter(|schema| fits(schema, value)).count() == 1;
    }
    let target = resolved(schema);
    if !std::ptr::eq(target, schema) && !fits(target, value) {
        return false;
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => Vec::new(),
        kind => vec![kind.clone()],
    };
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the test knows no {other}"),
    };
    let bounds = |least: &Value, most: &Value, size: u64| {
        least.as_u64().is_none_or(|least| size >= least) && most.as_u64().is_none_or(|most| size <= most)
    };
    let members = |object: &Map<String, Value>| {
        let known = |name: &String| schema["properties"].get(name).is_some();
        let required = schema["required"].as_array().into_iter().flatten();
        required.into_iter().all(|name| object.contains_key(name.as_str().unwrap()))
            && (schema["additionalProperties"] != false || object.keys().all(known))
            && object.iter().all(|(name, value)| fits(&schema["properties"][name], value))
    };
    (kinds.is_empty() || kinds.iter().any(is))
        && (schema["const"].is_null() || schema["const"] == *value)
        && schema["enum"].as_array().is_none_or(|all| all.contains(value))
        && value
            .as_str()
            .is_none_or(|text| bounds(&schema["minLength"], &schema["maxLength"], text.len() as u64))
        && value.as_u64().is_none_or(|number| bounds(&schema["minimum"], &schema["maximum"], number))
        && value.as_array().is_none_or(|items| {
            bounds(&schema["minItems"], &schema["maxItems"], items.len() as u64)
                && items.iter().all(|item| fits(&schema["items"], item))
        })
        && value.as_object().is_none_or(members)
}

/// Whether the last parameter takes slashes, which a description cannot say.
fn ends_in_more(template: &str) -> bool {
    Endpoint::ALL
        .iter()
        .flat_map(|endpoint| endpoint.paths())
        .any(|path| *path != template && plain(path) == template)
}

/// A route as a description has it.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

/// The operation that this path and method are, if any.
fn operation(path: &str, method: &Method) -> Option<(&'static str, &'static Value)> {
    let method = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let is_at = |template: &str| {
        let (parts, known) = (path.split('/'), template.split('/'));
        let has_more = ends_in_more(template) && parts.clone().count() > known.clone().count();
        (has_more || parts.clone().count() == known.clone().count())
            && parts.zip(known).all(|(part, known)| known.starts_with('{') || part == known)
    };
    operations()
        .find(|(path, known, _)| is_at(path) && *known == method)
        .map(|(path, _, operation)| (path, operation))
}

/// Panics unless the description says of this request that it may be answered so.
pub(crate) async fn observe(
    method: &Method,
    path: &str,
    asked: Option<Bytes>,
    response: Response,
) -> Response {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    if let Err(wrong) = check(method, path, asked, parts.status.as_u16(), &parts.headers, &body) {
        panic!("{method} {path}: {wrong}");
    }
    Response::from_parts(parts, Body::from(body))
}

fn check(
    method: &Method,
    path: &str,
    asked: Option<Bytes>,
    status: u16,
    headers: &axum::http::HeaderMap,
    body: &Bytes,
) -> Result<(), String> {
    let object = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    if path == "/door" {
        let answer = DoorAnswer::from_bytes(body).map_err(|error| error.to_string())?;
        let codes = DESCRIPTION["paths"]["/door"]["post"]["x-codes"][answer.status().to_string()].as_array();
        let said = String::from_utf8_lossy(answer.body()).into_owned();
        if answer.status() == 200 {
            ANSWERED.lock().unwrap().insert("door".to_owned());
        } else if !codes.is_some_and(|codes| codes.contains(&json!(said))) {
            return Err(format!("{} {said} is not described", answer.status()));
        }
        return Ok(());
    }
    let Some((_, operation)) = operation(path, method) else {
        let code = object()["code"].clone();
        let is_unknown = [json!("service.not_found"), json!("service.method")].contains(&code);
        return if is_unknown || method == Method::HEAD { Ok(()) } else { Err("it is not described".into()) };
    };
    // A path of the other side's.
    if status == 404 && object()["code"] == "service.not_found" {
        return Ok(());
    }
    let described = resolved(&operation["responses"][status.to_string()]);
    let (kind, content) =
        entries(&described["content"]).iter().next().ok_or("the status is not described")?;
    if headers["content-type"] != kind.as_str() {
        return Err(format!("{status} is described as {kind}"));
    }
    if kind.ends_with("json") && method != Method::HEAD && !fits(&content["schema"], &object()) {
        return Err(format!("{status} {} is not as described", object()["code"]));
    }
    if status == 200 {
        let taken = &operation["requestBody"]["content"]["application/json"]["schema"];
        let asked = asked.unwrap_or_default();
        if !taken.is_null() && !fits(taken, &serde_json::from_slice(&asked).unwrap_or_default()) {
            return Err("a body was taken that is not as described".into());
        }
        ANSWERED.lock().unwrap().insert(operation["operationId"].as_str().unwrap().to_owned());
    }
    Ok(())
}

#[test]
fn the_description_has_every_path_and_method_and_no_other() {
    let servers = |side| match side {
        Side::Devices => "--listen",
        Side::Internal => "--internal",
    };
    let routed: BTreeSet<_> = Endpoint::ALL
        .iter()
        .flat_map(|endpoint| endpoint.paths().iter().map(|path| (*path, *endpoint)))
        .map(|(path, endpoint)| {
            (plain(path), endpoint.method().as_str().to_lowercase(), servers(endpoint.side()))
        })
        .collect();
    let described: BTreeSet<_> = operations()
        .map(|(path, method, _)| {
            let server = &DESCRIPTION["paths"][path]["servers"][0]["description"];
            (path.to_owned(), method.to_owned(), server.as_str().unwrap())
        })
        .collect();
    assert_eq!(routed, described);
    for (path, _, operation) in operations() {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let named = parameters.filter(|parameter| parameter["in"] == "path");
        let named: Vec<String> =
            named.map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap())).collect();
        let inside: Vec<&str> = path.split('/').filter(|part| part.starts_with('{')).collect();
        assert_eq!(named, inside, "{path}");
    }
}

/// The codes of the library that no request is answered with.
const NEVER: [(&str, &str); 45] = [
    ("issuer.config", "opening"),
    ("issuer.threads", "opening"),
    ("issuer.recovery", "recovering"),
    ("issuer.too_many_counts", "it states one"),
    ("issuer.clock_ahead", "ticks"),
    ("issuer.clock_behind", "ticks"),
    ("issuer.signing", "ticks"),
    ("desk.threads", "opening"),
    ("desk.signing", "its keys are in the process"),
    ("desk.recovery", "recovering"),
    ("desk.clock_ahead", "ticks"),
    ("desk.clock_behind", "ticks"),
    ("desk.manifest_refused", "ticks"),
    ("desk.manifest_conflict", "ticks"),
    ("desk.off_grid", "ticks"),
    ("switchboard.config", "opening"),
    ("switchboard.threads", "opening"),
    ("switchboard.merchant_direction", "tickets"),
    ("switchboard.superseded", "replacing"),
    ("switchboard.unknown_pool", "it has one"),
    ("switchboard.kept_closed", "tickets"),
    ("switchboard.keys_replaced", "extending"),
    ("switchboard.unknown_binding", "extending and replacing"),
    ("platform.no_telephony", "it has telephony"),
    ("platform.order_name", "it names orders itself"),
    ("platform.no_ledgers", "it has ledgers"),
    ("ledger.policy", "opening"),
    ("ledger.key", "opening"),
    ("ledger.entry_too_long", "bodies are shorter"),
    ("ledger.signing", "ticks"),
    ("ledger.forked", "ticks"),
    ("ledger.behind", "opening"),
    ("ledger.unwitnessed", "opening"),
    ("platform.no_answer", "a bug"),
    ("door.config", "devices"),
    ("door.authority", "opening"),
    ("door.answer", "devices"),
    ("door.no_key_entry", "devices"),
    ("door.not_logged", "devices"),
    ("door.key_signature", "devices"),
    ("door.key_off_grid", "devices"),
    ("door.key_ended", "devices"),
    ("door.too_many_keys", "devices"),
    ("door.bundle", "devices"),
    ("service.other", "what the libraries below refuse"),
];

/// Every code with the statuses that it is answered with, for each is decided in one place.
#[test]
fn the_description_has_every_code_with_its_status_and_no_other() {
    let own = include_str!("../problem.rs").split('"').filter(|text| text.starts_with("service."));
    let own: BTreeSet<&str> = own.collect();
    let mut library: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
    let errors = [
        IssuerError::CODES,
        DeskError::CODES,
        SwitchboardError::CODES,
        PlatformError::CODES,
        DecodeError::CODES,
        NameError::CODES,
        ViewError::CODES,
        LogError::CODES,
        DoorError::CODES,
    ];
    // The door says an error otherwise: 503 where the same question may be sent again.
    let mut at_the_door: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (code, audience, retryable) in errors.into_iter().flatten() {
        let status = status_of(code, *audience, *retryable).as_u16();
        library.entry(code).or_default().insert(status);
        at_the_door.entry(code).or_default().insert(if *retryable { "503" } else { "400" });
    }
    let mut described = BTreeSet::new();
    for (path, _, operation) in operations() {
        for (status, response) in entries(&operation["responses"]) {
            let schema = &resolved(response)["content"]["application/problem+json"]["schema"];
            for code in schema["properties"]["code"]["enum"].as_array().into_iter().flatten() {
                let code = code.as_str().unwrap();
                described.insert(code);
                let known = match library.get(code) {
                    Some(statuses) => statuses.contains(&status.parse().unwrap()),
                    None => own.contains(code),
                };
                assert!(known, "{path}: {status} {code}");
            }
        }
        let within = operation["x-codes"].as_object().into_iter().flatten();
        for (status, code) in within.flat_map(|(status, codes)| {
            codes.as_array().unwrap().iter().map(move |code| (status.as_str(), code.as_str().unwrap()))
        }) {
            described.insert(code);
            let known = match at_the_door.get(code) {
                Some(statuses) => statuses.contains(status),
                None => own.contains(code),
            };
            assert!(known, "{path}: {status} {code}");
        }
    }
    // Said of all endpoints at once.
    described.extend(["service.not_found", "service.method"]);
    described.extend(NEVER.map(|(code, _)| code));
    let all: BTreeSet<&str> = own.iter().chain(library.keys()).copied().collect();
    assert_eq!(all.difference(&described).collect::<Vec<_>>(), Vec::<&&str>::new(), "not described");
    assert_eq!(described.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new(), "not answered");
}

/// Asks each operation once; [`observe`] compares.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_takes_and_answers_the_fields_described() {
    let world = World::start(MemoryStore::new, Default::default()).await;
    let (mut devices, mut internal) = (world.connect(), world.connect_internal());
    let (mut orders, mut eligible) = (Vec::new(), 0);
    for (account, phone) in [("ann", "+8613911112222"), ("ben", "+8613933334444")] {
        let order = format!("order-of-{account}");
        let bind = json!({
            "merchant": MERCHANT, "order": order, "leg": "merchant", "hub": SHOP_PHONE,
            "customer": phone, "not_after": MONDAY.as_unix_seconds() + 3600,
        });
        let number = ask(&mut internal, "/phones/bind", bind).await;
        for dialled in [text(&number, "number").unwrap(), "+8617000000000"] {
            let question = json!({
                "id": "7", "caller": phone, "dialled": dialled, "channel": "voice",
                "attestation": "full", "trunk": "untrusted",
            });
            ask(&mut internal, "/phones/route", question).await;
        }
        let (device, handle) = world.order(account, MERCHANT).await;
        let close = json!({ "merchant": MERCHANT, "order": order });
        let closed = ask(&mut internal, "/phones/close-order", close).await;
        eligible = eligible.max(closed["eligible_at"].as_u64().unwrap());
        orders.push((device, handle));
    }
    introduce(&mut internal, "ovens.example", 0).await.unwrap();
    let courier = json!({
        "merchant": MERCHANT, "order": "another", "leg": "courier", "courier": "carl", "hub": SHOP_PHONE,
        "customer": "+8613911112222", "not_after": MONDAY.as_unix_seconds() + 3600,
    });
    ask(&mut internal, "/phones/bind", courier).await;
    world.go_to(Timestamp::from_unix_seconds(eligible));
    let mut customers = Vec::new();
    for (device, handle) in orders {
        let token = world.token(&device, MERCHANT, &handle).await;
        customers.push((device, token));
    }
    world.closed(["cat", "dan"]).await;
    let (ann, token) = &customers[0];
    ask_door(&mut devices, submission(ann, token, "It came broken.")).await.unwrap();
    world.go_to(super::FORTNIGHT_LATER.saturating_add(WEEK + DAY));
    let _ = world.service.tick();
    let listed = devices.get(&format!("/reviews/published/{MERCHANT}")).await.unwrap().object().unwrap();
    let id = listed["reviews"][0]["review_id"].as_str().unwrap();
    let cohort = hex(&[7; 8]);
    for path in [
        format!("/reviews/published/{MERCHANT}/after/{id}"),
        format!("/reviews/rating/{MERCHANT}"),
        format!("/reviews/histogram/{MERCHANT}"),
        format!("/manifests/{MERCHANT}/after/{cohort}"),
    ] {
        assert_eq!(devices.get(&path).await.unwrap().code(), None, "{path}");
    }
    let key = KeyConfig::from(&super::gateway::newest(&world, world.clock.now()));
    let asked = DoorQuestion::Bundle { boundary: MONDAY, shard: 0, piece: 0 };
    let (sealed, _) =
        seal(&key, super::HOST, &DoorMessage::new(asked).unwrap(), &mut SystemRng::new()).unwrap();
    assert_eq!(devices.post("/gateway", None, sealed).await.unwrap().code(), None);
    assert_eq!(devices.get("/door/keys").await.unwrap().code(), None);
    let size = super::ledgers::size(&mut devices, &world, "reviews").await;
    devices.get(&format!("/ledgers/reviews/tile/entries/000.p/{size}")).await.unwrap();
    let of_ann = json!({ "scope": listed["reviews"][0]["scope"], "review_id": id });
    assert_eq!(internal.post("/reviews/evidence", None, of_ann.to_string()).await.unwrap().code(), None);
    let mut removal = of_ann;
    removal["digest"] = listed["reviews"][0]["digest"].clone();
    removal["grounds"] = json!("an insult");
    ask(&mut internal, "/reviews/remove", removal).await;
    let entry = DisclosedEntry { warrant_digest: [1; 32], blind: [2; 32] }.to_bytes();
    let logged = internal.post("/ledgers/openings/append", None, entry).await.unwrap().object().unwrap();
    assert_eq!(logged, json!({ "index": 4 }), "behind those of four enrolments");
    let person = json!({ "account": "ann" });
    let order = json!({ "account": "cat", "merchant": MERCHANT, "order_id": "order-of-cat" });
    let open = world.buy("eve", "ovens.example").await.0.account;
    let waits = json!({ "account": open, "merchant": "ovens.example", "order_id": "order-of-eve" });
    let standing = ask(&mut internal, "/orders/standing", waits).await;
    assert_eq!(standing, json!({ "closed": false, "first_publication": null, "window_end": null }));
    let standing = ask(&mut internal, "/orders/standing", order).await;
    assert_eq!(standing["closed"], true);
    let kept = ask(&mut internal, "/accounts/export", person.clone()).await;
    assert_eq!(kept["wallet_keys"].as_array().unwrap().len(), 1);
    for _ in 0..2 {
        ask(&mut internal, "/accounts/erase", person.clone()).await;
    }
    assert_eq!(ask(&mut internal, "/accounts/export", person).await, json!({ "wallet_keys": [] }));
    let now =
        ask(&mut internal, "/clock/advance", json!({ "seconds": 100 * DAY })).await["now"].as_u64().unwrap();
    assert_eq!(now, world.clock.now().as_unix_seconds());
    let starving = internal.get("/cohorts/starving").await.unwrap().object().unwrap();
    assert_eq!(starving["cohorts"][0]["merchant"], "ovens.example");
    let copies = super::Directory::new();
    ask(&mut internal, "/backup", json!({ "directory": copies.0.join("today") })).await;
    let closed = ask(&mut internal, "/merchants/close", json!({ "merchant": "ovens.example" })).await;
    assert_eq!(closed, json!({ "ended": 1 }));
    for path in ["/health/live", "/health/ready", "/metrics", "/openapi.json"] {
        assert_eq!(internal.get(path).await.unwrap().code(), None, "{path}");
    }
    let all: BTreeSet<_> =
        operations().map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned()).collect();
    let answered = ANSWERED.lock().unwrap().clone();
    assert_eq!(all.difference(&answered).collect::<Vec<_>>(), Vec::<&String>::new(), "never answered");
    world.end().await;
}
