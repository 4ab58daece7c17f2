//! The fields of a template, but for its steps and tasks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::names::{self, Form};
use super::{Known, Mistake, has, is_leaf, lacks};
use crate::argo::expand::order;
use crate::argo::expand::raw::{kept, list, named, text};
use crate::argo::expand::template::Kind;

/// What every template is asked (`validateTemplate`, `validateInputs`).
pub(super) fn of_any(template: &Value, kind: Kind, found: &mut Vec<Mistake>) {
    let inputs = &template["inputs"];
    of_names(list(inputs, "parameters"), "input", Form::Parameter, found);
    of_names(list(inputs, "artifacts"), "input artifact", Form::Parameter, found);
    let mut tell = |message: String| found.push(message.into());
    for artifact in list(inputs, "artifacts") {
        let name = text(artifact, "name");
        of_path(artifact, &format!("input artifact {name}"), kind, &mut tell);
        if !text(artifact, "from").is_empty() {
            tell(format!("input artifact {name} has from: that is for arguments"));
        }
    }
    if list(template, "initContainers").iter().any(|container| lacks(container, "name")) {
        tell("an init container has no name".to_owned());
    }
    let policy = text(&template["retryStrategy"], "retryPolicy");
    if !["", "Always", "OnError", "OnFailure", "OnTransientError"].contains(&policy) {
        tell(format!("retryPolicy {policy}: there are Always, OnError, OnFailure and OnTransientError"));
    }
    let timeout = text(template, "timeout");
    if !timeout.is_empty() && !is_leaf(kind) {
        tell("it has a timeout, which steps, dag and suspend templates cannot have".to_owned());
    } else if timeout.parse::<i64>().is_ok() {
        tell(format!("timeout {timeout} has no unit, such as {timeout}s"));
    }
    if matches!(kind, Kind::Steps | Kind::Dag) && has(template, "activeDeadlineSeconds") {
        tell("it has activeDeadlineSeconds, which steps and dag templates cannot have".to_owned());
    }
}

/// Where an artifact is put: that is asked of what has no steps, and of nothing else.
fn of_path(artifact: &Value, what: &str, kind: Kind, tell: &mut impl FnMut(String)) {
    if is_leaf(kind) && lacks(artifact, "path") {
        tell(format!("{what} has no path"));
    } else if !is_leaf(kind) && !text(artifact, "path").is_empty() {
        tell(format!("{what} has a path, which those of steps, dag and suspend templates cannot have"));
    }
}

fn of_names<'v>(all: impl IntoIterator<Item = &'v Value>, what: &str, form: Form, found: &mut Vec<Mistake>) {
    found.extend(names::mistakes(all, what, form).into_iter().map(|(_, message)| Mistake::from(message)));
}

/// What a template without steps is asked (`validateLeaf`).
pub(super) fn of_leaf(template: &Value, kind: Kind, known: &Known<'_>, found: &mut Vec<Mistake>) {
    match kind {
        Kind::Container => of_container(template, known, found),
        Kind::Script if lacks(&template["script"], "image") && !known.gives_image("script") => {
            found.push("its script has no image".to_owned().into());
        }
        Kind::ContainerSet => of_set(template, found),
        Kind::Resource => of_resource(template, found),
        _ => {}
    }
    let seconds = &template["activeDeadlineSeconds"];
    let wrong = match seconds {
        Value::Number(number) => number.as_f64().is_some_and(|seconds| seconds < 0.0),
        Value::String(text) => !text.contains("{{") && text.parse::<i64>().is_ok_and(|seconds| seconds < 0),
        _ => false,
    };
    let is_none = seconds.as_str().is_some_and(|text| !text.contains("{{") && text.parse::<i64>().is_err());
    if wrong || is_none {
        found.push(format!("activeDeadlineSeconds {seconds} is no number of seconds").into());
    }
    if has(template, "parallelism") {
        found.push("it has parallelism, which only steps and dag templates can have".to_owned().into());
    }
}

fn of_container(template: &Value, known: &Known<'_>, found: &mut Vec<Mistake>) {
    let container = &template["container"];
    let artifacts = list(&template["inputs"], "artifacts").iter().map(|artifact| text(artifact, "path"));
    let mounts = list(container, "volumeMounts").iter().map(|mount| text(mount, "mountPath"));
    of_mounts(mounts.chain(artifacts), found);
    if lacks(container, "image") && !known.gives_image("container") {
        found.push("its container has no image".to_owned().into());
    }
}

fn of_mounts<'v>(paths: impl Iterator<Item = &'v str>, found: &mut Vec<Mistake>) {
    let mut seen = BTreeSet::new();
    let twice = paths.filter(|path| !path.is_empty()).find(|path| !seen.insert(*path));
    found.extend(twice.map(|path| Mistake::from(format!("two volumes or artifacts are mounted at {path}"))));
}

