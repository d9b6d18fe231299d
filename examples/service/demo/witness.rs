//! A witness that other people run, over HTTP, in this process: for the demonstration and for tests.

use crate::hex::hex;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use unjoin::Environment;
use unjoin::ledger::{
    AddCheckpoint, KeyName, NotePublicKey, Witness, WitnessError, WitnessPublicKey, WitnessService, entry_id,
};
use unjoin::store::MemoryStore;

pub(crate) struct Elsewhere {
    service: WitnessService<MemoryStore>,
    logs: Vec<NotePublicKey>,
    /// URL=KEY
    pub(crate) at: String,
    /// It cosigns nothing while it is.
    #[cfg(test)]
    pub(crate) is_busy: AtomicBool,
}

impl Elsewhere {
    /// Of both ledgers of the service with these secrets, as long as the runtime runs.
    pub(crate) async fn serve(
        secrets: &Path,
        environment: Environment,
    ) -> Result<Arc<Self>, Box<dyn Error + Send + Sync>> {
        let pins: Value = serde_json::from_slice(&std::fs::read(secrets.join("public-keys.json"))?)?;
        let mut logs: Vec<NotePublicKey> = Vec::new();
        for name in ["reviews", "openings"] {
            logs.push(pins["ledgers"][name].as_str().ok_or("the pins name both ledgers")?.parse()?);
        }
        let (store, name) = (Arc::new(MemoryStore::new()), KeyName::new("witness.example")?);
        let service = WitnessService::create(store, name, logs.clone(), environment)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = format!("http://{}={}", listener.local_addr()?, service.public_key());
        let witness = Arc::new(Self {
            service,
            logs,
            at,
            #[cfg(test)]
            is_busy: AtomicBool::new(false),
        });
        let routes = Router::new()
            .route("/add-checkpoint", post(cosign))
            .route("/{origin}/checkpoint", get(last))
            .with_state(Arc::clone(&witness));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(witness)
    }

    pub(crate) fn key(&self) -> WitnessPublicKey {
        self.service.public_key().clone()
    }

    fn add(&self, body: &[u8]) -> Result<String, WitnessError> {
        let request = AddCheckpoint::parse(body)?;
        #[cfg(test)]
        if self.is_busy.load(Ordering::SeqCst) {
            return Err(WitnessError::Busy);
        }
        Ok(format!("{}\n", self.service.add_checkpoint(&request)?))
    }
}

fn refused(error: &WitnessError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

async fn cosign(State(witness): State<Arc<Elsewhere>>, body: Bytes) -> Response {
    match witness.add(&body) {
        Ok(line) => line.into_response(),
        Err(WitnessError::Conflict { size }) => (StatusCode::CONFLICT, format!("{size}\n")).into_response(),
        Err(error) => refused(&error).into_response(),
    }
}

async fn last(State(witness): State<Arc<Elsewhere>>, UrlPath(hash): UrlPath<String>) -> Response {
    let is_it = |log: &&NotePublicKey| hex(&entry_id(log.name().as_str().as_bytes())) == hash;
    let Some(log) = witness.logs.iter().find(is_it) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match witness.service.last(log.name().as_str()) {
        Ok(Some(note)) => note.into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refused(&error).into_response(),
    }
}
