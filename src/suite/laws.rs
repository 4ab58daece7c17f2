//! What holds for every patch, whatever the policy: looked at in every case, without asking the evaluator how it does what it does.

use serde_json::Value;

use super::Failure;
use super::run::Looked;
use crate::context::Context;
use crate::patch::Op;
use crate::policy::PolicySet;

/// What does not hold.
pub(super) fn failures(looked: &Looked, policies: &PolicySet, context: &Context) -> Vec<Failure> {
    let mut all = Vec::new();
    idempotent(looked, policies, context, &mut all);
    prefix(looked, &mut all);
    labels(looked, &mut all);
    minimal(&looked.reviewed.kind, &looked.reviewed.patch, &mut all);
    all
}

/// A second look at the result changes nothing.
fn idempotent(looked: &Looked, policies: &PolicySet, context: &Context, all: &mut Vec<Failure>) {
    let again = crate::admission::review(&looked.again(), policies, context);
    if !again.patch.is_empty() {
        let paths: Vec<&str> = again.patch.iter().map(|op| op.path.as_str()).collect();
        all.push(Failure::new("law: idempotent", "a second look changes nothing", paths.join(", ")));
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["containers"].as_array().into_iter().flatten()
}

fn words(container: &Value) -> Vec<&str> {
    container["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Argo's own words and the user's stay as they are: what is put in stands between them.
fn prefix(looked: &Looked, all: &mut Vec<Failure>) {
    for before in containers(&looked.before) {
        let name = &before["name"];
        let Some(after) = containers(&looked.after).find(|after| after["name"] == *name) else {
            all.push(Failure::new("law: raw", format!("container {name}"), "it is gone"));
            continue;
        };
        let (old, new) = (words(before), words(after));
        let added = new.len().saturating_sub(old.len());
        let split = old.iter().position(|word| *word == "--").map_or(0, |at| at + 1);
        let kept = old == new
            || (new.len() > old.len()
                && new[..split] == old[..split]
                && new[split + added..] == old[split..]
                && split > 0);
        if !kept || before["args"] != after["args"] {
            all.push(Failure::new(format!("law: prefix of {name}"), old.join(" "), new.join(" ")));
        }
    }
}

/// Labels that were there stay.
fn labels(looked: &Looked, all: &mut Vec<Failure>) {
    let labels = |pod: &Value| pod["metadata"]["labels"].clone();
    let (before, after) = (labels(&looked.before), labels(&looked.after));
    for (key, value) in before.as_object().into_iter().flatten() {
        if after[key] != *value {
            all.push(Failure::new(format!("law: label {key}"), value.to_string(), after[key].to_string()));
        }
    }
}

/// What a patch may touch, `*` for any one step of the path, and all below it.
const OF_A_POD: [&str; 8] = [
    "metadata/labels",
    "metadata/annotations",
    "spec/initContainers",
    "spec/volumes",
    "spec/containers/*/command",
    "spec/containers/*/args",
    "spec/containers/*/env",
    "spec/containers/*/volumeMounts",
];
/// The same for a Workflow, which brings annotations to its pods.
const OF_A_WORKFLOW: [&str; 1] = ["spec/podMetadata"];

/// Nothing else of a pod is touched: no image, no resources, no security context.
fn minimal(kind: &str, patch: &[Op], all: &mut Vec<Failure>) {
    let (places, expected): (&[&str], _) = match kind {
        "Workflow" => (&OF_A_WORKFLOW, "podMetadata alone"),
        _ => (
            &OF_A_POD,
            "labels, annotations, init containers, volumes, and command, args, env and mounts of containers",
        ),
    };
    for op in patch.iter().filter(|op| !places.iter().any(|place| is_below(&op.path, place))) {
        all.push(Failure::new("law: minimal", expected, op.path.clone()));
    }
}

fn is_below(pointer: &str, place: &str) -> bool {
    let mut steps = pointer.split('/').skip(1);
    place.split('/').all(|wanted| steps.next().is_some_and(|step| wanted == "*" || step == wanted))
}
