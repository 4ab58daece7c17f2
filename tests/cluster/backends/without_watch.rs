//! The chart without `watch`: metrics are deltas of the steps' shims, summed up by the Collector. What that loses is measured here, and told in
//! docs/traces.md.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    check::{argo_counts, counts},
    killed::{HARM, SILENT, do_harm},
    place::{Place, Teller},
};
use crate::harness::{Cluster, ids::trace_id, namespace::describe, wait::until};

const LIMIT: Duration = Duration::from_mins(3);
const COMMANDS: usize = 11;
/// Those whose shim was told to end: the kubelet tells it, where a pod is deleted or evicted. Argo finds an error, and the shim that it was
/// cancelled.
const CANCELLED: f64 = 2.0;
/// Some scrapes.
const SCRAPED: Duration = Duration::from_secs(5);

pub fn what_the_shims_alone_tell(cluster: &Cluster) -> Result<()> {
    let mut place = Place::furnished(cluster, "without-watch", &Teller::Shims)?;
    let submitted = place.release.steps.submit(HARM)?;
    do_harm(&place.release.steps)?;
    let ended = place.release.steps.wait_end(&submitted)?;
    let told = COMMANDS - SILENT.len();
    let trace = trace_id(&ended)?;
    let spans = until("the spans of commands", LIMIT, || {
        let spans = place.jaeger.spans(&trace)?;
        Ok((spans.len() >= told).then_some(spans))
    })
    .with_context(|| describe(&ended))?;
    ensure!(spans.len() == told, "{} spans instead of {told}", spans.len());

    // Nobody counts a step whose every process was killed.
    let [succeeded, failed] = argo_counts(&[&ended]);
    let lost = u32::try_from(SILENT.len()).map(f64::from)?;
    let wanted = [succeeded, failed - lost - CANCELLED, succeeded + failed - lost];
    has(&place, wanted)?;
    has_exemplars(&place, &trace)?;
    // A series begins with its first step: a first failure is no increase of anything.
    let increase = "sum(increase(agent_step_fail_total{repo=\"harm\",stepName=\"killed\"}[5m]))";
    let seen = place.prometheus.number(increase)?;
    ensure!(seen < 0.5, "a first failure is seen: {seen}");
    of_spans(&place, told)?;

    // With the Collector go its sums.
    place.collector.kill();
    place.collector.start()?;
    let after = HARM.replacen("name: harm,", "name: after-x7k2q,", 1);
    let only_fine = after.lines().filter(|line| !line.contains("continueOn")).collect::<Vec<_>>().join("\n");
    let only_fine = only_fine.replacen("          - {name: flaky", "        - - {name: flaky", 1) + "\n";
    let second = place.release.steps.run(&only_fine, "Succeeded")?;
    let [succeeded, failed] = argo_counts(&[&second]);
    has(&place, [succeeded, failed, succeeded + failed])?;
    // A label of each run's own would be a series of each.
    let workflows = place.prometheus.values("workflowName", "{job=\"collector\",repo=\"harm\"}")?;
    ensure!(workflows == BTreeSet::from(["harm".to_owned(), "after".to_owned()]), "{workflows:?}");
    place.end()
}

/// Waits until Prometheus has these numbers, and holds them to it.
fn has(place: &Place<'_>, wanted: [f64; 3]) -> Result<()> {
    let mut last = [0.0; 3];
    let same = |last: &[f64; 3]| last.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 0.5);
    let ask = || counts(&place.prometheus, "collector", "harm");
    until("Prometheus to have the shims' numbers", LIMIT, || {
        last = ask()?;
        Ok(same(&last).then_some(()))
    })
    .with_context(|| format!("{last:?} instead of {wanted:?}"))?;
    std::thread::sleep(SCRAPED);
    last = ask()?;
    ensure!(same(&last), "{last:?} later, instead of {wanted:?}");
    Ok(())
}

fn has_exemplars(place: &Place<'_>, trace: &str) -> Result<()> {
    let exemplars = place.prometheus.exemplars("agent_step_duration_ms_bucket{repo=\"harm\"}")?;
    ensure!(exemplars.iter().any(|(_, exemplar)| exemplar["trace_id"] == trace), "no exemplar of it: {exemplars:?}");
    Ok(())
}

/// What the Collector makes of the spans: one call for each.
fn of_spans(place: &Place<'_>, told: usize) -> Result<()> {
    let names = place.prometheus.names("collector", "traces_span_metrics_")?;
    for name in ["traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds_bucket"] {
        ensure!(names.contains(name), "no {name} in {names:?}");
    }
    let calls = place.prometheus.number("sum(traces_span_metrics_calls_total{repo=\"harm\"})")?;
    ensure!((calls - u32::try_from(told).map(f64::from)?).abs() < 0.5, "{calls} calls of {told} spans");
    Ok(())
}