/// `ContainerSetTemplate.Validate`.
fn of_set(template: &Value, found: &mut Vec<Mistake>) {
    let set = &template["containerSet"];
    let containers = list(set, "containers");
    of_names(containers, "container", Form::Field, found);
    of_mounts(list(set, "volumeMounts").iter().map(|mount| text(mount, "mountPath")), found);
    let mut tell = |message: String| found.push(message.into());
    if lacks(set, "containers") {
        tell("its containerSet has no containers".to_owned());
    }
    let needed = containers.iter().map(|container| {
        let needed: Vec<&str> = list(container, "dependencies").iter().filter_map(Value::as_str).collect();
        (text(container, "name"), needed)
    });
    let graph: BTreeMap<&str, Vec<&str>> = needed.collect();
    for (name, needed) in &graph {
        for missing in needed.iter().filter(|needed| !needed.contains("{{") && !graph.contains_key(**needed)) {
            tell(format!("container {name} depends on {missing}, which is not there"));
        }
    }
    if order::of(graph.keys().copied(), |name| graph.get(name).cloned().unwrap_or_default()).is_err() {
        tell("its containers depend on one another in a circle".to_owned());
    }
    let outputs = &template["outputs"];
    let hands = [list(&template["inputs"], "artifacts"), list(outputs, "parameters"), list(outputs, "artifacts")];
    if hands.iter().any(|all| !all.is_empty()) && !graph.contains_key("main") {
        tell("it has input artifacts or outputs, and no container called main, which they are of".to_owned());
    }
}

fn of_resource(template: &Value, found: &mut Vec<Mistake>) {
    const ACTIONS: [&str; 6] = ["get", "create", "apply", "delete", "replace", "patch"];
    let resource = &template["resource"];
    let action = text(resource, "action");
    let mut tell = |message: String| found.push(message.into());
    if !action.contains("{{") && !ACTIONS.contains(&action) {
        tell(format!("resource.action {action:?}: there are {}", ACTIONS.join(", ")));
    }
    if matches!(action, "delete" | "get") {
        return;
    }
    let from = &resource["manifestFrom"];
    if lacks(resource, "manifest") && lacks(resource, "manifestFrom") && !has(resource, "manifestFrom") {
        tell("its resource has neither manifest nor manifestFrom".to_owned());
    } else if !text(resource, "manifest").is_empty() && has(resource, "manifestFrom") {
        tell("its resource has manifest and manifestFrom: Argo takes one of them".to_owned());
    }
    let artifact = text(&from["artifact"], "name");
    if has(from, "artifact") && named(list(&template["inputs"], "artifacts"), artifact).is_none() {
        tell(format!("manifestFrom: it has no input artifact {artifact}"));
    }
}

/// Where the value of an output may come from.
const SOURCES: [&str; 5] = ["path", "jqFilter", "jsonPath", "parameter", "expression"];
/// What else `valueFrom` has.
const BESIDES: [&str; 4] = ["supplied", "default", "event", "configMapKeyRef"];

/// The outputs of a template (`validateOutputs`).
pub(super) fn outputs(template: &Value, kind: Kind, found: &mut Vec<Mistake>) {
    let outputs = &template["outputs"];
    of_names(list(outputs, "parameters"), "output", Form::Parameter, found);
    of_names(list(outputs, "artifacts"), "output artifact", Form::Parameter, found);
    let mut tell = |message: String| found.push(message.into());
    for artifact in list(outputs, "artifacts") {
        of_path(artifact, &format!("output artifact {}", text(artifact, "name")), kind, &mut tell);
    }
    for output in list(outputs, "parameters") {
        if let Some(why) = source_of(output, kind) {
            tell(format!("output {}: {why}", text(output, "name")));
        }
    }
}

fn source_of(output: &Value, kind: Kind) -> Option<String> {
    match (has(output, "value"), has(output, "valueFrom")) {
        (true, false) => return None,
        (true, true) => return Some("it has value and valueFrom: Argo takes one of them".to_owned()),
        (false, false) if lacks(output, "value") && lacks(output, "valueFrom") => {
            return Some("it has neither value nor valueFrom".to_owned());
        }
        _ => {}
    }
    let from = output["valueFrom"].as_object()?;
    if from.keys().any(|key| !SOURCES.contains(&key.as_str()) && !BESIDES.contains(&key.as_str())) {
        return None;
    }
    let from = &output["valueFrom"];
    let given: Vec<&str> = SOURCES.into_iter().filter(|source| kept(from, source).is_some()).collect();
    if given.len() + usize::from(has(from, "supplied")) != 1 {
        return Some(format!("valueFrom needs one of {} and supplied", SOURCES.join(", ")));
    }
    let allowed: &[&str] = match kind {
        Kind::Container | Kind::ContainerSet | Kind::Script => &["path"],
        Kind::Resource => &["jqFilter", "jsonPath"],
        Kind::Steps | Kind::Dag => &["parameter", "expression"],
        Kind::Data | Kind::Suspend | Kind::Http | Kind::Plugin => return None,
    };
    let fits = given.iter().any(|given| allowed.contains(given));
    (!fits).then(|| format!("valueFrom needs {} here", allowed.join(" or ")))
}
