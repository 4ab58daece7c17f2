//! What the watcher itself does, as traces, in the manner of a controller: a root span for each object that it works on, the stages of that work
//! below it, and one entry of baggage that says which object it is.
//!
//! Off where nobody asked for it; then a stage costs nothing. Spans are written when the work is done, from times taken on the way.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};

use super::config::Config;
use super::seen::Object;
use crate::telemetry::trace::{TraceError, exporter};

/// The one entry of baggage, and the attribute of every span that is made in its context.
const KEY: &str = "kubernetes.object.key";
const SERVICE: &str = "stepspan-watch";

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Done,
    /// It is tried again.
    Failed(String),
    /// It is not.
    Forgotten(String),
}

/// Writes traces of what the watcher does.
#[derive(Debug)]
pub(super) struct Own {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    about: Vec<KeyValue>,
}

impl Own {
    /// Sets up batched export over OTLP/gRPC; `None` where nothing is asked for. Must be called inside the runtime.
    ///
    /// # Errors
    /// The endpoint is none.
    pub(super) fn new(config: &Config) -> Result<Option<Arc<Self>>, TraceError> {
        if config.own_traces <= 0.0 {
            return Ok(None);
        }
        let provider = SdkTracerProvider::builder()
            .with_span_processor(FromBaggage)
            .with_batch_exporter(exporter(&config.endpoint)?)
            .with_resource(
                Resource::builder()
                    .with_service_name(SERVICE)
                    .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                    .build(),
            )
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.own_traces))))
            .build();
        Ok(Some(Arc::new(Self::of(provider, config))))
    }

    fn of(provider: SdkTracerProvider, config: &Config) -> Self {
        let about = vec![
            KeyValue::new("controller", SERVICE),
            KeyValue::new("controller.identity", config.identity.clone()),
            KeyValue::new("controller.lease", config.lease.clone()),
            KeyValue::new("controller.only", config.only.clone().unwrap_or_default()),
            KeyValue::new("controller.queue", i64::try_from(config.queue).unwrap_or(i64::MAX)),
        ];
        Self { tracer: provider.tracer("stepspan"), provider, about }
    }

    /// Sends what is left, within `patience`. Blocks: not for a runtime worker.
    pub(super) fn shutdown(&self, patience: Duration) {
        // A Collector that is away at the end loses these spans, nothing more.
        let _ = self.provider.shutdown_with_timeout(patience);
    }
}

/// The work on one object.
#[derive(Clone)]
pub(super) struct Work<'o> {
    own: Option<&'o Own>,
    component: &'static str,
    started: SystemTime,
    clock: Instant,
    stages: Vec<(&'static str, Duration, Duration)>,
}

impl<'o> Work<'o> {
    /// It begins.
    pub(super) fn begin(own: Option<&'o Own>, component: &'static str) -> Self {
        Self { own, component, started: SystemTime::now(), clock: Instant::now(), stages: Vec::new() }
    }

    /// Whether anybody asked for traces.
    pub(super) fn is_heard(&self) -> bool {
        self.own.is_some()
    }

    /// Does a part of it.
    pub(super) fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        if self.own.is_none() {
            return work();
        }
        let from = self.clock.elapsed();
        let done = work();
        self.stages.push((name, from, self.clock.elapsed()));
        done
    }

    /// The object had waited since then: that is the first part.
    pub(super) fn waited(&mut self, name: &'static str, from: Instant) {
        let waited = self.clock.saturating_duration_since(from);
        self.started -= waited;
        self.clock = from.min(self.clock);
        self.stages.push((name, Duration::ZERO, waited));
    }

    /// It is over: what of it is to be told is asked for only where somebody hears it.
    pub(super) fn end(self, object: impl FnOnce() -> Object, end: &End) {
        let Some(own) = self.own else { return };
        let object = object();
        let key = format!("{}/{}", object.namespace, object.name);
        let took = self.clock.elapsed();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("kubernetes.object.namespace", object.namespace),
            KeyValue::new("kubernetes.object.name", object.name),
            KeyValue::new("component", self.component),
            KeyValue::new("span.kind", "consumer"),
            KeyValue::new("total_processed_times", number(object.times)),
            KeyValue::new("processing_retry", number(object.retry)),
            KeyValue::new("error", *end != End::Done),
        ];
        attributes.extend(own.about.iter().cloned());
        let context = Context::new().with_baggage([KeyValue::new(KEY, key)]);
        let mut root = own
            .tracer
            .span_builder("process_object")
            .with_kind(SpanKind::Consumer)
            .with_start_time(self.started)
            .with_attributes(attributes)
            .start_with_context(&own.tracer, &context);
        root.add_event_with_timestamp("process_object", self.started, Vec::new());
        let inside = context.with_remote_span_context(root.span_context().clone());
        for (name, from, to) in self.stages {
            own.tracer
                .span_builder(name)
                .with_start_time(self.started + from)
                .start_with_context(&own.tracer, &inside)
                .end_with_timestamp(self.started + to);
        }
        let ended = self.started + took;
        match end {
            End::Done => root.add_event_with_timestamp("success", ended, Vec::new()),
            End::Failed(why) | End::Forgotten(why) => {
                root.add_event_with_timestamp("error", ended, vec![KeyValue::new("message", why.clone())]);
                root.set_status(Status::error(why.clone()));
            }
        }
        if matches!(end, End::Forgotten(_)) {
            root.add_event_with_timestamp("forget", ended, Vec::new());
        }
        root.end_with_timestamp(ended);
    }
}

