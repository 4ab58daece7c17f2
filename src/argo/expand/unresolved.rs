//! Which sources of a policy's values are known only at run time, for one pod, and whether anything in it is.

use serde_json::Value;
use stepspan_contract::names::ANNOTATION_PREFIX;

use super::execution::{Execution, UID};
use super::raw::{any_string, any_text, entries, list, text};
use super::replace;
use crate::context::{POD_SOURCE, UID_SOURCE};

fn is_open(value: &str) -> bool {
    value.contains("{{")
}

/// Whether a text of a pod keeps a tag that the run puts a value in the place of: `{{.Names}}` of somebody else's language is none, and what metrics speak of
/// stays in the pod.
fn keeps_tag(pod: &Value) -> bool {
    const FIRST: [&str; 8] = ["=", "workflow.", "inputs.", "steps.", "tasks.", "item.", "pod.", "entrypoint of "];
    const WHOLE: [&str; 7] = ["item", "index", "random", "hash", "deadline", "trace", "span"];
    let is_ours = |tag: &str| {
        let tag = tag.trim();
        WHOLE.contains(&tag) || FIRST.iter().any(|first| tag.starts_with(first))
    };
    let keeps = |text: &str| replace::tags(text).any(is_ours);
    // The labels and annotations of the template are as they are written in there: what they come to is the pod's.
    let of_template = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => fields.iter().any(|(key, field)| key != "metadata" && any_text(field, keeps)),
        _ => true,
    };
    let template = template_of(pod);
    let of_spec = |text: &str| keeps(text) && (template != Some(text) || of_template(text));
    // What we make the pod carry is left as it is where its template has no inputs, and is told of by who reads it.
    let mut metadata = entries(pod, "metadata").filter(|(field, _)| *field != "annotations");
    let mut annotations = entries(&pod["metadata"], "annotations");
    metadata.any(|(_, field)| any_text(field, keeps))
        || annotations.any(|(name, value)| !name.starts_with(ANNOTATION_PREFIX) && any_text(value, keeps))
        || any_text(&pod["spec"], of_spec)
}

/// The template as the executor gets it.
fn template_of(pod: &Value) -> Option<&str> {
    let containers = ["initContainers", "containers"].into_iter().flat_map(|field| list(&pod["spec"], field));
    let mut variables = containers.flat_map(|container| list(container, "env"));
    variables.find(|variable| text(variable, "name") == "ARGO_TEMPLATE").map(|variable| text(variable, "value"))
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
        all.push(POD_SOURCE.to_owned());
    }
    all.sort_unstable();
    all.dedup();
    all
}
