//! Every statement that touches rows, by name. Each takes exactly one bucket, its first parameter:
//! where a table is distributed by bucket, each goes to one shard.

use super::error::PostgresError;
use super::session::Session;
use crate::{Bucket, Row};
use bytes_of_a_row::Bytes;
use std::pin::Pin;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

/// A statement's name, as it is in a comment before it, and its text; `{rows}` is the table.
pub(super) type Named = (&'static str, &'static str);

/// The rows of a decision, before it is taken, and of every other reading.
pub(super) const READ: Named =
    ("read: rows by key", "SELECT key, value FROM {rows} WHERE bucket = $1 AND key = ANY($2)");
/// The rows of one kind.
pub(super) const SCAN: Named = (
    "scan: rows of a range",
    "SELECT key, value FROM {rows} WHERE bucket = $1 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4",
);
/// What a commit rests on, or replaces, stays as it is from here on.
pub(super) const LOCK: Named = (
    "commit: lock in key order",
    "SELECT key, value FROM {rows} WHERE bucket = $1 AND key = ANY($2) ORDER BY key FOR UPDATE",
);
/// What a commit found absent is its own, or the commit begins again.
pub(super) const INSERT: Named = (
    "commit: insert what was absent",
    "INSERT INTO {rows} (bucket, key, value) SELECT $1, new.key, new.value \
     FROM unnest($2::bytea[], $3::bytea[]) AS new (key, value) ON CONFLICT DO NOTHING",
);
/// What a commit has locked gets its new value.
pub(super) const REPLACE: Named = (
    "commit: replace what is locked",
    "INSERT INTO {rows} (bucket, key, value) SELECT $1, new.key, new.value \
     FROM unnest($2::bytea[], $3::bytea[]) AS new (key, value) \
     ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value",
);
/// What a commit has locked or inserted ends.
pub(super) const DELETE: Named =
    ("commit: delete what is locked", "DELETE FROM {rows} WHERE bucket = $1 AND key = ANY($2)");

/// The text that is sent: its name comes first, so that the server's views and logs show it.
pub(super) fn text((name, sql): Named, rows: &str) -> String {
    format!("/* unjoin {name} */ {}", sql.replace("{rows}", rows))
}

/// A connection's prepared statements.
pub(super) struct Statements {
    read: Statement,
    scan: Statement,
    lock: Statement,
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
        let (bucket, key, keys) = (Type::INT2, Type::BYTEA, Type::BYTEA_ARRAY);
        let (by_key, by_pairs) =
            (vec![bucket.clone(), keys.clone()], vec![bucket.clone(), keys.clone(), keys]);
        let by_range = vec![bucket, key.clone(), key, Type::INT8];
        let wanted = [
            (READ, by_key.clone()),
            (SCAN, by_range),
            (LOCK, by_key.clone()),
            (INSERT, by_pairs.clone()),
            (REPLACE, by_pairs),
            (DELETE, by_key),
        ];
        let prepare = |(named, types): (Named, Vec<Type>)| async move {
            Ok(client.prepare_typed(&text(named, rows), &types).await?)
        };
        let requests = wanted.map(|wanted| Box::pin(prepare(wanted)) as Answer<'_, Statement>).into();
        let prepared: Vec<Statement> = pipelined(requests).await.into_iter().collect::<Result<_, _>>()?;
        // Six were asked for.
        let Ok([read, scan, lock, insert, replace, delete]) = <[Statement; 6]>::try_from(prepared) else {
            unreachable!("one answer for each request");
        };
        client.batch_execute("/* unjoin session */ COMMIT").await?;
        Ok(Self { read, scan, lock, insert, replace, delete })
    }

    pub(super) async fn read(
        &self,
        client: &Client,
        bucket: Bucket,
        keys: &[&[u8]],
    ) -> Result<Vec<Row>, PostgresError> {
        rows(client.query(&self.read, &[&number(bucket), &Bytes::all(keys)]).await?)
    }

    pub(super) async fn lock(
        &self,
        client: &Client,
        bucket: Bucket,
        keys: &[&[u8]],
    ) -> Result<Vec<Row>, PostgresError> {
        rows(client.query(&self.lock, &[&number(bucket), &Bytes::all(keys)]).await?)
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

    pub(super) async fn insert(
        &self,
        client: &Client,
        bucket: Bucket,
        rows: &[(&[u8], &[u8])],
    ) -> Result<u64, PostgresError> {
        let (keys, values) = Bytes::pairs(rows);
        Ok(client.execute(&self.insert, &[&number(bucket), &keys, &values]).await?)
    }

    pub(super) async fn replace(
        &self,
        client: &Client,
        bucket: Bucket,
        rows: &[(&[u8], &[u8])],
    ) -> Result<u64, PostgresError> {
        let (keys, values) = Bytes::pairs(rows);
        Ok(client.execute(&self.replace, &[&number(bucket), &keys, &values]).await?)
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

        pub(super) fn pairs(of: &[(&'a [u8], &'a [u8])]) -> (Vec<Self>, Vec<Self>) {
            of.iter().map(|(key, value)| (Self(key), Self(value))).unzip()
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

/// The rows that `requests` answer, in a transaction that writes nothing and is proved: one round trip.
pub(super) async fn read_only(
    session: &Session,
    requests: Vec<Answer<'_, Vec<Row>>>,
) -> Result<Vec<Vec<Row>>, PostgresError> {
    let mut all: Vec<Answer<'_, Vec<Row>>> = vec![Box::pin(async {
        session.begin("/* unjoin read */ BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY").await?;
        Ok(Vec::new())
    })];
    all.extend(requests);
    all.push(Box::pin(async {
        session.client.batch_execute("/* unjoin read */ COMMIT").await?;
        Ok(Vec::new())
    }));
    let mut rows: Vec<Vec<Row>> = pipelined(all).await.into_iter().collect::<Result<_, _>>()?;
    rows.pop();
    Ok(rows.into_iter().skip(1).collect())
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
