//! `/metrics`: prometheus-client, `OpenMetrics` text.
//!
//! Every label value is a `&'static str` out of an enum of ours, but for `hash` and `version`, which have one series, and
//! `policy` and `namespace`, which have one for each InjectionPolicy and for each namespace in which the breaker is open.

use std::{
    fmt,
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use crate::source::store::Loaded;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bucket bounds in seconds: a review is 50 to 100 us, the API server's usual patience 2 s.
const BUCKETS: [f64; 16] =
    [20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.0];

/// Why a request or a connection was not served as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The body is not an AdmissionReview.
    Malformed,
    /// The body is longer than the limit.
    TooLarge,
    /// The body did not arrive in time.
    Timeout,
    /// The client went away inside the body.
    Aborted,
    /// All bodies together would need more memory than allowed.
    Overloaded,
    /// The evaluation panicked.
    Panic,
    /// A client certificate was needed and not shown.
    Unauthenticated,
    /// The TLS handshake failed.
    TlsHandshake,
    /// The TLS handshake did not end in time.
    TlsTimeout,
    /// The request headers did not arrive in time.
    HeaderTimeout,
    /// `accept` failed, for example out of file descriptors.
    Accept,
}

impl Cause {
    /// All of them, so that each series is exposed at 0 from the start.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Timeout,
        Self::Aborted,
        Self::Overloaded,
        Self::Panic,
        Self::Unauthenticated,
        Self::TlsHandshake,
        Self::TlsTimeout,
        Self::HeaderTimeout,
        Self::Accept,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Overloaded => "overloaded",
            Self::Panic => "panic",
            Self::Unauthenticated => "unauthenticated",
            Self::TlsHandshake => "tls_handshake",
            Self::TlsTimeout => "tls_timeout",
            Self::HeaderTimeout => "header_timeout",
            Self::Accept => "accept",
        }
    }
}

/// The labels of one review; build it with [`AdmissionLabels::new`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AdmissionLabels {
    kind: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

