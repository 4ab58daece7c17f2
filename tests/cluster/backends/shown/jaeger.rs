//! Jaeger, everything in one process and in memory, asked through the query API that its web page uses.

use anyhow::{Result, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{ask, listening};
use crate::harness::{Cluster, ports, processes::Process};

/// A Jaeger that can be taken away: what it knew goes with it.
pub struct Jaeger<'c> {
    cluster: &'c Cluster,
    /// OTLP over gRPC, on loopback.
    pub otlp: u16,
    query: u16,
    started: u32,
    process: Option<Process>,
}

/// A span as it answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub id: String,
    pub trace: String,
    pub name: String,
    pub service: String,
    /// Its parent in the same trace.
    pub parent: Option<String>,
    /// What else it refers to: trace and span.
    pub links: Vec<(String, String)>,
    /// Microseconds since 1970.
    pub start: i64,
    /// Microseconds.
    pub duration: i64,
    /// Attributes, and `error`, `otel.status_code` and `otel.status_description` as Jaeger adds them.
    pub tags: Value,
    /// Names of its events.
    pub events: Vec<String>,
}

impl<'c> Jaeger<'c> {
    /// Nothing runs yet.
    pub fn prepare(cluster: &'c Cluster) -> Result<Self> {
        Ok(Self { cluster, otlp: ports::free()?, query: ports::free()?, started: 0, process: None })
    }

    pub fn start(&mut self, program: &std::path::Path) -> Result<()> {
        self.started += 1;
        // None of them stays at its usual port.
        let others = [
            "admin.http.host-port",
            "collector.grpc-server.host-port",
            "collector.http-server.host-port",
            "collector.otlp.http.host-port",
            "http-server.host-port",
            "processor.jaeger-binary.server-host-port",
            "processor.jaeger-compact.server-host-port",
            "processor.zipkin-compact.server-host-port",
            "query.grpc-server.host-port",
        ];
        let flag = |name: &str, port: u16| format!("--{name}=127.0.0.1:{port}");
        let mut args = vec![
            flag("collector.otlp.grpc.host-port", self.otlp),
            flag("query.http-server.host-port", self.query),
            // 100 steps and what is around them come in single requests.
            "--collector.queue-size=20000".to_owned(),
        ];
        for name in others {
            args.push(flag(name, ports::free()?));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let env = [("SPAN_STORAGE_TYPE", "memory")];
        let mut process =
            self.cluster.spawn(&format!("jaeger-{}-{}", self.query, self.started), program, &args, &env)?;
        listening(&mut process, "127.0.0.1", self.otlp)?;
        listening(&mut process, "127.0.0.1", self.query)?;
        self.process = Some(process);
        Ok(())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.query)
    }

    /// All spans of a trace, none where it knows no such trace. What came twice and is the same is there once.
    pub fn spans(&self, trace: &str) -> Result<Vec<Span>> {
        let answer = ask(self.query, &format!("/api/traces/{trace}"))?;
        let mut spans: Vec<Span> = Vec::new();
        for found in answer["data"].as_array().into_iter().flatten() {
            let processes = &found["processes"];
            for span in found["spans"].as_array().into_iter().flatten() {
                let span = Span::of(span, processes);
                ensure!(span.trace == trace, "{} in {trace}", span.trace);
                match spans.iter().find(|other| other.id == span.id) {
                    Some(other) => ensure!(*other == span, "sent twice, and differs: {other:#?}, {span:#?}"),
                    None => spans.push(span),
                }
            }
        }
        Ok(spans)
    }

    /// The traces in which a span of that service, and of that name where one is given, has these tags.
    pub fn search(&self, service: &str, operation: Option<&str>, tags: &Value) -> Result<Vec<String>> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let operation = operation.map(|name| format!("&operation={}", encoded(name))).unwrap_or_default();
        let (service, tags) = (encoded(service), encoded(&tags.to_string()));
        let answer = ask(self.query, &format!("/api/traces?service={service}{operation}&tags={tags}&limit=50"))?;
        let found = answer["data"].as_array().into_iter().flatten();
        Ok(found.filter_map(|trace| trace["traceID"].as_str().map(str::to_owned)).collect())
    }

    pub fn knows(&self, trace: &str) -> Result<bool> {
        self.spans(trace).map(|spans| !spans.is_empty())
    }
}

impl Span {
    fn of(span: &Value, processes: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (trace, mut parent, mut links) = (text(&span["traceID"]), None, Vec::new());
        for reference in span["references"].as_array().into_iter().flatten() {
            let to = (text(&reference["traceID"]), text(&reference["spanID"]));
            if reference["refType"] == "CHILD_OF" && to.0 == trace && parent.is_none() {
                parent = Some(to.1);
            } else {
                links.push(to);
            }
        }
        let service = text(&processes[span["processID"].as_str().unwrap_or_default()]["serviceName"]);
        let field = |log: &Value| log["fields"].as_array()?.iter().find(|field| field["key"] == "event").cloned();
        let logs = span["logs"].as_array().into_iter().flatten();
        Self {
            id: text(&span["spanID"]),
            name: text(&span["operationName"]),
            service,
            parent,
            links,
            start: span["startTime"].as_i64().unwrap_or_default(),
            duration: span["duration"].as_i64().unwrap_or_default(),
            tags: tags(&span["tags"]),
            events: logs.filter_map(field).map(|field| text(&field["value"])).collect(),
            trace,
        }
    }

    /// The text of a tag; numbers as text too.
    pub fn tag(&self, key: &str) -> String {
        self.tags[key].as_str().map_or_else(|| self.tags[key].to_string(), str::to_owned)
    }

    /// Whether it is one of the shim's.
    pub fn is_of_command(&self) -> bool {
        self.service != "argo-workflows"
    }

    pub fn is_error(&self) -> bool {
        self.tags["error"] == true && self.tags["otel.status_code"] == "ERROR"
    }
}

fn tags(list: &Value) -> Value {
    let mut all = json!({});
    for tag in list.as_array().into_iter().flatten() {
        all[tag["key"].as_str().unwrap_or_default()] = tag["value"].clone();
    }
    all
}
