//! A call of commits as one transaction.
//!
//! Rows that are there are locked in key order and judged as they are then. A row that is absent cannot
//! be locked, so inserting it is its lock: anybody who inserts the same key waits for the end of this
//! transaction. An insertion that finds the key taken has lost: the whole begins again. So every key
//! that an applied commit names is held from before it is judged, or is found unchanged after, until
//! the end: strict two-phase locking, whatever the isolation level.
//!
//! No two transactions wait for each other: all lock rows in the order of (bucket, key), and only
//! then insert, in the same order; who inserts waits for inserters only.

use super::Isolation;
use super::error::{Failure, PostgresError};
use super::plan::{Changes, Found, evaluate, keys_of_commits};
use super::pool::{Connection, Request, Shared};
use super::session::Session;
use super::statements::{Answer, pipelined};
use crate::{Bucket, Commit, Outcome, Row};
use std::collections::BTreeMap;

/// Commits that share a transaction, each with its place in the call.
pub(super) struct Transaction<'a> {
    pub(super) commits: Vec<(usize, &'a Commit)>,
}

impl Request for Transaction<'_> {
    type Answer = Vec<Outcome>;

    async fn serve(&self, connection: &Connection, shared: &Shared) -> Result<Vec<Outcome>, Failure> {
        let session = &connection.session;
        let outcomes = match shared.within(session, self.prepare(connection, shared)).await? {
            Ok(outcomes) => outcomes,
            Err(failure) => {
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

impl Transaction<'_> {
    /// Everything but COMMIT.
    async fn prepare(&self, connection: &Connection, shared: &Shared) -> Result<Vec<Outcome>, Failure> {
        let keys = keys_of_commits(self.commits.iter().map(|(_, commit)| *commit));
        let by_bucket: Vec<(Bucket, Vec<&[u8]>)> =
            keys.into_iter().map(|(bucket, keys)| (bucket, keys.into_iter().collect())).collect();
        let rows = lock(connection, shared, &by_bucket).await?;
        let mut found = Found::new();
        for ((bucket, keys), rows) in by_bucket.iter().zip(rows) {
            for Row { key, value } in rows {
                // The server returns what was asked for.
                if let Some(key) = keys.iter().find(|asked| **asked == key.as_slice()) {
                    found.insert((*bucket, *key), value);
                }
            }
        }
        let (outcomes, changes) = evaluate(self.commits.iter().copied(), &found);
        write(connection, &changes).await?;
        Ok(outcomes)
    }
}

/// Begins, proves the session, and locks what is there, in key order: one round trip.
async fn lock(
    connection: &Connection,
    shared: &Shared,
    by_bucket: &[(Bucket, Vec<&[u8]>)],
) -> Result<Vec<Vec<Row>>, Failure> {
    let Connection { session, statements } = connection;
    let begin = begin(shared);
    let mut requests: Vec<Answer<'_, Vec<Row>>> = vec![Box::pin(async {
        session.begin(&begin).await?;
        Ok(Vec::new())
    })];
    for (bucket, keys) in by_bucket {
        if !keys.is_empty() {
            requests.push(Box::pin(statements.lock(&session.client, *bucket, keys)));
        }
    }
    let mut answers = pipelined(requests).await.into_iter();
    if let Some(begun) = answers.next() {
        begun?;
    }
    by_bucket
        .iter()
        .map(|(_, keys)| match keys.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(answers.next().transpose()?.unwrap_or_default()),
        })
        .collect()
}

/// Under SERIALIZABLE a snapshot from before a rewrite would show the fresh table as empty: the
/// table is locked before there is a snapshot.
fn begin(shared: &Shared) -> String {
    match shared.isolation {
        Isolation::ReadCommitted => "/* unjoin commit */ BEGIN ISOLATION LEVEL READ COMMITTED".to_owned(),
        Isolation::Serializable => format!(
            "/* unjoin commit */ BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE {} IN ROW EXCLUSIVE MODE",
            shared.rows
        ),
    }
}

/// Writes, and finds whether every row was as it was judged: one round trip.
async fn write(connection: &Connection, changes: &BTreeMap<Bucket, Changes<'_>>) -> Result<(), Failure> {
    let Connection { session: Session { client, .. }, statements } = connection;
    let mut requests: Vec<Answer<'_, u64>> = Vec::new();
    let mut expected = Vec::new();
    for (bucket, Changes { insert, replace, delete }) in changes {
        if !insert.is_empty() {
            requests.push(Box::pin(statements.insert(client, *bucket, insert)));
            expected.push(insert.len());
        }
        if !replace.is_empty() {
            requests.push(Box::pin(statements.replace(client, *bucket, replace)));
            expected.push(replace.len());
        }
        if !delete.is_empty() {
            requests.push(Box::pin(statements.delete(client, *bucket, delete)));
            expected.push(delete.len());
        }
    }
    for (answer, expected) in pipelined(requests).await.into_iter().zip(expected) {
        if answer? != expected as u64 {
            return Err(Failure::Again);
        }
    }
    Ok(())
}
