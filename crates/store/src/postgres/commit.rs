//! A call of commits as one transaction.
//!
//! Rows that are there are locked in key order and judged as they are then. A row that is absent cannot
//! be locked, so an advisory lock stands for it: a transaction that inserts it holds that alone, one that rests on its
//! absence holds it together with others, and then looks again. A row that has come in between has won: the whole
//! begins again. So every key that an applied commit names is held from before it is judged, or is found unchanged
//! after, until the end: strict two-phase locking, whatever the isolation level.
//!
//! The server has a fixed number of places for such locks. A transaction that needs many, or finds none free, takes
//! one on the whole store instead, which all others hold together.
//!
//! No two transactions wait for each other: all take the store's lock first, then those of rows in the order of
//! (bucket, key), and only then those of absent rows, in the order of their numbers. Who inserts waits for nobody.

use super::Isolation;
use super::error::{Failure, PostgresError};
use super::plan::{Changes, Found, evaluate, keys_of_commits};
use super::pool::{Connection, Request, Shared};
use super::session::Session;
use super::statements::{Answer, At, Values, pipelined};
use crate::{Commit, Outcome, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::error::SqlState;

/// Commits that share a transaction, each with its place in the call.
pub(super) struct Transaction<'a> {
    commits: Vec<(usize, &'a Commit)>,
    /// Whether it holds the whole store: it has found that it needs more locks than it may have.
    is_alone: AtomicBool,
}

impl Request for Transaction<'_> {
    type Answer = Vec<Outcome>;

    async fn serve(&self, connection: &Connection, shared: &Shared) -> Result<Vec<Outcome>, Failure> {
        let session = &connection.session;
        let outcomes = match shared.within(session, self.prepare(connection, shared)).await? {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                let failure = self.or_alone(failure);
                // A connection that cannot roll back is not used again, and has rolled back.
                return match shared.within(session, session.client.batch_execute("ROLLBACK")).await {
                    Ok(Ok(())) => Err(failure),
                    _ => Err(match failure {
                        Failure::Again => Failure::Disconnected(PostgresError::Disconnected),
                        other => other,
                    }),
                };
            }
        };
        session.has_warned();
        let commit = session.client.batch_execute("/* unjoin commit */ COMMIT");
        let committed = shared.within(session, commit).await;
        match committed.map(|answer| answer.map_err(PostgresError::from)) {
            // A standby was not waited for, or there was no transaction: the answer is worth nothing.
            Ok(Ok(())) if session.has_warned() => Err(unknown()),
            Ok(Ok(())) => Ok(outcomes),
            Ok(Err(PostgresError::Contended)) => Err(Failure::Again),
            _ => Err(unknown()),
        }
    }
}

/// Asked again, every decision finds what it did.
fn unknown() -> Failure {
    Failure::Final(PostgresError::CommitUnknown.into())
}

impl<'a> Transaction<'a> {
    pub(super) fn of(commits: Vec<(usize, &'a Commit)>) -> Self {
        Self { commits, is_alone: AtomicBool::new(false) }
    }

    /// Where the server has no place for another lock, the whole store is held from now on.
    fn or_alone(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Final(error)
                if is_out_of_locks(&error) && !self.is_alone.swap(true, Ordering::Relaxed) =>
            {
                Failure::Again
            }
            other => other,
        }
    }

    /// Everything but COMMIT.
    async fn prepare(&self, connection: &Connection, shared: &Shared) -> Result<Vec<Outcome>, Failure> {
        let keys: Vec<At<'_>> =
            keys_of_commits(self.commits.iter().map(|(_, commit)| *commit)).into_iter().collect();
        let is_alone = self.is_alone.load(Ordering::Relaxed);
        let values = lock(connection, &begin(shared, is_alone), &keys).await?;
        let rows = keys.into_iter().zip(values);
        let found: Found<'_> = rows.filter_map(|(at, value)| Some((at, value?))).collect();
        let (outcomes, changes) = evaluate(self.commits.iter().copied(), &found);
        let mut locks = Vec::new();
        if !is_alone {
            if changes.held() > connection.session.most_held {
                self.is_alone.store(true, Ordering::Relaxed);
                return Err(Failure::Again);
            }
            locks = changes.locks(shared.lock);
        }
        write(connection, &locks, &changes).await?;
        Ok(outcomes)
    }
}

fn is_out_of_locks(error: &StoreError) -> bool {
    let StoreError::Engine(source) = error else { return false };
    let out = SqlState::OUT_OF_MEMORY.code();
    matches!(source.downcast_ref(), Some(PostgresError::Resources(code)) if code == out)
}

/// Begins, proves the session, and locks what is there, in key order: one round trip.
async fn lock(connection: &Connection, begin: &str, keys: &[At<'_>]) -> Result<Values, Failure> {
    let Connection { session, statements } = connection;
    let begun = async {
        session.begin(begin).await?;
        Ok(Values::new())
    };
    let requests: Vec<Answer<'_, Values>> =
        vec![Box::pin(begun), Box::pin(statements.lock(&session.client, keys))];
    let answers: Vec<Values> = pipelined(requests).await.into_iter().collect::<Result<_, _>>()?;
    Ok(answers.into_iter().flatten().collect())
}

/// The store's lock, before all others. Under SERIALIZABLE a snapshot from before a rewrite would show the fresh table
/// as empty: the table is locked before there is a snapshot.
fn begin(shared: &Shared, is_alone: bool) -> String {
    let level = match shared.isolation {
        Isolation::ReadCommitted => "READ COMMITTED".to_owned(),
        Isolation::Serializable => format!("SERIALIZABLE; LOCK TABLE {} IN ROW EXCLUSIVE MODE", shared.rows),
    };
    let way = if is_alone { "" } else { "_shared" };
    format!(
        "/* unjoin commit */ BEGIN ISOLATION LEVEL {level}; SELECT pg_advisory_xact_lock{way}({})",
        shared.lock
    )
}

/// Writes, and finds whether every row was as it was judged: one round trip.
async fn write(connection: &Connection, locks: &[(i64, bool)], changes: &Changes<'_>) -> Result<(), Failure> {
    let Connection { session: Session { client, .. }, statements } = connection;
    let Changes { insert, absent, replace, delete } = changes;
    let mut requests: Vec<Answer<'_, u64>> = Vec::new();
    let mut expected = Vec::new();
    if !locks.is_empty() {
        requests.push(Box::pin(statements.hold(client, locks)));
        expected.push(0);
    }
    // What has come since is seen only by a statement that begins when the locks are held.
    if !absent.is_empty() {
        requests.push(Box::pin(statements.come(client, absent)));
        expected.push(0);
    }
    if !insert.is_empty() {
        requests.push(Box::pin(statements.insert(client, insert)));
        expected.push(insert.len());
    }
    if !replace.is_empty() {
        requests.push(Box::pin(statements.replace(client, replace)));
        expected.push(replace.len());
    }
    for (bucket, keys) in delete {
        requests.push(Box::pin(statements.delete(client, *bucket, keys)));
        expected.push(keys.len());
    }
    for (answer, expected) in pipelined(requests).await.into_iter().zip(expected) {
        if answer? != expected as u64 {
            return Err(Failure::Again);
        }
    }
    Ok(())
}
