//! What steps write, collected as the chart does it, in Loki: each line has the ids of its step's span and what correlates it, and no secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    check::{nodes, whole},
    dashboards::{dashboards, queries},
    place::{Place, Teller},
    shown::{Line, Loki, Span},
};
use crate::{
    cases::watch::text,
    harness::{
        Cluster,
        ids::{h, trace_id},
        namespace::describe,
        node::images,
        stepspan::PROGRAM,
        wait::until,
    },
};

const LIMIT: Duration = Duration::from_mins(2);
const LOGS: &str = include_str!("workflows/logs.yaml");
/// Lines of one run that begin with `says:`, and what is said of careless ones.
const SAID: usize = 22;
const COMMANDS: usize = 6;
const ALL: &str = "{service_name=~\".+\"}";
const CONTAINERS: [&str; 3] = ["main", "one", "two"];

pub fn lead_from_a_line_to_its_trace_and_back(cluster: &Cluster) -> Result<()> {
    let place = Place::furnished(cluster, "logs", &Teller::Watch)?;
    let loki = Loki::start(cluster, &place.tools.loki, &place.folder)?;
    collect(&place, &loki, &[])?;
    let steps = &place.release.steps;
    let other = LOGS.replace("shop/api", "shop/web").replace("412", "77").replace("7f3a", "0b1c");
    for (yaml, repo, pr, task) in [(LOGS, "shop/api", "412", "task-7f3a"), (&other, "shop/web", "77", "task-0b1c")] {
        let ended = steps.run(yaml, "Succeeded")?;
        let spans = whole(&place.jaeger, &ended, COMMANDS).with_context(|| describe(&ended))?;
        let lines = said(&loki, &format!("| repo=\"{repo}\" | prNumber=\"{pr}\""))?;
        each_is_its_steps(&ended, &spans, &lines)?;
        as_written(&lines)?;
        let tasks = said(&loki, &format!("| taskId=\"{task}\""))?;
        ensure!(words(&tasks) == words(&lines), "a task's lines are not its pull request's");
        ensure!(place.jaeger.knows(tasks[0].of("trace_id"))?, "no trace {}", tasks[0].of("trace_id"));
        let traces = said(&loki, &format!("| trace_id=\"{}\"", trace_id(&ended)?))?;
        ensure!(words(&traces) == words(&lines), "a trace's lines are not its pull request's");
        start_anew(&place)?;
    }
    nothing_else(&place, &loki)?;
    panels_show(&loki)?;
    servers_keep_their_own(&place)?;
    place.end()
}

/// The Collector as a `DaemonSet` of the chart's, and these values, beside what the release has already.
pub fn collect(place: &Place<'_>, loki: &Loki, more: &[String]) -> Result<()> {
    images::import_collector(&place.cluster.tools().otelcol, &place.folder.join("image"))?;
    let home = &place.release.home;
    // It reads files of its node, as root.
    let privileged = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
    home.api().merge_patch(&format!("/api/v1/namespaces/{}", home.name()), &privileged)?.accepted()?;
    let values = [
        "logs.enabled=true".to_owned(),
        format!("logs.endpoint={}", loki.otlp()),
        format!("logs.image={}", images::OTELCOL),
        format!("logs.stateFolder={}", place.folder.join("logs").display()),
    ];
    let mut args = vec!["--reuse-values"];
    for value in values.iter().chain(more) {
        args.extend(["--set", value]);
    }
    place.release.upgrade(&args).map(drop)
}

/// What a run says, once all of it has arrived.
fn said(loki: &Loki, filter: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    until(&format!("all that was said by {filter}"), LIMIT, || {
        lines = loki.lines(&format!("{{service_name=\"agent-steps\"}} {filter}"))?;
        Ok((words(&lines).len() >= SAID).then_some(()))
    })
    .with_context(|| lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>().join("\n"))?;
    let count = words(&lines).len();
    ensure!(count == SAID, "{count} lines instead of {SAID}: some came twice");
    Ok(lines)
}

