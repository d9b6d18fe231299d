//! Connections: accepted up to a limit, kept alive, and ended in order.
//!
//! Nothing here looks at the peer's address, and nothing writes one down.

use crate::arrival::arrive;
use crate::connection::Bounded;
use crate::endpoint::{self, Side};
use crate::problem::Problem;
use crate::service::Service;
use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use unjoin::store::Store;

/// For a request's head, and for a connection on which nothing comes.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

/// The connections of one side.
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    most: usize,
    open: AtomicUsize,
}

impl Connections {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(most));
        Arc::new(Self { places, most, open: AtomicUsize::new(0) })
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Nobody else is let in.
    pub(crate) fn are_full(&self) -> bool {
        self.open() >= self.most
    }
}

/// A connection's place, given back when it is dropped.
struct Place {
    connections: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn taken(connections: &Arc<Connections>, permit: OwnedSemaphorePermit) -> Self {
        connections.open.fetch_add(1, Ordering::Relaxed);
        Self { connections: Arc::clone(connections), _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn routes<S: Store>(service: &Arc<Service<S>>, side: Side) -> Router {
    endpoint::routes(service, side)
        .fallback(|| async { Problem::not_found() })
        .layer(from_fn_with_state(Arc::clone(service), arrive::<S>))
        .with_state(Arc::clone(service))
}

/// Serves until `stopped`, and then what is under way, for as long as that may take.
pub(crate) async fn serve<S: Store>(
    listener: TcpListener,
    service: Arc<Service<S>>,
    side: Side,
    mut stopped: watch::Receiver<bool>,
) {
    let (connections, patience) = (service.connections(side), service.patience);
    let routes = TowerToHyperService::new(routes(&service, side));
    drop(service);
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    let attend = |stream: TcpStream, permit| {
        let place = Place::taken(&connections, permit);
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(Bounded::new(stream, patience));
        let connection = graceful.watch(builder.serve_connection(stream, routes.clone()));
        tokio::spawn(async move {
            // A peer that breaks off is no news.
            let _ = connection.await;
            drop(place);
        });
    };
    loop {
        // Who finds no place waits in the listener's own queue.
        let accept = async {
            let permit = Arc::clone(&connections.places).acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = accept => accepted,
        };
        match accepted {
            Some((permit, Ok((stream, _)))) => attend(stream, permit),
            Some((_, Err(error))) => {
                tracing::error!("accepting connections: {}", error.kind());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            None => break,
        }
    }
    // Who waits in the listener's queue has been let in by the operating system.
    while let Poll::Ready(Ok((stream, _))) =
        poll_fn(|context| Poll::Ready(listener.poll_accept(context))).await
        && let Ok(permit) = Arc::clone(&connections.places).try_acquire_owned()
    {
        attend(stream, permit);
    }
    drop(listener);
    if tokio::time::timeout(patience + Duration::from_secs(1), graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}
