//! Bad input and a server that cannot: a typed error that says what to do, and nothing half-done.

use crate::server::{Server, fresh_schema};
use std::error::Error as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use unjoin::secret::SystemRng;
use unjoin::store::identity::{Role, Roster};
use unjoin::store::postgres::{PostgresConfig, PostgresError, PostgresStore};
use unjoin::store::{Bucket, Commit, MAX_VALUE, Outcome, Store, StoreError, Stores};

fn put(key: &[u8]) -> Commit {
    Commit::new(Bucket::of(b"one")).expect(key, None).put(key.to_vec(), b"value".to_vec())
}

/// The engine's reason, which the error shows too.
pub(crate) fn reason(error: &StoreError) -> PostgresError {
    let StoreError::Engine(source) = error else { panic!("{error}") };
    let reason = source.downcast_ref::<PostgresError>().unwrap_or_else(|| panic!("{source}"));
    assert!(error.to_string().contains(&reason.to_string()), "{error}");
    assert!(reason.source().is_none());
    reason.clone()
}

/// A server's schema with one row.
fn with_row(key: &[u8]) -> (Arc<Server>, String, PostgresStore) {
    let (server, schema) = (Server::shared(), fresh_schema());
    let store = unjoin_test_util::postgres::store_of(server.config(&schema)).unwrap();
    store.commit(&[put(key)]).unwrap();
    (server, schema, store)
}

fn opening(config: PostgresConfig) -> PostgresError {
    reason(&unjoin_test_util::postgres::store_of(config).map(|_| ()).unwrap_err())
}

#[test]
fn a_server_that_cannot_be_used_is_told_at_opening() {
    let server = Server::shared();
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let config = |connection: String| PostgresConfig::new(connection);
    let there = server.address();
    let unreachable = format!("host={} port={} user=tester", nobody.ip(), nobody.port());
    assert_eq!(opening(config(unreachable)), PostgresError::Unreachable);
    let wrong = format!("{there} password=wrong dbname=postgres");
    assert_eq!(opening(config(wrong)), PostgresError::Credentials("28P01".into()));
    let stranger = format!("{there} user=stranger dbname=postgres");
    assert_eq!(opening(config(stranger)), PostgresError::Credentials("28P01".into()));
    let elsewhere = format!("{there} dbname=nowhere");
    assert_eq!(opening(config(elsewhere)), PostgresError::Credentials("3D000".into()));
    let no_tls = format!("{there} host={} dbname=postgres sslmode=require", Ipv4Addr::LOCALHOST);
    assert_eq!(opening(config(no_tls)), PostgresError::Tls);
    for connection in ["host=", "nonsense", "user=tester", "port=x host=a"] {
        assert!(matches!(opening(config(connection.into())), PostgresError::Config(_)), "{connection}");
    }
    for schema in ["", "Desk", "desk\"; DROP TABLE rows; --", "pg_desk", "1desk", &"x".repeat(64)] {
        assert!(matches!(opening(server.config(schema)), PostgresError::Config(_)), "{schema}");
    }
    let mut none = server.config("desk");
    none.connections = 0;
    assert!(matches!(opening(none), PostgresError::Config(_)));
    let mut no_time = server.config("desk");
    no_time.statement_timeout = Duration::ZERO;
    assert!(matches!(opening(no_time), PostgresError::Config(_)));
}