impl AdmissionLabels {
    /// `kind` is folded to `Pod`, `Workflow` or `other`; no reason is `none`.
    pub fn new(kind: &str, outcome: &'static str, reason: Option<&'static str>) -> Self {
        let kind = match kind {
            "Pod" => "Pod",
            "Workflow" => "Workflow",
            _ => "other",
        };
        Self { kind, outcome, reason: reason.unwrap_or("none") }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HashLabels {
    hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabels {
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    to: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Every series of the server. Handles are cheap clones of shared atomics.
pub struct Metrics {
    registry: Registry,
    requests: Family<AdmissionLabels, Counter>,
    duration: Family<AdmissionLabels, Histogram, fn() -> Histogram>,
    failures: Family<CauseLabels, Counter>,
    reloads: Family<ResultLabels, Counter>,
    certificate_reloads: Family<ResultLabels, Counter>,
    policies: Family<HashLabels, Gauge>,
    generation: Gauge,
    resources: Family<PolicyLabels, Gauge>,
    reload_success: Seconds,
    not_after: Seconds,
    paused: Gauge,
    ready: Gauge,
    stops: Family<NamespaceLabels, Gauge>,
    turns: Family<TurnLabels, Counter>,
    leads: Gauge,
    cluster_errors: Counter,
    /// Admission requests being served.
    pub in_flight: Gauge,
    /// Open connections on the admission port.
    pub connections: Gauge,
    /// Connections closed at once because the limit was reached.
    pub rejected: Counter,
    /// Event lines lost because the writer fell behind.
    pub events_dropped: Counter,
    /// Reviews recorded for replay.
    pub records_written: Counter,
    /// Reviews that could not be recorded.
    pub records_dropped: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("stepspan"),
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            failures: Family::default(),
            reloads: Family::default(),
            certificate_reloads: Family::default(),
            policies: Family::default(),
            generation: Gauge::default(),
            resources: Family::default(),
            reload_success: Seconds::default(),
            not_after: Seconds::default(),
            paused: Gauge::default(),
            ready: Gauge::default(),
            stops: Family::default(),
            turns: Family::default(),
            leads: Gauge::default(),
            cluster_errors: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            rejected: Counter::default(),
            events_dropped: Counter::default(),
            records_written: Counter::default(),
            records_dropped: Counter::default(),
        };
        metrics.register_admission();
        metrics.register_state();
        for cause in Cause::ALL {
            drop(metrics.failures.get_or_create(&CauseLabels { cause: cause.label() }));
        }
        metrics.set_stops(std::iter::empty());
        for to in ["open", "trial", "closed"] {
            drop(metrics.turns.get_or_create(&TurnLabels { to }));
        }
        for result in ["success", "failure"] {
            drop(metrics.reloads.get_or_create(&ResultLabels { result }));
            drop(metrics.certificate_reloads.get_or_create(&ResultLabels { result }));
        }
        metrics
    }
}

impl Metrics {
    fn register_admission(&mut self) {
        let r = &mut self.registry;
        r.register("admission_requests", "Reviews by kind, outcome and reason", self.requests.clone());
        r.register(
            "admission_duration_seconds",
            "Seconds from the whole body, or from giving up on it, to the answer",
            self.duration.clone(),
        );
        r.register("admission_in_flight", "Admission requests being served", self.in_flight.clone());
        r.register("admission_failures", "Requests and connections not served as asked", self.failures.clone());
        r.register("connections", "Open connections on the admission port", self.connections.clone());
        r.register("connections_rejected", "Connections over the limit, closed at once", self.rejected.clone());
    }

    fn register_state(&mut self) {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        let r = &mut self.registry;
        r.register("policy_reloads", "Policy loads by result", self.reloads.clone());
        r.register("policy_generation", "Policy versions loaded since the start", self.generation.clone());
        r.register(
            "policy_resource_generation",
            "The generation in force of each InjectionPolicy",
            self.resources.clone(),
        );
        r.register("policy_hash", "1, with the hash of the policies in force", self.policies.clone());
        r.register(
            "policy_reload_success_timestamp_seconds",
            "When the policies in force were loaded",
            self.reload_success.clone(),
        );
        r.register("certificate_reloads", "Certificate loads by result", self.certificate_reloads.clone());
        r.register(
            "certificate_not_after_timestamp_seconds",
            "When the served certificate expires",
            self.not_after.clone(),
        );
        r.register("paused", "1 while injection is paused", self.paused.clone());
        r.register(
            "breaker_open",
            "1 where the breaker stops injection, by namespace; `*` is the cluster",
            self.stops.clone(),
        );
        r.register("breaker_turns", "Circuits turned by this replica", self.turns.clone());
        r.register("ready", "1 while the server is ready", self.ready.clone());
        r.register("leader", "1 while this replica holds the Lease", self.leads.clone());
        r.register("cluster_errors", "Failed reads and writes of the Kubernetes API", self.cluster_errors.clone());
        r.register("events_dropped", "Event lines lost because the writer fell behind", self.events_dropped.clone());
        r.register("records", "Reviews recorded for replay", self.records_written.clone());
        r.register("records_dropped", "Reviews that could not be recorded", self.records_dropped.clone());
        r.register("build", "Version of this server", Info::new(version));
    }

    /// Counts one review and its time.
    pub fn reviewed(&self, labels: &AdmissionLabels, took: Duration) {
        self.requests.get_or_create(labels).inc();
        self.duration.get_or_create(labels).observe(took.as_secs_f64());
    }

    /// Counts one failure.
    pub fn failed(&self, cause: Cause) {
        self.failures.get_or_create(&CauseLabels { cause: cause.label() }).inc();
    }

    /// How often [`Metrics::failed`] was called with `cause`.
    pub fn failures(&self, cause: Cause) -> u64 {
        self.failures.get_or_create(&CauseLabels { cause: cause.label() }).get()
    }

    /// Where the breaker stops injection, by namespace; `*` is the cluster.
    pub fn set_stops<'a>(&self, scopes: impl Iterator<Item = &'a str>) {
        self.stops.clear();
        drop(self.stops.get_or_create(&NamespaceLabels { namespace: "*".into() }));
        for scope in scopes {
            self.stops.get_or_create(&NamespaceLabels { namespace: scope.into() }).set(1);
        }
    }

    /// This replica has turned a circuit of the breaker.
    pub fn turned(&self, to: &'static str) {
        self.turns.get_or_create(&TurnLabels { to }).inc();
    }

    /// Whether this replica holds the Lease.
    pub fn set_leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// Counts a failed read or write of the Kubernetes API.
    pub fn cluster_failed(&self) {
        self.cluster_errors.inc();
    }

    /// A new policy version is in force.
    pub fn policies_loaded(&self, loaded: &Loaded) {
        self.reloads.get_or_create(&ResultLabels { result: "success" }).inc();
        self.generation.set(i64::try_from(loaded.generation).unwrap_or(i64::MAX));
        self.reload_success.set(unix_seconds(loaded.at));
        self.policies.clear();
        self.policies.get_or_create(&HashLabels { hash: loaded.hash.clone() }).set(1);
        self.resources.clear();
        for (name, generation) in &loaded.resources {
            self.resources.get_or_create(&PolicyLabels { policy: name.clone() }).set(*generation);
        }
    }

    /// A policy version was refused.
    pub fn policies_refused(&self) {
        self.reloads.get_or_create(&ResultLabels { result: "failure" }).inc();
    }

    /// A new certificate is served.
    pub fn certificate_loaded(&self, not_after: SystemTime) {
        self.certificate_reloads.get_or_create(&ResultLabels { result: "success" }).inc();
        self.not_after.set(unix_seconds(not_after));
    }

    /// A new certificate pair was refused.
    pub fn certificate_refused(&self) {
        self.certificate_reloads.get_or_create(&ResultLabels { result: "failure" }).inc();
    }

    /// Whether injection is paused.
    pub fn set_paused(&self, paused: bool) {
        self.paused.set(i64::from(paused));
    }

    /// Whether the server is ready.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// The whole exposition, ending in `# EOF`.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// Counts one up while it lives.
#[derive(Debug)]
pub struct Held(Gauge);

impl Held {
    /// Adds one to `gauge` until dropped.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
