//! What is deleted while somebody watches, and while nobody does: pods, whose steps count as their own nevertheless, and Workflows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::watch::{Place, SETTLED, arrived, counts_as_argo, of_nodes, text};
use super::{Shared, trial};
use crate::harness::{
    Cluster, collector::Span, ids::trace_id, namespace::Namespace, stepspan::Stepspan, wait::until, watch::Replica,
};

const LIMIT: Duration = Duration::from_mins(3);
/// `StatusCode` `ERROR`.
const ERROR: u64 = 2;
/// Its step waits until it is told to go on; its pod is deleted as soon as it has ended.
const HELD: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: held-, labels: {repo: held, pr: "7"}}
spec:
  serviceAccountName: workflow
  entrypoint: all
  podGC: {strategy: OnPodCompletion, deleteDelayDuration: 0s}
  podMetadata: {labels: {repo: held, pr: "7", agent: waiter}}
  templates:
    - name: all
      steps: [[{name: waits, template: waits}]]
    - name: waits
      metadata: {annotations: {test.stepspan.dev/hold: ""}}
      container: {image: registry.example/agents/git:2, command: [fetch]}
"#;

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![
        trial(cluster, "watch::steps_whose_pods_go_while_nobody_watches_count_as_their_own".to_owned(), pods),
        trial(cluster, "watch::deleted_while_it_runs_a_workflow_ends_its_spans_or_is_missed".to_owned(), workflows),
    ]
}

/// Killed while a step runs; when the next one begins, the step has ended and its pod is gone.
fn pods(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-podless", &json!({}))?;
    let _stepspan = Stepspan::start(cluster, &namespace, None)?;
    let mut place = Place::of(cluster, &namespace)?;
    let mut replica = place.watch.start(&[])?;
    let (submitted, _) = held(&namespace, &replica)?;
    replica.process.kill();
    go_on(&namespace)?;
    let ended = namespace.wait_end(&submitted)?;
    until("its pod to be deleted", LIMIT, || Ok(namespace.list("pods")?.is_empty().then_some(())))?;

    let collector = place.collector()?;
    let next = place.watch.start(&[])?;
    arrived(&collector, &ended).with_context(|| next.process.log())?;
    counts_as_argo(&next, &[&ended])?;
    let own = "agent=\"waiter\"";
    ensure!(next.sum("agent_step_success_total", own)? == 1, "{}", next.text()?);
    ensure!(next.text()?.contains("repo=\"held\",prNumber=\"7\""), "{}", next.text()?);
    let spans = of_nodes(&collector.spans(&trace_id(&ended)?)?);
    ensure!(spans.iter().all(|span| span.attributes()["repo"] == "held"), "{spans:#?}");
    Ok(())
}

fn workflows(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-deleted", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let mut replica = place.watch.start(&[])?;
    let (submitted, begun) = held(&namespace, &replica)?;
    delete(&namespace, &submitted)?;
    let spans: Vec<Span> = until("the spans of what was deleted", LIMIT, || {
        let spans = of_nodes(&collector.spans(&trace_id(&submitted)?)?);
        Ok((spans.len() == begun).then_some(spans))
    })
    .with_context(|| format!("{begun} spans\n{}", replica.process.log()))?;
    for span in &spans {
        ensure!(span.span["status"]["code"] == ERROR, "{span:#?}");
        ensure!(span.attributes()["error.type"] == "WorkflowDeleted", "{span:#?}");
    }
    replica.until("stepspan_watch_steps_uncounted_total", |steps| steps == 1)?;
    ensure!(replica.metric("stepspan_watch_spans_missed_total")? == 0, "missed");

    let (submitted, begun) = held(&namespace, &replica)?;
    replica.process.kill();
    delete(&namespace, &submitted)?;
    let mut next = place.watch.start(&[])?;
    next.until("stepspan_watch_spans_missed_total", |spans| spans == begun as u64)?;
    ensure!(next.metric("stepspan_watch_steps_uncounted_total")? == 1, "uncounted");
    ensure!(next.sum("agent_step_duration_ms_count", "")? == 0, "counted");
    Ok(())
}

/// Submits it, and waits until its step is shown as running and that is stored; how many spans it will have.
fn held(namespace: &Namespace<'_>, replica: &Replica) -> Result<(Value, usize)> {
    let submitted = namespace.submit(HELD)?;
    until("its step to be in flight", LIMIT, || {
        Ok((replica.sum("agent_steps_in_flight", "")? == 1 && replica.text()?.contains("stepName=\"waits\""))
            .then_some(()))
    })
    .with_context(|| replica.process.log())?;
    std::thread::sleep(SETTLED);
    let name = text(&submitted["metadata"]["name"])?;
    let now = namespace.api().get(&namespace.path(&format!("workflows/{name}")))?.accepted()?;
    let nodes = now["status"]["nodes"].as_object().context("no nodes")?.len();
    Ok((submitted, nodes + 1))
}

fn go_on(namespace: &Namespace<'_>) -> Result<()> {
    for pod in namespace.list("pods")? {
        let path = namespace.path(&format!("pods/{}", text(&pod["metadata"]["name"])?));
        let annotations = json!({"metadata": {"annotations": {"test.stepspan.dev/hold": null}}});
        namespace.api().merge_patch(&path, &annotations)?.accepted()?;
    }
    Ok(())
}

fn delete(namespace: &Namespace<'_>, workflow: &Value) -> Result<()> {
    let path = namespace.path(&format!("workflows/{}", text(&workflow["metadata"]["name"])?));
    namespace.api().delete(&path)?.accepted().map(drop)
}
