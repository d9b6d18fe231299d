//! Connections, on a thread of the store's own.
//!
//! The client library is asynchronous and needs a runtime; a caller may stand inside one of
//! another kind, or none. So a thread runs a runtime for the connections alone, requests are
//! handed to it, and callers wait as for any other blocking call.

use super::error::{Failure, PostgresError, connecting};
use super::plan::lock_of_store;
use super::session::Session;
use super::statements::{Statements, schema_name};
use super::{Isolation, PostgresConfig, address, schema};
use crate::StoreError;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::{self, Handle};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Socket};
use unjoin_core::secret::{SystemRng, below};

/// How often a transaction begins again because of others.
const CONTENTIONS: u32 = 64;
/// How many connections may turn out to be dead or read-only, one after the other. Beyond the
/// pool's size all are fresh.
const RECONNECTIONS: usize = 3;
/// What a round trip may take beyond the server's own limit for a statement.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// A host that has not answered by then is not waited for alone.
const HEAD_START: Duration = Duration::from_millis(250);
/// An answer that is late by so much may be that of a server which serves no more.
const LATE: Duration = Duration::from_millis(500);

/// A client, and the flag that any warning of its server raises.
type Connected = (Client, Arc<AtomicBool>);
type Connecting = Pin<Box<dyn Future<Output = Result<Connected, tokio_postgres::Error>> + Send>>;

/// Connects, and spawns what drives the connection.
type Connect = Box<dyn Fn(Config) -> Connecting + Send + Sync>;

/// The pool's own part, shared by all its requests.
pub(super) struct Shared {
    connect: Connect,
    /// One for each host, and the one that was reached last.
    servers: Vec<Config>,
    reached: AtomicUsize,
    /// When a session was last made only to learn which server it leads to, and what came of it.
    looked: AsyncMutex<Option<(Instant, Option<String>)>>,
    /// The table's quoted name with its schema, and the schema's.
    pub(super) rows: String,
    pub(super) schema: String,
    /// The number of the lock of the whole store.
    pub(super) lock: i64,
    pub(super) isolation: Isolation,
    statement_timeout: Duration,
    pub(super) rewrite_timeout: Duration,
    pool_timeout: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// An open connection, with nothing under way.
pub(super) struct Connection {
    pub(super) session: Session,
    pub(super) statements: Statements,
}

/// One request to the server, which may be repeated as long as it fails without effect.
pub(super) trait Request: Send + Sync {
    type Answer: Send;

    fn serve(
        &self,
        connection: &Connection,
        shared: &Shared,
    ) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

impl Shared {
    /// A connection's place in the pool, and the connection that was idle in it.
    async fn place(&self) -> Result<(OwnedSemaphorePermit, Option<Connection>), PostgresError> {
        let permit = timeout(self.pool_timeout, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| PostgresError::PoolExhausted)?.map_err(|_| PostgresError::Stopped)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if !connection.session.client.is_closed() {
                return Ok((permit, Some(connection)));
            }
        }
        Ok((permit, None))
    }

    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    /// A session that is set up, but nothing is known about the tables.
    pub(super) async fn session(&self) -> Result<Session, PostgresError> {
        let limit = self.servers.iter().filter_map(Config::get_connect_timeout).max();
        let limit = limit.copied().unwrap_or(GRACE) + GRACE;
        let attempt = async {
            let (client, warned) = self.reach().await?;
            Session::begin_with(client, warned, &self.settings()).await
        };
        timeout(limit, attempt).await.map_err(|_| PostgresError::Unreachable)?
    }

