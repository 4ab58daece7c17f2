//! What every other trial rests on: admission plugins judge, webhooks are called and recorded, refusals arrive whole.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{Shared, trial};
use crate::harness::{
    Cluster,
    api::{JSON, YAML},
    recorder::{Recorded, Recorder, Upstream},
    wait::until,
};

const DAG: &str = include_str!("../workflows/dag.yaml");
const LIMIT: Duration = Duration::from_mins(3);
const POD_YAML: &[u8] = b"metadata: {generateName: p-}\nspec: {containers: [{name: main, image: x}]}\n";

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("selfcheck::{name}"), body);
    vec![
        named("recorder_sees_workflow_and_pods", recorder_sees_workflow_and_pods),
        named("webhook_that_cannot_be_reached_is_ignored", webhook_that_cannot_be_reached_is_ignored),
        named("admission_plugins_judge_pods", admission_plugins_judge_pods),
        named("refusals_and_raw_bytes_arrive_whole", refusals_and_raw_bytes_arrive_whole),
        named("held_pods_stay_pending", held_pods_stay_pending),
        named("mutating_admission_policies_are_served", mutating_admission_policies_are_served),
        named("other_programs_run_beside_the_cluster", other_programs_run_beside_the_cluster),
    ]
}

fn recorder_sees_workflow_and_pods(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("recorded", &json!({"team": "build"}))?;
    let recorder = Recorder::start(cluster, Upstream::Function(label_everything))?;
    // The second recorder stands where the webhook process will.
    let front =
        Recorder::start(cluster, Upstream::Webhook { url: recorder.url(), ca_pem: recorder.ca_pem().to_owned() })?;
    let webhook = cluster.register_webhook(&namespace, &front.url(), front.ca_pem())?;
    let ended = namespace.run(DAG, "Succeeded")?;
    ensure!(ended["metadata"]["labels"]["touched"] == "yes", "the Workflow was not changed: {}", ended["metadata"]);

    let pods = namespace.pods(&ended)?;
    ensure!(pods.iter().all(|pod| pod["metadata"]["labels"]["touched"] == "yes"), "a pod was not changed");
    let calls = front.take();
    // A controller that has not yet heard of its pod asks for it again: then it is there already.
    let of_kind = |kind: &str| {
        let name = |call| {
            let review = reviewed(call).ok().filter(|review| review["request"]["kind"]["kind"] == kind)?;
            Some(review["request"]["object"]["metadata"]["name"].to_string())
        };
        calls.iter().filter_map(name).collect::<BTreeSet<_>>().len()
    };
    ensure!(of_kind("Workflow") == 1 && of_kind("Pod") == 4, "{} calls: {:?}", calls.len(), paths(&calls));
    ensure!(calls.iter().all(|call| call.status == 200 && call.path.contains("?timeout=")), "{:?}", paths(&calls));
    let by_argo = |call: &_| {
        reviewed(call).is_ok_and(|r| r["request"]["userInfo"]["username"] == "system:serviceaccount:argo:argo")
    };
    ensure!(calls.iter().filter(|call| by_argo(call)).count() >= 4, "the pods were not created as Argo's own user");

    let paused = json!({"metadata": {"annotations": {"stepspan.dev/paused": "true"}}});
    cluster.api().merge_patch(&webhook.path(), &paused)?.accepted()?;
    webhook.unregister()?;
    let ended = namespace.run(DAG, "Succeeded")?;
    let untouched = |pod: &Value| pod["metadata"]["labels"]["touched"].is_null();
    ensure!(namespace.pods(&ended)?.iter().all(untouched) && front.calls().is_empty(), "still called after removal");
    Ok(())
}

fn webhook_that_cannot_be_reached_is_ignored(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("unreachable", &json!({}))?;
    let _webhook = cluster.register_webhook(&namespace, "https://127.0.0.1:1", &cluster.authority().pem())?;
    namespace.run(DAG, "Succeeded").map(drop)
}

