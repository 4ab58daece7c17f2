//! Spans as OTLP/JSON: an `ExportTraceServiceRequest` (OTLP 1.7, section "JSON Protobuf Encoding"): ids as hex digits, 64-bit numbers as texts.

use serde_json::{Value as Json, json};

use super::span::{Event, Key, Link, Span, Value};

/// The name under which trace backends list Workflows; the steps in them have their policy's `serviceName`.
const SERVICE: &str = "argo-workflows";
/// What another span is to the one that links to it.
pub(crate) const LINK: &str = "stepspan.link";
/// `SpanKind` `INTERNAL`.
const INTERNAL: u8 = 1;
/// `StatusCode` `ERROR`.
const ERROR: u8 = 2;

/// Who sends the spans of Workflows and nodes.
pub fn resource() -> Vec<(Key, Value)> {
    vec![("service.name".into(), SERVICE.into()), ("service.version".into(), env!("CARGO_PKG_VERSION").into())]
}

/// One request with all spans; those that go on are left out. `resource` says who sends them.
pub fn request<'s>(spans: impl IntoIterator<Item = &'s Span>, resource: &[(Key, Value)]) -> Json {
    let spans: Vec<Json> = spans.into_iter().filter_map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes(resource)},
        "scopeSpans": [{"scope": {"name": "stepspan", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
    }]})
}

fn span(span: &Span) -> Option<Json> {
    let end = span.end?;
    let mut json = json!({
        "traceId": span.trace.as_str(),
        "spanId": span.id.as_str(),
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": span.start.to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "links": span.links.iter().map(link).collect::<Vec<_>>(),
        "status": span.error.as_ref().map_or_else(|| json!({}), |why| json!({"code": ERROR, "message": why})),
    });
    if let Some(parent) = &span.parent {
        json["parentSpanId"] = parent.as_str().into();
    }
    Some(json)
}

fn event(event: &Event) -> Json {
    json!({
        "timeUnixNano": event.at.to_string(),
        "name": event.name,
        "attributes": attributes(&event.attributes),
    })
}

fn link(link: &Link) -> Json {
    json!({
        "traceId": link.to.trace.as_str(),
        "spanId": link.to.span.as_str(),
        "attributes": [attribute(LINK, &link.role.into())],
    })
}

fn attributes(attributes: &[(Key, Value)]) -> Vec<Json> {
    attributes.iter().map(|(key, value)| attribute(key, value)).collect()
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Int(number) => json!({"intValue": number.to_string()}),
        Value::Bool(yes) => json!({"boolValue": yes}),
    };
    json!({"key": key, "value": value})
}
