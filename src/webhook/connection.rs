//! One connection: TLS handshake, HTTP/1.1 or HTTP/2 by ALPN, and a watch over its time.
//!
//! hyper's own header timeout also runs while a kept connection is idle, so it cannot be both short enough against slow
//! headers and longer than the API server's 90 s. The watch below tells the two apart: bytes that arrive while no
//! request is being served start the header time, the end of a request starts the idle time.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::Limits,
    telemetry::metrics::Cause,
    webhook::server::{Peer, Service, Transport},
};

/// Request headers together, in bytes; the API server sends some 500.
const HEADERS: u32 = 32 * 1024;
const STREAMS: u32 = 64;

pub(super) async fn serve(stream: TcpStream, service: &Service, watched: Arc<Activity>, stop: watch::Receiver<bool>) {
    let Transport::Tls(config) = &service.transport else {
        return talk(stream, service, watched, (Peer { authenticated: false }, false), stop).await;
    };
    let Some(config) = config() else { return service.metrics.failed(Cause::TlsHandshake) };
    let handshake = TlsAcceptor::from(config).accept(stream);
    let tls = match timeout(service.limits.handshake_timeout, handshake).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(_)) => return service.metrics.failed(Cause::TlsHandshake),
        Err(_) => return service.metrics.failed(Cause::TlsTimeout),
    };
    let session = tls.get_ref().1;
    let peer = Peer { authenticated: session.peer_certificates().is_some_and(|chain| !chain.is_empty()) };
    let http2 = session.alpn_protocol() == Some(b"h2");
    talk(tls, service, watched, (peer, http2), stop).await;
}

async fn talk<S>(
    stream: S,
    service: &Service,
    watched: Arc<Activity>,
    (peer, http2): (Peer, bool),
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Watched { stream, activity: Arc::clone(&watched) });
    let builder = builder(http2, &service.limits);
    let answering = Answering { router: service.router.clone(), peer, activity: Arc::clone(&watched) };
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(answering)));
    let tick = tick(&service.limits);
    let mut draining = false;
    loop {
        tokio::select! {
            // A broken connection is the client's affair; what it broke off was counted where it was read.
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stopping| *stopping), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(tick) => match watched.verdict(&service.limits, http2) {
                Verdict::Fine => {}
                Verdict::Idle => return,
                Verdict::SlowHeaders => return service.metrics.failed(Cause::HeaderTimeout),
            },
        }
    }
}

fn builder(http2: bool, limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout + limits.header_timeout)
        .max_buf_size(HEADERS as usize)
        .max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(64)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    if http2 { builder.http2_only() } else { builder.http1_only() }
}

/// Often enough that no limit is overrun by more than a quarter.
fn tick(limits: &Limits) -> Duration {
    let shortest = limits.header_timeout.min(limits.idle_timeout);
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// What a connection did last. Times are milliseconds since it began, plus one; 0 is "not".
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    serving: AtomicUsize,
    requests: AtomicU64,
    headers_since: AtomicU64,
    idle_since: AtomicU64,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Idle,
    SlowHeaders,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            serving: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            headers_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(1),
        }
    }

    /// For how long nothing has been asked; `None` while something is.
    pub(super) fn idle(&self) -> Option<Duration> {
        if self.serving.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(Duration::from_millis(self.now().saturating_sub(self.idle_since.load(Ordering::Relaxed))))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn received(&self) {
        if self.serving.load(Ordering::Relaxed) == 0 && self.headers_since.load(Ordering::Relaxed) == 0 {
            self.headers_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn begin(&self) {
        self.serving.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.headers_since.store(0, Ordering::Relaxed);
    }

    fn end(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.serving.fetch_sub(1, Ordering::Relaxed);
    }

    fn verdict(&self, limits: &Limits, http2: bool) -> Verdict {
        if self.serving.load(Ordering::Relaxed) > 0 {
            return Verdict::Fine;
        }
        let since = |start: u64| Duration::from_millis(self.now().saturating_sub(start));
        let first = self.requests.load(Ordering::Relaxed) == 0;
        let headers = self.headers_since.load(Ordering::Relaxed);
        // On a kept HTTP/2 connection bytes between requests are pings and window updates as well.
        let header_start = if first { Some(1) } else { (headers > 0 && !http2).then_some(headers) };
        if header_start.is_some_and(|start| since(start) > limits.header_timeout) {
            return Verdict::SlowHeaders;
        }
        let idle = self.idle().is_some_and(|idle| idle > limits.idle_timeout);
        if idle { Verdict::Idle } else { Verdict::Fine }
    }
}

/// Ends a request in the activity also when its future is dropped.
struct Serving(Arc<Activity>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The router, told who asks, and counted.
#[derive(Clone)]
struct Answering {
    router: Router,
    peer: Peer,
    activity: Arc<Activity>,
}

impl tower_service::Service<Request<Incoming>> for Answering {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.activity.begin();
        let serving = Serving(Arc::clone(&self.activity));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(serving);
            answer
        })
    }
}

/// A stream that tells when bytes come in.
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.received();
        }
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
