//! A copy of all stores in one directory, made while they are served.
//!
//! ```text
//! DIR.part/     while it is made, and after a kill: the next one begins anew
//! DIR/          there whole, or not at all: orders.redb, reviews.redb, phones.redb, ledgers.redb
//! ```
//!
//! Each file says of itself that it is a copy. `recover` opens it, and nothing else does. No secret is in it: those are
//! kept elsewhere, and without them a copy is of no use.

use crate::answer::{Answer, json};
use crate::arrival::Arrived;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::secrets::{make_directory, rename};
use crate::service::{Service, name_of};
use axum::extract::State;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, TryLockError};
use tokio::net::TcpStream;
use unjoin::store::Store;
use unjoin::store::identity::Role;

const ROLES: [Role; 4] = [Role::Orders, Role::Reviews, Role::Telephony, Role::Ledgers];
/// The longest answer, in bytes.
const ANSWER: usize = 64 * 1024;

/// `directory`: where, by its path from the root. There is nothing yet, and its parent is there.
pub(crate) async fn back_up<S: Store>(State(service): State<Arc<Service<S>>>, body: Arrived) -> Answer {
    let directory = PathBuf::from(Fields::read(body, |fields| fields.text("directory"))?);
    service.blocking(move |service| make(service, &directory).map_err(Problem::backup)).await?;
    Ok(json(&json!({})))
}

pub(crate) fn file_of(role: Role) -> String {
    format!("{}.redb", name_of(role))
}

fn make<S: Store>(service: &Service<S>, directory: &Path) -> Result<(), String> {
    let _alone = match service.backing_up.try_lock() {
        Err(TryLockError::WouldBlock) => return Err("a backup is under way: wait until it has ended".into()),
        alone => alone,
    };
    let refuse = |why: &str| Err(format!("{}: {why}", directory.display()));
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
        return refuse("a backup is a directory of its own: name one that is not there");
    };
    if !directory.is_absolute() {
        return refuse("the service has another working directory: name it from the root");
    }
    if !parent.is_dir() {
        return refuse("the directory above is not there: is its disk mounted?");
    }
    if fs::symlink_metadata(directory).is_ok() {
        return refuse(
            "there is something already, and no backup replaces another: name one that is not there",
        );
    }
    let mut part = name.to_owned();
    part.push(".part");
    let part = parent.join(part);
    clear(&part)?;
    make_directory(&part).map_err(|error| error.to_string())?;
    let copied = service.platform.copy_to(|role| part.join(file_of(role)));
    copied.map_err(|error| format!("{}: {error}", part.display()))?;
    rename(&part, directory).map_err(|error| error.to_string())?;
    tracing::info!("a backup was made");
    Ok(())
}

/// Removes what a backup that was interrupted has left, and nothing else.
fn clear(part: &Path) -> Result<(), String> {
    let gone = |removed: std::io::Result<()>, path: &Path| match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!(
            "{}: a backup that was interrupted left it, and it cannot be removed: {error}",
            path.display()
        )),
        _ => Ok(()),
    };
    for role in ROLES {
        for suffix in ["", ".new"] {
            let path = part.join(file_of(role) + suffix);
            gone(fs::remove_file(&path), &path)?;
        }
    }
    gone(fs::remove_dir(part), part)
}

/// The command: asks the service at this address.
pub(crate) fn ask(internal: SocketAddr, directory: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = std::path::absolute(directory)?;
    let Some(text) = directory.to_str() else {
        return Err(format!("{}: the name is not UTF-8", directory.display()).into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = json!({ "directory": text }).to_string();
    let answer = runtime.block_on(post_to(internal, body)).map_err(|error| {
        format!("no service answers at {internal} ({error}): is it running, and is this its --internal?")
    })?;
    match answer {
        (200, _) => {
            println!("{}: all stores are copied", directory.display());
            Ok(())
        }
        (status, answer) => {
            let problem: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let why =
                problem["detail"].as_str().map_or(format!("the service answers {status}"), str::to_owned);
            Err(why.into())
        }
    }
}

async fn post_to(address: SocketAddr, body: String) -> Result<(u16, Bytes), Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let request = Request::post("/backup").header(HOST, address.to_string()).header(CONNECTION, "close");
    let answer = sender.send_request(request.body(Full::<Bytes>::from(body))?).await?;
    let status = answer.status().as_u16();
    Ok((status, Limited::new(answer.into_body(), ANSWER).collect().await?.to_bytes()))
}
