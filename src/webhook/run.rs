//! Puts the server together, keeps it up to date while it runs, and takes it down in order.
//!
//! The end, after SIGTERM or SIGINT: not ready at once, while new connections are still served (`drain.delay`: the time
//! in which the endpoint is taken out of every node); then the listener closes, clients are asked to leave, and what is
//! in flight may finish (`drain.timeout`). The operations port goes last, so that the end can be watched.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use serde_json::json;
use time::OffsetDateTime;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

pub use crate::webhook::mutate::Reviewer;
use crate::{
    cluster::{self, Connected, Listener, client::ClientError},
    config::{Config, Drain, Limits},
    context::Context,
    source::store::{LoadError, Loader},
    telemetry::{
        events::{Event, EventLog, OpenError, rfc3339},
        metrics::Metrics,
        trace::{TraceError, Tracer},
    },
    webhook::{
        body::Budget,
        health::Health,
        keeper::{Keeper, Trouble},
        kept::Kept,
        mutate::{self, App},
        ops,
        recorder::{Counters, RecordError, Recorder},
        server::{self, BindError, Server, Service, Transport},
        tls::{self, TlsError, TlsStore},
    },
};

const LAST_WORDS: Duration = Duration::from_secs(2);
const OPS_CONNECTIONS: usize = 64;

/// What the server is handed besides its configuration.
#[derive(Clone)]
pub struct Seams {
    /// Loads and compiles the policies.
    pub loader: Loader,
    /// Evaluates one review.
    pub reviewer: Reviewer,
    /// The facts of this place.
    pub context: Context,
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seams").field("context", &self.context).finish_non_exhaustive()
    }
}

