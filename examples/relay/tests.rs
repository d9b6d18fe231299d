//! What a gateway sees of a client, and a client of a gateway, and how much of it there may be.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

use crate::relay::{Relay, Settings, serve};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

/// A gateway that answers everything alike, and keeps what it was sent, by connection.
struct Gateway {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<String>>>>,
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: message/ohttp-res\r\nset-cookie: seen=1\r\nserver: x\r\n\
                      content-length: 6\r\n\r\nanswer";

impl Gateway {
    fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                let number = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                thread::spawn(move || {
                    while let Some(request) = request(&mut stream) {
                        kept.lock().unwrap()[number].push(request);
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().clone()
    }
}

/// The next request, or answer, on a connection: its head in lower case, and its body.
fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(format!("{head}\n\n{}", String::from_utf8_lossy(&bytes[end + 4..])));
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&more[..read]),
        }
    }
}

async fn relay(gateway: SocketAddr, change: impl FnOnce(&mut Settings)) -> (SocketAddr, watch::Sender<bool>) {
    let mut settings = Settings {
        gateways: vec![format!("/shop=http://{gateway}/gateway").parse().unwrap()],
        per_minute: 100,
        in_flight: 10,
        connections: 100,
        pooled: 10,
        address_header: None,
        patience: Duration::from_secs(20),
    };
    change(&mut settings);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, Relay::new(settings).unwrap(), stopped));
    (address, stop)
}

/// An answer without the date, which HTTP's library sets.
fn ask(relay: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(relay).unwrap();
    let head =
        format!("{line} HTTP/1.1\r\nhost: relay.example\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let answer = request(&mut stream).unwrap();
    answer.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

const KIND: &str = "content-type: message/ohttp-req\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_sees_body_and_type_and_nothing_of_the_client() {
    let gateway = Gateway::answering(ANSWER);
    let (relay, _stop) = relay(gateway.address, |_| ()).await;
    let telling = "user-agent: phone of ann\r\ncookie: session=7\r\nauthorization: Bearer 7\r\nx-forwarded-for: 192.0.2.1\r\n\
                   forwarded: for=192.0.2.1\r\nvia: 1.1 home\r\nreferer: http://shop.example/ann\r\naccept-language: zh\r\n\
                   origin: http://app.example\r\ntraceparent: 00-1-2-3\r\nidempotency-key: 7\r\n";
    let mut answers = Vec::new();
    for (number, headers) in ["", telling, "connection: close\r\n"].into_iter().enumerate() {
        answers.push(ask(relay, "POST /shop", &format!("{KIND}{headers}"), &format!("question {number}")));
    }
    let host = gateway.address;
    let expected = (0..3).map(|number| {
        format!("post /gateway http/1.1\nhost: {host}\ncontent-type: message/ohttp-req\ncontent-length: 10\n\nquestion {number}")
    });
    // One connection for all of them.
    let seen: Vec<Vec<String>> = gateway
        .seen()
        .iter()
        .map(|asked| asked.iter().map(|text| text.replace('\r', "")).collect())
        .collect();
    assert_eq!(seen, [expected.collect::<Vec<_>>()]);
    for answer in &answers {
        assert!(answer.ends_with("\n\nanswer"), "{answer}");
        assert!(!answer.contains("cookie") && !answer.contains("server:"), "{answer}");
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_is_refused_and_forwarded_nowhere() {
    let gateway = Gateway::answering(ANSWER);
    let (relay, _stop) = relay(gateway.address, |_| ()).await;
    for (line, headers, body, status) in [
        ("POST /other", KIND, "q", 404),
        ("POST /gateway", KIND, "q", 404),
        ("POST http://elsewhere.example/", KIND, "q", 404),
        ("GET /shop", KIND, "", 405),
        ("POST /shop", "", "q", 415),
        ("POST /shop", "content-type: application/json\r\n", "q", 415),
        ("POST /shop", KIND, &"q".repeat(8_193), 413),
    ] {
        let answer = ask(relay, line, headers, body);
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{line}: {answer}");
    }
    assert!(gateway.seen().is_empty());
}

/// A page asks before it posts; it needs no cookie and gets none.
#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_preflight_is_answered_without_the_gateway() {
    let gateway = Gateway::answering(ANSWER);
    let (relay, _stop) = relay(gateway.address, |_| ()).await;
    let headers = "origin: http://app.example\r\naccess-control-request-method: POST\r\n\
                   access-control-request-headers: content-type\r\n";
    let answer = ask(relay, "OPTIONS /shop", headers, "");
    assert!(answer.starts_with("http/1.1 204 "), "{answer}");
    for line in [
        "access-control-allow-origin: *",
        "access-control-allow-methods: post",
        "access-control-allow-headers: content-type",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
    ] {
        assert!(answer.lines().any(|found| found == line), "{line}: {answer}");
    }
    for none in ["set-cookie", "allow-credentials", "app.example"] {
        assert!(!answer.contains(none), "{answer}");
    }
    assert!(gateway.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_asks_too_much_is_refused_and_others_are_not() {
    let gateway = Gateway::answering(ANSWER);
    let header = "x-real-address";
    let change = |settings: &mut Settings| {
        (settings.per_minute, settings.address_header) = (2, Some(header.parse().unwrap()));
    };
    let (relay, _stop) = relay(gateway.address, change).await;
    let from = |address: &str| {
        let answer = ask(relay, "POST /shop", &format!("{KIND}{header}: {address}\r\n"), "q");
        answer[9..12].to_owned()
    };
    // What a client claims stands before what the proxy adds.
    let asked = ["192.0.2.1", "192.0.2.2", "198.51.100.7, 192.0.2.3", "198.51.100.7", "nobody"];
    assert_eq!(asked.map(from), ["200", "200", "429", "200", "400"]);
    assert_eq!(ask(relay, "POST /shop", KIND, "q")[9..12], *"400");
    assert_eq!(gateway.seen().iter().map(Vec::len).sum::<usize>(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_answers_is_passed_on_only_if_it_is_one_of_two_kinds() {
    for (answer, status, body) in [
        (
            "HTTP/1.1 400 x\r\ncontent-type: application/problem+json\r\ncontent-length: 2\r\n\r\n{}",
            400,
            "{}",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nno", 502, ""),
        ("HTTP/1.1 302 x\r\nlocation: http://elsewhere.example/\r\ncontent-length: 0\r\n\r\n", 502, ""),
        ("SSH-2.0\r\n\r\n", 502, ""),
    ] {
        let gateway = Gateway::answering(answer);
        let (relay, _stop) = relay(gateway.address, |_| ()).await;
        let answered = ask(relay, "POST /shop", KIND, "q");
        assert!(answered.starts_with(&format!("http/1.1 {status} ")), "{answered}");
        assert!(answered.ends_with(&format!("\n\n{body}")) || body.is_empty(), "{answered}");
        assert!(!answered.contains("elsewhere"), "{answered}");
    }
    let (relay, _stop) = relay((Ipv4Addr::LOCALHOST, 9).into(), |_| ()).await;
    assert!(ask(relay, "POST /shop", KIND, "q").starts_with("http/1.1 502 "));
}
