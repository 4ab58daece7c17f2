//! A receiver of OTLP that reads with the specification's own types, and can misbehave.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    Good,
    /// gRPC UNAVAILABLE or HTTP 503 to the first request, then takes everything.
    BusyOnce,
    /// gRPC `RESOURCE_EXHAUSTED` with `RetryInfo`, or HTTP 429 with `Retry-After`, to the first request: very soon.
    ThrottledOnce,
    /// The same to every request: in an hour.
    Throttled,
    /// Takes the request, but not the span.
    Rejecting,
    /// gRPC `INVALID_ARGUMENT` or HTTP 400.
    Refusing,
    /// A good answer's head, and a body without end.
    Endless,
    /// Resets each connection.
    Resetting,
    /// Accepts connections and says nothing.
    Silent,
    /// Bytes that are no HTTP, without end.
    Garbage,
    /// Ends each connection.
    Closing,
}

/// What came.
#[derive(Debug, Default, Clone)]
pub struct Received {
    /// Requests for traces.
    pub traces: Vec<ExportTraceServiceRequest>,
    /// Requests for metrics.
    pub metrics: Vec<ExportMetricsServiceRequest>,
    /// The headers of each request.
    pub headers: Vec<HeaderMap>,
}

/// A running receiver.
pub struct Collector {
    pub address: SocketAddr,
    received: Arc<Mutex<Received>>,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub fn start(manner: Manner) -> Self {
        Self::start_at(0, manner)
    }

    /// On a port of loopback that others know already.
    pub fn start_at(port: u16, manner: Manner) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Received::default()));
        let shared = Arc::clone(&received);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner, Arc::clone(&shared)));
            }
        });
        Self { address, received, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }

    /// The spans that came, once there are so many.
    pub fn spans(&self, count: usize) -> Vec<Span> {
        let began = Instant::now();
        loop {
            let all = self.received().traces.into_iter().flat_map(|t| t.resource_spans).flat_map(|r| r.scope_spans);
            let spans: Vec<Span> = all.flat_map(|scope| scope.spans).collect();
            if spans.len() >= count {
                return spans;
            }
            assert!(began.elapsed() < crate::GUARD, "{} spans of {count}", spans.len());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, received: Arc<Mutex<Received>>) {
    match manner {
        Manner::Silent => std::future::pending::<()>().await,
        Manner::Closing => {}
        Manner::Resetting => {
            let _ = stream.set_zero_linger();
        }
        Manner::Garbage => while stream.write_all(&[0x42; 1024]).await.is_ok() {},
        _ => {
            let service = hyper::service::service_fn(move |request| answer(request, manner, Arc::clone(&received)));
            let mut first = [0; 3];
            let _ = stream.peek(&mut first).await;
            if &first == b"PRI" {
                let builder = hyper::server::conn::http2::Builder::new(Spawn);
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            } else {
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        }
    }
}

#[derive(Clone)]
struct Spawn;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    manner: Manner,
    received: Arc<Mutex<Received>>,
) -> Result<Response<Body>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let grpc = parts.headers.get("content-type").is_some_and(|value| value == "application/grpc");
    let mut bytes = body.collect().await?.to_bytes().to_vec();
    let compressed = if grpc {
        let prefix: Vec<u8> = bytes.drain(..5).collect();
        assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, bytes.len());
        prefix[0] == 1
    } else {
        parts.headers.get("content-encoding").is_some_and(|value| value == "gzip")
    };
    if compressed {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*bytes), &mut plain).unwrap();
        bytes = plain;
    }
    let mut all = received.lock().unwrap();
    all.headers.push(parts.headers);
    let first = all.headers.len() == 1;
    let reply = Reply::of(manner, first);
    if reply.http == 200 {
        if parts.uri.path().contains("metrics") || parts.uri.path().contains("Metrics") {
            all.metrics.push(ExportMetricsServiceRequest::decode(&*bytes).unwrap());
        } else {
            all.traces.push(ExportTraceServiceRequest::decode(&*bytes).unwrap());
        }
    }
    Ok(if grpc { reply.over_grpc(manner) } else { reply.over_http(manner) })
}

/// An answer in both languages.
struct Reply {
    http: u16,
    code: &'static str,
    /// Seconds until it may be tried again.
    wait: Option<u32>,
    message: Vec<u8>,
}

impl Reply {
    fn of(manner: Manner, first: bool) -> Self {
        let (http, code, wait) = match manner {
            Manner::BusyOnce if first => (503, "14", None),
            Manner::ThrottledOnce if first => (429, "8", Some(0)),
            Manner::Throttled => (429, "8", Some(3_600)),
            Manner::Refusing => (400, "3", None),
            _ => (200, "0", None),
        };
        let mut message = Vec::new();
        if manner == Manner::Rejecting {
            let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "no room".into() };
            message = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        }
        Self { http, code, wait, message }
    }

    fn over_grpc(&self, manner: Manner) -> Response<Body> {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(self.code));
        if let Some(seconds) = self.wait {
            let details = base64::engine::general_purpose::STANDARD.encode(retry_info(seconds));
            trailers.insert("grpc-status-details-bin", HeaderValue::from_str(&details).unwrap());
        }
        let length = u32::try_from(self.message.len()).unwrap().to_be_bytes();
        let data = [&[0][..], &length, &self.message].concat();
        let mut frames = vec![Frame::data(Bytes::from(data)), Frame::trailers(trailers)];
        if manner == Manner::Endless {
            frames.clear();
        }
        let body = http_body_util::StreamBody::new(Frames(frames.into(), manner == Manner::Endless));
        Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap()
    }

    fn over_http(&self, manner: Manner) -> Response<Body> {
        let mut response = Response::builder().status(self.http);
        if let Some(seconds) = self.wait {
            response = response.header("retry-after", seconds);
        }
        let body = match manner {
            Manner::Endless => http_body_util::StreamBody::new(Frames([].into(), true)).boxed(),
            _ => Full::from(self.message.clone()).boxed(),
        };
        response.body(body).unwrap()
    }
}

/// A `google.rpc.Status` whose details hold a `google.rpc.RetryInfo`: a millisecond longer than so many seconds.
fn retry_info(seconds: u32) -> Vec<u8> {
    let delay = prost_types::Duration { seconds: seconds.into(), nanos: 1_000_000 };
    let info = RetryInfo { retry_delay: Some(delay) };
    let any =
        prost_types::Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() };
    RpcStatus { code: 8, message: "later".into(), details: vec![any] }.encode_to_vec()
}

/// `google/rpc/error_details.proto`.
#[derive(prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// `google/rpc/status.proto`.
#[derive(prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// Frames that are all there, and where that is so, bytes without end after them.
struct Frames(VecDeque<Frame<Bytes>>, bool);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let more = self.1.then(|| Frame::data(Bytes::from_static(&[0x42; 1024])));
        std::task::Poll::Ready(self.0.pop_front().or(more).map(Ok))
    }
}

/// An attribute as text.
pub fn attribute(pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> Option<String> {
    let pair = pairs.iter().find(|pair| pair.key == key)?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}