    /// The first host that serves: the one of last time first, the others beside it when it is slow
    /// or fails. A host that is gone without a word must not be waited for.
    async fn reach(&self) -> Result<Connected, PostgresError> {
        let last = self.reached.load(Ordering::Relaxed);
        let mut hosts: Vec<usize> = (0..self.servers.len()).filter(|host| *host != last).rev().collect();
        hosts.push(last);
        let (mut attempts, mut told) = (JoinSet::new(), PostgresError::Unreachable);
        loop {
            if let Some((host, server)) = hosts.pop().and_then(|host| Some((host, self.servers.get(host)?))) {
                let attempt = (self.connect)(server.clone());
                attempts.spawn(async move { (host, attempt.await) });
            }
            match timeout(HEAD_START, attempts.join_next()).await {
                Ok(Some(Ok((host, Ok(connected))))) => {
                    self.reached.store(host, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Some(Ok((_, Err(error))))) => told = told.or(connecting(&error)),
                Ok(None) if hosts.is_empty() => return Err(told),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Single statements see what was committed before they began, and no answered commit is lost
    /// with the server's process. The planner has no figures about the rows, on purpose, and is
    /// told to go by the key; servers without these settings are left as they are. Sorting stays
    /// allowed: without it the planner finds the rows of some keys, in order, by reading the bucket.
    fn settings(&self) -> String {
        let milliseconds = self.statement_timeout.as_millis();
        format!(
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET statement_timeout = {milliseconds}; \
             SET idle_in_transaction_session_timeout = {milliseconds}; \
             SELECT set_config('synchronous_commit', 'on', false) \
                 WHERE current_setting('synchronous_commit') IN ('off', 'local'); \
             SELECT set_config(name, 'off', false) FROM pg_settings \
                 WHERE name IN ('enable_seqscan', 'enable_bitmapscan', 'jit')"
        )
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        let session = self.session().await?;
        schema::check(&session.client, &self.schema).await?;
        let statements = Statements::prepare(&session, &self.rows).await?;
        session.has_warned();
        Ok(Connection { session, statements })
    }

    /// Returns when new sessions lead to another server than this one's, which then serves no more:
    /// it was cut off, or froze, and a standby has been promoted. Never asked before an answer is
    /// late, and then by one session at a time.
    async fn moved_from(&self, session: &Session) {
        loop {
            sleep(LATE).await;
            let mut looked = self.looked.lock().await;
            let known = match &*looked {
                Some((at, server)) if at.elapsed() < LATE => server.clone(),
                _ => {
                    let server = self.session().await.ok().map(|fresh| fresh.server);
                    *looked = Some((Instant::now(), server.clone()));
                    server
                }
            };
            drop(looked);
            if known.is_some_and(|server| server != session.server) {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|connection| connection.session.server != session.server);
                return;
            }
        }
    }

    /// Serves `request` on some connection. What failed without effect is tried again, within
    /// bounds; a connection that failed is not used again.
    pub(super) async fn serve<R: Request>(&self, request: &R) -> Result<R::Answer, StoreError> {
        let (mut contentions, mut fresh) = (0, 0);
        loop {
            let (_permit, idle) = self.place().await?;
            let connection = match idle {
                Some(connection) => connection,
                None => {
                    fresh += 1;
                    self.connection().await?
                }
            };
            match request.serve(&connection, self).await {
                Ok(answer) => {
                    self.keep(connection);
                    return Ok(answer);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Disconnected(error)) if fresh >= RECONNECTIONS => return Err(error.into()),
                Err(Failure::Disconnected(_)) => {}
                Err(Failure::Again) => {
                    self.keep(connection);
                    contentions += 1;
                    if contentions == CONTENTIONS {
                        return Err(PostgresError::Contended.into());
                    }
                    // The place is held while waiting, so that waiting thins out the contention.
                    let most = 1u64 << contentions.min(5);
                    sleep(Duration::from_millis(below(most, &mut SystemRng::new()))).await;
                }
            }
        }
    }

    /// `work`, unless its server does not answer, or another has taken its place.
    pub(super) async fn within<T>(
        &self,
        session: &Session,
        work: impl Future<Output = T>,
    ) -> Result<T, PostgresError> {
        let (mut work, mut moved) = (pin!(work), pin!(self.moved_from(session)));
        let first = poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => moved.as_mut().poll(context).map(|()| Err(PostgresError::Disconnected)),
        });
        timeout(self.statement_timeout + GRACE, first).await.unwrap_or(Err(PostgresError::Timeout))
    }
}

/// The connections and their thread.
pub(super) struct Pool {
    pub(super) shared: Arc<Shared>,
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pool {
    /// `preferred`: whether there is TLS where the connection string leaves it open.
    pub(super) fn start<T>(config: &PostgresConfig, tls: T, preferred: SslMode) -> Result<Self, PostgresError>
    where
        T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: Send> + Clone + Send + Sync + 'static,
        T::TlsConnect: TlsConnect<Socket, Future: Send>,
    {
        let servers = address::servers(config, preferred)?;
        let schema = schema_name(&config.schema)?;
        if config.connections == 0 {
            return Err(PostgresError::Config("a pool has at least one connection"));
        }
        if config.statement_timeout.as_millis() == 0 {
            return Err(PostgresError::Config("a statement needs at least a millisecond"));
        }
        let shared = Shared {
            connect: connector(tls),
            servers,
            reached: AtomicUsize::new(0),
            looked: AsyncMutex::default(),
            rows: format!("{schema}.rows"),
            lock: lock_of_store(&config.schema),
            schema,
            isolation: config.isolation,
            statement_timeout: config.statement_timeout,
            rewrite_timeout: config.rewrite_timeout,
            pool_timeout: config.pool_timeout,
            permits: Arc::new(Semaphore::new(config.connections.min(Semaphore::MAX_PERMITS))),
            idle: Mutex::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::sync_channel(1);
        let run = move || {
            let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
            let _ = tell.send(runtime.handle().clone());
            let _ = runtime.block_on(stopped);
        };
        let name = "unjoin-postgres".to_owned();
        let thread = thread::Builder::new().name(name).spawn(run).map_err(|_| PostgresError::Stopped)?;
        let handle = told.recv().map_err(|_| PostgresError::Stopped)?;
        Ok(Self { shared: Arc::new(shared), handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs `work` on the store's thread and waits for it. Callers may be on any thread, within
    /// any runtime.
    pub(super) fn run<T: Send + 'static, F: Future<Output = Result<T, StoreError>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Shared>) -> F,
    ) -> Result<T, StoreError> {
        answer(&self.begin(work))
    }

    /// Has the store's thread run `work`, whose [`answer`] comes later.
    pub(super) fn begin<T: Send + 'static, F: Future<Output = Result<T, StoreError>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Shared>) -> F,
    ) -> Answered<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let work = work(Arc::clone(&self.shared));
        self.handle.spawn(async move {
            let _ = answer.send(work.await);
        });
        answered
    }
}

pub(super) type Answered<T> = mpsc::Receiver<Result<T, StoreError>>;

pub(super) fn answer<T>(answered: &Answered<T>) -> Result<T, StoreError> {
    answered.recv().unwrap_or_else(|_| Err(PostgresError::Stopped.into()))
}

/// Ends the thread: whatever is still under way is cut off, like by a crash.
impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn connector<T>(tls: T) -> Connect
where
    T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: Send> + Clone + Send + Sync + 'static,
    T::TlsConnect: TlsConnect<Socket, Future: Send>,
{
    Box::new(move |server| {
        let tls = tls.clone();
        Box::pin(async move {
            let (client, mut connection) = server.connect(tls).await?;
            let warned = Arc::new(AtomicBool::new(false));
            let raised = Arc::clone(&warned);
            tokio::spawn(async move {
                let next = |context: &mut std::task::Context<'_>| connection.poll_message(context);
                let mut next = next;
                while let Some(Ok(message)) = std::future::poll_fn(&mut next).await {
                    if let AsyncMessage::Notice(notice) = message
                        && notice.severity() == "WARNING"
                    {
                        raised.store(true, Ordering::Release);
                    }
                }
            });
            Ok((client, warned))
        })
    })
}
