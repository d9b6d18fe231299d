//! A service that is told to end loses nothing that it has acknowledged.
#![cfg(unix)]

use super::Directory;
use crate::client::Connection;
use crate::device::{Device, Order, Pins, is_receipt, report};
use crate::tests::early;
use crate::{Arguments, start};
use clap::Parser;
use hyper::StatusCode;
use hyper::body::Bytes;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

/// Names a child's directory, which makes it a child.
const CHILD: &str = "UNJOIN_SERVICE_CHILD";
const TEST: &str = "tests::ending::no_acknowledged_review_is_lost_by_sigterm";
const CALLERS: usize = 4;
const REVIEWS_EACH: usize = 12;

/// A service in a process of its own.
struct Process {
    child: Child,
    public: SocketAddr,
    internal: SocketAddr,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, directory)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut address = |what: &str| loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended early");
            if let Some((_, address)) = line.split_once(what) {
                return address.trim().parse().unwrap();
            }
        };
        let (public, internal) = (address("devices on "), address("internal on "));
        Self { child, public, internal, output }
    }

    fn signal(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Whether it ended in order, and what it said last.
    fn wait(mut self) -> bool {
        let mut rest = String::new();
        let lines = std::io::Read::read_to_string(&mut self.output, &mut rest);
        self.child.wait().unwrap().success() && lines.is_ok() && rest.contains("ended")
    }
}

/// One token, two reviews that want it.
struct Prepared {
    first: Bytes,
    second: Bytes,
}

async fn prepare(process: &Process, pins: &Pins, number: usize) -> Prepared {
    let (mut service, mut internal) = (Connection::to(process.public), Connection::to(process.internal));
    let device = Device::new(format!("customer-{number}"));
    device.enrol(&mut service, pins).await.unwrap();
    let order =
        Order { id: &format!("order-{number}"), merchant: "lamps.example", class: 0, due_at: 1_500_000_000 };
    let handle = report(&mut internal, &device.account, &order).await.unwrap();
    let token = device.token(&mut service, pins, order.merchant, &handle).await.unwrap();
    let [first, second] = ["It came broken.", "It shines."].map(|text| early(&device, &token, text).into());
    Prepared { first, second }
}

#[test]
fn no_acknowledged_review_is_lost_by_sigterm() {
    if let Some(directory) = env::var_os(CHILD) {
        return serve(Path::new(&directory));
    }
    let directory = Directory::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let process = Process::start(&directory.0);
    let pins = Arc::new(Pins::read(&directory.0.join("secrets/public-keys.json"), 2).unwrap());
    let prepared = runtime.block_on(async {
        let mut prepared = Vec::new();
        for number in 0..CALLERS * REVIEWS_EACH {
            prepared.push(prepare(&process, &pins, number).await);
        }
        Arc::new(prepared)
    });

    // Each caller sends its reviews until the service does not take them any more; while the first
    // few are acknowledged it is told to end.
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (prepared, acknowledged) = (Arc::clone(&prepared), Arc::clone(&acknowledged));
            runtime.spawn(call(process.public, prepared, caller, acknowledged))
        })
        .collect();
    while acknowledged.load(Ordering::SeqCst) < CALLERS {
        std::thread::yield_now();
    }
    process.signal();
    let mut kept = Vec::new();
    for caller in callers {
        kept.extend(runtime.block_on(caller).unwrap());
    }
    assert!(process.wait(), "the service did not end in order");
    assert!(kept.iter().any(|kept| *kept), "nothing was acknowledged");

    // Another life on the same stores: what was acknowledged is spent, what was not can be sent.
    let process = Process::start(&directory.0);
    runtime.block_on(async {
        let mut connection = Connection::to(process.public);
        let order = (0..CALLERS).flat_map(|caller| (caller..prepared.len()).step_by(CALLERS));
        for (number, kept) in order.zip(kept) {
            let Prepared { first, second } = &prepared[number];
            if kept {
                let spent = connection.post("/reviews", None, second.clone()).await.unwrap();
                assert_eq!(spent.code().as_deref(), Some("desk.spent"), "an acknowledged review is lost");
            }
            let again = connection.post("/reviews", None, first.clone()).await.unwrap();
            assert!(is_receipt(&again.body, &pins), "{:?}", again.code());
        }
    });
    process.signal();
    assert!(process.wait(), "the service did not end in order");
    let log = fs::read_to_string(directory.0.join("log")).unwrap();
    assert!(log.contains("ending") && !log.contains("customer-") && !log.contains("lamps.example"));
}

/// Sends the caller's reviews again and again; which of them were acknowledged.
async fn call(
    public: SocketAddr,
    prepared: Arc<Vec<Prepared>>,
    caller: usize,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<bool> {
    let own: Vec<&Prepared> = prepared.iter().skip(caller).step_by(CALLERS).collect();
    let (mut kept, mut connection) = (vec![false; own.len()], Connection::to(public));
    for place in (0..own.len()).cycle() {
        match connection.post("/reviews", None, own[place].first.clone()).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                kept[place] = true;
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => {
                assert_eq!(answer.code().as_deref(), Some("service.stopping"));
                break;
            }
            Err(_) => break,
        }
    }
    kept
}

/// The child: the program itself.
fn serve(directory: &Path) {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let store = format!("redb:{}", directory.join("stores").display());
    let secrets = directory.join("secrets");
    let secrets = secrets.to_str().unwrap();
    let arguments = [
        "service",
        "--listen",
        "[::1]:0",
        "--internal",
        "[::1]:0",
        "--store",
        &store,
        "--directory",
        secrets,
        "--demo-trustees",
    ];
    start(Arguments::parse_from(arguments)).unwrap();
}
