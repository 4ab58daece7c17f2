//! Many steps at once and one after the other: no span is missing, and the number of series is what labels foretell.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    check::{argo_counts, counted, nodes, whole},
    place::{Place, Teller},
};
use crate::harness::{Cluster, namespace::describe};

/// Series of one label set: two counters, and for each of success and failure 17 bounds and one without, sum and count.
const SERIES: f64 = 42.0;

/// 50 of one loop: one label set.
pub fn fifty_at_once(cluster: &Cluster) -> Result<()> {
    let steps = "[[{name: shard, template: step, withSequence: {count: \"50\"}}]]".to_owned();
    run(cluster, "fifty", &steps, 50, 1.0)
}

/// 100 of 100 names, fifty at a time: as many label sets as there can be. Not in ten groups of ten: whether all is over below a node Argo's
/// controller asks on every way that leads through them, of which there are 10^10.
pub fn a_hundred_steps(cluster: &Cluster) -> Result<()> {
    let mut steps = String::from("[");
    for group in 0..2 {
        let _ = write!(steps, "{}[", if group == 0 { "" } else { ", " });
        for step in 0..50 {
            let _ = write!(steps, "{}{{name: step-{group}-{step}, template: step}}", if step == 0 { "" } else { ", " });
        }
        steps.push(']');
    }
    steps.push(']');
    run(cluster, "hundred", &steps, 100, 100.0)
}

fn run(cluster: &Cluster, repo: &str, steps: &str, count: usize, sets: f64) -> Result<()> {
    let place = Place::furnished(cluster, repo, &Teller::Watch)?;
    let yaml = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: {repo}, labels: {{repo: {repo}, pr: \"7\"}}}}
spec:
  serviceAccountName: workflow
  entrypoint: all
  templates:
    - name: all
      steps: {steps}
    - name: step
      container: {{image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [\"true\"]}}
"
    );
    let ended = place.release.steps.run(&yaml, "Succeeded")?;
    let pods = nodes(&ended).filter(|node| node["type"] == "Pod").count();
    ensure!(pods == count, "{pods} steps");
    // All of them: more than the 95 of 100 that are asked for.
    let spans = whole(&place.jaeger, &ended, count).with_context(|| describe(&ended))?;
    for job in ["pods", "collector"] {
        counted(&place.prometheus, job, repo, argo_counts(&[&ended]))?;
        let selector = format!("count({{__name__=~\"agent_step_.*\",job=\"{job}\",repo=\"{repo}\"}})");
        let series = place.prometheus.number(&selector)?;
        eprintln!("cluster: {repo}: {} spans, {series} series from {job}", spans.len());
        ensure!((series - sets * SERIES).abs() < 0.5, "{job}: {series} series of {sets} label sets");
    }
    waited_and_ran(&ended, &spans)?;
    place.end()
}

/// Every command is in its node's time, but for Argo's whole seconds.
fn waited_and_ran(workflow: &Value, spans: &[super::shown::Span]) -> Result<()> {
    for command in spans.iter().filter(|span| span.is_of_command()) {
        let node = spans.iter().find(|span| Some(&span.id) == command.parent.as_ref()).context("no parent")?;
        let early = node.start - command.start;
        ensure!(early <= 1_000_000, "{} began {early} µs before its node:\n{}", command.name, describe(workflow));
    }
    Ok(())
}
