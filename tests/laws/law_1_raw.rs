//! Law 1: the pod is patched as raw JSON; whatever the patch does not mean to touch keeps its text, to the last digit.

use proptest::prelude::*;
use serde_json::{Map, Value};
use stepspan::patch;

use crate::case::{Case, list, shimmed, text};
use crate::dice::{cases, rows};
use crate::pods::recorded;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn what_the_patch_does_not_mean_keeps_its_text(bytes in rows()) {
        untouched(&Case::of(&bytes));
    }
}

#[test]
fn recorded_pods_keep_their_text() {
    for (_, pod) in recorded() {
        untouched(&Case::plain(pod));
    }
}

fn untouched(case: &Case) {
    let outcome = case.run();
    let mut own = case.pod.clone();
    patch::apply(&mut own, &outcome.reviewed.patch).unwrap();
    // The crate's `remove` does not keep the order of fields; ours does, so its text is the one to look at.
    assert_eq!(own, outcome.after, "both appliers give one pod");

    let (before, after) = (object(&case.pod), object(&own));
    same_but(before, after, &["metadata", "spec"]);
    let (metadata, patched) = (object(&before["metadata"]), object(&after["metadata"]));
    same_but(metadata, patched, &["labels", "annotations"]);
    let spec = (object(&before["spec"]), object(&after["spec"]));
    same_but(spec.0, spec.1, &["volumes", "initContainers", "containers"]);

    extended(metadata.get("labels"), patched.get("labels"), |_| false);
    let ours = |key: &str| key.starts_with("stepspan.dev/") || key == "trace.context";
    extended(metadata.get("annotations"), patched.get("annotations"), ours);
    lists(case, &own);
}

fn lists(case: &Case, after: &Value) {
    let (before, after) = (&case.pod["spec"], &after["spec"]);
    starts_with(list(after, "volumes"), list(before, "volumes"));
    let others = |c: &&Value| text(c, "name") != "stepspan-init";
    let init: Vec<_> = list(after, "initContainers").iter().filter(others).collect();
    assert!(init.len() + 1 >= list(after, "initContainers").len());
    assert_eq!(format!("{init:?}"), format!("{:?}", list(before, "initContainers").iter().collect::<Vec<_>>()));
    let shimmed = shimmed(&case.pod, &serde_json::json!({"spec": after}));
    let pairs = list(before, "containers").iter().zip(list(after, "containers"));
    assert_eq!(list(before, "containers").len(), list(after, "containers").len());
    for (i, (one, other)) in pairs.enumerate() {
        if shimmed.contains(&i) {
            same_but(object(one), object(other), &["command", "env", "volumeMounts"]);
            starts_with(list(other, "volumeMounts"), list(one, "volumeMounts"));
        } else {
            assert_eq!(one.to_string(), other.to_string());
        }
    }
}

/// The same fields in the same order with the same text, but for those named; fields that are new stand at the end.
fn same_but(before: &Map<String, Value>, after: &Map<String, Value>, but: &[&str]) {
    let kept: Vec<&String> = after.keys().take(before.len()).collect();
    assert_eq!(before.keys().collect::<Vec<_>>(), kept);
    for (key, value) in after {
        match before.get(key) {
            _ if but.contains(&key.as_str()) => {}
            Some(old) => assert_eq!(old.to_string(), value.to_string(), "{key}"),
            None => panic!("{key} is new"),
        }
    }
}

/// Entries that are not ours stay where and what they were; new ones follow.
fn extended(before: Option<&Value>, after: Option<&Value>, ours: impl Fn(&str) -> bool) {
    let entries = |map: Option<&Value>| -> Vec<(String, String)> {
        let fields = map.and_then(Value::as_object).into_iter().flatten();
        fields.map(|(k, v)| (k.clone(), v.to_string())).filter(|(k, _)| !ours(k)).collect()
    };
    let (before, after) = (entries(before), entries(after));
    assert_eq!(before, after[..before.len()]);
}

fn starts_with(after: &[Value], before: &[Value]) {
    let text = |items: &[Value]| items.iter().map(Value::to_string).collect::<Vec<_>>();
    assert_eq!(text(before), text(&after[..before.len()]));
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}
