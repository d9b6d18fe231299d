//! The store on PostgreSQL over TLS, with the connector of `tokio-postgres-rustls`: sessions are encrypted, and whoever
//! is not the server that was meant is refused before anything is written, or said.

#![cfg(test)]

mod certificates;
use unjoin_test_util::postgres as server;
mod wire;

use certificates::{Authority, Files, HOST};
use server::{PASSWORD, Server, USER, fresh_schema};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use tokio_postgres_rustls::MakeRustlsConnect;
use unjoin::Name;
use unjoin::store::postgres::{PostgresConfig, PostgresError, PostgresStore};
use unjoin::store::{Bucket, Commit, Outcome, RowKey, Store, StoreError};
use wire::Tap;

/// A server with TLS that shows `files`, with these settings besides.
fn start(files: &Files, settings: &[&str]) -> Server {
    let own = files.settings();
    let all: Vec<&str> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    Server::start(&all)
}

/// A store's configuration: to this port on loopback, as the host that the certificate should name.
fn config(port: u16, host: &str, rest: &str) -> PostgresConfig {
    let mut config = PostgresConfig::new(format!(
        "host={host} hostaddr={} port={port} user={USER} password='{PASSWORD}' dbname=postgres {rest}",
        Ipv4Addr::LOCALHOST
    ));
    config.schema = fresh_schema();
    config
}

fn open(config: &PostgresConfig, connector: MakeRustlsConnect) -> Result<PostgresStore, StoreError> {
    match PostgresStore::create_with_tls(config.clone(), connector.clone()) {
        Err(StoreError::Exists) => PostgresStore::open_with_tls(config.clone(), connector),
        created => created,
    }
}

/// The engine's reason, which says what to do.
fn reason(result: Result<PostgresStore, StoreError>) -> PostgresError {
    let error = result.map(|_| ()).unwrap_err();
    let StoreError::Engine(source) = &error else { panic!("{error}") };
    let reason = source.downcast_ref::<PostgresError>().unwrap_or_else(|| panic!("{source}"));
    assert!(error.to_string().contains(&reason.to_string()), "{error}");
    assert!(!format!("{error:?} {error}").contains(PASSWORD), "an error shows the password");
    reason.clone()
}

fn nothing_was_written(server: &Server, config: &PostgresConfig) {
    let there = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", config.schema);
    assert_eq!(server.sql(&there), "0", "a refused store left something");
}

/// Whether each session of stores is encrypted, without those that are as they should be.
fn sessions(server: &Server, encrypted: bool) -> u32 {
    let count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE application_name = 'unjoin' AND ssl = ";
    server.sql(&format!("{count} {encrypted}")).parse().unwrap()
}

fn put(key: &[u8], value: &[u8]) -> Commit {
    Commit::new(here()).expect(key, None).put(key.to_vec(), value.to_vec())
}

fn here() -> Bucket {
    Bucket::of(Name::new("merchant").unwrap().as_bytes())
}

fn read(store: &PostgresStore, key: &[u8]) -> Option<Vec<u8>> {
    store.read(&[RowKey { bucket: here(), key: key.to_vec() }]).unwrap().pop().unwrap()
}

#[test]
fn every_session_is_encrypted_and_the_store_works() {
    let authority = Authority::new();
    let server = start(&authority.files(HOST), &[]);
    // By name; bound to the server's certificate; by address.
    for rest in ["sslmode=require", "sslmode=require channel_binding=require"] {
        let store = open(&config(server.port, HOST, rest), authority.connector()).unwrap();
        assert_eq!(store.commit(&[put(b"key", b"value")]).unwrap(), [Outcome::Committed]);
        let many: Vec<Commit> = (0..200u8).map(|number| put(&[number], &[number; 4096])).collect();
        thread::scope(|threads| {
            many.chunks(25).for_each(|own| drop(threads.spawn(|| store.commit(own).unwrap())))
        });
        assert_eq!(read(&store, b"key"), Some(b"value".to_vec()));
        store.rewrite().unwrap();
        assert_eq!(store.scan(here(), b"", None, 999).unwrap().len(), 201);
        assert_eq!(sessions(&server, false), 0);
        assert!(sessions(&server, true) > 0);
        drop(store);
    }
    let address = Ipv4Addr::LOCALHOST.to_string();
    let server = start(&authority.files(&address), &[]);
    let store = open(&config(server.port, &address, ""), authority.connector()).unwrap();
    assert_eq!(store.commit(&[put(b"key", b"value")]).unwrap(), [Outcome::Committed]);
    assert_eq!((sessions(&server, false), sessions(&server, true) > 0), (0, true));
}

/// The same search finds them where there is no TLS.
#[test]
fn neither_rows_nor_the_user_are_on_the_wire() {
    let authority = Authority::new();
    let server = start(&authority.files(HOST), &[]);
    let tap = Tap::to(server.port);
    let (key, value) = (b"a key that nobody else has".as_slice(), b"a value that nobody else has".as_slice());
    for (rest, in_the_clear) in [("sslmode=require", false), ("", false), ("sslmode=disable", true)] {
        let store = open(&config(tap.port, HOST, rest), authority.connector()).unwrap();
        assert_eq!(store.commit(&[put(key, value)]).unwrap(), [Outcome::Committed]);
        assert_eq!(read(&store, key), Some(value.to_vec()));
        drop(store);
        let heard = tap.heard();
        assert!(heard.len() > 1000);
        for sought in [key, value, USER.as_bytes()] {
            let found = heard.windows(sought.len()).any(|part| part == sought);
            assert_eq!(found, in_the_clear, "{rest}: {}", String::from_utf8_lossy(sought));
        }
    }
}

