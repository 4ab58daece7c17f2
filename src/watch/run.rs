//! Puts it together, and takes it down in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::config::Config;
use super::deliver::Sender;
use super::health::Health;
use super::lead::lead;
use super::metrics::Metrics;
use super::otlp::Wire;
use super::own::Own;
use super::push;
use super::tasks::AbortOnDrop;
use crate::cluster::client::{self, ClientError};
use crate::cluster::lease::{self, Holder as _};
use crate::config::Limits;
use crate::telemetry::events::{Event, EventLog, OpenError};
use crate::telemetry::trace::TraceError;
use crate::webhook::ops;
use crate::webhook::server::{self, BindError, Server, Service, Transport};

const LAST_WORDS: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 64;
/// Before a replica begins to lead: what failed is not tried at once again.
const BREATH: Duration = Duration::from_millis(500);

/// It could not start. Each text says what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The event log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The Collector.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The Kubernetes API.
    #[error(transparent)]
    Cluster(#[from] ClientError),
    /// What the operating system refused.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// Watches until SIGTERM or SIGINT; what is queued then has some seconds to arrive. A second signal cuts that short.
///
/// # Errors
/// It could not start.
pub async fn until_signal(config: Config) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let metrics = Arc::new(Metrics::new());
    let events = Arc::new(EventLog::open(&config.log, config.level, metrics.events_dropped.clone())?);
    let client = client::client().await?;
    let wire = Wire::new(&config.endpoint)?;
    let _push = config
        .otlp_metrics
        .map(|every| AbortOnDrop::spawn(push::run(wire.clone(), every, Arc::clone(&metrics), Arc::clone(&events))));
    let own = Own::new(&config)?;
    let sender = Sender::new(wire, &config.endpoint, Arc::clone(&metrics), Arc::clone(&events));
    let sender = Arc::new(sender.traced(own.clone()));
    let health = Arc::new(Health::new(Arc::clone(&metrics), Arc::clone(&events)));
    let listener = server::bind(config.bind, config.ops_port, "--ops-port").await?;
    let server = Server::start(listener, service(&health, &metrics))?;
    let payload = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ops": server.address().to_string(),
        "endpoint": config.endpoint,
        "namespace": config.only,
        "identity": config.identity,
    });
    events.emit(&Event::info("start", payload));

    let (stop, stopped) = watch::channel(false);
    let turns = take_turns(client.clone(), &config, &sender, &health, own.as_deref(), stopped);
    tokio::pin!(turns);
    tokio::select! {
        () = &mut turns => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    health.drain();
    // The other end is kept by what takes turns.
    let _ = stop.send(true);
    tokio::select! {
        () = &mut turns => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // The next holder need not wait; but an API server that is away must not hold up the end.
    let release = lease::release(client, &config.namespace, &config.lease, &config.identity);
    let _ = tokio::time::timeout(LAST_WORDS, release).await;
    server.drain(LAST_WORDS).await;
    events.emit(&Event::info("stop", json!({})));
    if let Some(own) = own.clone() {
        let _ = tokio::task::spawn_blocking(move || own.shutdown(LAST_WORDS)).await;
    }
    let last = Arc::clone(&events);
    // What is not written by then is late, not lost: the writer goes on while the process does.
    let _ = tokio::task::spawn_blocking(move || last.flush(LAST_WORDS)).await;
    Ok(())
}

/// Leads whenever this replica holds the Lease, until it is to stop.
async fn take_turns(
    client: kube::Client,
    config: &Config,
    sender: &Arc<Sender>,
    health: &Arc<Health>,
    own: Option<&Own>,
    mut stopped: watch::Receiver<bool>,
) {
    let (keeper, mut held) = lease::Keeper::new(client.clone(), &config.namespace, &config.lease, &config.identity);
    let holder = Arc::clone(health);
    let keeping = tokio::spawn(async move { keeper.run(&*holder).await });
    loop {
        tokio::time::sleep(BREATH).await;
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            Ok(_) = held.wait_for(|held| *held) => {}
        }
        let mut lost = held.clone();
        tokio::select! {
            done = lead(client.clone(), config, sender, health, own, stopped.clone()) => match done {
                Ok(()) => break,
                Err(error) => health.failed(error.to_string()),
            },
            // Another replica may begin: nothing more is sent from here.
            _ = lost.wait_for(|held| !*held) => {}
        }
    }
    keeping.abort();
}

fn service(health: &Arc<Health>, metrics: &Arc<Metrics>) -> Service {
    Service {
        transport: Transport::Plain,
        router: ops::closed(ops::router(Arc::<Health>::clone(health))),
        limits: Limits { connections: CONNECTIONS, ..Limits::default() },
        metrics: Arc::<Metrics>::clone(metrics),
        connections: Gauge::default(),
    }
}
