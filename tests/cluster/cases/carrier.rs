//! What policies name of a Workflow reaches its pods through the real controller, and no value of it breaks a Workflow.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use stepspan_contract::{Config, names::CONFIG_ENV};

use super::{Shared, trial};
use crate::harness::{Cluster, namespace::Namespace, stepspan::Stepspan};

/// Values as authors of workflows, or of branch names, may write them.
const HOSTILE: [(&str, &str); 10] = [
    ("plain", "acme/widgets"),
    ("quotes", "it's \"quoted\" \\ and `ticked`"),
    ("lines", "first\nsecond\ttabbed\r\nthird"),
    ("template", "{{x}} and {{workflow.nothing}}"),
    ("reference", "$(HOME) $$(HOME) ${HOME} $HOME"),
    ("unicode", "größe 测试 🚀"),
    ("json", r#"{"a": ["b", null], "c": "}}"}"#),
    ("yaml", "- &a [*a, !!str ~, 'x': y]  # z"),
    ("percent", "100%25 %7B%7B"),
    ("markup", "<script>alert(1)</script>&amp;"),
];

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("carrier::{name}"), body);
    vec![
        named("parameters_and_template_defaults_reach_every_pod", parameters_and_template_defaults_reach_every_pod),
        named("inputs_of_each_step_and_item_reach_its_own_pod", inputs_of_each_step_and_item_reach_its_own_pod),
        named("labels_annotations_and_traceparent_reach_every_pod", labels_annotations_and_traceparent_reach_every_pod),
        named("a_huge_or_missing_parameter_fails_nothing", a_huge_or_missing_parameter_fails_nothing),
    ]
}

fn parameters_and_template_defaults_reach_every_pod(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("parameters", &json!({}))?;
    let policy = policy(HOSTILE.iter().map(|(name, _)| (*name, format!("parameter: {name}"))));
    let _stepspan = Stepspan::start(cluster, &namespace, Some(&policy))?;
    // The first half are the template's defaults, the second half the Workflow's own.
    let (defaults, own) = HOSTILE.split_at(HOSTILE.len() / 2);
    let own_names = own.iter().map(|(name, _)| json!({"name": name}));
    let template = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": "hostile"},
        "spec": {
            "entrypoint": "both",
            "arguments": {"parameters": parameters(defaults).into_iter().chain(own_names).collect::<Vec<_>>()},
            "podMetadata": {"annotations": {"of-the-template": "stays"}},
            "templates": [
                {"name": "both", "dag": {"tasks": [{"name": "a", "template": "plain"}, {"name": "b", "template": "plain"}]}},
                {"name": "plain", "container": {"image": "registry.example/agents/shell:1", "command": ["true"]}},
            ],
        },
    });
    namespace.create_template(&template)?;
    let spec = json!({
        "serviceAccountName": "workflow",
        "workflowTemplateRef": {"name": "hostile"},
        "arguments": {"parameters": parameters(own)},
    });
    let pods = run(&namespace, &json!({"metadata": {"name": "hostile"}, "spec": spec}))?;
    ensure!(pods.len() == 2, "{} pods", pods.len());
    for pod in &pods {
        ensure!(pod["metadata"]["annotations"]["of-the-template"] == "stays", "{}", pod["metadata"]);
        carries(pod, &HOSTILE)?;
    }
    Ok(())
}

fn inputs_of_each_step_and_item_reach_its_own_pod(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("inputs", &json!({}))?;
    let policy = policy([("item", "input: value".to_owned())].into_iter());
    let _stepspan = Stepspan::start(cluster, &namespace, Some(&policy))?;
    let items: Vec<Value> =
        HOSTILE.iter().filter(|(name, _)| *name != "template").map(|(_, value)| json!(value)).collect();
    let each = json!({"parameters": [{"name": "value", "value": "{{item}}"}]});
    let workflow = json!({"metadata": {"name": "each"}, "spec": {
        "serviceAccountName": "workflow",
        "entrypoint": "loop",
        "templates": [
            {"name": "loop", "steps": [
                [{"name": "each", "template": "each", "withItems": items, "arguments": each}],
                [{"name": "none", "template": "none"}],
            ]},
            {"name": "each", "inputs": {"parameters": [{"name": "value"}]},
             "container": {"image": "registry.example/agents/shell:1", "command": ["echo"], "args": ["{{inputs.parameters.value}}"]}},
            {"name": "none", "container": {"image": "registry.example/agents/shell:1", "command": ["true"]}},
        ],
    }});
    let pods = run(&namespace, &workflow)?;
    ensure!(pods.len() == items.len() + 1, "{} pods", pods.len());
    let mut arrived = 0;
    for pod in &pods {
        let of_none = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"] == "each[1].none";
        let value = attributes(pod)?.remove("item");
        ensure!(value.is_none() == of_none, "{value:?} in {}", pod["metadata"]);
        // Items with quotes or lines come escaped to the step itself; what it gets is what we must say it got.
        let main = pod["spec"]["containers"].as_array().into_iter().flatten().find(|c| c["name"] == "main");
        let given = main.and_then(|m| m["args"][0].as_str());
        ensure!(value == given.map(kept), "{value:?} instead of {given:?}");
        arrived += usize::from(value.is_some());
    }
    ensure!(arrived == items.len(), "{arrived} of {} items arrived", items.len());
    Ok(())
}

