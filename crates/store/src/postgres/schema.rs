//! The tables: their layout's number, the steps from one layout to the next, and writing all rows
//! anew.

use super::error::{Failure, PostgresError};
use super::pool::{Connection, GRACE, Request, Shared};
use crate::identity::{NAMESPACE, own_bucket};
use crate::{SCHEMA_VERSION, StoreError};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

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
    let rows = match client.query(&sql, &[]).await {
        Ok(rows) => rows,
        Err(error) if not_there(&error) => return Ok(None),
        Err(error) => return Err(PostgresError::from(error).into()),
    };
    let [row] = rows.as_slice() else { return Err(StoreError::Corrupt("layout number")) };
    let value: i32 = row.try_get(0).map_err(|_| StoreError::Corrupt("layout number"))?;
    Ok(Some(u32::try_from(value).map_err(|_| StoreError::Corrupt("layout number"))?))
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
pub(super) async fn create_or_migrate(client: &Client, schema: &str) -> Result<(), StoreError> {
    bring_up(client, schema, &MIGRATIONS).await?;
    let bucket = own_bucket().number();
    let others = format!(
        "SELECT 1 FROM {schema}.rows WHERE bucket <> {bucket} OR substring(key FROM 1 FOR 1) <> '{NAMESPACE}' LIMIT 1"
    );
    match client.query(&others, &[]).await.map_err(PostgresError::from)?.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Exists),
    }
}

/// Brings the tables up to this build's layout, if there are any.
pub(super) async fn open_or_migrate(client: &Client, schema: &str) -> Result<(), StoreError> {
    match found(client, schema).await? {
        None | Some(0) => return Err(StoreError::Missing("schema, or one of its tables,")),
        Some(_) => bring_up(client, schema, &MIGRATIONS).await?,
    }
    match client.query(&format!("SELECT 1 FROM {schema}.rows LIMIT 1"), &[]).await {
        Ok(_) => Ok(()),
        Err(error) if not_there(&error) => Err(StoreError::Missing("table of rows")),
        Err(error) => Err(PostgresError::from(error).into()),
    }
}

async fn bring_up(client: &Client, schema: &str, migrations: &[&str]) -> Result<(), StoreError> {
    let expected = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    // Without a right to create anything, a store that is there can be used all the same.
    match found(client, schema).await? {
        Some(version) if version == expected => return Ok(()),
        Some(found) if found > expected => return Err(StoreError::Schema { found, expected }),
        _ => {}
    }
    for _ in 0..ROUNDS {
        match step(client, schema, migrations).await {
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

async fn step(client: &Client, schema: &str, migrations: &[&str]) -> Result<(), StepError> {
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
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let lock = format!("SELECT value FROM {schema}.meta WHERE name = 'schema' FOR UPDATE");
    let value: i32 = client.query_one(&lock, &[]).await?.try_get(0)?;
    let version = u32::try_from(value).unwrap_or(u32::MAX);
    let Some(steps) = migrations.get(value.unsigned_abs() as usize..).filter(|_| value >= 0) else {
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
    let version: String = client.query_one("SELECT version()", &[]).await?.try_get(0)?;
    Ok(version.starts_with("PostgreSQL"))
}

/// Every row anew, in key order.
///
/// A fresh table, filled by one transaction: all its rows bear that transaction's number, lie in
/// key order, and its index is built over them at once. `CLUSTER` and `VACUUM FULL` would keep the
/// number of the transaction that each row came with, which is the order of arrival.
pub(super) struct Rewrite;

impl Request for Rewrite {
    type Answer = ();

    async fn serve(&self, connection: &Connection, shared: &Shared) -> Result<(), Failure> {
        let client = &connection.client;
        let limit = shared.rewrite_timeout.saturating_add(GRACE);
        match timeout(limit, rewrite(client, shared)).await.map_err(|_| PostgresError::Timeout)? {
            Ok(()) => Ok(()),
            Err(error) => match client.batch_execute("ROLLBACK").await {
                Ok(()) => Err(error.into()),
                Err(_) => Err(Failure::Final(PostgresError::from(error).into())),
            },
        }
    }
}

async fn rewrite(client: &Client, shared: &Shared) -> Result<(), tokio_postgres::Error> {
    let Shared { rows, schema, .. } = shared;
    let limit = shared.rewrite_timeout.as_millis();
    let fresh = format!("{schema}.rows_fresh");
    let create = CREATE_ROWS.replace("{schema}.rows", &fresh).replace(", PRIMARY KEY (bucket, key)", "");
    let tune = if is_postgresql(client).await? { TUNE.replace("{rows}", &fresh) } else { String::new() };
    client
        .batch_execute(&format!(
            "/* unjoin rewrite */ BEGIN ISOLATION LEVEL READ COMMITTED; \
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
    client.batch_execute("/* unjoin rewrite */ COMMIT").await
}

#[cfg(test)]
use unjoin_test_util::postgres as server;

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails where it panics"
)]
mod tests {
    use super::*;
    use tokio_postgres::NoTls;

    const NEXT: &str = "ALTER TABLE {schema}.rows ADD COLUMN more bytea NOT NULL DEFAULT ''";

    async fn client(address: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Ten processes that hold the next layout open a store of this one at the same moment.
    #[test]
    fn an_earlier_layout_is_brought_forward_once_and_keeps_its_rows() {
        let server = server::Server::shared();
        let address = format!("{} dbname=postgres", server.address());
        let schema = server::fresh_schema();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let first = client(&address).await;
            bring_up(&first, &schema, &MIGRATIONS).await.unwrap();
            first
                .batch_execute(&format!("INSERT INTO {schema}.rows VALUES (1, 'key', 'value')"))
                .await
                .unwrap();
            let next = [CREATE_ROWS, NEXT];
            let opening: Vec<_> = (0..10)
                .map(|_| {
                    let (address, schema) = (address.clone(), schema.clone());
                    tokio::spawn(async move { bring_up(&client(&address).await, &schema, &next).await })
                })
                .collect();
            for opened in opening {
                opened.await.unwrap().unwrap();
            }
            // This build's processes are refused from their next connection on.
            let refused = check(&first, &schema).await.unwrap_err();
            assert!(matches!(refused, StoreError::Schema { found: 2, expected: SCHEMA_VERSION }));
            let refused = bring_up(&first, &schema, &MIGRATIONS).await.unwrap_err();
            assert!(matches!(refused, StoreError::Schema { found: 2, expected: SCHEMA_VERSION }));
        });
        assert_eq!(
            server.sql(&format!("SELECT bucket, value, more FROM {schema}.rows")),
            "1|\\x76616c7565|\\x"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_layout_as_it_was() {
        let server = server::Server::shared();
        let address = format!("{} dbname=postgres", server.address());
        let schema = server::fresh_schema();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = client(&address).await;
            bring_up(&client, &schema, &MIGRATIONS).await.unwrap();
            let broken = [CREATE_ROWS, NEXT, "ALTER TABLE {schema}.nowhere ADD COLUMN more bytea"];
            assert!(bring_up(&client, &schema, &broken).await.is_err());
            check(&client, &schema).await.unwrap();
            let columns = format!("SELECT * FROM {schema}.rows");
            assert_eq!(client.prepare(&columns).await.unwrap().columns().len(), 3);
        });
    }
}
