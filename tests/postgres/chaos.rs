//! Connections that break and lag, and a disk that is full: every call ends in an answer or a typed error, and
//! never in half a decision.

use crate::refusals::reason;
use crate::server::{PASSWORD, Server, USER, fresh_schema};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use unjoin::store::postgres::{PostgresConfig, PostgresError};
use unjoin::store::{Bucket, Commit, Outcome, RowKey, Store, StoreError};

/// Between store and server: cuts, delays, and swallows the answers to COMMIT.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) control: Arc<Control>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Control {
    over: AtomicBool,
    /// The port that later connections are led to.
    pub(crate) behind: AtomicU16,
    delay: AtomicU64,
    /// The next COMMIT reaches the server, and its answer nobody.
    lose_a_commit: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Control {
    /// Breaks every connection, in both directions.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Proxy {
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let control = Arc::<Control>::default();
        control.behind.store(server.port, Ordering::SeqCst);
        let shared = Arc::clone(&control);
        let accepting = thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                let behind = (Ipv4Addr::LOCALHOST, shared.behind.load(Ordering::SeqCst));
                let Ok(server) = TcpStream::connect(behind) else { continue };
                let own = |stream: &TcpStream| stream.try_clone().unwrap();
                shared.open.lock().unwrap().extend([own(&client), own(&server)]);
                let swallow = Arc::new(AtomicBool::new(false));
                let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
                let (from, to, mark) = (own(&client), own(&server), Arc::clone(&swallow));
                thread::spawn(move || pump(&there, from, to, &mark, true));
                thread::spawn(move || pump(&back, server, client, &swallow, false));
            }
        });
        Self { port, control, accepting: Some(accepting) }
    }

    pub(crate) fn config(&self, schema: &str) -> PostgresConfig {
        let address = format!("host={} port={}", Ipv4Addr::LOCALHOST, self.port);
        let mut config =
            PostgresConfig::new(format!("{address} user={USER} password='{PASSWORD}' dbname=postgres"));
        config.schema = schema.to_owned();
        config
    }
}

