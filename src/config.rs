//! What the admission server is told, in meaningful types; the command line makes one, tests write one.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use crate::breaker::Settings;
use crate::telemetry::events::{Level, Target};
use crate::telemetry::rotate::Kept;

/// Everything `stepspan webhook` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where both ports listen; `None` is every address, IPv6 too where the host has it.
    pub bind: Option<IpAddr>,
    /// The admission port (HTTPS); 0 picks a free one.
    pub https_port: u16,
    /// The operations port (plain HTTP: metrics, health); 0 picks a free one.
    pub ops_port: u16,
    /// Where the serving certificate comes from.
    pub tls: TlsSource,
    /// Client certificates must be signed by one of these (PEM); then `/mutate` needs one.
    pub client_ca: Option<PathBuf>,
    /// What is read from the Kubernetes API and written there; `None` is nothing.
    pub cluster: Option<Cluster>,
    /// What the API server trusts (PEM); readiness checks the served certificate against it.
    pub ca_bundle: Option<PathBuf>,
    /// The name the API server calls us by; readiness checks that the certificate has it.
    pub server_name: Option<String>,
    /// Policy files and folders; none is the embedded default.
    pub policies: Vec<PathBuf>,
    /// Injection is off while this file exists.
    pub pause_file: Option<PathBuf>,
    /// How often files are looked at.
    pub poll: Duration,
    /// Bounds on what a client may do.
    pub limits: Limits,
    /// How the server stops.
    pub drain: Drain,
    /// How much is logged.
    pub level: Level,
    /// Where it is logged.
    pub log: Target,
    /// Where reviews are recorded; `None` is off.
    pub record: Option<Kept>,
    /// Own traces; `None` is off.
    pub trace: Option<Trace>,
}

impl Default for Config {
    /// A server for development: what `stepspan webhook --tls-self-signed` runs with.
    fn default() -> Self {
        Self {
            bind: None,
            https_port: 9443,
            ops_port: 8080,
            tls: TlsSource::SelfMade {
                names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
                write_ca: None,
            },
            client_ca: None,
            cluster: None,
            ca_bundle: None,
            server_name: None,
            policies: Vec::new(),
            pause_file: None,
            poll: Duration::from_secs(1),
            limits: Limits::default(),
            drain: Drain::default(),
            level: Level::Info,
            log: Target::Stderr,
            record: None,
            trace: None,
        }
    }
}

/// The serving certificate.
#[derive(Debug, Clone)]
pub enum TlsSource {
    /// PEM files, looked at again at every poll.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// A Secret that the replicas keep together; see [`Cluster`].
    Cluster,
    /// A CA and a leaf made at the start, for development.
    SelfMade {
        /// DNS names and IP addresses of the leaf.
        names: Vec<String>,
        /// Where the CA's certificate is written.
        write_ca: Option<PathBuf>,
    },
}

/// The server's own objects in the cluster it runs in.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The namespace of the Secret and the Lease.
    pub namespace: String,
    /// This replica among the others: the pod's name.
    pub identity: String,
    /// The Lease that says which replica issues certificates and writes status.
    pub lease: String,
    /// The MutatingWebhookConfiguration that sends us requests.
    pub registration: String,
    /// Watch the labels of all namespaces.
    pub namespace_labels: bool,
    /// Watch InjectionPolicies, and write their statuses.
    pub policy_resources: bool,
    /// Stop injecting where our image cannot start.
    pub breaker: Option<Breaker>,
    /// The Secret of the serving keys, where the server makes them itself.
    pub keys: Option<KeysSecret>,
}

/// The circuit breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    /// The ConfigMap, in our namespace, that says what is stopped.
    pub config_map: String,
    /// When it opens, and tries again.
    pub settings: Settings,
}

/// Serving keys that the server makes itself.
#[derive(Debug, Clone)]
pub struct KeysSecret {
    /// The Secret.
    pub secret: String,
    /// DNS names of the certificate; the first is the one the API server calls.
    pub names: Vec<String>,
    /// From making to expiry.
    pub life: Duration,
}

/// Bounds on what a client may do. Each ends in an answer or a closed connection, never in waiting.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest body in bytes; a longer one is admitted unpatched.
    pub body_bytes: usize,
    /// All bodies being read together, in bytes; past it requests are admitted unpatched.
    pub body_memory: usize,
    /// A body must arrive whole within this.
    pub body_timeout: Duration,
    /// A connection's first request, and any request's headers, must arrive within this.
    pub header_timeout: Duration,
    /// A TLS handshake must end within this.
    pub handshake_timeout: Duration,
    /// A connection without a request for so long is closed. Longer than the 90 s after which the API server drops
    /// its own idle connections, so that it never sends into one that we close.
    pub idle_timeout: Duration,
    /// Open connections on the admission port. For a further one the one that is idle for longest is closed; where none is idle, it is
    /// closed itself, at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            body_memory: 128 << 20,
            body_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(150),
            connections: 1024,
        }
    }
}

/// How the server stops: not ready at once, `delay`, listener closed, up to `timeout` for what is in flight.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// How long new connections are still served after the server says it is not ready: time for the endpoint to be
    /// taken out everywhere.
    pub delay: Duration,
    /// How long requests in flight may take after that.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), timeout: Duration::from_secs(15) }
    }
}

/// Own traces.
#[derive(Debug, Clone)]
pub struct Trace {
    /// OTLP/gRPC endpoint, `http://` or `https://`.
    pub endpoint: String,
    /// Share of reviews traced where the API server sends no decision, 0 to 1.
    pub ratio: f64,
}
