//! What a workflow came to: all that its author can see but times, addresses and ids.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use similar::TextDiff;

use super::expected;
use crate::harness::{Cluster, namespace::Namespace};

/// How Argo's executor and we begin what we write among a step's lines.
const NOT_THE_STEP_S: [&str; 3] = ["time=\"", "{\"traceId\"", "stepspan: "];

/// Phases, messages and outputs node by node, and what the containers of each pod wrote, once all have ended.
pub fn of(cluster: &Cluster, namespace: &Namespace<'_>, workflow: &Value) -> Result<Value> {
    let nodes = workflow["status"]["nodes"].as_object().into_iter().flat_map(Map::values);
    let of_node = |node: &Value| {
        let kept = ["type", "phase", "message", "outputs", "templateName", "daemoned"];
        let fields = kept.iter().map(|key| ((*key).to_owned(), node[key].clone()));
        (node["name"].as_str().unwrap_or_default().to_owned(), Value::Object(fields.collect()))
    };
    let nodes: Map<_, _> = nodes.map(of_node).collect();
    let mut logs = Map::new();
    for pod in expected::ended_pods(namespace, workflow)? {
        let node = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"].as_str();
        logs.insert(node.context("a pod without a node")?.to_owned(), written(cluster, namespace, &pod)?);
    }
    let status = &workflow["status"];
    Ok(json!({"phase": status["phase"], "message": status["message"], "nodes": nodes, "logs": logs}))
}

/// An error that shows the difference, unless each part has come out as in one of the runs without us: what two steps race for
/// comes out in more ways than there are runs.
pub fn among(runs: &[Value], with: &Value) -> Result<()> {
    let runs: Vec<_> = runs.iter().map(parts).collect();
    let last = runs.last().context("no run without us")?;
    for (part, ours) in parts(with) {
        if runs.iter().any(|run| run.get(&part) == Some(&ours)) {
            continue;
        }
        let (a, b) = (last.get(&part).unwrap_or(&Value::Null), &ours);
        let (a, b) = (serde_json::to_string_pretty(a)?, serde_json::to_string_pretty(b)?);
        let diff = TextDiff::from_lines(&a, &b);
        bail!("{part}: not the same with us:\n{}", diff.unified_diff().header("without", "with"));
    }
    Ok(())
}

/// The workflow and its nodes' names, and each node with its logs.
fn parts(outcome: &Value) -> BTreeMap<String, Value> {
    let nodes = outcome["nodes"].as_object().into_iter().flatten();
    let of_node = |(name, node): (&String, &Value)| (name.clone(), json!({"node": node, "log": outcome["logs"][name]}));
    let mut parts: BTreeMap<_, _> = nodes.map(of_node).collect();
    let names = |key: &str| outcome[key].as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let whole = json!({
        "phase": outcome["phase"], "message": outcome["message"], "nodes": names("nodes"), "logs": names("logs"),
    });
    parts.insert("the workflow".into(), whole);
    parts
}

/// The lines of each container, sorted: stdout and stderr meet in the log as they please.
fn written(cluster: &Cluster, namespace: &Namespace<'_>, pod: &Value) -> Result<Value> {
    let pod_name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
    let mut containers = Map::new();
    for container in pod["spec"]["containers"].as_array().into_iter().flatten().filter(|c| c["name"] != "wait") {
        let name = container["name"].as_str().context("a container without a name")?;
        let log = cluster.node()?.logs(namespace.name(), pod_name, name)?;
        let mut lines: Vec<&str> = log.lines().map(of_the_step).filter(|line| !line.is_empty()).collect();
        lines.sort_unstable();
        containers.insert(name.to_owned(), json!(lines));
    }
    Ok(Value::Object(containers))
}

/// A last line without an end goes on with whatever comes after it.
fn of_the_step(line: &str) -> &str {
    let end = NOT_THE_STEP_S.iter().filter_map(|beginning| line.find(beginning)).min();
    &line[..end.unwrap_or(line.len())]
}
