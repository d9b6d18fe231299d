//! A witness as a program of its own: it cosigns the checkpoints of the ledgers that it knows,
//! over HTTP/1.1, in the format of C2SP tlog-witness.
//!
//! ```text
//! witness create --store FILE --name witness.example/w1
//! witness serve --store FILE --listen ADDRESS --log VKEY [--log VKEY ...]
//!
//! POST /add-checkpoint                          cosigns, or says why not
//! GET  /<SHA-256 of the origin>/checkpoint      the last checkpoint that it cosigned
//! ```
//!
//! The store is one file. It holds what the witness remembers, and its key: there is no way to have the one without the
//! other. It is never restored from a backup. `create` prints the verification key; `serve` never makes a store, and
//! prints one line once it listens: the address and the verification key. Put a proxy in front for TLS.

#![forbid(unsafe_code)]

#[path = "shared/words.rs"]
mod words;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::{Parser, Subcommand};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use unjoin::Environment;
use unjoin::ledger::{
    AddCheckpoint, KeyName, NotePublicKey, Witness, WitnessError, WitnessService, entry_id,
};
use unjoin::secret::SecretBytes;
use unjoin::store::RedbStore;
use words::{At, Outcome};

/// Connections at one time; more wait in the listener's queue.
pub(crate) const CONNECTIONS: usize = 64;

/// A request's head, in bytes.
const HEAD: usize = 16 << 10;

#[derive(Parser)]
#[command(about = "Cosigns checkpoints of ledgers, each after its predecessor")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Once: makes the store, and a key that never leaves it
    Create {
        /// The file in which it will remember what it cosigned
        #[arg(long)]
        store: PathBuf,
        /// The witness's name: a URL without its scheme is best
        #[arg(long)]
        name: String,
        /// Takes a key from elsewhere: a file with 64 hexadecimal digits. If it ever cosigned a checkpoint, this witness
        /// may cosign a fork of it
        #[arg(long, value_name = "SEED")]
        accept_that_this_key_may_have_signed: Option<PathBuf>,
    },
    /// Serves from a store that is there
    Serve(ServeArguments),
}

#[derive(clap::Args)]
struct ServeArguments {
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

fn main() -> ExitCode {
    words::end(run(Arguments::parse()))
}

/// Serves until the process ends.
pub(crate) fn run(arguments: Arguments) -> Outcome<()> {
    match arguments.command {
        Command::Create { store, name, accept_that_this_key_may_have_signed } => {
            create(&store, name, accept_that_this_key_may_have_signed.as_deref())
        }
        Command::Serve(arguments) => {
            let store = Arc::new(RedbStore::open(&arguments.store).at(&arguments.store)?);
            let origins = arguments.logs.iter().map(|log| log.name().to_string()).collect();
            let service = WitnessService::open(store, arguments.logs, Environment::system());
            let server = Arc::new(Server { service: service.at(&arguments.store)?, origins });
            let patience = Duration::from_secs(arguments.patience);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve(server, &arguments.listen, patience))
        }
    }
}

fn create(path: &FilePath, name: String, seed: Option<&FilePath>) -> Outcome<()> {
    let name = KeyName::new(name)
        .map_err(|_| "--name has 1 to 255 bytes, no white space, no control character, no +")?;
    let seed = seed.map(|file| read_seed(&std::fs::read_to_string(file).at(file)?).at(file)).transpose()?;
    let (store, logs) = (Arc::new(RedbStore::create(path).at(path)?), Vec::new());
    let service = match seed {
        None => WitnessService::create(store, name, logs, Environment::system()),
        Some(seed) => WitnessService::create_with_key_that_may_have_signed(
            store,
            name,
            SecretBytes::new(seed),
            logs,
            Environment::system(),
        ),
    };
    println!("{}", service.at(path)?.public_key());
    Ok(())
}

async fn serve(server: Arc<Server>, listen: &str, patience: Duration) -> Outcome<()> {
    let listener = TcpListener::bind(listen).await.at(listen)?;
    // A line of its own, whatever was printed before.
    println!("\n{} {}", listener.local_addr()?, server.service.public_key());
    io::stdout().flush()?;
    let routes = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(last))
        .with_state(server);
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).half_close(true).max_buf_size(HEAD);
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

fn read_seed(text: &str) -> Outcome<[u8; 32]> {
    let text = text.trim();
    let mut seed = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("a seed is 64 hexadecimal digits".into());
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
