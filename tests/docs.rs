//! The documentation says what the code does: nothing generated or listed drifts.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::{PolicyFile, schema};
use stepspan::trace::pod::Pod;
use stepspan::trace::{Known, Run, Spans, Tree};
use stepspan::yaml;

fn doc(name: &str) -> String {
    fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn example() -> String {
    let text = doc("policy-reference.md");
    let block = text.split("```yaml\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_example_of_every_field_is_a_policy() {
    let file = PolicyFile { name: "policy-reference.md".into(), text: example() };
    let set = PolicySet::from_files(&[file], &Rules::default()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(set.policies().len(), 1);
}

#[test]
fn the_example_has_every_field_and_the_text_every_word() {
    let (text, example) = (doc("policy-reference.md"), example());
    let mut names = BTreeSet::new();
    let mut words = BTreeSet::new();
    collect(schema(), &mut names, &mut words);
    assert!(names.len() > 60 && words.len() > 20, "{names:?} {words:?}");
    // A selector's values, and matchLabels beside matchExpressions, would be noise in the example.
    let missing: Vec<_> =
        names.iter().filter(|n| !example.contains(n.as_str()) && !text.contains(&format!("`{n}`"))).collect();
    assert!(missing.is_empty(), "fields that docs/policy-reference.md does not have: {missing:?}");
    let missing: Vec<_> = words.iter().filter(|w| !text.contains(w.as_str())).collect();
    assert!(missing.is_empty(), "words that docs/policy-reference.md does not have: {missing:?}");
}

/// Names of all fields, and all words that a field can have.
fn collect(schema: &Value, names: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            names.extend(
                fields.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(k, _)| k.clone()),
            );
            words.extend(fields.get("const").and_then(Value::as_str).map(str::to_owned));
            let listed = fields.get("enum").and_then(Value::as_array).into_iter().flatten();
            words.extend(listed.filter_map(Value::as_str).map(str::to_owned));
            fields.values().for_each(|inner| collect(inner, names, words));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, names, words)),
        _ => {}
    }
}

#[cfg(feature = "webhook")]
#[test]
fn servers_lists_the_metrics_that_are_there() {
    lists_metrics("servers.md", &stepspan::telemetry::metrics::Metrics::default().render().unwrap());
}

#[cfg(feature = "webhook")]
fn lists_metrics(name: &str, metrics: &str) {
    let text = doc(name);
    let names: Vec<&str> = metrics.lines().filter_map(|l| l.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert!(names.len() > 10, "{metrics}");
    let missing: Vec<_> = names.iter().filter(|n| !text.contains(&format!("`{n}"))).collect();
    assert!(missing.is_empty(), "metrics that docs/{name} does not have: {missing:?}");
}

#[cfg(feature = "webhook")]
#[test]
fn traces_lists_attributes_and_metrics_that_are_there() {
    let text = doc("traces.md");
    lists_metrics("traces.md", &stepspan::watch::metrics::Metrics::new().render().unwrap());

    // What recorded runs with their pods have on their spans.
    let mut keys = BTreeSet::new();
    for name in ["node-dag-pods", "node-retry-pods"] {
        let path = format!("{}/tests/runs/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let list: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let pods = list["items"].as_array().unwrap().iter().filter_map(Pod::read);
        let known = Known { pods: pods.map(|pod| (pod.node_id.clone(), pod)).collect(), ..Known::default() };
        let run = Run::read(&list["items"][0]).unwrap();
        for span in Spans::of(&run, &Tree::of(&run), &known).all() {
            keys.extend(span.attributes.iter().map(|(key, _)| key.to_string()));
            keys.extend(span.events.iter().map(|event| event.name.to_owned()));
            keys.extend(span.links.iter().map(|link| link.role.to_owned()));
        }
    }
    // Those of policies are told as a whole.
    let of_policies =
        ["taskId", "agent", "commitSha", "environment", "deployment.", "vcs.", "k8s.namespace", "cicd.pipeline."];
    keys.retain(|key| !of_policies.iter().any(|known| key.starts_with(known)));
    assert!(keys.len() > 20, "{keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !text.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "attributes that docs/traces.md does not have: {missing:?}");
}

/// Every variable that the default policy sets, and every attribute that a step or a line of its log has.
#[test]
fn observability_lists_variables_and_attributes() {
    let text = doc("observability.md");
    let reference = doc("policy-reference.md");
    let preset = reference.split_once("`preset: otel`").unwrap().1.split_once("`set` adds").unwrap().0;
    let variables: BTreeSet<&str> =
        preset.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.starts_with("OTEL_")).collect();
    assert_eq!(variables.len(), 9, "{variables:?}");

    let seed = ["repo", "prNumber", "ref", "commitSha", "taskId", "agent", "stepName", "workflowName", "environment"];
    let ids = ["workflow.run_id", "workflow.job_id", "nodeId", "namespace"];
    let values: Vec<(&str, &str)> = seed.into_iter().chain(ids).map(|key| (key, "a/b")).collect();
    let mut keys: BTreeSet<String> =
        stepspan_contract::attributes::named("both", &values).into_iter().map(|(key, _)| key).collect();
    let collector: Value = yaml::read(
        &fs::read_to_string(format!("{}/charts/stepspan/logs/collector.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap(),
        1,
    )
    .unwrap();
    let extract = &collector["processors"]["k8sattributes"]["extract"];
    for entry in ["labels", "annotations"].iter().flat_map(|key| extract[key].as_array().unwrap()) {
        let name = entry["tag_name"].as_str().unwrap();
        keys.extend((!name.starts_with("exact.")).then(|| name.to_owned()));
    }
    assert!(keys.len() > 20, "{keys:?}");
    let told = |name: &str| text.contains(&format!("`{name}`"));
    let missing: Vec<_> = keys.iter().map(String::as_str).chain(variables).filter(|name| !told(name)).collect();
    assert!(missing.is_empty(), "docs/observability.md does not have {missing:?}");
}