fn labels_annotations_and_traceparent_reach_every_pod(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("literals", &json!({}))?;
    let keys = HOSTILE.iter().map(|(name, _)| (*name, format!("workflowAnnotation: {name}")));
    let policy = policy(keys.chain([("label", "workflowLabel: example.com/team".to_owned())]));
    let _stepspan = Stepspan::start(cluster, &namespace, Some(&policy))?;
    let mut annotations: BTreeMap<&str, &str> = HOSTILE.into_iter().collect();
    annotations.insert("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let workflow = json!({
        "metadata": {"name": "literals", "annotations": annotations, "labels": {"example.com/team": "build"}},
        "spec": {
            "serviceAccountName": "workflow",
            "entrypoint": "plain",
            "templates": [{"name": "plain", "container": {"image": "registry.example/agents/shell:1", "command": ["true"]}}],
        },
    });
    let pods = run(&namespace, &workflow)?;
    let pod = pods.first().context("no pod")?;
    carries(pod, &HOSTILE)?;
    let config = config(pod)?;
    ensure!(config.links == [annotations["traceparent"]], "links are {:?}", config.links);
    ensure!(attributes(pod)?.get("label").map(String::as_str) == Some("build"), "{:?}", config.attributes);
    Ok(())
}

fn a_huge_or_missing_parameter_fails_nothing(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("huge", &json!({}))?;
    let names = ["huge", "missing", "other"];
    let policy = policy(names.iter().map(|name| (*name, format!("parameter: {name}"))));
    let _stepspan = Stepspan::start(cluster, &namespace, Some(&policy))?;
    let huge = "é$(X)".repeat(60_000);
    let spec = |arguments: Value| {
        json!({
            "serviceAccountName": "workflow",
            "entrypoint": "plain",
            "arguments": arguments,
            "templates": [{"name": "plain", "container": {"image": "registry.example/agents/shell:1", "command": ["true"]}}],
        })
    };
    let with = spec(json!({"parameters": [{"name": "huge", "value": huge}]}));
    let pods = run(&namespace, &json!({"metadata": {"name": "huge"}, "spec": with}))?;
    let carried = attributes(pods.first().context("no pod")?)?;
    ensure!(carried.get("huge").is_some_and(|v| huge.starts_with(v.as_str()) && v.len() > 250), "{carried:?}");
    ensure!(!carried.contains_key("missing"), "{carried:?}");
    let pods = run(&namespace, &json!({"metadata": {"name": "bare"}, "spec": spec(json!({}))}))?;
    ensure!(attributes(pods.first().context("no pod")?)?.keys().all(|k| !names.contains(&k.as_str())), "{pods:?}");
    Ok(())
}

fn run(namespace: &Namespace<'_>, workflow: &Value) -> Result<Vec<Value>> {
    let mut workflow = workflow.clone();
    workflow["apiVersion"] = json!("argoproj.io/v1alpha1");
    workflow["kind"] = json!("Workflow");
    let submitted = namespace.create_object("workflows", &workflow)?.accepted()?;
    let ended = namespace.wait_end(&submitted)?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{}", crate::harness::namespace::describe(&ended));
    namespace.pods(&ended)
}

/// A policy with one correlation key for each source.
fn policy<'a>(keys: impl Iterator<Item = (&'a str, String)>) -> String {
    let keys: Vec<String> = keys.map(|(key, source)| format!("    {key}: {{from: [{{{source}}}]}}\n")).collect();
    format!(
        "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {{name: carrier}}\nspec:\n  correlation:\n{}",
        keys.concat()
    )
}

fn parameters(values: &[(&str, &str)]) -> Vec<Value> {
    values.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn carries(pod: &Value, expected: &[(&str, &str)]) -> Result<()> {
    let attributes = attributes(pod)?;
    for (key, value) in expected {
        let arrived = attributes.get(*key).with_context(|| format!("{key} did not arrive: {}", pod["metadata"]))?;
        ensure!(*arrived == kept(value), "{key}: {arrived:?} instead of {value:?}");
        let annotation = &pod["metadata"]["annotations"][format!("stepspan.dev/{key}")];
        ensure!(*annotation == kept(value), "annotation {key}: {annotation} instead of {value:?}");
    }
    let left = pod["metadata"]["annotations"].as_object().into_iter().flatten().map(|(key, _)| key);
    let carriers: Vec<_> =
        left.filter(|k| ["p.", "i.", "l.", "a."].iter().any(|c| k.starts_with(&format!("stepspan.dev/{c}")))).collect();
    ensure!(carriers.is_empty(), "carriers are left: {carriers:?}");
    Ok(())
}

/// A value as policies promise it: control characters removed.
fn kept(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).collect()
}

fn attributes(pod: &Value) -> Result<BTreeMap<String, String>> {
    Ok(config(pod)?.attributes.into_iter().collect())
}

/// The configuration as the shim will see it: after the kubelet, for which `$$` is `$`.
fn config(pod: &Value) -> Result<Config> {
    let containers = pod["spec"]["containers"].as_array().context("no containers")?;
    let entries = containers.iter().flat_map(|c| c["env"].as_array().into_iter().flatten());
    let entry =
        entries.into_iter().find(|e| e["name"] == CONFIG_ENV).with_context(|| format!("not injected: {pod}"))?;
    let text = entry["value"].as_str().context("no literal configuration")?;
    Ok(Config::decode(&text.replace("$$", "$"))?)
}
