//! The accept loop: a connection limit, TLS, an axum router, and a graceful end. Both ports run on it.
//!
//! Invariants:
//! - A connection holds one permit from `accept` to its end; the permit, the gauge and the task go together.
//! - At the limit the connection that is idle for longest gives way: whoever only holds connections keeps nobody out.
//!   Where none is idle the new one is closed at once, so that the API server's own policy applies without waiting.
//! - [`Server::drain`] returns only when no connection is left, or when its time is over and the rest is cut off.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{AbortHandle, Id, JoinHandle, JoinSet},
};

use crate::{
    config::Limits,
    telemetry::metrics::{Cause, Held, Metrics},
    webhook::connection::{self, Activity},
};

/// Who sent a request: a request extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The client showed a certificate that the client CA signed.
    pub authenticated: bool,
}

/// How bytes travel on a port.
#[derive(Clone)]
pub enum Transport {
    /// HTTP in the clear, for the operations port.
    Plain,
    /// TLS; asked for its configuration at each connection, so that a reload is seen by the next one. While there is no
    /// certificate, connections are closed.
    Tls(Arc<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}

/// Hears of what was not served.
pub trait Counts: fmt::Debug + Send + Sync {
    /// A request or connection was not served as asked.
    fn failed(&self, cause: Cause);
    /// A connection was closed at once because the limit was reached.
    fn rejected(&self);
}

impl Counts for Metrics {
    fn failed(&self, cause: Cause) {
        Self::failed(self, cause);
    }

    fn rejected(&self) {
        self.rejected.inc();
    }
}

/// What a port serves, and under which bounds.
#[derive(Debug, Clone)]
pub struct Service {
    /// How bytes travel.
    pub transport: Transport,
    /// Who answers.
    pub router: Router,
    /// The bounds.
    pub limits: Limits,
    /// Counts failures and rejected connections.
    pub metrics: Arc<dyn Counts>,
    /// Counts open connections.
    pub connections: Gauge,
}

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({flag}): {why}{}", hint(.why, .flag))]
pub struct BindError {
    /// What was tried.
    pub address: SocketAddr,
    /// The flag that says otherwise.
    pub flag: &'static str,
    /// Why not.
    pub why: io::Error,
}

fn hint(source: &io::Error, flag: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!("; stop the process that has it, or choose another port with {flag}"),
        io::ErrorKind::PermissionDenied => {
            format!("; ports below 1024 need a privilege, choose a higher one with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => "; --bind must be an address of this host".into(),
        _ => String::new(),
    }
}

/// Opens a port; without an address on all of them, IPv6 too where the host has it.
pub async fn bind(address: Option<IpAddr>, port: u16, flag: &'static str) -> Result<TcpListener, BindError> {
    let first = address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    match TcpListener::bind((first, port)).await {
        Err(error) if address.is_none() && error.kind() != io::ErrorKind::AddrInUse => {
            let all = IpAddr::from([0, 0, 0, 0]);
            let fail = |why| BindError { address: (all, port).into(), flag, why };
            TcpListener::bind((all, port)).await.map_err(fail)
        }
        done => done.map_err(|why| BindError { address: (first, port).into(), flag, why }),
    }
}

/// A running accept loop. Dropping it cuts everything off.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<JoinSet<()>>,
}

impl Server {
    /// Starts serving `listener`.
    pub fn start(listener: TcpListener, service: Service) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept_all(listener, Arc::new(service), stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener, asks clients to leave (`Connection: close`, GOAWAY), waits up to `patience` for what is in
    /// flight and cuts off the rest. Returns how many connections were cut off.
    pub async fn drain(mut self, patience: Duration) -> usize {
        // The loop only ends on this signal, so someone listens.
        let _ = self.stop.send(true);
        let Ok(mut connections) = (&mut self.task).await else { return 0 };
        let all_gone = async { while connections.join_next().await.is_some() {} };
        // Whether it was in time shows in what is left.
        let _ = tokio::time::timeout(patience, all_gone).await;
        let left = connections.len();
        connections.shutdown().await;
        left
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(listener: TcpListener, service: Arc<Service>, mut stop: watch::Receiver<bool>) -> JoinSet<()> {
    let permits = Arc::new(Semaphore::new(service.limits.connections));
    let mut open: HashMap<Id, Open> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stopping| *stopping) => break,
            Some(ended) = connections.join_next_with_id() => {
                open.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !is_of_the_connection(&error) {
                    // Out of file descriptors, for one: give running requests the time to free some.
                    service.metrics.failed(Cause::Accept);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                continue;
            }
        };
        let Some(permit) = permit(&permits, &open, &*service.metrics).await else { continue };
        let held = Held::new(&service.connections);
        let (service, stop) = (Arc::clone(&service), stop.clone());
        let activity = Arc::new(Activity::new());
        let watched = Arc::clone(&activity);
        let task = connections.spawn(async move {
            let _guards = (permit, held);
            // An answer is one write; waiting for more only costs time. Where it can't be set, it is only slower.
            let _ = stream.set_nodelay(true);
            connection::serve(stream, &service, watched, stop).await;
        });
        open.insert(task.id(), Open { task, activity });
    }
    connections
}

/// A connection that may have ended meanwhile.
struct Open {
    task: AbortHandle,
    activity: Arc<Activity>,
}

/// Leave for one more connection, at the cost of an idle one where it must be.
async fn permit(
    permits: &Arc<Semaphore>,
    open: &HashMap<Id, Open>,
    metrics: &dyn Counts,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Some(permit);
    }
    metrics.rejected();
    let running = open.values().filter(|one| !one.task.is_finished());
    let idle = running.filter_map(|one| Some((one.activity.idle()?, &one.task)));
    let (_, task) = idle.max_by_key(|(idle, _)| *idle)?;
    task.abort();
    // It is idle, and so ends at once; never closed.
    Arc::clone(permits).acquire_owned().await.ok()
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
