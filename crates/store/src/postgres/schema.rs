//! The tables: their layout's number, the steps from one layout to the next, and writing all rows
//! again.

use super::error::{Failure, PostgresError};
use super::pool::{Connection, GRACE, Request, Shared};
use super::session::Session;
use crate::identity::{NAMESPACE, own_bucket};
use crate::{SCHEMA_VERSION, StoreError};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

/// The step from each layout to the next; the first makes the tables. `{schema}` is the schema.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [CREATE_ROWS];

/// No column but what a row is: no time, no counter. The primary key leads with the bucket, which
/// is the distribution column where the table is sharded.
const CREATE_ROWS: &str = "CREATE TABLE {schema}.rows (bucket int2 NOT NULL, key bytea NOT NULL, \
    value bytea NOT NULL, PRIMARY KEY (bucket, key))";

/// PostgreSQL only. Statistics would keep samples of keys and values, of deleted rows too; what is
/// sealed does not compress; and a row of some kilobytes needs no second table.
const TUNE: &str = "ALTER TABLE {rows} ALTER COLUMN key SET STATISTICS 0, \
    ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN bucket SET STATISTICS 0, \
    ALTER COLUMN value SET STORAGE EXTERNAL, SET (toast_tuple_target = 8160)";

/// How often others may make the same tables at the same moment.
const ROUNDS: usize = 32;

/// The layout's number, if there is a store.
async fn found(client: &Client, schema: &str) -> Result<Option<u32>, StoreError> {
    let sql = format!("SELECT value FROM {schema}.meta WHERE name = 'schema'");
    match text(client, &sql).await {
        Ok(value) => {
            let value = value.and_then(|value| value.parse().ok());
            Ok(Some(value.ok_or(StoreError::Corrupt("layout number"))?))
        }
        Err(error) if not_there(&error) => Ok(None),
        Err(error) => Err(PostgresError::from(error).into()),
    }
}

/// The first column of the only row, if there is one. No statement is named for it.
async fn text(client: &Client, sql: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let answers = client.simple_query(sql).await?;
    let mut rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(rows.next().filter(|_| rows.next().is_none()).map(str::to_owned))
}

fn not_there(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME))
}

/// That the store has this build's layout: asked on every connection.
pub(super) async fn check(client: &Client, schema: &str) -> Result<(), StoreError> {
    match found(client, schema).await? {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(found) => Err(StoreError::Schema { found, expected: SCHEMA_VERSION }),
        None => Err(StoreError::Corrupt("layout number")),
    }
}

/// Makes the tables, or brings them up to this build's layout, unless they hold rows. Several processes may do it at the
/// same time.
pub(super) async fn create_or_migrate(session: &Session, schema: &str) -> Result<(), StoreError> {
    bring_up(session, schema, &MIGRATIONS).await?;
    let bucket = own_bucket().number();
    let others = format!(
        "SELECT 1 FROM {schema}.rows WHERE bucket <> {bucket} OR substring(key FROM 1 FOR 1) <> '{NAMESPACE}' LIMIT 1"
    );
    match text(&session.client, &others).await.map_err(PostgresError::from)? {
        None => Ok(()),
        Some(_) => Err(StoreError::Exists),
    }
}

/// Brings the tables up to this build's layout, if there are any.
pub(super) async fn open_or_migrate(session: &Session, schema: &str) -> Result<(), StoreError> {
    match found(&session.client, schema).await? {
        None | Some(0) => return Err(StoreError::Missing("schema, or one of its tables,")),
        Some(_) => bring_up(session, schema, &MIGRATIONS).await?,
    }
    match text(&session.client, &format!("SELECT 1 FROM {schema}.rows LIMIT 1")).await {
        Ok(_) => Ok(()),
        Err(error) if not_there(&error) => Err(StoreError::Missing("table of rows")),
        Err(error) => Err(PostgresError::from(error).into()),
    }
}

