//! The real OpenTelemetry Collector, and what arrived there, as its file exporter writes it (OTLP/JSON, a line a request).

use std::{
    collections::BTreeMap,
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

/// The last point of a metric's series.
#[derive(Debug, Clone)]
pub struct Point {
    /// The metric.
    pub name: String,
    /// In the order in which they were sent; values as JSON.
    pub labels: Vec<(String, Value)>,
    /// Of sums and histograms.
    pub temporality: Option<u64>,
    /// The point in OTLP/JSON.
    pub data: Value,
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
        let mut spans = self.spans_with(trace_id)?;
        spans.retain(|span| span.span["traceId"] == trace_id);
        Ok(spans)
    }

    /// Every span of one service that arrived so far.
    pub fn spans_of(&self, service: &str) -> Result<Vec<Span>> {
        let mut spans = self.spans_with(service)?;
        spans.retain(|span| span.resource["service.name"] == service);
        Ok(spans)
    }

    /// Every span of requests in which a text occurs.
    fn spans_with(&self, text: &str) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        for request in self.requests(text)? {
            for resource in each(&request["resourceSpans"]) {
                for scope in each(&resource["scopeSpans"]) {
                    let resource = attributes(&resource["resource"]);
                    spans.extend(
                        each(&scope["spans"]).map(|span| Span { span: span.clone(), resource: resource.clone() }),
                    );
                }
            }
        }
        Ok(spans)
    }

    /// The last point of each series, by metric and labels.
    pub fn points(&self) -> Result<BTreeMap<String, Point>> {
        let mut points = BTreeMap::new();
        for request in self.requests("resourceMetrics")? {
            let scopes = each(&request["resourceMetrics"]).flat_map(|resource| each(&resource["scopeMetrics"]));
            for metric in scopes.flat_map(|scope| each(&scope["metrics"])) {
                let data = ["sum", "gauge", "histogram"].into_iter().map(|kind| &metric[kind]).find(|d| d.is_object());
                let data = data.with_context(|| format!("of another kind: {metric}"))?;
                for point in each(&data["dataPoints"]) {
                    let labels = attributes(point).as_object().cloned().unwrap_or_default().into_iter().collect();
                    let name = metric["name"].as_str().unwrap_or_default().to_owned();
                    let temporality = data["aggregationTemporality"].as_u64();
                    let key = format!("{name} {labels:?}");
                    points.insert(key, Point { name, labels, temporality, data: point.clone() });
                }
            }
        }
        Ok(points)
    }

    /// Requests with metrics that came.
    pub fn metric_requests(&self) -> Result<usize> {
        self.requests("resourceMetrics").map(|requests| requests.len())
    }

    /// Requests in which a text occurs, in the order in which they came.
    fn requests(&self, with: &str) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().filter(|line| line.contains(with));
        lines.map(|line| serde_json::from_str(line).context("the Collector's file")).collect()
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
