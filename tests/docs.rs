//! The documentation says what the code does: nothing generated or listed drifts.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::{PolicyFile, schema};

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
fn observability_lists_the_metrics_that_are_there() {
    let text = doc("observability.md");
    let metrics = stepspan::telemetry::metrics::Metrics::default().render().unwrap();
    let names: Vec<&str> = metrics.lines().filter_map(|l| l.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert!(names.len() > 10, "{metrics}");
    let missing: Vec<_> = names.iter().filter(|n| !text.contains(&format!("`{n}"))).collect();
    assert!(missing.is_empty(), "metrics that docs/observability.md does not have: {missing:?}");
}
