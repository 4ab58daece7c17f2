//! The spans that a workflow has to leave behind, told from its status, its pods and the formulas of design and contract,
//! independently of webhook and shim.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::TOO_SLOW;
use crate::harness::{
    Cluster,
    collector::Span,
    ids::{h, trace_id},
    namespace::Namespace,
    wait::until,
};

/// A hang guard: Argo ends daemons when it comes to it.
const LIMIT: Duration = Duration::from_mins(10);
/// The budget of a step, many times.
const ARRIVAL: Duration = Duration::from_mins(2);
/// Kubernetes writes whole seconds.
const CLOCK_MS: i64 = 1_000;
const STATUS_ERROR: i64 = 2;

/// Waits until `count` spans of a workflow have arrived, and holds each to what is known of its container.
pub fn spans_of(cluster: &Cluster, namespace: &Namespace<'_>, workflow: &Value, count: usize) -> Result<()> {
    let uid = text(&workflow["metadata"]["uid"])?;
    let spans = arrived(cluster, &trace_id(workflow)?, count).with_context(|| {
        let said = said(cluster, namespace, workflow);
        format!("{}what the steps say of it:\n{said}", slow(&said, IN_TIME))
    })?;
    ensure!(spans.len() == count, "{} spans instead of {count}", spans.len());
    let mut accounted = 0;
    for pod in ended_pods(namespace, workflow)? {
        let init = cluster.node()?.logs(namespace.name(), text(&pod["metadata"]["name"])?, "stepspan-init")?;
        let well = init.contains(r#""install":"ok","probe":"ok""#);
        ensure!(well, "{}the init container says: {init}", slow(&init, "no answer within 5000 ms"));
        for container in containers(&pod) {
            let name = text(&container["name"])?;
            let node = node_of(workflow, &pod, name)?;
            let of_container = runs(&spans, uid, &pod, (text(&node["id"])?, name))?;
            let context = || format!("pod {}, container {name}", pod["metadata"]["name"]);
            ensure!(!of_container.is_empty(), "no span: {}", context());
            accounted += of_container.len();
            let pod_name = text(&pod["metadata"]["name"])?;
            shows_its_ids(&of_container, &cluster.node()?.logs(namespace.name(), pod_name, name)?)
                .with_context(context)?;
            for (n, span) in of_container.iter().enumerate() {
                is_of_the_step(span, workflow, &pod, (node, name)).with_context(context)?;
                if n + 1 == of_container.len() {
                    tells_the_end(span, &pod, name).with_context(context)?;
                }
            }
        }
    }
    ensure!(accounted == count, "only {accounted} of {count} spans have the id of a container's run");
    Ok(())
}

/// The spans of a trace's commands, once there are so many.
pub fn arrived(cluster: &Cluster, trace: &str, count: usize) -> Result<Vec<Span>> {
    let collector = cluster.node()?.collector();
    let mut last = 0;
    until("all spans to arrive", ARRIVAL, || {
        let mut spans = collector.spans(trace)?;
        // What `stepspan watch` sends is its own trials' affair.
        spans.retain(|span| span.resource["service.name"] != "argo-workflows");
        last = spans.len();
        Ok((last >= count).then_some(spans))
    })
    .with_context(|| format!("{last} spans of {count}"))
}

/// The pods, once Kubernetes has seen the end of each: a daemon's comes after its workflow's.
pub fn ended_pods(namespace: &Namespace<'_>, workflow: &Value) -> Result<Vec<Value>> {
    let ended = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    until("all pods to end", LIMIT, || {
        let pods = namespace.pods(workflow)?;
        Ok(pods.iter().all(ended).then_some(pods))
    })
}

/// How a shim says that its budget was over.
const IN_TIME: &str = " in time";

/// How an error begins, where somebody says in these words that there was too little time.
fn slow(said: &str, words: &str) -> &'static str {
    if said.contains(words) { TOO_SLOW } else { "" }
}

