//! Which sources of a policy's values are known only at run time, for one pod, and whether anything in it is.

use serde_json::Value;

use super::execution::{Execution, UID};
use super::raw::{any_string, entries, list, text};
use super::replace;
use crate::context::UID_SOURCE;

/// The name of a pod of which some field, whichever, keeps what only the run knows. No policy has a source of that name.
const POD: &str = "pod/field";

fn is_open(value: &str) -> bool {
    value.contains("{{")
}

/// Whether a text keeps a tag that the run puts a value in the place of: `{{.Names}}` of somebody else's language is none, and what metrics speak of
/// stays in the pod.
fn keeps_tag(value: &Value) -> bool {
    const FIRST: [&str; 8] = ["=", "workflow.", "inputs.", "steps.", "tasks.", "item.", "pod.", "entrypoint of "];
    const WHOLE: [&str; 7] = ["item", "index", "random", "hash", "deadline", "trace", "span"];
    let is_ours = |tag: &str| {
        let tag = tag.trim();
        WHOLE.contains(&tag) || FIRST.iter().any(|first| tag.starts_with(first))
    };
    match value {
        Value::String(text) => replace::tags(text).any(is_ours),
        Value::Array(all) => all.iter().any(keeps_tag),
        Value::Object(fields) => fields.values().any(keeps_tag),
        _ => false,
    }
}

/// The sources, named as policies and `explain` name them: `parameter/repo`, `label/pr`.
pub(super) fn sources(pod: &Value, inputs: &Value, execution: &Execution) -> Vec<String> {
    let mut all = Vec::new();
    let meta = &pod["metadata"];
    for (kind, field) in [("label", "labels"), ("annotation", "annotations")] {
        let open = entries(meta, field).filter(|(_, value)| value.as_str().is_some_and(is_open));
        all.extend(open.map(|(key, _)| format!("{kind}/{key}")));
    }
    for (tag, value) in &execution.globals {
        let kind = |prefix: &str| tag.strip_prefix(prefix).filter(|_| is_open(value));
        for (prefix, source) in [
            ("workflow.parameters.", "parameter"),
            ("workflow.labels.", "workflowLabel"),
            ("workflow.annotations.", "workflowAnnotation"),
        ] {
            all.extend(kind(prefix).map(|name| format!("{source}/{name}")));
        }
    }
    for input in list(inputs, "parameters") {
        // One from a ConfigMap that is not here has no value at all.
        if any_string(&input["value"]).is_none_or(|value| is_open(&value)) {
            all.push(format!("input/{}", text(input, "name")));
        }
    }
    for container in list(&pod["spec"], "containers") {
        let open = list(container, "env").iter().filter(|variable| is_open(text(variable, "value")));
        all.extend(open.map(|variable| format!("env/{}", text(variable, "name"))));
    }
    let node = |key: &str| meta["annotations"][format!("workflows.argoproj.io/{key}")].as_str().is_some_and(is_open);
    let builtins =
        [("workflowName", is_open(&execution.name)), ("nodeId", node("node-id")), ("nodeName", node("node-name"))];
    all.extend(builtins.into_iter().filter(|(_, open)| *open).map(|(name, _)| format!("builtin/{name}")));
    if execution.uid == UID {
        all.push(UID_SOURCE.to_owned());
    }
    if keeps_tag(pod) {
        all.push(POD.to_owned());
    }
    all.sort_unstable();
    all.dedup();
    all
}
