//! `stepspan webhook`: from arguments to a [`Config`], then serve until told to stop.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::ArgGroup;

mod output;

use self::output::{Recording, Traces};

use crate::{
    admission,
    breaker::Settings,
    cli::{
        facts::Facts,
        log::Log,
        place,
        units::{duration, life, seconds, size},
    },
    config::{Breaker, Cluster, Config, Drain, KeysSecret, Limits, TlsSource},
    policy::{PolicySet, compile::Rules},
    source::{files, store::Loader},
    webhook::run::{Seams, until_signal},
};

/// Serve the mutating admission webhook over HTTPS
///
/// Two ports: HTTPS for the API server (POST /mutate for pods, POST /mutate-workflows for Workflows), and plain HTTP for
/// metrics and probes (GET /metrics, /health, /healthz, /readyz). Whatever goes wrong, the object is admitted unpatched
/// with a warning. Events go to stderr as one JSON object a line.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("certificate").required(true).args(["tls_cert", "tls_self_signed", "tls_secret"])))]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Policy file or folder, read again when its content changes [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// Without --policy: only resources, not the built-in policy
    #[arg(long, conflicts_with = "policies", requires = "policy_resources")]
    no_default_policy: bool,
    /// Inject nothing while this file exists
    #[arg(long, value_name = "PATH")]
    pause_file: Option<PathBuf>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    #[command(flatten)]
    facts: Facts,
    #[command(flatten)]
    ports: Ports,
    #[command(flatten)]
    tls: Certificates,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    log: Log,
    #[command(flatten)]
    traces: Traces,
    #[command(flatten)]
    recording: Recording,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Ports")]
struct Ports {
    /// Address for both ports [default: all, IPv6 and IPv4]
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,
    /// Port of the admission server (HTTPS)
    #[arg(long, value_name = "PORT", default_value_t = 9443)]
    https_port: u16,
    /// Port for metrics and probes (plain HTTP)
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    ops_port: u16,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
struct Certificates {
    /// Certificate chain (PEM, leaf first), swapped without dropping a connection when the file changes
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert (PEM)
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Make, serve and rotate a certificate that all replicas share in this Secret, and keep the caBundle of the
    /// configuration
    #[arg(long, value_name = "NAME", requires_all = ["webhook_configuration", "server_name"])]
    tls_secret: Option<String>,
    /// How long a certificate of --tls-secret is good; it is replaced when a third is left
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = life, requires = "tls_secret")]
    tls_life: Duration,
    /// Make a CA and a certificate at the start, for development
    #[arg(long)]
    tls_self_signed: bool,
    /// DNS name or IP address in the self-made certificate
    #[arg(long, value_name = "NAME", requires = "tls_self_signed", value_delimiter = ',')]
    #[arg(default_values = ["localhost", "127.0.0.1", "::1"])]
    tls_san: Vec<String>,
    /// Write the self-made CA's certificate here, for `curl --cacert`
    #[arg(long, value_name = "PATH", requires = "tls_self_signed")]
    write_ca: Option<PathBuf>,
    /// Ask for client certificates signed by one of these CAs (PEM); /mutate then answers 401 without one
    #[arg(long, value_name = "PATH")]
    client_ca: Option<PathBuf>,
    /// The caBundle of the webhook configuration (PEM): ready only while it trusts our certificate
    #[arg(long, value_name = "PATH")]
    ca_bundle: Option<PathBuf>,
    /// The name the API server calls us by: ready only while the certificate has it
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
struct ClusterArgs {
    /// The MutatingWebhookConfiguration that sends requests here: ready only while it trusts our certificate, paused
    /// while it is annotated stepspan.dev/paused=true
    #[arg(long, value_name = "NAME")]
    webhook_configuration: Option<String>,
    /// Watch the labels of namespaces, for policies with a namespaceSelector or a namespaceLabel
    #[arg(long, requires = "webhook_configuration")]
    namespace_labels: bool,
    /// Watch InjectionPolicies: they are in force beside the files, and count over a file's policy of the same name
    #[arg(long, requires = "webhook_configuration")]
    policy_resources: bool,
    /// Stop injecting where our image cannot start: this ConfigMap, beside the Lease, says where
    #[arg(long, value_name = "NAME", requires = "webhook_configuration")]
    breaker: Option<String>,
    /// How many pods of one namespace must be stuck to stop injecting there
    #[arg(long, value_name = "N", default_value_t = 3, requires = "breaker")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    breaker_pods: u16,
    /// For how long they must be stuck
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds, requires = "breaker")]
    breaker_after: Duration,
    /// In how many namespaces pods must be stuck, while none starts in any, to stop injecting in the whole cluster
    #[arg(long, value_name = "N", default_value_t = 3, requires = "breaker")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    breaker_namespaces: u16,
    /// From stopping to the first trial with one pod a replica; doubled after each that fails, up to 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = seconds, requires = "breaker")]
    breaker_retry: Duration,
    /// The namespace of our Lease and Secret [default: `$POD_NAMESPACE`, or the service account's]
    #[arg(long, value_name = "NAMESPACE", requires = "webhook_configuration")]
    namespace: Option<String>,
    /// This replica among the others [default: `$POD_NAME` or `$HOSTNAME`]
    #[arg(long, value_name = "NAME", requires = "webhook_configuration")]
    identity: Option<String>,
    /// The Lease whose holder makes certificates and writes statuses
    #[arg(long, value_name = "NAME", default_value = "stepspan", requires = "webhook_configuration")]
    lease: String,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Longest request body; a longer one is admitted unpatched
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size)]
    max_body: usize,
    /// Memory for all bodies being read together; past it requests are admitted unpatched
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size)]
    max_body_memory: usize,
    /// Time for a whole body to arrive
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    body_timeout: Duration,
    /// Time for a request's headers to arrive
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    header_timeout: Duration,
    /// Time for a TLS handshake
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    handshake_timeout: Duration,
    /// Time after which an idle connection is closed; keep it above the API server's 90s
    #[arg(long, value_name = "TIME", default_value = "150s", value_parser = duration)]
    idle_timeout: Duration,
    /// Open connections; of more, the one that is idle for longest gives way
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// On SIGTERM: how long to go on serving while not ready, so that endpoints are removed first
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    drain_delay: Duration,
    /// On SIGTERM, after the delay: how long requests in flight may take
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    drain_timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  # On a laptop, with a certificate of its own:
  stepspan webhook --tls-self-signed --write-ca ca.pem
  curl --cacert ca.pem https://localhost:9443/readyz

  # In a cluster, with a mounted Secret and ConfigMap:
  stepspan webhook --tls-cert /tls/tls.crt --tls-key /tls/tls.key --policy /policies";

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let workers = args.workers.map(usize::from);
    let context = args.facts.context(&mut |note| drop(writeln!(io::stderr(), "{note}")))?;
    let none = args.no_default_policy;
    let config = config(args)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        runtime.worker_threads(workers);
    }
    let runtime = runtime.enable_all().max_blocking_threads(16).build().context("cannot start the worker threads")?;
    let paths = config.policies.clone();
    let rules = Rules { allow_env: context.allow_env.clone() };
    let loader: Loader = Arc::new(move || {
        if none {
            return Ok(PolicySet::default());
        }
        files::load(&paths, &rules).map_err(|errors| errors.to_string())
    });
    let seams = Seams { loader, reviewer: admission::review, context };
    runtime.block_on(until_signal(config, seams))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

