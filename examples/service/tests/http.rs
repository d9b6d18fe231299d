//! HTTP as it passes on the network: connections that are kept, and when they end; clients that are slow,
//! broken or hostile.

use super::{Bounds, World};
use crate::guard::ACCOUNT;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpSocket;
use unjoin::store::MemoryStore;
use unjoin::token::{DoorAnswer, DoorMessage};
use unjoin::wire::Message;

/// One answer as it came.
struct Raw {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// Status and code of what must be a problem document.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let object: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(object["status"], self.status);
        assert!(object["title"].is_string() && object["detail"].is_string(), "{object}");
        assert_eq!(object["type"], "about:blank");
        assert!(object["retryable"].is_boolean(), "{object}");
        (self.status, object["code"].as_str().unwrap().to_owned())
    }
}

/// A client that says what it likes.
struct Client {
    stream: TcpStream,
    received: BufReader<TcpStream>,
}

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        // A test that waits for ever has failed.
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let received = BufReader::new(stream.try_clone().unwrap());
        Self { stream, received }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// A whole request, in two packets.
    fn ask(&mut self, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Raw {
        let body = body.as_ref();
        let length = body.len();
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n"
        ));
        self.send(body);
        self.answer()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.received.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the answer broke off");
        line.trim_end().to_owned()
    }

    fn answer(&mut self) -> Raw {
        let status = self.line().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Raw { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body.resize(length, 0);
        self.received.read_exact(&mut answer.body).unwrap();
        answer
    }

    /// Whether the other side has closed, with nothing more to say.
    fn is_closed(&mut self) -> bool {
        match self.received.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn still_serves(&mut self) -> bool {
        self.ask("GET", "/reviews/rating/lamps", "", "").status == 200
    }
}

/// The service asks for each body before it answers, so that what follows is found. A client that waits
/// for `100 Continue` sends head and body apart for certain.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_on_after_every_answer_or_says_that_it_closes() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    let full = World::start(MemoryStore::new, Bounds { in_flight: 0, ..Bounds::default() }).await;
    let ann = format!("{ACCOUNT}: ann\r\n");
    let apart = |address, method: &str, path: &str, headers: &str, body: &[u8]| {
        let mut client = Client::to(address);
        let length = body.len();
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        ));
        assert_eq!(client.line(), "HTTP/1.1 100 Continue", "{method} {path}");
        assert_eq!(client.line(), "");
        client.send(body);
        (client.answer(), client)
    };
    let message = [0; DoorMessage::LENGTH];
    for (method, path, headers, body, status) in [
        ("POST", "/orders/nonce", &*ann, &b"{}"[..], 200),
        ("POST", "/orders/nonce", "", b"{}", 401),
        ("POST", "/orders/enrol", &ann, b"{", 400),
        ("POST", "/nowhere", "", b"{}", 404),
        ("PUT", "/orders/nonce", &ann, b"{}", 405),
        ("GET", "/reviews/rating/lamps", "", b"{}", 200),
        ("POST", "/door", "cookie: session=7\r\n", &message, 200),
        ("PUT", "/door", "", &message, 200),
        ("POST", "/orders/nonce", &ann, &[b' '; 5_000], 413),
        ("POST", "/orders/nonce", &ann, &[b' '; 60_000], 413),
    ] {
        let (answer, mut client) = apart(world.public, method, path, headers, body);
        assert_eq!((answer.status, answer.closes()), (status, false), "{method} {path}");
        assert!(client.still_serves(), "{method} {path}");
    }
    let (busy, mut client) = apart(full.public, "POST", "/orders/nonce", &ann, b"{}");
    assert_eq!((busy.problem(), busy.closes()), ((503, "service.busy".to_owned()), false));
    full.service.stopping.store(true, Ordering::SeqCst);
    let stopping = client.ask("POST", "/orders/nonce", &ann, "{}");
    assert_eq!((stopping.problem(), stopping.closes()), ((503, "service.stopping".to_owned()), false));
    // Of one that is about to end, connections end after their next answer.
    world.service.leaving.store(true, Ordering::SeqCst);
    let mut client = Client::to(world.public);
    let last = client.ask("GET", "/reviews/rating/lamps", "", "");
    assert_eq!((last.status, last.closes()), (200, true));
    assert!(client.is_closed());
    world.end().await;
    full.end().await;
}

