//! The server's own traces: one root span per review, its phases as children. Off by default.
//!
//! The span is written after the answer is ready, from times already taken, so a review costs nothing more while
//! traces are off and does not wait for them while they are on (the SDK batches on a thread of its own).
//! Parent: the API server's `traceparent` header (W3C Trace Context), whose sampling decision is obeyed.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use axum::http::{HeaderMap, HeaderName};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig, tonic_types::transport::ClientTlsConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};

use crate::{admission::Reviewed, config};

/// The traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The endpoint, and why it is none.
    #[error("cannot send traces to {0}: {1}; give --otlp-endpoint as http://HOST:4317")]
    Endpoint(String, String),
    /// Headers that cannot be sent.
    #[error("cannot send traces: {0}")]
    Headers(String),
}

impl TraceError {
    /// An endpoint that is none.
    pub(crate) fn endpoint(endpoint: &str, reason: impl fmt::Display) -> Self {
        Self::Endpoint(endpoint.to_owned(), reason.to_string())
    }
}

/// An exporter over OTLP/gRPC; the connection is made when the first span is sent. Must be called inside the runtime.
pub(crate) fn exporter(endpoint: &str) -> Result<SpanExporter, TraceError> {
    let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    if endpoint.starts_with("https://") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_native_roots());
    } else if !endpoint.starts_with("http://") {
        return Err(TraceError::endpoint(endpoint, "neither http:// nor https://"));
    }
    exporter.build().map_err(|error| TraceError::endpoint(endpoint, error))
}

/// Sends spans.
#[derive(Debug)]
pub struct Tracer {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// One finished review.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The request's headers, for `traceparent`.
    pub headers: &'a HeaderMap,
    /// What came out.
    pub reviewed: &'a Reviewed,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Why it failed open, if it did.
    pub error: Option<&'static str>,
}

impl Tracer {
    /// Sets up batched export over OTLP/gRPC. Must be called inside the runtime.
    pub fn new(config: &config::Trace) -> Result<Self, TraceError> {
        let exporter = exporter(&config.endpoint)?;
        let resource = Resource::builder()
            .with_service_name("stepspan-webhook")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.ratio))))
            .build();
        Ok(Self::from_provider(provider))
    }

    fn from_provider(provider: SdkTracerProvider) -> Self {
        let tracer = provider.tracer("stepspan");
        Self { provider, tracer }
    }

    /// Writes the spans of one review.
    pub fn record(&self, finished: &Finished<'_>) {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(finished.headers));
        let reviewed = finished.reviewed;
        let mut attributes = vec![
            KeyValue::new("kubernetes.object.namespace", reviewed.namespace.clone()),
            KeyValue::new("kubernetes.object.name", reviewed.name.clone()),
            KeyValue::new("kubernetes.object.key", format!("{}/{}", reviewed.namespace, reviewed.name)),
            KeyValue::new("stepspan.outcome", reviewed.outcome.label()),
        ];
        attributes.extend(reviewed.reason.as_ref().map(|reason| KeyValue::new("stepspan.reason", reason.label())));
        attributes.extend(finished.error.map(|error| KeyValue::new("error", error)));
        let mut root = self
            .tracer
            .span_builder("stepspan.review")
            .with_kind(SpanKind::Server)
            .with_start_time(finished.started)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        if let Some(error) = finished.error {
            root.set_status(Status::error(error));
        }
        let inside = Context::new().with_remote_span_context(root.span_context().clone());
        for phase in &reviewed.phases {
            let start = finished.started + phase.offset;
            self.tracer
                .span_builder(phase.name)
                .with_start_time(start)
                .start_with_context(&self.tracer, &inside)
                .end_with_timestamp(start + phase.duration);
        }
        root.end_with_timestamp(finished.started + finished.took);
    }

    /// Sends what is left, within `patience`. Blocks: not for a runtime worker.
    pub fn shutdown(&self, patience: Duration) {
        // A collector that is away at the end loses these spans, nothing more.
        let _ = self.provider.shutdown_with_timeout(patience);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::InMemorySpanExporter;

    use super::*;
    use crate::{
        admission::{self, Outcome},
        context,
        policy::PolicySet,
    };

    #[test]
    fn a_review_is_one_span_below_the_api_servers() {
        let memory = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(memory.clone()).build();
        let tracer = Tracer::from_provider(provider);
        let mut headers = HeaderMap::new();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", parent.parse().unwrap());
        let mut reviewed = admission::review(b"{}", &PolicySet::default(), &context::Context::default());
        (reviewed.namespace, reviewed.name, reviewed.outcome) = ("argo".into(), "pod".into(), Outcome::Failed);
        tracer.record(&Finished {
            headers: &headers,
            reviewed: &reviewed,
            started: SystemTime::UNIX_EPOCH,
            took: Duration::from_millis(2),
            error: Some("panic"),
        });
        let spans = memory.get_finished_spans().unwrap();
        assert_eq!(spans.len(), 1);
        let span = &spans[0];
        assert_eq!(span.name, "stepspan.review");
        assert_eq!(span.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(span.end_time, SystemTime::UNIX_EPOCH + Duration::from_millis(2));
        let value = |key: &str| span.attributes.iter().find(|a| a.key.as_str() == key).map(|a| a.value.to_string());
        assert_eq!(value("kubernetes.object.key").as_deref(), Some("argo/pod"));
        assert_eq!(value("error").as_deref(), Some("panic"));
        assert_eq!(span.status, Status::error("panic"));
    }

    #[test]
    fn a_parent_that_is_not_sampled_keeps_the_review_out() {
        let memory = InMemorySpanExporter::default();
        let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        let provider = SdkTracerProvider::builder().with_simple_exporter(memory.clone()).with_sampler(sampler).build();
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".parse().unwrap());
        let reviewed = admission::review(b"{}", &PolicySet::default(), &context::Context::default());
        let (started, took) = (SystemTime::UNIX_EPOCH, Duration::ZERO);
        Tracer::from_provider(provider).record(&Finished {
            headers: &headers,
            reviewed: &reviewed,
            started,
            took,
            error: None,
        });
        assert!(memory.get_finished_spans().unwrap().is_empty());
    }
}