#[test]
fn no_configuration_or_error_shows_the_password() {
    let server = Server::shared();
    let config = server.config(&fresh_schema());
    let store = unjoin_test_util::postgres::store_of(config.clone()).unwrap();
    let wrong = PostgresConfig::new(format!("{} password=sesame dbname=postgres", server.address()));
    let error = unjoin_test_util::postgres::store_of(wrong).map(|_| ()).unwrap_err();
    for shown in [format!("{config:?}"), format!("{store:?}"), format!("{error:?} {error}")] {
        assert!(!shown.contains(crate::server::PASSWORD) && !shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn another_layout_is_refused_and_left_alone() {
    let (server, schema, store) = with_row(b"key");
    drop(store);
    server.sql(&format!("UPDATE {schema}.meta SET value = 7"));
    let error = unjoin_test_util::postgres::store_of(server.config(&schema)).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Schema { found: 7, expected: 1 }), "{error}");
    assert_eq!(server.sql(&format!("SELECT count(*) FROM {schema}.rows")), "1");
    assert_eq!(server.sql(&format!("SELECT value FROM {schema}.meta")), "7");
    // A store that is open finds it out with its next connection.
    server.sql(&format!("UPDATE {schema}.meta SET value = 1"));
    let store = unjoin_test_util::postgres::store_of(server.config(&schema)).unwrap();
    server.sql(&format!("UPDATE {schema}.meta SET value = 2"));
    assert!(matches!(store.commit(&[put(b"other")]), Err(StoreError::Schema { found: 2, .. })));
    server.sql(&format!("UPDATE {schema}.meta SET value = -1"));
    let error = unjoin_test_util::postgres::store_of(server.config(&schema)).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    server.sql(&format!("DELETE FROM {schema}.meta"));
    let error = unjoin_test_util::postgres::store_of(server.config(&schema)).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

/// A server that came up on an empty disk, a schema that was dropped, a table that is gone.
#[test]
fn opening_makes_nothing_and_creating_takes_no_store_with_rows() {
    let server = Server::shared();
    let schema = fresh_schema();
    let open = || PostgresStore::open(server.config(&schema)).map(|_| ()).unwrap_err();
    let create = || PostgresStore::create(server.config(&schema));
    let said = open().to_string();
    assert!(said.starts_with("the store's schema, or one of its tables, is missing: mount"), "{said}");
    let schemas = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}'");
    assert_eq!(server.sql(&schemas), "0");
    for _ in 0..2 {
        create().unwrap();
    }
    create().unwrap().commit(&[put(b"key")]).unwrap();
    assert!(matches!(create(), Err(StoreError::Exists)));
    assert_eq!(server.sql(&format!("SELECT count(*) FROM {schema}.rows")), "1");
    PostgresStore::open(server.config(&schema)).unwrap();
    server.sql(&format!("DROP TABLE {schema}.rows"));
    let said = open().to_string();
    assert!(said.starts_with("the store's table of rows is missing"), "{said}");
    server.sql(&format!("UPDATE {schema}.meta SET value = 0"));
    assert!(matches!(open(), StoreError::Missing(_)));
}

/// A first opening that was cut off before there was a layout is taken up.
#[test]
fn a_first_opening_that_was_cut_off_is_taken_up() {
    let server = Server::shared();
    for done in ["", "CREATE TABLE {s}.meta (name text PRIMARY KEY, value int4 NOT NULL)"] {
        let schema = fresh_schema();
        server.sql(&format!("CREATE SCHEMA {schema}"));
        if !done.is_empty() {
            server.sql(&done.replace("{s}", &schema));
            server.sql(&format!("INSERT INTO {schema}.meta VALUES ('schema', 0)"));
        }
        let store = unjoin_test_util::postgres::store_of(server.config(&schema)).unwrap();
        assert_eq!(store.commit(&[put(b"key")]).unwrap(), [Outcome::Committed]);
    }
}

#[test]
fn a_role_needs_no_right_to_create_what_is_there_and_is_told_what_it_lacks() {
    let server = Server::shared();
    let schema = fresh_schema();
    let role = format!("clerk_{schema}");
    server.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'p'"));
    let config = || {
        let mut config = server.config(&schema);
        config.connection = format!("{} user={role} password=p dbname=postgres", server.address());
        config
    };
    assert_eq!(opening(config()), PostgresError::Permission("42501".into()));
    drop(unjoin_test_util::postgres::store_of(server.config(&schema)).unwrap());
    server.sql(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
    ));
    let store = unjoin_test_util::postgres::store_of(config()).unwrap();
    assert_eq!(store.scan(Bucket::of(b"one"), b"", None, 9).unwrap(), []);
    assert_eq!(reason(&store.commit(&[put(b"key")]).unwrap_err()), PostgresError::Permission("42501".into()));
}

#[test]
fn an_exhausted_pool_is_told_in_time() {
    let server = Server::shared();
    let schema = fresh_schema();
    let mut config = server.config(&schema);
    config.connections = 1;
    config.pool_timeout = Duration::from_millis(200);
    let store = unjoin_test_util::postgres::store_of(config).unwrap();
    store.commit(&[put(b"first")]).unwrap();
    let lock = server.hold(&format!("LOCK TABLE {schema}.rows"));
    thread::scope(|threads| {
        let busy = threads.spawn(|| store.commit(&[put(b"second")]));
        let waits = format!(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{schema}.rows'::regclass"
        );
        while server.sql(&waits) == "0" {}
        assert_eq!(reason(&store.commit(&[put(b"third")]).unwrap_err()), PostgresError::PoolExhausted);
        drop(lock);
        assert_eq!(busy.join().unwrap().unwrap(), [Outcome::Committed], "who had the connection goes on");
    });
    assert_eq!(store.commit(&[put(b"third")]).unwrap(), [Outcome::Committed]);
    // The server's own limit.
    let role = format!("few_{schema}");
    server.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 0"));
    let connection = format!("{} user={role} password=p dbname=postgres", server.address());
    assert_eq!(opening(PostgresConfig::new(connection)), PostgresError::TooManyConnections);
}