impl fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("component", &self.component).finish_non_exhaustive()
    }
}

/// What the context carries every span says.
#[derive(Debug)]
struct FromBaggage;

impl SpanProcessor for FromBaggage {
    fn on_start(&self, span: &mut Span, context: &Context) {
        for (key, (value, _)) in context.baggage() {
            span.set_attribute(KeyValue::new(key.clone(), value.clone()));
        }
    }

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use opentelemetry_sdk::trace::InMemorySpanExporter;

    use super::*;
    use crate::telemetry::events::{Level, Target};

    /// As the default is.
    pub(in crate::watch) fn config() -> Config {
        Config {
            install: None,
            bind: None,
            ops_port: 0,
            namespace: "stepspan".into(),
            identity: "watch-0".into(),
            lease: "stepspan-watch".into(),
            only: None,
            endpoint: "http://localhost:4317".into(),
            queue: 10_000,
            step_metrics: true,
            otlp_metrics: None,
            own_traces: 1.0,
            zero_for: Duration::from_secs(75),
            series: 2_000,
            level: Level::Info,
            log: Target::Stderr,
        }
    }

    fn written(end: &End) -> Vec<SpanData> {
        let memory = InMemorySpanExporter::default();
        let provider =
            SdkTracerProvider::builder().with_span_processor(FromBaggage).with_simple_exporter(memory.clone()).build();
        let own = Own::of(provider, &config());
        let mut work = Work::begin(Some(&own), "change");
        assert_eq!(work.stage("note", || 7), 7);
        work.stage("count", || ());
        work.end(|| Object { namespace: "ci".into(), name: "pr-42".into(), times: 3, retry: 1 }, end);
        memory.get_finished_spans().unwrap()
    }

    #[test]
    fn an_object_is_a_root_with_its_stages_and_all_of_them_name_it() {
        let spans = written(&End::Done);
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["note", "count", "process_object"]);
        let (root, stages) = spans.split_last().unwrap();
        for span in &spans {
            assert!(span.attributes.contains(&KeyValue::new(KEY, "ci/pr-42")), "{}", span.name);
            assert!(root.start_time <= span.start_time && span.end_time <= root.end_time);
        }
        assert!(stages.iter().all(|span| span.parent_span_id == root.span_context.span_id()));
        for pair in [
            KeyValue::new("kubernetes.object.namespace", "ci"),
            KeyValue::new("kubernetes.object.name", "pr-42"),
            KeyValue::new("total_processed_times", 3),
            KeyValue::new("processing_retry", 1),
            KeyValue::new("component", "change"),
            KeyValue::new("span.kind", "consumer"),
            KeyValue::new("error", false),
            KeyValue::new("controller", "stepspan-watch"),
            KeyValue::new("controller.queue", 10_000),
        ] {
            assert!(root.attributes.contains(&pair), "{pair:?}");
        }
        let events = |root: &SpanData| root.events.iter().map(|event| event.name.to_string()).collect::<Vec<_>>();
        assert_eq!(events(root), ["process_object", "success"]);
        let failed = written(&End::Failed("away".into()));
        assert_eq!(events(failed.last().unwrap()), ["process_object", "error"]);
        assert_eq!(failed.last().unwrap().status, Status::error("away"));
        let forgotten = written(&End::Forgotten("no".into()));
        assert_eq!(events(forgotten.last().unwrap()), ["process_object", "error", "forget"]);
    }

    #[test]
    fn nobody_who_did_not_ask_pays() {
        let mut work = Work::begin(None, "change");
        assert_eq!(work.stage("note", || 7), 7);
        work.end(|| panic!("nobody hears it"), &End::Done);
        assert!(Own::new(&Config { own_traces: 0.0, ..config() }).unwrap().is_none());
    }
}
