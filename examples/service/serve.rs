//! Connections: accepted up to a limit, kept alive, and ended in order.
//!
//! Nothing here looks at the peer's address, and nothing writes one down.

use crate::service::Service;
use crate::{door, operations, orders, problem::Problem, reviews, telephony};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use unjoin::store::Store;

/// For a request's head, and for a connection on which nothing comes.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

/// What devices and readers reach, through whatever stands in front.
pub(crate) fn public_routes<S: Store>(service: &Arc<Service<S>>) -> Router {
    orders::device_routes(service)
        .merge(door::routes(service))
        .merge(reviews::routes(service))
        .fallback(|| async { Problem::not_found() })
        .with_state(Arc::clone(service))
}

/// What the platform's own services, its switches and its operators reach.
pub(crate) fn internal_routes<S: Store>(service: &Arc<Service<S>>) -> Router {
    orders::internal_routes(service)
        .merge(telephony::routes(service))
        .merge(operations::routes())
        .fallback(|| async { Problem::not_found() })
        .with_state(Arc::clone(service))
}

/// Serves until `stopped`, and then what is under way, for as long as `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    most_connections: usize,
    grace: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(most_connections));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    loop {
        // Who finds no place waits in the listener's own queue.
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = accept => accepted,
        };
        match accepted {
            Some((place, Ok((stream, _)))) => {
                let _ = stream.set_nodelay(true);
                let service = TowerToHyperService::new(routes.clone());
                let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    // A peer that breaks off is no news.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Some((_, Err(error))) => {
                tracing::error!("accepting connections: {}", error.kind());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            None => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}