/// The server could not start. Each text says what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The event log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The policies.
    #[error(transparent)]
    Policies(#[from] LoadError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The own traces.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The Kubernetes API.
    #[error(transparent)]
    Cluster(#[from] ClientError),
    /// What the operating system refused.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Webhook {
    https: Server,
    ops: Server,
    keepers: JoinSet<()>,
    cluster: Option<Connected>,
    health: Arc<Health>,
    events: Arc<EventLog>,
    tracer: Option<Arc<Tracer>>,
    recorder: Option<Arc<Recorder>>,
    drain: Drain,
}

/// Runs until SIGTERM or SIGINT, then drains; a second signal cuts that short.
pub async fn until_signal(config: Config, seams: Seams) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let webhook = Webhook::start(config, seams).await?;
    log_panics(Arc::clone(&webhook.events));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let events = Arc::clone(&webhook.events);
    tokio::select! {
        () = webhook.drain() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    events.flush(LAST_WORDS);
    Ok(())
}

/// Where, not what: a panic's message could hold something out of a request.
fn log_panics(events: Arc<EventLog>) {
    std::panic::set_hook(Box::new(move |panic| {
        let at = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        events.emit(&Event::error("panic", json!({"at": at}), "an internal error; the request was admitted unpatched"));
    }));
}

impl Webhook {
    /// Loads everything, opens both ports and serves.
    pub async fn start(config: Config, seams: Seams) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::default());
        let events = Arc::new(EventLog::open(&config.log, config.level, metrics.events_dropped.clone())?);
        let kept = Kept::open(&config, &seams)?;
        let tracer = config.trace.as_ref().map(Tracer::new).transpose()?.map(Arc::new);
        let counters = Counters { written: metrics.records_written.clone(), dropped: metrics.records_dropped.clone() };
        let recorder = config.record.as_ref().map(|kept| Recorder::open(kept, counters, Arc::clone(&events)));
        let recorder = recorder.transpose()?.map(Arc::new);
        let client = match &config.cluster {
            Some(_) => Some(cluster::client::client().await?),
            None => None,
        };
        let https = server::bind(config.bind, config.https_port, "--https-port").await?;
        let ops = server::bind(config.bind, config.ops_port, "--ops-port").await?;

        let draining = Arc::new(AtomicBool::new(false));
        let health = Arc::new(Health::new(
            kept.clone(),
            Arc::clone(&metrics),
            Arc::clone(&draining),
            config.cluster.as_ref().map(|_| Trouble::default()),
        ));
        let app = App {
            reviewer: seams.reviewer,
            kept: kept.clone(),
            metrics: Arc::clone(&metrics),
            events: Arc::clone(&events),
            tracer: tracer.clone(),
            recorder: recorder.clone(),
            limits: config.limits,
            budget: Budget::new(config.limits.body_memory),
            needs_client: config.client_ca.is_some(),
            draining,
        };
        let https = Server::start(https, admission_service(app, &health, &config, &kept.tls))?;
        let ops = Server::start(ops, ops_service(&health, &metrics))?;
        let keeper = Keeper::new(Arc::clone(&health), Arc::clone(&events));
        let listener: Arc<dyn Listener> = Arc::<Keeper>::clone(&keeper);
        let cluster = client.zip(config.cluster.as_ref());
        let cluster = cluster.map(|(client, config)| cluster::connect(client, config, &kept, &listener));
        let registration = cluster.as_ref().map(|connected| connected.registration.clone());
        let keepers = keeper.start(&config, seams.reviewer, https.address(), registration);
        let webhook = Self { https, ops, keepers, cluster, health, events, tracer, recorder, drain: config.drain };
        webhook.announce();
        Ok(webhook)
    }

    /// Where the admission port listens.
    pub fn https(&self) -> SocketAddr {
        self.https.address()
    }

    /// Where the operations port listens.
    pub fn ops(&self) -> SocketAddr {
        self.ops.address()
    }

    /// The metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.health.metrics
    }

    /// Stops in order; see the module's text.
    pub async fn drain(mut self) {
        self.health.draining.store(true, Ordering::Relaxed);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let plan = json!({"delay_ms": ms(self.drain.delay), "timeout_ms": ms(self.drain.timeout)});
        self.events.emit(&Event::info("drain", plan));
        tokio::time::sleep(self.drain.delay).await;
        let cut_off = self.https.drain(self.drain.timeout).await;
        self.keepers.shutdown().await;
        if let Some(cluster) = self.cluster {
            // The next holder of the Lease need not wait; but an API server that is away must not hold up the end.
            let _ = tokio::time::timeout(LAST_WORDS, cluster.leave()).await;
        }
        self.ops.drain(LAST_WORDS).await;
        if let Some(tracer) = self.tracer {
            // A collector that is away must not hold up the end for long.
            let _ = tokio::task::spawn_blocking(move || tracer.shutdown(LAST_WORDS)).await;
        }
        if let Some(recorder) = self.recorder {
            let _ = tokio::task::spawn_blocking(move || recorder.flush(LAST_WORDS)).await;
        }
        self.events.emit(&Event::info("stop", json!({"connections_cut_off": cut_off})));
        let events = Arc::clone(&self.events);
        // What is not written by then is late, not lost: the writer goes on while the process does.
        let _ = tokio::task::spawn_blocking(move || events.flush(LAST_WORDS)).await;
    }

    fn announce(&self) {
        let loaded = self.health.kept.policies.current();
        let until = self.health.kept.tls.current().map(|served| served.not_after);
        self.metrics().policies_loaded(&loaded);
        if let Some(until) = until {
            self.metrics().certificate_loaded(until);
        }
        self.metrics().set_paused(self.health.kept.pause.paused());
        let payload = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "https": self.https().to_string(),
            "ops": self.ops().to_string(),
            "policies": loaded.hash,
            "certificate_not_after": until.map(|until| rfc3339(OffsetDateTime::from(until))),
            "paused": self.health.kept.pause.paused(),
        });
        self.events.emit(&Event::info("start", payload));
    }
}

fn admission_service(app: App, health: &Arc<Health>, config: &Config, tls: &Arc<TlsStore>) -> Service {
    let metrics = Arc::clone(&app.metrics);
    Service {
        transport: tls::transport(tls),
        router: ops::closed(mutate::router(Arc::new(app)).merge(ops::probes(Arc::<Health>::clone(health)))),
        limits: config.limits,
        connections: metrics.connections.clone(),
        metrics,
    }
}

fn ops_service(health: &Arc<Health>, metrics: &Arc<Metrics>) -> Service {
    Service {
        transport: Transport::Plain,
        router: ops::closed(ops::router(Arc::<Health>::clone(health))),
        limits: Limits { connections: OPS_CONNECTIONS, ..Limits::default() },
        metrics: Arc::<Metrics>::clone(metrics),
        connections: Gauge::default(),
    }
}
