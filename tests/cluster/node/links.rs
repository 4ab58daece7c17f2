//! The chart's `WorkflowTemplate` of links, by the real controller and executor.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::trial;
use crate::{
    cases::Shared,
    harness::{
        Cluster,
        ids::trace_id,
        namespace::{Namespace, describe},
    },
};

const LINKS: &str = include_str!("../../../charts/stepspan/workflows/links.yaml");
const KEYS: [&str; 3] = ["prHtmlUrl", "actionsRunUrl", "previewUrl"];

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named =
        |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("node::links::{name}"), false, body);
    vec![named("are_outputs_and_annotations", are_outputs_and_annotations)]
}

/// A Workflow of one step, which writes this file where there is something to write.
fn workflow(parameters: &Value, template: &str, preview: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "links-"},
        "spec": {
            "serviceAccountName": "workflow",
            "entrypoint": "deploy",
            "arguments": {"parameters": parameters},
            "hooks": {"exit": {"templateRef": {"name": "stepspan-links", "template": template}}},
            "templates": [{
                "name": "deploy",
                "container": {
                    "image": "localhost/busybox:1", "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", preview],
                },
                "outputs": {"parameters": [{
                    "name": "url", "globalName": "previewUrl", "valueFrom": {"path": "/tmp/preview", "default": ""},
                }]},
            }],
        },
    })
}

/// Runs it to its end, which is success.
fn run(namespace: &Namespace<'_>, workflow: &Value) -> Result<Value> {
    let submitted = namespace.create_object("workflows", workflow)?.accepted()?;
    let ended = namespace.wait_end(&submitted)?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{}", describe(&ended));
    Ok(ended)
}

fn parameters(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// What is asked for, what is in `.status.outputs` then, and on the Workflow where it was written there.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, [&'a str; 3]);
const NO_FILE: &str = "true";
const FILE: &str = "printf https://preview.example/412 > /tmp/preview";
const CASES: [Case<'_>; 4] = [
    (&[], NO_FILE, ["", "", ""]),
    (
        &[("repo", "shop/api"), ("pr", "412"), ("runId", "77")],
        FILE,
        [
            "https://github.com/shop/api/pull/412",
            "https://github.com/shop/api/actions/runs/77",
            "https://preview.example/412",
        ],
    ),
    (
        &[("repo", "shop/api"), ("runId", "77"), ("server", "https://git.example")],
        NO_FILE,
        ["", "https://git.example/shop/api/actions/runs/77", ""],
    ),
    (
        &[
            ("prHtmlUrl", "https://git.example/a?q=\"'\\{{x}}: #"),
            ("actionsRunUrl", "https://ci.example/1"),
            ("previewUrl", "https://p.example"),
        ],
        FILE,
        ["https://git.example/a?q=\"'\\{{x}}: #", "https://ci.example/1", "https://p.example"],
    ),
];

fn are_outputs_and_annotations(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("links", &json!({}))?;
    namespace.create_template(&stepspan::yaml::read(LINKS, 1)?)?;
    for (given, script, expected) in CASES {
        let ended = run(&namespace, &workflow(&parameters(given), "links", script))?;
        has_outputs(&ended, expected)?;
        ensure!(namespace.pods(&ended)?.len() == 1, "links took a pod: {}", describe(&ended));
    }
    // Nobody may patch Workflows yet.
    let ended = run(&namespace, &workflow(&parameters(CASES[1].0), "annotated", FILE))?;
    has_outputs(&ended, CASES[1].2)?;
    let failed = ended["status"]["nodes"].as_object().into_iter().flat_map(serde_json::Map::values);
    let failed: Vec<_> = failed.filter(|node| node["phase"] == "Failed" || node["phase"] == "Error").collect();
    ensure!(failed.iter().any(|node| node["displayName"] == "annotate"), "{}", describe(&ended));

    may_patch(&namespace)?;
    for (given, script, expected) in [CASES[0], CASES[3]] {
        let ended = run(&namespace, &workflow(&parameters(given), "annotated", script))?;
        has_outputs(&ended, expected)?;
        for (key, value) in KEYS.iter().zip(expected).chain([(&"traceId", trace_id(&ended)?.as_str())]) {
            let annotation = ended["metadata"]["annotations"][key].as_str();
            ensure!(
                annotation == Some(value).filter(|it| !it.is_empty()),
                "{key}: {annotation:?}: {}",
                describe(&ended)
            );
        }
    }
    Ok(())
}

fn has_outputs(ended: &Value, expected: [&str; 3]) -> Result<()> {
    let outputs = ended["status"]["outputs"]["parameters"].as_array().with_context(|| describe(ended))?;
    for (key, value) in KEYS.iter().zip(expected).chain([(&"traceId", trace_id(ended)?.as_str())]) {
        let found: Vec<_> = outputs.iter().filter(|output| output["name"] == *key).collect();
        ensure!(matches!(&found[..], [it] if it["value"] == value), "{key} is {found:?} instead of {value}");
    }
    Ok(())
}

/// The right that the chart's `links.serviceAccount` gives.
fn may_patch(namespace: &Namespace<'_>) -> Result<()> {
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", namespace.name());
    let role = json!({"metadata": {"name": "links"}, "rules": [
        {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["get", "patch"]},
    ]});
    let binding = json!({
        "metadata": {"name": "links"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "links"},
        "subjects": [{"kind": "ServiceAccount", "name": "workflow", "namespace": namespace.name()}],
    });
    namespace.api().create(&format!("{rbac}/roles"), &role)?.accepted()?;
    namespace.api().create(&format!("{rbac}/rolebindings"), &binding)?.accepted().map(drop)
}