/// Whether a step of a workflow says that its budget was over.
pub fn was_too_slow(cluster: &Cluster, namespace: &Namespace<'_>, workflow: &Value) -> bool {
    said(cluster, namespace, workflow).contains(IN_TIME)
}

/// What the shims of all pods wrote on stderr.
fn said(cluster: &Cluster, namespace: &Namespace<'_>, workflow: &Value) -> String {
    let mut lines = Vec::new();
    for pod in namespace.pods(workflow).unwrap_or_default() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        for container in containers(&pod).filter_map(|container| container["name"].as_str()) {
            let log = cluster.node().and_then(|node| node.logs(namespace.name(), name, container)).unwrap_or_default();
            lines.extend(
                log.lines().filter(|line| line.starts_with("stepspan: ")).map(|line| format!("{name}: {line}")),
            );
        }
    }
    lines.join("\n")
}

/// Containers that run a step's command: those of the template, not its sidecars, not Argo's own.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let prefixed = |container: &&Value| container["command"][1] == "emissary";
    let sidecar = |container: &&Value| matches!(container["name"].as_str(), Some("wait" | "database"));
    let all = pod["spec"]["containers"].as_array().into_iter().flatten();
    all.filter(move |container| prefixed(container) && !sidecar(container))
}

/// The node that a container is the command of: in a containerSet one of its own, else the pod's.
fn node_of<'w>(workflow: &'w Value, pod: &Value, container: &str) -> Result<&'w Value> {
    let of_pod = text(&pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"])?;
    let nodes = workflow["status"]["nodes"].as_object().context("no nodes")?;
    let member =
        |node: &&Value| node["type"] == "Container" && node["boundaryID"] == of_pod && node["displayName"] == container;
    nodes.values().find(member).or_else(|| nodes.get(of_pod)).context("no node")
}

/// The spans of every run of one container, the first first.
fn runs<'s>(spans: &'s [Span], uid: &str, pod: &Value, (node, container): (&str, &str)) -> Result<Vec<&'s Span>> {
    let pod_uid = text(&pod["metadata"]["uid"])?;
    let id = |run: usize| h(&format!("step/{uid}/{node}/{pod_uid}/{container}/{run}"), 16);
    Ok((0..).map_while(|run| spans.iter().find(|span| span.span["spanId"] == id(run))).collect())
}

/// Each run wrote one line with its ids, and nobody else did.
fn shows_its_ids(spans: &[&Span], log: &str) -> Result<()> {
    for Span { span, .. } in spans {
        let line = json!({"traceId": span["traceId"], "spanId": span["spanId"]}).to_string();
        let times = log.lines().filter(|found| **found == line).count();
        ensure!(times == 1, "{line} stands in its log {times} times:\n{log}");
    }
    let all = log.lines().filter(|line| line.starts_with("{\"traceId\"")).count();
    ensure!(all == spans.len(), "{all} lines with ids:\n{log}");
    Ok(())
}