fn config(args: Args) -> anyhow::Result<Config> {
    let Args {
        policies,
        no_default_policy: _,
        pause_file,
        workers: _,
        facts: _,
        ports,
        tls,
        cluster,
        limits,
        log,
        traces,
        recording,
    } = args;
    let keys = tls.tls_secret.clone().map(|secret| KeysSecret {
        secret,
        names: tls.server_name.iter().cloned().collect(),
        life: tls.tls_life,
    });
    let source = match (tls.tls_cert, tls.tls_key) {
        (Some(certificate), Some(key)) => TlsSource::Files { certificate, key },
        _ if keys.is_some() => TlsSource::Cluster,
        _ => TlsSource::SelfMade { names: tls.tls_san, write_ca: tls.write_ca },
    };
    Ok(Config {
        bind: ports.bind,
        https_port: ports.https_port,
        ops_port: ports.ops_port,
        tls: source,
        client_ca: tls.client_ca,
        cluster: cluster.config(keys)?,
        ca_bundle: tls.ca_bundle,
        server_name: tls.server_name,
        policies,
        pause_file,
        poll: Duration::from_secs(1),
        limits: Limits {
            body_bytes: limits.max_body,
            body_memory: limits.max_body_memory,
            body_timeout: limits.body_timeout,
            header_timeout: limits.header_timeout,
            handshake_timeout: limits.handshake_timeout,
            idle_timeout: limits.idle_timeout,
            connections: usize::try_from(limits.max_connections).unwrap_or(usize::MAX),
        },
        drain: Drain { delay: limits.drain_delay, timeout: limits.drain_timeout },
        record: recording.kept(),
        level: log.level(),
        trace: traces.trace(),
        log: log.target(),
    })
}

impl ClusterArgs {
    fn config(self, keys: Option<KeysSecret>) -> anyhow::Result<Option<Cluster>> {
        let Some(registration) = self.webhook_configuration else { return Ok(None) };
        let namespace = place::namespace(self.namespace, "the Lease and the Secret")?;
        let identity = place::identity(self.identity)?;
        let settings = Settings {
            pods: self.breaker_pods.into(),
            after: self.breaker_after,
            namespaces: self.breaker_namespaces.into(),
            retry: self.breaker_retry,
        };
        Ok(Some(Cluster {
            namespace,
            identity,
            lease: self.lease,
            registration,
            namespace_labels: self.namespace_labels,
            policy_resources: self.policy_resources,
            breaker: self.breaker.map(|config_map| Breaker { config_map, settings }),
            keys,
        }))
    }
}
