//! After a rewrite the tables' files tell nothing of the order of arrival.

use crate::server::{Server, fresh_schema};
use std::collections::HashMap;
use std::fs;
use unjoin::store::postgres::PostgresStore;
use unjoin::store::{Bucket, Commit, Store};
use unjoin_test_util::{hex, mix, rank_correlation, shuffled};

const ROWS: u64 = 600;

/// Row `i`'s key: its place in key order has nothing to do with `i`.
fn key(i: u64) -> Vec<u8> {
    [mix(i), i].map(u64::to_be_bytes).concat()
}

/// Small rows, rows of some kilobytes, and a few that need the second table.
fn value(i: u64) -> Vec<u8> {
    key(i).repeat([3, 40, 150, 900][mix(i ^ 7) as usize % 4])
}

fn bucket(i: u64) -> Bucket {
    Bucket::of(&mix(i ^ 0xb0c4).to_be_bytes())
}

fn fill(store: &PostgresStore, order: &[u64], at_once: usize) {
    for some in order.chunks(at_once) {
        // Another row comes first and goes again: its place is free for a later one.
        let draft = |i: &u64| Commit::new(bucket(*i)).put(key(i + ROWS), vec![1; 200]);
        let real = |i: &u64| Commit::new(bucket(*i)).put(key(*i), value(*i));
        let gone = |i: &u64| Commit::new(bucket(*i)).delete(key(i + ROWS));
        for commits in [
            some.iter().map(draft).collect::<Vec<_>>(),
            some.iter().map(real).collect(),
            some.iter().map(gone).collect(),
        ] {
            store.commit(&commits).unwrap();
        }
    }
}

/// The rows as they lie in the table's file and in that of its long values, page by page.
fn files(server: &Server, schema: &str) -> Vec<Vec<u8>> {
    server.sql("CHECKPOINT");
    let toast = format!("(SELECT reltoastrelid FROM pg_class WHERE oid = '{schema}.rows'::regclass)");
    let index = format!("'{schema}.rows_pkey'::regclass");
    let paths = format!(
        "SELECT pg_relation_filepath('{schema}.rows'), pg_relation_filepath({toast}), pg_relation_filepath({index})"
    );
    let paths = server.sql(&paths);
    paths.split('|').map(|path| fs::read(server.data().join(path)).unwrap()).collect()
}

/// The order in which the rows' keys first occur in the file.
fn lie(file: &[u8]) -> Vec<u64> {
    let keys: HashMap<Vec<u8>, u64> = (0..2 * ROWS).map(|i| (key(i), i)).collect();
    let mut found = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for window in file.windows(16) {
        if let Some(i) = keys.get(window)
            && seen.insert(*i)
        {
            found.push(*i);
        }
    }
    found
}

fn column(server: &Server, sql: &str) -> Vec<String> {
    server.sql(sql).lines().map(str::to_owned).collect()
}

#[test]
fn after_a_rewrite_the_heap_tells_nothing_of_arrival() {
    let server = Server::start(&["autovacuum = off", "fsync = off"]);
    let histories = [(shuffled(ROWS, 1), 1), (shuffled(ROWS, 2), 13)];
    let stores = histories.each_ref().map(|(order, at_once)| {
        let schema = fresh_schema();
        let store = unjoin_test_util::postgres::store_of(server.config(&schema)).unwrap();
        fill(&store, order, *at_once);
        (schema, store)
    });
    let physical = |schema: &str| {
        column(&server, &format!("SELECT bucket, encode(key, 'hex') FROM {schema}.rows ORDER BY ctid"))
    };
    let writers = |schema: &str| server.sql(&format!("SELECT count(DISTINCT xmin::text) FROM {schema}.rows"));
    // Before: the heap is the order of arrival, and so are the transactions' numbers.
    for ((schema, _), (order, at_once)) in stores.iter().zip(&histories) {
        let own: Vec<String> =
            order.iter().map(|i| format!("{}|{}", bucket(*i).number(), hex(&key(*i)))).collect();
        let ranks: HashMap<&String, u64> = own.iter().zip(0..).collect();
        let found: Vec<u64> = physical(schema).iter().map(|row| ranks[row]).collect();
        let arrival: Vec<u64> = (0..ROWS).collect();
        assert!(rank_correlation(&found, &arrival) > 0.9, "{}", rank_correlation(&found, &arrival));
        assert_eq!(writers(schema), ROWS.div_ceil(*at_once as u64).to_string());
    }
    for (schema, store) in &stores {
        store.rewrite().unwrap();
        // Every system column: the place (below), the writer, the deleter.
        assert_eq!(writers(schema), "1");
        assert_eq!(server.sql(&format!("SELECT count(*) FROM {schema}.rows WHERE xmax::text <> '0'")), "0");
        // Nothing is sampled of the rows' contents.
        server.sql(&format!("ANALYZE {schema}.rows"));
        assert_eq!(
            server.sql(&format!(
                "SELECT count(*) FROM pg_stats WHERE schemaname = '{schema}' AND tablename = 'rows'"
            )),
            "0"
        );
    }
    // Where a row lies follows from the rows: in key order, but for small ones that fill a page up.
    let [one, other] = stores.each_ref().map(|(schema, _)| {
        column(&server, &format!("SELECT ctid, bucket, encode(key, 'hex') FROM {schema}.rows ORDER BY ctid"))
    });
    assert_eq!(one, other, "the place of a row tells when it arrived");
    // The files themselves: no deleted row is left, and the place of each is the same in both.
    let [one, other] = stores.each_ref().map(|(schema, _)| files(&server, schema));
    for ((one, other), what) in one.iter().zip(&other).zip(["rows", "long values", "index"]) {
        assert_eq!(one.len(), other.len(), "{what}");
        let (found, twin) = (lie(one), lie(other));
        assert!(found.iter().all(|i| *i < ROWS), "{what}: a deleted row is still there");
        assert_eq!(found, twin, "{what}: the order of arrival can be told");
    }
    assert_eq!(lie(&one[0]).len() as u64, ROWS);
    let dead = server.psql("CREATE EXTENSION pageinspect");
    if dead.status.success() {
        let (schema, _) = &stores[0];
        let pages = format!("generate_series(0, pg_relation_size('{schema}.rows') / 8192 - 1) AS page");
        let items = format!(
            "SELECT count(*) FROM {pages}, heap_page_items(get_raw_page('{schema}.rows', page::int)) WHERE lp_flags <> 1"
        );
        assert_eq!(server.sql(&items), "0", "every place in every page is a row");
    }
}

/// Whoever writes while rows are written anew waits, and finds the fresh table.
#[test]
fn a_rewrite_that_is_cut_off_leaves_every_row() {
    let server = Server::start(&[]);
    let config = server.config("desk");
    let store = unjoin_test_util::postgres::store_of(config.clone()).unwrap();
    fill(&store, &shuffled(ROWS, 3), 50);
    let count = || server.sql("SELECT count(*) FROM desk.rows");
    // Something else holds the table, and the rewrite's time runs out.
    let mut impatient = config;
    impatient.rewrite_timeout = std::time::Duration::from_millis(300);
    let impatient = unjoin_test_util::postgres::store_of(impatient).unwrap();
    let lock = server.hold("LOCK TABLE desk.rows IN ACCESS SHARE MODE");
    let error = impatient.rewrite().unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("took too long"), "{error}");
    drop(lock);
    assert_eq!(count(), ROWS.to_string());
    assert_eq!(server.sql("SELECT count(*) FROM pg_class WHERE relname = 'rows_fresh'"), "0");
    store.rewrite().unwrap();
    assert_eq!(count(), ROWS.to_string());
}