/// The steps' own; what Argo adds may come later.
fn words(lines: &[Line]) -> Vec<&Line> {
    lines.iter().filter(|line| line.text.contains("says:")).collect()
}

/// Each line is of this Workflow, of the span that its container's command had, by the formulas and in Jaeger; and each command has lines.
fn each_is_its_steps(ended: &Value, spans: &[Span], lines: &[Line]) -> Result<()> {
    let (trace, uid) = (trace_id(ended)?, text(&ended["metadata"]["uid"])?);
    let mut heard = BTreeSet::new();
    for line in lines {
        let (container, pod) = (line.of("k8s_container_name"), line.of("k8s_pod_uid"));
        // Of a containerSet the member has a node of its own.
        let of_pod = nodes(ended).find(|node| node["id"] == line.of("nodeId")).with_context(|| format!("{line:?}"))?;
        let name = format!("{}.{container}", text(&of_pod["name"])?);
        let node = nodes(ended).find(|node| node["name"] == name.as_str()).unwrap_or(of_pod);
        let id = h(&format!("step/{uid}/{}/{pod}/{container}/0", text(&node["id"])?), 16);
        ensure!([line.of("trace_id"), line.of("span_id")] == [trace.as_str(), &id], "{line:?} is not of {id}");
        let span = spans.iter().find(|span| span.id == id).with_context(|| format!("{line:?}: no span {id}"))?;
        for key in ["repo", "prNumber", "taskId", "agent", "stepName", "workflowName"] {
            let (here, there) = (line.of(key), span.tag(key));
            // Labels are the pod's: of a member, its container says which it is.
            let same = here == there || key == "stepName" && format!("{here}.{container}") == there;
            ensure!(same && !here.is_empty(), "{key}: {line:?}, {:#}", span.tags);
        }
        heard.insert(id);
    }
    let told: BTreeSet<String> = spans.iter().filter(|span| span.is_of_command()).map(|span| span.id.clone()).collect();
    ensure!(heard == told, "lines of {heard:?}, spans of {told:?}");
    Ok(())
}

/// What was written is there as it was, but for what is secret.
fn as_written(lines: &[Line]) -> Result<()> {
    let has = |text: &str| lines.iter().any(|line| line.text == text);
    let long = format!("says: {} at last", "x".repeat(20_000));
    for text in [
        "says: on standard output",
        "says: on standard error",
        "    says: with room before it",
        &long,
        "says: between",
        "says: without an end",
        "says: 42",
        "says: one",
        "says: two",
        "says: no",
        "says: cloud [redacted]",
        "says: forge [redacted]",
        "says: other forge [redacted]",
        "says: model [redacted]",
        "says: chat [redacted]",
        "says: clone https://robot:[redacted]@forge.example/x",
        "says: curl -H 'Authorization: Bearer [redacted]'",
        "says: DATABASE_PASSWORD=[redacted]",
        "says: {\"client_secret\": [redacted], \"tokens\": 55}",
        "says: [redacted]",
        "says: nothing secret, tokens: 55",
    ] {
        ensure!(has(text), "{text:?} is not among {:#?}", lines.iter().map(|line| &line.text).collect::<Vec<_>>());
    }
    Ok(())
}

/// Only steps' own containers, of the namespace that is watched over; and nowhere a secret.
fn nothing_else(place: &Place<'_>, loki: &Loki) -> Result<()> {
    let all = loki.lines(ALL)?;
    for line in &all {
        ensure!(line.of("k8s_namespace_name") == place.release.steps.name(), "{line:?}");
        ensure!(CONTAINERS.contains(&line.of("k8s_container_name")), "{line:?}");
        for secret in ["PLANTED", "QQQQ"] {
            ensure!(!line.text.contains(secret) && !line.of.to_string().contains(secret), "{line:?}");
        }
    }
    ensure!(all.len() > 2 * SAID, "{} lines", all.len());
    Ok(())
}

