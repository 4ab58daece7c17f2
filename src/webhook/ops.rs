//! The paths for those who run the server: `/healthz`, `/readyz` on both ports; `/metrics`, `/health` on the plain one.

use std::fmt;
use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
    routing::get,
};
use serde_json::Value;

use crate::{telemetry::metrics::CONTENT_TYPE, webhook::answer};

/// How a server is, for those who run it.
pub(crate) trait Status: Send + Sync {
    /// Whether it is ready, and the body of `/readyz`.
    fn readiness(&self) -> (bool, Value);
    /// Whether it is healthy, and the body of `/health`.
    fn health(&self) -> (bool, Value);
    /// The body of `/metrics`.
    fn metrics(&self) -> Result<String, fmt::Error>;
}

/// What both ports have.
pub(super) fn probes(health: Arc<dyn Status>) -> Router {
    Router::new()
        .route("/healthz", get(async || Response::new(Body::from("ok\n"))))
        .route("/readyz", get(readyz))
        .with_state(health)
}

/// Says in words what is not there; for a router with all its paths.
pub(crate) fn closed(router: Router) -> Router {
    router
        .fallback(async || answer::refuse(StatusCode::NOT_FOUND, "stepspan: no such path", false))
        .method_not_allowed_fallback(async || {
            answer::refuse(StatusCode::METHOD_NOT_ALLOWED, "stepspan: this path has another method", false)
        })
}

/// The operations port.
pub(crate) fn router(health: Arc<dyn Status>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(status))
        .with_state(Arc::clone(&health))
        .merge(probes(health))
}

async fn readyz(State(health): State<Arc<dyn Status>>) -> Response<Body> {
    let (ready, body) = health.readiness();
    respond(ready, &body)
}

async fn status(State(health): State<Arc<dyn Status>>) -> Response<Body> {
    let (healthy, body) = health.health();
    respond(healthy, &body)
}

async fn metrics(State(health): State<Arc<dyn Status>>) -> Response<Body> {
    let Ok(text) = health.metrics() else {
        return answer::refuse(StatusCode::INTERNAL_SERVER_ERROR, "stepspan: the metrics cannot be written", false);
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

fn respond(good: bool, body: &Value) -> Response<Body> {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = body.to_string();
    text.push('\n');
    answer::json(status, text.into_bytes(), false)
}