/// The answer reaches whoever still sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_far_too_long_is_refused_and_the_connection_closed_in_order() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    let mut client = Client::to(world.public);
    let answer = client.ask("POST", "/orders/nonce", &format!("{ACCOUNT}: ann\r\n"), [b' '; 400_000]);
    assert_eq!((answer.problem(), answer.closes()), ((413, "service.too_large".to_owned()), true));
    drop(client.stream);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_is_told_so_and_holds_no_place_of_a_request() {
    let bounds = Bounds { in_flight: 1, patience: Duration::from_secs(2), ..Bounds::default() };
    let world = World::start(MemoryStore::new, bounds).await;
    let [mut slow, mut door] = [(); 2].map(|()| Client::to(world.public));
    slow.send(format!(
        "POST /orders/nonce HTTP/1.1\r\nhost: x\r\n{ACCOUNT}: ann\r\ncontent-length: 2\r\n\r\n{{"
    ));
    door.send("POST /door HTTP/1.1\r\nhost: x\r\ncontent-length: 6144\r\n\r\n{");
    assert!(Client::to(world.public).still_serves());
    let answer = slow.answer();
    assert_eq!((answer.problem(), answer.closes()), ((408, "service.slow".to_owned()), true));
    assert!(slow.is_closed());
    let answer = door.answer();
    let said = DoorAnswer::from_bytes(&answer.body).unwrap();
    assert_eq!((answer.status, said.status(), said.body()), (200, 503, &b"service.slow"[..]));
    assert!(answer.closes());
    world.end().await;
}

