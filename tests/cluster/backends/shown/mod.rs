//! What an operator looks at: the Collector as `examples/collector` ships it, Jaeger behind it, and Prometheus and Loki beside both.
//!
//! Each is a process of a trial's own on free ports, so that it can be taken away and brought back. Spans go pods and watch -> Collector ->
//! Jaeger; metrics are scraped by Prometheus, from pods as their annotations say and from the Collector.

mod events;
mod jaeger;
mod loki;
mod prometheus;

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

pub use self::{
    events::Events,
    jaeger::{Jaeger, Span},
    loki::{Line, Loki},
    prometheus::{Prometheus, rules},
};
use crate::harness::{
    Cluster, known::Known, node::ADDRESS, ports, processes::Process, tools::ensure_there, wait::until,
};

const LIMIT: Duration = Duration::from_mins(3);

/// Programs, all there.
#[derive(Debug, Clone)]
pub struct BackendTools {
    pub jaeger: PathBuf,
    pub loki: PathBuf,
    pub prometheus: PathBuf,
    pub promtool: PathBuf,
    /// Argo's CLI.
    pub argo: PathBuf,
    pub kubectl: PathBuf,
    /// The services of Argo Events, their definitions, and the bus.
    pub argo_events: PathBuf,
    pub argo_events_crds: PathBuf,
    pub nats: PathBuf,
}

impl BackendTools {
    /// Finds everything, or says what is missing and how to get it.
    pub fn locate() -> Result<Self> {
        let known = Known::ask()?;
        let tools = Self {
            jaeger: known.program("jaeger", "jaeger")?,
            loki: known.program("loki", "loki")?,
            prometheus: known.path("cache")?.join("prometheus/usr/bin/prometheus"),
            promtool: known.path("cache")?.join("prometheus/usr/bin/promtool"),
            argo: known.program("argo", "argo")?,
            kubectl: known.program("kubectl", "kubernetes")?,
            argo_events: known.program("argo-events", "argo_events")?,
            argo_events_crds: known
                .path("cache")?
                .join(format!("argo-events-crds-{}", known.entry("argo_events_crds")?)),
            nats: known.program("nats-server", "nats")?,
        };
        let all = [
            &tools.jaeger,
            &tools.loki,
            &tools.prometheus,
            &tools.promtool,
            &tools.argo,
            &tools.kubectl,
            &tools.argo_events,
            &tools.argo_events_crds,
            &tools.nats,
        ];
        ensure_there(&all, "scripts/cluster-tools backends")?;
        Ok(tools)
    }
}

/// The Collector with a shipped configuration.
pub struct Shipped<'c> {
    cluster: &'c Cluster,
    config: &'static str,
    folder: PathBuf,
    grpc: u16,
    http: u16,
    /// Where it shows metrics.
    pub metrics: u16,
    traces: String,
    started: u32,
    process: Option<Process>,
}

impl<'c> Shipped<'c> {
    /// `examples/collector/<config>.yaml`, its spans to that port of this machine. Nothing runs yet; its files are in `folder`.
    pub fn prepare(cluster: &'c Cluster, config: &'static str, folder: PathBuf, jaeger: u16) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let (grpc, http, metrics) = (ports::free()?, ports::free()?, ports::free()?);
        let traces = format!("127.0.0.1:{jaeger}");
        Ok(Self { cluster, config, folder, grpc, http, metrics, traces, started: 0, process: None })
    }

    /// As pods reach it, over gRPC.
    pub fn url(&self) -> String {
        format!("http://{ADDRESS}:{}", self.grpc)
    }

    /// Starts it, and returns when it listens.
    pub fn start(&mut self) -> Result<()> {
        self.started += 1;
        let config = format!("--config=file:{}/examples/collector/{}.yaml", env!("CARGO_MANIFEST_DIR"), self.config);
        let name = format!("shipped-{}-{}", self.grpc, self.started);
        let port = |port: u16| port.to_string();
        let (grpc, http, metrics) = (port(self.grpc), port(self.http), port(self.metrics));
        let queue = self.folder.join("queue").display().to_string();
        let env = [
            ("LISTEN", ADDRESS),
            ("GRPC_PORT", grpc.as_str()),
            ("HTTP_PORT", http.as_str()),
            ("METRICS_PORT", metrics.as_str()),
            ("TRACES_ENDPOINT", self.traces.as_str()),
            ("QUEUE_FOLDER", queue.as_str()),
            ("FLUSH_INTERVAL", "1s"),
        ];
        let mut process = self.cluster.spawn(&name, &self.cluster.tools().otelcol, &[&config], &env)?;
        listening(&mut process, ADDRESS, self.grpc)?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}

pub fn listening(process: &mut Process, host: &str, port: u16) -> Result<()> {
    until(&format!("{} to listen", process.name()), LIMIT, || {
        process.ensure_running()?;
        Ok(TcpStream::connect((host, port)).is_ok().then_some(()))
    })
    .with_context(|| process.log_tail())
}

/// What a server of this machine answers, as JSON.
fn ask(port: u16, path: &str) -> Result<Value> {
    let (_, body) = call(port, &format!("GET {path}"), "", "")?;
    serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))
}

/// Status line and body of a server's answer to a request, such as `GET /metrics`; each header ends with CRLF. HTTP/1.0: nothing comes in chunks.
pub fn call(port: u16, request: &str, headers: &str, body: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    let head = format!("{request} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| answer.clone())?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}
