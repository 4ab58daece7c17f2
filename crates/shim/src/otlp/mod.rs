//! OTLP messages: what the shim sends (`opentelemetry/proto/trace/v1`, `metrics/v1`) and what it reads of an answer.

pub mod answer;
mod metrics;
mod trace;
pub mod wire;

pub use metrics::{Point, export_metrics, labels};
pub use trace::{Link, Span, Status, export_trace};

use wire::Message;

/// The instrumentation scope, and `telemetry.sdk.name`.
pub const SCOPE: &str = "stepspan-shim";

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Attributes, in order.
pub type Attributes = Vec<(String, Value)>;

/// `KeyValue` of `common.proto`.
fn attributes(message: &mut Message, field: u32, attributes: &[(String, Value)]) {
    for (key, value) in attributes {
        message.message(field, |pair| {
            pair.bytes(1, key);
            pair.message(2, |any| match value {
                Value::Text(text) => any.set_bytes(1, text.as_bytes()),
                Value::Int(number) => any.set_int(3, *number),
            });
        });
    }
}

/// A request of one resource with one scope, which `fill` goes on with: `ExportTraceServiceRequest` and
/// `ExportMetricsServiceRequest` number these fields alike.
fn request(resource: &Attributes, fill: impl FnOnce(&mut Message)) -> Vec<u8> {
    Message::of(|request| {
        request.message(1, |of_resource| {
            of_resource.message(1, |message| attributes(message, 1, resource));
            of_resource.message(2, |of_scope| {
                of_scope.message(1, scope);
                fill(of_scope);
            });
        });
    })
}

/// `InstrumentationScope` of `common.proto`.
fn scope(message: &mut Message) {
    message.bytes(1, SCOPE);
    message.bytes(2, env!("CARGO_PKG_VERSION"));
}

#[cfg(test)]
mod tests;