async fn bring_up(session: &Session, schema: &str, migrations: &[&str]) -> Result<(), StoreError> {
    let client = &session.client;
    let expected = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    // Without a right to create anything, a store that is there can be used all the same.
    match found(client, schema).await? {
        Some(version) if version == expected => return Ok(()),
        Some(found) if found > expected => return Err(StoreError::Schema { found, expected }),
        _ => {}
    }
    for _ in 0..ROUNDS {
        match step(session, schema, migrations).await {
            Ok(()) => return Ok(()),
            Err(StepError::Store(error)) => return Err(error),
            Err(StepError::Server(error)) => {
                let _ = client.batch_execute("ROLLBACK").await;
                // Two that create the same thing: one finds a row of the catalogue taken.
                let code = error.code().map(SqlState::code);
                if !matches!(code, Some("23505" | "42P06" | "42P07" | "40001" | "40P01" | "XX000")) {
                    return Err(PostgresError::from(error).into());
                }
            }
        }
    }
    Err(PostgresError::Contended.into())
}

enum StepError {
    Server(tokio_postgres::Error),
    Store(StoreError),
}

impl From<tokio_postgres::Error> for StepError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

async fn step(session: &Session, schema: &str, migrations: &[&str]) -> Result<(), StepError> {
    let client = &session.client;
    let expected = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found(client, schema).await.map_err(StepError::Store)?.is_none() {
        // One message is one transaction: nobody sees the table without its row.
        client
            .batch_execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS {schema}; \
                 CREATE TABLE IF NOT EXISTS {schema}.meta (name text PRIMARY KEY, value int4 NOT NULL); \
                 INSERT INTO {schema}.meta VALUES ('schema', 0) ON CONFLICT DO NOTHING"
            ))
            .await?;
    }
    let begun = session.begin("BEGIN ISOLATION LEVEL READ COMMITTED").await;
    begun.map_err(|error| StepError::Store(error.into()))?;
    let lock = format!("SELECT value FROM {schema}.meta WHERE name = 'schema' FOR UPDATE");
    let value = text(client, &lock).await?.and_then(|value| value.parse().ok());
    let version: u32 = value.unwrap_or(u32::MAX);
    let Some(steps) = migrations.get(version as usize..) else {
        client.batch_execute("ROLLBACK").await?;
        return Err(StepError::Store(StoreError::Schema { found: version, expected }));
    };
    for sql in steps {
        client.batch_execute(&sql.replace("{schema}", schema)).await?;
    }
    if version == 0 && is_postgresql(client).await? {
        client.batch_execute(&TUNE.replace("{rows}", &format!("{schema}.rows"))).await?;
    }
    client
        .batch_execute(&format!("UPDATE {schema}.meta SET value = {expected} WHERE name = 'schema'"))
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

async fn is_postgresql(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let version = text(client, "SELECT version()").await?;
    Ok(version.is_some_and(|version| version.starts_with("PostgreSQL")))
}

/// Every row again, in key order.
///
/// A fresh table, filled by one transaction: all its rows bear that transaction's number, lie in
/// key order, and its index is built over them at once. `CLUSTER` and `VACUUM FULL` would keep the
/// number of the transaction that each row came with, which is the order of arrival.
pub(super) struct Rewrite;

impl Request for Rewrite {
    type Answer = ();

    async fn serve(&self, connection: &Connection, shared: &Shared) -> Result<(), Failure> {
        let session = &connection.session;
        let limit = shared.rewrite_timeout.saturating_add(GRACE);
        match timeout(limit, rewrite(session, shared)).await.map_err(|_| PostgresError::Timeout)? {
            Ok(()) => Ok(()),
            Err(error) => match session.client.batch_execute("ROLLBACK").await {
                Ok(()) => Err(error.into()),
                Err(_) => Err(Failure::Final(error.into())),
            },
        }
    }
}