/// Requests are pipelined, and nobody takes the answers: without an end such clients hold every place.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_lose_their_places() {
    const PLACES: usize = 4;
    let bounds = Bounds { connections: PLACES, patience: Duration::from_secs(2), ..Bounds::default() };
    let world = World::start(MemoryStore::new, bounds).await;
    let ready = async || world.connect_internal().get("/health/ready").await.unwrap();
    assert_eq!(ready().await.status, 200);
    let mut deaf = Vec::new();
    for _ in 0..PLACES {
        let socket = TcpSocket::new_v6().unwrap();
        // So that little is taken for them on their behalf.
        socket.set_recv_buffer_size(2048).unwrap();
        deaf.push(socket.connect(world.public).await.unwrap());
    }
    // While they are all there, nobody else is let in, and the balancer is told.
    while !world.service.connections(crate::endpoint::Side::Devices).are_full() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ready().await.code().unwrap(), "service.not_ready");
    let requests = "GET /reviews/published/merchant HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let fill = |stream: tokio::net::TcpStream| {
        let requests = requests.clone();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let mut stream = stream;
            // Until the service has had enough of it.
            while stream.write_all(requests.as_bytes()).await.is_ok() {}
        })
    };
    let filling: Vec<_> = deaf.into_iter().map(fill).collect();
    for filled in filling {
        tokio::time::timeout(Duration::from_secs(100), filled).await.expect("it holds its place").unwrap();
    }
    assert!(Client::to(world.public).still_serves());
    assert_eq!(ready().await.status, 200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_header_names_one_account_or_nobody_is_served() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    let mut client = Client::to(world.public);
    for (headers, refused) in [
        (format!("{ACCOUNT}: mallory\r\n{ACCOUNT}: alice\r\n"), (400, "service.accounts")),
        (format!("{ACCOUNT}: alice\r\n{ACCOUNT}: alice\r\n"), (400, "service.accounts")),
        (format!("{ACCOUNT}: mallory, alice\r\n"), (400, "service.accounts")),
        (format!("{ACCOUNT}: \r\n"), (401, "service.no_account")),
        (format!("{ACCOUNT}: {}\r\n", "a".repeat(65)), (401, "service.no_account")),
        ("unjoin_account: alice\r\n".to_owned(), (401, "service.no_account")),
        (String::new(), (401, "service.no_account")),
    ] {
        for path in ["/orders/nonce", "/orders/enrol", "/orders/offer", "/orders/grant"] {
            let (status, code) = client.ask("POST", path, &headers, "{}").problem();
            assert_eq!((status, &*code), refused, "{path} {headers}");
        }
    }
    assert_eq!(client.ask("POST", "/orders/nonce", &format!("{ACCOUNT}: alice\r\n"), "{}").status, 200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_exactly_the_fields_named_and_each_once() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    let (mut devices, mut internal) = (Client::to(world.public), Client::to(world.internal));
    let ann = format!("{ACCOUNT}: ann\r\n");
    for (body, code) in [
        ("", "service.json"),
        ("{", "service.json"),
        ("{}{}", "service.json"),
        ("[]", "service.json"),
        ("null", "service.json"),
        ("garbage", "service.json"),
        ("{\"account\":\"ben\"}", "service.fields"),
    ] {
        let refused = devices.ask("POST", "/orders/nonce", &ann, body).problem();
        assert_eq!(refused, (400, code.to_owned()), "{body}");
    }
    let (before, due) = (world.rows(), super::MONDAY.as_unix_seconds());
    let order = |more: &str| {
        format!(
            "{{\"order_id\":\"o\",\"account\":\"a\",\"merchant\":\"m\",\"class\":0,\"due_at\":{due}{more}}}"
        )
    };
    for more in [",\"merchant\":\"n\"", ",\"merchant\":\"m\"", ",\"due_at\":1", ",\"\\u006derchant\":\"m\""] {
        let refused = internal.ask("POST", "/orders/due", "", order(more)).problem();
        assert_eq!(refused, (400, "service.fields".to_owned()), "{more}");
    }
    let route = json!({
        "id": "7", "caller": "+8613800138000", "dialled": "+8617000000000", "channel": "voice",
        "attestation": "full", "trunk": "untrusted",
    });
    assert_eq!(internal.ask("POST", "/phones/route", "", route.to_string()).status, 200);
    let twice = route.to_string().replacen('{', "{\"caller\":\"+8613800138001\",", 1);
    assert_eq!(internal.ask("POST", "/phones/route", "", twice).problem().0, 400);
    assert_eq!(world.rows(), before);
    assert_eq!(internal.ask("POST", "/orders/due", "", order("")).status, 200);
    world.end().await;
}

/// A client that counts in milliseconds would ask again for fifty thousand years.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_milliseconds_is_refused_for_good_and_told_the_unit() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    let mut internal = Client::to(world.internal);
    let (seconds, ahead) = (super::MONDAY.as_unix_seconds(), super::MONDAY.as_unix_seconds() + 60);
    let order = |due_at: u64| json!({ "order_id": "o", "account": "ann", "merchant": super::MERCHANT, "class": 0, "due_at": due_at });
    // A minute ahead is early, and becomes right.
    let early = internal.ask("POST", "/orders/due", "", order(ahead).to_string());
    assert_eq!(early.problem(), (409, "issuer.not_due".to_owned()));
    let reported = internal.ask("POST", "/orders/due", "", order(seconds).to_string());
    let handle = serde_json::from_slice::<Value>(&reported.body).unwrap()["handle"].clone();
    let dead = json!({ "merchant": super::MERCHANT, "handle": handle, "at": seconds * 1000 });
    let bind = json!({
        "merchant": super::MERCHANT, "order": "o", "leg": "merchant", "hub": "+8613800138000",
        "customer": "+8613911112222", "not_after": ahead * 1000,
    });
    for (path, body, code) in [
        ("/orders/due", order(seconds * 1000), "issuer.time_out_of_range"),
        ("/orders/numbers-dead", dead, "issuer.time_out_of_range"),
        ("/phones/bind", bind, "switchboard.end_too_far"),
    ] {
        let answer = internal.ask("POST", path, "", body.to_string());
        assert_eq!(answer.problem(), (409, code.to_owned()));
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["retryable"], false, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains("seconds since 1970"), "{problem}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_document() {
    let world = World::start(MemoryStore::new, Bounds::default()).await;
    let (mut devices, mut internal) = (Client::to(world.public), Client::to(world.internal));
    for (method, path, refused) in [
        ("GET", "/reviews/rating/%FF", (400, "service.path")),
        ("GET", "/reviews/published/%ff%fe", (400, "service.path")),
        ("GET", "/reviews/published/lamps/after/%ff", (400, "service.path")),
        ("GET", "/reviews/published/lamps/after/zz", (400, "service.field")),
        ("GET", "/manifests/%c3%28", (400, "service.path")),
        ("GET", "/manifests/lamps/after/7", (400, "service.field")),
        ("GET", "/reviews/rating/lamps/", (404, "service.not_found")),
        ("GET", "/reviews/rating/a%2Fb/c", (404, "service.not_found")),
        ("GET", "/", (404, "service.not_found")),
        ("OPTIONS", "/reviews/rating/lamps", (405, "service.method")),
        ("DELETE", "/orders/nonce", (405, "service.method")),
        ("GET", "/health/live", (404, "service.not_found")),
    ] {
        let answer = devices.ask(method, path, "", "");
        let (status, code) = answer.problem();
        assert_eq!((status, &*code), refused, "{method} {path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
    for path in ["/health/live", "/health/ready", "/metrics", "/phones/route"] {
        let (status, code) = internal.ask("PATCH", path, "", "").problem();
        assert_eq!((status, &*code), (405, "service.method"), "{path}");
    }
    // What is no HTTP at all is HTTP's library's to refuse: it is refused, and closed.
    let mut broken = Client::to(world.public);
    broken.send("GET /reviews/rating/lamps HTTP/1.1\r\nhost : x\r\n\r\n");
    let answer = broken.answer();
    assert_eq!((answer.status, answer.closes()), (400, true));
    world.end().await;
}

/// What stops a start is told in a sentence that names the address, or the path.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let error = crate::bind("--listen", address).await.unwrap_err();
    assert!(error.contains(&address.to_string()) && error.contains("--listen"), "{error}");
}
