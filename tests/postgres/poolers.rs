//! A pooler in between: sessions pass, and everything less is refused in words. PgBouncer is Debian's, or the one in
//! PATH; the kind that follows named statements (from 1.21 on) is played by a small one of this test's own too, since
//! Debian's may be older.

use crate::chaos::Proxy;
use crate::refusals::reason;
use crate::server::{Server, fresh_schema};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use unjoin::store::postgres::{PostgresConfig, PostgresError, PostgresStore};
use unjoin::store::{Bucket, Commit, Outcome, RowKey, Store, StoreError, contract};

#[path = "poolers/follower.rs"]
mod follower;

use self::follower::Follower;

/// A PgBouncer before a server, until it is dropped.
struct Bouncer {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl Bouncer {
    /// `None` if there is none on this machine, or none that can do this.
    fn start(server: &Server, settings: &str) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let in_path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let version = Command::new("pgbouncer").env("PATH", in_path).arg("--version").output().ok()?;
        let version = String::from_utf8(version.stdout).unwrap();
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).unwrap();
        if settings.contains("max_prepared_statements") && minor < 21 {
            return None;
        }
        let directory = server.temporary(&format!("bouncer-{}", NEXT.fetch_add(1, Ordering::SeqCst)));
        std::fs::create_dir(&directory).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let (host, behind) = (Ipv4Addr::LOCALHOST, server.port);
        let (user, password) = (crate::server::USER, crate::server::PASSWORD);
        let file = directory.join("pgbouncer.ini");
        let log = directory.join("log");
        std::fs::write(
            &file,
            format!(
                "[databases]\npostgres = host={host} port={behind} dbname=postgres user={user} password='{password}'\n\
                 [pgbouncer]\nlisten_addr = {host}\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n\
                 logfile = {}\n{settings}\n",
                log.display()
            ),
        )
        .unwrap();
        // It does not run as root, and cannot be told another user by whoever is not.
        let mut command = crate::server::unprivileged("pgbouncer", true);
        crate::server::give(&file);
        crate::server::give(&directory);
        let process = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut bouncer = Self { process, directory, port };
        while TcpStream::connect((host, port)).is_err() {
            let log = || std::fs::read_to_string(bouncer.directory.join("log")).unwrap_or_default();
            assert!(bouncer.process.try_wait().unwrap().is_none(), "pgbouncer ended: {}", log());
            thread::yield_now();
        }
        Some(bouncer)
    }

    fn config(&self, schema: &str) -> PostgresConfig {
        through(self.port, schema)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn through(port: u16, schema: &str) -> PostgresConfig {
    let (host, user) = (Ipv4Addr::LOCALHOST, crate::server::USER);
    let mut config = PostgresConfig::new(format!("host={host} port={port} user={user} dbname=postgres"));
    config.schema = schema.to_owned();
    config
}

/// What this test would have found with a pooler that is not here.
fn not_tried(what: &str) {
    eprintln!("{what} is not on this machine (apt-get install pgbouncer): it was not tried");
}

fn refused_at_opening(config: PostgresConfig) {
    let error = PostgresStore::create(config).map(|_| ()).unwrap_err();
    assert_eq!(reason(&error), PostgresError::Pooler);
    assert!(!reason(&error).is_retryable());
    let words = error.to_string();
    assert!(words.contains("this is a transaction pooler") && words.contains("point it at session mode"));
}

/// Nothing of two stores that are used through it, by whoever opened them before it was put there, goes astray:
/// every commit that is answered is in its own table, and every row that is read is its own.
fn nothing_goes_astray<T>(server: &Server, open: impl Fn(&str) -> (T, PostgresStore) + Sync) -> [u64; 2] {
    let schemas = [fresh_schema(), fresh_schema()];
    schemas.iter().for_each(|schema| drop(PostgresStore::create(server.config(schema)).unwrap()));
    let (answered, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|threads| {
        for (own, schema) in (0u8..).zip(&schemas) {
            let (open, answered, refused) = (&open, &answered, &refused);
            threads.spawn(move || {
                for round in 0..40u8 {
                    let (_way, store) = open(schema);
                    for number in 0..3u8 {
                        let (key, bucket) = (vec![round, number], Bucket::of(b"one"));
                        let put = Commit::new(bucket).expect(&key, None).put(key.clone(), vec![own]);
                        let asked = store.commit(&[put]).and_then(|outcome| {
                            assert_eq!(outcome, [Outcome::Committed]);
                            answered.fetch_add(1, Ordering::SeqCst);
                            store.read(&[RowKey { bucket, key }])
                        });
                        match asked {
                            Ok(row) => assert_eq!(row, [Some(vec![own])], "read from another's table"),
                            Err(StoreError::Engine(error)) => {
                                let error = error.downcast_ref::<PostgresError>().unwrap();
                                assert_eq!(*error, PostgresError::Pooler);
                                refused.fetch_add(1, Ordering::SeqCst);
                                break;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let count = |sql: String| -> u64 { server.sql(&sql).parse().unwrap() };
    let mut there = 0;
    for (own, schema) in (0u8..).zip(&schemas) {
        there += count(format!("SELECT count(*) FROM {schema}.rows WHERE value = '\\x{own:02x}'"));
        let others = count(format!("SELECT count(*) FROM {schema}.rows WHERE value <> '\\x{own:02x}'"));
        assert_eq!(others, 0, "rows of the other store");
    }
    let [answered, refused] = [answered.into_inner(), refused.into_inner()];
    println!("{answered} commits answered, {refused} calls refused");
    assert_eq!(there, answered, "every answered commit is in its own table, and no other is");
    [answered, refused]
}

/// Opened on the server itself, so that no opening refuses; then led through the pooler.
fn unproved(server: &Server, port: u16, schema: &str) -> (Proxy, PostgresStore) {
    let proxy = Proxy::to(server);
    let store = PostgresStore::open(proxy.config(schema)).unwrap();
    proxy.control.behind.store(port, Ordering::SeqCst);
    proxy.control.cut();
    (proxy, store)
}

#[test]
fn sessions_through_a_pooler_pass_the_contract() {
    let server = Server::start(&[]);
    let Some(bouncer) = Bouncer::start(&server, "pool_mode = session\ndefault_pool_size = 60") else {
        return not_tried("PgBouncer");
    };
    contract::check(|| PostgresStore::create(bouncer.config(&fresh_schema())).unwrap());
    let schema = fresh_schema();
    drop(PostgresStore::create(bouncer.config(&schema)).unwrap());
    contract::check_reopening(|| PostgresStore::open(bouncer.config(&schema)).unwrap());
    let open = |schema: &str| ((), PostgresStore::open(bouncer.config(schema)).unwrap());
    assert_eq!(nothing_goes_astray(&server, open), [2 * 40 * 3, 0]);
    let one = Bouncer::start(&server, "pool_mode = session\ndefault_pool_size = 1").unwrap();
    let mut config = one.config(&fresh_schema());
    config.connections = 1;
    // The second session that an opening looks with finds no place: it is done without.
    let store = PostgresStore::create(config).unwrap();
    assert_eq!(store.read(&[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
    assert_eq!(store.scan(Bucket::of(b"one"), b"", None, 1).unwrap(), []);
}

/// A session whose server connection the pooler gives up: the next call has a fresh one, set up and proved again.
#[test]
fn a_session_that_the_pooler_ends_is_replaced_unseen() {
    let server = Server::start(&[]);
    let settings =
        "pool_mode = session\nserver_idle_timeout = 1\nserver_lifetime = 1\nclient_idle_timeout = 1";
    let Some(bouncer) = Bouncer::start(&server, settings) else { return not_tried("PgBouncer") };
    let store = PostgresStore::create(bouncer.config(&fresh_schema())).unwrap();
    for number in 0..3u8 {
        let put = Commit::new(Bucket::of(b"one")).expect(&[number], None).put(vec![number], vec![]);
        assert_eq!(store.commit(&[put]).unwrap(), [Outcome::Committed]);
        // The backend goes, the pooler stays.
        server
            .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'unjoin'");
    }
    assert_eq!(store.scan(Bucket::of(b"one"), b"", None, 9).unwrap().len(), 3);
}

#[test]
fn transaction_and_statement_poolers_are_refused_in_words() {
    let server = Server::start(&[]);
    for settings in [
        "pool_mode = transaction",
        "pool_mode = transaction\ndefault_pool_size = 1",
        "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 4",
        "pool_mode = statement",
        "pool_mode = transaction\nmax_prepared_statements = 100",
        "pool_mode = transaction\nmax_prepared_statements = 100\ndefault_pool_size = 1",
    ] {
        match Bouncer::start(&server, settings) {
            Some(bouncer) => refused_at_opening(bouncer.config(&fresh_schema())),
            None => not_tried(&format!("a PgBouncer for `{}`", settings.replace('\n', "; "))),
        }
    }
    server.trust();
    refused_at_opening(through(Follower::start(server.port).port, &fresh_schema()));
}

/// An opening sees it; a pooler that is put in between later, or that hid behind one free session, is seen by the
/// transactions themselves: no commit and no read is another's, with and without named statements.
#[test]
fn a_transaction_pooler_under_load_mixes_nothing() {
    let server = Server::start(&[]);
    for settings in ["", "max_prepared_statements = 100"] {
        let settings = format!("pool_mode = transaction\ndefault_pool_size = 3\n{settings}");
        match Bouncer::start(&server, &settings) {
            Some(bouncer) => {
                let [_, refused] =
                    nothing_goes_astray(&server, |schema| unproved(&server, bouncer.port, schema));
                assert!(refused > 0);
            }
            None => not_tried(&format!("a PgBouncer for `{}`", settings.replace('\n', "; "))),
        }
    }
    server.trust();
    let follower = Follower::start(server.port);
    let [_, refused] = nothing_goes_astray(&server, |schema| unproved(&server, follower.port, schema));
    assert!(refused > 0);
}
