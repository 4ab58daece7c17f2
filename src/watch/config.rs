//! What `stepspan watch` is told, in meaningful types.

use std::net::IpAddr;
use std::time::Duration;

use crate::telemetry::events::{Level, Target};

/// Everything `stepspan watch` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the operations port listens; `None` is every address, IPv6 too where the host has it.
    pub bind: Option<IpAddr>,
    /// The operations port (plain HTTP: metrics, health); 0 picks a free one.
    pub ops_port: u16,
    /// The namespace of the Lease.
    pub namespace: String,
    /// This replica among the others: the pod's name.
    pub identity: String,
    /// The Lease whose holder watches.
    pub lease: String,
    /// Only Workflows of this namespace; `None` is all.
    pub only: Option<String>,
    /// The install, in this namespace, whose webhook and policies say why a pod was not injected; `None` is not to ask.
    pub install: Option<String>,
    /// OTLP/gRPC endpoint, `http://` or `https://`.
    pub endpoint: String,
    /// Most spans that wait to be sent.
    pub queue: usize,
    /// Show the metrics of steps; they are counted either way.
    pub step_metrics: bool,
    /// How often the metrics of steps are sent to the Collector too; `None` is never.
    pub otlp_metrics: Option<Duration>,
    /// The share of the watcher's own traces that is taken, from 0 to 1.
    pub own_traces: f64,
    /// How long a new series is shown at 0 before its first count: longer than between two scrapes.
    pub zero_for: Duration,
    /// Most label sets of step metrics; what comes then stands under `other`.
    pub series: usize,
    /// How much is logged.
    pub level: Level,
    /// Where it is logged.
    pub log: Target,
}
