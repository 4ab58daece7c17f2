//! Taking our injection out of a pod gives the pod as it was, but for what we had taken out ourselves.

use proptest::prelude::*;
use serde_json::{Value, json};
use stepspan::admission::{Outcome as Done, Reviewed, review};
use stepspan::inject::undo::{recall, undo};

use crate::case::{Case, SHIM, body, list, text};
use crate::dice::{cases, rows};
use crate::pods::recorded;

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn an_injected_pod_is_as_it_was(bytes in rows()) {
        undone(&Case::of(&bytes));
    }
}

#[test]
fn recorded_pods_are_as_they_were() {
    for (_, pod) in recorded() {
        undone(&Case::plain(pod));
    }
}

/// None of our settings come with them, so they are none of ours.
#[test]
fn our_words_that_were_there_before_stay() {
    let foreign = json!([{"name": "STEPSPAN_CONFIG", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "k"}}}]);
    for ((_, pod), env) in recorded().into_iter().flat_map(|one| [(one.clone(), json!([])), (one, foreign.clone())]) {
        let mut pod = pod;
        let proxy = json!({"name": "proxy", "image": "i", "command": [SHIM[0], SHIM[1], SHIM[2], "serve"], "env": env});
        pod["spec"]["containers"].as_array_mut().unwrap().push(proxy);
        undone(&Case::plain(pod));
    }
}

fn undone(case: &Case) {
    let done = case.run();
    let mut pod = done.after.clone();
    let was_injected = undo(&mut pod, &case.context.allow_env);
    if done.reviewed.outcome != Done::Injected {
        // A pod that came injected is another story.
        if !was_injected {
            assert_eq!(pod, done.after, "untouched");
        }
        return;
    }
    assert!(was_injected);
    let (before, after) = (settled(&case.pod), settled(&pod));
    let replaced =
        done.patch.as_array().unwrap().iter().any(|op| op["op"] == "replace" && text(op, "path").contains("/env/"));
    if !replaced {
        let steps = json_patch::diff(&before["spec"], &after["spec"]);
        assert!(steps.0.is_empty(), "{}", json!(steps));
    }
    for (name, value) in case.pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !name.starts_with("stepspan.dev/") && name != "trace.context" {
            assert_eq!(&pod["metadata"]["annotations"][name], value, "{name}");
        }
    }
    // With what the Workflow carried, the same is decided again.
    let annotations = pod["metadata"].as_object_mut().unwrap().entry("annotations").or_insert_with(|| json!({}));
    for (name, value) in case.pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        annotations[name] = value.clone();
    }
    let again = review(&body(&pod, "Pod"), &case.set(), &case.context);
    assert_eq!(decided(&again), decided(&done.reviewed));
}

/// Empty lists are none, and reserved variables nobody's.
fn settled(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.retain(|field, value| !["volumes", "initContainers"].contains(&field.as_str()) || *value != json!([]));
    for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        let own = list(container, "env").iter().filter(|entry| !text(entry, "name").starts_with("STEPSPAN_"));
        let own: Vec<Value> = own.cloned().collect();
        let fields = container.as_object_mut().unwrap();
        fields.retain(|field, value| field != "volumeMounts" || *value != json!([]));
        fields.shift_remove("env");
        if !own.is_empty() {
            fields.insert("env".to_owned(), json!(own));
        }
    }
    pod
}

fn decided(reviewed: &Reviewed) -> Value {
    let decision = &reviewed.decision;
    let containers: Vec<_> =
        decision.containers.iter().map(|c| (&c.name, c.skipped.as_ref().map(ToString::to_string))).collect();
    let values: Vec<_> = decision.values.iter().map(|value| (&value.key, &value.value)).collect();
    json!({"outcome": reviewed.outcome.label(), "policies": decision.policies, "containers": containers, "values": values})
}

/// What the recorded Workflows carry comes to their pods as the controller brought it there.
#[test]
fn carriers_are_resolved_as_the_controller_did() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let read = |name: &str| -> Value {
        let review: Value = serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        review["request"]["object"].clone()
    };
    let mut compared = 0;
    for name in ["dag", "loops", "steps", "retry", "script", "daemon", "sidecar", "container-set", "template-ref"] {
        let mut workflow = read(&format!("{name}-0-workflow.json"));
        let set = Case::plain(json!({})).set();
        let carried = review(&body(&workflow, "Workflow"), &set, &stepspan::context::Context::default());
        stepspan::patch::apply(&mut workflow, &carried.patch).unwrap();
        let pod = read(&format!("{name}-1-pod.json"));
        let own = pod["metadata"]["annotations"].as_object().unwrap();
        let recalled = recall(&workflow, None);
        for (annotation, value) in &recalled.annotations {
            // What its template says of its parameters stands in the status of a stored Workflow, and not in the request.
            if name != "template-ref" {
                assert_eq!(own[annotation], **value, "{name} {annotation}");
                compared += 1;
            }
        }
        assert_eq!(recalled.unknown, ["input/agent", "input/taskId"], "{name}");
    }
    assert!(compared > 40, "{compared}");
    let workflow = json!({"spec": {"podMetadata": {"annotations": {
            "stepspan.dev/i.agent": "{{=(inputs.parameters['agent'] ?? '')[0:1024]}}",
            "stepspan.dev/p.repo": "{{=(workflow.parameters['repo'] ?? '')[0:1024]}}",
            "stepspan.dev/p.from-map": "{{=(workflow.parameters['from-map'] ?? '')[0:1024]}}",
            "stepspan.dev/l.pr": "%7B%7B42", "other": "x"}},
            "arguments": {"parameters": [{"name": "from-map", "valueFrom": {"configMapKeyRef": {}}}]}},
        "status": {"storedWorkflowTemplateSpec": {"arguments": {"parameters": [{"name": "repo", "value": 7}]}}}});
    let nodes = json!({"n": {"inputs": {"parameters": [{"name": "agent", "value": "coder"}]}}, "m": {}});
    let recalled = recall(&workflow, Some(&nodes["n"]));
    let annotations =
        json!({"stepspan.dev/i.agent": "coder", "stepspan.dev/p.repo": "7", "stepspan.dev/l.pr": "%7B%7B42"});
    assert_eq!(json!(recalled.annotations), annotations);
    assert_eq!(recalled.unknown, ["parameter/from-map"]);
    let without = recall(&workflow, Some(&nodes["m"])).annotations;
    assert_eq!(without["stepspan.dev/i.agent"], "{{=(inputs.parameters['agent'] ?? '')[0:1024]}}");
}
