//! Every statement that touches rows, by name. A read, and a commit, asks for all its keys at once, whatever
//! their buckets: each statement takes arrays, in the order of (bucket, key), and follows that order. The planner
//! has no choice: nothing but a look-up by the primary key serves a `LATERAL` query that may not be merged with what
//! is around it.

use super::error::PostgresError;
use super::session::Session;
use crate::{Bucket, Row};
use bytes_of_a_row::Bytes;
use std::pin::Pin;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

/// A statement's name, as it is in a comment before it, and its text; `{rows}` is the table.
pub(super) type Named = (&'static str, &'static str);

/// The rows of a decision, before it is taken, and of every other reading. `LIMIT` keeps the query apart.
pub(super) const READ: Named = (
    "read: rows by key",
    "SELECT asked.at, found.value \
     FROM unnest($1::int2[], $2::bytea[]) WITH ORDINALITY AS asked (bucket, key, at), \
     LATERAL (SELECT value FROM {rows} WHERE bucket = asked.bucket AND key = asked.key LIMIT 1) AS found",
);
/// The rows of one kind.
pub(super) const SCAN: Named = (
    "scan: rows of a range",
    "SELECT key, value FROM {rows} WHERE bucket = $1 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4",
);
/// What a commit rests on, or replaces, stays as it is from here on.
pub(super) const LOCK: Named = (
    "commit: lock in key order",
    "SELECT asked.at, found.value \
     FROM unnest($1::int2[], $2::bytea[]) WITH ORDINALITY AS asked (bucket, key, at), \
     LATERAL (SELECT value FROM {rows} WHERE bucket = asked.bucket AND key = asked.key FOR UPDATE) AS found",
);
/// The keys of absent rows: alone for what is inserted, together for what stays absent. No row comes back.
pub(super) const HOLD: Named = (
    "commit: hold what is absent",
    "SELECT 1 FROM unnest($1::int8[], $2::bool[]) AS held (lock, is_alone) \
     WHERE (CASE WHEN is_alone THEN pg_advisory_xact_lock(lock) ELSE pg_advisory_xact_lock_shared(lock) END) IS NULL",
);
/// How many of those that are to stay absent have come before they were held.
pub(super) const COME: Named = (
    "commit: count what has come",
    "SELECT count(*) FROM unnest($1::int2[], $2::bytea[]) AS asked (bucket, key), \
     LATERAL (SELECT 1 FROM {rows} WHERE bucket = asked.bucket AND key = asked.key LIMIT 1) AS found",
);
/// What a commit found absent is its own, or the commit begins again.
pub(super) const INSERT: Named = (
    "commit: insert what was absent",
    "INSERT INTO {rows} (bucket, key, value) SELECT new.bucket, new.key, new.value \
     FROM unnest($1::int2[], $2::bytea[], $3::bytea[]) AS new (bucket, key, value) ON CONFLICT DO NOTHING",
);
/// What a commit has locked gets its new value.
pub(super) const REPLACE: Named = (
    "commit: replace what is locked",
    "INSERT INTO {rows} (bucket, key, value) SELECT new.bucket, new.key, new.value \
     FROM unnest($1::int2[], $2::bytea[], $3::bytea[]) AS new (bucket, key, value) \
     ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value",
);
/// What a commit has locked ends; one bucket's rows, since a deletion cannot be told to look up one key after the other.
pub(super) const DELETE: Named =
    ("commit: delete what is locked", "DELETE FROM {rows} WHERE bucket = $1 AND key = ANY($2)");

/// The text that is sent: its name comes first, so that the server's views and logs show it.
pub(super) fn text((name, sql): Named, rows: &str) -> String {
    format!("/* unjoin {name} */ {}", sql.replace("{rows}", rows))
}

/// A row's address, and its value.
pub(super) type At<'a> = (Bucket, &'a [u8]);
pub(super) type Entry<'a> = (Bucket, &'a [u8], &'a [u8]);

/// A connection's prepared statements.
pub(super) struct Statements {
    read: Statement,
    scan: Statement,
    lock: Statement,
    hold: Statement,
    come: Statement,
    insert: Statement,
    replace: Statement,
    delete: Statement,
}

