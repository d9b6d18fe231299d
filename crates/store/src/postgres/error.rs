//! What goes wrong between the store and its server, without anything of a row.

use crate::StoreError;
use std::error::Error as _;
use tokio_postgres::error::SqlState;
use unjoin_core::describe_errors;

describe_errors! {
    /// Why the server did not serve: the source of a [`StoreError::Engine`].
    ///
    /// A server's own messages may quote keys and values; only its five-character condition code
    /// (SQLSTATE) is taken over.
    ///
    /// ```
    /// use unjoin_store::StoreError;
    /// use unjoin_store::postgres::PostgresError;
    /// /// Whether to ask again: the decision finds what it did.
    /// fn may_have_committed(error: &StoreError) -> bool {
    ///     let StoreError::Engine(source) = error else { return false };
    ///     matches!(source.downcast_ref(), Some(PostgresError::CommitUnknown))
    /// }
    ///
    /// assert!(may_have_committed(&StoreError::Engine(std::sync::Arc::new(PostgresError::CommitUnknown))));
    /// ```
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum PostgresError (Operator, true) {
        /// A setting of the configuration does not hold; which.
        Config(what: &'static str) => "postgres.config" (Operator, false), "the store's configuration is wrong: {what}";
        /// No host of the connection string accepts a connection.
        Unreachable => "postgres.unreachable",
            "no server answers: check the hosts and ports of the connection string, and that the server runs";
        /// The server refuses the user, the password or the database: its condition code.
        Credentials(code: String) => "postgres.credentials" (Operator, false),
            "the server refuses the user, the password or the database ({code}): correct the connection string or \
            pg_hba.conf; if that asks for TLS or a certificate, open the store with a connector that has it";
        /// TLS was asked for and cannot be had, or failed.
        Tls => "postgres.tls" (Operator, false),
            "TLS was asked for and did not come about: open the store with a connector, check the authority and \
             the host name that it expects against the server's certificate, and that the server has TLS \
             switched on";
        /// All servers that answer serve reads only.
        ReadOnly => "postgres.read_only",
            "every server that answers is read-only: promote a standby, or name the primary's host too";
        /// A transaction was not in the session that this store has set up: a pooler in between pools
        /// transactions or statements, not sessions.
        Pooler => "postgres.pooler" (Operator, false),
            "this is a transaction pooler (or a statement pooler): it serves each transaction from another \
             session; point it at session mode (PgBouncer: pool_mode = session), or the connection string at the \
             server itself";
        /// No connection of the pool became free in time.
        PoolExhausted => "postgres.pool", "no connection became free in time: allow more connections, or fewer callers";
        /// The server has no connection left for this user.
        TooManyConnections => "postgres.connections",
            "the server has no connection left: raise max_connections or lower the pools' sizes";
        /// A statement or its answer took longer than it may.
        Timeout => "postgres.timeout",
            "the server took too long: look for its load, for locks, or for a rewrite that runs";
        /// The connection ended before anything was committed.
        Disconnected => "postgres.disconnected", "the connection was lost before anything was committed: try again";
        /// The connection ended, or the server failed, after COMMIT had been sent.
        CommitUnknown => "postgres.commit_unknown",
            "the connection was lost while committing: try again, the decision finds what it did";
        /// The server's disk, or another resource of it, is exhausted: its condition code.
        Resources(code: String) => "postgres.resources",
            "the server lacks disk, memory or another resource ({code}): give it some";
        /// The role lacks a right: its condition code.
        Permission(code: String) => "postgres.permission" (Operator, false),
            "the role lacks a right ({code}): it must own the store's schema, or be allowed to create it";
        /// What was asked for in one call does not fit into one message to the server.
        TooLarge => "postgres.too_large" (Host, false),
            "one decision is too large for one message to the server: make it smaller";
        /// A thread of the store could not be started, or it has ended.
        Stopped => "postgres.stopped" (Operator, false), "the store's thread is gone: restart the service";
        /// Anything else that the server says: its condition code.
        Server(code: String) => "postgres.server",
            "the server failed ({code}): look it up among the SQLSTATE codes, and in the server's log";
        /// Anything else that the connection says.
        Protocol => "postgres.protocol", "the server's answer was not understood: is it PostgreSQL?";
        /// Serialization failures, deadlocks or insertions of others, again and again.
        Contended => "postgres.contended", "other transactions touched the same rows again and again: try again";
    }
}

impl PostgresError {
    /// Of what two hosts answer, what tells more: the other host may be meant to be down, or a standby.
    pub(super) fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (_, Self::Unreachable) => self,
            (Self::Unreachable | Self::ReadOnly, _) => other,
            _ => self,
        }
    }
}

