//! One HTTP connection, and one OTLP request over it.

use std::error::Error;
use std::io::{self, Write};
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
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::target::{Protocol, Target};
use super::{Signal, Verdict, answer};

/// A longer answer is none (an answer is a few bytes; a page of errors may be more).
const LONGEST_ANSWER: usize = 64 * 1024;
/// What headers of an answer may hold.
const LONGEST_HEADERS: u32 = 16 * 1024;

/// The other side is gone, and nobody knows why.
pub const LOST: &str = "connection lost";

/// A connection.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    /// How the connection ended, where it has: what was heard between two requests is told to none of them.
    connection: JoinHandle<hyper::Result<()>>,
}

#[derive(Debug)]
enum Sender {
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
                let (sender, connection) = http1::handshake(io).await.map_err(|error| cause(&error))?;
                Ok(Self { sender: Sender::Http1(sender), connection: tokio::spawn(connection) })
            }
            Protocol::Grpc => {
                let mut builder = http2::Builder::new(Here);
                builder.max_header_list_size(LONGEST_HEADERS).initial_stream_window_size(LONGEST_HEADERS);
                let (sender, connection) = builder.handshake(io).await.map_err(|error| cause(&error))?;
                Ok(Self { sender: Sender::Http2(sender), connection: tokio::spawn(connection) })
            }
        }
    }

    /// Sends one request and reads its answer; gives the connection back where it can take another.
    ///
    /// # Errors
    /// The connection is of no more use, and why.
    pub async fn send(mut self, target: &Target, signal: Signal, message: &[u8]) -> Result<(Self, Verdict), String> {
        let request = match request(target, signal, message) {
            Ok(request) => request,
            Err(why) => return Ok((self, Verdict::Refused(why))),
        };
        let exchange = async {
            match self.sender.send(request).await {
                Ok(response) => read(response, target.protocol).await.map(|verdict| (self, verdict)),
                Err(error) => Err(self.lost(&error).await),
            }
        };
        match target.timeout {
            None => exchange.await,
            Some(limit) => timeout(limit, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned())),
        }
    }

    /// Why a request had no answer; where it does not know, the connection may.
    async fn lost(self, error: &hyper::Error) -> String {
        match cause(error) {
            why if why != LOST => why,
            // It has ended, or is about to: that is what the request was told.
            why => match self.connection.await {
                Ok(Err(error)) => cause(&error),
                _ => why,
            },
        }
    }
}

impl Sender {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// What the stream said, or else HTTP.
fn cause(error: &hyper::Error) -> String {
    let mut at: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = at {
        let io = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io).or_else(|| error.downcast_ref());
        if let Some(io) = io {
            return plain(io);
        }
        at = error.source();
    }
    if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        return LOST.to_owned();
    }
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// An error without the system's number.
pub fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "timed out".to_owned(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => LOST.to_owned(),
        _ => error.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;
    use tokio::task::yield_now;

    use super::*;

    /// A stream that takes everything and says once why it is over, as TLS does with an alert.
    struct Alerted(Option<io::Error>);

    impl AsyncRead for Alerted {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.0.take().map_or(Ok(()), Err))
        }
    }

    impl AsyncWrite for Alerted {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// The answer to a request on a connection that ended as soon as its own work was done this many times.
    async fn refused(protocol: Protocol, turns: usize) -> Option<String> {
        let target = Target { host: "localhost".to_owned(), port: 4317, protocol, ..Target::default() };
        let alert = io::Error::new(io::ErrorKind::InvalidData, "CertificateRequired");
        let client = Client::over(Alerted(Some(alert)), protocol).await.ok()?;
        for _ in 0..turns {
            yield_now().await;
        }
        client.send(&target, Signal::Trace, b"").await.err()
    }

    #[tokio::test]
    async fn what_ended_a_connection_is_told_whenever_it_was_heard() {
        for protocol in [Protocol::Http, Protocol::Grpc] {
            for turns in 0..8 {
                assert_eq!(
                    refused(protocol, turns).await.as_deref(),
                    Some("CertificateRequired"),
                    "{protocol:?} {turns}"
                );
            }
        }
    }
}
