//! Every sample workflow with the webhook in its path: it ends as without us, each pod is injected or skipped as its kind
//! says, and `stepspan dry-run` of what the API server sent gives what the API server stored. Afterwards `explain pod/NAME` says of the stored
//! pod what `explain` says of what the API server sent, and `replay` of what was recorded finds no difference.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::samples::{Sample, samples};
use super::{Shared, trial};
use crate::harness::{
    Cluster,
    namespace::Namespace,
    recorder::Recorded,
    stepspan::{Stepspan, explain_live},
};

/// What is not the same in two creations of one pod.
const FLEETING: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"];

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let trials = samples()?.into_iter().map(|sample| {
        trial(cluster, format!("injection::{}", sample.stem), move |cluster| with_the_webhook(cluster, &sample))
    });
    Ok(trials.collect())
}

fn with_the_webhook(cluster: &Cluster, sample: &Sample) -> Result<()> {
    let namespace = cluster.namespace(&format!("injected-{}", sample.stem), &json!({}))?;
    let stepspan = Stepspan::start(cluster, &namespace, None)?;
    let ended = sample.run(&namespace)?;
    let pods = namespace.pods(&ended)?;
    for pod in &pods {
        is_as_its_kind_says(pod).with_context(|| format!("pod {}", pod["metadata"]["name"]))?;
    }
    let calls = stepspan.recorder.take();
    keep(&sample.stem, &calls)?;
    // A controller that has not yet heard of its pod asks for it again: then it is there already.
    let mut compared = BTreeSet::new();
    for call in &calls {
        let name = call.review()?["request"]["object"]["metadata"]["name"].to_string();
        if !compared.contains(&name) && offline_equals_online(cluster, &namespace, &stepspan, call, &pods)? {
            compared.insert(name);
        }
    }
    ensure!(compared.len() == pods.len(), "{} of {} pods were compared", compared.len(), pods.len());
    let replayed = stepspan.replay(pods.len())?;
    let all = replayed["reviews"].as_u64().unwrap_or_default();
    ensure!(all >= pods.len() as u64 && replayed["same"] == all, "replay: {replayed:#}");
    Ok(())
}

/// With `STEPSPAN_RECORD=<folder>` (`make record`), what the API server sent is kept there: the input of benches and cases.
fn keep(stem: &str, calls: &[Recorded]) -> Result<()> {
    let Some(folder) = env::var_os("STEPSPAN_RECORD") else { return Ok(()) };
    for (n, call) in calls.iter().enumerate() {
        let kind = call.review()?["request"]["kind"]["kind"].as_str().unwrap_or_default().to_lowercase();
        fs::write(Path::new(&folder).join(format!("{stem}-{n}-{kind}.json")), &call.request)?;
    }
    Ok(())
}

/// The kind is read from what Argo wrote, independently of the evaluator.
fn is_as_its_kind_says(pod: &Value) -> Result<()> {
    let annotations = &pod["metadata"]["annotations"];
    let status = annotations["stepspan.dev/status"].as_str().context("no status")?;
    let template = template(pod);
    let expected = match pod["metadata"]["labels"]["workflows.argoproj.io/component"].as_str() {
        Some("agent") => "skipped: agent",
        _ if template.get("resource").is_some() => "skipped: resource",
        _ if template.get("data").is_some() => "skipped: data",
        _ => "injected",
    };
    ensure!(status == expected, "status is {status}, not {expected}");
    let members: Vec<&str> = match template["containerSet"]["containers"].as_array() {
        Some(members) => members.iter().filter_map(|m| m["name"].as_str()).collect(),
        None => vec!["main"],
    };
    let empty = Vec::new();
    for container in pod["spec"]["containers"].as_array().unwrap_or(&empty) {
        let name = container["name"].as_str().unwrap_or_default();
        let wanted = expected == "injected" && members.contains(&name);
        ensure!(has_shim(container) == wanted, "container {name}: shim is {}, not {wanted}", has_shim(container));
        ensure!(variable(container, "OTEL_SERVICE_NAME").is_some() == wanted, "container {name}: environment");
    }
    if expected == "injected" {
        let node = annotations["trace.context"].as_str().context("no trace.context")?;
        ensure!(node.len() == 55 && node.ends_with("-01"), "trace.context is {node}");
        ensure!(pod["metadata"]["labels"]["pr"] == "412", "labels: {}", pod["metadata"]["labels"]);
        ensure!(pod["spec"]["initContainers"].to_string().contains("stepspan-init"), "no init container");
    }
    ensure!(
        !annotations.to_string().contains("stepspan.dev/l.") || expected != "injected",
        "carrier is left: {annotations}"
    );
    Ok(())
}

/// Whether the call was a pod's, and if so that three pods are one: the stored one, dry-run's, and dry-run's sent again.
fn offline_equals_online(
    cluster: &Cluster,
    namespace: &Namespace<'_>,
    stepspan: &Stepspan<'_>,
    call: &Recorded,
    stored: &[Value],
) -> Result<bool> {
    let review = call.review()?;
    if review["request"]["kind"]["kind"] != "Pod" {
        return Ok(false);
    }
    let name = review["request"]["object"]["metadata"]["name"].as_str().context("a pod without a name")?;
    let stored =
        stored.iter().find(|p| p["metadata"]["name"] == name).with_context(|| format!("{name} was not stored"))?;
    explained_alike(cluster, namespace, stepspan, call, name)?;
    let offline = stepspan.dry_run(&call.request)?;
    let path = namespace.path(&format!("pods/{name}?gracePeriodSeconds=0"));
    cluster.api().delete(&path)?.settled()?;
    let sent = namespace.create_object("pods?dryRun=All", &offline)?.accepted()?;
    let (sent, stored) = (lasting(&sent), lasting(stored));
    ensure!(sent == stored, "{name} differs\noffline: {sent:#}\nstored: {stored:#}");
    Ok(true)
}

/// The stored pod has lost its carriers, and the Workflow has ended: what `explain` says of it is what it says of the review.
fn explained_alike(
    cluster: &Cluster,
    namespace: &Namespace<'_>,
    stepspan: &Stepspan<'_>,
    call: &Recorded,
    pod: &str,
) -> Result<()> {
    let mut live = match explain_live(&cluster.dir().join("admin.kubeconfig"), namespace.name(), pod) {
        // Argo has taken a daemon's or agent's pod away with its Workflow.
        Err(error) if error.to_string().contains("no pod") => return Ok(()),
        live => live?,
    };
    let mut sent = stepspan.explain(&call.request)?;
    for explained in [&mut live, &mut sent] {
        explained["decisions"]["source"].take();
    }
    ensure!(live == sent, "{pod} is explained otherwise\nstored: {live:#}\nsent: {sent:#}");
    Ok(())
}

fn lasting(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(fields) = pod.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.retain(|field, _| !FLEETING.contains(&field.as_str()));
    }
    pod
}

/// The template as Argo wrote it into the pod.
fn template(pod: &Value) -> Value {
    let containers =
        ["initContainers", "containers"].into_iter().flat_map(|f| pod["spec"][f].as_array().into_iter().flatten());
    let text = containers.filter_map(|c| variable(c, "ARGO_TEMPLATE")).find_map(|e| e["value"].as_str());
    text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
}

fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container["env"].as_array()?.iter().find(|e| e["name"] == name)
}

fn has_shim(container: &Value) -> bool {
    container["command"].as_array().is_some_and(|words| words.iter().any(|w| w == "/stepspan/stepspan-shim"))
}
