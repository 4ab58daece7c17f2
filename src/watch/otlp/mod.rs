//! OTLP over gRPC: requests of our own making, and what is said of them.
//!
//! Not the SDK's exporters: a refusal is but a text there, what was rejected of a request is only logged, and its metrics cannot begin with
//! what another process counted.

mod headers;
pub(super) mod metrics;
pub(super) mod spans;

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValueKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::telemetry::trace::TraceError;
use crate::trace::otlp;
use crate::trace::span::{Key, Value};

/// A Collector that takes longer is away.
const LIMIT: Duration = Duration::from_secs(10);

/// What was not taken of a request that was, and why, in the Collector's words (`partial_success`); not to be sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) count: u64,
    pub(super) why: String,
}

/// Nothing of a request was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may be later: the Collector is away, or does not know us.
    Away(String),
    /// It says that it never will, of this request. It may mean its own backend.
    Refused(String),
}

/// The way to a Collector. Clones share one connection.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    traces: TraceServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    headers: MetadataMap,
}

impl Wire {
    /// Must be called inside the runtime. The connection is made with the first request. Headers are those of `$OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    /// The endpoint is none, or the headers are none.
    pub(super) fn new(endpoint: &str) -> Result<Self, TraceError> {
        let headers = headers::of_env().map_err(TraceError::Headers)?;
        let fail = |error: tonic::transport::Error| TraceError::endpoint(endpoint, error);
        let mut to = Endpoint::from_shared(endpoint.to_owned()).map_err(fail)?.connect_timeout(LIMIT).timeout(LIMIT);
        if endpoint.starts_with("https://") {
            to = to.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(fail)?;
        } else if !endpoint.starts_with("http://") {
            return Err(TraceError::endpoint(endpoint, "neither http:// nor https://"));
        }
        let channel = to.connect_lazy();
        Ok(Self {
            traces: TraceServiceClient::new(channel.clone()),
            metrics: MetricsServiceClient::new(channel),
            headers,
        })
    }

    /// Sends spans.
    ///
    /// # Errors
    /// They were not taken.
    pub(super) async fn spans(&self, spans: Vec<Span>) -> Result<Rejected, Failure> {
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
        let resource_spans =
            vec![ResourceSpans { resource: Some(resource()), scope_spans, ..ResourceSpans::default() }];
        let request = self.with_headers(ExportTraceServiceRequest { resource_spans });
        let reply = self.traces.clone().export(request).await.map_err(|status| failure(&status))?;
        let partial = reply.into_inner().partial_success.unwrap_or_default();
        Ok(Rejected { count: u64::try_from(partial.rejected_spans).unwrap_or(0), why: partial.error_message })
    }

    /// Sends metrics.
    ///
    /// # Errors
    /// They were not taken.
    pub(super) async fn metrics(&self, metrics: Vec<Metric>) -> Result<Rejected, Failure> {
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
        let resource_metrics =
            vec![ResourceMetrics { resource: Some(resource()), scope_metrics, ..ResourceMetrics::default() }];
        let request = self.with_headers(ExportMetricsServiceRequest { resource_metrics });
        let reply = self.metrics.clone().export(request).await.map_err(|status| failure(&status))?;
        let partial = reply.into_inner().partial_success.unwrap_or_default();
        Ok(Rejected { count: u64::try_from(partial.rejected_data_points).unwrap_or(0), why: partial.error_message })
    }

    fn with_headers<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
    }
}

/// Which codes can change by waiting says the specification (OTLP 1.7, "Failures"); a token or a service that is missing somebody may yet give.
/// `ResourceExhausted` is both there: of a request that is too large, and where a `RetryInfo` comes with it, of one that is too soon.
fn failure(status: &Status) -> Failure {
    // The message is the Collector's; headers of ours are not in it.
    let why = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        // A connection that broke: nobody said anything.
        Code::Unknown if std::error::Error::source(status).is_some() => Failure::Away(why),
        Code::ResourceExhausted if status.details().windows(RETRY_INFO.len()).any(|part| part == RETRY_INFO) => {
            Failure::Away(why)
        }
        Code::InvalidArgument | Code::ResourceExhausted | Code::FailedPrecondition | Code::Internal | Code::Unknown => {
            Failure::Refused(why)
        }
        _ => Failure::Away(why),
    }
}

/// In the type URL of `google.rpc.RetryInfo` among a status' details.
const RETRY_INFO: &[u8] = b"google.rpc.RetryInfo";

fn resource() -> Resource {
    let attributes = otlp::resource().into_iter().map(|(name, value)| attribute(name, value)).collect();
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    let (name, version) = ("stepspan".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}

fn attribute(name: Key, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => AnyValueKind::StringValue(text),
        Value::Int(number) => AnyValueKind::IntValue(number),
        Value::Bool(yes) => AnyValueKind::BoolValue(yes),
    };
    KeyValue { key: name.into_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