/// What a step of a transaction ended with.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was applied, and the same again may succeed at once.
    Again,
    /// Nothing was applied; the connection is gone, or of no use.
    Disconnected(PostgresError),
    /// Told to the caller.
    Final(StoreError),
}

impl From<PostgresError> for StoreError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Contended => Self::Contended,
            PostgresError::Stopped => Self::closed(error),
            error => Self::engine(error),
        }
    }
}

impl From<PostgresError> for Failure {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Disconnected | PostgresError::ReadOnly => Self::Disconnected(error),
            PostgresError::Contended => Self::Again,
            error => Self::Final(error.into()),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        told(&error).into()
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        told(&error)
    }
}

fn told(error: &tokio_postgres::Error) -> PostgresError {
    match error.code() {
        // PgBouncer's words to whoever begins a transaction where it pools statements.
        Some(&SqlState::PROTOCOL_VIOLATION) if says(error, "statement pooling") => PostgresError::Pooler,
        Some(code) => of_code(code),
        // Neither the kinds of these errors nor their causes are public; their words are stable
        // enough to tell a message that is too long from a connection that broke.
        None if error.is_closed() => PostgresError::Disconnected,
        None => match error.source() {
            Some(cause) if cause.is::<std::io::Error>() => match error.to_string() {
                words if words.starts_with("error encoding") => PostgresError::TooLarge,
                _ => PostgresError::Disconnected,
            },
            _ if error.to_string().starts_with("error serializing") => PostgresError::TooLarge,
            _ => PostgresError::Protocol,
        },
    }
}

fn says(error: &tokio_postgres::Error, words: &str) -> bool {
    error.as_db_error().is_some_and(|said| said.message().contains(words))
}

fn of_code(code: &SqlState) -> PostgresError {
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => PostgresError::Contended,
        SqlState::QUERY_CANCELED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => PostgresError::Timeout,
        SqlState::READ_ONLY_SQL_TRANSACTION => PostgresError::ReadOnly,
        // The session's own statements are not there, or somebody else's are.
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => PostgresError::Pooler,
        SqlState::TOO_MANY_CONNECTIONS => PostgresError::TooManyConnections,
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::DATABASE_DROPPED => PostgresError::Disconnected,
        SqlState::PROGRAM_LIMIT_EXCEEDED => PostgresError::TooLarge,
        SqlState::INSUFFICIENT_PRIVILEGE => PostgresError::Permission(code.code().to_owned()),
        SqlState::UNDEFINED_DATABASE => PostgresError::Credentials(code.code().to_owned()),
        _ => match code.code().get(..2) {
            Some("08") => PostgresError::Disconnected,
            Some("28") => PostgresError::Credentials(code.code().to_owned()),
            Some("53") => PostgresError::Resources(code.code().to_owned()),
            _ => PostgresError::Server(code.code().to_owned()),
        },
    }
}

/// Why connecting failed: the causes lie deeper there.
pub(super) fn connecting(error: &tokio_postgres::Error) -> PostgresError {
    if let Some(code) = error.code() {
        return match of_code(code) {
            PostgresError::Disconnected => PostgresError::Unreachable,
            other => other,
        };
    }
    let words = error.to_string();
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    if cause.contains("does not allow writes") {
        return PostgresError::ReadOnly;
    }
    if words.contains("TLS") {
        return PostgresError::Tls;
    }
    if words.starts_with("authentication") || words.starts_with("invalid configuration") {
        return PostgresError::Credentials("28000".to_owned());
    }
    PostgresError::Unreachable
}
