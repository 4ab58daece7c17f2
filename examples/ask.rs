//! Asks a running webhook: sends an AdmissionReview over verified TLS and shows the answer with its patch decoded.
//!
//! `cargo run --example ask -- HOST:PORT CA_FILE REVIEW_FILE`; waits up to ten seconds for the webhook to listen.
#![allow(clippy::print_stdout, reason = "an example: it shows what came back")]

use std::{error::Error, fs, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::TlsConnector;

const USAGE: &str = "usage: ask HOST:PORT CA_FILE REVIEW_FILE";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (address, ca, review) = (args.next().ok_or(USAGE)?, args.next().ok_or(USAGE)?, args.next().ok_or(USAGE)?);
    let stream = connect(&address).await?;
    let host = address.rsplit_once(':').ok_or(USAGE)?.0.to_owned();
    let tls = TlsConnector::from(Arc::new(trusting(Path::new(&ca))?));
    let stream = tls.connect(ServerName::try_from(host.clone())?, stream).await?;
    println!("TLS verified for {host} with {ca}");

    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post("/mutate?timeout=2s")
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(fs::read(review)?)))?;
    let response = sender.send_request(request).await?;
    println!("HTTP {}", response.status());
    show(&serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
}

async fn connect(address: &str) -> Result<TcpStream, std::io::Error> {
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect(address).await {
            return Ok(stream);
        }
        sleep(Duration::from_millis(100)).await;
    }
    TcpStream::connect(address).await
}

fn trusting(ca: &Path) -> Result<rustls::ClientConfig, Box<dyn Error>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The answer, its patch as one operation a line.
fn show(review: &Value) -> Result<(), Box<dyn Error>> {
    let response = &review["response"];
    for field in ["uid", "allowed", "patchType", "warnings", "auditAnnotations"] {
        if let Some(value) = response.get(field) {
            println!("{field}: {value}");
        }
    }
    let patch = response["patch"].as_str().map(|text| STANDARD.decode(text)).transpose()?.unwrap_or_default();
    let operations: Vec<Value> = if patch.is_empty() { Vec::new() } else { serde_json::from_slice(&patch)? };
    println!("patch: {} operations, {} bytes", operations.len(), patch.len());
    for operation in operations {
        println!("  {operation}");
    }
    Ok(())
}
