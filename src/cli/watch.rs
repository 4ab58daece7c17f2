//! `stepspan watch`: from arguments to a [`Config`], then watch until told to stop.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::log::Log;
use super::place;
use super::units::{duration, ratio};
use crate::watch::config::Config;
use crate::watch::run::until_signal;

/// Send the spans of Workflows and their nodes as they end
///
/// Of several replicas the one that holds the Lease watches Workflows and the pods of their steps; nothing is written to them. Where the
/// Collector does not take spans they are sent again, and what did not fit into the queue is made again from its Workflow. A port of its own
/// serves metrics and probes (GET /metrics, /health, /healthz, /readyz). Events go to stderr as one JSON object a line.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// OTLP/gRPC endpoint that spans are sent to
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: String,
    /// Most spans that wait to be sent, some 2 KiB each
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queue: u32,
    /// Most label sets of step metrics, 42 to 82 series each; what is more stands under "other"
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_label_sets: u32,
    /// Share of the work on objects of which traces of its own go to the Collector, as `stepspan-watch`; 0 is none
    #[arg(long, value_name = "0..1", default_value_t = 0.0, value_parser = ratio)]
    own_traces: f64,
    /// How long a new series of steps is shown at 0 before its first count: longer than between two scrapes
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = duration)]
    zero_for: Duration,
    /// Send the metrics of steps to the Collector too, this often, such as 60s [default: they are only shown at /metrics]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "no_step_metrics")]
    otlp_metrics: Option<Duration>,
    /// Do not show the metrics of steps: another emits them
    #[arg(long)]
    no_step_metrics: bool,
    /// Watch only Workflows of this namespace [default: all]
    #[arg(long, value_name = "NAMESPACE")]
    only: Option<String>,
    /// The release whose webhook and policies say why a pod was not injected, by its objects' name [default: that is not asked]
    #[arg(long, value_name = "NAME")]
    install: Option<String>,
    /// The namespace of our Lease, and of the release [default: `$POD_NAMESPACE`, or the service account's]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// This replica among the others [default: `$POD_NAME` or `$HOSTNAME`]
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// The Lease whose holder watches
    #[arg(long, value_name = "NAME", default_value = "stepspan-watch")]
    lease: String,
    /// Address of the port [default: all, IPv6 and IPv4]
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,
    /// Port for metrics and probes (plain HTTP)
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    ops_port: u16,
    #[command(flatten)]
    log: Log,
}

const EXAMPLES: &str = "\
Examples:
  # On a laptop, with the rights of the kubeconfig:
  stepspan watch --otlp-endpoint http://localhost:4317 --namespace default --identity laptop";

/// Watches until SIGTERM or SIGINT.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config {
        bind: args.bind,
        ops_port: args.ops_port,
        namespace: place::namespace(args.namespace, "the Lease")?,
        identity: place::identity(args.identity)?,
        lease: args.lease,
        only: args.only,
        install: args.install,
        endpoint: args.otlp_endpoint,
        queue: usize::try_from(args.queue).unwrap_or(usize::MAX),
        otlp_metrics: args.otlp_metrics,
        own_traces: args.own_traces,
        zero_for: args.zero_for,
        step_metrics: !args.no_step_metrics,
        series: usize::try_from(args.max_label_sets).unwrap_or(usize::MAX),
        level: args.log.level(),
        log: args.log.target(),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().worker_threads(2).build().context("cannot start the worker threads")?;
    runtime.block_on(until_signal(config))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}
