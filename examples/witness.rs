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

use clap::Parser;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use unjoin::Environment;
use unjoin::ledger::{
    AddCheckpoint, KeyName, NotePublicKey, Witness, WitnessError, WitnessKey, WitnessService, entry_id,
};
use unjoin::secret::SecretBytes;
use unjoin::store::RedbStore;

/// Connections at one time; more are closed at once.
const CONNECTIONS: usize = 64;
/// How long a client may take to send or to take a part.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line of a request's head, and the most lines.
const LINE: u64 = 4096;
const LINES: usize = 64;

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
}

fn main() -> Result<(), Box<dyn Error>> {
    run(Arguments::parse())
}

/// Serves until the process ends.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let seed = SecretBytes::new(read_seed(&std::fs::read_to_string(&arguments.seed)?)?);
    let key = WitnessKey::from_secret_bytes(KeyName::new(arguments.name)?, &seed);
    let store = Arc::new(RedbStore::create_or_open(&arguments.store)?);
    let origins = arguments.logs.iter().map(|log| log.name().to_string()).collect();
    let service = WitnessService::open(store, key, arguments.logs, Environment::system());
    let listener = TcpListener::bind(&arguments.listen)?;
    // A line of its own, whatever was printed before.
    println!("\n{} {}", listener.local_addr()?, service.public_key());
    io::stdout().flush()?;
    let server = Arc::new(Server { service, origins, busy: AtomicUsize::new(0) });
    for connection in listener.incoming().flatten() {
        let server = Arc::clone(&server);
        if server.busy.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            server.busy.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        std::thread::spawn(move || {
            // A client that goes away is its own affair.
            let _ = server.serve(&connection);
            server.busy.fetch_sub(1, Ordering::SeqCst);
        });
    }
    Ok(())
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
    busy: AtomicUsize,
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
    stays: bool,
}

struct Answer {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Answer {
    fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

impl Server {
    /// Answers one request after the other until the client closes, or sends what is none.
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(connection);
        loop {
            let (answer, stays) = match read_request(&mut reader)? {
                None => return Ok(()),
                Some(Ok(request)) => (self.answer(&request), request.stays),
                Some(Err(status)) => (Answer::text(status, "not a request of this protocol\n"), false),
            };
            let head = format!(
                "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
                answer.status,
                reason(answer.status),
                answer.content_type,
                answer.body.len(),
                if stays { "keep-alive" } else { "close" },
            );
            let mut writer = connection;
            writer.write_all(&[head.as_bytes(), &answer.body].concat())?;
            if !stays {
                return Ok(());
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/add-checkpoint") => self.add_checkpoint(&request.body),
            ("GET", path) => self.last(path),
            (_, "/add-checkpoint") => Answer::text(405, "POST a checkpoint here\n"),
            _ => Answer::text(404, "nothing is here\n"),
        }
    }

    fn add_checkpoint(&self, body: &[u8]) -> Answer {
        match AddCheckpoint::parse(body).and_then(|request| self.service.add_checkpoint(&request)) {
            Ok(line) => Answer::text(200, format!("{line}\n")),
            Err(WitnessError::Conflict { size }) => {
                Answer { content_type: "text/x.tlog.size", ..Answer::text(409, format!("{size}\n")) }
            }
            Err(error) => {
                if error.status() == 500 {
                    eprintln!("{}: {error}", error.code());
                }
                Answer::text(error.status(), format!("{}\n", error.code()))
            }
        }
    }

    fn last(&self, path: &str) -> Answer {
        let of_path = |origin: &&String| {
            let hash: String = entry_id(origin.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            path == format!("/{hash}/checkpoint")
        };
        let last = self.origins.iter().find(of_path).map(|origin| self.service.last(origin));
        match last.transpose() {
            Ok(last) => match last.flatten() {
                Some(note) => Answer::text(200, note),
                None => Answer::text(404, "no checkpoint was cosigned\n"),
            },
            Err(error) => Answer::text(500, format!("{}\n", error.code())),
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Entity",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// The next request; `None` once the client has closed. A body needs its length: chunked ones
/// are refused, since whoever reads lengths in two ways can be made to read two requests.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Result<Request, u16>>> {
    let Some(first) = read_line(reader)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Ok(Some(Err(400)));
    };
    let (mut length, mut stays) = (None, !first.ends_with("1.0"));
    for at in 0.. {
        let Some(line) = read_line(reader)? else { return Ok(Some(Err(400))) };
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':').filter(|_| at < LINES) else {
            return Ok(Some(Err(400)));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_none() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                length = Some(value.parse::<usize>().unwrap_or(usize::MAX));
            }
            "content-length" | "transfer-encoding" => return Ok(Some(Err(400))),
            "connection" if value.eq_ignore_ascii_case("close") => stays = false,
            _ => {}
        }
    }
    let length = match (length, method) {
        (Some(length), _) => length,
        (None, "POST") => return Ok(Some(Err(411))),
        (None, _) => 0,
    };
    if length > AddCheckpoint::MAX_LEN {
        return Ok(Some(Err(413)));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Ok(Request { method: method.to_owned(), path: path.to_owned(), body, stays })))
}

/// A line without its end; `None` at the end of the connection, and for one that is too long or
/// not ASCII.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.by_ref().take(LINE).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(line.filter(|line| line.is_ascii()).map(|line| String::from_utf8_lossy(line).into_owned()))
}
