//! One HTTP connection, and one OTLP request over it.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::target::{Protocol, Target};
use super::{Signal, Verdict, answer, connect};

/// A longer answer is none (an answer is a few bytes; a page of errors may be more).
const LONGEST_ANSWER: usize = 64 * 1024;
/// What headers of an answer may hold.
const LONGEST_HEADERS: u32 = 16 * 1024;

/// The other side is gone, and nobody knows why.
pub const LOST: &str = "connection lost";

/// A connection.
#[derive(Debug)]
pub enum Client {
    /// HTTP/1.1, for OTLP/HTTP.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2, for gRPC.
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Runs a connection's own work on the one thread.
#[derive(Clone)]
struct Here;

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

impl Client {
    /// Shakes hands over a stream.
    ///
    /// # Errors
    /// What the other side did not understand.
    pub async fn over<S>(stream: S, protocol: Protocol) -> Result<Self, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        match protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                Ok(Self::Http1(sender))
            }
            Protocol::Grpc => {
                let mut builder = http2::Builder::new(Here);
                builder.max_header_list_size(LONGEST_HEADERS).initial_stream_window_size(LONGEST_HEADERS);
                let (sender, connection) = builder.handshake(io).await.map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                Ok(Self::Http2(sender))
            }
        }
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub async fn send(&mut self, target: &Target, signal: Signal, message: &[u8]) -> Result<Verdict, String> {
        let request = match request(target, signal, message) {
            Ok(request) => request,
            Err(why) => return Ok(Verdict::Refused(why)),
        };
        let exchange = async {
            let response = match self {
                Self::Http1(sender) => {
                    sender.ready().await.map_err(|_| LOST)?;
                    sender.send_request(request).await
                }
                Self::Http2(sender) => {
                    sender.ready().await.map_err(|_| LOST)?;
                    sender.send_request(request).await
                }
            };
            read(response.map_err(|error| cause(&error))?, target.protocol).await
        };
        match target.timeout {
            None => exchange.await,
            Some(limit) => timeout(limit, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned())),
        }
    }
}

fn cause(error: &hyper::Error) -> String {
    if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        return LOST.to_owned();
    }
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<h2::Error>()?.get_io()).or_else(|| source?.downcast_ref());
    io.map_or_else(|| source.map_or_else(|| error.to_string(), ToString::to_string), connect::plain)
}

async fn read(response: Response<Incoming>, protocol: Protocol) -> Result<Verdict, String> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|_| "an answer that is none")?;
    let trailers = body.trailers().cloned();
    let bytes = body.to_bytes();
    Ok(match protocol {
        Protocol::Grpc => answer::grpc(parts.status, &parts.headers, trailers.as_ref(), &bytes),
        Protocol::Http => answer::http(parts.status, &parts.headers, &bytes),
    })
}

/// `POST` as OTLP/gRPC (one length-prefixed message, gRPC over HTTP/2) or OTLP/HTTP says.
fn request(target: &Target, signal: Signal, message: &[u8]) -> Result<Request<Full<Bytes>>, String> {
    let content = if target.gzip { gzip(message) } else { message.to_vec() };
    let scheme = if target.tls { "https" } else { "http" };
    let mut request = Request::post(format!("{scheme}://{}{}", target.authority(), path(target, signal)));
    let body = match target.protocol {
        Protocol::Grpc => {
            request = request.header("content-type", "application/grpc").header("te", "trailers");
            if target.gzip {
                request = request.header("grpc-encoding", "gzip");
            }
            if let Some(limit) = target.timeout {
                request = request.header("grpc-timeout", grpc_timeout(limit));
            }
            let length = u32::try_from(content.len()).map_err(|_| "too much to send")?;
            [&[u8::from(target.gzip)][..], &length.to_be_bytes(), &content].concat()
        }
        Protocol::Http => {
            // HTTP/1.1 carries the path alone, and names the host.
            request = Request::post(path(target, signal)).header("host", target.authority());
            request = request.header("content-type", "application/x-protobuf");
            if target.gzip {
                request = request.header("content-encoding", "gzip");
            }
            content
        }
    };
    request = request.header("user-agent", concat!("stepspan-shim/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    request.body(Full::from(body)).map_err(|_| "headers that cannot be sent".to_owned())
}

fn path(target: &Target, signal: Signal) -> String {
    let own = match (target.protocol, signal) {
        (Protocol::Grpc, Signal::Trace | Signal::Parts) => {
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        }
        (Protocol::Grpc, Signal::Metrics) => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        // A URL that names no path means the root.
        (Protocol::Http, _) if target.whole_path && target.path.is_empty() => "/",
        (Protocol::Http, _) if target.whole_path => "",
        (Protocol::Http, Signal::Trace | Signal::Parts) => "/v1/traces",
        (Protocol::Http, Signal::Metrics) => "/v1/metrics",
    };
    if target.protocol == Protocol::Grpc { own.to_owned() } else { format!("{}{own}", target.path) }
}

/// At most eight digits and a unit (gRPC over HTTP/2, "Requests").
fn grpc_timeout(limit: Duration) -> String {
    format!("{}m", limit.as_millis().min(99_999_999))
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(message);
    encoder.finish().unwrap_or_default()
}
