//! A span as protobuf has it (opentelemetry-proto, `trace/v1/trace.proto`).

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Proto, Status};

use super::attribute;
use crate::trace::otlp::LINK;
use crate::trace::span::{Key, Span, Value};

/// The span is part of a trace that was sampled (`SpanFlags`, W3C Trace Context).
const SAMPLED: u32 = 1;

/// Makes one; `None` of a span that has not ended.
pub(in crate::watch) fn span(span: Span) -> Option<Proto> {
    Some(Proto {
        trace_id: bytes(span.trace.as_str()),
        span_id: bytes(span.id.as_str()),
        parent_span_id: span.parent.as_ref().map(|parent| bytes(parent.as_str())).unwrap_or_default(),
        flags: SAMPLED,
        kind: SpanKind::Internal.into(),
        name: span.name,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end?,
        attributes: attributes(span.attributes),
        events: span
            .events
            .into_iter()
            .map(|event| Event {
                time_unix_nano: event.at,
                name: event.name.to_owned(),
                attributes: attributes(event.attributes),
                ..Event::default()
            })
            .collect(),
        links: span
            .links
            .into_iter()
            .map(|link| Link {
                trace_id: bytes(link.to.trace.as_str()),
                span_id: bytes(link.to.span.as_str()),
                attributes: vec![attribute(LINK.into(), link.role.into())],
                ..Link::default()
            })
            .collect(),
        status: Some(
            span.error.map_or_else(Status::default, |message| Status { message, code: StatusCode::Error.into() }),
        ),
        ..Proto::default()
    })
}

fn attributes(all: Vec<(Key, Value)>) -> Vec<KeyValue> {
    all.into_iter().map(|(name, value)| attribute(name, value)).collect()
}

/// Ids are kept as hex digits.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len() / 2).map(|at| hex.get(at * 2..at * 2 + 2));
    digits.filter_map(|two| u8::from_str_radix(two?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bytes() {
        assert_eq!(bytes("00f067aa0ba902b7"), [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    }
}