fn admission_plugins_judge_pods(cluster: &Cluster) -> Result<()> {
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = cluster.namespace("judged", &restricted)?;
    let refusal = cluster.api().create_bytes(&namespace.path("pods"), YAML, POD_YAML.into())?;
    ensure!(refusal.status == 403 && refusal.message().contains("violates PodSecurity"), "{refusal:?}");

    let namespace = cluster.namespace("limited", &json!({}))?;
    let limits = json!({"metadata": {"name": "all"}, "spec": {"limits": [
        {"type": "Container", "default": {"memory": "64Mi"}, "max": {"memory": "128Mi"}},
    ]}});
    namespace.create_object("limitranges", &limits)?.accepted()?;
    let admitted = cluster.api().create_bytes(&namespace.path("pods?dryRun=All"), YAML, POD_YAML.into())?.accepted()?;
    let memory = &admitted["spec"]["containers"][0]["resources"]["limits"]["memory"];
    ensure!(memory == "64Mi", "LimitRange gave no default: {}", admitted["spec"]);
    let mounts = &admitted["spec"]["containers"][0]["volumeMounts"];
    ensure!(mounts[0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount", "no service account: {mounts}");

    namespace.create_quota("none", &json!({"hard": {"pods": "0"}}), &json!({}))
}

fn refusals_and_raw_bytes_arrive_whole(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("refused", &json!({}))?;
    let recorder = Recorder::start(cluster, Upstream::Function(break_everything))?;
    let webhook = cluster.register_webhook(&namespace, &recorder.url(), recorder.ca_pem())?;
    let pod = json!({
        "metadata": {"name": "p", "labels": {"workflows.argoproj.io/workflow": "w"}},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    });
    // A patch that does not apply is an error of the pod, whatever the failure policy says.
    let refusal = namespace.create_object("pods?dryRun=All", &pod)?;
    ensure!(refusal.status == 500 && refusal.message().contains("nonexistent"), "{refusal:?}");
    let call = recorder.take().pop().context("the webhook was not called")?;
    ensure!(call.review()?["request"]["dryRun"] == true, "a dry run is not said to be one");
    ensure!(call.answer()?["response"]["allowed"] == true && refusal.warnings == ["looked at"], "{refusal:?}");
    ensure!(call.headers.iter().any(|(name, value)| name == "content-type" && value == JSON), "{:?}", call.headers);
    webhook.unregister()?;

    let garbage = cluster.api().create_bytes(&namespace.path("pods"), JSON, b"{\"metadata\":".to_vec())?;
    ensure!(garbage.status == 400, "{garbage:?}");
    let invalid = namespace.create_object("pods", &json!({"metadata": {"name": "p"}, "spec": {}}))?;
    ensure!(invalid.status == 422 && invalid.message().contains("spec.containers"), "{invalid:?}");
    Ok(())
}

fn held_pods_stay_pending(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("held", &json!({}))?;
    let held = DAG.replace(
        "  entrypoint: review",
        "  entrypoint: review\n  podMetadata: {annotations: {test.stepspan.dev/hold: ''}}",
    );
    let workflow = namespace.submit(&held)?;
    until("the first pod", LIMIT, || Ok((!namespace.pods(&workflow)?.is_empty()).then_some(())))?;
    let pods = cluster.api().list(&namespace.path("pods"))?;
    ensure!(pods.len() == 1 && pods[0]["status"]["phase"] == "Pending", "{pods:?}");

    // What a workflow's own account may not do is refused for want of rights, not for lack of a server.
    let workflow_account = format!("system:serviceaccount:{}:workflow", namespace.name());
    let refusal = cluster.api().impersonating(&workflow_account).get(&namespace.path("pods"))?;
    ensure!(refusal.status == 403, "{refusal:?}");
    let path = namespace.path(&format!("workflows/{}", workflow["metadata"]["name"].as_str().unwrap_or_default()));
    cluster
        .api()
        .json_patch(&path, &json!([{"op": "add", "path": "/spec/shutdown", "value": "Terminate"}]))?
        .accepted()?;
    let ended = namespace.wait_end(&workflow)?;
    ensure!(ended["status"]["phase"] == "Failed", "{}", ended["status"]);
    Ok(())
}

fn mutating_admission_policies_are_served(cluster: &Cluster) -> Result<()> {
    let served = cluster.api().get("/apis/admissionregistration.k8s.io/v1beta1")?.accepted()?;
    let resources = served["resources"].as_array().context("no resources")?;
    let found = resources.iter().any(|resource| resource["name"] == "mutatingadmissionpolicies");
    ensure!(found, "{served}");
    Ok(())
}

fn other_programs_run_beside_the_cluster(cluster: &Cluster) -> Result<()> {
    let script = cluster.dir().join("program.sh");
    fs::write(&script, "echo listening; trap 'echo drained; exit 0' TERM; while :; do sleep 0.05; done")?;
    let script = script.display().to_string();
    let mut program = cluster.spawn("program", Path::new("/bin/sh"), &[&script], &[])?;
    until("its first line", LIMIT, || Ok(program.log().contains("listening").then_some(())))?;
    program.ensure_running()?;
    program.stop(LIMIT);
    ensure!(program.exited().is_some_and(|status| status.success()), "{}", program.log_tail());
    ensure!(program.log().ends_with("drained\n"), "{}", program.log_tail());
    Ok(())
}

fn label_everything(_path: &str, review: &Value) -> Value {
    let patch = json!([{"op": "add", "path": "/metadata/labels/touched", "value": "yes"}]);
    let labelled = !review["request"]["object"]["metadata"]["labels"]["touched"].is_null();
    respond(review, if labelled { None } else { Some(&patch) })
}

fn break_everything(_path: &str, review: &Value) -> Value {
    respond(review, Some(&json!([{"op": "remove", "path": "/spec/nonexistent"}])))
}

fn respond(review: &Value, patch: Option<&Value>) -> Value {
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    response["warnings"] = json!(["looked at"]);
    if let Some(patch) = patch {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn reviewed(call: &Recorded) -> Result<Value> {
    call.review()
}

fn paths(calls: &[Recorded]) -> Vec<&str> {
    calls.iter().map(|call| call.path.as_str()).collect()
}
