//! The real OpenTelemetry Collector, and what arrived there, as its file exporter writes it (OTLP/JSON, a line a request).

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{ports, processes::Process, wait::until};

const LIMIT: Duration = Duration::from_mins(3);

/// A running Collector.
pub struct Collector {
    _process: Mutex<Process>,
    file: PathBuf,
}

/// Where it takes OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    /// Over gRPC.
    pub grpc: u16,
    /// Over HTTP.
    pub http: u16,
}

impl Address {
    /// The usual ports of a host.
    pub fn usual(host: &str) -> Self {
        Self { host: host.into(), grpc: 4317, http: 4318 }
    }

    /// Ports of this machine that were free a moment before.
    pub fn free() -> Result<Self> {
        Ok(Self { host: "127.0.0.1".into(), grpc: ports::free()?, http: ports::free()? })
    }

    /// As OTLP exporters over gRPC take it.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.grpc)
    }
}

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// The span in OTLP/JSON.
    pub span: Value,
    /// Attributes of its resource.
    pub resource: Value,
}

impl Collector {
    pub fn start(program: &Path, address: &Address, folder: &Path, logs: &Path) -> Result<Self> {
        let Address { host, grpc, http } = address;
        let file = folder.join("telemetry.json");
        let config = json!({
            "receivers": {"otlp": {"protocols": {
                "grpc": {"endpoint": format!("{host}:{grpc}")},
                "http": {"endpoint": format!("{host}:{http}")},
            }}},
            "exporters": {"file": {"path": file, "flush_interval": "100ms", "append": true}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "exporters": ["file"]},
                    "metrics": {"receivers": ["otlp"], "exporters": ["file"]},
                },
            },
        });
        let path = folder.join("collector.json");
        fs::write(&path, serde_json::to_vec(&config)?)?;
        let args = [format!("--config=file:{}", path.display())];
        let mut process = Process::spawn(&format!("collector-{grpc}"), program, args, &[], logs)?;
        until("the Collector to listen", LIMIT, || {
            process.ensure_running()?;
            Ok([*grpc, *http].iter().all(|port| TcpStream::connect((host.as_str(), *port)).is_ok()).then_some(()))
        })?;
        Ok(Self { _process: Mutex::new(process), file })
    }

    /// Every span of one trace that arrived so far.
    pub fn spans(&self, trace_id: &str) -> Result<Vec<Span>> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let mut spans = Vec::new();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines().filter(|line| line.contains(trace_id)) {
            let request: Value = serde_json::from_str(line).context("the Collector's file")?;
            for resource in each(&request["resourceSpans"]) {
                for scope in each(&resource["scopeSpans"]) {
                    let of_trace = each(&scope["spans"]).filter(|span| span["traceId"] == trace_id);
                    let resource = attributes(&resource["resource"]);
                    spans.extend(of_trace.map(|span| Span { span: span.clone(), resource: resource.clone() }));
                }
            }
        }
        Ok(spans)
    }
}

impl Span {
    /// Its attributes, as one object: strings, and numbers as OTLP/JSON has them (integers as strings).
    pub fn attributes(&self) -> Value {
        attributes(&self.span)
    }

    pub fn name(&self) -> &str {
        self.span["name"].as_str().unwrap_or_default()
    }
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn attributes(holder: &Value) -> Value {
    let mut all = json!({});
    for attribute in each(&holder["attributes"]) {
        let value = attribute["value"].as_object().and_then(|value| value.values().next()).cloned();
        all[attribute["key"].as_str().unwrap_or_default()] = value.unwrap_or_default();
    }
    all
}
