//! The carrier: a Workflow changes in `spec.podMetadata` alone, keeps what it had, and settles at once.

use proptest::prelude::*;
use serde_json::{Value, json};
use stepspan::context::Context;

use crate::case::{body, outcome, set, text};
use crate::dice::{Dice, cases, rows};
use crate::policies;
use crate::validation::is_qualified_name;

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn only_pod_metadata_changes(bytes in rows()) {
        let mut dice = Dice::new(&bytes);
        let context = Context { allow_env: vec!["HTTP_PROXY".to_owned(), "MY_*".to_owned()], ..Context::default() };
        let policies = policies::policies(&mut dice);
        let workflow = workflow(&mut dice);
        carried(&workflow, &policies, &context);
    }
}

/// The annotation on the Workflow itself, not among those of its pods.
#[test]
fn what_is_opted_out_carries_nothing() {
    let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"},
        "spec": {"correlation": {"repo": {"from": [{"parameter": "repo"}]}}}});
    let context = Context::default();
    let set = set(std::slice::from_ref(&policy), &context);
    for (value, is_carried) in [("false", false), ("true", true)] {
        let workflow = json!({"metadata": {"name": "w", "annotations": {"stepspan.dev/inject": value}},
            "spec": {"arguments": {"parameters": [{"name": "repo", "value": "shop/api"}]}}});
        let after = outcome(&body(&workflow, "Workflow"), &workflow, &set, &context).after;
        assert_eq!(after != workflow, is_carried, "{value}: {after}");
    }
}

/// More than fit: the first ones stay the ones.
#[test]
fn a_hundred_sources_settle_at_once() {
    let keys = (0..5).map(|key| {
        let from: Vec<Value> = (0..25).map(|i| json!({"parameter": format!("p{key}-{i}")})).collect();
        (format!("k{key}"), json!({"from": from}))
    });
    let correlation: serde_json::Map<String, Value> = keys.collect();
    let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"},
        "spec": {"correlation": correlation}});
    carried(&json!({"metadata": {"name": "w"}, "spec": {}}), &[policy], &Context::default());
}

/// A pod may have 256 KiB of annotations: what is carried never brings a Workflow's pods near them.
#[test]
fn carried_entries_leave_room_for_the_pod_s_own() {
    let names: Vec<String> = (0..60).map(|i| format!("a{i}")).collect();
    let value = "{".repeat(1024);
    let annotations: serde_json::Map<String, Value> = names.iter().map(|n| (n.clone(), json!(value))).collect();
    let key =
        |chunk: &[String]| json!({"from": chunk.iter().map(|n| json!({"workflowAnnotation": n})).collect::<Vec<_>>()});
    let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"},
        "spec": {"correlation": {"x": key(&names[..30]), "y": key(&names[30..])}}});
    for own in [0, 100_000, 250_000] {
        let spec = json!({"podMetadata": {"annotations": {"own": "x".repeat(own)}}});
        let workflow = json!({"metadata": {"name": "w", "annotations": annotations}, "spec": spec});
        let context = Context::default();
        carried(&workflow, std::slice::from_ref(&policy), &context);
        let set = set(std::slice::from_ref(&policy), &context);
        let after = outcome(&body(&workflow, "Workflow"), &workflow, &set, &context).after;
        let entries = after["spec"]["podMetadata"]["annotations"].as_object().unwrap();
        let size: usize = entries.iter().map(|(k, v)| k.len() + v.as_str().unwrap().len()).sum();
        assert!(size <= (128 * 1024).max(own + 3), "{size}");
    }
}

/// Nothing is carried that no policy of the namespace looks at.
#[test]
fn a_context_is_carried_only_for_a_policy_that_takes_it() {
    let workflow = json!({"metadata": {"name": "w", "annotations": {"traceparent": "x"}}, "spec": {}});
    for (spec, expected) in [
        (json!({}), true),
        (json!({"traceContext": {"incoming": "parent"}}), true),
        (json!({"traceContext": {"incoming": "ignore"}}), false),
        (json!({"match": {"namespaces": {"include": ["other"]}}}), false),
    ] {
        let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"}, "spec": spec});
        let context = Context::default();
        let patch = outcome(&body(&workflow, "Workflow"), &workflow, &set(&[policy], &context), &context).patch;
        assert_eq!(patch != json!([]), expected, "{patch}");
    }
}

