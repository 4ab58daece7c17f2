//! Runs whose nodes do not fit into their Workflow: the controller packs them, or keeps them in its database.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::watch::{Place, arrived, as_the_workflow_says, counts_as_argo, of_nodes, text};
use super::{Shared, trial};
use crate::harness::{Cluster, ids::trace_id, wait::until};

const LIMIT: Duration = Duration::from_mins(3);
/// Together more than 1 MiB of status (`maxWorkflowSize` of Argo's `packer.go`), each less than a variable may have.
const STEPS: usize = 12;
const PARAMETER: usize = 100_000;

/// Each node has the text among its inputs.
const LARGE: &str = "\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: large-}
spec:
  serviceAccountName: workflow
  entrypoint: all
  arguments: {parameters: [{name: text, value: TEXT}]}
  templates:
    - name: all
      steps:
STEPS
    - name: one
      inputs: {parameters: [{name: text, value: \"{{workflow.parameters.text}}\"}]}
      container: {image: registry.example/agents/git:2, command: [fetch]}
";

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![
        trial(cluster, "watch::packed_nodes_are_read".to_owned(), packed),
        trial(cluster, "watch::offloaded_nodes_are_told_of".to_owned(), offloaded),
    ]
}

/// As the controller packs them, while the run goes on and at its end.
fn packed(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-packed", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let mut replica = place.watch.start(&[])?;
    let step = |number: usize| {
        format!("          {} {{name: s{number}, template: one}}\n", if number == 0 { "- -" } else { "  -" })
    };
    let steps: String = (0..STEPS).map(step).collect();
    let workflow = LARGE.replace("STEPS\n", &steps).replace("TEXT", &"x".repeat(PARAMETER));
    let mut ended = namespace.run(&workflow, "Succeeded")?;
    let bytes = STANDARD.decode(text(&ended["status"]["compressedNodes"]).context("they are not packed")?)?;
    let mut nodes = String::new();
    GzDecoder::new(bytes.as_slice()).read_to_string(&mut nodes)?;
    ended["status"]["nodes"] = serde_json::from_str(&nodes)?;
    ensure!(nodes.len() > 1 << 20, "{} bytes", nodes.len());

    arrived(&collector, &ended).with_context(|| replica.process.log())?;
    counts_as_argo(&replica, &[&ended])?;
    as_the_workflow_says(&ended, &of_nodes(&collector.spans(&trace_id(&ended)?)?))?;
    replica.until("stepspan_watch_workflows_open", |open| open == 0)?;
    ensure!(replica.metric("stepspan_watch_workflows_unreadable_total")? == 0, "unreadable");
    Ok(())
}

/// Only the controller can read its database: that is told, by name, and other Workflows are as they are.
fn offloaded(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-offloaded", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let mut replica = place.watch.start(&[])?;
    // As a controller with `nodeStatusOffLoad` stores it; ours is kept away by its label.
    let kept = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "kept-elsewhere", "labels": {"workflows.argoproj.io/controller-instanceid": "nobody"}},
        "spec": {"entrypoint": "one", "templates": [{"name": "one", "container": {"image": "registry.example/x:1"}}]},
        "status": {"phase": "Running", "startedAt": "2026-11-23T10:00:00Z", "offloadNodeStatusVersion": "fnv:2103456789"},
    });
    namespace.create_object("workflows", &kept)?.accepted()?;
    replica.until("stepspan_watch_workflows_unreadable_total", |times| times > 0)?;
    let told = until("the log to name it", LIMIT, || {
        let log = replica.process.log();
        Ok(log.lines().find(|line| line.contains("kept-elsewhere")).map(str::to_owned))
    })?;
    let told: Value = serde_json::from_str(&told)?;
    let why = text(&told["error"])?;
    ensure!(told["action"] == "workflow" && why.contains("offloadNodeStatusVersion"), "{told:#}");

    let ended = super::samples::sample("steps")?.run(&namespace)?;
    arrived(&collector, &ended)?;
    counts_as_argo(&replica, &[&ended])
}
