//! Law 6: a patch touches nothing that no policy names.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::case::{Case, list, shimmed, text};
use crate::dice::{cases, rows};
use crate::pods::recorded;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn operations_stay_in_their_places(bytes in rows()) {
        minimal(&Case::of(&bytes));
    }

    #[test]
    fn nothing_is_done_where_no_policy_matches(bytes in rows()) {
        let mut case = Case::of(&bytes);
        case.policies = vec![json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy",
            "metadata": {"name": "elsewhere"}, "spec": {"match": {"when": ["false"]}}})];
        prop_assert_eq!(case.run().patch, json!([]));
        case.policies = Vec::new();
        case.pod["metadata"]["labels"].as_object_mut().unwrap().shift_remove("workflows.argoproj.io/workflow");
        prop_assert_eq!(case.run().patch, json!([]));
    }
}

/// From 4.1 the executor reads `OTEL_*` itself: the container gets none, the shim sets them for the step.
#[test]
fn the_executor_of_4_1_sees_no_variable_of_ours() {
    for (name, pod) in recorded() {
        let case = Case::plain(pod);
        let after = case.run().after;
        for i in shimmed(&case.pod, &after) {
            let (before, after) = (&case.pod["spec"]["containers"][i], &after["spec"]["containers"][i]);
            let otel = |c| list(c, "env").iter().filter(|e| text(e, "name").starts_with("OTEL_")).count();
            let config = crate::law_9_values::config(after);
            assert_eq!(otel(after) == otel(before), name.contains("4.1"), "{name}");
            assert_eq!(config.env.len() == 9, name.contains("4.1"), "{name}");
        }
    }
}

#[test]
fn recorded_pods_are_touched_where_they_may_be() {
    for (_, pod) in recorded() {
        minimal(&Case::plain(pod));
    }
}

fn minimal(case: &Case) {
    let outcome = case.run();
    let (labels, annotations) = named(case);
    let shimmed = shimmed(&case.pod, &outcome.after);
    let mut init = 0;
    for op in outcome.patch.as_array().unwrap() {
        let (action, path) = (text(op, "op"), text(op, "path"));
        let parts: Vec<String> = path.split('/').skip(1).map(|p| p.replace("~1", "/").replace("~0", "~")).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["metadata", "labels"] if action == "add" => subset(&op["value"], &labels, &[]),
            ["metadata", "labels", name] if action == "add" => assert!(labels.contains(*name), "{op}"),
            ["metadata", "annotations"] if action == "add" => subset(&op["value"], &annotations, &["stepspan.dev/"]),
            ["metadata", "annotations", name] => {
                assert!(name.starts_with("stepspan.dev/") || annotations.contains(*name), "{op}");
                let foreign = !name.starts_with("stepspan.dev/") && *name != "trace.context";
                assert!(!foreign || case.pod["metadata"]["annotations"].get(name).is_none(), "{op}");
            }
            ["spec", "volumes"] | ["spec", "volumes", "-"] => assert_eq!(action, "add"),
            ["spec", "initContainers"] | ["spec", "initContainers", "-" | "0"] => {
                assert_eq!(action, "add");
                init += 1;
            }
            ["spec", "containers", index, "command", _] => {
                assert!(action == "add" && shimmed.contains(&index.parse().unwrap()), "{op}");
            }
            ["spec", "containers", index, "env" | "volumeMounts", ..] => {
                assert!(shimmed.contains(&index.parse().unwrap()), "{op}");
            }
            _ => panic!("{op}"),
        }
    }
    assert!(init <= usize::from(!shimmed.is_empty()));
    labels_stay(case, &outcome.after);
    helpers_stay(case, &outcome.after);
}

/// Labels and annotations that the policies name, whether they match or not; and what is always ours.
fn named(case: &Case) -> (BTreeSet<String>, BTreeSet<String>) {
    let embedded = ["repo", "pr", "taskId", "agent", "stepName"].map(str::to_owned);
    let mut labels = BTreeSet::new();
    let mut annotations = BTreeSet::from(["trace.context".to_owned()]);
    if case.policies.is_empty() {
        labels.extend(embedded);
        annotations.insert("commitSha".to_owned());
    }
    for policy in &case.policies {
        let spec = &policy["spec"];
        let keys = |field: &str| spec[field].as_object().into_iter().flatten().map(|(k, _)| k.clone());
        labels.extend(keys("labels"));
        annotations.extend(keys("annotations"));
        for key in spec["correlation"].as_object().into_iter().flatten().map(|(_, v)| v) {
            labels.extend(key["label"].as_str().map(str::to_owned));
            annotations.extend(key["annotation"].as_str().map(str::to_owned));
        }
    }
    (labels, annotations)
}

fn subset(entries: &Value, named: &BTreeSet<String>, prefixes: &[&str]) {
    for key in entries.as_object().unwrap().keys() {
        assert!(named.contains(key) || prefixes.iter().any(|p| key.starts_with(p)), "{key}");
    }
}

fn labels_stay(case: &Case, after: &Value) {
    for (key, value) in case.pod["metadata"]["labels"].as_object().unwrap() {
        assert_eq!(after["metadata"]["labels"].get(key), Some(value));
    }
}

/// Argo's own containers, template sidecars and everything in pods of the executor's own work.
fn helpers_stay(case: &Case, after: &Value) {
    let component = text(&case.pod["metadata"]["labels"], "workflows.argoproj.io/component");
    let pairs = list(&case.pod["spec"], "containers").iter().zip(list(&after["spec"], "containers"));
    for (before, after) in pairs {
        let (name, command) = (text(before, "name"), before["command"].to_string());
        let own = ["wait", "supervisor", "influxdb", "proxy", "exporter", "artifact-plugin-x"].contains(&name);
        let executor = command.contains(r#""argoexec","resource""#) || command.contains(r#""argoexec","data""#);
        if own || executor || !component.is_empty() {
            assert_eq!(before, after);
        }
    }
    if component == "artifact-gc" {
        assert_eq!(&case.pod, after);
    }
}