fn carried(workflow: &Value, policies: &[Value], context: &Context) {
    let set = set(policies, context);
    let first = outcome(&body(workflow, "Workflow"), workflow, &set, context);
    let mut stripped = first.after.clone();
    match workflow["spec"].get("podMetadata") {
        Some(had) => stripped["spec"]["podMetadata"] = had.clone(),
        None => drop(stripped.get_mut("spec").and_then(|s| s.as_object_mut()?.shift_remove("podMetadata"))),
    }
    assert_eq!(stripped.to_string(), workflow.to_string(), "{}", first.patch);

    let (had, has) = (&workflow["spec"]["podMetadata"], &first.after["spec"]["podMetadata"]);
    for (key, value) in had.as_object().into_iter().flatten().filter(|(k, _)| *k != "annotations") {
        assert_eq!(has.get(key), Some(value));
    }
    let added = has["annotations"].as_object().into_iter().flatten();
    for (key, value) in added {
        if let Some(had) = had["annotations"].get(key) {
            assert_eq!(had, value, "an entry that was there stays");
            continue;
        }
        let value = value.as_str().unwrap();
        let literal = ["stepspan.dev/l.", "stepspan.dev/a."].iter().any(|p| key.starts_with(p));
        let expression = ["stepspan.dev/p.", "stepspan.dev/i."].iter().any(|p| key.starts_with(p));
        assert!(is_qualified_name(key), "{key}");
        assert!((literal && !value.contains("{{")) || (expression && defaulted(value)), "{key}: {value}");
        assert!(value.len() <= 3 * 1024);
    }
    let second = outcome(&body(&first.after, "Workflow"), &first.after, &set, context);
    assert_eq!(second.patch, json!([]), "{}", first.patch);
}

/// `{{=(OBJECT.parameters['NAME'] ?? '')[0:1024]}}`, the name without anything that ends it.
fn defaulted(value: &str) -> bool {
    let form = r"^\{\{=\((workflow|inputs)\.parameters\['[A-Za-z0-9_.-]+'\] \?\? ''\)\[0:1024\]\}\}$";
    regex::Regex::new(form).unwrap().is_match(value)
}

fn workflow(dice: &mut Dice<'_>) -> Value {
    let mut metadata = json!({"name": "ci-x7k2q"});
    for (field, names) in
        [("labels", ["repo", "acme.io/slash", "pr"]), ("annotations", ["note", "repo", "traceparent"])]
    {
        let mut entries = serde_json::Map::new();
        for name in names {
            if dice.often() {
                entries.insert(name.to_owned(), json!(dice.text()));
            }
        }
        if dice.often() {
            metadata[field] = Value::Object(entries);
        }
    }
    let mut spec =
        json!({"entrypoint": "main", "templates": [{"name": "main", "x": 1.0}], "arguments": {"parameters": []}});
    let existing = dice.pick(&["stepspan.dev/p.repo", "stepspan.dev/l.repo", "mine"]);
    match dice.below(8) {
        0 => {}
        1 => spec["podMetadata"] = json!(null),
        2 => spec["podMetadata"] = json!({}),
        3 => spec["podMetadata"] = json!({"labels": {"a": "b"}, "annotations": null}),
        4 => spec["podMetadata"] = json!({"annotations": {}, "labels": null, "future": 1.0}),
        5 => spec["podMetadata"] = json!({"annotations": {existing: dice.text(), "stepspan.dev/i.msg": "theirs"}}),
        6 => spec["podMetadata"] = json!("no object"),
        _ => spec["podMetadata"] = json!({"annotations": "no object"}),
    }
    if dice.rarely() {
        return json!({"metadata": metadata});
    }
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec, "status": {}})
}

/// What a Workflow carries reaches the pod's review byte for byte.
#[test]
fn what_is_copied_is_read_back() {
    for row in 0..=255u8 {
        let value = Dice::new(&[row, row, 7]).text();
        let workflow = json!({"metadata": {"name": "w", "labels": {"repo": value}}, "spec": {}});
        let after =
            outcome(&body(&workflow, "Workflow"), &workflow, &set(&[], &Context::default()), &Context::default()).after;
        let mut pod = crate::pods::recorded().remove(0).1;
        let annotations = &mut pod["metadata"]["annotations"];
        annotations.as_object_mut().unwrap().shift_remove("stepspan.dev/p.repo");
        annotations["stepspan.dev/l.repo"] = after["spec"]["podMetadata"]["annotations"]["stepspan.dev/l.repo"].clone();
        let reviewed = crate::case::Case::plain(pod).run().reviewed;
        let repo = reviewed.decision.values.iter().find(|v| v.key == "repo").unwrap();
        let clean: String = value.chars().filter(|c| !c.is_control()).collect();
        // Cut before control characters go.
        let start = crate::law_9_values::cut(&value, 1024);
        let expected: String = start.chars().filter(|c| !c.is_control()).collect();
        assert_eq!(
            repo.value.as_deref().unwrap_or("acme/widgets"),
            if expected.is_empty() { "acme/widgets" } else { &expected }
        );
        assert!(clean.starts_with(&expected), "{}", text(&json!({}), ""));
    }
}
