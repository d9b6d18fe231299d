//! A witness that other people run, over HTTP.

#[cfg(unix)]
use super::{
    Directory,
    process::{Process, has_served},
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use unjoin::Environment;
use unjoin::ledger::{
    AddCheckpoint, KeyName, NotePublicKey, Witness, WitnessError, WitnessPublicKey, WitnessService, entry_id,
};
use unjoin::store::MemoryStore;

pub(super) struct Elsewhere {
    service: WitnessService<MemoryStore>,
    logs: Vec<NotePublicKey>,
    /// URL=KEY
    pub(super) at: String,
    /// It cosigns nothing while it is.
    pub(super) is_busy: AtomicBool,
}

impl Elsewhere {
    /// Of both ledgers of the service with these secrets, as long as the runtime runs.
    pub(super) async fn serve(secrets: &Path, environment: Environment) -> Arc<Self> {
        let pins = fs::read(secrets.join("public-keys.json")).unwrap();
        let pins: Value = serde_json::from_slice(&pins).unwrap();
        let log = |name: &str| pins["ledgers"][name].as_str().unwrap().parse().unwrap();
        let logs = vec![log("reviews"), log("openings")];
        let (store, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness.example").unwrap());
        let service = WitnessService::create(store, name, logs.clone(), environment).unwrap();
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let at = format!("http://{}={}", listener.local_addr().unwrap(), service.public_key());
        let witness = Arc::new(Self { service, logs, at, is_busy: AtomicBool::new(false) });
        let routes = Router::new()
            .route("/add-checkpoint", post(cosign))
            .route("/{origin}/checkpoint", get(last))
            .with_state(Arc::clone(&witness));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        witness
    }

    pub(super) fn key(&self) -> WitnessPublicKey {
        self.service.public_key().clone()
    }
}

async fn cosign(State(witness): State<Arc<Elsewhere>>, body: Bytes) -> Response {
    let is_busy = witness.is_busy.load(Ordering::SeqCst);
    let asked = AddCheckpoint::parse(&body).and_then(|request| match is_busy {
        true => Err(WitnessError::Busy),
        false => witness.service.add_checkpoint(&request),
    });
    match asked {
        Ok(line) => format!("{line}\n").into_response(),
        Err(WitnessError::Conflict { size }) => (StatusCode::CONFLICT, format!("{size}\n")).into_response(),
        Err(error) => StatusCode::from_u16(error.status()).unwrap().into_response(),
    }
}

async fn last(State(witness): State<Arc<Elsewhere>>, UrlPath(hash): UrlPath<String>) -> Response {
    let is_it = |log: &&NotePublicKey| crate::hex::hex(&entry_id(log.name().as_str().as_bytes())) == hash;
    let origin = witness.logs.iter().find(is_it).unwrap().name().to_string();
    match witness.service.last(&origin).unwrap() {
        Some(note) => note.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A witness is set up with keys that the first start makes.
#[cfg(unix)]
#[test]
fn a_first_start_makes_the_keys_for_a_witness_and_serves_once_it_answers() {
    const TEST: &str =
        "tests::witness::a_first_start_makes_the_keys_for_a_witness_and_serves_once_it_answers";
    if has_served() {
        return;
    }
    let directory = Directory::new();
    let (secrets, store) =
        (directory.0.join("secrets"), format!("redb:{}", directory.0.join("stores").display()));
    let (engine, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness.example").unwrap());
    let known = WitnessService::create(engine, name, Vec::new(), Environment::system()).unwrap();
    // Nobody listens there.
    let away = format!("http://[::1]:1={}", known.public_key());
    let first = ["--demo-trustees", "--witness", &away];
    let refused = Process::command(TEST, &directory.0, &store, &first).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("no witness says what it has seen"), "{said}");
    let pins = fs::read(secrets.join("public-keys.json")).unwrap();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let witness = runtime.block_on(Elsewhere::serve(&secrets, Environment::system()));
    Process::start(TEST, &directory.0, &store, "log", &["--witness", &witness.at]).end();
    assert_eq!(fs::read(secrets.join("public-keys.json")).unwrap(), pins);
}
