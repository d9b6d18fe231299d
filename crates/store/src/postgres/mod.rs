//! The shared engine: many processes on one PostgreSQL, through the `tokio-postgres` crate.
//!
//! ```text
//! table meta:  name text primary key, value int4        ('schema', SCHEMA_VERSION)
//! table rows:  bucket int2, key bytea, value bytea      primary key (bucket, key)
//! ```
//!
//! How a commit works, and why it is right, is told in the manual's chapter on PostgreSQL, in the
//! crate `unjoin`.

mod address;
mod commit;
mod error;
mod plan;
mod pool;
mod schema;
mod session;
mod snapshot;
mod statements;

pub use self::error::PostgresError;
pub use tokio_postgres;

use self::commit::Transaction;
use self::error::Failure;
use self::plan::{keys_of_rows, transactions};
use self::pool::{Connection, Pool, Request, Shared};
use self::statements::{At, read_only};
use super::call::{reached, settle};
use super::{Bucket, Commit, MAX_KEY, Outcome, Row, RowKey, See, Store, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{NoTls, Socket};

/// The isolation level of commits.
///
/// ```
/// use unjoin_store::postgres::{Isolation, PostgresConfig};
/// let mut config = PostgresConfig::new("host=db1 user=desk dbname=reviews");
/// assert_eq!(config.isolation, Isolation::ReadCommitted);
/// config.isolation = Isolation::Serializable; // for a server that must have it
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// READ COMMITTED: the locks that a commit takes make it serializable.
    ReadCommitted,
    /// SERIALIZABLE: for servers that must have it; the same locks, and more begins again.
    Serializable,
}

/// Where the server is, and how it is used.
///
/// ```
/// use unjoin_store::postgres::PostgresConfig;
/// let mut config = PostgresConfig::new("host=db1,db2 user=desk password=secret dbname=reviews");
/// config.connections = 16;
/// config.schema = "desk".to_owned();
/// // It may be written into a log.
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct PostgresConfig {
    /// A connection string in libpq's form: `host=... user=... password=... dbname=...`, or a
    /// `postgresql://` URL. Several hosts may be in it; the first that accepts writes is used.
    /// It may hold a password, and is never printed.
    pub connection: String,
    /// The schema of the store's tables. Two stores need two: issuer and
    /// desk best have two databases and two roles.
    pub schema: String,
    /// The most connections; a transaction needs one for its duration.
    pub connections: usize,
    /// The isolation level of commits.
    pub isolation: Isolation,
    /// A transaction for each bucket of a call, at the same time, instead of one for all: for a
    /// server that spreads its rows, where a transaction over two places costs more than two.
    pub one_bucket_each: bool,
    /// The most that one statement may take on the server, waiting for locks included.
    pub statement_timeout: Duration,
    /// The most that writing all rows again may take; statements of others wait meanwhile, within
    /// their own limit.
    pub rewrite_timeout: Duration,
    /// The most that a call waits for a connection to become free.
    pub pool_timeout: Duration,
}

impl PostgresConfig {
    /// This server; schema `unjoin`, 8 connections, READ COMMITTED, 30 s for a statement, an hour
    /// for a rewrite, 10 s for a connection.
    pub fn new(connection: impl Into<String>) -> Self {
        Self {
            connection: connection.into(),
            schema: "unjoin".to_owned(),
            connections: 8,
            isolation: Isolation::ReadCommitted,
            one_bucket_each: false,
            statement_timeout: Duration::from_secs(30),
            rewrite_timeout: Duration::from_secs(3600),
            pool_timeout: Duration::from_secs(10),
        }
    }
}

// Prints no connection string: it may hold a password.
unjoin_core::opaque!(
    PostgresConfig | config | schema = config.schema,
    connections = config.connections,
    isolation = config.isolation
);

/// A store on a PostgreSQL server, shared by any number of processes.
///
/// [`commit`](Store::commit) returns after the server has made the transaction durable, on its
/// synchronous standbys too, if it has any. One call is one transaction of three round trips,
/// however many commits it carries.
///
/// All calls block; they may be made within any asynchronous runtime, whose worker they then
/// occupy. A thread of the store's own drives the connections.
///
/// A call that fails with [`StoreError::Engine`] has a [`PostgresError`] as its source. Connections
/// that break are replaced at the next call; what had not been committed is tried again within the
/// call. When the answer to a COMMIT is lost the call fails: asked again, every decision of this
/// crate finds what it did.
///
/// [`rewrite`](Store::rewrite) fills a fresh table in key order and drops the old one; commits and
/// reads wait meanwhile.
///
/// ```no_run
/// use unjoin_store::postgres::{PostgresConfig, PostgresStore};
/// let mut config = PostgresConfig::new("host=db1,db2 user=desk dbname=reviews");
/// config.schema = "desk".to_owned();
/// let store = PostgresStore::open(config)?;
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub struct PostgresStore {
    pool: Pool,
    one_bucket_each: bool,
}

impl PostgresStore {
    /// Connects without TLS (a socket in the file system, or a network that is trusted), and makes
    /// the schema and the store's tables. What a creation that was interrupted left is made whole, and
    /// a store without rows is taken as it is.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when it holds rows already; otherwise as for [`open`](Self::open).
    pub fn create(config: PostgresConfig) -> Result<Self, StoreError> {
        Self::ready(Pool::start(&config, NoTls, SslMode::Prefer)?, &config, true)
    }

    /// Connects as [`create`](Self::create) does, and makes nothing; tables of an earlier layout are
    /// migrated. A server that came up on an empty disk is no new store.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the schema or its tables are not there;
    /// [`StoreError::Engine`], whose source is a [`PostgresError`], when the server cannot be
    /// reached or refuses; [`StoreError::Schema`] when a later version of the layout is there;
    /// [`StoreError::Corrupt`] when the schema holds something else.
    pub fn open(config: PostgresConfig) -> Result<Self, StoreError> {
        Self::ready(Pool::start(&config, NoTls, SslMode::Prefer)?, &config, false)
    }

