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

use super::ledger::writer::Handle;
use super::metrics::Metrics;

/// How long the store may take for one write and still be called ready.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the pages are made of.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Series.
    pub metrics: Arc<Metrics>,
    /// The store.
    pub ledger: Handle,
}

/// The pages. They are served only while gRPC is, so `/readyz` has the store alone to ask.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> Response {
    match admin.ledger.probe(PATIENCE).await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