impl Statements {
    /// Prepared in a transaction of this session's own: the names are the client library's, and
    /// another client of the same pooler may use them too.
    pub(super) async fn prepare(session: &Session, rows: &str) -> Result<Self, PostgresError> {
        session.begin("/* unjoin session */ BEGIN").await?;
        let client = &session.client;
        let (bucket, key, buckets, keys) = (Type::INT2, Type::BYTEA, Type::INT2_ARRAY, Type::BYTEA_ARRAY);
        let by_key = vec![buckets.clone(), keys.clone()];
        let by_entry = vec![buckets, keys.clone(), keys.clone()];
        let by_range = vec![bucket.clone(), key.clone(), key, Type::INT8];
        let wanted = [
            (READ, by_key.clone()),
            (SCAN, by_range),
            (LOCK, by_key.clone()),
            (HOLD, vec![Type::INT8_ARRAY, Type::BOOL_ARRAY]),
            (COME, by_key),
            (INSERT, by_entry.clone()),
            (REPLACE, by_entry),
            (DELETE, vec![bucket, keys]),
        ];
        let prepare = |(named, types): (Named, Vec<Type>)| async move {
            Ok(client.prepare_typed(&text(named, rows), &types).await?)
        };
        let requests = wanted.map(|wanted| Box::pin(prepare(wanted)) as Answer<'_, Statement>).into();
        let prepared: Vec<Statement> = pipelined(requests).await.into_iter().collect::<Result<_, _>>()?;
        // Eight were asked for.
        let Ok([read, scan, lock, hold, come, insert, replace, delete]) =
            <[Statement; 8]>::try_from(prepared)
        else {
            unreachable!("one answer for each request");
        };
        client.batch_execute("/* unjoin session */ COMMIT").await?;
        Ok(Self { read, scan, lock, hold, come, insert, replace, delete })
    }

    /// What the rows at `keys` hold, in the order of the keys.
    pub(super) async fn read(&self, client: &Client, keys: &[At<'_>]) -> Result<Values, PostgresError> {
        self.values(client, &self.read, keys).await
    }

    /// The same, and all that are there are locked in that order.
    pub(super) async fn lock(&self, client: &Client, keys: &[At<'_>]) -> Result<Values, PostgresError> {
        self.values(client, &self.lock, keys).await
    }

    async fn values(
        &self,
        client: &Client,
        statement: &Statement,
        keys: &[At<'_>],
    ) -> Result<Values, PostgresError> {
        let (buckets, bytes) = addresses(keys);
        let mut values = vec![None; keys.len()];
        for row in client.query(statement, &[&buckets, &bytes]).await? {
            let at: i64 = row.try_get(0)?;
            // The first is 1, and the server answers only what it was asked.
            let place = usize::try_from(at).ok().and_then(|at| values.get_mut(at.checked_sub(1)?));
            *place.ok_or(PostgresError::Protocol)? = Some(row.try_get(1)?);
        }
        Ok(values)
    }

    /// Rows from `from` on, before `end`.
    pub(super) async fn scan(
        &self,
        client: &Client,
        bucket: Bucket,
        from: &[u8],
        end: &[u8],
        limit: i64,
    ) -> Result<Vec<Row>, PostgresError> {
        rows(client.query(&self.scan, &[&number(bucket), &Bytes(from), &Bytes(end), &limit]).await?)
    }

    /// The locks of absent rows, in this order; which of them are held alone.
    pub(super) async fn hold(&self, client: &Client, locks: &[(i64, bool)]) -> Result<u64, PostgresError> {
        let (locks, alone): (Vec<i64>, Vec<bool>) = locks.iter().copied().unzip();
        Ok(client.execute(&self.hold, &[&locks, &alone]).await?)
    }

    pub(super) async fn come(&self, client: &Client, keys: &[At<'_>]) -> Result<u64, PostgresError> {
        let (buckets, bytes) = addresses(keys);
        let counted: i64 = client.query_one(&self.come, &[&buckets, &bytes]).await?.try_get(0)?;
        Ok(counted.unsigned_abs())
    }

    pub(super) async fn insert(&self, client: &Client, rows: &[Entry<'_>]) -> Result<u64, PostgresError> {
        Self::put(client, &self.insert, rows).await
    }

    pub(super) async fn replace(&self, client: &Client, rows: &[Entry<'_>]) -> Result<u64, PostgresError> {
        Self::put(client, &self.replace, rows).await
    }

    async fn put(client: &Client, statement: &Statement, rows: &[Entry<'_>]) -> Result<u64, PostgresError> {
        let keys: Vec<At<'_>> = rows.iter().map(|(bucket, key, _)| (*bucket, *key)).collect();
        let values: Vec<Bytes<'_>> = rows.iter().map(|(_, _, value)| Bytes(value)).collect();
        let (buckets, keys) = addresses(&keys);
        Ok(client.execute(statement, &[&buckets, &keys, &values]).await?)
    }

    pub(super) async fn delete(
        &self,
        client: &Client,
        bucket: Bucket,
        keys: &[&[u8]],
    ) -> Result<u64, PostgresError> {
        Ok(client.execute(&self.delete, &[&number(bucket), &Bytes::all(keys)]).await?)
    }
}

/// What rows hold, for keys in order; `None` where there is none.
pub(super) type Values = Vec<Option<Vec<u8>>>;

fn addresses<'a>(keys: &[At<'a>]) -> (Vec<i16>, Vec<Bytes<'a>>) {
    keys.iter().map(|(bucket, key)| (number(*bucket), Bytes(key))).unzip()
}

fn rows(found: Vec<tokio_postgres::Row>) -> Result<Vec<Row>, PostgresError> {
    found.iter().map(|row| Ok(Row { key: row.try_get(0)?, value: row.try_get(1)? })).collect()
}

/// Below [`BUCKETS`](crate::BUCKETS), which an `int2` holds.
fn number(bucket: Bucket) -> i16 {
    i16::try_from(bucket.number()).unwrap_or(i16::MAX)
}

mod bytes_of_a_row {
    use std::fmt;
    use tokio_postgres::types::private::BytesMut;
    use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

    /// Bytes that no log shows: the client library logs its parameters when it is told to.
    pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

    impl<'a> Bytes<'a> {
        pub(super) fn all(of: &[&'a [u8]]) -> Vec<Self> {
            of.iter().map(|bytes| Self(bytes)).collect()
        }
    }

    impl fmt::Debug for Bytes<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} bytes", self.0.len())
        }
    }

    impl ToSql for Bytes<'_> {
        fn to_sql(
            &self,
            of: &Type,
            out: &mut BytesMut,
        ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
            self.0.to_sql(of, out)
        }

        fn accepts(of: &Type) -> bool {
            <&[u8] as ToSql>::accepts(of)
        }

        to_sql_checked!();
    }
}

/// A request to the server, not sent yet.
pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, PostgresError>> + Send + 'a>>;

/// The answers to all of `requests`, which are sent before the first answer is awaited: one round
/// trip. A server answers in order, so they are awaited in order.
pub(super) async fn pipelined<T>(mut requests: Vec<Answer<'_, T>>) -> Vec<Result<T, PostgresError>> {
    let mut answers: Vec<Option<Result<T, PostgresError>>> = requests.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (request, answer) in requests.iter_mut().zip(&mut answers) {
            if let std::task::Poll::Ready(early) = request.as_mut().poll(context) {
                *answer = Some(early);
            }
        }
        std::task::Poll::Ready(())
    })
    .await;
    let mut all = Vec::with_capacity(requests.len());
    for (request, answer) in requests.into_iter().zip(answers) {
        all.push(match answer {
            Some(early) => early,
            None => request.await,
        });
    }
    all
}

/// What `request` answers, in a transaction that writes nothing and is proved: one round trip.
pub(super) async fn read_only<T: Send>(
    session: &Session,
    request: impl Future<Output = Result<T, PostgresError>> + Send,
) -> Result<T, PostgresError> {
    let begin = async {
        session.begin("/* unjoin read */ BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY").await?;
        Ok(None)
    };
    let answer = async { request.await.map(Some) };
    let end = async {
        session.client.batch_execute("/* unjoin read */ COMMIT").await?;
        Ok(None)
    };
    let all: Vec<Answer<'_, Option<T>>> = vec![Box::pin(begin), Box::pin(answer), Box::pin(end)];
    let answers: Vec<Option<T>> = pipelined(all).await.into_iter().collect::<Result<_, _>>()?;
    answers.into_iter().flatten().next().ok_or(PostgresError::Protocol)
}

/// The quoted name of a schema. It becomes part of statements: nothing in it may need quoting.
pub(super) fn schema_name(name: &str) -> Result<String, PostgresError> {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let first_is_letter = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    if !first_is_letter || name.len() > 63 || !name.bytes().all(sound) || name.starts_with("pg_") {
        return Err(PostgresError::Config(
            "a schema's name is a lower-case letter followed by at most 62 of a-z, 0-9 and _, and does not begin with pg_",
        ));
    }
    Ok(format!("\"{name}\""))
}
