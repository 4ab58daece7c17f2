//! `argo retry`, by Argo's own CLI: what runs again is a span of its own, linked to its first run, and both are counted.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{
    check::{argo_counts, counted, each_has_its_parent, node, of_node, span_id, whole},
    place::{Place, Teller},
    rules,
};
use crate::{
    cases::watch::text,
    harness::{
        Cluster,
        ids::{h, trace_id},
        namespace::describe,
        wait::until,
    },
};

const LIMIT: std::time::Duration = std::time::Duration::from_mins(3);
const WORKFLOW: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: again, labels: {repo: again, pr: "11"}}
spec:
  serviceAccountName: workflow
  entrypoint: all
  arguments: {parameters: [{name: code, value: "4"}]}
  templates:
    - name: all
      steps:
        - - {name: good, template: ends, arguments: {parameters: [{name: code, value: "0"}]}}
        - - {name: bad, template: ends, arguments: {parameters: [{name: code, value: "{{workflow.parameters.code}}"}]}}
    - name: ends
      inputs: {parameters: [{name: code}]}
      container:
        image: localhost/busybox:1
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "exit {{inputs.parameters.code}}"]
"#;

pub fn linked(cluster: &Cluster) -> Result<()> {
    let place = Place::furnished(cluster, "retried", &Teller::Watch)?;
    let steps = &place.release.steps;
    let first = steps.run(WORKFLOW, "Failed")?;
    let before = whole(&place.jaeger, &first, 2).with_context(|| describe(&first))?;
    let first_bad = of_node(&before, &first, node(&first, "bad")?)?;
    // Counted before the nodes of the first run are gone.
    let [succeeded, failed] = argo_counts(&[&first]);
    counted(&place.prometheus, "pods", "again", [succeeded, failed])?;
    // The first failure of its pull request: without a 0 before it nothing would have increased.
    let increased =
        place.prometheus.number("sum(increase(agent_step_fail_total{job=\"pods\",repo=\"again\"}[15m]))")?;
    ensure!(increased > 0.0, "no increase: {increased}");
    rules::fires(&place, "AgentStepsFail", "repo=\"again\",prNumber=\"11\"")?;

    let output = Command::new(&place.tools.argo)
        .args(["retry", "again", "-p", "code=0", "--namespace", steps.name(), "--kubeconfig"])
        .arg(cluster.dir().join("admin.kubeconfig"))
        .output()?;
    ensure!(output.status.success(), "argo retry: {}", String::from_utf8_lossy(&output.stderr));
    let second = steps.wait_end(&first)?;
    ensure!(second["status"]["phase"] == "Succeeded", "{}", describe(&second));
    let bad = node(&second, "bad")?;
    let uid = text(&second["metadata"]["uid"])?;
    let wanted = h(&format!("node/{uid}/{}/{}", text(&bad["id"])?, text(&bad["startedAt"])?), 16);
    let first_root = h(&format!("workflow/{uid}"), 16);
    let second_root = h(&format!("workflow/{uid}/{}", text(&second["status"]["startedAt"])?), 16);
    let spans = until("the second run's spans", LIMIT, || {
        let spans = place.jaeger.spans(&trace_id(&second)?)?;
        let commands = spans.iter().filter(|span| span.is_of_command()).count();
        let has = |id: &String| spans.iter().any(|span| span.id == *id);
        Ok((commands == 3 && has(&wanted) && has(&second_root)).then_some(spans))
    })
    .with_context(|| describe(&second))?;
    let again = spans.iter().find(|span| span.id == wanted).context("no second run")?;
    ensure!(!again.is_error() && first_bad.is_error(), "{again:#?}");
    let link = (first_bad.trace.clone(), first_bad.id.clone());
    ensure!(again.links.contains(&link), "{:?} instead of {link:?}", again.links);
    // What was not run again is what it was.
    let good = span_id(&second, node(&second, "good")?)?;
    let of_good = |spans: &[super::shown::Span]| spans.iter().find(|span| span.id == good).cloned();
    ensure!(of_good(&spans).is_some() && of_good(&spans) == of_good(&before), "another span of what was not run again");
    // Both runs of the Workflow are there, below nothing; all else of both runs has its parent.
    each_has_its_parent(&spans, [&first_root, &second_root])?;
    let second_span = spans.iter().find(|span| span.id == second_root).context("no second root")?;
    ensure!(second_span.links.contains(&(second_span.trace.clone(), first_root.clone())), "{second_span:#?}");
    counted(&place.prometheus, "pods", "again", [succeeded + 1.0, failed])?;
    place.end()
}
