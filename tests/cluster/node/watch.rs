//! `stepspan watch` beside steps that really run: each command's span is in its node's, also where every process of a step was killed.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    Sample,
    harm::{KNOWN, beside, kill, pod_of, process},
    parity::patient_policy,
    samples, trial,
};
use crate::{
    cases::{
        Shared,
        watch::{arrived, as_the_workflow_says, counts_as_argo, of_nodes, text},
    },
    harness::{
        Cluster,
        collector::{Address, Span},
        ids::trace_id,
        namespace::describe,
        node::ADDRESS,
        stepspan::Stepspan,
        wait::until,
        watch::Watch,
    },
};

const LIMIT: Duration = Duration::from_mins(3);
/// What a pod may still say after the Workflow has ended: the shim's budget, and the way.
const LATE: Duration = Duration::from_secs(8);
/// Steps of each kind, among them a retry, a daemon and a containerSet; with `traceContext.parent: node`, as the chart sets it with `watch`.
const SAMPLES: [&str; 5] = ["container-set", "daemon", "dag", "failing", "retry"];

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let mut trials: Vec<Trial> = samples()?
        .into_iter()
        .filter(|sample| SAMPLES.contains(&sample.stem.as_str()))
        .map(|sample| {
            let name = format!("node::watch::{}", sample.stem);
            trial(cluster, name, sample.is_alone(), move |cluster| each_in_its_place(cluster, &sample))
        })
        .collect();
    ensure!(trials.len() == SAMPLES.len(), "a sample is missing");
    trials.push(trial(cluster, "node::watch::killed_in_every_way".into(), false, killed_in_every_way));
    Ok(trials)
}

fn policy() -> String {
    patient_policy() + "  traceContext: {parent: node}\n"
}

fn each_in_its_place(cluster: &Cluster, sample: &Sample) -> Result<()> {
    let namespace = sample.namespace(cluster, "watched")?;
    let _stepspan = Stepspan::start(cluster, &namespace, Some(&policy()))?;
    let mut watch = Watch::prepare(cluster, &namespace, &Address::usual(ADDRESS))?;
    let replica = watch.start(&[])?;
    let ended = sample.run(&namespace)?;
    let collector = cluster.node()?.collector();
    arrived(collector, &ended).with_context(|| replica.process.log())?;
    counts_as_argo(&replica, &[&ended])?;
    let steps = sample.declared("spans").context("no number of spans is declared")?.trim_matches('"').parse()?;
    let spans = until("the spans of all commands to arrive", LIMIT, || {
        let spans = collector.spans(&trace_id(&ended)?)?;
        Ok((of_commands(&spans).len() >= steps).then_some(spans))
    })?;
    as_the_workflow_says(&ended, &of_nodes(&spans))?;
    all_have_parents(&spans)?;
    // Each took place while its node did; Kubernetes writes whole seconds.
    for command in of_commands(&spans) {
        let node = parent_of(command, &spans).context("no node")?;
        let at = |span: &Span, field: &str| text(&span.span[field])?.parse::<i64>().map_err(anyhow::Error::from);
        let early = at(node, "startTimeUnixNano")? - at(command, "startTimeUnixNano")?;
        ensure!(early <= 1_000_000_000, "{} began {early} ns before its node", command.name());
    }
    Ok(())
}

