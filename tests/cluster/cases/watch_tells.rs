//! What a Collector is sent besides spans: the metrics of steps, which are those that are shown at `/metrics`, and traces of the watcher's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::samples::sample;
use super::watch::{Place, arrived, counts_as_argo};
use super::{Shared, trial};
use crate::harness::{
    Cluster,
    collector::{Point, Span},
    ids::trace_id,
    stepspan::Stepspan,
    wait::until,
    watch::Replica,
};

const LIMIT: Duration = Duration::from_mins(3);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![
        trial(cluster, "watch::the_collector_gets_the_metrics_that_are_shown".to_owned(), sent_as_shown),
        trial(cluster, "watch::each_object_it_works_on_is_a_trace_of_its_own".to_owned(), own_traces),
    ]
}

fn sent_as_shown(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-metrics", &json!({}))?;
    let _stepspan = Stepspan::start(cluster, &namespace, None)?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let replica = place.watch.start(&["--otlp-metrics=1s"])?;
    let ended = sample("retry")?.run(&namespace)?;
    counts_as_argo(&replica, &[&ended])?;
    let shown = shown(&replica)?;
    ensure!(shown.len() >= 44, "{} series", shown.len());
    let mut points = BTreeMap::new();
    until("the Collector to have what is shown", LIMIT, || {
        points = collector.points()?;
        Ok((series(&points) == shown).then_some(()))
    })
    .with_context(|| format!("{shown:#?} are shown, and {:#?} were sent", series(&points)))?;

    let trace = trace_id(&ended)?;
    let exemplars = points.values().flat_map(|point| point.data["exemplars"].as_array().into_iter().flatten());
    ensure!(exemplars.filter(|exemplar| exemplar["traceId"] == trace.as_str()).count() > 0, "no exemplar of its trace");
    // Cumulative since each began: another holder goes on with the same.
    let starts = |points: &BTreeMap<String, Point>| -> BTreeMap<String, Value> {
        let counted = points.iter().filter(|(_, point)| point.temporality.is_some());
        counted.map(|(name, point)| (name.clone(), point.data["startTimeUnixNano"].clone())).collect()
    };
    let before = starts(&points);
    ensure!(before.values().all(|start| start.as_str().is_some_and(|start| start.len() == 19)), "{before:#?}");
    ensure!(points.values().filter_map(|point| point.temporality).all(|kind| kind == CUMULATIVE), "not cumulative");
    drop(replica);
    let _next = place.watch.start(&["--otlp-metrics=1s"])?;
    let requests = collector.metric_requests()?;
    until("the next holder to send", LIMIT, || Ok((collector.metric_requests()? > requests + 2).then_some(())))?;
    let points = collector.points()?;
    ensure!(series(&points) == shown && starts(&points) == before, "another holder sends {points:#?}");
    Ok(())
}

fn own_traces(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-own", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let mut replica = place.watch.start(&["--own-traces=1"])?;
    // Before that, changes are only noted.
    replica.until("stepspan_watch_listed", |listed| listed == 1)?;
    let ended = sample("retry")?.run(&namespace)?;
    arrived(&collector, &ended)?;
    replica.until("stepspan_watch_workflows_open", |open| open == 0)?;
    // What is not sent yet is sent on the way out.
    replica.process.stop(Duration::from_secs(30));
    let key = format!("{}/{}", namespace.name(), ended["metadata"]["name"].as_str().context("no name")?);
    // The Collector writes its file a little later.
    std::thread::sleep(Duration::from_secs(1));
    let is_last = |span: &Span| span.attributes()["component"] == "deliver";
    let spans = until("its traces to arrive", LIMIT, || {
        let spans = collector.spans_of("stepspan-watch")?;
        Ok(spans.iter().any(is_last).then_some(spans))
    })?;
    let of_it: Vec<_> =
        spans.iter().filter(|span| span.attributes()["kubernetes.object.key"] == key.as_str()).collect();
    ensure!(of_it.len() == spans.len() && !spans.is_empty(), "{} of {} spans are of {key}", of_it.len(), spans.len());
    let id = |span: &Span, field: &str| span.span[field].as_str().unwrap_or_default().to_owned();
    let roots: Vec<_> = of_it.iter().filter(|span| id(span, "parentSpanId").is_empty()).collect();
    ensure!(roots.iter().all(|root| root.name() == "process_object"), "other roots");
    let parts = |component: &str| -> BTreeSet<String> {
        let roots: Vec<String> = roots
            .iter()
            .filter(|root| root.attributes()["component"] == component)
            .map(|root| id(root, "spanId"))
            .collect();
        let inside = of_it.iter().filter(|span| roots.contains(&id(span, "parentSpanId")));
        inside.map(|span| span.name().to_owned()).collect()
    };
    let wanted = ["wait", "note", "count", "spans", "queue"].map(str::to_owned);
    ensure!(parts("change") == BTreeSet::from(wanted), "a change has {:?}", parts("change"));
    ensure!(roots.iter().any(|root| root.attributes()["component"] == "deliver"), "nothing of the delivery");
    // Each change was worked on once more than the one before.
    let times = roots.iter().filter(|root| root.attributes()["component"] == "change");
    let mut times: Vec<u64> = times
        .map(|root| root.attributes()["total_processed_times"].as_str().and_then(|times| times.parse().ok()))
        .collect::<Option<_>>()
        .context("no total_processed_times")?;
    times.sort_unstable();
    ensure!(times.len() > 2 && times == (1..=times.len() as u64).collect::<Vec<_>>(), "worked on {times:?}");
    let ends = roots.iter().filter_map(|root| root.span["events"].as_array()?.last()?["name"].as_str());
    ensure!(ends.collect::<BTreeSet<_>>() == BTreeSet::from(["success"]), "not all of it succeeded");
    Ok(())
}

/// `AggregationTemporality` `CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// Series of steps at `/metrics`: `name{labels}` and their values.
fn shown(replica: &Replica) -> Result<BTreeMap<String, f64>> {
    let text = replica.text()?;
    let lines = text.lines().filter(|line| line.starts_with("agent_"));
    // Without an exemplar.
    let value = |line: &str| -> Result<(String, f64)> {
        let (series, value) = line.split(" # ").next().unwrap_or_default().rsplit_once(' ').context("no value")?;
        Ok((series.to_owned(), value.parse()?))
    };
    lines.map(value).collect()
}

/// The same of what was sent.
fn series(points: &BTreeMap<String, Point>) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for point in points.values() {
        let name = |suffix: &str, more: &str| {
            let labels: Vec<String> = point.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let comma = if labels.is_empty() || more.is_empty() { "" } else { "," };
            format!("{}{suffix}{{{}{comma}{more}}}", point.name, labels.join(","))
        };
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(f64::NAN);
        let data = &point.data;
        let Some(buckets) = data["bucketCounts"].as_array() else {
            all.insert(name("", ""), number(&data["asInt"]));
            continue;
        };
        let mut count = 0.0;
        for (at, bucket) in buckets.iter().enumerate() {
            count += number(bucket);
            let bound = data["explicitBounds"][at].as_f64().map_or("+Inf".to_owned(), |bound| format!("{bound:.1}"));
            all.insert(name("_bucket", &format!("le=\"{bound}\"")), count);
        }
        all.insert(name("_sum", ""), number(&data["sum"]));
        all.insert(name("_count", ""), number(&data["count"]));
    }
    all
}