    /// As [`create`](Self::create), with a TLS connector of the caller's: any that
    /// works with [`tokio_postgres`] 0.7. A server that offers no TLS is refused, as with
    /// `sslmode=require`, unless the connection string says `sslmode=disable`. What the server's
    /// certificate must be is the connector's to check, against the name after `host=`.
    ///
    /// # Errors
    /// As for [`create`](Self::create); [`PostgresError::Tls`] when TLS does not come about.
    pub fn create_with_tls<T>(config: PostgresConfig, tls: T) -> Result<Self, StoreError>
    where
        T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: Send> + Clone + Send + Sync + 'static,
        T::TlsConnect: TlsConnect<Socket, Future: Send>,
    {
        Self::ready(Pool::start(&config, tls, SslMode::Require)?, &config, true)
    }

    /// As [`open`](Self::open), with a TLS connector: see [`create_with_tls`](Self::create_with_tls).
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`PostgresError::Tls`] when TLS does not come about.
    pub fn open_with_tls<T>(config: PostgresConfig, tls: T) -> Result<Self, StoreError>
    where
        T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: Send> + Clone + Send + Sync + 'static,
        T::TlsConnect: TlsConnect<Socket, Future: Send>,
    {
        Self::ready(Pool::start(&config, tls, SslMode::Require)?, &config, false)
    }

    fn ready(pool: Pool, config: &PostgresConfig, creates: bool) -> Result<Self, StoreError> {
        pool.run(|shared| async move {
            let session = session::proved(&shared).await?;
            match creates {
                true => schema::create_or_migrate(&session, &shared.schema).await,
                false => schema::open_or_migrate(&session, &shared.schema).await,
            }
        })?;
        Ok(Self { pool, one_bucket_each: config.one_bucket_each })
    }
}

// Prints no server and no row.
unjoin_core::opaque!(PostgresStore);

impl Store for PostgresStore {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let request = Read(keys.to_vec());
        self.pool.run(|shared| async move { shared.serve(&request).await })
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let from = match after {
            // The next key in the order of bytes.
            Some(after) if after >= prefix => [after, &[0]].concat(),
            _ => prefix.to_vec(),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let request = Scan { bucket, from, end: end_of(prefix), limit };
        self.pool.run(|shared| async move { shared.serve(&request).await })
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        Commit::check_call(commits)?;
        let stages = transactions(commits, self.one_bucket_each);
        let commits: Arc<[Commit]> = commits.into();
        self.pool.run(move |shared| async move {
            let mut outcomes: Vec<Option<Outcome>> = commits.iter().map(|_| None).collect();
            // What comes later in the call must find what came before it.
            for stage in stages {
                let mut under_way = Vec::new();
                for places in stage.into_values() {
                    let group = reached(&commits, places, &mut outcomes);
                    let (shared, commits) = (Arc::clone(&shared), Arc::clone(&commits));
                    under_way.push(tokio::spawn(async move {
                        let own = group.iter().filter_map(|place| Some((*place, commits.get(*place)?)));
                        let answer = shared.serve(&Transaction::of(own.collect())).await?;
                        Ok::<_, StoreError>((group, answer))
                    }));
                }
                for served in under_way {
                    place(&mut outcomes, served.await)?;
                }
            }
            outcomes.into_iter().map(|outcome| outcome.ok_or(StoreError::Contended)).collect()
        })
    }

    /// One transaction of REPEATABLE READ, in pages.
    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        snapshot::show(&self.pool, see)
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.pool.run(|shared| async move { shared.serve(&schema::Rewrite).await })
    }
}

type Served = Result<Result<(Vec<usize>, Vec<Outcome>), StoreError>, tokio::task::JoinError>;

fn place(outcomes: &mut [Option<Outcome>], served: Served) -> Result<(), StoreError> {
    let (places, answers) = served.map_err(|_| PostgresError::Stopped)??;
    places.into_iter().zip(answers).for_each(|(place, answer)| settle(outcomes, place, answer));
    Ok(())
}

/// The first key after all that begin with `prefix`.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last.saturating_add(1));
            return end;
        }
    }
    // No key that fits is as large.
    vec![u8::MAX; MAX_KEY.saturating_add(1)]
}

struct Read(Vec<RowKey>);

impl Request for Read {
    type Answer = Vec<Option<Vec<u8>>>;

    async fn serve(&self, connection: &Connection, shared: &Shared) -> Result<Self::Answer, Failure> {
        let Connection { session, statements } = connection;
        let keys: Vec<At<'_>> = keys_of_rows(&self.0).into_iter().collect();
        let read = read_only(session, statements.read(&session.client, &keys));
        let values = shared.within(session, read).await??;
        let found: HashMap<At<'_>, Option<Vec<u8>>> = keys.into_iter().zip(values).collect();
        Ok(self.0.iter().map(|at| found.get(&(at.bucket, at.key.as_slice())).cloned().flatten()).collect())
    }
}

struct Scan {
    bucket: Bucket,
    from: Vec<u8>,
    end: Vec<u8>,
    limit: i64,
}

impl Request for Scan {
    type Answer = Vec<Row>;

    async fn serve(&self, connection: &Connection, shared: &Shared) -> Result<Self::Answer, Failure> {
        let Connection { session, statements } = connection;
        let scan = statements.scan(&session.client, self.bucket, &self.from, &self.end, self.limit);
        Ok(shared.within(session, read_only(session, scan)).await??)
    }
}