#[test]
fn a_statement_that_waits_too_long_ends_without_effect() {
    let (server, schema, store) = with_row(b"first");
    let mut config = server.config(&schema);
    config.statement_timeout = Duration::from_millis(300);
    let impatient = unjoin_test_util::postgres::store_of(config).unwrap();
    let lock = server.hold(&format!("LOCK TABLE {schema}.rows"));
    assert_eq!(reason(&impatient.commit(&[put(b"second")]).unwrap_err()), PostgresError::Timeout);
    let error = impatient.scan(Bucket::of(b"one"), b"", None, 9).unwrap_err();
    assert_eq!(reason(&error), PostgresError::Timeout);
    // Both were told so while the lock was still held.
    drop(lock);
    assert_eq!(store.scan(Bucket::of(b"one"), b"", None, 9).unwrap().len(), 1, "nothing was done");
    assert_eq!(store.commit(&[put(b"second")]).unwrap(), [Outcome::Committed]);
}

#[test]
fn what_is_too_large_is_refused_or_cut_into_transactions() {
    let server = Server::shared();
    let store = server.store();
    let too_long = Commit::new(Bucket::of(b"one")).put(b"key".to_vec(), vec![0; MAX_VALUE + 1]);
    assert!(matches!(store.commit(&[put(b"key"), too_long]), Err(StoreError::TooLong)));
    assert_eq!(store.scan(Bucket::of(b"one"), b"", None, 9).unwrap(), []);
    // 60 MiB in one call.
    let large = |number: u8| Commit::new(Bucket::of(&[number])).put(vec![number], vec![number; MAX_VALUE]);
    let call: Vec<Commit> = (0..60).map(large).collect();
    assert_eq!(store.commit(&call).unwrap(), vec![Outcome::Committed; 60]);
    assert_eq!(store.scan(Bucket::of(&[7]), &[7], None, 9).unwrap()[0].value, vec![7; MAX_VALUE]);
}

#[test]
fn a_server_that_became_read_only_refuses_and_serves_again_afterwards() {
    let server = Server::start(&[]);
    let store = unjoin_test_util::postgres::store_of(server.config("desk")).unwrap();
    store.commit(&[put(b"first")]).unwrap();
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql("SELECT pg_reload_conf()");
    while server.sql("SHOW default_transaction_read_only") == "off" {}
    let refused = (0..200).find_map(|number: u16| store.commit(&[put(&number.to_be_bytes())]).err());
    assert_eq!(reason(&refused.unwrap()), PostgresError::ReadOnly);
    assert_eq!(opening(server.config("desk")), PostgresError::ReadOnly);
    server.sql("ALTER SYSTEM RESET default_transaction_read_only");
    server.sql("SELECT pg_reload_conf()");
    while server.sql("SHOW default_transaction_read_only") == "on" {}
    assert_eq!(store.commit(&[put(b"second")]).unwrap(), [Outcome::Committed]);
}

/// A server that came up on an empty disk, or a schema that somebody made anew.
#[test]
fn an_empty_server_in_the_old_ones_place_is_no_new_shop() {
    let server = Server::shared();
    let [orders, reviews] = [fresh_schema(), fresh_schema()];
    let (rng, places) = (&mut SystemRng::new(), [(Role::Orders, &orders), (Role::Reviews, &reviews)]);
    let roster = Roster::generate(rng);
    let found =
        || places.map(|(role, schema)| (role, PostgresStore::open(server.config(schema)).map(Arc::new)));
    let made =
        places.map(|(role, schema)| (role, PostgresStore::create(server.config(schema)).map(Arc::new)));
    let stores = Stores::create(&roster, made.map(|(role, store)| (role, store.unwrap())), rng).unwrap();
    stores.own(Role::Reviews).unwrap().commit(&[put(b"spent")]).unwrap();
    server.sql(&format!("DROP SCHEMA {reviews} CASCADE"));
    // The process that is running says so, too, and writes nothing.
    assert!(stores.check().is_err());
    drop(stores);
    let [_, (_, lost)] = found();
    assert!(matches!(lost, Err(StoreError::Missing(_))));
    drop(PostgresStore::create(server.config(&reviews)).unwrap());
    let empty = found().map(|(role, store)| (role, store.unwrap()));
    let refused = Stores::open(&roster, empty, rng).map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Nobodys(Role::Reviews)), "{refused}");
    assert_eq!(server.sql(&format!("SELECT count(*) FROM {reviews}.rows")), "0");
    // Made anew with the same roster, it is older than its sister.
    let anew = found().map(|(role, store)| (role, store.unwrap()));
    let [_, only_reviews] = anew;
    drop(Stores::create(&roster, [only_reviews], rng).unwrap());
    let refused = Stores::open(&roster, found().map(|(role, store)| (role, store.unwrap())), rng);
    assert!(matches!(refused, Err(StoreError::Older(Role::Reviews))));
}
