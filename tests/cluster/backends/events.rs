//! Events that make Workflows (`examples/argo-events`): in the trace of the event or linked to it, tried again, kept where they fail, and done again
//! by hand.

use std::{collections::BTreeSet, env, fs, os::unix::fs::symlink, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    place::{Place, Teller},
    shown::{Events, Span, rules},
};
use crate::{
    cases::watch::text,
    harness::{
        Cluster,
        ids::{h, trace_id},
        namespace::{Namespace, describe},
        wait::until,
    },
    node::parity::patient_policy,
};

const LIMIT: Duration = Duration::from_mins(3);
const EVENT_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const EVENT_SPAN: &str = "00f067aa0ba902b7";

pub fn an_event_s_trace_goes_on(cluster: &Cluster) -> Result<()> {
    let place = Place::furnished(cluster, "events", &Teller::Watch)?;
    let steps = &place.release.steps;
    let mut events = Events::start(cluster, &place.tools, &place.folder, steps)?;
    let traceparent = format!("00-{EVENT_TRACE}-{EVENT_SPAN}-01");

    // Linked, unless a policy says more; without a context there is nothing to link to.
    for (task, context) in [("linked", Some(traceparent.as_str())), ("alone", None)] {
        events.post(&event(task), context)?;
        let ended = ended(steps, task)?;
        ensure!(ended["metadata"]["annotations"]["traceparent"].as_str() == context, "{:#}", ended["metadata"]);
        let root = root_span(&place, &ended, &trace_id(&ended)?)?;
        let links: Vec<_> = context.map(|_| (EVENT_TRACE.to_owned(), EVENT_SPAN.to_owned())).into_iter().collect();
        ensure!(root.links == links && root.parent.is_none(), "{task}: {root:#?}");
        correlated(&root, task)?;
    }
    tried_again_kept_and_redone(&place, &events, &traceparent)?;
    events.kill_sensor();
    events.post(&event("meanwhile"), Some(&traceparent))?;
    events.start_sensor(steps)?;
    ended(steps, "meanwhile")?;

    // Where the policy joins foreign traces, the Workflow is a part of the event's.
    let policy = format!("{}  traceContext: {{incoming: parent}}\n", patient_policy());
    let policy = policy.replace("http://otel-collector:4317", &place.collector.url());
    let policies = format!("policies.files={}", json!({"steps.yaml": policy}));
    place.release.upgrade(&["--reuse-values", "--set-json", &policies])?;
    // The one before serves until it is gone, by the policy that it knows.
    until("the replica of before to be gone", LIMIT, || {
        let pods = place.release.home.list("pods?labelSelector=app.kubernetes.io/component%3Dwebhook")?;
        Ok((pods.len() == 1).then_some(()))
    })?;
    place.release.until_in_force()?;
    events.post(&event("joined"), Some(&traceparent))?;
    let ended = ended(steps, "joined")?;
    let root = root_span(&place, &ended, EVENT_TRACE)?;
    ensure!(root.parent.as_deref() == Some(EVENT_SPAN), "not below the event's span: {root:#?}");
    place.end()
}

/// An event of this task.
fn event(task: &str) -> Value {
    json!({"action": "review", "repo": "shop/api", "pr": 1_234_567, "taskId": task})
}

/// The Workflow of a task, there and successful.
fn ended(steps: &Namespace<'_>, task: &str) -> Result<Value> {
    let found = until(&format!("a Workflow of {task}"), LIMIT, || {
        let all = steps.list(&format!("workflows?labelSelector=taskId%3D{task}"))?;
        ensure!(all.len() < 2, "{} Workflows of {task}", all.len());
        Ok(all.into_iter().next())
    })?;
    let ended = steps.wait_end(&found)?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{}", describe(&ended));
    Ok(ended)
}

/// The Workflow's own span, in this trace, with the step's command below it.
fn root_span(place: &Place<'_>, ended: &Value, trace: &str) -> Result<Span> {
    let id = h(&format!("workflow/{}", text(&ended["metadata"]["uid"])?), 16);
    until(&format!("the spans of {}", ended["metadata"]["name"]), LIMIT, || {
        let spans = place.jaeger.spans(trace)?;
        let of_command = spans.iter().any(|span| {
            span.is_of_command() && span.tag("workflow.run_id") == ended["metadata"]["uid"].as_str().unwrap_or_default()
        });
        Ok(spans.into_iter().find(|span| span.id == id).filter(|_| of_command))
    })
    .with_context(|| describe(ended))
}

