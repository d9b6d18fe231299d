//! A witness as a program of its own: it cosigns the checkpoints of the ledgers that it knows,
//! over HTTP/1.1, in the format of C2SP tlog-witness.
//!
//! ```text
//! witness --name witness.example/w1 --seed FILE --store FILE --listen ADDRESS --log VKEY [--log VKEY ...]
//!
//! POST /add-checkpoint                          cosigns, or says why not
//! GET  /<SHA-256 of the origin>/checkpoint      the last checkpoint that it cosigned
//! ```
//!
//! The seed is 32 bytes in hexadecimal, the store one file. Neither is ever restored from a
//! backup. Put a proxy in front for TLS. One line is printed once it listens: the address and
//! its verification key.

#![forbid(unsafe_code)]

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::Parser;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use unjoin::Environment;
use unjoin::ledger::{
    AddCheckpoint, KeyName, NotePublicKey, Witness, WitnessError, WitnessKey, WitnessService, entry_id,
};
use unjoin::secret::SecretBytes;
use unjoin::store::{RedbStore, StoreError};

/// Connections at one time; more wait in the listener's queue.
pub(crate) const CONNECTIONS: usize = 64;

/// What it is told to be.
#[derive(Parser)]
#[command(about = "Cosigns checkpoints of ledgers, each after its predecessor")]
pub(crate) struct Arguments {
    /// The witness's name: a URL without its scheme is best
    #[arg(long)]
    name: String,
    /// The file with the key's seed: 32 bytes in hexadecimal
    #[arg(long)]
    seed: PathBuf,
    /// The file in which it remembers what it cosigned
    #[arg(long)]
    store: PathBuf,
    /// Where to listen: address and port; port 0 is any that is free
    #[arg(long)]
    listen: String,
    /// A ledger's verification key; may be given more than once
    #[arg(long = "log", required = true)]
    logs: Vec<NotePublicKey>,
    /// How long a connection may last, in seconds: it is for one request
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    run(Arguments::parse())
}

/// Serves until the process ends.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let seed = SecretBytes::new(read_seed(&std::fs::read_to_string(&arguments.seed)?)?);
    let key = WitnessKey::from_secret_bytes(KeyName::new(arguments.name)?, &seed);
    let store = Arc::new(match RedbStore::create(&arguments.store) {
        Err(StoreError::Exists) => RedbStore::open(&arguments.store),
        created => created,
    }?);
    let origins = arguments.logs.iter().map(|log| log.name().to_string()).collect();
    let service = WitnessService::open(store, key, arguments.logs, Environment::system());
    let server = Arc::new(Server { service, origins });
    let patience = Duration::from_secs(arguments.patience);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(server, &arguments.listen, patience))
}

async fn serve(server: Arc<Server>, listen: &str, patience: Duration) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    // A line of its own, whatever was printed before.
    println!("\n{} {}", listener.local_addr()?, server.service.public_key());
    io::stdout().flush()?;
    let routes = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(last))
        .with_state(server);
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).half_close(true);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(routes.clone());
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    // The whole of it has its time: nobody keeps a place by a byte now and then. A client that
                    // goes away is its own affair.
                    let _ = tokio::time::timeout(patience, connection).await;
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("accepting connections: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn read_seed(text: &str) -> Result<[u8; 32], Box<dyn Error>> {
    let text = text.trim();
    let mut seed = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err("the seed's file holds 64 hexadecimal digits".into());
    }
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16)?;
    }
    Ok(seed)
}

struct Server {
    service: WitnessService<RedbStore>,
    origins: Vec<String>,
}

/// A request whose length says that it is too long is not read.
async fn add_checkpoint(State(server): State<Arc<Server>>, body: Body) -> Response {
    if body.size_hint().lower() > AddCheckpoint::MAX_LEN as u64 {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let Ok(body) = to_bytes(body, AddCheckpoint::MAX_LEN).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let cosign = move || {
        let request = AddCheckpoint::parse(&body)?;
        server.service.add_checkpoint(&request)
    };
    match spawn_blocking(cosign).await.unwrap_or(Err(WitnessError::Busy)) {
        Ok(line) => format!("{line}\n").into_response(),
        Err(WitnessError::Conflict { size }) => {
            let kind = [(CONTENT_TYPE, "text/x.tlog.size")];
            (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response()
        }
        Err(error) => refused(&error),
    }
}

/// The checkpoint that it cosigned last, of the ledger whose origin has this SHA-256.
async fn last(State(server): State<Arc<Server>>, Path(hash): Path<String>) -> Response {
    let is_it = |origin: &&String| {
        let hex: String = entry_id(origin.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        hash == hex
    };
    let Some(origin) = server.origins.iter().find(is_it).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match spawn_blocking(move || server.service.last(&origin)).await.unwrap_or(Err(WitnessError::Busy)) {
        Ok(Some(note)) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &WitnessError) -> Response {
    if error.status() == 500 {
        eprintln!("{}: {error}", error.code());
    }
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, format!("{}\n", error.code())).into_response()
}
