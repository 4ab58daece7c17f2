//! Spans -> OTLP. A batch is sent until it is taken: what waits behind it waits in a bounded queue, and what finds no room there is made
//! again from its Workflow.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use serde_json::json;
use tokio::sync::mpsc;

use super::metrics::Metrics;
use super::seen::{Due, Key};
use crate::telemetry::events::{Event as Logged, EventLog};
use crate::telemetry::trace::{TraceError, exporter};
use crate::trace::otlp;
use crate::trace::span::{Key as Name, Span, Value};

/// Spans in one request.
const BATCH: usize = 512;
/// Bytes in one request: a Collector takes 4 MiB where it was not told otherwise.
const LARGEST: usize = 1 << 20;
/// Between a batch that was not taken and the next attempt: doubled each time.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Sends spans.
#[derive(Debug)]
pub(super) struct Sender {
    exporter: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    metrics: Arc<Metrics>,
    events: Arc<EventLog>,
}

impl Sender {
    /// Must be called inside the runtime. The connection is made when the first span is sent.
    ///
    /// # Errors
    /// The endpoint is none.
    pub(super) fn new(endpoint: &str, metrics: Arc<Metrics>, events: Arc<EventLog>) -> Result<Self, TraceError> {
        let mut exporter = exporter(endpoint)?;
        let resource = otlp::resource().into_iter().map(|(name, value)| attribute(name, value));
        exporter.set_resource(&Resource::builder_empty().with_attributes(resource).build());
        Ok(Self { exporter, endpoint: endpoint.to_owned(), metrics, events })
    }

    /// Sends what comes, until nobody sends more; says what has arrived.
    pub(super) async fn run(&self, mut queue: mpsc::Receiver<Due>, arrived: mpsc::UnboundedSender<Vec<Key>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            let (keys, spans): (Vec<Key>, Vec<Option<SpanData>>) =
                batch.drain(..).map(|due| (due.key, data(due.span))).unzip();
            let spans: Vec<SpanData> = spans.into_iter().flatten().collect();
            for part in parts(&spans) {
                self.deliver(part).await;
            }
            self.metrics.sent.inc_by(spans.len() as u64);
            // Nobody waits for it any more where this replica does not lead.
            let _ = arrived.send(keys);
        }
    }

    async fn deliver(&self, spans: &[SpanData]) {
        let mut wait = AGAIN;
        while let Err(error) = self.exporter.export(spans.to_vec()).await {
            self.metrics.export_failures.inc();
            self.metrics.undelivered.set(1);
            let payload = json!({"endpoint": self.endpoint, "spans": spans.len(), "again_in_ms": wait.as_millis()});
            self.events.emit(&Logged::error("export", payload, error));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
        self.metrics.undelivered.set(0);
    }
}

/// Spans in requests of a size that a Collector takes.
fn parts(spans: &[SpanData]) -> Vec<&[SpanData]> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, span) in spans.iter().enumerate() {
        let of_it = size(span);
        if at > from && bytes + of_it > LARGEST {
            parts.push(&spans[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += of_it;
    }
    if from < spans.len() {
        parts.push(&spans[from..]);
    }
    parts
}

/// Roughly, in bytes.
fn size(span: &SpanData) -> usize {
    let of = |attributes: &[KeyValue]| {
        attributes.iter().map(|a| a.key.as_str().len() + a.value.as_str().len() + 12).sum::<usize>()
    };
    let events: usize = span.events.iter().map(|event| event.name.len() + 24 + of(&event.attributes)).sum();
    200 + span.name.len() + of(&span.attributes) + events + span.links.len() * 100
}

/// As the SDK has it; `None` for one that has not ended, and for ids that are none.
fn data(span: Span) -> Option<SpanData> {
    let context = |trace: &str, span: &str, remote| {
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        Some(SpanContext::new(trace, span, TraceFlags::SAMPLED, remote, TraceState::NONE))
    };
    let at = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    let attributes = |all: Vec<(Name, Value)>| all.into_iter().map(|(name, value)| attribute(name, value)).collect();
    let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
    events.events =
        span.events.into_iter().map(|e| Event::new(e.name, at(e.at), attributes(e.attributes), 0)).collect();
    links.links = span
        .links
        .iter()
        .filter_map(|link| {
            let to = context(link.to.trace.as_str(), link.to.span.as_str(), true)?;
            Some(Link::new(to, vec![KeyValue::new(otlp::LINK, link.role)], 0))
        })
        .collect();
    Some(SpanData {
        span_context: context(span.trace.as_str(), span.id.as_str(), false)?,
        parent_span_id: match &span.parent {
            Some(parent) => SpanId::from_hex(parent.as_str()).ok()?,
            None => SpanId::INVALID,
        },
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: span.name.into(),
        start_time: at(span.start),
        end_time: at(span.end?),
        attributes: attributes(span.attributes),
        dropped_attributes_count: 0,
        events,
        links,
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("stepspan")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    })
}

fn attribute(name: Name, value: Value) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(name, text),
        Value::Int(number) => KeyValue::new(name, number),
        Value::Bool(yes) => KeyValue::new(name, yes),
    }
}
