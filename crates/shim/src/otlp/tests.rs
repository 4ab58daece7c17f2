use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![any::<String>().prop_map(Value::Text), any::<i64>().prop_map(Value::Int)]
}

fn some_attributes() -> impl Strategy<Value = Attributes> {
    proptest::collection::vec((".{1,20}", value()), 0..5)
}

fn read(pairs: &[KeyValue]) -> Attributes {
    let of = |pair: &KeyValue| {
        let value = match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
            Some(any_value::Value::StringValue(text)) => Value::Text(text.clone()),
            Some(any_value::Value::IntValue(number)) => Value::Int(*number),
            other => panic!("{other:?}"),
        };
        (pair.key.clone(), value)
    };
    pairs.iter().map(of).collect()
}

proptest! {
    #[test]
    fn a_span_is_what_the_collector_s_own_types_read(
        ids in (any::<[u8; 16]>(), any::<[u8; 8]>(), prop_oneof![Just(vec![]), any::<[u8; 8]>().prop_map(Vec::from)]),
        name in any::<String>(), times in any::<[u64; 2]>(), attributes in some_attributes(), resource in some_attributes(),
        error in any::<Option<String>>(), sampled in any::<bool>(), linked in any::<bool>(),
    ) {
        let (trace_id, span_id, parent) = ids;
        let link = Link { trace_id: vec![7; 16], span_id: vec![9; 8], sampled };
        let span = Span {
            trace_id: trace_id.into(), span_id: span_id.into(), parent, name, start: times[0], end: times[1], attributes,
            links: if linked { vec![link] } else { vec![] }, status: error.map_or(Status::Unset, Status::Error),
            sampled,
        };
        let read_back = ExportTraceServiceRequest::decode(&*export_trace(&span, &resource)).unwrap();
        let [spans] = &*read_back.resource_spans else { panic!() };
        prop_assert_eq!(read(&spans.resource.as_ref().unwrap().attributes), resource);
        let [scope_spans] = &*spans.scope_spans else { panic!() };
        prop_assert_eq!(&scope_spans.scope.as_ref().unwrap().name, SCOPE);
        let [found] = &*scope_spans.spans else { panic!() };
        prop_assert_eq!((&found.trace_id, &found.span_id, &found.parent_span_id), (&span.trace_id, &span.span_id, &span.parent));
        prop_assert_eq!((&found.name, found.kind), (&span.name, 1));
        prop_assert_eq!((found.start_time_unix_nano, found.end_time_unix_nano), (span.start, span.end));
        prop_assert_eq!(read(&found.attributes), span.attributes);
        prop_assert_eq!(found.links.len(), usize::from(linked));
        prop_assert_eq!(found.flags & 1 == 1, sampled);
        prop_assert_eq!(found.flags & 0x200 != 0, !span.parent.is_empty());
        let status = found.status.as_ref().map(|status| (status.code, status.message.clone()));
        let expected = match span.status { Status::Unset => None, Status::Error(why) => Some((2, why)) };
        prop_assert_eq!(status, expected);
    }

    #[test]
    fn metrics_are_what_the_collector_s_own_types_read(ms in 0.0..2e7_f64, which in 0..4usize, labels in some_attributes()) {
        let outcome = ["success", "failure", "error", "cancelled"][which];
        let point = Point { time: 5, duration_ms: ms, labels, outcome, exemplar: Some((vec![1; 16], vec![2; 8])) };
        let read_back = ExportMetricsServiceRequest::decode(&*export_metrics(&point, &Vec::new())).unwrap();
        let metrics = &read_back.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        let counter = ["agent_step_success_total", "agent_step_fail_total", "agent_step_fail_total"].get(which);
        let expected: Vec<&str> = [Some(&"agent_step_duration_ms"), counter].into_iter().flatten().copied().collect();
        prop_assert_eq!(names, expected);
        let Some(metric::Data::Histogram(histogram)) = &metrics[0].data else { panic!() };
        let data = &histogram.data_points[0];
        prop_assert_eq!((histogram.aggregation_temporality, data.count, data.sum), (1, 1, Some(ms)));
        let at = data.bucket_counts.iter().position(|count| *count == 1).unwrap();
        prop_assert_eq!(data.bucket_counts.len(), data.explicit_bounds.len() + 1);
        prop_assert!(at == 0 || data.explicit_bounds[at - 1] < ms);
        prop_assert!(data.explicit_bounds.get(at).is_none_or(|bound| ms <= *bound));
        let labels = read(&data.attributes);
        prop_assert_eq!(labels.last(), Some(&("outcome".to_owned(), outcome.into())));
        prop_assert_eq!(&data.exemplars[0].trace_id, &vec![1; 16]);
        if let Some(metric::Data::Sum(sum)) = metrics.get(1).and_then(|metric| metric.data.as_ref()) {
            prop_assert!(sum.is_monotonic);
            prop_assert_eq!(sum.aggregation_temporality, 1);
            prop_assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(1)));
            prop_assert_eq!(read(&sum.data_points[0].attributes), point.labels);
        }
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = answer::rejected(&bytes);
        let _ = answer::retry_delay(&bytes);
    }

    #[test]
    fn a_partial_success_is_read(rejected in 0..1_000_i64, error_message in any::<String>()) {
        let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: error_message.clone() };
        let bytes = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let expected = u64::try_from(rejected).ok().filter(|n| *n > 0).map(|n| (n, error_message));
        prop_assert_eq!(answer::rejected(&bytes), expected);
    }
}

#[test]
fn a_retry_delay_is_read() {
    // google.rpc.Status { code: 14, details: [RetryInfo { retry_delay: 1.5 s }] }
    let status = Message::of(|status| {
        status.varint(1, 14);
        status.message(3, |any| {
            any.bytes(1, "type.googleapis.com/google.rpc.RetryInfo");
            any.message(2, |info| {
                info.message(1, |delay| {
                    delay.varint(1, 1);
                    delay.varint(2, 500_000_000);
                });
            });
        });
    });
    assert_eq!(answer::retry_delay(&status), Some(std::time::Duration::from_millis(1_500)));
    assert_eq!(answer::retry_delay(b""), None);
}

proptest! {
    /// What parts hand over: laid end to end, requests are one request with the spans of all.
    #[test]
    fn requests_end_to_end_are_one(names in proptest::collection::vec(".{0,20}", 1..6)) {
        let span = |name: &String| export_trace(&Span { name: name.clone(), ..blank() }, &Vec::new());
        let all: Vec<u8> = names.iter().flat_map(span).collect();
        prop_assert!(wire::is_list_of_messages(&all, 1));
        let read = ExportTraceServiceRequest::decode(&*all).unwrap();
        let found: Vec<String> = read
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .map(|span| span.name)
            .collect();
        prop_assert_eq!(found, names);
    }

    /// And what is none of them is told from one: nothing of it is left over.
    #[test]
    fn any_bytes_are_a_list_of_messages_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..60), cut in 0..40usize) {
        let of = wire::is_list_of_messages(&bytes, 1);
        let read: usize = wire::fields(&bytes).map(|(field, value)| usize::from(field == 1 && matches!(value, wire::Field::Bytes(_)))).sum();
        prop_assert!(!of || read > 0);
        let good = export_trace(&blank(), &Vec::new());
        let short = &good[..good.len().saturating_sub(cut)];
        prop_assert_eq!(wire::is_list_of_messages(short, 1), cut == 0);
    }
}

fn blank() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent: Vec::new(),
        name: "x".into(),
        start: 1,
        end: 2,
        attributes: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
        sampled: true,
    }
}
