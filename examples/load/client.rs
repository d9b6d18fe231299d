//! One HTTP connection that is kept alive.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use unjoin::token::DoorAnswer;
use unjoin::wire::Message;

pub(crate) use super::words::Outcome;

pub(crate) struct Connection {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// A status and a body.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answered {
    /// The answer's object; an error of the service as one.
    pub(crate) fn object(&self) -> Outcome<Value> {
        match self.code() {
            None => Ok(serde_json::from_slice(&self.body)?),
            Some(code) => Err(format!("{} {code}", self.status.as_u16()).into()),
        }
    }

    /// The service's code for the error; `None` for what is none.
    pub(crate) fn code(&self) -> Option<String> {
        if self.status == StatusCode::OK {
            return None;
        }
        let object: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        Some(object.get("code").and_then(Value::as_str).unwrap_or("no code").to_owned())
    }

    /// What the door answered: a message, or the code of an error.
    pub(crate) fn door(&self) -> Outcome<Result<Bytes, String>> {
        if self.status != StatusCode::OK {
            return Err(format!("{} from the door", self.status.as_u16()).into());
        }
        let answer = DoorAnswer::from_bytes(&self.body)?;
        let body = answer.body();
        Ok(match answer.status() {
            200 => Ok(Bytes::copy_from_slice(body)),
            _ => Err(String::from_utf8_lossy(body).into_owned()),
        })
    }
}

impl Connection {
    /// Connects at the first request.
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, sender: None }
    }

    /// `account`: what the proxy in front of the service would say.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        account: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Outcome<Answered> {
        self.send(Method::POST, path, account, body.into()).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Outcome<Answered> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    /// On the connection there is, or on another if it was closed. After an error the next request
    /// connects anew.
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        account: Option<&str>,
        body: Bytes,
    ) -> Outcome<Answered> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "service.example").header(
            CONTENT_TYPE,
            if path == "/door" { "application/octet-stream" } else { "application/json" },
        );
        if let Some(account) = account {
            request = request.header("unjoin-account", account);
        }
        let mut kept = self.sender.take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await?;
        let answer = sender.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answered { status, body })
    }

    async fn connect(&self) -> Outcome<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The sender's error says the same.
            let _ = connection.await;
        });
        Ok(sender)
    }
}