fn pump(
    control: &Control,
    mut from: TcpStream,
    mut to: TcpStream,
    swallow: &AtomicBool,
    towards_server: bool,
) {
    let mut chunk = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        let bytes = &chunk[..length];
        thread::sleep(Duration::from_micros(control.delay.load(Ordering::SeqCst)));
        if towards_server && bytes.windows(16).any(|window| window == b"commit */ COMMIT") {
            swallow.fetch_or(control.lose_a_commit.swap(false, Ordering::SeqCst), Ordering::SeqCst);
        }
        // The server has answered, so it has committed.
        if !towards_server && swallow.load(Ordering::SeqCst) {
            break;
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.over.store(true, Ordering::SeqCst);
        self.control.cut();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn here() -> Bucket {
    Bucket::of(b"one")
}

#[test]
fn a_lost_answer_to_commit_is_told_and_the_decision_finds_what_it_did() {
    let server = Server::shared();
    let (proxy, schema) = (Proxy::to(&server), fresh_schema());
    let store = unjoin_test_util::postgres::store_of(proxy.config(&schema)).unwrap();
    for number in 0..5u8 {
        let decision = Commit::new(here()).expect(&[number], None).put(vec![number], b"done".to_vec());
        proxy.control.lose_a_commit.store(true, Ordering::SeqCst);
        let error = store.commit(std::slice::from_ref(&decision)).unwrap_err();
        assert_eq!(reason(&error), PostgresError::CommitUnknown);
        assert!(error.is_retryable());
        assert_eq!(store.commit(&[decision]).unwrap(), [Outcome::Conflict(vec![number])]);
    }
    assert_eq!(store.scan(here(), b"", None, 99).unwrap().len(), 5);
}

#[test]
fn a_connection_that_breaks_before_commit_is_replaced_unseen() {
    // One of its own: all sessions are ended.
    let server = Server::start(&[]);
    let (proxy, schema) = (Proxy::to(&server), fresh_schema());
    let store = unjoin_test_util::postgres::store_of(proxy.config(&schema)).unwrap();
    for number in 0..5u8 {
        let put = Commit::new(here()).expect(&[number], None).put(vec![number], vec![]);
        assert_eq!(store.commit(&[put]).unwrap(), [Outcome::Committed]);
        proxy.control.cut();
        assert_eq!(store.scan(here(), b"", None, 99).unwrap().len(), usize::from(number) + 1);
        proxy.control.cut();
    }
    // The server ends the session itself.
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'unjoin'");
    assert_eq!(store.scan(here(), b"", None, 99).unwrap().len(), 5);
}

/// Each decision changes three rows: its own, which nobody else writes, and two counters that must agree.
#[test]
fn cuts_and_delays_never_leave_half_a_decision() {
    const THREADS: u8 = 4;
    const EACH: u8 = 30;
    const CUTS: u64 = 25;
    let server = Server::shared();
    let (proxy, schema) = (Proxy::to(&server), fresh_schema());
    let store = unjoin_test_util::postgres::store_of(proxy.config(&schema)).unwrap();
    let rows = |keys: [&[u8]; 3]| store.read(&keys.map(|key| RowKey { bucket: here(), key: key.to_vec() }));
    let decide = |own: &[u8]| -> Result<bool, StoreError> {
        let found = rows([own, b"one", b"other"])?;
        if found[0].is_some() {
            return Ok(true);
        }
        let count = |row: &Option<Vec<u8>>| row.as_ref().map_or(0, |row| row[0]);
        assert_eq!(count(&found[1]), count(&found[2]));
        let commit = Commit::new(here())
            .expect(own, None)
            .expect(b"one", found[1].as_deref())
            .expect(b"other", found[2].as_deref())
            .put(own.to_vec(), vec![])
            .put(b"one".to_vec(), vec![count(&found[1]) + 1])
            .put(b"other".to_vec(), vec![count(&found[2]) + 1]);
        Ok(store.commit(&[commit])?.pop() == Some(Outcome::Committed))
    };
    let (left, failed) = (AtomicU64::new(u64::from(THREADS)), AtomicU64::new(0));
    thread::scope(|threads| {
        for of in 0..THREADS {
            let (decide, left, failed) = (&decide, &left, &failed);
            threads.spawn(move || {
                for number in 0..EACH {
                    loop {
                        match decide(&[b'd', of, number]) {
                            Ok(true) => break,
                            Ok(false) => {}
                            Err(error) => {
                                assert!(error.is_retryable(), "{error}");
                                if matches!(error, StoreError::Engine(_)) {
                                    reason(&error);
                                }
                                failed.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    }
                }
                left.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for round in 0..CUTS {
            // The pauses wait for nothing: they are what makes the moments differ.
            thread::sleep(Duration::from_millis(80 + round * 37 % 150));
            proxy.control.delay.store(round * 213 % 1000, Ordering::SeqCst);
            proxy.control.cut();
            if left.load(Ordering::SeqCst) == 0 {
                break;
            }
        }
    });
    println!("{} calls failed on the way", failed.into_inner());
    let found = rows([b"", b"one", b"other"]).unwrap();
    assert_eq!(found, [None, Some(vec![THREADS * EACH]), Some(vec![THREADS * EACH])]);
}

/// A small file system of a test's own.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this process may not mount one.
    fn mount(server: &Server) -> Option<Self> {
        let path = server.temporary("disk");
        fs::create_dir(&path).unwrap();
        let options = "size=6m,mode=0777";
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| {
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
            Self(path)
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Needs the right to mount a file system; a server that refuses to write is tried without one.
#[test]
fn a_full_disk_is_told_and_nothing_is_half_done() {
    let server = Server::start(&[]);
    let Some(disk) = Disk::mount(&server) else {
        eprintln!("this process may not mount a file system: the full disk was not tried");
        return;
    };
    let tables = disk.0.join("tables");
    fs::create_dir(&tables).unwrap();
    crate::server::give(&tables);
    server.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", tables.display()));
    let mut config = server.config("desk");
    config.connection.push_str(" options='-c default_tablespace=small'");
    let store = unjoin_test_util::postgres::store_of(config).unwrap();
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let decision = |number: u16| {
        let key = |half: u8| [number.to_be_bytes().as_slice(), &[half]].concat();
        let long = vec![half_of(number); 60_000];
        Commit::new(here()).expect(&key(0), None).put(key(0), long.clone()).put(key(1), long)
    };
    let mut answered = 0;
    let error = loop {
        match store.commit(&[decision(answered)]) {
            Ok(outcomes) => assert_eq!(outcomes, [Outcome::Committed]),
            Err(error) => break error,
        }
        answered += 1;
    };
    assert_eq!(reason(&error), PostgresError::Resources("53100".into()));
    assert!(error.is_retryable() && answered > 3);
    assert_eq!(store.scan(here(), b"", None, 1 << 20).unwrap().len(), 2 * usize::from(answered));
    // With room again the same decision is taken.
    fs::remove_file(&ballast).unwrap();
    assert_eq!(store.commit(&[decision(answered)]).unwrap(), [Outcome::Committed]);
    assert_eq!(store.commit(&[decision(0)]).unwrap(), [Outcome::Conflict(vec![0, 0, 0])]);
    drop(store);
    server.stop();
}

fn half_of(number: u16) -> u8 {
    number.to_be_bytes()[1]
}
