//! A session of the server that is this connection's alone, and the proof of it.
//!
//! Prepared statements and settings are the session's. A pooler that gives each transaction to
//! whichever session is free runs one store's statements as another's. So every connection leaves
//! a random word in its session, and every transaction begins by reading it again, in the round
//! trip of its BEGIN: nothing is read or committed on the word of another session. Within a
//! transaction no pooler changes the session, and nothing on rows runs outside of one.

use super::error::PostgresError;
use super::pool::Shared;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};
use unjoin_core::secret::{SystemRng, below};

/// How long an opening waits for the second session that it looks with.
const SECOND: Duration = Duration::from_secs(2);

/// Places for locks where the server does not tell: those of its defaults.
const PLACES: usize = 6400;

/// A connection, and what its session is known by.
pub(super) struct Session {
    pub(super) client: Client,
    /// The server's process that serves it. A pooler may set the word again in another session.
    process: String,
    word: String,
    /// The server's process that began all others: which server this is, until it restarts.
    pub(super) server: String,
    /// The most absent rows that one transaction holds one by one: an eighth of the places that the server has for
    /// locks, which all sessions share.
    pub(super) most_held: usize,
    warned: Arc<AtomicBool>,
}

impl Session {
    /// Sets up the session: `settings`, and the word.
    pub(super) async fn begin_with(
        client: Client,
        warned: Arc<AtomicBool>,
        settings: &str,
    ) -> Result<Self, PostgresError> {
        let word = format!("{:016x}", below(u64::MAX, &mut SystemRng::new()));
        let sql = format!(
            "{settings}; SELECT set_config('unjoin.session', '{word}', false), pg_backend_pid(), \
             pg_postmaster_start_time(), \
             current_setting('max_locks_per_transaction', true)::int8 * current_setting('max_connections', true)::int8"
        );
        let [_, process, server, places] = last_row(&client, &sql).await?;
        let most_held = places.parse().unwrap_or(PLACES) / 8;
        Ok(Self { client, process, word, server, most_held, warned })
    }

    /// Begins a transaction with these statements, and proves that it is in this session.
    pub(super) async fn begin(&self, statements: &str) -> Result<(), PostgresError> {
        let sql = format!("{statements}; SELECT current_setting('unjoin.session', true), pg_backend_pid()");
        let [word, process] = last_row(&self.client, &sql).await?;
        if (&word, &process) == (&self.word, &self.process) { Ok(()) } else { Err(PostgresError::Pooler) }
    }

    /// A transaction that does nothing but prove the session.
    async fn look(&self) -> Result<(), PostgresError> {
        self.begin("/* unjoin session */ BEGIN").await?;
        self.end().await
    }

    async fn end(&self) -> Result<(), PostgresError> {
        Ok(self.client.batch_execute("/* unjoin session */ ROLLBACK").await?)
    }

    /// Whether the server has warned since the last time this was asked.
    pub(super) fn has_warned(&self) -> bool {
        self.warned.swap(false, Ordering::AcqRel)
    }
}

/// The first columns of the last row that the statements answer.
async fn last_row<const COLUMNS: usize>(
    client: &Client,
    sql: &str,
) -> Result<[String; COLUMNS], PostgresError> {
    let answers = client.simple_query(sql).await?;
    let row = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let column = |row: &SimpleQueryRow, at| row.try_get(at).ok().flatten().unwrap_or_default().to_owned();
    row.map(|row| std::array::from_fn(|at| column(row, at))).ok_or(PostgresError::Protocol)
}

/// A session, proved beside a second one.
///
/// Alone on a pooler that is idle it would get the same session every time. Two at once cannot: the
/// second writes its own word over the first's, or takes the session that the first had while it is
/// in a transaction. Where the second finds no place the first stands alone, and its later
/// transactions are proved all the same.
pub(super) async fn proved(shared: &Shared) -> Result<Session, PostgresError> {
    let one = shared.session().await?;
    one.look().await?;
    let Ok(Ok(other)) = timeout(SECOND, shared.session()).await else { return Ok(one) };
    one.look().await?;
    other.begin("/* unjoin session */ BEGIN").await?;
    one.look().await?;
    other.end().await?;
    Ok(one)
}
