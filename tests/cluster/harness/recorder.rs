//! A TLS server between the API server and a webhook that keeps every AdmissionReview with its answer.
//!
//! Register the recorder's URL; it forwards each request body, byte for byte, to the webhook behind it. The bytes that
//! a real API server sends, and what the webhook made of them, can then be compared, replayed or saved.
//! One connection to the webhook a request: simple, and no measure of the webhook's speed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    client, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Cluster;

/// Longer than the API server waits for any webhook.
const UPSTREAM_LIMIT: Duration = Duration::from_secs(35);

/// From path and review to the answering review.
pub type Answer = fn(&str, &Value) -> Value;

/// What stands behind a recorder.
pub enum Upstream {
    /// A webhook process at `https://127.0.0.1:<port>`, whose certificate comes from this authority.
    Webhook { url: String, ca_pem: String },
    /// A plain function; for tests without a process.
    Function(Answer),
}

/// One call of the API server.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Path and query, such as `/mutate?timeout=2s`.
    pub path: String,
    /// Names in lower case, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The AdmissionReview as sent.
    pub request: Vec<u8>,
    /// The HTTP status of the answer; 502 if the webhook could not be reached.
    pub status: u16,
    /// The answer as sent.
    pub response: Vec<u8>,
}

impl Recorded {
    /// The request as JSON.
    pub fn review(&self) -> Result<Value> {
        serde_json::from_slice(&self.request).context("the API server sent no JSON")
    }

    /// The answer as JSON.
    pub fn answer(&self) -> Result<Value> {
        serde_json::from_slice(&self.response).context("the webhook answered no JSON")
    }
}

/// A running recorder; it stops when dropped.
pub struct Recorder {
    address: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    upstream: Upstream,
    calls: Mutex<Vec<Recorded>>,
}

impl Recorder {
    pub fn start(cluster: &Cluster, upstream: Upstream) -> Result<Self> {
        let certificate = cluster.authority().issue(&[])?;
        let chain =
            CertificateDer::pem_slice_iter(certificate.certificate_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        let listener = cluster.runtime().block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { upstream, calls: Mutex::default() });
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = cluster.runtime().spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Ok(Self { address, ca_pem: cluster.authority().pem(), shared, server })
    }

    /// For [`Cluster::register_webhook`].
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The authority of the recorder's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// All calls so far, in the order they were answered.
    pub fn calls(&self) -> Vec<Recorded> {
        self.shared.calls().clone()
    }

    /// All calls so far, which are then forgotten.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut *self.shared.calls())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| record(Arc::clone(&shared), request));
            // A connection that the API server drops is its own affair.
            let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn record(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    let header = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = request.headers().iter().map(header).collect();
    let body = request.into_body().collect().await?.to_bytes();

    let (status, response) = match answer(&shared.upstream, &path, &body).await {
        Ok(answer) => answer,
        Err(error) => (StatusCode::BAD_GATEWAY, Bytes::from(format!("recorder: {error:#}"))),
    };
    shared.calls().push(Recorded {
        path,
        headers,
        request: body.to_vec(),
        status: status.as_u16(),
        response: response.to_vec(),
    });
    let reply = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(reply.body(Full::new(response))?)
}

async fn answer(upstream: &Upstream, path: &str, body: &Bytes) -> Result<(StatusCode, Bytes)> {
    match upstream {
        Upstream::Function(function) => {
            let review = serde_json::from_slice(body)?;
            Ok((StatusCode::OK, serde_json::to_vec(&function(path, &review))?.into()))
        }
        Upstream::Webhook { url, ca_pem } => {
            timeout(UPSTREAM_LIMIT, forward(url, ca_pem, path, body)).await.context("the webhook did not answer")?
        }
    }
}

async fn forward(url: &str, ca_pem: &str, path: &str, body: &Bytes) -> Result<(StatusCode, Bytes)> {
    let uri: Uri = url.parse()?;
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else { bail!("{url}: wants host and port") };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect((host, port)).await.with_context(|| format!("cannot connect to {url}"))?;
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;

    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.clone()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, bytes))
}
