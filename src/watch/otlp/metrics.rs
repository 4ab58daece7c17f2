//! The metrics of steps as protobuf has them (opentelemetry-proto, `metrics/v1/metrics.proto`): cumulative, since each series began.
//!
//! No unit: a Collector that writes for Prometheus would put it into the name once more (`agent_step_duration_ms_milliseconds`).

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar as Proto, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    exemplar,
};

use super::attribute;
use super::spans::bytes;
use crate::trace::outcome::Outcome;
use crate::trace::status::{SECOND, Time};
use crate::watch::counts::{BOUNDS_MS, Durations, Labels, Sums};
use crate::watch::ledger::Exemplar;
use crate::watch::steps::{Steps, help};

/// Label sets in one request: some 2 KiB each.
const SETS: usize = 500;

/// Requests with all of it.
pub(in crate::watch) fn requests(steps: &Steps, now: Time) -> Vec<Vec<Metric>> {
    let sets: Vec<(&Labels, &Sums)> = steps.sums.iter().collect();
    let mut requests: Vec<Vec<Metric>> = sets.chunks(SETS).map(|sets| of_steps(steps, sets, now)).collect();
    requests.push(gauges(steps, now));
    requests
}

fn of_steps(steps: &Steps, sets: &[(&Labels, &Sums)], now: Time) -> Vec<Metric> {
    let counter = |name, of: fn(&Sums) -> u64| {
        let point = |(labels, sums): &(&Labels, &Sums)| NumberDataPoint {
            attributes: attributes(labels.pairs()),
            start_time_unix_nano: sums.first * SECOND,
            time_unix_nano: now,
            value: Some(Number::AsInt(i64::try_from(of(sums)).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        };
        let data_points = sets.iter().map(point).collect();
        metric(name, Data::Sum(Sum { data_points, aggregation_temporality: cumulative(), is_monotonic: true }))
    };
    let mut points = Vec::new();
    for (labels, sums) in sets {
        for (outcome, durations) in sums.shown() {
            let exemplars = steps.exemplars.get(*labels).into_iter().flatten();
            let exemplars = exemplars.filter(|((of, _), _)| *of == outcome).map(|(_, exemplar)| proto(exemplar));
            points.push(HistogramDataPoint {
                exemplars: exemplars.collect(),
                start_time_unix_nano: sums.first * SECOND,
                time_unix_nano: now,
                ..histogram(labels, outcome, durations)
            });
        }
    }
    vec![
        metric(
            "agent_step_duration_ms",
            Data::Histogram(Histogram { data_points: points, aggregation_temporality: cumulative() }),
        ),
        counter("agent_step_success_total", |sums| sums.success),
        counter("agent_step_fail_total", |sums| sums.fail),
    ]
}

fn gauges(steps: &Steps, now: Time) -> Vec<Metric> {
    let gauge = |name, of: &dyn Fn(&str) -> u64| {
        let point = |repo: &str| NumberDataPoint {
            attributes: attributes(Some(("repo", repo)).into_iter().filter(|(_, repo)| !repo.is_empty())),
            time_unix_nano: now,
            value: Some(Number::AsInt(i64::try_from(of(repo)).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        };
        metric(name, Data::Gauge(Gauge { data_points: steps.repos().into_iter().map(point).collect() }))
    };
    let in_flight = |repo: &str| steps.active.steps.get(repo).copied().unwrap_or_default();
    let prs = |repo: &str| steps.active.prs.get(repo).map_or(0, BTreeSet::len) as u64;
    vec![gauge("agent_steps_in_flight", &in_flight), gauge("agent_prs_active", &prs)]
}

fn histogram(labels: &Labels, outcome: Outcome, durations: &Durations) -> HistogramDataPoint {
    #[allow(clippy::cast_precision_loss, reason = "sums of milliseconds below 2^53: 285,000 years")]
    let float = |number: u64| number as f64;
    HistogramDataPoint {
        attributes: attributes(labels.pairs().chain([("outcome", outcome.as_str())])),
        count: durations.buckets.iter().sum(),
        sum: Some(float(durations.sum_ms)),
        bucket_counts: durations.buckets.to_vec(),
        explicit_bounds: BOUNDS_MS.map(float).to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn proto(of: &Exemplar) -> Proto {
    Proto {
        time_unix_nano: of.at,
        trace_id: bytes(&of.trace),
        value: Some(exemplar::Value::AsInt(i64::try_from(of.took_ms).unwrap_or(i64::MAX))),
        ..Proto::default()
    }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), description: help(name).to_owned(), data: Some(data), ..Metric::default() }
}

fn cumulative() -> i32 {
    AggregationTemporality::Cumulative.into()
}

fn attributes<'l>(labels: impl Iterator<Item = (&'static str, &'l str)>) -> Vec<KeyValue> {
    labels.map(|(name, value)| attribute(name.into(), value.into())).collect()
}
