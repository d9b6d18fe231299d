//! The witness program in a process of its own, spoken to over HTTP, killed and started again.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

#[allow(dead_code, reason = "the service's")]
#[path = "../examples/service/hex.rs"]
mod hex;
#[allow(dead_code, reason = "its main is the example's")]
#[path = "../examples/witness.rs"]
mod program;
#[allow(dead_code, reason = "the service's")]
#[path = "../examples/shared/url.rs"]
mod url;
#[allow(dead_code, reason = "the service's")]
#[path = "../examples/service/witnesses.rs"]
mod witnesses;

use clap::Parser as _;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use unjoin::Environment;
use unjoin::ledger::{
    AddCheckpoint, KeyName, Ledger, Log, LogView, Note, NoteKey, SignedCheckpoint, Witness, WitnessError,
    WitnessPolicy, WitnessPublicKey, WitnessService, entry_id, tree,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{Bucket, Commit, MemoryStore, Outcome, RedbStore, Store, StoreError};
use unjoin_test_util::{Directory, fresh, hex, own};
use witnesses::WitnessAt;

/// Names a child's directory, which makes it a child.
const CHILD: &str = "UNJOIN_WITNESS_CHILD";

fn log_key() -> NoteKey {
    let name = KeyName::new("shop.example/reviews").unwrap();
    NoteKey::from_secret_bytes(name, &SecretBytes::new([1; 32]))
}

/// The process that the tests start: this very test, told by its environment to be a witness.
#[test]
fn the_child_is_a_witness() {
    let Ok(directory) = env::var(CHILD) else { return };
    let file = |name: &str| format!("{directory}/{name}");
    let patience = fs::read_to_string(file("patience")).unwrap();
    let (log, listen) = (log_key().public().to_string(), format!("{}:0", Ipv4Addr::LOCALHOST));
    let arguments = [
        "witness",
        "serve",
        "--store",
        &file("store"),
        "--listen",
        &listen,
        "--log",
        &log,
        "--patience",
        &patience,
    ];
    program::run(program::Arguments::parse_from(arguments)).unwrap();
}

fn create(store: &Path, more: &[&str]) -> Result<(), String> {
    let arguments = ["witness", "create", "--store", store.to_str().unwrap(), "--name", "witness.example/1"];
    let arguments = program::Arguments::parse_from([&arguments[..], more].concat());
    program::run(arguments).map_err(|error| error.to_string())
}

/// Why it does not serve.
fn refusal(store: &Path) -> String {
    let log = log_key().public().to_string();
    let store = store.to_str().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
    let arguments = ["witness", "serve", "--store", store, "--listen", &address, "--log", &log];
    program::run(program::Arguments::parse_from(arguments)).unwrap_err().to_string()
}

/// A running witness; it ends with the test.
struct Running {
    child: Child,
    address: String,
    key: WitnessPublicKey,
}

impl Running {
    fn start(directory: &Path) -> Self {
        Self::with_patience(directory, 10)
    }

    fn with_patience(directory: &Path, seconds: u64) -> Self {
        if !directory.join("store").exists() {
            create(&directory.join("store"), &[]).unwrap();
        }
        fs::write(directory.join("patience"), seconds.to_string()).unwrap();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_child_is_a_witness", "--nocapture", "--test-threads=1"])
            .env(CHILD, directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| {
            let line = line.unwrap();
            let (address, key) = line.split_once(' ')?;
            Some((address.to_owned(), key.parse().ok()?))
        });
        // Whatever else it says is drained, so that it never waits for a reader.
        thread::spawn(move || lines.for_each(drop));
        let (address, key) = said.unwrap();
        Self { child, address, key }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn client(&self) -> Client {
        let (address, key) = (self.address.clone(), &self.key);
        Client { witness: format!("http://{address}={key}").parse().unwrap(), address }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A witness at the other end of a connection.
#[derive(Clone)]
struct Client {
    address: String,
    witness: WitnessAt,
}

impl Client {
    /// Everything that comes back.
    fn raw(&self, request: &[u8]) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(&self.address)?;
        connection.set_read_timeout(Some(Duration::from_secs(20)))?;
        connection.write_all(request)?;
        connection.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The status and the body.
    fn ask(&self, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let text = self.raw(request)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body.as_bytes().to_vec()))
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: witness\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap()
    }

    fn post(&self, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let length = body.len();
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nHost: witness\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        self.ask(&[head.as_bytes(), body].concat())
    }
}

/// As a ledger asks it: the example service's own client.
impl Deref for Client {
    type Target = WitnessAt;

    fn deref(&self) -> &WitnessAt {
        &self.witness
    }
}

/// One of two histories that begin alike.
fn history(fork: u8) -> Log<MemoryStore> {
    let log = Log::open(fresh(Role::Ledgers), Ledger::Reviews, log_key(), None).unwrap();
    let entry = |at: u16| [if at < 20 { 0 } else { fork }, at as u8, (at >> 8) as u8].to_vec();
    log.append(&(0..2_000).map(entry).collect::<Vec<_>>()).unwrap();
    log
}

fn request(log: &Log<MemoryStore>, old_size: u64, size: u64) -> (AddCheckpoint, tree::Hash) {
    let leaves: Vec<_> = log.entries(0, size).unwrap().iter().map(|entry| tree::leaf_hash(entry)).collect();
    let root = tree::root_of(&leaves);
    let checkpoint = SignedCheckpoint::sign(size, root, &log_key()).unwrap().note().clone();
    let path = log.consistency(old_size.min(size), size).unwrap().path().to_vec();
    (AddCheckpoint { old_size, path, checkpoint }, root)
}

#[test]
fn a_witness_killed_at_any_moment_never_cosigns_two_roots_for_one_size() {
    let directory = Directory::new();
    let path = directory.file("witness");
    fs::create_dir(&path).unwrap();
    // size -> root of every cosignature that was ever answered, and the largest size.
    let cosigned: Mutex<BTreeMap<u64, tree::Hash>> = Mutex::new(BTreeMap::new());
    let histories = [history(1), history(2)];
    let mut seed = 1u64;
    let mut draw = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut acknowledged = 0;
    for _ in 0..12 {
        let mut running = Running::start(&path);
        let client = running.client();
        // What it answered before, it still knows.
        let floor = cosigned.lock().unwrap().keys().last().copied().unwrap_or(0);
        let delay = Duration::from_micros(2_000 + draw(150_000));
        let steps: Vec<u64> = (0..400).map(|_| 1 + draw(3)).collect();
        thread::scope(|scope| {
            for log in &histories {
                let (client, cosigned, steps) = (&client, &cosigned, &steps);
                scope.spawn(move || {
                    let mut known = floor;
                    for step in steps {
                        let size = (known + step).min(2_000);
                        let (request, root) = request(log, known, size);
                        match client.add_checkpoint(&request) {
                            Ok(line) => {
                                let mut signed = SignedCheckpoint::parse(
                                    &request.checkpoint.to_bytes(),
                                    log_key().public(),
                                )
                                .unwrap();
                                signed.add_cosignature(line, client.public_key()).unwrap();
                                let mut cosigned = cosigned.lock().unwrap();
                                assert_eq!(
                                    *cosigned.entry(size).or_insert(root),
                                    root,
                                    "two roots for {size}"
                                );
                                known = size;
                            }
                            Err(WitnessError::Conflict { size }) => {
                                assert!(size >= floor, "it forgot what it had answered");
                                known = size;
                            }
                            Err(WitnessError::Inconsistent | WitnessError::Busy) => {}
                            // Killed.
                            Err(_) => return,
                        }
                    }
                });
            }
            thread::sleep(delay);
            running.kill();
        });
        acknowledged = cosigned.lock().unwrap().len();
    }
    assert!(acknowledged > 5, "only {acknowledged} cosignatures before the kills");
    // All of it is one of the two histories.
    let cosigned = cosigned.into_inner().unwrap();
    let of = |log: &Log<MemoryStore>| cosigned.iter().all(|(size, root)| request(log, 0, *size).1 == *root);
    assert!(histories.iter().any(of));
}

#[test]
fn a_ledger_is_published_through_a_witness_in_another_process() {
    let directory = Directory::new();
    let path = directory.file("witness");
    fs::create_dir(&path).unwrap();
    let running = Running::start(&path);
    let client = running.client();
    let witness: Arc<dyn Witness> = Arc::new(client.witness.clone());
    let policy =
        WitnessPolicy::new(log_key().public().clone(), vec![client.public_key().clone()], 1, 0, 3_600)
            .unwrap();
    let store = Arc::new(MemoryStore::new());
    let log =
        Log::open(own(&store, Role::Ledgers), Ledger::Reviews, log_key(), Some(policy.clone())).unwrap();
    for entry in 0..3u8 {
        log.append(&[vec![1, entry]]).unwrap();
        assert!(log.publish(std::slice::from_ref(&witness)).unwrap().published);
    }
    let (checkpoint, _) = policy.read(&log.checkpoint().unwrap().unwrap()).unwrap();
    assert_eq!(checkpoint.size(), 3);

    // Monitors find the same checkpoint at the witness.
    let origin = hex(&entry_id(b"shop.example/reviews"));
    let (status, note) = client.get(&format!("/{origin}/checkpoint"));
    let (same, _) = policy.read(&note).unwrap();
    assert_eq!((status, same.checkpoint()), (200, checkpoint.checkpoint()));
    assert_eq!(client.get("/00/checkpoint").0, 404);
    assert_eq!(
        (client.last("shop.example/reviews").unwrap(), client.last("other").unwrap()),
        (Some(note), None)
    );

    let status = |body: &[u8]| client.post(body).unwrap().0;
    let log = history(1);
    assert_eq!(status(b"nonsense"), 400);
    assert_eq!(status(&request(&log, 0, 5).0.to_bytes()), 409);
    assert_eq!(status(&request(&log, 3, 5).0.to_bytes()), 422);
    let mut unsigned = request(&log, 3, 5).0;
    unsigned.checkpoint = Note::new(unsigned.checkpoint.text()).unwrap();
    let thief = NoteKey::generate(KeyName::new("shop.example/reviews").unwrap(), &mut SystemRng::new());
    unsigned.checkpoint.sign(&thief).unwrap();
    assert_eq!(status(&unsigned.to_bytes()), 403);
    let answer = |request: &AddCheckpoint| client.add_checkpoint(request).unwrap_err();
    assert!(matches!(answer(&request(&log, 0, 5).0), WitnessError::Conflict { size: 3 }));
    assert!(matches!(answer(&request(&log, 3, 5).0), WitnessError::Inconsistent));
    assert!(matches!(answer(&unsigned), WitnessError::Unsigned));
    let stranger = NoteKey::generate(KeyName::new("other.example/reviews").unwrap(), &mut SystemRng::new());
    let checkpoint = SignedCheckpoint::sign(5, [7; 32], &stranger).unwrap().note().clone();
    assert!(matches!(
        answer(&AddCheckpoint { old_size: 0, path: vec![], checkpoint }),
        WitnessError::UnknownLog
    ));
    for (request, expected) in [
        ("POST /add-checkpoint HTTP/1.1\r\n\r\n", 400),
        ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", 413),
        ("POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        ("PUT /add-checkpoint HTTP/1.1\r\n\r\n", 405),
        ("GET /elsewhere HTTP/1.1\r\n\r\n", 404),
        ("nonsense\r\n\r\n", 400),
        // What a proxy in front and a server behind it could read in two ways.
        (
            "POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding\t: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET /elsewhere HTTP/1.1\r\nContent-Length : 20\r\n\r\nGET /elsewhere HTTP/1.1\r\n\r\n", 400),
        (
            "GET /elsewhere HTTP/1.1\r\nX: y\r\n Content-Length: 20\r\n\r\nGET /elsewhere HTTP/1.1\r\n\r\n",
            400,
        ),
        ("GET /elsewhere HTTP/1.1\r\n Content-Length: 20\r\n\r\nGET /elsewhere HTTP/1.1\r\n\r\n", 400),
        ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("GET /elsewhere HTTP/1.1\r\nX: a\rContent-Length: 5\r\n\r\n", 400),
    ] {
        let answers = client.raw(request.as_bytes()).unwrap();
        assert!(answers.starts_with(&format!("HTTP/1.1 {expected} ")), "{request:?}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{request:?}: {answers}");
    }
    let long = format!("GET /elsewhere HTTP/1.1\r\nCookie: {}\r\n\r\n", "a".repeat(100_000));
    assert_ne!(client.ask(long.as_bytes()).map_or(0, |(status, _)| status), 404);
    drop(running);
    assert!(matches!(answer(&request(&log, 3, 5).0), WitnessError::State(_)), "nobody is there");
    assert!(matches!(client.last("shop.example/reviews"), Err(WitnessError::State(_))));
}

#[test]
fn a_witness_is_created_once_and_a_lost_store_is_no_new_one() {
    let directory = Directory::new();
    let store = directory.file("store");
    let of_store = |error: String, says: &str| {
        assert!(error.starts_with(store.to_str().unwrap()) && error.contains(says), "{error}");
    };
    // Not there, of length zero, a text: refused, and nothing is made.
    of_store(refusal(&store), "missing");
    assert!(!store.exists());
    for content in ["", "not a store at all, but a text that somebody keeps here"] {
        fs::write(&store, content).unwrap();
        of_store(refusal(&store), "");
        assert_eq!(fs::read_to_string(&store).unwrap(), content);
    }
    fs::remove_file(&store).unwrap();
    // Another's.
    drop(RedbStore::create(&store).unwrap());
    of_store(refusal(&store), "no witness");
    fs::remove_file(&store).unwrap();

    let desk = RedbStore::create(&store).unwrap();
    desk.commit(&[Commit::new(Bucket::of(b"a")).put(b"io".to_vec(), b"row".to_vec())]).unwrap();
    drop(desk);
    of_store(refusal(&store), "no witness");
    of_store(create(&store, &[]).unwrap_err(), "holds rows");
    fs::remove_file(&store).unwrap();

    create(&store, &[]).unwrap();
    of_store(create(&store, &[]).unwrap_err(), "holds rows");
    // A key from elsewhere is taken by `create` alone, under a flag that names the risk.
    let seed = directory.file("seed");
    let flag = "--accept-that-this-key-may-have-signed";
    let with_seed = |store: &Path| create(store, &[flag, seed.to_str().unwrap()]);
    let other = directory.file("other");
    assert!(with_seed(&other).unwrap_err().contains("seed: No such file"));
    fs::write(&seed, "7".repeat(63)).unwrap();
    assert!(with_seed(&other).unwrap_err().contains("seed: a seed is 64 hexadecimal digits"));
    assert!(!other.exists());
    fs::write(&seed, "07".repeat(32)).unwrap();
    of_store(with_seed(&store).unwrap_err(), "holds rows");
    with_seed(&other).unwrap();
    let logs = vec![log_key().public().clone()];
    let open = |store: &Path| {
        let store = Arc::new(RedbStore::open(store).unwrap());
        WitnessService::open(store, logs.clone(), Environment::system()).unwrap().public_key().clone()
    };
    assert_eq!(open(&other).name().as_str(), "witness.example/1");
    assert_ne!(open(&other), open(&store));
}

/// A store whose process is killed once a commit is durable.
struct KilledAfterCommit(RedbStore);

impl Store for KilledAfterCommit {
    unjoin_test_util::reads_from!(0);

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.0.commit(commits)?;
        Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
        unreachable!("killed")
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.0.rewrite()
    }
}

/// Names the directory of a child that dies between storing and answering.
const DYING: &str = "UNJOIN_WITNESS_DYING";

#[test]
fn the_child_dies_between_storing_and_answering() {
    let Ok(directory) = env::var(DYING) else { return };
    let store = Arc::new(KilledAfterCommit(RedbStore::open(Path::new(&directory).join("store")).unwrap()));
    let logs = vec![log_key().public().clone()];
    let service = WitnessService::open(store, logs, Environment::system()).unwrap();
    drop(service.add_checkpoint(&request(&history(1), 0, 50).0));
}

#[test]
fn a_witness_killed_between_storing_and_answering_cosigns_no_fork() {
    let directory = Directory::new();
    let path = directory.file("witness");
    fs::create_dir(&path).unwrap();
    create(&path.join("store"), &[]).unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_child_dies_between_storing_and_answering", "--test-threads=1"])
        .env(DYING, &path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(child.code(), None, "killed by a signal");
    let mut running = Running::start(&path);
    let client = running.client();
    let (fork, honest) = (history(2), history(1));
    let ask = |client: &Client, log, old, new| client.add_checkpoint(&request(log, old, new).0);
    assert!(matches!(ask(&client, &fork, 0, 50), Err(WitnessError::Conflict { size: 50 })));
    assert!(matches!(ask(&client, &fork, 50, 50), Err(WitnessError::Inconsistent)));
    ask(&client, &honest, 50, 50).unwrap();
    running.kill();
    // And when its file is gone, so is its key.
    fs::remove_file(path.join("store")).unwrap();
    assert!(refusal(&path.join("store")).contains("missing"));
}

/// A witness that gives each connection a second, and where it lies.
fn impatient() -> (Directory, Running) {
    let directory = Directory::new();
    let path = directory.file("witness");
    fs::create_dir(&path).unwrap();
    (directory, Running::with_patience(&path, 1))
}

/// Each connection has so much time in all: who sends a byte now and then keeps nobody out.
#[test]
fn clients_that_dawdle_do_not_keep_others_out() {
    let (_directory, running) = impatient();
    let client = running.client();
    let connect = |_| {
        let mut connection = TcpStream::connect(&client.address).unwrap();
        connection.write_all(b"POST /add-checkpoint HTTP/1.1\r\nHost: ").unwrap();
        connection
    };
    let mut slow: Vec<TcpStream> = (0..program::CONNECTIONS).map(connect).collect();
    let (answered, is_answered) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_answered.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                // Those that were cut off do not matter.
                slow.iter_mut().for_each(|connection| drop(connection.write_all(b"x")));
            }
        });
        let log = history(1);
        let (request, _) = request(&log, 0, 5);
        client.add_checkpoint(&request).unwrap();
        drop(answered);
    });
}

/// Nor does who asks and takes no answer.
#[test]
fn clients_that_do_not_read_do_not_keep_others_out() {
    let (_directory, running) = impatient();
    let client = running.client();
    let request_of_many = "GET /elsewhere HTTP/1.1\r\nHost: witness\r\n\r\n".repeat(1_000);
    let deaf: Vec<TcpStream> = (0..program::CONNECTIONS)
        .map(|_| {
            let mut connection = TcpStream::connect(&client.address).unwrap();
            // It is told that the connection has ended as soon as it has; that does not matter.
            let _ = connection.write_all(request_of_many.as_bytes());
            connection
        })
        .collect();
    client.add_checkpoint(&request(&history(1), 0, 5).0).unwrap();
    drop(deaf);
}