async fn rewrite(session: &Session, shared: &Shared) -> Result<(), PostgresError> {
    let (client, Shared { rows, schema, .. }) = (&session.client, shared);
    let limit = shared.rewrite_timeout.as_millis();
    let fresh = format!("{schema}.rows_fresh");
    let create = CREATE_ROWS.replace("{schema}.rows", &fresh).replace(", PRIMARY KEY (bucket, key)", "");
    let tune = if is_postgresql(client).await? { TUNE.replace("{rows}", &fresh) } else { String::new() };
    session.begin("/* unjoin rewrite */ BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    client
        .batch_execute(&format!(
            "/* unjoin rewrite */ \
             SET LOCAL statement_timeout = {limit}; \
             LOCK TABLE {rows} IN ACCESS EXCLUSIVE MODE; \
             DROP TABLE IF EXISTS {fresh}; {create}; {tune}; \
             SET LOCAL enable_seqscan = on;"
        ))
        .await?;
    client
        .batch_execute(&format!(
            "/* unjoin rewrite */ \
             INSERT INTO {fresh} SELECT bucket, key, value FROM {rows} ORDER BY bucket, key; \
             DROP TABLE {rows}; ALTER TABLE {fresh} RENAME TO rows; \
             ALTER TABLE {rows} ADD PRIMARY KEY (bucket, key);"
        ))
        .await?;
    Ok(client.batch_execute("/* unjoin rewrite */ COMMIT").await?)
}

#[cfg(test)]
use unjoin_test_util::postgres as server;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio_postgres::NoTls;

    const NEXT: &str = "ALTER TABLE {schema}.rows ADD COLUMN more bytea NOT NULL DEFAULT ''";

    async fn session(address: &str) -> Session {
        let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
        tokio::spawn(connection);
        Session::begin_with(client, Arc::default(), "SELECT 1").await.unwrap()
    }

    /// Runs on a server's schema, named to it behind the server's address.
    fn on_a_server(run: impl AsyncFnOnce(&str, &str)) -> (Arc<server::Server>, String) {
        let (server, schema) = (server::Server::shared(), server::fresh_schema());
        let address = format!("{} dbname=postgres", server.address());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&address, &schema));
        (server, schema)
    }

    /// Ten processes that hold the next layout open a store of this one at the same moment.
    #[test]
    fn an_earlier_layout_is_brought_forward_once_and_keeps_its_rows() {
        let (server, schema) = on_a_server(async |address, schema| {
            let first = session(address).await;
            bring_up(&first, schema, &MIGRATIONS).await.unwrap();
            first
                .client
                .batch_execute(&format!("INSERT INTO {schema}.rows VALUES (1, 'key', 'value')"))
                .await
                .unwrap();
            let next = [CREATE_ROWS, NEXT];
            let opening: Vec<_> = (0..10)
                .map(|_| {
                    let (address, schema) = (address.to_owned(), schema.to_owned());
                    tokio::spawn(async move { bring_up(&session(&address).await, &schema, &next).await })
                })
                .collect();
            for opened in opening {
                opened.await.unwrap().unwrap();
            }
            // This build's processes are refused from their next connection on.
            let refused = check(&first.client, schema).await.unwrap_err();
            assert!(matches!(refused, StoreError::Schema { found: 2, expected: SCHEMA_VERSION }));
            let refused = bring_up(&first, schema, &MIGRATIONS).await.unwrap_err();
            assert!(matches!(refused, StoreError::Schema { found: 2, expected: SCHEMA_VERSION }));
        });
        assert_eq!(
            server.sql(&format!("SELECT bucket, value, more FROM {schema}.rows")),
            "1|\\x76616c7565|\\x"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_layout_as_it_was() {
        on_a_server(async |address, schema| {
            let session = session(address).await;
            bring_up(&session, schema, &MIGRATIONS).await.unwrap();
            let broken = [CREATE_ROWS, NEXT, "ALTER TABLE {schema}.nowhere ADD COLUMN more bytea"];
            assert!(bring_up(&session, schema, &broken).await.is_err());
            check(&session.client, schema).await.unwrap();
            let columns = format!("SELECT * FROM {schema}.rows");
            assert_eq!(session.client.prepare(&columns).await.unwrap().columns().len(), 3);
        });
    }
}