fn is_of_the_step(span: &Span, workflow: &Value, pod: &Value, (node, container): (&Value, &str)) -> Result<()> {
    let annotations = &pod["metadata"]["annotations"];
    let of_pod = &workflow["status"]["nodes"][text(&annotations["workflows.argoproj.io/node-id"])?];
    let template = text(&of_pod["templateName"])?;
    // a.b.step(2:two)(1): the last part, without items and attempts; the entry point's own is its template's
    let of_pod_step = match text(&of_pod["name"])?.rsplit_once('.') {
        Some((_, last)) => last.split('(').next().unwrap_or(last),
        None => template,
    };
    let step = if node["type"] == "Container" { format!("{of_pod_step}.{container}") } else { of_pod_step.to_owned() };
    let expected = [
        ("workflowName", text(&workflow["metadata"]["name"])?),
        ("namespace", text(&workflow["metadata"]["namespace"])?),
        ("nodeId", text(&node["id"])?),
        ("workflow.run_id", text(&workflow["metadata"]["uid"])?),
        ("stepName", &step),
        ("agent", template),
        ("k8s.container.name", container),
        ("cicd.pipeline.name", text(&workflow["metadata"]["name"])?),
        ("environment", "dev"),
    ];
    let attributes = span.attributes();
    for (key, value) in expected {
        ensure!(attributes[key] == value, "{key} is {} instead of {value}", attributes[key]);
    }
    for (label, key) in [("repo", "repo"), ("pr", "prNumber"), ("taskId", "taskId")] {
        let value = &workflow["metadata"]["labels"][label];
        ensure!(attributes[key] == *value, "{key} is {} instead of {value}", attributes[key]);
    }
    let name = format!("{template}/{step}");
    ensure!(span.name() == name, "it is named {} instead of {name}", span.name());
    ensure!(span.span["kind"] == 1, "its kind is {} instead of INTERNAL", span.span["kind"]);
    let (found, parent) = (span.span["parentSpanId"].as_str().unwrap_or_default(), parent(workflow, node)?);
    ensure!(found == parent, "its parent is {found:?} instead of {parent:?}");
    for (key, value) in [
        ("service.name", "agent-steps"),
        ("k8s.pod.name", text(&pod["metadata"]["name"])?),
        ("k8s.pod.uid", text(&pod["metadata"]["uid"])?),
        ("telemetry.sdk.name", "stepspan-shim"),
    ] {
        ensure!(span.resource[key] == value, "resource: {key} is {} instead of {value}", span.resource[key]);
    }
    Ok(())
}

/// The span of the container's node where the sample's policy says so, else none.
fn parent(workflow: &Value, node: &Value) -> Result<String> {
    let metadata = &workflow["metadata"];
    match metadata["annotations"]["test.stepspan.dev/parent"].as_str() {
        Some("node") => Ok(h(&format!("node/{}/{}", text(&metadata["uid"])?, text(&node["id"])?), 16)),
        _ => Ok(String::new()),
    }
}

/// Exit code, status and times are those of the container as Kubernetes saw it.
fn tells_the_end(span: &Span, pod: &Value, container: &str) -> Result<()> {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let status = statuses.into_iter().flatten().find(|status| status["name"] == container).context("no status")?;
    let ended = &status["state"]["terminated"];
    let code = ended["exitCode"].as_i64().context("it has not ended")?;
    let attributes = span.attributes();
    let told = text(&attributes["process.exit.code"])?;
    ensure!(told.parse() == Ok(code), "exit code {told}, not {code}");
    let failed = code != 0 && !is_daemon(pod);
    let is_error = span.span["status"]["code"].as_i64() == Some(STATUS_ERROR);
    ensure!(is_error == failed, "status {} after exit code {code}", span.span["status"]);
    ensure!(attributes["error.type"].is_string() == failed, "error.type {}", attributes["error.type"]);
    // Kubernetes learns of a container's start after the fact, and much later where the machine is busy.
    let (from, to) = (millis(&pod["metadata"]["creationTimestamp"])?, millis(&ended["finishedAt"])? + CLOCK_MS);
    let (start, end) = (nanos(&span.span["startTimeUnixNano"])?, nanos(&span.span["endTimeUnixNano"])?);
    ensure!(from <= start && start <= end && end <= to, "{start} to {end} is not within {from} to {to}");
    Ok(())
}

/// In the samples, only daemons say when they are ready.
fn is_daemon(pod: &Value) -> bool {
    pod["spec"]["containers"].as_array().into_iter().flatten().any(|c| c.get("readinessProbe").is_some())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}

fn nanos(value: &Value) -> Result<i64> {
    Ok(text(value)?.parse::<i64>()? / 1_000_000)
}

/// Milliseconds since 1970 of an RFC 3339 time.
fn millis(value: &Value) -> Result<i64> {
    let time = text(value)?.parse::<k8s_openapi::jiff::Timestamp>().context("no time")?;
    Ok(time.as_millisecond())
}
