//! The floor for the throughput figures: the same accept loop, TLS and router, and an answer that costs nothing.
//!
//! `cargo run --release --example floor -- PORT CA_FILE`: answers every review on `https://127.0.0.1:PORT/mutate` with
//! `allowed: true` under its uid, so that a real API server takes it too. Writes the CA's certificate to the file. Benches
//! can have it give the same patch each time.

use std::{error::Error, path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use serde_json::json;
use stepspan::{
    admission::head::read_uid,
    config::{Config, TlsSource},
    telemetry::metrics::Metrics,
    webhook::{
        allow,
        server::{Server, Service, bind},
        tls::{TlsStore, transport},
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let port = args.next().ok_or("usage: floor PORT CA_FILE")?.parse()?;
    serve(port, args.next().ok_or("usage: floor PORT CA_FILE")?.into()).await
}

/// Serves until interrupted.
pub async fn serve(port: u16, ca: PathBuf) -> Result<(), Box<dyn Error>> {
    serve_patch(port, ca, None).await
}

/// The same; each answer holds this patch, in base64.
pub async fn serve_patch(port: u16, ca: PathBuf, patch: Option<Arc<str>>) -> Result<(), Box<dyn Error>> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let config = Config { tls: TlsSource::SelfMade { names, write_ca: Some(ca) }, ..Config::default() };
    let limit = DefaultBodyLimit::max(config.limits.body_bytes);
    let router = Router::new().route("/mutate", post(constant)).layer(limit).with_state(patch);
    let metrics = Arc::new(Metrics::default());
    let service = Service {
        transport: transport(&Arc::new(TlsStore::open(&config)?)),
        router,
        limits: config.limits,
        connections: metrics.connections.clone(),
        metrics,
    };
    let server = Server::start(bind(Some([127, 0, 0, 1].into()), port, "PORT").await?, service)?;
    tokio::signal::ctrl_c().await?;
    server.drain(config.drain.timeout).await;
    Ok(())
}

async fn constant(State(patch): State<Option<Arc<str>>>, body: Bytes) -> (StatusCode, Vec<u8>) {
    let Some(uid) = read_uid(&body) else { return (StatusCode::BAD_REQUEST, Vec::new()) };
    let Some(patch) = patch else { return (StatusCode::OK, allow(&uid, &[])) };
    let response = json!({"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": &*patch});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    (StatusCode::OK, review.to_string().into_bytes())
}
