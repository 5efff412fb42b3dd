//! Health, readiness and metrics over plain HTTP.
//!
//! Does not: show keys, records or anything a reader of metrics should not see.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::clock::{self, Clock};
use super::ledger::writer::Handle;
use super::metrics::Metrics;
use super::socket::SocketFile;
use super::until;

/// How long the store may take for one write and still be called ready.
const PATIENCE: Duration = Duration::from_millis(500);

/// Connections at once; whoever comes later waits until one ends.
const CONNECTIONS: usize = 64;
/// Largest head of a request.
const HEAD: usize = 16 << 10;
/// Within so long a head must be there, and the next one on a connection that is kept.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// After an accept that failed, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What the pages are made of.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Series.
    pub metrics: Arc<Metrics>,
    /// The store.
    pub ledger: Handle,
    /// The ledger's clock.
    pub clock: Arc<Clock>,
    /// The file of the socket that Envoy connects to, if it is one.
    pub socket: Option<Arc<SocketFile>>,
}

/// The pages. They are served only while gRPC is, so `/readyz` asks the store, and whether the socket can be found.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    if let Some(Err(problem)) = admin.socket.as_ref().map(|socket| socket.check()) {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response();
    }
    match admin.ledger.probe(PATIENCE).await {
        Ok(()) => {
            let offset = Duration::from_secs_f64(admin.clock.offset().abs());
            let word = if offset > clock::JUMP { "ready; the wall clock has jumped, see the log\n" } else { "ready\n" };
            word.into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Serves the pages until it is stopped, then finishes those that are being answered.
///
/// # Errors
/// None.
pub async fn serve(listener: TcpListener, router: Router, stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            (place, accepted) = next => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let (router, stopped) = (router.clone(), stopped.clone());
                open.spawn(async move {
                    answer(stream, router, stopped).await;
                    drop(place);
                });
            }
            () = until(stopped.clone()) => break,
        }
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    while open.join_next().await.is_some() {}
    Ok(())
}

async fn answer(stream: TcpStream, router: Router, stopped: watch::Receiver<bool>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = until(stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a reader of pages left early");
    }
}