/// A step whose command is killed, one whose every process is, one whose pod is deleted, one that goes well; and the watcher is killed among them.
fn killed_in_every_way(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-harm", &json!({}))?;
    let _stepspan = Stepspan::start(cluster, &namespace, Some(&policy()))?;
    let mut watch = Watch::prepare(cluster, &namespace, &Address::usual(ADDRESS))?;
    let mut replica = watch.start(&[])?;
    let submitted = namespace.submit(HARM)?;
    let command = |seconds| until("the command to run", LIMIT, || process(seconds));
    kill(command("98761")?, Signal::KILL)?;
    for id in beside(command("98762")?)? {
        kill(id, Signal::KILL)?;
    }
    command("98763")?;
    replica.process.kill();
    // Before the controller knows that it runs it would make another one.
    until("the controller to know that it runs", LIMIT, || {
        let workflow = cluster.api().get(&namespace.path("workflows/harm"))?.accepted()?;
        let mut nodes = workflow["status"]["nodes"].as_object().into_iter().flat_map(serde_json::Map::values);
        let is_it = |node: &Value| node["displayName"] == "deleted" && node["phase"] == "Running";
        Ok(nodes.any(is_it).then_some(()))
    })?;
    thread::sleep(KNOWN);
    let pod = pod_of(&namespace, "deleted")?;
    cluster.api().delete(&namespace.path(&format!("pods/{pod}?gracePeriodSeconds=5")))?.accepted()?;
    let replica = watch.start(&[])?;
    let ended = namespace.wait_end(&submitted)?;
    let collector = cluster.node()?.collector();
    arrived(collector, &ended).with_context(|| replica.process.log())?;
    counts_as_argo(&replica, &[&ended]).with_context(|| describe(&ended))?;
    thread::sleep(LATE);
    let spans = collector.spans(&trace_id(&ended)?)?;
    as_the_workflow_says(&ended, &of_nodes(&spans))?;
    all_have_parents(&spans)?;
    let node = |step: &str| {
        let named = |span: &&Span| span.attributes()["argo.node.name"] == format!("harm[0].{step}");
        spans.iter().find(named).with_context(|| format!("no span of {step}"))
    };
    let said =
        |step: &str| spans.iter().filter(|span| of_command(span) && span.attributes()["stepName"] == step).count();
    for (step, kind, commands) in [("child-killed", "137", 1), ("all-killed", "137", 0), ("fine", "", 1)] {
        let attributes = node(step)?.attributes();
        let found = attributes["error.type"].as_str().unwrap_or_default();
        ensure!(found == kind && said(step) == commands, "{step}: {} spans, {attributes:#}", said(step));
    }
    let deleted = node("deleted")?;
    ensure!(deleted.span["status"]["code"] == 2, "{:#}", deleted.span);
    // What the controller hears first: that it is gone, or how its command ended on the way.
    let kind = deleted.attributes()["error.type"].as_str().unwrap_or_default().to_owned();
    ensure!(["PodDeleted", "143"].contains(&kind.as_str()), "{:#}", deleted.attributes());
    // What waited and what ran is in it.
    let events: Vec<&Value> = node("fine")?.span["events"].as_array().into_iter().flatten().collect();
    for name in ["pod.scheduled", "pod.initialized", "container.started", "container.ended"] {
        ensure!(events.iter().any(|event| event["name"] == name), "no {name} in {events:?}");
    }
    Ok(())
}

const HARM: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: harm, labels: {repo: shop-api, pr: "412"}}
spec:
  serviceAccountName: workflow
  entrypoint: all
  templates:
    - name: all
      steps:
        - - {name: child-killed, template: waits, arguments: {parameters: [{name: seconds, value: "98761"}]}, continueOn: {failed: true, error: true}}
          - {name: all-killed, template: waits, arguments: {parameters: [{name: seconds, value: "98762"}]}, continueOn: {failed: true, error: true}}
          - {name: deleted, template: waits, arguments: {parameters: [{name: seconds, value: "98763"}]}, continueOn: {failed: true, error: true}}
          - {name: fine, template: waits, arguments: {parameters: [{name: seconds, value: "1"}]}}
    - name: waits
      inputs: {parameters: [{name: seconds}]}
      container:
        image: localhost/busybox:1
        imagePullPolicy: IfNotPresent
        command: [sleep, "{{inputs.parameters.seconds}}"]
"#;

fn of_command(span: &Span) -> bool {
    span.resource["service.name"] != "argo-workflows"
}

fn of_commands(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| of_command(span)).collect()
}

fn parent_of<'s>(span: &Span, spans: &'s [Span]) -> Option<&'s Span> {
    spans.iter().find(|other| other.span["spanId"] == span.span["parentSpanId"])
}

/// The Workflow's span is the only one without a parent.
fn all_have_parents(spans: &[Span]) -> Result<()> {
    let orphans: Vec<&str> = spans
        .iter()
        .filter(|span| parent_of(span, spans).is_none())
        .map(|span| span.span["name"].as_str().unwrap_or("?"))
        .collect();
    ensure!(orphans.len() == 1, "without a parent: {orphans:?}");
    Ok(())
}