/// The event's values, as they were in it.
fn correlated(span: &Span, task: &str) -> Result<()> {
    for (key, value) in [("repo", "shop/api"), ("prNumber", "1234567"), ("taskId", task)] {
        ensure!(span.tag(key) == value, "{key}: {:#}", span.tags);
    }
    Ok(())
}

/// While no Workflow can be made: some attempts, then a dead letter, which is posted again by the command that the example has.
fn tried_again_kept_and_redone(place: &Place<'_>, events: &Events<'_>, traceparent: &str) -> Result<()> {
    let steps = &place.release.steps;
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/workflows.argoproj.io": "0"}}});
    steps.create_object("resourcequotas", &quota)?.accepted()?;
    let probe = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "probe-"},
        "spec": {"entrypoint": "x", "templates": [{"name": "x", "container": {"image": "x"}}]}});
    until("the quota to be in force", LIMIT, || {
        Ok((!steps.create_object("workflows?dryRun=All", &probe)?.is_success()).then_some(()))
    })?;
    let refused = event("refused");
    events.post(&refused, Some(traceparent))?;
    let letter = until("a dead letter", LIMIT, || {
        Ok(steps.list("configmaps?labelSelector=dead-letter%3Dagent")?.into_iter().next())
    })?;
    // As it was posted, byte by byte.
    let posted = refused.to_string();
    ensure!(text(&letter["data"]["body"])? == posted, "{letter:#}");
    ensure!(letter["metadata"]["annotations"]["traceparent"] == traceparent, "{letter:#}");
    alerted(&events.metrics()?, steps.name())?;

    let path = steps.path("resourcequotas/none");
    steps.api().delete(&path)?.accepted()?;
    until("the quota to be gone", LIMIT, || {
        Ok(steps.create_object("workflows?dryRun=All", &probe)?.is_success().then_some(()))
    })?;
    redo(place, events, text(&letter["metadata"]["name"])?)?;
    let redone = ended(steps, "refused")?;
    ensure!(redone["metadata"]["annotations"]["traceparent"] == traceparent, "{:#}", redone["metadata"]);
    let left = steps.list("configmaps?labelSelector=dead-letter%3Dagent")?;
    ensure!(left.is_empty(), "the dead letter is there still");
    Ok(())
}

/// The sensor shows what the alert asks for, with failures of the trigger.
fn alerted(metrics: &str, namespace: &str) -> Result<()> {
    let asked = fs::read_to_string(rules().join("alerts.yaml"))?;
    let names: BTreeSet<&str> = asked
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("argo_events_"))
        .collect();
    ensure!(!names.is_empty(), "no alert asks for a metric of Argo Events");
    for name in names {
        let series = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")));
        let series = series.with_context(|| format!("no {name} in\n{metrics}"))?;
        let labels =
            [format!("namespace=\"{namespace}\""), "sensor_name=\"agent\"".into(), "trigger_name=\"review\"".into()];
        ensure!(labels.iter().all(|label| series.contains(label.as_str())), "{series}");
        let count: f64 = series.rsplit(' ').next().unwrap_or_default().parse()?;
        ensure!(count > 3.5, "{series}");
    }
    Ok(())
}

/// `examples/argo-events/redo`, with the kubectl that the trials have built.
fn redo(place: &Place<'_>, events: &Events<'_>, letter: &str) -> Result<()> {
    let programs = place.folder.join("programs");
    fs::create_dir_all(&programs)?;
    symlink(&place.tools.kubectl, programs.join("kubectl"))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/argo-events/redo");
    // The example's namespace is `agents`.
    let text = fs::read_to_string(script)?.replace("agents", place.release.steps.name());
    let own = place.folder.join("redo");
    fs::write(&own, text)?;
    let path = format!("{}:{}", programs.display(), env::var("PATH")?);
    let output = Command::new("sh")
        .arg(&own)
        .args([letter, &events.url()])
        .env("PATH", path)
        .env("KUBECONFIG", place.cluster.dir().join("admin.kubeconfig"))
        .output()?;
    ensure!(output.status.success(), "redo: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
