//! What is seen against what the Workflow says, by the formulas of design and independently of the code under test.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::shown::{Jaeger, Prometheus, Span};
use crate::{
    cases::watch::text,
    harness::{
        ids::{h, trace_id},
        wait::until,
    },
};

const LIMIT: Duration = Duration::from_mins(2);

/// The names that section 8 of design gives, as Prometheus stores a histogram.
pub const NAMES: [&str; 7] = [
    "agent_prs_active",
    "agent_step_duration_ms_bucket",
    "agent_step_duration_ms_count",
    "agent_step_duration_ms_sum",
    "agent_step_fail_total",
    "agent_step_success_total",
    "agent_steps_in_flight",
];

pub fn nodes(workflow: &Value) -> impl Iterator<Item = &Value> {
    workflow["status"]["nodes"].as_object().into_iter().flat_map(Map::values)
}

/// The node with this display name.
pub fn node<'w>(workflow: &'w Value, name: &str) -> Result<&'w Value> {
    nodes(workflow).find(|node| node["displayName"] == name).with_context(|| format!("no node {name}"))
}

/// The id of a node's span, of its first run.
pub fn span_id(workflow: &Value, node: &Value) -> Result<String> {
    Ok(h(&format!("node/{}/{}", text(&workflow["metadata"]["uid"])?, text(&node["id"])?), 16))
}

/// All spans of a Workflow, once that of every node, its own, and so many of commands have arrived. Each is there once, each failure is an
/// error, and each span but the Workflow's has its parent.
pub fn whole(jaeger: &Jaeger<'_>, workflow: &Value, commands: usize) -> Result<Vec<Span>> {
    let (trace, uid) = (trace_id(workflow)?, text(&workflow["metadata"]["uid"])?);
    let root = h(&format!("workflow/{uid}"), 16);
    let mut wanted: BTreeSet<String> = nodes(workflow).map(|node| span_id(workflow, node)).collect::<Result<_>>()?;
    wanted.insert(root.clone());
    let (mut missing, mut told) = (0, Vec::new());
    let spans = until("all spans to be in Jaeger", LIMIT, || {
        let spans = jaeger.spans(&trace)?;
        missing = wanted.iter().filter(|id| spans.iter().all(|span| span.id != **id)).count();
        told = spans.iter().filter(|span| span.is_of_command()).map(|span| span.tag("stepName")).collect();
        Ok((missing == 0 && told.len() >= commands).then_some(spans))
    })
    .with_context(|| format!("{missing} of {} nodes' spans are missing; commands of {told:?}", wanted.len()))?;
    ensure!(told.len() == commands, "{} spans of commands instead of {commands}: {told:?}", told.len());
    ensure!(spans.len() == wanted.len() + commands, "{} spans", spans.len());
    each_has_its_parent(&spans, [root.as_str()])?;
    for node in nodes(workflow) {
        let span = of_node(&spans, workflow, node)?;
        let failed = matches!(node["phase"].as_str(), Some("Failed" | "Error"));
        ensure!(span.is_error() == failed, "{}: {:#}", node["displayName"], span.tags);
    }
    Ok(spans)
}

/// All but these have their parent among them.
pub fn each_has_its_parent<const N: usize>(spans: &[Span], roots: [&str; N]) -> Result<()> {
    let is_there = |id: &String| spans.iter().any(|span| span.id == *id);
    let orphans: Vec<_> = spans.iter().filter(|span| !span.parent.as_ref().is_some_and(is_there)).collect();
    let ids: BTreeSet<&str> = orphans.iter().map(|span| span.id.as_str()).collect();
    ensure!(orphans.len() == N && ids == BTreeSet::from(roots), "without a parent: {orphans:#?}");
    Ok(())
}

pub fn of_node<'s>(spans: &'s [Span], workflow: &Value, node: &Value) -> Result<&'s Span> {
    let id = span_id(workflow, node)?;
    spans.iter().find(|span| span.id == id).with_context(|| format!("no span of {}", node["displayName"]))
}

/// Spans of commands below this one.
pub fn commands_in<'s>(spans: &'s [Span], of: &Span) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.is_of_command() && span.parent.as_ref() == Some(&of.id)).collect()
}

/// Steps of these Workflows that succeeded, and that failed, as Argo says.
pub fn argo_counts(workflows: &[&Value]) -> [f64; 2] {
    let steps = || workflows.iter().flat_map(|workflow| nodes(workflow)).filter(|node| node["type"] == "Pod");
    let count = |phases: &[&str]| steps().filter(|node| phases.iter().any(|phase| node["phase"] == *phase)).count();
    [count(&["Succeeded"]), count(&["Failed", "Error"])].map(|count| u32::try_from(count).map_or(f64::NAN, f64::from))
}

/// What Prometheus has of one repository from one job: succeeded, failed, and the histogram's count.
pub fn counts(prometheus: &Prometheus, job: &str, repo: &str) -> Result<[f64; 3]> {
    let sum = |name: &str| prometheus.number(&format!("sum({name}{{job=\"{job}\",repo=\"{repo}\"}})"));
    Ok([sum("agent_step_success_total")?, sum("agent_step_fail_total")?, sum("agent_step_duration_ms_count")?])
}

/// Waits until Prometheus has these numbers, and holds them a while to see that they stay.
pub fn counted(prometheus: &Prometheus, job: &str, repo: &str, [succeeded, failed]: [f64; 2]) -> Result<()> {
    let wanted = [succeeded, failed, succeeded + failed];
    let mut last = [0.0; 3];
    let same = |last: &[f64; 3]| last.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 0.5);
    until("Prometheus to have Argo's numbers", LIMIT, || {
        last = counts(prometheus, job, repo)?;
        Ok(same(&last).then_some(()))
    })
    .with_context(|| format!("{job}: {last:?} instead of {wanted:?}"))?;
    std::thread::sleep(Duration::from_secs(5));
    last = counts(prometheus, job, repo)?;
    ensure!(same(&last), "{job}: {last:?} later, instead of {wanted:?}");
    Ok(())
}