/// The Collector's pod goes, and the next one goes on where it was.
fn start_anew(place: &Place<'_>) -> Result<()> {
    let home = &place.release.home;
    let pods = "pods?labelSelector=app.kubernetes.io/component%3Dlogs";
    let before = home.list(pods)?;
    let [old] = &before[..] else { bail!("{} Collectors on one node", before.len()) };
    home.api().delete(&home.path(&format!("pods/{}", text(&old["metadata"]["name"])?)))?.accepted()?;
    until("another Collector", LIMIT, || {
        let now = home.list(pods)?;
        let ready = |pod: &Value| pod["status"]["containerStatuses"][0]["ready"] == true;
        let other = |pod: &Value| pod["metadata"]["uid"] != old["metadata"]["uid"];
        Ok(matches!(&now[..], [pod] if ready(pod) && other(pod)).then_some(()))
    })
}

/// Webhook and watcher keep what they log in their pods too, in a form that can be summed up, and nothing of any step is in it.
fn servers_keep_their_own(place: &Place<'_>) -> Result<()> {
    for (component, action) in [("webhook", "review"), ("watch", "lease")] {
        let pods = place.release.home.list(&format!("pods?labelSelector=app.kubernetes.io/component%3D{component}"))?;
        let mut sums = Vec::new();
        for pod in &pods {
            let uid = text(&pod["metadata"]["uid"])?;
            let folder = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/log");
            let output = Command::new(PROGRAM).args(["summary", "-o", "json", &folder]).output()?;
            ensure!(output.status.success(), "{component}: {}", String::from_utf8_lossy(&output.stderr));
            sums.push(serde_json::from_slice::<Value>(&output.stdout)?);
            let written = fs::read_to_string(format!("{folder}/telemetry.jsonl"))?;
            ensure!(!written.contains("PLANTED") && !written.contains("shop/api"), "{written}");
        }
        let counted =
            |sum: &Value| sum["actions"].as_array().is_some_and(|all| all.iter().any(|a| a["action"] == action));
        ensure!(sums.iter().any(counted), "{component}: no {action}: {sums:#?}");
    }
    Ok(())
}

/// The panel of logs: all lines without a choice, some of them under each, none of somebody who is not there.
fn panels_show(loki: &Loki) -> Result<()> {
    let (_, steps) = dashboards()?.into_iter().find(|(name, _)| name == "agent-steps").context("no dashboard")?;
    for query in told() {
        loki.lines(query)?;
    }
    let line = loki.lines("{service_name=\"agent-steps\"}")?.into_iter().next().context("no line")?;
    let shown = |chosen: &BTreeMap<&str, &str>| -> Result<usize> {
        let queries = queries(&steps, "loki", chosen);
        let [(_, query)] = &queries[..] else { bail!("{queries:?}") };
        Ok(loki.lines(query)?.len())
    };
    // What Argo writes last may still be on its way.
    let all = until("all lines to be shown without a choice", LIMIT, || {
        let all = loki.lines(ALL)?.len();
        Ok((shown(&BTreeMap::new())? == all).then_some(all))
    })?;
    for (variable, key) in
        [("repo", "repo"), ("prNumber", "prNumber"), ("agent", "agent"), ("taskId", "taskId"), ("traceId", "trace_id")]
    {
        let count = shown(&BTreeMap::from([(variable, line.of(key))]))?;
        ensure!((1..all).contains(&count), "{count} of {all} lines of {variable} {}", line.of(key));
        ensure!(shown(&BTreeMap::from([(variable, "nobody")]))? == 0, "lines of nobody's {variable}");
    }
    Ok(())
}

/// The queries of the documentation.
fn told() -> impl Iterator<Item = &'static str> {
    const PAGE: &str = include_str!("../../../docs/observability.md");
    let blocks = PAGE.split("```logql\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines)
}
