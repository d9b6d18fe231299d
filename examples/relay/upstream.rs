//! The gateways, and the connections to them, which all clients share: a connection of somebody's own would say
//! which questions are theirs.

use crate::url::Url;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::error::Error;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;

/// The longest answer, in bytes.
const ANSWER: usize = 16 * 1024;

/// A gateway, and the path at which it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) path: String,
    at: Url,
}

/// PATH=URL, as the command line has it.
impl FromStr for Gateway {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, url) = text.split_once('=').ok_or("a gateway is PATH=URL")?;
        if !path.starts_with('/')
            || !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte))
        {
            return Err("the path begins with / and has letters, digits, / - _ .".into());
        }
        Ok(Self { path: path.to_owned(), at: url.parse()? })
    }
}

impl Gateway {
    fn resource(&self) -> &str {
        if self.at.path.is_empty() { "/" } else { &self.at.path }
    }
}

/// What a gateway answered.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) kind: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The way to one gateway.
pub(crate) struct Upstream {
    gateway: Gateway,
    most: usize,
    /// Those that rest, the one that rests longest in front.
    idle: Mutex<VecDeque<SendRequest<Full<Bytes>>>>,
}

impl Upstream {
    pub(crate) fn to(gateway: Gateway, most: usize) -> Self {
        Self { gateway, most, idle: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &str {
        &self.gateway.path
    }

    /// Posts a body of this type. A question is not posted twice: the gateway would refuse it, and the device
    /// seals its retries anew. So a connection that turns out to be closed is replaced before anything is sent.
    pub(crate) async fn post(&self, kind: &'static str, body: Bytes) -> Fallible<Answered> {
        let mut sender = self.connection().await?;
        let request = Request::post(self.gateway.resource())
            .header(HOST, &self.gateway.at.host)
            .header(CONTENT_TYPE, kind)
            .body(Full::new(body))?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        self.rest(sender);
        Ok(Answered { status: parts.status, kind: parts.headers.get(CONTENT_TYPE).cloned(), body })
    }

    /// The connection that has rested longest, so that none is anybody's.
    async fn connection(&self) -> Fallible<SendRequest<Full<Bytes>>> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(mut sender) = idle else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(&self.gateway.at.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The sender's error says the same.
            let _ = connection.await;
        });
        sender.ready().await?;
        Ok(sender)
    }

    fn rest(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most {
            idle.push_back(sender);
        }
    }
}

#[test]
fn a_gateway_is_a_path_and_a_url() {
    let parsed = |text: &str| text.parse::<Gateway>();
    let gateway = parsed("/shop=http://gateway.example:8080/gateway").ok();
    let expected = ("/shop", "gateway.example:8080", "gateway.example:8080", "/gateway");
    let found = gateway
        .as_ref()
        .map(|gateway| (&*gateway.path, &*gateway.at.address, &*gateway.at.host, gateway.resource()));
    assert_eq!(found, Some(expected));
    assert_eq!(
        parsed("/=http://g.example")
            .map(|gateway| (gateway.at.address.clone(), gateway.resource().to_owned())),
        Ok(("g.example:80".into(), "/".into()))
    );
    for other in ["", "/shop", "shop=http://g.example", "/a?b=http://g.example", "/shop=https://g.example"] {
        assert!(parsed(other).is_err(), "{other}");
    }
}
