//! All rows as of one moment.

use super::error::{Failure, PostgresError};
use super::pool::{Connection, Pool, Request, Shared, answer};
use super::{Bucket, MAX_KEY, Row, See, StoreError};
use tokio::sync::mpsc::{Sender, channel};

/// Rows of one reading, and how many readings ahead of their reader.
const PAGE: i64 = 64;
const AHEAD: usize = 4;

pub(super) fn show(pool: &Pool, see: &mut See<'_>) -> Result<(), StoreError> {
    let (pages, mut taken) = channel(AHEAD);
    let answered = pool.begin(|shared| async move { shared.serve(&Snapshot { pages }).await });
    while let Some((bucket, rows)) = taken.blocking_recv() {
        rows.iter().try_for_each(|Row { key, value }| see(bucket, key, value))?;
    }
    answer(&answered)
}

struct Snapshot {
    pages: Sender<(Bucket, Vec<Row>)>,
}

impl Request for Snapshot {
    type Answer = ();

    async fn serve(&self, connection: &Connection, shared: &Shared) -> Result<(), Failure> {
        // A snapshot from before a rewrite would show the fresh table as empty: the table is locked before
        // there is a snapshot, and a rewrite waits.
        let begin = format!(
            "/* unjoin copy */ BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {} IN ACCESS SHARE MODE",
            shared.rows
        );
        let session = &connection.session;
        shared.within(session, session.begin(&begin)).await??;
        // What was shown cannot be taken back: from here on nothing is begun again.
        self.pages(connection, shared).await.map_err(|error| Failure::Final(error.into()))
    }
}

impl Snapshot {
    async fn pages(
        &self,
        Connection { session, statements }: &Connection,
        shared: &Shared,
    ) -> Result<(), PostgresError> {
        // No key that fits is as large.
        let end = vec![u8::MAX; MAX_KEY.saturating_add(1)];
        for bucket in Bucket::all() {
            let mut from = Vec::new();
            loop {
                let page = statements.scan(&session.client, bucket, &from, &end, PAGE);
                let rows = shared.within(session, page).await??;
                let next = rows.get(PAGE as usize - 1).map(|last| [last.key.as_slice(), &[0]].concat());
                // Whoever takes them has failed, and waits for no answer.
                self.pages.send((bucket, rows)).await.map_err(|_| PostgresError::Stopped)?;
                match next {
                    Some(next) => from = next,
                    None => break,
                }
            }
        }
        shared
            .within(session, session.client.batch_execute("/* unjoin copy */ COMMIT"))
            .await?
            .map_err(PostgresError::from)
    }
}