#[test]
fn another_authority_another_name_and_an_expired_certificate_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let right = start(&authority.files(HOST), &[]);
    let other = config(right.port, HOST, "sslmode=require");
    assert_eq!(reason(open(&other, stranger.connector())), PostgresError::Tls);
    nothing_was_written(&right, &other);
    let elsewhere = config(right.port, "other.example", "sslmode=require");
    assert_eq!(reason(open(&elsewhere, authority.connector())), PostgresError::Tls);
    nothing_was_written(&right, &elsewhere);
    // A connector is given: that the string leaves TLS open makes no difference.
    let open_to_both = config(right.port, HOST, "sslmode=prefer");
    assert_eq!(reason(open(&open_to_both, stranger.connector())), PostgresError::Tls);
    nothing_was_written(&right, &open_to_both);
    let expired = start(&authority.expired(HOST), &[]);
    let late = config(expired.port, HOST, "sslmode=require");
    assert_eq!(reason(open(&late, authority.connector())), PostgresError::Tls);
    nothing_was_written(&expired, &late);
}

/// The open store's next connection meets the other certificate.
#[test]
fn a_server_that_changes_its_authority_is_refused_by_a_store_that_is_open() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = authority.files(HOST);
    let server = start(&files, &[]);
    let config = config(server.port, HOST, "");
    let store = open(&config, authority.connector()).unwrap();
    store.commit(&[put(b"first", b"")]).unwrap();
    files.replace_by(&stranger.files(HOST));
    server.stop();
    server.serve();
    let error = store.commit(&[put(b"second", b"")]).unwrap_err();
    let StoreError::Engine(source) = &error else { panic!("{error}") };
    assert_eq!(source.downcast_ref::<PostgresError>(), Some(&PostgresError::Tls));
    assert_eq!(server.sql(&format!("SELECT count(*) FROM {}.rows", config.schema)), "1");
    // The right one again, renewed: the store goes on by itself.
    files.replace_by(&authority.files(HOST));
    server.stop();
    server.serve();
    assert_eq!(store.commit(&[put(b"second", b"")]).unwrap(), [Outcome::Committed]);
}

#[test]
fn a_server_without_tls_is_refused_before_anything_is_said() {
    let authority = Authority::new();
    let server = Server::start(&[]);
    for rest in ["sslmode=require", "sslmode=prefer", ""] {
        let config = config(server.port, HOST, rest);
        assert_eq!(reason(open(&config, authority.connector())), PostgresError::Tls, "{rest}");
        nothing_was_written(&server, &config);
    }
    // Without a connector there is nothing to do TLS with.
    let required = config(server.port, HOST, "sslmode=require");
    assert_eq!(reason(unjoin_test_util::postgres::store_of(required)), PostgresError::Tls);
    // Somebody in between says that the server has none, to hear the rest in the clear.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let config = config(listener.local_addr().unwrap().port(), HOST, "");
    let stripping = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut asked = [0; 8];
        client.read_exact(&mut asked).unwrap();
        client.write_all(b"N").unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        (asked, rest)
    });
    assert_eq!(reason(open(&config, authority.connector())), PostgresError::Tls);
    let (asked, rest) = stripping.join().unwrap();
    assert_eq!(asked, [0, 0, 0, 8, 4, 210, 22, 47], "the request for TLS, and nothing else");
    assert_eq!(rest, []);
}

/// `hostssl` alone in pg_hba.conf, and then with certificates of the clients' own.
#[test]
fn a_server_that_asks_for_tls_or_certificates_refuses_stores_without() {
    let authority = Authority::new();
    let files = authority.files(HOST);
    let of_clients = |option: &str| {
        let rule = format!("hostssl all all {}/32 scram-sha-256 {option}", Ipv4Addr::LOCALHOST);
        files.host_based(&format!("local all all scram-sha-256\n{rule}\n"))
    };
    let server = start(&files, &[&of_clients("")]);
    let clear = config(server.port, HOST, "");
    let refused = reason(unjoin_test_util::postgres::store_of(clear.clone()));
    assert_eq!(refused, PostgresError::Credentials("28000".into()));
    assert!(refused.to_string().contains("TLS"), "{refused}");
    nothing_was_written(&server, &clear);
    let store = open(&clear, authority.connector()).unwrap();
    assert_eq!(store.commit(&[put(b"key", b"value")]).unwrap(), [Outcome::Committed]);
    drop((store, server));

    let server = start(&files, &[&of_clients("clientcert=verify-full")]);
    let config = config(server.port, HOST, "");
    let refused = reason(open(&config, authority.connector()));
    assert_eq!(refused, PostgresError::Credentials("28000".into()));
    assert!(refused.to_string().contains("certificate"), "{refused}");
    let of_nobody = reason(open(&config, authority.connector_as("nobody")));
    assert!(matches!(of_nobody, PostgresError::Credentials(_)), "{of_nobody}");
    nothing_was_written(&server, &config);
    let store = open(&config, authority.connector_as(USER)).unwrap();
    assert_eq!(store.commit(&[put(b"key", b"value")]).unwrap(), [Outcome::Committed]);
}
