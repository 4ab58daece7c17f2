//! `ExportMetricsServiceRequest` with the three metrics of one step, as deltas.

use super::wire::Message;
use super::{Attributes, Value, attributes, request};

/// Upper bounds of the duration's buckets, in milliseconds.
const BOUNDS: [u32; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000,
    3_600_000, 7_200_000, 14_400_000,
];
/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u64 = 1;

/// A step, for counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// When it ended, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// The labels but the outcome.
    pub labels: Attributes,
    /// `success`, `failure`, `error`, `cancelled`.
    pub outcome: &'static str,
    /// Trace and span id of an exported span.
    pub exemplar: Option<(Vec<u8>, Vec<u8>)>,
}

/// The serialised request. Start times are unset: each step is a stream of its own with one delta.
pub fn export_metrics(point: &Point, resource: &Attributes) -> Vec<u8> {
    let counter = match point.outcome {
        "success" => Some("agent_step_success_total"),
        "failure" | "error" => Some("agent_step_fail_total"),
        _ => None,
    };
    request(resource, |scope| {
        scope.message(2, |metric| duration(metric, point));
        if let Some(name) = counter {
            scope.message(2, |metric| count(metric, name, point));
        }
    })
}

fn duration(metric: &mut Message, point: &Point) {
    let bucket = BOUNDS.iter().position(|bound| point.duration_ms <= f64::from(*bound)).unwrap_or(BOUNDS.len());
    let mut labels = point.labels.clone();
    labels.push(("outcome".to_owned(), point.outcome.into()));
    metric.bytes(1, "agent_step_duration_ms");
    metric.bytes(2, "Duration of agent steps");
    metric.message(9, |histogram| {
        histogram.message(1, |data| {
            data.fixed64(3, point.time);
            data.fixed64(4, 1);
            data.set_fixed64(5, point.duration_ms.to_bits());
            data.packed(6, (0..=BOUNDS.len()).map(|at| u64::from(at == bucket).to_le_bytes()));
            data.packed(7, BOUNDS.iter().map(|bound| f64::from(*bound).to_le_bytes()));
            exemplar(data, 8, point, point.duration_ms);
            attributes(data, 9, &labels);
            data.set_fixed64(11, point.duration_ms.to_bits());
            data.set_fixed64(12, point.duration_ms.to_bits());
        });
        histogram.varint(2, DELTA);
    });
}

fn count(metric: &mut Message, name: &str, point: &Point) {
    metric.bytes(1, name);
    metric.bytes(2, if name.contains("fail") { "Agent steps that failed" } else { "Agent steps that succeeded" });
    metric.message(7, |sum| {
        sum.message(1, |data| {
            data.fixed64(3, point.time);
            exemplar(data, 5, point, 1.0);
            data.set_fixed64(6, 1);
            attributes(data, 7, &point.labels);
        });
        sum.varint(2, DELTA);
        sum.varint(3, 1);
    });
}

fn exemplar(message: &mut Message, field: u32, point: &Point, value: f64) {
    let Some((trace_id, span_id)) = &point.exemplar else { return };
    message.message(field, |exemplar| {
        exemplar.fixed64(2, point.time);
        exemplar.set_fixed64(3, value.to_bits());
        exemplar.bytes(4, span_id);
        exemplar.bytes(5, trace_id);
    });
}

/// The labels of a step's metrics, from its attributes by their seed names.
pub fn labels(of: impl Fn(&str) -> Option<String>) -> Attributes {
    const NAMES: [&str; 7] = ["repo", "prNumber", "taskId", "agent", "workflowName", "stepName", "environment"];
    NAMES.iter().map(|name| ((*name).to_owned(), Value::Text(of(name).unwrap_or_default()))).collect()
}
